/* mkdir, rmdir, getdents through readdir, rename, link, unlink, symlink, readlink, getcwd, chdir.
 */
#include "t.h"
#include <dirent.h>
#include <limits.h>
#include <sys/syscall.h>

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void list(const char *dir)
{
	DIR *d = opendir(dir);
	char *names[300];
	size_t n = 0;
	struct dirent *e;

	if (!d) {
		say("%s: %s", dir, strerrorname_np(errno));
		return;
	}
	while ((e = readdir(d)) && n < 300) {
		static const char kinds[] = "?p?c?d?b?-?l?s?w";
		char *s = malloc(300);

		snprintf(s, 300, "%s %c", e->d_name, kinds[e->d_type & 15]);
		names[n++] = s;
	}
	closedir(d);
	qsort(names, n, sizeof(*names), by_name);
	say("%s:", dir);
	for (size_t i = 0; i < n; i++)
		say("  %s", names[i]);
}

static void many(void)
{
	char name[64], seen[500] = {0};
	int n = 0, twice = 0;
	struct dirent *e;
	DIR *d;

	MUST(mkdir("many", 0700));
	for (int i = 0; i < 500; i++) {
		snprintf(name, sizeof(name), "many/file-with-a-longer-name-%d", i);
		close(open(name, O_CREAT | O_WRONLY, 0600));
	}
	d = opendir("many");
	while ((e = readdir(d)))
		if (e->d_name[0] == 'f') {
			int i = atoi(strrchr(e->d_name, '-') + 1);

			twice += seen[i];
			seen[i] = 1;
			n++;
			/* removing while reading must not make it lose others */
			unlinkat(dirfd(d), e->d_name, 0);
		}
	say("many: %d, twice %d", n, twice);
	rewinddir(d);
	n = 0;
	while ((e = readdir(d)))
		n++;
	SHOW(n);
	closedir(d);
	SHOW(rmdir("many"));
}

int main(void)
{
	char buf[PATH_MAX], top[PATH_MAX];
	struct stat st, st2;
	int fd;

	scratch();
	umask(022);
	getcwd(top, sizeof(top));
	SHOW(mkdir("d", 0777));
	SHOW(mkdir("d", 0777));
	SHOW(mkdir("x/y", 0777));
	SHOW(mkdir("d/e", 0700));
	SHOW(stat("d", &st));
	SHOW(st.st_mode);
	SHOW(st.st_nlink);
	put_file("f", "text");
	SHOW(mkdir("f/g", 0700));
	SHOW(link("f", "g"));
	SHOW(stat("f", &st));
	SHOW(stat("g", &st2));
	SHOW(st.st_nlink);
	YES(st.st_ino == st2.st_ino && st.st_dev == st2.st_dev);
	SHOW(link("f", "g"));
	SHOW(link("none", "h"));
	SHOW(link("d", "h"));
	SHOW(symlink("f", "s"));
	SHOW(symlink("f", "s"));
	SHOW(readlink("s", buf, sizeof(buf)));
	SHOW(readlink("s", buf, 1));
	SHOW(readlink("f", buf, 1));
	SHOW(readlink("none", buf, 1));
	SHOW(lstat("s", &st));
	SHOW(st.st_mode);
	SHOW(st.st_size);
	list(".");
	SHOW(rename("f", "d/f"));
	SHOW(rename("d", "d/e/z"));
	SHOW(rename("g", "d"));
	SHOW(rename("d", "g"));
	SHOW(mkdir("empty", 0700));
	SHOW(rename("d/e", "empty"));
	SHOW(rename("empty", "d"));
	SHOW(rename("none", "x"));
	SHOW(rename("g", "d/f"));
	list("d");
	SHOW(syscall(SYS_renameat2, AT_FDCWD, "d/f", AT_FDCWD, "s", 1));
	SHOW(rmdir("d"));
	SHOW(rmdir("none"));
	SHOW(rmdir("d/f"));
	SHOW(unlink("d"));
	SHOW(unlink("none"));
	SHOW(rmdir("."));
	SHOW(chdir("d"));
	getcwd(buf, sizeof(buf));
	say("%s", buf + strlen(top));
	SHOW(chdir("f"));
	SHOW(chdir("none"));
	SHOW(access("../d/f", F_OK));
	SHOW(getcwd(buf, 2) ? 1 : -1);
	SHOW(chdir(".."));
	SHOW(fd = open("d", O_RDONLY));
	SHOW(fchdir(fd));
	SHOW(unlinkat(fd, "f", 0));
	SHOW(unlinkat(AT_FDCWD, "../empty", 0));
	SHOW(unlinkat(AT_FDCWD, "../empty", AT_REMOVEDIR));
	SHOW(chdir(top));
	list(".");
	/* a file lives on while it is open */
	put_file("gone", "still here");
	fd = open("gone", O_RDWR);
	SHOW(unlink("gone"));
	SHOW(read(fd, buf, 64));
	fstat(fd, &st);
	SHOW(st.st_nlink);
	many();
	SHOW(rmdir("d"));
	return 0;
}
