/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * node: every home of a pool gets its arenas, its depot and its limit; homes
 * that are not of the pool are served by the nearest that is, and an
 * interleaved pool has one for all; the arena that was there first keeps its
 * place; threads are dealt out evenly, and to those first that lost some.
 */
#include "config.h"
#include "faultos.h"
#include "meta.h"
#include "node.h"
#include "rng.h"
#include "tap.h"

#include <string.h>

#define NHOMES 4
#define NARENAS 4
#define FIRST_HOME 2
#define MANY 64 /* arenas a node, so that there is something to map */
#define SLOT 5	/* the pool's */

static struct np_topology topology;
static struct np_classes classes;
static struct np_segment segment, other_segment;
static struct np_limit limit;
static struct np_nodes nodes;
static struct np_arena first;

static struct np_nodes_plan plan_of(unsigned narenas)
{
	return (struct np_nodes_plan){ .topology = &topology,
				       .classes = &classes,
				       .segment = &other_segment,
				       .name = "planned",
				       .slot = SLOT,
				       .arenas = narenas,
				       .policies = NP_ALL_POLICIES,
				       .decay_ms = -1 };
}

/* --- how many --------------------------------------------------------- */

static void test_narenas(void)
{
	static struct np_topology t;
	struct np_nodes_plan p = plan_of(0);

	np_topology_init(&t, 4);
	t.cpus_of[0] = 1;
	t.cpus_of[1] = 6;
	t.cpus_of[2] = 200;
	t.cpus_of[3] = 0;
	is_uint(np_node_narenas(&t, 0, 0), 1, "one CPU, one arena");
	is_uint(np_node_narenas(&t, 1, 0), 6, "six CPUs, six");
	is_uint(np_node_narenas(&t, 2, 0), 16, "200 CPUs, not more than 16");
	is_uint(np_node_narenas(&t, 3, 0), 1, "no CPU, one all the same");
	is_uint(np_node_narenas(&t, 3, 9), 9, "as many as are asked for");
	is_uint(np_node_narenas(&t, 2, 64), 64, "also more than 16");
	p.topology = &t;
	is_uint(np_nodes_count_arenas(&p), 1 + 6 + 16 + 1,
		"a pool of all nodes has those of all");
	p.in_set = (const bool[]){ false, true, false, true };
	is_uint(np_nodes_count_arenas(&p), 6 + 1, "one of two nodes theirs");
	p.arenas = 9;
	is_uint(np_nodes_count_arenas(&p), 9 + 9, "or as many as asked for");
	p.in_set = NULL;
	p.interleaved = true;
	is_uint(np_nodes_count_arenas(&p), 9, "an interleaved one those once");
	p.arenas = 0;
	is_uint(np_nodes_count_arenas(&p), 16,
		"or one for each CPU of all nodes, not more than 16");
	t.cpus_of[2] = 2;
	is_uint(np_nodes_count_arenas(&p), 1 + 6 + 2, "of few CPUs fewer");
}

/* --- what there is ---------------------------------------------------- */

static bool owns(const struct np_owner *o, unsigned home)
{
	return o->tag == np_tag(SLOT, (np_home_t)home) &&
	       np_owner_home(o) == home && o->bind_node == NP_ANYWHERE &&
	       !o->pinned && !strcmp(o->pool, "nodes") &&
	       o->limits.node == &nodes.node[home].limit &&
	       o->limits.pool == &limit && o->segment == &segment;
}

static void test_nodes(void)
{
	bool homes = true, places = true;
	uint64_t seen = 0;

	is_uint(nodes.n, NHOMES, "there is a node for each home");
	is_uint(nodes.narenas, NHOMES * NARENAS, "with its arenas");
	ok(nodes.slot == SLOT && nodes.topology == &topology &&
	   nodes.classes == &classes && nodes.segment == &segment,
	   "caches find there what they need");
	for (unsigned i = 0; i < NHOMES; i++) {
		const struct np_node *node = &nodes.node[i];

		homes = homes && node->home == i && owns(&node->owner, i) &&
			node->narenas == NARENAS && node->depot->home == i &&
			node->depot->node == np_segment_node(&segment, i) &&
			nodes.home_for[i] == i;
		for (unsigned k = 0; k < NARENAS; k++) {
			const struct np_arena *a = node->arenas[k];

			places = places && owns(&a->owner, i) &&
				a->node == np_segment_node(&segment, i) &&
				a->count == np_segment_arena(&segment,
							     a->index) &&
				a->count->home == i &&
				a->policies == NP_ALL_POLICIES;
			seen |= (uint64_t)1 << a->index;
		}
	}
	ok(homes, "nodes and their depots know their home and pool");
	ok(places, "so do the arenas, and where they count");
	is_hex(seen, (1u << NHOMES * NARENAS) - 1,
	       "each arena has a number of its own");
	is_ptr(nodes.node[FIRST_HOME].arenas[0], &first,
	       "the arena that was there first is the first of its home");
	is_uint(first.index, 0, "and number 0");
}

/* Invented homes are all equally far: the order is that of their numbers,
 * but for the home itself. */
static void test_distances(void)
{
	bool right = true;

	for (unsigned i = 0; i < NHOMES; i++) {
		const np_home_t *order = nodes.node[i].by_distance;
		unsigned next = 0;

		right = right && order[0] == i && !nodes.node[i].named_only;
		for (unsigned k = 1; k < NHOMES; k++, next++) {
			next += next == i;
			right = right && order[k] == next;
		}
	}
	ok(right, "a node knows who is nearest: itself, then the others");
}

static void count_arena(struct np_arena *a, void *seen)
{
	unsigned *count = seen;

	count[a->index]++;
}

static void test_each_arena(void)
{
	unsigned seen[NHOMES * NARENAS] = { 0 };
	bool once = true;

	np_nodes_each_arena(&nodes, count_arena, seen);
	for (unsigned i = 0; i < NHOMES * NARENAS; i++)
		once = once && seen[i] == 1;
	ok(once, "whoever goes through all arenas meets each once");
}

/* What the first arena handed out before it knew its home. */
static void test_settled(void *early)
{
	const struct np_segment_node *n = np_segment_node(&segment,
							  FIRST_HOME);
	const struct np_limit *of_node = &nodes.node[FIRST_HOME].limit;

	is_hex(np_region_tag(np_map_find(early)), np_tag(SLOT, FIRST_HOME),
	       "what it had handed out has its home now");
	is_uint(np_count_get(&n->taken),
		classes.row[np_class_of(&classes, 100)].size,
		"and counts there");
	is_uint(np_count_get(&n->reserved), classes.chunk_size,
		"with its chunk");
	ok(np_limit_charged(of_node) &&
	   np_limit_charged(of_node) == np_limit_charged(&limit),
	   "and is charged to the node as it was to the pool");
	np_arenas_put(&early, 1);
	is_uint(np_count_get(&n->taken), 0, "it goes back to it");
	np_arena_trim(&first);
	is_uint(np_count_get(&n->reserved), 0, "chunk and all");
	ok(!np_limit_charged(of_node) && !np_limit_charged(&limit),
	   "and nothing is charged for it");
}

/* --- limits ----------------------------------------------------------- */

#define PIECE (40 * NP_KIB) /* five pages */

static unsigned take(unsigned home, unsigned n, void **pieces)
{
	return np_arena_take(nodes.node[home].arenas[1],
			     np_class_of(&classes, PIECE), n, pieces);
}

static void test_limits(void)
{
	void *pieces[8];
	unsigned n = 0;

	atomic_store(&nodes.node[1].limit.hard, 2 * PIECE);
	atomic_store(&limit.hard, 6 * PIECE);
	n += take(1, 3, pieces);
	ok(n == 2 && errno == ENOMEM, "a node has as much as its limit says");
	n += take(0, 3, pieces + n);
	is_uint(n, 5, "another has more");
	n += take(3, 2, pieces + n);
	ok(n == 6 && errno == ENOMEM, "all together what the pool's says");
	ok(np_limit_charged(&nodes.node[0].limit) == 3 * PIECE &&
	   np_limit_charged(&nodes.node[1].limit) == 2 * PIECE &&
	   np_limit_charged(&nodes.node[2].limit) == 0 &&
	   np_limit_charged(&nodes.node[3].limit) == PIECE &&
	   np_limit_charged(&limit) == 6 * PIECE,
	   "each is charged what it has");
	np_arenas_put(pieces, n);
	for (unsigned i = 0; i < NHOMES; i++)
		np_arena_trim(nodes.node[i].arenas[1]);
	is_size(np_limit_charged(&limit), 0, "and no more when it is trimmed");
	atomic_store(&nodes.node[1].limit.hard, 0);
	atomic_store(&limit.hard, 0);
}

/* --- pools of some nodes ---------------------------------------------- */

static bool has_nothing(const struct np_node *node)
{
	return !node->narenas && !node->arenas && !node->depot;
}

static void test_in_set(void)
{
	static struct np_nodes some;
	static const bool in_set[NHOMES] = { false, true, false, true };
	static const np_home_t served_by[NHOMES] = { 1, 1, 1, 3 };
	struct np_nodes_plan p = plan_of(2);
	bool served = true;

	p.in_set = in_set;
	p.pinned = true;
	p.pages = NP_PAGES_OFF;
	is_int(np_nodes_create(&some, &p), 0, "a pool of nodes 1 and 3");
	ok(some.n == NHOMES && some.narenas == 4 &&
	   some.node[1].narenas == 2 && some.node[3].narenas == 2 &&
	   some.node[1].depot && some.node[3].depot, "those have arenas");
	ok(has_nothing(&some.node[0]) && has_nothing(&some.node[2]),
	   "the others have none");
	ok(some.node[1].arenas[0]->index == 0 &&
	   some.node[3].arenas[1]->index == 3,
	   "without a first arena numbers begin at 0");
	ok(!memcmp(some.home_for, served_by, sizeof served_by),
	   "a home that is not of the pool is served by one that is");
	for (unsigned cpu = 0; cpu < topology.ncpus; cpu++) {
		np_home_t near = np_topology_home(&topology, cpu);

		served = served &&
			 np_nodes_home_of(&p, cpu) == served_by[near] &&
			 some.home_for[near] == served_by[near];
	}
	ok(served, "and so are its CPUs");
	ok(some.node[3].owner.pinned && some.node[3].arenas[0]->owner.pinned,
	   "a pool that is pinned says so to its arenas");
	ok(some.node[3].arenas[0]->owner.pages == NP_PAGES_OFF,
	   "and which huge pages it wants");
	np_nodes_destroy(&some);
}

/* Two homes that are the same node to the kernel are near each other. */
static void test_nearest(void)
{
	static struct np_topology t;
	struct np_nodes_plan p = plan_of(1);
	np_home_t nearer;

	t = topology;
	t.kernel_node[0] = t.kernel_node[2] = 0;
	t.home_of_cpu[0] = 0;
	p.topology = &t;
	p.in_set = (const bool[]){ false, true, true, true };
	nearer = np_topology_distance(&t, 0, 2) <
		 np_topology_distance(&t, 0, 1) ? 2 : 1;
	is_uint(np_nodes_home_of(&p, 0), nearer, "the nearest serves");
	t.home_of_cpu[0] = 2;
	p.in_set = (const bool[]){ true, true, true, true };
	is_uint(np_nodes_home_of(&p, 0), 2, "the own one, if it may");
}

static void test_interleaved(void)
{
	static struct np_nodes one;
	static struct np_topology t;
	struct np_nodes_plan p = plan_of(3);
	bool all = true;

	t = topology;
	p.topology = &t;
	p.interleaved = true;
	is_int(np_nodes_create(&one, &p), 0, "a pool that is interleaved");
	ok(one.n == NHOMES && one.narenas == 3 && one.node[0].narenas == 3,
	   "has one home's arenas");
	for (unsigned i = 0; i < NHOMES; i++)
		all = all && one.home_for[i] == 0 &&
		      (!i || has_nothing(&one.node[i]));
	ok(all, "which serves all");
	is_int(one.node[0].owner.bind_node, NP_ANYWHERE,
	       "where nothing is bound, nor is it");
	np_nodes_destroy(&one);
	t.binds = true;
	memset(&one, 0, sizeof one);
	is_int(np_nodes_create(&one, &p), 0, "where nodes are bound");
	is_int(one.node[0].arenas[2]->owner.bind_node, NP_INTERLEAVED(SLOT),
	       "its pages come from its set of nodes");
	np_nodes_destroy(&one);
}

static void test_bound(void)
{
	static struct np_nodes bound;
	static struct np_topology t;
	struct np_nodes_plan p = plan_of(1);
	bool good = true;

	t = topology;
	t.binds = true;
	for (int i = 0; i < NHOMES; i++)
		t.kernel_node[i] = 2 * i + 1;
	p.topology = &t;
	if (np_nodes_create(&bound, &p))
		bail_out("no nodes");
	for (int i = 0; i < NHOMES; i++)
		good = good && bound.node[i].owner.bind_node == 2 * i + 1 &&
		       bound.node[i].arenas[0]->owner.bind_node == 2 * i + 1;
	ok(good, "memory of a home is bound to the kernel's node");
	np_nodes_destroy(&bound);
}

/* --- who uses which --------------------------------------------------- */

/* The difference between the arenas with the most and the fewest threads. */
static uint32_t spread(const struct np_node *node)
{
	uint32_t least = UINT32_MAX, most = 0;

	for (unsigned i = 0; i < node->narenas; i++) {
		uint32_t n = node->arenas[i]->nthreads;

		least = n < least ? n : least;
		most = n > most ? n : most;
		if (n != np_count_get(&node->arenas[i]->count->threads))
			return UINT32_MAX;
	}
	return most - least;
}

static void test_round_robin(struct np_node *node)
{
	bool in_turn = true, even = true;

	for (unsigned i = 0; i < 5 * NARENAS; i++) {
		in_turn = in_turn && np_node_join(node) ==
			node->arenas[i % NARENAS];
		even = even && spread(node) <= 1;
	}
	ok(in_turn, "while nobody leaves, arenas are taken in turn");
	ok(even, "so their threads never differ by more than one");
	for (unsigned i = 0; i < 5; i++)
		np_node_leave(node->arenas[2]);
	is_uint(node->arenas[2]->nthreads, 0, "all threads of one leave");
	for (unsigned i = 0; i < 5; i++)
		in_turn = in_turn && np_node_join(node) == node->arenas[2];
	ok(in_turn, "it is filled up first");
	is_uint(spread(node), 0, "until all have as many");
	for (unsigned i = 0; i < 5 * NARENAS; i++)
		np_node_leave(node->arenas[i % NARENAS]);
	is_uint(np_count_get(&node->arenas[0]->count->threads), 0,
		"the counter follows");
}

/* Comes and goes at random: whoever comes gets one with the fewest. */
static void test_fewest(struct np_node *node)
{
	struct rng rng = rng_seed(4);
	struct np_arena *of[200] = { 0 };
	bool fewest = true;

	for (int op = 0; op < 10000; op++) {
		unsigned i = (unsigned)rng_below(&rng, 200);
		uint32_t least = UINT32_MAX;

		if (of[i]) {
			np_node_leave(of[i]);
			of[i] = NULL;
			continue;
		}
		for (unsigned k = 0; k < node->narenas; k++)
			if (node->arenas[k]->nthreads < least)
				least = node->arenas[k]->nthreads;
		of[i] = np_node_join(node);
		fewest = fewest && of[i]->nthreads == least + 1;
	}
	for (int i = 0; i < 200; i++)
		if (of[i])
			np_node_leave(of[i]);
	ok(fewest, "a new thread gets an arena with the fewest");
	is_uint(spread(node), 0, "when all have gone none has any");
}

static void test_any_arena(const struct np_node *node)
{
	uint64_t seen = 0;
	bool of_node = true;

	for (unsigned cpu = 0; cpu < 64; cpu++) {
		struct np_arena *a = np_node_any_arena(node, cpu);

		of_node = of_node && a->owner.tag == node->owner.tag;
		seen |= (uint64_t)1 << a->index;
	}
	ok(of_node, "without a cache there is an arena of the node, too");
	is_int(__builtin_popcountll(seen), NARENAS, "by CPU, any of them");
}

/* --- the end ---------------------------------------------------------- */

static void test_destroy(void)
{
	static struct np_nodes other;
	struct np_nodes_plan p = plan_of(3);
	size_t before = 0;
	void *pieces[NHOMES];
	bool gone = true;

	for (int round = 0; round < 100; round++) {
		memset(&other, 0, sizeof other);
		if (np_nodes_create(&other, &p))
			bail_out("no nodes");
		for (unsigned i = 0; i < NHOMES; i++)
			if (np_arena_take(other.node[i].arenas[2],
					  np_class_of(&classes, 1000), 1,
					  &pieces[i]) != 1)
				bail_out("no memory");
		np_nodes_destroy(&other);
		for (unsigned i = 0; i < NHOMES; i++)
			gone = gone && !np_map_find(pieces[i]);
		if (!round)
			before = np_meta_mapped();
	}
	ok(gone, "nodes that are destroyed take what was handed out along");
	is_size(np_meta_mapped(), before, "and all of their own data");
}

/* --- no memory -------------------------------------------------------- */

static void test_faults(void)
{
	static struct np_nodes other;
	static struct np_arena other_first;
	static const struct np_owner nobody = { .bind_node = NP_ANYWHERE };
	struct np_nodes_plan p = plan_of(MANY);
	unsigned long n;
	bool right = true;
	int error;

	p.first = &other_first;
	p.first_home = FIRST_HOME;
	faultos_begin();
	for (n = 1; ; n++) {
		memset(&other, 0, sizeof other);
		memset(&other_first, 0, sizeof other_first);
		np_arena_init(&other_first, &classes, &nobody, 0,
			      NP_ALL_POLICIES, -1);
		faultos_fail(n, ENOMEM);
		error = np_nodes_create(&other, &p);
		if (!faultos_failed())
			break;
		right = right && (!error || error == ENOMEM);
	}
	faultos_end();
	ok(!error && n > 2, "making nodes takes %lu system calls", n - 1);
	ok(right, "if one fails it is ENOMEM or does not matter");
}

static int make(struct np_nodes *made, const struct np_nodes_plan *p)
{
	memset(made, 0, sizeof *made);
	return np_nodes_create(made, p);
}

/* Each call fails once. What was made until then is freed: when all is done no
 * more is mapped than for nodes that are made. */
static void test_half_made(void)
{
	struct np_nodes_plan p = plan_of(MANY);
	static struct np_nodes one, two;
	size_t before = np_meta_mapped(), all, need;
	unsigned long n;
	unsigned nfailed = 0;
	int error;

	faultos_begin();
	for (n = 1; ; n++) {
		before += faultos_use_up_kept(NHOMES);
		faultos_fail(n, ENOMEM);
		error = make(&one, &p);
		if (!faultos_failed())
			break;
		nfailed += error == ENOMEM;
		np_nodes_destroy(&one);
	}
	faultos_end();
	ok(!error && nfailed > 2, "of nodes that lack memory, what is there "
	   "can be destroyed (%u times)", nfailed);
	all = np_meta_mapped();
	np_nodes_destroy(&one);
	error = make(&one, &p);
	is_size(np_meta_mapped(), all, "and is used again");
	error = make(&two, &p) || error;
	need = np_meta_mapped() - all;
	ok(!error && all - before <= need + 512 * NP_KIB,
	   "it took %zu bytes, where nodes take %zu", all - before, need);
	np_nodes_destroy(&one);
	np_nodes_destroy(&two);
}

static void start(void)
{
	static struct np_config config;
	struct np_segment_pool shown = { .name = "nodes",
					 .config = &config,
					 .classes = &classes,
					 .topology = &topology,
					 .narenas = NHOMES * MANY };
	struct np_nodes_plan p = plan_of(NARENAS);

	np_config_preset(&config);
	np_meta_init(&topology);
	p.segment = &segment;
	p.limit = &limit;
	p.name = "nodes";
	p.first = &first;
	p.first_home = FIRST_HOME;
	if (np_segment_create(&segment, NULL, &shown) ||
	    np_segment_create(&other_segment, NULL, &shown) ||
	    np_nodes_create(&nodes, &p))
		bail_out("no nodes");
}

int main(void)
{
	struct np_owner nobody = { .bind_node = NP_ANYWHERE, .pool = "early",
				   .limits = { .pool = &limit } };
	void *early;

	plan(12 + 8 + 1 + 1 + 7 + 5 + 7 + 2 + 6 + 1 + 7 + 2 + 2 + 2 + 2 + 3);
	np_topology_init(&topology, NHOMES);
	np_meta_init(NULL);
	if (np_map_init() || np_classes_init(&classes, NP_FINE, 13, 11))
		bail_out("nothing to start with");
	np_arena_init(&first, &classes, &nobody, 0, NP_ALL_POLICIES, -1);
	if (np_arena_take(&first, np_class_of(&classes, 100), 1, &early) != 1)
		bail_out("no memory");
	start();
	test_narenas();
	test_nodes();
	test_distances();
	test_each_arena();
	test_settled(early);
	test_limits();
	test_in_set();
	test_nearest();
	test_interleaved();
	test_bound();
	test_round_robin(&nodes.node[1]);
	test_fewest(&nodes.node[1]);
	test_any_arena(&nodes.node[1]);
	test_destroy();
	test_faults();
	test_half_made();
	return done();
}
