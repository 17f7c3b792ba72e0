/* Why a program was refused: the instruction, its source line, what is known, what would help. */
#include "bpf/verify_priv.h"
#include "bpf/disasm.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct text {
	char *buf;
	size_t size;
	size_t len;
};

__attribute__((format(printf, 2, 3))) static void add(struct text *t, const char *format, ...)
{
	va_list args;
	int n;

	if (t->len >= t->size)
		return;
	va_start(args, format);
	n = vsnprintf(t->buf + t->len, t->size - t->len, format, args);
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

static void add_reg(struct text *t, const struct verifier *v, unsigned int index)
{
	static const char *const kinds[] = {
		[V_NONE] = "never written",
		[V_SCALAR] = "number ",
		[V_CTX] = "the context",
		[V_STACK] = "stack",
		[V_PKT] = "packet",
		[V_PKT_END] = "end of the packet",
		[V_VALUE] = "value of map ",
		[V_VALUE_OR_NULL] = "null, or value of map ",
		[V_MAP] = "map ",
	};
	const struct vreg *reg = &v->now.frames[v->now.depth]->regs[index];

	add(t, "  r%u: %s", index, kinds[reg->type]);
	if (reg->type == V_VALUE || reg->type == V_VALUE_OR_NULL || reg->type == V_MAP)
		add(t, "\"%s\" (%u bytes)", v->obj->maps[reg->map].name,
		    v->obj->maps[reg->map].value_size);
	if (reg->type == V_SCALAR)
		add_number(t, &reg->var);
	else if (vreg_is_pointer(reg))
		add_offset(t, reg);
	if (reg->type == V_PKT)
		add(t, ", bytes known to be there: %u", reg->range);
	add(t, "\n");
}

/* The registers that an instruction reads, one line each. */
static void add_regs(struct text *t, const struct verifier *v, struct ebpf_insn insn)
{
	unsigned int i;

	if (ebpf_is_call(insn)) {
		for (i = 1; i <= 5; i++)
			if (vstate_top((struct vstate *)(uintptr_t)&v->now)->regs[i].type)
				add_reg(t, v, i);
		return;
	}
	if (ebpf_is_exit(insn)) {
		add_reg(t, v, 0);
		return;
	}
	if (EBPF_CLASS(insn.code) != EBPF_LDX && EBPF_CLASS(insn.code) != EBPF_LD)
		add_reg(t, v, insn.dst);
	if (EBPF_CLASS(insn.code) == EBPF_LDX || EBPF_CLASS(insn.code) == EBPF_STX ||
	    (insn.code & EBPF_X && EBPF_CLASS(insn.code) != EBPF_ST))
		add_reg(t, v, insn.src);
}

int verify_fail(struct verifier *v, const char *cure, const char *format, ...)
{
	struct text t = {v->log, v->log_size, 0};
	char line[EBPF_LOG_LINE];
	va_list args;
	int32_t source = v->code->lines ? v->code->lines[v->pc] : -1;

	if (!v->log || !v->log_size)
		return -EACCES;
	ebpf_disasm_insn(v->obj, &v->insns[v->pc], line, sizeof(line));
	add(&t, "program %s (%s) refused at instruction %u: %s\n", v->code->name, v->code->section,
	    v->pc, line);
	if (source >= 0)
		add(&t, "  source: %s:%u: %s\n", v->obj->lines[source].file,
		    v->obj->lines[source].number, v->obj->lines[source].text);
	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	add(&t, "  reason: %s\n", line);
	if (v->now.frames[v->now.depth])
		add_regs(&t, v, v->insns[v->pc]);
	add(&t, "  cure:   %s\n", cure);
	return -EACCES;
}
