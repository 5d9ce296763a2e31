#!/bin/sh
# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the libnpool authors
#
# Eight nodes of one CPU.
exec "${0%/*}/machine" eight first-touch cross wish
