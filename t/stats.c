/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * stats: every figure of npool_stats() follows what happens, to the byte,
 * also for calls from several threads and for pieces of another node.
 */
#include "conf.h"
#include "figures.h"
#include "meta.h"
#include "npool.h"
#include "pool.h"
#include "rng.h"
#include "stats.h"
#include "stay.h"
#include "tap.h"

#include <pthread.h>

#define CONF "nodes:2,arenas:3,decay_ms:-1"
#define NTHREADS 4
#define NHELD 500

static void test_first_call(void)
{
	struct npool_figures s = figures();

	is_uint(s.nodes, 2, "asked before anything else it knows the nodes");
	is_uint(s.arenas, 6, "and the arenas");
	is_uint(s.chunk_size, 16 * NP_MIB, "and how large a chunk is");
	ok(!s.used && !s.cached && !s.reserved && !s.peak_taken && !s.chunks &&
	   !s.spare_chunks && !s.huge_blocks && !s.allocs && !s.frees &&
	   !s.hits && !s.depot_gets && !s.depot_puts && !s.foreign_frees &&
	   !s.threads, "the rest is zero");
	ok(s.metadata == np_meta_mapped() && s.metadata > 0,
	   "but for its own data");
}

static void test_one_piece(void)
{
	void *p = npool_malloc(100);
	struct npool_figures s = figures();

	is_uint(s.used, npool_good_size(100), "a piece is used");
	is_uint(s.allocs, 1, "one was handed out");
	is_uint(s.hits, 0, "which was no hit");
	is_uint(s.chunks, 1, "from one chunk");
	is_uint(s.reserved, s.chunk_size, "of so much address space");
	is_uint(s.threads, 1, "to one thread");
	ok(s.cached > 0 && s.cached % npool_good_size(100) == 0,
	   "others like it are cached");
	is_uint(s.peak_taken, s.used + s.cached, "that is the most so far");
	npool_free(p);
	is_uint(figures().used, 0, "freed it is not used");
	is_uint(figures().cached, s.used + s.cached, "but cached");
	is_uint(figures().frees, 1, "one came back");
	p = npool_malloc(100);
	is_uint(figures().hits, 1, "it is a hit next time");
	npool_free(p);
}

static void test_huge(void)
{
	struct npool_figures before = figures(), s;
	void *p = npool_malloc(20 * NP_MIB), *q;

	q = npool_malloc(16 * NP_MIB + 1);
	s = figures();
	is_uint(s.huge_blocks, 2, "huge blocks count");
	is_uint(s.used - before.used, npool_usable_size(p) +
		npool_usable_size(q), "what they hold is used");
	is_uint(s.reserved - before.reserved, 64 * NP_MIB,
		"they reserve whole slots");
	is_uint(s.chunks, before.chunks, "they are no chunks");
	is_uint(s.allocs - before.allocs, 2, "and were handed out");
	is_uint(s.hits, before.hits, "never as hits");
	npool_free(p);
	npool_free(q);
	s = figures();
	ok(!s.huge_blocks && s.used == before.used &&
	   s.cached == before.cached, "freed they are not used or cached");
	is_uint(s.reserved - before.reserved, 64 * NP_MIB,
		"but kept for the next");
	npool_trim();
	ok(figures().reserved <= before.reserved, "until a trim");
	is_uint(s.frees - before.frees, 2, "both came back");
	ok(s.peak_taken >= 36 * NP_MIB, "but for the peak");
}

static void test_spare(void)
{
	void *p = npool_malloc(16 * NP_MIB), *q = npool_malloc(16 * NP_MIB);

	npool_free(p);
	npool_free(q);
	is_uint(figures().spare_chunks, 2, "empty chunks are kept as spare");
	npool_flush_thread();
	npool_trim();
	is_uint(figures().spare_chunks, 0, "until a trim");
	is_uint(figures().chunks, 0, "then there is none at all");
	is_uint(figures().reserved, 0, "and no address space");
	is_uint(figures().cached, 0, "and nothing cached");
}

static void test_foreign(void)
{
	struct npool_figures before, s;
	void *p;

	np_thread_set_home(&np_topology, 0);
	p = npool_malloc(100);
	np_thread_set_home(&np_topology, 1);
	before = figures();
	npool_free(p);
	s = figures();
	is_uint(before.used - s.used, npool_good_size(100),
		"a piece that another home has freed is not used any more");
	is_uint(s.cached - before.cached, npool_good_size(100),
		"but on its way home: cached");
	np_thread_set_home(&np_topology, 0);
	is_uint(figures().foreign_frees - before.foreign_frees, 1,
		"when it was sent it counts as foreign");
	is_uint(figures().used + figures().cached, s.used + s.cached,
		"and is cached still");
	np_thread_set_home(&np_topology, -1);
}

static void test_depot(void)
{
	struct npool_figures before;
	void *p[2000];

	for (int i = 0; i < 2000; i++)
		p[i] = npool_malloc(64);
	before = figures();
	for (int i = 0; i < 2000; i++)
		npool_free(p[i]);
	ok(figures().depot_puts > before.depot_puts, "magazines go to the depot");
	before = figures();
	for (int i = 0; i < 2000; i++)
		p[i] = npool_malloc(64);
	ok(figures().depot_gets > before.depot_gets, "and come from there");
	for (int i = 0; i < 2000; i++)
		npool_free(p[i]);
}

/* --- threads ---------------------------------------------------------- */

static pthread_barrier_t at_rest;

struct holder {
	unsigned seed;
	uint64_t allocs, frees, held; /* held: bytes */
};

/* Holds random pieces while it rests, and frees them after. */
static void *hold(void *arg)
{
	struct holder *h = arg;
	struct rng rng = rng_seed(h->seed);
	void *p[NHELD] = { 0 };

	for (int op = 0; op < 20000; op++) {
		unsigned i = (unsigned)rng_below(&rng, NHELD);

		if (rng_chance(&rng, 1))
			np_thread_set_home(&np_topology, op % 3 - 1);
		h->held -= npool_usable_size(p[i]);
		h->frees += p[i] != NULL;
		npool_free(p[i]);
		p[i] = NULL;
		if (rng_chance(&rng, 60)) {
			p[i] = npool_malloc(rng_log(&rng, 50000));
			h->held += npool_usable_size(p[i]);
			h->allocs++;
		}
	}
	pthread_barrier_wait(&at_rest);
	pthread_barrier_wait(&at_rest);
	for (int i = 0; i < NHELD; i++) {
		h->frees += p[i] != NULL;
		npool_free(p[i]);
	}
	return NULL;
}

static void test_threads(void)
{
	struct holder h[NTHREADS] = { { 0 } };
	struct npool_figures before = figures(), s;
	uint64_t allocs = 0, frees = 0, held = 0;
	pthread_t t[NTHREADS];

	pthread_barrier_init(&at_rest, NULL, NTHREADS + 1);
	for (unsigned i = 0; i < NTHREADS; i++) {
		h[i].seed = i;
		if (pthread_create(&t[i], NULL, hold, &h[i]))
			bail_out("no thread");
	}
	pthread_barrier_wait(&at_rest);
	for (unsigned i = 0; i < NTHREADS; i++) {
		allocs += h[i].allocs;
		frees += h[i].frees;
		held += h[i].held;
	}
	s = figures();
	is_uint(s.used - before.used, held, "what %d threads hold is used",
		NTHREADS);
	is_uint(s.allocs - before.allocs, allocs, "each alloc counts");
	is_uint(s.frees - before.frees, frees, "and each free");
	is_uint(s.threads - before.threads, NTHREADS, "and each thread");
	ok(s.hits - before.hits <= allocs && s.hits > before.hits,
	   "no more hits than allocs");
	pthread_barrier_wait(&at_rest);
	for (unsigned i = 0; i < NTHREADS; i++)
		pthread_join(t[i], NULL);
	s = figures();
	is_uint(s.used, before.used, "when they have ended nothing is used");
	is_uint(s.allocs - s.frees, before.allocs - before.frees,
		"and what was handed out came back");
	ok(s.used + s.cached <= s.reserved, "cached is less than reserved");
}

/* Figures are read while they change: none may be absurd. */
static void test_reading_meanwhile(void)
{
	struct holder h[NTHREADS] = { { 0 } };
	pthread_t t[NTHREADS];
	unsigned absurd = 0;

	for (unsigned i = 0; i < NTHREADS; i++)
		if (pthread_create(&t[i], NULL, hold, &h[i]))
			bail_out("no thread");
	for (int i = 0; i < 2000; i++) {
		struct npool_figures s = figures();

		absurd += s.used > s.peak_taken || s.threads > NTHREADS + 1 ||
			  s.chunks < s.spare_chunks || s.chunks > 1000;
	}
	pthread_barrier_wait(&at_rest);
	pthread_barrier_wait(&at_rest);
	for (unsigned i = 0; i < NTHREADS; i++)
		pthread_join(t[i], NULL);
	is_uint(absurd, 0, "read while they change, figures stay sane");
}

int main(int argc, char **argv)
{
	cpu_set_t all;

	(void)argc;
	conf_restart(argv, CONF);
	plan(48);
	all = stay_begin();
	test_first_call();
	test_one_piece();
	test_huge();
	test_spare();
	test_foreign();
	test_depot();
	stay_end(&all);
	test_threads();
	test_reading_meanwhile();
	return done();
}
