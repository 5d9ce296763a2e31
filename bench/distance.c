/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * distance: what it costs to use the memory of another node. For bench/numa,
 * on real machines: in an emulated one all nodes are equally near.
 *
 *	distance [-m MIB] [-t MS]
 *
 * prints, for each node and each node with memory,
 *
 *	latency FROM TO NS	a load that must wait for the one before it
 *	read FROM TO MBS	MB/s that all CPUs of the node read together
 *
 * FROM is the node of the CPUs, TO that of the memory, by the kernel's numbers.
 * The memory is libnpool's, taken by NPOOL_NODE in transparent huge pages (else
 * it would be page tables that are measured); where it lies is asked of the
 * kernel first. MIB (default 256) must be more than the caches hold.
 *
 * Exit status: 0; 1, no memory, or not where it should be; 2, bad usage; 77,
 * the machine has fewer than two nodes with CPUs and memory.
 *
 * Source: pointer chasing, as in L. McVoy and C. Staelin, "lmbench", 1996.
 */
#include "../t/numa/nodes.h"
#include "../t/rng.h"
#include "ns.h"

#include <npool.h>
#include <stdatomic.h>

#define LINE 64
#define THREADS_MOST 64
#define STEPS 4096 /* between two looks at the clock */

static size_t size = (size_t)256 << 20;
static double budget_ns = 300e6;
static npool_t *pool;

/* The memory of one node: lines, each of which knows the next. */
struct line {
	size_t next;
	char pad[LINE - sizeof(size_t)];
};

/* One cycle through all lines, in an order that no prefetcher guesses: the
 * algorithm of S. Sattolo, 1986. */
static void shuffle(struct line *lines, size_t n)
{
	struct rng rng = rng_seed(7);

	for (size_t i = 0; i < n; i++)
		lines[i].next = i;
	for (size_t i = n - 1; i > 0; i--) {
		size_t k = (size_t)rng_below(&rng, i);
		size_t swap = lines[i].next;

		lines[i].next = lines[k].next;
		lines[k].next = swap;
	}
}

static struct line *memory_of(int node)
{
	struct lies lies = { 0 };
	struct line *lines = npool_alloc(pool, size, NPOOL_NODE(node));

	if (!lines) {
		fprintf(stderr, "distance: node %d has no %zu MiB\n", node,
			size >> 20);
		exit(1);
	}
	shuffle(lines, size / sizeof *lines);
	lies_add(&lies, lines, size);
	if (lies.on[node] == lies.pages)
		return lines;
	fprintf(stderr, "distance: of %zu pages of node %d only %zu lie "
		"there\n", lies.pages, node, lies.on[node]);
	exit(1);
}

/* --- one thread, one load after the other ------------------------------ */

struct chase {
	const struct line *lines;
	size_t at; /* is used: else nothing would be read */
	double ns;
};

static void *chase(void *arg)
{
	struct chase *c = arg;
	double began = ns_now(CLOCK_MONOTONIC), passed;
	size_t at = 0, steps = 0;

	do {
		for (int i = 0; i < STEPS; i++)
			at = c->lines[at].next;
		steps += STEPS;
		passed = ns_now(CLOCK_MONOTONIC) - began;
	} while (passed < budget_ns);
	c->at = at;
	c->ns = passed / (double)steps;
	return NULL;
}

/* --- all CPUs of a node, as fast as they can --------------------------- */

struct reader {
	const struct line *lines;
	size_t n;
	size_t sum; /* is used, as above */
	double bytes;
};

static atomic_bool stop;

static void *read_all(void *arg)
{
	struct reader *r = arg;

	/* Relaxed: it need not be seen at once. */
	while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
		size_t sum = 0;

		for (size_t i = 0; i < r->n; i++)
			sum += r->lines[i].next;
		r->sum += sum;
		r->bytes += (double)(r->n * sizeof *r->lines);
	}
	return NULL;
}

/* MB/s */
static double read_together(int node, const struct line *lines)
{
	static struct reader reader[THREADS_MOST];
	pthread_t t[THREADS_MOST];
	int ncpus = CPU_COUNT(&numa.cpus[node]);
	unsigned n = ncpus < THREADS_MOST ? (unsigned)ncpus : THREADS_MOST;
	size_t share = size / sizeof *lines / n;
	struct timespec rest = { 0, 0 };
	double began = ns_now(CLOCK_MONOTONIC), bytes = 0;

	atomic_store(&stop, false);
	for (unsigned i = 0; i < n; i++) {
		reader[i] = (struct reader){ .lines = lines + i * share,
					     .n = share };
		t[i] = nodes_start(node, read_all, &reader[i]);
	}
	rest.tv_sec = (time_t)(budget_ns / 1e9);
	rest.tv_nsec = (long)(budget_ns - (double)rest.tv_sec * 1e9);
	nanosleep(&rest, NULL);
	atomic_store(&stop, true);
	for (unsigned i = 0; i < n; i++) {
		pthread_join(t[i], NULL);
		bytes += reader[i].bytes;
	}
	return bytes * 1e3 / (ns_now(CLOCK_MONOTONIC) - began);
}

/* ----------------------------------------------------------------------- */

static void measure_from_all(int to)
{
	struct line *lines = memory_of(to);

	for (unsigned i = 0; i < numa.n; i++) {
		struct chase c = { .lines = lines };

		nodes_run(numa.id[i], chase, &c);
		printf("latency %d %d %.1f\n", numa.id[i], to, c.ns);
		printf("read %d %d %.0f\n", numa.id[i], to,
		       read_together(numa.id[i], lines));
	}
	npool_free(lines);
	npool_pool_trim(pool);
}

static int usage(void)
{
	fprintf(stderr, "usage: distance [-m MIB] [-t MS]\n");
	return 2;
}

int main(int argc, char **argv)
{
	struct npool_attr attr = NPOOL_ATTR_INIT;
	int option;

	while ((option = getopt(argc, argv, "m:t:")) != -1) {
		if ((option != 'm' && option != 't') || atoi(optarg) < 1)
			return usage();
		if (option == 'm')
			size = (size_t)atoi(optarg) << 20;
		else
			budget_ns = atoi(optarg) * 1e6;
	}
	if (argc != optind)
		return usage();
	nodes_look();
	if (numa.n < 2)
		return 77;
	attr.name = "distance";
	attr.huge_pages = NPOOL_HUGE_THP;
	if (npool_create(&pool, &attr) != 0)
		return 1;
	for (int node = 0; node < NODES_MAX; node++)
		if (numa.memory[node])
			measure_from_all(node);
	npool_destroy(pool);
	return 0;
}
