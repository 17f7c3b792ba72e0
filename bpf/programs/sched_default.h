/*
 * The default policy: where it was while that core keeps up, else where it is quiet; in the order
 * of arrival.
 *
 * Two instances that talk to each other have the shortest round trip on one core, and the highest
 * throughput on two. A core does not keep up when often more than one of those who hold it have
 * work at the same time. So they are left together while their core keeps up, spread when it does
 * not, and brought together again when the cores are mostly waiting.
 *
 * This is the source of sched_default.bpf.c and of the scheduler's built-in policy
 * (sched/builtin.c), to which everything falls back.
 */
#pragma once

#define DEFAULT_CROWDED_PERMILLE 200U /* a core that keeps up is crowded less, */
#define DEFAULT_BUSY_PERMILLE 850U    /* and busy less */
#define DEFAULT_SPREAD_PERMILLE 250U  /* crowded: spread */
#define DEFAULT_JOIN_PERMILLE 950U    /* busy, of both together, */
#define DEFAULT_OVERLAP_PERMILLE 150U /* and so seldom at the same time: join, */
#define DEFAULT_SETTLE_NS 50000000ULL /* but not so soon after spreading */
#define DEFAULT_PLACES 8U             /* of a core */
#define DEFAULT_HOLD_NS 50000ULL /* with no idle core, work beyond the guarantee waits so long */

static __always_inline int default_keeps_up(const struct leat_sched_core *core)
{
	return !(core->flags & (LEAT_CORE_SPINNER | LEAT_CORE_GONE)) && core->waiting == 0 &&
	       core->crowded_permille < DEFAULT_CROWDED_PERMILLE &&
	       (core->granted == 0 || core->busy_permille < DEFAULT_BUSY_PERMILLE);
}

/* One number by which cores can be compared: holders and waiters first, then how busy they are.
 * Those who compute count twice: they never leave it idle. */
static __always_inline __u32 default_load(const struct leat_sched_core *core)
{
	__u32 load =
		core->granted + core->waiting + core->computing + (core->flags & LEAT_CORE_SPINNER);

	return load << 10 | (core->busy_permille & 1023);
}

static long default_quieter(__u64 number, void *arg)
{
	struct leat_search *search = arg;
	struct leat_sched_core core;
	__u64 skip = leat_core_get(search->ctx, (__u32)number, &core, sizeof(core)) != 0;

	leat_search_core(search, number, default_load(&core),
			 skip | (core.flags & LEAT_CORE_GONE) >> 1);
	return 0;
}

static __always_inline __u64 default_quietest(struct leat_sched_ctx *ctx)
{
	struct leat_search search = LEAT_SEARCH(ctx);

	bpf_loop(leat_nr_cores(ctx), default_quieter, &search, 0);
	return leat_search_found(&search);
}

static __always_inline __u64 default_select_core(struct leat_sched_ctx *ctx)
{
	struct leat_sched_core core;

	if (!leat_core_get(ctx, ctx->last_core, &core, sizeof(core)) && default_keeps_up(&core))
		return ctx->last_core;
	if (!leat_core_get(ctx, ctx->waker, &core, sizeof(core)) && core.granted > 0 &&
	    default_keeps_up(&core))
		return ctx->waker;
	return default_quietest(ctx);
}

/* Other cores where nobody waits: the least busy one, */
static long default_idler(__u64 number, void *arg)
{
	struct leat_search *search = arg;
	struct leat_sched_core core;
	__u64 skip = leat_core_get(search->ctx, (__u32)number, &core, sizeof(core)) != 0;

	skip |= (core.flags & LEAT_CORE_GONE) >> 1 | (number == search->ctx->core) |
		(core.waiting != 0);
	leat_search_core(search, number, core.busy_permille, skip);
	return 0;
}

/* or, of those that are held, the busiest one. */
static long default_busier(__u64 number, void *arg)
{
	struct leat_search *search = arg;
	struct leat_sched_core core;
	__u64 skip = leat_core_get(search->ctx, (__u32)number, &core, sizeof(core)) != 0;

	skip |= (core.flags & LEAT_CORE_GONE) >> 1 | (number == search->ctx->core) |
		(core.waiting != 0) | (core.granted == 0);
	leat_search_core(search, number, 1000U - core.busy_permille, skip);
	return 0;
}

/* Is it better there, on the quietest core, than here where it is crowded? */
static __always_inline __u64 default_spread(struct leat_sched_ctx *ctx,
					    const struct leat_sched_core *here)
{
	struct leat_search search = LEAT_SEARCH(ctx);
	struct leat_sched_core there;
	__u64 core;

	if (!here->waiting && here->crowded_permille <= DEFAULT_SPREAD_PERMILLE)
		return ctx->core;
	bpf_loop(leat_nr_cores(ctx), default_idler, &search, 0);
	core = leat_search_found(&search);
	if (leat_core_get(ctx, (__u32)core, &there, sizeof(there)) ||
	    there.granted + 1 >= here->granted + here->waiting)
		return ctx->core;
	return core;
}

/* It is alone here: may it join others, who leave it enough? */
static __always_inline __u64 default_join(struct leat_sched_ctx *ctx,
					  const struct leat_sched_core *here)
{
	struct leat_search search = LEAT_SEARCH(ctx);
	struct leat_sched_core there;
	__u64 core;

	if (here->flags & LEAT_CORE_SPINNER || ctx->since_spread_ns <= DEFAULT_SETTLE_NS ||
	    here->overlap_permille >= DEFAULT_OVERLAP_PERMILLE)
		return ctx->core;
	bpf_loop(leat_nr_cores(ctx), default_busier, &search, 0);
	core = leat_search_found(&search);
	if (leat_core_get(ctx, (__u32)core, &there, sizeof(there)) ||
	    there.flags & LEAT_CORE_SPINNER || there.granted >= DEFAULT_PLACES ||
	    (core > ctx->core && there.granted < 2) ||
	    here->busy_permille + there.busy_permille >= DEFAULT_JOIN_PERMILLE)
		return ctx->core;
	return core;
}

static __always_inline __u64 default_balance(struct leat_sched_ctx *ctx)
{
	struct leat_sched_core here;

	if (leat_core_get(ctx, ctx->core, &here, sizeof(here)))
		return ctx->core;
	return here.granted + here.waiting > 1 ? default_spread(ctx, &here) :
						 default_join(ctx, &here);
}

static __always_inline __u64 default_congested(struct leat_sched_ctx *ctx)
{
	return (ctx->idle_cores & ctx->allowed_cores) ||
	       (ctx->idle_cores_high & ctx->allowed_cores_high) || ctx->delay_ns >= DEFAULT_HOLD_NS;
}

static __always_inline __u64 default_pick_next(struct leat_sched_ctx *ctx)
{
	return ctx->now_ns;
}
