/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * record: npool-trace record: runs a command, or looks at a process that runs,
 * and writes down what it asks of the pool.
 */
#ifndef NP_TOOLS_RECORD_H
#define NP_TOOLS_RECORD_H

#include "base.h"

#include <sys/types.h> /* pid_t */

struct record_options {
	const char *output;
	const char *face;	     /* --face, or NULL */
	uint64_t size_min, size_max; /* bytes of pieces */
	uint64_t ring_size;	     /* bytes */
	unsigned stack_every;	     /* 0: no stacks */
	char **command;		     /* ends with NULL; NULL with pid */
	pid_t pid;		     /* 0: the command */
	unsigned seconds;	     /* of a process; 0: until it ends, or a
					signal comes */
};

/* Return the exit code. */
int record_command(const struct record_options *options);
int record_process(const struct record_options *options);

#endif
