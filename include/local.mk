# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the libnpool authors
#
# The public headers.

include_HEADERS = %D%/npool.h %D%/npool_buf.h %D%/npool_chunk.h \
	%D%/npool_objpool.h
