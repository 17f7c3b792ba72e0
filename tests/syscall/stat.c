/* stat, lstat, fstat, fstatat, statx, chmod, chown, utimensat, umask, statfs. */
#include "t.h"
#include <sys/sysmacros.h>
#include <sys/vfs.h>

static void print(const char *name)
{
	struct stat st;

	if (stat(name, &st)) {
		say("%s: %s", name, strerrorname_np(errno));
		return;
	}
	say("%s: mode %o uid %d gid %d nlink %d size %ld mtime %ld.%09ld", name, st.st_mode,
	    st.st_uid, st.st_gid, (int)st.st_nlink, (long)st.st_size, (long)st.st_mtim.tv_sec,
	    st.st_mtim.tv_nsec);
}

int main(void)
{
	struct timespec ts[2] = {{100, 5}, {200, 7}};
	struct timespec now[2] = {{0, UTIME_OMIT}, {0, UTIME_OMIT}};
	struct statx sx;
	struct statfs fs;
	struct stat st;
	int fd;

	scratch();
	SHOW(umask(027));
	SHOW(umask(027));
	put_file("f", "12345");
	SHOW(utimensat(AT_FDCWD, "f", ts, 0));
	print("f");
	SHOW(utimensat(AT_FDCWD, "f", now, 0));
	SHOW(chmod("f", 04711));
	print("f");
	SHOW(chmod("none", 0));
	fd = open("f", O_RDONLY);
	SHOW(fchmod(fd, 0600));
	SHOW(futimens(fd, ts));
	print("f");
	SHOW(fchmodat(AT_FDCWD, "f", 0755, 0));
	SHOW(fstat(fd, &st));
	SHOW(st.st_mode);
	SHOW(st.st_blksize);
	SHOW(fstat(99, &st));
	SHOW(stat("f", BAD));
	SHOW(stat(BAD, &st));
	SHOW(fstatat(fd, "", &st, AT_EMPTY_PATH));
	SHOW(fstatat(fd, "x", &st, 0));
	SHOW(fstatat(AT_FDCWD, "", &st, 0));
	SHOW(fstatat(AT_FDCWD, "f", &st, 0x40000000));
	SHOW(statx(AT_FDCWD, "f", 0, STATX_BASIC_STATS, &sx));
	SHOW(sx.stx_mode);
	SHOW(sx.stx_size);
	SHOW(sx.stx_mtime.tv_sec);
	SHOW((sx.stx_mask & STATX_BASIC_STATS) == STATX_BASIC_STATS);
	SHOW(statx(AT_FDCWD, "none", 0, STATX_BASIC_STATS, &sx));
	SHOW(chown("f", 0, 0));
	SHOW(symlink("f", "l"));
	SHOW(lstat("l", &st));
	SHOW(S_ISLNK(st.st_mode));
	SHOW(lchown("l", 0, 0));
	SHOW(statfs(".", &fs));
	YES(fs.f_bsize > 0);
	SHOW(statfs("none", &fs));
	SHOW(stat("/dev/null", &st));
	SHOW(S_ISCHR(st.st_mode));
	say("%d:%d", major(st.st_rdev), minor(st.st_rdev));
	SHOW(stat("/", &st));
	SHOW(S_ISDIR(st.st_mode));
	SHOW(mkfifo("p", 0600));
	SHOW(stat("p", &st));
	SHOW(S_ISFIFO(st.st_mode));
	/* time moves on write */
	utimensat(AT_FDCWD, "f", ts, 0);
	close(fd);
	fd = open("f", O_WRONLY);
	write(fd, "x", 1);
	fstat(fd, &st);
	YES(st.st_mtime > 1000000);
	return 0;
}
