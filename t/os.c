/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * os: what each call promises, seen through the kernel, and what becomes of
 * it when the kernel says no.
 */
#include "child.h"
#include "fakenodes.h"
#include "faultos.h"
#include "os.h"
#include "pages.h"
#include "tap.h"

#include <linux/membarrier.h>
#include <sched.h> /* sched_setaffinity */
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif

#define GIB ((size_t)1 << 30)
#define ANONYMOUS (MAP_PRIVATE | MAP_ANONYMOUS)

static size_t page;
static int scratch; /* a file that the kernel copies from and to */

/* For kernels that are made up of little. */
static size_t same_page(void)
{
	return page;
}

/* Can this byte be read, and can it be written? The kernel tries. */
static bool readable(const char *p)
{
	return pwrite(scratch, p, 1, 0) == 1;
}

static bool writable(char *p)
{
	return pwrite(scratch, "", 1, 0) == 1 && pread(scratch, p, 1, 0) == 1;
}

static bool is_filled(const char *p, size_t size, char with)
{
	for (size_t i = 0; i < size; i++)
		if (p[i] != with)
			return false;
	return true;
}

static char *committed(size_t size)
{
	char *p = np_os_reserve(size, page);

	if (!p || np_os_commit(p, size))
		bail_out("no memory");
	return p;
}

/* --- reserve, commit, release ----------------------------------------- */

static bool reserves(size_t size, size_t align)
{
	char *p = np_os_reserve(size, align);
	bool good = p && (uintptr_t)p % align == 0 &&
		    faultos_mapped() == size && !readable(p) &&
		    !readable(p + size - 1);

	if (!good)
		diag("%zu bytes at %zu", size, align);
	return p && np_os_release(p, size) == 0 && faultos_mapped() == 0 &&
	       good;
}

static void test_reserve(void)
{
	bool good = true;

	faultos_begin();
	for (size_t align = page; align <= GIB; align *= 2) {
		good = good && reserves(page, align) &&
		       reserves(3 * page, align) &&
		       reserves(16 * page, align) &&
		       reserves(NP_SLOT_SIZE, align) &&
		       reserves(5 * NP_SLOT_SIZE, align);
	}
	faultos_end();
	ok(good, "any size at any alignment up to 1 GiB is reserved, without "
	   "access, and not a page more");
}

static void test_commit(void)
{
	char *p = np_os_reserve(4 * page, page);

	is_int(np_os_commit(p + page, 2 * page), 0, "a part is committed");
	ok(!readable(p) && !readable(p + 3 * page),
	   "what is beside it has no access");
	ok(is_filled(p + page, 2 * page, 0), "it reads as zero");
	ok(writable(p + page) && writable(p + 3 * page - 1),
	   "it can be written");
	is_int(np_os_release(p, 4 * page), 0, "it is released");
	ok(!readable(p + page), "and gone");
	is_int(np_os_commit(p, page), ENOMEM, "commit of nothing is ENOMEM");
	is_int(np_os_release(p + 1, page), EINVAL, "release of half a page is "
	       "EINVAL");
}

/* --- failures --------------------------------------------------------- */

/* Address space that is never free just where somebody wants it. */
static void *crowded_mmap(void *addr, size_t size, int prot, int flags, int fd,
			  off_t offset)
{
	if (addr) {
		errno = EEXIST;
		return MAP_FAILED;
	}
	return faultos_mmap(addr, size, prot, flags, fd, offset);
}

/* Makes each call of a reserve in turn fail. Returns how many it takes. */
static unsigned reserve_fails(const struct np_os *os, bool *refused,
			      bool *kept)
{
	size_t size = NP_SLOT_SIZE, left;
	unsigned n;
	char *p;

	*refused = *kept = true;
	faultos_begin();
	np_os = os;
	for (n = 1; faultos_fail(n, ENOMEM), errno = 0,
	     p = np_os_reserve(size, GIB), faultos_failed(); n++) {
		left = faultos_mapped() - (p ? size : 0);
		if (faultos_failed() == FAULTOS_MUNMAP)
			*kept = *kept && left > 0;
		else
			*refused = *refused && left == 0 &&
				   (p || errno == ENOMEM);
		*kept = *kept && (uintptr_t)p % GIB == 0;
		faultos_fail(0, 0);
		*kept = *kept && (!p || np_os_release(p, size) == 0);
		atomic_store(&faultos.mapped, 0);
	}
	faultos_fail(0, 0);
	*refused = *refused && faultos_mapped() == size;
	np_os_release(p, size);
	faultos_end();
	return n - 1;
}

static void test_reserve_fails(void)
{
	struct np_os crowded = faultos_table;
	bool refused, kept;
	unsigned n;
	void *p;

	n = reserve_fails(&faultos_table, &refused, &kept);
	ok(n >= 3, "an alignment of 1 GiB takes several calls: %u", n);
	ok(refused, "when mmap fails it is ENOMEM, or done otherwise, and "
	   "nothing stays mapped");
	ok(kept, "when munmap fails only that range stays");
	crowded.mmap = crowded_mmap;
	n = reserve_fails(&crowded, &refused, &kept);
	ok(n >= 4, "more calls where the next place is taken: %u", n);
	ok(refused, "when mmap fails there it is the same");
	ok(kept, "and when munmap does");
	np_os = &crowded;
	errno = ERANGE;
	p = np_os_reserve(page, GIB);
	np_os = &np_os_linux;
	ok(p && errno == ERANGE, "what fails on the way leaves errno alone");
	np_os_release(p, page);
}

static void test_reserve_at(void)
{
	char *p = np_os_reserve(4 * page, page);

	np_os_release(p + page, 2 * page);
	ok(np_os_reserve_at(p + page, 2 * page), "a free range is reserved");
	ok(!readable(p + page), "without access");
	ok(!np_os_reserve_at(p + page, page), "a taken one is not");
	np_os_release(p + page, page);
	ok(!np_os_reserve_at(p + page, 2 * page), "nor one half taken");
	ok(np_os_reserve_at(p + page, page), "the free half is");
	faultos_begin();
	ok(!np_os_reserve_at(p, page) && faultos_mapped() == 0,
	   "a refusal maps nothing");
	faultos_end();
	np_os_release(p, 4 * page);
}

static void test_errors(void)
{
	char *p = committed(page);

	faultos_begin();
	faultos_fail(1, EAGAIN);
	errno = 0;
	ok(!np_os_reserve(page, page), "too much locked memory fails");
	is_int(errno, ENOMEM, "as ENOMEM too");
	faultos_fail(1, EACCES);
	is_int(np_os_commit(p, page), EACCES, "a refused mprotect's errno");
	faultos_fail(1, ENOMEM);
	is_int(np_os_release(p, page), ENOMEM, "a refused munmap's errno");
	faultos_fail(1, EFAULT);
	is_int(np_os_populate(p, page), EFAULT, "a refused madvise's errno");
	faultos_fail(1, EPERM);
	is_int(np_os_bind(p, page, 0), EPERM, "a refused mbind's errno");
	faultos_fail(1, EPERM);
	is_int(np_os_lock(p, page), EPERM, "a refused mlock's errno");
	faultos_fail(1, EPERM);
	ok(!np_os_barrier_init(), "a refused membarrier is told");
	faultos_fail(1, ENOSYS);
	is_uint(np_os_cpu(), 0, "without getcpu the CPU is 0");
	faultos_fail(1, ENOSYS);
	is_int(np_os_node(), -1, "and its node is not known");
	faultos_fail(1, ENODEV);
	ok(!np_os_map_file(scratch, page) && errno == ENODEV,
	   "a file that cannot be mapped is NULL with its errno");
	faultos_end();
	ok(!np_os_map_file(-1, page) && errno == EBADF,
	   "no file is NULL with EBADF");
	np_os_release(p, page);
}

/* A kernel with address space for any size, which is never aligned, nor where
 * it was asked for. */
static int nmapped, nreleased;

static void *odd_mmap(void *addr, size_t size, int prot, int flags, int fd,
		      off_t offset)
{
	(void)addr, (void)size, (void)prot, (void)flags, (void)fd;
	(void)offset;
	nmapped++;
	return (void *)page;
}

static int odd_munmap(void *addr, size_t size)
{
	nreleased += addr == (void *)page && size;
	return 0;
}

static void test_overflow(void)
{
	static const struct np_os odd = { .page_size = same_page,
					  .mmap = odd_mmap,
					  .munmap = odd_munmap };
	size_t size = SIZE_MAX & ~(page - 1);

	errno = 0;
	ok(!np_os_reserve(size, page) && errno == ENOMEM,
	   "nobody has all there is: ENOMEM");
	np_os = &odd;
	errno = 0;
	ok(!np_os_reserve(size, GIB), "a sum of size and align that overflows");
	np_os = &np_os_linux;
	is_int(errno, ENOMEM, "is ENOMEM");
	ok(nmapped > 0 && nreleased == nmapped, "and what was tried is "
	   "released: %d of %d", nreleased, nmapped);
	np_os = &odd;
	nmapped = nreleased = 0;
	ok(!np_os_reserve_at((void *)GIB, page) && nreleased == nmapped,
	   "nor is a place kept that nobody asked for");
	np_os = &np_os_linux;
}

/* --- bind ------------------------------------------------------------- */

static struct {
	unsigned calls;
	void *addr;
	size_t size;
	int mode;
	unsigned flags;
	unsigned long maxnode, mask[NP_MAX_NODES / 64];
} bound;

static int recording_mbind(void *addr, size_t size, int mode,
			   const unsigned long *mask, unsigned long maxnode,
			   unsigned flags)
{
	bound.calls++;
	bound.addr = addr;
	bound.size = size;
	bound.mode = mode;
	bound.maxnode = maxnode;
	bound.flags = flags;
	memcpy(bound.mask, mask, sizeof bound.mask);
	return 0;
}

static bool only_bit(unsigned node)
{
	for (unsigned i = 0; i < NP_MAX_NODES; i++)
		if ((bound.mask[i / 64] >> i % 64 & 1) != (i == node))
			return false;
	return true;
}

static void test_bind(void)
{
	static const int nodes[] = { 0, 1, 63, 64, NP_MAX_NODES - 1 };
	static const struct np_os recording = { .mbind = recording_mbind };
	char *p = np_os_reserve(page, page);
	int error = np_os_bind(p, page, 0);

	ok(!error || error == EPERM || error == ENOSYS,
	   "the kernel takes a preference for node 0, or denies it: %d",
	   error);
	np_os = &recording;
	is_int(np_os_bind(p, page, -1), 0, "no node, no preference");
	is_int(np_os_bind(p, page, NP_MAX_NODES), EINVAL,
	       "a node that no kernel has is EINVAL");
	is_uint(bound.calls, 0, "in both cases nothing is called");
	for (size_t i = 0; i < sizeof nodes / sizeof *nodes; i++) {
		is_int(np_os_bind(p, page, nodes[i]), 0, "node %d", nodes[i]);
		ok(only_bit((unsigned)nodes[i]),
		   "its bit and no other is in the mask");
	}
	np_os = &np_os_linux;
	ok(bound.addr == p && bound.size == page && bound.mode == 1 &&
	   bound.flags == 0, "preferred, for the whole range, moving nothing");
	is_uint(bound.maxnode, NP_MAX_NODES + 1,
		"maxnode says one more than the mask has, as the kernel wants");
	np_os_release(p, page);
}

static bool same_nodes(const struct np_os_nodes *nodes)
{
	return !memcmp(bound.mask, nodes->word, sizeof bound.mask);
}

/* Each set is a pool's own. */
static void test_interleave(void)
{
	static const struct np_os recording = { .mbind = recording_mbind };
	static const unsigned last = NP_MAX_POOLS - 1;
	struct np_os_nodes some = { { 0 } }, others = { { 0 } };
	char *p = np_os_reserve(page, page);

	np_os_nodes_add(&some, 0);
	np_os_nodes_add(&some, 63);
	np_os_nodes_add(&some, 64);
	np_os_nodes_add(&others, NP_MAX_NODES - 1);
	is_hex(some.word[0], 1ul << 63 | 1, "nodes 0 and 63 are in one word");
	is_hex(some.word[1], 1, "node 64 is in the next");
	np_os_interleave(0, &some);
	np_os_interleave(last, &others);
	np_os = &recording;
	is_int(np_os_bind(p, page, NP_INTERLEAVED(0)), 0, "the first set");
	ok(bound.mode == 3 && same_nodes(&some),
	   "is interleaved over its nodes");
	is_int(np_os_bind(p, page, NP_INTERLEAVED(last)), 0, "the last");
	ok(bound.mode == 3 && same_nodes(&others), "over its own");
	is_int(np_os_bind(p, page, 63), 0, "after them, one node");
	ok(bound.mode == 1 && only_bit(63), "is preferred as before");
	np_os_interleave(0, &others);
	np_os_bind(p, page, NP_INTERLEAVED(0));
	ok(same_nodes(&others), "a set may be named anew, for the next pool");
	np_os = &np_os_linux;
	np_os_release(p, page);
}

static void test_bind_only(void)
{
	static const struct np_os recording = { .mbind = recording_mbind };
	struct np_os_nodes some = { { 0 } };
	char *p = np_os_reserve(page, page);

	np_os = &recording;
	bound.calls = 0;
	is_int(np_os_bind_only(p, page, NP_ANYWHERE), 0, "only anywhere");
	is_uint(bound.calls, 0, "needs no call");
	is_int(np_os_bind_only(p, page, 64), 0, "only one node");
	ok(bound.mode == 2 && only_bit(64), "is a strict policy");
	np_os_nodes_add(&some, 1);
	np_os_interleave(0, &some);
	np_os_bind_only(p, page, NP_INTERLEAVED(0));
	ok(bound.mode == 3 && same_nodes(&some), "a set is interleaved");
	np_os = &np_os_linux;
	np_os_release(p, page);
}

/* --- huge pages ------------------------------------------------------- */

static void test_advise(void)
{
	char *p = committed(NP_HUGE_PAGE);

	faultos_begin();
	is_int(np_os_advise(p, NP_HUGE_PAGE, NP_PAGES_DEFAULT), 0,
	       "nothing is wanted of huge pages");
	is_uint(faultos_count(FAULTOS_MADVISE), 0, "and nothing is said");
	faultos_fail(1, EINVAL);
	is_int(np_os_advise(p, NP_HUGE_PAGE, NP_PAGES_THP), EINVAL,
	       "a kernel without them says so");
	faultos_end();
	if (np_os_advise(p, NP_HUGE_PAGE, NP_PAGES_THP) == EINVAL) {
		skip(4, "needs a kernel with transparent huge pages");
	} else {
		ok(pages_flag(p, " hg"), "transparent ones are advised");
		is_int(np_os_advise(p, NP_HUGE_PAGE, NP_PAGES_OFF), 0,
		       "or advised against");
		ok(pages_flag(p, " nh") && !pages_flag(p, " hg"),
		   "one or the other");
		np_os_advise(p, NP_HUGE_PAGE, NP_PAGES_HUGETLB);
		ok(pages_flag(p, " hg"), "where a reserve has none they are "
		   "transparent");
	}
	np_os_release(p, NP_HUGE_PAGE);
}

static int mmap_flags;

static void *recording_mmap(void *addr, size_t size, int prot, int flags,
			    int fd, off_t offset)
{
	mmap_flags = flags;
	return faultos_mmap(addr, size, prot, flags, fd, offset);
}

/* Ordinary pages stand for huge ones: who has the latter? */
static void test_reserve_hugetlb(void)
{
	struct np_os recording = faultos_table;
	size_t size = 3 * NP_HUGE_PAGE;
	unsigned n;
	char *p;

	faultos_begin();
	recording.mmap = recording_mmap;
	np_os = &recording;
	ok(!np_os_reserve_hugetlb(size, GIB) && !faultos_mapped(),
	   "what a reserve does not have is not mapped");
	ok(mmap_flags & MAP_HUGETLB && (mmap_flags >> 26 & 0x3f) == 21,
	   "it was asked for pages of 2 MiB");
	faultos.hugetlb = true;
	for (n = 1; faultos_fail(n, ENOMEM),
	     p = np_os_reserve_hugetlb(size, GIB), faultos_failed(); n++) {
		faultos_fail(0, 0);
		if (p)
			np_os_release(p, size);
	}
	ok(n >= 4, "it takes %u calls", n - 1);
	ok(p && !((uintptr_t)p & (GIB - 1)) && !readable(p),
	   "it is aligned, without access");
	np_os_release(p, size);
	faultos_end();
}

/* Each call in turn fails: there are the old contents, or zeroes. */
static void test_replace(void)
{
	size_t size = 2 * NP_HUGE_PAGE;
	char *p = committed(size);
	unsigned n, refused = 0;
	bool kept = true;
	int error;

	memset(p, 'x', size);
	faultos_begin();
	for (n = 1; faultos_fail(n, ENOMEM),
	     error = np_os_replace_hugetlb(p + NP_HUGE_PAGE, NP_HUGE_PAGE, 0),
	     faultos_failed(); n++) {
		refused += error != 0;
		kept = kept && is_filled(p + NP_HUGE_PAGE, NP_HUGE_PAGE,
					 error ? 'x' : 0);
		memset(p + NP_HUGE_PAGE, 'x', NP_HUGE_PAGE);
	}
	ok(refused >= 3, "without mmap, mprotect or mremap nothing is replaced");
	ok(kept, "what is refused changes nothing");
	faultos_fail(0, 0);
	ok(!error && is_filled(p + NP_HUGE_PAGE, NP_HUGE_PAGE, 0),
	   "what is replaced reads as zero");
	ok(is_filled(p, NP_HUGE_PAGE, 'x'), "and what is beside it as before");
	faultos_end();
	np_os_release(p, size);
}

/* A mremap that unmaps its target, and fails then. */
static void *clumsy_mremap(void *addr, size_t old_size, size_t new_size,
			   int flags, void *new_addr)
{
	(void)addr, (void)old_size, (void)flags;
	munmap(new_addr, new_size);
	errno = ENOMEM;
	return MAP_FAILED;
}

static void test_restore(void)
{
	struct np_os clumsy = np_os_linux;
	char *p = committed(NP_HUGE_PAGE);

	ok(np_os_restore(p, NP_HUGE_PAGE, 0, NP_PAGES_DEFAULT),
	   "what is there needs no restoring");
	clumsy.mremap = clumsy_mremap;
	np_os = &clumsy;
	is_int(np_os_replace_hugetlb(p, NP_HUGE_PAGE, 0), ENOMEM,
	       "a replacement fails and leaves a hole");
	np_os = &np_os_linux;
	ok(is_filled(p, NP_HUGE_PAGE, 0) && writable(p), "which is filled");
	np_os_release(p, NP_HUGE_PAGE);
}

/* --- purge and populate ----------------------------------------------- */

static void test_purge(void)
{
	char *p = committed(4 * page);

	memset(p, 'x', 4 * page);
	is_int(np_os_purge(p + page, 2 * page), 0, "two pages are purged");
	ok(is_filled(p + page, 2 * page, 0), "they read as zero");
	ok(is_filled(p, page, 'x') && is_filled(p + 3 * page, page, 'x'),
	   "their neighbours are as before");
	memset(p + page, 'y', page);
	ok(is_filled(p + page, page, 'y'), "they can be used again");
	np_os_release(p, 4 * page);
}

static void test_purge_locked(void)
{
	char *p = committed(page);
	int error;

	memset(p, 'x', page);
	/* Not mlock(): sanitizers make it do nothing. */
	if (syscall(SYS_mlock, p, page)) {
		skip(2, "needs a page of RLIMIT_MEMLOCK");
	} else if ((error = np_os_purge(p, page)) == EINVAL) {
		skip(2, "needs Linux 5.18");
	} else {
		is_int(error, 0, "a locked page is purged");
		ok(is_filled(p, page, 0), "it reads as zero");
	}
	np_os_release(p, page);
}

static int advices[4], nadvices, advice_error;

static int refusing_madvise(void *addr, size_t size, int advice)
{
	(void)addr, (void)size;
	if (nadvices < 4)
		advices[nadvices++] = advice;
	errno = advice_error;
	return -1;
}

static void test_purge_advice(void)
{
	static const struct np_os refusing = { .madvise = refusing_madvise,
					       .page_size = same_page };
	char *p = committed(page);

	np_os = &refusing;
	advice_error = EINVAL;
	is_int(np_os_purge(p, page), EINVAL, "a purge refused twice is EINVAL");
	ok(nadvices == 2 && advices[0] == MADV_DONTNEED &&
	   advices[1] == MADV_DONTNEED_LOCKED,
	   "the advice for locked pages is tried second");
	nadvices = 0;
	advice_error = ENOMEM;
	is_int(np_os_purge(p, page), ENOMEM, "another error is returned");
	is_int(nadvices, 1, "at once");
	np_os = &np_os_linux;
	np_os_release(p, page);
}

static void test_populate(void)
{
	unsigned char resident[8] = { 0 };
	char *p = committed(8 * page);
	int error = np_os_populate(p, 8 * page);
	unsigned n = 0;

	if (error == EINVAL) {
		skip(2, "needs Linux 5.14");
	} else {
		is_int(error, 0, "8 pages are populated");
		mincore(p, 8 * page, resident);
		for (int i = 0; i < 8; i++)
			n += resident[i] & 1;
		is_uint(n, 8, "and in memory before anyone touches them");
	}
	np_os_release(p, 8 * page);
}

/* --- where pages are -------------------------------------------------- */

#define NLOOKED 600 /* more than are asked about at once */

/* Pages of which each fifth is not in memory and each third is on node 1. */
static char *scattered(size_t *npresent, size_t *naway)
{
	char *p = committed(NLOOKED * page);

	fakenodes_begin(p, NLOOKED * page);
	*npresent = *naway = 0;
	for (size_t i = 0; i < NLOOKED; i++) {
		if (i % 3 == 0)
			fakenodes_spill(p + i * page, page, true);
		if (i % 5 == 0)
			continue;
		memset(p + i * page, (int)i, page);
		++*npresent;
		*naway += i % 3 == 0;
	}
	return p;
}

static bool holds_what_it_did(const char *p)
{
	for (size_t i = 0; i < NLOOKED; i++)
		if (i % 5 && !is_filled(p + i * page, page, (char)i))
			return false;
	return true;
}

static void end_scattered(char *p)
{
	fakenodes_end();
	np_os_release(p, NLOOKED * page);
}

static void test_look(void)
{
	struct np_os_pages pages = { 0 };
	size_t npresent, naway;
	char *p = scattered(&npresent, &naway);

	is_int(np_os_look(p, NLOOKED * page, page, 0, &pages), 0,
	       "the kernel tells where pages are");
	is_size(pages.seen, npresent * page, "so much is in memory");
	is_size(pages.away, naway * page, "so much of it on the other node");
	np_os_look(p, NLOOKED * page, page, 1, &pages);
	is_size(pages.away, npresent * page,
		"another look is added: now the others are away");
	pages = (struct np_os_pages){ 0 };
	np_os_look(p, NLOOKED * page, 30 * page, 0, &pages);
	is_size(pages.seen, 0, "each thirtieth page is not in memory");
	np_os_look(p + 3 * page, 9 * page, 3 * page, 0, &pages);
	is_size(pages.away, 3 * page, "a look at each third page");
	is_uint(fakenodes.moves, 0, "looking moves nothing");
	faultos_fail(2, EPERM);
	is_int(np_os_look(p, NLOOKED * page, page, 0, &pages), EPERM,
	       "a refusal in between is returned");
	end_scattered(p);
}

static void test_fetch(void)
{
	struct np_os_pages pages = { 0 };
	size_t npresent, naway, size = NLOOKED * page;
	char *p = scattered(&npresent, &naway);

	fakenodes.room = naway - 5;
	is_int(np_os_fetch(p, size, 0, &pages), ENOMEM,
	       "there is room for all but 5 pages");
	is_size(pages.moved, (naway - 5) * page, "the others were moved");
	is_size(pages.away, 5 * page, "5 are away");
	is_size(pages.seen, npresent * page, "of those in memory");
	is_size(fakenodes_away(p, size), 5 * page, "which is true");
	fakenodes.room = 5;
	fakenodes.busy = true;
	pages = (struct np_os_pages){ 0 };
	is_int(np_os_fetch(p, size, 0, &pages), EBUSY,
	       "pages that are in use stay");
	is_size(pages.away, 5 * page, "and are counted");
	fakenodes.busy = false;
	pages = (struct np_os_pages){ 0 };
	is_int(np_os_fetch(p, size, 0, &pages), 0, "then all are home");
	ok(pages.moved == 5 * page && !pages.away, "the last 5 were moved");
	fakenodes.moves = 0;
	is_int(np_os_fetch(p, size, 0, &pages), 0, "and again");
	is_uint(fakenodes.moves, 0, "nothing is moved then");
	ok(holds_what_it_did(p), "the pages hold what they did");
	end_scattered(p);
}

/* Whichever call is refused, what is said is true, or nothing is. */
static void test_fetch_fails(void)
{
	bool good = true, done = false;

	for (unsigned n = 1; good && !done; n++) {
		struct np_os_pages pages = { 0 };
		size_t npresent, naway, size = NLOOKED * page;
		char *p = scattered(&npresent, &naway);
		int error;

		faultos_fail(n, EPERM);
		error = np_os_fetch(p, size, 0, &pages);
		done = !faultos_failed();
		good = done ? !error && !pages.away
			    : error == EPERM && pages.seen <= npresent * page &&
			      pages.moved <= naway * page;
		end_scattered(p);
	}
	ok(good, "move_pages is refused at each of its calls");
}

static void test_place(void)
{
	size_t size = 10 * page;
	char *p = committed(size);

	fakenodes_begin(p, size);
	p[0] = 'a';
	p[5 * page - 1] = 'b';
	fakenodes_spill(p, size, true);
	is_int(np_os_place(p + 100, 5 * page - 101, 0), 0,
	       "a range that begins and ends within pages");
	ok(p[0] == 'a' && p[5 * page - 1] == 'b',
	   "what its pages hold beside it stays");
	is_size(fakenodes_away(p, size), 0, "all that is in memory is home");
	is_int(fakenodes_node(p + 4 * page), 0, "its last page is there");
	is_int(fakenodes_node(p + 5 * page), -ENOENT, "the next one is not");
	fakenodes.room = 2;
	is_int(np_os_place(p, size, 0), ENOMEM, "there is room for two more");
	faultos_fail(1, EINVAL);
	is_int(np_os_warm(p, size), 0, "a kernel that knows no populating");
	ok(p[0] == 'a' && fakenodes_node(p + size - page) >= 0,
	   "has its pages touched, and they keep what they hold");
	faultos_fail(1, ENOMEM);
	is_int(np_os_place(p, size, 0), ENOMEM, "no memory for it");
	fakenodes_end();
	np_os_release(p, size);
}

static void test_lock(void)
{
	char *p = committed(4 * page);
	int error = np_os_lock(p + page, page);

	if (error == ENOMEM || error == EPERM) {
		skip(2, "needs a page of RLIMIT_MEMLOCK");
	} else {
		is_int(error, 0, "a page is locked");
		ok(pages_flag(p + page, " lo") && !pages_flag(p, " lo"),
		   "it and no other");
	}
	np_os_release(p, 4 * page);
	is_int(np_os_lock(p, page), ENOMEM, "lock of nothing is ENOMEM");
}

static void lock_without_leave(void *arg)
{
	struct rlimit none = { 0, 0 };
	int error;

	if (setrlimit(RLIMIT_MEMLOCK, &none) ||
	    (geteuid() == 0 && setresuid(65534, 65534, 65534)))
		_exit(2);
	error = np_os_lock(arg, page);
	_exit(error == EPERM || error == ENOMEM ? 0 : 1);
}

static void test_lock_refused(void)
{
	char *p = committed(page);
	struct child c = child_run(lock_without_leave, p);

	if (child_exited(&c, 2))
		skip(1, "needs a limit of locked memory");
	else
		ok(child_exited(&c, 0), "nothing is locked where nothing may "
		   "be");
	np_os_release(p, page);
}

/* --- barriers --------------------------------------------------------- */

static int commands[4], ncommands;

static int recording_membarrier(int command, unsigned flags)
{
	if (ncommands < 4)
		commands[ncommands++] = flags ? -1 : command;
	return 0;
}

/* That threads of the process do stop for it, nobody can be made to show. */
static void test_barrier(void)
{
	static const struct np_os recording = {
		.membarrier = recording_membarrier,
	};
	const struct np_os *k = &np_os_linux;
	int can = k->membarrier(MEMBARRIER_CMD_QUERY, 0);
	int wanted = MEMBARRIER_CMD_PRIVATE_EXPEDITED |
		     MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED;

	if (can < 0 || (can & wanted) != wanted) {
		ok(!np_os_barrier_init(), "a kernel without barriers says so");
		skip(1, "needs membarrier");
	} else {
		ok(np_os_barrier_init() && np_os_barrier_init(),
		   "barriers are made ready, once or twice");
		is_int(k->membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0), 0,
		       "then the kernel makes them");
	}
	np_os = &recording;
	ok(np_os_barrier_init() && np_os_barrier(),
	   "a kernel that agrees is believed");
	np_os = &np_os_linux;
	is_int(ncommands, 2, "a system call for each");
	ok(commands[0] == MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED &&
	   commands[1] == MEMBARRIER_CMD_PRIVATE_EXPEDITED,
	   "first the process is registered, then its threads pass");
}

/* --- the rest --------------------------------------------------------- */

static void test_cpu(void)
{
	const volatile uint32_t *word = np_os_cpu_word();
	cpu_set_t mine, one;
	bool good = true, same = true;

	if (sched_getaffinity(0, sizeof mine, &mine)) {
		skip(2, "needs an affinity mask of at most 1024 CPUs");
		return;
	}
	for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &mine))
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		if (sched_setaffinity(0, sizeof one, &one))
			continue;
		good = good && np_os_cpu() == cpu;
		same = same && (!word || *word == cpu);
	}
	sched_setaffinity(0, sizeof mine, &mine);
	ok(good, "on each CPU that we may use, np_os_cpu names it");
	if (word)
		ok(same, "and so does the word that the kernel keeps");
	else
		skip(1, "needs glibc 2.35 and a kernel with rseq");
}

static uint64_t stopped_ms(void)
{
	return 42;
}

static void test_clock(void)
{
	struct np_os stopped = np_os_linux;

	uint64_t began = np_os_now_ms(), last = began, now = began;
	struct timespec rest = { 0, 60 * 1000 * 1000 };
	bool forward = true;

	for (int i = 0; i < 1000; i++, last = now) {
		now = np_os_now_ms();
		forward = forward && now >= last;
	}
	ok(forward, "the clock never goes back");
	while (nanosleep(&rest, &rest) && errno == EINTR)
		;
	now = np_os_now_ms() - began;
	ok(now >= 40 && now < 600 * 1000, "60 ms later it has gone on by some "
	   "60: %u", (unsigned)now);
	stopped.now_ms = stopped_ms;
	np_os = &stopped;
	is_uint(np_os_now_ms(), 42, "and it is the table's");
	np_os = &np_os_linux;
}

/* In a child: what is limited stays so. */
static void limit_addresses(void *arg)
{
	struct rlimit limit = { (rlim_t)1 << 45, (rlim_t)1 << 46 };

	(void)arg;
	if (setrlimit(RLIMIT_AS, &limit))
		_exit(2);
	_exit(np_os_address_limit() != (size_t)1 << 45);
}

static void test_limit(void)
{
	struct rlimit limit;
	struct child c;

	getrlimit(RLIMIT_AS, &limit);
	if (limit.rlim_max < (rlim_t)1 << 46) {
		skip(2, "needs an unlimited RLIMIT_AS");
		return;
	}
	c = child_run(limit_addresses, NULL);
	ok(child_exited(&c, 0), "the limit of addresses is told");
	if (limit.rlim_cur == RLIM_INFINITY)
		is_size(np_os_address_limit(), SIZE_MAX, "or that there is "
			"none");
	else
		skip(1, "needs an unlimited RLIMIT_AS");
}

static void test_file(void)
{
	int fd = memfd_create("npool test", 0);
	char *p = NULL, seen = 0;

	if (fd < 0 || ftruncate(fd, (off_t)(2 * page)))
		bail_out("no file");
	p = np_os_map_file(fd, 2 * page);
	ok(p, "a file is mapped");
	p[page] = 'm';
	ok(pread(fd, &seen, 1, (off_t)page) == 1 && seen == 'm',
	   "what is written there is in the file");
	ok(pwrite(fd, "f", 1, 3) == 1 && p[3] == 'f', "and the other way");
	np_os_release(p, 2 * page);
	close(fd);
}

/* Is there a line of /proc/self/maps that begins at p and ends in name? */
static bool is_named(const void *p, const char *name)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[512], start[32];
	bool found = false;

	snprintf(start, sizeof start, "%lx-", (unsigned long)p);
	while (maps && fgets(line, sizeof line, maps))
		found = found || (!strncmp(line, start, strlen(start)) &&
				  strstr(line, name));
	if (maps)
		fclose(maps);
	return found;
}

static char named[80];

static int recording_name(void *addr, size_t size, const char *name)
{
	(void)addr, (void)size;
	snprintf(named, sizeof named, "%s", name);
	errno = EINVAL;
	return -1;
}

static void test_name(void)
{
	static const struct np_os recording = { .name = recording_name };
	char *p = committed(page);

	np_os_label(p, page, "test", -1);
	if (np_os->name(p, page, "npool test"))
		skip(1, "needs CONFIG_ANON_VMA_NAME");
	else
		ok(is_named(p, "[anon:npool test]"), "a mapping bears a name");
	np_os = &recording;
	errno = E2BIG;
	np_os_label(p, page, "test", -1);
	is_str(named, "npool test", "the name says what it is for");
	np_os_label(p, page, "node", 12);
	is_str(named, "npool node12", "and of which node");
	is_int(errno, E2BIG, "a kernel that cannot does not touch errno");
	np_os = &np_os_linux;
	np_os_release(p, page);
}

#define FAILS(call, failure, error)                                \
	ok((errno = 0, (call) == (failure)) &&                     \
	   (errno == (error) || errno == EPERM || errno == ENOSYS), \
	   "%s fails with -1 and errno", #call)

/* Each entry of the table has the contract of its system call. */
static void test_table(void)
{
	const struct np_os *k = &np_os_linux;
	unsigned long mask[NP_MAX_NODES / 64] = { 0 };
	char *p = committed(2 * page);
	void *q = p;
	int status = -1;

	FAILS(k->mmap(NULL, 0, PROT_NONE, ANONYMOUS, -1, 0), MAP_FAILED,
	      EINVAL);
	FAILS(k->munmap(p + 1, page), -1, EINVAL);
	FAILS(k->mprotect(p + 1, page, PROT_NONE), -1, EINVAL);
	FAILS(k->madvise(p, page, 12345), -1, EINVAL);
	FAILS(k->mremap(p + 1, page, page, 0, NULL), MAP_FAILED, EINVAL);
	FAILS(k->mbind(p, page, 12345, mask, NP_MAX_NODES, 0), -1, EINVAL);
	FAILS(k->get_mempolicy(NULL, NULL, 0, NULL, 12345), -1, EINVAL);
	FAILS(k->move_pages(0, 1, &q, NULL, &status, 12345), -1, EINVAL);
	FAILS(k->mlock((void *)page, page), -1, ENOMEM);
	FAILS(k->membarrier(12345, 0), -1, EINVAL);
	*p = 'x';
	status = -1;
	ok(k->move_pages(0, 1, &q, NULL, &status, 0) ? errno == EPERM ||
	   errno == ENOSYS : status >= 0,
	   "move_pages tells the node of a touched page, or is denied: %d",
	   status);
	q = k->mremap(p, 2 * page, page, 0, NULL);
	ok(q == p && *p == 'x' && !readable(p + page),
	   "mremap shrinks in place");
	np_os_release(p, page);
}

int main(void)
{
	plan(165);
	page = np_os_page_size();
	scratch = memfd_create("scratch", 0);
	is_size(page, (size_t)sysconf(_SC_PAGESIZE), "the page size");
	test_reserve();
	test_commit();
	test_reserve_fails();
	test_reserve_at();
	test_errors();
	test_overflow();
	test_bind();
	test_interleave();
	test_bind_only();
	test_advise();
	test_reserve_hugetlb();
	test_replace();
	test_restore();
	test_purge();
	test_purge_locked();
	test_purge_advice();
	test_populate();
	test_look();
	test_fetch();
	test_fetch_fails();
	test_place();
	test_lock();
	test_lock_refused();
	test_barrier();
	test_cpu();
	test_clock();
	test_limit();
	test_file();
	test_name();
	test_table();
	return done();
}
