/*
 * vdso.c - the host's vDSO at one address in every instance: it is moved there, code and data pages
 * together, since its code finds its data relative to itself.
 */
#include "apps/launcher/vdso.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>

#include "leat/abi/layout.h"

int vdso_find(struct vdso *ret_vdso)
{
	struct vdso vdso = {0};
	char line[256];
	FILE *maps = fopen("/proc/self/maps", "re");

	if (!maps)
		return -errno;
	while (fgets(line, sizeof(line), maps)) {
		if (!strstr(line, "[vdso]") && !strstr(line, "[vvar"))
			continue;
		if (vdso.nr_ranges == VDSO_RANGES_MAX)
			break;
		char *dash;
		uint64_t low = strtoull(line, &dash, 16);
		uint64_t high = *dash == '-' ? strtoull(dash + 1, NULL, 16) : 0;
		vdso.range[vdso.nr_ranges++] = (struct vdso_range){low, high};
	}
	fclose(maps);
	uint64_t header = getauxval(AT_SYSINFO_EHDR);
	if (!header || vdso.nr_ranges == 0 ||
	    vdso.range[vdso.nr_ranges - 1].high - vdso.range[0].low > ABI_HOST_VDSO_MAX)
		return -ENOSYS;
	vdso.header = ABI_HOST_VDSO_BASE + (header - vdso.range[0].low);
	*ret_vdso = vdso;
	return 0;
}

int vdso_move(const struct vdso *vdso)
{
	for (unsigned i = 0; i < vdso->nr_ranges; i++) {
		const struct vdso_range *r = &vdso->range[i];
		void *to = (void *)(ABI_HOST_VDSO_BASE + (r->low - vdso->range[0].low));
		void *got = mremap((void *)r->low, r->high - r->low, r->high - r->low,
				   MREMAP_MAYMOVE | MREMAP_FIXED, to);
		if (got == MAP_FAILED)
			return -errno;
	}
	return 0;
}
