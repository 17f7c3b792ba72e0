/* What the base library's policies share. */
#pragma once

#include <linux/bpf.h>
#include <linux/types.h>

#include <bpf/bpf_helpers.h>

#include "leat/abi/policy.h"
#include "leat/abi/policy_helpers.h"

#define HOOK(name) SEC(LEAT_SEC_SCHED "/" #name)

#define MS 1000000ULL

/*
 * Defines least_core(ctx): the core on which the least is going on by the function `load` of the
 * context, a core and its number; the last one where that is as good.
 */
#define LEAST_CORE(load)                                                                           \
	static long less_(__u64 number, void *arg)                                                 \
	{                                                                                          \
		struct leat_search *search = arg;                                                  \
		struct leat_sched_core core;                                                       \
		__u64 skip = leat_core_get(search->ctx, (__u32)number, &core, sizeof(core)) != 0;  \
                                                                                                   \
		leat_search_core(search, number,                                                   \
				 load(search->ctx, &core, (__u32)number) << 1 |                    \
					 (number != search->ctx->last_core),                       \
				 skip | (core.flags & LEAT_CORE_GONE) >> 1);                       \
		return 0;                                                                          \
	}                                                                                          \
                                                                                                   \
	static __always_inline __u64 least_core(struct leat_sched_ctx *ctx)                        \
	{                                                                                          \
		struct leat_search search = LEAT_SEARCH(ctx);                                      \
                                                                                                   \
		bpf_loop(leat_nr_cores(ctx), less_, &search, 0);                                   \
		return leat_search_found(&search);                                                 \
	}
