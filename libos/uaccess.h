/*
 * uaccess.h - the program's pointers, which may be bad.
 *
 * Each of these touches program memory through instructions listed in the fault table
 * (uaccess.S): a fault there ends the copy with -EFAULT and nothing else.  A range that touches
 * Leat's own addresses is -EFAULT too.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

/* Does [ptr, ptr + n) lie in the program's part of the address space? */
bool user_range_ok(const void *ptr, size_t n);

/* 0 or -EFAULT; on a fault dst may be partly written. */
int copy_from_user(void *dst, const void *user_src, size_t n);
int copy_to_user(void *user_dst, const void *src, size_t n);
int clear_user(void *user_dst, size_t n);

/* Bytes that were not copied (0: all of them): for calls that report partial transfers. */
size_t copy_from_user_partial(void *dst, const void *user_src, size_t n);
size_t copy_to_user_partial(void *user_dst, const void *src, size_t n);

/*
 * Copies a string with its NUL into dst[size].  Returns its length, -EFAULT, or -ENAMETOOLONG when
 * no NUL comes within size bytes.
 */
ssize_t strncpy_from_user(char *dst, const char *user_src, size_t size);

/* Atomic read and compare-exchange of a user word (futex). 0 or -EFAULT. */
int get_user_u32(uint32_t *ret_value, const uint32_t *user_word);
int get_user_u64(uint64_t *ret_value, const uint64_t *user_word);
int put_user_u32(uint32_t *user_word, uint32_t value);
int put_user_u64(uint64_t *user_word, uint64_t value);
int cmpxchg_user_u32(uint32_t *user_word, uint32_t expected, uint32_t desired, uint32_t *ret_found);

/*
 * A cursor over the program's (or, with kernel set, the libOS's own) buffers: what read and write
 * handlers pass to file operations.
 */
struct uio {
	const struct iovec *iov; /* copied into libOS memory already */
	unsigned nr_iov;
	size_t skip; /* bytes of iov[0] already used */
	size_t left; /* bytes until the end */
	bool kernel; /* buffers are libOS memory: plain copies */
};

/* A uio over one buffer; iov is the caller's storage. */
void uio_init(struct uio *uio, struct iovec *iov, void *buf, size_t n, bool kernel);

/* Moves min(n, uio->left) bytes and advances. Bytes moved, or -EFAULT when the first byte fails. */
ssize_t uio_copy_in(struct uio *uio, void *dst, size_t n);        /* user -> dst */
ssize_t uio_copy_out(struct uio *uio, const void *src, size_t n); /* src -> user */
ssize_t uio_zero(struct uio *uio, size_t n);

/* The next contiguous piece, at most n bytes; 0 at the end. Does not advance; uio_advance does. */
size_t uio_peek(const struct uio *uio, void **ret_ptr, size_t n);
void uio_advance(struct uio *uio, size_t n);

#define UIO_MAX_IOV 1024

/* readv and friends: reads nr iovecs of the program into iov[]; total length or -EFAULT/-EINVAL. */
ssize_t uio_import(struct uio *uio, struct iovec iov[], const struct iovec *user_iov,
		   unsigned long nr);
