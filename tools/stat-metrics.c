/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * metrics: the report for Prometheus, in its text format 0.0.4, which is what
 * node_exporter's textfile collector reads.
 *
 *	npool_NAME{OWNER}		of a pool of a process
 *	npool_node_NAME{OWNER,node=,kernel_node=}	of a node there
 *	npool_class_NAME{OWNER,kind=,size=,pages=,elements=}	of a class
 *
 * OWNER is pid=,run=,program=,slot=,pool=; run and slot are
 * process.program_number and pool_slot: without them two lines could be of the
 * same name. Names end in the unit, those of counters in _total; times are in
 * seconds.
 *
 * A counter must not fall, or Prometheus takes it for one that began anew. So
 * nothing is added up over processes, which end: that is for Prometheus to do.
 * And hits are left out: they are the difference of two counters that are read
 * one after the other.
 *
 * Source: https://prometheus.io/docs/instrumenting/exposition_formats/ and, for
 * the names, https://prometheus.io/docs/practices/naming/
 */
#include "stat.h"
#include "sizeclass.h" /* enum np_kind */

#include <inttypes.h>
#include <string.h>

#define MS_A_SECOND 1000

enum kind_of_metric { GAUGE, COUNTER, GAUGE_MS };

/* key: of the figure. */
struct metric {
	const char *key, *name;
	enum kind_of_metric kind;
	const char *help;
};

static const struct metric process_metrics[] = {
	{ "allocs", "allocations_total", COUNTER,
	  "Pieces that the program was given" },
	{ "frees", "frees_total", COUNTER, "Pieces that the program freed" },
	{ "misses", "cache_misses_total", COUNTER,
	  "Allocations that the thread's cache did not serve" },
	{ "depot_gets", "depot_gets_total", COUNTER,
	  "Magazines that caches got from depots" },
	{ "depot_puts", "depot_puts_total", COUNTER,
	  "Magazines that caches put into depots" },
	{ "fills", "arena_fills_total", COUNTER,
	  "Visits to an arena for pieces" },
	{ "flushes", "arena_flushes_total", COUNTER,
	  "Visits to an arena with pieces" },
	{ "foreign_frees", "foreign_frees_total", COUNTER,
	  "Frees of pieces of another node" },
	{ "foreign_bytes", "foreign_bytes_total", COUNTER,
	  "Bytes of those" },
	{ "rehomes", "rehomes_total", COUNTER,
	  "Times that a thread was found on a new node" },
	{ "forks", "forks_total", COUNTER, "Children made" },
	{ "abandoned", "abandoned_caches_total", COUNTER,
	  "Thread caches that a fork left behind in this child" },
	{ "threads", "threads", GAUGE, "Threads with a cache" },
	{ "peak_threads", "peak_threads", GAUGE, "The most of them" },
	{ "chunks", "chunks", GAUGE, "Chunks, spare ones too" },
	{ "reserved", "reserved_bytes", GAUGE,
	  "Address space of chunks and huge blocks" },
	{ "peak_reserved", "peak_reserved_bytes", GAUGE, "The most of it" },
	{ "taken", "taken_bytes", GAUGE,
	  "What arenas and huge blocks gave out: used or cached" },
	{ "peak_taken", "peak_taken_bytes", GAUGE, "The most of it" },
	{ "used", "used_bytes", GAUGE, "What the program has" },
	{ "cached", "cached_bytes", GAUGE,
	  "What thread caches and depots hold" },
	{ "purged", "purged_bytes_total", COUNTER,
	  "Free pages that were given back to the kernel" },
	{ "huge_blocks", "huge_blocks", GAUGE, "Huge blocks in use" },
	{ "huge_bytes", "huge_block_bytes", GAUGE, "Bytes of those" },
	{ "hugetlb_got", "hugetlb_got_total", COUNTER,
	  "Mappings that got huge pages of a node's reserve" },
	{ "hugetlb_missed", "hugetlb_missed_total", COUNTER,
	  "Mappings that should have, and did not" },
	{ "charged", "charged_bytes", GAUGE,
	  "What limits count, at the last tick" },
	{ "refused", "refused_total", COUNTER,
	  "Requests refused at a limit, or for want of memory" },
	{ "pressures", "pressure_calls_total", COUNTER,
	  "Calls of the pressure function" },
	{ "reclaims", "reclaimed_caches_total", COUNTER,
	  "Idle thread caches that were emptied for others" },
	{ "chunks_unseen", "unseen_chunks", GAUGE,
	  "Chunks and huge blocks for which the segment has no room" },
	{ "caches_unseen", "unseen_caches_total", COUNTER,
	  "Thread caches for which the segment had no room" },
	{ "spilled", "spilled_bytes", GAUGE,
	  "Memory that was found on another node than its own" },
	{ "spilled_ms", "spilled_seconds", GAUGE_MS,
	  "How long the oldest of it is known" },
	{ "brought_home", "brought_home_bytes_total", COUNTER,
	  "Memory that npool_migrate_home moved" },
	{ "pages_asked", "sampled_pages", GAUGE,
	  "Pages of which the kernel was asked where they are" },
	{ "pages_resident", "sampled_resident_pages", GAUGE,
	  "Of those, the pages in memory" },
	{ "pages_local", "sampled_local_pages", GAUGE,
	  "Of those, the pages on the node where they belong" },
	{ NULL, NULL, GAUGE, NULL },
};

/* Of nodes there is less than of processes: the same names for the rest. */
static const struct metric node_metrics[] = {
	{ "cpus", "node_cpus", GAUGE, "CPUs whose threads the node serves" },
	{ "depot_bytes", "node_depot_bytes", GAUGE,
	  "The part of what is cached that is in depots" },
	{ NULL, NULL, GAUGE, NULL },
};

static const struct metric class_metrics[] = {
	{ "allocs", "class_allocations_total", COUNTER,
	  "Pieces of the class that programs were given" },
	{ "frees", "class_frees_total", COUNTER,
	  "Pieces of the class that programs freed" },
	{ "live", "class_live_pieces", GAUGE,
	  "Pieces of the class that programs have" },
	{ "live_bytes", "class_live_bytes", GAUGE, "Bytes of those" },
	{ NULL, NULL, GAUGE, NULL },
};

/* --- lines ------------------------------------------------------------ */

static void put_head(FILE *out, const char *prefix, const struct metric *m)
{
	fprintf(out, "# HELP npool_%s%s %s.\n# TYPE npool_%s%s %s\n", prefix,
		m->name, m->help, prefix, m->name,
		m->kind == COUNTER ? "counter" : "gauge");
}

static void put_value(FILE *out, const struct metric *m, uint64_t value)
{
	if (m->kind == GAUGE_MS)
		fprintf(out, " %" PRIu64 ".%03u\n", value / MS_A_SECOND,
			(unsigned)(value % MS_A_SECOND));
	else
		fprintf(out, " %" PRIu64 "\n", value);
}

static void put_label(FILE *out, const char *name, const char *value)
{
	fprintf(out, "%s=", name);
	print_quoted(out, value);
}

static const struct metric *metric_of(const struct metric *m, const char *key)
{
	while (m->key && strcmp(m->key, key) != 0)
		m++;
	return m->key ? m : NULL;
}

/* --- rows ------------------------------------------------------------- */

/* The name and the labels that all lines have; whoever calls ends them. */
static void put_name(FILE *out, const char *prefix, const struct metric *m,
		     const struct process *p)
{
	fprintf(out, "npool_%s%s{pid=\"%d\",run=\"%u\",", prefix, m->name,
		(int)p->pid, p->program_number);
	put_label(out, "program", p->program);
	fprintf(out, ",slot=\"%u\",", p->pool_slot);
	put_label(out, "pool", p->pool);
}

static void put_processes(FILE *out, const struct report *r)
{
	for (const struct figure *f = total_figures; f->key; f++) {
		const struct metric *m = metric_of(process_metrics, f->key);

		if (!m)
			continue;
		put_head(out, "", m);
		for (size_t i = 0; i < r->nprocesses; i++) {
			const struct process *p = &r->processes[i];

			put_name(out, "", m, p);
			fputc('}', out);
			put_value(out, m, *figure_in(&p->total, f));
		}
	}
}

static void put_nodes(FILE *out, const struct report *r)
{
	for (const struct figure *f = node_figures; f->key; f++) {
		const struct metric *own = metric_of(node_metrics, f->key);
		const struct metric *m =
			own ? own : metric_of(process_metrics, f->key);
		const char *prefix = own ? "" : "node_";
		cell node;

		if (!m)
			continue;
		put_head(out, prefix, m);
		for (size_t i = 0; i < r->nnodes; i++) {
			const struct node_row *n = &r->nodes[i];

			put_name(out, prefix, m, owner_of(r, n->owner));
			fprintf(out, ",node=\"%" PRIu64 "\","
				"kernel_node=\"%s\"}", n->home,
				show_node(node, n->kernel_node));
			put_value(out, m, *figure_in(n, f));
		}
	}
}

static void put_classes(FILE *out, const struct report *r)
{
	for (const struct figure *f = class_figures; f->key; f++) {
		const struct metric *m = metric_of(class_metrics, f->key);

		if (!m)
			continue;
		put_head(out, "", m);
		for (size_t i = 0; i < r->nclasses; i++) {
			const struct class_row *c = &r->classes[i];

			put_name(out, "", m, owner_of(r, c->owner));
			fprintf(out, ",kind=\"%s\",size=\"%" PRIu64 "\","
				"pages=\"%" PRIu64 "\",elements=\"%" PRIu64
				"\"}", kind_names[c->kind], c->size,
				c->npages, c->nelems);
			put_value(out, m, *figure_in(c, f));
		}
	}
}

void metrics_print(FILE *out, const struct report *r)
{
	fprintf(out, "# HELP npool_processes Processes that were read.\n"
		"# TYPE npool_processes gauge\nnpool_processes %zu\n",
		r->nprograms);
	put_processes(out, r);
	put_nodes(out, r);
	put_classes(out, r);
}
