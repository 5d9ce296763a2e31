/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * pressure: what a pool does when a limit is met or memory runs out.
 *
 *	soft limit passed    trims itself, tells its owner once, and again when
 *	                     it was below it in between
 *	a request fails      trims itself; if that does not help its owner may
 *	                     make room, and say that it is worth another try
 *
 * A trim for a soft limit is not repeated for NP_PRESSURE_PAUSE_MS: who lives
 * above it shall not pay for one with every request.
 *
 * Owner: atomics; the caller holds no lock, since the pool's owner is called,
 * who may do as he likes. A thread that is in his function is not asked
 * again.
 */
#ifndef NP_PRESSURE_H
#define NP_PRESSURE_H

#include "base.h"
#include "pool.h"

#define NP_PRESSURE_PAUSE_MS 10

/* A request for `wanted` bytes, which would be charged so many to these
 * limits, fails: asks the pool's owner to make room. Returns whether to try
 * again. */
bool np_pressure_ask(struct np_pool *pool, const struct np_limits *limits,
		     size_t wanted, size_t charged);

/* A soft limit was passed. */
void np_pressure_tell(struct np_pool *pool);

/* A visit to the slow path: was one? */
static inline void np_pressure_look(struct np_pool *pool)
{
	if (np_unlikely(atomic_load_explicit(&pool->limit.over,
					     memory_order_relaxed)))
		np_pressure_tell(pool);
}

#endif
