/* Every helper of a filter, one case each; test_helpers.c says what each must do. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

#include "leat/abi/filter_helpers.h"
#include "helpers.h"

#define MAP(type_, entries, key_, value_)                                                          \
	{                                                                                          \
		__uint(type, type_);                                                               \
		__uint(max_entries, entries);                                                      \
		__type(key, key_);                                                                 \
		__type(value, value_);                                                             \
	}

struct inner MAP(BPF_MAP_TYPE_ARRAY, 4, __u32, __u64);

struct inner first SEC(".maps");
struct inner second SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 3);
	__uint(key_size, 4);
	__uint(value_size, 4);
	__array(values, struct inner);
} outer SEC(".maps") = {.values = {&first, 0, &second}};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} ring SEC(".maps");

struct MAP(BPF_MAP_TYPE_DEVMAP, 4, __u32, __u32) handles SEC(".maps");
struct MAP(BPF_MAP_TYPE_ARRAY, 1, __u32, struct leat_bucket) buckets SEC(".maps");
struct MAP(BPF_MAP_TYPE_ARRAY, 1, __u32, __u64) result SEC(".maps");
struct MAP(BPF_MAP_TYPE_PERCPU_ARRAY, 2, __u32, __u64) percpu SEC(".maps");

static void put(__u64 value)
{
	__u32 zero = 0;
	__u64 *to = bpf_map_lookup_elem(&result, &zero);

	if (to)
		*to = value;
}

struct sum {
	__u64 total;
	__u32 stop;
};

static long add(__u32 index, struct sum *sum)
{
	sum->total += index;
	return index == sum->stop;
}

static long add_twice(__u32 index, struct sum *sum)
{
	bpf_loop(index & 7, add, sum, 0);
	return 0;
}

static void loops(struct leat_pkt_ctx *ctx)
{
	struct sum sum = {.stop = ctx->port};
	long rounds = bpf_loop(20, add, &sum, 0);

	sum.total += (__u64)rounds << 16;
	sum.stop = 1000;
	bpf_loop(5, add_twice, &sum, 0);
	put(sum.total);
}

static void maps(struct leat_pkt_ctx *ctx)
{
	__u32 which = ctx->port, key = 1;
	void *map = bpf_map_lookup_elem(&outer, &which);
	__u64 *value = map ? bpf_map_lookup_elem(map, &key) : 0;

	put(value ? ++*value : 0);
	value = bpf_map_lookup_elem(&percpu, &key);
	if (value)
		*value += 1 + bpf_get_smp_processor_id();
}

static void records(struct leat_pkt_ctx *ctx)
{
	struct record *record = bpf_ringbuf_reserve(&ring, sizeof(*record), 0);
	struct record other = {.number = ctx->port + 1};

	if (record) {
		record->number = ctx->port;
		record->len = ctx->len;
		bpf_ringbuf_submit(record, 0);
	}
	record = bpf_ringbuf_reserve(&ring, sizeof(*record), 0);
	if (record)
		bpf_ringbuf_discard(record, 0);
	bpf_ringbuf_output(&ring, &other, sizeof(other), 0);
	put(bpf_ringbuf_query(&ring, 1));
}

static void bucket(struct leat_pkt_ctx *ctx)
{
	__u32 zero = 0;
	struct leat_bucket *at = bpf_map_lookup_elem(&buckets, &zero);

	put(at ? leat_bucket_take(at, ctx->port, ctx->now_ns) : 99);
}

/* Destination address and port rewritten, checksums kept right: what a load balancer does. */
static void rewrite(struct leat_pkt_ctx *ctx)
{
	__be32 old, new = bpf_htonl(0x0a636363);
	__be16 old_port, new_port = bpf_htons(8080);
	long err = leat_load_bytes(ctx, IP_DST, &old, 4);

	err |= leat_load_bytes(ctx, TCP_DPORT, &old_port, 2);
	err |= leat_l3_csum_replace(ctx, IP_SUM, old, new, 4);
	err |= leat_l4_csum_replace(ctx, TCP_SUM, old, new, BPF_F_PSEUDO_HDR | 4);
	err |= leat_l4_csum_replace(ctx, TCP_SUM, old_port, new_port, 2);
	err |= leat_store_bytes(ctx, IP_DST, &new, 4, 0);
	err |= leat_store_bytes(ctx, TCP_DPORT, &new_port, 2, 0);
	put(err);
}

/* The same by a difference. */
static void rewrite_by_difference(struct leat_pkt_ctx *ctx)
{
	__be32 old = 0, new = bpf_htonl(0x0a636363);
	long diff, err = leat_load_bytes(ctx, IP_DST, &old, 4);

	diff = bpf_csum_diff(&old, 4, &new, 4, 0);
	err |= leat_l3_csum_replace(ctx, IP_SUM, 0, diff, 0);
	err |= leat_l4_csum_replace(ctx, TCP_SUM, 0, diff, BPF_F_PSEUDO_HDR);
	err |= leat_store_bytes(ctx, IP_DST, &new, 4, 0);
	put(err);
}

static void ends(struct leat_pkt_ctx *ctx)
{
	long err = leat_adjust_head(ctx, (int)ctx->port);

	put(err ? err : leat_adjust_tail(ctx, (int)ctx->peer_tenant));
}

static void direct(struct leat_pkt_ctx *ctx)
{
	__u8 *data = (void *)(long)ctx->data;

	if (data + 14 > (__u8 *)(long)ctx->data_end)
		return;
	data[0] = 0xee;
	data[13] = data[12];
}

SEC(LEAT_SEC_EGRESS) int egress(struct leat_pkt_ctx *ctx)
{
	__u32 port = ctx->port;

	switch (ctx->tag) {
	case CASE_LOOPS:
		loops(ctx);
		break;
	case CASE_MAPS:
		maps(ctx);
		break;
	case CASE_RECORDS:
		records(ctx);
		break;
	case CASE_BUCKET:
		bucket(ctx);
		break;
	case CASE_REWRITE:
		rewrite(ctx);
		break;
	case CASE_DIFFERENCE:
		rewrite_by_difference(ctx);
		break;
	case CASE_ENDS:
		ends(ctx);
		break;
	case CASE_DIRECT:
		direct(ctx);
		break;
	case CASE_REDIRECT:
		if (port < 4)
			return leat_redirect(ctx, &handles, port);
		break;
	case CASE_TAG:
		put(leat_tag_lookup(port));
		break;
	case CASE_TRACE:
		bpf_printk("port %u, time %llx, %d%%\n", port, ctx->now_ns, -1);
		break;
	default:
		return LEAT_DROP;
	}
	return LEAT_PASS;
}
