/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * Step 3 of npool_tutorial(7): one thread for all connections, which have a
 * buffer only while something is to be sent back; a pool with a limit; an end
 * in order, on SIGTERM.
 *
 *	cc -pthread -o tutorial-3 tutorial-3.c tutorial-loop.c \
 *		$(pkg-config --cflags --libs npool)
 *	./tutorial-3 [KIB]	the limit, if not 16384
 */
#include "tutorial-loop.h"
#include "tutorial.h"

#include <signal.h>
#include <sys/signalfd.h>

#define LIMIT ((size_t)16 << 20) /* bytes of all buffers together */

int main(int argc, char **argv)
{
	npool_t *pool = loop_pool(LIMIT, argc > 1 ? argv[1] : NULL);
	struct loop loop;
	uint16_t port = 0;
	sigset_t term;

	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	sigprocmask(SIG_BLOCK, &term, NULL);
	loop_init(&loop, pool, signalfd(-1, &term, SFD_CLOEXEC), &port);
	say_port(port);
	loop_run(&loop);
	return loop_end(pool);
}
