/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * fill: what the tests of a node without room share: which node that is, parts
 * that each run in a child (one that is killed for want of memory is a claim
 * that fails), and a pressure function that remembers what it was asked.
 *
 *	static const struct part parts[] = { { "name", conf, claim, run }, ... };
 *	if (argc > 1)
 *		return fill_run(parts, NPARTS, argv[1]);
 *	...
 *	fill_test(parts, NPARTS);
 */
#ifndef FILL_H
#define FILL_H

#include "../conf.h"
#include "nodes.h"
#include "npool.h"

/* The node to be filled, and the nearest to it of those that are left. */
static int full, near;

struct part {
	const char *name, *conf, *claim;
	void (*run)(void);
};

/* In the child. */
static inline int fill_run(const struct part *parts, size_t n,
			   const char *name)
{
	nodes_look();
	must(nodes_nearest(&full, &near));
	for (size_t i = 0; i < n; i++)
		if (!strcmp(parts[i].name, name))
			parts[i].run();
	return 0;
}

/* A claim for each. That named "cache" fills the page cache from a file. */
static inline void fill_test(const struct part *parts, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct child c;

		if (!strcmp(parts[i].name, "cache") &&
		    !getenv("NPOOL_NUMA_FILE")) {
			skip(1, "needs NPOOL_NUMA_FILE, a large file that may "
			     "be read");
			continue;
		}
		c = conf_run(parts[i].conf, parts[i].name);
		ok(child_exited(&c, 0), "%s", parts[i].claim);
		diag("status 0x%x; %s", (unsigned)c.status, c.text);
	}
}

static struct npool_pressure asked; /* the last time */
static unsigned nasked;

static inline int pressed(npool_t *pool, const struct npool_pressure *p,
			  void *arg)
{
	(void)pool;
	(void)arg;
	asked = *p;
	nasked++;
	return 0;
}

#endif
