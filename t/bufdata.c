/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * bufdata: bytes and numbers in and out of buffers, searching, comparing,
 * printing. Claims that begin with the name of a test of Netty's
 * AbstractByteBufTest ask what that asks.
 */
#include "buf.h"
#include "bufs.h"
#include "rng.h"
#include "tap.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define CAPACITY 4096

static npool_buf_t *of(const char *text)
{
	npool_buf_t *b = make(0, 1000);

	npool_buf_write(b, text, strlen(text));
	return b;
}

/* --- numbers ------------------------------------------------------------ */

static uint64_t cut(uint64_t value, unsigned nbytes)
{
	return nbytes == 8 ? value : value & ((UINT64_C(1) << 8 * nbytes) - 1);
}

static int get(const npool_buf_t *b, size_t i, unsigned n, bool big,
	       uint64_t *v)
{
	return big ? npool_buf_get_be(b, i, n, v) : npool_buf_get_le(b, i, n, v);
}

static int set(npool_buf_t *b, size_t i, unsigned n, bool big, uint64_t v)
{
	return big ? npool_buf_set_be(b, i, n, v) : npool_buf_set_le(b, i, n, v);
}

static void test_random_access(unsigned n, bool big)
{
	npool_buf_t *b = make(CAPACITY, CAPACITY);
	struct rng rng = rng_seed(n);
	unsigned wrong = 0;
	uint64_t v;

	for (size_t i = 0; i + n <= CAPACITY; i += n)
		wrong += set(b, i, n, big, rng_next(&rng)) != 0;
	rng = rng_seed(n);
	for (size_t i = 0; i + n <= CAPACITY; i += n)
		wrong += get(b, i, n, big, &v) || v != cut(rng_next(&rng), n);
	is_uint(wrong, 0, "testRandomAccess: numbers of %u bytes, %s", n,
		big ? "big" : "little");
	v = 77;
	ok(get(b, CAPACITY - n + 1, n, big, &v) == ERANGE &&
	   set(b, CAPACITY - n + 1, n, big, 1) == ERANGE &&
	   get(b, SIZE_MAX, n, big, &v) == ERANGE && v == 77,
	   "getAndSetBoundaryCheck: %u bytes", n);
	npool_buf_release(b);
}

static void test_sequential(unsigned n, bool big)
{
	npool_buf_t *b = make(0, CAPACITY);
	struct rng rng = rng_seed(n);
	unsigned nwritten = 0, nread = 0, wrong = 0;
	uint64_t v;

	while (!(big ? npool_buf_write_be(b, n, rng_next(&rng))
		     : npool_buf_write_le(b, n, rng_next(&rng))))
		nwritten++;
	rng = rng_seed(n);
	while (!(big ? npool_buf_read_be(b, n, &v)
		     : npool_buf_read_le(b, n, &v))) {
		wrong += v != cut(rng_next(&rng), n);
		nread++;
	}
	is_uint(wrong, 0, "testSequentialAccess: numbers of %u bytes, %s", n,
		big ? "big" : "little");
	ok(nread == CAPACITY / n && nread == nwritten,
	   "as many as there is room for");
	npool_buf_release(b);
}

static void test_order(void)
{
	static const uint8_t wanted[] = { 1, 2, 3, 0x33, 0x22, 0x11 };
	npool_buf_t *b = make(8, 8);
	uint8_t seen[6];
	uint64_t v = 5;

	npool_buf_write_be(b, 3, 0xff010203);
	npool_buf_write_le(b, 3, 0x112233);
	npool_buf_get(b, 0, seen, 6);
	ok(!memcmp(seen, wanted, 6),
	   "testSetMediumLE: the highest byte first, or last");
	ok(npool_buf_get_be(b, 0, 0, &v) == EINVAL &&
	   npool_buf_set_le(b, 0, 9, 1) == EINVAL &&
	   npool_buf_read_be(b, 0, &v) == EINVAL &&
	   npool_buf_write_le(b, 9, 1) == EINVAL && v == 5,
	   "no numbers of 0 or 9 bytes: EINVAL");
	npool_buf_release(b);
}

/* --- bytes -------------------------------------------------------------- */

static void test_bytes(void)
{
	npool_buf_t *b = make(4, 8);
	char text[9] = "";

	is_int(npool_buf_write(b, "abcdef", 6), 0, "writing makes room");
	is_int(npool_buf_write(b, "xyz", 3), ERANGE, "up to the max capacity");
	is_size(npool_buf_writer(b), 6, "else nothing is written");
	is_int(npool_buf_get(b, 0, text, SIZE_MAX), ERANGE,
	       "getByteArrayBoundaryCheck1");
	is_int(npool_buf_get(b, SIZE_MAX, text, 1), ERANGE,
	       "getByteArrayBoundaryCheck2");
	is_int(npool_buf_set(b, 5, "12345", 5), ERANGE,
	       "setByteArrayBoundaryCheck");
	is_int(npool_buf_read(b, text, 7), ERANGE, "no more than is to be read");
	is_int(npool_buf_read(b, text, 2), 0, "and two of them");
	is_str(text, "ab", "the first two");
	is_int(npool_buf_set(b, 2, "X", 1), 0, "set at an index");
	is_int(npool_buf_get(b, 2, text, 2), 0, "get from one");
	is_str(text, "Xd", "what was set");
	is_ptr(npool_buf_at(b, 2, 4), b->bytes + 2, "where they lie");
	errno = 0;
	ok(!npool_buf_at(b, 2, 100) && errno == ERANGE, "not beyond the end");
	npool_buf_release(b);
}

static void test_transfer(void)
{
	npool_buf_t *a = of("hello, world"), *b = make(0, 8), *s;
	char text[9] = "";

	is_int(npool_buf_write_from(b, a, 5), 0, "testByteBufTransfer");
	is_size(npool_buf_reader(a), 5, "it was read");
	is_int(npool_buf_write_from(b, a, 8), ERANGE, "more than there is");
	is_int(npool_buf_write_from(b, a, 4), ERANGE, "more than it takes");
	ok(npool_buf_reader(a) == 5 && npool_buf_writer(b) == 5,
	   "then nothing is done");
	s = npool_buf_slice(a, 7, 3);
	is_int(npool_buf_write_from(b, s, 3), 0, "from a view");
	npool_buf_read(b, text, 8);
	is_str(text, "hellowor", "the bytes in their order");
	npool_buf_release(a);
	npool_buf_release(b);
}

/* --- looking ------------------------------------------------------------ */

static void test_index_of(void)
{
	npool_buf_t *b = of("abcabc"), *s = npool_buf_slice(b, 1, 4);

	is_int(npool_buf_index_of(b, 0, 6, 'b'), 1, "testIndexOf: the first");
	is_int(npool_buf_index_of(b, 2, 6, 'b'), 4, "testIndexOf: from there");
	is_int(npool_buf_index_of(b, 6, 0, 'b'), 4, "testIndexOf: backwards");
	is_int(npool_buf_index_of(b, 4, 0, 'b'), 1, "testIndexOf: below 4");
	is_int(npool_buf_index_of(s, 0, 4, 'a'), 2, "testIndexOf: of a view");
	errno = 0;
	ok(npool_buf_index_of(b, 0, 4, 'z') == -1 && errno == ENOENT,
	   "testIndexOf: there is none");
	ok(npool_buf_index_of(b, 4, 0, 'z') == -1 && errno == ENOENT,
	   "testIndexOf: nor backwards");
	ok(npool_buf_index_of(b, 3, 3, 'a') == -1 && errno == ENOENT,
	   "testIndexOf: nor in nothing");
	ok(npool_buf_index_of(b, 0, SIZE_MAX, 'a') == -1 && errno == ERANGE,
	   "beyond the end");
	npool_buf_release(b);
}

static int sign(int x)
{
	return (x > 0) - (x < 0);
}

static void test_compare(void)
{
	static const struct {
		const char *a, *b;
		int order;
	} rows[] = {
		{ "abc", "abc", 0 }, { "abc", "abd", -1 }, { "b", "abc", 1 },
		{ "ab", "abc", -1 }, { "", "", 0 }, { "", "a", -1 },
		{ "a\200", "a\177", 1 },
	};

	for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
		npool_buf_t *a = of(rows[i].a), *b = of(rows[i].b);

		ok(sign(npool_buf_compare(a, b)) == rows[i].order &&
		   sign(npool_buf_compare(b, a)) == -rows[i].order,
		   "testCompareTo: row %u", i);
		npool_buf_release(a);
		npool_buf_release(b);
	}
}

static void test_dump(void)
{
	static const char wanted[] =
		"00000001  62 63 64 65 66 67 68 69 6a 6b 6c 6d 6e 6f 70 71  "
		"|bcdefghijklmnopq|\n"
		"00000011  0a ff                                            "
		"|..|\n";
	npool_buf_t *b = of("abcdefghijklmnopq\n\377z");
	char text[400], small[20];

	is_size(npool_buf_hex_dump(b, 1, 18, text, sizeof text),
		strlen(wanted), "testHexDump: its length");
	is_str(text, wanted, "testHexDump: offsets, digits, characters");
	is_size(npool_buf_hex_dump(b, 1, 18, small, sizeof small),
		strlen(wanted), "a small text: the length is the same");
	is_str(small, "00000001  62 63 64 ", "and it is cut off");
	is_size(npool_buf_hex_dump(b, 1, 18, NULL, 0), strlen(wanted),
		"no text at all");
	errno = 0;
	ok(!npool_buf_hex_dump(b, 1, 1000, text, sizeof text) &&
	   errno == ERANGE && !*text, "hexDumpBoundaryCheck");
	npool_buf_release(b);
}

/* A view that lost its bytes: the root shrank. */
static void test_shrunk(void)
{
	npool_buf_t *b = of("0123456789"), *s = npool_buf_slice(b, 2, 6);
	npool_buf_t *all = of("234");
	char text[9];

	npool_buf_set_capacity(b, 5);
	is_int(npool_buf_read(s, text, 4), ERANGE, "bytes that are gone");
	is_int(npool_buf_compare(s, all), 0, "are not compared");
	npool_buf_set_indices(s, 2, 2);
	is_int(npool_buf_write(s, "abcd", 4), ERANGE, "nor written");
	npool_buf_discard(s);
	npool_buf_set_capacity(b, 1);
	is_int(npool_buf_compare(s, all), -1, "and none is left");
	npool_buf_release(b);
	npool_buf_release(all);
}

int main(void)
{
	for (unsigned n = 1; n <= 8; n++)
		for (int big = 0; big < 2; big++) {
			test_random_access(n, big);
			test_sequential(n, big);
		}
	test_order();
	test_bytes();
	test_transfer();
	test_index_of();
	test_compare();
	test_dump();
	test_shrunk();
	return done();
}
