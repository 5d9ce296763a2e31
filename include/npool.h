/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * npool.h: pooled memory that stays on the NUMA node of the thread that asked
 * for it. This is the default pool; it starts with the first call and needs
 * no other. npool(7) tells how it works, npool(3) is the reference.
 *
 * Sizes are bytes. Memory calls return a pointer, or NULL with errno; other
 * calls return 0 or a positive errno. Every call may be made by any thread at
 * any time, without an outside lock, also in a forked child of a
 * multithreaded process and in destructors of thread-local storage; none may
 * be made from a signal handler that may have interrupted another. None is a
 * cancellation point. A call may block for as long as another thread holds an
 * arena's lock; it enters the kernel only when a chunk is mapped or unmapped,
 * when pages are given back, and to wait.
 *
 * A pointer handed to a call that takes one must have come from this pool
 * (the malloc face, libnpool-malloc.so, is the same pool) and must not have
 * been freed. Anything else that is noticed ends the process by abort(3) with
 * a message on standard error: addresses that are not the pool's at once,
 * interior pointers and double frees when the piece goes back to its arena,
 * or all of them at the call with the option check:1.
 */
#ifndef NPOOL_H
#define NPOOL_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define NPOOL_VERSION_MAJOR 0
#define NPOOL_VERSION_MINOR 1
#define NPOOL_VERSION_PATCH 0

#if defined __GNUC__
#define NPOOL_API __attribute__((visibility("default")))
#define NPOOL_MALLOC_ __attribute__((malloc, warn_unused_result))
#define NPOOL_SIZE_(...) __attribute__((alloc_size(__VA_ARGS__)))
#else
#define NPOOL_API
#define NPOOL_MALLOC_
#define NPOOL_SIZE_(...)
#endif

/* Returns size bytes at a multiple of 16, contents undefined. size 0 is
 * served as 1.
 * Returns: the piece, or NULL with ENOMEM: no memory, or size is above
 * PTRDIFF_MAX.
 * Threads: any; a hit in the thread's cache takes no lock. */
NPOOL_API void *npool_malloc(size_t size) NPOOL_MALLOC_ NPOOL_SIZE_(1);

/* Returns n * size bytes that are zero.
 * Returns: as npool_malloc; ENOMEM too if n * size overflows. */
NPOOL_API void *npool_calloc(size_t n, size_t size)
	NPOOL_MALLOC_ NPOOL_SIZE_(1, 2);

/* Makes the piece p size bytes large, in place or elsewhere; the first bytes
 * up to the smaller of both sizes are kept. p NULL: npool_malloc(size). size
 * 0 with p: frees p and returns NULL.
 * Returns: the piece, or NULL with ENOMEM: p is then unchanged. */
NPOOL_API void *npool_realloc(void *p, size_t size) NPOOL_SIZE_(2);

/* Returns size bytes at a multiple of align, a power of two.
 * Returns: the piece, or NULL with EINVAL (align is no power of two) or
 * ENOMEM. */
NPOOL_API void *npool_aligned_alloc(size_t align, size_t size)
	NPOOL_MALLOC_ NPOOL_SIZE_(2);

/* Gives p back to the node that it belongs to. NULL is allowed. Keeps errno.
 * Threads: any, whoever allocated it; also after that thread's end. */
NPOOL_API void npool_free(void *p);

/* As npool_free, for who knows the size that p was asked for. With check:1
 * a size that p does not hold ends the process. */
NPOOL_API void npool_free_sized(void *p, size_t size);

/* Returns the bytes that may be used at p, at least those asked for; 0 for
 * NULL. */
NPOOL_API size_t npool_usable_size(const void *p);

/* Returns what npool_usable_size would say of a piece of size bytes; 0 if
 * size is above PTRDIFF_MAX. */
NPOOL_API size_t npool_good_size(size_t size);

/* Returns 1 if p lies in memory of the pool, else 0. p may be any value. */
NPOOL_API int npool_owns(const void *p);

/* Returns the kernel's number of the NUMA node that p's memory belongs to
 * (its home; where its pages really are, move_pages(2) tells), or -1: p is
 * not the pool's, or the kernel's numbers are not known (without NUMA, or
 * with a memory policy of the process's own). */
NPOOL_API int npool_node_of(const void *p);

/* Returns the version of the library in use, "0.1.0". */
NPOOL_API const char *npool_version(void);

/* Gives back to the kernel what nobody uses: empties the caller's thread
 * cache, all depots and the arenas' free pages. Other threads keep what their
 * caches hold.
 * Returns: the bytes given back.
 * Threads: any; takes every arena's lock in turn. */
NPOOL_API size_t npool_trim(void);

/* Empties the caller's thread cache into the depots and arenas: for a thread
 * that will idle. It gets a new cache at its next call. */
NPOOL_API void npool_flush_thread(void);

/* Figures of the whole pool, in bytes if nothing else is said. While other
 * threads run, figures may be of slightly different moments. */
struct npool_figures {
	size_t size;	       /* in: sizeof(struct npool_figures) */
	uint64_t used;	       /* in pieces that the program holds, rounded to
				  their classes */
	uint64_t cached;       /* in thread caches and depots */
	uint64_t reserved;     /* address space of chunks and huge blocks */
	uint64_t peak_taken;   /* highest used + cached, summed over nodes */
	uint64_t metadata;     /* mapped for the pool's own data */
	uint64_t chunks;       /* chunks, spare ones too */
	uint64_t spare_chunks; /* of them: kept although empty */
	uint64_t huge_blocks;
	uint64_t allocs;       /* pieces handed out since the start */
	uint64_t frees;	       /* pieces that came back */
	uint64_t hits;	       /* allocs served by a loaded magazine */
	uint64_t depot_gets;   /* magazines taken from a depot */
	uint64_t depot_puts;   /* magazines left in a depot */
	uint64_t foreign_frees; /* pieces sent home to another node */
	uint64_t threads;      /* with a thread cache now */
	uint64_t nodes;
	uint64_t arenas;
	uint64_t chunk_size;   /* of one chunk */
};

/* Fills in the first stats->size bytes of *stats; a program built against an
 * older header gets the fields that it knows.
 * Returns 0, or EINVAL: stats->size is below that of the first release. */
NPOOL_API int npool_stats(struct npool_figures *stats);

#ifdef __cplusplus
}
#endif

#endif
