/* The verifier's door; verify.c says what it proves and how. */
#pragma once

#include "bpf/object.h"

/*
 * Proves one program of @obj safe, or explains in @log why not. Sets code->verified and code->cost.
 * -EACCES unsafe, -E2BIG too complex, -ENOMEM.
 */
int ebpf_verify(const struct ebpf_object *obj, struct ebpf_code *code, char *log, size_t log_size);
