/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * The chunk map: every address of a region finds it and no other does, while
 * regions come and go, where address space is short, and when the kernel says
 * no.
 */
#include "child.h"
#include "chunkmap.h"
#include "faultos.h"
#include "lock.h"
#include "meta.h"
#include "pages.h"
#include "tap.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/auxv.h> /* AT_SYSINFO_EHDR: the vDSO */

/* Sanitizers have shadows of all addresses and cannot do with few. */
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#define SANITIZED true
#elif defined __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED true
#endif
#endif
#ifndef SANITIZED
#define SANITIZED false
#endif

#define SLOT NP_SLOT_SIZE
#define FULL_TABLE (64 * NP_MIB)

static size_t page;
static const struct np_owner anywhere = { .bind_node = NP_ANYWHERE,
					  .pool = "x" };
static const struct np_owner bound = { .bind_node = 0, .pool = "x" };
static struct np_classes classes;
static int scratch; /* a file that the kernel copies from */

static struct np_region *create(unsigned shift, unsigned order)
{
	if (np_classes_init(&classes, NP_FINE, shift, order))
		bail_out("no classes");
	return np_region_create(NULL, 0, &anywhere, &classes);
}

static bool readable(const char *p)
{
	return pwrite(scratch, p, 1, 0) == 1;
}

static struct np_region *find(uintptr_t address)
{
	return np_map_find((const void *)address);
}

/* Do just the addresses of the region find it? */
static bool is_found(const struct np_region *r)
{
	for (uintptr_t at = r->base; at < r->base + r->size; at += SLOT)
		if (find(at) != r || find(at + SLOT / 2) != r ||
		    find(at + SLOT - 1) != r)
			return false;
	return find(r->base - 1) != r && find(r->base + r->size) != r &&
	       r->size % SLOT == 0;
}

static bool is_filled(const char *p, size_t size, char with)
{
	return *p == with && !memcmp(p, p + 1, size - 1);
}

/* --- the table -------------------------------------------------------- */

static const char constant[] = "data";

static void test_foreign(const char *when)
{
	void *heap = malloc(100);
	uintptr_t addresses[] = {
		0, 1, 16, SLOT - 1, (uintptr_t)&heap, (uintptr_t)heap,
		(uintptr_t)constant, (uintptr_t)test_foreign,
		(uintptr_t)getauxval(AT_SYSINFO_EHDR), (uintptr_t)&np_map,
		((uintptr_t)1 << 47) - 1, (uintptr_t)1 << 47,
		(uintptr_t)1 << 48, (uintptr_t)1 << 56,
		(uintptr_t)0xffff800000000000, (uintptr_t)0xffffffffff600000,
		UINTPTR_MAX - SLOT, UINTPTR_MAX,
	};
	bool good = true;

	for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++)
		if (find(addresses[i])) {
			diag("0x%lx is found", (unsigned long)addresses[i]);
			good = false;
		}
	free(heap);
	ok(good, "%s: NULL, code, data, heap, stack, the kernel's half and "
	   "what no address can be are nobody's", when);
}

/* --- chunks in regions ------------------------------------------------ */

/* Marks each place and page, and looks whether every address finds its own. */
static bool finds_chunk_and_page(struct np_region *r)
{
	size_t size = classes.chunk_size, step = (size_t)1 << r->page_shift;
	static char marks[4096];

	for (size_t i = 0; i < r->nchunks; i++)
		atomic_store(&r->chunks[i], (struct np_chunk *)(void *)
			     (marks + i % sizeof marks));
	for (size_t i = 0; i < r->size / step; i++)
		r->pages[i] = (uint32_t)i + 1;
	for (size_t at = 0; at < r->size; at += step) {
		const char *p = (const char *)r->base + at;
		char *mark = marks + at / size % sizeof marks;

		if (np_region_entry(r, p) != at / step + 1 ||
		    np_region_entry(r, p + step - 1) != at / step + 1 ||
		    np_region_chunk(r, p) != (void *)mark ||
		    np_region_chunk(r, p + step - 1) != (void *)mark)
			return false;
	}
	return true;
}

static bool is_empty(const struct np_region *r)
{
	for (size_t i = 0; i < r->nchunks; i++)
		if (atomic_load(&r->chunks[i]))
			return false;
	for (size_t i = 0; i < r->size >> r->page_shift; i++)
		if (r->pages[i])
			return false;
	return !r->is_huge && !r->used && !r->arena && !r->unclean;
}

/* What a region is told when it is made. */
static void test_owner(void)
{
	static const struct np_owner owner = { .tag = 7 << 10 | 2,
					       .bind_node = NP_ANYWHERE,
					       .pool = "mine" };
	struct np_arena *arena = (void *)&scratch; /* not looked at */
	struct np_region *r;

	np_classes_init(&classes, NP_FINE, 13, 11);
	r = np_region_create(arena, 300, &owner, &classes);
	if (!r)
		bail_out("no region");
	ok(np_region_tag(r) == owner.tag && np_tag_slot(np_region_tag(r)) == 7
	   && np_region_home(r) == 2, "a region has its owner's pool and home");
	ok(r->arena == arena && r->arena_index == 300,
	   "and its arena's number");
	is_str(r->pool, "mine", "and the pool's name, for messages");
	np_region_destroy(r);
}

static void test_region(unsigned shift, unsigned order)
{
	struct np_region *r = create(shift, order);
	size_t chunk = (size_t)1 << (shift + order);
	size_t size = chunk < SLOT ? SLOT : chunk;
	uintptr_t base;
	char *p;

	if (!r)
		bail_out("no region of %zu bytes", size);
	base = r->base;
	p = (char *)base;
	ok(r->size == size && base % size == 0 && r->nchunks == size / chunk,
	   "page %zu, order %u: %u chunks, aligned", (size_t)1 << shift,
	   order, r->nchunks);
	ok(is_found(r), "its addresses find it, its neighbours do not");
	ok(is_empty(r), "all its places and pages are empty");
	ok(finds_chunk_and_page(r), "an address finds its chunk and page");
	p[0] = p[size - 1] = 'x';
	ok(p[1] == 0 && p[size / 2] == 0 && p[size - 2] == 0,
	   "its memory is zero and can be written");
	is_int(np_region_destroy(r), 0, "it is destroyed");
	ok(!find(base) && !find(base + size - 1) && !readable(p) &&
	   !readable(p + size - 1), "and nobody's, and unmapped");
}

/* --- the page map ----------------------------------------------------- */

static uint32_t known_at(uintptr_t address)
{
	size_t n = (address >> 13) - np_map.first_page;

	return n < np_map.npages ? np_map.known[n] : 0;
}

static void test_known(void)
{
	struct np_region *r = create(12, 8), *far;
	struct np_known known;
	uintptr_t base;

	ok(!r->known && !np_region_known(r, 0).pages,
	   "pages of 4 KiB are not in the page map");
	np_region_destroy(r);
	r = create(13, 9);
	base = r->base;
	known = np_region_known(r, 3);
	ok(r->known == np_map.known + ((base >> 13) - np_map.first_page) &&
	   known.pages == r->known + 3 * 512 &&
	   known.whose == np_known_tag(np_region_tag(r)),
	   "those of 8 KiB are, each chunk's behind the last one's");
	known.pages[511] = known.whose | 5;
	is_uint(known_at(base + 4 * 512 * 8192 - 1), known.whose | 5,
		"what is written there is found by an address");
	np_region_destroy(r);
	is_uint(known_at(base + 4 * 512 * 8192 - 1), 0,
		"when the region has gone it is not");
	faultos_begin();
	faultos.hint = SANITIZED ? NULL : (void *)((uintptr_t)1 << 36);
	far = create(13, 11);
	ok(far && (SANITIZED || !far->known) && is_found(far),
	   "a region far from all others is not known, but found");
	faultos.hint = NULL;
	np_region_destroy(far);
	faultos_end();
}

static void test_several(void)
{
	enum { MOST = 40 };
	struct np_region *r[MOST];
	bool good = true;

	for (int i = 0; i < MOST; i++)
		if (!(r[i] = create(13, i % 3 ? 11 : 13)))
			bail_out("no region");
	for (int i = 0; i < MOST; i += 2)
		good = good && np_region_destroy(r[i]) == 0;
	for (int i = 1; i < MOST; i += 2)
		good = good && is_found(r[i]);
	for (int i = 0; i < MOST; i += 2)
		good = good && (r[i] = create(13, 11)) && is_found(r[i]);
	for (int i = 0; i < MOST; i++)
		good = good && is_found(r[i]) && np_region_destroy(r[i]) == 0;
	ok(good, "%d regions side by side do not mix, whichever go", MOST);
}

/* --- huge blocks ------------------------------------------------------ */

static void test_huge(size_t size, size_t align)
{
	static const struct np_owner owner = { .tag = 5 << 10 | 3,
					       .bind_node = NP_ANYWHERE,
					       .pool = "blocks" };
	struct np_region *r = np_region_create_huge(&owner, size, align);
	uintptr_t base;
	char *p;

	if (!r)
		bail_out("no block of %zu bytes", size);
	base = r->base;
	p = (char *)base;
	ok(r->is_huge && base % align == 0 && r->block_size == size &&
	   r->owner == &owner, "a huge block of %zu bytes at %zu", size,
	   align);
	ok(np_region_tag(r) == owner.tag && np_region_home(r) == 3 &&
	   !strcmp(r->pool, "blocks"), "it knows its pool and home");
	ok(is_found(r), "its slots find it, its neighbours do not");
	ok(np_region_entry(r, p) == 0 && np_region_entry(r, p + 1) == 0 &&
	   np_region_entry(r, p + size - 1) == 0,
	   "no address of it has a class");
	p[0] = p[size - 1] = 'x';
	ok(p[1] == 0 && p[size - 2] == 0,
	   "its memory is zero and can be written");
	ok(size == r->size || !readable(p + size),
	   "what is behind it cannot be touched");
	is_int(np_region_destroy(r), 0, "it is destroyed");
	ok(!find(base) && !readable(p), "and nobody's, and unmapped");
}

static int resize(struct np_region *r, size_t size)
{
	return np_region_resize_huge(r, size);
}

static void test_resize(void)
{
	size_t size = SLOT + 4 * page;
	struct np_region *r = np_region_create_huge(&anywhere, size, SLOT);
	char *p = (char *)r->base;
	bool wall;

	memset(p, 'x', size);
	is_int(resize(r, 2 * SLOT), 0, "it grows to its slots");
	is_size(r->block_size, 2 * SLOT, "and says so");
	ok(is_filled(p, size, 'x') && is_filled(p + size, 2 * SLOT - size, 0),
	   "what was there is kept, what came is zero");
	wall = np_os_reserve_at(p + 2 * SLOT, page);
	is_int(resize(r, 2 * SLOT + page), ENOMEM,
	       "beyond its slots it cannot, where something lies there");
	if (wall)
		np_os_release(p + 2 * SLOT, page);
	is_size(r->block_size, 2 * SLOT, "and is as before");
	memset(p, 'y', 2 * SLOT);
	is_int(resize(r, SLOT + page), 0, "it shrinks");
	ok(is_filled(p, SLOT + page, 'y'), "and keeps what it can");
	is_int(resize(r, SLOT + 3 * page), 0, "it grows again");
	ok(is_filled(p, SLOT + page, 'y') &&
	   is_filled(p + SLOT + page, 2 * page, 0),
	   "what it had given back is gone");
	is_int(resize(r, SLOT + 3 * page), 0, "to its own size");
	ok(is_found(r), "it is found as ever");
	np_region_destroy(r);
	r = np_region_create_huge(&anywhere, page, SLOT);
	faultos_begin();
	faultos_fail(1, ENOMEM);
	is_int(resize(r, 2 * page), ENOMEM,
	       "where the kernel has no memory it does not grow");
	is_size(r->block_size, page, "and is as before");
	faultos_end();
	np_region_destroy(r);
}

/* With another block right behind it the kernel would not mind. */
static void test_neighbours(void)
{
	struct np_region *r = create(16, 14), *a, *b;
	uintptr_t at = r->base;

	np_region_destroy(r);
	faultos_begin();
	faultos.hint = (void *)at;
	a = np_region_create_huge(&anywhere, SLOT, SLOT);
	faultos.hint = (void *)(at + SLOT);
	b = np_region_create_huge(&anywhere, SLOT, SLOT);
	faultos_end();
	ok(a && b && b->base == a->base + SLOT, "two blocks lie side by side");
	is_int(resize(a, SLOT + page), ENOMEM,
	       "one does not grow into the other");
	ok(a->block_size == SLOT && is_found(a) && is_found(b),
	   "and both are as before");
	np_region_destroy(a);
	np_region_destroy(b);
}

static void test_too_huge(void)
{
	static const size_t sizes[] = { PTRDIFF_MAX, SIZE_MAX,
					(size_t)1 << 47 };
	size_t before = np_meta_mapped();

	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		errno = 0;
		ok(!np_region_create_huge(&anywhere, sizes[i] & ~(page - 1),
					  SLOT) && errno == ENOMEM,
		   "0x%zx bytes are NULL and ENOMEM", sizes[i]);
	}
	is_size(np_meta_mapped(), before, "and cost nothing");
}

/* --- failures --------------------------------------------------------- */

/* The table is opened by the 128 GiB. */
#define FAR_STEP ((uintptr_t)1 << 37)

static struct np_region *create_far(bool huge)
{
	if (huge)
		return np_region_create_huge(&bound, SLOT + page, SLOT);
	return np_region_create(NULL, 0, &bound, &classes);
}

/* A region that was made is found, goes, and leaves nothing. */
static bool comes_and_goes(struct np_region *r)
{
	uintptr_t at = r->base;
	bool good = at == (uintptr_t)faultos.hint && is_found(r);

	faultos_fail(0, 0);
	return np_region_destroy(r) == 0 && good && !find(at) &&
	       faultos_mapped() == 0;
}

/* Makes each call in turn fail. at: the address to use, and the next one is a
 * step below. */
static void test_create_fails(bool huge, uintptr_t at, uintptr_t step)
{
	unsigned n, refused = 0, made = 0;
	struct np_region *r;
	bool clean = true;

	np_classes_init(&classes, NP_FINE, 13, 11);
	faultos_begin();
	faultos.hint = (void *)at;
	for (n = 1; faultos_fail(n, ENOMEM), errno = 0, r = create_far(huge),
	     faultos_failed(); n++) {
		bool may = faultos_failed() == FAULTOS_MBIND ||
			   faultos_failed() == FAULTOS_NAME;

		refused += !r;
		made += r != NULL;
		clean = clean && (r != NULL) == may && (r
			? comes_and_goes(r)
			: errno == ENOMEM && faultos_mapped() == 0 &&
			  !find((uintptr_t)faultos.hint));
		if (r)
			faultos.hint = (void *)(at -= step);
	}
	ok(refused >= (step ? 3 : 2), "%s: without mmap, mprotect or the table "
	   "there is none", huge ? "a huge block" : "a region");
	ok(made >= 1, "without mbind or a name there is");
	ok(clean, "what fails is NULL and ENOMEM, and leaves nothing mapped "
	   "or entered");
	ok(r && comes_and_goes(r), "after %u calls without a fault all is "
	   "well", n - 1);
	faultos_end();
}

static void test_faults(void)
{
	struct np_region *r = create(16, 14);
	uintptr_t near = r->base, far = near;
	uintptr_t step = SANITIZED ? 0 : FAR_STEP; /* nor memory anywhere */

	np_region_destroy(r);
	if (step)
		far = ((uintptr_t)np_map.slots / step - 1) * step;
	test_create_fails(false, far, step);
	test_create_fails(true, near, 0);
}

/* --- huge pages ------------------------------------------------------- */

static struct np_limit bounds;
static struct np_owner huge_pages = {
	.bind_node = 0, .pool = "x", .limits = { .pool = &bounds },
	.pages = NP_PAGES_HUGETLB,
};

static struct np_region *create_hugetlb(unsigned order)
{
	np_classes_init(&classes, NP_FINE, 13, order);
	return np_region_create(NULL, 0, &huge_pages, &classes);
}

/* Destroys it and says whether it was charged as it should. */
static bool was_charged(struct np_region *r, size_t bytes)
{
	bool good = np_limit_charged(&bounds) == bytes;

	np_limits_refund(&huge_pages.limits, np_limit_charged(&bounds));
	return np_region_destroy(r) == 0 && good;
}

static void test_hugetlb(void)
{
	struct np_region *r;

	faultos_begin();
	r = create_hugetlb(11);
	ok(r && !r->hugetlb, "a reserve that is empty is done without");
	ok(was_charged(r, 0), "and not charged");
	faultos.hugetlb = true;
	r = create_hugetlb(11);
	ok(r && r->hugetlb, "one that is not is used");
	is_size(pages_resident((void *)r->base, SLOT), SLOT / page,
		"and all of the region in memory at once");
	ok(was_charged(r, SLOT), "and charged");
	r = create_hugetlb(10);
	ok(r && !r->hugetlb && was_charged(r, 0),
	   "not for regions of several chunks");
	atomic_store(&bounds.hard, SLOT - 1);
	r = create_hugetlb(11);
	ok(r && !r->hugetlb && was_charged(r, 0), "nor above a limit");
	atomic_store(&bounds.hard, 0);
	r = np_region_create_huge(&huge_pages, SLOT, SLOT);
	ok(r && !r->hugetlb && was_charged(r, 0), "nor for huge blocks");
	faultos_end();
	is_size(faultos_mapped(), 0, "nothing is left mapped");
}

/* Each call fails in turn, as the kernel does when a node has no more. */
static void test_hugetlb_fails(void)
{
	unsigned n, ordinary = 0;
	struct np_region *r;
	bool good = true;

	faultos_begin();
	faultos.hugetlb = true;
	for (n = 1; faultos_fail(n, EFAULT), r = create_hugetlb(11),
	     faultos_failed(); n++) {
		bool left = faultos_failed() == FAULTOS_MUNMAP;

		ordinary += r && !r->hugetlb;
		faultos_fail(0, 0);
		good = good && (!r ? np_limit_charged(&bounds) == 0
				   : was_charged(r, r->hugetlb ? SLOT : 0));
		good = good && (left || faultos_mapped() == 0);
		atomic_store(&faultos.mapped, 0);
	}
	ok(ordinary >= 4, "without mmap, mbind, mprotect or populating it "
	   "there are ordinary pages: %u of %u calls", ordinary, n - 1);
	ok(good, "and only what there is is charged, and mapped");
	faultos_fail(0, 0);
	ok(r && was_charged(r, SLOT), "without a fault there are huge ones");
	faultos_end();
}

static void test_advised(void)
{
	struct np_owner thp = anywhere;
	struct np_region *r;
	char *p;

	if (np_os_advise((void *)page, 0, NP_PAGES_THP) == EINVAL) {
		skip(4, "needs a kernel with transparent huge pages");
		return;
	}
	thp.pages = NP_PAGES_THP;
	r = np_region_create(NULL, 0, &thp, &classes);
	p = (char *)r->base;
	ok(pages_flag(p, " hg") && pages_flag(p + SLOT - 1, " hg"),
	   "a region is advised whole");
	np_region_destroy(r);
	r = np_region_create_huge(&thp, page, SLOT);
	p = (char *)r->base;
	ok(pages_flag(p, " hg"), "so is a huge block");
	if (np_region_resize_huge(r, SLOT + page) == 0)
		ok(pages_flag(p + SLOT, " hg"), "and what it grows by");
	else
		skip(1, "needs free addresses behind it");
	np_region_destroy(r);
	thp.pages = NP_PAGES_OFF;
	r = np_region_create(NULL, 0, &thp, &classes);
	ok(pages_flag((void *)r->base, " nh"), "or advised against");
	np_region_destroy(r);
}

/* Also of the pool's own data: 1000 failures would not fit unseen. */
static void test_no_leak(void)
{
	struct np_region *r = create(13, 11);
	size_t before = np_meta_mapped();
	bool refused = true;

	np_region_destroy(r);
	faultos_begin();
	for (int i = 0; i < 1000; i++) {
		faultos_fail(1, ENOMEM);
		refused = refused && !create(13, 11);
		faultos_fail(1, ENOMEM);
		refused = refused &&
			  !np_region_create_huge(&anywhere, page, SLOT);
	}
	faultos_end();
	ok(refused, "2000 times there is no memory");
	is_size(np_meta_mapped(), before, "which costs no metadata");
}

static void test_destroy_fails(void)
{
	struct np_region *r;
	uintptr_t base;
	char *p;

	faultos_begin();
	r = create(13, 11);
	base = r->base;
	p = (char *)base;
	p[5] = 'x';
	faultos_fail(1, ENOMEM);
	is_int(np_region_destroy(r), ENOMEM,
	       "a region that the kernel will not unmap is ENOMEM");
	ok(!find(base) && !find(base + SLOT - 1), "but nobody's any more");
	is_int(p[5], 0, "and its memory is given back");
	is_size(faultos_mapped(), SLOT, "the address space is lost");
	faultos_end();
	np_os_release(p, SLOT);
}

/* --- the order of calls ----------------------------------------------- */

static char calls[8];

static void *noting_mmap(void *addr, size_t size, int prot, int flags, int fd,
			 off_t offset)
{
	strncat(calls, prot == PROT_NONE ? "r" : "R", sizeof calls - 1 -
		strlen(calls));
	return np_os_linux.mmap(addr, size, prot, flags, fd, offset);
}

static int noting_mbind(void *addr, size_t size, int mode,
			const unsigned long *mask, unsigned long maxnode,
			unsigned flags)
{
	strncat(calls, "b", sizeof calls - 1 - strlen(calls));
	return np_os_linux.mbind(addr, size, mode, mask, maxnode, flags);
}

static int noting_mprotect(void *addr, size_t size, int prot)
{
	strncat(calls, "c", sizeof calls - 1 - strlen(calls));
	return np_os_linux.mprotect(addr, size, prot);
}

/* So that mlockall(MCL_FUTURE) populates nothing before its policy stands. */
static void test_order(void)
{
	struct np_os noting = np_os_linux;
	struct np_region *r = create(13, 11);

	np_region_destroy(r);
	noting.mmap = noting_mmap;
	noting.mbind = noting_mbind;
	noting.mprotect = noting_mprotect;
	np_os = &noting;
	r = np_region_create_huge(&bound, page, SLOT);
	np_os = &np_os_linux;
	ok(r && strstr(calls, "rbc") && !strchr(calls, 'R'),
	   "memory is reserved, bound and only then committed: %s", calls);
	np_region_destroy(r);
}

/* --- fork ------------------------------------------------------------- */

static void test_fork(void)
{
	struct np_region *r;

	np_map_lock();
	np_lock_forking(true);
	r = create(13, 11);
	ok(r && is_found(r), "the thread that forks can make a region");
	np_lock_forking(false);
	np_map_unlock();
	is_int(np_region_destroy(r), 0, "and give it back afterwards");
}

/* --- threads ---------------------------------------------------------- */

#define NTHREADS 2
#define NROUNDS 400

static struct np_region *steady;
static pthread_barrier_t start;
static atomic_bool over;
static atomic_ulong nmissed, nwrong;

/* Makes and destroys regions, which only it may find. */
static void *come_and_go(void *arg)
{
	uintptr_t made = 0;

	pthread_barrier_wait(&start);
	for (int i = 0; i < NROUNDS; i++) {
		struct np_region *r = i % 2
			? np_region_create_huge(&anywhere, page, SLOT)
			: np_region_create(NULL, 0, &anywhere, &classes);

		if (!r)
			break;
		if (!is_found(r))
			atomic_fetch_add(&nwrong, 1);
		made += np_region_destroy(r) == 0;
	}
	(void)arg;
	return (void *)made;
}

/* Looks up a region that stays and addresses round it until it is over. */
static void *look(void *arg)
{
	uintptr_t looks = 0;

	pthread_barrier_wait(&start);
	while (!atomic_load(&over) || !looks)
		for (uintptr_t i = 0; i < 64; i++, looks++) {
			uintptr_t at = steady->base + (i - 32) * SLOT;

			if ((find(at) == steady) != (i == 32))
				atomic_fetch_add(&nwrong, 1);
			if (!find(steady->base + looks % SLOT))
				atomic_fetch_add(&nmissed, 1);
		}
	(void)arg;
	return (void *)looks;
}

static void test_threads(void)
{
	pthread_t makers[NTHREADS], lookers[NTHREADS];
	uintptr_t made = 0, looks = 0;
	void *result;

	steady = create(13, 11);
	pthread_barrier_init(&start, NULL, 2 * NTHREADS);
	for (int i = 0; i < NTHREADS; i++)
		if (pthread_create(&makers[i], NULL, come_and_go, NULL) ||
		    pthread_create(&lookers[i], NULL, look, NULL))
			bail_out("no thread");
	for (int i = 0; i < NTHREADS; i++) {
		pthread_join(makers[i], &result);
		made += (uintptr_t)result;
	}
	atomic_store(&over, true);
	for (int i = 0; i < NTHREADS; i++) {
		pthread_join(lookers[i], &result);
		looks += (uintptr_t)result;
	}
	is_uint(made, NTHREADS * NROUNDS, "%d threads make and destroy %d "
		"regions each", NTHREADS, NROUNDS);
	ok(looks > 0, "others look meanwhile");
	is_uint(nwrong, 0, "nobody finds what is not his");
	is_uint(nmissed, 0, "nobody misses what stays");
	np_region_destroy(steady);
}

/* --- little address space --------------------------------------------- */

/* Leaves the process so many bytes more. */
static void leave(size_t size)
{
	FILE *statm = fopen("/proc/self/statm", "r");
	unsigned long npages = 0;
	struct rlimit limit;

	if (!statm || fscanf(statm, "%lu", &npages) != 1)
		_exit(90);
	fclose(statm);
	limit.rlim_cur = limit.rlim_max = npages * page + size;
	if (setrlimit(RLIMIT_AS, &limit))
		_exit(91);
}

#define expect(claim)                                  \
	do {                                           \
		if (!(claim)) {                        \
			fprintf(stderr, "%s\n", #claim); \
			_exit(1);                      \
		}                                      \
	} while (0)

static void use_small_table(void *arg)
{
	struct np_region *r;
	uintptr_t base;

	(void)arg;
	leave(40 * NP_MIB);
	expect(np_map_init() == 0);
	expect(np_map.nslots && np_map.nslots * sizeof(void *) < FULL_TABLE);
	expect(!np_map.npages);
	r = create(13, 11);
	expect(r);
	expect(is_found(r));
	expect(!find(0) && !find((uintptr_t)1 << 47) && !find(UINTPTR_MAX));
	expect(!find((np_map.first + np_map.nslots) << NP_SLOT_SHIFT));
	base = r->base;
	expect(np_region_destroy(r) == 0 && !find(base));
	faultos_begin();
	faultos.hint = (void *)((uintptr_t)1 << 36);
	errno = 0;
	r = create(13, 11);
	expect(!r && errno == ENOMEM);
	expect(faultos_mapped() == 0 && !find((uintptr_t)1 << 36));
	faultos.hint = NULL;
	r = create(13, 11);
	expect(r && is_found(r));
}

/* What fits need not be used up by the table alone. */
static void use_modest_table(void *arg)
{
	(void)arg;
	leave(500 * NP_MIB);
	expect(np_map_init() == 0);
	expect(np_map.nslots * sizeof(void *) < FULL_TABLE / 8);
	expect(np_map.npages && np_map.npages * sizeof(uint32_t) < NP_MIB);
	expect(create(13, 11)->known);
}

static void use_no_table(void *arg)
{
	(void)arg;
	leave(0);
	expect(np_map_init() == ENOMEM);
	expect(np_map.nslots == 0 && !find((uintptr_t)&page));
}

static void test_small(void)
{
	struct child c;

	if (SANITIZED) {
		skip(3, "needs a program without sanitizers");
		return;
	}
	c = child_run(use_small_table, NULL);
	if (!ok(child_exited(&c, 0), "under RLIMIT_AS a small table serves "
		"its neighbourhood and refuses the rest"))
		diag("%s", c.text);
	c = child_run(use_modest_table, NULL);
	if (!ok(child_exited(&c, 0), "so it does where the large one would "
		"take a good part of the room"))
		diag("%s", c.text);
	c = child_run(use_no_table, NULL);
	if (!ok(child_exited(&c, 0), "without room for any there is ENOMEM, "
		"and nothing is ours"))
		diag("%s", c.text);
}

int main(void)
{
	plan(3 + 1 + 1 + 5 * 7 + 3 + 5 + 1 + 4 * 8 + 13 + 3 + 4 + 2 * 4 + 9 + 3 +
	     4 + 2 + 4 + 1 + 2 + 4 + 1);
	page = np_os_page_size();
	scratch = memfd_create("scratch", 0);
	np_meta_init(NULL);
	test_small();
	test_foreign("before there is a map");
	is_int(np_map_init(), 0, "the map is made");
	test_region(13, 11);
	test_region(12, 8);
	test_region(12, 0);
	test_region(14, 11);
	test_region(16, 14);
	test_owner();
	test_known();
	test_several();
	test_huge(page, SLOT);
	test_huge(SLOT, SLOT);
	test_huge(SLOT + page, 4 * SLOT);
	test_huge(7 * SLOT - page, 64 * SLOT);
	test_resize();
	test_neighbours();
	test_too_huge();
	test_faults();
	test_hugetlb();
	test_hugetlb_fails();
	test_advised();
	test_no_leak();
	test_destroy_fails();
	test_order();
	test_fork();
	test_threads();
	test_foreign("after all that");
	return done();
}
