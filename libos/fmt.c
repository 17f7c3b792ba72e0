/*
 * fmt.c - snprintf for the libOS: integers, characters, strings, pointers; no floating point.
 */
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "libos/instance.h"

struct fmt_out {
	char *buf;
	size_t size;
	size_t len; /* bytes that the whole text needs, without the NUL */
};

/* One conversion: %[-0#][width][.precision][l|ll|z|h|hh]c */
struct fmt_spec {
	bool left;
	bool zero;
	bool prefix; /* 0x or 0 in front */
	int width;
	int precision; /* -1: none */
	int longs;     /* 0 int, 1 and 2 long, -1 short, -2 char */
	char conv;
};

static void out_char(struct fmt_out *out, char c)
{
	if (out->len + 1 < out->size)
		out->buf[out->len] = c;
	out->len++;
}

static void out_pad(struct fmt_out *out, char c, int n)
{
	for (; n > 0; n--)
		out_char(out, c);
}

static void out_string(struct fmt_out *out, const struct fmt_spec *spec, const char *s)
{
	size_t n;

	if (s == NULL)
		s = "(null)";
	n = spec->precision >= 0 ? strnlen(s, (size_t)spec->precision) : strlen(s);
	if (!spec->left)
		out_pad(out, ' ', spec->width - (int)n);
	for (size_t i = 0; i < n; i++)
		out_char(out, s[i]);
	if (spec->left)
		out_pad(out, ' ', spec->width - (int)n);
}

/* sign: '-' or NUL; prefix: "0x" or "". */
static void out_number(struct fmt_out *out, const struct fmt_spec *spec, uint64_t value, char sign,
		       const char *prefix)
{
	const char *digits = spec->conv == 'X' ? "0123456789ABCDEF" : "0123456789abcdef";
	unsigned base = 10;
	char text[24];
	int n = 0, zeros = 0, total;

	if (spec->conv == 'x' || spec->conv == 'X' || spec->conv == 'p')
		base = 16;
	else if (spec->conv == 'o')
		base = 8;
	do {
		text[n++] = digits[value % base];
		value /= base;
	} while (value != 0);
	total = n + (sign != '\0') + (int)strlen(prefix);
	if (spec->precision > n)
		zeros = spec->precision - n;
	else if (spec->precision < 0 && spec->zero && !spec->left && spec->width > total)
		zeros = spec->width - total;
	total += zeros;
	if (!spec->left)
		out_pad(out, ' ', spec->width - total);
	if (sign != '\0')
		out_char(out, sign);
	for (; *prefix != '\0'; prefix++)
		out_char(out, *prefix);
	out_pad(out, '0', zeros);
	while (n > 0)
		out_char(out, text[--n]);
	if (spec->left)
		out_pad(out, ' ', spec->width - total);
}

static int parse_int(const char **p)
{
	int n = 0;

	while (**p >= '0' && **p <= '9' && n < 10000)
		n = n * 10 + *(*p)++ - '0';
	return n;
}

/* p stands behind the '%'; returns what is behind the conversion. */
static const char *parse_spec(const char *p, struct fmt_spec *spec, va_list *ap)
{
	*spec = (struct fmt_spec){.precision = -1};
	for (; *p == '-' || *p == '0' || *p == '#'; p++) {
		spec->left |= *p == '-';
		spec->prefix |= *p == '#';
		spec->zero |= *p == '0';
	}
	if (*p == '*') {
		spec->width = va_arg(*ap, int);
		p++;
	} else {
		spec->width = parse_int(&p);
	}
	if (*p == '.') {
		p++;
		if (*p == '*') {
			spec->precision = va_arg(*ap, int);
			p++;
		} else {
			spec->precision = parse_int(&p);
		}
	}
	for (; *p == 'l' || *p == 'z' || *p == 'j' || *p == 't' || *p == 'h'; p++)
		spec->longs += *p == 'h' ? -1 : 1;
	spec->conv = *p;
	return *p == '\0' ? p : p + 1;
}

static int64_t arg_signed(const struct fmt_spec *spec, va_list *ap)
{
	if (spec->longs > 0)
		return va_arg(*ap, long);
	if (spec->longs == -1)
		return (short)va_arg(*ap, int);
	if (spec->longs == -2)
		return (signed char)va_arg(*ap, int);
	return va_arg(*ap, int);
}

static uint64_t arg_unsigned(const struct fmt_spec *spec, va_list *ap)
{
	if (spec->longs > 0)
		return va_arg(*ap, unsigned long);
	if (spec->longs == -1)
		return (unsigned short)va_arg(*ap, unsigned);
	if (spec->longs == -2)
		return (unsigned char)va_arg(*ap, unsigned);
	return va_arg(*ap, unsigned);
}

static const char *out_prefix(const struct fmt_spec *spec, uint64_t value)
{
	if (!spec->prefix || value == 0)
		return "";
	if (spec->conv == 'o')
		return "0";
	return spec->conv == 'x' ? "0x" : spec->conv == 'X' ? "0X" : "";
}

static void out_spec(struct fmt_out *out, const struct fmt_spec *spec, va_list *ap)
{
	uint64_t number;
	int64_t value;

	switch (spec->conv) {
	case 'd':
	case 'i':
		value = arg_signed(spec, ap);
		out_number(out, spec, value < 0 ? -(uint64_t)value : (uint64_t)value,
			   value < 0 ? '-' : '\0', "");
		break;
	case 'u':
	case 'x':
	case 'X':
	case 'o':
		number = arg_unsigned(spec, ap);
		out_number(out, spec, number, '\0', out_prefix(spec, number));
		break;
	case 'p':
		out_number(out, spec, (uint64_t)(uintptr_t)va_arg(*ap, void *), '\0', "0x");
		break;
	case 'c':
		out_pad(out, ' ', spec->left ? 0 : spec->width - 1);
		out_char(out, (char)va_arg(*ap, int));
		out_pad(out, ' ', spec->left ? spec->width - 1 : 0);
		break;
	case 's':
		out_string(out, spec, va_arg(*ap, const char *));
		break;
	case '%':
		out_char(out, '%');
		break;
	default: /* a bug of the caller: shown, not hidden */
		out_char(out, '?');
		break;
	}
}

int fmt_vprint(char *buf, size_t size, const char *fmt, va_list ap_in)
{
	struct fmt_out out = {.buf = buf, .size = size};
	struct fmt_spec spec;
	va_list ap;

	va_copy(ap, ap_in);
	while (*fmt != '\0') {
		if (*fmt != '%') {
			out_char(&out, *fmt++);
			continue;
		}
		fmt = parse_spec(fmt + 1, &spec, &ap);
		out_spec(&out, &spec, &ap);
	}
	va_end(ap);
	if (size > 0)
		buf[out.len < size ? out.len : size - 1] = '\0';
	return (int)out.len;
}

int fmt_print(char *buf, size_t size, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = fmt_vprint(buf, size, fmt, ap);
	va_end(ap);
	return n;
}
