# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the libnpool authors
#
# What a person reads and runs first. The programs are built by `make`, so that
# they keep compiling, and not installed; `make demo` shows them at work. They
# see public headers only and link the shared library, as any program would.

noinst_PROGRAMS = %D%/echo-server %D%/echo-client %D%/relay \
	%D%/blob-store %D%/shared-offsets \
	%D%/tutorial-1 %D%/tutorial-2 %D%/tutorial-3 %D%/tutorial-4

%C%_echo_server_SOURCES = %D%/echo-server.c
%C%_echo_server_SHORTNAME = echo
%C%_echo_server_CPPFLAGS = -I$(top_srcdir)/include
%C%_echo_server_LDADD = lib/libnpool.la

%C%_echo_client_SOURCES = %D%/echo-client.c
%C%_echo_client_SHORTNAME = echo
%C%_echo_client_CPPFLAGS = -I$(top_srcdir)/include
%C%_echo_client_LDADD = lib/libnpool.la

%C%_relay_SOURCES = %D%/relay.c
%C%_relay_CPPFLAGS = -I$(top_srcdir)/include
%C%_relay_LDADD = lib/libnpool.la

%C%_blob_store_SOURCES = %D%/blob-store.c
%C%_blob_store_CPPFLAGS = -I$(top_srcdir)/include
%C%_blob_store_LDADD = lib/libnpool.la

%C%_shared_offsets_SOURCES = %D%/shared-offsets.c
%C%_shared_offsets_CPPFLAGS = -I$(top_srcdir)/include
%C%_shared_offsets_LDADD = lib/libnpool.la

# Those of npool_tutorial(7).
%C%_tutorial_1_SOURCES = %D%/tutorial-1.c %D%/tutorial.h
%C%_tutorial_1_CPPFLAGS = -I$(top_srcdir)/include
%C%_tutorial_1_LDADD =

%C%_tutorial_2_SOURCES = %D%/tutorial-2.c %D%/tutorial.h
%C%_tutorial_2_CPPFLAGS = -I$(top_srcdir)/include
%C%_tutorial_2_LDADD = lib/libnpool.la

tutorial_loop = %D%/tutorial-loop.c %D%/tutorial-loop.h %D%/tutorial.h

%C%_tutorial_3_SOURCES = %D%/tutorial-3.c $(tutorial_loop)
%C%_tutorial_3_CPPFLAGS = -I$(top_srcdir)/include
%C%_tutorial_3_LDADD = lib/libnpool.la

%C%_tutorial_4_SOURCES = %D%/tutorial-4.c $(tutorial_loop)
%C%_tutorial_4_CPPFLAGS = -I$(top_srcdir)/include
%C%_tutorial_4_LDADD = lib/libnpool.la

.PHONY: demo
demo: all
	$(AM_V_at)$(AM_TESTS_ENVIRONMENT) $(srcdir)/%D%/demo

EXTRA_DIST += %D%/demo %D%/npool-probes.bt %D%/npool-stat.service \
	%D%/npool-stat.timer
