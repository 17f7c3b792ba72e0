/*
 * tty.c - ioctls of the host's terminal.
 *
 * Modes, size and queues are the host's; sessions and foreground process groups are the instance's
 * own (tty_job.c), because its process numbers mean nothing to the host.
 */
#include "libos/fs/tty.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>

#include "libos/fs/tty_job.h"
#include "libos/host.h"
#include "libos/instance.h"
#include "libos/uaccess.h"

#define TERMIOS_BYTES 36u /* the kernel's struct termios: 4 words, c_line, 19 characters */

struct size_of_window {
	unsigned short rows, cols, xpixel, ypixel;
};

bool tty_is(int host_fd)
{
	unsigned char termios[64];

	return host_ioctl(host_fd, TCGETS, (uintptr_t)termios) == 0;
}

static struct tty_job *console(void)
{
	return &instance()->console;
}

int tty_check_write(int host_fd)
{
	unsigned char termios[64];
	tcflag_t lflag;

	if (tty_job_of(current()->process) != console() ||
	    host_ioctl(host_fd, TCGETS, (uintptr_t)termios) != 0)
		return 0;
	memcpy(&lflag, termios + 12, sizeof(lflag)); /* c_lflag is the fourth word */
	return (lflag & TOSTOP) != 0 ? tty_job_check(console(), SIGTTOU) : 0;
}

static long out(int host_fd, unsigned cmd, unsigned long arg, unsigned n)
{
	unsigned char buf[64];
	long err = host_ioctl(host_fd, cmd, (uintptr_t)buf);

	return err ? err : copy_to_user((void *)arg, buf, n);
}

static long in(int host_fd, unsigned cmd, unsigned long arg, unsigned n)
{
	unsigned char buf[64];
	long err = copy_from_user(buf, (const void *)arg, n) ?: tty_job_check(console(), SIGTTOU);

	return err ? err : host_ioctl(host_fd, cmd, (uintptr_t)buf);
}

long tty_ioctl(int host_fd, unsigned cmd, unsigned long arg)
{
	bool ours = tty_job_is_own(console(), current()->process);

	switch (cmd) {
	case TCGETS:
		return out(host_fd, cmd, arg, TERMIOS_BYTES);
	case TCSETS:
	case TCSETSW:
	case TCSETSF:
		return in(host_fd, cmd, arg, TERMIOS_BYTES);
	case TIOCGWINSZ:
		return out(host_fd, cmd, arg, sizeof(struct size_of_window));
	case TIOCSWINSZ:
		return in(host_fd, cmd, arg, sizeof(struct size_of_window));
	case FIONREAD:
	case TIOCOUTQ:
		return out(host_fd, cmd, arg, sizeof(int));
	case TCSBRK:
	case TCXONC:
	case TCFLSH:
		return tty_job_check(console(), SIGTTOU) ?: host_ioctl(host_fd, cmd, arg);
	case TIOCGPGRP:
		return ours ? put_user_u32((uint32_t *)arg, (uint32_t)console()->pgid) : -ENOTTY;
	case TIOCSPGRP:
		return tty_job_set_pgrp(console(), (const int *)arg);
	case TIOCGSID:
		return ours ? put_user_u32((uint32_t *)arg, (uint32_t)console()->sid) : -ENOTTY;
	case TIOCSCTTY:
		return tty_job_acquire(console(), arg == 1, true);
	case TIOCNOTTY:
		return tty_job_give_up(console());
	default:
		return -ENOTTY;
	}
}
