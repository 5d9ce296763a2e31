/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * chunklist: an arena's six lists of chunks by usage.
 *
 *	list   usage        moves up at   down below   serves pieces up to
 *	qInit  0 .. 25 %    25 %          never        99 % of a chunk
 *	q000   1 .. 50 %    50 %          1 % (out)    99 %
 *	q025   25 .. 75 %   75 %          25 %         75 %
 *	q050   50 .. 100 %  100 %         50 %         50 %
 *	q075   75 .. 100 %  100 %         75 %         25 %
 *	q100   100 %        never         100 %        nothing
 *
 * The ranges overlap, so a chunk near a border does not bounce. A new chunk
 * enters qInit. A chunk that leaves q000 downwards is in no list any more:
 * it is empty and its owner disposes of it. Chunks enter a list at its front
 * and are tried front to back.
 *
 * A list of many chunks may have an index (chunkindex.h), which leads to the
 * first that can serve a run, and to the same one as trying would.
 *
 * Owner: the arena; everything is guarded by its lock.
 *
 * Source: PoolChunkList of Netty up to 4.1.51.
 */
#ifndef NP_CHUNKLIST_H
#define NP_CHUNKLIST_H

#include "base.h"
#include "chunk.h"
#include "chunkindex.h"

enum np_chunklist_name {
	NP_QINIT,
	NP_Q000,
	NP_Q025,
	NP_Q050,
	NP_Q075,
	NP_Q100,
	NP_NLISTS,
};

struct np_chunklist {
	enum np_chunklist_name name;
	int min_usage, max_usage;  /* percent */
	size_t max_size;	   /* bytes: larger pieces are not tried */
	struct np_chunklist *up;   /* NULL: none */
	struct np_chunklist *down; /* NULL: out */
	struct np_chunk *head;
	uint32_t n;		   /* chunks */
	np_home_t home;		   /* of the index's memory; NP_NO_NODE: this
				      list has none */
	struct np_chunkindex index;
};

/* Makes the six lists for chunks of chunk_size bytes. */
void np_chunklists_init(struct np_chunklist lists[NP_NLISTS],
			size_t chunk_size);

/* From now on lists that become long have an index, in metadata of this home;
 * it is freed when the list is empty. */
void np_chunklists_index(struct np_chunklist lists[NP_NLISTS], np_home_t home);

/* Adds a chunk that is in no list, here or in the list above that its usage
 * asks for. */
void np_chunklist_add(struct np_chunklist *list, struct np_chunk *chunk);

/* Takes the chunk out of its list. */
void np_chunklist_remove(struct np_chunk *chunk);

/* Shows other processes in which list the chunk is. */
void np_chunklist_show(const struct np_chunk *chunk);

/* What a run is wanted for. */
struct np_run_request {
	size_t piece;	      /* bytes of the piece: what max_size bounds */
	uint32_t npages;
	unsigned align_order; /* log2 of the alignment in pages */
	uint32_t entry;	      /* for the page table */
	bool held;	      /* no chunk is mapped for it */
	bool not_spilled;     /* from chunks without a spill only */
	uint32_t first;	      /* out: its first page */
	uint32_t nclean;      /* out: pages of it that hold nothing */
};

/* What a run for the class is asked for with: as a piece, or to be cut into
 * elements. */
static inline struct np_run_request
np_run_request_for(const struct np_classes *classes, unsigned class)
{
	const struct np_class *row = &classes->row[class];

	return (struct np_run_request){
		.piece = row->size,
		.npages = row->npages,
		.entry = class | (row->nelems ? NP_PAGE_SUBPAGE : 0),
	};
}

/* Takes a run from the first chunk of the list that can serve it and may, and
 * moves that chunk up if it is due. Returns the chunk, or NULL. */
struct np_chunk *np_chunklist_take(struct np_chunklist *list,
				   struct np_run_request *run);

/* The same from the six lists, in Netty's order: q050, q025, q000, qInit,
 * q075. A chunk that is three quarters full will hardly hold the run, so q075
 * comes last. */
struct np_chunk *np_chunklists_take(struct np_chunklist lists[NP_NLISTS],
				    struct np_run_request *run);

/* Runs of the chunk were given back: moves it down if it is due.
 * Returns false if it left the lists: it is empty. */
bool np_chunklist_settle(struct np_chunk *chunk);

bool np_chunklists_valid(const struct np_chunklist lists[NP_NLISTS]);

#endif
