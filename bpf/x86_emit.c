/* Encoding of x86-64 instructions (Intel SDM volume 2). */
#include "bpf/x86_emit.h"

#include <assert.h>
#include <string.h>

void x86_bytes(struct x86_buf *b, const void *bytes, size_t count)
{
	if (b->len + count <= b->room)
		memcpy(b->bytes + b->len, bytes, count);
	b->len += count;
}

void x86_byte(struct x86_buf *b, uint8_t byte)
{
	x86_bytes(b, &byte, 1);
}

void x86_u32(struct x86_buf *b, uint32_t value)
{
	x86_bytes(b, &value, 4);
}

static void opcode_byte(struct x86_buf *b, unsigned int opcode)
{
	if (opcode > 0xff)
		x86_byte(b, 0x0f);
	x86_byte(b, (uint8_t)opcode);
}

static void rex(struct x86_buf *b, bool wide, enum x86_reg reg, enum x86_reg rm, bool always)
{
	unsigned int byte = 0x40u | (wide ? 8u : 0u) | (reg >= R8 ? 4u : 0u) | (rm >= R8 ? 1u : 0u);

	if (byte != 0x40 || always)
		x86_byte(b, (uint8_t)byte);
}

static uint8_t modrm(unsigned int mod, enum x86_reg reg, enum x86_reg rm)
{
	return (uint8_t)(mod << 6 | (reg & 7u) << 3 | (rm & 7u));
}

void x86_rr(struct x86_buf *b, bool wide, unsigned int opcode, enum x86_reg reg, enum x86_reg rm)
{
	rex(b, wide, reg, rm, false);
	opcode_byte(b, opcode);
	x86_byte(b, modrm(3, reg, rm));
}

void x86_rr8(struct x86_buf *b, bool wide, unsigned int opcode, enum x86_reg reg, enum x86_reg rm)
{
	rex(b, wide, reg, rm, true);
	opcode_byte(b, opcode);
	x86_byte(b, modrm(3, reg, rm));
}

/* [base + disp]: rsp and r12 need a SIB byte, rbp and r13 a displacement. */
static void memory(struct x86_buf *b, enum x86_reg reg, enum x86_reg base, int32_t disp)
{
	bool small = disp >= INT8_MIN && disp <= INT8_MAX;
	unsigned int mod = small ? 1 : 2;

	if (disp == 0 && (base & 7) != RBP)
		mod = 0;
	x86_byte(b, modrm(mod, reg, base));
	if ((base & 7) == RSP)
		x86_byte(b, 0x24);
	if (mod == 1)
		x86_byte(b, (uint8_t)disp);
	if (mod == 2)
		x86_u32(b, (uint32_t)disp);
}

void x86_rm(struct x86_buf *b, bool wide, unsigned int opcode, enum x86_reg reg, enum x86_reg base,
	    int32_t disp)
{
	rex(b, wide, reg, base, false);
	opcode_byte(b, opcode);
	memory(b, reg, base, disp);
}

void x86_rm8(struct x86_buf *b, unsigned int opcode, enum x86_reg reg, enum x86_reg base,
	     int32_t disp)
{
	rex(b, false, reg, base, true);
	opcode_byte(b, opcode);
	memory(b, reg, base, disp);
}

void x86_mov(struct x86_buf *b, bool wide, enum x86_reg dst, enum x86_reg src)
{
	x86_rr(b, wide, 0x89, src, dst);
}

void x86_mov_imm(struct x86_buf *b, enum x86_reg dst, uint64_t value)
{
	if (value == 0) {
		x86_rr(b, false, 0x31, dst, dst);
	} else if (value <= UINT32_MAX) {
		rex(b, false, RAX, dst, false);
		x86_byte(b, (uint8_t)(0xb8 | (dst & 7)));
		x86_u32(b, (uint32_t)value);
	} else if (value >= (uint64_t)INT32_MIN) {
		x86_rr(b, true, 0xc7, RAX, dst);
		x86_u32(b, (uint32_t)value);
	} else {
		rex(b, true, RAX, dst, false);
		x86_byte(b, (uint8_t)(0xb8 | (dst & 7)));
		x86_bytes(b, &value, 8);
	}
}

void x86_alu_rr(struct x86_buf *b, bool wide, enum x86_alu op, enum x86_reg dst, enum x86_reg src)
{
	x86_rr(b, wide, op * 8u + 1, src, dst);
}

void x86_alu_imm(struct x86_buf *b, bool wide, enum x86_alu op, enum x86_reg dst, int32_t imm)
{
	if (imm >= INT8_MIN && imm <= INT8_MAX) {
		x86_rr(b, wide, 0x83, (enum x86_reg)op, dst);
		x86_byte(b, (uint8_t)imm);
	} else {
		x86_rr(b, wide, 0x81, (enum x86_reg)op, dst);
		x86_u32(b, (uint32_t)imm);
	}
}

void x86_shift_imm(struct x86_buf *b, bool wide, enum x86_shift op, enum x86_reg dst, uint8_t count)
{
	x86_rr(b, wide, 0xc1, (enum x86_reg)op, dst);
	x86_byte(b, count);
}

void x86_shift_cl(struct x86_buf *b, bool wide, enum x86_shift op, enum x86_reg dst)
{
	x86_rr(b, wide, 0xd3, (enum x86_reg)op, dst);
}

void x86_push(struct x86_buf *b, enum x86_reg reg)
{
	rex(b, false, RAX, reg, false);
	x86_byte(b, (uint8_t)(0x50 | (reg & 7)));
}

void x86_pop(struct x86_buf *b, enum x86_reg reg)
{
	rex(b, false, RAX, reg, false);
	x86_byte(b, (uint8_t)(0x58 | (reg & 7)));
}

size_t x86_jump_short(struct x86_buf *b, enum x86_cond cond)
{
	x86_byte(b, cond == X86_ALWAYS ? 0xeb : (uint8_t)(0x70 | cond));
	x86_byte(b, 0);
	return b->len;
}

void x86_land(struct x86_buf *b, size_t jump)
{
	assert(b->len - jump <= INT8_MAX);
	if (b->len <= b->room)
		b->bytes[jump - 1] = (uint8_t)(b->len - jump);
}
