/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * recording: the file of npool-trace record (tools/recording*.c): what was
 * written is read; what was cut off is read up to there; what was changed is
 * noticed, wherever it was.
 */
#include "recording.h"
#include "rng.h"
#include "tap.h"
#include "tool.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h> /* memfd_create */
#include <unistd.h>

#define NROUNDS 6
#define NRINGS 3
#define NEVENTS 400 /* of a ring in a round */
#define NALL (NROUNDS * NRINGS * NEVENTS)
#define NCUT 4000 /* bytes of a file that is tried at each of them */

const char tool_name[] = "recording.t";

static char path[64];
static struct event written[NALL];
static unsigned nwritten;

/* An event of any kind; addresses come again, as they do. */
static struct event any(struct rng *rng, uint64_t time_ns, unsigned ring)
{
	struct event e = {
		.kind = (uint8_t)(NP_TRACE_ALLOC +
				  rng_below(rng, NP_TRACE_KINDS - 1)),
		.time_ns = time_ns, .ring = (uint16_t)ring,
		.stack = RECORDING_NO_STACK,
	};

	if (event_kinds[e.kind].layout == LAYOUT_NONE || rng_chance(rng, 60))
		e.kind = rng_chance(rng, 50) ? NP_TRACE_ALLOC : NP_TRACE_FREE;
	e.addr = 0x7f1200000000 + 16 * rng_log(rng, 1 << 20);
	e.class = rng_below(rng, 256) & 0xff;
	e.pool = rng_chance(rng, 90) ? 0 : rng_below(rng, 64) & 0x3f;
	e.first = rng_below(rng, 32) & 0x1f;
	e.size = rng_chance(rng, 5) ? UINT64_MAX : rng_log(rng, 1 << 30);
	if (e.kind == NP_TRACE_CPU) {
		e.size = rng_below(rng, 8192);
		e.home = rng_below(rng, NP_MAX_NODES) & 0x3ff;
	}
	if (e.kind == NP_TRACE_THREAD)
		e.size = rng_below(rng, 1 << 22);
	return e;
}

static void write_ring(struct writer *w, struct rng *rng, unsigned ring,
		       uint64_t time_ns)
{
	writer_section(w, ring);
	for (unsigned i = 0; i < NEVENTS; i++) {
		uint64_t frame[] = { 0x400000 + rng_below(rng, 5),
				     0x7f0000001234, 1 };
		struct event e;

		time_ns += rng_log(rng, 1000);
		e = any(rng, time_ns, ring);
		if (e.kind == NP_TRACE_STACK)
			e.stack = writer_stack(w, frame, 3);
		writer_event(w, &e);
		written[nwritten++] = e;
	}
}

static struct written make_file(unsigned nrounds)
{
	struct writer *w = writer_open(path);
	struct rng rng = rng_seed(nrounds);

	nwritten = 0;
	writer_info(w, "key one\nother\tline\nlong key and more\n");
	writer_maps(w, "maps", 4);
	for (uint64_t i = 0; i < nrounds; i++) {
		writer_round(w, i * 1000000);
		for (unsigned ring = 0; ring < NRINGS; ring++)
			write_ring(w, &rng, ring, i * 1000000);
		writer_round_ends(w);
	}
	return writer_close(w, 42);
}

static char *slurp(size_t *size)
{
	int fd = open(path, O_RDONLY);
	char *data = malloc(1 << 20);

	*size = (size_t)read(fd, data, 1 << 20);
	close(fd);
	return data;
}

static struct reader *read_bytes(const void *data, size_t size, int *fd)
{
	*fd = memfd_create("recording", MFD_CLOEXEC);
	if (write(*fd, data, size) != (ssize_t)size ||
	    lseek(*fd, 0, SEEK_SET) != 0)
		bail_out("a file in memory cannot be written");
	return reader_open(*fd, "here");
}

/* Reads to the end. Returns how many events there are. */
static unsigned read_all(const void *data, size_t size, char **error,
			 bool *whole)
{
	unsigned n = 0;
	int fd;
	struct reader *r = read_bytes(data, size, &fd);

	while (reader_next(r))
		n++;
	*error = reader_error(r) ? strdup(reader_error(r)) : NULL;
	*whole = reader_is_whole(r);
	reader_close(r);
	close(fd);
	return n;
}

/* --- what was written is read ---------------------------------------- */

static bool same(const struct event *a, const struct event *b)
{
	enum layout layout = event_kinds[b->kind].layout;
	bool placed = layout != LAYOUT_NUMBER && layout != LAYOUT_CPU &&
		      layout != LAYOUT_STACK;

	if (a->kind != b->kind || a->time_ns != b->time_ns)
		return false;
	if (layout == LAYOUT_STACK)
		return a->stack == b->stack;
	if (layout != LAYOUT_PIECE && a->size != b->size)
		return false;
	if (layout == LAYOUT_CPU && a->home != b->home)
		return false;
	return !placed || (a->addr == b->addr && a->class == b->class &&
			   a->pool == b->pool && a->first == b->first);
}

/* The next of this ring that was not read yet. */
static const struct event *expect(unsigned ring, unsigned *next)
{
	while (*next < nwritten && written[*next].ring != ring)
		++*next;
	return *next < nwritten ? &written[(*next)++] : NULL;
}

static void test_read(void)
{
	struct written w = make_file(NROUNDS);
	unsigned next[NRINGS] = { 0 }, good = 0, back = 0, n = 0;
	uint64_t time_ns = 0;
	const struct event *e;
	struct reader *r;
	struct stack s;
	size_t size;
	char *data = slurp(&size), *value;
	int fd;

	r = read_bytes(data, size, &fd);
	while ((e = reader_next(r))) {
		const struct event *was = expect(e->ring, &next[e->ring]);

		good += was && same(e, was);
		back += e->time_ns < time_ns;
		time_ns = e->time_ns;
		n++;
	}
	is_uint(n, NALL, "all events are read");
	is_uint(good, NALL, "each as it was written, in its ring's order");
	is_uint(back, 0, "and all of them in the order of time");
	ok(reader_is_whole(r) && !reader_error(r), "the file is whole");
	is_uint(w.events, NALL, "the writer has counted them");
	is_uint(w.bytes, size, "and its bytes");
	is_uint(reader_nstacks(r), 5, "stacks are stored once");
	s = reader_stack(r, 0);
	ok(s.n == 3 && s.frame[0] >= 0x400000 && s.frame[0] < 0x400005 &&
	   s.frame[1] == 0x7f0000001234 && s.frame[2] == 1,
	   "with their frames");
	value = reader_value(r, "key");
	is_str(value, "one", "a line of text is found by its key");
	free(value);
	value = reader_value(r, "long");
	is_str(value, "key and more", "to the line's end");
	free(value);
	ok(!reader_value(r, "ke") && !reader_value(r, "other"),
	   "and not by a part of it");
	is_str(reader_maps(r), "maps", "the mappings are there");
	reader_close(r);
	close(fd);
	free(data);
}

/* --- cut off, changed ------------------------------------------------ */

static void test_cut(void)
{
	unsigned silent = 0, most = 0, rising = 0, before = 0;
	size_t size;
	char *data, *error;
	bool whole;

	make_file(2);
	data = slurp(&size);
	for (size_t i = FILE_MAGIC_SIZE; i < size; i += 1 + size / NCUT) {
		unsigned n = read_all(data, i, &error, &whole);

		silent += !error && !whole;
		most += 1;
		rising += n >= before;
		before = n;
		free(error);
	}
	is_uint(silent, most, "cut off anywhere, it is read, and not whole");
	is_uint(rising, most, "the longer it is, the more is read");
	is_uint(before, nwritten, "all, when only the end is missing");
	read_all(data, 3, &error, &whole);
	ok(error && strstr(error, "no recording"), "of a part of the magic "
	   "nothing is");
	free(error);
	free(data);
}

static void test_changed(void)
{
	unsigned noticed = 0, n = 0, told = 0;
	size_t size;
	char *data, *error;
	bool whole;

	make_file(2);
	data = slurp(&size);
	for (size_t i = 0; i < size; i += 1 + size / NCUT) {
		data[i] ^= 0x10;
		read_all(data, size, &error, &whole);
		noticed += error || !whole;
		told += error && strstr(error, "here: at offset ");
		n++;
		free(error);
		data[i] ^= 0x10;
	}
	is_uint(noticed, n, "a bit that was changed anywhere is noticed");
	ok(told >= n - 1, "and its frame's offset is told");
	free(data);
}

static void test_other(void)
{
	static const char version[] = "\x89npt\r\n\x1a\x02more";
	char *error;
	bool whole;

	read_all("", 0, &error, &whole);
	is_str(error, "here: at offset 0: this is no recording of npool-trace",
	       "an empty file is none");
	free(error);
	read_all(version, sizeof version, &error, &whole);
	is_str(error, "here: at offset 0: version 2 of recordings is not known",
	       "nor one of a version to come");
	free(error);
}

int main(void)
{
	plan(12 + 4 + 2 + 2);
	snprintf(path, sizeof path, "/dev/shm/npool-recording.%d",
		 (int)getpid());
	test_read();
	test_cut();
	test_changed();
	test_other();
	unlink(path);
	return done();
}
