/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * Fuzzes all that read a recording, and its replay, as it was and on another
 * machine: any bytes, as a file; and as payloads of
 * frames whose heads are right, since nobody guesses a CRC. libFuzzer;
 * t/fuzz/run builds it.
 *
 *	first byte   bit 0: a file as it is
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
