/* Branches: which ways are possible, and what each teaches. */
#include "bpf/verify_priv.h"

struct lesson {
	uint32_t id;
	struct scalar value;
};

static void learn_number(struct vreg *reg, void *arg)
{
	const struct lesson *lesson = arg;

	if (reg->type == V_SCALAR && reg->id == lesson->id)
		reg->var = lesson->value;
}

static void set_number(struct vstate *state, unsigned int index, const struct scalar *value)
{
	struct vreg *reg = &vstate_top(state)->regs[index];
	struct lesson lesson = {reg->id, *value};

	reg->var = *value;
	if (reg->id)
		vstate_each(state, learn_number, &lesson);
}

/* The operands of a comparison of numbers, narrowed for one way. */
struct operands {
	struct scalar a, b;
};

/* False: that way is impossible. */
static bool narrow(struct vstate *state, struct ebpf_insn insn, bool taken,
		   struct operands *ret_operands)
{
	const struct vreg *regs = vstate_top(state)->regs;

	ret_operands->a = regs[insn.dst].var;
	ret_operands->b =
		insn.code & EBPF_X ? regs[insn.src].var : scalar_const((uint64_t)(int64_t)insn.imm);
	return scalar_assume(insn, taken, &ret_operands->a, &ret_operands->b);
}

static void set_operands(struct vstate *state, struct ebpf_insn insn,
			 const struct operands *operands)
{
	set_number(state, insn.dst, &operands->a);
	if ((insn.code & EBPF_X) && insn.src != insn.dst)
		set_number(state, insn.src, &operands->b);
}

struct null_lesson {
	uint32_t id;
	bool null;
};

static void learn_null(struct vreg *reg, void *arg)
{
	const struct null_lesson *lesson = arg;

	if (reg->type != V_VALUE_OR_NULL || reg->id != lesson->id)
		return;
	if (lesson->null) {
		*reg = vreg_scalar(scalar_const(0));
	} else {
		reg->type = V_VALUE;
		reg->id = 0;
	}
}

struct range_lesson {
	uint32_t id;
	uint32_t range;
};

static void learn_range(struct vreg *reg, void *arg)
{
	const struct range_lesson *lesson = arg;

	if (reg->type == V_PKT && reg->id == lesson->id && reg->range < lesson->range)
		reg->range = lesson->range;
}

/* "pointer OP end" with the operands in this order. */
static uint8_t mirrored(uint8_t op)
{
	switch (op) {
	case EBPF_JGT:
		return EBPF_JLT;
	case EBPF_JGE:
		return EBPF_JLE;
	case EBPF_JLT:
		return EBPF_JGT;
	case EBPF_JLE:
		return EBPF_JGE;
	default:
		return op;
	}
}

/* What "packet pointer OP end of packet", true or not, says about the bytes before the pointer. */
static void learn_packet(struct vstate *state, const struct vreg *pointer, uint8_t op, bool taken)
{
	struct range_lesson lesson = {pointer->id, 0};
	int64_t bytes = pointer->off;

	if ((op == EBPF_JLE && taken) || (op == EBPF_JGT && !taken))
		lesson.range = bytes > 0 ? (uint32_t)bytes : 0; /* pointer <= end */
	else if ((op == EBPF_JLT && taken) || (op == EBPF_JGE && !taken))
		lesson.range = bytes >= 0 ? (uint32_t)bytes + 1 : 0; /* pointer < end */
	if (lesson.range)
		vstate_each(state, learn_range, &lesson);
}

/* Pushes the taken way with what it teaches; the walk goes on with the other one. */
static int fork_packet(struct verifier *v, struct ebpf_insn insn, uint32_t target)
{
	struct vreg a = *vreg_at(v, insn.dst), b = *vreg_at(v, insn.src);
	const struct vreg *pointer = a.type == V_PKT ? &a : &b;
	uint8_t op = EBPF_OP(insn.code);
	struct vstate taken;
	int err = vstate_copy(&taken, &v->now, true);

	if (err)
		return err;
	if (a.type != b.type) {
		if (a.type == V_PKT_END)
			op = mirrored(op);
		learn_packet(&taken, pointer, op, true);
		learn_packet(&v->now, pointer, op, false);
	}
	err = verify_push(v, &taken, target);
	v->pc++;
	return err;
}

static int fork_null(struct verifier *v, struct ebpf_insn insn, uint32_t target)
{
	struct null_lesson lesson = {vreg_at(v, insn.dst)->id, EBPF_OP(insn.code) == EBPF_JEQ};
	struct vstate taken;
	int err = vstate_copy(&taken, &v->now, true);

	if (err)
		return err;
	vstate_each(&taken, learn_null, &lesson);
	lesson.null = !lesson.null;
	vstate_each(&v->now, learn_null, &lesson);
	err = verify_push(v, &taken, target);
	v->pc++;
	return err;
}

static int fork_numbers(struct verifier *v, struct ebpf_insn insn, uint32_t target)
{
	struct operands if_taken, if_not;
	bool may_jump = narrow(&v->now, insn, true, &if_taken);
	bool may_fall = narrow(&v->now, insn, false, &if_not);
	struct vstate taken;
	int err = 0;

	if (!may_jump && !may_fall)
		return 1;
	if (!may_fall) {
		set_operands(&v->now, insn, &if_taken);
		v->pc = target;
		return 0;
	}
	if (may_jump) {
		err = vstate_copy(&taken, &v->now, true);
		if (err)
			return err;
		set_operands(&taken, insn, &if_taken);
		err = verify_push(v, &taken, target);
	}
	set_operands(&v->now, insn, &if_not);
	v->pc++;
	return err;
}

static bool is_packet(const struct vreg *reg)
{
	return reg->type == V_PKT || reg->type == V_PKT_END;
}

static bool is_unsigned_order(uint8_t op)
{
	return op == EBPF_JGT || op == EBPF_JGE || op == EBPF_JLT || op == EBPF_JLE;
}

static int verify_pointer_jump(struct verifier *v, struct ebpf_insn insn, const struct vreg *b,
			       uint32_t target)
{
	const struct vreg *a = vreg_at(v, insn.dst);
	uint8_t op = EBPF_OP(insn.code);
	bool equality = op == EBPF_JEQ || op == EBPF_JNE;
	bool with_null = b->type == V_SCALAR && scalar_is_const(&b->var) && !b->var.bits.value;

	if (EBPF_CLASS(insn.code) == EBPF_JMP && equality && with_null) {
		if (a->type == V_VALUE_OR_NULL)
			return fork_null(v, insn, target);
		if (vreg_is_pointer(a)) { /* no other pointer is ever null */
			v->pc = op == EBPF_JNE ? target : v->pc + 1;
			return 0;
		}
	}
	if (EBPF_CLASS(insn.code) == EBPF_JMP && (insn.code & EBPF_X) && is_packet(a) &&
	    is_packet(b) && (equality || is_unsigned_order(op)))
		return fork_packet(v, insn, target);
	return verify_fail(v, "compare packet pointers with data_end, results of lookups with 0",
			   "this comparison would tell something about an address");
}

int verify_jump(struct verifier *v, struct ebpf_insn insn)
{
	uint32_t target = (uint32_t)ebpf_jump_target(insn, v->pc);
	struct vreg constant = vreg_scalar(scalar_const((uint64_t)(int64_t)insn.imm));
	const struct vreg *b = &constant;
	int err;

	if (ebpf_is_ja(insn)) {
		v->pc = target;
		return 0;
	}
	err = verify_reads(v, insn.dst);
	if (!err && (insn.code & EBPF_X)) {
		err = verify_reads(v, insn.src);
		b = vreg_at(v, insn.src);
	}
	if (err)
		return err;
	if (vreg_is_pointer(vreg_at(v, insn.dst)) || vreg_is_pointer(b))
		return verify_pointer_jump(v, insn, b, target);
	return fork_numbers(v, insn, target);
}
