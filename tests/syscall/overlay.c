/* Writing where the root has files already: change, truncate, rename, remove and list them. */
#include "t.h"
#include <dirent.h>

static int entries(const char *dir, const char *name)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	int n = 0;

	while (d && (e = readdir(d)))
		n += !strcmp(e->d_name, name);
	if (d)
		closedir(d);
	return n;
}

/*
 * argv[1] is a directory that the runner made: files a, b, c, sub/inner and tree/x/y. Natively it
 * is a copy; in Leat it is the host's own, which the runner then finds unchanged.
 */
int main(int argc, char **argv)
{
	char buf[64] = "";
	struct stat st;
	int fd;

	if (argc < 2 || chdir(argv[1])) {
		say("usage: overlay DIR");
		return 98;
	}
	SHOW(entries(".", "a"));
	SHOW(fd = open("a", O_RDWR));
	SHOW(read(fd, buf, 64));
	say("%s", buf);
	SHOW(pwrite(fd, "X", 1, 0));
	SHOW(pread(fd, buf, 64, 0));
	say("%s", buf);
	close(fd);
	SHOW(fd = open("a", O_RDONLY));
	SHOW(read(fd, buf, 1));
	say("%.1s", buf);
	close(fd);
	SHOW(fd = open("b", O_WRONLY | O_APPEND));
	SHOW(write(fd, "more", 4));
	close(fd);
	SHOW(stat("b", &st));
	SHOW(st.st_size);
	SHOW(truncate("b", 2));
	SHOW(stat("b", &st));
	SHOW(st.st_size);
	SHOW(rename("a", "sub/a"));
	SHOW(access("a", F_OK));
	SHOW(entries(".", "a"));
	SHOW(entries("sub", "a"));
	SHOW(unlink("b"));
	SHOW(open("b", O_RDONLY));
	SHOW(entries(".", "b"));
	SHOW(fd = open("b", O_CREAT | O_EXCL | O_WRONLY, 0600));
	close(fd);
	SHOW(entries(".", "b"));
	SHOW(stat("b", &st));
	SHOW(st.st_size);
	SHOW(rmdir("sub"));
	SHOW(unlink("sub/a"));
	SHOW(unlink("sub/inner"));
	SHOW(rmdir("sub"));
	SHOW(mkdir("sub", 0700));
	SHOW(entries("sub", "inner"));
	SHOW(chmod("c", 0700));
	SHOW(stat("c", &st));
	SHOW(st.st_mode);
	fd = open("c", O_RDONLY);
	SHOW(read(fd, buf, 64));
	SHOW(link("c", "d"));
	SHOW(stat("d", &st));
	SHOW(st.st_size);
	SHOW(symlink("c", "e"));
	SHOW(readlink("e", buf, 64));
	SHOW(rename("tree", "tree2"));
	SHOW(access("tree2/x/y", F_OK));
	SHOW(access("tree/x/y", F_OK));
	return 0;
}
