/*
 * xstate.h - the program's vector state: the only functions of the image that may touch it.
 *
 * It stays in the registers while the libOS runs, and is saved only when another task is about to
 * use them.
 */
#pragma once

#include <stdint.h>

/* Finds out what the CPU has: fills xsave_mask, xsave_size and sigframe_min of the instance. */
void xstate_init(void);

/* In compacted format (XSAVEC) into instance()->xsave_size bytes at a 64-byte boundary, zero at
 * first. */
void xstate_save(void *area);

/* 0 or -EFAULT: not a state that the CPU accepts. */
int xstate_restore(const void *area);

/* As after execve(2). */
void xstate_reset(void);
