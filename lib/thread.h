/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * thread: what the library knows of a thread: its seat in each pool that it
 * has used, and the list of all threads.
 *
 *	new       it is in no list; the first call that misses makes it known
 *	busy      it is being made known: calls from within go uncached
 *	live      np_me is this thread, np_self its cache in the default pool
 *	ended     the destructor ran: np_self is np_cache_none again, and calls
 *	          go uncached
 *
 * Reclaimers go through the list and empty other threads' caches (cache.h says
 * how).
 *
 * Owner: the list, and which seats its threads have, is guarded by a lock; a
 * thread's other fields are touched by it alone.
 *
 * Source: HACKING: NUMA rules 3 to 5.
 */
#ifndef NP_THREAD_H
#define NP_THREAD_H

#include "base.h"
#include "lock.h"
#include "seat.h"

struct np_thread {
	struct np_thread *prev, *next;	/* guarded by the list's lock */
	const volatile uint32_t *cpu_word; /* the kernel's, or NULL */
	int fixed_home;			/* topology's, set by hand; -1: follows
					   the CPU */
	np_home_t made_on;		/* whose memory this is */
	struct np_seat *seat[NP_MAX_POOLS]; /* by slot; NULL: none. Written
					   with the list's lock held, by the
					   thread, or by who ends the pool */
};

/* The caller's cache in the default pool. */
NP_FOR_FACE extern _Thread_local struct np_cache *np_self
	__attribute__((tls_model("initial-exec")));

/* The caller; NULL: not known (yet, or any more). */
extern _Thread_local struct np_thread *np_me
	__attribute__((tls_model("initial-exec")));

/* Guards the list, the seats, and the arenas' thread counts. */
extern struct np_lock np_threads_list_lock;

/* Once, before the first np_thread_cache. Returns 0 or a positive errno. */
int np_threads_init(void);

/* The cache that the caller shall use now in the pool of these nodes, made if
 * need be; NULL: it has to go on without one. */
struct np_cache *np_thread_cache(const struct np_nodes *nodes);

/* The cache in the pool of this slot that the caller has used last, for a fast
 * path that enters it; NULL: none. */
static inline struct np_cache *np_thread_cache_last(unsigned slot)
{
	struct np_thread *t = np_me;
	struct np_seat *s = t ? t->seat[slot] : NULL;

	return s ? s->now : NULL;
}

/* The same, if it has not moved and nobody hides it; else NULL. */
static inline struct np_cache *np_thread_cache_now(unsigned slot)
{
	struct np_cache *c = np_thread_cache_last(slot);

	return c && !np_cache_barred(c) ? c : NULL;
}

/* The same while a recording is on and hides all caches. */
static inline struct np_cache *np_thread_cache_hidden(unsigned slot)
{
	struct np_thread *t = np_me;
	struct np_seat *s = t ? t->seat[slot] : NULL;

	return s ? np_seat_hidden(s) : NULL;
}

/* Hides the caches of all threads, or not any more (seat.h). Afterwards new
 * ones are as np_watched says. */
void np_threads_hide(bool hidden);

/* The CPU that the caller runs on; where the kernel keeps no word for it, as it
 * was when the caller looked last. */
uint32_t np_thread_cpu_now(void);

/* The home of the pool of these nodes that serves the caller: that of its
 * CPU, or the one that it was put on. */
np_home_t np_thread_home(const struct np_nodes *nodes);

/* The CPU that the thread runs on. It is the caller. */
uint32_t np_thread_cpu(const struct np_thread *thread);

/* The seat has another cache now. */
void np_thread_sits(struct np_thread *thread, const struct np_seat *seat);

/* Puts the caller on this home of the topology whatever CPU it runs on; -1:
 * follows it again. Returns 0 or ENOMEM: nothing has changed. */
int np_thread_set_home(const struct np_topology *topology, int home);

/* Empties the caller's caches in the pool of this slot. */
void np_thread_flush(unsigned slot, bool to_depot);

/* Gives up all seats of the caller: the next calls make new ones. */
void np_thread_leave(void);

/* A thread that nobody runs, on the CPU that stands at cpu_word. Who becomes it
 * acts in its caches, as long as he likes; he must not be known himself
 * (np_me). NULL: no memory. */
struct np_thread *np_thread_create(const struct np_topology *topology,
				   const volatile uint32_t *cpu_word);

/* The caller is this one from now on; NULL: nobody yet. */
void np_thread_become(struct np_thread *thread);

/* It ends. The caller is nobody then. */
void np_thread_destroy(struct np_thread *thread);

/* Empties all caches of the pool, or those that were not used since the last
 * time, into the arenas. Returns how many it found something in. Nothing
 * without np_threads_can_reclaim. */
unsigned np_threads_reclaim(const struct np_nodes *nodes, bool only_idle);

/* Is membarrier(2) to be had? */
bool np_threads_can_reclaim(void);

/* The pool is reset or destroyed: everyone's caches of it are given up
 * unread. */
void np_threads_forget(const struct np_nodes *nodes);

/* Fork: the locks; and, in the child, forgets all threads but the caller, and
 * counts for each pool the caches that were abandoned. */
void np_threads_lock(void);
void np_threads_unlock(void);
void np_threads_forked(void);
unsigned np_threads_abandon(const struct np_nodes *nodes);

#endif
