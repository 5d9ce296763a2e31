/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * buf: counts, indices, capacity and views of buffers. Claims that begin with
 * the name of a test of Netty's (AbstractByteBufTest, AbstractPooledByteBuf
 * Test, AbstractReferenceCountedByteBufTest, SlicedByteBufTest,
 * DuplicatedByteBufTest and the allocator's) ask what that asks.
 */
#include "buf.h"
#include "bufs.h"
#include "child.h"
#include "rng.h"

#include <errno.h>
#include <pthread.h>

/* A buffer with the bytes 0, 1, 2 ... n - 1, all to be read. */
static npool_buf_t *counted(size_t n)
{
	npool_buf_t *b = make(n, n);

	for (size_t i = 0; i < n; i++)
		npool_buf_write_be(b, 1, i);
	return b;
}

static int byte_at(const npool_buf_t *b, size_t index)
{
	uint64_t value;

	return npool_buf_get_be(b, index, 1, &value) ? -1 : (int)value;
}

static void all_back(const char *what)
{
	struct npool_figures f = figures_of(pool);

	is_uint(f.used, 0, "%s: all bytes are the pool's again", what);
}

/* --- making one --------------------------------------------------------- */

static void test_new(void)
{
	npool_buf_t *b = make(1, 9);

	is_size(npool_buf_capacity(b), 1, "testBufferWithCapacity: capacity");
	is_size(npool_buf_max_capacity(b), 9,
		"testBufferWithCapacity: max capacity");
	is_size(npool_buf_reader(b) + npool_buf_writer(b), 0,
		"initialState: both indices are 0");
	is_uint(npool_buf_refs(b), 1, "testRefCnt: one reference");
	npool_buf_release(b);
	errno = 0;
	ok(!npool_buf_new(pool, 2, 1) && errno == EINVAL,
	   "an initial capacity above the max: EINVAL");
	errno = 0;
	ok(!npool_buf_new(pool, 0, NPOOL_BUF_MAX + 1) && errno == EINVAL,
	   "a max capacity above NPOOL_BUF_MAX: EINVAL");
	b = make(0, 0);
	is_int(npool_buf_write(b, "x", 1), ERANGE,
	       "a buffer of nothing takes nothing");
	is_int(npool_buf_write(b, "x", 0), 0, "but nothing");
	ok(npool_buf_release(b) == 1, "and is released");
	all_back("new");
}

/* A recycled header has nothing of its last life. */
static void test_fresh(void)
{
	npool_buf_t *b = counted(20), *again;
	bool same;

	npool_buf_skip(b, 7);
	npool_buf_mark_reader(b);
	npool_buf_mark_writer(b);
	npool_buf_release(b);
	again = make(20, 20);
	same = again == b;
	npool_buf_set_indices(again, 3, 9);
	npool_buf_reset_reader(again);
	npool_buf_reset_writer(again);
	ok(same && !npool_buf_reader(again) && !npool_buf_writer(again),
	   "testPooledBufferReset: a header that is used again has no marks");
	npool_buf_release(again);
}

static unsigned ndone;

static void done_with(void *bytes, size_t size, void *arg)
{
	ndone += bytes == arg && size == 5;
}

static void test_wrap(void)
{
	char text[] = "hello";
	npool_buf_t *b = npool_buf_wrap(text, 5, done_with, text);

	is_size(npool_buf_readable(b), 5, "wrapped memory is there to be read");
	is_ptr(npool_buf_at(b, 1, 4), text + 1, "where it is");
	is_int(npool_buf_ensure_writable(b, 1), ERANGE, "it cannot grow");
	is_int(npool_buf_set_capacity(b, 4), ERANGE, "nor shrink");
	npool_buf_retain(b);
	is_int(npool_buf_release(b), 0, "there is a reference yet");
	is_uint(ndone, 0, "and it is needed");
	is_int(npool_buf_release(b), 1, "the last one goes");
	is_uint(ndone, 1, "and it is given back, once");
	errno = 0;
	ok(!npool_buf_wrap(text, NPOOL_BUF_MAX + 1, done_with, text) &&
	   errno == EINVAL && ndone == 1, "too large: EINVAL, nothing is done");
	npool_buf_release(npool_buf_wrap(NULL, 0, NULL, NULL));
}

/* --- the count ---------------------------------------------------------- */

static void test_count(void)
{
	npool_buf_t *b = make(8, 8);

	is_ptr(npool_buf_retain(b), b, "testRetain: retain returns its buffer");
	is_uint(npool_buf_refs(b), 2, "testRefCnt: two references");
	is_int(npool_buf_release(b), 0, "testRefCnt2: not the last");
	is_int(npool_buf_release(b), 1, "testRefCnt2: the last");
	all_back("testRefCnt");
}

static void test_many(void)
{
	npool_buf_t *b = make(8, 8), *v = npool_buf_slice(b, 0, 4);

	is_ptr(npool_buf_retain_many(b, 3), b, "testRetain2: n at once");
	is_uint(npool_buf_refs(b), 4, "testRetain2: 1 + 3");
	npool_buf_retain_many(v, 2);
	is_uint(npool_buf_refs(b), 6, "a view counts with its buffer");
	npool_buf_retain_many(b, 0);
	is_int(npool_buf_release_many(b, 0), 0, "none is none");
	is_uint(npool_buf_refs(b), 6, "none was added or taken off");
	is_int(npool_buf_release_many(v, 4), 0, "testRelease2: not the last");
	is_uint(npool_buf_refs(b), 2, "testRelease2: 6 - 4");
	is_int(npool_buf_release_many(b, 2), 1, "testRelease2: the last ones");
	all_back("testRelease2");
}

static void release_too_many(void *arg)
{
	npool_buf_t *b = make(8, 8);

	(void)arg;
	npool_buf_retain(b);
	npool_buf_release_many(b, 3);
}

static void retain_negative(void *arg)
{
	(void)arg;
	npool_buf_retain_many(make(8, 8), (uint32_t)-1);
}

static void retain_many_too_often(void *arg)
{
	npool_buf_t *b = make(8, 8);

	(void)arg;
	npool_buf_retain_many(npool_buf_retain_many(b, (1u << 28) - 1), 1);
}

static void release_twice(void *arg)
{
	npool_buf_t *b = make(8, 8);

	(void)arg;
	npool_buf_release(b);
	npool_buf_release(b);
}

static void retain_dead(void *arg)
{
	npool_buf_t *b = make(8, 8);

	(void)arg;
	npool_buf_release(b);
	npool_buf_retain(b);
}

static void retain_too_often(void *arg)
{
	npool_buf_t *b = make(8, 8);

	(void)arg;
	b->refs = (1u << 31) | NP_BUF_ONE;
	npool_buf_retain(b);
}

static void retain_dead_view(void *arg)
{
	npool_buf_t *b = make(8, 8), *v = npool_buf_slice(b, 0, 1);

	(void)arg;
	npool_buf_release(b);
	npool_buf_retain(v);
}

static void read_dead_view(void *arg)
{
	npool_buf_t *b = make(8, 8), *v = npool_buf_slice(b, 0, 1);
	char byte;

	(void)arg;
	npool_buf_release(b);
	npool_buf_get(v, 0, &byte, 1);
}

static void dies(void (*body)(void *), const char *text, const char *what)
{
	struct child c = child_run(body, NULL);

	if (!ok(child_killed(&c, SIGABRT) && strstr(c.text, text), "%s", what))
		diag("%s", c.text);
}

static void test_misuse(void)
{
	dies(release_twice, "refCnt: 0, decrement: 1",
	     "testReleaseErrorMessage: a release too many is told");
	dies(retain_dead, "refCnt: 0, increment: 1",
	     "testRetainResurrect: a dead buffer stays dead");
	dies(retain_too_often, "2^28 references",
	     "testRetainOverflow: the count does not overflow");
	dies(release_too_many, "refCnt: 2, decrement: 3",
	     "testReleaseErrorMessage: more than there are");
	dies(retain_negative, "npool_buf_retain_many(0x",
	     "testRetainOverflow2: a number that is no count");
	dies(retain_many_too_often, "2^28 references",
	     "testRetainOverflow2: the count does not overflow");
	dies(retain_dead_view, "npool_buf_retain(0x",
	     "a view that ended with its buffer is dead as well");
	dies(read_dead_view, "npool_buf_get(0x", "and is not read");
}

#define LIST(X)                                       \
	X(npool_buf_retain_many(b, 0))                \
	X(npool_buf_retain_many(b, 2))                \
	X(npool_buf_release_many(b, 0))               \
	X(npool_buf_release_many(b, 2))               \
	X(npool_buf_try_writable(b, 0, 1))            \
	X(npool_buf_to_pool(b, NULL))                 \
	X(npool_buf_set_indices(b, 0, 0))             \
	X(npool_buf_set_reader(b, 0))                 \
	X(npool_buf_set_writer(b, 0))                 \
	X(npool_buf_clear(b))                         \
	X(npool_buf_mark_reader(b))                   \
	X(npool_buf_reset_reader(b))                  \
	X(npool_buf_mark_writer(b))                   \
	X(npool_buf_reset_writer(b))                  \
	X(npool_buf_skip(b, 0))                       \
	X(npool_buf_ensure_writable(b, 0))            \
	X(npool_buf_set_capacity(b, 8))               \
	X(npool_buf_discard(b))                       \
	X(npool_buf_discard_some(b))                  \
	X(npool_buf_get(b, 0, bytes, 1))              \
	X(npool_buf_set(b, 0, bytes, 1))              \
	X(npool_buf_read(b, bytes, 1))                \
	X(npool_buf_write(b, bytes, 1))               \
	X(npool_buf_write_from(b, other, 1))          \
	X(npool_buf_write_from(other, b, 1))          \
	X(npool_buf_get_be(b, 0, 1, &value))          \
	X(npool_buf_get_le(b, 0, 1, &value))          \
	X(npool_buf_set_be(b, 0, 1, 1))               \
	X(npool_buf_set_le(b, 0, 1, 1))               \
	X(npool_buf_read_be(b, 1, &value))            \
	X(npool_buf_read_le(b, 1, &value))            \
	X(npool_buf_write_be(b, 1, 1))                \
	X(npool_buf_write_le(b, 1, 1))                \
	X(npool_buf_at(b, 0, 0))                      \
	X(npool_buf_index_of(b, 0, 1, 1))             \
	X(npool_buf_compare(b, other))                \
	X(npool_buf_compare(other, b))                \
	X(npool_buf_hex_dump(b, 0, 1, bytes, 1))      \
	X(npool_buf_slice(b, 0, 1))                   \
	X(npool_buf_retained_slice(b, 0, 1))          \
	X(npool_buf_read_slice(b, 1))                 \
	X(npool_buf_read_retained_slice(b, 1))        \
	X(npool_buf_duplicate(b))                     \
	X(npool_buf_retained_duplicate(b))            \
	X(npool_buf_copy(b, 0, 1))

#define CALL(call_) case __COUNTER__ - first: call_; break;
#define TEXT(call_) #call_,

static const char *const calls[] = { LIST(TEXT) };
#define NCALLS (sizeof calls / sizeof *calls)

static void call_dead(void *arg)
{
	npool_buf_t *other = counted(8), *b = counted(8);
	enum { first = __COUNTER__ + 1 };
	uint64_t value;
	char bytes[8] = { 0 };

	npool_buf_set_indices(other, 0, 1);
	npool_buf_release(b);
	switch (*(int *)arg) {
	LIST(CALL)
	}
	(void)value;
}

static void test_after_release(void)
{
	for (int i = 0; i < (int)NCALLS; i++) {
		struct child c = child_run(call_dead, &i);

		ok(child_killed(&c, SIGABRT) && strstr(c.text, "refCnt: 0"),
		   "testXAfterRelease: %s", calls[i]);
	}
}

#define NTHREADS 4

static void *use(void *arg)
{
	for (unsigned i = 0; i < 20000; i++) {
		npool_buf_retain(arg);
		npool_buf_release(npool_buf_retained_slice(arg, 1, 2));
		npool_buf_release(arg);
	}
	npool_buf_slice(arg, 0, 1);
	npool_buf_release(arg);
	return NULL;
}

static void test_threads(void)
{
	pthread_t thread[NTHREADS];
	npool_buf_t *b = counted(8);

	for (unsigned i = 0; i < NTHREADS; i++)
		pthread_create(&thread[i], NULL, use, npool_buf_retain(b));
	npool_buf_release(b);
	for (unsigned i = 0; i < NTHREADS; i++)
		pthread_join(thread[i], NULL);
	all_back("threads that retain and release at once");
}

/* --- indices ------------------------------------------------------------ */

static void test_indices(void)
{
	npool_buf_t *b = make(8, 8);

	is_int(npool_buf_set_writer(b, 9), ERANGE,
	       "writerIndexBoundaryCheck3: above the capacity");
	is_int(npool_buf_set_writer(b, 8), 0,
	       "writerIndexBoundaryCheck4: the capacity");
	is_int(npool_buf_set_reader(b, 9), ERANGE,
	       "readerIndexBoundaryCheck3: above the writer");
	is_int(npool_buf_set_reader(b, 8), 0,
	       "readerIndexBoundaryCheck4: the writer");
	is_int(npool_buf_set_writer(b, 7), ERANGE,
	       "writerIndexBoundaryCheck2: below the reader");
	is_int(npool_buf_set_indices(b, SIZE_MAX, SIZE_MAX), ERANGE,
	       "setIndexBoundaryCheck1: what would be negative");
	is_int(npool_buf_set_indices(b, 5, 4), ERANGE,
	       "testReaderIndexLargerThanWriterIndex");
	is_int(npool_buf_set_indices(b, 2, 6), 0, "both at once");
	is_size(npool_buf_readable(b), 4, "to be read");
	is_size(npool_buf_writable(b), 2, "to be written");
	npool_buf_mark_reader(b);
	npool_buf_mark_writer(b);
	is_int(npool_buf_skip(b, 5), ERANGE, "testSkipBytes1: too many");
	is_int(npool_buf_skip(b, 4), 0, "testSkipBytes1");
	is_int(npool_buf_reset_reader(b), 0, "back to the mark");
	is_size(npool_buf_reader(b), 2, "which was 2");
	npool_buf_set_indices(b, 7, 8);
	is_int(npool_buf_reset_writer(b), ERANGE,
	       "not with the reader in the way");
	npool_buf_clear(b);
	is_int(npool_buf_reset_reader(b), ERANGE,
	       "nor with the writer");
	is_size(npool_buf_reader(b) + npool_buf_writer(b), 0,
		"clear sets both to 0");
	npool_buf_release(b);
}

static void test_discard(void)
{
	npool_buf_t *b = counted(8);

	npool_buf_set_indices(b, 3, 7);
	npool_buf_mark_reader(b);
	npool_buf_mark_writer(b);
	npool_buf_set_reader(b, 4);
	npool_buf_discard(b);
	is_size(npool_buf_reader(b), 0, "testDiscardReadBytes: reader");
	is_size(npool_buf_writer(b), 3, "testDiscardReadBytes: writer");
	is_int(byte_at(b, 0) << 16 | byte_at(b, 1) << 8 | byte_at(b, 2),
	       0x040506, "testDiscardReadBytes2: the bytes are the same");
	npool_buf_reset_writer(b);
	is_size(npool_buf_writer(b), 3, "the writer's mark went along");
	npool_buf_reset_reader(b);
	is_size(npool_buf_reader(b), 0, "the reader's too, down to 0");
	npool_buf_set_indices(b, 3, 6);
	npool_buf_discard_some(b);
	is_size(npool_buf_reader(b), 3,
		"discardSome: not below half of the capacity");
	npool_buf_set_indices(b, 4, 6);
	npool_buf_discard_some(b);
	is_size(npool_buf_writer(b), 2, "discardSome: from half on");
	npool_buf_set_indices(b, 2, 2);
	npool_buf_discard_some(b);
	is_size(npool_buf_writer(b), 0, "testDiscardAllReadBytes: if all is read");
	npool_buf_release(b);
}

/* --- capacity ----------------------------------------------------------- */

static void test_growth(void)
{
	static const size_t rows[][3] = {
		{ 1, 8, 8 }, { 1, 7, 7 }, { 1, 129, 64 }, { 0, 100, 64 },
		{ 64, 1000, 64 }, { 65, 1000, 128 }, { 513, 1000, 1000 },
		{ 4 << 20, (4 << 20) + 1, 4 << 20 },
		{ (4 << 20) + 1, 16 << 20, 8 << 20 },
		{ 8 << 20, 16 << 20, 12 << 20 },
		{ 13 << 20, (16 << 20) - 1, (16 << 20) - 1 },
		{ NPOOL_BUF_MAX, NPOOL_BUF_MAX, NPOOL_BUF_MAX },
	};

	for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++)
		is_size(np_buf_growth(rows[i][0], rows[i][1]), rows[i][2],
			"testCalculateNewCapacity: %zu, at most %zu",
			rows[i][0], rows[i][1]);
}

static void test_ensure(void)
{
	npool_buf_t *b = make(1, 10);
	const uint8_t *bytes;
	size_t fast;

	is_int(npool_buf_ensure_writable(b, 3), 0,
	       "ensureWritableWithEnoughSpaceShouldNotThrow");
	ok(npool_buf_writable(b) >= 3, "and there is room");
	is_int(npool_buf_ensure_writable(b, 11), ERANGE,
	       "ensureWritableWithNotEnoughSpaceShouldThrow");
	is_int(npool_buf_ensure_writable(b, SIZE_MAX), ERANGE,
	       "nor does it overflow");
	npool_buf_release(b);

	b = make(150, 500);
	npool_buf_set_writer(b, 100);
	bytes = b->bytes;
	fast = npool_usable_size(bytes) - 100;
	is_size(npool_buf_writable(b), 50, "testMaxFastWritableBytes: at first");
	is_int(npool_buf_ensure_writable(b, fast), 0,
	       "testEnsureWritableDoesntGrowTooMuch: as far as the piece goes");
	is_size(npool_buf_writable(b), fast,
		"testEnsureWritableDoesntGrowTooMuch: to its end");
	is_ptr(b->bytes, bytes, "testMaxFastWritableBytes: where it is");
	is_int(npool_buf_ensure_writable(b, fast + 1), 0, "one byte more");
	is_size(npool_buf_capacity(b), 256, "to the next 64 * 2^k");
	is_int(npool_buf_ensure_writable(b, 400), 0, "all that it may have");
	is_size(npool_buf_capacity(b), 500, "and no more");
	npool_buf_release(b);
	all_back("ensure");
}

static void test_try(void)
{
	npool_buf_t *b = make(1, 10), *s;

	is_int(npool_buf_try_writable(b, 1, 0), NPOOL_BUF_ENOUGH,
	       "ensureWritableShouldNotThrow: there is room");
	is_int(npool_buf_try_writable(b, 11, 0), NPOOL_BUF_SHORT,
	       "ensureWritableForce: there can be none");
	is_size(npool_buf_capacity(b), 1, "and nothing was changed");
	is_int(npool_buf_try_writable(b, 2, 0), NPOOL_BUF_GROWN, "it grows");
	is_int(npool_buf_try_writable(b, SIZE_MAX, 1),
	       npool_buf_capacity(b) < 10 ? NPOOL_BUF_FULL : NPOOL_BUF_SHORT,
	       "ensureWritableForce: as far as it may");
	is_size(npool_buf_capacity(b), 10, "which is 10");
	is_int(npool_buf_try_writable(b, 11, 1), NPOOL_BUF_SHORT,
	       "then no further");
	npool_buf_release(b);

	b = make(100, 5000);
	npool_buf_set_writer(b, 50);
	is_int(npool_buf_try_writable(b, 5000, 1), NPOOL_BUF_FULL,
	       "a piece becomes another one, with less than was wanted");
	is_size(npool_buf_writable(b), 4950, "all that it may have");
	s = npool_buf_slice(b, 0, 10);
	is_int(npool_buf_try_writable(s, 1, 1), NPOOL_BUF_SHORT,
	       "a view does not grow, by force either");
	npool_buf_release(b);
	all_back("try");
}

static void test_capacity(void)
{
	npool_buf_t *b = make(3, 13);

	is_int(npool_buf_set_capacity(b, 14), ERANGE,
	       "testCapacityEnforceMaxCapacity");
	is_int(npool_buf_set_capacity(b, SIZE_MAX), ERANGE,
	       "testCapacityNegative");
	is_int(npool_buf_set_capacity(b, 4), 0, "testCapacityIncrease");
	is_size(npool_buf_capacity(b), 4, "testCapacityIncrease: to 4");
	npool_buf_set_indices(b, 3, 4);
	is_int(npool_buf_set_capacity(b, 2), 0, "testCapacityDecrease");
	ok(npool_buf_reader(b) == 2 && npool_buf_writer(b) == 2,
	   "testCapacityDecrease: indices move to the end");
	npool_buf_release(b);

	b = counted(5000);
	npool_buf_set_capacity(b, 100);
	ok(npool_usable_size(b->bytes) < 5000 && byte_at(b, 99) == 99,
	   "what became much smaller gives its piece back");
	is_int(npool_buf_set_capacity(b, 0), 0, "down to nothing");
	is_int(npool_buf_set_capacity(b, 10), 0, "and up again");
	npool_buf_release(b);
	all_back("capacity");
}

/* Above the pool's hard limit a buffer stays what it was. */
static void test_no_memory(void)
{
	struct npool_attr attr = NPOOL_ATTR_INIT;
	npool_buf_t *b, *large = make(100 << 20, 100 << 20);
	npool_t *small;

	npool_buf_set_writer(large, 100 << 20);
	attr.hard_limit = 32 << 20;
	npool_create(&small, &attr);
	errno = 0;
	ok(!npool_buf_new(small, 100 << 20, 200 << 20) && errno == ENOMEM,
	   "no memory for a buffer: ENOMEM");
	b = npool_buf_new(small, 100, 200 << 20);
	npool_buf_write(b, "abc", 3);
	is_int(npool_buf_ensure_writable(b, 100 << 20), ENOMEM,
	       "none to grow: ENOMEM");
	is_int(npool_buf_set_capacity(b, 100 << 20), ENOMEM, "likewise");
	errno = 0;
	is_int(npool_buf_try_writable(b, 300 << 20, 1), -1, "nor by force");
	is_int(errno, ENOMEM, "likewise");
	ok(npool_buf_capacity(b) == 100 && byte_at(b, 2) == 'c',
	   "and it is as it was");
	errno = 0;
	ok(!npool_buf_to_pool(large, small) && errno == ENOMEM &&
	   npool_buf_refs(large) == 1,
	   "none for a copy: ENOMEM, and it is the caller's still");
	npool_buf_release(large);
	npool_buf_release(b);
	is_uint(figures_of(small).used, 0, "nothing is lost by that");
	npool_destroy(small);
}

/* --- views -------------------------------------------------------------- */

static void test_slice(void)
{
	npool_buf_t *b = counted(20), *s = npool_buf_slice(b, 3, 10), *ss;

	is_size(npool_buf_readable(s), 10, "testSliceIndex: it is to be read");
	is_size(npool_buf_max_capacity(s), 10, "testSliceIndex: all it has");
	is_int(byte_at(s, 0), 3, "it begins where it was said");
	is_int(byte_at(s, 10), -1, "checksReadIndex: and ends there");
	is_int(npool_buf_write(s, "x", 1), ERANGE, "it does not grow");
	npool_buf_set(s, 1, "x", 1);
	is_int(byte_at(b, 4), 'x', "what is written to it is the buffer's");
	ss = npool_buf_slice(s, 2, 3);
	is_int(byte_at(ss, 0), 5, "testSliceOfSlice");
	is_ptr(ss->root, b, "testUnwrap: leads to the buffer");
	errno = 0;
	ok(!npool_buf_slice(s, 8, 3) && errno == ERANGE,
	   "a slice is no larger than what it is of: ERANGE");
	ok(!npool_buf_slice(s, SIZE_MAX, 2) && !npool_buf_slice(s, 2, SIZE_MAX),
	   "nor does that overflow");
	npool_buf_set_capacity(b, 12);
	is_int(byte_at(s, 8) | byte_at(s, 9), -1,
	       "the buffer shrank below it: ERANGE");
	is_int(byte_at(s, 7), 10, "what is left can be read");
	is_int(npool_buf_release(ss), 1,
	       "testSliceRelease: its release is the buffer's");
	all_back("testSliceRelease");
}

static void test_duplicate(void)
{
	npool_buf_t *b = counted(8), *d;

	npool_buf_set_indices(b, 2, 6);
	d = npool_buf_duplicate(b);
	ok(npool_buf_reader(d) == 2 && npool_buf_writer(d) == 6,
	   "testDuplicateIndex: the same indices");
	npool_buf_skip(d, 4);
	is_size(npool_buf_reader(b), 2, "but its own");
	is_int(npool_buf_release(d), 1, "testDuplicateRelease");
	all_back("testDuplicateRelease");
}

static void test_read_slice(void)
{
	npool_buf_t *b = counted(10), *s = npool_buf_read_slice(b, 4), *r;

	is_int(byte_at(s, 3), 3, "testReadSlice: the next bytes");
	is_size(npool_buf_reader(b), 4, "testReadSlice: are read");
	ok(!npool_buf_read_slice(b, 7) && errno == ERANGE,
	   "not more than there are");
	r = npool_buf_read_retained_slice(b, 2);
	is_int(byte_at(r, 0), 4, "testReadRetainedSlice");
	is_int(npool_buf_release(b), 0, "the retained one keeps it");
	is_int(byte_at(r, 1), 5, "its bytes are there");
	is_int(npool_buf_release(r), 1, "the last one goes");
	all_back("testReadRetainedSlice");
}

/* A view goes where its buffer goes. */
static void test_moved(void)
{
	npool_buf_t *b = make(16, 100000), *s;

	npool_buf_write(b, "0123456789", 10);
	s = npool_buf_slice(b, 5, 3);
	npool_buf_ensure_writable(b, 90000);
	is_int(byte_at(s, 0), '5', "a view of a buffer that grew");
	npool_buf_release(b);
}

/* Views of views, released in every order: the bytes are there as long as one
 * of them is. */
static void release_in_order(const unsigned *order, bool slices)
{
	npool_buf_t *b[4];
	bool right = true;

	b[0] = counted(8);
	for (unsigned i = 1; i < 4; i++)
		b[i] = slices ? npool_buf_retained_slice(b[i - 1], 1, 8 - i)
			      : npool_buf_retained_duplicate(b[i - 1]);
	for (unsigned i = 0; i < 4; i++) {
		int first = slices ? (int)order[i] : 0;

		right &= byte_at(b[order[i]], 0) == first;
		right &= npool_buf_refs(b[order[i]]) >= 1;
		right &= npool_buf_release(b[order[i]]) ==
			 (order[i] == 3 || npool_buf_refs(b[order[i]]) == 0);
	}
	ok(right && figures_of(pool).used == 0, "testMultipleLevelRetained%s: "
	   "released in the order %u %u %u %u", slices ? "Slice" : "Duplicate",
	   order[0], order[1], order[2], order[3]);
}

static void test_orders(void)
{
	for (unsigned code = 0; code < 256; code++) {
		unsigned order[4] = { code & 3, code >> 2 & 3, code >> 4 & 3,
				      code >> 6 };
		unsigned seen = 0;

		for (unsigned i = 0; i < 4; i++)
			seen |= 1u << order[i];
		if (seen != 15)
			continue;
		release_in_order(order, true);
		release_in_order(order, false);
	}
}

/* A slice of a retained slice counts with that. */
static void test_retained(void)
{
	npool_buf_t *b = counted(8), *r = npool_buf_retained_slice(b, 2, 4);
	npool_buf_t *s = npool_buf_slice(r, 1, 2);

	is_uint(npool_buf_refs(b), 2, "testRetainedSlice: one reference more");
	is_uint(npool_buf_refs(r), 1, "testRetainedSlice: a count of its own");
	npool_buf_retain(s);
	is_uint(npool_buf_refs(r), 2, "a slice of it counts with it");
	is_uint(npool_buf_refs(b), 2, "and not with the buffer");
	npool_buf_release(s);
	is_int(npool_buf_release(b), 0, "testRetainedSliceReleaseOriginal");
	is_int(byte_at(s, 0), 3, "its bytes are there");
	is_int(npool_buf_release(s), 1, "released by its slice");
	all_back("testRetainedSliceReleaseOriginal");
}

static void test_copy(void)
{
	npool_buf_t *b = counted(8), *c = npool_buf_copy(b, 2, 3);

	npool_buf_set(b, 2, "x", 1);
	is_int(byte_at(c, 0), 2, "testCopy: bytes of its own");
	is_size(npool_buf_readable(c), 3, "to be read");
	ok(!npool_buf_copy(b, 6, 3) && errno == ERANGE, "copyBoundaryCheck");
	npool_buf_release(c);
	c = npool_buf_copy(b, 8, 0);
	is_size(npool_buf_capacity(c), 0, "testEmptyCopy");
	npool_buf_release(c);
	npool_buf_release(b);
	all_back("testCopy");
}

/* A device can use one pool only; what else there is, it gets a copy of. */
static void test_to_pool(void)
{
	static char text[] = "hello";
	npool_buf_t *b = counted(8), *r = npool_buf_retained_slice(b, 2, 4);
	npool_buf_t *w = npool_buf_wrap(text, 5, done_with, text), *c;

	is_ptr(npool_buf_to_pool(b, pool), b, "what lies right passes");
	is_ptr(npool_buf_to_pool(r, pool), r, "so does a view of it");
	npool_buf_release(b);
	c = npool_buf_to_pool(r, NULL);
	ok(c && c != r && npool_buf_readable(c) == 4 && byte_at(c, 3) == 5,
	   "what is of another pool is copied");
	is_uint(figures_of(pool).used, 0, "and released");
	is_ptr(npool_buf_to_pool(c, npool_default()), c,
	       "NULL is the default pool");
	npool_buf_release(c);
	npool_buf_skip(w, 1);
	ndone = 0;
	c = npool_buf_to_pool(w, pool);
	ok(ndone == 1 && npool_buf_readable(c) == 4 && byte_at(c, 0) == 'e',
	   "of wrapped memory what is to be read is copied; it is given back");
	npool_buf_release(c);
	all_back("to_pool");
}

int main(void)
{
	if (npool_create(&pool, NULL) != 0)
		bail_out("no pool");
	test_new();
	test_fresh();
	test_wrap();
	test_count();
	test_many();
	test_misuse();
	test_after_release();
	test_threads();
	test_indices();
	test_discard();
	test_growth();
	test_ensure();
	test_try();
	test_capacity();
	test_no_memory();
	test_slice();
	test_duplicate();
	test_read_slice();
	test_moved();
	test_orders();
	test_retained();
	test_copy();
	test_to_pool();
	npool_destroy(pool);
	return done();
}
