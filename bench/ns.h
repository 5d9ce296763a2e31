/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * ns: reading clocks, and sorting what they said.
 */
#ifndef BENCH_NS_H
#define BENCH_NS_H

#include <stdlib.h>
#include <time.h>

static inline double ns_now(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static inline int ns_compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static inline void ns_sort(double *ns, size_t n)
{
	qsort(ns, n, sizeof *ns, ns_compare);
}

#endif
