/*
 * vdso.c - putting Leat's vDSO in place: its code, then the data page behind it.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "leat/abi/layout.h"
#include "libos/clock.h"
#include "libos/host.h"
#include "loader/loader.h"
#include "loader/vdso/data.h"
#include "loader/vdso_image.h"

/* entry.S */
extern const char entry_stub[];

int vdso_init(void)
{
	void *code = (void *)ABI_VDSO_BASE;
	struct vdso_data *data = (void *)(ABI_VDSO_BASE + ABI_PAGE_SIZE);
	long r;

	_Static_assert(sizeof(vdso_image) <= ABI_PAGE_SIZE, "the vDSO fits into its page");
	r = host_mmap(code, 2 * ABI_PAGE_SIZE, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	if (r < 0)
		return (int)r;
	memcpy(code, vdso_image, sizeof(vdso_image));
	*data = (struct vdso_data){
		.clock_gettime = (uint64_t)clock_vdso_symbol("__vdso_clock_gettime"),
		.gettimeofday = (uint64_t)clock_vdso_symbol("__vdso_gettimeofday"),
		.time = (uint64_t)clock_vdso_symbol("__vdso_time"),
		.clock_getres = (uint64_t)clock_vdso_symbol("__vdso_clock_getres"),
		.entry = (uint64_t)entry_stub,
	};
	r = host_mprotect(code, ABI_PAGE_SIZE, PROT_READ | PROT_EXEC);
	if (r == 0)
		r = host_mprotect(data, ABI_PAGE_SIZE, PROT_READ);
	return (int)r;
}
