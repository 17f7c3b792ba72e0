/*
 * resolver.c - /etc/resolv.conf leads to the server that knows the instances of the tenant.
 *
 * The DPU answers questions to any server outside the instances' network (net/dpu/service.c), so a
 * file that names such a one first stays as it is.  Where there is none, or the first server is one
 * of the host's loopback addresses (a stub resolver), which is nobody here, the file is made anew
 * in the instance's own layer.  Volumes are mounted afterwards, so one that has the file hides it.
 */
#include "libos/fs/fs.h"

#include <errno.h>
#include <string.h>

#include "leat/abi/netdev.h"
#include "libos/instance.h"
#include "libos/task.h"

#define RESOLV_CONF "/etc/resolv.conf"
#define RESOLV_CONF_READ 1023U /* of it; the first server comes before that */
#define LOOPBACK_OCTET 127U

/* The first octet of the first server's IPv4 address; 0: none, or no such address. */
static unsigned first_server_octet(const char *text)
{
	static const char keyword[] = "nameserver";
	unsigned octet = 0;

	for (; text != NULL; text = strchr(text, '\n')) {
		while (*text == '\n')
			text++;
		if (strncmp(text, keyword, sizeof(keyword) - 1) != 0)
			continue;
		text += sizeof(keyword) - 1;
		while (*text == ' ' || *text == '\t')
			text++;
		for (; *text >= '0' && *text <= '9' && octet < 256; text++)
			octet = octet * 10 + (unsigned)(*text - '0');
		return *text == '.' && octet < 256 ? octet : 0;
	}
	return 0;
}

static bool resolver_is_good(void)
{
	struct file *file;
	char text[RESOLV_CONF_READ + 1];
	unsigned octet;
	ssize_t n;

	if (vfs_open(RESOLV_CONF, AT_FDCWD, O_RDONLY, 0, &file) != 0)
		return false;
	n = file_pread_kernel(file, text, RESOLV_CONF_READ, 0);
	file_unref(file);
	if (n <= 0)
		return false;
	text[n] = '\0';
	octet = first_server_octet(text);
	return octet != 0 && octet != LOOPBACK_OCTET;
}

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
	if (!resolver_is_good())
		resolver_write(dev->dns_be);
	process->creds = creds;
}
