/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * tutorial: what the programs of npool_tutorial(7) share, and what has nothing
 * to do with memory.
 */
#ifndef TUTORIAL_H
#define TUTORIAL_H

#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

static inline void must(int good, const char *what)
{
	if (!good) {
		perror(what);
		exit(1);
	}
}

/* A socket that listens on the loopback; *port 0 becomes the one it got. flags
 * as of socket(2). Several may have the same port. */
static inline int listen_on(uint16_t *port, int flags)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
				 .sin_port = htons(*port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
	socklen_t size = sizeof a;
	int on = 1;

	must(fd >= 0 &&
	     !setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) &&
	     !bind(fd, (struct sockaddr *)&a, sizeof a) &&
	     !listen(fd, SOMAXCONN) &&
	     !getsockname(fd, (struct sockaddr *)&a, &size), "listener");
	*port = ntohs(a.sin_port);
	return fd;
}

static inline void say_port(uint16_t port)
{
	printf("port %u\n", port);
	fflush(stdout);
}

#endif
