/*
 * Known bits ("tristate numbers"): transfer functions after Vishwanathan et al., "Sound, precise
 * and fast abstract interpretation with tristate numbers" (CGO 2022).
 */
#include "bpf/scalar.h"

static struct tnum tnum(uint64_t value, uint64_t mask)
{
	return (struct tnum){value & ~mask, mask};
}

struct tnum tnum_range(uint64_t min, uint64_t max)
{
	uint64_t differ = min ^ max, delta;

	if (differ >> 63)
		return TNUM_UNKNOWN;
	delta = differ ? (UINT64_C(2) << (63 - __builtin_clzll(differ))) - 1 : 0;
	return tnum(min, delta);
}

static struct tnum tnum_add(struct tnum a, struct tnum b)
{
	uint64_t values = a.value + b.value;
	uint64_t carries = (values + a.mask + b.mask) ^ values;

	return tnum(values, carries | a.mask | b.mask);
}

static struct tnum tnum_sub(struct tnum a, struct tnum b)
{
	uint64_t values = a.value - b.value;
	uint64_t borrows = (values + a.mask) ^ (values - b.mask);

	return tnum(values, borrows | a.mask | b.mask);
}

static struct tnum tnum_and(struct tnum a, struct tnum b)
{
	uint64_t may = (a.value | a.mask) & (b.value | b.mask);
	uint64_t must = a.value & b.value;

	return tnum(must, may & ~must);
}

static struct tnum tnum_or(struct tnum a, struct tnum b)
{
	uint64_t must = a.value | b.value;

	return tnum(must, (a.mask | b.mask) & ~must);
}

static struct tnum tnum_xor(struct tnum a, struct tnum b)
{
	return tnum(a.value ^ b.value, a.mask | b.mask);
}

/* Long multiplication: certain bits of a contribute b's doubt, doubtful ones all that b may be. */
static struct tnum tnum_mul(struct tnum a, struct tnum b)
{
	struct tnum doubt = {0, 0};
	uint64_t product = a.value * b.value;

	while (a.value || a.mask) {
		if (a.value & 1)
			doubt = tnum_add(doubt, tnum(0, b.mask));
		else if (a.mask & 1)
			doubt = tnum_add(doubt, tnum(0, b.value | b.mask));
		a = tnum(a.value >> 1, a.mask >> 1);
		b = tnum(b.value << 1, b.mask << 1);
	}
	return tnum_add(tnum(product, 0), doubt);
}

static struct tnum tnum_shift(unsigned int width, uint8_t op, struct tnum a, unsigned int count)
{
	switch (op) {
	case EBPF_LSH:
		return tnum(a.value << count, a.mask << count);
	case EBPF_RSH:
		return tnum(a.value >> count, a.mask >> count);
	default:
		return tnum((uint64_t)(width_signed(width, a.value) >> count),
			    (uint64_t)(width_signed(width, a.mask) >> count));
	}
}

struct tnum tnum_op(unsigned int width, uint8_t op, struct tnum a, struct tnum b)
{
	struct tnum result = TNUM_UNKNOWN;

	switch (op) {
	case EBPF_ADD:
		result = tnum_add(a, b);
		break;
	case EBPF_SUB:
		result = tnum_sub(a, b);
		break;
	case EBPF_MUL:
		result = tnum_mul(a, b);
		break;
	case EBPF_AND:
		result = tnum_and(a, b);
		break;
	case EBPF_OR:
		result = tnum_or(a, b);
		break;
	case EBPF_XOR:
		result = tnum_xor(a, b);
		break;
	case EBPF_LSH:
	case EBPF_RSH:
	case EBPF_ARSH:
		if (b.mask == 0)
			result = tnum_shift(width, op, a, (unsigned int)(b.value & (width - 1)));
		break;
	default:
		break; /* division says nothing about single bits */
	}
	return tnum(result.value & width_mask(width), result.mask & width_mask(width));
}
