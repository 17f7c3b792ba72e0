/*
 * unix_name.c - names of AF_UNIX sockets: in the file system, abstract, and automatic.
 */
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "libos/arena.h"
#include "libos/fs/fs.h"
#include "libos/instance.h"
#include "libos/unix.h"

#define UNIX_PATH_OFF offsetof(struct sockaddr_un, sun_path)
#define AUTOBIND_NAMES 0x100000U /* five hexadecimal digits (unix(7), "Autobind feature") */

/* All abstract names. */
struct unix_names {
	struct list abstract;
	unsigned next_auto;
};

static struct unix_names *unix_names(void)
{
	struct unix_names *names = instance()->unix_sockets;

	if (names == NULL) {
		names = arena_zalloc(sizeof(*names));
		if (names == NULL)
			return NULL;
		list_init(&names->abstract);
		instance()->unix_sockets = names;
	}
	return names;
}

static int unix_name_check(const struct sockaddr *addr, unsigned len)
{
	if (len < sizeof(sa_family_t) || len > sizeof(struct sockaddr_un))
		return -EINVAL;
	return addr->sa_family == AF_UNIX ? 0 : -EINVAL;
}

static bool unix_name_is_abstract(const struct sockaddr_un *addr, unsigned len)
{
	return len > UNIX_PATH_OFF && addr->sun_path[0] == '\0';
}

/* A path need not end with a NUL inside the address. */
static void unix_name_path(const struct sockaddr_un *addr, unsigned len,
			   char path[sizeof(addr->sun_path) + 1])
{
	size_t n = len - UNIX_PATH_OFF;

	memcpy(path, addr->sun_path, n);
	path[n] = '\0';
}

static struct unix_sock *unix_abstract_find(const struct sockaddr_un *addr, unsigned len)
{
	struct unix_names *names = unix_names();
	struct list *pos;

	if (names == NULL)
		return NULL;
	list_for_each(pos, &names->abstract) {
		struct unix_sock *sock = list_entry(pos, struct unix_sock, name_node);

		if (sock->name.len == len && memcmp(&sock->name.addr, addr, len) == 0)
			return sock;
	}
	return NULL;
}

static int unix_abstract_bind(struct unix_sock *sock, const struct sockaddr_un *addr, unsigned len)
{
	if (unix_abstract_find(addr, len) != NULL)
		return -EADDRINUSE;
	if (unix_names() == NULL)
		return -ENOMEM;
	memcpy(&sock->name.addr, addr, len);
	sock->name.len = len;
	list_add(&unix_names()->abstract, &sock->name_node);
	return 0;
}

/* An address without a name: the first free one of \0 and five digits. */
static int unix_autobind(struct unix_sock *sock)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	unsigned len = (unsigned)UNIX_PATH_OFF + 6;
	struct unix_names *names = unix_names();

	if (names == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i < AUTOBIND_NAMES; i++) {
		fmt_print(addr.sun_path + 1, 6, "%05x", names->next_auto++ % AUTOBIND_NAMES);
		if (unix_abstract_find(&addr, len) == NULL)
			return unix_abstract_bind(sock, &addr, len);
	}
	return -ENOSPC;
}

static int unix_path_bind(struct unix_sock *sock, const struct sockaddr_un *addr, unsigned len)
{
	char name[sizeof(addr->sun_path) + 1];
	uint32_t mode = S_IFSOCK | (0777 & ~current()->process->fs->umask);
	int err;

	unix_name_path(addr, len, name);
	err = path_mknod(AT_FDCWD, name, mode, 0, &sock->path);
	if (err != 0)
		return err == -EEXIST ? -EADDRINUSE : err;
	sock->path.dentry->inode->bound = sock;
	memcpy(&sock->name.addr, addr, len);
	sock->name.len = (unsigned)(UNIX_PATH_OFF + strlen(name) + 1);
	return 0;
}

int unix_name_bind(struct unix_sock *sock, const struct sockaddr *addr, unsigned len)
{
	const struct sockaddr_un *un = (const struct sockaddr_un *)addr;
	int err = unix_name_check(addr, len);

	if (err != 0)
		return err;
	if (sock->name.len != 0)
		return -EINVAL;
	if (len == UNIX_PATH_OFF)
		return unix_autobind(sock);
	if (unix_name_is_abstract(un, len))
		return unix_abstract_bind(sock, un, len);
	return unix_path_bind(sock, un, len);
}

void unix_name_release(struct unix_sock *sock)
{
	list_del(&sock->name_node);
	if (sock->path.dentry == NULL)
		return;
	if (sock->path.dentry->inode != NULL && sock->path.dentry->inode->bound == sock)
		sock->path.dentry->inode->bound = NULL;
	path_unref(sock->path);
	sock->path = (struct path){0};
}

static int unix_path_find(const struct sockaddr_un *addr, unsigned len, struct unix_sock **ret_sock)
{
	char name[sizeof(addr->sun_path) + 1];
	struct inode *inode;
	struct path path;
	int err;

	unix_name_path(addr, len, name);
	err = path_lookup(AT_FDCWD, name, LOOKUP_FOLLOW, &path);
	if (err != 0)
		return err;
	inode = path.dentry->inode;
	if (inode == NULL)
		err = -ENOENT;
	else if (!S_ISSOCK(inode->mode) || inode->bound == NULL)
		err = -ECONNREFUSED;
	else
		err = inode_permission(inode, W_OK);
	if (err == 0)
		*ret_sock = inode->bound;
	path_unref(path);
	return err;
}

int unix_name_find(const struct sockaddr *addr, unsigned len, struct unix_sock **ret_sock)
{
	const struct sockaddr_un *un = (const struct sockaddr_un *)addr;
	int err = unix_name_check(addr, len);

	if (err != 0)
		return err;
	if (len == UNIX_PATH_OFF)
		return -EINVAL;
	if (!unix_name_is_abstract(un, len))
		return unix_path_find(un, len, ret_sock);
	*ret_sock = unix_abstract_find(un, len);
	return *ret_sock != NULL ? 0 : -ECONNREFUSED;
}
