/*
 * Parsers of untrusted headers and the Internet checksum; pure functions.
 */
#include "net/wire.h"

#define IP6_MAX_EXTENSIONS 8u

int wire_ip4_parse(const uint8_t *data, size_t bytes, size_t packet_bytes, struct ip_info *ret_info)
{
	const struct wire_ip4 *ip = (const void *)data;
	uint32_t header, total, frag, w[5];
	uint64_t sum;

	if (bytes < IP4_BYTES || ip->version_ihl >> 4 != 4)
		return -1;
	header = (ip->version_ihl & 15u) * 4u;
	total = be16(ip->total_bytes);
	if (header < IP4_BYTES || header > bytes || total < header || total > packet_bytes)
		return -1;
	__builtin_memcpy(w, data, sizeof(w));
	sum = (uint64_t)w[0] + w[1] + w[2] + w[3] + w[4];
	if (header > IP4_BYTES)
		sum = csum_add(sum, data + IP4_BYTES, header - IP4_BYTES);
	if (csum_fold(sum) != 0xffff)
		return -1;
	frag = be16(ip->frag);
	*ret_info = (struct ip_info){
		.src = ip_addr_v4(ip->src),
		.dst = ip_addr_v4(ip->dst),
		.protocol = ip->protocol,
		.ttl = ip->ttl,
		.tos = ip->tos,
		.fragment = (frag & (IP4_FLAG_MF | IP4_OFFSET_MASK)) != 0,
		.more_fragments = (frag & IP4_FLAG_MF) != 0,
		.dont_fragment = (frag & IP4_FLAG_DF) != 0,
		.l4_offset = (uint16_t)header,
		.total_bytes = total,
		.frag_offset = (frag & IP4_OFFSET_MASK) * 8,
		.frag_id = ip->id,
	};
	return 0;
}

/* Steps over one extension header. Returns its length, 0 when `next` is none, or -1. */
static int ip6_extension(const uint8_t *at, size_t left, uint8_t next, struct ip_info *info)
{
	uint32_t length;

	switch (next) {
	case 0:  /* hop by hop */
	case 43: /* routing */
	case 60: /* destination */
		if (left < 8)
			return -1;
		length = (at[1] + 1u) * 8u;
		return length <= left ? (int)length : -1;
	case PROTO_FRAG6:
		if (left < 8 || info->fragment)
			return -1;
		info->fragment = true;
		info->more_fragments = at[3] & 1;
		info->frag_offset = load_be16(at + 2) & 0xfff8u;
		info->frag_id = load_be32(at + 4);
		return 8;
	default:
		return 0;
	}
}

int wire_ip6_parse(const uint8_t *data, size_t bytes, size_t packet_bytes, struct ip_info *ret_info)
{
	const struct wire_ip6 *ip = (const void *)data;
	struct ip_info info = {0};
	uint32_t offset = IP6_BYTES;
	uint8_t next;

	if (bytes < IP6_BYTES || data[0] >> 4 != 6)
		return -1;
	info.total_bytes = IP6_BYTES + be16(ip->payload_bytes);
	if (info.total_bytes > packet_bytes)
		return -1;
	info.src = ip_addr_v6(ip->src);
	info.dst = ip_addr_v6(ip->dst);
	/* a mapped address on the wire would pass for an IPv4 peer (RFC 4942 2.2) */
	if (ip_addr_is_v4(&info.src) || ip_addr_is_v4(&info.dst) || info.src.bytes[0] == 0xff)
		return -1;
	info.ttl = ip->hops;
	info.tos = (uint8_t)(load_be16(data) >> 4);
	next = ip->next;
	for (unsigned int i = 0; i < IP6_MAX_EXTENSIONS; i++) {
		size_t end = min_size(bytes, info.total_bytes);
		int step = ip6_extension(data + offset, end - offset, next, &info);

		if (step < 0)
			return -1;
		if (step == 0)
			break;
		next = data[offset];
		offset += (uint32_t)step;
		/* what follows the first fragment header is reassembled first */
		if (info.fragment)
			break;
	}
	info.protocol = next;
	info.l4_offset = (uint16_t)offset;
	*ret_info = info;
	return 0;
}

static void quote_l4_parse(const uint8_t *l4, size_t bytes, struct wire_quote *quote)
{
	quote->l4 = l4;
	quote->l4_bytes = (uint32_t)bytes;
	if (quote->protocol == PROTO_ICMP || quote->protocol == PROTO_ICMP6) {
		__builtin_memcpy(&quote->sport, l4 + 4, 2);
		quote->dport = quote->sport;
		return;
	}
	__builtin_memcpy(&quote->sport, l4, 2);
	__builtin_memcpy(&quote->dport, l4 + 2, 2);
	quote->seq = load_be32(l4 + 4);
}

int wire_quote4_parse(const uint8_t *data, size_t bytes, struct wire_quote *ret_quote)
{
	const struct wire_ip4 *ip = (const void *)data;
	size_t header;

	if (bytes < IP4_BYTES || ip->version_ihl >> 4 != 4)
		return -1;
	header = (ip->version_ihl & 15u) * 4u;
	if (header < IP4_BYTES || bytes < header + 8 || (be16(ip->frag) & IP4_OFFSET_MASK) != 0)
		return -1;
	*ret_quote = (struct wire_quote){
		.src = ip_addr_v4(ip->src),
		.dst = ip_addr_v4(ip->dst),
		.protocol = ip->protocol,
	};
	quote_l4_parse(data + header, bytes - header, ret_quote);
	return 0;
}

int wire_quote6_parse(const uint8_t *data, size_t bytes, struct wire_quote *ret_quote)
{
	struct ip_info info;

	if (wire_ip6_parse(data, bytes, SIZE_MAX, &info) != 0 || bytes < info.l4_offset + 8u ||
	    info.frag_offset != 0)
		return -1;
	*ret_quote = (struct wire_quote){
		.src = info.src,
		.dst = info.dst,
		.protocol = info.protocol,
	};
	quote_l4_parse(data + info.l4_offset, bytes - info.l4_offset, ret_quote);
	return 0;
}

static void tcp_sacks_parse(const uint8_t *at, size_t bytes, struct tcp_options *options)
{
	size_t count = min_size(bytes / 8, TCP_MAX_SACKS);

	if (bytes % 8 != 0)
		return;
	for (size_t i = 0; i < count; i++) {
		options->sacks[i].start = load_be32(at + i * 8);
		options->sacks[i].end = load_be32(at + i * 8 + 4);
	}
	options->sack_count = (uint8_t)count;
}

static void tcp_option_parse(const uint8_t *at, size_t length, struct tcp_options *options)
{
	switch (at[0]) {
	case 2:
		if (length == 4)
			options->mss = load_be16(at + 2);
		break;
	case 3:
		if (length == 3) {
			options->has_wscale = true;
			options->wscale = at[2] > 14 ? 14 : at[2];
		}
		break;
	case 4:
		if (length == 2)
			options->sack_ok = true;
		break;
	case 5:
		tcp_sacks_parse(at + 2, length - 2, options);
		break;
	case 8:
		if (length == 10) {
			options->has_ts = true;
			options->ts_val = load_be32(at + 2);
			options->ts_ecr = load_be32(at + 6);
		}
		break;
	default:
		break;
	}
}

void wire_tcp_options_parse(const uint8_t *options, size_t bytes, struct tcp_options *ret_options)
{
	size_t at = 0;

	*ret_options = (struct tcp_options){0};
	while (at < bytes) {
		size_t length;

		if (options[at] == 0)
			return;
		if (options[at] == 1) {
			at++;
			continue;
		}
		if (bytes - at < 2)
			return;
		/* a length below 2 would stand still or go backwards: stop */
		length = options[at + 1];
		if (length < 2 || length > bytes - at)
			return;
		tcp_option_parse(options + at, length, ret_options);
		at += length;
	}
}

uint64_t csum_add(uint64_t sum, const void *data, size_t bytes)
{
	const uint8_t *at = data;
	uint32_t word;

	while (bytes >= 16) {
		uint32_t w[4];

		__builtin_memcpy(w, at, 16);
		sum += (uint64_t)w[0] + w[1];
		sum += (uint64_t)w[2] + w[3];
		at += 16;
		bytes -= 16;
	}
	while (bytes >= 4) {
		__builtin_memcpy(&word, at, 4);
		sum += word;
		at += 4;
		bytes -= 4;
	}
	word = 0;
	for (size_t i = 0; i < bytes; i++)
		word |= (uint32_t)at[i] << (8 * i);
	return sum + word;
}

uint16_t csum_fold(uint64_t sum)
{
	sum = (sum & 0xffffffffu) + (sum >> 32);
	sum = (sum & 0xffffffffu) + (sum >> 32);
	sum = (sum & 0xffffu) + (sum >> 16);
	sum = (sum & 0xffffu) + (sum >> 16);
	sum = (sum & 0xffffu) + (sum >> 16);
	return (uint16_t)sum;
}
