/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * fault: a scenario with pieces of all kinds, threads and trims is run again
 * and again; each time another of its system calls fails, and then all from
 * one on, and then all of one kind. Whatever fails, a call succeeds or
 * returns NULL with ENOMEM; what was written stays; in the end all is freed,
 * the counters say so, and when memory is there again everything works. The
 * same for the pool's start, in a child for each call.
 *
 * Two nodes are invented, so that pieces go home, too.
 */
#include "conf.h"
#include "faultos.h"
#include "npool.h"
#include "pool.h"
#include "rng.h"
#include "start.h"
#include "tap.h"

#include <limits.h> /* ULONG_MAX */
#include <pthread.h>

/* Small chunks: there are more of them, and less to copy. */
#define CONF "nodes:2,arenas:1,decay_ms:0,max_order:6"
#define FAULT_AT "NPOOL_TEST_FAULT_AT"	   /* the n-th call of a start fails */
#define FAULT_TILL "NPOOL_TEST_FAULT_TILL" /* or the first n of it */
#define NOT_REACHED 3 /* a child's exit status: it made fewer calls */

/* --- calls that fail for long ----------------------------------------- */

enum { OS_MMAP = 1, OS_MUNMAP = 2, OS_MPROTECT = 4, OS_MADVISE = 8,
       OS_MREMAP = 16, OS_MLOCK = 32, OS_ALL = 63 };

#define NKINDS 6

/* Calls of these kinds fail from the first-th to the last-th; or, with
 * one_in, at random so often. */
static struct {
	unsigned kinds;
	unsigned long first, last;
	atomic_ulong calls, failed;
	unsigned one_in, seed;
} outage;

static bool is_unlucky(unsigned long n)
{
	struct rng rng = rng_seed(outage.seed + n);

	return outage.one_in ? !rng_below(&rng, outage.one_in)
			     : n >= outage.first && n <= outage.last;
}

static bool fails(unsigned kind)
{
	unsigned long n;

	if (!(outage.kinds & kind))
		return false;
	n = atomic_fetch_add(&outage.calls, 1) + 1;
	if (!is_unlucky(n))
		return false;
	atomic_fetch_add(&outage.failed, 1);
	errno = ENOMEM;
	return true;
}

static void *out_mmap(void *addr, size_t size, int prot, int flags, int fd,
		      off_t offset)
{
	return fails(OS_MMAP) ? MAP_FAILED
		: np_os_linux.mmap(addr, size, prot, flags, fd, offset);
}

static int out_munmap(void *addr, size_t size)
{
	return fails(OS_MUNMAP) ? -1 : np_os_linux.munmap(addr, size);
}

static int out_mprotect(void *addr, size_t size, int prot)
{
	return fails(OS_MPROTECT) ? -1
				  : np_os_linux.mprotect(addr, size, prot);
}

static int out_madvise(void *addr, size_t size, int advice)
{
	return fails(OS_MADVISE) ? -1
				 : np_os_linux.madvise(addr, size, advice);
}

static void *out_mremap(void *addr, size_t old_size, size_t new_size,
			int flags, void *new_addr)
{
	return fails(OS_MREMAP) ? MAP_FAILED
		: np_os_linux.mremap(addr, old_size, new_size, flags,
				     new_addr);
}

static int out_mlock(const void *addr, size_t size)
{
	return fails(OS_MLOCK) ? -1 : np_os_linux.mlock(addr, size);
}

static void outage_begin(unsigned kinds, unsigned long first,
			 unsigned long last)
{
	static struct np_os os;

	os = np_os_linux;
	os.mmap = out_mmap;
	os.munmap = out_munmap;
	os.mprotect = out_mprotect;
	os.madvise = out_madvise;
	os.mremap = out_mremap;
	os.mlock = out_mlock;
	outage.one_in = 0;
	outage.kinds = kinds;
	outage.first = first;
	outage.last = last;
	atomic_store(&outage.calls, 0);
	np_os = &os;
}

/* --- the scenario ----------------------------------------------------- */

#define NSIZES 8

/* Elements, runs, and from 600000 on huge. */
static const size_t sizes[NSIZES] = { 10, 300, 5000, 40000, 200000, 500000,
				      600000, 17 * NP_MIB };

/* Of a scenario; several threads take part. */
static atomic_uint nfailed, nwrong;

/* Writes to both ends of p, if it is there, and counts. */
static void *got(void *p, size_t size)
{
	char *c = p;

	if (c) {
		c[0] = 'a';
		c[size - 1] = 'z';
	} else {
		nfailed++;
		nwrong += errno != ENOMEM;
	}
	return p;
}

static void *get(unsigned how, size_t size)
{
	char *p;

	errno = 0;
	switch (how) {
	case 0:
		return got(npool_malloc(size), size);
	case 1:
		p = npool_calloc(1, size);
		nwrong += p && (p[0] || p[size / 2] || p[size - 1]);
		return got(p, size);
	default:
		p = npool_aligned_alloc(8192, size);
		nwrong += (uintptr_t)p % 8192 != 0;
		return got(p, size);
	}
}

/* To another size; if that fails, p is as it was. */
static void *resized(char *p, size_t old_size, size_t size)
{
	char *q;

	if (!p)
		return NULL;
	errno = 0;
	q = npool_realloc(p, size);
	if (!q) {
		nfailed++;
		nwrong += errno != ENOMEM || p[0] != 'a' ||
			  p[old_size - 1] != 'z';
		return p;
	}
	nwrong += q[0] != 'a' || (old_size <= size && q[old_size - 1] != 'z');
	return q;
}

/* Frees p, and keeps errno whatever happens. */
static void put(void *p)
{
	errno = 77;
	npool_free(p);
	nwrong += errno != 77;
}

/* Frees what the first thread had, and has something itself. */
static void *helper(void *arg)
{
	void **p = arg;

	np_thread_set_home(&np_topology, 1);
	for (unsigned i = 0; i < NSIZES; i++) {
		put(p[i]);
		p[i] = get(i % 3, sizes[i]);
	}
	return NULL;
}

/* A pool of one's own, with all that can be done to it. */
static void pool_scenario(void)
{
	struct npool_attr attr = NPOOL_ATTR_INIT;
	void *many[100], *p[NSIZES];
	size_t n;
	npool_t *pool;
	int error;

	attr.max_order = 6;
	attr.flags = NPOOL_ZERO_ON_FREE;
	error = npool_create(&pool, &attr);
	if (error) {
		nfailed++;
		nwrong += error != ENOMEM;
		return;
	}
	error = npool_reserve(pool, -1, NP_MIB, NPOOL_POPULATE | NPOOL_LOCK);
	nfailed += error != 0;
	nwrong += error && error != ENOMEM;
	for (unsigned i = 0; i < NSIZES; i++) {
		errno = 0;
		p[i] = got(npool_alloc(pool, sizes[i], NPOOL_ZERO), sizes[i]);
		p[i] = resized(p[i], sizes[i], 2 * sizes[i]);
	}
	errno = 0;
	n = npool_alloc_many(pool, 5000, 0, many, 100);
	nfailed += n < 100;
	nwrong += n < 100 && errno != ENOMEM;
	npool_free_many(many, n);
	for (unsigned i = 0; i < NSIZES; i += 2)
		put(p[i]);
	npool_reset(pool);
	got(npool_alloc(pool, 100, 0), 100);
	npool_pool_trim(pool);
	npool_destroy(pool);
}

static void scenario(void)
{
	void *p[3][NSIZES], *many[300];
	pthread_t t;

	for (unsigned how = 0; how < 3; how++)
		for (unsigned i = 0; i < NSIZES; i++)
			p[how][i] = get(how, sizes[i]);
	if (np_pool.caching && atomic_load(&np_pool.stage) == NP_AWAKE) {
		np_thread_set_home(&np_topology, 0);
		if (pthread_create(&t, NULL, helper, p[2]))
			abort();
		pthread_join(t, NULL);
	}
	for (unsigned i = 0; i < NSIZES; i++) {
		p[0][i] = resized(p[0][i], sizes[i], 3 * sizes[i]);
		p[1][i] = resized(p[1][i], sizes[i], sizes[i] / 3 + 1);
	}
	for (unsigned i = 0; i < 300; i++)
		many[i] = get(0, 1000);
	npool_trim();
	for (unsigned i = 0; i < 300; i++)
		put(many[i]);
	for (unsigned how = 0; how < 3; how++)
		for (unsigned i = 0; i < NSIZES; i++)
			put(p[how][i]);
	if (atomic_load(&np_pool.stage) == NP_AWAKE)
		pool_scenario();
	npool_flush_thread();
	npool_trim();
}

/* --- after it --------------------------------------------------------- */

static bool arenas_valid(void)
{
	for (unsigned i = 0; i < np_pool.nodes.n; i++)
		for (unsigned k = 0; k < np_pool.nodes.node[i].narenas; k++) {
			const struct np_arena *a =
				np_pool.nodes.node[i].arenas[k];

			if (!np_arena_valid(a) || a->nthreads)
				return false;
		}
	return true;
}

/* The kernel is back: nothing was lost, and a scenario succeeds. */
static bool is_well(void)
{
	struct npool_figures f = { .size = sizeof f };
	bool well;

	npool_flush_thread();
	npool_trim();
	npool_stats(&f);
	well = !f.used && !f.cached && !f.reserved && !f.threads &&
	       f.allocs == f.frees && arenas_valid();
	nfailed = 0;
	scenario();
	npool_stats(&f);
	return well && !nfailed && !nwrong && !f.used && !f.reserved;
}

/* --- one call, and all from one on ------------------------------------ */

static unsigned long ncalls; /* of a scenario */

static void test_one(void)
{
	unsigned failures = 0, ill = 0;
	unsigned long n;

	nwrong = 0;
	for (n = 1; ; n++) {
		nfailed = 0;
		faultos_begin();
		faultos_fail(n, ENOMEM);
		scenario();
		faultos_end();
		failures += nfailed;
		if (!faultos_failed())
			break;
		ill += !is_well();
	}
	ncalls = n - 1;
	ok(ncalls > 40 && failures > 0, "a scenario makes %lu system calls; "
	   "one of them fails, and %u requests", ncalls, failures);
	is_uint(nwrong, 0, "each with ENOMEM, and nothing else is harmed");
	is_uint(ill, 0, "after each the pool is well");
}

static void test_from_one_on(void)
{
	unsigned ill = 0, failures = 0;

	nwrong = 0;
	for (unsigned long n = 1; n <= ncalls; n++) {
		nfailed = 0;
		outage_begin(OS_ALL, n, ULONG_MAX);
		scenario();
		np_os = &np_os_linux;
		failures += nfailed;
		ill += !is_well();
	}
	ok(failures > ncalls, "all calls from one on fail, and %u requests",
	   failures);
	is_uint(nwrong, 0, "each with ENOMEM, and nothing else is harmed");
	is_uint(ill, 0, "after each the pool is well");
}

static void test_kinds(void)
{
	static const char *const names[] = { "mmap", "munmap", "mprotect",
					     "madvise", "mremap", "mlock" };

	for (unsigned i = 0; i < NKINDS; i++) {
		nfailed = nwrong = 0;
		outage_begin(1u << i, 1, ULONG_MAX);
		scenario();
		np_os = &np_os_linux;
		is_uint(nwrong, 0, "no %s at all: %u requests fail with "
			"ENOMEM", names[i], nfailed);
		ok(is_well(), "after that the pool is well");
	}
}

/* One call of a hundred fails, in many scenarios. */
static void test_random(void)
{
	unsigned rounds = conf_by_level(200, 200, 2000), ill = 0;
	unsigned long failures = 0;

	nfailed = nwrong = 0;
	for (unsigned i = 0; i < rounds; i++) {
		outage_begin(OS_ALL, 0, 0);
		outage.one_in = 100;
		outage.seed = i * 1000000;
		scenario();
		np_os = &np_os_linux;
		failures += atomic_exchange(&outage.failed, 0);
		ill += !is_well();
	}
	ok(failures > rounds / 4, "1 %% of the calls of %u scenarios fail: "
	   "%lu", rounds, failures);
	is_uint(nwrong, 0, "requests fail with ENOMEM, and nothing else is "
		"harmed");
	is_uint(ill, 0, "after each the pool is well");
}

/* Bytes of metadata that the scenario leaves mapped if its n-th call fails. A
 * munmap that fails leaves some, of course. */
static size_t metadata_left(unsigned long n)
{
	struct npool_figures before = { .size = sizeof before }, after;

	npool_stats(&before);
	faultos_begin();
	faultos_fail(n, ENOMEM);
	scenario();
	faultos_end();
	after.size = sizeof after;
	npool_stats(&after);
	return faultos_failed() == FAULTOS_MUNMAP
		? 0 : (size_t)(after.metadata - before.metadata);
}

static void test_metadata(void)
{
	size_t left = 0;

	for (unsigned long n = 1; n <= ncalls; n++)
		left += metadata_left(n);
	is_size(left, 0, "no fault leaves metadata behind");
}

/* --- the start -------------------------------------------------------- */

/* Before the pool's own constructor. */
__attribute__((constructor(101))) static void begin_to_fail(void)
{
	const char *at = getenv(FAULT_AT), *till = getenv(FAULT_TILL);

	if (at) {
		faultos_begin();
		faultos_fail(strtoul(at, NULL, 10), ENOMEM);
	} else if (till) {
		outage_begin(OS_ALL, 1, strtoul(till, NULL, 10));
	}
}

/* In a child whose start has failed, maybe. */
static int after_start(void)
{
	char path[NP_CONFIG_PATH_MAX + 32];
	bool reached;

	nwrong = 0;
	for (int i = 0; i < 10; i++)
		npool_free(get(0, 100));
	scenario();
	reached = getenv(FAULT_AT) ? faultos_failed() != FAULTOS_NONE
				   : outage.calls >= outage.last;
	np_os = &np_os_linux;
	must(!nwrong);
	nfailed = 0;
	scenario();
	must(!nfailed && !nwrong);
	if (np_start())
		must(is_well());
	must(!np_count_get(&np_pool.first.count->taken));
	if (*np_pool.config.segment) {
		snprintf(path, sizeof path, "%s/%d.0", np_pool.config.segment,
			 (int)getpid());
		unlink(path);
	}
	return reached ? 0 : NOT_REACHED;
}

/* Starts children until one's fault is not reached. Returns how many ended
 * well. */
static unsigned starts(const char *conf, const char *how, unsigned most,
		       unsigned *tried)
{
	unsigned good = 0;
	char number[16];

	for (*tried = 0; *tried < most; ) {
		struct child c;

		snprintf(number, sizeof number, "%u", *tried + 1);
		setenv(how, number, 1);
		c = conf_run(conf, "start");
		unsetenv(how);
		if (child_exited(&c, NOT_REACHED))
			break;
		++*tried;
		if (child_exited(&c, 0))
			good++;
		else
			diag("%s=%u: status 0x%x: %s", how, *tried,
			     (unsigned)c.status, c.text);
	}
	return good;
}

static void test_start(const char *conf, const char *what)
{
	unsigned tried, good;

	good = starts(conf, FAULT_AT, 60, &tried);
	is_uint(good, tried, "%s: any of the first %u calls may fail", what,
		tried);
	good = starts(conf, FAULT_TILL, 30, &tried);
	is_uint(good, tried, "%s: or the first %u at once", what, tried);
}

static void test_starts(void)
{
	const char *tmp = getenv("TMPDIR");
	char dir[128], conf[256];

	test_start(CONF, "a start");
	snprintf(dir, sizeof dir, "%s/npool-fault.XXXXXX",
		 tmp && strlen(tmp) < 90 ? tmp : "/tmp");
	if (!mkdtemp(dir))
		bail_out("%s: %s", dir, strerror(errno));
	snprintf(conf, sizeof conf, CONF ",segment:%s", dir);
	test_start(conf, "with a segment");
	if (rmdir(dir) != 0)
		diag("%s: %s", dir, strerror(errno));
}

int main(int argc, char **argv)
{
	if (argc > 1)
		return after_start();
	conf_restart(argv, CONF);
	plan(26);
	if (!np_start())
		bail_out("the pool does not wake");
	scenario();
	test_one();
	test_from_one_on();
	test_kinds();
	test_random();
	test_metadata();
	test_starts();
	return done();
}
