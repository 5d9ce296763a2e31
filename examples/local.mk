# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the libnpool authors
#
# What a person reads and runs first. The programs are built by `make`, so that
# they keep compiling, and not installed; `make demo` shows them at work. They
# see npool.h and link the shared library, as any program would.

noinst_PROGRAMS = %D%/echo-server %D%/echo-client

%C%_echo_server_SOURCES = %D%/echo-server.c
%C%_echo_server_SHORTNAME = echo
%C%_echo_server_CPPFLAGS = -I$(top_srcdir)/include
%C%_echo_server_LDADD = lib/libnpool.la

%C%_echo_client_SOURCES = %D%/echo-client.c
%C%_echo_client_SHORTNAME = echo
%C%_echo_client_CPPFLAGS = -I$(top_srcdir)/include
%C%_echo_client_LDADD = lib/libnpool.la

.PHONY: demo
demo: all
	$(AM_V_at)$(AM_TESTS_ENVIRONMENT) $(srcdir)/%D%/demo

EXTRA_DIST += %D%/demo
