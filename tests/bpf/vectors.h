/* The conformance vectors, one by one from their file. */
#pragma once

#include "bpf/insn.h"

#define VECTOR_INSNS 1024
#define VECTOR_MEMORY 1024

struct vector {
	char name[64];
	struct ebpf_insn insns[VECTOR_INSNS];
	size_t count;
	_Alignas(8) uint8_t memory[VECTOR_MEMORY];
	size_t memory_size;
	uint64_t expected;
};

/* -1 with a message if the file is not there. */
int vectors_open(void);
bool vectors_next(struct vector *ret_vector);
void vectors_close(void);
