/* Branches: which ways are possible, and what each teaches. */
#include "bpf/verify_priv.h"

struct lesson {
	struct verifier *v;
	uint32_t id;
	uint32_t source;
	struct scalar value;
};

static void learn_number(struct vreg *reg, void *arg)
{
	const struct lesson *lesson = arg;

	if (reg->type != V_SCALAR || reg->id != lesson->id)
		return;
	reg->var = lesson->value;
	reg->source = verify_source_join(lesson->v, reg->source, lesson->source);
}

/* Learnt by a comparison with a number from @other. */
static void set_number(struct verifier *v, struct vstate *state, unsigned int index,
		       const struct scalar *value, uint32_t other)
{
	struct vreg *reg = &vstate_top(state)->regs[index];
	struct lesson lesson = {v, reg->id, 0, *value};

	if (scalar_equal(&reg->var, value))
		return;
	lesson.source = verify_source_join(v, reg->source, other);
	if (reg->id) {
		vstate_each(state, learn_number, &lesson);
	} else {
		reg->var = *value;
		reg->source = lesson.source;
	}
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

static void set_operands(struct verifier *v, struct vstate *state, struct ebpf_insn insn,
			 const struct operands *operands)
{
	const struct vreg *regs = vstate_top(state)->regs;
	uint32_t a = regs[insn.dst].source, b = 0;

	if ((insn.code & EBPF_X) && insn.src != insn.dst)
		b = regs[insn.src].source;
	set_number(v, state, insn.dst, &operands->a, b);
	if ((insn.code & EBPF_X) && insn.src != insn.dst)
		set_number(v, state, insn.src, &operands->b, a);
}

struct null_lesson {
	uint32_t id;
	bool null;
};

static void learn_null(struct vreg *reg, void *arg)
{
	const struct null_lesson *lesson = arg;

	if (!vreg_may_be_null(reg) || reg->id != lesson->id)
		return;
	if (lesson->null) {
		*reg = vreg_scalar(scalar_const(0));
		return;
	}
	reg->type--; /* the kind itself is in front */
	if (reg->type != V_RECORD && reg->type != V_OBJECT)
		reg->id = 0;
}

static void learn_whether_null(struct vstate *state, struct null_lesson lesson)
{
	if (lesson.null) /* nothing was given, nothing has to be given back */
		vstate_release(state, lesson.id);
	vstate_each(state, learn_null, &lesson);
}

struct range_lesson {
	uint8_t type;
	uint32_t id;
	uint32_t range;
};

static void learn_range(struct vreg *reg, void *arg)
{
	const struct range_lesson *lesson = arg;

	if (reg->type == lesson->type && reg->id == lesson->id && reg->range < lesson->range)
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

/* What "pointer OP end of its memory", true or not, says about the bytes before the pointer. */
static void learn_packet(struct vstate *state, const struct vreg *pointer, uint8_t op, bool taken)
{
	struct range_lesson lesson = {pointer->type, pointer->id, 0};
	int64_t bytes = pointer->off;

	if ((op == EBPF_JLE && taken) || (op == EBPF_JGT && !taken))
		lesson.range = bytes > 0 ? (uint32_t)bytes : 0; /* pointer <= end */
	else if ((op == EBPF_JLT && taken) || (op == EBPF_JGE && !taken))
		lesson.range = bytes >= 0 ? (uint32_t)bytes + 1 : 0; /* pointer < end */
	if (lesson.range)
		vstate_each(state, learn_range, &lesson);
}

/* The address of the packet's first byte: there the metadata in front ends. */
static bool is_packet_start(const struct vreg *reg)
{
	return reg->type == V_PKT && !reg->id && !reg->off && scalar_is_const(&reg->var) &&
	       !reg->var.bits.value;
}

/* Is @a a pointer whose memory ends at @b? */
static bool is_bounded_by(const struct vreg *a, const struct vreg *b)
{
	return (a->type == V_PKT && b->type == V_PKT_END) ||
	       (a->type == V_META && is_packet_start(b));
}

/* Pushes the taken way with what it teaches; the walk goes on with the other one. */
static int fork_packet(struct verifier *v, struct ebpf_insn insn, uint32_t target)
{
	struct vreg a = *vreg_at(v, insn.dst), b = *vreg_at(v, insn.src);
	uint8_t op = EBPF_OP(insn.code);
	struct vstate taken;
	int err = vstate_copy(&taken, &v->now, true);

	if (err)
		return err;
	if (is_bounded_by(&a, &b)) {
		learn_packet(&taken, &a, op, true);
		learn_packet(&v->now, &a, op, false);
	} else if (is_bounded_by(&b, &a)) {
		learn_packet(&taken, &b, mirrored(op), true);
		learn_packet(&v->now, &b, mirrored(op), false);
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
	learn_whether_null(&taken, lesson);
	lesson.null = !lesson.null;
	learn_whether_null(&v->now, lesson);
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

	if (!may_jump || !may_fall) {
		verify_rely_reg(v, vreg_at(v, insn.dst));
		if (insn.code & EBPF_X)
			verify_rely_reg(v, vreg_at(v, insn.src));
	}
	if (!may_jump && !may_fall)
		return 1;
	if (!may_fall) {
		set_operands(v, &v->now, insn, &if_taken);
		v->pc = target;
		return 0;
	}
	if (may_jump) {
		err = vstate_copy(&taken, &v->now, true);
		if (err)
			return err;
		set_operands(v, &taken, insn, &if_taken);
		err = verify_push(v, &taken, target);
	}
	set_operands(v, &v->now, insn, &if_not);
	v->pc++;
	return err;
}

static bool is_packet(const struct vreg *reg)
{
	return reg->type == V_PKT || reg->type == V_PKT_END || reg->type == V_META;
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
		verify_rely_reg(v, b);
		if (vreg_may_be_null(a))
			return fork_null(v, insn, target);
		if (vreg_is_pointer(a)) { /* no other pointer is ever null */
			v->pc = op == EBPF_JNE ? target : v->pc + 1;
			return 0;
		}
	}
	if (EBPF_CLASS(insn.code) == EBPF_JMP && (insn.code & EBPF_X) && is_packet(a) &&
	    is_packet(b) && (equality || is_unsigned_order(op)))
		return fork_packet(v, insn, target);
	/*
	 * Linux's contexts have packet pointers in 32 bits: a compiler then looks for null in a low
	 * half. Either way is walked, and nothing is learnt.
	 */
	if (!v->type->runnable && EBPF_CLASS(insn.code) == EBPF_JMP32 && equality && with_null &&
	    is_packet(a)) {
		verify_rely_reg(v, b);
		return fork_packet(v, insn, target);
	}
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
