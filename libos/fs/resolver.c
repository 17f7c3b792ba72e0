/*
 * resolver.c - /etc/resolv.conf names the server that knows the instances of the tenant.
 *
 * Made anew in the instance's own layer, whatever lies below: a server that the host asks cannot be
 * reached from here. Volumes are mounted afterwards, so one that has the file hides this one.
 */
#include "libos/fs/fs.h"

#include <errno.h>

#include "leat/abi/netdev.h"
#include "libos/instance.h"
#include "libos/task.h"

#define RESOLV_CONF "/etc/resolv.conf"

static void resolver_write(uint32_t ip)
{
	struct file *file;
	char text[64];
	int n, err;

	/* whatever is there is hidden, not written to: a symbolic link may lead anywhere */
	err = path_unlink(AT_FDCWD, RESOLV_CONF);
	if (err == 0 || err == -ENOENT)
		err = vfs_open(RESOLV_CONF, AT_FDCWD, O_WRONLY | O_CREAT | O_EXCL, 0644, &file);
	if (err != 0)
		return; /* a root without /etc: its programs look for no names */
	n = fmt_print(text, sizeof(text), "nameserver %u.%u.%u.%u\nsearch leat\n", ip & 255,
		      ip >> 8 & 255, ip >> 16 & 255, ip >> 24);
	file_pwrite_kernel(file, text, (size_t)n, 0);
	file_unref(file);
}

void resolver_init(void)
{
	const struct abi_netdev *dev = abi_netdev_of((void *)ABI_WINDOW_BASE);
	struct process *process = current()->process;
	struct creds creds = process->creds;

	if (dev->dns_be == 0)
		return;
	process->creds = (struct creds){0}; /* root's file, whoever the program runs as */
	resolver_write(dev->dns_be);
	process->creds = creds;
}
