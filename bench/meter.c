/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * Time, and chance.
 *
 * A meter looks at the clock only every so many pairs, as many as take about
 * LOOK_NS: reading the time of a CPU is a system call. A quarter of the budget
 * goes by before anything counts, so that caches are warm and the allocator has
 * come to its rest.
 */
#include "harness.h"
#include "ns.h"

#include <fcntl.h> /* open */
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#define LOOK_NS 2e5
#define MAX_THREADS 64

/* ---- Time ---- */

void meter_init(struct meter *m, clockid_t clock, double budget_ns)
{
	*m = (struct meter){ .budget_ns = budget_ns,
			     .clock = clock,
			     .cpu_share = 1,
			     .wall_share = 1 };
}

void meter_start(struct meter *m)
{
	m->wall_start = ns_now(CLOCK_MONOTONIC);
	m->cpu_start = ns_now(m->clock);
	m->pairs = 0;
	m->next = m->stride = 1;
}

void meter_stop(struct meter *m, uint64_t n)
{
	m->cpu_ns = (ns_now(m->clock) - m->cpu_start) * m->cpu_share;
	m->wall_ns = (ns_now(CLOCK_MONOTONIC) - m->wall_start) * m->wall_share;
	m->pairs = n;
}

/* The clock is looked at: has this part of the time gone by? */
static bool part_is_over(struct meter *m)
{
	double part = m->warm ? m->budget_ns : m->budget_ns / 4;
	double gone = ns_now(m->clock) - m->cpu_start;

	if (gone * (double)m->stride < LOOK_NS * (double)m->pairs)
		m->stride *= 2;
	m->next = m->pairs + m->stride;
	return gone >= part;
}

bool meter_lap(struct meter *m, uint64_t n)
{
	if (m->cpu_start == 0) {
		meter_start(m);
		return true;
	}
	m->pairs += n;
	if (m->pairs < m->next || !part_is_over(m))
		return true;
	if (!m->warm) {
		m->warm = true;
		meter_start(m);
		return true;
	}
	meter_stop(m, m->pairs);
	return false;
}

/* ---- Several threads ---- */

struct worker {
	pthread_t thread;
	pthread_barrier_t *start;
	const struct row *row;
	work_fn *work;
	struct meter meter;
};

static void *worker_run(void *arg)
{
	struct worker *w = arg;

	pthread_barrier_wait(w->start);
	w->work(w->row, &w->meter);
	return NULL;
}

/* Threads beyond the CPUs wait for each other; that is no time of a pair. */
static double share_of_cpus(unsigned n)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	return (double)cpus < (double)n ? (double)cpus / n : 1;
}

void meter_threads(struct meter *m, unsigned n, const struct row *row,
		   work_fn *work)
{
	static struct worker workers[MAX_THREADS];
	pthread_barrier_t start;
	double budget = n > 2 ? m->budget_ns * 2 / n : m->budget_ns;

	if (n == 1) {
		m->clock = CLOCK_THREAD_CPUTIME_ID;
		work(row, m);
		return;
	}
	pthread_barrier_init(&start, NULL, n);
	for (unsigned i = 0; i < n; i++) {
		struct worker *w = &workers[i];

		*w = (struct worker){ .start = &start,
				      .row = row,
				      .work = work };
		meter_init(&w->meter, CLOCK_THREAD_CPUTIME_ID, budget);
		if (pthread_create(&w->thread, NULL, worker_run, w))
			fail("pthread_create", row->name);
	}
	for (unsigned i = 0; i < n; i++) {
		struct meter *one = &workers[i].meter;

		pthread_join(workers[i].thread, NULL);
		m->pairs += one->pairs;
		m->cpu_ns += one->cpu_ns;
		m->wall_ns += one->wall_ns * share_of_cpus(n);
	}
	pthread_barrier_destroy(&start);
}

/* ---- Sizes ---- */

uint32_t sizes[NSIZES];
const char *sizes_path;

void sizes_even(size_t smallest, size_t largest)
{
	uint64_t state = SEED;

	for (unsigned i = 0; i < NSIZES; i++)
		sizes[i] = (uint32_t)smallest +
			   chance_below(&state, largest - smallest + 1);
}

void sizes_log(size_t smallest, size_t largest)
{
	uint64_t state = SEED;
	double low = log((double)smallest), high = log((double)largest + 1);

	for (unsigned i = 0; i < NSIZES; i++) {
		double part = chance(&state) / 4294967296.0;

		sizes[i] = (uint32_t)exp(low + (high - low) * part);
	}
}

/* The file's text, without a byte from the allocator. */
static const char *read_file(const char *path)
{
	static char text[16384];
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);

	if (n <= 0 || n == sizeof text - 1)
		fail("the file of sizes", path ? path : "give --sizes");
	close(fd);
	text[n] = '\0';
	return text;
}

/* One line "size<TAB>count" at *at, which is moved on; comments are passed
 * over. Returns whether there was one. */
static bool next_size(const char **at, uint32_t *size, uint64_t *count)
{
	char *end;

	while (**at == '#') {
		while (**at && **at != '\n')
			++*at;
		*at += **at == '\n';
	}
	*size = (uint32_t)strtoul(*at, &end, 10);
	if (end == *at)
		return false;
	*count = strtoull(end, &end, 10);
	while (*end == '\n')
		end++;
	*at = end;
	return true;
}

void sizes_file(const char *path)
{
	const char *text = read_file(path), *at = text;
	uint64_t state = SEED, total = 0, count, gone = 0;
	uint32_t size;
	unsigned i = 0;

	while (next_size(&at, &size, &count))
		total += count;
	for (at = text; next_size(&at, &size, &count);)
		for (gone += count; i < NSIZES && i * total < gone * NSIZES;
		     i++)
			sizes[i] = size;
	if (i < NSIZES)
		fail("no sizes", path);
	for (i = NSIZES - 1; i > 0; i--) {
		unsigned j = chance_below(&state, i + 1);

		size = sizes[i];
		sizes[i] = sizes[j];
		sizes[j] = size;
	}
}
