/* mmap, munmap, mprotect, madvise, msync, mremap, brk, mincore: memory and files. */
#include "t.h"
#include <sys/mman.h>
#include <sys/syscall.h>

#define PAGE 4096UL

static void file_maps(void)
{
	char *a, *b, *c, buf[16] = "";
	int fd, st;
	pid_t pid;

	put_file("f", "0123456789");
	fd = open("f", O_RDWR);
	a = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	b = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	c = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
	YES(a != MAP_FAILED && b != MAP_FAILED && c != MAP_FAILED);
	say("%.10s", a);
	YES(a[10] == 0 && a[4095] == 0);
	b[0] = 'P';
	a[1] = 'S';
	say("%.3s %.1s %.3s", a, b, c);
	SHOW(pread(fd, buf, 10, 0));
	say("%s", buf);
	SHOW(pwrite(fd, "W", 1, 2));
	say("%.3s", a);
	SHOW(msync(a, PAGE, MS_SYNC));
	SHOW(msync(a + 1, PAGE, MS_SYNC));
	pid = fork();
	if (pid == 0) {
		a[3] = 'C';
		b[3] = 'x';
		_exit(0);
	}
	waitpid(pid, &st, 0);
	say("%.4s %c", a, b[3]);
	SHOW(close(fd));
	say("%.4s", a);
	SHOW(munmap(a, PAGE));
	SHOW(munmap(b, PAGE));
	SHOW(munmap(c, PAGE));
	fd = open("f", O_RDONLY);
	SHOW(mmap(NULL, PAGE, PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED ? -1 : 0);
	b = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	YES(b != MAP_FAILED);
	SHOW(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 1) == MAP_FAILED ? -1 : 0);
	close(fd);
	fd = open("f", O_WRONLY);
	SHOW(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0) == MAP_FAILED ? -1 : 0);
	close(fd);
}

static void anonymous(void)
{
	char *a, *b;
	int st;
	pid_t pid;

	a = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	YES(a != MAP_FAILED && ((uintptr_t)a & 4095) == 0);
	memset(a, 7, 8 * PAGE);
	SHOW(munmap(a + 2 * PAGE, PAGE));
	SHOW(mprotect(a, 8 * PAGE, PROT_READ));
	SHOW(mprotect(a, 2 * PAGE, PROT_READ));
	SHOW(mprotect(a + 1, PAGE, PROT_READ));
	SHOW(mprotect(a, PAGE, 0x100));
	b = mmap(a + 2 * PAGE, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
		 -1, 0);
	YES(b == a + 2 * PAGE);
	b = mmap(a + 2 * PAGE, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
		 -1, 0);
	SHOW(b == MAP_FAILED ? -1 : 0);
	b = mmap(a + 3 * PAGE, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	YES(b == a + 3 * PAGE && b[0] == 0);
	SHOW(madvise(a + 4 * PAGE, PAGE, MADV_DONTNEED));
	YES(a[4 * PAGE] == 0 && a[5 * PAGE] == 7);
	SHOW(madvise(a + 1, PAGE, MADV_DONTNEED));
	SHOW(madvise(a, PAGE, 9999));
	SHOW(munmap(a, 8 * PAGE));
	SHOW(munmap(a, 8 * PAGE));
	SHOW(munmap(a + 1, PAGE));
	SHOW(munmap(a, 0));
	SHOW(madvise(a, PAGE, MADV_DONTNEED));
	SHOW(mmap(NULL, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? -1 : 0);
	SHOW(mmap(NULL, PAGE, PROT_READ, MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? -1 : 0);
	SHOW(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, -1, 0) == MAP_FAILED ? -1 : 0);
	SHOW(mmap(NULL, 1UL << 60, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ?
		     -1 :
		     0);

	a = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	b = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pid = fork();
	if (pid == 0) {
		strcpy(a, "from the child");
		strcpy(b, "from the child");
		_exit(0);
	}
	waitpid(pid, &st, 0);
	say("shared [%s] private [%s]", a, b);
}

static void moving(void)
{
	char *a, *b;

	a = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	strcpy(a, "moves");
	strcpy(a + 3 * PAGE, "last");
	b = mremap(a, 4 * PAGE, 64 * PAGE, MREMAP_MAYMOVE);
	YES(b != MAP_FAILED);
	say("%s %s %d", b, b + 3 * PAGE, b[63 * PAGE]);
	b[63 * PAGE] = 1;
	a = mremap(b, 64 * PAGE, 2 * PAGE, 0);
	YES(a == b);
	say("%s", a);
	SHOW(msync(a + 2 * PAGE, PAGE, MS_ASYNC));
	b = mmap(NULL, 8 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	a = mremap(a, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, b + PAGE);
	YES(a == b + PAGE);
	say("%s", a);
	SHOW(mremap(a, 2 * PAGE, 0, MREMAP_MAYMOVE) == MAP_FAILED ? -1 : 0);
	SHOW(mremap(a + 1, PAGE, PAGE, 0) == MAP_FAILED ? -1 : 0);
	SHOW(mremap(BAD, PAGE, PAGE * 2, 0) == MAP_FAILED ? -1 : 0);
}

static void brks(void)
{
	char *start = sbrk(0), *p;

	YES(sbrk(3 * (long)PAGE) == start);
	memset(start, 1, 3 * PAGE);
	YES((char *)sbrk(0) == start + 3 * PAGE);
	p = sbrk(-2 * (long)PAGE);
	YES(p == start + 3 * PAGE);
	sbrk(2 * (long)PAGE);
	YES(start[0] == 1 && start[2 * PAGE] == 0);
	YES((unsigned long)syscall(SYS_brk, 0) == (unsigned long)start + 3 * PAGE);
	YES((unsigned long)syscall(SYS_brk, 1) == (unsigned long)start + 3 * PAGE);
	YES(brk(start) == 0);
}

static void file_memory(void)
{
	int fd;
	char *p;
	struct stat st;

	SHOW((fd = (int)syscall(SYS_memfd_create, "name", 1U)) >= 0);
	SHOW(ftruncate(fd, 10000));
	p = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	YES(p != MAP_FAILED);
	strcpy(p + 2 * PAGE, "tail");
	char buf[8] = "";
	SHOW(pread(fd, buf, 4, 2 * PAGE));
	say("%s", buf);
	SHOW(fstat(fd, &st));
	SHOW(st.st_size);
	SHOW(fcntl(fd, F_GETFD));
}

int main(void)
{
	scratch();
	file_maps();
	anonymous();
	moving();
	brks();
	file_memory();
	return 0;
}
