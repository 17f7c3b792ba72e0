/*
 * Interference-aware: those who hurt each other are kept apart. The low byte of an instance's tag
 * word says what it is heavy on (memory bandwidth, cache, ...: a bit each, as the operator likes);
 * two with a bit in common do not share a core, nor the two hardware threads of one, while there is
 * another. Besides, the other hardware thread of a busy core is worth half a core, and another NUMA
 * node than the last one costs something.
 */
#include "sched_common.h"

#define HEAVY 0xffU
#define CLASH 64U  /* in units of a neighbour's presence */
#define SIBLING 2U /* a busy one */
#define FOREIGN 1U /* another node */

static __always_inline __u32 load(struct leat_sched_ctx *ctx, const struct leat_sched_core *core,
				  __u32 number)
{
	__u32 mine = ctx->tag & HEAVY, units = 4 * (core->granted + core->waiting);
	struct leat_sched_core other;

	if (core->granted && core->tags & mine)
		units += CLASH;
	units += 4 * core->computing;
	if (core->sibling != number && !leat_core_get(ctx, core->sibling, &other, sizeof(other)) &&
	    other.granted) {
		units += SIBLING + 2 * other.computing;
		if (other.tags & mine)
			units += CLASH / 2;
	}
	if (ctx->last_core != LEAT_SCHED_NO_CORE &&
	    !leat_core_get(ctx, ctx->last_core, &other, sizeof(other)) && other.node != core->node)
		units += FOREIGN;
	return units << 10 | (core->busy_permille & 1023);
}

LEAST_CORE(load)

HOOK(select_core) __u64 select_core(struct leat_sched_ctx *ctx)
{
	struct leat_sched_core last;

	/* its caches are warm there, and nobody clashes */
	if (!leat_core_get(ctx, ctx->last_core, &last, sizeof(last)) && !last.waiting &&
	    !last.granted && !(last.flags & LEAT_CORE_GONE))
		return ctx->last_core;
	return least_core(ctx);
}

HOOK(balance) __u64 balance(struct leat_sched_ctx *ctx)
{
	struct leat_sched_core here;

	/* alone it is where it should be; else it goes where there is nobody */
	if (leat_core_get(ctx, ctx->core, &here, sizeof(here)) || here.granted < 2 ||
	    !((ctx->idle_cores & ctx->allowed_cores) ||
	      (ctx->idle_cores_high & ctx->allowed_cores_high)))
		return ctx->core;
	return least_core(ctx);
}
