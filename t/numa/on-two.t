#!/bin/sh
# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the libnpool authors
#
# Two nodes of two CPUs: all that can be tried there. The kernel's own preset
# for huge pages is always; once it is never.
exec "${0%/*}/machine" two huge-pages first-touch cross meta rehome heir deal \
	wish admin life steady tight resize \
	'echo never >/sys/kernel/mm/transparent_hugepage/enabled; $tests/cross.t'
