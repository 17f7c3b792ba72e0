/*
 * fasync.c - a signal to a file's owner when it becomes readable.
 *
 * One wait entry in each queue that the file's poll names, as long as O_ASYNC is set: who wakes the
 * queue's readers signals the owner too.  Room to write alone does not signal.
 */
#include "libos/fasync.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>

#include "libos/arena.h"
#include "libos/file.h"
#include "libos/signal.h"
#include "libos/task.h"

#define FASYNC_QUEUES 4U /* the most that any poll names */
#define FASYNC_EVENTS (POLLIN | POLLPRI | POLLHUP | POLLERR)

struct fasync {
	struct poll_table table; /* first: the callback gets its address */
	struct file *file;
	unsigned nr;
	struct wait_entry entry[FASYNC_QUEUES];
};

/* With F_SETSIG the signal says which descriptor, as far as the file knows; else it is plain. */
static void signal_owner(const struct file *file, int code, int fd, uint32_t events)
{
	siginfo_t info = {.si_signo = file->owner_sig, .si_code = code};
	const siginfo_t *with = file->owner_sig ? &info : NULL;
	int sig = file->owner_sig ? file->owner_sig : SIGIO;
	struct process *process;
	struct task *task;

	info.si_band = events;
	info.si_fd = fd;
	if (file->owner_pid < 0) {
		signal_send_pgrp(-file->owner_pid, sig, with);
		return;
	}
	if (file->owner_is_task) {
		task = task_find(file->owner_pid);
		if (task)
			signal_send_task(task, sig, with);
		return;
	}
	process = file->owner_pid ? process_find(file->owner_pid) : NULL;
	if (process)
		signal_send_process(process, sig, with);
}

static bool on_wake(struct wait_entry *entry, uint32_t events)
{
	const struct fasync *async = entry->data;

	if (!events || (events & FASYNC_EVENTS))
		signal_owner(async->file, POLL_IN, 0, events);
	return false;
}

static void add_queue(struct poll_table *table, struct file *file, struct wait_queue *wq)
{
	struct fasync *async = (struct fasync *)table;
	struct wait_entry *entry;

	(void)file;
	if (async->nr == FASYNC_QUEUES)
		return;
	entry = &async->entry[async->nr++];
	wait_entry_init(entry, NULL, 0);
	entry->func = on_wake;
	entry->data = async;
	wait_queue_add(wq, entry);
}

void fasync_signal_dir(const struct file *file, int fd)
{
	signal_owner(file, POLL_MSG, fd, POLLIN | POLLRDNORM | POLLMSG);
}

int fasync_set(struct file *file, bool on)
{
	struct fasync *async;

	if (!on) {
		fasync_file_gone(file);
		return 0;
	}
	if (file->async)
		return 0;
	if (!file->ops->poll)
		return -ENOTTY;
	async = arena_zalloc(sizeof(*async));
	if (!async)
		return -ENOMEM;
	async->table.queue = add_queue;
	async->file = file;
	file->async = async;
	file_poll(file, &async->table);
	return 0;
}

void fasync_file_gone(struct file *file)
{
	unsigned i;

	if (!file->async)
		return;
	for (i = 0; i < file->async->nr; i++)
		wait_queue_remove(&file->async->entry[i]);
	arena_free(file->async);
	file->async = NULL;
}
