/*
 * What the maps of the base library's filters hold (bpf/programs/, docs/filters.md): for the
 * filters and for whoever fills their maps. Everything here is ABI: sizes are asserted, fields are
 * only ever appended. Addresses are in network order, IPv4 ones as ::ffff:a.b.c.d; ports in host
 * order.
 */
#pragma once

#include <linux/types.h>

union leat_addr {
	__u8 bytes[16];
	__u32 words[4];
	__u64 halves[2];
};

/* Map "rules" of secgroup and stateful: an array of one list. The first rule that matches decides.
 */
#define LEAT_RULES_MAX 64

enum leat_rule_action {
	LEAT_RULE_END = 0, /* the list ends here: what matched no rule is dropped */
	LEAT_RULE_PASS = 1,
	LEAT_RULE_DROP = 2,
};

enum leat_rule_direction {
	LEAT_RULE_EGRESS = 1 << 0,
	LEAT_RULE_INGRESS = 1 << 1,
};

#define LEAT_PORT_NONE 0x10000 /* of packets without ports: later fragments, other protocols */
#define LEAT_PORT_ANY 0x1ffff  /* as port_high: those too */

struct leat_rule {
	union leat_addr remote; /* the other side, where mask has bits; zero elsewhere */
	union leat_addr mask;
	__u32 port_low; /* destination port, or type of an ICMP message */
	__u32 port_high;
	__u8 proto;      /* IP's number */
	__u8 proto_mask; /* 0xff; 0, with proto 0: every one */
	__u8 direction;  /* enum leat_rule_direction, of one or both */
	__u8 action;     /* enum leat_rule_action */
	__u32 reserved;
};

struct leat_rules {
	struct leat_rule rule[LEAT_RULES_MAX];
};

_Static_assert(sizeof(struct leat_rule) == 48, "struct leat_rule is ABI");

/* Map "connections" of stateful: an LRU hash. */
struct leat_conn_key {
	union leat_addr local, remote;
	__u16 local_port, remote_port; /* ICMP: the identifier, in both */
	__u8 proto;
	__u8 reserved[3];
};

enum leat_conn_flags {
	LEAT_CONN_EGRESS = 1 << 0, /* seen in this direction */
	LEAT_CONN_INGRESS = 1 << 1,
	LEAT_CONN_FIN_EGRESS = 1 << 2,
	LEAT_CONN_FIN_INGRESS = 1 << 3,
	LEAT_CONN_RESET = 1 << 4,
};

struct leat_conn {
	__u64 seen_ns; /* when the last packet came, CLOCK_MONOTONIC */
	__u32 flags;   /* enum leat_conn_flags */
	__u32 reserved;
};

_Static_assert(sizeof(struct leat_conn_key) == 40, "struct leat_conn_key is ABI");
_Static_assert(sizeof(struct leat_conn) == 16, "struct leat_conn is ABI");

/* Map "rates" of ratelimit: an array by enum leat_rate_index. */
struct leat_rate {
	__u64 unit_ps;  /* picoseconds for a packet or a byte; 0: no limit */
	__u64 burst_ns; /* what may pass at once, as the time that it takes */
	__u64 full_ns;  /* the filter's */
};

_Static_assert(sizeof(struct leat_rate) == 24, "struct leat_rate is ABI");

enum leat_rate_index {
	LEAT_RATE_EGRESS_PACKETS,
	LEAT_RATE_EGRESS_BYTES,
	LEAT_RATE_INGRESS_PACKETS,
	LEAT_RATE_INGRESS_BYTES,
	LEAT_RATE_MAX,
};

/* Map "peers" of peers: a hash from a peer's tag word to this. */
enum leat_peer_flags {
	LEAT_PEER_SEND = 1 << 0,    /* the instance may send to it */
	LEAT_PEER_RECEIVE = 1 << 1, /* and receive from it */
};

#define LEAT_PEER_UPLINK 0U /* the tag that stands for what comes from, or goes to, no instance */

struct leat_peer {
	__u32 flags;
	__u32 reserved;
};

/*
 * Maps of balance: "services", a hash from a service's address to a range of "backends", an array;
 * "handles", a handle for each backend at the same index; "flows", which backend a connection has.
 */
#define LEAT_BACKENDS_MAX 256

struct leat_service_key {
	__u32 ipv4;
	__u16 port;
	__u8 proto;
	__u8 reserved;
};

struct leat_service {
	__u32 first; /* index of its first backend */
	__u32 count; /* 1 .. LEAT_BACKENDS_MAX - first */
};

struct leat_backend {
	__u32 ipv4;
	__u8 mac[6];
	__u16 port;  /* host order */
	__u32 flags; /* enum leat_backend_flags */
};

enum leat_backend_flags {
	LEAT_BACKEND_UP = 1 << 0, /* takes new connections */
};

struct leat_flow_key {
	__u32 remote; /* the service's address, or the backend's */
	__u16 local_port, remote_port;
	__u8 proto;
	__u8 reply; /* 0: remote is a service; 1: a backend */
	__u16 reserved;
};

struct leat_flow {
	__u64 seen_ns;
	__u32 backend; /* index */
	__u32 ipv4;    /* the service's, or the backend's, as it was chosen */
	__u16 port;
	__u8 mac[6];
};

_Static_assert(sizeof(struct leat_service_key) == 8, "struct leat_service_key is ABI");
_Static_assert(sizeof(struct leat_backend) == 16, "struct leat_backend is ABI");
_Static_assert(sizeof(struct leat_flow_key) == 12, "struct leat_flow_key is ABI");
_Static_assert(sizeof(struct leat_flow) == 24, "struct leat_flow is ABI");

/* Map "config" of mirror, an array of one; what it copies is in the ring buffer "mirror". */
struct leat_mirror_config {
	__u32 every;     /* one frame of so many, at random; 0: none */
	__u32 direction; /* enum leat_rule_direction */
	__u32 bytes;     /* of each frame at most; 0: all that is there */
	__u32 reserved;
};

#define LEAT_MIRROR_BYTES 256

struct leat_mirror {
	__u64 time_ns;
	__u32 len;   /* of the frame */
	__u16 bytes; /* that were copied */
	__u8 direction;
	__u8 verdict; /* enum leat_verdict */
	__u8 frame[LEAT_MIRROR_BYTES];
};

_Static_assert(sizeof(struct leat_mirror) == 16 + LEAT_MIRROR_BYTES, "struct leat_mirror is ABI");

/* Maps of count: "peers", an LRU hash from the other side's address; "protocols", an array by IP's
 * number (by EtherType: ARP is 255). */
struct leat_count {
	__u64 egress_packets, egress_bytes;
	__u64 ingress_packets, ingress_bytes;
};
