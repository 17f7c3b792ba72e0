/*
 * erofs.h - reads an EROFS image that lies whole in memory.
 *
 * The format is the kernel's (Documentation/filesystems/erofs.rst): uncompressed images on one
 * device.  Nothing in an image is believed: every offset is checked against its size, and what does
 * not fit is -EUCLEAN.  No state but what is in these structures; no allocation; bounded loops.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EROFS_NAME_LEN 255
#define EROFS_SUPER_AT 1024u
#define EROFS_SUPER_CHECKSUM_AT (EROFS_SUPER_AT + 4)
#define EROFS_SUPER_TIME_AT (EROFS_SUPER_AT + 24) /* 8 bytes of seconds, 4 of nanoseconds */

struct erofs {
	const uint8_t *base;
	uint64_t size; /* bytes of the file system */
	unsigned block_bits;
	uint64_t meta_off;  /* of inodes */
	uint64_t xattr_off; /* of shared attributes */
	uint64_t root_nid;
	uint64_t nr_inodes;
	int64_t build_time;
	uint32_t build_nsec;
};

struct erofs_inode {
	uint64_t nid;
	uint64_t size;
	uint64_t rdev;
	uint32_t mode;
	uint32_t nlink;
	uint32_t uid;
	uint32_t gid;
	int64_t mtime;
	uint32_t mtime_nsec;
	unsigned layout;   /* how the data lies: erofs.c */
	uint32_t where;    /* first block, or the form of the table of chunks */
	uint64_t xattr_at; /* extended attributes */
	unsigned xattr_bytes;
	uint64_t tail_at; /* behind them: the end of the data, or the table of chunks */
};

/* 0, or -EUCLEAN (damaged) or -EOPNOTSUPP, and a phrase for the user: "it is compressed". */
int erofs_open(const void *base, uint64_t size, struct erofs *ret_fs, const char **ret_why);

/* What the checksum of a super block must be whose block size is known to be right. */
uint32_t erofs_checksum(const void *base);

int erofs_inode_get(const struct erofs *fs, uint64_t nid, struct erofs_inode *ret_inode);

/*
 * The run of bytes that holds byte off < inode->size: its place in the image and how many bytes of
 * the file lie there.  *ret_at is UINT64_MAX for a hole.
 */
int erofs_run(const struct erofs *fs, const struct erofs_inode *inode, uint64_t off,
	      uint64_t *ret_at, uint64_t *ret_len);

/* Copies; bytes read, less than n at the end of the file only. */
int64_t erofs_read(const struct erofs *fs, const struct erofs_inode *inode, void *buf, uint64_t n,
		   uint64_t off);

struct erofs_dirent {
	const char *name; /* in the image, without a NUL */
	unsigned name_len;
	uint64_t nid;
	unsigned char type; /* DT_* */
};

/* -ENOENT: no such entry. */
int erofs_dir_find(const struct erofs *fs, const struct erofs_inode *dir, const char *name,
		   unsigned len, struct erofs_dirent *ret_entry);

/* Calls fn for each entry, "." and ".." too; stops when it returns non-zero, and returns that. */
int erofs_dir_each(const struct erofs *fs, const struct erofs_inode *dir,
		   int (*fn)(const struct erofs_dirent *entry, void *arg), void *arg);

/* One attribute: prefix ("user."), then the rest of its name; value and rest are in the image. */
struct erofs_xattr {
	const char *prefix;
	const char *name;
	unsigned name_len;
	const void *value;
	unsigned value_bytes;
};

/* POSIX ACLs and attributes of name spaces that nobody knows are left out. */
int erofs_xattr_each(const struct erofs *fs, const struct erofs_inode *inode,
		     int (*fn)(const struct erofs_xattr *xattr, void *arg), void *arg);
