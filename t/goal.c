/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * goal: a million random operations from four threads, all freed, the threads
 * ended, npool_trim(): the counters say that nothing is used and nothing
 * cached, an arena has no chunk, and the process is as large as it was at the
 * start, but for a MiB.
 *
 * The start is the first line of main(): the pool is awake, no thread has
 * been there and no piece handed out, and not one of the pages of code, of
 * the C library and of thread stacks that the threads will need is in memory
 * yet. All of that has room in the MiB. The test keeps what it needs itself
 * in static memory that was written to before.
 */
#include "conf.h"
#include "figures.h"
#include "npool.h"
#include "pages.h"
#include "pool.h"
#include "rng.h"
#include "start.h"
#include "tap.h"

#include <pthread.h>

#define NTHREADS 4
#define NOPS 250000 /* of each */
#define NHELD 2000
#define ALLOWED NP_MIB

struct worker {
	struct rng rng;
	unsigned done, lost;
	struct {
		unsigned char *p;
		size_t size;
	} held[NHELD];
};

static struct worker workers[NTHREADS];
static size_t rss_most; /* of what was looked at on the way */

static void put(struct worker *w, unsigned i)
{
	unsigned char *p = w->held[i].p;

	w->lost += p[0] != (unsigned char)i ||
		   p[w->held[i].size - 1] != (unsigned char)i;
	npool_free(p);
	w->held[i].p = NULL;
}

static void take(struct worker *w, unsigned i)
{
	size_t size = rng_log(&w->rng, 256 * NP_KIB);
	unsigned char *p;

	switch (rng_below(&w->rng, 8)) {
	case 0:
		p = npool_calloc(1, size);
		break;
	case 1:
		p = npool_aligned_alloc(4096, size);
		break;
	case 2:
		p = npool_realloc(npool_malloc(size / 2), size);
		break;
	default:
		p = npool_malloc(size);
	}
	if (!p)
		bail_out("no memory");
	p[0] = p[size - 1] = (unsigned char)i;
	w->held[i].p = p;
	w->held[i].size = size;
}

static void *work(void *arg)
{
	struct worker *w = arg;

	for (; w->done < NOPS; w->done++) {
		unsigned i = (unsigned)rng_below(&w->rng, NHELD);

		if (w->held[i].p)
			put(w, i);
		else
			take(w, i);
		if (w == workers && w->done % 4096 == 0 &&
		    pages_rss() > rss_most)
			rss_most = pages_rss();
	}
	for (unsigned i = 0; i < NHELD; i++)
		if (w->held[i].p)
			put(w, i);
	return NULL;
}

static void run(void)
{
	pthread_t t[NTHREADS];

	for (unsigned i = 0; i < NTHREADS; i++) {
		memset(&workers[i], 0, sizeof workers[i]);
		workers[i].rng = rng_seed(i);
		if (pthread_create(&t[i], NULL, work, &workers[i]))
			bail_out("no thread");
	}
	for (unsigned i = 0; i < NTHREADS; i++)
		pthread_join(t[i], NULL);
}

static void test_counters(void)
{
	struct npool_figures f = figures();
	unsigned lost = 0, ndone = 0;
	bool none = true;

	for (int i = 0; i < NTHREADS; i++) {
		lost += workers[i].lost;
		ndone += workers[i].done;
	}
	is_uint(ndone, NTHREADS * NOPS, "%d threads have done as many",
		NTHREADS);
	is_uint(lost, 0, "no piece has lost its contents");
	is_uint(f.used, 0, "nothing is used");
	is_uint(f.cached, 0, "nothing is cached");
	is_uint(f.allocs - f.frees, 0, "all that was handed out came back");
	is_uint(f.threads, 0, "no thread is left");
	for (unsigned i = 0; i < np_pool.nodes.n; i++)
		for (unsigned k = 0; k < np_pool.nodes.node[i].narenas; k++) {
			const struct np_arena *a =
				np_pool.nodes.node[i].arenas[k];

			none = none && np_arena_valid(a) &&
			       !np_count_get(&a->count->chunks);
		}
	ok(none, "an arena has no chunk, and is valid");
	is_uint(f.huge_blocks, 0, "there is no huge block");
}

int main(int argc, char **argv)
{
	size_t start, end;

	(void)argc;
	conf_restart(argv, "");
	plan(10);
	memset(workers, 1, sizeof workers);
	if (!np_start())
		bail_out("the pool does not wake");
	start = pages_rss();
	run();
	npool_flush_thread();
	npool_trim();
	end = pages_rss();
	test_counters();
	diag("start %zu KiB, most %zu KiB, end %zu KiB, metadata %zu KiB",
	     start / NP_KIB, rss_most / NP_KIB, end / NP_KIB,
	     (size_t)figures().metadata / NP_KIB);
	ok(rss_most > start + 16 * NP_MIB, "it was much larger meanwhile");
	if (CONF_SANITIZED)
		skip(1, "needs a process without a sanitizer's own memory");
	else
		ok(end <= start + ALLOWED,
		   "in the end it is as large as at the start (+%zd KiB)",
		   ((ssize_t)end - (ssize_t)start) / (ssize_t)NP_KIB);
	return done();
}
