/* bpf_native.h - a filter of the base library as gcc made it of the same C: to be measured against.
 */
#pragma once

#include <stdint.h>

#include "bpf/bpf.h"
#include "leat/abi/filter.h"

struct bpf_native;

/*
 * Opens F.native.so with the maps of @inst in place of its own. NULL: it is not there, or does not
 * fit, and the reason is printed.
 */
struct bpf_native *bpf_native_open(const char *path, struct ebpf_object *obj,
				   struct ebpf_instance *inst);
void bpf_native_close(struct bpf_native *native); /* NULL is allowed */

typedef int (*bpf_native_fn)(struct leat_pkt_ctx *ctx);

/* The function of that name, NULL if there is none. */
bpf_native_fn bpf_native_find(const struct bpf_native *native, const char *name);
