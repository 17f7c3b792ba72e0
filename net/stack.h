/*
 * Private to net/: the stack's state and what its layers offer each other.
 *
 * Up:   net_poll -> virtnet_rx -> link_input -> ip_input -> tcp_input, udp_input, icmp_input
 * Down: tcp_*, udp_send, icmp_* -> ip_begin -> link_begin -> virtnet_tx_begin ... link_end
 * Packets between sockets of this instance never become packets: see tcp_lo.c and udp.c.
 */
#pragma once

#include <errno.h>

#include "net/net.h"
#include "net/timer.h"
#include "net/virtnet.h"
#include "net/wire.h"

#define NET_BIND_BUCKETS 256u
#define NET_EPHEMERAL_LOW 32768u
#define NET_EPHEMERAL_HIGH 60999u
#define NET_NEIGH_SETS 32u
#define NET_NEIGH_WAYS 4u
#define NET_NEIGH_PENDING 8u /* packets that wait for one neighbour */
#define NET_REASSEMBLIES 16u
#define NET_PMTUS 64u
#define NET_LO_MTU 65536u
#define NET_MCAST_GROUPS 16u
#define NET_INDEX_LO 1
#define NET_INDEX_ETH 2
#define NET_DEFAULT_TTL 64u

struct tcp_sock;
struct tcp_lo_seg;
struct dgram;
struct dgram_error;

/* A neighbour on the link: its address and MAC (ARP, RFC 826; ND, RFC 4861). */
struct neigh {
	union ip_addr addr;
	uint8_t mac[6];
	uint8_t state;  /* enum neigh_state */
	uint8_t probes; /* requests sent without an answer */
	uint8_t pending_count;
	uint64_t confirmed_ns; /* when it was last known to be right */
	uint64_t used_ns;
	struct frag_list pending; /* a frag each: whole frames that wait for the MAC */
};

enum neigh_state {
	NEIGH_FREE,
	NEIGH_INCOMPLETE,
	NEIGH_KNOWN,
};

/* What ICMP said about the path to an address (RFC 1191, RFC 8201). */
struct pmtu {
	union ip_addr dst;
	uint32_t mtu;        /* 0: free */
	uint64_t expires_ns; /* the path may have become wider (RFC 1191 6.3) */
};

/* A datagram whose fragments arrive one by one. */
struct reassembly {
	bool busy;
	struct ip_info key;
	uint64_t deadline_ns;
	uint32_t total_bytes;   /* of the payload, 0 until the last fragment came */
	uint32_t count;         /* fragments held */
	struct frag_list frags; /* by offset (in seq), without overlaps */
};

struct net {
	struct virtnet dev;
	struct buf_pool pool;
	struct net_wheel wheel;
	uint64_t now_ns; /* taken at the start of each call from outside */
	struct net_stats stats;

	/* the interface */
	union ip_addr ip, ip6, gateway; /* ip6: link-local */
	union ip_addr ip6_global;       /* :: if there is none */
	uint32_t netmask_be;
	uint8_t prefix_bits, prefix6_bits;
	uint8_t mac[6];
	uint16_t mtu;
	bool loopback;

	uint64_t secret[4]; /* keys of the hashes and of RFC 6528's sequence numbers */
	uint16_t ip_id;

	struct neigh neighs[NET_NEIGH_SETS * NET_NEIGH_WAYS]; /* set by set */
	struct net_timer neigh_timer;
	struct pmtu pmtus[NET_PMTUS]; /* by hash of the address */
	struct reassembly reassemblies[NET_REASSEMBLIES];
	struct net_timer reassembly_timer;

	/* sockets */
	struct list socks;                        /* all of them */
	struct list waiters;                      /* those that wait for room in the TX ring */
	struct net_sock *binds[NET_BIND_BUCKETS]; /* by protocol and port: bound, not connected TCP
						   */
	struct tcp_sock **conns;                  /* TCP connections by their four-tuple */
	uint32_t conn_buckets, conn_count;
	struct list raws;
	struct list time_waits; /* oldest first */
	uint32_t time_wait_count;
	struct net_timer time_wait_timer;
	uint32_t orphan_count;
	struct list acks;      /* connections that owe an ACK at the end of the batch */
	struct list zombies;   /* closed and ownerless: freed when the call returns */
	uint64_t challenge_ns; /* RFC 5961 10: bounded per second */
	uint32_t challenge_count;

	/* segments and datagrams between sockets of this instance */
	struct tcp_lo_seg *lo_head, *lo_tail, *lo_free;
	bool lo_running;
	struct dgram *dgram_free;
	struct dgram_error *dgram_error_free;
	void *chunks; /* slabs of lo segments and datagrams, linked by their first word */

	uint64_t icmp_tokens_ns; /* rate limit of ICMP errors: time credit */
};

struct net_sock {
	struct net *net;
	void *owner;
	struct net_sock *bind_next;
	struct list all;
	struct list wait; /* in net->waiters */
	union ip_addr local, remote;
	uint16_t lport, rport; /* network order; 0: none */
	uint8_t family, type, protocol;
	uint8_t shut; /* bit 0: no more receiving, bit 1: no more sending */
	int error;    /* pending, positive */
	uint32_t rcvbuf, sndbuf;
	uint32_t rcvlowat, mark, priority;
	bool bound : 1;      /* in net->binds */
	bool addr_bound : 1; /* bind() named the address */
	bool port_bound : 1; /* bind() named the port */
	bool connected : 1;  /* datagrams: remote is set */
	bool reuse_addr : 1;
	bool reuse_port : 1;
	bool v6only : 1;
	bool broadcast : 1;
	bool keepalive : 1;
	bool oob_inline : 1;
	bool dont_route : 1;
	bool linger : 1;
	bool rcvbuf_locked : 1;
	bool sndbuf_locked : 1;
	bool timestamps : 1, timestamps_ns : 1; /* SO_TIMESTAMP, SO_TIMESTAMPNS */
	bool recv_error : 1;
	bool recv_error6 : 1;
	bool pktinfo : 1;
	bool pktinfo6 : 1;
	bool recv_ttl : 1;
	bool recv_hops6 : 1;
	bool recv_tos : 1;
	bool recv_class6 : 1;
	bool mcast_loop : 1;
	bool header_included : 1; /* IP_HDRINCL */
	uint8_t ttl;              /* 0: the default */
	uint8_t mcast_ttl, tos;
	uint8_t pmtu_discover;
	uint16_t linger_seconds;
	uint16_t segment_bytes; /* UDP_SEGMENT */
	uint8_t device;         /* SO_BINDTODEVICE: index or 0 */
};

#define SHUT_BIT_RD 1u
#define SHUT_BIT_WR 2u

/* ---- link.c: Ethernet, ARP, neighbours ---- */

/* A packet on its way down, from ip_begin to link_end. */
struct out {
	struct virtnet_tx tx;
	struct neigh *neigh; /* not yet resolved: the frame is put together in `page` */
	uint32_t page;
	uint32_t page_bytes;
	uint8_t *frame;         /* virtio header, Ethernet header, ... */
	uint32_t payload_bytes; /* in page ranges */
	bool too_big;
	/* offload: as in struct virtio_net_hdr, offsets from the Ethernet header */
	uint8_t flags, gso_type;
	uint16_t gso_bytes, gso_header_bytes, csum_start, csum_offset;
};

void link_init(struct net *net);
void link_finish(struct net *net);
void link_input(struct net *net, struct pkt *pkt);

/* The entry for an address on the link, made if need be; NULL when the table's set is all waiting.
 */
struct neigh *neigh_get(struct net *net, const union ip_addr *addr);
/* Hears from a peer that the path works (RFC 4861 7.3.1). */
static inline void neigh_confirm(const struct net *net, struct neigh *neigh)
{
	if (neigh != NULL && neigh->state == NEIGH_KNOWN)
		neigh->confirmed_ns = net->now_ns;
}
/* What a neighbour advertisement says (RFC 4861 7.2.5). */
void neigh_advertised(struct net *net, const union ip_addr *addr, const uint8_t *mac,
		      uint8_t flags);
#define NEIGH_FLAG_SOLICITED 0x40u
#define NEIGH_FLAG_OVERRIDE 0x20u
/* What ARP or ND learned. */
void neigh_learn(struct net *net, const union ip_addr *addr, const uint8_t mac[6], bool create);

/*
 * Begins a frame to `neigh` (NULL: to `mac`). Returns where the network header goes, with room for
 * VIRTNET_HEADER_BYTES - LINK_HEADER_BYTES; or NULL when the ring is full.
 */
#define LINK_HEADER_BYTES (VIRTNET_VNET_BYTES + ETH_BYTES)
uint8_t *link_begin(struct net *net, struct neigh *neigh, const uint8_t *mac, uint16_t type,
		    unsigned int ranges, struct out *out);
void link_add(struct net *net, struct out *out, uint32_t page, uint32_t offset, uint32_t bytes);
/* Adds [offset, offset + bytes) of a list. */
void link_add_list(struct net *net, struct out *out, const struct frag_list *list, uint32_t offset,
		   uint32_t bytes);
/* `bytes` follow the Ethernet header in the header slot. */
void link_end(struct net *net, struct out *out, uint32_t bytes);

/* ---- ip.c ---- */

struct route {
	bool local; /* stays in this instance */
	bool broadcast;
	struct neigh *neigh; /* NULL: local, broadcast or multicast */
	uint8_t mac[6];      /* of a broadcast or multicast */
	union ip_addr src;   /* to be used when the socket has none */
	uint32_t mtu;
};

/* Where `dst` is. 0, -ENETUNREACH, -EHOSTUNREACH, -ENOBUFS. */
int ip_route(struct net *net, const union ip_addr *dst, struct route *ret_route);
/* True for addresses that this instance answers to. */
bool ip_is_local(const struct net *net, const union ip_addr *addr);
bool ip_is_broadcast(const struct net *net, const union ip_addr *addr);
/* Bytes that fit through the path to `dst`, as far as is known. */
uint32_t ip_pmtu(const struct net *net, const union ip_addr *dst);
/* An ICMP error that is believed says so. */
void ip_pmtu_learn(struct net *net, const union ip_addr *dst, uint32_t mtu);
/* The source address for packets to a neighbour or peer. */
const union ip_addr *ip_source(const struct net *net, const union ip_addr *dst);
/* The neighbour that leads to a unicast address not of this instance, or NULL. */
const union ip_addr *ip_next_hop(const struct net *net, const union ip_addr *dst);
void ip_input(struct net *net, struct pkt *pkt, uint16_t type);

struct ip_out {
	const struct route *route;
	const union ip_addr *src, *dst;
	uint8_t protocol, ttl, tos;
	bool dont_fragment;  /* the flag, on packets that fit */
	bool must_fit;       /* -EMSGSIZE rather than fragments */
	uint16_t id, frag;   /* IPv4: fragment field in host order */
	uint32_t l4_bytes;   /* transport header and payload */
	uint8_t csum_offset; /* ip_send_list: the device completes the checksum there; 0: it is done
			      */
};

/* Writes the network header; returns where the transport header goes, or NULL (ring full). */
uint8_t *ip_begin(struct net *net, const struct ip_out *ip, unsigned int ranges, struct out *out);
void ip_end(struct net *net, const struct ip_out *ip, struct out *out, uint32_t l4_inline_bytes);
static inline uint32_t ip_header_bytes(const union ip_addr *dst)
{
	return ip_addr_is_v4(dst) ? IP4_BYTES : IP6_BYTES;
}
/* Sends a transport packet held in a list, in fragments if it is too big. 0, -EAGAIN, -EMSGSIZE. */
int ip_send_list(struct net *net, const struct ip_out *ip, const struct frag_list *l4);
unsigned int frag_list_count(const struct frag_list *list, uint32_t offset, uint32_t bytes);

/* The transport packet at the head of `pkt` (already past the IP header). */
void ip_deliver(struct net *net, struct pkt *pkt, const struct ip_info *info);

/* ---- reassembly.c ---- */

void reassembly_init(struct net *net);
void reassembly_finish(struct net *net);
/* Takes a fragment. True when `pkt` and `info` now are the whole datagram. */
bool reassembly_add(struct net *net, struct pkt *pkt, struct ip_info *info);

/* ---- icmp.c ---- */

void icmp_input(struct net *net, struct pkt *pkt, const struct ip_info *info);
void icmp6_input(struct net *net, struct pkt *pkt, const struct ip_info *info);
/* Answers a packet (from its transport header on) with an error that quotes it. */
void icmp_send_error(struct net *net, const struct ip_info *info, const struct pkt *pkt,
		     uint8_t type, uint8_t code, uint32_t rest);
/* Asks for a neighbour: all, or the one that had this MAC (NULL: unknown). */
void icmp6_send_ns(struct net *net, const union ip_addr *target, const uint8_t *mac);

/* What an ICMP error says about the packet that it quotes. */
struct icmp_error {
	union ip_addr src, dst; /* of the quoted packet: ours, the peer's */
	uint16_t sport, dport;
	uint32_t seq;
	int error;    /* errno */
	bool hard;    /* ends an attempt to connect */
	uint32_t mtu; /* of the next hop, for a packet too big */
	uint8_t protocol, type, code;
	union ip_addr offender; /* who says so */
	const uint8_t *quote;   /* the transport header, and what is quoted behind it */
	uint32_t quote_bytes;
};

/* ---- udp.c, raw.c, dgram.c: the rest is in dgram.h ---- */

void dgram_destroy(struct net_sock *sock);
void dgram_drop_all(struct net_sock *sock);             /* what waits to be received */
uint32_t dgram_next_bytes(const struct net_sock *sock); /* FIONREAD: of the next datagram */
void udp_input(struct net *net, struct pkt *pkt, const struct ip_info *info);
void udp_error(struct net *net, const struct icmp_error *error);
void raw_error(struct net *net, const struct icmp_error *error);
/* Copies the packet to raw and ping sockets that want it. True if one did. */
bool raw_input(struct net *net, const struct pkt *pkt, const struct ip_info *info);
/* The network header as it was but for options; returns its length. */
uint32_t ip_header_rebuild(const struct ip_info *info, uint8_t *at);

/* ---- tcp_in.c; the rest of TCP is in tcp.h ---- */

void tcp_input(struct net *net, struct pkt *pkt, const struct ip_info *info);
void tcp_error(struct net *net, const struct icmp_error *error);
/* The next hop does not answer: ends an attempt to connect through it. */
void tcp_host_unreachable(struct net_sock *sock, const union ip_addr *hop);
void tcp_ready(struct net_sock *sock); /* there is room in the TX ring again */

/* ---- sock.c: what all sockets share ---- */

int net_error_take(struct net_sock *sock);
void sock_event(struct net_sock *sock, uint32_t events);
void sock_set_error(struct net_sock *sock, int error);
/* Nobody answers for this next hop: those who are waiting for it hear so. */
void sock_host_unreachable(struct net *net, const union ip_addr *hop);
/* Waits for room in the TX ring: net_poll will send a POLLOUT event. */
void sock_wait_tx(struct net_sock *sock);
void sock_name_out(const struct net_sock *sock, const union ip_addr *addr, uint16_t port,
		   struct sockaddr_storage *ret_addr, socklen_t *ret_bytes);
int sock_name_in(const struct net_sock *sock, const struct sockaddr *addr, socklen_t addr_bytes,
		 union ip_addr *ret_addr, uint16_t *ret_port);
/* SO_BINDTODEVICE: what comes over loopback (`lo`) or the link concerns this socket. */
static inline bool sock_device_ok(const struct net_sock *sock, bool lo)
{
	return sock->device == 0 || (sock->device == NET_INDEX_LO) == lo;
}
/* The local address takes packets for `dst`. */
bool sock_takes(const struct net_sock *sock, const union ip_addr *dst);

/* ---- port.c: who has which port ---- */

uint32_t port_bucket(uint8_t protocol, uint16_t port_be);
/* Gives the socket the address and port (0: a free one). 0, -EADDRINUSE, -EAGAIN. */
int port_bind(struct net_sock *sock, const union ip_addr *addr, uint16_t port_be);
void port_unbind(struct net_sock *sock);
/* Somebody listens on the socket's port already and does not share it. */
bool port_listen_conflict(const struct net_sock *sock);
/* True if an explicit bind stands against using this port for an outgoing connection. */
bool port_taken(const struct net *net, uint8_t protocol, uint16_t port_be);
uint64_t net_hash(const struct net *net, const union ip_addr *a, const union ip_addr *b,
		  uint32_t ports);
/* A hash that an attacker cannot invert (SipHash-2-4), for sequence numbers. */
uint64_t net_hash_strong(const struct net *net, const union ip_addr *a, const union ip_addr *b,
			 uint32_t ports);

/* ---- sockopt.c ---- */

int tcp_setsockopt(struct net_sock *sock, int name, const void *value, socklen_t value_bytes);
int tcp_getsockopt(struct net_sock *sock, int name, void *value, socklen_t *inout_bytes);
int sockopt_int(const void *value, socklen_t value_bytes, int *ret_value);
int sockopt_give(void *value, socklen_t *inout_bytes, const void *from, size_t bytes);
int sockopt_give_int(void *value, socklen_t *inout_bytes, int from);

/* ---- net.c ---- */

/*
 * A new object of a small fixed size; more of them go to the empty free list, linked by their first
 * word. They are reused until the stack ends. NULL without memory.
 */
void *net_slab_refill(struct net *net, void *free_list, size_t object_bytes);
/* Around every call from outside: takes the time, and does what the call left to be done. */
void net_enter(struct net *net);
void net_leave(struct net *net);
