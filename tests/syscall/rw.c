/* read, write, pread, pwrite, readv, writev, lseek, truncate, holes, EFAULT in the middle. */
#include "t.h"
#include <sys/mman.h>
#include <sys/uio.h>

int main(void)
{
	char buf[64] = "", one[4] = "", two[4] = "";
	struct iovec iov[3] = {{"abc", 3}, {"", 0}, {"defgh", 5}};
	struct iovec in[2] = {{one, 3}, {two, 3}};
	struct stat st;
	char *page;
	int fd;

	scratch();
	MUST(fd = open("f", O_CREAT | O_RDWR, 0600));
	SHOW(writev(fd, iov, 3));
	SHOW(lseek(fd, 0, SEEK_CUR));
	SHOW(lseek(fd, 1, SEEK_SET));
	SHOW(readv(fd, in, 2));
	say("%s %s", one, two);
	SHOW(pread(fd, buf, 64, 2));
	say("%s", buf);
	SHOW(pwrite(fd, "XY", 2, 3));
	SHOW(lseek(fd, 0, SEEK_CUR));
	SHOW(pread(fd, buf, 8, 0));
	say("%.8s", buf);
	SHOW(pread(fd, buf, 8, -1));
	SHOW(pread(fd, buf, 8, 100));
	SHOW(lseek(fd, -100, SEEK_CUR));
	SHOW(lseek(fd, 0, 77));
	SHOW(lseek(fd, 100, SEEK_END));
	SHOW(write(fd, "end", 3));
	SHOW(fstat(fd, &st));
	SHOW(st.st_size);
	memset(buf, 'z', sizeof(buf));
	SHOW(pread(fd, buf, 4, 50));
	YES(!memcmp(buf, "\0\0\0\0z", 5));
	SHOW(ftruncate(fd, 4));
	SHOW(pread(fd, buf, 64, 0));
	say("%.4s", buf);
	SHOW(ftruncate(fd, 8));
	SHOW(pread(fd, buf, 64, 0));
	YES(!memcmp(buf + 4, "\0\0\0\0", 4));
	SHOW(ftruncate(fd, -1));
	SHOW(truncate("f", 2));
	SHOW(truncate("none", 2));
	SHOW(fstat(fd, &st));
	SHOW(st.st_size);
	SHOW(writev(fd, iov, -1));
	SHOW(writev(fd, iov, 1025));
	SHOW(readv(fd, BAD, 1));
	SHOW(write(99, "x", 1));
	SHOW(read(99, buf, 1));
	SHOW(write(fd, BAD, 1));

	/* a buffer that ends at a page without access */
	page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	mprotect(page + 4096, 4096, PROT_NONE);
	memset(page, 'p', 4096);
	SHOW(ftruncate(fd, 0));
	SHOW(lseek(fd, 0, SEEK_SET));
	SHOW(write(fd, page + 4000, 96));
	SHOW(write(fd, page + 4096, 10));
	SHOW(lseek(fd, 0, SEEK_SET));
	SHOW(read(fd, page + 4096, 10));
	SHOW(read(fd, page + 4090, 6));
	SHOW(ftruncate(fd, 0));
	SHOW(posix_fallocate(fd, 0, 5000));
	SHOW(fstat(fd, &st));
	SHOW(st.st_size);
	SHOW(fsync(fd));
	SHOW(fdatasync(fd));
	SHOW(fsync(99));
	SHOW(close(fd));

	/* a large file, block by block */
	MUST(fd = open("big", O_CREAT | O_RDWR, 0600));
	static unsigned char block[10000];
	unsigned sum = 0, again = 0;
	for (int i = 0; i < 200; i++) {
		memset(block, i, sizeof(block));
		MUST(write(fd, block, sizeof(block)));
		sum += (unsigned)(i & 255) * sizeof(block);
	}
	lseek(fd, 0, SEEK_SET);
	ssize_t n;
	while ((n = read(fd, block, 7777)) > 0)
		for (ssize_t i = 0; i < n; i++)
			again += block[i];
	YES(sum == again);
	return 0;
}
