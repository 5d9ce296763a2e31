/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * limit: see limit.h.
 */
#include "limit.h"

static size_t bytes_of(const _Atomic size_t *limit)
{
	return atomic_load_explicit(limit, memory_order_relaxed);
}

/* So much is charged now: is the soft limit not passed any more? */
static void calm(struct np_limit *limit, size_t charged)
{
	size_t soft = bytes_of(&limit->soft);

	if ((!soft || charged <= soft) &&
	    atomic_load_explicit(&limit->told, memory_order_relaxed))
		atomic_store_explicit(&limit->told, false,
				      memory_order_relaxed);
}

static void take_off(struct np_limit *limit, size_t bytes)
{
	if (limit)
		calm(limit, atomic_fetch_sub_explicit(&limit->charged, bytes,
						      memory_order_relaxed) -
			    bytes);
}

/* Adds first and looks then: two who race may both be refused, never both be
 * served. What can never be served is not added: the sum must not wrap, nor
 * others be refused for it. */
static bool charge(struct np_limit *limit, size_t bytes)
{
	size_t before, hard;

	if (!limit)
		return true;
	hard = bytes_of(&limit->hard);
	if (hard && bytes > hard)
		return false;
	before = atomic_fetch_add_explicit(&limit->charged, bytes,
					   memory_order_relaxed);
	if (!hard || (before <= hard && bytes <= hard - before))
		return true;
	take_off(limit, bytes);
	return false;
}

/* The bounds may be new: whoever was told of the old one is told anew. */
static void force(struct np_limit *limit, size_t bytes)
{
	if (limit)
		calm(limit, atomic_fetch_add_explicit(&limit->charged, bytes,
						      memory_order_relaxed) +
			    bytes);
}

/* Is a soft limit passed? Then whoever looks at the pool shall know. */
static void note(const struct np_limits *l)
{
	if (l->pool &&
	    (np_limit_is_over(l->pool) ||
	     (l->node && np_limit_is_over(l->node))) &&
	    !atomic_load_explicit(&l->pool->over, memory_order_relaxed))
		atomic_store_explicit(&l->pool->over, true,
				      memory_order_relaxed);
}

bool np_limits_charge(const struct np_limits *l, size_t bytes)
{
	if (!bytes)
		return true;
	if (!charge(l->node, bytes))
		return false;
	if (!charge(l->pool, bytes)) {
		take_off(l->node, bytes);
		return false;
	}
	note(l);
	return true;
}

void np_limits_force(const struct np_limits *l, size_t bytes)
{
	force(l->node, bytes);
	force(l->pool, bytes);
	note(l);
}

void np_limits_refund(const struct np_limits *l, size_t bytes)
{
	take_off(l->node, bytes);
	take_off(l->pool, bytes);
}

bool np_limit_is_hit(const struct np_limit *limit, size_t bytes)
{
	size_t hard = bytes_of(&limit->hard);
	size_t charged = np_limit_charged(limit);

	return hard && (charged > hard || bytes > hard - charged);
}
