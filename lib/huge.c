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

/* --- counting --------------------------------------------------------- */

static void count_change(np_home_t home, uint64_t blocks, uint64_t bytes,
			 uint64_t reserved)
{
	struct np_segment_node *node = np_segment_node(home);

	np_count_add_shared(&node->huge_blocks, blocks);
	np_count_add_shared(&node->huge_bytes, bytes);
	np_count_add_shared(&node->taken, bytes);
	np_count_add_shared(&node->reserved, reserved);
	np_count_peak(&node->peak_taken, np_count_get(&node->taken));
	np_count_peak(&node->peak_reserved, np_count_get(&node->reserved));
}

static void count_in(struct np_region *r)
{
	uint8_t *map;

	r->sight_entry = -1;
	if (!np_segment.header)
		return; /* before the pool has a segment */
	r->counted = true;
	r->sight_entry = np_segment_enter((void *)r->base, r->block_size,
					  np_region_home(r), NP_SEGMENT_HUGE,
					  &map);
	count_change(np_region_home(r), 1, r->block_size, r->size);
}

static void count_out(struct np_region *r)
{
	np_segment_leave(r->sight_entry);
	if (r->counted)
		count_change(np_region_home(r), (uint64_t)-1, -r->block_size,
			     -r->size);
}

/* --- blocks ----------------------------------------------------------- */

static struct np_region *map_block(np_home_t home, int bind_node, size_t size,
				   size_t align)
{
	if (size > PTRDIFF_MAX)
		return errno = ENOMEM, NULL;
	size = np_round_up(size, np_os_page_size());
	if (align < NP_SLOT_SIZE)
		align = NP_SLOT_SIZE;
	return np_region_create_huge(home, bind_node, size, align);
}

void *np_huge_alloc(np_home_t home, int bind_node, size_t size, size_t align)
{
	struct np_region *r = map_block(home, bind_node, size, align);

	if (!r)
		return errno = ENOMEM, NULL;
	count_in(r);
	return (void *)r->base;
}

void np_huge_free(struct np_region *r)
{
	count_out(r);
	np_region_destroy(r);
}

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
static void *move_block(struct np_region *r, int bind_node, size_t size)
{
	struct np_region *to = map_block(np_region_home(r), bind_node, size,
					 NP_SLOT_SIZE);

	if (!to)
		return NULL;
	if (!move_pages_to(to, r, bind_node)) {
		np_region_destroy(to);
		return errno = ENOMEM, NULL;
	}
	count_out(r); /* first, or the peak would count it twice */
	count_in(to);
	np_region_destroy(r);
	return (void *)to->base;
}

void *np_huge_resize(struct np_region *r, int bind_node, size_t size)
{
	size_t old_size = r->block_size, old_slots = r->size;

	if (size > PTRDIFF_MAX)
		return NULL;
	size = np_round_up(size, np_os_page_size());
	if (np_region_resize_huge(r, bind_node, size) != 0)
		return move_block(r, bind_node, size);
	if (r->counted)
		count_change(np_region_home(r), 0, size - old_size,
			     r->size - old_slots);
	np_segment_resize(r->sight_entry, size);
	return (void *)r->base;
}
