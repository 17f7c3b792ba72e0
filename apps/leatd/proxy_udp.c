/*
 * proxy_udp.c - datagrams through published ports.
 *
 * Each peer on the host has a socket of its own towards the instance, so that answers find their
 * way back; it goes after a minute without traffic. What does not fit is dropped, as UDP may be.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "apps/leatd/dataplane_private.h"
#include "apps/leatd/proxy.h"

#define DATAGRAMS_AT_ONCE 64U
#define DATAGRAM_MAX 65536U

struct proxy_session {
	struct proxy_watch watch; /* the socket towards the instance */
	struct proxy_pub *pub;
	struct list node; /* in pub.conns, the latest first */
	struct sockaddr_in peer;
	uint64_t used_ns;
};

static void session_destroy(struct proxy_watch *watch)
{
	free(container_of(watch, struct proxy_session, watch));
}

static void session_end(struct proxy_session *session)
{
	list_del(&session->node);
	session->pub->nr_conns--;
	proxy_watch_bury(&session->watch);
}

/* Answers of the instance, back to the session's peer. */
static void session_ready(struct proxy_watch *watch, uint32_t events)
{
	static uint8_t datagram[DATAGRAM_MAX]; /* guarded by proxy.lock */
	struct proxy_session *session = container_of(watch, struct proxy_session, watch);
	struct proxy_pub *pub = session->pub;

	(void)events;
	for (unsigned i = 0; i < DATAGRAMS_AT_ONCE; i++) {
		ssize_t n = recv(watch->fd, datagram, sizeof(datagram), 0);

		if (n < 0)
			return; /* also a refusal by the instance: the peer's next one may do better
				 */
		session->used_ns = dp_now_ns();
		if (sendto(pub->watch.fd, datagram, (size_t)n, MSG_NOSIGNAL,
			   (struct sockaddr *)&session->peer, sizeof(session->peer)) == n)
			pub->stats.bytes_out += (uint64_t)n;
	}
}

static struct proxy_session *session_create(struct proxy_pub *pub, const struct sockaddr_in *peer)
{
	struct proxy_session *session = calloc(1, sizeof(*session));
	struct sockaddr_in addr;

	if (!session)
		return NULL;
	session->pub = pub;
	session->peer = *peer;
	session->watch.ready = session_ready;
	session->watch.destroy = session_destroy;
	session->watch.fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	proxy_guest_address(pub, &addr);
	if (session->watch.fd < 0 ||
	    connect(session->watch.fd, (struct sockaddr *)&addr, sizeof(addr)) ||
	    proxy_watch_add(&session->watch, EPOLLIN)) {
		if (session->watch.fd >= 0)
			close(session->watch.fd);
		free(session);
		return NULL;
	}
	if (pub->nr_conns == PROXY_MAX_SESSIONS)
		session_end(list_entry(pub->conns.prev, struct proxy_session, node));
	list_add(&pub->conns, &session->node);
	pub->nr_conns++;
	pub->stats.connections++;
	return session;
}

static struct proxy_session *session_find(struct proxy_pub *pub, const struct sockaddr_in *peer)
{
	struct list *pos;

	list_for_each(pos, &pub->conns) {
		struct proxy_session *session = list_entry(pos, struct proxy_session, node);

		if (session->peer.sin_port != peer->sin_port ||
		    session->peer.sin_addr.s_addr != peer->sin_addr.s_addr)
			continue;
		list_del(&session->node);
		list_add(&pub->conns, &session->node);
		return session;
	}
	return session_create(pub, peer);
}

void proxy_udp_ready(struct proxy_watch *watch, uint32_t events)
{
	static uint8_t datagram[DATAGRAM_MAX]; /* guarded by proxy.lock */
	struct proxy_pub *pub = container_of(watch, struct proxy_pub, watch);

	(void)events;
	for (unsigned i = 0; i < DATAGRAMS_AT_ONCE; i++) {
		struct sockaddr_in peer;
		socklen_t size = sizeof(peer);
		struct proxy_session *session;
		ssize_t n = recvfrom(watch->fd, datagram, sizeof(datagram), 0,
				     (struct sockaddr *)&peer, &size);

		if (n < 0)
			return;
		session = session_find(pub, &peer);
		if (!session) {
			pub->stats.failed++;
			continue;
		}
		session->used_ns = dp_now_ns();
		if (send(session->watch.fd, datagram, (size_t)n, MSG_NOSIGNAL) == n)
			pub->stats.bytes_in += (uint64_t)n;
	}
}

void proxy_udp_end_all(struct proxy_pub *pub)
{
	while (!list_empty(&pub->conns))
		session_end(list_entry(pub->conns.next, struct proxy_session, node));
}

/* The list is in order of use, so the idle ones are at its end. */
void proxy_udp_expire(struct proxy_pub *pub, uint64_t now_ns)
{
	while (!list_empty(&pub->conns)) {
		struct proxy_session *session =
			list_entry(pub->conns.prev, struct proxy_session, node);

		if (now_ns - session->used_ns < PROXY_UDP_IDLE_NS)
			return;
		session_end(session);
	}
}
