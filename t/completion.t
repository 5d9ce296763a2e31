#!/bin/bash
# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the libnpool authors
#
# Completion of npool-stat's command line in bash: it knows every option that
# --help does, and what may stand behind some of them.
. "${0%/*}/tap.sh"

stat=$abs_top_builddir/tools/npool-stat
. "$abs_top_srcdir/completions/npool-stat"

# completes WORD...: prints what the last word can become, sorted.
completes() {
	COMP_WORDS=(npool-stat "$@")
	COMP_CWORD=$#
	COMPREPLY=()
	_npool_stat npool-stat "${COMP_WORDS[COMP_CWORD]}" \
		"${COMP_WORDS[COMP_CWORD - 1]}"
	printf '%s\n' "${COMPREPLY[@]}" | LC_ALL=C sort -u
}

# What it lists.
npool-stat() {
	printf '    pid command nodes\n  12 redis-server 1\n 345 nginx 2\n'
}

plan 10
mkdir "$tmp/here" "$tmp/here/folder" && : >"$tmp/here/file" &&
	cd "$tmp/here" || exit 99
is "$(complete -p npool-stat)" \
	'complete -o filenames -F _npool_stat npool-stat' 'bash asks it'
"$stat" --help | grep -o -- '--[a-z][a-z-]*' | LC_ALL=C sort -u >"$tmp/known"
completes -- >"$tmp/offered"
is "$(echo $(grep -- '--[a-z]' "$tmp/offered"))" "$(echo $(cat "$tmp/known"))" \
	'every option of --help is offered, and no other'
is "$(echo $(completes --v))" '--verbose --verify --version' \
	'those that begin as the word does'
is "$(echo $(completes --color ''))" 'always auto never' '--color: its words'
is "$(completes --read '')" folder '--read: folders'
is "$(echo $(completes -o ''))" 'file folder' '-o: files'
is "$(echo $(completes -v ''))" '12 345 nginx redis-server' \
	'processes, by number and name'
is "$(completes re)" redis-server 'those that begin as the word does'
is "$(completes -j -- trunca)" truncate 'behind --: commands'
is "$(completes -- true fi)" file 'and behind those, files'
finish
