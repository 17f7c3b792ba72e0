/* Policies that the scheduler has to refuse, or to survive; -DBAD_... chooses one. */
#include "bpf/programs/sched_common.h"

#if defined(BAD_LOOP)
HOOK(pick_next) __u64 pick_next(struct leat_sched_ctx *ctx)
{
	volatile __u64 i = ctx->now_ns;

	while (i != 1)
		i++;
	return i;
}
#elif defined(BAD_OVERRUN)
HOOK(pick_next) __u64 pick_next(struct leat_sched_ctx *ctx)
{
	volatile __u64 sum = 0;

	for (int i = 0; i < 1000; i++)
		sum += ctx->now_ns;
	return sum;
}
#elif defined(BAD_CORE)
HOOK(select_core) __u64 select_core(struct leat_sched_ctx *ctx)
{
	return ctx->nr_cores;
}
#elif defined(BAD_DEAD)
HOOK(select_core) __u64 select_core(struct leat_sched_ctx *ctx)
{
	(void)ctx;
	return 1;
}

HOOK(balance) __u64 balance(struct leat_sched_ctx *ctx)
{
	(void)ctx;
	return 1;
}
#elif defined(BAD_QUANTUM)
HOOK(quantum_expired) __u64 quantum_expired(struct leat_sched_ctx *ctx)
{
	return ctx->now_ns * 1000;
}
#elif defined(BAD_HOLD)
/* Nobody gets more than one core, and who has one keeps it for as long as may be. */
HOOK(congested) __u64 congested(struct leat_sched_ctx *ctx)
{
	(void)ctx;
	return 0;
}

HOOK(quantum_expired) __u64 quantum_expired(struct leat_sched_ctx *ctx)
{
	(void)ctx;
	return LEAT_SCHED_EXTEND_MAX_NS;
}
#elif defined(BAD_STARVE)
HOOK(pick_next) __u64 pick_next(struct leat_sched_ctx *ctx)
{
	return ctx->instance == 1 ? ~1ULL : ctx->now_ns;
}
#elif defined(BAD_INIT)
HOOK(init) __u64 init(struct leat_sched_ctx *ctx)
{
	return ctx->nr_cores;
}
#elif defined(BAD_HOOK)
HOOK(select_cores) __u64 select_cores(struct leat_sched_ctx *ctx)
{
	(void)ctx;
	return 0;
}
#elif defined(BAD_MAP)
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} counts SEC(".maps");

HOOK(pick_next) __u64 pick_next(struct leat_sched_ctx *ctx)
{
	__u32 key = 0;
	__u64 *count = bpf_map_lookup_elem(&counts, &key);

	return count ? ++*count : ctx->now_ns;
}
#elif defined(BAD_WRITE)
HOOK(pick_next) __u64 pick_next(struct leat_sched_ctx *ctx)
{
	ctx->weight = 1000;
	return 0;
}
#elif defined(BAD_CLOCK)
HOOK(pick_next) __u64 pick_next(struct leat_sched_ctx *ctx)
{
	(void)ctx;
	return bpf_ktime_get_ns();
}
#elif defined(GOOD_TOLD)
/* What the hooks are told, and when: kept in a map that the test reads. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, __u64);
} told SEC(".maps");

static __always_inline __u64 tell(__u32 key, __u64 value)
{
	__u64 *at = bpf_map_lookup_elem(&told, &key);

	if (at)
		*at += value;
	return 0;
}

HOOK(init) __u64 init(struct leat_sched_ctx *ctx)
{
	return tell(ctx->hook, 1);
}

HOOK(exit) __u64 leave(struct leat_sched_ctx *ctx)
{
	return tell(ctx->hook, 1);
}

HOOK(attach) __u64 attach(struct leat_sched_ctx *ctx)
{
	ctx->state = 7;
	return tell(ctx->hook, 1);
}

HOOK(detach) __u64 detach(struct leat_sched_ctx *ctx)
{
	return tell(ctx->hook, ctx->state);
}

HOOK(pick_next) __u64 pick_next(struct leat_sched_ctx *ctx)
{
	tell(10, ctx->tag);
	tell(11, ctx->tenant_tag);
	tell(12, ctx->function_tag);
	tell(13, ctx->weight);
	tell(14, ctx->tenant_weight);
	ctx->state++;
	return LEAT_SCHED_DEFAULT;
}
#endif
