/*
 * libbpf's header for a filter that is compiled as an ordinary shared object, to be measured
 * against its eBPF form (leat bpf bench). Whoever loads it fills in the helpers, and in each map's
 * variable, which must declare type, max_entries, key and value in this order: the map in the place
 * of "type", and in that of "value" the address of an array's values.
 */
#pragma once

#undef __always_inline
#define __always_inline inline __attribute__((always_inline))
#define SEC(name)
#define __uint(name, value) int(*name)[value]
#define __type(name, type) type *name

typedef __u64 (*native_helper)(__u64, __u64, __u64, __u64, __u64, const void *env);
native_helper native_helpers[256]; /* by Linux's number */
const void *native_env;

#define NATIVE_CALL(number, a, b, c, d, e)                                                         \
	native_helpers[number]((__u64)(a), (__u64)(b), (__u64)(c), (__u64)(d), (__u64)(e),         \
			       native_env)
#define NATIVE_TYPE(map) (sizeof(*(map)->type) / sizeof(int))
#define NATIVE_SIZE(map) (sizeof(*(map)->max_entries) / sizeof(int))
#define NATIVE_INDEX(key) (*(const __u32 *)(const void *)(key))

/* An array's lookup is inline, as in compiled eBPF. */
#define bpf_map_lookup_elem(map, key)                                                              \
	(NATIVE_TYPE(map) == BPF_MAP_TYPE_ARRAY ?                                                  \
		 (NATIVE_INDEX(key) < NATIVE_SIZE(map) ?                                           \
			  (void *)((map)->value + NATIVE_INDEX(key)) :                             \
			  (void *)0) :                                                             \
		 (void *)NATIVE_CALL(1, (map)->type, key, 0, 0, 0))
#define bpf_map_update_elem(map, key, value, flags)                                                \
	((long)NATIVE_CALL(2, (map)->type, key, value, flags, 0))
#define bpf_map_delete_elem(map, key) ((long)NATIVE_CALL(3, (map)->type, key, 0, 0, 0))
#define bpf_ktime_get_ns() NATIVE_CALL(5, 0, 0, 0, 0, 0)
#define bpf_get_prandom_u32() ((__u32)NATIVE_CALL(7, 0, 0, 0, 0, 0))
#define bpf_ringbuf_reserve(map, size, flags)                                                      \
	((void *)NATIVE_CALL(131, (map)->type, size, flags, 0, 0))
#define bpf_ringbuf_submit(data, flags) ((void)NATIVE_CALL(132, data, flags, 0, 0, 0))
#define bpf_ringbuf_discard(data, flags) ((void)NATIVE_CALL(133, data, flags, 0, 0, 0))
