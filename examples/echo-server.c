/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * echo-server: sends back what it gets, on the loopback. It shows how a server
 * has a pool of its own, with a limit, and its memory where its threads are.
 *
 *	one thread a CPU, pinned     so the pool's pieces are of the thread's
 *	    |                        node, and stay there: nothing else to do
 *	    +-- a listener of its own, all on one port (SO_REUSEPORT)
 *	    +-- an epoll of its own
 *	    +-- connections: each a little struct of the default pool, and
 *	        while data is in flight a buffer of the pool "echo"
 *
 * A buffer is taken when there is something to read and goes back when all of
 * it was sent: a client that does not read holds one, an idle one holds none.
 * A thread's cache makes this cheap: most calls take no lock.
 *
 *	above the soft limit     new buffers are small, until use has fallen
 *	at the hard limit        npool_alloc returns NULL; the connection is
 *	                         not read from until there is a buffer, and TCP
 *	                         holds the client back. No byte is lost.
 *
 * At the end every buffer must have come back: else the exit status says so.
 *
 *	cc -pthread -o echo-server echo-server.c \
 *		$(pkg-config --cflags --libs npool)
 */
#define _GNU_SOURCE /* accept4, getcpu, CPU_SET */
#include <npool.h>

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
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

#define LARGE ((size_t)64 << 10) /* of a buffer: what a read may bring */
#define SMALL ((size_t)4 << 10)	 /* of one while memory is short */
#define SNDBUF (256 << 10)	 /* the kernel's, of a connection: what waits
				    shall wait in the pool, where it counts */
#define EVENTS 64		 /* looked at before epoll is asked again */
#define RETRY_MS 10		 /* until who got no buffer tries again */
#define TICK_MS 100		 /* how often the first thread looks around */
#define LINE 64			 /* bytes of a cache line */

struct conn {
	TAILQ_ENTRY(conn) link;
	int fd;
	uint32_t events; /* that epoll waits for */
	bool held;	 /* there was no buffer for it */
	char *buf;	 /* NULL: nothing is in flight */
	size_t size;	 /* of buf */
	size_t from, to; /* what of buf is still to be sent */
};

TAILQ_HEAD(conns, conn);

/* All fields are the thread's own while it runs. */
struct worker {
	_Alignas(LINE) struct server *server;
	pthread_t thread;
	int cpu, node; /* the kernel's numbers */
	int epoll, listener;
	bool deaf; /* a connection could not be accepted: later */
	uint64_t listen_ms; /* when the next one is tried */
	struct conns open, held;
	uint64_t accepted, waits, cut, echoed, holds, foreign;
};

struct server {
	uint16_t port;
	unsigned nworkers, seconds; /* 0: one a CPU; until a signal */
	size_t limit;		    /* bytes */
	npool_t *pool;
	struct worker *workers;
	int stop;		     /* eventfd: readable once all shall end */
	_Atomic bool tight;	     /* memory is short: small buffers */
	_Atomic uint64_t soft, hard; /* how often a limit was met */
};

static const char usage[] =
"usage: echo-server [-p PORT] [-t THREADS] [-s SECONDS] [-l KIB]\n"
"\n"
"Sends back what it gets on 127.0.0.1, until SIGTERM or SIGINT. One thread a\n"
"CPU, pinned; buffers from a pool of its own, with a limit. The first line\n"
"says the port; at the end come what each thread did and the pools' figures.\n"
"\n"
"  -p PORT     0 (when not said): one that is free\n"
"  -t THREADS  only so many, on the first CPUs that it may use\n"
"  -s SECONDS  ends by itself after so long\n"
"  -l KIB      limit of all buffers together, 64 or more (65536)\n"
"  --help      prints this\n"
"\n"
"Exit status: 0 it ended in order and every buffer came back; 1 not so, or it\n"
"could not start; 2 bad usage.\n";

static _Noreturn void die(const char *what, int error)
{
	fprintf(stderr, "echo-server: %s: %s\n", what, strerror(error));
	exit(1);
}

/* ---- Buffers -----------------------------------------------------------
 *
 * The pool calls this in the thread that asked for a buffer, after it has
 * trimmed itself. There is nothing to free here, since nothing is kept: so it
 * says 0, and what to do is up to who asked.
 */
static int on_pressure(npool_t *pool, const struct npool_pressure *pressure,
		       void *arg)
{
	struct server *s = arg;

	(void)pool;
	atomic_store(&s->tight, true);
	atomic_fetch_add(pressure->hard ? &s->hard : &s->soft, 1);
	return 0;
}

/* Memory was short; is it still? The pool does not say so by itself. */
static void ease(struct server *s)
{
	struct npool_figures f = { .size = sizeof f };

	if (atomic_load(&s->tight) && npool_pool_stats(s->pool, &f) == 0 &&
	    f.used <= s->limit / 2)
		atomic_store(&s->tight, false);
}

static bool take_buffer(struct worker *w, struct conn *c)
{
	npool_t *pool = w->server->pool;
	int home;

	c->size = atomic_load(&w->server->tight) ? SMALL : LARGE;
	c->buf = npool_alloc(pool, c->size, 0);
	if (!c->buf && c->size > SMALL) {
		c->size = SMALL;
		c->buf = npool_alloc(pool, c->size, 0);
	}
	if (!c->buf)
		return false;
	home = npool_node_of(c->buf); /* -1: the numbers are not known */
	w->foreign += home >= 0 && home != w->node;
	return true;
}

static void put_buffer(struct conn *c)
{
	npool_free_sized(c->buf, c->size);
	c->buf = NULL;
	c->from = c->to = 0;
}

/* ---- Connections ------------------------------------------------------- */

static void watch(struct worker *w, int op, int fd, uint32_t events, void *what)
{
	struct epoll_event e = { .events = events, .data.ptr = what };

	if (epoll_ctl(w->epoll, op, fd, &e) != 0)
		die("epoll_ctl", errno);
}

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void listen_again(struct worker *w, bool again)
{
	watch(w, EPOLL_CTL_MOD, w->listener, again ? EPOLLIN : 0, &w->listener);
	w->deaf = !again;
	w->listen_ms = again ? 0 : now_ms() + RETRY_MS;
}

static void close_conn(struct worker *w, struct conn *c)
{
	TAILQ_REMOVE(c->held ? &w->held : &w->open, c, link);
	w->cut += c->from < c->to;
	if (c->buf)
		put_buffer(c);
	close(c->fd); /* epoll forgets it */
	npool_free(c);
	if (w->deaf)
		listen_again(w, true);
}

static void wait_for(struct worker *w, struct conn *c, uint32_t events)
{
	if (events != c->events)
		watch(w, EPOLL_CTL_MOD, c->fd, events, c);
	c->events = events;
}

/* No buffer: the connection is not read from for now. */
static void hold(struct worker *w, struct conn *c)
{
	TAILQ_REMOVE(&w->open, c, link);
	TAILQ_INSERT_TAIL(&w->held, c, link);
	c->held = true;
	w->holds++;
	wait_for(w, c, 0);
}

static bool is_for_later(int error)
{
	return error == EAGAIN || error == EINTR;
}

/* Returns whether something came; if not, c may be gone. */
static bool receive(struct worker *w, struct conn *c)
{
	ssize_t n = recv(c->fd, c->buf, c->size, 0);
	bool later = n < 0 && is_for_later(errno);

	if (n > 0) {
		c->to = (size_t)n;
		return true;
	}
	put_buffer(c);
	if (later)
		wait_for(w, c, EPOLLIN);
	else
		close_conn(w, c); /* the client has said all, or is gone */
	return false;
}

static void send_rest(struct worker *w, struct conn *c)
{
	ssize_t n = send(c->fd, c->buf + c->from, c->to - c->from,
			 MSG_NOSIGNAL);

	if (n < 0 && !is_for_later(errno)) {
		close_conn(w, c);
		return;
	}
	if (n > 0) {
		c->from += (size_t)n;
		w->echoed += (uint64_t)n;
	}
	if (c->from < c->to) {
		wait_for(w, c, EPOLLOUT); /* and nothing is read meanwhile */
		return;
	}
	put_buffer(c);
	wait_for(w, c, EPOLLIN);
}

/* One read or one write, or both: then it is another connection's turn. */
static void take_turn(struct worker *w, struct conn *c)
{
	if (c->held) { /* waits for nothing: only an error wakes it */
		close_conn(w, c);
		return;
	}
	if (!c->buf && !take_buffer(w, c)) {
		hold(w, c);
		return;
	}
	if (c->from < c->to || receive(w, c))
		send_rest(w, c);
}

/* Those that were held back go on, in their order, while there are buffers. */
static void release_held(struct worker *w)
{
	struct conn *c;

	while ((c = TAILQ_FIRST(&w->held)) && take_buffer(w, c)) {
		TAILQ_REMOVE(&w->held, c, link);
		TAILQ_INSERT_TAIL(&w->open, c, link);
		c->held = false;
		take_turn(w, c);
	}
}

/* ---- A thread ---------------------------------------------------------- */

/* One a turn. If there is no memory or descriptor for it, it waits in the
 * listener's queue. */
static void accept_conn(struct worker *w)
{
	struct conn *c = npool_calloc(1, sizeof *c);

	if (!c || (c->fd = accept4(w->listener, NULL, NULL,
				   SOCK_NONBLOCK | SOCK_CLOEXEC)) < 0) {
		npool_free(c); /* keeps errno */
		if (!is_for_later(errno) && errno != ECONNABORTED) {
			if (w->waits++ == 0)
				perror("echo-server: a connection has to wait");
			listen_again(w, false);
		}
		return;
	}
	w->accepted++;
	TAILQ_INSERT_TAIL(&w->open, c, link);
	c->events = EPOLLIN;
	watch(w, EPOLL_CTL_ADD, c->fd, c->events, c);
}

/* Returns whether to go on. */
static bool serve(struct worker *w)
{
	struct epoll_event e[EVENTS];
	bool retry = w->deaf || !TAILQ_EMPTY(&w->held);
	int n = epoll_wait(w->epoll, e, EVENTS, retry ? RETRY_MS : -1);

	for (int i = 0; i < n; i++) {
		if (e[i].data.ptr == w->server) /* its stop */
			return false;
		if (e[i].data.ptr == &w->listener)
			accept_conn(w);
		else
			take_turn(w, e[i].data.ptr);
	}
	if (w->deaf && now_ms() >= w->listen_ms) /* however busy others are */
		listen_again(w, true);
	release_held(w); /* last: it may close some that e speaks of */
	return true;
}

static void *run(void *arg)
{
	struct worker *w = arg;
	struct conn *c;
	unsigned node;

	w->node = getcpu(NULL, &node) == 0 ? (int)node : 0;
	while (serve(w))
		;
	while ((c = TAILQ_FIRST(&w->held)) || (c = TAILQ_FIRST(&w->open)))
		close_conn(w, c);
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
	int on = 1, sndbuf = SNDBUF;
	socklen_t len = sizeof a;
	char what[40];

	snprintf(what, sizeof what, "127.0.0.1, port %u", *port);
	if (fd < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &sndbuf, sizeof sndbuf) ||
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) ||
	    bind(fd, (struct sockaddr *)&a, sizeof a) ||
	    listen(fd, SOMAXCONN) ||
	    getsockname(fd, (struct sockaddr *)&a, &len))
		die(what, errno);
	*port = ntohs(a.sin_port);
	return fd;
}

/* All listeners are there before the first thread runs: the kernel deals the
 * connections out to those that it sees. */
static void set_up(struct worker *w, struct server *s, int cpu)
{
	w->server = s;
	w->cpu = cpu;
	TAILQ_INIT(&w->open);
	TAILQ_INIT(&w->held);
	w->listener = open_listener(&s->port);
	w->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (w->epoll < 0)
		die("epoll_create1", errno);
	watch(w, EPOLL_CTL_ADD, w->listener, EPOLLIN, &w->listener);
	watch(w, EPOLL_CTL_ADD, s->stop, EPOLLIN, s);
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

static void start_all(struct server *s)
{
	cpu_set_t cpus;
	unsigned n = 0;

	if (sched_getaffinity(0, sizeof cpus, &cpus) != 0)
		die("sched_getaffinity", errno);
	if (!s->nworkers || s->nworkers > (unsigned)CPU_COUNT(&cpus))
		s->nworkers = (unsigned)CPU_COUNT(&cpus);
	s->workers = npool_alloc(npool_default(),
				 s->nworkers * sizeof *s->workers,
				 NPOOL_ZERO | NPOOL_ALIGN(LINE));
	s->stop = eventfd(0, EFD_CLOEXEC);
	if (!s->workers || s->stop < 0)
		die("the threads", errno);
	for (int cpu = 0; n < s->nworkers; cpu++)
		if (CPU_ISSET((size_t)cpu, &cpus))
			set_up(&s->workers[n++], s, cpu);
	for (n = 0; n < s->nworkers; n++)
		start(&s->workers[n]);
	printf("port %u, threads %u\n", s->port, s->nworkers);
	fflush(stdout);
}

static void create_pool(struct server *s)
{
	struct npool_attr attr = NPOOL_ATTR_INIT;
	int error;

	attr.name = "echo";
	attr.hard_limit = s->limit;
	attr.soft_limit = s->limit / 4 * 3;
	attr.pressure = on_pressure;
	attr.pressure_arg = s;
	error = npool_create(&s->pool, &attr);
	if (!error) /* who idles gives his memory back all the same */
		error = npool_option_set(s->pool, "background", "1");
	if (error)
		die("the pool", error);
}

/* ---- End --------------------------------------------------------------- */

static void wait_for_end(struct server *s, const sigset_t *signals)
{
	const struct timespec tick = { 0, TICK_MS * 1000000L };

	unsigned ticks = s->seconds * (1000 / TICK_MS);

	for (; ticks || !s->seconds; ticks--) {
		if (sigtimedwait(signals, NULL, &tick) >= 0)
			return;
		ease(s);
	}
}

static void stop_all(struct server *s)
{
	if (eventfd_write(s->stop, 1) != 0)
		die("eventfd_write", errno);
	for (unsigned i = 0; i < s->nworkers; i++)
		pthread_join(s->workers[i].thread, NULL);
	close(s->stop);
}

static void report(struct server *s)
{
	struct worker all = { 0 };

	for (unsigned i = 0; i < s->nworkers; i++) {
		const struct worker *w = &s->workers[i];

		printf("cpu %d, node %d: %" PRIu64 " connections, %" PRIu64
		       " bytes, %" PRIu64 " buffers of another node\n",
		       w->cpu, w->node, w->accepted, w->echoed, w->foreign);
		all.echoed += w->echoed;
		all.cut += w->cut;
		all.holds += w->holds;
	}
	printf("limits met: soft %" PRIu64 " times, hard %" PRIu64 " times; "
	       "connections held back: %" PRIu64 " times\n", s->soft, s->hard,
	       all.holds);
	printf("echoed: %" PRIu64 " bytes; connections cut off: %" PRIu64 "\n",
	       all.echoed, all.cut);
	fflush(stdout);
	npool_stats_print(STDOUT_FILENO);
}

/* All threads have ended: what is in use now will never be freed. */
static bool is_empty(npool_t *pool)
{
	struct npool_figures f = { .size = sizeof f };
	int error = npool_pool_stats(pool, &f);

	if (!error && f.used == 0 && f.allocs == f.frees)
		return true;
	fprintf(stderr, "echo-server: %" PRIu64 " buffers, %" PRIu64
		" bytes, were not freed\n", f.allocs - f.frees, f.used);
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
	fprintf(stderr, "echo-server: -%c wants a number from %lu to %lu, "
		"not '%s'\n", option, min, max, optarg);
	exit(2);
}

static void parse(struct server *s, int argc, char **argv)
{
	static const struct option known[] = {
		{ "help", no_argument, NULL, 'h' }, { NULL, 0, NULL, 0 }
	};
	int c;

	while ((c = getopt_long(argc, argv, "p:t:s:l:h", known, NULL)) != -1) {
		if (c == 'p')
			s->port = (uint16_t)number(c, 0, UINT16_MAX);
		else if (c == 't')
			s->nworkers = number(c, 1, CPU_SETSIZE);
		else if (c == 's')
			s->seconds = number(c, 1, 1000000);
		else if (c == 'l')
			s->limit = (size_t)number(c, LARGE >> 10, UINT32_MAX)
				   << 10;
		else if (c == 'h')
			exit(fputs(usage, stdout) == EOF);
		else
			exit(2);
	}
	if (optind < argc) {
		fprintf(stderr, "echo-server: what is '%s'? try --help\n",
			argv[optind]);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	struct server s = { .limit = (size_t)64 << 20 };
	sigset_t signals;
	bool empty;

	parse(&s, argc, argv);
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	pthread_sigmask(SIG_BLOCK, &signals, NULL); /* of all threads */
	create_pool(&s);
	start_all(&s);
	wait_for_end(&s, &signals);
	stop_all(&s);
	report(&s);
	empty = is_empty(s.pool);
	npool_destroy(s.pool);
	npool_free(s.workers);
	return empty ? 0 : 1;
}
