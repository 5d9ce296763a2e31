/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * spill: what lies on another node is found by a sample, counted, given back
 * if it is free, used last and brought home; and what is strict is on its node
 * or refused, without a trace. On a made-up kernel of two nodes, which refuses
 * each of its calls once.
 */
#include "spill.h"
#include "arena.h"
#include "config.h"
#include "decay.h"
#include "fakenodes.h"
#include "huge.h"
#include "meta.h"
#include "pages.h"
#include "segment.h"
#include "tap.h"
#include "topology.h"

#include <string.h>

#define CHUNK NP_SLOT_SIZE
#define RUN (CHUNK / 16)
#define NRUNS 16
#define PAGE np_os_page_size()

static struct np_topology topology;
static struct np_classes classes;
static struct np_segment segment;
static struct np_arena arena;
static struct np_huge blocks;
static struct np_limit limit;
static unsigned run_class;

static struct np_owner owner = {
	.tag = 1,
	.bind_node = 0,
	.sees = true,
	.pool = "test",
	.limits = { .pool = &limit },
	.segment = &segment,
};

static void *take(unsigned class)
{
	void *p = NULL;

	return np_arena_take(&arena, class, 1, &p) == 1 ? p : NULL;
}

static void put(void *p)
{
	np_arena_put(&arena, &p, 1);
}

static char *take_run(void)
{
	char *p = take(run_class);

	if (!p)
		bail_out("no memory");
	return memset(p, 'x', RUN);
}

static char *chunk_of(const void *p)
{
	return (char *)((uintptr_t)p & ~(CHUNK - 1));
}

static uint64_t counted(void)
{
	return np_count_get(&np_segment_node(&segment, 1)->spilled);
}

/* An arena with one full chunk, from which the made-up kernel begins. */
static void begin(char *runs[NRUNS], bool strict)
{
	owner.strict = false;
	memset(&arena, 0, sizeof arena);
	memset(&limit, 0, sizeof limit);
	np_arena_init(&arena, &classes, &owner, 0, NP_ALL_POLICIES, 60000);
	np_arena_settle(&arena, &owner);
	for (unsigned i = 0; i < NRUNS; i++)
		runs[i] = take_run();
	/* A node that the kernel has, or mbind would say no. */
	fakenodes_begin(chunk_of(runs[0]) - 3 * CHUNK, 7 * CHUNK);
	arena.owner.strict = strict;
}

static void end(void)
{
	fakenodes_end();
	np_arena_fini(&arena);
	if (counted() || arena.spilled)
		bail_out("what an arena had is not balanced");
}

/* --- the sample ------------------------------------------------------- */

static void test_sample(void)
{
	char *runs[NRUNS], *base;
	unsigned seen = 0;

	begin(runs, false);
	base = chunk_of(runs[0]);
	ok(!np_spill_is_likely(&owner, base, CHUNK, 0), "all is at home");
	is_uint(fakenodes.asks, 1, "which one call tells");
	fakenodes_spill(base + RUN, RUN, true);
	ok(np_spill_is_likely(&owner, base, CHUNK, 7),
	   "a sixteenth elsewhere is found by any sample");
	fakenodes_spill(base, CHUNK, false);
	fakenodes_spill(base + 77 * PAGE, PAGE, true);
	for (uint64_t turn = 0; turn < 2 * NP_SPILL_SAMPLE * 4; turn++)
		seen += np_spill_is_likely(&owner, base, CHUNK, turn);
	ok(seen >= 1, "a page alone by one of them: %u", seen);
	faultos_fail(1, EPERM);
	ok(!np_spill_is_likely(&owner, base, CHUNK, 77),
	   "who may not ask sees none");
	ok(!np_spill_is_likely(&owner, base, 1, 5), "none within no page");
	end();
}

/* --- found ------------------------------------------------------------ */

static void test_found(void)
{
	char *runs[NRUNS];
	struct np_chunk *c;

	begin(runs, false);
	c = np_place_of(runs[0]).chunk;
	np_spill_look_arena(&arena);
	ok(!c->spill.bytes && !counted(), "nothing to be found");
	fakenodes_spill(runs[3], RUN, true);
	fakenodes_spill(runs[4], RUN, true);
	np_spill_look_arena(&arena);
	is_size(c->spill.bytes, 2 * RUN, "two runs are elsewhere");
	is_size(arena.spilled, 2 * RUN, "of the arena");
	is_uint(counted(), 2 * RUN, "and of its node");
	put(runs[3]);
	np_spill_look_arena(&arena);
	is_size(c->spill.bytes, RUN, "one is free now");
	is_size(pages_resident(runs[3], RUN), 0,
		"and was given back to the kernel");
	fakenodes_spill(runs[4], RUN, false);
	np_spill_look_arena(&arena);
	ok(!c->spill.bytes && !arena.spilled && !counted(),
	   "somebody moved the other one home");
	fakenodes_spill(runs[4], RUN, true);
	np_spill_look_arena(&arena);
	faultos_fail(1, ENOSYS);
	np_spill_look_arena(&arena);
	is_size(c->spill.bytes, RUN, "a look that is refused changes nothing");
	faultos_fail(0, 0);
	for (unsigned i = 0; i < NRUNS; i++)
		if (i != 3)
			put(runs[i]);
	is_size(arena.spilled, RUN, "an empty chunk is kept");
	np_spill_look_arena(&arena);
	is_size(arena.spilled, 0, "and is given back, page by page");
	end();
}

static void test_blind(void)
{
	char *runs[NRUNS];
	struct np_brought b = { .error = 0 };

	begin(runs, false);
	arena.owner.sees = false;
	fakenodes_spill(runs[0], CHUNK, true);
	np_spill_look_arena(&arena);
	np_spill_fetch_arena(&arena, &b);
	ok(!arena.spilled && !b.pages.seen && !b.error && !fakenodes.asks,
	   "where nobody is told, nobody asks");
	end();
}

/* --- used last -------------------------------------------------------- */

/* Two chunks, each with one run free: Netty takes from the one that was freed
 * to last. */
static void test_chunk_last(unsigned policies, bool last)
{
	char *runs[NRUNS], *more[NRUNS];
	void *p;

	begin(runs, false);
	arena.policies = policies;
	for (unsigned i = 0; i < NRUNS; i++)
		more[i] = take_run();
	fakenodes_spill(more[0], RUN, true);
	np_spill_look_arena(&arena);
	if (!arena.spilled)
		bail_out("the second chunk lies too far away");
	put(runs[5]);
	put(more[5]);
	p = take(run_class);
	ok(p == (last ? runs[5] : more[5]), "a chunk that spilled is used %s",
	   last ? "last" : "in its turn, if that is switched off");
	p = take(run_class);
	ok(p == (last ? more[5] : runs[5]), "then the other, before a new one");
	end();
}

static void test_subpage_last(void)
{
	unsigned class = np_class_of(&classes, 1000);
	uint32_t n = classes.row[class].nelems;
	void *first = NULL, *p;
	char *runs[NRUNS];

	begin(runs, false);
	fakenodes_spill(runs[0], RUN, true);
	put(runs[NRUNS - 1]);
	first = take(class);
	memset(first, 'x', 1000);
	np_spill_look_arena(&arena);
	/* Another subpage, of a chunk without a spill, full. */
	for (uint32_t i = 1; i < n; i++)
		take(class);
	while (chunk_of(p = take(class)) == chunk_of(first))
		;
	for (uint32_t i = 1; i < n; i++)
		take(class);
	put(first);
	put(p);
	ok(take(class) == p, "an element of a chunk without a spill");
	ok(take(class) == first, "comes before one of another");
	put(p);
	put(first);
	ok(take(class) == p, "whichever was freed last");
	end();
}

static void test_ring_at_look(void)
{
	unsigned class = np_class_of(&classes, 1000);
	uint32_t n = classes.row[class].nelems;
	void *first, *second;
	char *runs[NRUNS];

	begin(runs, false);
	put(runs[NRUNS - 1]);
	first = take(class);
	for (uint32_t i = 1; i < n; i++)
		take(class);
	while (chunk_of(second = take(class)) == chunk_of(first))
		;
	for (uint32_t i = 1; i < n; i++)
		take(class);
	put(second);
	put(first);
	fakenodes_spill(runs[0], RUN, true);
	np_spill_look_arena(&arena);
	ok(take(class) == second, "a look puts subpages of a chunk with a spill "
	   "to the end");
	end();
}

/* --- brought home ----------------------------------------------------- */

static void test_fetch(void)
{
	struct np_brought b = { .error = 0 };
	char *runs[NRUNS];

	begin(runs, false);
	fakenodes_spill(runs[1], 4 * RUN, true);
	fakenodes.room = 3 * RUN / PAGE;
	np_spill_fetch_arena(&arena, &b);
	is_int(b.error, ENOMEM, "there is room for three of four runs");
	is_size(b.pages.moved, 3 * RUN, "three are brought home");
	ok(b.pages.away == RUN && arena.spilled == RUN && counted() == RUN,
	   "one is counted");
	fakenodes.room = SIZE_MAX;
	b = (struct np_brought){ .error = 0 };
	np_spill_fetch_arena(&arena, &b);
	ok(!b.error && b.pages.moved == RUN && !b.pages.away,
	   "then that too");
	ok(!arena.spilled && !counted(), "none is away");
	is_uint(np_count_get(&np_segment_node(&segment, 1)->brought_home),
		4 * RUN, "what was brought is counted");
	for (unsigned i = 0; i < NRUNS; i++)
		if (runs[i][0] != 'x' || runs[i][RUN - 1] != 'x')
			bail_out("a run has lost what it holds");
	fakenodes_spill(runs[1], RUN, true);
	arena.owner.pinned = true;
	b = (struct np_brought){ .error = 0 };
	np_spill_fetch_arena(&arena, &b);
	ok(b.error == EBUSY && !b.pages.moved && b.pages.away == RUN,
	   "what is pinned stays");
	arena.owner.pinned = false;
	put(runs[1]);
	b = (struct np_brought){ .error = 0 };
	np_spill_fetch_arena(&arena, &b);
	ok(!b.error && !b.pages.moved && !b.pages.away,
	   "what is free need not be brought");
	end();
}

static void test_fetch_fails(void)
{
	unsigned n = 0;
	bool done = false, good = true;

	while (good && !done) {
		struct np_brought b = { .error = 0 };
		char *runs[NRUNS];

		begin(runs, false);
		fakenodes_spill(runs[1], RUN, true);
		put(runs[0]); /* so that there is a madvise */
		faultos_fail(++n, EPERM);
		np_spill_fetch_arena(&arena, &b);
		done = !faultos_failed();
		good = done ? !b.error && b.pages.moved == RUN
			    : b.pages.moved <= RUN && arena.spilled <= RUN;
		good = good && np_arena_valid(&arena);
		faultos_fail(0, 0);
		end();
	}
	ok(good, "each of %u calls fails", n - 1);
}

/* --- huge blocks ------------------------------------------------------ */

static char *huge(size_t size)
{
	bool zero;

	return np_huge_alloc(&blocks, &owner, size, NP_SLOT_SIZE, &zero);
}

static void test_huge(void)
{
	struct np_brought b = { .error = 0 };
	size_t size = 2 * CHUNK + 5 * PAGE;
	char *runs[NRUNS], *p, *q;

	begin(runs, false);
	p = memset(huge(size), 'x', size);
	q = memset(huge(CHUNK), 'y', CHUNK);
	fakenodes_begin(p < q ? p : q, 7 * CHUNK);
	np_huge_look(&blocks);
	is_uint(counted(), 0, "two blocks at home");
	fakenodes_spill(p + CHUNK, size - CHUNK, true);
	np_huge_look(&blocks);
	is_uint(counted(), size - CHUNK, "a part of one is elsewhere");
	is_size(np_map_find(p)->spill.bytes, size - CHUNK, "of that one");
	fakenodes.room = CHUNK / PAGE;
	np_huge_fetch(&blocks, &b);
	ok(b.error == ENOMEM && b.pages.moved == CHUNK &&
	   b.pages.away == 5 * PAGE, "there is room for a part of that");
	is_uint(counted(), 5 * PAGE, "the rest is counted");
	ok(np_huge_resize(&blocks, np_map_find(p), size - 3 * PAGE) == p,
	   "it shrinks");
	np_huge_look(&blocks);
	is_uint(counted(), 2 * PAGE, "some of that with it");
	fakenodes.room = SIZE_MAX;
	b = (struct np_brought){ .error = 0 };
	np_huge_fetch(&blocks, &b);
	ok(!b.error && b.pages.moved == 2 * PAGE && !counted(),
	   "then all are home");
	ok(p[0] == 'x' && p[2 * CHUNK + PAGE] == 'x' && q[CHUNK - 1] == 'y',
	   "with what they hold");
	fakenodes_spill(q, CHUNK, true);
	np_huge_look(&blocks);
	is_uint(counted(), CHUNK, "the other block has spilled");
	np_huge_set(&blocks, CHUNK, true);
	np_huge_free(&blocks, np_map_find(q));
	np_huge_look(&blocks);
	is_uint(counted(), 0, "a block that is kept is given back");
	is_size(pages_resident(q, CHUNK), 0, "page by page");
	np_huge_trim(&blocks, true);
	fakenodes_spill(p, CHUNK, true);
	np_huge_look(&blocks);
	fakenodes_spill(p, CHUNK, false);
	faultos_fail(1, EPERM);
	np_huge_look(&blocks);
	is_uint(counted(), CHUNK, "a look that is refused changes nothing");
	faultos_fail(0, 0);
	np_huge_fini(&blocks);
	end();
}

/* --- strict ----------------------------------------------------------- */

/* All but what is in use is on no node. */
static void test_strict_run(void)
{
	char *runs[NRUNS], *p;
	size_t charged;
	bool zero;

	begin(runs, true);
	put(runs[4]);
	np_decay_all(&arena);
	charged = np_limit_charged(&limit);
	fakenodes_spill(runs[4], RUN, true);
	fakenodes.room = 3;
	errno = 0;
	ok(!take(run_class) && errno == ENOMEM,
	   "no room on its node: a run is refused");
	is_size(fakenodes_away(runs[4], RUN), 0, "nothing of it is elsewhere");
	is_size(pages_resident(runs[4], RUN), 0, "nor anywhere");
	is_size(np_limit_charged(&limit), charged, "nor charged");
	ok(np_arena_valid(&arena), "the arena is valid");
	fakenodes.room = RUN / PAGE;
	p = np_arena_take_run(&arena, run_class, 1, &zero);
	ok(p == runs[4] && zero, "with room it is handed out, and zero");
	is_size(pages_resident(p, RUN), RUN / PAGE, "in memory whole");
	is_size(fakenodes_away(p, RUN), 0, "at home");
	fakenodes.asks = 0;
	put(p);
	ok(take(run_class) == p && !fakenodes.asks,
	   "what was not given back need not be asked about");
	end();
}

static void test_strict_elements(void)
{
	unsigned class = np_class_of(&classes, 3500); /* on several pages */
	size_t run = (size_t)classes.row[class].npages << classes.page_shift;
	uint32_t n = classes.row[class].nelems;
	void *pieces[600];
	char *runs[NRUNS];
	unsigned got;

	begin(runs, true);
	put(runs[4]);
	np_decay_all(&arena);
	fakenodes_spill(runs[4] + run, RUN - run, true);
	fakenodes.room = 0;
	got = np_arena_take(&arena, class, 600, pieces);
	is_uint(got, n, "elements of the one run that has room");
	is_size(pages_resident(runs[4], RUN), run / PAGE,
		"whose pages are in memory");
	is_size(fakenodes_away(runs[4], RUN), 0, "at home");
	for (unsigned i = 0; i < got - 1; i++)
		put(pieces[i]);
	np_decay_all(&arena);
	is_size(pages_resident(runs[4], RUN), run / PAGE,
		"they stay while one is taken");
	put(pieces[got - 1]);
	np_arena_release_empty(&arena, 100);
	np_decay_all(&arena);
	is_size(pages_resident(runs[4], RUN), 0, "and go with the run");
	is_size(np_limit_charged(&limit), (NRUNS - 1) * RUN,
		"what is charged balances");
	end();
}

/* A chunk that cannot be had on its node is not reserved. */
static void test_strict_reserve(void)
{
	char *runs[NRUNS];
	size_t charged;

	begin(runs, true);
	charged = np_limit_charged(&limit);
	fakenodes_spill((void *)fakenodes.base, 7 * CHUNK, true);
	fakenodes_spill(runs[0], CHUNK, false);
	fakenodes.room = 100;
	is_int(np_arena_reserve(&arena, true, false), ENOMEM,
	       "a chunk that does not fit is not reserved");
	is_size(np_limit_charged(&limit), charged, "nor charged");
	fakenodes.room = SIZE_MAX;
	is_int(np_arena_reserve(&arena, true, false), 0, "one that does, is");
	end();
}

static void test_strict_huge(void)
{
	char *runs[NRUNS], *p;
	size_t charged, reserved;

	begin(runs, false);
	charged = np_limit_charged(&limit);
	owner.strict = true;
	reserved = faultos_mapped();
	fakenodes_spill((void *)fakenodes.base, 7 * CHUNK, true);
	fakenodes.room = 100;
	ok(!huge(2 * CHUNK), "no room: a block is refused");
	is_size(np_limit_charged(&limit), charged, "and not charged");
	is_size(faultos_mapped(), reserved, "nor mapped");
	fakenodes.room = SIZE_MAX;
	p = huge(CHUNK + PAGE);
	ok(p && pages_resident(p, CHUNK + PAGE) == CHUNK / PAGE + 1 &&
	   !fakenodes_away(p, CHUNK + PAGE), "with room it is there");
	fakenodes.room = 1;
	ok(!np_huge_resize(&blocks, np_map_find(p), CHUNK + 3 * PAGE),
	   "it cannot grow by more than there is room");
	is_size(np_map_find(p)->block_size, CHUNK + PAGE, "is what it was");
	fakenodes.room = SIZE_MAX;
	p = np_huge_resize(&blocks, np_map_find(p), CHUNK + 3 * PAGE);
	ok(p && pages_resident(p, CHUNK + 3 * PAGE) == CHUNK / PAGE + 3,
	   "and grows when there is");
	np_huge_set(&blocks, 2 * CHUNK, true);
	np_os_purge(p, CHUNK);
	fakenodes_spill(p, CHUNK, true);
	np_huge_free(&blocks, np_map_find(p));
	fakenodes.room = 0;
	ok(!huge(CHUNK + 3 * PAGE), "a kept block is looked at too");
	is_size(np_limit_charged(&limit), charged, "nothing is charged");
	np_huge_fini(&blocks);
	owner.strict = false;
	end();
}

static void test_strict_fails(void)
{
	bool done = false, good = true;
	unsigned n = 0;

	while (good && !done) {
		char *runs[NRUNS], *p;
		size_t charged;

		begin(runs, true);
		put(runs[4]);
		np_decay_all(&arena);
		charged = np_limit_charged(&limit);
		fakenodes_spill(runs[4], RUN, true);
		faultos_fail(++n, ENOMEM);
		p = take(run_class);
		done = !faultos_failed();
		good = p ? !fakenodes_away(p, RUN)
			 : np_limit_charged(&limit) == charged &&
			   !pages_resident(runs[4], RUN);
		good = good && (p || !done) && np_arena_valid(&arena);
		faultos_fail(0, 0);
		end();
	}
	ok(good, "each of %u calls fails: home, or nothing", n - 1);
}

int main(void)
{
	struct np_config config;
	struct np_segment_pool shown = { .name = "test", .config = &config,
					 .classes = &classes,
					 .topology = &topology,
					 .narenas = 1 };

	np_classes_init(&classes, NP_FINE, 13, 11);
	np_config_preset(&config);
	np_topology_init(&topology, 2);
	np_meta_init(&topology);
	if (np_map_init() != 0 ||
	    np_segment_create(&segment, NULL, &shown) != 0)
		bail_out("no memory");
	np_huge_init(&blocks, 0, true);
	run_class = np_class_of(&classes, RUN);
	plan(6 + 10 + 1 + 4 + 3 + 1 + 8 + 1 + 13 + 9 + 6 + 3 + 9 + 1);
	test_sample();
	test_found();
	test_blind();
	test_chunk_last(NP_ALL_POLICIES, true);
	test_chunk_last(NP_ALL_POLICIES & ~NP_SPILLED_LAST, false);
	test_subpage_last();
	test_ring_at_look();
	test_fetch();
	test_fetch_fails();
	test_huge();
	test_strict_run();
	test_strict_elements();
	test_strict_reserve();
	test_strict_huge();
	test_strict_fails();
	return done();
}
