/*
 * The helpers that a leat/sched program may call, for *.bpf.c. From <bpf/bpf_helpers.h> as they
 * are: bpf_map_lookup_elem, bpf_map_update_elem, bpf_map_delete_elem, bpf_loop, bpf_printk (into
 * `leat sched show`), bpf_ringbuf_*. Of filters' helpers: leat_bucket_take. There is neither a
 * clock nor a random number: ctx->now_ns is the time, and decisions can be repeated.
 */
#pragma once

#include "leat/abi/policy.h"

/*
 * What core number @core is like now, into @to of @size bytes: 0, or -ENOENT if there is no such
 * core. @size: sizeof(struct leat_sched_core); a smaller one gets the first fields only.
 */
#ifdef __bpf__
__attribute__((unused)) static long (*const leat_core_get)(struct leat_sched_ctx *ctx, __u32 core,
							   void *to,
							   __u32 size) = (void *)LEAT_FUNC_core_get;
#endif

/*
 * A search for the core with the least of something. A loop that remembers the best core so far has
 * as many states as there are ways to come to it, too many to be proved; in this one the verifier
 * knows nothing of what is remembered, so that every round begins in the same state.
 *
 *	static long round(__u64 number, void *arg)
 *	{
 *		struct leat_search *search = arg;
 *		...
 *		leat_search_core(search, number, units, skip);
 *		return 0;
 *	}
 *	...
 *	struct leat_search search = LEAT_SEARCH(ctx);
 *
 *	bpf_loop(leat_nr_cores(ctx), round, &search, 0);
 *	return leat_search_found(&search);
 */
struct leat_search {
	struct leat_sched_ctx *ctx;
	__u64 least; /* units, then the core's number in 8 bits; bit 40: there is none */
};

#define LEAT_SEARCH_NONE (1ULL << 40)
#define LEAT_SEARCH(ctx_)                                                                          \
	{                                                                                          \
		.ctx = (ctx_), .least = LEAT_SEARCH_NONE                                           \
	}

/* units: below 2^32; skip: 1 if the core is none of those that are searched, else 0. */
static inline __attribute__((always_inline, unused)) void leat_search_core(
	struct leat_search *search, __u64 number, __u32 units, __u64 skip)
{
	__u64 core = (__u64)units << 8 | (number & 0xff) | skip << 41;
	__u64 least = core < search->least ? core : search->least;

	search->least = least ^ search->ctx->zero;
}

/* Its number, or LEAT_SCHED_DEFAULT. */
static inline __attribute__((always_inline, unused)) __u64 leat_search_found(
	const struct leat_search *search)
{
	return search->least >= LEAT_SEARCH_NONE ? LEAT_SCHED_DEFAULT : search->least & 0xff;
}

static inline __attribute__((always_inline, unused)) __u32 leat_nr_cores(
	const struct leat_sched_ctx *ctx)
{
	__u32 nr = ctx->nr_cores;

	return nr < LEAT_SCHED_CORES_MAX ? nr : LEAT_SCHED_CORES_MAX;
}
