/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * attr: structs that callers fill in, of this release or another; and what
 * npool_create was asked for, as options of a pool: each field goes through
 * the row of config.c that has its range.
 */
#ifndef NP_ATTR_H
#define NP_ATTR_H

#include "config.h"
#include "npool.h"

/* Copies what the caller knows of a struct over *to, which is `known` bytes
 * large and has the presets; both begin with their size. first: bytes of the
 * first release; what: the call that is named if the size is below that. NULL
 * copies nothing. Returns 0, EINVAL or E2BIG, as np_attr_copy. */
int np_attr_fit(void *to, size_t known, size_t first, const void *from,
		const char *what);

/* Copies what the caller knows of the struct over the presets. Returns 0,
 * EINVAL: its size is none; or E2BIG: it is from a newer header and asks for
 * something that is not known here. */
int np_attr_copy(struct npool_attr *to, const struct npool_attr *from);

/* Turns it into options. Returns 0, or EINVAL: warns of the first field that
 * is out of its range. */
int np_attr_read(const struct npool_attr *attr, struct np_config *config);

#endif
