/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * replay: runs a text trace through one arena and prints what it decides.
 */
#ifndef NPOOL_REPLAY_H
#define NPOOL_REPLAY_H

#include <stdio.h>

/* What npool-trace exits with. */
enum { REPLAY_OK = 0, REPLAY_FAILED = 1, REPLAY_MALFORMED = 2 };

/* Replays `in`, called `name` in messages, on an arena with Netty's size
 * classes, its policies alone and no caches; page_size << max_order bytes a
 * chunk. Prints to standard output. Returns an exit code; what went before
 * an error has been printed. */
int replay_netty(FILE *in, const char *name, unsigned page_shift,
		 unsigned max_order);

#endif
