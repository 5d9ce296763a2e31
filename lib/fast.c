/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * fast: see fast.h.
 */
#include "fast.h"
#include "piece.h"
#include "pool.h"
#include "request.h"

#include <errno.h>

void *np_fast_miss(size_t size)
{
	if (size > PTRDIFF_MAX)
		return errno = ENOMEM, NULL;
	return np_request_serve(&(struct np_request){
		.pool = &np_pool, .size = size, .home = NP_ANY_HOME,
		.fast = true });
}

/* The loaded magazine is empty, or the class has none. */
void *np_fast_empty(size_t size, struct np_cache *c, const struct np_loaded *l)
{
	void *p = np_second_pop(c, (unsigned)(l - c->loaded));

	np_cache_leave(c);
	return p ? p : np_fast_miss(size);
}

void *np_fast_large(size_t size, struct np_cache *c)
{
	void *p = np_cache_pop(c, np_class_of_large(&np_pool.classes, size));

	np_cache_leave(c);
	return p ? p : np_fast_miss(size);
}

/* The loaded magazine is full, or the class has none. */
void np_fast_full(void *p, struct np_cache *c, const struct np_loaded *l)
{
	bool kept = np_second_push(c, p, (unsigned)(l - c->loaded));

	np_cache_leave(c);
	if (!kept)
		np_piece_free(p);
}

/* Into the loaded magazine of another pool's cache, or to the pieces that
 * await being sent to their home, if that has room. */
static inline bool push_elsewhere(const struct np_region *r, void *p)
{
	np_tag_t tag = np_region_tag(r);

	return np_cache_keep(np_thread_cache_last(np_tag_slot(tag)), p, r, tag,
			     false);
}

void np_fast_elsewhere(void *p)
{
	const struct np_region *r = np_map_find(p);

	if (p && (!r || !push_elsewhere(r, p)))
		np_piece_free(p);
}
