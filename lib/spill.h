/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * spill: pages that lie on another node than their home. A full node spills at
 * the first touch, without an event that could be counted, so spills are found
 * by looking: at each tick and trim a sample of each chunk and huge block,
 * NP_SPILL_SAMPLE pages, evenly spread and others each time. Where one of them
 * lies elsewhere
 *
 *	free pages    are given back to the kernel: whoever touches them next
 *	              gets them from home, if there is room by then
 *	the others    are looked at one by one, and counted with their age
 *	the chunk     and its subpages serve last (NP_SPILLED_LAST)
 *	kept blocks   are given back like free pages
 *
 * until a look finds all of them at home: that, if much is known, not each does
 * with all of it. Nothing is moved unless that is asked
 * for (npool_migrate_home): it is copying, and belongs where the program has
 * time for it.
 *
 *	arena->spilled = sum of spill.bytes of its chunks
 *	node's counter = the same of all its arenas and blocks
 *
 * Where memory is bound to no node, or the kernel does not tell where it lies,
 * nobody looks.
 *
 * Owner: what is of an arena, its lock; of huge blocks, that of huge.c. The
 * kernel is asked with the lock held, so that nothing is moved that is not ours
 * any more.
 *
 * Source: move_pages(2); HACKING: NUMA rule 6.
 */
#ifndef NP_SPILL_H
#define NP_SPILL_H

#include "base.h"
#include "chunk.h"
#include "os.h"
#include "owner.h"

#define NP_SPILL_SAMPLE 64 /* pages: all of a chunk of 16 MiB in 64 looks */
#define NP_SPILL_AGAIN (256 * NP_MIB) /* are looked at in some milliseconds */

struct np_arena;
struct np_region;

/* What was brought home, and what was not. */
struct np_brought {
	struct np_os_pages pages;
	int error; /* why some stay away, the first reason; or 0 */
};

/* Lies one of a sample of these pages on another node than the owner's? turn:
 * which sample. */
bool np_spill_is_likely(const struct np_owner *owner, const void *base,
			size_t size, uint64_t turn);

/* Of so many bytes that are known to be elsewhere: may what has this turn be
 * looked at again, so that a look takes no longer than for NP_SPILL_AGAIN? */
static inline bool np_spill_is_turn(size_t known, uint64_t turn)
{
	return turn % (known / NP_SPILL_AGAIN + 1) == 0;
}

/* So much of a chunk, or of a huge block, lies elsewhere. */
void np_spill_note_chunk(struct np_arena *arena, struct np_chunk *chunk,
			 size_t bytes);
void np_spill_note_block(struct np_region *block, size_t bytes);

/* A subpage of a chunk with a spill: to the end of its ring, if it is in it. */
void np_spill_defer(struct np_arena *arena, struct np_subpage *sp);

/* Adds what a stretch of the owner's memory says to *brought: looks at all of
 * its pages and, if they may be moved, brings home those that are not. */
void np_spill_fetch(const struct np_owner *owner, void *base, size_t size,
		    struct np_brought *brought);

/* Looks at a sample of all chunks. Takes the lock; drops it after each region.
 */
void np_spill_look_arena(struct np_arena *arena);

/* Brings home what it can. The same. */
void np_spill_fetch_arena(struct np_arena *arena, struct np_brought *brought);

#endif
