/*
 * Protocol headers and their constants, as the filters of the base library read them. Where all
 * fields lie at multiples of their sizes a struct is not called packed: a compiler for eBPF would
 * read its fields byte by byte. They may lie at odd addresses nevertheless, which no machine that
 * filters run on minds.
 */
#pragma once

#include <linux/types.h>

#define ETH_IPV4 0x0800
#define ETH_ARP 0x0806
#define ETH_IPV6 0x86dd
#define ETH_VLAN 0x8100
#define ETH_QINQ 0x88a8
#define VLAN_ID 0x0fff

#define IP_ICMP 1
#define IP_TCP 6
#define IP_UDP 17
#define IP_ICMP6 58
#define IP6_HOP 0
#define IP6_ROUTING 43
#define IP6_FRAGMENT 44
#define IP6_DEST 60
#define IP6_HEADERS_MAX 4 /* extension headers that are followed */
#define IPV4_OFFSET 0x1fff
#define IPV4_FRAGMENT 0x3fff /* offset, or more to come */
#define IP6_OFFSET 0xfff8

#define DHCP_CLIENT_PORT 68
#define DHCP_SERVER_PORT 67
#define DHCP6_SERVER_PORT 547

#define BOOTP_REQUEST 1

#define ICMP6_HEADER 4
#define ND_FIRST 133
#define ND_ROUTER_SOLICIT 133
#define ND_ROUTER_ADVERT 134
#define ND_NEIGHBOUR_SOLICIT 135
#define ND_NEIGHBOUR_ADVERT 136
#define ND_REDIRECT 137
#define ND_LAST 137
#define ND_OPT_SOURCE_LINK 1
#define ND_OPT_TARGET_LINK 2
#define ND_OPT_NONCE 14

struct eth {
	__u8 dst[6];
	__u8 src[6];
	__be16 type;
};

struct vlan {
	__be16 tci;
	__be16 type;
};

struct arp {
	__be16 hardware, protocol;
	__u8 hardware_len, protocol_len;
	__be16 operation;
	__u8 sender_mac[6];
	__be32 sender_ip;
	__u8 target_mac[6];
	__be32 target_ip;
} __attribute__((packed));

struct ipv4 {
	__u8 version_len, tos;
	__be16 len, id, frag;
	__u8 ttl, proto;
	__be16 check;
	__be32 src, dst;
};

struct ipv6 {
	__be32 flow;
	__be16 len;
	__u8 next, hops;
	__u8 src[16], dst[16];
};

struct ip6_ext {
	__u8 next, len;
	__be16 frag;
	__be32 rest;
};

struct udp {
	__be16 src, dst, len, check;
};

struct tcp {
	__be16 src, dst;
	__be32 seq, ack;
	__u8 offset, flags; /* offset: of the data, in the upper four bits, in words */
	__be16 window, check, urgent;
};

struct icmp {
	__u8 type, code;
	__be16 check, id, sequence;
};

/* A DHCP message's beginning. */
struct bootp {
	__u8 operation, hardware, hardware_len, hops;
	__be32 transaction;
	__be16 seconds, flags;
	__be32 client_ip, your_ip, server_ip, relay_ip;
	__u8 client[6];
} __attribute__((packed)); /* 34 bytes */

/* A neighbour advertisement or solicitation. */
struct nd {
	__u8 type, code;
	__be16 check;
	__be32 flags;
	__u8 target[16];
};

struct nd_option {
	__u8 type, len; /* len in units of 8 bytes */
	__u8 mac[6];
};

_Static_assert(sizeof(struct eth) == 14 && sizeof(struct vlan) == 4, "no padding");
_Static_assert(sizeof(struct ipv4) == 20 && sizeof(struct ipv6) == 40, "no padding");
_Static_assert(sizeof(struct udp) == 8 && sizeof(struct tcp) == 20, "no padding");
_Static_assert(sizeof(struct bootp) == 34 && sizeof(struct nd) == 24, "no padding");
