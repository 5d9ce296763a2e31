/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * tutorial-loop: see tutorial-loop.h.
 */
#define _GNU_SOURCE /* accept4 */
#include "tutorial-loop.h"
#include "tutorial.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define FIRST 4096	   /* bytes: of the first read */
#define MOST (64 << 10)	   /* of any */
#define RETRY_MS 10	   /* until who got no memory tries again */
#define EVENTS 64

struct conn {
	TAILQ_ENTRY(conn) entry;
	int fd;
	npool_buf_t *buf; /* what is to be sent back; NULL: nothing */
	bool hungry;	  /* waits for a buffer */
	struct npool_buf_guess guess;
};

static void watch(struct loop *l, int op, int fd, uint32_t events, void *what)
{
	struct epoll_event e = { .events = events, .data.ptr = what };

	must(!epoll_ctl(l->epoll, op, fd, &e), "epoll_ctl");
}

static void close_conn(struct loop *l, struct conn *c)
{
	TAILQ_REMOVE(&l->conns, c, entry);
	if (c->buf)
		npool_buf_release(c->buf);
	close(c->fd);
	npool_free(c);
}

static bool is_for_later(ssize_t n)
{
	return n < 0 && (errno == EAGAIN || errno == EINTR);
}

/* Sends what is there; the rest waits, and nothing is read meanwhile. Returns
 * false if the connection is broken. */
static bool send_back(struct loop *l, struct conn *c)
{
	ssize_t n = npool_buf_sendmsg(c->buf, c->fd, NULL, MSG_NOSIGNAL);

	if (n < 0 && !is_for_later(n))
		return false;
	if (npool_buf_readable(c->buf)) {
		watch(l, EPOLL_CTL_MOD, c->fd, EPOLLOUT, c);
		return true;
	}
	npool_buf_release(c->buf);
	c->buf = NULL;
	watch(l, EPOLL_CTL_MOD, c->fd, EPOLLIN, c);
	return true;
}

/* Returns whether to go on with the connection. */
static bool receive(struct loop *l, struct conn *c)
{
	size_t room = npool_buf_guess_size(&c->guess);
	ssize_t n;

	c->buf = npool_buf_new(l->pool, room, room);
	c->hungry = !c->buf;
	if (!c->buf) { /* the limit: TCP holds the client back meanwhile */
		watch(l, EPOLL_CTL_MOD, c->fd, 0, c);
		l->hungry = true;
		return true;
	}
	n = npool_buf_readv(c->buf, c->fd, 0);
	if (n > 0) {
		npool_buf_guess_read(&c->guess, room, (size_t)n);
		npool_buf_guess_done(&c->guess);
		l->messages++;
		return send_back(l, c);
	}
	npool_buf_release(c->buf);
	c->buf = NULL;
	return is_for_later(n);
}

static void listen_again(struct loop *l, bool again)
{
	watch(l, EPOLL_CTL_MOD, l->listener, again ? EPOLLIN : 0, &l->listener);
	l->deaf = !again;
}

/* If there is no memory or descriptor for one, it waits in the listener's
 * queue. */
static void accept_one(struct loop *l)
{
	struct conn *c = npool_calloc(1, sizeof *c);
	int fd = !c ? -1 : accept4(l->listener, NULL, NULL,
				   SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0) {
		if (!c || (!is_for_later(fd) && errno != ECONNABORTED))
			listen_again(l, false);
		npool_free(c);
		return;
	}
	c->fd = fd;
	npool_buf_guess_init(&c->guess, 64, FIRST, MOST);
	TAILQ_INSERT_TAIL(&l->conns, c, entry);
	watch(l, EPOLL_CTL_ADD, fd, EPOLLIN, c);
}

static void take_turn(struct loop *l, struct conn *c)
{
	if (c->hungry || !(c->buf ? send_back(l, c) : receive(l, c)))
		close_conn(l, c); /* who is hungry waits for nothing but errors */
}

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Who got no memory tries again, if it is time: however busy others are. */
static void feed(struct loop *l)
{
	struct conn *c;

	if ((!l->hungry && !l->deaf) || now_ms() < l->retry_ms)
		return;
	l->retry_ms = now_ms() + RETRY_MS;
	if (l->deaf)
		listen_again(l, true);
	l->hungry = false;
	TAILQ_FOREACH(c, &l->conns, entry)
		if (c->hungry) {
			c->hungry = false;
			watch(l, EPOLL_CTL_MOD, c->fd, EPOLLIN, c);
		}
}

void loop_init(struct loop *l, npool_t *pool, int stop, uint16_t *port)
{
	*l = (struct loop){ .pool = pool, .stop = stop };
	TAILQ_INIT(&l->conns);
	l->listener = listen_on(port, SOCK_NONBLOCK);
	l->epoll = epoll_create1(EPOLL_CLOEXEC);
	must(l->epoll >= 0, "epoll_create1");
	watch(l, EPOLL_CTL_ADD, stop, EPOLLIN, &l->stop);
	watch(l, EPOLL_CTL_ADD, l->listener, EPOLLIN, &l->listener);
}

/* Returns whether to go on. */
static bool serve(struct loop *l)
{
	struct epoll_event e[EVENTS];
	int n = epoll_wait(l->epoll, e, EVENTS,
			   l->hungry || l->deaf ? RETRY_MS : -1);

	for (int i = 0; i < n; i++) {
		if (e[i].data.ptr == &l->stop)
			return false;
		if (e[i].data.ptr == &l->listener)
			accept_one(l);
		else
			take_turn(l, e[i].data.ptr);
	}
	feed(l);
	return true;
}

void loop_run(struct loop *l)
{
	struct conn *c;

	while (serve(l))
		;
	while ((c = TAILQ_FIRST(&l->conns)))
		close_conn(l, c);
	close(l->listener);
	close(l->epoll);
}

npool_t *loop_pool(size_t limit, const char *kib)
{
	struct npool_attr attr = NPOOL_ATTR_INIT;
	npool_t *pool;

	if (kib) {
		limit = strtoul(kib, NULL, 10);
		errno = EINVAL;
		must(limit && limit <= SIZE_MAX >> 10, "KiB of the limit");
		limit <<= 10;
	}
	attr.name = "tutorial";
	attr.hard_limit = limit;
	errno = npool_create(&pool, &attr);
	must(!errno, "npool_create");
	return pool;
}

int loop_end(npool_t *pool)
{
	struct npool_figures f = { .size = sizeof f };
	bool empty = !npool_pool_stats(pool, &f) && !f.used;

	printf("%" PRIu64 " times there was no buffer\n", f.refused);
	printf("%s\n", empty ? "every buffer came back"
			     : "buffers were not released");
	npool_destroy(pool);
	return !empty;
}
