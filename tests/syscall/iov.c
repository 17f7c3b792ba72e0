/* preadv, pwritev, their flags, large vectors; xattr refusals; statvfs; sync; a removed cwd. */
#include "t.h"
#include <sys/statvfs.h>
#include <sys/uio.h>

int main(void)
{
	static char bytes[1024];
	struct iovec v[1024];
	char buf[64] = "", cwd[256];
	struct statvfs vfs;
	int fd;

	scratch();
	MUST(fd = open("f", O_CREAT | O_RDWR, 0600));
	for (int i = 0; i < 1024; i++) {
		bytes[i] = (char)i;
		v[i] = (struct iovec){&bytes[i], 1};
	}
	SHOW(writev(fd, v, 1024));
	v[0] = (struct iovec){buf, 3};
	v[1] = (struct iovec){buf + 3, 4};
	SHOW(preadv(fd, v, 2, 65));
	say("%s", buf);
	v[0] = (struct iovec){"one", 3};
	v[1] = (struct iovec){"two", 3};
	SHOW(pwritev(fd, v, 2, 2000));
	SHOW(lseek(fd, 0, SEEK_END));
	SHOW(pwritev2(fd, v, 2, 0, 0));
	SHOW(preadv2(fd, v, 1, 0, 0x8000));
	v[0].iov_len = SIZE_MAX;
	SHOW(writev(fd, v, 2));
	SHOW(preadv(fd, v, 2, -5));
	SHOW(lseek(fd, 10, SEEK_DATA));
	SHOW(lseek(fd, 5000, SEEK_DATA));
	SHOW(lseek(fd, 10, SEEK_HOLE));
	SHOW(statvfs(".", &vfs));
	YES(vfs.f_namemax == 255 && vfs.f_bsize > 0);
	sync();
	SHOW(syncfs(fd));
	SHOW(fallocate(fd, 0, 0, 10000));
	SHOW(lseek(fd, 0, SEEK_END));
	SHOW(fallocate(fd, 3, 0, 4096));
	SHOW(pread(fd, buf, 3, 65));
	YES(buf[0] == 0);
	SHOW(fallocate(fd, 0, 0, 0));
	SHOW(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED));
	SHOW(posix_fadvise(fd, 0, 0, 99) == EINVAL);
	SHOW(mkdir("gone", 0700));
	SHOW(chdir("gone"));
	SHOW(rmdir("../gone"));
	SHOW(getcwd(cwd, sizeof(cwd)) ? 1 : -1);
	SHOW(open("x", O_CREAT | O_WRONLY, 0600));
	SHOW(chdir(".."));
	return 0;
}
