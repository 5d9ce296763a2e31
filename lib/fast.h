/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * fast: malloc and free of the default pool. While the loaded magazines serve
 * them they take no lock, no atomic read-modify-write, and do not leave the
 * thread's own cache lines. That way is inline, since it is walked by functions
 * of two libraries: npool_malloc and npool_free, and the malloc face, for which
 * a call of those would be two jumps more.
 *
 * So the face knows the layout of a cache. The names that it needs are shown
 * by libnpool.so under a version that is this very release's: one of another
 * release is refused by the loader.
 *
 * Owner: np_self is the thread's; see cache.h.
 */
#ifndef NP_FAST_H
#define NP_FAST_H

#include "base.h"
#include "cache.h"
#include "thread.h"

/* Where they go on. c: the caller's cache; what they were called with comes
 * first, since it is in the first register. */
NP_FOR_FACE void *np_fast_miss(size_t size);
NP_FOR_FACE void *np_fast_large(size_t size, struct np_cache *c);
NP_FOR_FACE void *np_fast_empty(size_t size, struct np_cache *c,
				const struct np_loaded *l);
NP_FOR_FACE void np_fast_full(void *p, struct np_cache *c,
			      const struct np_loaded *l);
NP_FOR_FACE void np_fast_elsewhere(void *p);	/* or moved, or no piece */

static inline void *np_fast_malloc(size_t size)
{
	struct np_cache *c = np_self;
	struct np_loaded *l;
	void *p;

	if (np_unlikely(!np_cache_enter(c, false)))
		return np_fast_miss(size);
	if (np_unlikely(size > NP_LOOKUP_MAX))
		return np_fast_large(size, c);
	l = c->by_size[(size + 15) / 16];
	if (np_unlikely(l->top == l->base))
		return np_fast_empty(size, c, l);
	p = np_loaded_pop(l);
	np_cache_leave(c);
	return p;
}

static inline void np_fast_free(void *p)
{
	struct np_cache *c = np_self;
	struct np_loaded *l = np_cache_finds(c, p);

	if (np_unlikely(!l || !np_cache_enter(c, false))) {
		np_fast_elsewhere(p);
		return;
	}
	if (np_unlikely(l->top == l->end)) {
		np_fast_full(p, c, l);
		return;
	}
	np_loaded_push(l, p);
	np_cache_leave(c);
}

#endif
