/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * relay: a TCP relay, the data path of a proxy: what comes from a client goes
 * to a server, and back, byte for byte. Whatever they speak works through it.
 *
 *	one thread a CPU, pinned: its buffers are of its node, and stay there
 *	    |
 *	    +-- a listener of its own, all on one port (SO_REUSEPORT)
 *	    +-- an epoll of its own
 *	    +-- links: two ends, a client's and a server's, and two flows:
 *
 *	end[0] fd ==read==> buffer -> waiting -> ... ==write==> end[1] fd
 *	end[1] fd ==read==> ...                      ==write==> end[0] fd
 *
 * No byte is copied here: a buffer is read into, and written from where it was
 * read. If the other end does not take all at once, the buffer becomes a part
 * of the flow's composite buffer of what is waiting; all of that is written by
 * one call later.
 *
 *	back-pressure   a flow with MOST_WAITING bytes waiting is not read until
 *	                half of them have gone; TCP holds the sender back
 *	little memory   above the pool's soft limit, which is half of the hard
 *	                one, a flow is not read while anything of it waits, and
 *	                reads are small. So one direction cannot take what the
 *	                other needs to go on: of a server that answers while it
 *	                is still being asked, that would be the end. There is
 *	                enough if the hard limit is 2 KiB a link, or more
 *	many addresses  of the server: where one cannot be reached, a link tries
 *	                the next
 *	half-close      the end of one direction is passed on behind its last
 *	                byte; the other direction goes on
 *	a broken end    breaks the other one, as a reset
 *	the end         on SIGTERM or SIGINT nobody is accepted any more, and
 *	                links have some seconds to end; a second signal, or the
 *	                end of these, cuts them
 *
 * How much to read is guessed by what came before. Who wants to know which
 * buffers are forgotten sets NPOOL_CONF=leaks:paranoid; whether all came back
 * is looked at anyway.
 *
 *	cc -pthread -o relay relay.c $(pkg-config --cflags --libs npool)
 */
#define _GNU_SOURCE /* accept4, getcpu, CPU_SET */
#include <npool.h>
#include <npool_buf.h>
#include <npool_objpool.h>

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <netdb.h>
#include <netinet/tcp.h> /* TCP_NODELAY */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define LEAST_READ 512		/* bytes: between these a guess is made at how */
#define FIRST_READ 4096		/* much the next read will bring */
#define MOST_READ (64 << 10)
#define READS_A_TURN 4		/* then it is another link's turn */
#define MOST_WAITING (256 << 10) /* bytes, of a flow */
#define MOST_PARTS 500		/* in which they lie */
#define SNDBUF (256 << 10)	/* the kernel's, of an end: what waits shall
				   wait in the pool, where it counts */
#define EVENTS 64		/* looked at before epoll is asked again */
#define ACCEPTS_A_TURN 16
#define RETRY_MS 10		/* until who got no buffer tries again */
#define TICK_MS 50		/* how often the first thread looks around */
#define LINE 64			/* bytes of a cache line */

enum { CLIENT, SERVER };

struct link;

/* One of the two sockets of a link, and the flow that is read from it. */
struct end {
	struct link *link;
	int fd;
	uint32_t events;      /* that epoll waits for; 0: it does not know fd */
	bool ended;	      /* nothing more will come from it */
	bool passed_on;	      /* and the other end has been told */
	bool starved;	      /* there was no buffer for it */
	bool full;	      /* too much is waiting */
	npool_buf_t *waiting; /* composite: for the other end; NULL: nothing */
	struct npool_buf_guess guess;
};

struct link {
	TAILQ_ENTRY(link) entry;
	struct worker *worker;
	struct end end[2]; /* CLIENT, SERVER */
	bool connecting, broken;
	const struct addrinfo *untried; /* if this address is none; or NULL */
};

TAILQ_HEAD(links, link);

/* All fields are the thread's own while it runs. */
struct worker {
	_Alignas(LINE) struct relay *relay;
	pthread_t thread;
	int cpu, node; /* the kernel's numbers */
	int epoll, listener;
	bool deaf;	/* a connection could not be accepted: later */
	bool stopping, cutting;
	unsigned nstarved;
	uint64_t retry_ms; /* when these, and the listener, try again */
	struct links open, closed; /* closed: an event may still speak of it */
	uint64_t accepted, bytes, foreign, broken, unreached, starved, waits;
};

struct relay {
	uint16_t port;
	unsigned nworkers, grace; /* 0: one a CPU; seconds */
	size_t limit;		  /* bytes */
	struct addrinfo *target;  /* the server's addresses */
	npool_t *pool;
	npool_objpool_t *links;
	struct worker *workers;
	_Atomic bool tight;	  /* memory is short */
	int stop, cut; /* eventfds: readable once links shall end; must */
};

static const char usage[] =
"usage: relay [-p PORT] [-t THREADS] [-l KIB] [-g SECONDS] HOST PORT\n"
"\n"
"Passes on what comes to 127.0.0.1 to a server, and what that answers, until\n"
"SIGTERM or SIGINT. One thread a CPU, pinned; buffers from a pool of its own,\n"
"with a limit. The first line says the port; at the end comes what each\n"
"thread did. If the server has several addresses, each is tried in turn.\n"
"\n"
"  -p PORT     0 (when not said): one that is free\n"
"  -t THREADS  only so many, on the first CPUs that it may use\n"
"  -l KIB      limit of all buffers together, 64 or more (262144)\n"
"  -g SECONDS  grace for what is under way, when it is to end (5)\n"
"  --help      prints this\n"
"\n"
"Exit status: 0 it ended in order and every buffer came back; 1 not so, or it\n"
"could not start; 2 bad usage.\n";

static _Noreturn void die(const char *what, int error)
{
	fprintf(stderr, "relay: %s: %s\n", what, strerror(error));
	exit(1);
}

static bool is_for_later(int error)
{
	return error == EAGAIN || error == EINTR;
}

/* ---- What epoll waits for ---------------------------------------------- */

static struct end *other(struct end *e)
{
	return &e->link->end[e == &e->link->end[CLIENT]];
}

/* Who waits for nothing is taken out: epoll would tell of an end that hung up
 * again and again. */
static void watch(struct end *e, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = e };
	int op = !events ? EPOLL_CTL_DEL
			 : e->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

	if (events == e->events)
		return;
	if (epoll_ctl(e->link->worker->epoll, op, e->fd, &event) != 0)
		die("epoll_ctl", errno);
	e->events = events;
}

static void watch_both(struct link *l)
{
	for (int i = 0; i < 2; i++) {
		struct end *e = &l->end[i];
		bool in = !e->ended && !e->full && !e->starved;

		if (l->connecting)
			watch(e, i == SERVER ? EPOLLOUT : 0);
		else
			watch(e, (in ? EPOLLIN : 0) |
			      (other(e)->waiting ? EPOLLOUT : 0));
	}
}

static void watch_fd(struct worker *w, int op, int fd, uint32_t events,
		     void *what)
{
	struct epoll_event e = { .events = events, .data.ptr = what };

	if (epoll_ctl(w->epoll, op, fd, &e) != 0)
		die("epoll_ctl", errno);
}

static void listen_again(struct worker *w, bool again)
{
	watch_fd(w, EPOLL_CTL_MOD, w->listener, again ? EPOLLIN : 0,
		 &w->listener);
	w->deaf = !again;
}

/* ---- Memory ------------------------------------------------------------
 *
 * The pool calls this in the thread that asked for a buffer, after it has
 * trimmed itself. There is nothing to free here, since nothing is kept.
 */
static int on_pressure(npool_t *pool, const struct npool_pressure *pressure,
		       void *arg)
{
	struct relay *r = arg;

	(void)pool, (void)pressure;
	atomic_store(&r->tight, true);
	return 0;
}

/* Memory was short; is it still? The pool does not say so by itself, and that
 * it is, only once until less than the soft limit is charged. So what the links
 * have left is given back first: the next burst would not be told of. */
static void ease(struct relay *r)
{
	struct npool_figures f = { .size = sizeof f };

	if (npool_pool_stats(r->pool, &f) != 0)
		return;
	if (f.used > r->limit / 2)
		atomic_store(&r->tight, true);
	else if (!atomic_load(&r->tight) || f.used > r->limit / 4)
		return;
	else if (f.charged > r->limit / 2)
		npool_pool_trim(r->pool);
	else
		atomic_store(&r->tight, false);
}

/* ---- Links ------------------------------------------------------------- */

static void starve(struct end *e, bool starved)
{
	struct worker *w = e->link->worker;

	w->nstarved += (unsigned)starved - (unsigned)e->starved;
	w->starved += starved && !e->starved;
	e->starved = starved;
}

/* A close that the peer sees as a reset. */
static void reset_on_close(int fd)
{
	struct linger now = { 1, 0 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

static void close_link(struct link *l, bool broken)
{
	struct worker *w = l->worker;

	for (int i = 0; i < 2; i++) {
		struct end *e = &l->end[i];

		if (e->waiting)
			npool_buf_release(e->waiting);
		e->waiting = NULL;
		starve(e, false);
		if (broken && e->fd >= 0)
			reset_on_close(e->fd);
		if (e->fd >= 0)
			close(e->fd); /* epoll forgets it */
		e->fd = -1;
		e->events = 0;
	}
	w->broken += broken;
	TAILQ_REMOVE(&w->open, l, entry);
	TAILQ_INSERT_TAIL(&w->closed, l, entry);
	if (w->deaf && !w->stopping)
		listen_again(w, true);
}

/* Behind the events of one epoll_wait: none speaks of them any more. */
static void free_closed(struct worker *w)
{
	struct link *l;

	while ((l = TAILQ_FIRST(&w->closed))) {
		TAILQ_REMOVE(&w->closed, l, entry);
		npool_objpool_put(w->relay->links, l);
	}
}

/* ---- Flows: from an end to the other one ------------------------------- */

/* What came and could not be written at once; the reference to buf is the
 * flow's. Returns false if there is no memory for that. */
static bool add_waiting(struct end *from, npool_buf_t *buf)
{
	npool_t *pool = from->link->worker->relay->pool;

	if (!from->waiting)
		from->waiting = npool_buf_composite(pool, SIZE_MAX);
	if (!from->waiting) {
		npool_buf_release(buf);
		return false;
	}
	return npool_buf_add_part(from->waiting,
				  npool_buf_nparts(from->waiting), buf,
				  1) == 0;
}

/* Does so much wait, or a part of that? */
static bool is_over(const npool_buf_t *waiting, unsigned part)
{
	return waiting &&
	       (npool_buf_readable(waiting) >= MOST_WAITING / part ||
		npool_buf_nparts(waiting) >= MOST_PARTS / part);
}

/* Writes as much of it as the other end takes now. */
static void write_some(struct end *from, npool_buf_t *b)
{
	if (npool_buf_sendmsg(b, other(from)->fd, NULL, MSG_NOSIGNAL) < 0 &&
	    !is_for_later(errno))
		from->link->broken = true;
}

/* Writes what is waiting. */
static void drain(struct end *from)
{
	npool_buf_t *b = from->waiting;

	write_some(from, b);
	if (npool_buf_readable(b)) {
		npool_buf_discard(b); /* parts that are written go home */
	} else {
		npool_buf_release(b);
		from->waiting = NULL;
	}
	from->full = from->full && is_over(from->waiting, 2);
}

/* A buffer that came goes to the other end, or waits for it. */
static void pass_on(struct end *from, npool_buf_t *b)
{
	if (!from->waiting)
		write_some(from, b);
	if (!npool_buf_readable(b) || from->link->broken)
		npool_buf_release(b);
	else if (!add_waiting(from, b))
		from->link->broken = true;
	from->full = from->full || is_over(from->waiting, 1);
}

/* A buffer for the next read, of this thread's node; NULL: there is none. */
static npool_buf_t *take_buffer(struct end *e)
{
	struct worker *w = e->link->worker;
	bool tight = atomic_load(&w->relay->tight);
	size_t size = tight ? LEAST_READ : npool_buf_guess_size(&e->guess);
	npool_buf_t *b = tight && e->waiting
		? NULL : npool_buf_new(w->relay->pool, size, size);
	int home;

	if (!b)
		return NULL;
	home = npool_node_of(npool_buf_at(b, 0, 1)); /* -1: not known */
	w->foreign += home >= 0 && home != w->node;
	return b;
}

/* Reads once. Returns whether there may be more. */
static bool read_once(struct end *e)
{
	struct worker *w = e->link->worker;
	npool_buf_t *b = take_buffer(e);
	size_t room;
	ssize_t n;

	starve(e, !b);
	if (!b)
		return false;
	room = npool_buf_writable(b);
	n = npool_buf_readv(b, e->fd, 0);
	if (n > 0) {
		w->bytes += (uint64_t)n;
		npool_buf_guess_read(&e->guess, room, (size_t)n);
		pass_on(e, b);
		return (size_t)n == room;
	}
	e->ended = n == 0;
	e->link->broken |= n < 0 && !is_for_later(errno);
	npool_buf_release(b);
	return false;
}

static void read_some(struct end *e)
{
	for (int i = 0; i < READS_A_TURN && !e->full && !e->link->broken; i++)
		if (!read_once(e))
			break;
	npool_buf_guess_done(&e->guess);
}

/* The other end is told that there is no more, behind the last byte. */
static void pass_end_on(struct end *from)
{
	if (!from->ended || from->waiting || from->passed_on)
		return;
	if (shutdown(other(from)->fd, SHUT_WR) != 0 && errno != ENOTCONN)
		from->link->broken = true;
	from->passed_on = true;
}

/* ---- Events ------------------------------------------------------------ */

/* Of a listener's, those that it accepts inherit this. Returns 0, or not
 * with errno. */
static int set_options(int fd)
{
	int on = 1, sndbuf = SNDBUF;

	return setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &sndbuf, sizeof sndbuf) ||
	       setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static int connect_to(const struct addrinfo *a)
{
	int fd = socket(a->ai_family,
			SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	set_options(fd);
	if (connect(fd, a->ai_addr, a->ai_addrlen) == 0 ||
	    errno == EINPROGRESS)
		return fd;
	close(fd);
	return -1;
}

/* To the first of the addresses that does not fail at once; *untried becomes
 * what stands behind it. Returns -1 if all do. */
static int connect_to_any(const struct addrinfo **untried)
{
	int fd = -1;

	while (fd < 0 && *untried) {
		fd = connect_to(*untried);
		*untried = (*untried)->ai_next;
	}
	return fd;
}

static void finish_connecting(struct link *l)
{
	struct end *e = &l->end[SERVER];
	int error = 0, fd;
	socklen_t size = sizeof error;

	getsockopt(e->fd, SOL_SOCKET, SO_ERROR, &error, &size);
	fd = error ? connect_to_any(&l->untried) : -1;
	if (fd >= 0) {
		close(e->fd); /* epoll forgets it */
		e->fd = fd;
		e->events = 0;
		return;
	}
	l->connecting = false;
	l->broken = error != 0;
	l->worker->unreached += error != 0;
}

static void settle(struct link *l)
{
	for (int i = 0; i < 2 && !l->broken; i++)
		pass_end_on(&l->end[i]);
	if (l->broken)
		close_link(l, true);
	else if (l->end[CLIENT].passed_on && l->end[SERVER].passed_on)
		close_link(l, false);
	else
		watch_both(l);
}

static void take_turn(struct end *e, uint32_t events)
{
	struct link *l = e->link;

	if (e->fd < 0) /* closed by an event of this turn */
		return;
	if (l->connecting) {
		finish_connecting(l);
	} else {
		if (events & (EPOLLOUT | EPOLLERR | EPOLLHUP) &&
		    other(e)->waiting)
			drain(other(e));
		if (!l->broken && !e->ended && !e->full && !e->starved &&
		    events & ~(uint32_t)EPOLLOUT)
			read_some(e);
	}
	settle(l);
}

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Was there no buffer, memory or descriptor for somebody? */
static bool has_to_retry(const struct worker *w)
{
	return w->nstarved || (w->deaf && !w->stopping);
}

/* Who waits for one tries again, if it is time: however much the others do
 * meanwhile. */
static void retry(struct worker *w)
{
	struct link *l, *next;

	if (!has_to_retry(w) || now_ms() < w->retry_ms)
		return;
	w->retry_ms = now_ms() + RETRY_MS;
	if (w->deaf && !w->stopping)
		listen_again(w, true);
	for (l = TAILQ_FIRST(&w->open); l && w->nstarved; l = next) {
		next = TAILQ_NEXT(l, entry);
		if (!l->end[CLIENT].starved && !l->end[SERVER].starved)
			continue;
		for (int i = 0; i < 2; i++)
			starve(&l->end[i], false);
		watch_both(l); /* what is there is told at once */
	}
}

/* ---- New links --------------------------------------------------------- */

static void begin_link(struct worker *w, struct link *l, int client,
		       int server, const struct addrinfo *untried)
{
	memset(l, 0, sizeof *l);
	l->worker = w;
	l->connecting = true;
	l->untried = untried;
	for (int i = 0; i < 2; i++) {
		l->end[i].link = l;
		npool_buf_guess_init(&l->end[i].guess, LEAST_READ, FIRST_READ,
				     MOST_READ);
	}
	l->end[CLIENT].fd = client;
	l->end[SERVER].fd = server;
	TAILQ_INSERT_TAIL(&w->open, l, entry);
	w->accepted++;
	watch_both(l);
}

/* The server cannot be reached at all. */
static void refuse(struct worker *w, int client)
{
	reset_on_close(client);
	close(client);
	w->accepted++;
	w->unreached++;
	w->broken++;
}

/* Returns whether there may be more. If there is no memory or descriptor for
 * one, it waits in the listener's queue. */
static bool accept_one(struct worker *w)
{
	struct link *l = npool_objpool_get(w->relay->links);
	const struct addrinfo *untried = w->relay->target;
	int server, client = !l ? -1 : accept4(w->listener, NULL, NULL,
					       SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (client < 0) {
		int error = errno;

		npool_objpool_put(w->relay->links, l);
		if (is_for_later(error) || error == ECONNABORTED)
			return false;
		if (w->waits++ == 0)
			fprintf(stderr, "relay: a connection has to wait: %s\n",
				strerror(error));
		listen_again(w, false);
		return false;
	}
	server = connect_to_any(&untried);
	if (server >= 0) {
		begin_link(w, l, client, server, untried);
	} else {
		npool_objpool_put(w->relay->links, l);
		refuse(w, client);
	}
	return true;
}

static void accept_some(struct worker *w)
{
	for (int i = 0; i < ACCEPTS_A_TURN; i++)
		if (!accept_one(w))
			break;
}

/* ---- A thread ---------------------------------------------------------- */

static void stop_listening(struct worker *w)
{
	w->stopping = true;
	close(w->listener);
	watch_fd(w, EPOLL_CTL_DEL, w->relay->stop, 0, NULL);
}

static void handle(struct worker *w, const struct epoll_event *e)
{
	if (e->data.ptr == &w->relay->stop)
		stop_listening(w);
	else if (e->data.ptr == &w->relay->cut)
		w->cutting = true;
	else if (e->data.ptr != &w->listener)
		take_turn(e->data.ptr, e->events);
	else if (!w->stopping)
		accept_some(w);
}

/* Returns whether to go on. */
static bool serve(struct worker *w)
{
	struct epoll_event e[EVENTS];
	int n = epoll_wait(w->epoll, e, EVENTS,
			   has_to_retry(w) ? RETRY_MS : -1);

	for (int i = 0; i < n; i++)
		handle(w, &e[i]);
	retry(w);
	free_closed(w);
	return !w->cutting && !(w->stopping && TAILQ_EMPTY(&w->open));
}

static void *run(void *arg)
{
	struct worker *w = arg;
	struct link *l;
	unsigned node;

	w->node = getcpu(NULL, &node) == 0 ? (int)node : 0;
	while (serve(w))
		;
	while ((l = TAILQ_FIRST(&w->open)))
		close_link(l, true);
	free_closed(w);
	if (!w->stopping)
		close(w->listener);
	close(w->epoll);
	return NULL; /* what its caches hold goes home now */
}

/* ---- Start ------------------------------------------------------------- */

/* A socket that listens on the port; *port 0 becomes the one it got. */
static int open_listener(uint16_t *port)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
				 .sin_port = htons(*port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof a;
	int on = 1;
	char what[40];

	snprintf(what, sizeof what, "127.0.0.1, port %u", *port);
	if (fd < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) ||
	    set_options(fd) ||
	    bind(fd, (struct sockaddr *)&a, sizeof a) ||
	    listen(fd, SOMAXCONN) ||
	    getsockname(fd, (struct sockaddr *)&a, &len))
		die(what, errno);
	*port = ntohs(a.sin_port);
	return fd;
}

/* All listeners are there before the first thread runs: the kernel deals the
 * connections out to those that it sees. */
static void set_up(struct worker *w, struct relay *r, int cpu)
{
	w->relay = r;
	w->cpu = cpu;
	TAILQ_INIT(&w->open);
	TAILQ_INIT(&w->closed);
	w->listener = open_listener(&r->port);
	w->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (w->epoll < 0)
		die("epoll_create1", errno);
	watch_fd(w, EPOLL_CTL_ADD, w->listener, EPOLLIN, &w->listener);
	watch_fd(w, EPOLL_CTL_ADD, r->stop, EPOLLIN, &r->stop);
	watch_fd(w, EPOLL_CTL_ADD, r->cut, EPOLLIN, &r->cut);
}

/* Pinned before it runs, so that its stack is of its node as well. */
static void start(struct worker *w)
{
	pthread_attr_t attr;
	cpu_set_t cpus;
	int error;

	CPU_ZERO(&cpus);
	CPU_SET((size_t)w->cpu, &cpus);
	if ((error = pthread_attr_init(&attr)) ||
	    (error = pthread_attr_setaffinity_np(&attr, sizeof cpus, &cpus)) ||
	    (error = pthread_create(&w->thread, &attr, run, w)))
		die("a thread on its CPU", error);
	pthread_attr_destroy(&attr);
}

static void start_all(struct relay *r)
{
	cpu_set_t cpus;
	unsigned n = 0;

	if (sched_getaffinity(0, sizeof cpus, &cpus) != 0)
		die("sched_getaffinity", errno);
	if (!r->nworkers || r->nworkers > (unsigned)CPU_COUNT(&cpus))
		r->nworkers = (unsigned)CPU_COUNT(&cpus);
	r->workers = npool_alloc(npool_default(),
				 r->nworkers * sizeof *r->workers,
				 NPOOL_ZERO | NPOOL_ALIGN(LINE));
	r->stop = eventfd(0, EFD_CLOEXEC);
	r->cut = eventfd(0, EFD_CLOEXEC);
	if (!r->workers || r->stop < 0 || r->cut < 0)
		die("the threads", errno);
	for (int cpu = 0; n < r->nworkers; cpu++)
		if (CPU_ISSET((size_t)cpu, &cpus))
			set_up(&r->workers[n++], r, cpu);
	for (n = 0; n < r->nworkers; n++)
		start(&r->workers[n]);
	printf("port %u, threads %u\n", r->port, r->nworkers);
	fflush(stdout);
}

static void create_pools(struct relay *r)
{
	struct npool_attr attr = NPOOL_ATTR_INIT;
	struct npool_objpool_attr links = NPOOL_OBJPOOL_ATTR_INIT;
	int error;

	attr.name = "relay";
	attr.hard_limit = r->limit;
	attr.soft_limit = r->limit / 2;
	attr.pressure = on_pressure;
	attr.pressure_arg = r;
	links.name = "links";
	links.object_size = sizeof(struct link);
	error = npool_create(&r->pool, &attr);
	if (!error)
		error = npool_objpool_create(&r->links, &links);
	if (!error) /* who idles gives his memory back all the same */
		error = npool_option_set(r->pool, "background", "1");
	if (error)
		die("the pools", error);
}

static void find_target(struct relay *r, const char *host, const char *port)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	int error = getaddrinfo(host, port, &hints, &r->target);

	if (!error)
		return;
	fprintf(stderr, "relay: %s, port %s: %s\n", host, port,
		gai_strerror(error));
	exit(1);
}

/* ---- End --------------------------------------------------------------- */

static void wait_for_end(struct relay *r, const sigset_t *signals)
{
	const struct timespec tick = { 0, TICK_MS * 1000000L };

	while (sigtimedwait(signals, NULL, &tick) < 0)
		ease(r);
}

static bool all_ended(struct relay *r, unsigned ms)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += ms * 1000000L;
	until.tv_sec += until.tv_nsec / 1000000000L;
	until.tv_nsec %= 1000000000L;
	for (unsigned i = 0; i < r->nworkers; i++) {
		struct worker *w = &r->workers[i];

		if (!w->thread)
			continue;
		if (pthread_timedjoin_np(w->thread, NULL, &until) != 0)
			return false;
		w->thread = 0;
	}
	return true;
}

/* First in order; a second signal, or the end of the grace, cuts what is
 * left. */
static void stop_all(struct relay *r, const sigset_t *signals)
{
	const struct timespec now = { 0, 0 };
	bool cut = r->grace == 0;

	if (eventfd_write(r->stop, 1) != 0)
		die("eventfd_write", errno);
	for (uint64_t ms = 0; ms < r->grace * 1000ull && !cut; ms += TICK_MS) {
		if (all_ended(r, TICK_MS))
			return;
		ease(r);
		cut = sigtimedwait(signals, NULL, &now) >= 0;
	}
	if (eventfd_write(r->cut, 1) != 0)
		die("eventfd_write", errno);
	for (unsigned i = 0; i < r->nworkers; i++)
		if (r->workers[i].thread)
			pthread_join(r->workers[i].thread, NULL);
}

static void report(const struct relay *r)
{
	struct npool_figures f = { .size = sizeof f };
	struct worker all = { 0 };

	for (unsigned i = 0; i < r->nworkers; i++) {
		const struct worker *w = &r->workers[i];

		printf("cpu %d, node %d: %" PRIu64 " links, %" PRIu64
		       " bytes, %" PRIu64 " buffers of another node\n",
		       w->cpu, w->node, w->accepted, w->bytes, w->foreign);
		all.accepted += w->accepted;
		all.bytes += w->bytes;
		all.broken += w->broken;
		all.unreached += w->unreached;
		all.starved += w->starved;
	}
	npool_pool_stats(r->pool, &f);
	printf("passed on: %" PRIu64 " bytes of %" PRIu64 " links; broken: %"
	       PRIu64 ", of them without a server: %" PRIu64 "; without a "
	       "buffer: %" PRIu64 " times, at the hard limit: %" PRIu64
	       " requests\n", all.bytes, all.accepted, all.broken,
	       all.unreached, all.starved, f.refused);
	fflush(stdout);
}

/* All threads have ended: what is in use now will never be released. Watched
 * buffers are told of at exit. */
static bool is_empty(struct relay *r)
{
	struct npool_figures f = { .size = sizeof f };
	bool leaks = npool_buf_leaks(0) > 0;
	int busy = npool_objpool_destroy(r->links);

	if (!npool_pool_stats(r->pool, &f) && !f.used && !busy && !leaks)
		return true;
	fprintf(stderr, "relay: %" PRIu64 " bytes of buffers%s were not "
		"released\n", f.used, busy ? ", and links," : "");
	return false;
}

/* ---- Command line ------------------------------------------------------ */

static unsigned number(int option, unsigned long min, unsigned long max)
{
	char *end;
	unsigned long value = strtoul(optarg, &end, 10);

	if (*optarg >= '0' && *optarg <= '9' && !*end && value >= min &&
	    value <= max)
		return (unsigned)value;
	fprintf(stderr, "relay: -%c wants a number from %lu to %lu, not "
		"'%s'\n", option, min, max, optarg);
	exit(2);
}

static void parse(struct relay *r, int argc, char **argv)
{
	static const struct option known[] = {
		{ "help", no_argument, NULL, 'h' }, { NULL, 0, NULL, 0 }
	};
	int c;

	while ((c = getopt_long(argc, argv, "+p:t:l:g:h", known, NULL)) != -1) {
		if (c == 'p')
			r->port = (uint16_t)number(c, 0, UINT16_MAX);
		else if (c == 't')
			r->nworkers = number(c, 1, CPU_SETSIZE);
		else if (c == 'l')
			r->limit = (size_t)number(c, 64, UINT32_MAX) << 10;
		else if (c == 'g')
			r->grace = number(c, 0, 1000000);
		else if (c == 'h')
			exit(fputs(usage, stdout) == EOF);
		else
			exit(2);
	}
	if (argc - optind != 2) {
		fputs(usage, stderr);
		exit(2);
	}
	find_target(r, argv[optind], argv[optind + 1]);
}

int main(int argc, char **argv)
{
	struct relay r = { .limit = (size_t)256 << 20, .grace = 5 };
	sigset_t signals;
	bool empty;

	parse(&r, argc, argv);
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	pthread_sigmask(SIG_BLOCK, &signals, NULL); /* of all threads */
	create_pools(&r);
	start_all(&r);
	wait_for_end(&r, &signals);
	stop_all(&r, &signals);
	report(&r);
	empty = is_empty(&r);
	npool_destroy(r.pool);
	npool_free(r.workers);
	freeaddrinfo(r.target);
	return empty ? 0 : 1;
}
