/*
 * data.h - the vDSO's data page: where the host's functions are, and the libOS's entry.
 *
 * Written by loader/vdso.c before the first program runs; read-only afterwards.
 */
#pragma once

#include <stdint.h>

struct vdso_data {
	uint64_t clock_gettime; /* functions of the host's vDSO; 0: ask the libOS */
	uint64_t gettimeofday;
	uint64_t time;
	uint64_t clock_getres;
	uint64_t entry; /* entry_stub: rax = number, rcx = where to go on */
};
