/*
 * What is on the wire: header layouts and the parsers of untrusted packets. The parsers are pure:
 * bytes in, a checked struct out, nothing else touched; the fuzzers call them directly.
 */
#pragma once

#include "net/addr.h"

#define ETH_BYTES 14u
#define ETH_TYPE_IP4 0x0800u
#define ETH_TYPE_ARP 0x0806u
#define ETH_TYPE_IP6 0x86ddu

#define IP4_BYTES 20u
#define IP4_MAX_BYTES 60u
#define IP6_BYTES 40u
#define IP4_FLAG_DF 0x4000u
#define IP4_FLAG_MF 0x2000u
#define IP4_OFFSET_MASK 0x1fffu
#define UDP_BYTES 8u
#define TCP_BYTES 20u
#define TCP_MAX_BYTES 60u
#define ICMP_BYTES 8u

#define PROTO_ICMP 1u
#define PROTO_TCP 6u
#define PROTO_UDP 17u
#define PROTO_UDPLITE 136u
#define PROTO_FRAG6 44u
#define PROTO_ICMP6 58u
#define PROTO_NONE6 59u

struct wire_eth {
	uint8_t dst[6], src[6];
	uint16_t type;
} __attribute__((packed));

struct wire_arp {
	uint16_t hw_type, proto_type;
	uint8_t hw_bytes, proto_bytes;
	uint16_t op;
	uint8_t sender_mac[6];
	uint32_t sender_ip;
	uint8_t target_mac[6];
	uint32_t target_ip;
} __attribute__((packed));

struct wire_ip4 {
	uint8_t version_ihl, tos;
	uint16_t total_bytes, id, frag;
	uint8_t ttl, protocol;
	uint16_t checksum;
	uint32_t src, dst;
} __attribute__((packed));

struct wire_ip6 {
	uint32_t version_class_flow;
	uint16_t payload_bytes;
	uint8_t next, hops;
	uint8_t src[16], dst[16];
} __attribute__((packed));

struct wire_udp {
	uint16_t sport, dport, bytes, checksum;
} __attribute__((packed));

struct wire_tcp {
	uint16_t sport, dport;
	uint32_t seq, ack;
	uint8_t offset, flags;
	uint16_t window, checksum, urgent;
} __attribute__((packed));

struct wire_icmp {
	uint8_t type, code;
	uint16_t checksum;
	uint16_t id, seq; /* or the rest of the header, by type */
} __attribute__((packed));

#define TCP_FLAG_FIN 0x01u
#define TCP_FLAG_SYN 0x02u
#define TCP_FLAG_RST 0x04u
#define TCP_FLAG_PSH 0x08u
#define TCP_FLAG_ACK 0x10u
#define TCP_FLAG_URG 0x20u
#define TCP_FLAG_ECE 0x40u
#define TCP_FLAG_CWR 0x80u

/* The two bits of explicit congestion notification in the IP header (RFC 3168 5). */
#define ECN_MASK 3u
#define ECN_ECT0 2u
#define ECN_CE 3u

/* An IP packet after its checks: what follows the header starts at l4_offset. */
struct ip_info {
	union ip_addr src, dst;
	uint8_t protocol, ttl, tos;
	bool fragment;
	bool more_fragments;
	bool dont_fragment;
	uint16_t l4_offset;   /* from the IP header's start */
	uint32_t total_bytes; /* of the IP packet, header included */
	uint32_t frag_offset; /* bytes */
	uint32_t frag_id;
};

/* `bytes` are readable at `data`, of a packet of `packet_bytes`. 0, or -1 for a bad packet. */
int wire_ip4_parse(const uint8_t *data, size_t bytes, size_t packet_bytes,
		   struct ip_info *ret_info);
int wire_ip6_parse(const uint8_t *data, size_t bytes, size_t packet_bytes,
		   struct ip_info *ret_info);

/* The packet that an ICMP error quotes: its beginning only, as much as the router sent back. */
struct wire_quote {
	union ip_addr src, dst;
	uint16_t sport, dport; /* network order; of ICMP: the identifier twice */
	uint32_t seq;
	uint8_t protocol;
	const uint8_t *l4; /* transport header and what follows, at least eight bytes */
	uint32_t l4_bytes;
};

int wire_quote4_parse(const uint8_t *data, size_t bytes, struct wire_quote *ret_quote);
int wire_quote6_parse(const uint8_t *data, size_t bytes, struct wire_quote *ret_quote);

#define TCP_MAX_SACKS 4u

struct tcp_options {
	uint16_t mss;   /* 0: absent */
	uint8_t wscale; /* valid if has_wscale, at most 14 */
	bool has_wscale, has_ts, sack_ok;
	uint8_t sack_count;
	uint32_t ts_val, ts_ecr;
	struct {
		uint32_t start, end;
	} sacks[TCP_MAX_SACKS];
};

/*
 * Reads options between the fixed header and the data. Options that do not parse end the walk; what
 * was read before stands (RFC 9293 3.1: a bad length is not a reason to drop the segment).
 */
void wire_tcp_options_parse(const uint8_t *options, size_t bytes, struct tcp_options *ret_options);

/* Internet checksum (RFC 1071) as a running 32-bit-safe sum in 64 bits; fold to finish. */
uint64_t csum_add(uint64_t sum, const void *data, size_t bytes);
uint16_t csum_fold(uint64_t sum);

static inline uint16_t csum_finish(uint64_t sum)
{
	return (uint16_t)~csum_fold(sum);
}

/* Sum of the pseudo header; in the byte order of memory, as csum_add gives it. */
static inline uint64_t csum_pseudo(const union ip_addr *src, const union ip_addr *dst,
				   uint8_t protocol, uint32_t bytes)
{
	uint64_t sum = (uint64_t)be16(protocol) + be32(bytes);

	if (ip_addr_is_v4(src))
		return sum + src->words[3] + dst->words[3];
	for (unsigned int i = 0; i < 4; i++)
		sum += (uint64_t)src->words[i] + dst->words[i];
	return sum;
}
