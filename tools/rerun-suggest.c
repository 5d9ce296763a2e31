/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * rerun-suggest: npool-trace replay --suggest: replays a recording with one
 * option after the other, keeps what was better, and replays the best and the
 * recorded ones in turn, to see whether it is; see rerun.h.
 *
 * Better is less in memory at the peak, by a fiftieth at least, for calls that
 * take a quarter more time at most. Memory comes out the same each time. Times
 * do not: they are taken of both in turn, three of each; the least is what
 * others have disturbed the least, and the last word has the median. Who was too
 * slow may have been disturbed each time, and is heard again. What a replay
 * cannot know is not tried: how many arenas keep threads from waiting, and what
 * page faults cost which decay brings about.
 */
#include "report.h"
#include "rerun.h"
#include "tool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h> /* lseek */

#define VALUES_MOST 5
#define ROUNDS 3     /* of two in turn */
#define HEARINGS 3   /* before it is too slow */
#define LESS 0.98    /* of the memory: less of a gain is none */
#define MORE 1.25    /* of the time: more is too much */

static const struct {
	const char *option;
	const char *value[VALUES_MOST]; /* NULL ends */
} grid[] = {
	{ "classes", { "fine", "netty" } },
	{ "page_size", { "4096", "8192", "16384", "32768" } },
	{ "max_order", { "7", "9", "11" } },
	{ "cache_bytes", { "1M", "4M", "16M" } },
	{ "cache_pieces", { "32", "128", "512" } },
};

struct trial {
	char *conf;	   /* NULL: as recorded */
	uint64_t charged, reserved; /* bytes, at the peak */
	double ns;	   /* of a call */
};

struct suggest {
	const struct rerun_options *o;
	int fd;
	const char *name;
	struct trial base, best;
	unsigned ntrials;
};

static char *join(const char *a, const char *b)
{
	return a && b ? format_text("%s,%s", a, b)
		      : format_text("%s", a ? a : b);
}

/* Fills in the rest of *t. Options that do not fit the recorded ones need more
 * than there is. Returns an exit code. */
static int replay(struct suggest *s, struct trial *t)
{
	struct outcome *out = get_memory(1, sizeof *out);
	struct rerun_options o = *s->o;
	char *conf = t->conf ? join(o.conf, t->conf) : NULL;
	int code = READ_FAILED;

	if (conf)
		o.conf = conf;
	o.is_trial = conf != NULL;
	if (lseek(s->fd, 0, SEEK_SET) != 0)
		complain("%s: %s; --suggest needs a file that can be read "
			 "again", s->name, strerror(errno));
	else
		code = outcome_get(out, s->fd, s->name, &o);
	s->ntrials++;
	t->charged = out->waste.charged;
	t->reserved = out->replayed.reserved_peak;
	t->ns = outcome_ns_a_call(out);
	if (o.is_trial && code == READ_DAMAGED) {
		t->charged = UINT64_MAX;
		code = READ_OK;
	} else if (code == READ_OK && !t->charged) {
		complain("%s: there is nothing to replay", s->name);
		code = READ_FAILED;
	}
	free(conf);
	free(out);
	return code;
}

static bool takes_less(const struct trial *t, const struct trial *than)
{
	return (double)t->charged <= LESS * (double)than->charged;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Replays this one and the recorded options in turn, each as often the first as
 * the second, so that what changes meanwhile on the machine is no gain of
 * either. Their times are then those of this rank, 0 the least. */
static int take_turns(struct suggest *s, struct trial *t, unsigned rank)
{
	struct trial *of[2] = { t, &s->base };
	double ns[2][ROUNDS];
	int code = READ_OK;

	for (unsigned i = 0; code == READ_OK && i < 2 * ROUNDS; i++) {
		unsigned k = (i + 1) / 2 % 2;

		code = replay(s, of[k]);
		ns[k][i / 2] = of[k]->ns;
	}
	for (unsigned k = 0; code == READ_OK && k < 2; k++) {
		qsort(ns[k], ROUNDS, sizeof ns[k][0], by_value);
		of[k]->ns = ns[k][rank];
	}
	return code;
}

/* Is it fast enough, one time of so many? Then those are its times. Returns an
 * exit code. */
static int hear(struct suggest *s, struct trial *t, unsigned rank, bool *fast)
{
	int code = READ_OK;

	*fast = false;
	for (unsigned i = 0; code == READ_OK && !*fast && i < HEARINGS; i++) {
		code = take_turns(s, t, rank);
		*fast = code == READ_OK && t->ns <= MORE * s->base.ns;
	}
	return code;
}

/* Is it better than the best so far? Returns an exit code. */
static int try_one(struct suggest *s, struct trial *t, bool *won)
{
	int code = replay(s, t);

	*won = false;
	if (code != READ_OK || !takes_less(t, &s->best))
		return code;
	return hear(s, t, 0, won);
}

static int try_row(struct suggest *s, size_t row)
{
	char *kept = s->best.conf ? format_text("%s", s->best.conf) : NULL;
	int code = READ_OK;

	for (size_t i = 0; code == READ_OK && i < VALUES_MOST &&
	     grid[row].value[i]; i++) {
		char *part = format_text("%s:%s", grid[row].option,
					 grid[row].value[i]);
		struct trial t = { .conf = join(kept, part) };
		bool won;

		free(part);
		code = try_one(s, &t, &won);
		if (won) {
			free(s->best.conf);
			s->best = t;
		} else {
			free(t.conf);
		}
	}
	free(kept);
	return code;
}

static void print_trial(const char *what, const struct trial *t)
{
	printf("%-12s  %14s  %14s  %14.1f\n", what, in_bytes(t->charged),
	       in_bytes(t->reserved), t->ns);
}

static void print_outcome(const struct suggest *s, bool found)
{
	printf("recording   %s: %u replays\n", s->name, s->ntrials);
	printf("%-12s  %14s  %14s  %14s\n", "", "in memory", "reserved",
	       "ns a call");
	print_trial("as it is", &s->base);
	if (found)
		print_trial("suggested", &s->best);
	if (found)
		printf("gain        %.1f %% in memory, %.1f %% in time, "
		       "confirmed by %u replays\n%s\n",
		       100 - 100.0 * (double)s->best.charged /
			     (double)s->base.charged,
		       100 - 100 * s->best.ns / s->base.ns, 2 * ROUNDS,
		       s->best.conf);
	else
		printf("nothing that was tried is better\n");
}

int rerun_suggest(int fd, const char *name, const struct rerun_options *o)
{
	struct suggest s = { .o = o, .fd = fd, .name = name };
	bool found = false;
	int code = replay(&s, &s.base);

	s.best = s.base;
	for (size_t i = 0; code == READ_OK && i < sizeof grid / sizeof *grid;
	     i++)
		code = try_row(&s, i);
	if (code == READ_OK && s.best.conf)
		code = hear(&s, &s.best, ROUNDS / 2, &found);
	if (code == READ_OK && !o->quiet)
		print_outcome(&s, found);
	free(s.best.conf);
	return written_result(code);
}
