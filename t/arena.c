/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * arena: a batch is as many single calls; each policy does what its name
 * says; a misuse ends the process with the right words; several small chunks
 * share a region; two threads may miss at once; no memory is an error and no
 * more.
 */
#include "arena.h"
#include "child.h"
#include "faultos.h"
#include "huge.h"
#include "meta.h"
#include "rng.h"
#include "tap.h"

#include <pthread.h>
#include <string.h>

static struct np_classes classes;
static struct np_arena arenas[3];

static struct np_arena *make_arena(unsigned i, unsigned policies)
{
	memset(&arenas[i], 0, sizeof arenas[i]);
	np_arena_init(&arenas[i], &classes, 0, -1, i, policies, -1);
	return &arenas[i];
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
	       !t->batch->spare == !t->single->spare;
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
	is_uint(chunks_of(a), 1, "keep_spare: one empty chunk is kept");
	is_uint(np_count_get(&a->count->spare), 1, "and counted as spare");
	ok(a->spare && np_map_find(a->spare->base), "it is still mapped");
	again = a->spare->base;
	is_ptr(take_one(a, whole()), again, "it serves the next request");
	is_uint(np_count_get(&a->count->spare), 0, "there is none then");
	ok(np_arena_valid(a), "the arena is valid");
	put_one(a, again);
	is_uint(np_arena_trim(a), classes.chunk_size,
		"trim says that it gave the chunk back");
	is_uint(chunks_of(a), 0, "the chunk is gone");
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
		 "page %u of chunk %p (class 96, arena 0, node 0)", fault,
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
		 "node 0)", size - 1, place.first, (void *)place.chunk->base,
		 size);
	dies(a, p + size - 1, words, "a pointer to the end of a run");
	put_one(a, p);
	snprintf(words, sizeof words, "double free: page %u of chunk %p is "
		 "free (arena 0, node 0)", place.first,
		 (void *)place.chunk->base);
	dies(a, p, words, "a run that was freed already");
	put_one(a, keep);
}

static void test_misuse_of_others(struct np_arena *a)
{
	char words[400];
	int mine;
	char *huge;

	dies(a, &mine, "not a pointer of this pool", "a pointer to the stack");
	dies(a, (void *)(uintptr_t)-64, "not a pointer of this pool",
	     "an address beyond all");
	dies(a, (void *)1, "not a pointer of this pool", "address 1");
	huge = np_huge_alloc(0, -1, 20 * NP_MIB, NP_SLOT_SIZE);
	snprintf(words, sizeof words, "interior pointer: 17000000 bytes into "
		 "the huge block at %p of 20971520 bytes", (void *)huge);
	dies(a, huge + 17000000, words, "a pointer into a huge block");
	np_huge_free(np_map_find(huge));
	dies(a, huge, "not a pointer of this pool",
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
	ok(a->spare && np_arena_valid(a), "the other one is the spare");
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
	plan(107);
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
	test_two_misses();
	test_threads();
	test_misuse();
	test_small_chunks(12, 0);
	test_small_chunks(12, 5);
	test_small_chunks(13, 9);
	test_zero_is_true();
	test_faults();
	return done();
}
