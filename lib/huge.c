/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * huge: see huge.h.
 */
#include "huge.h"
#include "os.h"
#include "segment.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h> /* MREMAP_* */

#define WASTE_SHIFT 3 /* a kept block may be an eighth larger than asked */

void np_huge_init(struct np_huge *h, size_t keep_bytes, bool decays)
{
	np_lock_init(&h->lock, NP_RANK_HUGE);
	h->list = NULL;
	h->keep_bytes = keep_bytes;
	h->decays = decays;
}

void np_huge_set(struct np_huge *h, size_t keep_bytes, bool decays)
{
	np_lock(&h->lock);
	h->keep_bytes = keep_bytes;
	h->decays = decays;
	np_unlock(&h->lock);
}

/* --- counting --------------------------------------------------------- */

/* A block is taken from, or given back to, what its node has. */
static void count_taken(const struct np_owner *owner, uint64_t blocks,
			uint64_t bytes)
{
	struct np_segment_node *node;

	if (!owner->segment)
		return;
	node = np_segment_node(owner->segment, np_owner_home(owner));
	np_count_add_shared(&node->huge_blocks, blocks);
	np_count_add_shared(&node->huge_bytes, bytes);
	np_count_add_shared(&node->taken, bytes);
	np_count_peak(&node->peak_taken, np_count_get(&node->taken));
}

static void count_reserved(const struct np_owner *owner, uint64_t bytes)
{
	struct np_segment_node *node;

	if (!owner->segment)
		return;
	node = np_segment_node(owner->segment, np_owner_home(owner));
	np_count_add_shared(&node->reserved, bytes);
	np_count_peak(&node->peak_reserved, np_count_get(&node->reserved));
}

static void count_in(struct np_region *r)
{
	uint8_t *map;

	r->sight_entry = np_segment_enter(r->owner->segment, (void *)r->base,
					  r->block_size, np_region_home(r),
					  NP_SEGMENT_HUGE, &map);
	count_reserved(r->owner, r->size);
}

static void count_out(struct np_region *r)
{
	np_segment_leave(r->owner->segment, r->sight_entry);
	count_reserved(r->owner, -r->size);
}

void np_huge_settle(struct np_huge *h)
{
	np_lock(&h->lock);
	for (struct np_region *r = h->list; r; r = r->next) {
		atomic_store_explicit(&r->tag, r->owner->tag,
				      memory_order_relaxed);
		np_limits_force(&(struct np_limits){ .node =
				r->owner->limits.node }, r->block_size);
		count_in(r);
		if (!r->kept)
			count_taken(r->owner, 1, r->block_size);
	}
	np_unlock(&h->lock);
}

/* --- the list --------------------------------------------------------- */

static void link_block(struct np_huge *h, struct np_region *r)
{
	np_lock(&h->lock);
	r->prev = NULL;
	r->next = h->list;
	if (r->next)
		r->next->prev = r;
	h->list = r;
	np_unlock(&h->lock);
}

static void unlink_locked(struct np_huge *h, struct np_region *r)
{
	np_assert(np_lock_held(&h->lock));
	if (r->prev)
		r->prev->next = r->next;
	else
		h->list = r->next;
	if (r->next)
		r->next->prev = r->prev;
}

static void unlink_block(struct np_huge *h, struct np_region *r)
{
	np_lock(&h->lock);
	unlink_locked(h, r);
	np_unlock(&h->lock);
}

/* --- kept blocks ------------------------------------------------------ */

static bool fits(const struct np_region *r, np_home_t home, size_t size,
		 size_t align)
{
	return r->kept && np_region_home(r) == home && r->block_size >= size &&
	       r->block_size - size <= size >> WASTE_SHIFT &&
	       !(r->base & (align - 1));
}

/* The smallest kept block that serves the request; it is handed out then. */
static struct np_region *take_kept(struct np_huge *h, np_home_t home,
				   size_t size, size_t align)
{
	struct np_region *best = NULL;

	np_lock(&h->lock);
	for (struct np_region *r = h->list; r; r = r->next)
		if (fits(r, home, size, align) &&
		    (!best || r->block_size < best->block_size))
			best = r;
	if (best)
		best->kept = false;
	np_unlock(&h->lock);
	return best;
}

static size_t kept_bytes(const struct np_huge *h, np_home_t home)
{
	size_t bytes = 0;

	for (const struct np_region *r = h->list; r; r = r->next)
		if (r->kept && np_region_home(r) == home)
			bytes += r->block_size;
	return bytes;
}

/* Keeps the block if there is room; else takes it out of the list. Returns
 * whether it was handed out. */
static bool retire_block(struct np_huge *h, struct np_region *r, bool *keep)
{
	bool was_out;

	np_lock(&h->lock);
	was_out = !r->kept;
	*keep = r->block_size <= h->keep_bytes &&
		kept_bytes(h, np_region_home(r)) <=
		h->keep_bytes - r->block_size;
	if (was_out && *keep) {
		r->kept = true;
		r->aged = false;
	} else if (was_out) {
		unlink_locked(h, r);
	}
	np_unlock(&h->lock);
	return was_out;
}

bool np_huge_is_kept(struct np_huge *h, const struct np_region *r)
{
	bool kept;

	np_lock(&h->lock);
	kept = r->kept;
	np_unlock(&h->lock);
	return kept;
}

/* --- blocks ----------------------------------------------------------- */

static struct np_region *map_block(const struct np_owner *owner, size_t size,
				   size_t align)
{
	struct np_region *r;

	if (!np_limits_charge(&owner->limits, size))
		return errno = ENOMEM, NULL;
	if (align < NP_SLOT_SIZE)
		align = NP_SLOT_SIZE;
	r = np_region_create_huge(owner, size, align);
	if (!r)
		np_limits_refund(&owner->limits, size);
	return r;
}

/* Of a block that is in no list any more. Returns the bytes given back. */
static size_t unmap_block(struct np_region *r)
{
	size_t size = r->size;

	count_out(r);
	np_limits_refund(&r->owner->limits, r->block_size);
	np_region_destroy(r);
	return size;
}

void *np_huge_alloc(struct np_huge *h, const struct np_owner *owner,
		    size_t size, size_t align, bool *zero)
{
	struct np_region *r;

	if (size > PTRDIFF_MAX - NP_SLOT_SIZE)
		return errno = ENOMEM, NULL;
	size = np_round_up(size, np_os_page_size());
	r = take_kept(h, np_owner_home(owner), size, align);
	*zero = !r;
	if (!r) {
		r = map_block(owner, size, align);
		if (!r)
			return errno = ENOMEM, NULL;
		count_in(r);
		link_block(h, r);
	}
	count_taken(owner, 1, r->block_size);
	return (void *)r->base;
}

bool np_huge_free(struct np_huge *h, struct np_region *r)
{
	const struct np_owner *owner = r->owner;
	size_t size = r->block_size;
	bool keep;

	if (!retire_block(h, r, &keep))
		return false;
	/* A block that is kept may be another's by now, or unmapped. */
	count_taken(owner, (uint64_t)-1, -size);
	if (!keep)
		unmap_block(r);
	return true;
}

/* A kept block to be unmapped, out of the list; NULL: there is none. */
static struct np_region *next_old(struct np_huge *h, bool all)
{
	struct np_region *r;

	np_lock(&h->lock);
	r = h->list;
	while (r && !(r->kept && (all || (r->aged && h->decays))))
		r = r->next;
	if (r)
		unlink_locked(h, r);
	np_unlock(&h->lock);
	return r;
}

size_t np_huge_trim(struct np_huge *h, bool all)
{
	struct np_region *r;
	size_t bytes = 0;

	while ((r = next_old(h, all)))
		bytes += unmap_block(r);
	np_lock(&h->lock);
	for (r = h->list; r; r = r->next)
		r->aged = r->kept;
	np_unlock(&h->lock);
	return bytes;
}

void np_huge_fini(struct np_huge *h)
{
	while (h->list) {
		struct np_region *r = h->list;

		unlink_block(h, r);
		if (!r->kept)
			count_taken(r->owner, (uint64_t)-1, -r->block_size);
		unmap_block(r);
	}
}

/* --- resizing --------------------------------------------------------- */

/* Is [base, base + size) one mapping still? The program may have advised or
 * protected a part. Growing by a page in place fails otherwise with EFAULT,
 * before anything is done; if it works, the page is given back. */
static bool is_one_mapping(const struct np_region *r, size_t size)
{
	size_t page = np_os_page_size();

	if (np_os->mremap((void *)r->base, size, size + page, 0, NULL) ==
	    MAP_FAILED)
		return errno != EFAULT;
	np_os_release((char *)r->base + size, page);
	return true;
}

/* A mremap that failed may have unmapped its target, the block's first size
 * bytes (before Linux 6.17): maps them again. Returns false if there is no
 * memory for that. */
static bool have_target(const struct np_region *r, size_t size, int bind_node)
{
	void *p = (void *)r->base;

	if (!np_os_reserve_at(p, size))
		return true; /* it is still there */
	np_os_bind(p, size, bind_node);
	return np_os_commit(p, size) == 0;
}

/* Moves the pages, or copies them where the kernel cannot. */
static bool move_pages_to(struct np_region *to, const struct np_region *from,
			  int bind_node)
{
	size_t size = from->block_size < to->block_size ? from->block_size
							: to->block_size;
	int flags = MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP;

	if (is_one_mapping(from, size)) {
		if (np_os->mremap((void *)from->base, size, size, flags,
				  (void *)to->base) != MAP_FAILED)
			return true;
		if (!have_target(to, size, bind_node))
			return false;
	}
	memcpy((void *)to->base, (void *)from->base, size);
	return true;
}

/* Elsewhere: there is no room where it is. */
static void *move_block(struct np_huge *h, struct np_region *r, size_t size)
{
	const struct np_owner *owner = r->owner;
	struct np_region *to = map_block(owner, size, NP_SLOT_SIZE);

	if (!to)
		return NULL;
	if (!move_pages_to(to, r, owner->bind_node)) {
		np_limits_refund(&owner->limits, to->block_size);
		np_region_destroy(to);
		return errno = ENOMEM, NULL;
	}
	unlink_block(h, r);
	/* First out, then in, or the peak would count it twice. */
	count_taken(owner, (uint64_t)-1, -r->block_size);
	unmap_block(r);
	count_in(to);
	count_taken(owner, 1, to->block_size);
	link_block(h, to);
	return (void *)to->base;
}

void *np_huge_resize(struct np_huge *h, struct np_region *r, size_t size)
{
	const struct np_owner *owner = r->owner;
	size_t old_size = r->block_size, old_slots = r->size, more;

	if (size > PTRDIFF_MAX - NP_SLOT_SIZE)
		return NULL;
	size = np_round_up(size, np_os_page_size());
	more = size > old_size ? size - old_size : 0;
	if (!np_limits_charge(&owner->limits, more))
		return NULL;
	if (np_region_resize_huge(r, owner->bind_node, size) != 0) {
		np_limits_refund(&owner->limits, more);
		return move_block(h, r, size);
	}
	if (size < old_size)
		np_limits_refund(&owner->limits, old_size - size);
	count_taken(owner, 0, size - old_size);
	count_reserved(owner, r->size - old_slots);
	np_segment_resize(owner->segment, r->sight_entry, size);
	return (void *)r->base;
}
