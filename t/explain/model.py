#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the libnpool authors
#
# Reads what `npool-trace explain` prints and holds every number of it against a
# tree, bitmaps and lists of its own, which follow the text alone: npool_tree(7)
# is the rule, in another language.  Prints a line for each number that differs;
# exits with 1 if there is one.
#
#	model.py PAGE_SIZE MAX_ORDER < TEXT

import re
import sys

PAGE, ORDER = int(sys.argv[1]), int(sys.argv[2])
PAGES, NONE = 1 << ORDER, ORDER + 1
SHIFT = PAGE.bit_length() - 1
CHUNK = PAGE << ORDER
BOUNDS = {'qInit': (-1, 25), 'q000': (1, 50), 'q025': (25, 75),
          'q050': (50, 100), 'q075': (75, 100), 'q100': (100, 999)}
UP = dict(zip(['qInit', 'q000', 'q025', 'q050', 'q075'],
              ['q000', 'q025', 'q050', 'q075', 'q100']))
DOWN = {'q000': None, 'q025': 'q000', 'q050': 'q025', 'q075': 'q050',
        'q100': 'q075'}
ASKED = ['q050', 'q025', 'q000', 'qInit', 'q075']


def depth(node):
    return node.bit_length() - 1


class Chunk:
    def __init__(self):
        self.tree = [None] + [depth(i) for i in range(1, 2 * PAGES)]
        self.pages = {}         # first page: (size, set of slots, last)
        self.free = CHUNK
        self.list = None

    def usage(self):
        percent = self.free * 100 // CHUNK
        return 100 if not self.free else 100 - percent if percent else 99

    def write(self, node, value):
        """Writes a node; returns what its parents were and are."""
        rows, merge = [], value <= ORDER
        self.tree[node] = value
        while node > 1:
            left, right = self.tree[node & ~1], self.tree[node | 1]
            now = min(left, right)
            if merge and left == right == depth(node):
                now = depth(node) - 1
            rows.append((node // 2, self.tree[node // 2], now))
            self.tree[node // 2] = now
            node //= 2
        return rows


class Model:
    def __init__(self):
        self.chunks = {}
        self.lists = {name: [] for name in BOUNDS}
        self.pools = {}         # size: [(chunk, first page)]
        self.live = {}          # ID: (chunk, first page, slot or None, size)
        self.seen = 0
        self.wrong = 0

    def same(self, what, seen, wanted):
        if seen != wanted:
            self.wrong += 1
            print(f'{self.header}: {what}: {seen!r}, wanted {wanted!r}')

    # ---- the lists ----

    def move(self, number, to):
        c = self.chunks[number]
        if c.list:
            self.lists[c.list].remove(number)
        c.list = to
        if to:
            self.lists[to].insert(0, number)

    def fuller(self, number):
        c = self.chunks[number]
        to = c.list or 'qInit'
        while c.usage() >= BOUNDS[to][1]:
            to = UP[to]
        if to != c.list:
            self.move(number, to)

    def emptier(self, number):
        c = self.chunks[number]
        to = c.list
        while to and c.usage() < BOUNDS[to][0]:
            to = DOWN[to]
        if to != c.list:
            self.move(number, to)

    def find(self, size, wanted):
        """Which chunk serves, and what explain has to say of the lists."""
        said, found = [], None
        for name in ASKED:
            most = 0 if name == 'q100' else \
                CHUNK * (100 - max(1, BOUNDS[name][0])) // 100
            here = self.lists[name]
            if found is not None:
                said.append(f'{name} is not asked')
            elif not here:
                said.append(f'{name} is empty')
            elif size > most:
                said.append(f'{name} serves {most} bytes at most')
            else:
                no = []
                for number in here:
                    root = self.chunks[number].tree[1]
                    if root <= wanted:
                        found = number
                        break
                    no.append(f'chunk {number} says {root}')
                if len(no) > 6:
                    no[6:] = [f'{len(no) - 6} more no less']
                text = name + (': ' + ', '.join(no) if no else '')
                if found is not None:
                    text += ', the next one serves' if no else ' serves'
                said.append(text)
        return found, said

    # ---- runs ----

    def take_run(self, size, told):
        order = (max(size, PAGE) // PAGE).bit_length() - 1
        wanted = ORDER - order
        log = SHIFT + order
        self.same('depth', told.one('depth'),
                  f'{ORDER} - (log2 {PAGE << order} - {SHIFT}) = '
                  f'{ORDER} - ({log} - {SHIFT}) = {wanted}')
        number, said = self.find(size, wanted)
        self.same('lists', ' '.join(told['lists']), '; '.join(said))
        if number is None:
            number = self.seen
            self.seen += 1
            self.chunks[number] = Chunk()
            self.same('new', told['chunk'][0], f'{number} is new: all of its '
                      f'{PAGES} pages are free')
        c = self.chunks[number]
        node, rows = 1, [(1, c.tree[1])]
        while depth(node) < wanted:
            node *= 2
            if c.tree[node] > wanted:
                node += 1
            rows.append((node, c.tree[node]))
        self.same('down', told.rows('down', 2), rows)
        was = c.tree[node]
        ups = c.write(node, NONE)
        self.same('taken', told.one('taken'),
                  f'node {node}: {was} -> {NONE}, nothing is free')
        self.parents(ups, told)
        first = (node << order) - PAGES
        self.same('page', told.one('page'),
                  f'({node} - 2^{wanted}) * {1 << order} = {first}')
        before = c.usage(), c.free, c.list
        c.free -= PAGE << order
        self.fuller(number)
        self.chunk_line(number, before, told)
        return number, first

    def give_run(self, number, first, size, told):
        c = self.chunks[number]
        order = (max(size, PAGE) // PAGE).bit_length() - 1
        node = (PAGES + first) >> order
        was = c.tree[node]
        ups = c.write(node, depth(node))
        self.same('given', told.one('given'), f'node {node}: {was} -> '
                  f'{depth(node)}, its own depth: free')
        self.parents(ups, told)
        before = c.usage(), c.free, c.list
        c.free += PAGE << order
        self.emptier(number)
        self.chunk_line(number, before, told)
        if not c.list:
            del self.chunks[number]

    def parents(self, ups, told):
        self.same('up', told.rows('up', 3), ups)
        stop = next((node for node, was, now in ups if was == now), None)
        self.same('stop', told.one('stop').split(',')[0].split(':')[0],
                  f'could be at node {stop}' if stop else
                  'nowhere' if ups else 'the root has no parent')

    def chunk_line(self, number, before, told):
        c = self.chunks[number]
        usage, free, name = before
        end = f'it stays in {c.list}'
        if not name:
            end = f'it enters {c.list}'
        elif not c.list:
            end = f'it is empty and leaves {name}: unmapped'
        elif name != c.list:
            end = f'from {name} to {c.list}'
        self.same('chunk', told['chunk'][-1], f'{number}: {free} -> {c.free} '
                  f'bytes free, {usage} -> {c.usage()} % used; {end}')

    # ---- elements ----

    def take_element(self, size, told):
        pool = self.pools.setdefault(size, [])
        if pool:
            number, first = pool[0]
        else:
            number, first = self.take_run(size, told)
            self.chunks[number].pages[first] = [size, set(), 0]
            pool.insert(0, (number, first))
        page = self.chunks[number].pages[first]
        if not size:
            return number, first, 0
        of, (_, taken, last) = PAGE // size, page
        slot = last
        if slot is None:
            slot = next(i for i in range(of) if i not in taken)
        before = set(taken)
        taken.add(slot)
        page[2] = None
        if len(taken) == of:
            pool.remove((number, first))
        self.bits(slot, before, taken, of, 'none', told)
        self.same('element', told.one('element').split(':')[0], str(slot))
        return number, first, slot

    def give_element(self, number, first, slot, told):
        page = self.chunks[number].pages[first]
        size, taken, _ = page
        if not size:
            return
        of, pool = PAGE // size, self.pools[size]
        before = set(taken)
        taken.remove(slot)
        page[2] = slot
        if len(before) == of:
            pool.insert(0, (number, first))
        self.bits(slot, before, taken, of, 'this one', told)
        if not taken and len(pool) > 1:
            pool.remove((number, first))
            del self.chunks[number].pages[first]
            self.give_run(number, first, size, told)
        else:
            self.same('no run', 'given' in told.lines, False)

    def bits(self, slot, before, after, of, last, told):
        word = slot // 64

        def bits_of(taken):
            return sum(1 << i % 64 for i in taken if i // 64 == word)
        self.same('bits', told.one('bits'), f'word {word}: '
                  f'{bits_of(before):016x} -> {bits_of(after):016x} '
                  f'(bit {slot % 64})')
        self.same('free', told.one('free'), f'{of - len(before)} -> '
                  f'{of - len(after)} of {of} elements; freed last: {last}')

    # ---- steps ----

    def normal(self, size):
        if size >= 512:
            return 1 << (size - 1).bit_length()
        return (size + 15) // 16 * 16

    def take(self, name, size, told):
        if size > CHUNK:
            self.live[name] = (self.seen, None, None, size)
            self.seen += 1
            return 0, 0
        norm, slot = self.normal(size), None
        if norm < PAGE:
            number, first, slot = self.take_element(norm, told)
        else:
            number, first = self.take_run(norm, told)
        self.live[name] = (number, first, slot, norm)
        node = (PAGES + first) >> ((max(norm, PAGE) // PAGE).bit_length() - 1)
        handle = node if slot is None else 1 << 62 | slot << 32 | node
        offset = first * PAGE + (slot or 0) * (norm if norm < PAGE else 0)
        self.same('handle', told.one('handle').split('= ')[-1],
                  f'0x{handle:016x}')
        self.same('offset', told.one('offset').split('= ')[-1], str(offset))
        return handle, offset

    def give(self, piece, told):
        number, first, slot, size = piece
        if first is None:
            return
        if slot is None:
            self.give_run(number, first, size, told)
        else:
            self.give_element(number, first, slot, told)

    def step(self, header, body, result):
        self.header = header
        fields = header.split(':', 1)[1].split()
        if fields[0] == 'f':
            piece = self.live.pop(fields[1])
            if piece:
                self.give(piece, Told(body))
        elif fields[0] in 'ac':
            self.place(fields, body, result)

    def place(self, fields, body, result):
        name, old = fields[1], self.live.get(fields[1])
        if result.endswith('-> empty'):
            self.live[name] = None
            return
        if fields[0] == 'c' and 'stays' in Told(body).lines:
            return
        halves = [[]]
        for line in body:
            if line.startswith('  then '):
                halves.append([])
            halves[-1].append(line)
        handle, offset = self.take(name, int(fields[2]), Told(halves[0]))
        number = self.live[name][0]
        found = re.search(r'chunk=(\d+)\S* handle=(\S+) offset=(\d+)', result)
        self.same('result', found.groups(),
                  (str(number), f'0x{handle:016x}', str(offset)))
        if fields[0] == 'c':
            self.give(old, Told(halves[1]))


class Told:
    """The lines of a step by their word."""

    def __init__(self, body):
        self.lines = {}
        word = None
        for line in body:
            word = line[2:11].strip() or word
            self.lines.setdefault(word, []).append(line[11:])

    def __getitem__(self, word):
        return [line.strip() for line in self.lines.get(word, ['(missing)'])]

    def one(self, word):
        return self[word][0]

    def rows(self, word, n):
        return [tuple(map(int, line.split()[:n]))
                for line in self.lines.get(word, [])[1:]]


def main():
    model, header, body, steps = Model(), None, [], 0
    for line in sys.stdin.buffer.read().decode('utf-8', 'replace').split('\n'):
        if line.startswith('line '):
            header, body = line, []
        elif line.startswith('  '):
            body.append(line)
        elif line:
            model.step(header, body, line)
            steps += 1
    print(f'# {steps} steps, {model.wrong} numbers differ', file=sys.stderr)
    return 1 if model.wrong or not steps else 0


sys.exit(main())
