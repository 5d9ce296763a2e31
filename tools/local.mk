# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the libnpool authors
#
# The two tools that look into a pool. They link the core: what they share
# with the library (tables, layouts) is not public.

bin_PROGRAMS = %D%/npool-stat %D%/npool-trace

%C%_npool_stat_SOURCES = \
	%D%/command.c %D%/command.h \
	%D%/npool-stat.c \
	%D%/stat-cell.c \
	%D%/stat-chunk.c \
	%D%/stat-copy.c \
	%D%/stat-json.c \
	%D%/stat-lines.c \
	%D%/stat-live.c \
	%D%/stat-map.c \
	%D%/stat-metrics.c \
	%D%/stat-place.c \
	%D%/stat-proc.c \
	%D%/stat-read.c \
	%D%/stat-run.c \
	%D%/stat-sample.c \
	%D%/stat-sum.c \
	%D%/stat-table.c \
	%D%/stat-top.c %D%/stat-top.h \
	%D%/stat-view.c \
	%D%/stat-svg.c \
	%D%/stat.h \
	%D%/svg.c %D%/svg.h \
	%D%/tool.c %D%/tool.h
%C%_npool_stat_SHORTNAME = stat
%C%_npool_stat_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS) $(NCURSES_CFLAGS) \
	-DNPOOL_FACE_PATH='"$(libdir)/libnpool-malloc.so"'
%C%_npool_stat_LDADD = lib/libnpool-core.la $(JANSSON_LIBS) $(NCURSES_LIBS)

%C%_npool_trace_SOURCES = \
	%D%/buffers.c %D%/buffers.h \
	%D%/command.c %D%/command.h \
	%D%/draw.c %D%/draw.h \
	%D%/draw-read.c \
	%D%/draw-svg.c \
	%D%/explain-html.c \
	%D%/explain-svg.c \
	%D%/explain-tale.c \
	%D%/explain-text.c \
	%D%/explain-tree.c \
	%D%/explain.c %D%/explain.h \
	%D%/export.c %D%/export.h \
	%D%/export-pprof.c \
	%D%/leaks.c \
	%D%/lives.c %D%/lives.h \
	%D%/no-start.c \
	%D%/npool-trace.c \
	%D%/read-base.c \
	%D%/record.c %D%/record.h \
	%D%/record-process.c \
	%D%/recorder.h \
	%D%/recording.c %D%/recording.h \
	%D%/recording-read.c \
	%D%/recording-write.c \
	%D%/replay.c %D%/replay.h \
	%D%/report.c %D%/report.h \
	%D%/rerun.c %D%/rerun.h \
	%D%/rerun-machine.c \
	%D%/rerun-suggest.c \
	%D%/rerun-tell.c \
	%D%/rings.c %D%/rings.h \
	%D%/stat-copy.c \
	%D%/stat-proc.c \
	%D%/stat-read.c \
	%D%/svg.c %D%/svg.h \
	%D%/symbols.c %D%/symbols.h \
	%D%/tool.c %D%/tool.h \
	%D%/trace-read.c %D%/trace-read.h
%C%_npool_trace_SHORTNAME = trace
%C%_npool_trace_CPPFLAGS = $(AM_CPPFLAGS) $(ZSTD_CFLAGS) $(DW_CFLAGS) \
	-DNPOOL_FACE_PATH='"$(libdir)/libnpool-malloc.so"'
%C%_npool_trace_LDADD = lib/libnpool-core.la $(ZSTD_LIBS) $(DW_LIBS)

# The page that `npool-trace explain --html` writes, a string a line.
EXTRA_DIST += %D%/explain-page.html
CLEANFILES += %D%/explain-page.inc
%D%/trace-explain-html.$(OBJEXT): %D%/explain-page.inc
%D%/explain-page.inc: %D%/explain-page.html
	$(AM_V_GEN)$(MKDIR_P) %D% && \
	sed -e 's/[\\"]/\\&/g' -e 's/.*/"&\\n",/' \
		$(srcdir)/%D%/explain-page.html >$@

# Sourced by whom it concerns.
dist_pkgdata_DATA = %D%/npool-gdb.py
