/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * arena: one lock, six chunk lists and a pool of subpages for each class, all
 * on one node. Whoever needs a piece that no cache has comes here.
 *
 *	take   first subpage of the class's pool -> elements from its bitmap
 *	       else a run from q050, q025, q000, qInit, q075, in this order
 *	       else from a new chunk, which enters qInit
 *	put    element: clear its bit; an empty subpage gives its run back,
 *	       unless it is the last of its pool
 *	       run: back to the tree; the chunk moves down the lists, and out
 *	       when it is empty
 *
 * These are Netty's decisions (netty: PoolArena up to 4.1.51) and they are
 * compared with the real one. What libnpool adds has a name, and is switched
 * off for the comparison:
 *
 *	NP_KEEP_SPARE     empty chunks are kept until they decay
 *	NP_RELEASE_QINIT  a chunk that empties in qInit leaves too
 *	NP_DECAY          free pages return to the kernel (decay.c)
 *	NP_SPILLED_LAST   chunks and subpages of which something lies on another
 *	                  node (spill.h) serve when no others can
 *
 * And what a pool may be told changes no decision of theirs: limits refuse a
 * run that has been found, and take it back; chunks that were reserved
 * (np_arena_reserve) stay in qInit when they are empty.
 *
 * A batch of n is n single calls under one lock: same slots, same order.
 *
 * New chunks are mapped, and old ones unmapped, outside the lock.
 *
 * Owner: every field is guarded by `lock` unless it says otherwise.
 */
#ifndef NP_ARENA_H
#define NP_ARENA_H

#include "base.h"
#include "chunk.h"
#include "chunklist.h"
#include "chunkmap.h"
#include "lock.h"
#include "owner.h"
#include "place.h"
#include "segment.h"

enum np_arena_policy {
	NP_KEEP_SPARE = 1,
	NP_RELEASE_QINIT = 2,
	NP_DECAY = 4,
	NP_SPILLED_LAST = 8,
	NP_ALL_POLICIES = 15,
};

struct np_arena {
	_Alignas(NP_LINE) struct np_lock lock;
	/* Written once, before other threads know the arena; owner once more
	 * when the pool learns its nodes. */
	const struct np_classes *classes;
	struct np_owner owner;
	uint16_t index;	     /* among all arenas of the pool */
	unsigned policies;   /* enum np_arena_policy */
	_Atomic uint32_t nthreads; /* assigned here. Written with the lock of
				      the thread list held */

	struct np_chunklist lists[NP_NLISTS];
	struct np_ring pools[NP_MAX_CLASSES]; /* not-full subpages by class */
	struct np_region *regions;
	struct np_chunk *spares; /* empty ones, in no list; linked by next */
	struct np_chunk *dead_chunks;	/* to be freed when the lock is */
	struct np_region *dead_regions; /* dropped; linked by `next` */
	uint64_t nchunks_made;
	int64_t decay_ms;	/* -1 = never */
	uint64_t pass;		/* counts those of np_arena_pass */
	size_t spilled;		/* bytes, of all its chunks */
	struct np_segment_arena *count;	/* where it counts; never NULL */
	struct np_segment_node *node;	/* its node's; NULL: not yet */
	struct np_segment_arena early;	/* counts until there is a segment */
};

/* Makes an arena in *arena, whose bytes are zero. decay_ms: see config.c. */
void np_arena_init(struct np_arena *arena, const struct np_classes *classes,
		   const struct np_owner *owner, unsigned index,
		   unsigned policies, int64_t decay_ms);

/* Moves the arena to its owner once that is known: what it has so far too.
 * From here on it counts in the owner's segment. */
void np_arena_settle(struct np_arena *arena, const struct np_owner *owner);

void np_arena_set_decay(struct np_arena *arena, int64_t decay_ms);

/* Takes n pieces of the class. Returns how many it got: fewer than n, with
 * errno ENOMEM, only when no chunk can be mapped or a hard limit refuses. */
unsigned np_arena_take(struct np_arena *arena, unsigned class, unsigned n,
		       void **pieces);

/* Takes one run of the class at a multiple of align (a power of two, up to
 * the chunk's size). *zero: does it read as zero? Returns NULL with ENOMEM. */
void *np_arena_take_run(struct np_arena *arena, unsigned class, size_t align,
			bool *zero);

/* The same from what the arena holds: no chunk is mapped for it. errno stays.
 */
unsigned np_arena_take_held(struct np_arena *arena, unsigned class,
			    unsigned n, void **pieces);
void *np_arena_take_run_held(struct np_arena *arena, unsigned class,
			     size_t align, bool *zero);

/* Puts n pieces of this arena back. Ends the process if one is not a live
 * piece (np_die says which and why). */
void np_arena_put(struct np_arena *arena, void *const *pieces, unsigned n);

/* Puts n pieces of any arenas back, with one lock each. The order of
 * pieces[] changes. */
void np_arenas_put(void **pieces, size_t n);

/* Maps a chunk that stays until the arena ends. populate: its pages are in
 * memory from now on; lock: and cannot be swapped out.
 * Returns 0 or a positive errno: nothing was reserved. */
int np_arena_reserve(struct np_arena *arena, bool populate, bool lock);

/* Releases empty subpages, purges all free pages and unmaps spare chunks.
 * Returns the bytes given back. */
size_t np_arena_trim(struct np_arena *arena);

/* Frees all pieces at once; the chunks stay. Nobody may use one. */
void np_arena_reset(struct np_arena *arena);

/* Clears what free pages may still hold. */
void np_arena_clear(struct np_arena *arena);

/* Unmaps everything: no piece may be used any more. */
void np_arena_fini(struct np_arena *arena);

/* Calls visit(arena, region, arg) once for each region, with the lock held.
 * Where it returns something, the lock is dropped behind it: who waited for the
 * kernel's sake gets in. Regions that come meanwhile are left out. Returns the
 * sum of what it returns. The pool's lock keeps two apart. */
typedef size_t np_arena_visit(struct np_arena *arena, struct np_region *region,
			      void *arg);
size_t np_arena_pass(struct np_arena *arena, np_arena_visit *visit, void *arg);

/* Releases subpages that are empty and were kept as the last of their pool;
 * looks at the first `most` of each pool. Takes the lock. */
void np_arena_release_empty(struct np_arena *arena, unsigned most);

/* Unmaps chunks that are empty: spare ones, and those that were left by
 * np_arena_reset; all, or those of which nothing was used since the last tick.
 * Not reserved ones. Returns the bytes unmapped. Takes the lock. */
size_t np_arena_release_chunks(struct np_arena *arena, bool all);

/* Ends the process if p is no live piece (np_place_die says why, and that
 * `what` was called): for check:1, and where something looks wrong. Takes the
 * lock of p's arena. */
void np_arena_check(const void *p, const char *what);

bool np_arena_valid(const struct np_arena *arena);

#endif
