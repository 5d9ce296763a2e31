/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * recording-read: see recording.h.
 */
#include "recording.h"
#include "tool.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h> /* read */
#ifdef HAVE_ZSTD
#include <zstd.h>
#endif

#define TEXT_MOST ((size_t)16 << 20) /* bytes of INFO in all */
#define STACKS_MOST ((uint32_t)1 << 24)
#define HOME_MOST NP_MAX_NODES

/* What stands before the events of a ring. */
struct ring_state {
	uint32_t tid, cpu;
	uint16_t home;	/* of the CPU */
	uint32_t stack; /* of the next ALLOC */
};

/* Where reading a section has come to. */
struct cursor {
	const uint8_t *at, *end;
	struct coding coding;
	struct event event; /* the next one */
};

struct reader {
	int fd;
	const char *name;
	char *error;
	uint64_t offset;       /* in the file, of the frame that is read */
	uint64_t next_offset;
	bool is_whole;
	uint8_t *stored, *plain;
	size_t stored_room, plain_room, plain_size;
	struct cursor *cursors; /* of the round's sections; a heap by time */
	unsigned ncursors, cursors_room;
	struct cursor *last;	/* whose event was returned */
	struct ring_state rings[RECORDING_RINGS];
	char *info, *maps;
	size_t info_size;
	uint64_t *frames;	/* of all stacks */
	size_t nframes;
	size_t *stacks;		/* where each begins; [nstacks]: the end */
	uint32_t nstacks;
};

/* --- what is wrong --------------------------------------------------- */

static bool fail(struct reader *r, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* The first thing that is wrong counts. Returns false. */
static bool fail(struct reader *r, const char *fmt, ...)
{
	va_list ap;
	char *what;

	if (r->error)
		return false;
	va_start(ap, fmt);
	if (vasprintf(&what, fmt, ap) < 0)
		give_up(EXIT_SELF, "out of memory");
	va_end(ap);
	r->error = format_text("%s: at offset %llu: %s", r->name,
			       (unsigned long long)r->offset, what);
	free(what);
	return false;
}

/* --- numbers --------------------------------------------------------- */

static bool get(struct reader *r, const uint8_t **at, const uint8_t *end,
		uint64_t *n)
{
	unsigned shift = 0;

	*n = 0;
	while (*at < end && shift < 64) {
		uint8_t byte = *(*at)++;

		*n |= (uint64_t)(byte & 0x7f) << shift;
		if (byte < 0x80)
			return true;
		shift += 7;
	}
	return fail(r, *at < end ? "a number is too long"
				 : "a number is cut off");
}

static uint64_t unzigzag(uint64_t n)
{
	return n >> 1 ^ -(n & 1);
}

static uint32_t get_u32(const uint8_t *at)
{
	return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 |
	       (uint32_t)at[3] << 24;
}

/* --- frames ---------------------------------------------------------- */

static void have_room(uint8_t **p, size_t *room, size_t size)
{
	if (*room >= size)
		return;
	free(*p);
	*room = size;
	*p = get_memory(1, size);
}

/* Returns how many bytes came: fewer only at the end, or with an error. */
static size_t read_all(struct reader *r, void *to, size_t size)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = read(r->fd, (char *)to + done, size - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			fail(r, "%s", strerror(errno));
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	r->next_offset += done;
	return done;
}

static bool unpack(struct reader *r, size_t stored, size_t plain)
{
	have_room(&r->plain, &r->plain_room, plain + 1);
	r->plain_size = plain;
	r->plain[plain] = '\0';
	if (stored == plain) {
		memcpy(r->plain, r->stored, plain);
		return true;
	}
#ifdef HAVE_ZSTD
	if (ZSTD_decompress(r->plain, plain, r->stored, stored) != plain)
		return fail(r, "the frame cannot be unpacked");
	return true;
#else
	return fail(r, "the frame is compressed, and npool-trace was built "
		    "without zstd");
#endif
}

/* Reads a frame. Returns its type; 0: there is none, or it is bad. A frame that
 * is not all there ends the file: it was being written. */
static uint32_t read_frame(struct reader *r)
{
	uint8_t head[FRAME_HEAD_SIZE];
	uint32_t stored, plain;
	size_t n;

	if (r->error || r->is_whole)
		return 0;
	r->offset = r->next_offset;
	n = read_all(r, head, sizeof head);
	if (n < sizeof head)
		return 0;
	if (crc32_of(head, 16) != get_u32(head + 16))
		return fail(r, "the head of the frame is damaged");
	stored = get_u32(head + 4);
	plain = get_u32(head + 8);
	if (plain > FRAME_MOST || stored > plain)
		return fail(r, "a frame of %u bytes, %u packed, is not to be "
			    "believed", plain, stored);
	have_room(&r->stored, &r->stored_room, stored + 1);
	if (read_all(r, r->stored, stored) < stored)
		return 0;
	if (crc32_of(r->stored, stored) != get_u32(head + 12))
		return fail(r, "the frame is damaged");
	return unpack(r, stored, plain) ? get_u32(head) : 0;
}

static bool add_info(struct reader *r)
{
	size_t n = r->plain_size;

	if (memchr(r->plain, 0, n) || n > TEXT_MOST - r->info_size)
		return fail(r, "the text is not to be believed");
	r->info = realloc(r->info, r->info_size + n + 1);
	if (!r->info)
		give_up(EXIT_SELF, "out of memory");
	memcpy(r->info + r->info_size, r->plain, n + 1);
	r->info_size += n;
	return true;
}

static bool set_maps(struct reader *r)
{
	free(r->maps);
	r->maps = format_text("%s", (const char *)r->plain);
	return true;
}

static bool check_end(struct reader *r)
{
	const uint8_t *at = r->plain, *end = at + r->plain_size;
	uint64_t n;

	for (int i = 0; i < 3; i++)
		if (!get(r, &at, end, &n))
			return false;
	r->is_whole = true;
	return true;
}

/* --- stacks ---------------------------------------------------------- */

static void push_frame(struct reader *r, uint64_t frame)
{
	r->frames = grow(r->frames, r->nframes, sizeof *r->frames);
	r->frames[r->nframes++] = frame;
}

static void end_stack(struct reader *r)
{
	r->stacks = grow(r->stacks, r->nstacks + 1, sizeof *r->stacks);
	r->stacks[++r->nstacks] = r->nframes;
}

static bool add_stacks(struct reader *r)
{
	const uint8_t *at = r->plain, *end = at + r->plain_size;

	while (at < end) {
		uint64_t n, change, frame = 0;

		if (!get(r, &at, end, &n))
			return false;
		if (n > RECORDING_STACK_MAX || r->nstacks >= STACKS_MOST)
			return fail(r, "stack %u of %llu frames is not to be "
				    "believed", r->nstacks,
				    (unsigned long long)n);
		while (n--) {
			if (!get(r, &at, end, &change))
				return false;
			push_frame(r, frame += unzigzag(change));
		}
		end_stack(r);
	}
	return true;
}

uint32_t reader_nstacks(const struct reader *r)
{
	return r->nstacks;
}

struct stack reader_stack(const struct reader *r, uint32_t i)
{
	size_t at = r->stacks[i];

	return (struct stack){ (uint32_t)(r->stacks[i + 1] - at),
			       r->frames + at };
}

/* --- events ---------------------------------------------------------- */

static bool get_addr(struct reader *r, struct cursor *c)
{
	uint64_t change;

	if (!get(r, &c->at, c->end, &change))
		return false;
	c->event.addr = (c->coding.last_addr / 16 + unzigzag(change)) * 16;
	c->coding.last_addr = c->event.addr;
	return true;
}

static bool get_place(struct reader *r, struct cursor *c)
{
	uint64_t place;

	if (!get(r, &c->at, c->end, &place))
		return false;
	if (place >> 19)
		return fail(r, "there is no pool %llu",
			    (unsigned long long)(place >> 13));
	c->event.class = place & 0xff;
	c->event.first = place >> 8 & 0x1f;
	c->event.pool = (uint8_t)(place >> 13);
	return true;
}

static bool get_recent(struct reader *r, struct cursor *c)
{
	const struct recent *recent;

	if (c->at == c->end)
		return fail(r, "an event is cut off");
	recent = &c->coding.recent[*c->at++];
	c->event.addr = c->coding.last_addr = recent->addr;
	c->event.class = recent->class;
	c->event.pool = recent->pool;
	c->event.first = recent->first;
	return true;
}

static bool get_piece(struct reader *r, struct cursor *c, uint8_t code,
		      bool is_sized)
{
	struct event *e = &c->event;
	struct recent *recent;

	if (code & CODE_RECENT) {
		if (!get_recent(r, c))
			return false;
	} else if (!get_addr(r, c) || !get_place(r, c)) {
		return false;
	}
	recent = &c->coding.recent[recent_slot(e->addr)];
	if (!(code & CODE_RECENT))
		*recent = (struct recent){ e->addr, 0, e->class, e->pool,
					   e->first };
	if (!is_sized)
		return true;
	if (code & CODE_SAME_SIZE)
		e->size = recent->size;
	else if (!get(r, &c->at, c->end, &e->size))
		return false;
	recent->size = e->size;
	return true;
}

static bool get_stack(struct reader *r, struct cursor *c)
{
	uint64_t number;

	if (!get(r, &c->at, c->end, &number))
		return false;
	if (number >= r->nstacks)
		return fail(r, "there is no stack %llu",
			    (unsigned long long)number);
	c->event.stack = (uint32_t)number;
	return true;
}

static bool get_cpu(struct reader *r, struct cursor *c)
{
	uint64_t home;

	if (!get(r, &c->at, c->end, &home) ||
	    !get(r, &c->at, c->end, &c->event.size))
		return false;
	if (home >= HOME_MOST || c->event.size >= UINT32_MAX)
		return fail(r, "there is no CPU %llu of node %llu",
			    (unsigned long long)c->event.size,
			    (unsigned long long)home);
	c->event.home = (uint16_t)home;
	return true;
}

static bool get_all(struct reader *r, struct cursor *c)
{
	return get_place(r, c) && get_addr(r, c) &&
	       get(r, &c->at, c->end, &c->event.size);
}

static bool get_fields(struct reader *r, struct cursor *c, uint8_t code)
{
	switch (event_kinds[c->event.kind].layout) {
	case LAYOUT_PIECE:
		return get_piece(r, c, code, false);
	case LAYOUT_SIZED:
		return get_piece(r, c, code, true);
	case LAYOUT_CPU:
		return get_cpu(r, c);
	case LAYOUT_NUMBER:
		return get(r, &c->at, c->end, &c->event.size);
	case LAYOUT_STACK:
		return get_stack(r, c);
	case LAYOUT_ALL:
		return get_all(r, c);
	case LAYOUT_NONE:
		break;
	}
	return fail(r, "there is no event of kind %d", c->event.kind);
}

/* What the ring says of those that follow, and of this one. */
static void note_ring(struct reader *r, struct event *e)
{
	struct ring_state *s = &r->rings[e->ring];

	if (e->kind == NP_TRACE_THREAD) {
		s->tid = (uint32_t)e->size;
		s->cpu = UINT32_MAX;
	} else if (e->kind == NP_TRACE_CPU) {
		s->cpu = (uint32_t)e->size;
		s->home = e->home;
	} else if (e->kind == NP_TRACE_STACK) {
		s->stack = e->stack;
	} else if (e->kind == NP_TRACE_ALLOC) {
		e->stack = s->stack;
		s->stack = RECORDING_NO_STACK;
	}
	e->tid = s->tid;
	e->cpu = s->cpu;
	if (e->kind == NP_TRACE_CPU)
		return;
	e->home = s->home;
	if (says_home(e->kind))
		e->home = (uint16_t)(e->class | e->first << 8);
}

/* Reads the section's next event. Returns false: there is none, or it is bad.
 */
static bool advance(struct reader *r, struct cursor *c)
{
	uint64_t dt, time = c->event.time_ns;
	uint16_t ring = c->event.ring;
	uint8_t code;

	if (c->at == c->end)
		return false;
	code = *c->at++;
	if (!get(r, &c->at, c->end, &dt))
		return false;
	c->event = (struct event){
		.kind = code & CODE_KIND, .ring = ring,
		.stack = RECORDING_NO_STACK,
	};
	if (__builtin_add_overflow(time, dt, &c->event.time_ns))
		return fail(r, "the time runs over");
	if (c->event.kind >= NP_TRACE_KINDS)
		return fail(r, "there is no event of kind %d", c->event.kind);
	return get_fields(r, c, code);
}

/* --- rounds ---------------------------------------------------------- */

static bool is_before(const struct event *a, const struct event *b)
{
	return a->time_ns < b->time_ns ||
	       (a->time_ns == b->time_ns && a->ring < b->ring);
}

/* Lets the cursor in place i sink to where it belongs. */
static void sink(struct reader *r, unsigned i)
{
	for (;;) {
		unsigned child = 2 * i + 1;
		struct cursor moved;

		if (child >= r->ncursors)
			return;
		if (child + 1 < r->ncursors &&
		    is_before(&r->cursors[child + 1].event,
			      &r->cursors[child].event))
			child++;
		if (!is_before(&r->cursors[child].event,
			       &r->cursors[i].event))
			return;
		moved = r->cursors[i];
		r->cursors[i] = r->cursors[child];
		r->cursors[child] = moved;
		i = child;
	}
}

static bool add_section(struct reader *r, const uint8_t **at,
			const uint8_t *end, uint64_t time_ns)
{
	uint64_t ring, size;
	struct cursor *c;

	if (!get(r, at, end, &ring) || !get(r, at, end, &size))
		return false;
	if (ring >= RECORDING_RINGS || size > (size_t)(end - *at))
		return fail(r, "a section of ring %llu, %llu bytes, is not to "
			    "be believed", (unsigned long long)ring,
			    (unsigned long long)size);
	c = &r->cursors[r->ncursors];
	*c = (struct cursor){ .at = *at, .end = *at + size,
			      .event = { .time_ns = time_ns,
					 .ring = (uint16_t)ring } };
	*at += size;
	if (advance(r, c))
		r->ncursors++;
	return !r->error;
}

static bool begin_round(struct reader *r)
{
	const uint8_t *at = r->plain, *end = at + r->plain_size;
	uint64_t time_ns, n;

	if (!get(r, &at, end, &time_ns) || !get(r, &at, end, &n))
		return false;
	if (n > RECORDING_RINGS)
		return fail(r, "%llu sections are not to be believed",
			    (unsigned long long)n);
	if (n > r->cursors_room) {
		free(r->cursors);
		r->cursors_room = (unsigned)n;
		r->cursors = get_memory(n, sizeof *r->cursors);
	}
	r->ncursors = 0;
	while (n--)
		if (!add_section(r, &at, end, time_ns))
			return false;
	if (at != end)
		return fail(r, "there is something behind the last section");
	for (unsigned i = r->ncursors / 2; i-- > 0;)
		sink(r, i);
	return true;
}

/* Reads frames until there is an event. Returns false: there is none. */
static bool next_round(struct reader *r)
{
	while (!r->ncursors) {
		uint32_t type = read_frame(r);
		bool good = type != 0;

		if (type == FRAME_INFO)
			good = add_info(r);
		else if (type == FRAME_MAPS)
			good = set_maps(r);
		else if (type == FRAME_STKS)
			good = add_stacks(r);
		else if (type == FRAME_EVNT)
			good = begin_round(r);
		else if (type == FRAME_ENDS)
			good = check_end(r) && false;
		else if (type)
			good = fail(r, "a frame of a type that this version "
				    "does not know");
		if (!good)
			return false;
	}
	return true;
}

const struct event *reader_next(struct reader *r)
{
	if (r->error)
		return NULL;
	if (r->last) {
		if (!advance(r, r->last)) {
			if (r->error)
				return NULL;
			*r->last = r->cursors[--r->ncursors];
		}
		sink(r, 0);
		r->last = NULL;
	}
	if (!r->ncursors && !next_round(r))
		return NULL;
	r->last = &r->cursors[0];
	note_ring(r, &r->last->event);
	return &r->last->event;
}

/* --- the whole ------------------------------------------------------- */

struct reader *reader_open(int fd, const char *name)
{
	struct reader *r = get_memory(1, sizeof *r);
	char magic[FILE_MAGIC_SIZE];

	r->fd = fd;
	r->name = name;
	r->info = format_text("%s", "");
	r->maps = format_text("%s", "");
	r->stacks = grow(r->stacks, 0, sizeof *r->stacks);
	r->frames = grow(r->frames, 0, sizeof *r->frames);
	for (unsigned i = 0; i < RECORDING_RINGS; i++) {
		r->rings[i].cpu = UINT32_MAX;
		r->rings[i].stack = RECORDING_NO_STACK;
	}
	if (read_all(r, magic, sizeof magic) < sizeof magic ||
	    memcmp(magic, FILE_MAGIC, FILE_MAGIC_SIZE - 1))
		fail(r, "this is no recording of npool-trace");
	else if (magic[FILE_MAGIC_SIZE - 1] != FILE_MAGIC[FILE_MAGIC_SIZE - 1])
		fail(r, "version %d of recordings is not known",
		     magic[FILE_MAGIC_SIZE - 1]);
	else
		next_round(r);
	return r;
}

const char *reader_error(const struct reader *r)
{
	return r->error;
}

bool reader_is_whole(const struct reader *r)
{
	return r->is_whole;
}

const char *reader_info(const struct reader *r)
{
	return r->info;
}

const char *reader_maps(const struct reader *r)
{
	return r->maps;
}

char *reader_value(const struct reader *r, const char *key)
{
	size_t n = strlen(key);

	for (const char *line = r->info; *line;) {
		size_t size = strcspn(line, "\n");

		if (size > n && !strncmp(line, key, n) && line[n] == ' ')
			return format_text("%.*s", (int)(size - n - 1),
					   line + n + 1);
		line += size + (line[size] == '\n');
	}
	return NULL;
}

void reader_close(struct reader *r)
{
	free(r->error);
	free(r->stored);
	free(r->plain);
	free(r->cursors);
	free(r->info);
	free(r->maps);
	free(r->frames);
	free(r->stacks);
	free(r);
}
