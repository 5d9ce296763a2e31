#!/bin/sh
# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the libnpool authors
#
# npool-trace and bad input: whatever is wrong, it exits with the code that
# npool-trace(1) names, says on standard error what is wrong, in which file
# and which line, and has printed what went before. (What it prints for good
# input is compared with the real Netty by golden.t and judge.t.)
. "${0%/*}/tap.sh"

trace=$abs_top_builddir/tools/npool-trace
cd "$tmp" || exit 99

# run ARGS...: its exit code is in $code, what it said in out and err.
run() {
	timeout 60 "$trace" "$@" >out 2>err </dev/null
	code=$?
}

# replay TEXT: a trace of this text, as of printf.
replay() {
	# shellcheck disable=SC2059 # it is a format
	printf "$1" >in.trace
	run replay --netty in.trace
}

# printed HEAD: one line that begins with HEAD was printed.
printed() {
	[ "$(wc -l <out)" -eq 1 ] && [ "$(head -c ${#1} out)" = "$1" ]
}

# says CODE TEXT NAME [HEAD]: claims that it ended so, said TEXT on standard
# error, and nothing else; and printed one line that begins with HEAD, if that
# is given.
says() {
	{
		echo "code   $code, wanted $1"
		echo "said   $(cat err)"
		echo "wanted $2"
		echo "out    $(cat out)"
	} >log
	[ "$code" -eq "$1" ] && [ "$(cat err)" = "$2" ] &&
		{ [ -z "${4:-}" ] || printed "$4"; }
	ok $? "$3" log
}

# bad LINE TEXT NAME: a trace whose third line this is: 2, the file, the
# line's number and the text, when the first was printed.
bad() {
	replay "a one 100\n# a remark\n$1\na two 100\n"
	says 2 "npool-trace: in.trace:3: $2" "$3" 'a one 100 -> chunk=0 '
}

# good TEXT LINES NAME: this trace is run and prints so many lines.
good() {
	replay "$1"
	[ "$code" -eq 0 ] && [ ! -s err ] && [ "$(wc -l <out)" -eq "$2" ]
	ok $? "$3" err
}

size='a size is a number from 0 to 2147483647'
cap='wanted: c ID NEWCAP, a number from 0 to 2147483647'
plan 93

# ---- Lines that fit ----
good '' 0 'an empty file prints nothing'
good '\n\n   \n\t\n' 0 'nor do blank lines'
good '# a A 1\n#\n' 0 'nor remarks'
good '  a   A\t100  \n\tf A' 2 'blanks before, between and behind fields'
good 'a A 100\r\nf A\r\n' 2 'lines may end as on DOS'
good 'a A 0\na B 1\na C 0 0\nf A\nf B\nf C\n' 6 'sizes of 0 bytes'
good 'a A 007\n' 1 'leading zeros'
good 'a A 2147483647\nf A\n' 2 'the largest size'
good 'a A 10\nf A\na A 20\nf A\n' 4 'an ID that is used again'
good 'a A 10 10\nc A 10\n' 2 'a resize to MAX'
good 't\na A 1\nt\nl\ns\n' 5 'operations without arguments'
replay 'a A 100'
[ "$code" -eq 0 ] && [ "$(wc -l <out)" -eq 1 ]
ok $? 'the last line needs no end'
long=$(printf '%0200000d' 7)
good "a A$long 100\nf A$long\n" 2 'an ID of 200000 characters'
good "# $long\na A 1\n" 1 'a remark of 200000 characters'
good "$(printf '%100000s' '')a A 1\n" 1 'a line with 100000 blanks'
awk 'BEGIN { for (i = 0; i < 20000; i++) print "a id" i, i % 9000
	for (i = 0; i < 20000; i++) print "f id" i }' >in.trace
run replay --netty in.trace
[ "$code" -eq 0 ] && [ "$(wc -l <out)" -eq 40000 ]
ok $? '40000 lines' err

# More than the buffer of the reader holds; and names that the table has no
# room for in place, or that are used again.
awk 'BEGIN {
	long = sprintf("%0100d", 7)
	for (i = 0; i < 20000; i++) print "a " substr(long, 1, i % 40 + 1) i, i
	for (i = 0; i < 20000; i += 3) print "f " substr(long, 1, i % 40 + 1) i
	for (i = 0; i < 20000; i += 3) print "a " substr(long, 1, i % 40 + 1) i, 1
	print "a " long, 1
	for (i = 0; i < 20000; i++) print "f " substr(long, 1, i % 40 + 1) i
	print "f " long
}' >in.trace
run replay --netty in.trace
[ "$code" -eq 0 ] && [ "$(wc -l <out)" -eq 53336 ] &&
	[ "$(cut -d ' ' -f 1,2 in.trace)" = "$(cut -d ' ' -f 1,2 out)" ]
ok $? '53336 lines with names of many lengths' err
printf 'a A 1\na B 2\nf A' >in.trace
{ cat in.trace && sleep 1; } | "$trace" replay --netty - >out 2>err
[ $? -eq 0 ] && [ "$(wc -l <out)" -eq 3 ]
ok $? 'a pipe, in pieces' err
# The memory is that of what lives: chunks and names that were are forgotten.
awk 'BEGIN { for (i = 0; i < 200000; i++) {
	print "a id" i, 32768; print "a big" i, 40000
	print "f id" i; print "f big" i } }' >in.trace
case $sanitizers in
*address* | *thread*) skip 1 'sanitizers need address space' ;;
*)
	(ulimit -v 300000 && exec "$trace" replay --netty -q \
		--page-size 4096 --max-order 3 in.trace) >out 2>err
	ok $? '400000 chunks in 300 MB of address space' err
	;;
esac

# ---- Lines that do not ----
bad 'a A' 'wanted: a ID SIZE [MAX]' 'a without a size'
bad 'a' 'wanted: a ID SIZE [MAX]' 'a without an ID'
bad 'a A 1 2 3' 'wanted: a ID SIZE [MAX]' 'a with too many fields'
bad 'a A 1 2 3 4 5 6 7 8 9' 'wanted: a ID SIZE [MAX]' 'with far too many'
bad 'a A -1' "$size: -1" 'a negative size'
bad 'a A +1' "$size: +1" 'a size with a plus'
bad 'a A 1k' "$size: 1k" 'a size with a unit'
bad 'a A 0x10' "$size: 0x10" 'a size in hexadecimal'
bad 'a A 1.5' "$size: 1.5" 'a size with a point'
bad 'a A x' "$size: x" 'a size that is a word'
bad 'a A 2147483648' "$size: 2147483648" 'a size above a Java int'
bad 'a A 4294967297' "$size: 4294967297" 'a size above 32 bits'
bad 'a A 18446744073709551617' "$size: 18446744073709551617" \
	'a size above 64 bits'
bad "a A 1$long" "$size: 1$long" 'a size of 200000 digits'
# The field that is named shall be the one that is wrong.
replay 'a A 5 x\n'
[ "$code" -eq 2 ] && grep -q "^npool-trace: in.trace:1: $size: " err
ok $? 'a MAX that is a word' err
replay 'a A 5 2147483648\n'
[ "$code" -eq 2 ] && grep -q "^npool-trace: in.trace:1: $size: " err
ok $? 'a MAX above a Java int' err
bad 'a A 11 10' 'SIZE is above MAX: 11' 'SIZE above MAX'
bad 'a A 1 0' 'SIZE is above MAX: 1' 'SIZE above a MAX of 0'
bad 'a one 5' 'ID is live already: one' 'an ID that is live'
bad 'f A' 'ID is not live: A' 'f of an unknown ID'
bad 'f' 'wanted: f ID' 'f without an ID'
bad 'f one two' 'wanted: f ID' 'f of two'
replay 'a one 100\nf one\nf one\n'
says 2 'npool-trace: in.trace:3: ID is not live: one' 'f twice'
bad 'c A 10' 'ID is not live: A' 'c of an unknown ID'
bad 'c one' "$cap" 'c without a size'
bad 'c one 1 2' "$cap" 'c with too many'
bad 'c one -1' "$cap" 'c to a negative size'
bad 'c one 2147483648' "$cap" 'c to a size above a Java int'
replay 'a A 10 20\nc A 21\n'
says 2 "npool-trace: in.trace:2: NEWCAP is above the buffer's MAX: 21" \
	'c beyond MAX'
replay 'a A 0 0\nc A 0\n'
[ "$code" -eq 2 ] && grep -q '^npool-trace: in.trace:2: ' err
ok $? 'c of the empty buffer, which cannot be resized' err
ops='no such operation; there are a, c, f, t, l and s'
bad 'x' "$ops: x" 'an unknown operation'
bad 'A A 10' "$ops: A" 'a capital one'
bad 'aa A 10' "$ops: aa" 'one of two letters'
bad 't t' "$ops: t" 't with an argument'
bad 'l 1' "$ops: l" 'l with an argument'
bad 's s' "$ops: s" 's with an argument'
bad 'a B\0 10' 'the line holds a NUL byte' 'a NUL byte'
bad '\0' 'the line holds a NUL byte' 'a line of one NUL byte'
bad '\377\376 A 1' "$ops: $(printf '\377\376')" 'bytes that are no text'

# ---- Files ----
run replay --netty nowhere.trace
says 1 'npool-trace: nowhere.trace: No such file or directory' 'a missing file'
run replay --netty .
[ "$code" -eq 1 ] && grep -q '^npool-trace: \..*: Is a directory$' err
ok $? 'a folder' err
printf 'a A 1\nf B\n' >in.trace
"$trace" replay --netty - <in.trace >out 2>err
code=$?
says 2 'npool-trace: standard input:2: ID is not live: B' 'standard input'
if [ -e /dev/full ]; then
	printf 'a A 1\n' >in.trace
	"$trace" replay --netty in.trace >/dev/full 2>err
	code=$?
	[ "$code" -eq 1 ] &&
		grep -q 'cannot write: No space left on device$' err
	ok $? 'a full disk' err
	"$trace" --help >/dev/full 2>err
	[ $? -eq 1 ]
	ok $? 'a full disk for the help'
else
	skip 2 'needs /dev/full'
fi

# ---- Options ----
# usage TEXT NAME ARGS...: wrong usage: 2 and the text.
usage() {
	text=$1 name=$2
	shift 2
	run "$@"
	says 2 "npool-trace: $text; try npool-trace --help" "$name"
}

echo 'a A 1' >in.trace
sizes='--page-size wants a power of two from 4096 to 1048576, not'
orders='--max-order wants a number from 0 to 14, not'
usage 'nothing to do' 'no argument'
usage 'no such command: recall' 'an unknown command' recall x
run replay in.trace
says 2 'npool-trace: in.trace: at offset 0: this is no recording of npool-trace' \
	'a text trace without --netty is no recording'
usage 'replay wants one TRACE' 'no trace' replay --netty
usage 'replay wants one TRACE' 'two traces' replay --netty in.trace in.trace
for size in 100 5000 2048 2097152 -8192 abc '' 8192x; do
	usage "$sizes $size" "--page-size '$size'" \
		replay --netty --page-size "$size" in.trace
done
for order in 15 -1 abc '' 3x; do
	usage "$orders $order" "--max-order '$order'" \
		replay --netty --max-order "$order" in.trace
done
usage 'page size << max order is over 1 GiB' 'a chunk over 1 GiB' \
	replay --netty --page-size 1048576 --max-order 11 in.trace
run replay --netty --nonsense in.trace
[ "$code" -eq 2 ] && grep -q 'try npool-trace --help$' err
ok $? 'an unknown option' err
for args in '--page-size 4096 --max-order 0' \
	'--page-size 1048576 --max-order 10' '--page-size=65536' \
	'--max-order 14'; do
	# shellcheck disable=SC2086 # they are several
	run replay --netty $args in.trace
	[ "$code" -eq 0 ] && [ "$(wc -l <out)" -eq 1 ]
	ok $? "the trace runs with $args" err
done
for q in -q --quiet; do
	printf 'a A 1\nl\ns\nt\nc A 9\nf A\n' >in.trace
	run replay --netty $q in.trace
	[ "$code" -eq 0 ] && [ ! -s out ] && [ ! -s err ]
	ok $? "$q prints nothing" err
done
printf 'a A 1\nf B\n' >in.trace
run replay --netty -q in.trace
says 2 'npool-trace: in.trace:2: ID is not live: B' '-q, but what is wrong'
run --help
[ "$code" -eq 0 ] && grep -q '^usage: npool-trace record ' out &&
	[ ! -s err ]
ok $? '--help prints the usage'
run explain --help
[ "$code" -eq 0 ] && grep -q '^usage: npool-trace' out
ok $? 'so it does behind a command'
run --version
[ "$code" -eq 0 ] && grep -q '^npool-trace [0-9]*\.[0-9]*\.[0-9]*$' out
ok $? '--version prints the version'
finish
