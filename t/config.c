/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * config: every row of the table of options is tried at its bounds and one
 * beyond; what cannot be used is named on standard error and changes nothing.
 */
#include "child.h"
#include "config.h"
#include "rng.h"
#include "tap.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/auxv.h> /* AT_SECURE */
#include <sys/stat.h>

static char said[CHILD_TEXT_MAX];

/* Parses, and catches what is said of it. */
static unsigned parse(struct np_config *config, const char *text)
{
	struct catch c = catch_begin();
	unsigned bad = np_config_parse(config, text);

	catch_end(&c, said);
	return bad;
}

static int64_t value_of(const struct np_config *config,
			const struct np_option *option)
{
	int64_t value;

	memcpy(&value, (const char *)config + option->offset, sizeof value);
	return value;
}

static const struct np_option *option_named(const char *name)
{
	const struct np_option *o = np_config_find(name);

	if (!o)
		bail_out("there is no option %s", name);
	return o;
}

static int64_t get(const struct np_config *config, const char *name)
{
	return value_of(config, option_named(name));
}

static bool is_number(const struct np_option *o)
{
	return o->type == NP_OPT_NUMBER || o->type == NP_OPT_BYTES ||
	       o->type == NP_OPT_SIZE;
}

static bool same(const struct np_config *a, const struct np_config *b)
{
	return !memcmp(a, b, sizeof *a);
}

/* The smallest of chunks, so that any page or order alone fits. */
static void preset_small(struct np_config *config)
{
	np_config_preset(config);
	parse(config, "page_size:4K,max_order:0");
}

/* --- rows ------------------------------------------------------------- */

static void accepts(const struct np_option *o, int64_t value)
{
	struct np_config config;
	char text[80];

	preset_small(&config);
	snprintf(text, sizeof text, "%s:%" PRId64, o->name, value);
	ok(parse(&config, text) == 0 && !*said &&
	   value_of(&config, o) == value, "%s is accepted", text);
}

/* Refused, with a warning that names the key, the value and the range. */
static void refuses(const struct np_option *o, int64_t value)
{
	struct np_config config, before;
	char text[80], min[24], max[24], given[24];

	preset_small(&config);
	before = config;
	snprintf(text, sizeof text, "%s:%" PRId64, o->name, value);
	snprintf(given, sizeof given, "%" PRId64, value);
	snprintf(min, sizeof min, "%" PRId64 "..", o->min);
	snprintf(max, sizeof max, "..%" PRId64, o->max);
	ok(parse(&config, text) == 1 && same(&config, &before) &&
	   strstr(said, NP_CONFIG_ENV) && strstr(said, o->name) &&
	   strstr(said, given) && strstr(said, min) && strstr(said, max),
	   "%s is refused, and the range is said", text);
}

static void test_rows(void)
{
	struct np_config config;

	np_config_preset(&config);
	for (size_t i = 0; i < np_noptions; i++) {
		const struct np_option *o = &np_options[i];

		ok(*o->name && o->unit && *o->sentence &&
		   o->sentence[strlen(o->sentence) - 1] == '.',
		   "%s has a unit and a sentence", o->name);
		if (!is_number(o))
			continue;
		ok(o->min <= o->preset && o->preset <= o->max &&
		   value_of(&config, o) == o->preset,
		   "%s: the preset is in range and in force", o->name);
		accepts(o, o->min);
		accepts(o, o->max);
		refuses(o, o->min - 1);
		refuses(o, o->max + 1);
		if (o->type == NP_OPT_SIZE) {
			refuses(o, o->min / 2);
			refuses(o, o->max * 2);
			refuses(o, o->min * 3);
		}
	}
}

static void test_find(void)
{
	bool found = true;

	for (size_t i = 0; i < np_noptions; i++)
		found = found && np_config_find(np_options[i].name) ==
				 &np_options[i];
	ok(found, "each option is found by its name, which no other has");
	ok(!np_config_find("") && !np_config_find("arena") &&
	   !np_config_find("arenass") && !np_config_find("Arenas") &&
	   !np_config_find("cache"), "no other name finds one");
}

/* Does the option show as the other config shows it? */
static bool shows_same(const struct np_config *a, const struct np_config *b,
		       const struct np_option *o)
{
	char of_a[NP_CONFIG_PATH_MAX], of_b[NP_CONFIG_PATH_MAX];

	np_config_show(a, o, of_a, sizeof of_a);
	np_config_show(b, o, of_b, sizeof of_b);
	return !strcmp(of_a, of_b);
}

/* Sets it to something else than its preset. */
static bool set_other(struct np_config *config, const struct np_option *o)
{
	int64_t other = o->preset == o->min ? o->max : o->min;

	return o->type == NP_OPT_TEXT ? np_config_set(config, o, "x")
				      : np_config_set_number(config, o, other);
}

/* Two rows of one field would be seen here. */
static void test_fields(void)
{
	struct np_config config, preset;
	bool alone = true;

	np_config_preset(&preset);
	for (size_t i = 0; i < np_noptions; i++) {
		config = preset;
		alone = alone && set_other(&config, &np_options[i]);
		for (size_t k = 0; k < np_noptions; k++)
			alone = alone && shows_same(&config, &preset,
						    &np_options[k]) == (i != k);
	}
	ok(alone, "to set one option changes it, and no other");
}

static void test_words(const char *name, const char *preset)
{
	const struct np_option *o = option_named(name);
	struct np_config config;
	bool said_all = true;
	char text[80];

	is_str(o->words[o->preset], preset, "%s: %s is the preset", name,
	       preset);
	for (int64_t i = o->min; i <= o->max; i++) {
		np_config_preset(&config);
		snprintf(text, sizeof text, "%s:%s", name, o->words[i]);
		ok(parse(&config, text) == 0 && value_of(&config, o) == i,
		   "%s is accepted", text);
	}
	ok(!o->words[o->max + 1], "there are no more words than values");
	snprintf(text, sizeof text, "%s:coarse", name);
	is_uint(parse(&config, text), 1, "%s is not", text);
	for (int64_t i = o->min; i <= o->max; i++)
		said_all = said_all && strstr(said, o->words[i]);
	ok(said_all && strstr(said, "'coarse'"),
	   "the words that are there are said");
	snprintf(text, sizeof text, "%s:%.3s", name, o->words[0]);
	is_uint(parse(&config, text), 1, "half a word is not");
	snprintf(text, sizeof text, "%s:1", name);
	is_uint(parse(&config, text), 1, "nor its number");
}

/* --- one value -------------------------------------------------------- */

/* Without the environment: who calls says himself what was wrong. */
static void test_set(void)
{
	const struct np_option *decay = option_named("decay_ms");
	const struct np_option *page = option_named("page_size");
	struct np_config config, before;
	struct catch c = catch_begin();
	bool refused;

	np_config_preset(&config);
	before = config;
	refused = !np_config_set(&config, decay, "-2") &&
		  !np_config_set(&config, decay, "") &&
		  !np_config_set(&config, decay, "1s") &&
		  !np_config_set(&config, page, "12K") &&
		  !np_config_set(&config, option_named("policy"), "0") &&
		  !np_config_set_number(&config, decay, -2) &&
		  !np_config_set_number(&config, decay, decay->max + 1) &&
		  !np_config_set_number(&config, page, 12288) &&
		  !np_config_set_number(&config, page, -4096) &&
		  !np_config_set_number(&config, page, INT64_MIN);
	catch_end(&c, said);
	ok(refused && same(&config, &before) && !*said,
	   "what is no value is refused, changes nothing, and nobody is told");
	ok(np_config_set(&config, decay, "250") &&
	   get(&config, "decay_ms") == 250, "a value is set from text");
	ok(np_config_set_number(&config, decay, -1) &&
	   get(&config, "decay_ms") == -1, "or from a number");
	ok(np_config_set(&config, page, "64K") &&
	   get(&config, "page_size") == 65536, "a size too");
}

static void test_describe(void)
{
	char text[80], few[5] = "....";
	bool good = true;

	for (size_t i = 0; i < np_noptions; i++) {
		const struct np_option *o = &np_options[i];
		char whole[400];

		np_config_describe(o, whole, sizeof whole);
		good = good && *whole && strlen(whole) < sizeof text &&
		       strstr(whole, o->unit);
	}
	ok(good, "what an option may be is said with its unit, in 79 bytes");
	np_config_describe(option_named("decay_ms"), text, sizeof text);
	is_str(text, "-1..86400000 ms", "a number by its range");
	np_config_describe(option_named("page_size"), text, sizeof text);
	is_str(text, "a power of two, 4096..1048576 bytes", "a size too");
	np_config_describe(option_named("cache_bytes"), text, sizeof text);
	is_str(text, "0..1073741824 bytes", "bytes need be no power of two");
	np_config_describe(option_named("policy"), text, sizeof text);
	is_str(text, "local or interleave", "words by name");
	np_config_describe(option_named("huge_pages"), text, sizeof text);
	is_str(text, "default, off, thp or hugetlb", "several of them");
	np_config_describe(option_named("node_set"), text, sizeof text);
	is_str(text, "a list of nodes below 256 bytes", "text by its length");
	np_config_describe(option_named("policy"), few, 4);
	is_str(few, "loc", "no more is written than there is room for");
}

static void test_scopes(void)
{
	static const char *const live[] = { "cache_bytes", "huge_bytes",
		"decay_ms", "soft_limit", "hard_limit", "node_soft_limit",
		"node_hard_limit" };
	static const char *const process[] = { "background", "leaks", "check",
					       "nodes", "stats", "segment",
					       "trace" };
	unsigned nlive = 0, nprocess = 0;
	bool good = true;

	for (size_t i = 0; i < sizeof live / sizeof *live; i++)
		good = good && option_named(live[i])->scope == NP_OPT_LIVE;
	for (size_t i = 0; i < sizeof process / sizeof *process; i++)
		good = good && option_named(process[i])->scope ==
			(i < 2 ? NP_OPT_PROCESS_LIVE : NP_OPT_PROCESS);
	for (size_t i = 0; i < np_noptions; i++) {
		nlive += np_options[i].scope == NP_OPT_LIVE;
		nprocess += np_options[i].scope >= NP_OPT_PROCESS;
	}
	ok(good && nlive == sizeof live / sizeof *live &&
	   nprocess == sizeof process / sizeof *process,
	   "bounds and decay can be set while a pool runs, the geometry "
	   "cannot");
}

/* --- texts and sizes -------------------------------------------------- */

static void test_texts(const char *name)
{
	const struct np_option *o = option_named(name);
	char text[NP_CONFIG_PATH_MAX + 80], shown[NP_CONFIG_PATH_MAX];
	struct np_config config;
	size_t key;

	np_config_preset(&config);
	np_config_show(&config, o, shown, sizeof shown);
	is_str(shown, "", "%s: empty is the preset", name);
	snprintf(text, sizeof text, "%s:/run/a:b", name);
	key = strlen(name) + 1;
	parse(&config, text);
	np_config_show(&config, o, shown, sizeof shown);
	is_str(shown, text + key, "it may hold a colon");
	memset(text + key, 'p', NP_CONFIG_PATH_MAX);
	text[key + NP_CONFIG_PATH_MAX - 1] = '\0';
	ok(!parse(&config, text) &&
	   (np_config_show(&config, o, shown, sizeof shown),
	    strlen(shown) == NP_CONFIG_PATH_MAX - 1), "and be 255 bytes long");
	text[key + NP_CONFIG_PATH_MAX - 1] = 'q';
	text[key + NP_CONFIG_PATH_MAX] = '\0';
	is_uint(parse(&config, text), 1, "but not 256");
	np_config_show(&config, o, shown, sizeof shown);
	ok(strstr(said, name) && strlen(shown) == NP_CONFIG_PATH_MAX - 1 &&
	   !strchr(shown, 'q'), "which is said, and changes nothing");
	text[key] = '\0';
	parse(&config, text);
	np_config_show(&config, o, shown, sizeof shown);
	is_str(shown, "", "it can be emptied");
}

static void test_units(void)
{
	static const struct {
		const char *name, *text;
		int64_t size; /* -1: refused */
	} known[] = {
		{ "page_size", "4K", 4096 },
		{ "page_size", "64K", 65536 },
		{ "page_size", "1M", 1 << 20 },
		{ "page_size", "16384", 16384 },
		{ "page_size", "1G", -1 },
		{ "page_size", "64k", -1 },
		{ "page_size", "64KB", -1 },
		{ "page_size", "K", -1 },
		{ "page_size", "4 K", -1 },
		{ "page_size", "12K", -1 },
		{ "page_size", "-4K", -1 },
		{ "page_size", "9007199254740993K", -1 },
		{ "page_size", "9223372036854775807G", -1 },
		{ "cache_bytes", "0", 0 },
		{ "cache_bytes", "0K", 0 },
		{ "cache_bytes", "12K", 12288 },
		{ "cache_bytes", "1000001", 1000001 },
		{ "cache_bytes", "1G", 1 << 30 },
		{ "cache_bytes", "1025M", -1 },
		{ "cache_bytes", "1T", -1 },
		{ "cache_bytes", "-1K", -1 },
		{ "huge_bytes", "3M", 3 << 20 },
		{ "soft_limit", "65536G", (int64_t)1 << 46 },
		{ "hard_limit", "65537G", -1 },
		{ "node_hard_limit", "17179869184G", -1 }, /* 2^64 */
		{ "node_soft_limit", "1M1", -1 },
		{ "arenas", "1K", -1 },
		{ "decay_ms", "1K", -1 },
		{ "cache_pieces", "0K", -1 },
	};

	for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
		struct np_config config, before;
		char text[80];

		preset_small(&config);
		before = config;
		snprintf(text, sizeof text, "%s:%s", known[i].name,
			 known[i].text);
		if (known[i].size >= 0)
			ok(!parse(&config, text) &&
			   get(&config, known[i].name) == known[i].size,
			   "%s is %" PRId64 " bytes", text, known[i].size);
		else
			ok(parse(&config, text) == 1 &&
			   same(&config, &before), "%s is refused", text);
	}
}

/* --- geometry --------------------------------------------------------- */

static void test_geometry(void)
{
	struct np_config config, before;
	bool good = true;
	char text[80];

	for (unsigned shift = 12; shift <= 20; shift++)
		for (unsigned order = 0; order <= 14; order++) {
			np_config_preset(&config);
			before = config;
			snprintf(text, sizeof text, "page_size:%u,"
				 "max_order:%u", 1u << shift, order);
			if (shift + order <= 30)
				good = good && !parse(&config, text) &&
				       get(&config, "page_size") ==
					       1 << shift &&
				       get(&config, "max_order") == order;
			else
				good = good && parse(&config, text) == 1 &&
				       same(&config, &before) &&
				       strstr(said, "1 GiB") &&
				       strstr(said, "page_size") &&
				       strstr(said, "max_order");
		}
	ok(good, "a chunk of at most 1 GiB is accepted, any other ignored");
	good = true;
	for (unsigned shift = 12; shift <= 20; shift++)
		for (unsigned order = 0; order <= 14; order++) {
			config.page_size = (int64_t)1 << shift;
			config.max_order = order;
			good = good && np_config_geometry_fits(&config) ==
				       (shift + order <= 30);
		}
	ok(good, "who sets them one by one can ask whether it fits");
	np_config_preset(&config);
	parse(&config, "page_size:16K,max_order:5");
	is_uint(parse(&config, "page_size:1M,max_order:14,arenas:3"), 1,
		"a chunk of 16 GiB is one thing to complain of");
	ok(get(&config, "page_size") == 16384 &&
	   get(&config, "max_order") == 5,
	   "ignored means: both are as they were");
	is_int(get(&config, "arenas"), 3, "what else was said counts");
}

/* --- garbage ---------------------------------------------------------- */

static void test_garbage(void)
{
	static const char *const texts[] = {
		"arenas", "arenas:", "arenas:x", "arenas:1x", "arenas:0x10",
		"arenas:1.5", "arenas:1:2", "arenas:--1", "arenas;1",
		"Arenas:1", "arenas :1", "arena:1", "arenass:1", ":5", ":",
		"arenas:99999999999999999999", "decay_ms:-2",
		"arenas:-9223372036854775808", "check:true", "cache:1",
		"cache_pieces:yes", "soft_limit:1Q", "policy:Local",
		"\xff\xfe", "%s%n:1", "arenas:%n", "frobnicate:1",
	};

	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		struct np_config config, before;
		size_t key = strcspn(texts[i], ":");

		np_config_preset(&config);
		before = config;
		if (!ok(parse(&config, texts[i]) == 1 &&
			same(&config, &before) &&
			memmem(said, strlen(said), texts[i], key) &&
			strchr(said, '\n') == said + strlen(said) - 1,
			"'%s' is named once and ignored", texts[i]))
			diag("%s", said);
	}
}

static void test_lists(void)
{
	struct np_config config, before;

	np_config_preset(&config);
	before = config;
	ok(!parse(&config, NULL) && !parse(&config, "") &&
	   !parse(&config, ",") && !parse(&config, ",,,") && !*said &&
	   same(&config, &before), "nothing said, nothing changed");
	is_uint(parse(&config, "arenas:3,foo:1,,check:1,bar,decay_ms:0,"), 2,
		"two of five parts cannot be used");
	ok(strstr(said, "'foo'") && strstr(said, "'bar'"), "both are named");
	ok(get(&config, "arenas") == 3 && get(&config, "check") == 1 &&
	   get(&config, "decay_ms") == 0, "the others count");
	parse(&config, "arenas:1,arenas:2");
	is_int(get(&config, "arenas"), 2, "of two that disagree the last");
}

static void test_long_text(void)
{
	static char text[200 * 1000];
	struct np_config config;
	size_t length;

	np_config_preset(&config);
	memset(text, 'x', 100000);
	strcpy(text + 100000, ",arenas:5");
	is_uint(parse(&config, text), 1, "a part of 100000 bytes");
	ok(strlen(said) < 200, "is not repeated");
	is_int(get(&config, "arenas"), 5, "and the next one counts");
	for (length = 0; length + 20 < sizeof text; )
		length += (size_t)sprintf(text + length, "arenas:%zu,",
					  length % 64);
	is_uint(parse(&config, text), 0, "thousands of parts are read");
}

/* Round the size of whatever holds a part. */
static void test_long_parts(void)
{
	struct np_config config;
	char text[1000];
	bool good = true;

	np_config_preset(&config);
	for (size_t length = 200; length < 600; length++) {
		memset(text, 'y', length);
		text[length] = '\0';
		good = good && parse(&config, text) == 1 &&
		       strchr(said, '\n') == said + strlen(said) - 1;
	}
	ok(good, "a part of 200 to 599 bytes is one line of complaint");
}

/* Bits of good text, put together badly. */
static void test_random_text(void)
{
	static const char *const bits[] = {
		"arenas", "page_size", "max_order", "segment", "classes",
		"policy", "local", "hard_limit", "node_set", "G", ":",
		":", ":", ",", ",", "netty", "fine", "0", "1", "4096", "64K",
		"-", "K", "M", " ", "\n", "%s", "\xff", "99999999999", "14",
	};
	struct catch c = catch_begin();
	struct rng rng = rng_seed(1);
	bool good = true;

	for (int n = 0; n < 5000; n++) {
		struct np_config config;
		char text[400] = "";

		for (uint64_t i = rng_below(&rng, 30); i > 0; i--)
			strcat(text, bits[rng_below(&rng, sizeof bits /
						    sizeof *bits)]);
		np_config_preset(&config);
		np_config_parse(&config, text);
		for (size_t i = 0; i < np_noptions; i++) {
			const struct np_option *o = &np_options[i];

			good = good && (o->type == NP_OPT_TEXT ||
					(value_of(&config, o) >= o->min &&
					 value_of(&config, o) <= o->max));
		}
		good = good && config.page_size << config.max_order <=
				       (int64_t)1 << 30;
	}
	catch_end(&c, said);
	ok(good, "whatever the text, every value is in its range");
}

/* --- show ------------------------------------------------------------- */

static void random_value(struct rng *rng, const struct np_option *o,
			 char *text, size_t size)
{
	uint64_t span = (uint64_t)(o->max - o->min) + 1;
	int64_t value = o->min + (int64_t)rng_below(rng, span);

	if (o->type == NP_OPT_TEXT)
		snprintf(text, size, "/run/%u", (unsigned)rng_below(rng, 99));
	else if (o->type == NP_OPT_WORD)
		snprintf(text, size, "%s", o->words[value]);
	else if (o->type == NP_OPT_SIZE)
		snprintf(text, size, "%" PRId64, o->min <<
			 rng_below(rng, np_log2((size_t)(o->max / o->min))));
	else
		snprintf(text, size, "%" PRId64, value);
}

/* Any one option set to text shows as text, and can be set from that. */
static bool shows(const struct np_option *o, const char *text)
{
	char part[400], shown[NP_CONFIG_PATH_MAX];
	struct np_config config;

	preset_small(&config);
	snprintf(part, sizeof part, "%s:%s", o->name, text);
	if (parse(&config, part))
		return false;
	np_config_show(&config, o, shown, sizeof shown);
	return !strcmp(shown, text);
}

static void test_show(void)
{
	const struct np_option *segment = option_named("segment");
	struct rng rng = rng_seed(2);
	struct np_config config;
	char text[NP_CONFIG_PATH_MAX], few[5] = "....";

	for (size_t i = 0; i < np_noptions; i++) {
		const struct np_option *o = &np_options[i];
		bool good = true;

		for (int n = 0; good && n < 50; n++) {
			random_value(&rng, o, text, sizeof text);
			good = shows(o, text);
		}
		ok(good, "%s shows as it was given", o->name);
	}
	np_config_preset(&config);
	parse(&config, "segment:/run/npool");
	np_config_show(&config, segment, few, 4);
	is_str(few, "/ru", "no more is written than there is room for");
	is_int(few[4], 0, "to the byte");
}

/* --- environment ------------------------------------------------------ */

static void test_load(void)
{
	struct np_config config, preset;

	np_config_preset(&preset);
	unsetenv(NP_CONFIG_ENV);
	memset(&config, 0x5a, sizeof config);
	np_config_load(&config);
	ok(same(&config, &preset), "no environment: the presets");
	setenv(NP_CONFIG_ENV, "arenas:7", 1);
	np_config_load(&config);
	is_int(get(&config, "arenas"), 7, NP_CONFIG_ENV " is read");
}

/* Run as "config.t report": says by its status how many arenas it was told to
 * make, or 100 if the kernel takes this for an ordinary program. */
static int report(void)
{
	struct np_config config;

	np_config_load(&config);
	return getauxval(AT_SECURE) ? (int)get(&config, "arenas") : 100;
}

static void exec_report(void *path)
{
	char *argv[] = { path, (char[]){ "report" }, NULL };

	execv(path, argv);
	_exit(101);
}

/* A group that we may give a file to and that is not ours, or -1. */
static gid_t other_group(void)
{
	gid_t groups[64];
	int n = getgroups(64, groups);

	for (int i = 0; i < n; i++)
		if (groups[i] != getgid())
			return groups[i];
	return geteuid() ? (gid_t)-1 : getgid() + 1;
}

/* Copies this program to the open file. */
static bool copy_self(int to)
{
	static char block[1 << 16];
	FILE *self = fopen("/proc/self/exe", "r");
	bool good = self;
	size_t n;

	while (good && (n = fread(block, 1, sizeof block, self)))
		good = write(to, block, n) == (ssize_t)n;
	if (self)
		fclose(self);
	return good;
}

static void test_secure(void)
{
	const char *folder = getenv("TMPDIR");
	struct child c = { 0 };
	char path[256];
	int file;
	bool made;

	snprintf(path, sizeof path, "%s/npool-XXXXXX", folder ? folder
							       : "/tmp");
	file = mkstemp(path);
	made = file >= 0 && copy_self(file) &&
	       fchown(file, (uid_t)-1, other_group()) == 0 &&
	       fchmod(file, 02755) == 0;
	if (file >= 0)
		close(file);
	if (made) {
		setenv(NP_CONFIG_ENV, "arenas:7", 1);
		c = child_run(exec_report, path);
	}
	if (file >= 0)
		unlink(path);
	if (!made || child_exited(&c, 100) || child_exited(&c, 101))
		skip(1, "needs a second group and a place for set-id programs");
	else
		ok(child_exited(&c, 0),
		   "a set-id program does not listen to its environment");
}

/* How many claims test_rows makes. */
static unsigned row_claims(void)
{
	unsigned n = 0;

	for (size_t i = 0; i < np_noptions; i++)
		n += 1u + (is_number(&np_options[i]) ? 5u : 0) +
		     (np_options[i].type == NP_OPT_SIZE ? 3u : 0);
	return n;
}

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "report"))
		return report();
	plan(row_claims() + 2 + 1 + 2 * 8 + 10 + 5 + 7 + 1 + 3 * 6 + 29 + 5 + 27 +
	     5 + 4 + 1 + 1 + (unsigned)np_noptions + 2 + 2 + 1);
	test_rows();
	test_find();
	test_fields();
	test_words("classes", "fine");
	test_words("policy", "local");
	test_words("huge_pages", "default");
	test_set();
	test_describe();
	test_scopes();
	test_texts("segment");
	test_texts("node_set");
	test_texts("trace");
	test_units();
	test_geometry();
	test_garbage();
	test_lists();
	test_long_text();
	test_long_parts();
	test_random_text();
	test_show();
	test_load();
	test_secure();
	return done();
}
