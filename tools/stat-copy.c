/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * copy: from memory of another process, which it writes meanwhile and may take
 * away: a file is cut short, and touching what was behind its end is SIGBUS.
 *
 * Words of 64 bits are read whole, so no counter is seen half written; what
 * mere memcpy(3) does is not said.
 */
#include "stat.h"

#include <setjmp.h>
#include <string.h>

static sigjmp_buf gone;

static void jump_back(int signal)
{
	siglongjmp(gone, signal);
}

static void copy_words(char *to, const char *from, size_t size)
{
	size_t at = 0;

	for (; at + sizeof(uint64_t) <= size; at += sizeof(uint64_t)) {
		uint64_t word = np_count_get(
			(const np_count_t *)(const void *)(from + at));

		memcpy(to + at, &word, sizeof word);
	}
	for (; at < size; at++)
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
