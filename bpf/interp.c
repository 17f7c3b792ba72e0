/*
 * The interpreter: the whole instruction set of RFC 9669, one switch. It trusts its program: only
 * what the verifier accepted comes here. (ebpf_interp_run is long because it is a dispatch table.)
 */
#include "bpf/code.h"
#include "bpf/platform.h"

#include <stdatomic.h>
#include <string.h>

struct frame {
	uint64_t saved[4]; /* r6..r9 of the caller */
	uint32_t return_pc;
};

static uint64_t load(const void *addr, uint8_t code)
{
	uint8_t b;
	uint16_t h;
	uint32_t w;
	uint64_t dw;

	switch (EBPF_SIZE(code)) {
	case EBPF_B:
		memcpy(&b, addr, 1);
		return b;
	case EBPF_H:
		memcpy(&h, addr, 2);
		return h;
	case EBPF_W:
		memcpy(&w, addr, 4);
		return w;
	default:
		memcpy(&dw, addr, 8);
		return dw;
	}
}

static uint64_t load_signed(const void *addr, uint8_t code)
{
	uint64_t value = load(addr, code);

	switch (EBPF_SIZE(code)) {
	case EBPF_B:
		return (uint64_t)(int64_t)(int8_t)value;
	case EBPF_H:
		return (uint64_t)(int64_t)(int16_t)value;
	default:
		return (uint64_t)(int64_t)(int32_t)value;
	}
}

static void store(void *addr, uint8_t code, uint64_t value)
{
	memcpy(addr, &value, ebpf_size_bytes(code)); /* little endian */
}

/* Sequentially consistent, as the RFC asks; other threads may run programs on the same maps. */
static uint64_t atomic64(uint64_t *at, int32_t op, uint64_t value, uint64_t expected)
{
	switch (op & ~EBPF_FETCH) {
	case EBPF_ADD:
		return __atomic_fetch_add(at, value, __ATOMIC_SEQ_CST);
	case EBPF_OR:
		return __atomic_fetch_or(at, value, __ATOMIC_SEQ_CST);
	case EBPF_AND:
		return __atomic_fetch_and(at, value, __ATOMIC_SEQ_CST);
	case EBPF_XOR:
		return __atomic_fetch_xor(at, value, __ATOMIC_SEQ_CST);
	case EBPF_XCHG & ~EBPF_FETCH:
		return __atomic_exchange_n(at, value, __ATOMIC_SEQ_CST);
	default:
		__atomic_compare_exchange_n(at, &expected, value, false, __ATOMIC_SEQ_CST,
					    __ATOMIC_SEQ_CST);
		return expected;
	}
}

static uint32_t atomic32(uint32_t *at, int32_t op, uint32_t value, uint32_t expected)
{
	switch (op & ~EBPF_FETCH) {
	case EBPF_ADD:
		return __atomic_fetch_add(at, value, __ATOMIC_SEQ_CST);
	case EBPF_OR:
		return __atomic_fetch_or(at, value, __ATOMIC_SEQ_CST);
	case EBPF_AND:
		return __atomic_fetch_and(at, value, __ATOMIC_SEQ_CST);
	case EBPF_XOR:
		return __atomic_fetch_xor(at, value, __ATOMIC_SEQ_CST);
	case EBPF_XCHG & ~EBPF_FETCH:
		return __atomic_exchange_n(at, value, __ATOMIC_SEQ_CST);
	default:
		__atomic_compare_exchange_n(at, &expected, value, false, __ATOMIC_SEQ_CST,
					    __ATOMIC_SEQ_CST);
		return expected;
	}
}

static void atomic_op(struct ebpf_insn insn, uint64_t *regs)
{
	void *at = (void *)(uintptr_t)(regs[insn.dst] + (uint64_t)(int64_t)insn.off);
	uint64_t old;

	if (EBPF_SIZE(insn.code) == EBPF_DW)
		old = atomic64(at, insn.imm, regs[insn.src], regs[0]);
	else
		old = atomic32(at, insn.imm, (uint32_t)regs[insn.src], (uint32_t)regs[0]);
	if (insn.imm == EBPF_CMPXCHG)
		regs[0] = old;
	else if (insn.imm & EBPF_FETCH)
		regs[insn.src] = old;
}

static uint64_t swap_bytes(struct ebpf_insn insn, uint64_t value)
{
	/* on a little-endian machine to-LE only truncates */
	bool swap = EBPF_CLASS(insn.code) == EBPF_ALU64 || (insn.code & EBPF_X);

	switch (insn.imm) {
	case 16:
		return swap ? __builtin_bswap16((uint16_t)value) : (uint16_t)value;
	case 32:
		return swap ? __builtin_bswap32((uint32_t)value) : (uint32_t)value;
	default:
		return swap ? __builtin_bswap64(value) : value;
	}
}

static uint64_t divide64(uint64_t a, uint64_t b, bool is_signed, bool mod)
{
	if (b == 0)
		return mod ? a : 0;
	if (!is_signed)
		return mod ? a % b : a / b;
	if (b == UINT64_MAX) /* INT64_MIN / -1 overflows in C */
		return mod ? 0 : -a;
	return (uint64_t)(mod ? (int64_t)a % (int64_t)b : (int64_t)a / (int64_t)b);
}

static uint32_t divide32(uint32_t a, uint32_t b, bool is_signed, bool mod)
{
	if (b == 0)
		return mod ? a : 0;
	if (!is_signed)
		return mod ? a % b : a / b;
	if (b == UINT32_MAX)
		return mod ? 0 : -a;
	return (uint32_t)(mod ? (int32_t)a % (int32_t)b : (int32_t)a / (int32_t)b);
}

static uint64_t move_signed(uint64_t value, int16_t width)
{
	switch (width) {
	case 8:
		return (uint64_t)(int64_t)(int8_t)value;
	case 16:
		return (uint64_t)(int64_t)(int16_t)value;
	case 32:
		return (uint64_t)(int64_t)(int32_t)value;
	default:
		return value;
	}
}

uint64_t ebpf_alu64(struct ebpf_insn insn, uint64_t a, uint64_t b)
{
	switch (EBPF_OP(insn.code)) {
	case EBPF_ADD:
		return a + b;
	case EBPF_SUB:
		return a - b;
	case EBPF_MUL:
		return a * b;
	case EBPF_DIV:
		return divide64(a, b, insn.off == 1, false);
	case EBPF_MOD:
		return divide64(a, b, insn.off == 1, true);
	case EBPF_OR:
		return a | b;
	case EBPF_AND:
		return a & b;
	case EBPF_LSH:
		return a << (b & 63);
	case EBPF_RSH:
		return a >> (b & 63);
	case EBPF_ARSH:
		return (uint64_t)((int64_t)a >> (b & 63));
	case EBPF_NEG:
		return -a;
	case EBPF_XOR:
		return a ^ b;
	case EBPF_MOV:
		return move_signed(b, insn.off);
	default:
		return swap_bytes(insn, a);
	}
}

uint64_t ebpf_alu32(struct ebpf_insn insn, uint64_t a64, uint64_t b64)
{
	uint32_t a = (uint32_t)a64, b = (uint32_t)b64;

	switch (EBPF_OP(insn.code)) {
	case EBPF_ADD:
		return a + b;
	case EBPF_SUB:
		return a - b;
	case EBPF_MUL:
		return a * b;
	case EBPF_DIV:
		return divide32(a, b, insn.off == 1, false);
	case EBPF_MOD:
		return divide32(a, b, insn.off == 1, true);
	case EBPF_OR:
		return a | b;
	case EBPF_AND:
		return a & b;
	case EBPF_LSH:
		return a << (b & 31);
	case EBPF_RSH:
		return a >> (b & 31);
	case EBPF_ARSH:
		return (uint32_t)((int32_t)a >> (b & 31));
	case EBPF_NEG:
		return 0u - a;
	case EBPF_XOR:
		return a ^ b;
	case EBPF_MOV:
		return (uint32_t)move_signed(b, insn.off);
	default:
		return swap_bytes(insn, a64);
	}
}

bool ebpf_jump_taken(struct ebpf_insn insn, uint64_t a, uint64_t b)
{
	int64_t sa = (int64_t)a, sb = (int64_t)b;

	if (EBPF_CLASS(insn.code) == EBPF_JMP32) {
		sa = (int32_t)a;
		sb = (int32_t)b;
		a = (uint32_t)a;
		b = (uint32_t)b;
	}
	switch (EBPF_OP(insn.code)) {
	case EBPF_JA:
		return true;
	case EBPF_JEQ:
		return a == b;
	case EBPF_JNE:
		return a != b;
	case EBPF_JGT:
		return a > b;
	case EBPF_JGE:
		return a >= b;
	case EBPF_JLT:
		return a < b;
	case EBPF_JLE:
		return a <= b;
	case EBPF_JSET:
		return a & b;
	case EBPF_JSGT:
		return sa > sb;
	case EBPF_JSGE:
		return sa >= sb;
	case EBPF_JSLT:
		return sa < sb;
	default:
		return sa <= sb;
	}
}

uint64_t ebpf_lddw_value(const struct ebpf_insn *insn, const struct ebpf_env *env)
{
	switch (insn->src) {
	case EBPF_LDDW_MAP:
		return (uintptr_t)env->slot[insn->imm].map;
	case EBPF_LDDW_VALUE:
		return (uintptr_t)env->slot[insn->imm].values + (uint32_t)insn[1].imm;
	default:
		return ebpf_lddw_imm(insn);
	}
}

static void load_store(struct ebpf_insn insn, uint64_t *regs)
{
	uint64_t offset = (uint64_t)(int64_t)insn.off;

	switch (EBPF_CLASS(insn.code)) {
	case EBPF_LDX:
		if (EBPF_MODE(insn.code) == EBPF_MEMSX)
			regs[insn.dst] = load_signed((void *)(uintptr_t)(regs[insn.src] + offset),
						     insn.code);
		else
			regs[insn.dst] =
				load((void *)(uintptr_t)(regs[insn.src] + offset), insn.code);
		return;
	case EBPF_ST:
		store((void *)(uintptr_t)(regs[insn.dst] + offset), insn.code,
		      (uint64_t)(int64_t)insn.imm);
		return;
	default:
		if (EBPF_MODE(insn.code) == EBPF_ATOMIC)
			atomic_op(insn, regs);
		else
			store((void *)(uintptr_t)(regs[insn.dst] + offset), insn.code,
			      regs[insn.src]);
	}
}

uint64_t ebpf_interp_run(const struct ebpf_code *code, uint64_t arg1, uint64_t arg2,
			 const struct ebpf_env *env)
{
	_Alignas(16) uint8_t stack[EBPF_CALL_DEPTH][EBPF_STACK_SIZE];
	struct frame frames[EBPF_CALL_DEPTH];
	uint64_t regs[EBPF_REGS] = {0};
	uint32_t pc = 0, depth = 0;

	regs[1] = arg1;
	regs[2] = arg2;
	regs[EBPF_REG_FP] = (uintptr_t)stack[0] + EBPF_STACK_SIZE;
	for (;;) {
		struct ebpf_insn insn = code->insns[pc];
		uint64_t operand =
			insn.code & EBPF_X ? regs[insn.src] : (uint64_t)(int64_t)insn.imm;

		switch (EBPF_CLASS(insn.code)) {
		case EBPF_ALU64:
			regs[insn.dst] = ebpf_alu64(insn, regs[insn.dst], operand);
			break;
		case EBPF_ALU:
			regs[insn.dst] = ebpf_alu32(insn, regs[insn.dst], operand);
			break;
		case EBPF_LD:
			regs[insn.dst] = ebpf_lddw_value(&code->insns[pc], env);
			pc++;
			break;
		case EBPF_JMP:
			if (ebpf_is_exit(insn)) {
				if (depth == 0)
					return regs[0];
				pc = frames[depth].return_pc;
				memcpy(&regs[6], frames[depth].saved, sizeof(frames[depth].saved));
				depth--;
				regs[EBPF_REG_FP] = (uintptr_t)stack[depth] + EBPF_STACK_SIZE;
				continue;
			}
			if (ebpf_is_call(insn) && insn.src == EBPF_CALL_LOCAL) {
				depth++; /* the verifier bounds it */
				memcpy(frames[depth].saved, &regs[6], sizeof(frames[depth].saved));
				frames[depth].return_pc = pc + 1;
				regs[EBPF_REG_FP] = (uintptr_t)stack[depth] + EBPF_STACK_SIZE;
				pc = (uint32_t)((int64_t)pc + 1 + insn.imm);
				continue;
			}
			if (ebpf_is_call(insn)) {
				regs[0] = ebpf_helpers[insn.imm].fn(regs[1], regs[2], regs[3],
								    regs[4], regs[5], env);
				break;
			}
			__attribute__((fallthrough));
		case EBPF_JMP32:
			if (ebpf_jump_taken(insn, regs[insn.dst], operand))
				pc = (uint32_t)ebpf_jump_target(insn, pc) - 1;
			break;
		default:
			load_store(insn, regs);
		}
		pc++;
	}
}
