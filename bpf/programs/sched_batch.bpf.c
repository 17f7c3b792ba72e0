/*
 * Batch in the gaps: instances with bit 0 of their tag word (or of their tenant's or function's)
 * get the cores that the others leave. They go to idle cores, wait behind everybody, and give a
 * core back as soon as somebody waits for it. After 100 ms of waiting they are next: gaps may never
 * come.
 */
#include "sched_common.h"
#include "sched_default.h"

#define BATCH 1U
#define BEHIND_NS (100 * MS)

static __always_inline int is_batch(const struct leat_sched_ctx *ctx)
{
	return (ctx->tag | ctx->tenant_tag | ctx->function_tag) & BATCH;
}

static __always_inline __u32 load(const struct leat_sched_ctx *ctx,
				  const struct leat_sched_core *core, __u32 number)
{
	(void)ctx;
	(void)number;
	return (core->granted + core->waiting) << 10 | (core->busy_permille & 1023);
}

LEAST_CORE(load)

HOOK(select_core) __u64 select_core(struct leat_sched_ctx *ctx)
{
	if (!is_batch(ctx))
		return default_select_core(ctx);
	return least_core(ctx);
}

HOOK(pick_next) __u64 pick_next(struct leat_sched_ctx *ctx)
{
	return is_batch(ctx) ? ctx->now_ns + BEHIND_NS : ctx->now_ns;
}

HOOK(congested) __u64 congested(struct leat_sched_ctx *ctx)
{
	if (!is_batch(ctx))
		return LEAT_SCHED_DEFAULT;
	return (ctx->idle_cores & ctx->allowed_cores) ||
	       (ctx->idle_cores_high & ctx->allowed_cores_high);
}

HOOK(quantum_expired) __u64 quantum_expired(struct leat_sched_ctx *ctx)
{
	/* among themselves a long quantum is worth more than a turn soon */
	struct leat_sched_core core;

	if (is_batch(ctx) && !leat_core_get(ctx, ctx->core, &core, sizeof(core)) &&
	    core.granted == core.computing && ctx->ran_ns < 10 * MS)
		return 4 * MS;
	return 0;
}
