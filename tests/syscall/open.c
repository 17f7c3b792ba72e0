/* open, openat, creat: flags, modes, errors. */
#include "t.h"
#include <limits.h>

static void mode_of(const char *name)
{
	struct stat st;

	if (stat(name, &st))
		say("%s: %s", name, strerrorname_np(errno));
	else
		say("%s: %o size %ld", name, st.st_mode, (long)st.st_size);
}

int main(void)
{
	char name[PATH_MAX + 10], c;
	int fd, dir;

	scratch();
	umask(022);
	SHOW(open("none", O_RDONLY));
	SHOW(fd = open("a", O_CREAT | O_EXCL | O_WRONLY, 0666));
	mode_of("a");
	SHOW(read(fd, &c, 1));
	SHOW(write(fd, "abc", 3));
	close(fd);
	SHOW(open("a", O_CREAT | O_EXCL | O_WRONLY, 0666));
	SHOW(fd = open("a", O_RDONLY));
	SHOW(write(fd, "x", 1));
	close(fd);
	SHOW(fd = open("a", O_WRONLY | O_APPEND));
	lseek(fd, 0, SEEK_SET);
	SHOW(write(fd, "def", 3));
	SHOW(lseek(fd, 0, SEEK_CUR));
	close(fd);
	mode_of("a");
	SHOW(fd = open("a", O_WRONLY | O_TRUNC));
	close(fd);
	mode_of("a");
	mkdir("d", 0755);
	SHOW(open("d", O_WRONLY));
	SHOW(open("d", O_RDONLY | O_CREAT, 0600));
	SHOW(open("a", O_RDONLY | O_DIRECTORY));
	SHOW(open("a/b", O_RDONLY));
	SHOW(open("", O_RDONLY));
	SHOW(open(BAD, O_RDONLY));
	SHOW(dir = open("d", O_RDONLY | O_DIRECTORY));
	SHOW(read(dir, &c, 1));
	SHOW(fd = openat(dir, "x", O_CREAT | O_RDWR, 0640));
	close(fd);
	mode_of("d/x");
	SHOW(openat(99, "x", O_RDONLY));
	SHOW(openat(99, "/dev/null", O_RDONLY));
	fd = open("a", O_RDONLY);
	SHOW(openat(fd, "x", O_RDONLY));
	close(fd);
	SHOW(symlink("a", "link"));
	SHOW(open("link", O_RDONLY | O_NOFOLLOW));
	SHOW(fd = open("link", O_RDONLY));
	close(fd);
	SHOW(symlink("loop", "loop"));
	SHOW(open("loop", O_RDONLY));
	SHOW(symlink("nothing", "dangling"));
	SHOW(open("dangling", O_RDONLY));
	SHOW(open("dangling", O_CREAT | O_EXCL | O_WRONLY, 0600));
	SHOW(fd = open("dangling", O_CREAT | O_WRONLY, 0600));
	close(fd);
	mode_of("nothing");
	memset(name, 'n', sizeof(name));
	name[256] = 0;
	SHOW(open(name, O_CREAT | O_WRONLY, 0600));
	name[256] = 'n';
	name[PATH_MAX] = 0;
	SHOW(open(name, O_CREAT | O_WRONLY, 0600));
	SHOW(fd = open("a", O_PATH));
	SHOW(read(fd, &c, 1));
	SHOW(fcntl(fd, F_GETFL) & O_PATH ? 1 : 0);
	close(fd);
	SHOW(fd = open(".", O_TMPFILE | O_RDWR, 0600));
	SHOW(write(fd, "tmp", 3));
	close(fd);
	SHOW(fd = creat("c", 0777));
	close(fd);
	mode_of("c");
	SHOW(fd = open("d/", O_RDONLY));
	close(fd);
	SHOW(open("a/", O_RDONLY));
	SHOW(open("new/", O_CREAT | O_WRONLY, 0600));
	SHOW(open("d/../a", O_RDONLY) >= 0);
	SHOW(open("a/..", O_RDONLY));
	SHOW(access("a", R_OK | W_OK));
	SHOW(access("zzz", F_OK));
	SHOW(access("a", 077));
	SHOW(faccessat(dir, "x", R_OK, 0));
	return 0;
}
