/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * memcheck: see memcheck.h.
 */
#include "memcheck.h"

#ifdef HAVE_VALGRIND
#include <valgrind/memcheck.h>
#else /* requests that nobody hears */
#define RUNNING_ON_VALGRIND 0
#define VALGRIND_CREATE_MEMPOOL(pool, redzone, zeroed) ((void)(pool))
#define VALGRIND_DESTROY_MEMPOOL(pool) ((void)(pool))
#define VALGRIND_MEMPOOL_ALLOC(pool, p, size) ((void)(p), (void)(size))
#define VALGRIND_MEMPOOL_FREE(pool, p) ((void)(p))
#define VALGRIND_MALLOCLIKE_BLOCK(p, size, redzone, zeroed) ((void)(p))
#define VALGRIND_FREELIKE_BLOCK(p, redzone) ((void)(p))
#define VALGRIND_MAKE_MEM_NOACCESS(p, size) ((void)(p))
#define VALGRIND_MAKE_MEM_UNDEFINED(p, size) ((void)(p), (void)(size))
#endif

bool np_memcheck_on;

void np_memcheck_init(void)
{
	if (RUNNING_ON_VALGRIND)
		np_memcheck_on = true;
}

void np_memcheck_pool(const void *pool)
{
	VALGRIND_CREATE_MEMPOOL(pool, 0, 0);
}

void np_memcheck_pool_ends(const void *pool)
{
	VALGRIND_DESTROY_MEMPOOL(pool);
}

void np_memcheck_take(const void *pool, void *p, size_t size)
{
	VALGRIND_MAKE_MEM_NOACCESS(p, size);
	if (pool)
		VALGRIND_MEMPOOL_ALLOC(pool, p, size - NP_REDZONE);
	else
		VALGRIND_MALLOCLIKE_BLOCK(p, size - NP_REDZONE, 0, 0);
}

void np_memcheck_give(const void *pool, const void *p)
{
	if (pool)
		VALGRIND_MEMPOOL_FREE(pool, p);
	else
		VALGRIND_FREELIKE_BLOCK(p, 0);
}

void np_memcheck_own(void *p, size_t size)
{
	VALGRIND_MAKE_MEM_UNDEFINED(p, size);
}
