/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * segment: what the file says is what happened, after an exit, a kill, a
 * fork, an exec; it is laid out as its header says; each pool has one; and
 * whatever is wrong with it (no folder, a full disk, someone who overwrites
 * it) the process that writes it goes on. Without a file it is shared memory,
 * of which a process has one a pool, and a forked child its own.
 *
 * Each such case is a child that runs this program anew with one argument; the
 * parent reads what it left. The files are looked at as they are, without the
 * reader of npool-stat, which t/stat-read.c tests. Before that, segments of no
 * pool show what the calls of segment.h do.
 */
#include "chunklist.h"
#include "conf.h"
#include "faultos.h"
#include "figures.h"
#include "npool.h"
#include "os.h"
#include "pool.h"
#include "segment.h"
#include "start.h"
#include "tap.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h> /* unshare */
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/shm.h>
#include <sys/stat.h>

#define SHARED "nodes:2,arenas:2,decay_ms:-1"
#define OPTIONS SHARED ",segment:"
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

/* --- pools of one's own ----------------------------------------------- */

#define POOLED 200  /* pieces of 64 bytes */
#define POOL_FREED 50

static void *pooled[POOLED];

static npool_t *use_pool(const char *name)
{
	struct npool_attr attr = NPOOL_ATTR_INIT;
	npool_t *pool;

	attr.name = name;
	attr.arenas = 3;
	attr.decay_ms = 77;
	must(npool_create(&pool, &attr) == 0);
	for (int i = 0; i < POOLED; i++)
		must((pooled[i] = npool_alloc(pool, 64, 0)));
	for (int i = 0; i < POOL_FREED; i++)
		npool_free(pooled[i]);
	return pool;
}

static void wait_for(pid_t pid)
{
	int status;

	must(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
}

/* One child goes on with the pool, the other one ends it. */
static void fork_with_pool(void)
{
	npool_t *pool = use_pool("mine");
	pid_t pid = fork();

	if (!pid) {
		for (int i = 0; i < 500; i++)
			must(npool_alloc(pool, 64, 0));
		npool_free(pooled[POOLED - 1]);
		_exit(0);
	}
	wait_for(pid);
	pid = fork();
	if (!pid) {
		npool_destroy(pool);
		_exit(0);
	}
	wait_for(pid);
}

static void destroy_pools(void)
{
	npool_t *first = use_pool("first"), *second = use_pool("second");

	npool_destroy(first);
	use_pool("third");
	npool_reset(second);
}

/* Files are limited when the pool is made. */
static void limit_pool(void)
{
	struct rlimit limit = { 64 * NP_KIB, 64 * NP_KIB };
	npool_t *pool;

	must(setrlimit(RLIMIT_FSIZE, &limit) == 0);
	pool = use_pool("limited");
	must(pool->segment.place == NP_SEGMENT_PRIVATE &&
	     np_pool.segment.place == NP_SEGMENT_FILE);
	npool_destroy(pool);
}

static bool child_with_pool(const char *part)
{
	if (!strcmp(part, "pool"))
		use_pool("mine");
	else if (!strcmp(part, "pool kill"))
		use_pool("mine"), kill(getpid(), SIGKILL);
	else if (!strcmp(part, "pool fork"))
		fork_with_pool();
	else if (!strcmp(part, "pool destroy"))
		destroy_pools();
	else if (!strcmp(part, "pool limited"))
		limit_pool();
	else
		return false;
	return true;
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
	size = np_pool.segment.header->size;
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

static bool eager, greedy;

/* A handler before ours: the locks are held. */
static void take_before(void)
{
	if (eager)
		take_some();
}

/* The child's. */
static void wait_for_parent(void)
{
	char c;

	take_before();
	if (slow)
		must(read(gone_on[0], &c, 1) == 1);
}

/* Before the pool registers its own: the linker has our constructor first. */
__attribute__((constructor(101))) static void register_first(void)
{
	if (pthread_atfork(take_before, take_before, wait_for_parent))
		abort();
}

/* The child's handler of a program that is as early as can be. */
static void take_in_child(void)
{
	if (greedy)
		take_some();
}

__attribute__((constructor(102))) static void register_early(void)
{
	if (pthread_atfork(NULL, NULL, take_in_child))
		abort();
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
		must(np_pool.segment.place == NP_SEGMENT_PRIVATE);
		must(np_pool.segment.header->magic == NP_SEGMENT_MAGIC);
		must(np_pool.segment.header->pid == (uint32_t)getpid());
		must(np_count_get(&np_pool.segment.header->threads) == 1);
		must(np_count_get(&np_segment_block(&np_pool.segment, 1)
				  ->class[class_of(64)].allocs) == NSMALL);
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

/* --- shared memory ---------------------------------------------------- */

/* The numbers of the shared memory of our kind that this process has mapped;
 * returns how many. */
static unsigned numbers_mapped(unsigned long numbers[8])
{
	FILE *maps = fopen("/proc/self/maps", "re");
	unsigned n = 0, key;
	char line[512];

	must(maps);
	while (n < 8 && fgets(line, sizeof line, maps))
		n += sscanf(line, "%*s rw-s %*s %*s %lu /SYSV%8x",
			    &numbers[n], &key) == 2 &&
		     (key & NP_SEGMENT_KEY_MASK) == NP_SEGMENT_KEY;
	fclose(maps);
	return n;
}

/* What the shared memory of this number says, attached as a reader does. */
static const struct np_segment_header *attach(unsigned long number)
{
	void *p = shmat((int)number, NULL, SHM_RDONLY);

	must(p != MAP_FAILED);
	return p;
}

static void share(void)
{
	unsigned long numbers[8];
	const struct np_segment_header *h;
	struct shmid_ds about;
	npool_t *pool;

	must(np_pool.segment.place == NP_SEGMENT_SHARED);
	must(numbers_mapped(numbers) == 1);
	h = attach(numbers[0]);
	must(h != np_pool.segment.header);
	must(h->magic == NP_SEGMENT_MAGIC && h->pid == (uint32_t)getpid());
	must(h->size == np_pool.segment.layout.size);
	must(shmctl((int)numbers[0], IPC_STAT, &about) == 0);
	must(about.shm_segsz == h->size && about.shm_perm.mode & SHM_DEST);
	must((about.shm_perm.mode & 0777) == 0600);
	take_some();
	must(np_count_get(&h->threads) == 1);
	must(shmdt(h) == 0);
	pool = use_pool("mine");
	must(pool->segment.place == NP_SEGMENT_SHARED);
	must(numbers_mapped(numbers) == 2);
	npool_destroy(pool);
	must(numbers_mapped(numbers) == 1);
}

/* The child's is another one, which nobody sees before it is the child's. */
static void share_and_fork(void)
{
	unsigned long parents[8], numbers[8];
	const struct np_segment_header *h;
	struct np_segment *s = &np_pool.segment;
	int status;
	pid_t pid;

	take_some();
	must(numbers_mapped(parents) == 1);
	h = s->header;
	greedy = true;
	pid = fork();
	if (!pid) {
		must(s->place == NP_SEGMENT_SHARED && s->header == h);
		must(numbers_mapped(numbers) == 1 && numbers[0] != parents[0]);
		must(h->magic == NP_SEGMENT_MAGIC);
		must(h->pid == (uint32_t)getpid());
		must(h->parent == (uint32_t)getppid());
		use_memory(NULL);
		_exit(0);
	}
	must(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
	must(numbers_mapped(numbers) == 1 && numbers[0] == parents[0]);
	must(h->pid == (uint32_t)getpid() && !h->parent);
	must(np_count_get(&np_segment_block(s, 1)->class[class_of(64)].allocs)
	     == NSMALL);
}

static void fork_eagerly(void)
{
	int status;
	pid_t pid;

	eager = true;
	pid = fork();
	eager = false;
	if (!pid) {
		use_memory(NULL);
		_exit(0);
	}
	must(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
	must(figures().allocs == 2 * (NSMALL + 1));
	use_all();
}

/* A segment that is at most so large: 1 MiB, and 4 KiB for each thread. */
static size_t resident(const struct np_segment *s)
{
	size_t page = np_os_page_size(), n = s->layout.size / page, bytes = 0;
	unsigned char *in_memory = malloc(n);

	must(in_memory && mincore(s->base, s->layout.size, in_memory) == 0);
	for (size_t i = 0; i < n; i++)
		bytes += (in_memory[i] & 1) * page;
	free(in_memory);
	return bytes;
}

#define NTHREADS 1000 /* at once, and five times as many come and go */

static pthread_barrier_t all_there;

static void *come_and_stay(void *arg)
{
	npool_free(npool_malloc(100));
	pthread_barrier_wait(&all_there);
	pthread_barrier_wait(&all_there);
	return arg;
}

static void share_with_threads(void)
{
	pthread_t t[NTHREADS];
	struct npool_figures f;

	must(!pthread_barrier_init(&all_there, NULL, NTHREADS + 1));
	must(resident(&np_pool.segment) < 200 * NP_KIB);
	for (int round = 0; round < 5; round++) {
		for (int i = 0; i < NTHREADS; i++)
			must(!pthread_create(&t[i], NULL, come_and_stay, NULL));
		pthread_barrier_wait(&all_there);
		must(resident(&np_pool.segment) <
		     NP_MIB + NTHREADS * 4 * NP_KIB);
		pthread_barrier_wait(&all_there);
		for (int i = 0; i < NTHREADS; i++)
			must(!pthread_join(t[i], NULL));
	}
	must(resident(&np_pool.segment) < 600 * NP_KIB);
	f = figures();
	must(f.allocs >= 5 * NTHREADS && f.threads <= 1);
	must(np_count_get(&np_pool.segment.header->moves_begun) ==
	     np_count_get(&np_pool.segment.header->moves_ended));
}

static int no_shmget(key_t key, size_t size, int flags)
{
	(void)key, (void)size, (void)flags;
	return errno = ENOSYS, -1;
}

/* Does npool_stats_print say of this pool that it is not seen, and why? */
static bool says_why(const char *pool, const char *why)
{
	int fd = memfd_create("figures", 0);
	char text[8192], line[200];
	ssize_t n;

	must(npool_stats_print(fd) == 0);
	n = pread(fd, text, sizeof text - 1, 0);
	must(n > 0);
	text[n] = '\0';
	close(fd);
	snprintf(line, sizeof line, "npool-stat does not see it: %s\n", why);
	return strstr(text, pool) && strstr(strstr(text, pool), line);
}

/* A pool that gets none says so to who asks, and to nobody else; likewise a
 * child that gets none. */
static void share_in_vain(void)
{
	struct np_os without = np_os_linux;
	npool_t *pool;
	pid_t pid;

	without.shmget = no_shmget;
	np_os = &without;
	pool = use_pool("hidden");
	must(pool->segment.place == NP_SEGMENT_PRIVATE);
	must(says_why("pool hidden", "Function not implemented"));
	must(!np_pool.segment.hidden);
	pid = fork();
	if (!pid) {
		must(np_pool.segment.hidden == ENOSYS);
		must(says_why("pool default", "Function not implemented"));
		_exit(0);
	}
	wait_for(pid);
	np_os = &np_os_linux;
	npool_destroy(pool);
}

static bool child_that_shares(const char *part)
{
	if (!strcmp(part, "share"))
		share();
	else if (!strcmp(part, "share and fork"))
		share_and_fork();
	else if (!strcmp(part, "share in vain"))
		share_in_vain();
	else if (!strcmp(part, "fork eagerly"))
		fork_eagerly();
	else if (!strcmp(part, "share with threads"))
		share_with_threads();
	else if (!strcmp(part, "share nothing"))
		must(np_pool.segment.place == NP_SEGMENT_PRIVATE &&
		     !np_pool.segment.hidden);
	else
		return false;
	return true;
}

static int child(const char *part)
{
	must(np_start());
	if (child_with_pool(part) || child_that_shares(part))
		return 0;
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
	const uint16_t *fill = entry(f, &f->h->maps, 0);
	const uint8_t *map = (const uint8_t *)fill +
			     np_segment_map_offset(f->h->max_order);
	unsigned of_run = 0, of_small = 0, others = 0, taken = 0;

	is_uint(np_count_get(&f->h->chunks_used), 1, "there is one chunk");
	is_uint(np_count_get(&c->size), 16 * NP_MIB, "of that size");
	ok(np_count_get(&c->base) % (16 * NP_MIB) == 0 &&
	   np_count_get(&c->base), "at a place of its own");
	for (unsigned i = 0; i < 2048; i++) {
		of_run += map[i] == class_of(RUN);
		of_small += map[i] == class_of(64);
		others += map[i] && map[i] != class_of(RUN) &&
			  map[i] != class_of(64);
		taken += map[i] == class_of(64) ? fill[i] : 0;
	}
	is_uint(of_run, RUN / 8192, "its map shows the pages of the run");
	ok(of_small >= NSMALL * 64 / 8192 && of_small < 20,
	   "and of the subpages (%u)", of_small);
	is_uint(others, 0, "and nothing else");
	ok(taken >= NSMALL - NFREED && taken <= of_small * 8192 / 64,
	   "of the subpages it shows how many elements are taken (%u)", taken);
	is_uint(atomic_load(&c->list), NP_QINIT, "the chunk is in qInit");
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

static void test_shared(void)
{
	conf_ok(SHARED, "share", "shared memory is found and read by who looks "
		"into the process's maps");
	conf_ok(SHARED, "share and fork", "a forked child has its own");
	conf_ok(SHARED, "fork slowly", "which begins with what there was when "
		"it was forked");
	conf_ok(SHARED, "fork cancelled", "fork is no cancellation point");
	conf_ok(SHARED, "pool fork", "so it is with pools of its own");
	conf_ok(SHARED, "use", "and with all that writes");
	conf_ok(SHARED, "share in vain", "without shared memory a pool works, "
		"and says that it is not seen");
	conf_ok(SHARED ",stats:off", "share nothing", "stats:off shows it to "
		"nobody");
	conf_ok(SHARED ",stats:off", "use", "and all else works");
	conf_ok(SHARED ",stats:off", "fork eagerly", "handlers of a fork that "
		"come before ours have memory");
	if (CONF_SANITIZED) {
		skip(2, "a sanitizer wants memory and threads of its own");
		return;
	}
	conf_ok(SHARED, "fork in little space", "a child without room for a "
		"segment counts for itself");
	conf_ok(SHARED, "share with threads", "threads that come and go cost "
		"4 KiB each at once at most, and are counted");
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
	ok(child_exited(&c, 0) && strstr(c.text, strerror(EFBIG)), "so does a "
	   "child of one that was limited later");
	is_uint(clean_dir(), 1, "which has none either");
}

static bool write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool good = fd >= 0 && write(fd, text, strlen(text)) > 0;

	if (fd >= 0)
		close(fd);
	return good;
}

/* Mounts of one's own, which nobody else sees: of root, or of a user who is
 * root in a namespace. */
static bool have_own_mounts(void)
{
	char users[64], groups[64];

	snprintf(users, sizeof users, "0 %u 1\n", (unsigned)geteuid());
	snprintf(groups, sizeof groups, "0 %u 1\n", (unsigned)getegid());
	if (unshare(CLONE_NEWNS) != 0 &&
	    (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0 ||
	     !write_text("/proc/self/setgroups", "deny") ||
	     !write_text("/proc/self/gid_map", groups) ||
	     !write_text("/proc/self/uid_map", users)))
		return false;
	return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

/* A file system with room for so many bytes. */
static void on_small_disk(void *size)
{
	char options[64], conf[400];

	if (!have_own_mounts())
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
		if (!ok(child_exited(&c, 0) && (i > 3 || strstr(c.text,
			strerror(ENOSPC))), "a disk of %s: it goes on, and "
			"says why it has no segment", sizes[i]))
			diag("status 0x%x: %s", (unsigned)c.status, c.text);
	}
}

/* --- a pool's own ----------------------------------------------------- */

/* The file of a pool of this name, of a process that has a parent or not. */
static bool find_file(struct file *f, const char *pool, bool is_child)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	bool found = false;

	while (d && !found && (e = readdir(d))) {
		int pid, n;

		if (sscanf(e->d_name, "%d.%d", &pid, &n) == 2)
			found = file_open(f, pid, n) &&
				!strcmp(f->h->pool, pool) &&
				!!f->h->parent == is_child;
	}
	if (d)
		closedir(d);
	return found;
}

static struct file the_file(const char *pool, bool is_child)
{
	struct file f;

	if (!find_file(&f, pool, is_child))
		bail_out("there is no segment of pool %s", pool);
	return f;
}

static void is_counted(const struct file *f, unsigned allocs, unsigned frees,
		       const char *claim)
{
	uint64_t a, b;

	count_class(f, class_of(64), &a, &b);
	if (!ok(a == allocs && b == frees, "%s", claim))
		diag("%u allocs and %u frees", (unsigned)a, (unsigned)b);
}

static void test_pool(void)
{
	struct child c = run_child(dir, "pool");
	struct file f, g;

	if (!ok(child_exited(&c, 0) && !*c.text, "a process makes a pool"))
		diag("status 0x%x: %s", (unsigned)c.status, c.text);
	f = the_file("default", false);
	g = the_file("mine", false);
	ok(file_open(&f, (pid_t)g.h->pid, 0) && !strcmp(f.h->pool, "default"),
	   "the default pool's file comes first");
	is_uint(f.h->pool_slot, 0, "it is pool 0");
	is_uint(g.h->pool_slot, 1, "the other one is pool 1");
	is_uint(g.h->arenas.n, 6, "with arenas of its own number");
	ok(strstr(g.h->options, "decay_ms:77,") &&
	   strstr(f.h->options, "decay_ms:-1,"), "and options of its own");
	ok(parts_fit(&g), "its parts lie in it");
	is_counted(&g, POOLED, POOL_FREED, "what it did is counted there");
	is_counted(&f, 0, 0, "and not in the default pool's");
	is_uint(np_count_get(&g.h->threads), 1, "its thread");
	is_uint(np_count_get(&g.h->chunks_used), 1, "its chunk");
	ok(atomic_load(&f.h->state) == NP_SEGMENT_ENDED &&
	   atomic_load(&g.h->state) == NP_SEGMENT_ENDED,
	   "both say that the process has ended");
	is_uint(clean_dir(), 2, "there are two files");
}

static void test_pool_killed(void)
{
	struct child c = run_child(dir, "pool kill");
	struct file g;

	ok(child_killed(&c, SIGKILL), "one with a pool is killed");
	g = the_file("mine", false);
	is_counted(&g, POOLED, POOL_FREED, "the pool's counts are there");
	is_uint(atomic_load(&g.h->state), NP_SEGMENT_LIVE,
		"it never said that it ended");
	is_uint(clean_dir(), 2, "there are two files");
}

static void test_pool_destroyed(void)
{
	struct child c = run_child(dir, "pool destroy");
	struct file f;

	if (!ok(child_exited(&c, 0), "one destroys a pool and resets another"))
		diag("status 0x%x: %s", (unsigned)c.status, c.text);
	ok(!find_file(&f, "first", false), "the file of what was destroyed is "
	   "gone");
	f = the_file("third", false);
	ok(f.h->pool_slot == 1 && file_open(&f, (pid_t)f.h->pid, 1) &&
	   !strcmp(f.h->pool, "third"),
	   "the next pool has its slot and its number");
	is_counted(&f, POOLED, POOL_FREED, "and counts from 0");
	f = the_file("second", false);
	is_counted(&f, POOLED, POOLED, "in a pool that was reset all is free");
	is_uint(clean_dir(), 3, "there are three files");
}

static void test_pool_forked(void)
{
	struct child c = run_child(dir, "pool fork");
	const struct np_class_count *before;
	struct file f, g;

	if (!ok(child_exited(&c, 0), "one with a pool forks twice"))
		diag("status 0x%x: %s", (unsigned)c.status, c.text);
	f = the_file("mine", false);
	is_counted(&f, POOLED, POOL_FREED, "the pool of the parent is not "
		   "touched by its children");
	g = the_file("mine", true);
	is_uint(g.h->parent, f.h->pid, "a child's names the parent");
	is_uint(g.h->pool_slot, f.h->pool_slot, "its pool is the same");
	before = &((const struct np_block *)entry(&g, &g.h->before, 0))
			  ->class[class_of(64)];
	ok(np_count_get(&before->allocs) == POOLED &&
	   np_count_get(&before->frees) == POOL_FREED,
	   "what was before is that pool's");
	is_counted(&g, POOLED + 500, POOL_FREED + 1, "and goes on from there");
	is_uint(clean_dir(), 5, "the child that destroyed it has no file of "
		"it");
}

static void test_pool_limited(void)
{
	struct child c = run_child(dir, "pool limited");

	if (!ok(child_exited(&c, 0), "a pool without a file is a pool"))
		diag("status 0x%x: %s", (unsigned)c.status, c.text);
	ok(strstr(c.text, "will not see pool limited of this process"),
	   "it is named");
	is_uint(clean_dir(), 1, "the default pool's file is there");
}

/* --- segments of no pool ---------------------------------------------- */

static struct np_segment unit, other;
static struct np_classes unit_classes;

static int create(struct np_segment *s, const char *folder)
{
	static struct np_topology topology;
	static struct np_config config;
	static const struct np_segment_pool pool = {
		.name = "a name of more than thirty-one bytes",
		.slot = 7,
		.config = &config,
		.classes = &unit_classes,
		.topology = &topology,
		.narenas = 6,
	};

	if (!topology.nnodes) {
		np_topology_init(&topology, 3);
		np_config_preset(&config);
		np_classes_init(&unit_classes, NP_FINE, 13, 6);
	}
	return np_segment_create(s, folder, &pool);
}

static void test_create(void)
{
	faultos_begin();
	is_int(create(&unit, NULL), 0, "a segment is made, without a file");
	ok(faultos_mapped() == unit.layout.size && !unit.hidden &&
	   unit.place == NP_SEGMENT_PRIVATE, "it is memory");
	is_str(unit.header->pool, "a name of more than thirty-one ",
	       "a pool's name is cut");
	is_uint(unit.header->pool_slot, 7, "its slot is told");
	is_uint(unit.layout.maps.stride, 3 * 64, "a map has three bytes a page");
	is_ptr(np_segment_node(&unit, 2),
	       (char *)np_segment_node(&unit, 0) + 2 * unit.layout.nodes.stride,
	       "three nodes lie side by side");
	is_ptr(np_segment_arena(&unit, 5),
	       (char *)np_segment_arena(&unit, 0) +
	       5 * unit.layout.arenas.stride, "and six arenas");
	np_segment_destroy(&unit);
	ok(!unit.header && !faultos_mapped(), "destroyed nothing is left");
	faultos_end();
}

/* One block's counts, all different. */
static void count(struct np_block *b)
{
	np_count_set(&b->misses, 1);
	np_count_set(&b->depot_gets, 2);
	np_count_set(&b->depot_puts, 3);
	np_count_set(&b->fills, 4);
	np_count_set(&b->flushes, 5);
	np_count_set(&b->in_bytes, 60000);
	np_count_set(&b->out_bytes, 700);
	np_count_set(&b->foreign_frees, 8);
	np_count_set(&b->foreign_bytes, 900);
	np_count_set(&b->reclaimed_bytes, 1100);
	np_count_set(&b->rehomes, 12);
	np_count_set(&b->class[class_of(64)].allocs, 13);
	np_count_set(&b->class[class_of(64)].frees, 9);
	np_count_set(&b->class[0].allocs, 2);
}

/* Has it so many times the counts of count()? */
static bool has_counts(const struct np_block *b, unsigned n)
{
	return np_count_get(&b->misses) == 1 * n &&
	       np_count_get(&b->depot_gets) == 2 * n &&
	       np_count_get(&b->depot_puts) == 3 * n &&
	       np_count_get(&b->fills) == 4 * n &&
	       np_count_get(&b->flushes) == 5 * n &&
	       np_count_get(&b->in_bytes) == 60000 * n &&
	       np_count_get(&b->out_bytes) == 700 * n &&
	       np_count_get(&b->foreign_frees) == 8 * n &&
	       np_count_get(&b->foreign_bytes) == 900 * n &&
	       np_count_get(&b->reclaimed_bytes) == 1100 * n &&
	       np_count_get(&b->rehomes) == 12 * n &&
	       np_count_get(&b->class[class_of(64)].allocs) == 13 * n &&
	       np_count_get(&b->class[class_of(64)].frees) == 9 * n &&
	       np_count_get(&b->class[0].allocs) == 2 * n;
}

/* What threads of home `by` have of home `of`. */
static int64_t flow(unsigned by, unsigned of)
{
	const struct np_segment_flow *f = (const void *)
		(unit.base + unit.layout.flows.offset +
		 (by * 3 + of) * unit.layout.flows.stride);

	return (int64_t)np_count_get(&f->taken);
}

static void test_flows(void)
{
	const struct np_segment_flow *sent;
	struct np_block *b;

	create(&unit, "");
	is_uint(unit.layout.flows.n, 9, "flows between three nodes");
	sent = (const void *)(unit.base + unit.layout.flows.offset +
			      5 * unit.layout.flows.stride);
	is_uint(sent->distance, 20, "with their distances");
	b = np_block_get(&unit, 1, 0);
	count(b);
	np_segment_flow(&unit, 1, 2, 5000);
	np_segment_flow_cross(&unit, 1, 2, 100);
	np_segment_flow_cross(&unit, 1, 1, 100);
	np_segment_sent(&unit, 1, 2, 3, 40);
	is_int(flow(1, 2), 5000 + 100 - 40, "taken, less what was sent home");
	is_int(flow(1, 1), -100 + 40, "which was in the own block");
	ok(np_count_get(&sent->sent) == 3 && np_count_get(&sent->sent_bytes) ==
	   40, "pieces and bytes that were sent");
	np_block_put(&unit, b, 1);
	is_int(flow(1, 1), -100 + 40 + 4 * 64, "a thread's end keeps what it "
	       "has");
	np_segment_forget(&unit, &unit_classes);
	ok(!flow(1, 1) && !flow(1, 2), "until the pool is reset");
	np_segment_destroy(&unit);
}

static void test_blocks(void)
{
	struct np_block *b, *shared, *c;

	create(&unit, "");
	shared = np_block_shared(&unit);
	b = np_block_get(&unit, 2, 5);
	is_ptr(b, np_segment_block(&unit, 1), "the first cache gets block 1");
	is_uint(np_count_get(&unit.header->blocks_used), 2, "two are in use");
	ok(b->live && b->home == 2 && b->arena == 5 &&
	   b->tid == (uint32_t)gettid(), "it says whose it is");
	count(b);
	is_int(np_block_cached(&unit, &unit_classes, b),
	       60000 - 700 - 900 - 1100 - 4 * 64,
	       "what came, less what went, is cached");
	np_block_put(&unit, b, 0);
	ok(has_counts(shared, 1), "what it counted is kept in block 0");
	ok(!b->live && has_counts(b, 0), "it is cleared");
	c = np_block_get(&unit, 0, 0);
	is_ptr(c, b, "the next cache gets it");
	count(c);
	np_block_put(&unit, c, 0);
	ok(has_counts(shared, 2), "and its counts are added");
	np_segment_forget(&unit, &unit_classes);
	is_int(np_block_cached(&unit, &unit_classes, shared), 0,
	       "when the pool was reset nothing is cached");
	is_uint(np_count_get(&shared->class[class_of(64)].frees),
		np_count_get(&shared->class[class_of(64)].allocs),
		"and all is free");
	is_uint(np_count_get(&shared->class[0].frees), 4, "huge blocks, too");
	np_segment_destroy(&unit);
}

static void test_many_blocks(void)
{
	static struct np_block *b[NP_NBLOCKS + 2];
	bool good = true;

	create(&unit, "");
	for (unsigned i = 0; i < NP_NBLOCKS + 2; i++) {
		b[i] = np_block_get(&unit, 0, 0);
		good = good && b[i] && has_counts(b[i], 0);
		count(b[i]);
	}
	ok(good, "more caches than there are blocks get one");
	is_ptr(b[NP_NBLOCKS - 2], np_segment_block(&unit, NP_NBLOCKS - 1),
	       "the last block is used");
	is_uint(np_count_get(&unit.header->caches_unseen), 3,
		"the others cannot be seen, and are counted");
	for (unsigned i = 0; i < NP_NBLOCKS + 2; i++)
		np_block_put(&unit, b[i], 0);
	ok(has_counts(np_block_shared(&unit), NP_NBLOCKS + 2),
	   "what they counted is kept");
	is_uint(unit.blocks_used, 1, "all blocks are free");
	ok(resident(&unit) < 100 * NP_KIB, "and their memory is gone");
	for (unsigned i = 0; i < 3; i++)
		b[i] = np_block_get(&unit, 0, 0);
	np_block_put(&unit, b[0], 0);
	np_block_put(&unit, b[1], 0);
	is_uint(unit.blocks_used, 4, "below one that is used");
	is_ptr(np_block_get(&unit, 0, 0), b[0], "the first free one is next");
	np_segment_destroy(&unit);
}

static const struct np_segment_chunk *chunk_of(int i)
{
	return (const void *)(unit.base + unit.layout.chunks.offset +
			      (size_t)unit.layout.chunks.stride * (size_t)i);
}

/* Returns whether there was room; if not, claims that nothing is seen. */
static bool enter(struct np_segment *s, size_t size, struct np_sight *sight)
{
	memset(sight, 1, sizeof *sight);
	np_segment_enter(s, dir, size, 0, 0, sight);
	if (sight->entry < 0 && (sight->map || sight->fill || sight->list))
		bail_out("a chunk is seen that has no entry");
	return sight->entry >= 0;
}

static void test_chunks(void)
{
	struct np_sight sight;
	uint8_t *map;
	int i;

	ok(!enter(NULL, 1, &sight),
	   "without a segment a chunk gets no entry");
	ok(!enter(&unit, 1, &sight), "nor before it is made");
	create(&unit, "");
	np_segment_leave(&unit, -1);
	np_segment_resize(&unit, -1, 3);
	np_segment_enter(&unit, dir, 1000, 2, 4, &sight);
	i = sight.entry;
	map = sight.map;
	is_int(i, 0, "the first chunk gets the first entry");
	ok(np_count_get(&chunk_of(i)->base) == (uintptr_t)dir &&
	   np_count_get(&chunk_of(i)->size) == 1000 &&
	   chunk_of(i)->home == 2 && chunk_of(i)->arena == 4,
	   "which says where it is, how large and whose");
	ok(sight.list == &chunk_of(i)->list &&
	   (char *)sight.fill + 2 * 64 == (char *)map,
	   "and where its list, fills and pages are seen");
	memset(sight.fill, 9, 3 * 64);
	np_segment_resize(&unit, i, 2000);
	is_uint(np_count_get(&chunk_of(i)->size), 2000, "another size is seen");
	np_segment_leave(&unit, i);
	is_uint(np_count_get(&chunk_of(i)->base), 0, "left it is free");
	np_segment_enter(&unit, dir, 1, 0, 0, &sight);
	is_int(sight.entry, i, "the next one gets it");
	ok(sight.map == map && !*sight.fill &&
	   !memcmp(sight.fill, (char *)sight.fill + 1, 3 * 64 - 1),
	   "with pages that are clean");
	for (i = 1; i < NP_NCHUNKS; i++)
		if (!enter(&unit, 1, &sight) || sight.entry != i)
			break;
	is_int(i, NP_NCHUNKS, "so many chunks can be seen");
	ok(!enter(&unit, 1, &sight), "and no more");
	is_uint(np_count_get(&unit.header->chunks_unseen), 1,
		"which is counted");
	np_segment_destroy(&unit);
}

#define NHUGE 1500

/* Huge blocks have no page map, neither here nor in a forked child; a chunk
 * that gets the entry of one does. */
static void test_huge(void)
{
	static struct np_segment child;
	struct np_sight sight;

	create(&unit, "");
	for (unsigned i = 0; i < NHUGE; i++) {
		np_segment_enter(&unit, dir, 1, 0, i == 700 ? 0
				 : NP_SEGMENT_HUGE, &sight);
		if (sight.entry != (int)i)
			bail_out("block %u has entry %d", i, sight.entry);
		if ((sight.map || sight.fill) != (i == 700))
			bail_out("block %u: map %p", i, (void *)sight.map);
		if (i == 700)
			*sight.map = 7;
	}
	ok(resident(&unit) < 256 * NP_KIB, "%u huge blocks have no page maps",
	   NHUGE);
	np_segment_fork_begins(&unit);
	child.base = unit.snapshot;
	child.layout = unit.layout;
	ok(child.base && resident(&child) < 256 * NP_KIB,
	   "nor does a fork make them");
	ok(child.base &&
	   child.base[unit.layout.maps.offset + np_segment_map_offset(
		      unit.layout.max_order) +
		      (size_t)unit.layout.maps.stride * 700] == 7,
	   "but that of a chunk between them is copied");
	np_segment_fork_ends(&unit);
	np_segment_leave(&unit, 3);
	ok(enter(&unit, 1, &sight) && sight.entry == 3 && sight.map &&
	   !*sight.map, "a chunk in the place of a block has one");
	np_segment_destroy(&unit);
}

static bool file_is_there(int n)
{
	char path[300];

	path_of(path, sizeof path, getpid(), n);
	return access(path, F_OK) == 0;
}

static void test_numbers(void)
{
	ok(!create(&unit, dir) && !create(&other, dir) &&
	   unit.place == NP_SEGMENT_FILE && other.place == NP_SEGMENT_FILE,
	   "two segments of one process have files");
	ok(unit.number == 0 && other.number == 1 && file_is_there(0) &&
	   file_is_there(1), "of the numbers 0 and 1");
	np_count_set(&np_segment_node(&unit, 0)->taken, 5);
	is_uint(np_count_get(&np_segment_node(&other, 0)->taken), 0,
		"each counts for itself");
	np_segment_destroy(&unit);
	ok(!file_is_there(0) && file_is_there(1),
	   "with a segment its own file goes");
	create(&unit, dir);
	is_uint(unit.number, 0, "its number is free again");
	np_segment_ended(&unit);
	ok(atomic_load(&unit.header->state) == NP_SEGMENT_ENDED &&
	   atomic_load(&other.header->state) == NP_SEGMENT_LIVE,
	   "one ends, the other goes on");
	np_segment_destroy(&unit);
	np_segment_destroy(&other);
	is_uint(clean_dir(), 0, "no file is left");
}

static void test_snapshot_of(const char *folder, enum np_segment_place place,
			     const char *what)
{
	const struct np_segment_header *h;
	size_t size;

	create(&unit, folder);
	size = faultos_mapped();
	np_count_set(&unit.header->threads, 3);
	np_segment_fork_begins(&unit);
	np_count_set(&unit.header->threads, 4);
	h = (const void *)unit.snapshot;
	ok(h && unit.snapshot_place == place &&
	   np_count_get(&h->threads) == 3,
	   "%s a fork keeps what it was", what);
	ok(h && !h->magic, "as no segment yet");
	np_segment_fork_ends(&unit);
	ok(!unit.snapshot && faultos_mapped() == size, "until it is over");
	np_segment_destroy(&unit);
}

static void test_snapshot(void)
{
	np_segment_fork_begins(&other);
	ok(!other.snapshot, "what is not made has nothing to be kept");
	faultos_begin();
	create(&unit, NULL);
	np_segment_fork_begins(&unit);
	ok(!unit.snapshot, "nor what is private: a fork copies it");
	np_segment_fork_ends(&unit);
	np_segment_destroy(&unit);
	test_snapshot_of("", NP_SEGMENT_SHARED, "of shared memory");
	test_snapshot_of(dir, NP_SEGMENT_PRIVATE, "of a file");
	create(&unit, "");
	faultos_fail(1, EACCES);
	np_segment_fork_begins(&unit);
	ok(faultos_failed() == FAULTOS_SHMGET && unit.snapshot &&
	   unit.snapshot_place == NP_SEGMENT_PRIVATE &&
	   unit.snapshot_hidden == EACCES,
	   "without shared memory the child's is private");
	np_segment_fork_ends(&unit);
	np_segment_destroy(&unit);
	faultos_end();
}

/* Each step of making shared memory fails once. */
static void test_no_shared_memory(void)
{
	static const struct {
		enum faultos_call call;
		int error, hidden;
	} steps[] = {
		{ FAULTOS_SHMGET, ENOSYS, ENOSYS },
		{ FAULTOS_SHMAT, EAGAIN, EAGAIN },
		{ FAULTOS_SHMCTL, EPERM, EPERM },
		{ FAULTOS_MADVISE, ENOMEM, ENOMEM },
		{ FAULTOS_MADVISE, EFAULT, ENOMEM },
	};

	faultos_begin();
	create(&unit, "");
	ok(unit.place == NP_SEGMENT_SHARED && !unit.hidden &&
	   faultos_mapped() == unit.layout.size, "there is shared memory");
	np_segment_destroy(&unit);
	for (unsigned i = 0; i < sizeof steps / sizeof *steps; i++) {
		faultos_fail(i < 4 ? i + 1 : 4, steps[i].error);
		is_int(create(&unit, ""), 0, "a segment is made without");
		ok(faultos_failed() == steps[i].call &&
		   unit.place == NP_SEGMENT_PRIVATE &&
		   unit.hidden == steps[i].hidden,
		   "private, and it is known why");
		faultos_fail(0, 0);
		np_segment_destroy(&unit);
		is_uint(faultos_mapped(), 0, "nothing is left");
	}
	faultos_end();
}

/* Makes each call of a create in turn fail. */
static void test_create_fails(char *folder, const char *claim)
{
	char text[CHILD_TEXT_MAX];
	struct catch c = catch_begin();
	unsigned long n, made = 0;
	bool good = true;
	int error;

	faultos_begin();
	for (n = 1; faultos_fail(n, ENOMEM), error = create(&unit, folder),
	     faultos_failed(); n++) {
		enum faultos_call failed = faultos_failed();

		good = good && (!error || error == ENOMEM);
		made += !error;
		faultos_fail(0, 0);
		if (!error)
			np_segment_destroy(&unit);
		good = good && (!faultos_mapped() || failed == FAULTOS_MUNMAP);
	}
	np_segment_destroy(&unit);
	faultos_end();
	catch_end(&c, text);
	diag("%lu of %lu calls may fail", made, n - 1);
	ok(good && made && !clean_dir(), "%s", claim);
}

static void *no_mmap(void *addr, size_t size, int prot, int flags, int fd,
		     off_t offset)
{
	(void)addr, (void)size, (void)prot, (void)flags, (void)fd;
	(void)offset;
	errno = ENOMEM;
	return MAP_FAILED;
}

static void test_no_memory(void)
{
	struct np_os empty = np_os_linux;

	empty.mmap = no_mmap;
	np_os = &empty;
	is_int(create(&unit, NULL), ENOMEM, "without memory there is none");
	np_os = &np_os_linux;
}

static void test_units(void)
{
	static char none[] = "";

	test_create();
	test_flows();
	test_blocks();
	test_many_blocks();
	test_chunks();
	test_huge();
	test_numbers();
	test_snapshot();
	test_create_fails(none, "whatever fails, a segment is made or not");
	test_no_shared_memory();
	test_create_fails(dir, "so with a file, of which none is left");
	test_no_memory();
}

int main(int argc, char **argv)
{
	const char *tmp = getenv("TMPDIR");

	if (argc > 1)
		return child(argv[1]);
	plan(72 + 6 + 7 + 8 + 11 + 5 + 11 + 7 + 4 + 2 + 1 + 13 + 4 + 6 + 8 + 3 +
	     5 + 10 + 12 + 3 + 4);
	snprintf(dir, sizeof dir, "%s/npool-segment.XXXXXX",
		 tmp && strlen(tmp) < 30 ? tmp : "/tmp");
	if (!mkdtemp(dir))
		bail_out("%s: %s", dir, strerror(errno));
	(void)argv;
	test_units();
	test_exit();
	test_kill();
	test_fork();
	test_slow_fork();
	test_little_space();
	test_cancel();
	test_exec();
	test_shared();
	test_no_folder();
	test_spoilt();
	test_small_files();
	test_full_disk();
	test_pool();
	test_pool_killed();
	test_pool_destroyed();
	test_pool_forked();
	test_pool_limited();
	clean_dir();
	rmdir(dir);
	return done();
}
