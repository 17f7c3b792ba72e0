/*
 * bpf_loop(): the callback is walked round by round, as a loop written out would be. So what it
 * does to its caller's stack is known exactly, and the cost of all rounds is counted.
 */
#include "bpf/verify_priv.h"

/* The loop ends in @state, at @pc behind the call, after @rounds rounds. */
static void end_loop(struct vstate *state, uint32_t rounds)
{
	verify_forget_arguments(state);
	vstate_top(state)->regs[0] = vreg_scalar(scalar_const(rounds));
}

/* It may end here: that path waits. */
static int fork_end(struct verifier *v, uint32_t pc, uint32_t rounds)
{
	struct vstate ended;
	int err = vstate_copy(&ended, &v->now, true);

	if (err)
		return err;
	end_loop(&ended, rounds);
	return verify_push(v, &ended, pc);
}

static int begin_round(struct verifier *v, const struct vloop *loop)
{
	struct vreg ctx = vreg_scalar(scalar_const(0));
	int err;

	verify_forget_arguments(&v->now);
	err = verify_enter(v, loop->callback, v->pc);
	if (err)
		return err;
	if (!loop->no_ctx) {
		ctx = vreg_pointer(V_STACK);
		ctx.frame = loop->ctx_frame;
		ctx.off = loop->ctx_off;
	}
	vstate_top(&v->now)->loop = *loop;
	*vreg_at(v, 1) = vreg_scalar(scalar_const(loop->round));
	*vreg_at(v, 2) = ctx;
	return 0;
}

/* v->pc is behind the call, loop->round the number of rounds that are over. */
static int next_round(struct verifier *v, const struct vloop *loop)
{
	int err = 0;

	if (loop->round == loop->most) {
		end_loop(&v->now, loop->round);
		return 0;
	}
	if (loop->round >= loop->least)
		err = fork_end(v, v->pc, loop->round);
	return err ? err : begin_round(v, loop);
}

int verify_loop_round(struct verifier *v, struct vloop *loop, const struct scalar *result)
{
	loop->round++;
	if (result->r64.umin == 1) { /* the callback ends it */
		end_loop(&v->now, loop->round);
		return 0;
	}
	if (result->r64.umax == 1 && loop->round < loop->least) {
		/* perhaps; from `least` on next_round does the same */
		int err = fork_end(v, v->pc, loop->round);

		if (err)
			return err;
	}
	return next_round(v, loop);
}

int verify_loop(struct verifier *v)
{
	struct scalar rounds = scalar_truncate(&vreg_at(v, 1)->var, 32);
	const struct vreg *ctx = vreg_at(v, 3);
	struct vloop loop = {
		.active = true,
		.callback = (uint32_t)vreg_at(v, 2)->off,
		.no_ctx = ctx->type == V_SCALAR,
		.ctx_frame = ctx->frame,
		.ctx_off = ctx->off,
		.least = (uint32_t)rounds.r64.umin,
		.most = (uint32_t)rounds.r64.umax,
	};

	if (rounds.r64.umax > EBPF_LOOP_MAX || rounds.r64.umax > v->type->cost_max)
		return verify_fail(v, "bound the rounds: if (n > LIMIT) n = LIMIT;",
				   "the loop may have %llu rounds, %u are allowed",
				   (unsigned long long)rounds.r64.umax, v->type->cost_max);
	v->pc++;
	return next_round(v, &loop);
}
