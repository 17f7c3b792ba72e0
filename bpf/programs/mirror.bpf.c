/*
 * Mirroring, behind the anti-spoofing rules: frames as they pass are copied into the ring buffer
 * "mirror", from where leat bpf map or a collector takes them. The map "config" says which: one of
 * so many, at random, in which direction, how many bytes of each. A full ring loses records, not
 * frames.
 */
#include "antispoof.h"
#include "leat/abi/filter_helpers.h"
#include "leat/abi/library.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct leat_mirror_config);
} config SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} mirror SEC(".maps");

static __always_inline void copy(struct leat_pkt_ctx *ctx, __u32 direction)
{
	__u64 there = ctx->data_end - ctx->data;
	const struct leat_mirror_config *wanted;
	struct leat_mirror *record;
	__u32 zero = 0, bytes;

	wanted = bpf_map_lookup_elem(&config, &zero);
	if (!wanted || !wanted->every || !(wanted->direction & direction))
		return;
	if (wanted->every > 1 && bpf_get_prandom_u32() % wanted->every)
		return;
	bytes = wanted->bytes && wanted->bytes < there ? wanted->bytes : (__u32)there;
	if (bytes == 0 || bytes > LEAT_MIRROR_BYTES)
		return;
	record = bpf_ringbuf_reserve(&mirror, sizeof(*record), 0);
	if (!record)
		return;
	__builtin_memset(record, 0, sizeof(*record));
	record->time_ns = ctx->now_ns;
	record->len = ctx->len;
	record->bytes = (__u16)bytes;
	record->direction = (__u8)direction;
	record->verdict = LEAT_PASS;
	leat_load_bytes(ctx, 0, record->frame, bytes);
	bpf_ringbuf_submit(record, 0);
}

SEC(LEAT_SEC_EGRESS) int egress(struct leat_pkt_ctx *ctx)
{
	count(LEAT_COUNT_EGRESS);
	if (antispoof_egress(ctx) != LEAT_PASS)
		return LEAT_DROP;
	copy(ctx, LEAT_RULE_EGRESS);
	return pass(LEAT_COUNT_PASS_EGRESS);
}

SEC(LEAT_SEC_INGRESS) int ingress(struct leat_pkt_ctx *ctx)
{
	count(LEAT_COUNT_INGRESS);
	if (antispoof_ingress(ctx) != LEAT_PASS)
		return LEAT_DROP;
	copy(ctx, LEAT_RULE_INGRESS);
	return pass(LEAT_COUNT_PASS_INGRESS);
}
