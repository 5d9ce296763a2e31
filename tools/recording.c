/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * recording: what writer and reader share; see recording.h.
 */
#include "recording.h"

const struct event_kind event_kinds[NP_TRACE_KINDS] = {
	[NP_TRACE_NONE] = { "none", LAYOUT_NONE },
	[NP_TRACE_ALLOC] = { "alloc", LAYOUT_SIZED },
	[NP_TRACE_FREE] = { "free", LAYOUT_PIECE },
	[NP_TRACE_MOVE] = { "move", LAYOUT_SIZED },
	[NP_TRACE_RESIZE] = { "resize", LAYOUT_SIZED },
	[NP_TRACE_REFUSE] = { "refuse", LAYOUT_ALL },
	[NP_TRACE_START] = { "start", LAYOUT_NUMBER },
	[NP_TRACE_THREAD] = { "thread", LAYOUT_NUMBER },
	[NP_TRACE_CPU] = { "cpu", LAYOUT_CPU },
	[NP_TRACE_TIME] = { "time", LAYOUT_NONE },
	[NP_TRACE_LOST] = { "lost", LAYOUT_NUMBER },
	[NP_TRACE_WIDE] = { "wide", LAYOUT_NONE },
	[NP_TRACE_STACK] = { "stack", LAYOUT_STACK },
	[NP_TRACE_REFILL] = { "refill", LAYOUT_ALL },
	[NP_TRACE_FLUSH] = { "flush", LAYOUT_ALL },
	[NP_TRACE_HOME] = { "home", LAYOUT_ALL },
	[NP_TRACE_REHOME] = { "rehome", LAYOUT_ALL },
	[NP_TRACE_MAP] = { "map", LAYOUT_ALL },
	[NP_TRACE_UNMAP] = { "unmap", LAYOUT_ALL },
	[NP_TRACE_LIST] = { "list", LAYOUT_ALL },
	[NP_TRACE_DECAY] = { "decay", LAYOUT_ALL },
	[NP_TRACE_SPILL] = { "spill", LAYOUT_ALL },
	[NP_TRACE_HUGE_MAP] = { "huge-map", LAYOUT_ALL },
	[NP_TRACE_HUGE_UNMAP] = { "huge-unmap", LAYOUT_ALL },
	[NP_TRACE_POOL] = { "pool", LAYOUT_ALL },
	[NP_TRACE_RESET] = { "reset", LAYOUT_ALL },
	[NP_TRACE_TAKEN] = { "taken", LAYOUT_ALL },
	[NP_TRACE_NODE] = { "node", LAYOUT_ALL },
	[NP_TRACE_OPTION] = { "option", LAYOUT_ALL },
};

#define POLYNOMIAL 0xedb88320u

static uint32_t crc_of_byte(uint32_t c)
{
	for (int i = 0; i < 8; i++)
		c = c & 1 ? c >> 1 ^ POLYNOMIAL : c >> 1;
	return c;
}

uint32_t crc32_of(const void *data, size_t size)
{
	static uint32_t table[256];
	const uint8_t *p = data;
	uint32_t crc = UINT32_MAX;

	if (!table[1])
		for (uint32_t i = 0; i < 256; i++)
			table[i] = crc_of_byte(i);
	while (size--)
		crc = crc >> 8 ^ table[(crc ^ *p++) & 0xff];
	return ~crc;
}
