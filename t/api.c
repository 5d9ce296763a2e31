/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * api: every function of npool.h does what npool.h says: what it returns,
 * errno, its errors, at the edges of every class; and check:1 finds at the
 * call what else is found later. Only npool.h is used, but for one line that
 * says how large chunks are.
 */
#include "conf.h"
#include "figures.h"
#include "npool.h"
#include "rng.h"
#include "tap.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)
#define STRANGE 4242 /* an errno that nobody sets */

/* Sizes that the compiler shall not warn about. */
static volatile size_t too_much = (size_t)PTRDIFF_MAX + 1;
static volatile size_t all_there_is = SIZE_MAX;

/* From one byte to the next that is looked at: all near the start, and then
 * some, so that large pieces do not take for ever. */
static size_t next(size_t i)
{
	return i < 8 * KIB ? i + 1 : i + i / 100;
}

static void fill(char *p, size_t size, unsigned seed)
{
	for (size_t i = 0; i < size; i = next(i))
		p[i] = (char)(i * 31 + seed);
}

static bool is_filled(const char *p, size_t size, unsigned seed)
{
	for (size_t i = 0; i < size; i = next(i))
		if (p[i] != (char)(i * 31 + seed))
			return false;
	return true;
}

static bool is_zero(const char *p, size_t size)
{
	return !size || (!p[0] && !memcmp(p, p + 1, size - 1));
}

/* --- before main ------------------------------------------------------ */

static char *before_main;

__attribute__((constructor(101))) static void call_before_main(void)
{
	before_main = npool_malloc(1000);
	if (before_main)
		fill(before_main, 1000, 1);
	npool_free(npool_calloc(10, 10));
}

static void test_before_main(void)
{
	ok(before_main && is_filled(before_main, 1000, 1),
	   "a constructor of priority 101 has memory");
	before_main = npool_realloc(before_main, 5000);
	ok(before_main && is_filled(before_main, 1000, 1),
	   "which can be resized in main");
	npool_free(before_main);
}

/* --- malloc ----------------------------------------------------------- */

/* Calls body for every size at which a class ends, and its neighbours, up to
 * most. Returns how many it was not content with. */
static unsigned at_edges(size_t most, bool (*body)(size_t size))
{
	unsigned bad = 0;

	for (size_t edge = npool_good_size(1); edge <= most;
	     edge = npool_good_size(edge + (edge > 16 * MIB ? MIB : 1)))
		for (size_t size = edge - 1; size <= edge + 1; size++)
			if (!body(size)) {
				diag("at %zu bytes", size);
				bad++;
			}
	return bad;
}

static bool malloc_is_good(size_t size)
{
	char *p = npool_malloc(size);
	size_t usable = npool_usable_size(p);
	bool good = p && (uintptr_t)p % 16 == 0 && usable >= size &&
		    usable == npool_good_size(size) && npool_owns(p) &&
		    npool_owns(p + usable - 1);

	if (p) {
		fill(p, usable, 5);
		good = good && is_filled(p, usable, 5);
	}
	npool_free(p);
	return good;
}

static void test_malloc(void)
{
	void *p = npool_malloc(0), *q = npool_malloc(0);

	ok(p && q && p != q, "0 bytes are served, each time others");
	npool_free(p);
	p = npool_malloc(1);
	is_size(npool_usable_size(q), npool_usable_size(p), "as 1 byte is");
	npool_free(p);
	npool_free(q);
	is_uint(at_edges(20 * MIB, malloc_is_good), 0,
		"at the edges of every class: aligned, ours, as large as said");
	errno = 0;
	ok(!npool_malloc(too_much) && errno == ENOMEM,
	   "more than PTRDIFF_MAX: NULL and ENOMEM");
	errno = 0;
	ok(!npool_malloc(all_there_is) && errno == ENOMEM, "SIZE_MAX too");
	errno = 0;
	ok(!npool_malloc(too_much - 1) && errno == ENOMEM,
	   "and PTRDIFF_MAX, which nobody has");
	errno = 0;
	ok(!npool_malloc((size_t)1 << 47) && errno == ENOMEM,
	   "and all of the address space");
}

/* --- calloc ----------------------------------------------------------- */

static bool calloc_is_good(size_t size)
{
	char *p = npool_malloc(size), *q, *r;
	bool good;

	memset(p, 0xff, npool_usable_size(p));
	npool_free(p);
	q = npool_calloc(1, size);
	r = npool_calloc(size, 1);
	good = q && r && is_zero(q, size) && is_zero(r, size);
	memset(q, 0xff, size);
	npool_free(q);
	npool_free(r);
	return good;
}

static void test_calloc(void)
{
	static const size_t pairs[][2] = {
		{ SIZE_MAX, 2 }, { 2, SIZE_MAX }, { SIZE_MAX, SIZE_MAX },
		{ (size_t)1 << 32, (size_t)1 << 32 },
		{ (size_t)1 << 33, (size_t)1 << 31 },
		{ SIZE_MAX / 3 + 1, 3 }, { PTRDIFF_MAX, 2 },
	};
	void *p;

	is_uint(at_edges(20 * MIB, calloc_is_good), 0,
		"at the edges of every class: zero, also after dirty use");
	for (unsigned i = 0; i < sizeof pairs / sizeof *pairs; i++) {
		errno = 0;
		ok(!npool_calloc(pairs[i][0], pairs[i][1]) && errno == ENOMEM,
		   "%zu of %zu bytes: NULL and ENOMEM", pairs[i][0],
		   pairs[i][1]);
	}
	p = npool_calloc(0, 10);
	ok(p, "0 of 10 bytes are served");
	npool_free(p);
	p = npool_calloc(all_there_is, 0);
	ok(p, "so are SIZE_MAX of 0");
	npool_free(p);
}

/* --- realloc ---------------------------------------------------------- */

static char *ladder_piece;
static size_t ladder_size;

static bool realloc_keeps(size_t size)
{
	size_t both = ladder_size < size ? ladder_size : size;
	char *p = npool_realloc(ladder_piece, size);
	bool good = p && is_filled(p, both, 7) && npool_usable_size(p) >= size;

	fill(p, size, 7);
	ladder_piece = p;
	ladder_size = size;
	return good;
}

static void test_realloc(void)
{
	struct rng rng = rng_seed(11);
	unsigned lost = 0;
	char *p;

	is_uint(at_edges(20 * MIB, realloc_keeps), 0,
		"up a ladder of all classes the contents are kept");
	for (int i = 0; i < 3000; i++)
		lost += !realloc_keeps(rng_log(&rng, 300 * KIB));
	is_uint(lost, 0, "and up and down, 3000 times");
	for (int i = 0; i < 20; i++)
		lost += !realloc_keeps(rng_log(&rng, 40 * MIB));
	is_uint(lost, 0, "huge ones too");
	errno = 0;
	ok(!npool_realloc(ladder_piece, too_much) && errno == ENOMEM &&
	   is_filled(ladder_piece, ladder_size, 7),
	   "too much: NULL and ENOMEM, the piece is as it was");
	errno = 0;
	ok(!npool_realloc(ladder_piece, (size_t)1 << 47) && errno == ENOMEM &&
	   is_filled(ladder_piece, ladder_size, 7),
	   "also if only the kernel finds it too much");
	npool_free(ladder_piece);
	p = npool_realloc(NULL, 100);
	ok(p && npool_usable_size(p) >= 100, "realloc of NULL is malloc");
	ok(!npool_realloc(p, 0), "to 0 bytes is free");
	is_uint(figures().used, 0, "really");
	p = npool_realloc(NULL, 0);
	ok(p, "realloc of NULL to 0 is malloc of 0");
	npool_free(p);
}

/* --- aligned_alloc ---------------------------------------------------- */

/* Every power of two to 64 MiB, with sizes from none to beyond it. */
static void test_aligned(void)
{
	unsigned bad = 0, n = 0;

	for (size_t align = 1; align <= 64 * MIB; align *= 2)
		for (size_t size = 0; size <= 20 * MIB;
		     size = size ? size * 3 : 1, n++) {
			char *p = npool_aligned_alloc(align, size), *q;

			q = npool_aligned_alloc(align, size + align / 2);
			bad += !p || !q || (uintptr_t)p % align ||
			       (uintptr_t)q % align ||
			       npool_usable_size(p) < size;
			if (size)
				p[0] = p[size - 1] = 1;
			npool_free(p);
			npool_free(q);
		}
	is_uint(bad, 0, "%u pieces at multiples of 1 byte to 64 MiB", n);
	is_uint(figures().used, 0, "all go back");
}

static void test_bad_alignment(void)
{
	static const size_t none[] = { 0, 3, 24, 4095, 4097, SIZE_MAX,
				       ((size_t)1 << 63) + 1 };

	for (unsigned i = 0; i < sizeof none / sizeof *none; i++) {
		errno = 0;
		ok(!npool_aligned_alloc(none[i], 10) && errno == EINVAL,
		   "multiples of %zu: NULL and EINVAL", none[i]);
	}
	errno = 0;
	ok(!npool_aligned_alloc((size_t)1 << 63, 10) && errno == ENOMEM,
	   "of 2^63: NULL and ENOMEM");
	errno = 0;
	ok(!npool_aligned_alloc((size_t)1 << 50, 10) && errno == ENOMEM,
	   "of 2^50 as well");
	errno = 0;
	ok(!npool_aligned_alloc(64, too_much) && errno == ENOMEM,
	   "and too many bytes");
	errno = 0;
	ok(!npool_aligned_alloc(64 * MIB, too_much - 1) && errno == ENOMEM,
	   "with rounding that would overflow");
}

static bool aligned_resize_is_good(size_t size)
{
	char *p = npool_aligned_alloc(4096, size);

	fill(p, size, 3);
	p = npool_realloc(p, size + 1);
	if (!p || !is_filled(p, size, 3))
		return false;
	npool_free_sized(p, size + 1);
	return true;
}

/* --- free ------------------------------------------------------------- */

static bool free_keeps_errno(size_t size)
{
	void *p = npool_malloc(size), *q = npool_malloc(size);

	errno = STRANGE;
	npool_free(p);
	npool_free_sized(q, size);
	npool_free(NULL);
	npool_free_sized(NULL, size);
	return errno == STRANGE;
}

static void test_free(void)
{
	is_uint(at_edges(20 * MIB, free_keeps_errno), 0,
		"free and free_sized keep errno, for every class");
	is_uint(at_edges(MIB, aligned_resize_is_good), 0,
		"aligned pieces are resized and freed as others are");
	is_uint(figures().used, 0, "nothing is left");
}

/* --- questions -------------------------------------------------------- */

static void test_sizes(void)
{
	bool right = true;
	size_t last = 0;

	for (size_t size = 0; size < 40 * MIB; size += size / 50 + 1) {
		size_t good = npool_good_size(size);

		right = right && good >= size && good >= last &&
			good == npool_good_size(good);
		last = good;
	}
	ok(right, "good_size never falls, and is good itself");
	is_size(npool_good_size(too_much), 0, "0 for what is too much");
	is_size(npool_usable_size(NULL), 0, "NULL has no usable bytes");
}

static void test_owns(void)
{
	int on_stack;
	char *p = npool_malloc(10), *q = npool_malloc(30 * MIB), *r;

	ok(npool_owns(p) == 1 && npool_owns(q) == 1 &&
	   npool_owns(q + 30 * MIB - 1) == 1, "pieces are ours");
	ok(npool_owns(&on_stack) == 0 && npool_owns(test_owns) == 0 &&
	   npool_owns("text") == 0, "stack, code and data are not");
	ok(npool_owns(NULL) == 0 && npool_owns((void *)1) == 0 &&
	   npool_owns((void *)UINTPTR_MAX) == 0 &&
	   npool_owns((void *)((uintptr_t)1 << 47)) == 0 &&
	   npool_owns((void *)((uintptr_t)1 << 63)) == 0,
	   "nor is any other number");
	r = malloc(10);
	ok(npool_owns(r) == 0, "nor what another allocator has");
	free(r);
	npool_free(q);
	ok(npool_owns(q) == 0, "nor a huge block that was freed");
	npool_free(p);
}

static void test_node_of(void)
{
	char *p = npool_malloc(10), *q = npool_malloc(20 * MIB);
	int node = npool_node_of(p);

	ok(node >= -1 && node < 1024 && npool_node_of(q) == node,
	   "pieces have a node, or none is known (%d)", node);
	is_int(npool_node_of(NULL), -1, "NULL has none");
	is_int(npool_node_of(&node), -1, "nor has the stack");
	npool_free(p);
	npool_free(q);
}

static void test_version(void)
{
	char wanted[32];

	snprintf(wanted, sizeof wanted, "%d.%d.%d", NPOOL_VERSION_MAJOR,
		 NPOOL_VERSION_MINOR, NPOOL_VERSION_PATCH);
	is_str(npool_version(), wanted, "the version is the header's");
}

/* --- figures ---------------------------------------------------------- */

static void test_figures(void)
{
	struct {
		struct npool_figures now;
		char later[64];
	} larger;
	struct npool_figures f;

	memset(&f, 0xee, sizeof f);
	f.size = sizeof f;
	is_int(npool_stats(&f), 0, "figures of this version are served");
	is_size(f.size, sizeof f, "whole");
	memset(&larger, 0xee, sizeof larger);
	larger.now.size = sizeof larger;
	is_int(npool_stats(&larger.now), 0, "a larger struct is served too");
	is_size(larger.now.size, sizeof f, "it is told how much it got");
	ok((unsigned char)larger.later[0] == 0xee &&
	   !memcmp(larger.later, larger.later + 1, sizeof larger.later - 1),
	   "what is not known is left alone");
	memset(&f, 0xee, sizeof f);
	f.size = sizeof f - 1;
	is_int(npool_stats(&f), EINVAL, "a smaller one is not");
	ok(f.size == sizeof f - 1 && f.used == UINT64_C(0xeeeeeeeeeeeeeeee),
	   "and stays as it was");
	f.size = 0;
	is_int(npool_stats(&f), EINVAL, "nor one of no bytes");
}

static void test_giving_back(void)
{
	void *p[100];
	struct npool_figures f;

	for (int i = 0; i < 100; i++)
		memset(p[i] = npool_malloc(100000), 1, 100000);
	for (int i = 0; i < 100; i++)
		npool_free(p[i]);
	ok(figures().cached > 0, "freed pieces are cached");
	npool_flush_thread();
	f = figures();
	is_uint(f.threads, 0, "flushed the thread has no cache");
	ok(npool_trim() > 0, "a trim gives back");
	f = figures();
	ok(!f.cached && !f.reserved && !f.chunks, "everything");
	is_size(npool_trim(), 0, "a second one has nothing to give");
}

/* --- misuse ----------------------------------------------------------- */

struct misuse {
	const char *what, *words;
	void (*body)(void);
	bool early; /* found at the call without check:1 */
};

static void free_stack(void)
{
	int x;

	npool_free(&x);
}

static void free_text(void)
{
	npool_free((void *)(uintptr_t)"text");
}

static void realloc_stack(void)
{
	int x;
	void *volatile p = &x;

	(void)!npool_realloc(p, 10);
}

static void usable_of_stack(void)
{
	int x = 0;
	volatile size_t n = npool_usable_size(&x);

	(void)n;
}

static void free_huge_twice(void)
{
	void *volatile p = npool_malloc(20 * MIB);

	npool_free(p);
	npool_free(p);
}

static void free_in_huge(void)
{
	char *p = npool_malloc(20 * MIB);

	npool_free(p + 4096);
}

static void free_twice(void)
{
	void *volatile p = npool_malloc(100), *volatile q = npool_malloc(100);

	npool_free(p);
	npool_free(p);
	_exit(q ? 0 : 1); /* not found at the call */
}

static void free_run_twice(void)
{
	void *volatile p = npool_malloc(100000);
	void *volatile q = npool_malloc(100000);

	npool_free(p);
	npool_free(p);
	_exit(q ? 0 : 1);
}

static void free_inside(void)
{
	char *p = npool_malloc(100);

	npool_free(p + 16);
	_exit(0);
}

static void free_inside_run(void)
{
	char *p = npool_malloc(100000);

	npool_free(p + 8192);
	_exit(0);
}

static void free_sized_wrong(void)
{
	void *p = npool_malloc(100);

	npool_free_sized(p, 1000);
	_exit(0);
}

static void realloc_freed(void)
{
	void *volatile p = npool_malloc(100), *volatile q = npool_malloc(100);

	npool_free(p);
	p = npool_realloc(p, 100);
	_exit(q && p ? 0 : 1);
}

static const struct misuse misuses[] = {
	{ "stack freed", "free(0x", free_stack, true },
	{ "text freed", "not a pointer of any pool", free_text, true },
	{ "stack resized", "not a pointer of any pool", realloc_stack, true },
	{ "stack asked", "usable_size(0x", usable_of_stack, true },
	{ "huge block freed twice", "double free: 0 bytes into the huge block",
	  free_huge_twice, true },
	{ "pointer into a huge block", "interior pointer: 4096 bytes into "
	  "the huge block", free_in_huge, true },
	{ "freed twice", "double free", free_twice, false },
	{ "run freed twice", "double free", free_run_twice, false },
	{ "pointer into an element", "interior pointer: 16 bytes into ",
	  free_inside, false },
	{ "pointer into a run", "interior pointer: 8192 bytes into the run",
	  free_inside_run, false },
	{ "wrong size", "free_sized(0x", free_sized_wrong, false },
	{ "resized when freed", "already freed", realloc_freed, false },
};

#define NMISUSES (sizeof misuses / sizeof *misuses)

static void test_misuse(bool check)
{
	for (unsigned i = 0; i < NMISUSES; i++) {
		const struct misuse *m = &misuses[i];
		char part[8];
		struct child c;

		snprintf(part, sizeof part, "%u", i);
		c = conf_run(check ? "check:1" : "", part);
		if (m->early || check)
			ok(child_killed(&c, SIGABRT) &&
			   strstr(c.text, "libnpool: ") == c.text &&
			   strstr(c.text, m->words),
			   "%s: dies with \"%s\"", m->what, m->words);
		else
			ok(child_exited(&c, 0) && !*c.text,
			   "%s: not at the call", m->what);
		if (!child_exited(&c, 0) && !strstr(c.text, m->words))
			diag("status 0x%x: %s", (unsigned)c.status, c.text);
	}
}

/* --- any thread, any time --------------------------------------------- */

static void *all_calls(void *arg)
{
	char *p = npool_malloc(10), *q = npool_calloc(3, 3000);
	uintptr_t good;

	p = npool_realloc(p, 70000);
	good = p && q && npool_owns(p) && npool_usable_size(q) >= 9000 &&
	       npool_node_of(p) >= -1 && figures().threads > 0;
	npool_free_sized(q, 9000);
	npool_flush_thread();
	npool_free(p);
	npool_trim();
	return (void *)(good + (uintptr_t)arg);
}

static void test_threads(void)
{
	uintptr_t good = 0;
	pthread_t t[8];

	for (int i = 0; i < 8; i++)
		if (pthread_create(&t[i], NULL, all_calls, NULL))
			bail_out("no thread");
	for (int i = 0; i < 8; i++) {
		void *g;

		pthread_join(t[i], &g);
		good += (uintptr_t)g;
	}
	is_uint(good, 8, "eight threads make every call");
	is_uint(figures().used, 0, "and leave nothing");
}

int main(int argc, char **argv)
{
	if (argc > 1) {
		misuses[atoi(argv[1])].body();
		return 0;
	}
	conf_restart(argv, "");
	plan(95);
	test_before_main();
	test_malloc();
	npool_flush_thread();
	npool_trim();
	test_calloc();
	test_realloc();
	test_aligned();
	test_bad_alignment();
	test_free();
	test_sizes();
	test_owns();
	test_node_of();
	test_version();
	test_figures();
	test_giving_back();
	test_threads();
	test_misuse(false);
	test_misuse(true);
	return done();
}
