/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * bufs: buffers for the tests of buffers; who gets none ends the test.
 */
#ifndef BUFS_H
#define BUFS_H

#include "figures.h"
#include "npool_buf.h"
#include "tap.h"

static npool_t *pool; /* that they are of; NULL: the default one */

static inline npool_buf_t *make(size_t initial, size_t max)
{
	npool_buf_t *b = npool_buf_new(pool, initial, max);

	if (!b)
		bail_out("no buffer");
	return b;
}

static inline npool_buf_t *make_composite(size_t max_parts)
{
	npool_buf_t *c = npool_buf_composite(pool, max_parts);

	if (!c)
		bail_out("no buffer");
	return c;
}

#endif
