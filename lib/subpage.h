/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * subpage: a run cut into equal elements, with a bitmap (1 = taken).
 *
 *	page     0                 1                 2
 *	         |e0|e1|e2|e3|e4|e5|e6|e7|e8|e9|...|e18|tail|
 *	bitmap    1  1  0  1  0 ...              next_avail = 2
 *
 * An element is found in two steps: the one that was freed last, if any, is
 * taken first; else the lowest clear bit. Only the last free is remembered.
 *
 * Subpages that have a free element are linked in the pool of their class, a
 * ring whose head is no subpage; full ones are in no ring, and the chunk's
 * page table finds them when one of their elements is freed. Requests are
 * served from the first of the ring; one that was full goes to the front.
 *
 * A class of zero bytes (quirk Q1 of Netty) has one element that can be
 * taken for ever and never comes back.
 *
 * Invariants (np_subpage_valid): avail == max_elems - set bits; no bit at or
 * above max_elems; in the ring iff avail > 0; next_avail is clear or none.
 *
 * Owner: the chunk's arena; every field is guarded by its lock.
 *
 * Source: the slab's bitmap as in PoolSubpage of Netty up to 4.1.51.
 */
#ifndef NP_SUBPAGE_H
#define NP_SUBPAGE_H

#include "base.h"
#include "sizeclass.h"

#define NP_NO_ELEMENT UINT32_MAX

struct np_chunk;

/* A link of a ring; the head of a ring is a bare link. */
struct np_ring {
	struct np_ring *prev, *next;
};

struct np_subpage {
	struct np_ring ring; /* first, so that a link is its subpage */
	struct np_chunk *chunk;
	uint32_t first;	     /* its first page */
	uint32_t elem_size;  /* bytes */
	uint32_t max_elems;
	uint32_t avail;	     /* free elements */
	uint32_t next_avail; /* freed last, or NP_NO_ELEMENT */
	uint8_t class;
	bool linked;	     /* in the ring */
	uint64_t bitmap[];   /* np_subpage_words(max_elems of the table) */
};

/* Words of a bitmap of nelems elements. */
static inline uint32_t np_subpage_words(uint32_t nelems)
{
	return (nelems + 63) / 64;
}

/* Bytes of a subpage of up to max_elems elements. */
size_t np_subpage_size(uint32_t max_elems);

/* Makes an empty ring of a head. */
static inline void np_ring_init(struct np_ring *head)
{
	head->prev = head->next = head;
}

/* The first subpage of a ring, or NULL. */
static inline struct np_subpage *np_ring_first(const struct np_ring *head)
{
	return head->next == head ? NULL
				  : (struct np_subpage *)(void *)head->next;
}

/* Cuts the run at page `first` of the chunk into elements, all free, and
 * pushes the subpage to the front of the ring. */
void np_subpage_init(struct np_subpage *sp, struct np_ring *head,
		     struct np_chunk *chunk, uint32_t first, unsigned class,
		     const struct np_class *row);

/* Takes up to n elements into slots, as n single calls would; leaves the ring
 * when full. Returns how many it took. */
uint32_t np_subpage_take(struct np_subpage *sp, uint32_t n, uint32_t *slots);

/* Takes just this element. Returns false if it is taken, or there is none of
 * that number. */
bool np_subpage_take_slot(struct np_subpage *sp, uint32_t slot);

enum np_put {
	NP_PUT_KEPT,  /* the subpage lives on */
	NP_PUT_EMPTY, /* all is free and it has left the ring: its run shall
			 be given back */
};

/* Puts an element back. The last subpage of a ring stays although empty. The
 * element must be taken (np_subpage_is_taken). */
enum np_put np_subpage_put(struct np_subpage *sp, struct np_ring *head,
			   uint32_t slot);

/* Takes an empty subpage out of its ring, the last one too. */
void np_subpage_unlink(struct np_subpage *sp);

/* Puts a subpage that is in this ring to its end. */
void np_subpage_defer(struct np_subpage *sp, struct np_ring *head);

/* Puts a subpage that is in a ring to the front of another one. */
void np_subpage_move(struct np_subpage *sp, struct np_ring *head);

static inline bool np_subpage_is_taken(const struct np_subpage *sp,
				       uint32_t slot)
{
	return !sp->elem_size ||
	       (slot < sp->max_elems && sp->bitmap[slot / 64] >> slot % 64 & 1);
}

/* Is no element that lies on this page (counted within the run) taken? */
bool np_subpage_page_is_free(const struct np_subpage *sp, uint32_t page,
			     unsigned page_shift);

bool np_subpage_valid(const struct np_subpage *sp);

#endif
