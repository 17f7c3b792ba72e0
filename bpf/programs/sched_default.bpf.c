/*
 * The default policy as a program: what the scheduler does by itself, to change and load.
 */
#include "sched_common.h"
#include "sched_default.h"

HOOK(congested) __u64 congested(struct leat_sched_ctx *ctx)
{
	return default_congested(ctx);
}

HOOK(select_core) __u64 select_core(struct leat_sched_ctx *ctx)
{
	return default_select_core(ctx);
}

HOOK(pick_next) __u64 pick_next(struct leat_sched_ctx *ctx)
{
	return default_pick_next(ctx);
}

HOOK(balance) __u64 balance(struct leat_sched_ctx *ctx)
{
	return default_balance(ctx);
}

HOOK(quantum_expired) __u64 quantum_expired(struct leat_sched_ctx *ctx)
{
	(void)ctx;
	return 0;
}
