/*
 * itimer.h - the interval timers of a process: setitimer(2) and timer_create(2).
 */
#pragma once

struct process;

/* The process ends: all its timers go. */
void itimers_finish(struct process *process);

/* execve(2): POSIX timers go, interval timers stay. */
void itimers_exec(struct process *process);
