/*
 * dataplane_instance.c - instances come to the dataplane and leave it.
 */
#include "apps/leatd/dataplane_limit.h"
#include "apps/leatd/dataplane_private.h"
#include "apps/leatd/dataplane_wish.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define WINDOW_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

static int window_map(struct dp_instance *inst, int fd)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;
	void *window;

	if (seals < 0 || (seals & WINDOW_SEALS) != WINDOW_SEALS || (seals & F_SEAL_WRITE))
		return -EINVAL;
	if (fstat(fd, &st))
		return -errno;
	if (st.st_size < (off_t)ABI_BUFS_OFF)
		return -EINVAL;
	window = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE,
		      fd, 0);
	if (window == MAP_FAILED)
		return -errno;
	inst->window = window;
	inst->window_bytes = (size_t)st.st_size;
	return 0;
}

static void block_fill(const struct dp_instance *inst)
{
	struct abi_instance *block = abi_instance_of(inst->window);

	block->magic = ABI_MAGIC;
	block->version = ABI_VERSION;
	block->nr_vcpus = inst->nr_vcpus;
	block->id = inst->id;
}

static int vcpus_attach(struct dp_instance *inst, const struct dp_instance_config *config)
{
	const struct sched_instance_config sched = {
		.id = config->id,
		.tenant = config->tenant,
		.tag = config->tag,
		.function_tag = config->function_tag,
		.weight = config->weight,
		.guaranteed = config->guaranteed,
	};
	int r = sched_instance_attach(dp.sched, &sched, &inst->sched);

	for (unsigned i = 0; !r && i < inst->nr_vcpus; i++) {
		struct dp_vcpu *vcpu = &inst->vcpu[i];

		vcpu->inst = inst;
		vcpu->index = i;
		vcpu->slot = abi_vcpu_of(inst->window, i);
		atomic_init(&vcpu->core, DP_NO_CORE);
		r = sched_vcpu_attach(inst->sched, vcpu, i, &vcpu->sched);
	}
	return r;
}

static void instance_free(struct dp_instance *inst)
{
	for (unsigned i = 0; i < inst->nr_vcpus; i++)
		sched_vcpu_detach(inst->vcpu[i].sched);
	sched_instance_detach(inst->sched);
	dpu_port_detach(inst->port);
	if (inst->window)
		munmap(inst->window, inst->window_bytes);
	free(inst);
}

void dp_port_config(const struct dp_instance_config *config, struct dpu_port_config *ret_port)
{
	*ret_port = (struct dpu_port_config){
		.id = config->id,
		.tenant = config->tenant,
		.tag = config->tag,
		.mtu = config->mtu,
		.ipv4_be = config->ipv4_be,
		.gateway_be = config->gateway_be,
		.prefix_len = config->prefix_len,
		.prefix6_len = config->prefix6_len,
		.nr_queue_pairs = config->nr_vcpus,
	};
	/* names are looked for in lower case */
	for (size_t i = 0; config->name && config->name[i] && i + 1 < sizeof(ret_port->name); i++)
		ret_port->name[i] = (char)tolower((unsigned char)config->name[i]);
	memcpy(ret_port->mac, config->mac, sizeof(ret_port->mac));
	memcpy(ret_port->ipv6, config->ipv6, sizeof(ret_port->ipv6));
}

static int port_attach(struct dp_instance *inst, const struct dp_instance_config *config)
{
	struct dpu_port_config port;
	int r;

	dp_port_config(config, &port);
	port.window = inst->window;
	port.window_bytes = inst->window_bytes;
	port.owner = inst;
	r = dpu_port_attach(dp.dpu, &port, &inst->port);
	if (!r)
		r = dpu_port_set_limits(inst->port, &config->limits);
	if (!r && config->filter)
		r = dpu_port_set_filter(inst->port, config->filter);
	return r;
}

/* No more than there are cores. */
static int guarantee_take(struct dp_instance *inst, unsigned guaranteed)
{
	if (guaranteed > dp.nr_cores - dp.guaranteed)
		return -EDQUOT;
	dp.guaranteed += guaranteed;
	inst->guaranteed = guaranteed;
	return 0;
}

int dataplane_instance_add(const struct dp_instance_config *config, struct dp_instance **ret_inst)
{
	struct dp_instance *inst;
	int r;

	if (config->nr_vcpus == 0 || config->nr_vcpus > ABI_MAX_VCPUS || !dp.dpu)
		return -EINVAL;
	inst = calloc(1, sizeof(*inst));
	if (!inst)
		return -ENOMEM;
	inst->id = config->id;
	inst->nr_vcpus = config->nr_vcpus;
	r = window_map(inst, config->window_fd);
	if (!r) {
		block_fill(inst);
		r = vcpus_attach(inst, config);
	}
	if (!r)
		r = port_attach(inst, config);
	if (r) {
		instance_free(inst);
		return r;
	}
	pthread_mutex_lock(&dp.control);
	r = guarantee_take(inst, config->guaranteed);
	if (!r)
		r = dp_wish_add(inst);
	if (!r)
		sched_work(inst->vcpu[0].sched, UINT32_MAX, dp_now_ns());
	else
		dp.guaranteed -= inst->guaranteed;
	dp_deferred_flush();
	pthread_mutex_unlock(&dp.control);
	if (r) {
		instance_free(inst);
		return r;
	}
	*ret_inst = inst;
	return 0;
}

void dataplane_instance_remove(struct dp_instance *inst)
{
	if (!inst)
		return;
	pthread_mutex_lock(&dp.control);
	/* release: pairs with the acquire in host_grant and dp_work; none is placed any more */
	atomic_store_explicit(&inst->dying, true, memory_order_release);
	dp.guaranteed -= inst->guaranteed;
	dp_wish_remove(inst);
	dp_limit_remove(inst);
	dpu_rounds_wait(dp.dpu);
	for (unsigned i = 0; i < inst->nr_vcpus; i++)
		dp_vcpu_unplace(&inst->vcpu[i]);
	dpu_rounds_wait(dp.dpu); /* nobody scans one of them any more */
	dp_enforce_forget(inst);
	instance_free(inst);
	dp_deferred_flush();
	pthread_mutex_unlock(&dp.control);
}

int dataplane_instance_set_filter(struct dp_instance *inst, struct ebpf_object *filter)
{
	return dpu_port_set_filter(inst->port, filter);
}

int dataplane_instance_set_limits(struct dp_instance *inst, const struct dpu_limits *limits)
{
	int r = dpu_port_set_limits(inst->port, limits);

	if (r)
		return r;
	pthread_mutex_lock(&dp.control);
	dp_limit_changed();
	for (unsigned i = 0; i < dp.nr_cores; i++)
		dp_poke(i); /* a sleeping one may have frames that may pass now */
	dp_deferred_flush();
	pthread_mutex_unlock(&dp.control);
	return 0;
}

int dataplane_instance_capture_start(struct dp_instance *inst, uint32_t snap_bytes, int *ret_fd)
{
	return dpu_port_capture_start(inst->port, snap_bytes, ret_fd);
}

void dataplane_instance_capture_stop(struct dp_instance *inst)
{
	dpu_port_capture_stop(inst->port);
}

/* It has something to look at: grants a vcpu, and interrupts those that run. dp.control is held. */
static void instance_rouse(struct dp_instance *inst)
{
	struct dp_vcpu *vcpu = &inst->vcpu[dp_vcpu_awaited(inst)];

	sched_work(vcpu->sched, UINT32_MAX, dp_now_ns());
	for (unsigned i = 0; i < inst->nr_vcpus; i++) {
		uint32_t core = atomic_load(&inst->vcpu[i].core);

		if (core == DP_NO_CORE)
			continue;
		/* it runs, perhaps without ever calling the kernel: have it look */
		__atomic_store_n(&inst->vcpu[i].slot->preempt, atomic_load(&inst->vcpu[i].grant),
				 __ATOMIC_RELEASE);
		dp_enforce(inst, DP_ENFORCE_SIGNAL);
		/* or it has parked, and nobody has seen that yet */
		dp_poke(core);
	}
	dp_deferred_flush();
}

void dataplane_instance_signal(struct dp_instance *inst, uint64_t signal_bits)
{
	struct abi_instance *block = abi_instance_of(inst->window);

	pthread_mutex_lock(&dp.control);
	/* release: pairs with the instance's acquire exchange (window.h) */
	__atomic_fetch_or(&block->ext_signals, signal_bits, __ATOMIC_SEQ_CST);
	instance_rouse(inst);
	pthread_mutex_unlock(&dp.control);
}

void dataplane_instance_freeze(struct dp_instance *inst, uint32_t number)
{
	uint32_t *word = &abi_instance_of(inst->window)->freeze;

	pthread_mutex_lock(&dp.control);
	/* release: pairs with the instance's acquire (libos/freeze.c) */
	__atomic_store_n(word, number, __ATOMIC_SEQ_CST);
	if (number != 0)
		instance_rouse(inst);
	else
		syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
	pthread_mutex_unlock(&dp.control);
}

struct abi_instance *dataplane_instance_block(struct dp_instance *inst)
{
	return abi_instance_of(inst->window);
}

void dataplane_instance_stats(struct dp_instance *inst, struct dp_instance_stats *ret_stats)
{
	memset(ret_stats, 0, sizeof(*ret_stats));
	ret_stats->nr_vcpus = inst->nr_vcpus;
	dpu_port_stats_get(inst->port, &ret_stats->port);
	dpu_port_limits_get(inst->port, &ret_stats->limits);
	for (unsigned i = 0; i < inst->nr_vcpus; i++) {
		(void)dpu_port_queue_stats_get(inst->port, i, &ret_stats->queue[i]);
		sched_vcpu_stats_get(inst->vcpu[i].sched, &ret_stats->vcpu[i]);
		ret_stats->nr_held += atomic_load_explicit(&inst->vcpu[i].core,
							   memory_order_relaxed) != DP_NO_CORE;
		ret_stats->vcpu_state[i] =
			__atomic_load_n(&inst->vcpu[i].slot->state, __ATOMIC_RELAXED);
	}
}

int dataplane_instance_filter_counter(struct dp_instance *inst, uint32_t index, uint64_t *ret_value)
{
	return dpu_port_filter_counter(inst->port, index, ret_value);
}

int dataplane_instance_filter_visit(struct dp_instance *inst,
				    void (*visit)(struct ebpf_instance *filter, void *arg),
				    void *arg)
{
	return dpu_port_filter_visit(inst->port, visit, arg);
}
