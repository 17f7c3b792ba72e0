/*
 * filter.c - the verified programs between a port's queues and everybody else.
 *
 * Each port has an instance of its filter's maps. Both directions run on the frame's private copy;
 * without a program nothing passes.
 */
#include "net/dpu/private.h"

#include <errno.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/bpf.h"
#include "leat/abi/filter.h"

struct dpu_filter {
	struct ebpf_object *object;
	struct ebpf_instance *instance;
	const struct ebpf_prog *egress;
	const struct ebpf_prog *ingress;
	bool changes_egress; /* the program may change frames */
	bool changes_ingress;
	struct ebpf_map *counters;
};

/* Room in front of the head, if it is the frame's own copy. */
static uint32_t headroom(const struct dpu_frame *frame)
{
	if (frame->head < frame->room || frame->head > frame->copy + DPU_HEAD_BYTES)
		return 0;
	return (uint32_t)(frame->head - frame->room);
}

/* Cuts the payload behind the head to the frame's length. */
static void payload_trim(struct dpu_frame *frame)
{
	uint32_t left = frame->len - frame->head_bytes;
	unsigned i;

	for (i = 0; i < frame->nr_segs && left; i++) {
		frame->seg[i].bytes = MIN(frame->seg[i].bytes, left);
		left -= frame->seg[i].bytes;
	}
	frame->nr_segs = i;
}

/* What the program has made of the frame; then it has to agree with its offloads again. */
static bool frame_take(struct dpu_frame *frame, const struct leat_pkt_ctx *ctx, uint16_t mtu,
		       enum dpu_drop *ret_drop)
{
	int64_t moved = (int64_t)(ctx->data - (uintptr_t)frame->head);
	int64_t csum_start = (int64_t)frame->hdr.hdr.csum_start - moved;

	frame->head += moved;
	frame->head_bytes = (uint32_t)(ctx->data_end - ctx->data);
	frame->len = ctx->len;
	payload_trim(frame);
	if (frame->hdr.hdr.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
		*ret_drop = DPU_DROP_OFFLOAD;
		if (csum_start < 0 || csum_start > UINT16_MAX)
			return false;
		frame->hdr.hdr.csum_start = (uint16_t)csum_start;
	}
	return dpu_offload_check(frame, mtu, ret_drop) == 0;
}

static void context_fill(struct leat_pkt_ctx *ctx, const struct dpu_port *port,
			 const struct dpu_frame *frame, uint64_t now_ns)
{
	*ctx = (struct leat_pkt_ctx){
		.data = (uintptr_t)frame->head,
		.data_end = (uintptr_t)frame->head + frame->head_bytes,
		.now_ns = now_ns,
		.len = frame->len,
		.instance = port->config.id,
		.tenant = port->config.tenant,
		.gso_size = frame->hdr.hdr.gso_size,
		.tag = port->config.tag,
		.headroom = headroom(frame),
	};
	if (frame->hdr.hdr.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
		ctx->flags |= LEAT_PKT_CSUM_PARTIAL;
	if (frame->hdr.hdr.gso_type != VIRTIO_NET_HDR_GSO_NONE)
		ctx->flags |= LEAT_PKT_GSO;
}

/*
 * May the frame leave the port? Counts the execution; on no, the reason. *ret_redirect: 0, or the
 * instance that it goes to whatever its address is.
 */
bool dpu_filter_egress(struct dpu_port *port, struct dpu_frame *frame, uint64_t now_ns,
		       dpu_counter *runs, uint32_t *ret_redirect, enum dpu_drop *ret_drop)
{
	/* acquire: pairs with the exchange in dpu_port_set_filter */
	struct dpu_filter *filter = atomic_load_explicit(&port->filter, memory_order_acquire);
	struct leat_pkt_ctx ctx;
	uint32_t verdict;

	*ret_redirect = 0;
	*ret_drop = DPU_DROP_NO_FILTER;
	if (!filter || !filter->egress)
		return false;
	context_fill(&ctx, port, frame, now_ns);
	dpu_count_owned(runs, 1); /* the queue's lock is held */
	*ret_drop = DPU_DROP_EGRESS;
	verdict = (uint32_t)ebpf_prog_run(filter->egress, &ctx);
	if (verdict == LEAT_REDIRECT && ctx.redirect)
		*ret_redirect = ctx.redirect;
	else if (verdict != LEAT_PASS)
		return false;
	return !filter->changes_egress || frame_take(frame, &ctx, port->config.mtu, ret_drop);
}

/* May the frame enter the port? from: the sending port, NULL for the uplink. */
bool dpu_filter_ingress(struct dpu_port *port, struct dpu_frame *frame, const struct dpu_port *from,
			uint64_t now_ns, dpu_counter *runs, enum dpu_drop *ret_drop)
{
	struct dpu_filter *filter = atomic_load_explicit(&port->filter, memory_order_acquire);
	struct leat_pkt_ctx ctx;

	*ret_drop = DPU_DROP_NO_FILTER;
	if (!filter || !filter->ingress)
		return false;
	context_fill(&ctx, port, frame, now_ns);
	if (from) {
		ctx.port = from->config.id;
		ctx.peer_tenant = from->config.tenant;
		ctx.peer_tag = from->config.tag;
	} else {
		ctx.flags |= LEAT_PKT_FROM_UPLINK;
	}
	dpu_count_owned(runs, 1); /* the queue's lock is held */
	*ret_drop = DPU_DROP_INGRESS;
	if ((uint32_t)ebpf_prog_run(filter->ingress, &ctx) != LEAT_PASS)
		return false;
	return !filter->changes_ingress || frame_take(frame, &ctx, port->config.mtu, ret_drop);
}

bool dpu_filter_changes_ingress(const struct dpu_port *port)
{
	const struct dpu_filter *filter = atomic_load_explicit(&port->filter, memory_order_acquire);

	return filter && filter->changes_ingress;
}

/* For the filter's helper, in a round: tags of the port's own tenant only. */
static int64_t tag_of(void *arg, uint32_t ipv4_be)
{
	const struct dpu_port *port = arg;
	const struct dpu_table *table =
		atomic_load_explicit(&port->dpu->table, memory_order_acquire);
	const struct dpu_port *found = dpu_table_by_ip(table, ipv4_be);

	if (!found || found->config.tenant != port->config.tenant)
		return -ENOENT;
	return found->config.tag;
}

static void filter_destroy(struct dpu_filter *filter)
{
	if (!filter)
		return;
	ebpf_instance_destroy(filter->instance);
	ebpf_object_unref(filter->object);
	free(filter);
}

/* Tells the filter's maps whom it stands before. */
static int identity_set(struct dpu_filter *filter, const struct dpu_port_config *config)
{
	struct ebpf_map *map = ebpf_instance_map(filter->instance, LEAT_MAP_IDENTITY);
	struct ebpf_map_info info;
	struct leat_identity identity = {
		.ipv4 = config->ipv4_be,
		.tenant = config->tenant,
		.ipv4_prefix = (uint8_t)config->prefix_len,
		.ipv6_prefix = (uint8_t)config->prefix6_len,
		.instance = config->id,
	};
	uint32_t zero = 0;

	if (!map)
		return 0; /* a filter may leave it out */
	ebpf_map_info(map, &info);
	if (info.key_size != sizeof(zero) || info.value_size != sizeof(identity))
		return -EINVAL;
	memcpy(identity.mac, config->mac, sizeof(identity.mac));
	memcpy(identity.ipv6, config->ipv6, sizeof(identity.ipv6));
	return ebpf_map_update(map, &zero, &identity, 0);
}

static int filter_create(struct ebpf_object *object, struct dpu_port *port,
			 struct dpu_filter **ret_filter)
{
	const struct ebpf_host host = {.tag_of = tag_of, .arg = port};
	struct dpu_filter *filter = calloc(1, sizeof(*filter));
	struct ebpf_map_info info;
	int r;

	if (!filter)
		return -ENOMEM;
	filter->object = ebpf_object_ref(object);
	r = ebpf_instance_create(object, &filter->instance);
	if (!r)
		r = identity_set(filter, &port->config);
	if (r) {
		filter_destroy(filter);
		return r;
	}
	ebpf_instance_set_host(filter->instance, &host);
	filter->changes_egress = ebpf_object_prog_writes_packet(object, LEAT_SEC_EGRESS);
	filter->changes_ingress = ebpf_object_prog_writes_packet(object, LEAT_SEC_INGRESS);
	filter->egress = ebpf_instance_prog(filter->instance, LEAT_SEC_EGRESS);
	filter->ingress = ebpf_instance_prog(filter->instance, LEAT_SEC_INGRESS);
	filter->counters = ebpf_instance_map(filter->instance, LEAT_MAP_COUNTERS);
	if (filter->counters) {
		ebpf_map_info(filter->counters, &info);
		if (info.key_size != sizeof(uint32_t) || info.value_size != sizeof(uint64_t))
			filter->counters = NULL;
	}
	*ret_filter = filter;
	return 0;
}

int dpu_port_set_filter(struct dpu_port *port, struct ebpf_object *object)
{
	struct dpu_filter *filter = NULL;
	struct dpu_filter *old;
	int r;

	if (object) {
		r = filter_create(object, port, &filter);
		if (r)
			return r;
	}
	pthread_mutex_lock(&port->dpu->control);
	/* release: rounds that see the new filter see it whole */
	old = atomic_exchange_explicit(&port->filter, filter, memory_order_acq_rel);
	dpu_synchronize(port->dpu);
	pthread_mutex_unlock(&port->dpu->control);
	filter_destroy(old);
	return 0;
}

/* The filter's map of handles of this name, or NULL. */
static struct ebpf_map *handles_find(const struct dpu_filter *filter, const char *name)
{
	struct ebpf_map *map = filter ? ebpf_instance_map(filter->instance, name) : NULL;
	struct ebpf_map_info info;

	if (!map)
		return NULL;
	ebpf_map_info(map, &info);
	return info.type == BPF_MAP_TYPE_DEVMAP ? map : NULL;
}

int dpu_port_handle_set(struct dpu_port *port, const char *name, uint32_t index, uint32_t id)
{
	const struct dpu_port *to;
	struct ebpf_map *map;
	int r = -ENOENT;

	pthread_mutex_lock(&port->dpu->control);
	map = handles_find(atomic_load_explicit(&port->filter, memory_order_relaxed), name);
	to = dpu_table_by_id(atomic_load_explicit(&port->dpu->table, memory_order_relaxed), id);
	if (map && id && (!to || to->config.tenant != port->config.tenant))
		r = -EPERM;
	else if (map)
		r = ebpf_map_update(map, &index, &id, 0);
	pthread_mutex_unlock(&port->dpu->control);
	return r;
}

int dpu_port_filter_counter(struct dpu_port *port, uint32_t index, uint64_t *ret_value)
{
	struct dpu_filter *filter;
	int r = -ENOENT;

	pthread_mutex_lock(&port->dpu->control);
	filter = atomic_load_explicit(&port->filter, memory_order_relaxed);
	if (filter && filter->counters)
		r = ebpf_map_lookup(filter->counters, &index, ret_value);
	pthread_mutex_unlock(&port->dpu->control);
	return r;
}

int dpu_port_filter_visit(struct dpu_port *port,
			  void (*visit)(struct ebpf_instance *filter, void *arg), void *arg)
{
	struct dpu_filter *filter;
	int r = -ENOENT;

	pthread_mutex_lock(&port->dpu->control);
	/* relaxed: only holders of the lock replace it */
	filter = atomic_load_explicit(&port->filter, memory_order_relaxed);
	if (filter) {
		visit(filter->instance, arg);
		r = 0;
	}
	pthread_mutex_unlock(&port->dpu->control);
	return r;
}
