/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * spread: 2 GiB of pieces are handed out and written to, then freed at random
 * until 64 MiB are left, scattered over all of it. Within the decay time the
 * process is at most 1.1 times as large as the pages that a live piece lies
 * on, and 8 MiB; nobody calls the pool meanwhile. (At the level quick a
 * quarter of it, for machines that build packages.)
 *
 * The decay time is waited for, and no more than the time in which the thread
 * `background` may be kept from running on a busy machine; how long it took
 * is told.
 */
#include "conf.h"
#include "npool.h"
#include "os.h"
#include "pages.h"
#include "pool.h"
#include "rng.h"
#include "tap.h"

#include <time.h>

#define DECAY_MS 2000
#define PATIENCE_MS 30000 /* on a busy machine */
#define EXTRA (8 * NP_MIB)
#define MOST 4000000u /* pieces */

static unsigned char *pieces[MOST]; /* NULL: freed */
static uint32_t sizes[MOST];
static unsigned npieces;

/* Of the 2 GiB: all of it where there is time. */
static size_t part(void)
{
	return conf_by_level(4, 1, 1);
}

/* Pieces until they have so many bytes together. */
static void fill(struct rng *rng, size_t wanted, size_t largest)
{
	size_t bytes = 0;

	for (npieces = 0; bytes < wanted && npieces < MOST; npieces++) {
		size_t size = rng_log(rng, largest);
		unsigned char *p = npool_malloc(size);

		if (!p)
			bail_out("no memory");
		memset(p, 1, size);
		pieces[npieces] = p;
		sizes[npieces] = (uint32_t)size;
		bytes += size;
	}
}

static void thin_out(struct rng *rng, unsigned one_in)
{
	for (unsigned i = 0; i < npieces; i++)
		if (rng_below(rng, one_in)) {
			npool_free(pieces[i]);
			pieces[i] = NULL;
		}
}

static int by_address(const void *a, const void *b)
{
	uintptr_t x = (uintptr_t)*(unsigned char *const *)a;
	uintptr_t y = (uintptr_t)*(unsigned char *const *)b;

	return (x > y) - (x < y);
}

/* Bytes of the pages of this size that a live piece lies on. */
static size_t live_pages(size_t page)
{
	uintptr_t next = 0; /* the first page that is not counted yet */
	size_t n = 0;

	for (unsigned i = 0; i < npieces; i++) {
		uintptr_t first = (uintptr_t)pieces[i] / page;
		uintptr_t last;

		if (!pieces[i])
			continue;
		last = ((uintptr_t)pieces[i] +
			npool_usable_size(pieces[i]) - 1) / page;
		if (first < next)
			first = next;
		if (last >= first)
			n += last - first + 1;
		if (last + 1 > next)
			next = last + 1;
	}
	return n * page;
}

static void pause_ms(long ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000 };

	nanosleep(&t, NULL);
}

/* Waits until the process is no larger than that. Returns how long, in ms. */
static uint64_t wait_for(size_t rss)
{
	uint64_t start = np_os_now_ms();

	pause_ms(DECAY_MS);
	while (pages_rss() > rss && np_os_now_ms() < start + PATIENCE_MS)
		pause_ms(20);
	return np_os_now_ms() - start;
}

static void test(unsigned seed, size_t largest)
{
	struct rng rng = rng_seed(seed);
	size_t before = pages_rss(), full, live, allowed;
	uint64_t ms;

	fill(&rng, (2048 * NP_MIB) / part(), largest);
	full = pages_rss() - before;
	thin_out(&rng, 32);
	qsort(pieces, npieces, sizeof *pieces, by_address);
	live = live_pages((size_t)1 << np_pool.classes.page_shift);
	allowed = live + live / 10 + EXTRA;
	ms = wait_for(before + allowed);
	diag("%u pieces up to %zu bytes: %zu MiB, then %zu MiB in memory for "
	     "%zu MiB of pages in use (%zu MiB of system pages), after %llu "
	     "ms", npieces, largest, full / NP_MIB,
	     (pages_rss() - before) / NP_MIB, live / NP_MIB,
	     live_pages(np_os_page_size()) / NP_MIB, (unsigned long long)ms);
	ok(full > allowed, "pieces up to %zu bytes: there was more to give "
	   "back than is allowed to stay", largest);
	ok(pages_rss() <= before + allowed, "what is left lies on %zu MiB; "
	   "no more than that, a tenth and 8 MiB is in memory",
	   live / NP_MIB);
	thin_out(&rng, UINT32_MAX);
	npool_trim();
}

int main(int argc, char **argv)
{
	(void)argc;
	conf_restart(argv, "background:1,decay_ms:2000");
	if (CONF_SANITIZED)
		skip_all("needs a process without a sanitizer's own memory");
	plan(4);
	memset(pieces, 1, sizeof pieces);
	memset(sizes, 1, sizeof sizes);
	test(1, 64 * NP_KIB);
	test(2, 2048);
	return done();
}
