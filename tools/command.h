/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * command: a program that a tool runs on the malloc face, from its environment
 * to its end.
 *
 * The tool stands between the command and whoever started it, and must not be
 * felt: the command gets the signal mask and dispositions that the tool was
 * given. The tool itself keeps the signals that it cares for blocked and takes
 * them one by one, between two polls, so nothing here runs in a signal
 * handler.
 *
 *	SIGINT, SIGQUIT           left to the command: a terminal sends them
 *	                          to both
 *	SIGHUP, SIGTERM, SIGUSR1, passed on, but if the kernel sent them (a
 *	SIGUSR2                   terminal that hangs up tells both)
 *	SIGCHLD                   looks whether the command has ended
 */
#ifndef NP_TOOLS_COMMAND_H
#define NP_TOOLS_COMMAND_H

#include "base.h"

#include <signal.h> /* sigset_t, struct sigaction */
#include <sys/types.h> /* pid_t */

struct command {
	pid_t pid;
	int status;	    /* as from waitpid */
	uint64_t elapsed_ms;
	sigset_t taken;	    /* signals that the tool takes meanwhile */
	sigset_t mask;	    /* as it was before, */
	struct sigaction chld; /* and what SIGCHLD did */
};

/* Where the malloc face is: an absolute path, to be freed. Exits with a
 * message if it is nowhere. option: where the user says that it is, or NULL. */
char *face_find(const char *option);

/* Folders that a command can be told of by NPOOL_CONF, where a tool makes what
 * it shares with it; those of memory come first. NULL: no more. *i: 0 at
 * first. */
const char *command_folder(unsigned *i);

/* Is called while the command runs. Returns after how many ms again. */
typedef unsigned command_poll(void *arg);

/* Runs argv to its end with the face, and with the option in its NPOOL_CONF.
 * Exits with 126 or 127 if it cannot be run. */
void command_run(struct command *command, char **argv, const char *face,
		 const char *option, command_poll *poll, void *arg);

/* Lets signals do again what they did. */
void command_finish(struct command *command);

/* The exit code that tells the command's end. */
int command_exit_code(const struct command *command);

#endif
