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
#include <sys/mman.h>
#include <sys/shm.h>
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

/* Shared memory, or the file, so that it can be written to; NULL: cannot. */
static struct np_segment_header *map_place(const struct target *t,
					   const struct place *place)
{
	char *path;
	void *p;
	int fd;

	if (!place->path) {
		p = shmat((int)place->number, NULL, 0);
		return p == (void *)-1 ? NULL : p;
	}
	path = format_text("/proc/%d/root%s", (int)t->pid, place->path);
	fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	free(path);
	if (fd < 0)
		return NULL;
	p = mmap(NULL, sizeof(struct np_segment_header),
		 PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	return p == MAP_FAILED ? NULL : p;
}

/* The default pool's; it stays mapped. */
static struct np_segment_header *find_segment(const struct target *t)
{
	for (size_t i = 0; i < t->nplaces; i++) {
		struct np_segment_header *h = map_place(t, &t->places[i]);

		if (h && h->magic == NP_SEGMENT_MAGIC &&
		    h->version == NP_SEGMENT_VERSION &&
		    h->header_size >= sizeof *h && !h->pool_slot &&
		    h->pid == (uint32_t)t->pid_inside)
			return h;
	}
	give_up(EXIT_SELF, "process %d: %s", (int)t->pid,
		!t->uses_npool ? "it does not use libnpool"
		: t->nplaces ? "its segment may not be written to"
		: "it shows no segment (stats:off, or another version?)");
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
	struct target t;
	char why[200];
	bool began;

	if (!target_find(&t, o->pid, why, sizeof why))
		give_up(EXIT_SELF, "process %d: %s", (int)o->pid, why);
	h = find_segment(&t);
	r.process = open_process(o->pid);
	catch_signals();
	recorder_open(&r, format_text("/proc/%d/root" NP_TRACE_FILE_OF "%d",
				      (int)t.pid, (int)t.pid_inside),
		      (uint32_t)t.pid_inside, t.owner);
	set_word(h, true);
	began = wait_for_start(&r);
	if (began)
		wait_for_end(&r);
	stop(&r, h);
	recorder_finish(&r);
	if (r.process >= 0)
		close(r.process);
	target_free(&t);
	if (!began)
		complain("process %d has not begun to record: it looks for that"
			 " when a call misses its caches", (int)o->pid);
	return began ? 0 : EXIT_SELF;
}
