/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * wish: memory that is asked for by node. NPOOL_NODE(n) and
 * npool_thread_set_node(n) give memory of node n wherever the thread runs; a
 * pool of some nodes serves a thread of another node from the nearest of
 * them; an interleaved pool lays its pages out in turn; npool_reserve warms up
 * the node that it was told.
 *
 * Source: npool_alloc(3), npool_create(3); HACKING: NUMA rule 7.
 */
#include "../conf.h"
#include "nodes.h"
#include "npool.h"

#include <sys/prctl.h> /* PR_SET_THP_DISABLE */

#define NSIZES 6

static const size_t sizes[NSIZES] = {
	16, 1000, 8192, 100000, 3 << 20, 18 << 20,
};

#define EACH 20	/* pieces of a size; a tenth of that of large ones */

/* What one thread asks for. */
struct wish {
	npool_t *pool;
	unsigned flags;
	int set_node;	/* -1: not called */
	struct lies lies;
	unsigned refused;
};

static void *ask(void *arg)
{
	struct wish *w = arg;
	void *p[EACH];

	if (w->set_node >= 0 && npool_thread_set_node(w->set_node))
		bail_out("a thread cannot be put on node %d", w->set_node);
	for (unsigned i = 0; i < NSIZES; i++) {
		unsigned n = sizes[i] > 1 << 20 ? EACH / 10 : EACH;

		for (unsigned k = 0; k < n; k++) {
			p[k] = npool_alloc(w->pool, sizes[i], w->flags);
			if (!p[k]) {
				w->refused++;
				continue;
			}
			touch(p[k], sizes[i]);
			lies_add(&w->lies, p[k], sizes[i]);
		}
		for (unsigned k = 0; k < n; k++)
			npool_free(p[k]);
	}
	return NULL;
}

/* From all nodes; what it gets must lie on `node`. */
static void test_from_everywhere(struct wish wish, int node, const char *how)
{
	struct lies lies = { 0 };
	char what[128];

	for (unsigned i = 0; i < numa.n; i++) {
		struct wish w = wish;

		nodes_run(numa.id[i], ask, &w);
		lies_sum(&lies, &w.lies);
		if (w.refused)
			diag("%u refused on node %d", w.refused, numa.id[i]);
	}
	snprintf(what, sizeof what, "%s %d, from every node", how, node);
	lies_all_on(&lies, node, what);
}

static void *follow_again(void *lies)
{
	void *p;

	npool_thread_set_node(numa.id[1]);
	p = npool_malloc(5000);
	npool_thread_set_node(-1);
	npool_free(p);
	p = npool_malloc(5000);
	touch(p, 5000);
	lies_add(lies, p, 5000);
	npool_free(p);
	return NULL;
}

static void test_flags(void)
{
	struct lies lies = { 0 };
	void *p;

	for (unsigned i = 0; i < numa.n; i++) {
		struct wish w = { .pool = npool_default(), .set_node = -1,
				  .flags = NPOOL_NODE(numa.id[i]) };

		test_from_everywhere(w, numa.id[i], "NPOOL_NODE of");
		w.flags |= NPOOL_NOCACHE;
		test_from_everywhere(w, numa.id[i], "past the caches, of");
		w.flags = 0;
		w.set_node = numa.id[i];
		test_from_everywhere(w, numa.id[i], "a thread put on");
	}
	nodes_run(numa.id[0], follow_again, &lies);
	lies_all_on(&lies, numa.id[0], "a thread that follows its CPU again");
	errno = 0;
	p = npool_alloc(npool_default(), 100, NPOOL_NODE(NODES_MAX - 1));
	ok(!p && errno == EINVAL, "there is no node %d", NODES_MAX - 1);
	is_int(npool_thread_set_node(NODES_MAX - 1), EINVAL,
	       "nor can a thread be put there");
}

/* --- pools of some nodes ---------------------------------------------- */

/* A pool of the first and the last node: who is served by which? */
static void test_node_set(void)
{
	int a = numa.id[0], b = numa.id[numa.n - 1];
	struct npool_attr attr = NPOOL_ATTR_INIT;
	char list[32], what[80];
	npool_t *pool;

	snprintf(list, sizeof list, "%d,%d", a, b);
	attr.nodes = list;
	if (npool_create(&pool, &attr))
		bail_out("no pool of nodes %s", list);
	for (unsigned i = 0; i < numa.n; i++) {
		int me = numa.id[i];
		int near = nodes_distance(me, b) < nodes_distance(me, a) ? b : a;
		struct wish w = { .pool = pool, .set_node = -1 };

		nodes_run(me, ask, &w);
		snprintf(what, sizeof what, "a pool of nodes %s, a thread of "
			 "%d", list, me);
		lies_all_on(&w.lies, near, what);
	}
	npool_destroy(pool);
}

static void test_one_node(void)
{
	struct npool_attr attr = NPOOL_ATTR_INIT;
	int node = numa.id[1];
	struct wish w = { .set_node = -1 };
	char list[16];
	void *p;

	snprintf(list, sizeof list, "%d", node);
	attr.nodes = list;
	if (npool_create(&w.pool, &attr))
		bail_out("no pool of node %s", list);
	test_from_everywhere(w, node, "a pool of node");
	errno = 0;
	p = npool_alloc(w.pool, 100, NPOOL_NODE(numa.id[0]));
	ok(!p && errno == EINVAL, "it has no memory of node %d", numa.id[0]);
	npool_destroy(w.pool);
}

/* --- interleaved ------------------------------------------------------ */

/* Pages of size bytes of the pool, which are written to. */
static struct lies lay_out(npool_t *pool, size_t size)
{
	struct lies lies = { 0 };
	char text[512];
	void *p = npool_alloc(pool, size, 0);

	if (!p)
		bail_out("no memory");
	touch(p, size);
	lies_add(&lies, p, size);
	diag("%s", lies_text(&lies, text, sizeof text));
	return lies;
}

/* How far a node is from its share at most: a part of that. */
static double uneven(const struct lies *l)
{
	double share = (double)l->pages / numa.n, most = 0;

	for (unsigned i = 0; i < numa.n; i++) {
		double off = (double)l->on[numa.id[i]] - share;

		off = off < 0 ? -off : off;
		most = off > most ? off : most;
	}
	return most / share;
}

/* A huge page lies on one node as a whole. */
static void test_interleave(void)
{
	struct npool_attr attr = NPOOL_ATTR_INIT;
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	struct lies lies;
	npool_t *pool;
	void *p;

	attr.policy = NPOOL_INTERLEAVE;
	if (npool_create(&pool, &attr))
		bail_out("no interleaved pool");
	lies = lay_out(pool, numa.n * (20 << 20));
	ok(uneven(&lies) <= 0.1, "interleaved, 20 MiB a node: no node is "
	   "a tenth off its share (%.1f %%)", 100 * uneven(&lies));
	prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
	lies = lay_out(pool, numa.n * 100 * page);
	ok(lies.pages == numa.n * 100 && uneven(&lies) == 0,
	   "without huge pages: page by page, as many on each node");
	prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0);
	p = npool_alloc(pool, 100, 0);
	is_int(npool_node_of(p), -1, "they are of no node");
	npool_destroy(pool);
}

/* --- reserved --------------------------------------------------------- */

static void test_reserve(void)
{
	struct npool_attr attr = NPOOL_ATTR_INIT;
	size_t size = 1 << 20;
	int node = numa.id[1];
	struct lies lies = { 0 };
	npool_t *pool;
	void *p;

	if (npool_create(&pool, &attr))
		bail_out("no pool");
	nodes_sit(numa.id[0]);
	is_int(npool_reserve(pool, node, 20 << 20, NPOOL_POPULATE), 0,
	       "20 MiB are reserved on node %d, from %d", node, numa.id[0]);
	p = npool_alloc(pool, size, NPOOL_NODE(node));
	lies_add(&lies, p, size);
	is_size(lies.absent, 0, "they are there before they are touched");
	lies_all_on(&lies, node, "what was reserved");
	npool_destroy(pool);
}

int main(int argc, char **argv)
{
	(void)argc;
	conf_restart(argv, "");
	nodes_need(2);
	plan(3 * numa.n + 3 + numa.n + 2 + 3 + 3);
	test_flags();
	test_node_set();
	test_one_node();
	test_interleave();
	test_reserve();
	return done();
}
