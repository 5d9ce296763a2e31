#!/bin/sh
# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the libnpool authors
#
# Two nodes and one of memory alone.
exec "${0%/*}/machine" cxl odd first-touch cross wish
