#!/bin/sh
# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the libnpool authors
#
# Nodes 0 and 2 of three, by a cpuset: numbers with a gap. CPUs of node 1 are
# served by the nearest.
in='$top/t/numa/cpuset 0,2 $tests'
exec "${0%/*}/machine" three "$in/odd.t" "$in/first-touch.t" "$in/cross.t" \
	"$in/wish.t"
