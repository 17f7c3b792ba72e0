/* The compiler: one back end a machine, chosen by meson; jit_none.c where there is none. */
#pragma once

#include "bpf/object.h"

/* Compiles a program into code->native. -ENOTSUP: no back end here. */
int ebpf_jit_compile(const struct ebpf_object *obj, struct ebpf_code *code);
void ebpf_jit_free(struct ebpf_code *code);

/* For tests: writes the machine code only, which runs wherever it is put. -ENOSPC. */
int ebpf_jit_write(const struct ebpf_object *obj, const struct ebpf_code *code, uint8_t *bytes,
		   size_t room, size_t *ret_size);
