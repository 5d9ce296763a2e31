/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * node: what a home has: its arenas and its depot; and which arena a thread
 * is assigned to.
 *
 * A new thread gets the arena of its node with the fewest threads, the first
 * of equals: while nobody leaves that is round-robin, and an arena that lost
 * threads is filled up first.
 *
 * Everything is written when the pool starts and constant afterwards; the
 * arenas' thread counts are guarded by the lock of the thread list.
 *
 * Source: leastUsedArena of Netty; HACKING: NUMA rules 2 and 5.
 */
#ifndef NP_NODE_H
#define NP_NODE_H

#include "base.h"
#include "arena.h"
#include "depot.h"
#include "topology.h"

struct np_node {
	np_home_t home;
	int bind_node;		  /* kernel node, or -1 */
	unsigned narenas;
	struct np_arena **arenas; /* [narenas] */
	struct np_depot *depot;
};

struct np_nodes {
	unsigned n;
	unsigned narenas;	  /* of all nodes */
	const struct np_topology *topology;
	const struct np_classes *classes;
	struct np_node *node;	  /* [n], by home */
};

/* Makes the nodes of the topology and their arenas, but for arena 0 of home
 * `first_home`, which is `first`. arenas: of each node, as np_node_narenas.
 * Returns 0 or ENOMEM. */
int np_nodes_create(struct np_nodes *nodes, const struct np_topology *topology,
		    const struct np_classes *classes, unsigned arenas,
		    int64_t decay_ms, struct np_arena *first,
		    np_home_t first_home);

/* How many arenas a home gets if `wanted` are asked for (0 = its own choice).
 */
unsigned np_node_narenas(const struct np_topology *topology, np_home_t home,
			 unsigned wanted);

/* The arena that a new thread shall use; counts it there. */
struct np_arena *np_node_join(struct np_node *node);
void np_node_leave(struct np_arena *arena);

/* An arena for a call without a thread cache. */
struct np_arena *np_node_any_arena(const struct np_node *node, unsigned cpu);

#endif
