/* /dev/null, zero, full, random, urandom, fd; isatty and terminal calls on what is none. */
#include "t.h"
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <termios.h>

int main(void)
{
	static char buf[100000];
	struct termios tio;
	struct winsize ws;
	struct stat st;
	int fd, p[2];
	char *m;

	SHOW(fd = open("/dev/null", O_RDWR));
	SHOW(read(fd, buf, 10));
	SHOW(write(fd, buf, sizeof(buf)));
	SHOW(lseek(fd, 5, SEEK_SET));
	SHOW(isatty(fd));
	SHOW(errno);
	close(fd);
	SHOW(fd = open("/dev/zero", O_RDWR));
	memset(buf, 1, sizeof(buf));
	SHOW(read(fd, buf, sizeof(buf)));
	SHOW(buf[0] | buf[99999]);
	SHOW(write(fd, buf, 5));
	m = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	YES(m != MAP_FAILED && m[100] == 0);
	close(fd);
	SHOW(fd = open("/dev/full", O_WRONLY));
	SHOW(write(fd, buf, 5));
	close(fd);
	SHOW(fd = open("/dev/urandom", O_RDONLY));
	SHOW(read(fd, buf, 1000));
	int zeros = 0;
	for (int i = 0; i < 1000; i++)
		zeros += buf[i] == 0;
	YES(zeros < 30);
	close(fd);
	SHOW(fd = open("/dev/random", O_RDONLY));
	SHOW(read(fd, buf, 16));
	close(fd);
	MUST(pipe(p));
	SHOW(isatty(p[0]));
	SHOW(tcgetattr(p[0], &tio));
	SHOW(ioctl(p[0], TIOCGWINSZ, &ws));
	SHOW(ioctl(99, TIOCGWINSZ, &ws));
	snprintf(buf, sizeof(buf), "/dev/fd/%d", p[0]);
	SHOW(fd = open(buf, O_RDONLY));
	write(p[1], "via", 3);
	SHOW(read(fd, buf, 10));
	SHOW(stat("/dev/stdin", &st));
	SHOW(access("/dev/nothing", F_OK));
	SHOW(stat("/dev/null", &st));
	say("%o", st.st_mode);
	SHOW(mkdir("/dev/shm", 0777) == 0 || errno == EEXIST);
	int v = 0;
	SHOW(ioctl(p[0], FIONREAD, &v));
	SHOW(ioctl(p[0], FIONBIO, &(int){1}));
	SHOW(read(p[0], buf, 1));
	SHOW(ioctl(p[0], FIOCLEX));
	SHOW(fcntl(p[0], F_GETFD));
	return 0;
}
