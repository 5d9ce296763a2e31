/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * bufio: buffers to and from sockets and pipes that are slow, interrupted,
 * full or at their end; and the guess at how much comes. Claims that begin
 * with the name of a test of Netty's (AbstractCompositeByteBufTest's gathering
 * writes, AdaptiveRecvByteBufAllocatorTest) ask what that asks.
 */
#include "buf.h"
#include "bufs.h"
#include "rng.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define MANY (3 * IOV_MAX + 7)

/* A composite buffer of n parts of `size` bytes, which count up. */
static npool_buf_t *parts(size_t n, size_t size)
{
	npool_buf_t *c = make_composite(SIZE_MAX);
	uint64_t byte = 0;

	for (size_t i = 0; i < n; i++) {
		npool_buf_t *part = make(size, size);

		for (size_t k = 0; k < size; k++)
			npool_buf_write_be(part, 1, byte++);
		if (npool_buf_add_part(c, i, part, 1))
			bail_out("no part");
	}
	return c;
}

/* Do the readable bytes count up from `first`? */
static bool counts(const npool_buf_t *b, size_t first)
{
	for (size_t i = npool_buf_reader(b); i < npool_buf_writer(b); i++) {
		uint64_t byte;

		if (npool_buf_get_be(b, i, 1, &byte) ||
		    byte != (uint8_t)first++)
			return false;
	}
	return true;
}

struct pair {
	int in, out;
};

static struct pair open_pair(int type)
{
	int fd[2];

	if (socketpair(AF_UNIX, type, 0, fd) != 0)
		bail_out("no sockets");
	return (struct pair){ fd[0], fd[1] };
}

static void close_pair(struct pair p)
{
	close(p.in);
	close(p.out);
}

static void test_iovec(void)
{
	npool_buf_t *c = parts(3, 4), *e = make(8, 8);
	struct iovec iov[4];

	is_size(npool_buf_iovec(c, iov, 4, 0), 3, "testNioBuffers: an entry a part");
	ok(iov[1].iov_base == npool_buf_at(c, 4, 4) && iov[1].iov_len == 4,
	   "where it lies");
	npool_buf_skip(c, 1);
	is_size(npool_buf_iovec(c, iov, 2, 0), 2, "no more than there is room");
	is_size(iov[0].iov_len, 3, "from the reader on");
	is_size(npool_buf_iovec(c, iov, 4, 5), 2, "no more than so many bytes");
	is_size(iov[1].iov_len, 2, "exactly");
	is_size(npool_buf_iovec(c, iov, 4, 1), 1, "one byte goes always");
	is_size(npool_buf_iovec(c, iov, 0, 0), 0, "no entries");
	is_size(npool_buf_iovec(e, iov, 4, 0), 0, "nothing to be read");
	npool_buf_release(e);
	npool_buf_release(c);
}

static void test_read(void)
{
	struct pair p = open_pair(SOCK_STREAM);
	npool_buf_t *b = make(0, 100);

	is_int(npool_buf_readv(b, p.in, 0), -1, "no room, and none asked for");
	is_int(errno, ENOBUFS, "is told");
	is_int(npool_buf_readv(b, p.in, 101), -1, "more than it may have");
	is_int(errno, ERANGE, "is told as well");
	fcntl(p.in, F_SETFL, O_NONBLOCK);
	is_int(npool_buf_readv(b, p.in, 50), -1, "nothing is there");
	is_int(errno, EAGAIN, "EAGAIN");
	if (write(p.out, "\0\1\2\3\4", 5) != 5)
		bail_out("write");
	is_int(npool_buf_readv(b, p.in, 2), 2, "no more than max");
	is_int(npool_buf_readv(b, p.in, 0), 3, "what is there");
	ok(npool_buf_readable(b) == 5 && counts(b, 0), "the bytes that were sent");
	close(p.out);
	is_int(npool_buf_readv(b, p.in, 50), 0, "the end");
	close(p.in);
	is_int(npool_buf_readv(b, p.in, 50), -1, "a bad descriptor");
	is_int(errno, EBADF, "EBADF");
	npool_buf_release(b);
}

static void test_scatter(void)
{
	struct pair p = open_pair(SOCK_STREAM);
	npool_buf_t *c = parts(5, 3), *b = make(15, 15);

	for (unsigned i = 0; i < 15; i++)
		npool_buf_write_be(b, 1, 100 + i);
	npool_buf_clear(c);
	npool_buf_writev(b, p.out, 0);
	is_int(npool_buf_readv(c, p.in, 0), 15, "one read into five parts");
	ok(counts(c, 100), "in their order");
	npool_buf_release(b);
	npool_buf_release(c);
	close_pair(p);
}

/* Writes until the other side takes no more, lets it read some, goes on. */
static void test_partial(npool_buf_t *from, const char *what)
{
	struct pair p = open_pair(SOCK_STREAM);
	npool_buf_t *to = make(0, NPOOL_BUF_MAX);
	size_t n = npool_buf_readable(from);
	unsigned short_writes = 0;
	int size = 4096;

	setsockopt(p.out, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
	fcntl(p.out, F_SETFL, O_NONBLOCK);
	fcntl(p.in, F_SETFL, O_NONBLOCK);
	while (npool_buf_readable(to) < n) {
		ssize_t sent = npool_buf_writev(from, p.out, 0);

		short_writes += sent < 0 && errno == EAGAIN;
		while (npool_buf_readv(to, p.in, 1000) > 0)
			;
		if (sent < 0 && errno != EAGAIN)
			break;
		short_writes += npool_buf_readable(from) > 0;
	}
	ok(npool_buf_readable(to) == n && counts(to, 0),
	   "testGatheringWritesPartial: %s", what);
	ok(short_writes > 0 && !npool_buf_readable(from),
	   "%s: after short writes, all is gone", what);
	is_int(npool_buf_writev(from, p.out, 0), 0, "%s: nothing more", what);
	npool_buf_release(to);
	npool_buf_release(from);
	close_pair(p);
}

static void *drain(void *arg)
{
	const struct pair *p = arg;
	npool_buf_t *b = make(0, NPOOL_BUF_MAX);

	while (npool_buf_readv(b, p->in, 5000) > 0)
		;
	return b;
}

/* A blocking descriptor: one call writes all of it. */
static void test_blocking(void)
{
	struct pair p = open_pair(SOCK_STREAM);
	npool_buf_t *c = parts(MANY, 100);
	pthread_t thread;
	void *seen;

	pthread_create(&thread, NULL, drain, &p);
	is_int(npool_buf_writev(c, p.out, 100000), 100000, "so many bytes");
	is_int(npool_buf_writev(c, p.out, 0), MANY * 100 - 100000,
	       "testGatheringWrites: all of more than IOV_MAX parts");
	close(p.out);
	pthread_join(thread, &seen);
	ok(npool_buf_readable(seen) == MANY * 100 && counts(seen, 0),
	   "testGatheringWrites: the bytes in their order");
	npool_buf_release(seen);
	npool_buf_release(c);
	close(p.in);
}

/* --- signals ------------------------------------------------------------ */

static int answer = -1;
static volatile sig_atomic_t nsignals;

static void on_alarm(int signal)
{
	(void)signal;
	nsignals++;
	if (write(answer, "x", 1) < 0)
		_exit(1);
}

static void test_signal(void)
{
	struct pair p = open_pair(SOCK_STREAM);
	struct sigaction action = { .sa_handler = on_alarm };
	npool_buf_t *b = make(0, 100);

	answer = p.out;
	sigaction(SIGALRM, &action, NULL); /* without SA_RESTART */
	ualarm(20000, 0);
	is_int(npool_buf_readv(b, p.in, 10), 1, "a read goes on behind a signal");
	is_int(nsignals, 1, "there was one");
	ualarm(20000, 0);
	is_int(npool_buf_recvmsg(b, p.in, NULL, 10, 0), 1, "a receive does too");
	npool_buf_release(b);
	close_pair(p);
}

/* --- messages ----------------------------------------------------------- */

static void test_datagrams(void)
{
	struct pair p = open_pair(SOCK_DGRAM);
	npool_buf_t *c = parts(4, 5), *many = parts(MANY, 1), *b = make(0, 100);
	struct msghdr msg = { 0 };

	is_int(npool_buf_sendmsg(c, p.out, NULL, 0), 20, "a datagram of parts");
	is_int(npool_buf_sendmsg(c, p.out, NULL, 0), 0, "an empty one");
	is_int(npool_buf_recvmsg(b, p.in, NULL, 50, 0), 20, "one comes whole");
	ok(counts(b, 0), "with its bytes");
	is_int(npool_buf_recvmsg(b, p.in, NULL, 50, 0), 0, "then the empty one");
	is_int(npool_buf_sendmsg(many, p.out, NULL, 0), MANY,
	       "one of more parts than the kernel takes goes, by a copy");
	is_size(npool_buf_readable(many), 0, "and has been read");
	is_size(npool_buf_nparts(many), MANY, "its parts are what they were");
	npool_buf_clear(b);
	is_int(npool_buf_recvmsg(b, p.in, &msg, 10, MSG_TRUNC), MANY,
	       "MSG_TRUNC says how long it was");
	is_size(npool_buf_readable(b), 10, "what there was room for is there");
	ok(msg.msg_flags & MSG_TRUNC, "the flags say so");
	npool_buf_release(b);
	npool_buf_release(c);
	npool_buf_release(many);
	close_pair(p);
}

union control {
	char bytes[CMSG_SPACE(sizeof(int))];
	struct cmsghdr align;
};

/* A descriptor goes along, with the first bytes of several writes. */
static void test_control(void)
{
	struct pair p = open_pair(SOCK_STREAM);
	npool_buf_t *c = parts(MANY, 3), *b = make(0, 100000);
	union control out = { { 0 } }, in = { { 0 } };
	struct msghdr msg = { .msg_control = out.bytes,
			      .msg_controllen = sizeof out.bytes };
	struct cmsghdr *h = CMSG_FIRSTHDR(&msg);
	int fd = -1, ncame = 0;

	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_RIGHTS;
	h->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(h), &p.out, sizeof(int));
	is_int(npool_buf_sendmsg(c, p.out, &msg, MSG_NOSIGNAL), MANY * 3,
	       "bytes of more than IOV_MAX parts, with control data");
	fcntl(p.in, F_SETFL, O_NONBLOCK);
	for (;;) {
		msg.msg_control = in.bytes;
		msg.msg_controllen = sizeof in.bytes;
		if (npool_buf_recvmsg(b, p.in, &msg, 1000, 0) <= 0)
			break;
		h = CMSG_FIRSTHDR(&msg);
		if (h && h->cmsg_type == SCM_RIGHTS) {
			memcpy(&fd, CMSG_DATA(h), sizeof fd);
			ncame++;
		}
	}
	ok(counts(b, 0) && npool_buf_readable(b) == MANY * 3, "all bytes came");
	ok(ncame == 1 && fcntl(fd, F_GETFD) >= 0, "the descriptor came once");
	close(fd);
	npool_buf_release(b);
	npool_buf_release(c);
	close_pair(p);
}

static void test_error(void)
{
	struct pair p = open_pair(SOCK_STREAM);
	npool_buf_t *c = parts(2, 3);

	close(p.in);
	is_int(npool_buf_sendmsg(c, p.out, NULL, MSG_NOSIGNAL), -1,
	       "nobody listens");
	is_int(errno, EPIPE, "EPIPE, without a signal");
	is_size(npool_buf_readable(c), 6, "nothing was read by that");
	npool_buf_release(c);
	close(p.out);
}

/* --- guessing ----------------------------------------------------------- */

/* As Netty's test: the turn counts, no read is known to have been full. */
static void turn(struct npool_buf_guess *g, size_t wanted, size_t n,
		 const char *what)
{
	is_size(npool_buf_guess_size(g), wanted, "%s", what);
	npool_buf_guess_read(g, SIZE_MAX, n);
	npool_buf_guess_done(g);
}

static void test_guess(void)
{
	static const char ramp[] =
		"rampUpBeforeReadCompleteWhenLargeDataPending";
	static const char intervals[] = "memoryAllocationIntervalsTest";
	struct npool_buf_guess g;

	npool_buf_guess_init(&g, 64, 512, 10 << 20);
	for (size_t size = 512; size < 8 << 20; size *= 16) {
		is_size(npool_buf_guess_size(&g), size, ramp);
		npool_buf_guess_read(&g, size, size);
	}
	is_size(npool_buf_guess_size(&g), 8388608, "%s: at most", ramp);
	npool_buf_guess_init(&g, 64, 512, 10 << 20);
	turn(&g, 512, 512, intervals);
	turn(&g, 8192, 1, intervals);
	turn(&g, 8192, 1, intervals);
	turn(&g, 4096, 1, intervals);
	turn(&g, 4096, 1, intervals);
	turn(&g, 2048, 1, intervals);
	npool_buf_guess_init(&g, 64, 64, 512);
	for (unsigned i = 0; i < 10; i++)
		npool_buf_guess_done(&g);
	is_size(npool_buf_guess_size(&g), 64, "not below the least");
	for (unsigned i = 0; i < 20; i++)
		npool_buf_guess_read(&g, g.size, g.size);
	is_size(npool_buf_guess_size(&g), 512, "nor above the most");
	npool_buf_guess_init(&g, 100, 100, 1000);
	is_size(npool_buf_guess_size(&g), 112, "the next size of the table");
	for (unsigned i = 0; i < 20; i++)
		npool_buf_guess_read(&g, g.size, g.size);
	is_size(npool_buf_guess_size(&g), 512, "up to one that is not larger");
	ok(npool_buf_guess_init(&g, 0, 1, 2) == EINVAL &&
	   npool_buf_guess_init(&g, 2, 1, 2) == EINVAL &&
	   npool_buf_guess_init(&g, 1, 3, 2) == EINVAL &&
	   npool_buf_guess_init(&g, 1, 1, ((size_t)1 << 30) + 1) == EINVAL,
	   "numbers out of their order or range: EINVAL");
	is_int(npool_buf_guess_init(&g, 1, 1, (size_t)1 << 30), 0,
	       "the whole range");
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	if (npool_create(&pool, NULL) != 0)
		bail_out("no pool");
	test_iovec();
	test_read();
	test_scatter();
	test_partial(parts(1, 200000), "one part");
	test_partial(parts(3000, 77), "many parts");
	test_blocking();
	test_signal();
	test_datagrams();
	test_control();
	test_error();
	test_guess();
	is_uint(figures_of(pool).used, 0, "all bytes are the pool's again");
	npool_destroy(pool);
	return done();
}
