/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * rerun-tell: what came of a replay, for people and as JSON; see rerun.h.
 */
#include "rerun.h"
#include "report.h"
#include "tool.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* What both sides have, or the replay alone. */
static const struct row {
	const char *key, *title;
	size_t offset; /* in struct side */
	bool is_bytes;
} rows[] = {
#define ROW(field, title, is_bytes) \
	{ #field, title, offsetof(struct side, field), is_bytes }
	ROW(allocs, "allocs", false),
	ROW(frees, "frees", false),
	ROW(reallocs, "reallocs", false),
	ROW(refused, "refused", false),
	ROW(asked, "asked for, at the peak", true),
	ROW(used, "used then, rounded", true),
	ROW(reserved, "reserved then", true),
	ROW(reserved_peak, "reserved at most", true),
	ROW(chunks_peak, "chunks at most", false),
	ROW(mapped, "chunks mapped in all", false),
	ROW(decayed, "given back by decay", true),
	ROW(refills, "refills of caches", false),
	ROW(flushes, "flushes of caches", false),
	ROW(sent, "pieces sent home", false),
	ROW(rehomes, "threads that moved", false),
#undef ROW
};

static const struct waste_row {
	const char *key, *title;
	size_t offset; /* in struct waste */
} waste_rows[] = {
#define ROW(field, title) { #field, title, offsetof(struct waste, field) }
	ROW(rounding, "rounding"),
	ROW(cached, "cached"),
	ROW(elements, "free elements"),
	ROW(tails, "tails of subpages"),
	ROW(pages, "free pages and blocks"),
#undef ROW
};

static const struct skipped_row {
	const char *key, *title;
	size_t offset; /* in struct outcome */
} skipped_rows[] = {
#define ROW(field, title) { #field, title, offsetof(struct outcome, field) }
	ROW(strangers, "of pieces that nobody saw born"),
	ROW(replaced, "pieces that died unseen"),
	ROW(poolless, "of pools that nobody saw begin"),
	ROW(over, "above 1 TiB at a time"),
	ROW(nonsense, "pools and options that cannot be"),
#undef ROW
};

#define COUNT(rows) (sizeof(rows) / sizeof *(rows))

static uint64_t value_at(const void *of, size_t offset)
{
	uint64_t value;

	memcpy(&value, (const char *)of + offset, sizeof value);
	return value;
}

static uint64_t calls(const struct outcome *o)
{
	return o->replayed.allocs + o->replayed.frees + o->replayed.reallocs;
}

double outcome_ns_a_call(const struct outcome *o)
{
	return calls(o) ? (double)o->run_ns / (double)calls(o) : 0;
}

static double percent(uint64_t part, uint64_t all)
{
	return all ? 100.0 * (double)part / (double)all : 0;
}

/* --- for people -------------------------------------------------------- */

static void print_machine(const struct outcome *o)
{
	const struct rerun_options *a = o->options;

	printf("recording  %s\nevents     %" PRIu64 " in %s, by %u thread%s, "
	       "of %u pool%s; %" PRIu64 " lost\n", o->name, o->events,
	       in_time(o->time_ns), o->threads, o->threads == 1 ? "" : "s",
	       o->pools, o->pools == 1 ? "" : "s", o->lost);
	printf("options    as recorded%s%s\n", a->conf ? ", but " : "",
	       a->conf ? a->conf : "");
	printf("machine    %s: %u node%s, %u CPU%s\n",
	       o->modelled ? "modelled" : "as recorded", o->nodes,
	       o->nodes == 1 ? "" : "s", o->cpus, o->cpus == 1 ? "" : "s");
}

static void print_skipped(const struct outcome *o)
{
	for (size_t i = 0; i < COUNT(skipped_rows); i++) {
		uint64_t n = value_at(o, skipped_rows[i].offset);

		if (n)
			printf("left out   %" PRIu64 " %s\n", n,
			       skipped_rows[i].title);
	}
}

static const char *in_unit(uint64_t n, bool is_bytes, char *text, size_t size)
{
	if (is_bytes)
		return in_bytes(n);
	snprintf(text, size, "%" PRIu64, n);
	return text;
}

static void print_difference(uint64_t recorded, uint64_t replayed)
{
	if (recorded)
		printf("  %+10.2f %%\n", percent(replayed, recorded) - 100);
	else
		printf(replayed ? "           -\n" : "        0.00 %%\n");
}

static void print_rows(const struct outcome *o)
{
	printf("\n%-24s  %14s  %14s    difference\n", "", "recorded",
	       "replayed");
	for (size_t i = 0; i < COUNT(rows); i++) {
		uint64_t was = value_at(&o->recorded, rows[i].offset);
		uint64_t is = value_at(&o->replayed, rows[i].offset);
		char a[24], b[24];

		if (!was && !is)
			continue;
		printf("%-24s  %14s  %14s", rows[i].title,
		       in_unit(was, rows[i].is_bytes, a, sizeof a),
		       in_unit(is, rows[i].is_bytes, b, sizeof b));
		print_difference(was, is);
	}
}

static void print_waste(const struct outcome *o)
{
	uint64_t all = o->replayed.reserved;

	printf("\nreserved at the peak, but not asked for\n");
	for (size_t i = 0; i < COUNT(waste_rows); i++) {
		uint64_t n = value_at(&o->waste, waste_rows[i].offset);

		printf("  %-22s  %14s  %8.2f %%\n", waste_rows[i].title,
		       in_bytes(n), percent(n, all));
	}
	printf("in memory at most then    %14s  %8.2f %%\n",
	       in_bytes(o->waste.charged), percent(o->waste.charged, all));
}

static void print_nodes(const struct outcome *o)
{
	if (o->nodes < 2)
		return;
	printf("\nnode    reserved at most   pieces sent home by its threads"
	       "\n                               recorded        replayed\n");
	for (unsigned i = 0; i < o->nodes; i++)
		printf("%4u  %18s  %14" PRIu64 "  %14" PRIu64 "\n", i,
		       in_bytes(o->node[i].reserved_peak),
		       o->node[i].recorded_sent, o->node[i].sent);
}

void outcome_print(const struct outcome *o)
{
	print_machine(o);
	print_skipped(o);
	print_rows(o);
	print_waste(o);
	print_nodes(o);
	printf("\ncache hits  %.2f %% of %" PRIu64 " pieces\n",
	       percent(o->hits, o->hits + o->misses), o->hits + o->misses);
	printf("speed       %.1f ns a call, of one thread, on this machine\n",
	       outcome_ns_a_call(o));
}

/* --- for programs ------------------------------------------------------ */

static void print_string(const char *text)
{
	char *copy = format_text("%s", text);

	make_printable(copy);
	print_quoted(stdout, copy);
	free(copy);
}

static void print_side(const char *key, const struct side *s)
{
	printf(",\n\"%s\":{", key);
	for (size_t i = 0; i < COUNT(rows); i++)
		printf("%s\"%s\":%" PRIu64, i ? "," : "", rows[i].key,
		       value_at(s, rows[i].offset));
	printf("}");
}

static void print_json_nodes(const struct outcome *o)
{
	printf(",\n\"nodes\":[");
	for (unsigned i = 0; i < o->nodes; i++)
		printf("%s{\"reserved_peak\":%" PRIu64
		       ",\"recorded_sent\":%" PRIu64 ",\"sent\":%" PRIu64 "}",
		       i ? "," : "", o->node[i].reserved_peak,
		       o->node[i].recorded_sent, o->node[i].sent);
	printf("]");
}

void outcome_print_json(const struct outcome *o)
{
	printf("{\"file\":");
	print_string(o->name);
	printf(",\"conf\":");
	print_string(o->options->conf ? o->options->conf : "");
	printf(",\"modelled\":%s,\"cpus\":%u,\"threads\":%u,\"pools\":%u,"
	       "\"events\":%" PRIu64 ",\"lost\":%" PRIu64
	       ",\"recorded_ns\":%" PRIu64, o->modelled ? "true" : "false",
	       o->cpus, o->threads, o->pools, o->events, o->lost, o->time_ns);
	print_side("recorded", &o->recorded);
	print_side("replayed", &o->replayed);
	printf(",\n\"waste\":{\"charged\":%" PRIu64, o->waste.charged);
	for (size_t i = 0; i < COUNT(waste_rows); i++)
		printf(",\"%s\":%" PRIu64, waste_rows[i].key,
		       value_at(&o->waste, waste_rows[i].offset));
	printf("},\n\"left_out\":{");
	for (size_t i = 0; i < COUNT(skipped_rows); i++)
		printf("%s\"%s\":%" PRIu64, i ? "," : "", skipped_rows[i].key,
		       value_at(o, skipped_rows[i].offset));
	printf("}");
	print_json_nodes(o);
	printf(",\n\"hits\":%" PRIu64 ",\"misses\":%" PRIu64
	       ",\"ns_a_call\":%.1f}\n", o->hits, o->misses,
	       outcome_ns_a_call(o));
}
