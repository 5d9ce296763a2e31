/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * config: see config.h.
 */
#include "config.h"
#include "sizeclass.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>  /* snprintf */
#include <stdlib.h> /* secure_getenv, strtoll */
#include <string.h>

#define DAY_MS (24 * 3600 * 1000)

static const char *const class_tables[] = { "netty", "fine", NULL };

#define FIELD(f) offsetof(struct np_config, f)

const struct np_option np_options[] = {
	{ "arenas", NP_OPT_NUMBER, FIELD(arenas), 0, 64, 0, "arenas", NULL,
	  "Arenas of each node; 0 makes one for each of its CPUs, at most 16." },
	{ "classes", NP_OPT_WORD, FIELD(class_table), NP_NETTY, NP_FINE,
	  NP_FINE, "", class_tables,
	  "Size class table: fine (8 steps a doubling) or netty "
	  "(powers of two)." },
	{ "page_size", NP_OPT_SIZE, FIELD(page_size), 4096, 1 << 20, 8192,
	  "bytes", NULL, "Size of a page, a power of two." },
	{ "max_order", NP_OPT_NUMBER, FIELD(max_order), 0, 14, 11, "", NULL,
	  "A chunk is page_size << max_order bytes, at most 1 GiB." },
	{ "decay_ms", NP_OPT_NUMBER, FIELD(decay_ms), -1, DAY_MS, 10000, "ms",
	  NULL, "Free pages return to the kernel after this time; 0 at once, "
	  "-1 never." },
	{ "cache", NP_OPT_NUMBER, FIELD(cache), 0, 1, 1, "", NULL,
	  "Thread caches: 1 on, 0 off." },
	{ "check", NP_OPT_NUMBER, FIELD(check), 0, 1, 0, "", NULL,
	  "1 checks every free at the call, which takes the caches away." },
	{ "nodes", NP_OPT_NUMBER, FIELD(nodes), 0, 64, 0, "nodes", NULL,
	  "Pretends that the machine has so many nodes; 0 looks at it." },
	{ "segment", NP_OPT_PATH, FIELD(segment), 0, 0, 0, "directory", NULL,
	  "Where to publish a segment of counters for npool-stat; "
	  "empty = nowhere." },
};

const size_t np_noptions = sizeof np_options / sizeof np_options[0];

static int64_t *number_of(struct np_config *config,
			  const struct np_option *option)
{
	return (int64_t *)(void *)((char *)config + option->offset);
}

void np_config_preset(struct np_config *config)
{
	memset(config, 0, sizeof *config);
	for (size_t i = 0; i < np_noptions; i++)
		if (np_options[i].type != NP_OPT_PATH)
			*number_of(config, &np_options[i]) =
				np_options[i].preset;
}

/* --- values ----------------------------------------------------------- */

/* A whole number, with K, M or G (of 1024) behind a size. */
static bool parse_number(const char *text, bool is_size, int64_t *value)
{
	int64_t factor = 1;
	char *end;

	errno = 0;
	*value = strtoll(text, &end, 10);
	if (end == text || errno)
		return false;
	if (is_size && *end) {
		static const char units[] = "KMG";
		const char *unit = strchr(units, *end);

		if (!unit)
			return false;
		factor = (int64_t)1 << 10 * (unit - units + 1);
		end++;
	}
	return !*end && !__builtin_mul_overflow(*value, factor, value);
}

static bool parse_word(const char *text, const struct np_option *option,
		       int64_t *value)
{
	for (int64_t i = 0; option->words[i]; i++)
		if (!strcmp(text, option->words[i]))
			return *value = i, true;
	return false;
}

static bool set_path(struct np_config *config, const struct np_option *option,
		     const char *text)
{
	size_t size = strlen(text) + 1;

	if (size > NP_CONFIG_PATH_MAX)
		return false;
	memcpy((char *)config + option->offset, text, size);
	return true;
}

static bool set_option(struct np_config *config,
		       const struct np_option *option, const char *text)
{
	bool is_size = option->type == NP_OPT_SIZE;
	int64_t value;

	if (option->type == NP_OPT_PATH)
		return set_path(config, option, text);
	if (option->type == NP_OPT_WORD
	    ? !parse_word(text, option, &value)
	    : !parse_number(text, is_size, &value))
		return false;
	if (value < option->min || value > option->max ||
	    (is_size && !np_is_pow2((size_t)value)))
		return false;
	*number_of(config, option) = value;
	return true;
}

/* --- the text --------------------------------------------------------- */

static const struct np_option *find_option(const char *name)
{
	for (size_t i = 0; i < np_noptions; i++)
		if (!strcmp(np_options[i].name, name))
			return &np_options[i];
	return NULL;
}

static void describe_range(const struct np_option *o, char *text, size_t size)
{
	if (o->type == NP_OPT_PATH)
		snprintf(text, size, "a path below %d bytes",
			 NP_CONFIG_PATH_MAX);
	else if (o->type == NP_OPT_WORD)
		snprintf(text, size, "%s or %s", o->words[0], o->words[1]);
	else
		snprintf(text, size, "%s%" PRId64 "..%" PRId64 "%s%s",
			 o->type == NP_OPT_SIZE ? "a power of two, " : "",
			 o->min, o->max, *o->unit ? " " : "", o->unit);
}

/* One "key:value", cut at the colon here. */
static bool parse_part(struct np_config *config, char *part)
{
	char *value = strchr(part, ':');
	const struct np_option *option;
	char range[80];

	if (value)
		*value++ = '\0';
	option = find_option(part);
	if (!option) {
		np_warn(NP_CONFIG_ENV ": there is no option '%s'; npool(7) "
			"lists them", part);
		return false;
	}
	if (value && set_option(config, option, value))
		return true;
	describe_range(option, range, sizeof range);
	np_warn(NP_CONFIG_ENV ": '%s' is no value for %s (%s); ignored",
		value ? value : "", part, range);
	return false;
}

static bool geometry_fits(const struct np_config *config)
{
	return config->page_size << config->max_order <= (int64_t)1 << 30;
}

unsigned np_config_parse(struct np_config *config, const char *text)
{
	char part[NP_CONFIG_PATH_MAX + 32];
	struct np_config before = *config;
	unsigned bad = 0;

	while (text && *text) {
		size_t size = strcspn(text, ",");

		if (size >= sizeof part) {
			np_warn(NP_CONFIG_ENV ": a part of %zu bytes is too "
				"long; ignored", size);
			bad++;
		} else if (size) {
			memcpy(part, text, size);
			part[size] = '\0';
			bad += !parse_part(config, part);
		}
		text += size + (text[size] == ',');
	}
	if (!geometry_fits(config)) {
		np_warn(NP_CONFIG_ENV ": page_size << max_order is over 1 GiB;"
			" both are ignored");
		config->page_size = before.page_size;
		config->max_order = before.max_order;
		bad++;
	}
	return bad;
}

void np_config_load(struct np_config *config)
{
	np_config_preset(config);
	np_config_parse(config, secure_getenv(NP_CONFIG_ENV));
}

void np_config_show(const struct np_config *config,
		    const struct np_option *option, char *text, size_t size)
{
	const char *at = (const char *)config + option->offset;
	int64_t value;

	if (option->type == NP_OPT_PATH) {
		snprintf(text, size, "%s", at);
		return;
	}
	memcpy(&value, at, sizeof value);
	if (option->type == NP_OPT_WORD)
		snprintf(text, size, "%s", option->words[value]);
	else
		snprintf(text, size, "%" PRId64, value);
}
