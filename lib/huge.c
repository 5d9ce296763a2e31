/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * huge: see huge.h.
 */
#include "huge.h"
#include "os.h"
#include "probe.h"
#include "trace.h"
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

/* It is there, of this size. */
static void trace(const struct np_region *r)
{
	np_trace_bytes(NP_TRACE_HUGE_MAP, r->owner->tag, r->base,
		       r->block_size);
}

void np_huge_tell(struct np_huge *h)
{
	np_lock(&h->lock);
	for (const struct np_region *r = h->list; r; r = r->next)
		trace(r);
	np_unlock(&h->lock);
}

static void count_in(struct np_region *r)
{
	struct np_sight sight;

	np_segment_enter(r->owner->segment, (void *)r->base, r->block_size,
			 np_region_home(r), NP_SEGMENT_HUGE, &sight);
	r->sight_entry = sight.entry;
	count_reserved(r->owner, r->size);
	NP_TELL_BYTES(NP_TRACE_HUGE_MAP, huge_map, r->owner->tag, r->base,
		      r->block_size);
}

static void count_out(struct np_region *r)
{
	np_segment_leave(r->owner->segment, r->sight_entry);
	count_reserved(r->owner, -r->size);
	NP_TELL_BYTES(NP_TRACE_HUGE_UNMAP, huge_unmap, r->owner->tag, r->base,
		      r->block_size);
}

void np_huge_settle(struct np_huge *h)
{
	np_lock(&h->lock);
	for (struct np_region *r = h->list; r; r = r->next) {
		np_region_set_tag(r, r->owner->tag);
		np_limits_force(&(struct np_limits){ .node =
				r->owner->limits.node }, r->block_size);
		count_in(r);
		if (r->kept)
			continue;
		count_taken(r->owner, 1, r->block_size);
		np_segment_flow(r->owner->segment, np_region_home(r),
				np_region_home(r), r->block_size);
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

/* Of a strict pool: brings [at, at + size) of a block into memory. Returns
 * false if its node has no room. */
static bool place(const struct np_owner *owner, void *at, size_t size)
{
	return !owner->strict ||
	       np_os_place(at, size, owner->bind_node) == 0;
}

static struct np_region *map_block(const struct np_owner *owner, size_t size,
				   size_t align)
{
	struct np_region *r;

	if (!np_limits_charge(&owner->limits, size))
		return errno = ENOMEM, NULL;
	if (align < NP_SLOT_SIZE)
		align = NP_SLOT_SIZE;
	r = np_region_create_huge(owner, size, align);
	if (r && !place(owner, (void *)r->base, size)) {
		np_region_destroy(r);
		r = NULL;
	}
	if (!r)
		np_limits_refund(&owner->limits, size);
	return r;
}

/* Of a block that is in no list any more. Returns the bytes given back. */
static size_t unmap_block(struct np_region *r)
{
	size_t size = r->size;

	np_spill_note_block(r, 0);
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
	/* It may have been cleared by being given back. */
	if (r && !place(owner, (void *)r->base, r->block_size)) {
		unlink_block(h, r);
		unmap_block(r);
		return errno = ENOMEM, NULL;
	}
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

/* --- spills ------------------------------------------------------------ */

#define SLICE (4 * NP_MIB) /* for which others are kept waiting */

/* A way through all blocks, by their addresses: between two slices they come,
 * go and change their sizes. */
struct walk {
	uintptr_t base; /* of the block that is next */
	size_t done;	/* bytes of it */
	size_t away;	/* of those */
	struct np_brought *brought; /* NULL: only looks */
};

static void walk_on(struct walk *w)
{
	w->base++;
	w->done = w->away = 0;
}

/* The block that is next. */
static struct np_region *next_block(const struct np_huge *h, struct walk *w)
{
	struct np_region *next = NULL;

	for (struct np_region *r = h->list; r; r = r->next)
		if (r->base >= w->base && (!next || r->base < next->base))
			next = r;
	if (next && next->base != w->base) {
		w->base = next->base;
		w->done = w->away = 0;
	}
	return next;
}

static void visit_slice(struct np_region *r, struct walk *w)
{
	char *at = (char *)r->base + w->done;
	size_t size = r->sure_size - w->done;
	struct np_brought b = { .pages = { 0 } };

	size = size < SLICE ? size : SLICE;
	if (w->brought) {
		b = *w->brought;
		np_spill_fetch(r->owner, at, size, &b);
		w->away += b.pages.away - w->brought->pages.away;
		*w->brought = b;
	} else if (np_os_look(at, size, np_os_page_size(),
			      r->owner->bind_node, &b.pages) == 0) {
		w->away += b.pages.away;
	} else {
		w->away = r->spill.bytes; /* as it is known */
		size = r->sure_size - w->done;
	}
	w->done += size;
}

/* Is the block to be looked at page by page? See spill.c. */
static bool is_due(const struct np_huge *h, const struct np_region *r)
{
	if (r->spill.bytes)
		return r->kept ||
		       np_spill_is_turn(r->spill.bytes, h->looks);
	return np_spill_is_likely(r->owner, (void *)r->base, r->sure_size,
				  h->looks);
}

/* The next slice. Returns false if there is none. */
static bool visit_next(const struct np_huge *h, struct walk *w)
{
	struct np_region *r = next_block(h, w);
	bool wanted = false;

	if (!r)
		return false;
	if (r->owner->sees)
		wanted = w->done || w->brought || is_due(h, r);
	if (wanted && r->kept)
		np_os_purge((void *)r->base, r->sure_size);
	if (wanted && !r->kept && w->done < r->sure_size)
		visit_slice(r, w);
	if (wanted && (r->kept || w->done >= r->sure_size))
		np_spill_note_block(r, w->away);
	if (!wanted || r->kept || w->done >= r->sure_size)
		walk_on(w);
	return true;
}

static void walk_all(struct np_huge *h, struct np_brought *brought)
{
	struct walk w = { .brought = brought };
	bool more;

	do {
		np_lock(&h->lock);
		more = visit_next(h, &w);
		np_unlock(&h->lock);
	} while (more);
}

void np_huge_look(struct np_huge *h)
{
	np_lock(&h->lock);
	h->looks++;
	np_unlock(&h->lock);
	walk_all(h, NULL);
}

void np_huge_fetch(struct np_huge *h, struct np_brought *brought)
{
	walk_all(h, brought);
}

/* --- the end ----------------------------------------------------------- */

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

/* Is [p, p + size) one mapping still? The program may have advised or
 * protected a part. Growing by a page in place fails otherwise with EFAULT,
 * before anything is done; if it works, the page is given back. */
static bool is_one_mapping(char *p, size_t size)
{
	size_t page = np_os_page_size();

	if (np_os->mremap(p, size, size + page, 0, NULL) == MAP_FAILED)
		return errno != EFAULT;
	np_os_release(p + size, page);
	return true;
}

/* Moves the pages of [from, from + size), or copies the first `used` bytes of
 * them where the kernel cannot. Returns false if it has left no memory
 * there. */
static bool bring(const struct np_owner *owner, char *to, char *from,
		  size_t size, size_t used)
{
	int flags = MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP;

	if (is_one_mapping(from, size)) {
		if (np_os->mremap(from, size, size, flags, to) != MAP_FAILED)
			return true;
		if (!np_os_restore(to, size, owner->bind_node, owner->pages))
			return false;
	}
	memcpy(to, from, used < size ? used : size);
	return true;
}

/* Slot by slot: a mapping that was moved never again becomes one with what is
 * mapped behind it, but a block grows by whole slots, so each slot is one. */
static bool bring_all(struct np_region *to, struct np_region *from)
{
	size_t used = from->block_size, end = from->size, done = 0;
	char *p = (char *)from->base, *q = (char *)to->base;

	/* The last one is whole then, and moves as the others do. Of a strict
	 * pool it is copied: behind what is used its pages are not placed. */
	if (to->owner->strict)
		end = used - used % NP_SLOT_SIZE;
	else if (np_os_commit(p + used, end - used) != 0)
		return false;
	while (done < end &&
	       bring(to->owner, q + done, p + done, NP_SLOT_SIZE,
		     used - done))
		done += NP_SLOT_SIZE;
	if (done < end) {
		memcpy(p, q, done); /* it is mapped still */
		return false;
	}
	if (done < used)
		memcpy(q + done, p + done, used - done);
	return true;
}

/* Elsewhere: there is no room where it is. */
static void *move_block(struct np_huge *h, struct np_region *r, size_t size)
{
	const struct np_owner *owner = r->owner;
	struct np_region *to = map_block(owner, size, NP_SLOT_SIZE);

	if (!to)
		return NULL;
	if (!bring_all(to, r)) {
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

static void set_sure(struct np_huge *h, struct np_region *r, size_t size)
{
	np_lock(&h->lock);
	r->sure_size = size;
	np_unlock(&h->lock);
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
	if (size < old_size)
		set_sure(h, r, size);
	if (np_region_resize_huge(r, size) != 0) {
		np_limits_refund(&owner->limits, more);
		return move_block(h, r, size);
	}
	if (!place(owner, (char *)r->base + old_size, more)) {
		np_region_resize_huge(r, old_size);
		np_limits_refund(&owner->limits, more);
		return errno = ENOMEM, NULL;
	}
	if (size < old_size)
		np_limits_refund(&owner->limits, old_size - size);
	set_sure(h, r, size);
	count_taken(owner, 0, size - old_size);
	count_reserved(owner, r->size - old_slots);
	np_segment_resize(owner->segment, r->sight_entry, size);
	trace(r);
	return (void *)r->base;
}
