/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * huge: blocks own their slots, lie where they were asked to, grow, shrink
 * and move without losing a byte, also when the kernel does not help; what is
 * new reads as zero; what is freed is unmapped; the counters balance.
 */
#include "config.h"
#include "faultos.h"
#include "huge.h"
#include "meta.h"
#include "pages.h"
#include "rng.h"
#include "segment.h"
#include "tap.h"
#include "topology.h"

#include <string.h>

#define HOME 1 /* of two: not the one that zeros would mean */
#define PAGE np_os_page_size()

static struct np_topology topology;
static struct np_classes classes;

static char *alloc(size_t size, size_t align)
{
	return np_huge_alloc(HOME, -1, size, align);
}

static struct np_region *region(const void *p)
{
	return np_map_find(p);
}

/* Each page gets a number of its own. */
static void fill(char *p, size_t from, size_t to)
{
	for (size_t at = np_round_up(from, PAGE); at < to; at += PAGE)
		memcpy(p + at, &at, sizeof at);
}

static bool is_filled(const char *p, size_t from, size_t to)
{
	for (size_t at = np_round_up(from, PAGE); at < to; at += PAGE)
		if (memcmp(p + at, &at, sizeof at))
			return false;
	return true;
}

static bool is_zero(const char *p, size_t from, size_t to)
{
	for (size_t at = np_round_up(from, PAGE); at < to; at += PAGE) {
		size_t value;

		memcpy(&value, p + at, sizeof value);
		if (value)
			return false;
	}
	return true;
}

static void is_counted(uint64_t blocks, uint64_t bytes, uint64_t reserved,
		       const char *when)
{
	const struct np_segment_node *node = np_segment_node(HOME);

	is_uint(np_count_get(&node->huge_blocks), blocks, "blocks %s", when);
	is_uint(np_count_get(&node->huge_bytes), bytes, "their bytes %s",
		when);
	is_uint(np_count_get(&node->taken), bytes, "bytes taken %s", when);
	is_uint(np_count_get(&node->reserved), reserved,
		"address space %s", when);
}

/* --- one block -------------------------------------------------------- */

static void test_block(void)
{
	size_t size = 40 * NP_MIB + 1;
	size_t rounded = 40 * NP_MIB + PAGE;
	char *p = alloc(size, NP_SLOT_SIZE);
	bool owned = true;

	ok(p && (uintptr_t)p % NP_SLOT_SIZE == 0, "a block begins a slot");
	ok(is_zero(p, 0, size), "it reads as zero");
	fill(p, 0, rounded);
	ok(is_filled(p, 0, rounded), "all of it can be written to");
	for (size_t at = 0; at < rounded; at += NP_MIB)
		owned = owned && region(p + at) == region(p);
	ok(owned && region(p + rounded - 1) == region(p),
	   "each of its addresses leads to its region");
	ok(region(p - 1) != region(p) &&
	   region(p + 48 * NP_MIB) != region(p), "its neighbours do not");
	is_size(region(p)->block_size, rounded, "it has whole system pages");
	is_counted(1, rounded, 48 * NP_MIB, "of one");
	np_huge_free(region(p));
	ok(!region(p) && !region(p + size - 1), "freed, it is nobody's");
	ok(!pages_mapped(p, 48 * NP_MIB), "and unmapped");
	is_counted(0, 0, 0, "when it is freed");
	is_uint(np_count_get(&np_segment_node(HOME)->peak_taken), rounded,
		"the peak remembers it");
}

static void test_alignment(void)
{
	bool good = true;

	for (size_t align = 1; align <= 1024 * NP_MIB; align *= 4) {
		char *p = alloc(17 * NP_MIB, align), *q;

		q = alloc(17 * NP_MIB, align);
		good = good && p && q && (uintptr_t)p % align == 0 &&
		       (uintptr_t)q % align == 0 && p != q;
		if (!good)
			break;
		p[0] = q[17 * NP_MIB - 1] = 1;
		np_huge_free(region(p));
		np_huge_free(region(q));
	}
	ok(good, "blocks lie at multiples of 1 byte to 1 GiB");
}

static void test_too_large(void)
{
	static const size_t sizes[] = { (size_t)1 << 48, PTRDIFF_MAX,
					(size_t)PTRDIFF_MAX + 1, SIZE_MAX };

	for (unsigned i = 0; i < 4; i++) {
		errno = 0;
		ok(!np_huge_alloc(HOME, -1, sizes[i], 1) && errno == ENOMEM,
		   "%zu bytes: NULL and ENOMEM", sizes[i]);
	}
	errno = 0;
	ok(!np_huge_alloc(HOME, -1, 1, (size_t)1 << 62) && errno == ENOMEM,
	   "a multiple of 2^62: NULL and ENOMEM");
}

/* --- resizing --------------------------------------------------------- */

static void test_in_place(void)
{
	size_t size = 20 * NP_MIB, more = 30 * NP_MIB, less = 17 * NP_MIB;
	char *p = alloc(size, NP_SLOT_SIZE);

	fill(p, 0, size);
	is_ptr(np_huge_resize(region(p), -1, more), p,
	       "a block grows in place within its slots");
	ok(is_filled(p, 0, size) && is_zero(p, size, more),
	   "it keeps what it had; what is new reads as zero");
	is_counted(1, more, 32 * NP_MIB, "of a larger one");
	fill(p, 0, more);
	is_ptr(np_huge_resize(region(p), -1, less), p,
	       "it shrinks in place too");
	ok(is_filled(p, 0, less), "it keeps the rest");
	is_size(pages_resident(p + less, more - less), 0,
		"the pages behind it are given back");
	is_counted(1, less, 32 * NP_MIB, "of a smaller one");
	is_ptr(np_huge_resize(region(p), -1, more), p, "it grows again");
	ok(is_filled(p, 0, less) && is_zero(p, less, more),
	   "what was given back reads as zero");
	is_ptr(np_huge_resize(region(p), -1, more - PAGE + 1), p,
	       "the same pages: nothing to do");
	ok(!np_huge_resize(region(p), -1, SIZE_MAX) &&
	   !np_huge_resize(region(p), -1, PTRDIFF_MAX) &&
	   is_filled(p, 0, less), "too much: NULL, and nothing has changed");
	np_huge_free(region(p));
	is_counted(0, 0, 0, "when it is freed");
}

/* With nothing behind its slots it takes more of them, and gives them back. */
static void test_more_slots(void)
{
	size_t size = 20 * NP_MIB, more = 70 * NP_MIB, less = 9 * NP_MIB;
	char *hole = np_os_reserve(96 * NP_MIB, NP_SLOT_SIZE), *p;

	/* 32 MiB to begin with, and 64 MiB of free space behind them. */
	faultos_begin();
	faultos.hint = hole;
	np_os_release(hole, 96 * NP_MIB);
	p = alloc(size, NP_SLOT_SIZE);
	faultos_end();
	is_ptr(p, hole, "a block lies where there is room behind it");
	fill(p, 0, size);
	is_ptr(np_huge_resize(region(p), -1, more), p,
	       "it grows beyond its slots in place");
	ok(is_filled(p, 0, size) && is_zero(p, size, more),
	   "it keeps what it had; what is new reads as zero");
	ok(region(p + more - 1) == region(p), "the new slots are its own");
	is_counted(1, more, 80 * NP_MIB, "of five slots");
	fill(p, 0, more);
	is_ptr(np_huge_resize(region(p), -1, less), p, "it shrinks in place");
	ok(is_filled(p, 0, less) && !region(p + 16 * NP_MIB) &&
	   !pages_mapped(p + 16 * NP_MIB, 64 * NP_MIB),
	   "slots that it needs no more are nobody's, and unmapped");
	is_counted(1, less, 16 * NP_MIB, "of one slot");
	np_huge_free(region(p));
	is_counted(0, 0, 0, "when it is freed");
}

/* Grows beyond its slots where there is no room, and shrinks below them. */
static void test_move(const char *how)
{
	size_t size = 20 * NP_MIB, more = 70 * NP_MIB + 5, less = 9 * NP_MIB;
	char *p = alloc(size, NP_SLOT_SIZE), *q, *r;
	bool wall = np_os_reserve_at(p + 32 * NP_MIB, PAGE);

	fill(p, 0, size);
	q = np_huge_resize(region(p), -1, more);
	if (wall)
		np_os_release(p + 32 * NP_MIB, PAGE);
	ok(q && q != p, "a block grows beyond its slots: it moves, %s", how);
	ok(is_filled(q, 0, size), "its contents come along");
	ok(is_zero(q, size, more), "what is new reads as zero");
	ok(!region(p) && !pages_mapped(p, 32 * NP_MIB),
	   "the old place is nobody's, and unmapped");
	is_counted(1, np_round_up(more, PAGE), 80 * NP_MIB, "when it moved");
	fill(q, 0, more);
	r = np_huge_resize(region(q), -1, less);
	ok(r && is_filled(r, 0, less), "shrunk below its slots it keeps the "
	   "rest");
	is_counted(1, less, 16 * NP_MIB, "when it shrank");
	np_huge_free(region(r));
	is_counted(0, 0, 0, "when it is freed");
}

/* The program has advised and protected parts: it is several mappings. */
static void test_move_in_parts(void)
{
	size_t size = 20 * NP_MIB, more = 40 * NP_MIB;
	char *p = alloc(size, NP_SLOT_SIZE), *old = p;
	bool wall;

	fill(p, 0, size);
	madvise(p + 5 * NP_MIB, NP_MIB, MADV_DONTDUMP);
	madvise(p + 7 * NP_MIB, NP_MIB, MADV_DONTFORK);
	wall = np_os_reserve_at(p + 32 * NP_MIB, PAGE);
	p = np_huge_resize(region(p), -1, more);
	if (wall)
		np_os_release(old + 32 * NP_MIB, PAGE);
	ok(p && is_filled(p, 0, size) && is_zero(p, size, more),
	   "a block of several mappings moves whole");
	fill(p, 0, more);
	np_huge_free(region(p));
}

/* --- the kernel does not help ----------------------------------------- */

static void *no_mremap(void *addr, size_t old_size, size_t new_size, int flags,
		       void *new_addr)
{
	(void)addr, (void)old_size, (void)new_size, (void)flags, (void)new_addr;
	errno = ENOMEM;
	return MAP_FAILED;
}

/* As before Linux 6.17: unmaps the target, and only then finds a reason. */
static void *late_mremap(void *addr, size_t old_size, size_t new_size,
			 int flags, void *new_addr)
{
	(void)addr, (void)old_size;
	if (flags & MREMAP_FIXED)
		munmap(new_addr, new_size);
	errno = ENOMEM;
	return MAP_FAILED;
}

static void test_without_mremap(void)
{
	struct np_os os = np_os_linux;

	np_os = &os;
	os.mremap = no_mremap;
	test_move("if mremap is denied");
	os.mremap = late_mremap;
	test_move("if mremap fails late");
	np_os = &np_os_linux;
}

/* Any call fails: the block is where it was, or where it is said to be. */
static void test_faults(void)
{
	static const size_t steps[] = { 30, 18, 34, 19, 17 };
	unsigned long n;
	bool kept = true, none = true;
	size_t before;

	faultos_begin();
	for (n = 1; ; n++) {
		size_t size = 20 * NP_MIB;
		char *p;

		before = faultos_mapped();
		faultos_fail(n, ENOMEM);
		p = alloc(size, NP_SLOT_SIZE);
		none = none && (p || errno == ENOMEM);
		if (p)
			fill(p, 0, size);
		for (unsigned i = 0; p && i < 5; i++) {
			size_t to = steps[i] * NP_MIB;
			char *q = np_huge_resize(region(p), -1, to);

			if (q)
				p = q, size = size < to ? size : to;
			kept = kept && is_filled(p, 0, size) &&
			       region(p)->block_size >= size;
			fill(p, 0, size);
		}
		if (p)
			np_huge_free(region(p));
		if (!faultos_failed())
			break;
		if (faultos_failed() == FAULTOS_MUNMAP)
			continue; /* that address space is lost */
		kept = kept && !np_count_get(
			&np_segment_node(HOME)->huge_blocks);
		none = none && faultos_mapped() <= before + NP_MIB;
	}
	faultos_end();
	ok(n > 10, "five resizes make %lu system calls", n - 1);
	ok(none, "any of them fails: NULL with ENOMEM or success, no leak");
	ok(kept, "the block keeps its contents, and is freed");
	is_counted(0, 0, 0, "after that");
}

/* --- a ladder --------------------------------------------------------- */

static void test_ladder(void)
{
	struct rng rng = rng_seed(9);
	size_t size = 17 * NP_MIB;
	char *p = alloc(size, NP_SLOT_SIZE);
	unsigned lost = 0;

	fill(p, 0, size);
	for (int i = 0; i < 60; i++) {
		size_t to = 16 * NP_MIB + rng_below(&rng, 40 * NP_MIB);
		size_t both = size < to ? size : to;
		char *q = np_huge_resize(region(p), -1, to);

		if (!q)
			bail_out("no memory");
		lost += !is_filled(q, 0, both) ||
			!is_zero(q, np_round_up(size, PAGE), to);
		fill(q, 0, to);
		p = q;
		size = to;
	}
	is_uint(lost, 0, "60 random resizes lose nothing and add zeros");
	np_huge_free(region(p));
	is_counted(0, 0, 0, "at the end");
}

int main(void)
{
	struct np_config config;

	plan(126);
	np_config_preset(&config);
	np_topology_init(&topology, 2);
	np_meta_init(&topology);
	if (np_map_init() || np_classes_init(&classes, NP_FINE, 13, 11) ||
	    np_segment_create(&config, &classes, &topology, 1))
		bail_out("nothing to start with");
	test_block();
	test_alignment();
	test_too_large();
	test_in_place();
	test_more_slots();
	test_move("as the kernel moves pages");
	test_move_in_parts();
	test_without_mremap();
	test_faults();
	test_ladder();
	return done();
}
