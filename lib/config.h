/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * config: the options, one row each. The table feeds the parser, `npool-stat
 * --config`, npool(7) and the tests.
 *
 *	NPOOL_CONF="key:value,key:value"
 *
 * The environment is read once, by secure_getenv(3), when the pool starts. A
 * key that is not known, or a value out of its range, is named on standard
 * error and ignored: a server must not fail to start for a typing error.
 */
#ifndef NP_CONFIG_H
#define NP_CONFIG_H

#include "base.h"

#define NP_CONFIG_ENV "NPOOL_CONF"
#define NP_CONFIG_PATH_MAX 256

struct np_config {
	int64_t arenas;	    /* a node; 0 = one a CPU of the node */
	int64_t class_table; /* enum np_class_table */
	int64_t page_size;   /* bytes */
	int64_t max_order;
	int64_t decay_ms;    /* -1 = never */
	int64_t cache;	     /* bool */
	int64_t check;	     /* bool */
	int64_t nodes;	     /* invented ones; 0 = those of the machine */
	char segment[NP_CONFIG_PATH_MAX]; /* directory; "" = none */
};

enum np_option_type { NP_OPT_NUMBER, NP_OPT_SIZE, NP_OPT_WORD, NP_OPT_PATH };

struct np_option {
	const char *name;
	enum np_option_type type;
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

/* Sets the options that text names; NULL or "" = none. Warns of what it
 * cannot use. Returns how many parts it could not use. */
unsigned np_config_parse(struct np_config *config, const char *text);

/* Presets, then the environment. */
void np_config_load(struct np_config *config);

/* Writes the option's value as it would be given, at most size bytes with
 * the final NUL. */
void np_config_show(const struct np_config *config,
		    const struct np_option *option, char *text, size_t size);

#endif
