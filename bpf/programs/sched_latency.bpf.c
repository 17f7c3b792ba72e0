/*
 * The shortest queueing delay: work goes where it has to wait least, away from those who compute,
 * and whoever used to run briefly goes first. Someone who computes waits behind all who came until
 * 20 ms after it.
 */
#include "sched_common.h"

#define BEHIND_NS (20 * MS)
#define MEAN_SHIFT 3 /* of the time that a vcpu runs for, once it has a core */

/* ctx->state: that mean in the high half, in us; what it had used when it last came, in the low. */
static __always_inline __u64 mean_us(struct leat_sched_ctx *ctx)
{
	__u32 used_us = (__u32)(ctx->cpu_ns / 1000), before_us = (__u32)ctx->state;
	__u64 mean = ctx->state >> 32;

	mean += ((__u64)(used_us - before_us) >> MEAN_SHIFT) - (mean >> MEAN_SHIFT);
	ctx->state = mean << 32 | used_us;
	return mean;
}

static __always_inline __u32 load(const struct leat_sched_ctx *ctx,
				  const struct leat_sched_core *core, __u32 number)
{
	__u32 behind = core->granted + 4 * core->waiting;

	(void)number;
	if (!(ctx->flags & LEAT_SCHED_COMPUTES))
		behind += 2 * core->computing + (core->flags & LEAT_CORE_SPINNER);
	return behind << 10 | (core->busy_permille & 1023);
}

LEAST_CORE(load)

HOOK(select_core) __u64 select_core(struct leat_sched_ctx *ctx)
{
	struct leat_sched_core last;

	/* where its caches are, if it need not wait there */
	if (!leat_core_get(ctx, ctx->last_core, &last, sizeof(last)) &&
	    !(last.flags & (LEAT_CORE_GONE | LEAT_CORE_SPINNER)) && !last.waiting &&
	    !last.computing && last.crowded_permille < 100)
		return ctx->last_core;
	return least_core(ctx);
}

HOOK(pick_next) __u64 pick_next(struct leat_sched_ctx *ctx)
{
	__u64 behind_ns = mean_us(ctx) * 1000;

	if (ctx->flags & LEAT_SCHED_COMPUTES || behind_ns > BEHIND_NS)
		behind_ns = BEHIND_NS;
	return ctx->now_ns + behind_ns;
}
