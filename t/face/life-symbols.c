/*
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * life-symbols.c - every function of malloc's family means what it should.
 *
 * Run by face-life.t.  Sizes go through all small ones, the borders of
 * powers of two, and beyond a chunk of 16 MiB.
 */
#include "life.h"
#include <pthread.h>
#include <sys/resource.h> /* RLIMIT_AS */

#define TOO_MUCH ((size_t)PTRDIFF_MAX + 1)

/* Visits 0..2048, then 2^k - 1, 2^k, 2^k + 1 and three between, on. */
static size_t next_size(size_t n)
{
	size_t power = 2 * KIB;

	if (n < 2 * KIB)
		return n + 1;
	while (power * 2 <= n + 1)
		power *= 2;
	if (n + 1 == power || n == power)
		return n + 1;
	if (n < power + power / 4)
		return power + power / 4;
	if (n < power + power / 2)
		return power + power / 2;
	return n < power * 2 - power / 4 ? power * 2 - power / 4
					 : power * 2 - 1;
}

#define LAST_SIZE (20 * MIB)

static int zero_from(const unsigned char *p, size_t n)
{
	return n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
}

static void one_home(void)
{
	static const char *const names[] = { "malloc",
					     "calloc",
					     "realloc",
					     "reallocarray",
					     "free",
					     "aligned_alloc",
					     "memalign",
					     "posix_memalign",
					     "valloc",
					     "pvalloc",
					     "malloc_usable_size",
					     "malloc_trim",
					     "mallopt",
					     "mallinfo2",
					     "free_sized",
					     "free_aligned_sized" };
	size_t count = COUNT(names) - (on_face() ? 0 : 2);

	for (size_t i = 0; i < count; i++) {
		Dl_info info;
		void *symbol = dlsym(RTLD_DEFAULT, names[i]);

		CHECK(symbol && dladdr(symbol, &info), "no %s", names[i]);
		CHECK(!strcmp(info.dli_fname, malloc_home()),
		      "%s comes from %s, malloc from %s", names[i],
		      info.dli_fname, malloc_home());
	}
}

static void aligned_and_whole(void)
{
	for (size_t n = 0; n <= LAST_SIZE; n = next_size(n)) {
		void *a = take(n), *b = take(n);

		CHECK(((uintptr_t)a | (uintptr_t)b) % 16 == 0,
		      "malloc(%zu) gave %p and %p", n, a, b);
		fill(a, n, 1);
		fill(b, n, 2);
		CHECK(holds(a, n, 1) == n && holds(b, n, 2) == n,
		      "two pieces of %zu bytes overlap", n);
		free(a);
		free(b);
	}
}

static void nothing_asked(void)
{
	void *piece[500];

	for (size_t i = 0; i < COUNT(piece); i++) {
		piece[i] = take(0);
		for (size_t k = 0; k < i; k++)
			CHECK(piece[k] != piece[i], "malloc(0) gave %p twice",
			      piece[i]);
	}
	for (size_t i = 0; i < COUNT(piece); i++)
		free(piece[i]);
	void *zeroed = keep(calloc(hide(0), 8));

	CHECK(zeroed, "calloc(0, 8) gave NULL");
	free(zeroed);
}

#define REFUSED(call) \
	do { \
		errno = 0; \
		void *got = keep(call); \
		CHECK(!got && errno == ENOMEM, "%s gave %p, %s", #call, got, \
		      strerror(errno)); \
	} while (0)

static void too_much(void)
{
	void *untouched = &untouched, *p = untouched;

	REFUSED(malloc(hide(TOO_MUCH)));
	REFUSED(malloc(hide(SIZE_MAX)));
	REFUSED(malloc(hide(SIZE_MAX - 4096)));
	REFUSED(calloc(1, hide(TOO_MUCH)));
	REFUSED(aligned_alloc(64, hide(SIZE_MAX - 63)));
	REFUSED(memalign(hide(4096), hide(TOO_MUCH)));
	REFUSED(memalign(hide((size_t)1 << 62), hide((size_t)1 << 62)));
	REFUSED(valloc(hide(SIZE_MAX)));
	REFUSED(pvalloc(hide(SIZE_MAX)));
	int error = posix_memalign(&p, 64, hide(TOO_MUCH));

	CHECK(error == ENOMEM, "posix_memalign returned %d", error);
	CHECK(p == untouched, "a failed posix_memalign wrote %p", p);
}

static void product_too_large(void)
{
	REFUSED(calloc(hide(SIZE_MAX / 2), hide(3)));
	REFUSED(calloc(hide((size_t)1 << 32), hide((size_t)1 << 32)));
	REFUSED(reallocarray(NULL, hide(SIZE_MAX / 2), hide(3)));
	REFUSED(reallocarray(NULL, hide((size_t)1 << 33), hide(1UL << 31)));
}

static void refused_realloc_keeps(void)
{
	static const size_t sizes[] = { 1, 40, 1000, 9000, 70000, 20 * MIB };

	for (size_t i = 0; i < COUNT(sizes); i++) {
		void *p = take(sizes[i]);

		fill(p, sizes[i], i);
		REFUSED(realloc(keep(p), hide(TOO_MUCH)));
		REFUSED(realloc(keep(p), hide(SIZE_MAX)));
		REFUSED(reallocarray(keep(p), hide(SIZE_MAX / 4), hide(5)));
		CHECK(holds(p, sizes[i], i) == sizes[i],
		      "a refused realloc changed %zu bytes", sizes[i]);
		free(p);
	}
}

static void zero_after_dirt(void)
{
	for (size_t n = 1; n <= LAST_SIZE; n = next_size(n)) {
		unsigned char *dirty[4];

		for (size_t i = 0; i < COUNT(dirty); i++) {
			dirty[i] = take(n);
			memset(dirty[i], 0xa5, n);
		}
		for (size_t i = 0; i < COUNT(dirty); i++)
			free(dirty[i]);
		for (size_t i = 0; i < COUNT(dirty); i++) {
			dirty[i] = keep(calloc(hide(n), 1));
			CHECK(dirty[i] && zero_from(dirty[i], n),
			      "calloc(%zu, 1) is not zero", n);
		}
		for (size_t i = 0; i < COUNT(dirty); i++)
			free(dirty[i]);
	}
}

static void check_resize(size_t from, size_t to)
{
	size_t kept = from < to ? from : to;
	void *p = take(from);

	fill(p, from, from);
	void *q = keep(realloc(p, hide(to)));

	CHECK(q, "realloc from %zu to %zu: NULL", from, to);
	CHECK((uintptr_t)q % 16 == 0, "realloc gave %p", q);
	CHECK(holds(q, kept, from) == kept,
	      "realloc from %zu to %zu lost byte %zu", from, to,
	      holds(q, kept, from));
	fill(q, to, to);
	CHECK(holds(q, to, to) == to, "%zu bytes do not hold", to);
	free(q);
}

static void resize_every_pair(void)
{
	size_t sizes[96], count = 0;

	for (size_t n = 1; n < 200; n += 1 + n / 9)
		sizes[count++] = n;
	for (size_t n = 255; n <= 66000 && count + 3 < COUNT(sizes);
	     n = 2 * n + 1) {
		sizes[count++] = n;
		sizes[count++] = n + 1;
		sizes[count++] = n + 2 + n / 3;
	}
	for (size_t i = 0; i < count; i++)
		for (size_t k = 0; k < count; k++)
			check_resize(sizes[i], sizes[k]);
}

static void resize_step_by_step(void)
{
	size_t n = 1;
	unsigned char *p = take(n);

	fill(p, n, 3);
	while (n < 40 * MIB) {
		size_t more = n + n / 5 + 1;

		p = keep(realloc(p, hide(more)));
		CHECK(p, "realloc to %zu: NULL", more);
		CHECK(holds(p, n, 3) == n, "growing %zu to %zu lost byte %zu",
		      n, more, holds(p, n, 3));
		fill(p, more, 3);
		n = more;
	}
	while (n > 1) {
		n -= n / 4 + 1;
		p = keep(realloc(p, hide(n ? n : 1)));
		CHECK(p && holds(p, n, 3) == n, "shrinking to %zu lost bytes",
		      n);
	}
	free(p);
}

static void realloc_ends(void)
{
	void *p = keep(realloc(NULL, hide(100)));

	CHECK(p, "realloc(NULL, 100) gave NULL");
	fill(p, 100, 5);
	CHECK(keep(realloc(p, hide(0))) == NULL,
	      "realloc(p, 0) gave something");
	p = keep(realloc(NULL, hide(0)));
	CHECK(p, "realloc(NULL, 0) gave NULL");
	free(p);
	p = keep(reallocarray(NULL, hide(10), hide(10)));
	CHECK(p, "reallocarray(NULL, 10, 10) gave NULL");
	fill(p, 100, 6);
	p = keep(reallocarray(p, hide(1000), hide(50)));
	CHECK(p && holds(p, 100, 6) == 100, "reallocarray lost bytes");
	free(p);
}

static void check_aligned(size_t alignment, size_t n)
{
	void *piece[3];

	CHECK(posix_memalign(&piece[0], alignment, n) == 0,
	      "posix_memalign(%zu, %zu) failed", alignment, n);
	piece[1] = keep(aligned_alloc(alignment, hide(n)));
	piece[2] = keep(memalign(alignment, hide(n)));
	for (size_t i = 0; i < COUNT(piece); i++) {
		CHECK(piece[i] && (uintptr_t)piece[i] % alignment == 0,
		      "%zu bytes aligned to %zu are at %p", n, alignment,
		      piece[i]);
		CHECK(malloc_usable_size(piece[i]) >= n,
		      "%zu bytes aligned to %zu: %zu usable", n, alignment,
		      malloc_usable_size(piece[i]));
		fill(piece[i], n, i);
	}
	for (size_t i = 0; i < COUNT(piece); i++)
		CHECK(holds(piece[i], n, i) == n,
		      "%zu bytes aligned to %zu "
		      "overlap others",
		      n, alignment);
	void *moved = keep(realloc(piece[0], hide(n * 2 + 1)));

	CHECK(moved && holds(moved, n, 0) == n,
	      "realloc of %zu aligned bytes lost some", n);
	free(moved);
	free(piece[1]);
	free(piece[2]);
}

static void aligned_results(void)
{
	static const size_t sizes[] = { 1,    24,   64,	   100,	   500,	   4096,
					5000, 8192, 33000, 100000, MIB + 1 };

	for (size_t a = sizeof(void *); a <= 2 * MIB; a *= 2)
		for (size_t i = 0; i < COUNT(sizes); i++)
			check_aligned(a, sizes[i]);
	check_aligned(16 * MIB, 100);
	check_aligned(64 * MIB, 17 * MIB);
}

static void posix_memalign_refuses(void)
{
	static const size_t bad[] = {
		0,	  1,	       2,   4,	  3,
		12,	  24,	       100, 4095, sizeof(void *) * 3,
		SIZE_MAX, SIZE_MAX / 2
	};

	for (size_t i = 0; i < COUNT(bad); i++) {
		void *p = &p;

		errno = 1234;
		int error = posix_memalign(&p, hide(bad[i]), 64);

		CHECK(error == EINVAL, "alignment %zu: returned %d", bad[i],
		      error);
		CHECK(errno == 1234, "alignment %zu: errno became %d", bad[i],
		      errno);
		CHECK(p == &p, "alignment %zu: wrote %p", bad[i], p);
	}
}

/* The C library rounds such an alignment up; refusing it is right too. */
static void odd_alignments(void)
{
	static const size_t odd[] = { 3, 24, 48, 100, 4097 };

	for (size_t i = 0; i < COUNT(odd); i++)
		for (int way = 0; way < 2; way++) {
			size_t up = 1;

			while (up < odd[i])
				up *= 2;
			errno = 0;
			void *p = keep(
				way ? memalign(hide(odd[i]), 300)
				    : aligned_alloc(hide(odd[i]), hide(300)));

			CHECK(p ? (uintptr_t)p % up == 0 : errno == EINVAL,
			      "alignment %zu gave %p, %s", odd[i], p,
			      strerror(errno));
			if (p)
				fill(p, 300, 0);
			free(p);
		}
	errno = 0;
	CHECK(!keep(memalign(hide(SIZE_MAX), 1)) && errno == EINVAL,
	      "memalign(SIZE_MAX, 1): %s", strerror(errno));
}

static void whole_pages(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	for (size_t n = 1; n <= 40 * page; n += page / 3) {
		size_t up = (n + page - 1) / page * page;
		void *v = keep(valloc(hide(n))), *p = keep(pvalloc(hide(n)));

		CHECK(v && (uintptr_t)v % page == 0, "valloc gave %p", v);
		CHECK(p && (uintptr_t)p % page == 0, "pvalloc gave %p", p);
		CHECK(malloc_usable_size(p) >= up,
		      "pvalloc(%zu) has room for %zu", n,
		      malloc_usable_size(p));
		fill(v, n, 1);
		fill(p, up, 2);
		CHECK(holds(v, n, 1) == n, "valloc and pvalloc overlap");
		free(v);
		free(p);
	}
}

static void usable_is_usable(void)
{
	CHECK(malloc_usable_size(NULL) == 0, "usable size of NULL");
	for (size_t n = 0; n <= LAST_SIZE; n = next_size(n)) {
		void *p[3];
		size_t usable[3];

		for (size_t i = 0; i < 3; i++) {
			p[i] = take(n);
			usable[i] = malloc_usable_size(p[i]);
			CHECK(usable[i] >= n, "malloc(%zu): %zu usable", n,
			      usable[i]);
			fill(p[i], usable[i], i);
		}
		for (size_t i = 0; i < 3; i++)
			CHECK(holds(p[i], usable[i], i) == usable[i],
			      "usable bytes of malloc(%zu) overlap", n);
		for (size_t i = 0; i < 3; i++)
			free(p[i]);
	}
}

static void errno_kept(void)
{
	static const size_t sizes[] = { 0, 50, 5000, 200000, 50 * MIB };

	for (size_t i = 0; i < COUNT(sizes); i++) {
		void *p = take(sizes[i]);

		if (sizes[i])
			*(char *)p = 1;
		errno = 4321;
		free(p);
		CHECK(errno == 4321, "free of %zu bytes: errno became %d",
		      sizes[i], errno);
	}
	free(NULL);
	CHECK(errno == 4321, "free(NULL): errno became %d", errno);
}

/* ISO C23 functions, not in every C library: asked for by name. */
static void sized_frees(void)
{
	void (*sized)(void *, size_t);
	void (*aligned)(void *, size_t, size_t);

	*(void **)&sized = dlsym(RTLD_DEFAULT, "free_sized");
	*(void **)&aligned = dlsym(RTLD_DEFAULT, "free_aligned_sized");
	if (!sized || !aligned)
		exit(LIFE_LACKS);
	errno = 55;
	sized(NULL, 0);
	aligned(NULL, 64, 0);
	for (size_t n = 1; n <= LAST_SIZE; n = next_size(n)) {
		sized(take(n), n);
		sized(keep(calloc(1, hide(n))), n);
		aligned(keep(aligned_alloc(256, hide(n))), 256, n);
	}
	CHECK(errno == 55, "errno became %d", errno);
	exercise(20000, 1);
}

/* All that the program holds, wherever the C library counts it. */
static size_t in_use(void)
{
	struct mallinfo2 info = mallinfo2();

	return info.uordblks + info.hblkhd;
}

static void check_figures(size_t size)
{
	enum { TOTAL = 64 };
	size_t count = TOTAL * MIB / size;
	void **piece = take(count * sizeof(*piece));
	size_t before = in_use();

	for (size_t i = 0; i < count; i++)
		*(char *)(piece[i] = take(size)) = 1;
	size_t after = in_use();

	/* One large block may stand in both figures; none may be missing. */
	CHECK(after - before >= TOTAL * MIB && after > before,
	      "64 MiB taken, figures grew from %zu to %zu", before, after);
	CHECK(after - before <= TOTAL * MIB * (size < MIB ? 5 : 9) / 4,
	      "64 MiB taken, figures grew from %zu to %zu", before, after);
	for (size_t i = 0; i < count; i++)
		free(piece[i]);
	size_t end = in_use();

	CHECK(end <= before + MIB, "all freed, figures went from %zu to %zu",
	      after, end);
	free(piece);
}

static void figures_of_small(void)
{
	check_figures(256);
	check_figures(4096);
	check_figures(64 * KIB);
}

static void figures_of_large(void)
{
	check_figures(MIB);
	check_figures(64 * MIB);
}

static size_t resident(void)
{
	size_t pages = 0;
	FILE *file = fopen("/proc/self/statm", "r");

	CHECK(file && fscanf(file, "%*u %zu", &pages) == 1,
	      "cannot read statm");
	fclose(file);
	return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static void trim_gives_back(void)
{
	static void *piece[64 * MIB / 4096];
	int answer = malloc_trim(0);
	size_t start, full, end;

	CHECK(answer == 0 || answer == 1, "malloc_trim gave %d", answer);
	fill(piece, sizeof(piece), 0); /* its own pages are resident now */
	start = resident();
	for (size_t i = 0; i < COUNT(piece); i++)
		fill(piece[i] = take(4000), 4000, i);
	full = resident();
	for (size_t i = 0; i < COUNT(piece); i++)
		free(piece[i]);
	malloc_trim(0);
	end = resident();
	CHECK(full >= start + 60 * MIB,
	      "64 MiB made the process grow from "
	      "%zu to %zu only",
	      start, full);
	CHECK(end <= start + 4 * MIB,
	      "all freed and trimmed, %zu bytes are "
	      "resident; %zu at the start",
	      end, start);
}

static void mallopt_answers(void)
{
	static const int parameters[] = { M_MMAP_THRESHOLD, M_TRIM_THRESHOLD,
					  M_TOP_PAD,	    M_MMAP_MAX,
					  M_ARENA_MAX,	    M_ARENA_TEST,
					  M_PERTURB,	    M_CHECK_ACTION };

	for (size_t i = 0; i < COUNT(parameters); i++) {
		int value = parameters[i] == M_MMAP_THRESHOLD ? 65536 : 0;
		int answer = mallopt(parameters[i], value);

		CHECK(answer == 0 || answer == 1, "mallopt(%d, %d) gave %d",
		      parameters[i], value, answer);
	}
	exercise(20000, 2);
}

static void limited_address_space(void)
{
	struct rlimit limit = { 640 * MIB, 640 * MIB };
	void *piece[64], *small = take(100); /* what is there for it stays */
	size_t count = 0;

	exercise(5000, 4);
	CHECK(setrlimit(RLIMIT_AS, &limit) == 0, "setrlimit failed");
	errno = 0;
	while (count < COUNT(piece) &&
	       (piece[count] = keep(malloc(hide(40 * MIB))))) {
		memset(piece[count], 1, 40 * MIB);
		count++;
	}
	CHECK(count >= 4 && count < COUNT(piece),
	      "%zu pieces of 40 MiB in 640 MiB", count);
	CHECK(errno == ENOMEM, "errno is %s", strerror(errno));
	exercise(5000, 4);
	for (size_t i = 0; i < count; i++)
		free(piece[i]);
	for (size_t i = 0; i < count; i++)
		CHECK((piece[i] = keep(malloc(hide(40 * MIB)))),
		      "%zu pieces came, freed, only %zu came again", count, i);
	free(small);
}

/* Pieces go round through slots that all threads swap with each other. */
enum { SLOTS = 256, TURNS = 30000, THREADS = 4 };
struct piece {
	size_t size;
	unsigned char bytes[];
};
static struct piece *slots[SLOTS];

static void *swap_pieces(void *arg)
{
	size_t state = (size_t)(uintptr_t)arg;

	for (int turn = 0; turn < TURNS; turn++) {
		state = state * 6364136223846793005U + 1442695040888963407U;
		size_t n = (state >> 20) % ((size_t)16 << (state >> 60) % 12);
		struct piece *mine = take(sizeof(*mine) + n);

		mine->size = n;
		fill(mine->bytes, n, n);
		mine = __atomic_exchange_n(&slots[(state >> 40) % SLOTS], mine,
					   __ATOMIC_ACQ_REL);
		if (mine)
			CHECK(holds(mine->bytes, mine->size, mine->size) ==
				      mine->size,
			      "another thread's %zu bytes changed", mine->size);
		free(mine);
	}
	return NULL;
}

static void across_threads(void)
{
	pthread_t thread[THREADS];

	for (size_t i = 0; i < THREADS; i++)
		CHECK(pthread_create(&thread[i], NULL, swap_pieces,
				     (void *)(uintptr_t)(i + 1)) == 0,
		      "no thread");
	for (size_t i = 0; i < THREADS; i++)
		CHECK(pthread_join(thread[i], NULL) == 0, "no join");
	for (size_t i = 0; i < SLOTS; i++)
		free(slots[i]);
}

static const struct claim claims[] = {
	{ "the whole family comes from one library", one_home },
	{ "malloc is aligned to 16, pieces do not overlap", aligned_and_whole },
	{ "malloc(0) gives a piece of its own each time", nothing_asked },
	{ "more than PTRDIFF_MAX is refused with ENOMEM", too_much },
	{ "an overflowing product is refused with ENOMEM", product_too_large },
	{ "a refused realloc leaves the piece as it was",
	  refused_realloc_keeps },
	{ "calloc is zero in memory that was used before", zero_after_dirt },
	{ "realloc keeps contents between any two sizes", resize_every_pair },
	{ "realloc keeps contents from 1 byte to 40 MiB and back",
	  resize_step_by_step },
	{ "realloc(p, 0) frees and realloc(NULL, n) allocates", realloc_ends },
	{ "aligned results are aligned, whole and can be resized",
	  aligned_results },
	{ "posix_memalign refuses a bad alignment by EINVAL alone",
	  posix_memalign_refuses },
	{ "an odd alignment is rounded up or refused with EINVAL",
	  odd_alignments },
	{ "valloc and pvalloc give whole pages", whole_pages },
	{ "all of malloc_usable_size can be written", usable_is_usable },
	{ "free keeps errno", errno_kept },
	{ "free_sized and free_aligned_sized free", sized_frees },
	{ "mallinfo2 follows 64 MiB of small pieces", figures_of_small },
	{ "mallinfo2 follows 64 MiB of large pieces", figures_of_large },
	{ "malloc_trim gives freed memory back", trim_gives_back },
	{ "mallopt answers and changes nothing that breaks", mallopt_answers },
	{ "under RLIMIT_AS malloc gives NULL, and freed memory again",
	  limited_address_space },
	{ "pieces can be freed and checked by any thread", across_threads },
};

int main(int argc, char **argv)
{
	return life_main(argc, argv, claims, COUNT(claims));
}
