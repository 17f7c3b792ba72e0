/*
 * unix_msg.c - data, descriptors and credentials through AF_UNIX sockets.
 *
 * A sender builds messages and appends them to the receiver's queue: one copy in, one copy out.
 * Streams are queued in pieces; a read joins pieces as long as their control data allows.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "leat/base/bits.h"
#include "libos/arena.h"
#include "libos/instance.h"
#include "libos/unix.h"

/* What a sender attached. */
struct unix_control {
	struct unix_cred cred;
	bool cred_given;
	unsigned nr_files;
	struct file **files;
};

static void files_put(struct file **files, unsigned nr)
{
	for (unsigned i = 0; i < nr; i++)
		file_unref(files[i]);
	arena_free(files);
}

void unix_msg_free(struct unix_msg *msg)
{
	files_put(msg->files, msg->nr_files);
	arena_free(msg);
}

bool unix_has_room(const struct unix_sock *from, const struct unix_sock *to)
{
	if (from->type == SOCK_DGRAM)
		return to->rx_count < UNIX_DGRAM_QUEUE_MAX && to->rx_bytes < from->sndbuf;
	return to->rx_bytes < from->sndbuf;
}

/* ---- control data of a sender ---- */

static int control_take_files(struct unix_control *control, const int *fds, unsigned nr)
{
	if (control->nr_files != 0 || nr > UNIX_RIGHTS_MAX)
		return -EINVAL;
	if (nr == 0)
		return 0;
	control->files = arena_alloc(nr * sizeof(struct file *));
	if (control->files == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i < nr; i++) {
		struct file *file = fd_get(fds[i]);

		if (file == NULL)
			return -EBADF; /* the caller drops what was taken */
		control->files[control->nr_files++] = file_ref(file);
	}
	return 0;
}

/* A process may vouch for itself only, with capabilities for any process of the instance. */
static int control_take_cred(struct unix_control *control, const void *data, size_t len)
{
	const struct creds *me = my_creds();
	struct unix_cred cred;

	if (len != sizeof(cred))
		return -EINVAL;
	memcpy(&cred, data, sizeof(cred));
	if (cred.pid != current()->process->pid && !creds_capable(me, CAP_SYS_ADMIN))
		return -EPERM;
	if (cred.uid != me->uid && cred.uid != me->euid && cred.uid != me->suid &&
	    !creds_capable(me, CAP_SETUID))
		return -EPERM;
	if (cred.gid != me->gid && cred.gid != me->egid && cred.gid != me->sgid &&
	    !creds_capable(me, CAP_SETGID))
		return -EPERM;
	if (process_find(cred.pid) == NULL)
		return -ESRCH;
	control->cred = cred;
	control->cred_given = true;
	return 0;
}

static int control_take_one(struct unix_control *control, const struct sock_control *header,
			    const uint8_t *data)
{
	size_t len = header->len - sizeof(*header);

	if (header->level != SOL_SOCKET)
		return 0; /* other levels are ignored, as Linux does */
	switch (header->type) {
	case SCM_RIGHTS:
		return control_take_files(control, (const int *)(const void *)data,
					  (unsigned)(len / sizeof(int)));
	case SCM_CREDENTIALS:
		return control_take_cred(control, data, len);
	default:
		return -EINVAL;
	}
}

static int control_parse(struct unix_control *control, const uint8_t *data, size_t len)
{
	size_t off = 0;
	int err;

	control->cred = unix_cred_current();
	while (len - off >= sizeof(struct sock_control)) {
		struct sock_control header;

		memcpy(&header, data + off, sizeof(header));
		if (header.len < sizeof(header) || header.len > len - off)
			return -EINVAL;
		err = control_take_one(control, &header, data + off + sizeof(header));
		if (err != 0)
			return err;
		off += MIN(sock_control_align(header.len), len - off);
	}
	return 0;
}

/* ---- sending ---- */

/* A message of n bytes of the uio. On success it owns the control's files. */
static int msg_create(struct uio *uio, size_t n, struct unix_control *control,
		      const struct unix_sock *from, struct unix_msg **ret_msg)
{
	struct unix_msg *msg = arena_alloc(sizeof(*msg) + n);

	if (msg == NULL)
		return -ENOBUFS;
	if (n > 0 && uio_copy_in(uio, msg->data, n) != (ssize_t)n) {
		arena_free(msg);
		return -EFAULT;
	}
	msg->len = n;
	msg->off = 0;
	msg->cred = control->cred;
	msg->cred_given = control->cred_given;
	msg->from = from->name;
	msg->files = control->files;
	msg->nr_files = control->nr_files;
	control->files = NULL;
	control->nr_files = 0;
	*ret_msg = msg;
	return 0;
}

static void msg_append(struct unix_sock *to, struct unix_msg *msg)
{
	list_add_tail(&to->rx, &msg->node);
	to->rx_bytes += msg->len;
	to->rx_count++;
	wait_queue_wake_n(&to->wq, POLLIN | POLLRDNORM, 1);
}

/* Why nothing can be sent to the peer of a connection; 0: it can. */
static int send_error(struct unix_sock *sock)
{
	int err = sock->error;

	if (err != 0) {
		sock->error = 0;
		return -err;
	}
	if (sock->tx_shut || sock->state == UNIX_CLOSED)
		return -EPIPE;
	return sock->state == UNIX_CONNECTED ? 0 : -ENOTCONN;
}

static ssize_t send_stream(struct file *file, struct sockmsg *msg, struct unix_control *control)
{
	struct unix_sock *sock = file->data;
	bool nonblocking = (file->flags & O_NONBLOCK) != 0 || (msg->flags & MSG_DONTWAIT) != 0;
	uint64_t deadline_ns = 0;
	ssize_t done = 0;
	struct unix_msg *piece;
	int err = 0;

	do {
		err = send_error(sock);
		if (err == 0 && !unix_has_room(sock, sock->peer)) {
			err = unix_wait(&sock->wq, POLLOUT, nonblocking, sock->snd_timeout_ns,
					&deadline_ns);
			if (err == 0)
				continue;
		}
		if (err == 0)
			err = msg_create(&msg->uio, MIN(msg->uio.left, (size_t)UNIX_CHUNK_BYTES),
					 control, sock, &piece);
		if (err != 0)
			return done > 0 ? done : err;
		done += (ssize_t)piece->len;
		if (piece->len > 0)
			msg_append(sock->peer, piece);
		else
			unix_msg_free(piece); /* nothing to say on a stream: no end of file */
	} while (msg->uio.left > 0);
	return done;
}

/* Where a datagram goes: the address given, or the one connected to. Referenced. */
static int dgram_target(struct unix_sock *sock, const struct sockmsg *msg,
			struct unix_sock **ret_to)
{
	int err;

	if (msg->addr_len > 0) {
		if (sock->type != SOCK_DGRAM)
			return sock->state == UNIX_CONNECTED ? -EISCONN : -EOPNOTSUPP;
		err = unix_name_find((const struct sockaddr *)&msg->addr, msg->addr_len, ret_to);
		if (err != 0)
			return err;
		if ((*ret_to)->type != SOCK_DGRAM)
			return -EPROTOTYPE;
	} else {
		*ret_to = sock->peer;
		if (sock->peer == NULL)
			return sock->state == UNIX_CLOSED ? -EPIPE : -ENOTCONN;
		if (sock->peer->dead) {
			unix_unref(sock->peer);
			sock->peer = NULL;
			sock->state = UNIX_IDLE;
			return -ECONNREFUSED;
		}
	}
	/* Connected to somebody else: only he may send. */
	if (sock->type == SOCK_DGRAM && (*ret_to)->peer != NULL && (*ret_to)->peer != sock)
		return -EPERM;
	if (sock->tx_shut || (*ret_to)->rx_shut)
		return -EPIPE;
	unix_ref(*ret_to);
	return 0;
}

static ssize_t send_packet(struct file *file, struct sockmsg *msg, struct unix_control *control)
{
	struct unix_sock *sock = file->data;
	bool nonblocking = (file->flags & O_NONBLOCK) != 0 || (msg->flags & MSG_DONTWAIT) != 0;
	size_t n = msg->uio.left;
	uint64_t deadline_ns = 0;
	struct unix_sock *to;
	struct unix_msg *packet;
	int err;

	if (n > sock->sndbuf - 32)
		return -EMSGSIZE;
	for (;;) {
		err = dgram_target(sock, msg, &to);
		if (err != 0)
			return err;
		if (unix_has_room(sock, to))
			break;
		err = unix_wait(&to->wq, POLLOUT, nonblocking, sock->snd_timeout_ns, &deadline_ns);
		unix_unref(to);
		if (err != 0)
			return err;
	}
	err = msg_create(&msg->uio, n, control, sock, &packet);
	if (err == 0)
		msg_append(to, packet);
	unix_unref(to);
	return err != 0 ? err : (ssize_t)n;
}

ssize_t unix_sendmsg(struct file *file, struct sockmsg *msg)
{
	struct unix_sock *sock = file->data;
	struct unix_control control = {0};
	ssize_t result;

	if ((msg->flags & MSG_OOB) != 0)
		return -EOPNOTSUPP;
	result = control_parse(&control, msg->control, msg->control_len);
	if (result == 0 && unix_is_stream(sock) && msg->addr_len > 0)
		result = sock->state == UNIX_CONNECTED ? -EISCONN : -EOPNOTSUPP;
	if (result == 0)
		result = unix_is_stream(sock) ? send_stream(file, msg, &control) :
						send_packet(file, msg, &control);
	files_put(control.files, control.nr_files);
	return result;
}

/* ---- receiving ---- */

/* Gives the files of a message to the program as new descriptors; those that do not fit are closed.
 */
static void deliver_files(struct sockmsg *msg, const struct unix_msg *from)
{
	size_t room = msg->control_len - msg->control_used;
	size_t fit = room > sizeof(struct sock_control) ?
			     (room - sizeof(struct sock_control)) / sizeof(int) :
			     0;
	bool cloexec = (msg->flags & MSG_CMSG_CLOEXEC) != 0;
	int fds[UNIX_RIGHTS_MAX];
	unsigned n = 0;

	while (n < from->nr_files && n < fit) {
		int fd = fd_install(file_ref(from->files[n]), 0, cloexec);

		if (fd < 0) {
			file_unref(from->files[n]);
			break;
		}
		fds[n++] = fd;
	}
	if (n < from->nr_files)
		msg->ret_flags |= MSG_CTRUNC;
	if (n > 0)
		sockmsg_put_control(msg, SOL_SOCKET, SCM_RIGHTS, fds, n * sizeof(int));
}

static void deliver_control(const struct unix_sock *sock, struct sockmsg *msg,
			    const struct unix_msg *from)
{
	if (sock->passcred)
		sockmsg_put_control(msg, SOL_SOCKET, SCM_CREDENTIALS, &from->cred,
				    sizeof(from->cred));
	if (from->nr_files > 0)
		deliver_files(msg, from);
}

/* The files of a message are delivered once; the data may be read on. */
static void drop_files(struct unix_msg *from)
{
	files_put(from->files, from->nr_files);
	from->files = NULL;
	from->nr_files = 0;
}

static void rx_remove(struct unix_sock *sock, struct unix_msg *from)
{
	list_del(&from->node);
	sock->rx_count--;
	unix_msg_free(from);
}

static void rx_wake_senders(struct unix_sock *sock)
{
	if (sock->type != SOCK_DGRAM && sock->peer != NULL)
		wait_queue_wake(&sock->peer->wq, POLLOUT | POLLWRNORM);
	else
		wait_queue_wake(&sock->wq, POLLOUT | POLLWRNORM);
}

/* Waits for something to read: 1 when there is, 0 at the end of file, or negative errno. */
static int recv_wait(struct file *file, const struct sockmsg *msg, uint64_t *deadline_ns)
{
	struct unix_sock *sock = file->data;
	bool nonblocking = (file->flags & O_NONBLOCK) != 0 || (msg->flags & MSG_DONTWAIT) != 0;
	int err;

	for (;;) {
		if (!list_empty(&sock->rx))
			return 1;
		if (sock->error != 0) {
			err = -sock->error;
			sock->error = 0;
			return err;
		}
		if (sock->rx_shut)
			return 0;
		if (sock->type != SOCK_DGRAM && sock->state != UNIX_CONNECTED)
			return sock->state == UNIX_LISTENING ? -EINVAL : -ENOTCONN;
		err = unix_wait(&sock->wq, POLLIN, nonblocking, sock->rcv_timeout_ns, deadline_ns);
		if (err != 0)
			return err;
	}
}

/* Copies from one piece of a stream: bytes, or -EFAULT. */
static ssize_t recv_piece(struct unix_sock *sock, struct sockmsg *msg, struct unix_msg *from)
{
	size_t n = MIN(from->len - from->off, msg->uio.left);
	ssize_t got = uio_copy_out(&msg->uio, from->data + from->off, n);

	if (got < 0 || (msg->flags & MSG_PEEK) != 0)
		return got;
	from->off += (size_t)got;
	sock->rx_bytes -= (size_t)got;
	return got;
}

/* What is queued, up to the next piece with control data of its own. */
static ssize_t recv_queued(struct unix_sock *sock, struct sockmsg *msg)
{
	bool peek = (msg->flags & MSG_PEEK) != 0;
	struct unix_cred cred = {0};
	struct list *pos, *tmp;
	ssize_t done = 0, got;
	bool first = true;

	list_for_each_safe(pos, tmp, &sock->rx) {
		struct unix_msg *from = list_entry(pos, struct unix_msg, node);
		bool had_files = from->nr_files > 0;

		if (msg->uio.left == 0 && !first)
			break;
		if (!first && (had_files ||
			       (sock->passcred && memcmp(&cred, &from->cred, sizeof(cred)) != 0)))
			break;
		got = recv_piece(sock, msg, from);
		if (got < 0)
			return done > 0 ? done : got;
		done += got;
		if (first)
			deliver_control(sock, msg, from);
		cred = from->cred;
		first = false;
		if (peek)
			continue;
		drop_files(from);
		if (from->off < from->len)
			break;
		rx_remove(sock, from);
		if (had_files)
			break;
	}
	return done;
}

static ssize_t recv_stream(struct file *file, struct sockmsg *msg)
{
	struct unix_sock *sock = file->data;
	size_t want = msg->uio.left;
	uint64_t deadline_ns = 0;
	ssize_t done = 0, got;

	if (want == 0 && list_empty(&sock->rx))
		return 0;
	do {
		int ready = recv_wait(file, msg, &deadline_ns);

		if (ready <= 0)
			return done > 0 ? done : ready;
		got = recv_queued(sock, msg);
		if (got < 0)
			return done > 0 ? done : got;
		done += got;
		if ((msg->flags & MSG_PEEK) == 0)
			rx_wake_senders(sock);
	} while ((msg->flags & MSG_WAITALL) != 0 && (msg->flags & MSG_PEEK) == 0 &&
		 (size_t)done < want && msg->control_used == 0);
	return done;
}

static ssize_t recv_packet(struct file *file, struct sockmsg *msg)
{
	struct unix_sock *sock = file->data;
	uint64_t deadline_ns = 0;
	struct unix_msg *from;
	ssize_t got;
	int ready = recv_wait(file, msg, &deadline_ns);

	if (ready <= 0)
		return ready;
	from = list_entry(sock->rx.next, struct unix_msg, node);
	got = uio_copy_out(&msg->uio, from->data, MIN(from->len, msg->uio.left));
	if (got < 0)
		return got;
	if ((size_t)got < from->len)
		msg->ret_flags |= MSG_TRUNC;
	if (sock->type == SOCK_SEQPACKET)
		msg->ret_flags |= MSG_EOR;
	if ((msg->flags & MSG_TRUNC) != 0)
		got = (ssize_t)from->len;
	if (sock->type == SOCK_DGRAM && from->from.len != 0) {
		memcpy(&msg->addr, &from->from.addr, from->from.len);
		msg->addr_len = from->from.len;
	}
	deliver_control(sock, msg, from);
	if ((msg->flags & MSG_PEEK) == 0) {
		sock->rx_bytes -= from->len;
		rx_remove(sock, from);
		rx_wake_senders(sock);
	}
	return got;
}

ssize_t unix_recvmsg(struct file *file, struct sockmsg *msg)
{
	struct unix_sock *sock = file->data;

	if ((msg->flags & MSG_OOB) != 0)
		return -EOPNOTSUPP;
	return unix_is_stream(sock) ? recv_stream(file, msg) : recv_packet(file, msg);
}
