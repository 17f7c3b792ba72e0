/* Which registers an instruction reads and writes, what follows it. Sets: bit i is register i. */
#pragma once

#include "bpf/insn.h"

/* Registers that an instruction reads, those that a helper is passed among them. */
uint16_t ebpf_insn_reads(struct ebpf_insn insn);

/* Registers that hold something else behind it, or nothing. */
uint16_t ebpf_insn_writes(struct ebpf_insn insn);

/* Up to two instructions that follow within the function; calls go on behind themselves. */
unsigned int ebpf_insn_successors(const struct ebpf_insn *insns, uint32_t pc, uint32_t next[2]);
