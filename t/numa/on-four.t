#!/bin/sh
# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the libnpool authors
#
# Four nodes, no two pairs of neighbours equally far.
exec "${0%/*}/machine" four first-touch cross
