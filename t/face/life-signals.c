/*
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * life-signals.c - malloc that is interrupted by signal handlers.
 *
 * Run by face-life.t.  The handlers do what signal-safety(7) allows and no
 * more; they come at any moment of malloc and free, since a timer sends the
 * signals while all threads are busy with nothing else.  A process that
 * hangs is ended by its patience.
 */
#include "life.h"
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>

enum { BUSY = 3, PATIENCE = 60, STACK = 64 * 1024 };
static int came, stop, ends[2];
static sem_t posted;

static void be_patient(void)
{
	struct timespec start, now;

	clock_gettime(CLOCK_MONOTONIC, &start);
	do {
		struct timespec rest = { 0, 1000000 };

		nanosleep(&rest, NULL);
		clock_gettime(CLOCK_MONOTONIC, &now);
		CHECK(now.tv_sec < start.tv_sec + PATIENCE,
		      "only %d signals came", came);
	} while (!__atomic_load_n(&stop, __ATOMIC_RELAXED));
}

static void *busy(void *arg)
{
	size_t round = (size_t)(uintptr_t)arg * 1000;

	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		exercise(200, round++);
		free(take(300 * KIB));
		if (round % 64 == 0)
			malloc_trim(0);
	}
	return NULL;
}

static void handle(int signal, void (*handler)(int), int flags)
{
	struct sigaction action;

	memset(&action, 0, sizeof(action));
	action.sa_handler = handler;
	action.sa_flags = flags;
	sigfillset(&action.sa_mask);
	CHECK(sigaction(signal, &action, NULL) == 0, "sigaction");
}

/* A signal to the process every so many microseconds: some busy thread of it
 * is interrupted. */
static void send_often(long usec)
{
	struct itimerval often = { { 0, usec }, { 0, usec } };

	CHECK(setitimer(ITIMER_REAL, &often, NULL) == 0, "setitimer");
}

static void start_busy(pthread_t *thread)
{
	sigset_t alarm_only;

	for (size_t i = 0; i < BUSY; i++)
		CHECK(pthread_create(&thread[i], NULL, busy,
				     (void *)(uintptr_t)(i + 1)) == 0,
		      "no thread");
	/* Not this one, which only waits. */
	sigemptyset(&alarm_only);
	sigaddset(&alarm_only, SIGALRM);
	pthread_sigmask(SIG_BLOCK, &alarm_only, NULL);
}

static void join_busy(pthread_t *thread)
{
	for (size_t i = 0; i < BUSY; i++)
		CHECK(pthread_join(thread[i], NULL) == 0, "no join");
	send_often(0);
}

/* Says that a signal came; the last one that counts ends it all. */
static void count_to(int wanted)
{
	if (__atomic_add_fetch(&came, 1, __ATOMIC_RELAXED) >= wanted)
		__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
}

static void be_safe(int signal)
{
	int error = errno;
	struct timespec now;
	sigset_t mask;
	char c = (char)signal;

	clock_gettime(CLOCK_MONOTONIC, &now);
	sem_post(&posted);
	if (write(ends[1], &c, 1) == 1 && read(ends[0], &c, 1) != 1)
		_exit(3);
	pthread_sigmask(SIG_BLOCK, NULL, &mask);
	if (getppid() == 0 || access("/", F_OK) != 0 || c != (char)signal)
		_exit(4);
	errno = error;
	count_to(2000);
}

static void safe_calls(void)
{
	pthread_t thread[BUSY];
	int value = 0;

	CHECK(pipe2(ends, O_CLOEXEC) == 0, "pipe2");
	CHECK(sem_init(&posted, 0, 0) == 0, "sem_init");
	handle(SIGALRM, be_safe, SA_RESTART);
	start_busy(thread);
	send_often(100);
	be_patient();
	join_busy(thread);
	sem_getvalue(&posted, &value);
	CHECK(value >= 2000, "%d posts", value);
	exercise(2000, 5);
}

/* On a stack of its own, which it was given by malloc. */
static void *busy_aside(void *arg)
{
	stack_t stack, off;
	char *p = take(STACK);

	memset(&stack, 0, sizeof(stack));
	memset(&off, 0, sizeof(off));
	off.ss_flags = SS_DISABLE;
	stack.ss_sp = p;
	stack.ss_size = STACK;
	CHECK(sigaltstack(&stack, NULL) == 0, "sigaltstack");
	busy(arg);
	CHECK(sigaltstack(&off, NULL) == 0, "sigaltstack");
	free(p);
	return NULL;
}

static void be_aside(int signal)
{
	char here[8192];

	memset(keep(here), signal, sizeof(here));
	count_to(1000);
}

static void other_stacks(void)
{
	pthread_t thread[BUSY];

	handle(SIGUSR1, be_aside, SA_ONSTACK | SA_RESTART);
	for (size_t i = 0; i < BUSY; i++)
		CHECK(pthread_create(&thread[i], NULL, busy_aside,
				     (void *)(uintptr_t)(i + 1)) == 0,
		      "no thread");
	for (size_t i = 0; !__atomic_load_n(&stop, __ATOMIC_RELAXED); i++) {
		struct timespec rest = { 0, 50000 };

		CHECK(i < 200000, "only %d signals came", came);
		CHECK(pthread_kill(thread[i % BUSY], SIGUSR1) == 0, "kill");
		nanosleep(&rest, NULL);
	}
	join_busy(thread);
}

#if __GLIBC_PREREQ(2, 34)

/* Of every two children one executes a program, which allocates. */
static void make_child(int signal)
{
	static char shell[] = "/bin/sh", option[] = "-c";
	static char script[] = "x=$(printf %20000s y); exit $((${#x} - 20000))";
	static char *const argv[] = { shell, option, script, NULL };
	int error = errno, status;
	pid_t child = _Fork();

	(void)signal;
	if (child == 0) {
		if (came % 2)
			execv(shell, argv);
		_exit(came % 2);
	}
	if (child < 0)
		_exit(5);
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			_exit(6);
	if (status != 0)
		_exit(7);
	errno = error;
	count_to(40);
}

static void forks_amid(void)
{
	pthread_t thread[BUSY];

	handle(SIGALRM, make_child, SA_RESTART);
	start_busy(thread);
	send_often(3000);
	be_patient();
	join_busy(thread);
}

#else

static void forks_amid(void)
{
	_exit(LIFE_LACKS);
}

#endif

static void end_now(int signal)
{
	(void)signal;
	_exit(7);
}

static void end_child(long usec)
{
	pthread_t thread[BUSY];

	handle(SIGALRM, end_now, 0);
	start_busy(thread);
	send_often(usec);
	for (;;)
		pause();
}

static void ends_amid(void)
{
	for (long i = 0; i < 20; i++) {
		int status;
		pid_t child = fork();

		if (child == 0)
			end_child(500 + i * 211);
		CHECK(child > 0 && waitpid(child, &status, 0) == child,
		      "no child");
		CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7,
		      "the child ended with status %#x", (unsigned)status);
	}
}

static const struct claim claims[] = {
	{ "handlers that interrupt malloc call what is async-signal-safe",
	  safe_calls },
	{ "handlers run on stacks that malloc gave", other_stacks },
	{ "handlers that interrupt malloc call _Fork, exec and waitpid",
	  forks_amid },
	{ "handlers that interrupt malloc end the process", ends_amid },
};

int main(int argc, char **argv)
{
	return life_main(argc, argv, claims, COUNT(claims));
}
