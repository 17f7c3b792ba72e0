/*
 * Leat's header for a filter that is compiled as an ordinary shared object: the helpers are called
 * as bpf/bpf_helpers.h beside this file calls them.
 */
#pragma once

#include "leat/abi/filter.h"

#define leat_redirect(ctx, handles, index)                                                         \
	((long)NATIVE_CALL(LEAT_FUNC_redirect, ctx, (handles)->type, index, 0, 0))
#define leat_bucket_take(bucket, amount, now_ns)                                                   \
	((long)NATIVE_CALL(LEAT_FUNC_bucket_take, bucket, amount, now_ns, 0, 0))
#define leat_tag_lookup(ipv4) ((long)NATIVE_CALL(LEAT_FUNC_tag_lookup, ipv4, 0, 0, 0, 0))
#define leat_load_bytes(ctx, offset, to, len) ((long)NATIVE_CALL(26, ctx, offset, to, len, 0))
