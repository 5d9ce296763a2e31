/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * recording-write: see recording.h.
 */
#include "recording.h"
#include "tool.h"

#include <errno.h>
#include <fcntl.h> /* open */
#include <stdlib.h>
#include <string.h>
#include <unistd.h> /* write, close */
#ifdef HAVE_ZSTD
#include <zstd.h>
#endif

#define LEVEL 1	    /* of compression: the tool must keep up */
#define EVENT_MOST 64 /* bytes that one takes, without its frames */
#define VARINT_MOST 10

struct bytes {
	uint8_t *at;
	size_t n, room;
};

struct writer {
	const char *path;
	int fd;
	struct written written;
	struct bytes round;   /* its payload, but for the open section */
	struct bytes section; /* events of the open one */
	struct bytes fresh;   /* stacks that are not in the file yet */
	unsigned nsections;
	int ring;	      /* of the open one; -1: none is open */
	uint64_t round_ns;
	struct coding coding;
	uint8_t *packed;      /* room for a compressed frame */
	size_t packed_room;
	/* Stacks that have a number: a table of numbers + 1, by their hash. */
	uint32_t *by_hash;
	uint32_t nstacks, hash_size;
	struct stored_stack {
		uint64_t *frame;
		uint32_t n;
	} *stacks;
#ifdef HAVE_ZSTD
	ZSTD_CCtx *zstd;
#endif
};

/* --- bytes ----------------------------------------------------------- */

static inline void need(struct bytes *b, size_t more)
{
	if (b->room - b->n >= more)
		return;
	b->room = 2 * (b->n + more);
	b->at = realloc(b->at, b->room);
	if (!b->at)
		give_up(EXIT_SELF, "out of memory");
}

/* There is room. */
static inline void put(struct bytes *b, uint64_t n)
{
	for (; n >= 0x80; n >>= 7)
		b->at[b->n++] = (uint8_t)(n | 0x80);
	b->at[b->n++] = (uint8_t)n;
}

static inline uint64_t zigzag(uint64_t change)
{
	return change << 1 ^ (uint64_t)((int64_t)change >> 63);
}

static void put_bytes(struct bytes *b, const void *data, size_t n)
{
	need(b, n);
	memcpy(b->at + b->n, data, n);
	b->n += n;
}

/* --- frames ---------------------------------------------------------- */

static void write_all(struct writer *w, const void *data, size_t size)
{
	for (const char *p = data; size;) {
		ssize_t n = write(w->fd, p, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			give_up(EXIT_SELF, "%s: %s", w->path, strerror(errno));
		p += n;
		size -= (size_t)n;
		w->written.bytes += (uint64_t)n;
	}
}

static void put_u32(uint8_t *at, uint32_t n)
{
	for (unsigned i = 0; i < 4; i++)
		at[i] = (uint8_t)(n >> 8 * i);
}

/* Compresses a payload, if that makes it smaller. Returns its bytes; *payload:
 * where they are. */
static size_t pack(struct writer *w, const void **payload, size_t size)
{
#ifdef HAVE_ZSTD
	size_t most = ZSTD_compressBound(size), n;

	if (most > w->packed_room) {
		free(w->packed);
		w->packed = get_memory(1, most);
		w->packed_room = most;
	}
	n = ZSTD_compressCCtx(w->zstd, w->packed, w->packed_room, *payload,
			      size, LEVEL);
	if (!ZSTD_isError(n) && n < size) {
		*payload = w->packed;
		return n;
	}
#else
	(void)w;
	(void)payload;
#endif
	return size;
}

/* In one write: who is killed has written it or not. */
static void write_frame(struct writer *w, uint32_t type, const void *payload,
			size_t size)
{
	struct bytes frame = { 0 };
	uint8_t head[FRAME_HEAD_SIZE];
	size_t n = pack(w, &payload, size);

	put_u32(head, type);
	put_u32(head + 4, (uint32_t)n);
	put_u32(head + 8, (uint32_t)size);
	put_u32(head + 12, crc32_of(payload, n));
	put_u32(head + 16, crc32_of(head, 16));
	put_bytes(&frame, head, sizeof head);
	put_bytes(&frame, payload, n);
	write_all(w, frame.at, frame.n);
	free(frame.at);
}

void writer_info(struct writer *w, const char *text)
{
	write_frame(w, FRAME_INFO, text, strlen(text));
}

void writer_maps(struct writer *w, const char *text, size_t size)
{
	write_frame(w, FRAME_MAPS, text, size);
}

struct writer *writer_open(const char *path)
{
	struct writer *w = get_memory(1, sizeof *w);

	w->path = path;
	w->ring = -1;
	w->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY,
		     0666);
	if (w->fd < 0)
		give_up(EXIT_SELF, "%s: %s", path, strerror(errno));
#ifdef HAVE_ZSTD
	w->zstd = ZSTD_createCCtx();
	if (!w->zstd)
		give_up(EXIT_SELF, "out of memory");
#endif
	write_all(w, FILE_MAGIC, FILE_MAGIC_SIZE);
	return w;
}

/* --- stacks ---------------------------------------------------------- */

static uint64_t hash_of(const uint64_t *frame, uint32_t n)
{
	uint64_t hash = n;

	for (uint32_t i = 0; i < n; i++)
		hash = (hash ^ frame[i]) * UINT64_C(0x9e3779b97f4a7c15) ^
		       hash >> 29;
	return hash ^ hash >> 32;
}

/* Its place in the table: its own, or a free one. */
static uint32_t *place_of(struct writer *w, const uint64_t *frame, uint32_t n)
{
	uint32_t i = (uint32_t)hash_of(frame, n) & (w->hash_size - 1);

	for (;; i = (i + 1) & (w->hash_size - 1)) {
		const struct stored_stack *s;

		if (!w->by_hash[i])
			return &w->by_hash[i];
		s = &w->stacks[w->by_hash[i] - 1];
		if (s->n == n && !memcmp(s->frame, frame, n * sizeof *frame))
			return &w->by_hash[i];
	}
}

static void grow_table(struct writer *w)
{
	free(w->by_hash);
	w->hash_size = w->hash_size ? 2 * w->hash_size : 1024;
	w->by_hash = get_memory(w->hash_size, sizeof *w->by_hash);
	for (uint32_t i = 0; i < w->nstacks; i++)
		*place_of(w, w->stacks[i].frame, w->stacks[i].n) = i + 1;
}

static void put_stack(struct bytes *b, const uint64_t *frame, uint32_t n)
{
	uint64_t last = 0;

	need(b, (RECORDING_STACK_MAX + 1) * VARINT_MOST);
	put(b, n);
	for (uint32_t i = 0; i < n; i++) {
		put(b, zigzag(frame[i] - last));
		last = frame[i];
	}
}

uint32_t writer_stack(struct writer *w, const uint64_t *frame, uint32_t n)
{
	uint32_t *place;
	struct stored_stack *s;

	if (2 * w->nstacks >= w->hash_size)
		grow_table(w);
	place = place_of(w, frame, n);
	if (*place)
		return *place - 1;
	w->stacks = grow(w->stacks, w->nstacks, sizeof *w->stacks);
	s = &w->stacks[w->nstacks++];
	s->n = n;
	s->frame = get_memory(n, sizeof *frame);
	memcpy(s->frame, frame, n * sizeof *frame);
	put_stack(&w->fresh, frame, n);
	return *place = w->nstacks, w->nstacks - 1;
}

uint32_t writer_nstacks(const struct writer *w)
{
	return w->nstacks;
}

/* --- events ---------------------------------------------------------- */

static inline void put_addr(struct writer *w, uint64_t addr)
{
	put(&w->section, zigzag(addr / 16 - w->coding.last_addr / 16));
	w->coding.last_addr = addr;
}

static inline void put_place(struct bytes *b, const struct event *e)
{
	put(b, e->class | (uint64_t)e->first << 8 | (uint64_t)e->pool << 13);
}

/* What is recent is told in two bytes. */
static inline void put_piece(struct writer *w, const struct event *e,
			     uint8_t *code, bool is_sized)
{
	unsigned slot = recent_slot(e->addr);
	struct recent *r = &w->coding.recent[slot];

	if (r->addr == e->addr && r->class == e->class && r->pool == e->pool &&
	    r->first == e->first) {
		*code |= CODE_RECENT;
		w->section.at[w->section.n++] = (uint8_t)slot;
		w->coding.last_addr = e->addr;
	} else {
		put_addr(w, e->addr);
		put_place(&w->section, e);
		*r = (struct recent){ e->addr, 0, e->class, e->pool,
				      e->first };
	}
	if (!is_sized)
		return;
	if (r->size == e->size)
		*code |= CODE_SAME_SIZE;
	else
		put(&w->section, e->size);
	r->size = e->size;
}

static void put_fields(struct writer *w, const struct event *e, uint8_t *code)
{
	struct bytes *b = &w->section;

	switch (event_kinds[e->kind].layout) {
	case LAYOUT_PIECE:
		put_piece(w, e, code, false);
		break;
	case LAYOUT_SIZED:
		put_piece(w, e, code, true);
		break;
	case LAYOUT_CPU:
		put(b, e->home);
		put(b, e->size);
		break;
	case LAYOUT_NUMBER:
		put(b, e->size);
		break;
	case LAYOUT_STACK:
		put(b, e->stack);
		break;
	case LAYOUT_ALL:
		put_place(b, e);
		put_addr(w, e->addr);
		put(b, e->size);
		break;
	case LAYOUT_NONE:
		break;
	}
}

void writer_event(struct writer *w, const struct event *e)
{
	size_t at = w->section.n;
	uint8_t code = e->kind;

	need(&w->section, EVENT_MOST);
	w->section.n++;
	put(&w->section, e->time_ns - w->coding.last_time);
	w->coding.last_time = e->time_ns;
	put_fields(w, e, &code);
	w->section.at[at] = code;
	w->written.events++;
	w->written.calls += is_call(e->kind);
	if (e->kind == NP_TRACE_LOST)
		w->written.lost += e->size;
}

/* --- rounds ---------------------------------------------------------- */

void writer_round(struct writer *w, uint64_t time_ns)
{
	w->round.n = 0;
	w->nsections = 0;
	w->round_ns = time_ns;
}

static void close_section(struct writer *w)
{
	if (w->ring >= 0 && w->section.n) {
		need(&w->round, 2 * VARINT_MOST);
		put(&w->round, (unsigned)w->ring);
		put(&w->round, w->section.n);
		put_bytes(&w->round, w->section.at, w->section.n);
		w->nsections++;
	}
	w->ring = -1;
	w->section.n = 0;
}

void writer_section(struct writer *w, unsigned ring)
{
	close_section(w);
	w->ring = (int)ring;
	memset(&w->coding, 0, sizeof w->coding);
	w->coding.last_time = w->round_ns;
}

void writer_round_ends(struct writer *w)
{
	struct bytes all = { 0 };

	close_section(w);
	if (!w->nsections)
		return;
	need(&all, 2 * VARINT_MOST + w->round.n);
	put(&all, w->round_ns);
	put(&all, w->nsections);
	put_bytes(&all, w->round.at, w->round.n);
	if (w->fresh.n)
		write_frame(w, FRAME_STKS, w->fresh.at, w->fresh.n);
	w->fresh.n = 0;
	write_frame(w, FRAME_EVNT, all.at, all.n);
	free(all.at);
}

struct written writer_close(struct writer *w, uint64_t time_ns)
{
	struct bytes end = { 0 };
	struct written written;

	need(&end, 3 * VARINT_MOST);
	put(&end, time_ns);
	put(&end, w->written.events);
	put(&end, w->written.lost);
	write_frame(w, FRAME_ENDS, end.at, end.n);
	if (close(w->fd) != 0)
		give_up(EXIT_SELF, "%s: %s", w->path, strerror(errno));
	free(end.at);
	free(w->round.at);
	free(w->section.at);
	free(w->fresh.at);
	free(w->packed);
	free(w->by_hash);
	for (uint32_t i = 0; i < w->nstacks; i++)
		free(w->stacks[i].frame);
	free(w->stacks);
#ifdef HAVE_ZSTD
	ZSTD_freeCCtx(w->zstd);
#endif
	written = w->written;
	free(w);
	return written;
}
