/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * npool: the calls of npool.h, each a word for what other files do.
 */
#include "npool.h"
#include "attr.h"
#include "boot.h"
#include "fast.h"
#include "piece.h"
#include "pool.h"
#include "record.h"
#include "request.h"
#include "start.h"
#include "stats.h"

#include <errno.h>
#include <string.h>

#define STRINGIFY(x) #x
#define VERSION_OF(a, b, c) STRINGIFY(a) "." STRINGIFY(b) "." STRINGIFY(c)

static void *serve(const struct np_request *request)
{
	if (request->size > PTRDIFF_MAX || request->align > PTRDIFF_MAX)
		return errno = ENOMEM, NULL;
	return np_request_serve(request);
}

void *npool_malloc(size_t size)
{
	return np_fast_malloc(size);
}

void npool_free(void *p)
{
	np_fast_free(p);
}

void *npool_calloc(size_t n, size_t size)
{
	size_t total;
	void *p;

	if (__builtin_mul_overflow(n, size, &total) || total > PTRDIFF_MAX)
		return errno = ENOMEM, NULL;
	if (total > NP_SMALL_MAX)
		return np_request_serve(&(struct np_request){
			.pool = &np_pool, .size = total, .home = NP_ANY_HOME,
			.zero = true });
	p = npool_malloc(total);
	return p ? memset(p, 0, total) : NULL;
}

/* A piece of the pool that p is of. */
static void *alloc_beside(const void *p, size_t size)
{
	const struct np_region *r = np_map_find(p);
	struct np_pool *pool = r ? np_pool_of(r) : &np_pool; /* boot.h */

	return pool == &np_pool ? npool_malloc(size)
				: npool_alloc(pool, size, 0);
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
	usable = np_piece_usable(p, "realloc"); /* checks p */
	if (np_unlikely(np_watched()))
		np_record_piece(NP_TRACE_MOVE, p, size, false);
	if (np_piece_resize(p, usable, size, &q)) {
		if (np_unlikely(np_watched()))
			np_record_piece(NP_TRACE_RESIZE, q, size, false);
		return q;
	}
	q = alloc_beside(p, size);
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
	return serve(&(struct np_request){ .pool = &np_pool, .size = size,
					   .align = align,
					   .home = NP_ANY_HOME });
}

void npool_free_sized(void *p, size_t size)
{
	if (np_unlikely(p && np_pool.check)) {
		size_t usable = np_piece_usable(p, "free_sized");

		if (size > usable)
			np_die("free_sized(%p, %zu): the piece has %zu bytes",
			       p, size, usable);
	}
	npool_free(p);
}

/* --- about pieces ------------------------------------------------------ */

size_t npool_usable_size(const void *p)
{
	return p ? np_piece_usable(p, "usable_size") : 0;
}

size_t npool_good_size(size_t size)
{
	if (size > PTRDIFF_MAX)
		return 0;
	return np_start_early() ? np_request_good_size(&np_pool, size) : size;
}

int npool_owns(const void *p)
{
	return np_map_find(p) != NULL || np_boot_owns(p);
}

int npool_node_of(const void *p)
{
	const struct np_region *r = np_map_find(p);
	np_home_t home = r ? np_region_home(r) : NP_NO_NODE;

	if (!np_start() || home >= np_topology.nnodes ||
	    np_pool_of(r)->interleaved)
		return -1;
	return np_topology.kernel_node[home];
}

const char *npool_version(void)
{
	return VERSION_OF(NPOOL_VERSION_MAJOR, NPOOL_VERSION_MINOR,
			  NPOOL_VERSION_PATCH);
}

/* --- threads ----------------------------------------------------------- */

void npool_flush_thread(void)
{
	np_thread_leave();
}

int npool_thread_set_node(int node)
{
	np_home_t home = 0;

	if (!np_start())
		return ENOMEM;
	if (node != -1) {
		home = np_topology_find(&np_topology, node);
		if (home == NP_NO_NODE)
			return EINVAL;
	}
	return np_thread_set_home(&np_topology, node == -1 ? -1 : home);
}

/* --- pools ------------------------------------------------------------- */

int npool_create(npool_t **pool, const struct npool_attr *attr)
{
	struct np_config config;
	struct npool_attr a;
	int cancel, error = np_attr_copy(&a, attr);

	if (!error)
		error = np_attr_read(&a, &config);
	if (!error && !np_start())
		error = EAGAIN;
	if (error)
		return error;
	/* Opening a segment is a cancellation point; this is none. */
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	error = np_pool_create(pool, &config, &a);
	pthread_setcancelstate(cancel, NULL);
	return error;
}

static void no_default(const npool_t *pool, const char *what)
{
	if (pool == &np_pool)
		np_die("%s: the default pool cannot be: make one with "
		       "npool_create", what);
}

void npool_destroy(npool_t *pool)
{
	if (!pool)
		return;
	no_default(pool, "npool_destroy");
	np_pool_destroy(pool);
}

void npool_reset(npool_t *pool)
{
	no_default(pool, "npool_reset");
	np_pool_reset(pool);
}

npool_t *npool_default(void)
{
	np_start();
	return &np_pool;
}

/* --- flags ------------------------------------------------------------- */

#define FLAG_ALIGN_SHIFT 8
#define FLAG_ALIGN_MASK 0x1f00u
#define FLAG_NODE_SHIFT 16
#define FLAG_NODE_MASK 0x0fff0000u
#define FLAGS_KNOWN (NPOOL_ZERO | NPOOL_NOCACHE | FLAG_ALIGN_MASK | \
		     FLAG_NODE_MASK)

/* The home of the pool that the kernel's number stands for; -1: none. */
static int home_in(const struct np_pool *pool, int node)
{
	np_home_t home = np_topology_find(&np_topology, node);

	if (home == NP_NO_NODE || home >= pool->nodes.n || pool->interleaved ||
	    !pool->nodes.node[home].narenas)
		return -1;
	return home;
}

/* Reads the flags into the request. Returns false if they are none. */
static bool read_flags(unsigned flags, struct np_request *r)
{
	unsigned node = (flags & FLAG_NODE_MASK) >> FLAG_NODE_SHIFT;

	if (flags & ~FLAGS_KNOWN)
		return false;
	r->align = (size_t)1 << ((flags & FLAG_ALIGN_MASK) >>
				 FLAG_ALIGN_SHIFT);
	r->zero = flags & NPOOL_ZERO;
	r->nocache = flags & NPOOL_NOCACHE;
	r->home = node ? home_in(r->pool, (int)node - 1) : NP_ANY_HOME;
	return !node || r->home >= 0;
}

/* Does the fast path serve such a request? */
static inline bool is_fast(size_t size, unsigned flags)
{
	return !(flags & ~NPOOL_ZERO) && !(flags && size > NP_SMALL_MAX);
}

static __attribute__((noinline)) void *alloc_slow(npool_t *pool, size_t size,
						  unsigned flags)
{
	struct np_request r = { .pool = pool, .size = size };

	if (!read_flags(flags, &r))
		return errno = EINVAL, NULL;
	r.fast = is_fast(size, flags);
	return serve(&r);
}

void *npool_alloc(npool_t *pool, size_t size, unsigned flags)
{
	struct np_cache *c = np_thread_cache_last(pool->slot);
	void *p;

	if (!c || !is_fast(size, flags))
		return alloc_slow(pool, size, flags);
	p = np_cache_hit(c, np_class_of(&pool->classes, size ? size : 1), false);
	if (!p)
		return alloc_slow(pool, size, flags);
	return flags ? memset(p, 0, size) : p;
}

size_t npool_alloc_many(npool_t *pool, size_t size, unsigned flags,
			void **pieces, size_t n)
{
	struct np_request r = { .pool = pool, .size = size };

	if (!read_flags(flags, &r))
		return errno = EINVAL, 0;
	if (size > PTRDIFF_MAX)
		return errno = ENOMEM, 0;
	r.nocache = true;
	return np_request_serve_many(&r, pieces, n);
}

void npool_free_many(void *const *pieces, size_t n)
{
	np_piece_free_many(pieces, n);
}

/* --- memory of a pool -------------------------------------------------- */

int npool_reserve(npool_t *pool, int node, size_t bytes, unsigned flags)
{
	int home;

	if (flags & ~(NPOOL_POPULATE | NPOOL_LOCK))
		return EINVAL;
	if (np_pool_stage(pool) != NP_AWAKE)
		return ENOMEM;
	home = node == -1 ? np_thread_home(&pool->nodes)
			  : home_in(pool, node);
	if (home < 0)
		return EINVAL;
	return np_pool_reserve(pool, (np_home_t)home, bytes, flags);
}

static void trim(struct np_pool *pool, void *bytes)
{
	*(size_t *)bytes += np_pool_trim(pool);
}

size_t npool_trim(void)
{
	size_t bytes = 0;

	if (!np_start())
		return np_pool_trim(&np_pool);
	np_pools_each(trim, &bytes);
	return bytes;
}

size_t npool_pool_trim(npool_t *pool)
{
	return np_pool_trim(pool);
}

int npool_migrate_home(npool_t *pool, size_t *moved, size_t *left)
{
	struct np_brought b = { .error = 0 };

	if (np_pool_stage(pool) == NP_AWAKE)
		np_pool_migrate_home(pool, &b);
	if (moved)
		*moved = b.pages.moved;
	if (left)
		*left = b.pages.away;
	return np_topology.binds && !np_topology.sees && !pool->interleaved
		? EPERM : b.error;
}

/* --- options and figures ------------------------------------------------ */

int npool_option_set(npool_t *pool, const char *name, const char *value)
{
	return np_pool_set_option(pool, name, value);
}

int npool_option_get(npool_t *pool, const char *name, char *text, size_t size)
{
	return np_pool_get_option(pool, name, text, size);
}

int npool_pool_stats(npool_t *pool, struct npool_figures *stats)
{
	size_t first_release = offsetof(struct npool_figures, brought_home) +
			       sizeof stats->brought_home;
	struct npool_figures all;

	if (stats->size < first_release)
		return EINVAL;
	all.size = stats->size < sizeof all ? stats->size : sizeof all;
	np_stats_collect(pool, &all);
	memcpy(stats, &all, all.size);
	return 0;
}

int npool_stats(struct npool_figures *stats)
{
	return npool_pool_stats(npool_default(), stats);
}

int npool_stats_print(int fd)
{
	int cancel, error;

	np_start();
	/* Writing is a cancellation point; this is none. */
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	error = np_stats_print(fd);
	pthread_setcancelstate(cancel, NULL);
	return error;
}
