/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * probe: places in the code that a tracer finds by name (npool_probes(7)). One
 * is an instruction that does nothing, and a note in the file that says where
 * it is and where its arguments are; so they stand in slow ways only.
 *
 * Those of calls (record.c) have a counter, which a tracer raises while it
 * listens: whoever sees that hides the caches, so that calls come by there.
 *
 * Source: sys/sdt.h, of SystemTap.
 */
#ifndef NP_PROBE_H
#define NP_PROBE_H

#include "trace.h"

#ifdef HAVE_SDT
#ifdef NP_PROBES_COUNTED
#define _SDT_HAS_SEMAPHORES 1
#endif
#define SDT_USE_VARIADIC
#include <sys/sdt.h>
#define NP_PROBE(...) STAP_PROBEV(npool, __VA_ARGS__)
#else
static inline void np_no_probe(int first, ...)
{
	(void)first;
}
/* The arguments are used, and not reckoned. */
#define NP_PROBE(name, ...) \
	do { \
		if (0) \
			np_no_probe(0, __VA_ARGS__); \
	} while (0)
#endif

/* np_trace_bytes, and a probe of this name that says the same. */
#define NP_TELL_BYTES(kind, name, tag, addr, bytes) \
	do { \
		np_trace_bytes(kind, tag, (uintptr_t)(addr), bytes); \
		NP_PROBE(name, np_tag_slot(tag), np_tag_home(tag), addr, \
			 bytes); \
	} while (0)

#endif
