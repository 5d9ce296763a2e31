/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * npool: the calls of npool.h, and with them the two fast paths. A hit in the
 * loaded magazine takes no lock, no atomic read-modify-write, and does not
 * enter the kernel; everything else is pool.c's.
 */
#include "npool.h"
#include "pool.h"
#include "stats.h"

#include <errno.h>
#include <string.h>

#define STRINGIFY(x) #x
#define VERSION_OF(a, b, c) STRINGIFY(a) "." STRINGIFY(b) "." STRINGIFY(c)

static __attribute__((noinline)) void *malloc_slow(size_t size)
{
	if (size > PTRDIFF_MAX)
		return errno = ENOMEM, NULL;
	return np_pool_alloc(size);
}

/* Pops a piece of the class, which serves size bytes. */
static inline void *take(size_t size, unsigned class)
{
	struct np_cache *c = np_self;
	struct np_mag *mag = c->loaded[class];

	if (np_unlikely(!mag->n || np_cache_moved(c)))
		return malloc_slow(size);
	np_count_add(&c->count->class[class].allocs, 1);
	return mag->slot[--mag->n];
}

/* Apart, so that the small one needs no stack frame. */
static __attribute__((noinline)) void *malloc_large(size_t size)
{
	unsigned class = np_class_of_large(&np_pool.classes, size);
	struct np_cache *c = np_self;
	void *p = NULL;

	if (class >= c->first_large && !np_cache_moved(c))
		p = np_cache_pop_large(c, class);
	return p ? p : take(size, class);
}

void *npool_malloc(size_t size)
{
	if (np_unlikely(size > NP_LOOKUP_MAX))
		return malloc_large(size);
	return take(size, np_pool.classes.lookup[(size + 15) / 16]);
}

/* The loaded magazine is full, or that of a class that has none. */
static __attribute__((noinline)) void free_large(void *p, unsigned class)
{
	struct np_cache *c = np_self;

	if (np_cache_moved(c) || !np_cache_push_large(c, p, class))
		np_pool_free(p);
}

static __attribute__((noinline)) void free_slow(void *p)
{
	if (p)
		np_pool_free(p);
}

void npool_free(void *p)
{
	struct np_cache *c = np_self;
	struct np_region *r = np_map_find(p);
	struct np_mag *mag;
	unsigned class;

	if (np_unlikely(!r || np_region_home(r) != c->home)) {
		free_slow(p);
		return;
	}
	class = np_region_entry(r, p) & NP_PAGE_CLASS;
	mag = c->loaded[class];
	if (np_unlikely(mag->n == mag->cap || np_cache_moved(c))) {
		free_large(p, class);
		return;
	}
	np_count_add(&c->count->class[class].frees, 1);
	mag->slot[mag->n++] = p;
}

void *npool_calloc(size_t n, size_t size)
{
	size_t total;
	void *p;

	if (__builtin_mul_overflow(n, size, &total) || total > PTRDIFF_MAX)
		return errno = ENOMEM, NULL;
	if (total > NP_SMALL_MAX)
		return np_pool_alloc_zero(total);
	p = npool_malloc(total);
	return p ? memset(p, 0, total) : NULL;
}

void *npool_realloc(void *p, size_t size)
{
	size_t usable;
	void *q;

	if (!p)
		return npool_malloc(size);
	if (!size) {
		npool_free(p);
		return NULL;
	}
	if (size > PTRDIFF_MAX)
		return errno = ENOMEM, NULL;
	if (np_pool_resize(p, size, &q))
		return q;
	usable = np_pool_usable(p);
	q = npool_malloc(size);
	if (!q)
		return size <= usable ? p : NULL; /* it is large enough */
	memcpy(q, p, usable < size ? usable : size);
	npool_free(p);
	return q;
}

void *npool_aligned_alloc(size_t align, size_t size)
{
	if (!np_is_pow2(align))
		return errno = EINVAL, NULL;
	if (size > PTRDIFF_MAX || align > PTRDIFF_MAX)
		return errno = ENOMEM, NULL;
	return np_pool_alloc_aligned(size, align);
}

void npool_free_sized(void *p, size_t size)
{
	if (np_unlikely(p && np_pool.check && size > np_pool_usable(p)))
		np_die("free_sized(%p, %zu): the piece has %zu bytes", p, size,
		       np_pool_usable(p));
	npool_free(p);
}

size_t npool_usable_size(const void *p)
{
	return p ? np_pool_usable(p) : 0;
}

size_t npool_good_size(size_t size)
{
	return size > PTRDIFF_MAX ? 0 : np_pool_good_size(size);
}

int npool_owns(const void *p)
{
	return np_map_find(p) != NULL;
}

int npool_node_of(const void *p)
{
	const struct np_region *r = np_map_find(p);
	np_home_t home = r ? np_region_home(r) : NP_NO_NODE;

	if (!np_pool_wake() || home >= np_pool.nodes.n)
		return -1;
	return np_pool.topology.kernel_node[home];
}

const char *npool_version(void)
{
	return VERSION_OF(NPOOL_VERSION_MAJOR, NPOOL_VERSION_MINOR,
			  NPOOL_VERSION_PATCH);
}

size_t npool_trim(void)
{
	return np_pool_trim();
}

void npool_flush_thread(void)
{
	np_thread_flush(true, true);
}

int npool_stats(struct npool_figures *stats)
{
	size_t first_release = offsetof(struct npool_figures, chunk_size) +
			       sizeof stats->chunk_size;
	struct npool_figures all;

	if (stats->size < first_release)
		return EINVAL;
	all.size = stats->size < sizeof all ? stats->size : sizeof all;
	np_stats_collect(&all);
	memcpy(stats, &all, all.size);
	return 0;
}
