#!/bin/sh
# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the libnpool authors
#
# 72 nodes: more than a word has bits. 67 of them have no CPU.
exec "${0%/*}/machine" many odd cross wish
