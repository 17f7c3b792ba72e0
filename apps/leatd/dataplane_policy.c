/*
 * dataplane_policy.c - the scheduler's policy, and the ring in which its trace goes to a watcher.
 */
#include "apps/leatd/dataplane_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "leat/abi/sched_trace.h"

#define RING_BYTES (SCHED_TRACE_DATA_OFF + SCHED_TRACE_RECORDS * sizeof(struct sched_trace_record))

/* ---- policy ---- */

void dataplane_instance_set_share(struct dp_instance *inst, uint32_t tag, uint32_t function_tag,
				  uint32_t weight)
{
	const struct sched_instance_config config = {.tag = tag,
						     .function_tag = function_tag,
						     .weight = weight};

	sched_instance_set(inst->sched, &config);
}

int dataplane_tenant_set_share(uint32_t tenant, uint32_t tag, uint32_t weight)
{
	return sched_tenant_set(dp.sched, tenant, tag, weight);
}

int dataplane_policy_load(struct ebpf_object *object, const char *name, char *error,
			  size_t error_bytes, uint64_t *ret_ns)
{
	struct sched_policy *policy;
	uint64_t start_ns;
	int r = sched_policy_create(object, name, error, error_bytes, &policy);

	if (r)
		return r;
	start_ns = dp_now_ns();
	r = sched_policy_load(dp.sched, policy, start_ns);
	*ret_ns = dp_now_ns() - start_ns;
	if (r)
		snprintf(error, error_bytes, "its init says no");
	return r;
}

int dataplane_policy_rollback(void)
{
	return sched_policy_rollback(dp.sched, dp_now_ns());
}

unsigned dataplane_policy_list(struct sched_policy_info ret_info[SCHED_MAX_POLICIES + 1])
{
	return sched_policy_list(dp.sched, ret_info);
}

int dataplane_sched_core_get(unsigned core, struct leat_sched_core *ret_core)
{
	return sched_core_get(dp.sched, core, ret_core);
}

int64_t dataplane_policy_printed(char *buf, size_t size)
{
	return sched_policy_printed(dp.sched, buf, size);
}

/* ---- trace ---- */

static struct {
	pthread_mutex_t lock; /* of starting and stopping */
	struct sched_trace_ring *ring;
	int fd;
	uint64_t head; /* our own: what is in the ring anybody who has it may write */
} trace = {.lock = PTHREAD_MUTEX_INITIALIZER, .fd = -1};

/* Under the scheduler's lock: one at a time. */
static void trace_record(void *ctx, const struct sched_trace_record *record)
{
	struct sched_trace_ring *ring = ctx;
	struct sched_trace_record *records =
		(struct sched_trace_record *)((char *)ring + SCHED_TRACE_DATA_OFF);
	/* acquire: pairs with the watcher's release; what it has read may be written over */
	uint64_t tail = __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE);

	if (trace.head - tail >= SCHED_TRACE_RECORDS) {
		__atomic_fetch_add(&ring->dropped, 1, __ATOMIC_RELAXED);
		return;
	}
	records[trace.head % SCHED_TRACE_RECORDS] = *record;
	trace.head++;
	/* release: pairs with the watcher's acquire */
	__atomic_store_n(&ring->head, trace.head, __ATOMIC_RELEASE);
}

static int ring_make(void)
{
	void *ring;
	int fd = memfd_create("leat-sched-trace", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, RING_BYTES) ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		goto fail;
	ring = mmap(NULL, RING_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (ring == MAP_FAILED)
		goto fail;
	trace.ring = ring;
	trace.ring->magic = SCHED_TRACE_MAGIC;
	trace.ring->version = SCHED_TRACE_VERSION;
	trace.head = 0;
	trace.fd = fd;
	return 0;
fail:
	close(fd);
	return -errno;
}

static void ring_end(void)
{
	munmap(trace.ring, RING_BYTES);
	close(trace.fd);
	trace.ring = NULL;
	trace.fd = -1;
}

int dataplane_sched_trace_start(int *ret_fd)
{
	int r;

	pthread_mutex_lock(&trace.lock);
	r = trace.ring ? -EBUSY : ring_make();
	if (!r) {
		r = sched_trace_set(dp.sched, trace_record, trace.ring, dp_now_ns());
		if (r)
			ring_end();
		else
			*ret_fd = trace.fd;
	}
	pthread_mutex_unlock(&trace.lock);
	return r;
}

void dataplane_sched_trace_stop(void)
{
	pthread_mutex_lock(&trace.lock);
	if (trace.ring) {
		sched_trace_set(dp.sched, NULL, NULL, 0);
		ring_end();
	}
	pthread_mutex_unlock(&trace.lock);
}
