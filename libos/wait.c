/*
 * wait.c - wait queues: lists of entries with a function each.
 */
#include "libos/wait.h"

#include "libos/task.h"

void wait_queue_init(struct wait_queue *wq)
{
	list_init(&wq->entries);
}

void wait_queue_add(struct wait_queue *wq, struct wait_entry *entry)
{
	entry->exclusive = false;
	list_add(&wq->entries, &entry->node);
}

void wait_queue_add_exclusive(struct wait_queue *wq, struct wait_entry *entry)
{
	entry->exclusive = true;
	list_add_tail(&wq->entries, &entry->node);
}

void wait_queue_remove(struct wait_entry *entry)
{
	list_del(&entry->node);
}

void wait_queue_wake_n(struct wait_queue *wq, uint32_t events, unsigned nr_exclusive)
{
	struct list *pos, *tmp;

	list_for_each_safe(pos, tmp, &wq->entries) {
		struct wait_entry *entry = list_entry(pos, struct wait_entry, node);

		if (events != 0 && entry->events != 0 && (entry->events & events) == 0)
			continue;
		if (entry->exclusive && nr_exclusive == 0)
			return;
		if (entry->func(entry, events) && entry->exclusive)
			nr_exclusive--;
	}
}

void wait_queue_wake(struct wait_queue *wq, uint32_t events)
{
	wait_queue_wake_n(wq, events, 1);
}

bool wait_wake_task(struct wait_entry *entry, uint32_t events)
{
	bool first = !entry->fired;

	(void)events;
	entry->fired = true;
	task_wake(entry->task);
	return first;
}

void wait_entry_init(struct wait_entry *entry, struct task *task, uint32_t events)
{
	list_init(&entry->node);
	entry->func = wait_wake_task;
	entry->task = task;
	entry->events = events;
	entry->exclusive = false;
	entry->fired = false;
	entry->data = NULL;
}

int wait_on(struct wait_queue *wq, uint32_t events, uint64_t deadline_ns)
{
	struct wait_entry entry;
	int err;

	wait_entry_init(&entry, current(), events);
	wait_queue_add(wq, &entry);
	err = task_sleep(deadline_ns);
	wait_queue_remove(&entry);
	return err;
}
