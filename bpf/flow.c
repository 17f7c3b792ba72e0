/* What instructions read and write; see flow.h. */
#include "bpf/flow.h"
#include "bpf/platform.h"

#include <linux/bpf.h>

/* No shift: the sanitizers' builds warn of its width. */
#define REG(i) (reg_bits[i])
static const uint16_t reg_bits[16] = {1,   2,   4,    8,    16,   32,   64,    128,
				      256, 512, 1024, 2048, 4096, 8192, 16384, 32768};
#define ARG_REGS 0x3e     /* r1..r5 */
#define SCRATCH_REGS 0x3f /* r0..r5 */

static uint16_t call_reads(struct ebpf_insn insn)
{
	uint16_t regs = 0;
	unsigned int i;

	if (insn.src == EBPF_CALL_LOCAL || insn.imm <= 0 || insn.imm >= EBPF_HELPERS)
		return ARG_REGS;
	for (i = 0; i < 5; i++)
		if (ebpf_helpers[insn.imm].args[i] != ARG_NONE)
			regs |= REG(i + 1);
	return regs;
}

static uint16_t jump_reads(struct ebpf_insn insn)
{
	if (ebpf_is_exit(insn))
		return REG(0);
	if (ebpf_is_call(insn))
		return call_reads(insn);
	if (ebpf_is_ja(insn))
		return 0;
	return REG(insn.dst) | (insn.code & EBPF_X ? REG(insn.src) : 0);
}

uint16_t ebpf_insn_reads(struct ebpf_insn insn)
{
	uint8_t op = EBPF_OP(insn.code);
	bool compares = EBPF_MODE(insn.code) == EBPF_ATOMIC && insn.imm == EBPF_CMPXCHG;

	switch (EBPF_CLASS(insn.code)) {
	case EBPF_ALU:
	case EBPF_ALU64:
		return (op == EBPF_MOV ? 0 : REG(insn.dst)) |
		       ((insn.code & EBPF_X) && op != EBPF_END ? REG(insn.src) : 0);
	case EBPF_LD:
		if (!ebpf_is_classic(insn))
			return 0;
		return REG(6) | (EBPF_MODE(insn.code) == EBPF_IND ? REG(insn.src) : 0);
	case EBPF_LDX:
		return REG(insn.src);
	case EBPF_ST:
		return REG(insn.dst);
	case EBPF_STX:
		return REG(insn.dst) | REG(insn.src) | (compares ? REG(0) : 0);
	default:
		return jump_reads(insn);
	}
}

uint16_t ebpf_insn_writes(struct ebpf_insn insn)
{
	switch (EBPF_CLASS(insn.code)) {
	case EBPF_LD:
		return ebpf_is_classic(insn) ? SCRATCH_REGS : REG(insn.dst);
	case EBPF_ALU:
	case EBPF_ALU64:
	case EBPF_LDX:
		return REG(insn.dst);
	case EBPF_STX:
		if (EBPF_MODE(insn.code) != EBPF_ATOMIC || !(insn.imm & EBPF_FETCH))
			return 0;
		return insn.imm == EBPF_CMPXCHG ? REG(0) : REG(insn.src);
	case EBPF_JMP:
		return ebpf_is_call(insn) ? SCRATCH_REGS : 0;
	default:
		return 0;
	}
}

unsigned int ebpf_insn_successors(const struct ebpf_insn *insns, uint32_t pc, uint32_t next[2])
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
