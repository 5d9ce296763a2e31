/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * chunk: `page size << max order` bytes, handed out as runs of pages.
 *
 * A chunk manages offsets. It never touches the memory that it hands out, and
 * its own data lies elsewhere.
 *
 * The tree is complete and binary, one byte a node, root 1, children 2i and
 * 2i+1, so node i has depth floor(log2 i) and the leaves are the pages. With
 * 8 pages (max order 3):
 *
 *	               1                      depth 0: 8 pages
 *	       2               3              depth 1: 4 pages
 *	   4       5       6       7          depth 2: 2 pages
 *	 8   9  10  11  12  13  14  15        depth 3: a page each
 *
 *	tree[i] = depth of the shallowest free node in i's subtree,
 *	          max order + 1 if there is none ("unusable").
 *
 * So tree[i] == depth(i) says that all of i is free, and a run of 2^k pages
 * exists iff tree[1] <= max order - k. The search goes down from the root,
 * left if the left child can serve: leftmost fit.
 *
 * A run of n pages, n not a power of two, takes the covering node of
 * 2^ceil(log2 n) pages and gives its tail back: the nodes that make up the
 * head stay taken, the others become free.
 *
 * Taken in one piece, a node says "unusable" while its subtree keeps its
 * fresh values (tree[j] == depth(j)): nobody looks below it.
 *
 * The page table has 32 bits a page, which free(pointer) needs instead of a
 * search, and which is all zero for free pages:
 *
 *	bits 0..7   class, 0 = free          bit 8  the run is a subpage
 *	bits 9..23  pages since the run's first
 *
 * Two bitmaps tell which pages that nobody uses may hold something in memory:
 * `dirty` (used since they were last purged) and `aged` (dirty for a whole
 * tick). Nobody uses a free page, nor a page of a subpage on which no element
 * is taken. Of a page of a subpage that is used they say nothing; a page that
 * has no bit there was not touched by an element that came back.
 *
 * Invariants (np_chunk_valid): tree[i] == min of its children's values, or
 * depth(i) when both are wholly free, or unusable above fresh values; a leaf
 * is free iff its page-table entry is 0; free_bytes == free leaves * page
 * size; aged is within dirty; a run's pages are not dirty.
 *
 * Owner: the arena that the chunk belongs to; every field is guarded by its
 * lock unless it says otherwise.
 *
 * Source: buddy system, K. Knowlton 1965; the tree encoding is that of
 * PoolChunk in Netty up to 4.1.51.
 */
#ifndef NP_CHUNK_H
#define NP_CHUNK_H

#include "base.h"
#include "sizeclass.h"
#include "subpage.h"

#include <stdatomic.h>

#define NP_NO_PAGE UINT32_MAX

#define NP_PAGE_CLASS 0xffu	 /* page-table entry: the class */
#define NP_PAGE_SUBPAGE 0x100u	 /* page-table entry: cut into elements */
#define NP_PAGE_OFFSET_SHIFT 9	 /* page-table entry: pages since the first */

struct np_chunklist;
struct np_region;

/* What of a chunk or a huge block was found on other nodes (spill.h). */
struct np_spill {
	size_t bytes;	   /* by the last look; 0: none */
	uint64_t since_ms; /* when it was first found */
};

/* Where other processes see the chunk; NULL: nowhere. The chunk writes its map,
 * chunklist.c the list, the arena how far subpages are filled. */
struct np_sight {
	uint8_t *map;		  /* a class a page */
	_Atomic uint16_t *fill;	  /* by first page of a subpage: its elements
				     that are taken, 65535 at most */
	_Atomic uint32_t *list;	  /* enum np_chunklist_name; NP_NLISTS: none */
	int entry;		  /* of the segment, or -1 */
};

/* What free() knows of a chunk's pages at a glance: its part of the page map
 * (chunkmap.h), an entry a page, 0 for free ones. */
struct np_known {
	_Atomic uint32_t *pages; /* NULL: nothing */
	uint32_t whose;		 /* what stands above the class */
};

#define NP_KNOWN_CLASS_SHIFT 5 /* below it is nothing: an entry of the own tag
				  is the place of the class's loaded magazine
				  in a cache (cache.h) */

struct np_chunk {
	/* Written once, at creation. */
	const struct np_classes *classes;
	uint8_t *tree;		  /* 2 << max order nodes; [0] is not used */
	uint32_t *pages;	  /* free() reads an entry without the lock:
				     whoever holds a live piece has seen it
				     written, and nobody writes it before the
				     piece is given back */
	uint64_t *dirty, *aged;	  /* a bit a page */
	char *subpages;		  /* room for one np_subpage a page; used from
				     its start on, so that most of it is never
				     touched */
	size_t subpage_stride;	  /* bytes */
	uint16_t *subpage_of;	  /* by first page: its number among them */
	struct np_region *region; /* where its memory is; NULL in tests */
	char *base;		  /* first byte; NULL in tests */
	uint64_t serial;	  /* counts the chunks of its arena */
	bool pinned;		  /* known to a device: never decayed or moved,
				     only unmapped whole */
	bool reserved;		  /* warmed up: stays although empty */
	bool populated;		  /* reserved, and never decayed; charged
				     whole */
	/* Guarded by the arena's lock. */
	size_t free_bytes;
	uint32_t nsubpages;	  /* whose room was used at some time */
	uint32_t free_subpage;	  /* of those, one that is free: a list by
				     `first`; or NP_NO_PAGE */
	struct np_chunk *prev, *next; /* in list */
	struct np_chunklist *list;
	uint32_t place;		  /* in the list's index, if it has one */
	struct np_sight sight;
	struct np_known known;
	struct np_spill spill;
#ifdef NP_DEBUG
	unsigned changes;	  /* paces np_chunk_valid */
#endif
};

/* Bytes that np_chunk_init needs for its data, without the page table. */
size_t np_chunk_meta_size(const struct np_classes *classes);

/* Of those the first ones, which must be zero; the others may be anything. */
size_t np_chunk_zero_size(const struct np_classes *classes);

/* Makes a chunk, all free and clean, in meta (np_chunk_meta_size bytes, of
 * which np_chunk_zero_size are zero) with the page table in pages (an entry a
 * page, zero too). */
struct np_chunk *np_chunk_init(void *meta, const struct np_classes *classes,
			       uint32_t *pages);

/* Takes a run of npages at a multiple of 1 << align_order pages. entry: what
 * the page table says of its first page (class and NP_PAGE_SUBPAGE).
 * *nclean: how many of its pages hold nothing and read as zero. May be NULL.
 * Returns the first page, or NP_NO_PAGE if no node can serve it. */
uint32_t np_chunk_take_run(struct np_chunk *chunk, uint32_t npages,
			   unsigned align_order, uint32_t entry,
			   uint32_t *nclean);

/* Takes just the run of npages pages at page `first`, which lies at a multiple
 * of the pages of its covering node. Returns false, and changes nothing, if
 * one of its pages is taken. */
bool np_chunk_take_run_at(struct np_chunk *chunk, uint32_t first,
			  uint32_t npages, uint32_t entry);

/* Gives back a run that was taken, as long as it was taken.
 * Returns how many of its pages hold nothing: none of a run, of a subpage
 * those that no element was on since they were purged. */
uint32_t np_chunk_give_run(struct np_chunk *chunk, uint32_t first,
			   uint32_t npages);

/* All is free at once; what was taken is dirty, and young. */
void np_chunk_reset(struct np_chunk *chunk);

/* Used share in percent, rounded up; 100 = full, and only then. */
static inline unsigned np_chunk_usage(const struct np_chunk *chunk)
{
	const struct np_classes *t = chunk->classes;
	unsigned shift = t->page_shift + t->max_order;
	size_t percent = chunk->free_bytes * 100 >> shift;

	if (!chunk->free_bytes)
		return 100;
	return percent ? 100 - (unsigned)percent : 99;
}

/* 1 + log2 of the pages of the largest run that can be taken; 0: full. */
static inline uint8_t np_chunk_best(const struct np_chunk *chunk)
{
	return (uint8_t)(chunk->classes->max_order + 1 - chunk->tree[1]);
}

static inline uint32_t np_chunk_npages(const struct np_chunk *chunk)
{
	return (uint32_t)1 << chunk->classes->max_order;
}

/* The subpage of a run that was taken for one. */
static inline struct np_subpage *np_chunk_subpage(const struct np_chunk *chunk,
						  uint32_t first)
{
	return (struct np_subpage *)(chunk->subpages +
				     chunk->subpage_of[first] *
				     chunk->subpage_stride);
}

/* The chunk whose subpage this is cannot be told from the subpage alone;
 * a handle can be told from chunk, first page and slot. 64 bits as in Netty:
 * bit 62 = element, 61..32 = slot, 31..0 = tree node (of a run of any length:
 * its covering node). */
static inline uint64_t np_handle_run(const struct np_chunk *chunk,
				     uint32_t first, uint32_t npages)
{
	unsigned order = np_log2_up(npages);

	return ((uint64_t)1 << (chunk->classes->max_order - order)) +
	       (first >> order);
}

static inline uint64_t np_handle_element(const struct np_chunk *chunk,
					 uint32_t first, uint32_t npages,
					 uint32_t slot)
{
	return (uint64_t)1 << 62 | (uint64_t)slot << 32 |
	       np_handle_run(chunk, first, npages);
}

/* In the page map its pages are whose they are by this from now on. */
void np_chunk_set_whose(struct np_chunk *chunk, uint32_t whose);

/* Finds the next stretch of aged (or, with all, of dirty) pages that nobody
 * uses at or behind *first, in whole units of unit pages. A unit may have clean
 * pages among them, but none that is dirty and not aged. Returns its length in
 * pages and its start in *first, or 0. */
uint32_t np_chunk_next_dirty(const struct np_chunk *chunk, bool all,
			     uint32_t unit, uint32_t *first);

/* Pages may hold something. */
void np_chunk_mark_dirty(struct np_chunk *chunk, uint32_t first, uint32_t n);

/* An element that came back lay on these pages of a subpage: they are dirty,
 * and young. */
void np_chunk_touch(struct np_chunk *chunk, uint32_t first, uint32_t n);

/* May this page hold something, although it is free? */
static inline bool np_chunk_is_dirty(const struct np_chunk *chunk,
				     uint32_t page)
{
	return chunk->dirty[page / 64] >> page % 64 & 1;
}

/* How many pages are dirty. */
uint32_t np_chunk_ndirty(const struct np_chunk *chunk);

/* The pages of a stretch read as zero again. */
void np_chunk_mark_clean(struct np_chunk *chunk, uint32_t first, uint32_t n);

/* A tick has passed: what is dirty now is aged. */
void np_chunk_age(struct np_chunk *chunk);

/* Was nothing of it used since then? */
bool np_chunk_is_aged(const struct np_chunk *chunk);

bool np_chunk_valid(const struct np_chunk *chunk);

#endif
