/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * node: see node.h.
 */
#include "node.h"
#include "meta.h"
#include "os.h"

#include <errno.h>

#define ARENAS_MOST 16 /* more locks than this do not pay their memory */

/* What a node grows by before its depot is looked at: a 16th of what it has in
 * use, so that large ones do not look more often than small ones. */
#define GROWTH_PART 16
#define GROWTH_LEAST NP_MIB

static unsigned arenas_for(unsigned ncpus)
{
	return ncpus < 1 ? 1 : ncpus > ARENAS_MOST ? ARENAS_MOST : ncpus;
}

unsigned np_node_narenas(const struct np_topology *topology, np_home_t home,
			 unsigned wanted)
{
	return wanted ? wanted : arenas_for(topology->cpus_of[home]);
}

/* --- the plan --------------------------------------------------------- */

static bool in_set(const struct np_nodes_plan *plan, unsigned home)
{
	if (plan->interleaved)
		return home == 0;
	return !plan->in_set || plan->in_set[home];
}

/* An interleaved pool serves all CPUs from one home. */
static unsigned narenas(const struct np_nodes_plan *plan, unsigned home)
{
	unsigned ncpus = 0;

	if (!plan->interleaved || plan->arenas)
		return np_node_narenas(plan->topology, (np_home_t)home,
				       plan->arenas);
	for (unsigned i = 0; i < plan->topology->nnodes; i++)
		ncpus += plan->topology->cpus_of[i];
	return arenas_for(ncpus);
}

unsigned np_nodes_count_arenas(const struct np_nodes_plan *plan)
{
	unsigned n = 0;

	for (unsigned i = 0; i < plan->topology->nnodes; i++)
		if (in_set(plan, i))
			n += narenas(plan, i);
	return n;
}

/* The home of the pool that is nearest to this one. */
static np_home_t nearest(const struct np_nodes_plan *plan, unsigned home)
{
	unsigned n = plan->topology->nnodes, best = n;

	for (unsigned i = 0; i < n; i++) {
		if (!in_set(plan, i))
			continue;
		if (i == home)
			return (np_home_t)i;
		if (best == n ||
		    np_topology_distance(plan->topology, home, i) <
		    np_topology_distance(plan->topology, home, best))
			best = i;
	}
	return (np_home_t)best;
}

np_home_t np_nodes_home_of(const struct np_nodes_plan *plan, unsigned cpu)
{
	return nearest(plan, np_topology_home(plan->topology, cpu));
}

/* --- making them ------------------------------------------------------ */

static void make_owner(struct np_node *node, const struct np_nodes_plan *plan)
{
	node->owner = (struct np_owner){
		.tag = np_tag(plan->slot, node->home),
		.bind_node = np_topology_bind_to(plan->topology, node->home),
		.pages = plan->pages,
		.pinned = plan->pinned,
		.sees = plan->topology->binds && plan->topology->sees &&
			!plan->interleaved,
		.strict = plan->strict && plan->topology->binds,
		.pool = plan->name,
		.limits = { &node->limit, plan->limit },
		.segment = plan->segment,
	};
	if (plan->interleaved && plan->topology->binds)
		node->owner.bind_node = NP_INTERLEAVED(plan->slot);
}

static struct np_arena *make_arena(const struct np_nodes_plan *plan,
				   const struct np_node *node, unsigned index)
{
	struct np_arena *a = np_meta_alloc(node->home, sizeof *a);

	if (!a)
		return NULL;
	np_arena_init(a, plan->classes, &node->owner, index, plan->policies,
		      plan->decay_ms);
	np_arena_settle(a, &node->owner);
	return a;
}

static int make_arenas(const struct np_nodes_plan *plan, struct np_node *node,
		       unsigned n, unsigned *index)
{
	node->arenas_size = n * sizeof *node->arenas;
	node->arenas = np_meta_alloc(node->home, node->arenas_size);
	if (!node->arenas)
		return ENOMEM;
	while (node->narenas < n) {
		struct np_arena *a = plan->first;

		if (a && node->home == plan->first_home && !node->narenas)
			np_arena_settle(a, &node->owner);
		else
			a = make_arena(plan, node, (*index)++);
		if (!a)
			return ENOMEM;
		node->arenas[node->narenas++] = a;
	}
	return 0;
}

/* Sorted once: who has no memory left has no time to ask. */
static int sort_by_distance(struct np_node *node,
			    const struct np_topology *topology)
{
	unsigned n = topology->nnodes;
	np_home_t *order = np_meta_alloc(node->home, n * sizeof *order);

	node->by_distance = order;
	if (!order)
		return ENOMEM;
	for (unsigned i = 0; i < n; i++) {
		int d = np_topology_distance(topology, node->home, i);
		unsigned k = i;

		for (; k && (i == node->home ||
			     (order[k - 1] != node->home &&
			      np_topology_distance(topology, node->home,
						   order[k - 1]) > d)); k--)
			order[k] = order[k - 1];
		order[k] = (np_home_t)i;
	}
	return 0;
}

static int make_node(struct np_nodes *nodes, const struct np_nodes_plan *plan,
		     unsigned home, unsigned *index)
{
	struct np_node *node = &nodes->node[home];

	node->home = (np_home_t)home;
	node->named_only = !plan->in_set &&
			   np_topology_named_only(plan->topology, home);
	make_owner(node, plan);
	nodes->home_for[home] = nearest(plan, home);
	if (!in_set(plan, home))
		return 0;
	node->depot = np_depot_create(node->home, plan->classes,
				      np_segment_node(plan->segment, home));
	if (!node->depot || sort_by_distance(node, plan->topology))
		return ENOMEM;
	return make_arenas(plan, node, narenas(plan, home), index);
}

int np_nodes_create(struct np_nodes *nodes, const struct np_nodes_plan *plan)
{
	unsigned index = plan->first ? 1 : 0; /* `first` is number 0 */
	int error = 0;

	nodes->n = plan->topology->nnodes;
	nodes->slot = plan->slot;
	nodes->topology = plan->topology;
	nodes->classes = plan->classes;
	nodes->segment = plan->segment;
	nodes->node = np_meta_alloc(0, nodes->n * sizeof *nodes->node);
	nodes->home_for = np_meta_alloc(0, nodes->n *
					sizeof *nodes->home_for);
	if (!nodes->node || !nodes->home_for)
		return ENOMEM;
	for (unsigned i = 0; !error && i < nodes->n; i++)
		error = make_node(nodes, plan, i, &index);
	nodes->narenas = index;
	return error;
}

static void destroy_node(struct np_node *node, unsigned n)
{
	if (node->by_distance)
		np_meta_free(node->home, node->by_distance,
			     n * sizeof *node->by_distance);
	for (unsigned i = 0; i < node->narenas; i++) {
		np_arena_fini(node->arenas[i]);
		np_meta_free(node->home, node->arenas[i],
			     sizeof *node->arenas[i]);
	}
	if (node->arenas)
		np_meta_free(node->home, node->arenas,
			     node->arenas_size);
	if (node->depot)
		np_depot_destroy(node->depot);
}

void np_nodes_destroy(struct np_nodes *nodes)
{
	for (unsigned i = 0; nodes->node && i < nodes->n; i++)
		destroy_node(&nodes->node[i], nodes->n);
	if (nodes->node)
		np_meta_free(0, nodes->node, nodes->n * sizeof *nodes->node);
	if (nodes->home_for)
		np_meta_free(0, nodes->home_for, nodes->n *
			     sizeof *nodes->home_for);
}

void np_nodes_each_arena(const struct np_nodes *nodes,
			 void (*call)(struct np_arena *arena, void *arg),
			 void *arg)
{
	for (unsigned i = 0; i < nodes->n; i++)
		for (unsigned k = 0; k < nodes->node[i].narenas; k++)
			call(nodes->node[i].arenas[k], arg);
}

/* --- threads ---------------------------------------------------------- */

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

/* --- taking ----------------------------------------------------------- */

static bool has_runs(const struct np_node *node)
{
	return node && node->depot && np_depot_has_runs(node->depot);
}

/* Elements stay: their subpages would hardly become empty. */
static void release_runs(const struct np_node *node,
			 struct np_mag *(*out)(struct np_depot *, unsigned))
{
	struct np_depot *d = node->depot;

	for (unsigned class = 1; class < d->nclasses; class++)
		if (d->shelf[class].runs)
			np_mags_to_arenas(out(d, class));
}

/* Are there so many more pages in use than at the last time that it was asked
 * and true? When there are as many fewer, it counts from there. */
static bool has_grown(struct np_node *node)
{
	size_t charged = np_limit_charged(&node->limit);
	size_t step = charged / GROWTH_PART > GROWTH_LEAST
		    ? charged / GROWTH_PART : GROWTH_LEAST;
	size_t at = atomic_load_explicit(&node->grown_at,
					 memory_order_relaxed);
	bool has = charged >= at;

	if (has || charged + 2 * step < at)
		atomic_store_explicit(&node->grown_at, charged + step,
				      memory_order_relaxed);
	return has;
}

bool np_node_grows(struct np_node *node)
{
	if (!np_unlikely(has_grown(node)))
		return false;
	if (has_runs(node))
		release_runs(node, np_depot_tick);
	return true;
}

unsigned np_node_take(struct np_node *node, struct np_arena *arena,
		      unsigned class, unsigned n, void **pieces)
{
	unsigned got;

	if (has_runs(node)) {
		got = np_arena_take_held(arena, class, n, pieces);
		if (got)
			return got;
		release_runs(node, np_depot_drain);
	}
	return np_arena_take(arena, class, n, pieces);
}

void *np_node_take_run(struct np_node *node, struct np_arena *arena,
		       unsigned class, size_t align, bool *zero)
{
	void *p;

	if (has_runs(node)) {
		p = np_arena_take_run_held(arena, class, align, zero);
		if (p)
			return p;
		release_runs(node, np_depot_drain);
	}
	return np_arena_take_run(arena, class, align, zero);
}
