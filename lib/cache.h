/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * cache: a thread's free pieces of one home, in magazines.
 *
 *	malloc   pop from loaded[class]
 *	         empty: swap with second[class], or get one from the depot,
 *	         or fill it from the arena
 *	free     mine:     push to loaded[class]
 *	                   full: swap with second[class], or put that one into
 *	                   the depot, or back to the arenas
 *	         not mine: push to outgoing[home], sent to that home's inbox
 *
 * Small pieces (up to NP_SMALL_MAX) live in both magazines. The loaded ones
 * hold at most NP_LOADED_BYTES all together beyond the first few pieces of
 * each class: they grow with use, and stop there. Large pieces live in
 * second[] alone, in all at most NP_LARGE_BYTES; a class that needs room
 * pushes others out.
 *
 * A class that was never used has np_mag_none, which serves nothing and takes
 * nothing: the fast path needs no test for it.
 *
 * Every call looks at the CPU number first (cpu_now); when it is another one
 * np_thread_follow decides whether the thread has changed its node.
 *
 * Owner: the thread. Nobody else touches a cache, save a forked child, which
 * abandons those of threads it does not have.
 *
 * Source: J. Bonwick & J. Adams, "Magazines and Vmem", USENIX 2001; the
 * bounds are Netty's (PoolThreadCache).
 */
#ifndef NP_CACHE_H
#define NP_CACHE_H

#include "base.h"
#include "chunkmap.h"
#include "magazine.h"
#include "node.h"
#include "segment.h"

#define NP_SMALL_MAX (32 * NP_KIB)
#define NP_LOADED_BYTES (64 * NP_KIB)
#define NP_LARGE_PIECE_MAX (4 * NP_MIB) /* larger ones are not cached */
#define NP_LARGE_BYTES (4 * NP_MIB)
#define NP_OUTGOING_PIECES 64
#define NP_OUTGOING_BYTES (64 * NP_KIB)

struct np_thread;

struct np_cache {
	/* The fast path reads these. */
	const volatile uint32_t *cpu_now; /* where the CPU's number stands */
	uint32_t cpu;			  /* what it was */
	np_home_t home;			  /* written once */
	struct np_block *count;
	struct np_mag *loaded[NP_MAX_CLASSES];
	/* The rest is for the slow path. */
	struct np_mag *second[NP_MAX_CLASSES];
	uint8_t refills[NP_MAX_CLASSES]; /* since the magazine last grew */
	const struct np_nodes *nodes;
	struct np_node *node;
	struct np_arena *arena;
	struct np_mag **outgoing; /* [nodes->n], by home; NULL: none yet */
	size_t *outgoing_bytes;	  /* [nodes->n] */
	size_t loaded_bytes;	  /* that loaded magazines could hold */
	size_t large_bytes;	  /* that second[] holds of large pieces */
	unsigned first_large;	  /* the first class of large pieces */
	unsigned large_hand;	  /* class that is pushed out next */
	unsigned nslow;		  /* visits to the slow path */
	struct np_thread *thread;
};

/* The cache of a thread that has none: it misses always. */
extern struct np_cache np_cache_none;

/* Fills in a cache for this node; count may not be NULL. */
int np_cache_init(struct np_cache *cache, const struct np_nodes *nodes,
		  struct np_node *node, struct np_arena *arena,
		  struct np_thread *thread);

/* A piece from the large part of the cache, or NULL: it has none, or small
 * pieces of that class, which live elsewhere. */
static inline void *np_cache_pop_large(struct np_cache *cache, unsigned class)
{
	struct np_mag *mag = cache->second[class];

	if (!mag->n || class < cache->first_large)
		return NULL;
	cache->large_bytes -= cache->nodes->classes->row[class].size;
	np_count_add(&cache->count->class[class].allocs, 1);
	return mag->slot[--mag->n];
}

/* Keeps a large piece of the cache's home, or returns false: there is no room
 * yet. */
static inline bool np_cache_push_large(struct np_cache *cache, void *p,
				       unsigned class)
{
	struct np_mag *mag = cache->second[class];
	size_t bytes;

	if (class < cache->first_large || mag->n == mag->cap)
		return false;
	bytes = cache->large_bytes + cache->nodes->classes->row[class].size;
	if (bytes > NP_LARGE_BYTES)
		return false;
	cache->large_bytes = bytes;
	np_count_add(&cache->count->class[class].frees, 1);
	mag->slot[mag->n++] = p;
	return true;
}

/* A piece of the class, or NULL with ENOMEM. The loaded magazine need not be
 * empty. */
void *np_cache_take(struct np_cache *cache, unsigned class);

/* Takes back a piece of the class that lies in the region, whatever its home.
 */
void np_cache_give(struct np_cache *cache, void *p, unsigned class,
		   const struct np_region *region);

/* Takes a run straight from the arena, as np_arena_take_run. */
void *np_cache_take_run(struct np_cache *cache, unsigned class, size_t align,
			bool *zero);

/* Sends all outgoing magazines home. */
void np_cache_send_all(struct np_cache *cache);

/* Empties the cache: whole magazines into the depot if to_depot, the rest to
 * the arenas, outgoing ones home. */
void np_cache_flush(struct np_cache *cache, bool to_depot);

/* Flushes it, and frees what it is made of but itself. */
void np_cache_fini(struct np_cache *cache);

#endif
