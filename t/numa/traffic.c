/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * traffic: no test, but a program for replay: threads of all nodes, which free
 * what their neighbours got, on the malloc face. In the second half they move
 * from node to node, too. It prints how many pieces went home to another node,
 * by the pool's own count.
 */
#include "nodes.h"
#include "npool.h"

#include <dlfcn.h> /* dlsym */

#define NPIECES 300 /* of a thread, in a round */
#define NROUNDS 40
#define STAY 5 /* rounds on one node */
#define THREADS_MOST 16

static void *piece[THREADS_MOST][NPIECES];
static unsigned nthreads;
static pthread_barrier_t barrier;

static void *hand_over(void *number)
{
	unsigned self = *(unsigned *)number, next = (self + 1) % nthreads;

	for (unsigned round = 0; round < NROUNDS; round++) {
		if (round >= NROUNDS / 2 && round % STAY == 0)
			nodes_sit(numa.id[(self + round / STAY) % numa.n]);
		for (unsigned i = 0; i < NPIECES; i++)
			piece[self][i] = malloc(16 + i * i % 9000);
		pthread_barrier_wait(&barrier);
		for (unsigned i = 0; i < NPIECES; i++)
			free(piece[next][i]);
		pthread_barrier_wait(&barrier);
	}
	return NULL;
}

int main(void)
{
	struct npool_figures f = { .size = sizeof f };
	int (*stats)(struct npool_figures *);
	unsigned number[THREADS_MOST];
	pthread_t t[THREADS_MOST];

	nodes_need(2);
	nthreads = numa.n < THREADS_MOST ? numa.n : THREADS_MOST;
	pthread_barrier_init(&barrier, NULL, nthreads);
	for (unsigned i = 0; i < nthreads; i++) {
		number[i] = i;
		t[i] = nodes_start(numa.id[i], hand_over, &number[i]);
	}
	for (unsigned i = 0; i < nthreads; i++)
		pthread_join(t[i], NULL);
	*(void **)&stats = dlsym(RTLD_DEFAULT, "npool_stats");
	if (!stats || stats(&f))
		bail_out("this does not run on the face");
	printf("sent %llu of %llu\n", (unsigned long long)f.foreign_frees,
	       (unsigned long long)f.frees);
	return 0;
}
