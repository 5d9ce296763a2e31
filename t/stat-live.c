/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * npool-stat's look at a process that runs, by this very process, which knows
 * what is true: at a quiet moment every sum is what npool_stats() says; while
 * threads work and come and go nothing is torn, lost or below 0; and what a
 * process shows in a segment's place is refused in a line.
 */
#include "child.h"
#include "conf.h"
#include "figures.h"
#include "npool.h"
#include "pool.h"
#include "rng.h"
#include "stat.h"
#include "tap.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/shm.h>

#define CONF "nodes:2,arenas:2,decay_ms:50"

const char tool_name[] = "stat-live.t";

static const struct options plain;

static struct report look_at(pid_t pid, char *why, size_t size)
{
	struct report r = { .options = &plain };
	struct samples samples = { 0 };

	*why = '\0';
	report_process(&r, pid, &samples, why, size);
	samples_free(&samples);
	return r;
}

static struct report look_at_me(void)
{
	char why[200];
	struct report r = look_at(getpid(), why, sizeof why);

	if (!r.nprocesses)
		bail_out("no report of this process: %s", why);
	return r;
}

/* --- quiet ------------------------------------------------------------ */

#define NPIECES 3000

static void *pieces[NPIECES];

static void hold_some(void)
{
	struct rng rng = rng_seed(9);

	for (unsigned i = 0; i < NPIECES; i++)
		pieces[i] = npool_malloc(rng_log(&rng, 100000));
	for (unsigned i = 0; i < NPIECES; i += 3) {
		npool_free(pieces[i]);
		pieces[i] = NULL;
	}
	pieces[0] = npool_malloc(20 * NP_MIB);
}

static void test_figures(void)
{
	struct npool_figures s;
	struct report r;
	uint64_t used = 0, allocs = 0, threads = 0;

	hold_some();
	s = figures();
	r = look_at_me();
	is_uint(r.nprocesses, 1, "there is one segment");
	is_uint(r.processes[0].life, LIFE_RUNNING, "of a process that runs");
	is_uint(r.total.used, s.used, "npool_stats: used");
	is_uint(r.total.cached, s.cached, "npool_stats: cached");
	is_uint(r.total.reserved, s.reserved, "npool_stats: reserved");
	is_uint(r.total.peak_taken, s.peak_taken, "npool_stats: peak_taken");
	is_uint(r.total.chunks, s.chunks, "npool_stats: chunks");
	is_uint(r.total.huge_blocks, s.huge_blocks,
		"npool_stats: huge_blocks");
	is_uint(r.total.allocs, s.allocs, "npool_stats: allocs");
	is_uint(r.total.frees, s.frees, "npool_stats: frees");
	is_uint(r.total.hits, s.hits, "npool_stats: hits");
	is_uint(r.total.depot_gets, s.depot_gets, "npool_stats: depot_gets");
	is_uint(r.total.depot_puts, s.depot_puts, "npool_stats: depot_puts");
	is_uint(r.total.foreign_frees, s.foreign_frees,
		"npool_stats: foreign_frees");
	is_uint(r.total.threads, s.threads, "npool_stats: threads");
	for (size_t i = 0; i < r.nnodes; i++)
		used += r.nodes[i].used;
	for (size_t i = 0; i < r.nclasses; i++)
		allocs += r.classes[i].allocs;
	for (size_t i = 0; i < r.narenas; i++)
		threads += r.arenas[i].threads;
	is_uint(used, s.used, "the nodes' make the whole");
	is_uint(allocs, s.allocs, "so do the classes'");
	is_uint(threads, s.threads, "and the arenas'");
	report_free(&r);
}

static void test_pools(void)
{
	npool_t *pool;
	struct report r;

	if (npool_create(&pool, NULL))
		bail_out("no second pool");
	r = look_at_me();
	is_uint(r.nprocesses, 2, "another pool has another segment");
	is_uint(r.nprograms, 1, "of one program");
	report_free(&r);
	npool_destroy(pool);
	r = look_at_me();
	is_uint(r.nprocesses, 1, "destroyed it has none");
	report_free(&r);
}

static void test_since(void)
{
	struct report r = look_at_me(), never = { 0 }, other = { 0 };
	struct process parent = { .pid = getppid() };

	other.processes = &parent;
	other.nprocesses = 1;
	is_uint(totals_since(&r, &never, 0).allocs, r.total.allocs,
		"before the first look nothing was counted");
	is_uint(totals_since(&r, &r, now_ms()).allocs, 0,
		"what was there then is not counted again");
	is_uint(totals_since(&r, &other, now_ms()).allocs, 0,
		"a process that one look left out has no rate at the next");
	is_uint(totals_since(&r, &other, 1).allocs, r.total.allocs,
		"one that has started since has");
	report_free(&r);
}

static npool_t *named_pool(const char *name)
{
	struct npool_attr attr = NPOOL_ATTR_INIT;
	npool_t *pool;

	attr.name = name;
	if (npool_create(&pool, &attr))
		bail_out("no pool %s", name);
	return pool;
}

/* The places of a process whose maps were read while a pool was destroyed and
 * the next got its slot: of both. Returns how many are told. */
static size_t look_at_both(const struct target *before, struct target *now)
{
	struct samples samples = { 0 };
	struct report r = { .options = &plain };
	struct place *places = now->places;
	struct place both[3] = { before->places[0], before->places[1] };
	char why[200];
	size_t n;

	for (size_t i = 0; i < 2; i++)
		if (places[i].number != both[0].number &&
		    places[i].number != both[1].number)
			both[2] = places[i];
	now->places = both;
	now->nplaces = 3;
	must(report_target(&r, now, &samples, why, sizeof why));
	n = r.nprocesses + r.nskipped;
	now->places = places;
	now->nplaces = 2;
	report_free(&r);
	samples_free(&samples);
	return n;
}

/* Its segment is there as long as another reader has it attached. */
static void test_destroyed(void)
{
	npool_t *pool = named_pool("first");
	struct target before, now;
	void *attached[2];
	unsigned slot = pool->slot;
	char why[200];

	must(target_find(&before, getpid(), why, sizeof why));
	must(before.nplaces == 2);
	for (int i = 0; i < 2; i++) {
		attached[i] = shmat((int)before.places[i].number, NULL,
				    SHM_RDONLY);
		must(attached[i] != MAP_FAILED);
	}
	npool_destroy(pool);
	pool = named_pool("second");
	must(pool->slot == slot);
	must(target_find(&now, getpid(), why, sizeof why) && now.nplaces == 2);
	is_uint(look_at_both(&before, &now), 2,
		"a pool that was destroyed is not shown beside the next");
	for (int i = 0; i < 2; i++)
		shmdt(attached[i]);
	target_free(&before);
	target_free(&now);
	npool_destroy(pool);
}

/* --- under load ------------------------------------------------------- */

#define NTHREADS 3
#define NLOOKS 300

static atomic_bool stop;
static atomic_uint come;

static void *work(void *arg)
{
	struct rng rng = rng_seed((uint64_t)(uintptr_t)&rng);
	void *p[16] = { NULL };

	for (unsigned n = 0; n < 2000 && !atomic_load(&stop); n++) {
		unsigned i = (unsigned)rng_below(&rng, 16);

		npool_free(p[i]);
		p[i] = npool_malloc(rng_log(&rng, 50000));
	}
	for (unsigned i = 0; i < 16; i++)
		npool_free(p[i]);
	return arg;
}

/* Threads that work for a moment, one after the other. */
static void *come_and_go(void *arg)
{
	pthread_t t;

	while (!atomic_load(&stop)) {
		if (pthread_create(&t, NULL, work, arg))
			abort();
		pthread_join(t, NULL);
		atomic_fetch_add(&come, 1);
	}
	return arg;
}

/* More than all addresses: it was below 0, or torn. */
static bool is_sane(const struct total *t)
{
	uint64_t most = UINT64_C(1) << 47;

	return t->used < most && t->cached < most && t->taken < most &&
	       t->reserved < most && t->hits <= t->allocs &&
	       t->misses < most && t->allocs < most && t->frees < most &&
	       t->threads < 100;
}

/* Hits are no count of their own: a difference of two that were read one after
 * the other. */
static bool has_fallen(const struct total *now, const struct total *before)
{
	static const char *const events[] = {
		"allocs", "frees", "misses", "depot_gets", "depot_puts",
		"fills", "flushes", "foreign_frees", "foreign_bytes",
		"rehomes", "purged",
	};
	unsigned found = 0;
	bool fallen = false;

	for (const struct figure *f = total_figures; f->key; f++)
		for (size_t i = 0; i < sizeof events / sizeof *events; i++)
			if (!strcmp(f->key, events[i])) {
				found++;
				fallen |= *figure_in(now, f) <
					  *figure_in(before, f);
			}
	must(found == sizeof events / sizeof *events);
	return fallen;
}

static void test_load(void)
{
	struct total before = { 0 };
	unsigned nwrong = 0, nback = 0;
	pthread_t t[NTHREADS];
	struct npool_figures s;
	struct report r;

	for (int i = 0; i < NTHREADS; i++)
		if (pthread_create(&t[i], NULL, come_and_go, NULL))
			bail_out("no thread");
	for (int i = 0; i < NLOOKS || atomic_load(&come) < 20; i++) {
		r = look_at_me();
		nwrong += !is_sane(&r.total);
		nback += has_fallen(&r.total, &before);
		before = r.total;
		report_free(&r);
	}
	atomic_store(&stop, true);
	for (int i = 0; i < NTHREADS; i++)
		pthread_join(t[i], NULL);
	is_uint(nwrong, 0, "nothing is below 0 while threads come and go");
	is_uint(nback, 0, "and nothing is counted less than before");
	s = figures();
	r = look_at_me();
	is_uint(r.total.allocs, s.allocs, "afterwards all are counted");
	is_uint(r.total.used, s.used, "and what is used is known");
	report_free(&r);
}

/* --- counts that move -------------------------------------------------- */

#define STEP 1000000 /* allocations that are counted at once */
#define NMOVES 4000

static struct np_segment moving;
static atomic_uint begun, counted; /* steps */

/* Counts in one block or the other: those that are counted, and no more than
 * have begun. */
static void *move(void *arg)
{
	for (unsigned i = 0; i < NMOVES; i++) {
		struct np_block *b = np_block_get(&moving, 0, 0);

		atomic_fetch_add(&begun, 1);
		np_count_set(&b->class[1].allocs, STEP);
		atomic_fetch_add(&counted, 1);
		np_block_put(&moving, b, 0);
		usleep(100);
	}
	atomic_store(&stop, true);
	return arg;
}

/* base: where the segment is seen. */
static uint64_t count_moving(const char *base)
{
	char why[200];
	struct view *v = view_of(base, moving.layout.size, why, sizeof why);
	struct report r = { .options = &plain };
	struct samples samples = { 0 };
	uint64_t allocs;

	if (!v)
		bail_out("no view: %s", why);
	report_add(&r, v, &samples, LIFE_RUNNING);
	allocs = r.total.allocs;
	report_free(&r);
	view_close(v);
	return allocs;
}

static void test_moves(void)
{
	struct np_segment_pool pool = {
		.name = "moving", .config = &np_pool.config,
		.classes = &np_pool.classes, .topology = &np_topology,
		.narenas = 1,
	};
	unsigned nless = 0, nmore = 0, nodd = 0;
	pthread_t t;
	char *seen;

	atomic_store(&stop, false);
	if (np_segment_create(&moving, "", &pool) != 0)
		bail_out("no segment");
	/* Another mapping of the same memory, as a reader has. */
	seen = mremap(moving.base, 0, moving.layout.size, MREMAP_MAYMOVE);
	if (seen == MAP_FAILED ||
	    pthread_create(&t, NULL, move, NULL))
		bail_out("no thread");
	do {
		uint64_t least = atomic_load(&counted);
		uint64_t now = count_moving(seen);

		nless += now < least * STEP;
		nmore += now > (uint64_t)atomic_load(&begun) * STEP;
		nodd += now % STEP != 0;
	} while (!atomic_load(&stop));
	pthread_join(t, NULL);
	is_uint(nless, 0, "no counts are missed while they move");
	is_uint(nmore, 0, "and none are seen twice");
	is_uint(nodd, 0, "and none is torn");
	is_uint(count_moving(seen), (uint64_t)NMOVES * STEP, "none is lost");
	munmap(seen, moving.layout.size);
	np_segment_destroy(&moving);
}

/* --- hostile ---------------------------------------------------------- */

#define KEY ((key_t)(NP_SEGMENT_KEY | 0xfade))

/* A child that shows something, and waits to be killed. */
struct hostile {
	pid_t pid;
	int ready[2];
};

static void *map_shared(size_t size, int mode)
{
	int id = shmget(KEY, size, IPC_CREAT | IPC_EXCL | mode);
	void *p = shmat(id, NULL, 0);

	must(p != MAP_FAILED);
	must(shmctl(id, IPC_RMID, NULL) == 0);
	return p;
}

/* Its own segment, for all to see, with what is true and what is not. */
static struct np_segment_header *forge(void)
{
	size_t size = np_pool.segment.layout.size;
	struct np_segment_header *h = map_shared(size, 0600);

	memcpy(h, np_pool.segment.header, size);
	must(h->pid == (uint32_t)getpid() && h->magic == NP_SEGMENT_MAGIC);
	/* The true one says no more. */
	np_pool.segment.header->magic = 0;
	return h;
}

static void show_nothing(void)
{
	np_pool.segment.header->magic = 0;
	memset(map_shared(100, 0600), 1, 100);
}

static void show_noise(void)
{
	uint64_t *p = map_shared(NP_MIB, 0600);
	struct rng rng = rng_seed(1);

	np_pool.segment.header->magic = 0;
	for (size_t i = 0; i < NP_MIB / 8; i++)
		p[i] = rng_next(&rng);
}

static void show_absurd(void)
{
	struct np_segment_header *h = forge();

	h->blocks.n = 1u << 30;
}

static void show_short(void)
{
	struct np_segment_header *h = forge();

	h->size = UINT64_C(1) << 40;
}

static void show_giant(void)
{
	np_pool.segment.header->magic = 0;
	must(shmat(shmget(KEY, (size_t)1 << 32, IPC_CREAT | IPC_EXCL |
			  SHM_NORESERVE | 0600), NULL, 0) != MAP_FAILED);
	must(shmctl(shmget(KEY, 0, 0), IPC_RMID, NULL) == 0);
}

static void show_others(void)
{
	struct np_segment_header *h = forge();

	h->pid = 1;
}

static void show_readable(void)
{
	np_pool.segment.header->magic = 0;
	map_shared(NP_MIB, 0604);
}

static void show_kept(void)
{
	np_pool.segment.header->magic = 0;
	must(shmat(shmget(KEY, NP_MIB, IPC_CREAT | IPC_EXCL | 0600), NULL,
		   0) != MAP_FAILED);
}

static void show_uncounted(void)
{
	struct np_segment_header *h = forge();

	np_count_set(&h->moves_begun, 77);
	np_count_set(&h->blocks_used, UINT64_MAX);
	np_count_set(&h->chunks_used, UINT64_MAX);
}

static struct hostile start(void (*show)(void))
{
	struct hostile h;
	char c;

	if (pipe(h.ready) != 0)
		bail_out("pipe: %s", strerror(errno));
	h.pid = fork();
	if (!h.pid) {
		show();
		must(write(h.ready[1], "", 1) == 1);
		for (;;)
			pause();
	}
	close(h.ready[1]);
	if (h.pid < 0 || read(h.ready[0], &c, 1) != 1)
		bail_out("no child");
	close(h.ready[0]);
	return h;
}

static void end(const struct hostile *h)
{
	kill(h->pid, SIGKILL);
	waitpid(h->pid, NULL, 0);
}

/* Claims that it is refused with one line that says so. */
static void refused(void (*show)(void), const char *says, const char *claim)
{
	char why[200], text[CHILD_TEXT_MAX];
	struct hostile h = start(show);
	struct catch c = catch_begin();
	struct report r = look_at(h.pid, why, sizeof why);
	size_t lines = 0;

	catch_end(&c, text);
	for (const char *at = text; *at; at++)
		lines += *at == '\n';
	if (!ok(!r.nprocesses && lines <= 1 &&
		(strstr(text, says) || strstr(why, says)), "%s", claim))
		diag("%zu processes; '%s'; '%s'", r.nprocesses, text, why);
	report_free(&r);
	end(&h);
}

/* Memory of another program, with a key like ours, that is there to stay. */
static void test_kept(void)
{
	struct hostile h = start(show_kept);
	int id = shmget(KEY, 0, 0);
	struct shmid_ds about;
	char why[200];
	struct report r = look_at(h.pid, why, sizeof why);

	must(shmctl(id, IPC_STAT, &about) == 0);
	ok(!r.nprocesses && !r.nskipped && about.shm_lpid == h.pid,
	   "memory that is not marked for removal is not attached to");
	report_free(&r);
	end(&h);
	shmctl(id, IPC_RMID, NULL);
}

/* A process that ended between the look at its maps and that at its segment. */
static void test_gone(void)
{
	struct hostile h = start(show_uncounted);
	struct report r = { .options = &plain };
	struct samples samples = { 0 };
	struct target t;
	char why[200];
	bool found = target_find(&t, h.pid, why, sizeof why);

	end(&h);
	if (!found)
		bail_out("no process: %s", why);
	ok(t.nplaces && !report_target(&r, &t, &samples, why, sizeof why) &&
	   !r.nskipped, "a segment that ended meanwhile is not missed");
	target_free(&t);
	report_free(&r);
	samples_free(&samples);
}

static void test_hostile(void)
{
	char why[200];
	struct hostile h;
	struct report r;

	refused(show_nothing, "cut off: 100 bytes",
		"a segment below the header is refused");
	refused(show_noise, "no magic number", "and noise");
	refused(show_absurd, "1073741824 blocks", "and an absurd count");
	refused(show_short, "cut off: ", "and one that is said to be longer");
	refused(show_giant, "too large: 4294967296 bytes",
		"and one of 4 GiB");
	refused(show_readable, "has the mode 0604",
		"and one that others may read");
	refused(show_others, "has no segment that can be read",
		"another process's is no one's");
	h = start(show_uncounted);
	r = look_at(h.pid, why, sizeof why);
	is_uint(r.nprocesses, 1, "counts beyond the end are cut, and read");
	report_free(&r);
	end(&h);
	r = look_at(h.pid, why, sizeof why);
	ok(!r.nprocesses && !strcmp(why, "there is no such process"),
	   "a process that was killed is gone");
	report_free(&r);
}

/* --- memory that goes away -------------------------------------------- */

static void test_copy(void)
{
	size_t page = np_os_page_size();
	int fd = memfd_create("short", MFD_CLOEXEC);
	struct sigaction before, after;
	char text[32];
	char *p;

	if (fd < 0 || ftruncate(fd, (off_t)(2 * page)) != 0)
		bail_out("memfd: %s", strerror(errno));
	p = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		bail_out("mmap: %s", strerror(errno));
	memcpy(p + page - 16, "what was written", 16);
	sigaction(SIGBUS, NULL, &before);
	ok(copy_guarded(text, p + page - 16, 16) &&
	   !memcmp(text, "what was written", 16), "what is there is copied");
	ok(copy_guarded(text, p + page - 16, 13) &&
	   !memcmp(text, "what was wri", 12), "of any length");
	if (ftruncate(fd, (off_t)page) != 0)
		bail_out("ftruncate: %s", strerror(errno));
	ok(!copy_guarded(text, p + page - 16, 32), "what was cut off is not");
	ok(copy_guarded(text, p + page - 16, 16), "and what is left still is");
	sigaction(SIGBUS, NULL, &after);
	ok(before.sa_handler == after.sa_handler,
	   "the signal does again what it did");
	munmap(p, 2 * page);
	close(fd);
}

int main(int argc, char **argv)
{
	(void)argc;
	conf_restart(argv, CONF);
	plan(18 + 3 + 4 + 1 + 4 + 4 + 9 + 2 + 5);
	test_figures();
	test_pools();
	test_since();
	test_destroyed();
	test_load();
	test_moves();
	test_hostile();
	test_kept();
	test_gone();
	test_copy();
	return done();
}
