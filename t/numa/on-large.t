#!/bin/sh
# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the libnpool authors
#
# Three nodes of 2 GiB, which are filled. Small guests are quicker.
exec "${0%/*}/machine" large full '$top/t/numa/stat 2400'
