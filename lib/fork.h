/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * fork: a thread that forks holds every lock of the pool, in the order of
 * their ranks, so that the child finds nothing half done. Other people's fork
 * handlers may allocate meanwhile; for the forking thread locks do nothing
 * then (lock.h).
 *
 * In the child the caches of threads that are not there any more are
 * abandoned: counted, never touched. After a raw clone(2) or _Fork(3) only
 * exec and _exit are promised.
 *
 * Source: pthread_atfork(3).
 */
#ifndef NP_FORK_H
#define NP_FORK_H

#include "base.h"

/* Installs the handlers; once. Returns 0 or ENOMEM. */
int np_fork_init(void);

#endif
