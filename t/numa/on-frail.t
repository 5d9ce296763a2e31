#!/bin/sh
# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the libnpool authors
#
# Two nodes where the system calls of NUMA are denied: what holds elsewhere
# holds there.
denied='$tests/denied.t --run $build/t'
exec "${0%/*}/machine" two denied "$denied/api.t" "$denied/pool.t" \
	"$denied/attr.t" "$denied/stats.t" "$denied/request.t"
