/*
 * The facade of net/: Leat's TCP/IP stack and its virtio-net driver.
 *
 * The embedder serialises all calls (net_rx_pending() excepted) and does all blocking: every call
 * returns at once, with -EAGAIN or -EINPROGRESS where Linux would sleep, and the embedder waits for
 * net_env_sock_event(). Errors are Linux's, as negative errno. Addresses and option values are in
 * the embedder's memory; only the bases of struct net_msg's iov are program pointers.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

struct net;
struct net_sock;
struct abi_netdev;

#define NET_MAX_VCPUS 64u
#define NET_NO_DEADLINE UINT64_MAX
#define NET_CONTROL_MAX 256u /* most bytes of control messages that one net_recvmsg gives */

struct net_config {
	struct in_addr ip;      /* network byte order; 0.0.0.0 without an interface */
	uint8_t prefix_bits;    /* e.g. 16 */
	struct in_addr gateway; /* 0.0.0.0: none */
	struct in6_addr ip6;    /* global; :: for link-local only */
	uint8_t prefix6_bits;
	uint8_t mac[6];
	uint16_t mtu;  /* e.g. 1500 */
	bool loopback; /* bring lo up */
	/*
	 * The window: base address in this process, and the ring/buffer area within it. dev is NULL
	 * when the instance has no interface; packet buffers are needed for loopback all the same.
	 */
	void *window;
	struct abi_netdev *dev;
	uint64_t buf_offset;      /* page-aligned offset of the packet buffer area in the window */
	uint64_t buf_bytes;       /* its size */
	unsigned int queue_pairs; /* one per vcpu, 1 .. NET_MAX_VCPUS */
};

/* Creates the stack, lays out the rings and sets DRIVER_OK. 0 or -ENOMEM, -EINVAL. */
int net_init(const struct net_config *config, struct net **ret_net);
void net_finish(struct net *net);

/*
 * The stack in a clone of its instance: the window is a new, empty one, and the addresses are those
 * of config.  Sockets, options, bindings and listeners stay; connections are reset (ECONNRESET),
 * and packets that waited anywhere are gone. 0 or as net_init.
 */
int net_resume(struct net *net, const struct net_config *config);

/*
 * Drains up to `budget` packets of the vcpu's RX ring, runs the protocols, refills the ring and
 * publishes what is to be sent. Returns the number of packets. Cheap when there is nothing.
 */
int net_poll(struct net *net, unsigned int vcpu, unsigned int budget);

/* True if net_poll(vcpu) would find a packet. The one call that needs no lock. */
bool net_rx_pending(const struct net *net, unsigned int vcpu);

/* Publishes packets queued by socket calls since the last flush or poll; call before parking. */
void net_flush(struct net *net, unsigned int vcpu);

/* True if the device has not yet taken back everything that was sent. Needs no lock either. */
bool net_tx_pending(const struct net *net, unsigned int vcpu);

/* Runs the timers that are due. */
void net_timers_run(struct net *net, uint64_t now_ns);

/* When net_timers_run has something to do next: absolute ns, or NET_NO_DEADLINE. */
uint64_t net_next_deadline(const struct net *net);

/* ---- sockets: AF_INET and AF_INET6; SOCK_STREAM, SOCK_DGRAM, SOCK_RAW (ICMP) ---- */

struct net_msg {
	const struct iovec *iov; /* array in the embedder's memory, bases in the program's */
	unsigned int iov_count;
	struct sockaddr_storage *addr; /* send: destination or NULL; recv: source out, or NULL */
	socklen_t addr_bytes;          /* send: in; recv: out, 0 when there is none */
	void *control;                 /* send: in; recv: out (or NULL) */
	size_t control_bytes;          /* send: in; recv: room in, bytes out */
	int flags;                     /* recv: out: MSG_TRUNC, MSG_CTRUNC, MSG_OOB */
};

/* `owner` comes back in net_env_sock_event. The socket has one reference, which is the owner's. */
int net_socket(struct net *net, int family, int type, int protocol, void *owner,
	       struct net_sock **ret_sock);
void net_sock_set_owner(struct net_sock *sock, void *owner);

/* The owner is gone: no events any more; TCP goes on to send and close what is under way. */
void net_close(struct net_sock *sock);

/*
 * SO_LINGER: for how many seconds close() shall wait for what was sent to arrive (0: not at all),
 * and whether there is still something to wait for after net_shutdown().
 */
unsigned int net_linger_seconds(const struct net_sock *sock);
bool net_lingering(const struct net_sock *sock);

int net_bind(struct net_sock *sock, const struct sockaddr *addr, socklen_t addr_bytes);
int net_listen(struct net_sock *sock, int backlog);

/* -EAGAIN when none waits. The new socket has no owner yet: give it one. */
int net_accept(struct net_sock *sock, struct net_sock **ret_sock);

/*
 * -EINPROGRESS when it was started now, even if it is done by now (loopback), as on Linux; called
 * again: -EALREADY while it lasts, then 0 or what failed, then -EISCONN. Datagrams: 0 at once.
 */
int net_connect(struct net_sock *sock, const struct sockaddr *addr, socklen_t addr_bytes);

/* SO_ERROR: the pending error as a negative errno, or 0; cleared by the call. */
int net_sock_error(struct net_sock *sock);

/*
 * Both return the number of bytes moved; a part is possible (stream: as much as there was room or
 * data for; the caller loops for MSG_WAITALL and for blocking sends). recv returns 0 at the end of
 * the stream. flags: MSG_PEEK, MSG_TRUNC, MSG_OOB, MSG_MORE, MSG_ERRQUEUE (-EAGAIN); MSG_DONTWAIT,
 * MSG_NOSIGNAL and MSG_WAITALL are the caller's. -EPIPE: the caller raises SIGPIPE.
 */
ssize_t net_sendmsg(struct net_sock *sock, const struct net_msg *msg, int flags);
ssize_t net_recvmsg(struct net_sock *sock, struct net_msg *msg, int flags);

int net_shutdown(struct net_sock *sock, int how);

int net_getsockname(struct net_sock *sock, struct sockaddr_storage *ret_addr, socklen_t *ret_bytes);
int net_getpeername(struct net_sock *sock, struct sockaddr_storage *ret_addr, socklen_t *ret_bytes);

/* SO_RCVTIMEO and SO_SNDTIMEO are the embedder's and -ENOPROTOOPT here. */
int net_setsockopt(struct net_sock *sock, int level, int name, const void *value,
		   socklen_t value_bytes);
/* *inout_bytes: room in, size out. */
int net_getsockopt(struct net_sock *sock, int level, int name, void *value, socklen_t *inout_bytes);

/* POLLIN | POLLOUT | POLLERR | POLLHUP | POLLRDHUP as they are now. */
uint32_t net_poll_events(const struct net_sock *sock);

/* `arg` is the program's. -ENOIOCTLCMD (515) for a request that is not the network's. */
#define NET_ENOIOCTLCMD 515
int net_ioctl(struct net_sock *sock, unsigned long request, unsigned long arg);

/* ---- what is there: netlink, /proc/net, inspect ---- */

struct net_if {
	unsigned int index; /* 1 = lo, 2 = eth0 */
	char name[16];
	unsigned int flags; /* IFF_* */
	unsigned int mtu;
	uint8_t mac[6];
	struct in_addr ip;
	uint8_t prefix_bits;
	struct in6_addr ip6;  /* ::1 or the link-local one */
	uint8_t prefix6_bits; /* 0: no IPv6 address */
	struct in6_addr ip6_global;
	uint8_t prefix6_global_bits; /* 0: none */
	uint64_t rx_packets, rx_bytes, tx_packets, tx_bytes;
};

/* The interface with that index, or -ENODEV. Indices are 1 and, with a device, 2. */
int net_if_get(const struct net *net, unsigned int index, struct net_if *ret_if);
struct in_addr net_gateway(const struct net *net);

struct net_stats {
	uint64_t rx_packets, tx_packets, rx_bytes, tx_bytes;
	uint64_t rx_malformed, rx_checksum, rx_no_socket, rx_no_memory;
	uint64_t tx_ring_full;
	uint64_t addr_conflicts; /* somebody else claims an address of ours */
	uint64_t tcp_retransmits, tcp_timeouts, tcp_fast_recoveries, tcp_resets_sent;
	uint64_t tcp_challenge_acks, tcp_accept_overflows, tcp_paws_drops;
	uint64_t tcp_cookies_sent, tcp_cookies_accepted, tcp_cookies_failed;
	uint64_t sockets, buf_total, buf_free;
};

void net_stats_get(const struct net *net, struct net_stats *ret_stats);

/* One line of /proc/net/tcp and its like: calls fn for every socket; for inspect. */
struct net_sock_info {
	int family, type, protocol;
	struct sockaddr_storage local, remote;
	uint8_t tcp_state; /* Linux's TCP_* numbers */
	uint32_t tx_queue_bytes, rx_queue_bytes;
	void *owner;
};

void net_sock_walk(struct net *net, void (*fn)(const struct net_sock_info *info, void *arg),
		   void *arg);
