/*
 * timespec.h - conversions between timespec, timeval and nanoseconds, and deadlines.
 *
 * Deadlines are CLOCK_MONOTONIC nanoseconds; sums saturate at WAIT_FOREVER.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/time.h>
#include <time.h>

#include "libos/clock.h"
#include "libos/wait.h"

#define NS_PER_S 1000000000UL
#define NS_PER_US 1000UL
#define NS_PER_MS 1000000UL
#define TIMESPEC_MAX_S (INT64_MAX / 1000000000L)

static inline bool timespec_ok(const struct timespec *ts)
{
	return ts->tv_sec >= 0 && ts->tv_nsec >= 0 && ts->tv_nsec < 1000000000L;
}

/* Saturating; ts is valid. */
static inline uint64_t timespec_to_ns(const struct timespec *ts)
{
	if (ts->tv_sec >= TIMESPEC_MAX_S)
		return INT64_MAX;
	return (uint64_t)ts->tv_sec * NS_PER_S + (uint64_t)ts->tv_nsec;
}

static inline struct timespec ns_to_timespec(uint64_t ns)
{
	return (struct timespec){.tv_sec = (time_t)(ns / NS_PER_S),
				 .tv_nsec = (long)(ns % NS_PER_S)};
}

static inline bool timeval_ok(const struct timeval *tv)
{
	return tv->tv_sec >= 0 && tv->tv_usec >= 0 && tv->tv_usec < 1000000L;
}

static inline uint64_t timeval_to_ns(const struct timeval *tv)
{
	if (tv->tv_sec >= TIMESPEC_MAX_S)
		return INT64_MAX;
	return (uint64_t)tv->tv_sec * NS_PER_S + (uint64_t)tv->tv_usec * NS_PER_US;
}

static inline struct timeval ns_to_timeval(uint64_t ns)
{
	return (struct timeval){.tv_sec = (time_t)(ns / NS_PER_S),
				.tv_usec = (suseconds_t)(ns % NS_PER_S / NS_PER_US)};
}

/* now + ns. */
static inline uint64_t deadline_after(uint64_t ns)
{
	uint64_t now_ns = clock_monotonic_ns();

	return ns >= WAIT_FOREVER - now_ns ? WAIT_FOREVER : now_ns + ns;
}

/* The monotonic deadline of an absolute CLOCK_REALTIME time; past times are due now. */
static inline uint64_t deadline_from_realtime(uint64_t realtime_ns)
{
	uint64_t now_ns = clock_realtime_ns();

	return realtime_ns <= now_ns ? clock_monotonic_ns() : deadline_after(realtime_ns - now_ns);
}
