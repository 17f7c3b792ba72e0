/* For machines without a compiler back end: everything is interpreted. */
#include "bpf/jit.h"

#include <errno.h>

int ebpf_jit_compile(const struct ebpf_object *obj, struct ebpf_code *code)
{
	(void)obj;
	(void)code;
	return -ENOTSUP;
}

int ebpf_jit_write(const struct ebpf_object *obj, const struct ebpf_code *code, uint8_t *bytes,
		   size_t room, size_t *ret_size)
{
	(void)obj;
	(void)code;
	(void)bytes;
	(void)room;
	(void)ret_size;
	return -ENOTSUP;
}

void ebpf_jit_free(struct ebpf_code *code)
{
	code->native = NULL;
}
