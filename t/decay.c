/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * decay: free pages really leave the process (mincore), after the time that
 * was asked for and not before; pages in use, pinned chunks and those who said
 * "never" keep theirs.
 *
 * The clock is the arena's: a tick is made to be due by setting back
 * next_tick_ms. One test waits for the real one.
 */
#include "arena.h"
#include "decay.h"
#include "faultos.h"
#include "meta.h"
#include "pages.h"
#include "rng.h"
#include "tap.h"

#include <string.h>
#include <time.h> /* nanosleep */

#define RUN_PAGES 64
#define VISITS_A_LOOK 32 /* as in decay.c: at most so many to a look */

static struct np_classes classes;
static struct np_arena arena;
static size_t run_size;
static unsigned run_class;

/* An arena with one run in use, so that its chunk stays. */
static void *begin(unsigned policies, int64_t decay_ms)
{
	void *anchor;

	memset(&arena, 0, sizeof arena);
	np_arena_init(&arena, &classes, 0, -1, 0, policies, decay_ms);
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

/* The next visits find that the time for a tick has come. */
static void tick(void)
{
	arena.next_tick_ms = 1;
	visit(VISITS_A_LOOK);
}

static size_t resident(const void *p)
{
	return pages_resident(p, run_size) * np_os_page_size();
}

static void sleep_ms(long ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000 };

	nanosleep(&t, NULL);
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
	visit(10 * VISITS_A_LOOK);
	is_size(resident(p), run_size, "visits alone purge nothing");
	tick();
	is_size(resident(p), run_size, "the first tick only ages it");
	q = take();
	is_ptr(q, p, "an aged run is handed out again");
	tick();
	tick();
	ok(q[0] == 'x' && !memcmp(q, q + 1, run_size - 1),
	   "it is not purged then: what was written stays");
	put(q);
	tick();
	is_size(resident(p), run_size, "freed anew it is young again");
	tick();
	is_size(resident(p), 0, "the second tick purges it");
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
	is_size(empty_subpage(60000, 3), 0,
		"the last subpage of a pool decays too when it is empty");
	is_size(empty_subpage(0, 0), 0, "with decay_ms 0 at once");
}

static void test_spare(void)
{
	unsigned class = np_class_of(&classes, classes.chunk_size);
	void *anchor = begin(NP_ALL_POLICIES, 60000), *p;

	if (np_arena_take(&arena, class, 1, &p) != 1)
		bail_out("no memory");
	memset(p, 'x', classes.chunk_size);
	put(p);
	ok(arena.spare && arena.spare->base == p, "a chunk becomes the spare");
	tick();
	tick();
	is_size(pages_resident(p, classes.chunk_size), 0,
		"its pages decay, its addresses stay");
	ok(pages_mapped(p, classes.chunk_size), "which are still mapped");
	end(anchor);
	ok(!pages_mapped(p, np_os_page_size()), "until the arena ends");
}

/* --- options ---------------------------------------------------------- */

static void test_at_once(void)
{
	void *anchor = begin(NP_ALL_POLICIES, 0);
	char *p = take();

	put(p);
	is_size(resident(p), 0, "decay_ms 0: gone with the free itself");
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
	is_size(resident(p), run_size, "without the policy nothing decays");
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

/* --- the real clock --------------------------------------------------- */

#define DECAY_MS 80

static void test_clock(void)
{
	void *anchor = begin(NP_ALL_POLICIES, DECAY_MS);
	uint64_t freed, looked;
	char *p = take();
	size_t there;

	visit(VISITS_A_LOOK); /* now it knows the time */
	put(p);
	freed = np_os_now_ms();
	visit(VISITS_A_LOOK);
	there = resident(p);
	looked = np_os_now_ms();
	if (looked - freed < DECAY_MS / 2)
		is_size(there, run_size, "a page stays for decay_ms / 2");
	else
		skip(1, "needs a machine that is less busy");
	for (int i = 0; i < 100 && resident(p); i++) {
		sleep_ms(DECAY_MS / 8);
		visit(VISITS_A_LOOK);
	}
	is_size(resident(p), 0, "then it goes, without any trim");
	ok(np_os_now_ms() - freed >= DECAY_MS / 2,
	   "not before decay_ms / 2 have passed");
	ok(end(anchor), "what is in use stays");
}

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
	plan(41);
	np_meta_init(NULL);
	if (np_map_init() || np_classes_init(&classes, NP_FINE, 13, 9))
		bail_out("nothing to start with");
	run_size = (size_t)RUN_PAGES << classes.page_shift;
	run_class = np_class_of(&classes, run_size);
	test_ticks();
	test_zero_after_purge();
	test_empty_subpage();
	test_spare();
	test_at_once();
	test_never();
	test_pinned();
	test_denied();
	test_locked();
	test_clock();
	test_contents();
	return done();
}
