/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * chunklist: see chunklist.h.
 */
#include "chunklist.h"

#include <limits.h>

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
			.min_usage = table[i].min_usage,
			.max_usage = table[i].max_usage,
			.max_size = max_size_of(table[i].min_usage,
						chunk_size),
			.up = table[i].up < 0 ? NULL : &lists[table[i].up],
			.down = table[i].down < 0 ? NULL
						  : &lists[table[i].down],
		};
}

static void push_front(struct np_chunklist *list, struct np_chunk *c)
{
	c->list = list;
	c->prev = NULL;
	c->next = list->head;
	if (c->next)
		c->next->prev = c;
	list->head = c;
}

void np_chunklist_remove(struct np_chunk *c)
{
	if (c->prev)
		c->prev->next = c->next;
	else
		c->list->head = c->next;
	if (c->next)
		c->next->prev = c->prev;
	c->prev = c->next = NULL;
	c->list = NULL;
}

void np_chunklist_add(struct np_chunklist *list, struct np_chunk *c)
{
	int usage = (int)np_chunk_usage(c);

	while (usage >= list->max_usage)
		list = list->up;
	push_front(list, c);
}

struct np_chunk *np_chunklist_take(struct np_chunklist *list,
				   struct np_run_request *run)
{
	struct np_chunk *c;

	if (run->piece > list->max_size)
		return NULL;
	for (c = list->head; c; c = c->next) {
		run->first = np_chunk_take_run(c, run->npages,
					       run->align_order, run->entry,
					       &run->nclean);
		if (run->first != NP_NO_PAGE)
			break;
	}
	if (c && (int)np_chunk_usage(c) >= list->max_usage) {
		np_chunklist_remove(c);
		np_chunklist_add(list->up, c);
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
	struct np_chunklist *list = c->list;
	int usage = (int)np_chunk_usage(c);

	if (usage >= list->min_usage)
		return true;
	np_chunklist_remove(c);
	while (list && usage < list->min_usage)
		list = list->down;
	if (list)
		push_front(list, c);
	return list != NULL;
}

static bool list_valid(const struct np_chunklist *list)
{
	const struct np_chunk *prev = NULL;

	for (const struct np_chunk *c = list->head; c; prev = c, c = c->next) {
		int usage = (int)np_chunk_usage(c);

		if (c->list != list || c->prev != prev ||
		    usage < list->min_usage || usage >= list->max_usage)
			return false;
	}
	return true;
}

bool np_chunklists_valid(const struct np_chunklist lists[NP_NLISTS])
{
	for (int i = 0; i < NP_NLISTS; i++)
		if (!list_valid(&lists[i]))
			return false;
	return true;
}
