/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * first-touch: memory lies on the node that it was allocated for, whoever
 * writes to it first. A thread of one node allocates, a thread of another one
 * writes; for every pair of nodes, and for pieces of all kinds.
 *
 * The same under mlockall(MCL_FUTURE): the kernel then populates memory as it
 * is mapped, by the thread that maps it. So there a thread of one node asks
 * for memory of another: the policy must stand before the pages come.
 *
 * Source: HACKING: NUMA rule 1.
 */
#include "../conf.h"
#include "nodes.h"
#include "npool.h"
#include "os.h"

#include <sys/mman.h> /* mlockall */

#define NSIZES 8

static const size_t sizes[NSIZES] = {
	16, 300, 4096, 30000, 100000, 1 << 20, 9 << 20, 20 << 20,
};

/* Of each size so many that they have 2 MiB together, or three. */
#define BYTES (2 * NP_MIB)
#define LEAST 3
#define MOST 2000

struct batch {
	int node;	/* NPOOL_NODE; -1: that of the thread */
	size_t size, n;
	void *piece[MOST];
	struct lies before, after; /* they were written to */
};

static void *allocate(void *arg)
{
	struct batch *b = arg;

	b->n = BYTES / b->size;
	b->n = b->n < LEAST ? LEAST : b->n > MOST ? MOST : b->n;
	for (size_t i = 0; i < b->n; i++) {
		b->piece[i] = npool_alloc(npool_default(), b->size,
					  b->node < 0 ? 0
						      : NPOOL_NODE(b->node));
		if (!b->piece[i])
			bail_out("no memory");
		lies_add(&b->before, b->piece[i], b->size);
	}
	return NULL;
}

static void *write_and_look(void *arg)
{
	struct batch *b = arg;

	for (size_t i = 0; i < b->n; i++) {
		touch(b->piece[i], b->size);
		lies_add(&b->after, b->piece[i], b->size);
	}
	return NULL;
}

static void *give(void *arg)
{
	struct batch *b = arg;

	for (size_t i = 0; i < b->n; i++)
		npool_free(b->piece[i]);
	npool_trim();
	return NULL;
}

/* Pieces for `owner`, which the thread of node `asks` allocates and that of
 * node `writes` touches. */
static void run_pair(int owner, int asks, int writes, struct lies *before,
		     struct lies *after)
{
	static struct batch b;

	for (unsigned i = 0; i < NSIZES; i++) {
		memset(&b, 0, sizeof b);
		b.node = asks == owner ? -1 : owner;
		b.size = sizes[i];
		nodes_run(asks, allocate, &b);
		nodes_run(writes, write_and_look, &b);
		nodes_run(writes, give, &b);
		lies_sum(before, &b.before);
		lies_sum(after, &b.after);
	}
}

/* Each node with the next one. */
static void test_first_touch(void)
{
	char what[80];

	for (unsigned i = 0; i < numa.n; i++) {
		int a = numa.id[i], b = numa.id[(i + 1) % numa.n];
		struct lies before = { 0 }, after = { 0 };

		run_pair(a, a, b, &before, &after);
		ok(before.absent > before.pages,
		   "allocated on node %d: %zu of %zu pages nobody has touched",
		   a, before.absent, before.absent + before.pages);
		snprintf(what, sizeof what,
			 "allocated on node %d, written to on %d", a, b);
		lies_all_on(&after, a, what);
	}
}

/* --- mlockall --------------------------------------------------------- */

static void *allocate_there(void *arg)
{
	struct batch *b = arg;
	int node = b->node;

	if (npool_thread_set_node(node))
		bail_out("a thread cannot be put on node %d", node);
	b->node = -1;
	return allocate(b);
}

static void test_set_node(int a, int b)
{
	static struct batch batch;
	struct lies lies = { 0 };
	char what[80];

	for (unsigned i = 0; i < NSIZES; i++) {
		memset(&batch, 0, sizeof batch);
		batch.node = a;
		batch.size = sizes[i];
		nodes_run(b, allocate_there, &batch);
		lies_sum(&lies, &batch.before);
		nodes_run(b, give, &batch);
	}
	is_size(lies.absent, 0, "locked memory is there at once");
	snprintf(what, sizeof what, "locked, by a thread of node %d that was "
		 "put on %d", b, a);
	lies_all_on(&lies, a, what);
}

static void test_locked(void)
{
	char what[80];

	if (mlockall(MCL_CURRENT | MCL_FUTURE)) {
		skip(3 * numa.n, "the process may not lock its memory");
		return;
	}
	for (unsigned i = 0; i < numa.n; i++) {
		int a = numa.id[i], b = numa.id[(i + 1) % numa.n];
		struct lies before = { 0 }, after = { 0 };

		run_pair(a, b, b, &before, &after);
		snprintf(what, sizeof what, "locked, asked for by a thread of "
			 "node %d", b);
		lies_all_on(&before, a, what);
		test_set_node(a, b);
	}
	munlockall();
}

int main(int argc, char **argv)
{
	(void)argc;
	conf_restart(argv, "");
	nodes_need(2);
	plan(5 * numa.n);
	test_first_touch();
	test_locked();
	return done();
}
