/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * bufio: buffers (buf.h) and file descriptors: bytes go from where they lie to
 * the kernel and back, however many parts they lie in. And a guess at how much
 * the next read will bring.
 *
 * Source: readv(2), sendmsg(2), socket(7); Netty 4.1.48, IovArray and
 * AdaptiveRecvByteBufAllocator.
 */
#include "buf.h"

#include <errno.h>
#include <limits.h> /* IOV_MAX */
#include <sys/socket.h>
#include <sys/uio.h>

/* --- where bytes lie -------------------------------------------------- */

/* Entries for n bytes from index, which are there; *n is then how many of them
 * have one. Returns how many entries. */
static size_t fill(const npool_buf_t *b, size_t index, size_t *n,
		   struct iovec *iov, size_t niov)
{
	size_t left = *n, used = 0;

	while (left && used < niov) {
		size_t some = left;

		iov[used].iov_base = np_buf_span(b, index, &some);
		iov[used++].iov_len = some;
		index += some, left -= some;
	}
	*n -= left;
	return used;
}

/* How many of the readable bytes may go, by a bound of which 0 is none; what a
 * view or a part has lost does not. */
static size_t sendable(const npool_buf_t *b, size_t max)
{
	size_t n = npool_buf_readable(b);

	if (max && max < n)
		n = max;
	return np_buf_has(b, b->reader, n) ? n : 0;
}

size_t npool_buf_iovec(const npool_buf_t *buf, struct iovec *iov, size_t niov,
		       size_t max)
{
	size_t n;

	NP_BUF_CHECK(buf);
	n = sendable(buf, max);
	return fill(buf, buf->reader, &n, iov, niov);
}

/* --- in --------------------------------------------------------------- */

/* Makes room for max bytes, or says how much there is. Returns how many bytes
 * may come, or 0 with errno. */
static size_t room_for(npool_buf_t *b, size_t max)
{
	size_t n = max ? max : npool_buf_writable(b);
	int error = !n ? ENOBUFS : npool_buf_ensure_writable(b, n);

	if (!error && !np_buf_has(b, b->writer, n))
		error = ERANGE;
	if (!error)
		return n;
	errno = error;
	return 0;
}

/* Reads, or receives with msg, into room bytes behind the writer. */
static ssize_t take_in(npool_buf_t *b, int fd, struct msghdr *msg, int flags,
		       size_t room)
{
	struct iovec iov[IOV_MAX];
	size_t used = fill(b, b->writer, &room, iov, IOV_MAX);
	ssize_t n;

	if (msg) {
		msg->msg_iov = iov;
		msg->msg_iovlen = used;
	}
	do
		n = msg ? recvmsg(fd, msg, flags) : readv(fd, iov, (int)used);
	while (n < 0 && errno == EINTR);
	/* With MSG_TRUNC it is the length that the datagram had. */
	if (n > 0)
		b->writer += (uint32_t)((size_t)n < room ? (size_t)n : room);
	return n;
}

ssize_t npool_buf_readv(npool_buf_t *buf, int fd, size_t max)
{
	size_t room;

	NP_BUF_CHECK(buf);
	room = room_for(buf, max);
	return room ? take_in(buf, fd, NULL, 0, room) : -1;
}

ssize_t npool_buf_recvmsg(npool_buf_t *buf, int fd, struct msghdr *msg,
			  size_t max, int flags)
{
	struct msghdr own = { 0 };
	size_t room;
	ssize_t n;

	NP_BUF_CHECK(buf);
	if (msg)
		own = *msg;
	room = room_for(buf, max);
	if (!room)
		return -1;
	n = take_in(buf, fd, &own, flags, room);
	if (msg && n >= 0) {
		msg->msg_namelen = own.msg_namelen;
		msg->msg_controllen = own.msg_controllen;
		msg->msg_flags = own.msg_flags;
	}
	return n;
}

/* --- out -------------------------------------------------------------- */

/* Writes, or sends with msg, n bytes once, or as many of them as one call can
 * take; at least 0 of them went, or -1. */
static ssize_t send_out(npool_buf_t *b, int fd, struct msghdr *msg, int flags,
			size_t n)
{
	struct iovec iov[IOV_MAX];
	size_t used = fill(b, b->reader, &n, iov, IOV_MAX);
	ssize_t sent;

	if (msg) {
		msg->msg_iov = iov;
		msg->msg_iovlen = used;
	}
	do
		sent = msg ? sendmsg(fd, msg, flags)
			   : writev(fd, iov, (int)used);
	while (sent < 0 && errno == EINTR);
	if (sent > 0)
		b->reader += (uint32_t)sent;
	return sent;
}

/* Until n bytes went, or no more do. */
static ssize_t send_all(npool_buf_t *b, int fd, struct msghdr *msg, int flags,
			size_t n)
{
	size_t done = 0;
	ssize_t sent;

	do {
		sent = send_out(b, fd, msg, flags, n - done);
		if (sent > 0)
			done += (size_t)sent;
		if (msg) /* went with the first bytes */
			msg->msg_control = NULL, msg->msg_controllen = 0;
	} while (sent > 0 && done < n);
	return done ? (ssize_t)done : sent;
}

ssize_t npool_buf_writev(npool_buf_t *buf, int fd, size_t max)
{
	size_t n;

	NP_BUF_CHECK(buf);
	n = sendable(buf, max);
	return n ? send_all(buf, fd, NULL, 0, n) : 0;
}

/* Do the n bytes lie in more parts than one call can take, of what must go by
 * one? */
static bool is_cut(const npool_buf_t *b, int fd, size_t n)
{
	struct iovec iov[IOV_MAX];
	size_t whole = n;
	socklen_t size = sizeof(int);
	int type;

	if (np_buf_root(b)->kind != NP_BUF_COMPOSITE)
		return false;
	fill(b, b->reader, &n, iov, IOV_MAX);
	return n < whole &&
	       getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 &&
	       type != SOCK_STREAM;
}

/* Sends a copy that lies in one. */
static ssize_t send_copy(npool_buf_t *b, int fd, struct msghdr *msg, int flags,
			 size_t n)
{
	npool_buf_t *copy = npool_buf_copy(b, b->reader, n);
	ssize_t sent;

	if (!copy)
		return -1;
	sent = send_all(copy, fd, msg, flags, n);
	npool_buf_release(copy);
	if (sent > 0)
		b->reader += (uint32_t)sent;
	return sent;
}

ssize_t npool_buf_sendmsg(npool_buf_t *buf, int fd, const struct msghdr *msg,
			  int flags)
{
	struct msghdr own = { 0 };
	size_t n;

	NP_BUF_CHECK(buf);
	if (msg)
		own = *msg;
	n = sendable(buf, 0);
	return is_cut(buf, fd, n) ? send_copy(buf, fd, &own, flags, n)
				  : send_all(buf, fd, &own, flags, n);
}

/* --- how much to read ------------------------------------------------- */

/* 16, 32 .. 496, 512, 1024 .. 1 GiB. */
#define SMALL_SIZES 31u
#define NSIZES 53u
#define STEP_UP 4u

static size_t size_of(uint32_t index)
{
	return index < SMALL_SIZES ? 16 * ((size_t)index + 1)
				   : (size_t)512 << (index - SMALL_SIZES);
}

/* The smallest size of at least n bytes. */
static uint32_t index_for(size_t n)
{
	uint32_t index = 0;

	while (index < NSIZES - 1 && size_of(index) < n)
		index++;
	return index;
}

static void go_to(struct npool_buf_guess *g, uint32_t index)
{
	g->index = index;
	g->size = size_of(index);
	g->shrink = 0;
}

int npool_buf_guess_init(struct npool_buf_guess *guess, size_t min,
			 size_t initial, size_t max)
{
	if (!min || min > initial || initial > max ||
	    max > size_of(NSIZES - 1))
		return EINVAL;
	*guess = (struct npool_buf_guess){ .lowest = index_for(min),
					   .highest = index_for(max) };
	if (guess->highest > guess->lowest && size_of(guess->highest) > max)
		guess->highest--;
	go_to(guess, index_for(initial) < guess->highest
		? index_for(initial) : guess->highest);
	return 0;
}

size_t npool_buf_guess_size(const struct npool_buf_guess *guess)
{
	return guess->size;
}

static void record(struct npool_buf_guess *g, size_t n)
{
	uint32_t below = g->index ? g->index - 1 : 0;
	uint32_t above = g->index + STEP_UP;

	if (n <= size_of(below)) {
		if (g->shrink)
			go_to(g, below > g->lowest ? below : g->lowest);
		else
			g->shrink = 1;
	} else if (n >= g->size) {
		go_to(g, above < g->highest ? above : g->highest);
	}
}

void npool_buf_guess_read(struct npool_buf_guess *guess, size_t room, size_t n)
{
	if (n == room)
		record(guess, n);
	guess->total += n;
}

void npool_buf_guess_done(struct npool_buf_guess *guess)
{
	record(guess, guess->total);
	guess->total = 0;
}
