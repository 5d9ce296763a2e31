#!/bin/sh
# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the libnpool authors
#
# The pages: every public function has one that names it, every page is
# installed and is clean to mandoc and to groff, and what a page refers to of
# ours is there.
. "${0%/*}/tap.sh"
need mandoc mandoc
need groff groff-base
cd "$abs_top_srcdir" || exit 99

# A stub is one line: ".so man3/PAGE.3".
stub_target() {
	sed -n 's/^\.so man[0-9]\///p' "$1"
}

# clean PAGE: neither formatter has a word to say about it.
clean() {
	mandoc -T lint -W warning "$1" >"$tmp/log" 2>&1
	ok $? "$1 is clean to mandoc" "$tmp/log"
	groff -mandoc -ww -Tutf8 -z "$1" >"$tmp/log" 2>&1
	[ ! -s "$tmp/log" ]
	ok $? "$1 is clean to groff" "$tmp/log"
}

# has_page FUNCTION: man 3 FUNCTION leads to a page that names it.
has_page() {
	page=man/$1.3
	if [ -f "$page" ]; then
		target=$(stub_target "$page")
		page=man/${target:-$1.3}
	fi
	grep -q "^\.F[no] $1\( \|\$\)" "$page" 2>"$tmp/log" ||
		{ echo "$page has no .Fn or .Fo $1" >>"$tmp/log"; false; }
	ok $? "$1 has a page" "$tmp/log"
}

# Of ours: what begins with npool. Prints the references that lead nowhere.
dead_references() {
	sed -n 's/^\.Xr \(npool[^ ]*\) \([0-9]\).*/\1.\2/p' man/*.[1-9] |
	sort -u | while read -r page; do
		[ -f "man/$page" ] || echo "$page"
	done
}

# The functions of the public headers: the map has the same (t/symbols.t).
functions=$(sed -n '/PRIVATE/q; s/^[[:space:]]*\(npool_[a-z0-9_]*\);.*/\1/p' \
	lib/libnpool.map)
[ -n "$functions" ] || bail_out 'lib/libnpool.map lists no function'
pages=$(ls man/*.[1-9]) || bail_out 'there is no page in man/'

stubs=$(grep -l '^\.so man' $pages)
set -- $pages $pages $functions both-lists
nstubs=$(echo $stubs | wc -w)
plan $(($# - nstubs + 1))
for page in $pages; do
	target=$(stub_target "$page")
	if [ -n "$target" ]; then
		[ -f "man/$target" ]
		ok $? "$page leads to $target, which is there"
	else
		clean "$page"
	fi
done
for function in $functions; do
	has_page "$function"
done
listed=$(grep -o '%D%/[a-z0-9_-]*\.[1-9]' man/local.mk | sort)
is "$(echo $listed)" "$(echo $(echo "$pages" | sed 's/^man/%D%/' | sort))" \
	'man/local.mk installs every page'
is "$(dead_references)" '' 'every reference to a page of ours leads to one'
finish
