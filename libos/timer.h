/*
 * timer.h - one-shot timers of the libOS, by CLOCK_MONOTONIC nanoseconds.
 *
 * A binary heap in the arena; run by whichever kthread is in the libOS when they are due, and the
 * earliest is published as the vcpu's deadline when everything parks.  Guard: the instance lock.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct timer {
	uint64_t deadline_ns;
	uint32_t heap_index; /* 0: not armed */
	void (*func)(struct timer *timer);
	void *data;
};

void timer_init(struct timer *timer, void (*func)(struct timer *), void *data);

/* Arms or rearms. 0 or -ENOMEM. */
int timer_arm(struct timer *timer, uint64_t deadline_ns);
void timer_cancel(struct timer *timer); /* harmless when not armed */

/* Runs what is due at now_ns; returns how many. */
unsigned timers_run(uint64_t now_ns);

/* The earliest deadline or UINT64_MAX. */
uint64_t timers_next_ns(void);
