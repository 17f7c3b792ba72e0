/* What objects may have besides two maps: globals, constants, functions, a hash map, a loop. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "leat/abi/filter.h"

struct key {
	__u32 port;
	__u32 kind;
};

struct stats {
	__u64 packets;
	__u64 bytes;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, struct key);
	__type(value, struct stats);
} flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 4);
	__uint(key_size, 4);
	__uint(value_size, 12);
} sizes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} marks SEC(".maps");

const volatile __u32 limit = 100;
__u64 total;
__u32 start = 7;
static const char table[16] = {1, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 1, 2, 3, 4, 5};

static __attribute__((noinline)) __u32 twice(__u32 x)
{
	return x * 2;
}

static __attribute__((noinline)) __u32 lookup(__u32 index)
{
	return twice((__u32)table[index & 15]);
}

/* One lookup, several keys. */
static __attribute__((noinline)) int mark(__u32 index)
{
	__u64 *value = bpf_map_lookup_elem(&marks, &index);

	if (value)
		*value += index;
	return 0;
}

SEC(LEAT_SEC_EGRESS) int egress(struct leat_pkt_ctx *ctx)
{
	struct key key = {.port = ctx->port, .kind = 1};
	struct stats fresh = {1, ctx->len}, *stats;

	stats = bpf_map_lookup_elem(&flows, &key);
	if (stats) {
		stats->packets++;
		stats->bytes += ctx->len;
	} else {
		bpf_map_update_elem(&flows, &key, &fresh, BPF_NOEXIST);
	}
	mark(1);
	mark(3);
	mark(4);
	__sync_fetch_and_add(&total, ctx->len);
	return ctx->len > limit ? LEAT_DROP : LEAT_PASS;
}

/* Sums the bytes of a packet: a loop with a bound. Returns more than a verdict, for the test. */
SEC(LEAT_SEC_INGRESS) int ingress(struct leat_pkt_ctx *ctx)
{
	unsigned char *at = (void *)(unsigned long)ctx->data;
	unsigned char *end = (void *)(unsigned long)ctx->data_end;
	__u32 sum = start, i;

	for (i = 0; i < 64 && at + i + 1 <= end; i++)
		sum += at[i];
	return (int)(sum + lookup(ctx->tag));
}
