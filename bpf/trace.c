/* Traces: the formats of bpf_trace_printk(), into a ring of lines. */
#include "bpf/trace.h"
#include "bpf/helpers.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define TRACE_RING_SIZE 65536u
#define TRACE_LINES_A_SECOND 1000u
#define TRACE_LINES_AT_ONCE 200u

struct line {
	char text[EBPF_TRACE_LINE];
	uint32_t len;
};

struct ebpf_trace *ebpf_trace_create(void)
{
	struct ebpf_trace *trace = calloc(1, sizeof(*trace));

	if (!trace || ebpf_ring_init(&trace->ring, TRACE_RING_SIZE)) {
		free(trace);
		return NULL;
	}
	trace->bucket.rate = TRACE_LINES_A_SECOND;
	trace->bucket.burst = TRACE_LINES_AT_ONCE;
	return trace;
}

void ebpf_trace_destroy(struct ebpf_trace *trace)
{
	if (!trace)
		return;
	ebpf_ring_finish(&trace->ring);
	free(trace);
}

static void add_char(struct line *line, char c)
{
	if (line->len < sizeof(line->text) - 1)
		line->text[line->len++] = c;
}

/* One number as a conversion with @longs times "l" wants it; false: no such conversion. */
static bool add_number(struct line *line, char conversion, int longs, uint64_t number)
{
	char text[24];
	int i, n = 0;

	switch (conversion) {
	case 'd':
	case 'i':
		n = snprintf(text, sizeof(text), "%lld",
			     longs ? (long long)number : (long long)(int32_t)number);
		break;
	case 'u':
		n = snprintf(text, sizeof(text), "%llu",
			     (unsigned long long)(longs ? number : (uint32_t)number));
		break;
	case 'x':
	case 'X':
	case 'p':
		n = snprintf(text, sizeof(text), conversion == 'X' ? "%llX" : "%llx",
			     (unsigned long long)(longs || conversion == 'p' ? number :
									       (uint32_t)number));
		break;
	case 'c':
		text[n++] = (char)number;
		break;
	default:
		return false;
	}
	for (i = 0; i < n; i++)
		add_char(line, text[i]);
	return true;
}

/* Control characters would let a program write over the reader's terminal. */
static char printable(char c)
{
	return (c >= ' ' && c <= '~') || c == '\n' || c == '\t' ? c : '?';
}

static int format_line(struct line *line, const char *format, uint32_t size,
		       const uint64_t numbers[3])
{
	uint32_t i, used = 0;
	int longs;

	for (i = 0; i < size && format[i]; i++) {
		if (format[i] != '%') {
			add_char(line, format[i]);
			continue;
		}
		if (i + 1 < size && format[i + 1] == '%') {
			add_char(line, format[++i]);
			continue;
		}
		for (longs = 0; i + 1 < size && format[i + 1] == 'l' && longs < 2; longs++)
			i++;
		if (++i >= size || used == 3 || !add_number(line, format[i], longs, numbers[used]))
			return -EINVAL;
		used++;
	}
	if (i == size) /* as on Linux: it must end */
		return -EINVAL;
	for (i = 0; i < line->len; i++)
		line->text[i] = printable(line->text[i]);
	return 0;
}

int ebpf_trace_print(struct ebpf_trace *trace, const char *format, uint32_t size,
		     const uint64_t numbers[3])
{
	struct line line = {.len = 0};
	int err = format_line(&line, format, size, numbers);
	uint64_t now;

	if (err)
		return err;
	if (!trace)
		return (int)line.len;
	now = ebpf_helper_ktime_get_ns(0, 0, 0, 0, 0, NULL);
	if (!ebpf_helper_bucket_take((uintptr_t)&trace->bucket, 1, now, 0, 0, NULL)) {
		atomic_fetch_add_explicit(&trace->ring.lost, 1, memory_order_relaxed);
		return -EBUSY;
	}
	err = ebpf_ring_put(&trace->ring, line.text, line.len);
	return err ? err : (int)line.len;
}
