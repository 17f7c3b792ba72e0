/*
 * Private to net/: sockets that carry datagrams, i.e. UDP, raw and ping sockets. They share the
 * receive queue, addressing and ancillary data; they differ in how a datagram becomes a packet.
 */
#pragma once

#include "net/stack.h"

#define DGRAM_BUF_DEFAULT 212992u
#define DGRAM_OVERHEAD 256u /* what a datagram counts besides its bytes */
#define DGRAM_GROUPS 8u
#define DGRAM_ERRORS 32u /* most entries of an error queue */
#define DGRAM_ERROR_BYTES 512u
#define UDP_MAX_PAYLOAD 65507u
#define UDP_SEGMENTS_MAX 64u

struct dgram {
	struct dgram *next;
	struct frag_list data;
	union ip_addr src, dst;
	uint16_t sport;
	uint8_t ttl, tos;
	uint8_t protocol;
	bool local;
	bool partial;      /* UDP-Lite: the checksum covered only `coverage` bytes */
	uint16_t coverage; /* header included */
	uint64_t when_ns;
};

/* An entry of the error queue (ip(7), IP_RECVERR): a datagram of ours that came back. */
struct dgram_error {
	struct dgram_error *next;
	struct frag_list data;
	union ip_addr dst, offender;
	uint16_t dport;
	int error;
	uint8_t origin, type, code; /* SO_EE_ORIGIN_* */
	uint32_t info;              /* the MTU, for EMSGSIZE */
};

struct dgram_sock {
	struct net_sock s;
	struct list raw_link; /* in net->raws */
	struct dgram *head, *tail;
	uint32_t queued_bytes; /* with overhead */
	uint32_t drops;
	struct dgram_error *errors, *errors_tail;
	uint32_t error_count;
	uint32_t icmp_filter;
	bool checksum6;
	uint16_t send_coverage, recv_coverage; /* UDP-Lite: 0: all; header included */
	bool recv_coverage_set;
	union ip_addr groups[DGRAM_GROUPS];
	unsigned int group_count;
};

/* A datagram about to be sent. */
struct dgram_send {
	struct route route;
	union ip_addr src, dst;
	uint16_t dport;
	uint8_t ttl, tos;
	uint16_t segment_bytes; /* UDP_SEGMENT: 0: one datagram */
	struct frag_list l4;
};

static inline struct dgram_sock *dgram_of(const struct net_sock *sock)
{
	return (struct dgram_sock *)(uintptr_t)sock;
}

/* UDP or UDP-Lite: with ports and the header of UDP. */
static inline bool dgram_has_ports(const struct net_sock *sock)
{
	return sock->protocol == PROTO_UDP || sock->protocol == PROTO_UDPLITE;
}

struct net_sock *dgram_create(struct net *net, uint8_t family, uint8_t type, uint8_t protocol);
int dgram_connect(struct net_sock *sock, const union ip_addr *addr, uint16_t port);
int dgram_disconnect(struct net_sock *sock);
ssize_t dgram_sendmsg(struct net_sock *sock, const struct net_msg *msg, int flags);
ssize_t dgram_recvmsg(struct net_sock *sock, struct net_msg *msg, int flags);
uint32_t dgram_poll_events(const struct net_sock *sock);
int dgram_group(struct net_sock *sock, const union ip_addr *group, bool join);
bool dgram_joined(const struct dgram_sock *ds, const union ip_addr *group);

/* An ICMP error for this socket; `skip` bytes of the quoted transport packet are not the program's.
 */
void dgram_error_input(struct dgram_sock *ds, const struct icmp_error *error, uint32_t skip);
ssize_t dgram_recv_error(struct net_sock *sock, struct net_msg *msg, int flags);
/* Copies a datagram to the program. Bytes or -EFAULT. */
ssize_t dgram_copy_out(const struct net *net, const struct frag_list *data,
		       const struct net_msg *msg);
void dgram_errors_free(struct dgram_sock *ds);
/* The datagram is too big for the path: what IP_RECVERR wants to know of it. */
void dgram_too_big(struct dgram_sock *ds, const struct dgram_send *send);
/* Appends a control message; MSG_CTRUNC if it does not fit. */
void dgram_control_put(struct net_msg *msg, size_t room, int level, int type, const void *data,
		       size_t bytes);

/* Queues `data` (taken over) with what `from` says. False: no room, and freed. */
bool dgram_queue(struct dgram_sock *ds, struct frag_list *data, const struct dgram *from);

/* How a filled struct dgram_send goes out; 0 or negative errno. */
int udp_transmit(struct dgram_sock *ds, struct dgram_send *send);
int raw_transmit(struct dgram_sock *ds, struct dgram_send *send);
