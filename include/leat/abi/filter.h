/*
 * The contract between the DPU and the eBPF programs that it runs on every packet.
 *
 * Included by filters (*.bpf.c, clang -target bpf) and by leatd. Everything here is ABI: sizes and
 * offsets are asserted, fields are only ever appended.
 *
 * A filter is a function in one of the sections below, taking a struct leat_pkt_ctx and returning
 * an enum leat_verdict:
 *
 *	SEC("leat/egress")  int egress(struct leat_pkt_ctx *ctx);	instance -> switch
 *	SEC("leat/ingress") int ingress(struct leat_pkt_ctx *ctx);	switch -> instance
 *
 * An object that lacks one of the two lets nothing pass in that direction.
 */
#pragma once

#include <linux/types.h>

#define LEAT_SEC_EGRESS "leat/egress"
#define LEAT_SEC_INGRESS "leat/ingress"

/* Names of the maps that leatd knows; a filter may leave either of them out. */
#define LEAT_MAP_IDENTITY "identity" /* array, 1 entry of struct leat_identity, filled by leatd */
#define LEAT_MAP_COUNTERS "counters" /* array (or per-CPU array) of __u64, read by leatd */

/*
 * Handles: a map of type BPF_MAP_TYPE_DEVMAP (key and value of 4 bytes), whose values are instance
 * numbers that the operator sets. A program can neither read nor write them: it names one by its
 * index, to leat_redirect(). The DPU follows a handle only within the instance's own tenant.
 */

/*
 * Whatever a filter may read of a frame is copied out of the tenant's reach first: at least the
 * first LEAT_PKT_COPY bytes, or the whole frame if it is shorter.
 */
#define LEAT_PKT_COPY 256

enum leat_verdict {
	LEAT_DROP = 0,
	LEAT_PASS = 1,
	LEAT_REDIRECT = 2, /* egress: to the port that leat_redirect() named; else a drop */
			   /* any other value is a drop too */
};

enum leat_pkt_flags {
	LEAT_PKT_CSUM_PARTIAL = 1 << 0, /* the transport checksum is left to the receiver */
	LEAT_PKT_GSO = 1 << 1,          /* gso_size is the payload of one segment */
	LEAT_PKT_FROM_UPLINK = 1 << 2,  /* ingress: the sender is not an instance of this machine */
};

/*
 * What a program sees of a packet. The context is read-only; the bytes at data .. data_end may be
 * written, and are what is delivered (an ingress program's changes are its own receiver's only).
 */
struct leat_pkt_ctx {
	__u64 data;        /* address of the private copy: the Ethernet header's first byte */
	__u64 data_end;    /* one past the copy's last byte; at most data + len */
	__u64 now_ns;      /* CLOCK_MONOTONIC, of the round and not of the packet */
	__u32 len;         /* bytes of the whole frame, payload behind the copy included */
	__u32 instance;    /* id of the instance whose filter this is */
	__u32 tenant;      /* its tenant */
	__u32 port;        /* DPU port that the frame came from (ingress) or 0 */
	__u32 peer_tenant; /* ingress: tenant of the sending instance, 0 from an uplink */
	__u32 gso_size;    /* 0 unless LEAT_PKT_GSO */
	__u32 flags;       /* enum leat_pkt_flags */
	__u32 tag;         /* the instance's tag word */
	__u32 peer_tag;    /* ingress: the sending instance's tag word, 0 from an uplink */
	__u32 headroom;    /* bytes that leat_adjust_head() may add in front of data */
	__u32 redirect;    /* set by leat_redirect(), for the DPU only: programs cannot read it */
	__u32 reserved;
};

_Static_assert(sizeof(struct leat_pkt_ctx) == 72, "struct leat_pkt_ctx is ABI");

/*
 * A token bucket, kept in a map's value, for leat_bucket_take(). Zeroed it lets nothing pass; any
 * number of threads may take from one bucket at once.
 */
struct leat_bucket {
	__u64 rate;  /* units a second */
	__u64 burst; /* units that may pass at once */
	__u64 state; /* leat_bucket_take()'s */
};

_Static_assert(sizeof(struct leat_bucket) == 24, "struct leat_bucket is ABI");

/* Numbers of Leat's own helpers; leat/abi/filter_helpers.h declares them for programs. */
enum leat_func {
	LEAT_FUNC_redirect = 240,
	LEAT_FUNC_bucket_take = 241,
	LEAT_FUNC_tag_lookup = 242,
};

enum leat_identity_flags {
	LEAT_ID_DHCP_SERVER = 1 << 0, /* may answer DHCP requests */
	LEAT_ID_ROUTER = 1 << 1, /* may send router advertisements and forward foreign sources */
};

/* Who an instance is: the one value of the map "identity". Addresses are in network order. */
struct leat_identity {
	__u8 mac[6];
	__u16 vlan;       /* host order; 0: the instance may not send tagged frames */
	__u32 ipv4;       /* 0: none */
	__u32 tenant;     /* never 0 */
	__u8 ipv6[16];    /* all zero: none but the link-local address made of the MAC (EUI-64) */
	__u8 ipv4_prefix; /* length of the subnet's prefix, for its broadcast address */
	__u8 ipv6_prefix;
	__u16 flags; /* enum leat_identity_flags */
	__u32 instance;
};

_Static_assert(sizeof(struct leat_identity) == 40, "struct leat_identity is ABI");

/*
 * Indices into the map "counters". A filter adds one to its direction's counter in every execution,
 * whatever the verdict, and one to a reason for every drop: so executions == packets can be proved,
 * and drops explained. Indices from LEAT_COUNT_USER are the filter's own.
 */
enum leat_counter {
	LEAT_COUNT_EGRESS,
	LEAT_COUNT_INGRESS,
	LEAT_COUNT_PASS_EGRESS,
	LEAT_COUNT_PASS_INGRESS,
	LEAT_COUNT_DROP_SHORT,    /* too short for its own headers */
	LEAT_COUNT_DROP_MAC,      /* foreign source MAC, or not addressed to this instance */
	LEAT_COUNT_DROP_VLAN,     /* a tag that the instance does not own */
	LEAT_COUNT_DROP_IPV4,     /* foreign IPv4 source */
	LEAT_COUNT_DROP_IPV6,     /* foreign IPv6 source */
	LEAT_COUNT_DROP_ARP,      /* ARP that speaks for somebody else */
	LEAT_COUNT_DROP_ND,       /* ND that speaks for somebody else, or a router advertisement */
	LEAT_COUNT_DROP_DHCP,     /* DHCP server without the right to be one */
	LEAT_COUNT_DROP_PROTO,    /* an EtherType other than IPv4, IPv6, ARP */
	LEAT_COUNT_DROP_TENANT,   /* from another tenant */
	LEAT_COUNT_DROP_IDENTITY, /* no identity: nothing was loaded for the instance */
	LEAT_COUNT_DROP_POLICY,   /* the operator's rules say no */
	LEAT_COUNT_USER = 16,
	LEAT_COUNT_MAX = 32,
};
