/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * echo-client: loads an echo server on the loopback, and believes nothing.
 * Each connection sends every file some times, in pieces of random size, and
 * compares each byte that comes back with the file's. Then it ends its side
 * and wants the end of the other's: no byte less, no byte more.
 *
 * It uses the default pool, which needs no start and no end: npool.h, and
 * npool_malloc() in place of malloc().
 *
 * A connection is two cursors into the same endless row of files: "out" is
 * what was sent, "in" what came back. It is done when both are at the end.
 *
 *	cc -o echo-client echo-client.c $(pkg-config --cflags --libs npool)
 */
#define _GNU_SOURCE
#include <npool.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <netinet/tcp.h> /* TCP_NODELAY */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define BUFFER ((size_t)64 << 10) /* of one read, and the largest write */
#define WRITE_BITS 16		  /* log2 of it */
#define LATE_RCVBUF (16 << 10)	  /* with -l: fills soon, and the server's
				     sends stop */
#define EVENTS 64
#define PATIENCE_MS 10000 /* nothing moves for so long: the rest is lost */

struct file {
	const char *name;
	const unsigned char *data;
	size_t size;
};

struct cursor {
	uint64_t nfiles; /* that are behind it */
	size_t at;	 /* in the next one */
};

struct conn {
	int fd;
	unsigned number;
	uint32_t events;
	struct cursor out, in;
	uint64_t missing; /* bytes that have not come back */
};

struct client {
	struct file *files;
	unsigned nfiles, rounds, nconns;
	unsigned nrunning, nfailed; /* connections */
	struct conn *conns;
	unsigned char *buffer;
	uint64_t random;
	uint64_t each; /* bytes of one connection */
	bool late;
	int epoll;
};

static const char usage[] =
"usage: echo-client [-l] PORT CONNECTIONS ROUNDS FILE...\n"
"\n"
"Connects CONNECTIONS times to the echo server at 127.0.0.1, PORT, sends\n"
"every FILE over each connection, ROUNDS times, and checks every byte that\n"
"comes back. Prints how many bytes that were, and how fast.\n"
"\n"
"  -l          late: reads only when it cannot write, so that the server is\n"
"              left with what it has to send\n"
"  --help      prints this\n"
"\n"
"Exit status: 0 every byte came back as it was sent; 1 not so; 2 bad usage,\n"
"or a file cannot be read.\n";

static _Noreturn void die(int status, const char *what, int error)
{
	fprintf(stderr, "echo-client: %s: %s\n", what, strerror(error));
	exit(status);
}

/* ---- What is sent ------------------------------------------------------ */

static void open_file(struct file *f, const char *name)
{
	int fd = open(name, O_RDONLY | O_CLOEXEC);
	struct stat st;
	void *data;

	if (fd < 0 || fstat(fd, &st) != 0)
		die(2, name, errno);
	if (!S_ISREG(st.st_mode) || st.st_size == 0)
		die(2, name, S_ISREG(st.st_mode) ? ENODATA : EINVAL);
	data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (data == MAP_FAILED)
		die(2, name, errno);
	close(fd);
	*f = (struct file){ name, data, (size_t)st.st_size };
}

/* The file that the cursor is in; connections begin with different ones. */
static const struct file *file_at(const struct client *k, const struct conn *c,
				  const struct cursor *cur)
{
	return &k->files[(c->number + cur->nfiles) % k->nfiles];
}

/* Returns how many bytes there are in one piece at the cursor, 0: the end. */
static size_t span(const struct client *k, const struct conn *c,
		   const struct cursor *cur)
{
	if (cur->nfiles == (uint64_t)k->rounds * k->nfiles)
		return 0;
	return file_at(k, c, cur)->size - cur->at;
}

static void advance(const struct client *k, const struct conn *c,
		    struct cursor *cur, size_t n)
{
	cur->at += n;
	if (cur->at == file_at(k, c, cur)->size) {
		cur->nfiles++;
		cur->at = 0;
	}
}

/* From 1 to BUFFER bytes; small ones are as frequent as large ones. */
static size_t random_size(struct client *k)
{
	size_t top;

	k->random ^= k->random << 13; /* Marsaglia's xorshift64 */
	k->random ^= k->random >> 7;
	k->random ^= k->random << 17;
	top = (size_t)1 << k->random % (WRITE_BITS + 1);
	return 1 + (k->random >> 32) % top;
}

/* ---- A connection ------------------------------------------------------ */

static void wait_for(struct client *k, struct conn *c, int op, uint32_t events)
{
	struct epoll_event e = { .events = events, .data.ptr = c };

	if (events != c->events && epoll_ctl(k->epoll, op, c->fd, &e) != 0)
		die(1, "epoll_ctl", errno);
	c->events = events;
}

static void connect_one(struct client *k, struct conn *c, uint16_t port)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
				 .sin_port = htons(port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int on = 1, rcvbuf = LATE_RCVBUF;
	char what[60];

	snprintf(what, sizeof what, "connection %u to 127.0.0.1, port %u",
		 c->number, port);
	c->missing = k->each;
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0 ||
	    (k->late && setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &rcvbuf,
				   sizeof rcvbuf)) ||
	    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) ||
	    connect(c->fd, (struct sockaddr *)&a, sizeof a) ||
	    fcntl(c->fd, F_SETFL, O_NONBLOCK))
		die(1, what, errno);
	wait_for(k, c, EPOLL_CTL_ADD, EPOLLIN | EPOLLOUT);
	k->nrunning++;
}

/* The end of a connection, good or not; what is missing stays missing. */
static void end(struct client *k, struct conn *c, const char *why)
{
	if (why)
		fprintf(stderr, "echo-client: connection %u: %s; %" PRIu64
			" of %" PRIu64 " bytes were right\n", c->number, why,
			k->each - c->missing, k->each);
	k->nfailed += why != NULL;
	close(c->fd);
	c->fd = -1;
	k->nrunning--;
}

static bool is_for_later(int error)
{
	return error == EAGAIN || error == EINTR;
}

static void send_some(struct client *k, struct conn *c)
{
	size_t n = span(k, c, &c->out), most = random_size(k);
	ssize_t sent = send(c->fd, file_at(k, c, &c->out)->data + c->out.at,
			    n < most ? n : most, MSG_NOSIGNAL);

	if (sent < 0 && !is_for_later(errno)) {
		end(k, c, strerror(errno));
		return;
	}
	if (sent > 0)
		advance(k, c, &c->out, (size_t)sent);
	if (span(k, c, &c->out) == 0) {
		shutdown(c->fd, SHUT_WR);
		wait_for(k, c, EPOLL_CTL_MOD, EPOLLIN);
	}
}

/* Returns how many of n bytes are right, from the first one on. */
static size_t compare(const unsigned char *came, const unsigned char *sent,
		      size_t n)
{
	size_t i = 0;

	if (memcmp(came, sent, n) == 0)
		return n;
	while (came[i] == sent[i])
		i++;
	return i;
}

/* Are these bytes the next ones of what was sent? */
static void check(struct client *k, struct conn *c, size_t n)
{
	const unsigned char *came = k->buffer;
	char why[256];

	for (size_t most, right; n; came += most, n -= most) {
		const struct file *f = file_at(k, c, &c->in);
		const unsigned char *sent = f->data + c->in.at;

		most = span(k, c, &c->in);
		if (!most) {
			end(k, c, "more came back than was sent");
			return;
		}
		most = n < most ? n : most;
		right = compare(came, sent, most);
		c->missing -= right;
		if (right < most) {
			snprintf(why, sizeof why, "file %" PRIu64 ", %s, "
				 "offset %zu: 0x%02x was sent, 0x%02x came",
				 c->in.nfiles + 1, f->name, c->in.at + right,
				 sent[right], came[right]);
			end(k, c, why);
			return;
		}
		advance(k, c, &c->in, most);
	}
}

static void receive_some(struct client *k, struct conn *c)
{
	ssize_t n = recv(c->fd, k->buffer, BUFFER, 0);

	if (n < 0 && !is_for_later(errno))
		end(k, c, strerror(errno));
	else if (n == 0)
		end(k, c, c->missing ? "the server has ended it" : NULL);
	else if (n > 0)
		check(k, c, (size_t)n);
}

static void take_turn(struct client *k, struct conn *c, uint32_t events)
{
	bool can_send = events & EPOLLOUT;

	if (can_send)
		send_some(k, c);
	if (c->fd >= 0 && events & ~(uint32_t)EPOLLOUT &&
	    !(can_send && k->late))
		receive_some(k, c);
}

/* ---- All of them ------------------------------------------------------- */

static void serve(struct client *k)
{
	struct epoll_event e[EVENTS];
	int n;

	while (k->nrunning) {
		n = epoll_wait(k->epoll, e, EVENTS, PATIENCE_MS);
		for (int i = 0; i < n; i++)
			take_turn(k, e[i].data.ptr, e[i].events);
		for (unsigned i = 0; n == 0 && i < k->nconns; i++)
			if (k->conns[i].fd >= 0)
				end(k, &k->conns[i], "nothing moves any more");
	}
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int run(struct client *k, uint16_t port)
{
	double began = now(), took;
	uint64_t total = k->each * k->nconns, missing = 0;

	for (unsigned i = 0; i < k->nconns; i++) {
		k->conns[i].number = i;
		connect_one(k, &k->conns[i], port);
	}
	serve(k);
	took = now() - began;
	for (unsigned i = 0; i < k->nconns; i++)
		missing += k->conns[i].missing;
	printf("%" PRIu64 " of %" PRIu64 " bytes came back as they were sent, "
	       "over %u connections in %.2f s: %.0f MB/s\n", total - missing,
	       total, k->nconns, took, (double)(total - missing) / took / 1e6);
	if (missing)
		fprintf(stderr, "echo-client: %" PRIu64 " bytes are missing or "
			"wrong\n", missing);
	return missing || k->nfailed || fflush(stdout) == EOF;
}

/* ---- Command line ------------------------------------------------------ */

static unsigned number(const char *name, const char *text, unsigned long max)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (*text >= '0' && *text <= '9' && !*end && value && value <= max)
		return (unsigned)value;
	fprintf(stderr, "echo-client: %s is a number from 1 to %lu, not "
		"'%s'\n", name, max, text);
	exit(2);
}

/* Returns how many of the arguments were options. */
static int parse_options(int argc, char **argv, struct client *k)
{
	static const struct option known[] = {
		{ "help", no_argument, NULL, 'h' }, { NULL, 0, NULL, 0 }
	};
	int c;

	while ((c = getopt_long(argc, argv, "+lh", known, NULL)) != -1) {
		if (c == 'l')
			k->late = true;
		else if (c == 'h')
			exit(fputs(usage, stdout) == EOF);
		else
			exit(2);
	}
	if (argc - optind < 4) {
		fputs(usage, stderr);
		exit(2);
	}
	return optind;
}

int main(int argc, char **argv)
{
	struct client k = { .random = 1 };
	uint16_t port;

	argv += parse_options(argc, argv, &k);
	port = (uint16_t)number("PORT", argv[0], UINT16_MAX);
	k.nconns = number("CONNECTIONS", argv[1], 1000000);
	k.rounds = number("ROUNDS", argv[2], 1000000);
	argv += 3;
	while (argv[k.nfiles])
		k.nfiles++;
	k.files = npool_calloc(k.nfiles, sizeof *k.files);
	k.conns = npool_calloc(k.nconns, sizeof *k.conns);
	k.buffer = npool_malloc(BUFFER);
	if (!k.files || !k.conns || !k.buffer)
		die(1, "connections", errno);
	for (unsigned i = 0; i < k.nfiles; i++) {
		open_file(&k.files[i], argv[i]);
		k.each += k.files[i].size * k.rounds;
	}
	k.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (k.epoll < 0)
		die(1, "epoll_create1", errno);
	return run(&k, port);
}
