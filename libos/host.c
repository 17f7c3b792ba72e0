/*
 * host.c - the only calls of the host: one `syscall` instruction for all of them, and three special
 * cases in assembly (the two kinds of clone, and the return from a host signal handler).
 */
#include "libos/host.h"

#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>

#define CLONE_THREAD_FLAGS                                                                         \
	(CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM)
#define CLONE_PROCESS_FLAGS (CLONE_FILES | SIGCHLD)

long host_syscall(long nr, long a, long b, long c, long d, long e, long f);
long host_clone(long flags, void *stack_top, void (*fn)(void *), void *arg);

/* System V arguments to the kernel's: the number goes to rax, everything else moves up by one. */
__asm__(".text\n"
	".global host_syscall\n"
	".type host_syscall, @function\n"
	"host_syscall:\n"
	"	movq %rdi, %rax\n"
	"	movq %rsi, %rdi\n"
	"	movq %rdx, %rsi\n"
	"	movq %rcx, %rdx\n"
	"	movq %r8, %r10\n"
	"	movq %r9, %r8\n"
	"	movq 8(%rsp), %r9\n"
	"	syscall\n"
	"	ret\n"
	".size host_syscall, . - host_syscall\n"
	/* The child finds fn and arg on its own stack, since it has no other memory of its own yet.
	 */
	".global host_clone\n"
	".type host_clone, @function\n"
	"host_clone:\n"
	"	subq $16, %rsi\n"
	"	movq %rdx, 0(%rsi)\n"
	"	movq %rcx, 8(%rsi)\n"
	"	xorl %edx, %edx\n"
	"	xorl %r10d, %r10d\n"
	"	xorl %r8d, %r8d\n"
	"	movl $56, %eax\n"
	"	syscall\n"
	"	testq %rax, %rax\n"
	"	jz 1f\n"
	"	ret\n"
	"1:	popq %rax\n"
	"	popq %rdi\n"
	"	xorl %ebp, %ebp\n"
	"	call *%rax\n"
	"	ud2\n"
	".size host_clone, . - host_clone\n"
	".global host_sigreturn\n"
	".type host_sigreturn, @function\n"
	"host_sigreturn:\n"
	"	movl $15, %eax\n"
	"	syscall\n"
	"	ud2\n"
	".size host_sigreturn, . - host_sigreturn\n"
	/* No stack is touched: it may belong to somebody else already. */
	".global host_exit_group\n"
	".type host_exit_group, @function\n"
	"host_exit_group:\n"
	"	movl $231, %eax\n"
	"	syscall\n"
	"	jmp host_exit_group\n"
	".size host_exit_group, . - host_exit_group\n"
	".global host_exit_thread\n"
	".type host_exit_thread, @function\n"
	"host_exit_thread:\n"
	"	movl $60, %eax\n"
	"	syscall\n"
	"	jmp host_exit_thread\n"
	".size host_exit_thread, . - host_exit_thread\n");

static inline long call0(long nr)
{
	return host_syscall(nr, 0, 0, 0, 0, 0, 0);
}

static inline long call1(long nr, long a)
{
	return host_syscall(nr, a, 0, 0, 0, 0, 0);
}

static inline long call2(long nr, long a, long b)
{
	return host_syscall(nr, a, b, 0, 0, 0, 0);
}

static inline long call3(long nr, long a, long b, long c)
{
	return host_syscall(nr, a, b, c, 0, 0, 0);
}

static inline long call4(long nr, long a, long b, long c, long d)
{
	return host_syscall(nr, a, b, c, d, 0, 0);
}

static inline long call5(long nr, long a, long b, long c, long d, long e)
{
	return host_syscall(nr, a, b, c, d, e, 0);
}

long host_mmap(void *addr, size_t len, int prot, int flags, int fd, uint64_t off)
{
	return host_syscall(SYS_mmap, (long)addr, (long)len, prot, flags, fd, (long)off);
}

long host_munmap(void *addr, size_t len)
{
	return call2(SYS_munmap, (long)addr, (long)len);
}

long host_mprotect(void *addr, size_t len, int prot)
{
	return call3(SYS_mprotect, (long)addr, (long)len, prot);
}

long host_mremap(void *old, size_t old_len, size_t new_len, int flags, void *new_addr)
{
	return call5(SYS_mremap, (long)old, (long)old_len, (long)new_len, flags, (long)new_addr);
}

long host_madvise(void *addr, size_t len, int advice)
{
	return call3(SYS_madvise, (long)addr, (long)len, advice);
}

long host_mincore(void *addr, size_t len, unsigned char *vec)
{
	return call3(SYS_mincore, (long)addr, (long)len, (long)vec);
}

long host_msync(void *addr, size_t len, int flags)
{
	return call3(SYS_msync, (long)addr, (long)len, flags);
}

long host_memfd_create(const char *name, unsigned flags)
{
	return call2(SYS_memfd_create, (long)name, flags);
}

long host_membarrier(int cmd, unsigned flags)
{
	return call3(SYS_membarrier, cmd, flags, 0);
}

long host_futex(uint32_t *word, int op, uint32_t val, const struct timespec *timeout, uint32_t val3)
{
	return host_syscall(SYS_futex, (long)word, op, val, (long)timeout, 0, val3);
}

long host_gettid(void)
{
	return call0(SYS_gettid);
}

long host_getpid(void)
{
	return call0(SYS_getpid);
}

long host_tgkill(int tgid, int tid, int sig)
{
	return call3(SYS_tgkill, tgid, tid, sig);
}

long host_sigaction(int sig, const void *act, void *old)
{
	return call4(SYS_rt_sigaction, sig, (long)act, (long)old, 8);
}

long host_sigprocmask(int how, const uint64_t *set, uint64_t *old)
{
	return call4(SYS_rt_sigprocmask, how, (long)set, (long)old, 8);
}

long host_sigaltstack(const void *ss, void *old)
{
	return call2(SYS_sigaltstack, (long)ss, (long)old);
}

long host_arch_prctl(int code, uintptr_t addr)
{
	return call2(SYS_arch_prctl, code, (long)addr);
}

long host_sched_yield(void)
{
	return call0(SYS_sched_yield);
}

long host_setaffinity(unsigned core)
{
	uint64_t mask[1024 / 64] = {0};

	mask[core / 64 % (1024 / 64)] = 1UL << core % 64;
	return call3(SYS_sched_setaffinity, 0, sizeof(mask), (long)mask);
}

long host_wait4(int pid, int *status, int options)
{
	return call4(SYS_wait4, pid, (long)status, options, 0);
}

long host_clone_thread(void *stack_top, void (*fn)(void *), void *arg)
{
	return host_clone(CLONE_THREAD_FLAGS, stack_top, fn, arg);
}

long host_clone_process(void *stack_top, void (*fn)(void *), void *arg)
{
	return host_clone(CLONE_PROCESS_FLAGS, stack_top, fn, arg);
}

long host_openat(int dirfd, const char *path, int flags, unsigned mode)
{
	return call4(SYS_openat, dirfd, (long)path, flags, mode);
}

long host_close(int fd)
{
	return call1(SYS_close, fd);
}

long host_read(int fd, void *buf, size_t n)
{
	return call3(SYS_read, fd, (long)buf, (long)n);
}

long host_write(int fd, const void *buf, size_t n)
{
	return call3(SYS_write, fd, (long)buf, (long)n);
}

long host_pread(int fd, void *buf, size_t n, uint64_t off)
{
	return call4(SYS_pread64, fd, (long)buf, (long)n, (long)off);
}

long host_pwrite(int fd, const void *buf, size_t n, uint64_t off)
{
	return call4(SYS_pwrite64, fd, (long)buf, (long)n, (long)off);
}

long host_lseek(int fd, int64_t off, int whence)
{
	return call3(SYS_lseek, fd, off, whence);
}

long host_fstat(int fd, struct stat *st)
{
	return call2(SYS_fstat, fd, (long)st);
}

long host_fstatat(int dirfd, const char *path, struct stat *st, int flags)
{
	return call4(SYS_newfstatat, dirfd, (long)path, (long)st, flags);
}

long host_fstatfs(int fd, struct statfs *st)
{
	return call2(SYS_fstatfs, fd, (long)st);
}

long host_getdents64(int fd, void *buf, size_t n)
{
	return call3(SYS_getdents64, fd, (long)buf, (long)n);
}

long host_readlinkat(int dirfd, const char *path, char *buf, size_t n)
{
	return call4(SYS_readlinkat, dirfd, (long)path, (long)buf, (long)n);
}

long host_ftruncate(int fd, uint64_t len)
{
	return call2(SYS_ftruncate, fd, (long)len);
}

long host_fallocate(int fd, int mode, uint64_t off, uint64_t len)
{
	return call4(SYS_fallocate, fd, mode, (long)off, (long)len);
}

long host_fsync(int fd)
{
	return call1(SYS_fsync, fd);
}

long host_fdatasync(int fd)
{
	return call1(SYS_fdatasync, fd);
}

long host_fcntl(int fd, int cmd, uintptr_t arg)
{
	return call3(SYS_fcntl, fd, cmd, (long)arg);
}

long host_ioctl(int fd, unsigned long request, uintptr_t arg)
{
	return call3(SYS_ioctl, fd, (long)request, (long)arg);
}

long host_ppoll(struct pollfd *fds, unsigned nr, const struct timespec *timeout)
{
	return call5(SYS_ppoll, (long)fds, nr, (long)timeout, 0, 0);
}

long host_unlinkat(int dirfd, const char *path, int flags)
{
	return call3(SYS_unlinkat, dirfd, (long)path, flags);
}

long host_mkdirat(int dirfd, const char *path, unsigned mode)
{
	return call3(SYS_mkdirat, dirfd, (long)path, mode);
}

long host_renameat2(int odir, const char *old, int ndir, const char *new, unsigned flags)
{
	return call5(SYS_renameat2, odir, (long)old, ndir, (long)new, flags);
}

long host_linkat(int odir, const char *old, int ndir, const char *new, int flags)
{
	return call5(SYS_linkat, odir, (long)old, ndir, (long)new, flags);
}

long host_symlinkat(const char *target, int dirfd, const char *path)
{
	return call3(SYS_symlinkat, (long)target, dirfd, (long)path);
}

long host_fchmodat(int dirfd, const char *path, unsigned mode)
{
	return call3(SYS_fchmodat, dirfd, (long)path, mode);
}

long host_fchownat(int dirfd, const char *path, unsigned uid, unsigned gid, int flags)
{
	return call5(SYS_fchownat, dirfd, (long)path, uid, gid, flags);
}

long host_utimensat(int dirfd, const char *path, const struct timespec ts[2], int flags)
{
	return call4(SYS_utimensat, dirfd, (long)path, (long)ts, flags);
}
