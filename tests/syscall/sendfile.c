/* sendfile, copy_file_range, splice where it exists, FIFOs. */
#include "t.h"
#include <sys/sendfile.h>

int main(void)
{
	char buf[64] = "";
	int in, out, p[2], st;
	off_t off = 2;

	scratch();
	put_file("in", "0123456789");
	in = open("in", O_RDONLY);
	out = open("out", O_CREAT | O_RDWR, 0600);
	SHOW(sendfile(out, in, &off, 5));
	SHOW(off);
	SHOW(lseek(in, 0, SEEK_CUR));
	SHOW(sendfile(out, in, NULL, 3));
	SHOW(lseek(in, 0, SEEK_CUR));
	SHOW(pread(out, buf, 64, 0));
	say("%s", buf);
	SHOW(sendfile(99, in, NULL, 1));
	SHOW(sendfile(out, 99, NULL, 1));
	MUST(pipe(p));
	lseek(in, 0, SEEK_SET);
	SHOW(sendfile(p[1], in, NULL, 100));
	SHOW(read(p[0], buf, 64));
	SHOW(sendfile(out, in, NULL, 100));
	off = 0;
	SHOW(copy_file_range(in, &off, out, NULL, 4, 0));
	SHOW(off);
	SHOW(copy_file_range(in, &off, out, NULL, 4, 1));

	SHOW(mkfifo("fifo", 0600));
	SHOW(mkfifo("fifo", 0600));
	SHOW(open("fifo", O_WRONLY | O_NONBLOCK));
	pid_t pid = fork();
	if (pid == 0) {
		int w = open("fifo", O_WRONLY);

		write(w, "through the fifo", 16);
		_exit(0);
	}
	int r = open("fifo", O_RDONLY);
	size_t total = 0;
	ssize_t n;
	while ((n = read(r, buf + total, sizeof(buf) - total)) > 0)
		total += (size_t)n;
	say("%.*s", (int)total, buf);
	waitpid(pid, &st, 0);
	close(r);
	SHOW(r = open("fifo", O_RDONLY | O_NONBLOCK));
	SHOW(read(r, buf, 1));
	return 0;
}
