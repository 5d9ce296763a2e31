/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * pool: the default pool: its start, and the ways a call can take when the
 * loaded magazine does not serve it.
 *
 * It starts in two steps, because the first call may come before anybody can
 * say which nodes there are (the malloc face is called before libnuma's
 * constructor, and by it):
 *
 *	NP_ASLEEP  nothing is there yet
 *	NP_EARLY   one arena, bound to nothing; no caches. What it hands out is
 *	           in every other respect like any piece
 *	NP_AWAKE   the nodes are known: that arena now belongs to the node that
 *	           the process started on, the others are made, threads get
 *	           caches
 *
 * Source: npool(7); HACKING, section 9.
 */
#ifndef NP_POOL_H
#define NP_POOL_H

#include "base.h"
#include "config.h"
#include "node.h"
#include "sizeclass.h"
#include "thread.h"
#include "topology.h"

enum np_pool_stage { NP_ASLEEP, NP_EARLY, NP_AWAKE };

struct np_pool {
	_Atomic int stage;	/* enum np_pool_stage; release when it rises,
				   acquire by who looks: the fields below are
				   then written */
	bool caching;		/* threads get caches */
	bool check;		/* every free is checked at the call */
	struct np_classes classes;
	struct np_config config;
	struct np_topology topology;
	struct np_nodes nodes;
	struct np_arena first;	/* arena 0: there from NP_EARLY on */
};

extern struct np_pool np_pool;

/* A piece of size bytes, with whatever start or help that needs.
 * Returns NULL with ENOMEM. */
void *np_pool_alloc(size_t size);

/* The same, zero. */
void *np_pool_alloc_zero(size_t size);

/* The same, at a multiple of align, a power of two. */
void *np_pool_alloc_aligned(size_t size, size_t align);

/* Takes p back, whatever it is; ends the process if it is nobody's. */
void np_pool_free(void *p);

/* Makes p hold size bytes in place, or returns false. Huge blocks may move:
 * *moved is where p is now. */
bool np_pool_resize(void *p, size_t size, void **moved);

/* Bytes usable at p (a piece of the pool, or the process ends). */
size_t np_pool_usable(const void *p);

/* Bytes that a request of size gets; size at most PTRDIFF_MAX. */
size_t np_pool_good_size(size_t size);

/* Empties the caller's caches, the depots and inboxes, and trims the arenas.
 * Returns the bytes given back to the kernel. */
size_t np_pool_trim(void);

/* Is the pool awake? Wakes it if it can. */
bool np_pool_wake(void);

/* Fork: every lock of the pool but fork.c's own, in the order of the ranks. */
void np_pool_lock(void);
void np_pool_unlock(void);

/* In the child: counts for itself, without the threads that are not there. */
void np_pool_forked(void);

#endif
