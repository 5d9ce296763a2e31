#!/bin/sh
# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the libnpool authors
#
# npool_tutorial(7): each step is a program that sends back what it gets, to the
# byte; the later ones end in order and with all their buffers, also with little
# memory and on two nodes. And what the page shows is what they have.
. "${0%/*}/tap.sh"

examples=$abs_top_builddir/examples
page=$abs_top_srcdir/man/npool_tutorial.7
unset NPOOL_CONF
cd "$tmp" || exit 99
pid=
trap 'kill -KILL $pid 2>/dev/null; rm -rf "$tmp"' EXIT
awk 'BEGIN { for (i = 0; i < 100000; i++) print i }' >numbers

# start N: the program of step N; its port is in $port.
start() {
	: >out
	"$examples/tutorial-$1" >out 2>err &
	pid=$! tenths=0 port=
	while [ -z "$port" ] && [ "$tenths" -lt 300 ] && kill -0 "$pid"; do
		sleep 0.1
		port=$(sed -n '1s/^port \([0-9]*\).*/\1/p' out)
		tenths=$((tenths + 1))
	done 2>/dev/null
	[ -n "$port" ] || bail_out "no port of step $1: $(cat out err)"
}

# end: SIGTERM; the exit status is in $code.
end() {
	kill -s TERM "$pid"
	wait "$pid" 2>/dev/null
	code=$?
	pid=
}

# echoes CLAIM [OPTION]: late clients, by -l, get the server's sends stuck.
echoes() {
	timeout 120 "$examples/echo-client" $2 "$port" 30 1 numbers >log 2>&1
	ok $? "$1: every byte comes back" log
}

# in_order CLAIM: the server ends so, and nothing is left.
in_order() {
	end
	cat out err >log
	[ "$code" -eq 0 ] && grep -qx 'every buffer came back' out &&
		[ ! -s err ]
	ok $? "$1: it ends, and every buffer came back" log
}

# shown: the lines of the page's programs, each behind its file.
shown() {
	awk '/^\.\\" from / { file = $3; next }
	/^\.Bd/ { on = file != ""; next }
	/^\.Ed/ { on = 0; file = ""; next }
	on { sub(/^[ \t]+/, ""); print file "\t" $0 }' "$page"
}

# strange: those that the program does not have, but for their indentation.
strange() {
	shown | while IFS='	' read -r file line; do
		[ -z "$line" ] || sed 's/^[	 ]*//' \
			"$abs_top_srcdir/$file" | grep -qxF -e "$line" ||
			echo "$file: $line"
	done
}

plan 17
for step in 1 2; do
	start $step
	echoes "step $step"
	echoes "step $step, late clients" -l
	end
	is "$code" 143 "step $step: it has no end of its own"
done

for step in 3 4; do
	export NPOOL_CONF=nodes:2,leaks:paranoid
	start $step
	echoes "step $step, on two nodes, each buffer watched"
	echoes "step $step, late clients" -l
	in_order "step $step"
	unset NPOOL_CONF
done
threads=$(grep -c '^cpu [0-9]*, node [0-9]*: [0-9]* messages$' out)
is "$threads" "$(nproc)" 'step 4: a thread for each CPU'
is "$(sed -n 's/^cpu \([0-9]*\),.*/\1/p' out | sort -u | wc -l)" "$threads" \
	'and each on its own'

[ "$(shown | wc -l)" -ge 25 ]
ok $? 'the page shows parts of the programs'
is "$(strange)" '' 'what the page shows is in the programs'
is "$(grep -o 'tutorial-[1-4]\.c' "$page" | sort -u | tr '\n' ' ')" \
	'tutorial-1.c tutorial-2.c tutorial-3.c tutorial-4.c ' \
	'the page names each of them'
finish
