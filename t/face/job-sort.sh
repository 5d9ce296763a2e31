# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the libnpool authors
#
# job-sort.sh - sort some MB with two threads, in memory and by merging.
#
# Run by face-programs.t.  The first sorts hold all lines (threads work
# from 128 Ki lines on), the last has so little room that it merges files.
set -e
lines=$INPUT/lines.txt
sort --parallel=2 -S 200M "$lines" | sha256sum
sort --parallel=2 -S 200M -k2,2 -k4,4nr "$lines" | sha256sum
sort --parallel=2 -S 200M -s -n "$lines" -o "$lines.out"
sha256sum < "$lines.out"
sort -c -s -n "$lines.out"
rm "$lines.out"
sort --parallel=2 -S 1M -T . -u -k3,3 "$lines" | sha256sum
