/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * segment: what the file says is what happened, after an exit, a kill, a
 * fork, an exec; it is laid out as its header says; and whatever is wrong
 * with it (no folder, a full disk, someone who overwrites it) the process
 * that writes it goes on.
 *
 * Each case is a child that runs this program anew with one argument; the
 * parent reads what it left. The files are looked at as they are, without the
 * reader of npool-stat, which t/stat-read.c tests.
 */
#include "conf.h"
#include "npool.h"
#include "os.h"
#include "pool.h"
#include "segment.h"
#include "tap.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h> /* unshare */
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>

#define OPTIONS "nodes:2,arenas:2,decay_ms:-1,segment:"
#define NSMALL 1000 /* pieces of 64 bytes that a child takes */
#define NFREED 300  /* and frees */
#define RUN (5 * 8192) /* bytes of a run that it takes */

static char dir[NP_CONFIG_PATH_MAX];

/* --- a file ----------------------------------------------------------- */

struct file {
	const char *base;
	size_t size;
	const struct np_segment_header *h;
};

static void path_of(char *path, size_t size, pid_t pid, int n)
{
	snprintf(path, size, "%s/%d.%d", dir, (int)pid, n);
}

static bool file_open(struct file *f, pid_t pid, int n)
{
	char path[300];
	struct stat st;
	int fd;

	path_of(path, sizeof path, pid, n);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) != 0)
		return false;
	f->size = (size_t)st.st_size;
	f->base = mmap(NULL, f->size, PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	f->h = (const void *)f->base;
	return f->base != MAP_FAILED && f->size >= sizeof *f->h;
}

static const void *entry(const struct file *f,
			 const struct np_segment_part *part, unsigned i)
{
	return f->base + part->offset + (size_t)part->stride * i;
}

/* Of all blocks, what the class has counted. */
static void count_class(const struct file *f, unsigned class, uint64_t *allocs,
			uint64_t *frees)
{
	*allocs = *frees = 0;
	for (unsigned i = 0; i < np_count_get(&f->h->blocks_used); i++) {
		const struct np_block *b = entry(f, &f->h->blocks, i);

		*allocs += np_count_get(&b->class[class].allocs);
		*frees += np_count_get(&b->class[class].frees);
	}
}

static unsigned class_of(size_t size)
{
	static struct np_classes classes;

	if (!classes.n && np_classes_init(&classes, NP_FINE, 13, 11))
		bail_out("no classes");
	return np_class_of(&classes, size);
}

/* The only files there are by now; removed. Returns how many. */
static unsigned clean_dir(void)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	unsigned n = 0;

	while (d && (e = readdir(d)))
		if (*e->d_name != '.') {
			char path[512];

			snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
			n += unlink(path) == 0;
		}
	if (d)
		closedir(d);
	return n;
}

/* The process whose file N is there; 0: none. */
static pid_t find_pid(int n, pid_t other_than)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	pid_t pid = 0;

	while (d && (e = readdir(d))) {
		int seen_pid, seen_n;

		if (sscanf(e->d_name, "%d.%d", &seen_pid, &seen_n) == 2 &&
		    seen_n == n && seen_pid != other_than)
			pid = seen_pid;
	}
	if (d)
		closedir(d);
	return pid;
}

/* --- children --------------------------------------------------------- */

static void *run;

static void take_some(void)
{
	void *p[NSMALL];

	for (int i = 0; i < NSMALL; i++) {
		p[i] = npool_malloc(64);
		memset(p[i], 1, 64);
	}
	for (int i = 0; i < NFREED; i++)
		npool_free(p[i]);
	run = npool_malloc(RUN);
	memset(run, 1, RUN);
}

static void *use_memory(void *arg)
{
	for (int i = 0; i < 2000; i++)
		npool_free(npool_malloc((size_t)i * 50));
	npool_free(npool_malloc(20 * NP_MIB));
	return arg;
}

/* Chunks, threads, a fork, a trim: all that writes. */
static void use_all(void)
{
	pthread_t t[8];
	void *p[8];
	int status;
	pid_t pid;

	for (int i = 0; i < 8; i++)
		must(!pthread_create(&t[i], NULL, use_memory, NULL));
	for (int i = 0; i < 8; i++)
		must((p[i] = npool_malloc(15 * NP_MIB)));
	for (int i = 0; i < 8; i++)
		pthread_join(t[i], NULL);
	pid = fork();
	if (!pid) {
		use_memory(NULL);
		_exit(0);
	}
	must(waitpid(pid, &status, 0) == pid && status == 0);
	for (int i = 0; i < 8; i++)
		npool_free(p[i]);
	npool_flush_thread();
	npool_trim();
	npool_free(npool_malloc(100));
}

static void fork_once(void)
{
	int status;
	pid_t pid;

	take_some();
	pid = fork();
	if (!pid) {
		for (int i = 0; i < 500; i++)
			(void)!npool_malloc(64);
		_exit(0);
	}
	must(waitpid(pid, &status, 0) == pid && status == 0);
}

/* A process, and then its child, may write files of this size at most. */
static void limit_files(rlim_t size)
{
	struct rlimit limit = { size, size };

	must(setrlimit(RLIMIT_FSIZE, &limit) == 0);
}

/* Overwrites each byte of its own segment. */
static void spoil(int with)
{
	char path[300], text[4096];
	size_t size;
	int fd;

	conf_limit_memory();
	use_all();
	size = np_segment.header->size;
	memcpy(dir, np_pool.config.segment, sizeof dir);
	path_of(path, sizeof path, getpid(), 0);
	fd = open(path, O_RDWR | O_CLOEXEC);
	must(fd >= 0);
	memset(text, with, sizeof text);
	for (size_t at = 0; at < size; at += sizeof text)
		must(pwrite(fd, text, sizeof text, (off_t)at) > 0);
	use_all();
	use_memory(NULL);
}

static int gone_on[2];
static bool slow;
static void *later;

static void go_on(void)
{
	later = npool_malloc(10 * NP_MIB);
	must(write(gone_on[1], "", 1) == 1);
}

/* The child's handler before ours. */
static void wait_for_parent(void)
{
	char c;

	if (slow)
		must(read(gone_on[0], &c, 1) == 1);
}

/* Before the pool registers its own. */
__attribute__((constructor(101))) static void register_first(void)
{
	if (pthread_atfork(NULL, NULL, wait_for_parent))
		abort();
}

static struct npool_figures figures(void)
{
	struct npool_figures f = { .size = sizeof f };

	npool_stats(&f);
	return f;
}

/* The parent has gone on counting when the child looks for its counters. */
static void fork_slowly(void)
{
	struct npool_figures before;
	int status;
	pid_t pid;

	must(!pipe(gone_on));
	take_some();
	slow = true;
	before = figures();
	pid = fork();
	if (!pid) {
		must(figures().used == before.used);
		must(figures().reserved == before.reserved);
		must(figures().allocs == before.allocs);
		_exit(0);
	}
	go_on();
	must(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
	npool_free(later);
}

/* Forks with room for another MiB. */
static void fork_in_little_space(void)
{
	struct rlimit limit;
	unsigned long npages;
	int status;
	FILE *f = fopen("/proc/self/statm", "re");
	pid_t pid;

	take_some();
	must(f && fscanf(f, "%lu", &npages) == 1 && !fclose(f));
	limit.rlim_cur = limit.rlim_max = npages * np_os_page_size() + NP_MIB;
	must(setrlimit(RLIMIT_AS, &limit) == 0);
	pid = fork();
	if (!pid) {
		must(!np_segment.is_file);
		must(np_segment.header->magic == NP_SEGMENT_MAGIC);
		must(np_segment.header->pid == (uint32_t)getpid());
		must(np_count_get(&np_segment.header->threads) == 1);
		must(np_count_get(&np_segment_block(1)->class[class_of(64)]
				  .allocs) == NSMALL);
		npool_free(npool_malloc(64));
		npool_free(run);
		npool_trim();
		_exit(0);
	}
	must(pid > 0 && waitpid(pid, &status, 0) == pid);
	must(status == 0);
}

/* Forks with a cancellation that waits for the next point to happen. */
static void *fork_cancelled(void *arg)
{
	int status, old;
	pid_t pid;

	pthread_cancel(pthread_self());
	pid = fork();
	if (!pid)
		_exit(7);
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old);
	must(waitpid(pid, &status, 0) == pid);
	must(WIFEXITED(status) && WEXITSTATUS(status) == 7);
	return arg;
}

static void cancel_in_fork(void)
{
	pthread_t t;
	void *result;

	must(!pthread_create(&t, NULL, fork_cancelled, dir));
	must(!pthread_join(t, &result) && result == dir);
}

static int child(const char *part)
{
	must(np_pool_wake());
	if (!strcmp(part, "exit")) {
		take_some();
		return 0;
	}
	if (!strcmp(part, "kill")) {
		take_some();
		kill(getpid(), SIGKILL);
	}
	if (!strcmp(part, "fork"))
		fork_once();
	if (!strcmp(part, "fork slowly"))
		fork_slowly();
	if (!strcmp(part, "fork in little space"))
		fork_in_little_space();
	if (!strcmp(part, "fork cancelled"))
		cancel_in_fork();
	if (!strcmp(part, "exec")) {
		take_some();
		execl("/proc/self/exe", "again", "exit", (char *)NULL);
	}
	if (!strcmp(part, "use"))
		use_all();
	if (!strcmp(part, "fork limited")) {
		limit_files(64 * NP_KIB);
		use_all();
	}
	if (!strcmp(part, "spoil 0xff"))
		spoil(0xff);
	if (!strcmp(part, "spoil 0"))
		spoil(0);
	return 0;
}

static struct child run_child(const char *folder, const char *part)
{
	char conf[400];

	snprintf(conf, sizeof conf, OPTIONS "%s", folder);
	return conf_run(conf, part);
}

/* --- what it says ----------------------------------------------------- */

static bool parts_fit(const struct file *f)
{
	const struct np_segment_part *parts[] = {
		&f->h->classes, &f->h->nodes, &f->h->arenas, &f->h->before,
		&f->h->blocks, &f->h->chunks, &f->h->maps,
	};
	size_t end = f->h->header_size;

	for (unsigned i = 0; i < 7; i++) {
		if (parts[i]->offset < end || !parts[i]->n)
			return false;
		end = parts[i]->offset +
		      (size_t)parts[i]->stride * parts[i]->n;
	}
	return end <= f->h->size && f->h->size == f->size;
}

static void test_header(const struct file *f, pid_t pid)
{
	is_hex(f->h->magic, NP_SEGMENT_MAGIC, "a segment says what it is");
	is_uint(f->h->version, NP_SEGMENT_VERSION, "of which version");
	is_uint(f->h->header_size, sizeof *f->h, "how long its header is");
	ok(parts_fit(f), "its parts lie in it, one behind the other");
	is_uint(f->h->pid, (uintmax_t)pid, "whose it is");
	is_uint(f->h->parent, 0, "who has no parent");
	ok(strstr(f->h->options, "arenas:2,") &&
	   strstr(f->h->options, "nodes:2,") &&
	   strstr(f->h->options, dir), "which options are in force");
	is_uint(f->h->page_size, 8192, "the size of a page");
	is_uint(f->h->max_order, 11, "and of a chunk");
	is_uint(f->h->nodes.n, 2, "its nodes");
	is_uint(f->h->arenas.n, 4, "its arenas");
}

static void test_classes(const struct file *f)
{
	static struct np_classes t;
	bool same = true;

	np_classes_init(&t, NP_FINE, 13, 11);
	for (unsigned c = 1; c <= t.n; c++) {
		const struct np_segment_class *d = entry(f, &f->h->classes, c);

		same = same && d->size == t.row[c].size &&
		       d->npages == t.row[c].npages &&
		       d->nelems == t.row[c].nelems &&
		       d->kind == t.row[c].kind;
	}
	ok(same && f->h->classes.n > t.n, "its classes are those of the pool");
	is_uint(((const struct np_segment_class *)
		 entry(f, &f->h->classes, 0))->size, 0, "class 0 is huge");
}

static void test_counts(const struct file *f, const char *when)
{
	uint64_t allocs, frees;

	count_class(f, class_of(64), &allocs, &frees);
	is_uint(allocs, NSMALL, "%s: each alloc", when);
	is_uint(frees, NFREED, "each free");
	count_class(f, class_of(RUN), &allocs, &frees);
	is_uint(allocs, 1, "also of a run");
	is_uint(np_count_get(&f->h->threads), 1, "its thread");
}

/* The page map shows the run, and pages of subpages, and free ones. */
static void test_map(const struct file *f)
{
	const struct np_segment_chunk *c = entry(f, &f->h->chunks, 0);
	const uint8_t *map = entry(f, &f->h->maps, 0);
	unsigned of_run = 0, of_small = 0, others = 0;

	is_uint(np_count_get(&f->h->chunks_used), 1, "there is one chunk");
	is_uint(np_count_get(&c->size), 16 * NP_MIB, "of that size");
	ok(np_count_get(&c->base) % (16 * NP_MIB) == 0 &&
	   np_count_get(&c->base), "at a place of its own");
	for (unsigned i = 0; i < 2048; i++) {
		of_run += map[i] == class_of(RUN);
		of_small += map[i] == class_of(64);
		others += map[i] && map[i] != class_of(RUN) &&
			  map[i] != class_of(64);
	}
	is_uint(of_run, RUN / 8192, "its map shows the pages of the run");
	ok(of_small >= NSMALL * 64 / 8192 && of_small < 20,
	   "and of the subpages (%u)", of_small);
	is_uint(others, 0, "and nothing else");
}

static void test_exit(void)
{
	struct child c = run_child(dir, "exit");
	pid_t pid = find_pid(0, 0);
	struct file f;

	ok(child_exited(&c, 0) && !*c.text, "a process publishes a segment");
	if (!file_open(&f, pid, 0))
		bail_out("there is no segment of process %d", (int)pid);
	test_header(&f, pid);
	test_classes(&f);
	test_counts(&f, "a process that has left");
	test_map(&f);
	is_uint(atomic_load(&f.h->state), NP_SEGMENT_ENDED,
		"it says that it has ended");
	ok(np_count_get(&f.h->pages_asked) == 64 &&
	   np_count_get(&f.h->pages_resident) > 0,
	   "and where its pages were, of some");
	is_uint(clean_dir(), 1, "that is all it left");
}

static void test_kill(void)
{
	struct child c = run_child(dir, "kill");
	struct file f;

	ok(child_killed(&c, SIGKILL), "a process is killed");
	if (!file_open(&f, find_pid(0, 0), 0))
		bail_out("it left no segment");
	test_counts(&f, "one that was killed");
	is_uint(atomic_load(&f.h->state), NP_SEGMENT_LIVE,
		"it never said that it ended");
	clean_dir();
}

static void test_fork(void)
{
	struct child c = run_child(dir, "fork");
	uint64_t allocs, frees;
	const struct np_block *before;
	pid_t parent, pid = 0;
	struct file f, g;

	ok(child_exited(&c, 0), "a process forks");
	parent = find_pid(0, 0);
	if (!file_open(&f, parent, 0) ||
	    !file_open(&g, pid = find_pid(0, parent), 0))
		bail_out("there are no two segments");
	if (f.h->parent) { /* that was the child */
		struct file swap = f;

		f = g, g = swap;
		pid = parent;
	}
	is_uint(np_count_get(&f.h->forks), 1, "it counts the child");
	is_uint(g.h->pid, (uintmax_t)pid, "the child has a file of its own");
	is_uint(g.h->parent, f.h->pid, "which names the parent");
	is_uint(np_count_get(&g.h->forks), 0, "and no child yet");
	test_counts(&f, "the parent's counts are not touched by the child");
	before = entry(&g, &g.h->before, 0);
	count_class(&g, class_of(64), &allocs, &frees);
	is_uint(allocs - np_count_get(&before->class[class_of(64)].allocs),
		500, "the child's are its own if what was before is taken off");
	is_uint(frees - np_count_get(&before->class[class_of(64)].frees), 0,
		"frees too");
	is_uint(np_count_get(&before->class[class_of(64)].allocs), NSMALL,
		"before was what the parent had counted");
	is_uint(clean_dir(), 2, "there are two files");
}

static void test_slow_fork(void)
{
	struct child c = run_child(dir, "fork slowly");

	if (!ok(child_exited(&c, 0), "a child begins with what there was when "
		"it was forked"))
		diag("status 0x%x: %s", (unsigned)c.status, c.text);
	clean_dir();
}

static void test_little_space(void)
{
	struct child c;

	if (CONF_SANITIZED) {
		skip(2, "a sanitizer wants address space without end");
		return;
	}
	c = run_child(dir, "fork in little space");
	if (!ok(child_exited(&c, 0), "a child without room for a segment "
		"counts for itself"))
		diag("status 0x%x: %s", (unsigned)c.status, c.text);
	is_uint(clean_dir(), 1, "and leaves no file");
}

static void test_cancel(void)
{
	struct child c = run_child(dir, "fork cancelled");

	if (!ok(child_exited(&c, 0), "fork is no cancellation point"))
		diag("status 0x%x: %s", (unsigned)c.status, c.text);
	is_uint(clean_dir(), 2, "the child has its file");
}

static void test_exec(void)
{
	struct child c = run_child(dir, "exec");
	pid_t pid = find_pid(0, 0);
	struct file f;

	ok(child_exited(&c, 0), "a process executes another program");
	ok(file_open(&f, pid, 0) && file_open(&f, pid, 1) &&
	   f.h->pid == (uint32_t)pid, "which gets the next number");
	is_uint(clean_dir(), 2, "there are two files");
}

/* --- what may be wrong ------------------------------------------------ */

static void test_no_folder(void)
{
	struct child c = run_child("/nowhere/at/all", "use");

	if (!ok(child_exited(&c, 0), "without the folder a process goes on"))
		diag("%s", c.text);
	ok(strstr(c.text, "libnpool: no segment of counters in "
		  "/nowhere/at/all: ") == c.text, "and says why");
	if (geteuid() == 0) {
		skip(1, "needs a user who may not write everywhere");
		return;
	}
	c = run_child("/", "use");
	ok(child_exited(&c, 0) && strstr(c.text, "Permission denied"),
	   "also if it may not write there");
}

static void test_spoilt(void)
{
	static const char *const how[] = { "spoil 0xff", "spoil 0" };

	for (int i = 0; i < 2; i++) {
		struct child c = run_child(dir, how[i]);

		if (!ok(child_exited(&c, 0),
			"%s: who overwrites it harms the figures only",
			how[i]))
			diag("status 0x%x: %s", (unsigned)c.status, c.text);
		clean_dir();
	}
}

static void with_small_files(void *folder)
{
	char conf[400];

	limit_files(64 * NP_KIB);
	snprintf(conf, sizeof conf, OPTIONS "%s", (char *)folder);
	setenv(CONF_ENV, conf, 1);
	execl("/proc/self/exe", "conf_run", "use", (char *)NULL);
	_exit(77);
}

/* Above the limit the kernel does not only refuse, it sends SIGXFSZ. */
static void test_small_files(void)
{
	struct child c = child_run(with_small_files, dir);

	if (!ok(child_exited(&c, 0), "a process that may only write small "
		"files goes on"))
		diag("status 0x%x: %s", (unsigned)c.status, c.text);
	ok(strstr(c.text, strerror(EFBIG)), "and says why it has no segment");
	is_uint(clean_dir(), 0, "it leaves no file");
	c = run_child(dir, "fork limited");
	ok(child_exited(&c, 0), "so does a child of one that was limited later");
	is_uint(clean_dir(), 1, "which has none either");
}

/* In a mount namespace: a file system with room for so many bytes. */
static void on_small_disk(void *size)
{
	char options[64], conf[400];

	if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0)
		_exit(77);
	snprintf(options, sizeof options, "size=%s", (char *)size);
	if (mount("npool", dir, "tmpfs", 0, options) != 0)
		_exit(77);
	snprintf(conf, sizeof conf, OPTIONS "%s", dir);
	setenv(CONF_ENV, conf, 1);
	execl("/proc/self/exe", "conf_run", "use", (char *)NULL);
	_exit(77);
}

static void test_full_disk(void)
{
	static char sizes[][8] = { "4k", "24k", "48k", "64k", "256k", "1m" };

	for (unsigned i = 0; i < 6; i++) {
		struct child c = child_run(on_small_disk, sizes[i]);

		if (child_exited(&c, 77)) {
			skip(1, "needs a mount namespace");
			continue;
		}
		if (!ok(child_exited(&c, 0), "a disk of %s: it goes on",
			sizes[i]))
			diag("status 0x%x: %s", (unsigned)c.status, c.text);
	}
}

int main(int argc, char **argv)
{
	const char *tmp = getenv("TMPDIR");

	if (argc > 1)
		return child(argv[1]);
	plan(70);
	snprintf(dir, sizeof dir, "%s/npool-segment.XXXXXX",
		 tmp && strlen(tmp) < 30 ? tmp : "/tmp");
	if (!mkdtemp(dir))
		bail_out("%s: %s", dir, strerror(errno));
	(void)argv;
	test_exit();
	test_kill();
	test_fork();
	test_slow_fork();
	test_little_space();
	test_cancel();
	test_exec();
	test_no_folder();
	test_spoilt();
	test_small_files();
	test_full_disk();
	clean_dir();
	rmdir(dir);
	return done();
}
