/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * node: every home gets its arenas and its depot; the arena that was there
 * first keeps its place; threads are dealt out evenly, and to those first
 * that lost some.
 */
#include "config.h"
#include "faultos.h"
#include "meta.h"
#include "node.h"
#include "rng.h"
#include "tap.h"

#include <string.h>

#define NHOMES 3
#define NARENAS 4
#define FIRST_HOME 2
#define MANY 64 /* arenas a node, so that there is something to map */

static struct np_topology topology;
static struct np_classes classes;
static struct np_nodes nodes;
static struct np_arena first;

/* --- how many --------------------------------------------------------- */

static void test_narenas(void)
{
	static struct np_topology t;

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
}

/* --- what there is ---------------------------------------------------- */

static void test_nodes(void)
{
	bool homes = true, places = true;
	uint64_t seen = 0;

	is_uint(nodes.n, NHOMES, "there is a node for each home");
	is_uint(nodes.narenas, NHOMES * NARENAS, "with its arenas");
	for (unsigned i = 0; i < NHOMES; i++) {
		const struct np_node *node = &nodes.node[i];

		homes = homes && node->home == i && node->bind_node == -1 &&
			node->narenas == NARENAS &&
			node->depot->home == i;
		for (unsigned k = 0; k < NARENAS; k++) {
			const struct np_arena *a = node->arenas[k];

			places = places && a->home == i && a->node &&
				a->count == np_segment_arena(a->index) &&
				a->count->home == i &&
				a->policies == NP_ALL_POLICIES;
			seen |= (uint64_t)1 << a->index;
		}
	}
	ok(homes, "nodes and their depots know their home");
	ok(places, "so do the arenas, and where they count");
	is_hex(seen, (1u << NHOMES * NARENAS) - 1,
	       "each arena has a number of its own");
	is_ptr(nodes.node[FIRST_HOME].arenas[0], &first,
	       "the arena that was there first is the first of its home");
	is_uint(first.index, 0, "and number 0");
}

/* What the first arena handed out before it knew its home. */
static void test_settled(void *early)
{
	is_uint(np_region_home(np_map_find(early)), FIRST_HOME,
		"what it had handed out has its home now");
	is_uint(np_count_get(&np_segment_node(FIRST_HOME)->taken),
		classes.row[np_class_of(&classes, 100)].size,
		"and counts there");
	is_uint(np_count_get(&np_segment_node(FIRST_HOME)->reserved),
		classes.chunk_size, "with its chunk");
	np_arenas_put(&early, 1);
	is_uint(np_count_get(&np_segment_node(FIRST_HOME)->taken), 0,
		"it goes back to it");
	np_arena_trim(&first);
	is_uint(np_count_get(&np_segment_node(FIRST_HOME)->reserved), 0,
		"chunk and all");
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

		of_node = of_node && a->home == node->home;
		seen |= (uint64_t)1 << a->index;
	}
	ok(of_node, "without a cache there is an arena of the node, too");
	is_int(__builtin_popcountll(seen), NARENAS, "by CPU, any of them");
}

/* --- no memory -------------------------------------------------------- */

static void test_faults(void)
{
	static struct np_nodes other;
	static struct np_arena other_first;
	unsigned long n;
	bool right = true;
	int error;

	faultos_begin();
	for (n = 1; ; n++) {
		memset(&other, 0, sizeof other);
		memset(&other_first, 0, sizeof other_first);
		np_arena_init(&other_first, &classes, 0, -1, 0,
			      NP_ALL_POLICIES, -1);
		faultos_fail(n, ENOMEM);
		error = np_nodes_create(&other, &topology, &classes, MANY, -1,
					&other_first, FIRST_HOME);
		if (!faultos_failed())
			break;
		right = right && (!error || error == ENOMEM);
	}
	faultos_end();
	ok(!error && n > 2, "making nodes takes %lu system calls", n - 1);
	ok(right, "if one fails it is ENOMEM or does not matter");
}

int main(void)
{
	struct np_config config;
	void *early;

	plan(30);
	np_config_preset(&config);
	np_topology_init(&topology, NHOMES);
	np_meta_init(NULL);
	if (np_map_init() || np_classes_init(&classes, NP_FINE, 13, 11))
		bail_out("nothing to start with");
	np_arena_init(&first, &classes, 0, -1, 0, NP_ALL_POLICIES, -1);
	if (np_arena_take(&first, np_class_of(&classes, 100), 1, &early) != 1)
		bail_out("no memory");
	np_meta_init(&topology);
	if (np_segment_create(&config, &classes, &topology,
			      NHOMES * MANY) ||
	    np_nodes_create(&nodes, &topology, &classes, NARENAS, -1, &first,
			    FIRST_HOME))
		bail_out("no nodes");
	test_narenas();
	test_nodes();
	test_settled(early);
	test_round_robin(&nodes.node[1]);
	test_fewest(&nodes.node[1]);
	test_any_arena(&nodes.node[1]);
	test_faults();
	return done();
}
