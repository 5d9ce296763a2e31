/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * units: a kernel with system pages of 64 KiB, as on some arm64 and ppc64
 * machines, invented over the real one: whatever the pool asks of it is
 * refused, and noted, if it is not in whole units of 64 KiB. Pools with pages
 * smaller, as large and larger than that work all the same, lose nothing, and
 * give everything back.
 */
#include "conf.h"
#include "npool.h"
#include "os.h"
#include "pages.h"
#include "pool.h"
#include "rng.h"
#include "tap.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/shm.h>

#define CONF "nodes:2,decay_ms:2"
#define UNIT (64 * NP_KIB)
#define NTHREADS 3
#define NPIECES 60
#define NOPS 4000

/* --- the kernel ------------------------------------------------------- */

static atomic_ulong ncalls, nwrong; /* calls about memory; not in units */

/* Is it whole units? The size of a mapping is rounded up by the kernel, all
 * else must be exact. */
static bool is_whole(const void *addr, size_t size)
{
	ncalls++;
	if (!(((uintptr_t)addr | size) & (UNIT - 1)))
		return true;
	nwrong++;
	errno = EINVAL;
	return false;
}

/* Somewhere, at a multiple of the unit. */
static void *find_place(size_t size)
{
	size_t total = size + UNIT;
	char *p = np_os_linux.mmap(NULL, total, PROT_NONE,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *at;

	if (p == MAP_FAILED)
		return p;
	at = (char *)np_round_up((uintptr_t)p, UNIT);
	if (at > p)
		np_os_linux.munmap(p, (size_t)(at - p));
	np_os_linux.munmap(at + size, (size_t)(p + total - at) - size);
	return at;
}

static void *big_mmap(void *addr, size_t size, int prot, int flags, int fd,
		      off_t offset)
{
	if (!is_whole(addr, fd < 0 ? size : 0))
		return MAP_FAILED;
	if (addr)
		return np_os_linux.mmap(addr, size, prot, flags, fd, offset);
	addr = find_place(np_round_up(size, UNIT));
	return addr == MAP_FAILED
		? addr : np_os_linux.mmap(addr, size, prot, flags | MAP_FIXED,
					  fd, offset);
}

static int big_munmap(void *addr, size_t size)
{
	return is_whole(addr, 0) ? np_os_linux.munmap(addr, size) : -1;
}

static int big_mprotect(void *addr, size_t size, int prot)
{
	return is_whole(addr, size) ? np_os_linux.mprotect(addr, size, prot)
				    : -1;
}

static int big_madvise(void *addr, size_t size, int advice)
{
	return is_whole(addr, size) ? np_os_linux.madvise(addr, size, advice)
				    : -1;
}

static void *big_mremap(void *addr, size_t old_size, size_t new_size,
			int flags, void *new_addr)
{
	if (!is_whole(addr, old_size | new_size) ||
	    !is_whole(flags & MREMAP_FIXED ? new_addr : NULL, 0))
		return MAP_FAILED;
	return np_os_linux.mremap(addr, old_size, new_size, flags, new_addr);
}

static int big_mbind(void *addr, size_t size, int mode,
		     const unsigned long *mask, unsigned long maxnode,
		     unsigned flags)
{
	return is_whole(addr, size)
		? np_os_linux.mbind(addr, size, mode, mask, maxnode, flags)
		: -1;
}

static void *big_shmat(int id, const void *addr, int flags)
{
	struct shmid_ds about;

	if (!is_whole(addr, 0) || np_os_linux.shmctl(id, IPC_STAT, &about))
		return MAP_FAILED;
	if (!addr)
		addr = find_place(np_round_up(about.shm_segsz, UNIT));
	return addr == MAP_FAILED
		? MAP_FAILED : np_os_linux.shmat(id, addr, flags | SHM_REMAP);
}

static size_t big_page_size(void)
{
	return UNIT;
}

static struct np_os big;

/* Before the pool's own constructor. */
__attribute__((constructor(101))) static void have_big_pages(void)
{
	big = np_os_linux;
	big.mmap = big_mmap;
	big.munmap = big_munmap;
	big.mprotect = big_mprotect;
	big.madvise = big_madvise;
	big.mremap = big_mremap;
	big.mbind = big_mbind;
	big.shmat = big_shmat;
	big.page_size = big_page_size;
	np_os = &big;
}

/* --- work ------------------------------------------------------------- */

struct work {
	npool_t *pool;
	uint64_t seed;
	unsigned lost; /* pieces that were not as they were left */
};

static void *work(void *arg)
{
	struct work *w = arg;
	struct rng rng = rng_seed(w->seed);
	unsigned char *p[NPIECES] = { 0 };
	size_t size[NPIECES];

	for (unsigned op = 0; op < NOPS; op++) {
		unsigned i = (unsigned)rng_below(&rng, NPIECES);

		if (p[i]) {
			w->lost += p[i][0] != i || p[i][size[i] - 1] != i;
			npool_free(p[i]);
			p[i] = NULL;
			continue;
		}
		size[i] = rng_log(&rng, rng_chance(&rng, 50) ? 40 * NP_MIB
							    : 300000);
		p[i] = npool_alloc(w->pool, size[i], 0);
		if (!p[i])
			bail_out("no memory");
		if (rng_chance(&rng, 10)) { /* grows, or moves */
			size[i] += size[i] / 2 + 1;
			p[i] = npool_realloc(p[i], size[i]);
		}
		p[i][0] = p[i][size[i] - 1] = (unsigned char)i;
		if (op % 500 == 0)
			npool_pool_trim(w->pool);
	}
	for (unsigned i = 0; i < NPIECES; i++) {
		w->lost += p[i] && (p[i][0] != i || p[i][size[i] - 1] != i);
		npool_free(p[i]);
	}
	return NULL;
}

/* Is nothing in use, and does the kernel have everything back? */
static bool is_empty(npool_t *pool)
{
	struct npool_figures f = { .size = sizeof f };

	npool_flush_thread();
	npool_pool_trim(pool);
	npool_pool_stats(pool, &f);
	return !f.used && !f.cached && !f.reserved && !f.charged;
}

static void test_pool(size_t page_size, unsigned max_order)
{
	struct npool_attr attr = NPOOL_ATTR_INIT;
	struct work w[NTHREADS];
	pthread_t t[NTHREADS];
	unsigned lost = 0;
	npool_t *pool;

	attr.page_size = page_size;
	attr.max_order = max_order;
	attr.decay_ms = 2;
	if (npool_create(&pool, &attr))
		bail_out("no pool");
	for (unsigned i = 0; i < NTHREADS; i++) {
		w[i] = (struct work){ .pool = pool, .seed = i };
		if (pthread_create(&t[i], NULL, work, &w[i]))
			bail_out("no thread");
	}
	for (unsigned i = 0; i < NTHREADS; i++) {
		pthread_join(t[i], NULL);
		lost += w[i].lost;
	}
	is_uint(lost, 0, "pages of %zu KiB, chunks of %zu KiB: nothing is lost",
		page_size >> 10, (page_size << max_order) >> 10);
	ok(is_empty(pool), "all is given back");
	is_int(npool_reserve(pool, -1, 1, NPOOL_POPULATE), 0,
	       "a chunk can be in memory beforehand");
	npool_destroy(pool);
}

/* Free pages go back by units: not before all of one are free. */
static void test_decay(void)
{
	struct npool_attr attr = NPOOL_ATTR_INIT;
	size_t half = UNIT / 2, page = (size_t)sysconf(_SC_PAGESIZE);
	npool_t *pool;
	char *p, *q;

	attr.arenas = 1;
	attr.cache_pieces = 0;
	attr.decay_ms = 0;
	if (npool_create(&pool, &attr))
		bail_out("no pool");
	p = npool_alloc(pool, half, 0);
	q = npool_alloc(pool, half, 0);
	memset(p, 1, half);
	memset(q, 1, half);
	is_uint((uintptr_t)p % UNIT, 0, "two runs of half a unit");
	ok(q == p + half, "are the two halves of one");
	npool_free(p);
	is_size(pages_resident(p, half) * page, half,
		"the first half stays in memory while the second is used");
	npool_free(q);
	is_size(pages_resident(p, UNIT) * page, 0,
		"and goes back with it");
	npool_destroy(pool);
}

int main(int argc, char **argv)
{
	(void)argc;
	conf_restart(argv, CONF);
	plan(19);
	is_size(np_os_page_size(), UNIT, "the kernel's pages are 64 KiB");
	test_decay();
	test_pool(4096, 11);  /* 16 pages a unit */
	test_pool(8192, 11);  /* the presets */
	test_pool(65536, 8);  /* a page is a unit */
	test_pool(4096, 2);   /* a unit is more than a chunk */
	ok(ncalls > 1000, "the kernel was asked %lu times", ncalls);
	is_uint(nwrong, 0, "always in whole units");
	return done();
}
