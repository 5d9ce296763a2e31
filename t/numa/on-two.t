#!/bin/sh
# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the libnpool authors
#
# Two nodes of two CPUs.
exec "${0%/*}/machine" two first-touch cross
