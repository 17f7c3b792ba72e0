/*
 * sched_trace.h - what the core scheduler was told and what it decided, as records of one size: in
 * the ring between leatd and `leat sched trace`, in the file that this writes, and in the
 * simulator, which takes the events and must come to the decisions.
 *
 * The ring is a memfd that both map: a page with the words below, then records. What finds no room
 * is counted, and lost: nothing waits for a watcher.
 */
#pragma once

#include <stdint.h>

#define SCHED_TRACE_MAGIC 0x74726353U
#define SCHED_TRACE_VERSION 1U
#define SCHED_TRACE_DATA_OFF 4096U
#define SCHED_TRACE_RECORDS (1U << 17) /* of the ring; a power of two */
#define SCHED_TRACE_NO_CORE 0xffffU

enum sched_trace_kind {
	/* Events: everything that decisions depend on, in the order in which it had effect. */
	SCHED_TRACE_CONFIG = 1, /* core: how many; a: places of a core, b: quantum_ns, c: vcpus that
				   are there already, d: number of the last one */
	SCHED_TRACE_CORE,       /* core, a: sibling, b: node, c: is it gone? */
	SCHED_TRACE_POLICY,     /* instance: its number, 0 the built-in one; text: its name */
	SCHED_TRACE_TENANT,     /* vcpu: its number; a: tag, b: weight, c: cpu_ns */
	SCHED_TRACE_INSTANCE,   /* instance, vcpu: tenant, a: tag, b: function's, c: weight, d:
				   guaranteed */
	SCHED_TRACE_INSTANCE_GONE,
	SCHED_TRACE_ATTACH, /* vcpu, instance, a: number within it */
	SCHED_TRACE_DETACH, /* vcpu */
	SCHED_TRACE_WORK,   /* vcpu, core: waker */
	SCHED_TRACE_PARKED, /* vcpu, a: deadline_ns, b: want, c: charge_ns */
	SCHED_TRACE_HOLDER, /* vcpu, a: when it gave way, b: charge_ns, c: has work; before TICK */
	SCHED_TRACE_TICK,   /* core, a: ns sampled, of these b: busy, c: crowded, d: overlapping */
	SCHED_TRACE_CPU,    /* vcpu, a: what the host said of its CPU time */
	/* Decisions. */
	SCHED_TRACE_DECISIONS = 32,
	SCHED_TRACE_GRANT = 32, /* vcpu, core, a: delay_ns, b: rank */
	SCHED_TRACE_PREEMPT,    /* vcpu, core */
	SCHED_TRACE_EVICT,      /* vcpu, core, a: attempt */
	SCHED_TRACE_DEMOTE,     /* vcpu, core */
	SCHED_TRACE_RESTORE,    /* vcpu, core */
	SCHED_TRACE_MOVE,       /* vcpu, core: where to */
	SCHED_TRACE_HOLD,       /* vcpu: no core beyond its guarantee yet */
	SCHED_TRACE_BAD,        /* vcpu, a: hook, b: the answer that was refused */
	SCHED_TRACE_RESCUE,     /* vcpu, core: granted although the policy never would */
	SCHED_TRACE_FALLBACK,   /* instance: the policy's number; text: why */
};

struct sched_trace_record {
	uint64_t time_ns;
	uint16_t kind; /* enum sched_trace_kind */
	uint16_t core;
	uint32_t vcpu; /* its number, from 1, as long as the scheduler lives */
	uint32_t instance;
	uint32_t pad;
	union {
		struct {
			uint64_t a, b, c, d, e;
		};
		char text[40];
	};
};

_Static_assert(sizeof(struct sched_trace_record) == 64, "a record is a cache line");

struct sched_trace_ring {
	/* Written by leatd. */
	uint32_t magic;
	uint32_t version;
	uint64_t head;    /* records put in so far; release */
	uint64_t dropped; /* that found no room */
	uint8_t leatd_pad[40];

	/* Written by the watcher. */
	uint64_t tail; /* records taken out so far; release */
};

/* The file of `leat sched trace --write`: this, then records. */
struct sched_trace_file {
	uint32_t magic;
	uint32_t version;
	uint64_t dropped; /* records that are missing */
};
