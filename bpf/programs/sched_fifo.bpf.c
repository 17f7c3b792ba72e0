/*
 * First come, first served: each vcpu goes where the fewest are, waits in the order of arrival, and
 * stays there until it gives way or its quantum is over.
 */
#include "sched_common.h"

static __always_inline __u32 load(const struct leat_sched_ctx *ctx,
				  const struct leat_sched_core *core, __u32 number)
{
	(void)ctx;
	(void)number;
	return core->granted + core->waiting;
}

LEAST_CORE(load)

HOOK(select_core) __u64 select_core(struct leat_sched_ctx *ctx)
{
	return least_core(ctx);
}

HOOK(pick_next) __u64 pick_next(struct leat_sched_ctx *ctx)
{
	return ctx->now_ns;
}
