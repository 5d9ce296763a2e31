/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * record: a recording starts and stops; and how it comes that calls which take
 * the fast path are in it, though that knows nothing of recordings.
 *
 *	off   caches as ever: the fast paths have no instruction for it
 *	on    each cache says that its thread has moved to another CPU
 *	      (seat.c), so every call takes the slow way. That looks whether
 *	      it is recorded, does what the fast path would have done, with the
 *	      very cache that it would have used, and writes the event
 *
 * So a recorded program is given the same pieces as one that is not. The same
 * is done while a tracer listens to a probe of calls (probe.h): the counter of
 * that probe is looked at where the word for recordings is, below.
 *
 * A recording is of one process. A forked child is not recorded; a program
 * that takes the place of this one (exec) is.
 *
 * It begins with the process, by the option `trace`, or when npool-trace sets a
 * word in the default pool's segment, at which visits to the slow path look,
 * and recorded calls.
 *
 * Owner: start, stop and fork are one at a time: the default pool's start, the
 * fork handlers, and whoever has seen the word change first.
 */
#ifndef NP_RECORD_H
#define NP_RECORD_H

#include "base.h"
#include "trace.h"

/* Looks whether npool-trace wants a recording of a process that runs, or wants
 * it no more (segment.h). The caller holds no lock. errno stays. */
void np_record_look(void);

/* Do tracers listen to probes of calls? How many of them: written by the
 * kernel, or by a tracer. */
#ifdef HAVE_SDT
extern volatile unsigned short npool_alloc_semaphore;

static inline bool np_is_probed(void)
{
	return npool_alloc_semaphore;
}
#else
static inline bool np_is_probed(void)
{
	return false;
}
#endif

/* To be called when they do: sees to it that calls come by. As above. */
void np_record_probed(void);

/* Records into this file, which npool-trace has made (trace.h). Warns if it
 * cannot. Not of another process's: then nothing happens. */
void np_record_start(const char *path);

void np_record_stop(void);

/* Before the first piece: looks whether Valgrind looks on (memcheck.h). */
void np_record_prepare(void);

/* In the child. */
void np_record_forked(void);

/* Tells what is done to a piece of a pool, to the file and to tracers; others
 * are left out. size: what was asked for; hit: the caller's own cache has
 * served it. Only if np_watched. */
void np_record_piece(enum np_trace_kind kind, const void *p, size_t size,
		     bool hit);

/* The same: a FREE of what lies in this region. */
struct np_region;
void np_record_free(const struct np_region *region, const void *p);

/* A request that the pool of this slot refused. */
void np_record_refused(unsigned slot, size_t size);

/* A pool begins, with these options; or all of its pieces are gone, perhaps
 * with the pool itself. If np_trace_on; the first takes the pool's lock. */
struct np_pool;
void np_record_pool(struct np_pool *pool);
void np_record_reset(const struct np_pool *pool, bool ends);

/* An option of the pool has changed. The pool's lock is held. The same. */
struct np_option;
void np_record_option(const struct np_pool *pool,
		      const struct np_option *option);

#endif
