/* The helpers that programs call here, for the rows of the platform table. */
#pragma once

#include "bpf/code.h"

#define EBPF_HELPER(name)                                                                          \
	uint64_t name(uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e,                  \
		      const struct ebpf_env *env)

/* helper_misc.c */
EBPF_HELPER(ebpf_helper_map_lookup);
EBPF_HELPER(ebpf_helper_map_update);
EBPF_HELPER(ebpf_helper_map_delete);
EBPF_HELPER(ebpf_helper_ktime_get_ns);
EBPF_HELPER(ebpf_helper_get_prandom_u32);
EBPF_HELPER(ebpf_helper_get_smp_processor_id);
EBPF_HELPER(ebpf_helper_trace_printk);
EBPF_HELPER(ebpf_helper_ring_output);
EBPF_HELPER(ebpf_helper_ring_reserve);
EBPF_HELPER(ebpf_helper_ring_submit);
EBPF_HELPER(ebpf_helper_ring_discard);
EBPF_HELPER(ebpf_helper_ring_query);
EBPF_HELPER(ebpf_helper_bucket_take);
EBPF_HELPER(ebpf_helper_tag_lookup);
EBPF_HELPER(ebpf_helper_core_get);

/* helper_pkt.c: the context is a struct leat_pkt_ctx */
EBPF_HELPER(ebpf_helper_load_bytes);
EBPF_HELPER(ebpf_helper_store_bytes);
EBPF_HELPER(ebpf_helper_l3_csum_replace);
EBPF_HELPER(ebpf_helper_l4_csum_replace);
EBPF_HELPER(ebpf_helper_csum_diff);
EBPF_HELPER(ebpf_helper_adjust_head);
EBPF_HELPER(ebpf_helper_adjust_tail);
EBPF_HELPER(ebpf_helper_redirect);
