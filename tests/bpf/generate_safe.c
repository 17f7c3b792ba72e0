/*
 * Programs that are safe by the way they are made: numbers in every register and in the upper
 * slots of the stack, jumps forwards only, addresses used where they are made. They need no proof
 * to be run, so that millions of them can be compared between engines. The result is made of all
 * registers and slots, so that whatever differs is seen.
 */
#include "generate.h"

#include "leat/abi/filter.h"

#include <linux/bpf.h>
#include <stddef.h>
#include <string.h>

#define SLOTS 8
#define GROUPS_MAX 64
#define JUMP_GROUPS 6 /* so many are jumped over at most */

/* Instructions that belong together; jumps lead to the first one of a group. */
struct maker {
	struct generator *g;
	struct ebpf_insn *insns;
	uint32_t count;
	uint32_t groups[GROUPS_MAX];
	uint32_t group_count;
	bool in_function;
};

static uint32_t below(struct maker *m, uint32_t limit)
{
	return (uint32_t)(generate_random(m->g) >> 32) % limit;
}

static void emit(struct maker *m, unsigned int code, unsigned int dst, unsigned int src, int off,
		 int32_t imm)
{
	m->insns[m->count++] = (struct ebpf_insn){.code = (uint8_t)code,
						  .dst = dst & 15u,
						  .src = src & 15u,
						  .off = (int16_t)off,
						  .imm = imm};
}

static void begin_group(struct maker *m)
{
	m->groups[m->group_count++] = m->count;
}

static int32_t constant(struct maker *m)
{
	static const int32_t edges[] = {0,    1,      -1,     2,         7,         8,   15,
					16,   31,     32,     47,        48,        63,  64,
					65,   127,    128,    -128,      129,       255, 256,
					-129, 0x7fff, 0x8000, INT32_MAX, INT32_MIN, -2,  0xffff};

	if (below(m, 3) == 0)
		return (int32_t)generate_random(m->g);
	return edges[below(m, sizeof(edges) / sizeof(edges[0]))];
}

static void make_alu(struct maker *m)
{
	static const int16_t moves[] = {0, 8, 16, 32};
	unsigned int class = below(m, 2) ? EBPF_ALU : EBPF_ALU64;
	unsigned int op = below(m, 14) << 4, dst = below(m, 10), reg = below(m, 2);
	int off = 0;

	if (op == EBPF_END) {
		emit(m, class | op | (class == EBPF_ALU && reg ? EBPF_X : 0), dst, 0, 0,
		     16 << below(m, 3));
		return;
	}
	if (op == EBPF_NEG) {
		emit(m, class | op, dst, 0, 0, 0);
		return;
	}
	if (op == EBPF_DIV || op == EBPF_MOD)
		off = (int)below(m, 2);
	if (op == EBPF_MOV && reg)
		off = moves[below(m, class == EBPF_ALU ? 3 : 4)];
	if (reg)
		emit(m, class | op | EBPF_X, dst, below(m, 10), off, 0);
	else
		emit(m, class | op, dst, 0, off, constant(m));
}

/* Its offset is patched when all groups are there. */
static void make_branch(struct maker *m)
{
	static const uint8_t ops[] = {EBPF_JEQ,  EBPF_JGT, EBPF_JGE, EBPF_JSET, EBPF_JNE, EBPF_JSGT,
				      EBPF_JSGE, EBPF_JLT, EBPF_JLE, EBPF_JSLT, EBPF_JSLE};
	unsigned int class = below(m, 2) ? EBPF_JMP : EBPF_JMP32, op = ops[below(m, sizeof(ops))];

	if (below(m, 12) == 0)
		emit(m, EBPF_JMP | EBPF_JA, 0, 0, 0, 0);
	else if (below(m, 2))
		emit(m, class | op | EBPF_X, below(m, 10), below(m, 10), 0, 0);
	else
		emit(m, class | op, below(m, 10), 0, 0, constant(m));
}

static unsigned int any_size(struct maker *m)
{
	return below(m, 4) << 3;
}

/* Through r10, or through a copy of it, which is a number again afterwards. */
static void make_memory(struct maker *m)
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
	unsigned int base = below(m, 2) ? EBPF_REG_FP : below(m, 10), size = any_size(m);
	unsigned int other = (base + 1 + below(m, 9)) % 10, kind = below(m, 5);
	int moved = base == EBPF_REG_FP ? 0 : (int)below(m, 400) - 200;
	int off = -8 * SLOTS + (int)below(m, 8 * (SLOTS - 1) + 1) - moved;

	if (base == EBPF_REG_FP)
		other = below(m, 10);
	if (kind == 4 && base == 0) /* compare-and-exchange reads r0 */
		kind = 0;
	if (kind == 4) {
		size = below(m, 2) ? EBPF_W : EBPF_DW;
		off = -8 * (int)(1 + below(m, SLOTS)) - moved;
	}
	if (base != EBPF_REG_FP) {
		emit(m, EBPF_ALU64 | EBPF_MOV | EBPF_X, base, EBPF_REG_FP, 0, 0);
		emit(m, EBPF_ALU64 | EBPF_ADD, base, 0, 0, moved);
	}
	if (kind == 0)
		emit(m, EBPF_LDX | EBPF_MEM | size, other, base, off, 0);
	else if (kind == 1)
		emit(m, EBPF_LDX | (size == EBPF_DW ? EBPF_MEM : EBPF_MEMSX) | size, other, base,
		     off, 0);
	else if (kind == 2)
		emit(m, EBPF_STX | EBPF_MEM | size, base, other, off, 0);
	else if (kind == 3)
		emit(m, EBPF_ST | EBPF_MEM | size, base, 0, off, constant(m));
	else
		emit(m, EBPF_STX | EBPF_ATOMIC | size, base, other, off, ops[below(m, 10)]);
	if (base != EBPF_REG_FP)
		emit(m, EBPF_ALU64 | EBPF_MOV, base, 0, 0, constant(m));
}

static void make_wide(struct maker *m, unsigned int dst)
{
	emit(m, EBPF_LDDW, dst, EBPF_LDDW_IMM, 0, constant(m));
	emit(m, 0, 0, 0, 0, constant(m));
}

/* What a call leaves unwritten. */
static void refill(struct maker *m)
{
	unsigned int i;

	for (i = 1; i <= 5; i++)
		emit(m, EBPF_ALU64 | EBPF_MOV, i, 0, 0, constant(m));
}

/* imm is the number of the function, patched in the end. */
static void make_call(struct maker *m)
{
	if (below(m, 2)) {
		emit(m, EBPF_JMP | EBPF_CALL, 0, EBPF_CALL_LOCAL, 0, 0);
	} else {
		emit(m, EBPF_ALU64 | EBPF_MOV, 1, 0, 0, (int32_t)below(m, 5));
		emit(m, EBPF_LDDW, 2, EBPF_LDDW_FUNC, 0, 1);
		emit(m, 0, 0, 0, 0, 0);
		emit(m, EBPF_ALU64 | EBPF_MOV | EBPF_X, 3, EBPF_REG_FP, 0, 0);
		emit(m, EBPF_ALU64 | EBPF_ADD, 3, 0, 0, -8 * (int32_t)(1 + below(m, SLOTS)));
		emit(m, EBPF_ALU64 | EBPF_MOV, 4, 0, 0, 0);
		emit(m, EBPF_JMP | EBPF_CALL, 0, 0, 0, BPF_FUNC_loop);
	}
	refill(m);
}

static void make_any(struct maker *m)
{
	begin_group(m);
	switch (below(m, 16)) {
	case 0:
		make_wide(m, below(m, 10));
		break;
	case 1:
	case 2:
	case 3:
		make_branch(m);
		break;
	case 4:
	case 5:
	case 6:
	case 7:
		make_memory(m);
		break;
	case 8:
		if (!m->in_function) {
			make_call(m);
			break;
		}
		__attribute__((fallthrough));
	default:
		make_alu(m);
	}
}

/* Jumps lead to one of the next groups. */
static void land_jumps(struct maker *m)
{
	uint32_t i, pc, to;

	for (i = 0; i + 1 < m->group_count; i++) {
		pc = m->groups[i];
		if (!ebpf_is_jump(m->insns[pc]))
			continue;
		to = i + 1 + below(m, JUMP_GROUPS);
		if (to >= m->group_count)
			to = m->group_count - 1;
		m->insns[pc].off = (int16_t)(m->groups[to] - pc - 1);
	}
}

static void fill_slots(struct maker *m)
{
	int i;

	for (i = 1; i <= SLOTS; i++)
		emit(m, EBPF_STX | EBPF_MEM | EBPF_DW, EBPF_REG_FP, below(m, 10), -8 * i, 0);
}

static void make_body(struct maker *m, uint32_t groups)
{
	m->group_count = 0;
	while (groups--)
		make_any(m);
	begin_group(m); /* what follows */
	land_jumps(m);
}

/* r0 is made of everything. */
static void mix(struct maker *m)
{
	unsigned int i;

	for (i = 1; i <= 9 + SLOTS; i++) {
		if (i > 9)
			emit(m, EBPF_LDX | EBPF_MEM | EBPF_DW, 1, EBPF_REG_FP, -8 * (int)(i - 9),
			     0);
		emit(m, EBPF_ALU64 | EBPF_MUL, 0, 0, 0, 0x6487ed51);
		emit(m, EBPF_ALU64 | EBPF_XOR | EBPF_X, 0, i > 9 ? 1 : i, 0, 0);
	}
}

static void make_function(struct maker *m, bool is_callback)
{
	unsigned int i;

	m->in_function = true;
	if (is_callback) {
		emit(m, EBPF_LDX | EBPF_MEM | EBPF_DW, 0, 2, 0, 0);
		emit(m, EBPF_ALU64 | EBPF_XOR | EBPF_X, 0, 1, 0, 0);
		emit(m, EBPF_STX | EBPF_MEM | EBPF_DW, 2, 0, 0, 0);
		for (i = 2; i <= 5; i++)
			emit(m, EBPF_ALU64 | EBPF_MOV, i, 0, 0, constant(m));
	} else {
		emit(m, EBPF_ALU64 | EBPF_MOV | EBPF_X, 0, 1, 0, 0);
	}
	for (i = 6; i <= 9; i++)
		emit(m, EBPF_ALU64 | EBPF_MOV | EBPF_X, i, i - 5, 0, 0);
	fill_slots(m);
	make_body(m, 2 + below(m, 8));
	mix(m);
	if (is_callback)
		emit(m, EBPF_ALU64 | EBPF_AND, 0, 0, 0, 1);
	emit(m, EBPF_JMP | EBPF_EXIT, 0, 0, 0, 0);
}

/* Numbers of the context into r0..r5, constants into the others. */
static void make_start(struct maker *m)
{
	static const uint8_t fields[] = {
		offsetof(struct leat_pkt_ctx, len),    offsetof(struct leat_pkt_ctx, instance),
		offsetof(struct leat_pkt_ctx, tenant), offsetof(struct leat_pkt_ctx, port),
		offsetof(struct leat_pkt_ctx, flags),  offsetof(struct leat_pkt_ctx, tag),
	};
	unsigned int i;

	emit(m, EBPF_ALU64 | EBPF_MOV | EBPF_X, 6, 1, 0, 0);
	for (i = 0; i <= 5; i++)
		if (below(m, 2))
			emit(m, EBPF_LDX | EBPF_MEM | EBPF_DW, i, 6,
			     offsetof(struct leat_pkt_ctx, now_ns), 0);
		else
			emit(m, EBPF_LDX | EBPF_MEM | EBPF_W, i, 6, fields[i], 0);
	for (i = 6; i <= 9; i++)
		make_wide(m, i);
	fill_slots(m);
}

uint32_t generate_safe(struct generator *g, struct ebpf_insn insns[GENERATE_SAFE_MAX])
{
	struct maker m = {.g = g, .insns = insns};
	uint32_t starts[2], pc;

	memset(insns, 0, GENERATE_SAFE_MAX * sizeof(*insns));
	make_start(&m);
	make_body(&m, 4 + below(&m, 36));
	mix(&m);
	emit(&m, EBPF_JMP | EBPF_EXIT, 0, 0, 0, 0);
	starts[0] = m.count;
	make_function(&m, false);
	starts[1] = m.count;
	make_function(&m, true);
	for (pc = 0; pc < starts[0]; pc++)
		if (ebpf_is_func(insns[pc]))
			insns[pc].imm = (int32_t)starts[insns[pc].imm] - (int32_t)pc - 1;
	return m.count;
}
