/*
 * pidfd.h - descriptors that stand for a process.
 */
#pragma once

struct file;
struct process;

/* A new descriptor for the process, closed by exec: its number, -EMFILE or -ENOMEM. */
int pidfd_create(struct process *process, int flags);

/* Whose is it? Borrowed from the file. NULL: it is no pidfd. */
struct process *pidfd_process(const struct file *file);
