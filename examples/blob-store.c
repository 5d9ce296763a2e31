/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * blob-store: keeps named blobs in one file, whose bytes a chunk of npool_chunk
 * hands out. The chunk's metadata is in memory alone: each start builds it up
 * again by walking the handles in the file's directory.
 *
 *	file	| directory: head, entries | blobs, wherever the chunk has room |
 *
 * The directory is the chunk's first run. A blob is written and synced before
 * the entry that names it, and an entry is cleared before its bytes are handed
 * out again; an entry is written by one call and lies in one sector. So who is
 * killed at any moment leaves a store that is whole, with or without the blob.
 *
 *	blob-store FILE put NAME [OLD-FILE]	from standard input or OLD-FILE
 *	blob-store FILE get NAME		to standard output
 *	blob-store FILE del NAME
 *	blob-store FILE list
 *	blob-store FILE check
 *
 *	cc -o blob-store blob-store.c $(pkg-config --cflags --libs npool)
 */
#define _GNU_SOURCE
#include <npool_chunk.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h> /* flock */
#include <unistd.h>

#define PAGE_SIZE 4096
#define MAX_ORDER 12 /* 16 MiB in all; the file is as long as it must be */
#define DIRECTORY_PAGES 4
#define ENTRY_SIZE 128
#define NENTRIES (DIRECTORY_PAGES * PAGE_SIZE / ENTRY_SIZE)
#define NAME_SIZE 96

/* One of 128; all bytes zero: free. The first one is the file's head. */
struct entry {
	uint64_t handle;
	uint32_t length; /* of the handle, in bytes */
	uint32_t size;	 /* of the blob */
	uint64_t sum;	 /* of its bytes */
	uint64_t unused;
	char name[NAME_SIZE];
};

_Static_assert(sizeof(struct entry) == ENTRY_SIZE, "entries fill sectors");

static const char magic[] = "npool blob store, pages of 4 KiB, order 12";

static char meta[NPOOL_CHUNK_META(PAGE_SIZE, MAX_ORDER)];
static npool_chunk_t *chunk;
static struct entry directory[NENTRIES];
static const char *path;
static int fd;

static _Noreturn void fail(const char *what, const char *which, int error)
{
	fprintf(stderr, "blob-store: %s: %s%s%s%s\n", path, what, which,
		error ? ": " : "", error ? strerror(error) : "");
	exit(1);
}

/* --- bytes ------------------------------------------------------------- */

static void read_at(void *buf, size_t size, off_t at)
{
	char *p = buf;

	while (size) {
		ssize_t n = pread(fd, p, size, at);

		if (n < 0 && errno != EINTR)
			fail("read", "", errno);
		if (!n) { /* behind the end there are zeros */
			memset(p, 0, size);
			return;
		}
		if (n > 0)
			p += n, at += n, size -= (size_t)n;
	}
}

static void write_at(const void *buf, size_t size, off_t at)
{
	const char *p = buf;

	while (size) {
		ssize_t n = pwrite(fd, p, size, at);

		if (n < 0 && errno != EINTR)
			fail("write", "", errno);
		if (n > 0)
			p += n, at += n, size -= (size_t)n;
	}
	if (fdatasync(fd))
		fail("write", "", errno);
}

/* Source: Fowler, Noll and Vo, FNV-1a. */
static uint64_t sum_of(const unsigned char *p, size_t size)
{
	uint64_t sum = 0xcbf29ce484222325;

	while (size--)
		sum = (sum ^ *p++) * 0x100000001b3;
	return sum;
}

static void *room_for(size_t size)
{
	void *p = malloc(size ? size : 1);

	if (!p)
		fail("no memory", "", 0);
	return p;
}

/* --- the store --------------------------------------------------------- */

static void write_entry(const struct entry *e)
{
	write_at(e, sizeof *e, (e - directory) * ENTRY_SIZE);
}

/* Claims the directory and all that it names: what the chunk then hands out is
 * nobody's. */
static void build_up(void)
{
	const struct npool_shape shape = { PAGE_SIZE, MAX_ORDER, NPOOL_FINE };
	npool_handle_t first;
	int error = npool_chunk_create(&chunk, &shape, meta, sizeof meta);

	if (error)
		fail("no chunk", "", error);
	first = npool_page_alloc(chunk, DIRECTORY_PAGES);
	if (npool_chunk_offset(chunk, first) != 0)
		fail("the directory is not at its place", "", 0);
	for (int i = 1; i < NENTRIES; i++) {
		const struct entry *e = &directory[i];

		if (!e->handle)
			continue;
		error = npool_chunk_claim(chunk, e->handle, e->length);
		if (error || e->size > e->length || e->name[NAME_SIZE - 1])
			fail("damaged: entry of ", e->name, error);
	}
}

static void open_store(int writes)
{
	fd = open(path, writes ? O_RDWR | O_CREAT | O_CLOEXEC :
		  O_RDONLY | O_CLOEXEC, 0666);
	if (fd < 0)
		fail("open", "", errno);
	if (flock(fd, writes ? LOCK_EX : LOCK_SH))
		fail("lock", "", errno);
	read_at(directory, sizeof directory, 0);
	if (!directory[0].name[0] && writes) {
		memcpy(directory[0].name, magic, sizeof magic);
		write_entry(&directory[0]);
	}
	if (memcmp(directory[0].name, magic, sizeof magic))
		fail("not a blob store", "", 0);
	build_up();
}

static struct entry *find(const char *name)
{
	for (int i = 1; i < NENTRIES; i++)
		if (directory[i].handle && !strcmp(directory[i].name, name))
			return &directory[i];
	return NULL;
}

static struct entry *find_free(void)
{
	for (int i = 1; i < NENTRIES; i++)
		if (!directory[i].handle)
			return &directory[i];
	fail("the directory is full", "", 0);
}

/* The blob's bytes, checked; to be freed. */
static unsigned char *load(const struct entry *e)
{
	ptrdiff_t at = npool_chunk_offset(chunk, e->handle);
	unsigned char *p = room_for(e->size);

	read_at(p, e->size, at);
	if (sum_of(p, e->size) != e->sum)
		fail("damaged: bytes of ", e->name, 0);
	return p;
}

/* --- commands ---------------------------------------------------------- */

static unsigned char *read_all(FILE *in, size_t *size)
{
	size_t room = 1 << 16;
	unsigned char *p = room_for(room);

	*size = 0;
	while (!feof(in)) {
		if (*size == room) {
			room *= 2;
			p = realloc(p, room);
			if (!p)
				fail("no memory", "", 0);
		}
		*size += fread(p + *size, 1, room - *size, in);
		if (ferror(in))
			fail("cannot read what is to be put", "", errno);
	}
	return p;
}

static void put(const char *name, FILE *in)
{
	struct entry *e = find(name), old = { .handle = 0 };
	struct entry fresh = { .handle = 0 };
	size_t size;
	unsigned char *p = read_all(in, &size);

	if (!e)
		e = find_free();
	else
		old = *e;
	fresh.handle = npool_chunk_alloc(chunk, size ? size : 1);
	if (!fresh.handle)
		fail("no room for ", name, errno);
	fresh.length = (uint32_t)npool_chunk_length(chunk, fresh.handle);
	fresh.size = (uint32_t)size;
	fresh.sum = sum_of(p, size);
	memcpy(fresh.name, name, strlen(name));
	write_at(p, size, npool_chunk_offset(chunk, fresh.handle));
	*e = fresh;
	write_entry(e);
	if (old.handle)
		npool_chunk_free(chunk, old.handle);
	free(p);
}

static struct entry *need(const char *name)
{
	struct entry *e = find(name);

	if (!e)
		fail("no such blob: ", name, 0);
	return e;
}

static void get(const char *name)
{
	const struct entry *e = need(name);
	unsigned char *p = load(e);

	if (fwrite(p, 1, e->size, stdout) != e->size || fflush(stdout))
		fail("cannot print ", name, errno);
	free(p);
}

static void del(const char *name)
{
	struct entry *e = need(name), old = *e;

	memset(e, 0, sizeof *e);
	write_entry(e);
	npool_chunk_free(chunk, old.handle);
}

static void list(void)
{
	for (int i = 1; i < NENTRIES; i++) {
		const struct entry *e = &directory[i];

		if (e->handle)
			printf("%8" PRIu32 " bytes at %8td, handle 0x%016"
			       PRIx64 "  %s\n", e->size,
			       npool_chunk_offset(chunk, e->handle), e->handle,
			       e->name);
	}
}

static int count(const struct npool_page *page, void *arg)
{
	size_t *pieces = arg;

	if (page->state == NPOOL_PAGE_RUN)
		++*pieces;
	*pieces += page->used;
	return 0;
}

/* All that the chunk has handed out is a blob, and each has its bytes. */
static void check(void)
{
	size_t nblobs = 0, pieces = 0;

	for (int i = 1; i < NENTRIES; i++)
		if (directory[i].handle) {
			free(load(&directory[i]));
			nblobs++;
		}
	npool_page_walk(chunk, count, &pieces);
	if (!npool_chunk_valid(chunk) || pieces != nblobs + 1)
		fail("the chunk is not as the directory says", "", 0);
	printf("%zu blobs, %zu of %zu bytes free\n", nblobs,
	       npool_chunk_free_bytes(chunk), npool_chunk_size(chunk));
}

static int usage(FILE *to)
{
	fputs("usage: blob-store FILE put NAME [OLD-FILE]\n"
	      "       blob-store FILE get|del NAME\n"
	      "       blob-store FILE list|check\n", to);
	return to == stdout ? 0 : 2;
}

int main(int argc, char **argv)
{
	const char *what = argc > 2 ? argv[2] : "", *name = argv[3];

	if (argc == 2 && !strcmp(argv[1], "--help"))
		return usage(stdout);
	path = argv[1];
	if ((argc == 4 || argc == 5) && !strcmp(what, "put")) {
		FILE *in = argc == 5 ? fopen(argv[4], "re") : stdin;

		if (!in)
			fail("cannot open ", argv[4], errno);
		if (!*name || strlen(name) >= NAME_SIZE)
			fail("not a name: ", name, 0);
		open_store(1);
		put(name, in);
	} else if (argc == 4 && !strcmp(what, "get")) {
		open_store(0);
		get(name);
	} else if (argc == 4 && !strcmp(what, "del")) {
		open_store(1);
		del(name);
	} else if (argc == 3 && !strcmp(what, "list")) {
		open_store(0);
		list();
	} else if (argc == 3 && !strcmp(what, "check")) {
		open_store(0);
		check();
	} else {
		return usage(stderr);
	}
	npool_chunk_destroy(chunk);
	return 0;
}
