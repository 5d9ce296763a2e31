/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * attr: see attr.h.
 */
#include "attr.h"

#include <errno.h>
#include <string.h>

#define KNOWN_FLAGS (NPOOL_ZERO_ON_FREE | NPOOL_PINNED | NPOOL_STRICT)

/* The struct of the first release ends here. */
#define FIRST_SIZE (offsetof(struct npool_attr, pressure_arg) + sizeof(void *))

int np_attr_fit(void *to, size_t known, size_t first, const void *from,
		const char *what)
{
	const char *bytes = from;
	size_t size;

	if (!from)
		return 0;
	memcpy(&size, from, sizeof size);
	if (size < first) {
		np_warn("%s: attr->size is %zu, which is too small: begin "
			"with the presets, NPOOL_..._INIT", what, size);
		return EINVAL;
	}
	for (size_t i = known; i < size; i++)
		if (bytes[i])
			return E2BIG;
	memcpy(to, from, size < known ? size : known);
	return 0;
}

int np_attr_copy(struct npool_attr *to, const struct npool_attr *from)
{
	const struct npool_attr init = NPOOL_ATTR_INIT;

	*to = init;
	return np_attr_fit(to, sizeof *to, FIRST_SIZE, from, "npool_create");
}

static int refuse(const struct npool_attr *attr, const char *field,
		  const char *what)
{
	np_warn("npool_create: pool %s: %s: %s",
		attr->name ? attr->name : "pool", field, what);
	return EINVAL;
}

static int read_numbers(const struct npool_attr *a, struct np_config *config)
{
	const struct {
		const char *name;
		uint64_t value;
	} fields[] = {
		{ "policy", a->policy },
		{ "huge_pages", a->huge_pages },
		{ "classes", a->classes },
		{ "page_size", a->page_size },
		{ "max_order", a->max_order },
		{ "arenas", a->arenas },
		{ "cache_pieces", a->cache_pieces },
		{ "cache_bytes", a->cache_bytes },
		{ "huge_bytes", a->huge_bytes },
		{ "decay_ms", (uint64_t)a->decay_ms },
		{ "soft_limit", a->soft_limit },
		{ "hard_limit", a->hard_limit },
		{ "node_soft_limit", a->node_soft_limit },
		{ "node_hard_limit", a->node_hard_limit },
		{ "zero_on_free", !!(a->flags & NPOOL_ZERO_ON_FREE) },
		{ "pinned", !!(a->flags & NPOOL_PINNED) },
		{ "strict", !!(a->flags & NPOOL_STRICT) },
	};

	for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
		const struct np_option *o = np_config_find(fields[i].name);
		char range[80];

		if (np_config_set_number(config, o, (int64_t)fields[i].value))
			continue;
		np_config_describe(o, range, sizeof range);
		return refuse(a, o->name, range);
	}
	return 0;
}

/* A list with commas; in options they part one from the next. */
static int read_nodes(const struct npool_attr *a, struct np_config *config)
{
	char *at;

	if (!a->nodes)
		return 0;
	if (strlen(a->nodes) >= sizeof config->node_set)
		return refuse(a, "nodes", "the list is too long");
	strcpy(config->node_set, a->nodes);
	while ((at = strchr(config->node_set, ',')))
		*at = '+';
	return 0;
}

int np_attr_read(const struct npool_attr *attr, struct np_config *config)
{
	int error;

	np_config_preset(config);
	error = read_numbers(attr, config);
	if (error)
		return error;
	if (attr->flags & ~KNOWN_FLAGS)
		return refuse(attr, "flags", "an unknown one is set");
	if (!np_config_geometry_fits(config))
		return refuse(attr, "max_order",
			      "page_size << max_order is over 1 GiB");
	return read_nodes(attr, config);
}
