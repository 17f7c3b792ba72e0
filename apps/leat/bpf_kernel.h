/*
 * bpf_kernel.h - the kernel's own verifier and compiler, asked through libbpf: for a second
 * opinion, and to be measured against.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "bpf/bpf.h"
#include "leat/abi/filter.h"

/*
 * Loads every program of the object that is of a kind that Linux has into the kernel, and compares
 * what it says with Leat's verdict. @ours: the object after ebpf_object_verify(), NULL: it could
 * not be read. Prints the outcome, or adds it to @root as "kernel". 0: no disagreement; 1: one.
 */
int bpf_kernel_verify(const char *path, const struct ebpf_object *ours, json_t *root);

struct bpf_kernel_prog;

/*
 * Loads the program of the function @name, with what the maps of @inst hold in the maps of the same
 * names, and @ctx in the variable "given". NULL: it cannot be done, and the reason is printed.
 */
struct bpf_kernel_prog *bpf_kernel_load(const char *path, const char *name,
					struct ebpf_instance *inst, const struct leat_pkt_ctx *ctx);
void bpf_kernel_unload(struct bpf_kernel_prog *prog); /* NULL is allowed */

/* Runs it on the frame so many times: what it returned in the last. */
int bpf_kernel_run(const struct bpf_kernel_prog *prog, const void *frame, uint32_t size,
		   uint32_t repeat, uint32_t *ret_verdict);
