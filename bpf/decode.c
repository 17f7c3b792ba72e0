/* Which sequences of eight-byte words are programs: opcodes, unused fields, targets of jumps. */
#include "bpf/insn.h"

#include <errno.h>

static const char *check_alu(struct ebpf_insn insn)
{
	bool is64 = EBPF_CLASS(insn.code) == EBPF_ALU64;
	bool reg = insn.code & EBPF_X;
	uint8_t op = EBPF_OP(insn.code);

	if (op > EBPF_END)
		return "unknown arithmetic operation";
	if (op == EBPF_END) {
		if (insn.imm != 16 && insn.imm != 32 && insn.imm != 64)
			return "byte swap of a width other than 16, 32 or 64";
		if (insn.off || insn.src || (is64 && reg))
			return "byte swap with a field set that it does not use";
		return NULL;
	}
	if (op == EBPF_NEG)
		return reg || insn.off || insn.src || insn.imm ?
			       "negation with a field set that it does not use" :
			       NULL;
	if (reg ? insn.imm != 0 : insn.src != 0)
		return "arithmetic with a field set that it does not use";
	if (op == EBPF_MOV && reg && insn.off) {
		bool ok = insn.off == 8 || insn.off == 16 || (insn.off == 32 && is64);

		return ok ? NULL : "sign-extending move of an unknown width";
	}
	if (op == EBPF_DIV || op == EBPF_MOD) {
		if (insn.off != 0 && insn.off != 1)
			return "division with an unknown variant";
	} else if (insn.off) {
		return "arithmetic with an offset";
	}
	return NULL;
}

static const char *check_jump_fields(struct ebpf_insn insn)
{
	bool is32 = EBPF_CLASS(insn.code) == EBPF_JMP32;
	bool reg = insn.code & EBPF_X;

	switch (EBPF_OP(insn.code)) {
	case EBPF_JA:
		if (reg || insn.dst || insn.src || (is32 ? insn.off : insn.imm))
			return "goto with a field set that it does not use";
		return NULL;
	case EBPF_CALL:
		if (is32 || insn.dst || insn.off)
			return "call with a field set that it does not use";
		if (reg)
			return "call through a register";
		if (insn.src != EBPF_CALL_HELPER && insn.src != EBPF_CALL_LOCAL)
			return "call of an unknown kind";
		return NULL;
	case EBPF_EXIT:
		if (is32 || reg || insn.dst || insn.src || insn.off || insn.imm)
			return "exit with a field set that it does not use";
		return NULL;
	default:
		if (EBPF_OP(insn.code) > EBPF_JSLE)
			return "unknown jump";
		if (reg ? insn.imm != 0 : insn.src != 0)
			return "jump with a field set that it does not use";
		return NULL;
	}
}

static const char *check_atomic(struct ebpf_insn insn)
{
	if (EBPF_SIZE(insn.code) != EBPF_W && EBPF_SIZE(insn.code) != EBPF_DW)
		return "atomic operation on 1 or 2 bytes";
	switch (insn.imm) {
	case EBPF_ADD:
	case EBPF_ADD | EBPF_FETCH:
	case EBPF_OR:
	case EBPF_OR | EBPF_FETCH:
	case EBPF_AND:
	case EBPF_AND | EBPF_FETCH:
	case EBPF_XOR:
	case EBPF_XOR | EBPF_FETCH:
	case EBPF_XCHG:
	case EBPF_CMPXCHG:
		return NULL;
	default:
		return "unknown atomic operation";
	}
}

static const char *check_memory(struct ebpf_insn insn)
{
	uint8_t mode = EBPF_MODE(insn.code);

	switch (EBPF_CLASS(insn.code)) {
	case EBPF_LDX:
		if (insn.imm)
			return "load with a field set that it does not use";
		if (mode == EBPF_MEM || (mode == EBPF_MEMSX && EBPF_SIZE(insn.code) != EBPF_DW))
			return NULL;
		return "unknown load";
	case EBPF_ST:
		if (mode != EBPF_MEM)
			return "unknown store";
		return insn.src ? "store with a field set that it does not use" : NULL;
	default:
		if (mode == EBPF_ATOMIC)
			return check_atomic(insn);
		if (mode != EBPF_MEM)
			return "unknown store";
		return insn.imm ? "store with a field set that it does not use" : NULL;
	}
}

static const char *check_classic(struct ebpf_insn insn)
{
	if (!ebpf_is_classic(insn) || EBPF_SIZE(insn.code) == EBPF_DW)
		return "unknown load";
	if (insn.dst || insn.off || (EBPF_MODE(insn.code) == EBPF_ABS && insn.src))
		return "classic load with a field set that it does not use";
	return NULL;
}

static const char *check_lddw(const struct ebpf_insn *insns, size_t count, size_t pc)
{
	struct ebpf_insn insn = insns[pc];

	if (insn.code != EBPF_LDDW)
		return check_classic(insn);
	if (insn.off || (insn.src > EBPF_LDDW_VALUE && insn.src != EBPF_LDDW_FUNC))
		return "64-bit constant of an unknown kind";
	if (pc + 1 >= count)
		return "64-bit constant without its second half";
	if ((insn.src == EBPF_LDDW_MAP || insn.src == EBPF_LDDW_FUNC) && insns[pc + 1].imm)
		return "a map or function with an offset";
	if (insns[pc + 1].code || insns[pc + 1].dst || insns[pc + 1].src || insns[pc + 1].off)
		return "64-bit constant whose second half has a field set that it does not use";
	return NULL;
}

static const char *check_fields(const struct ebpf_insn *insns, size_t count, size_t pc)
{
	struct ebpf_insn insn = insns[pc];

	if (insn.dst > EBPF_REG_FP || insn.src > EBPF_REG_FP)
		return "unknown register";
	switch (EBPF_CLASS(insn.code)) {
	case EBPF_ALU:
	case EBPF_ALU64:
		return check_alu(insn);
	case EBPF_JMP:
	case EBPF_JMP32:
		return check_jump_fields(insn);
	case EBPF_LD:
		return check_lddw(insns, count, pc);
	default:
		return check_memory(insn);
	}
}

/* Is @pc the first slot of an instruction? A second half has code 0, which no instruction has. */
static bool is_start(const struct ebpf_insn *insns, size_t count, int64_t pc)
{
	return pc >= 0 && (uint64_t)pc < count && insns[pc].code != 0;
}

static const char *check_target(const struct ebpf_insn *insns, size_t count, size_t pc)
{
	struct ebpf_insn insn = insns[pc];

	if (ebpf_is_jump(insn) && !is_start(insns, count, ebpf_jump_target(insn, (int64_t)pc)))
		return "jump to where no instruction is";
	if (ebpf_is_func(insn) && !is_start(insns, count, ebpf_func_target(insn, (int64_t)pc)))
		return "call to where no instruction is";
	return NULL;
}

int ebpf_insns_check(const struct ebpf_insn *insns, size_t count, size_t *ret_index,
		     const char **ret_reason)
{
	const char *reason = NULL;
	size_t pc, last = 0;

	*ret_index = 0;
	*ret_reason = "no instructions, or too many";
	if (count == 0 || count > EBPF_INSNS_MAX)
		return -EINVAL;
	for (pc = 0; pc < count && !reason; pc++) {
		last = pc;
		reason = check_fields(insns, count, pc);
		if (!reason)
			reason = check_target(insns, count, pc);
		if (!reason && insns[pc].code == EBPF_LDDW)
			pc++;
	}
	if (!reason && !ebpf_is_exit(insns[last]) && !ebpf_is_ja(insns[last]))
		reason = "control can run off the end of the program";
	if (!reason)
		return 0;
	*ret_index = last;
	*ret_reason = reason;
	return -EINVAL;
}
