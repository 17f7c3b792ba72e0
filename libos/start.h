/*
 * start.h - what the two ways into an instance share.
 */
#pragma once

struct kthread;

/* The boot stack is left for good, and the first host thread runs on its own. */
_Noreturn void start_kthread(struct kthread *kt);
