/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * life: forks, threads that end and pools that end on one node, while threads
 * of all nodes allocate. Nothing of theirs is misplaced; in the end the
 * parent's counters balance; children go on with memory of the right node,
 * and count the caches of the threads that they do not have.
 *
 * Source: HACKING: NUMA rules 1 and 5.
 */
#include "../conf.h"
#include "../rng.h"
#include "nodes.h"
#include "npool.h"
#include "pool.h"

#include <stdatomic.h>

#define NPIECES 64
#define LARGEST (64 << 10)
#define NFORKS 8
#define NPOOLS 12
#define NTHREADS 25
#define NWORKERS 16

static atomic_bool stop;

struct worker {
	int node;
	atomic_ulong rounds;
	struct lies lies;
	pthread_t thread;
};

static struct worker workers[NWORKERS];
static unsigned nworkers;

/* Some pieces of a pool, all looked at; freed by the caller of `give`. */
static void get(npool_t *pool, struct rng *rng, void **p, struct lies *lies)
{
	for (unsigned i = 0; i < NPIECES; i++) {
		size_t size = rng_log(rng, LARGEST);

		must(p[i] = npool_alloc(pool, size, 0));
		touch(p[i], size);
		lies_add(lies, p[i], size);
	}
}

static void give(void **p)
{
	for (unsigned i = 0; i < NPIECES; i++)
		npool_free(p[i]);
}

/* Allocates all the time; every other round its neighbour frees it. */
static void *_Atomic handed[NWORKERS][NPIECES];

static void *work(void *arg)
{
	struct worker *w = arg;
	unsigned me = (unsigned)(w - workers), next = (me + 1) % nworkers;
	struct rng rng = rng_seed(me + 1);
	void *p[NPIECES];

	for (; !stop; w->rounds++) {
		get(npool_default(), &rng, p, &w->lies);
		for (unsigned i = 0; i < NPIECES; i++)
			p[i] = atomic_exchange(&handed[next][i], p[i]);
		give(p);
		for (unsigned i = 0; i < NPIECES; i++)
			npool_free(atomic_exchange(&handed[me][i], NULL));
	}
	return NULL;
}

/* --- what happens on one node ----------------------------------------- */

struct event {
	struct lies lies;
	unsigned bad; /* children */
};

static void child(int node)
{
	struct lies lies = { 0 };
	struct rng rng = rng_seed(9);
	void *p[NPIECES];

	/* It has one thread, of at least so many. */
	must(np_count_get(&np_pool.segment.header->abandoned) >=
	     nworkers);
	get(npool_default(), &rng, p, &lies);
	must(lies.on[node] == lies.pages && !lies.unknown);
	give(p);
	npool_trim();
}

static void *fork_often(void *arg)
{
	struct event *e = arg;

	for (unsigned i = 0; i < NFORKS; i++) {
		int status = 0;
		pid_t pid = fork();

		if (pid == 0) {
			alarm(60);
			child(numa.id[0]);
			_exit(0);
		}
		if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
			e->bad++;
	}
	return NULL;
}

static void *make_pools(void *arg)
{
	struct event *e = arg;
	struct rng rng = rng_seed(10);

	for (unsigned i = 0; i < NPOOLS; i++) {
		struct npool_attr attr = NPOOL_ATTR_INIT;
		void *p[NPIECES];
		npool_t *pool;

		must(npool_create(&pool, &attr) == 0);
		get(pool, &rng, p, &e->lies);
		give(p);
		get(pool, &rng, p, &e->lies);
		npool_destroy(pool);
	}
	return NULL;
}

static void *live_shortly(void *arg)
{
	struct event *e = arg;
	struct rng rng = rng_seed(11);
	void *p[NPIECES];

	get(npool_default(), &rng, p, &e->lies);
	give(p);
	return NULL;
}

static void start_workers(void)
{
	for (nworkers = 0; nworkers < 2 * numa.n && nworkers < NWORKERS;
	     nworkers++)
		workers[nworkers].node = numa.id[nworkers % numa.n];
	for (unsigned i = 0; i < nworkers; i++)
		workers[i].thread = nodes_start(workers[i].node, work,
						&workers[i]);
}

static void end_workers(void)
{
	char what[80];

	stop = true;
	for (unsigned i = 0; i < nworkers; i++)
		pthread_join(workers[i].thread, NULL);
	for (unsigned i = 0; i < nworkers; i++) {
		for (unsigned k = 0; k < NPIECES; k++)
			npool_free(handed[i][k]);
		snprintf(what, sizeof what, "meanwhile, worker %u", i);
		lies_all_on(&workers[i].lies, workers[i].node, what);
	}
}

static void test_balance(void)
{
	struct npool_figures f = { .size = sizeof f };

	npool_stats(&f);
	is_uint(f.allocs, f.frees, "as many pieces came back as were handed "
		"out");
	is_uint(f.used, 0, "none is in use");
	npool_trim();
	npool_stats(&f);
	is_uint(f.cached, 0, "none is cached after a trim");
	ok(f.threads <= 1, "no thread but this one has a cache");
}

int main(int argc, char **argv)
{
	static struct event forks, pools, ends;
	int node;

	(void)argc;
	conf_restart(argv, "");
	nodes_need(2);
	node = numa.id[0];
	start_workers();
	plan(nworkers + 3 + 4);
	for (unsigned i = 0; i < nworkers; i++)
		while (!workers[i].rounds)
			usleep(1000);
	nodes_run(node, fork_often, &forks);
	nodes_run(node, make_pools, &pools);
	for (unsigned i = 0; i < NTHREADS; i++)
		nodes_run(node, live_shortly, &ends);
	is_uint(forks.bad, 0, "%d children get what is theirs, and count the "
		"caches that were left", NFORKS);
	lies_all_on(&pools.lies, node, "pools that come and go");
	lies_all_on(&ends.lies, node, "threads that come and go");
	end_workers();
	test_balance();
	return done();
}
