/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * odd: nodes that have only one of the two. A CPU whose node has no memory is
 * served by the nearest node that has some; a node that has memory alone (of
 * CXL) serves nobody unless it is named, and then whoever names it.
 *
 * Source: HACKING: NUMA rule 8.
 */
#include "../conf.h"
#include "../rng.h"
#include "nodes.h"
#include "npool.h"

#define NPIECES 200
#define LARGEST (1 << 20)

static bool has_cpus(int node)
{
	return CPU_COUNT(&numa.cpus[node]) > 0;
}

struct asks {
	unsigned flags;
	struct lies lies;
	unsigned refused;
};

static void *ask(void *arg)
{
	struct asks *a = arg;
	struct rng rng = rng_seed(7);
	void *p[NPIECES];

	for (unsigned i = 0; i < NPIECES; i++) {
		size_t size = rng_log(&rng, LARGEST);

		p[i] = npool_alloc(npool_default(), size, a->flags);
		if (!p[i]) {
			a->refused++;
			continue;
		}
		touch(p[i], size);
		lies_add(&a->lies, p[i], size);
	}
	for (unsigned i = 0; i < NPIECES; i++)
		npool_free(p[i]);
	return NULL;
}

/* The nearest node with memory, by the kernel's distances. */
static int nearest(int node)
{
	int best = -1;

	for (int n = 0; n < NODES_MAX; n++)
		if (numa.memory[n] &&
		    (best < 0 ||
		     nodes_distance(node, n) < nodes_distance(node, best)))
			best = n;
	return best;
}

/* Nodes with CPUs and no memory. serves[] gets who they are served by. */
static void test_bare(bool serves[NODES_MAX])
{
	char what[80];

	for (int node = 0; node < NODES_MAX; node++) {
		struct asks a = { 0 };

		if (numa.memory[node] || !has_cpus(node))
			continue;
		serves[nearest(node)] = true;
		nodes_run(node, ask, &a);
		snprintf(what, sizeof what, "a thread of node %d, which has no "
			 "memory", node);
		lies_all_on(&a.lies, nearest(node), what);
	}
}

/* Nodes with memory alone, which no bare one is near to. */
static void test_memory_only(const bool serves[NODES_MAX])
{
	size_t pages = 0, wrong = 0;
	unsigned n = 0;
	char what[80];

	for (unsigned i = 0; i < numa.n; i++) {
		struct asks a = { 0 };

		nodes_run(numa.id[i], ask, &a);
		pages += a.lies.pages;
		wrong += a.lies.pages - a.lies.on[numa.id[i]];
	}
	for (int far = 0; numa.n && far < NODES_MAX; far++) {
		struct asks a = { .flags = NPOOL_NODE(far) };
		int asker = numa.id[n % numa.n];

		if (!numa.memory[far] || has_cpus(far) || serves[far])
			continue;
		n++;
		nodes_run(asker, ask, &a);
		snprintf(what, sizeof what, "node %d, of memory alone, named "
			 "by a thread of node %d", far, asker);
		lies_all_on(&a.lies, far, what);
	}
	if (n)
		is_size(wrong, 0, "of %zu pages none is on one of %u such "
			"nodes that was not named", pages, n);
}

int main(int argc, char **argv)
{
	bool serves[NODES_MAX] = { false };
	unsigned nodd = 0;

	(void)argc;
	conf_restart(argv, "");
	nodes_look();
	for (int n = 0; n < NODES_MAX; n++)
		nodd += numa.memory[n] != has_cpus(n);
	if (!nodd)
		skip_all("needs a node of memory alone, or one without memory");
	test_bare(serves);
	test_memory_only(serves);
	return done();
}
