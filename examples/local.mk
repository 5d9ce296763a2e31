# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the libnpool authors
#
# What a person runs first: `make demo` shows a real server on the pool.

.PHONY: demo
demo: all
	$(AM_V_at)$(AM_TESTS_ENVIRONMENT) $(srcdir)/%D%/demo

EXTRA_DIST += %D%/demo
