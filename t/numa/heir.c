/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * heir: what a thread leaves. A thread fills its caches, frees all and ends;
 * the next one, on another node, gets nothing of it; one on the same node is
 * served from it. Also when nobody frees before the end but the next thread
 * does.
 *
 * Source: HACKING: NUMA rule 5.
 */
#include "../conf.h"
#include "../rng.h"
#include "nodes.h"
#include "npool.h"

#define NPIECES 300
#define LARGEST (1 << 20)
#define NLIVES 5 /* on each node */

static void *left[NPIECES]; /* by the last thread */

struct life {
	bool frees_own;
	struct lies lies;
};

static void *live(void *arg)
{
	struct life *life = arg;
	struct rng rng = rng_seed(3);
	void *p[NPIECES];

	for (unsigned i = 0; i < NPIECES; i++) {
		npool_free(left[i]);
		left[i] = NULL;
	}
	for (unsigned i = 0; i < NPIECES; i++) {
		size_t size = rng_log(&rng, LARGEST);

		p[i] = npool_malloc(size);
		if (!p[i])
			bail_out("no memory");
		touch(p[i], size);
		lies_add(&life->lies, p[i], size);
	}
	for (unsigned i = 0; i < NPIECES; i++)
		if (life->frees_own)
			npool_free(p[i]);
		else
			left[i] = p[i];
	return NULL;
}

static void test(bool frees_own, const char *how)
{
	static struct lies lies[NODES_MAX];
	char what[128];

	memset(lies, 0, sizeof lies);
	for (unsigned i = 0; i < NLIVES * numa.n; i++) {
		struct life life = { .frees_own = frees_own };

		nodes_run(numa.id[i % numa.n], live, &life);
		lies_sum(&lies[i % numa.n], &life.lies);
	}
	for (unsigned i = 0; i < numa.n; i++) {
		snprintf(what, sizeof what, "%d threads of node %d, after "
			 "others that %s", NLIVES, numa.id[i], how);
		lies_all_on(&lies[i], numa.id[i], what);
	}
}

/* A thread fills and ends; a second one on its node gets the same memory. */
static void test_served(void)
{
	struct npool_figures f = { .size = sizeof f };
	uint64_t reserved;
	struct life life = { .frees_own = true };

	nodes_run(numa.id[0], live, &life);
	npool_stats(&f);
	reserved = f.reserved + f.chunk_size; /* a spare one may come or go */
	for (unsigned i = 0; i < NLIVES; i++)
		nodes_run(numa.id[0], live, &life);
	npool_stats(&f);
	ok(f.reserved <= reserved, "on the same node threads live on what "
	   "others left: %llu MiB reserved at most, then %llu",
	   (unsigned long long)reserved >> 20,
	   (unsigned long long)f.reserved >> 20);
}

int main(int argc, char **argv)
{
	(void)argc;
	conf_restart(argv, "");
	nodes_need(2);
	plan(2 * numa.n + 1);
	test(true, "freed and ended");
	test(false, "ended and left all to the next");
	test_served();
	return done();
}
