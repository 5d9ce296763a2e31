#!/bin/sh
# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the libnpool authors
#
# Completion of npool-trace in bash: each option that --help names is offered, and
# no other, and files and formats where they belong.
. "${0%/*}/tap.sh"
need bash bash
trace=$abs_top_builddir/tools/npool-trace
plan 15

# offers WORD...: what bash offers for the last word, sorted.
cat >"$tmp/offers" <<'END'
source "$1"
shift
COMP_WORDS=(npool-trace "$@")
COMP_CWORD=$#
_npool_trace npool-trace "${COMP_WORDS[COMP_CWORD]}" \
	"${COMP_WORDS[COMP_CWORD - 1]}"
printf '%s\n' "${COMPREPLY[@]}" | sort
END
offers() {
	bash "$tmp/offers" "$abs_top_srcdir/completions/npool-trace" "$@"
}

is "$(offers '' | tr '\n' ' ')" \
	'--help --version draw explain export leaks record replay report ' \
	'the commands are offered first'
is "$(offers re | tr '\n' ' ')" 'record replay report ' \
	'and those that begin so'
is "$(offers export --format = '' | tr '\n' ' ')" \
	'chrome csv folded netty pprof ' 'the formats behind --format='
is "$(offers export --format c | tr '\n' ' ')" 'chrome csv ' \
	'and behind --format'
# Of each option of a pool the table begins with: { "arenas", TYPE, SCOPE,
tr -d '\n\t' <"$abs_top_srcdir/lib/config.c" | tr '{' '\n' | sed -n \
	's/^ "\([a-z_]*\)", NP_OPT_[A-Z]*, NP_OPT_\(FIXED\|LIVE\),.*/\1:/p' |
	sort >"$tmp/options"
is "$(offers replay --conf '')" "$(cat "$tmp/options")" \
	'all options of pools behind --conf'
is "$(offers replay --conf c | tr '\n' ' ')" \
	'cache_bytes: cache_pieces: classes: ' 'or those that begin so'

"$trace" --help >"$tmp/help"
for command in record report leaks export replay explain; do
	# The usage has a command's own options; its lines may go on.
	offers "$command" - >"$tmp/offered"
	missing=
	while read -r option; do
		grep -q -- "$option" "$tmp/help" || missing="$missing $option"
	done <"$tmp/offered"
	is "$missing" '' "$command: --help knows what is offered"
done
for option in $(grep -o -- ' --[a-z-]*' "$tmp/help" | sort -u); do
	case $option in --help | --version) continue ;; esac
	for command in record report leaks export replay explain; do
		offers "$command" - | grep -qx -- "$option" && continue 2
	done
	echo "$option"
done >"$tmp/not-offered"
is "$(cat "$tmp/not-offered")" '' 'each option of --help is offered'
cd "$abs_top_srcdir" || exit 99
is "$(offers draw lib/npool.pc)" 'lib/npool.pc.in' 'behind draw, files are'
offers record -- ls lib/npool.pc >"$tmp/files"
is "$(cat "$tmp/files")" 'lib/npool.pc.in' \
	'behind a command to be recorded, files are'
finish
