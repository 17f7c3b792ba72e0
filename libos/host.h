/*
 * host.h - the only wrappers of host system calls.
 *
 * host.c holds the one `syscall` instruction of the image.  Every function returns the kernel's
 * result: a value or a negative errno.  The confinement filter (apps/leatd/sandbox.c) lists exactly
 * these calls with their argument checks: a new wrapper needs a line there.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct pollfd;
struct stat;
struct timespec;
struct statfs;

/* Memory. */
long host_mmap(void *addr, size_t len, int prot, int flags, int fd, uint64_t off);
long host_munmap(void *addr, size_t len);
long host_mprotect(void *addr, size_t len, int prot);
long host_mremap(void *old, size_t old_len, size_t new_len, int flags, void *new_addr);
long host_madvise(void *addr, size_t len, int advice);
long host_mincore(void *addr, size_t len, unsigned char *vec);
long host_msync(void *addr, size_t len, int flags);
long host_memfd_create(const char *name, unsigned flags);
long host_membarrier(int cmd, unsigned flags);

/* Threads, processes and signals of the host. */
long host_futex(uint32_t *word, int op, uint32_t val, const struct timespec *timeout,
		uint32_t val3);
long host_gettid(void);
long host_getpid(void);
long host_tgkill(int tgid, int tid, int sig);
long host_sigaction(int sig, const void *act, void *old);
long host_sigprocmask(int how, const uint64_t *set, uint64_t *old);
long host_sigaltstack(const void *ss, void *old);
long host_arch_prctl(int code, uintptr_t addr);
long host_sched_yield(void);
long host_setaffinity(unsigned core); /* the calling thread only */
long host_wait4(int pid, int *status, int options);
_Noreturn void host_exit_thread(int code);
_Noreturn void host_exit_group(int code);

/*
 * A new kthread: runs fn(arg) on the stack that ends at stack_top, in the same address space, with
 * signals as the caller's.  fn must not return.  Returns the tid.
 */
long host_clone_thread(void *stack_top, void (*fn)(void *), void *arg);

/*
 * A new process: copy of the address space, shared descriptor table (CLONE_FILES).  The child runs
 * fn(arg) on stack_top, which must be shared or private memory that the parent does not touch;
 * fn must not return.  Returns the child's pid in the parent.
 */
long host_clone_process(void *stack_top, void (*fn)(void *), void *arg);

/* Files: fds are host descriptors, shared by all processes of the instance. */
long host_openat(int dirfd, const char *path, int flags, unsigned mode);
long host_close(int fd);
long host_read(int fd, void *buf, size_t n);
long host_write(int fd, const void *buf, size_t n);
long host_pread(int fd, void *buf, size_t n, uint64_t off);
long host_pwrite(int fd, const void *buf, size_t n, uint64_t off);
long host_lseek(int fd, int64_t off, int whence);
long host_fstat(int fd, struct stat *st);
long host_fstatat(int dirfd, const char *path, struct stat *st, int flags);
long host_fstatfs(int fd, struct statfs *st);
long host_getdents64(int fd, void *buf, size_t n);
long host_readlinkat(int dirfd, const char *path, char *buf, size_t n);
long host_ftruncate(int fd, uint64_t len);
long host_fallocate(int fd, int mode, uint64_t off, uint64_t len);
long host_fsync(int fd);
long host_fdatasync(int fd);
long host_fcntl(int fd, int cmd, uintptr_t arg);
long host_ioctl(int fd, unsigned long request, uintptr_t arg);
long host_ppoll(struct pollfd *fds, unsigned nr, const struct timespec *timeout);

/* Writable volumes only; a mode with set-id bits is refused by the filter (mask with 01777). */
long host_unlinkat(int dirfd, const char *path, int flags);
long host_mkdirat(int dirfd, const char *path, unsigned mode);
long host_renameat2(int odir, const char *old, int ndir, const char *new, unsigned flags);
long host_linkat(int odir, const char *old, int ndir, const char *new, int flags);
long host_symlinkat(const char *target, int dirfd, const char *path);
long host_fchmodat(int dirfd, const char *path, unsigned mode);
long host_fchownat(int dirfd, const char *path, unsigned uid, unsigned gid, int flags);
long host_utimensat(int dirfd, const char *path, const struct timespec ts[2], int flags);
