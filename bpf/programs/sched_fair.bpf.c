/*
 * Fair shares: of what is to be had each tenant gets its weight's part, and each of its instances
 * its weight's part of that. Time that was used counts against its user, the less the greater the
 * weight: first in line is whose tenant has used least, more or less by how far the instance itself
 * is behind or ahead of the tenant's others. Nobody saves up for later: whoever comes back stands
 * where the others are.
 */
#include "sched_common.h"

#define ONE 100             /* the weight that is neither great nor small */
#define LAG_NS (20 * MS)    /* of one who comes back, before those who are there */
#define BASE_NS (1000 * MS) /* so that no rank is below 0 */

struct share {
	__u64 used_ns;  /* as of the last time */
	__u64 time_ns;  /* used, by weight */
	__u64 front_ns; /* of a tenant: where those of its instances stand that were looked at last
			 */
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, struct share);
} tenants SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 32768);
	__type(key, __u32);
	__type(value, struct share);
} instances SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} front SEC(".maps");

/*
 * Counts what it has used since it was last looked at. It stands no further back than a bit behind
 * the front of its like, which moves with them.
 */
static __always_inline void advance(struct share *share, __u64 used_ns, __u32 weight,
				    __u64 *inout_front_ns)
{
	__u64 front_ns = *inout_front_ns, least_ns = front_ns > LAG_NS ? front_ns - LAG_NS : 0;

	share->time_ns += (used_ns - share->used_ns) * ONE / (weight ? weight : 1);
	share->used_ns = used_ns;
	if (share->time_ns < least_ns)
		share->time_ns = least_ns;
	if (share->time_ns > front_ns)
		*inout_front_ns = front_ns + ((share->time_ns - front_ns) >> 3);
}

static __always_inline struct share *share_of(void *map, __u32 key, __u64 used_ns)
{
	struct share fresh = {.used_ns = used_ns};
	struct share *share = bpf_map_lookup_elem(map, &key);

	if (!share) {
		bpf_map_update_elem(map, &key, &fresh, BPF_NOEXIST);
		share = bpf_map_lookup_elem(map, &key);
	}
	return share;
}

HOOK(pick_next) __u64 pick_next(struct leat_sched_ctx *ctx)
{
	struct share *tenant = share_of(&tenants, ctx->tenant, ctx->tenant_cpu_ns);
	struct share *instance = share_of(&instances, ctx->instance, ctx->instance_cpu_ns);
	__u32 zero = 0;
	__u64 *front_ns = bpf_map_lookup_elem(&front, &zero);

	if (!tenant || !instance || !front_ns)
		return LEAT_SCHED_DEFAULT;
	advance(tenant, ctx->tenant_cpu_ns, ctx->tenant_weight, front_ns);
	advance(instance, ctx->instance_cpu_ns, ctx->weight, &tenant->front_ns);
	return BASE_NS + tenant->time_ns + instance->time_ns - tenant->front_ns;
}

static __always_inline __u32 load(const struct leat_sched_ctx *ctx,
				  const struct leat_sched_core *core, __u32 number)
{
	__u32 count = ctx->flags & LEAT_SCHED_COMPUTES ? core->computing + core->waiting :
							 core->granted + core->waiting;

	(void)number;
	return count << 10 | (core->busy_permille & 1023);
}

LEAST_CORE(load)

HOOK(select_core) __u64 select_core(struct leat_sched_ctx *ctx)
{
	return least_core(ctx);
}
