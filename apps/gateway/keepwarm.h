/*
 * keepwarm.h - how long a function's last instance stays, and when one is started ahead of a call.
 *
 * A histogram of the times between the end of one call and the arrival of the next, as in the
 * paper "Serverless in the Wild" (ATC 2020): where it is representative, the instance goes at once
 * and comes back shortly before the 5th percentile, and stays until the 99th; where it is not, it
 * stays for a fixed time.
 */
#pragma once

#include <stdint.h>

#define KEEPWARM_BINS 240U

enum keepwarm_policy { KEEPWARM_HISTOGRAM, KEEPWARM_FIXED, KEEPWARM_NONE };

struct keepwarm {
	uint64_t bin_ms;
	uint32_t bins[KEEPWARM_BINS];
	uint32_t total;  /* in the bins */
	uint32_t beyond; /* longer than all bins */
};

struct keepwarm_window {
	uint64_t prewarm_ms; /* 0: keep it; else stop it, and start one after this time */
	uint64_t keep_ms;    /* then stop it this long after the last call */
};

void keepwarm_init(struct keepwarm *kw, uint64_t bin_ms);
void keepwarm_observe(struct keepwarm *kw, uint64_t idle_ms);
struct keepwarm_window keepwarm_decide(const struct keepwarm *kw, enum keepwarm_policy policy,
				       uint64_t fixed_ms);
