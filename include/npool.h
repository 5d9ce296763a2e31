/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * npool.h: pooled memory that stays on the NUMA node of the thread that asked
 * for it. The first part is the default pool: it starts with the first call
 * and needs no other. The second part makes pools of one's own, with limits,
 * which can be emptied and thrown away as a whole. npool(7) tells how it
 * works, npool(3), npool_create(3) and npool_alloc(3) are the reference.
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
 * A pointer handed to a call that takes one must have come from a pool of this
 * process (the malloc face, libnpool-malloc.so, uses the default pool) and
 * must not have been freed. Anything else that is noticed ends the process by
 * abort(3) with a message on standard error: addresses that are no pool's at
 * once, interior pointers and double frees when the piece goes back to its
 * arena, or all of them at the call with the option check:1.
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

/* Returns what npool_usable_size would say of a piece of size bytes (of a
 * block larger than a chunk it may say up to an eighth more); 0 if size is
 * above PTRDIFF_MAX. */
NPOOL_API size_t npool_good_size(size_t size);

/* Returns 1 if p lies in memory of a pool, else 0. p may be any value. */
NPOOL_API int npool_owns(const void *p);

/* Returns the kernel's number of the NUMA node that p's memory belongs to
 * (its home; where its pages really are, move_pages(2) tells), or -1: p is
 * no pool's, or of an interleaved one, or the kernel's numbers are not known
 * (without NUMA, or with a memory policy of the process's own). */
NPOOL_API int npool_node_of(const void *p);

/* Returns the version of the library in use, "0.1.0". */
NPOOL_API const char *npool_version(void);

/* Gives back to the kernel what nobody uses, in every pool: empties the
 * thread caches of everyone, all depots, the huge blocks that are kept and the
 * arenas' free pages. Another thread keeps what is in a cache that it is in
 * the midst of using, and in all of them where membarrier(2) is not to be had.
 * Returns: the bytes given back.
 * Threads: any; takes every arena's lock in turn. */
NPOOL_API size_t npool_trim(void);

/* Empties the caller's thread caches into the depots and arenas: for a thread
 * that will idle. It gets new ones at its next calls. */
NPOOL_API void npool_flush_thread(void);

/* Puts the caller on a node, by the kernel's number (nodes whose number is not
 * known are counted from 0), whatever CPU it runs on; -1: it follows its CPU
 * again. It stays so in all pools until it is called again or the thread ends.
 * The thread's CPU affinity is not touched.
 * Returns: 0, or EINVAL: the pool has no memory on that node, or ENOMEM. */
NPOOL_API int npool_thread_set_node(int node);

/* Figures of a pool, in bytes if nothing else is said. While other
 * threads run, figures may be of slightly different moments. */
struct npool_figures {
	size_t size;	       /* in: sizeof(struct npool_figures) */
	uint64_t used;	       /* in pieces that the program holds, rounded to
				  their classes */
	uint64_t cached;       /* in thread caches and depots */
	uint64_t reserved;     /* address space of chunks and huge blocks */
	uint64_t peak_taken;   /* highest used + cached, summed over nodes */
	uint64_t charged;      /* what limits count */
	uint64_t refused;      /* requests that failed */
	uint64_t metadata;     /* mapped for the data of all pools */
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
	uint64_t spilled;      /* found on another node than its home, by the
				  last looks (at each tick and trim) */
	uint64_t spilled_ms;   /* how long the oldest of it is known */
	uint64_t brought_home; /* by npool_migrate_home */
};

/* Fills in the first stats->size bytes of *stats with figures of the default
 * pool; a program built against an older header gets the fields that it knows.
 * Returns 0, or EINVAL: stats->size is below that of the first release. */
NPOOL_API int npool_stats(struct npool_figures *stats);

/* ---- Pools of one's own ------------------------------------------------
 *
 * A pool has arenas, chunks, caches, limits and a size class table of its
 * own. Any piece of any pool is freed, resized and asked about by the calls
 * above. At most 63 pools can be there beside the default one.
 */
typedef struct np_pool npool_t;

enum npool_classes {
	NPOOL_NETTY, /* multiples of 16 below 512, then powers of two */
	NPOOL_FINE,  /* 8 steps a doubling */
};

enum npool_policy {
	NPOOL_LOCAL,	  /* on the node of the thread that asks */
	NPOOL_INTERLEAVE, /* page by page over the pool's nodes: neither local
			     nor foreign to anyone */
};

/* The kernel's huge pages, of 2 MiB. */
enum npool_huge_pages {
	NPOOL_HUGE_DEFAULT, /* as the kernel is set */
	NPOOL_HUGE_OFF,	    /* none */
	NPOOL_HUGE_THP,	    /* transparent ones, where the kernel has them */
	NPOOL_HUGE_HUGETLB, /* those that each node keeps in reserve; chunks
			       that get none of them: as NPOOL_HUGE_THP */
};

/* What a pool is asked for when memory runs out. */
struct npool_pressure {
	size_t wanted; /* bytes of the request; 0: none waits */
	size_t used;   /* bytes that count against the limit */
	size_t limit;  /* bytes: which one was passed; 0: the kernel has no
			  more memory, or a strict pool's node has none */
	int node;      /* the node whose limit it is, or that has no memory;
			  or -1: the pool's */
	int hard;      /* 1: the request fails unless room is made */
};

/* Called when the soft limit was passed (hard 0; at most once until use has
 * fallen below it again; the result does not matter), and when a request
 * would fail (hard 1). May free memory, trim and allocate; within it no other
 * pressure call is made by the same thread.
 * Returns: 1, try again; 0, let the request fail. */
typedef int npool_pressure_fn(npool_t *pool,
			      const struct npool_pressure *pressure,
			      void *arg);

#define NPOOL_ZERO_ON_FREE 1u /* pieces are cleared when they are freed */
#define NPOOL_PINNED 2u	      /* chunks are registered with a device: pages are
				 not given back one by one, only whole chunks */
#define NPOOL_STRICT 4u	      /* a piece that does not fit on its node is
				 refused. Its pages are in memory, on that node,
				 when it is handed out. Not if interleaved */

/* What a pool shall be like. Start from NPOOL_ATTR_INIT and change fields. */
struct npool_attr {
	size_t size;		/* sizeof(struct npool_attr) */
	const char *name;	/* for errors and tools: copied, up to 31
				   bytes; NULL: "pool" */
	const char *nodes;	/* "0-3,8" as in cpuset(7), the kernel's
				   numbers; NULL: all the process may use */
	unsigned policy;	/* enum npool_policy */
	unsigned classes;	/* enum npool_classes */
	size_t page_size;	/* bytes: a power of two, 4 KiB .. 1 MiB */
	unsigned max_order;	/* 0 .. 14; page_size << max_order: a chunk, at
				   most 1 GiB */
	unsigned arenas;	/* of each node, 1 .. 64; 0: one a CPU, at most
				   16 */
	unsigned cache_pieces;	/* of a class in one magazine at most, 1 ..
				   512; 0: no thread caches */
	size_t cache_bytes;	/* in the caches of an arena's threads, in
				   loaded and in second magazines each, at most
				   1 GiB */
	size_t huge_bytes;	/* of freed huge blocks that are kept for the
				   next, of each node */
	int64_t decay_ms;	/* free pages return to the kernel after this
				   time; 0: at once, -1: never */
	size_t soft_limit;	/* bytes of the pool; 0: none */
	size_t hard_limit;
	size_t node_soft_limit; /* bytes of each node; 0: none. Not of an
				   interleaved pool */
	size_t node_hard_limit;
	unsigned flags;		/* NPOOL_ZERO_ON_FREE, NPOOL_PINNED,
				   NPOOL_STRICT */
	npool_pressure_fn *pressure; /* NULL: none */
	void *pressure_arg;
	unsigned huge_pages;	/* enum npool_huge_pages */
};

#define NPOOL_ATTR_INIT                                                   \
	{ sizeof(struct npool_attr), NULL, NULL, NPOOL_LOCAL, NPOOL_FINE, \
	  8192, 11, 0, 512, (size_t)4 << 20, (size_t)64 << 20, 10000, 0,  \
	  0, 0, 0, 0, NULL, NULL, NPOOL_HUGE_DEFAULT }

/* Makes a pool. attr NULL: as NPOOL_ATTR_INIT. A program that was built
 * against a newer header may hand in a larger struct if what this library
 * does not know is zero.
 * Returns: 0 and the pool in *pool; EINVAL: a field is out of its range (one
 * line on standard error names it); E2BIG: an unknown field is not zero;
 * EAGAIN: there are 63 pools already, or the program is still being loaded;
 * ENOTSUP: NPOOL_STRICT cannot be promised (one line on standard error says
 * why); ENOMEM.
 * Threads: any. */
NPOOL_API int npool_create(npool_t **pool, const struct npool_attr *attr);

/* Unmaps all of the pool, whoever holds pieces of it, and ends it. NULL is
 * allowed; the default pool ends the process, with a message.
 * Threads: no other call on the pool or its pieces may run, or come. What
 * other threads' caches hold of it is forgotten. */
NPOOL_API void npool_destroy(npool_t *pool);

/* Frees every piece of the pool at once. Its chunks are kept, and decay; huge
 * blocks are unmapped.
 * Threads: as npool_destroy, while it runs. */
NPOOL_API void npool_reset(npool_t *pool);

/* The default pool. */
NPOOL_API npool_t *npool_default(void);

/* Flags of npool_alloc, to be or-ed. */
#define NPOOL_ZERO 1u	 /* the piece reads as zero */
#define NPOOL_NOCACHE 2u /* straight from an arena, past the caches */
/* At a multiple of n, a power of two up to 1 GiB. */
#define NPOOL_ALIGN(n)                                          \
	((n) && !((n) & ((n) - 1)) && (n) <= (size_t)1 << 30    \
		 ? (unsigned)__builtin_ctzll(n) << 8 : NPOOL_BAD_)
/* On this node, as npool_thread_set_node, 0 .. 4094. */
#define NPOOL_NODE(n) \
	((unsigned)(n) < 4095u ? ((unsigned)(n) + 1u) << 16 : NPOOL_BAD_)
#define NPOOL_BAD_ 0x80u

/* Returns size bytes of the pool, at a multiple of 16 or as flags say. size 0
 * is served as 1.
 * Returns: the piece, or NULL with ENOMEM: no memory, or a hard limit; or
 * EINVAL: an alignment, a node or a flag that does not exist.
 * Threads: any; a hit in the thread's cache takes no lock. */
NPOOL_API void *npool_alloc(npool_t *pool, size_t size, unsigned flags)
	NPOOL_MALLOC_ NPOOL_SIZE_(2);

/* Allocates n pieces of size bytes: the same ones, in the same order, as n
 * single calls with NPOOL_NOCACHE would get, with one lock for many.
 * Returns: how many it got, in pieces[0..]; if fewer than n, errno says why,
 * as npool_alloc. */
NPOOL_API size_t npool_alloc_many(npool_t *pool, size_t size, unsigned flags,
				  void **pieces, size_t n);

/* Frees n pieces of any pools, with one lock for many. Keeps errno. */
NPOOL_API void npool_free_many(void *const *pieces, size_t n);

#define NPOOL_POPULATE 1u /* every page is in memory, and stays there */
#define NPOOL_LOCK 2u	  /* and is not swapped out: mlock(2) */

/* Warms the pool up: maps chunks for at least so many bytes more on a node
 * (the kernel's number; -1: the caller's). These chunks stay until the pool is
 * destroyed; with NPOOL_POPULATE their pages do not decay.
 * Returns: 0; EINVAL: node or flags; ENOMEM: memory, a limit, or
 * RLIMIT_MEMLOCK; EPERM: the process may not lock memory. What was mapped until
 * then stays. */
NPOOL_API int npool_reserve(npool_t *pool, int node, size_t bytes,
			    unsigned flags);

/* Gives back what nobody uses in one pool: see npool_trim. */
NPOOL_API size_t npool_pool_trim(npool_t *pool);

/* Brings memory of the pool that lies on another node than its home to that
 * node, as far as there is room: the kernel copies it. A full node spills into
 * the next one, and does not take back what others have by itself when it has
 * room again. *moved and *left, either may be NULL: the bytes that were
 * brought home, and those that are still elsewhere.
 * Returns: 0: nothing is left elsewhere, or the pool is bound to no node;
 * ENOMEM: some is, its node has no room; EBUSY: some is, since its pages are
 * pinned or another process has them too (a forked child); EPERM: the kernel
 * denies move_pages(2), and nobody knows.
 * Threads: any; holds an arena's lock while it brings home one of its chunks,
 * so that others may wait for milliseconds. */
NPOOL_API int npool_migrate_home(npool_t *pool, size_t *moved, size_t *left);

/* Fills in *stats for one pool: see npool_stats. */
NPOOL_API int npool_pool_stats(npool_t *pool, struct npool_figures *stats);

/* Sets an option by its name, as in NPOOL_CONF; npool_options(7) lists them
 * and says which can be set while the pool runs.
 * Returns: 0; ENOENT: there is no such option; EPERM: it is fixed when the
 * pool starts; EINVAL: no value for it. */
NPOOL_API int npool_option_set(npool_t *pool, const char *name,
			       const char *value);

/* Writes the option's value into text, with a final NUL.
 * Returns: 0; ENOENT; ERANGE: size bytes do not hold it. */
NPOOL_API int npool_option_get(npool_t *pool, const char *name, char *text,
			       size_t size);

/* Writes the figures of all pools to a file descriptor, as text for people.
 * Allocates nothing.
 * Returns: 0, or the errno of write(2). */
NPOOL_API int npool_stats_print(int fd);

#ifdef __cplusplus
}
#endif

#endif
