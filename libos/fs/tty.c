/*
 * tty.c - ioctls of the host's terminal.
 *
 * Modes, size and queues are the host's; sessions and foreground process groups are the instance's
 * own, because its process numbers mean nothing to the host.
 */
#include "libos/fs/tty.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>

#include "libos/host.h"
#include "libos/instance.h"
#include "libos/signal.h"
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

int tty_check_background(int sig)
{
	struct process *process = current()->process;
	int foreground = instance()->foreground_pgid;
	unsigned char termios[64];
	tcflag_t lflag;

	if (!foreground || process->pgid == foreground || process->sid != instance()->init->sid)
		return 0;
	if (sig == SIGTTOU) {
		/* only with TOSTOP; c_lflag is the fourth word */
		if (host_ioctl(0, TCGETS, (uintptr_t)termios))
			return 0;
		memcpy(&lflag, termios + 12, sizeof(lflag));
		if (!(lflag & TOSTOP))
			return 0;
	}
	if (signal_ignores(process, sig) || (current()->blocked & SIG_BIT(sig)))
		return sig == SIGTTIN ? -EIO : 0;
	signal_send_pgrp(process->pgid, sig, NULL);
	return -ERESTARTSYS;
}

static int change_allowed(void)
{
	struct process *process = current()->process;
	int foreground = instance()->foreground_pgid;

	if (!foreground || process->pgid == foreground || process->sid != instance()->init->sid)
		return 0;
	if (signal_ignores(process, SIGTTOU) || (current()->blocked & SIG_BIT(SIGTTOU)))
		return 0;
	signal_send_pgrp(process->pgid, SIGTTOU, NULL);
	return -ERESTARTSYS;
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
	long err = copy_from_user(buf, (const void *)arg, n) ?: change_allowed();

	return err ? err : host_ioctl(host_fd, cmd, (uintptr_t)buf);
}

static long pgrp_set(unsigned long arg)
{
	struct process *process = current()->process, *to;
	uint32_t pgid;
	int err = get_user_u32(&pgid, (const uint32_t *)arg) ?: change_allowed();

	if (err)
		return err;
	if (process->sid != instance()->init->sid)
		return -ENOTTY;
	if ((int)pgid < 0)
		return -EINVAL;
	to = process_find_group((int)pgid);
	if (!to)
		return -ESRCH;
	if (to->sid != process->sid)
		return -EPERM;
	instance()->foreground_pgid = (int)pgid;
	return 0;
}

long tty_ioctl(int host_fd, unsigned cmd, unsigned long arg)
{
	struct process *process = current()->process;
	bool ours = process->sid == instance()->init->sid;

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
		return change_allowed() ?: host_ioctl(host_fd, cmd, arg);
	case TIOCGPGRP:
		return ours ? put_user_u32((uint32_t *)arg, (uint32_t)instance()->foreground_pgid) :
			      -ENOTTY;
	case TIOCSPGRP:
		return pgrp_set(arg);
	case TIOCGSID:
		return ours ? put_user_u32((uint32_t *)arg, (uint32_t)instance()->init->sid) :
			      -ENOTTY;
	case TIOCSCTTY:
		return ours && process->sid == process->pid ? 0 : -EPERM;
	case TIOCNOTTY:
		return ours ? 0 : -ENOTTY;
	default:
		return -ENOTTY;
	}
}
