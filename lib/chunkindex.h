/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * chunkindex: which chunk of a long list is the first that may serve a run,
 * without a look at those that cannot.
 *
 *	place    0 ..... front ........................ size - 1
 *	chunk    (free)  head of the list  (gone)  ...  its tail
 *	best     0       of each: 1 + log2 of the pages of its largest free
 *	                 run; 0: there is none, or no chunk
 *	most     of each group of 64 places: the largest best
 *
 * Chunks enter a list at its front only, so places ascend from its head to its
 * tail. A place that was left stays empty; when all places before the front
 * are used up, the chunks move together, to a larger index if they fill more
 * than half of it. So a chunk that enters pays for moving two at most.
 *
 * `best` may be too high, for a chunk of which somebody took a run without
 * telling (chunksets do); never too low. Who finds a chunk that cannot serve
 * updates it and looks on.
 *
 * Invariants (np_chunkindex_valid): chunk[c->place] == c; places ascend along
 * the list; best[place] >= np_chunk_best(chunk[place]); most is what it says.
 *
 * Owner: the list's; guarded by the arena's lock.
 */
#ifndef NP_CHUNKINDEX_H
#define NP_CHUNKINDEX_H

#include "base.h"
#include "chunk.h"

#define NP_INDEX_FROM 32 /* chunks of a list: fewer are walked as fast */

struct np_chunkindex {
	uint32_t size;	 /* places, 0: there is no index */
	uint32_t front;	 /* the head's place */
	np_home_t home;	 /* that its memory came from */
	struct np_chunk **chunk;
	uint8_t *best, *most;
};

/* Makes an index of the list that begins with head, of n chunks, in metadata
 * of this home. Without memory there is none. */
void np_chunkindex_create(struct np_chunkindex *index, struct np_chunk *head,
			  uint32_t n, np_home_t home);

/* Frees it. */
void np_chunkindex_destroy(struct np_chunkindex *index);

/* The list has a new head, and n chunks with it. Where memory for more places
 * is missing, the index is gone. */
void np_chunkindex_add(struct np_chunkindex *index, struct np_chunk *head,
		       uint32_t n);

/* The chunk leaves. */
void np_chunkindex_remove(struct np_chunkindex *index,
			  const struct np_chunk *chunk);

/* Runs of the chunk were taken or given back. */
void np_chunkindex_update(struct np_chunkindex *index,
			  const struct np_chunk *chunk);

/* The first chunk, from this one on towards the tail, that may have a free
 * run of 1 << order pages; NULL: none has. */
struct np_chunk *np_chunkindex_find(const struct np_chunkindex *index,
				    const struct np_chunk *from,
				    unsigned order);

bool np_chunkindex_valid(const struct np_chunkindex *index,
			 const struct np_chunk *head);

#endif
