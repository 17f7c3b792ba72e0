/*
 * clock.h - reading the host's clocks without a system call, through the host's vDSO page.
 */
#pragma once

#include <stdint.h>

struct timespec;

uint64_t clock_monotonic_ns(void);
uint64_t clock_realtime_ns(void);

/* Any clock that the host's vDSO answers without a system call; -EINVAL for the others. */
int clock_read(int clock_id, struct timespec *ret_time);

/* Finds clock_gettime in the host's vDSO: once, at the instance's start. */
void clock_init(void);

/* A function of the host's vDSO by its name, NULL if it has none. */
void *clock_vdso_symbol(const char *name);
