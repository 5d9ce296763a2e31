/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * huge: blocks larger than a chunk. Each is a region of its own: mapped,
 * bound to its home, entered in the chunk map, and unmapped when freed. It
 * owns its 16 MiB slots whole. It grows and shrinks in place where the address
 * space behind it is free; else its pages move to a larger region, without
 * being copied where the kernel can do that.
 *
 * Owner: whoever holds the block. There is no lock; the chunk map and the
 * counters have theirs.
 *
 * Source: mremap(2), MREMAP_DONTUNMAP.
 */
#ifndef NP_HUGE_H
#define NP_HUGE_H

#include "base.h"
#include "chunkmap.h"

/* Maps size bytes (at most PTRDIFF_MAX), zero, at a multiple of align.
 * Returns NULL with ENOMEM. */
void *np_huge_alloc(np_home_t home, int bind_node, size_t size, size_t align);

/* Unmaps the block. */
void np_huge_free(struct np_region *region);

/* Makes the block size bytes large, in place or elsewhere. size: not 0.
 * Returns its address, or NULL with ENOMEM: nothing has changed. */
void *np_huge_resize(struct np_region *region, int bind_node, size_t size);

#endif
