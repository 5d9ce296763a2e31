/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * pairs: what a malloc and a free of the same size cost, here and in the C
 * library, in one process and one run. The sides take turns in short rounds,
 * and the medians of the rounds are compared: on a noisy machine only a ratio
 * of neighbours in time means anything.
 */
#include "npool.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define ROUNDS 101
#define ROUND_NS 1e6 /* a round is made about so long */

static const size_t sizes[] = {
	16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304,
};

#define NSIZES (sizeof sizes / sizeof *sizes)

static double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* Nanoseconds of one pair. */
static double time_npool(size_t size, unsigned n)
{
	double start = now_ns();

	for (unsigned i = 0; i < n; i++) {
		void *volatile p = npool_malloc(size);

		npool_free(p);
	}
	return (now_ns() - start) / n;
}

static double time_libc(size_t size, unsigned n)
{
	double start = now_ns();

	for (unsigned i = 0; i < n; i++) {
		void *volatile p = malloc(size);

		free(p);
	}
	return (now_ns() - start) / n;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *values)
{
	qsort(values, ROUNDS, sizeof *values, compare);
	return values[ROUNDS / 2];
}

static unsigned pairs_for(double ns)
{
	double n = ROUND_NS / (ns > 1 ? ns : 1);

	return n < 16 ? 16 : (unsigned)n;
}

int main(void)
{
	static double npool[NSIZES][ROUNDS], libc[NSIZES][ROUNDS];
	double pair64 = 0;

	for (int r = 0; r < ROUNDS; r++)
		for (size_t s = 0; s < NSIZES; s++) {
			unsigned n = pairs_for(time_npool(sizes[s], 16));

			npool[s][r] = time_npool(sizes[s], n);
			n = pairs_for(time_libc(sizes[s], 16));
			libc[s][r] = time_libc(sizes[s], n);
		}
	printf("malloc and free of one size, one thread, median of %d "
	       "interleaved rounds\n\n%10s %10s %10s %12s %14s\n", ROUNDS,
	       "bytes", "npool ns", "libc ns", "npool/libc", "npool/its 64");
	for (size_t s = 0; s < NSIZES; s++) {
		double mine = median(npool[s]), theirs = median(libc[s]);

		if (sizes[s] == 64)
			pair64 = mine;
		printf("%10zu %10.1f %10.1f %12.2f", sizes[s], mine, theirs,
		       mine / theirs);
		if (pair64 > 0)
			printf(" %14.2f", mine / pair64);
		putchar('\n');
	}
	return 0;
}
