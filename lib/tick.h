/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * tick: what a pool gives back in the course of time. Every half of decay_ms
 *
 *	idle caches   what is in them goes to the arenas (thread.c)
 *	inboxes       what other homes sent and nobody fetched, likewise
 *	depots        what was not needed since the last tick, likewise
 *	huge blocks   kept since the last tick: unmapped
 *	arenas        pages not used since the last tick: purged (decay.c)
 *	spills        what lies on another node than its home is found (spill.c)
 *
 * Visits to the slow path of any pool drive it: every so often one looks at
 * the clock, and the one that finds a tick due does it. With the option
 * `background` a thread does it when nobody comes (background.h). decay_ms 0
 * ticks ten times a second, since pages of runs are purged at once then; -1
 * never.
 *
 * Owner: the pool's lock is held during a tick; who moves next_tick_ms on
 * does it.
 */
#ifndef NP_TICK_H
#define NP_TICK_H

#include "base.h"
#include "pool.h"

/* Sets the pace. The pool's lock is held, or nobody knows the pool. */
void np_tick_set(struct np_pool *pool, int64_t decay_ms);

/* A visit to the slow path of a pool. Takes no lock unless a tick is due, be
 * it of another pool: those that nobody calls shall decay too. */
void np_tick_visit(struct np_pool *pool);

/* Does a tick if it is due. Returns whether it was; *bytes: as np_tick. */
bool np_tick_if_due(struct np_pool *pool, uint64_t now_ms, size_t *bytes);

/* Does it now. Returns the bytes given back. */
size_t np_tick(struct np_pool *pool);

#endif
