/*
 * private.h - the structures that the files of net/dpu/ share.
 *
 * Who guards what: a queue's ring state belongs to whoever holds its lock (taken by trylock only);
 * the table of ports and a port's filter are replaced as a whole by a control thread that holds
 * dpu.control, and freed after dpu_synchronize(). Counters are relaxed atomics.
 */
#pragma once

#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/uio.h>

#include "leat/abi/netdev.h"
#include "leat/base/bits.h"
#include "leat/abi/capture.h"
#include "net/dpu/dpu.h"

#define DPU_CHAIN_MAX 128U           /* descriptors that one frame may have */
#define DPU_HEAD_BYTES 256U          /* private copy of a frame's begin */
#define DPU_HEADROOM 64U             /* in front of it, for filters that add headers */
#define DPU_FRAME_MAX (65535U + 18U) /* a whole IP packet behind a tagged Ethernet header */
#define DPU_TOUCHED_MAX 64U          /* receive queues given frames within one poll */
#define DPU_GROUP_MAX 64U            /* receivers of one broadcast frame */
#define DPU_HOLD_NS 200000U          /* how long a frame waits for a receiver without buffers */
#define DPU_ETH_BYTES 14U
#define DPU_MIN_BYTES 60U
#define DPU_QUEUE_SIZE_MAX 32768U /* virtio's own limit */
#define DPU_AHEAD_DESC 8U         /* so many chains ahead descriptors are read into the cache */
#define DPU_AHEAD_DATA 4U         /* and their buffers */

#define DPU_HDR_BYTES sizeof(struct virtio_net_hdr_mrg_rxbuf)

#define DPU_FEATURES                                                                               \
	(ABI_NET_F_CSUM | ABI_NET_F_GUEST_CSUM | ABI_NET_F_MTU | ABI_NET_F_MAC |                   \
	 ABI_NET_F_GUEST_TSO4 | ABI_NET_F_GUEST_TSO6 | ABI_NET_F_HOST_TSO4 | ABI_NET_F_HOST_TSO6 | \
	 ABI_NET_F_MRG_RXBUF | ABI_NET_F_MQ | ABI_F_INDIRECT_DESC | ABI_F_VERSION_1 |              \
	 ABI_F_RING_PACKED)

typedef _Atomic(uint64_t) dpu_counter;

/* One writer at a time (the lock's holder), or rare: a relaxed add is enough. */
static inline void dpu_count(dpu_counter *counter, uint64_t n)
{
	atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

/* For counters that only a lock's holder moves: no locked instruction. */
static inline void dpu_count_owned(dpu_counter *counter, uint64_t n)
{
	uint64_t v = atomic_load_explicit(counter, memory_order_relaxed);

	atomic_store_explicit(counter, v + n, memory_order_relaxed);
}

static inline bool dpu_trylock(atomic_uint *lock)
{
	/* acquire: pairs with dpu_unlock's release */
	return atomic_load_explicit(lock, memory_order_relaxed) == 0 &&
	       atomic_exchange_explicit(lock, 1, memory_order_acquire) == 0;
}

static inline void dpu_unlock(atomic_uint *lock)
{
	atomic_store_explicit(lock, 0, memory_order_release);
}

/*
 * One poll lets a queue use so much of the DPU: bytes, and some for each frame, whatever its length
 * (a frame of 64 bytes takes 100 ns, one of 1500 bytes 130 ns: docs/dataplane.md).
 */
#define DPU_QUANTUM (256 * 1024)
#define DPU_FRAME_COST 2048

#define DPU_TICK_SHIFT 6 /* buckets count in 1/64 ns */

struct dpu_bucket {
	_Atomic(uint64_t) rate;        /* units a second; 0: no limit */
	_Atomic(uint64_t) burst;       /* units */
	_Atomic(uint64_t) burst_ticks; /* the time that they take to come */
	_Atomic(uint64_t) full_at;     /* ticks */
};

struct dpu_limit {
	struct dpu_bucket frames, bytes;
};

/*
 * A virtqueue, checked once; `lock` guards all but the atomics. Places are avail and used indices
 * of a split ring; of a packed one, see vq_packed.c.
 */
struct dpu_vq {
	atomic_uint lock;
	_Atomic(uint32_t) reason; /* enum dpu_reason */
	bool packed, indirect, event_idx;
	uint16_t size;
	uint16_t next;           /* what was taken so far */
	uint16_t used_at;        /* what was given back so far; published at the end of a poll */
	uint16_t nr_unpublished; /* chains */
	uint16_t avail_seen;     /* split: the last avail->idx that was read */
	uint16_t first_at, first_flags; /* packed: of the first unpublished one */
	_Atomic(int) call_fd;           /* to be rung when the driver wants it; -1: none */
	union {
		struct {
			volatile struct vring_desc *desc;
			volatile struct vring_avail *avail;
			volatile struct vring_used *used;
		};
		struct {
			volatile struct vring_packed_desc *packed_desc;
			volatile struct vring_packed_desc_event *driver_event;
			volatile struct vring_packed_desc_event *device_event;
		};
	};
	uint64_t held_since_ns; /* transmit: the first frame waits for its receiver since; 0: no */
	int32_t deficit;        /* transmit: what it may still use of the DPU in this poll */
	_Atomic(uint64_t) ready_ns; /* transmit: its port is at its limits until then; 0: no */
	dpu_counter waits;          /* how often */
	dpu_counter packets;
	dpu_counter bytes;
	dpu_counter filter_runs;
} __attribute__((aligned(64)));

struct dpu_seg {
	uint8_t *base;
	uint32_t bytes;
};

/* A frame in flight. Payload behind the head stays in the sender's window until it is copied. */
struct dpu_frame {
	struct virtio_net_hdr_mrg_rxbuf hdr; /* judged; what the receiver gets */
	uint8_t *head;                       /* private */
	uint32_t head_bytes;
	uint32_t len; /* head and payload */
	unsigned nr_segs;
	struct dpu_seg seg[DPU_CHAIN_MAX]; /* payload behind the head */
	uint8_t room[DPU_HEADROOM] __attribute__((aligned(16)));
	uint8_t copy[DPU_HEAD_BYTES]; /* directly behind the room */
};

_Static_assert(offsetof(struct dpu_frame, copy) - offsetof(struct dpu_frame, room) == DPU_HEADROOM,
	       "a head may begin in the room");

/* A chain of descriptors, as it is given back. */
struct dpu_chain {
	uint16_t id;
	uint16_t slots; /* of a packed ring */
};

/* Where the parts of chains are collected. */
struct dpu_segs {
	struct dpu_seg *seg;
	unsigned nr, max;
	bool device_writes; /* what the chain must be for */
};

/* Receive buffers found for a frame, not yet taken. */
struct dpu_room {
	unsigned nr_heads;
	unsigned nr_segs;
	uint16_t at; /* the place behind them */
	struct dpu_chain head[DPU_CHAIN_MAX];
	uint8_t segs_of[DPU_CHAIN_MAX];
	struct dpu_seg seg[DPU_CHAIN_MAX];
};

struct dpu_filter;  /* filter.c */
struct dpu_capture; /* capture.c */

/* Memory that the driver shares, as it numbers it: window offsets, or a guest's addresses. */
struct dpu_region {
	uint64_t start, bytes;
	uint8_t *base;
};

#define DPU_REGIONS_MAX 8U

struct dpu_memory {
	unsigned nr_regions;
	struct dpu_region region[DPU_REGIONS_MAX];
};

/* Where a queue's parts are, as the driver numbers its memory, and where it goes on. */
struct dpu_ring {
	uint64_t size;
	uint64_t desc, driver, device;
	uint16_t next, used; /* places */
};

struct dpu_port {
	struct dpu *dpu;
	struct dpu_port_config config;
	uint64_t mac_key;
	_Atomic(struct dpu_filter *) filter;
	atomic_uint start_lock;
	_Atomic(uint32_t) started; /* 0: no DRIVER_OK yet, 1: rings bound (release), 2: refused */
	_Atomic(bool) fault;       /* set by the SIGBUS handler */
	uint64_t features;         /* accepted; valid once started */
	struct dpu_memory memory;  /* valid once started */
	dpu_counter drops_tx[DPU_DROP_COUNT];
	dpu_counter drops_rx[DPU_DROP_COUNT];
	struct dpu_limit limit_tx, limit_rx;
	_Atomic(struct dpu_capture *) capture; /* NULL: nobody watches */
	struct dpu_vq *txq;                    /* nr_queue_pairs each */
	struct dpu_vq *rxq;
};

/* A frame's worth of what the DPU itself says. */
#define DPU_SERVICE_BYTES 512U

struct dpu_slot {
	uint64_t key;
	struct dpu_port *port; /* NULL: empty */
};

/* An immutable snapshot of who is there: all ports, and open-addressed by address and name. */
struct dpu_table {
	unsigned nr_ports;
	unsigned nr_slots; /* power of two, at least twice nr_ports */
	struct dpu_port **port;
	struct dpu_slot *by_mac;
	struct dpu_slot *by_ip;
	struct dpu_slot *by_id;
	struct dpu_slot *by_ip6;  /* a mix of the halves; the port has the address */
	struct dpu_slot *by_name; /* a hash of tenant and name; the port has them */
};

/* A receive queue whose lock is held until the poll ends: what it was given is shown at once. */
struct dpu_touch {
	struct dpu_port *port;
	unsigned queue;
};

struct dpu_core {
	_Atomic(uint64_t) seq; /* odd: in a round. Written by the core's thread only */
	uint64_t now_ns;
	unsigned nr_touched;
	struct dpu_touch touched[DPU_TOUCHED_MAX];
} __attribute__((aligned(64)));

struct dpu {
	struct dpu_config config;
	pthread_mutex_t control; /* attach, detach, filters; the first of all locks */
	_Atomic(struct dpu_table *) table;
	_Atomic(struct dpu_uplink *) uplink;
	struct dpu_core core[DPU_MAX_CORES];
};

/* What became of a frame. */
enum dpu_outcome {
	DPU_DONE, /* delivered or dropped: give the buffer back */
	DPU_BUSY, /* the receiver is busy: leave it where it is */
};

/* dpu.c */
void dpu_synchronize(struct dpu *dpu);
bool dpu_touched(const struct dpu_core *core, const struct dpu_port *port, unsigned queue);
void dpu_touch(struct dpu_core *core, struct dpu_port *port, unsigned queue);
void dpu_touched_flush(struct dpu *dpu, unsigned core);

/* table.c */
struct dpu_port *dpu_table_by_mac(const struct dpu_table *table, uint64_t mac_key);
struct dpu_port *dpu_table_by_id(const struct dpu_table *table, uint32_t id);
struct dpu_port *dpu_table_by_ip(const struct dpu_table *table, uint32_t ipv4_be);
/* Global addresses, and link-local ones, which hold the MAC (RFC 4291, appendix A). */
struct dpu_port *dpu_table_by_ip6(const struct dpu_table *table, const uint8_t ip6[16]);
/* Within the tenant; the name is in lower case. */
struct dpu_port *dpu_table_by_name(const struct dpu_table *table, uint32_t tenant,
				   const char *name);
int dpu_table_build(struct dpu_port *const *ports, unsigned nr_ports, struct dpu_table **ret_table);
uint64_t dpu_mac_key(const uint8_t mac[6]);

/* vq.c: the caller holds the queue's lock */
int dpu_vq_bind(struct dpu_vq *vq, const struct dpu_ring *ring, const struct dpu_port *port);
void dpu_vq_stop(struct dpu_port *port, struct dpu_vq *vq, enum dpu_reason reason);
/* The memory, or NULL if it does not lie in one region. */
void *dpu_memory_at(const struct dpu_memory *memory, uint64_t address, uint64_t bytes);
/* A descriptor's buffer: 0 or enum dpu_reason (CHAIN if there is no room for its parts). */
int dpu_segs_add(const struct dpu_port *port, uint64_t address, uint32_t bytes, uint16_t flags,
		 struct dpu_segs *segs);

/* vq_split.c, vq_packed.c: the functions below, for one kind of ring */
int dpu_split_bind(struct dpu_vq *vq, const struct dpu_ring *ring, const struct dpu_port *port);
int dpu_split_peek(struct dpu_port *port, struct dpu_vq *vq, uint16_t *inout_at,
		   struct dpu_segs *segs, struct dpu_chain *ret_chain);
void dpu_split_push(struct dpu_vq *vq, struct dpu_chain chain, uint32_t bytes);
void dpu_split_publish(struct dpu_vq *vq);
bool dpu_split_wants_call(const struct dpu_vq *vq);
void dpu_split_kicks_set(struct dpu_vq *vq, bool wanted);
void dpu_split_prefetch(const struct dpu_port *port, const struct dpu_vq *vq, uint16_t at);
int dpu_packed_bind(struct dpu_vq *vq, const struct dpu_ring *ring, const struct dpu_port *port);
int dpu_packed_peek(struct dpu_port *port, struct dpu_vq *vq, uint16_t *inout_at,
		    struct dpu_segs *segs, struct dpu_chain *ret_chain);
bool dpu_packed_pending(const struct dpu_vq *vq, uint16_t at);
void dpu_packed_push(struct dpu_vq *vq, struct dpu_chain chain, uint32_t bytes);
void dpu_packed_publish(struct dpu_vq *vq);
bool dpu_packed_wants_call(const struct dpu_vq *vq);
void dpu_packed_kicks_set(struct dpu_vq *vq, bool wanted);
void dpu_packed_prefetch(const struct dpu_port *port, const struct dpu_vq *vq, uint16_t at);

/*
 * Copies and checks the chain at a place, which moves behind it. 1; 0 if the driver has not
 * published it; -EIO after stopping the queue; -ENOSPC if it has more parts than segs->max (fewer
 * than DPU_CHAIN_MAX: the caller's limit).
 */
static inline int dpu_vq_peek(struct dpu_port *port, struct dpu_vq *vq, uint16_t *inout_at,
			      struct dpu_segs *segs, struct dpu_chain *ret_chain)
{
	return vq->packed ? dpu_packed_peek(port, vq, inout_at, segs, ret_chain) :
			    dpu_split_peek(port, vq, inout_at, segs, ret_chain);
}

/* Gives a chain back; seen by the driver after dpu_vq_publish(). */
static inline void dpu_vq_push(struct dpu_vq *vq, struct dpu_chain chain, uint32_t bytes)
{
	if (vq->packed)
		dpu_packed_push(vq, chain, bytes);
	else
		dpu_split_push(vq, chain, bytes);
	vq->nr_unpublished++;
}

/* call.c: rings an eventfd of somebody else's without ever waiting */
int dpu_call_prepare(void);
void dpu_call(int fd);

static inline void dpu_vq_publish(struct dpu_vq *vq)
{
	int call_fd = atomic_load_explicit(&vq->call_fd, memory_order_relaxed);

	if (vq->nr_unpublished == 0)
		return;
	if (vq->packed)
		dpu_packed_publish(vq);
	else
		dpu_split_publish(vq);
	if (unlikely(call_fd >= 0)) {
		/* pairs with the driver's, between asking to be called and its last look */
		atomic_thread_fence(memory_order_seq_cst);
		if (vq->packed ? dpu_packed_wants_call(vq) : dpu_split_wants_call(vq))
			dpu_call(call_fd);
	}
	vq->nr_unpublished = 0;
}

static inline void dpu_vq_prefetch(const struct dpu_port *port, const struct dpu_vq *vq,
				   uint16_t at)
{
	if (vq->packed)
		dpu_packed_prefetch(port, vq, at);
	else
		dpu_split_prefetch(port, vq, at);
}

/* queue.c */
int dpu_rxq_find(struct dpu_port *port, struct dpu_vq *rxq, uint32_t bytes,
		 struct dpu_room *ret_room);
void dpu_rxq_put(struct dpu_vq *rxq, const struct dpu_room *room, struct dpu_frame *frame);
bool dpu_port_ready(struct dpu_port *port);

/* limit.c: 0, or when the next frame may pass */
uint64_t dpu_limit_wait(struct dpu_limit *limit, uint64_t now_ns);
void dpu_limit_take(struct dpu_limit *limit, uint32_t bytes, uint64_t now_ns);

/* capture.c */
void dpu_capture_put(struct dpu_capture *capture, const struct dpu_frame *frame,
		     uint32_t direction);

static inline void dpu_watch(struct dpu_port *port, const struct dpu_frame *frame,
			     uint32_t direction)
{
	/* acquire: pairs with the exchange in capture_replace */
	struct dpu_capture *capture = atomic_load_explicit(&port->capture, memory_order_acquire);

	if (unlikely(capture))
		dpu_capture_put(capture, frame, direction);
}

/* offload.c */
int dpu_offload_check(struct dpu_frame *frame, uint16_t mtu, enum dpu_drop *ret_drop);

/* segment.c; the frame has passed dpu_offload_check */
void dpu_csum_finish(struct dpu_frame *frame);
/* The next segment of a frame that is to be cut; starts at index 0. False: there is none. */
bool dpu_segment_next(const struct dpu_frame *frame, uint32_t *inout_index,
		      struct dpu_frame *ret_segment);

/* filter.c; they may change the frame */
bool dpu_filter_egress(struct dpu_port *port, struct dpu_frame *frame, uint64_t now_ns,
		       dpu_counter *runs, uint32_t *ret_redirect, enum dpu_drop *ret_drop);
bool dpu_filter_ingress(struct dpu_port *port, struct dpu_frame *frame, const struct dpu_port *from,
			uint64_t now_ns, dpu_counter *runs, enum dpu_drop *ret_drop);
bool dpu_filter_changes_ingress(const struct dpu_port *port);

/* switch.c */
enum dpu_outcome dpu_switch_from_port(struct dpu *dpu, unsigned core, struct dpu_port *from,
				      struct dpu_vq *txq, struct dpu_frame *frame);
enum dpu_outcome dpu_switch_from_uplink(struct dpu *dpu, unsigned core, struct dpu_uplink *uplink,
					struct dpu_frame *frame);

/* arp.c */
struct dpu_arp {
	uint8_t sender_mac[6];
	uint32_t sender_ip_be;
	uint32_t target_ip_be;
};
bool dpu_arp_is_request(const struct dpu_frame *frame, struct dpu_arp *ret_arp);
void dpu_arp_reply(const struct dpu_arp *request, const uint8_t mac[6],
		   struct dpu_frame *ret_frame);

/* nd.c */
struct dpu_nd {
	uint8_t sender_mac[6];
	uint8_t sender_ip[16], target_ip[16];
};
bool dpu_nd_is_solicit(const struct dpu_frame *frame, struct dpu_nd *ret_nd);
void dpu_nd_reply(const struct dpu_nd *question, const uint8_t mac[6], struct dpu_frame *ret_frame);

/* service.c */
extern const uint8_t dpu_service_mac[6];
/* Is the frame a question? Then the answer to it, whose bytes go to packet[DPU_SERVICE_BYTES]. */
bool dpu_service_answer(const struct dpu *dpu, const struct dpu_table *table,
			const struct dpu_port *from, const struct dpu_frame *frame, uint8_t *packet,
			struct dpu_frame *ret_reply);

/* uplink.c */
int dpu_uplink_send(struct dpu_uplink *uplink, const struct dpu_frame *frame);
void dpu_uplink_drop(struct dpu_uplink *uplink, enum dpu_drop drop);

/* sigbus.c */
int dpu_sigbus_watch(struct dpu_port *port);
void dpu_sigbus_unwatch(struct dpu_port *port);
