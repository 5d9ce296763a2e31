/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * huge: blocks own their slots, lie where they were asked to, grow, shrink
 * and move without losing a byte, also when the kernel does not help; what is
 * new reads as zero; what is freed is unmapped, or kept for a while and serves
 * the next; limits refuse; counters and charges balance.
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

#include <pthread.h>
#include <string.h>

#define HOME 1 /* of three: not the one that zeros would mean */
#define PAGE np_os_page_size()

static struct np_topology topology;
static struct np_classes classes;
static struct np_segment segment;
static struct np_limit node_limit, pool_limit;
static struct np_huge blocks; /* keeps none but where it is said */

static struct np_owner owner = {
	.tag = HOME, /* of pool 0 */
	.bind_node = NP_ANYWHERE,
	.pool = "test",
	.limits = { &node_limit, &pool_limit },
	.segment = &segment,
};

static char *alloc(size_t size, size_t align)
{
	bool zero = false;
	char *p = np_huge_alloc(&blocks, &owner, size, align, &zero);

	if (p && !zero)
		bail_out("a new block is not said to be zero");
	return p;
}

/* Of one that has not been freed. */
static void release(void *p)
{
	if (!np_huge_free(&blocks, np_map_find(p)))
		bail_out("a block is said to be freed already");
}

static char *resize(void *p, size_t size)
{
	return np_huge_resize(&blocks, np_map_find(p), size);
}

/* What both limits count; SIZE_MAX if they differ. */
static size_t charged(void)
{
	size_t bytes = np_limit_charged(&pool_limit);

	return bytes == np_limit_charged(&node_limit) ? bytes : SIZE_MAX;
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

static void is_counted(uint64_t nblocks, uint64_t bytes, uint64_t space,
		       const char *when)
{
	const struct np_segment_node *node = np_segment_node(&segment, HOME);

	is_uint(np_count_get(&node->huge_blocks), nblocks, "blocks %s", when);
	is_uint(np_count_get(&node->huge_bytes), bytes, "their bytes %s",
		when);
	is_uint(np_count_get(&node->taken), bytes, "bytes taken %s", when);
	is_uint(np_count_get(&node->reserved), space,
		"address space %s", when);
	is_size(charged(), bytes, "and the charge %s", when);
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
	release(p);
	ok(!region(p) && !region(p + size - 1), "freed, it is nobody's");
	ok(!pages_mapped(p, 48 * NP_MIB), "and unmapped");
	is_counted(0, 0, 0, "when it is freed");
	is_uint(np_count_get(&np_segment_node(&segment, HOME)->peak_taken),
		rounded, "the peak remembers it");
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
		release(p);
		release(q);
	}
	ok(good, "blocks lie at multiples of 1 byte to 1 GiB");
}

static void test_too_large(void)
{
	static const size_t sizes[] = { (size_t)1 << 48, PTRDIFF_MAX,
					(size_t)PTRDIFF_MAX + 1, SIZE_MAX };

	for (unsigned i = 0; i < 4; i++) {
		errno = 0;
		ok(!alloc(sizes[i], 1) && errno == ENOMEM,
		   "%zu bytes: NULL and ENOMEM", sizes[i]);
	}
	errno = 0;
	ok(!alloc(1, (size_t)1 << 62) && errno == ENOMEM,
	   "a multiple of 2^62: NULL and ENOMEM");
	is_size(charged(), 0, "none of them is charged");
}

/* --- resizing --------------------------------------------------------- */

static void test_in_place(void)
{
	size_t size = 20 * NP_MIB, more = 30 * NP_MIB, less = 17 * NP_MIB;
	char *p = alloc(size, NP_SLOT_SIZE);

	fill(p, 0, size);
	is_ptr(resize(p, more), p,
	       "a block grows in place within its slots");
	ok(is_filled(p, 0, size) && is_zero(p, size, more),
	   "it keeps what it had; what is new reads as zero");
	is_counted(1, more, 32 * NP_MIB, "of a larger one");
	fill(p, 0, more);
	is_ptr(resize(p, less), p,
	       "it shrinks in place too");
	ok(is_filled(p, 0, less), "it keeps the rest");
	is_size(pages_resident(p + less, more - less), 0,
		"the pages behind it are given back");
	is_counted(1, less, 32 * NP_MIB, "of a smaller one");
	is_ptr(resize(p, more), p, "it grows again");
	ok(is_filled(p, 0, less) && is_zero(p, less, more),
	   "what was given back reads as zero");
	is_ptr(resize(p, more - PAGE + 1), p,
	       "the same pages: nothing to do");
	ok(!resize(p, SIZE_MAX) &&
	   !resize(p, PTRDIFF_MAX) &&
	   is_filled(p, 0, less), "too much: NULL, and nothing has changed");
	release(p);
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
	is_ptr(resize(p, more), p,
	       "it grows beyond its slots in place");
	ok(is_filled(p, 0, size) && is_zero(p, size, more),
	   "it keeps what it had; what is new reads as zero");
	ok(region(p + more - 1) == region(p), "the new slots are its own");
	is_counted(1, more, 80 * NP_MIB, "of five slots");
	fill(p, 0, more);
	is_ptr(resize(p, less), p, "it shrinks in place");
	ok(is_filled(p, 0, less) && !region(p + 16 * NP_MIB) &&
	   !pages_mapped(p + 16 * NP_MIB, 64 * NP_MIB),
	   "slots that it needs no more are nobody's, and unmapped");
	is_counted(1, less, 16 * NP_MIB, "of one slot");
	release(p);
	is_counted(0, 0, 0, "when it is freed");
}

/* Grows beyond its slots where there is no room, and shrinks below them. */
static void test_move(const char *how)
{
	size_t size = 20 * NP_MIB, more = 70 * NP_MIB + 5, less = 9 * NP_MIB;
	char *p = alloc(size, NP_SLOT_SIZE), *q, *r;
	bool wall = np_os_reserve_at(p + 32 * NP_MIB, PAGE);

	fill(p, 0, size);
	q = resize(p, more);
	if (wall)
		np_os_release(p + 32 * NP_MIB, PAGE);
	ok(q && q != p, "a block grows beyond its slots: it moves, %s", how);
	ok(is_filled(q, 0, size), "its contents come along");
	ok(is_zero(q, size, more), "what is new reads as zero");
	ok(!region(p) && !pages_mapped(p, 32 * NP_MIB),
	   "the old place is nobody's, and unmapped");
	is_counted(1, np_round_up(more, PAGE), 80 * NP_MIB, "when it moved");
	fill(q, 0, more);
	r = resize(q, less);
	ok(r && is_filled(r, 0, less), "shrunk below its slots it keeps the "
	   "rest");
	is_counted(1, less, 16 * NP_MIB, "when it shrank");
	release(r);
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
	p = resize(p, more);
	if (wall)
		np_os_release(old + 32 * NP_MIB, PAGE);
	ok(p && is_filled(p, 0, size) && is_zero(p, size, more),
	   "a block of several mappings moves whole");
	fill(p, 0, more);
	release(p);
}

/* Of a strict pool: what its node has placed stays placed. */
static void test_move_strictly(void)
{
	size_t size = 20 * NP_MIB, more = 40 * NP_MIB;
	char *p, *q;
	bool wall;

	owner.strict = true;
	owner.bind_node = 0; /* each kernel has that one, if it tells of any */
	p = alloc(size, NP_SLOT_SIZE);
	if (p) {
		wall = np_os_reserve_at(p + 32 * NP_MIB, PAGE);
		fill(p, 0, size);
		q = resize(p, more);
		if (wall)
			np_os_release(p + 32 * NP_MIB, PAGE);
		ok(q && q != p, "a block of a strict pool moves");
		is_size(pages_resident(q, more), more / PAGE,
			"and all of it is in memory");
		ok(is_filled(q, 0, size) && is_zero(q, size, more),
		   "with its contents, and zeros behind them");
		release(q);
		is_counted(0, 0, 0, "when it is freed");
	} else {
		skip(8, "no memory that the kernel places on node 0");
	}
	owner.strict = false;
	owner.bind_node = NP_ANYWHERE;
}

/* It has moved and grown since: what is mapped behind a mapping that was moved
 * is another one. Of a block of which little was touched little comes into
 * memory, if its pages are moved and not copied. */
static void test_move_again(void)
{
	static const size_t touched[] = { 1, 19, 39, 59 };
	size_t size = 20 * NP_MIB;
	char *p = alloc(size, NP_SLOT_SIZE), *hole, *q;
	bool wall = np_os_reserve_at(p + 32 * NP_MIB, PAGE), kept = true;

	p[NP_MIB] = p[19 * NP_MIB] = 1;
	hole = np_os_reserve(64 * NP_MIB, NP_SLOT_SIZE);
	faultos_begin();
	faultos.hint = hole;
	np_os_release(hole, 64 * NP_MIB);
	q = resize(p, 40 * NP_MIB);
	faultos_end();
	if (wall)
		np_os_release(p + 32 * NP_MIB, PAGE);
	is_ptr(q, hole, "a block moves to where there is room behind it");
	q[39 * NP_MIB] = 1;
	is_ptr(resize(q, 60 * NP_MIB), q, "and grows there by a slot");
	q[59 * NP_MIB] = 1;
	wall = np_os_reserve_at(q + 64 * NP_MIB, PAGE);
	p = resize(q, 80 * NP_MIB);
	if (wall)
		np_os_release(q + 64 * NP_MIB, PAGE);
	ok(p && p != q, "it moves once more");
	for (unsigned i = 0; p && i < 4; i++)
		kept = kept && p[touched[i] * NP_MIB] == 1;
	ok(kept, "its contents come along from all of its slots");
	ok(p && pages_resident(p, 80 * NP_MIB) <= 40 * NP_MIB / PAGE,
	   "and were not copied");
	release(p);
	is_counted(0, 0, 0, "when it is freed");
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

static unsigned nmoved; /* slots, until the kernel has had enough */

static void *half_mremap(void *addr, size_t old_size, size_t new_size,
			 int flags, void *new_addr)
{
	if (!(flags & MREMAP_FIXED) || nmoved++ < 1)
		return np_os_linux.mremap(addr, old_size, new_size, flags,
					  new_addr);
	return late_mremap(addr, old_size, new_size, flags, new_addr);
}

static void *no_mmap_then(void *addr, size_t size, int prot, int flags, int fd,
			  off_t offset)
{
	if (nmoved < 2)
		return np_os_linux.mmap(addr, size, prot, flags, fd, offset);
	errno = ENOMEM;
	return MAP_FAILED;
}

/* Half of it has moved, and for the rest there is no memory. */
static void test_half_moved(void)
{
	size_t size = 20 * NP_MIB;
	struct np_os os = np_os_linux;
	char *p = alloc(size, NP_SLOT_SIZE);
	bool wall = np_os_reserve_at(p + 32 * NP_MIB, PAGE);

	fill(p, 0, size);
	np_os = &os;
	os.mremap = half_mremap;
	os.mmap = no_mmap_then;
	errno = 0;
	ok(!resize(p, 40 * NP_MIB) && errno == ENOMEM,
	   "no memory half-way through a move: NULL and ENOMEM");
	np_os = &np_os_linux;
	is_uint(nmoved, 2, "one slot had moved, the second could not");
	if (wall)
		np_os_release(p + 32 * NP_MIB, PAGE);
	ok(is_filled(p, 0, size), "the block is as it was");
	is_counted(1, size, 32 * NP_MIB, "then");
	release(p);
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
			char *q = resize(p, to);

			if (q)
				p = q, size = size < to ? size : to;
			kept = kept && is_filled(p, 0, size) &&
			       region(p)->block_size >= size;
			fill(p, 0, size);
		}
		if (p)
			release(p);
		if (!faultos_failed())
			break;
		if (faultos_failed() == FAULTOS_MUNMAP)
			continue; /* that address space is lost */
		kept = kept && !charged() && !np_count_get(
			&np_segment_node(&segment, HOME)->huge_blocks);
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
		char *q = resize(p, to);

		if (!q)
			bail_out("no memory");
		lost += !is_filled(q, 0, both) ||
			!is_zero(q, np_round_up(size, PAGE), to);
		fill(q, 0, to);
		p = q;
		size = to;
	}
	is_uint(lost, 0, "60 random resizes lose nothing and add zeros");
	release(p);
	is_counted(0, 0, 0, "at the end");
}

/* --- limits ----------------------------------------------------------- */

static void test_limits(void)
{
	size_t size = 20 * NP_MIB;
	char *p, *q;
	bool wall;

	atomic_store(&pool_limit.hard, 50 * NP_MIB);
	p = alloc(size, 1);
	errno = 0;
	ok(!alloc(size + 10 * NP_MIB + PAGE, 1) && errno == ENOMEM,
	   "a block that would pass a hard limit: NULL and ENOMEM");
	is_counted(1, size, 32 * NP_MIB, "then");
	q = alloc(size + 10 * NP_MIB, 1);
	ok(q, "one that just fits is there");
	fill(p, 0, size);
	ok(!resize(p, size + PAGE) && is_filled(p, 0, size),
	   "nor may the other grow");
	release(q);
	is_size(charged(), size, "a refused resize is not charged");
	/* While it moves both places are charged. */
	wall = np_os_reserve_at(p + 32 * NP_MIB, PAGE);
	errno = 0;
	ok(!resize(p, 40 * NP_MIB) && is_filled(p, 0, size),
	   "nor may it move where both places would pass the limit");
	is_counted(1, size, 32 * NP_MIB, "after that");
	atomic_store(&pool_limit.hard, 0);
	if (wall)
		np_os_release(p + 32 * NP_MIB, PAGE);
	release(p);
	is_counted(0, 0, 0, "in the end");
}

/* --- kept blocks ------------------------------------------------------ */

/* Whether it was a kept one. */
static char *alloc_any(size_t size, size_t align, bool *was_kept)
{
	bool zero = true;
	char *p = np_huge_alloc(&blocks, &owner, size, align, &zero);

	*was_kept = !zero;
	return p;
}

static uint64_t reserved(void)
{
	return np_count_get(&np_segment_node(&segment, HOME)->reserved);
}

static void test_keep(void)
{
	size_t size = 36 * NP_MIB, least = 32 * NP_MIB;
	char *p, *q;
	bool was_kept;

	np_huge_set(&blocks, 64 * NP_MIB, true);
	p = alloc(size, 1);
	ok(!np_huge_is_kept(&blocks, region(p)), "a block in use is not kept");
	fill(p, 0, size);
	release(p);
	ok(region(p) && np_huge_is_kept(&blocks, region(p)),
	   "a freed one is");
	ok(!np_huge_free(&blocks, region(p)), "and cannot be freed again");
	ok(np_huge_is_kept(&blocks, region(p)) &&
	   is_filled(p, 0, size), "which does it no harm");
	is_uint(np_count_get(&np_segment_node(&segment, HOME)->huge_blocks), 0,
		"it does not count as a block");
	is_uint(np_count_get(&np_segment_node(&segment, HOME)->taken), 0,
		"nor as taken");
	is_uint(reserved(), 48 * NP_MIB, "but its address space is reserved");
	is_size(charged(), size, "and it is charged");
	q = alloc_any(least - PAGE, 1, &was_kept);
	ok(q && q != p && !was_kept,
	   "a request more than an eighth smaller gets a new one");
	release(q);
	is_ptr(alloc_any(least - PAGE, 1, &was_kept), q,
	       "which serves the next like it");
	q = alloc_any(least, 1, &was_kept);
	is_ptr(q, p, "a request an eighth smaller gets the first");
	ok(was_kept && is_filled(q, 0, size),
	   "which is as it was, and not said to be zero");
	is_size(region(q)->block_size, size, "it has its size still");
	is_uint(np_count_get(&np_segment_node(&segment, HOME)->huge_bytes),
		size + least - PAGE, "and counts with that");
	np_huge_fini(&blocks);
	ok(!region(p) && !pages_mapped(p, 48 * NP_MIB),
	   "at the end those in use go too");
	is_counted(0, 0, 0, "at the end");
}

static void test_kept_choice(void)
{
	size_t sizes[] = { 35 * NP_MIB, 33 * NP_MIB, 34 * NP_MIB };
	struct np_owner other = owner;
	bool was_kept;
	char *p[3], *q;

	np_huge_set(&blocks, 128 * NP_MIB, true);
	for (int i = 0; i < 3; i++)
		p[i] = alloc(sizes[i], 64 * NP_MIB);
	for (int i = 0; i < 3; i++)
		release(p[i]);
	is_size(charged(), 102 * NP_MIB, "three are kept");
	is_ptr(alloc_any(32 * NP_MIB, 1, &was_kept), p[1],
	       "the smallest that fits is taken");
	is_ptr(alloc_any(34 * NP_MIB + 1, 1, &was_kept), p[0],
	       "or the only one that does");
	q = alloc_any(34 * NP_MIB, (size_t)1 << 40, &was_kept);
	ok(q != p[2] && !was_kept, "one that is not aligned as asked does not");
	other.tag = HOME + 1;
	q = np_huge_alloc(&blocks, &other, 34 * NP_MIB, 1, &was_kept);
	ok(q && q != p[2], "nor does one of another home");
	is_ptr(alloc_any(34 * NP_MIB, 1, &was_kept), p[2], "it is there still");
	np_huge_fini(&blocks);
	is_counted(0, 0, 0, "of any");
}

static void test_keep_bound(void)
{
	char *p[3];

	np_huge_set(&blocks, 64 * NP_MIB, true);
	for (int i = 0; i < 3; i++)
		p[i] = alloc(30 * NP_MIB, 1);
	for (int i = 0; i < 3; i++)
		release(p[i]);
	ok(region(p[0]) && region(p[1]) && !region(p[2]),
	   "of three of 30 MiB two are kept in 64 MiB");
	is_uint(reserved(), 64 * NP_MIB, "and their address space");
	is_size(charged(), 60 * NP_MIB, "which are charged");
	np_huge_set(&blocks, 40 * NP_MIB, true);
	p[2] = alloc(20 * NP_MIB, 1);
	release(p[2]);
	ok(!region(p[2]), "with a lower bound none is added");
	ok(region(p[0]) && region(p[1]), "those that are there stay");
	is_size(np_huge_trim(&blocks, true), 64 * NP_MIB,
		"a trim takes all kept, and says so in whole slots");
	ok(!region(p[0]) && !region(p[1]), "they are gone");
	is_size(np_huge_trim(&blocks, true), 0, "another finds none");
	p[0] = alloc(41 * NP_MIB, 1);
	release(p[0]);
	ok(!region(p[0]), "one larger than the bound is not kept");
	is_counted(0, 0, 0, "then");
}

static void test_kept_age(void)
{
	char *p, *q;
	bool was_kept;

	np_huge_set(&blocks, 128 * NP_MIB, true);
	p = alloc(20 * NP_MIB, 1);
	q = alloc(40 * NP_MIB, 1);
	release(p);
	is_size(np_huge_trim(&blocks, false), 0,
		"a tick leaves what was freed since the last");
	release(q);
	is_size(np_huge_trim(&blocks, false), 32 * NP_MIB,
		"the next takes it");
	ok(!region(p) && region(q), "but not the one freed between them");
	is_ptr(alloc_any(40 * NP_MIB, 1, &was_kept), q, "that one is used");
	is_size(np_huge_trim(&blocks, false), 0, "no tick takes it then");
	release(q);
	is_size(np_huge_trim(&blocks, false), 0, "freed anew it is young");
	is_ptr(alloc_any(40 * NP_MIB, 1, &was_kept), q, "used between two");
	release(q);
	is_size(np_huge_trim(&blocks, false), 0, "it is young too");
	np_huge_set(&blocks, 128 * NP_MIB, false);
	is_size(np_huge_trim(&blocks, false), 0,
		"where nothing decays ticks take none");
	np_huge_set(&blocks, 128 * NP_MIB, true);
	is_size(np_huge_trim(&blocks, false), 48 * NP_MIB,
		"where things do again they take it");
	is_counted(0, 0, 0, "of old ones");
}

/* A kept block is charged already: a limit that is met lets it pass. */
static void test_kept_limit(void)
{
	size_t size = 20 * NP_MIB;
	char *p;
	bool was_kept;

	np_huge_set(&blocks, 64 * NP_MIB, true);
	p = alloc(size, 1);
	release(p);
	atomic_store(&node_limit.hard, size);
	is_ptr(alloc_any(size, 1, &was_kept), p,
	       "a limit that is met leaves what is kept");
	ok(!alloc(size, 1), "and nothing else");
	atomic_store(&node_limit.hard, 0);
	np_huge_fini(&blocks);
	is_counted(0, 0, 0, "in the end");
}

/* Threads that free one block at once: it is freed once. */
static void *free_it(void *p)
{
	return np_huge_free(&blocks, p) ? p : NULL;
}

static void test_free_at_once(void)
{
	enum { ROUNDS = 500, NTHREADS = 3 };
	struct np_region *r;
	unsigned nfreed = 0;
	bool was_kept;

	np_huge_set(&blocks, 64 * NP_MIB, true);
	for (int round = 0; round < ROUNDS; round++) {
		pthread_t t[NTHREADS];

		r = region(alloc_any(20 * NP_MIB, 1, &was_kept));
		for (int i = 0; i < NTHREADS; i++)
			if (pthread_create(&t[i], NULL, free_it, r))
				bail_out("no thread");
		for (int i = 0; i < NTHREADS; i++) {
			void *freed;

			pthread_join(t[i], &freed);
			nfreed += freed != NULL;
		}
	}
	is_uint(nfreed, ROUNDS, "a block that three threads free at once is "
		"freed once");
	np_huge_trim(&blocks, true);
	is_counted(0, 0, 0, "of those");
}

/* --- learning the node ------------------------------------------------ */

static void test_settle(void)
{
	struct np_owner late = owner;
	struct np_huge early;
	char *p, *q;
	bool zero;

	np_huge_init(&early, 64 * NP_MIB, true);
	late.tag = 0;
	late.segment = NULL;
	late.limits.node = NULL;
	p = np_huge_alloc(&early, &late, 20 * NP_MIB, 1, &zero);
	q = np_huge_alloc(&early, &late, 40 * NP_MIB, 1, &zero);
	np_huge_free(&early, region(q));
	ok(np_limit_charged(&pool_limit) == 60 * NP_MIB &&
	   !np_limit_charged(&node_limit),
	   "before the node is known the pool is charged alone");
	ok(region(p)->sight_entry < 0, "and nobody can see the block");
	late = owner;
	np_huge_settle(&early);
	is_size(charged(), 60 * NP_MIB, "then the node is too");
	ok(np_region_home(region(p)) == HOME &&
	   np_region_home(region(q)) == HOME, "and the blocks are its own");
	is_uint(np_count_get(&np_segment_node(&segment, HOME)->huge_bytes),
		20 * NP_MIB, "what is in use counts there");
	is_uint(reserved(), 80 * NP_MIB, "and what is kept is reserved");
	ok(region(p)->sight_entry >= 0, "others can see it");
	np_huge_fini(&early);
	is_counted(0, 0, 0, "in the end");
}

int main(void)
{
	struct np_config config;
	struct np_segment_pool shown = { .name = "test",
					 .config = &config,
					 .classes = &classes,
					 .topology = &topology,
					 .narenas = 1 };

	plan(277);
	np_config_preset(&config);
	np_topology_init(&topology, 3);
	np_meta_init(&topology);
	if (np_map_init() || np_classes_init(&classes, NP_FINE, 13, 11) ||
	    np_segment_create(&segment, NULL, &shown))
		bail_out("nothing to start with");
	np_huge_init(&blocks, 0, true);
	test_block();
	test_alignment();
	test_too_large();
	test_in_place();
	test_more_slots();
	test_move("as the kernel moves pages");
	test_move_in_parts();
	test_move_strictly();
	test_move_again();
	test_without_mremap();
	test_half_moved();
	test_faults();
	test_ladder();
	test_limits();
	test_keep();
	test_kept_choice();
	test_keep_bound();
	test_kept_age();
	test_kept_limit();
	test_free_at_once();
	test_settle();
	return done();
}
