/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * no-start: takes the place of lib/start.c in npool-trace, which makes pools
 * but has no default pool: it would start with the tool, whatever that is to
 * do, and show its counters to npool-stat.
 */
#include "start.h"

bool np_start(void)
{
	return false;
}

bool np_start_early(void)
{
	return false;
}

void np_start_forked(void)
{
}

void np_start_count(unsigned class, bool is_free, unsigned n)
{
	(void)class;
	(void)is_free;
	(void)n;
}
