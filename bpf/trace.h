/* Lines that programs print with bpf_trace_printk(): a small ring per instance, rate-limited. */
#pragma once

#include "bpf/ring.h"
#include "leat/abi/filter.h"

#define EBPF_TRACE_LINE 256

struct ebpf_trace {
	struct ebpf_ring ring;
	struct leat_bucket bucket;
};

struct ebpf_trace *ebpf_trace_create(void);
void ebpf_trace_destroy(struct ebpf_trace *trace); /* NULL is allowed */

/*
 * Formats as Linux does: up to three numbers, %d %i %u %x %X with l and ll, %p, %c, %%; no strings.
 * Length of the line, -EINVAL for anything else, -EBUSY if it was too many lines. @trace may be
 * NULL: then it goes nowhere.
 */
int ebpf_trace_print(struct ebpf_trace *trace, const char *format, uint32_t size,
		     const uint64_t numbers[3]);
