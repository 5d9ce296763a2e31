/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * lines: see stat-top.h.
 */
#include "stat-top.h"
#include "sizeclass.h" /* enum np_kind */

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

uint64_t rate_of(const struct moment *now, const struct moment *before,
		 uint64_t value, uint64_t old)
{
	uint64_t ms = before ? sub_u64(now->ms, before->ms) : 0;

	return ms ? (uint64_t)((double)sub_u64(value, old) * 1000 / (double)ms)
		  : 0;
}

uint64_t permille(uint64_t part, uint64_t whole)
{
	return whole ? (uint64_t)((double)part * 1000 / (double)whole) : 0;
}

/* The row at i, or where it was in an earlier report: found by what it is of.
 * There it is mostly at the same place. NULL: it is new. */
static const void *row_before(const void *rows, size_t n, size_t size,
			      size_t i, const void *row,
			      bool (*is_same)(const void *a, const void *b))
{
	const char *at = rows;

	if (i < n && is_same(at + i * size, row))
		return at + i * size;
	for (size_t k = 0; k < n; k++)
		if (is_same(at + k * size, row))
			return at + k * size;
	return NULL;
}

static struct line *add_line(struct lines *lines)
{
	lines->row = grow(lines->row, lines->n, sizeof *lines->row);
	return &lines->row[lines->n++];
}

/* --- classes ---------------------------------------------------------- */

static bool is_same_class(const void *a, const void *b)
{
	const struct class_row *x = a, *y = b;

	return x->kind == y->kind && x->size == y->size &&
	       x->npages == y->npages && x->nelems == y->nelems;
}

static void fill_classes(struct lines *lines, const struct moment *now,
			 const struct moment *before)
{
	const struct report *r = &now->report;

	for (size_t i = 0; i < r->nclasses; i++) {
		const struct class_row *c = &r->classes[i];
		const struct class_row *old = before ? row_before(
			before->report.classes, before->report.nclasses,
			sizeof *c, i, c, is_same_class) : NULL;
		struct line *l = add_line(lines);
		cell size;

		snprintf(l->label, sizeof l->label, "%9s %s",
			 c->kind == NP_HUGE ? "-" : show_count(size, c->size),
			 kind_names[c->kind]);
		l->values[0] = rate_of(now, before, c->allocs,
				       old ? old->allocs : 0);
		l->values[1] = rate_of(now, before, c->frees,
				       old ? old->frees : 0);
		l->values[2] = c->live;
		l->values[3] = c->live_bytes;
		l->values[4] = c->allocs;
	}
}

/* --- threads ---------------------------------------------------------- */

static bool is_same_thread(const void *a, const void *b)
{
	const struct thread_row *x = a, *y = b;

	return x->pid == y->pid && x->tid == y->tid && x->home == y->home &&
	       !strcmp(x->pool, y->pool);
}

static void fill_threads(struct lines *lines, const struct moment *now,
			 const struct moment *before)
{
	const struct report *r = &now->report;

	for (size_t i = 0; i < r->nthreads; i++) {
		const struct thread_row *t = &r->threads[i];
		const struct thread_row *old = before ? row_before(
			before->report.threads, before->report.nthreads,
			sizeof *t, i, t, is_same_thread) : NULL;
		struct line *l = add_line(lines);
		cell tid, pool;

		snprintf(tid, sizeof tid, "%" PRIu64, t->tid);
		snprintf(l->label, sizeof l->label, "%7d %7s %s", (int)t->pid,
			 t->tid ? tid : "others", show_name(pool, t->pool, 12));
		l->values[0] = rate_of(now, before, t->allocs,
				       old ? old->allocs : 0);
		l->values[1] = rate_of(now, before, t->frees,
				       old ? old->frees : 0);
		l->values[2] = permille(t->hits, t->allocs);
		l->values[3] = t->cached;
		l->values[4] = t->home;
	}
}

/* --- arenas ----------------------------------------------------------- */

static bool is_same_arena(const void *a, const void *b)
{
	const struct arena_row *x = a, *y = b;

	return x->arena == y->arena && x->home == y->home &&
	       x->kernel_node == y->kernel_node;
}

static uint64_t pieces(const uint64_t by_kind[NP_KINDS])
{
	return by_kind[NP_TINY] + by_kind[NP_SMALL] + by_kind[NP_NORMAL];
}

static void fill_arenas(struct lines *lines, const struct moment *now,
			const struct moment *before)
{
	const struct report *r = &now->report;

	for (size_t i = 0; i < r->narenas; i++) {
		const struct arena_row *a = &r->arenas[i];
		const struct arena_row *old = before ? row_before(
			before->report.arenas, before->report.narenas,
			sizeof *a, i, a, is_same_arena) : NULL;
		struct line *l = add_line(lines);

		snprintf(l->label, sizeof l->label, "%5" PRIu64 " of node %"
			 PRIu64, a->arena, a->home);
		l->values[0] = a->taken;
		l->values[1] = a->reserved;
		l->values[2] = a->chunks;
		l->values[3] = a->threads;
		l->values[4] = rate_of(now, before, pieces(a->allocs),
				       old ? pieces(old->allocs) : 0);
		l->values[5] = rate_of(now, before, pieces(a->frees),
				       old ? pieces(old->frees) : 0);
	}
}

/* --- pools ------------------------------------------------------------ */

static bool is_same_process(const void *a, const void *b)
{
	return process_is_same(a, b);
}

static void fill_processes(struct lines *lines, const struct moment *now,
			   const struct moment *before)
{
	const struct report *r = &now->report;

	for (size_t i = 0; i < r->nprocesses; i++) {
		const struct process *p = &r->processes[i];
		const struct process *old = before ? row_before(
			before->report.processes, before->report.nprocesses,
			sizeof *p, i, p, is_same_process) : NULL;
		struct line *l = add_line(lines);
		cell pool = "";

		if (p->pool_slot)
			show_name(pool, p->pool, 10);
		snprintf(l->label, sizeof l->label, "%7d %.15s%s%s",
			 (int)p->pid, p->program, p->pool_slot ? ":" : "",
			 pool);
		l->values[0] = p->total.used;
		l->values[1] = p->total.cached;
		l->values[2] = p->total.reserved;
		l->values[3] = rate_of(now, before, p->total.allocs,
				       old ? old->total.allocs : 0);
		l->values[4] = permille(p->total.hits, p->total.allocs);
	}
}

/* --- all of them ------------------------------------------------------ */

const struct pane panes[] = {
	{ 'c', "classes", "     size kind",
	  { { "allocs/s", AS_COUNT }, { "frees/s", AS_COUNT },
	    { "live", AS_COUNT }, { "bytes", AS_BYTES },
	    { "allocs", AS_COUNT } }, 5, fill_classes },
	{ 't', "threads", "    pid  thread pool",
	  { { "allocs/s", AS_COUNT }, { "frees/s", AS_COUNT },
	    { "hits", AS_PERMILLE }, { "cached", AS_BYTES },
	    { "node", AS_COUNT } }, 5, fill_threads },
	{ 'a', "arenas", "arena",
	  { { "taken", AS_BYTES }, { "reserved", AS_BYTES },
	    { "chunks", AS_COUNT }, { "threads", AS_COUNT },
	    { "out/s", AS_COUNT }, { "back/s", AS_COUNT } }, 6, fill_arenas },
	{ 'p', "pools", "    pid program",
	  { { "used", AS_BYTES }, { "cached", AS_BYTES },
	    { "reserved", AS_BYTES }, { "allocs/s", AS_COUNT },
	    { "hits", AS_PERMILLE } }, 5, fill_processes },
};

const size_t npanes = sizeof panes / sizeof *panes;

/* --- sorting ---------------------------------------------------------- */

struct order {
	size_t column;
	bool reverse;
};

/* Lines that are equal keep the order of their labels, so that none hops. */
static int compare_lines(const void *a, const void *b, void *arg)
{
	const struct line *x = a, *y = b;
	const struct order *order = arg;
	uint64_t u = x->values[order->column], v = y->values[order->column];

	if (u != v)
		return (u > v) == order->reverse ? 1 : -1;
	return strcmp(x->label, y->label);
}

void lines_sort(struct lines *lines, size_t column, bool reverse)
{
	struct order order = { column, reverse };

	if (lines->n)
		qsort_r(lines->row, lines->n, sizeof *lines->row,
			compare_lines, &order);
}
