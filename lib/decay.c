/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * decay: see decay.h.
 */
#include "decay.h"
#include "arena.h"
#include "os.h"

#define VISITS_A_LOOK 32 /* the clock costs about as much as a visit */

/* Purging works on whole system pages, which may be larger than ours. */
static uint32_t pages_in_unit(const struct np_chunk *c)
{
	size_t unit = np_os_page_size() >> c->classes->page_shift;

	return unit > 1 ? (uint32_t)unit : 1;
}

static size_t purge_chunk(struct np_chunk *c, bool all)
{
	unsigned shift = c->classes->page_shift;
	uint32_t unit = pages_in_unit(c), first = 0, n;
	size_t purged = 0;

	if (c->pinned || unit > np_chunk_npages(c))
		return 0;
	while ((n = np_chunk_next_dirty(c, all, unit, &first)) > 0) {
		size_t size = (size_t)n << shift;

		if (np_os_purge(c->base + ((size_t)first << shift),
				size) == 0) {
			np_chunk_mark_clean(c, first, n);
			purged += size;
		}
		first += n;
	}
	np_chunk_age(c);
	return purged;
}

static size_t purge_arena(struct np_arena *arena, bool all)
{
	size_t purged = 0;

	for (int i = 0; i < NP_NLISTS; i++)
		for (struct np_chunk *c = arena->lists[i].head; c; c = c->next)
			purged += purge_chunk(c, all);
	if (arena->spare)
		purged += purge_chunk(arena->spare, all);
	np_count_add(&arena->count->purged, purged);
	return purged;
}

void np_decay_visit(struct np_arena *arena)
{
	uint64_t now;

	if (!(arena->policies & NP_DECAY) || arena->decay_ms < 0)
		return;
	if (arena->decay_ms == 0) {
		np_arena_release_empty(arena);
		purge_arena(arena, true);
		return;
	}
	if (++arena->nops % VISITS_A_LOOK)
		return;
	now = np_os_now_ms();
	if (now < arena->next_tick_ms)
		return;
	if (arena->next_tick_ms) {
		np_arena_release_empty(arena);
		purge_arena(arena, false);
	}
	arena->next_tick_ms = now + (uint64_t)(arena->decay_ms + 1) / 2;
}

size_t np_decay_all(struct np_arena *arena)
{
	return purge_arena(arena, true);
}
