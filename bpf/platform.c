/* The platform table's rows, and the helpers behind them. */
#include "bpf/platform.h"
#include "bpf/map.h"
#include "leat/abi/filter.h"

#include <string.h>
#include <time.h>

#define UNUSED __attribute__((unused))
#define HELPER_ARGS(a, b, c, d, e)                                                                 \
	(uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e,                               \
	 const struct ebpf_env *env UNUSED)

static void *pointer(uint64_t address)
{
	return (void *)(uintptr_t)address;
}

static uint64_t helper_map_lookup HELPER_ARGS(map, key, c UNUSED, d UNUSED, e UNUSED)
{
	return (uintptr_t)ebpf_map_find(pointer(map), pointer(key));
}

static uint64_t helper_map_update HELPER_ARGS(map, key, value, flags, e UNUSED)
{
	return (uint64_t)(int64_t)ebpf_map_update(pointer(map), pointer(key), pointer(value),
						  flags);
}

static uint64_t helper_map_delete HELPER_ARGS(map, key, c UNUSED, d UNUSED, e UNUSED)
{
	return (uint64_t)(int64_t)ebpf_map_delete(pointer(map), pointer(key));
}

static uint64_t helper_ktime_get_ns HELPER_ARGS(a UNUSED, b UNUSED, c UNUSED, d UNUSED, e UNUSED)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Not for secrets: a per-thread xorshift, as good as filters need for sampling. */
static uint64_t helper_get_prandom_u32 HELPER_ARGS(a UNUSED, b UNUSED, c UNUSED, d UNUSED, e UNUSED)
{
	static _Thread_local uint64_t state;

	if (!state)
		state = ((uintptr_t)&state ^ helper_ktime_get_ns(0, 0, 0, 0, 0, NULL)) | 1;
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t)(state >> 32);
}

/* Rows without fn belong to Linux's kinds of program, which are verified here but do not run here.
 */
#define HELPER(name_, ...) [BPF_FUNC_##name_] = {.name = #name_, __VA_ARGS__}
#define ARGS(...) .args = {__VA_ARGS__}

const struct ebpf_helper ebpf_helpers[EBPF_HELPERS] = {
	HELPER(map_lookup_elem, .fn = helper_map_lookup, .ret = RET_VALUE_OR_NULL,
	       ARGS(ARG_MAP, ARG_KEY)),
	HELPER(map_update_elem, .fn = helper_map_update, .changes_map = true,
	       ARGS(ARG_MAP, ARG_KEY, ARG_VALUE, ARG_SCALAR)),
	HELPER(map_delete_elem, .fn = helper_map_delete, .changes_map = true,
	       ARGS(ARG_MAP, ARG_KEY)),
	HELPER(ktime_get_ns, .fn = helper_ktime_get_ns),
	HELPER(get_prandom_u32, .fn = helper_get_prandom_u32),

	HELPER(trace_printk, ARGS(ARG_MEM, ARG_SIZE, ARG_SCALAR, ARG_SCALAR, ARG_SCALAR)),
	HELPER(get_smp_processor_id),
	HELPER(skb_store_bytes, .moves_packet = true,
	       ARGS(ARG_CTX, ARG_SCALAR, ARG_MEM, ARG_SIZE, ARG_SCALAR)),
	HELPER(l3_csum_replace, .moves_packet = true,
	       ARGS(ARG_CTX, ARG_SCALAR, ARG_SCALAR, ARG_SCALAR, ARG_SCALAR)),
	HELPER(l4_csum_replace, .moves_packet = true,
	       ARGS(ARG_CTX, ARG_SCALAR, ARG_SCALAR, ARG_SCALAR, ARG_SCALAR)),
	HELPER(clone_redirect, .moves_packet = true, ARGS(ARG_CTX, ARG_SCALAR, ARG_SCALAR)),
	HELPER(get_cgroup_classid, ARGS(ARG_CTX)),
	HELPER(skb_vlan_push, .moves_packet = true, ARGS(ARG_CTX, ARG_SCALAR, ARG_SCALAR)),
	HELPER(skb_vlan_pop, .moves_packet = true, ARGS(ARG_CTX)),
	HELPER(redirect, ARGS(ARG_SCALAR, ARG_SCALAR)),
	HELPER(skb_load_bytes, ARGS(ARG_CTX, ARG_SCALAR, ARG_MEM_OUT, ARG_SIZE)),
	HELPER(csum_diff, ARGS(ARG_MEM, ARG_SIZE_OR_ZERO, ARG_MEM, ARG_SIZE_OR_ZERO, ARG_SCALAR)),
	HELPER(skb_change_proto, .moves_packet = true, ARGS(ARG_CTX, ARG_SCALAR, ARG_SCALAR)),
	HELPER(get_hash_recalc, ARGS(ARG_CTX)),
	HELPER(skb_change_tail, .moves_packet = true, ARGS(ARG_CTX, ARG_SCALAR, ARG_SCALAR)),
	HELPER(skb_pull_data, .moves_packet = true, ARGS(ARG_CTX, ARG_SCALAR)),
	HELPER(csum_update, ARGS(ARG_CTX, ARG_SCALAR)),
	HELPER(skb_change_head, .moves_packet = true, ARGS(ARG_CTX, ARG_SCALAR, ARG_SCALAR)),
	HELPER(xdp_adjust_head, .moves_packet = true, ARGS(ARG_CTX, ARG_SCALAR)),
	HELPER(xdp_adjust_tail, .moves_packet = true, ARGS(ARG_CTX, ARG_SCALAR)),
	HELPER(fib_lookup, ARGS(ARG_CTX, ARG_MEM, ARG_SIZE, ARG_SCALAR)),
};

#define FIELD(member, kind)                                                                        \
	{                                                                                          \
		offsetof(struct leat_pkt_ctx, member), sizeof(((struct leat_pkt_ctx *)0)->member), \
			kind, false                                                                \
	}

static const struct ebpf_ctx_field leat_pkt_fields[] = {
	FIELD(data, FIELD_PKT),     FIELD(data_end, FIELD_PKT_END),   FIELD(now_ns, FIELD_SCALAR),
	FIELD(len, FIELD_SCALAR),   FIELD(instance, FIELD_SCALAR),    FIELD(tenant, FIELD_SCALAR),
	FIELD(port, FIELD_SCALAR),  FIELD(peer_tenant, FIELD_SCALAR), FIELD(gso_size, FIELD_SCALAR),
	FIELD(flags, FIELD_SCALAR), FIELD(tag, FIELD_SCALAR),         {0},
};

static const uint8_t leat_pkt_helpers[] = {
	BPF_FUNC_map_lookup_elem, BPF_FUNC_map_update_elem, BPF_FUNC_map_delete_elem,
	BPF_FUNC_ktime_get_ns,    BPF_FUNC_get_prandom_u32, 0,
};

/* Linux's contexts, as its verifier lets programs see them. */
#define SKB(member, ...)                                                                           \
	{                                                                                          \
		.off = offsetof(struct __sk_buff, member),                                         \
		.size = sizeof(((struct __sk_buff *)0)->member), __VA_ARGS__                       \
	}
#define XDP(member, ...)                                                                           \
	{                                                                                          \
		.off = offsetof(struct xdp_md, member),                                            \
		.size = sizeof(((struct xdp_md *)0)->member), __VA_ARGS__                          \
	}

static const struct ebpf_ctx_field socket_fields[] = {
	SKB(len),
	SKB(pkt_type),
	SKB(mark),
	SKB(queue_mapping),
	SKB(protocol),
	SKB(vlan_present),
	SKB(vlan_tci),
	SKB(vlan_proto),
	SKB(priority),
	SKB(ingress_ifindex),
	SKB(ifindex),
	SKB(tc_index),
	SKB(cb, .writable = true),
	SKB(hash),
	SKB(napi_id),
	SKB(gso_segs),
	SKB(gso_size),
	{0},
};

static const struct ebpf_ctx_field tc_fields[] = {
	SKB(len),
	SKB(pkt_type),
	SKB(mark, .writable = true),
	SKB(queue_mapping, .writable = true),
	SKB(protocol),
	SKB(vlan_present),
	SKB(vlan_tci),
	SKB(vlan_proto),
	SKB(priority, .writable = true),
	SKB(ingress_ifindex),
	SKB(ifindex),
	SKB(tc_index, .writable = true),
	SKB(cb, .writable = true),
	SKB(hash),
	SKB(tc_classid, .writable = true),
	SKB(data, .kind = FIELD_PKT),
	SKB(data_end, .kind = FIELD_PKT_END),
	SKB(napi_id),
	SKB(tstamp, .writable = true),
	SKB(wire_len),
	SKB(gso_segs),
	SKB(gso_size),
	{0},
};

static const struct ebpf_ctx_field xdp_fields[] = {
	XDP(data, .kind = FIELD_PKT), XDP(data_end, .kind = FIELD_PKT_END),
	XDP(ingress_ifindex),         XDP(rx_queue_index),
	XDP(egress_ifindex),          {0},
};

static const uint8_t socket_helpers[] = {
	BPF_FUNC_map_lookup_elem, BPF_FUNC_map_update_elem, BPF_FUNC_map_delete_elem,
	BPF_FUNC_ktime_get_ns,    BPF_FUNC_get_prandom_u32, BPF_FUNC_get_smp_processor_id,
	BPF_FUNC_trace_printk,    BPF_FUNC_skb_load_bytes,  0,
};

static const uint8_t tc_helpers[] = {
	BPF_FUNC_map_lookup_elem,
	BPF_FUNC_map_update_elem,
	BPF_FUNC_map_delete_elem,
	BPF_FUNC_ktime_get_ns,
	BPF_FUNC_get_prandom_u32,
	BPF_FUNC_get_smp_processor_id,
	BPF_FUNC_trace_printk,
	BPF_FUNC_skb_load_bytes,
	BPF_FUNC_skb_store_bytes,
	BPF_FUNC_l3_csum_replace,
	BPF_FUNC_l4_csum_replace,
	BPF_FUNC_clone_redirect,
	BPF_FUNC_get_cgroup_classid,
	BPF_FUNC_skb_vlan_push,
	BPF_FUNC_skb_vlan_pop,
	BPF_FUNC_redirect,
	BPF_FUNC_csum_diff,
	BPF_FUNC_skb_change_proto,
	BPF_FUNC_get_hash_recalc,
	BPF_FUNC_skb_change_tail,
	BPF_FUNC_skb_pull_data,
	BPF_FUNC_csum_update,
	BPF_FUNC_skb_change_head,
	BPF_FUNC_fib_lookup,
	0,
};

static const uint8_t xdp_helpers[] = {
	BPF_FUNC_map_lookup_elem,
	BPF_FUNC_map_update_elem,
	BPF_FUNC_map_delete_elem,
	BPF_FUNC_ktime_get_ns,
	BPF_FUNC_get_prandom_u32,
	BPF_FUNC_get_smp_processor_id,
	BPF_FUNC_trace_printk,
	BPF_FUNC_csum_diff,
	BPF_FUNC_redirect,
	BPF_FUNC_xdp_adjust_head,
	BPF_FUNC_xdp_adjust_tail,
	BPF_FUNC_fib_lookup,
	0,
};

#define LINUX_COST_MAX 1000000

/* A packet must not keep a core for long: some 50 us at the worst. */
#define LEAT_COST_MAX 100000

static const struct ebpf_prog_type prog_types[] = {
	{.section = LEAT_SEC_EGRESS,
	 .fields = leat_pkt_fields,
	 .helpers = leat_pkt_helpers,
	 .cost_max = LEAT_COST_MAX,
	 .runnable = true},
	{.section = LEAT_SEC_INGRESS,
	 .fields = leat_pkt_fields,
	 .helpers = leat_pkt_helpers,
	 .cost_max = LEAT_COST_MAX,
	 .runnable = true},
	{.section = "socket",
	 .fields = socket_fields,
	 .helpers = socket_helpers,
	 .cost_max = LINUX_COST_MAX},
	{.section = "tc",
	 .fields = tc_fields,
	 .helpers = tc_helpers,
	 .packet_writable = true,
	 .cost_max = LINUX_COST_MAX},
	{.section = "xdp",
	 .fields = xdp_fields,
	 .helpers = xdp_helpers,
	 .packet_writable = true,
	 .cost_max = LINUX_COST_MAX},
};

const struct ebpf_prog_type *ebpf_prog_type_find(const char *section)
{
	size_t i, n;

	for (i = 0; i < sizeof(prog_types) / sizeof(prog_types[0]); i++) {
		n = strlen(prog_types[i].section);
		if (strncmp(section, prog_types[i].section, n) == 0 &&
		    (section[n] == '\0' || section[n] == '/'))
			return &prog_types[i];
	}
	return NULL;
}

bool ebpf_prog_type_allows(const struct ebpf_prog_type *type, int32_t helper)
{
	const uint8_t *allowed;

	if (helper <= 0 || helper >= EBPF_HELPERS)
		return false;
	for (allowed = type->helpers; *allowed; allowed++)
		if (*allowed == helper)
			return true;
	return false;
}

ebpf_helper_fn ebpf_helper_find(int32_t number)
{
	return number > 0 && number < EBPF_HELPERS ? ebpf_helpers[number].fn : NULL;
}
