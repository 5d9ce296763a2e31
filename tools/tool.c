/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * tool: see tool.h.
 */
#include "tool.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void say(const char *fmt, va_list ap)
{
	fprintf(stderr, "%s: ", tool_name);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
}

void complain(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(fmt, ap);
	va_end(ap);
}

void give_up(int code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(fmt, ap);
	va_end(ap);
	exit(code);
}

void *get_memory(size_t n, size_t size)
{
	void *p = calloc(n ? n : 1, size ? size : 1);

	if (!p)
		give_up(EXIT_SELF, "out of memory");
	return p;
}

/* Doubles when n is a power of two, so n tells what there is room for. */
void *grow(void *rows, size_t n, size_t size)
{
	if (!n || np_is_pow2(n))
		rows = reallocarray(rows, n ? 2 * n : 1, size);
	if (!rows)
		give_up(EXIT_SELF, "out of memory");
	memset((char *)rows + n * size, 0, size);
	return rows;
}

FILE *open_text(char **text, size_t *size)
{
	FILE *stream = open_memstream(text, size);

	if (!stream)
		give_up(EXIT_SELF, "out of memory");
	return stream;
}

char *format_text(const char *fmt, ...)
{
	va_list ap;
	char *text;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0)
		give_up(EXIT_SELF, "out of memory");
	return text;
}

void make_printable(char *text)
{
	for (; *text; text++)
		if (*text < ' ' || *text > '~')
			*text = '?';
}

void print_quoted(FILE *out, const char *text)
{
	fputc('"', out);
	for (; *text; text++)
		fprintf(out, *text == '"' || *text == '\\' ? "\\%c" : "%c",
			*text);
	fputc('"', out);
}

uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}
