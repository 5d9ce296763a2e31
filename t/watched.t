#!/bin/sh
# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the libnpool authors
#
# The tests of buffers once more, with every buffer watched: each call then
# takes its other way. And what they do not release, they mean to.
. "${0%/*}/tap.sh"

plan 8
for name in buf bufdata bufio bufparts; do
	NPOOL_CONF=leaks:paranoid "$abs_top_builddir/t/$name.t" \
		>"$tmp/out" 2>&1
	ok $? "$name.t passes with every buffer watched" "$tmp/out"
	! grep -q 'libnpool: leak' "$tmp/out"
	ok $? "$name.t leaves none alive" "$tmp/out"
done
finish
