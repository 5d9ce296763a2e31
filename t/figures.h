/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * figures: what a pool says of itself, by value.
 *
 *	is_uint(figures().used, 0, "all is freed");
 */
#ifndef FIGURES_H
#define FIGURES_H

#include "npool.h"
#include "tap.h"

static inline struct npool_figures figures_of(npool_t *pool)
{
	struct npool_figures f = { .size = sizeof f };

	if (npool_pool_stats(pool, &f) != 0)
		bail_out("no figures");
	return f;
}

/* Of the default pool. */
static inline struct npool_figures figures(void)
{
	return figures_of(npool_default());
}

#endif
