#!/bin/sh
# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the libnpool authors
#
# npool-trace record, report and leaks, as a user sees them: a program that
# leaks is run on the malloc face, and what is said of it is what it did.
. "${0%/*}/tap.sh"
. "${0%/*}/recording.sh"

cd "$tmp" || exit 99
plan 72

# has FILE TEXT NAME: a line of FILE matches TEXT.
has() {
	grep -q -- "$2" "$1"
	ok $? "$3" "$1"
}

cat >leaky.c <<'END'
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

void *order(size_t size)
{
	return malloc(size);
}

int main(int argc, char **argv)
{
	void *kept[7];
	int i, status = 0;

	for (i = 0; i < 1000; i++)
		free(order(100));
	for (i = 0; i < 7; i++)
		kept[i] = order(2000); /* here */
	free(kept[3]);
	if (argc > 2 && fork() == 0) {
		for (i = 0; i < 500; i++)
			order(300);
		return 0;
	}
	wait(&status);
	if (argc > 1 && !strcmp(argv[1], "exec"))
		execl("/proc/self/exe", argv[0], "again", (char *)0);
	return argc > 1 ? atoi(argv[1]) : 0;
}
END
here=$(sed -n '\,/\* here,=' leaky.c)
$CC -g -O0 -o leaky leaky.c 2>log || bail_out "$(cat log)"

# ---- A leak ----
run 0 'a program is recorded' record --stacks -o leaky.npt ./leaky
has err '^npool-trace: leaky.npt: [0-9]* events in .* 0 lost' \
	'and it is said how much'
run 1 'leaks exits with 1 for one that leaks' leaks leaky.npt
has out '^never freed: 11.7 KiB in 6 pieces$' 'it says how much was not freed'
if [ "${NPOOL_TEST_DW:-yes}" = no ]; then
	skip 2 'built without libdw'
else
	has out ' order (.*leaky.c:8)$' 'who asked for it, with file and line'
	has out " main (.*leaky.c:$here)$" 'and who called him'
fi
has out '^11.7 KiB in 6 pieces, ' 'by call stack'
grep -q 'npool_malloc\|np_' out
[ $? -eq 1 ]
ok $? 'functions of the pool are left out' out
run 0 'none is older than a minute' leaks --older 60 leaky.npt
has out '^never freed: 0 B in 0 pieces$' 'and it says so'

# ---- The report ----
run 0 'report' report leaky.npt
has out '^  alloc  *1007 ' 'counts what was asked for'
has out '^  default  *112  *1000  *[0-9]*  *1000 ' 'by class'
has out '^  default  *2048  *7  *[0-9]*  *1 ' 'and what was freed of it'
has out '^peak: 13.7 KiB asked for, 14.0 KiB rounded, in 7 pieces' \
	'the peak is right'
has out ' 7  *13.7 KiB  *100.00$' 'and what it was made of'
[ "$(wc -L <out)" -le 100 ]
ok $? 'its lines are short'

# ---- What is recorded ----
run 3 'the exit code is that of the command' record -o a.npt ./leaky 3
run 2 'a bad option is an error' record --stacks=3 ./leaky
run 127 'so is a command that is not there' record -o a.npt ./nothere
run 0 'only some sizes' record --sizes 1500-3000 -o a.npt ./leaky
run 0 'are reported' report a.npt
has out '^  alloc  *7 ' 'when only these were recorded'
run 1 'a leak without a stack' leaks a.npt
has out 'record with --stacks' 'is not told where'
run 0 'a program that forks' record -o a.npt ./leaky 0 fork
run 1 'is recorded without its child' leaks a.npt
has out '^never freed: 11.7 KiB in 6 pieces$' 'which has leaked more'
run 0 'one that becomes another' record -o a.npt ./leaky exec
run 1 'begins anew' leaks a.npt
has out '^never freed: 11.7 KiB in 6 pieces$' 'with no piece alive'

# ---- A process that runs ----
cat >server.c <<'END'
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

void *order(size_t size)
{
	return malloc(size);
}

int main(void)
{
	struct timespec pause = { 0, 1000000 };
	void *p[1000];
	unsigned i, round;

	alarm(1000);
	for (round = 0;; round++) {
		for (i = 0; i < 1000; i++)
			p[i] = order((i + round) * 31 % 5000);
		free(order(8 << 20)); /* no cache holds one */
		for (i = 0; i < 1000; i++)
			free(p[i]);
		nanosleep(&pause, NULL);
	}
}
END
$CC -g -O0 -o server server.c 2>log || bail_out "$(cat log)"
LD_PRELOAD=$face ./server &
server=$!
mapped() {
	grep -c '' "/proc/$server/maps"
}
for i in $(seq 200); do # until it shows its segment
	! grep -q 'SYSV4e50' "/proc/$server/maps" || break
	sleep 0.1
done
for round in 1 2 3 4 5 6 7 8 9 10; do
	run 0 "a process is recorded, $round" \
		record -p $server --seconds 1 -o live.npt
	[ $round -ne 2 ] || before=$(mapped)
done
[ "$(mapped)" -le $((before + 2)) ]
ok $? 'ten times, and nothing is left of it'
[ ! -e "/dev/shm/npool-trace.$server" ]
ok $? 'nor a file'
run 0 'what was recorded is reported' report live.npt
allocs=$(sed -n 's/^  alloc *\([0-9]*\) .*/\1/p' out)
[ "${allocs:-0}" -gt 1000 ]
ok $? 'with its calls' out
timeout 1000 "$trace" record -p $server -o last.npt 2>err &
tool=$!
while kill -0 $tool 2>log; do # until it has recorded something
	[ ! -s last.npt ] || [ "$(wc -c <last.npt)" -lt 2000 ] || break
	sleep 0.1
done
kill $server
wait $tool
ok $? 'the recording of a process ends with it' err
wait $server 2>log
run 125 'one that is not there is not recorded' record -p $server

# ---- One that is not to be trusted ----
cat >odd.c <<'END'
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* short: maps a file that is named as a segment is, and empty. A folder: goes
 * on with that as its root. */
int main(int argc, char **argv)
{
	char name[32];
	int fd = -1;

	(void)argc;
	alarm(1000);
	if (*argv[1] == '/' && (chroot(argv[1]) || chdir("/")))
		return 1;
	if (*argv[1] != '/') {
		snprintf(name, sizeof name, "%d.0", (int)getpid());
		fd = open(name, O_RDWR | O_CREAT, 0600);
		if (mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			 0) == MAP_FAILED)
			return 1;
	}
	free(malloc(100)); /* the pool begins */
	if (creat("ready", 0600) < 0)
		return 1;
	for (size_t i = 0;; i++) { /* misses, now and then */
		free(malloc(200000 + i % 64 * 100000));
		usleep(100);
	}
}
END
$CC -O0 -o odd odd.c 2>log || bail_out "$(cat log)"
# odd WHAT FACE [BEFORE ...]: starts it, behind BEFORE, waits until it is ready,
# and has its id in $odd.
odd() {
	what=$1 ready=ready preload=$2
	shift 2
	[ "${what#/}" = "$what" ] || ready=$what/ready
	rm -f "$ready"
	LD_PRELOAD=$preload "$@" ./odd "$what" &
	odd=$!
	for i in $(seq 200); do
		[ ! -e "$ready" ] || break
		sleep 0.1
	done
}
odd short ''
run 125 'a segment that is cut off is not written to' record -p $odd
has err 'does not use libnpool' 'and that is said'
kill $odd
wait $odd 2>log
if [ "$(id -u)" -ne 0 ]; then
	skip 4 'chroot needs root'
else
	mkdir -p cell/dev cell/mem outside
	ln -s "$tmp/outside" cell/dev/shm
	odd "$tmp/cell" "$face"
	touch "outside/npool-trace.$odd"
	run 125 'a link that leads out of the root of a process' record -p $odd
	[ -e "outside/npool-trace.$odd" ]
	ok $? 'is not followed there'
	rm cell/dev/shm
	ln -s /mem cell/dev/shm
	run 0 'one that stays in it' record -p $odd --seconds 1 -o odd.npt
	is "$(ls cell/mem)" '' 'is, and nothing is left there'
	kill $odd
	wait $odd 2>log
fi
if [ "$(id -u)" -ne 0 ] || ! unshare --ipc true 2>log; then
	skip 1 'needs root, unshare(1) and the right to use it'
else
	mkdir -p dev/shm
	odd "$tmp" "$face" unshare --ipc
	run 0 'one in a container, with shared memory of its own' \
		record -p $odd --seconds 1 -o odd.npt
	kill $odd
	wait $odd 2>log
fi

# ---- Other forms ----
cat >pprof.py <<'END'
# Reads a profile.proto: what its sample types and strings are, and the sum of
# each value.
import sys

def number(data, at):
    n = shift = 0
    while True:
        n |= (data[at] & 127) << shift
        shift += 7
        at += 1
        if data[at - 1] < 128:
            return n, at

def fields(data):
    at = 0
    while at < len(data):
        tag, at = number(data, at)
        n, at = number(data, at)
        if tag & 7 == 2:
            yield tag >> 3, data[at:at + n]
            at += n
        else:
            yield tag >> 3, n

types, sums, strings, names = [], [0] * 4, [], []
for field, value in fields(open(sys.argv[1], "rb").read()):
    if field == 1:
        types.append(dict(fields(value))[1])
    elif field == 2:
        values = [v for f, v in fields(value) if f == 2]
        sums = [a + b for a, b in zip(sums, values)]
    elif field == 5:
        names.append(dict(fields(value))[2])
    elif field == 6:
        strings.append(value.decode())
print(*(f"{strings[t]}={s}" for t, s in zip(types, sums)))
print(*(strings[n] for n in names))
END
run 0 'export as csv' export --format=csv leaky.npt
is "$(grep -c ',alloc,' out) $(grep -c ',start,' out)" '1007 1' \
	'has a line for each event'
is "$(awk -F, '{ n[NF]++ } END { for (i in n) print i }' out)" 14 \
	'with all columns'
run 0 'export as netty' export --format=netty leaky.npt
cp out leaky.trace
run 0 'is a trace' replay --netty leaky.trace
is "$(grep -c '^a .* 2000 -> ' out)" 7 'that can be replayed'
run 0 'export as chrome' export --format=chrome leaky.npt
if command -v python3 >log; then
	python3 -c 'import json, sys; print(sorted(set(e["ph"] for e in
json.load(open("out"))["traceEvents"])))' >seen 2>&1
	is "$(cat seen)" "['C', 'M', 'i']" 'is JSON, with counters and events'
else
	skip 1 'needs the package python3'
fi
run 0 'export as folded' export --format=folded leaky.npt
is "$(awk '{ n += $NF } END { print n }' out)" 114000 'adds up to all bytes'
run 0 'export as pprof' export --format=pprof leaky.npt
if command -v python3 >log; then
	python3 pprof.py out >seen 2>&1
	has seen "alloc_objects=1007 alloc_space=114000 inuse_objects=6 inuse_space=12000" \
		'has the sums'
else
	skip 1 'needs the package python3'
fi
run 2 'another format is none' export --format=xml leaky.npt

# ---- Bad files ----
run 2 'a text is no recording' report leaky.c
has err '^npool-trace: leaky.c: at offset 0: this is no recording' \
	'and it says so'
size=$(wc -c <leaky.npt)
head -c $((size - 100)) leaky.npt >cut.npt
run 0 'a file that was cut off is read as far as it goes' report cut.npt
has err '^npool-trace: the recording was cut off' 'and it says so'
{
	head -c $((size / 2)) leaky.npt
	printf XYZ
	tail -c +$((size / 2 + 4)) leaky.npt
} >damaged.npt
run 2 'one that was damaged is refused, with the offset' report damaged.npt
finish
