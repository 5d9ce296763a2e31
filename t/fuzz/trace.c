/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * Fuzzes the parser of traces, and the arena behind it: any text, in two
 * geometries. libFuzzer; t/fuzz/run builds it.
 */
#include "replay.h"

#include <stdint.h>
#include <stdlib.h>

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
	FILE *in;
	int code;

	if (size < 2)
		return 0;
	in = fmemopen((void *)(uintptr_t)(data + 1), size - 1, "re");
	if (!in)
		abort();
	code = data[0] & 1 ? replay_netty(in, "fuzz", 12, 3)
			   : replay_netty(in, "fuzz", 13, 7);
	fclose(in);
	if (code != REPLAY_OK && code != REPLAY_FAILED &&
	    code != REPLAY_MALFORMED)
		abort();
	return 0;
}
