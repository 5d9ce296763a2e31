/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * Step 2 of npool_tutorial(7): step 1, with its memory from npool.
 *
 *	cc -pthread -o tutorial-2 tutorial-2.c \
 *		$(pkg-config --cflags --libs npool)
 */
#define _GNU_SOURCE /* accept4 */
#include "tutorial.h"

#include <npool.h>
#include <pthread.h>
#include <stdbool.h>
#include <unistd.h>

#define SIZE (64 << 10) /* bytes that a read may bring */

static bool send_all(int fd, const char *bytes, size_t n)
{
	while (n) {
		ssize_t sent = send(fd, bytes, n, MSG_NOSIGNAL);

		if (sent < 0)
			return false;
		bytes += sent;
		n -= (size_t)sent;
	}
	return true;
}

static void *serve(void *arg)
{
	int fd = (int)(intptr_t)arg;
	char *bytes = npool_malloc(SIZE);
	ssize_t n;

	while (bytes && (n = recv(fd, bytes, SIZE, 0)) > 0)
		if (!send_all(fd, bytes, (size_t)n))
			break;
	npool_free(bytes);
	close(fd);
	return NULL;
}

int main(void)
{
	uint16_t port = 0;
	int listener = listen_on(&port, 0), fd;
	pthread_t thread;

	say_port(port);
	while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		must(!pthread_create(&thread, NULL, serve,
				     (void *)(intptr_t)fd), "thread");
		pthread_detach(thread);
	}
	perror("accept");
	return 1;
}
