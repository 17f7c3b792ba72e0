/*
 * Why a program was refused: the instruction, its source line, what is known, what would help. As a
 * struct first, from which text and JSON are made.
 */
#include "bpf/verify_priv.h"
#include "bpf/disasm.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct text {
	char *buf;
	size_t size;
	size_t len;
};

__attribute__((format(printf, 2, 3))) static void add(struct text *t, const char *format, ...)
{
	bool room = t->len < t->size;
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(room ? t->buf + t->len : NULL, room ? t->size - t->len : 0, format, args);
	va_end(args);
	if (n > 0)
		t->len += (size_t)n;
}

static void add_number(struct text *t, const struct scalar *s)
{
	if (scalar_is_const(s)) {
		add(t, "%lld", (long long)s->bits.value);
		return;
	}
	if (s->r64.umin == 0 && s->r64.umax == UINT64_MAX && s->r64.smin == INT64_MIN &&
	    s->r64.smax == INT64_MAX)
		add(t, "anything");
	else if (s->r64.smin >= 0 || (uint64_t)s->r64.smax - (uint64_t)s->r64.smin >= INT64_MAX)
		add(t, "%llu..%llu", (unsigned long long)s->r64.umin,
		    (unsigned long long)s->r64.umax);
	else
		add(t, "%lld..%lld", (long long)s->r64.smin, (long long)s->r64.smax);
	if (s->r32.umax - s->r32.umin < UINT32_MAX && s->r64.umax > UINT32_MAX)
		add(t, ", low half %llu..%llu", (unsigned long long)s->r32.umin,
		    (unsigned long long)s->r32.umax);
}

static void add_offset(struct text *t, const struct vreg *reg)
{
	if (!scalar_is_const(&reg->var) || reg->var.bits.value) {
		add(t, " + (");
		add_number(t, &reg->var);
		add(t, ")");
	}
	if (reg->off)
		add(t, " %c %u", reg->off < 0 ? '-' : '+',
		    reg->off < 0 ? 0u - (unsigned int)reg->off : (unsigned int)reg->off);
}

static const char *const kinds[] = {
	[V_NONE] = "never written",
	[V_SCALAR] = "number ",
	[V_CTX] = "the context",
	[V_STACK] = "stack",
	[V_PKT] = "packet",
	[V_PKT_END] = "end of the packet",
	[V_META] = "metadata of the packet",
	[V_FUNC] = "function",
	[V_VALUE] = "value of map ",
	[V_VALUE_OR_NULL] = "null, or value of map ",
	[V_MAP] = "map ",
	[V_MAP_OR_NULL] = "null, or map ",
	[V_RECORD] = "record",
	[V_RECORD_OR_NULL] = "null, or record",
	[V_OBJECT] = "object",
	[V_OBJECT_OR_NULL] = "null, or object",
};

static bool has_map(const struct vreg *reg)
{
	return reg->type >= V_VALUE && reg->type <= V_MAP_OR_NULL;
}

static void describe(struct text *t, const struct verifier *v, const struct vreg *reg)
{
	add(t, "%s", kinds[reg->type]);
	if (has_map(reg))
		add(t, "\"%s\"%s (%u bytes)", v->obj->maps[reg->map & ~VMAP_INNER].name,
		    reg->map & VMAP_INNER ? "[]" : "", verify_map_def(v, reg->map)->value_size);
	if (reg->type == V_SCALAR)
		add_number(t, &reg->var);
	else if (vreg_is_pointer(reg))
		add_offset(t, reg);
	if (reg->type == V_PKT || reg->type == V_META)
		add(t, ", bytes known to be there: %u", reg->range);
	if (reg->type == V_RECORD)
		add(t, " of %u bytes", reg->range);
}

static void take_reg(struct ebpf_refusal *r, const struct verifier *v, unsigned int index)
{
	struct text t = {r->regs[r->reg_count].state, sizeof(r->regs[0].state), 0};

	r->regs[r->reg_count++].number = index;
	describe(&t, v, &v->now.frames[v->now.depth]->regs[index]);
}

/* The registers that an instruction reads. */
static void take_regs(struct ebpf_refusal *r, const struct verifier *v, struct ebpf_insn insn)
{
	const struct vframe *frame = v->now.frames[v->now.depth];
	uint8_t class = EBPF_CLASS(insn.code);
	unsigned int i;

	if (ebpf_is_call(insn)) {
		for (i = 1; i <= 5; i++)
			if (frame->regs[i].type)
				take_reg(r, v, i);
		return;
	}
	if (ebpf_is_exit(insn)) {
		take_reg(r, v, 0);
		return;
	}
	if (class != EBPF_LDX && class != EBPF_LD)
		take_reg(r, v, insn.dst);
	if (class == EBPF_LDX || class == EBPF_STX || (insn.code & EBPF_X && class != EBPF_ST))
		take_reg(r, v, insn.src);
}

void ebpf_refuse(struct ebpf_code *code, const char *reason, const char *cure)
{
	struct ebpf_refusal *r = calloc(1, sizeof(*r));

	free(code->refusal);
	code->refusal = r;
	if (!r)
		return;
	r->instruction = EBPF_WHOLE_PROGRAM;
	snprintf(r->program, sizeof(r->program), "%s", code->name);
	snprintf(r->section, sizeof(r->section), "%s", code->section);
	snprintf(r->reason, sizeof(r->reason), "%s", reason);
	snprintf(r->cure, sizeof(r->cure), "%s", cure);
}

int verify_fail(struct verifier *v, const char *cure, const char *format, ...)
{
	int32_t source = v->code->lines ? v->code->lines[v->pc] : -1;
	char reason[sizeof(v->code->refusal->reason)];
	struct ebpf_refusal *r;
	va_list args;

	va_start(args, format);
	vsnprintf(reason, sizeof(reason), format, args);
	va_end(args);
	ebpf_refuse(v->code, reason, cure);
	r = v->code->refusal;
	if (!r)
		return -ENOMEM;
	r->instruction = v->pc;
	ebpf_disasm_insn(v->obj, &v->insns[v->pc], r->text, sizeof(r->text));
	if (source >= 0) {
		r->line = v->obj->lines[source].number;
		snprintf(r->file, sizeof(r->file), "%s", v->obj->lines[source].file);
		snprintf(r->source, sizeof(r->source), "%s", v->obj->lines[source].text);
	}
	if (v->now.frames[v->now.depth])
		take_regs(r, v, v->insns[v->pc]);
	return -EACCES;
}

int ebpf_refusal_text(const struct ebpf_refusal *r, char *buf, size_t size)
{
	struct text t = {buf, size, 0};
	uint32_t i;

	add(&t, "program %s (%s) refused", r->program, r->section);
	if (r->instruction != EBPF_WHOLE_PROGRAM)
		add(&t, " at instruction %u: %s", r->instruction, r->text);
	add(&t, "\n");
	if (r->line)
		add(&t, "  source: %s:%u: %s\n", r->file, r->line, r->source);
	add(&t, "  reason: %s\n", r->reason);
	for (i = 0; i < r->reg_count; i++)
		add(&t, "  r%u: %s\n", r->regs[i].number, r->regs[i].state);
	add(&t, "  cure:   %s\n", r->cure);
	return (int)t.len;
}

/* A JSON string (RFC 8259). What is not ASCII is shown as '?': names come from a stranger. */
static void add_string(struct text *t, const char *key, const char *value)
{
	add(t, "\"%s\": \"", key);
	for (; *value; value++) {
		unsigned char c = (unsigned char)*value;

		if (c == '"' || c == '\\')
			add(t, "\\%c", c);
		else if (c < ' ')
			add(t, "\\u%04x", c);
		else
			add(t, "%c", c < 0x7f ? c : '?');
	}
	add(t, "\"");
}

int ebpf_refusal_json(const struct ebpf_refusal *r, char *buf, size_t size)
{
	struct text t = {buf, size, 0};
	uint32_t i;

	add(&t, "{");
	add_string(&t, "program", r->program);
	add(&t, ", ");
	add_string(&t, "section", r->section);
	if (r->instruction != EBPF_WHOLE_PROGRAM) {
		add(&t, ", \"instruction\": %u, ", r->instruction);
		add_string(&t, "text", r->text);
	}
	if (r->line) {
		add(&t, ", ");
		add_string(&t, "file", r->file);
		add(&t, ", \"line\": %u, ", r->line);
		add_string(&t, "source", r->source);
	}
	add(&t, ", ");
	add_string(&t, "reason", r->reason);
	add(&t, ", \"registers\": {");
	for (i = 0; i < r->reg_count; i++) {
		char name[12];

		snprintf(name, sizeof(name), "r%u", r->regs[i].number);
		add(&t, "%s", i ? ", " : "");
		add_string(&t, name, r->regs[i].state);
	}
	add(&t, "}, ");
	add_string(&t, "cure", r->cure);
	add(&t, "}");
	return (int)t.len;
}
