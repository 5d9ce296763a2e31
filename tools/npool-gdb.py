# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the libnpool authors
#
# npool in gdb: what npool-stat shows of a process, of a core file or of the
# process that gdb has stopped.
#
#	(gdb) source npool-gdb.py
#	(gdb) npool --lists
#
# The pools' segments lie in the memory that gdb can read. They are found by
# their magic number, without any symbol, written into a folder, and read by
# npool-stat; so the views are the same, and what can be wrong with a segment is
# checked there. Source: lib/segment.h.

import os
import re
import struct
import subprocess
import tempfile

import gdb

MAGIC = b'\r\nnpseg1'
HEAD = struct.Struct('<QIIQI')      # magic, version, header_size, size, pid
PAGE = 4096
SIZE_MAX = 1 << 32                  # no segment comes near it


def memory_ranges():
    """The parts of memory that may have a segment: (start, end)."""
    said = gdb.execute('info files', to_string=True)
    # Of a core; those of the program and its libraries have other names.
    found = re.findall(r'(0x[0-9a-f]+) - (0x[0-9a-f]+) is load\d+', said)
    if not found:
        said = gdb.execute('info proc mappings', to_string=True)
        found = re.findall(r'^\s*(0x[0-9a-f]+)\s+(0x[0-9a-f]+)\s.*\brw', said,
                           re.M)
    return [(int(start, 16), int(end, 16)) for start, end in found]


def places_of_magic(inferior, start, end):
    """Where in [start, end) the magic number begins a page."""
    while start < end:
        try:
            at = inferior.search_memory(start, end - start, MAGIC)
        except gdb.MemoryError:
            return
        if at is None:
            return
        if at % PAGE == 0:
            yield at
        start = at + 1


def segments():
    """The bytes of each segment, with the process id in it."""
    inferior = gdb.selected_inferior()
    for start, end in memory_ranges():
        for at in places_of_magic(inferior, start, end):
            head = bytes(inferior.read_memory(at, HEAD.size))
            _, _, _, size, pid = HEAD.unpack(head)
            if not HEAD.size < size <= SIZE_MAX:
                continue
            try:
                yield pid, bytes(inferior.read_memory(at, size))
            except gdb.MemoryError:
                gdb.write(f'npool: a segment at {at:#x} is not all there\n')


class Npool(gdb.Command):
    """npool [OPTION ...]: what npool-stat(1) shows of the pools.

The options are npool-stat's: views as --lists, --chunk N, --map; -j; --svg
FILE. The program npool-stat is that of the variable NPOOL_STAT in the
environment, or the one in PATH."""

    def __init__(self):
        super().__init__('npool', gdb.COMMAND_DATA)

    def invoke(self, argument, from_tty):
        with tempfile.TemporaryDirectory(prefix='npool-gdb.') as folder:
            n = 0
            for pid, content in segments():
                with open(f'{folder}/{pid}.{n}', 'wb') as out:
                    out.write(content)
                n += 1
            if not n:
                raise gdb.GdbError(
                    'no segment of npool is in this memory: the program does '
                    'not use npool, or keeps its segment in a file '
                    '(segment:DIR), which npool-stat --read DIR reads, or the '
                    'core was written without shared memory '
                    '(/proc/PID/coredump_filter)')
            self.show(gdb.string_to_argv(argument), folder)

    @staticmethod
    def show(options, folder):
        stat = os.environ.get('NPOOL_STAT', 'npool-stat')
        try:
            done = subprocess.run([stat, *options, '--read', folder],
                                  stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, check=False)
        except OSError as error:
            raise gdb.GdbError(f'{stat}: {error.strerror}; NPOOL_STAT names '
                               'another') from error
        gdb.write(done.stdout.decode(errors='replace'))


Npool()
