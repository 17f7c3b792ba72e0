/*
 * socket.c - handlers of the socket calls: addresses, messages and options in and out; the families
 * do the rest (libos/sock.h).
 */
#include "libos/sock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "leat/base/bits.h"
#include "libos/arena.h"
#include "libos/file.h"
#include "libos/instance.h"
#include "libos/syscall.h"
#include "libos/timespec.h"
#include "libos/uaccess.h"

#define MMSG_MAX 1024U

/* The kernel's struct user_msghdr and mmsghdr; libc's have other types of the same size. */
struct msg_user {
	uint64_t name;
	int32_t name_len;
	uint32_t pad0;
	uint64_t iov;
	uint64_t nr_iov;
	uint64_t control;
	uint64_t control_len;
	int32_t flags;
	uint32_t pad1;
};

struct mmsg_user {
	struct msg_user msg;
	uint32_t len;
	uint32_t pad;
};

_Static_assert(sizeof(struct msg_user) == 56, "msghdr layout");
_Static_assert(sizeof(struct mmsg_user) == 64, "mmsghdr layout");

static const struct sock_ops *const families[] = {&unix_sock_ops, &inet_sock_ops,
						  &netlink_sock_ops};

const struct sock_ops *sock_ops_of(const struct file *file)
{
	for (unsigned i = 0; i < ARRAY_SIZE(families); i++)
		if (families[i]->file_ops == file->ops)
			return families[i];
	return NULL;
}

/* The socket behind fd, referenced: calls may sleep while others close the descriptor. */
static int sock_get(int fd, struct file **ret_file, const struct sock_ops **ret_ops)
{
	struct file *file = fd_get(fd);

	if (file == NULL)
		return -EBADF;
	*ret_ops = sock_ops_of(file);
	if (*ret_ops == NULL)
		return -ENOTSOCK;
	*ret_file = file_ref(file);
	return 0;
}

/* ---- addresses ---- */

static int addr_import(struct sockaddr_storage *ret_addr, const void *user_addr, int len)
{
	if (len < 0 || (size_t)len > sizeof(*ret_addr))
		return -EINVAL;
	memset(ret_addr, 0, sizeof(*ret_addr));
	return copy_from_user(ret_addr, user_addr, (size_t)len);
}

/* *user_len says how much room there is, and then how long the address really is. */
static int addr_export(const struct sockaddr_storage *addr, unsigned len, void *user_addr,
		       int *user_len)
{
	uint32_t room;

	if (get_user_u32(&room, (uint32_t *)user_len) != 0)
		return -EFAULT;
	if ((int)room < 0)
		return -EINVAL;
	if (copy_to_user(user_addr, addr, MIN(room, len)) != 0)
		return -EFAULT;
	return put_user_u32((uint32_t *)user_len, len);
}

/* ---- making ---- */

static int family_socket(int family, int type, int protocol, unsigned file_flags,
			 struct file **ret_file)
{
	switch (family) {
	case AF_UNIX:
		return unix_socket(type, protocol, file_flags, ret_file);
	case AF_INET:
	case AF_INET6:
		return inet_socket(family, type, protocol, file_flags, ret_file);
	case AF_NETLINK:
		return netlink_socket(type, protocol, file_flags, ret_file);
	default:
		return -EAFNOSUPPORT;
	}
}

SYS3(socket, int, family, int, type, int, protocol)
{
	bool cloexec = (type & SOCK_CLOEXEC) != 0;
	unsigned file_flags = (type & SOCK_NONBLOCK) != 0 ? O_NONBLOCK : 0;
	struct file *file;
	int err, fd;

	type &= ~(SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (type < 0 || type > SOCK_PACKET)
		return -EINVAL;
	err = family_socket(family, type, protocol, file_flags, &file);
	if (err != 0)
		return err;
	fd = fd_install(file, 0, cloexec);
	if (fd < 0)
		file_unref(file);
	return fd;
}

static int socketpair_install(struct file *const files[2], bool cloexec, int *user_fds)
{
	int fds[2];

	fds[0] = fd_install(files[0], 0, cloexec);
	if (fds[0] < 0) {
		file_unref(files[0]);
		file_unref(files[1]);
		return fds[0];
	}
	fds[1] = fd_install(files[1], 0, cloexec);
	if (fds[1] < 0) {
		fd_close(fds[0]);
		file_unref(files[1]);
		return fds[1];
	}
	if (copy_to_user(user_fds, fds, sizeof(fds)) != 0) {
		fd_close(fds[0]);
		fd_close(fds[1]);
		return -EFAULT;
	}
	return 0;
}

SYS4(socketpair, int, family, int, type, int, protocol, int *, user_fds)
{
	bool cloexec = (type & SOCK_CLOEXEC) != 0;
	unsigned file_flags = (type & SOCK_NONBLOCK) != 0 ? O_NONBLOCK : 0;
	struct file *files[2];
	int err;

	type &= ~(SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (family == AF_INET || family == AF_INET6 || family == AF_NETLINK)
		return -EOPNOTSUPP;
	if (family != AF_UNIX)
		return -EAFNOSUPPORT;
	err = unix_socketpair(type, protocol, file_flags, files);
	return err != 0 ? err : socketpair_install(files, cloexec, user_fds);
}

/* ---- connecting ---- */

SYS3(bind, int, fd, const void *, user_addr, int, len)
{
	struct sockaddr_storage addr;
	const struct sock_ops *ops;
	struct file *file;
	int err = sock_get(fd, &file, &ops);

	if (err != 0)
		return err;
	err = addr_import(&addr, user_addr, len);
	if (err == 0)
		err = ops->bind(file, (struct sockaddr *)&addr, (unsigned)len);
	file_unref(file);
	return err;
}

SYS3(connect, int, fd, const void *, user_addr, int, len)
{
	struct sockaddr_storage addr;
	const struct sock_ops *ops;
	struct file *file;
	int err = sock_get(fd, &file, &ops);

	if (err != 0)
		return err;
	err = addr_import(&addr, user_addr, len);
	if (err == 0 && (unsigned)len < sizeof(sa_family_t))
		err = -EINVAL;
	if (err == 0)
		err = ops->connect(file, (struct sockaddr *)&addr, (unsigned)len);
	file_unref(file);
	return err;
}

SYS2(listen, int, fd, int, backlog)
{
	const struct sock_ops *ops;
	struct file *file;
	int err = sock_get(fd, &file, &ops);

	if (err != 0)
		return err;
	err = ops->listen(file, backlog);
	file_unref(file);
	return err;
}

static long do_accept_common(int fd, void *user_addr, int *user_len, int flags)
{
	struct sockaddr_storage addr = {0};
	const struct sock_ops *ops;
	struct file *file, *conn;
	unsigned len = 0;
	int err;

	if ((flags & ~(SOCK_CLOEXEC | SOCK_NONBLOCK)) != 0)
		return -EINVAL;
	err = sock_get(fd, &file, &ops);
	if (err != 0)
		return err;
	err = ops->accept(file, (flags & SOCK_NONBLOCK) != 0 ? O_NONBLOCK : 0, &conn, &addr, &len);
	file_unref(file);
	if (err != 0)
		return err;
	if (user_addr != NULL)
		err = addr_export(&addr, len, user_addr, user_len);
	if (err == 0)
		err = fd_install(conn, 0, (flags & SOCK_CLOEXEC) != 0);
	if (err < 0)
		file_unref(conn);
	return err;
}

SYS3(accept, int, fd, void *, user_addr, int *, user_len)
{
	return do_accept_common(fd, user_addr, user_len, 0);
}

SYS4(accept4, int, fd, void *, user_addr, int *, user_len, int, flags)
{
	return do_accept_common(fd, user_addr, user_len, flags);
}

static long do_getname(int fd, bool peer, void *user_addr, int *user_len)
{
	struct sockaddr_storage addr = {0};
	const struct sock_ops *ops;
	struct file *file;
	unsigned len = 0;
	int err = sock_get(fd, &file, &ops);

	if (err != 0)
		return err;
	err = ops->getname(file, peer, &addr, &len);
	file_unref(file);
	return err != 0 ? err : addr_export(&addr, len, user_addr, user_len);
}

SYS3(getsockname, int, fd, void *, user_addr, int *, user_len)
{
	return do_getname(fd, false, user_addr, user_len);
}

SYS3(getpeername, int, fd, void *, user_addr, int *, user_len)
{
	return do_getname(fd, true, user_addr, user_len);
}

SYS2(shutdown, int, fd, int, how)
{
	const struct sock_ops *ops;
	struct file *file;
	int err = sock_get(fd, &file, &ops);

	if (err != 0)
		return err;
	err = ops->shutdown(file, how);
	file_unref(file);
	return err;
}

/* ---- sending and receiving ---- */

static ssize_t sock_send(struct file *file, const struct sock_ops *ops, struct sockmsg *msg)
{
	ssize_t sent = ops->sendmsg(file, msg);

	if (sent == -EPIPE && (msg->flags & MSG_NOSIGNAL) == 0)
		signal_send_task(current(), SIGPIPE, NULL);
	return sent;
}

ssize_t sock_file_read(struct file *file, struct uio *uio, uint64_t *pos)
{
	struct sockmsg msg = {.uio = *uio};
	ssize_t got;

	(void)pos;
	got = sock_ops_of(file)->recvmsg(file, &msg);
	*uio = msg.uio;
	return got;
}

ssize_t sock_file_write(struct file *file, struct uio *uio, uint64_t *pos)
{
	struct sockmsg msg = {.uio = *uio};
	ssize_t sent;

	(void)pos;
	sent = sock_send(file, sock_ops_of(file), &msg);
	*uio = msg.uio;
	return sent;
}

SYS6(sendto, int, fd, void *, buf, size_t, n, int, flags, const void *, user_addr, int, addr_len)
{
	struct sockmsg msg = {.flags = flags};
	const struct sock_ops *ops;
	struct file *file;
	struct iovec iov;
	long sent;
	int err = sock_get(fd, &file, &ops);

	if (err != 0)
		return err;
	n = MIN(n, (size_t)INT_MAX);
	sent = user_range_ok(buf, n) ? 0 : -EFAULT;
	uio_init(&msg.uio, &iov, buf, n, false);
	if (sent == 0 && user_addr != NULL) {
		sent = addr_import(&msg.addr, user_addr, addr_len);
		msg.addr_len = (unsigned)addr_len;
	}
	if (sent == 0)
		sent = sock_send(file, ops, &msg);
	file_unref(file);
	return sent;
}

SYS6(recvfrom, int, fd, void *, buf, size_t, n, int, flags, void *, user_addr, int *, user_len)
{
	struct sockmsg msg = {.flags = flags};
	const struct sock_ops *ops;
	struct file *file;
	struct iovec iov;
	long got;
	int err = sock_get(fd, &file, &ops);

	if (err != 0)
		return err;
	n = MIN(n, (size_t)INT_MAX);
	uio_init(&msg.uio, &iov, buf, n, false);
	got = user_range_ok(buf, n) ? ops->recvmsg(file, &msg) : -EFAULT;
	file_unref(file);
	if (got >= 0 && user_addr != NULL) {
		err = addr_export(&msg.addr, msg.addr_len, user_addr, user_len);
		if (err != 0)
			return err;
	}
	return got;
}

/* What one sendmsg or recvmsg needs of memory: too much for a kernel stack. */
struct msg_work {
	struct sockmsg msg;
	struct msg_user user;
	struct iovec iov[UIO_MAX_IOV];
	uint8_t control[SOCK_CONTROL_MAX];
};

static int msg_import(struct msg_work *work, const struct msg_user *user_msg)
{
	ssize_t n;

	memset(&work->msg, 0, sizeof(work->msg));
	if (copy_from_user(&work->user, user_msg, sizeof(work->user)) != 0)
		return -EFAULT;
	if (work->user.nr_iov > UIO_MAX_IOV)
		return -EMSGSIZE;
	if (work->user.name_len < 0)
		return -EINVAL;
	n = uio_import(&work->msg.uio, work->iov, (const struct iovec *)work->user.iov,
		       work->user.nr_iov);
	return n < 0 ? (int)n : 0;
}

static long msg_send_one(struct file *file, const struct sock_ops *ops, struct msg_work *work,
			 struct msg_user *user_msg, int flags)
{
	struct sockmsg *msg = &work->msg;
	int err = msg_import(work, user_msg);

	if (err == 0 && work->user.name != 0) {
		msg->addr_len = MIN((unsigned)work->user.name_len, (unsigned)sizeof(msg->addr));
		err = addr_import(&msg->addr, (void *)work->user.name, (int)msg->addr_len);
	}
	if (err == 0 && work->user.control != 0 && work->user.control_len > 0) {
		if (work->user.control_len > sizeof(work->control))
			return -ENOBUFS;
		msg->control = work->control;
		msg->control_len = work->user.control_len;
		err = copy_from_user(work->control, (void *)work->user.control, msg->control_len);
	}
	if (err != 0)
		return err;
	msg->flags = flags;
	return sock_send(file, ops, msg);
}

static int msg_export(const struct msg_work *work, struct msg_user *user_msg)
{
	const struct sockmsg *msg = &work->msg;

	if (work->user.name != 0) {
		if (copy_to_user((void *)work->user.name, &msg->addr,
				 MIN((unsigned)work->user.name_len, msg->addr_len)) != 0 ||
		    put_user_u32((uint32_t *)&user_msg->name_len, msg->addr_len) != 0)
			return -EFAULT;
	}
	if (copy_to_user((void *)work->user.control, work->control, msg->control_used) != 0 ||
	    put_user_u64(&user_msg->control_len, msg->control_used) != 0)
		return -EFAULT;
	return put_user_u32((uint32_t *)&user_msg->flags, (uint32_t)msg->ret_flags);
}

static long msg_recv_one(struct file *file, const struct sock_ops *ops, struct msg_work *work,
			 struct msg_user *user_msg, int flags)
{
	struct sockmsg *msg = &work->msg;
	int err = msg_import(work, user_msg);
	long got;

	if (err != 0)
		return err;
	msg->flags = flags;
	msg->control = work->control;
	msg->control_len =
		work->user.control != 0 ? MIN(work->user.control_len, sizeof(work->control)) : 0;
	got = ops->recvmsg(file, msg);
	if (got < 0)
		return got;
	msg->ret_flags |= flags & MSG_CMSG_CLOEXEC;
	err = msg_export(work, user_msg);
	return err != 0 ? err : got;
}

void sockmsg_put_control(struct sockmsg *msg, int level, int type, const void *data, size_t len)
{
	struct sock_control header = {.len = sizeof(header) + len, .level = level, .type = type};
	size_t room = msg->control_len - msg->control_used;
	size_t n;

	if (room < sizeof(header)) {
		msg->ret_flags |= MSG_CTRUNC;
		return;
	}
	n = MIN(len, room - sizeof(header));
	if (n < len)
		msg->ret_flags |= MSG_CTRUNC;
	header.len = sizeof(header) + n;
	memcpy(msg->control + msg->control_used, &header, sizeof(header));
	memcpy(msg->control + msg->control_used + sizeof(header), data, n);
	n = sock_control_align(header.len);
	if (n > room)
		n = room;
	memset(msg->control + msg->control_used + header.len, 0, n - header.len);
	msg->control_used += n;
}

typedef long (*msg_one)(struct file *file, const struct sock_ops *ops, struct msg_work *work,
			struct msg_user *user_msg, int flags);

static long msg_call(int fd, struct msg_user *user_msg, int flags, msg_one one)
{
	const struct sock_ops *ops;
	struct msg_work *work;
	struct file *file;
	long result = sock_get(fd, &file, &ops);

	if (result != 0)
		return result;
	work = arena_alloc(sizeof(*work));
	result = work != NULL ? one(file, ops, work, user_msg, flags) : -ENOMEM;
	arena_free(work);
	file_unref(file);
	return result;
}

SYS3(sendmsg, int, fd, struct msg_user *, user_msg, int, flags)
{
	return msg_call(fd, user_msg, flags, msg_send_one);
}

SYS3(recvmsg, int, fd, struct msg_user *, user_msg, int, flags)
{
	return msg_call(fd, user_msg, flags, msg_recv_one);
}

/* Several messages: the count that went through, or the first one's error. */
static long mmsg_loop(struct file *file, const struct sock_ops *ops, struct msg_work *work,
		      struct mmsg_user *user_msgs, unsigned nr, int flags, uint64_t deadline_ns,
		      msg_one one)
{
	bool wait_for_one = (flags & MSG_WAITFORONE) != 0;
	unsigned done = 0;
	long result = 0;

	flags &= ~MSG_WAITFORONE;
	while (done < nr) {
		result = one(file, ops, work, &user_msgs[done].msg, flags);
		if (result < 0)
			break;
		if (put_user_u32(&user_msgs[done].len, (uint32_t)result) != 0) {
			result = -EFAULT;
			break;
		}
		done++;
		if (wait_for_one)
			flags |= MSG_DONTWAIT;
		if (deadline_ns != WAIT_FOREVER && clock_monotonic_ns() >= deadline_ns)
			break;
	}
	return done > 0 ? (long)done : result;
}

static long mmsg_call(int fd, struct mmsg_user *user_msgs, unsigned nr, int flags,
		      uint64_t deadline_ns, msg_one one)
{
	const struct sock_ops *ops;
	struct msg_work *work;
	struct file *file;
	long result = sock_get(fd, &file, &ops);

	if (result != 0)
		return result;
	work = arena_alloc(sizeof(*work));
	result = -ENOMEM;
	if (work != NULL)
		result = mmsg_loop(file, ops, work, user_msgs, MIN(nr, MMSG_MAX), flags,
				   deadline_ns, one);
	arena_free(work);
	file_unref(file);
	return result;
}

SYS4(sendmmsg, int, fd, struct mmsg_user *, user_msgs, unsigned, nr, int, flags)
{
	return mmsg_call(fd, user_msgs, nr, flags, WAIT_FOREVER, msg_send_one);
}

SYS5(recvmmsg, int, fd, struct mmsg_user *, user_msgs, unsigned, nr, int, flags,
     const struct timespec *, user_timeout)
{
	uint64_t deadline_ns = WAIT_FOREVER;
	struct timespec ts;

	if (user_timeout != NULL) {
		if (copy_from_user(&ts, user_timeout, sizeof(ts)) != 0)
			return -EFAULT;
		if (!timespec_ok(&ts))
			return -EINVAL;
		deadline_ns = deadline_after(timespec_to_ns(&ts));
	}
	return mmsg_call(fd, user_msgs, nr, flags, deadline_ns, msg_recv_one);
}

/* ---- options ---- */

SYS5(setsockopt, int, fd, int, level, int, name, const void *, user_value, int, len)
{
	uint8_t value[SOCK_OPTION_MAX] __attribute__((aligned(8)));
	const struct sock_ops *ops;
	struct file *file;
	int err = sock_get(fd, &file, &ops);

	if (err != 0)
		return err;
	if (len < 0)
		err = -EINVAL;
	len = MIN(len, (int)sizeof(value));
	if (err == 0)
		err = copy_from_user(value, user_value, (size_t)len);
	if (err == 0)
		err = ops->setsockopt(file, level, name, value, (unsigned)len);
	file_unref(file);
	return err;
}

SYS5(getsockopt, int, fd, int, level, int, name, void *, user_value, uint32_t *, user_len)
{
	uint8_t value[SOCK_OPTION_MAX] __attribute__((aligned(8))) = {0};
	const struct sock_ops *ops;
	struct file *file;
	uint32_t len;
	int err = sock_get(fd, &file, &ops);

	if (err != 0)
		return err;
	err = get_user_u32(&len, user_len);
	if (err == 0 && (int32_t)len < 0)
		err = -EINVAL;
	len = MIN(len, (uint32_t)sizeof(value));
	if (err == 0)
		err = ops->getsockopt(file, level, name, value, &len);
	file_unref(file);
	if (err != 0)
		return err;
	if (copy_to_user(user_value, value, len) != 0)
		return -EFAULT;
	return put_user_u32(user_len, len);
}
