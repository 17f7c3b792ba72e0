/*
 * control.h - leatd's control page: what every instance may read and only leatd writes.
 *
 * One memfd, mapped read-only by instances at ABI_CONTROL_BASE.  It says which dataplane threads
 * poll and which sleep, so that a kthread rings the doorbell (an 8-byte write of 1 to the eventfd
 * of a core, ABI_FD_DOORBELL + core) only when nobody would look at its ring soon.
 */
#pragma once

#include <stdint.h>

#include "leat/abi/layout.h"

#define ABI_MAX_CORES 32U

/*
 * Written to a doorbell instead of 1: a vcpu of the writer is parked in state ABI_VCPU_WANT
 * although nothing of the instance runs, so that nobody would see it in the window.
 */
#define ABI_BELL_WISH (1ULL << 32)

enum abi_dp_state {
	ABI_DP_ABSENT = 0,
	ABI_DP_POLL = 1,  /* polls without a break */
	ABI_DP_YIELD = 2, /* takes turns by sched_yield: yielding to it suffices */
	ABI_DP_SLEEP = 3, /* sleeps until wake_ns or the doorbell */
};

struct abi_core {
	uint32_t state;    /* enum abi_dp_state */
	uint32_t grants;   /* kthreads granted on this core now */
	uint64_t wake_ns;  /* CLOCK_MONOTONIC: when a sleeping thread wakes by itself */
	uint64_t round_ns; /* when the last round ended */
	uint32_t waiting;  /* kthreads that wait for this core: linger only briefly */
	uint32_t spinner;  /* someone here does not give way: do not linger by yielding */
	uint8_t pad[32];
};

struct abi_control {
	uint32_t magic; /* ABI_MAGIC */
	uint32_t version;
	uint32_t nr_cores;
	uint32_t pad;
	uint64_t linger_ns; /* how long a kthread without work polls before it parks */
	uint8_t pad1[40];
	struct abi_core core[ABI_MAX_CORES];
};

_Static_assert(sizeof(struct abi_core) == 64, "abi_core is a cache line");
_Static_assert(sizeof(struct abi_control) <= ABI_PAGE_SIZE, "the control page is one page");
