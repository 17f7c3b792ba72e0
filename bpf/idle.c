/*
 * Instructions without effect. The compiler turns a lookup of a known entry into an address: then
 * the key on the stack, the registers that pointed there, and the comparison of the result with 0
 * are of no use any more. What is computed or stored and read by nobody is idle, and so is what is
 * read by idle instructions only.
 *
 * Of the stack only those functions are looked at that use it through r10 alone: no address of it
 * goes anywhere, so every access is known.
 */
#include "bpf/idle.h"
#include "bpf/flow.h"

#include <linux/bpf.h>

#include <stdlib.h>

#define HALVES (EBPF_STACK_SIZE / 4)

/* What is read later: registers, and four-byte pieces of the stack. */
struct later {
	uint16_t regs;
	uint64_t stack[HALVES / 64];
};

struct survey {
	const struct ebpf_object *obj;
	const struct ebpf_code *code;
	bool *idle;
	uint32_t *function_of;
	bool *is_target;       /* a jump or call leads there */
	bool *keeps_addresses; /* by function: some address of its stack goes elsewhere */
	struct later *later;   /* before each instruction */
};

bool ebpf_lookup_is_known(const struct ebpf_object *obj, const struct ebpf_code *code, uint32_t pc)
{
	struct ebpf_insn insn = code->insns[pc];
	const struct ebpf_call_note *note = code->calls ? &code->calls[pc] : NULL;

	return note && ebpf_is_call(insn) && insn.src == EBPF_CALL_HELPER &&
	       insn.imm == BPF_FUNC_map_lookup_elem && note->map >= 0 && note->key >= 0 &&
	       obj->maps[note->map].type == BPF_MAP_TYPE_ARRAY &&
	       note->key < obj->maps[note->map].max_entries;
}

/* "if r0 == 0" behind a lookup that always finds something. */
static bool is_vain_check(const struct survey *s, uint32_t pc)
{
	struct ebpf_insn insn = s->code->insns[pc];

	return insn.code == (EBPF_JMP | EBPF_JEQ | EBPF_K) && insn.dst == 0 && insn.imm == 0 &&
	       pc > 0 && !s->is_target[pc] && ebpf_lookup_is_known(s->obj, s->code, pc - 1);
}

/* The pieces of an access through r10; @whole: only those that it covers. */
static void pieces(struct ebpf_insn insn, bool whole, struct later *ret_later)
{
	int first = insn.off + EBPF_STACK_SIZE, end = first + (int)ebpf_size_bytes(insn.code);
	int i;

	*ret_later = (struct later){0};
	for (i = whole ? (first + 3) / 4 : first / 4; whole ? i < end / 4 : i * 4 < end; i++)
		ret_later->stack[i / 64] |= UINT64_C(1) << i % 64;
}

static bool is_in_stack(struct ebpf_insn insn)
{
	return insn.off >= -EBPF_STACK_SIZE && insn.off + (int)ebpf_size_bytes(insn.code) <= 0;
}

static bool stores(struct ebpf_insn insn)
{
	uint8_t class = EBPF_CLASS(insn.code);

	return class == EBPF_ST || class == EBPF_STX;
}

/* Does it do more with r10 than access known bytes? */
static bool gives_address_away(struct ebpf_insn insn)
{
	bool access = stores(insn) || EBPF_CLASS(insn.code) == EBPF_LDX;
	bool base = (EBPF_CLASS(insn.code) == EBPF_LDX ? insn.src : insn.dst) == EBPF_REG_FP;
	bool value = EBPF_CLASS(insn.code) == EBPF_STX && insn.src == EBPF_REG_FP;

	if (!(ebpf_insn_reads(insn) >> EBPF_REG_FP & 1))
		return false;
	return !access || value || (base && !is_in_stack(insn));
}

static bool is_later(const struct later *later, const struct later *some)
{
	return (later->stack[0] & some->stack[0]) || (later->stack[1] & some->stack[1]);
}

/* Is nothing of what it does seen later? */
static bool is_in_vain(const struct survey *s, uint32_t pc, const struct later *later)
{
	struct ebpf_insn insn = s->code->insns[pc];
	struct later touched;

	switch (EBPF_CLASS(insn.code)) {
	case EBPF_ALU:
	case EBPF_ALU64:
	case EBPF_LDX:
		return !(later->regs & ebpf_insn_writes(insn));
	case EBPF_LD:
		return !ebpf_is_classic(insn) && !(later->regs & ebpf_insn_writes(insn));
	case EBPF_ST:
	case EBPF_STX:
		if (insn.dst != EBPF_REG_FP || EBPF_MODE(insn.code) == EBPF_ATOMIC ||
		    s->keeps_addresses[s->function_of[pc]])
			return false;
		pieces(insn, false, &touched);
		return !is_later(later, &touched);
	default:
		return is_vain_check(s, pc);
	}
}

/* Makes of what is read behind an instruction what is read from it on. */
static void before(const struct survey *s, uint32_t pc, struct later *later)
{
	struct ebpf_insn insn = s->code->insns[pc];
	bool atomic = stores(insn) && EBPF_MODE(insn.code) == EBPF_ATOMIC;
	struct later touched;

	if (is_in_vain(s, pc, later))
		return;
	later->regs &= (uint16_t)~ebpf_insn_writes(insn);
	if (!ebpf_lookup_is_known(s->obj, s->code, pc))
		later->regs |= ebpf_insn_reads(insn);
	if (s->keeps_addresses[s->function_of[pc]])
		return;
	if (stores(insn) && insn.dst == EBPF_REG_FP && !atomic) {
		pieces(insn, true, &touched);
		later->stack[0] &= ~touched.stack[0];
		later->stack[1] &= ~touched.stack[1];
	} else if ((EBPF_CLASS(insn.code) == EBPF_LDX && insn.src == EBPF_REG_FP) ||
		   (atomic && insn.dst == EBPF_REG_FP)) {
		pieces(insn, false, &touched);
		later->stack[0] |= touched.stack[0];
		later->stack[1] |= touched.stack[1];
	}
}

static void behind(const struct survey *s, uint32_t pc, struct later *ret_later)
{
	unsigned int i, n;
	uint32_t next[2];

	*ret_later = (struct later){0};
	n = ebpf_insn_successors(s->code->insns, pc, next);
	/* the jump comes first; this one is never taken */
	for (i = is_vain_check(s, pc) ? 1 : 0; i < n; i++) {
		const struct later *at = &s->later[next[i]];

		ret_later->regs |= at->regs;
		ret_later->stack[0] |= at->stack[0];
		ret_later->stack[1] |= at->stack[1];
	}
}

static bool later_equal(const struct later *a, const struct later *b)
{
	return a->regs == b->regs && a->stack[0] == b->stack[0] && a->stack[1] == b->stack[1];
}

/* From nothing upwards, until nothing more is found to be read. */
static void find_later(struct survey *s)
{
	bool changed = true;
	uint32_t pc;

	while (changed) {
		changed = false;
		for (pc = s->code->count; pc-- > 0;) {
			struct later later;

			if (s->code->insns[pc].code == 0)
				continue;
			behind(s, pc, &later);
			s->idle[pc] = is_in_vain(s, pc, &later);
			before(s, pc, &later);
			changed |= !later_equal(&later, &s->later[pc]);
			s->later[pc] = later;
		}
	}
}

static void find_structure(struct survey *s)
{
	const struct ebpf_code *code = s->code;
	uint32_t pc, function = 0;

	for (pc = 0; pc < code->count; pc++) {
		struct ebpf_insn insn = code->insns[pc];

		if (ebpf_is_func(insn))
			s->function_of[ebpf_func_target(insn, pc)] = 1;
		else if (ebpf_is_jump(insn))
			s->is_target[ebpf_jump_target(insn, pc)] = true;
	}
	for (pc = 0; pc < code->count; pc++) {
		if (s->function_of[pc])
			function = pc;
		s->is_target[pc] |= pc == function;
		s->function_of[pc] = function;
	}
}

/* First as if every stack were read by everybody; then it is known which addresses are in use. */
static void find_idle(struct survey *s)
{
	uint32_t pc;

	find_structure(s);
	for (pc = 0; pc < s->code->count; pc++)
		s->keeps_addresses[pc] = true;
	find_later(s);
	for (pc = 0; pc < s->code->count; pc++)
		s->keeps_addresses[pc] = false;
	for (pc = 0; pc < s->code->count; pc++)
		if (!s->idle[pc] && gives_address_away(s->code->insns[pc]))
			s->keeps_addresses[s->function_of[pc]] = true;
	for (pc = 0; pc < s->code->count; pc++)
		s->later[pc] = (struct later){0};
	find_later(s);
}

bool ebpf_idle_find(const struct ebpf_object *obj, const struct ebpf_code *code, bool *idle)
{
	struct survey s = {
		.obj = obj,
		.code = code,
		.idle = idle,
		.function_of = calloc(code->count, sizeof(*s.function_of)),
		.is_target = calloc(code->count, sizeof(*s.is_target)),
		.keeps_addresses = calloc(code->count, sizeof(*s.keeps_addresses)),
		.later = calloc(code->count, sizeof(*s.later)),
	};
	bool memory = s.function_of && s.is_target && s.keeps_addresses && s.later;

	if (memory)
		find_idle(&s);
	free(s.function_of);
	free(s.is_target);
	free(s.keeps_addresses);
	free(s.later);
	return memory;
}
