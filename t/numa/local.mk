# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the libnpool authors
#
# Tests of where memory lies, by the kernel's word. A new one is one word in
# numa_tests, for t/numa/NAME.c, and a place among the jobs of the machines that
# it shall run on (on-*.t).
#
# `make check` runs the programs on this machine as it is: where it has one
# node most of them skip. `make check-numa` boots machines that have more.

numa_tests = \
	%D%/admin.t \
	%D%/cross.t \
	%D%/deal.t \
	%D%/denied.t \
	%D%/first-touch.t \
	%D%/full.t \
	%D%/heir.t \
	%D%/huge-pages.t \
	%D%/life.t \
	%D%/meta.t \
	%D%/odd.t \
	%D%/rehome.t \
	%D%/resize.t \
	%D%/spill.t \
	%D%/steady.t \
	%D%/strict.t \
	%D%/tight.t \
	%D%/wish.t

# The longest ones first.
numa_machines = \
	%D%/on-two.t \
	%D%/on-many.t \
	%D%/on-large.t \
	%D%/on-frail.t \
	%D%/on-small.t \
	%D%/on-eight.t \
	%D%/on-four.t \
	%D%/on-gaps.t \
	%D%/on-cxl.t \
	%D%/on-bare.t \
	%D%/on-all-bare.t \
	%D%/on-one.t

check_PROGRAMS += $(numa_tests) %D%/traffic
# On the face, which it finds the pool by.
%C%_traffic_LDADD = t/libtap.la
TESTS += $(numa_tests)
EXTRA_DIST += $(numa_machines) \
	%D%/bench %D%/cpuset %D%/deny.h %D%/fill.h %D%/init %D%/machine \
	%D%/nodes.h %D%/replay %D%/stat

# The other tests that machines run.
numa_others = t/api.t t/attr.t t/pool.t t/request.t t/stats.t t/topology.t \
	bench/distance bench/locality

.PHONY: check-numa
check-numa: all $(numa_tests) %D%/traffic $(numa_others)
	$(AM_V_at)$(MAKE) $(AM_MAKEFLAGS) check-TESTS TESTS='$(numa_machines)'

# The kernel that was downloaded for them.
clean-local: clean-numa
.PHONY: clean-numa
clean-numa:
	rm -rf numa-cache
