/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * owner: whose memory it is, in one word for all that map some: which pool
 * and home, where pages shall come from, and which of the kernel's, what they
 * are charged to, where they are counted.
 *
 * Owner: a plain value; written when a pool makes its nodes, constant
 * afterwards (arena 0 of the default pool is given another, once, when the
 * pool learns its nodes).
 */
#ifndef NP_OWNER_H
#define NP_OWNER_H

#include "base.h"
#include "limit.h"
#include "os.h"

struct np_segment;

struct np_owner {
	np_tag_t tag;
	int bind_node;		    /* as np_os_bind */
	enum np_huge_pages pages;	    /* which it lies in */
	bool pinned;		    /* its chunks are */
	bool sees;		    /* the kernel tells what lies elsewhere */
	bool strict;		    /* what is handed out lies on bind_node */
	const char *pool;	    /* the pool's name, for messages */
	struct np_limits limits;
	struct np_segment *segment; /* NULL: nothing is counted yet */
};

static inline np_home_t np_owner_home(const struct np_owner *owner)
{
	return np_tag_home(owner->tag);
}

#endif
