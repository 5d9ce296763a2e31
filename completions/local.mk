# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the libnpool authors
#
# What bash completes: bash-completion(7) finds a file by the command's name.

bashcompletiondir = $(datadir)/bash-completion/completions
dist_bashcompletion_DATA = %D%/npool-stat %D%/npool-trace
