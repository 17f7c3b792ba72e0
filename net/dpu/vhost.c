/*
 * vhost.c - ports whose driver is another process: the backend of the vhost-user protocol.
 *
 * The frontend says over a socket where its memory and rings are; nothing that it says is believed:
 * lengths, indices, descriptors' kinds, addresses and the order of messages are checked, and
 * whatever is wrong ends the connection. A message that changes something stops the port's queues,
 * waits until no round uses them, and starts again what is complete. Between two polls nothing is
 * in flight, so a queue goes on where it stopped.
 *
 * Everything here runs on a control thread. The socket is never waited for.
 */
#include "net/dpu/private.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

/* Not filled in: nobody has said so yet. */
#define PARTS_NUM 1U
#define PARTS_ADDRESS 2U
#define PARTS_KICK 4U
#define PARTS_ALL 7U

#define PAYLOAD_MAX 320U /* the longest message: a memory table */
#define HEADER_BYTES 12U
#define VERSION_MASK 3U
#define VERSION 1U
#define FLAG_REPLY 4U
#define FLAG_NEED_REPLY 8U
#define NO_FD 0x100U
#define F_PROTOCOL_FEATURES (1ULL << 30)
#define PROTOCOL_MQ (1ULL << 0)
#define PROTOCOL_REPLY_ACK (1ULL << 3)
#define PROTOCOL_STATUS (1ULL << 16)
#define PROTOCOL_FEATURES (PROTOCOL_MQ | PROTOCOL_REPLY_ACK | PROTOCOL_STATUS)
#define FEATURES (DPU_FEATURES | ABI_F_EVENT_IDX | F_PROTOCOL_FEATURES)

enum request {
	GET_FEATURES = 1,
	SET_FEATURES = 2,
	SET_OWNER = 3,
	RESET_OWNER = 4,
	SET_MEM_TABLE = 5,
	SET_VRING_NUM = 8,
	SET_VRING_ADDR = 9,
	SET_VRING_BASE = 10,
	GET_VRING_BASE = 11,
	SET_VRING_KICK = 12,
	SET_VRING_CALL = 13,
	SET_VRING_ERR = 14,
	GET_PROTOCOL_FEATURES = 15,
	SET_PROTOCOL_FEATURES = 16,
	GET_QUEUE_NUM = 17,
	SET_VRING_ENABLE = 18,
	SET_STATUS = 39,
	GET_STATUS = 40,
};

struct vring_state {
	uint32_t index, num;
};

struct vring_address {
	uint32_t index, flags;
	uint64_t desc, used, avail, log; /* in the frontend's own address space */
};

struct memory_region {
	uint64_t guest, bytes, user, offset;
};

struct memory_table {
	uint32_t nr, padding;
	struct memory_region region[DPU_REGIONS_MAX];
};

struct message {
	uint32_t request, flags, bytes;
	union {
		uint64_t u64;
		struct vring_state state;
		struct vring_address address;
		struct memory_table table;
		uint8_t raw[PAYLOAD_MAX];
	};
};

_Static_assert(offsetof(struct message, raw) == 16, "the payload is aligned in memory only");

/* What the frontend has said of one of its rings. */
struct vhost_ring {
	unsigned parts;
	bool enabled;
	struct vring_address address;
	struct dpu_ring ring; /* size and places */
	int kick_fd, call_fd;
};

struct mapping {
	void *base;
	size_t bytes;
	uint64_t user; /* where the region is in the frontend's address space */
};

struct dpu_vhost {
	struct dpu_port *port;
	int fd; /* -1: nobody is connected */
	uint64_t features, protocol_features;
	uint8_t status;
	struct vhost_ring *vring; /* 2 * nr_queue_pairs: even ones receive */
	unsigned nr_vrings;
	unsigned nr_mappings;
	struct mapping mapping[DPU_REGIONS_MAX];
	/* the message that is being received */
	uint8_t in[HEADER_BYTES + PAYLOAD_MAX];
	size_t in_bytes;
	int fds[DPU_REGIONS_MAX];
	unsigned nr_fds;
};

static void fd_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void fds_close(struct dpu_vhost *vhost)
{
	for (unsigned i = 0; i < vhost->nr_fds; i++)
		fd_close(&vhost->fds[i]);
	vhost->nr_fds = 0;
}

/* ---- the port's queues ---- */

static struct dpu_vq *vq_of(struct dpu_vhost *vhost, unsigned index)
{
	return index % 2 ? &vhost->port->txq[index / 2] : &vhost->port->rxq[index / 2];
}

/* When it returns no round touches the queues or the memory; places are as they were left. */
static void queues_stop(struct dpu_vhost *vhost)
{
	struct dpu_port *port = vhost->port;

	if (atomic_exchange_explicit(&port->started, 0, memory_order_acq_rel) == 0)
		return;
	dpu_rounds_wait(port->dpu);
	for (unsigned i = 0; i < vhost->nr_vrings; i++) {
		struct dpu_vq *vq = vq_of(vhost, i);

		if (vhost->vring[i].parts == PARTS_ALL && vq->size) {
			vhost->vring[i].ring.next = vq->next;
			vhost->vring[i].ring.used = vq->used_at;
		}
		if (i % 2 && port->dpu->config.ops.kick_fd)
			port->dpu->config.ops.kick_fd(port->config.owner, i / 2, -1);
		vq->size = 0;
		atomic_store_explicit(&vq->call_fd, -1, memory_order_relaxed);
	}
}

/* The frontend's own address as one of its memory's; false: it is not in it. */
static bool user_to_guest(const struct dpu_vhost *vhost, uint64_t user, uint64_t *ret_guest)
{
	for (unsigned i = 0; i < vhost->nr_mappings; i++) {
		const struct dpu_region *region = &vhost->port->memory.region[i];
		uint64_t offset = user - vhost->mapping[i].user;

		if (offset < region->bytes) {
			*ret_guest = region->start + offset;
			return true;
		}
	}
	return false;
}

/* 0 or enum dpu_reason. */
static int vring_bind(struct dpu_vhost *vhost, unsigned index)
{
	struct vhost_ring *vring = &vhost->vring[index];
	struct dpu_ring *ring = &vring->ring;
	struct dpu_vq *vq = vq_of(vhost, index);
	int reason;

	if (!user_to_guest(vhost, vring->address.desc, &ring->desc) ||
	    !user_to_guest(vhost, vring->address.avail, &ring->driver) ||
	    !user_to_guest(vhost, vring->address.used, &ring->device))
		return DPU_REASON_LAYOUT;
	reason = dpu_vq_bind(vq, ring, vhost->port);
	if (reason)
		return reason;
	atomic_store_explicit(&vq->call_fd, vring->call_fd, memory_order_relaxed);
	return 0;
}

static bool vring_ready(const struct dpu_vhost *vhost, unsigned index)
{
	const struct vhost_ring *vring = &vhost->vring[index];

	return vring->parts == PARTS_ALL && vring->enabled;
}

/* Starts what is complete: pairs of rings, and at least the first one. */
static void queues_start(struct dpu_vhost *vhost)
{
	struct dpu_port *port = vhost->port;

	port->features = vhost->features & ~F_PROTOCOL_FEATURES;
	if (vhost->nr_mappings == 0 || !(port->features & ABI_F_VERSION_1) ||
	    !vring_ready(vhost, 0) || !vring_ready(vhost, 1))
		return;
	for (unsigned i = 0; i < vhost->nr_vrings; i++) {
		int reason = DPU_REASON_DISABLED;

		if (vring_ready(vhost, i & ~1U) && vring_ready(vhost, i | 1U))
			reason = vring_bind(vhost, i);
		atomic_store_explicit(&vq_of(vhost, i)->reason, reason, memory_order_relaxed);
		if (reason == 0 && i % 2 && port->dpu->config.ops.kick_fd)
			port->dpu->config.ops.kick_fd(port->config.owner, i / 2,
						      vhost->vring[i].kick_fd);
	}
	atomic_store_explicit(&port->fault, false, memory_order_relaxed);
	/* release: pairs with dpu_port_ready's acquire, for the bound rings */
	atomic_store_explicit(&port->started, 1, memory_order_release);
}

/* ---- memory ---- */

static void memory_unmap(struct dpu_vhost *vhost)
{
	for (unsigned i = 0; i < vhost->nr_mappings; i++)
		munmap(vhost->mapping[i].base, vhost->mapping[i].bytes);
	vhost->nr_mappings = 0;
	vhost->port->memory.nr_regions = 0;
}

/* A file whose pages are there or cause a SIGBUS; a file system of somebody's own could wait. */
static bool is_memory(int fd)
{
	struct statfs fs;

	return fstatfs(fd, &fs) == 0 && (fs.f_type == TMPFS_MAGIC || fs.f_type == HUGETLBFS_MAGIC ||
					 fs.f_type == RAMFS_MAGIC);
}

static int region_map(struct dpu_vhost *vhost, const struct memory_region *region, int fd)
{
	unsigned i = vhost->nr_mappings;
	struct stat st;
	uint64_t end;
	void *base;

	/* memory, and all of it: what is cut off later is a SIGBUS (sigbus.c) */
	if (region->bytes == 0 || __builtin_add_overflow(region->offset, region->bytes, &end) ||
	    end > (1ULL << 46) || region->guest + region->bytes < region->guest ||
	    region->user + region->bytes < region->user)
		return -EINVAL;
	if (fstat(fd, &st) || !is_memory(fd) || (uint64_t)st.st_size < end)
		return -EBADF;
	base = mmap(NULL, end, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
	if (base == MAP_FAILED)
		return -errno;
	vhost->mapping[i] = (struct mapping){base, end, region->user};
	vhost->port->memory.region[i] =
		(struct dpu_region){region->guest, region->bytes, (uint8_t *)base + region->offset};
	vhost->nr_mappings = vhost->port->memory.nr_regions = i + 1;
	return 0;
}

static int memory_set(struct dpu_vhost *vhost, const struct message *msg)
{
	const struct memory_table *table = &msg->table;
	uint32_t nr = msg->bytes >= 8 ? table->nr : 0;

	if (nr == 0 || nr > DPU_REGIONS_MAX || nr != vhost->nr_fds ||
	    msg->bytes < 8 + nr * sizeof(struct memory_region))
		return -EBADMSG;
	memory_unmap(vhost);
	for (uint32_t i = 0; i < nr; i++) {
		int r = region_map(vhost, &table->region[i], vhost->fds[i]);

		if (r) {
			memory_unmap(vhost);
			return r;
		}
	}
	return 0;
}

/* ---- messages ---- */

/* Rings, polled and written to by threads that must not block: eventfds, and nothing else. */
static bool is_eventfd(int fd)
{
	char path[32], target[32];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, target, sizeof(target) - 1);
	return n > 0 && (size_t)n < sizeof(target) - 1 &&
	       !strncmp(target, "anon_inode:[eventfd]", (size_t)n);
}

/* Takes the eventfd that came with the message, or says that there is none. */
static int fd_take(struct dpu_vhost *vhost, const struct message *msg, int *inout_fd)
{
	fd_close(inout_fd);
	if (msg->u64 & NO_FD)
		return vhost->nr_fds ? -EBADMSG : 0;
	if (vhost->nr_fds != 1 || !is_eventfd(vhost->fds[0]))
		return -EBADF;
	*inout_fd = vhost->fds[0];
	vhost->nr_fds = 0;
	return 0;
}

static struct vhost_ring *vring_of(struct dpu_vhost *vhost, const struct message *msg, size_t bytes)
{
	/* all of these messages begin with it, some with flags behind its lowest byte */
	uint32_t index = msg->request == SET_VRING_KICK || msg->request == SET_VRING_CALL ||
					 msg->request == SET_VRING_ERR ?
				 (uint32_t)(msg->u64 & 0xff) :
				 msg->state.index;

	return msg->bytes >= bytes && index < vhost->nr_vrings ? &vhost->vring[index] : NULL;
}

static int vring_fd_set(struct dpu_vhost *vhost, const struct message *msg)
{
	struct vhost_ring *vring = vring_of(vhost, msg, sizeof(msg->u64));
	int none = -1, r;

	if (!vring)
		return -EBADMSG;
	switch (msg->request) {
	case SET_VRING_KICK:
		r = fd_take(vhost, msg, &vring->kick_fd);
		vring->parts |= PARTS_KICK;
		/* who does not speak of enabling has it enabled (vhost-user, "Ring states") */
		if (!(vhost->features & F_PROTOCOL_FEATURES))
			vring->enabled = true;
		return r;
	case SET_VRING_CALL:
		r = fd_take(vhost, msg, &vring->call_fd);
		return r || vring->call_fd < 0 ? r : dpu_call_prepare();
	default: /* errors are told by ending the connection */
		r = fd_take(vhost, msg, &none);
		fd_close(&none);
		return r;
	}
}

static int vring_set(struct dpu_vhost *vhost, const struct message *msg)
{
	size_t bytes = msg->request == SET_VRING_ADDR ? sizeof(msg->address) : sizeof(msg->state);
	struct vhost_ring *vring = vring_of(vhost, msg, bytes);

	if (!vring)
		return -EBADMSG;
	switch (msg->request) {
	case SET_VRING_NUM:
		vring->ring.size = msg->state.num;
		vring->parts |= PARTS_NUM;
		return 0;
	case SET_VRING_ADDR:
		vring->address = msg->address;
		vring->parts |= PARTS_ADDRESS;
		return 0;
	case SET_VRING_BASE:
		vring->ring.next = vring->ring.used = (uint16_t)msg->state.num;
		return 0;
	default: /* SET_VRING_ENABLE */
		if (msg->state.num > 1)
			return -EBADMSG;
		vring->enabled = msg->state.num;
		return 0;
	}
}

static int reply(struct dpu_vhost *vhost, struct message *msg, uint32_t bytes)
{
	uint8_t out[HEADER_BYTES + sizeof(uint64_t)];

	msg->flags = VERSION | FLAG_REPLY;
	msg->bytes = bytes;
	memcpy(out, msg, HEADER_BYTES);
	memcpy(out + HEADER_BYTES, &msg->u64, bytes);
	/* a frontend that does not read what it asked for is none */
	return send(vhost->fd, out, HEADER_BYTES + bytes, MSG_DONTWAIT | MSG_NOSIGNAL) ==
			       (ssize_t)(HEADER_BYTES + bytes) ?
		       0 :
		       -EPIPE;
}

/* Where a ring stands: that stops it until it is kicked again. */
static int base_get(struct dpu_vhost *vhost, struct message *msg)
{
	struct vhost_ring *vring = vring_of(vhost, msg, sizeof(msg->state));

	if (!vring)
		return -EBADMSG;
	msg->state.num = vring->ring.next;
	if (vhost->features & ABI_F_RING_PACKED)
		msg->state.num |= (uint32_t)vring->ring.used << 16;
	vring->parts &= ~PARTS_KICK;
	fd_close(&vring->kick_fd);
	fd_close(&vring->call_fd);
	return reply(vhost, msg, sizeof(msg->state));
}

static int u64_set(struct dpu_vhost *vhost, const struct message *msg)
{
	if (msg->bytes != sizeof(msg->u64))
		return -EBADMSG;
	switch (msg->request) {
	case SET_FEATURES:
		if (msg->u64 & ~FEATURES)
			return -EINVAL;
		vhost->features = msg->u64;
		return 0;
	case SET_PROTOCOL_FEATURES:
		if (msg->u64 & ~PROTOCOL_FEATURES)
			return -EINVAL;
		vhost->protocol_features = msg->u64;
		return 0;
	default:
		vhost->status = (uint8_t)msg->u64;
		return 0;
	}
}

static int question(struct dpu_vhost *vhost, struct message *msg)
{
	switch (msg->request) {
	case GET_FEATURES:
		msg->u64 = FEATURES;
		break;
	case GET_PROTOCOL_FEATURES:
		msg->u64 = PROTOCOL_FEATURES;
		break;
	case GET_QUEUE_NUM:
		msg->u64 = vhost->nr_vrings / 2;
		break;
	default:
		msg->u64 = vhost->status;
		break;
	}
	return reply(vhost, msg, sizeof(msg->u64));
}

/* Messages that change the queues; they are stopped meanwhile. */
static int change(struct dpu_vhost *vhost, struct message *msg)
{
	int r;

	queues_stop(vhost);
	switch (msg->request) {
	case SET_FEATURES:
		r = u64_set(vhost, msg);
		break;
	case SET_MEM_TABLE:
		r = memory_set(vhost, msg);
		break;
	case SET_VRING_KICK:
	case SET_VRING_CALL:
	case SET_VRING_ERR:
		r = vring_fd_set(vhost, msg);
		break;
	case RESET_OWNER:
		for (unsigned i = 0; i < vhost->nr_vrings; i++)
			vhost->vring[i].enabled = false;
		r = 0;
		break;
	default:
		r = vring_set(vhost, msg);
		break;
	}
	if (r == 0)
		queues_start(vhost);
	return r;
}

static int handle(struct dpu_vhost *vhost, struct message *msg)
{
	bool wants_reply =
		(msg->flags & FLAG_NEED_REPLY) && (vhost->protocol_features & PROTOCOL_REPLY_ACK);
	int r;

	if ((msg->flags & VERSION_MASK) != VERSION || (msg->flags & FLAG_REPLY))
		return -EBADMSG;
	switch (msg->request) {
	case GET_FEATURES:
	case GET_PROTOCOL_FEATURES:
	case GET_QUEUE_NUM:
	case GET_STATUS:
		return question(vhost, msg);
	case GET_VRING_BASE:
		queues_stop(vhost);
		r = base_get(vhost, msg);
		if (r == 0)
			queues_start(vhost);
		return r;
	case SET_OWNER:
		r = 0;
		break;
	case SET_PROTOCOL_FEATURES:
	case SET_STATUS:
		r = u64_set(vhost, msg);
		break;
	case SET_FEATURES:
	case RESET_OWNER:
	case SET_MEM_TABLE:
	case SET_VRING_NUM:
	case SET_VRING_ADDR:
	case SET_VRING_BASE:
	case SET_VRING_KICK:
	case SET_VRING_CALL:
	case SET_VRING_ERR:
	case SET_VRING_ENABLE:
		r = change(vhost, msg);
		break;
	default:
		return -ENOTSUP;
	}
	if (!wants_reply || r == -EPIPE)
		return r;
	msg->u64 = r != 0;
	return reply(vhost, msg, sizeof(msg->u64)) ?: r;
}

/* ---- the socket ---- */

static void fds_keep(struct dpu_vhost *vhost, struct msghdr *hdr)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(hdr); c; c = CMSG_NXTHDR(hdr, c)) {
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
			if (vhost->nr_fds < DPU_REGIONS_MAX)
				vhost->fds[vhost->nr_fds++] = fd;
			else
				close(fd);
		}
	}
}

/* Reads towards `want` bytes of the message. 1 when they are there, 0 not yet, or negative. */
static int fill(struct dpu_vhost *vhost, size_t want)
{
	union {
		struct cmsghdr align;
		uint8_t room[CMSG_SPACE(DPU_REGIONS_MAX * sizeof(int))];
	} control;
	struct iovec iov = {vhost->in + vhost->in_bytes, want - vhost->in_bytes};
	struct msghdr hdr = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = &control,
			     .msg_controllen = sizeof(control)};
	ssize_t n;

	if (vhost->in_bytes >= want)
		return 1;
	n = recvmsg(vhost->fd, &hdr, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (n == 0)
		return -EPIPE;
	fds_keep(vhost, &hdr);
	if (hdr.msg_flags & MSG_CTRUNC)
		return -EBADMSG;
	vhost->in_bytes += (size_t)n;
	return vhost->in_bytes >= want;
}

int dpu_vhost_serve(struct dpu_vhost *vhost)
{
	struct message msg = {0};
	uint32_t bytes;
	int r = fill(vhost, HEADER_BYTES);

	if (r <= 0)
		return r;
	memcpy(&bytes, vhost->in + 8, sizeof(bytes));
	if (bytes > PAYLOAD_MAX)
		return -EBADMSG;
	r = fill(vhost, HEADER_BYTES + bytes);
	if (r <= 0)
		return r;
	memcpy(&msg, vhost->in, HEADER_BYTES);
	memcpy(msg.raw, vhost->in + HEADER_BYTES, bytes);
	vhost->in_bytes = 0;
	r = handle(vhost, &msg);
	fds_close(vhost);
	return r;
}

/* ---- life ---- */

int dpu_vhost_create(struct dpu *dpu, const struct dpu_port_config *config,
		     struct dpu_vhost **ret_vhost)
{
	struct dpu_vhost *vhost = calloc(1, sizeof(*vhost));
	int r;

	if (!vhost)
		return -ENOMEM;
	vhost->fd = -1;
	vhost->nr_vrings = 2 * config->nr_queue_pairs;
	vhost->vring = calloc(vhost->nr_vrings, sizeof(*vhost->vring));
	if (!vhost->vring) {
		free(vhost);
		return -ENOMEM;
	}
	for (unsigned i = 0; i < vhost->nr_vrings; i++)
		vhost->vring[i].kick_fd = vhost->vring[i].call_fd = -1;
	r = config->window ? -EINVAL : dpu_port_attach(dpu, config, &vhost->port);
	if (r) {
		free(vhost->vring);
		free(vhost);
		return r;
	}
	*ret_vhost = vhost;
	return 0;
}

int dpu_vhost_connect(struct dpu_vhost *vhost, int fd)
{
	if (vhost->fd >= 0)
		return -EBUSY;
	vhost->fd = fd;
	return 0;
}

void dpu_vhost_disconnect(struct dpu_vhost *vhost)
{
	queues_stop(vhost);
	fds_close(vhost);
	fd_close(&vhost->fd);
	memory_unmap(vhost);
	vhost->in_bytes = 0;
	vhost->features = vhost->protocol_features = 0;
	vhost->status = 0;
	for (unsigned i = 0; i < vhost->nr_vrings; i++) {
		fd_close(&vhost->vring[i].kick_fd);
		fd_close(&vhost->vring[i].call_fd);
		vhost->vring[i] = (struct vhost_ring){.kick_fd = -1, .call_fd = -1};
	}
}

void dpu_vhost_destroy(struct dpu_vhost *vhost)
{
	if (!vhost)
		return;
	dpu_vhost_disconnect(vhost);
	dpu_port_detach(vhost->port);
	free(vhost->vring);
	free(vhost);
}

struct dpu_port *dpu_vhost_port(const struct dpu_vhost *vhost)
{
	return vhost->port;
}
