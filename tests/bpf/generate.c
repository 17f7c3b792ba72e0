/*
 * The generator keeps a guess of what each register holds and prefers what fits it, so that a good
 * part of the programs is accepted; now and then it does something that does not fit.
 */
#include "generate.h"

#include "programs.h"

#include "bpf/platform.h"
#include "leat/abi/filter.h"

#include <linux/bpf.h>
#include <string.h>

enum guess { G_NONE, G_NUMBER, G_SMALL, G_CTX, G_PKT, G_END, G_VALUE, G_STACK, G_RECORD };

struct program {
	struct generator *g;
	struct ebpf_insn *insns;
	uint32_t count;
	uint8_t guess[EBPF_REGS];
	uint8_t slots[4]; /* what the upper stack slots hold */
	bool in_function;
	bool function_calls; /* the functions are wanted */
};

uint64_t generate_random(struct generator *g)
{
	g->state ^= g->state << 13;
	g->state ^= g->state >> 7;
	g->state ^= g->state << 17;
	return g->state;
}

static uint32_t below(struct program *p, uint32_t limit)
{
	return (uint32_t)(generate_random(p->g) >> 32) % limit;
}

static void emit(struct program *p, uint8_t code, uint8_t dst, uint8_t src, int16_t off,
		 int32_t imm)
{
	if (p->count < GENERATE_MAX)
		p->insns[p->count++] = (struct ebpf_insn){
			.code = code, .dst = dst & 15u, .src = src & 15u, .off = off, .imm = imm};
}

/* A register that is guessed to hold @kind (or a small number where any will do), else any. */
static uint8_t pick(struct program *p, enum guess kind)
{
	uint8_t i, start = (uint8_t)below(p, 10);

	for (i = 0; i < 10; i++) {
		uint8_t reg = (uint8_t)((start + i) % 10);

		if (p->guess[reg] == kind || (kind == G_NUMBER && p->guess[reg] == G_SMALL))
			return reg;
	}
	return start;
}

/* Where a result goes: mostly not to the registers that hold the first pointers. */
static uint8_t target(struct program *p)
{
	return (uint8_t)below(p, below(p, 10) ? 6 : 10);
}

static int32_t constant(struct program *p)
{
	static const int32_t edges[] = {0,   1,   -1,  2,         7,         8,  15, 16,
					31,  32,  47,  48,        63,        64, 65, 127,
					128, 255, 256, INT32_MAX, INT32_MIN, -2, -8, 0xffff};

	if (below(p, 3) == 0)
		return (int32_t)generate_random(p->g);
	return edges[below(p, sizeof(edges) / sizeof(edges[0]))];
}

static void make_small(struct program *p, uint8_t reg)
{
	static const int32_t masks[] = {1, 3, 7, 8, 15, 24, 31, 40, 63};

	switch (below(p, 5)) {
	case 0:
		emit(p, EBPF_ALU64 | EBPF_AND, reg, 0, 0, masks[below(p, 9)]);
		break;
	case 1:
		emit(p, EBPF_ALU | EBPF_AND, reg, 0, 0, masks[below(p, 9)]);
		break;
	case 2:
		emit(p, EBPF_ALU64 | EBPF_RSH, reg, 0, 0, (int32_t)(56 + below(p, 8)));
		break;
	case 3:
		emit(p, EBPF_ALU | EBPF_RSH, reg, 0, 0, (int32_t)(24 + below(p, 8)));
		break;
	default:
		emit(p, EBPF_ALU64 | EBPF_MOD, reg, 0, 0, (int32_t)(1 + below(p, 48)));
	}
	p->guess[reg] = G_SMALL;
}

static void make_alu(struct program *p)
{
	uint8_t class = below(p, 2) ? EBPF_ALU : EBPF_ALU64;
	uint8_t op = (uint8_t)(below(p, 14) << 4), dst = pick(p, G_NUMBER);
	static const int16_t moves[] = {0, 0, 0, 8, 16, 32};
	int16_t off = 0;
	int32_t imm = constant(p);

	if (op == EBPF_END) {
		emit(p, class | op | (class == EBPF_ALU && below(p, 2) ? EBPF_X : 0), dst, 0, 0,
		     16 << below(p, 3));
		return;
	}
	if (op == EBPF_NEG) {
		emit(p, class | op, dst, 0, 0, 0);
		return;
	}
	if (op == EBPF_DIV || op == EBPF_MOD)
		off = (int16_t)below(p, 2);
	if (below(p, 2)) {
		if (op == EBPF_MOV)
			off = moves[below(p, class == EBPF_ALU ? 5 : 6)];
		emit(p, class | op | EBPF_X, dst, pick(p, G_NUMBER), off, 0);
	} else {
		emit(p, class | op, dst, 0, op == EBPF_MOV ? 0 : off, imm);
	}
	p->guess[dst] = G_NUMBER;
}

/* A conditional jump over a few instructions, to be patched when they are there: off is a promise.
 */
static void make_branch(struct program *p)
{
	static const uint8_t ops[] = {EBPF_JEQ,  EBPF_JGT, EBPF_JGE, EBPF_JSET, EBPF_JNE, EBPF_JSGT,
				      EBPF_JSGE, EBPF_JLT, EBPF_JLE, EBPF_JSLT, EBPF_JSLE};
	uint8_t class = below(p, 3) ? EBPF_JMP : EBPF_JMP32;
	uint8_t op = ops[below(p, sizeof(ops))];
	int16_t off = (int16_t)(1 + below(p, 6));

	if (below(p, 2))
		emit(p, class | op | EBPF_X, pick(p, G_NUMBER), pick(p, G_NUMBER), off, 0);
	else
		emit(p, class | op, pick(p, G_NUMBER), 0, off, constant(p));
}

/* if (pkt + n > end) skip what follows */
static void make_packet_check(struct program *p)
{
	static const uint8_t ops[] = {EBPF_JGT, EBPF_JGE, EBPF_JLT, EBPF_JLE};
	uint8_t copy = target(p), pkt = pick(p, G_PKT), end = pick(p, G_END);

	emit(p, EBPF_ALU64 | EBPF_MOV | EBPF_X, copy, pkt, 0, 0);
	emit(p, EBPF_ALU64 | EBPF_ADD, copy, 0, 0, (int32_t)below(p, 32));
	p->guess[copy] = G_PKT;
	if (below(p, 4))
		emit(p, EBPF_JMP | ops[below(p, 2)] | EBPF_X, copy, end, (int16_t)(1 + below(p, 6)),
		     0);
	else
		emit(p, EBPF_JMP | ops[below(p, 4)] | EBPF_X, end, copy, (int16_t)(1 + below(p, 6)),
		     0);
}

static void make_spill(struct program *p)
{
	uint8_t reg = (uint8_t)below(p, 10), slot = (uint8_t)below(p, 4);
	static const uint8_t sizes[] = {EBPF_B, EBPF_H, EBPF_W};
	uint8_t size = sizes[below(p, 3)];
	int16_t off = (int16_t) - (8 * (slot + 1));

	if (below(p, 2)) {
		if (p->guess[reg] > G_SMALL || below(p, 3))
			size = EBPF_DW;
		emit(p, EBPF_STX | EBPF_MEM | size, EBPF_REG_FP, reg, off, 0);
		p->slots[slot] = p->guess[reg];
		return;
	}
	if (p->slots[slot] > G_SMALL || below(p, 3))
		size = EBPF_DW;
	reg = target(p);
	emit(p, EBPF_LDX | EBPF_MEM | size, reg, EBPF_REG_FP, off, 0);
	p->guess[reg] = p->slots[slot];
}

static void make_memory(struct program *p)
{
	static const uint8_t sizes[] = {EBPF_B, EBPF_H, EBPF_W, EBPF_DW};
	uint8_t size = sizes[below(p, 4)], dst = target(p), base;

	switch (below(p, 8)) {
	case 6: /* packet, written */
		make_packet_check(p);
		emit(p, EBPF_STX | EBPF_MEM | size, pick(p, G_PKT), pick(p, G_NUMBER),
		     (int16_t)below(p, 24), 0);
		return;
	case 7: /* record */
		base = pick(p, G_RECORD);
		if (below(p, 2)) {
			emit(p, EBPF_STX | EBPF_MEM | size, base, pick(p, G_NUMBER),
			     (int16_t)below(p, 20), 0);
			return;
		}
		emit(p, EBPF_LDX | EBPF_MEM | size, dst, base, (int16_t)below(p, 20), 0);
		break;
	case 0: /* value of a map */
		base = pick(p, G_VALUE);
		emit(p, EBPF_LDX | EBPF_MEM | size, dst, base, (int16_t)below(p, 48), 0);
		break;
	case 1:
		base = pick(p, G_VALUE);
		emit(p, EBPF_STX | EBPF_MEM | size, base, pick(p, G_NUMBER), (int16_t)below(p, 48),
		     0);
		return;
	case 2: /* packet */
		if (below(p, 2))
			make_packet_check(p);
		base = pick(p, G_PKT);
		emit(p, EBPF_LDX | (size != EBPF_DW && below(p, 2) ? EBPF_MEMSX : EBPF_MEM) | size,
		     dst, base, (int16_t)below(p, 24), 0);
		break;
	case 3: /* context */
		base = pick(p, G_CTX);
		emit(p, EBPF_LDX | EBPF_MEM | EBPF_W, dst, base, (int16_t)(16 + 4 * below(p, 10)),
		     0);
		break;
	case 4: /* number on the stack, by its slot */
		make_spill(p);
		return;
	default: /* through a pointer into the stack */
		base = pick(p, G_STACK);
		emit(p, EBPF_LDX | EBPF_MEM | size, dst, base, (int16_t) - (int)(8 + below(p, 32)),
		     0);
	}
	p->guess[dst] = G_NUMBER;
}

static void make_pointer(struct program *p)
{
	static const uint8_t kinds[] = {G_PKT, G_VALUE, G_STACK};
	uint8_t dst = target(p), kind = kinds[below(p, 3)], from = pick(p, kind);

	emit(p, EBPF_ALU64 | EBPF_MOV | EBPF_X, dst, kind == G_STACK ? EBPF_REG_FP : from, 0, 0);
	p->guess[dst] = kind == G_STACK ? G_STACK : p->guess[from];
	if (kind == G_STACK)
		emit(p, EBPF_ALU64 | EBPF_ADD, dst, 0, 0, -(int32_t)(8 * below(p, 5)));
	else if (below(p, 3) == 0)
		emit(p, EBPF_ALU64 | EBPF_ADD, dst, 0, 0, (int32_t)below(p, 32));
	if (below(p, 2)) {
		uint8_t offset = pick(p, G_SMALL);

		emit(p, EBPF_ALU64 | (below(p, 8) ? EBPF_ADD : EBPF_SUB) | EBPF_X, dst, offset, 0,
		     0);
	}
}

static void make_atomic(struct program *p)
{
	static const int32_t ops[] = {EBPF_ADD,
				      EBPF_OR,
				      EBPF_AND,
				      EBPF_XOR,
				      EBPF_ADD | EBPF_FETCH,
				      EBPF_OR | EBPF_FETCH,
				      EBPF_AND | EBPF_FETCH,
				      EBPF_XOR | EBPF_FETCH,
				      EBPF_XCHG,
				      EBPF_CMPXCHG};
	uint8_t base = below(p, 2) ? pick(p, G_VALUE) : EBPF_REG_FP;
	int16_t off = (int16_t)(base == EBPF_REG_FP ? -8 * (int)(1 + below(p, 4)) :
						      (int)(4 * below(p, 12)));

	emit(p, EBPF_STX | EBPF_ATOMIC | (below(p, 2) ? EBPF_W : EBPF_DW), base, pick(p, G_NUMBER),
	     (int16_t)(below(p, 8) ? off & ~7 : off), ops[below(p, 10)]);
}

static void make_constant(struct program *p, uint8_t dst, uint8_t kind, int32_t imm, int32_t second)
{
	emit(p, EBPF_LDDW, dst, kind, 0, imm);
	emit(p, 0, 0, 0, 0, second);
}

static void move(struct program *p, uint8_t dst, uint8_t src)
{
	emit(p, EBPF_ALU64 | EBPF_MOV | EBPF_X, dst, src, 0, 0);
}

static void move_imm(struct program *p, uint8_t dst, int32_t imm)
{
	emit(p, EBPF_ALU64 | EBPF_MOV, dst, 0, 0, imm);
}

static void stack_address(struct program *p, uint8_t dst, int32_t off)
{
	move(p, dst, EBPF_REG_FP);
	emit(p, EBPF_ALU64 | EBPF_ADD, dst, 0, 0, off);
}

static void call(struct program *p, int32_t helper)
{
	uint8_t i;

	emit(p, EBPF_JMP | EBPF_CALL, 0, 0, 0, helper);
	for (i = 1; i <= 5; i++)
		p->guess[i] = G_NONE;
	p->guess[0] = G_NUMBER;
}

/* After a helper that may have moved the packet: read its ends again, mostly. */
static void packet_again(struct program *p)
{
	uint8_t i;

	for (i = 0; i < 10; i++)
		if (p->guess[i] == G_PKT || p->guess[i] == G_END)
			p->guess[i] = G_NONE;
	if (below(p, 8) == 0 || p->guess[6] != G_CTX)
		return;
	emit(p, EBPF_LDX | EBPF_MEM | EBPF_DW, 7, 6, 0, 0);
	emit(p, EBPF_LDX | EBPF_MEM | EBPF_DW, 8, 6, 8, 0);
	p->guess[7] = G_PKT;
	p->guess[8] = G_END;
}

static void make_packet_helper(struct program *p)
{
	int32_t slot = -8 * (int32_t)(1 + below(p, 4));

	move(p, 1, pick(p, G_CTX));
	switch (below(p, 6)) {
	case 0:
		move_imm(p, 2, (int32_t)below(p, 60));
		stack_address(p, 3, slot);
		move_imm(p, 4, (int32_t)(1 + below(p, 8)));
		call(p, BPF_FUNC_skb_load_bytes);
		break;
	case 1:
		move_imm(p, 2, (int32_t)below(p, 60));
		stack_address(p, 3, slot);
		move_imm(p, 4, (int32_t)(1 + below(p, 8)));
		move_imm(p, 5, 0);
		call(p, BPF_FUNC_skb_store_bytes);
		packet_again(p);
		break;
	case 2:
		move_imm(p, 2, (int32_t)below(p, 60));
		move(p, 3, pick(p, G_NUMBER));
		move(p, 4, pick(p, G_NUMBER));
		move_imm(p, 5, (int32_t)below(p, 70));
		call(p, below(p, 2) ? BPF_FUNC_l3_csum_replace : BPF_FUNC_l4_csum_replace);
		packet_again(p);
		break;
	case 3:
		move_imm(p, 2, (int32_t)below(p, 80) - 40);
		call(p, BPF_FUNC_xdp_adjust_head);
		packet_again(p);
		break;
	case 4:
		move_imm(p, 2, -(int32_t)below(p, 40));
		call(p, BPF_FUNC_xdp_adjust_tail);
		packet_again(p);
		break;
	default:
		make_constant(p, 2, EBPF_LDDW_MAP, PROGRAM_HANDLES, 0);
		move(p, 3, pick(p, G_SMALL));
		if (below(p, 4))
			emit(p, EBPF_ALU64 | EBPF_AND, 3, 0, 0, 3);
		call(p, LEAT_FUNC_redirect);
	}
}

static void make_other_helper(struct program *p)
{
	int32_t slot = -8 * (int32_t)(1 + below(p, 4));

	switch (below(p, 5)) {
	case 0:
		make_constant(p, 1, EBPF_LDDW_VALUE, PROGRAM_VALUE, (int32_t)(8 * below(p, 4)));
		move(p, 2, pick(p, G_SMALL));
		emit(p, EBPF_LDX | EBPF_MEM | EBPF_DW, 3, 6, 16, 0);
		call(p, LEAT_FUNC_bucket_take);
		break;
	case 1:
		move_imm(p, 1, 0);
		move_imm(p, 2, 0);
		stack_address(p, 3, slot);
		move_imm(p, 4, below(p, 8) ? 4 : 8);
		move(p, 5, pick(p, G_NUMBER));
		call(p, BPF_FUNC_csum_diff);
		break;
	case 2:
		move(p, 1, pick(p, G_NUMBER));
		call(p, LEAT_FUNC_tag_lookup);
		break;
	case 3:
		make_constant(p, 1, EBPF_LDDW_MAP, PROGRAM_RING, 0);
		stack_address(p, 2, slot);
		move_imm(p, 3, (int32_t)(1 + below(p, 8)));
		move_imm(p, 4, 0);
		call(p, BPF_FUNC_ringbuf_output);
		break;
	default:
		move(p, 1, pick(p, G_SMALL));
		if (below(p, 8))
			emit(p, EBPF_ALU64 | EBPF_AND, 1, 0, 0, 7);
		p->function_calls = true;
		make_constant(p, 2, EBPF_LDDW_FUNC, 2, 0); /* patched as calls are */
		if (below(p, 4))
			stack_address(p, 3, slot);
		else
			move_imm(p, 3, 0);
		move_imm(p, 4, 0);
		call(p, BPF_FUNC_loop);
	}
}

/* A record around a few instructions: reserved, perhaps written, given back. */
static void make_record(struct program *p)
{
	uint8_t keep = (uint8_t)(6 + below(p, 4)), before = p->guess[keep];
	uint32_t i, check;

	make_constant(p, 1, EBPF_LDDW_MAP, PROGRAM_RING, 0);
	move_imm(p, 2, 24);
	move_imm(p, 3, 0);
	call(p, BPF_FUNC_ringbuf_reserve);
	check = p->count;
	emit(p, EBPF_JMP | EBPF_JEQ, 0, 0, 0, 0);
	move(p, keep, 0);
	p->guess[keep] = G_RECORD;
	for (i = below(p, 4); i > 0; i--)
		if (below(p, 2))
			make_memory(p);
		else
			make_alu(p);
	move(p, 1, keep);
	move_imm(p, 2, 0);
	call(p, below(p, 2) ? BPF_FUNC_ringbuf_submit : BPF_FUNC_ringbuf_discard);
	p->insns[check].off = (int16_t)(p->count - check - 1);
	p->guess[keep] = G_NONE;
	p->guess[0] = G_NONE;
	if (before == G_NUMBER || before == G_SMALL || below(p, 8)) {
		move_imm(p, keep, 3);
		p->guess[keep] = G_SMALL;
	}
	move_imm(p, 0, 1);
	p->guess[0] = G_SMALL;
}

/* A value of a map in the map of maps. */
static void make_inner_lookup(struct program *p)
{
	emit(p, EBPF_ST | EBPF_MEM | EBPF_DW, EBPF_REG_FP, 0, -8, (int32_t)below(p, 3));
	make_constant(p, 1, EBPF_LDDW_MAP, PROGRAM_OUTER, 0);
	stack_address(p, 2, -8);
	call(p, BPF_FUNC_map_lookup_elem);
	if (below(p, 8))
		emit(p, EBPF_JMP | EBPF_JEQ, 0, 0, (int16_t)(5 + below(p, 3)), 0);
	move(p, 1, 0);
	stack_address(p, 2, -8);
	call(p, BPF_FUNC_map_lookup_elem);
	if (below(p, 8))
		emit(p, EBPF_JMP | EBPF_JEQ, 0, 0, (int16_t)(1 + below(p, 3)), 0);
	p->guess[0] = G_VALUE;
}

/* r0 = lookup(map, key on the stack), perhaps with the null check */
static void make_lookup(struct program *p)
{
	static const uint8_t maps[] = {PROGRAM_COUNTERS, PROGRAM_VALUE,  PROGRAM_HASH,
				       PROGRAM_CONST,    PROGRAM_PERCPU, PROGRAM_LRU};
	int32_t map = maps[below(p, sizeof(maps))];
	uint8_t i;

	emit(p, EBPF_ST | EBPF_MEM | EBPF_DW, EBPF_REG_FP, 0, -8, (int32_t)below(p, 3));
	emit(p, EBPF_LDDW, 1, EBPF_LDDW_MAP, 0, map);
	emit(p, 0, 0, 0, 0, 0);
	emit(p, EBPF_ALU64 | EBPF_MOV | EBPF_X, 2, EBPF_REG_FP, 0, 0);
	emit(p, EBPF_ALU64 | EBPF_ADD, 2, 0, 0, -8);
	emit(p, EBPF_JMP | EBPF_CALL, 0, 0, 0, BPF_FUNC_map_lookup_elem);
	for (i = 1; i <= 5; i++)
		p->guess[i] = G_NONE;
	p->guess[0] = G_VALUE;
	if (below(p, 8))
		emit(p, EBPF_JMP | EBPF_JEQ, 0, 0, (int16_t)(1 + below(p, 4)), 0);
}

static void make_update(struct program *p)
{
	uint8_t i;

	emit(p, EBPF_LDDW, 1, EBPF_LDDW_MAP, 0, 2);
	emit(p, 0, 0, 0, 0, 0);
	emit(p, EBPF_ALU64 | EBPF_MOV | EBPF_X, 2, EBPF_REG_FP, 0, 0);
	emit(p, EBPF_ALU64 | EBPF_ADD, 2, 0, 0, -8 * (int32_t)(1 + below(p, 4)));
	emit(p, EBPF_ALU64 | EBPF_MOV | EBPF_X, 3, EBPF_REG_FP, 0, 0);
	emit(p, EBPF_ALU64 | EBPF_ADD, 3, 0, 0, -16 - 8 * (int32_t)below(p, 3));
	emit(p, EBPF_ALU64 | EBPF_MOV, 4, 0, 0, (int32_t)below(p, 4));
	emit(p, EBPF_JMP | EBPF_CALL, 0, 0, 0,
	     below(p, 4) ? BPF_FUNC_map_update_elem : BPF_FUNC_map_delete_elem);
	for (i = 1; i <= 5; i++)
		p->guess[i] = G_NONE;
	p->guess[0] = G_NUMBER;
}

/* Counts a register to a small bound around a few instructions. */
static void make_loop(struct program *p)
{
	uint8_t counter = (uint8_t)(6 + below(p, 4));
	uint32_t start, i;

	emit(p, EBPF_ALU64 | EBPF_MOV, counter, 0, 0, 0);
	p->guess[counter] = G_SMALL;
	start = p->count;
	for (i = below(p, 3); i > 0; i--)
		make_alu(p);
	emit(p, EBPF_ALU64 | EBPF_ADD, counter, 0, 0, 1 + (int32_t)below(p, 3));
	emit(p, EBPF_JMP | EBPF_JLT, counter, 0, (int16_t)((int)start - (int)p->count - 1),
	     (int32_t)(1 + below(p, 20)));
}

/*
 * Calls one of two functions, which are appended later (imm is patched then): the first gets a
 * pointer to the caller's stack and numbers, the second the packet, its end and a small number.
 */
static void make_call(struct program *p)
{
	uint8_t i, function = (uint8_t)below(p, 2);

	if (p->in_function)
		return;
	p->function_calls = true;
	if (function == 0) {
		emit(p, EBPF_ALU64 | EBPF_MOV | EBPF_X, 2, pick(p, G_NUMBER), 0, 0);
		emit(p, EBPF_ALU64 | EBPF_MOV | EBPF_X, 1, EBPF_REG_FP, 0, 0);
	} else {
		emit(p, EBPF_ALU64 | EBPF_MOV | EBPF_X, 3, pick(p, G_SMALL), 0, 0);
		emit(p, EBPF_ALU64 | EBPF_MOV | EBPF_X, 1, pick(p, G_PKT), 0, 0);
		emit(p, EBPF_ALU64 | EBPF_MOV | EBPF_X, 2, 8, 0, 0);
	}
	emit(p, EBPF_JMP | EBPF_CALL, 0, EBPF_CALL_LOCAL, 0, function);
	for (i = 1; i <= 5; i++)
		p->guess[i] = G_NONE;
	p->guess[0] = G_NUMBER;
}

static void make_any(struct program *p)
{
	switch (below(p, 21)) {
	case 16:
		make_call(p);
		break;
	case 17:
		make_packet_helper(p);
		break;
	case 18:
		if (p->in_function)
			make_alu(p);
		else
			make_other_helper(p);
		break;
	case 19:
		make_record(p);
		break;
	case 20:
		make_inner_lookup(p);
		break;
	case 0:
	case 1:
	case 2:
		make_alu(p);
		break;
	case 3:
	case 4:
		make_small(p, pick(p, G_NUMBER));
		break;
	case 5:
	case 6:
		make_branch(p);
		break;
	case 7:
	case 8:
	case 9:
		make_memory(p);
		break;
	case 10:
		make_pointer(p);
		break;
	case 11:
		make_packet_check(p);
		break;
	case 12:
		make_spill(p);
		break;
	case 13:
		make_atomic(p);
		break;
	case 14:
		if (below(p, 2))
			make_lookup(p);
		else
			make_update(p);
		break;
	default:
		make_loop(p);
	}
}

static void make_start(struct program *p)
{
	uint8_t i;

	/* r6 context, r7 packet, r8 its end, r9 a value; numbers elsewhere; four slots */
	emit(p, EBPF_ALU64 | EBPF_MOV | EBPF_X, 6, 1, 0, 0);
	emit(p, EBPF_LDX | EBPF_MEM | EBPF_DW, 7, 1, 0, 0);
	emit(p, EBPF_LDX | EBPF_MEM | EBPF_DW, 8, 1, 8, 0);
	emit(p, EBPF_LDDW, 9, EBPF_LDDW_VALUE, 0, 1);
	emit(p, 0, 0, 0, 0, (int32_t)(8 * below(p, 3)));
	emit(p, EBPF_LDX | EBPF_MEM | EBPF_DW, 0, 6, 16, 0);
	for (i = 1; i <= 5; i++) {
		if (below(p, 2))
			emit(p, EBPF_LDX | EBPF_MEM | EBPF_W, i, 6,
			     (int16_t)(16 + 4 * below(p, 10)), 0);
		else
			emit(p, EBPF_ALU64 | EBPF_MOV, i, 0, 0, constant(p));
		p->guess[i] = G_NUMBER;
	}
	p->guess[0] = G_NUMBER;
	p->guess[6] = G_CTX;
	p->guess[7] = G_PKT;
	p->guess[8] = G_END;
	p->guess[9] = G_VALUE;
	for (i = 0; i < 4; i++) {
		uint8_t reg = (uint8_t)below(p, below(p, 4) ? 6 : 10);

		emit(p, EBPF_STX | EBPF_MEM | EBPF_DW, EBPF_REG_FP, reg, (int16_t)(-8 * (i + 1)),
		     0);
		p->slots[i] = p->guess[reg];
	}
}

/* Jumps of a function that lead past its end lead to its last but one instruction instead. */
static void fix_jumps(struct program *p, uint32_t start)
{
	uint32_t pc, end = p->count - 2;

	for (pc = start; pc < p->count; pc++) {
		struct ebpf_insn *insn = &p->insns[pc];
		int64_t target = ebpf_jump_target(*insn, pc);

		if (!ebpf_is_jump(*insn))
			continue;
		if (target > end)
			insn->off = (int16_t)((int)end - (int)pc - 1);
		else if (target >= 0 && p->insns[target].code == 0)
			insn->off++;
	}
}

static void make_end(struct program *p, uint32_t start)
{
	if (below(p, 2))
		emit(p, EBPF_ALU64 | EBPF_MOV, 0, 0, 0, (int32_t)below(p, 50));
	else
		emit(p, EBPF_ALU64 | EBPF_MOV | EBPF_X, 0, pick(p, G_NUMBER), 0, 0);
	emit(p, EBPF_JMP | EBPF_EXIT, 0, 0, 0, 0);
	fix_jumps(p, start);
}

static void make_body(struct program *p, uint32_t length, uint32_t room)
{
	length += p->count;
	while (p->count < length && p->count + 40 < room)
		make_any(p);
}

/* One of the functions; see make_call; the last is for bpf_loop. Returns where it begins. */
static uint32_t make_function(struct program *p, int which)
{
	uint32_t start = p->count;

	memset(p->guess, G_NONE, sizeof(p->guess));
	memset(p->slots, G_NONE, sizeof(p->slots));
	p->in_function = true;
	if (which == 0) {
		p->guess[1] = G_STACK;
		p->guess[2] = G_NUMBER;
		emit(p, EBPF_STX | EBPF_MEM | EBPF_DW, EBPF_REG_FP, 2, -8, 0);
		p->slots[0] = G_NUMBER;
	} else if (which == 1) {
		p->guess[1] = G_PKT;
		p->guess[2] = G_END;
		p->guess[3] = G_SMALL;
	} else {
		p->guess[1] = G_SMALL;
		emit(p, EBPF_STX | EBPF_MEM | EBPF_DW, EBPF_REG_FP, 1, -8, 0);
		p->slots[0] = G_SMALL;
		if (below(p, 4)) { /* the number behind its context, if it has one */
			emit(p, EBPF_JMP | EBPF_JEQ, 2, 0, 3, 0);
			emit(p, EBPF_LDX | EBPF_MEM | EBPF_DW, 3, 2, 0, 0);
			emit(p, EBPF_ALU64 | EBPF_ADD | EBPF_X, 3, 1, 0, 0);
			emit(p, EBPF_STX | EBPF_MEM | EBPF_DW, 2, 3, 0, 0);
		}
	}
	emit(p, EBPF_ALU64 | EBPF_MOV, 0, 0, 0, (int32_t)below(p, which == 2 ? 2 : 50));
	p->guess[0] = G_SMALL;
	make_body(p, 2 + below(p, 10), GENERATE_MAX);
	if (which == 2) {
		emit(p, EBPF_ALU64 | EBPF_MOV, 0, 0, 0, (int32_t)below(p, 2));
		emit(p, EBPF_JMP | EBPF_EXIT, 0, 0, 0, 0);
		fix_jumps(p, start);
	} else {
		make_end(p, start);
	}
	return start;
}

uint32_t generate_program(struct generator *g, struct ebpf_insn *insns)
{
	struct program p = {.g = g, .insns = insns};
	uint32_t starts[3], pc, end;

	memset(insns, 0, GENERATE_MAX * sizeof(*insns));
	make_start(&p);
	make_body(&p, 3 + below(&p, 40), GENERATE_MAX - 90);
	make_end(&p, 0);
	end = p.count;
	if (!p.function_calls)
		return end;
	starts[0] = make_function(&p, 0);
	starts[1] = make_function(&p, 1);
	starts[2] = make_function(&p, 2);
	for (pc = 0; pc < end; pc++)
		if (ebpf_is_func(insns[pc]))
			insns[pc].imm = (int32_t)starts[insns[pc].imm] - (int32_t)pc - 1;
	return p.count;
}

void generate_mutate(struct generator *g, struct ebpf_insn *insns, uint32_t count)
{
	struct program p = {.g = g, .insns = insns, .count = count};
	struct ebpf_insn *insn = &insns[below(&p, count)];

	if (insn->code == 0)
		return;
	switch (below(&p, 6)) {
	case 0:
		insn->imm = constant(&p);
		break;
	case 1:
		insn->off = (int16_t)(insn->off + (int)below(&p, 9) - 4);
		break;
	case 2:
		insn->src = below(&p, 11) & 15u;
		break;
	case 3:
		insn->dst = below(&p, 11) & 15u;
		break;
	case 4:
		insn->code ^= (uint8_t)(1u << below(&p, 8));
		break;
	default:
		insn->code = (uint8_t)((insn->code & 7) | (below(&p, 32) << 3));
	}
}
