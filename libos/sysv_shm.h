/*
 * sysv_shm.h - System V shared memory segments.
 *
 * A segment is a file without a name over a memfd; attaching maps it.  Who is attached is not
 * counted but looked up: a mapping of the segment's first page is an attachment, so that fork, exec
 * and exit need not tell.  Guard: the instance lock.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/ipc.h>
#include <sys/shm.h>

#include "leat/base/list.h"

struct file;

struct sysv_shm {
	struct list node;  /* all segments */
	struct file *file; /* one reference, until removed; then only mappings hold it */
	int fd;            /* host's memfd */
	bool removed;
	struct shmid_ds ds; /* shm_perm.__ipc_perm_seq is unused: ids are not reused */
	int id;
};

/* 0 or negative errno. */
int sysv_shm_create(key_t key, uint64_t bytes, int mode, struct sysv_shm **ret_shm);

struct sysv_shm *sysv_shm_by_key(key_t key); /* NULL: none; removed ones have no key */
struct sysv_shm *sysv_shm_by_id(int id);
struct sysv_shm *sysv_shm_by_file(const struct file *file);
struct sysv_shm *sysv_shm_by_index(unsigned index);
unsigned sysv_shm_count(uint64_t *ret_bytes);

unsigned sysv_shm_attached(const struct sysv_shm *shm);

/* The segment goes with its last attachment. */
void sysv_shm_remove(struct sysv_shm *shm);
