/*
 * proc.h - file trees whose contents are made when they are read: /proc and /sys.
 *
 * A tree is static tables of entries; directories of processes, threads and descriptors are filled
 * in by functions.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libos/fs/fs.h"

/* A growing text in the arena. */
struct strbuf {
	char *text;
	size_t len;
	size_t room;
	bool failed; /* out of arena: the file reads as -ENOMEM */
};

void strbuf_add(struct strbuf *buf, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void strbuf_add_bytes(struct strbuf *buf, const void *data, size_t n);
void strbuf_finish(struct strbuf *buf);

/* What an inode of the tree is about. */
struct proc_object {
	int pid; /* 0: the whole system */
	int tid; /* of a thread's directory; 0: the process */
	int fd;  /* of an entry of fd/ or fdinfo/; -1: none */
};

/* The living process or zombie of the object; NULL: it has gone. */
struct process *proc_process(const struct proc_object *object);
struct task *proc_task(const struct proc_object *object); /* the thread, or the leader */

struct proc_dir;

struct proc_entry {
	const char *name;
	uint32_t mode; /* with type */
	int (*show)(const struct proc_object *object, struct strbuf *buf);
	/* Regular files that may be written: one call a write, n bytes of libOS memory. */
	int (*store)(const struct proc_object *object, const char *text, size_t n);
	int (*readlink)(const struct proc_object *object, char *buf);
	int (*follow)(const struct proc_object *object, struct path *ret_path);
	const struct proc_dir *dir;
};

struct proc_dir {
	const struct proc_entry *entries;
	unsigned nr_entries;
	const char *prefix; /* of the names that are numbers; NULL: none */
	/* Names that are numbers: does it exist? Fills the child's object and its entry. */
	const struct proc_entry *(*find)(const struct proc_object *object, int number,
					 struct proc_object *ret_child);
	/* The first number >= from, or -1. */
	int (*next)(const struct proc_object *object, int from);
};

/* A file system of such a tree. */
int proc_tree_create(const char *fstype, const struct proc_entry *root, struct super **ret_sb,
		     struct dentry **ret_root);

/* The descriptor that a link of /proc/self/fd stands for; -1: the inode is something else. */
int proc_fd_of(const struct inode *inode);

/* Is it the directory of a process, /proc/PID? */
bool proc_is_process(const struct inode *inode, struct proc_object *ret_object);

/* proc_maps.c */
int proc_show_maps(const struct proc_object *object, struct strbuf *buf);
int proc_show_smaps(const struct proc_object *object, struct strbuf *buf);
int proc_show_smaps_rollup(const struct proc_object *object, struct strbuf *buf);

extern const struct proc_entry proc_pid_entry; /* proc_pid.c: the directory of a process */
extern const struct proc_dir proc_net_dir;     /* proc_net.c: net of a process */
extern const struct proc_dir proc_sys_dir;     /* proc_sys.c: /proc/sys */
