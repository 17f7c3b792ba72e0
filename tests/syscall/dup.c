/* dup, dup2, dup3, fcntl F_DUPFD, F_GETFD/F_SETFD, F_GETFL/F_SETFL, close, close_range. */
#include "t.h"
#include <sys/resource.h>

int main(void)
{
	char c;
	int a, b;

	scratch();
	put_file("f", "0123456789");
	SHOW(a = open("f", O_RDWR));
	SHOW(b = dup(a));
	SHOW(read(a, &c, 1));
	SHOW(read(b, &c, 1));
	say("%c", c);
	SHOW(dup2(a, 20));
	SHOW(dup2(a, a));
	SHOW(dup2(77, 20));
	SHOW(dup2(77, 77));
	SHOW(dup2(a, -1));
	SHOW(dup2(a, 1 << 30));
	SHOW(dup3(a, a, 0));
	SHOW(dup3(a, 21, O_CLOEXEC));
	SHOW(dup3(a, 22, O_NONBLOCK));
	SHOW(fcntl(20, F_GETFD));
	SHOW(fcntl(21, F_GETFD));
	SHOW(fcntl(20, F_SETFD, FD_CLOEXEC));
	SHOW(fcntl(20, F_GETFD));
	SHOW(fcntl(a, F_GETFD));
	SHOW(fcntl(a, F_DUPFD, 30));
	SHOW(fcntl(a, F_DUPFD, 30));
	SHOW(fcntl(a, F_DUPFD_CLOEXEC, 30));
	SHOW(fcntl(32, F_GETFD));
	SHOW(fcntl(a, F_DUPFD, -1));
	SHOW(fcntl(a, F_GETFL) & (O_ACCMODE | O_APPEND | O_NONBLOCK));
	SHOW(fcntl(a, F_SETFL, O_APPEND | O_NONBLOCK));
	SHOW(fcntl(b, F_GETFL) & (O_ACCMODE | O_APPEND | O_NONBLOCK));
	SHOW(fcntl(a, 9999));
	SHOW(fcntl(99, F_GETFL));
	SHOW(close(b));
	SHOW(close(b));
	SHOW(close(-1));
	SHOW(dup(b));
	/* the lowest free number */
	SHOW(dup(a));
	SHOW(close(0));
	SHOW(dup(a));
	SHOW(close_range(20, 40, 0));
	SHOW(fcntl(21, F_GETFD));
	SHOW(close_range(40, 20, 0));
	struct rlimit rl = {8, 8};
	SHOW(setrlimit(RLIMIT_NOFILE, &rl));
	while (dup(a) >= 0)
		;
	say("%s", strerrorname_np(errno));
	SHOW(dup2(a, 8));
	SHOW(fcntl(a, F_DUPFD, 8));
	return 0;
}
