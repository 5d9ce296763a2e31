/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * thread: a thread's caches, one for each home that it has been on, and which
 * of them it uses now (np_self).
 *
 *	new       np_self is np_cache_none; the first call that misses makes a
 *	          cache
 *	busy      a cache is being made: calls from within go uncached
 *	live      np_self is the cache of the thread's node
 *	ended     the destructor ran: np_self is np_cache_none again, and calls
 *	          go uncached
 *
 * A thread that is found on another node is rehomed: it goes on with its
 * cache for that node, and keeps the old one for NP_STAY visits to the slow
 * path, so that bouncing is cheap; then the old one goes home.
 *
 * Owner: the list of threads is guarded by a lock; a thread's own fields are
 * touched by it alone.
 *
 * Source: rseq(2) for the CPU's number; HACKING: NUMA rules 2 to 5.
 */
#ifndef NP_THREAD_H
#define NP_THREAD_H

#include "base.h"
#include "cache.h"
#include "node.h"

#define NP_STAY 64	    /* visits before old caches go home */
#define NP_CALLS_A_LOOK 64  /* calls between two getcpu, without rseq */

struct np_thread {
	struct np_thread *prev, *next;	/* guarded by the list's lock */
	const struct np_nodes *nodes;
	const volatile uint32_t *cpu_word; /* the kernel's, or NULL */
	int fixed_home;			/* set by hand; -1: follows the CPU */
	unsigned calls;			/* since the last getcpu */
	unsigned visits;		/* slow ones since it was rehomed */
	np_home_t made_on;		/* whose memory this is */
	struct np_cache *cache[];	/* [nodes->n], by home; NULL: none */
};

extern _Thread_local struct np_cache *np_self
	__attribute__((tls_model("initial-exec")));

/* Once, before the first np_thread_cache. Returns 0 or a positive errno. */
int np_threads_init(void);

/* The cache that the caller shall use now, made if need be; NULL: it has to
 * go on without one. */
struct np_cache *np_thread_cache(const struct np_nodes *nodes);

/* The CPU has changed: the cache to go on with, which may be the same. */
struct np_cache *np_thread_follow(struct np_cache *cache);

/* Has the CPU changed since the cache looked? */
static inline bool np_cache_moved(const struct np_cache *cache)
{
	return *cache->cpu_now != cache->cpu;
}

/* Puts the caller on this home whatever CPU it runs on; -1: follows it again.
 * Returns 0, EINVAL (no such home) or ENOMEM. */
int np_thread_set_home(const struct np_nodes *nodes, int home);

/* Empties the caller's caches; with end, gives them up: the next call makes
 * new ones. */
void np_thread_flush(bool to_depot, bool end);

/* Fork: the list's lock; and, in the child, forgets all threads but the
 * caller. Returns how many caches were abandoned. */
void np_threads_lock(void);
void np_threads_unlock(void);
unsigned np_threads_forked(const struct np_nodes *nodes);

#endif
