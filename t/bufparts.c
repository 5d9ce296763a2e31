/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * bufparts: composite buffers. Claims that begin with the name of a test of
 * Netty's (AbstractCompositeByteBufTest, ConsolidationTest) ask what that asks.
 */
#include "buf.h"
#include "bufs.h"
#include "child.h"

#include <errno.h>

static npool_buf_t *of(const char *text)
{
	size_t n = strlen(text);
	npool_buf_t *b = make(n, n);

	npool_buf_write(b, text, n);
	return b;
}

/* A composite buffer of the words of a text, all to be read. */
static npool_buf_t *words(const char *text)
{
	npool_buf_t *c = make_composite(100);
	char word[64];
	int n;

	for (; sscanf(text, " %63s%n", word, &n) == 1; text += n)
		if (npool_buf_add_part(c, npool_buf_nparts(c), of(word), 1))
			bail_out("no part");
	return c;
}

/* What is to be read. */
static const char *text_of(const npool_buf_t *b)
{
	static char text[512];
	size_t n = npool_buf_readable(b);

	if (n >= sizeof text || npool_buf_get(b, npool_buf_reader(b), text, n))
		return "(it cannot be read)";
	text[n] = '\0';
	return text;
}

static void end(npool_buf_t *b, const char *what)
{
	npool_buf_release(b);
	is_uint(figures_of(pool).used, 0, "%s: all bytes are the pool's again",
		what);
}

static void test_add(void)
{
	npool_buf_t *c = make_composite(16), *part = of("hello");

	is_size(npool_buf_nparts(c) + npool_buf_capacity(c), 0,
		"testCompositeBuffer: nothing at first");
	is_int(npool_buf_add_part(c, 0, part, 0), 0, "a part");
	is_size(npool_buf_readable(c), 0, "testWriterIndexUpdated: it stays");
	is_int(npool_buf_add_part(c, 1, of(", world"), 0), 0, "another one");
	is_size(npool_buf_capacity(c), 12, "as large as both");
	npool_buf_set_writer(c, 12);
	is_str(text_of(c), "hello, world", "the bytes of both");
	is_int(npool_buf_add_part(c, 1, of("..."), 1), 0,
	       "testAddComponentWithAdvance: in between");
	is_str(text_of(c), "hello..., world", "what is behind it moves up");
	is_ptr(npool_buf_part(c, 0), part, "componentAt");
	is_int(npool_buf_add_part(c, 5, of("x"), 0), ERANGE, "no such place");
	is_int(npool_buf_add_part(c, 0, npool_buf_retain(c), 0), EINVAL,
	       "not its own part");
	is_int(npool_buf_add_part(c, 0, npool_buf_retained_slice(c, 0, 1), 0),
	       EINVAL, "nor a part of it");
	is_int(npool_buf_add_part(part, 0, of("x"), 0), EINVAL,
	       "nor to a buffer that has no parts");
	errno = 0;
	ok(!npool_buf_composite(pool, 0) && errno == EINVAL, "not of 0 parts");
	is_uint(npool_buf_refs(c), 1, "who fails releases what it was given");
	end(c, "testReferenceCounts1");
}

static void test_part_indices(void)
{
	npool_buf_t *c = make_composite(16), *part = of("0123456789");

	npool_buf_set_indices(part, 3, 7);
	npool_buf_add_part(c, 0, npool_buf_retain(part), 1);
	npool_buf_set_indices(part, 0, 0);
	is_str(text_of(c), "3456",
	       "testComponentMustBeSlice: only what was to be read");
	npool_buf_set(part, 3, "X", 1);
	is_str(text_of(c), "X456", "the bytes are the part's");
	npool_buf_set_capacity(part, 5);
	is_str(text_of(c), "(it cannot be read)", "a part that shrank: ERANGE");
	npool_buf_set_writer(part, 1);
	ok(npool_buf_compare(c, part) < 0, "what is gone is not compared");
	npool_buf_set_writer(c, 2);
	is_str(text_of(c), "X4", "what is left of it can be read");
	npool_buf_release(part);
	end(c, "testReferenceCounts2");
}

static void test_find(void)
{
	npool_buf_t *c = words("a bcd ef ghijk");
	static const int wanted[] = { 0, 1, 1, 1, 2, 2, 3, 3, 3, 3, 3 };
	bool right = true;

	npool_buf_add_part(c, 1, of(""), 1);
	for (int i = 0; i < 11; i++) {
		int part = wanted[i] + (wanted[i] > 0);

		right &= npool_buf_find_part(c, (size_t)i) == part;
	}
	for (int i = 10; i >= 0; i--) {
		int part = wanted[i] + (wanted[i] > 0);

		right &= npool_buf_find_part(c, (size_t)i) == part;
	}
	ok(right, "testToComponentIndex: each byte has its part");
	errno = 0;
	ok(npool_buf_find_part(c, 11) == -1 && errno == ERANGE,
	   "testComponentAtOffset: none behind the end");
	ok(!npool_buf_part(c, 5) && errno == ERANGE, "nor a fifth part");
	end(c, "testToComponentIndex");
}

static void test_remove(void)
{
	npool_buf_t *c = words("ab cd ef gh");

	is_int(npool_buf_remove_parts(c, 1, 2), 0, "testRemoveComponents");
	is_size(npool_buf_writer(c), 4, "the writer is at the end");
	is_str(text_of(c), "abgh", "what is left");
	is_int(npool_buf_remove_parts(c, 1, 2), ERANGE, "more than there are");
	is_int(npool_buf_remove_parts(c, 3, 0), ERANGE, "from beyond the end");
	is_int(npool_buf_remove_parts(c, SIZE_MAX, 2), ERANGE, "or that wraps");
	is_int(npool_buf_remove_parts(c, 0, 1), 0, "testRemoveComponent");
	is_int(npool_buf_remove_parts(c, 0, 1), 0, "testRemoveLastComponent");
	is_size(npool_buf_capacity(c), 0, "nothing is left");
	end(c, "remove");
}

static void test_consolidate(void)
{
	npool_buf_t *c = words("ab cd ef gh");

	is_int(npool_buf_consolidate(c, 1, 2), 0,
	       "testConsolidationWithRange: two of four");
	is_size(npool_buf_nparts(c), 3, "three are left");
	is_str(text_of(c), "abcdefgh", "the bytes are the same");
	is_int(npool_buf_consolidate(c, 0, 3), 0, "testFullConsolidation");
	is_size(npool_buf_nparts(c), 1, "one is left");
	is_str(text_of(c), "abcdefgh", "with all bytes");
	ok(npool_buf_at(c, 0, 8) != NULL, "in one");
	is_int(npool_buf_consolidate(c, 0, 2), ERANGE, "more than there are");
	end(c, "testFullConsolidation");

	c = make_composite(3);
	for (int i = 0; i < 4; i++)
		npool_buf_add_part(c, (size_t)i, of("xy"), 1);
	is_size(npool_buf_nparts(c), 1,
		"testAutoConsolidation: above max_parts they become one");
	is_str(text_of(c), "xyxyxyxy", "testAutoConsolidation: of all bytes");
	end(c, "testAutoConsolidation");
}

static void test_flattened(void)
{
	npool_buf_t *c = words("start"), *from = words("ab cd ef gh");

	npool_buf_set_indices(from, 1, 5);
	is_int(npool_buf_add_flattened(c, from, 1), 0,
	       "testAddFlattenedComponents");
	is_size(npool_buf_nparts(c), 4, "part by part, as far as to be read");
	is_str(text_of(c), "startbcde", "the bytes of each");
	is_int(npool_buf_add_flattened(c, of("end"), 1), 0, "one without parts");
	is_str(text_of(c), "startbcdeend", "is added whole");
	is_int(npool_buf_add_flattened(c, make_composite(1), 1), 0, "nothing");
	is_size(npool_buf_nparts(c), 5, "is added as nothing");
	end(c, "testAddFlattenedComponents");
}

static void test_discard(void)
{
	npool_buf_t *c = words("abc def ghi");

	npool_buf_skip(c, 4);
	npool_buf_mark_reader(c);
	npool_buf_discard(c);
	is_size(npool_buf_nparts(c), 2,
		"testDiscardReadBytes: parts that were read are released");
	is_size(npool_buf_capacity(c), 5, "it is smaller");
	is_str(text_of(c), "efghi", "the rest is there");
	npool_buf_skip(c, 5);
	npool_buf_discard(c);
	is_size(npool_buf_nparts(c), 0, "testDiscardReadBytes3: all of it");
	end(c, "testDiscardReadBytes");

	c = words("abc def ghi");
	npool_buf_t *s = npool_buf_slice(c, 1, 7);

	npool_buf_skip(s, 2);
	npool_buf_discard(s);
	is_str(text_of(s), "defgh", "a view moves the bytes through the parts");
	end(c, "a view's discard");
}

static void test_capacity(void)
{
	npool_buf_t *c = words("abc def");

	is_int(npool_buf_write(c, "0123456789", 10), 0,
	       "testWriteBeyond: it grows by a part of the pool");
	is_size(npool_buf_nparts(c), 3, "one more");
	is_size(npool_buf_capacity(c), 64, "by Netty's rule");
	is_str(text_of(c), "abcdef0123456789", "what was written is there");
	is_int(npool_buf_set_capacity(c, 4), 0,
	       "testDecreaseCapacity: parts at the end are released");
	is_size(npool_buf_nparts(c), 2, "but for the last one's part");
	is_str(text_of(c), "abcd", "which is cut");
	is_int(npool_buf_set_capacity(c, 3), 0, "to the end of a part");
	is_size(npool_buf_nparts(c), 1, "releases the next one");
	is_int(npool_buf_set_capacity(c, 0), 0, "to nothing");
	is_int(npool_buf_set_capacity(c, NPOOL_BUF_MAX + 1), ERANGE,
	       "too large");
	end(c, "capacity");
}

static void test_too_large(void)
{
	static char byte;
	npool_buf_t *c = make_composite(16);

	npool_buf_add_part(c, 0, npool_buf_wrap(&byte, NPOOL_BUF_MAX, NULL,
						NULL), 0);
	is_int(npool_buf_add_part(c, 1, of("x"), 0), ERANGE,
	       "testAddComponentOverflow: not above NPOOL_BUF_MAX");
	is_size(npool_buf_capacity(c), NPOOL_BUF_MAX, "it is as it was");
	end(c, "testAddComponentOverflow");
}

static void test_bytes(void)
{
	npool_buf_t *c = words("ab c defgh"), *d = of("abcdefgh"), *s;
	uint64_t value = 0;

	npool_buf_get_be(c, 1, 4, &value);
	is_hex(value, 0x62636465, "testGetInt: over three parts");
	npool_buf_set_le(c, 1, 3, 0x64636200 >> 8);
	is_int(npool_buf_compare(c, d), 0, "testCompareTo: the same bytes");
	npool_buf_set(c, 2, "XYZ", 3);
	ok(npool_buf_compare(c, d) < 0, "testCompareTo: smaller ones");
	is_int(npool_buf_index_of(c, 0, 8, 'Z'), 4, "testIndexOf: forwards");
	is_int(npool_buf_index_of(c, 8, 0, 'a'), 0, "testIndexOf: backwards");
	errno = 0;
	ok(!npool_buf_at(c, 1, 2) && errno == EXDEV, "bytes in two parts: EXDEV");
	ok(npool_buf_at(c, 3, 5) != NULL, "bytes in one");
	s = npool_buf_retained_slice(c, 1, 6);
	npool_buf_release(c);
	is_str(text_of(s), "bXYZfg", "testSlice: a view of several parts");
	c = npool_buf_copy(s, 1, 4);
	is_str(text_of(c), "XYZf", "testCopy");
	npool_buf_release(c);
	c = make_composite(4);
	npool_buf_add_part(c, 0, s, 1);
	npool_buf_add_part(c, 1, npool_buf_retained_slice(c, 1, 1), 1);
	is_size(npool_buf_nparts(c), 1, "no part of itself");
	npool_buf_add_part(c, 1, words("12 34"), 1);
	is_str(text_of(c), "bXYZfg1234", "composite buffers within one");
	npool_buf_release(d);
	end(c, "testBytes");
}

static void use_dead(void *arg)
{
	/* Made before: a new one would get the header of the dead one. */
	npool_buf_t *x = of("x"), *other = make_composite(1), *c = words("a b");

	npool_buf_release(c);
	switch (*(int *)arg) {
	case 0:
		npool_buf_add_part(c, 0, x, 0);
		break;
	case 1:
		npool_buf_add_part(other, 0, c, 0);
		break;
	case 2:
		npool_buf_add_flattened(c, x, 0);
		break;
	case 3:
		npool_buf_remove_parts(c, 0, 1);
		break;
	case 4:
		npool_buf_consolidate(c, 0, 1);
		break;
	case 5:
		npool_buf_nparts(c);
		break;
	case 6:
		npool_buf_part(c, 0);
		break;
	case 7:
		npool_buf_find_part(c, 0);
		break;
	}
}

int main(void)
{
	if (npool_create(&pool, NULL) != 0)
		bail_out("no pool");
	test_add();
	test_part_indices();
	test_find();
	test_remove();
	test_consolidate();
	test_flattened();
	test_discard();
	test_capacity();
	test_too_large();
	test_bytes();
	for (int i = 0; i < 8; i++) {
		struct child c = child_run(use_dead, &i);

		ok(child_killed(&c, SIGABRT) && strstr(c.text, "refCnt: 0"),
		   "testXAfterRelease: call %d", i);
	}
	npool_destroy(pool);
	return done();
}
