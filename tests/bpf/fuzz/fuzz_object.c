/* libFuzzer: bytes as an ELF object, through reader, verifier and compiler. */
#include "bpf/bpf.h"
#include "leat/abi/filter.h"

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char log[EBPF_LOG_SIZE];
	struct ebpf_instance *inst;
	struct ebpf_object *obj;

	if (ebpf_object_load(data, size, log, sizeof(log), &obj))
		return 0;
	if (ebpf_instance_create(obj, &inst) == 0) {
		struct leat_pkt_ctx ctx = {
			.data = (uintptr_t)data,
			.data_end = (uintptr_t)data + (size < LEAT_PKT_COPY ? size : LEAT_PKT_COPY),
			.len = (uint32_t)size,
		};

		if (ebpf_instance_prog(inst, LEAT_SEC_EGRESS))
			ebpf_prog_run(ebpf_instance_prog(inst, LEAT_SEC_EGRESS), &ctx);
		ebpf_instance_destroy(inst);
	}
	ebpf_object_unref(obj);
	return 0;
}
