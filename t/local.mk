# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the libnpool authors
#
# The tests. A new one is one word here: t/NAME.c as t/NAME.t in unit_tests, a
# script t/NAME.t in dist_check_SCRIPTS. They print TAP (t/tap.h,
# t/tap.sh); `make check` runs them, and so does, in the build folder,
# `prove -e '' t/*.t`.
#
# NPOOL_TEST_LEVEL=quick (when nothing is said), check or all is how much they
# try: `make check` stays under five minutes, `./bootstrap check-all` does not.

unit_tests = \
	%D%/die.t \
	%D%/os.t \
	%D%/topology.t \
	%D%/meta.t \
	%D%/sizeclass.t \
	%D%/config.t \
	%D%/lock.t \
	%D%/boot.t \
	%D%/chunk.t \
	%D%/subpage.t \
	%D%/chunkindex.t \
	%D%/chunklist.t \
	%D%/limit.t \
	%D%/chunkmap.t \
	%D%/node.t \
	%D%/arena.t \
	%D%/decay.t \
	%D%/spill.t \
	%D%/huge.t \
	%D%/magazine.t \
	%D%/depot.t \
	%D%/cache.t \
	%D%/seat.t \
	%D%/interleave.t \
	%D%/thread.t \
	%D%/fork.t \
	%D%/pool.t \
	%D%/tick.t \
	%D%/background.t \
	%D%/stats.t \
	%D%/segment.t \
	%D%/api.t \
	%D%/shadow.t \
	%D%/fault.t \
	%D%/goal.t \
	%D%/spread.t \
	%D%/idle.t \
	%D%/eight.t \
	%D%/soak.t \
	%D%/units.t \
	%D%/steps.t \
	%D%/attr.t \
	%D%/handle.t \
	%D%/chunkset.t \
	%D%/pressure.t \
	%D%/request.t \
	%D%/objpool.t \
	%D%/leak.t \
	%D%/buf.t \
	%D%/bufdata.t \
	%D%/bufparts.t \
	%D%/bufio.t

dist_check_SCRIPTS += \
	%D%/bench.t \
	%D%/completion.t \
	%D%/completion-trace.t \
	%D%/draw.t \
	%D%/echo.t \
	%D%/explain.t \
	%D%/face-life.t \
	%D%/face-programs.t \
	%D%/face-servers.t \
	%D%/face-start.t \
	%D%/gdb.t \
	%D%/golden.t \
	%D%/headers.t \
	%D%/install.t \
	%D%/judge.t \
	%D%/live.t \
	%D%/man.t \
	%D%/memcheck.t \
	%D%/offsets.t \
	%D%/probes.t \
	%D%/recall.t \
	%D%/reference.t \
	%D%/relay.t \
	%D%/replay-recording.t \
	%D%/spdx.t \
	%D%/stat-metrics.t \
	%D%/stat-servers.t \
	%D%/stat-top.t \
	%D%/stat.t \
	%D%/symbols.t \
	%D%/trace.t \
	%D%/tree.t \
	%D%/tutorial.t \
	%D%/watched.t \
	%D%/worked.t

# What the scripts read or call. golden is a folder whole; where a build puts
# things beside its sources, that would take them along.
EXTRA_DIST += \
	%D%/check-all \
	%D%/coverage \
	%D%/draw/legible.js \
	%D%/draw/model.py \
	%D%/explain/model.py \
	%D%/explain/picture.py \
	%D%/explain/steps.js \
	%D%/face.pm \
	%D%/face/job-bash.bash \
	%D%/face/job-gcc.sh \
	%D%/face/job-git.sh \
	%D%/face/job-perl.pl \
	%D%/face/job-python.py \
	%D%/face/job-sort.sh \
	%D%/face/job-xz.sh \
	%D%/face/life-cxx.cc \
	%D%/face/life.h \
	%D%/fuzz/buf.c \
	%D%/fuzz/handle.c \
	%D%/fuzz/recording.c \
	%D%/fuzz/run \
	%D%/fuzz/stat.c \
	%D%/fuzz/trace.c \
	%D%/golden \
	%D%/judge/Replay.pm \
	%D%/judge/gentrace \
	%D%/judge/io/netty/buffer/Oracle.java \
	%D%/judge/oracle \
	%D%/recording.sh \
	%D%/servers.pm \
	%D%/tap.sh

# Each of unit_tests is made of the file of its name, these two and no more.
AM_DEFAULT_SOURCE_EXT = .c
LDADD = %D%/libtap.la lib/libnpool-core.la
check_PROGRAMS += $(unit_tests)

# The same with a fast path as without libnuma: for steps.t.
check_PROGRAMS += %D%/steps-blind
%C%_steps_blind_SOURCES = %D%/steps.c lib/npool.c lib/fast.c
%C%_steps_blind_CPPFLAGS = $(AM_CPPFLAGS) -DNP_BLIND

# The same with one that does not count.
check_PROGRAMS += %D%/steps-uncounted
%C%_steps_uncounted_SOURCES = $(%C%_steps_blind_SOURCES)
%C%_steps_uncounted_CPPFLAGS = $(AM_CPPFLAGS) -DNP_UNCOUNTED

# The reader of npool-stat, in a process that can be asked what is true.
unit_tests_of_tools = \
	%D%/lives.t \
	%D%/record.t \
	%D%/recording.t \
	%D%/rerun.t \
	%D%/stat-live.t \
	%D%/stat-print.t \
	%D%/stat-read.t
check_PROGRAMS += $(unit_tests_of_tools)
reader_of_stat = \
	tools/stat-cell.c \
	tools/stat-chunk.c \
	tools/stat-copy.c \
	tools/stat-json.c \
	tools/stat-live.c \
	tools/stat-map.c \
	tools/stat-metrics.c \
	tools/stat-place.c \
	tools/stat-proc.c \
	tools/stat-read.c \
	tools/stat-sample.c \
	tools/stat-sum.c \
	tools/stat-svg.c \
	tools/stat-table.c \
	tools/stat-view.c \
	tools/svg.c \
	tools/tool.c
%C%_stat_read_t_SOURCES = %D%/stat-read.c $(reader_of_stat)
%C%_stat_read_t_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS) \
	-iquote $(top_srcdir)/tools
%C%_stat_read_t_LDADD = $(LDADD) $(JANSSON_LIBS)
%C%_stat_live_t_SOURCES = %D%/stat-live.c $(reader_of_stat)
%C%_stat_live_t_CPPFLAGS = $(%C%_stat_read_t_CPPFLAGS)
%C%_stat_live_t_LDADD = $(%C%_stat_read_t_LDADD)
%C%_stat_print_t_SOURCES = %D%/stat-print.c $(reader_of_stat)
%C%_stat_print_t_CPPFLAGS = $(%C%_stat_read_t_CPPFLAGS)
%C%_stat_print_t_LDADD = $(%C%_stat_read_t_LDADD)

# The tool's side of recordings.
%C%_lives_t_SOURCES = \
	%D%/lives.c \
	tools/lives.c \
	tools/tool.c
%C%_lives_t_CPPFLAGS = $(AM_CPPFLAGS) -iquote $(top_srcdir)/tools
%C%_record_t_SOURCES = \
	%D%/record.c \
	tools/lives.c \
	tools/recording-read.c \
	tools/recording-write.c \
	tools/recording.c \
	tools/rings.c \
	tools/tool.c
%C%_record_t_CPPFLAGS = $(AM_CPPFLAGS) $(ZSTD_CFLAGS) \
	-iquote $(top_srcdir)/tools
%C%_record_t_LDADD = $(LDADD) $(ZSTD_LIBS)
%C%_recording_t_SOURCES = \
	%D%/recording.c \
	tools/recording-read.c \
	tools/recording-write.c \
	tools/recording.c \
	tools/tool.c
%C%_recording_t_CPPFLAGS = $(AM_CPPFLAGS) $(ZSTD_CFLAGS) \
	-iquote $(top_srcdir)/tools
%C%_recording_t_LDADD = $(LDADD) $(ZSTD_LIBS)
%C%_rerun_t_SOURCES = \
	%D%/rerun.c \
	tools/lives.c \
	tools/no-start.c \
	tools/read-base.c \
	tools/recording-read.c \
	tools/recording-write.c \
	tools/recording.c \
	tools/rerun.c \
	tools/rerun-machine.c \
	tools/rerun-suggest.c \
	tools/rerun-tell.c \
	tools/symbols.c \
	tools/tool.c
# The test says how long replays take.
%C%_rerun_t_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=outcome_get
%C%_rerun_t_CPPFLAGS = $(%C%_record_t_CPPFLAGS) $(DW_CFLAGS)
%C%_rerun_t_LDADD = $(%C%_record_t_LDADD) $(DW_LIBS)

check_LTLIBRARIES += %D%/libtap.la
%C%_libtap_la_SOURCES = \
	%D%/bufs.h \
	%D%/child.h \
	%D%/conf.h \
	%D%/fakenodes.h \
	%D%/faultos.h \
	%D%/fiber.h \
	%D%/figures.h \
	%D%/pages.h \
	%D%/rng.h \
	%D%/stay.h \
	%D%/tap.c %D%/tap.h

# What face-life.t and face-start.t run on the malloc face: programs of the C library alone.
check_PROGRAMS += \
	%D%/face/life-ends \
	%D%/face/life-fork \
	%D%/face/life-misuse \
	%D%/face/life-plugin \
	%D%/face/life-signals \
	%D%/face/life-symbols \
	%D%/face/life-threads \
	%D%/face/start
%C%_face_life_ends_LDADD =
%C%_face_life_fork_LDADD =
%C%_face_life_misuse_LDADD =
%C%_face_life_misuse_CFLAGS = $(AM_CFLAGS) $(NP_MISUSE_CFLAGS)
%C%_face_life_plugin_LDADD =
%C%_face_life_signals_LDADD =
%C%_face_life_symbols_LDADD =
%C%_face_life_threads_LDADD =
%C%_face_start_LDADD =

# -rpath: a module that is not installed is made shared only if it has one.
check_LTLIBRARIES += %D%/face/plugin.la
%C%_face_plugin_la_LDFLAGS = $(AM_LDFLAGS) -module -avoid-version -shared \
	-rpath /nowhere

# The one thing in C++ here; not worth Automake's and libtool's C++.
check_DATA = %D%/face/life-cxx
CLEANFILES += %D%/face/life-cxx
%D%/face/life-cxx: %D%/face/life-cxx.cc %D%/face/life.h
	$(AM_V_GEN)$(MKDIR_P) %D%/face && \
	$(CXX) -std=c++17 -Wall -Wextra -O2 -g -pthread \
		-o $@ $(srcdir)/%D%/face/life-cxx.cc

TESTS += $(unit_tests) $(unit_tests_of_tools) $(dist_check_SCRIPTS)
TEST_EXTENSIONS = .t

# A test that hangs is ended and named. In the foreground: ^C reaches it.
T_LOG_COMPILER = timeout
AM_T_LOG_FLAGS = --foreground -k 10 $${NPOOL_TEST_SECONDS:-300}
T_LOG_DRIVER = env AM_TAP_AWK='$(AWK)' \
	$(SHELL) $(top_srcdir)/build-aux/tap-driver.sh

# The last one where tests run side by side: while libtool relinks a library to
# install it, the built one is away.
%D%/install.log: $(filter-out %D%/install.log,$(TEST_LOGS))

# What a test may want to know of the build. Scripts have defaults for these.
AM_TESTS_ENVIRONMENT = \
	abs_top_srcdir='$(abs_top_srcdir)'; export abs_top_srcdir; \
	abs_top_builddir='$(abs_top_builddir)'; export abs_top_builddir; \
	top_srcdir='$(abs_top_srcdir)'; export top_srcdir; \
	top_builddir='$(abs_top_builddir)'; export top_builddir; \
	CC='$(CC)'; export CC; \
	CXX='$(CXX)'; export CXX; \
	MAKE='$(MAKE)'; export MAKE; \
	NPOOL_TEST_NUMA='$(with_numa)'; export NPOOL_TEST_NUMA; \
	NPOOL_TEST_JSON='$(with_jansson)'; export NPOOL_TEST_JSON; \
	NPOOL_TEST_NCURSES='$(with_ncurses)'; export NPOOL_TEST_NCURSES; \
	NPOOL_TEST_DW='$(with_dw)'; export NPOOL_TEST_DW; \
	NPOOL_TEST_SDT='$(with_sdt)'; export NPOOL_TEST_SDT; \
	NPOOL_TEST_VALGRIND='$(with_valgrind)'; export NPOOL_TEST_VALGRIND; \
	NPOOL_TEST_DEBUG='$(enable_debug)'; export NPOOL_TEST_DEBUG; \
	NPOOL_TEST_STATIC='$(enable_static)'; export NPOOL_TEST_STATIC; \
	NPOOL_TEST_SANITIZERS='$(enable_sanitizers)'; \
	export NPOOL_TEST_SANITIZERS; \
	NPOOL_TEST_LEVEL=$${NPOOL_TEST_LEVEL:-quick}; export NPOOL_TEST_LEVEL;
