/* The tests' assembler: a hand-written parser of one line at a time, two passes for the labels. */
#include "asm.h"

#include "bpf/platform.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LABELS_MAX 64

struct assembler {
	const char *at; /* rest of the line */
	const char *const *maps;
	struct ebpf_insn *insns;
	int room;
	int count;
	int pass;
	int label_count;
	struct {
		char name[32];
		int pc;
	} labels[LABELS_MAX];
};

static void skip(struct assembler *a)
{
	while (*a->at == ' ' || *a->at == '\t')
		a->at++;
}

static bool word(struct assembler *a, const char *text)
{
	size_t n = strlen(text);

	skip(a);
	if (strncmp(a->at, text, n) != 0)
		return false;
	a->at += n;
	return true;
}

static bool number(struct assembler *a, int64_t *value)
{
	char *end;

	skip(a);
	if (*a->at == '+')
		a->at++;
	if (*a->at == '-')
		*value = strtoll(a->at, &end, 0);
	else
		*value = (int64_t)strtoull(a->at, &end, 0);
	if (end == a->at)
		return false;
	a->at = end;
	return true;
}

/* r0..r10, or w0..w10 with *ret_wide false */
static bool reg(struct assembler *a, uint8_t *ret_reg, bool *ret_wide)
{
	int64_t value;

	skip(a);
	if ((*a->at != 'r' && *a->at != 'w') || !isdigit((unsigned char)a->at[1]))
		return false;
	*ret_wide = *a->at++ == 'r';
	if (!number(a, &value) || value > EBPF_REG_FP)
		return false;
	*ret_reg = (uint8_t)value;
	return true;
}

static bool wide_reg(struct assembler *a, uint8_t *ret_reg)
{
	bool wide;

	return reg(a, ret_reg, &wide) && wide;
}

static bool emit(struct assembler *a, struct ebpf_insn insn)
{
	if (a->count == a->room)
		return false;
	a->insns[a->count++] = insn;
	return true;
}

static bool name(struct assembler *a, char *buf, size_t size)
{
	size_t n = 0;

	skip(a);
	while ((isalnum((unsigned char)*a->at) || *a->at == '_' || *a->at == '.') && n + 1 < size)
		buf[n++] = *a->at++;
	buf[n] = '\0';
	return n > 0;
}

/* "+N", "-N" or a label, as an offset from the next instruction */
static bool target(struct assembler *a, int64_t *ret_offset)
{
	char label[32];
	int i;

	skip(a);
	if (*a->at == '+' || *a->at == '-')
		return number(a, ret_offset);
	if (!name(a, label, sizeof(label)))
		return false;
	for (i = 0; i < a->label_count; i++)
		if (strcmp(a->labels[i].name, label) == 0) {
			*ret_offset = a->labels[i].pc - a->count - 1;
			return true;
		}
	*ret_offset = 0;
	return a->pass == 0;
}

/* "(u32 *)(r1 +4" behind '*' or alone; the closing ')' is left */
static bool memory(struct assembler *a, struct ebpf_insn *insn, uint8_t *ret_base, bool *ret_signed)
{
	int64_t off = 0;

	if (!word(a, "("))
		return false;
	*ret_signed = word(a, "s");
	if (!*ret_signed && !word(a, "u"))
		return false;
	insn->code &= (uint8_t)~EBPF_SIZE(0xff);
	if (word(a, "8"))
		insn->code |= EBPF_B;
	else if (word(a, "16"))
		insn->code |= EBPF_H;
	else if (word(a, "32"))
		insn->code |= EBPF_W;
	else if (word(a, "64"))
		insn->code |= EBPF_DW;
	else
		return false;
	if (!word(a, "*)") && !word(a, " *)"))
		return false;
	if (!word(a, "(") || !wide_reg(a, ret_base))
		return false;
	skip(a);
	if (*a->at != ')' && *a->at != ',' && !number(a, &off))
		return false;
	insn->off = (int16_t)off;
	return true;
}

static bool line_store(struct assembler *a)
{
	struct ebpf_insn insn = {.code = EBPF_STX | EBPF_MEM};
	bool is_signed;
	uint8_t base, src;
	int64_t imm;

	if (!memory(a, &insn, &base, &is_signed) || !word(a, ")") || !word(a, "="))
		return false;
	insn.dst = base & 15u;
	if (wide_reg(a, &src)) {
		insn.src = src & 15u;
	} else if (number(a, &imm)) {
		insn.code = (uint8_t)(EBPF_ST | EBPF_MEM | EBPF_SIZE(insn.code));
		insn.imm = (int32_t)imm;
	} else {
		return false;
	}
	return emit(a, insn);
}

static bool atomic_sign(struct assembler *a, int32_t *ret_op)
{
	static const struct {
		const char *text;
		int32_t op;
	} signs[] = {{"+=", EBPF_ADD},  {"|=", EBPF_OR}, {"&=", EBPF_AND},  {"^=", EBPF_XOR},
		     {"add", EBPF_ADD}, {"or", EBPF_OR}, {"and", EBPF_AND}, {"xor", EBPF_XOR}};
	size_t i;

	for (i = 0; i < sizeof(signs) / sizeof(signs[0]); i++)
		if (word(a, signs[i].text)) {
			*ret_op = signs[i].op;
			return true;
		}
	return false;
}

static bool line_lock(struct assembler *a)
{
	struct ebpf_insn insn = {.code = EBPF_STX | EBPF_ATOMIC};
	bool is_signed;
	uint8_t base, src;
	int32_t op;

	if (!word(a, "*") || !memory(a, &insn, &base, &is_signed) || !word(a, ")"))
		return false;
	if (!atomic_sign(a, &op) || !wide_reg(a, &src))
		return false;
	insn.imm = op;
	insn.dst = base & 15u;
	insn.src = src & 15u;
	return emit(a, insn);
}

/* "atomic_fetch_OP((u64 *)(r1 +0), r2)" behind "rN =" */
static bool line_fetch(struct assembler *a)
{
	struct ebpf_insn insn = {.code = EBPF_STX | EBPF_ATOMIC};
	bool is_signed;
	uint8_t base, src;
	int32_t op;

	if (!atomic_sign(a, &op) || !word(a, "(") || !memory(a, &insn, &base, &is_signed))
		return false;
	if (!word(a, ")") || !word(a, ",") || !wide_reg(a, &src) || !word(a, ")"))
		return false;
	insn.imm = op | EBPF_FETCH;
	insn.dst = base & 15u;
	insn.src = src & 15u;
	return emit(a, insn);
}

/* "_64(r1 +0, r2)" or "_64(r1 +0, r0, r2)" */
static bool line_exchange(struct assembler *a, bool compare)
{
	struct ebpf_insn insn = {.code = EBPF_STX | EBPF_ATOMIC};
	uint8_t base, src;
	int64_t off;

	if (word(a, "_64("))
		insn.code |= EBPF_DW;
	else if (!word(a, "_32("))
		return false;
	if (!wide_reg(a, &base) || !number(a, &off) || !word(a, ","))
		return false;
	if (compare && !word(a, "r0,"))
		return false;
	if (!wide_reg(a, &src) || !word(a, ")"))
		return false;
	insn.imm = compare ? EBPF_CMPXCHG : EBPF_XCHG;
	insn.dst = base & 15u;
	insn.src = src & 15u;
	insn.off = (int16_t)off;
	return emit(a, insn);
}

static bool line_map(struct assembler *a, uint8_t dst, bool value)
{
	struct ebpf_insn insn = {.code = EBPF_LDDW, .dst = dst & 15u};
	struct ebpf_insn second = {0};
	char map[32];
	int64_t off = 0;
	int i;

	if (!name(a, map, sizeof(map)))
		return false;
	for (i = 0; a->maps[i] && strcmp(a->maps[i], map) != 0; i++)
		continue;
	if (!a->maps[i] || (value && !number(a, &off)))
		return false;
	insn.src = value ? EBPF_LDDW_VALUE : EBPF_LDDW_MAP;
	insn.imm = i;
	second.imm = (int32_t)off;
	return emit(a, insn) && emit(a, second);
}

static bool line_swap(struct assembler *a, uint8_t dst, uint8_t code)
{
	struct ebpf_insn insn = {.code = code, .dst = dst & 15u};
	uint8_t src;
	int64_t bits;

	if (!number(a, &bits) || !wide_reg(a, &src) || src != dst)
		return false;
	insn.imm = (int32_t)bits;
	return emit(a, insn);
}

/* "r1 = function pc+3" or "... pc LABEL" */
static bool line_function(struct assembler *a, uint8_t dst)
{
	struct ebpf_insn insn = {.code = EBPF_LDDW, .dst = dst & 15u, .src = EBPF_LDDW_FUNC};
	struct ebpf_insn second = {0};
	int64_t off;

	if (!word(a, "pc") || !target(a, &off))
		return false;
	insn.imm = (int32_t)off;
	return emit(a, insn) && emit(a, second);
}

/* "*(u16 *)skb[r1 +2]" behind "r0 =" */
static bool line_classic(struct assembler *a)
{
	struct ebpf_insn insn = {.code = EBPF_LD | EBPF_ABS};
	int64_t bits, imm = 0;
	uint8_t src;

	if (!word(a, "(u") || !number(a, &bits) || !word(a, "*)skb["))
		return false;
	insn.code |= bits == 8 ? EBPF_B : bits == 16 ? EBPF_H : EBPF_W;
	if (wide_reg(a, &src)) {
		insn.code = (insn.code & 0x1f) | EBPF_IND;
		insn.src = src & 15u;
	}
	if (!number(a, &imm) || !word(a, "]"))
		return false;
	insn.imm = (int32_t)imm;
	return emit(a, insn);
}

/* behind "rN =" or "wN =" */
static bool line_assign(struct assembler *a, uint8_t dst, bool wide)
{
	struct ebpf_insn insn = {.dst = dst & 15u};
	uint8_t class = wide ? EBPF_ALU64 : EBPF_ALU, src;
	bool src_wide, is_signed;
	struct ebpf_insn second = {0};
	int64_t imm;

	if (word(a, "map_value "))
		return line_map(a, dst, true);
	if (word(a, "map "))
		return line_map(a, dst, false);
	if (word(a, "atomic_fetch_"))
		return line_fetch(a);
	if (word(a, "xchg"))
		return line_exchange(a, false);
	if (word(a, "cmpxchg"))
		return line_exchange(a, true);
	if (word(a, "be"))
		return line_swap(a, dst, EBPF_ALU | EBPF_END | EBPF_X);
	if (word(a, "le"))
		return line_swap(a, dst, EBPF_ALU | EBPF_END);
	if (word(a, "bswap"))
		return line_swap(a, dst, EBPF_ALU64 | EBPF_END);
	if (word(a, "function "))
		return line_function(a, dst);
	if (word(a, "*")) {
		if (strstr(a->at, "skb["))
			return line_classic(a);
		insn.code = EBPF_LDX;
		if (!memory(a, &insn, &src, &is_signed) || !word(a, ")"))
			return false;
		insn.code |= is_signed ? EBPF_MEMSX : EBPF_MEM;
		insn.src = src & 15u;
		return emit(a, insn);
	}
	if (word(a, "(s")) {
		if (!number(a, &imm) || !word(a, ")") || !reg(a, &src, &src_wide))
			return false;
		insn.code = class | EBPF_MOV | EBPF_X;
		insn.off = (int16_t)imm;
		insn.src = src & 15u;
		return emit(a, insn);
	}
	if (a->at[strspn(a->at, " ")] == '-' && strpbrk(a->at, "rw")) {
		word(a, "-");
		insn.code = class | EBPF_NEG;
		return reg(a, &src, &src_wide) && emit(a, insn);
	}
	if (reg(a, &src, &src_wide)) {
		insn.code = class | EBPF_MOV | EBPF_X;
		insn.src = src & 15u;
		return src_wide == wide && emit(a, insn);
	}
	if (!number(a, &imm))
		return false;
	insn.imm = (int32_t)imm;
	second.imm = (int32_t)(imm >> 32);
	if (word(a, "ll")) {
		insn.code = EBPF_LDDW;
		return emit(a, insn) && emit(a, second);
	}
	insn.code = class | EBPF_MOV;
	return emit(a, insn);
}

static bool line_alu(struct assembler *a)
{
	static const struct {
		const char *text;
		uint8_t op;
		int16_t off;
	} signs[] = {
		{"s>>=", EBPF_ARSH, 0}, {"s/=", EBPF_DIV, 1}, {"s%=", EBPF_MOD, 1},
		{"<<=", EBPF_LSH, 0},   {">>=", EBPF_RSH, 0}, {"+=", EBPF_ADD, 0},
		{"-=", EBPF_SUB, 0},    {"*=", EBPF_MUL, 0},  {"/=", EBPF_DIV, 0},
		{"%=", EBPF_MOD, 0},    {"|=", EBPF_OR, 0},   {"&=", EBPF_AND, 0},
		{"^=", EBPF_XOR, 0},
	};
	struct ebpf_insn insn = {0};
	bool wide, src_wide;
	uint8_t dst, src;
	int64_t imm;
	size_t i;

	if (!reg(a, &dst, &wide))
		return false;
	if (word(a, "="))
		return line_assign(a, dst, wide);
	insn.code = wide ? EBPF_ALU64 : EBPF_ALU;
	insn.dst = dst & 15u;
	for (i = 0; i < sizeof(signs) / sizeof(signs[0]); i++)
		if (word(a, signs[i].text))
			break;
	if (i == sizeof(signs) / sizeof(signs[0]))
		return false;
	insn.code |= signs[i].op;
	insn.off = signs[i].off;
	if (reg(a, &src, &src_wide)) {
		insn.code |= EBPF_X;
		insn.src = src & 15u;
		return src_wide == wide && emit(a, insn);
	}
	if (!number(a, &imm))
		return false;
	insn.imm = (int32_t)imm;
	return emit(a, insn);
}

static bool line_if(struct assembler *a)
{
	static const struct {
		const char *text;
		uint8_t op;
	} signs[] = {{"s>=", EBPF_JSGE}, {"s<=", EBPF_JSLE}, {"s>", EBPF_JSGT}, {"s<", EBPF_JSLT},
		     {"==", EBPF_JEQ},   {"!=", EBPF_JNE},   {">=", EBPF_JGE},  {"<=", EBPF_JLE},
		     {">", EBPF_JGT},    {"<", EBPF_JLT},    {"&", EBPF_JSET}};
	struct ebpf_insn insn = {0};
	bool wide, src_wide;
	uint8_t dst, src;
	int64_t imm, off;
	size_t i;

	if (!reg(a, &dst, &wide))
		return false;
	insn.dst = dst & 15u;
	for (i = 0; i < sizeof(signs) / sizeof(signs[0]); i++)
		if (word(a, signs[i].text))
			break;
	if (i == sizeof(signs) / sizeof(signs[0]))
		return false;
	insn.code = (uint8_t)((wide ? EBPF_JMP : EBPF_JMP32) | signs[i].op);
	if (reg(a, &src, &src_wide)) {
		insn.code |= EBPF_X;
		insn.src = src & 15u;
	} else if (number(a, &imm)) {
		insn.imm = (int32_t)imm;
	} else {
		return false;
	}
	if (!word(a, "goto ") || !target(a, &off))
		return false;
	insn.off = (int16_t)off;
	return emit(a, insn);
}

static bool line_call(struct assembler *a)
{
	struct ebpf_insn insn = {.code = EBPF_JMP | EBPF_CALL};
	char helper[32];
	int64_t value;
	int i;

	if (word(a, "pc")) {
		insn.src = EBPF_CALL_LOCAL;
		if (!target(a, &value))
			return false;
		insn.imm = (int32_t)value;
		return emit(a, insn);
	}
	skip(a);
	if (isdigit((unsigned char)*a->at)) {
		if (!number(a, &value))
			return false;
		insn.imm = (int32_t)value;
		return emit(a, insn);
	}
	if (!name(a, helper, sizeof(helper)))
		return false;
	for (i = 1; i < EBPF_HELPERS; i++)
		if (ebpf_helpers[i].name && strcmp(ebpf_helpers[i].name, helper) == 0)
			insn.imm = i;
	return insn.imm && emit(a, insn);
}

static bool line_instruction(struct assembler *a)
{
	struct ebpf_insn insn = {0};
	int64_t off;

	if (word(a, "exit")) {
		insn.code = EBPF_JMP | EBPF_EXIT;
		return emit(a, insn);
	}
	if (word(a, "if "))
		return line_if(a);
	if (word(a, "call "))
		return line_call(a);
	if (word(a, "lock "))
		return line_lock(a);
	if (word(a, "gotol ")) {
		insn.code = EBPF_JMP32 | EBPF_JA;
		if (!target(a, &off))
			return false;
		insn.imm = (int32_t)off;
		return emit(a, insn);
	}
	if (word(a, "goto ")) {
		insn.code = EBPF_JMP | EBPF_JA;
		if (!target(a, &off))
			return false;
		insn.off = (int16_t)off;
		return emit(a, insn);
	}
	if (word(a, "*"))
		return line_store(a);
	return line_alu(a);
}

static bool line_any(struct assembler *a, char *line)
{
	char *hash = strchr(line, '#'), *colon;

	if (hash)
		*hash = '\0';
	line += strspn(line, " \t");
	line[strcspn(line, "\r\n")] = '\0';
	colon = strchr(line, ':');
	/* "12: insn" is what the disassembler writes; "name:" alone is a label */
	if (colon && isdigit((unsigned char)*line)) {
		line = colon + 1;
	} else if (colon && a->label_count < LABELS_MAX) {
		*colon = '\0';
		if (a->pass == 0) {
			snprintf(a->labels[a->label_count].name, 32, "%s", line);
			a->labels[a->label_count++].pc = a->count;
		}
		return true;
	}
	a->at = line;
	skip(a);
	if (!*a->at || *a->at == ';')
		return true;
	if (!line_instruction(a))
		return false;
	skip(a);
	return *a->at == '\0';
}

int asm_program(const char *text, const char *const *maps, struct ebpf_insn *insns, int room,
		int *ret_line)
{
	struct assembler a = {.maps = maps, .insns = insns, .room = room};
	char line[256];

	for (a.pass = 0; a.pass < 2; a.pass++) {
		const char *at = text;

		a.count = 0;
		for (*ret_line = 1; *at; (*ret_line)++) {
			size_t n = strcspn(at, "\n");

			snprintf(line, sizeof(line), "%.*s", (int)n, at);
			if (!line_any(&a, line))
				return -1;
			at += n + (at[n] == '\n');
		}
	}
	return a.count;
}
