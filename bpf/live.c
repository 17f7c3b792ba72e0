/*
 * One pass over the control-flow graph before the walk, backwards: which registers may be read
 * later. States that differ in others need no second proof. And which matter: not those that only
 * go into others that do not. A loop that changes only such registers never ends.
 */
#include "bpf/flow.h"
#include "bpf/verify_priv.h"

/* Makes of what is read behind an instruction what is read from it on. */
static void before(struct ebpf_insn insn, struct vlive *live, bool in_main)
{
	bool alu = EBPF_CLASS(insn.code) == EBPF_ALU || EBPF_CLASS(insn.code) == EBPF_ALU64;
	uint16_t reads = ebpf_insn_reads(insn), writes = ebpf_insn_writes(insn);
	bool in_vain = alu && !(live->matters & writes);

	live->read = (live->read & (uint16_t)~writes) | reads;
	live->matters &= (uint16_t)~writes;
	/* the program's own result decides nothing */
	if (!in_vain && !(in_main && ebpf_is_exit(insn)))
		live->matters |= reads;
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
			n = ebpf_insn_successors(v->insns, pc, next);
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
