/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * lock: mutexes with a rank. The enum below is the lock order: a thread may
 * take a lock only if its rank is above that of every lock it holds. Debug
 * builds assert it; the fork handlers walk it from top to bottom.
 *
 * While a thread forks it holds every lock there is. Other people's fork
 * handlers may run in that time and may allocate: locks are then a no-op for
 * this one thread (np_lock_forking).
 *
 * Source: pthread_mutex_lock(3); the idea of ranks is as old as VMS.
 */
#ifndef NP_LOCK_H
#define NP_LOCK_H

#include "base.h"

#include <pthread.h>

enum np_lock_rank {
	NP_RANK_FORK,	 /* fork.c: one fork at a time */
	NP_RANK_OBJPOOLS, /* objpool.c: which recyclers and stacks there are */
	NP_RANK_OBJPOOL, /* objpool.c: a recycler's depots */
	NP_RANK_LEAKS,	 /* leak.c: buffers that are watched */
	NP_RANK_POOLS,	 /* pool.c: which pools there are */
	NP_RANK_POOL,	 /* pool.c: a pool's options, its tick and trim */
	NP_RANK_THREADS, /* thread.c: the list of thread caches */
	NP_RANK_CLAIM,	 /* cache.c: who empties the caches of others */
	NP_RANK_INBOX,	 /* depot.c: what other nodes sent home */
	NP_RANK_DEPOT,	 /* depot.c: one for each node and class */
	NP_RANK_HUGE,	 /* huge.c: a pool's huge blocks */
	NP_RANK_ARENA,	 /* arena.c */
	NP_RANK_MAP,	 /* chunkmap.c: opening a block of the table */
	NP_RANK_SEGMENT, /* segment.c: its table of chunks */
	NP_RANK_META,	 /* meta.c: one for each node */
	NP_RANK_BACKGROUND, /* background.c: whether its thread runs */
	NP_RANK_TRACE,	 /* trace.c: rings that are nobody's alone */
	NP_RANKS,
};

struct np_lock {
	pthread_mutex_t mutex;
	enum np_lock_rank rank;
};

#define NP_LOCK_INIT(r) { PTHREAD_MUTEX_INITIALIZER, r }

void np_lock_init(struct np_lock *lock, enum np_lock_rank rank);
void np_lock(struct np_lock *lock);
void np_unlock(struct np_lock *lock);

/* As np_lock, but returns false instead of waiting. */
bool np_trylock(struct np_lock *lock);

/* Is lock held by this thread? Debug builds know; others say yes. */
bool np_lock_held(const struct np_lock *lock);

/* From now on this thread owns every lock (or no longer does). Between the
 * two calls np_lock and np_unlock do nothing in this thread. */
void np_lock_forking(bool on);

/* Lets two locks of one rank be held at once, in the order in which they are
 * taken here: only by a thread that is about to fork. */
void np_lock_for_fork(struct np_lock *lock);
void np_unlock_for_fork(struct np_lock *lock);

#endif
