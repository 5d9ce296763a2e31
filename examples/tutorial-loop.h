/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * tutorial-loop: the echo server of steps 3 and 4 of npool_tutorial(7): a thread
 * that serves any number of connections, by epoll(7), from buffers.
 */
#ifndef TUTORIAL_LOOP_H
#define TUTORIAL_LOOP_H

#include <npool_buf.h>

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct conn;

struct loop {
	npool_t *pool;	   /* of all buffers */
	int stop;	   /* readable: end */
	int epoll, listener;
	bool hungry;	   /* there was no buffer for a connection */
	bool deaf;	   /* there was no memory or descriptor for one */
	uint64_t retry_ms; /* when these try again */
	TAILQ_HEAD(, conn) conns;
	uint64_t messages; /* reads that brought something */
};

/* Listens; *port as listen_on. Then serves until the end; releases all. */
void loop_init(struct loop *loop, npool_t *pool, int stop, uint16_t *port);
void loop_run(struct loop *loop);

/* A pool that has at most so many bytes, or KiB, if kib is not NULL. */
npool_t *loop_pool(size_t limit, const char *kib);

/* All loops have ended. Says how often there was no buffer, and whether every
 * one came back; ends the pool. Returns the exit status for main. */
int loop_end(npool_t *pool);

#endif
