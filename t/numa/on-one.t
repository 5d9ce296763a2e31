#!/bin/sh
# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the libnpool authors
#
# One node, as most machines have: nothing is bound, all works, and what
# needs two says so.
exec "${0%/*}/machine" one first-touch '$build/t/topology.t; exit' \
	'$build/t/api.t; exit' '$build/t/pool.t; exit' '$top/t/numa/bench one; exit'
