/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * background: a thread that ticks for all pools while everybody else idles:
 * the option `background`.
 *
 *	off      not wanted
 *	wanted   starts at the first visit to a slow path that comes when the
 *	         program has two threads, or NP_BACKGROUND_AFTER_MS have passed
 *	         (so never while it is being loaded); again in a forked child
 *	busy     somebody has visited a slow path since the last tick: does
 *	         the ticks that are due, and sleeps until the next
 *	awake    likewise, but nobody has
 *	asleep   nothing was left to give back: sleeps until a visit
 *
 * All signals are blocked in it. It ends with the process, or when the option
 * is set to 0.
 *
 * Owner: the state is atomic; changes of it are guarded by a lock.
 */
#ifndef NP_BACKGROUND_H
#define NP_BACKGROUND_H

#include "base.h"

#include <stdatomic.h>

#define NP_BACKGROUND_AFTER_MS 100 /* since it was wanted, or the fork */

enum np_background {
	NP_BACKGROUND_OFF,
	NP_BACKGROUND_WANTED,
	NP_BACKGROUND_BUSY,
	NP_BACKGROUND_AWAKE,
	NP_BACKGROUND_ASLEEP,
};

/* Relaxed: a hint; who acts on it takes the lock and looks again. */
extern _Atomic int np_background_state;

/* Wants it, or does not any more. */
void np_background_set(bool on);

/* Starts it, or wakes it up; it is busy then. */
void np_background_act(void);

/* A visit to a slow path: there may be something to give back in time. */
static inline void np_background_notice(void)
{
	int state = atomic_load_explicit(&np_background_state,
					 memory_order_relaxed);

	if (np_unlikely(state != NP_BACKGROUND_OFF &&
			state != NP_BACKGROUND_BUSY))
		np_background_act();
}

/* Fork: its lock; in the child the thread is not there. */
void np_background_lock(void);
void np_background_unlock(void);
void np_background_forked(void);

#endif
