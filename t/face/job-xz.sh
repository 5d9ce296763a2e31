# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the libnpool authors
#
# job-xz.sh - compress and restore with two threads.
#
# Run by face-programs.t.  Blocks of 512 KiB give both threads work, and
# make the compressed bytes the same whoever compressed which block.
set -e
lines=$INPUT/lines.txt
xz -T2 -1 --block-size=512KiB -c "$lines" > lines.xz
xz --robot -l lines.xz | sed -n 's/^totals//p'
sha256sum lines.xz
xz -dc -T2 lines.xz | cmp - "$lines"
xz -dc -T2 lines.xz | sha256sum
