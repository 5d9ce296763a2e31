/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * limit: bytes that may be in memory, and how many there may be. A pool has
 * one limit and each of its nodes another; a run, a huge block or a warmed-up
 * chunk is charged to both.
 *
 *	charged = pages of runs that are handed out (whole)
 *	        + free pages that may hold something (dirty; of a chunk
 *	          in huge pages of a reserve all, from the start)
 *	        + huge blocks, kept ones too
 *	        + warmed-up chunks (whole)
 *
 * So it is what the pool can have in memory at most, but for its metadata:
 * pages that nobody has touched yet count too.
 *
 * No request passes a hard limit: its charge is refused, and whoever asked
 * looks for room (pressure.h). A soft one is noticed afterwards.
 *
 * Owner: everything is atomic; any thread.
 */
#ifndef NP_LIMIT_H
#define NP_LIMIT_H

#include "base.h"

#include <stdatomic.h>

struct np_limit {
	/* All atomic, relaxed: a sum, and bounds that stand alone. */
	_Alignas(NP_LINE) _Atomic size_t charged; /* bytes */
	_Alignas(NP_LINE) _Atomic size_t soft, hard; /* bytes; 0: none */
	_Atomic bool over; /* of a pool's: this soft limit, or one of its
			      nodes', was passed and nobody has looked since;
			      apart from the sums, for who asks often */
	_Atomic bool told; /* the pool's owner was told, and it is passed
			      still */
};

/* The limits that memory of one node of a pool counts against; either may be
 * NULL. */
struct np_limits {
	struct np_limit *node, *pool;
};

/* Charges bytes. Returns false, and charges nothing, if a hard limit would be
 * passed. */
bool np_limits_charge(const struct np_limits *limits, size_t bytes);

/* Charges what is there already, whatever the limits say. */
void np_limits_force(const struct np_limits *limits, size_t bytes);

void np_limits_refund(const struct np_limits *limits, size_t bytes);

/* Would so many bytes more pass the hard limit? */
bool np_limit_is_hit(const struct np_limit *limit, size_t bytes);

static inline size_t np_limit_charged(const struct np_limit *limit)
{
	return atomic_load_explicit(&limit->charged, memory_order_relaxed);
}

/* Is more charged than the soft limit says? */
static inline bool np_limit_is_over(const struct np_limit *limit)
{
	size_t soft = atomic_load_explicit(&limit->soft,
					   memory_order_relaxed);

	return soft && np_limit_charged(limit) > soft;
}

#endif
