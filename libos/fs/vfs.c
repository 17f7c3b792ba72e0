/*
 * vfs.c - the tree of an instance: what is mounted where, and each process's place in it.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "libos/arena.h"
#include "libos/fs/hostfile.h"
#include "libos/fs/memfs.h"
#include "libos/fs/proc.h"
#include "libos/fs/pty.h"
#include "libos/fs/tty_job.h"
#include "libos/hostio.h"
#include "libos/instance.h"

#define STORE_LIMIT_DEFAULT (4UL << 30)
#define UMASK_DEFAULT 022u
#define CONSOLE_DEV 0x501u /* 5:1 */

static struct path root_path(void)
{
	struct mount *mnt = vfs_get()->root;

	return (struct path){mnt, mnt->root};
}

/* Makes each missing directory of an absolute path: referenced. */
static int make_dirs(const char *name, struct path *ret_path)
{
	char part[FS_NAME_MAX + 1];
	struct path at = path_ref(root_path()), next;
	int err = 0;

	while (err == 0 && *name != '\0') {
		size_t len = strcspn(name, "/");

		if (len > FS_NAME_MAX) {
			err = -ENAMETOOLONG;
		} else if (len > 0) {
			memcpy(part, name, len);
			part[len] = '\0';
			err = path_lookup_at(at, part, LOOKUP_FOLLOW, &next);
			if (err == -ENOENT)
				err = path_make_dir(at, part, &next);
			if (err == 0) {
				path_unref(at);
				at = next;
			}
		}
		name += len + (name[len] == '/');
	}
	if (err != 0)
		path_unref(at);
	else
		*ret_path = at;
	return err;
}

/* Mounts a file system at a directory, which is made if need be. */
static int mount_on(const char *name, struct super *sb, struct dentry *root)
{
	struct mount *mnt;
	struct path at;
	int err = make_dirs(name, &at);

	if (err != 0)
		return err;
	err = mount_add(sb, root, &at, &mnt);
	path_unref(at);
	return err;
}

static int mount_memfs(const char *name, uint32_t mode)
{
	struct super *sb;
	struct dentry *root;
	int err = memfs_create("tmpfs", mode, &sb, &root);

	return err != 0 ? err : mount_on(name, sb, root);
}

static int mount_devpts(void)
{
	struct super *sb;
	struct dentry *root;
	struct path at;
	int err = devpts_create(&sb, &root);

	if (err == 0)
		err = make_dirs("dev/pts", &at);
	if (err != 0)
		return err;
	err = mount_add(sb, root, &at, &vfs_get()->pts);
	if (err == 0)
		mount_ref(vfs_get()->pts);
	path_unref(at);
	return err;
}

static int mount_dev(void)
{
	struct path dev;
	int err = mount_memfs("dev", 0755);

	if (err == 0)
		err = path_lookup_at(root_path(), "dev", LOOKUP_FOLLOW, &dev);
	if (err != 0)
		return err;
	err = devfs_populate(dev);
	path_unref(dev);
	if (err == 0)
		err = mount_memfs("dev/shm", 01777);
	return err != 0 ? err : mount_devpts();
}

/* A volume may be a single file: then its place is a file, made if need be. */
static int file_place(const char *dst, struct path *ret_path)
{
	char *copy = arena_alloc(strlen(dst) + 1), *slash;
	struct path dir;
	int err;

	if (copy == NULL)
		return -ENOMEM;
	memcpy(copy, dst, strlen(dst) + 1);
	slash = strrchr(copy, '/');
	*slash = '\0';
	err = make_dirs(copy, &dir);
	if (err == 0) {
		err = path_lookup_at(dir, slash + 1, LOOKUP_FOLLOW, ret_path);
		if (err == -ENOENT) {
			err = path_make_file(dir, slash + 1, ret_path);
		}
		path_unref(dir);
	}
	arena_free(copy);
	return err;
}

static int mount_volume(unsigned index)
{
	const struct abi_boot *boot = instance()->boot;
	const struct abi_volume *volume = &boot->volume[index];
	const char *dst = (const char *)boot + volume->dst_off;
	struct dentry *root;
	struct super *sb;
	struct mount *mnt;
	struct path at;
	int err = hostfs_create(ABI_FD_VOLUMES + (int)index, (volume->flags & ABI_VOLUME_RO) != 0,
				&sb, &root);

	if (err != 0)
		return err;
	if (S_ISDIR(root->inode->mode))
		return mount_on(dst, sb, root);
	err = file_place(dst, &at);
	if (err != 0)
		return err;
	err = mount_add(sb, root, &at, &mnt);
	path_unref(at);
	return err;
}

static int mount_pseudo(void)
{
	struct super *sb;
	struct dentry *root;
	int err = procfs_create(&sb, &root);

	if (err == 0)
		err = mount_on("proc", sb, root);
	if (err == 0)
		err = sysfs_create(&sb, &root);
	if (err == 0)
		err = mount_on("sys", sb, root);
	if (err == 0)
		err = mount_dev();
	return err != 0 ? err : mount_memfs("run", 0755);
}

/* Path walks ask the current process for its root: here it is the tree's own. */
static int mount_all(unsigned nr_volumes)
{
	struct path_ctx ctx = {.refs = 1, .root = root_path(), .cwd = root_path()};
	int err;

	current()->process->fs = &ctx;
	err = mount_pseudo();
	if (err == 0)
		resolver_init();
	for (unsigned i = 0; err == 0 && i < nr_volumes; i++)
		err = mount_volume(i);
	current()->process->fs = NULL;
	return err;
}

static struct path_ctx *path_ctx_at_root(void)
{
	struct path_ctx *ctx = arena_zalloc(sizeof(*ctx));

	if (ctx == NULL)
		return NULL;
	ctx->refs = 1;
	ctx->root = path_ref(root_path());
	ctx->cwd = path_ref(root_path());
	return ctx;
}

int vfs_init(struct instance *inst)
{
	uint64_t memory = inst->boot->memory_max;
	struct vfs *vfs = arena_zalloc(sizeof(*vfs));
	int err;

	if (vfs == NULL)
		return -ENOMEM;
	inst->vfs = vfs;
	list_init(&vfs->mounts);
	list_init(&vfs->open_nodes);
	list_init(&vfs->idle_fds);
	list_init(&vfs->ptys);
	list_init(&vfs->ttys);
	random_bytes(vfs->boot_id, sizeof(vfs->boot_id));
	err = dcache_init(vfs);
	if (err != 0)
		return err;
	vfs->store = store_create(memory == 0 ? STORE_LIMIT_DEFAULT : memory / 2);
	vfs->anon_sb = super_create("anon", &mem_super_ops, "none");
	if (vfs->store == NULL || vfs->anon_sb == NULL)
		return -ENOMEM;
	tty_job_init(&inst->console, CONSOLE_DEV);
	if (inst->boot->root_bytes != 0)
		err = imgfs_mount_root(vfs, (const void *)ABI_ROOT_BASE, inst->boot->root_bytes);
	else
		err = overlay_mount_root(vfs, ABI_FD_ROOT);
	if (err == 0)
		err = hostio_init();
	return err != 0 ? err : mount_all(inst->boot->nr_volumes);
}

int vfs_prepare_fork(void)
{
	return store_attach(vfs_get()->store);
}

/* ---- each process's place ---- */

struct path_ctx *path_ctx_create(void)
{
	const struct abi_boot *boot = instance()->boot;
	const char *cwd = (const char *)boot + boot->cwd_off;
	struct path_ctx *ctx = path_ctx_at_root();
	struct path at;

	if (ctx == NULL)
		return NULL;
	ctx->umask = boot->umask != 0 ? boot->umask : UMASK_DEFAULT;
	current()->process->fs = ctx;
	if (path_lookup_at(root_path(), cwd, LOOKUP_FOLLOW | LOOKUP_DIRECTORY | LOOKUP_EMPTY,
			   &at) == 0 ||
	    make_dirs(cwd, &at) == 0) {
		path_unref(ctx->cwd);
		ctx->cwd = at;
	}
	return ctx;
}

struct path_ctx *path_ctx_copy(struct path_ctx *from)
{
	struct path_ctx *ctx = arena_alloc(sizeof(*ctx));

	if (ctx == NULL)
		return NULL;
	ctx->refs = 1;
	ctx->umask = from->umask;
	ctx->root = path_ref(from->root);
	ctx->cwd = path_ref(from->cwd);
	return ctx;
}

struct path_ctx *path_ctx_ref(struct path_ctx *ctx)
{
	ctx->refs++;
	return ctx;
}

void path_ctx_unref(struct path_ctx *ctx)
{
	if (ctx == NULL || --ctx->refs > 0)
		return;
	path_unref(ctx->root);
	path_unref(ctx->cwd);
	arena_free(ctx);
}

/* ---- names of open files ---- */

static int print_into(struct path path, char *buf, unsigned size)
{
	const char *start = path_print(path, current()->process->fs->root, buf, size);
	size_t len;

	if (start == NULL)
		return -ENAMETOOLONG;
	len = strlen(start);
	memmove(buf, start, len + 1);
	return (int)len;
}

int vfs_file_path(const struct file *file, char *buf, unsigned size)
{
	if (file->path.dentry != NULL)
		return print_into(file->path, buf, size);
	return fmt_print(buf, size, "%s:[%lu]", file->ops->name,
			 (unsigned long)((uintptr_t)file & 0xffffffffU));
}

int vfs_cwd_path(char *buf, unsigned size)
{
	return print_into(current()->process->fs->cwd, buf, size);
}

void vfs_file_id(const struct file *file, uint64_t *ret_dev, uint64_t *ret_ino)
{
	*ret_dev = file->inode != NULL ? file->inode->dev : vfs_get()->anon_sb->dev;
	*ret_ino = file->inode != NULL ? file->inode->ino : (uintptr_t)file & 0xffffffffU;
}

static void table_resume(struct fdtable *table)
{
	for (int fd = fd_next(table, 0); fd >= 0; fd = fd_next(table, fd + 1)) {
		struct file *file = fd_get_from(table, fd);

		if (hostfile_is(file))
			hostfile_resume(file);
		overlay_dir_resume(file);
		hostfs_dir_resume(file);
	}
}

int vfs_resume(uint64_t store_end, const char **ret_path)
{
	struct vfs *vfs = vfs_get();
	struct list *pos;

	store_resume(vfs->store, store_end);
	random_bytes(vfs->boot_id, sizeof(vfs->boot_id));
	list_for_each(pos, &instance()->processes) {
		struct process *process = list_entry(pos, struct process, all_node);

		if (process->files != NULL)
			table_resume(process->files);
	}
	return host_nodes_resume(ret_path);
}

void vfs_stats_get(struct vfs_stats *ret_stats)
{
	const struct vfs *vfs = vfs_get();

	ret_stats->dentries = vfs->nr_dentries;
	ret_stats->host_fds = vfs->nr_idle_fds;
	ret_stats->store_bytes = store_used_bytes(vfs->store);
	ret_stats->store_limit_bytes = store_limit_bytes(vfs->store);
}
