/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * live: reports of processes that run, as they are now; the list of all, and
 * the rates of some, a line each interval.
 *
 * A process is not stopped, asked or told: what it has mapped is looked up in
 * /proc, and its segments are read (stat-proc.c, stat-read.c).
 */
#include "stat.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define COMM_MAX 15    /* bytes of a name that the kernel keeps */
#define HEAD_LINES 20  /* rates between two headings */

/* --- reports ---------------------------------------------------------- */

static void say_why_not(const struct target *t, char *why, size_t size)
{
	snprintf(why, size, "%s", t->nplaces
		 ? "has no segment that can be read"
		 : t->lost_file
		 ? "counts in a file that was removed (npool-stat ended?)"
		 : t->uses_npool
		 ? "shows no counters: it has stats:off or no shared memory"
		 : "does not use npool, or not yet");
}

/* Has the process ended, executed a program or destroyed the pool since its
 * maps were read? */
static bool is_gone(const struct target *t, const struct place *place)
{
	struct target now;
	char why[200];
	bool gone = true;

	if (!target_find(&now, t->pid, why, sizeof why))
		return true;
	for (size_t i = 0; i < now.nplaces; i++)
		gone &= now.places[i].number != place->number;
	target_free(&now);
	return gone;
}

static void skip_segment(struct report *r, const struct target *t,
			 const char *why)
{
	char name[32];

	snprintf(name, sizeof name, "of process %d", (int)t->pid);
	report_skip(r, name, why);
}

static struct view *look_at_place(struct report *r, const struct target *t,
				  const struct place *place)
{
	char why[200] = "";
	struct view *view = view_look(t, place, why, sizeof why);

	if (!view && *why && !is_gone(t, place))
		skip_segment(r, t, why);
	return view;
}

static bool has_twin(struct view *const *views, size_t n, size_t i)
{
	for (size_t k = 0; k < n; k++)
		if (k != i && views[k] && views[i] &&
		    views[k]->head.pool_slot == views[i]->head.pool_slot)
			return true;
	return false;
}

/* A pool that was destroyed while the maps were read is in them beside the next
 * that got its slot, and its segment is there as long as another reader has it
 * attached. */
static void drop_destroyed(const struct target *t, struct view **views)
{
	for (size_t i = 0; i < t->nplaces; i++)
		if (has_twin(views, t->nplaces, i) &&
		    is_gone(t, &t->places[i])) {
			view_close(views[i]);
			views[i] = NULL;
		}
}

static void add_view(struct report *r, const struct target *t,
		     const struct view *view, struct samples *samples)
{
	if (report_has(r, view)) {
		skip_segment(r, t, "another one is of the same pool");
		return;
	}
	samples_take(samples, view);
	report_add(r, view, samples, LIFE_RUNNING);
}

bool report_target(struct report *r, const struct target *t,
		   struct samples *samples, char *why, size_t size)
{
	struct view **views = get_memory(t->nplaces, sizeof *views);
	bool was_read = false;

	r->is_live = true;
	for (size_t i = 0; i < t->nplaces; i++)
		views[i] = look_at_place(r, t, &t->places[i]);
	drop_destroyed(t, views);
	for (size_t i = 0; i < t->nplaces; i++) {
		if (views[i])
			add_view(r, t, views[i], samples);
		was_read |= views[i] != NULL;
		view_close(views[i]);
	}
	free(views);
	r->sample_error = samples->error;
	if (!was_read)
		say_why_not(t, why, size);
	return was_read;
}

bool report_process(struct report *r, pid_t pid, struct samples *samples,
		    char *why, size_t size)
{
	struct target t;
	bool was_read;

	if (!target_find(&t, pid, why, size))
		return false;
	was_read = report_target(r, &t, samples, why, size);
	target_free(&t);
	return was_read;
}

/* name: NULL for any. */
static bool is_called(const struct target *t, const char *name)
{
	return (t->uses_npool || t->nplaces) &&
	       (!name || !strncmp(t->program, name, COMM_MAX));
}

/* Those that can be read; why is that of the last that cannot. */
static bool report_called(struct report *r, const char *name,
			  struct samples *samples, char *why, size_t size)
{
	pid_t *pids;
	size_t n = target_pids(&pids);
	bool was_read = false;
	struct target t;

	snprintf(why, size, "no process of this name uses npool (to run a "
		 "command, put -- before it)");
	for (size_t i = 0; i < n; i++) {
		char not[200];

		if (!target_find(&t, pids[i], not, sizeof not))
			continue;
		if (is_called(&t, name))
			was_read |= report_target(r, &t, samples, why, size);
		target_free(&t);
	}
	free(pids);
	return was_read;
}

/* A process id, or -1: it is none. */
static pid_t parse_pid(const char *text)
{
	char *end;
	unsigned long pid = strtoul(text, &end, 10);

	return isdigit((unsigned char)*text) && !*end && pid && pid <= INT_MAX
		? (pid_t)pid : -1;
}

bool report_named(struct report *r, const char *name, struct samples *samples,
		  char *why, size_t size)
{
	pid_t pid = parse_pid(name);

	return pid > 0 ? report_process(r, pid, samples, why, size)
		       : report_called(r, name, samples, why, size);
}

void report_all(struct report *r, struct samples *samples)
{
	char why[200];

	report_called(r, NULL, samples, why, sizeof why);
}

/* --- the list --------------------------------------------------------- */

static struct listed list_one(const struct target *t,
			      const struct options *options)
{
	struct report r = { .options = options };
	struct samples samples = { 0 };
	struct listed row = { .pid = t->pid };
	char why[200];

	memcpy(row.program, t->program, sizeof row.program);
	if (report_target(&r, t, &samples, why, sizeof why)) {
		row.nodes = r.nnodes;
		row.pools = r.nprocesses;
		row.total = r.total;
	} else {
		row.why = format_text("%s", why);
	}
	report_free(&r);
	samples_free(&samples);
	return row;
}

size_t list_read(struct listed **list, const struct options *options)
{
	pid_t *pids;
	size_t npids = target_pids(&pids), n = 0;
	struct target t;

	*list = NULL;
	for (size_t i = 0; i < npids; i++) {
		char why[200];

		if (!target_find(&t, pids[i], why, sizeof why))
			continue;
		if (t.uses_npool || t.nplaces) {
			*list = grow(*list, n, sizeof **list);
			(*list)[n++] = list_one(&t, options);
		}
		target_free(&t);
	}
	free(pids);
	return n;
}

static void print_listed(FILE *out, const struct listed *row)
{
	const struct total *t = &row->total;
	cell program, threads, reserved, used, cached, hits, local;

	if (row->why) {
		fprintf(out, "%7d %-15s %s\n", (int)row->pid,
			show_name(program, row->program, 15), row->why);
		return;
	}
	fprintf(out, "%7d %-15s %5zu %7s %8s %9s %9s %6s %6s\n",
		(int)row->pid, show_name(program, row->program, 15), row->nodes,
		show_count(threads, t->threads),
		show_bytes(reserved, t->reserved), show_bytes(used, t->used),
		show_bytes(cached, t->cached),
		show_percent(hits, t->hits, t->allocs),
		show_percent(local, t->pages.local, t->pages.resident));
}

void list_print(FILE *out, const struct listed *list, size_t n)
{
	fputs("    pid command         nodes threads reserved      used"
	      "    cached   hits  local\n", out);
	for (size_t i = 0; i < n; i++)
		print_listed(out, &list[i]);
}

void list_free(struct listed *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(list[i].why);
	free(list);
}

/* --- rates ------------------------------------------------------------ */

static void sleep_until(uint64_t ms)
{
	struct timespec due = { .tv_sec = (time_t)(ms / 1000),
				.tv_nsec = (long)(ms % 1000) * 1000000 };

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL) ==
	       EINTR)
		;
}

/* A look at the processes. */
static bool look(const struct options *o, struct report *r)
{
	struct samples samples = { 0 };
	char why[200];
	bool was_read;

	*r = (struct report){ .options = o };
	was_read = report_named(r, o->target, &samples, why, sizeof why);
	if (!was_read)
		complain("process %s: %s", o->target, why);
	samples_free(&samples);
	return was_read;
}

/* Of the oldest process. */
static uint64_t age_ms(const struct report *r)
{
	uint64_t oldest = 0;

	for (size_t i = 0; i < r->nprocesses; i++) {
		uint64_t age = target_age_ms(r->processes[i].pid);

		oldest = age > oldest ? age : oldest;
	}
	return oldest;
}

/* What a pool had counted before; nothing if its process is new, or nobody had
 * looked. NULL: it was there, but could not be read, and what it has counted
 * in all its life is not what it counted since. */
static const struct total *total_before(const struct report *before,
					uint64_t before_ms,
					const struct process *p)
{
	static const struct total nothing;

	for (size_t i = 0; i < before->nprocesses; i++)
		if (process_is_same(&before->processes[i], p))
			return &before->processes[i].total;
	if (!before->nprocesses ||
	    target_age_ms(p->pid) <= sub_u64(now_ms(), before_ms))
		return &nothing;
	return NULL;
}

struct total totals_since(const struct report *now,
			  const struct report *before, uint64_t before_ms)
{
	struct total since = { 0 };

	for (size_t i = 0; i < now->nprocesses; i++) {
		const struct process *p = &now->processes[i];
		const struct total *old = total_before(before, before_ms, p);

		for (const struct figure *f = total_figures; old && f->key;
		     f++) {
			uint64_t *to = figure_in(&since, f);

			*to = add_u64(*to, sub_u64(*figure_in(&p->total, f),
						   *figure_in(old, f)));
		}
	}
	return since;
}

static const char *rate(cell to, uint64_t n, uint64_t ms)
{
	return show_count(to, per_second(n, ms));
}

static void print_rates(FILE *out, const struct rates *r)
{
	const struct total *now = r->now, *s = &r->since;
	uint64_t ms = r->elapsed_ms;
	cell threads, reserved, used, cached, allocs, frees, hits, visits,
		local;

	fprintf(out, "%7s %9s %9s %9s %9s %9s %6s %8s %6s\n",
		show_count(threads, now->threads),
		show_bytes(reserved, now->reserved),
		show_bytes(used, now->used), show_bytes(cached, now->cached),
		rate(allocs, s->allocs, ms), rate(frees, s->frees, ms),
		show_percent(hits, s->hits, s->allocs),
		rate(visits, add_u64(s->fills, s->flushes), ms),
		show_percent(local, now->pages.local, now->pages.resident));
}

static void print_rates_head(FILE *out)
{
	fputs("threads  reserved      used    cached  allocs/s   frees/s"
	      "   hits arenas/s  local\n", out);
}

/* Returns the exit code. */
static int print_line(FILE *out, const struct options *o,
		      const struct rates *r, uint64_t line)
{
	int status = 0;

	if (o->json) {
		status = json_print_rates(out, r);
	} else {
		if (line % HEAD_LINES == 0)
			print_rates_head(out);
		print_rates(out, r);
	}
	if (fflush(out) == 0 && status == 0)
		return EXIT_SUCCESS;
	complain("the output could not be written: %s", strerror(errno));
	return EXIT_SELF;
}

int rates_watch(FILE *out, const struct options *o)
{
	struct report before = { 0 }, now;
	uint64_t due = now_ms(), looked_ms = 0;
	int code = EXIT_SUCCESS;

	for (uint64_t line = 0; !o->count || line < o->count; line++) {
		struct rates r = { .now = &now.total };
		uint64_t at = now_ms();

		if (!look(o, &now)) {
			code = EXIT_SKIPPED;
		} else {
			r.elapsed_ms = line ? at - looked_ms : age_ms(&now);
			r.since = totals_since(&now, &before, looked_ms);
			code = print_line(out, o, &r, line);
		}
		report_free(&before);
		before = now;
		looked_ms = at;
		due += o->interval_ms;
		if (code || line + 1 == o->count)
			break;
		sleep_until(due);
	}
	report_free(&before);
	return code;
}
