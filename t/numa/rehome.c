/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * rehome: threads that move. A thread fills its caches on one node, goes to
 * another, and all that it gets there lies there: after it has freed what it
 * had, without any free in between, and when its magazines were full. A
 * thread that moves thousands of times gets every piece where it is, and the
 * process does not grow. Where the kernel keeps no CPU number for it
 * (rseq(2)) at most 64 calls get what belongs to the old node.
 *
 * Source: HACKING: NUMA rules 3 and 4.
 */
#include "../conf.h"
#include "../pages.h"
#include "../rng.h"
#include "nodes.h"
#include "npool.h"
#include "os.h"
#include "seat.h" /* NP_CALLS_A_LOOK */

#define NPIECES 150
#define LARGEST (1 << 20)
#define NMOVES 2000
#define NWARM 500 /* moves after which nothing grows any more */
#define GROWTH (2 * NP_MIB)

struct set {
	void *piece[NPIECES];
	size_t size[NPIECES];
};

static void get(struct set *s, uint64_t seed, struct lies *lies)
{
	struct rng rng = rng_seed(seed);

	for (unsigned i = 0; i < NPIECES; i++) {
		s->size[i] = rng_log(&rng, LARGEST);
		s->piece[i] = npool_malloc(s->size[i]);
		if (!s->piece[i])
			bail_out("no memory");
		touch(s->piece[i], s->size[i]);
		if (lies)
			lies_add(lies, s->piece[i], s->size[i]);
	}
}

static void give(struct set *s)
{
	for (unsigned i = 0; i < NPIECES; i++)
		npool_free(s->piece[i]);
}

/* --- one move --------------------------------------------------------- */

struct journey {
	int from, to;
	bool frees_there, caches; /* frees before it asks anew; or before it
				     leaves */
	struct lies before, after;
};

static void *travel(void *arg)
{
	static struct set first, second;
	struct journey *j = arg;

	get(&first, 1, &j->before);
	if (j->caches)
		give(&first);
	nodes_sit(j->to);
	if (j->frees_there)
		give(&first);
	get(&second, 1, &j->after);
	if (!j->frees_there && !j->caches)
		give(&first);
	give(&second);
	return NULL;
}

static void test_journeys(bool frees_there, bool caches, const char *how)
{
	struct lies before = { 0 }, left;
	char what[128];

	for (unsigned i = 0; i < numa.n; i++) {
		struct journey j = {
			.from = numa.id[i],
			.to = numa.id[(i + 1) % numa.n],
			.frees_there = frees_there, .caches = caches,
		};

		nodes_run(j.from, travel, &j);
		left = j.before;
		left.pages -= left.on[j.from];
		lies_sum(&before, &left);
		snprintf(what, sizeof what, "from node %d to %d, %s", j.from,
			 j.to, how);
		lies_all_on(&j.after, j.to, what);
	}
	is_size(before.pages, 0, "before it went all was where it was");
}

/* --- many moves ------------------------------------------------------- */

struct bounce {
	unsigned long wrong, right; /* pages */
	size_t rss_warm, rss_end;
	uint64_t ms;
};

static void *bounce(void *arg)
{
	static const size_t sizes[] = { 64, 4096, 20000, 200000 };
	struct bounce *b = arg;
	void *old = NULL;

	for (unsigned i = 0; i < NMOVES; i++) {
		int node = numa.id[i % numa.n];
		struct lies lies = { 0 };
		size_t size = sizes[i / numa.n % 4];
		void *p;

		if (i == NWARM)
			b->rss_warm = pages_rss();
		nodes_sit(node);
		p = npool_malloc(size);
		if (!p)
			bail_out("no memory");
		touch(p, size);
		lies_add(&lies, p, size);
		b->right += lies.on[node];
		b->wrong += lies.pages - lies.on[node] + lies.unknown;
		npool_free(old);
		old = p;
	}
	npool_free(old);
	b->rss_end = pages_rss();
	return NULL;
}

static void test_bounce(void)
{
	struct bounce b = { 0 };
	uint64_t start = np_os_now_ms();

	nodes_run(numa.id[0], bounce, &b);
	b.ms = np_os_now_ms() - start;
	is_uint(b.wrong, 0, "%d moves: none of %lu pages is wrong", NMOVES,
		b.right + b.wrong);
	ok(b.rss_end <= b.rss_warm + GROWTH, "the process does not grow: "
	   "%zu KiB, then %zu KiB", b.rss_warm / 1024, b.rss_end / 1024);
	diag("%lu moves a second", (unsigned long)(NMOVES * UINT64_C(1000) /
						   (b.ms + 1)));
}

/* --- without rseq ----------------------------------------------------- */

#define PAGE 4096
#define NPAGES 400

struct late {
	unsigned wrong;	   /* pieces of the old node */
	unsigned last;	   /* the last of them, counted from 1 */
};

/* Pieces of one page each, on the new node. */
static void *come_late(void *arg)
{
	static char *p[NPAGES], *q[NPAGES];
	struct late *late = arg;

	for (unsigned i = 0; i < NPAGES; i++) {
		must(p[i] = npool_malloc(PAGE));
		touch(p[i], PAGE);
	}
	nodes_sit(numa.id[1]);
	for (unsigned i = 0; i < NPAGES; i++) {
		struct lies lies = { 0 };

		must(q[i] = npool_malloc(PAGE));
		touch(q[i], PAGE);
		lies_add(&lies, q[i], PAGE);
		if (!lies.on[numa.id[1]]) {
			late->wrong++;
			late->last = i + 1;
		}
	}
	return NULL;
}

/* In a child, whose threads have no CPU number in memory. */
static int run_without_rseq(void)
{
	struct late late = { 0 };

	nodes_look();
	must(!np_os_cpu_word());
	nodes_run(numa.id[0], come_late, &late);
	fprintf(stderr, "without rseq %u pieces of the old node, the last "
		"with call %u\n", late.wrong, late.last);
	must(late.last <= NP_CALLS_A_LOOK);
	return 0;
}

static void test_without_rseq(void)
{
	struct child c;

	setenv("GLIBC_TUNABLES", "glibc.pthread.rseq=0", 1);
	c = conf_run("", "without-rseq");
	unsetenv("GLIBC_TUNABLES");
	ok(child_exited(&c, 0), "without rseq the pieces of %d calls at most "
	   "are of the old node", NP_CALLS_A_LOOK);
	diag("%s", c.text);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		return run_without_rseq();
	conf_restart(argv, "");
	nodes_need(2);
	plan(3 * (numa.n + 1) + 3);
	test_journeys(true, false, "where it frees all and asks anew");
	test_journeys(false, false, "without a free in between");
	test_journeys(false, true, "with full magazines");
	test_bounce();
	test_without_rseq();
	return done();
}
