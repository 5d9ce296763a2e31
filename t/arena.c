/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * arena: a batch is as many single calls; each policy does what its name
 * says; limits count every page, and refuse; chunks are reserved, reset,
 * cleared and released; an arena that learns its node takes along what it
 * has; a misuse ends the process with the right words; several small chunks
 * share a region; two threads may miss at once; no memory is an error and no
 * more.
 */
#include "arena.h"
#include "child.h"
#include "config.h"
#include "decay.h"
#include "faultos.h"
#include "huge.h"
#include "meta.h"
#include "pages.h"
#include "rng.h"
#include "tap.h"
#include "topology.h"

#include <pthread.h>
#include <string.h>

static struct np_classes classes;
static struct np_arena arenas[3];
static struct np_limit node_limit, pool_limit;

static struct np_owner owner = {
	.bind_node = NP_ANYWHERE,
	.pool = "test",
	.limits = { &node_limit, &pool_limit },
};

static struct np_arena *make_arena(unsigned i, unsigned policies)
{
	memset(&arenas[i], 0, sizeof arenas[i]);
	np_arena_init(&arenas[i], &classes, &owner, i, policies, -1);
	return &arenas[i];
}

/* For who looks at what is charged: what ended before does not count. */
static struct np_arena *make_charged(unsigned policies)
{
	memset(&node_limit, 0, sizeof node_limit);
	memset(&pool_limit, 0, sizeof pool_limit);
	return make_arena(0, policies);
}

static size_t charged(void)
{
	size_t bytes = np_limit_charged(&pool_limit);

	return bytes == np_limit_charged(&node_limit) ? bytes : SIZE_MAX;
}

static void set_hard(size_t bytes)
{
	atomic_store(&node_limit.hard, bytes);
}

static void choose(enum np_class_table table, unsigned page_shift,
		   unsigned max_order)
{
	if (np_classes_init(&classes, table, page_shift, max_order))
		bail_out("no such geometry");
}

static uint64_t chunks_of(const struct np_arena *a)
{
	return np_count_get(&a->count->chunks);
}

static uint64_t taken_of(const struct np_arena *a)
{
	return np_count_get(&a->count->taken);
}

static void *take_one(struct np_arena *a, unsigned class)
{
	void *p;

	if (np_arena_take(a, class, 1, &p) != 1)
		bail_out("no memory");
	return p;
}

static void put_one(struct np_arena *a, void *p)
{
	np_arena_put(a, &p, 1);
}

/* The class of a whole chunk. */
static unsigned whole(void)
{
	return np_class_of(&classes, classes.chunk_size);
}

/* --- a batch is n singles --------------------------------------------- */

#define LIVE_MAX 6000
#define BATCH_MAX 150

/* The same pieces in two arenas: one works in batches, the other singly. */
struct twins {
	struct np_arena *batch, *single;
	void *of_batch[LIVE_MAX], *of_single[LIVE_MAX];
	unsigned nlive;
	struct rng rng;
};

static bool same_place(void *a, void *b)
{
	struct np_place x = np_place_of(a), y = np_place_of(b);

	return x.chunk->serial == y.chunk->serial && x.first == y.first &&
	       x.slot == y.slot && x.class == y.class && !x.offset;
}

static bool twins_take(struct twins *t)
{
	size_t size = rng_log(&t->rng, classes.chunk_size);
	unsigned class = np_class_of(&classes, size);
	unsigned most = classes.row[class].nelems ? BATCH_MAX : 5;
	unsigned n = 1 + (unsigned)rng_below(&t->rng, most), at = t->nlive;

	if (at + n > LIVE_MAX)
		return true;
	if (np_arena_take(t->batch, class, n, t->of_batch + at) != n)
		bail_out("no memory");
	for (unsigned i = at; i < at + n; i++) {
		t->of_single[i] = take_one(t->single, class);
		if (!same_place(t->of_batch[i], t->of_single[i]))
			return false;
	}
	t->nlive += n;
	return true;
}

static void twins_put(struct twins *t)
{
	void *group[BATCH_MAX];
	unsigned n = 1 + (unsigned)rng_below(&t->rng, BATCH_MAX), k = 0;

	while (k < n && t->nlive) {
		unsigned i = (unsigned)rng_below(&t->rng, t->nlive);

		group[k++] = t->of_batch[i];
		put_one(t->single, t->of_single[i]);
		t->of_batch[i] = t->of_batch[--t->nlive];
		t->of_single[i] = t->of_single[t->nlive];
	}
	np_arena_put(t->batch, group, k);
}

static bool same_lists(const struct twins *t)
{
	for (int i = 0; i < NP_NLISTS; i++) {
		const struct np_chunk *a = t->batch->lists[i].head;
		const struct np_chunk *b = t->single->lists[i].head;

		for (; a && b; a = a->next, b = b->next)
			if (a->serial != b->serial ||
			    a->free_bytes != b->free_bytes)
				return false;
		if (a || b)
			return false;
	}
	return chunks_of(t->batch) == chunks_of(t->single) &&
	       taken_of(t->batch) == taken_of(t->single) &&
	       !t->batch->spares == !t->single->spares;
}

static bool twins_stay_alike(struct twins *t, unsigned nops)
{
	for (unsigned op = 0; op < nops; op++) {
		/* Now it grows, now it shrinks. */
		bool grow = rng_chance(&t->rng, op / 100 % 2 ? 65 : 35);

		if (grow ? !twins_take(t) : (twins_put(t), false))
			return false;
		if (op % 64 == 0 && (!same_lists(t) ||
				     !np_arena_valid(t->batch) ||
				     !np_arena_valid(t->single)))
			return false;
	}
	while (t->nlive)
		twins_put(t);
	return same_lists(t) && !taken_of(t->batch);
}

static void test_batch(const char *name, unsigned policies, unsigned seed)
{
	static struct twins t;

	t = (struct twins){ make_arena(0, policies), make_arena(1, policies),
			    .rng = rng_seed(seed) };
	ok(twins_stay_alike(&t, 4000), "a batch of n is n singles: %s, %s",
	   name, policies ? "all policies" : "Netty's policies");
	ok(np_arena_valid(t.batch) && np_arena_valid(t.single),
	   "and both arenas are valid");
	np_arena_fini(t.batch);
	np_arena_fini(t.single);
}

static void test_batches(void)
{
	static const struct {
		const char *name;
		enum np_class_table table;
		unsigned page_shift, max_order;
	} geometries[] = {
		{ "netty, 16 MiB", NP_NETTY, 13, 11 },
		{ "netty, 128 KiB", NP_NETTY, 12, 5 },
		{ "fine, 16 MiB", NP_FINE, 13, 11 },
		{ "fine, 512 KiB", NP_FINE, 13, 6 },
	};

	for (unsigned i = 0; i < 4; i++) {
		choose(geometries[i].table, geometries[i].page_shift,
		       geometries[i].max_order);
		test_batch(geometries[i].name, 0, 2 * i);
		test_batch(geometries[i].name, NP_ALL_POLICIES, 2 * i + 1);
	}
}

/* --- policies --------------------------------------------------------- */

static void test_spare(void)
{
	struct np_arena *a = make_arena(0, NP_KEEP_SPARE);
	void *p[3], *again;

	for (int i = 0; i < 3; i++)
		p[i] = take_one(a, whole());
	is_uint(chunks_of(a), 3, "three runs of a chunk need three");
	for (int i = 0; i < 3; i++)
		put_one(a, p[i]);
	is_uint(chunks_of(a), 3, "keep_spare: empty chunks are kept");
	is_uint(np_count_get(&a->count->spare), 3, "and counted as spare");
	again = p[2];
	ok(np_map_find(again), "they are still mapped");
	is_ptr(take_one(a, whole()), again,
	       "the one that came last serves the next request");
	is_uint(np_count_get(&a->count->spare), 2, "it is not spare then");
	ok(np_arena_valid(a), "the arena is valid");
	put_one(a, again);
	is_uint(np_arena_trim(a), 3 * classes.chunk_size,
		"trim says that it gave the chunks back");
	is_uint(chunks_of(a), 0, "the chunks are gone");
	ok(!np_map_find(again), "and its addresses are nobody's");
	np_arena_fini(a);
	a = make_arena(0, NP_RELEASE_QINIT);
	p[0] = take_one(a, whole());
	put_one(a, p[0]);
	is_uint(chunks_of(a), 0, "without keep_spare none is kept");
	np_arena_fini(a);
}

static void test_qinit(void)
{
	unsigned page = np_class_of(&classes, 1u << classes.page_shift);
	struct np_arena *a = make_arena(0, 0);
	void *p = take_one(a, page);

	put_one(a, p);
	ok(a->lists[NP_QINIT].head && chunks_of(a) == 1,
	   "as in Netty, a chunk that empties in qInit stays there");
	np_arena_fini(a);
	is_uint(chunks_of(a), 0, "until the arena ends");
	a = make_arena(0, NP_RELEASE_QINIT);
	p = take_one(a, page);
	put_one(a, p);
	ok(!a->lists[NP_QINIT].head && !chunks_of(a),
	   "release_qinit: it leaves");
	ok(!np_map_find(p), "and is unmapped");
	np_arena_fini(a);
}

static void test_last_subpage(void)
{
	unsigned class = np_class_of(&classes, 64);
	struct np_arena *a = make_arena(0, NP_ALL_POLICIES);
	void *p = take_one(a, class);

	put_one(a, p);
	ok(np_place_of(p).entry && np_ring_first(&a->pools[class]),
	   "the last subpage of a pool stays when it empties");
	is_ptr(take_one(a, class), p, "and serves the next request");
	put_one(a, p);
	is_uint(taken_of(a), 0, "it does not count as taken");
	is_uint(np_arena_trim(a), classes.chunk_size,
		"trim releases it, and with it the chunk");
	ok(!np_ring_first(&a->pools[class]) && !chunks_of(a) &&
	   np_arena_valid(a), "the pool is empty and the arena valid");
	np_arena_fini(a);
}

/* Each multiple of a page up to a chunk, mixed with what disturbs. */
static void test_alignment(void)
{
	struct np_arena *a = make_arena(0, NP_ALL_POLICIES);
	size_t page = (size_t)1 << classes.page_shift;
	unsigned small = np_class_of(&classes, 100), n = 0;
	static void *p[256];
	bool zero, aligned = true;

	for (size_t align = page; align <= classes.chunk_size; align *= 2)
		for (size_t size = page; size <= align * 2 &&
		     size <= classes.chunk_size; size *= 2) {
			void *q = np_arena_take_run(a, np_class_of(&classes,
								   size),
						    align, &zero);

			aligned = aligned && q && (uintptr_t)q % align == 0;
			p[n++] = q;
			p[n++] = take_one(a, small);
		}
	ok(aligned, "runs lie at the multiple that was asked for");
	ok(np_arena_valid(a), "and the arena is valid");
	np_arenas_put(p, n);
	is_uint(taken_of(a), 0, "all of them go back");
	np_arena_trim(a);
	is_uint(chunks_of(a), 0, "and their chunks too");
	np_arena_fini(a);
}

static void test_arenas_put(void)
{
	void *p[300];
	struct rng rng = rng_seed(1);

	for (unsigned i = 0; i < 3; i++)
		make_arena(i, NP_ALL_POLICIES);
	for (unsigned i = 0; i < 300; i++)
		p[i] = take_one(&arenas[i % 3],
				np_class_of(&classes, rng_log(&rng, 100000)));
	np_arenas_put(p, 300);
	ok(!taken_of(&arenas[0]) && !taken_of(&arenas[1]) &&
	   !taken_of(&arenas[2]),
	   "pieces of three arenas in one magazine all get home");
	for (unsigned i = 0; i < 3; i++)
		np_arena_fini(&arenas[i]);
}

/* --- limits ----------------------------------------------------------- */

static size_t page_size(void)
{
	return (size_t)1 << classes.page_shift;
}

static unsigned class_of_pages(unsigned npages)
{
	return np_class_of(&classes, npages * page_size());
}

static void test_charges(void)
{
	struct np_arena *a = make_charged(NP_ALL_POLICIES);
	unsigned small = np_class_of(&classes, 64);
	size_t page = page_size();
	void *run = take_one(a, class_of_pages(64)), *p = take_one(a, small);
	void *more;

	is_size(charged(), 64 * page + classes.row[small].npages * page,
		"what is taken is charged, a subpage whole");
	more = take_one(a, small);
	is_size(charged(), 64 * page + classes.row[small].npages * page,
		"another element of it costs nothing");
	put_one(a, run);
	is_size(charged(), 64 * page + classes.row[small].npages * page,
		"freed pages stay charged while they may hold something");
	run = take_one(a, class_of_pages(64));
	is_size(charged(), 64 * page + classes.row[small].npages * page,
		"taken again they are not charged twice");
	put_one(a, run);
	np_decay_all(a);
	is_size(charged(), classes.row[small].npages * page,
		"purged they are no more");
	put_one(a, p);
	put_one(a, more);
	np_arena_trim(a);
	is_size(charged(), 0, "when all is given back nothing is charged");
	np_arena_fini(a);
}

/* The run would use 8 dirty pages and 56 others; it is refused when there is
 * room for `left`. */
static void test_refused(unsigned left)
{
	struct np_arena *a = make_charged(NP_ALL_POLICIES);
	size_t page = page_size(), before;
	void *p = take_one(a, class_of_pages(64)), *q;
	bool zero;

	/* Some of what the refused run would take is dirty. */
	q = take_one(a, class_of_pages(8));
	put_one(a, q);
	before = charged();
	set_hard(before + left * page);
	errno = 0;
	ok(np_arena_take(a, class_of_pages(64), 1, &q) == 0 &&
	   errno == ENOMEM, "a hard limit with room for %u pages refuses 64",
	   left);
	errno = 0;
	ok(!np_arena_take_run(a, class_of_pages(64), page, &zero) &&
	   errno == ENOMEM, "also if one asks for it alone");
	ok(charged() <= before, "a refused run is not charged");
	ok(np_arena_valid(a), "the arena is valid");
	set_hard(0);
	q = np_arena_take_run(a, class_of_pages(64), page, &zero);
	ok(q && (!zero || (!*(char *)q && !memcmp(q, (char *)q + 1,
						 64 * page - 1))),
	   "without the limit it is there, and zero if it says so");
	put_one(a, p);
	put_one(a, q);
	np_arena_trim(a);
	is_size(charged(), 0, "nothing is charged in the end");
	np_arena_fini(a);
}

static void test_refused_elements(void)
{
	struct np_arena *a = make_charged(NP_ALL_POLICIES);
	unsigned small = np_class_of(&classes, 1000);
	unsigned nelems = classes.row[small].nelems, got;
	static void *p[2000];

	set_hard(classes.row[small].npages * page_size());
	errno = 0;
	got = np_arena_take(a, small, nelems + 10, p);
	ok(got == nelems && errno == ENOMEM,
	   "a limit of one subpage gives its %u elements, and no more",
	   nelems);
	np_arena_put(a, p, got);
	ok(np_arena_valid(a) && !taken_of(a), "they go back");
	set_hard(1);
	np_arena_trim(a);
	ok(!np_arena_take(a, small, 1, p) && !taken_of(a) && !charged(),
	   "a limit below one gives none");
	np_arena_fini(a);
}

/* --- reserving -------------------------------------------------------- */

static size_t resident(const void *p)
{
	return pages_resident(p, classes.chunk_size) * np_os_page_size();
}

static void test_reserve(void)
{
	struct np_arena *a = make_charged(NP_ALL_POLICIES);
	size_t size = classes.chunk_size;
	struct np_chunk *c;
	void *p, *q;

	is_int(np_arena_reserve(a, false, false), 0, "a chunk is reserved");
	c = a->lists[NP_QINIT].head;
	ok(c && chunks_of(a) == 1 && !taken_of(a), "it is there, and empty");
	ok(!charged() && !resident(c->base), "it costs no memory yet");
	p = take_one(a, whole());
	is_ptr(p, c->base, "it serves the next request");
	is_size(charged(), size, "which is charged");
	q = take_one(a, whole());
	put_one(a, q);
	put_one(a, p);
	ok(a->lists[NP_QINIT].head == c && a->spares && a->spares != c,
	   "empty again it stays, and is not the spare one");
	is_size(np_arena_release_chunks(a, true), size,
		"the spare one is released");
	is_size(np_arena_trim(a), size, "of the other the pages are given "
		"back");
	is_uint(chunks_of(a), 1, "it stays");
	is_size(charged(), 0, "and is not charged");
	np_arena_fini(a);
	ok(!np_map_find(p), "when the arena ends it goes");
}

static void test_reserve_populated(void)
{
	struct np_arena *a = make_charged(NP_ALL_POLICIES);
	size_t size = classes.chunk_size;
	char *p;

	is_int(np_arena_reserve(a, true, false), 0,
	       "a chunk is reserved and populated");
	p = a->lists[NP_QINIT].head->base;
	is_size(resident(p), size, "its pages are in memory");
	is_size(charged(), size, "and charged");
	is_ptr(take_one(a, whole()), p, "it is handed out");
	is_size(charged(), size, "and charged once");
	memset(p, 1, size);
	put_one(a, p);
	is_size(np_arena_trim(a), 0, "a trim takes nothing of it");
	is_size(resident(p), size, "its pages stay");
	is_size(charged(), size, "and are charged");
	set_hard(2 * size - 1);
	is_int(np_arena_reserve(a, true, false), ENOMEM,
	       "another one that the limit has no room for: ENOMEM");
	ok(chunks_of(a) == 1 && charged() == size, "nothing was reserved");
	is_int(np_arena_reserve(a, false, false), 0,
	       "without pages it is no matter of limits");
	np_arena_fini(a);
}

/* The kernel that the reserving tests have. */
static struct {
	int populate, lock; /* the errno of what fails */
	size_t locked;	    /* bytes */
} kernel;

static int kernel_madvise(void *addr, size_t size, int advice)
{
	if (advice == MADV_POPULATE_WRITE && kernel.populate)
		return errno = kernel.populate, -1;
	return np_os_linux.madvise(addr, size, advice);
}

static int kernel_mlock(const void *addr, size_t size)
{
	(void)addr;
	if (kernel.lock)
		return errno = kernel.lock, -1;
	kernel.locked += size;
	return 0;
}

static void test_reserve_fails(int populate, int lock, int wanted,
			       const char *what)
{
	struct np_os os = np_os_linux;
	struct np_arena *a = make_charged(0);

	kernel.populate = populate;
	kernel.lock = lock;
	os.madvise = kernel_madvise;
	os.mlock = kernel_mlock;
	np_os = &os;
	is_int(np_arena_reserve(a, true, true), wanted, "%s", what);
	np_os = &np_os_linux;
	if (wanted)
		ok(!chunks_of(a) && !charged() && !a->regions,
		   "nothing is left of it");
	else
		ok(kernel.locked == classes.chunk_size &&
		   resident(a->lists[NP_QINIT].head->base) ==
		   classes.chunk_size, "its pages are there, and locked");
	np_arena_fini(a);
}

static void test_reserve_failures(void)
{
	test_reserve_fails(EINVAL, 0, 0,
			   "a kernel that cannot populate does without");
	test_reserve_fails(EFAULT, 0, ENOMEM,
			   "no memory to populate: ENOMEM");
	test_reserve_fails(0, EAGAIN, ENOMEM, "no memory to lock: ENOMEM");
	test_reserve_fails(0, EPERM, EPERM, "not allowed to lock: EPERM");
}

static int no_madvise(void *addr, size_t size, int advice)
{
	(void)addr, (void)size, (void)advice;
	return errno = ENOMEM, -1;
}

/* Chunks of 64 KiB: the place of one that is gone could not be purged, and a
 * chunk is reserved there. */
static void test_reserve_unclean(void)
{
	struct np_os os = np_os_linux;
	struct np_arena *a;
	void *p, *q;
	bool zero;

	choose(NP_FINE, 13, 3);
	a = make_charged(NP_RELEASE_QINIT);
	p = take_one(a, whole());
	q = take_one(a, whole());
	memset(p, 1, classes.chunk_size);
	os.madvise = no_madvise;
	np_os = &os;
	put_one(a, p);
	np_os = &np_os_linux;
	is_int(np_arena_reserve(a, true, false), 0,
	       "a chunk is reserved where another one was");
	is_size(charged(), 2 * classes.chunk_size, "it is charged once");
	ok(np_arena_take_run(a, whole(), 1, &zero) == p && !zero,
	   "and is not said to be zero");
	put_one(a, p);
	put_one(a, q);
	is_size(charged(), classes.chunk_size, "empty it is charged still");
	np_arena_fini(a);
	choose(NP_FINE, 13, 11);
}

/* --- all at once ------------------------------------------------------ */

static size_t free_in(const struct np_chunklist *list)
{
	size_t bytes = 0;

	for (const struct np_chunk *c = list->head; c; c = c->next)
		bytes += c->free_bytes;
	return bytes;
}

static void test_reset(void)
{
	enum { N = 3000 };
	static void *p[N];
	struct np_arena *a = make_charged(NP_ALL_POLICIES);
	struct rng rng = rng_seed(8);
	uint64_t nchunks;
	bool again = true, zero;
	size_t before;

	for (unsigned i = 0; i < N; i++)
		p[i] = take_one(a, np_class_of(&classes,
					       rng_log(&rng, NP_MIB)));
	for (unsigned i = 0; i < N; i += 3)
		put_one(a, p[i]);
	nchunks = chunks_of(a);
	before = charged();
	np_arena_reset(a);
	is_uint(taken_of(a), 0, "after a reset nothing is taken");
	is_uint(chunks_of(a), nchunks, "the chunks are there still");
	is_size(free_in(&a->lists[NP_QINIT]) +
		np_count_get(&a->count->spare) * classes.chunk_size,
		nchunks * classes.chunk_size, "all of them empty, in qInit");
	ok(np_arena_valid(a), "the arena is valid");
	is_size(charged(), before, "what was charged still may hold something");
	ok(np_arena_take_run(a, class_of_pages(1), page_size(), &zero) &&
	   !zero, "and is not said to be zero");
	for (unsigned i = 0; i < N; i++)
		again = again && take_one(a, np_class_of(&classes,
							 rng_log(&rng, 5000)));
	ok(again && np_arena_valid(a), "it serves requests again");
	np_arena_reset(a);
	is_size(np_arena_trim(a), nchunks * classes.chunk_size,
		"reset and trimmed it has given all chunks back");
	ok(!chunks_of(a) && !charged() && !a->regions, "and nothing is left");
	np_arena_fini(a);
}

static void test_clear(bool pinned)
{
	struct np_arena *a;
	char *p, *kept;
	size_t size = 64 * page_size();

	owner.pinned = pinned;
	a = make_charged(NP_ALL_POLICIES);
	owner.pinned = false;
	kept = take_one(a, class_of_pages(64));
	p = take_one(a, class_of_pages(64));
	is_int(np_place_of(p).chunk->pinned, pinned,
	       "chunks are pinned as their owner says");
	memset(kept, 'k', size);
	memset(p, 'p', size);
	put_one(a, p);
	np_arena_clear(a);
	ok(!p[0] && !memcmp(p, p + 1, size - 1),
	   "clearing leaves nothing in free pages");
	ok(kept[0] == 'k' && !memcmp(kept, kept + 1, size - 1),
	   "and spares what is used");
	put_one(a, kept);
	p = take_one(a, whole());
	memset(p, 'w', classes.chunk_size);
	put_one(a, p);
	np_arena_clear(a);
	ok(!np_map_find(p) || (!p[0] && !memcmp(p, p + 1,
						classes.chunk_size - 1)),
	   "nor in the spare chunk");
	np_arena_fini(a);
}

static void test_release_chunks(void)
{
	struct np_arena *a = make_charged(NP_ALL_POLICIES);
	size_t size = classes.chunk_size;
	void *p[3];

	np_arena_set_decay(a, 60000);
	for (int i = 0; i < 3; i++)
		p[i] = take_one(a, whole());
	is_size(np_arena_release_chunks(a, true), 0,
		"chunks in use are not released");
	np_arena_reset(a);
	is_size(np_arena_release_chunks(a, false), 0,
		"nor those that were used since the last tick");
	np_decay_tick(a);
	is_size(np_arena_release_chunks(a, false), 3 * size,
		"but those that were not");
	for (int i = 0; i < 2; i++)
		p[i] = take_one(a, whole());
	for (int i = 0; i < 2; i++)
		put_one(a, p[i]);
	is_size(np_arena_release_chunks(a, false), 0,
		"young spare ones stay");
	np_decay_tick(a);
	p[0] = take_one(a, whole());
	put_one(a, p[0]);
	is_size(np_arena_release_chunks(a, false), size,
		"an aged one goes, but not the one that was used again");
	is_size(np_arena_release_chunks(a, true), size,
		"unless all are meant");
	ok(!chunks_of(a) && !charged() && np_arena_valid(a),
	   "and nothing is left");
	np_arena_fini(a);
	a = make_arena(0, 0);
	put_one(a, take_one(a, class_of_pages(1)));
	is_size(np_arena_release_chunks(a, true), 0,
		"as in Netty, what is in qInit stays without the policy");
	np_arena_fini(a);
}

static void test_set_decay(void)
{
	struct np_arena *a = make_charged(NP_ALL_POLICIES);
	size_t size = 64 * page_size();
	char *keep = take_one(a, class_of_pages(64));
	char *p = take_one(a, class_of_pages(64));

	memset(p, 1, size);
	put_one(a, p);
	np_decay_tick(a);
	np_decay_tick(a);
	ok(pages_resident(p, size) > 0, "decay_ms -1: ticks purge nothing");
	np_arena_set_decay(a, 1000);
	np_decay_tick(a);
	np_decay_tick(a);
	is_size(pages_resident(p, size), 0, "set anew they do");
	np_arena_set_decay(a, 0);
	p = take_one(a, class_of_pages(64));
	memset(p, 1, size);
	put_one(a, p);
	is_size(pages_resident(p, size), 0, "set to 0 a free does it itself");
	put_one(a, keep);
	np_arena_fini(a);
}

/* --- learning the node ------------------------------------------------ */

#define LATE_HOME 1
#define LATE_INDEX 2

static struct np_segment segment;

/* A node that the arena learns of late. */
static struct np_owner late_owner(void)
{
	static struct np_topology topology;
	static struct np_config config;
	struct np_segment_pool shown = { .name = "late",
					 .config = &config,
					 .classes = &classes,
					 .topology = &topology,
					 .narenas = LATE_INDEX + 1 };
	struct np_owner late = owner;

	np_config_preset(&config);
	np_topology_init(&topology, 2);
	np_meta_init(&topology);
	if (np_segment_create(&segment, NULL, &shown))
		bail_out("no segment");
	late.tag = np_tag(3, LATE_HOME);
	late.segment = &segment;
	return late;
}

static void test_settled_counts(const struct np_arena *a, uint64_t taken)
{
	const struct np_segment_node *node = np_segment_node(&segment,
							     LATE_HOME);

	is_ptr(a->count, np_segment_arena(&segment, LATE_INDEX),
	       "it counts in the segment");
	is_uint(a->count->home, LATE_HOME, "there it has its home");
	is_uint(taken_of(a), taken, "what was taken is counted there");
	is_uint(np_count_get(&node->taken), taken, "and by the node");
	is_uint(np_count_get(&node->reserved),
		chunks_of(a) * classes.chunk_size, "as is what is reserved");
	is_uint(np_count_get(&segment.header->chunks_used), chunks_of(a),
		"others can see its chunks");
}

static void test_settle(void)
{
	struct np_owner early = owner, late = late_owner();
	struct np_arena *a = &arenas[0];
	unsigned small = np_class_of(&classes, 64);
	const struct np_sight *sight;
	char *p, *q, *r;
	uint64_t taken;

	make_charged(0);
	early.limits.node = NULL;
	memset(a, 0, sizeof *a);
	np_arena_init(a, &classes, &early, LATE_INDEX, NP_ALL_POLICIES, -1);
	p = take_one(a, small);
	q = take_one(a, class_of_pages(32));
	r = take_one(a, whole());
	put_one(a, q);
	put_one(a, r);
	ok(a->spares && !np_count_get(&segment.header->chunks_used),
	   "an arena has pieces, dirty pages and a spare chunk early");
	taken = taken_of(a);
	np_arena_settle(a, &late);
	test_settled_counts(a, taken);
	ok(np_region_tag(np_map_find(p)) == late.tag &&
	   np_region_tag(np_map_find(r)) == late.tag,
	   "its regions belong to the node");
	ok(charged() > classes.chunk_size && charged() != SIZE_MAX,
	   "the node is charged what the pool is");
	sight = &np_place_of(p).chunk->sight;
	is_uint(sight->map[np_place_of(p).first], small,
		"others can see what is taken");
	is_uint(sight->fill[np_place_of(p).first], 1, "how many elements,");
	is_uint(*sight->list, NP_QINIT, "and in which list the chunk is");
	put_one(a, p);
	np_arena_trim(a);
	ok(!charged() && !np_count_get(&np_segment_node(&segment, LATE_HOME)
				       ->reserved), "all goes back there");
	np_arena_fini(a);
	np_segment_destroy(&segment);
	np_meta_init(NULL);
}

/* --- what others see --------------------------------------------------- */

/* Is what others see of the chunk what it is? */
static bool is_seen(const struct np_chunk *c)
{
	uint32_t list = c->list ? c->list->name : NP_NLISTS;

	for (uint32_t p = 0; p < np_chunk_npages(c); p++) {
		uint32_t entry = c->pages[p];
		const struct np_subpage *sp;

		if (c->sight.map[p] != (entry & NP_PAGE_CLASS))
			return false;
		if (!(entry & NP_PAGE_SUBPAGE) || entry >> NP_PAGE_OFFSET_SHIFT)
			continue;
		sp = np_chunk_subpage(c, p);
		if (c->sight.fill[p] != sp->max_elems - sp->avail)
			return false;
	}
	return *c->sight.list == list;
}

static bool all_is_seen(const struct np_arena *a)
{
	for (int i = 0; i < NP_NLISTS; i++)
		for (struct np_chunk *c = a->lists[i].head; c; c = c->next)
			if ((int)c->list->name != i || !is_seen(c))
				return false;
	for (struct np_chunk *c = a->spares; c; c = c->next)
		if (!is_seen(c))
			return false;
	return true;
}

/* Grows and shrinks by turns, and looks now and then. */
static bool stays_seen(struct np_arena *a, unsigned nops)
{
	static void *live[LIVE_MAX];
	struct rng rng = rng_seed(7);
	unsigned n = 0;
	bool seen = true;

	for (unsigned op = 0; op < nops; op++) {
		size_t size = rng_log(&rng, classes.chunk_size);
		unsigned i = n ? (unsigned)rng_below(&rng, n) : 0;

		if (n < LIVE_MAX && rng_chance(&rng, op / 500 % 2 ? 30 : 70)) {
			live[n++] = take_one(a, np_class_of(&classes, size));
		} else if (n) {
			put_one(a, live[i]);
			live[i] = live[--n];
		}
		seen = seen && (op % 64 || all_is_seen(a));
	}
	np_arena_put(a, live, n);
	return seen && all_is_seen(a);
}

static void test_sight(void)
{
	struct np_owner late = late_owner();
	struct np_arena *a = make_arena(0, NP_ALL_POLICIES);

	np_arena_settle(a, &late);
	ok(stays_seen(a, 8000), "others see the pages, fills and lists of chunks "
	   "as they are");
	ok(a->spares && all_is_seen(a), "spare ones too");
	take_one(a, np_class_of(&classes, 64));
	np_arena_reset(a);
	ok(a->lists[NP_QINIT].head && all_is_seen(a), "and after a reset");
	np_arena_fini(a);
	np_segment_destroy(&segment);
	np_meta_init(NULL);
}

/* --- misuse ----------------------------------------------------------- */

struct misuse {
	struct np_arena *arena;
	void *p;
	bool check; /* by np_place_check, else by putting it back */
};

static void misuse(void *arg)
{
	struct misuse *m = arg;

	if (m->check)
		np_arena_check(m->p, "free");
	else
		np_arenas_put(&m->p, 1);
}

/* p, said to be free, ends the process with these words behind "free(p): ",
 * at the call and in the arena. */
static void dies(struct np_arena *a, void *p, const char *words,
		 const char *what)
{
	char wanted[512];
	struct misuse m = { a, p, true };

	snprintf(wanted, sizeof wanted, "libnpool: free(%p): %s\n", p, words);
	for (int i = 0; i < 2; i++) {
		struct child c = child_run(misuse, &m);

		ok(child_killed(&c, SIGABRT), "%s aborts, %s", what,
		   m.check ? "if checked" : "in the arena");
		is_str(c.text, wanted, "and says so");
		m.check = false;
	}
}

static char *element_words(char *words, size_t size, const char *fault,
			   void *p)
{
	struct np_place place = np_place_of(p);

	snprintf(words, size, "%s: %zu bytes into element %u of the subpage at "
		 "page %u of chunk %p (class 96, arena 0, node 0, pool test)",
		 fault,
		 place.offset, place.slot, place.first,
		 (void *)place.chunk->base);
	return words;
}

static void test_misuse_of_elements(struct np_arena *a)
{
	unsigned class = np_class_of(&classes, 96);
	void *p[5];
	char words[400];

	if (np_arena_take(a, class, 5, p) != 5)
		bail_out("no memory");
	put_one(a, p[3]);
	dies(a, p[3], element_words(words, sizeof words, "double free", p[3]),
	     "an element that was freed already");
	dies(a, (char *)p[2] + 16,
	     element_words(words, sizeof words, "interior pointer",
			   (char *)p[2] + 16),
	     "a pointer into an element");
	np_arena_check(p[2], "free");
	ok(true, "a live element passes the check");
	put_one(a, p[0]);
	put_one(a, p[1]);
	put_one(a, p[2]);
	put_one(a, p[4]);
}

static void test_misuse_of_runs(struct np_arena *a)
{
	unsigned class = np_class_of(&classes, 5u << classes.page_shift);
	size_t size = classes.row[class].size;
	struct np_place place;
	char words[400];
	char *p = take_one(a, class), *keep = take_one(a, class);

	place = np_place_of(p);
	snprintf(words, sizeof words, "interior pointer: %zu bytes into the "
		 "run of 5 pages at page %u of chunk %p (class %zu, arena 0, "
		 "node 0, pool test)", size - 1, place.first,
		 (void *)place.chunk->base, size);
	dies(a, p + size - 1, words, "a pointer to the end of a run");
	put_one(a, p);
	snprintf(words, sizeof words, "double free: page %u of chunk %p is "
		 "free (arena 0, node 0, pool test)", place.first,
		 (void *)place.chunk->base);
	dies(a, p, words, "a run that was freed already");
	put_one(a, keep);
}

static void test_misuse_of_others(struct np_arena *a)
{
	struct np_huge blocks;
	char words[400], *huge;
	bool zero;
	int mine;

	dies(a, &mine, "not a pointer of any pool", "a pointer to the stack");
	dies(a, (void *)(uintptr_t)-64, "not a pointer of any pool",
	     "an address beyond all");
	dies(a, (void *)1, "not a pointer of any pool", "address 1");
	np_huge_init(&blocks, 0, false);
	huge = np_huge_alloc(&blocks, &owner, 20 * NP_MIB, NP_SLOT_SIZE,
			     &zero);
	snprintf(words, sizeof words, "interior pointer: 17000000 bytes into "
		 "the huge block at %p of 20971520 bytes (pool test)",
		 (void *)huge);
	dies(a, huge + 17000000, words, "a pointer into a huge block");
	np_huge_free(&blocks, np_map_find(huge));
	dies(a, huge, "not a pointer of any pool",
	     "a huge block that was freed already");
}

/* Chunks of 64 KiB: one may be gone while the region is still there. */
static void test_misuse_of_gone_chunks(void)
{
	struct np_arena *a;
	void *p, *q;

	choose(NP_FINE, 13, 3);
	a = make_arena(0, NP_RELEASE_QINIT);
	p = take_one(a, whole());
	q = take_one(a, whole());
	put_one(a, p);
	dies(a, p, "double free: its chunk is unmapped",
	     "a piece whose chunk is gone");
	put_one(a, q);
	np_arena_fini(a);
}

static void test_misuse(void)
{
	struct np_arena *a = make_arena(0, NP_ALL_POLICIES);

	test_misuse_of_elements(a);
	test_misuse_of_runs(a);
	test_misuse_of_others(a);
	np_arena_fini(a);
	test_misuse_of_gone_chunks();
}

/* --- small chunks ----------------------------------------------------- */

static void test_small_chunks(unsigned page_shift, unsigned max_order)
{
	enum { N = 1000 };
	static void *p[N];
	struct np_arena *a;
	unsigned nregions = 0, per;

	choose(NP_FINE, page_shift, max_order);
	per = (unsigned)(NP_SLOT_SIZE / classes.chunk_size);
	a = make_arena(0, NP_ALL_POLICIES);
	for (unsigned i = 0; i < N; i++)
		p[i] = take_one(a, whole());
	for (struct np_region *r = a->regions; r; r = r->next)
		nregions++;
	is_uint(nregions, (N + per - 1) / per,
		"%d chunks of %zu bytes lie %u in a region", N,
		classes.chunk_size, per);
	ok(np_arena_valid(a), "the arena is valid");
	for (unsigned i = 0; i < N; i += 2)
		put_one(a, p[i]);
	for (unsigned i = 0; i < N; i += 2)
		p[i] = take_one(a, whole());
	nregions = 0;
	for (struct np_region *r = a->regions; r; r = r->next)
		nregions++;
	is_uint(nregions, (N + per - 1) / per,
		"places of chunks that are gone are used again");
	np_arenas_put(p, N);
	np_arena_trim(a);
	ok(!a->regions && !chunks_of(a) && !np_map_find(p[0]),
	   "when all is free nothing stays mapped");
	np_arena_fini(a);
}

/* Whatever happened to a chunk: what is said to be zero is zero. */
static void test_zero_is_true(void)
{
	enum { N = 300 };
	static char *p[N];
	struct np_arena *a;
	struct rng rng = rng_seed(5);
	unsigned lies = 0, clean = 0;

	choose(NP_FINE, 12, 3);
	a = make_arena(0, NP_ALL_POLICIES);
	for (unsigned op = 0; op < 20000; op++) {
		unsigned i = (unsigned)rng_below(&rng, N);
		size_t size = 4096 * (1 + rng_below(&rng, 8));
		unsigned class = np_class_of(&classes, size);
		bool zero;

		if (p[i]) {
			put_one(a, p[i]);
			p[i] = NULL;
			continue;
		}
		if (classes.row[class].nelems)
			continue;
		size = classes.row[class].size;
		p[i] = np_arena_take_run(a, class, 1, &zero);
		clean += zero;
		lies += zero && (p[i][0] || p[i][size - 1] ||
				 memcmp(p[i], p[i] + 1, size - 1));
		memset(p[i], 0xa5, size);
		if (op % 4000 == 0)
			np_arena_trim(a);
	}
	is_uint(lies, 0, "a run that is said to read as zero does");
	ok(clean > 0, "and that is said now and then (%u times)", clean);
	np_arena_fini(a);
}

/* --- threads ---------------------------------------------------------- */

static pthread_barrier_t both_map;

/* The first large mapping of each thread waits for the other's. */
static void *mmap_together(void *addr, size_t size, int prot, int flags,
			   int fd, off_t offset)
{
	static _Thread_local bool waited;

	if (size >= NP_SLOT_SIZE && !waited) {
		waited = true;
		pthread_barrier_wait(&both_map);
	}
	return np_os_linux.mmap(addr, size, prot, flags, fd, offset);
}

static void *miss(void *arg)
{
	return take_one(arg, np_class_of(&classes, 100));
}

static void test_two_misses(void)
{
	struct np_os os = np_os_linux;
	struct np_arena *a = make_arena(0, NP_ALL_POLICIES);
	pthread_t threads[2];
	void *p[2];

	pthread_barrier_init(&both_map, NULL, 2);
	os.mmap = mmap_together;
	np_os = &os;
	for (int i = 0; i < 2; i++)
		if (pthread_create(&threads[i], NULL, miss, a))
			bail_out("no thread");
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], &p[i]);
	np_os = &np_os_linux;
	is_uint(chunks_of(a), 2, "two threads that miss at once map two");
	ok(np_place_of(p[0]).chunk == np_place_of(p[1]).chunk && p[0] != p[1],
	   "both are served from the one that came first");
	ok(a->spares && np_arena_valid(a), "the other one is spare");
	np_arenas_put(p, 2);
	np_arena_trim(a);
	is_uint(chunks_of(a), 0, "trim takes both");
	np_arena_fini(a);
}

#define NTHREADS 4
#define NOPS 4000

static void *churn(void *arg)
{
	struct np_arena *a = arg;
	struct rng rng = rng_seed((uintptr_t)&rng);
	void *p[64] = { 0 };
	uintptr_t done = 0;

	for (unsigned op = 0; op < NOPS; op++, done++) {
		unsigned i = (unsigned)rng_below(&rng, 64);

		if (p[i]) {
			put_one(a, p[i]);
			p[i] = NULL;
		} else {
			size_t size = rng_log(&rng, classes.chunk_size / 4);

			p[i] = take_one(a, np_class_of(&classes, size));
			*(volatile char *)p[i] = 1;
		}
	}
	for (unsigned i = 0; i < 64; i++)
		if (p[i])
			put_one(a, p[i]);
	return (void *)done;
}

static void test_threads(void)
{
	struct np_arena *a = make_arena(0, NP_ALL_POLICIES);
	pthread_t threads[NTHREADS];
	uintptr_t total = 0;

	for (int i = 0; i < NTHREADS; i++)
		if (pthread_create(&threads[i], NULL, churn, a))
			bail_out("no thread");
	for (int i = 0; i < NTHREADS; i++) {
		void *ops;

		pthread_join(threads[i], &ops);
		total += (uintptr_t)ops;
	}
	is_uint(total, NTHREADS * NOPS, "%d threads share an arena", NTHREADS);
	is_uint(taken_of(a), 0, "all is put back");
	ok(np_arena_valid(a), "and the arena is valid");
	np_arena_trim(a);
	is_uint(chunks_of(a), 0, "no chunk stays");
	np_arena_fini(a);
}

/* --- no memory -------------------------------------------------------- */

/* Takes and puts all there is; returns how many pieces it got. */
static unsigned scenario(struct np_arena *a, bool *errno_right)
{
	static const size_t sizes[] = { 16, 96, 1000, 9000, 70000 };
	void *p[100];
	unsigned got = 0;
	bool zero;

	*errno_right = true;
	for (unsigned i = 0; i < 5; i++) {
		unsigned class = np_class_of(&classes, sizes[i]), n;

		errno = 0;
		n = np_arena_take(a, class, 10, p + got);
		*errno_right = *errno_right && (n == 10 || errno == ENOMEM);
		got += n;
	}
	errno = 0;
	p[got] = np_arena_take_run(a, whole(), 1, &zero);
	*errno_right = *errno_right && (p[got] || errno == ENOMEM);
	got += p[got] != NULL;
	np_arenas_put(p, got);
	return got;
}

static void test_faults(void)
{
	unsigned long n;
	bool clean = true, errno_right = true, right;

	choose(NP_FINE, 13, 4); /* 128 KiB */
	faultos_begin();
	for (n = 1; ; n++) {
		struct np_arena *a = make_arena(0, NP_ALL_POLICIES);

		faultos_fail(n, ENOMEM);
		scenario(a, &right);
		errno_right = errno_right && right;
		clean = clean && !taken_of(a) && np_arena_valid(a);
		if (!faultos_failed())
			break;
		faultos_fail(0, 0);
		clean = clean && scenario(a, &right) == 51;
		np_arena_trim(a);
		clean = clean && !chunks_of(a) && !a->regions;
		np_arena_fini(a);
	}
	faultos_end();
	ok(n > 3, "a scenario of %lu system calls", n - 1);
	ok(errno_right, "any of them fails: ENOMEM or success");
	ok(clean, "the arena stays valid, loses nothing and works again");
	np_arena_fini(&arenas[0]);
}

int main(void)
{
	plan(212);
	np_meta_init(NULL);
	if (np_map_init())
		bail_out("no chunk map");
	test_batches();
	choose(NP_FINE, 13, 11);
	test_spare();
	test_qinit();
	test_last_subpage();
	test_alignment();
	test_arenas_put();
	test_charges();
	test_refused(0);
	test_refused(8);
	test_refused(55);
	test_refused_elements();
	test_reserve();
	test_reserve_populated();
	test_reserve_failures();
	test_reserve_unclean();
	test_reset();
	test_clear(false);
	test_clear(true);
	test_release_chunks();
	test_set_decay();
	test_two_misses();
	test_threads();
	test_misuse();
	test_small_chunks(12, 0);
	test_small_chunks(12, 5);
	test_small_chunks(13, 9);
	test_zero_is_true();
	test_faults();
	choose(NP_FINE, 13, 11);
	test_settle();
	test_sight();
	return done();
}
