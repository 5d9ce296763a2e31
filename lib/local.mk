# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the libnpool authors
#
# libnpool: the library. libnpool-core: the same objects before the map hides
# any of their names, for tests and tools. libnpool-malloc: the malloc face,
# which links libnpool, so that a process has one map and one pool.

lib_LTLIBRARIES += %D%/libnpool.la %D%/libnpool-malloc.la
noinst_LTLIBRARIES += %D%/libnpool-core.la

# In the order of the layers: ground, memory, policy, faces, sight.
%C%_libnpool_core_la_SOURCES = \
	%D%/base.h \
	%D%/die.c \
	%D%/os.c %D%/os.h \
	%D%/topology.c %D%/topology.h \
	%D%/meta.c %D%/meta.h \
	%D%/sizeclass.c %D%/sizeclass.h \
	%D%/config.c %D%/config.h \
	%D%/lock.c %D%/lock.h \
	%D%/boot.c %D%/boot.h \
	%D%/stack.c %D%/stack.h \
	%D%/probe.h \
	%D%/memcheck.c %D%/memcheck.h \
	%D%/trace.c %D%/trace.h \
	%D%/chunk.c %D%/chunk.h \
	%D%/subpage.c %D%/subpage.h \
	%D%/chunkindex.c %D%/chunkindex.h \
	%D%/chunklist.c %D%/chunklist.h \
	%D%/limit.c %D%/limit.h \
	%D%/owner.h \
	%D%/chunkmap.c %D%/chunkmap.h \
	%D%/place.c %D%/place.h \
	%D%/arena.c %D%/arena.h \
	%D%/decay.c %D%/decay.h \
	%D%/spill.c %D%/spill.h \
	%D%/huge.c %D%/huge.h \
	%D%/magazine.c %D%/magazine.h \
	%D%/depot.c %D%/depot.h \
	%D%/node.c %D%/node.h \
	%D%/cache.c %D%/cache.h \
	%D%/seat.c %D%/seat.h \
	%D%/thread.c %D%/thread.h \
	%D%/pool.c %D%/pool.h \
	%D%/record.c %D%/record.h \
	%D%/start.c %D%/start.h \
	%D%/tick.c %D%/tick.h \
	%D%/background.c %D%/background.h \
	%D%/leak.c %D%/leak.h \
	%D%/pressure.c %D%/pressure.h \
	%D%/request.c %D%/request.h \
	%D%/piece.c %D%/piece.h \
	%D%/attr.c %D%/attr.h \
	%D%/objpool.c %D%/objpool.h \
	%D%/fork.c %D%/fork.h \
	%D%/npool.c \
	%D%/buf.c %D%/buf.h \
	%D%/bufdata.c \
	%D%/bufparts.c \
	%D%/bufio.c \
	%D%/handle.c %D%/handle.h \
	%D%/chunkset.c \
	%D%/fast.c %D%/fast.h \
	%D%/stats.c %D%/stats.h \
	%D%/segment.c %D%/segment.h
%C%_libnpool_core_la_SHORTNAME = core
%C%_libnpool_core_la_CFLAGS = $(AM_CFLAGS) $(NP_LIB_CFLAGS)
%C%_libnpool_core_la_LIBADD = $(NUMA_LIBS)

# -version-info current:revision:age. Made only of the core.
%C%_libnpool_la_SOURCES =
%C%_libnpool_la_LIBADD = %D%/libnpool-core.la
%C%_libnpool_la_LDFLAGS = $(AM_LDFLAGS) $(NP_LIB_LDFLAGS) \
	-version-info 0:0:0 \
	-Wl,-Bsymbolic \
	-Wl,--version-script=$(srcdir)/%D%/libnpool.map
EXTRA_%C%_libnpool_la_DEPENDENCIES = %D%/libnpool.map

# A thing to preload by its name: no version, no archive.
%C%_libnpool_malloc_la_SOURCES = %D%/malloc.c
%C%_libnpool_malloc_la_SHORTNAME = face
%C%_libnpool_malloc_la_CFLAGS = $(AM_CFLAGS) $(NP_LIB_CFLAGS) $(NP_FACE_CFLAGS)
%C%_libnpool_malloc_la_LIBADD = %D%/libnpool.la
%C%_libnpool_malloc_la_LDFLAGS = $(AM_LDFLAGS) $(NP_LIB_LDFLAGS) \
	$(NP_FACE_LDFLAGS) \
	-shared -module -avoid-version \
	-Wl,--version-script=$(srcdir)/%D%/malloc.map
EXTRA_%C%_libnpool_malloc_la_DEPENDENCIES = %D%/malloc.map

EXTRA_DIST += %D%/libnpool.map %D%/malloc.map

pkgconfig_DATA = %D%/npool.pc
