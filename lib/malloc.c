/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * malloc: the malloc face, a library of its own to be preloaded. Every symbol
 * that a C or C++ program may expect, each a thin word for a call of npool.h,
 * but for malloc and free themselves (fast.h); it links libnpool.so, so that a
 * process has one chunk map and one pool.
 *
 * The contracts are those of malloc(3), posix_memalign(3), mallinfo(3),
 * mallopt(3) and, for the sized frees, of C23; where the C library's own
 * behaviour is more than its contract, it is copied (realloc(p, 0) frees).
 */
#include "npool.h"
#include "fast.h"

#include <errno.h>
#include <malloc.h> /* struct mallinfo2, M_* */
#include <stdlib.h> /* aligned_alloc, posix_memalign */
#include <unistd.h> /* sysconf */

#define FACE __attribute__((visibility("default")))

FACE void *malloc(size_t size)
{
	return np_fast_malloc(size);
}

FACE void free(void *p)
{
	np_fast_free(p);
}

FACE void *calloc(size_t n, size_t size)
{
	return npool_calloc(n, size);
}

FACE void *realloc(void *p, size_t size)
{
	return npool_realloc(p, size);
}

FACE void *reallocarray(void *p, size_t n, size_t size)
{
	size_t total;

	if (__builtin_mul_overflow(n, size, &total)) {
		errno = ENOMEM;
		return NULL;
	}
	return npool_realloc(p, total);
}

FACE void free_sized(void *p, size_t size);
FACE void free_sized(void *p, size_t size)
{
	npool_free_sized(p, size);
}

FACE void free_aligned_sized(void *p, size_t align, size_t size);
FACE void free_aligned_sized(void *p, size_t align, size_t size)
{
	(void)align;
	npool_free_sized(p, size);
}

/* --- aligned ---------------------------------------------------------- */

FACE void *aligned_alloc(size_t align, size_t size)
{
	return npool_aligned_alloc(align, size);
}

/* As glibc: an alignment that is no power of two is rounded up to one. */
FACE void *memalign(size_t align, size_t size)
{
	size_t power = sizeof(void *);

	while (power < align && power <= SIZE_MAX / 2)
		power *= 2;
	if (power < align) {
		errno = EINVAL;
		return NULL;
	}
	return npool_aligned_alloc(power, size);
}

FACE int posix_memalign(void **out, size_t align, size_t size)
{
	int saved = errno, error = 0;
	void *p;

	if (align % sizeof(void *) || !align || align & (align - 1))
		return EINVAL;
	p = npool_aligned_alloc(align, size);
	if (p)
		*out = p;
	else
		error = ENOMEM;
	errno = saved;
	return error;
}

static size_t page_size(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

FACE void *valloc(size_t size)
{
	return npool_aligned_alloc(page_size(), size);
}

FACE void *pvalloc(size_t size)
{
	size_t page = page_size(), whole;

	if (__builtin_add_overflow(size, page - 1, &whole)) {
		errno = ENOMEM;
		return NULL;
	}
	whole &= ~(page - 1);
	return npool_aligned_alloc(page, whole ? whole : page);
}

/* --- asking and tuning ------------------------------------------------ */

FACE size_t malloc_usable_size(void *p)
{
	return npool_usable_size(p);
}

/* The pad is what glibc would keep at the top of its heap; there is none. */
FACE int malloc_trim(size_t pad)
{
	(void)pad;
	return npool_trim() > 0;
}

/* glibc's parameters tune what is not here: they are accepted, and change
 * nothing. What can be tuned is set by NPOOL_CONF. */
FACE int mallopt(int param, int value)
{
	(void)value;
	switch (param) {
	case M_MXFAST:
	case M_TRIM_THRESHOLD:
	case M_TOP_PAD:
	case M_MMAP_THRESHOLD:
	case M_MMAP_MAX:
	case M_CHECK_ACTION:
	case M_PERTURB:
	case M_ARENA_TEST:
	case M_ARENA_MAX:
		return 1;
	default:
		return 0;
	}
}

static struct npool_figures stats_now(void)
{
	struct npool_figures s = { .size = sizeof s };

	npool_stats(&s);
	return s;
}

FACE struct mallinfo2 mallinfo2(void)
{
	struct npool_figures s = stats_now();
	size_t free_bytes = s.reserved - s.used;

	return (struct mallinfo2){
		.arena = s.reserved,
		.ordblks = s.chunks,
		.hblks = s.huge_blocks,
		.usmblks = s.peak_taken,
		.fsmblks = s.cached,
		.uordblks = s.used,
		.fordblks = s.reserved > s.used ? free_bytes : 0,
		.keepcost = s.spare_chunks * s.chunk_size,
	};
}
