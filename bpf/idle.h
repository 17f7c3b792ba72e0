/* Which instructions of a proved program need no machine code. */
#pragma once

#include "bpf/object.h"

/* Is it a lookup of an array's entry that is always the same one, and there? */
bool ebpf_lookup_is_known(const struct ebpf_object *obj, const struct ebpf_code *code, uint32_t pc);

/* idle[pc] for each instruction of @code; false: no memory. */
bool ebpf_idle_find(const struct ebpf_object *obj, const struct ebpf_code *code, bool *idle);
