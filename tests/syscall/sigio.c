/* Signal-driven I/O: O_ASYNC, FIOASYNC, F_SETOWN, F_SETSIG on sockets and pipes. */
#include "t.h"
#include <sys/ioctl.h>
#include <sys/socket.h>

static volatile int plain, detailed;

static void on_io(int sig)
{
	(void)sig;
	plain++;
}

static void on_rt(int sig, siginfo_t *info, void *context)
{
	(void)context;
	detailed += info->si_signo == sig;
}

static void pair(int s[2], const char *name)
{
	char buf[8];
	int on = 1, off = 0;

	say("%s", name);
	SHOW(fcntl(s[0], F_GETOWN));
	SHOW(fcntl(s[0], F_SETOWN, getpid()));
	YES(fcntl(s[0], F_GETOWN) == getpid());
	plain = 0;
	SHOW(write(s[1], "a", 1));
	say("not yet: %d", plain);
	SHOW(ioctl(s[0], FIOASYNC, &on));
	YES(fcntl(s[0], F_GETFL) & O_ASYNC);
	SHOW(read(s[0], buf, 8));
	SHOW(write(s[1], "b", 1));
	say("signalled: %d", plain > 0);
	SHOW(read(s[0], buf, 8));
	SHOW(ioctl(s[0], FIOASYNC, &off));
	YES(fcntl(s[0], F_GETFL) & O_ASYNC);
	plain = 0;
	SHOW(write(s[1], "c", 1));
	say("no more: %d", plain);
	SHOW(fcntl(s[0], F_SETFL, fcntl(s[0], F_GETFL) | O_ASYNC));
	SHOW(fcntl(s[0], F_SETSIG, SIGRTMIN + 1));
	YES(fcntl(s[0], F_GETSIG) == SIGRTMIN + 1);
	detailed = 0;
	SHOW(read(s[0], buf, 8));
	SHOW(write(s[1], "d", 1));
	say("detailed: %d plain: %d", detailed > 0, plain);
	SHOW(close(s[1]));
	SHOW(close(s[0]));
}

int main(void)
{
	struct sigaction sa = {.sa_sigaction = on_rt, .sa_flags = SA_SIGINFO};
	int s[2], on = 1;

	signal(SIGIO, on_io);
	sigaction(SIGRTMIN + 1, &sa, NULL);
	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	pair(s, "socket pair");
	MUST(pipe(s));
	pair(s, "pipe");
	scratch();
	MUST(s[0] = open("f", O_CREAT | O_RDWR, 0600));
	SHOW(ioctl(s[0], FIOASYNC, &on));
	SHOW(fcntl(s[0], F_SETOWN, 999999));
	SHOW(fcntl(s[0], F_SETSIG, 999));
	SHOW(fcntl(-1, F_SETOWN, 1));
	return 0;
}
