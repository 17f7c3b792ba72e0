/*
 * proxy.h - published ports, shared by the proxy's files: one thread, one epoll.
 *
 * The thread lives in the uplink's network namespace: sockets that it makes reach the instances.
 * Listening sockets are made by the caller of dataplane_publish, in the host's namespace. All state
 * is guarded by proxy.lock, which the thread holds while it handles a batch of events; what dies
 * meanwhile is freed after the batch.
 */
#pragma once

#include <netinet/in.h>
#include <pthread.h>

#include "apps/leatd/dataplane.h"
#include "leat/base/list.h"

#define PROXY_MAX_PUBLISHED 1024U
#define PROXY_MAX_CONNS 4096U     /* of one published port */
#define PROXY_MAX_SESSIONS 1024U  /* UDP peers of one published port */
#define PROXY_BUFFER_BYTES 65536U /* unsent bytes that one direction may hold */
#define PROXY_UDP_IDLE_NS 60000000000ULL

/* What an epoll event points to. */
struct proxy_watch {
	void (*ready)(struct proxy_watch *watch, uint32_t events);
	void (*destroy)(struct proxy_watch *watch); /* frees; called when nothing points to it */
	int fd;
	uint32_t interest;
	struct list grave;
};

struct proxy_pub {
	struct proxy_watch watch; /* the listening socket, or the UDP one */
	struct list node;         /* in proxy.pubs */
	unsigned id;
	struct dp_publish what;
	struct list conns; /* struct proxy_conn or struct proxy_session */
	unsigned nr_conns;
	bool paused; /* not accepting: too many connections or descriptors */
	struct dp_publish_stats stats;
};

struct proxy {
	pthread_mutex_t lock;
	pthread_t thread;
	bool running;
	bool stop;
	int epoll_fd;
	int wake_fd;
	unsigned next_id;
	unsigned nr_pubs;
	struct list pubs;
	struct list graves;
};

extern struct proxy proxy;

/* 0 or negative errno; interest 0 keeps it quiet (but for errors and hang-ups). */
int proxy_watch_add(struct proxy_watch *watch, uint32_t interest);
void proxy_watch_set(struct proxy_watch *watch, uint32_t interest);
/* Closes the descriptor; destroy is called after the batch. */
void proxy_watch_bury(struct proxy_watch *watch);

void proxy_guest_address(const struct proxy_pub *pub, struct sockaddr_in *ret_addr);

/* proxy_tcp.c */
void proxy_tcp_accept(struct proxy_watch *listener, uint32_t events);
void proxy_tcp_end_all(struct proxy_pub *pub);

/* proxy_udp.c */
void proxy_udp_ready(struct proxy_watch *socket, uint32_t events);
void proxy_udp_end_all(struct proxy_pub *pub);
void proxy_udp_expire(struct proxy_pub *pub, uint64_t now_ns);
