# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the libnpool authors
#
# tap.sh: what a test in sh is written with, to be read in by
#
#	. "${0%/*}/tap.sh"
#
# It prints the Test Anything Protocol (see tap.h) and says where things are:
#
#	$abs_top_srcdir, $abs_top_builddir	the sources, the build
#	$level		how much to try: quick, check or all
#	$tmp		an empty folder of the test's own, gone at its end
#
# `make check` sets these in the environment; a test that is started by hand
# or by prove takes the build from the current folder, else from build/.

: "${abs_top_srcdir:=$(cd "${0%/*}/.." && pwd)}"
if [ -z "${abs_top_builddir:-}" ]; then
	abs_top_builddir=$abs_top_srcdir/build
	[ ! -f config.status ] || abs_top_builddir=$PWD
fi
: "${CC:=cc}" "${CXX:=c++}" "${MAKE:=make}"
level=${NPOOL_TEST_LEVEL:-quick}
sanitizers=${NPOOL_TEST_SANITIZERS:-no}
# For programs that fork, as in tap.c.
export TSAN_OPTIONS="detect_deadlocks=0${TSAN_OPTIONS:+:$TSAN_OPTIONS}"

tmp=$(mktemp -d "${TMPDIR:-/tmp}/npool-test.XXXXXX") || exit 99
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM

tap_made=0 tap_failed=0 tap_planned=

plan() {
	tap_planned=$1
	echo "1..$1"
}

# skip_all WHY: ends the test. A reason that a package would cure names it:
# "needs the package NAME".
skip_all() {
	echo "1..0 # SKIP $*"
	exit 0
}

# need PROGRAM PACKAGE: without PROGRAM there is nothing to try. A machine that
# was to have it (from level check on) fails, any other skips.
need() {
	command -v "$1" >"$tmp/need" && return
	[ "$level" = quick ] || bail_out "$1 is missing: install $2"
	skip_all "needs the package $2"
}

bail_out() {
	echo "Bail out! $*"
	exit 255
}

# Says what is in the file $1, or else its arguments, line by line.
diag() {
	if [ $# -eq 1 ] && [ -f "$1" ]; then
		sed 's/^/# /' "$1"
	else
		echo "# $*"
	fi
}

# ok STATUS NAME [LOG]: claims NAME. It holds if STATUS is 0; else what is in
# the file LOG says why.
ok() {
	tap_made=$((tap_made + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $tap_made - $2"
	else
		tap_failed=$((tap_failed + 1))
		echo "not ok $tap_made - $2"
		[ -z "${3:-}" ] || diag "$3"
	fi
	return "$1"
}

# is SEEN WANTED NAME: claims that two strings are equal.
is() {
	tap_status=0
	[ "$1" = "$2" ] || tap_status=1
	printf 'seen   %s\nwanted %s\n' "$1" "$2" >"$tmp/is"
	ok "$tap_status" "$3" "$tmp/is"
}

# skip N WHY: counts N claims as skipped.
skip() {
	tap_left=$1
	shift
	while [ "$tap_left" -gt 0 ]; do
		tap_made=$((tap_made + 1)) tap_left=$((tap_left - 1))
		echo "ok $tap_made # SKIP $*"
	done
}

# The end: exits with 0 if every claim held and there were as many as planned.
finish() {
	[ -n "$tap_planned" ] || plan "$tap_made"
	[ "$tap_failed" -eq 0 ] && [ "$tap_made" -eq "$tap_planned" ]
	exit
}
