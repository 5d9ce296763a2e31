/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * shared-offsets: two processes share a memory file, each mapped wherever the
 * kernel likes. The first one hands out parts of it by a chunk of npool_chunk,
 * fills them and sends their handles; the second one works on the bytes in
 * place and sends the handles back, in another order. No byte is copied, and
 * no pointer is sent: a handle means the same in both.
 *
 * The second one does not trust the first: it has a chunk of its own, of the
 * same shape, in which it claims each handle that comes. What is no handle, or
 * overlaps another, is noticed.
 *
 *	shared-offsets [MESSAGES]
 *
 *	cc -o shared-offsets shared-offsets.c \
 *		$(pkg-config --cflags --libs npool)
 */
#define _GNU_SOURCE
#include <npool_chunk.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE_SIZE 4096
#define MAX_ORDER 8 /* 1 MiB */
#define WINDOW 64   /* messages that are out at a time, at most */
#define HANDFUL 8   /* that the second process answers at a time */

static const struct npool_shape shape = { PAGE_SIZE, MAX_ORDER, NPOOL_FINE };
static char meta[NPOOL_CHUNK_META(PAGE_SIZE, MAX_ORDER)];
static npool_chunk_t *chunk; /* of this process */
static unsigned char *base;  /* where it has the file */

struct message {
	npool_handle_t handle;
	uint64_t length; /* of the handle */
	uint64_t number;
};

static _Noreturn void fail(const char *what, int error)
{
	fprintf(stderr, "shared-offsets: %s%s%s\n", what, error ? ": " : "",
		error ? strerror(error) : "");
	exit(1);
}

static npool_chunk_t *make_chunk(void)
{
	npool_chunk_t *made;
	int error = npool_chunk_create(&made, &shape, meta, sizeof meta);

	if (error)
		fail("npool_chunk_create", error);
	return made;
}

static unsigned char *map_file(int fd, size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		fail("mmap", errno);
	return p;
}

/* Waits for a message, or with MSG_DONTWAIT looks for one. 1: one came; 0: the
 * other process has ended it; -1: there is none now. */
static int receive(int sock, struct message *m, int flags)
{
	ssize_t n = recv(sock, m, sizeof *m, flags);

	if (n < 0 && errno == EAGAIN)
		return -1;
	if (n < 0)
		fail("recv", errno);
	if (n && n != sizeof *m)
		fail("a message of another size", 0);
	return n != 0;
}

static void post(int sock, const struct message *m)
{
	if (send(sock, m, sizeof *m, MSG_NOSIGNAL) != sizeof *m)
		fail("send", errno);
}

/* --- the second process ------------------------------------------------- */

static void work(unsigned char *p, size_t length)
{
	for (size_t i = 0; i < length; i++)
		p[i] ^= 0xff;
}

static void accept_message(const struct message *m)
{
	int error = npool_chunk_claim(chunk, m->handle, m->length);

	if (error)
		fail("a handle that cannot be", error);
	work(base + npool_chunk_offset(chunk, m->handle), m->length);
}

/* Takes what has come, up to a handful, and answers the newest first. */
static int second(int fd, int sock)
{
	struct message held[HANDFUL];
	int n = 0, came;

	chunk = make_chunk();
	base = map_file(fd, npool_chunk_size(chunk));
	do {
		came = receive(sock, &held[n], n ? MSG_DONTWAIT : 0);
		if (came == 1)
			accept_message(&held[n++]);
		if (came == 1 && n < HANDFUL)
			continue;
		while (n) {
			npool_chunk_free(chunk, held[--n].handle);
			post(sock, &held[n]);
		}
	} while (came);
	npool_chunk_trim(chunk);
	return npool_chunk_free_bytes(chunk) != npool_chunk_size(chunk);
}

/* --- the first process --------------------------------------------------- */

static struct message out[WINDOW];
static int nout;
static unsigned long wrong;

static unsigned char pattern(uint64_t number, size_t i)
{
	return (unsigned char)(number * 31 + i * 7);
}

static void take_answer(int sock)
{
	struct message m;
	const unsigned char *p;
	int k = 0;

	if (!receive(sock, &m, 0))
		fail("the second process has ended", 0);
	while (k < nout && out[k].number != m.number)
		k++;
	if (k == nout || out[k].handle != m.handle)
		fail("an answer to nothing", 0);
	p = base + npool_chunk_offset(chunk, m.handle);
	for (size_t i = 0; i < m.length; i++)
		if (p[i] != (pattern(m.number, i) ^ 0xff)) {
			wrong++;
			break;
		}
	npool_chunk_free(chunk, m.handle);
	out[k] = out[--nout];
}

/* Sizes from 1 byte to some pages; the memory is full now and then. */
static void ask(int sock, uint64_t number)
{
	size_t size = 1 + number * number * 2654435761u % 50000;
	struct message m = { .number = number };
	unsigned char *p;

	while (nout == WINDOW ||
	       !(m.handle = npool_chunk_alloc(chunk, size)))
		take_answer(sock);
	m.length = npool_chunk_length(chunk, m.handle);
	p = base + npool_chunk_offset(chunk, m.handle);
	for (size_t i = 0; i < m.length; i++)
		p[i] = pattern(number, i);
	out[nout++] = m;
	post(sock, &m);
}

static int first(int fd, int sock, unsigned long nmessages, pid_t child)
{
	int status;

	chunk = make_chunk();
	base = map_file(fd, npool_chunk_size(chunk));
	for (unsigned long i = 1; i <= nmessages; i++)
		ask(sock, i);
	while (nout)
		take_answer(sock);
	if (shutdown(sock, SHUT_WR) || waitpid(child, &status, 0) != child)
		fail("the second process", errno);
	npool_chunk_trim(chunk);
	printf("%lu messages, %lu wrong; %zu of %zu bytes are free again\n",
	       nmessages, wrong, npool_chunk_free_bytes(chunk),
	       npool_chunk_size(chunk));
	return status || wrong || npool_chunk_usage(chunk);
}

/* A file in memory that nobody can make smaller: who has it mapped does not
 * fault. */
static int make_file(void)
{
	int fd = memfd_create("shared-offsets", MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, (off_t)PAGE_SIZE << MAX_ORDER) ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW))
		fail("memfd_create", errno);
	return fd;
}

int main(int argc, char **argv)
{
	unsigned long nmessages = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000;
	char fd_text[16], sock_text[16];
	int fd, sock[2];
	pid_t child;

	if (argc == 4 && !strcmp(argv[1], "--second"))
		return second(atoi(argv[2]), atoi(argv[3]));
	if (argc > 2 || !nmessages) {
		fprintf(stderr, "usage: shared-offsets [MESSAGES]\n");
		return 2;
	}
	fd = make_file();
	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sock))
		fail("socketpair", errno);
	child = fork();
	if (child < 0)
		fail("fork", errno);
	if (!child) {
		close(sock[0]);
		snprintf(fd_text, sizeof fd_text, "%d", fd);
		snprintf(sock_text, sizeof sock_text, "%d", sock[1]);
		execl("/proc/self/exe", argv[0], "--second", fd_text,
		      sock_text, (char *)NULL);
		fail("exec", errno);
	}
	close(sock[1]);
	return first(fd, sock[0], nmessages, child);
}
