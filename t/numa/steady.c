/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * steady: what NUMA costs when nothing is new. Threads of different nodes
 * allocate, free and free what the others got; each has a huge block a round,
 * too, which is kept for the next. Once they are warm a filter
 * kills the process at the first mbind, move_pages, set_mempolicy,
 * get_mempolicy or getcpu, and the pool's own calls are counted too, since
 * the vDSO's getcpu passes by the filter: there is none.
 *
 * Without rseq there is a getcpu each 64 calls; that is not looked at here.
 *
 * Source: seccomp(2); HACKING: NUMA rule 3.
 */
#include "../conf.h"
#include "../faultos.h"
#include "../rng.h"
#include "deny.h"
#include "nodes.h"
#include "npool.h"

#define NPIECES 100
#define LARGEST (100 << 10)
#define BLOCK (20 << 20) /* a huge block: larger than a chunk */
#define NWARM 300
#define NROUNDS 300
#define THREADS_MOST 8

static unsigned nthreads;
static void *_Atomic handed[THREADS_MOST][NPIECES];
static pthread_barrier_t barrier;

/* The same sizes each time. */
static void do_round(unsigned me)
{
	struct rng rng = rng_seed(me + 1);
	void *p[NPIECES], *block;

	must(block = npool_malloc(BLOCK));
	for (unsigned i = 0; i < NPIECES; i++)
		must(p[i] = npool_malloc(rng_log(&rng, LARGEST)));
	for (unsigned i = 0; i < NPIECES; i++)
		npool_free(i % 4 ? p[i]
				 : atomic_exchange(&handed[me][i], p[i]));
	npool_free(block);
	pthread_barrier_wait(&barrier);
	for (unsigned i = 0; i < NPIECES; i += 4)
		npool_free(atomic_exchange(&handed[(me + 1) % nthreads][i],
					   NULL));
	pthread_barrier_wait(&barrier);
}

static void *work(void *arg)
{
	static const int getcpu = SYS_getcpu;
	unsigned me = (unsigned)(uintptr_t)arg;

	for (unsigned i = 0; i < NWARM; i++)
		do_round(me);
	must(deny_numa(DENY_KILL) && deny_calls(&getcpu, 1, DENY_KILL));
	if (me == 0)
		for (unsigned i = 0; i < FAULTOS_CALLS; i++)
			faultos.count[i] = 0;
	pthread_barrier_wait(&barrier);
	for (unsigned i = 0; i < NROUNDS; i++)
		do_round(me);
	return NULL;
}

static int run(void)
{
	pthread_t t[THREADS_MOST];

	nodes_look();
	must(np_os_cpu_word());
	npool_free(npool_malloc(1));
	faultos_begin();
	nthreads = numa.n < THREADS_MOST ? numa.n : THREADS_MOST;
	must(!pthread_barrier_init(&barrier, NULL, nthreads));
	for (unsigned i = 0; i < nthreads; i++)
		t[i] = nodes_start(numa.id[i], work, (void *)(uintptr_t)i);
	for (unsigned i = 0; i < nthreads; i++)
		pthread_join(t[i], NULL);
	fprintf(stderr, "%u threads, %u calls: mbind %lu, move_pages %lu, "
		"getcpu %lu, mmap %lu, madvise %lu\n", nthreads,
		2 * nthreads * NROUNDS * (NPIECES + 1),
		faultos.count[FAULTOS_MBIND], faultos.count[FAULTOS_MOVE_PAGES],
		faultos.count[FAULTOS_GETCPU], faultos.count[FAULTOS_MMAP],
		faultos.count[FAULTOS_MADVISE]);
	must(!faultos.count[FAULTOS_MBIND]);
	must(!faultos.count[FAULTOS_MOVE_PAGES]);
	must(!faultos.count[FAULTOS_GETCPU]);
	return 0;
}

int main(int argc, char **argv)
{
	struct child c;

	if (argc > 1)
		return run();
	conf_restart(argv, "");
	nodes_need(2);
	plan(1);
	c = conf_run("decay_ms:-1", "run");
	ok(child_exited(&c, 0), "no mbind, no move_pages, no getcpu on the "
	   "steady path");
	diag("status 0x%x; %s", (unsigned)c.status, c.text);
	return done();
}
