# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the libnpool authors
#
# The pages: one a concept, and beside those of section 3 one line a function
# that leads to it (t/man.t holds this list against the folder and the header).

dist_man_MANS = \
	%D%/npool-malloc.7 \
	%D%/npool-stat.1 \
	%D%/npool-trace.1 \
	%D%/npool.3 \
	%D%/npool.7 \
	%D%/npool_aligned_alloc.3 \
	%D%/npool_alloc.3 \
	%D%/npool_alloc_many.3 \
	%D%/npool_calloc.3 \
	%D%/npool_chunk.3 \
	%D%/npool_chunk_alloc.3 \
	%D%/npool_chunk_claim.3 \
	%D%/npool_chunk_create.3 \
	%D%/npool_chunk_destroy.3 \
	%D%/npool_chunk_free.3 \
	%D%/npool_chunk_free_bytes.3 \
	%D%/npool_chunk_handle.3 \
	%D%/npool_chunk_length.3 \
	%D%/npool_chunk_meta_size.3 \
	%D%/npool_chunk_node.3 \
	%D%/npool_chunk_offset.3 \
	%D%/npool_chunk_set_user.3 \
	%D%/npool_chunk_size.3 \
	%D%/npool_chunk_trim.3 \
	%D%/npool_chunk_usage.3 \
	%D%/npool_chunk_user.3 \
	%D%/npool_chunk_valid.3 \
	%D%/npool_chunklist.3 \
	%D%/npool_chunklist_add.3 \
	%D%/npool_chunklist_alloc.3 \
	%D%/npool_chunklist_create.3 \
	%D%/npool_chunklist_destroy.3 \
	%D%/npool_chunklist_first.3 \
	%D%/npool_chunklist_next.3 \
	%D%/npool_chunklist_of.3 \
	%D%/npool_chunklist_remove.3 \
	%D%/npool_chunklist_trim.3 \
	%D%/npool_chunklist_valid.3 \
	%D%/npool_create.3 \
	%D%/npool_default.3 \
	%D%/npool_destroy.3 \
	%D%/npool_flush_thread.3 \
	%D%/npool_free.3 \
	%D%/npool_free_many.3 \
	%D%/npool_free_sized.3 \
	%D%/npool_good_size.3 \
	%D%/npool_malloc.3 \
	%D%/npool_migrate_home.3 \
	%D%/npool_node_of.3 \
	%D%/npool_numa.7 \
	%D%/npool_option_get.3 \
	%D%/npool_option_set.3 \
	%D%/npool_options.7 \
	%D%/npool_owns.3 \
	%D%/npool_page.3 \
	%D%/npool_page_alloc.3 \
	%D%/npool_page_alloc_bytes.3 \
	%D%/npool_page_look.3 \
	%D%/npool_page_walk.3 \
	%D%/npool_pool_stats.3 \
	%D%/npool_pool_trim.3 \
	%D%/npool_realloc.3 \
	%D%/npool_reserve.3 \
	%D%/npool_reset.3 \
	%D%/npool_stats.3 \
	%D%/npool_stats_print.3 \
	%D%/npool_subpage.3 \
	%D%/npool_subpage_alloc.3 \
	%D%/npool_subpage_bitmap.3 \
	%D%/npool_subpage_class.3 \
	%D%/npool_subpage_class_of.3 \
	%D%/npool_thread_set_node.3 \
	%D%/npool_tree.7 \
	%D%/npool_trim.3 \
	%D%/npool_usable_size.3 \
	%D%/npool_version.3
