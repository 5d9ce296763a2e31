/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * fork: see fork.h.
 */
#include "fork.h"
#include "lock.h"
#include "pool.h"
#include "segment.h"

/* Two threads may fork at once, and glibc does not keep their handlers apart:
 * the first one's come first. */
static struct np_lock fork_lock = NP_LOCK_INIT(NP_RANK_FORK);

static void before_fork(void)
{
	np_lock_for_fork(&fork_lock);
	np_pool_lock();
	np_lock_forking(true);
	np_segment_fork_begins();
}

static void unlock_all(void)
{
	np_lock_forking(false);
	np_pool_unlock();
	np_unlock_for_fork(&fork_lock);
}

static void in_parent(void)
{
	if (np_segment.header)
		np_count_add(&np_segment.header->forks, 1);
	np_segment_fork_ends();
	unlock_all();
}

static void in_child(void)
{
	int cancel;

	/* Files are opened here, which is a cancellation point; fork is none,
	 * and a thread that was cancelled would end with all locks held. */
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	np_pool_forked();
	np_segment_fork_ends();
	pthread_setcancelstate(cancel, NULL);
	unlock_all();
}

int np_fork_init(void)
{
	return pthread_atfork(before_fork, in_parent, in_child);
}
