/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * What is allocated before the pool can start: pieces do not overlap, the last
 * one is used again, what does not fit is refused, and the calls of npool.h
 * take such pieces as they take their own.
 */
#include "boot.h"
#include "child.h"
#include "npool.h"
#include "rng.h"
#include "tap.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define ROOM (128 * NP_KIB)

/* --- the stretch ------------------------------------------------------- */

static void test_stretch(void)
{
	char *p, *q, *r;
	int here;

	ok(!np_boot_used(), "at first nothing is used");
	p = np_boot_alloc(100, 1);
	ok(p && (uintptr_t)p % 16 == 0, "a piece lies at a multiple of 16");
	ok(np_boot_used(), "then something is");
	is_size(np_boot_size(p, "test"), 100, "it has the bytes asked for");
	q = np_boot_alloc(1, 4096);
	ok(q && (uintptr_t)q % 4096 == 0, "or at a multiple of a page");
	memset(p, 'p', 100);
	*q = 'q';
	ok(p[99] == 'p' && np_boot_owns(p) && np_boot_owns(p + 99) &&
	   np_boot_owns(q), "both are in the stretch");
	ok(!np_boot_owns(&here) && !np_boot_owns(NULL), "other memory is not");
	np_boot_free(q);
	r = np_boot_alloc(1, 4096);
	is_ptr(r, q, "the last piece is used again");
	np_boot_free(p);
	ok(np_boot_alloc(8, 1) != p, "one before it is not");
	ok(!np_boot_alloc(1, 8192), "more than a page is no alignment here");
	ok(!np_boot_alloc(ROOM, 1), "what is too large does not fit");
	ok(!np_boot_alloc(SIZE_MAX, 1), "nor do all bytes that there are");
	ok(np_boot_alloc(0, 1) != NULL, "a piece of no bytes is a piece");
}

/* --- misuse ------------------------------------------------------------ */

static void free_twice(void *p)
{
	npool_free(p);
	npool_free(p);
}

static void free_inside(void *p)
{
	npool_free((char *)p + 16);
}

static void test_misuse(void)
{
	void *p = np_boot_alloc(64, 1), *q = np_boot_alloc(64, 1);
	struct child c;
	char wanted[64];

	memset(p, 0, 64);
	c = child_run(free_twice, p);
	ok(child_killed(&c, SIGABRT), "a second free ends the process");
	snprintf(wanted, sizeof wanted, "free(%p): not a live piece", p);
	ok(strstr(c.text, wanted) != NULL, "which names call and address");
	c = child_run(free_inside, p);
	ok(child_killed(&c, SIGABRT), "and so does one inside a piece");
	npool_free(q);
	npool_free(p);
}

/* --- npool.h ----------------------------------------------------------- */

static void test_calls(void)
{
	struct npool_figures before = { .size = sizeof before }, after = before;
	char *p = np_boot_alloc(40, 1), *q;
	void *many[2];

	npool_stats(&before);
	memset(p, 'x', 40);
	is_size(npool_usable_size(p), 40, "npool_usable_size knows the piece");
	is_int(npool_owns(p), 1, "npool_owns owns it");
	is_int(npool_node_of(p), -1, "npool_node_of knows no node of it");
	is_ptr(npool_realloc(p, 33), p, "npool_realloc lets it shrink a bit");
	q = npool_realloc(p, 4000);
	ok(q && !np_boot_owns(q) && q[0] == 'x' && q[39] == 'x',
	   "and moves it to the pool when it grows, with its contents");
	npool_free(q);
	errno = ERANGE;
	npool_free_sized(np_boot_alloc(40, 1), 40);
	is_int(errno, ERANGE, "npool_free_sized takes one, and keeps errno");
	many[0] = np_boot_alloc(40, 1);
	many[1] = npool_malloc(40);
	npool_free_many(many, 2);
	npool_stats(&after);
	is_uint(after.used, before.used, "and npool_free_many, beside pieces "
		"of the pool; none is counted as the pool's");
}

/* --- threads ----------------------------------------------------------- */

#define NTHREADS 4
#define ROUNDS 20000

static void *take_and_give(void *arg)
{
	unsigned char mark = (unsigned char)(uintptr_t)arg;
	struct rng rng = rng_seed(mark);
	uintptr_t spoilt = 0;

	for (unsigned i = 0; i < ROUNDS; i++) {
		size_t size = 1 + rng_below(&rng, 40);
		unsigned char *p = np_boot_alloc(size, 1);

		if (!p)
			continue;
		memset(p, mark, size);
		for (size_t k = 0; k < size; k++)
			spoilt += p[k] != mark;
		np_boot_free(p);
	}
	return (void *)spoilt;
}

static void test_threads(void)
{
	pthread_t thread[NTHREADS];
	uintptr_t spoilt = 0;

	for (uintptr_t i = 0; i < NTHREADS; i++)
		if (pthread_create(&thread[i], NULL, take_and_give,
				   (void *)(i + 1)))
			bail_out("no threads");
	for (unsigned i = 0; i < NTHREADS; i++) {
		void *n;

		pthread_join(thread[i], &n);
		spoilt += (uintptr_t)n;
	}
	is_uint(spoilt, 0, "%u threads at once: no byte belongs to two",
		NTHREADS);
}

static void test_full(void)
{
	unsigned n = 0;

	while (np_boot_alloc(1000, 1))
		n++;
	ok(n < ROOM / 1000, "it is full at some time");
	ok(!np_boot_alloc(1000, 1), "and stays so");
}

int main(void)
{
	plan(13 + 3 + 7 + 1 + 2);
	test_stretch();
	test_misuse();
	test_calls();
	test_threads();
	test_full();
	return done();
}
