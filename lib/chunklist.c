/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * chunklist: see chunklist.h.
 */
#include "chunklist.h"
#include "probe.h"
#include "trace.h"

#include <limits.h>
#include <stdatomic.h>

static const struct {
	int min_usage, max_usage;
	int up, down; /* enum np_chunklist_name; -1: none */
} table[NP_NLISTS] = {
	[NP_QINIT] = { INT_MIN, 25, NP_Q000, NP_QINIT },
	[NP_Q000] = { 1, 50, NP_Q025, -1 },
	[NP_Q025] = { 25, 75, NP_Q050, NP_Q000 },
	[NP_Q050] = { 50, 100, NP_Q075, NP_Q025 },
	[NP_Q075] = { 75, 100, NP_Q100, NP_Q050 },
	[NP_Q100] = { 100, INT_MAX, -1, NP_Q075 },
};

/* A list that holds chunks from min_usage on cannot serve a piece that needs
 * more than the rest. */
static size_t max_size_of(int min_usage, size_t chunk_size)
{
	size_t used = min_usage < 1 ? 1 : (size_t)min_usage;

	return chunk_size * (100 - used) / 100;
}

void np_chunklists_init(struct np_chunklist lists[NP_NLISTS],
			size_t chunk_size)
{
	for (int i = 0; i < NP_NLISTS; i++)
		lists[i] = (struct np_chunklist){
			.name = (enum np_chunklist_name)i,
			.min_usage = table[i].min_usage,
			.max_usage = table[i].max_usage,
			.max_size = max_size_of(table[i].min_usage,
						chunk_size),
			.up = table[i].up < 0 ? NULL : &lists[table[i].up],
			.down = table[i].down < 0 ? NULL
						  : &lists[table[i].down],
			.home = NP_NO_NODE,
		};
}

void np_chunklists_index(struct np_chunklist lists[NP_NLISTS], np_home_t home)
{
	for (int i = 0; i < NP_NLISTS; i++)
		lists[i].home = home;
}

/* A list that has grown long gets its index now. */
static void enter_index(struct np_chunklist *list)
{
	if (list->index.size)
		np_chunkindex_add(&list->index, list->head, list->n);
	else if (list->n > NP_INDEX_FROM && list->home != NP_NO_NODE)
		np_chunkindex_create(&list->index, list->head, list->n,
				     list->home);
}

static void leave_index(struct np_chunklist *list, const struct np_chunk *c)
{
	if (!list->index.size)
		return;
	np_chunkindex_remove(&list->index, c);
	if (!list->n)
		np_chunkindex_destroy(&list->index);
}

static void update_index(struct np_chunk *c)
{
	if (c->list->index.size)
		np_chunkindex_update(&c->list->index, c);
}

void np_chunklist_show(const struct np_chunk *c)
{
	if (c->sight.list)
		atomic_store_explicit(c->sight.list,
				      c->list ? c->list->name : NP_NLISTS,
				      memory_order_relaxed);
}

static void push_front(struct np_chunklist *list, struct np_chunk *c)
{
	c->list = list;
	c->prev = NULL;
	c->next = list->head;
	if (c->next)
		c->next->prev = c;
	list->head = c;
	list->n++;
	enter_index(list);
	np_chunklist_show(c);
}

void np_chunklist_remove(struct np_chunk *c)
{
	if (c->prev)
		c->prev->next = c->next;
	else
		c->list->head = c->next;
	if (c->next)
		c->next->prev = c->prev;
	c->list->n--;
	leave_index(c->list, c);
	c->prev = c->next = NULL;
	c->list = NULL;
	np_chunklist_show(c);
}

void np_chunklist_add(struct np_chunklist *list, struct np_chunk *c)
{
	int usage = (int)np_chunk_usage(c);

	while (usage >= list->max_usage)
		list = list->up;
	push_front(list, c);
}

/* The first chunk from c on that is worth a try. */
static struct np_chunk *first_to_try(const struct np_chunklist *list,
				     struct np_chunk *c,
				     const struct np_run_request *run)
{
	unsigned order = np_log2_up(run->npages);

	if (!c || !list->index.size)
		return c;
	if (order < run->align_order)
		order = run->align_order;
	return np_chunkindex_find(&list->index, c, order);
}

/* Chunks without a region are a caller's own (npool_chunk.h). */
static void trace_move(const struct np_chunk *c,
		       const struct np_chunklist *from)
{
	if (np_unlikely(np_trace_on()) && c->region)
		np_trace_write(&(struct np_trace_fields){
			.kind = NP_TRACE_LIST, .addr = (uintptr_t)c->base,
			.size = (unsigned)from->name |
				(unsigned)c->list->name << 4 });
	if (c->region)
		NP_PROBE(list, c->base, from->name, c->list->name);
}

struct np_chunk *np_chunklist_take(struct np_chunklist *list,
				   struct np_run_request *run)
{
	struct np_chunk *c;

	if (run->piece > list->max_size)
		return NULL;
	for (c = first_to_try(list, list->head, run); c;
	     c = first_to_try(list, c->next, run)) {
		if (run->not_spilled && c->spill.bytes)
			continue;
		run->first = np_chunk_take_run(c, run->npages,
					       run->align_order, run->entry,
					       &run->nclean);
		update_index(c);
		if (run->first != NP_NO_PAGE)
			break;
	}
	if (c && (int)np_chunk_usage(c) >= list->max_usage) {
		np_chunklist_remove(c);
		np_chunklist_add(list->up, c);
		trace_move(c, list);
	}
	return c;
}

struct np_chunk *np_chunklists_take(struct np_chunklist lists[NP_NLISTS],
				    struct np_run_request *run)
{
	static const enum np_chunklist_name order[] = {
		NP_Q050, NP_Q025, NP_Q000, NP_QINIT, NP_Q075,
	};
	struct np_chunk *c = NULL;

	for (size_t i = 0; !c && i < sizeof order / sizeof *order; i++)
		c = np_chunklist_take(&lists[order[i]], run);
	return c;
}

bool np_chunklist_settle(struct np_chunk *c)
{
	struct np_chunklist *from = c->list, *list = from;
	int usage = (int)np_chunk_usage(c);

	if (usage >= list->min_usage) {
		update_index(c);
		return true;
	}
	np_chunklist_remove(c);
	while (list && usage < list->min_usage)
		list = list->down;
	if (list) {
		push_front(list, c);
		trace_move(c, from);
	}
	return list != NULL;
}

static bool list_valid(const struct np_chunklist *list)
{
	const struct np_chunk *prev = NULL;
	uint32_t n = 0;

	for (const struct np_chunk *c = list->head; c;
	     prev = c, c = c->next, n++) {
		int usage = (int)np_chunk_usage(c);

		if (c->list != list || c->prev != prev ||
		    usage < list->min_usage || usage >= list->max_usage)
			return false;
	}
	return n == list->n &&
	       (!list->index.size ||
		np_chunkindex_valid(&list->index, list->head));
}

bool np_chunklists_valid(const struct np_chunklist lists[NP_NLISTS])
{
	for (int i = 0; i < NP_NLISTS; i++)
		if (!list_valid(&lists[i]))
			return false;
	return true;
}
