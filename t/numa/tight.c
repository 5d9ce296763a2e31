/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * tight: placement where memory is accounted for strictly. With
 * vm.overcommit_memory=2 the pool works, and at the end of what the kernel
 * grants there is ENOMEM and no signal; with a small RLIMIT_AS likewise; with
 * all memory locked everything is there at once and on its node.
 *
 * Source: the kernel's overcommit-accounting.rst; getrlimit(2), mlockall(2).
 */
#include "../conf.h"
#include "nodes.h"
#include "npool.h"

#include <sys/mman.h>
#include <sys/resource.h>

#define OVERCOMMIT "/proc/sys/vm/overcommit_memory"
#define PIECE (1 << 20)
#define MOST 4096
#define LEAST 64 /* pieces that there is room for in any case */
#define ADDRESSES ((rlim_t)1 << 30)

static void *pieces[MOST];

struct filled {
	size_t n, touched;
	int error;
	struct lies lies;
};

/* Until nothing is left; writes to the first ones. */
static void *fill(void *arg)
{
	struct filled *f = arg;

	for (f->n = 0; f->n < MOST; f->n++) {
		errno = 0;
		pieces[f->n] = npool_malloc(PIECE);
		if (!pieces[f->n])
			break;
		if (f->n < LEAST) {
			touch(pieces[f->n], PIECE);
			lies_add(&f->lies, pieces[f->n], PIECE);
		}
	}
	f->error = errno;
	for (size_t i = 0; i < f->n; i++)
		npool_free(pieces[i]);
	return NULL;
}

/* Full, and after that it goes on; on every node. */
static void fill_all(bool has_end)
{
	for (unsigned i = 0; i < numa.n; i++) {
		struct filled f = { 0 };
		void *p;

		nodes_run(numa.id[i], fill, &f);
		fprintf(stderr, "node %d: %zu pieces of a MiB\n", numa.id[i],
			f.n);
		must(f.n >= LEAST);
		must(!has_end || (f.n < MOST && f.error == ENOMEM));
		must(f.lies.pages && !f.lies.unknown);
		must(f.lies.on[numa.id[i]] == f.lies.pages);
		must(p = npool_malloc(PIECE));
		npool_free(p);
		npool_trim();
	}
}

static void part_overcommit(void)
{
	fill_all(true);
}

static void part_addresses(void)
{
	fill_all(true);
}

static void start_with_addresses(void *arg)
{
	struct conf_start s = { "", "addresses" };
	struct rlimit limit = { ADDRESSES, ADDRESSES };

	(void)arg;
	if (setrlimit(RLIMIT_AS, &limit))
		_exit(77);
	conf_start(&s);
}

/* What is locked is there: no page of it comes later. */
static void *fill_locked(void *arg)
{
	struct lies *l = arg;
	void *p[LEAST];

	for (unsigned i = 0; i < LEAST; i++) {
		must(p[i] = npool_malloc(PIECE));
		lies_add(l, p[i], PIECE);
	}
	for (unsigned i = 0; i < LEAST; i++)
		npool_free(p[i]);
	npool_trim();
	for (unsigned i = 0; i < LEAST; i++) {
		must(p[i] = npool_malloc(PIECE));
		touch(p[i], PIECE);
		lies_add(l, p[i], PIECE);
	}
	for (unsigned i = 0; i < LEAST; i++)
		npool_free(p[i]);
	npool_trim();
	return NULL;
}

static void part_locked(void)
{
	must(mlockall(MCL_CURRENT | MCL_FUTURE) == 0);
	for (unsigned i = 0; i < numa.n; i++) {
		struct lies l = { 0 };

		nodes_run(numa.id[i], fill_locked, &l);
		must(l.pages && !l.unknown && !l.absent);
		must(l.on[numa.id[i]] == l.pages);
	}
}

static void test_overcommit(void)
{
	struct child c;

	/* The half of a machine's memory is the kernel's own preset. */
	if (!nodes_write(OVERCOMMIT, "2")) {
		skip(1, "needs to set vm.overcommit_memory: root");
		return;
	}
	c = conf_run("", "overcommit");
	nodes_write(OVERCOMMIT, "0");
	ok(child_exited(&c, 0), "overcommit_memory=2: local, and ENOMEM at "
	   "the end");
	diag("status 0x%x; %s", (unsigned)c.status, c.text);
}

static const struct {
	const char *name;
	void (*run)(void);
} parts[] = {
	{ "overcommit", part_overcommit },
	{ "addresses", part_addresses },
	{ "locked", part_locked },
};

int main(int argc, char **argv)
{
	struct child c;

	if (argc > 1) {
		nodes_look();
		for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
			if (!strcmp(argv[1], parts[i].name))
				parts[i].run();
		return 0;
	}
	conf_restart(argv, "");
	nodes_need(2);
	plan(3);
	test_overcommit();
	c = child_run(start_with_addresses, NULL);
	ok(child_exited(&c, 0), "RLIMIT_AS of a GiB: local, and ENOMEM at the "
	   "end");
	diag("status 0x%x; %s", (unsigned)c.status, c.text);
	conf_ok("", "locked", "mlockall: all is there, local, also after a "
		"trim");
	return done();
}
