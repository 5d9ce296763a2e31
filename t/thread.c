/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * thread: caches come with the first call, one seat for each pool, are dealt
 * out evenly to arenas, follow the thread from node to node, and are given
 * back when it ends, whatever its destructors do; what idle threads have can be
 * reclaimed; thousands of threads leave nothing behind.
 *
 * Four nodes are invented. A thread is put on one by hand, and where the
 * machine has two CPUs, by moving it from one to the other.
 */
#include "conf.h"
#include "figures.h"
#include "npool.h"
#include "os.h"
#include "pool.h"
#include "rng.h"
#include "start.h"
#include "stay.h"
#include "tap.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h> /* sched_setaffinity */

#define CONF "nodes:4,arenas:2,decay_ms:-1"
#define NHOMES 4
#define WAVE 64

static int home_of(const void *p)
{
	return np_region_home(np_map_find(p));
}

/* Visits the slow path. */
static void visit(unsigned n)
{
	while (n--)
		npool_free(npool_aligned_alloc(4096, 8192));
}

/* The next call knows where the thread is then: where the fast paths do not look,
 * a visit to the slow path does. */
static void look(void)
{
#ifndef NP_FAST_LOOKS
	visit(1);
#endif
}

/* The home that a call gets its memory from now. */
static int home_now(void)
{
	void *p;
	int home;

	look();
	p = npool_malloc(100);
	home = home_of(p);
	npool_free(p);
	return home;
}

/* Caches that are assigned to arenas of this home. */
static unsigned caches_on(int home)
{
	const struct np_node *node = &np_pool.nodes.node[home];
	unsigned n = 0;

	for (unsigned i = 0; i < node->narenas; i++)
		n += node->arenas[i]->nthreads;
	return n;
}

static unsigned caches(void)
{
	unsigned n = 0;

	for (int home = 0; home < (int)np_pool.nodes.n; home++)
		n += caches_on(home);
	return n;
}

static void run(void *(*body)(void *), void *arg)
{
	pthread_t t;

	if (pthread_create(&t, NULL, body, arg) || pthread_join(t, NULL))
		bail_out("no thread");
}

/* --- life ------------------------------------------------------------- */

static void test_first_call(void)
{
	void *p;

	ok(np_self == &np_cache_none && !np_me && !np_thread_cache_now(0),
	   "a thread has no cache at first");
	is_uint(figures().threads, 0, "and does not count");
	p = npool_malloc(10);
	ok(np_self != &np_cache_none && np_me &&
	   np_me->seat[0]->now == np_self, "its first call makes one");
	ok(np_thread_cache_now(0) == np_self, "that is found");
	is_uint(figures().threads, 1, "now it counts");
	is_uint(caches(), 1, "in one arena");
	npool_free(p);
	npool_flush_thread();
	ok(np_self == &np_cache_none && !np_thread_cache_now(0),
	   "flushing gives it up");
	is_uint(figures().threads, 0, "it does not count any more");
	is_uint(caches(), 0, "nor in the arena");
	npool_flush_thread();
	ok(np_self == &np_cache_none, "once more does nothing");
	p = npool_malloc(10);
	ok(p && np_self != &np_cache_none, "the next call makes a new one");
	npool_free(p);
}

static void *busy_thread(void *arg)
{
	static void *p[3000];

	for (unsigned i = 0; i < 3000; i++)
		p[i] = npool_malloc(i % 500 + 1);
	for (unsigned i = 0; i < 3000; i++)
		npool_free(p[i]);
	p[0] = npool_malloc(NP_MIB);
	npool_free(p[0]);
	*(struct npool_figures *)arg = figures();
	return NULL;
}

static void test_end(void)
{
	struct npool_figures before = figures(), then, after;

	run(busy_thread, &then);
	after = figures();
	ok(then.cached > before.cached + NP_MIB, "a thread caches pieces");
	is_uint(then.threads, before.threads + 1, "and counts");
	is_uint(after.threads, before.threads, "until it ends");
	ok(after.cached > before.cached + NP_MIB,
	   "what it cached is in the depot then");
	is_uint(after.used, before.used, "what is used is what it was");
	is_uint(after.allocs - after.frees, before.allocs - before.frees,
		"as many allocs as frees stay counted");
	npool_trim();
	is_uint(figures().cached, 0, "a trim takes it from there");
	is_uint(figures().used, before.used, "and nothing else");
}

/* --- by hand ---------------------------------------------------------- */

static void test_set_home(void)
{
	bool right = true;

	is_int(npool_thread_set_node(NHOMES), EINVAL,
	       "there is no home 4 of four");
	is_int(npool_thread_set_node(-2), EINVAL, "nor a home -2");
	for (int home = 0; home < NHOMES; home++) {
		right = right && !np_thread_set_home(&np_topology, home) &&
			np_self->home == home && home_now() == home &&
			np_thread_home(&np_pool.nodes) == home;
	}
	ok(right, "a thread that is put on a home gets its memory from there");
	is_int(np_thread_set_home(&np_topology, -1), 0, "-1 is allowed");
	is_int(home_now(), sched_getcpu() % NHOMES,
	       "then it follows the CPU again");
	npool_flush_thread();
	is_uint(caches(), 0, "flushing gives up its caches of all homes");
}

/* --- several pools ---------------------------------------------------- */

static npool_t *make_pool(const char *nodes)
{
	struct npool_attr attr = NPOOL_ATTR_INIT;
	npool_t *pool;

	attr.nodes = nodes;
	attr.arenas = 1;
	if (npool_create(&pool, &attr) != 0)
		bail_out("no pool");
	return pool;
}

static void test_pools(void)
{
	npool_t *one = make_pool("2"), *all = make_pool(NULL);
	struct np_cache *own, *c;
	void *p, *q;

	npool_free(npool_malloc(1));
	own = np_self;
	p = npool_alloc(one, 100, 0);
	q = npool_alloc(all, 100, 0);
	c = np_thread_cache_now(one->slot);
	ok(c && np_thread_cache_now(all->slot) &&
	   c != np_thread_cache_now(all->slot) && np_self == own,
	   "a thread has a seat in each pool that it uses");
	ok(figures_of(one).threads == 1 && figures_of(all).threads == 1,
	   "and counts in each");
	np_thread_set_home(&np_topology, 1);
	is_int(np_thread_home(&one->nodes), 2, "in a pool of one node it is "
	       "there wherever it is put");
	is_int(np_thread_home(&all->nodes), 1, "in others where it is put");
	is_ptr(np_thread_cache(&one->nodes), c, "there it keeps its cache");
	ok(np_self->home == 1 && np_thread_cache_now(all->slot)->home == 1,
	   "and gets one for the node in the others");
	npool_free(p);
	npool_free(q);
	ok(figures_of(one).cached && !figures_of(one).used,
	   "its pieces are cached by the pool that they are of");
	np_thread_flush(one->slot, false);
	ok(!figures_of(one).cached && figures_of(all).cached,
	   "a flush is about one pool");
	is_ptr(np_thread_cache_now(one->slot), c, "which it keeps its seat in");
	npool_free(npool_alloc(one, 100, 0));
	np_thread_flush(one->slot, true);
	ok(np_count_get(&one->nodes.node[2].depot->node->depot_bytes),
	   "flushed to the depot pieces are there");
	np_thread_leave();
	ok(np_me && !np_thread_cache_now(one->slot) &&
	   !np_thread_cache_now(all->slot) && np_self == &np_cache_none,
	   "who leaves gives up all seats");
	ok(!figures_of(one).threads && !figures_of(all).threads &&
	   !figures().threads, "and counts in none");
	npool_free(npool_malloc(1));
	is_int(np_self->home, 1, "but stays on the home that it was put on");
	np_thread_set_home(&np_topology, -1);
	npool_destroy(one);
	npool_destroy(all);
}

static pthread_barrier_t step;

/* Uses a pool, and again when it was reset, or is another one. */
static void *use_pool(void *arg)
{
	npool_t **pool = arg;
	uintptr_t good;
	void *p;

	npool_free(npool_alloc(*pool, 100, 0));
	npool_free(npool_alloc(*pool, 100000, 0));
	pthread_barrier_wait(&step);
	pthread_barrier_wait(&step);
	good = !np_thread_cache_now((*pool)->slot);
	p = npool_alloc(*pool, 100, 0);
	good = good && p && np_thread_cache_now((*pool)->slot) &&
	       np_self == &np_cache_none; /* of the default pool */
	npool_free(p);
	return (void *)good;
}

static void test_forget(bool reset)
{
	npool_t *pool = make_pool(NULL);
	void *good;
	pthread_t t;

	npool_free(npool_alloc(pool, 100, 0));
	pthread_barrier_init(&step, NULL, 2);
	if (pthread_create(&t, NULL, use_pool, &pool))
		bail_out("no thread");
	pthread_barrier_wait(&step);
	is_uint(figures_of(pool).threads, 2, "two threads use a pool");
	if (reset) {
		npool_reset(pool);
		ok(!figures_of(pool).threads && !figures_of(pool).cached,
		   "reset, none counts and nothing is cached");
	} else {
		unsigned slot = pool->slot;

		npool_destroy(pool);
		ok(!np_thread_cache_now(slot), "ended, nobody sits in it");
		pool = make_pool(NULL);
		is_uint(pool->slot, slot, "another takes its slot");
	}
	pthread_barrier_wait(&step);
	pthread_join(t, &good);
	ok(good, "the other thread gets a new seat, and memory");
	is_uint(figures_of(pool).threads, 0, "until it ends");
	npool_destroy(pool);
	pthread_barrier_destroy(&step);
}

/* --- reclaiming ------------------------------------------------------- */

static struct np_cache *idler; /* the cache of who idles */

static uint64_t bytes_in(const struct np_cache *c)
{
	uint64_t bytes = 0;

	for (unsigned k = 1; k <= np_pool.classes.n; k++) {
		const struct np_loaded *l = &c->loaded[k];

		bytes += np_cache_size_of(c, k) *
			 ((size_t)(l->top - l->base) + c->second[k]->n);
	}
	return bytes;
}

/* Fills its cache, idles for as long as it is looked at, and goes on. */
static void *idle(void *arg)
{
	static void *p[500];

	(void)arg;
	for (int i = 0; i < 500; i++)
		p[i] = npool_malloc(500);
	for (int i = 0; i < 500; i++)
		npool_free(p[i]);
	npool_free(npool_malloc(NP_MIB));
	idler = np_self;
	pthread_barrier_wait(&step);
	pthread_barrier_wait(&step);
	for (int i = 0; i < 500; i++)
		memset(p[i] = npool_malloc(500), 'i', 500);
	for (int i = 0; i < 500; i++)
		npool_free(p[i]);
	npool_free(npool_malloc(NP_MIB));
	return NULL;
}

static void begin_idling(pthread_t *t)
{
	npool_flush_thread();
	npool_trim();
	pthread_barrier_init(&step, NULL, 2);
	if (pthread_create(t, NULL, idle, NULL))
		bail_out("no thread");
	pthread_barrier_wait(&step);
}

static void end_idling(pthread_t t)
{
	pthread_barrier_wait(&step);
	pthread_join(t, NULL);
	pthread_barrier_destroy(&step);
	npool_trim();
}

static void test_reclaim(void)
{
	struct npool_figures before, after;
	uint64_t bytes;
	pthread_t t;

	if (!np_threads_can_reclaim()) {
		skip(8, "needs membarrier(2)");
		return;
	}
	begin_idling(&t);
	before = figures();
	bytes = bytes_in(idler);
	ok(bytes > NP_MIB + 250000, "a thread idles with its caches full");
	is_uint(np_threads_reclaim(&np_pool.nodes, true), 0,
		"it was just busy: a tick leaves it alone");
	is_uint(bytes_in(idler), bytes, "with what it has");
	is_uint(np_threads_reclaim(&np_pool.nodes, true), 1,
		"the next finds something in one cache");
	is_uint(bytes_in(idler), 0, "which is empty then");
	after = figures();
	is_uint(before.cached - after.cached, bytes,
		"what was taken is not cached any more");
	is_uint(np_threads_reclaim(&np_pool.nodes, false), 0,
		"now there is nothing to be had");
	end_idling(t);
	is_uint(figures().used + figures().cached, 0,
		"the thread goes on, and nothing is lost");
}

/* Threads work while others reclaim from them. */
static atomic_bool working;

static void *work(void *arg)
{
	struct rng rng = rng_seed((uintptr_t)arg);
	char *p[50] = { 0 };
	uintptr_t wrong = 0;

	while (atomic_load(&working)) {
		unsigned i = (unsigned)rng_below(&rng, 50);
		size_t size = rng_log(&rng, 200000);

		wrong += p[i] && p[i][0] != (char)i;
		npool_free(p[i]);
		p[i] = npool_malloc(size);
		p[i][0] = (char)i;
		if (rng_chance(&rng, 1))
			np_thread_set_home(&np_topology,
					   (int)rng_below(&rng, NHOMES));
	}
	for (int i = 0; i < 50; i++)
		npool_free(p[i]);
	return (void *)wrong;
}

static void test_reclaim_at_work(void)
{
	enum { NTHREADS = 3 };
	pthread_t t[NTHREADS];
	uint64_t end = np_os_now_ms() + 10000;
	unsigned nfound = 0;
	uintptr_t wrong = 0;

	npool_flush_thread();
	atomic_store(&working, true);
	for (uintptr_t i = 0; i < NTHREADS; i++)
		if (pthread_create(&t[i], NULL, work, (void *)i))
			bail_out("no thread");
	for (unsigned i = 0; i < 2000 || (nfound < 100 &&
	     np_threads_can_reclaim() && np_os_now_ms() < end); i++)
		nfound += np_threads_reclaim(&np_pool.nodes, i % 4 == 0);
	atomic_store(&working, false);
	for (int i = 0; i < NTHREADS; i++) {
		void *w;

		pthread_join(t[i], &w);
		wrong += (uintptr_t)w;
	}
	ok(nfound > 0 || !np_threads_can_reclaim(),
	   "threads at work are reclaimed from (%u times)", nfound);
	is_uint(wrong, 0, "their pieces keep their contents");
	npool_trim();
	is_uint(figures().used + figures().cached, 0, "nothing is lost");
}

/* --- dealt out -------------------------------------------------------- */

static pthread_barrier_t together;

static void *sit_on(void *home)
{
	void *p;

	np_thread_set_home(&np_topology, (int)(intptr_t)home);
	p = npool_malloc(100);
	npool_free(p);
	pthread_barrier_wait(&together); /* all have a cache */
	pthread_barrier_wait(&together); /* all were looked at */
	return NULL;
}

static bool is_even(int home)
{
	const struct np_node *node = &np_pool.nodes.node[home];
	uint32_t a = node->arenas[0]->nthreads;
	uint32_t b = node->arenas[1]->nthreads;

	return a <= b + 1 && b <= a + 1;
}

static void test_even(void)
{
	pthread_t t[WAVE];
	bool even = true;

	npool_flush_thread();
	pthread_barrier_init(&together, NULL, WAVE + 1);
	for (intptr_t i = 0; i < WAVE; i++)
		if (pthread_create(&t[i], NULL, sit_on, (void *)(i % NHOMES)))
			bail_out("no thread");
	pthread_barrier_wait(&together);
	for (int home = 0; home < NHOMES; home++)
		even = even && is_even(home) &&
		       caches_on(home) >= WAVE / NHOMES;
	is_uint(figures().threads, WAVE, "%d threads count", WAVE);
	ok(even, "each home's arenas have as many of them, or one more");
	pthread_barrier_wait(&together);
	for (int i = 0; i < WAVE; i++)
		pthread_join(t[i], NULL);
	is_uint(caches(), 0, "when they have ended no arena has any");
	is_uint(figures().threads, 0, "and none counts");
	pthread_barrier_destroy(&together);
}

/* --- moved by the scheduler ------------------------------------------- */

/* Two CPUs on different homes that we may run on. */
static bool two_cpus(int cpu[2])
{
	cpu_set_t set;
	int n = 0;

	if (sched_getaffinity(0, sizeof set, &set) != 0)
		return false;
	for (int i = 0; i < CPU_SETSIZE && n < 2; i++)
		if (CPU_ISSET((size_t)i, &set) &&
		    (n == 0 || i % NHOMES != cpu[0] % NHOMES))
			cpu[n++] = i;
	return n == 2;
}

static void go_to(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((size_t)cpu, &set);
	if (sched_setaffinity(0, sizeof set, &set) != 0)
		bail_out("a CPU of ours is not ours");
	look();
}

static void *bounce(void *arg)
{
	const int *cpu = arg;
	struct np_cache *at[2];
	void *p[2];
	bool same = true;

	go_to(cpu[0]);
	p[0] = npool_malloc(100);
	at[0] = np_self;
	is_int(home_of(p[0]), cpu[0] % NHOMES,
	       "a thread gets memory of its CPU's home");
	go_to(cpu[1]);
	p[1] = npool_malloc(100);
	at[1] = np_self;
	is_int(home_of(p[1]), cpu[1] % NHOMES,
	       "moved to another CPU, of that one's, with its next call");
	is_uint(np_count_get(&at[1]->count->rehomes), 1, "it was rehomed");
	for (int i = 0; i < 200; i++) {
		go_to(cpu[i % 2]);
		npool_free(npool_malloc(100));
		same = same && np_self == at[i % 2];
	}
	ok(same, "bouncing it goes on with the caches that it has");
	npool_free(p[0]); /* foreign: waits in the outgoing magazine */
	go_to(cpu[0]);
	npool_free(npool_malloc(100));
	ok(!at[1]->outgoing[at[0]->home].mag->n, "rehomed it sends what waits");
	go_to(cpu[1]);
	npool_free(p[1]);
	npool_free(npool_malloc(100));
	is_uint(caches(), 2, "it has two");
	visit(NP_STAY + 1);
	is_uint(caches(), 1, "if it stays for a while the other goes home");
	is_ptr(np_self, at[1], "and not the one in use");
	return NULL;
}

static void test_bounce(void)
{
	int cpu[2];

	if (!two_cpus(cpu)) {
		skip(9, "needs two CPUs");
		return;
	}
	npool_flush_thread();
	run(bounce, cpu);
	is_uint(caches(), 0, "when the thread ends there is none");
}

/* --- destructors ------------------------------------------------------ */

static pthread_key_t before_us, after_us; /* before and after the pool's */
static unsigned ran_uncached;

/* The C library runs destructors in so many rounds. The thread sanitizer lets
 * go of a thread in the last one and cannot watch what comes behind it. */
#if defined __has_feature
#if __has_feature(thread_sanitizer)
#define ROUNDS 3
#endif
#endif
#if defined __SANITIZE_THREAD__
#define ROUNDS 3
#endif
#ifndef ROUNDS
#define ROUNDS 4
#endif

/* Allocates in each of the rounds that there are. */
static void late_words(void *round)
{
	uintptr_t n = (uintptr_t)round;
	char *p = npool_malloc(300), *q = npool_calloc(1, 70000);
	pthread_key_t key = n >= 100 ? after_us : before_us;

	p = npool_realloc(p, 3000);
	p[2999] = q[69999] = 1;
	npool_free(p);
	npool_free(q);
	ran_uncached += np_self == &np_cache_none;
	if (n % 100 < ROUNDS)
		pthread_setspecific(key, (void *)(n + 1));
}

__attribute__((constructor(101))) static void make_first_key(void)
{
	if (pthread_key_create(&before_us, late_words))
		abort();
}

/* Bit 0: has a cache before; bits 1 and 2: keys that are set. */
static void *with_destructors(void *arg)
{
	uintptr_t how = (uintptr_t)arg;

	if (how & 1)
		npool_free(npool_malloc(1));
	if (how & 2)
		pthread_setspecific(before_us, (void *)1);
	if (how & 4)
		pthread_setspecific(after_us, (void *)101);
	return NULL;
}

static void test_destructors(void)
{
	struct npool_figures before, after;

	if (pthread_key_create(&after_us, late_words))
		bail_out("no key");
	npool_flush_thread();
	before = figures();
	for (uintptr_t how = 1; how < 8; how += 2)
		run(with_destructors, (void *)how);
	after = figures();
	ok(ran_uncached >= 3 * ROUNDS, "destructors that run after ours have "
	   "no cache (%u)", ran_uncached);
	is_uint(after.used, before.used, "they get memory and can free it");
	is_uint(after.threads, before.threads, "no thread is left behind");
	is_uint(caches(), 0, "and no cache");
	run(with_destructors, (void *)2);
	run(with_destructors, (void *)4);
	is_uint(caches(), 0, "nor if a destructor makes the first call");
	is_uint(figures().used, before.used, "what is used is what it was");
}

/* --- many ------------------------------------------------------------- */

/* Allocates, leaves a piece to whoever is next, frees what was left. */
static void *come_and_go(void *arg)
{
	static _Atomic(void *) left;
	struct rng rng = rng_seed((uintptr_t)arg);
	void *p[20];

	if (rng_chance(&rng, 30))
		np_thread_set_home(&np_topology,
				   (int)rng_below(&rng, NHOMES));
	for (int i = 0; i < 20; i++)
		p[i] = npool_malloc(rng_log(&rng, 100000));
	npool_free(atomic_exchange(&left, arg ? p[0] : NULL));
	for (int i = arg ? 1 : 0; i < 20; i++)
		npool_free(p[i]);
	return NULL;
}

static void test_many(unsigned n)
{
	struct npool_figures before;
	pthread_t t[WAVE];

	npool_flush_thread();
	before = figures();
	for (uintptr_t i = 1; i < n; i += WAVE) {
		for (uintptr_t k = 0; k < WAVE; k++)
			if (pthread_create(&t[k], NULL, come_and_go,
					   (void *)(i + k)))
				bail_out("no thread");
		for (unsigned k = 0; k < WAVE; k++)
			pthread_join(t[k], NULL);
	}
	run(come_and_go, NULL);
	is_uint(figures().used, before.used, "%u threads, %d at a time: "
		"all is freed", n, WAVE);
	is_uint(figures().threads, 0, "none is left");
	is_uint(caches(), 0, "nor any cache");
	npool_trim();
	npool_flush_thread();
	npool_trim();
	is_uint(figures().cached, 0, "nothing is cached");
	is_uint(figures().chunks, 0, "no chunk stays");
	ok(np_count_get(&np_pool.segment.header->blocks_used) <=
	   NHOMES * (WAVE + 2), "their counters were used again");
}

/* More than there are blocks of counters for. */
static void test_crowd(void)
{
	unsigned n = np_pool.segment.layout.blocks.n + 50;
	struct npool_figures before = figures();
	pthread_t *t = calloc(n, sizeof *t);
	pthread_attr_t attr;
	unsigned made = 0;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 256 * NP_KIB);
	pthread_barrier_init(&together, NULL, n + 1);
	while (t && made < n &&
	       !pthread_create(&t[made], &attr, sit_on,
			       (void *)(uintptr_t)(made % NHOMES)))
		made++;
	if (made < n)
		bail_out("no %u threads", n);
	pthread_barrier_wait(&together);
	is_uint(figures().threads - before.threads, n, "%u threads at once", n);
	ok(np_count_get(&np_pool.segment.header->caches_unseen) > 0,
	   "some have caches that nobody outside can see");
	pthread_barrier_wait(&together);
	for (unsigned i = 0; i < n; i++)
		pthread_join(t[i], NULL);
	free(t);
	is_uint(figures().used, before.used, "when they have ended all is as it "
		"was");
	is_uint(figures().threads, before.threads, "no thread counts");
	is_uint(figures().allocs - figures().frees, before.allocs - before.frees,
		"and what they counted is not lost");
}

/* --- without rseq ----------------------------------------------------- */

/* In a child whose C library registers no rseq. */
static int without_rseq(void)
{
	int cpu[2];

	must(!np_os_cpu_word());
	if (two_cpus(cpu))
		for (int i = 0; i < 6; i++) {
			go_to(cpu[i % 2]);
			for (int k = 0; k <= NP_CALLS_A_LOOK; k++)
				home_now();
			must(home_now() == cpu[i % 2] % NHOMES);
		}
	for (uintptr_t i = 1; i < 100; i++)
		run(come_and_go, (void *)i);
	run(come_and_go, NULL);
	npool_flush_thread();
	npool_trim();
	must(figures().used == 0 && figures().cached == 0 && caches() == 0);
	return 0;
}

/* --- without membarrier ----------------------------------------------- */

#define NO_BARRIER "T_THREAD_NO_BARRIER"

static int no_membarrier(int command, unsigned flags)
{
	(void)command, (void)flags;
	return errno = ENOSYS, -1;
}

/* A filter of system calls that came when the pool was there already. */
static int no_more_membarrier(int command, unsigned flags)
{
	(void)flags;
	if (command == MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED)
		return 0;
	return errno = EPERM, -1;
}

/* --- one that acts as others ------------------------------------------ */

struct played {
	bool right, apart, moves;
	unsigned threads;
};

/* Whose node is it? */
static int home_of_cpu(uint32_t cpu)
{
	return np_topology_home(&np_topology, cpu);
}

static void *play(void *arg)
{
	struct played *played = arg;
	volatile uint32_t cpu[2] = { 0, 0 };
	unsigned before = (unsigned)figures().threads;
	struct np_thread *a = np_thread_create(&np_topology, &cpu[0]);
	struct np_thread *b = np_thread_create(&np_topology, &cpu[1]);
	void *p, *q;

	np_thread_become(a);
	p = npool_malloc(100);
	npool_free(p);
	played->right = np_me == a && home_of(p) == home_of_cpu(0);
	np_thread_become(b);
	q = npool_malloc(100);
	played->threads = (unsigned)figures().threads - before;
	np_thread_become(a);
	played->apart = p != q && npool_malloc(100) == p;
	cpu[0] = np_topology.ncpus - 1;
	played->moves = home_now() == home_of_cpu(cpu[0]);
	npool_free(p);
	npool_free(q);
	np_thread_destroy(b);
	np_thread_destroy(a);
	return NULL;
}

static void test_played(void)
{
	struct npool_figures before = figures(), after;
	struct played played = { .threads = 0 };

	run(play, &played);
	after = figures();
	ok(played.right, "a thread that nobody runs gets memory of its node");
	ok(played.apart, "two of them have caches of their own");
	is_uint(played.threads, 2, "and count");
	ok(played.moves, "it follows the CPU that it is told");
	is_uint(after.threads, before.threads, "when it ends it does not");
	is_uint(after.used, before.used, "and has left nothing behind");
}

/* The library asks for it before main. */
__attribute__((constructor(102))) static void deny_membarrier(void)
{
	static struct np_os os;

	if (!getenv(NO_BARRIER))
		return;
	os = np_os_linux;
	os.membarrier = getenv(NO_BARRIER)[0] == 'n' ? no_membarrier
						     : no_more_membarrier;
	np_os = &os;
}

/* In a child whose kernel has no membarrier, or refuses it since. */
static int without_membarrier(void)
{
	uint64_t bytes;
	pthread_t t;

	stay_begin();
	must(np_threads_can_reclaim() == (getenv(NO_BARRIER)[0] != 'n'));
	begin_idling(&t);
	errno = 0;
	bytes = bytes_in(idler);
	must(bytes > NP_MIB);
	must(np_threads_reclaim(&np_pool.nodes, false) == 0);
	must(np_threads_reclaim(&np_pool.nodes, true) == 0);
	npool_trim();
	must(bytes_in(idler) == bytes && !errno);
	end_idling(t);
	must(figures().used == 0 && figures().cached == 0);
	return 0;
}

int main(int argc, char **argv)
{
	cpu_set_t all;

	if (argc > 1)
		return getenv(NO_BARRIER) ? without_membarrier()
					  : without_rseq();
	conf_restart(argv, CONF);
	plan(97);
	if (!np_start())
		bail_out("the pool does not wake");
	all = stay_begin();
	test_first_call();
	test_end();
	test_set_home();
	test_pools();
	test_forget(true);
	test_forget(false);
	test_reclaim();
	stay_end(&all);
	test_reclaim_at_work();
	test_even();
	test_bounce();
	test_destructors();
	test_many(conf_by_level(2000, 2000, 20000));
	test_crowd();
	test_played();
	setenv("GLIBC_TUNABLES", "glibc.pthread.rseq=0", 1);
	conf_ok(CONF, "without rseq", "without rseq a thread is followed too");
	unsetenv("GLIBC_TUNABLES");
	setenv(NO_BARRIER, "none", 1);
	conf_ok(CONF, "without membarrier",
		"without membarrier nobody's cache is touched by others");
	setenv(NO_BARRIER, "refused", 1);
	conf_ok(CONF, "without membarrier",
		"nor when it is refused once the pool is there");
	return done();
}
