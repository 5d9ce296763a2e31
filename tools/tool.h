/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * tool: messages, memory and text, for all files of a tool. There is no going
 * on without memory, so nobody needs to look for NULL.
 */
#ifndef NP_TOOLS_TOOL_H
#define NP_TOOLS_TOOL_H

#include "base.h"

#include <stdio.h>

/* What messages begin with: each tool has one. */
extern const char tool_name[];

/* Exit codes of a tool that runs a command, beside those of the command. */
enum {
	EXIT_SKIPPED = 1,  /* something could not be used */
	EXIT_USAGE = 2,	   /* nothing was run */
	EXIT_SELF = 125,   /* the tool itself failed */
	EXIT_NOT_RUN = 126, /* the command is there, but cannot be run */
	EXIT_NOT_FOUND = 127,
	EXIT_SIGNAL = 128, /* + the signal that ended the command */
};

/* Says "TOOL: ..." on standard error. */
void complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* The same, and exits. */
_Noreturn void give_up(int code, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* Memory that is zero; ends the tool when there is none. */
void *get_memory(size_t n, size_t size);

/* Makes room for one more behind n rows of size bytes; that one is zero. */
void *grow(void *rows, size_t n, size_t size);

/* A stream into memory, which is *text, to be freed, once it is closed. */
FILE *open_text(char **text, size_t *size);

char *format_text(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Milliseconds of a clock that never goes back. */
uint64_t now_ms(void);

/* Replaces by '?' what a terminal should not be sent. */
void make_printable(char *text);

/* Prints printable text as a string of JSON, or of Prometheus. */
void print_quoted(FILE *out, const char *text);

static inline uint64_t add_u64(uint64_t a, uint64_t b)
{
	return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/* Rounded to the nearest. */
static inline uint64_t per_second(uint64_t n, uint64_t ms)
{
	return (uint64_t)((double)n * 1000 / (double)(ms ? ms : 1) + 0.5);
}

static inline uint64_t sub_u64(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

#endif
