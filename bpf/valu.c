/* Arithmetic: numbers by the abstract domain, pointers by adding and subtracting bounded numbers.
 */
#include "bpf/verify_priv.h"

static const char *const cure_bound =
	"bound the number first, for example: if (i > LIMIT) return LEAT_DROP;";

int verify_reads(struct verifier *v, unsigned int reg)
{
	if (vreg_at(v, reg)->type != V_NONE)
		return 0;
	return verify_fail(v, "initialise the variable on every path that leads here",
			   "r%u is read but was never written (calls erase r1 to r5)", reg);
}

int verify_writes(struct verifier *v, unsigned int reg)
{
	if (reg != EBPF_REG_FP)
		return 0;
	return verify_fail(v, "use another register", "r10, the frame pointer, is read-only");
}

static int verify_move(struct verifier *v, struct ebpf_insn insn)
{
	struct vreg *dst = vreg_at(v, insn.dst), *src = vreg_at(v, insn.src);
	bool is64 = EBPF_CLASS(insn.code) == EBPF_ALU64;
	struct scalar value;

	if (!(insn.code & EBPF_X)) {
		value = scalar_const((uint64_t)(int64_t)insn.imm);
		*dst = vreg_scalar(scalar_alu(insn, &value, &value));
		return 0;
	}
	if (src->type != V_SCALAR) {
		if (is64 && !insn.off) {
			*dst = *src;
			return 0;
		}
		return verify_fail(v, "copy pointers with all their 64 bits",
				   "part of a pointer would become a number");
	}
	value = scalar_alu(insn, &src->var, &src->var);
	if (insn.off || (!is64 && src->var.r64.umax > UINT32_MAX) || scalar_is_const(&value)) {
		*dst = (struct vreg){.type = V_SCALAR, .source = src->source, .var = value};
		return 0;
	}
	/* an unchanged copy: what is learnt of the one holds for the other */
	if (!src->id)
		src->id = v->next_id++;
	*dst = *src;
	return 0;
}

static bool is_packet(const struct vreg *reg)
{
	return reg->type == V_PKT || reg->type == V_PKT_END || reg->type == V_META;
}

/* Also of their low halves: "ctx->data_end - ctx->data" of Linux's contexts. */
static int pointer_difference(struct verifier *v, struct vreg *dst, const struct vreg *src,
			      bool is64)
{
	if (!is_packet(dst) || !is_packet(src))
		return verify_fail(v, "only packet pointers can be subtracted from each other",
				   "the difference of these pointers would tell an address");
	*dst = vreg_scalar(is64 ? scalar_unknown() : scalar_sized(4));
	return 0;
}

static bool offset_fits(int64_t off)
{
	return off > -VERIFY_OFFSET_MAX && off < VERIFY_OFFSET_MAX;
}

/* dst = pointer +- number */
static int pointer_add(struct verifier *v, struct vreg *dst, const struct vreg *pointer,
		       const struct vreg *operand, bool subtract)
{
	const struct scalar *number = &operand->var;
	struct ebpf_insn op = {
		.code = (uint8_t)(EBPF_ALU64 | (subtract ? EBPF_SUB : EBPF_ADD)),
	};
	struct vreg result = *pointer;
	int64_t off;

	if (vreg_may_be_null(pointer))
		return verify_fail(v, "compare it with 0 first: if (!value) return LEAT_DROP;",
				   "arithmetic on the result of a lookup that may be null");
	verify_rely_reg(v, operand);
	if (scalar_is_const(number) && !number->bits.value) {
		*dst = result;
		return 0;
	}
	if (pointer->type == V_PKT_END || pointer->type == V_MAP || pointer->type == V_FUNC)
		return verify_fail(v, "use the start of the packet, or the value of a lookup",
				   "arithmetic on the end of the packet, a map or a function");
	if (scalar_is_const(number)) {
		off = (int64_t)number->bits.value;
		if (!offset_fits(off))
			return verify_fail(v, cure_bound, "the pointer would move too far");
		off = pointer->off + (subtract ? -off : off);
		if (!offset_fits(off))
			return verify_fail(v, cure_bound, "the pointer would move too far");
		result.off = (int32_t)off;
		*dst = result;
		return 0;
	}
	if (pointer->type == V_CTX || pointer->type == V_OBJECT)
		return verify_fail(
			v, "use constant offsets in the context",
			"the context or an object would be reached by a computed offset");
	if (!offset_fits(number->r64.smin) || !offset_fits(number->r64.smax))
		return verify_fail(v, cure_bound,
				   "an unbounded number is added to a pointer (%lld..%lld)",
				   (long long)number->r64.smin, (long long)number->r64.smax);
	result.var = scalar_alu(op, &pointer->var, number);
	if (!offset_fits(result.var.r64.smin) || !offset_fits(result.var.r64.smax))
		return verify_fail(v, cure_bound, "the pointer would move too far");
	if (pointer->type == V_PKT || pointer->type == V_META) {
		result.id = v->next_id++;
		result.range = 0;
	}
	*dst = result;
	return 0;
}

static int verify_pointer_alu(struct verifier *v, struct ebpf_insn insn, const struct vreg *src)
{
	struct vreg *dst = vreg_at(v, insn.dst);
	uint8_t op = EBPF_OP(insn.code);
	bool is64 = EBPF_CLASS(insn.code) == EBPF_ALU64;

	if (op == EBPF_SUB && vreg_is_pointer(dst) && vreg_is_pointer(src))
		return pointer_difference(v, dst, src, is64);
	if (!is64 || (op != EBPF_ADD && op != EBPF_SUB))
		return verify_fail(v, "only + and - of 64 bits are allowed on pointers",
				   "arithmetic that would make a number of a pointer");
	if (vreg_is_pointer(dst) && vreg_is_pointer(src))
		return verify_fail(v, "add numbers to pointers", "two pointers are added");
	if (vreg_is_pointer(dst))
		return pointer_add(v, dst, dst, src, op == EBPF_SUB);
	if (op == EBPF_SUB)
		return verify_fail(v, "subtract the number from the pointer",
				   "a pointer is subtracted from a number");
	return pointer_add(v, dst, src, dst, false);
}

int verify_alu(struct verifier *v, struct ebpf_insn insn)
{
	uint8_t op = EBPF_OP(insn.code);
	bool uses_src = (insn.code & EBPF_X) && op != EBPF_END;
	struct vreg constant = vreg_scalar(scalar_const((uint64_t)(int64_t)insn.imm));
	struct vreg *dst = vreg_at(v, insn.dst);
	const struct vreg *src = uses_src ? vreg_at(v, insn.src) : &constant;
	int err = 0;

	if (uses_src)
		err = verify_reads(v, insn.src);
	if (!err && op != EBPF_MOV)
		err = verify_reads(v, insn.dst);
	if (!err)
		err = verify_writes(v, insn.dst);
	if (err)
		return err;
	if (op == EBPF_MOV)
		return verify_move(v, insn);
	if (vreg_is_pointer(dst) || vreg_is_pointer(src))
		return verify_pointer_alu(v, insn, src);
	*dst = (struct vreg){
		.type = V_SCALAR,
		.source = verify_source_join(v, dst->source, src->source),
		.var = scalar_alu(insn, &dst->var, &src->var),
	};
	return 0;
}
