#!/bin/sh
# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the libnpool authors
#
# Four nodes, each with another one that is nearest.
exec "${0%/*}/machine" four first-touch cross meta rehome heir wish admin \
	life steady '$top/t/numa/stat; exit' '$top/t/numa/replay; exit'
