/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * decay: free pages really leave the process (mincore), with the second tick
 * and not before, and are charged no more; pages in use, pinned and populated
 * chunks and those who said "never" keep theirs.
 *
 * When ticks come is for t/tick.c.
 */
#include "arena.h"
#include "decay.h"
#include "faultos.h"
#include "meta.h"
#include "pages.h"
#include "rng.h"
#include "tap.h"

#include <string.h>

#define RUN_PAGES 64

static struct np_classes classes;
static struct np_arena arena;
static size_t run_size;
static unsigned run_class;
static struct np_limit limit;

/* An arena with one run in use, so that its chunk stays. */
static void *begin(unsigned policies, int64_t decay_ms)
{
	struct np_owner owner = { .bind_node = NP_ANYWHERE,
				  .pool = "test",
				  .limits = { .pool = &limit } };
	void *anchor;

	memset(&arena, 0, sizeof arena);
	memset(&limit, 0, sizeof limit);
	np_arena_init(&arena, &classes, &owner, 0, policies, decay_ms);
	if (np_arena_take(&arena, run_class, 1, &anchor) != 1)
		bail_out("no memory");
	memset(anchor, 'a', run_size);
	return anchor;
}

/* The anchor was not touched by what happened. */
static bool end(void *anchor)
{
	const char *p = anchor;
	bool intact = p[0] == 'a' && !memcmp(p, p + 1, run_size - 1);

	np_arena_put(&arena, &anchor, 1);
	np_arena_fini(&arena);
	return intact;
}

/* A run that was written to. */
static char *take(void)
{
	void *p;

	if (np_arena_take(&arena, run_class, 1, &p) != 1)
		bail_out("no memory");
	return memset(p, 'x', run_size);
}

static void put(void *p)
{
	np_arena_put(&arena, &p, 1);
}

static void visit(unsigned n)
{
	while (n--)
		np_arena_put(&arena, NULL, 0);
}

static size_t tick(void)
{
	return np_decay_tick(&arena);
}

static size_t resident(const void *p)
{
	return pages_resident(p, run_size) * np_os_page_size();
}

/* What is charged beyond the anchor. */
static size_t charged(void)
{
	return np_limit_charged(&limit) - run_size;
}

/* --- ticks ------------------------------------------------------------ */

static void test_ticks(void)
{
	void *anchor = begin(NP_ALL_POLICIES, 60000);
	char *p = take(), *q;

	tick();
	is_size(resident(p), run_size, "pages in use stay");
	put(p);
	is_size(resident(p), run_size, "a freed page is there still");
	visit(1000);
	is_size(resident(p), run_size, "visits alone purge nothing");
	is_size(tick(), 0, "the first tick gives nothing back");
	is_size(resident(p), run_size, "it only ages the page");
	q = take();
	is_ptr(q, p, "an aged run is handed out again");
	tick();
	tick();
	ok(q[0] == 'x' && !memcmp(q, q + 1, run_size - 1),
	   "it is not purged then: what was written stays");
	put(q);
	tick();
	is_size(resident(p), run_size, "freed anew it is young again");
	is_size(charged(), run_size, "and charged");
	is_size(tick(), run_size, "the second tick says what it gives back");
	is_size(resident(p), 0, "it is gone");
	is_size(charged(), 0, "and not charged any more");
	is_uint(np_count_get(&arena.count->purged), run_size,
		"which counts as purged");
	q = take();
	ok(np_arena_valid(&arena), "the arena is valid");
	put(q);
	ok(end(anchor), "the run in use was not touched");
}

static void test_zero_after_purge(void)
{
	void *anchor = begin(NP_ALL_POLICIES, 60000);
	char *p = take(), *q;
	bool zero = true;

	put(p);
	q = np_arena_take_run(&arena, run_class, 1, &zero);
	ok(q == p && !zero, "a run that was written to is not said to be zero");
	put(q);
	tick();
	tick();
	q = np_arena_take_run(&arena, run_class, 1, &zero);
	ok(q == p && zero, "when it was purged it is");
	ok(!q[0] && !memcmp(q, q + 1, run_size - 1), "and it is zero");
	put(q);
	end(anchor);
}

/* Frees the only element of a pool. Is its page in memory (1 or 0) when so
 * many ticks have passed? */
static size_t empty_subpage(int64_t decay_ms, unsigned nticks)
{
	unsigned class = np_class_of(&classes, 64);
	void *anchor = begin(NP_ALL_POLICIES, decay_ms), *p;
	char *page;
	size_t left;

	if (np_arena_take(&arena, class, 1, &p) != 1)
		bail_out("no memory");
	memset(p, 'x', 64);
	page = (char *)((uintptr_t)p & ~(np_os_page_size() - 1));
	put(p);
	while (nticks--)
		tick();
	left = pages_resident(page, np_os_page_size());
	end(anchor);
	return left;
}

static void test_empty_subpage(void)
{
	is_size(empty_subpage(60000, 1), 1,
		"the last subpage of a pool is there when it is empty");
	is_size(empty_subpage(60000, 2), 0, "but decays too");
	is_size(empty_subpage(0, 0), 1, "with decay_ms 0 a free leaves it");
	is_size(empty_subpage(0, 1), 0, "a tick takes it at once");
	is_size(empty_subpage(-1, 5), 1, "with -1 none does");
}

/* A class whose subpages have several pages. */
static unsigned class_of_many_pages(void)
{
	unsigned class = np_class_of(&classes, 4096);

	while (classes.row[class].npages < 4 || !classes.row[class].nelems)
		if (++class > classes.n)
			bail_out("no such class");
	return class;
}

/* Elements on the subpage's first half come back, those on the other stay. */
static void test_part_of_subpage(void)
{
	unsigned class = class_of_many_pages();
	const struct np_class *row = &classes.row[class];
	size_t half = (size_t)row->npages / 2 << classes.page_shift;
	void *anchor = begin(NP_ALL_POLICIES, 60000);
	static void *p[1000];
	unsigned n = row->nelems, wrong = 0;
	char *start;

	if (np_arena_take(&arena, class, n, p) != n)
		bail_out("no memory");
	start = p[0];
	for (unsigned i = 0; i < n; i++)
		memset(p[i], 'e', row->size);
	for (unsigned i = 0; i < n; i++)
		if ((char *)p[i] + row->size <= start + half)
			put(p[i]), p[i] = NULL;
	half -= half % row->size; /* an element may lie across */
	half -= half % np_os_page_size();
	is_size(tick(), 0, "pages of a subpage on which nothing is taken age");
	ok(tick() > 0, "and are given back");
	is_size(pages_resident(start, half), 0, "they are gone");
	for (unsigned i = 0; i < n; i++) {
		const char *e = p[i];

		wrong += e && (*e != 'e' || memcmp(e, e + 1, row->size - 1));
	}
	is_uint(wrong, 0, "what is taken on the others keeps its contents");
	is_size(charged(), (size_t)row->npages << classes.page_shift,
		"the subpage is charged whole while it is there");
	for (unsigned i = 0; i < n; i++)
		if (p[i])
			put(p[i]);
	ok(end(anchor), "the run in use was not touched");
}

static void test_spare(void)
{
	unsigned class = np_class_of(&classes, classes.chunk_size);
	void *anchor = begin(NP_ALL_POLICIES, 60000), *p;

	if (np_arena_take(&arena, class, 1, &p) != 1)
		bail_out("no memory");
	memset(p, 'x', classes.chunk_size);
	put(p);
	ok(arena.spares && arena.spares->base == p, "a chunk becomes spare");
	is_size(tick(), 0, "the first tick leaves it");
	ok(arena.spares && pages_resident(p, classes.chunk_size) > 0,
	   "with its pages");
	is_size(tick(), classes.chunk_size, "the second takes it whole");
	ok(!arena.spares && !np_place_of(p).chunk, "its addresses are nobody's");
	is_size(pages_resident(p, classes.chunk_size), 0, "its pages are gone");
	is_size(charged(), 0, "and not charged");
	ok(end(anchor), "the run in use was not touched");
	ok(!pages_mapped(p, np_os_page_size()),
	   "its region is unmapped when the arena ends");
}

/* --- options ---------------------------------------------------------- */

static void test_at_once(void)
{
	void *anchor = begin(NP_ALL_POLICIES, 0);
	char *p = take();

	put(p);
	is_size(resident(p), 0, "decay_ms 0: gone with the free itself");
	is_size(charged(), 0, "and charged no more");
	ok(end(anchor), "but not what is in use");
}

static void test_never(void)
{
	void *anchor = begin(NP_ALL_POLICIES, -1);
	char *p = take();

	put(p);
	tick();
	tick();
	tick();
	is_size(resident(p), run_size, "decay_ms -1: free pages stay");
	is_uint(np_arena_trim(&arena), run_size, "until a trim");
	is_size(resident(p), 0, "which purges them");
	is_uint(np_arena_trim(&arena), 0, "a second one finds nothing");
	ok(end(anchor), "and spares what is in use");
	anchor = begin(NP_ALL_POLICIES & ~NP_DECAY, 0);
	p = take();
	put(p);
	is_size(tick() + tick(), 0, "without the policy no tick does anything");
	is_size(resident(p), run_size, "nothing decays");
	end(anchor);
}

static void test_pinned(void)
{
	void *anchor = begin(NP_ALL_POLICIES, 0);
	char *p = take();

	np_place_of(p).chunk->pinned = true;
	put(p);
	is_size(resident(p), run_size, "a pinned chunk keeps its pages");
	np_arena_trim(&arena);
	is_size(resident(p), run_size, "a trim does not take them either");
	end(anchor);
}

static void test_reserved(bool populate)
{
	void *anchor = begin(NP_ALL_POLICIES, 0);
	unsigned class = np_class_of(&classes, classes.chunk_size);
	size_t stays = populate ? classes.chunk_size : 0;
	void *p;

	if (np_arena_reserve(&arena, populate, false) != 0 ||
	    np_arena_take(&arena, class, 1, &p) != 1)
		bail_out("no memory");
	memset(p, 'x', classes.chunk_size);
	put(p);
	tick();
	tick();
	np_decay_all(&arena);
	is_size(pages_resident(p, classes.chunk_size) * np_os_page_size(),
		stays, "a chunk that was reserved%s its pages",
		populate ? " and populated keeps" : " alone gives back");
	is_size(charged(), stays, "and is charged for those that stay");
	ok(np_place_of(p).chunk, "but stays itself");
	end(anchor);
}

/* --- huge pages ------------------------------------------------------- */

/* Runs of a huge page and of a quarter. */
static void begin_huge(struct np_classes *chunk, enum np_huge_pages pages)
{
	struct np_owner owner = { .bind_node = NP_ANYWHERE,
				  .pages = pages,
				  .pool = "test",
				  .limits = { .pool = &limit } };

	if (np_classes_init(chunk, NP_FINE, 13, 11))
		bail_out("no classes");
	memset(&arena, 0, sizeof arena);
	memset(&limit, 0, sizeof limit);
	np_arena_init(&arena, chunk, &owner, 0, NP_ALL_POLICIES, 60000);
}

static char *take_bytes(size_t size)
{
	void *p;

	if (np_arena_take(&arena, np_class_of(arena.classes, size), 1,
			  &p) != 1)
		bail_out("no memory");
	return memset(p, 'x', size);
}

static size_t resident_bytes(const void *p, size_t size)
{
	return pages_resident(p, size) * np_os_page_size();
}

/* The first huge page of a chunk is in use; of the second one all but a
 * quarter is given back, and then that too. */
static void test_whole_huge_pages(void)
{
	static struct np_classes chunk;
	size_t quarter = NP_HUGE_PAGE / 4;
	char *first, *p[4];

	begin_huge(&chunk, NP_PAGES_THP);
	first = take_bytes(NP_HUGE_PAGE);
	for (int i = 0; i < 4; i++)
		p[i] = take_bytes(quarter);
	is_ptr(p[0], first + NP_HUGE_PAGE, "four runs in a huge page");
	for (int i = 1; i < 4; i++)
		put(p[i]);
	is_size(tick() + tick() + tick(), 0,
		"free pages beside one in use do not decay");
	is_size(resident_bytes(p[1], 3 * quarter), 3 * quarter,
		"they are in memory");
	is_size(np_limit_charged(&limit), 2 * NP_HUGE_PAGE, "and charged");
	put(p[0]);
	is_size(tick(), 0, "what came last is young");
	is_size(tick(), NP_HUGE_PAGE, "then the huge page decays whole");
	is_size(resident_bytes(p[0], NP_HUGE_PAGE), 0, "it is gone");
	is_size(np_limit_charged(&limit), NP_HUGE_PAGE, "and not charged");
	ok(first[0] == 'x' && !memcmp(first, first + 1, NP_HUGE_PAGE - 1),
	   "what is in use was not touched");
	put(first);
	np_arena_fini(&arena);
}

/* A chunk that is smaller than a huge page goes as a whole. */
static void test_small_chunks(void)
{
	static struct np_classes chunk;
	char *anchor, *p, *q;

	begin_huge(&chunk, NP_PAGES_THP);
	if (np_classes_init(&chunk, NP_FINE, 13, 6))
		bail_out("no classes");
	np_arena_init(&arena, &chunk, &arena.owner, 0,
		      NP_ALL_POLICIES & ~NP_KEEP_SPARE, 60000);
	anchor = take_bytes(chunk.chunk_size);
	p = take_bytes(chunk.chunk_size / 2);
	q = take_bytes(chunk.chunk_size / 2);
	put(q);
	is_size(tick() + tick() + tick(), 0, "half of a small chunk stays");
	put(p);
	is_size(resident_bytes(p, chunk.chunk_size), 0, "all of it goes");
	put(anchor);
	np_arena_fini(&arena);
}

/* A chunk of huge pages of a reserve is in memory whole, and what is not used
 * of it returns. Ordinary pages stand for huge ones. */
static void test_reserve_returns(void)
{
	static struct np_classes chunk;
	char *first, *rest;

	begin_huge(&chunk, NP_PAGES_HUGETLB);
	faultos_begin();
	faultos.hugetlb = true;
	first = take_bytes(NP_HUGE_PAGE);
	rest = first + NP_HUGE_PAGE;
	ok(np_place_of(first).region->hugetlb, "a chunk of huge pages");
	is_size(np_limit_charged(&limit), chunk.chunk_size,
		"all of it is charged");
	is_size(resident_bytes(first, chunk.chunk_size), chunk.chunk_size,
		"and in memory");
	is_size(tick(), 0, "at first");
	faultos_fail(1, ENOMEM);
	is_size(tick(), 0, "a kernel without memory keeps them");
	faultos_fail(0, 0);
	is_size(tick(), chunk.chunk_size - NP_HUGE_PAGE,
		"what was not used for a tick returns");
	is_uint(faultos_count(FAULTOS_MREMAP), 1,
		"ordinary memory takes its place");
	is_size(resident_bytes(rest, chunk.chunk_size - NP_HUGE_PAGE), 0,
		"which is not there yet");
	is_size(np_limit_charged(&limit), NP_HUGE_PAGE, "nor charged");
	rest = take_bytes(NP_HUGE_PAGE);
	ok(rest == first + NP_HUGE_PAGE && first[0] == 'x' &&
	   !memcmp(first, first + 1, 2 * NP_HUGE_PAGE - 1),
	   "and can be used, beside what never went");
	put(rest);
	put(first);
	np_arena_fini(&arena);
	faultos_end();
	is_size(faultos_mapped(), 0, "nothing stays mapped");
	is_size(np_limit_charged(&limit), 0, "nor charged");
}

/* --- the kernel says no ----------------------------------------------- */

static int no_madvise(void *addr, size_t size, int advice)
{
	(void)addr, (void)size, (void)advice;
	errno = ENOMEM;
	return -1;
}

static void test_denied(void)
{
	struct np_os os = np_os_linux;
	void *anchor = begin(NP_ALL_POLICIES, 60000);
	char *p = take();
	bool zero;

	put(p);
	os.madvise = no_madvise;
	np_os = &os;
	is_uint(np_arena_trim(&arena), 0,
		"what the kernel does not take back does not count");
	np_os = &np_os_linux;
	ok(np_arena_take_run(&arena, run_class, 1, &zero) == p && !zero,
	   "and is not said to be zero");
	put(p);
	is_uint(np_arena_trim(&arena), run_size, "the next trim tries again");
	is_size(resident(p), 0, "and it is gone");
	end(anchor);
}

static void test_locked(void)
{
	void *anchor = begin(NP_ALL_POLICIES, 60000);
	size_t page = np_os_page_size();
	char *p = take();
	bool can;

	if (mlock(p, page) != 0) {
		skip(1, "needs a page of locked memory");
		end(anchor);
		return;
	}
	memset(p, 'x', page);
	can = np_os_purge(p, page) == 0; /* since Linux 5.18 */
	memset(p, 'x', page);
	put(p);
	np_arena_trim(&arena);
	is_size(pages_resident(p, page), can ? 0 : 1,
		"locked pages go too, where the kernel can");
	munlock(p, page);
	end(anchor);
}

/* --- contents --------------------------------------------------------- */

/* Random runs come and go under ticks: no content is ever lost. */
static void test_contents(void)
{
	enum { N = 100 };
	void *anchor = begin(NP_ALL_POLICIES, 60000);
	struct rng rng = rng_seed(3);
	unsigned lost = 0;
	char *p[N] = { 0 };

	for (unsigned op = 0; op < 4000; op++) {
		unsigned i = (unsigned)rng_below(&rng, N);

		if (!p[i]) {
			p[i] = take();
			p[i][0] = p[i][run_size - 1] = (char)i;
		} else {
			lost += p[i][0] != (char)i ||
				p[i][run_size - 1] != (char)i ||
				p[i][run_size / 2] != 'x';
			put(p[i]);
			p[i] = NULL;
		}
		if (op % 10 == 0)
			tick();
	}
	is_uint(lost, 0, "4000 random runs keep their contents under decay");
	ok(np_arena_valid(&arena), "and the arena is valid");
	for (unsigned i = 0; i < N; i++)
		if (p[i])
			put(p[i]);
	end(anchor);
}

int main(void)
{
	plan(63 + 9 + 2 + 12);
	np_meta_init(NULL);
	if (np_map_init() || np_classes_init(&classes, NP_FINE, 13, 9))
		bail_out("nothing to start with");
	run_size = (size_t)RUN_PAGES << classes.page_shift;
	run_class = np_class_of(&classes, run_size);
	test_ticks();
	test_zero_after_purge();
	test_empty_subpage();
	test_part_of_subpage();
	test_spare();
	test_at_once();
	test_never();
	test_pinned();
	test_reserved(false);
	test_reserved(true);
	test_whole_huge_pages();
	test_small_chunks();
	test_reserve_returns();
	test_denied();
	test_locked();
	test_contents();
	return done();
}
