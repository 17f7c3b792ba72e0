/*
 * The platform table, as data: which kinds of program there are, what their context holds, which
 * helpers they may call with what. The verifier, the interpreter and the compiler know nothing else
 * about the world; a new helper or program type is a new row here.
 */
#pragma once

#include "bpf/code.h"

enum ebpf_arg {
	ARG_NONE = 0,
	ARG_SCALAR,       /* any number; a pointer would leak its address */
	ARG_MAP,          /* a map, by the constant that names it */
	ARG_KEY,          /* initialised memory of the map's key size */
	ARG_VALUE,        /* initialised memory of the map's value size */
	ARG_MEM,          /* initialised memory; its size is the next argument */
	ARG_MEM_OUT,      /* memory that the helper fills; its size is the next argument */
	ARG_SIZE,         /* size of the memory before it, at least 1 */
	ARG_SIZE_OR_ZERO, /* the same, 0 allowed */
	ARG_CTX,          /* the program's context, unchanged */
};

enum ebpf_ret {
	RET_SCALAR = 0,
	RET_VALUE_OR_NULL, /* a value of the map in the first argument */
};

struct ebpf_helper {
	const char *name;
	ebpf_helper_fn fn; /* NULL: known to the verifier only, cannot be run here */
	uint8_t ret;       /* enum ebpf_ret */
	uint8_t args[5];   /* enum ebpf_arg */
	bool moves_packet; /* packet pointers die */
	bool changes_map;  /* not for read-only ones */
};

/* By Linux's number of the helper. */
#define EBPF_HELPERS 256
extern const struct ebpf_helper ebpf_helpers[EBPF_HELPERS];

enum ebpf_field_kind {
	FIELD_SCALAR = 0,
	FIELD_PKT,     /* address of the packet's first byte */
	FIELD_PKT_END, /* one past its last readable byte */
};

struct ebpf_ctx_field {
	uint16_t off;
	uint16_t size;
	uint8_t kind; /* enum ebpf_field_kind */
	bool writable;
};

struct ebpf_prog_type {
	const char *section;                 /* section name, or its beginning up to a '/' */
	const struct ebpf_ctx_field *fields; /* sorted by off, ends with size 0 */
	const uint8_t *helpers;              /* allowed ones, ends with 0 */
	uint32_t cost_max;                   /* instructions on the longest path */
	bool packet_writable;
	bool runnable; /* else only verified: it is for Linux to run */
};

/* NULL: no such type. */
const struct ebpf_prog_type *ebpf_prog_type_find(const char *section);

bool ebpf_prog_type_allows(const struct ebpf_prog_type *type, int32_t helper);
