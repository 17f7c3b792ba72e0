/*
 * proxy_tcp.c - connections through published ports.
 *
 * Two sockets and two directions. Bytes pass through one scratch buffer of the thread; only what
 * the other side does not take at once is kept, and while something is kept nothing more is read:
 * so the slower side's window reaches the faster one. An end of stream is passed on as a half
 * close.
 */
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "apps/leatd/proxy.h"
#include "leat/base/bits.h"

#define ACCEPTS_AT_ONCE 64U
#define READS_AT_ONCE 4U

struct proxy_conn;

struct side {
	struct proxy_watch watch;
	struct proxy_conn *conn;
	/* what was read from the other side and this one did not take yet */
	uint8_t *kept;
	uint32_t kept_bytes;
	uint32_t kept_at;
	bool ended; /* this side sends no more */
	bool shut;  /* we told this side that no more comes */
	bool connecting;
};

enum { HOST, GUEST };

struct proxy_conn {
	struct proxy_pub *pub;
	struct list node; /* in pub.conns */
	struct side side[2];
	unsigned nr_graves; /* sides not freed yet */
	bool dead;
};

static struct side *other(struct side *side)
{
	return &side->conn->side[side == &side->conn->side[HOST] ? GUEST : HOST];
}

static void side_destroy(struct proxy_watch *watch)
{
	struct side *side = container_of(watch, struct side, watch);
	struct proxy_conn *conn = side->conn;

	free(side->kept);
	if (--conn->nr_graves == 0)
		free(conn);
}

static void conn_end(struct proxy_conn *conn, bool reset)
{
	const struct linger now = {.l_onoff = 1, .l_linger = 0};
	struct proxy_pub *pub = conn->pub;

	if (conn->dead)
		return;
	conn->dead = true;
	list_del(&conn->node);
	pub->nr_conns--;
	for (int i = HOST; i <= GUEST; i++) {
		if (reset)
			setsockopt(conn->side[i].watch.fd, SOL_SOCKET, SO_LINGER, &now,
				   sizeof(now));
		proxy_watch_bury(&conn->side[i].watch);
	}
	if (pub->paused) {
		pub->paused = false;
		proxy_watch_set(&pub->watch, EPOLLIN);
	}
}

/* What each side should be asked for now. */
static void conn_watch(struct proxy_conn *conn)
{
	for (int i = HOST; i <= GUEST; i++) {
		struct side *side = &conn->side[i];
		struct side *peer = other(side);
		uint32_t interest = 0;

		if (side->connecting)
			interest = EPOLLOUT;
		else if (side->kept_bytes)
			interest |= EPOLLOUT;
		if (!side->connecting && !side->ended && !peer->connecting && !peer->kept_bytes)
			interest |= EPOLLIN;
		proxy_watch_set(&side->watch, interest);
	}
}

static int keep(struct side *to, const uint8_t *bytes, size_t nr)
{
	to->kept = malloc(nr);
	if (!to->kept)
		return -ENOMEM;
	memcpy(to->kept, bytes, nr);
	to->kept_bytes = (uint32_t)nr;
	to->kept_at = 0;
	return 0;
}

/* 0, or negative: the connection is over. */
static int side_send(struct side *to, const uint8_t *bytes, size_t nr)
{
	ssize_t n = send(to->watch.fd, bytes, nr, MSG_NOSIGNAL);

	if (n < 0 && errno != EAGAIN)
		return -errno;
	n = MAX(n, 0);
	return (size_t)n < nr ? keep(to, bytes + n, nr - (size_t)n) : 0;
}

static int kept_send(struct side *to)
{
	ssize_t n = send(to->watch.fd, to->kept + to->kept_at, to->kept_bytes, MSG_NOSIGNAL);

	if (n < 0)
		return errno == EAGAIN ? 0 : -errno;
	to->kept_at += (uint32_t)n;
	to->kept_bytes -= (uint32_t)n;
	if (to->kept_bytes == 0) {
		free(to->kept);
		to->kept = NULL;
	}
	return 0;
}

static void bytes_count(struct side *from, size_t nr)
{
	struct dp_publish_stats *stats = &from->conn->pub->stats;

	if (from == &from->conn->side[HOST])
		stats->bytes_in += nr;
	else
		stats->bytes_out += nr;
}

/* Passes on what `from` has. 0, or negative: the connection is over. */
static int side_read(struct side *from)
{
	static uint8_t scratch[PROXY_BUFFER_BYTES]; /* the thread's: guarded by proxy.lock */
	struct side *to = other(from);
	int r = 0;

	for (unsigned i = 0; !r && i < READS_AT_ONCE && !to->kept_bytes; i++) {
		ssize_t n = recv(from->watch.fd, scratch, sizeof(scratch), 0);

		if (n < 0)
			return errno == EAGAIN || errno == EINTR ? 0 : -errno;
		if (n == 0) {
			from->ended = true;
			return 0;
		}
		bytes_count(from, (size_t)n);
		r = side_send(to, scratch, (size_t)n);
		if ((size_t)n < sizeof(scratch))
			return r; /* most likely there is no more */
	}
	return r;
}

/* Passes an end of stream on, once everything before it was sent. True: both ways have ended. */
static bool ends_pass_on(struct proxy_conn *conn)
{
	for (int i = HOST; i <= GUEST; i++) {
		struct side *side = &conn->side[i];
		struct side *peer = other(side);

		if (side->ended && !peer->shut && !peer->kept_bytes && !peer->connecting) {
			shutdown(peer->watch.fd, SHUT_WR);
			peer->shut = true;
		}
	}
	return conn->side[HOST].shut && conn->side[GUEST].shut;
}

static int connect_finish(struct side *side)
{
	socklen_t size = sizeof(int);
	int error = 0;

	getsockopt(side->watch.fd, SOL_SOCKET, SO_ERROR, &error, &size);
	side->connecting = false;
	if (error)
		side->conn->pub->stats.failed++;
	return -error;
}

static void side_ready(struct proxy_watch *watch, uint32_t events)
{
	struct side *side = container_of(watch, struct side, watch);
	struct proxy_conn *conn = side->conn;
	int r = 0;

	if (conn->dead)
		return;
	if (side->connecting)
		r = events & (EPOLLOUT | EPOLLERR | EPOLLHUP) ? connect_finish(side) : 0;
	else if (events & EPOLLERR)
		r = -ECONNRESET;
	if (!r && (events & EPOLLOUT) && side->kept_bytes)
		r = kept_send(side);
	if (!r && (events & (EPOLLIN | EPOLLHUP)) && !side->ended && !other(side)->kept_bytes &&
	    !other(side)->connecting)
		r = side_read(side);
	if (!r && (events & EPOLLHUP) && side->ended && side->kept_bytes)
		r = -ECONNRESET; /* both its ways are closed, and we still hold bytes for it */
	if (r || ends_pass_on(conn))
		conn_end(conn, r != 0);
	else
		conn_watch(conn);
}

static int guest_connect(const struct proxy_pub *pub, bool *ret_connecting)
{
	struct sockaddr_in addr;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int one = 1, r;

	if (fd < 0)
		return -errno;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	proxy_guest_address(pub, &addr);
	*ret_connecting = false;
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr))) {
		if (errno != EINPROGRESS) {
			r = -errno;
			close(fd);
			return r;
		}
		*ret_connecting = true;
	}
	return fd;
}

/* Takes host_fd over on success. */
static int conn_create(struct proxy_pub *pub, int host_fd)
{
	struct proxy_conn *conn = calloc(1, sizeof(*conn));
	int one = 1, r;

	if (!conn)
		return -ENOMEM;
	conn->pub = pub;
	r = guest_connect(pub, &conn->side[GUEST].connecting);
	if (r < 0) {
		free(conn);
		return r;
	}
	setsockopt(host_fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	conn->side[GUEST].watch.fd = r;
	conn->side[HOST].watch.fd = host_fd;
	conn->nr_graves = 2;
	for (int i = HOST; i <= GUEST; i++) {
		conn->side[i].conn = conn;
		conn->side[i].watch.ready = side_ready;
		conn->side[i].watch.destroy = side_destroy;
	}
	list_add_tail(&pub->conns, &conn->node);
	pub->nr_conns++;
	r = proxy_watch_add(&conn->side[HOST].watch, 0);
	if (!r)
		r = proxy_watch_add(&conn->side[GUEST].watch, EPOLLOUT);
	if (r)
		conn_end(conn, true); /* both descriptors are its own by now */
	else
		conn_watch(conn);
	return 0;
}

void proxy_tcp_accept(struct proxy_watch *listener, uint32_t events)
{
	struct proxy_pub *pub = container_of(listener, struct proxy_pub, watch);

	(void)events;
	for (unsigned i = 0; i < ACCEPTS_AT_ONCE; i++) {
		int fd = pub->nr_conns < PROXY_MAX_CONNS ?
				 accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC) :
				 -1;

		if (fd < 0) {
			if (pub->nr_conns >= PROXY_MAX_CONNS ||
			    ((errno == EMFILE || errno == ENFILE) && pub->nr_conns)) {
				/* the rest waits in the backlog until one has ended */
				pub->paused = true;
				proxy_watch_set(listener, 0);
			}
			return;
		}
		pub->stats.connections++;
		if (conn_create(pub, fd)) {
			pub->stats.failed++;
			close(fd);
		}
	}
}

void proxy_tcp_end_all(struct proxy_pub *pub)
{
	while (!list_empty(&pub->conns))
		conn_end(list_entry(pub->conns.next, struct proxy_conn, node), true);
}
