# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the libnpool authors
#
# recording.sh: what tests in sh share that record programs by npool-trace. To be
# read in behind tap.sh; it skips the test where nothing can be recorded.
#
#	$trace, $face	npool-trace, and the malloc face

trace=$abs_top_builddir/tools/npool-trace
face=$abs_top_builddir/lib/.libs/libnpool-malloc.so
[ -f "$face" ] || skip_all 'there is no malloc face here'
[ "$sanitizers" = no ] || skip_all 'a sanitizer has a malloc of its own'

# run CODE NAME ARGS...: npool-trace ARGS exits with CODE.
run() {
	wanted=$1 name=$2
	shift 2
	timeout 120 "$trace" "$@" >out 2>err </dev/null
	code=$?
	{
		echo "code $code, wanted $wanted"
		cat err
	} >log
	[ "$code" -eq "$wanted" ]
	ok $? "$name" log
}
