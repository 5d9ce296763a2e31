#!/bin/sh
# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the libnpool authors
#
# All CPUs are on a node that has no memory.
exec "${0%/*}/machine" all-bare odd '$build/t/api.t; exit' \
	'$build/t/attr.t; exit'
