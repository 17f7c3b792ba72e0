/*
 * uaccess.c - copies from and to the program's memory, and cursors over its buffers.
 */
#include "libos/uaccess.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "leat/abi/layout.h"
#include "leat/base/bits.h"

/* uaccess.S */
size_t uaccess_copy(void *dst, const void *src, size_t n);
size_t uaccess_clear(void *dst, size_t n);
ssize_t uaccess_strncpy(char *dst, const char *src, size_t size);
int uaccess_get32(uint32_t *ret_value, const uint32_t *src);
int uaccess_get64(uint64_t *ret_value, const uint64_t *src);
int uaccess_put32(uint32_t *dst, uint32_t value);
int uaccess_put64(uint64_t *dst, uint64_t value);
int uaccess_cmpxchg32(uint32_t *word, uint32_t expected, uint32_t desired, uint32_t *ret_found);

bool user_range_ok(const void *ptr, size_t n)
{
	uint64_t start = (uint64_t)(uintptr_t)ptr;
	uint64_t end = start + n;

	if (end < start || end > ABI_USER_HIGH)
		return n == 0;
	return end <= ABI_LEAT_LOW || start >= ABI_LEAT_HIGH || n == 0;
}

size_t copy_from_user_partial(void *dst, const void *user_src, size_t n)
{
	if (!user_range_ok(user_src, n))
		return n;
	return uaccess_copy(dst, user_src, n);
}

size_t copy_to_user_partial(void *user_dst, const void *src, size_t n)
{
	if (!user_range_ok(user_dst, n))
		return n;
	return uaccess_copy(user_dst, src, n);
}

int copy_from_user(void *dst, const void *user_src, size_t n)
{
	return copy_from_user_partial(dst, user_src, n) == 0 ? 0 : -EFAULT;
}

int copy_to_user(void *user_dst, const void *src, size_t n)
{
	return copy_to_user_partial(user_dst, src, n) == 0 ? 0 : -EFAULT;
}

int clear_user(void *user_dst, size_t n)
{
	if (!user_range_ok(user_dst, n))
		return -EFAULT;
	return uaccess_clear(user_dst, n) == 0 ? 0 : -EFAULT;
}

ssize_t strncpy_from_user(char *dst, const char *user_src, size_t size)
{
	uint64_t start = (uint64_t)(uintptr_t)user_src;
	uint64_t end = start < ABI_LEAT_LOW ? ABI_LEAT_LOW : ABI_USER_HIGH;
	size_t room = size;
	ssize_t n;

	if (!user_range_ok(user_src, 1))
		return -EFAULT;
	if (room > end - start)
		room = end - start;
	n = uaccess_strncpy(dst, user_src, room);
	if (n < 0 || (size_t)n < room)
		return n;
	return room < size ? -EFAULT : -ENAMETOOLONG;
}

int get_user_u32(uint32_t *ret_value, const uint32_t *user_word)
{
	return user_range_ok(user_word, 4) ? uaccess_get32(ret_value, user_word) : -EFAULT;
}

int get_user_u64(uint64_t *ret_value, const uint64_t *user_word)
{
	return user_range_ok(user_word, 8) ? uaccess_get64(ret_value, user_word) : -EFAULT;
}

int put_user_u32(uint32_t *user_word, uint32_t value)
{
	return user_range_ok(user_word, 4) ? uaccess_put32(user_word, value) : -EFAULT;
}

int put_user_u64(uint64_t *user_word, uint64_t value)
{
	return user_range_ok(user_word, 8) ? uaccess_put64(user_word, value) : -EFAULT;
}

int cmpxchg_user_u32(uint32_t *user_word, uint32_t expected, uint32_t desired, uint32_t *ret_found)
{
	if (!user_range_ok(user_word, 4))
		return -EFAULT;
	return uaccess_cmpxchg32(user_word, expected, desired, ret_found);
}

/* ---- cursors ---- */

void uio_init(struct uio *uio, struct iovec *iov, void *buf, size_t n, bool kernel)
{
	*iov = (struct iovec){.iov_base = buf, .iov_len = n};
	*uio = (struct uio){.iov = iov, .nr_iov = 1, .left = n, .kernel = kernel};
}

size_t uio_peek(const struct uio *uio, void **ret_ptr, size_t n)
{
	const struct iovec *iov = uio->iov;
	unsigned nr = uio->nr_iov;
	size_t skip = uio->skip;

	for (; nr > 0 && iov->iov_len == skip; iov++, nr--)
		skip = 0;
	if (nr == 0 || uio->left == 0)
		return 0;
	*ret_ptr = (char *)iov->iov_base + skip;
	n = MIN(n, uio->left);
	return MIN(n, iov->iov_len - skip);
}

void uio_advance(struct uio *uio, size_t n)
{
	uio->left -= n;
	while (uio->nr_iov > 0 && n >= uio->iov->iov_len - uio->skip) {
		n -= uio->iov->iov_len - uio->skip;
		uio->skip = 0;
		uio->iov++;
		uio->nr_iov--;
	}
	uio->skip += n;
}

enum uio_op { UIO_IN, UIO_OUT, UIO_ZERO };

/* Bytes of one piece that could not be moved. */
static size_t uio_piece(const struct uio *uio, enum uio_op op, void *piece, void *mem, size_t n)
{
	if (!uio->kernel && !user_range_ok(piece, n))
		return n;
	if (op == UIO_IN)
		return uaccess_copy(mem, piece, n);
	if (op == UIO_OUT)
		return uaccess_copy(piece, mem, n);
	return uaccess_clear(piece, n);
}

static ssize_t uio_move(struct uio *uio, enum uio_op op, void *mem, size_t n)
{
	size_t done = 0, missing = 0;
	void *piece;

	while (done < n && missing == 0) {
		size_t part = uio_peek(uio, &piece, n - done);

		if (part == 0)
			break;
		missing = uio_piece(uio, op, piece, mem == NULL ? NULL : (char *)mem + done, part);
		uio_advance(uio, part - missing);
		done += part - missing;
	}
	return done == 0 && missing != 0 ? -EFAULT : (ssize_t)done;
}

ssize_t uio_copy_in(struct uio *uio, void *dst, size_t n)
{
	return uio_move(uio, UIO_IN, dst, n);
}

ssize_t uio_copy_out(struct uio *uio, const void *src, size_t n)
{
	return uio_move(uio, UIO_OUT, (void *)(uintptr_t)src, n);
}

ssize_t uio_zero(struct uio *uio, size_t n)
{
	return uio_move(uio, UIO_ZERO, NULL, n);
}

ssize_t uio_import(struct uio *uio, struct iovec iov[], const struct iovec *user_iov,
		   unsigned long nr)
{
	size_t total = 0;

	if (nr > UIO_MAX_IOV)
		return -EINVAL;
	if (copy_from_user(iov, user_iov, nr * sizeof(*iov)) != 0)
		return -EFAULT;
	for (unsigned long i = 0; i < nr; i++) {
		if (iov[i].iov_len > SSIZE_MAX)
			return -EINVAL;
		if (!user_range_ok(iov[i].iov_base, iov[i].iov_len))
			return -EFAULT;
		/* readv(2): the sum is cut at what one call may move */
		iov[i].iov_len = MIN(iov[i].iov_len, (size_t)0x7ffff000 - total);
		total += iov[i].iov_len;
	}
	*uio = (struct uio){.iov = iov, .nr_iov = (unsigned)nr, .left = total};
	return (ssize_t)total;
}
