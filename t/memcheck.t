#!/bin/sh
# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the libnpool authors
#
# Under Valgrind: what memcheck says of programs that misuse pieces, and that it
# has nothing to say of one that does not, on npool.h and on the malloc face.
. "${0%/*}/tap.sh"

libs=$abs_top_builddir/lib/.libs
[ "${NPOOL_TEST_VALGRIND:-yes}" = no ] && skip_all 'configured --without-valgrind'
[ "$sanitizers" = no ] || skip_all 'Valgrind runs no sanitizers'
[ -f "$libs/libnpool.so" ] || skip_all 'there is no shared library here'
need valgrind valgrind
cd "$tmp" || exit 99
plan 17

# Valgrind 3.19 gives up on a library with debug information as clang writes it.
made=$libs libs=$tmp/libs
mkdir libs
for lib in libnpool.so.0 libnpool-malloc.so; do
	[ ! -f "$made/$lib" ] || strip -g -o "libs/$lib" "$made/$lib" ||
		bail_out "$lib cannot be stripped"
done
ln -s libnpool.so.0 libs/libnpool.so

cat >misuse.c <<'END'
#include <npool.h>
#include <stdlib.h>
#include <string.h>

static volatile char seen;
static char *volatile hidden;

static void __attribute__((noinline)) lose(void)
{
	char *p = npool_malloc(1234);

	memset(p, 1, 1234);
	hidden = p;
	hidden = NULL;
}

/* All that is allowed. */
static void good(void)
{
	struct npool_attr attr = NPOOL_ATTR_INIT;
	npool_t *own;
	void *many[20];
	char *p, *q;

	for (size_t size = 0; size < 100000; size = size * 2 + 1) {
		p = npool_malloc(size);
		memset(p, 1, npool_usable_size(p));
		p = npool_realloc(p, size + 100);
		memset(p, 2, npool_usable_size(p));
		q = npool_calloc(1, size + 1);
		if (q[size])
			exit(9);
		npool_free(p);
		npool_free(q);
	}
	p = npool_aligned_alloc(4096, 5000);
	memset(p, 1, 5000);
	npool_free(p);
	p = npool_malloc(20 << 20);
	memset(p, 1, 20 << 20);
	p = npool_realloc(p, 40 << 20);
	npool_free(p);
	if (npool_alloc_many(npool_default(), 50, 0, many, 20) != 20)
		exit(9);
	for (int i = 0; i < 20; i++)
		memset(many[i], 1, 50);
	npool_free_many(many, 20);
	if (npool_create(&own, &attr) != 0)
		exit(9);
	for (int i = 0; i < 100; i++) /* the pool's end frees them */
		memset(npool_alloc(own, 500, 0), 1, 500);
	npool_reset(own);
	memset(npool_alloc(own, 500, 0), 1, 500);
	npool_destroy(own);
}

int main(int argc, char **argv)
{
	char *p = npool_malloc(100), *q;

	(void)argc;
	switch (*argv[1]) {
	case 'g':
		good();
		break;
	case 'a': /* after its free */
		q = p;
		npool_free(p);
		seen = q[7];
		p = NULL;
		break;
	case 'o': /* over its end */
		q = npool_malloc(100); /* the next one lives */
		p[npool_usable_size(p)] = 1;
		npool_free(q);
		break;
	case 'u': /* not written yet */
		if (p[3])
			seen = 1;
		break;
	case 'm': /* where it was before a realloc */
		q = npool_realloc(p, 101);
		seen = p[0];
		p = q;
		break;
	case 'l':
		for (int i = 0; i < 10; i++)
			lose();
		break;
	case 't': /* twice */
		q = p;
		npool_free(p);
		npool_free(q);
		break;
	}
	npool_free(p);
	return 0;
}
END
$CC -gdwarf-4 -O0 -w -I"$abs_top_srcdir/include" -o misuse misuse.c \
	-L"$libs" -lnpool -Wl,-rpath,"$libs" 2>log || bail_out "$(cat log)"

# check CODE TEXT NAME ARGS...: Valgrind exits with CODE, and says TEXT.
check() {
	wanted=$1 text=$2 name=$3
	shift 3
	timeout 120 valgrind --error-exitcode=42 --leak-check=full \
		--errors-for-leak-kinds=definite "$@" >log 2>&1
	code=$?
	echo "code $code, wanted $wanted" >>log
	[ "$code" -eq "$wanted" ] && grep -q -- "$text" log
	ok $? "$name" log
}

# says TEXT NAME: and it says this.
says() {
	grep -q -- "$1" log
	ok $? "$2" log
}

check 0 'ERROR SUMMARY: 0 errors' 'good use is no error' ./misuse good
says 'no leaks are possible\|definitely lost: 0 bytes' 'and no leak'
check 42 'Invalid read of size 1' 'a read after free' ./misuse after
says "is 7 bytes inside a block of size .* free'd" 'of which piece it says'
says 'by 0x.*: main (misuse.c:' 'and who freed it'
check 42 'Invalid write of size 1' 'a write over the end of a piece' \
	./misuse over
# Or of the one behind it: Valgrind has found that first.
says 'is 0 bytes after a block of size\|is 16 bytes before a block of size' \
	'of which piece it says'
check 42 'depends on uninitialised value' 'a piece is not initialised' \
	./misuse uninitialised
check 42 'Invalid read of size 1' 'the old place after a realloc' ./misuse moved
# A word of it may be left somewhere on the stack.
check 42 'definitely lost: .* in \(9\|10\) blocks' 'leaks' ./misuse lost
says 'by 0x.*: lose (misuse.c:' 'and who asked for it'
check 134 'double free' 'a second free ends the process' ./misuse twice
says 'Invalid free' 'and Valgrind says so first'

# ---- The face ----
cat >face.c <<'END'
#include <stdlib.h>
#include <string.h>

static volatile char seen;

int main(int argc, char **argv)
{
	char *p = malloc(100);

	memset(p, 1, 100);
	if (argc > 1)
		p = realloc(p, 5000);
	free(p);
	if (argc > 2)
		seen = p[7];
	return 0;
}
END
$CC -gdwarf-4 -O0 -w -o face face.c 2>log || bail_out "$(cat log)"
if [ -f "$libs/libnpool-malloc.so" ]; then
	LD_LIBRARY_PATH=$libs LD_PRELOAD=$libs/libnpool-malloc.so
	export LD_LIBRARY_PATH LD_PRELOAD
	# The face itself, not what Valgrind would put in its place.
	own='--soname-synonyms=somalloc=nouserintercepts'
	check 0 'ERROR SUMMARY: 0 errors' 'the face: good use' $own ./face 1
	says 'in use at exit: 0 bytes' 'nothing is in use at the end'
	check 42 'Invalid read of size 1' 'the face: a read after free' $own \
		./face 1 2
	says 'np_piece_free (in .*/libnpool.so.0)' 'which went to the pool'
	unset LD_LIBRARY_PATH LD_PRELOAD
else
	skip 4 'there is no malloc face here'
fi
finish
