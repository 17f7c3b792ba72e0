/* pidfds: opening, waiting, signalling, taking descriptors, clone with CLONE_PIDFD. */
#include "t.h"

#include <linux/sched.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/syscall.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

static long pidfd_open_(int pid, unsigned flags)
{
	return syscall(SYS_pidfd_open, pid, flags);
}

static long pidfd_send(int fd, int sig, siginfo_t *info, unsigned flags)
{
	return syscall(SYS_pidfd_send_signal, fd, sig, info, flags);
}

static long pidfd_getfd_(int fd, int target, unsigned flags)
{
	return syscall(SYS_pidfd_getfd, fd, target, flags);
}

static int ready(int fd, int timeout_ms)
{
	struct pollfd p = {fd, POLLIN, 0};
	int n = poll(&p, 1, timeout_ms);

	return n == 1 ? p.revents : n;
}

static pid_t child_that_waits(void)
{
	pid_t pid = fork();

	MUST(pid);
	if (pid == 0) {
		for (;;)
			pause();
	}
	return pid;
}

static volatile int got_value;

static void on_usr1(int sig, siginfo_t *info, void *context)
{
	got_value = info->si_code == SI_QUEUE ? info->si_value.sival_int : -info->si_code;
}

static void *thread_tid(void *arg)
{
	*(int *)arg = (int)syscall(SYS_gettid);
	SHOW(pidfd_open_(*(int *)arg, 0));
	return NULL;
}

static void opening(void)
{
	pthread_t thread;
	int tid, fd;

	SHOW(pidfd_open_(0, 0));
	SHOW(pidfd_open_(-1, 0));
	SHOW(pidfd_open_(4194303, 0));
	SHOW(pidfd_open_(getpid(), 0x40));
	pthread_create(&thread, NULL, thread_tid, &tid);
	pthread_join(thread, NULL);
	MUST(fd = (int)pidfd_open_(getpid(), 0));
	SHOW(fcntl(fd, F_GETFD));
	SHOW(ready(fd, 0));
	SHOW(read(fd, &tid, 4));
	close(fd);
	MUST(fd = (int)pidfd_open_(getpid(), O_NONBLOCK));
	YES((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
	close(fd);
}

static void life(void)
{
	pid_t pid = child_that_waits();
	struct epoll_event event = {.events = EPOLLIN};
	siginfo_t info = {0};
	int fd, ep = epoll_create1(0);

	MUST(fd = (int)pidfd_open_(pid, 0));
	SHOW(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event));
	SHOW(epoll_wait(ep, &event, 1, 0));
	SHOW(pidfd_send(fd, 0, NULL, 0));
	SHOW(waitid(P_PIDFD, fd, &info, WEXITED | WNOHANG));
	SHOW(info.si_pid);
	SHOW(pidfd_send(fd, SIGKILL, NULL, 0));
	SHOW(epoll_wait(ep, &event, 1, 5000));
	YES(ready(fd, 5000) == POLLIN);
	SHOW(pidfd_send(fd, 0, NULL, 0));
	SHOW(waitid(P_PIDFD, fd, &info, WEXITED | WNOWAIT));
	SHOW(waitid(P_PIDFD, fd, &info, WEXITED));
	YES(info.si_pid == pid);
	SHOW(info.si_code);
	SHOW(info.si_status);
	YES(ready(fd, 0) == (POLLIN | POLLHUP));
	SHOW(pidfd_send(fd, 0, NULL, 0));
	SHOW(pidfd_send(fd, SIGTERM, NULL, 0));
	SHOW(waitid(P_PIDFD, fd, &info, WEXITED));
	SHOW(pidfd_getfd_(fd, 0, 0));
	SHOW(pidfd_open_(pid, 0));
	close(fd);
}

static void sending(void)
{
	struct sigaction action = {.sa_sigaction = on_usr1, .sa_flags = SA_SIGINFO};
	siginfo_t info = {.si_signo = SIGUSR1, .si_code = SI_QUEUE};
	pid_t pid;
	int fd;

	info.si_value.sival_int = 77;
	sigaction(SIGUSR1, &action, NULL);
	MUST(fd = (int)pidfd_open_(getpid(), 0));
	SHOW(pidfd_send(fd, SIGUSR1, NULL, 0));
	SHOW(got_value);
	SHOW(pidfd_send(fd, SIGUSR1, &info, 0));
	SHOW(got_value);
	SHOW(pidfd_send(fd, SIGUSR2, &info, 0)); /* another number than in the info */
	SHOW(pidfd_send(fd, SIGUSR1, NULL, 64));
	SHOW(pidfd_send(fd, 65, NULL, 0));
	SHOW(pidfd_send(fd, SIGUSR1, BAD, 0));
	SHOW(pidfd_send(1, SIGUSR1, NULL, 0));
	SHOW(pidfd_send(99, SIGUSR1, NULL, 0));
	close(fd);
	pid = child_that_waits();
	MUST(fd = (int)pidfd_open_(pid, 0));
	info.si_code = SI_USER;
	SHOW(pidfd_send(fd, SIGUSR1, &info, 0)); /* kill(2)'s code, to another process */
	MUST(pidfd_send(fd, SIGKILL, NULL, 0));
	waitpid(pid, NULL, 0);
	close(fd);
}

static void taking(void)
{
	int pipe_fds[2], fd, taken;
	char buf[8] = {0};
	pid_t pid;

	MUST(pipe(pipe_fds));
	pid = fork();
	if (pid == 0) {
		int fds[2];

		MUST(pipe(fds)); /* at the numbers after pipe_fds: ours alone */
		MUST(write(fds[1], "theirs", 6));
		MUST(dup2(fds[0], 50));
		MUST(write(pipe_fds[1], "x", 1));
		for (;;)
			pause();
	}
	MUST(read(pipe_fds[0], buf, 1));
	MUST(fd = (int)pidfd_open_(pid, 0));
	MUST(taken = (int)pidfd_getfd_(fd, 50, 0));
	SHOW(fcntl(taken, F_GETFD));
	SHOW(read(taken, buf, 6));
	say("%s", buf);
	SHOW(pidfd_getfd_(fd, 51, 0));
	SHOW(pidfd_getfd_(fd, 50, 1));
	SHOW(pidfd_getfd_(1, 50, 0));
	MUST(kill(pid, SIGKILL));
	YES(ready(fd, 5000) == POLLIN);
	SHOW(pidfd_getfd_(fd, 50, 0));
	waitpid(pid, NULL, 0);
	close(fd);
	close(taken);
}

static void waiting(void)
{
	siginfo_t info = {0};
	pid_t pid = child_that_waits();
	int fd;

	MUST(fd = (int)pidfd_open_(pid, O_NONBLOCK));
	SHOW(waitid(P_PIDFD, fd, &info, WEXITED)); /* would block */
	MUST(kill(pid, SIGTERM));
	YES(ready(fd, 5000) == POLLIN);
	SHOW(waitid(P_PIDFD, fd, &info, WEXITED));
	SHOW(info.si_status);
	close(fd);
	SHOW(waitid(P_PIDFD, 99, &info, WEXITED));
	SHOW(waitid(P_PIDFD, 1, &info, WEXITED));
	SHOW(waitid(P_PIDFD, -1, &info, WEXITED));
	MUST(fd = (int)pidfd_open_(getpid(), 0));
	SHOW(waitid(P_PIDFD, fd, &info, WEXITED)); /* no child of ours */
	close(fd);
}

static void cloning(void)
{
	struct clone_args args = {0};
	siginfo_t info = {0};
	int fd = -7, tid = 0;
	long pid;

	pid = syscall(SYS_clone, CLONE_PIDFD | SIGCHLD, NULL, &fd, NULL, 0);
	if (pid == 0)
		_exit(5);
	YES(pid > 0 && fd > 2);
	SHOW(fcntl(fd, F_GETFD));
	SHOW(waitid(P_PIDFD, fd, &info, WEXITED));
	SHOW(info.si_status);
	close(fd);
	SHOW(syscall(SYS_clone, CLONE_PIDFD | CLONE_PARENT_SETTID | SIGCHLD, NULL, &fd, NULL, 0));
	args.flags = CLONE_PIDFD | CLONE_PARENT_SETTID;
	args.exit_signal = SIGCHLD;
	args.pidfd = (uintptr_t)&fd;
	args.parent_tid = (uintptr_t)&tid;
	fd = -7;
	pid = syscall(SYS_clone3, &args, sizeof(args));
	if (pid == 0)
		_exit(6);
	YES(pid > 0 && fd > 2 && tid == pid);
	SHOW(waitid(P_PIDFD, fd, &info, WEXITED));
	SHOW(info.si_status);
	close(fd);
	args.pidfd = 0x10;
	SHOW(syscall(SYS_clone3, &args, sizeof(args)));
	SHOW(waitpid(-1, NULL, WNOHANG));
}

int main(void)
{
	opening();
	life();
	sending();
	taking();
	waiting();
	cloning();
	return 0;
}
