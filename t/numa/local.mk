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
	%D%/meta.t \
	%D%/odd.t \
	%D%/rehome.t \
	%D%/wish.t

numa_machines = \
	%D%/on-two.t \
	%D%/on-four.t \
	%D%/on-eight.t

check_PROGRAMS += $(numa_tests)
TESTS += $(numa_tests)
EXTRA_DIST += $(numa_machines) %D%/init %D%/machine %D%/nodes.h

# The machines make the programs' logs of their own: only those are wanted here.
.PHONY: check-numa
check-numa: all
	$(AM_V_at)$(MAKE) $(AM_MAKEFLAGS) check TESTS='$(numa_machines)'

# The kernel that was downloaded for them.
clean-local: clean-numa
.PHONY: clean-numa
clean-numa:
	rm -rf numa-cache
