/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * attr: what npool_create was asked for, as options of a pool: each field goes
 * through the row of config.c that has its range.
 */
#ifndef NP_ATTR_H
#define NP_ATTR_H

#include "config.h"
#include "npool.h"

/* Copies what the caller knows of the struct over the presets. Returns 0,
 * EINVAL: its size is none; or E2BIG: it is from a newer header and asks for
 * something that is not known here. */
int np_attr_copy(struct npool_attr *to, const struct npool_attr *from);

/* Turns it into options. Returns 0, or EINVAL: warns of the first field that
 * is out of its range. */
int np_attr_read(const struct npool_attr *attr, struct np_config *config);

#endif
