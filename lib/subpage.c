/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * subpage: see subpage.h.
 */
#include "subpage.h"

#include <string.h>

#define WORD_BITS 64

size_t np_subpage_size(uint32_t max_elems)
{
	return sizeof(struct np_subpage) +
	       np_subpage_words(max_elems) * sizeof(uint64_t);
}

/* --- the ring --------------------------------------------------------- */

static void push_front(struct np_subpage *sp, struct np_ring *head)
{
	sp->ring.prev = head;
	sp->ring.next = head->next;
	head->next->prev = &sp->ring;
	head->next = &sp->ring;
	sp->linked = true;
}

void np_subpage_unlink(struct np_subpage *sp)
{
	sp->ring.prev->next = sp->ring.next;
	sp->ring.next->prev = sp->ring.prev;
	sp->linked = false;
}

void np_subpage_defer(struct np_subpage *sp, struct np_ring *head)
{
	np_subpage_unlink(sp);
	sp->ring.prev = head->prev;
	sp->ring.next = head;
	head->prev->next = &sp->ring;
	head->prev = &sp->ring;
	sp->linked = true;
}

void np_subpage_move(struct np_subpage *sp, struct np_ring *head)
{
	np_subpage_unlink(sp);
	push_front(sp, head);
}

void np_subpage_init(struct np_subpage *sp, struct np_ring *head,
		     struct np_chunk *chunk, uint32_t first, unsigned class,
		     const struct np_class *row)
{
	sp->chunk = chunk;
	sp->first = first;
	sp->elem_size = row->size;
	sp->max_elems = row->nelems;
	sp->avail = row->nelems;
	sp->next_avail = 0;
	sp->class = (uint8_t)class;
	memset(sp->bitmap, 0,
	       np_subpage_words(row->nelems) * sizeof sp->bitmap[0]);
	push_front(sp, head);
	np_assert(np_subpage_valid(sp));
}

/* --- elements --------------------------------------------------------- */

/* Takes up to n clear bits of word w, lowest first. */
static uint32_t take_from_word(struct np_subpage *sp, uint32_t w, uint32_t n,
			       uint32_t *slots)
{
	uint32_t base = w * WORD_BITS, left = sp->max_elems - base, got = 0;
	uint64_t usable = left < WORD_BITS ? ((uint64_t)1 << left) - 1
					   : ~(uint64_t)0;
	uint64_t clear = ~sp->bitmap[w] & usable;

	for (; clear && got < n; clear &= clear - 1)
		slots[got++] = base + (uint32_t)__builtin_ctzll(clear);
	sp->bitmap[w] = ~clear & usable;
	return got;
}

static uint32_t take_last_freed(struct np_subpage *sp, uint32_t *slots)
{
	uint32_t slot = sp->next_avail;

	if (slot == NP_NO_ELEMENT)
		return 0;
	sp->next_avail = NP_NO_ELEMENT;
	sp->bitmap[slot / WORD_BITS] |= (uint64_t)1 << slot % WORD_BITS;
	slots[0] = slot;
	return 1;
}

uint32_t np_subpage_take(struct np_subpage *sp, uint32_t n, uint32_t *slots)
{
	uint32_t got;

	if (!sp->elem_size) { /* zero bytes: there is always room */
		memset(slots, 0, n * sizeof *slots);
		return n;
	}
	if (n > sp->avail)
		n = sp->avail;
	if (!n)
		return 0;
	got = take_last_freed(sp, slots);
	for (uint32_t w = 0; got < n; w++)
		got += take_from_word(sp, w, n - got, slots + got);
	sp->avail -= got;
	if (!sp->avail)
		np_subpage_unlink(sp);
	np_assert(np_subpage_valid(sp));
	return got;
}

bool np_subpage_take_slot(struct np_subpage *sp, uint32_t slot)
{
	if (slot >= sp->max_elems || np_subpage_is_taken(sp, slot))
		return false;
	sp->bitmap[slot / WORD_BITS] |= (uint64_t)1 << slot % WORD_BITS;
	if (sp->next_avail == slot)
		sp->next_avail = NP_NO_ELEMENT;
	if (!--sp->avail)
		np_subpage_unlink(sp);
	np_assert(np_subpage_valid(sp));
	return true;
}

enum np_put np_subpage_put(struct np_subpage *sp, struct np_ring *head,
			   uint32_t slot)
{
	if (!sp->elem_size)
		return NP_PUT_KEPT;
	np_assert(np_subpage_is_taken(sp, slot));
	sp->bitmap[slot / WORD_BITS] &= ~((uint64_t)1 << slot % WORD_BITS);
	sp->next_avail = slot;
	if (sp->avail++ == 0) {
		push_front(sp, head);
		if (sp->max_elems > 1)
			return NP_PUT_KEPT;
	}
	np_assert(np_subpage_valid(sp));
	if (sp->avail != sp->max_elems || sp->ring.prev == sp->ring.next)
		return NP_PUT_KEPT;
	np_subpage_unlink(sp);
	return NP_PUT_EMPTY;
}

bool np_subpage_page_is_free(const struct np_subpage *sp, uint32_t page,
			     unsigned page_shift)
{
	size_t start = (size_t)page << page_shift;
	size_t end = start + ((size_t)1 << page_shift);
	uint32_t slot, last;

	if (!sp->elem_size)
		return false;
	slot = (uint32_t)(start / sp->elem_size);
	last = (uint32_t)((end - 1) / sp->elem_size);
	for (; slot <= last && slot < sp->max_elems; slot++) {
		/* A word that is all clear is passed over whole. */
		if (slot % WORD_BITS == 0 && !sp->bitmap[slot / WORD_BITS])
			slot += WORD_BITS - 1;
		else if (np_subpage_is_taken(sp, slot))
			return false;
	}
	return true;
}

bool np_subpage_valid(const struct np_subpage *sp)
{
	uint32_t taken = 0;

	if (!sp->elem_size)
		return true;
	for (uint32_t w = 0; w < np_subpage_words(sp->max_elems); w++) {
		uint32_t left = sp->max_elems - w * WORD_BITS;

		if (left < WORD_BITS && sp->bitmap[w] >> left)
			return false;
		taken += (uint32_t)__builtin_popcountll(sp->bitmap[w]);
	}
	if (sp->next_avail != NP_NO_ELEMENT &&
	    (sp->next_avail >= sp->max_elems ||
	     np_subpage_is_taken(sp, sp->next_avail)))
		return false;
	return sp->avail == sp->max_elems - taken &&
	       sp->linked == (sp->avail > 0);
}
