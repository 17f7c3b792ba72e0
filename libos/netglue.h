/*
 * netglue.h - what the scheduler asks of the network (libos/socket.c).
 */
#pragma once

#include <stdbool.h>

/* Brings the stack up: once, at the instance's start, in the first task. 0 or negative errno. */
int net_glue_init(void);

/* The same in a clone, whose stack is there but whose window and addresses are new. */
int net_glue_resume(void);

/* Takes and sends what waits on the vcpu's queues; returns how many packets. With the instance
 * lock. */
int net_glue_poll(unsigned vcpu);

/* Would net_glue_poll find something? Without the lock. */
bool net_glue_pending(unsigned vcpu);
