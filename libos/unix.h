/*
 * unix.h - AF_UNIX sockets, private to unix*.c.  Guard of everything: the instance lock.  See
 * unix(7).
 */
#pragma once

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/un.h>

#include "libos/file.h"
#include "libos/sock.h"
#include "libos/wait.h"

#define UNIX_BUFFER_BYTES 212992U /* net.core.wmem_default */
#define UNIX_DGRAM_QUEUE_MAX 512U /* net.unix.max_dgram_qlen */
#define UNIX_RIGHTS_MAX 253U      /* SCM_MAX_FD */
#define UNIX_CHUNK_BYTES 32768U   /* a stream's data is queued in pieces of at most this */

enum unix_state {
	UNIX_IDLE,
	UNIX_LISTENING,
	UNIX_CONNECTED,
	UNIX_CLOSED, /* was connected: the peer has gone */
};

struct unix_cred {
	int pid;
	unsigned uid;
	unsigned gid;
};

struct unix_name {
	struct sockaddr_un addr;
	unsigned len; /* 0: none */
};

/* One datagram, or one piece of a stream. */
struct unix_msg {
	struct list node;
	size_t len;
	size_t off; /* bytes already read */
	struct unix_cred cred;
	bool cred_given; /* by SCM_CREDENTIALS: pieces of a stream with other ones are not joined */
	unsigned nr_files;
	struct file **files;
	struct unix_name from;
	uint8_t data[];
};

struct unix_sock {
	unsigned refs;
	int type;
	enum unix_state state;
	struct unix_sock *peer; /* referenced; for datagram sockets: connect(2)'s */
	struct unix_name name;
	struct path path;      /* of a name in the file system */
	struct list name_node; /* abstract names */
	struct unix_cred cred; /* of who made or connected it: SO_PEERCRED of the peer */
	struct unix_cred peer_cred;

	struct list rx; /* of unix_msg.node */
	size_t rx_bytes;
	unsigned rx_count;
	bool rx_shut;
	bool tx_shut;
	bool dead;

	struct list backlog; /* of backlog_node: connections to be accepted */
	struct list backlog_node;
	unsigned backlog_count;
	unsigned backlog_max;

	struct wait_queue wq;
	int error; /* SO_ERROR */
	unsigned sndbuf;
	unsigned rcvbuf;
	uint64_t rcv_timeout_ns; /* 0: none */
	uint64_t snd_timeout_ns;
	bool passcred;
	uint32_t plain_options; /* kept and shown: bit by SO_ number */
};

/* ---- unix.c ---- */

struct unix_sock *unix_ref(struct unix_sock *sock);
void unix_unref(struct unix_sock *sock);
struct unix_cred unix_cred_current(void);
bool unix_is_stream(const struct unix_sock *sock);

/* Sleeps on wq for `events`: 0, -EAGAIN (timeout or non-blocking), -EINTR, -ERESTARTSYS. */
int unix_wait(struct wait_queue *wq, uint32_t events, bool nonblocking, uint64_t timeout_ns,
	      uint64_t *deadline_ns);

/* ---- unix_name.c ---- */

int unix_name_bind(struct unix_sock *sock, const struct sockaddr *addr, unsigned len);
void unix_name_release(struct unix_sock *sock);

/* The socket that is bound to the name: -ECONNREFUSED, -ENOENT, -EACCES, -EINVAL... */
int unix_name_find(const struct sockaddr *addr, unsigned len, struct unix_sock **ret_sock);

/* ---- unix_msg.c ---- */

ssize_t unix_sendmsg(struct file *file, struct sockmsg *msg);
ssize_t unix_recvmsg(struct file *file, struct sockmsg *msg);
void unix_msg_free(struct unix_msg *msg);

/* May `from` send to `to` now? */
bool unix_has_room(const struct unix_sock *from, const struct unix_sock *to);

/* ---- unix_opt.c ---- */

int unix_setsockopt(struct file *file, int level, int name, const void *value, unsigned len);
int unix_getsockopt(struct file *file, int level, int name, void *value, unsigned *len);
long unix_ioctl(struct file *file, unsigned cmd, unsigned long arg);
