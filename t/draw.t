#!/bin/sh
# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the libnpool authors
#
# npool-trace draw: what a picture shows is reckoned once more in Python from the
# events that export prints (t/draw/model.py); the page is legible in a headless
# Chromium, wide and narrow, light and dark (t/draw/legible.js); recordings that
# are empty, cut or damaged are drawn as far as they go.
. "${0%/*}/tap.sh"
. "${0%/*}/recording.sh"

here=$abs_top_srcdir/t/draw
need python3 python3
cd "$tmp" || exit 99
plan 38

# has FILE TEXT NAME: a line of FILE has TEXT.
has() {
	grep -qF -- "$2" "$1"
	ok $? "$3" "$1"
}

cat >busy.c <<'END'
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define NPIECES 3000

static unsigned long state = 1;

static unsigned long next(unsigned long below)
{
	state = state * 6364136223846793005 + 1442695040888963407;
	return (state >> 33) % below;
}

/* Grows, trades, and shrinks again. */
static void phase(void **p, unsigned long most)
{
	for (int i = 0; i < NPIECES; i++)
		p[i] = malloc(next(most));
	for (int i = 0; i < NPIECES; i++) {
		unsigned long k = next(NPIECES);

		if (next(3)) {
			free(p[k]);
			p[k] = malloc(1 + next(most / 4));
		} else {
			p[k] = realloc(p[k], 1 + next(most));
		}
	}
	for (int i = 0; i < NPIECES; i++)
		free(p[i]);
}

static void *thread(void *unused)
{
	static void *p[NPIECES];

	phase(p, 20000);
	return unused;
}

int main(void)
{
	static void *p[NPIECES];
	pthread_t t;
	void *huge = malloc(20 << 20);

	phase(p, 1000);
	phase(p, 60000);
	huge = realloc(huge, 40 << 20);
	pthread_create(&t, 0, thread, 0);
	pthread_join(t, 0);
	free(huge);
	return 0;
}
END
$CC -O1 -o busy busy.c -pthread 2>log || bail_out "$(cat log)"

# ---- Right ----
# is_right NAME: the picture of this recording.
is_right() {
	run 0 "$1 is drawn" draw "$1.npt" "$1.svg"
	"$trace" export --format=csv "$1.npt" >"$1.csv"
	python3 "$here/model.py" "$1.csv" "$1.svg" >log 2>&1
	ok $? "$1: bars, intervals and chunks are the model's" log
}

run 0 'a program is recorded' record -o busy.npt ./busy
is_right busy
(NPOOL_CONF=max_order:3,decay_ms:0 "$trace" record -o many.npt ./busy) 2>log
ok $? 'once more, in small chunks' log
is_right many
has many.svg 'a row for ' 'there are several to a row'
! grep -q '[Ww]hat is cached is not\|cut off\|were lost\|Only pieces' busy.svg
ok $? 'there is nothing to excuse' busy.svg
"$trace" draw - piped.svg <busy.npt >out 2>err
sed 's/standard input/busy.npt/' piped.svg | cmp -s - busy.svg
ok $? 'from a pipe the same'

# ---- What is not there ----
run 0 'some sizes are recorded' record --sizes 100-300 -o some.npt ./busy
run 0 'and drawn' draw some.npt some.svg
has some.svg 'Only pieces of 100 to 300 bytes were recorded.' \
	'which the picture says'
has some.svg 'What was not recorded counts as cached.' 'with what follows'

# A file of these frames: type and payload, in hexadecimal.
cat >frames.py <<'END'
import sys, struct, zlib
out = open(sys.argv[1], 'wb')
out.write(b'\x89npt\r\n\x1a\x01')
for frame in sys.argv[2:]:
    kind, data = frame[:4].encode(), bytes.fromhex(frame[4:])
    head = kind + struct.pack('<III', len(data), len(data), zlib.crc32(data))
    out.write(head + struct.pack('<I', zlib.crc32(head)) + data)
END
python3 frames.py none.npt ENDS000000
run 0 'a recording without events is drawn' draw none.npt none.html
has none.html 'There are no events in it.' 'and says so'
# START, no time later, of process 5.
python3 frames.py one.npt EVNT00010003060005 ENDS000100
run 0 'one event is drawn' draw one.npt one.svg
has one.svg '1 events, 0 lost' 'and counted'
has one.svg 'None was mapped.' 'there are no chunks'
has one.svg 'What is cached is not shown' 'nor does it say what is cached'
# An ALLOC of 100 bytes at an address, 1 ms later, all in no chunk.
python3 frames.py lone.npt EVNT0001000e06000501c0843d80808080020264
run 0 'a piece in no chunk is drawn, and a file without an end' \
	draw lone.npt lone.html
has lone.html 'The recording was cut off' 'that it was cut off is said'
size=$(wc -c <many.npt)
head -c $((size / 2)) many.npt >half.npt
run 0 'half a recording is drawn' draw half.npt half.svg
python3 -c 'import xml.etree.ElementTree as E; E.parse("half.svg")' 2>log
ok $? 'and well-formed' log
printf '<&>"\377\001' >name
name=$(cat name)
cp one.npt "$name"
run 0 'a file of any name is drawn' draw "./$name" odd.svg
python3 -c 'import xml.etree.ElementTree as E; E.parse("odd.svg")' 2>log
ok $? 'and well-formed too' log

# ---- What is wrong ----
{ head -c $((size - 10)) many.npt && head -c 10 /dev/zero; } >bad.npt
run 2 'a damaged one is' draw bad.npt bad.svg
[ -s bad.svg ]
ok $? 'drawn up to there'
run 2 'what is no recording' draw busy.c no.svg
[ ! -e no.svg ]
ok $? 'is not'
run 2 'a picture of another kind' draw busy.npt busy.png
has err 'draw makes files that end in .svg or .html, not busy.png' 'is refused'
run 2 'no picture' draw busy.npt
run 1 'a folder that is not there' draw busy.npt nowhere/a.svg
has err 'npool-trace: nowhere/a.svg: No such file or directory' 'is named'

# ---- Legible ----
# The window is at least 500 px wide, so the page stands in a frame of the width.
browse() {
	timeout 120 chromium --headless --no-sandbox --disable-gpu \
		--disable-dev-shm-usage --user-data-dir="$tmp/profile" \
		--allow-file-access-from-files --hide-scrollbars \
		--blink-settings=preferredColorScheme="$1" \
		--virtual-time-budget=5000 \
		--dump-dom "file://$tmp/frame.html" 2>browser.err
}

"$trace" draw busy.npt page.html 2>err
{
	sed '/^<\/body>/,$d' page.html
	echo '<script>'
	cat "$here/legible.js"
	echo '</script></body></html>'
} >tried.html
if command -v chromium >log; then
	for width in 1000 400; do
		cat >frame.html <<END
<!DOCTYPE html><iframe src="tried.html" width="$width" height="2000"
	style="border:0"></iframe><pre id="said"></pre><script>
onload = () => document.getElementById('said').textContent =
	frames[0].document.body.lastElementChild.textContent;
</script>
END
		for scheme in 1:light 0:dark; do
			browse "${scheme%:*}" >dom
			grep -q "verdict: good, .* $width px, ${scheme#*:}" dom
			ok $? "at $width px, ${scheme#*:}" dom
		done
	done
elif [ "$level" = quick ]; then
	skip 4 'needs the package chromium'
else
	bail_out 'chromium is missing: install chromium'
fi
finish
