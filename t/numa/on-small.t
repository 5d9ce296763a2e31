#!/bin/sh
# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the libnpool authors
#
# Two nodes of little memory, one of which is filled: what does not fit is
# refused, or spills and comes back.
exec "${0%/*}/machine" small strict spill
