/*
 * mounts.c - mount(2), umount2(2), pivot_root(2); locks that wait for each other; fchmodat2(2),
 * sync_file_range(2).
 */
#include <sched.h>
#include <sys/mount.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include "t.h"

static void show_text(const char *name)
{
	char buf[64];
	int fd = open(name, O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, buf, sizeof(buf));

	say("%s: %s", name, n < 0 ? strerrorname_np(errno) : "");
	if (n > 0)
		say("  '%.*s'", (int)n, buf);
	close(fd);
}

/* The line of mountinfo about a place below our directory: without numbers and file system. */
static void show_info(const char *place)
{
	char line[1024], at[256] = "", opts[256] = "", type[64] = "", *rest;
	FILE *f = fopen("/proc/self/mountinfo", "r");
	bool any = false;

	while (f && fgets(line, sizeof(line), f)) {
		size_t n;

		if (sscanf(line, "%*d %*d %*s %*s %255s %255s", at, opts) != 2)
			continue;
		n = strlen(at);
		if (n < strlen(place) || strcmp(at + n - strlen(place), place) != 0)
			continue;
		rest = strstr(line, " - ");
		sscanf(rest, " - %63s", type);
		say("mounted at %s: %.2s%s%s%s", place, opts,
		    strstr(opts, "nosuid") ? " nosuid" : "", strstr(opts, "nodev") ? " nodev" : "",
		    strstr(opts, "noexec") ? " noexec" : "");
		any = true;
	}
	if (!any)
		say("not mounted at %s", place);
	if (f)
		fclose(f);
}

static void tmpfs(void)
{
	struct statfs fs;
	struct stat st, above;
	int fd;

	mkdir("m", 0755);
	put_file("m/below", "below");
	SHOW(mount("none", "m", "tmpfs", 0, "mode=0700"));
	show_info("/m");
	show_text("m/below");
	put_file("m/file", "in tmpfs");
	mkdir("m/dir", 0755);
	SHOW(stat("m", &st));
	say("mode %o", st.st_mode & 07777);
	stat(".", &above);
	YES(st.st_dev != above.st_dev);
	SHOW(statfs("m", &fs));
	YES(fs.f_type == 0x01021994);
	SHOW(link("m/file", "other"));
	SHOW(rename("m/file", "other"));
	SHOW(rmdir("m"));
	SHOW(rename("m", "n"));
	fd = open("m/file", O_RDONLY);
	SHOW(umount("m"));
	close(fd);
	SHOW(umount2("m/dir", 0));
	SHOW(umount2("m", 0x100));
	SHOW(mount("none", "m", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL));
	show_info("/m");
	SHOW(open("m/new", O_CREAT | O_WRONLY, 0600));
	SHOW(unlink("m/file"));
	SHOW(chmod("m/file", 0600));
	SHOW(mount("none", "m", NULL, MS_REMOUNT | MS_BIND | MS_NOEXEC | MS_NODEV | MS_NOSUID,
		   NULL));
	show_info("/m");
	mknod("m/null", S_IFCHR | 0666, makedev(1, 3));
	SHOW(open("m/null", O_RDONLY));
	put_file("m/script", "#!/bin/sh\n");
	chmod("m/script", 0755);
	SHOW(execl("m/script", "script", NULL));
	SHOW(umount("m"));
	show_info("/m");
	show_text("m/below");
	SHOW(umount("m"));
}

static void binds(void)
{
	mkdir("src", 0755);
	mkdir("src/sub", 0755);
	mkdir("dst", 0755);
	put_file("src/f", "from the source");
	put_file("file", "a file");
	put_file("target", "hidden");
	SHOW(mount("none", "src/sub", "tmpfs", 0, NULL));
	put_file("src/sub/deep", "deep");
	SHOW(mount("src", "dst", NULL, MS_BIND, NULL));
	show_text("dst/f");
	show_text("dst/sub/deep");
	put_file("dst/g", "through the bind");
	show_text("src/g");
	SHOW(umount("dst"));
	show_text("dst/f");
	SHOW(mount("src", "dst", NULL, MS_BIND | MS_REC, NULL));
	show_text("dst/sub/deep");
	SHOW(umount("dst"));
	SHOW(umount2("dst", MNT_DETACH));
	show_text("dst/f");
	SHOW(mount("file", "target", NULL, MS_BIND, NULL));
	show_text("target");
	SHOW(mount("file", "dst", NULL, MS_BIND, NULL));
	SHOW(mount("src", "target", NULL, MS_BIND, NULL));
	SHOW(umount("target"));
	show_text("target");
	SHOW(mount("src/sub", "dst", NULL, MS_MOVE, NULL));
	show_text("dst/deep");
	show_text("src/sub/deep");
	char top[256];

	getcwd(top, sizeof(top));
	SHOW(chdir("dst"));
	SHOW(umount2(".", MNT_DETACH));
	show_text("deep");
	SHOW(chdir(".."));
	show_text("deep");
	MUST(chdir(top));
	SHOW(mount("none", "nowhere", "tmpfs", 0, NULL));
	SHOW(mount("none", "src", "no-such-type", 0, NULL));
	SHOW(mount("none", "file", "tmpfs", 0, NULL));
	SHOW(mount("none", BAD, "tmpfs", 0, NULL));
	SHOW(mount("none", "src", NULL, 0, NULL));
	SHOW(mount("nowhere", "src", NULL, MS_BIND, NULL));
	SHOW(mount("none", "src", NULL, MS_PRIVATE, NULL));
}

static void pivot(void)
{
	char buf[16];
	int status;
	pid_t pid = fork();

	if (!pid) {
		if (syscall(SYS_unshare, CLONE_NEWNS) != 0 && errno != ENOSYS)
			_exit(1);
		mkdir("newroot", 0755);
		SHOW(mount("none", "newroot", "tmpfs", 0, NULL));
		mkdir("newroot/old", 0755);
		put_file("newroot/here", "the new root");
		SHOW(syscall(SYS_pivot_root, "newroot", "src"));
		SHOW(syscall(SYS_pivot_root, "src", "src"));
		SHOW(syscall(SYS_pivot_root, "newroot", "newroot/old"));
		SHOW(chdir("/"));
		show_text("/here");
		SHOW(access("/old/etc", F_OK));
		SHOW(access("/etc", F_OK));
		SHOW(umount2("/old", MNT_DETACH));
		SHOW(access("/old/etc", F_OK));
		YES(getcwd(buf, sizeof(buf)) && strcmp(buf, "/") == 0);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	show_status("pivot", status);
}

static int lock(int fd, int cmd, int type, int at)
{
	struct flock fl = {.l_type = (short)type, .l_whence = SEEK_SET, .l_start = at, .l_len = 1};

	return fcntl(fd, cmd, &fl);
}

static void deadlocks(void)
{
	int fd, p[2], status;
	char c;
	pid_t pid;

	put_file("l", "12345");
	fd = open("l", O_RDWR);
	pipe(p);
	SHOW(lock(fd, F_SETLK, F_WRLCK, 0));
	pid = fork();
	if (!pid) {
		SHOW(lock(fd, F_SETLK, F_WRLCK, 1));
		write(p[1], "x", 1);
		SHOW(lock(fd, F_SETLKW, F_WRLCK, 0));
		_exit(0);
	}
	read(p[0], &c, 1);
	sleep_ms(300);
	SHOW(lock(fd, F_SETLKW, F_WRLCK, 1));
	lock(fd, F_SETLK, F_UNLCK, 0);
	waitpid(pid, &status, 0);
	SHOW(lock(fd, F_SETLKW, F_WRLCK, 1));
	close(fd);
}

static void small(void)
{
	struct stat st;
	int fd;

	SHOW(syscall(452, AT_FDCWD, "l", 0604, 0));
	stat("l", &st);
	say("%o", st.st_mode & 07777);
	symlink("l", "sl");
	SHOW(syscall(452, AT_FDCWD, "sl", 0640, AT_SYMLINK_NOFOLLOW));
	SHOW(syscall(452, AT_FDCWD, "l", 0640, AT_SYMLINK_NOFOLLOW));
	SHOW(syscall(452, AT_FDCWD, "l", 0640, 0x4000));
	SHOW(syscall(452, AT_FDCWD, "nowhere", 0640, 0));
	SHOW(syscall(452, -1, "l", 0640, 0));
	fd = open("l", O_RDWR);
	SHOW(syscall(452, fd, "", 0600, AT_EMPTY_PATH));
	stat("l", &st);
	say("%o", st.st_mode & 07777);
	SHOW(sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE));
	SHOW(sync_file_range(fd, 0, 0, 0));
	SHOW(sync_file_range(fd, -1, 0, 0));
	SHOW(sync_file_range(fd, 0, -1, 0));
	SHOW(sync_file_range(fd, 0, 0, 0x100));
	SHOW(sync_file_range(-1, 0, 0, 0));
	close(fd);
	int p[2];
	pipe(p);
	SHOW(sync_file_range(p[0], 0, 0, 0));
}

int main(void)
{
	/* natively in a table of mounts of its own */
	if (syscall(SYS_unshare, CLONE_NEWNS) != 0 && errno != ENOSYS) {
		say("setup failed: unshare");
		return 98;
	}
	MUST(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	scratch();
	tmpfs();
	binds();
	deadlocks();
	small();
	pivot();
	if (setuid(1000) == 0) {
		SHOW(mount("none", "m", "tmpfs", 0, NULL));
		SHOW(umount("m"));
		SHOW(syscall(SYS_pivot_root, ".", "."));
	}
	return 0;
}
