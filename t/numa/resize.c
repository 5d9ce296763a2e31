/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * resize: pieces that a thread of another node makes larger or smaller, in
 * place, by copying, and by moving pages (mremap(2)). All of a piece lies on
 * the node that npool_node_of() says, which is the old owner's or the
 * caller's.
 *
 * Source: npool(3); HACKING: NUMA rules 1 and 5.
 */
#include "../conf.h"
#include "nodes.h"
#include "npool.h"

#define NBETWEEN 3 /* huge blocks that stand in the way */

static const struct step {
	size_t from, to;
	bool blocked; /* it cannot grow in place */
} steps[] = {
	{ 100, 10000, false },
	{ 10000, 3 << 20, false },
	{ 3 << 20, 5 << 20, false },
	{ 10 << 20, 24 << 20, false },
	{ 20 << 20, 28 << 20, false },
	{ 20 << 20, 40 << 20, false },
	{ 20 << 20, 70 << 20, true },
	{ 70 << 20, 20 << 20, false },
	{ 40 << 20, 5 << 20, false },
};

#define NSTEPS (sizeof steps / sizeof *steps)

static struct step now;
static void *piece, *between[NBETWEEN];

static void *allocate(void *arg)
{
	(void)arg;
	piece = npool_malloc(now.from);
	if (!piece)
		bail_out("no memory");
	touch(piece, now.from);
	for (unsigned i = 0; now.blocked && i < NBETWEEN; i++)
		between[i] = npool_malloc(17 << 20);
	return NULL;
}

static void *resize(void *arg)
{
	struct lies *l = arg;
	void *p = npool_realloc(piece, now.to);

	if (!p)
		bail_out("no memory");
	piece = p;
	touch(piece, now.to);
	lies_add(l, piece, now.to);
	return NULL;
}

static void *give(void *arg)
{
	(void)arg;
	npool_free(piece);
	for (unsigned i = 0; i < NBETWEEN; i++) {
		npool_free(between[i]);
		between[i] = NULL;
	}
	npool_trim();
	return NULL;
}

static void test_step(const struct step *s, int a, int b)
{
	struct lies lies = { 0 };
	char what[120];

	now = *s;
	nodes_run(a, allocate, NULL);
	nodes_run(b, resize, &lies);
	snprintf(what, sizeof what, "%zu KiB of node %d become %zu KiB by a "
		 "thread of %d%s", s->from >> 10, a, s->to >> 10, b,
		 s->blocked ? ", moved" : "");
	lies_all_on(&lies, npool_node_of(piece), what);
	nodes_run(b, give, NULL);
}

int main(int argc, char **argv)
{
	(void)argc;
	conf_restart(argv, "");
	nodes_need(2);
	plan(2 * NSTEPS);
	for (size_t i = 0; i < NSTEPS; i++) {
		test_step(&steps[i], numa.id[0], numa.id[1]);
		test_step(&steps[i], numa.id[1], numa.id[0]);
	}
	return done();
}
