/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * record-process: records a process that runs: asks it to, by a word in the
 * segment of its default pool, and ends that by the same word. See record.h.
 */
#include "record.h"
#include "recorder.h"
#include "segment.h"
#include "stat.h"
#include "tool.h"

#include <errno.h>
#include <fcntl.h> /* open */
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h> /* SYS_pidfd_open */
#include <time.h>
#include <unistd.h>

#define ANSWER_MS 10000 /* a busy process visits its slow path far more often */

static volatile sig_atomic_t is_interrupted;

static void interrupt(int sig)
{
	(void)sig;
	is_interrupted = 1;
}

/* --- its segment ------------------------------------------------------ */

/* The default pool's, to be closed. */
static struct view *find_segment(const struct target *t)
{
	char why[200] = "";

	for (size_t i = 0; i < t->nplaces; i++) {
		struct view *v = view_take(t, &t->places[i], why, sizeof why);

		if (v && !v->head.pool_slot)
			return v;
		view_close(v);
	}
	give_up(EXIT_SELF, "process %d: %s%s%s", (int)t->pid,
		!t->uses_npool ? "it does not use libnpool"
		: t->nplaces ? "its segment may not be written to"
		: "it shows no segment (stats:off, or another version?)",
		t->uses_npool && *why ? ": " : "", t->uses_npool ? why : "");
}

/* The next word that is odd, or even. */
static void set_word(struct np_segment_header *h, bool odd)
{
	uint32_t word = atomic_load_explicit(&h->recording,
					     memory_order_relaxed);

	atomic_store_explicit(&h->recording,
			      word + 1 + (((word + 1) & 1) != odd),
			      memory_order_relaxed);
}

/* --- the file of the rings -------------------------------------------- */

/* The folder in which the process looks for it; -1 with errno. */
static int open_folder(const struct target *t)
{
	char *path = format_text("%s", NP_TRACE_FILE_OF);
	int fd;

	*strrchr(path, '/') = '\0';
	fd = target_open(t->pid, path, O_PATH | O_DIRECTORY);
	free(path);
	return fd;
}

/* A path to it that leads nowhere else, whatever the process does to its own
 * files meanwhile. */
static char *path_of_rings(const struct target *t)
{
	int folder = open_folder(t);

	if (folder < 0)
		give_up(EXIT_SELF, "process %d: the folder of " NP_TRACE_FILE_OF
			"%d: %s", (int)t->pid, (int)t->pid_inside,
			strerror(errno));
	return format_text("/proc/self/fd/%d%s%d", folder,
			   strrchr(NP_TRACE_FILE_OF, '/'), (int)t->pid_inside);
}

/* --- the recording ---------------------------------------------------- */

/* To be asked whether the process has ended; -1: the kernel does not tell. */
static int open_process(pid_t pid)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);

	if (fd < 0 && errno == ESRCH)
		give_up(EXIT_SELF, "process %d: it has just ended", (int)pid);
	return fd;
}

/* One that its parent has not waited for has ended, too. */
static bool has_ended(const struct recorder *r)
{
	struct pollfd p = { .fd = r->process, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

/* Sleeps until it is time for the next look. */
static void poll_once(struct recorder *r)
{
	unsigned ms = recorder_poll(r);
	struct timespec pause = { .tv_sec = ms / 1000,
				  .tv_nsec = (long)(ms % 1000) * 1000000 };

	nanosleep(&pause, NULL);
}

/* Returns whether the process has begun. */
static bool wait_for_start(struct recorder *r)
{
	uint64_t end_ms = now_ms() + ANSWER_MS;

	while (!rings_are_used(r->rings) && now_ms() < end_ms &&
	       !is_interrupted && !has_ended(r))
		poll_once(r);
	return rings_are_used(r->rings);
}

static void wait_for_end(struct recorder *r)
{
	uint64_t seconds = r->options->seconds;
	uint64_t end_ms = seconds ? now_ms() + 1000 * seconds : UINT64_MAX;

	while (now_ms() < end_ms && !is_interrupted && !has_ended(r) &&
	       !rings_are_over(r->rings))
		poll_once(r);
}

/* It goes on into a file that nobody has any more if it does not see the word:
 * the pages of that are its own. */
static void stop(struct recorder *r, struct np_segment_header *h)
{
	uint64_t end_ms = now_ms() + ANSWER_MS;

	set_word(h, false);
	while (!rings_are_over(r->rings) && !has_ended(r) &&
	       now_ms() < end_ms)
		poll_once(r);
	if (!rings_are_over(r->rings) && !has_ended(r))
		complain("process %d made no call for %d s: it stops with the "
			 "next one", (int)r->pid, ANSWER_MS / 1000);
}

/* Without SA_RESTART: a sleep ends. */
static void catch_signals(void)
{
	struct sigaction action = { .sa_handler = interrupt };

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
}

int record_process(const struct record_options *o)
{
	struct recorder r = { .options = o, .pid = o->pid };
	struct np_segment_header *h;
	struct view *segment;
	struct target t;
	char why[200];
	bool began;

	if (!target_find(&t, o->pid, why, sizeof why))
		give_up(EXIT_SELF, "process %d: %s", (int)o->pid, why);
	segment = find_segment(&t);
	h = (struct np_segment_header *)(uintptr_t)segment->base;
	r.process = open_process(o->pid);
	catch_signals();
	recorder_open(&r, path_of_rings(&t), (uint32_t)t.pid_inside, t.owner);
	set_word(h, true);
	began = wait_for_start(&r);
	if (began)
		wait_for_end(&r);
	stop(&r, h);
	recorder_finish(&r);
	if (r.process >= 0)
		close(r.process);
	view_close(segment);
	target_free(&t);
	if (!began)
		complain("process %d has not begun to record: it looks for that"
			 " when a call misses its caches", (int)o->pid);
	return began ? 0 : EXIT_SELF;
}
