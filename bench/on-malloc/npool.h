/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * npool.h in the hands of malloc: what examples/echo-server.c uses of it, so
 * that the same server can be measured on any malloc. There is no pool here, no
 * node and no limit: it costs what a server pays that knows none of these.
 */
#ifndef NPOOL_H
#define NPOOL_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct npool npool_t;

struct npool_pressure {
	int hard;
};

typedef int npool_pressure_fn(npool_t *pool,
			      const struct npool_pressure *pressure,
			      void *arg);

struct npool_attr {
	const char *name;
	size_t soft_limit, hard_limit;
	npool_pressure_fn *pressure;
	void *pressure_arg;
};

struct npool_figures {
	size_t size;
	uint64_t used, allocs, frees;
};

#define NPOOL_ATTR_INIT { 0 }
#define NPOOL_ZERO 1u
#define NPOOL_ALIGN(align) ((unsigned)(align) << 1)

static inline npool_t *npool_default(void)
{
	return NULL;
}

static inline int npool_create(npool_t **pool, const struct npool_attr *attr)
{
	(void)attr;
	*pool = NULL;
	return 0;
}

static inline void npool_destroy(npool_t *pool)
{
	(void)pool;
}

static inline int npool_option_set(npool_t *pool, const char *name,
				   const char *value)
{
	(void)pool, (void)name, (void)value;
	return 0;
}

static inline void *npool_alloc(npool_t *pool, size_t size, unsigned flags)
{
	size_t align = flags >> 1;
	void *p;

	(void)pool;
	if (!flags)
		return malloc(size);
	p = align ? aligned_alloc(align, (size + align - 1) & ~(align - 1))
		  : malloc(size);
	return p && flags & NPOOL_ZERO ? memset(p, 0, size) : p;
}

static inline void *npool_calloc(size_t n, size_t size)
{
	return calloc(n, size);
}

static inline void npool_free(void *p)
{
	free(p);
}

static inline void npool_free_sized(void *p, size_t size)
{
	(void)size;
	free(p);
}

static inline int npool_node_of(const void *p)
{
	(void)p;
	return -1;
}

static inline int npool_pool_stats(npool_t *pool, struct npool_figures *f)
{
	(void)pool, (void)f;
	return 0;
}

static inline int npool_stats_print(int fd)
{
	(void)fd;
	return 0;
}

#endif
