/*
 * libbpf's helpers for a filter that is compiled as an ordinary C function, to be measured against
 * its eBPF form: the pointer that declares a map's value type leads to its values here.
 */
#pragma once

#undef __always_inline
#define __always_inline inline __attribute__((always_inline))
#define SEC(name)
#define __uint(name, value) int(*name)[value]
#define __type(name, type) type *name

#define bpf_map_lookup_elem(map, key)                                                              \
	(*(key) < sizeof(*(map)->max_entries) / sizeof(int) ? (map)->value + *(key) : 0)
