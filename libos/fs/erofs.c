/*
 * erofs.c - the format of EROFS: super block, inodes, runs of data, directories, attributes.
 */
#include "libos/fs/erofs.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "leat/base/bits.h"

#define SUPER_AT EROFS_SUPER_AT
#define MAGIC 0xe0f5e1e2u

#define COMPAT_CHECKSUM 1u

#define INCOMPAT_LZ4 1u /* zero padding: set by mkfs in compressed images only */
#define INCOMPAT_COMPRESSION 2u
#define INCOMPAT_CHUNKED 4u
#define INCOMPAT_DEVICES 8u
#define INCOMPAT_TAILPACKING 16u
#define INCOMPAT_FRAGMENTS 32u
#define INCOMPAT_COMPRESSED                                                                        \
	(INCOMPAT_LZ4 | INCOMPAT_COMPRESSION | INCOMPAT_TAILPACKING | INCOMPAT_FRAGMENTS)

#define BLOCK_BITS_MIN 9u
#define BLOCK_BITS_MAX 12u /* the page size: the kernel takes no larger ones either */

#define NID_SHIFT 5 /* inodes are numbered by slots of 32 bytes */
#define COMPACT_BYTES 32u
#define EXTENDED_BYTES 64u

enum layout {
	LAYOUT_PLAIN = 0,
	LAYOUT_COMPRESSED_FULL = 1,
	LAYOUT_INLINE = 2, /* whole blocks, and the rest behind the inode */
	LAYOUT_COMPRESSED = 3,
	LAYOUT_CHUNKS = 4,
};

#define CHUNK_BITS_MASK 31u
#define CHUNK_INDEXES 32u /* entries of 8 bytes with a device, else block numbers of 4 bytes */
#define CHUNK_BITS_MAX 48u
#define CHUNKS_MERGED 256u /* of one run */
#define NO_BLOCK 0xffffffffu

#define DIRENT_BYTES 12u

#define XATTR_HEADER_BYTES 12u
#define XATTR_ENTRY_BYTES 4u

/* ---- the image's bytes ---- */

static bool range_ok(const struct erofs *fs, uint64_t at, uint64_t n)
{
	return at <= fs->size && n <= fs->size - at;
}

static uint16_t get16(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static uint32_t get32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static uint64_t get64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* ---- super block ---- */

/* CRC-32C (Castagnoli), as the kernel's crc32c(): no final inversion. Four bits at a time. */
static uint32_t crc32c(uint32_t crc, const uint8_t *p, uint64_t n)
{
	static const uint32_t table[16] = {
		0x00000000u, 0x105ec76fu, 0x20bd8edeu, 0x30e349b1u, 0x417b1dbcu, 0x5125dad3u,
		0x61c69362u, 0x7198540du, 0x82f63b78u, 0x92a8fc17u, 0xa24bb5a6u, 0xb21572c9u,
		0xc38d26c4u, 0xd3d3e1abu, 0xe330a81au, 0xf36e6f75u,
	};

	for (; n; n--) {
		crc ^= *p++;
		crc = (crc >> 4) ^ table[crc & 15];
		crc = (crc >> 4) ^ table[crc & 15];
	}
	return crc;
}

/* The checksum covers the rest of the super block's block, with its own field as zero. */
uint32_t erofs_checksum(const void *base)
{
	static const uint8_t zero[4];
	const uint8_t *super = (const uint8_t *)base + SUPER_AT;
	uint64_t len = 1UL << super[12];
	uint32_t crc;

	if (len > SUPER_AT)
		len -= SUPER_AT;
	crc = crc32c(~0u, super, 4);
	crc = crc32c(crc, zero, sizeof(zero));
	return crc32c(crc, super + 8, len - 8);
}

static int refuse(const char **ret_why, const char *why, int err)
{
	*ret_why = why;
	return err;
}

static int features_check(const uint8_t *super, const char **ret_why)
{
	uint32_t incompat = get32(super + 80);

	if (incompat & INCOMPAT_COMPRESSED)
		return refuse(ret_why, "it is compressed; make it without -z", -EOPNOTSUPP);
	if (incompat & INCOMPAT_DEVICES || get16(super + 86))
		return refuse(ret_why, "parts of it are on other devices", -EOPNOTSUPP);
	if (incompat & ~INCOMPAT_CHUNKED)
		return refuse(ret_why, "it uses features that Leat does not know", -EOPNOTSUPP);
	if (!(get32(super + 8) & COMPAT_CHECKSUM))
		return refuse(ret_why, "its super block has no checksum", -EOPNOTSUPP);
	return 0;
}

int erofs_open(const void *base, uint64_t size, struct erofs *ret_fs, const char **ret_why)
{
	const uint8_t *super = (const uint8_t *)base + SUPER_AT;
	struct erofs fs = {.base = base};
	struct erofs_inode root;
	int err;

	if (size < 4096 || get32(super) != MAGIC)
		return refuse(ret_why, "it is not an EROFS image", -EUCLEAN);
	fs.block_bits = super[12];
	if (fs.block_bits < BLOCK_BITS_MIN || fs.block_bits > BLOCK_BITS_MAX)
		return refuse(ret_why, "its block size is not from 512 to 4096", -EUCLEAN);
	if ((get32(super + 8) & COMPAT_CHECKSUM) && erofs_checksum(base) != get32(super + 4))
		return refuse(ret_why, "the checksum of its super block is wrong", -EUCLEAN);
	err = features_check(super, ret_why);
	if (err)
		return err;
	fs.size = (uint64_t)get32(super + 36) << fs.block_bits;
	if (fs.size > size)
		return refuse(ret_why, "it is cut off", -EUCLEAN);
	fs.root_nid = get16(super + 14);
	fs.nr_inodes = get64(super + 16);
	fs.build_time = (int64_t)get64(super + 24);
	fs.build_nsec = get32(super + 32) % 1000000000u;
	fs.meta_off = (uint64_t)get32(super + 40) << fs.block_bits;
	fs.xattr_off = (uint64_t)get32(super + 44) << fs.block_bits;
	if (erofs_inode_get(&fs, fs.root_nid, &root) || !S_ISDIR(root.mode))
		return refuse(ret_why, "its root directory is damaged", -EUCLEAN);
	*ret_fs = fs;
	return 0;
}

/* ---- inodes ---- */

static void compact_get(const struct erofs *fs, const uint8_t *p, struct erofs_inode *inode)
{
	inode->nlink = get16(p + 6);
	inode->size = get32(p + 8);
	inode->uid = get16(p + 24);
	inode->gid = get16(p + 26);
	inode->mtime = fs->build_time;
	inode->mtime_nsec = fs->build_nsec;
}

static void extended_get(const uint8_t *p, struct erofs_inode *inode)
{
	inode->size = get64(p + 8);
	inode->uid = get32(p + 24);
	inode->gid = get32(p + 28);
	inode->mtime = (int64_t)get64(p + 32);
	inode->mtime_nsec = get32(p + 40) % 1000000000u;
	inode->nlink = get32(p + 44);
}

static bool mode_is_known(uint32_t mode)
{
	return S_ISREG(mode) || S_ISDIR(mode) || S_ISLNK(mode) || S_ISCHR(mode) || S_ISBLK(mode) ||
	       S_ISFIFO(mode) || S_ISSOCK(mode);
}

int erofs_inode_get(const struct erofs *fs, uint64_t nid, struct erofs_inode *ret_inode)
{
	uint64_t at = fs->meta_off + (nid << NID_SHIFT);
	struct erofs_inode inode = {.nid = nid};
	unsigned format, count, bytes;
	const uint8_t *p;

	if (nid >= fs->size >> NID_SHIFT || !range_ok(fs, at, COMPACT_BYTES))
		return -EUCLEAN;
	p = fs->base + at;
	format = get16(p);
	bytes = format & 1 ? EXTENDED_BYTES : COMPACT_BYTES;
	inode.layout = format >> 1 & 7;
	if (format >> 4 || !range_ok(fs, at, bytes))
		return -EUCLEAN;
	inode.mode = get16(p + 4);
	inode.where = get32(p + 16);
	if (format & 1)
		extended_get(p, &inode);
	else
		compact_get(fs, p, &inode);
	if (!mode_is_known(inode.mode) || inode.size > INT64_MAX)
		return -EUCLEAN;
	if (S_ISCHR(inode.mode) || S_ISBLK(inode.mode))
		inode.rdev = inode.where;
	count = get16(p + 2);
	inode.xattr_at = at + bytes;
	inode.xattr_bytes = count ? XATTR_HEADER_BYTES + (count - 1) * XATTR_ENTRY_BYTES : 0;
	inode.tail_at = inode.xattr_at + inode.xattr_bytes;
	if (!range_ok(fs, inode.xattr_at, inode.xattr_bytes))
		return -EUCLEAN;
	*ret_inode = inode;
	return 0;
}

/* ---- data ---- */

static int blocks_run(const struct erofs *fs, const struct erofs_inode *inode, uint64_t off,
		      uint64_t end, uint64_t *ret_at, uint64_t *ret_len)
{
	uint64_t at = ((uint64_t)inode->where << fs->block_bits) + off;

	if (!range_ok(fs, at, end - off))
		return -EUCLEAN;
	*ret_at = at;
	*ret_len = end - off;
	return 0;
}

static int inline_run(const struct erofs *fs, const struct erofs_inode *inode, uint64_t off,
		      uint64_t *ret_at, uint64_t *ret_len)
{
	uint64_t block = 1UL << fs->block_bits;
	uint64_t tail = align_down(inode->size - 1, block), len = inode->size - tail;

	if (off < tail)
		return blocks_run(fs, inode, off, tail, ret_at, ret_len);
	if ((inode->tail_at & (block - 1)) + len > block || !range_ok(fs, inode->tail_at, len))
		return -EUCLEAN;
	*ret_at = inode->tail_at + (off - tail);
	*ret_len = inode->size - off;
	return 0;
}

/* The place of one chunk, UINT64_MAX for a hole. */
static int chunk_find(const struct erofs *fs, const struct erofs_inode *inode, uint64_t index,
		      uint64_t *ret_at)
{
	unsigned unit = inode->where & CHUNK_INDEXES ? 8 : 4;
	uint64_t at = align_up(inode->tail_at, (uint64_t)unit);
	uint32_t block;

	if (index >= fs->size || !range_ok(fs, at + index * unit, unit))
		return -EUCLEAN;
	at += index * unit;
	block = get32(fs->base + at + (unit == 8 ? 4 : 0));
	if (unit == 8 && block != NO_BLOCK && get32(fs->base + at))
		return -EUCLEAN; /* on another device, or beyond 32 bits */
	*ret_at = block == NO_BLOCK ? UINT64_MAX : (uint64_t)block << fs->block_bits;
	return 0;
}

static int chunks_run(const struct erofs *fs, const struct erofs_inode *inode, uint64_t off,
		      uint64_t *ret_at, uint64_t *ret_len)
{
	unsigned bits = fs->block_bits + (inode->where & CHUNK_BITS_MASK);
	uint64_t index, first, next, len;
	int err;

	if (inode->where >> 6 || bits > CHUNK_BITS_MAX)
		return -EUCLEAN;
	index = off >> bits;
	err = chunk_find(fs, inode, index, &first);
	if (err)
		return err;
	len = MIN((1UL << bits) - (off & ((1UL << bits) - 1)), inode->size - off);
	if (first != UINT64_MAX)
		first += off & ((1UL << bits) - 1);
	/* chunks that follow one another are one run */
	for (unsigned i = 1; i < CHUNKS_MERGED && off + len < inode->size; i++) {
		if (chunk_find(fs, inode, index + i, &next) ||
		    next != (first == UINT64_MAX ? first : first + len))
			break;
		len += MIN(1UL << bits, inode->size - off - len);
	}
	if (first != UINT64_MAX && !range_ok(fs, first, len))
		return -EUCLEAN;
	*ret_at = first;
	*ret_len = len;
	return 0;
}

int erofs_run(const struct erofs *fs, const struct erofs_inode *inode, uint64_t off,
	      uint64_t *ret_at, uint64_t *ret_len)
{
	if (off >= inode->size)
		return -EINVAL;
	switch (inode->layout) {
	case LAYOUT_PLAIN:
		return blocks_run(fs, inode, off, inode->size, ret_at, ret_len);
	case LAYOUT_INLINE:
		return inline_run(fs, inode, off, ret_at, ret_len);
	case LAYOUT_CHUNKS:
		return chunks_run(fs, inode, off, ret_at, ret_len);
	case LAYOUT_COMPRESSED:
	case LAYOUT_COMPRESSED_FULL:
		return -EOPNOTSUPP;
	default:
		return -EUCLEAN;
	}
}

int64_t erofs_read(const struct erofs *fs, const struct erofs_inode *inode, void *buf, uint64_t n,
		   uint64_t off)
{
	uint64_t done = 0, at, len;
	int err;

	if (off >= inode->size)
		return 0;
	n = MIN(n, inode->size - off);
	while (done < n) {
		err = erofs_run(fs, inode, off + done, &at, &len);
		if (err)
			return err;
		len = MIN(len, n - done);
		if (at == UINT64_MAX)
			memset((char *)buf + done, 0, len);
		else
			memcpy((char *)buf + done, fs->base + at, len);
		done += len;
	}
	return (int64_t)n;
}

/* ---- directories ---- */

/* A directory is an array of blocks, each with its entries sorted, then their names. */
struct dir_block {
	const uint8_t *base;
	unsigned bytes;
	unsigned nr;
};

static int block_get(const struct erofs *fs, const struct erofs_inode *dir, uint64_t index,
		     struct dir_block *ret_block)
{
	uint64_t off = index << fs->block_bits, at, len, want;
	struct dir_block block;
	unsigned names;
	int err = erofs_run(fs, dir, off, &at, &len);

	if (err)
		return err;
	want = MIN(dir->size - off, 1UL << fs->block_bits);
	if (at == UINT64_MAX || len < want || want < DIRENT_BYTES)
		return -EUCLEAN;
	block.base = fs->base + at;
	block.bytes = (unsigned)want;
	names = get16(block.base + 8); /* where the first entry's name lies: the entries end there
					*/
	if (names < DIRENT_BYTES || names % DIRENT_BYTES || names >= block.bytes)
		return -EUCLEAN;
	block.nr = names / DIRENT_BYTES;
	*ret_block = block;
	return 0;
}

static unsigned char dtype_of(unsigned char file_type)
{
	static const unsigned char types[] = {DT_UNKNOWN, DT_REG,  DT_DIR,  DT_CHR,
					      DT_BLK,     DT_FIFO, DT_SOCK, DT_LNK};

	return file_type < sizeof(types) ? types[file_type] : DT_UNKNOWN;
}

static int entry_get(const struct dir_block *block, unsigned index, struct erofs_dirent *ret_entry)
{
	const uint8_t *p = block->base + index * DIRENT_BYTES;
	unsigned from = get16(p + 8), to;

	to = index + 1 < block->nr ? get16(p + DIRENT_BYTES + 8) : block->bytes;
	if (from < block->nr * DIRENT_BYTES || from >= to || to > block->bytes)
		return -EUCLEAN;
	ret_entry->name = (const char *)block->base + from;
	ret_entry->name_len = (unsigned)strnlen(ret_entry->name, to - from);
	ret_entry->nid = get64(p);
	ret_entry->type = dtype_of(p[10]);
	if (!ret_entry->name_len || ret_entry->name_len > EROFS_NAME_LEN ||
	    memchr(ret_entry->name, '/', ret_entry->name_len))
		return -EUCLEAN;
	return 0;
}

static int name_compare(const char *name, unsigned len, const struct erofs_dirent *entry)
{
	int r = memcmp(name, entry->name, MIN(len, entry->name_len));

	return r ? r : (int)len - (int)entry->name_len;
}

/* The last block whose first name is not behind the one that is looked for. */
static int block_find(const struct erofs *fs, const struct erofs_inode *dir, const char *name,
		      unsigned len, struct dir_block *ret_block)
{
	uint64_t low = 0, high = align_up(dir->size, 1UL << fs->block_bits) >> fs->block_bits;
	struct erofs_dirent entry;
	struct dir_block block;
	int err = -ENOENT;

	while (low < high) {
		uint64_t middle = low + (high - low) / 2;
		int r = block_get(fs, dir, middle, &block);

		if (!r)
			r = entry_get(&block, 0, &entry);
		if (r)
			return r;
		if (name_compare(name, len, &entry) < 0) {
			high = middle;
		} else {
			low = middle + 1;
			*ret_block = block;
			err = 0;
		}
	}
	return err;
}

int erofs_dir_find(const struct erofs *fs, const struct erofs_inode *dir, const char *name,
		   unsigned len, struct erofs_dirent *ret_entry)
{
	struct erofs_dirent entry;
	struct dir_block block;
	unsigned low = 0, high;
	int err = block_find(fs, dir, name, len, &block);

	if (err)
		return err;
	high = block.nr;
	while (low < high) {
		unsigned middle = low + (high - low) / 2;
		int order;

		err = entry_get(&block, middle, &entry);
		if (err)
			return err;
		order = name_compare(name, len, &entry);
		if (order == 0) {
			*ret_entry = entry;
			return 0;
		}
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return -ENOENT;
}

int erofs_dir_each(const struct erofs *fs, const struct erofs_inode *dir,
		   int (*fn)(const struct erofs_dirent *entry, void *arg), void *arg)
{
	struct erofs_dirent entry;
	struct dir_block block;
	int err = 0;

	for (uint64_t i = 0; !err && i << fs->block_bits < dir->size; i++) {
		err = block_get(fs, dir, i, &block);
		for (unsigned k = 0; !err && k < block.nr; k++) {
			err = entry_get(&block, k, &entry);
			if (!err)
				err = fn(&entry, arg);
		}
	}
	return err;
}

/* ---- extended attributes ---- */

static const char *xattr_prefix(unsigned index)
{
	switch (index) {
	case 1:
		return "user.";
	case 4:
		return "trusted.";
	case 6:
		return "security.";
	default:
		return NULL;
	}
}

/* The entry at `at`, which must end before `end`; *ret_bytes: where the next one begins. */
static int xattr_get(const struct erofs *fs, uint64_t at, uint64_t end,
		     struct erofs_xattr *ret_xattr, uint64_t *ret_bytes)
{
	const uint8_t *p = fs->base + at;
	uint64_t bytes;

	if (end - at < XATTR_ENTRY_BYTES)
		return -EUCLEAN;
	ret_xattr->prefix = xattr_prefix(p[1]);
	ret_xattr->name = (const char *)p + XATTR_ENTRY_BYTES;
	ret_xattr->name_len = p[0];
	ret_xattr->value = p + XATTR_ENTRY_BYTES + p[0];
	ret_xattr->value_bytes = get16(p + 2);
	bytes = XATTR_ENTRY_BYTES + ret_xattr->name_len + ret_xattr->value_bytes;
	if (bytes > end - at)
		return -EUCLEAN;
	if (ret_xattr->prefix &&
	    (!ret_xattr->name_len || memchr(ret_xattr->name, 0, ret_xattr->name_len)))
		return -EUCLEAN;
	*ret_bytes = align_up(bytes, 4UL);
	return 0;
}

static int shared_each(const struct erofs *fs, const struct erofs_inode *inode, unsigned nr,
		       int (*fn)(const struct erofs_xattr *xattr, void *arg), void *arg)
{
	struct erofs_xattr xattr;
	uint64_t bytes;
	int err = 0;

	for (unsigned i = 0; !err && i < nr; i++) {
		uint64_t id = get32(fs->base + inode->xattr_at + XATTR_HEADER_BYTES + 4 * i);
		uint64_t at = fs->xattr_off + id * 4;

		if (at >= fs->size)
			return -EUCLEAN;
		err = xattr_get(fs, at, fs->size, &xattr, &bytes);
		if (!err && xattr.prefix)
			err = fn(&xattr, arg);
	}
	return err;
}

int erofs_xattr_each(const struct erofs *fs, const struct erofs_inode *inode,
		     int (*fn)(const struct erofs_xattr *xattr, void *arg), void *arg)
{
	uint64_t at = inode->xattr_at, end = at + inode->xattr_bytes, bytes;
	struct erofs_xattr xattr;
	unsigned nr_shared;
	int err;

	if (!inode->xattr_bytes)
		return 0;
	nr_shared = fs->base[at + 4];
	if (XATTR_HEADER_BYTES + 4 * nr_shared > inode->xattr_bytes)
		return -EUCLEAN;
	err = shared_each(fs, inode, nr_shared, fn, arg);
	for (at += XATTR_HEADER_BYTES + 4 * nr_shared; !err && at < end; at += bytes) {
		err = xattr_get(fs, at, end, &xattr, &bytes);
		if (err)
			break;
		if (xattr.prefix)
			err = fn(&xattr, arg);
	}
	return err;
}
