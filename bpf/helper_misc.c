/* Helpers that need no packet: maps, time, chance, records and traces, token buckets, tags. */
#include "bpf/helpers.h"
#include "bpf/map.h"
#include "bpf/trace.h"
#include "leat/abi/filter.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#define NS_PER_S 1000000000u

/* Linux's flags of bpf_ringbuf_query(). */
enum { RING_AVAIL_DATA, RING_SIZE, RING_READ_POSITION, RING_WRITE_POSITION };

static void *pointer(uint64_t address)
{
	return (void *)(uintptr_t)address;
}

static uint64_t result(int64_t number)
{
	return (uint64_t)number;
}

EBPF_HELPER(ebpf_helper_map_lookup)
{
	(void)c, (void)d, (void)e, (void)env;
	return (uintptr_t)ebpf_map_find_for_program(pointer(a), pointer(b));
}

EBPF_HELPER(ebpf_helper_map_update)
{
	(void)e, (void)env;
	return result(ebpf_map_update_by_program(pointer(a), pointer(b), pointer(c), d));
}

EBPF_HELPER(ebpf_helper_map_delete)
{
	(void)c, (void)d, (void)e, (void)env;
	return result(ebpf_map_delete(pointer(a), pointer(b)));
}

EBPF_HELPER(ebpf_helper_ktime_get_ns)
{
	struct timespec now;

	(void)a, (void)b, (void)c, (void)d, (void)e, (void)env;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

/* Not for secrets: a per-thread xorshift, as good as filters need for sampling. */
EBPF_HELPER(ebpf_helper_get_prandom_u32)
{
	static _Thread_local uint64_t state;

	if (!state)
		state = ((uintptr_t)&state ^ ebpf_helper_ktime_get_ns(a, b, c, d, e, env)) | 1;
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t)(state >> 32);
}

EBPF_HELPER(ebpf_helper_get_smp_processor_id)
{
	(void)a, (void)b, (void)c, (void)d, (void)e, (void)env;
	return ebpf_cpu;
}

EBPF_HELPER(ebpf_helper_trace_printk)
{
	const uint64_t numbers[] = {c, d, e};

	return result(ebpf_trace_print(env->trace, pointer(a), (uint32_t)b, numbers));
}

EBPF_HELPER(ebpf_helper_ring_output)
{
	(void)e, (void)env;
	if (d)
		return result(-EINVAL);
	return result(ebpf_ring_put(ebpf_map_ring(pointer(a)), pointer(b), (uint32_t)c));
}

EBPF_HELPER(ebpf_helper_ring_reserve)
{
	void *record = ebpf_ring_reserve(ebpf_map_ring(pointer(a)), (uint32_t)b);

	(void)c, (void)d, (void)e, (void)env;
	if (record) /* nothing is read that was not written */
		memset(record, 0, (uint32_t)b);
	return (uintptr_t)record;
}

EBPF_HELPER(ebpf_helper_ring_submit)
{
	(void)b, (void)c, (void)d, (void)e, (void)env;
	ebpf_ring_commit(pointer(a), false);
	return 0;
}

EBPF_HELPER(ebpf_helper_ring_discard)
{
	(void)b, (void)c, (void)d, (void)e, (void)env;
	ebpf_ring_commit(pointer(a), true);
	return 0;
}

EBPF_HELPER(ebpf_helper_ring_query)
{
	struct ebpf_ring *ring = ebpf_map_ring(pointer(a));

	(void)c, (void)d, (void)e, (void)env;
	switch (b) {
	case RING_AVAIL_DATA:
		return ebpf_ring_waiting(ring);
	case RING_SIZE:
		return ring->size;
	case RING_READ_POSITION:
		return atomic_load_explicit(&ring->tail, memory_order_relaxed);
	case RING_WRITE_POSITION:
		return atomic_load_explicit(&ring->head, memory_order_relaxed);
	default:
		return 0;
	}
}

/* What @amount units are in time; UINT64_MAX where it would not fit. */
static uint64_t units_ns(uint64_t amount, uint64_t rate)
{
	unsigned __int128 ns = ((unsigned __int128)amount * NS_PER_S + rate - 1) / rate;

	return ns > UINT64_MAX / 4 ? UINT64_MAX : (uint64_t)ns;
}

/*
 * The bucket as one time (the generic cell rate algorithm): when it would be full again. What is
 * missing until then may not exceed the burst.
 */
EBPF_HELPER(ebpf_helper_bucket_take)
{
	struct leat_bucket *bucket = pointer(a);
	uint64_t rate = __atomic_load_n(&bucket->rate, __ATOMIC_RELAXED);
	uint64_t burst = __atomic_load_n(&bucket->burst, __ATOMIC_RELAXED);
	uint64_t full = __atomic_load_n(&bucket->state, __ATOMIC_RELAXED);
	uint64_t now = c < UINT64_MAX / 4 ? c : UINT64_MAX / 4, cost, depth, next;
	int tries;

	(void)d, (void)e, (void)env;
	if (rate == 0)
		return 0;
	cost = units_ns(b, rate);
	depth = units_ns(burst, rate);
	if (cost > depth || cost == UINT64_MAX)
		return 0;
	if (depth == UINT64_MAX)
		depth = UINT64_MAX / 4;
	for (tries = 0; tries < 64; tries++) {
		/* a state from the far future is not one of ours */
		uint64_t from = full > now && full - now <= depth ? full : now;

		next = from + cost;
		if (next - now > depth)
			return 0;
		/* relaxed: the number stands for itself */
		if (__atomic_compare_exchange_n(&bucket->state, &full, next, false,
						__ATOMIC_RELAXED, __ATOMIC_RELAXED))
			return 1;
	}
	return 0;
}

EBPF_HELPER(ebpf_helper_tag_lookup)
{
	(void)b, (void)c, (void)d, (void)e;
	if (!env->host.tag_of)
		return result(-ENOENT);
	return result(env->host.tag_of(env->host.arg, (uint32_t)a));
}

EBPF_HELPER(ebpf_helper_core_get)
{
	(void)e;
	if (!env->host.core_get) { /* what was asked for is written in any case */
		memset(pointer(c), 0, (size_t)d);
		return result(-ENOENT);
	}
	return result(
		env->host.core_get(env->host.arg, pointer(a), (uint32_t)b, pointer(c), (size_t)d));
}
