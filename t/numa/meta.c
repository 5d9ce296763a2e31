/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * meta: the pool's own data lies where it is used. Threads of every node keep
 * all sorts of memory; then the kernel lists each mapping with its policy and
 * its pages by node (numa_maps). Whatever prefers a node has all its pages
 * there: chunks, huge blocks, thread caches, magazines, depots, trees. A
 * thread's cache lies on the thread's node, and the cache for another node
 * that it was put on lies on that one.
 *
 * Source: proc(5), numa_maps; HACKING: NUMA rule 1.
 */
#include "../conf.h"
#include "../rng.h"
#include "nodes.h"
#include "npool.h"
#include "thread.h" /* np_self */

#define NPIECES 500
#define LARGEST (200 << 10)

struct user {
	int node, put_on; /* put_on -1: it follows its CPU */
	struct lies lies; /* of its cache */
	pthread_t thread;
};

static pthread_barrier_t barrier;

static void *use(void *arg)
{
	struct user *u = arg;
	struct rng rng = rng_seed((uint64_t)u->node + 1);
	void *p[NPIECES], *huge;

	if (u->put_on >= 0)
		npool_thread_set_node(u->put_on);
	for (unsigned i = 0; i < NPIECES; i++) {
		p[i] = npool_malloc(rng_log(&rng, LARGEST));
		touch(p[i], 1);
	}
	huge = npool_malloc(17 << 20);
	touch(huge, 4096);
	for (unsigned i = 0; i < NPIECES; i += 2)
		npool_free(p[i]);
	lies_add(&u->lies, np_self, sizeof *np_self);
	pthread_barrier_wait(&barrier); /* all is there */
	pthread_barrier_wait(&barrier); /* and was looked at */
	for (unsigned i = 1; i < NPIECES; i += 2)
		npool_free(p[i]);
	npool_free(huge);
	return NULL;
}

static void test(struct user *u, unsigned n)
{
	static struct lies maps[NODES_MAX];
	char what[80];

	for (unsigned i = 0; i < n; i++)
		u[i].thread = nodes_start(u[i].node, use, &u[i]);
	pthread_barrier_wait(&barrier);
	ok(lies_by_policy(maps) > 2 * numa.n, "there are mappings with a policy");
	pthread_barrier_wait(&barrier);
	for (unsigned i = 0; i < n; i++) {
		int node = u[i].put_on < 0 ? u[i].node : u[i].put_on;

		pthread_join(u[i].thread, NULL);
		snprintf(what, sizeof what, "the cache of a thread of node %d "
			 "that is on %d", u[i].node, node);
		lies_all_on(&u[i].lies, node, what);
	}
	for (unsigned i = 0; i < numa.n; i++) {
		snprintf(what, sizeof what, "all that prefers node %d",
			 numa.id[i]);
		lies_all_on(&maps[numa.id[i]], numa.id[i], what);
	}
}

int main(int argc, char **argv)
{
	static struct user users[2 * NODES_MAX];

	(void)argc;
	conf_restart(argv, "");
	nodes_need(2);
	plan(1 + 3 * numa.n);
	for (unsigned i = 0; i < numa.n; i++) {
		users[2 * i] = (struct user){ numa.id[i], -1, { 0 }, 0 };
		users[2 * i + 1] = (struct user){
			numa.id[i], numa.id[(i + 1) % numa.n], { 0 }, 0 };
	}
	if (pthread_barrier_init(&barrier, NULL, 2 * numa.n + 1))
		bail_out("no barrier");
	test(users, 2 * numa.n);
	return done();
}
