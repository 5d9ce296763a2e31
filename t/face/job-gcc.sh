# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the libnpool authors
#
# job-gcc.sh - compile a large made file and one of this tree.
#
# Run by face-programs.t: assembly and object code must be the same bytes.
set -e
cp "$INPUT/table.c" .
gcc -std=c11 -O2 -S -o table.s table.c
gcc -std=c11 -O1 -g -c -o table.o table.c
cp "$SOURCE"/t/face/life.h "$SOURCE"/t/face/life-symbols.c .
gcc -std=c11 -O2 -g -pthread -c -o symbols.o life-symbols.c
printf '#include "table.c"\nint main(void) { return !table[0]; }\n' > main.c
gcc -std=c11 -Wl,--build-id=none -o main main.c
./main
sha256sum table.s *.o main
