# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the libnpool authors
#
# Measurements: `make bench` builds and runs them, `make` does not. They print
# figures and pass no judgement: a timing is not a test. That the harness runs
# and the driver reckons right is one: t/bench.t.
#
# What to run is said by BENCH='--quick -j FILE ...'; `%D%/bench --help`.

# No library of ours is linked: the allocator is the one that is preloaded.
check_PROGRAMS += %D%/harness
%C%_harness_SOURCES = \
	%D%/buf.c \
	%D%/command.c \
	%D%/harness.c %D%/harness.h \
	%D%/meter.c \
	%D%/mix.c \
	%D%/ns.h \
	%D%/single.c \
	%D%/threads.c
%C%_harness_LDADD = -lm -ldl

# What a chunk costs, in one process.
EXTRA_PROGRAMS += %D%/chunk-bench
%C%_chunk_bench_SOURCES = %D%/chunk-bench.c
%C%_chunk_bench_LDADD = lib/libnpool.la
CLEANFILES += %D%/chunk-bench$(EXEEXT)

# What a refill costs in a pool of 64 GiB.
EXTRA_PROGRAMS += %D%/scale-bench
%C%_scale_bench_SOURCES = %D%/scale-bench.c
%C%_scale_bench_LDADD = lib/libnpool.la
CLEANFILES += %D%/scale-bench$(EXEEXT)

.PHONY: bench
bench: %D%/harness$(EXEEXT) %D%/chunk-bench$(EXEEXT) \
	%D%/scale-bench$(EXEEXT) lib/libnpool.la lib/libnpool-malloc.la
	$(AM_V_at)%D%/chunk-bench$(EXEEXT)
	$(AM_V_at)%D%/scale-bench$(EXEEXT)
	$(AM_V_at)$(AM_TESTS_ENVIRONMENT) $(srcdir)/%D%/bench $(BENCH)

# Echo servers side by side: that of examples/, and the same source on malloc.
check_PROGRAMS += %D%/echo-load %D%/echo-malloc
%C%_echo_load_SOURCES = %D%/echo-load.c %D%/ns.h
%C%_echo_load_LDADD =
%C%_echo_malloc_SOURCES = examples/echo-server.c %D%/on-malloc/npool.h
%C%_echo_malloc_SHORTNAME = malloc
%C%_echo_malloc_CPPFLAGS = -I$(srcdir)/%D%/on-malloc
%C%_echo_malloc_LDADD =

.PHONY: bench-echo
bench-echo: %D%/echo-load$(EXEEXT) %D%/echo-malloc$(EXEEXT) \
	examples/echo-server$(EXEEXT)
	$(AM_V_at)$(AM_TESTS_ENVIRONMENT) $(srcdir)/%D%/echo.py $(BENCH)

# Where memory lies, and what other nodes cost.
check_PROGRAMS += %D%/locality %D%/distance
%C%_locality_LDADD = t/libtap.la -lm
%C%_distance_LDADD = t/libtap.la lib/libnpool.la

.PHONY: bench-numa bench-hw
bench-numa bench-hw: %D%/locality$(EXEEXT) %D%/distance$(EXEEXT) \
	lib/libnpool.la lib/libnpool-malloc.la
	$(AM_V_at)hw=; test $@ = bench-numa || hw=--hw; \
	$(AM_TESTS_ENVIRONMENT) $(srcdir)/%D%/numa $$hw $(BENCH)

EXTRA_DIST += \
	%D%/Netty.java \
	%D%/EchoServer.java \
	%D%/bench \
	%D%/echo.py \
	%D%/figures.py \
	%D%/numa \
	%D%/peers.py \
	%D%/programs.py \
	%D%/websocket-proxy.tsv
