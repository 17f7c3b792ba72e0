/*
 * socket.c - sockets of AF_INET and AF_INET6: the libOS's side of net/.
 *
 * The stack never blocks and knows no tasks.  Here are the files around its sockets, with blocking,
 * timeouts and signals; the environment that net/env.h asks for; and the polling and timers that
 * the scheduler drives.  Guard: the instance lock.
 */
#include "libos/netglue.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>

#include "libos/arena.h"
#include "libos/clock.h"
#include "libos/fs/fs.h"
#include "libos/host.h"
#include "libos/instance.h"
#include "libos/sock.h"
#include "libos/task.h"
#include "libos/uaccess.h"
#include "net/env.h"
#include "net/net.h"

#define POLL_BUDGET 256u
/* Packets older than this are worth a look of the dataplane thread (design section 8). */
#define KICK_AFTER_NS 20000u
#define IOV_MOST 16u

/* Linux's numbers of the timeouts with a 64-bit timeval of their own. */
#define SO_RCVTIMEO_NEW 66
#define SO_SNDTIMEO_NEW 67

struct net_glue {
	struct timer timer; /* armed at the stack's next deadline, or before */
	bool kernel;        /* the buffers of the call under way are the libOS's */
	uint64_t kicked_ns;
};

struct inet_sock {
	struct net_sock *sock;
	struct wait_queue wq;
	uint64_t rcvtimeo_ns, sndtimeo_ns; /* 0: for ever */
	int family, type, protocol;
};

static struct net *stack(void)
{
	return instance()->net;
}

/* ---- what net/ asks for ---- */

void *net_env_alloc(size_t bytes)
{
	return arena_zalloc(bytes);
}

void *net_env_alloc_raw(size_t bytes)
{
	return arena_alloc(bytes);
}

void net_env_free(void *ptr, size_t bytes)
{
	(void)bytes;
	arena_free(ptr);
}

uint64_t net_env_now_ns(void)
{
	return clock_monotonic_ns();
}

uint64_t net_env_realtime_ns(void)
{
	return clock_realtime_ns();
}

void net_env_random(void *dst, size_t bytes)
{
	random_bytes(dst, bytes);
}

int net_env_copy_in(void *dst, const void *user_src, size_t bytes)
{
	if (instance()->net_glue->kernel) {
		memcpy(dst, user_src, bytes);
		return 0;
	}
	return copy_from_user(dst, user_src, bytes);
}

int net_env_copy_out(void *user_dst, const void *src, size_t bytes)
{
	if (instance()->net_glue->kernel) {
		memcpy(user_dst, src, bytes);
		return 0;
	}
	return copy_to_user(user_dst, src, bytes);
}

unsigned int net_env_vcpu(void)
{
	int vcpu = this_kthread()->vcpu;

	return vcpu >= 0 ? (unsigned)vcpu : 0;
}

void net_env_sock_event(struct net_sock *sock, void *owner, uint32_t events)
{
	struct inet_sock *is = owner;

	(void)sock;
	if (events & POLLIN)
		events |= POLLRDNORM;
	if (events & POLLOUT)
		events |= POLLWRNORM;
	wait_queue_wake(&is->wq, events);
}

/* Wakes the dataplane thread of this core if it sleeps and no other polls. */
static void dataplane_ring(unsigned core)
{
	const struct abi_control *control = control_page();
	uint64_t one = 1;

	for (unsigned i = 0; i < control->nr_cores && i < ABI_MAX_CORES; i++)
		if (__atomic_load_n(&control->core[i].state, __ATOMIC_ACQUIRE) == ABI_DP_POLL)
			return;
	if (__atomic_load_n(&control->core[core].state, __ATOMIC_ACQUIRE) == ABI_DP_SLEEP)
		host_write(ABI_FD_DOORBELL + (int)core, &one, sizeof(one));
}

/*
 * Packets wait.  A kthread that goes on computing gives the dataplane thread of its core a turn
 * when its last one is long ago; one that runs out of work does so anyway (net_glue_poll, sched.c).
 */
void net_env_kick(struct net *net, unsigned int vcpu)
{
	struct net_glue *glue = instance()->net_glue;
	unsigned core = this_kthread()->core % ABI_MAX_CORES;
	const struct abi_core *dp = &control_page()->core[core];
	uint32_t state = __atomic_load_n(&dp->state, __ATOMIC_ACQUIRE);
	uint64_t now_ns;

	(void)net;
	(void)vcpu;
	if (state != ABI_DP_SLEEP && state != ABI_DP_YIELD)
		return;
	now_ns = clock_monotonic_ns();
	if (now_ns - glue->kicked_ns < KICK_AFTER_NS ||
	    now_ns - __atomic_load_n(&dp->round_ns, __ATOMIC_RELAXED) < KICK_AFTER_NS)
		return;
	glue->kicked_ns = now_ns;
	if (state == ABI_DP_SLEEP)
		dataplane_ring(core);
	else
		host_sched_yield();
}

/* ---- what the scheduler asks for ---- */

/* Makes the libOS's timers look at the stack no later than its next deadline. */
static void glue_timer_arm(void)
{
	struct timer *timer = &instance()->net_glue->timer;
	uint64_t next_ns = net_next_deadline(stack());

	/* one that fires early finds nothing to do and is armed anew */
	if (next_ns == NET_NO_DEADLINE || (timer->heap_index != 0 && timer->deadline_ns <= next_ns))
		return;
	timer_arm(timer, next_ns);
}

static void glue_timer_fire(struct timer *timer)
{
	(void)timer;
	net_timers_run(stack(), clock_monotonic_ns());
	net_flush(stack(), net_env_vcpu());
	glue_timer_arm();
}

/* After every call that may have sent or armed something. */
static void glue_done(void)
{
	net_flush(stack(), net_env_vcpu());
	glue_timer_arm();
}

bool net_glue_pending(unsigned vcpu)
{
	return net_rx_pending(stack(), vcpu);
}

int net_glue_poll(unsigned vcpu)
{
	int n = net_poll(stack(), vcpu, POLL_BUDGET);

	if (n > 0)
		glue_timer_arm();
	/* about to idle: what was sent shall not wait for a sleeping dataplane thread */
	if (net_tx_pending(stack(), vcpu)) {
		struct net_glue *glue = instance()->net_glue;
		uint64_t now_ns = clock_monotonic_ns();

		if (now_ns - glue->kicked_ns >= KICK_AFTER_NS / 4) {
			glue->kicked_ns = now_ns;
			dataplane_ring(this_kthread()->core % ABI_MAX_CORES);
		}
	}
	return n;
}

static struct net_config glue_config(void)
{
	const struct abi_boot *boot = instance()->boot;
	struct abi_netdev *dev = abi_netdev_of(window());
	struct net_config config = {
		.loopback = true,
		.window = window(),
		.buf_offset = ABI_BUFS_OFF,
		.buf_bytes = boot->window_size - ABI_BUFS_OFF,
		.queue_pairs = boot->nr_vcpus,
	};

	if (dev->ipv4_be != 0) {
		config.dev = dev;
		config.ip.s_addr = dev->ipv4_be;
		config.gateway.s_addr = dev->gateway_be;
		config.prefix_bits = (uint8_t)dev->prefix_len;
		config.mtu = dev->mtu;
		memcpy(config.mac, dev->mac, sizeof(config.mac));
		memcpy(&config.ip6, dev->ipv6, sizeof(config.ip6));
		config.prefix6_bits = (uint8_t)dev->prefix6_len;
	}
	return config;
}

int net_glue_init(void)
{
	struct net_config config = glue_config();

	instance()->net_glue = arena_zalloc(sizeof(struct net_glue));
	if (instance()->net_glue == NULL)
		return -ENOMEM;
	timer_init(&instance()->net_glue->timer, glue_timer_fire, NULL);
	return net_init(&config, &instance()->net);
}

int net_glue_resume(void)
{
	struct net_config config = glue_config();
	int rc = net_resume(stack(), &config);

	glue_done();
	return rc;
}

/* ---- blocking ---- */

static struct inet_sock *inet_of(const struct file *file)
{
	return file->data;
}

static uint64_t deadline_after(uint64_t timeout_ns)
{
	return timeout_ns == 0 ? WAIT_FOREVER : clock_monotonic_ns() + timeout_ns;
}

/* 0: look again; -EAGAIN: time is over; -ERESTARTSYS or -EINTR (socket(7): with a timeout). */
static int inet_wait(struct inet_sock *is, uint32_t events, uint64_t deadline_ns)
{
	int rc;

	glue_done();
	rc = wait_on(&is->wq, events | POLLERR | POLLHUP, deadline_ns);
	if (rc == -ETIMEDOUT)
		return -EAGAIN;
	if (rc == -EINTR)
		return deadline_ns == WAIT_FOREVER ? -ERESTARTSYS : -EINTR;
	return rc;
}

static bool nonblocking(const struct file *file, int flags)
{
	return (file->flags & O_NONBLOCK) != 0 || (flags & MSG_DONTWAIT) != 0;
}

/* ---- files around sockets ---- */

static const struct file_ops inet_file_ops;

static int inet_file_create(struct net_sock *sock, const struct inet_sock *like,
			    unsigned file_flags, struct file **ret_file)
{
	struct inet_sock *is = arena_zalloc(sizeof(*is));
	struct file *file;

	if (is == NULL)
		return -ENOMEM;
	*is = *like;
	is->sock = sock;
	wait_queue_init(&is->wq);
	file = file_create(&inet_file_ops, is, O_RDWR | file_flags);
	if (file == NULL) {
		arena_free(is);
		return -ENOMEM;
	}
	net_sock_set_owner(sock, is);
	*ret_file = file;
	return 0;
}

int inet_socket(int family, int type, int protocol, unsigned file_flags, struct file **ret_file)
{
	struct inet_sock like = {.family = family, .type = type, .protocol = protocol};
	struct net_sock *sock;
	int rc;

	if (type == SOCK_RAW && !capable(CAP_NET_RAW))
		return -EPERM;
	rc = net_socket(stack(), family, type, protocol, NULL, &sock);
	if (rc != 0)
		return rc;
	rc = inet_file_create(sock, &like, file_flags, ret_file);
	if (rc != 0)
		net_close(sock);
	return rc;
}

/* SO_LINGER with a time: close(2) waits, exit does not. */
static void inet_linger(struct inet_sock *is)
{
	unsigned seconds = net_linger_seconds(is->sock);
	uint64_t deadline_ns;

	if (seconds == 0 || current() == NULL || current()->process->exiting)
		return;
	deadline_ns = clock_monotonic_ns() + seconds * 1000000000ull;
	net_shutdown(is->sock, SHUT_RDWR);
	while (net_lingering(is->sock) && inet_wait(is, POLLOUT, deadline_ns) == 0)
		;
}

static void inet_release(struct file *file)
{
	struct inet_sock *is = inet_of(file);

	inet_linger(is);
	net_close(is->sock);
	arena_free(is);
	glue_done();
}

static uint32_t inet_poll(struct file *file, struct poll_table *table)
{
	struct inet_sock *is = inet_of(file);

	if (table != NULL && table->queue != NULL)
		table->queue(table, file, &is->wq);
	return net_poll_events(is->sock);
}

static long inet_ioctl(struct file *file, unsigned cmd, unsigned long arg)
{
	int rc = net_ioctl(inet_of(file)->sock, cmd, arg);

	return rc == -NET_ENOIOCTLCMD ? -ENOTTY : rc;
}

static int inet_getattr(struct file *file, struct kstat *st)
{
	(void)file;
	st->mode = S_IFSOCK | 0777;
	return 0;
}

/* ---- sending and receiving ---- */

/*
 * The rest of a uio as iovecs from their start: net/ knows no partly used ones.  At most IOV_MOST
 * of them when the first is partly used; *ret_more then says that there are others.
 */
static unsigned uio_rest(const struct uio *uio, struct iovec iov[IOV_MOST],
			 const struct iovec **ret_iov, bool *ret_more)
{
	unsigned nr = uio->nr_iov < IOV_MOST ? uio->nr_iov : IOV_MOST;

	*ret_more = false;
	if (uio->skip == 0) {
		*ret_iov = uio->iov;
		return uio->nr_iov;
	}
	memcpy(iov, uio->iov, nr * sizeof(*iov));
	iov[0].iov_base = (char *)iov[0].iov_base + uio->skip;
	iov[0].iov_len -= uio->skip;
	*ret_iov = iov;
	*ret_more = nr < uio->nr_iov;
	return nr;
}

static ssize_t inet_send_once(struct inet_sock *is, const struct uio *uio, struct net_msg *msg,
			      int flags)
{
	struct iovec iov[IOV_MOST];
	bool more;
	ssize_t n;

	msg->iov_count = uio_rest(uio, iov, &msg->iov, &more);
	instance()->net_glue->kernel = uio->kernel;
	n = net_sendmsg(is->sock, msg, more ? flags | MSG_MORE : flags);
	instance()->net_glue->kernel = false;
	return n;
}

static ssize_t inet_send(struct file *file, struct uio *uio, struct net_msg *msg, int flags)
{
	struct inet_sock *is = inet_of(file);
	uint64_t deadline_ns = deadline_after(is->sndtimeo_ns);
	bool wait = !nonblocking(file, flags);
	ssize_t done = 0;
	ssize_t n;

	file_ref(file);
	for (;;) {
		n = inet_send_once(is, uio, msg, flags);
		if (n > 0) {
			done += n;
			uio_advance(uio, (size_t)n);
		}
		if (n >= 0 && (is->type != SOCK_STREAM || uio->left == 0))
			break;
		if (n > 0)
			continue;
		if (n != -EAGAIN || !wait)
			break;
		n = inet_wait(is, POLLOUT, deadline_ns);
		if (n != 0)
			break;
	}
	glue_done();
	file_unref(file);
	if (done > 0)
		return done;
	if (n == -EPIPE && is->type == SOCK_STREAM && !(flags & MSG_NOSIGNAL))
		signal_send_task(current(), SIGPIPE, NULL);
	return n;
}

static ssize_t inet_recv(struct file *file, struct uio *uio, struct net_msg *msg, int flags)
{
	struct inet_sock *is = inet_of(file);
	uint64_t deadline_ns = deadline_after(is->rcvtimeo_ns);
	bool wait = !nonblocking(file, flags) && !(flags & (MSG_ERRQUEUE | MSG_OOB));
	bool all = is->type == SOCK_STREAM && (flags & MSG_WAITALL) && !(flags & MSG_PEEK);
	size_t control_room = msg->control_bytes;
	ssize_t done = 0;
	ssize_t n;

	file_ref(file);
	for (;;) {
		struct iovec iov[IOV_MOST];
		bool more;

		msg->iov_count = uio_rest(uio, iov, &msg->iov, &more);
		msg->control_bytes = control_room;
		instance()->net_glue->kernel = uio->kernel;
		n = net_recvmsg(is->sock, msg, flags);
		instance()->net_glue->kernel = false;
		if (n > 0) {
			done += n;
			uio_advance(uio, (size_t)n < uio->left ? (size_t)n : uio->left);
		}
		if (n >= 0 && (!all || n == 0 || uio->left == 0))
			break;
		if (n > 0)
			continue;
		if (n != -EAGAIN || !wait)
			break;
		n = inet_wait(is, POLLIN | POLLRDHUP, deadline_ns);
		if (n != 0)
			break;
	}
	glue_done();
	file_unref(file);
	return done > 0 ? done : n;
}

static ssize_t inet_read(struct file *file, struct uio *uio, uint64_t *pos)
{
	struct net_msg msg = {.addr = NULL};

	(void)pos;
	/* read(2) of nothing is nothing, also of an empty queue */
	if (uio->left == 0 && inet_of(file)->type == SOCK_STREAM)
		return 0;
	return inet_recv(file, uio, &msg, 0);
}

static ssize_t inet_write(struct file *file, struct uio *uio, uint64_t *pos)
{
	struct net_msg msg = {.addr = NULL};

	(void)pos;
	return inet_send(file, uio, &msg, 0);
}

static ssize_t inet_sendmsg(struct file *file, struct sockmsg *msg)
{
	struct net_msg out = {
		.addr = msg->addr_len != 0 ? &msg->addr : NULL,
		.addr_bytes = msg->addr_len,
		.control = msg->control,
		.control_bytes = msg->control_len,
	};

	return inet_send(file, &msg->uio, &out, msg->flags);
}

static ssize_t inet_recvmsg(struct file *file, struct sockmsg *msg)
{
	struct net_msg in = {
		.addr = &msg->addr,
		.control = msg->control,
		.control_bytes = msg->control != NULL ? msg->control_len : 0,
	};
	ssize_t n = inet_recv(file, &msg->uio, &in, msg->flags);

	if (n < 0)
		return n;
	msg->addr_len = in.addr_bytes;
	msg->control_used = in.control_bytes;
	msg->ret_flags |= in.flags;
	return n;
}

/* ---- names, connections ---- */

static int inet_bind(struct file *file, const struct sockaddr *addr, unsigned len)
{
	return net_bind(inet_of(file)->sock, addr, len);
}

static int inet_connect(struct file *file, const struct sockaddr *addr, unsigned len)
{
	struct inet_sock *is = inet_of(file);
	uint64_t deadline_ns = deadline_after(is->sndtimeo_ns);
	int rc;

	file_ref(file);
	for (;;) {
		int waited = 0;

		rc = net_connect(is->sock, addr, len);
		if ((rc != -EINPROGRESS && rc != -EALREADY) || nonblocking(file, 0))
			break;
		/* over loopback it is done by now: ask again before waiting for what has been */
		if (rc == -EALREADY)
			waited = inet_wait(is, POLLOUT, deadline_ns);
		if (waited != 0) {
			rc = waited == -EAGAIN ? -EINPROGRESS : waited;
			break;
		}
	}
	glue_done();
	file_unref(file);
	return rc;
}

static int inet_listen(struct file *file, int backlog)
{
	return net_listen(inet_of(file)->sock, backlog);
}

static int inet_accept_sock(struct file *file, struct net_sock **ret_sock)
{
	struct inet_sock *is = inet_of(file);
	uint64_t deadline_ns = deadline_after(is->rcvtimeo_ns);
	int rc;

	file_ref(file);
	for (;;) {
		rc = net_accept(is->sock, ret_sock);
		if (rc != -EAGAIN || nonblocking(file, 0))
			break;
		rc = inet_wait(is, POLLIN, deadline_ns);
		if (rc != 0)
			break;
	}
	file_unref(file);
	return rc;
}

static int inet_accept(struct file *file, unsigned file_flags, struct file **ret_file,
		       struct sockaddr_storage *ret_addr, unsigned *ret_len)
{
	struct inet_sock like = {.family = inet_of(file)->family,
				 .type = SOCK_STREAM,
				 .protocol = IPPROTO_TCP};
	struct net_sock *sock;
	int rc = inet_accept_sock(file, &sock);

	if (rc != 0)
		return rc;
	/* a peer that has reset the connection meanwhile has no name any more */
	if (net_getpeername(sock, ret_addr, ret_len) != 0)
		*ret_len = 0;
	rc = inet_file_create(sock, &like, file_flags, ret_file);
	if (rc != 0) {
		net_close(sock);
		glue_done();
	}
	return rc;
}

static int inet_getname(struct file *file, bool peer, struct sockaddr_storage *ret_addr,
			unsigned *ret_len)
{
	if (peer)
		return net_getpeername(inet_of(file)->sock, ret_addr, ret_len);
	return net_getsockname(inet_of(file)->sock, ret_addr, ret_len);
}

static int inet_shutdown(struct file *file, int how)
{
	int rc = net_shutdown(inet_of(file)->sock, how);

	glue_done();
	return rc;
}

/* ---- options ---- */

/* The timeout that an option sets, or NULL: SO_RCVTIMEO and SO_SNDTIMEO in both forms. */
static uint64_t *timeout_of(struct inet_sock *is, int level, int name)
{
	if (level != SOL_SOCKET)
		return NULL;
	if (name == SO_RCVTIMEO || name == SO_RCVTIMEO_NEW)
		return &is->rcvtimeo_ns;
	if (name == SO_SNDTIMEO || name == SO_SNDTIMEO_NEW)
		return &is->sndtimeo_ns;
	return NULL;
}

static int timeout_set(uint64_t *timeout_ns, const void *value, unsigned len)
{
	struct timeval tv;

	if (len < sizeof(tv))
		return -EINVAL;
	memcpy(&tv, value, sizeof(tv));
	if (tv.tv_usec < 0 || tv.tv_usec >= 1000000)
		return -EDOM;
	/* Linux: negative seconds are a timeout that is over at once */
	if (tv.tv_sec < 0)
		*timeout_ns = 1;
	else if (tv.tv_sec > 100000000)
		*timeout_ns = 0;
	else
		*timeout_ns = (uint64_t)tv.tv_sec * 1000000000u + (uint64_t)tv.tv_usec * 1000u;
	return 0;
}

static int inet_setsockopt(struct file *file, int level, int name, const void *value, unsigned len)
{
	struct inet_sock *is = inet_of(file);
	uint64_t *timeout_ns = timeout_of(is, level, name);
	int rc;

	if (timeout_ns != NULL)
		return timeout_set(timeout_ns, value, len);
	rc = net_setsockopt(is->sock, level, name, value, len);
	glue_done();
	return rc;
}

static int inet_getsockopt(struct file *file, int level, int name, void *value, unsigned *len)
{
	struct inet_sock *is = inet_of(file);
	const uint64_t *timeout_ns = timeout_of(is, level, name);

	if (timeout_ns != NULL) {
		struct timeval tv = {.tv_sec = (time_t)(*timeout_ns / 1000000000u),
				     .tv_usec = (suseconds_t)(*timeout_ns % 1000000000u / 1000u)};

		if (*len > sizeof(tv))
			*len = sizeof(tv);
		memcpy(value, &tv, *len);
		return 0;
	}
	return net_getsockopt(is->sock, level, name, value, len);
}

static const struct file_ops inet_file_ops = {
	.name = "socket",
	.read = inet_read,
	.write = inet_write,
	.poll = inet_poll,
	.ioctl = inet_ioctl,
	.getattr = inet_getattr,
	.release = inet_release,
};

const struct sock_ops inet_sock_ops = {
	.file_ops = &inet_file_ops,
	.family = AF_INET,
	.bind = inet_bind,
	.connect = inet_connect,
	.listen = inet_listen,
	.accept = inet_accept,
	.getname = inet_getname,
	.sendmsg = inet_sendmsg,
	.recvmsg = inet_recvmsg,
	.shutdown = inet_shutdown,
	.setsockopt = inet_setsockopt,
	.getsockopt = inet_getsockopt,
};
