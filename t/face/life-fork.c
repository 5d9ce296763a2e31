/*
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * life-fork.c - malloc in forked children and what a process owns beside.
 *
 * Run by face-life.t.  A child that hangs is ended by its alarm, and its
 * parent then sees a signal instead of exit code 0.
 */
#include "life.h"
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { FORKERS = 2, FORKS = 30, BUSY = 3, PIECES = 200, PATIENCE = 30 };
extern char **environ;
static int stop, forks = FORKS;
static int handled[3][3];

static size_t size_of(size_t i)
{
	return 1 + i * i % (i % 16 ? 3001 : 70001);
}

static void wait_for(pid_t child, const char *what)
{
	int status;

	CHECK(child > 0, "%s: fork: %s", what, strerror(errno));
	CHECK(waitpid(child, &status, 0) == child, "%s: waitpid", what);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0,
	      "%s: the child ended with status %#x", what, (unsigned)status);
}

static void *busy(void *arg)
{
	size_t round = (size_t)(uintptr_t)arg * 1000;

	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED))
		exercise(300, round++);
	return NULL;
}

static void take_all(unsigned char **piece)
{
	for (size_t i = 0; i < PIECES; i++) {
		piece[i] = take(size_of(i));
		fill(piece[i], size_of(i), i);
	}
}

static void free_all(unsigned char **piece)
{
	for (size_t i = 0; i < PIECES; i++) {
		CHECK(holds(piece[i], size_of(i), i) == size_of(i),
		      "inherited piece of %zu bytes changed", size_of(i));
		free(piece[i]);
	}
}

static void child_life(unsigned char **inherited)
{
	unsigned char *own[PIECES];

	alarm(PATIENCE);
	take_all(own);
	free_all(inherited);
	exercise(500, (size_t)getpid());
	free_all(own);
}

static void *fork_often(void *arg)
{
	static const char what[] = "fork among busy threads";
	unsigned char *piece[PIECES];

	(void)arg;
	for (int i = 0; i < forks; i++) {
		take_all(piece);
		pid_t child = fork();

		if (child == 0) {
			child_life(piece);
			_exit(0);
		}
		free_all(piece);
		wait_for(child, what);
	}
	return NULL;
}

static void start_threads(pthread_t *thread, size_t n, void *(*work)(void *))
{
	for (size_t i = 0; i < n; i++)
		CHECK(pthread_create(&thread[i], NULL, work,
				     (void *)(uintptr_t)(i + 1)) == 0,
		      "no thread");
}

static void join_threads(pthread_t *thread, size_t n)
{
	for (size_t i = 0; i < n; i++)
		CHECK(pthread_join(thread[i], NULL) == 0, "no join");
}

static void forks_among_threads(void)
{
	pthread_t worker[BUSY], forker[FORKERS];

	alarm(2 * PATIENCE);
	start_threads(worker, BUSY, busy);
	start_threads(forker, FORKERS, fork_often);
	join_threads(forker, FORKERS);
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	join_threads(worker, BUSY);
}

/* Pieces that threads of the parent took, freed where those are gone. */
static void *take_some(void *arg)
{
	unsigned char **piece = calloc(PIECES, sizeof(*piece));

	(void)arg;
	CHECK(piece, "calloc failed");
	take_all(piece);
	return piece;
}

static void other_threads_memory(void)
{
	pthread_t worker[BUSY], taker;
	void *piece;

	alarm(2 * PATIENCE);
	start_threads(worker, BUSY, busy);
	start_threads(&taker, 1, take_some);
	CHECK(pthread_join(taker, &piece) == 0, "no join");
	for (int i = 0; i < 10; i++) {
		pid_t child = fork();

		if (child == 0) {
			child_life(piece);
			free(piece);
			exit(0);
		}
		wait_for(child, "a child that frees another thread's memory");
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	join_threads(worker, BUSY);
	free_all(piece);
	free(piece);
}

static void generations(void)
{
	unsigned char *piece[PIECES];

	alarm(PATIENCE);
	forks = 5;
	take_all(piece);
	for (int depth = 0; depth < 6; depth++) {
		pthread_t thread[2];
		pid_t child = fork();

		if (child > 0) {
			wait_for(child, "a child's child");
			free_all(piece);
			_exit(0);
		}
		alarm(PATIENCE);
		start_threads(thread, 2, fork_often);
		join_threads(thread, 2);
	}
	free_all(piece);
	_exit(0);
}

/* Three sets of handlers; the first is older than any library's. */
#define HANDLER(name, set, at) \
	static void name(void) \
	{ \
		free(take(100)); \
		free(take(40000)); \
		exercise(50, set); \
		handled[set][at]++; \
	}
HANDLER(prepare_0, 0, 0) HANDLER(parent_0, 0, 1) HANDLER(child_0, 0, 2)
HANDLER(prepare_1, 1, 0) HANDLER(parent_1, 1, 1) HANDLER(child_1, 1, 2)
HANDLER(prepare_2, 2, 0) HANDLER(parent_2, 2, 1) HANDLER(child_2, 2, 2)

static int wants_handlers(int argc, char **argv)
{
	return argc == 3 && !strcmp(argv[2], "handlers");
}

static void before_libraries(int argc, char **argv, char **envp)
{
	(void)envp;
	if (wants_handlers(argc, argv))
		pthread_atfork(prepare_0, parent_0, child_0);
}

__attribute__((section(".preinit_array"), used))
static life_early *const first = before_libraries;

__attribute__((constructor)) static void before_main(int argc, char **argv)
{
	if (wants_handlers(argc, argv))
		pthread_atfork(prepare_1, parent_1, child_1);
}

static void check_handled(int at, const char *who)
{
	for (int set = 0; set < 3; set++)
		CHECK(handled[set][0] == 1 && handled[set][at] == 1,
		      "%s: prepare handler %d ran %d times, its own %d", who,
		      set, handled[set][0], handled[set][at]);
}

static void fork_with_handlers(void)
{
	pthread_t worker[BUSY];

	alarm(PATIENCE);
	CHECK(pthread_atfork(prepare_2, parent_2, child_2) == 0, "atfork");
	start_threads(worker, BUSY, busy);
	for (int i = 0; i < 30; i++) {
		memset(handled, 0, sizeof(handled));
		pid_t child = fork();

		if (child == 0) {
			check_handled(2, "child");
			exercise(200, 9);
			_exit(0);
		}
		wait_for(child, "fork with handlers");
		check_handled(1, "parent");
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	join_threads(worker, BUSY);
}

/* A new image, for the argument that wants the handlers from the start. */
static void handlers_allocate(void)
{
	char self[] = "/proc/self/exe", number[] = "0", what[] = "handlers";
	char *argv[] = { self, number, what, NULL };

	execv(self, argv);
	FAIL("execv: %s", strerror(errno));
}

static void spawns(void)
{
	char shell[] = "/bin/sh", option[] = "-c";
	char script[] = "read line; [ \"$line\" = hello ]";
	char *argv[] = { shell, option, script, NULL };

	for (int i = 0; i < 5; i++) {
		posix_spawn_file_actions_t actions;
		int ends[2];
		pid_t child;

		exercise(500, (size_t)i);
		CHECK(pipe2(ends, O_CLOEXEC) == 0, "pipe2");
		CHECK(write(ends[1], "hello\n", 6) == 6, "write");
		posix_spawn_file_actions_init(&actions);
		posix_spawn_file_actions_adddup2(&actions, ends[0], 0);
		CHECK(posix_spawn(&child, shell, &actions, NULL, argv,
				  environ) == 0,
		      "posix_spawn");
		posix_spawn_file_actions_destroy(&actions);
		wait_for(child, "posix_spawn");
		close(ends[0]);
		close(ends[1]);
	}
}

static void vforks(void)
{
	char shell[] = "/bin/sh", option[] = "-c", script[] = "exit 0";
	char *argv[] = { shell, option, script, NULL };
	pthread_t worker[BUSY];

	alarm(PATIENCE);
	start_threads(worker, BUSY, busy);
	for (int i = 0; i < 20; i++) {
		exercise(200, (size_t)i);
		pid_t child = vfork();

		if (child == 0) {
			if (i % 2)
				execv(shell, argv);
			_exit(i % 2);
		}
		exercise(200, (size_t)i);
		wait_for(child, "vfork");
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	join_threads(worker, BUSY);
}

/* What a program may look at and malloc has no business with. */
struct own {
	sigset_t mask;
	cpu_set_t cpus;
	int handlers, threads;
	mode_t umask;
};

static struct own look(void)
{
	struct own own;
	struct stat task;

	memset(&own, 0, sizeof(own));
	pthread_sigmask(SIG_SETMASK, NULL, &own.mask);
	sched_getaffinity(0, sizeof(own.cpus), &own.cpus);
	for (int signal = 1; signal < 32; signal++) {
		struct sigaction action;

		if (sigaction(signal, NULL, &action) == 0 &&
		    action.sa_handler != SIG_DFL)
			own.handlers |= (int)(1U << signal);
	}
	CHECK(stat("/proc/self/task", &task) == 0, "no /proc/self/task");
	own.threads = (int)task.st_nlink - 2;
	own.umask = umask(022);
	umask(own.umask);
	return own;
}

static void check_own(const struct own *was)
{
	struct own now = look();

	CHECK(!memcmp(&now.mask, &was->mask, sizeof(now.mask)),
	      "the signal mask changed");
	CHECK(CPU_EQUAL(&now.cpus, &was->cpus), "the affinity changed");
	CHECK(now.handlers == was->handlers, "signal handlers %#x, were %#x",
	      (unsigned)now.handlers, (unsigned)was->handlers);
	CHECK(now.threads == was->threads, "%d threads, were %d", now.threads,
	      was->threads);
	CHECK(now.umask == was->umask, "the umask changed");
}

static void *look_again(void *arg)
{
	struct own was;
	sigset_t set;

	(void)arg;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	was = look();
	exercise(20000, 3);
	free(take(50 * MIB));
	check_own(&was);
	return NULL;
}

static void leaves_alone(void)
{
	struct own was = look();
	pthread_t thread;

	CHECK(was.threads == 1, "%d threads before any was started",
	      was.threads);
	exercise(20000, 1);
	malloc_trim(0);
	check_own(&was);
	start_threads(&thread, 1, look_again);
	join_threads(&thread, 1);
	pid_t child = fork();

	if (child == 0) {
		exercise(2000, 2);
		check_own(&was);
		_exit(0);
	}
	wait_for(child, "a child that looks");
}

/* A daemon closes everything and opens its own where something was. */
static void descriptors_closed(void)
{
	enum { FIRST = 3, LAST = 40 };
	struct stat own[LAST], now;
	pthread_t worker[BUSY];

	forks = 5;
	exercise(2000, 1);
	CHECK(close_range(FIRST, ~0U, 0) == 0, "close_range");
	for (int fd = FIRST; fd < LAST; fd++) {
		CHECK(open("/dev/zero", O_RDWR) == fd, "fd %d is taken", fd);
		CHECK(fstat(fd, &own[fd]) == 0, "fstat");
	}
	start_threads(worker, BUSY, fork_often);
	exercise(20000, 2);
	join_threads(worker, BUSY);
	malloc_trim(0);
	for (int fd = FIRST; fd < LAST; fd++)
		CHECK(fstat(fd, &now) == 0 && now.st_rdev == own[fd].st_rdev &&
			      now.st_ino == own[fd].st_ino,
		      "fd %d is another file now", fd);
	CHECK(open("/dev/null", O_RDONLY) == LAST, "a descriptor came anew");
}

/* Says by a byte that it has lived; nobody waits for it, nor sees its exit
 * status. */
static void daemon_life(unsigned char **inherited, int end)
{
	pthread_t thread[2];

	alarm(PATIENCE);
	if (daemon(0, 0) != 0)
		_exit(1);
	alarm(PATIENCE); /* of the new process */
	take_all(inherited + PIECES);
	free_all(inherited);
	start_threads(thread, 2, fork_often);
	join_threads(thread, 2);
	free_all(inherited + PIECES);
	malloc_trim(0);
	if (write(end, "d", 1) != 1)
		_exit(1);
	exit(0);
}

static void daemons(void)
{
	unsigned char *piece[2 * PIECES];
	pthread_t worker[BUSY];

	alarm(2 * PATIENCE);
	forks = 3;
	start_threads(worker, BUSY, busy);
	take_all(piece);
	for (int i = 0; i < 5; i++) {
		int ends[2];
		char c = 0;
		pid_t child;

		CHECK(pipe2(ends, O_CLOEXEC) == 0, "pipe2");
		child = fork();
		if (child == 0)
			daemon_life(piece, ends[1]);
		close(ends[1]);
		wait_for(child, "who starts a daemon");
		CHECK(read(ends[0], &c, 1) == 1 && c == 'd',
		      "the daemon did not live");
		close(ends[0]);
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	join_threads(worker, BUSY);
	free_all(piece);
}

static const struct claim claims[] = {
	{ "children of busy processes allocate and free what they inherit",
	  forks_among_threads },
	{ "a child frees memory of threads it does not have",
	  other_threads_memory },
	{ "children start threads and fork again", generations },
	{ "fork handlers allocate, older and younger than the library's",
	  handlers_allocate },
	{ "a daemon goes on with what it had", daemons },
	{ "posix_spawn works", spawns },
	{ "vfork works", vforks },
	{ "mask, handlers, affinity, umask and threads are left alone",
	  leaves_alone },
	{ "a program may close every descriptor and use them itself",
	  descriptors_closed },
};

int main(int argc, char **argv)
{
	if (wants_handlers(argc, argv)) {
		fork_with_handlers();
		return 0;
	}
	return life_main(argc, argv, claims, COUNT(claims));
}
