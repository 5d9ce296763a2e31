/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * decay: see decay.h.
 */
#include "decay.h"
#include "arena.h"
#include "os.h"
#include "probe.h"
#include "trace.h"

#define LOOKED_AT 256 /* subpages of a class in a tick: nobody shall wait long
			 for those that are empty, which are few */

/* Purging works on whole system pages, which may be larger than ours; where
 * huge pages are wanted, on those: a part of one would break it up, and be
 * filled again by khugepaged(8). */
static uint32_t pages_in_unit(const struct np_arena *a)
{
	size_t unit = np_os_page_size();

	if (a->owner.pages >= NP_PAGES_THP)
		unit = NP_HUGE_PAGE < a->classes->chunk_size
			? NP_HUGE_PAGE : a->classes->chunk_size;
	unit >>= a->classes->page_shift;
	return unit > 1 ? (uint32_t)unit : 1;
}

static bool may_purge(const struct np_arena *a, const struct np_chunk *c)
{
	return !c->pinned && !c->populated &&
	       pages_in_unit(a) <= np_chunk_npages(c);
}

static int give_back(const struct np_arena *a, const struct np_chunk *c,
		     char *p, size_t size)
{
	return c->region->hugetlb
		? np_os_replace_hugetlb(p, size, a->owner.bind_node)
		: np_os_purge(p, size);
}

/* Purges a stretch of dirty units; returns the bytes given back. What a taken
 * subpage holds stays charged: it is charged whole. */
static size_t purge(struct np_arena *a, struct np_chunk *c, uint32_t first,
		    uint32_t n)
{
	unsigned shift = c->classes->page_shift;
	uint32_t nfree = 0;

	if (give_back(a, c, c->base + ((size_t)first << shift),
		      (size_t)n << shift) != 0)
		return 0;
	for (uint32_t i = first; i < first + n; i++)
		nfree += !c->pages[i] && np_chunk_is_dirty(c, i);
	np_chunk_mark_clean(c, first, n);
	np_limits_refund(&a->owner.limits, (size_t)nfree << shift);
	np_count_add(&a->count->purged, (size_t)n << shift);
	NP_TELL_BYTES(NP_TRACE_DECAY, decay, a->owner.tag,
		      c->base + ((size_t)first << shift), (size_t)n << shift);
	return (size_t)n << shift;
}

void np_decay_run(struct np_arena *a, struct np_chunk *c, uint32_t first,
		  uint32_t n)
{
	uint32_t unit = pages_in_unit(a);
	uint32_t end = (first + n + unit - 1) / unit * unit;

	if (!may_purge(a, c))
		return;
	first = first / unit * unit; /* its neighbours may be free too */
	while (first + unit <= end) {
		n = np_chunk_next_dirty(c, true, unit, &first);
		if (first >= end || !n)
			return;
		n = n < end - first ? n : end - first;
		purge(a, c, first, n);
		first += n;
	}
}

static size_t purge_chunk(struct np_arena *a, struct np_chunk *c, bool all)
{
	uint32_t unit = pages_in_unit(a), first = 0, n;
	size_t purged = 0;

	while (may_purge(a, c) &&
	       (n = np_chunk_next_dirty(c, all, unit, &first)) > 0) {
		purged += purge(a, c, first, n);
		first += n;
	}
	np_chunk_age(c);
	return purged;
}

size_t np_decay_chunk(struct np_arena *a, struct np_chunk *c)
{
	return purge_chunk(a, c, true);
}

static size_t purge_region(struct np_arena *a, struct np_region *r, void *all)
{
	size_t purged = 0;

	for (uint32_t i = 0; i < r->nchunks; i++) {
		struct np_chunk *c = atomic_load_explicit(
			&r->chunks[i], memory_order_relaxed);

		if (c)
			purged += purge_chunk(a, c, *(bool *)all);
	}
	return purged;
}

size_t np_decay_tick(struct np_arena *a)
{
	bool all = false;
	size_t bytes;

	if (!(a->policies & NP_DECAY) || a->decay_ms < 0)
		return 0;
	np_arena_release_empty(a, LOOKED_AT);
	bytes = np_arena_release_chunks(a, false);
	return bytes + np_arena_pass(a, purge_region, &all);
}

size_t np_decay_all(struct np_arena *a)
{
	bool all = true;

	return np_arena_pass(a, purge_region, &all);
}
