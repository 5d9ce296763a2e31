/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * Step 4 of npool_tutorial(7): the loop of step 3 once for each CPU, in a thread
 * that stays there: what a thread serves lies on its node.
 *
 *	cc -pthread -o tutorial-4 tutorial-4.c tutorial-loop.c \
 *		$(pkg-config --cflags --libs npool)
 *	./tutorial-4 [KIB]	the limit, if not 65536
 */
#define _GNU_SOURCE /* CPU_SET, getcpu */
#include "tutorial-loop.h"
#include "tutorial.h"

#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/eventfd.h>

#define LIMIT ((size_t)64 << 20) /* bytes of all buffers together */
#define LINE 64			 /* bytes of a cache line */

struct worker {
	_Alignas(LINE) struct loop loop;
	pthread_t thread;
	unsigned cpu, node; /* where it found itself */
};

static void *run(void *arg)
{
	struct worker *w = arg;

	getcpu(&w->cpu, &w->node);
	loop_run(&w->loop);
	return NULL; /* what its caches hold goes home now */
}

/* Pinned before it runs, so that its stack is of its node as well. */
static void start(struct worker *w, int cpu)
{
	pthread_attr_t attr;
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET((size_t)cpu, &cpus);
	must(!pthread_attr_init(&attr) &&
	     !pthread_attr_setaffinity_np(&attr, sizeof cpus, &cpus) &&
	     !pthread_create(&w->thread, &attr, run, w), "a thread");
	pthread_attr_destroy(&attr);
}

/* Returns how many: one for each CPU that the process may use. */
static unsigned start_all(struct worker *w, const cpu_set_t *cpus,
			  npool_t *pool, int stop)
{
	uint16_t port = 0;
	unsigned n = (unsigned)CPU_COUNT(cpus), started = 0;

	for (unsigned i = 0; i < n; i++)
		loop_init(&w[i].loop, pool, stop, &port); /* of one port */
	for (int cpu = 0; started < n; cpu++)
		if (CPU_ISSET((size_t)cpu, cpus))
			start(&w[started++], cpu);
	say_port(port);
	return n;
}

int main(int argc, char **argv)
{
	npool_t *pool = loop_pool(LIMIT, argc > 1 ? argv[1] : NULL);
	int signal, stop = eventfd(0, EFD_CLOEXEC);
	struct worker *w;
	cpu_set_t cpus;
	sigset_t term;
	unsigned n;

	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &term, NULL); /* of all threads */
	must(!sched_getaffinity(0, sizeof cpus, &cpus), "affinity");
	w = npool_alloc(npool_default(), (size_t)CPU_COUNT(&cpus) * sizeof *w,
			NPOOL_ZERO | NPOOL_ALIGN(LINE));
	must(w && stop >= 0, "threads");
	n = start_all(w, &cpus, pool, stop);
	sigwait(&term, &signal);
	must(!eventfd_write(stop, 1), "eventfd");
	for (unsigned i = 0; i < n; i++) {
		pthread_join(w[i].thread, NULL);
		printf("cpu %u, node %u: %" PRIu64 " messages\n", w[i].cpu,
		       w[i].node, w[i].loop.messages);
	}
	npool_free(w);
	return loop_end(pool);
}
