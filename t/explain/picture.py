#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the libnpool authors
#
# Is a picture of `npool-trace explain --svg` XML, and do the pages in it cover
# each chunk once?  The boxes of free pages, runs and subpages must add up to
# the pages of the chunks that it says it shows, lie inside of it, and must not
# overlap.
#
#	picture.py PAGE_SIZE MAX_ORDER FILE

import re
import sys
import xml.etree.ElementTree as ET

ORDER = int(sys.argv[2])
PAGES = 1 << ORDER
COLUMNS = PAGES if ORDER <= 6 else 128 if ORDER > 11 else 64
CELL = 1088 / COLUMNS
HIGH = 52 if ORDER <= 6 else CELL
GAP = .5 if CELL < 12 else 1

root = ET.parse(sys.argv[3]).getroot()
text = ''.join(root.itertext())
wanted = min(24, int(re.search(r'at its end: (\d+) chunk', text).group(1)))
pages, seen, wrong = 0, set(), 0
for rect in root.iter('{http://www.w3.org/2000/svg}rect'):
    if rect.get('class') not in ('f', 'r0', 'r1', 'b') or \
            rect.get('y') == '70':     # the legend's
        continue
    x, y, w, h = (float(rect.get(k)) for k in ('x', 'y', 'width', 'height'))
    across = round((w + 2 * GAP) / CELL)
    down = round((h + 2 * GAP) / HIGH)
    pages += across * down
    for i in range(across):
        for j in range(down):
            at = round((x - GAP - 64) / CELL) + i, round(y - GAP + j * HIGH)
            wrong += at in seen or not 0 <= at[0] < COLUMNS
            seen.add(at)
    wrong += y + h > float(root.get('height'))
print(f'{pages} pages in the picture, wanted {wanted * PAGES}; {wrong} overlap')
sys.exit(wrong or pages != wanted * PAGES)
