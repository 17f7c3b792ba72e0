/*
 * sock.h - what the socket calls (sys/socket.c) ask of a socket family.
 *
 * Families: unix.c (AF_UNIX), socket.c (AF_INET and AF_INET6, over net/), netlink.c (AF_NETLINK). A
 * socket is a struct file whose file_ops belong to one of the families below.  Addresses, options
 * and control data are libOS memory here: sys/socket.c copies them in and out.  Blocking,
 * SO_RCVTIMEO and signals are the family's (-ERESTARTSYS, or -EINTR with a timeout set, socket(7)).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "leat/base/bits.h"
#include "libos/uaccess.h"

struct file;
struct file_ops;

#define SOCK_CONTROL_MAX 2048U /* bytes of control data of one message */
#define SOCK_OPTION_MAX 256U   /* bytes of one option's value */

/* The kernel's struct cmsghdr: libc's has padding of its own. The data follows. */
struct sock_control {
	uint64_t len;
	int32_t level;
	int32_t type;
};

/* Where the next one begins. */
static inline size_t sock_control_align(size_t n)
{
	return align_up(n, sizeof(uint64_t));
}

/* One message, either way. */
struct sockmsg {
	struct uio uio;
	int flags;     /* MSG_* as passed; on receive the handler adds MSG_TRUNC, MSG_CTRUNC, ... */
	int ret_flags; /* msg_flags for the program */
	struct sockaddr_storage addr;
	unsigned addr_len;   /* send: 0 if none; receive: set, 0 if there is none */
	uint8_t *control;    /* send: the program's cmsghdrs; receive: room to fill; may be NULL */
	size_t control_len;  /* send: bytes; receive: room */
	size_t control_used; /* receive: bytes filled */
};

struct sock_ops {
	const struct file_ops *file_ops;
	int family;
	int (*bind)(struct file *file, const struct sockaddr *addr, unsigned len);
	int (*connect)(struct file *file, const struct sockaddr *addr, unsigned len);
	int (*listen)(struct file *file, int backlog);
	/* The new connection's file has O_* of file_flags. */
	int (*accept)(struct file *file, unsigned file_flags, struct file **ret_file,
		      struct sockaddr_storage *ret_addr, unsigned *ret_len);
	int (*getname)(struct file *file, bool peer, struct sockaddr_storage *ret_addr,
		       unsigned *ret_len);
	ssize_t (*sendmsg)(struct file *file, struct sockmsg *msg);
	ssize_t (*recvmsg)(struct file *file, struct sockmsg *msg);
	int (*shutdown)(struct file *file, int how);
	int (*setsockopt)(struct file *file, int level, int name, const void *value, unsigned len);
	/* *len: room on entry, bytes on return. */
	int (*getsockopt)(struct file *file, int level, int name, void *value, unsigned *len);
};

extern const struct sock_ops unix_sock_ops;
extern const struct sock_ops inet_sock_ops;
extern const struct sock_ops netlink_sock_ops;

/* New sockets: type without SOCK_NONBLOCK and SOCK_CLOEXEC, file_flags O_RDWR | O_NONBLOCK?. */
int unix_socket(int type, int protocol, unsigned file_flags, struct file **ret_file);
int unix_socketpair(int type, int protocol, unsigned file_flags, struct file *ret_files[2]);
int inet_socket(int family, int type, int protocol, unsigned file_flags, struct file **ret_file);
int netlink_socket(int type, int protocol, unsigned file_flags, struct file **ret_file);

/* read and write of any socket's file_ops: recvmsg and sendmsg without an address. */
ssize_t sock_file_read(struct file *file, struct uio *uio, uint64_t *pos);
ssize_t sock_file_write(struct file *file, struct uio *uio, uint64_t *pos);

/* NULL: not a socket. */
const struct sock_ops *sock_ops_of(const struct file *file);

/* Appends one control message to msg->control, or sets MSG_CTRUNC in ret_flags. */
void sockmsg_put_control(struct sockmsg *msg, int level, int type, const void *data, size_t len);
