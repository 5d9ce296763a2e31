/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * Fuzzes the parser of traces, the arena behind it, and its explanation: any
 * text, in two geometries. libFuzzer; t/fuzz/run builds it.
 */
#include "explain.h"

#include <stdlib.h>
#include <sys/mman.h> /* memfd_create */
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int __real_np_map_init(void);
int __wrap_np_map_init(void);

/* A process has one map, and npool-trace one trace: here it is made once
 * (the linker's --wrap). */
int __wrap_np_map_init(void)
{
	static int made;

	return made ? 0 : (made = 1, __real_np_map_init());
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct explain_options pictures = {
		.tree = true, .svg = "/dev/null", .html = "/dev/null",
	};
	struct replay_options options = { .quiet = true };
	int fd = memfd_create("trace", MFD_CLOEXEC), replayed, explained;

	if (fd < 0)
		abort();
	if (size < 2 || write(fd, data + 1, size - 1) != (ssize_t)size - 1)
		return close(fd);
	options.page_shift = data[0] & 1 ? 12 : 13;
	options.max_order = data[0] & 1 ? 3 : 11;
	lseek(fd, 0, SEEK_SET);
	replayed = replay_netty(fd, "fuzz", &options);
	lseek(fd, 0, SEEK_SET);
	explained = explain(fd, "fuzz", &pictures, &options);
	/* Explained as it was replayed; REPLAY_FAILED would be a bug told. */
	if (explained != replayed || replayed == REPLAY_FAILED)
		abort();
	return close(fd);
}
