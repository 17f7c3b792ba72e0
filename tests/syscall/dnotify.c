/* fcntl(F_NOTIFY): signals about changes in a directory; pidfd_send_signal to /proc/PID. */
#include "t.h"
#include <sys/syscall.h>

static volatile sig_atomic_t count, last_fd, last_code;

static void handler(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)context;
	count++;
	last_fd = info->si_fd;
	last_code = info->si_code;
}

static int dir;

static void told(const char *what)
{
	say("%s: %d signals%s%s", what, (int)count, count > 0 && last_fd == dir ? ", our fd" : "",
	    count > 0 && last_code == POLL_MSG ? ", POLL_MSG" : "");
	count = 0;
	last_fd = -1;
	last_code = 0;
}

static void plain(int sig)
{
	(void)sig;
	count++;
}

static void to_proc(void)
{
	char path[64];
	int status, fd;
	pid_t pid = fork();

	if (pid == 0) {
		pause();
		_exit(0);
	}
	sprintf(path, "/proc/%d", pid);
	MUST(fd = open(path, O_RDONLY | O_DIRECTORY));
	SHOW(syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0));
	SHOW(syscall(SYS_pidfd_send_signal, dir, 0, NULL, 0));
	SHOW(syscall(SYS_pidfd_send_signal, fd, SIGTERM, NULL, 0));
	MUST(waitpid(pid, &status, 0));
	show_status("child", status);
	SHOW(syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0));
}

int main(void)
{
	struct sigaction sa = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
	struct sigaction simple = {.sa_handler = plain};
	int file;

	scratch();
	MUST(mkdir("d", 0755));
	MUST(dir = open("d", O_RDONLY));
	MUST(sigaction(SIGIO, &simple, NULL));
	MUST(sigaction(SIGRTMIN, &sa, NULL));
	put_file("plain", "x");
	MUST(file = open("plain", O_RDONLY));
	SHOW(fcntl(file, F_NOTIFY, DN_CREATE));
	SHOW(fcntl(file, F_NOTIFY, 0));
	SHOW(fcntl(99, F_NOTIFY, DN_CREATE));
	SHOW(fcntl(dir, F_NOTIFY, DN_CREATE));
	SHOW(fcntl(dir, F_GETOWN) == getpid());
	put_file("d/one", "1");
	told("create");
	put_file("d/two", "2");
	told("once only");
	MUST(fcntl(dir, F_SETSIG, SIGRTMIN));
	SHOW(fcntl(dir, F_NOTIFY, DN_DELETE | DN_MODIFY | DN_MULTISHOT));
	put_file("d/three", "3");
	told("write");
	MUST(unlink("d/one"));
	told("unlink");
	MUST(rename("d/two", "d/2"));
	told("rename, not asked");
	SHOW(fcntl(dir, F_NOTIFY, DN_RENAME | DN_MULTISHOT));
	MUST(rename("d/2", "d/two"));
	told("rename");
	MUST(chmod("d/two", 0600));
	told("chmod, not asked");
	SHOW(fcntl(dir, F_NOTIFY, DN_ATTRIB | DN_MULTISHOT));
	MUST(chmod("d/two", 0644));
	told("chmod");
	SHOW(fcntl(dir, F_NOTIFY, 0));
	MUST(unlink("d/two"));
	told("none");
	SHOW(fcntl(dir, F_NOTIFY, DN_DELETE | DN_MULTISHOT));
	close(dir);
	MUST(unlink("d/three"));
	told("closed");
	MUST(dir = open("d", O_RDONLY));
	to_proc();
	return 0;
}
