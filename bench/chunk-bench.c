/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * chunk-bench: what a chunk of npool_chunk.h costs, beside the plainest thing
 * that does the same: a bitmap of pages, searched from its start for the first
 * fit. Both hold 2048 pages of 8 KiB and are asked the same: runs of 1 to 16
 * pages, a random one given back for each one taken, at three degrees of fill.
 *
 *	chunk-bench [ROUNDS]
 *
 * Prints the median of 9 spells, in ns.
 */
#include "ns.h"

#include <npool_chunk.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE 8192
#define ORDER 11
#define NPAGES (1u << ORDER)
#define RUN_MAX 16
#define SPELLS 9

static double median(double *ns)
{
	ns_sort(ns, SPELLS);
	return ns[SPELLS / 2];
}

static uint32_t random_below(uint32_t n)
{
	static uint64_t x = 88172645463325252;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return (uint32_t)((x >> 32) * n >> 32);
}

/* --- the baseline ------------------------------------------------------ */

static uint64_t bitmap[NPAGES / 64];

static bool is_taken(uint32_t page)
{
	return bitmap[page / 64] >> page % 64 & 1;
}

static void set(uint32_t first, uint32_t n, bool taken)
{
	for (uint32_t i = first; i < first + n; i++)
		if (taken)
			bitmap[i / 64] |= (uint64_t)1 << i % 64;
		else
			bitmap[i / 64] &= ~((uint64_t)1 << i % 64);
}

/* Returns the first page, or NPAGES. Passes over full words whole. */
static uint32_t first_fit(uint32_t n)
{
	for (uint32_t i = 0, found = 0; i < NPAGES; i++) {
		if (i % 64 == 0 && !~bitmap[i / 64]) {
			found = 0;
			i += 63;
		} else if (is_taken(i)) {
			found = 0;
		} else if (++found == n) {
			set(i + 1 - n, n, true);
			return i + 1 - n;
		}
	}
	return NPAGES;
}

/* --- what both are asked ------------------------------------------------ */

struct piece {
	npool_handle_t handle;
	uint32_t first, n;
};

static struct piece live[NPAGES];
static uint32_t nlive, used;
static npool_chunk_t *chunk;
static bool by_chunk;

static bool take(uint32_t n)
{
	struct piece *p = &live[nlive];

	p->n = n;
	if (by_chunk)
		p->handle = npool_page_alloc(chunk, n);
	else
		p->first = first_fit(n);
	if (by_chunk ? !p->handle : p->first == NPAGES)
		return false;
	nlive++;
	used += n;
	return true;
}

static void give(uint32_t i)
{
	if (by_chunk)
		npool_chunk_free(chunk, live[i].handle);
	else
		set(live[i].first, live[i].n, false);
	used -= live[i].n;
	live[i] = live[--nlive];
}

/* ns of one that is taken and one that is given back, with so many percent of
 * the pages in use. */
static double pair(bool with_chunk, unsigned percent, unsigned rounds)
{
	double ns[SPELLS];

	by_chunk = with_chunk;
	nlive = used = 0;
	memset(bitmap, 0, sizeof bitmap);
	while (used < NPAGES * percent / 100)
		if (!take(1 + random_below(RUN_MAX)))
			break;
	for (int s = 0; s < SPELLS; s++) {
		double start = ns_now(CLOCK_MONOTONIC);

		for (unsigned i = 0; i < rounds; i++) {
			give(random_below(nlive));
			take(1 + random_below(RUN_MAX));
		}
		ns[s] = (ns_now(CLOCK_MONOTONIC) - start) / rounds;
	}
	while (nlive)
		give(nlive - 1);
	return median(ns);
}

static double create(unsigned rounds, void *meta, size_t size)
{
	struct npool_shape shape = { PAGE, ORDER, NPOOL_FINE };
	double ns[SPELLS];

	for (int s = 0; s < SPELLS; s++) {
		double start = ns_now(CLOCK_MONOTONIC);

		for (unsigned i = 0; i < rounds; i++) {
			npool_chunk_create(&chunk, &shape, meta, size);
			npool_chunk_destroy(chunk);
		}
		ns[s] = (ns_now(CLOCK_MONOTONIC) - start) / rounds;
	}
	return median(ns);
}

static double element(unsigned rounds)
{
	double ns[SPELLS];

	for (int s = 0; s < SPELLS; s++) {
		double start = ns_now(CLOCK_MONOTONIC);

		for (unsigned i = 0; i < rounds; i++)
			npool_chunk_free(chunk, npool_chunk_alloc(chunk, 256));
		ns[s] = (ns_now(CLOCK_MONOTONIC) - start) / rounds;
	}
	return median(ns);
}

int main(int argc, char **argv)
{
	static const unsigned fill[] = { 25, 60, 85 };
	static char meta[NPOOL_CHUNK_META(PAGE, ORDER)];
	unsigned rounds = argc > 1 ? (unsigned)atoi(argv[1]) : 20000;
	struct npool_shape shape = { PAGE, ORDER, NPOOL_FINE };

	if (!rounds || npool_chunk_create(&chunk, &shape, meta, sizeof meta))
		return 1;
	printf("chunk-bench: %u pages of %u bytes, ns, median of %d\n", NPAGES,
	       PAGE, SPELLS);
	for (int i = 0; i < 3; i++)
		printf("take and give a run, %u %% used   chunk %8.1f   "
		       "first fit %8.1f\n", fill[i],
		       pair(true, fill[i], rounds),
		       pair(false, fill[i], rounds));
	printf("take and give 256 bytes          chunk %8.1f\n",
	       element(rounds));
	npool_chunk_destroy(chunk);
	printf("create and destroy, static       chunk %8.1f\n",
	       create(200, meta, sizeof meta));
	printf("create and destroy, in the pool  chunk %8.1f\n",
	       create(200, NULL, 0));
	return 0;
}
