/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * huge: blocks larger than a chunk. Each is a region of its own: mapped,
 * bound to its home, entered in the chunk map. It owns its 16 MiB slots whole.
 * It grows and shrinks in place where the address space behind it is free;
 * else its pages move to a larger region, slot by slot, without being copied
 * where the kernel can do that.
 *
 * A block that is freed is kept for the next one of its home, up to
 * `keep_bytes` a home, and unmapped when a whole tick has passed, or at
 * once when there is no room. A request takes a kept block whose size is at
 * most an eighth above its own: the smallest such.
 *
 *	list   every block of the pool: handed out, or kept
 *	kept   a block that nobody holds; charged like the others
 *
 * A block of a strict pool is brought into memory before it is handed out. One
 * that has to move is, for a moment, there twice.
 *
 * Owner: whoever holds a block owns its size; the list, and which blocks are
 * kept, is guarded by the lock. The kernel is called outside of it, but to look
 * for spills: slice by slice, so that nobody waits for long.
 *
 * Source: mremap(2), MREMAP_DONTUNMAP.
 */
#ifndef NP_HUGE_H
#define NP_HUGE_H

#include "base.h"
#include "chunkmap.h"
#include "lock.h"
#include "spill.h"

struct np_huge {
	struct np_lock lock;
	struct np_region *list; /* guarded by lock, like the rest */
	size_t keep_bytes;	/* of kept blocks, each home */
	bool decays;		/* kept blocks are unmapped in time */
	uint64_t looks;		/* for spills: which sample it is */
};

void np_huge_init(struct np_huge *huge, size_t keep_bytes, bool decays);

/* The same, of one that is in use. */
void np_huge_set(struct np_huge *huge, size_t keep_bytes, bool decays);

/* A block of size bytes (at most PTRDIFF_MAX) at a multiple of align. *zero:
 * does it read as zero? Returns NULL with ENOMEM: no memory, or a limit. */
void *np_huge_alloc(struct np_huge *huge, const struct np_owner *owner,
		    size_t size, size_t align, bool *zero);

/* Writes a HUGE_MAP for each block that there is (trace.h). */
void np_huge_tell(struct np_huge *huge);

/* Takes the block back. Returns false if it is freed already. */
bool np_huge_free(struct np_huge *huge, struct np_region *region);

/* Makes the block size bytes large, in place or elsewhere. size: not 0.
 * Returns its address, or NULL with ENOMEM: nothing has changed. */
void *np_huge_resize(struct np_huge *huge, struct np_region *region,
		     size_t size);

/* Does nobody hold the block: is it kept? */
bool np_huge_is_kept(struct np_huge *huge, const struct np_region *region);

/* Unmaps blocks that are kept: those kept for a whole tick, or all. Returns
 * the bytes given back. */
size_t np_huge_trim(struct np_huge *huge, bool all);

/* Looks at a sample of all blocks for what lies on another node (spill.h). */
void np_huge_look(struct np_huge *huge);

/* Brings home what it can, and adds to *brought what it did. */
void np_huge_fetch(struct np_huge *huge, struct np_brought *brought);

/* Unmaps every block, whoever holds it. */
void np_huge_fini(struct np_huge *huge);

/* The blocks' owner has learnt its node and its segment: they count there from
 * here on. */
void np_huge_settle(struct np_huge *huge);

#endif
