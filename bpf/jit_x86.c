/*
 * The compiler to x86-64. One eBPF instruction becomes one to a few machine instructions; registers
 * have fixed places, chosen so that arguments of helpers are where the C ABI wants them:
 *
 *	r0 rax   r1 rdi   r2 rsi   r3 rdx   r4 rcx   r5 r8   r6 rbx   r7 r13   r8 r14   r9 r15   r10
 *rbp
 *
 * r12 holds the instance table (struct ebpf_env), so that one piece of code serves every instance;
 * r9, r10 and r11 are scratch. Code is laid out several times until no jump changes its size,
 *written to a fresh mapping, and only then made executable: a page is never writable and executable
 *at once. Only verified programs come here.
 */
#include "bpf/jit.h"
#include "bpf/flow.h"
#include "bpf/idle.h"
#include "bpf/x86_emit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define LAYOUTS_MAX 16

struct jit {
	struct x86_buf out;
	const struct ebpf_object *obj;
	const struct ebpf_code *code;
	uint32_t *offsets; /* of each instruction in the previous layout, and of the end */
	uint32_t *function_of;
	bool *idle;      /* per instruction: needs no code */
	uint8_t *saves;  /* per function: which of r6..r9 it uses, and SAVES_FRAME */
	bool long_jumps; /* layouts did not settle: use the long form everywhere */
};

static const enum x86_reg places[EBPF_REGS] = {RAX, RDI, RSI, RDX, RCX, R8,
					       RBX, R13, R14, R15, RBP};
#define SAVES_FRAME 0x10                                  /* it uses its stack */
static const enum x86_reg saved[] = {RBX, R13, R14, R15}; /* r6..r9 */

static bool is_wide(struct ebpf_insn insn)
{
	uint8_t class = EBPF_CLASS(insn.code);

	return class == EBPF_ALU64 || class == EBPF_JMP;
}

/* Bytes below the saved registers that keep rsp at a multiple of 16. */
static int32_t frame_bytes(const struct jit *j, uint32_t function)
{
	/* the return address, rbp, in the program itself r12, some of r6..r9 */
	unsigned int pushed =
		2 + (function == 0) + (unsigned int)__builtin_popcount(j->saves[function] & 15u);

	return (j->saves[function] & SAVES_FRAME ? EBPF_STACK_SIZE : 0) + (pushed % 2 ? 8 : 0);
}

/* Frames: saved registers, then the 512 bytes below rbp, if they are used. */
static void emit_prologue(struct jit *j, uint32_t pc)
{
	unsigned int i;

	x86_push(&j->out, RBP);
	for (i = 0; i < 4; i++)
		if (j->saves[pc] >> i & 1)
			x86_push(&j->out, saved[i]);
	if (pc == 0) {
		x86_push(&j->out, R12);
		x86_mov(&j->out, true, R12, RSI);
		x86_mov(&j->out, true, RSI, RDX);
	}
	x86_mov(&j->out, true, RBP, RSP);
	if (frame_bytes(j, pc))
		x86_alu_imm(&j->out, true, X86_SUB, RSP, frame_bytes(j, pc));
}

static void emit_epilogue(struct jit *j, uint32_t function)
{
	int i;

	if (frame_bytes(j, function))
		x86_mov(&j->out, true, RSP, RBP);
	if (function == 0)
		x86_pop(&j->out, R12);
	for (i = 3; i >= 0; i--)
		if (j->saves[function] >> i & 1)
			x86_pop(&j->out, saved[i]);
	x86_pop(&j->out, RBP);
	x86_byte(&j->out, 0xc3);
}

/* A jump or call to where @target was in the previous layout. */
static void emit_jump(struct jit *j, enum x86_cond cond, uint32_t target)
{
	int64_t from = (int64_t)j->out.len, to = j->offsets[target];

	if (!j->long_jumps && to - (from + 2) >= INT8_MIN && to - (from + 2) <= INT8_MAX) {
		x86_byte(&j->out, cond == X86_ALWAYS ? 0xeb : (uint8_t)(0x70 | cond));
		x86_byte(&j->out, (uint8_t)(to - (from + 2)));
	} else if (cond == X86_ALWAYS) {
		x86_byte(&j->out, 0xe9);
		x86_u32(&j->out, (uint32_t)(to - (from + 5)));
	} else {
		x86_byte(&j->out, 0x0f);
		x86_byte(&j->out, (uint8_t)(0x80 | cond));
		x86_u32(&j->out, (uint32_t)(to - (from + 6)));
	}
}

static void emit_shift(struct jit *j, struct ebpf_insn insn, enum x86_shift op)
{
	enum x86_reg dst = places[insn.dst], src = places[insn.src];
	bool wide = is_wide(insn);

	if (!(insn.code & EBPF_X)) {
		uint8_t count = (uint8_t)(insn.imm & (wide ? 63 : 31));

		if (count == 0 && !wide)
			x86_mov(&j->out, false, dst, dst);
		else if (count)
			x86_shift_imm(&j->out, wide, op, dst, count);
		return;
	}
	/* the count must be in cl, which is r4 */
	if (dst == RCX) {
		x86_mov(&j->out, true, R11, RCX);
		if (src != RCX)
			x86_mov(&j->out, true, RCX, src);
		x86_shift_cl(&j->out, wide, op, R11);
		x86_mov(&j->out, wide, RCX, R11);
	} else if (src != RCX) {
		x86_mov(&j->out, true, R10, RCX);
		x86_mov(&j->out, true, RCX, src);
		x86_shift_cl(&j->out, wide, op, dst);
		x86_mov(&j->out, true, RCX, R10);
	} else {
		x86_shift_cl(&j->out, wide, op, dst);
	}
}

/* rax, edx: dividend, r11: divisor, not 0; the result goes to r11. */
static void emit_divide_core(struct jit *j, bool wide, bool is_signed, bool mod)
{
	size_t minus_one = 0, done;

	if (is_signed) {
		/* INT_MIN / -1 traps: negate instead, the remainder is 0 */
		x86_alu_imm(&j->out, wide, X86_CMP, R11, -1);
		minus_one = x86_jump_short(&j->out, X86_E);
		if (wide)
			x86_byte(&j->out, 0x48);
		x86_byte(&j->out, 0x99); /* cdq, cqo */
		x86_rr(&j->out, wide, 0xf7, (enum x86_reg)7, R11);
	} else {
		x86_rr(&j->out, false, 0x31, RDX, RDX);
		x86_rr(&j->out, wide, 0xf7, (enum x86_reg)6, R11);
	}
	x86_mov(&j->out, wide, R11, mod ? RDX : RAX);
	if (!is_signed)
		return;
	done = x86_jump_short(&j->out, X86_ALWAYS);
	x86_land(&j->out, minus_one);
	if (mod) {
		x86_rr(&j->out, false, 0x31, R11, R11);
	} else {
		x86_mov(&j->out, wide, R11, RAX);
		x86_rr(&j->out, wide, 0xf7, (enum x86_reg)3, R11);
	}
	x86_land(&j->out, done);
}

static void emit_divide(struct jit *j, struct ebpf_insn insn)
{
	enum x86_reg dst = places[insn.dst];
	bool wide = is_wide(insn), mod = EBPF_OP(insn.code) == EBPF_MOD;
	size_t zero, done;

	if (insn.code & EBPF_X)
		x86_mov(&j->out, true, R11, places[insn.src]);
	else
		x86_mov_imm(&j->out, R11, (uint64_t)(int64_t)insn.imm);
	if (dst != RAX)
		x86_mov(&j->out, true, R10, RAX);
	if (dst != RDX)
		x86_mov(&j->out, true, R9, RDX);
	if (dst != RAX)
		x86_mov(&j->out, true, RAX, dst);
	x86_rr(&j->out, wide, 0x85, R11, R11); /* test */
	zero = x86_jump_short(&j->out, X86_E);
	emit_divide_core(j, wide, insn.off == 1, mod);
	done = x86_jump_short(&j->out, X86_ALWAYS);
	x86_land(&j->out, zero);
	if (mod)
		x86_mov(&j->out, wide, R11, RAX);
	else
		x86_rr(&j->out, false, 0x31, R11, R11);
	x86_land(&j->out, done);
	if (dst != RDX)
		x86_mov(&j->out, true, RDX, R9);
	if (dst != RAX)
		x86_mov(&j->out, true, RAX, R10);
	x86_mov(&j->out, wide, dst, R11);
}

static void emit_swap(struct jit *j, struct ebpf_insn insn)
{
	enum x86_reg dst = places[insn.dst];
	bool swap = is_wide(insn) || (insn.code & EBPF_X);

	switch (insn.imm) {
	case 16:
		if (swap) {
			x86_byte(&j->out, 0x66);
			x86_shift_imm(&j->out, false, X86_ROR, dst, 8);
		}
		x86_rr(&j->out, false, 0x1b7, dst, dst); /* movzx */
		return;
	case 32:
		x86_mov(&j->out, false, dst, dst);
		break;
	default:
		break;
	}
	if (!swap)
		return;
	/* bswap: 0f c8+r */
	x86_byte(&j->out, (uint8_t)(0x40 | (insn.imm == 64 ? 8 : 0) | (dst >= R8 ? 1 : 0)));
	x86_byte(&j->out, 0x0f);
	x86_byte(&j->out, (uint8_t)(0xc8 | (dst & 7)));
}

static void emit_move(struct jit *j, struct ebpf_insn insn)
{
	enum x86_reg dst = places[insn.dst], src = places[insn.src];
	bool wide = is_wide(insn);

	if (!(insn.code & EBPF_X)) {
		x86_mov_imm(&j->out, dst, wide ? (uint64_t)(int64_t)insn.imm : (uint32_t)insn.imm);
		return;
	}
	switch (insn.off) {
	case 8:
		x86_rr8(&j->out, wide, 0x1be, dst, src);
		break;
	case 16:
		x86_rr(&j->out, wide, 0x1bf, dst, src);
		break;
	case 32:
		x86_rr(&j->out, true, 0x63, dst, src);
		break;
	default:
		if (!wide || dst != src)
			x86_mov(&j->out, wide, dst, src);
	}
}

static void emit_multiply(struct jit *j, struct ebpf_insn insn)
{
	enum x86_reg dst = places[insn.dst];

	if (insn.code & EBPF_X) {
		x86_rr(&j->out, is_wide(insn), 0x1af, dst, places[insn.src]);
	} else {
		x86_rr(&j->out, is_wide(insn), 0x69, dst, dst);
		x86_u32(&j->out, (uint32_t)insn.imm);
	}
}

static void emit_simple(struct jit *j, struct ebpf_insn insn, enum x86_alu op)
{
	if (insn.code & EBPF_X)
		x86_alu_rr(&j->out, is_wide(insn), op, places[insn.dst], places[insn.src]);
	else
		x86_alu_imm(&j->out, is_wide(insn), op, places[insn.dst], insn.imm);
}

static void emit_alu(struct jit *j, struct ebpf_insn insn)
{
	switch (EBPF_OP(insn.code)) {
	case EBPF_ADD:
		emit_simple(j, insn, X86_ADD);
		break;
	case EBPF_SUB:
		emit_simple(j, insn, X86_SUB);
		break;
	case EBPF_OR:
		emit_simple(j, insn, X86_OR);
		break;
	case EBPF_AND:
		emit_simple(j, insn, X86_AND);
		break;
	case EBPF_XOR:
		emit_simple(j, insn, X86_XOR);
		break;
	case EBPF_MUL:
		emit_multiply(j, insn);
		break;
	case EBPF_DIV:
	case EBPF_MOD:
		emit_divide(j, insn);
		break;
	case EBPF_LSH:
		emit_shift(j, insn, X86_SHL);
		break;
	case EBPF_RSH:
		emit_shift(j, insn, X86_SHR);
		break;
	case EBPF_ARSH:
		emit_shift(j, insn, X86_SAR);
		break;
	case EBPF_NEG:
		x86_rr(&j->out, is_wide(insn), 0xf7, (enum x86_reg)3, places[insn.dst]);
		break;
	case EBPF_MOV:
		emit_move(j, insn);
		break;
	default:
		emit_swap(j, insn);
	}
}

static void emit_load(struct jit *j, struct ebpf_insn insn)
{
	enum x86_reg dst = places[insn.dst], src = places[insn.src];
	bool extend = EBPF_MODE(insn.code) == EBPF_MEMSX;

	switch (EBPF_SIZE(insn.code)) {
	case EBPF_B:
		x86_rm(&j->out, extend, extend ? 0x1be : 0x1b6, dst, src, insn.off);
		break;
	case EBPF_H:
		x86_rm(&j->out, extend, extend ? 0x1bf : 0x1b7, dst, src, insn.off);
		break;
	case EBPF_W:
		x86_rm(&j->out, extend, extend ? 0x63 : 0x8b, dst, src, insn.off);
		break;
	default:
		x86_rm(&j->out, true, 0x8b, dst, src, insn.off);
	}
}

static void emit_store(struct jit *j, struct ebpf_insn insn)
{
	bool imm = EBPF_CLASS(insn.code) == EBPF_ST;
	enum x86_reg base = places[insn.dst], src = imm ? RAX : places[insn.src];
	uint8_t size = EBPF_SIZE(insn.code);

	if (size == EBPF_H)
		x86_byte(&j->out, 0x66);
	if (size == EBPF_B)
		x86_rm8(&j->out, imm ? 0xc6 : 0x88, src, base, insn.off);
	else
		x86_rm(&j->out, size == EBPF_DW, imm ? 0xc7 : 0x89, src, base, insn.off);
	if (imm)
		x86_bytes(&j->out, &insn.imm, size == EBPF_DW ? 4 : ebpf_size_bytes(insn.code));
}

/* and, or, xor that return the old value: a loop around compare-and-exchange. */
static void emit_fetch_loop(struct jit *j, struct ebpf_insn insn, enum x86_alu op)
{
	enum x86_reg src = places[insn.src];
	bool wide = EBPF_SIZE(insn.code) == EBPF_DW;
	size_t again;

	x86_rm(&j->out, true, 0x8d, R10, places[insn.dst], insn.off); /* lea */
	x86_mov(&j->out, true, R11, RAX);
	again = j->out.len;
	x86_rm(&j->out, wide, 0x8b, RAX, R10, 0);
	x86_mov(&j->out, wide, R9, RAX);
	x86_alu_rr(&j->out, wide, op, R9, src == RAX ? R11 : src);
	x86_byte(&j->out, 0xf0);
	x86_rm(&j->out, wide, 0x1b1, R9, R10, 0);
	x86_byte(&j->out, 0x75); /* jne again */
	x86_byte(&j->out, (uint8_t)(again - (j->out.len + 1)));
	if (src != RAX) {
		x86_mov(&j->out, wide, src, RAX);
		x86_mov(&j->out, true, RAX, R11);
	} else if (!wide) {
		x86_mov(&j->out, false, RAX, RAX);
	}
}

static enum x86_alu atomic_alu(int32_t op)
{
	switch (op & ~EBPF_FETCH) {
	case EBPF_ADD:
		return X86_ADD;
	case EBPF_OR:
		return X86_OR;
	case EBPF_AND:
		return X86_AND;
	default:
		return X86_XOR;
	}
}

static void emit_atomic(struct jit *j, struct ebpf_insn insn)
{
	enum x86_reg base = places[insn.dst], src = places[insn.src];
	bool wide = EBPF_SIZE(insn.code) == EBPF_DW;

	switch (insn.imm) {
	case EBPF_XCHG: /* locked by nature */
		x86_rm(&j->out, wide, 0x87, src, base, insn.off);
		return;
	case EBPF_CMPXCHG:
		x86_byte(&j->out, 0xf0);
		x86_rm(&j->out, wide, 0x1b1, src, base, insn.off);
		if (!wide) /* eax is written only if the comparison fails */
			x86_mov(&j->out, false, RAX, RAX);
		return;
	case EBPF_ADD | EBPF_FETCH:
		x86_byte(&j->out, 0xf0);
		x86_rm(&j->out, wide, 0x1c1, src, base, insn.off);
		return;
	default:
		break;
	}
	if (insn.imm & EBPF_FETCH) {
		emit_fetch_loop(j, insn, atomic_alu(insn.imm));
		return;
	}
	x86_byte(&j->out, 0xf0);
	x86_rm(&j->out, wide, atomic_alu(insn.imm) * 8u + 1, src, base, insn.off);
}

/* lea dst, [rip + distance to a function] */
static void emit_function_address(struct jit *j, enum x86_reg dst, uint32_t target)
{
	x86_byte(&j->out, dst >= R8 ? 0x4c : 0x48);
	x86_byte(&j->out, 0x8d);
	x86_byte(&j->out, (uint8_t)((dst & 7) << 3 | 5));
	x86_u32(&j->out, j->offsets[target] - (uint32_t)(j->out.len + 4));
}

static void emit_constant(struct jit *j, const struct ebpf_insn *insn, uint32_t pc)
{
	enum x86_reg dst = places[insn->dst];
	/* meaningless for a plain constant, and not used then */
	int32_t slot = (int32_t)((uint32_t)insn->imm * sizeof(((struct ebpf_env *)0)->slot[0]));

	switch (insn->src) {
	case EBPF_LDDW_MAP:
		x86_rm(&j->out, true, 0x8b, dst, R12, slot);
		break;
	case EBPF_LDDW_VALUE:
		x86_rm(&j->out, true, 0x8b, dst, R12, slot + 8);
		if (insn[1].imm)
			x86_alu_imm(&j->out, true, X86_ADD, dst, insn[1].imm);
		break;
	case EBPF_LDDW_FUNC:
		emit_function_address(j, dst, (uint32_t)ebpf_func_target(*insn, pc));
		break;
	default:
		x86_mov_imm(&j->out, dst, ebpf_lddw_imm(insn));
	}
}

static enum x86_cond condition(uint8_t op)
{
	switch (op) {
	case EBPF_JEQ:
		return X86_E;
	case EBPF_JGT:
		return X86_A;
	case EBPF_JGE:
		return X86_AE;
	case EBPF_JLT:
		return X86_B;
	case EBPF_JLE:
		return X86_BE;
	case EBPF_JSGT:
		return X86_G;
	case EBPF_JSGE:
		return X86_GE;
	case EBPF_JSLT:
		return X86_L;
	case EBPF_JSLE:
		return X86_LE;
	default: /* JNE; JSET after test */
		return X86_NE;
	}
}

static void emit_branch(struct jit *j, struct ebpf_insn insn, uint32_t pc)
{
	enum x86_reg dst = places[insn.dst], src = places[insn.src];
	uint8_t op = EBPF_OP(insn.code);
	bool wide = is_wide(insn);

	if (op == EBPF_JA) {
		emit_jump(j, X86_ALWAYS, (uint32_t)ebpf_jump_target(insn, pc));
		return;
	}
	if (op == EBPF_JSET && (insn.code & EBPF_X)) {
		x86_rr(&j->out, wide, 0x85, src, dst);
	} else if (op == EBPF_JSET) {
		x86_rr(&j->out, wide, 0xf7, RAX, dst);
		x86_u32(&j->out, (uint32_t)insn.imm);
	} else if (insn.code & EBPF_X) {
		x86_alu_rr(&j->out, wide, X86_CMP, dst, src);
	} else if (insn.imm == 0) {
		x86_rr(&j->out, wide, 0x85, dst, dst);
	} else {
		x86_alu_imm(&j->out, wide, X86_CMP, dst, insn.imm);
	}
	emit_jump(j, condition(op), (uint32_t)ebpf_jump_target(insn, pc));
}

/* A lookup of a known key in a known array: an address. */
static void emit_known_lookup(struct jit *j, uint32_t map, uint32_t key)
{
	int32_t slot = (int32_t)(map * sizeof(((struct ebpf_env *)0)->slot[0]));
	uint32_t offset = key * ebpf_map_stride(j->obj->maps[map].value_size);

	x86_rm(&j->out, true, 0x8b, RAX, R12, slot + 8);
	if (offset)
		x86_alu_imm(&j->out, true, X86_ADD, RAX, (int32_t)offset);
}

/*
 * A lookup in an array whose map is known: compare, scale, add. The index is also masked by the
 * outcome of the comparison, so that no speculation goes past the array (Spectre, variant 1).
 */
static void emit_array_lookup(struct jit *j, uint32_t map)
{
	const struct ebpf_map_def *def = &j->obj->maps[map];
	int32_t slot = (int32_t)(map * sizeof(((struct ebpf_env *)0)->slot[0]));
	size_t null, done;

	x86_rm(&j->out, false, 0x8b, RAX, RSI, 0);
	x86_alu_imm(&j->out, false, X86_CMP, RAX, (int32_t)def->max_entries);
	x86_alu_rr(&j->out, true, X86_SBB, R11, R11);
	null = x86_jump_short(&j->out, X86_AE);
	x86_alu_rr(&j->out, true, X86_AND, RAX, R11);
	x86_rr(&j->out, true, 0x69, RAX, RAX);
	x86_u32(&j->out, ebpf_map_stride(def->value_size));
	x86_rm(&j->out, true, 0x03, RAX, R12, slot + 8);
	done = x86_jump_short(&j->out, X86_ALWAYS);
	x86_land(&j->out, null);
	x86_rr(&j->out, false, 0x31, RAX, RAX);
	x86_land(&j->out, done);
}

/*
 * bpf_loop(): round, rounds, callback and its context are on the stack; r0 is the number of rounds
 * that were begun.
 */
static void emit_loop(struct jit *j)
{
	enum { ROUND = 0, ROUNDS = 8, CALLBACK = 16, CTX = 24, ALL = 32 };
	size_t done, again;

	x86_alu_imm(&j->out, true, X86_SUB, RSP, ALL);
	x86_rm(&j->out, false, 0xc7, RAX, RSP, ROUND);
	x86_u32(&j->out, 0);
	x86_rm(&j->out, false, 0x89, RDI, RSP, ROUNDS);
	x86_rm(&j->out, true, 0x89, RSI, RSP, CALLBACK);
	x86_rm(&j->out, true, 0x89, RDX, RSP, CTX);
	again = j->out.len;
	x86_rm(&j->out, false, 0x8b, RDI, RSP, ROUND);
	x86_rm(&j->out, false, 0x3b, RDI, RSP, ROUNDS); /* cmp */
	done = x86_jump_short(&j->out, X86_AE);
	x86_rm(&j->out, true, 0x8b, RSI, RSP, CTX);
	x86_rm(&j->out, false, 0xff, (enum x86_reg)2, RSP, CALLBACK); /* call */
	x86_rm(&j->out, false, 0x83, (enum x86_reg)0, RSP, ROUND);    /* add 1 */
	x86_byte(&j->out, 1);
	x86_rr(&j->out, true, 0x85, RAX, RAX); /* test */
	x86_byte(&j->out, 0x74);               /* je again */
	x86_byte(&j->out, (uint8_t)(again - (j->out.len + 1)));
	x86_land(&j->out, done);
	x86_rm(&j->out, false, 0x8b, RAX, RSP, ROUND);
	x86_alu_imm(&j->out, true, X86_ADD, RSP, ALL);
}

static void emit_call(struct jit *j, struct ebpf_insn insn, uint32_t pc)
{
	static const struct ebpf_call_note nothing = {-1, -1};
	const struct ebpf_call_note *note = j->code->calls ? &j->code->calls[pc] : &nothing;

	if (insn.src == EBPF_CALL_LOCAL) {
		uint32_t target = (uint32_t)ebpf_func_target(insn, pc);

		x86_byte(&j->out, 0xe8);
		x86_u32(&j->out, j->offsets[target] - (uint32_t)(j->out.len + 4));
		return;
	}
	if (insn.imm == BPF_FUNC_loop) {
		emit_loop(j);
		return;
	}
	if (ebpf_lookup_is_known(j->obj, j->code, pc)) {
		emit_known_lookup(j, (uint32_t)note->map, (uint32_t)note->key);
		return;
	}
	if (insn.imm == BPF_FUNC_map_lookup_elem && note->map >= 0 &&
	    j->obj->maps[note->map].type == BPF_MAP_TYPE_ARRAY) {
		emit_array_lookup(j, (uint32_t)note->map);
		return;
	}
	if (insn.imm <= 0 || insn.imm >= EBPF_HELPERS || !ebpf_helpers[insn.imm].fn) {
		x86_byte(&j->out, 0x0f); /* ud2: only where control never comes */
		x86_byte(&j->out, 0x0b);
		return;
	}
	x86_mov(&j->out, true, R9, R12);
	x86_mov_imm(&j->out, RAX, (uintptr_t)ebpf_helpers[insn.imm].fn);
	x86_rr(&j->out, false, 0xff, (enum x86_reg)2, RAX);
}

static void emit_insn(struct jit *j, uint32_t pc)
{
	struct ebpf_insn insn = j->code->insns[pc];

	switch (EBPF_CLASS(insn.code)) {
	case EBPF_ALU:
	case EBPF_ALU64:
		emit_alu(j, insn);
		break;
	case EBPF_LD:
		emit_constant(j, &j->code->insns[pc], pc);
		break;
	case EBPF_LDX:
		emit_load(j, insn);
		break;
	case EBPF_ST:
		emit_store(j, insn);
		break;
	case EBPF_STX:
		if (EBPF_MODE(insn.code) == EBPF_ATOMIC)
			emit_atomic(j, insn);
		else
			emit_store(j, insn);
		break;
	default:
		if (ebpf_is_exit(insn))
			emit_epilogue(j, j->function_of[pc]);
		else if (ebpf_is_call(insn))
			emit_call(j, insn, pc);
		else
			emit_branch(j, insn, pc);
	}
}

/* Lays the whole program out once more; true if something has moved. */
static bool layout(struct jit *j)
{
	bool moved = false;
	uint32_t pc;

	j->out.len = 0;
	for (pc = 0; pc < j->code->count; pc++) {
		moved |= j->offsets[pc] != j->out.len;
		j->offsets[pc] = (uint32_t)j->out.len;
		if (j->code->insns[pc].code == 0)
			continue;
		if (j->function_of[pc] == pc)
			emit_prologue(j, pc);
		if (!j->idle[pc])
			emit_insn(j, pc);
	}
	return moved;
}

/* Where functions begin, which of r6..r9 each uses, and whether it uses its stack. */
static void survey(struct jit *j)
{
	uint32_t pc, function = 0;

	for (pc = 0; pc < j->code->count; pc++) {
		struct ebpf_insn insn = j->code->insns[pc];

		if (ebpf_is_func(insn))
			j->function_of[ebpf_func_target(insn, pc)] = 1;
	}
	for (pc = 0; pc < j->code->count; pc++) {
		struct ebpf_insn insn = j->code->insns[pc];
		unsigned int i;

		if (j->function_of[pc])
			function = pc;
		j->function_of[pc] = function;
		if (j->idle[pc])
			continue;
		for (i = 0; i < 4; i++)
			if (insn.dst == 6 + i || insn.src == 6 + i)
				j->saves[function] |= (uint8_t)(1u << i);
		if (ebpf_insn_reads(insn) >> EBPF_REG_FP & 1)
			j->saves[function] |= SAVES_FRAME;
	}
}

/* Offsets that hold for a last layout. */
static void settle(struct jit *j)
{
	int i;

	/* a jump that could be short with the last offsets may be long with these */
	for (i = 0; layout(j); i++)
		j->long_jumps = i >= LAYOUTS_MAX;
}

static void jit_finish(struct jit *j)
{
	free(j->offsets);
	free(j->function_of);
	free(j->idle);
	free(j->saves);
}

static int jit_init(struct jit *j, const struct ebpf_object *obj, const struct ebpf_code *code)
{
	*j = (struct jit){.obj = obj, .code = code};
	j->offsets = calloc(code->count + 1, sizeof(*j->offsets));
	j->function_of = calloc(code->count, sizeof(*j->function_of));
	j->idle = calloc(code->count, sizeof(*j->idle));
	j->saves = calloc(code->count, sizeof(*j->saves));
	if (j->offsets && j->function_of && j->idle && j->saves &&
	    ebpf_idle_find(obj, code, j->idle)) {
		survey(j);
		settle(j);
		return 0;
	}
	jit_finish(j);
	return -ENOMEM;
}

/* The last layout, to where the code will be. */
static int write_code(struct jit *j, uint8_t *bytes, size_t size)
{
	j->out.bytes = bytes;
	j->out.room = size;
	return layout(j) || j->out.len != size ? -EFAULT : 0;
}

int ebpf_jit_write(const struct ebpf_object *obj, const struct ebpf_code *code, uint8_t *bytes,
		   size_t room, size_t *ret_size)
{
	struct jit j;
	size_t size;
	int err = jit_init(&j, obj, code);

	if (err)
		return err;
	size = j.out.len;
	err = size <= room ? write_code(&j, bytes, size) : -ENOSPC;
	jit_finish(&j);
	if (!err)
		*ret_size = size;
	return err;
}

static int make_executable(struct jit *j, struct ebpf_code *code)
{
	size_t size = j->out.len;
	uint8_t *page =
		mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (page == MAP_FAILED)
		return -ENOMEM;
	if (write_code(j, page, size) || mprotect(page, size, PROT_READ | PROT_EXEC)) {
		munmap(page, size);
		return -EFAULT;
	}
	code->native = (ebpf_native_fn)(uintptr_t)page;
	code->native_size = size;
	return 0;
}

int ebpf_jit_compile(const struct ebpf_object *obj, struct ebpf_code *code)
{
	struct jit j;
	int err = jit_init(&j, obj, code);

	if (err)
		return err;
	err = make_executable(&j, code);
	jit_finish(&j);
	return err;
}

void ebpf_jit_free(struct ebpf_code *code)
{
	if (code->native)
		munmap((void *)(uintptr_t)code->native, code->native_size);
	code->native = NULL;
}
