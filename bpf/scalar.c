/* Numbers as the verifier knows them: both widths together. */
#include "bpf/scalar.h"
#include "bpf/code.h"

struct scalar scalar_unknown(void)
{
	return (struct scalar){TNUM_UNKNOWN, range_full(64), range_full(32)};
}

struct scalar scalar_const(uint64_t value)
{
	return (struct scalar){
		.bits = {value, 0},
		.r64 = {value, value, (int64_t)value, (int64_t)value},
		.r32 = {(uint32_t)value, (uint32_t)value, (int32_t)value, (int32_t)value},
	};
}

static bool range_within(const struct range *outer, const struct range *inner)
{
	return inner->umin >= outer->umin && inner->umax <= outer->umax &&
	       inner->smin >= outer->smin && inner->smax <= outer->smax;
}

bool scalar_within(const struct scalar *outer, const struct scalar *inner)
{
	if (inner->bits.mask & ~outer->bits.mask)
		return false;
	if ((inner->bits.value & ~outer->bits.mask) != outer->bits.value)
		return false;
	return range_within(&outer->r64, &inner->r64) && range_within(&outer->r32, &inner->r32);
}

static struct tnum low_bits(struct tnum bits)
{
	return (struct tnum){(uint32_t)bits.value, (uint32_t)bits.mask};
}

static void put_low_bits(struct tnum *bits, struct tnum low)
{
	bits->value = (bits->value & ~(uint64_t)UINT32_MAX) | low.value;
	bits->mask = (bits->mask & ~(uint64_t)UINT32_MAX) | low.mask;
}

static void raise_u(uint64_t *min, uint64_t candidate)
{
	if (candidate > *min)
		*min = candidate;
}

static void lower_u(uint64_t *max, uint64_t candidate)
{
	if (candidate < *max)
		*max = candidate;
}

/* The high halves equal: the whole's interval is the half's. */
static void whole_to_half(struct scalar *s)
{
	struct range *w = &s->r64, *h = &s->r32;

	if (w->umin >> 32 == w->umax >> 32) {
		raise_u(&h->umin, (uint32_t)w->umin);
		lower_u(&h->umax, (uint32_t)w->umax);
	}
	if (w->smin >= INT32_MIN && w->smax <= INT32_MAX) {
		h->smin = w->smin > h->smin ? w->smin : h->smin;
		h->smax = w->smax < h->smax ? w->smax : h->smax;
	}
}

/* Whatever the high half is, the low half is at least (at most) its own bound. */
static void half_to_whole(struct scalar *s)
{
	const uint64_t high = ~(uint64_t)UINT32_MAX;
	struct range *w = &s->r64, *h = &s->r32;
	int64_t smin = (int64_t)(((uint64_t)w->smin & high) | h->umin);
	int64_t smax = (int64_t)(((uint64_t)w->smax & high) | h->umax);

	raise_u(&w->umin, (w->umin & high) | h->umin);
	lower_u(&w->umax, (w->umax & high) | h->umax);
	w->smin = smin > w->smin ? smin : w->smin;
	w->smax = smax < w->smax ? smax : w->smax;
}

/* Spreads what one part of a scalar knows to the others; false: no value fits. */
static bool scalar_tighten(struct scalar *s)
{
	struct scalar known;
	struct tnum low;
	int i;

	if (s->bits.mask == 0) { /* all the rest follows */
		known = scalar_const(s->bits.value);
		if (!scalar_within(s, &known))
			return false;
		*s = known;
		return true;
	}
	for (i = 0; i < 2; i++) {
		if (!range_tighten(64, &s->r64, &s->bits))
			return false;
		whole_to_half(s);
		low = low_bits(s->bits);
		if (!range_tighten(32, &s->r32, &low))
			return false;
		put_low_bits(&s->bits, low);
		half_to_whole(s);
	}
	return range_tighten(64, &s->r64, &s->bits);
}

struct scalar scalar_between(int64_t min, int64_t max)
{
	struct scalar s = scalar_unknown();

	s.r64.smin = min;
	s.r64.smax = max;
	scalar_tighten(&s);
	return s;
}

struct scalar scalar_sized(unsigned int bytes)
{
	uint64_t max = width_mask(bytes * 8);
	struct scalar s = scalar_unknown();

	if (bytes < 8) {
		s.bits.mask = max;
		s.r64 = (struct range){0, max, 0, (int64_t)max};
	}
	if (bytes < 4)
		s.r32 = s.r64;
	return s;
}

struct scalar scalar_truncate(const struct scalar *a, unsigned int width)
{
	struct scalar s = scalar_unknown();
	uint64_t all = width_mask(width);

	if (width == 64)
		return *a;
	s.bits = (struct tnum){a->bits.value & all, a->bits.mask & all};
	if (a->r64.umax <= all)
		s.r64 = a->r64;
	else if (width == 32)
		s.r64 = (struct range){a->r32.umin, a->r32.umax, (int64_t)a->r32.umin,
				       (int64_t)a->r32.umax};
	if (width == 32)
		s.r32 = a->r32;
	scalar_tighten(&s);
	return s;
}

struct scalar scalar_sign_extend(const struct scalar *a, unsigned int width)
{
	struct scalar s = scalar_unknown();
	uint64_t all = width_mask(width), sign = width_sign(width);
	struct range full = range_full(width);

	s.bits = (struct tnum){a->bits.value & all, a->bits.mask & all};
	if (s.bits.mask & sign)
		s.bits.mask |= ~all;
	else if (s.bits.value & sign)
		s.bits.value |= ~all;
	s.r64.smin = full.smin;
	s.r64.smax = full.smax;
	if (a->r64.smin >= full.smin && a->r64.smax <= full.smax) {
		s.r64 = a->r64;
	} else if (width == 32) {
		s.r64.smin = a->r32.smin;
		s.r64.smax = a->r32.smax;
	}
	scalar_tighten(&s);
	return s;
}

bool scalar_equal(const struct scalar *a, const struct scalar *b)
{
	return scalar_within(a, b) && scalar_within(b, a);
}

static bool range_contains(const struct range *r, uint64_t u, int64_t s)
{
	return u >= r->umin && u <= r->umax && s >= r->smin && s <= r->smax;
}

bool scalar_contains(const struct scalar *a, uint64_t value)
{
	return (value & ~a->bits.mask) == a->bits.value &&
	       range_contains(&a->r64, value, (int64_t)value) &&
	       range_contains(&a->r32, (uint32_t)value, (int32_t)value);
}

static struct scalar scalar_swap(struct ebpf_insn insn, const struct scalar *a)
{
	struct scalar s = scalar_truncate(a, (unsigned int)insn.imm);
	bool swap = EBPF_CLASS(insn.code) == EBPF_ALU64 || (insn.code & EBPF_X);
	struct tnum bits;

	if (!swap)
		return s;
	bits.value = __builtin_bswap64(s.bits.value) >> (64 - insn.imm);
	bits.mask = __builtin_bswap64(s.bits.mask) >> (64 - insn.imm);
	s = scalar_unknown();
	s.bits = bits;
	scalar_tighten(&s);
	return s;
}

static struct scalar scalar_move(struct ebpf_insn insn, const struct scalar *b)
{
	bool is64 = EBPF_CLASS(insn.code) == EBPF_ALU64;
	struct scalar s = *b;

	if (insn.off && (insn.code & EBPF_X))
		s = scalar_sign_extend(&s, (unsigned int)insn.off);
	return is64 ? s : scalar_truncate(&s, 32);
}

/* Operations whose low half depends on the low halves only. */
static bool is_modular(uint8_t op)
{
	return op == EBPF_ADD || op == EBPF_SUB || op == EBPF_MUL || op == EBPF_AND ||
	       op == EBPF_OR || op == EBPF_XOR;
}

static struct scalar binary64(uint8_t op, const struct scalar *a, const struct scalar *b)
{
	struct scalar s = scalar_unknown();

	s.bits = tnum_op(64, op, a->bits, b->bits);
	s.r64 = range_op(64, op, &a->r64, &b->r64);
	if (is_modular(op))
		s.r32 = range_op(32, op, &a->r32, &b->r32);
	scalar_tighten(&s);
	return s;
}

static struct scalar binary32(uint8_t op, const struct scalar *a, const struct scalar *b)
{
	struct scalar s = scalar_sized(4);

	s.bits = tnum_op(32, op, low_bits(a->bits), low_bits(b->bits));
	s.r32 = range_op(32, op, &a->r32, &b->r32);
	scalar_tighten(&s);
	return s;
}

struct scalar scalar_alu(struct ebpf_insn insn, const struct scalar *a, const struct scalar *b)
{
	bool is64 = EBPF_CLASS(insn.code) == EBPF_ALU64;
	uint8_t op = EBPF_OP(insn.code);
	bool unary = op == EBPF_NEG || op == EBPF_END;
	struct scalar zero;

	if ((scalar_is_const(a) || op == EBPF_MOV) && (unary || scalar_is_const(b)))
		return scalar_const(is64 ? ebpf_alu64(insn, a->bits.value, b->bits.value) :
					   ebpf_alu32(insn, a->bits.value, b->bits.value));
	switch (op) {
	case EBPF_MOV:
		return scalar_move(insn, b);
	case EBPF_END:
		return scalar_swap(insn, a);
	case EBPF_NEG:
		zero = scalar_const(0);
		return is64 ? binary64(EBPF_SUB, &zero, a) : binary32(EBPF_SUB, &zero, a);
	case EBPF_DIV:
	case EBPF_MOD:
		if (insn.off == 1)
			return is64 ? scalar_unknown() : scalar_sized(4);
		break;
	default:
		break;
	}
	return is64 ? binary64(op, a, b) : binary32(op, a, b);
}

/* The opposite of a comparison; JSET's has no opcode, range_assume knows it as JSET | 1. */
static uint8_t opposite(uint8_t op)
{
	switch (op) {
	case EBPF_JEQ:
		return EBPF_JNE;
	case EBPF_JNE:
		return EBPF_JEQ;
	case EBPF_JGT:
		return EBPF_JLE;
	case EBPF_JLE:
		return EBPF_JGT;
	case EBPF_JGE:
		return EBPF_JLT;
	case EBPF_JLT:
		return EBPF_JGE;
	case EBPF_JSGT:
		return EBPF_JSLE;
	case EBPF_JSLE:
		return EBPF_JSGT;
	case EBPF_JSGE:
		return EBPF_JSLT;
	case EBPF_JSLT:
		return EBPF_JSGE;
	default:
		return op | 1;
	}
}

bool scalar_assume(struct ebpf_insn insn, bool taken, struct scalar *a, struct scalar *b)
{
	uint8_t op = taken ? EBPF_OP(insn.code) : opposite(EBPF_OP(insn.code));
	struct tnum abits, bbits;

	if (EBPF_CLASS(insn.code) == EBPF_JMP) {
		if (!range_assume(64, op, &a->r64, &a->bits, &b->r64, &b->bits))
			return false;
	} else {
		abits = low_bits(a->bits);
		bbits = low_bits(b->bits);
		if (!range_assume(32, op, &a->r32, &abits, &b->r32, &bbits))
			return false;
		put_low_bits(&a->bits, abits);
		put_low_bits(&b->bits, bbits);
	}
	return scalar_tighten(a) && scalar_tighten(b);
}
