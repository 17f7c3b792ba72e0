/*
 * sysv_msg.c - System V message queues.  See msgop(2), msgctl(2).
 */
#include <errno.h>
#include <string.h>
#include <sys/msg.h>

#include "leat/base/bits.h"
#include "libos/arena.h"
#include "libos/instance.h"
#include "libos/syscall.h"
#include "libos/sysv.h"
#include "libos/uaccess.h"
#include "libos/wait.h"

#define QUEUES_MAX 32000    /* MSGMNI */
#define MESSAGE_MAX 8192UL  /* MSGMAX */
#define QUEUE_BYTES 16384UL /* MSGMNB */
#define MSG_COPY_FLAG 040000

struct message {
	struct list node;
	long type;
	size_t size;
	char text[];
};

struct queue {
	struct list node; /* sysv.queues */
	int id;
	bool removed;
	unsigned refs; /* the table's, and one for each call that sleeps */
	struct msqid_ds ds;
	struct list messages;
	struct wait_queue wq;
};

static struct queue *queue_at(struct sysv *sysv, int id, int index)
{
	struct list *pos;

	list_for_each(pos, &sysv->queues) {
		struct queue *queue = list_entry(pos, struct queue, node);

		if (queue->id == id || index-- == 0)
			return queue;
	}
	return NULL;
}

static struct queue *queue_by_id(int id)
{
	struct sysv *sysv = sysv_get();

	return sysv != NULL && id >= 0 ? queue_at(sysv, id, -1) : NULL;
}

static struct queue *queue_by_key(struct sysv *sysv, key_t key)
{
	struct list *pos;

	list_for_each(pos, &sysv->queues) {
		struct queue *queue = list_entry(pos, struct queue, node);

		if (queue->ds.msg_perm.__ipc_perm_key == key)
			return queue;
	}
	return NULL;
}

static int queues_count(struct sysv *sysv)
{
	struct list *pos;
	int n = 0;

	list_for_each(pos, &sysv->queues)
		n++;
	return n;
}

static long queue_create(struct sysv *sysv, key_t key, int flags)
{
	struct queue *queue;

	if (queues_count(sysv) >= QUEUES_MAX)
		return -ENOSPC;
	queue = arena_zalloc(sizeof(*queue));
	if (queue == NULL)
		return -ENOMEM;
	queue->refs = 1;
	queue->id = sysv->next_id++;
	sysv_perm_init(&queue->ds.msg_perm, key, flags);
	queue->ds.msg_qbytes = QUEUE_BYTES;
	queue->ds.msg_ctime = sysv_now();
	list_init(&queue->messages);
	wait_queue_init(&queue->wq);
	list_add_tail(&sysv->queues, &queue->node);
	return queue->id;
}

static void queue_unref(struct queue *queue)
{
	if (--queue->refs == 0)
		arena_free(queue);
}

static void queue_changed(struct queue *queue)
{
	wait_queue_wake_n(&queue->wq, 0, UINT32_MAX);
}

static void message_take(struct queue *queue, struct message *message)
{
	list_del(&message->node);
	queue->ds.msg_qnum--;
	queue->ds.__msg_cbytes -= message->size;
}

static void queue_remove(struct queue *queue)
{
	struct list *pos, *tmp;

	queue->removed = true;
	list_del(&queue->node);
	list_for_each_safe(pos, tmp, &queue->messages) {
		list_del(pos);
		arena_free(list_entry(pos, struct message, node));
	}
	queue_changed(queue);
	queue_unref(queue);
}

SYS2(msgget, int, key, int, flags)
{
	struct sysv *sysv = sysv_get();
	struct queue *queue;

	if (sysv == NULL)
		return -ENOMEM;
	queue = key == IPC_PRIVATE ? NULL : queue_by_key(sysv, key);
	if (queue == NULL) {
		if (key != IPC_PRIVATE && (flags & IPC_CREAT) == 0)
			return -ENOENT;
		return queue_create(sysv, key, flags);
	}
	if ((flags & IPC_CREAT) != 0 && (flags & IPC_EXCL) != 0)
		return -EEXIST;
	return sysv_may(&queue->ds.msg_perm, sysv_rights(flags)) ? queue->id : -EACCES;
}

/* Sleeps until the queue changes. */
static int queue_wait(struct queue *queue)
{
	int err;

	queue->refs++;
	err = wait_on(&queue->wq, 0, WAIT_FOREVER);
	if (queue->removed)
		err = -EIDRM;
	queue_unref(queue);
	return err == -EINTR ? -ERESTARTNOHAND : err;
}

/* ---- sending ---- */

static bool has_room(const struct queue *queue, size_t n)
{
	return queue->ds.__msg_cbytes + n <= queue->ds.msg_qbytes &&
	       queue->ds.msg_qnum + 1 <= queue->ds.msg_qbytes;
}

static long message_send(struct queue *queue, struct message *message, int flags)
{
	for (;;) {
		int err;

		if (!sysv_may(&queue->ds.msg_perm, 2))
			return -EACCES;
		if (has_room(queue, message->size))
			break;
		if ((flags & IPC_NOWAIT) != 0)
			return -EAGAIN;
		err = queue_wait(queue);
		if (err != 0)
			return err;
	}
	list_add_tail(&queue->messages, &message->node);
	queue->ds.msg_qnum++;
	queue->ds.__msg_cbytes += message->size;
	queue->ds.msg_lspid = current()->process->pid;
	queue->ds.msg_stime = sysv_now();
	queue_changed(queue);
	return 0;
}

/* The program's struct msgbuf: a long, then the text. */
SYS4(msgsnd, int, id, const char *, user_msg, size_t, n, int, flags)
{
	struct queue *queue = queue_by_id(id);
	struct message *message;
	uint64_t type;
	long err;

	if (get_user_u64(&type, (const uint64_t *)user_msg) != 0)
		return -EFAULT;
	if (n > MESSAGE_MAX || id < 0 || (int64_t)type < 1)
		return -EINVAL;
	message = arena_alloc(sizeof(*message) + n);
	if (message == NULL)
		return -ENOMEM;
	message->type = (long)type;
	message->size = n;
	err = copy_from_user(message->text, user_msg + sizeof(type), n);
	if (err == 0)
		err = queue == NULL ? -EINVAL : message_send(queue, message, flags);
	if (err != 0)
		arena_free(message);
	return err;
}

/* ---- receiving ---- */

/* The message that msgrcv(2) describes by type; NULL: none. */
static struct message *message_find(const struct queue *queue, long type, int flags)
{
	struct message *best = NULL;
	struct list *pos;

	list_for_each(pos, &queue->messages) {
		struct message *m = list_entry(pos, struct message, node);

		if (type < 0) {
			if (m->type <= -type && (best == NULL || m->type < best->type))
				best = m;
		} else if (type == 0 || (m->type == type) == ((flags & MSG_EXCEPT) == 0)) {
			return m;
		}
	}
	return best;
}

static long message_give(struct queue *queue, struct message *message, char *user_msg, size_t n,
			 int flags)
{
	long err;

	if (message->size > n && (flags & MSG_NOERROR) == 0)
		return -E2BIG;
	n = MIN(n, message->size);
	message_take(queue, message);
	queue->ds.msg_lrpid = current()->process->pid;
	queue->ds.msg_rtime = sysv_now();
	queue_changed(queue);
	err = put_user_u64((uint64_t *)user_msg, (uint64_t)message->type);
	if (err == 0)
		err = copy_to_user(user_msg + sizeof(uint64_t), message->text, n);
	arena_free(message);
	return err != 0 ? -EFAULT : (long)n;
}

SYS5(msgrcv, int, id, char *, user_msg, size_t, n, long, type, int, flags)
{
	struct queue *queue = queue_by_id(id);

	if (id < 0 || (ssize_t)n < 0)
		return -EINVAL;
	if ((flags & MSG_COPY_FLAG) != 0)
		return (flags & MSG_EXCEPT) != 0 || (flags & IPC_NOWAIT) == 0 ? -EINVAL : -ENOSYS;
	if (queue == NULL)
		return -EINVAL;
	for (;;) {
		struct message *message;
		int err;

		if (!sysv_may(&queue->ds.msg_perm, 4))
			return -EACCES;
		message = message_find(queue, type, flags);
		if (message != NULL)
			return message_give(queue, message, user_msg, n, flags);
		if ((flags & IPC_NOWAIT) != 0)
			return -ENOMSG;
		err = queue_wait(queue);
		if (err != 0)
			return err;
	}
}

/* ---- msgctl ---- */

static long queue_stat(const struct queue *queue, void *user_buf, long result)
{
	if (!sysv_may(&queue->ds.msg_perm, 4))
		return -EACCES;
	return copy_to_user(user_buf, &queue->ds, sizeof(queue->ds)) != 0 ? -EFAULT : result;
}

static long queue_set(struct queue *queue, const void *user_buf)
{
	struct msqid_ds ds;
	int err;

	if (copy_from_user(&ds, user_buf, sizeof(ds)) != 0)
		return -EFAULT;
	if (ds.msg_qbytes > QUEUE_BYTES && !capable(CAP_SYS_RESOURCE))
		return -EPERM;
	err = sysv_perm_set(&queue->ds.msg_perm, &ds.msg_perm);
	if (err != 0)
		return err;
	queue->ds.msg_qbytes = ds.msg_qbytes;
	queue->ds.msg_ctime = sysv_now();
	queue_changed(queue);
	return 0;
}

static long queues_info(int cmd, void *user_buf)
{
	struct sysv *sysv = sysv_get();
	struct msginfo info = {.msgpool = QUEUES_MAX * (int)QUEUE_BYTES / 1024,
			       .msgmap = (int)QUEUE_BYTES,
			       .msgmax = (int)MESSAGE_MAX,
			       .msgmnb = (int)QUEUE_BYTES,
			       .msgmni = QUEUES_MAX,
			       .msgssz = 16,
			       .msgtql = (int)QUEUE_BYTES,
			       .msgseg = 0xffff};
	struct list *pos;
	int n;

	if (sysv == NULL)
		return -ENOMEM;
	n = queues_count(sysv);
	if (cmd == MSG_INFO) {
		info.msgpool = n;
		info.msgmap = 0;
		info.msgtql = 0;
		list_for_each(pos, &sysv->queues) {
			const struct queue *queue = list_entry(pos, struct queue, node);

			info.msgmap += (int)queue->ds.msg_qnum;
			info.msgtql += (int)queue->ds.__msg_cbytes;
		}
	}
	if (copy_to_user(user_buf, &info, sizeof(info)) != 0)
		return -EFAULT;
	return n > 0 ? n - 1 : 0;
}

SYS3(msgctl, int, id, int, cmd, void *, buf)
{
	struct sysv *sysv = sysv_get();
	struct queue *queue;

	if (sysv == NULL)
		return -ENOMEM;
	if (id < 0 || cmd < 0)
		return -EINVAL;
	if (cmd == IPC_INFO || cmd == MSG_INFO)
		return queues_info(cmd, buf);
	if (cmd == MSG_STAT || cmd == MSG_STAT_ANY) {
		queue = queue_at(sysv, -1, id);
		return queue == NULL ? -EINVAL : queue_stat(queue, buf, queue->id);
	}
	queue = queue_by_id(id);
	if (queue == NULL)
		return -EINVAL;
	switch (cmd) {
	case IPC_STAT:
		return queue_stat(queue, buf, 0);
	case IPC_SET:
		return queue_set(queue, buf);
	case IPC_RMID:
		if (!sysv_owns(&queue->ds.msg_perm))
			return -EPERM;
		queue_remove(queue);
		return 0;
	default:
		return -EINVAL;
	}
}
