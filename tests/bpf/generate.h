/* Random programs, most of them nearly right: what a verifier is most likely to be wrong about. */
#pragma once

#include "bpf/insn.h"

#define GENERATE_MAX 160

/* Deterministic for a seed. */
struct generator {
	uint64_t state;
};

uint64_t generate_random(struct generator *g);

/* A program for the maps of programs.h; returns its length. */
uint32_t generate_program(struct generator *g, struct ebpf_insn *insns);

/* generate_safe.c: a program without maps that may run unproved; returns its length. */
#define GENERATE_SAFE_MAX 1024
uint32_t generate_safe(struct generator *g, struct ebpf_insn insns[GENERATE_SAFE_MAX]);

/* Changes a field of an instruction or two. */
void generate_mutate(struct generator *g, struct ebpf_insn *insns, uint32_t count);
