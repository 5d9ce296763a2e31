/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * place: where a pointer lies: in which region, chunk, run and element, and
 * how far into it. Handles, sizes and the messages about bad pointers are
 * made of it.
 *
 *	chunk base          first page            p
 *	|------...----------|====|====|====|------
 *	                    |<- slot 0 ->|<- slot 1: p is `offset` into it
 *
 * Owner: a place is a plain value. What it says of a piece that is not the
 * caller's own may be out of date; with the arena's lock held it is true.
 */
#ifndef NP_PLACE_H
#define NP_PLACE_H

#include "base.h"
#include "chunkmap.h"

struct np_place {
	struct np_region *region; /* NULL: nobody's; no other field counts */
	struct np_chunk *chunk;	  /* NULL: a huge block, or an empty place */
	uint32_t entry;		  /* of the page table; 0: a free page */
	unsigned class;		  /* 0: none */
	uint32_t first;		  /* first page of the run */
	uint32_t slot;		  /* element, or 0 */
	size_t offset;		  /* bytes behind the piece's start; 0 for a
				     pointer that was handed out */
};

struct np_place np_place_of(const void *p);

/* Is the piece at this place taken? The arena's lock must be held. */
bool np_place_is_taken(const struct np_place *place);

/* Ends the process: says what p is and what is wrong with it. what: the call
 * that p was handed to. */
_Noreturn void np_place_die(const void *p, const struct np_place *place,
			    const char *what);

#endif
