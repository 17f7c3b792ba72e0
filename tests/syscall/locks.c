/* flock, fcntl record locks, between processes. */
#include "t.h"
#include <sys/file.h>

static int try_lock(const char *name, short type, off_t from, off_t len)
{
	struct flock fl = {.l_type = type, .l_whence = SEEK_SET, .l_start = from, .l_len = len};
	int fd = open(name, O_RDWR), r = fcntl(fd, F_SETLK, &fl);

	return r == 0 ? 0 : errno == EAGAIN || errno == EACCES ? 1 : 2;
}

static int in_child(int (*f)(const char *, short, off_t, off_t), short type, off_t from, off_t len)
{
	int st;
	pid_t pid = fork();

	if (pid == 0)
		_exit(f("f", type, from, len));
	waitpid(pid, &st, 0);
	return WEXITSTATUS(st);
}

int main(void)
{
	struct flock fl = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 10, .l_len = 10};
	int a, b, st;

	scratch();
	put_file("f", "0123456789012345678901234567890");
	a = open("f", O_RDWR);
	b = open("f", O_RDWR);
	SHOW(flock(a, LOCK_EX));
	SHOW(flock(b, LOCK_SH | LOCK_NB));
	SHOW(flock(a, LOCK_SH));
	SHOW(flock(b, LOCK_SH | LOCK_NB));
	SHOW(flock(a, LOCK_UN));
	SHOW(flock(b, LOCK_EX | LOCK_NB));
	SHOW(flock(99, LOCK_EX));
	SHOW(close(b));
	SHOW(flock(a, LOCK_EX | LOCK_NB));
	SHOW(flock(a, LOCK_UN));

	SHOW(fcntl(a, F_SETLK, &fl));
	SHOW(in_child(try_lock, F_WRLCK, 15, 1));
	SHOW(in_child(try_lock, F_RDLCK, 15, 1));
	SHOW(in_child(try_lock, F_WRLCK, 20, 5));
	fl.l_start = 12;
	fl.l_len = 2;
	fl.l_type = F_UNLCK;
	SHOW(fcntl(a, F_SETLK, &fl));
	SHOW(in_child(try_lock, F_WRLCK, 12, 2));
	SHOW(in_child(try_lock, F_WRLCK, 14, 2));
	pid_t pid = fork();
	if (pid == 0) {
		struct flock q = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 0};

		b = open("f", O_RDWR);
		SHOW(fcntl(b, F_GETLK, &q));
		say("type %d start %ld len %ld", q.l_type, (long)q.l_start, (long)q.l_len);
		YES(q.l_pid == getppid());
		_exit(0);
	}
	waitpid(pid, &st, 0);
	fl.l_type = F_RDLCK;
	fl.l_start = 0;
	fl.l_len = 0;
	SHOW(fcntl(a, F_SETLK, &fl));
	SHOW(in_child(try_lock, F_RDLCK, 5, 5));
	SHOW(in_child(try_lock, F_WRLCK, 5, 5));
	close(a);
	SHOW(in_child(try_lock, F_WRLCK, 0, 0));
	a = open("f", O_RDONLY);
	fl.l_type = F_WRLCK;
	SHOW(fcntl(a, F_SETLK, &fl));
	fl.l_type = 77;
	SHOW(fcntl(a, F_SETLK, &fl));
	SHOW(fcntl(a, F_SETLK, BAD));
	return 0;
}
