/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * chunkmap: from any address to the region, page and chunk it lies in.
 *
 *	address >> 24 -> slot -> region -> page table -> class, first page
 *	                                -> chunks[]   -> chunk
 *
 * The table is flat: one pointer for each 16 MiB of address space, 64 MiB of
 * address space for 47 bits of it. It is mapped read-only, so it costs
 * neither memory nor commit charge, reads as zero ("not ours"), and is opened
 * for writing in blocks. Where address space is scarce (RLIMIT_AS below 64
 * times the table), a table of 1/64 covers the neighbourhood of the first
 * mapping; regions outside it are refused.
 *
 *	address >> 13 -> class, and whose memory it is
 *
 * That is the page map, what free() asks first: of two loads that wait for
 * each other it makes one. It is flat and mapped likewise, with an entry for
 * each page of 8 KiB, but covers four times the machine's memory around the
 * first mapping alone: for 1/512 of that, or less than twice as much. A region
 * outside of it, of other pages, or of which no entries could be opened, is not
 * known there: it takes a free longer, no more.
 *
 * A region is one mapping of whole slots, of one arena. It holds one chunk of
 * 16 MiB or more, or several smaller ones side by side, or one huge block.
 * The page table of its chunks is one array, so that free(pointer) finds a
 * page's entry without knowing how chunks are cut.
 *
 * Owner: slots and chunks[] are written with the map's lock held and read
 * by anyone; see the fields of np_region. Entries of the page map are written
 * by the chunk, and by who makes or unmaps its region.
 *
 * Source: the page map of TCMalloc (S. Ghemawat, P. Menage), in one level.
 */
#ifndef NP_CHUNKMAP_H
#define NP_CHUNKMAP_H

#include "base.h"
#include "chunk.h"
#include "owner.h"

#include <stdatomic.h>

struct np_arena;

struct np_region {
	/* What free() reads of pieces that the page map does not lead it to:
	 * one cache line, written once. */
	uintptr_t entries;	  /* address of the page-table entry that the
				     page at address 0 would have */
	_Atomic np_tag_t tag;	  /* whose memory; atomic, relaxed: changes
				     once, when the pool learns its nodes; the
				     page map has it too */
	uint8_t page_shift;	  /* huge: NP_HUGE_SHIFT */
	uint8_t chunk_shift;
	bool is_huge;
	uintptr_t base;		  /* address of its first byte */
	uint32_t *pages;	  /* page table of the whole region; see
				     struct np_chunk on who may read it */
	size_t size;		  /* bytes mapped: whole slots */
	struct np_arena *arena;	  /* NULL: huge */
	const char *pool;	  /* its name, for messages */
	uint16_t arena_index;	  /* for messages */
	/* Huge blocks: whoever holds the block owns them. */
	const struct np_owner *owner; /* outlives the block */
	size_t block_size;	  /* bytes that may be used */
	size_t sure_size;	  /* of those, bytes that stay while the lock of
				     huge.c is held, which guards it */
	struct np_spill spill;	  /* guarded by that lock too */
	int sight_entry;	  /* of the segment, or -1 */
	bool kept;		  /* freed, for the next one; guarded by the
				     lock of huge.c, as are its links */
	bool aged;		  /* kept for a whole tick; likewise */
	struct np_region *prev, *next; /* all of an arena's, or of the huge
				     blocks of a pool */
	_Atomic uint32_t *known;  /* entries of its pages in the page map;
				     NULL: none. Written once */
	/* Regions of chunks: guarded by the arena's lock. */
	uint64_t pass;		  /* the last of its arena that saw it */
	uint32_t nchunks;	  /* places for chunks */
	uint32_t used;		  /* places taken */
	bool hugetlb;		  /* huge pages of its node's reserve; those
				     that have decayed are not any more */
	bool unclean;		  /* an empty place may hold old contents */
	_Atomic(struct np_chunk *) *chunks; /* [nchunks]; atomic, release:
				     a reader finds the chunk made */
};

#define NP_HUGE_SHIFT 63 /* any offset is in page 0, whose entry is 0 */

/* An entry of the page map: the class (NP_KNOWN_CLASS_SHIFT), and above it the
 * tag, inverted: in that of a free page, 0, it is NP_NO_TAG. */
#define NP_KNOWN_TAG_SHIFT 16

static inline uint32_t np_known_tag(np_tag_t tag)
{
	return (uint32_t)(np_tag_t)~tag << NP_KNOWN_TAG_SHIFT;
}

struct np_map {
	_Atomic(struct np_region *) *slots;
	size_t first;  /* slot number of slots[0] */
	_Atomic size_t nslots; /* 0 until the map is made */
	/* The page map: written before nslots. */
	_Atomic uint32_t *known;
	size_t first_page; /* page number of known[0] */
	size_t npages;	   /* 0: there is none */
};

extern struct np_map np_map;

/* Makes the table. Returns 0 or a positive errno. Once, before any other
 * call of this file. */
int np_map_init(void);

/* The region that holds p, or NULL: nobody's.
 * Threads: any, no lock. The acquire pairs with the release in
 * np_map_enter, for those who ask about pointers that are not theirs. */
static inline struct np_region *np_map_find(const void *p)
{
	size_t n = atomic_load_explicit(&np_map.nslots, memory_order_acquire);
	size_t slot = ((uintptr_t)p >> NP_SLOT_SHIFT) - np_map.first;

	if (np_unlikely(slot >= n))
		return NULL;
	return atomic_load_explicit(&np_map.slots[slot], memory_order_acquire);
}

/* The page-table entry for p, which lies in the region. */
static inline uint32_t np_region_entry(const struct np_region *r,
				       const void *p)
{
	return *(const uint32_t *)(r->entries + ((uintptr_t)p >> r->page_shift) *
						sizeof(uint32_t));
}

/* The chunk that p lies in; NULL: that place is empty. */
static inline struct np_chunk *np_region_chunk(const struct np_region *r,
					       const void *p)
{
	return atomic_load_explicit(
		&r->chunks[((uintptr_t)p - r->base) >> r->chunk_shift],
		memory_order_acquire);
}

static inline np_tag_t np_region_tag(const struct np_region *r)
{
	return atomic_load_explicit(&r->tag, memory_order_relaxed);
}

/* What free() shall know of its i-th chunk. */
static inline struct np_known np_region_known(const struct np_region *r,
					      size_t i)
{
	size_t npages = (size_t)1 << (r->chunk_shift - r->page_shift);

	return (struct np_known){
		.pages = r->known ? r->known + i * npages : NULL,
		.whose = np_known_tag(np_region_tag(r)) };
}

static inline np_home_t np_region_home(const struct np_region *r)
{
	return np_tag_home(np_region_tag(r));
}

/* Maps and binds a region for chunks of this geometry, all places empty, and
 * enters it. If its owner wants huge pages of a reserve, it holds one chunk,
 * the limits allow it and the node has them, then it is a `hugetlb` one: all of
 * it is in memory, and charged.
 * Returns NULL with errno. */
struct np_region *np_region_create(struct np_arena *arena,
				   unsigned arena_index,
				   const struct np_owner *owner,
				   const struct np_classes *classes);

/* Maps a huge block of size bytes (whole system pages), at a multiple of
 * align (at least a slot). owner: lives longer than the block. Returns NULL
 * with errno. */
struct np_region *np_region_create_huge(const struct np_owner *owner,
					size_t size, size_t align);

/* It has another tag from now on. With the lock of its arena, or of huge.c,
 * held. */
void np_region_set_tag(struct np_region *region, np_tag_t tag);

/* Leaves the map and unmaps; what is charged is the caller's business. Returns
 * 0, or a positive errno if the kernel
 * would not unmap: the address space is then lost, its memory given back. */
int np_region_destroy(struct np_region *region);

/* Lets a huge block use new_size bytes (whole system pages, at least one) in
 * place: takes slots behind it if they are free, gives back those it needs no
 * more. Returns 0, or ENOMEM: nothing has changed. */
int np_region_resize_huge(struct np_region *region, size_t new_size);

/* Fork: the map's lock. */
void np_map_lock(void);
void np_map_unlock(void);

#endif
