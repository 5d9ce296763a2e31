/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * tap: see tap.h. A claim is one line, put together on the stack and written
 * under one lock, so that lines of several threads neither mix nor share a
 * number.
 */
#include "tap.h"

#include <inttypes.h> /* PRIdMAX */
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h> /* exit */
#include <string.h>

#define LINE_SIZE 1024

/* Whoever forks holds all of the pool's locks, more than the 64 that the
 * thread sanitizer's search for deadlocks has room for: it would hang. Debug
 * builds assert the order of locks themselves. */
const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
	return "detect_deadlocks=0";
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* Guarded by lock. */
static unsigned nplanned, nmade, nfailed;
static bool planned;

void plan(unsigned nclaims)
{
	pthread_mutex_lock(&lock);
	planned = true;
	nplanned = nclaims;
	printf("1..%u\n", nclaims);
	fflush(stdout);
	pthread_mutex_unlock(&lock);
}

/* Prints text with "# " before each of its lines. */
static void remark_locked(const char *text)
{
	size_t length;

	do {
		length = strcspn(text, "\n");
		printf("# %.*s\n", (int)length, text);
		text += length;
	} while (*text++ && *text);
	fflush(stdout);
}

void diag(const char *fmt, ...)
{
	char text[LINE_SIZE];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	pthread_mutex_lock(&lock);
	remark_locked(text);
	pthread_mutex_unlock(&lock);
}

/* A '#' would begin a directive, a newline another line. */
static void one_plain_line(char *text)
{
	for (; *text; text++)
		if (*text == '#')
			*text = '%';
		else if (*text == '\n')
			*text = ' ';
}

/* Makes one claim. sides: what is said of it if it does not hold, or "". */
static bool claim(const char *file, int line, bool held, const char *sides,
		  const char *fmt, va_list ap)
{
	char name[LINE_SIZE];

	vsnprintf(name, sizeof name, fmt, ap);
	one_plain_line(name);
	pthread_mutex_lock(&lock);
	nmade++;
	nfailed += !held;
	printf("%sok %u - %s\n", held ? "" : "not ", nmade, name);
	if (!held) {
		printf("# does not hold at %s:%d\n", file, line);
		if (*sides)
			remark_locked(sides);
	}
	fflush(stdout);
	pthread_mutex_unlock(&lock);
	return held;
}

bool tap_ok(const char *file, int line, bool held, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	claim(file, line, held, "", fmt, ap);
	va_end(ap);
	return held;
}

/* What the is_*() functions share: held and the two sides are theirs, the
 * description follows fmt. */
#define IS(held_, ...)                                            \
	do {                                                      \
		char sides_[LINE_SIZE];                           \
		bool is_held_ = (held_);                          \
		va_list ap_;                                      \
								  \
		snprintf(sides_, sizeof sides_, __VA_ARGS__);     \
		va_start(ap_, fmt);                               \
		claim(file, line, is_held_, sides_, fmt, ap_);    \
		va_end(ap_);                                      \
		return is_held_;                                  \
	} while (0)

bool tap_is_int(const char *file, int line, intmax_t seen, intmax_t wanted,
		const char *fmt, ...)
{
	IS(seen == wanted, "seen   %" PRIdMAX "\nwanted %" PRIdMAX, seen,
	   wanted);
}

bool tap_is_uint(const char *file, int line, uintmax_t seen, uintmax_t wanted,
		 const char *fmt, ...)
{
	IS(seen == wanted, "seen   %" PRIuMAX "\nwanted %" PRIuMAX, seen,
	   wanted);
}

bool tap_is_hex(const char *file, int line, uintmax_t seen, uintmax_t wanted,
		const char *fmt, ...)
{
	IS(seen == wanted, "seen   0x%016" PRIxMAX "\nwanted 0x%016" PRIxMAX,
	   seen, wanted);
}

bool tap_is_ptr(const char *file, int line, const volatile void *seen,
		const volatile void *wanted, const char *fmt, ...)
{
	IS(seen == wanted, "seen   0x%" PRIxPTR "\nwanted 0x%" PRIxPTR,
	   (uintptr_t)seen, (uintptr_t)wanted);
}

static bool same(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

bool tap_is_str(const char *file, int line, const char *seen,
		const char *wanted, const char *fmt, ...)
{
	IS(same(seen, wanted), "seen   %s\nwanted %s",
	   seen ? seen : "(no string)", wanted ? wanted : "(no string)");
}

void skip(unsigned n, const char *why, ...)
{
	char reason[LINE_SIZE];
	va_list ap;

	va_start(ap, why);
	vsnprintf(reason, sizeof reason, why, ap);
	va_end(ap);
	one_plain_line(reason);
	pthread_mutex_lock(&lock);
	while (n--)
		printf("ok %u # SKIP %s\n", ++nmade, reason);
	fflush(stdout);
	pthread_mutex_unlock(&lock);
}

void skip_all(const char *why, ...)
{
	char reason[LINE_SIZE];
	va_list ap;

	va_start(ap, why);
	vsnprintf(reason, sizeof reason, why, ap);
	va_end(ap);
	one_plain_line(reason);
	printf("1..0 # SKIP %s\n", reason);
	exit(0);
}

void bail_out(const char *why, ...)
{
	char reason[LINE_SIZE];
	va_list ap;

	va_start(ap, why);
	vsnprintf(reason, sizeof reason, why, ap);
	va_end(ap);
	one_plain_line(reason);
	printf("Bail out! %s\n", reason);
	exit(255);
}

int done(void)
{
	bool good;

	pthread_mutex_lock(&lock);
	if (!planned)
		printf("1..%u\n", nplanned = nmade);
	if (nmade != nplanned)
		printf("# %u claims planned, %u made\n", nplanned, nmade);
	if (nfailed)
		printf("# %u of %u claims do not hold\n", nfailed, nmade);
	fflush(stdout);
	good = !nfailed && nmade == nplanned;
	pthread_mutex_unlock(&lock);
	return good ? 0 : 1;
}
