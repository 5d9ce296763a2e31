/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * report: npool-trace report and npool-trace leaks: what a recording says, in
 * figures, and what it says was never freed.
 */
#ifndef NP_TOOLS_REPORT_H
#define NP_TOOLS_REPORT_H

#include "lives.h"
#include "symbols.h"

/* Exit codes of all that read a recording. */
enum {
	READ_OK = 0,
	READ_FAILED = 1,  /* reading or writing; of leaks: there are some */
	READ_DAMAGED = 2, /* or wrong usage */
};

struct report_options {
	unsigned most; /* rows of a table at most */
};

struct leak_options {
	unsigned most;	   /* call sites */
	uint64_t older_ns; /* only what lived so long when it ended */
};

/* To standard output. fd: a file, not a pipe: report reads it twice. Return an
 * exit code. */
int report(int fd, const char *name, const struct report_options *options);
int leaks(int fd, const char *name, const struct leak_options *options);

/* --- both ------------------------------------------------------------ */

/* Says what is wrong with a file that was read to its end. Returns an exit
 * code. */
int read_result(const struct reader *r);

/* Flushes standard output. Returns code, or READ_FAILED if that cannot be. */
int written_result(int code);

/* "1.2 MiB", in one of four buffers that are used in turn. */
const char *in_bytes(uint64_t n);

/* "1.20 s" */
const char *in_time(uint64_t ns);

/* The innermost frame that is not the library's, or 0: it has no stack. */
uint64_t site_of(struct reader *r, struct symbols *s, uint32_t stack);

#endif
