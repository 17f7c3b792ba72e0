/*
 * One pass over the control-flow graph before the walk, backwards: which registers may be read
 * later. States that differ in others need no second proof. And which matter: not those that only
 * go into others that do not. A loop that changes only such registers never ends.
 */
#include "bpf/verify_priv.h"

/* No shift: the sanitizers' builds warn of its width. */
#define REG(i) (reg_bits[i])
static const uint16_t reg_bits[16] = {1,   2,   4,    8,    16,   32,   64,    128,
				      256, 512, 1024, 2048, 4096, 8192, 16384, 32768};
#define ARG_REGS 0x3e     /* r1..r5 */
#define SCRATCH_REGS 0x3f /* r0..r5 */

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

static void forget(struct vlive *live, uint16_t regs)
{
	live->read &= (uint16_t)~regs;
	live->matters &= (uint16_t)~regs;
}

static void need(struct vlive *live, uint16_t regs)
{
	live->read |= regs;
	live->matters |= regs;
}

static void before_alu(struct ebpf_insn insn, struct vlive *live)
{
	uint8_t op = EBPF_OP(insn.code);
	uint16_t src = (insn.code & EBPF_X) && op != EBPF_END ? REG(insn.src) : 0;
	bool matters = live->matters >> insn.dst & 1;

	if (op == EBPF_MOV)
		forget(live, REG(insn.dst));
	else
		live->read |= REG(insn.dst);
	live->read |= src;
	if (matters)
		live->matters |= src;
}

static void before_load(struct ebpf_insn insn, struct vlive *live)
{
	bool classic = EBPF_CLASS(insn.code) == EBPF_LD && ebpf_is_classic(insn);

	forget(live, classic ? SCRATCH_REGS : REG(insn.dst));
	if (classic)
		need(live, REG(6));
	if (EBPF_CLASS(insn.code) == EBPF_LDX || (classic && EBPF_MODE(insn.code) == EBPF_IND))
		need(live, REG(insn.src));
}

static void before_store(struct ebpf_insn insn, struct vlive *live)
{
	need(live, REG(insn.dst));
	if (EBPF_CLASS(insn.code) != EBPF_STX)
		return;
	if (EBPF_MODE(insn.code) == EBPF_ATOMIC && insn.imm == EBPF_CMPXCHG)
		need(live, REG(0));
	need(live, REG(insn.src));
}

static void before_call(struct ebpf_insn insn, struct vlive *live)
{
	unsigned int i;

	forget(live, SCRATCH_REGS);
	if (insn.src == EBPF_CALL_LOCAL || insn.imm <= 0 || insn.imm >= EBPF_HELPERS) {
		need(live, ARG_REGS);
		return;
	}
	for (i = 0; i < 5; i++)
		if (ebpf_helpers[insn.imm].args[i] != ARG_NONE)
			need(live, REG(i + 1));
}

static void before_jump(struct ebpf_insn insn, struct vlive *live, bool in_main)
{
	if (ebpf_is_exit(insn)) {
		*live = (struct vlive){.read = REG(0), .matters = in_main ? 0 : REG(0)};
	} else if (ebpf_is_call(insn)) {
		before_call(insn, live);
	} else if (!ebpf_is_ja(insn)) {
		need(live, REG(insn.dst));
		if (insn.code & EBPF_X)
			need(live, REG(insn.src));
	}
}

/* Makes of what is read behind an instruction what is read from it on. */
static void before(struct ebpf_insn insn, struct vlive *live, bool in_main)
{
	switch (EBPF_CLASS(insn.code)) {
	case EBPF_ALU:
	case EBPF_ALU64:
		before_alu(insn, live);
		break;
	case EBPF_LD:
	case EBPF_LDX:
		before_load(insn, live);
		break;
	case EBPF_ST:
	case EBPF_STX:
		before_store(insn, live);
		break;
	default:
		before_jump(insn, live, in_main);
	}
}

void verify_live(struct verifier *v)
{
	bool changed = true;

	while (changed) {
		uint32_t pc, next[2];

		changed = false;
		for (pc = v->count; pc-- > 0;) {
			struct vlive live = {0};
			unsigned int i, n;

			if (v->insns[pc].code == 0)
				continue;
			n = successors(v->insns, pc, next);
			for (i = 0; i < n; i++) {
				live.read |= v->live[next[i]].read;
				live.matters |= v->live[next[i]].matters;
			}
			before(v->insns[pc], &live, v->function_of[pc] == 0);
			changed |= live.read != v->live[pc].read ||
				   live.matters != v->live[pc].matters;
			v->live[pc] = live;
		}
	}
}
