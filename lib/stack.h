/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * stack: who called: the return addresses of the caller's frames.
 *
 * The unwinder is glibc's. Its first use loads a library, which allocates:
 * np_stack_prepare does that while it may. Later ones do not allocate.
 *
 * Source: backtrace(3).
 */
#ifndef NP_STACK_H
#define NP_STACK_H

#include "base.h"

/* Before the first np_stack_take. It may call malloc: no lock is held. */
void np_stack_prepare(void);

/* Up to `most` return addresses, the innermost first, our own among them.
 * Returns how many. */
unsigned np_stack_take(void **frames, unsigned most);

#endif
