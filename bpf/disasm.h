/* Instructions as text, in the manner of LLVM's assembler. */
#pragma once

#include "bpf/object.h"

/* One instruction (two slots for a 64-bit constant); @obj may be NULL, then maps have no names. */
void ebpf_disasm_insn(const struct ebpf_object *obj, const struct ebpf_insn *insn, char *buf,
		      size_t size);

/* A whole program with its source lines; returns the length of the whole text. */
int ebpf_disasm_code(const struct ebpf_object *obj, const struct ebpf_code *code, char *buf,
		     size_t size);
