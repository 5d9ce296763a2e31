/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * views that have tables of their own: the caches of threads, the chunk lists
 * of arenas, and where pages are. Those of nodes, arenas and classes are in the
 * report: stat-table.c.
 */
#include "stat.h"
#include "chunklist.h" /* NP_NLISTS */

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* --- threads ---------------------------------------------------------- */

static void print_thread(FILE *out, const struct thread_row *t)
{
	cell tid, pool, allocs, frees, hits, cached;

	snprintf(tid, sizeof tid, "%" PRIu64, t->tid);
	fprintf(out, "%7d %7s %-15s %4" PRIu64 " %5" PRIu64
		" %9s %9s %6s %9s\n", (int)t->pid, t->tid ? tid : "others",
		show_name(pool, t->pool, 15), t->home, t->arena,
		show_count(allocs, t->allocs),
		show_count(frees, t->frees),
		show_percent(hits, t->hits, t->allocs),
		show_bytes(cached, t->cached));
}

void threads_print(FILE *out, const struct report *r)
{
	cell n;

	fputs("\n    pid  thread pool            node arena allocated     "
	      "freed   hits    cached\n", out);
	for (size_t i = 0; i < r->nthreads; i++)
		print_thread(out, &r->threads[i]);
	fputs("\nA line for each cache: a thread has one for every pool and "
	      "node that it uses.\nothers: threads that have ended, and calls "
	      "without a cache.\n", out);
	if (r->total.caches_unseen)
		fprintf(out, "%s thread caches had no room in their segment "
			"and are not there.\n",
			show_count(n, r->total.caches_unseen));
}

/* --- lists ------------------------------------------------------------ */

/* By pool, then arena, list and number; huge blocks behind all arenas. */
static int compare_chunks(const void *a, const void *b)
{
	const struct chunk_row *x = *(const struct chunk_row *const *)a;
	const struct chunk_row *y = *(const struct chunk_row *const *)b;
	int by_pool = strcmp(x->pool, y->pool);

	if (x->pid != y->pid)
		return x->pid < y->pid ? -1 : 1;
	if (by_pool)
		return by_pool;
	if (x->arena != y->arena)
		return x->arena < y->arena ? -1 : 1;
	if (x->list != y->list)
		return x->list < y->list ? -1 : 1;
	return (x->number > y->number) - (x->number < y->number);
}

static bool is_same_arena(const struct chunk_row *a, const struct chunk_row *b)
{
	return a->pid == b->pid && !strcmp(a->pool, b->pool) &&
	       a->arena == b->arena;
}

static void print_arena_head(FILE *out, const struct chunk_row *c)
{
	char arena[48];

	snprintf(arena, sizeof arena, "arena %" PRIu64 " on node %" PRIu64,
		 c->arena, c->home);
	chunk_print_title(out, c, c->list == LIST_HUGE ? "huge blocks" : arena);
	fputs(c->list == LIST_HUGE
	      ? "       block        address  node       size    spilled\n"
	      : "list   chunk        address   taken  runs subpages  free "
	      "largest    spilled\n", out);
}

static void print_chunk(FILE *out, const struct chunk_row *c, bool is_first)
{
	cell taken, spilled, size;

	if (c->list == LIST_HUGE) {
		fprintf(out, "       %5" PRIu64 " %14" PRIx64 " %5" PRIu64
			" %10s %10s\n", c->number, c->base, c->home,
			show_bytes(size, c->size),
			show_bytes(spilled, c->spilled));
		return;
	}
	fprintf(out, "%-6s %5" PRIu64 " %14" PRIx64 " %7s %5" PRIu64 " %8"
		PRIu64 " %5" PRIu64 " %7" PRIu64 " %10s\n",
		is_first ? list_names[c->list] : "", c->number, c->base,
		show_percent(taken, chunk_taken(c), c->npages), c->runs,
		c->subpages, c->free_pages, chunk_largest(c),
		show_bytes(spilled, c->spilled));
}

void lists_print(FILE *out, const struct report *r)
{
	const struct chunk_row **rows = get_memory(r->nchunks, sizeof *rows);

	for (size_t i = 0; i < r->nchunks; i++)
		rows[i] = &r->chunks[i];
	qsort(rows, r->nchunks, sizeof *rows, compare_chunks);
	for (size_t i = 0; i < r->nchunks; i++) {
		bool same = i && is_same_arena(rows[i], rows[i - 1]);

		if (!same)
			print_arena_head(out, rows[i]);
		print_chunk(out, rows[i],
			    !same || rows[i]->list != rows[i - 1]->list);
	}
	if (!r->nchunks)
		fputs("\nno arena has a chunk\n", out);
	free(rows);
}

void chunks_print_unseen(FILE *out, const struct report *r)
{
	cell n;

	if (r->total.chunks_unseen)
		fprintf(out, "\n%s chunks or huge blocks have no room in their "
			"segment and are not shown.\n",
			show_count(n, r->total.chunks_unseen));
}

/* --- places ----------------------------------------------------------- */

#define ELSEWHERE_A_LINE 2 /* nodes: up to 7 digits on up to 4 */
#define ELSEWHERE_INDENT "                                             "

/* Of the home that begins at row i: pages, those in memory, those on its node.
 * Returns the row behind. */
static size_t sum_home(const struct report *r, size_t i, struct pages *sum)
{
	uint64_t home = r->places[i].home;

	*sum = (struct pages){ 0 };
	for (; i < r->nplaces && r->places[i].home == home; i++) {
		const struct place_row *p = &r->places[i];

		sum->asked = add_u64(sum->asked, p->pages);
		if (p->found == NOT_IN_MEMORY)
			continue;
		sum->resident = add_u64(sum->resident, p->pages);
		if (p->found == p->kernel_node)
			sum->local = add_u64(sum->local, p->pages);
	}
	return i;
}

static void print_elsewhere(FILE *out, const struct place_row *p, size_t n)
{
	unsigned shown = 0;

	for (size_t i = 0; i < n; i++) {
		cell pages;

		if (p[i].found == NOT_IN_MEMORY ||
		    p[i].found == p[i].kernel_node)
			continue;
		if (shown)
			fputs(shown % ELSEWHERE_A_LINE ? ", " :
			      ",\n" ELSEWHERE_INDENT, out);
		fprintf(out, "%s on %" PRId64, show_count(pages, p[i].pages),
			p[i].found);
		shown++;
	}
	fputs(shown ? "\n" : "-\n", out);
}

void places_print(FILE *out, const struct report *r)
{
	fputs("\nnode kernel      pages  in memory  on node  elsewhere: pages "
	      "on a node\n", out);
	for (size_t i = 0, next; i < r->nplaces; i = next) {
		const struct place_row *p = &r->places[i];
		struct pages sum;
		cell node, asked, resident, local;

		next = sum_home(r, i, &sum);
		fprintf(out, "%4" PRIu64 " %6s %10s %10s %8s  ", p->home,
			show_node(node, p->kernel_node),
			show_count(asked, sum.asked),
			show_count(resident, sum.resident),
			p->kernel_node < 0 ? "-"
			: show_percent(local, sum.local, sum.resident));
		print_elsewhere(out, p, next - i);
	}
	if (!r->nplaces)
		fprintf(out, "no process could be asked%s%s\n",
			r->sample_error ? ": " : "", r->sample_error
			? strerror(r->sample_error) : "");
}
