/* The default filter as C functions (see bpf/bpf_helpers.h beside this file). */
#include <stddef.h>

#define egress native_antispoof_egress
#define ingress native_antispoof_ingress
#include "bpf/programs/antispoof.bpf.c"

#include "tests/bpf/native/native.h"

void native_antispoof_init(const struct leat_identity *id)
{
	static __u64 values[LEAT_COUNT_MAX];
	static struct leat_identity self;

	self = *id;
	counters.value = values;
	identity.value = &self;
}
