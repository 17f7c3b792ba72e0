/*
 * window.h - the window: rings, packet buffers, control words; every word that leatd touches.
 *
 * A sealed memfd, mapped by the instance's processes at ABI_WINDOW_BASE and by leatd wherever it
 * likes.  Each field below names its single writer.  leatd reads an instance-written field once
 * into a local, checks it, and uses it only against that instance.
 *
 *   0              struct abi_instance
 *   4096           struct abi_netdev                      (netdev.h)
 *   8192           struct abi_vcpu[ABI_MAX_VCPUS]
 *   16384          struct abi_scratch: words only the instance's processes use
 *   ABI_RINGS_OFF  virtqueues, laid out by the driver
 *   ABI_BUFS_OFF   packet buffers, touched on demand
 */
#pragma once

#include <stdint.h>

#include "leat/abi/layout.h"

#define ABI_MAGIC 0x7461656cU /* "leat" */
#define ABI_VERSION 2U

#define ABI_MAX_VCPUS 32U
#define ABI_MAX_KTHREADS 1024U

#define ABI_INSTANCE_OFF 0UL
#define ABI_NETDEV_OFF 4096UL
#define ABI_VCPUS_OFF 8192UL
#define ABI_SCRATCH_OFF 16384UL
#define ABI_RINGS_OFF (1UL << 20)
#define ABI_BUFS_OFF (8UL << 20)
#define ABI_WINDOW_SIZE (128UL << 20)

/* Life of an instance as it tells it; leatd trusts the launcher's word about its end. */
enum abi_state {
	ABI_STATE_BOOT = 0,
	ABI_STATE_RUNNING = 1,
	ABI_STATE_EXITED = 2,
};

struct abi_instance {
	/* Written by leatd before the start. */
	uint32_t magic;
	uint32_t version;
	uint32_t nr_vcpus; /* <= ABI_MAX_VCPUS */
	uint32_t id;       /* instance number, > 0 */
	uint8_t leatd_pad[48];

	/* Written by the instance. */
	uint32_t state;       /* enum abi_state */
	uint32_t exit_status; /* wait(2) status word of the first program, valid when EXITED */
	uint64_t started_ns;  /* CLOCK_MONOTONIC at the program's first instruction */
	uint64_t calls;       /* system calls answered (statistics, may lag) */
	uint64_t traps;       /* of these: through SIGSYS */
	uint64_t forks;
	uint64_t arena_bytes;   /* arena in use */
	uint64_t store_bytes;   /* memfs data in use */
	uint32_t frozen;        /* the `freeze` that was answered */
	uint32_t frozen_result; /* enum abi_freeze_result, valid when frozen moved */

	/*
	 * Signals from outside (leat stop/kill, Ctrl-C): bit n-1 asks for signal n to the
	 * foreground process group.  leatd sets with fetch_or(release) and grants a vcpu; the
	 * instance takes with exchange(0, acquire).
	 */
	uint64_t ext_signals;
	uint8_t signal_pad[56];

	/* The trace switch of `leat run --trace`, changed live by leatd: 0 off, 1 on. */
	uint32_t trace;
	/*
	 * leatd asks the instance to stand still: a number that is not 0, stored with release, and
	 * a grant.  The instance answers with frozen_result, then frozen = freeze (release), and,
	 * if it froze, sleeps on this word (futex, shared) until it changes.
	 */
	uint32_t freeze;
	uint8_t tail_pad[56];
};

/* Frozen, or why not. */
enum abi_freeze_result {
	ABI_FREEZE_DONE = 0,      /* no task runs, all state is in memory */
	ABI_FREEZE_PROCESSES = 1, /* it has forked: several host processes */
	ABI_FREEZE_VOLUMES = 2,   /* it has writable volumes, whose state is the host's */
	ABI_FREEZE_SHARED = 3,    /* it has shared memory without a file */
	ABI_FREEZE_FILES = 4,     /* it uses a file of the host that has no name any more */
};

/* What a vcpu is doing, written by the instance. */
enum abi_vcpu_state {
	ABI_VCPU_OFF = 0,     /* no kthread waits for it */
	ABI_VCPU_PARKED = 1,  /* a kthread waits on `grant`; wants it at deadline_ns or on work */
	ABI_VCPU_RUNNING = 2, /* holds a grant and runs */
	ABI_VCPU_LINGER = 3,  /* holds a grant, has no work, polls and yields */
	ABI_VCPU_WANT = 4,    /* parked like PARKED, but has work now: grant as soon as may be */
};

/*
 * One vcpu = one queue pair + this slot.  Three cache lines: leatd's, the instance's, statistics.
 *
 * Grant protocol.  `grant` counts grants and only leatd moves it.  At the start both words are 0:
 * no core held.  leatd grants by storing core and granted_ns, then grant + 1 (release), then
 * FUTEX_WAKE.  The kthread runs while grant != parked_grant.  To park it stores deadline_ns and
 * state (PARKED or WANT), then parked_grant = the grant it ran under (release), then FUTEX_WAITs
 * while grant == parked_grant.  leatd sees "grant == parked_grant" (acquire) as "core given back"
 * and only then grants again.  No wake-up is lost: the driver keeps the field used_event of its
 * receive queue (virtio 1.2, section 2.7.10: avail->ring[size]; of a packed ring off_wrap of its
 * event structure, section 2.8.10) at the used index up to which it took frames, and leatd, which
 * alone moves the used index, compares the two when it sees the vcpu parked: frames that came after
 * the driver's last look get it granted again. A parked vcpu is given work by its siblings with
 * state = WANT and the doorbell: leatd looks at all slots of an instance while any of its vcpus
 * holds a core.
 *
 * A vcpu that nobody waits for any more is OFF, with parked_grant = grant.  A grant that crosses
 * this is taken back by leatd itself: OFF and a parked_grant that is not 0 count as parked, without
 * deadline.  Frames in its receive queue are for any vcpu of the instance.
 */
struct abi_vcpu {
	/* Written by leatd. */
	uint32_t grant;   /* generation, +1 a grant; futex word (shared) */
	uint32_t core;    /* host cpu to run on, valid when grant moved */
	uint32_t preempt; /* equals grant: please give the core back at the next safe point */
	uint32_t pad0;
	uint64_t granted_ns; /* when */
	uint8_t pad1[40];

	/* Written by the instance. */
	uint32_t state;        /* enum abi_vcpu_state */
	uint32_t parked_grant; /* the grant that was given back; grant == parked_grant: no core held
				*/
	uint64_t deadline_ns;  /* CLOCK_MONOTONIC; 0: none; read when parked */
	uint32_t yields;       /* counts up whenever the kthread gave way (yield, park): liveness */
	uint32_t pad2;
	uint8_t pad3[40];

	/* Written by the instance: statistics. */
	uint64_t run_ns;
	uint64_t parks;
	uint64_t switches;
	uint8_t pad4[40];
};

/*
 * Words on which the instance's own processes sleep.  They live here, not in the arena, because the
 * window is a memfd from the start: a futex on it has the same key before and after the first fork.
 * leatd never reads them.
 */
struct abi_scratch {
	uint32_t instance_lock; /* 0 free, 1 held, 2 held and waited for */
	uint32_t pad[15];
	uint32_t kthread_park[ABI_MAX_KTHREADS]; /* 0 sleep, 1 wake */
};

_Static_assert(sizeof(struct abi_instance) == 256, "abi_instance layout");
_Static_assert(sizeof(struct abi_vcpu) == 192, "abi_vcpu layout");
_Static_assert(ABI_VCPUS_OFF + ABI_MAX_VCPUS * sizeof(struct abi_vcpu) <= ABI_SCRATCH_OFF,
	       "vcpus fit");
_Static_assert(ABI_SCRATCH_OFF + sizeof(struct abi_scratch) <= ABI_RINGS_OFF, "scratch fits");

static inline struct abi_instance *abi_instance_of(void *window)
{
	return (struct abi_instance *)((char *)window + ABI_INSTANCE_OFF);
}

static inline struct abi_vcpu *abi_vcpu_of(void *window, unsigned vcpu)
{
	return (struct abi_vcpu *)((char *)window + ABI_VCPUS_OFF) + vcpu;
}

static inline struct abi_scratch *abi_scratch_of(void *window)
{
	return (struct abi_scratch *)((char *)window + ABI_SCRATCH_OFF);
}
