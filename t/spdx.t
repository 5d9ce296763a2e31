#!/bin/sh
# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the libnpool authors
#
# Each file says its license and whose it is in its first lines; for what
# cannot hold a comment, .reuse/dep5 does.
. "${0%/*}/tap.sh"
need git git
cd "$abs_top_srcdir" || exit 99

# A release that was unpacked inside of some other checkout is not ours.
top=$(git rev-parse --show-toplevel 2>"$tmp/log") || top=
[ "$top" = "$(pwd -P)" ] || skip_all 'needs a git checkout'

git ls-files >"$tmp/files"
[ -s "$tmp/files" ] || skip_all 'git tracks no file yet'

without_comments=$(sed -n 's/^Files: *//p' .reuse/dep5)

# says FILE: does its head, or .reuse/dep5, name the license and the authors?
says() {
	set -f
	for glob in $without_comments; do
		case $1 in
		$glob) return 0 ;;
		esac
	done
	head -n 10 "$1" >"$tmp/head"
	grep -q 'SPDX-License-Identifier: MIT' "$tmp/head" &&
		grep -q 'Copyright (c) 20.. the libnpool authors' "$tmp/head"
}

# What git still lists and is no more has nothing to say.
while IFS= read -r file; do
	[ ! -f "$file" ] || echo "$file"
done <"$tmp/files" >"$tmp/there"

plan $(($(wc -l <"$tmp/there")))
while IFS= read -r file; do
	says "$file"
	ok $? "$file says its license and authors"
done <"$tmp/there"
finish
