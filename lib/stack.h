/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * stack: who called: the return addresses of the caller's frames.
 *
 * The unwinder is glibc's. Its first use loads a library, which calls malloc:
 * who takes stacks where that must not be has np_stack_prepare do it before.
 * Later ones do not allocate.
 *
 * Source: backtrace(3).
 */
#ifndef NP_STACK_H
#define NP_STACK_H

#include "base.h"

/* It may call malloc: no lock is held. After it np_stack_take does not. */
void np_stack_prepare(void);

/* Up to `most` return addresses, the innermost first, our own among them. If
 * nobody has prepared it, the first call may call malloc: then no lock is held.
 * Returns how many. */
unsigned np_stack_take(void **frames, unsigned most);

#endif
