/* A filter with a map of every kind, for tests of leat bpf map: all count what comes in. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

#include "bpf/programs/headers.h"
#include "leat/abi/filter.h"
#include "leat/abi/filter_helpers.h"

struct prefix {
	__u32 bits;
	__be32 address;
};

struct table {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u64);
};

#define MAP(name_, type_, key_, value_, entries)                                                   \
	struct {                                                                                   \
		__uint(type, type_);                                                               \
		__uint(max_entries, entries);                                                      \
		__type(key, key_);                                                                 \
		__type(value, value_);                                                             \
	} name_ SEC(".maps")

MAP(counters, BPF_MAP_TYPE_ARRAY, __u32, __u64, LEAT_COUNT_MAX);
MAP(hosts, BPF_MAP_TYPE_HASH, __be32, __u64, 16);
MAP(recent, BPF_MAP_TYPE_LRU_HASH, __be32, __u64, 16);
MAP(cores, BPF_MAP_TYPE_PERCPU_ARRAY, __u32, __u64, 1);

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 16);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct prefix);
	__type(value, __u64);
} networks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 16);
} lengths SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 4);
	__type(key, __u32);
	__array(values, struct table);
} by_index SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
	__uint(max_entries, 4);
	__type(key, __be32);
	__array(values, struct table);
} by_host SEC(".maps");

static __always_inline void add(void *map, const void *key)
{
	__u64 *sum = bpf_map_lookup_elem(map, key);

	if (sum)
		__sync_fetch_and_add(sum, 1);
}

static __always_inline void count_source(__be32 source)
{
	struct prefix prefix = {32, source};
	__u32 zero = 0, one = 1;
	__u64 fresh = 0;
	void *table;

	bpf_map_update_elem(&recent, &source, &fresh, BPF_NOEXIST);
	add(&recent, &source);
	add(&hosts, &source);
	add(&networks, &prefix);
	table = bpf_map_lookup_elem(&by_index, &one);
	if (table)
		add(table, &zero);
	table = bpf_map_lookup_elem(&by_host, &source);
	if (table)
		add(table, &one);
}

SEC(LEAT_SEC_INGRESS) int ingress(struct leat_pkt_ctx *ctx)
{
	struct eth *eth = (void *)(long)ctx->data;
	struct ipv4 *ip = (void *)(eth + 1);
	__u32 zero = 0, len = ctx->len;
	__u64 *core;

	if ((void *)(ip + 1) > (void *)(long)ctx->data_end || eth->type != bpf_htons(ETH_IPV4) ||
	    ip->proto != IP_UDP)
		return LEAT_PASS;
	count_source(ip->src);
	core = bpf_map_lookup_elem(&cores, &zero);
	if (core)
		*core += 1;
	bpf_ringbuf_output(&lengths, &len, sizeof(len), 0);
	return LEAT_PASS;
}

SEC(LEAT_SEC_EGRESS) int egress(struct leat_pkt_ctx *ctx)
{
	(void)ctx;
	return LEAT_PASS;
}
