/*
 * image.c - reads the instance image: a sealed copy, and where its text lies.
 */
#include "apps/leatd/image.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "apps/common/signature.h"
#include "leat/abi/layout.h"

#define PHDRS_MAX 16
#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

static int copy_sealed(int from, int *ret_fd)
{
	struct stat st;
	int fd = memfd_create("leat-image", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int r = 0;

	if (fd < 0)
		return -errno;
	if (fstat(from, &st) < 0)
		r = -errno;
	for (off_t at = 0; r == 0 && at < st.st_size;) {
		ssize_t n = sendfile(fd, from, NULL, (size_t)(st.st_size - at));
		if (n <= 0)
			r = n < 0 ? -errno : -EIO;
		at += n;
	}
	if (r == 0 && fcntl(fd, F_ADD_SEALS, SEALS) < 0)
		r = -errno;
	if (r < 0) {
		close(fd);
		return r;
	}
	*ret_fd = fd;
	return 0;
}

/* The page range of the one executable segment. */
static int text_find(int fd, struct image *image)
{
	Elf64_Ehdr eh;
	Elf64_Phdr ph[PHDRS_MAX];
	bool found = false;

	if (pread(fd, &eh, sizeof(eh), 0) != sizeof(eh) || memcmp(eh.e_ident, ELFMAG, SELFMAG) ||
	    eh.e_phentsize != sizeof(ph[0]) || eh.e_phnum > PHDRS_MAX)
		return -ENOEXEC;
	ssize_t size = (ssize_t)(eh.e_phnum * sizeof(ph[0]));
	if (pread(fd, ph, (size_t)size, (off_t)eh.e_phoff) != size)
		return -ENOEXEC;
	for (unsigned i = 0; i < eh.e_phnum; i++) {
		if (ph[i].p_type != PT_LOAD || !(ph[i].p_flags & PF_X))
			continue;
		uint64_t end = ph[i].p_vaddr + ph[i].p_memsz + ABI_PAGE_SIZE - 1;
		if (found || ph[i].p_vaddr < ABI_IMAGE_BASE || ph[i].p_memsz > ABI_IMAGE_MAX)
			return -ENOEXEC;
		image->text_low = ph[i].p_vaddr & ~(ABI_PAGE_SIZE - 1);
		image->text_high = end & ~(ABI_PAGE_SIZE - 1);
		found = true;
	}
	return found ? 0 : -ENOEXEC;
}

static int id_take(struct image *image)
{
	struct stat st;
	void *bytes;
	int r;

	if (fstat(image->fd, &st) < 0)
		return -errno;
	bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, image->fd, 0);
	if (bytes == MAP_FAILED)
		return -errno;
	r = signature_digest(bytes, (size_t)st.st_size, "", 0, image->id);
	munmap(bytes, (size_t)st.st_size);
	return r;
}

int image_open(const char *path, struct image *ret_image)
{
	struct image image = {.fd = -1};
	int from = open(path, O_RDONLY | O_CLOEXEC);

	if (from < 0)
		return -errno;
	int r = copy_sealed(from, &image.fd);
	close(from);
	if (r < 0)
		return r;
	r = text_find(image.fd, &image);
	if (r == 0)
		r = id_take(&image);
	if (r < 0) {
		close(image.fd);
		return r;
	}
	*ret_image = image;
	return 0;
}

void image_close(struct image *image)
{
	if (image->fd >= 0)
		close(image->fd);
	image->fd = -1;
}
