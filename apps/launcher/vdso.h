/*
 * vdso.h - where the host's vDSO lies, and moving it to ABI_HOST_VDSO_BASE.
 */
#pragma once

#include <stdint.h>

#define VDSO_RANGES_MAX 4U /* its code, and one to three data mappings in front of it */

struct vdso_range {
	uint64_t low, high;
};

struct vdso {
	uint64_t header; /* the ELF header's address after vdso_move */
	unsigned nr_ranges;
	struct vdso_range range[VDSO_RANGES_MAX];
};

/* -ENOSYS: the host has none, or one of an unknown shape. */
int vdso_find(struct vdso *ret_vdso);

/* In the process that becomes an instance: libc's clock functions must not be called after it. */
int vdso_move(const struct vdso *vdso);
