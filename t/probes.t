#!/bin/sh
# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the libnpool authors
#
# The probes that npool_probes(7) names are those that are in the library, with
# as many arguments; those of calls have the counter that makes them come by; the
# script in examples/ uses no other. A tracer that listens, gdb, sees what a
# program does, each call too.
. "${0%/*}/tap.sh"

lib=$abs_top_builddir/lib/.libs/libnpool.so
[ "${NPOOL_TEST_SDT:-yes}" = no ] && skip_all 'configured --without-sdt'
[ -f "$lib" ] || skip_all 'there is no shared library here'
need readelf binutils
cd "$tmp" || exit 99
plan 9

# name, number of arguments, whether it is counted: a line for each probe.
LC_ALL=C readelf -n "$lib" 2>err | awk '
	/Provider:/ { ours = $2 == "npool" }
	ours && /Name:/ { name = $2 }
	ours && /Semaphore:/ { counted = $NF !~ /^0x0+$/ }
	ours && /Arguments:/ { print name, NF - 1, counted }' |
	sort -u >seen
[ -s seen ]
ok $? 'readelf -n lists probes' err

cut -d ' ' -f 1,2 seen | sort -u >names
awk '/^\.It Em probe/ { on = 1; next } /^\.El/ { on = 0 }
	on { print $2, NF - 3 }' "$abs_top_srcdir/man/npool_probes.7" |
	sort -u >page
diff page names >log
ok $? 'they are those of npool_probes(7), with as many arguments' log

awk '$3 { print $1 }' seen | sort -u | tr '\n' ' ' >counted
is "$(cat counted)" 'alloc free move refuse resize ' \
	'calls are counted, and nothing else'

grep -o 'libnpool[^:]*:npool:[a-z_]*' "$abs_top_srcdir/examples/npool-probes.bt" |
	sed 's/.*://' | sort -u >used
cut -d ' ' -f 1 names | sort -u | comm -13 - used >log
[ -s used ] && [ ! -s log ]
ok $? 'the script in examples/ uses no other' log

# ---- A tracer ----
cat >calls.c <<'END'
#include <npool.h>

int main(void)
{
	void *p;

	for (int i = 0; i < 1000; i++)
		npool_free(npool_malloc(100));
	p = npool_malloc(20 << 20);
	p = npool_realloc(p, 30 << 20);
	npool_free(p);
	return 0;
}
END
cat >calls.gdb <<'END'
set confirm off
tbreak main
run
break -probe-stap npool:alloc
break -probe-stap npool:alloc
condition 3 $_probe_arg2 == 20971520
break -probe-stap npool:free
break -probe-stap npool:resize
break -probe-stap npool:huge_map
condition 6 $_probe_arg3 == 20971520
ignore 2 100000
ignore 3 100000
ignore 4 100000
ignore 5 100000
ignore 6 100000
continue
info breakpoints
END
# hits N: how often the tracer came by its breakpoint N.
hits() {
	awk -v n="$1" '$1 ~ /^[0-9]+$/ { at = $1 }
		at == n && /already hit/ { print $4 }' said
}
if [ "$sanitizers" != no ]; then
	skip 4 'a sanitizer wants to be the first'
elif ! command -v gdb >log; then
	[ "$level" = quick ] || bail_out 'gdb is missing: install gdb'
	skip 4 'needs the package gdb'
else
	$CC -g -O1 -I"$abs_top_srcdir/include" -o calls calls.c \
		-L"${lib%/*}" -lnpool -Wl,-rpath,"${lib%/*}" 2>log ||
		bail_out "$(cat log)"
	timeout 120 gdb -q -nx -batch -x calls.gdb ./calls >said 2>&1
	if grep -qi 'ptrace: \|not permitted' said; then
		skip 4 'nobody may be traced here'
	else
		# Not the call that sees that somebody listens.
		[ "$(hits 2)" -ge 1000 ] && [ "$(hits 2)" -le 1001 ]
		ok $? 'each allocation comes by while somebody listens' said
		is "$(hits 3) $(hits 5) $(hits 6)" '1 1 1' \
			'with its size; so does a realloc, and a huge block'
		[ "$(hits 4)" -ge 1000 ] && [ "$(hits 4)" -le 1001 ]
		ok $? 'and each free' said
		grep -q 'exited normally' said
		ok $? 'the program takes no harm' said
	fi
fi

if command -v bpftrace >log; then
	sed "s,/usr/local/lib/libnpool.so.0,$lib," \
		"$abs_top_srcdir/examples/npool-probes.bt" >probes.bt
	# Compiled for the probes that it finds; nothing is attached.
	bpftrace -d probes.bt >log 2>&1
	code=$?
	if grep -q 'root user' log; then
		skip 1 'bpftrace is for root'
	else
		[ "$code" -eq 0 ]
		ok $? 'bpftrace compiles it' log
	fi
else
	[ "$level" = quick ] || bail_out 'bpftrace is missing: install bpftrace'
	skip 1 'needs the package bpftrace'
fi
finish
