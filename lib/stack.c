/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * stack: see stack.h.
 */
#include "stack.h"

#include <execinfo.h> /* backtrace */

unsigned np_stack_take(void **frames, unsigned most)
{
	int n = backtrace(frames, (int)most);

	return n > 0 ? (unsigned)n : 0;
}

void np_stack_prepare(void)
{
	void *frame;

	np_stack_take(&frame, 1);
}
