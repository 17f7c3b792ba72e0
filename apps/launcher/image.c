/*
 * image.c - maps leat-image at its fixed addresses, once; forked instances inherit the mapping.
 */
#include "apps/launcher/launcher.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PHDRS_MAX 16

static uint64_t page_down(uint64_t addr)
{
	return addr & ~(ABI_PAGE_SIZE - 1);
}

static uint64_t page_up(uint64_t addr)
{
	return page_down(addr + ABI_PAGE_SIZE - 1);
}

/* The image has no writable data, so a segment is a plain read-only view of the file. */
static int segment_map(int fd, const Elf64_Phdr *ph)
{
	uint64_t start = page_down(ph->p_vaddr);
	uint64_t end = page_up(ph->p_vaddr + ph->p_memsz);
	int prot = PROT_READ | ((ph->p_flags & PF_X) ? PROT_EXEC : 0);

	if (ph->p_memsz == 0)
		return 0;
	if ((ph->p_flags & PF_W) || ph->p_memsz != ph->p_filesz || start < ABI_IMAGE_BASE ||
	    ph->p_memsz > ABI_IMAGE_MAX || end > ABI_IMAGE_BASE + ABI_IMAGE_MAX ||
	    ((ph->p_vaddr ^ ph->p_offset) & (ABI_PAGE_SIZE - 1)))
		return -ENOEXEC;
	void *at = mmap((void *)start, end - start, prot, MAP_PRIVATE | MAP_FIXED_NOREPLACE, fd,
			(off_t)page_down(ph->p_offset));
	if (at == MAP_FAILED)
		return -errno;
	return at == (void *)start ? 0 : -EEXIST;
}

int image_map(int fd, struct launcher *launcher)
{
	Elf64_Ehdr eh;
	Elf64_Phdr ph[PHDRS_MAX];

	if (pread(fd, &eh, sizeof(eh), 0) != sizeof(eh))
		return -ENOEXEC;
	if (memcmp(eh.e_ident, ELFMAG, SELFMAG) || eh.e_type != ET_EXEC ||
	    eh.e_machine != EM_X86_64 || eh.e_phentsize != sizeof(ph[0]) || eh.e_phnum > PHDRS_MAX)
		return -ENOEXEC;
	ssize_t size = (ssize_t)(eh.e_phnum * sizeof(ph[0]));
	if (pread(fd, ph, (size_t)size, (off_t)eh.e_phoff) != size)
		return -ENOEXEC;
	for (unsigned i = 0; i < eh.e_phnum; i++) {
		if (ph[i].p_type != PT_LOAD)
			continue;
		/* the filters were made for this very text */
		if ((ph[i].p_flags & PF_X) &&
		    (page_down(ph[i].p_vaddr) != launcher->text_low ||
		     page_up(ph[i].p_vaddr + ph[i].p_memsz) != launcher->text_high))
			return -ENOEXEC;
		int r = segment_map(fd, &ph[i]);
		if (r < 0)
			return r;
	}
	if (eh.e_entry < launcher->text_low || eh.e_entry >= launcher->text_high)
		return -ENOEXEC;
	launcher->entry = eh.e_entry;
	return 0;
}
