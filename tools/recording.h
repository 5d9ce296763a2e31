/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * recording: the file of npool-trace record; npool-trace(5) says what is in it.
 *
 *	magic | frame | frame | ...       a frame: head, payload
 *
 *	INFO  lines of text: what is recorded, on which machine
 *	MAPS  what is mapped where, as /proc/PID/maps has it
 *	STKS  stacks, numbered from 0 on through the file
 *	EVNT  a round: the events of all rings between two moments
 *	ENDS  it was written to its end
 *
 * It is written front to back, a frame at a time, so what is there of it can be
 * read when the rest is missing. A round has a section for each ring; within a
 * section times ascend, and the reader merges the sections of a round. What is
 * told of an event depends on what was told before in its section.
 *
 * Nothing that is read is believed: the reader checks each number, says where
 * what is wrong, and goes no further.
 */
#ifndef NP_TOOLS_RECORDING_H
#define NP_TOOLS_RECORDING_H

#include "base.h"
#include "trace.h"

#include <stdio.h>

#define RECORDING_RINGS NP_TRACE_RINGS_MAX
#define RECORDING_STACK_MAX 64 /* frames */
#define RECORDING_NO_STACK UINT32_MAX

/* One event, as the ring had it; but the time is in ns since the recording
 * began, and what stood in events about the ring is in those that it is about.
 */
struct event {
	uint64_t time_ns;
	uint64_t addr;
	uint64_t size;	 /* also: pieces, bytes, a tid, a CPU, how many lost */
	uint32_t stack;	 /* of an ALLOC: its number, or RECORDING_NO_STACK */
	uint32_t tid;	 /* who; the reader fills it in */
	uint32_t cpu;	 /* where; likewise; UINT32_MAX: not known */
	uint16_t ring;
	uint16_t home;	 /* of the CPU; or what the event says */
	uint16_t class;
	uint8_t kind;	 /* enum np_trace_kind */
	uint8_t pool;
	uint8_t first;
};

struct stack {
	uint32_t n;
	const uint64_t *frame; /* return addresses, the innermost first */
};

/* --- writing --------------------------------------------------------- */

struct writer;

/* Begins a file. Ends the tool if it cannot be written, now or later. */
struct writer *writer_open(const char *path);

/* Adds an INFO or MAPS frame of this text. */
void writer_info(struct writer *w, const char *text);
void writer_maps(struct writer *w, const char *text, size_t size);

/* The number of this stack. */
uint32_t writer_stack(struct writer *w, const uint64_t *frame, uint32_t n);
uint32_t writer_nstacks(const struct writer *w);

/* A round that begins at this time; its sections, each of one ring; the events
 * of the section, in the order of their times, none before the round's. */
void writer_round(struct writer *w, uint64_t time_ns);
void writer_section(struct writer *w, unsigned ring);
void writer_event(struct writer *w, const struct event *e);
void writer_round_ends(struct writer *w);

struct written {
	uint64_t events, lost, bytes, calls; /* calls: ALLOC .. REFUSE */
};

/* Ends the file. Returns what is in it. */
struct written writer_close(struct writer *w, uint64_t time_ns);

/* --- reading --------------------------------------------------------- */

struct reader;

/* Reads the magic, and what stands before the first event. Never NULL. name: in
 * messages. fd stays the caller's. */
struct reader *reader_open(int fd, const char *name);

/* The next event, in the order of their times; NULL: there is none. */
const struct event *reader_next(struct reader *r);

/* What is wrong with the file, with its name and the offset, or NULL. */
const char *reader_error(const struct reader *r);

/* Was it written to its end? After the last event. */
bool reader_is_whole(const struct reader *r);

/* All lines of INFO so far, and the last MAPS; "" if there are none. */
const char *reader_info(const struct reader *r);
const char *reader_maps(const struct reader *r);

/* The value of the first INFO line "key value"; NULL: there is none. To be
 * freed. */
char *reader_value(const struct reader *r, const char *key);

uint32_t reader_nstacks(const struct reader *r);
struct stack reader_stack(const struct reader *r, uint32_t number);

void reader_close(struct reader *r);

/* --- both ------------------------------------------------------------ */

/* What an event of this kind has in the file. */
enum layout {
	LAYOUT_PIECE,	/* pool, class, first, address */
	LAYOUT_SIZED,	/* the same, and size */
	LAYOUT_NUMBER,	/* size */
	LAYOUT_CPU,	/* size, home */
	LAYOUT_STACK,	/* stack */
	LAYOUT_ALL,	/* pool, class, first, address, size */
	LAYOUT_NONE,	/* not in files */
};

extern const struct event_kind {
	const char *name;
	enum layout layout;
} event_kinds[NP_TRACE_KINDS];

static inline bool is_call(unsigned kind)
{
	return kind >= NP_TRACE_ALLOC && kind <= NP_TRACE_REFUSE;
}

/* Does an event of this kind say a home? */
static inline bool says_home(unsigned kind)
{
	return (kind >= NP_TRACE_HOME && kind <= NP_TRACE_UNMAP) ||
	       (kind >= NP_TRACE_SPILL && kind <= NP_TRACE_HUGE_UNMAP) ||
	       kind == NP_TRACE_CPU || kind == NP_TRACE_NODE;
}

#define FILE_MAGIC "\x89npt\r\n\x1a\x01" /* 8 bytes; the last: the version */
#define FILE_MAGIC_SIZE 8
#define FRAME_HEAD_SIZE 20
#define FRAME_MOST ((uint32_t)256 << 20) /* bytes of a payload, unpacked */

#define FRAME_TYPE(a, b, c, d) \
	((uint32_t)(a) | (uint32_t)(b) << 8 | (uint32_t)(c) << 16 | \
	 (uint32_t)(d) << 24)
#define FRAME_INFO FRAME_TYPE('I', 'N', 'F', 'O')
#define FRAME_MAPS FRAME_TYPE('M', 'A', 'P', 'S')
#define FRAME_EVNT FRAME_TYPE('E', 'V', 'N', 'T')
#define FRAME_STKS FRAME_TYPE('S', 'T', 'K', 'S')
#define FRAME_ENDS FRAME_TYPE('E', 'N', 'D', 'S')

/* CRC-32 of IEEE 802.3. */
uint32_t crc32_of(const void *data, size_t size);

/* What was last said of an address: coder and reader keep the same. */
#define RECENT 256

struct recent {
	uint64_t addr, size;
	uint16_t class;
	uint8_t pool, first;
};

struct coding {
	struct recent recent[RECENT];
	uint64_t last_addr, last_time;
};

static inline unsigned recent_slot(uint64_t addr)
{
	return (unsigned)((addr / 16 * UINT64_C(0x9e3779b97f4a7c15)) >> 56);
}

/* Of the byte that an event begins with. */
#define CODE_KIND 0x1f
#define CODE_RECENT 0x20 /* the address is in that slot, with its class */
#define CODE_SAME_SIZE 0x40 /* as that slot has it */

#endif
