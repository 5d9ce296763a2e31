/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * scale-bench: what a refill costs in a large pool: 64 GiB in chunks of 16 MiB,
 * none of them touched, all handed out in pieces of 64 KiB, of which then some
 * are given back, so that a piece of 128 KiB fits into one chunk alone: the
 * last that is tried.
 *
 *	nine in ten full   of each tenth chunk a tenth is free, in holes of
 *	                   64 KiB; the others are full
 *	nine tenths full   of each chunk a tenth is free, likewise
 *
 *	scale-bench [GIB]
 *
 * Prints for each the median of 1001 requests that no cache serves, and how
 * long the slowest hundredth took, in ns.
 */
#include "ns.h"

#include <npool.h>

#include <stdio.h>
#include <stdlib.h>

#define KIB ((size_t)1 << 10)
#define PIECE (64 * KIB)
#define PER_CHUNK 256u	 /* pieces in 16 MiB */
#define PER_GIB 64u	 /* chunks */
#define SAMPLES 1001
#define TENTH 10u

static npool_t *pool;
static void **pieces; /* those of chunk i: from i * PER_CHUNK on */
static unsigned nchunks;

static _Noreturn void fail(const char *what)
{
	perror(what);
	exit(1);
}

static void fill(void)
{
	struct npool_attr attr = NPOOL_ATTR_INIT;
	size_t n = (size_t)nchunks * PER_CHUNK;

	attr.arenas = 1;
	attr.cache_pieces = 0;
	attr.decay_ms = -1;
	if (npool_create(&pool, &attr) != 0)
		fail("npool_create");
	pieces = malloc(n * sizeof *pieces);
	if (!pieces || npool_alloc_many(pool, PIECE, 0, pieces, n) != n)
		fail("64 GiB of address space");
}

/* Every other piece of a tenth of the chunk is a hole of its own, twice as
 * far apart as they are long. */
static void make_holes(unsigned chunk)
{
	void **first = pieces + (size_t)chunk * PER_CHUNK;

	for (unsigned i = 1; i <= PER_CHUNK / TENTH; i++)
		npool_free(first[2 * i]);
}

/* Two neighbours of chunk 0 come back before all others: it is tried last, and
 * stays there, since it is never full again. */
static void make_room(void)
{
	npool_free(pieces[0]);
	npool_free(pieces[1]);
}

static void measure(const char *name)
{
	static double ns[SAMPLES];

	for (unsigned i = 0; i < SAMPLES; i++) {
		double start = ns_now(CLOCK_MONOTONIC);
		void *p = npool_alloc(pool, 2 * PIECE, NPOOL_NOCACHE);

		ns[i] = ns_now(CLOCK_MONOTONIC) - start;
		if (p != pieces[0])
			fail("not from the chunk that has room");
		npool_free(p);
	}
	ns_sort(ns, SAMPLES);
	printf("%u chunks, %-18s %8.0f ns  %8.0f ns\n", nchunks, name,
	       ns[SAMPLES / 2], ns[SAMPLES / 100 * 99]);
}

static void scene(const char *name, unsigned step)
{
	fill();
	make_room();
	for (unsigned i = 0; i < nchunks; i += step)
		make_holes(i);
	measure(name);
	npool_destroy(pool);
	free(pieces);
}

int main(int argc, char **argv)
{
	unsigned long gib = argc > 1 ? strtoul(argv[1], NULL, 10) : 64;

	if (gib < 1 || gib > 1024) {
		fprintf(stderr, "usage: scale-bench [GIB], 1 to 1024\n");
		return 2;
	}
	nchunks = (unsigned)gib * PER_GIB;
	printf("a refill in a large pool            median    slowest 1 %%\n");
	scene("nine in ten full", TENTH);
	scene("nine tenths full", 1);
	return 0;
}
