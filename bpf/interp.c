/*
 * The interpreter: the whole instruction set of RFC 9669, one switch. It trusts its program: only
 * what the verifier accepted comes here. (run is long because it is a dispatch table.)
 */
#include "bpf/code.h"
#include "bpf/platform.h"

#include <linux/bpf.h>

#include <stdatomic.h>
#include <string.h>

struct frame {
	uint64_t saved[4]; /* r6..r9 of the caller */
	uint32_t return_pc;
	bool looping; /* a callback of bpf_loop() */
	uint32_t callback;
	uint32_t round, rounds;
	uint64_t ctx;
};

struct machine {
	const struct ebpf_code *code;
	const struct ebpf_env *env;
	uint64_t regs[EBPF_REGS];
	uint32_t pc;
	uint32_t depth;
	struct frame frames[EBPF_CALL_DEPTH];
	_Alignas(16) uint8_t stack[EBPF_CALL_DEPTH][EBPF_STACK_SIZE];
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

uint64_t ebpf_lddw_value(const struct ebpf_insn *insn, uint32_t pc, const struct ebpf_env *env)
{
	switch (insn->src) {
	case EBPF_LDDW_MAP:
		return (uintptr_t)env->slot[insn->imm].map;
	case EBPF_LDDW_VALUE:
		return (uintptr_t)env->slot[insn->imm].values + (uint32_t)insn[1].imm;
	case EBPF_LDDW_FUNC:
		return (uint64_t)ebpf_func_target(*insn, pc);
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

/* Into a function; the verifier bounds the depth. */
static void enter(struct machine *m, uint32_t pc, uint32_t return_pc)
{
	struct frame *frame = &m->frames[++m->depth];

	memcpy(frame->saved, &m->regs[6], sizeof(frame->saved));
	frame->return_pc = return_pc;
	frame->looping = false;
	m->regs[EBPF_REG_FP] = (uintptr_t)m->stack[m->depth] + EBPF_STACK_SIZE;
	m->pc = pc;
}

/* The next round, or the end of the loop. */
static void loop_round(struct machine *m, struct frame loop)
{
	if (loop.round == loop.rounds) {
		m->regs[0] = loop.round;
		m->pc = loop.return_pc;
		return;
	}
	m->regs[1] = loop.round;
	m->regs[2] = loop.ctx;
	enter(m, loop.callback, loop.return_pc);
	m->frames[m->depth].looping = true;
	m->frames[m->depth].callback = loop.callback;
	m->frames[m->depth].round = loop.round;
	m->frames[m->depth].rounds = loop.rounds;
	m->frames[m->depth].ctx = loop.ctx;
}

static void leave(struct machine *m)
{
	struct frame frame = m->frames[m->depth];

	memcpy(&m->regs[6], frame.saved, sizeof(frame.saved));
	m->depth--;
	m->regs[EBPF_REG_FP] = (uintptr_t)m->stack[m->depth] + EBPF_STACK_SIZE;
	m->pc = frame.return_pc;
	if (!frame.looping)
		return;
	frame.round++;
	if (m->regs[0])
		frame.rounds = frame.round;
	loop_round(m, frame);
}

static void call(struct machine *m, struct ebpf_insn insn)
{
	uint64_t *r = m->regs;

	if (insn.src == EBPF_CALL_LOCAL) {
		enter(m, (uint32_t)ebpf_func_target(insn, m->pc), m->pc + 1);
	} else if (insn.imm == BPF_FUNC_loop) {
		loop_round(m, (struct frame){.callback = (uint32_t)r[2],
					     .rounds = (uint32_t)r[1],
					     .ctx = r[3],
					     .return_pc = m->pc + 1});
	} else {
		r[0] = ebpf_helpers[insn.imm].fn(r[1], r[2], r[3], r[4], r[5], m->env);
		m->pc++;
	}
}

static uint64_t run(struct machine *m)
{
	uint64_t *regs = m->regs;

	for (;;) {
		struct ebpf_insn insn = m->code->insns[m->pc];
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
			regs[insn.dst] = ebpf_lddw_value(&m->code->insns[m->pc], m->pc, m->env);
			m->pc++;
			break;
		case EBPF_JMP:
			if (ebpf_is_exit(insn)) {
				if (m->depth == 0)
					return regs[0];
				leave(m);
				continue;
			}
			if (ebpf_is_call(insn)) {
				call(m, insn);
				continue;
			}
			__attribute__((fallthrough));
		case EBPF_JMP32:
			if (ebpf_jump_taken(insn, regs[insn.dst], operand))
				m->pc = (uint32_t)ebpf_jump_target(insn, m->pc) - 1;
			break;
		default:
			load_store(insn, regs);
		}
		m->pc++;
	}
}

uint64_t ebpf_interp_run(const struct ebpf_code *code, uint64_t arg1, uint64_t arg2,
			 const struct ebpf_env *env)
{
	struct machine m;

	m.code = code;
	m.env = env;
	m.pc = 0;
	m.depth = 0;
	memset(m.regs, 0, sizeof(m.regs));
	m.regs[1] = arg1;
	m.regs[2] = arg2;
	m.regs[EBPF_REG_FP] = (uintptr_t)m.stack[0] + EBPF_STACK_SIZE;
	return run(&m);
}
