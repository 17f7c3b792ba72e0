/* Bad pointers in every call that takes one: EFAULT and nothing else happens. */
#include "t.h"
#include <poll.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>

#define TRY(nr, ...) show_value(#nr, syscall(nr, ##__VA_ARGS__))

int main(void)
{
	void *kernel = (void *)0xffffffff81000000UL, *high = (void *)0x00007ffffffff000UL;
	char *page = mmap(NULL, 12288, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *edge = page + 4096, *ro = page + 8192;
	int zero = open("/dev/zero", O_RDONLY), null = open("/dev/null", O_WRONLY), p[2];

	MUST(mprotect(edge, 4096, PROT_NONE));
	MUST(mprotect(ro, 4096, PROT_READ));
	MUST(pipe(p));
	TRY(SYS_read, zero, BAD, 10);
	TRY(SYS_read, zero, kernel, 10);
	TRY(SYS_read, zero, high, 10);
	TRY(SYS_read, zero, ro, 10);
	TRY(SYS_read, zero, edge, 10);
	TRY(SYS_read, zero, NULL, 0);
	TRY(SYS_write, p[1], BAD, 10);
	TRY(SYS_write, p[1], kernel, 10);
	TRY(SYS_write, p[1], edge, 10);
	TRY(SYS_write, p[1], ro, 10);
	TRY(SYS_write, null, ro, 4096);
	TRY(SYS_open, edge, O_RDONLY);
	TRY(SYS_openat, AT_FDCWD, kernel, O_RDONLY);
	memcpy(edge - 4, "/tmp", 4); /* no NUL before the edge */
	TRY(SYS_open, edge - 4, O_RDONLY);
	edge[-1] = 0;
	TRY(SYS_chdir, edge);
	TRY(SYS_stat, "/", edge - 8);
	TRY(SYS_fstat, 0, ro);
	TRY(SYS_lstat, BAD, page);
	TRY(SYS_poll, BAD, 1, 0);
	TRY(SYS_rt_sigaction, SIGUSR1, BAD, NULL, 8);
	TRY(SYS_rt_sigaction, SIGUSR1, NULL, ro, 8);
	TRY(SYS_rt_sigprocmask, SIG_BLOCK, NULL, ro, 8);
	TRY(SYS_readv, zero, edge - 8, 1);
	TRY(SYS_writev, p[1], BAD, 1);
	TRY(SYS_pipe, ro);
	TRY(SYS_nanosleep, BAD, NULL);
	TRY(SYS_clock_gettime, CLOCK_REALTIME, ro);
	TRY(SYS_gettimeofday, ro, NULL);
	TRY(SYS_getcwd, ro, 100);
	TRY(SYS_uname, ro);
	TRY(SYS_getrlimit, RLIMIT_NOFILE, ro);
	TRY(SYS_sysinfo, ro);
	TRY(SYS_wait4, -1, NULL, WNOHANG, NULL);
	TRY(SYS_epoll_ctl, epoll_create1(0), EPOLL_CTL_ADD, p[0], BAD);
	TRY(SYS_getrandom, ro, 10, 0);
	TRY(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, ro);
	TRY(SYS_execve, edge, NULL, NULL);
	TRY(SYS_execve, "/bin/true", BAD, NULL);
	TRY(SYS_readlink, "/proc/self/exe", ro, 100);
	TRY(SYS_futex, edge, 0, 0, NULL, NULL, 0);
	TRY(SYS_rename, BAD, "x");
	TRY(SYS_mkdir, edge, 0700);
	TRY(SYS_unlink, kernel);
	TRY(SYS_setitimer, ITIMER_REAL, BAD, NULL);
	TRY(SYS_select, 1, BAD, NULL, NULL, NULL);
	TRY(SYS_sendto, p[0], "x", 1, 0, NULL, 0);
	int st;
	pid_t pid = fork();
	if (pid == 0)
		_exit(2);
	TRY(SYS_wait4, pid, ro, 0, NULL);
	SHOW(waitpid(pid, &st, 0) == -1);
	/* and the kernel's own words were not touched: reading still works */
	TRY(SYS_read, zero, page, 100);
	SHOW(page[0]);
	return 0;
}
