/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * rng: small random numbers that are the same in every run, so that what a
 * test found once it finds again. Each thread has a struct rng of its own.
 *
 * Source: xorshift64*, S. Vigna, "An experimental exploration of Marsaglia's
 * xorshift generators, scrambled", 2016.
 */
#ifndef RNG_H
#define RNG_H

#include <stdbool.h>
#include <stdint.h>

struct rng {
	uint64_t state;
};

static inline uint64_t rng_next(struct rng *r)
{
	r->state ^= r->state >> 12;
	r->state ^= r->state << 25;
	r->state ^= r->state >> 27;
	return r->state * UINT64_C(2685821657736338717);
}

/* Any seed will do, also small neighbours and 0. */
static inline struct rng rng_seed(uint64_t seed)
{
	struct rng r = { (seed + 1) * UINT64_C(0x9e3779b97f4a7c15) | 1 };

	for (int i = 0; i < 4; i++)
		rng_next(&r);
	return r;
}

/* 0 .. n-1, n > 0. Not quite even; even enough. */
static inline uint64_t rng_below(struct rng *r, uint64_t n)
{
	return (rng_next(r) >> 11) % n;
}

/* True in percent of the cases. */
static inline bool rng_chance(struct rng *r, unsigned percent)
{
	return rng_below(r, 100) < percent;
}

/* 1 .. max, small numbers as often as large ones: every doubling is equally
 * likely. max below 2^63. */
static inline uint64_t rng_log(struct rng *r, uint64_t max)
{
	unsigned bits = 64u - (unsigned)__builtin_clzll(max);
	uint64_t low = UINT64_C(1) << rng_below(r, bits);
	uint64_t high = low * 2 - 1 < max ? low * 2 - 1 : max;

	return low + rng_below(r, high - low + 1);
}

#endif
