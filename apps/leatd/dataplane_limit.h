/*
 * dataplane_limit.h - parked vcpus whose frames wait for their instance's limits.
 *
 * What runs is looked at in every round. A vcpu that has parked gives its core back although frames
 * of its lie in the ring, if they may not pass yet; it is put on a list, and whoever takes a round
 * when the time has come takes them.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct dp_core;
struct dp_instance;
struct dp_vcpu;

/* False: the list is full, keep looking at it. */
bool dp_limit_add(struct dp_vcpu *vcpu, uint64_t ready_ns);
/* Before dpu_rounds_wait: after that nobody looks at it any more. */
void dp_limit_remove(struct dp_instance *inst);
/* When the first of them may go on; UINT64_MAX: there is none. */
uint64_t dp_limit_due_ns(void);
/* The limits have changed: look at all. */
void dp_limit_changed(void);
/* In a round: takes what may pass. Returns how many frames. */
unsigned dp_limit_scan(struct dp_core *core, uint64_t now_ns);
