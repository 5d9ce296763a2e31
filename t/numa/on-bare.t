#!/bin/sh
# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the libnpool authors
#
# A node that has CPUs and no memory.
exec "${0%/*}/machine" bare odd first-touch cross wish '$top/t/numa/bench; exit'
