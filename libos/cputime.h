/*
 * cputime.h - CPU time of tasks and processes, in nanoseconds, as the libOS accounts it.
 */
#pragma once

#include <stdint.h>

struct process;
struct task;

uint64_t cputime_of_task(const struct task *task);
uint64_t cputime_of_process(const struct process *process); /* all tasks, ended ones too */
uint64_t cputime_of_instance(void);                         /* of all processes that are there */
