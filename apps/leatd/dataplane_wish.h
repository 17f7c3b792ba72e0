/*
 * dataplane_wish.h - parked instances that want a vcpu on their own account.
 *
 * What runs is looked at in every round.  An instance of which nothing runs can have work all the
 * same: a helper thread of its own saw a descriptor of the host become ready.  It writes
 * ABI_BELL_WISH to a doorbell, and whoever hears that looks at all parked instances once: rare, and
 * nothing while idle.
 */
#pragma once

#include <stdint.h>

struct dp_core;
struct dp_instance;

/* 0 or -ENOSPC. */
int dp_wish_add(struct dp_instance *inst);
/* Before dpu_rounds_wait: after that nobody looks at it any more. */
void dp_wish_remove(struct dp_instance *inst);

/* The doorbell's count, as read by the core's thread. */
void dp_wish_heard(uint64_t count);

/* In a round: grants what is wished, if a wish was heard. Returns how many. */
unsigned dp_wish_scan(struct dp_core *core, uint64_t now_ns);
