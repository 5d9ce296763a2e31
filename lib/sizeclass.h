/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * sizeclass: what a request is rounded to. A table of rows, made once for
 * each pool and constant afterwards, so any thread may read it.
 *
 *	class 0        none: what the page table says of a free page
 *	class 1..n     ascending element sizes; row n is a whole chunk
 *	zero           `netty` only: the class of requests of zero bytes,
 *	               behind the others (quirk Q1 of Netty 4.1.48)
 *
 * A row with elements is served from a subpage: `npages` pages cut into
 * `nelems` elements of `size` bytes. A row without is a run of `npages`
 * pages. Requests above the last row are huge.
 *
 *	NP_NETTY  multiples of 16 below 512, then powers of two
 *	NP_FINE   multiples of 16 up to 128, then 8 steps a doubling, so that
 *	          rounding costs at most an eighth; subpages over up to 32
 *	          pages, so that their tails are small
 *
 * Invariants (np_classes_valid): sizes ascend (in `fine`, chunks of few pages
 * round several rows to the same run); nelems * size <= the run's
 * bytes; every size is a multiple of 16; lookup and rows agree.
 *
 * Source: PoolArena.normalizeCapacity of Netty 4.1.48 for `netty`; for the
 * spacing of `fine`, J. Evans, "A scalable concurrent malloc(3)", 2006.
 */
#ifndef NP_SIZECLASS_H
#define NP_SIZECLASS_H

#include "base.h"

enum np_class_table { NP_NETTY, NP_FINE };

/* What Netty counts apart; "zero" counts as tiny. */
enum np_kind { NP_TINY, NP_SMALL, NP_NORMAL, NP_HUGE, NP_KINDS };

struct np_class {
	uint32_t size;	 /* bytes of a piece */
	uint16_t npages; /* pages in the run */
	uint32_t nelems; /* elements in a subpage; 0: the piece is the run */
	uint8_t align_shift; /* every piece lies at a multiple of 1 << this */
	uint8_t kind;	 /* enum np_kind */
};

#define NP_PRESET_PAGE_SHIFT 13 /* pages of 8 KiB */

/* Up to these one load finds the class. */
#define NP_LOOKUP_MAX ((size_t)4096)
#define NP_LOOKUP_LARGE_MAX (64 * NP_KIB)
#define NP_LOOKUP_LARGE_STEP ((size_t)512)
#define NP_RUN_PAGES_MAX 32	     /* pages of a subpage in `fine` */
#define NP_FINE_ELEMS_MAX 512	     /* elements of a subpage in `fine` */

struct np_classes {
	/* lookup[(size + 15) / 16] = class, for size <= NP_LOOKUP_MAX. */
	uint8_t lookup[NP_LOOKUP_MAX / 16 + 1];
	/* lookup_large[(size - 1) / NP_LOOKUP_LARGE_STEP] = class, for size
	 * above that, and <= NP_LOOKUP_LARGE_MAX. */
	uint8_t lookup_large[NP_LOOKUP_LARGE_MAX / NP_LOOKUP_LARGE_STEP];
	uint8_t page_shift;
	uint8_t max_order;
	uint8_t steps_shift; /* log2 of the rows a doubling above the base */
	uint8_t base_class;  /* class of the first size above that */
	uint16_t n;	     /* rows 1..n */
	uint8_t zero;	     /* class of zero bytes, or 0 */
	uint8_t base_shift;  /* from 1 << this on, rows are geometric */
	uint32_t max_elems;  /* the largest nelems of all rows */
	size_t chunk_size;   /* bytes */
	struct np_class row[NP_MAX_CLASSES];
};

/* Fills in the table. page_shift 12..20, max_order 0..14, and the chunk
 * (1 << (page_shift + max_order)) at most 1 GiB.
 * Returns 0, or EINVAL when the geometry is outside these ranges. */
int np_classes_init(struct np_classes *classes, enum np_class_table table,
		    unsigned page_shift, unsigned max_order);

bool np_classes_valid(const struct np_classes *classes);

/* The class for size bytes (above NP_LOOKUP_MAX), or 0: huge. */
static inline unsigned np_class_of_large(const struct np_classes *classes,
					 size_t size)
{
	unsigned lg, steps = classes->steps_shift;

	if (np_likely(size <= NP_LOOKUP_LARGE_MAX))
		return classes->lookup_large[(size - 1) /
					     NP_LOOKUP_LARGE_STEP];
	if (np_unlikely(size > classes->chunk_size))
		return 0;
	/* size lies in (2^lg, 2^(lg+1)], which has 1 << steps rows. */
	lg = np_log2(size - 1);
	return classes->base_class +
	       (unsigned)((size - 1) >> (lg - steps)) - (1u << steps) +
	       ((lg - classes->base_shift) << steps);
}

/* The class for size bytes, or 0: huge. */
static inline unsigned np_class_of(const struct np_classes *classes,
				   size_t size)
{
	if (np_likely(size <= NP_LOOKUP_MAX))
		return classes->lookup[(size + 15) / 16];
	return np_class_of_large(classes, size);
}

/* The smallest class whose pieces hold size bytes and lie at multiples of
 * align (a power of two); 0: none, or it is larger than a run of whole pages
 * for size bytes, which had better be placed by hand. */
unsigned np_class_aligned(const struct np_classes *classes, size_t size,
			  size_t align);

#endif
