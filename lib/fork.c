/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * fork: see fork.h.
 */
#include "fork.h"
#include "leak.h"
#include "lock.h"
#include "objpool.h"
#include "pool.h"

/* Two threads may fork at once, and glibc does not keep their handlers apart:
 * the first one's come first. */
static struct np_lock fork_lock = NP_LOCK_INIT(NP_RANK_FORK);

static void before_fork(void)
{
	np_lock_for_fork(&fork_lock);
	np_objpools_lock();
	np_leaks_lock();
	np_pools_lock();
	np_lock_forking(true);
	np_pools_fork_begins();
}

static void unlock_all(void)
{
	np_lock_forking(false);
	np_pools_unlock();
	np_leaks_unlock();
	np_objpools_unlock();
	np_unlock_for_fork(&fork_lock);
}

static void in_parent(void)
{
	struct np_segment_header *h = np_pool.segment.header;

	if (h)
		np_count_add(&h->forks, 1);
	np_pools_fork_ends();
	unlock_all();
}

static void in_child(void)
{
	int cancel;

	/* Files are opened here, which is a cancellation point; fork is none,
	 * and a thread that was cancelled would end with all locks held. */
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	np_pools_forked();
	np_objpools_forked();
	np_leaks_forked();
	np_pools_fork_ends();
	pthread_setcancelstate(cancel, NULL);
	unlock_all();
}

int np_fork_init(void)
{
	return pthread_atfork(before_fork, in_parent, in_child);
}
