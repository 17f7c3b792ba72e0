/* Intervals of one width: arithmetic, what comparisons teach, exchange with the known bits. */
#include "bpf/scalar.h"

static uint64_t umin2(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t umax2(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static int64_t smin2(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static int64_t smax2(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

struct range range_full(unsigned int width)
{
	uint64_t sign = width_sign(width);

	return (struct range){
		.umin = 0,
		.umax = width_mask(width),
		.smin = width_signed(width, sign),
		.smax = (int64_t)(sign - 1),
	};
}

/* Sets the unsigned interval if its exact bounds fit the width; else it stays full. */
static void set_unsigned(unsigned int width, struct range *r, __int128 min, __int128 max)
{
	if (min >= 0 && max <= (__int128)width_mask(width)) {
		r->umin = (uint64_t)min;
		r->umax = (uint64_t)max;
	}
}

static void set_signed(unsigned int width, struct range *r, __int128 min, __int128 max)
{
	struct range full = range_full(width);

	if (min >= full.smin && max <= full.smax) {
		r->smin = (int64_t)min;
		r->smax = (int64_t)max;
	}
}

static struct range range_mul(unsigned int width, const struct range *a, const struct range *b)
{
	struct range r = range_full(width);
	__int128 corners[4] = {(__int128)a->smin * b->smin, (__int128)a->smin * b->smax,
			       (__int128)a->smax * b->smin, (__int128)a->smax * b->smax};
	__int128 min = corners[0], max = corners[0];
	int i;

	/* unsigned 64 x 64 does not fit a signed 128-bit number */
	if (a->umax <= UINT32_MAX && b->umax <= UINT32_MAX)
		set_unsigned(width, &r, (__int128)a->umin * b->umin, (__int128)a->umax * b->umax);
	for (i = 1; i < 4; i++) {
		min = corners[i] < min ? corners[i] : min;
		max = corners[i] > max ? corners[i] : max;
	}
	set_signed(width, &r, min, max);
	return r;
}

/* All ones up to the highest bit of @value. */
static uint64_t fill_ones(uint64_t value)
{
	return value ? UINT64_MAX >> __builtin_clzll(value) : 0;
}

static struct range range_bitwise(unsigned int width, uint8_t op, const struct range *a,
				  const struct range *b)
{
	struct range r = range_full(width);

	switch (op) {
	case EBPF_AND:
		r.umax = umin2(a->umax, b->umax);
		break;
	case EBPF_OR:
		r.umin = umax2(a->umin, b->umin);
		r.umax = fill_ones(a->umax | b->umax);
		break;
	default:
		r.umax = fill_ones(a->umax | b->umax);
	}
	return r;
}

static struct range range_divide(unsigned int width, uint8_t op, const struct range *a,
				 const struct range *b)
{
	struct range r = range_full(width);

	if (op == EBPF_DIV) { /* by zero: zero */
		r.umin = b->umin ? a->umin / b->umax : 0;
		r.umax = b->umin ? a->umax / b->umin : a->umax;
	} else { /* by zero: the dividend */
		r.umax = b->umin ? umin2(a->umax, b->umax - 1) : a->umax;
	}
	return r;
}

static struct range range_shift(unsigned int width, uint8_t op, const struct range *a,
				const struct range *b)
{
	struct range r = range_full(width);
	uint64_t low = b->umin, high = b->umax;

	if (high >= width) { /* taken modulo the width: exact only if constant */
		if (low != high) {
			low = 0;
			high = width - 1;
		}
		low &= width - 1;
		high &= width - 1;
	}
	switch (op) {
	case EBPF_LSH:
		if (a->umax <= width_mask(width) >> high) {
			r.umin = a->umin << low;
			r.umax = a->umax << high;
		}
		break;
	case EBPF_RSH:
		r.umin = a->umin >> high;
		r.umax = a->umax >> low;
		break;
	default:
		r.smin = smin2(a->smin >> low, a->smin >> high);
		r.smax = smax2(a->smax >> low, a->smax >> high);
	}
	return r;
}

struct range range_op(unsigned int width, uint8_t op, const struct range *a, const struct range *b)
{
	struct range r = range_full(width);

	switch (op) {
	case EBPF_ADD:
		set_unsigned(width, &r, (__int128)a->umin + b->umin, (__int128)a->umax + b->umax);
		set_signed(width, &r, (__int128)a->smin + b->smin, (__int128)a->smax + b->smax);
		return r;
	case EBPF_SUB:
		set_unsigned(width, &r, (__int128)a->umin - b->umax, (__int128)a->umax - b->umin);
		set_signed(width, &r, (__int128)a->smin - b->smax, (__int128)a->smax - b->smin);
		return r;
	case EBPF_MUL:
		return range_mul(width, a, b);
	case EBPF_AND:
	case EBPF_OR:
	case EBPF_XOR:
		return range_bitwise(width, op, a, b);
	case EBPF_DIV:
	case EBPF_MOD:
		return range_divide(width, op, a, b);
	default:
		return range_shift(width, op, a, b);
	}
}

static bool range_empty(const struct range *r)
{
	return r->umin > r->umax || r->smin > r->smax;
}

static bool tnum_meet(struct tnum *a, struct tnum b)
{
	uint64_t value = a->value | b.value, mask = a->mask & b.mask;

	if ((a->value ^ b.value) & ~a->mask & ~b.mask)
		return false;
	*a = (struct tnum){value & ~mask, mask};
	return true;
}

bool range_tighten(unsigned int width, struct range *r, struct tnum *bits)
{
	uint64_t sign = width_sign(width), all = width_mask(width);
	uint64_t top = bits->mask & sign;

	/* bits -> intervals: the smallest has every doubtful bit 0, but for the sign */
	r->umin = umax2(r->umin, bits->value);
	r->umax = umin2(r->umax, bits->value | bits->mask);
	r->smin = smax2(r->smin, width_signed(width, bits->value | top));
	r->smax = smin2(r->smax, width_signed(width, bits->value | (bits->mask & ~sign)));
	if (range_empty(r))
		return false;
	/* signed -> unsigned: a signed interval that does not cross zero is an unsigned one */
	if (r->smin >= 0 || r->smax < 0) {
		r->umin = umax2(r->umin, (uint64_t)r->smin & all);
		r->umax = umin2(r->umax, (uint64_t)r->smax & all);
	}
	/* unsigned -> signed: so is an unsigned one that does not cross the sign bit */
	if ((r->umin & sign) == (r->umax & sign)) {
		r->smin = smax2(r->smin, width_signed(width, r->umin));
		r->smax = smin2(r->smax, width_signed(width, r->umax));
	}
	if (range_empty(r))
		return false;
	return tnum_meet(bits, tnum_range(r->umin, r->umax));
}

static bool assume_equal(struct range *a, struct tnum *abits, struct range *b, struct tnum *bbits)
{
	a->umin = b->umin = umax2(a->umin, b->umin);
	a->umax = b->umax = umin2(a->umax, b->umax);
	a->smin = b->smin = smax2(a->smin, b->smin);
	a->smax = b->smax = smin2(a->smax, b->smax);
	if (range_empty(a) || !tnum_meet(abits, *bbits))
		return false;
	*bbits = *abits;
	return true;
}

/* Cuts the constant @value off the ends of an interval. */
static bool exclude(unsigned int width, struct range *r, uint64_t value)
{
	int64_t svalue = width_signed(width, value);

	if ((r->umin == value && r->umax == value) || (r->smin == svalue && r->smax == svalue))
		return false;
	if (r->umin == value)
		r->umin++;
	if (r->umax == value)
		r->umax--;
	if (r->smin == svalue)
		r->smin++;
	if (r->smax == svalue)
		r->smax--;
	return true;
}

static bool assume_different(unsigned int width, struct range *a, const struct tnum *abits,
			     struct range *b, const struct tnum *bbits)
{
	if (!bbits->mask && !exclude(width, a, bbits->value))
		return false;
	if (!abits->mask && !exclude(width, b, abits->value))
		return false;
	return true;
}

static bool assume_above(struct range *a, struct range *b, uint64_t strict)
{
	if (strict && (b->umin == UINT64_MAX || a->umax == 0))
		return false;
	a->umin = umax2(a->umin, b->umin + strict);
	b->umax = umin2(b->umax, a->umax - strict);
	return !range_empty(a) && !range_empty(b);
}

static bool assume_above_signed(struct range *a, struct range *b, int64_t strict)
{
	if (strict && (b->smin == INT64_MAX || a->smax == INT64_MIN))
		return false;
	a->smin = smax2(a->smin, b->smin + strict);
	b->smax = smin2(b->smax, a->smax - strict);
	return !range_empty(a) && !range_empty(b);
}

/* a & b != 0 */
static bool assume_meet(struct range *a, struct tnum *abits, const struct tnum *bbits)
{
	uint64_t may = (abits->value | abits->mask) & (bbits->value | bbits->mask);

	if (may == 0)
		return false;
	a->umin = umax2(a->umin, 1);
	/* if only one bit can be common, it is set */
	if ((may & (may - 1)) == 0)
		*abits = (struct tnum){abits->value | may, abits->mask & ~may};
	return !range_empty(a);
}

/* a & b == 0, which op EBPF_JSET | 1 stands for */
static bool assume_disjoint(struct tnum *abits, struct tnum *bbits)
{
	if (abits->value & bbits->value)
		return false;
	abits->mask &= ~bbits->value;
	bbits->mask &= ~abits->value;
	return true;
}

bool range_assume(unsigned int width, uint8_t op, struct range *a, struct tnum *abits,
		  struct range *b, struct tnum *bbits)
{
	switch (op) {
	case EBPF_JEQ:
		return assume_equal(a, abits, b, bbits);
	case EBPF_JNE:
		return assume_different(width, a, abits, b, bbits);
	case EBPF_JGT:
		return assume_above(a, b, 1);
	case EBPF_JGE:
		return assume_above(a, b, 0);
	case EBPF_JLT:
		return assume_above(b, a, 1);
	case EBPF_JLE:
		return assume_above(b, a, 0);
	case EBPF_JSGT:
		return assume_above_signed(a, b, 1);
	case EBPF_JSGE:
		return assume_above_signed(a, b, 0);
	case EBPF_JSLT:
		return assume_above_signed(b, a, 1);
	case EBPF_JSLE:
		return assume_above_signed(b, a, 0);
	case EBPF_JSET:
		return assume_meet(a, abits, bbits) && assume_meet(b, bbits, abits);
	case EBPF_JSET | 1:
		return assume_disjoint(abits, bbits);
	default:
		return true;
	}
}
