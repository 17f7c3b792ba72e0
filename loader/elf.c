/*
 * elf.c - checking ELF headers.
 */
#include "loader/elf.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/mman.h>

#include "leat/abi/layout.h"
#include "leat/base/bits.h"

int elf_check_header(const Elf64_Ehdr *ehdr, uint64_t *ret_phdrs_off, size_t *ret_phdrs_bytes)
{
	if (memcmp(ehdr->e_ident, ELFMAG, SELFMAG) != 0 || ehdr->e_ident[EI_CLASS] != ELFCLASS64 ||
	    ehdr->e_ident[EI_DATA] != ELFDATA2LSB)
		return -ENOEXEC;
	if (ehdr->e_machine != EM_X86_64 || (ehdr->e_type != ET_EXEC && ehdr->e_type != ET_DYN))
		return -ENOEXEC;
	if (ehdr->e_phentsize != sizeof(Elf64_Phdr) || ehdr->e_phnum == 0 ||
	    ehdr->e_phnum > ELF_MAX_PHDRS)
		return -ENOEXEC;
	if (ehdr->e_phoff > (uint64_t)INT64_MAX - ELF_MAX_PHDRS * sizeof(Elf64_Phdr))
		return -ENOEXEC;
	*ret_phdrs_off = ehdr->e_phoff;
	*ret_phdrs_bytes = ehdr->e_phnum * sizeof(Elf64_Phdr);
	return 0;
}

static int segment_prot(uint32_t flags)
{
	return ((flags & PF_R) ? PROT_READ : 0) | ((flags & PF_W) ? PROT_WRITE : 0) |
	       ((flags & PF_X) ? PROT_EXEC : 0);
}

/* Takes one PT_LOAD. Segments must ascend and fit into user space. */
static int add_segment(struct elf_image *image, const Elf64_Phdr *ph, uint64_t user_high)
{
	struct elf_segment *s = &image->segment[image->nr_segments];

	if (image->nr_segments == ELF_MAX_SEGMENTS || ph->p_filesz > ph->p_memsz ||
	    ph->p_memsz > user_high || ph->p_vaddr > user_high - ph->p_memsz ||
	    ph->p_offset > (uint64_t)INT64_MAX - ph->p_filesz ||
	    (ph->p_vaddr ^ ph->p_offset) % ABI_PAGE_SIZE)
		return -ENOEXEC;
	if (!ph->p_memsz)
		return 0;
	if (image->nr_segments && ph->p_vaddr < s[-1].vaddr + s[-1].memsz)
		return -ENOEXEC;
	s->vaddr = ph->p_vaddr;
	s->filesz = ph->p_filesz;
	s->memsz = ph->p_memsz;
	s->off = ph->p_offset;
	s->prot = segment_prot(ph->p_flags);
	image->nr_segments++;
	/* An alignment that is no power of two is ignored, as Linux does. */
	if (ph->p_align > image->align && !(ph->p_align & (ph->p_align - 1)) &&
	    ph->p_align <= (1UL << 30))
		image->align = ph->p_align;
	return 0;
}

/* Where the program headers are in memory: in the segment that holds their bytes of the file. */
static uint64_t find_phdrs(const struct elf_image *image, const Elf64_Ehdr *ehdr)
{
	uint64_t bytes = ehdr->e_phnum * sizeof(Elf64_Phdr);
	const struct elf_segment *s;

	for (s = image->segment; s < image->segment + image->nr_segments; s++)
		if (ehdr->e_phoff >= s->off && ehdr->e_phoff + bytes <= s->off + s->filesz)
			return ehdr->e_phoff - s->off + s->vaddr;
	return 0;
}

int elf_parse(const Elf64_Ehdr *ehdr, const Elf64_Phdr *phdrs, uint64_t user_high,
	      struct elf_image *ret_image)
{
	struct elf_image image = {.dyn = ehdr->e_type == ET_DYN,
				  .entry = ehdr->e_entry,
				  .align = ABI_PAGE_SIZE,
				  .nr_phdrs = ehdr->e_phnum};
	const struct elf_segment *last;
	const Elf64_Phdr *ph;

	for (ph = phdrs; ph < phdrs + ehdr->e_phnum; ph++) {
		switch (ph->p_type) {
		case PT_LOAD:
			if (add_segment(&image, ph, user_high) < 0)
				return -ENOEXEC;
			break;
		case PT_INTERP:
			if (image.interp_len || ph->p_filesz < 2 || ph->p_filesz > PATH_MAX ||
			    ph->p_offset > (uint64_t)INT64_MAX - PATH_MAX)
				return -ENOEXEC;
			image.interp_off = ph->p_offset;
			image.interp_len = ph->p_filesz;
			break;
		case PT_GNU_STACK:
			image.exec_stack = ph->p_flags & PF_X;
			break;
		default:
			break;
		}
	}
	if (!image.nr_segments)
		return -ENOEXEC;
	last = &image.segment[image.nr_segments - 1];
	image.low = align_down(image.segment[0].vaddr, ABI_PAGE_SIZE);
	image.brk = last->vaddr + last->memsz;
	image.high = align_up(image.brk, ABI_PAGE_SIZE);
	image.phdr = find_phdrs(&image, ehdr);
	*ret_image = image;
	return 0;
}
