/*
 * keepwarm.c - the histogram of idle times and what follows from it.
 */
#include "apps/gateway/keepwarm.h"

#include <string.h>

#define SAMPLES_MIN 10U /* fewer say nothing */
#define BEYOND_MAX_PERCENT 50U
#define SPREAD_MIN                                                                                 \
	2U /* coefficient of variation of the bins, squared: flat histograms are no use */
#define HEAD_PERCENT 5U
#define TAIL_PERCENT 99U
#define MARGIN_PERCENT 10U

void keepwarm_init(struct keepwarm *kw, uint64_t bin_ms)
{
	memset(kw, 0, sizeof(*kw));
	kw->bin_ms = bin_ms;
}

/* Old samples lose half their weight when a counter is full. */
static void age(struct keepwarm *kw)
{
	kw->total = 0;
	kw->beyond /= 2;
	for (unsigned i = 0; i < KEEPWARM_BINS; i++) {
		kw->bins[i] /= 2;
		kw->total += kw->bins[i];
	}
}

void keepwarm_observe(struct keepwarm *kw, uint64_t idle_ms)
{
	uint64_t bin = idle_ms / kw->bin_ms;

	if (kw->total + kw->beyond >= 1U << 16)
		age(kw);
	if (bin >= KEEPWARM_BINS) {
		kw->beyond++;
		return;
	}
	kw->bins[bin]++;
	kw->total++;
}

/* CV^2 of the counts = n * sum(c^2) / sum(c)^2 - 1. */
static int representative(const struct keepwarm *kw)
{
	uint64_t squares = 0, sum = kw->total;

	if (kw->total < SAMPLES_MIN ||
	    (uint64_t)kw->beyond * 100 > (uint64_t)(kw->total + kw->beyond) * BEYOND_MAX_PERCENT)
		return 0;
	for (unsigned i = 0; i < KEEPWARM_BINS; i++)
		squares += (uint64_t)kw->bins[i] * kw->bins[i];
	return squares * KEEPWARM_BINS >= (1 + SPREAD_MIN * SPREAD_MIN) * sum * sum;
}

static unsigned percentile_bin(const struct keepwarm *kw, unsigned percent)
{
	uint64_t want = ((uint64_t)kw->total * percent + 99) / 100, seen = 0;

	for (unsigned i = 0; i < KEEPWARM_BINS; i++) {
		seen += kw->bins[i];
		if (seen >= want)
			return i;
	}
	return KEEPWARM_BINS - 1;
}

struct keepwarm_window keepwarm_decide(const struct keepwarm *kw, enum keepwarm_policy policy,
				       uint64_t fixed_ms)
{
	struct keepwarm_window window = {.keep_ms = policy == KEEPWARM_NONE ? 0 : fixed_ms};
	uint64_t head_ms, tail_ms;

	if (policy != KEEPWARM_HISTOGRAM || !representative(kw))
		return window;
	/* the head is a bin's lower edge, the tail an upper one */
	head_ms = percentile_bin(kw, HEAD_PERCENT) * kw->bin_ms;
	tail_ms = (percentile_bin(kw, TAIL_PERCENT) + 1) * kw->bin_ms;
	window.prewarm_ms = head_ms - head_ms * MARGIN_PERCENT / 100;
	window.keep_ms = tail_ms + tail_ms * MARGIN_PERCENT / 100;
	return window;
}
