/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * export: npool-trace export: a recording in forms that others read.
 *
 *	csv      a line an event
 *	netty    a text trace for npool-trace replay and explain
 *	chrome   JSON for Perfetto and chrome://tracing: memory over time, and
 *	         the slow ways
 *	folded   a line a call stack, with the bytes that it asked for
 *	pprof    the same, with what of it lives, for pprof
 *
 * Source: "Trace Event Format" of Chromium; flamegraph.pl's input, by
 * B. Gregg; profile.proto of google/pprof.
 */
#ifndef NP_TOOLS_EXPORT_H
#define NP_TOOLS_EXPORT_H

#include "lives.h"
#include "symbols.h"

struct export_format;

/* The format of this name, or NULL. */
const struct export_format *export_find(const char *name);

/* Writes the recording behind fd to standard output. Returns an exit code of
 * report.h. */
int export_recording(int fd, const char *name,
		     const struct export_format *format);

/* --- formats --------------------------------------------------------- */

/* What a call stack asked for. */
struct stack_sum {
	uint64_t allocs, bytes, live, live_bytes;
};

struct exporter {
	struct reader *reader;
	struct lives lives;
	struct symbols *symbols;  /* when all is read */
	struct stack_sum *stacks; /* [nstacks + 1]; the last: without one */
	uint32_t nstacks;
	uint64_t next_ns;	  /* chrome: of the next sample */
	bool has_begun;		  /* chrome: something was printed */
};

struct export_format {
	const char *name;
	void (*begin)(struct exporter *x);
	void (*event)(struct exporter *x, const struct event *e,
		      const struct change *c);
	void (*end)(struct exporter *x);
};

/* The format pprof, in export-pprof.c. */
void pprof_end(struct exporter *x);

#endif
