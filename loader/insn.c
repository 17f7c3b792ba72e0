/*
 * insn.c - the decoder: prefixes, opcode maps, ModRM, immediates (Intel SDM volume 2, appendix A).
 */
#include "loader/insn.h"

#include <string.h>

/* What follows an opcode: a letter each in the map strings below. */
enum form {
	FORM_NONE = '.',
	FORM_BAD = '-',
	FORM_PREFIX = 'p',
	FORM_MODRM = 'm',
	FORM_MODRM_IMM8 = 'n',
	FORM_MODRM_IMMZ = 'N',
	FORM_IMM8 = 'b',
	FORM_IMM16 = 'w',
	FORM_IMMZ = 'z', /* 4 bytes, or 2 with prefix 66 */
	FORM_IMMV = 'v', /* mov r, imm: 8 bytes with REX.W */
	FORM_MOFFS = 'o',
	FORM_ENTER = 'e',
	FORM_REL8 = 'j',
	FORM_REL32 = 'J',
	FORM_GROUP3_8 = 'g', /* f6: imm8 for /0 and /1 */
	FORM_GROUP3 = 'G',
	FORM_ESCAPE = 'x',
};

/* The one-byte opcodes, 16 to a line. */
static const char map_one[] = "mmmmbz--mmmmbz-x"
			      "mmmmbz--mmmmbz--"
			      "mmmmbzp-mmmmbzp-"
			      "mmmmbzp-mmmmbzp-"
			      "pppppppppppppppp"
			      "................"
			      "--xmppppzNbn...."
			      "jjjjjjjjjjjjjjjj"
			      "nN-nmmmmmmmmmmmm"
			      "..........-....."
			      "oooo....bz......"
			      "bbbbbbbbvvvvvvvv"
			      "nnw.xxnNe.w..b-."
			      "mmmm---.mmmmmmmm"
			      "jjjjbbbbJJ-j...."
			      "p.pp..gG......mm";

/* Behind 0f. */
static const char map_0f[] = "mmmm-.....-.-m.n"
			     "mmmmmmmmmmmmmmmm"
			     "mmmm----mmmmmmmm"
			     "......-.x-x-----"
			     "mmmmmmmmmmmmmmmm"
			     "mmmmmmmmmmmmmmmm"
			     "mmmmmmmmmmmmmmmm"
			     "nnnnmmm.mm--mmmm"
			     "JJJJJJJJJJJJJJJJ"
			     "mmmmmmmmmmmmmmmm"
			     "...mnm--...mnmmm"
			     "mmmmmmmmmmnmmmmm"
			     "mmnmnnnm........"
			     "mmmmmmmmmmmmmmmm"
			     "mmmmmmmmmmmmmmmm"
			     "mmmmmmmmmmmmmmmm";

_Static_assert(sizeof(map_one) == 257 && sizeof(map_0f) == 257, "a form for each opcode");

struct cursor {
	const uint8_t *bytes;
	size_t n;
	size_t at;
};

/* The next byte, or -1 at the end. */
static int next_byte(struct cursor *c)
{
	return c->at < c->n && c->at < INSN_MAX ? c->bytes[c->at++] : -1;
}

static bool skip(struct cursor *c, unsigned n)
{
	c->at += n;
	return c->at <= c->n && c->at <= INSN_MAX;
}

/* ModRM, SIB and displacement. */
static bool decode_modrm(struct cursor *c, struct insn *in)
{
	int modrm = next_byte(c), sib;
	unsigned mod, rm;

	if (modrm < 0)
		return false;
	in->has_modrm = true;
	in->modrm = (uint8_t)modrm;
	mod = (unsigned)modrm >> 6;
	rm = (unsigned)modrm & 7;
	if (mod == 3)
		return true;
	if (rm == 4) {
		sib = next_byte(c);
		if (sib < 0)
			return false;
		if (mod == 0 && (sib & 7) == 5)
			return skip(c, 4);
	} else if (mod == 0 && rm == 5) {
		in->rip = true;
		in->disp_off = (uint8_t)c->at;
		return skip(c, 4);
	}
	return skip(c, mod == 1 ? 1 : mod == 2 ? 4 : 0);
}

static bool decode_imm(struct cursor *c, struct insn *in, unsigned n)
{
	in->imm_len = (uint8_t)n;
	return skip(c, n);
}

static bool decode_rel(struct cursor *c, struct insn *in, unsigned n)
{
	if (in->opsize) /* Intel and AMD differ */
		return false;
	if (!decode_imm(c, in, n))
		return false;
	in->has_target = true;
	if (n == 1) {
		/* sign extension */
		in->rel = (c->bytes[c->at - 1] ^ 0x80) - 0x80;
	} else {
		memcpy(&in->rel, c->bytes + c->at - 4, 4);
	}
	return true;
}

/* What stands behind the opcode, by its form. */
static bool decode_form(struct cursor *c, struct insn *in, enum form form)
{
	unsigned immz = in->opsize && !(in->rex & 8) ? 2 : 4;

	switch (form) {
	case FORM_NONE:
		return true;
	case FORM_MODRM:
		return decode_modrm(c, in);
	case FORM_MODRM_IMM8:
		return decode_modrm(c, in) && decode_imm(c, in, 1);
	case FORM_MODRM_IMMZ:
		return decode_modrm(c, in) && decode_imm(c, in, immz);
	case FORM_IMM8:
		return decode_imm(c, in, 1);
	case FORM_IMM16:
		return decode_imm(c, in, 2);
	case FORM_IMMZ:
		return decode_imm(c, in, immz);
	case FORM_IMMV:
		return decode_imm(c, in, (in->rex & 8) ? 8 : immz);
	case FORM_MOFFS:
		return decode_imm(c, in, 8);
	case FORM_ENTER:
		return decode_imm(c, in, 3);
	case FORM_REL8:
		return decode_rel(c, in, 1);
	case FORM_REL32:
		return decode_rel(c, in, 4);
	case FORM_GROUP3_8:
		return decode_modrm(c, in) && ((in->modrm & 0x30) || decode_imm(c, in, 1));
	case FORM_GROUP3:
		return decode_modrm(c, in) && ((in->modrm & 0x30) || decode_imm(c, in, immz));
	default:
		return false;
	}
}

/* The form of an opcode in the maps that VEX, EVEX and the 0f 38 and 0f 3a escapes share. */
static enum form map_form(unsigned map, unsigned opcode, bool evex)
{
	switch (map) {
	case 1:
		if (opcode == 0x77)
			return evex ? FORM_BAD : FORM_NONE;
		if ((opcode >= 0x70 && opcode <= 0x73) || opcode == 0xc2 ||
		    (opcode >= 0xc4 && opcode <= 0xc6))
			return FORM_MODRM_IMM8;
		return FORM_MODRM;
	case 2:
		return FORM_MODRM;
	case 3:
		return FORM_MODRM_IMM8;
	case 5:
	case 6:
		return evex ? FORM_MODRM : FORM_BAD;
	default:
		return FORM_BAD;
	}
}

/* VEX (c4, c5) and EVEX (62): the prefix bytes are skipped, their meaning is not needed. */
static bool decode_vex(struct cursor *c, struct insn *in, unsigned first)
{
	bool evex = first == 0x62;
	int p0, opcode;

	if (in->rex || in->opsize)
		return false;
	in->vex = true;
	p0 = next_byte(c);
	if (p0 < 0)
		return false;
	in->map = 1;
	if (first == 0xc4)
		in->map = p0 & 0x1f;
	else if (evex)
		in->map = p0 & 7;
	if ((evex && (p0 & 8)) || !skip(c, evex ? 2 : first == 0xc4 ? 1 : 0))
		return false;
	opcode = next_byte(c);
	if (opcode < 0)
		return false;
	in->opcode = (uint8_t)opcode;
	return decode_form(c, in, map_form(in->map, in->opcode, evex));
}

/* Legacy prefixes and REX. Returns the opcode's first byte, or -1. */
static int decode_prefixes(struct cursor *c, struct insn *in)
{
	int byte;

	for (;;) {
		byte = next_byte(c);
		if (byte < 0 || map_one[byte] != FORM_PREFIX)
			return byte;
		if ((byte & 0xf0) == 0x40) {
			/* REX counts only right before the opcode. */
			in->rex = (uint8_t)byte;
			byte = next_byte(c);
			return byte >= 0 && map_one[byte] == FORM_PREFIX ? -1 : byte;
		}
		if (byte == 0x67) /* not in compiled code, but for padding: unknown */
			return -1;
		in->prefixes++;
		in->opsize |= byte == 0x66;
	}
}

static void classify(struct insn *in)
{
	unsigned op = in->opcode, reg = (in->modrm >> 3) & 7;

	in->flow = INSN_NEXT;
	if (in->vex || in->map > 1)
		return;
	if (in->map == 1) {
		if ((op & 0xf0) == 0x80)
			in->flow = INSN_COND;
		else if (op == 0x0b || op == 0xb9 || op == 0xff || op == 0x07 || op == 0x35)
			in->flow = INSN_AWAY;
		return;
	}
	if ((op & 0xf0) == 0x70 || (op >= 0xe0 && op <= 0xe3))
		in->flow = INSN_COND;
	else if (op == 0xe8 || (op == 0xff && (reg == 2 || reg == 3)))
		in->flow = INSN_CALL;
	else if (op == 0xe9 || op == 0xeb)
		in->flow = INSN_JUMP;
	else if (op == 0xc2 || op == 0xc3 || op == 0xca || op == 0xcb || op == 0xcf || op == 0xf4 ||
		 (op == 0xff && (reg == 4 || reg == 5)))
		in->flow = INSN_AWAY;
}

static bool decode_opcode(struct cursor *c, struct insn *in)
{
	int byte = decode_prefixes(c, in);

	if (byte < 0)
		return false;
	if (byte == 0xc4 || byte == 0xc5 || byte == 0x62)
		return decode_vex(c, in, (unsigned)byte);
	in->opcode = (uint8_t)byte;
	if (byte == 0x8f) { /* pop r/m is /0; the rest is AMD's XOP */
		if (!decode_modrm(c, in))
			return false;
		return !(in->modrm & 0x38);
	}
	if (byte != 0x0f)
		return decode_form(c, in, (enum form)map_one[byte]);
	byte = next_byte(c);
	if (byte < 0)
		return false;
	in->map = 1;
	in->opcode = (uint8_t)byte;
	if (byte != 0x38 && byte != 0x3a)
		return decode_form(c, in, (enum form)map_0f[byte]);
	in->map = byte == 0x38 ? 2 : 3;
	byte = next_byte(c);
	if (byte < 0)
		return false;
	in->opcode = (uint8_t)byte;
	return decode_form(c, in, map_form(in->map, in->opcode, false));
}

unsigned insn_decode(const uint8_t *bytes, size_t n, struct insn *ret_insn)
{
	struct cursor c = {.bytes = bytes, .n = n};
	struct insn in = {0};

	if (!decode_opcode(&c, &in))
		return 0;
	in.len = (uint8_t)c.at;
	classify(&in);
	*ret_insn = in;
	return in.len;
}

bool insn_is_nop(const uint8_t *bytes, const struct insn *insn)
{
	(void)bytes;
	if (insn->vex || (insn->rex & 1))
		return false;
	if (insn->map == 0)
		return insn->opcode == 0x90;
	/* nopw and nopl, with any operand that is only computed */
	return insn->map == 1 && insn->opcode == 0x1f && !(insn->modrm & 0x38);
}
