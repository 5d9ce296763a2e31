/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * export: see export.h.
 */
#include "export.h"
#include "report.h"
#include "tool.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define CHROME_SAMPLE_NS 100000 /* between two counters */
#define TRACE_SIZE_MAX 2147483647 /* of a text trace: Java's int */

/* --- csv ------------------------------------------------------------- */

static void csv_begin(struct exporter *x)
{
	(void)x;
	puts("time_ns,event,tid,cpu,cpu_home,pool,class,size,rounded,address,"
	     "chunk,handle,home,stack");
}

static void csv_piece(struct exporter *x, const struct event *e)
{
	printf(",%u,%u,%" PRIu64 ",%" PRIu64 ",0x%" PRIx64 ",0x%" PRIx64
	       ",0x%016" PRIx64 ",%d,", e->pool, e->class, e->size,
	       lives_usable(&x->lives, e), e->addr,
	       lives_chunk(&x->lives, e), lives_handle(&x->lives, e),
	       lives_home(&x->lives, e));
}

/* Of a slow way, class and home are what the kind says. */
static void csv_other(const struct event *e)
{
	if (says_home(e->kind))
		printf(",%u,,%" PRIu64 ",,0x%" PRIx64 ",,,%u,", e->pool,
		       e->size, e->addr, e->home);
	else
		printf(",%u,%u,%" PRIu64 ",,0x%" PRIx64 ",,,,", e->pool,
		       e->class, e->size, e->addr);
}

static void csv_event(struct exporter *x, const struct event *e,
		      const struct change *c)
{
	(void)c;
	printf("%" PRIu64 ",%s,%" PRIu32 ",", e->time_ns,
	       event_kinds[e->kind].name, e->tid);
	if (e->cpu != UINT32_MAX)
		printf("%" PRIu32, e->cpu);
	if (says_home(e->kind) || e->cpu == UINT32_MAX)
		putchar(',');
	else
		printf(",%u", e->home);
	if (is_call(e->kind) && e->kind != NP_TRACE_REFUSE)
		csv_piece(x, e);
	else
		csv_other(e);
	if (e->stack != RECORDING_NO_STACK)
		printf("%" PRIu32, e->stack);
	putchar('\n');
}

static void nothing(struct exporter *x)
{
	(void)x;
}

/* --- netty ----------------------------------------------------------- */

static bool fits(const struct piece *p)
{
	return p->size <= TRACE_SIZE_MAX;
}

/* A piece keeps its name when a realloc moves it: that is one operation, and
 * where it leads is for the replay to say. */
static void netty_event(struct exporter *x, const struct event *e,
			const struct change *c)
{
	const struct piece *p = &c->piece;

	(void)x;
	(void)e;
	if (c->kind == CHANGE_NONE || !fits(p))
		return;
	if (c->kind == CHANGE_RESIZED || (c->kind == CHANGE_BORN && c->moves))
		printf("c %" PRIu64 " %" PRIu64 "\n", p->number, p->size);
	else if (c->kind == CHANGE_BORN)
		printf("a %" PRIu64 " %" PRIu64 "\n", p->number, p->size);
	else if (!c->moves)
		printf("f %" PRIu64 "\n", p->number);
}

/* --- chrome ---------------------------------------------------------- */

static void chrome_begin(struct exporter *x)
{
	(void)x;
	printf("{\"displayTimeUnit\":\"ns\",\"traceEvents\":[");
}

static void chrome_next(struct exporter *x)
{
	printf(x->has_begun ? ",\n" : "\n");
	x->has_begun = true;
}

static void chrome_sample(struct exporter *x, uint64_t time_ns)
{
	const struct lives *l = &x->lives;

	chrome_next(x);
	printf("{\"name\":\"memory\",\"ph\":\"C\",\"pid\":1,\"ts\":%.3f,"
	       "\"args\":{\"asked for\":%" PRIu64 ",\"rounding\":%" PRIu64
	       ",\"outside\":%" PRIu64 "}}", (double)time_ns / 1e3, l->bytes,
	       l->usable - l->bytes,
	       l->reserved > l->usable ? l->reserved - l->usable : 0);
	x->next_ns = time_ns + CHROME_SAMPLE_NS;
}

static void chrome_event(struct exporter *x, const struct event *e,
			 const struct change *c)
{
	(void)c;
	if (e->time_ns >= x->next_ns)
		chrome_sample(x, e->time_ns);
	if (e->kind == NP_TRACE_THREAD) {
		chrome_next(x);
		printf("{\"name\":\"thread_name\",\"ph\":\"M\",\"pid\":1,"
		       "\"tid\":%" PRIu64 ",\"args\":{\"name\":\"thread %"
		       PRIu64 "\"}}", e->size, e->size);
	}
	if (e->kind < NP_TRACE_REFILL && e->kind != NP_TRACE_REFUSE)
		return;
	chrome_next(x);
	printf("{\"name\":\"%s\",\"ph\":\"i\",\"s\":\"t\",\"pid\":1,\"tid\":%"
	       PRIu32 ",\"ts\":%.3f,\"args\":{\"pool\":%u,\"class\":%u,"
	       "\"address\":\"0x%" PRIx64 "\",\"size\":%" PRIu64 "}}",
	       event_kinds[e->kind].name, e->tid, (double)e->time_ns / 1e3,
	       e->pool, e->class, e->addr, e->size);
}

static void chrome_end(struct exporter *x)
{
	(void)x;
	puts("\n]}");
}

/* --- folded ---------------------------------------------------------- */

/* In this format ; and blanks at the end mean something. */
static void print_frame(const char *name)
{
	for (; *name; name++)
		putchar(*name == ';' ? ':' : *name);
}

static void folded_end(struct exporter *x)
{
	for (uint32_t i = 0; i < x->nstacks; i++) {
		struct stack s = reader_stack(x->reader, i);
		uint32_t own = symbols_skip_own(x->symbols, s), k = s.n;

		if (!x->stacks[i].allocs)
			continue;
		while (k-- > own) {
			print_frame(symbols_name(x->symbols, s.frame[k]));
			if (k > own)
				putchar(';');
		}
		printf(" %" PRIu64 "\n", x->stacks[i].bytes);
	}
	if (x->stacks[x->nstacks].allocs)
		printf("(no stack) %" PRIu64 "\n",
		       x->stacks[x->nstacks].bytes);
}

/* --- stacks ---------------------------------------------------------- */

/* Their number may have grown. */
static void have_stacks(struct exporter *x)
{
	uint32_t n = reader_nstacks(x->reader);
	struct stack_sum *more;

	if (x->stacks && n <= x->nstacks)
		return;
	n = n < 64 ? 64 : 2 * n;
	more = get_memory(n + 1, sizeof *more);
	if (x->stacks) {
		memcpy(more, x->stacks, x->nstacks * sizeof *more);
		more[n] = x->stacks[x->nstacks];
	}
	free(x->stacks);
	x->stacks = more;
	x->nstacks = n;
}

static void sum_stacks(struct exporter *x, const struct event *e,
		       const struct change *c)
{
	const struct piece *p = &c->piece;
	struct stack_sum *s;

	(void)e;
	if (c->kind == CHANGE_NONE)
		return;
	have_stacks(x);
	s = &x->stacks[p->stack < x->nstacks ? p->stack : x->nstacks];
	if (c->kind == CHANGE_BORN) {
		s->allocs++;
		s->bytes += p->size;
		s->live++;
		s->live_bytes += p->size;
	} else if (c->kind == CHANGE_DIED) {
		s->live--;
		s->live_bytes -= p->size;
	} else {
		s->live_bytes += p->size - c->old_size;
	}
}

/* Now that all is read their number is known. */
static void end_stacks(struct exporter *x)
{
	struct stack_sum without;
	uint32_t n = reader_nstacks(x->reader);

	have_stacks(x);
	without = x->stacks[x->nstacks];
	x->stacks[n] = without;
	x->nstacks = n;
}

/* --- all of it ------------------------------------------------------- */

static const struct export_format formats[] = {
	{ "csv", csv_begin, csv_event, nothing },
	{ "netty", nothing, netty_event, nothing },
	{ "chrome", chrome_begin, chrome_event, chrome_end },
	{ "folded", nothing, sum_stacks, folded_end },
	{ "pprof", nothing, sum_stacks, pprof_end },
};

const struct export_format *export_find(const char *name)
{
	for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
		if (!strcmp(formats[i].name, name))
			return &formats[i];
	return NULL;
}

int export_recording(int fd, const char *name, const struct export_format *f)
{
	struct exporter x = { .reader = reader_open(fd, name) };
	const struct event *e;
	int code;

	lives_init(&x.lives);
	if (!reader_error(x.reader))
		f->begin(&x);
	while ((e = reader_next(x.reader))) {
		struct change c = lives_apply(&x.lives, e);

		f->event(&x, e, &c);
	}
	code = read_result(x.reader);
	if (code == READ_OK) {
		x.symbols = symbols_open(reader_maps(x.reader));
		end_stacks(&x);
		f->end(&x);
		symbols_close(x.symbols);
	}
	free(x.stacks);
	lives_free(&x.lives);
	reader_close(x.reader);
	return written_result(code);
}
