/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * config: see config.h.
 */
#include "config.h"
#include "os.h"	     /* enum np_huge_pages */
#include "sizeclass.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>  /* snprintf */
#include <stdlib.h> /* secure_getenv, strtoll */
#include <string.h>

#define DAY_MS (24 * 3600 * 1000)

static const char *const class_tables[] = { "netty", "fine", NULL };
static const char *const policies[] = { "local", "interleave", NULL };
static const char *const huge_pages[] = { "default", "off", "thp", "hugetlb",
					  NULL };
static const char *const leak_levels[] = { "disabled", "simple", "advanced",
					   "paranoid", NULL };

static const char *const switched[] = { "off", "on", NULL };

#define FIELD(f) offsetof(struct np_config, f)
#define MOST_BYTES ((int64_t)1 << 46) /* half of a process's addresses */
#define MOST_CACHE_BYTES ((int64_t)1 << 30)

const struct np_option np_options[] = {
	{ "arenas", NP_OPT_NUMBER, NP_OPT_FIXED, FIELD(arenas), 0, 64, 0,
	  "arenas", NULL,
	  "Arenas of each node; 0 makes one for each of its CPUs, at most 16." },
	{ "classes", NP_OPT_WORD, NP_OPT_FIXED, FIELD(class_table), NP_NETTY,
	  NP_FINE, NP_FINE, "", class_tables,
	  "Size class table: fine (8 steps a doubling) or netty "
	  "(powers of two)." },
	{ "page_size", NP_OPT_SIZE, NP_OPT_FIXED, FIELD(page_size), 4096,
	  1 << 20, 8192, "bytes", NULL, "Size of a page, a power of two." },
	{ "max_order", NP_OPT_NUMBER, NP_OPT_FIXED, FIELD(max_order), 0, 14,
	  11, "", NULL,
	  "A chunk is page_size << max_order bytes, at most 1 GiB." },
	{ "node_set", NP_OPT_TEXT, NP_OPT_FIXED, FIELD(node_set), 0, 0, 0,
	  "list of nodes", NULL,
	  "Nodes that memory comes from, as 0-3+8; empty = all." },
	{ "policy", NP_OPT_WORD, NP_OPT_FIXED, FIELD(policy), NP_LOCAL,
	  NP_INTERLEAVE, NP_LOCAL, "", policies,
	  "Memory is local to the thread that asks, or interleaved over "
	  "the nodes." },
	{ "strict", NP_OPT_NUMBER, NP_OPT_FIXED, FIELD(strict), 0, 1, 0, "",
	  NULL, "1 refuses a request that does not fit on its node." },
	{ "huge_pages", NP_OPT_WORD, NP_OPT_FIXED, FIELD(huge_pages),
	  NP_PAGES_DEFAULT, NP_PAGES_HUGETLB, NP_PAGES_DEFAULT, "", huge_pages,
	  "Huge pages of the kernel: default (as it is set), off, thp "
	  "(transparent) or hugetlb (of each node's reserve)." },
	{ "cache_pieces", NP_OPT_NUMBER, NP_OPT_FIXED, FIELD(cache_pieces), 0,
	  512, 512, "pieces", NULL,
	  "Pieces in one magazine of a thread cache at most; 0 = no thread "
	  "caches." },
	{ "cache_bytes", NP_OPT_BYTES, NP_OPT_LIVE, FIELD(cache_bytes), 0,
	  MOST_CACHE_BYTES, 16 << 20, "bytes", NULL,
	  "Bytes in the caches of an arena's threads, in loaded and in second "
	  "magazines each; a thread has its share, but 4 MiB at least." },
	{ "huge_bytes", NP_OPT_BYTES, NP_OPT_LIVE, FIELD(huge_bytes), 0,
	  MOST_BYTES, 64 << 20, "bytes", NULL,
	  "Bytes of freed huge blocks that are kept for the next, of each "
	  "node." },
	{ "decay_ms", NP_OPT_NUMBER, NP_OPT_LIVE, FIELD(decay_ms), -1, DAY_MS,
	  10000, "ms", NULL,
	  "Free pages return to the kernel after this time; 0 at once, "
	  "-1 never." },
	{ "soft_limit", NP_OPT_BYTES, NP_OPT_LIVE, FIELD(soft_limit), 0,
	  MOST_BYTES, 0, "bytes", NULL,
	  "Above this the pool gives back what it can; 0 = no limit." },
	{ "hard_limit", NP_OPT_BYTES, NP_OPT_LIVE, FIELD(hard_limit), 0,
	  MOST_BYTES, 0, "bytes", NULL,
	  "A request that would pass this fails; 0 = no limit." },
	{ "node_soft_limit", NP_OPT_BYTES, NP_OPT_LIVE,
	  FIELD(node_soft_limit), 0, MOST_BYTES, 0, "bytes", NULL,
	  "As soft_limit, for each node." },
	{ "node_hard_limit", NP_OPT_BYTES, NP_OPT_LIVE,
	  FIELD(node_hard_limit), 0, MOST_BYTES, 0, "bytes", NULL,
	  "As hard_limit, for each node." },
	{ "zero_on_free", NP_OPT_NUMBER, NP_OPT_FIXED, FIELD(zero_on_free), 0,
	  1, 0, "", NULL, "1 clears pieces when they are freed." },
	{ "pinned", NP_OPT_NUMBER, NP_OPT_FIXED, FIELD(pinned), 0, 1, 0, "",
	  NULL, "1 gives pages back only by whole chunks." },
	{ "background", NP_OPT_NUMBER, NP_OPT_PROCESS_LIVE, FIELD(background),
	  0, 1, 0, "", NULL,
	  "1 starts a thread that gives memory back when all others idle." },
	{ "leaks", NP_OPT_WORD, NP_OPT_PROCESS_LIVE, FIELD(leaks),
	  NP_LEAKS_DISABLED, NP_LEAKS_PARANOID, NP_LEAKS_DISABLED, "",
	  leak_levels,
	  "Buffers that are watched for leaks: disabled, simple (one of 128), "
	  "advanced (and their use) or paranoid (all)." },
	{ "check", NP_OPT_NUMBER, NP_OPT_PROCESS, FIELD(check), 0, 1, 0, "",
	  NULL,
	  "1 checks every free at the call, which takes the caches away." },
	{ "nodes", NP_OPT_NUMBER, NP_OPT_PROCESS, FIELD(nodes), 0, 64, 0,
	  "nodes", NULL,
	  "Pretends that the machine has so many nodes; 0 looks at it." },
	{ "stats", NP_OPT_WORD, NP_OPT_PROCESS, FIELD(stats), 0, 1, 1, "",
	  switched,
	  "Whether npool-stat can read the process's counters: on or off." },
	{ "segment", NP_OPT_TEXT, NP_OPT_PROCESS, FIELD(segment), 0, 0, 0,
	  "path", NULL,
	  "A directory for files of counters, which stay when the process "
	  "ends; empty = no files." },
	{ "trace", NP_OPT_TEXT, NP_OPT_PROCESS, FIELD(trace), 0, 0, 0,
	  "path", NULL,
	  "File of npool-trace to record into; empty = nothing is "
	  "recorded." },
};

const size_t np_noptions = sizeof np_options / sizeof np_options[0];

int64_t np_config_number(const struct np_config *config,
			 const struct np_option *option)
{
	int64_t value;

	memcpy(&value, (const char *)config + option->offset, sizeof value);
	return value;
}

static int64_t *number_of(struct np_config *config,
			  const struct np_option *option)
{
	return (int64_t *)(void *)((char *)config + option->offset);
}

void np_config_preset(struct np_config *config)
{
	memset(config, 0, sizeof *config);
	for (size_t i = 0; i < np_noptions; i++)
		if (np_options[i].type != NP_OPT_TEXT)
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

static bool set_text(struct np_config *config, const struct np_option *option,
		     const char *text)
{
	size_t size = strlen(text) + 1;

	if (size > NP_CONFIG_PATH_MAX)
		return false;
	memcpy((char *)config + option->offset, text, size);
	return true;
}

bool np_config_set_number(struct np_config *config,
			  const struct np_option *option, int64_t value)
{
	if (value < option->min || value > option->max ||
	    (option->type == NP_OPT_SIZE && !np_is_pow2((size_t)value)))
		return false;
	*number_of(config, option) = value;
	return true;
}

bool np_config_set(struct np_config *config, const struct np_option *option,
		   const char *text)
{
	bool is_size = option->type == NP_OPT_SIZE ||
		       option->type == NP_OPT_BYTES;
	int64_t value;

	if (option->type == NP_OPT_TEXT)
		return set_text(config, option, text);
	if (option->type == NP_OPT_WORD
	    ? !parse_word(text, option, &value)
	    : !parse_number(text, is_size, &value))
		return false;
	return np_config_set_number(config, option, value);
}

/* --- the text --------------------------------------------------------- */

const struct np_option *np_config_find(const char *name)
{
	for (size_t i = 0; i < np_noptions; i++)
		if (!strcmp(np_options[i].name, name))
			return &np_options[i];
	return NULL;
}

/* "a or b", "a, b or c" */
static void describe_words(const struct np_option *o, char *text, size_t size)
{
	size_t used = 0;

	for (const char *const *w = o->words; *w && used < size; w++)
		used += (size_t)snprintf(text + used, size - used, "%s%s",
					 w == o->words ? "" : w[1] ? ", "
					 : " or ", *w);
}

void np_config_describe(const struct np_option *o, char *text, size_t size)
{
	if (o->type == NP_OPT_TEXT)
		snprintf(text, size, "a %s below %d bytes", o->unit,
			 NP_CONFIG_PATH_MAX);
	else if (o->type == NP_OPT_WORD)
		describe_words(o, text, size);
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
	option = np_config_find(part);
	if (!option) {
		np_warn(NP_CONFIG_ENV ": there is no option '%s'; "
			"npool_options(7) lists them", part);
		return false;
	}
	if (value && np_config_set(config, option, value))
		return true;
	np_config_describe(option, range, sizeof range);
	np_warn(NP_CONFIG_ENV ": '%s' is no value for %s (%s); ignored",
		value ? value : "", part, range);
	return false;
}

bool np_config_geometry_fits(const struct np_config *config)
{
	return config->page_size << config->max_order <= (int64_t)1 << 30;
}

unsigned np_config_read(struct np_config *config, const char *text)
{
	char part[NP_CONFIG_PATH_MAX + 32];
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
	return bad;
}

unsigned np_config_parse(struct np_config *config, const char *text)
{
	struct np_config before = *config;
	unsigned bad = np_config_read(config, text);

	if (!np_config_geometry_fits(config)) {
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
	if (option->type == NP_OPT_TEXT)
		snprintf(text, size, "%s",
			 (const char *)config + option->offset);
	else if (option->type == NP_OPT_WORD)
		snprintf(text, size, "%s",
			 option->words[np_config_number(config, option)]);
	else
		snprintf(text, size, "%" PRId64,
			 np_config_number(config, option));
}
