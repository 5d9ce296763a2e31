/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * record: npool-trace record: runs a command, and writes down what it asks of
 * the pool.
 */
#ifndef NP_TOOLS_RECORD_H
#define NP_TOOLS_RECORD_H

#include "base.h"

struct record_options {
	const char *output;
	const char *face;	     /* --face, or NULL */
	uint64_t size_min, size_max; /* bytes of pieces */
	uint64_t ring_size;	     /* bytes */
	unsigned stack_every;	     /* 0: no stacks */
	char **command;		     /* ends with NULL */
};

/* Returns the exit code. */
int record_command(const struct record_options *options);

#endif
