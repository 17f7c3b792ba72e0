/*
 * cputime.c - CPU time of tasks and processes.
 *
 * task.c adds up run_ns whenever a task leaves a kthread; a running task's current turn is added
 * here.
 */
#include "libos/cputime.h"

#include "libos/clock.h"
#include "libos/instance.h"
#include "libos/task.h"

uint64_t cputime_of_task(const struct task *task)
{
	uint64_t now_ns;

	if (task->state != TASK_RUNNING)
		return task->run_ns;
	now_ns = clock_monotonic_ns();
	return task->run_ns + (now_ns > task->switched_in_ns ? now_ns - task->switched_in_ns : 0);
}

uint64_t cputime_of_process(const struct process *process)
{
	const struct list *pos;
	uint64_t sum_ns = process->dead_run_ns;

	list_for_each(pos, &process->tasks)
		sum_ns += cputime_of_task(list_entry(pos, struct task, process_node));
	return sum_ns;
}

uint64_t cputime_of_instance(void)
{
	const struct list *pos;
	uint64_t sum_ns = 0;

	list_for_each(pos, &instance()->processes)
		sum_ns += cputime_of_process(list_entry(pos, struct process, all_node));
	return sum_ns;
}
