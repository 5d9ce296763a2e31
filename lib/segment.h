/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * segment: where a pool counts, laid out so that another process can read it.
 * Each pool has one.
 *
 * It is System V shared memory, whose number the kernel shows in the maps of
 * the process: it needs no descriptor and no file system, nobody can cut it
 * short, and it ends with the last process that has it mapped, which in a
 * program that runs is its owner (HACKING, section 9, has the alternatives).
 * A forked child goes on in a segment of its own.
 *
 *	7f10c8a00000-... rw-s 00000000 00:01 65538   /SYSV4e501f2c (deleted)
 *	                              its number ^^^       ^^^^ NP_SEGMENT_KEY
 *
 * With the option `segment` it is a file DIR/PID.N (N = 0, 1, ... for each
 * program that this process id has run, and for each pool) that the process
 * maps shared. What happened stays in the file when the process is killed; the
 * file of a pool that is destroyed is removed. With stats:off, and where the
 * kernel has no shared memory for us, it is a private mapping.
 *
 *	header | classes | nodes | arenas | flows | blocks | chunks | page maps
 *
 * The header says where each part begins, how many entries it has and how
 * large one is, so a reader steps over fields that it does not know. Every
 * value is written by its owner with relaxed atomics and never read back for
 * a decision, but for the word that starts a recording, whose file says whether
 * it is one, and the counts that tell a thread's cache which classes are idle:
 * a segment that somebody spoils spoils the figures, and at worst hits. Pages
 * are allocated before they are used: the owner cannot fault on a full disk.
 * Only who cuts a file short makes it fault, and there is none unless it was
 * asked for.
 *
 * Blocks: one for each live thread cache; block 0 takes what happens without
 * a cache and what ended threads have counted.
 *
 *	used bytes of the pool = taken (arenas, huge) - cached
 *	cached by a block = in_bytes - out_bytes
 *	                  + bytes of frees - bytes of allocs
 *	                  - foreign_bytes - reclaimed_bytes
 *	hits = allocs - misses
 *
 * While a thread's counts move to block 0 they are in both for a moment, or in
 * neither. What was read is whole if moves_ended, read before it, is
 * moves_begun, read behind it.
 *
 * Owner: see each struct. This header is all that a reader needs.
 */
#ifndef NP_SEGMENT_H
#define NP_SEGMENT_H

#include "base.h"
#include "lock.h"

#include <stdatomic.h>
#include <string.h> /* memcpy */

/* The upper half of the key with which a segment's shared memory is made, "NP";
 * the lower half is anything. */
#define NP_SEGMENT_KEY UINT32_C(0x4e500000)
#define NP_SEGMENT_KEY_MASK UINT32_C(0xffff0000)

#define NP_SEGMENT_MAGIC UINT64_C(0x31676573706e0a0d) /* "\r\nnpseg1" */
#define NP_SEGMENT_VERSION 4

#define NP_POOL_NAME_SIZE 32 /* bytes, with the final NUL */

typedef _Atomic uint64_t np_count_t; /* atomic, relaxed: a statistic */

struct np_segment_part {
	uint32_t offset; /* bytes from the segment's start */
	uint32_t stride; /* bytes from one entry to the next */
	uint32_t n;	 /* entries */
};

enum np_segment_state {
	NP_SEGMENT_LIVE = 1,  /* the process runs, or was killed */
	NP_SEGMENT_ENDED = 2, /* it has left through exit() */
};

/* Written by the process's start, but for the fields said otherwise. */
struct np_segment_header {
	uint64_t magic;
	uint32_t version;
	uint32_t header_size; /* bytes */
	uint64_t size;	      /* bytes of the whole segment */
	uint32_t pid;
	uint32_t parent;      /* pid of the process it was forked from, or 0 */
	_Atomic uint32_t state;
	uint32_t page_size;   /* bytes of a page of the tree */
	uint32_t max_order;
	uint32_t class_table; /* enum np_class_table */
	struct np_segment_part classes, nodes, arenas, blocks, chunks, maps;
	struct np_segment_part before; /* one block: see struct np_block */
	uint32_t pool_slot;   /* 0: the default pool */
	char pool[NP_POOL_NAME_SIZE]; /* its name */
	char program[32];     /* as in /proc/self/comm */
	char topology[96];    /* a sentence */
	char options[1024];   /* "key:value,..." as they were at the start */
	np_count_t blocks_used;	  /* blocks handed out at some time: 0..n-1 */
	np_count_t chunks_used;	  /* likewise */
	np_count_t chunks_unseen; /* chunks for which there was no entry; a
				     child has those that were before */
	np_count_t caches_unseen; /* thread caches likewise, of its own */
	np_count_t threads, peak_threads;     /* with a thread cache */
	np_count_t forks;	  /* children made */
	np_count_t abandoned;	  /* caches of threads that a fork left */
	np_count_t charged;	  /* bytes: what limits count, at the last
				     tick */
	np_count_t refused;	  /* requests that a hard limit refused */
	np_count_t pressures;	  /* calls of the pressure function */
	np_count_t reclaims;	  /* idle caches that others emptied */
	/* Filled in by the process at its exit(): pages looked at by
	 * move_pages, those in memory, and those on their node. */
	np_count_t pages_asked, pages_resident, pages_local;
	np_count_t looked_ms;	/* the last look for spills; CLOCK_MONOTONIC */
	struct np_segment_part flows; /* nodes * nodes of them; none if there
				   are more than NP_FLOWS_NODES */
	/* Blocks that were put to block 0: see the head of this file. By
	 * anybody, by atomic addition; ended releases what moved. */
	np_count_t moves_begun, moves_ended;
	_Atomic uint32_t recording; /* of the default pool; written by
				   npool-trace, the one word that is read:
				   odd, record (record.h); even, do not.
				   Relaxed: the file that is opened then is
				   looked at with care */
};

/* Entry c of `classes` describes class c; entry 0 stands for huge blocks. */
struct np_segment_class {
	uint32_t size;	 /* bytes; 0: huge */
	uint32_t npages;
	uint32_t nelems; /* 0: the piece is a run */
	uint32_t kind;	 /* enum np_kind */
};

struct np_segment_node {
	int32_t kernel_node;	/* -1: not known */
	uint32_t cpus;
	np_count_t reserved, peak_reserved; /* bytes of chunks and huge */
	np_count_t taken, peak_taken;	    /* bytes taken from arenas, and
					       of huge blocks */
	np_count_t depot_bytes;	/* in depots and inboxes */
	np_count_t huge_blocks, huge_bytes;
	np_count_t spilled;	/* bytes found on other nodes, by the last
				   look at each chunk and block */
	np_count_t brought_home; /* bytes, by npool_migrate_home */
	np_count_t hugetlb_got;	   /* regions that lie in huge pages of the
				      node's reserve, since the start */
	np_count_t hugetlb_missed; /* regions that should, and do not */
};

/* Guarded by the arena's lock. */
struct np_segment_arena {
	uint32_t home;
	np_count_t threads;	/* guarded by the lock of the thread list */
	np_count_t chunks, peak_chunks; /* spare ones too */
	np_count_t spare;	/* of them: kept although empty */
	np_count_t reserved;	/* bytes */
	np_count_t taken, peak_taken; /* bytes */
	np_count_t allocs[4], frees[4]; /* pieces, by enum np_kind */
	np_count_t purged;	/* bytes given back by decay and trim */
};

#define NP_FLOWS_NODES 64

/* Between the threads of home j and the memory of home i: entry j * nodes + i.
 * Written by anybody, by atomic addition.
 *
 *	in use = taken + of live blocks of home j, if i is j: bytes of allocs
 *	                 - bytes of frees, but for huge blocks
 *
 * summed over j that is what `used` is of node i; pieces that await being sent
 * home count as those of node j. */
struct np_segment_flow {
	np_count_t taken;	/* bytes handed out less those that came back;
				   wraps round below 0 */
	np_count_t sent, sent_bytes; /* pieces that j freed and sent home */
	uint32_t distance;	/* as the firmware has it; 10: the same node */
};

struct np_class_count {
	np_count_t allocs, frees;
};

/* Written by the owning thread alone, plainly; block 0 by anybody, by atomic
 * addition. The block of the part `before` is the sum of all blocks at the
 * moment of the fork that made this process (zero in others): who sums up
 * processes takes it off, or the parent's events count twice. */
struct np_block {
	_Atomic uint32_t live;	/* 0: free to be used again */
	_Atomic uint32_t tid;
	_Atomic uint32_t home;
	_Atomic uint32_t arena;
	np_count_t misses;	/* no magazine had one */
	np_count_t depot_gets, depot_puts; /* magazines exchanged */
	np_count_t fills, flushes;	   /* visits to an arena */
	np_count_t in_bytes, out_bytes;	   /* moved into and out of the cache
					      from and to depot or arena */
	np_count_t foreign_frees, foreign_bytes; /* sent to other homes */
	np_count_t reclaimed_bytes; /* taken by others while the thread was
				       idle; guarded by the lock of the thread
				       list */
	np_count_t rehomes;	/* times the thread was found on a new node */
	_Alignas(NP_LINE) struct np_class_count class[]; /* [0] = huge */
};

/* An entry of `chunks`. But for huge blocks, the entry of `maps` of the same
 * number has its pages: 16 bits for each, which are of account where a subpage
 * begins: its elements that are taken, 65535 at most; then, from
 * np_segment_map_offset on, a byte for each: 0 = free, else the class. */
struct np_segment_chunk {
	np_count_t base;     /* address; 0: the entry is free */
	np_count_t size;     /* bytes */
	_Atomic uint32_t home;
	_Atomic uint32_t arena; /* NP_SEGMENT_HUGE: a huge block */
	np_count_t spilled;	/* bytes found on other nodes by the last look */
	np_count_t spilled_ms;	/* when they were first found, on the clock
				   CLOCK_MONOTONIC; of no account without */
	_Atomic uint32_t list;	/* guarded by the arena's lock: enum
				   np_chunklist_name; NP_NLISTS: none, it is
				   spare. Of a huge block of no account */
};

#define NP_SEGMENT_HUGE UINT32_MAX

static inline size_t np_segment_map_offset(unsigned max_order)
{
	return sizeof(uint16_t) << max_order;
}

static inline uint64_t np_count_get(const np_count_t *count)
{
	return atomic_load_explicit(count, memory_order_relaxed);
}

/* Copies the whole words of 64 bits, of which all is made, while others count:
 * no count is seen half written. from: such a word. Returns the bytes copied.
 */
static inline size_t np_segment_copy(char *to, const char *from, size_t size)
{
	size_t at = 0;

	for (; at + sizeof(uint64_t) <= size; at += sizeof(uint64_t)) {
		uint64_t word = np_count_get(
			(const np_count_t *)(const void *)(from + at));

		memcpy(to + at, &word, sizeof word);
	}
	return at;
}

/* By the counter's only writer. */
static inline void np_count_set(np_count_t *count, uint64_t value)
{
	atomic_store_explicit(count, value, memory_order_relaxed);
}

static inline void np_count_add(np_count_t *count, uint64_t n)
{
	np_count_set(count, np_count_get(count) + n);
}

/* np_count_add(count, 1), in one instruction where there is one: compilers do
 * not make one of an atomic load and store. */
static inline void np_count_one(np_count_t *count)
{
#ifdef NP_UNCOUNTED /* t/steps.c measures what this costs */
	(void)count;
#elif defined __x86_64__
	__asm__("addq $1, %0" : "+m"(*count) : : "cc");
#else
	np_count_add(count, 1);
#endif
}

/* Raises a peak; by its only writer. */
static inline void np_count_peak(np_count_t *peak, uint64_t value)
{
	if (value > np_count_get(peak))
		np_count_set(peak, value);
}

/* By one of several writers. */
static inline void np_count_add_shared(np_count_t *count, uint64_t n)
{
	atomic_fetch_add_explicit(count, n, memory_order_relaxed);
}

/* --- the process's own side ------------------------------------------- */

struct np_config;
struct np_classes;
struct np_sight;
struct np_spill;
struct np_topology;

#define NP_NBLOCKS 4096 /* threads that can be told apart */
#define NP_NCHUNKS 2048 /* 32 GiB of 16 MiB chunks */

enum np_segment_place {
	NP_SEGMENT_PRIVATE, /* nobody else sees it */
	NP_SEGMENT_SHARED,  /* System V shared memory */
	NP_SEGMENT_FILE,
};

/* Which entries below those that are used are free. Entries are taken from the
 * first, and the memory of those behind the last one goes back in the end: a
 * thousand threads that came and went cost no more than those that are left. */
struct np_segment_free {
	unsigned sure;	/* entries that can be written to without a fault */
	uint64_t bits[NP_NBLOCKS / 64];
};

/* What the process itself goes by: nothing of it stands in the segment, which
 * others might spoil. */
struct np_segment {
	struct np_segment_header *_Atomic header; /* its counts; NULL: no
				     segment yet; set when the rest is there */
	struct np_segment_header layout;  /* as made: sizes, parts, pid */
	_Atomic unsigned blocks_used;	  /* written under the lock */
	_Atomic unsigned chunks_used;	  /* likewise */
	char *base;
	enum np_segment_place place;
	int hidden;	/* errno: why it is private, and should not be; or 0 */
	unsigned number;		  /* of its file: PID.number */
	char *snapshot;	/* the segment as it was when a fork began: when the
			   child comes to look, its parent has counted on.
			   NULL: it is private, or there was no memory for it.
			   Guarded by the fork lock */
	enum np_segment_place snapshot_place; /* likewise */
	int snapshot_hidden; /* likewise: errno, why it is not shared memory */
	struct np_lock lock;		  /* guards what follows, and entries
					     that become used or free */
	struct np_segment_free free_blocks, free_chunks;
	uint64_t mapped[NP_NCHUNKS / 64]; /* chunks that have a page map: huge
			   blocks have none, and its memory is not touched */
};

/* Whose segment it is. */
struct np_segment_pool {
	const char *name;
	unsigned slot;
	const struct np_config *config;
	const struct np_classes *classes;
	const struct np_topology *topology;
	unsigned narenas; /* of all nodes */
};

/* Makes the segment, where others can see it, if that can be. directory: for a
 * file (who asked for one is warned if there is none); "" for shared memory;
 * NULL: nobody shall see it. Returns 0 or a positive errno. Called by the one
 * thread that starts the pool. */
int np_segment_create(struct np_segment *segment, const char *directory,
		      const struct np_segment_pool *pool);

/* Unmaps it, and removes its file. */
void np_segment_destroy(struct np_segment *segment);

struct np_segment_node *np_segment_node(const struct np_segment *segment,
					unsigned home);
struct np_segment_arena *np_segment_arena(const struct np_segment *segment,
					  unsigned index);

/* Threads of one home were handed bytes of another one's memory (or the same
 * home's; of class 0 then, or by no block), or gave them back: bytes wrap round
 * below 0. _cross: they are in a block of the threads' home already. */
void np_segment_flow(const struct np_segment *segment, unsigned by,
		     unsigned home, uint64_t bytes);
void np_segment_flow_cross(const struct np_segment *segment, unsigned by,
			   unsigned home, uint64_t bytes);

/* Pieces in a block of theirs, as frees, were sent to another home. */
void np_segment_sent(const struct np_segment *segment, unsigned by,
		     unsigned home, uint64_t n, uint64_t bytes);

/* A block for a thread cache; never NULL but without memory. */
struct np_block *np_block_get(struct np_segment *segment, unsigned home,
			      unsigned arena);

/* Adds the block's counts to block 0, and to the flow of its home, and lets it
 * be used again. */
void np_block_put(struct np_segment *segment, struct np_block *block,
		  unsigned home);

struct np_block *np_segment_block(const struct np_segment *segment,
				  unsigned i);

/* Block 0. */
struct np_block *np_block_shared(const struct np_segment *segment);

/* Bytes that the block's cache holds, by its counters. */
int64_t np_block_cached(const struct np_segment *segment,
			const struct np_classes *classes,
			const struct np_block *block);

/* All pieces are free, and no cache holds any: the pool was reset, and block
 * 0 has the counts of all. */
void np_segment_forget(struct np_segment *segment,
		       const struct np_classes *classes);

/* Enters a chunk or a huge block. segment: may be NULL or not made yet.
 * *sight: where it is seen; its entry is for np_segment_leave. If there is no
 * room, that is -1 and the rest NULL. A huge block has no map and no fill. */
void np_segment_enter(struct np_segment *segment, const void *base,
		      size_t size, unsigned home, unsigned arena,
		      struct np_sight *sight);
void np_segment_leave(struct np_segment *segment, int entry);

/* The block of this entry has another size now. */
void np_segment_resize(struct np_segment *segment, int entry, size_t size);

/* Of the memory of this entry so many bytes are on other nodes, since then. */
void np_segment_spilled(struct np_segment *segment, int entry,
			const struct np_spill *spill);

/* The oldest spill, in ms until the last look; 0: there is none. */
uint64_t np_segment_spill_age(const struct np_segment *segment);

/* Before a fork, with all locks held, and behind it, in parent and child:
 * keeps what the child shall begin with. */
void np_segment_fork_begins(struct np_segment *segment);
void np_segment_fork_ends(struct np_segment *segment);

/* In the child: goes on in a segment of its own. */
void np_segment_forked(struct np_segment *segment);

/* At exit(): looks where the pages are, and says that the process ended. */
void np_segment_ended(struct np_segment *segment);

#endif
