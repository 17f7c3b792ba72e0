/*
 * mm_resume.c - a program's address space in a clone.
 *
 * Memory that the program had written is mapped privately from the snapshot's file, so that clones
 * share what they do not change.  Such a mapping is no anonymous memory to the host: see
 * advise_node() in sys/mm.c.
 */
#include <errno.h>
#include <sys/mman.h>

#include "libos/host.h"
#include "libos/mm.h"
#include "libos/mm_internal.h"
#include "libos/resume.h"

int mm_host_advise(const struct vma *v)
{
	long err = 0;

	if (v->flags & MM_DONTFORK)
		err = host_madvise((void *)v->start, vma_bytes(v), MADV_DONTFORK);
	if (err == 0 && (v->flags & MM_WIPEONFORK))
		err = host_madvise((void *)v->start, vma_bytes(v), MADV_WIPEONFORK);
	return (int)err;
}

static int vma_resume(const struct vma *v)
{
	int err = mm_host_map(v, 0);

	if (err == 0 && !(v->flags & (MAP_SHARED | MM_WIPEONFORK)))
		err = resume_map_runs(v->start, v->end, v->prot);
	return err ? err : mm_host_advise(v);
}

int mm_resume(struct mm *mm)
{
	for (const struct vma_node *n = mm->tree.first; n; n = n->next) {
		int err = vma_reserved(n) ? 0 : vma_resume(&n->v);

		if (err)
			return err;
	}
	return 0;
}
