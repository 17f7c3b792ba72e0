/*
 * builtin.c - the built-in policy: the source of bpf/programs/sched_default.bpf.c, compiled here.
 */
#include "sched/private.h"

#include <errno.h>
#include <string.h>

#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif

static int64_t leat_core_get(struct leat_sched_ctx *ctx, uint32_t core,
			     struct leat_sched_core *ret_core, size_t size)
{
	const struct sched *sched = container_of(ctx, struct sched_question, ctx)->sched;

	if (core >= sched->config.nr_cores || size != sizeof(*ret_core))
		return -ENOENT;
	sched_core_view_locked(sched, core, ret_core);
	return 0;
}

static void bpf_loop(uint32_t nr, long (*round)(__u64 number, void *arg), void *arg, uint64_t flags)
{
	(void)flags;
	for (uint32_t i = 0; i < nr && round(i, arg) == 0; i++)
		;
}

#include "leat/abi/policy_helpers.h"
#include "bpf/programs/sched_default.h"

uint64_t sched_builtin(enum leat_sched_hook hook, struct sched_question *question)
{
	switch (hook) {
	case LEAT_SCHED_CONGESTED:
		return default_congested(&question->ctx);
	case LEAT_SCHED_SELECT_CORE:
		return default_select_core(&question->ctx);
	case LEAT_SCHED_PICK_NEXT:
		return default_pick_next(&question->ctx);
	case LEAT_SCHED_BALANCE:
		return default_balance(&question->ctx);
	default:
		return 0; /* a quantum's end is the end */
	}
}
