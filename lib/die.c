/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * die: the last words of a process, and warnings. The line is put together
 * on the stack and written at once: the heap may be what is broken.
 */
#include "base.h"
#include "lock.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>  /* vsnprintf */
#include <stdlib.h> /* abort */
#include <unistd.h> /* write */

#define LINE_SIZE 512

static void say(const char *fmt, va_list ap)
{
	static const char name[] = "libnpool: ";
	char line[LINE_SIZE];
	size_t used = sizeof name - 1;
	int n;

	__builtin_memcpy(line, name, used);
	n = vsnprintf(line + used, sizeof line - used - 1, fmt, ap);
	if (n > 0)
		used += (size_t)n < sizeof line - used - 1
			? (size_t)n : sizeof line - used - 2;
	line[used++] = '\n';
	while (write(STDERR_FILENO, line, used) < 0 && errno == EINTR)
		;
}

void np_die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(fmt, ap);
	va_end(ap);
	/* A handler of SIGABRT may allocate, and we may hold a lock: nothing
	 * stops this thread any more. */
	np_lock_forking(true);
	abort();
}

void np_warn(const char *fmt, ...)
{
	int saved = errno;
	va_list ap;

	va_start(ap, fmt);
	say(fmt, ap);
	va_end(ap);
	errno = saved;
}
