/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * copy: from memory of another process, which it writes meanwhile and may take
 * away: a file is cut short, and touching what was behind its end is SIGBUS.
 *
 * Words of 64 bits are read whole; what mere memcpy(3) does is not said.
 */
#include "stat.h"

#include <setjmp.h>

static sigjmp_buf gone;

static void jump_back(int signal)
{
	siglongjmp(gone, signal);
}

static void copy_words(char *to, const char *from, size_t size)
{
	for (size_t at = np_segment_copy(to, from, size); at < size; at++)
		to[at] = *(const volatile char *)(from + at);
}

bool copy_guarded(void *to, const void *from, size_t size)
{
	struct sigaction jump = { .sa_handler = jump_back }, before;
	sigset_t bus, mask;
	volatile bool whole = false;

	sigemptyset(&bus);
	sigaddset(&bus, SIGBUS);
	sigaction(SIGBUS, &jump, &before);
	sigprocmask(SIG_UNBLOCK, &bus, &mask);
	if (sigsetjmp(gone, 1) == 0) {
		copy_words(to, from, size);
		whole = true;
	}
	sigprocmask(SIG_SETMASK, &mask, NULL);
	sigaction(SIGBUS, &before, NULL);
	return whole;
}
