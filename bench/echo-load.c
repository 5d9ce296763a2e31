/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * echo-load: loads an echo server and measures it: each connection sends a
 * message, waits until all of it came back, and sends the next one.
 *
 *	echo-load PORT CONNECTIONS BYTES WARM-MS MS PID
 *
 * Warms up, then measures for MS milliseconds, or until a message is back if
 * that is later. Prints the messages, the seconds that process PID (the server)
 * ran on a CPU meanwhile, by the scheduler's own count, nanoseconds from a
 * message's first byte to its last one back (median, 99 %, 99.9 %), and the
 * server's resident KiB:
 *
 *	messages N cpu S p50 NS p99 NS p999 NS rss KIB
 */
#include "ns.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h> /* TCP_NODELAY */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_SAMPLES 4000000u /* latencies; what is beyond is not kept */
#define EVENTS 64
#define READ_BYTES ((size_t)256 << 10)
#define PATIENCE_MS 10000

struct conn {
	int fd;
	bool waits;	  /* epoll waits for room to send, too */
	size_t out, in;	  /* bytes of this message that went, and came */
	double began_ns;
};

static struct load {
	size_t bytes;
	int epoll;
	pid_t server;
	char *message, *reply;
	double *ns; /* [MAX_SAMPLES] */
	size_t nsamples, nmessages;
	bool measuring;
} load;

static _Noreturn void fail(const char *what)
{
	fprintf(stderr, "echo-load: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void *need(size_t size)
{
	void *p = malloc(size);

	if (!p)
		fail("memory");
	return p;
}

/* --- the server, as the kernel sees it ------------------------------- */

/* Opens /proc/PID/NAME. */
static FILE *proc(const char *name)
{
	char path[100];

	snprintf(path, sizeof path, "/proc/%d/%s", (int)load.server, name);
	return fopen(path, "re");
}

/* Seconds that its threads have run; one that ended is lost. */
static double server_cpu(void)
{
	char path[100];
	double sum = 0, ns;
	struct dirent *d;
	DIR *tasks;
	FILE *f;

	snprintf(path, sizeof path, "/proc/%d/task", (int)load.server);
	tasks = opendir(path);
	if (!tasks)
		fail(path);
	while ((d = readdir(tasks))) {
		char name[80];

		snprintf(name, sizeof name, "task/%.20s/schedstat", d->d_name);
		f = *d->d_name == '.' ? NULL : proc(name);
		if (!f)
			continue;
		if (fscanf(f, "%lf", &ns) == 1)
			sum += ns;
		fclose(f);
	}
	closedir(tasks);
	return sum / 1e9;
}

static long server_rss(void)
{
	FILE *f = proc("status");
	char line[200];
	long kib = 0;

	while (f && fgets(line, sizeof line, f))
		if (!strncmp(line, "VmRSS:", 6))
			kib = strtol(line + 6, NULL, 10);
	if (f)
		fclose(f);
	return kib;
}

/* --- connections ------------------------------------------------------- */

static void watch(struct conn *c, int op, bool out)
{
	struct epoll_event e = { .events = EPOLLIN | (out ? EPOLLOUT : 0),
				 .data.ptr = c };

	if (epoll_ctl(load.epoll, op, c->fd, &e) != 0)
		fail("epoll_ctl");
	c->waits = out;
}

static void send_some(struct conn *c)
{
	while (c->out < load.bytes) {
		ssize_t n = send(c->fd, load.message + c->out,
				 load.bytes - c->out, MSG_NOSIGNAL);

		if (n < 0 && errno != EAGAIN && errno != EINTR)
			fail("send");
		if (n < 0)
			break;
		c->out += (size_t)n;
	}
	if (c->waits != (c->out < load.bytes))
		watch(c, EPOLL_CTL_MOD, !c->waits);
}

static void begin(struct conn *c)
{
	c->in = c->out = 0;
	c->began_ns = ns_now(CLOCK_MONOTONIC);
	send_some(c);
}

static void finish(struct conn *c)
{
	if (load.measuring) {
		load.nmessages++;
		if (load.nsamples < MAX_SAMPLES)
			load.ns[load.nsamples++] =
				ns_now(CLOCK_MONOTONIC) - c->began_ns;
	}
	begin(c);
}

static void receive_some(struct conn *c)
{
	ssize_t n = recv(c->fd, load.reply, READ_BYTES, 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0 || c->in + (size_t)n > load.bytes ||
	    memcmp(load.reply, load.message + c->in, (size_t)n)) {
		errno = n < 0 ? errno : EPROTO;
		fail("what came back");
	}
	c->in += (size_t)n;
	if (c->in == load.bytes)
		finish(c);
}

static void open_conn(struct conn *c, uint16_t port)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
				 .sin_port = htons(port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int on = 1;

	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0 ||
	    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) ||
	    connect(c->fd, (struct sockaddr *)&a, sizeof a) ||
	    fcntl(c->fd, F_SETFL, O_NONBLOCK))
		fail("connect");
	watch(c, EPOLL_CTL_ADD, false);
}

/* --- the measurement --------------------------------------------------- */

static void run_for(double ms)
{
	double end = ns_now(CLOCK_MONOTONIC) + ms * 1e6;
	struct epoll_event e[EVENTS];

	while (ns_now(CLOCK_MONOTONIC) < end ||
	       (load.measuring && !load.nmessages)) {
		int n = epoll_wait(load.epoll, e, EVENTS, PATIENCE_MS);

		if (n == 0) {
			errno = ETIMEDOUT;
			fail("nothing moves any more");
		}
		for (int i = 0; i < n; i++) {
			struct conn *c = e[i].data.ptr;

			if (e[i].events & EPOLLOUT)
				send_some(c);
			if (e[i].events & ~(uint32_t)EPOLLOUT)
				receive_some(c);
		}
	}
}

static double quantile(double part)
{
	size_t n = load.nsamples;

	return n ? load.ns[(size_t)((double)(n - 1) * part)] : 0;
}

int main(int argc, char **argv)
{
	unsigned nconns = argc == 7 ? (unsigned)atoi(argv[2]) : 0;
	struct conn *conns;
	double cpu;

	if (!nconns || atol(argv[3]) <= 0) {
		fputs("usage: echo-load PORT CONNECTIONS BYTES WARM-MS MS PID\n",
		      stderr);
		return 2;
	}
	load.bytes = (size_t)atol(argv[3]);
	load.server = (pid_t)atoi(argv[6]);
	load.epoll = epoll_create1(EPOLL_CLOEXEC);
	load.message = need(load.bytes);
	load.reply = need(READ_BYTES);
	load.ns = need(MAX_SAMPLES * sizeof *load.ns);
	conns = need(nconns * sizeof *conns);
	for (size_t i = 0; i < load.bytes; i++)
		load.message[i] = (char)(i * 7 + i / 251);
	memset(conns, 0, nconns * sizeof *conns);
	for (unsigned i = 0; i < nconns; i++)
		open_conn(&conns[i], (uint16_t)atoi(argv[1]));
	for (unsigned i = 0; i < nconns; i++)
		begin(&conns[i]);
	run_for(atof(argv[4]));
	load.measuring = true;
	cpu = server_cpu();
	run_for(atof(argv[5]));
	cpu = server_cpu() - cpu;
	ns_sort(load.ns, load.nsamples);
	printf("messages %zu cpu %.6f p50 %.0f p99 %.0f p999 %.0f rss %ld\n",
	       load.nmessages, cpu, quantile(0.5), quantile(0.99),
	       quantile(0.999), server_rss());
	free(conns);
	return 0;
}
