/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * report: all segments added up.
 *
 *	events (allocations, misses ...)  of all processes; what a forked
 *	                                  child has inherited is taken off
 *	states (used, cached, live ...)   of all processes, each as it was at
 *	                                  its end, or is now
 *	peaks                             of the process with the highest
 *
 * A process has a segment for each of its pools; what is said of processes
 * holds for each of them.
 *
 * Every segment adds rows to the tables of nodes, arenas and classes; then
 * each table is sorted and rows of the same node (arena, class) become one.
 * Processes may differ in all of that: a cpuset, other options. For Prometheus
 * rows of nodes and classes are not added up, see stat-metrics.c.
 *
 * Sums stop at the largest number instead of passing it: figures come from
 * files that may hold anything.
 */
#include "stat.h"
#include "sizeclass.h" /* enum np_kind */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* --- what the figures are --------------------------------------------- */

#define ADD(type, field) { #field, offsetof(struct type, field), FOLD_ADD }
#define MOST(type, field) { #field, offsetof(struct type, field), FOLD_MOST }
#define NET(type, field) { #field, offsetof(struct type, field), FOLD_NET }
#define NAMED(type, key, field) { key, offsetof(struct type, field), FOLD_ADD }

#define PAGES(type)                                         \
	NAMED(type, "pages_asked", pages.asked),            \
	NAMED(type, "pages_resident", pages.resident),      \
	NAMED(type, "pages_local", pages.local)

const struct figure total_figures[] = {
	ADD(total, allocs), ADD(total, frees),
	ADD(total, hits), ADD(total, misses),
	ADD(total, depot_gets), ADD(total, depot_puts),
	ADD(total, fills), ADD(total, flushes),
	ADD(total, foreign_frees), ADD(total, foreign_bytes),
	ADD(total, rehomes), ADD(total, forks), ADD(total, abandoned),
	ADD(total, threads), MOST(total, peak_threads),
	ADD(total, chunks),
	ADD(total, reserved), MOST(total, peak_reserved),
	ADD(total, taken), MOST(total, peak_taken),
	ADD(total, used), ADD(total, cached), ADD(total, purged),
	ADD(total, huge_blocks), ADD(total, huge_bytes),
	ADD(total, hugetlb_got), ADD(total, hugetlb_missed),
	ADD(total, charged), ADD(total, refused),
	ADD(total, pressures), ADD(total, reclaims),
	ADD(total, chunks_unseen), ADD(total, caches_unseen),
	ADD(total, spilled), MOST(total, spilled_ms),
	ADD(total, brought_home),
	PAGES(total),
	{ NULL, 0, FOLD_ADD },
};

const struct figure node_figures[] = {
	MOST(node_row, cpus),
	ADD(node_row, threads), ADD(node_row, chunks),
	ADD(node_row, reserved), MOST(node_row, peak_reserved),
	ADD(node_row, taken), MOST(node_row, peak_taken),
	ADD(node_row, used), ADD(node_row, cached),
	ADD(node_row, depot_bytes),
	ADD(node_row, huge_blocks), ADD(node_row, huge_bytes),
	ADD(node_row, spilled), MOST(node_row, spilled_ms),
	ADD(node_row, brought_home),
	ADD(node_row, hugetlb_got), ADD(node_row, hugetlb_missed),
	PAGES(node_row),
	{ NULL, 0, FOLD_ADD },
};

const struct figure flow_figures[] = {
	NET(flow_row, in_use),
	ADD(flow_row, sent), ADD(flow_row, sent_bytes),
	MOST(flow_row, distance),
	{ NULL, 0, FOLD_ADD },
};

const struct figure arena_figures[] = {
	ADD(arena_row, threads),
	ADD(arena_row, chunks), MOST(arena_row, peak_chunks),
	ADD(arena_row, spare),
	ADD(arena_row, reserved),
	ADD(arena_row, taken), MOST(arena_row, peak_taken),
	ADD(arena_row, purged),
	NAMED(arena_row, "allocs_tiny", allocs[NP_TINY]),
	NAMED(arena_row, "frees_tiny", frees[NP_TINY]),
	NAMED(arena_row, "allocs_small", allocs[NP_SMALL]),
	NAMED(arena_row, "frees_small", frees[NP_SMALL]),
	NAMED(arena_row, "allocs_normal", allocs[NP_NORMAL]),
	NAMED(arena_row, "frees_normal", frees[NP_NORMAL]),
	{ NULL, 0, FOLD_ADD },
};

const struct figure class_figures[] = {
	ADD(class_row, allocs), ADD(class_row, frees),
	ADD(class_row, live), ADD(class_row, live_bytes),
	{ NULL, 0, FOLD_ADD },
};

const struct figure thread_figures[] = {
	ADD(thread_row, allocs), ADD(thread_row, frees),
	ADD(thread_row, hits), ADD(thread_row, misses),
	ADD(thread_row, cached),
	ADD(thread_row, depot_gets), ADD(thread_row, depot_puts),
	ADD(thread_row, fills), ADD(thread_row, flushes),
	ADD(thread_row, foreign_frees), ADD(thread_row, foreign_bytes),
	ADD(thread_row, rehomes),
	{ NULL, 0, FOLD_ADD },
};

const char *const life_names[] = { "ended", "running", "gone" };
const char *const kind_names[] = { "tiny", "small", "normal", "huge" };

/* --- folding ---------------------------------------------------------- */

static void fold_row(void *into, const void *row, const struct figure *f)
{
	for (; f->key; f++) {
		uint64_t *to = figure_in(into, f);
		uint64_t value = *figure_in(row, f);

		if (f->fold == FOLD_ADD)
			*to = add_u64(*to, value);
		else if (f->fold == FOLD_NET)
			*to += value; /* wraps round below 0 */
		else if (value > *to)
			*to = value;
	}
}

size_t fold_rows(void *rows, size_t n, size_t size,
		 int (*compare)(const void *a, const void *b),
		 const struct figure *figures)
{
	char *to = rows, *from = rows;

	if (n < 2)
		return n;
	qsort(rows, n, size, compare);
	for (size_t i = 1; i < n; i++) {
		from += size;
		if (compare(to, from) == 0) {
			fold_row(to, from, figures);
		} else {
			to += size;
			memmove(to, from, size);
		}
	}
	return (size_t)(to - (char *)rows) / size + 1;
}

static int order(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

static int order_nodes(int64_t a, int64_t b)
{
	return (a > b) - (a < b);
}

static int compare_nodes(const void *a, const void *b)
{
	const struct node_row *x = a, *y = b;

	if (x->owner != y->owner)
		return order(x->owner, y->owner);
	if (x->home != y->home)
		return order(x->home, y->home);
	return order_nodes(x->kernel_node, y->kernel_node);
}

static int compare_flows(const void *a, const void *b)
{
	const struct flow_row *x = a, *y = b;

	if (x->by != y->by)
		return order(x->by, y->by);
	if (x->of != y->of)
		return order(x->of, y->of);
	if (x->by_kernel != y->by_kernel)
		return order_nodes(x->by_kernel, y->by_kernel);
	return order_nodes(x->of_kernel, y->of_kernel);
}

static int compare_arenas(const void *a, const void *b)
{
	const struct arena_row *x = a, *y = b;

	if (x->arena != y->arena)
		return order(x->arena, y->arena);
	if (x->home != y->home)
		return order(x->home, y->home);
	return order_nodes(x->kernel_node, y->kernel_node);
}

/* By size; the huge ones, whose size is 0, last. */
static int compare_classes(const void *a, const void *b)
{
	const struct class_row *x = a, *y = b;

	if (x->owner != y->owner)
		return order(x->owner, y->owner);
	if ((x->kind == NP_HUGE) != (y->kind == NP_HUGE))
		return x->kind == NP_HUGE ? 1 : -1;
	if (x->size != y->size)
		return order(x->size, y->size);
	if (x->npages != y->npages)
		return order(x->npages, y->npages);
	if (x->nelems != y->nelems)
		return order(x->nelems, y->nelems);
	return order(x->kind, y->kind);
}

static uint64_t mul_u64(uint64_t a, uint64_t b)
{
	uint64_t product;

	return __builtin_mul_overflow(a, b, &product) ? UINT64_MAX : product;
}

/* --- one segment ------------------------------------------------------ */

/* A segment on its way into the report. */
struct addition {
	struct report *report;
	const struct view *view;
	const struct sample *sample; /* NULL: none */
	struct total total;
	uint64_t owner;		/* of its rows of nodes and classes */
	struct node_row *nodes; /* of this segment, by home */
	uint64_t *held;		/* bytes that the threads of each home took,
				   less those that they gave back; without
				   block 0, whose are in the flows */
};

static void begin_nodes(struct addition *a)
{
	const struct view *v = a->view;

	a->nodes = get_memory(v->nnodes, sizeof *a->nodes);
	a->held = get_memory(v->nnodes, sizeof *a->held);
	for (unsigned i = 0; i < v->nnodes; i++) {
		const struct np_segment_node *from = &v->nodes[i];
		struct node_row *to = &a->nodes[i];

		to->owner = a->owner;
		to->kernel_node = from->kernel_node;
		to->home = i;
		to->cpus = from->cpus;
		to->reserved = np_count_get(&from->reserved);
		to->peak_reserved = np_count_get(&from->peak_reserved);
		to->taken = np_count_get(&from->taken);
		to->peak_taken = np_count_get(&from->peak_taken);
		to->depot_bytes = np_count_get(&from->depot_bytes);
		to->huge_blocks = np_count_get(&from->huge_blocks);
		to->huge_bytes = np_count_get(&from->huge_bytes);
		to->hugetlb_got = np_count_get(&from->hugetlb_got);
		to->hugetlb_missed = np_count_get(&from->hugetlb_missed);
		to->cached = to->depot_bytes;
		to->spilled = np_count_get(&from->spilled);
		to->brought_home = np_count_get(&from->brought_home);
		a->total.huge_blocks = add_u64(a->total.huge_blocks,
					       to->huge_blocks);
		a->total.huge_bytes = add_u64(a->total.huge_bytes,
					      to->huge_bytes);
		a->total.hugetlb_got = add_u64(a->total.hugetlb_got,
					       to->hugetlb_got);
		a->total.hugetlb_missed = add_u64(a->total.hugetlb_missed,
						  to->hugetlb_missed);
	}
}

/* How long the oldest spill of each node was known, when it was looked for
 * last. */
static void add_spills(struct addition *a)
{
	const struct view *v = a->view;
	uint64_t looked_ms = np_count_get(&v->head.looked_ms);

	for (unsigned i = 0; i < v->nchunks; i++) {
		const struct np_segment_chunk *c = &v->chunks[i];
		uint64_t ms = sub_u64(looked_ms, np_count_get(&c->spilled_ms));

		if (np_count_get(&c->base) && np_count_get(&c->spilled) &&
		    ms > a->nodes[c->home].spilled_ms)
			a->nodes[c->home].spilled_ms = ms;
	}
}

static void add_arena(struct addition *a, unsigned i)
{
	const struct np_segment_arena *from = &a->view->arenas[i];
	struct node_row *node = &a->nodes[from->home];
	struct arena_row to = {
		.kernel_node = node->kernel_node,
		.home = from->home,
		.arena = i,
		.threads = np_count_get(&from->threads),
		.chunks = np_count_get(&from->chunks),
		.peak_chunks = np_count_get(&from->peak_chunks),
		.spare = np_count_get(&from->spare),
		.reserved = np_count_get(&from->reserved),
		.taken = np_count_get(&from->taken),
		.peak_taken = np_count_get(&from->peak_taken),
		.purged = np_count_get(&from->purged),
	};
	struct report *r = a->report;

	for (unsigned k = 0; k < NP_KINDS; k++) {
		to.allocs[k] = np_count_get(&from->allocs[k]);
		to.frees[k] = np_count_get(&from->frees[k]);
	}
	node->threads = add_u64(node->threads, to.threads);
	node->chunks = add_u64(node->chunks, to.chunks);
	a->total.purged = add_u64(a->total.purged, to.purged);
	r->arenas = grow(r->arenas, r->narenas, sizeof to);
	r->arenas[r->narenas++] = to;
}

/* Bytes that the block's thread took, less those that it gave back; wraps
 * round. */
static uint64_t held_by(const struct view *v, const struct np_block *b)
{
	uint64_t bytes = 0;

	for (unsigned c = 0; c < v->nclasses; c++)
		bytes += v->classes[c].size *
			 (np_count_get(&b->class[c].allocs) -
			  np_count_get(&b->class[c].frees));
	return bytes;
}

/* What the block's cache holds; wraps round where a killed owner was between
 * two counts. */
static uint64_t cached_by(const struct view *v, const struct np_block *b)
{
	return np_count_get(&b->in_bytes) - np_count_get(&b->out_bytes) -
	       np_count_get(&b->foreign_bytes) -
	       np_count_get(&b->reclaimed_bytes) - held_by(v, b);
}

static void add_flows(struct addition *a)
{
	const struct view *v = a->view;
	struct report *r = a->report;

	for (unsigned i = 0; v->flows && i < v->nnodes * v->nnodes; i++) {
		unsigned by = i / v->nnodes, of = i % v->nnodes;
		struct flow_row row = {
			.by_kernel = v->nodes[by].kernel_node,
			.of_kernel = v->nodes[of].kernel_node,
			.by = by,
			.of = of,
			.in_use = np_count_get(&v->flows[i].taken),
			.sent = np_count_get(&v->flows[i].sent),
			.sent_bytes = np_count_get(&v->flows[i].sent_bytes),
			.distance = v->flows[i].distance,
		};

		if (by == of)
			row.in_use += a->held[by];
		r->flows = grow(r->flows, r->nflows, sizeof row);
		r->flows[r->nflows++] = row;
	}
}

/* Counts of all blocks, or of what a forked child has inherited. */
struct events {
	uint64_t misses, depot_gets, depot_puts, fills, flushes;
	uint64_t foreign_frees, foreign_bytes, rehomes;
	uint64_t allocs[NP_MAX_CLASSES + 1], frees[NP_MAX_CLASSES + 1];
};

static void add_count(uint64_t *to, const np_count_t *from)
{
	*to = add_u64(*to, np_count_get(from));
}

static void add_events(struct events *to, const struct np_block *b,
		       unsigned nclasses)
{
	add_count(&to->misses, &b->misses);
	add_count(&to->depot_gets, &b->depot_gets);
	add_count(&to->depot_puts, &b->depot_puts);
	add_count(&to->fills, &b->fills);
	add_count(&to->flushes, &b->flushes);
	add_count(&to->foreign_frees, &b->foreign_frees);
	add_count(&to->foreign_bytes, &b->foreign_bytes);
	add_count(&to->rehomes, &b->rehomes);
	for (unsigned c = 0; c < nclasses; c++) {
		add_count(&to->allocs[c], &b->class[c].allocs);
		add_count(&to->frees[c], &b->class[c].frees);
	}
}

static void take_off(struct events *from, const struct events *off)
{
	uint64_t *to = (uint64_t *)from;
	const uint64_t *what = (const uint64_t *)off;

	for (size_t i = 0; i < sizeof *from / sizeof *to; i++)
		to[i] = sub_u64(to[i], what[i]);
}

/* all: since the first process; own: since the fork. */
static void add_class(struct addition *a, unsigned c, const struct events *all,
		      const struct events *own)
{
	const struct np_segment_class *from = &a->view->classes[c];
	struct report *r = a->report;
	struct class_row to = {
		.owner = a->owner,
		.kind = c ? from->kind : NP_HUGE,
		.size = from->size,
		.npages = from->npages,
		.nelems = from->nelems,
		.allocs = own->allocs[c],
		.frees = own->frees[c],
		.live = sub_u64(all->allocs[c], all->frees[c]),
	};

	to.live_bytes = c ? mul_u64(to.live, to.size) : a->total.huge_bytes;
	a->total.allocs = add_u64(a->total.allocs, to.allocs);
	a->total.frees = add_u64(a->total.frees, to.frees);
	if (!to.allocs && !to.frees && !to.live)
		return;
	r->classes = grow(r->classes, r->nclasses, sizeof to);
	r->classes[r->nclasses++] = to;
}

/* A cache that is there now; block 0 stands for all that were. */
static void add_thread(struct addition *a, unsigned i)
{
	const struct view *v = a->view;
	const struct np_block *b = view_block(v, i);
	struct report *r = a->report;
	struct thread_row to = {
		.pid = v->name.pid,
		.tid = i ? b->tid : 0,
		.kernel_node = v->nodes[b->home].kernel_node,
		.home = b->home,
		.arena = b->arena,
		.misses = np_count_get(&b->misses),
		.cached = cached_by(v, b),
		.depot_gets = np_count_get(&b->depot_gets),
		.depot_puts = np_count_get(&b->depot_puts),
		.fills = np_count_get(&b->fills),
		.flushes = np_count_get(&b->flushes),
		.foreign_frees = np_count_get(&b->foreign_frees),
		.foreign_bytes = np_count_get(&b->foreign_bytes),
		.rehomes = np_count_get(&b->rehomes),
	};

	if (i && !b->live)
		return;
	for (unsigned c = 0; c < v->nclasses; c++) {
		add_count(&to.allocs, &b->class[c].allocs);
		add_count(&to.frees, &b->class[c].frees);
	}
	/* Seen between two counts. */
	if ((int64_t)to.cached < 0)
		to.cached = 0;
	to.hits = sub_u64(to.allocs, to.misses);
	memcpy(to.pool, v->head.pool, sizeof to.pool);
	r->threads = grow(r->threads, r->nthreads, sizeof to);
	r->threads[r->nthreads++] = to;
}

static void add_blocks(struct addition *a)
{
	struct events all = { 0 }, inherited = { 0 }, own;
	struct total *t = &a->total;
	const struct view *v = a->view;

	for (unsigned i = 0; i < v->nblocks; i++) {
		const struct np_block *b = view_block(v, i);

		add_events(&all, b, v->nclasses);
		if (i)
			a->held[b->home] += held_by(v, b);
		add_thread(a, i);
		a->nodes[b->home].cached += cached_by(v, b);
	}
	if (v->head.before.n)
		add_events(&inherited, v->before, v->nclasses);
	own = all;
	take_off(&own, &inherited);
	for (unsigned c = 0; c < v->nclasses; c++)
		add_class(a, c, &all, &own);
	t->misses = own.misses;
	t->hits = sub_u64(t->allocs, t->misses);
	t->depot_gets = own.depot_gets;
	t->depot_puts = own.depot_puts;
	t->fills = own.fills;
	t->flushes = own.flushes;
	t->foreign_frees = own.foreign_frees;
	t->foreign_bytes = own.foreign_bytes;
	t->rehomes = own.rehomes;
}

/* Are the kernel's numbers of all nodes known? Else no page is on its node. */
static bool knows_nodes(const struct view *v)
{
	for (unsigned i = 0; i < v->nnodes; i++)
		if (v->nodes[i].kernel_node < 0)
			return false;
	return true;
}

static struct pages pages_at_exit(const struct np_segment_header *h)
{
	struct pages none = { 0 };
	struct pages pages = { np_count_get(&h->pages_asked),
			       np_count_get(&h->pages_resident),
			       np_count_get(&h->pages_local) };

	if (h->state != NP_SEGMENT_ENDED || pages.resident > pages.asked ||
	    pages.local > pages.resident)
		return none;
	return pages;
}

/* Where the pages are: as the process found at its exit, else as it was seen
 * from here. Of several nodes the exit tells the sum only. */
static void add_pages(struct addition *a)
{
	const struct sample *s = a->sample;
	struct pages at_exit = pages_at_exit(&a->view->head);
	struct pages *sum = &a->total.pages;

	if (!knows_nodes(a->view))
		return;
	for (size_t i = 0; s && i < s->nhomes && i < a->view->nnodes; i++) {
		a->nodes[i].pages = s->by_home[i];
		sum->asked += s->by_home[i].asked;
		sum->resident += s->by_home[i].resident;
		sum->local += s->by_home[i].local;
	}
	if (!at_exit.resident)
		return;
	*sum = at_exit;
	if (a->view->nnodes == 1)
		a->nodes[0].pages = at_exit;
}

static void add_places(struct addition *a)
{
	const struct sample *s = a->sample;
	struct report *r = a->report;

	for (size_t i = 0; s && i < s->nplaces; i++) {
		r->places = grow(r->places, r->nplaces, sizeof *r->places);
		r->places[r->nplaces++] = s->places[i];
	}
}

/* Chunks and huge blocks that are counted and have no entry: if there was one
 * ever, since without that the difference is only what came while we looked. */
static void add_unseen(struct addition *a)
{
	const struct view *v = a->view;
	uint64_t chunks = 0, huge = 0, entries = 0, of_huge = 0;

	for (unsigned i = 0; i < v->narenas; i++)
		add_count(&chunks, &v->arenas[i].chunks);
	for (unsigned i = 0; i < v->nnodes; i++)
		add_count(&huge, &v->nodes[i].huge_blocks);
	for (unsigned i = 0; i < v->nchunks; i++) {
		bool is_there = np_count_get(&v->chunks[i].base) != 0;
		bool is_huge = v->chunks[i].arena == NP_SEGMENT_HUGE;

		entries += is_there && !is_huge;
		of_huge += is_there && is_huge;
	}
	if (np_count_get(&v->head.chunks_unseen))
		a->total.chunks_unseen = add_u64(sub_u64(chunks, entries),
						 sub_u64(huge, of_huge));
}

static void add_node(struct addition *a, struct node_row *node)
{
	struct report *r = a->report;
	struct total *t = &a->total;

	/* Less than nothing: seen between two counts. */
	if ((int64_t)node->cached < 0)
		node->cached = 0;
	node->used = sub_u64(node->taken, node->cached);
	t->chunks = add_u64(t->chunks, node->chunks);
	t->reserved = add_u64(t->reserved, node->reserved);
	t->peak_reserved = add_u64(t->peak_reserved, node->peak_reserved);
	t->taken = add_u64(t->taken, node->taken);
	t->peak_taken = add_u64(t->peak_taken, node->peak_taken);
	t->used = add_u64(t->used, node->used);
	t->cached = add_u64(t->cached, node->cached);
	t->spilled = add_u64(t->spilled, node->spilled);
	t->brought_home = add_u64(t->brought_home, node->brought_home);
	if (node->spilled_ms > t->spilled_ms)
		t->spilled_ms = node->spilled_ms;
	r->nodes = grow(r->nodes, r->nnodes, sizeof *node);
	r->nodes[r->nnodes++] = *node;
}

static void add_header(struct total *t, const struct np_segment_header *h)
{
	t->forks = np_count_get(&h->forks);
	t->abandoned = np_count_get(&h->abandoned);
	t->threads = np_count_get(&h->threads);
	t->peak_threads = np_count_get(&h->peak_threads);
	t->caches_unseen = np_count_get(&h->caches_unseen);
	t->charged = np_count_get(&h->charged);
	t->refused = np_count_get(&h->refused);
	t->pressures = np_count_get(&h->pressures);
	t->reclaims = np_count_get(&h->reclaims);
}

/* How many programs this process id has run before. */
static unsigned programs_before(const struct report *r, pid_t pid,
				bool is_program)
{
	unsigned n = 0;

	for (size_t i = 0; i < r->nprocesses; i++)
		n += r->processes[i].pid == pid && !r->processes[i].pool_slot;
	return is_program || !n ? n : n - 1;
}

bool report_has(const struct report *r, const struct view *view)
{
	uint32_t slot = view->head.pool_slot;
	unsigned number = programs_before(r, view->name.pid, !slot);

	for (size_t i = 0; i < r->nprocesses; i++)
		if (r->processes[i].pid == view->name.pid &&
		    r->processes[i].program_number == number &&
		    r->processes[i].pool_slot == slot)
			return true;
	return false;
}

static void add_process(struct addition *a, enum life life)
{
	const struct np_segment_header *h = &a->view->head;
	struct report *r = a->report;
	struct process p = {
		.pid = a->view->name.pid,
		.program_number = programs_before(r, a->view->name.pid,
						  !h->pool_slot),
		.pool_slot = h->pool_slot,
		.parent = h->parent,
		.life = life,
		.page_size = h->page_size,
		.chunk_size = (uint64_t)h->page_size << h->max_order,
		.class_table = h->class_table == NP_FINE ? "fine" : "netty",
		.total = a->total,
	};

	memcpy(p.program, h->program, sizeof p.program);
	memcpy(p.pool, h->pool, sizeof p.pool);
	memcpy(p.topology, h->topology, sizeof p.topology);
	memcpy(p.options, h->options, sizeof p.options);
	r->processes = grow(r->processes, r->nprocesses, sizeof p);
	r->processes[r->nprocesses++] = p;
	r->nprograms += !p.pool_slot;
	r->by_life[life] += !p.pool_slot;
	fold_row(&r->total, &p.total, total_figures);
}

void report_add(struct report *r, const struct view *view,
		const struct samples *samples, enum life life)
{
	struct addition a = {
		.report = r,
		.view = view,
		.sample = samples_find(samples, &view->name),
		.owner = r->options->metrics ? r->nprocesses + 1 : 0,
	};

	add_header(&a.total, &view->head);
	begin_nodes(&a);
	for (unsigned i = 0; i < view->narenas; i++)
		add_arena(&a, i);
	add_blocks(&a);
	add_flows(&a);
	add_spills(&a);
	add_unseen(&a);
	add_pages(&a);
	add_places(&a);
	for (unsigned i = 0; i < view->nnodes; i++)
		add_node(&a, &a.nodes[i]);
	add_process(&a, life);
	free(a.nodes);
	free(a.held);
	if (r->options->show & SHOW_PAGES || r->options->svg)
		chunks_add(r, view);
	r->nnodes = fold_rows(r->nodes, r->nnodes, sizeof *r->nodes,
			      compare_nodes, node_figures);
	r->nflows = fold_rows(r->flows, r->nflows, sizeof *r->flows,
			      compare_flows, flow_figures);
	r->narenas = fold_rows(r->arenas, r->narenas, sizeof *r->arenas,
			       compare_arenas, arena_figures);
	r->nclasses = fold_rows(r->classes, r->nclasses, sizeof *r->classes,
				compare_classes, class_figures);
	r->nplaces = fold_rows(r->places, r->nplaces, sizeof *r->places,
			       compare_places, place_figures);
}

/* --- all segments ----------------------------------------------------- */

static enum life life_of(const struct view *view, struct samples *samples)
{
	int alive;

	if (view->head.state == NP_SEGMENT_ENDED)
		return LIFE_ENDED;
	alive = view_is_alive(view);
	if (alive > 0)
		samples_take(samples, view);
	else if (alive < 0 && !samples->error)
		samples->error = EACCES;
	return alive ? LIFE_RUNNING : LIFE_GONE;
}

void report_skip(struct report *r, const char *name, const char *why)
{
	struct skipped *s;

	complain("segment %s is skipped: %s", name, why);
	r->skipped = grow(r->skipped, r->nskipped, sizeof *r->skipped);
	s = &r->skipped[r->nskipped++];
	s->name = format_text("%s", name);
	s->why = format_text("%s", why);
}

void report_read(struct report *r, int dir, struct samples *samples)
{
	struct segment_name *names;
	ssize_t n = segment_names(dir, &names);
	char why[200];

	if (n < 0)
		give_up(EXIT_SELF, "the folder of segments: %s",
			strerror(errno));
	for (ssize_t i = 0; i < n; i++) {
		struct view *view = view_open(dir, &names[i], why,
					      sizeof why);

		if (view && report_has(r, view))
			report_skip(r, names[i].text,
				    "another one is of the same pool");
		else if (view)
			report_add(r, view, samples,
				   life_of(view, samples));
		else
			report_skip(r, names[i].text, why);
		view_close(view);
	}
	r->sample_error = samples->error;
	free(names);
}

const struct process *report_main(const struct report *r)
{
	const struct process *main = r->nprocesses ? r->processes : NULL;

	/* Of its programs, the last one. */
	for (size_t i = 0; r->run && i < r->nprocesses; i++)
		if (r->processes[i].pid == r->run->command.pid &&
		    !r->processes[i].pool_slot)
			main = &r->processes[i];
	return main;
}

void report_free(struct report *r)
{
	for (size_t i = 0; i < r->nskipped; i++) {
		free(r->skipped[i].name);
		free(r->skipped[i].why);
	}
	free(r->processes);
	free(r->nodes);
	free(r->flows);
	free(r->arenas);
	free(r->classes);
	free(r->threads);
	free(r->places);
	chunks_free(r);
	free(r->skipped);
}
