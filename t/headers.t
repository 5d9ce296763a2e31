#!/bin/sh
# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the libnpool authors
#
# A header says all that it needs: it compiles as the only line of a file. The
# public ones do so without a warning in the oldest C and C++ that they are
# meant for, and hand C++ programs C names; ours as the library is compiled.
. "${0%/*}/tap.sh"

strict='-Wall -Wextra -Wshadow -Wconversion -Wundef -pedantic -Werror'

# compiles NAME COMPILER-AND-FLAGS...: claims that $tmp/one.* compiles.
compiles() {
	claim=$1
	shift
	"$@" -c -o "$tmp/one.o" >"$tmp/log" 2>&1
	ok $? "$claim" "$tmp/log"
}

# public HEADER
public() {
	include=-I$abs_top_srcdir/include
	echo "#include <$1>" >"$tmp/one.c"
	cp "$tmp/one.c" "$tmp/one.cc"
	for std in c99 c11; do
		compiles "$1 compiles alone as $std" \
			$CC -std=$std $strict "$include" "$tmp/one.c"
	done
	if ! command -v "${CXX%% *}" >"$tmp/which"; then
		[ "$level" = quick ] || bail_out 'no C++ compiler: install g++'
		skip 2 'needs the package g++'
		return
	fi
	for std in c++11 c++17; do
		compiles "$1 compiles alone as $std" \
			$CXX -std=$std $strict "$include" "$tmp/one.cc"
	done
}

# own HEADER
own() {
	echo "#include \"$1\"" >"$tmp/one.c"
	compiles "lib/$1 compiles alone" $CC -std=gnu11 -Wall -Wextra -Werror \
		-DHAVE_CONFIG_H -D_GNU_SOURCE -I"$abs_top_builddir" \
		-I"$abs_top_srcdir/include" -iquote "$abs_top_srcdir/lib" \
		"$tmp/one.c"
}

cd "$abs_top_srcdir" || exit 99
set -- include/*.h
npublic=$#
set -- lib/*.h
plan $((4 * npublic + $#))
for header in include/*.h; do
	public "${header#include/}"
done
for header in lib/*.h; do
	own "${header#lib/}"
done
finish
