/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * spill: see spill.h.
 */
#include "spill.h"
#include "arena.h"
#include "decay.h"
#include "probe.h"
#include "trace.h"

#include <errno.h>

bool np_spill_is_likely(const struct np_owner *owner, const void *base,
			size_t size, uint64_t turn)
{
	size_t page = np_os_page_size();
	size_t step = np_round_up(size / NP_SPILL_SAMPLE + 1, page);
	size_t first = (size_t)(turn % (step / page)) * page;
	struct np_os_pages pages = { 0 };

	return first < size &&
	       np_os_look((const char *)base + first, size - first, step,
			  owner->bind_node, &pages) == 0 && pages.away;
}

/* --- noting ------------------------------------------------------------ */

/* Returns the change, which wraps round. */
static size_t note(const struct np_owner *owner, struct np_spill *spill,
		   uintptr_t base, int sight_entry, size_t bytes)
{
	size_t change = bytes - spill->bytes;
	struct np_segment_node *node;

	if (!bytes && !spill->bytes)
		return 0;
	if (!spill->bytes)
		spill->since_ms = np_os_now_ms();
	spill->bytes = bytes;
	if (change)
		NP_TELL_BYTES(NP_TRACE_SPILL, spill, owner->tag, base, bytes);
	if (!owner->segment)
		return change;
	node = np_segment_node(owner->segment, np_owner_home(owner));
	np_count_add_shared(&node->spilled, change);
	np_segment_spilled(owner->segment, sight_entry, spill);
	return change;
}

void np_spill_note_chunk(struct np_arena *a, struct np_chunk *c, size_t bytes)
{
	a->spilled += note(&a->owner, &c->spill, (uintptr_t)c->base,
			   c->sight.entry, bytes);
}

void np_spill_note_block(struct np_region *r, size_t bytes)
{
	note(r->owner, &r->spill, r->base, r->sight_entry, bytes);
}

static void count_moved(const struct np_owner *owner, size_t bytes)
{
	if (bytes)
		np_count_add_shared(&np_segment_node(owner->segment,
						     np_owner_home(owner))
					     ->brought_home, bytes);
}

/* --- one stretch ------------------------------------------------------- */

void np_spill_fetch(const struct np_owner *owner, void *base, size_t size,
		    struct np_brought *brought)
{
	struct np_os_pages pages = { 0 };
	size_t page = np_os_page_size();
	int error = owner->pinned
		? np_os_look(base, size, page, owner->bind_node, &pages)
		: np_os_fetch(base, size, owner->bind_node, &pages);

	if (!error && pages.away)
		error = EBUSY; /* pinned */
	if (!brought->error)
		brought->error = error;
	brought->pages.seen += pages.seen;
	brought->pages.away += pages.away;
	brought->pages.moved += pages.moved;
	count_moved(owner, pages.moved);
}

/* --- the chunks of an arena -------------------------------------------- */

void np_spill_defer(struct np_arena *a, struct np_subpage *sp)
{
	if (a->policies & NP_SPILLED_LAST && sp->linked)
		np_subpage_defer(sp, &a->pools[sp->class]);
}

static void defer_subpages(struct np_arena *a, const struct np_chunk *c)
{
	for (uint32_t p = 0; p < np_chunk_npages(c); p++) {
		uint32_t entry = c->pages[p];

		if (entry & NP_PAGE_SUBPAGE && !(entry >> NP_PAGE_OFFSET_SHIFT))
			np_spill_defer(a, np_chunk_subpage(c, p));
	}
}

/* Is the chunk to be looked at page by page? What is known is looked at again
 * in turn, if there is much of it. */
static bool is_due(const struct np_arena *a, const struct np_chunk *c)
{
	size_t size = c->classes->chunk_size;

	if (c->spill.bytes)
		return np_spill_is_turn(a->spilled, a->pass + c->serial);
	return np_spill_is_likely(&a->owner, c->base, size, a->pass);
}

static void look_at(struct np_arena *a, struct np_chunk *c)
{
	size_t size = c->classes->chunk_size;
	struct np_os_pages pages = { 0 };

	if (!is_due(a, c))
		return;
	np_decay_chunk(a, c);
	if (np_os_look(c->base, size, np_os_page_size(), a->owner.bind_node,
		       &pages) != 0)
		return;
	np_spill_note_chunk(a, c, pages.away);
	if (pages.away)
		defer_subpages(a, c);
}

static void fetch(struct np_arena *a, struct np_chunk *c,
		  struct np_brought *brought)
{
	size_t was_away = brought->pages.away;

	np_decay_chunk(a, c);
	np_spill_fetch(&a->owner, c->base, c->classes->chunk_size, brought);
	np_spill_note_chunk(a, c, brought->pages.away - was_away);
}

/* brought: NULL, only looks. */
static size_t visit(struct np_arena *a, struct np_region *r, void *brought)
{
	for (uint32_t i = 0; i < r->nchunks; i++) {
		struct np_chunk *c = atomic_load_explicit(
			&r->chunks[i], memory_order_relaxed);

		if (c && brought)
			fetch(a, c, brought);
		else if (c)
			look_at(a, c);
	}
	return 1; /* the kernel was asked: others may come in */
}

void np_spill_look_arena(struct np_arena *a)
{
	if (a->owner.sees)
		np_arena_pass(a, visit, NULL);
}

void np_spill_fetch_arena(struct np_arena *a, struct np_brought *brought)
{
	if (a->owner.sees)
		np_arena_pass(a, visit, brought);
}
