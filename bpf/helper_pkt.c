/*
 * Helpers on the packet of a leat/egress or leat/ingress program: safe copies, internet checksums
 * (RFC 1071, RFC 1624), moving the packet's ends, redirection.
 */
#include "bpf/helpers.h"
#include "bpf/map.h"
#include "leat/abi/filter.h"

#include <errno.h>
#include <string.h>

#define ETH_BYTES 14u

/* Flags of Linux's bpf_l3_csum_replace() and bpf_l4_csum_replace(). */
#define CSUM_FIELD_SIZE 0xfu
#define CSUM_FLAGS_L4                                                                              \
	(CSUM_FIELD_SIZE | BPF_F_PSEUDO_HDR | BPF_F_MARK_MANGLED_0 | BPF_F_MARK_ENFORCE)

static uint64_t error(int number)
{
	return (uint64_t)(int64_t)-number;
}

static struct leat_pkt_ctx *packet(uint64_t address)
{
	return (struct leat_pkt_ctx *)(uintptr_t)address;
}

/* [offset, offset + len) of the readable part, or NULL. */
static uint8_t *packet_at(const struct leat_pkt_ctx *ctx, uint64_t offset, uint64_t len)
{
	uint64_t size = ctx->data_end - ctx->data;

	if (offset > size || len > size - offset)
		return NULL;
	return (uint8_t *)(uintptr_t)(ctx->data + offset);
}

EBPF_HELPER(ebpf_helper_load_bytes)
{
	uint32_t len = (uint32_t)d;
	const uint8_t *from = packet_at(packet(a), (uint32_t)b, len);
	void *to = (void *)(uintptr_t)c;

	(void)e;
	(void)env;
	if (!from) { /* as on Linux: what was asked for is written in any case */
		memset(to, 0, len);
		return error(EFAULT);
	}
	memmove(to, from, len); /* it may be in the packet too */
	return 0;
}

EBPF_HELPER(ebpf_helper_store_bytes)
{
	uint8_t *to = packet_at(packet(a), (uint32_t)b, (uint32_t)d);

	(void)env;
	if (e)
		return error(EINVAL);
	if (!to)
		return error(EFAULT);
	memmove(to, (const void *)(uintptr_t)c, (uint32_t)d);
	return 0;
}

static uint32_t add_carry(uint32_t a, uint32_t b)
{
	uint64_t sum = (uint64_t)a + b;

	return (uint32_t)sum + (uint32_t)(sum >> 32);
}

static uint16_t fold(uint32_t sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)(sum + (sum >> 16));
}

/* What the sum of a field's bytes changes by; @size 0: @to says so itself. */
static uint32_t difference(uint32_t from, uint32_t to, unsigned int size)
{
	if (size == 0)
		return to;
	if (size == 2)
		return add_carry((uint16_t)~from, (uint16_t)to);
	return add_carry(~from, to);
}

static bool field_is_known(unsigned int size, uint64_t from)
{
	return size == 2 || size == 4 || (size == 0 && from == 0);
}

/* RFC 1624, equation 3: the checksum is the complement of the sum. */
static void replace(uint8_t *at, uint32_t change)
{
	uint16_t sum;

	memcpy(&sum, at, 2);
	sum = (uint16_t)~fold(add_carry((uint16_t)~sum, change));
	memcpy(at, &sum, 2);
}

EBPF_HELPER(ebpf_helper_l3_csum_replace)
{
	unsigned int size = (unsigned int)e & CSUM_FIELD_SIZE;
	uint8_t *at = packet_at(packet(a), (uint32_t)b, 2);

	(void)env;
	if ((e & ~(uint64_t)CSUM_FIELD_SIZE) || !field_is_known(size, c))
		return error(EINVAL);
	if (!at)
		return error(EFAULT);
	replace(at, difference((uint32_t)c, (uint32_t)d, size));
	return 0;
}

EBPF_HELPER(ebpf_helper_l4_csum_replace)
{
	const struct leat_pkt_ctx *ctx = packet(a);
	unsigned int size = (unsigned int)e & CSUM_FIELD_SIZE;
	uint32_t change = difference((uint32_t)c, (uint32_t)d, size);
	uint8_t *at = packet_at(ctx, (uint32_t)b, 2);
	bool zero_is_none = (e & BPF_F_MARK_MANGLED_0) && !(e & BPF_F_MARK_ENFORCE);
	uint16_t sum;

	(void)env;
	if ((e & ~(uint64_t)CSUM_FLAGS_L4) || !field_is_known(size, c))
		return error(EINVAL);
	if (!at)
		return error(EFAULT);
	memcpy(&sum, at, 2);
	if (zero_is_none && sum == 0)
		return 0;
	if (!(ctx->flags & LEAT_PKT_CSUM_PARTIAL)) {
		replace(at, change);
	} else if (e & BPF_F_PSEUDO_HDR) {
		/* so far only the pseudo header's sum is there, not complemented */
		sum = fold(add_carry(sum, change));
		memcpy(at, &sum, 2);
	}
	memcpy(&sum, at, 2);
	if ((e & BPF_F_MARK_MANGLED_0) && sum == 0)
		memset(at, 0xff, 2);
	return 0;
}

/* Sum of @size bytes, a multiple of 4. */
static uint32_t sum_words(uint64_t address, uint32_t size, uint32_t flip, uint32_t sum)
{
	const uint8_t *bytes = (const uint8_t *)(uintptr_t)address;
	uint32_t i, word;

	for (i = 0; i < size; i += 4) {
		memcpy(&word, bytes + i, 4);
		sum = add_carry(sum, word ^ flip);
	}
	return sum;
}

EBPF_HELPER(ebpf_helper_csum_diff)
{
	uint32_t sum = (uint32_t)e;

	(void)env;
	if ((b | d) & 3)
		return error(EINVAL);
	sum = sum_words(a, (uint32_t)b, UINT32_MAX, sum);
	return sum_words(c, (uint32_t)d, 0, sum);
}

EBPF_HELPER(ebpf_helper_adjust_head)
{
	struct leat_pkt_ctx *ctx = packet(a);
	int64_t delta = (int32_t)b, room = ctx->headroom;
	int64_t size = (int64_t)(ctx->data_end - ctx->data);

	(void)c, (void)d, (void)e, (void)env;
	if (delta < -room || delta > size - (int64_t)ETH_BYTES)
		return error(EINVAL);
	ctx->data += (uint64_t)delta;
	ctx->len -= (uint32_t)delta;
	ctx->headroom += (uint32_t)delta;
	if (delta < 0)
		memset((void *)(uintptr_t)ctx->data, 0, (size_t)-delta);
	return 0;
}

EBPF_HELPER(ebpf_helper_adjust_tail)
{
	struct leat_pkt_ctx *ctx = packet(a);
	int64_t delta = (int32_t)b, len = (int64_t)ctx->len + delta;

	(void)c, (void)d, (void)e, (void)env;
	if (delta > 0 || len < (int64_t)ETH_BYTES)
		return error(EINVAL);
	ctx->len = (uint32_t)len;
	if (ctx->data_end - ctx->data > ctx->len)
		ctx->data_end = ctx->data + ctx->len;
	return 0;
}

EBPF_HELPER(ebpf_helper_redirect)
{
	uint32_t index = (uint32_t)c;
	const uint32_t *handle = ebpf_map_find((struct ebpf_map *)(uintptr_t)b, &index);

	(void)d, (void)e, (void)env;
	/* one load: the operator may set it meanwhile */
	packet(a)->redirect = handle ? __atomic_load_n(handle, __ATOMIC_RELAXED) : 0;
	return packet(a)->redirect ? LEAT_REDIRECT : LEAT_DROP;
}
