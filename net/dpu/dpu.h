/*
 * The facade of net/dpu/: the software DPU, the device side of every instance's virtio queues.
 *
 * A *port* is an instance's window (or the uplink). Rounds take frames from transmit queues, run
 * the sender's egress filter, look up the receiver, run its ingress filter and copy the frame into
 * the receiver's buffers. Whoever embeds it decides which queues are polled when; the DPU tells it
 * through dpu_ops.work that a queue has been given frames.
 *
 * Threads: dpu_round_begin/end, dpu_txq_poll and dpu_uplink_poll are for dataplane threads, one per
 * core index, and never block, allocate or wait. All other functions are for a control thread; they
 * may be called by several at once, wait for rounds in progress, and are safe against them.
 *
 * A ring is never believed: what it says is copied once, checked, and a bad one stops that queue
 * only, with an enum dpu_reason. Nor are bytes: headers are judged and delivered from a private
 * copy. Functions return 0 (or what is said) or a negative errno.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ebpf_object;

struct dpu;
struct dpu_port;
struct dpu_uplink;

#define DPU_MAX_PORTS 16384U
#define DPU_MAX_CORES 32U

/* Why a frame was dropped. */
enum dpu_drop {
	DPU_DROP_NO_FILTER,    /* sender or receiver has no verified filter */
	DPU_DROP_EGRESS,       /* the sender's filter said no */
	DPU_DROP_INGRESS,      /* the receiver's filter said no */
	DPU_DROP_RX_FULL,      /* the receiver has no buffers */
	DPU_DROP_RX_DOWN,      /* the receiver's driver is not ready, or its queue was stopped */
	DPU_DROP_TENANT,       /* addressed to another tenant */
	DPU_DROP_NO_PORT,      /* nobody has that address */
	DPU_DROP_OFFLOAD,      /* the virtio-net header contradicts the frame, or asks too much */
	DPU_DROP_LENGTH,       /* shorter than an Ethernet header, or longer than the MTU allows */
	DPU_DROP_UPLINK_FULL,  /* the uplink did not take it */
	DPU_DROP_UPLINK_GROUP, /* broadcast or multicast from the uplink: it belongs to no tenant */
	DPU_DROP_LIMIT,        /* more than the receiver may be sent */
	DPU_DROP_COUNT
};

/* Why a queue was stopped; in abi_netdev.device_reason and in the statistics. */
enum dpu_reason {
	DPU_REASON_NONE,
	DPU_REASON_SIZE,     /* queue size is no power of two, or too large */
	DPU_REASON_LAYOUT,   /* ring parts misaligned or outside the window's ring area */
	DPU_REASON_FEATURES, /* the driver accepted what was not offered, or not VERSION_1 */
	DPU_REASON_AVAIL,    /* the avail index jumped further than the ring is long */
	DPU_REASON_INDEX,    /* descriptor index out of range */
	DPU_REASON_CHAIN,    /* a loop, or more descriptors than a frame may have */
	DPU_REASON_RANGE,    /* buffer outside the window */
	DPU_REASON_EMPTY,    /* buffer of length 0, or no room for the virtio-net header */
	DPU_REASON_FLAGS,    /* write flag wrong for the direction, or an unknown flag */
	DPU_REASON_FAULT,    /* the window's memory was not there (SIGBUS) */
	DPU_REASON_DISABLED, /* a frontend's queue that it has not enabled */
	DPU_REASON_INDIRECT, /* an indirect table of no entries, or of no whole number of them */
	DPU_REASON_COUNT
};

const char *dpu_drop_name(enum dpu_drop drop);
const char *dpu_reason_name(enum dpu_reason reason);

struct dpu_ops {
	/*
	 * Frames were put into receive queue `queue` of the port with this owner. Called inside a
	 * round, at most once per queue and poll, on the thread that runs it.
	 */
	void (*work)(void *owner, unsigned queue, unsigned core, uint64_t now_ns);
	/*
	 * A frontend's eventfd for a transmit queue, from a control thread: becomes readable when
	 * it sends and was asked to say so (dpu_txq_kicks_set); not to be read from. -1: the one
	 * that was there will be closed. NULL: nobody wants to know.
	 */
	void (*kick_fd)(void *owner, unsigned queue, int fd);
	/*
	 * Which queue of the port should get the next frame of a flow? NULL: by the flow's hash.
	 */
	unsigned (*steer)(void *owner, uint32_t flow_hash);
};

struct dpu_config {
	unsigned nr_cores; /* dataplane threads, 1 .. DPU_MAX_CORES */
	struct dpu_ops ops;
	/* Where the DPU answers for names, with the MAC 02:1e:a7:00:00:00; 0: it does not. */
	uint32_t service_ip_be;
};

int dpu_create(const struct dpu_config *config, struct dpu **ret_dpu);
void dpu_destroy(struct dpu *dpu); /* all ports and uplinks detached; NULL is allowed */

/* ---- ports ---- */

struct dpu_port_config {
	uint32_t id;     /* instance number, > 0 */
	uint32_t tenant; /* > 0 */
	uint32_t tag;    /* the filter context's tag word */
	char name[64];   /* lower case, known within the tenant; "": none */
	uint8_t mac[6];
	uint16_t mtu;
	uint32_t ipv4_be; /* 0: no network; the device then offers no queue */
	uint8_t ipv6[16]; /* all zero: link-local only */
	uint32_t prefix6_len;
	uint32_t gateway_be;
	uint32_t prefix_len;
	unsigned nr_queue_pairs; /* 1 .. ABI_MAX_VCPUS */
	void *window; /* mapped shared; stays mapped until detach returned. NULL: vhost */
	size_t window_bytes;
	void *owner; /* for dpu_ops */
};

/* Writes leatd's half of abi_netdev and makes the port known. -EEXIST: MAC or address in use. */
int dpu_port_attach(struct dpu *dpu, const struct dpu_port_config *config,
		    struct dpu_port **ret_port);

/* When it returns no round uses the port or its window any more. NULL is allowed. */
void dpu_port_detach(struct dpu_port *port);

/*
 * Gives the port's queues a verified filter, with maps of its own and its identity filled in; NULL
 * takes it away, and the queues carry nothing. Takes effect between two frames: when it returns no
 * frame is judged by the old one any more. Holds a reference to the object.
 */
int dpu_port_set_filter(struct dpu_port *port, struct ebpf_object *filter);

/*
 * Sets a handle of the port's filter (leat/abi/filter.h): entry @index of its map @name leads to
 * the instance @id, 0 to none. -ENOENT: no filter, or no such map; -EPERM: not an instance of the
 * same tenant; -E2BIG. A filter that is replaced takes its handles with it.
 */
int dpu_port_handle_set(struct dpu_port *port, const char *name, uint32_t index, uint32_t id);

/*
 * Calls @visit with the port's filter, which stays meanwhile: to read it and its maps, and to write
 * those. -ENOENT: it has none.
 */
struct ebpf_instance;
int dpu_port_filter_visit(struct dpu_port *port,
			  void (*visit)(struct ebpf_instance *filter, void *arg), void *arg);

/* ---- limits ---- */

#define DPU_LIMIT_MAX 1000000000000ULL /* frames or bytes a second */
#define DPU_LIMIT_BURST_MAX (8U << 20) /* frames or bytes */

/* Of each direction, for all queues of the port together. A frame is one operation, however long.
 */
struct dpu_limits {
	uint64_t pps, bytes_per_s;       /* 0: no limit */
	uint64_t pps_burst, bytes_burst; /* what may pass at once; 0: a fitting default */
};

/*
 * Takes effect between two frames. What a port sends too fast stays in its queues (nothing is lost,
 * and its driver sees a full ring); what it is sent too fast is dropped as DPU_DROP_LIMIT.
 * -ERANGE: more than DPU_LIMIT_MAX.
 */
int dpu_port_set_limits(struct dpu_port *port, const struct dpu_limits *limits);
void dpu_port_limits_get(const struct dpu_port *port, struct dpu_limits *ret_limits);

/*
 * When the queue's next frame may pass, if its port has sent too much; 0: now. Until then polling
 * it takes nothing.
 */
uint64_t dpu_txq_ready_ns(const struct dpu_port *port, unsigned queue);

/* ---- captures ---- */

/*
 * From now on copies of what the port sends (whatever becomes of it) and of what it is given go
 * into a ring of their own (leat/abi/capture.h), at most snap_bytes of each. *ret_fd is the ring's
 * memfd, the capture's own. -EBUSY: somebody watches already.
 */
int dpu_port_capture_start(struct dpu_port *port, uint32_t snap_bytes, int *ret_fd);
void dpu_port_capture_stop(struct dpu_port *port);

/* ---- ports of vhost-user frontends (vhost.c) ---- */

/*
 * A port whose driver is another process, which says over a socket where its rings and its memory
 * are. Called by one control thread. Polled like any other (dpu_txq_poll); no dpu_ops.work and no
 * steering.
 */
struct dpu_vhost;

/* config.window is NULL. As dpu_port_attach. */
int dpu_vhost_create(struct dpu *dpu, const struct dpu_port_config *config,
		     struct dpu_vhost **ret_vhost);
void dpu_vhost_destroy(struct dpu_vhost *vhost); /* NULL is allowed */
struct dpu_port *dpu_vhost_port(const struct dpu_vhost *vhost);

/* A frontend's socket, owned from then on. -EBUSY: one at a time. */
int dpu_vhost_connect(struct dpu_vhost *vhost, int fd);
/* When the socket is readable: at most one message. Negative: it is over, disconnect. */
int dpu_vhost_serve(struct dpu_vhost *vhost);
/* Its memory and descriptors are let go of; the port stays, for the next one. */
void dpu_vhost_disconnect(struct dpu_vhost *vhost);

/* Should the driver kick when it sends? For before a sleep; look once more afterwards. */
void dpu_txq_kicks_set(struct dpu_port *port, unsigned queue, bool wanted);

/* ---- uplinks: a TAP (or anything that speaks like one) ---- */

/*
 * fd: a TAP opened with IFF_TAP | IFF_NO_PI | IFF_VNET_HDR, non-blocking, header size 12; owned by
 * the uplink from then on. One uplink at a time (-EBUSY). Needs dpu_eal_start() to have succeeded.
 */
int dpu_uplink_attach_tap(struct dpu *dpu, int fd, struct dpu_uplink **ret_uplink);
void dpu_uplink_detach(struct dpu_uplink *uplink);  /* NULL is allowed */
int dpu_uplink_fd(const struct dpu_uplink *uplink); /* readable when frames wait */

/* ---- rounds ---- */

/* Between begin and end ports and filters stay; nothing in between may wait. */
void dpu_round_begin(struct dpu *dpu, unsigned core, uint64_t now_ns);
void dpu_round_end(struct dpu *dpu, unsigned core);

/*
 * Takes up to `budget` frames from transmit queue `queue` of the port, and no more than its share:
 * each poll gives a queue the same allowance of DPU time (deficit round robin: what a long frame
 * took too much is missing the next time), so whoever polls all queues in turn is fair to them.
 * Returns the number taken; 0 also if another thread is at it. A queue whose receiver is busy, or
 * whose port is at its limits, keeps its frames.
 */
unsigned dpu_txq_poll(struct dpu_port *port, unsigned queue, unsigned core, unsigned budget);

/* Cheap look: has the driver published frames that were not taken yet? */
bool dpu_txq_pending(const struct dpu_port *port, unsigned queue);

/*
 * Were frames given to receive queue `queue` that the driver, by its used_event, has not taken? For
 * when its vcpu has parked (window.h). Meaningless while the driver runs.
 */
bool dpu_rxq_unseen(const struct dpu_port *port, unsigned queue);

unsigned dpu_uplink_poll(struct dpu *dpu, unsigned core, unsigned budget);

/* For a control thread: returns when every round that is under way now has ended. */
void dpu_rounds_wait(struct dpu *dpu);

/* ---- statistics ---- */

struct dpu_queue_stats {
	uint64_t tx_packets, tx_bytes; /* taken from the instance */
	uint64_t rx_packets, rx_bytes; /* given to the instance */
	uint64_t tx_waits;             /* how often it had to wait for its limits */
	uint32_t tx_reason, rx_reason; /* enum dpu_reason, NONE while the queue works */
};

struct dpu_port_stats {
	unsigned nr_queue_pairs;
	uint64_t egress_runs;              /* executions of the egress filter */
	uint64_t ingress_runs;             /* of the ingress filter */
	uint64_t drops_tx[DPU_DROP_COUNT]; /* frames that this port sent */
	uint64_t drops_rx[DPU_DROP_COUNT]; /* frames that were for this port */
};

void dpu_port_stats_get(struct dpu_port *port, struct dpu_port_stats *ret_stats);
int dpu_port_queue_stats_get(struct dpu_port *port, unsigned queue,
			     struct dpu_queue_stats *ret_stats);

/* The filter's counter with that index (enum leat_counter), -ENOENT without filter or map. */
int dpu_port_filter_counter(struct dpu_port *port, uint32_t index, uint64_t *ret_value);

struct dpu_uplink_stats {
	uint64_t rx_packets, rx_bytes, tx_packets, tx_bytes;
	uint64_t drops[DPU_DROP_COUNT];
};

void dpu_uplink_stats_get(struct dpu *dpu, struct dpu_uplink_stats *ret_stats);

/* ---- process-wide ---- */

/*
 * Starts DPDK's environment on the calling thread (which it pins: use one of its own): no
 * hugepages, no PCI, no files, no output. Once per process; takes some 110 ms, nearly all of it
 * DPDK measuring the TSC.
 */
int dpu_eal_start(void);

/*
 * Installs the SIGBUS handler that turns a window whose memory is gone into DPU_REASON_FAULT
 * instead of the end of the process. A SIGBUS elsewhere goes to the handler that was there.
 */
int dpu_sigbus_guard(void);
