/*
 * pty.c - pseudo-terminals.  See pty(7), pts(4), tty_ioctl(4).
 *
 * A pair is a line discipline between two files: what is written to the master is typed, what is
 * written to the slave is shown, and the master reads that.  The pair lives as long as either side
 * is open; the entry in /dev/pts goes with the master.
 */
#include "libos/fs/pty.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <termios.h>

#include "leat/base/bits.h"
#include "libos/arena.h"
#include "libos/clock.h"
#include "libos/fs/ldisc.h"
#include "libos/fs/memfs.h"
#include "libos/fs/tty_job.h"
#include "libos/instance.h"
#include "libos/signal.h"

#define PTS_MAJOR 136U
#define PTS_GID 5U /* group "tty" */
#define PTS_MAX 4096U
#define DEVPTS_MAGIC 0x1cd1
#define INPUT_CHUNK 256U
#define TERMIOS_BYTES 36U
#define TERMIOS2_BYTES 44U
#define CBAUD_MASK 0010017U
#define BAUD_OTHER 0010000U /* BOTHER: the speed is a number of its own */
#define DECISECOND_NS 100000000UL

/* Requests that libc's headers do not have. */
#define TCGETS2_REQ 0x802C542AU
#define TCSETS2_REQ 0x402C542BU
#define TCSETSW2_REQ 0x402C542CU
#define TCSETSF2_REQ 0x402C542DU

struct pty {
	struct ldisc ld; /* first: ldisc.signal gets its address */
	struct tty_job job;
	struct list node; /* vfs.ptys */
	unsigned index;
	unsigned slaves; /* open */
	bool master;     /* open */
	bool slave_seen; /* one was open: without any the master reads EIO */
	bool locked;
	bool exclusive;
	bool packet;
	uint8_t packet_status;
	struct winsize size;
	struct dentry *entry; /* in /dev/pts; referenced */
	struct wait_queue master_wait;
	struct wait_queue slave_wait;
};

static const struct file_ops master_ops;
static const struct file_ops slave_ops;

static struct pty *pty_of(const struct file *file)
{
	return file->data;
}

static struct pty *pty_find(unsigned index)
{
	struct list *pos;

	list_for_each(pos, &vfs_get()->ptys) {
		struct pty *pty = list_entry(pos, struct pty, node);

		if (pty->index == index)
			return pty;
	}
	return NULL;
}

/* ---- who is told ---- */

static void wake_reader(struct pty *pty)
{
	wait_queue_wake(&pty->slave_wait, POLLIN | POLLRDNORM);
}

static void wake_screen(struct pty *pty)
{
	wait_queue_wake(&pty->master_wait, POLLIN | POLLRDNORM | POLLPRI);
}

static void wake_writers(struct pty *pty)
{
	wait_queue_wake(&pty->slave_wait, POLLOUT | POLLWRNORM);
}

static void wake_typist(struct pty *pty)
{
	wait_queue_wake(&pty->master_wait, POLLOUT | POLLWRNORM);
}

/* Packet mode: the master's next read is this status alone. */
static void packet_tell(struct pty *pty, unsigned status)
{
	if (!pty->packet)
		return;
	pty->packet_status |= (uint8_t)status;
	wake_screen(pty);
}

static void packet_tell_flow(struct pty *pty, bool was_stopped)
{
	if (pty->ld.stopped == was_stopped)
		return;
	pty->packet_status &= (uint8_t) ~(TIOCPKT_STOP | TIOCPKT_START);
	packet_tell(pty, pty->ld.stopped ? TIOCPKT_STOP : TIOCPKT_START);
	if (!pty->ld.stopped)
		wake_writers(pty);
}

static void pty_signal(struct ldisc *ld, int sig)
{
	struct pty *pty = container_of(ld, struct pty, ld);

	if ((ld->termios.lflag & NOFLSH) == 0)
		packet_tell(pty, TIOCPKT_FLUSHREAD | TIOCPKT_FLUSHWRITE);
	if (pty->job.pgid != 0)
		signal_send_pgrp(pty->job.pgid, sig, NULL);
}

static int pty_wait(const struct file *file, struct wait_queue *wq, uint32_t events,
		    uint64_t deadline_ns)
{
	int err;

	if ((file->flags & O_NONBLOCK) != 0)
		return -EAGAIN;
	err = wait_on(wq, events, deadline_ns);
	return err == -EINTR ? -ERESTARTSYS : err;
}

/* ---- the master ---- */

static ssize_t packet_read(struct pty *pty, struct uio *uio)
{
	uint8_t status = pty->packet_status;
	ssize_t got = uio_copy_out(uio, &status, 1);

	if (got > 0)
		pty->packet_status = 0;
	return got;
}

static ssize_t screen_read(struct pty *pty, struct uio *uio)
{
	static const uint8_t data = TIOCPKT_DATA;
	ssize_t head = 0, got;

	if (pty->packet) {
		head = uio_copy_out(uio, &data, 1);
		if (head < 0)
			return head;
	}
	got = ldisc_take_output(&pty->ld, uio);
	if (got > 0)
		wake_writers(pty);
	return got < 0 ? got : head + got;
}

static ssize_t master_read(struct file *file, struct uio *uio, uint64_t *pos)
{
	struct pty *pty = pty_of(file);
	int err;

	(void)pos;
	for (;;) {
		if (uio->left == 0)
			return 0;
		if (pty->packet_status != 0)
			return packet_read(pty, uio);
		if (ldisc_pending_output(&pty->ld) > 0)
			return screen_read(pty, uio);
		if (pty->slave_seen && pty->slaves == 0)
			return -EIO;
		err = pty_wait(file, &pty->master_wait, POLLIN, WAIT_FOREVER);
		if (err != 0)
			return err;
	}
}

/* One piece of typed bytes. */
static ssize_t type_some(struct pty *pty, struct uio *uio)
{
	uint8_t chunk[INPUT_CHUNK];
	bool was_stopped = pty->ld.stopped;
	ssize_t got = uio_copy_in(uio, chunk, MIN(ldisc_room(&pty->ld), INPUT_CHUNK));
	int err;

	if (got <= 0)
		return got;
	err = ldisc_input(&pty->ld, chunk, (unsigned)got);
	if (err != 0)
		return err;
	packet_tell_flow(pty, was_stopped);
	if (ldisc_available(&pty->ld) > 0)
		wake_reader(pty);
	if (ldisc_pending_output(&pty->ld) > 0)
		wake_screen(pty);
	return got;
}

static ssize_t master_write(struct file *file, struct uio *uio, uint64_t *pos)
{
	struct pty *pty = pty_of(file);
	ssize_t done = 0, got;

	(void)pos;
	while (uio->left > 0) {
		if (ldisc_room(&pty->ld) == 0) {
			int err = pty_wait(file, &pty->master_wait, POLLOUT, WAIT_FOREVER);

			if (err != 0)
				return done > 0 ? done : err;
			continue;
		}
		got = type_some(pty, uio);
		if (got <= 0)
			return done > 0 ? done : got;
		done += got;
	}
	return done;
}

static uint32_t master_poll(struct file *file, struct poll_table *table)
{
	struct pty *pty = pty_of(file);
	uint32_t events = 0;

	if (table != NULL && table->queue != NULL)
		table->queue(table, file, &pty->master_wait);
	if (ldisc_pending_output(&pty->ld) > 0)
		events |= POLLIN | POLLRDNORM;
	if (pty->packet_status != 0)
		events |= POLLPRI | POLLIN | POLLRDNORM;
	if (pty->slave_seen && pty->slaves == 0)
		events |= POLLHUP;
	else if (ldisc_room(&pty->ld) > 0)
		events |= POLLOUT | POLLWRNORM;
	return events;
}

/* ---- the slave ---- */

/* Without ICANON: how many bytes a read waits for (termios(3), VMIN and VTIME). */
static unsigned raw_minimum(const struct pty *pty)
{
	unsigned min = pty->ld.termios.cc[VMIN];

	return min > 0 && pty->ld.termios.cc[VTIME] > 0 ? 1 : min;
}

static bool slave_readable(const struct pty *pty)
{
	if ((pty->ld.termios.lflag & ICANON) != 0)
		return ldisc_has_line(&pty->ld);
	return ldisc_available(&pty->ld) >= MAX(raw_minimum(pty), 1U);
}

/* Waits for more: 0, -ETIMEDOUT, or what else ends the read. */
static int slave_wait(struct file *file, uint64_t deadline_ns)
{
	struct pty *pty = pty_of(file);
	int err = tty_job_check(&pty->job, SIGTTIN);

	if (err != 0)
		return err;
	if (!pty->master)
		return -EIO;
	return pty_wait(file, &pty->slave_wait, POLLIN, deadline_ns);
}

static uint64_t raw_deadline(const struct pty *pty)
{
	unsigned time = pty->ld.termios.cc[VTIME];

	return time > 0 ? clock_monotonic_ns() + time * DECISECOND_NS : WAIT_FOREVER;
}

/* The four cases of VMIN and VTIME. */
static ssize_t raw_read(struct file *file, struct uio *uio)
{
	struct pty *pty = pty_of(file);
	size_t min = MIN((size_t)pty->ld.termios.cc[VMIN], uio->left);
	bool timed = pty->ld.termios.cc[VTIME] > 0;
	uint64_t deadline = min == 0 && timed ? raw_deadline(pty) : WAIT_FOREVER;
	ssize_t done = 0, got;
	int err = 0;

	for (;;) {
		got = ldisc_read(&pty->ld, uio);
		if (got < 0)
			return done > 0 ? done : got;
		done += got;
		if (got > 0) {
			wake_typist(pty);
			deadline = timed ? raw_deadline(pty) : WAIT_FOREVER;
		}
		if ((done > 0 && (size_t)done >= min) || (min == 0 && !timed) || uio->left == 0)
			return done;
		if ((pty->ld.termios.lflag & ICANON) != 0)
			return done;
		if ((file->flags & O_NONBLOCK) != 0 && min == 0)
			return done;
		err = slave_wait(file, done > 0 || min == 0 ? deadline : WAIT_FOREVER);
		if (err == -ETIMEDOUT)
			return done;
		if (err != 0)
			return done > 0 ? done : err;
	}
}

static ssize_t slave_read(struct file *file, struct uio *uio, uint64_t *pos)
{
	struct pty *pty = pty_of(file);
	ssize_t got;
	int err;

	(void)pos;
	if (!pty->master || uio->left == 0)
		return 0; /* hung up */
	err = tty_job_check(&pty->job, SIGTTIN);
	while (err == 0 && (pty->ld.termios.lflag & ICANON) != 0) {
		if (ldisc_has_line(&pty->ld)) {
			got = ldisc_read(&pty->ld, uio);
			wake_typist(pty);
			return got;
		}
		err = slave_wait(file, WAIT_FOREVER);
	}
	return err != 0 ? err : raw_read(file, uio);
}

static ssize_t slave_write(struct file *file, struct uio *uio, uint64_t *pos)
{
	struct pty *pty = pty_of(file);
	ssize_t done = 0, got;
	int err = 0;

	(void)pos;
	if (!pty->master)
		return -EIO;
	if ((pty->ld.termios.lflag & TOSTOP) != 0)
		err = tty_job_check(&pty->job, SIGTTOU);
	while (err == 0 && uio->left > 0) {
		if (!pty->master) {
			err = -EIO;
		} else if (ldisc_can_write(&pty->ld)) {
			got = ldisc_write(&pty->ld, uio);
			if (got <= 0)
				return done > 0 ? done : got;
			done += got;
			wake_screen(pty);
		} else {
			err = pty_wait(file, &pty->slave_wait, POLLOUT, WAIT_FOREVER);
		}
	}
	return done > 0 ? done : err;
}

static uint32_t slave_poll(struct file *file, struct poll_table *table)
{
	struct pty *pty = pty_of(file);
	uint32_t events = 0;

	if (table != NULL && table->queue != NULL)
		table->queue(table, file, &pty->slave_wait);
	if (!pty->master)
		return POLLIN | POLLOUT | POLLERR | POLLHUP | POLLRDNORM | POLLWRNORM;
	if (slave_readable(pty))
		events |= POLLIN | POLLRDNORM;
	if (ldisc_can_write(&pty->ld))
		events |= POLLOUT | POLLWRNORM;
	return events;
}

/* ---- modes ---- */

static const uint32_t bauds[] = {
	0,   50,   75,   110,  134,  150,  200,   300,   /* B0 ... */
	600, 1200, 1800, 2400, 4800, 9600, 19200, 38400, /* B600 ... B38400 */
};
static const uint32_t fast_bauds[] = {
	0,       57600,   115200,  230400,  460800,  500000,  576000,  921600,
	1000000, 1152000, 1500000, 2000000, 2500000, 3000000, 3500000, 4000000,
};

/* What a struct termios says by its c_cflag. */
static uint32_t baud_of(uint32_t cflag)
{
	return (cflag & BAUD_OTHER) != 0 ? fast_bauds[cflag & 15] : bauds[cflag & 15];
}

static bool flow_is_usual(const struct ktermios *t)
{
	return (t->iflag & IXON) != 0 && t->cc[VSTART] == 17 && t->cc[VSTOP] == 19;
}

static long modes_get(const struct pty *pty, unsigned long arg, size_t n)
{
	return copy_to_user((void *)arg, &pty->ld.termios, n);
}

static long modes_set(struct pty *pty, unsigned long arg, size_t n, bool flush)
{
	struct ktermios termios = pty->ld.termios;
	bool was_usual = flow_is_usual(&termios), was_stopped = pty->ld.stopped;
	int err;

	if (copy_from_user(&termios, (const void *)arg, n) != 0)
		return -EFAULT;
	err = tty_job_check(&pty->job, SIGTTOU);
	if (err != 0)
		return err;
	if (flush) {
		ldisc_flush_input(&pty->ld);
		packet_tell(pty, TIOCPKT_FLUSHREAD);
	}
	if (n == TERMIOS_BYTES || (termios.cflag & CBAUD_MASK) != BAUD_OTHER)
		termios.ispeed = termios.ospeed = baud_of(termios.cflag);
	/* there is no line: eight bits, always on (pty(7)) */
	termios.cflag = (termios.cflag & ~(uint32_t)(CSIZE | PARENB)) | CS8 | CREAD;
	ldisc_set_termios(&pty->ld, &termios);
	packet_tell_flow(pty, was_stopped);
	if (flow_is_usual(&termios) != was_usual) {
		pty->packet_status &= (uint8_t) ~(TIOCPKT_NOSTOP | TIOCPKT_DOSTOP);
		packet_tell(pty, was_usual ? TIOCPKT_NOSTOP : TIOCPKT_DOSTOP);
	}
	wake_reader(pty);
	wake_typist(pty);
	return 0;
}

static long size_set(struct pty *pty, unsigned long arg)
{
	struct winsize size;

	if (copy_from_user(&size, (const void *)arg, sizeof(size)) != 0)
		return -EFAULT;
	if (memcmp(&size, &pty->size, sizeof(size)) == 0)
		return 0;
	pty->size = size;
	if (pty->job.pgid != 0)
		signal_send_pgrp(pty->job.pgid, SIGWINCH, NULL);
	return 0;
}

/* TCFLSH; what the master typed and has not been read, what the slave wrote and nobody saw. */
static long queues_flush(struct pty *pty, unsigned long which)
{
	if (which > TCIOFLUSH)
		return -EINVAL;
	if (which != TCOFLUSH) {
		ldisc_flush_input(&pty->ld);
		packet_tell(pty, TIOCPKT_FLUSHREAD);
		wake_typist(pty);
	}
	if (which != TCIFLUSH) {
		ldisc_flush_output(&pty->ld);
		packet_tell(pty, TIOCPKT_FLUSHWRITE);
		wake_writers(pty);
	}
	return 0;
}

static long flow_set(struct pty *pty, unsigned long action)
{
	bool was_stopped = pty->ld.stopped;

	if (action > TCION)
		return -EINVAL;
	if (action <= TCOON) {
		pty->ld.stopped = action == TCOOFF;
		packet_tell_flow(pty, was_stopped);
		return 0;
	}
	return -EOPNOTSUPP; /* there is no line to send START and STOP over */
}

/* ---- requests ---- */

static long put_int(unsigned long arg, int value)
{
	return put_user_u32((uint32_t *)arg, (uint32_t)value);
}

static long get_flag(unsigned long arg, bool *ret_flag)
{
	uint32_t value;

	if (get_user_u32(&value, (const uint32_t *)arg) != 0)
		return -EFAULT;
	*ret_flag = value != 0;
	return 0;
}

static long modes_ioctl(struct pty *pty, unsigned cmd, unsigned long arg)
{
	switch (cmd) {
	case TCGETS:
		return modes_get(pty, arg, TERMIOS_BYTES);
	case TCGETS2_REQ:
		return modes_get(pty, arg, TERMIOS2_BYTES);
	case TCSETS:
	case TCSETSW:
		return modes_set(pty, arg, TERMIOS_BYTES, false);
	case TCSETSF:
		return modes_set(pty, arg, TERMIOS_BYTES, true);
	case TCSETS2_REQ:
	case TCSETSW2_REQ:
		return modes_set(pty, arg, TERMIOS2_BYTES, false);
	case TCSETSF2_REQ:
		return modes_set(pty, arg, TERMIOS2_BYTES, true);
	case TIOCGWINSZ:
		return copy_to_user((void *)arg, &pty->size, sizeof(pty->size));
	case TIOCSWINSZ:
		return size_set(pty, arg);
	case TIOCGETD:
		return put_int(arg, 0); /* N_TTY, the only one */
	default:
		return -ENOTTY;
	}
}

static long queue_ioctl(struct pty *pty, unsigned cmd, unsigned long arg)
{
	long err = tty_job_check(&pty->job, SIGTTOU);

	if (err != 0)
		return err;
	switch (cmd) {
	case TCFLSH:
		return queues_flush(pty, arg);
	case TCXONC:
		return flow_set(pty, arg);
	default:
		return 0; /* TCSBRK: nothing is on its way, and a break is nothing on a pair */
	}
}

/* TIOCSTI: as if it had been typed; for root, as the kernels of today have it. */
static long type_one(struct pty *pty, const uint8_t *user_byte)
{
	uint8_t byte;

	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	if (copy_from_user(&byte, user_byte, 1) != 0)
		return -EFAULT;
	if (ldisc_room(&pty->ld) > 0 && ldisc_input(&pty->ld, &byte, 1) != 0)
		return -ENOMEM;
	wake_reader(pty);
	wake_screen(pty);
	return 0;
}

static long job_ioctl(struct pty *pty, const struct file *file, unsigned cmd, unsigned long arg)
{
	bool slave = file->ops == &slave_ops;
	bool own = tty_job_is_own(&pty->job, current()->process);

	switch (cmd) {
	case TIOCGPGRP:
		return own || !slave ? put_int(arg, pty->job.pgid) : -ENOTTY;
	case TIOCSPGRP:
		return tty_job_set_pgrp(&pty->job, (const int *)arg);
	case TIOCGSID:
		return (own || !slave) && pty->job.sid != 0 ? put_int(arg, pty->job.sid) : -ENOTTY;
	case TIOCSCTTY:
		return slave ? tty_job_acquire(&pty->job, arg == 1,
					       (file->flags & O_ACCMODE) != O_WRONLY) :
			       -EPERM;
	case TIOCNOTTY:
		return slave ? tty_job_give_up(&pty->job) : -ENOTTY;
	default:
		return -ENOTTY;
	}
}

/* What both sides know. */
static long common_ioctl(struct file *file, unsigned cmd, unsigned long arg)
{
	struct pty *pty = pty_of(file);

	switch (cmd) {
	case TIOCGPGRP:
	case TIOCSPGRP:
	case TIOCGSID:
	case TIOCSCTTY:
	case TIOCNOTTY:
		return job_ioctl(pty, file, cmd, arg);
	case TCSBRK:
	case TCSBRKP:
	case TCFLSH:
	case TCXONC:
		return queue_ioctl(pty, cmd, arg);
	case TIOCSTI:
		return type_one(pty, (const uint8_t *)arg);
	case TIOCOUTQ:
		return put_int(arg, 0);
	case TIOCEXCL:
		pty->exclusive = true;
		return 0;
	case TIOCNXCL:
		pty->exclusive = false;
		return 0;
	case TIOCGEXCL:
		return put_int(arg, pty->exclusive);
	default:
		return modes_ioctl(pty, cmd, arg);
	}
}

static long slave_ioctl(struct file *file, unsigned cmd, unsigned long arg)
{
	const struct pty *pty = pty_of(file);

	if (!pty->master)
		return cmd == TIOCSPGRP ? -ENOTTY : -EIO;
	if (cmd == FIONREAD)
		return put_int(arg, (int)ldisc_available(&pty->ld));
	return common_ioctl(file, cmd, arg);
}

/* TIOCGPTPEER: the other side, without a path. */
static long peer_open(const struct pty *pty, unsigned long flags)
{
	struct path at = {vfs_get()->pts, pty->entry};
	struct file *file;
	int err = path_open_at(at, (unsigned)flags & (O_ACCMODE | O_NONBLOCK | O_NOCTTY), &file);
	int fd;

	if (err != 0)
		return err;
	fd = fd_install(file, 0, (flags & O_CLOEXEC) != 0);
	if (fd < 0)
		file_unref(file);
	return fd;
}

static long packet_set(struct pty *pty, unsigned long arg)
{
	bool on;
	long err = get_flag(arg, &on);

	if (err == 0 && on != pty->packet)
		pty->packet_status = 0;
	if (err == 0)
		pty->packet = on;
	return err;
}

/* TIOCSIG: a signal to the foreground, as if by a key. */
static long signal_ioctl(struct pty *pty, unsigned long sig)
{
	if (sig != SIGINT && sig != SIGQUIT && sig != SIGTSTP)
		return -EINVAL;
	if (pty->job.pgid != 0)
		signal_send_pgrp(pty->job.pgid, (int)sig, NULL);
	return 0;
}

static long master_ioctl(struct file *file, unsigned cmd, unsigned long arg)
{
	struct pty *pty = pty_of(file);

	switch (cmd) {
	case TIOCGPTN:
		return put_int(arg, (int)pty->index);
	case TIOCSPTLCK:
		return get_flag(arg, &pty->locked);
	case TIOCGPTLCK:
		return put_int(arg, pty->locked);
	case TIOCGPTPEER:
		return peer_open(pty, arg);
	case TIOCPKT:
		return packet_set(pty, arg);
	case TIOCGPKT:
		return put_int(arg, pty->packet);
	case TIOCSIG:
		return signal_ioctl(pty, arg);
	case FIONREAD:
		return put_int(arg, (int)ldisc_pending_output(&pty->ld));
	default:
		return common_ioctl(file, cmd, arg);
	}
}

/* ---- open and close ---- */

static void pty_put(struct pty *pty)
{
	if (pty->master || pty->slaves > 0)
		return;
	tty_job_finish(&pty->job);
	list_del(&pty->node);
	ldisc_finish(&pty->ld);
	arena_free(pty);
}

static void entry_remove(struct pty *pty)
{
	struct dentry *entry = pty->entry;
	struct inode *dir = entry->parent->inode;

	pty->entry = NULL;
	if ((entry->flags & DENTRY_DELETED) == 0)
		dir->ops->unlink(dir, entry);
	dentry_unref(entry);
}

static void master_release(struct file *file)
{
	struct pty *pty = pty_of(file);

	pty->master = false;
	entry_remove(pty);
	tty_job_hangup(&pty->job);
	wait_queue_wake_n(&pty->slave_wait, 0, UINT32_MAX);
	pty_put(pty);
}

static void slave_release(struct file *file)
{
	struct pty *pty = pty_of(file);

	if (--pty->slaves == 0)
		wait_queue_wake_n(&pty->master_wait, 0, UINT32_MAX);
	pty_put(pty);
}

static const struct file_ops master_ops = {
	.name = "ptmx",
	.read = master_read,
	.write = master_write,
	.poll = master_poll,
	.ioctl = master_ioctl,
	.release = master_release,
};

static const struct file_ops slave_ops = {
	.name = "pts",
	.read = slave_read,
	.write = slave_write,
	.poll = slave_poll,
	.ioctl = slave_ioctl,
	.release = slave_release,
};

static int entry_create(struct pty *pty)
{
	struct mount *mnt = vfs_get()->pts;
	struct inode *dir = mnt->root->inode;
	struct dentry *entry;
	char name[16];
	int len = fmt_print(name, sizeof(name), "%u", pty->index);
	int err = dentry_lookup(mnt->root, name, (unsigned)len, &entry);

	if (err != 0)
		return err;
	err = entry->inode != NULL ?
		      -EEXIST :
		      dir->ops->create(dir, entry, S_IFCHR | 0620, makedev(PTS_MAJOR, pty->index));
	if (err != 0) {
		dentry_unref(entry);
		return err;
	}
	entry->inode->gid = PTS_GID;
	pty->entry = entry;
	return 0;
}

int pty_master_open(struct file *file)
{
	struct pty *pty = arena_zalloc(sizeof(*pty));
	int err;

	if (pty == NULL)
		return -ENOMEM;
	while (pty_find(pty->index) != NULL)
		pty->index++;
	err = pty->index < PTS_MAX ? entry_create(pty) : -ENOSPC;
	if (err != 0) {
		arena_free(pty);
		return err;
	}
	ldisc_init(&pty->ld, pty_signal);
	tty_job_init(&pty->job, PTS_MAJOR << 8 | (pty->index & 0xff) | (pty->index & ~0xffU) << 12);
	wait_queue_init(&pty->master_wait);
	wait_queue_init(&pty->slave_wait);
	list_add_tail(&vfs_get()->ptys, &pty->node);
	pty->master = true;
	pty->locked = true;
	file->ops = &master_ops;
	file->data = pty;
	return 0;
}

static int slave_attach(struct file *file, struct pty *pty)
{
	pty->slaves++;
	pty->slave_seen = true;
	file->ops = &slave_ops;
	file->data = pty;
	return 0;
}

int pty_slave_open(struct file *file, unsigned index)
{
	struct pty *pty = pty_find(index);

	if (pty == NULL || !pty->master || pty->locked)
		return -EIO;
	if (pty->exclusive && !capable(CAP_SYS_ADMIN))
		return -EBUSY;
	if ((file->flags & O_NOCTTY) == 0 && (file->flags & O_ACCMODE) != O_WRONLY)
		tty_job_opened(&pty->job);
	return slave_attach(file, pty);
}

int pty_open_by_job(struct file *file, const struct tty_job *job)
{
	struct list *pos;

	list_for_each(pos, &vfs_get()->ptys) {
		struct pty *pty = list_entry(pos, struct pty, node);

		if (&pty->job == job)
			return slave_attach(file, pty);
	}
	return -ENXIO;
}

/* ---- /dev/pts ---- */

static int devpts_statfs(struct super *sb, struct statfs *st)
{
	(void)sb;
	memset(st, 0, sizeof(*st));
	st->f_type = DEVPTS_MAGIC;
	st->f_bsize = 4096;
	st->f_frsize = 4096;
	st->f_namelen = FS_NAME_MAX;
	return 0;
}

static const struct super_ops devpts_super_ops = {.statfs = devpts_statfs};

int devpts_create(struct super **ret_sb, struct dentry **ret_root)
{
	int err = memfs_create("devpts", 0755, ret_sb, ret_root);
	struct dentry *entry;
	struct inode *dir;

	if (err != 0)
		return err;
	(*ret_sb)->ops = &devpts_super_ops;
	dir = (*ret_root)->inode;
	err = dentry_lookup(*ret_root, "ptmx", 4, &entry);
	if (err != 0)
		return err;
	err = dir->ops->create(dir, entry, S_IFCHR, makedev(5, 2));
	dentry_unref(entry);
	return err;
}
