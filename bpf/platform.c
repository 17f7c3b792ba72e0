/* The platform table's rows, and the helpers behind them. */
#include "bpf/platform.h"
#include "bpf/helpers.h"
#include "bpf/map.h"
#include "leat/abi/filter.h"
#include "leat/abi/policy.h"

#include <errno.h>
#include <string.h>

static const struct ebpf_map_kind map_kinds[] = {
	{BPF_MAP_TYPE_HASH, ROLE_PLAIN, true},
	{BPF_MAP_TYPE_ARRAY, ROLE_PLAIN, true},
	{BPF_MAP_TYPE_PERCPU_ARRAY, ROLE_PLAIN, true},
	{BPF_MAP_TYPE_LRU_HASH, ROLE_PLAIN, true},
	{BPF_MAP_TYPE_LPM_TRIE, ROLE_PLAIN, true},
	{BPF_MAP_TYPE_ARRAY_OF_MAPS, ROLE_OF_MAPS, true},
	{BPF_MAP_TYPE_HASH_OF_MAPS, ROLE_OF_MAPS, true},
	{BPF_MAP_TYPE_RINGBUF, ROLE_RING, true},
	{BPF_MAP_TYPE_DEVMAP, ROLE_HANDLES, true},
	{BPF_MAP_TYPE_XSKMAP, ROLE_SOCKETS, false},
	{BPF_MAP_TYPE_CPUMAP, ROLE_HANDLES, false},
	{BPF_MAP_TYPE_DEVMAP_HASH, ROLE_HANDLES, false},
	{BPF_MAP_TYPE_PERCPU_HASH, ROLE_PLAIN, false},
	{BPF_MAP_TYPE_LRU_PERCPU_HASH, ROLE_PLAIN, false},
	{BPF_MAP_TYPE_PERF_EVENT_ARRAY, ROLE_EVENTS, false},
};

const struct ebpf_map_kind *ebpf_map_kind_find(uint32_t type)
{
	size_t i;

	for (i = 0; i < sizeof(map_kinds) / sizeof(map_kinds[0]); i++)
		if (map_kinds[i].type == type)
			return &map_kinds[i];
	return NULL;
}

/* Rows without fn belong to Linux's kinds of program, which are verified here but do not run here.
 */
#define HELPER(name_, ...) [BPF_FUNC_##name_] = {.name = #name_, __VA_ARGS__}
#define ARGS(...) .args = {__VA_ARGS__}

#define OWN(name_, ...) [LEAT_FUNC_##name_] = {.name = "leat_" #name_, __VA_ARGS__}
#define RETURNS(min, max) .rmin = (min), .rmax = (max)
#define SOCKS (1 << OBJECT_SOCK_COMMON | 1 << OBJECT_SOCK | 1 << OBJECT_TCP_SOCK)

const struct ebpf_helper ebpf_helpers[EBPF_HELPERS] = {
	HELPER(map_lookup_elem, .fn = ebpf_helper_map_lookup, .ret = RET_VALUE_OR_NULL,
	       .map_roles = ROLE_PLAIN | ROLE_OF_MAPS | ROLE_SOCKETS, ARGS(ARG_MAP, ARG_KEY)),
	HELPER(map_update_elem, .fn = ebpf_helper_map_update, .changes_map = true,
	       .map_roles = ROLE_PLAIN, ARGS(ARG_MAP, ARG_KEY, ARG_VALUE, ARG_SCALAR)),
	HELPER(map_delete_elem, .fn = ebpf_helper_map_delete, .changes_map = true,
	       .map_roles = ROLE_PLAIN, ARGS(ARG_MAP, ARG_KEY)),
	HELPER(ktime_get_ns, .fn = ebpf_helper_ktime_get_ns),
	HELPER(get_prandom_u32, .fn = ebpf_helper_get_prandom_u32),
	HELPER(get_smp_processor_id, .fn = ebpf_helper_get_smp_processor_id),
	HELPER(trace_printk, .fn = ebpf_helper_trace_printk,
	       ARGS(ARG_MEM, ARG_SIZE, ARG_TRACED, ARG_TRACED, ARG_TRACED)),
	HELPER(loop, ARGS(ARG_COUNT, ARG_CALLBACK, ARG_CALLBACK_CTX, ARG_ZERO)),
	HELPER(ringbuf_output, .fn = ebpf_helper_ring_output, .map_roles = ROLE_RING,
	       ARGS(ARG_MAP, ARG_MEM, ARG_SIZE_OR_ZERO, ARG_SCALAR)),
	HELPER(ringbuf_reserve, .fn = ebpf_helper_ring_reserve, .map_roles = ROLE_RING,
	       .ret = RET_RECORD_OR_NULL, .acquires = true,
	       ARGS(ARG_MAP, ARG_RECORD_SIZE, ARG_ZERO)),
	HELPER(ringbuf_submit, .fn = ebpf_helper_ring_submit, .releases = true,
	       ARGS(ARG_RECORD, ARG_SCALAR)),
	HELPER(ringbuf_discard, .fn = ebpf_helper_ring_discard, .releases = true,
	       ARGS(ARG_RECORD, ARG_SCALAR)),
	HELPER(ringbuf_query, .fn = ebpf_helper_ring_query, .map_roles = ROLE_RING,
	       ARGS(ARG_MAP, ARG_SCALAR)),

	/* packets: run here on a struct leat_pkt_ctx */
	HELPER(skb_load_bytes, .fn = ebpf_helper_load_bytes, RETURNS(-EFAULT, 0),
	       ARGS(ARG_CTX, ARG_SCALAR, ARG_MEM_OUT, ARG_SIZE)),
	HELPER(skb_store_bytes, .fn = ebpf_helper_store_bytes, .moves_packet = true,
	       .writes_packet = true, ARGS(ARG_CTX, ARG_SCALAR, ARG_MEM, ARG_SIZE, ARG_SCALAR)),
	HELPER(l3_csum_replace, .fn = ebpf_helper_l3_csum_replace, .moves_packet = true,
	       .writes_packet = true,
	       ARGS(ARG_CTX, ARG_SCALAR, ARG_SCALAR, ARG_SCALAR, ARG_SCALAR)),
	HELPER(l4_csum_replace, .fn = ebpf_helper_l4_csum_replace, .moves_packet = true,
	       .writes_packet = true,
	       ARGS(ARG_CTX, ARG_SCALAR, ARG_SCALAR, ARG_SCALAR, ARG_SCALAR)),
	HELPER(csum_diff, .fn = ebpf_helper_csum_diff,
	       ARGS(ARG_MEM_OR_NULL, ARG_SIZE_OR_ZERO, ARG_MEM_OR_NULL, ARG_SIZE_OR_ZERO,
		    ARG_SCALAR)),
	HELPER(xdp_adjust_head, .fn = ebpf_helper_adjust_head, .moves_packet = true,
	       .writes_packet = true, ARGS(ARG_CTX, ARG_SCALAR)),
	HELPER(xdp_adjust_tail, .fn = ebpf_helper_adjust_tail, .moves_packet = true,
	       .writes_packet = true, ARGS(ARG_CTX, ARG_SCALAR)),

	/* Leat's own */
	OWN(redirect, .fn = ebpf_helper_redirect, .map_roles = ROLE_HANDLES,
	    RETURNS(LEAT_DROP, LEAT_REDIRECT), ARGS(ARG_CTX, ARG_MAP, ARG_INDEX)),
	OWN(bucket_take, .fn = ebpf_helper_bucket_take, RETURNS(0, 1),
	    ARGS(ARG_BUCKET, ARG_SCALAR, ARG_SCALAR)),
	OWN(tag_lookup, .fn = ebpf_helper_tag_lookup, RETURNS(-ENOENT, UINT32_MAX),
	    ARGS(ARG_SCALAR)),
	OWN(core_get, .fn = ebpf_helper_core_get, RETURNS(-ENOENT, 0),
	    ARGS(ARG_CTX, ARG_SCALAR, ARG_MEM_OUT, ARG_SIZE)),

	/* only for Linux to run */
	HELPER(clone_redirect, .moves_packet = true, ARGS(ARG_CTX, ARG_SCALAR, ARG_SCALAR)),
	HELPER(get_cgroup_classid, ARGS(ARG_CTX)),
	HELPER(skb_vlan_push, .moves_packet = true, ARGS(ARG_CTX, ARG_SCALAR, ARG_SCALAR)),
	HELPER(skb_vlan_pop, .moves_packet = true, ARGS(ARG_CTX)),
	HELPER(redirect, ARGS(ARG_SCALAR, ARG_SCALAR)),
	HELPER(redirect_map, .map_roles = ROLE_HANDLES | ROLE_SOCKETS,
	       ARGS(ARG_MAP, ARG_SCALAR, ARG_SCALAR)),
	HELPER(skb_change_proto, .moves_packet = true, ARGS(ARG_CTX, ARG_SCALAR, ARG_SCALAR)),
	HELPER(get_hash_recalc, ARGS(ARG_CTX)),
	HELPER(skb_change_tail, .moves_packet = true, ARGS(ARG_CTX, ARG_SCALAR, ARG_SCALAR)),
	HELPER(skb_pull_data, .moves_packet = true, ARGS(ARG_CTX, ARG_SCALAR)),
	HELPER(csum_update, ARGS(ARG_CTX, ARG_SCALAR)),
	HELPER(skb_change_head, .moves_packet = true, ARGS(ARG_CTX, ARG_SCALAR, ARG_SCALAR)),
	HELPER(xdp_adjust_meta, .moves_packet = true, ARGS(ARG_CTX, ARG_SCALAR)),
	HELPER(fib_lookup, ARGS(ARG_CTX, ARG_MEM_IN_OUT, ARG_SIZE, ARG_SCALAR)),
	HELPER(perf_event_output, .map_roles = ROLE_EVENTS,
	       ARGS(ARG_CTX, ARG_MAP, ARG_SCALAR, ARG_MEM, ARG_SIZE_OR_ZERO)),
	HELPER(ktime_get_boot_ns),
	HELPER(ktime_get_coarse_ns),
	HELPER(jiffies64),
	HELPER(get_numa_node_id),
	HELPER(skb_get_tunnel_key, ARGS(ARG_CTX, ARG_MEM_OUT, ARG_SIZE, ARG_SCALAR)),
	HELPER(skb_set_tunnel_key, ARGS(ARG_CTX, ARG_MEM, ARG_SIZE, ARG_SCALAR)),
	HELPER(skb_get_tunnel_opt, ARGS(ARG_CTX, ARG_MEM_OUT, ARG_SIZE)),
	HELPER(skb_set_tunnel_opt, ARGS(ARG_CTX, ARG_MEM, ARG_SIZE)),
	HELPER(skb_load_bytes_relative,
	       ARGS(ARG_CTX, ARG_SCALAR, ARG_MEM_OUT, ARG_SIZE, ARG_SCALAR)),
	HELPER(skb_adjust_room, .moves_packet = true,
	       ARGS(ARG_CTX, ARG_SCALAR, ARG_SCALAR, ARG_SCALAR)),
	HELPER(skb_ecn_set_ce, .moves_packet = true, ARGS(ARG_CTX)),
	HELPER(skb_change_type, ARGS(ARG_CTX, ARG_SCALAR)),
	HELPER(set_hash_invalid, ARGS(ARG_CTX)),
	HELPER(set_hash, ARGS(ARG_CTX, ARG_SCALAR)),
	HELPER(csum_level, ARGS(ARG_CTX, ARG_SCALAR)),
	HELPER(get_route_realm, ARGS(ARG_CTX)),
	HELPER(skb_cgroup_id, ARGS(ARG_CTX)),
	HELPER(get_socket_cookie, ARGS(ARG_CTX)),
	HELPER(get_socket_uid, ARGS(ARG_CTX)),
	HELPER(redirect_peer, ARGS(ARG_SCALAR, ARG_SCALAR)),
	HELPER(redirect_neigh, ARGS(ARG_SCALAR, ARG_MEM_OR_NULL, ARG_SIZE_OR_ZERO, ARG_SCALAR)),
	HELPER(xdp_get_buff_len, ARGS(ARG_CTX)),
	HELPER(xdp_load_bytes, ARGS(ARG_CTX, ARG_SCALAR, ARG_MEM_OUT, ARG_SIZE)),
	HELPER(xdp_store_bytes, .writes_packet = true,
	       ARGS(ARG_CTX, ARG_SCALAR, ARG_MEM, ARG_SIZE)),
	HELPER(sk_lookup_tcp, .ret = RET_OBJECT_OR_NULL, .object = OBJECT_SOCK, .acquires = true,
	       ARGS(ARG_CTX, ARG_MEM, ARG_SIZE, ARG_SCALAR, ARG_SCALAR)),
	HELPER(sk_lookup_udp, .ret = RET_OBJECT_OR_NULL, .object = OBJECT_SOCK, .acquires = true,
	       ARGS(ARG_CTX, ARG_MEM, ARG_SIZE, ARG_SCALAR, ARG_SCALAR)),
	HELPER(skc_lookup_tcp, .ret = RET_OBJECT_OR_NULL, .object = OBJECT_SOCK_COMMON,
	       .acquires = true, ARGS(ARG_CTX, ARG_MEM, ARG_SIZE, ARG_SCALAR, ARG_SCALAR)),
	HELPER(sk_release, .releases = true, .takes = SOCKS, ARGS(ARG_OBJECT)),
	HELPER(sk_fullsock, .ret = RET_OBJECT_OR_NULL, .object = OBJECT_SOCK, .takes = SOCKS,
	       ARGS(ARG_OBJECT)),
	HELPER(tcp_sock, .ret = RET_OBJECT_OR_NULL, .object = OBJECT_TCP_SOCK, .takes = SOCKS,
	       ARGS(ARG_OBJECT)),
	HELPER(get_listener_sock, .ret = RET_OBJECT_OR_NULL, .object = OBJECT_SOCK,
	       .outlives = true, .takes = SOCKS, ARGS(ARG_OBJECT)),
};

#define PART(type, member)                                                                         \
	{                                                                                          \
		.off = offsetof(struct type, member), .size = sizeof(((struct type *)0)->member)   \
	}

/* What every kind of socket has. */
#define SOCK_COMMON_PARTS                                                                          \
	PART(bpf_sock, family), PART(bpf_sock, src_ip4), PART(bpf_sock, src_ip6[0]),               \
		PART(bpf_sock, src_ip6[1]), PART(bpf_sock, src_ip6[2]),                            \
		PART(bpf_sock, src_ip6[3]), PART(bpf_sock, src_port), PART(bpf_sock, dst_port),    \
		PART(bpf_sock, dst_ip4), PART(bpf_sock, dst_ip6[0]), PART(bpf_sock, dst_ip6[1]),   \
		PART(bpf_sock, dst_ip6[2]), PART(bpf_sock, dst_ip6[3]), PART(bpf_sock, state)

static const struct ebpf_ctx_field sock_common_fields[] = {SOCK_COMMON_PARTS, {0}};

static const struct ebpf_ctx_field sock_fields[] = {
	SOCK_COMMON_PARTS,
	PART(bpf_sock, bound_dev_if),
	PART(bpf_sock, type),
	PART(bpf_sock, protocol),
	PART(bpf_sock, mark),
	PART(bpf_sock, priority),
	PART(bpf_sock, rx_queue_mapping),
	{0},
};

static const struct ebpf_ctx_field tcp_sock_fields[] = {
	PART(bpf_tcp_sock, snd_cwnd),      PART(bpf_tcp_sock, srtt_us),
	PART(bpf_tcp_sock, rtt_min),       PART(bpf_tcp_sock, snd_ssthresh),
	PART(bpf_tcp_sock, rcv_nxt),       PART(bpf_tcp_sock, snd_nxt),
	PART(bpf_tcp_sock, snd_una),       PART(bpf_tcp_sock, mss_cache),
	PART(bpf_tcp_sock, packets_out),   PART(bpf_tcp_sock, retrans_out),
	PART(bpf_tcp_sock, total_retrans), PART(bpf_tcp_sock, bytes_received),
	PART(bpf_tcp_sock, bytes_acked),   {0},
};

static const struct ebpf_ctx_field xdp_sock_fields[] = {PART(bpf_xdp_sock, queue_id), {0}};

const struct ebpf_ctx_field *const ebpf_object_fields[OBJECT_KINDS] = {
	[OBJECT_SOCK_COMMON] = sock_common_fields,
	[OBJECT_SOCK] = sock_fields,
	[OBJECT_TCP_SOCK] = tcp_sock_fields,
	[OBJECT_XDP_SOCK] = xdp_sock_fields,
};

#define FIELD(member, kind)                                                                        \
	{                                                                                          \
		offsetof(struct leat_pkt_ctx, member), sizeof(((struct leat_pkt_ctx *)0)->member), \
			kind, false                                                                \
	}

static const struct ebpf_ctx_field leat_pkt_fields[] = {
	FIELD(data, FIELD_PKT),        FIELD(data_end, FIELD_PKT_END),
	FIELD(now_ns, FIELD_SCALAR),   FIELD(len, FIELD_SCALAR),
	FIELD(instance, FIELD_SCALAR), FIELD(tenant, FIELD_SCALAR),
	FIELD(port, FIELD_SCALAR),     FIELD(peer_tenant, FIELD_SCALAR),
	FIELD(gso_size, FIELD_SCALAR), FIELD(flags, FIELD_SCALAR),
	FIELD(tag, FIELD_SCALAR),      FIELD(peer_tag, FIELD_SCALAR),
	FIELD(headroom, FIELD_SCALAR), {0},
};

static const uint8_t leat_pkt_helpers[] = {
	BPF_FUNC_map_lookup_elem, BPF_FUNC_map_update_elem,
	BPF_FUNC_map_delete_elem, BPF_FUNC_ktime_get_ns,
	BPF_FUNC_get_prandom_u32, BPF_FUNC_get_smp_processor_id,
	BPF_FUNC_trace_printk,    BPF_FUNC_loop,
	BPF_FUNC_ringbuf_output,  BPF_FUNC_ringbuf_reserve,
	BPF_FUNC_ringbuf_submit,  BPF_FUNC_ringbuf_discard,
	BPF_FUNC_ringbuf_query,   BPF_FUNC_skb_load_bytes,
	BPF_FUNC_skb_store_bytes, BPF_FUNC_l3_csum_replace,
	BPF_FUNC_l4_csum_replace, BPF_FUNC_csum_diff,
	BPF_FUNC_xdp_adjust_head, BPF_FUNC_xdp_adjust_tail,
	LEAT_FUNC_redirect,       LEAT_FUNC_bucket_take,
	LEAT_FUNC_tag_lookup,     0,
};

#define SCHED(member, ...)                                                                         \
	{                                                                                          \
		.off = offsetof(struct leat_sched_ctx, member),                                    \
		.size = sizeof(((struct leat_sched_ctx *)0)->member), __VA_ARGS__                  \
	}

static const struct ebpf_ctx_field leat_sched_fields[] = {
	SCHED(now_ns),
	SCHED(delay_ns),
	SCHED(ran_ns),
	SCHED(quantum_ns),
	SCHED(cpu_ns),
	SCHED(instance_cpu_ns),
	SCHED(tenant_cpu_ns),
	SCHED(since_spread_ns),
	SCHED(idle_cores),
	SCHED(idle_cores_high),
	SCHED(allowed_cores),
	SCHED(allowed_cores_high),
	SCHED(state, .writable = true),
	SCHED(hook),
	SCHED(instance),
	SCHED(tenant),
	SCHED(tag),
	SCHED(tenant_tag),
	SCHED(function_tag),
	SCHED(vcpu),
	SCHED(flags),
	SCHED(weight),
	SCHED(tenant_weight),
	SCHED(guaranteed),
	SCHED(held),
	SCHED(last_core),
	SCHED(waker),
	SCHED(core),
	SCHED(nr_cores),
	SCHED(zero),
	{0},
};

/* No clock and no chance: what was decided can be decided again from a trace. */
static const uint8_t leat_sched_helpers[] = {
	BPF_FUNC_map_lookup_elem,
	BPF_FUNC_map_update_elem,
	BPF_FUNC_map_delete_elem,
	BPF_FUNC_trace_printk,
	BPF_FUNC_loop,
	BPF_FUNC_ringbuf_output,
	BPF_FUNC_ringbuf_reserve,
	BPF_FUNC_ringbuf_submit,
	BPF_FUNC_ringbuf_discard,
	BPF_FUNC_ringbuf_query,
	LEAT_FUNC_bucket_take,
	LEAT_FUNC_core_get,
	0,
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
	SKB(data_meta, .kind = FIELD_META),
	SKB(tstamp, .writable = true),
	SKB(wire_len),
	SKB(gso_segs),
	SKB(gso_size),
	SKB(hwtstamp),
	{0},
};

static const struct ebpf_ctx_field xdp_fields[] = {
	XDP(data, .kind = FIELD_PKT),
	XDP(data_end, .kind = FIELD_PKT_END),
	XDP(data_meta, .kind = FIELD_META),
	XDP(ingress_ifindex),
	XDP(rx_queue_index),
	XDP(egress_ifindex),
	{0},
};

/* What all of Linux's kinds of program may call. */
#define LINUX_HELPERS                                                                              \
	BPF_FUNC_map_lookup_elem, BPF_FUNC_map_update_elem, BPF_FUNC_map_delete_elem,              \
		BPF_FUNC_ktime_get_ns, BPF_FUNC_ktime_get_boot_ns, BPF_FUNC_ktime_get_coarse_ns,   \
		BPF_FUNC_jiffies64, BPF_FUNC_get_prandom_u32, BPF_FUNC_get_smp_processor_id,       \
		BPF_FUNC_get_numa_node_id, BPF_FUNC_trace_printk, BPF_FUNC_perf_event_output,      \
		BPF_FUNC_loop, BPF_FUNC_ringbuf_output, BPF_FUNC_ringbuf_reserve,                  \
		BPF_FUNC_ringbuf_submit, BPF_FUNC_ringbuf_discard, BPF_FUNC_ringbuf_query

static const uint8_t socket_helpers[] = {
	LINUX_HELPERS,
	BPF_FUNC_skb_load_bytes,
	BPF_FUNC_skb_load_bytes_relative,
	BPF_FUNC_get_socket_cookie,
	BPF_FUNC_get_socket_uid,
	0,
};

static const uint8_t tc_helpers[] = {
	LINUX_HELPERS,
	BPF_FUNC_skb_load_bytes,
	BPF_FUNC_skb_load_bytes_relative,
	BPF_FUNC_skb_store_bytes,
	BPF_FUNC_l3_csum_replace,
	BPF_FUNC_l4_csum_replace,
	BPF_FUNC_clone_redirect,
	BPF_FUNC_get_cgroup_classid,
	BPF_FUNC_skb_vlan_push,
	BPF_FUNC_skb_vlan_pop,
	BPF_FUNC_skb_get_tunnel_key,
	BPF_FUNC_skb_set_tunnel_key,
	BPF_FUNC_skb_get_tunnel_opt,
	BPF_FUNC_skb_set_tunnel_opt,
	BPF_FUNC_redirect,
	BPF_FUNC_redirect_peer,
	BPF_FUNC_redirect_neigh,
	BPF_FUNC_csum_diff,
	BPF_FUNC_csum_update,
	BPF_FUNC_csum_level,
	BPF_FUNC_skb_change_proto,
	BPF_FUNC_skb_change_type,
	BPF_FUNC_skb_change_head,
	BPF_FUNC_skb_change_tail,
	BPF_FUNC_skb_adjust_room,
	BPF_FUNC_skb_pull_data,
	BPF_FUNC_skb_ecn_set_ce,
	BPF_FUNC_skb_cgroup_id,
	BPF_FUNC_get_hash_recalc,
	BPF_FUNC_set_hash,
	BPF_FUNC_set_hash_invalid,
	BPF_FUNC_get_route_realm,
	BPF_FUNC_get_socket_cookie,
	BPF_FUNC_get_socket_uid,
	BPF_FUNC_fib_lookup,
	BPF_FUNC_sk_lookup_tcp,
	BPF_FUNC_sk_lookup_udp,
	BPF_FUNC_skc_lookup_tcp,
	BPF_FUNC_sk_release,
	BPF_FUNC_sk_fullsock,
	BPF_FUNC_tcp_sock,
	BPF_FUNC_get_listener_sock,
	0,
};

static const uint8_t xdp_helpers[] = {
	LINUX_HELPERS,
	BPF_FUNC_csum_diff,
	BPF_FUNC_redirect,
	BPF_FUNC_redirect_map,
	BPF_FUNC_xdp_adjust_head,
	BPF_FUNC_xdp_adjust_tail,
	BPF_FUNC_xdp_adjust_meta,
	BPF_FUNC_xdp_get_buff_len,
	BPF_FUNC_xdp_load_bytes,
	BPF_FUNC_xdp_store_bytes,
	BPF_FUNC_fib_lookup,
	BPF_FUNC_sk_lookup_tcp,
	BPF_FUNC_sk_lookup_udp,
	BPF_FUNC_skc_lookup_tcp,
	BPF_FUNC_sk_release,
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
	 .packet_writable = true,
	 .runnable = true},
	{.section = LEAT_SEC_INGRESS,
	 .fields = leat_pkt_fields,
	 .helpers = leat_pkt_helpers,
	 .cost_max = LEAT_COST_MAX,
	 .packet_writable = true,
	 .runnable = true},
	{.section = LEAT_SEC_SCHED,
	 .fields = leat_sched_fields,
	 .helpers = leat_sched_helpers,
	 .cost_max = LEAT_COST_MAX,
	 .runnable = true},
	{.section = "socket",
	 .fields = socket_fields,
	 .helpers = socket_helpers,
	 .classic_loads = true,
	 .cost_max = LINUX_COST_MAX},
	{.section = "tc",
	 .fields = tc_fields,
	 .helpers = tc_helpers,
	 .classic_loads = true,
	 .packet_writable = true,
	 .cost_max = LINUX_COST_MAX},
	{.section = "xdp",
	 .fields = xdp_fields,
	 .helpers = xdp_helpers,
	 .packet_writable = true,
	 .cost_max = LINUX_COST_MAX},
};

const struct ebpf_platform ebpf_platform = {
	.types = prog_types,
	.type_count = sizeof(prog_types) / sizeof(prog_types[0]),
	.helpers = ebpf_helpers,
	.kinds = map_kinds,
	.kind_count = sizeof(map_kinds) / sizeof(map_kinds[0]),
};

const struct ebpf_prog_type *ebpf_prog_type_find(const char *section)
{
	size_t i, n;

	for (i = 0; i < ebpf_platform.type_count; i++) {
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
