/*
 * A world of hosts in virtual time: each runs the stack on a window of its own; this file's device
 * side moves frames between their rings over a link with a seed, which delays, drops, duplicates,
 * reorders and corrupts as it is told. Nothing waits for real time.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "leat/abi/netdev.h"
#include "net/net.h"

#define MS 1000000ul
#define SEC 1000000000ul
/* The world began in 2020. */
#define WORLD_EPOCH_NS (1577836800ul * SEC)
#define HOST_POOL_PAGES 4096u

struct host {
	struct net *net;
	uint8_t *window;
	uint8_t mac[6];
	struct in_addr ip;
	struct in6_addr ip6;       /* fd00::1, fd00::2 */
	uint16_t tx_seen, rx_seen; /* avail indices already taken */
	uint16_t tx_used, rx_used;
	uint64_t frames_out, frames_in, rx_full;
	bool hold_tx; /* the device leaves TX descriptors where they are */
};

struct link_model {
	uint64_t delay_ns;
	uint64_t jitter_ns;
	unsigned int loss_permille, duplicate_permille, reorder_permille, corrupt_permille;
	unsigned int ce_permille; /* of what may be marked: congestion experienced */
	/* sees every frame (Ethernet on, no virtio header) before the dice; false: drop it */
	bool (*inspect)(unsigned int from, uint8_t *frame, size_t bytes, void *arg);
	void *arg;
};

struct frame {
	struct frame *next;
	uint64_t at_ns, order;
	unsigned int from, to;
	size_t bytes; /* of the frame behind the header */
	uint8_t vnet[12];
	uint8_t data[];
};

struct world {
	uint64_t now_ns;
	uint64_t seed, random;
	uint64_t order;
	uint32_t events; /* POLL* of the last net_env_sock_event */
	unsigned int event_count;
	struct host hosts[2];
	struct link_model link;
	struct frame *queue;                    /* by time */
	struct frame *captured, *captured_tail; /* frames to host 1 when it has no stack: a script
						 */
	size_t allocated;
	unsigned int ce_marks[2]; /* by sender */
};

extern struct world world;

#define FEATURES_ALL                                                                               \
	(ABI_F_VERSION_1 | ABI_NET_F_MRG_RXBUF | ABI_NET_F_CSUM | ABI_NET_F_GUEST_CSUM |           \
	 ABI_NET_F_HOST_TSO4 | ABI_NET_F_HOST_TSO6 | ABI_NET_F_GUEST_TSO4 | ABI_NET_F_GUEST_TSO6)
#define FEATURES_PLAIN (ABI_F_VERSION_1 | ABI_NET_F_MRG_RXBUF)

/* Two hosts, 10.0.0.1 and 10.0.0.2. With one stack only, host 1 is the test itself. */
void world_init(uint64_t seed, uint64_t features, bool second_stack, uint16_t mtu);
void world_finish(void);
uint32_t world_random(void);

/* Runs until `ns` from now have passed; `step` (may be NULL) is called at each turn, true ends. */
bool world_run(uint64_t ns, bool (*step)(void *arg), void *arg);
/* Until nothing moves at this instant. */
void world_settle(void);
/* Puts a frame into a host's RX ring now (as from the device, with an empty virtio header). */
bool world_inject(struct host *host, const uint8_t *vnet, const void *frame, size_t bytes);
/* Sends a frame over the link, with all that it does to frames. */
void world_offer(unsigned int from, const uint8_t *vnet, const void *data, size_t bytes);
/* The next frame that host 0 sent to the script, or NULL; to be freed. */
struct frame *world_take(void);

/* ---- sockets, short ---- */

struct net_sock *sock_new(struct host *host, int family, int type);
int sock_bind(struct net_sock *sock, const char *ip, uint16_t port);
int sock_connect(struct net_sock *sock, const char *ip, uint16_t port);
ssize_t sock_send(struct net_sock *sock, const void *data, size_t bytes, int flags);
ssize_t sock_recv(struct net_sock *sock, void *data, size_t bytes, int flags);
struct net_sock *sock_listener(struct host *host, uint16_t port, int backlog);
struct net_sock *sock_accept(struct net_sock *listener);
/* Two connected TCP sockets over the link (hosts 0 -> 1) or over loopback (0 -> 0). */
void sock_pair(struct host *from, struct host *to, uint16_t port, struct net_sock *ret_pair[2]);
uint8_t sock_state(struct net_sock *sock);
int sock_error(struct net_sock *sock);
