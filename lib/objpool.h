/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * objpool: the recycler of npool_objpool.h: objects that are made once and
 * handed out again and again.
 *
 *	thread --stack[objpool]--> stack --loaded--> batch   gets and puts
 *	                                 --spare---> batch   swapped with it
 *	                                 --out[home]-> batch of another node's
 *	objpool --depot[home]--> batch -> batch -> ...       exchanged whole
 *
 * These are the pool's own magazines and depots once more, but what lies in
 * them is constructed, and does not know of bytes. A batch is a piece of the
 * default pool; who has too few or too many of them asks it.
 *
 * An object has a head before it, which says whether it is out, whose it is,
 * and which node its memory is of:
 *
 *	| head: state, home, objpool | object, at a multiple of 16 ...
 *
 * Invariants
 *	of a depot's batches only the first may be partly filled; none is empty
 *	depot.n = objects in its batches <= max_kept
 *	an object is OUT, or KEPT and in one batch
 *	gets - puts = objects that are out
 *	made - destroyed = out + those in batches
 *
 * Owner: a stack and its batches are its thread's alone. Depots are guarded by
 * the recycler's lock. Which recyclers, threads and stacks there are is guarded
 * by one lock of the file. No hook is called, and nothing is allocated or
 * freed, with either of them held.
 *
 * In a forked child the stacks of threads that are not there are abandoned,
 * with what is in them.
 *
 * Source: Bonwick and Adams, USENIX 2001, section 3.
 */
#ifndef NP_OBJPOOL_H
#define NP_OBJPOOL_H

#include "base.h"
#include "npool_objpool.h"

#define NP_MAX_OBJPOOLS 256

/* Fork: the locks; and, in the child, forgets all threads but the caller. */
void np_objpools_lock(void);
void np_objpools_unlock(void);
void np_objpools_forked(void);

#endif
