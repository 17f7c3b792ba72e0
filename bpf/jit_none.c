/* For machines without a compiler back end: everything is interpreted. */
#include "bpf/jit.h"

#include <errno.h>

int ebpf_jit_compile(const struct ebpf_object *obj, struct ebpf_code *code)
{
	(void)obj;
	(void)code;
	return -ENOTSUP;
}

void ebpf_jit_free(struct ebpf_code *code)
{
	code->native = NULL;
}
