/* An assembler for tests: the text that bpf/disasm.c writes, with labels. */
#pragma once

#include "bpf/insn.h"

/*
 * Assembles @text, one instruction a line ("name:" alone is a label, "#" begins a comment, jumps
 * name a label or "+N"). @maps are names that "map NAME" and "map_value NAME +OFF" become indices
 * of, up to a NULL. Returns the number of slots, or -1 with the offending line in @ret_line.
 */
int asm_program(const char *text, const char *const *maps, struct ebpf_insn *insns, int room,
		int *ret_line);
