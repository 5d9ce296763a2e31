/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * config: the options, one row each. The table feeds the parser, the fields of
 * struct npool_attr (attr.c), npool_option_set and _get, `npool-stat --config`,
 * npool_options(7) and the tests.
 *
 *	NPOOL_CONF="key:value,key:value"
 *
 * The environment is read once, by secure_getenv(3), when the default pool
 * starts, and is about that pool and the process. A key that is not known, or
 * a value out of its range, is named on standard error and ignored: a server
 * must not fail to start for a typing error.
 *
 * Owner: a config is a plain value; a pool's own is guarded by its lock once
 * the pool is there.
 */
#ifndef NP_CONFIG_H
#define NP_CONFIG_H

#include "base.h"

#define NP_CONFIG_ENV "NPOOL_CONF"
#define NP_CONFIG_PATH_MAX 256

struct np_config {
	/* Of a pool. */
	int64_t arenas;	    /* a node; 0 = one a CPU of the node */
	int64_t class_table; /* enum np_class_table */
	int64_t page_size;   /* bytes */
	int64_t max_order;
	int64_t policy;	     /* enum np_policy */
	int64_t huge_pages;  /* enum np_huge_pages */
	int64_t cache_pieces; /* of a class in a magazine; 0 = no caches */
	int64_t cache_bytes; /* in loaded and in second magazines each,
				of an arena's threads */
	int64_t huge_bytes;  /* of huge blocks that are kept, a node */
	int64_t decay_ms;    /* -1 = never */
	int64_t soft_limit, hard_limit;		  /* bytes; 0 = none */
	int64_t node_soft_limit, node_hard_limit; /* of each node */
	int64_t zero_on_free; /* bool */
	int64_t pinned;	     /* bool */
	int64_t strict;	     /* bool */
	char node_set[NP_CONFIG_PATH_MAX]; /* "0-3+8"; "" = all */
	/* Of the process. */
	int64_t check;	     /* bool */
	int64_t background;  /* bool */
	int64_t leaks;	     /* enum np_leak_level */
	int64_t nodes;	     /* invented ones; 0 = those of the machine */
	int64_t stats;	     /* bool: show the counters to others */
	char segment[NP_CONFIG_PATH_MAX]; /* directory; "" = none */
	char trace[NP_CONFIG_PATH_MAX];	  /* file of rings; "" = none */
};

enum np_policy { NP_LOCAL, NP_INTERLEAVE };

enum np_leak_level {
	NP_LEAKS_DISABLED,
	NP_LEAKS_SIMPLE,
	NP_LEAKS_ADVANCED,
	NP_LEAKS_PARANOID,
};

enum np_option_type {
	NP_OPT_NUMBER,
	NP_OPT_BYTES, /* a number that may end in K, M or G (of 1024) */
	NP_OPT_SIZE,  /* the same, a power of two */
	NP_OPT_WORD,
	NP_OPT_TEXT,
};

enum np_option_scope {
	NP_OPT_FIXED,	/* of a pool, fixed when it starts */
	NP_OPT_LIVE,	/* of a pool, can be set while it runs */
	NP_OPT_PROCESS, /* of the process, fixed when it starts */
	NP_OPT_PROCESS_LIVE,
};

struct np_option {
	const char *name;
	enum np_option_type type;
	enum np_option_scope scope;
	size_t offset;		  /* in struct np_config */
	int64_t min, max, preset;
	const char *unit;
	const char *const *words; /* NP_OPT_WORD: the value's names, NULL ends */
	const char *sentence;
};

extern const struct np_option np_options[];
extern const size_t np_noptions;

/* Sets every option to its preset. */
void np_config_preset(struct np_config *config);

/* The option of this name, or NULL. */
const struct np_option *np_config_find(const char *name);

/* Sets one option. Returns false, and changes nothing, if text is no value
 * for it. */
bool np_config_set(struct np_config *config, const struct np_option *option,
		   const char *text);

/* Sets an option that is a number. Returns false if it is out of range. */
bool np_config_set_number(struct np_config *config,
			  const struct np_option *option, int64_t value);

/* The value of an option that is no text. */
int64_t np_config_number(const struct np_config *config,
			 const struct np_option *option);

/* Is a chunk at most 1 GiB? */
bool np_config_geometry_fits(const struct np_config *config);

/* Says which values the option may have. */
void np_config_describe(const struct np_option *option, char *text,
			size_t size);

/* Sets the options that text names; NULL or "" = none. Warns of what it
 * cannot use. Returns how many parts it could not use. The geometry is the
 * caller's to look at. */
unsigned np_config_read(struct np_config *config, const char *text);

/* The same, and leaves the geometry as it was, with a warning, if that of text
 * does not fit. */
unsigned np_config_parse(struct np_config *config, const char *text);

/* Presets, then the environment. */
void np_config_load(struct np_config *config);

/* Writes the option's value as it would be given, at most size bytes with
 * the final NUL. */
void np_config_show(const struct np_config *config,
		    const struct np_option *option, char *text, size_t size);

#endif
