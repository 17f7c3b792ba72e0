/*
 * mqueue.c - POSIX message queues.  See mq_overview(7).
 *
 * A queue has a name without slashes and lives while it has one or is open.  Messages wait in order
 * of priority, those of one priority in order of arrival.
 */
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

#include "leat/base/bits.h"
#include "libos/arena.h"
#include "libos/fs/fs.h"
#include "libos/instance.h"
#include "libos/signal.h"
#include "libos/syscall.h"
#include "libos/sysv.h"
#include "libos/timespec.h"
#include "libos/uaccess.h"

#define MQ_MAX_MESSAGES 10L /* fs.mqueue.msg_default, msg_max */
#define MQ_MESSAGE_BYTES 8192L
#define MQ_HARD_MESSAGES 65536L
#define MQ_HARD_BYTES 16777216L
#define MQ_PRIORITIES 32768U
#define MQ_QUEUES_MAX 256

struct mq_message {
	struct list node;
	unsigned priority;
	size_t size;
	char text[];
};

struct mqueue {
	struct list node; /* sysv.mqueues, while it has a name */
	unsigned refs;    /* its name, and open files */
	struct ipc_perm perm;
	long max_messages;
	long message_bytes;
	long nr_messages;
	size_t bytes;
	struct list messages;
	struct wait_queue readers;
	struct wait_queue writers;
	unsigned nr_readers; /* asleep: then nobody is notified */
	/* mq_notify: one process is told of the next message that finds the queue empty. */
	int notify_pid; /* 0: nobody */
	int notify_signal;
	uint64_t notify_value;
	char name[FS_NAME_MAX + 1];
};

static const struct file_ops mqueue_ops;

static struct mqueue *mqueue_find(struct sysv *sysv, const char *name)
{
	struct list *pos;

	list_for_each(pos, &sysv->mqueues) {
		struct mqueue *mq = list_entry(pos, struct mqueue, node);

		if (strcmp(mq->name, name) == 0)
			return mq;
	}
	return NULL;
}

static void mqueue_unref(struct mqueue *mq)
{
	struct list *pos, *tmp;

	if (--mq->refs > 0)
		return;
	list_for_each_safe(pos, tmp, &mq->messages) {
		list_del(pos);
		arena_free(list_entry(pos, struct mq_message, node));
	}
	arena_free(mq);
}

static int limits_check(const struct mq_attr *attr)
{
	bool root = capable(CAP_SYS_RESOURCE);

	if (attr->mq_maxmsg <= 0 || attr->mq_msgsize <= 0)
		return -EINVAL;
	if (attr->mq_maxmsg > (root ? MQ_HARD_MESSAGES : MQ_MAX_MESSAGES) ||
	    attr->mq_msgsize > (root ? MQ_HARD_BYTES : MQ_MESSAGE_BYTES))
		return -EINVAL;
	return 0;
}

static int mqueue_create(struct sysv *sysv, const char *name, unsigned mode,
			 const struct mq_attr *attr, struct mqueue **ret_mq)
{
	struct list *pos;
	struct mqueue *mq;
	int n = 0;

	list_for_each(pos, &sysv->mqueues)
		n++;
	if (n >= MQ_QUEUES_MAX)
		return -ENOSPC;
	mq = arena_zalloc(sizeof(*mq));
	if (mq == NULL)
		return -ENOMEM;
	mq->refs = 1;
	sysv_perm_init(&mq->perm, 0, (int)(mode & ~current()->process->fs->umask));
	mq->max_messages = attr->mq_maxmsg;
	mq->message_bytes = attr->mq_msgsize;
	memcpy(mq->name, name, strlen(name) + 1);
	list_init(&mq->messages);
	wait_queue_init(&mq->readers);
	wait_queue_init(&mq->writers);
	list_add_tail(&sysv->mqueues, &mq->node);
	*ret_mq = mq;
	return 0;
}

static int name_import(char name[FS_NAME_MAX + 1], const char *user_name)
{
	ssize_t len = strncpy_from_user(name, user_name, FS_NAME_MAX + 1);

	if (len < 0)
		return (int)len;
	if (len == 0)
		return -ENOENT;
	return strchr(name, '/') != NULL ? -EACCES : 0;
}

static unsigned open_rights(int flags)
{
	static const unsigned rights[] = {4, 2, 6, 6};

	return rights[flags & O_ACCMODE];
}

static int mqueue_get(const char *name, int flags, unsigned mode, const struct mq_attr *user_attr,
		      struct mqueue **ret_mq)
{
	struct mq_attr attr = {.mq_maxmsg = MQ_MAX_MESSAGES, .mq_msgsize = MQ_MESSAGE_BYTES};
	struct sysv *sysv = sysv_get();
	int err;

	if (sysv == NULL)
		return -ENOMEM;
	if (user_attr != NULL && (flags & O_CREAT) != 0 &&
	    copy_from_user(&attr, user_attr, sizeof(attr)) != 0)
		return -EFAULT;
	*ret_mq = mqueue_find(sysv, name);
	if (*ret_mq != NULL) {
		if ((flags & O_CREAT) != 0 && (flags & O_EXCL) != 0)
			return -EEXIST;
		return sysv_may(&(*ret_mq)->perm, open_rights(flags)) ? 0 : -EACCES;
	}
	if ((flags & O_CREAT) == 0)
		return -ENOENT;
	err = limits_check(&attr);
	return err != 0 ? err : mqueue_create(sysv, name, mode, &attr, ret_mq);
}

SYS4(mq_open, const char *, user_name, int, flags, unsigned, mode, const struct mq_attr *,
     user_attr)
{
	char name[FS_NAME_MAX + 1];
	struct mqueue *mq;
	struct file *file;
	int err = name_import(name, user_name), fd;

	if (err == 0)
		err = mqueue_get(name, flags, mode, user_attr, &mq);
	if (err != 0)
		return err;
	file = file_create(&mqueue_ops, mq, (unsigned)flags & (O_ACCMODE | O_NONBLOCK));
	if (file == NULL)
		return -ENOMEM;
	mq->refs++;
	fd = fd_install(file, 0, true);
	if (fd < 0)
		file_unref(file);
	return fd;
}

SYS1(mq_unlink, const char *, user_name)
{
	char name[FS_NAME_MAX + 1];
	struct sysv *sysv = sysv_get();
	int err = name_import(name, user_name);
	struct mqueue *mq;

	if (err != 0 || sysv == NULL)
		return err != 0 ? err : -ENOMEM;
	mq = mqueue_find(sysv, name);
	if (mq == NULL)
		return -ENOENT;
	if (!sysv_owns(&mq->perm))
		return -EACCES;
	list_del(&mq->node);
	mqueue_unref(mq);
	return 0;
}

/* ---- messages ---- */

static void notify_clear(struct mqueue *mq)
{
	mq->notify_pid = 0;
}

/* A message came to an empty queue at which nobody waits. */
static void notify_send(struct mqueue *mq)
{
	const struct process *self = current()->process;
	siginfo_t info = {.si_signo = mq->notify_signal, .si_code = SI_MESGQ};
	struct process *to = mq->notify_pid != 0 ? process_find(mq->notify_pid) : NULL;

	if (to != NULL && mq->notify_signal != 0) {
		info.si_pid = self->pid;
		info.si_uid = my_creds()->uid;
		info.si_value.sival_ptr = (void *)mq->notify_value;
		signal_send_process(to, mq->notify_signal, &info);
	}
	notify_clear(mq);
}

static void message_put(struct mqueue *mq, struct mq_message *message)
{
	struct list *pos = mq->messages.prev;

	while (pos != &mq->messages &&
	       list_entry(pos, struct mq_message, node)->priority < message->priority)
		pos = pos->prev;
	list_add(pos, &message->node);
	mq->bytes += message->size;
	if (mq->nr_messages++ == 0 && mq->nr_readers == 0)
		notify_send(mq);
	wait_queue_wake(&mq->readers, POLLIN | POLLRDNORM);
}

/* The deadline of a timed call: CLOCK_REALTIME. */
static int timeout_import(const struct timespec *user_ts, uint64_t *ret_deadline_ns)
{
	struct timespec ts;

	*ret_deadline_ns = WAIT_FOREVER;
	if (user_ts == NULL)
		return 0;
	if (copy_from_user(&ts, user_ts, sizeof(ts)) != 0)
		return -EFAULT;
	if (!timespec_ok(&ts))
		return -EINVAL;
	*ret_deadline_ns = deadline_from_realtime(timespec_to_ns(&ts));
	return 0;
}

static int mqueue_wait(const struct file *file, struct wait_queue *wq, uint32_t events,
		       uint64_t deadline_ns)
{
	int err;

	if ((file->flags & O_NONBLOCK) != 0)
		return -EAGAIN;
	err = wait_on(wq, events, deadline_ns);
	return err == -EINTR ? -ERESTARTSYS : err;
}

/* A queue's file that may be written (or read); -EBADF. */
static struct file *mqueue_file(int fd, unsigned refused)
{
	struct file *file = fd_get(fd);

	if (file == NULL || file->ops != &mqueue_ops || (file->flags & O_ACCMODE) == refused)
		return NULL;
	return file;
}

SYS5(mq_timedsend, int, fd, const char *, user_text, size_t, n, unsigned, priority,
     const struct timespec *, user_ts)
{
	struct file *file = mqueue_file(fd, O_RDONLY);
	struct mq_message *message;
	struct mqueue *mq;
	uint64_t deadline_ns;
	int err;

	if (priority >= MQ_PRIORITIES)
		return -EINVAL;
	err = timeout_import(user_ts, &deadline_ns);
	if (err != 0)
		return err;
	if (file == NULL)
		return -EBADF;
	mq = file->data;
	if (n > (size_t)mq->message_bytes)
		return -EMSGSIZE;
	message = arena_alloc(sizeof(*message) + n);
	if (message == NULL)
		return -ENOMEM;
	message->priority = priority;
	message->size = n;
	err = copy_from_user(message->text, user_text, n);
	file_ref(file);
	while (err == 0 && mq->nr_messages >= mq->max_messages)
		err = mqueue_wait(file, &mq->writers, POLLOUT, deadline_ns);
	if (err == 0)
		message_put(mq, message);
	else
		arena_free(message);
	file_unref(file);
	return err;
}

/* Takes the first message; the caller gives it to the program. */
static struct mq_message *message_take(struct mqueue *mq)
{
	struct mq_message *message = list_entry(mq->messages.next, struct mq_message, node);

	list_del(&message->node);
	mq->nr_messages--;
	mq->bytes -= message->size;
	wait_queue_wake(&mq->writers, POLLOUT | POLLWRNORM);
	return message;
}

static long message_give(struct mq_message *message, char *user_text, unsigned *user_priority)
{
	long n = (long)message->size;

	if (copy_to_user(user_text, message->text, message->size) != 0 ||
	    (user_priority != NULL && put_user_u32(user_priority, message->priority) != 0))
		n = -EFAULT;
	arena_free(message);
	return n;
}

SYS5(mq_timedreceive, int, fd, char *, user_text, size_t, n, unsigned *, user_priority,
     const struct timespec *, user_ts)
{
	struct file *file = mqueue_file(fd, O_WRONLY);
	struct mqueue *mq;
	uint64_t deadline_ns;
	long ret = timeout_import(user_ts, &deadline_ns);

	if (ret != 0)
		return ret;
	if (file == NULL)
		return -EBADF;
	mq = file->data;
	if (n < (size_t)mq->message_bytes)
		return -EMSGSIZE;
	file_ref(file);
	while (ret == 0 && mq->nr_messages == 0) {
		mq->nr_readers++;
		ret = mqueue_wait(file, &mq->readers, POLLIN, deadline_ns);
		mq->nr_readers--;
	}
	if (ret == 0)
		ret = message_give(message_take(mq), user_text, user_priority);
	file_unref(file);
	return ret;
}

SYS3(mq_getsetattr, int, fd, const struct mq_attr *, user_new, struct mq_attr *, user_old)
{
	struct file *file = fd_get(fd);
	struct mq_attr new, old = {0};
	const struct mqueue *mq;

	if (user_new != NULL) {
		if (copy_from_user(&new, user_new, sizeof(new)) != 0)
			return -EFAULT;
		if ((new.mq_flags & ~(long)O_NONBLOCK) != 0)
			return -EINVAL;
	}
	if (file == NULL || file->ops != &mqueue_ops)
		return -EBADF;
	mq = file->data;
	old.mq_flags = file->flags & O_NONBLOCK;
	old.mq_maxmsg = mq->max_messages;
	old.mq_msgsize = mq->message_bytes;
	old.mq_curmsgs = mq->nr_messages;
	if (user_new != NULL)
		file->flags = (file->flags & ~(unsigned)O_NONBLOCK) | (unsigned)new.mq_flags;
	if (user_old != NULL && copy_to_user(user_old, &old, sizeof(old)) != 0)
		return -EFAULT;
	return 0;
}

/* ---- notification ---- */

/* The kernel's struct sigevent, as far as it goes here. */
struct sigevent_head {
	uint64_t value;
	int signo;
	int notify;
};

SYS2(mq_notify, int, fd, const struct sigevent_head *, user_event)
{
	struct file *file = fd_get(fd);
	int self = current()->process->pid;
	struct sigevent_head event;
	struct mqueue *mq;

	if (user_event != NULL) {
		if (copy_from_user(&event, user_event, sizeof(event)) != 0)
			return -EFAULT;
		/* SIGEV_THREAD is made by libc of a netlink socket, which is not here */
		if (event.notify != SIGEV_NONE && event.notify != SIGEV_SIGNAL)
			return event.notify == SIGEV_THREAD ? -ENOSYS : -EINVAL;
		if (event.notify == SIGEV_SIGNAL && (event.signo < 0 || event.signo > NR_SIGNALS))
			return -EINVAL;
	}
	if (file == NULL || file->ops != &mqueue_ops)
		return -EBADF;
	mq = file->data;
	if (user_event == NULL) {
		if (mq->notify_pid == self)
			notify_clear(mq);
		return 0;
	}
	if (mq->notify_pid != 0 && process_find(mq->notify_pid) != NULL)
		return -EBUSY;
	mq->notify_pid = self;
	mq->notify_signal = event.notify == SIGEV_SIGNAL ? event.signo : 0;
	mq->notify_value = event.value;
	return 0;
}

/* ---- the descriptor ---- */

static ssize_t mqueue_read(struct file *file, struct uio *uio, uint64_t *pos)
{
	const struct mqueue *mq = file->data;
	char text[80];
	int len = fmt_print(text, sizeof(text),
			    "QSIZE:%-10lu NOTIFY:%-5d SIGNO:%-5d NOTIFY_PID:%-6d\n",
			    (unsigned long)mq->bytes, mq->notify_pid != 0 ? SIGEV_SIGNAL : 0,
			    mq->notify_pid != 0 ? mq->notify_signal : 0, mq->notify_pid);
	ssize_t got;

	if (*pos >= (uint64_t)len)
		return 0;
	got = uio_copy_out(uio, text + *pos, (size_t)len - *pos);
	if (got > 0)
		*pos += (uint64_t)got;
	return got;
}

static uint32_t mqueue_poll(struct file *file, struct poll_table *table)
{
	struct mqueue *mq = file->data;

	if (table != NULL && table->queue != NULL) {
		table->queue(table, file, &mq->readers);
		table->queue(table, file, &mq->writers);
	}
	return (mq->nr_messages > 0 ? POLLIN | POLLRDNORM : 0U) |
	       (mq->nr_messages < mq->max_messages ? POLLOUT | POLLWRNORM : 0U);
}

static int mqueue_getattr(struct file *file, struct kstat *st)
{
	const struct mqueue *mq = file->data;

	st->mode = S_IFREG | (mq->perm.mode & 0777);
	st->uid = mq->perm.uid;
	st->gid = mq->perm.gid;
	st->size = 80;
	return 0;
}

static void mqueue_release(struct file *file)
{
	struct mqueue *mq = file->data;

	if (mq->notify_pid == current()->process->pid)
		notify_clear(mq);
	mqueue_unref(mq);
}

static const struct file_ops mqueue_ops = {
	.name = "mqueue",
	.read = mqueue_read,
	.poll = mqueue_poll,
	.getattr = mqueue_getattr,
	.release = mqueue_release,
};
