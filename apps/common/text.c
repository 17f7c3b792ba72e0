/*
 * text.c - strings of any bytes as UTF-8.
 */
#include "apps/common/text.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define ESCAPE_LOW 0x10ff00U
#define ESCAPE_HIGH 0x10ffffU

/* The character at the start of s: its bytes (1 to 4), or 0 if that is no UTF-8 (RFC 3629). */
static size_t decode(const unsigned char *s, uint32_t *ret_code)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t n = *s < 0x80 ? 1 : *s >= 0xc2 && *s < 0xe0 ? 2 : *s >= 0xe0 && *s < 0xf0 ? 3 : 0;
	uint32_t code;

	if (*s >= 0xf0 && *s < 0xf5)
		n = 4;
	if (n == 0)
		return 0;
	code = n == 1 ? *s : *s & (0x7fU >> n);
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (s[i] & 0x3fU);
	}
	if (code < least[n] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
		return 0;
	*ret_code = code;
	return n;
}

static bool is_escape(uint32_t code)
{
	return code >= ESCAPE_LOW && code <= ESCAPE_HIGH;
}

static char *put_escape(char *out, unsigned char byte)
{
	uint32_t code = ESCAPE_LOW + byte;

	*out++ = (char)0xf4;
	*out++ = (char)(0x80 | (code >> 12 & 0x3f));
	*out++ = (char)(0x80 | (code >> 6 & 0x3f));
	*out++ = (char)(0x80 | (code & 0x3f));
	return out;
}

void text_from_bytes(const char *bytes, char *ret_text)
{
	const unsigned char *s = (const unsigned char *)bytes;
	char *out = ret_text;
	uint32_t code;

	while (*s != 0) {
		size_t n = decode(s, &code);

		if (n == 0 || is_escape(code)) {
			out = put_escape(out, *s++);
			continue;
		}
		memcpy(out, s, n);
		out += n;
		s += n;
	}
	*out = '\0';
}

void text_to_bytes(const char *text, char *ret_bytes)
{
	const unsigned char *s = (const unsigned char *)text;
	char *out = ret_bytes;
	uint32_t code;

	while (*s != 0) {
		size_t n = decode(s, &code);

		if (n != 0 && is_escape(code)) {
			*out++ = (char)(code - ESCAPE_LOW);
			s += n;
			continue;
		}
		n = n == 0 ? 1 : n;
		memmove(out, s, n);
		out += n;
		s += n;
	}
	*out = '\0';
}
