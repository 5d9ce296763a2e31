/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * record: see record.h.
 */
#include "recorder.h"
#include "config.h"
#include "sizeclass.h"
#include "tool.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#define NRINGS 256	/* of threads at the same time, but for one */
#define POLL_MS 2	/* a ring must not be full before it is seen */
#define ROUND_MS 200	/* between two rounds, if no ring fills up */
#define FULL_PERCENT 10 /* of a ring: then a round is due */

/* --- what is told of the process ------------------------------------- */

static void tell_row(FILE *text, unsigned slot, unsigned class,
		     const struct np_class *row)
{
	fprintf(text, "class %u %u %" PRIu32 " %u %" PRIu32 "\n", slot, class,
		row->size, row->npages, row->nelems);
}

/* A pool, and its size classes: pool, class, size, pages, elements. */
static void tell_pool(void *recorder, unsigned slot, unsigned table,
		      unsigned page_shift, unsigned max_order)
{
	struct recorder *r = recorder;
	struct np_classes *classes = get_memory(1, sizeof *classes);
	char *text;
	size_t size;
	FILE *f = open_text(&text, &size);

	if (table <= NP_FINE &&
	    np_classes_init(classes, (enum np_class_table)table, page_shift,
			    max_order) == 0) {
		fprintf(f, "pool %u %s %zu %u\n", slot,
			table == NP_NETTY ? "netty" : "fine",
			(size_t)1 << page_shift, max_order);
		for (unsigned c = 1; c <= classes->n; c++)
			tell_row(f, slot, c, &classes->row[c]);
	}
	fclose(f);
	writer_info(r->writer, text);
	free(text);
	free(classes);
}

static void tell_begin(const struct recorder *r)
{
	const struct record_options *o = r->options;
	struct utsname machine;
	time_t now = time(NULL);
	struct tm tm;
	char date[32], *text;
	size_t size;
	FILE *f = open_text(&text, &size);

	uname(&machine);
	gmtime_r(&now, &tm);
	strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", &tm);
	fprintf(f, "libnpool %s\nmachine %s\ncpus %ld\nbegan %s\ncommand",
		PACKAGE_VERSION, machine.machine,
		sysconf(_SC_NPROCESSORS_ONLN), date);
	for (char **arg = o->command; arg && *arg; arg++) {
		char *printable = format_text("%s", *arg);

		make_printable(printable);
		fprintf(f, " %s", printable);
		free(printable);
	}
	fprintf(f, "\nstacks %u\nsizes %" PRIu64 " %" PRIu64 "\n",
		o->stack_every, o->size_min, o->size_max);
	for (size_t i = 0; i < np_noptions; i++)
		fprintf(f, "option %zu %s\n", i, np_options[i].name);
	fclose(f);
	writer_info(r->writer, text);
	free(text);
}

/* --- what is mapped where -------------------------------------------- */

static char *read_maps(pid_t pid)
{
	char *path = format_text("/proc/%d/maps", (int)pid);
	char *line = NULL, *text;
	size_t room = 0, size;
	FILE *in = fopen(path, "re"), *out = open_text(&text, &size);

	while (in && getline(&line, &room, in) > 0)
		fputs(line, out);
	if (in)
		fclose(in);
	fclose(out);
	free(line);
	free(path);
	return text;
}

/* Libraries come while the program runs. */
static void tell_maps(struct recorder *r)
{
	char *maps = read_maps(r->pid ? r->pid : r->command.pid);

	if (!*maps && !r->maps) { /* it has ended already */
		free(maps);
		maps = rings_maps(r->rings);
	}
	if (!*maps || (r->maps && !strcmp(maps, r->maps))) {
		free(maps);
		return;
	}
	writer_maps(r->writer, maps, strlen(maps));
	free(r->maps);
	r->maps = maps;
}

/* --- the rounds ------------------------------------------------------ */

static void do_round(struct recorder *r)
{
	r->polls = 0;
	rings_drain(r->rings, r->writer);
	if (rings_have_new_stacks(r->rings))
		tell_maps(r);
}

unsigned recorder_poll(void *recorder)
{
	struct recorder *r = recorder;

	if (++r->polls >= ROUND_MS / POLL_MS ||
	    rings_fullest(r->rings) >= FULL_PERCENT)
		do_round(r);
	return POLL_MS;
}

/* --- the file of the rings ------------------------------------------- */

static char *ring_to_remove;

/* At the latest when the tool exits, for whatever reason. */
static void remove_ring(void)
{
	if (ring_to_remove)
		unlink(ring_to_remove);
}

/* A name in a folder of memory that the process can be told, as NPOOL_CONF
 * is written. */
static char *name_ring(void)
{
	const char *folder;
	unsigned i = 0;

	while ((folder = command_folder(&i))) {
		char *path;

		if (access(folder, W_OK) != 0)
			continue;
		path = format_text("%s/npool-trace.%d", folder,
				   (int)getpid());
		if (strlen(path) < NP_CONFIG_PATH_MAX)
			return path;
		free(path);
	}
	give_up(EXIT_SELF, "no folder for the rings in $XDG_RUNTIME_DIR, "
		"/dev/shm, $TMPDIR or /tmp");
}

void recorder_open(struct recorder *r, char *path, uint32_t pid, uid_t owner)
{
	const struct record_options *o = r->options;

	r->writer = writer_open(o->output);
	tell_begin(r);
	r->ring_path = path;
	unlink(path); /* of one that was killed, of the same number */
	r->rings = rings_create(path, &(struct rings_options){
		.ring_size = o->ring_size, .nrings = NRINGS,
		.size_min = o->size_min, .size_max = o->size_max,
		.stack_every = o->stack_every, .pid = pid, .owner = owner });
	ring_to_remove = r->ring_path;
	atexit(remove_ring);
	rings_on_pool(r->rings, tell_pool, r);
}

/* --- the command ----------------------------------------------------- */

static void report_end(const struct recorder *r, const struct written *w)
{
	double seconds = (double)rings_now_ns(r->rings) / 1e9;

	complain("%s: %" PRIu64 " events in %.3f s, %" PRIu64 " lost "
		 "(%.3f %%), %" PRIu64 " bytes, %.2f an event",
		 r->options->output, w->events, seconds, w->lost,
		 w->events ? 100.0 * (double)w->lost /
			     (double)(w->events + w->lost) : 0,
		 w->bytes, w->events ? (double)w->bytes / (double)w->events
				     : 0);
}

bool recorder_finish(struct recorder *r)
{
	bool was_used = rings_are_used(r->rings);
	struct written written;

	do
		do_round(r);
	while (rings_fullest(r->rings));
	written = writer_close(r->writer, rings_now_ns(r->rings));
	if (was_used)
		report_end(r, &written);
	rings_destroy(r->rings);
	ring_to_remove = NULL;
	free(r->maps);
	free(r->ring_path);
	return was_used;
}

int record_command(const struct record_options *o)
{
	struct recorder r = { .options = o };
	char *face = face_find(o->face), *option;

	recorder_open(&r, name_ring(), 0, geteuid());
	option = format_text("trace:%s", r.ring_path);
	command_run(&r.command, o->command, face, option, recorder_poll, &r);
	if (!recorder_finish(&r))
		complain("the command was not recorded: it did not use "
			 "libnpool (is it static, or set-user-ID?)");
	command_finish(&r.command);
	free(option);
	free(face);
	return command_exit_code(&r.command);
}
