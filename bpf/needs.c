/*
 * Two passes over the control-flow graph before the walk: forwards, which registers may hold
 * pointers (and pointers to the stack); backwards, which are read later, and which can influence an
 * access or a branch. States that differ only in what does not matter need no second proof.
 *
 * A number is "exact" at a point if it may flow into an address, a size, a branch or the stack
 * (whose slots are always compared). It is not if it ends in a map, in the packet, in a result:
 * nothing that the verifier decides depends on it.
 */
#include "bpf/verify_priv.h"

#include <stdlib.h>
#include <string.h>

/* No shift: the sanitizers' builds warn of its width. */
#define REG(i) (reg_bits[i])
static const uint16_t reg_bits[16] = {1,   2,   4,    8,    16,   32,   64,    128,
				      256, 512, 1024, 2048, 4096, 8192, 16384, 32768};
#define ARG_REGS 0x3e     /* r1..r5 */
#define SCRATCH_REGS 0x3f /* r0..r5 */

static uint16_t put(uint16_t set, unsigned int reg, bool in)
{
	return in ? set | REG(reg) : set & (uint16_t)~REG(reg);
}

/* Pointers and stack pointers behind one instruction, given those before it. */
static void forward(struct ebpf_insn insn, struct vneed *n)
{
	bool src_ptr = n->pointer >> insn.src & 1, src_stack = n->stack >> insn.src & 1;
	bool dst_ptr = n->pointer >> insn.dst & 1, dst_stack = n->stack >> insn.dst & 1;
	bool reg = insn.code & EBPF_X;
	uint8_t op = EBPF_OP(insn.code);

	switch (EBPF_CLASS(insn.code)) {
	case EBPF_ALU64:
		if (op == EBPF_MOV) {
			dst_ptr = reg && src_ptr;
			dst_stack = reg && src_stack;
		} else if (op == EBPF_ADD && reg) {
			dst_ptr |= src_ptr;
			dst_stack |= src_stack;
		}
		break;
	case EBPF_ALU:
		dst_ptr = dst_stack = false;
		break;
	case EBPF_LD:
		if (ebpf_is_classic(insn)) {
			n->pointer &= (uint16_t)~SCRATCH_REGS;
			n->stack &= (uint16_t)~SCRATCH_REGS;
			return;
		}
		dst_ptr = insn.src != EBPF_LDDW_IMM;
		dst_stack = false;
		break;
	case EBPF_LDX: /* contexts of Linux have pointers in 32-bit fields */
		dst_ptr = EBPF_SIZE(insn.code) == EBPF_DW || EBPF_SIZE(insn.code) == EBPF_W;
		dst_stack = EBPF_SIZE(insn.code) == EBPF_DW;
		break;
	case EBPF_STX: /* a fetched value is a number */
		return;
	case EBPF_JMP:
		if (!ebpf_is_call(insn))
			return;
		n->pointer &= (uint16_t)~SCRATCH_REGS;
		n->stack &= (uint16_t)~SCRATCH_REGS;
		n->pointer |= REG(0);
		return;
	default:
		return;
	}
	n->pointer = put(n->pointer, insn.dst, dst_ptr);
	n->stack = put(n->stack, insn.dst, dst_stack);
}

static bool join_forward(struct vneed *to, const struct vneed *from, bool *seen)
{
	uint16_t pointer = to->pointer | from->pointer, stack = to->stack | from->stack;
	bool changed = !*seen || pointer != to->pointer || stack != to->stack;

	*seen = true;
	to->pointer = pointer;
	to->stack = stack;
	return changed;
}

/* Up to two successors within the function; calls go on behind themselves. */
static unsigned int successors(const struct ebpf_insn *insns, uint32_t pc, uint32_t next[2])
{
	struct ebpf_insn insn = insns[pc];
	unsigned int count = 0;

	if (ebpf_is_exit(insn))
		return 0;
	if (ebpf_is_jump(insn))
		next[count++] = (uint32_t)ebpf_jump_target(insn, pc);
	if (!ebpf_is_ja(insn))
		next[count++] = pc + (insn.code == EBPF_LDDW ? 2 : 1);
	return count;
}

static void enter_callee(struct verifier *v, uint32_t pc, const struct vneed *at, bool *seen,
			 bool *changed)
{
	uint32_t target = (uint32_t)ebpf_func_target(v->insns[pc], pc);
	struct vneed entry = {.pointer = (at->pointer & ARG_REGS) | REG(EBPF_REG_FP),
			      .stack = (at->stack & ARG_REGS) | REG(EBPF_REG_FP)};

	if (!ebpf_is_call(v->insns[pc])) /* a callback gets a number and its context */
		entry.pointer = entry.stack = REG(2) | REG(EBPF_REG_FP);
	*changed |= join_forward(&v->needs[target], &entry, &seen[target]);
}

static void forward_pass(struct verifier *v, bool *seen)
{
	bool changed = true;

	v->needs[0].pointer = REG(1) | REG(EBPF_REG_FP);
	v->needs[0].stack = REG(EBPF_REG_FP);
	seen[0] = true;
	while (changed) {
		uint32_t pc, next[2];

		changed = false;
		for (pc = 0; pc < v->count; pc++) {
			struct ebpf_insn insn = v->insns[pc];
			struct vneed after = v->needs[pc];
			unsigned int i, n;

			if (!seen[pc])
				continue;
			if (ebpf_is_func(insn))
				enter_callee(v, pc, &after, seen, &changed);
			forward(insn, &after);
			n = successors(v->insns, pc, next);
			for (i = 0; i < n; i++)
				changed |= join_forward(&v->needs[next[i]], &after, &seen[next[i]]);
		}
	}
}

static void backward_alu(struct ebpf_insn insn, const struct vneed *before, uint16_t *live,
			 uint16_t *exact)
{
	uint8_t op = EBPF_OP(insn.code);
	bool reads_src = (insn.code & EBPF_X) && op != EBPF_END;
	bool wanted = *exact >> insn.dst & 1;

	if (op == EBPF_MOV) {
		*live &= (uint16_t)~REG(insn.dst);
		*exact &= (uint16_t)~REG(insn.dst);
	} else {
		*live |= REG(insn.dst);
	}
	if (reads_src) {
		*live |= REG(insn.src);
		if (wanted)
			*exact |= REG(insn.src);
	}
	/* arithmetic on a pointer is checked where it happens */
	if (op != EBPF_MOV && reads_src && (before->pointer & (REG(insn.dst) | REG(insn.src))))
		*exact |= REG(insn.dst) | REG(insn.src);
}

static void backward_store(struct ebpf_insn insn, const struct vneed *before, uint16_t *live,
			   uint16_t *exact)
{
	bool atomic = EBPF_CLASS(insn.code) == EBPF_STX && EBPF_MODE(insn.code) == EBPF_ATOMIC;

	if (atomic && insn.imm == EBPF_CMPXCHG) {
		*live |= REG(0);
		*exact &= (uint16_t)~REG(0);
	} else if (atomic && (insn.imm & EBPF_FETCH)) {
		*exact &= (uint16_t)~REG(insn.src);
	}
	*live |= REG(insn.dst);
	*exact |= REG(insn.dst);
	if (EBPF_CLASS(insn.code) == EBPF_STX) {
		*live |= REG(insn.src);
		if (before->stack >> insn.dst & 1)
			*exact |= REG(insn.src);
	}
}

static void backward_call(struct ebpf_insn insn, uint16_t *live, uint16_t *exact)
{
	unsigned int i;

	*live &= (uint16_t)~SCRATCH_REGS;
	*exact &= (uint16_t)~SCRATCH_REGS;
	if (insn.src == EBPF_CALL_LOCAL || insn.imm <= 0 || insn.imm >= EBPF_HELPERS) {
		*live |= ARG_REGS;
		*exact |= ARG_REGS;
		return;
	}
	for (i = 0; i < 5; i++) {
		uint8_t arg = ebpf_helpers[insn.imm].args[i];

		if (arg != ARG_NONE)
			*live |= REG(i + 1);
		if (arg != ARG_NONE && arg != ARG_SCALAR)
			*exact |= REG(i + 1);
	}
}

static void backward_jump(struct ebpf_insn insn, uint16_t *live, uint16_t *exact)
{
	uint16_t used = 0;

	if (!ebpf_is_ja(insn))
		used = (uint16_t)(REG(insn.dst) | (insn.code & EBPF_X ? REG(insn.src) : 0));
	*live |= used;
	*exact |= used;
}

/* What matters before one instruction, given what matters behind it. */
static void backward(struct ebpf_insn insn, const struct vneed *before, uint16_t *live,
		     uint16_t *exact, bool in_main)
{
	switch (EBPF_CLASS(insn.code)) {
	case EBPF_ALU:
	case EBPF_ALU64:
		backward_alu(insn, before, live, exact);
		break;
	case EBPF_LD:
		if (ebpf_is_classic(insn)) {
			*live = (*live & (uint16_t)~SCRATCH_REGS) | REG(6);
			*exact = (*exact & (uint16_t)~SCRATCH_REGS) | REG(6);
			if (EBPF_MODE(insn.code) == EBPF_IND)
				*live |= REG(insn.src);
			break;
		}
		*live &= (uint16_t)~REG(insn.dst);
		*exact &= (uint16_t)~REG(insn.dst);
		break;
	case EBPF_LDX:
		*live = (*live & (uint16_t)~REG(insn.dst)) | REG(insn.src);
		*exact = (*exact & (uint16_t)~REG(insn.dst)) | REG(insn.src);
		break;
	case EBPF_ST:
	case EBPF_STX:
		backward_store(insn, before, live, exact);
		break;
	default:
		if (ebpf_is_exit(insn)) {
			*live = REG(0);
			*exact = in_main ? 0 : REG(0);
		} else if (ebpf_is_call(insn)) {
			backward_call(insn, live, exact);
		} else {
			backward_jump(insn, live, exact);
		}
	}
}

static void backward_pass(struct verifier *v)
{
	bool changed = true;

	while (changed) {
		uint32_t pc, next[2];

		changed = false;
		for (pc = v->count; pc-- > 0;) {
			uint16_t live = 0, exact = 0;
			unsigned int i, n;

			if (v->insns[pc].code == 0)
				continue;
			n = successors(v->insns, pc, next);
			for (i = 0; i < n; i++) {
				live |= v->needs[next[i]].live;
				exact |= v->needs[next[i]].exact;
			}
			backward(v->insns[pc], &v->needs[pc], &live, &exact,
				 v->function_of[pc] == 0);
			changed |= live != v->needs[pc].live || exact != v->needs[pc].exact;
			v->needs[pc].live = live;
			v->needs[pc].exact = exact;
		}
	}
}

int verify_needs(struct verifier *v)
{
	bool *seen = calloc(v->count, sizeof(*seen));

	if (!seen)
		return -ENOMEM;
	forward_pass(v, seen);
	backward_pass(v);
	free(seen);
	return 0;
}
