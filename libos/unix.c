/*
 * unix.c - AF_UNIX sockets: life, connections, readiness.  See unix(7).
 *
 * A connected pair points at each other; a sender appends to its peer's queue (unix_msg.c). Sockets
 * in flight inside messages of each other are not collected as garbage: such a cycle lives until
 * the instance ends.
 */
#include "libos/unix.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "leat/base/bits.h"
#include "libos/arena.h"
#include "libos/instance.h"
#include "libos/timespec.h"

#define SOMAXCONN_LINUX 4096 /* net.core.somaxconn */

extern const struct file_ops unix_file_ops;

bool unix_is_stream(const struct unix_sock *sock)
{
	return sock->type == SOCK_STREAM;
}

static bool unix_is_connection(const struct unix_sock *sock)
{
	return sock->type != SOCK_DGRAM;
}

struct unix_sock *unix_ref(struct unix_sock *sock)
{
	sock->refs++;
	return sock;
}

void unix_unref(struct unix_sock *sock)
{
	if (sock != NULL && --sock->refs == 0)
		arena_free(sock);
}

struct unix_cred unix_cred_current(void)
{
	const struct process *me = current()->process;

	return (struct unix_cred){.pid = me->pid, .uid = my_creds()->euid, .gid = my_creds()->egid};
}

int unix_wait(struct wait_queue *wq, uint32_t events, bool nonblocking, uint64_t timeout_ns,
	      uint64_t *deadline_ns)
{
	int err;

	if (nonblocking)
		return -EAGAIN;
	if (*deadline_ns == 0)
		*deadline_ns = timeout_ns == 0 ? WAIT_FOREVER : deadline_after(timeout_ns);
	err = wait_on(wq, events, *deadline_ns);
	if (err == -ETIMEDOUT)
		return -EAGAIN;
	if (err == -EINTR)
		return timeout_ns == 0 ? -ERESTARTSYS : -EINTR;
	return err;
}

/* ---- making ---- */

static int unix_create(int type, unsigned file_flags, struct file **ret_file)
{
	struct unix_sock *sock = arena_zalloc(sizeof(*sock));

	if (sock == NULL)
		return -ENOMEM;
	sock->refs = 1;
	sock->type = type;
	sock->cred = unix_cred_current();
	sock->sndbuf = UNIX_BUFFER_BYTES;
	sock->rcvbuf = UNIX_BUFFER_BYTES;
	list_init(&sock->rx);
	list_init(&sock->backlog);
	list_init(&sock->backlog_node);
	list_init(&sock->name_node);
	wait_queue_init(&sock->wq);
	*ret_file = file_create(&unix_file_ops, sock, O_RDWR | file_flags);
	if (*ret_file == NULL) {
		arena_free(sock);
		return -ENOMEM;
	}
	return 0;
}

static int unix_check(int *type, int protocol)
{
	if (protocol != 0 && protocol != AF_UNIX)
		return -EPROTONOSUPPORT;
	if (*type == SOCK_RAW)
		*type = SOCK_DGRAM; /* as Linux does */
	if (*type != SOCK_STREAM && *type != SOCK_DGRAM && *type != SOCK_SEQPACKET)
		return -ESOCKTNOSUPPORT;
	return 0;
}

int unix_socket(int type, int protocol, unsigned file_flags, struct file **ret_file)
{
	int err = unix_check(&type, protocol);

	return err != 0 ? err : unix_create(type, file_flags, ret_file);
}

static void unix_join(struct unix_sock *a, struct unix_sock *b)
{
	a->peer = unix_ref(b);
	b->peer = unix_ref(a);
	a->state = UNIX_CONNECTED;
	b->state = UNIX_CONNECTED;
}

int unix_socketpair(int type, int protocol, unsigned file_flags, struct file *ret_files[2])
{
	struct unix_sock *a, *b;
	int err = unix_check(&type, protocol);

	if (err == 0)
		err = unix_create(type, file_flags, &ret_files[0]);
	if (err != 0)
		return err;
	err = unix_create(type, file_flags, &ret_files[1]);
	if (err != 0) {
		file_unref(ret_files[0]);
		return err;
	}
	a = ret_files[0]->data;
	b = ret_files[1]->data;
	unix_join(a, b);
	a->peer_cred = b->cred;
	b->peer_cred = a->cred;
	return 0;
}

/* ---- ending ---- */

/* The other side hears of the end: end of file, or ECONNRESET if we left data unread. */
static void unix_part(struct unix_sock *sock)
{
	struct unix_sock *peer = sock->peer;

	if (peer == NULL)
		return;
	sock->peer = NULL;
	if (peer->peer == sock && unix_is_connection(sock)) {
		peer->state = UNIX_CLOSED;
		peer->rx_shut = true;
		peer->tx_shut = true;
		if (!list_empty(&sock->rx))
			peer->error = ECONNRESET;
		peer->peer = NULL;
		unix_unref(sock);
	}
	wait_queue_wake(&peer->wq, 0);
	unix_unref(peer);
}

static void unix_close(struct unix_sock *sock);

static void unix_flush(struct unix_sock *sock)
{
	struct list *pos, *tmp;

	list_for_each_safe(pos, tmp, &sock->backlog) {
		struct unix_sock *waiting = list_entry(pos, struct unix_sock, backlog_node);

		list_del(&waiting->backlog_node);
		unix_close(waiting);
	}
	sock->backlog_count = 0;
	list_for_each_safe(pos, tmp, &sock->rx) {
		list_del(pos);
		unix_msg_free(list_entry(pos, struct unix_msg, node));
	}
	sock->rx_bytes = 0;
	sock->rx_count = 0;
}

/* Takes over the owner's reference. */
static void unix_close(struct unix_sock *sock)
{
	sock->dead = true;
	unix_name_release(sock);
	unix_part(sock);
	unix_flush(sock);
	wait_queue_wake(&sock->wq, 0);
	unix_unref(sock);
}

static void unix_release(struct file *file)
{
	unix_close(file->data);
}

/* ---- connecting ---- */

static int unix_bind(struct file *file, const struct sockaddr *addr, unsigned len)
{
	return unix_name_bind(file->data, addr, len);
}

static int unix_listen(struct file *file, int backlog)
{
	struct unix_sock *sock = file->data;

	if (!unix_is_connection(sock))
		return -EOPNOTSUPP;
	if (sock->name.len == 0 || (sock->state != UNIX_IDLE && sock->state != UNIX_LISTENING))
		return -EINVAL;
	sock->state = UNIX_LISTENING;
	sock->backlog_max =
		backlog < 0 || backlog > SOMAXCONN_LINUX ? SOMAXCONN_LINUX : (unsigned)backlog;
	sock->cred = unix_cred_current();
	return 0;
}

/* Datagram sockets: the default destination. AF_UNSPEC takes it away. */
static int unix_connect_dgram(struct unix_sock *sock, const struct sockaddr *addr, unsigned len)
{
	struct unix_sock *to = NULL;
	int err;

	if (addr->sa_family != AF_UNSPEC) {
		err = unix_name_find(addr, len, &to);
		if (err != 0)
			return err;
		if (to->type != SOCK_DGRAM)
			return -EPROTOTYPE;
		unix_ref(to);
	}
	unix_unref(sock->peer);
	sock->peer = to;
	sock->state = to != NULL ? UNIX_CONNECTED : UNIX_IDLE;
	return 0;
}

/* The listener's end of a new connection, waiting to be accepted. */
static int unix_connect_to(struct unix_sock *sock, struct unix_sock *listener)
{
	struct unix_sock *server = arena_zalloc(sizeof(*server));

	if (server == NULL)
		return -ENOMEM;
	server->refs = 1;
	server->type = sock->type;
	server->sndbuf = listener->sndbuf;
	server->rcvbuf = listener->rcvbuf;
	server->passcred = listener->passcred;
	list_init(&server->rx);
	list_init(&server->backlog);
	list_init(&server->backlog_node);
	list_init(&server->name_node);
	wait_queue_init(&server->wq);
	server->cred = listener->cred;
	server->name = listener->name;
	unix_join(sock, server);
	sock->cred = unix_cred_current();
	sock->peer_cred = listener->cred;
	server->peer_cred = sock->cred;
	list_add_tail(&listener->backlog, &server->backlog_node);
	listener->backlog_count++;
	wait_queue_wake_n(&listener->wq, POLLIN, 1);
	return 0;
}

static int unix_connect(struct file *file, const struct sockaddr *addr, unsigned len)
{
	struct unix_sock *sock = file->data;
	uint64_t deadline_ns = 0;
	struct unix_sock *listener;
	int err;

	if (!unix_is_connection(sock))
		return unix_connect_dgram(sock, addr, len);
	for (;;) {
		if (sock->state == UNIX_CONNECTED)
			return -EISCONN;
		if (sock->state != UNIX_IDLE)
			return -EINVAL;
		err = unix_name_find(addr, len, &listener);
		if (err != 0)
			return err;
		if (listener->type != sock->type)
			return -EPROTOTYPE;
		if (listener->state != UNIX_LISTENING || listener->rx_shut)
			return -ECONNREFUSED;
		if (listener->backlog_count <= listener->backlog_max)
			return unix_connect_to(sock, listener);
		unix_ref(listener);
		err = unix_wait(&listener->wq, POLLOUT, (file->flags & O_NONBLOCK) != 0,
				sock->snd_timeout_ns, &deadline_ns);
		unix_unref(listener);
		if (err != 0)
			return err;
	}
}

static int unix_accept(struct file *file, unsigned file_flags, struct file **ret_file,
		       struct sockaddr_storage *ret_addr, unsigned *ret_len)
{
	struct unix_sock *sock = file->data;
	struct unix_sock *conn;
	uint64_t deadline_ns = 0;
	int err;

	if (!unix_is_connection(sock))
		return -EOPNOTSUPP;
	while (sock->state == UNIX_LISTENING && list_empty(&sock->backlog)) {
		if (sock->rx_shut)
			return -EINVAL;
		err = unix_wait(&sock->wq, POLLIN, (file->flags & O_NONBLOCK) != 0,
				sock->rcv_timeout_ns, &deadline_ns);
		if (err != 0)
			return err;
	}
	if (sock->state != UNIX_LISTENING)
		return -EINVAL;
	conn = list_entry(sock->backlog.next, struct unix_sock, backlog_node);
	*ret_file = file_create(&unix_file_ops, conn, O_RDWR | file_flags);
	if (*ret_file == NULL)
		return -ENOMEM;
	list_del(&conn->backlog_node);
	sock->backlog_count--;
	wait_queue_wake(&sock->wq, POLLOUT);
	*ret_len = sizeof(sa_family_t);
	ret_addr->ss_family = AF_UNIX;
	if (conn->peer != NULL && conn->peer->name.len != 0) {
		*ret_len = conn->peer->name.len;
		memcpy(ret_addr, &conn->peer->name.addr, conn->peer->name.len);
	}
	return 0;
}

static int unix_getname(struct file *file, bool peer, struct sockaddr_storage *ret_addr,
			unsigned *ret_len)
{
	const struct unix_sock *sock = file->data;

	if (peer) {
		sock = sock->peer;
		if (sock == NULL)
			return -ENOTCONN;
	}
	ret_addr->ss_family = AF_UNIX;
	*ret_len = sizeof(sa_family_t);
	if (sock->name.len != 0) {
		memcpy(ret_addr, &sock->name.addr, sock->name.len);
		*ret_len = sock->name.len;
	}
	return 0;
}

static int unix_shutdown(struct file *file, int how)
{
	struct unix_sock *sock = file->data;
	struct unix_sock *peer = sock->peer;

	if (how < SHUT_RD || how > SHUT_RDWR)
		return -EINVAL;
	if (sock->state == UNIX_IDLE && unix_is_connection(sock))
		return -ENOTCONN;
	sock->rx_shut |= how != SHUT_WR;
	sock->tx_shut |= how != SHUT_RD;
	if (peer != NULL && unix_is_connection(sock)) {
		peer->tx_shut |= how != SHUT_WR;
		peer->rx_shut |= how != SHUT_RD;
		wait_queue_wake(&peer->wq, 0);
	}
	wait_queue_wake(&sock->wq, 0);
	return 0;
}

/* ---- readiness ---- */

static uint32_t unix_poll(struct file *file, struct poll_table *table)
{
	struct unix_sock *sock = file->data;
	uint32_t events = 0;

	if (table != NULL && table->queue != NULL)
		table->queue(table, file, &sock->wq);
	if (sock->error != 0)
		events |= POLLERR;
	if (sock->state == UNIX_LISTENING)
		return events | (list_empty(&sock->backlog) ? 0 : POLLIN | POLLRDNORM);
	if (!list_empty(&sock->rx) || sock->rx_shut)
		events |= POLLIN | POLLRDNORM;
	if (sock->rx_shut)
		events |= POLLRDHUP;
	if ((sock->rx_shut && sock->tx_shut) ||
	    (unix_is_connection(sock) && sock->state == UNIX_IDLE))
		events |= POLLHUP;
	if (sock->peer == NULL || unix_has_room(sock, sock->peer))
		events |= POLLOUT | POLLWRNORM | POLLWRBAND;
	return events;
}

const struct file_ops unix_file_ops = {
	.name = "socket",
	.read = sock_file_read,
	.write = sock_file_write,
	.poll = unix_poll,
	.ioctl = unix_ioctl,
	.release = unix_release,
};

const struct sock_ops unix_sock_ops = {
	.file_ops = &unix_file_ops,
	.family = AF_UNIX,
	.bind = unix_bind,
	.connect = unix_connect,
	.listen = unix_listen,
	.accept = unix_accept,
	.getname = unix_getname,
	.sendmsg = unix_sendmsg,
	.recvmsg = unix_recvmsg,
	.shutdown = unix_shutdown,
	.setsockopt = unix_setsockopt,
	.getsockopt = unix_getsockopt,
};
