/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * meta: memory is zero, aligned and nobody else's whatever the size, comes
 * back for reuse, is bound to its home, and fails cleanly.
 */
#include "faultos.h"
#include "lock.h"
#include "meta.h"
#include "rng.h"
#include "tap.h"
#include "topology.h"

#include <string.h>
#include <time.h> /* nanosleep */
#include <unistd.h>

#define OWN_MIN (16 * NP_KIB) /* from here each has a mapping of its own */
#define KEPT_MAX (64 * NP_KIB) /* and so far some of them are kept, */
#define NKEPT 8		       /* so many of a home */
#define UNKEPT (KEPT_MAX + 1)
#define NHOMES 3
#define NTHREADS 4

/* Each byte is the first, if it is the one before it. */
static bool is_filled(const unsigned char *p, size_t size, unsigned char with)
{
	return p[0] == with && !memcmp(p, p + 1, size - 1);
}

static bool is_good(const void *p, size_t size)
{
	return p && (uintptr_t)p % NP_LINE == 0 && is_filled(p, size, 0);
}

/* --- sizes ------------------------------------------------------------ */

/* A power of two, the middle to the next, and their neighbours. */
static void test_sizes(void)
{
	bool good = true;

	for (size_t power = 1; power <= NP_MIB; power *= 2)
		for (size_t i = 0; i < 6; i++) {
			size_t size = power + i / 3 * (power / 2) + i % 3 - 1;
			unsigned char *p, *q;

			if (!size)
				continue;
			p = np_meta_alloc(0, size);
			q = np_meta_alloc(0, size);
			if (!is_good(p, size) || !is_good(q, size)) {
				diag("%zu bytes", size);
				good = false;
				break;
			}
			memset(p, 'p', size);
			memset(q, 'q', size);
			good = good && is_filled(p, size, 'p');
			np_meta_free(0, p, size);
			np_meta_free(0, q, size);
			p = np_meta_alloc(0, size);
			good = good && is_good(p, size);
			np_meta_free(0, p, size);
		}
	ok(good, "1 byte to 1.5 MiB: zero, at a cache line, also when used "
	   "before");
}

static void test_reuse(void)
{
	static const size_t sizes[] = { 1, 64, 65, 96, 97, 1000, 4096,
					OWN_MIN - 1 };
	size_t before;
	bool same = true;

	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
		np_meta_free(0, np_meta_alloc(0, sizes[i]), sizes[i]);
	before = np_meta_mapped();
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
		for (int n = 0; n < 10000; n++) {
			void *p = np_meta_alloc(0, sizes[i]);

			same = same && p;
			np_meta_free(0, p, sizes[i]);
		}
	ok(same, "80000 pieces are made and given back");
	is_size(np_meta_mapped(), before, "nothing more is mapped for them");
}

/* Many at once: all that came back serve again. */
static void test_reuse_of_many(void)
{
	enum { MANY = 300 };
	void *held[MANY];
	size_t after_first = 0, size = 1000;

	for (int round = 0; round < 20; round++) {
		for (int i = 0; i < MANY; i++)
			held[i] = np_meta_alloc(0, size);
		for (int i = 0; i < MANY; i++)
			np_meta_free(0, held[i], size);
		if (!round)
			after_first = np_meta_mapped();
	}
	is_size(np_meta_mapped(), after_first, "300 pieces at once, 20 times: "
		"mapped is what the first 300 took");
}

static void test_own_mapping(void)
{
	size_t before = np_meta_mapped(), size = UNKEPT;
	size_t rounded = np_round_up(size, np_os_page_size());
	unsigned char *p;

	faultos_begin();
	p = np_meta_alloc(0, size);
	ok(is_good(p, size), "beyond 64 KiB memory is as good");
	is_size(np_meta_mapped() - before, rounded, "it counts as mapped");
	is_size(faultos_mapped(), rounded, "and is, for itself");
	np_meta_free(0, p, size);
	is_size(np_meta_mapped(), before, "given back it counts no more");
	is_size(faultos_mapped(), 0, "and is unmapped");
	faultos_end();
	errno = 0;
	ok(!np_meta_alloc(0, PTRDIFF_MAX) && errno == ENOMEM,
	   "more than there is: NULL and ENOMEM");
	errno = 0;
	ok(!np_meta_alloc(0, SIZE_MAX) && errno == ENOMEM,
	   "so large that it cannot be rounded up: the same");
	is_size(np_meta_mapped(), before, "and nothing is counted");
}

/* Up to 64 KiB: as many as are kept, and one more. */
static void test_kept_mappings(void)
{
	size_t size = OWN_MIN + 1, before = np_meta_mapped();
	size_t rounded = np_round_up(size, np_os_page_size());
	void *held[NKEPT + 1];
	bool good = true;

	faultos_begin();
	for (int i = 0; i <= NKEPT; i++) {
		held[i] = np_meta_alloc(2, size);
		good = good && is_good(held[i], size);
		memset(held[i], 'k', size);
	}
	for (int i = 0; i <= NKEPT; i++)
		np_meta_free(2, held[i], size);
	is_size(faultos_mapped(), NKEPT * rounded,
		"from 16 KiB eight mappings of a home are kept");
	is_size(np_meta_mapped() - before, NKEPT * rounded,
		"and count as mapped");
	np_meta_free(2, np_meta_alloc(2, size + np_os_page_size()),
		     size + np_os_page_size());
	is_size(faultos_mapped(), NKEPT * rounded, "not for another size");
	for (int i = 0; i < NKEPT; i++) {
		held[i] = np_meta_alloc(2, size);
		good = good && is_good(held[i], size);
	}
	is_size(faultos_mapped(), NKEPT * rounded,
		"they serve again: nothing more is mapped");
	ok(good, "as good as new");
	for (int i = 0; i < NKEPT; i++)
		np_meta_free(2, held[i], size);
	faultos_end();
}

/* --- contents --------------------------------------------------------- */

#define MOST_HELD 200
#define NOPS 10000

/* Random pieces of all homes, each full of a byte of its own. Returns how
 * many were good. */
static unsigned churn(unsigned seed, unsigned nops)
{
	struct {
		unsigned char *p;
		size_t size;
		np_home_t home;
	} held[MOST_HELD] = { { 0 } };
	struct rng rng = rng_seed(seed);
	unsigned good = 0;

	for (unsigned op = 0; op < nops + MOST_HELD; op++) {
		size_t i = op < nops ? rng_below(&rng, MOST_HELD) : op - nops;
		unsigned char fill = (unsigned char)(i + seed);

		if (held[i].p) {
			good += is_filled(held[i].p, held[i].size, fill);
			np_meta_free(held[i].home, held[i].p, held[i].size);
			held[i].p = NULL;
		} else if (op < nops) {
			held[i].size = rng_log(&rng, 100 * NP_KIB);
			held[i].home = (np_home_t)rng_below(&rng, NHOMES);
			held[i].p = np_meta_alloc(held[i].home, held[i].size);
			if (!is_good(held[i].p, held[i].size))
				break;
			memset(held[i].p, fill, held[i].size);
			good++;
		} else {
			good++; /* an empty place at the end */
		}
	}
	return good;
}

static void *churn_thread(void *arg)
{
	return (void *)(uintptr_t)churn((unsigned)(uintptr_t)arg, NOPS);
}

static void test_contents(void)
{
	pthread_t threads[NTHREADS];
	uintptr_t good = 0;
	void *result;

	is_uint(churn(77, NOPS), NOPS + MOST_HELD,
		"random pieces of 3 homes keep what was written");
	for (unsigned i = 0; i < NTHREADS; i++)
		if (pthread_create(&threads[i], NULL, churn_thread,
				   (void *)(uintptr_t)i))
			bail_out("no thread");
	for (unsigned i = 0; i < NTHREADS; i++) {
		pthread_join(threads[i], &result);
		good += (uintptr_t)result;
	}
	is_uint(good, NTHREADS * (NOPS + MOST_HELD),
		"so they do in %d threads at once", NTHREADS);
}

/* --- homes ------------------------------------------------------------ */

/* Kernel nodes that a mapping was bound to, as bits. */
static unsigned long bound_to;

static int recording_mbind(void *addr, size_t size, int mode,
			   const unsigned long *mask, unsigned long maxnode,
			   unsigned flags)
{
	(void)addr, (void)size, (void)mode, (void)maxnode, (void)flags;
	bound_to |= mask[0];
	return 0;
}

/* The nodes that a fresh mapping for the home is bound to. */
static unsigned long bound_for(np_home_t home)
{
	void *p;

	bound_to = 0;
	p = np_meta_alloc(home, UNKEPT);
	np_meta_free(home, p, UNKEPT);
	return bound_to;
}

static void test_homes(void)
{
	static struct np_topology topology = { .nnodes = NHOMES,
					       .binds = true,
					       .kernel_node = { 0, 2, 5 } };
	struct np_os recording = np_os_linux;

	recording.mbind = recording_mbind;
	np_os = &recording;
	is_hex(bound_for(0), 0, "before the nodes are known nothing is bound");
	np_meta_init(&topology);
	is_hex(bound_for(0), 1 << 0, "home 0 is bound to its kernel node 0");
	is_hex(bound_for(1), 1 << 2, "home 1 to kernel node 2");
	is_hex(bound_for(2), 1 << 5, "home 2 to kernel node 5");
	topology.binds = false;
	is_hex(bound_for(2), 0, "where nothing shall be bound nothing is");
	np_os = &np_os_linux;
}

/* --- failures --------------------------------------------------------- */

static void test_own_fails(void)
{
	size_t before = np_meta_mapped();
	unsigned n, refused = 0;
	bool clean = true;
	void *p;

	faultos_begin();
	for (n = 1; faultos_fail(n, EAGAIN), errno = 0,
	     p = np_meta_alloc(0, UNKEPT), faultos_failed(); n++) {
		if (p) { /* it can do without a name */
			np_meta_free(0, p, UNKEPT);
		} else {
			clean = clean && errno == ENOMEM;
			refused++;
		}
		clean = clean && faultos_mapped() == 0 &&
			np_meta_mapped() == before;
	}
	faultos_fail(0, 0);
	ok(refused >= 2, "without mmap or mprotect there is no memory");
	ok(clean, "that is NULL and ENOMEM, and nothing stays mapped");
	ok(p, "without a fault there is");
	np_meta_free(0, p, UNKEPT);
	faultos_end();
}

static void test_small_fails(void)
{
	enum { MOST = 100 };
	void *p = NULL, *held[MOST];
	size_t size = OWN_MIN - 1, before = np_meta_mapped();
	int n = 0;

	faultos_begin();
	faultos_fail(1, ENOMEM);
	errno = 0;
	while (n < MOST && (p = np_meta_alloc(0, size)))
		held[n++] = p;
	ok(!p && errno == ENOMEM, "a block that cannot be mapped is NULL and "
	   "ENOMEM, too");
	is_size(np_meta_mapped(), before, "and counts for nothing");
	p = np_meta_alloc(0, size);
	ok(is_good(p, size), "the next try succeeds");
	np_meta_free(0, p, size);
	while (n)
		np_meta_free(0, held[--n], size);
	faultos_end();
}

/* --- fork ------------------------------------------------------------- */

static atomic_bool served;

static void *one_piece(void *arg)
{
	np_meta_free(1, np_meta_alloc(1, 100), 100);
	atomic_store(&served, true);
	return arg;
}

static void test_fork_locks(void)
{
	struct timespec rest = { 0, 50 * 1000 * 1000 };
	pthread_t thread;
	void *p;

	np_meta_lock_all();
	np_lock_forking(true);
	p = np_meta_alloc(1, 100);
	ok(is_good(p, 100), "the thread that forks is served");
	np_meta_free(1, p, 100);
	np_lock_forking(false);
	if (pthread_create(&thread, NULL, one_piece, NULL))
		bail_out("no thread");
	nanosleep(&rest, NULL);
	ok(!atomic_load(&served), "other threads wait");
	np_meta_unlock_all();
	pthread_join(thread, NULL);
	ok(atomic_load(&served), "until it is over");
}

int main(void)
{
	plan(1 + 2 + 1 + 8 + 5 + 5 + 2 + 3 + 3 + 3);
	np_meta_init(NULL);
	test_sizes();
	test_reuse();
	test_reuse_of_many();
	test_own_mapping();
	test_kept_mappings();
	test_homes();
	test_contents();
	test_own_fails();
	test_small_fails();
	test_fork_locks();
	return done();
}
