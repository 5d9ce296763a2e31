/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * pool: what a pool is, how it is made and how it ends; which pools there are;
 * and what is done to a pool as a whole.
 *
 *	stage      NP_ASLEEP  nothing is there (yet, or any more)
 *	           NP_EARLY   the default pool only: one arena, bound to
 *	                      nothing; no caches (start.h)
 *	           NP_AWAKE   nodes, arenas, depots; threads get caches
 *
 *	np_pools[slot]   slot 0 is the default pool. A pool's struct is not
 *	                 freed when the pool is destroyed: the next pool of the
 *	                 slot uses it
 *
 * A piece says by its region's tag whose it is (base.h), and so leads to its
 * pool: np_pool_of.
 *
 * Owner: see the fields. Whoever goes through np_pools holds the pools' lock,
 * so that none ends meanwhile; a caller's own pool does not end during the
 * call, by contract.
 *
 * Source: npool(7), npool_create(3); HACKING, section 9.
 */
#ifndef NP_POOL_H
#define NP_POOL_H

#include "base.h"
#include "config.h"
#include "huge.h"
#include "limit.h"
#include "node.h"
#include "npool.h"
#include "segment.h"
#include "sizeclass.h"
#include "thread.h"
#include "topology.h"

enum np_pool_stage { NP_ASLEEP, NP_EARLY, NP_AWAKE };

struct np_pool {
	_Atomic int stage;	/* enum np_pool_stage; release when it rises,
				   acquire by who looks: the fields below are
				   then written */
	unsigned slot;
	char name[NP_POOL_NAME_SIZE];
	bool caching;		/* threads get caches */
	bool check;		/* every free is checked at the call */
	bool zero_on_free;
	bool interleaved;
	bool strict;		/* no request is served by another node */
	struct np_classes classes;
	struct np_nodes nodes;
	struct np_huge huge;
	struct np_limit limit;
	struct np_segment segment;
	npool_pressure_fn *pressure;
	void *pressure_arg;
	struct np_lock lock;	/* options, ticks, trims: one at a time */
	struct np_config config; /* guarded by lock, once awake */
	unsigned quiet_ticks;	/* that gave nothing back, one after the
				   other; the thread of background.c's own */
	_Atomic uint32_t tick_ms; /* between two ticks; 0: none. Relaxed */
	_Atomic uint64_t next_tick_ms; /* relaxed: who moves it on ticks */
	_Atomic uint64_t no_soft_trim_before_ms; /* pressure.c; relaxed */
	struct np_arena first;	/* the default pool's arena 0: there from
				   NP_EARLY on */
};

/* The default pool, and all of them by slot (NULL: never used). */
extern struct np_pool np_pool;
extern struct np_pool *_Atomic np_pools[NP_MAX_POOLS];

/* As memcheck.h wants to have it named. */
static inline const void *np_pool_anchor(const struct np_pool *pool)
{
	return pool == &np_pool ? NULL : pool;
}

/* The nodes of the machine: written when the default pool wakes. */
extern struct np_topology np_topology;

static inline int np_pool_stage(const struct np_pool *pool)
{
	return atomic_load_explicit(&pool->stage, memory_order_acquire);
}

static inline void np_pool_set_stage(struct np_pool *pool,
				     enum np_pool_stage stage)
{
	atomic_store_explicit(&pool->stage, stage, memory_order_release);
}

/* The pool that the region belongs to. Its owner holds a piece of it. */
static inline struct np_pool *np_pool_of(const struct np_region *region)
{
	return atomic_load_explicit(
		&np_pools[np_tag_slot(np_region_tag(region))],
		memory_order_acquire);
}

/* The caller's cache in the pool; NULL: it has to do without. Wakes the
 * default pool if it can. */
struct np_cache *np_pool_cache(struct np_pool *pool);

/* Counts n pieces of a class (0: a huge block), of so many bytes and of this
 * home, that were handed out to the caller, or that he gave back, past his
 * cache; NULL: he has none. And a request that was refused. */
void np_pool_count_taken(struct np_pool *pool, struct np_cache *cache,
			 np_home_t home, unsigned class, unsigned n,
			 size_t bytes);
void np_pool_count_given(struct np_pool *pool, struct np_cache *cache,
			 np_home_t home, unsigned class, unsigned n,
			 size_t bytes);

/* A huge block of this home, which the caller has resized, has so many bytes
 * more (or, wrapping round, less). */
void np_pool_count_resized(struct np_pool *pool, np_home_t home,
			   size_t bytes);
void np_pool_count_refused(struct np_pool *pool);

/* Makes pool->nodes and what goes with it, of pool->config, ->name, ->slot,
 * ->classes. first: the arena that is there already, or NULL. Then the pool
 * is awake. Returns 0 or a positive errno. */
int np_pool_wake_up(struct np_pool *pool, struct np_arena *first);

/* Makes a pool of these options. Returns 0, EAGAIN, EINVAL or ENOMEM, as
 * npool_create. */
int np_pool_create(struct np_pool **pool, const struct np_config *config,
		   const struct npool_attr *attr);

/* As npool_destroy and npool_reset. Not the default pool. */
void np_pool_destroy(struct np_pool *pool);
void np_pool_reset(struct np_pool *pool);

/* Empties the caches of all threads, the depots and inboxes, unmaps kept huge
 * blocks and trims the arenas.
 * Returns the bytes given back to the kernel. */
size_t np_pool_trim(struct np_pool *pool);

/* Looks for what lies on other nodes than its home (spill.h). The pool's lock
 * must be held. */
void np_pool_look(struct np_pool *pool);

/* Brings it home: npool_migrate_home. *brought: what was done. */
void np_pool_migrate_home(struct np_pool *pool, struct np_brought *brought);

/* The pieces that other homes sent go on to their arenas. The pool's lock must
 * be held. */
void np_pool_empty_inbox(struct np_pool *pool, struct np_depot *depot);

/* Reserves chunks for so many bytes: npool_reserve. home: the topology's. */
int np_pool_reserve(struct np_pool *pool, np_home_t home, size_t bytes,
		    unsigned flags);

/* Makes the live options of the process true. Its pool's lock is held: what an
 * option says and what is in force are the same. */
void np_pool_apply_to_process(void);

/* As npool_option_set and _get. */
int np_pool_set_option(struct np_pool *pool, const char *name,
		       const char *value);
int np_pool_get_option(struct np_pool *pool, const char *name, char *text,
		       size_t size);

/* Which homes a list of the kernel's numbers names: "0-3+8", or with commas.
 * Returns false if it cannot be read or names a node that is not there. */
bool np_pool_read_nodes(const char *list, bool in_set[NP_MAX_NODES]);

/* Calls call(pool, arg) for every pool that is awake, with the pools' lock
 * held. */
typedef void np_pool_call(struct np_pool *pool, void *arg);
void np_pools_each(np_pool_call *call, void *arg);

/* The same for the pool of one slot, if there is one. _try does nothing where
 * it would have to wait. */
void np_pools_at(unsigned slot, np_pool_call *call, void *arg);
void np_pools_try(unsigned slot, np_pool_call *call, void *arg);

/* Before a fork, with all locks held, and behind it: np_segment_fork_begins
 * for every pool. */
void np_pools_fork_begins(void);
void np_pools_fork_ends(void);

/* Fork: every lock of all pools but fork.c's own, in the order of the ranks.
 */
void np_pools_lock(void);
void np_pools_unlock(void);

/* In the child: pools count for themselves, without the threads that are not
 * there. */
void np_pools_forked(void);

#endif
