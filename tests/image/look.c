/*
 * look.c - looks at the tree it is started in, in as many ways as a program has, and prints what it
 * sees: the same for a folder and for an image made of it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define PAGE 4096UL

static sigjmp_buf fault;

static void on_bus(int sig)
{
	(void)sig;
	siglongjmp(fault, 1);
}

static uint64_t sum(const unsigned char *p, size_t n)
{
	uint64_t s = 14695981039346656037UL;

	while (n-- > 0)
		s = (s ^ *p++) * 1099511628211UL;
	return s;
}

/* Mapped and read must be the same; the rest of the last page is zero, and behind it is SIGBUS. */
static void look_mapped(const char *path, int fd, const unsigned char *bytes, size_t size,
			int flags)
{
	size_t len = (size + PAGE - 1) / PAGE * PAGE;
	unsigned char *map = mmap(NULL, len + PAGE, PROT_READ, flags, fd, 0);

	if (map == MAP_FAILED) {
		printf("%s: mmap: %s\n", path, strerror(errno));
		return;
	}
	if (memcmp(map, bytes, size) != 0)
		printf("%s: mapped bytes differ\n", path);
	for (size_t i = size; i < len; i++)
		if (map[i])
			printf("%s: no zero behind the end\n", path);
	if (sigsetjmp(fault, 1) == 0) {
		volatile unsigned char *beyond = map + len;

		printf("%s: behind the end: %u\n", path, *beyond);
	} else {
		printf("%s: SIGBUS behind the end\n", path);
	}
	munmap(map, len + PAGE);
}

static void look_file(const char *path, const struct stat *st)
{
	int fd = open(path, O_RDONLY);
	size_t size = (size_t)st->st_size;
	unsigned char *bytes = malloc(size + 1);
	ssize_t got = fd < 0 ? -1 : pread(fd, bytes, size + 1, 0);

	if (got != st->st_size) {
		printf("%s: read %zd: %s\n", path, got, strerror(errno));
	} else {
		printf("%s: sum %016lx\n", path, sum(bytes, size));
		if (size > 5) { /* the many small ones are all alike */
			look_mapped(path, fd, bytes, size, MAP_PRIVATE);
			look_mapped(path, fd, bytes, size, MAP_SHARED);
		}
		if (size > 10 && (pread(fd, bytes, 5, (off_t)size - 3) != 3 ||
				  lseek(fd, -2, SEEK_END) != st->st_size - 2))
			printf("%s: its end is not its end\n", path);
	}
	free(bytes);
	if (fd >= 0)
		close(fd);
}

static void look_xattrs(const char *path)
{
	char names[4096], value[4096];
	ssize_t n = llistxattr(path, names, sizeof(names));

	for (char *name = names; n > 0 && name < names + n; name += strlen(name) + 1) {
		ssize_t got = lgetxattr(path, name, value, sizeof(value));

		printf("%s: %s: %zd %016lx\n", path, name, got,
		       sum((unsigned char *)value, got > 0 ? (size_t)got : 0));
	}
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static void look(const char *path, const char *xattrs)
{
	char below[4096], link[4096];
	struct dirent **list;
	struct stat st;
	ssize_t got;
	int n;

	if (lstat(path, &st) < 0) {
		printf("%s: %s\n", path, strerror(errno));
		return;
	}
	printf("%s: %o %u:%u %lx %ld %ld.%09ld\n", path, st.st_mode, st.st_uid, st.st_gid,
	       st.st_rdev, S_ISDIR(st.st_mode) ? 0 : st.st_size, st.st_mtim.tv_sec,
	       st.st_mtim.tv_nsec);
	if (xattrs)
		look_xattrs(path);
	if (S_ISREG(st.st_mode)) {
		look_file(path, &st);
	} else if (S_ISLNK(st.st_mode)) {
		got = readlink(path, link, sizeof(link));
		printf("%s -> %.*s\n", path, (int)got, link);
	} else if (S_ISDIR(st.st_mode)) {
		n = scandir(path, &list, NULL, by_name);
		for (int i = 0; i < n; i++) {
			if (strcmp(list[i]->d_name, ".") != 0 &&
			    strcmp(list[i]->d_name, "..") != 0) {
				snprintf(below, sizeof(below), "%s/%s", path, list[i]->d_name);
				printf("%s: type %d\n", below, list[i]->d_type);
				look(below, xattrs);
			}
			free(list[i]);
		}
		if (n >= 0)
			free(list);
		snprintf(below, sizeof(below), "%s/not-there", path);
		if (lstat(below, &st) == 0 || errno != ENOENT)
			printf("%s is there\n", below);
	}
}

/* The copy that a writer gets is its own, whole, and the mapping before it keeps its bytes. */
static void change(const char *path)
{
	int fd = open(path, O_RDWR);
	struct stat st;
	char *map, byte;

	if (fd < 0 || fstat(fd, &st) < 0) {
		printf("%s: %s\n", path, strerror(errno));
		return;
	}
	map = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	map[1] = '!';
	pread(fd, &byte, 1, 1);
	printf("%s: written through the mapping: %c\n", path, byte);
	pwrite(fd, "?", 1, st.st_size - 1);
	printf("%s: written: %c\n", path, map[st.st_size - 1]);
	ftruncate(fd, 1);
	fstat(fd, &st);
	printf("%s: cut to %ld\n", path, st.st_size);
	close(fd);
	if (setxattr(path, "user.mine", "x", 1, 0) == 0)
		look_xattrs(path);
}

int main(int argc, char **argv)
{
	signal(SIGBUS, on_bus);
	if (argc > 2 && strcmp(argv[1], "change") == 0)
		for (int i = 2; i < argc; i++)
			change(argv[i]);
	else
		look(argc > 1 ? argv[1] : ".", argc > 2 ? argv[2] : NULL);
	return 0;
}
