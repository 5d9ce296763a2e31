#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the libnpool authors
#
# Does a picture of `npool-trace draw` show what the recording says?  All is
# reckoned once more, from the events that `npool-trace export --format=csv`
# prints: bars, the numbers of each interval, and the usage of each chunk in it.
#
#	model.py EVENTS.csv PICTURE.svg

import csv
import re
import sys
import xml.etree.ElementTree as ET

COLUMNS, ROWS, LEVELS = 400, 64, 10
SVG = '{http://www.w3.org/2000/svg}'
wrong = []


def same(seen, wanted, what):
    if seen != wanted:
        wrong.append(f'{what}: {seen}, wanted {wanted}')


def in_bytes(n):
    if n < 1024:
        return f'{n} B'
    for unit in 'KiB', 'MiB', 'GiB', 'TiB':
        n /= 1024
        if n < 1024 or unit == 'TiB':
            return f'{n:.1f} {unit}'


def bucket(n):
    return 0 if n == 0 else 1 if n == 1 else (n - 1).bit_length()


# ---- The recording ----
class Pool:
    def __init__(self):
        self.live = {}          # address: size, rounded, chunk, born
        self.asked = self.used = self.reserved = self.taken = 0
        self.chunks, self.regions = {}, {}
        self.lanes = []         # base, or None
        self.size, self.of = {}, {}
        self.moving = {}
        self.sizes, self.bytes, self.lifetimes = {}, {}, {}

    def drop(self, addr):
        size, rounded, chunk, born = self.live.pop(addr)
        self.asked -= size
        self.used -= rounded
        if chunk in self.chunks:
            self.chunks[chunk] -= rounded
        return born

    def add(self, addr, size, rounded, chunk, born):
        if addr in self.live:
            self.drop(addr)
        self.live[addr] = size, rounded, chunk, born
        self.asked += size
        self.used += rounded
        if chunk in self.chunks:
            self.chunks[chunk] += rounded

    def map(self, base, size):
        self.chunks[base], self.size[base] = 0, size
        lane = self.lanes.index(None) if None in self.lanes \
            else len(self.lanes)
        self.lanes[lane:lane + 1] = [base]

    def unmap(self, base):
        del self.chunks[base]
        self.lanes[self.lanes.index(base)] = None

    def event(self, e):
        kind, addr = e['event'], int(e['address'] or '0', 16)
        size, time = int(e['size'] or 0), int(e['time_ns'])
        if kind == 'alloc':
            self.moving.pop(e['tid'], None)
            self.add(addr, size, int(e['rounded']), int(e['chunk'], 16), time)
            b = bucket(size)
            self.sizes[b] = self.sizes.get(b, 0) + 1
            self.bytes[b] = self.bytes.get(b, 0) + size
        elif kind == 'free' and addr in self.live:
            b = bucket(time - self.drop(addr))
            self.lifetimes[b] = self.lifetimes.get(b, 0) + 1
        elif kind == 'move':
            self.moving[e['tid']] = addr
        elif kind == 'resize':
            old = self.moving.pop(e['tid'])
            born = self.drop(old)
            self.add(addr, size, int(e['rounded']), int(e['chunk'], 16), born)
        elif kind in ('map', 'huge-map'):
            self.reserved += size << 12
            self.regions[addr] = size << 12
            if kind == 'map':
                self.map(addr, size << 12)
        elif kind in ('unmap', 'huge-unmap'):
            self.reserved -= self.regions.pop(addr)
            if kind == 'unmap':
                self.unmap(addr)
        elif kind == 'taken':
            self.taken = size

    def moment(self):
        return (self.used, self.asked, max(self.taken - self.used, 0),
                self.reserved, len(self.live))

    def heat(self):
        return [(self.chunks[b], self.size[b]) if b else (0, 0)
                for b in self.lanes]


rows = list(csv.DictReader(open(sys.argv[1])))
start = int(rows[0]['time_ns'])
span = int(rows[-1]['time_ns']) - start
width = 1000
while span // width + 1 > COLUMNS:
    width *= 2
pool, columns, heat, peak = Pool(), [], [], 0
most = pool.moment()
for e in rows:
    while (int(e['time_ns']) - start) // width > len(columns):
        columns.append(most)
        heat.append(pool.heat())
        most = pool.moment()
    pool.event(e)
    peak = max(peak, pool.asked)
    if pool.used >= most[0]:
        most = pool.moment()
columns.append(most)
heat.append(pool.heat())

# ---- The picture ----
root = ET.parse(sys.argv[2]).getroot()
texts = [''.join(t.itertext()) for t in root.iter(SVG + 'text')]
titles = [t.text for t in root.iter(SVG + 'title')]
if not any(f'peak: {in_bytes(peak)} asked for' in t for t in texts):
    wrong.append(f'no peak of {in_bytes(peak)}')

seen = [t for t in titles if ' asked for in ' in t]
same(len(seen), len(columns), 'intervals')
for i, (title, m) in enumerate(zip(seen, columns)):
    used, asked, cached, reserved, pieces = m
    same(title.split(': ')[1], f'{in_bytes(asked)} asked for in {pieces} '
         f'pieces, {in_bytes(used)} used, {in_bytes(cached)} cached, '
         f'{in_bytes(reserved)} reserved', f'interval {i}')

bars = [re.match(r'up to \S+: (\d+)( bytes)?, ', t) for t in titles]
bars = [b for b in bars if b]
counts = [int(b[1]) for b in bars if not b[2]]
wanted = [h.get(i, 0) for h in (pool.sizes, pool.lifetimes)
          for i in range(min(h, default=0), max(h, default=-1) + 1)]
same(counts, wanted, 'bars of pieces')
same([int(b[1]) for b in bars if b[2]],
     [pool.bytes.get(i, 0)
      for i in range(min(pool.sizes), max(pool.sizes) + 1)], 'bars of bytes')

# Chunks: cells of the paths, by their left and upper edges.
lanes = max(len(h) for h in heat)
group = 1
while (lanes - 1) // group >= ROWS:
    group *= 2
nrows = (lanes - 1) // group + 1
height = min(320 / nrows, 16)
paths = [p for p in root.iter(SVG + 'path')
         if re.fullmatch(r'u\d+', p.get('class'))]
cells = [(int(p.get('class')[1:]), *map(float, m)) for p in paths
         for m in re.findall(r'M([\d.]+) ([\d.]+)H([\d.]+)v', p.get('d'))]
top = min(c[2] for c in cells)
plot = 1000 - 52 - 24
edge = [52 + plot * min(i * width, span) / span
        for i in range(len(columns) + 1)]
shown = {}
for level, x1, y, x2 in cells:
    for i in range(len(columns)):
        if x1 - .06 <= edge[i] and edge[i + 1] <= x2 + .06:
            where = round((y - top) / height), i
            if edge[i + 1] - edge[i] > .2 and where in shown:
                wrong.append(f'row, interval {where} is drawn twice')
            shown[where] = level
for i, h in enumerate(heat):
    if edge[i + 1] - edge[i] < .2:
        continue        # nothing to be seen of it
    for row in range(nrows):
        used = sum(c[0] for c in h[row * group:(row + 1) * group])
        size = sum(c[1] for c in h[row * group:(row + 1) * group])
        level = -(-used * LEVELS // size) if size else -1
        same(shown.get((row, i), -1), level, f'row {row}, interval {i}')

print(f'{len(columns)} intervals, {nrows} rows for {group}, '
      f'{sum(pool.sizes.values())} pieces, {len(wrong)} wrong')
print('\n'.join(wrong[:20]))
sys.exit(bool(wrong))
