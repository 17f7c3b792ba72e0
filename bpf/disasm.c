/* Instructions as text, for reports, `leat bpf disasm`, and the tests' assembler to read back. */
#include "bpf/disasm.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const alu_signs[16] = {"+=", "-=", "*=", "/=", "|=",   "&=", "<<=", ">>=",
					  "",   "%=", "^=", "=",  "s>>=", "",   "",    ""};
static const char *const jump_signs[16] = {"", "==", ">", ">=", "&",  "!=",  "s>", "s>=",
					   "", "",   "<", "<=", "s<", "s<=", "",   ""};

static void show_alu(struct ebpf_insn insn, char *buf, size_t size)
{
	char r = EBPF_CLASS(insn.code) == EBPF_ALU64 ? 'r' : 'w';
	uint8_t op = EBPF_OP(insn.code);
	const char *sign = insn.off == 1 && (op == EBPF_DIV || op == EBPF_MOD) ? "s" : "";

	if (op == EBPF_END) {
		const char *kind = insn.code & EBPF_X ? "be" : "le";

		if (r == 'r')
			kind = "bswap";
		snprintf(buf, size, "r%u = %s%d r%u", insn.dst, kind, insn.imm, insn.dst);
	} else if (op == EBPF_NEG) {
		snprintf(buf, size, "%c%u = -%c%u", r, insn.dst, r, insn.dst);
	} else if (op == EBPF_MOV && insn.off) {
		snprintf(buf, size, "%c%u = (s%d)%c%u", r, insn.dst, insn.off, r, insn.src);
	} else if (insn.code & EBPF_X) {
		snprintf(buf, size, "%c%u %s%s %c%u", r, insn.dst, sign, alu_signs[op >> 4], r,
			 insn.src);
	} else {
		snprintf(buf, size, "%c%u %s%s %d", r, insn.dst, sign, alu_signs[op >> 4],
			 insn.imm);
	}
}

static void show_jump(struct ebpf_insn insn, char *buf, size_t size)
{
	char r = EBPF_CLASS(insn.code) == EBPF_JMP ? 'r' : 'w';
	const char *sign = jump_signs[EBPF_OP(insn.code) >> 4];

	if (ebpf_is_exit(insn))
		snprintf(buf, size, "exit");
	else if (ebpf_is_call(insn) && insn.src == EBPF_CALL_LOCAL)
		snprintf(buf, size, "call pc%+d", insn.imm);
	else if (ebpf_is_call(insn) && insn.imm > 0 && insn.imm < EBPF_HELPERS &&
		 ebpf_helpers[insn.imm].name)
		snprintf(buf, size, "call %s", ebpf_helpers[insn.imm].name);
	else if (ebpf_is_call(insn))
		snprintf(buf, size, "call %d", insn.imm);
	else if (insn.code == (EBPF_JMP32 | EBPF_JA))
		snprintf(buf, size, "gotol %+d", insn.imm);
	else if (ebpf_is_ja(insn))
		snprintf(buf, size, "goto %+d", insn.off);
	else if (insn.code & EBPF_X)
		snprintf(buf, size, "if %c%u %s %c%u goto %+d", r, insn.dst, sign, r, insn.src,
			 insn.off);
	else
		snprintf(buf, size, "if %c%u %s %d goto %+d", r, insn.dst, sign, insn.imm,
			 insn.off);
}

static void show_atomic(struct ebpf_insn insn, unsigned int bits, char *buf, size_t size)
{
	static const char *const names[16] = {[EBPF_ADD >> 4] = "add",
					      [EBPF_OR >> 4] = "or",
					      [EBPF_AND >> 4] = "and",
					      [EBPF_XOR >> 4] = "xor"};
	const char *name = names[(insn.imm >> 4) & 15] ? names[(insn.imm >> 4) & 15] : "?";

	if (insn.imm == EBPF_XCHG)
		snprintf(buf, size, "r%u = xchg_%u(r%u %+d, r%u)", insn.src, bits, insn.dst,
			 insn.off, insn.src);
	else if (insn.imm == EBPF_CMPXCHG)
		snprintf(buf, size, "r0 = cmpxchg_%u(r%u %+d, r0, r%u)", bits, insn.dst, insn.off,
			 insn.src);
	else if (insn.imm & EBPF_FETCH)
		snprintf(buf, size, "r%u = atomic_fetch_%s((u%u *)(r%u %+d), r%u)", insn.src, name,
			 bits, insn.dst, insn.off, insn.src);
	else
		snprintf(buf, size, "lock *(u%u *)(r%u %+d) %s r%u", bits, insn.dst, insn.off,
			 alu_signs[(insn.imm >> 4) & 15], insn.src);
}

static void show_memory(struct ebpf_insn insn, char *buf, size_t size)
{
	unsigned int bits = ebpf_size_bytes(insn.code) * 8;
	uint8_t mode = EBPF_MODE(insn.code);

	if (EBPF_CLASS(insn.code) == EBPF_LDX)
		snprintf(buf, size, "r%u = *(%c%u *)(r%u %+d)", insn.dst,
			 mode == EBPF_MEMSX ? 's' : 'u', bits, insn.src, insn.off);
	else if (EBPF_CLASS(insn.code) == EBPF_ST)
		snprintf(buf, size, "*(u%u *)(r%u %+d) = %d", bits, insn.dst, insn.off, insn.imm);
	else if (mode == EBPF_ATOMIC)
		show_atomic(insn, bits, buf, size);
	else
		snprintf(buf, size, "*(u%u *)(r%u %+d) = r%u", bits, insn.dst, insn.off, insn.src);
}

static void show_classic(struct ebpf_insn insn, char *buf, size_t size)
{
	unsigned int bits = ebpf_size_bytes(insn.code) * 8;

	if (EBPF_MODE(insn.code) == EBPF_IND)
		snprintf(buf, size, "r0 = *(u%u *)skb[r%u %+d]", bits, insn.src, insn.imm);
	else
		snprintf(buf, size, "r0 = *(u%u *)skb[%d]", bits, insn.imm);
}

static void show_lddw(const struct ebpf_object *obj, const struct ebpf_insn *insn, char *buf,
		      size_t size)
{
	char number[16];
	const char *name = number;

	snprintf(number, sizeof(number), "%d", insn->imm);
	if (obj && insn->imm >= 0 && (uint32_t)insn->imm < obj->map_count)
		name = obj->maps[insn->imm].name;
	if (insn->src == EBPF_LDDW_MAP)
		snprintf(buf, size, "r%u = map %s", insn->dst, name);
	else if (insn->src == EBPF_LDDW_VALUE)
		snprintf(buf, size, "r%u = map_value %s %+d", insn->dst, name, insn[1].imm);
	else if (insn->src == EBPF_LDDW_FUNC)
		snprintf(buf, size, "r%u = function pc%+d", insn->dst, insn->imm);
	else
		snprintf(buf, size, "r%u = %#llx ll", insn->dst,
			 (unsigned long long)ebpf_lddw_imm(insn));
}

void ebpf_disasm_insn(const struct ebpf_object *obj, const struct ebpf_insn *insn, char *buf,
		      size_t size)
{
	switch (EBPF_CLASS(insn->code)) {
	case EBPF_ALU:
	case EBPF_ALU64:
		show_alu(*insn, buf, size);
		break;
	case EBPF_JMP:
	case EBPF_JMP32:
		show_jump(*insn, buf, size);
		break;
	case EBPF_LD:
		if (ebpf_is_classic(*insn))
			show_classic(*insn, buf, size);
		else
			show_lddw(obj, insn, buf, size);
		break;
	default:
		show_memory(*insn, buf, size);
	}
}

/* snprintf that appends and goes on counting when the buffer is full. */
__attribute__((format(printf, 4, 5))) static void append(char *buf, size_t size, size_t *len,
							 const char *format, ...)
{
	va_list args;
	size_t at = *len < size ? *len : size;
	int n;

	va_start(args, format);
	n = vsnprintf(buf ? buf + at : NULL, size - at, format, args);
	va_end(args);
	if (n > 0)
		*len += (size_t)n;
}

int ebpf_disasm_code(const struct ebpf_object *obj, const struct ebpf_code *code, char *buf,
		     size_t size)
{
	char text[EBPF_LOG_LINE];
	int32_t line = -1;
	size_t len = 0;
	uint32_t pc;

	if (!buf)
		size = 0;
	for (pc = 0; pc < code->count; pc++) {
		if (code->lines && code->lines[pc] != line && code->lines[pc] >= 0) {
			line = code->lines[pc];
			append(buf, size, &len, "; %s\n", obj->lines[line].text);
		}
		ebpf_disasm_insn(obj, &code->insns[pc], text, sizeof(text));
		append(buf, size, &len, "%5u: %s\n", pc, text);
		if (code->insns[pc].code == EBPF_LDDW)
			pc++;
	}
	return (int)len;
}
