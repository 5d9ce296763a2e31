/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * cross: memory that travels. Threads stand in a ring, neighbours on
 * different nodes; in each round every thread allocates, and frees what its
 * neighbour allocated. After many rounds, and in between, all that a thread
 * gets still lies on its own node: what it was sent has gone home.
 *
 * Every thread frees all its memory on another node, so a pool that reuses
 * what is freed where it is freed has all of it wrong here.
 *
 * Source: HACKING: NUMA rule 5.
 */
#include "../conf.h"
#include "nodes.h"
#include "npool.h"
#include "../rng.h"

#define LEAST 16
#define MOST (1 << 20)
#define NPIECES 128 /* a round; about 12 MiB */
#define NROUNDS 60
#define NLOOKS 4 /* rounds in which is looked where everything lies */
#define THREADS_MOST 16

struct station {
	int node;
	unsigned next;		/* whose pieces it frees */
	void *piece[NPIECES];
	size_t size[NPIECES];
	struct lies lies;	/* of what it got */
};

static struct station ring[THREADS_MOST];
static unsigned nthreads;
static pthread_barrier_t barrier;

static bool looks(unsigned round)
{
	return round % (NROUNDS / NLOOKS) == NROUNDS / NLOOKS - 1;
}

/* Sizes are spread evenly over the powers of two. */
static size_t some_size(struct rng *rng)
{
	return rng_log(rng, MOST - LEAST) + LEAST - 1;
}

static void get(struct station *s, struct rng *rng, unsigned round)
{
	for (unsigned i = 0; i < NPIECES; i++) {
		s->size[i] = some_size(rng);
		s->piece[i] = npool_malloc(s->size[i]);
		if (!s->piece[i])
			bail_out("no memory");
		touch(s->piece[i], s->size[i]);
		if (looks(round))
			lies_add(&s->lies, s->piece[i], s->size[i]);
	}
}

static void *stand(void *arg)
{
	struct station *s = arg;
	struct station *from = &ring[s->next];
	struct rng rng = rng_seed((uint64_t)(s - ring) + 1);

	for (unsigned round = 0; round < NROUNDS; round++) {
		get(s, &rng, round);
		pthread_barrier_wait(&barrier);
		for (unsigned i = 0; i < NPIECES; i++)
			npool_free(from->piece[i]);
		pthread_barrier_wait(&barrier);
	}
	return NULL;
}

/* Two threads a node where they are few. */
static void make_ring(void)
{
	nthreads = numa.n * (numa.n < 4 ? 2 : 1);
	if (nthreads > THREADS_MOST)
		nthreads = THREADS_MOST;
	for (unsigned i = 0; i < nthreads; i++) {
		ring[i].node = numa.id[i % numa.n];
		ring[i].next = (i + 1) % nthreads;
	}
}

static void run_ring(void)
{
	pthread_t t[THREADS_MOST];

	if (pthread_barrier_init(&barrier, NULL, nthreads))
		bail_out("no barrier");
	for (unsigned i = 0; i < nthreads; i++)
		t[i] = nodes_start(ring[i].node, stand, &ring[i]);
	for (unsigned i = 0; i < nthreads; i++)
		pthread_join(t[i], NULL);
}

int main(int argc, char **argv)
{
	char what[80];

	(void)argc;
	conf_restart(argv, "");
	nodes_need(2);
	make_ring();
	plan(nthreads);
	run_ring();
	for (unsigned i = 0; i < nthreads; i++) {
		snprintf(what, sizeof what, "thread %u, which frees what node "
			 "%d got", i, ring[ring[i].next].node);
		lies_all_on(&ring[i].lies, ring[i].node, what);
	}
	return done();
}
