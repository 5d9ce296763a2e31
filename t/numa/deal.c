/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * deal: threads are dealt out to the arenas of their node. Which threads share
 * an arena is seen from outside: their first pieces are of the same chunk.
 * While none ends, the arenas of a node differ by one thread at most; those
 * that lost theirs are filled first.
 *
 * Source: HACKING: NUMA rule 2.
 */
#include "../conf.h"
#include "nodes.h"
#include "npool.h"

#include <semaphore.h>

#define NARENAS 3
#define CONF "arenas:3"
#define NTHREADS 11 /* on a node; not a multiple of NARENAS */
#define CHUNK ((uintptr_t)16 << 20)
#define PIECE 4096

static struct sitter {
	pthread_t thread;
	int node;
	uintptr_t chunk;
	struct lies lies;
	sem_t go;
} sitters[NTHREADS];

static sem_t seated;

static void *sit(void *arg)
{
	struct sitter *s = arg;
	void *p = npool_malloc(PIECE);

	if (!p)
		bail_out("no memory");
	touch(p, PIECE);
	lies_add(&s->lies, p, PIECE);
	s->chunk = (uintptr_t)p / CHUNK;
	sem_post(&seated);
	while (sem_wait(&s->go) != 0)
		;
	npool_free(p);
	return NULL;
}

static void start(struct sitter *s, int node)
{
	memset(&s->lies, 0, sizeof s->lies);
	s->node = node;
	sem_init(&s->go, 0, 0);
	s->thread = nodes_start(node, sit, s);
	while (sem_wait(&seated) != 0)
		;
}

static void end(struct sitter *s)
{
	sem_post(&s->go);
	pthread_join(s->thread, NULL);
	s->chunk = 0;
}

/* Chunks in use, and the most and the fewest threads that one has. */
struct deal {
	unsigned nchunks, most, fewest;
	uintptr_t chunk[NTHREADS];
	unsigned threads[NTHREADS];
};

static struct deal look(void)
{
	struct deal d = { .fewest = NTHREADS };

	for (unsigned i = 0; i < NTHREADS; i++) {
		unsigned k = 0;

		if (!sitters[i].chunk)
			continue;
		while (k < d.nchunks && d.chunk[k] != sitters[i].chunk)
			k++;
		d.nchunks += k == d.nchunks;
		d.chunk[k] = sitters[i].chunk;
		d.threads[k]++;
	}
	for (unsigned k = 0; k < d.nchunks; k++) {
		d.most = d.threads[k] > d.most ? d.threads[k] : d.most;
		d.fewest = d.threads[k] < d.fewest ? d.threads[k] : d.fewest;
	}
	return d;
}

/* All threads of one arena end; as many new ones come. */
static void test_refill(int node)
{
	uintptr_t lost = sitters[0].chunk;
	struct deal d = look();
	unsigned ended = 0, wrong = 0;

	for (unsigned i = 0; i < NTHREADS; i++)
		if (sitters[i].chunk == lost) {
			end(&sitters[i]);
			ended++;
		}
	is_uint(look().nchunks, d.nchunks - 1, "%u threads of one arena of "
		"node %d end", ended, node);
	for (unsigned i = 0; i < NTHREADS; i++)
		if (!sitters[i].chunk) {
			start(&sitters[i], node);
			d = look();
			/* All others have more. */
			for (unsigned k = 0; k < d.nchunks; k++)
				wrong += d.chunk[k] == sitters[i].chunk &&
					d.threads[k] > d.fewest + 1;
		}
	d = look();
	is_uint(wrong, 0, "newcomers get the arena with the fewest");
	ok(d.nchunks == NARENAS && d.most - d.fewest <= 1,
	   "and all are even again: %u to %u threads", d.fewest, d.most);
}

static void test_node(int node)
{
	struct lies lies = { 0 };
	char what[64];
	struct deal d;
	bool even = true;

	for (unsigned i = 0; i < NTHREADS; i++) {
		start(&sitters[i], node);
		d = look();
		even = even && d.most - d.fewest <= 1 &&
			d.nchunks == (i + 1 < NARENAS ? i + 1 : NARENAS);
		lies_sum(&lies, &sitters[i].lies);
	}
	ok(even, "node %d: after each of %d threads its %d arenas differ by "
	   "one at most", node, NTHREADS, NARENAS);
	snprintf(what, sizeof what, "what threads of node %d got", node);
	lies_all_on(&lies, node, what);
	test_refill(node);
	for (unsigned i = 0; i < NTHREADS; i++)
		end(&sitters[i]);
}

int main(int argc, char **argv)
{
	(void)argc;
	conf_restart(argv, CONF);
	nodes_need(2);
	sem_init(&seated, 0, 0);
	plan(5 * numa.n);
	for (unsigned i = 0; i < numa.n; i++)
		test_node(numa.id[i]);
	return done();
}
