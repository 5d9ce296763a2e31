/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * stay: claims about a thread's cache, made while it is on one CPU. Moved to
 * another, as the scheduler likes, it has no cache until its next call, and
 * perhaps one more behind it.
 *
 *	cpu_set_t all = stay_begin();
 *
 *	npool_free(npool_malloc(10));
 *	ok(np_thread_cache_now(0) == np_self, "the first call makes a cache");
 *	stay_end(&all);
 *
 * Threads: any, for itself and those that it starts meanwhile.
 */
#ifndef STAY_H
#define STAY_H

#include <sched.h>

/* Stays on the CPU that it is on. Returns those that it might use. */
static inline cpu_set_t stay_begin(void)
{
	cpu_set_t all, one;

	CPU_ZERO(&all);
	sched_getaffinity(0, sizeof all, &all);
	CPU_ZERO(&one);
	CPU_SET((unsigned)sched_getcpu(), &one);
	sched_setaffinity(0, sizeof one, &one);
	return all;
}

/* Runs again where it ran before. */
static inline void stay_end(const cpu_set_t *all)
{
	sched_setaffinity(0, sizeof *all, all);
}

#endif
