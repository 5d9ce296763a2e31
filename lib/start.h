/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * start: the default pool starts, and with it the process's side of things.
 *
 * In two steps, because the first call may come before anybody can say which
 * nodes there are (the malloc face is called before libnuma's constructor, and
 * by it):
 *
 *	NP_ASLEEP  nothing is there yet; what is allocated by constructors that
 *	           run before ours lies in boot.c's stretch, as far as it fits
 *	NP_EARLY   one arena, bound to nothing; no caches. What it hands out is
 *	           in every other respect like any piece
 *	NP_AWAKE   the nodes are known: that arena now belongs to the node that
 *	           the process started on, the others are made, threads get
 *	           caches
 *
 * The pool wakes in the library's constructor; where malloc is ours and nobody
 * set an option, with the first call behind it.
 *
 * Owner: the first step is guarded by the default pool's lock; one thread
 * does the second.
 */
#ifndef NP_START_H
#define NP_START_H

#include "base.h"
#include "pool.h"

/* Is the default pool awake? Wakes it if it can. */
bool np_start(void);

/* Is it early, at least? */
bool np_start_early(void);

/* In a child that was forked while the default pool was not awake: the thread
 * that was waking it is not here. */
void np_start_forked(void);

/* Counts n pieces of the default pool that were handed out (or, is_free, that
 * came back) before there was a segment to count in. */
void np_start_count(unsigned class, bool is_free, unsigned n);

#endif
