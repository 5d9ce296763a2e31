/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * Fuzzes all that read a recording, and its replay, as it was and on another
 * machine: any bytes, as a file; as payloads of frames whose heads are right,
 * since nobody guesses a CRC; and as events, which the tool's own writer makes a
 * file of. libFuzzer; t/fuzz/run builds it.
 *
 *	first byte   bit 0: a file as it is
 *	             bit 1: events, EVENT_SIZE bytes each (make_event)
 *	else         a byte: the type of a frame; two: its size; its payload
 */
#include "draw.h"
#include "export.h"
#include "report.h"
#include "rerun.h"
#include "tool.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h> /* memfd_create */
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

const char tool_name[] = "npool-trace";

static void write_all(int fd, const void *data, size_t size)
{
	if (write(fd, data, size) != (ssize_t)size)
		abort();
}

static void put_u32(uint8_t *at, uint32_t n)
{
	for (unsigned i = 0; i < 4; i++)
		at[i] = (uint8_t)(n >> 8 * i);
}

static void write_frame(int fd, uint32_t type, const uint8_t *data,
			uint32_t size)
{
	uint8_t head[FRAME_HEAD_SIZE];

	put_u32(head, type);
	put_u32(head + 4, size);
	put_u32(head + 8, size);
	put_u32(head + 12, crc32_of(data, size));
	put_u32(head + 16, crc32_of(head, 16));
	write_all(fd, head, sizeof head);
	write_all(fd, data, size);
}

static void write_frames(int fd, const uint8_t *data, size_t size)
{
	static const uint32_t types[] = { FRAME_EVNT, FRAME_EVNT, FRAME_STKS,
					  FRAME_INFO, FRAME_MAPS, FRAME_ENDS };

	write_all(fd, FILE_MAGIC, FILE_MAGIC_SIZE);
	while (size > 3) {
		uint32_t n = data[1] | (uint32_t)data[2] << 8;
		uint32_t type = types[data[0] % (sizeof types / sizeof *types)];

		data += 3;
		size -= 3;
		n = n < size ? n : (uint32_t)size;
		write_frame(fd, type, data, n);
		data += n;
		size -= n;
	}
}

/* --- events ----------------------------------------------------------- */

#define EVENT_SIZE 8
#define RINGS 4
#define POOLS 4
#define HOMES 4
#define ADDRESSES 32 /* few: so that what is freed was there */
#define SIZE_BITS 44
#define ADDR_STEP ((uint64_t)1 << 20)
#define ADDR_BASE ((uint64_t)0x7f << 40)

static struct event make_event(const uint8_t *at, uint64_t *now_ns)
{
	struct event e = {
		.kind = (uint8_t)(at[0] % NP_TRACE_KINDS),
		.ring = at[1] % RINGS,
		.pool = (at[1] >> 2) % POOLS,
		.home = (at[1] >> 4) % HOMES,
		.addr = ADDR_BASE + at[2] % ADDRESSES * ADDR_STEP +
			(uint64_t)(at[2] / ADDRESSES) * 16,
		.class = at[3],
		.first = at[4] % 32,
		.size = (uint64_t)(at[5] % 64) << at[6] % (SIZE_BITS - 6),
		.stack = RECORDING_NO_STACK,
	};

	*now_ns += (uint64_t)1 << at[7] % 54; /* half a year at most */
	e.time_ns = *now_ns;
	if (event_kinds[e.kind].layout == LAYOUT_NONE ||
	    e.kind == NP_TRACE_STACK)
		e.kind = at[0] & 1 ? NP_TRACE_ALLOC : NP_TRACE_FREE;
	return e;
}

/* A round each, so that they are told in this order. */
static void write_events(int fd, const uint8_t *data, size_t size)
{
	char path[32];
	struct writer *w;
	uint64_t now_ns = 0;

	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	w = writer_open(path);
	writer_info(w, "cpus 4\noption 0 arenas\noption 1 decay_ms\n"
		    "option 2 classes\noption 3 page_size\n"
		    "option 4 max_order\noption 5 cache_bytes\n");
	for (; size >= EVENT_SIZE; data += EVENT_SIZE, size -= EVENT_SIZE) {
		struct event e = make_event(data, &now_ns);
		const uint64_t frame[] = { data[3], data[4] };

		if (e.kind == NP_TRACE_ALLOC && data[7] >> 7)
			e.stack = writer_stack(w, frame, 1 + data[4] % 2);
		writer_round(w, now_ns);
		writer_section(w, e.ring);
		writer_event(w, &e);
		writer_round_ends(w);
	}
	writer_close(w, now_ns);
}

/* --- all of it -------------------------------------------------------- */

static void check(int code, int expected)
{
	if (code != READ_OK && code != READ_FAILED && code != READ_DAMAGED)
		abort();
	if ((code == READ_DAMAGED) != (expected == READ_DAMAGED))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const formats[] = { "csv", "netty", "chrome",
					       "folded", "pprof" };
	static const char picture[] = "picture.html"; /* of this folder */
	struct report_options rows = { .most = 20 };
	struct leak_options some = { .most = 20 };
	struct rerun_options same = { .json = true };
	struct rerun_options other = { .nodes = 3, .map = "7=2,8=0",
				       .conf = "classes:netty,max_order:4" };
	int fd = memfd_create("recording", MFD_CLOEXEC), code;

	if (fd < 0)
		abort();
	if (size && data[0] & 1)
		write_all(fd, data + 1, size - 1);
	else if (size && data[0] & 2)
		write_events(fd, data + 1, size - 1);
	else if (size)
		write_frames(fd, data + 1, size - 1);
	lseek(fd, 0, SEEK_SET);
	code = report(fd, "fuzz", &rows);
	lseek(fd, 0, SEEK_SET);
	check(leaks(fd, "fuzz", &some), code);
	for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
		lseek(fd, 0, SEEK_SET);
		check(export_recording(fd, "fuzz", export_find(formats[i])),
		      code);
	}
	lseek(fd, 0, SEEK_SET);
	check(draw(fd, "fuzz", picture), code);
	lseek(fd, 0, SEEK_SET);
	check(rerun(fd, "fuzz", &same), code);
	lseek(fd, 0, SEEK_SET);
	check(rerun(fd, "fuzz", &other), code);
	return close(fd);
}
