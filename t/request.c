/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * request: the flags of npool_alloc; pieces by the dozen; reserved chunks;
 * pools whose memory is cleared, interleaved, pinned.
 */
#include "figures.h"
#include "request.h"
#include "conf.h"
#include "npool.h"
#include "os.h"
#include "pages.h"
#include "pool.h"
#include "rng.h"
#include "tap.h"

#include <errno.h>

static npool_t *create(unsigned flags)
{
	struct npool_attr a = NPOOL_ATTR_INIT;
	npool_t *pool;

	a.flags = flags;
	a.arenas = 1;
	if (npool_create(&pool, &a))
		bail_out("no pool");
	return pool;
}

static bool is_zero(const char *p, size_t size)
{
	return !p[0] && !memcmp(p, p + 1, size - 1);
}

/* --- flags ------------------------------------------------------------ */

static void test_flags(void)
{
	npool_t *pool = create(0);
	struct rng rng = rng_seed(3);
	unsigned wrong = 0;

	for (unsigned i = 0; i < 3000; i++) {
		size_t size = rng_log(&rng, 20 * NP_MIB);
		size_t align = (size_t)1 << rng_below(&rng, 25);
		unsigned node = (unsigned)rng_below(&rng, 2);
		char *p = npool_alloc(pool, size, NPOOL_ZERO |
				      NPOOL_ALIGN(align) | NPOOL_NODE(node) |
				      (i % 2 ? NPOOL_NOCACHE : 0));

		if (!p || (uintptr_t)p % align ||
		    np_region_home(np_map_find(p)) != node ||
		    npool_usable_size(p) < size || !is_zero(p, size)) {
			wrong++;
			continue;
		}
		memset(p, 0xa5, size < 65536 ? size : 65536);
		npool_free(p);
	}
	is_uint(wrong, 0, "3000 pieces are aligned, zero, and on their node");
	is_uint(figures_of(pool).used, 0, "all came back");
	npool_destroy(pool);
}

static void test_bad_flags(void)
{
	static const struct { unsigned flags; const char *what; } bad[] = {
		{ 4, "an unknown flag" },
		{ 1u << 31, "another" },
		{ NPOOL_ALIGN(3), "an alignment of 3" },
		{ NPOOL_ALIGN((size_t)1 << 31), "one of 2 GiB" },
		{ NPOOL_NODE(2), "a node that is not there" },
		{ NPOOL_NODE(-1), "no node at all" },
	};
	volatile size_t too_much = (size_t)PTRDIFF_MAX + 1;
	npool_t *pool = create(0);
	void *p;

	for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
		errno = 0;
		ok(!npool_alloc(pool, 10, bad[i].flags) && errno == EINVAL,
		   "%s: EINVAL", bad[i].what);
	}
	ok(!npool_alloc(pool, too_much, 0) && errno == ENOMEM,
	   "more than PTRDIFF_MAX: ENOMEM");
	p = npool_alloc(pool, 0, 0);
	ok(p && npool_usable_size(p) >= 1, "0 bytes are served as 1");
	npool_destroy(pool);
}

static void test_nocache(void)
{
	npool_t *pool = create(0);
	void *p = npool_alloc(pool, 100, NPOOL_NOCACHE);

	is_uint(figures_of(pool).cached, 0, "past the cache nothing is cached");
	npool_free_many(&p, 1);
	is_uint(figures_of(pool).cached, 0, "nor on the way back");
	npool_destroy(pool);
}

/* --- many ------------------------------------------------------------- */

static void test_many(size_t size)
{
	npool_t *pool = create(0), *single = create(0);
	static void *p[3000], *q[3000];
	size_t n = npool_alloc_many(pool, size, 0, p, 3000), same = 0;

	for (unsigned i = 0; i < 3000; i++)
		q[i] = npool_alloc(single, size, NPOOL_NOCACHE);
	for (unsigned i = 0; i < n; i++)
		same += (uintptr_t)p[i] - (uintptr_t)p[0] ==
			(uintptr_t)q[i] - (uintptr_t)q[0];
	ok(n == 3000 && (same == n || size > 4000), "3000 of %zu bytes lie as "
	   "single ones do", size);
	p[7] = NULL; /* is allowed */
	npool_free_many(p, n);
	npool_free_many(q, 3000);
	ok(figures_of(single).used == 0 && figures_of(pool).used ==
	   np_request_good_size(pool, size), "freed by the thousand");
	npool_destroy(pool);
	npool_destroy(single);
}

/* --- reserving -------------------------------------------------------- */

static void test_reserve(void)
{
	npool_t *pool = create(0);
	struct npool_figures f;
	void *p;

	is_int(npool_reserve(pool, 7, 1, 0), EINVAL, "no such node");
	is_int(npool_reserve(pool, 0, 1, 64), EINVAL, "no such flag");
	is_int(npool_reserve(pool, 1, 20 * NP_MIB, 0), 0, "20 MiB on a node");
	f = figures_of(pool);
	ok(f.reserved == 32 * NP_MIB && f.charged == 0,
	   "are two chunks, which nothing is charged for");
	is_int(npool_reserve(pool, 0, NP_MIB, NPOOL_POPULATE), 0,
	       "one chunk with its pages");
	is_uint(figures_of(pool).charged, 16 * NP_MIB, "is charged whole");
	p = npool_alloc(pool, 8 * NP_MIB, NPOOL_NODE(0));
	is_uint(pages_resident(p, 8 * NP_MIB) * np_os_page_size(), 8 * NP_MIB,
		"they are in memory");
	npool_free(p);
	npool_pool_trim(pool);
	f = figures_of(pool);
	ok(f.reserved == 48 * NP_MIB && f.charged == 16 * NP_MIB,
	   "a trim leaves them alone");
	npool_destroy(pool);
}

/* --- kinds of pools --------------------------------------------------- */

/* Is what was written to pieces of all sizes gone when they are freed? */
static void test_zero_on_free(void)
{
	static const size_t sizes[] = { 16, 1000, 30000, 100000, 18 * NP_MIB };
	npool_t *pool = create(NPOOL_ZERO_ON_FREE);
	unsigned char *p;
	bool zero = true;

	for (unsigned i = 0; i < 5; i++)
		for (unsigned k = 0; k < 50; k++) {
			size_t n = sizes[i] < 65536 ? sizes[i] : 65536;

			p = npool_alloc(pool, sizes[i], 0);
			zero = zero && is_zero((char *)p, n);
			memset(p, 0xff, n);
			npool_free(p);
		}
	ok(zero, "what was freed reads as zero");
	p = npool_alloc(pool, 30000, 0);
	memset(p, 0xff, 30000);
	npool_reset(pool);
	p = npool_alloc(pool, 30000, 0);
	ok(is_zero((char *)p, 30000), "also behind npool_reset");
	npool_destroy(pool);
}

/* On invented nodes, which the kernel does not know. */
static void test_no_promise(void)
{
	struct npool_attr a = NPOOL_ATTR_INIT;
	size_t moved = 1, left = 1;
	npool_t *pool;

	a.flags = NPOOL_STRICT;
	is_int(npool_create(&pool, &a), ENOTSUP, "no promise where memory lies");
	a.policy = NPOOL_INTERLEAVE;
	is_int(npool_create(&pool, &a), EINVAL, "nor on which of all nodes");
	pool = create(0);
	ok(npool_migrate_home(pool, &moved, &left) == 0 && !moved && !left,
	   "what is bound to no node is at home");
	ok(npool_migrate_home(pool, NULL, NULL) == 0, "who need not be told");
	npool_destroy(pool);
}

static void test_pinned(void)
{
	npool_t *pool = create(NPOOL_PINNED);
	void *p = npool_alloc(pool, 4 * NP_MIB, NPOOL_NOCACHE);
	void *q = npool_alloc(pool, 100, NPOOL_NOCACHE);

	memset(p, 1, 4 * NP_MIB);
	npool_free_many(&p, 1);
	npool_pool_trim(pool);
	is_uint(pages_resident(p, 4 * NP_MIB) * np_os_page_size(), 4 * NP_MIB,
		"pages of a pinned chunk stay");
	npool_free_many(&q, 1);
	npool_pool_trim(pool);
	is_uint(figures_of(pool).reserved, 0, "until it goes whole");
	npool_destroy(pool);
}

static void test_interleaved(void)
{
	struct npool_attr a = NPOOL_ATTR_INIT;
	npool_t *pool;
	void *p;

	a.policy = NPOOL_INTERLEAVE;
	if (npool_create(&pool, &a))
		bail_out("no pool");
	p = npool_alloc(pool, 100, 0);
	ok(p && npool_node_of(p) == -1, "an interleaved piece is of no node");
	ok(!npool_alloc(pool, 100, NPOOL_NODE(0)) && errno == EINVAL,
	   "nor can one be asked for");
	npool_free(p);
	is_uint(figures_of(pool).foreign_frees, 0, "it is foreign to nobody");
	npool_destroy(pool);
}

/* A piece grows in the pool that it is of. */
static void test_realloc(void)
{
	npool_t *pool = create(0);
	char *p = npool_alloc(pool, 10, 0);
	bool same = true;

	strcpy(p, "pool");
	for (size_t size = 20; p && size < 40 * NP_MIB; size *= 3) {
		p = npool_realloc(p, size);
		same = same && p && !strcmp(p, "pool") &&
		       np_pool_of(np_map_find(p)) == pool;
	}
	ok(same, "a piece that grows stays in its pool");
	npool_free(p);
	is_uint(figures_of(pool).used, 0, "and comes back to it");
	npool_destroy(pool);
}

int main(int argc, char **argv)
{
	(void)argc;
	conf_restart(argv, "nodes:2");
	plan(39);
	test_flags();
	test_bad_flags();
	test_nocache();
	test_many(64);
	test_many(3000);
	test_many(8192);
	test_reserve();
	test_zero_on_free();
	test_no_promise();
	test_pinned();
	test_interleaved();
	test_realloc();
	return done();
}
