/*
 * text.h - writing into program text that other threads may be executing.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mm;

/* Reads text. 0 or -EFAULT. */
int text_read(uint64_t addr, void *buf, size_t n);

/*
 * Writes n bytes (at most 8) over text.  With shared set, other threads may run there: they see all
 * of the old bytes, or all of the new ones, or an int3 in place of the first.  0 or negative errno
 * with nothing written.  The mapping keeps its protection, but while the bytes are written.
 */
int text_write(struct mm *mm, uint64_t addr, const void *bytes, size_t n, bool shared);

/* Writes bytes of any number where nothing executes, beside text that others may be in. */
int text_fill(struct mm *mm, uint64_t addr, const void *bytes, size_t n, bool shared);
