/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * stats: the pool's counters, added up for its own process. What they mean
 * is said in segment.h, where they stand.
 */
#ifndef NP_STATS_H
#define NP_STATS_H

#include "npool.h"

/* Fills in every field but size. All but metadata zero while
 * the pool is not awake. */
void np_stats_collect(struct npool_figures *stats);

#endif
