/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * locality: where the memory lies that threads get from the malloc that the
 * process was given (by LD_PRELOAD), by the kernel's word. For bench/numa.
 *
 *	locality [-r ROUNDS] ring|migrate|reuse SMALLEST LARGEST
 *
 * prints the percentage of the pages of all pieces that lie on the node of the
 * thread that asked for them, and how many pages were looked at. Sizes, in
 * bytes, are spread evenly over the doublings; a thread holds some 8 MiB.
 *
 *	ring	 threads of neighbouring nodes, each of which frees what the
 *		 one before it was given: a pipeline over sockets
 *	migrate	 a thread that the scheduler moves to another node, where it
 *		 frees what it had and asks anew
 *	reuse	 a thread that frees all and ends, and another one that comes
 *		 on another node: a pool of workers that shrinks and grows
 *
 * Exit status: 0; 1, no memory; 2, bad usage; 77, the machine has fewer than
 * two nodes with CPUs and memory.
 *
 * Source: move_pages(2).
 */
#include "../t/numa/nodes.h"
#include "../t/rng.h"

#include <math.h> /* log */

#define BYTES (8 << 20)	/* that a thread holds, about */
#define PIECES_MOST 16384
#define THREADS_MOST 16
#define ROUNDS 12
#define LOOK_EACH 6	/* rounds of a ring between looks, which cost;
			   and the last one */

static size_t smallest, largest;
static unsigned npieces, nrounds = ROUNDS, nthreads;
static pthread_barrier_t barrier;

struct station {
	unsigned home;	/* number of its node among numa.id[] */
	struct rng rng;
	struct lies lies;
	size_t local;
	void *piece[PIECES_MOST];
};

static struct station ring[THREADS_MOST];

static size_t some_size(struct rng *rng)
{
	size_t size;

	do
		size = rng_log(rng, largest);
	while (size < smallest);
	return size;
}

/* Takes a thread's fill, and looks where it lies if it shall. */
static void get(struct station *s, bool look)
{
	int node = numa.id[s->home];
	struct lies lies = { 0 };

	for (unsigned i = 0; i < npieces; i++) {
		size_t size = some_size(&s->rng);

		s->piece[i] = malloc(size);
		if (!s->piece[i])
			exit(1);
		touch(s->piece[i], size);
		if (look)
			lies_add(&lies, s->piece[i], size);
	}
	s->local += lies.on[node];
	lies_sum(&s->lies, &lies);
}

static void put(struct station *s)
{
	for (unsigned i = 0; i < npieces; i++)
		free(s->piece[i]);
}

static void *stand(void *arg)
{
	struct station *s = arg;
	struct station *before = &ring[(s - ring + nthreads - 1) % nthreads];

	for (unsigned round = 1; round <= nrounds; round++) {
		get(s, round % LOOK_EACH == 0 || round == nrounds);
		pthread_barrier_wait(&barrier);
		put(before);
		pthread_barrier_wait(&barrier);
	}
	return NULL;
}

/* Two threads a node where they are few. */
static void run_ring(void)
{
	pthread_t t[THREADS_MOST];

	nthreads = numa.n * (numa.n < 4 ? 2 : 1);
	if (nthreads > THREADS_MOST)
		nthreads = THREADS_MOST;
	pthread_barrier_init(&barrier, NULL, nthreads);
	for (unsigned i = 0; i < nthreads; i++) {
		ring[i].home = i % numa.n;
		ring[i].rng = rng_seed(i + 1);
		t[i] = nodes_start(numa.id[i % numa.n], stand, &ring[i]);
	}
	for (unsigned i = 0; i < nthreads; i++)
		pthread_join(t[i], NULL);
}

static void *wander(void *arg)
{
	struct station *s = arg;

	get(s, false);
	for (unsigned round = 1; round <= nrounds; round++) {
		s->home = round % numa.n;
		nodes_sit(numa.id[s->home]);
		put(s);
		get(s, true);
	}
	put(s);
	return NULL;
}

static void run_migrate(void)
{
	nodes_run(numa.id[0], wander, &ring[0]);
}

static void *fill(void *arg)
{
	struct station *s = arg;

	get(s, true);
	put(s);
	return NULL;
}

/* The first thread finds nothing to reuse. */
static void run_reuse(void)
{
	for (unsigned round = 0; round <= nrounds; round++) {
		ring[0].home = round % numa.n;
		nodes_run(numa.id[ring[0].home], fill, &ring[0]);
		if (round)
			continue;
		ring[0].lies = (struct lies){ 0 };
		ring[0].local = 0;
	}
}

static const struct scenario {
	const char *name;
	void (*run)(void);
} scenarios[] = {
	{ "ring", run_ring },
	{ "migrate", run_migrate },
	{ "reuse", run_reuse },
};

static int usage(void)
{
	fprintf(stderr, "usage: locality [-r ROUNDS] ring|migrate|reuse "
		"SMALLEST LARGEST\n");
	return 2;
}

/* Pieces of that many bytes on the average make up a fill. */
static unsigned count_pieces(void)
{
	double mean = (double)(largest - smallest) /
		      log((double)largest / (double)smallest);
	double n = BYTES / mean;

	return n < 1 ? 1 : n > PIECES_MOST ? PIECES_MOST : (unsigned)n;
}

static int measure(const struct scenario *s)
{
	size_t pages = 0, local = 0;

	ring[0].rng = rng_seed(1);
	s->run();
	for (unsigned i = 0; i < THREADS_MOST; i++) {
		pages += ring[i].lies.pages;
		local += ring[i].local;
	}
	if (!pages)
		return 1;
	printf("%.1f %zu\n", 100. * (double)local / (double)pages, pages);
	return 0;
}

int main(int argc, char **argv)
{
	int option;

	while ((option = getopt(argc, argv, "r:")) != -1) {
		if (option != 'r' || atoi(optarg) < 1)
			return usage();
		nrounds = (unsigned)atoi(optarg);
	}
	if (argc - optind != 3)
		return usage();
	smallest = (size_t)strtoul(argv[optind + 1], NULL, 10);
	largest = (size_t)strtoul(argv[optind + 2], NULL, 10);
	if (!smallest || largest <= smallest)
		return usage();
	npieces = count_pieces();
	nodes_look();
	if (numa.n < 2)
		return 77;
	for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++)
		if (!strcmp(scenarios[i].name, argv[optind]))
			return measure(&scenarios[i]);
	return usage();
}
