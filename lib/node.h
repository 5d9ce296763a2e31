/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * node: what a home has in a pool: its arenas, its depot and its limit; and
 * which arena a thread is assigned to.
 *
 *	topology's home --home_for--> home of the pool that serves it
 *
 * In a pool of all nodes that is the same home; in one of some nodes a home
 * that is not of them is served by the nearest that is, and has no arenas; an
 * interleaved pool has one home, 0, for everybody.
 *
 * A new thread gets the arena of its node with the fewest threads, the first
 * of equals: while nobody leaves that is round-robin, and an arena that lost
 * threads is filled up first.
 *
 * Everything is written when the pool starts and constant afterwards, but for
 * the bounds, which are atomic; the arenas' thread counts are guarded by the
 * lock of the thread list.
 *
 * Source: leastUsedArena of Netty; HACKING: NUMA rules 2, 5 and 7.
 */
#ifndef NP_NODE_H
#define NP_NODE_H

#include "base.h"
#include "arena.h"
#include "depot.h"
#include "limit.h"
#include "owner.h"
#include "topology.h"

struct np_node {
	np_home_t home;
	struct np_owner owner;	  /* of its memory */
	unsigned narenas;	  /* 0: not of this pool */
	bool named_only;	  /* it serves only requests that name it */
	struct np_arena **arenas; /* [narenas] */
	size_t arenas_size;	  /* bytes of that */
	np_home_t *by_distance;	  /* [nodes->n], every home, this one first and
				     then the nearest; NULL if there are no
				     arenas */
	struct np_depot *depot;	  /* NULL if there are no arenas */
	struct np_limit limit;
	_Atomic size_t grown_at;  /* when so much is charged, what lies in the
				     depot is looked at; relaxed, any thread:
				     a bound that stands alone */
};

/* The nodes of a pool, and what its caches need to know of it. */
struct np_nodes {
	unsigned n;
	unsigned narenas;	  /* of all nodes */
	unsigned slot;		  /* the pool's */
	uint32_t cache_pieces;	  /* of a class in one magazine, at most */
	_Atomic size_t cache_bytes; /* as the option, for an arena's threads;
				     relaxed: a bound that stands alone */
	bool no_fast_path;	  /* every free is for the slow path */
	const struct np_topology *topology;
	const struct np_classes *classes;
	struct np_segment *segment;
	np_home_t *home_for;	  /* [n], by the topology's home */
	struct np_node *node;	  /* [n], by home */
};

/* What a pool wants of its nodes. */
struct np_nodes_plan {
	const struct np_topology *topology;
	const struct np_classes *classes;
	struct np_segment *segment;
	struct np_limit *limit;	/* the pool's */
	const char *name;	/* the pool's */
	unsigned slot;
	unsigned arenas;	/* of each node, as np_node_narenas */
	unsigned policies;	/* of arenas */
	int64_t decay_ms;
	enum np_huge_pages pages;
	bool pinned;
	bool strict;
	bool interleaved;	/* NP_INTERLEAVED(slot) is set */
	const bool *in_set;	/* by home; NULL: all */
	struct np_arena *first;	/* arena 0 of home first_home; or NULL */
	np_home_t first_home;
};

/* Makes the nodes and their arenas. Returns 0 or ENOMEM: what was made is
 * there, and np_nodes_destroy frees it. */
int np_nodes_create(struct np_nodes *nodes, const struct np_nodes_plan *plan);

/* Unmaps all chunks and frees what np_nodes_create made. Not of a pool that
 * has a `first`. */
void np_nodes_destroy(struct np_nodes *nodes);

/* How many arenas all nodes of the plan will have. */
unsigned np_nodes_count_arenas(const struct np_nodes_plan *plan);

/* The home that will serve this CPU. */
np_home_t np_nodes_home_of(const struct np_nodes_plan *plan, unsigned cpu);

/* How many arenas a home gets if `wanted` are asked for (0 = its own choice).
 */
unsigned np_node_narenas(const struct np_topology *topology, np_home_t home,
			 unsigned wanted);

/* Calls call(arena, arg) for every arena. */
void np_nodes_each_arena(const struct np_nodes *nodes,
			 void (*call)(struct np_arena *arena, void *arg),
			 void *arg);

/* The arena that a new thread shall use; counts it there. */
struct np_arena *np_node_join(struct np_node *node);
void np_node_leave(struct np_arena *arena);

/* Asked before pieces are taken: does the node have a 16th more in use than
 * when it last said yes? Then the runs that lay in its depot all the while have
 * gone back to their arenas, and what the caller did not need either shall
 * follow. */
bool np_node_grows(struct np_node *node);

/* As np_arena_take and np_arena_take_run, with an arena of the node. But before
 * a chunk is mapped, the runs in the node's depot return to their arenas: the
 * pool does not grow for what it has. node NULL: it is not known yet. */
unsigned np_node_take(struct np_node *node, struct np_arena *arena,
		      unsigned class, unsigned n, void **pieces);
void *np_node_take_run(struct np_node *node, struct np_arena *arena,
		       unsigned class, size_t align, bool *zero);

/* An arena for a call without a thread cache. */
struct np_arena *np_node_any_arena(const struct np_node *node, unsigned cpu);

#endif
