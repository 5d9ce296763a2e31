/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * stats: a pool's counters, added up for its own process. What they mean
 * is said in segment.h, where they stand.
 */
#ifndef NP_STATS_H
#define NP_STATS_H

#include "npool.h"

/* Fills in every field but size. All but metadata zero while the pool is not
 * awake. */
void np_stats_collect(struct np_pool *pool, struct npool_figures *stats);

/* Writes the figures of all pools. Returns 0 or the errno of write(2). */
int np_stats_print(int fd);

#endif
