/*
 * text.h - strings of any bytes as UTF-8, which is all that JSON knows.
 *
 * UTF-8 stays as it is.  A byte that is none of it becomes the private character U+10FF00 + byte,
 * and so do the bytes of such characters themselves: each string has one form, and the way back.
 */
#pragma once

#include <stddef.h>

#define TEXT_GROWTH 4 /* bytes of the form for a byte of the string, at most */

/* ret_text: room for TEXT_GROWTH * strlen(bytes) + 1. */
void text_from_bytes(const char *bytes, char *ret_text);

/* ret_bytes: room for strlen(text) + 1; may be `text` itself. */
void text_to_bytes(const char *text, char *ret_bytes);
