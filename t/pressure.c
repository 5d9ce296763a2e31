/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * pressure: limits of a pool and of its nodes, soft and hard, and what its
 * owner is told and can do about them.
 */
#include "figures.h"
#include "pressure.h"
#include "conf.h"
#include "npool.h"
#include "pool.h"
#include "tap.h"

#include <errno.h>
#include <pthread.h>

#define NHELD 64

/* What the owner was told last, and what he has to give up. */
static struct {
	struct npool_pressure last;
	unsigned soft, hard, within;
	void *held[NHELD];
	unsigned nheld;
	int answer;
} owner;

static int told(npool_t *pool, const struct npool_pressure *p, void *arg)
{
	static bool inside;

	owner.within += inside;
	inside = true;
	owner.last = *p;
	owner.soft += !p->hard;
	owner.hard += p->hard != 0;
	/* He may allocate: nobody calls him for that. */
	npool_free(npool_alloc(pool, 1000000, 0));
	if (p->hard && owner.nheld)
		npool_free(owner.held[--owner.nheld]);
	inside = false;
	return *(int *)arg && owner.answer;
}

static npool_t *create(size_t soft, size_t hard, size_t node_hard)
{
	static int yes = 1;
	struct npool_attr a = NPOOL_ATTR_INIT;
	npool_t *pool;

	memset(&owner, 0, sizeof owner);
	a.soft_limit = soft;
	a.hard_limit = hard;
	a.node_hard_limit = node_hard;
	a.pressure = told;
	a.pressure_arg = &yes;
	if (npool_create(&pool, &a))
		bail_out("no pool");
	return pool;
}

/* --- hard ------------------------------------------------------------- */

/* Pieces until one is refused. */
static unsigned fill_up(npool_t *pool, size_t size, void **p, unsigned most)
{
	unsigned n = 0;

	errno = 0;
	while (n < most && (p[n] = npool_alloc(pool, size, 0)))
		n++;
	return n;
}

static void test_hard(size_t size)
{
	size_t limit = 32 * NP_MIB;
	npool_t *pool = create(0, limit, 0);
	static void *p[40000];
	unsigned n = fill_up(pool, size, p, 40000), again;
	struct npool_figures f = figures_of(pool);

	ok(n >= (limit - NP_MIB) / npool_good_size(size) * 3 / 4 &&
	   errno == ENOMEM, "pieces of %zu bytes: %u, then ENOMEM", size, n);
	ok(f.charged <= limit && f.refused >= 1, "no more than the limit is "
	   "charged: %llu KiB", (unsigned long long)f.charged / 1024);
	ok(owner.hard >= 1 && owner.last.hard && owner.last.wanted == size &&
	   owner.last.limit == limit && owner.last.node == -1,
	   "the owner was asked, and told by what");
	for (unsigned i = 0; i < n; i++)
		npool_free(p[i]);
	again = fill_up(pool, size, p, 40000);
	ok(again >= n - n / 16, "freed, there is room for as many (%u)",
	   again);
	for (unsigned i = 0; i < again; i++)
		npool_free(p[i]);
	npool_pool_trim(pool);
	is_uint(figures_of(pool).charged, 0, "all freed, nothing is charged");
	npool_destroy(pool);
}

/* The owner has something to give up. */
static void test_again(void)
{
	npool_t *pool = create(0, 64 * NP_MIB, 0);
	void *p[NHELD];
	unsigned n;

	n = fill_up(pool, NP_MIB, p, NHELD);
	memcpy(owner.held, p, sizeof p);
	owner.nheld = n;
	owner.answer = 1;
	owner.hard = 0;
	p[0] = npool_alloc(pool, 4 * NP_MIB, 0);
	ok(p[0], "a request succeeds when the owner makes room");
	ok(owner.hard >= 1, "he was asked %u times", owner.hard);
	is_uint(owner.within, 0, "never while he was in his function");
	npool_destroy(pool);
}

static void *in_other_thread(void *pool)
{
	return npool_alloc(pool, 3 * NP_MIB, 0);
}

/* What lies in caches, also of a thread that idles, is used first. */
static void test_caches_first(void)
{
	npool_t *pool = create(0, 8 * NP_MIB, 0);
	pthread_t t;
	void *p = npool_alloc(pool, 3 * NP_MIB, 0), *q;
	void *r = npool_alloc(pool, 3 * NP_MIB, 0);

	npool_free(p);
	npool_free(r);
	if (pthread_create(&t, NULL, in_other_thread, pool) ||
	    pthread_join(t, &p))
		bail_out("no thread");
	q = npool_alloc(pool, 4 * NP_MIB, 0);
	ok(p && q, "what is cached does not stand in the way");
	is_uint(owner.hard, 0, "and the owner is not asked");
	npool_destroy(pool);
}

/* --- nodes ------------------------------------------------------------ */

static void test_node(void)
{
	npool_t *pool = create(0, 0, 4 * NP_MIB);
	void *p[40];
	unsigned n;

	n = 0;
	while (n < 40 && (p[n] = npool_alloc(pool, NP_MIB / 2,
					     NPOOL_NODE(1))))
		n++;
	ok(n >= 6 && n <= 8 && errno == ENOMEM,
	   "%u half MiB on one node, limited to 4 MiB", n);
	ok(owner.last.node == 1 && owner.last.limit == 4 * NP_MIB,
	   "the owner is told which node");
	p[n] = npool_alloc(pool, NP_MIB / 2, NPOOL_NODE(0));
	ok(p[n], "the other one has room");
	npool_destroy(pool);
}

/* --- soft ------------------------------------------------------------- */

static void test_soft(void)
{
	npool_t *pool = create(8 * NP_MIB, 0, 0);
	void *p[40];

	for (unsigned i = 0; i < 20; i++)
		p[i] = npool_alloc(pool, NP_MIB, 0);
	ok(p[19] && owner.soft == 1, "the soft limit is told once (%u)",
	   owner.soft);
	ok(!owner.last.hard && owner.last.limit == 8 * NP_MIB &&
	   owner.last.used > 8 * NP_MIB && owner.last.wanted == 0,
	   "with what is used");
	for (unsigned i = 0; i < 20; i++)
		npool_free(p[i]);
	npool_pool_trim(pool);
	for (unsigned i = 0; i < 20; i++)
		p[i] = npool_alloc(pool, NP_MIB, 0);
	is_uint(owner.soft, 2, "once more when it was below it in between");
	is_uint(owner.hard, 0, "no request failed");
	npool_destroy(pool);
}

int main(int argc, char **argv)
{
	(void)argc;
	conf_restart(argv, "nodes:2");
	plan(27);
	test_hard(1000);
	test_hard(40000);
	test_hard(3 * NP_MIB);
	test_again();
	test_caches_first();
	test_node();
	test_soft();
	return done();
}
