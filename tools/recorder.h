/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * recorder: from the rings of a process to a file, whoever the process is.
 */
#ifndef NP_TOOLS_RECORDER_H
#define NP_TOOLS_RECORDER_H

#include "command.h"
#include "record.h"
#include "recording.h"
#include "rings.h"

struct recorder {
	const struct record_options *options;
	struct command command;
	pid_t pid;	  /* whose mappings count; 0: the command's */
	int process;	  /* of pid: can be read from once that has ended; -1:
			     nobody tells */
	struct rings *rings;
	struct writer *writer;
	unsigned polls;	  /* since the last round */
	char *maps;	  /* as it was written last */
	char *ring_path;
};

/* Begins the file, and makes the rings at path, which is freed at the end; pid,
 * owner: as struct rings_options has them. */
void recorder_open(struct recorder *r, char *path, uint32_t pid, uid_t owner);

/* Looks at the rings, and empties them if it is time. Returns after how many ms
 * it wants to look again. */
unsigned recorder_poll(void *recorder);

/* Writes what is left, and says what it was. Returns whether the process has
 * recorded anything. */
bool recorder_finish(struct recorder *r);

#endif
