#!/bin/sh
# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the libnpool authors
#
# npool-trace explain: what it tells of each step of the golden traces is held
# against a model in Python (t/explain/model.py) and against what replay
# prints; its picture is well-formed and shows what lives; its page is stepped
# through, to and fro, in a headless Chromium (t/explain/steps.js).
. "${0%/*}/tap.sh"

trace=$abs_top_builddir/tools/npool-trace
here=$abs_top_srcdir/t
golden=$(ls "$here"/golden/*.trace) || bail_out 'there are no golden traces'
pages='first subpages zero grammar resize random-4096-3'
[ "$level" = all ] && pages=$(basename -as .trace $golden)
cd "$tmp" || exit 99
need python3 python3

run() {
	timeout 120 "$trace" "$@" >out 2>err </dev/null
	code=$?
}

# geometry TRACE: its options in $args, as page size and order in $page $order.
geometry() {
	args=$(sed -n 's/^# args://p' "$1")
	page=8192 order=11
	set -- $args
	while [ $# -gt 1 ]; do
		case $1 in
		--page-size) page=$2 ;;
		--max-order) order=$2 ;;
		esac
		shift 2
	done
}

plan $((5 * $(echo $golden | wc -w) + $(echo $pages | wc -w) + 34))

# ---- Each step of the golden traces ----
for file in $golden; do
	name=$(basename "$file" .trace)
	geometry "$file"
	run explain $args --svg picture.svg --html page.html "$file"
	[ "$code" -eq 0 ] && [ ! -s err ]
	ok $? "$name is explained" err
	grep -a '^[acflst] ' out | diff - "$here/golden/$name.out" >log
	ok $? "$name: each step ends with what replay prints" log
	python3 "$here/explain/model.py" "$page" "$order" <out >log 2>>log
	ok $? "$name: every number is the model's" log
	python3 "$here/explain/picture.py" "$page" "$order" picture.svg \
		>log 2>&1
	ok $? "$name: the picture is well-formed and covers each chunk" log
	run explain $args --tree "$file"
	grep -av '^  tree\|^  before\|^  after\|^           [ 0-9[]*\|^ *[0-9]*: ' \
		out | grep -a '^[acflst] ' | cmp -s - "$here/golden/$name.out" &&
		grep -aq '^  \(tree\|before\) ' out
	ok $? "$name: with its trees" err
done

# ---- The page, in a browser ----
# As root, Chromium wants no sandbox; in containers /dev/shm is small.
browse() {
	timeout 120 chromium --headless --no-sandbox --disable-gpu \
		--disable-dev-shm-usage --user-data-dir="$tmp/profile" \
		--dump-dom "file://$tmp/$1" 2>browser.err
}

if command -v chromium >log; then
	for name in $pages; do
		geometry "$here/golden/$name.trace"
		run explain -q $args --html page.html "$here/golden/$name.trace"
		{
			sed '/^<\/body>/,$d' page.html
			echo '<script>'
			cat "$here/explain/steps.js"
			echo '</script></body></html>'
		} >steps.html
		browse steps.html >dom
		grep -q 'verdict: good, [0-9]* claims' dom
		ok $? "$name: its page steps to and fro" dom
	done
elif [ "$level" = quick ]; then
	skip $(echo $pages | wc -w) 'needs the package chromium'
else
	bail_out 'chromium is missing: install chromium'
fi

# ---- What it says, in small ----
# tells TEXT NAME: in the explanation of in.trace there is such a line.
tells() {
	grep -qF -- "$1" out
	ok $? "$2" out
}

cat >in.trace <<'END'
a A 8192
a B 16384
a C 300
c C 290
c C 10
a D 0 0
f A
a H 65537
f H
END
run explain --tree --max-order 3 in.trace
tells '  depth    3 - (log2 16384 - 13) = 3 - (14 - 13) = 2' 'the depth'
tells '               5     2  right: left 4 says 3, > 2' 'a turn to the right'
tells '  stop     could be at node 1, which says what it said' 'where it could stop'
tells '  stays    290 of the 304 bytes of its piece are used: more than half' \
	'a buffer that stays where it is'
tells '  empty    it has no memory' 'the empty buffer'
tells '65537 is more than a chunk: huge' 'a huge buffer'
tells '               1     1     1  the smaller of 4 and 1, as before' \
	'a parent that stays'
tells '         4  [4]  3   3   3   3   3   3' 'the tree, with the node'
run explain --tree in.trace
tells '  tree     1: 0 -> [1]  (pages 0 to 2047)' 'the path from the root'
tells '                                 2049: 11  (page 1)' 'down to the brother'
run explain -q in.trace
[ "$code" -eq 0 ] && [ ! -s out ] && [ ! -s err ]
ok $? '-q tells nothing'
"$trace" explain - <in.trace >out 2>err
[ $? -eq 0 ] && grep -q '^line 9: f H$' out
ok $? 'standard input' err
run explain /dev/null
[ "$code" -eq 0 ] && [ ! -s out ]
ok $? 'an empty trace' err
run explain --svg e.svg --html e.html /dev/null
[ "$code" -eq 0 ] && python3 -c 'import sys, xml.dom.minidom as m
m.parse("e.svg")' && grep -q '"steps":\[' e.html
ok $? 'an empty trace as a picture and a page' err

# Names that are none in XML or HTML, and an ID that is longer than a page.
{
	printf 'a </script><b>&"\\x 9000\na \377\001\302\205 9000\n'
	printf 'a %0100000d 9000\n' 1
} >in.trace
run explain --max-order 4 --svg odd.svg --html odd.html in.trace
[ "$code" -eq 0 ] && python3 "$here/explain/picture.py" 8192 4 odd.svg >log &&
	python3 -c 'import sys
t = open("odd.html", encoding="utf-8").read()
sys.exit(t.count("</script>") != 2 or "\\u003c/script\\u003e" not in t)'
ok $? 'odd names harm neither picture nor page' err
! grep -aEq '(src|href)=|https?://|@import|url\((.?)(http|//)' odd.html
ok $? 'the page refers to nothing outside of it'

# ---- What is wrong ----
# says CODE TEXT NAME: it ended so and said that.
says() {
	{
		echo "code   $code, wanted $1"
		echo "said   $(cat err)"
		echo "wanted $2"
	} >log
	[ "$code" -eq "$1" ] && [ "$(cat err)" = "$2" ]
	ok $? "$3" log
}

printf 'a A 1\n# two\nf B\n' >in.trace
run explain in.trace
says 2 'npool-trace: in.trace:3: ID is not live: B' 'an ID that is not live'
grep -q '^a A 1 -> chunk=0' out
ok $? 'what went before was told' out
rm -f bad.svg
run explain -q --svg bad.svg --html bad.html in.trace
says 2 'npool-trace: in.trace:3: ID is not live: B' 'the same, with pictures'
[ ! -e bad.svg ] && [ "$(tail -n 1 bad.html)" = '</html>' ]
ok $? 'no picture, but the page up to there'
printf 'a A\n' >in.trace
run explain in.trace
says 2 'npool-trace: in.trace:1: wanted: a ID SIZE [MAX]' 'a line cut short'
printf 'a A 1\nx\n' >in.trace
run explain in.trace
says 2 'npool-trace: in.trace:2: no such operation; there are a, c, f, t, l and s: x' \
	'no such operation'
run explain nowhere
says 1 'npool-trace: nowhere: No such file or directory' 'a missing trace'
printf 'a A 1\n' >in.trace
for kind in svg html; do
	run explain "--$kind" nowhere/x in.trace
	says 1 'npool-trace: nowhere/x: No such file or directory' \
		"--$kind into no folder"
done
if [ -e /dev/full ]; then
	for kind in svg html; do
		run explain -q "--$kind" /dev/full in.trace
		says 1 'npool-trace: /dev/full: No space left on device' \
			"--$kind on a full disk"
	done
	"$trace" explain in.trace >/dev/full 2>err
	code=$?
	says 1 'npool-trace: in.trace:1: cannot write: No space left on device' \
		'a full disk for the text'
else
	skip 3 'needs /dev/full'
fi
run explain
says 2 'npool-trace: explain wants one TRACE; try npool-trace --help' 'no trace'
run explain --max-order 15 in.trace
says 2 'npool-trace: --max-order wants a number from 0 to 14, not 15; try npool-trace --help' \
	'--max-order 15'
run explain --page-size 100 in.trace
says 2 'npool-trace: --page-size wants a power of two from 4096 to 1048576, not 100; try npool-trace --help' \
	'--page-size 100'
run explain --nonsense in.trace
[ "$code" -eq 2 ] && grep -q 'explain takes no such option' err
ok $? 'an unknown option' err
for args in '--page-size 4096 --max-order 0' '--page-size 65536 --max-order 14'; do
	run explain --tree $args --svg x.svg --html x.html in.trace
	[ "$code" -eq 0 ] && grep -q '^a A 1 -> ' out
	ok $? "explain runs with $args" err
done
finish
