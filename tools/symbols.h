/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * symbols: what the return addresses of a recording are called: function, file
 * and line, where elfutils' libdwfl is there and the program has what it needs;
 * else the file that is mapped there, and the offset in it.
 *
 * Source: elfutils, libdwfl.h; proc_pid_maps(5).
 */
#ifndef NP_TOOLS_SYMBOLS_H
#define NP_TOOLS_SYMBOLS_H

#include "recording.h"

struct symbols;

/* maps: as /proc/PID/maps has it. */
struct symbols *symbols_open(const char *maps);

/* The name of the call that returns to this address; good until symbols_close.
 */
const char *symbols_name(struct symbols *s, uint64_t address);

/* Is it one of libnpool's own, which lead from malloc to the stack? */
bool symbols_is_own(struct symbols *s, uint64_t address);

/* The first frame of the stack that is not our own. */
uint32_t symbols_skip_own(struct symbols *s, struct stack stack);

void symbols_close(struct symbols *s);

#endif
