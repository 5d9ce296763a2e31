#!/bin/sh
# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the libnpool authors
#
# blob-store and shared-offsets, of examples/. What was put into the store is
# there, byte by byte, in every process that opens it, also when others were
# killed while they wrote; what is damaged is found. Two processes work on each
# other's bytes by handles, and give all of them back.

# In memory if that can be: each put waits until the disk has it.
: "${TMPDIR:=$([ -w /dev/shm ] && echo /dev/shm || echo /tmp)}"
. "${0%/*}/tap.sh"

store=$abs_top_builddir/examples/blob-store
shared=$abs_top_builddir/examples/shared-offsets
unset NPOOL_CONF
export LC_ALL=C
cd "$tmp" || exit 99

# run COMMAND...: its exit status is in $code, what it said in out and err.
run() {
	timeout 100 "$@" >out 2>err
	code=$?
}

# ends CODE CLAIM [TEXT]: the last run ended so, and said TEXT.
ends() {
	{
		echo "exit status $code, wanted $1; wanted text: ${3:-}"
		cat out err
	} >log
	[ "$code" -eq "$1" ] &&
		{ [ -z "${3:-}" ] || cat out err | grep -qF -e "$3"; }
	ok $? "$2" log
}

# bytes N: N bytes, others for each N.
bytes() {
	awk -v n="$1" 'BEGIN { for (i = 0; i < n; i += 8)
		printf "%7d\n", i * 31 + n }' | head -c "$1"
}

plan 36
for wrong in '' 'blobs' 'blobs put' 'blobs list x' 'blobs get' 'blobs look'; do
	run "$store" $wrong
	ends 2 "blob-store $wrong is bad usage" usage
done
run "$store" --help
ends 0 'blob-store --help' usage
run "$store" none list
ends 1 'a store that is not there' 'No such file'
echo 'some text' >text
run "$store" text list
ends 1 'a file that is no store' 'not a blob store'
run "$store" blobs put '' text
ends 1 'a name must not be empty' 'not a name'
run "$store" blobs put "$(printf '%096d' 1)" text
ends 1 'nor longer than 95 bytes' 'not a name'
[ ! -e blobs ]
ok $? 'none of these has made a store'

sizes='0 1 15 16 100 4095 4096 4097 5000 30000 100000 1000000'
for size in $sizes; do
	bytes "$size" | "$store" blobs put "blob $size"
done
for size in $sizes; do
	"$store" blobs get "blob $size" >got && bytes "$size" | cmp - got ||
		echo "blob $size differs"
done >log 2>&1
is "$(cat log)" '' 'each blob is what was put, byte by byte'
run "$store" blobs check
ends 0 'the store is whole' '12 blobs, '
for size in 100 4096 1000000; do
	"$store" blobs del "blob $size"
done
run "$store" blobs get 'blob 100'
ends 1 'what was deleted is gone' 'no such blob'
run "$store" blobs del 'blob 100'
ends 1 'and cannot be deleted twice' 'no such blob'
run "$store" blobs list
is "$(wc -l <out)" 9 'the others are there'
bytes 60000 >large
"$store" blobs put 'blob 5000' large
"$store" blobs get 'blob 5000' | cmp - large
ok $? 'a blob can be replaced by a larger one'
bytes 17000000 >over
run "$store" blobs put over over
ends 1 'more than the store has is refused' 'no room'
bytes 8000000 >half
run "$store" blobs put half half
ends 0 'half of it can be put'
run "$store" blobs put half half
ends 1 'but not replaced: there is no room for both' 'no room'
"$store" blobs get half | cmp - half
ok $? 'and it is as it was'
"$store" blobs del half
run "$store" blobs check
ends 0 'the store is whole' '9 blobs, '

i=0
while [ $i -lt 130 ]; do
	"$store" blobs put "many $i" text || break
	i=$((i + 1))
done 2>err
is "$i" 118 'the directory holds 127 blobs, and no more'
i=0
while [ $i -lt 118 ]; do
	"$store" blobs del "many $i"
	i=$((i + 2))
done
run "$store" blobs check
ends 0 'every second one deleted, the store is whole' '68 blobs, '
cp blobs copy

# Others write at the same time, and are killed at any moment.
i=0
while [ $i -lt 15 ]; do
	"$store" blobs put "new $i" large &
	one=$!
	"$store" blobs put 'blob 5000' large &
	two=$!
	"$store" blobs del "many $((2 * i + 1))"
	[ $((i % 2)) -eq 0 ] || sleep 0.00$((i % 10))
	kill -KILL $one 2>/dev/null
	wait $one $two
	i=$((i + 1))
done 2>/dev/null
run "$store" blobs check
ends 0 'after many were killed while they wrote, the store is whole' ' blobs, '
"$store" blobs get 'blob 5000' | cmp - large
ok $? 'and a blob that was replaced again and again is right'
wrong=0
for name in $("$store" blobs list | sed -n 's/.*  new //p'); do
	"$store" blobs get "new $name" | cmp - large || wrong=$((wrong + 1))
done >log 2>&1
is "$wrong" 0 'a blob that was named is all there' log

# harm OFFSET: changes a byte of the copy.
harm() {
	cp copy harmed
	printf 'x' | dd of=harmed bs=1 seek="$1" conv=notrunc 2>dd.log
	run "$store" harmed check
}
at=$("$store" copy list |
	sed -n 's/.*bytes at *\([0-9]*\),.*  blob 30000$/\1/p')
harm $((at + 29999))
ends 1 'a byte of a blob that has changed is found' 'damaged: bytes of'
harm 135
ends 1 'a handle that has changed is found' damaged
harm 138
ends 1 'a length that has changed is found' damaged
harm 0
ends 0 'what nobody uses may hold anything' ' blobs, '

# ---- two processes ----

run "$shared" 0
ends 2 'shared-offsets 0 is bad usage' usage
run "$shared" 1 2
ends 2 'shared-offsets 1 2 is bad usage' usage
run "$shared" 1
ends 0 'one message comes back' '1 messages, 0 wrong'
run "$shared" 3000
ends 0 'so do 3000, and every byte is free again' \
	'3000 messages, 0 wrong; 1048576 of 1048576 bytes are free again'
finish
