/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * piece: see piece.h.
 */
#include "piece.h"
#include "arena.h"
#include "boot.h"
#include "memcheck.h"
#include "os.h"
#include "pool.h"
#include "record.h"
#include "tick.h"

#include <errno.h>
#include <string.h>

#define BATCH 64 /* pieces that are sorted by their arenas at a time */

/* --- freeing: one ------------------------------------------------------ */

static void count_given(struct np_pool *pool, struct np_cache *c,
			const struct np_region *r, unsigned class)
{
	np_pool_count_given(pool, c, np_region_home(r), class, 1,
			    class ? pool->classes.row[class].size
				  : r->block_size);
}

static void clear_huge(const struct np_region *r)
{
	if (np_os_purge((void *)r->base, r->block_size) != 0)
		memset((void *)r->base, 0, r->block_size);
}

static void free_huge(struct np_pool *pool, struct np_region *r,
		      const void *p)
{
	struct np_place place = { .region = r,
				  .offset = (uintptr_t)p - r->base };

	if (place.offset || np_huge_is_kept(&pool->huge, r))
		np_place_die(p, &place, "free");
	if (pool->zero_on_free && !np_memcheck_on)
		clear_huge(r);
	count_given(pool, np_pool_cache(pool), r, 0);
	if (!np_huge_free(&pool->huge, r))
		np_place_die(p, &place, "free");
}

/* The region and the class of a piece that is freed; ends the process if it
 * is none. *class 0: huge. */
static struct np_region *find(const void *p, unsigned *class)
{
	struct np_region *r = np_map_find(p);

	if (!r || np_pool.check)
		np_arena_check(p, "free");
	*class = np_region_entry(r, p) & NP_PAGE_CLASS;
	if (!*class && !r->is_huge)
		np_arena_check(p, "free"); /* a free page: says so and ends */
	return r;
}

/* Not before it is known to be the start of a piece. */
static void clear(const struct np_pool *pool, void *p, unsigned class)
{
	struct np_place place;

	if (!pool->zero_on_free || np_memcheck_on)
		return;
	place = np_place_of(p);
	if (place.offset)
		np_place_die(p, &place, "free");
	memset(p, 0, pool->classes.row[class].size);
}

static void free_one(struct np_pool *pool, struct np_region *r, void *p,
		     unsigned class)
{
	struct np_cache *c = np_pool_cache(pool);

	clear(pool, p, class);
	if (c) {
		np_cache_give(c, p, class, r);
		return;
	}
	count_given(pool, NULL, r, class);
	np_arena_put(r->arena, &p, 1);
}

/* To whoever looks on. */
static void tell(const struct np_region *r, const void *p)
{
	np_record_free(r, p);
	if (np_memcheck_on)
		np_memcheck_give(np_pool_anchor(np_pool_of(r)), p);
}

/* Tells it. While a recording is on, the fast path could not keep the piece
 * (record.h): does that in its stead, if it would have. */
static bool free_recorded(void *p)
{
	const struct np_region *r = np_map_find(p);
	struct np_cache *c;

	if (!r)
		return false;
	tell(r, p);
	c = np_thread_cache_hidden(np_tag_slot(np_region_tag(r)));
	return np_cache_keep(c, p, r, np_region_tag(r), true);
}

void np_piece_free(void *p)
{
	int saved = errno;
	unsigned class;
	struct np_region *r;
	struct np_pool *pool;

	if (np_unlikely(np_watched()) && free_recorded(p))
		return;
	if (np_unlikely(np_boot_owns(p))) {
		np_boot_free(p);
		return;
	}
	r = find(p, &class);
	pool = np_pool_of(r);
	if (class)
		free_one(pool, r, p, class);
	else
		free_huge(pool, r, p);
	np_tick_visit(pool);
	errno = saved;
}

/* --- freeing: many ----------------------------------------------------- */

/* Gives the batch its next piece, of the pool *of; huge blocks are freed at
 * once. Returns how many the batch gets. */
static unsigned add(void **batch, void *p, struct np_pool **of)
{
	unsigned class;
	struct np_region *r;
	struct np_pool *pool;

	if (np_unlikely(np_boot_owns(p))) {
		np_boot_free(p);
		return 0;
	}
	r = find(p, &class);
	if (np_unlikely(np_watched()))
		tell(r, p);
	pool = *of = np_pool_of(r);
	if (!class) {
		free_huge(pool, r, p);
		return 0;
	}
	clear(pool, p, class);
	count_given(pool, np_pool_cache(pool), r, class);
	*batch = p;
	return 1;
}

void np_piece_free_many(void *const *pieces, size_t n)
{
	void *batch[BATCH];
	int saved = errno;

	for (size_t i = 0; i < n; ) {
		struct np_pool *last = NULL; /* of the batch: it may tick */
		unsigned nbatch = 0;

		for (; i < n && nbatch < BATCH; i++)
			if (pieces[i])
				nbatch += add(&batch[nbatch], pieces[i], &last);
		np_arenas_put(batch, nbatch);
		if (last)
			np_tick_visit(last);
	}
	errno = saved;
}

/* --- sizes ------------------------------------------------------------- */

size_t np_piece_usable(const void *p, const char *what)
{
	struct np_place place = np_place_of(p);

	if (np_unlikely(np_boot_owns(p)))
		return np_boot_size(p, what);
	if (np_pool.check)
		np_arena_check(p, what);
	if (place.region && place.region->is_huge && !place.offset) {
		if (np_huge_is_kept(&np_pool_of(place.region)->huge,
				    place.region))
			np_place_die(p, &place, what);
		return place.region->block_size - np_memcheck_redzone();
	}
	if (!place.chunk || !place.entry || place.offset)
		np_place_die(p, &place, what);
	return place.chunk->classes->row[place.class].size -
	       np_memcheck_redzone();
}

/* A huge block that stays huge. */
static bool resize_huge(struct np_region *r, size_t size, void **moved)
{
	struct np_pool *pool = np_pool_of(r);
	np_home_t home;
	size_t before;

	if (np_class_of(&pool->classes, size ? size : 1))
		return false;
	home = np_region_home(r);
	before = r->block_size;
	*moved = np_huge_resize(&pool->huge, r, size);
	if (*moved)
		np_pool_count_resized(pool, home,
				      np_map_find(*moved)->block_size -
				      before);
	return *moved != NULL;
}

bool np_piece_resize(void *p, size_t usable, size_t size, void **moved)
{
	struct np_region *r = np_map_find(p);

	if (np_unlikely(np_memcheck_on))
		return false;
	if (r && r->is_huge)
		return resize_huge(r, size, moved);
	*moved = p;
	/* In place while it fits, and at least half of it is used. */
	return size <= usable && (size > usable / 2 || usable <= NP_LINE);
}
