/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * handle: what npool_chunk.h calls a chunk: one of chunk.h with a table of
 * size classes and pools of subpages of its own, and a check at the border for
 * every number that comes in. A chunk that is in a set of lists (chunkset.c)
 * uses the set's pools.
 *
 *	metadata   | npool_chunk | page table | np_chunk: tree, bitmaps ... |
 *
 * Invariants (npool_chunk_valid): those of chunk.h and of every subpage; the
 * page table names as many pages and elements as tree and bitmaps have taken.
 *
 * Owner: the caller; nothing is guarded.
 */
#ifndef NP_HANDLE_H
#define NP_HANDLE_H

#include "base.h"
#include "chunk.h"
#include "chunklist.h"
#include "npool_chunk.h"

struct npool_chunk {
	struct np_classes classes; /* first: np_chunk leads here by it */
	enum np_class_table table;
	struct np_chunk *chunk;
	struct np_ring *rings;	/* not-full subpages by class: its own, or
				   those of its set */
	struct np_ring own[NP_MAX_CLASSES];
	struct npool_chunklist *set; /* NULL: none */
	void *user;
	void *block;		/* our piece of memory; NULL: the caller's */
};

/* What a handle names. */
struct np_named {
	uint32_t first, npages;
	unsigned class;
	struct np_subpage *subpage; /* NULL: it is a run */
	uint32_t slot;
};

/* Fills in the table for a shape. Returns 0 or EINVAL. */
int np_shape_classes(const struct npool_shape *shape,
		     struct np_classes *classes);

/* Memory for size bytes of metadata, aligned: in meta, or a piece of ours, then
 * in *block. NULL: meta_size is too small, or there is no memory. */
void *np_shape_room(void *meta, size_t meta_size, size_t size, void **block);

static inline struct npool_chunk *np_handle_owner(const struct np_chunk *chunk)
{
	return (struct npool_chunk *)(uintptr_t)chunk->classes;
}

/* Puts the subpages that are not full into the front of other rings, and has
 * the chunk use these. */
void np_handle_move_subpages(struct npool_chunk *c, struct np_ring *rings);

/* Releases the empty subpages of these rings, all or those of one chunk, which
 * may leave its set by that. Returns their bytes. */
size_t np_handle_trim(struct np_ring *rings, unsigned nclasses,
		      const struct np_chunk *only);

/* An element of the class from the first subpage of its ring; 0: there is
 * none. */
npool_handle_t np_handle_from_ring(struct np_ring *rings, unsigned class,
				   struct npool_chunk **owner);

/* A run of c was just taken for the class: names it, or its first element if
 * it is to be cut up. */
npool_handle_t np_handle_of_run(struct npool_chunk *c, unsigned class,
				uint32_t first, uint32_t npages);

/* Runs of a chunk in a set came back (chunkset.c): it moves down the lists, or
 * out. */
void np_chunkset_settle(struct npool_chunk *c);

#endif
