# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the libnpool authors
#
# Measurements: `make bench` builds and runs them, `make` does not. They print
# figures and pass no judgement: a timing is not a test.

EXTRA_PROGRAMS += %D%/pairs

%C%_pairs_SOURCES = %D%/pairs.c
%C%_pairs_LDADD = lib/libnpool.la

.PHONY: bench
bench: %D%/pairs$(EXEEXT)
	$(AM_V_at)%D%/pairs$(EXEEXT)

CLEANFILES += %D%/pairs$(EXEEXT)
