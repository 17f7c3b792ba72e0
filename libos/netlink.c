/*
 * netlink.c - AF_NETLINK, as far as programs ask about the network: dumps of links, addresses and
 * routes (getifaddrs, if_nameindex, Go's net.Interfaces, `ip addr`).
 *
 * Every request is answered at once, into a queue that the next recvmsg reads.  Nothing can be
 * changed through it: those requests get NLMSG_ERROR.  Guard: the instance lock.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>

#include "libos/arena.h"
#include "libos/fs/fs.h"
#include "libos/instance.h"
#include "libos/sock.h"
#include "libos/task.h"
#include "net/net.h"

#define NETLINK_REPLY_MAX 4096u
#define NETLINK_REQUEST_MAX 4096u
#define NETLINK_QUEUE_MAX 16u
#define ARPHRD_ETHER 1
#define ARPHRD_LOOPBACK 772
#define IF_OPER_UP 6

struct netlink_reply {
	struct list node;
	uint32_t bytes;
	uint8_t data[NETLINK_REPLY_MAX];
};

struct netlink_sock {
	struct wait_queue wq;
	struct list replies;
	unsigned nr_replies;
	uint32_t pid; /* the socket's address, not a process; 0: unbound */
	uint32_t groups;
	int type;
};

static struct netlink_sock *netlink_of(const struct file *file)
{
	return file->data;
}

/* ---- building messages ---- */

static struct nlmsghdr *message_begin(struct netlink_reply *reply, const struct nlmsghdr *request,
				      uint32_t pid, int type, size_t body_bytes)
{
	struct nlmsghdr *header = (void *)(reply->data + reply->bytes);
	size_t bytes = NLMSG_LENGTH(body_bytes);

	if (reply->bytes + NLMSG_ALIGN(bytes) > NETLINK_REPLY_MAX)
		return NULL;
	memset(header, 0, NLMSG_ALIGN(bytes));
	header->nlmsg_len = (uint32_t)bytes;
	header->nlmsg_type = (uint16_t)type;
	header->nlmsg_flags = type == NLMSG_ERROR ? 0 : NLM_F_MULTI;
	header->nlmsg_seq = request->nlmsg_seq;
	header->nlmsg_pid = pid;
	return header;
}

static void attribute(struct netlink_reply *reply, struct nlmsghdr *header, int type,
		      const void *data, size_t bytes)
{
	size_t at = NLMSG_ALIGN(header->nlmsg_len);
	struct rtattr *attr = (void *)((uint8_t *)header + at);
	size_t end = at + RTA_SPACE(bytes);

	if (reply->bytes + end > NETLINK_REPLY_MAX)
		return;
	memset(attr, 0, RTA_SPACE(bytes));
	attr->rta_type = (uint16_t)type;
	attr->rta_len = (uint16_t)RTA_LENGTH(bytes);
	memcpy(RTA_DATA(attr), data, bytes);
	header->nlmsg_len = (uint32_t)end;
}

static void attribute_u32(struct netlink_reply *reply, struct nlmsghdr *header, int type,
			  uint32_t value)
{
	attribute(reply, header, type, &value, sizeof(value));
}

static void message_end(struct netlink_reply *reply, const struct nlmsghdr *header)
{
	reply->bytes += NLMSG_ALIGN(header->nlmsg_len);
}

/* ---- dumps ---- */

struct dump {
	struct netlink_reply *reply;
	const struct nlmsghdr *request;
	uint32_t pid;
	uint8_t family; /* AF_UNSPEC: all */
};

static void dump_link(const struct dump *dump, const struct net_if *info)
{
	static const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	static const uint8_t none[6];
	struct nlmsghdr *header = message_begin(dump->reply, dump->request, dump->pid, RTM_NEWLINK,
						sizeof(struct ifinfomsg));
	bool lo = info->index == 1;
	uint8_t oper = lo ? 0 : IF_OPER_UP;
	struct ifinfomsg *body;

	if (header == NULL)
		return;
	body = NLMSG_DATA(header);
	body->ifi_type = lo ? ARPHRD_LOOPBACK : ARPHRD_ETHER;
	body->ifi_index = (int)info->index;
	body->ifi_flags = info->flags | 0x10000; /* IFF_LOWER_UP */
	attribute(dump->reply, header, IFLA_IFNAME, info->name, strlen(info->name) + 1);
	attribute_u32(dump->reply, header, IFLA_TXQLEN, 1000);
	attribute(dump->reply, header, IFLA_OPERSTATE, &oper, 1);
	attribute_u32(dump->reply, header, IFLA_MTU, info->mtu);
	attribute(dump->reply, header, IFLA_ADDRESS, info->mac, 6);
	attribute(dump->reply, header, IFLA_BROADCAST, lo ? none : broadcast, 6);
	message_end(dump->reply, header);
}

static struct nlmsghdr *addr_begin(const struct dump *dump, const struct net_if *info, int family,
				   unsigned prefix_bits)
{
	struct nlmsghdr *header = message_begin(dump->reply, dump->request, dump->pid, RTM_NEWADDR,
						sizeof(struct ifaddrmsg));
	struct ifaddrmsg *body;

	if (header == NULL)
		return NULL;
	body = NLMSG_DATA(header);
	body->ifa_family = (uint8_t)family;
	body->ifa_prefixlen = (uint8_t)prefix_bits;
	body->ifa_flags = IFA_F_PERMANENT;
	body->ifa_scope = info->index == 1 ? RT_SCOPE_HOST : RT_SCOPE_UNIVERSE;
	body->ifa_index = info->index;
	return header;
}

static void dump_addr6(const struct dump *dump, const struct net_if *info,
		       const struct in6_addr *ip, unsigned prefix_bits, unsigned scope)
{
	struct nlmsghdr *header = addr_begin(dump, info, AF_INET6, prefix_bits);

	if (header == NULL)
		return;
	((struct ifaddrmsg *)NLMSG_DATA(header))->ifa_scope = (uint8_t)scope;
	attribute(dump->reply, header, IFA_ADDRESS, ip, 16);
	message_end(dump->reply, header);
}

static void dump_addr(const struct dump *dump, const struct net_if *info)
{
	struct nlmsghdr *header;

	if (dump->family != AF_INET6 && info->ip.s_addr != 0 &&
	    (header = addr_begin(dump, info, AF_INET, info->prefix_bits)) != NULL) {
		uint32_t host_bits = info->prefix_bits >= 32 ? 0 : ~0u >> info->prefix_bits;
		uint32_t broadcast = info->ip.s_addr | __builtin_bswap32(host_bits);

		attribute(dump->reply, header, IFA_ADDRESS, &info->ip, 4);
		attribute(dump->reply, header, IFA_LOCAL, &info->ip, 4);
		if (info->index != 1)
			attribute(dump->reply, header, IFA_BROADCAST, &broadcast, 4);
		attribute(dump->reply, header, IFA_LABEL, info->name, strlen(info->name) + 1);
		message_end(dump->reply, header);
	}
	if (dump->family == AF_INET)
		return;
	if (info->prefix6_global_bits != 0)
		dump_addr6(dump, info, &info->ip6_global, info->prefix6_global_bits,
			   RT_SCOPE_UNIVERSE);
	if (info->prefix6_bits != 0)
		dump_addr6(dump, info, &info->ip6, info->prefix6_bits,
			   info->index == 1 ? RT_SCOPE_HOST : RT_SCOPE_LINK);
}

static void dump_route(const struct dump *dump, uint32_t dst, unsigned dst_bits, uint32_t gateway,
		       uint32_t src)
{
	struct nlmsghdr *header = message_begin(dump->reply, dump->request, dump->pid, RTM_NEWROUTE,
						sizeof(struct rtmsg));
	struct rtmsg *body;

	if (header == NULL)
		return;
	body = NLMSG_DATA(header);
	body->rtm_family = AF_INET;
	body->rtm_dst_len = (uint8_t)dst_bits;
	body->rtm_table = RT_TABLE_MAIN;
	body->rtm_protocol = gateway != 0 ? RTPROT_BOOT : RTPROT_KERNEL;
	body->rtm_scope = gateway != 0 ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK;
	body->rtm_type = RTN_UNICAST;
	attribute_u32(dump->reply, header, RTA_TABLE, RT_TABLE_MAIN);
	if (dst_bits != 0)
		attribute_u32(dump->reply, header, RTA_DST, dst);
	if (gateway != 0)
		attribute_u32(dump->reply, header, RTA_GATEWAY, gateway);
	else
		attribute_u32(dump->reply, header, RTA_PREFSRC, src);
	attribute_u32(dump->reply, header, RTA_OIF, 2);
	message_end(dump->reply, header);
}

/* What is on the link: the prefix of one of our addresses. */
static void dump_route6(const struct dump *dump, const struct in6_addr *ip, unsigned bits)
{
	struct nlmsghdr *header = message_begin(dump->reply, dump->request, dump->pid, RTM_NEWROUTE,
						sizeof(struct rtmsg));
	struct in6_addr prefix = *ip;
	struct rtmsg *body;

	if (header == NULL)
		return;
	for (unsigned i = bits; i < 128; i++)
		prefix.s6_addr[i / 8] &= (uint8_t) ~(0x80u >> i % 8);
	body = NLMSG_DATA(header);
	body->rtm_family = AF_INET6;
	body->rtm_dst_len = (uint8_t)bits;
	body->rtm_table = RT_TABLE_MAIN;
	body->rtm_protocol = RTPROT_KERNEL;
	body->rtm_scope = RT_SCOPE_UNIVERSE;
	body->rtm_type = RTN_UNICAST;
	attribute_u32(dump->reply, header, RTA_TABLE, RT_TABLE_MAIN);
	attribute(dump->reply, header, RTA_DST, &prefix, 16);
	attribute_u32(dump->reply, header, RTA_PRIORITY, 256);
	attribute_u32(dump->reply, header, RTA_OIF, 2);
	message_end(dump->reply, header);
}

static void dump_routes6(const struct dump *dump, const struct net_if *info)
{
	if (info->prefix6_global_bits != 0)
		dump_route6(dump, &info->ip6_global, info->prefix6_global_bits);
	if (info->prefix6_bits != 0)
		dump_route6(dump, &info->ip6, info->prefix6_bits);
}

static void dump_routes(const struct dump *dump)
{
	uint32_t gateway = net_gateway(instance()->net).s_addr;
	struct net_if info;
	uint32_t mask;

	if (net_if_get(instance()->net, 2, &info) != 0)
		return;
	if (dump->family != AF_INET)
		dump_routes6(dump, &info);
	if (dump->family == AF_INET6)
		return;
	mask = info.prefix_bits == 0 ? 0 : __builtin_bswap32(~0u << (32 - info.prefix_bits));
	if (gateway != 0)
		dump_route(dump, 0, 0, gateway, 0);
	dump_route(dump, info.ip.s_addr & mask, info.prefix_bits, 0, info.ip.s_addr);
}

static void dump_all(const struct dump *dump)
{
	if (dump->request->nlmsg_type == RTM_GETROUTE) {
		dump_routes(dump);
		return;
	}
	for (unsigned i = 1; i <= 2; i++) {
		struct net_if info;

		if (net_if_get(instance()->net, i, &info) != 0)
			continue;
		if (dump->request->nlmsg_type == RTM_GETLINK)
			dump_link(dump, &info);
		else
			dump_addr(dump, &info);
	}
}

/* The interface that an RTM_GETLINK asks for, by index or by name; 0: none. */
static unsigned link_wanted(const struct nlmsghdr *request)
{
	const struct ifinfomsg *body = NLMSG_DATA(request);
	const uint8_t *at = (const uint8_t *)body + NLMSG_ALIGN(sizeof(*body));
	const uint8_t *end = (const uint8_t *)request + request->nlmsg_len;

	if (request->nlmsg_len < NLMSG_LENGTH(sizeof(*body)))
		return 0;
	if (body->ifi_index > 0)
		return (unsigned)body->ifi_index;
	while (end - at >= (ptrdiff_t)sizeof(struct rtattr)) {
		const struct rtattr *attr = (const void *)at;
		struct net_if info;

		if (attr->rta_len < sizeof(*attr) || attr->rta_len > end - at)
			return 0;
		for (unsigned i = 1; i <= 2 && attr->rta_type == IFLA_IFNAME; i++) {
			size_t len = attr->rta_len - sizeof(*attr);

			if (net_if_get(instance()->net, i, &info) == 0 &&
			    len >= strlen(info.name) &&
			    memcmp(attr + 1, info.name, strlen(info.name)) == 0)
				return i;
		}
		at += RTA_ALIGN(attr->rta_len);
	}
	return 0;
}

/* ---- requests ---- */

static void answer_error(struct netlink_reply *reply, const struct nlmsghdr *request, uint32_t pid,
			 int error)
{
	struct nlmsghdr *header =
		message_begin(reply, request, pid, NLMSG_ERROR, sizeof(struct nlmsgerr));
	struct nlmsgerr *body;

	if (header == NULL)
		return;
	body = NLMSG_DATA(header);
	body->error = error;
	body->msg = *request;
	message_end(reply, header);
}

static void answer_one(struct netlink_sock *ns, struct netlink_reply *reply,
		       const struct nlmsghdr *request)
{
	struct dump dump = {.reply = reply, .request = request, .pid = ns->pid};
	struct net_if info;

	if (request->nlmsg_type != RTM_GETLINK) {
		answer_error(reply, request, ns->pid, -EOPNOTSUPP);
		return;
	}
	if (net_if_get(instance()->net, link_wanted(request), &info) != 0) {
		answer_error(reply, request, ns->pid, -ENODEV);
		return;
	}
	dump_link(&dump, &info);
	((struct nlmsghdr *)reply->data)->nlmsg_flags = 0;
}

static void answer(struct netlink_sock *ns, struct netlink_reply *reply,
		   const struct nlmsghdr *request)
{
	struct dump dump = {.reply = reply, .request = request, .pid = ns->pid};
	struct nlmsghdr *done;

	switch (request->nlmsg_type) {
	case RTM_GETLINK:
	case RTM_GETADDR:
	case RTM_GETROUTE:
		break;
	default:
		if (request->nlmsg_type >= RTM_BASE)
			answer_error(reply, request, ns->pid,
				     (request->nlmsg_type & 3) == 2 ? -EOPNOTSUPP : -EPERM);
		else if (request->nlmsg_flags & NLM_F_ACK)
			answer_error(reply, request, ns->pid, 0);
		return;
	}
	/* of single objects only links are looked up: for the rest, `ip` and libc dump */
	if ((request->nlmsg_flags & NLM_F_DUMP) == 0) {
		answer_one(ns, reply, request);
		return;
	}
	if (request->nlmsg_len > NLMSG_HDRLEN)
		dump.family = *(const uint8_t *)NLMSG_DATA(request);
	dump_all(&dump);
	done = message_begin(reply, request, ns->pid, NLMSG_DONE, sizeof(int));
	if (done != NULL)
		message_end(reply, done);
}

static ssize_t netlink_request(struct netlink_sock *ns, uint8_t *data, size_t bytes)
{
	size_t at = 0;

	while (bytes - at >= sizeof(struct nlmsghdr)) {
		struct nlmsghdr *request = (void *)(data + at);
		struct netlink_reply *reply;

		if (request->nlmsg_len < sizeof(*request) || request->nlmsg_len > bytes - at)
			break;
		if (ns->nr_replies >= NETLINK_QUEUE_MAX)
			return -ENOBUFS;
		reply = arena_alloc(sizeof(*reply));
		if (reply == NULL)
			return -ENOMEM;
		reply->bytes = 0;
		answer(ns, reply, request);
		if (reply->bytes != 0) {
			list_add_tail(&ns->replies, &reply->node);
			ns->nr_replies++;
		} else {
			arena_free(reply);
		}
		if (NLMSG_ALIGN(request->nlmsg_len) > bytes - at)
			break;
		at += NLMSG_ALIGN(request->nlmsg_len);
	}
	if (ns->nr_replies != 0)
		wait_queue_wake(&ns->wq, POLLIN | POLLRDNORM);
	return (ssize_t)bytes;
}

/* ---- the socket ---- */

/* As on Linux, the first socket of a process has its pid for address; others anything unused. */
static void netlink_autobind(struct netlink_sock *ns)
{
	if (ns->pid == 0)
		ns->pid = (uint32_t)random_u64() | 0x80000000u;
}

static int netlink_bind(struct file *file, const struct sockaddr *addr, unsigned len)
{
	struct netlink_sock *ns = netlink_of(file);
	struct sockaddr_nl nl;

	if (len < sizeof(nl))
		return -EINVAL;
	memcpy(&nl, addr, sizeof(nl));
	if (nl.nl_family != AF_NETLINK)
		return -EINVAL;
	if (ns->pid != 0 && nl.nl_pid != 0 && nl.nl_pid != ns->pid)
		return -EINVAL;
	if (nl.nl_pid != 0)
		ns->pid = nl.nl_pid;
	/* nothing ever changes, so no group ever hears anything */
	ns->groups = nl.nl_groups;
	netlink_autobind(ns);
	return 0;
}

static int netlink_connect(struct file *file, const struct sockaddr *addr, unsigned len)
{
	(void)addr;
	if (len < sizeof(struct sockaddr_nl))
		return -EINVAL;
	netlink_autobind(netlink_of(file));
	return 0;
}

static int netlink_getname(struct file *file, bool peer, struct sockaddr_storage *ret_addr,
			   unsigned *ret_len)
{
	struct sockaddr_nl nl = {.nl_family = AF_NETLINK};

	if (!peer) {
		nl.nl_pid = netlink_of(file)->pid;
		nl.nl_groups = netlink_of(file)->groups;
	}
	memcpy(ret_addr, &nl, sizeof(nl));
	*ret_len = sizeof(nl);
	return 0;
}

static ssize_t netlink_send(struct file *file, struct uio *uio)
{
	size_t bytes = uio->left;
	uint8_t *data;
	ssize_t rc;

	if (bytes > NETLINK_REQUEST_MAX)
		return -EMSGSIZE;
	data = arena_alloc(bytes + 1);
	if (data == NULL)
		return -ENOMEM;
	netlink_autobind(netlink_of(file));
	rc = uio_copy_in(uio, data, bytes);
	if (rc >= 0)
		rc = netlink_request(netlink_of(file), data, (size_t)rc);
	arena_free(data);
	return rc;
}

static ssize_t netlink_recv(struct file *file, struct uio *uio, int flags, int *ret_flags)
{
	struct netlink_sock *ns = netlink_of(file);
	struct netlink_reply *reply;
	size_t room = uio->left;
	ssize_t n;

	file_ref(file);
	while (list_empty(&ns->replies)) {
		int rc = -EAGAIN;

		if (!(file->flags & O_NONBLOCK) && !(flags & MSG_DONTWAIT))
			rc = wait_on(&ns->wq, POLLIN, WAIT_FOREVER);
		if (rc != 0) {
			file_unref(file);
			return rc == -EINTR ? -ERESTARTSYS : rc;
		}
	}
	reply = list_entry(ns->replies.next, struct netlink_reply, node);
	n = uio_copy_out(uio, reply->data, reply->bytes < room ? reply->bytes : room);
	if (n >= 0 && reply->bytes > room) {
		*ret_flags |= MSG_TRUNC;
		if (flags & MSG_TRUNC)
			n = reply->bytes;
	}
	if (!(flags & MSG_PEEK)) {
		list_del(&reply->node);
		ns->nr_replies--;
		arena_free(reply);
	}
	file_unref(file);
	return n;
}

static ssize_t netlink_sendmsg(struct file *file, struct sockmsg *msg)
{
	return netlink_send(file, &msg->uio);
}

static ssize_t netlink_recvmsg(struct file *file, struct sockmsg *msg)
{
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	ssize_t n = netlink_recv(file, &msg->uio, msg->flags, &msg->ret_flags);

	if (n < 0)
		return n;
	memcpy(&msg->addr, &kernel, sizeof(kernel));
	msg->addr_len = sizeof(kernel);
	msg->control_used = 0;
	return n;
}

static ssize_t netlink_read(struct file *file, struct uio *uio, uint64_t *pos)
{
	int flags = 0;

	(void)pos;
	return netlink_recv(file, uio, 0, &flags);
}

static ssize_t netlink_write(struct file *file, struct uio *uio, uint64_t *pos)
{
	(void)pos;
	return netlink_send(file, uio);
}

static uint32_t netlink_poll(struct file *file, struct poll_table *table)
{
	struct netlink_sock *ns = netlink_of(file);

	if (table != NULL && table->queue != NULL)
		table->queue(table, file, &ns->wq);
	return POLLOUT | POLLWRNORM | (list_empty(&ns->replies) ? 0 : POLLIN | POLLRDNORM);
}

static int netlink_setsockopt(struct file *file, int level, int name, const void *value,
			      unsigned len)
{
	(void)file;
	(void)value;
	if (len < sizeof(int))
		return -EINVAL;
	/* sizes and details of messages that never come: groups, strictness, extended errors */
	if (level == SOL_SOCKET && (name == SO_SNDBUF || name == SO_RCVBUF))
		return 0;
	if (level == 270 && (name == NETLINK_ADD_MEMBERSHIP || name == NETLINK_DROP_MEMBERSHIP ||
			     name == NETLINK_EXT_ACK))
		return 0;
	return -ENOPROTOOPT;
}

static int netlink_getsockopt(struct file *file, int level, int name, void *value, unsigned *len)
{
	int v;

	if (level != SOL_SOCKET)
		return -ENOPROTOOPT;
	switch (name) {
	case SO_TYPE:
		v = netlink_of(file)->type;
		break;
	case SO_DOMAIN:
		v = AF_NETLINK;
		break;
	case SO_PROTOCOL:
		v = NETLINK_ROUTE;
		break;
	case SO_ERROR:
		v = 0;
		break;
	case SO_RCVBUF:
	case SO_SNDBUF:
		v = 212992;
		break;
	default:
		return -ENOPROTOOPT;
	}
	if (*len > sizeof(v))
		*len = sizeof(v);
	memcpy(value, &v, *len);
	return 0;
}

static int netlink_listen(struct file *file, int backlog)
{
	(void)file;
	(void)backlog;
	return -EOPNOTSUPP;
}

static int netlink_accept(struct file *file, unsigned file_flags, struct file **ret_file,
			  struct sockaddr_storage *ret_addr, unsigned *ret_len)
{
	(void)file;
	(void)file_flags;
	(void)ret_file;
	(void)ret_addr;
	(void)ret_len;
	return -EOPNOTSUPP;
}

static int netlink_shutdown(struct file *file, int how)
{
	(void)file;
	(void)how;
	return -EOPNOTSUPP;
}

static int netlink_getattr(struct file *file, struct kstat *st)
{
	(void)file;
	st->mode = S_IFSOCK | 0777;
	return 0;
}

static void netlink_release(struct file *file)
{
	struct netlink_sock *ns = netlink_of(file);

	while (!list_empty(&ns->replies)) {
		struct list *node = ns->replies.next;

		list_del(node);
		arena_free(list_entry(node, struct netlink_reply, node));
	}
	arena_free(ns);
}

static const struct file_ops netlink_file_ops = {
	.name = "socket",
	.read = netlink_read,
	.write = netlink_write,
	.poll = netlink_poll,
	.getattr = netlink_getattr,
	.release = netlink_release,
};

const struct sock_ops netlink_sock_ops = {
	.file_ops = &netlink_file_ops,
	.family = AF_NETLINK,
	.bind = netlink_bind,
	.connect = netlink_connect,
	.listen = netlink_listen,
	.accept = netlink_accept,
	.getname = netlink_getname,
	.sendmsg = netlink_sendmsg,
	.recvmsg = netlink_recvmsg,
	.shutdown = netlink_shutdown,
	.setsockopt = netlink_setsockopt,
	.getsockopt = netlink_getsockopt,
};

int netlink_socket(int type, int protocol, unsigned file_flags, struct file **ret_file)
{
	struct netlink_sock *ns;

	if (type != SOCK_RAW && type != SOCK_DGRAM)
		return -ESOCKTNOSUPPORT;
	if (protocol != NETLINK_ROUTE)
		return -EPROTONOSUPPORT;
	ns = arena_zalloc(sizeof(*ns));
	if (ns == NULL)
		return -ENOMEM;
	wait_queue_init(&ns->wq);
	list_init(&ns->replies);
	ns->type = type;
	*ret_file = file_create(&netlink_file_ops, ns, file_flags);
	if (*ret_file == NULL) {
		arena_free(ns);
		return -ENOMEM;
	}
	return 0;
}
