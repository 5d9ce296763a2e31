#!/bin/sh
# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the libnpool authors
#
# The bench, for as long as it takes to see that it runs: every row of the
# harness, and what the driver makes of samples that are known. How fast
# anything is, is not asked.
. "${0%/*}/tap.sh"
need python3 python3

harness=$abs_top_builddir/bench/harness
bench=$abs_top_srcdir/bench/bench
sizes=$abs_top_srcdir/bench/websocket-proxy.tsv
library=$abs_top_builddir/lib/.libs/libnpool.so
[ -x "$harness" ] || bail_out "$harness: not built yet; run make bench/harness"
top_builddir=$abs_top_builddir
PYTHONDONTWRITEBYTECODE=1
export top_builddir PYTHONDONTWRITEBYTECODE

# run FILE COMMAND...: what it prints goes to FILE and FILE.err, its status to
# $status.
run() {
	to=$1
	shift
	"$@" >"$to" 2>"$to.err"
	status=$?
}

# says FILE TEXT NAME: claims that a line of FILE has TEXT.
says() {
	grep -qF -e "$2" "$1"
	ok $? "$3" "$1"
}

# ---- The harness ----

sample='^pairs [1-9][0-9]* cpu [0-9.]* wall [0-9.]* rss [1-9][0-9]*$'
takes_samples() {
	run "$tmp/sample" "$harness" -m 0.1 -s "$sizes" "$@"
	[ "$status" -eq 0 ] && grep -q "$sample" "$tmp/sample"
}

test_rows() {
	run "$tmp/rows" "$harness" --rows
	for kind in pair batch mix handoff larson threads first calloc realloc \
	    memory buf
	do
		cut -f2 "$tmp/rows" | grep -qx "$kind"
		ok $? "there are rows of the kind $kind" "$tmp/rows"
	done
	is "$(cut -f1 "$tmp/rows" | sort | uniq -d)" '' 'no name is there twice'
	cut -f1 "$tmp/rows" >"$tmp/names"
	while IFS= read -r row; do
		takes_samples "$row" || echo "$row"
	done <"$tmp/names" >"$tmp/bad"
	is "$(cat "$tmp/bad")" '' 'every row takes a sample'
	for row in 'pair 64' 'calloc 4K' 'realloc 16..64K' 'handoff 256' \
	    'buf 256' 'buf retain'; do
		takes_samples -0 "$row"
		ok $? "$row takes one without an allocator" "$tmp/sample.err"
		[ "$sanitizers" = no ] || continue
		takes_samples -n "$library" "$row"
		ok $? "$row takes one of npool.h" "$tmp/sample.err"
	done
	[ "$sanitizers" = no ] ||
		skip 6 'a sanitized library cannot be loaded later'
}

test_harness_usage() {
	run "$tmp/out" "$harness" 'pair 65'
	is "$status" 1 'a row that is not there is an error'
	says "$tmp/out.err" 'pair 65' 'and is named'
	run "$tmp/out" "$harness"
	is "$status" 2 'a row is needed'
	run "$tmp/out" "$harness" -m 0 'pair 64'
	is "$status" 2 'and some time'
	run "$tmp/out" "$harness" -m 1 'mix websocket'
	is "$status" 1 'mix websocket needs its sizes'
	run "$tmp/out" "$harness" --run sh -c 'exit 3'
	is "$status" 3 'a command keeps its status'
	grep -q '^took cpu [0-9.]* wall [0-9.]* rss [1-9]' "$tmp/out.err"
	ok $? 'and what it took is said' "$tmp/out.err"
}

# ---- Arithmetic ----

test_arithmetic() {
	run "$tmp/out" python3 - "${bench%/*}" <<'END'
import sys
sys.path.insert(0, sys.argv[1])
from figures import *
print(median([5, 1, 3]), median([4, 1, 3, 2]))
print(f"{spread([1, 2, 3, 4, 5]):.4f} {spread([7]):.4f}")
print(f"{geometric_mean([0.5, 2, 1, 8]):.4f}")
print(f"{student95(4):.2f} {student95(14):.2f}")
print("{:.4f} {:.4f}".format(*paired_ratio([2, 4, 8], [1, 2, 4])))
print("{:.4f} {:.2f}".format(*paired_ratio([1, 2, 1, 2, 1], [1, 1, 1, 1, 1])))
print([size_of({"name": n}) for n in
       ("pair 64", "batch 64K random", "mix 1K..64K", "pair 4M x2", "larson")])
print([short(x) for x in (4.06, 385.4, 27100, 1900000)])
END
	{
		read -r a && is "$a" '3 2.5' 'medians, of odd and even numbers'
		read -r a && is "$a" '0.6667 0.0000' \
			'the spread is the middle half over the median'
		read -r a && is "$a" '1.6818' 'the geometric mean'
		# 2.132 and 1.761 in tables; the formula is good to 1 %.
		read -r a && is "$a" '2.11 1.76' "Student's quantiles"
		read -r a && is "$a" '2.0000 2.0000' \
			'a ratio that never varies is its own bound'
		# exp(0.4 ln 2 + 2.115 * 0.3797 / sqrt(5))
		read -r a && is "$a" '1.3195 1.89' 'one that does has a higher'
		read -r a && is "$a" '[64, 65536, 1024, 4194304, 0]' \
			'the size of a row is in its name'
		read -r a && is "$a" "['4.1', '385', '27.1k', '1.9M']" \
			'three digits'
	} <"$tmp/out"
}

# ---- The driver, on samples that are known ----

known_samples() {
	python3 - <<'END'
import json
def row(name, kind, rss=1024, **cpu):
    cpu = {k.replace("_", "."): v for k, v in cpu.items()}
    return {"name": name, "kind": kind, "unit": "pair", "clock": "cpu",
            "cpu": cpu,
            "wall": {k: [9 * x for x in v] for k, v in cpu.items()},
            "rss": {k: [rss * (3 if k == "npool" else 1)] * 3 for k in cpu}}
print(json.dumps({"date": "2026-01-02 03:04", "rounds": 3, "ms": 1,
    "machine": {"cpu": "a <CPU> & more", "cpus": 2, "kernel": "6", "load": "0"},
    "contestants": [{"name": n, "version": "7", "path": None} for n in
        ("null", "glibc", "mimalloc", "npool", "npool.h", "netty")],
    "rows": [
        row("pair 64", "pair", null=[2, 2, 2], glibc=[20, 21, 90],
            mimalloc=[10, 9, 11], npool=[5, 1, 6], npool_h=[4, 4, 4],
            netty=[50, 50, 50]),
        row("batch 1M random", "batch", null=[2, 2, 2], glibc=[100, 99, 101],
            mimalloc=[400, 1, 900], npool=[400, 400, 400],
            npool_h=[100, 100, 100]),
        row("larson", "larson", 10240, glibc=[8, 8, 8], mimalloc=[4, 4, 4],
            npool=[2, 2, 2], npool_h=[2, 2, 2]),
        row("redis", "program", glibc=[1, 1.1, 0.9], mimalloc=[2, 2, 2],
            npool=[1, 1.1, 0.9]),
    ]}))
END
}

test_driver() {
	known_samples >"$tmp/known.json"
	run "$tmp/out" "$bench" --from "$tmp/known.json" -j "$tmp/again.json" \
		--svg "$tmp/chart.svg"
	is "$status" 0 'samples that were recorded can be read'
	tr -s ' ' <"$tmp/out" >"$tmp/table"
	says "$tmp/table" \
		'pair 64 2.0 21.0 10.0 5.0 4.0 50.0 mimalloc 0.50 0.38' \
		'a row has medians, best peer, ratio, and ratio without harness'
	says "$tmp/table" \
		'batch 1M random 2.0 100 400 400 100 - glibc 4.00 4.06' \
		'the best peer is each row'"'"'s own'
	says "$tmp/table" 'best peer: 1.000 (3 rows' \
		'the geometric mean of 0.5, 4 and 0.5 is 1'
	says "$tmp/table" 'npool.h: 0.585' 'and of 0.4, 1 and 0.5 is 0.585'
	says "$tmp/table" 'behind the best peer: 2 of 3 rows (67%)' \
		'rows ahead are counted'
	says "$tmp/table" 'from 512 KiB on: 0 of 1 rows' 'large ones too'
	says "$tmp/table" 'behind: batch 1M random 4.00 (glibc)' \
		'rows behind are named'
	says "$tmp/table" 'at least 10.0 times as fast (pair 64)' 'and Netty'
	says "$tmp/table" 'larson - 10.0 10.0 30.0 10.0 glibc 3.00 over' \
		'memory over its goal is marked'
	says "$tmp/table" 'redis 1.000 2.000 1.000 1.000 (1.000)' \
		'a program has its ratio to glibc, and the bound'
	run "$tmp/out" "$bench" --from "$tmp/known.json" --clock wall
	tr -s ' ' <"$tmp/out" >"$tmp/table"
	says "$tmp/table" 'pair 64 18.0 189 90.0 45.0' 'the other clock'
}

test_runs() {
	known_samples | sed 's/"npool": \[5, 1, 6\]/"npool": [9, 9, 9]/' \
		>"$tmp/known2.json"
	run "$tmp/out" "$bench" --from "$tmp/known.json" \
		--from "$tmp/known2.json"
	is "$status" 0 'two runs can be read'
	tr -s ' ' <"$tmp/out" >"$tmp/table"
	says "$tmp/table" 'pair 64 mimalloc 10.0 7.0 4.0 0.50 0.90' \
		'of each row there are medians of both, and the ratio of each'
	says "$tmp/table" 'larson glibc 10.0 30.0 10.0 3.00 3.00' \
		'and peaks of memory'
	says "$tmp/table" 'geometric mean 1.00 1.22' 'and the geometric means'
	says "$tmp/table" 'rows not behind, of 3 2 2' 'and how many are ahead'
	sed 's/batch 1M/batch 2M/' "$tmp/known2.json" >"$tmp/known3.json"
	run "$tmp/out" "$bench" --from "$tmp/known.json" \
		--from "$tmp/known3.json"
	is "$status" 1 'runs of different rows cannot be compared'
	run "$tmp/out" "$bench" --from "$tmp/known.json" \
		--from "$tmp/known2.json" --svg "$tmp/x.svg"
	is "$status" 2 'there is no chart of two'
}

test_files() {
	run "$tmp/out" python3 - "$tmp/again.json" "$tmp/chart.svg" <<'END'
import json, sys
from xml.dom import minidom
doc = json.load(open(sys.argv[1]))
print(doc["rows"][0]["cpu"]["npool"], doc["figures"][1]["best"],
      round(doc["summary"]["geometric_mean"], 6))
svg = minidom.parse(sys.argv[2])
print(len(svg.getElementsByTagName("circle")))
END
	{
		read -r a && is "$a" '[5, 1, 6] glibc 1.0' \
			'the JSON has samples, figures and summary'
		# 4 in the legend, 4 in each of three rows, 3 of the program
		read -r a && is "$a" 19 'the SVG is XML, with a dot for each'
	} <"$tmp/out"
	run "$tmp/out" "$bench" --from "$tmp/again.json"
	is "$status" 0 'what was written can be read again'
}

# ---- The driver, measuring ----

test_measuring() {
	if [ "$sanitizers" != no ]; then
		skip 5 'a sanitized library cannot be preloaded'
		return
	fi
	run "$tmp/out" "$bench" --rows '^(pair 64|mix websocket)$' --rounds 2 \
		--ms 0.5 --contestants null,glibc,npool,npool.h \
		-j "$tmp/real.json"
	is "$status" 0 'two rows are measured'
	diag "$tmp/out.err"
	is "$(grep -cE '^(pair 64|mix websocket) .* glibc ' "$tmp/out")" 2 \
		'and are in the table'
	is "$(python3 -c 'import json, sys
doc = json.load(open(sys.argv[1]))
print([[len(v) for v in row["cpu"].values()] for row in doc["rows"]])
' "$tmp/real.json")" '[[2, 2, 2, 2], [2, 2, 2, 2]]' \
		'each by all four, once a round'
	# Asked more than once, as timeout(1) and impatient people do.
	"$bench" --rows '^pair 64$' --rounds 100000 --ms 0.5 \
		--contestants glibc,npool >"$tmp/out" 2>"$tmp/out.err" &
	until grep -q '^bench: round 3 ' "$tmp/out.err"; do
		kill -0 $! 2>/dev/null || break
		sleep 0.1
	done
	while kill $! 2>/dev/null; do
		sleep 0.01
	done
	wait $!
	is $? 0 'who is stopped prints what there is'
	says "$tmp/out.err" 'stopped in round' 'and says so'
}

# ---- Echo servers ----

test_echo() {
	echo=$abs_top_srcdir/bench/echo.py
	run "$tmp/out" "$echo" --rows '^echo (64|16K) x10$' --rounds 2 --ms 40 \
		--contestants npool,glibc -j "$tmp/echo.json"
	is "$status" 0 'two echo servers are measured'
	diag "$tmp/out.err"
	is "$(grep -cE '^echo (64|16K) x10 +npool ' "$tmp/out")" 2 \
		'npool has two rows'
	is "$(grep -cE '^echo .* glibc .* \(at most [0-9.]*\)$' "$tmp/out")" 2 \
		'and glibc, with its ratio and bound'
	is "$(python3 -c 'import json, sys
print([[len(v) for v in row["taken"].values()]
       for row in json.load(open(sys.argv[1]))])
' "$tmp/echo.json")" '[[2, 2], [2, 2]]' 'each once a round'
	is "$(grep -cE '^echo (64|16K) x10 +(NOT )?as wanted: ' "$tmp/out")" 2 \
		'and a verdict on each row'
	run "$tmp/out" python3 - "${echo%/*}" <<'END'
import sys
sys.path.insert(0, sys.argv[1])
from echo import Server, verdict
import echo
def row(size, **costs):
    return {"size": size, "taken": {name: [{"cost": cost}] * 3
                                    for name, cost in costs.items()}}
print(verdict(row(64, npool=103, glibc=110, mimalloc=100, netty=206)))
print(verdict(row(64, npool=104, glibc=100, netty=300)))
print(verdict(row(4096, npool=100, glibc=100, netty=199)))
print(verdict(row(16384, npool=99, glibc=100, netty=100)))
print(verdict(row(16384, npool=100, glibc=100)))
print(verdict(row(64, npool=1)), verdict(row(64, glibc=1)))
echo.START_SECONDS = 0.2
try:
    Server(("mute", ["sleep", "60"], None, 0), [*echo.os.sched_getaffinity(0)])
except SystemExit:
    print("ended")
END
	cat >"$tmp/wanted" <<'END'
as wanted: 1.030 to mimalloc (at most 1.03), 0.500 to netty (at most 0.5)
NOT as wanted: 1.040 to glibc (at most 1.03), 0.347 to netty (at most 0.5)
NOT as wanted: 1.000 to glibc (at most 1.03), 0.503 to netty (at most 0.5)
as wanted: 0.990 to glibc (below 1)
NOT as wanted: 1.000 to glibc (below 1)
None None
ended
END
	cmp "$tmp/wanted" "$tmp/out" >"$tmp/log"
	ok $? 'verdicts, and a server that says nothing' "$tmp/out"
	run "$tmp/out" "$echo" --rows 'no such row'
	is "$status" 1 'no row, no table'
	run "$tmp/out" "$echo" --rounds 0
	is "$status" 2 'no rounds are bad usage'
	run "$tmp/out" "$abs_top_builddir/bench/echo-load"
	is "$status" 2 'the client says how it is used'
}

test_driver_usage() {
	run "$tmp/out" "$bench" --help
	is "$status" 0 '--help is no error'
	run "$tmp/out" "$bench" --rounds 0
	is "$status" 2 'no rounds are bad usage'
	run "$tmp/out" "$bench" --rows '('
	is "$status" 2 'so is what is no pattern'
	run "$tmp/out" "$bench" --contestants glibc,hoard --rows 'pair 64'
	is "$status" 1 'who is not there cannot be measured'
	says "$tmp/out.err" hoard 'and is named'
	run "$tmp/out" "$bench" --rows 'no such row'
	is "$status" 1 'no row, no table'
	run "$tmp/out" "$bench" --from "$tmp/none"
	is "$status" 1 'a file that is not there is an error'
}

plan 83
test_rows
test_harness_usage
test_arithmetic
test_driver
test_runs
test_files
test_measuring
test_driver_usage
test_echo
finish
