/*
 * dcache.c - names in directories: the hash of (directory, name), pinned and cached entries.
 *
 * A dentry holds a reference to its parent.  Without users a pinned one stays for ever, a cached
 * one stays until more than DCACHE_MAX of them are there.
 */
#include <errno.h>
#include <string.h>

#include "leat/base/bits.h"
#include "libos/arena.h"
#include "libos/clock.h"
#include "libos/fs/fs.h"

#define HASH_BITS_MIN 9u
#define HASH_BITS_MAX 17u

int dcache_init(struct vfs *vfs)
{
	vfs->hash_bits = HASH_BITS_MIN;
	vfs->hash = arena_zalloc(sizeof(struct dentry *) << HASH_BITS_MIN);
	list_init(&vfs->lru);
	return vfs->hash ? 0 : -ENOMEM;
}

static uint32_t name_hash(const struct dentry *parent, const char *name, unsigned len)
{
	uint64_t h = (uintptr_t)parent * 0x9e3779b97f4a7c15u;
	unsigned i;

	for (i = 0; i < len; i++)
		h = (h ^ (unsigned char)name[i]) * 0x100000001b3u;
	return (uint32_t)(h >> 32) ^ (uint32_t)h;
}

static struct dentry **bucket_of(struct vfs *vfs, uint32_t hash)
{
	return &vfs->hash[hash & ((1u << vfs->hash_bits) - 1)];
}

/* Doubles the table; when there is no memory the chains just get longer. */
static void hash_grow(struct vfs *vfs)
{
	unsigned old_size = 1u << vfs->hash_bits;
	struct dentry **old = vfs->hash;
	struct dentry **table = arena_zalloc(2 * old_size * sizeof(struct dentry *));
	unsigned i;

	if (!table)
		return;
	vfs->hash = table;
	vfs->hash_bits++;
	for (i = 0; i < old_size; i++) {
		while (old[i]) {
			struct dentry *d = old[i];
			struct dentry **bucket = bucket_of(vfs, d->hash);

			old[i] = d->hash_next;
			d->hash_next = *bucket;
			*bucket = d;
		}
	}
	arena_free(old);
}

static int name_set(struct dentry *dentry, const char *name, unsigned len)
{
	char *copy = dentry->inline_name;

	if (len >= sizeof(dentry->inline_name)) {
		copy = arena_alloc(len + 1);
		if (!copy)
			return -ENOMEM;
	}
	memcpy(copy, name, len);
	copy[len] = 0;
	dentry->name = copy;
	dentry->name_len = len;
	return 0;
}

static void name_free(struct dentry *dentry)
{
	if (dentry->name != dentry->inline_name)
		arena_free((void *)(uintptr_t)dentry->name);
}

struct dentry *dentry_create(struct super *sb, struct dentry *parent, const char *name,
			     unsigned len)
{
	struct vfs *vfs = vfs_get();
	struct dentry *d = arena_zalloc(sizeof(*d));

	if (!d)
		return NULL;
	if (name_set(d, name, len)) {
		arena_free(d);
		return NULL;
	}
	d->refs = 1;
	d->sb = sb;
	d->parent = parent ? dentry_ref(parent) : d;
	d->next_cookie = DIR_FIRST_COOKIE;
	list_init(&d->children);
	list_init(&d->sibling);
	list_init(&d->lru);
	vfs->nr_dentries++;
	if (vfs->nr_dentries > 2u << vfs->hash_bits && vfs->hash_bits < HASH_BITS_MAX)
		hash_grow(vfs);
	return d;
}

struct dentry *dentry_ref(struct dentry *dentry)
{
	dentry->refs++;
	return dentry;
}

void dentry_hash(struct dentry *dentry)
{
	struct dentry **bucket;

	dentry->hash = name_hash(dentry->parent, dentry->name, dentry->name_len);
	bucket = bucket_of(vfs_get(), dentry->hash);
	dentry->hash_next = *bucket;
	*bucket = dentry;
	dentry->flags |= DENTRY_HASHED;
	if (list_empty(&dentry->sibling))
		list_add_tail(&dentry->parent->children, &dentry->sibling);
}

void dentry_unhash(struct dentry *dentry)
{
	struct dentry **pos = bucket_of(vfs_get(), dentry->hash);

	if (!(dentry->flags & DENTRY_HASHED))
		return;
	while (*pos != dentry)
		pos = &(*pos)->hash_next;
	*pos = dentry->hash_next;
	dentry->flags &= ~DENTRY_HASHED;
	list_del(&dentry->sibling);
}

static void lru_remove(struct dentry *dentry)
{
	if (!(dentry->flags & DENTRY_LRU))
		return;
	list_del(&dentry->lru);
	dentry->flags &= ~DENTRY_LRU;
	vfs_get()->nr_lru--;
}

/* Frees it; its parent has lost one user, which the caller drops. */
static struct dentry *dentry_free(struct dentry *dentry)
{
	struct dentry *parent = dentry->parent == dentry ? NULL : dentry->parent;

	lru_remove(dentry);
	dentry_unhash(dentry);
	inode_unref(dentry->inode);
	name_free(dentry);
	arena_free(dentry);
	vfs_get()->nr_dentries--;
	return parent;
}

/* Frees entries that nobody uses, oldest first, until the cache is small enough. */
static void lru_shrink(struct vfs *vfs)
{
	while (vfs->nr_lru > DCACHE_MAX) {
		struct dentry *d = list_entry(vfs->lru.next, struct dentry, lru);

		lru_remove(d);
		if (d->refs == 0)
			dentry_unref(dentry_free(d));
	}
}

void dentry_unref(struct dentry *dentry)
{
	struct vfs *vfs;

	while (dentry && --dentry->refs == 0) {
		if (!(dentry->flags & DENTRY_HASHED) || (dentry->flags & DENTRY_NOCACHE)) {
			dentry = dentry_free(dentry);
			continue;
		}
		if (dentry->flags & (DENTRY_PINNED | DENTRY_LRU))
			return;
		vfs = vfs_get();
		list_add_tail(&vfs->lru, &dentry->lru);
		dentry->flags |= DENTRY_LRU;
		if (++vfs->nr_lru > DCACHE_MAX)
			lru_shrink(vfs);
		return;
	}
}

struct dentry *dcache_find(struct dentry *parent, const char *name, unsigned len)
{
	uint32_t hash = name_hash(parent, name, len);
	struct dentry *d;

	for (d = *bucket_of(vfs_get(), hash); d; d = d->hash_next)
		if (d->hash == hash && d->parent == parent && d->name_len == len &&
		    memcmp(d->name, name, len) == 0)
			return d;
	return NULL;
}

void dentry_set_inode(struct dentry *dentry, struct inode *inode)
{
	struct inode *old = dentry->inode;

	dentry->inode = inode;
	inode_unref(old);
}

void dentry_pin(struct dentry *dentry)
{
	struct dentry *parent = dentry->parent;

	if (dentry->flags & DENTRY_PINNED)
		return;
	lru_remove(dentry);
	dentry->flags |= DENTRY_PINNED;
	dentry->cookie = parent->next_cookie++;
	parent->nr_pinned++;
	list_del(&dentry->sibling);
	list_add_tail(&parent->children, &dentry->sibling);
}

void dentry_unpin(struct dentry *dentry)
{
	if (!(dentry->flags & DENTRY_PINNED))
		return;
	dentry->flags &= ~DENTRY_PINNED;
	dentry->parent->nr_pinned--;
}

void dentry_delete(struct dentry *dentry)
{
	dentry_unpin(dentry);
	dentry_unhash(dentry);
	dentry->flags |= DENTRY_DELETED;
}

/* Leaves parent and name; the caller hashes it at its new place. Owns no parent reference then. */
static void dentry_detach(struct dentry *dentry)
{
	dentry_unpin(dentry);
	dentry_unhash(dentry);
}

int dentry_move(struct dentry *old, struct dentry *new)
{
	struct dentry *old_parent = old->parent;
	char name[FS_NAME_MAX + 1];
	unsigned len = new->name_len;
	bool pinned = old->flags & DENTRY_PINNED;
	char *copy = NULL;

	memcpy(name, new->name, len);
	if (len >= sizeof(old->inline_name)) {
		copy = arena_alloc(len + 1);
		if (!copy)
			return -ENOMEM;
	}
	dentry_delete(new);
	dentry_detach(old);
	name_free(old);
	old->name = copy ? copy : old->inline_name;
	memcpy(copy ? copy : old->inline_name, name, len);
	(copy ? copy : old->inline_name)[len] = 0;
	old->name_len = len;
	old->parent = dentry_ref(new->parent);
	dentry_hash(old);
	if (pinned)
		dentry_pin(old);
	dentry_unref(old_parent);
	return 0;
}

int dentry_exchange(struct dentry *a, struct dentry *b)
{
	struct dentry tmp = *a;
	bool a_inline = a->name == a->inline_name;
	bool b_inline = b->name == b->inline_name;

	dentry_detach(a);
	dentry_detach(b);
	a->parent = b->parent;
	a->name_len = b->name_len;
	a->name = b_inline ? a->inline_name : b->name;
	memcpy(a->inline_name, b->inline_name, sizeof(a->inline_name));
	b->parent = tmp.parent;
	b->name_len = tmp.name_len;
	b->name = a_inline ? b->inline_name : tmp.name;
	memcpy(b->inline_name, tmp.inline_name, sizeof(b->inline_name));
	dentry_hash(a);
	dentry_hash(b);
	dentry_pin(a);
	dentry_pin(b);
	return 0;
}

void dcache_drop_children(struct dentry *dir)
{
	struct list *pos, *tmp;

	list_for_each_safe(pos, tmp, &dir->children) {
		struct dentry *d = list_entry(pos, struct dentry, sibling);

		if (d->flags & DENTRY_PINNED)
			continue;
		if (!list_empty(&d->children))
			dcache_drop_children(d);
		if (d->refs == 0) {
			dentry_free(d);
			dir->refs--; /* not its last user: the caller holds one */
		}
	}
}

bool dentry_is_below(const struct dentry *dentry, const struct dentry *ancestor)
{
	for (;; dentry = dentry->parent) {
		if (dentry == ancestor)
			return true;
		if (dentry->parent == dentry)
			return false;
	}
}

/* A cached entry that is too old is asked about again; true: it may be used. */
static bool dentry_is_fresh(struct dentry *d)
{
	uint64_t ttl = d->sb->ttl_ns;
	uint64_t now;

	if (likely(ttl == UINT64_MAX) || !d->parent->inode->ops->revalidate)
		return true;
	if ((d->flags & DENTRY_PINNED) && !d->sb->shared_tree)
		return true;
	now = clock_monotonic_ns();
	if (now - d->checked_ns < ttl)
		return true;
	if (!d->parent->inode->ops->revalidate(d))
		return false;
	d->checked_ns = now;
	return true;
}

int dentry_lookup(struct dentry *parent, const char *name, unsigned len, struct dentry **ret_dentry)
{
	struct dentry *d = dcache_find(parent, name, len);
	int err;

	if (d) {
		dentry_ref(d);
		if (dentry_is_fresh(d)) {
			*ret_dentry = d;
			return 0;
		}
		dcache_drop_children(d);
		dentry_delete(d);
		dentry_unref(d);
	}
	if (len > FS_NAME_MAX)
		return -ENAMETOOLONG;
	if (parent->flags & DENTRY_DELETED)
		return -ENOENT;
	d = dentry_create(parent->sb, parent, name, len);
	if (!d)
		return -ENOMEM;
	if (d->sb->ttl_ns != UINT64_MAX)
		d->checked_ns = clock_monotonic_ns();
	err = parent->inode->ops->lookup(parent->inode, d);
	if (err) {
		dentry_unref(d);
		return err;
	}
	dentry_hash(d);
	*ret_dentry = d;
	return 0;
}
