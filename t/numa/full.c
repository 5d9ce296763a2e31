/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * full: a node that has no more memory. A thread allocates and writes to half
 * as much again as its node has: the process lives, the node is filled, and
 * what is over lies on the node that is nearest to it, also when a thread of
 * a third node asks. The same where page cache has filled the node. A hard
 * limit of a node ends with ENOMEM before anything lies elsewhere if the node
 * was named, and else goes on at the nearest.
 *
 * Each part runs in a child: one that is killed for want of memory is a claim
 * that fails.
 *
 * Source: mbind(2), MPOL_PREFERRED; HACKING: NUMA rule 6.
 */
#include "fill.h"
#include "os.h"

#define PIECE (1 << 20)
#define MOST 8192 /* pieces */
#define LEAST_FREE ((size_t)256 << 20) /* of a node, for this test */
#define MOST_FREE ((size_t)3 << 30)

static void *pieces[MOST];

/* --- more than there is ----------------------------------------------- */

struct greed {
	size_t bytes;
	unsigned flags;
	struct lies lies;
};

static void *take(void *arg)
{
	static struct lies by_policy[NODES_MAX];
	struct greed *g = arg;
	size_t n = g->bytes / PIECE;

	must(n <= MOST);
	for (size_t i = 0; i < n; i++) {
		must(pieces[i] = npool_alloc(npool_default(), PIECE,
					     g->flags));
		touch(pieces[i], PIECE);
	}
	lies_by_policy(by_policy); /* quicker than page by page */
	g->lies = by_policy[full];
	return NULL;
}

static void tell(const char *what, const struct lies *l)
{
	char text[512];

	fprintf(stderr, "%s: %s\n", what, lies_text(l, text, sizeof text));
}

/* Half as much again as is free, by a thread of `sits`. */
static void overflow(int sits, unsigned flags)
{
	size_t room = nodes_free(full), page = np_os_page_size();
	struct greed g = { .bytes = room / 2 / PIECE * PIECE * 3, .flags = flags };

	nodes_run(sits, take, &g);
	fprintf(stderr, "%zu MiB were free on node %d, %zu MiB were written\n",
		room >> 20, full, g.bytes >> 20);
	tell("pages", &g.lies);
	must(g.lies.pages >= g.bytes / page);
	must(g.lies.on[full] >= room / page / 10 * 9);
	must(g.lies.on[near] == g.lies.pages - g.lies.on[full]);
}

static void part_local(void)
{
	overflow(full, 0);
}

/* By a thread of a third node, if there is one: what is over goes to the node
 * next to the full one, not to the thread's. */
static void part_named(void)
{
	int third = full;

	for (unsigned i = 0; i < numa.n; i++)
		if (numa.id[i] != full && numa.id[i] != near)
			third = numa.id[i];
	fprintf(stderr, "a thread of node %d asks\n", third);
	overflow(third, NPOOL_NODE(full));
}

/* --- page cache ------------------------------------------------------- */

#define HEADROOM ((size_t)400 << 20) /* the part that page cache fills */
#define SCARCE ((size_t)60 << 20)
#define BYTES ((size_t)300 << 20)

static void *fill_with_cache(void *path)
{
	nodes_hog(full, nodes_free(full) - HEADROOM);
	nodes_fill_cache(full, path, SCARCE);
	fprintf(stderr, "%zu MiB are free\n", nodes_free(full) >> 20);
	must(nodes_free(full) <= SCARCE);
	return NULL;
}

/* The kernel goes to the next node before it drops page cache. */
static void part_cache(void)
{
	struct greed g = { .bytes = BYTES };
	char *path = getenv("NPOOL_NUMA_FILE");

	must(path);
	nodes_run(full, fill_with_cache, path);
	nodes_run(full, take, &g);
	tell("pages", &g.lies);
	must(g.lies.pages >= BYTES / np_os_page_size());
	must(g.lies.on[near] + g.lies.on[full] == g.lies.pages);
}

/* --- limits ----------------------------------------------------------- */

#define LIMIT ((size_t)64 << 20)

static npool_t *limited_pool(void)
{
	struct npool_attr a = NPOOL_ATTR_INIT;
	npool_t *pool;

	a.node_hard_limit = LIMIT;
	a.pressure = pressed;
	must(npool_create(&pool, &a) == 0);
	return pool;
}

/* Pieces until there are none, or twice the limit. */
static size_t until_refused(npool_t *pool, unsigned flags, struct lies *lies)
{
	size_t n = 0;

	for (; n < 2 * LIMIT / PIECE; n++) {
		errno = 0;
		pieces[n] = npool_alloc(pool, PIECE, flags);
		if (!pieces[n])
			break;
		touch(pieces[n], PIECE);
		lies_add(lies, pieces[n], PIECE);
	}
	return n;
}

static void *limit_named(void *arg)
{
	npool_t *pool = limited_pool();
	struct lies lies = { 0 }, again = { 0 };
	size_t n = until_refused(pool, NPOOL_NODE(full), &lies);

	(void)arg;
	must(errno == ENOMEM);
	tell("up to the limit", &lies);
	must(n <= LIMIT / PIECE && n >= LIMIT / PIECE / 4 * 3);
	must(lies.on[full] == lies.pages && !lies.unknown);
	must(nasked && asked.hard && asked.node == full);
	for (size_t i = 0; i < n; i++)
		npool_free(pieces[i]);
	must(until_refused(pool, NPOOL_NODE(full), &again) == n);
	must(again.on[full] == again.pages);
	npool_destroy(pool);
	return NULL;
}

static void part_limit_named(void)
{
	nodes_run(full, limit_named, NULL);
}

static void *limit_default(void *arg)
{
	npool_t *pool = limited_pool();
	struct lies lies = { 0 };
	size_t n = until_refused(pool, 0, &lies);
	size_t limit_pages = LIMIT / np_os_page_size();

	(void)arg;
	tell("twice a node's limit", &lies);
	/* Nearly all; chunks' ends may be lost. */
	must(n >= 2 * LIMIT / PIECE / 8 * 7);
	must(lies.on[full] <= limit_pages);
	must(lies.on[full] >= limit_pages / 4 * 3);
	must(lies.on[full] + lies.on[near] == lies.pages);
	npool_destroy(pool);
	return NULL;
}

static void part_limit_default(void)
{
	nodes_run(full, limit_default, NULL);
}

/* --- all -------------------------------------------------------------- */

static const struct part parts[] = {
	{ "local", "", "a node overflows into the nearest one, and nobody dies",
	  part_local },
	{ "named", "", "so does one that was named by a thread of another node",
	  part_named },
	{ "cache", "", "and one that is full of page cache", part_cache },
	{ "limit-named", "", "a node's hard limit ends with ENOMEM, all of it "
	  "on that node", part_limit_named },
	{ "limit-default", "", "and is passed by going to the nearest node if "
	  "the node was not named", part_limit_default },
};

#define NPARTS (sizeof parts / sizeof *parts)

int main(int argc, char **argv)
{
	if (argc > 1)
		return fill_run(parts, NPARTS, argv[1]);
	conf_restart(argv, "");
	nodes_need(2);
	nodes_nearest(&full, &near);
	if (nodes_free(full) < LEAST_FREE || nodes_free(full) > MOST_FREE ||
	    nodes_free(near) < nodes_free(full) / 3 * 2)
		skip_all("needs a node of %zu to %zu MiB of free memory, and "
			 "as much on the nearest", LEAST_FREE >> 20,
			 MOST_FREE >> 20);
	plan(NPARTS);
	fill_test(parts, NPARTS);
	return done();
}
