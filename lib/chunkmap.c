/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * chunkmap: see chunkmap.h.
 */
#include "chunkmap.h"
#include "lock.h"
#include "meta.h"
#include "os.h"

#include <errno.h>
#include <sys/mman.h> /* PROT_READ, MAP_* */

/* Bits of a user address. Kernels with wider ones hand them out only to those
 * who ask for them by an address hint, which os.c never gives. */
#if defined __x86_64__
#define ADDRESS_BITS 47
#else
#define ADDRESS_BITS 48
#endif

#define FULL_SLOTS ((size_t)1 << (ADDRESS_BITS - NP_SLOT_SHIFT))
#define SMALL_SLOTS (FULL_SLOTS / 64)
#define OPEN_BLOCK (64 * NP_KIB) /* bytes opened for writing at once: the
				    slots of 128 GiB of addresses, the pages
				    of 128 MiB */

NP_USED_AT_START struct np_map np_map;

/* Bytes of addresses that the page map covers: powers of two. */
#define LEAST_WINDOW ((size_t)16 << 30)
#define MOST_WINDOW ((size_t)4 << 40)
#define MOST_PAGES (MOST_WINDOW >> NP_PRESET_PAGE_SHIFT)

/* Guards writes to slots, and which blocks are open. */
static struct np_lock map_lock = NP_LOCK_INIT(NP_RANK_MAP);
static uint8_t slots_open[FULL_SLOTS * sizeof(void *) / OPEN_BLOCK / 8];
static uint8_t known_open[MOST_PAGES * sizeof(uint32_t) / OPEN_BLOCK / 8];

static void *map_table(size_t size, const char *name)
{
	void *p = np_os->mmap(NULL, size, PROT_READ,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	np_os_label(p, size, name, -1);
	return p;
}

/* The first of n units of 1 << shift bytes around an address: the kernel maps
 * downwards from there, mostly. */
static size_t first_around(const void *at, unsigned shift, size_t n)
{
	size_t first = (uintptr_t)at >> shift;

	return first - (first < n / 4 * 3 ? first : n / 4 * 3);
}

/* A table this large must not be all that fits into the address space. */
static bool full_table_fits(void)
{
	return np_os_address_limit() / 64 >= FULL_SLOTS * sizeof(void *);
}

/* The program may map more than there is, and other things in between. */
static size_t window(void)
{
	size_t memory = np_os_memory(), limit = np_os_address_limit();
	size_t size = LEAST_WINDOW;

	while (size < MOST_WINDOW && size / 4 < memory)
		size *= 2;
	while (size > limit)
		size /= 2;
	return size;
}

static void map_pages(void)
{
	size_t n = window() >> NP_PRESET_PAGE_SHIFT;
	void *table;

	if (n * sizeof *np_map.known < OPEN_BLOCK)
		return;
	table = map_table(n * sizeof *np_map.known, "page map");
	if (!table)
		return;
	np_map.known = table;
	np_map.first_page = first_around(table, NP_PRESET_PAGE_SHIFT, n);
	np_map.npages = n;
}

int np_map_init(void)
{
	size_t size = FULL_SLOTS * sizeof(void *), nslots = FULL_SLOTS;
	void *table = full_table_fits() ? map_table(size, "chunk map") : NULL;

	if (!table) {
		nslots = SMALL_SLOTS;
		table = map_table(nslots * sizeof(void *), "chunk map");
		if (!table)
			return ENOMEM;
		np_map.first = first_around(table, NP_SLOT_SHIFT, nslots);
	}
	np_map.slots = table;
	map_pages();
	/* Release: who sees the number sees the tables (np_map_find). */
	atomic_store_explicit(&np_map.nslots, nslots, memory_order_release);
	return 0;
}

/* --- slots and entries ------------------------------------------------ */

/* Makes the blocks of a table that hold [from, to) bytes of it writable.
 * Both tables end where a block does. */
static int open_blocks(void *table, uint8_t *open, size_t from, size_t to)
{
	int error = 0;

	for (size_t i = from / OPEN_BLOCK; i <= (to - 1) / OPEN_BLOCK; i++) {
		if (open[i / 8] >> i % 8 & 1)
			continue;
		error = np_os_commit((char *)table + i * OPEN_BLOCK,
				     OPEN_BLOCK);
		if (error)
			break;
		open[i / 8] |= (uint8_t)(1u << i % 8);
	}
	return error;
}

/* Writes the region (or NULL) into all slots of [base, base + size). */
static int set_slots(uintptr_t base, size_t size, struct np_region *region)
{
	size_t first = (base >> NP_SLOT_SHIFT) - np_map.first;
	size_t n = (size + NP_SLOT_SIZE - 1) >> NP_SLOT_SHIFT;
	int error;

	if (first >= np_map.nslots || n > np_map.nslots - first)
		return ENOMEM;
	np_lock(&map_lock);
	error = open_blocks(np_map.slots, slots_open, first * sizeof(void *),
			    (first + n) * sizeof(void *));
	/* Release: pairs with the acquire in np_map_find. */
	for (size_t i = first; !error && i < first + n; i++)
		atomic_store_explicit(&np_map.slots[i], region,
				      memory_order_release);
	np_unlock(&map_lock);
	return error;
}

/* The entries of a new region's pages, all 0, or NULL: it has none. */
static _Atomic uint32_t *open_known(const struct np_region *r)
{
	size_t first = (r->base >> NP_PRESET_PAGE_SHIFT) - np_map.first_page;
	size_t n = r->size >> NP_PRESET_PAGE_SHIFT;
	int error;

	if (r->page_shift != NP_PRESET_PAGE_SHIFT || first >= np_map.npages ||
	    n > np_map.npages - first)
		return NULL;
	np_lock(&map_lock);
	error = open_blocks(np_map.known, known_open,
			    first * sizeof *np_map.known,
			    (first + n) * sizeof *np_map.known);
	np_unlock(&map_lock);
	return error ? NULL : np_map.known + first;
}

/* Whoever has this memory next finds nothing there. */
static void forget_known(struct np_region *r)
{
	size_t n = r->known ? r->size >> NP_PRESET_PAGE_SHIFT : 0;

	/* Most are 0, and of those many were never touched. */
	for (size_t i = 0; i < n; i++)
		if (atomic_load_explicit(&r->known[i], memory_order_relaxed))
			atomic_store_explicit(&r->known[i], 0,
					      memory_order_relaxed);
}

/* --- regions ---------------------------------------------------------- */

/* A region's own data: the struct, its page table, at the start of a line, and
 * its chunk pointers. */
#define TABLE_AT ((sizeof(struct np_region) + NP_LINE - 1) / NP_LINE * NP_LINE)

static size_t region_meta_size(size_t npages, size_t nchunks)
{
	return TABLE_AT +
	       np_round_up(npages * sizeof(uint32_t), sizeof(void *)) +
	       nchunks * sizeof(void *);
}

static size_t pages_of(const struct np_region *r)
{
	return r->is_huge ? 1 : r->size >> r->page_shift;
}

static struct np_region *make_region(const struct np_owner *owner,
				     size_t npages, size_t nchunks)
{
	struct np_region *r;

	r = np_meta_alloc(np_owner_home(owner),
			  region_meta_size(npages, nchunks));
	if (!r)
		return NULL;
	r->pages = (uint32_t *)(void *)((char *)r + TABLE_AT);
	r->chunks = (_Atomic(struct np_chunk *) *)(void *)
		((char *)r->pages + np_round_up(npages * sizeof(uint32_t),
						sizeof(void *)));
	r->nchunks = (uint32_t)nchunks;
	r->pool = owner->pool;
	atomic_init(&r->tag, owner->tag);
	return r;
}

static void free_region(struct np_region *r)
{
	np_meta_free(np_region_home(r), r,
		     region_meta_size(pages_of(r), r->nchunks));
}

/* Reserves, binds and commits: all or nothing. */
static char *map_memory(size_t size, size_t align, size_t usable,
			const struct np_owner *owner)
{
	char *p = np_os_reserve(size, align);

	if (!p)
		return NULL;
	/* A denied mbind leaves first touch: placed worse, not wrong. */
	np_os_bind(p, size, owner->bind_node);
	np_os_advise(p, size, owner->pages);
	if (np_os_commit(p, usable) == 0)
		return p;
	np_os_release(p, size);
	return NULL;
}

/* The same with huge pages of the node's reserve. Bound to that node alone and
 * taken at once: so a lack of them is known here, and is no fault of who
 * touches one later. */
static char *map_hugetlb(size_t size, size_t align,
			 const struct np_owner *owner)
{
	char *p;

	if (!np_limits_charge(&owner->limits, size))
		return NULL;
	p = np_os_reserve_hugetlb(size, align);
	if (p && np_os_bind_only(p, size, owner->bind_node) == 0 &&
	    np_os_commit(p, size) == 0 && np_os_populate(p, size) == 0)
		return p;
	if (p)
		np_os_release(p, size);
	np_limits_refund(&owner->limits, size);
	return NULL;
}

/* Maps it and enters it: all or nothing. */
static int map_region(struct np_region *r, const struct np_owner *owner,
		      size_t align, size_t usable)
{
	char *p = NULL;
	int error;

	if (owner->pages == NP_PAGES_HUGETLB && r->nchunks == 1)
		p = map_hugetlb(r->size, align, owner);
	r->hugetlb = p != NULL;
	if (!p)
		p = map_memory(r->size, align, usable, owner);
	if (!p)
		return ENOMEM;
	r->base = (uintptr_t)p;
	r->entries = (uintptr_t)r->pages -
		     (r->base >> r->page_shift) * sizeof *r->pages;
	error = set_slots(r->base, r->size, r);
	if (error)
		np_os_release(p, r->size);
	else
		np_os_label(p, r->size,
			    owner->bind_node < 0 ? "memory" : "node",
			    owner->bind_node);
	if (error && r->hugetlb)
		np_limits_refund(&owner->limits, r->size);
	return error;
}

struct np_region *np_region_create(struct np_arena *arena,
				   unsigned arena_index,
				   const struct np_owner *owner,
				   const struct np_classes *classes)
{
	unsigned chunk_shift = classes->page_shift + classes->max_order;
	size_t size = classes->chunk_size < NP_SLOT_SIZE
		? NP_SLOT_SIZE : classes->chunk_size;
	struct np_region *r = make_region(owner, size >> classes->page_shift,
					  size >> chunk_shift);
	int error;

	if (!r)
		return NULL;
	r->page_shift = classes->page_shift;
	r->chunk_shift = (uint8_t)chunk_shift;
	r->size = size;
	r->arena = arena;
	r->arena_index = (uint16_t)arena_index;
	error = map_region(r, owner, size, size);
	if (error) {
		free_region(r);
		return errno = error, NULL;
	}
	r->known = open_known(r);
	return r;
}

struct np_region *np_region_create_huge(const struct np_owner *owner,
					size_t size, size_t align)
{
	struct np_region *r;
	int error;

	if (size > PTRDIFF_MAX - NP_SLOT_SIZE)
		return errno = ENOMEM, NULL;
	r = make_region(owner, 1, 0);
	if (!r)
		return NULL;
	r->page_shift = NP_HUGE_SHIFT;
	r->is_huge = true;
	r->owner = owner;
	r->size = np_round_up(size, NP_SLOT_SIZE);
	r->block_size = r->sure_size = size;
	error = map_region(r, owner, align, size);
	if (error) {
		free_region(r);
		return errno = error, NULL;
	}
	return r;
}

void np_region_set_tag(struct np_region *r, np_tag_t tag)
{
	atomic_store_explicit(&r->tag, tag, memory_order_relaxed);
	for (uint32_t i = 0; i < r->nchunks; i++) {
		struct np_chunk *c = atomic_load_explicit(
			&r->chunks[i], memory_order_relaxed);

		if (c)
			np_chunk_set_whose(c, np_known_tag(tag));
	}
}

int np_region_destroy(struct np_region *r)
{
	void *p = (void *)r->base;
	int error;

	set_slots(r->base, r->size, NULL);
	forget_known(r);
	error = np_os_release(p, r->size);
	if (error)
		np_os_purge(p, r->is_huge ? r->block_size : r->size);
	free_region(r);
	return error;
}

/* Takes the slots behind a huge block too, if they are free. */
static int extend_huge(struct np_region *r, size_t size)
{
	char *end = (char *)r->base + r->size;
	size_t more = size - r->size;
	int error;

	if (!np_os_reserve_at(end, more))
		return ENOMEM;
	np_os_bind(end, more, r->owner->bind_node);
	np_os_advise(end, more, r->owner->pages);
	error = set_slots((uintptr_t)end, more, r);
	if (error)
		np_os_release(end, more);
	else
		r->size = size;
	return error;
}

/* Gives the slots behind size bytes back. */
static void cut_huge(struct np_region *r, size_t size)
{
	char *end = (char *)r->base + size;

	set_slots((uintptr_t)end, r->size - size, NULL);
	if (np_os_release(end, r->size - size) != 0 && r->block_size > size)
		np_os_purge(end, r->block_size - size);
	r->size = size;
	if (r->block_size > size)
		r->block_size = size;
}

int np_region_resize_huge(struct np_region *r, size_t new_size)
{
	size_t slots = np_round_up(new_size, NP_SLOT_SIZE);
	char *p = (char *)r->base;

	if (slots > r->size && extend_huge(r, slots) != 0)
		return ENOMEM;
	if (new_size > r->block_size &&
	    np_os_commit(p + r->block_size, new_size - r->block_size) != 0) {
		cut_huge(r, np_round_up(r->block_size, NP_SLOT_SIZE));
		return ENOMEM;
	}
	if (slots < r->size)
		cut_huge(r, slots);
	if (new_size < r->block_size)
		np_os_purge(p + new_size, r->block_size - new_size);
	r->block_size = new_size;
	return 0;
}

void np_map_lock(void)
{
	np_lock_for_fork(&map_lock);
}

void np_map_unlock(void)
{
	np_unlock_for_fork(&map_lock);
}
