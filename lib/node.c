/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * node: see node.h.
 */
#include "node.h"
#include "meta.h"

#include <errno.h>

#define ARENAS_MOST 16 /* more locks than this do not pay their memory */

unsigned np_node_narenas(const struct np_topology *topology, np_home_t home,
			 unsigned wanted)
{
	unsigned n = wanted ? wanted : topology->cpus_of[home];

	if (!wanted && n > ARENAS_MOST)
		n = ARENAS_MOST;
	return n ? n : 1;
}

static struct np_arena *make_arena(struct np_nodes *nodes,
				   struct np_node *node, unsigned index,
				   int64_t decay_ms)
{
	struct np_arena *a = np_meta_alloc(node->home, sizeof *a);

	if (!a)
		return NULL;
	np_arena_init(a, nodes->classes, node->home, node->bind_node, index,
		      NP_ALL_POLICIES, decay_ms);
	np_arena_settle(a, node->home, node->bind_node);
	return a;
}

static int make_node(struct np_nodes *nodes, struct np_node *node,
		     unsigned index, int64_t decay_ms, struct np_arena *first)
{
	node->depot = np_depot_create(node->home, nodes->classes->n + 1u);
	node->arenas = np_meta_alloc(node->home, node->narenas *
				     sizeof *node->arenas);
	if (!node->depot || !node->arenas)
		return ENOMEM;
	for (unsigned i = 0; i < node->narenas; i++) {
		if (first && i == 0) {
			np_arena_settle(first, node->home, node->bind_node);
			node->arenas[0] = first;
			continue;
		}
		node->arenas[i] = make_arena(nodes, node, index++, decay_ms);
		if (!node->arenas[i])
			return ENOMEM;
	}
	return 0;
}

int np_nodes_create(struct np_nodes *nodes, const struct np_topology *topology,
		    const struct np_classes *classes, unsigned arenas,
		    int64_t decay_ms, struct np_arena *first,
		    np_home_t first_home)
{
	unsigned index = 1; /* `first` is number 0 */
	int error = 0;

	nodes->n = topology->nnodes;
	nodes->topology = topology;
	nodes->classes = classes;
	nodes->node = np_meta_alloc(0, nodes->n * sizeof *nodes->node);
	if (!nodes->node)
		return ENOMEM;
	for (unsigned i = 0; !error && i < nodes->n; i++) {
		struct np_node *node = &nodes->node[i];
		bool is_first = i == first_home;

		node->home = (np_home_t)i;
		node->bind_node = np_topology_bind_to(topology, node->home);
		node->narenas = np_node_narenas(topology, node->home, arenas);
		error = make_node(nodes, node, index, decay_ms,
				  is_first ? first : NULL);
		index += node->narenas - is_first;
	}
	nodes->narenas = index;
	return error;
}

struct np_arena *np_node_join(struct np_node *node)
{
	struct np_arena *best = node->arenas[0];
	uint32_t fewest = UINT32_MAX;

	for (unsigned i = 0; i < node->narenas; i++) {
		struct np_arena *a = node->arenas[i];
		uint32_t n = atomic_load_explicit(&a->nthreads,
						  memory_order_relaxed);

		if (n < fewest) {
			fewest = n;
			best = a;
		}
	}
	atomic_store_explicit(&best->nthreads, fewest + 1,
			      memory_order_relaxed);
	np_count_set(&best->count->threads, fewest + 1);
	return best;
}

void np_node_leave(struct np_arena *a)
{
	uint32_t n = atomic_load_explicit(&a->nthreads,
					  memory_order_relaxed) - 1;

	atomic_store_explicit(&a->nthreads, n, memory_order_relaxed);
	np_count_set(&a->count->threads, n);
}

struct np_arena *np_node_any_arena(const struct np_node *node, unsigned cpu)
{
	return node->arenas[cpu % node->narenas];
}
