/*
 * proxy.c - published ports: who is published, and the thread that serves them all.
 */
#include "apps/leatd/proxy.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "apps/leatd/dataplane_private.h"

#define EVENTS 64
#define BACKLOG 1024
#define UPLINK_WAIT_MS 5000
#define EXPIRE_MS 5000

struct proxy proxy = {.lock = PTHREAD_MUTEX_INITIALIZER, .epoll_fd = -1, .wake_fd = -1};

int proxy_watch_add(struct proxy_watch *watch, uint32_t interest)
{
	struct epoll_event event = {.events = interest, .data.ptr = watch};

	watch->interest = interest;
	return epoll_ctl(proxy.epoll_fd, EPOLL_CTL_ADD, watch->fd, &event) ? -errno : 0;
}

void proxy_watch_set(struct proxy_watch *watch, uint32_t interest)
{
	struct epoll_event event = {.events = interest, .data.ptr = watch};

	if (watch->interest == interest || watch->fd < 0)
		return;
	watch->interest = interest;
	if (epoll_ctl(proxy.epoll_fd, EPOLL_CTL_MOD, watch->fd, &event))
		dp_log("published port: epoll_ctl: %s", strerror(errno));
}

void proxy_watch_bury(struct proxy_watch *watch)
{
	if (watch->fd >= 0)
		close(watch->fd); /* leaves the epoll set with it */
	watch->fd = -1;
	list_add_tail(&proxy.graves, &watch->grave);
}

void proxy_guest_address(const struct proxy_pub *pub, struct sockaddr_in *ret_addr)
{
	*ret_addr = (struct sockaddr_in){
		.sin_family = AF_INET,
		.sin_port = htons(pub->what.guest_port),
		.sin_addr.s_addr = pub->what.guest_ip_be,
	};
}

/* ---- the thread ---- */

static void graves_empty(void)
{
	while (!list_empty(&proxy.graves)) {
		struct proxy_watch *watch =
			list_entry(proxy.graves.next, struct proxy_watch, grave);

		list_del(&watch->grave);
		watch->destroy(watch);
	}
}

static void sessions_expire(uint64_t now_ns)
{
	struct list *pos;

	list_for_each(pos, &proxy.pubs) {
		struct proxy_pub *pub = list_entry(pos, struct proxy_pub, node);

		if (pub->what.proto == DP_PUBLISH_UDP)
			proxy_udp_expire(pub, now_ns);
	}
}

static void batch_handle(const struct epoll_event *events, int nr)
{
	uint64_t count;

	for (int i = 0; i < nr; i++) {
		struct proxy_watch *watch = events[i].data.ptr;

		if (!watch) {
			if (read(proxy.wake_fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
				dp_log("published ports: wake: %s", strerror(errno));
		} else if (watch->fd >= 0) {
			watch->ready(watch, events[i].events);
		}
	}
}

static void *proxy_main(void *arg)
{
	struct epoll_event events[EVENTS];
	uint64_t expired_ns = 0;
	int r;

	(void)arg;
	pthread_setname_np(pthread_self(), "leat-proxy");
	/* until the namespace is there, connections wait in the listeners' queues */
	while ((r = dataplane_uplink_wait(100)) == -EINPROGRESS && !proxy.stop)
		;
	if (r == 0 && setns(dp.netns_fd, CLONE_NEWNET))
		r = -errno;
	if (r) {
		/* outside the namespace a connection would go to the host's own network: never */
		dp_log("published ports: no uplink: %s", strerror(-r));
		return NULL;
	}
	pthread_mutex_lock(&proxy.lock);
	while (!proxy.stop) {
		uint64_t now_ns;
		int nr;

		pthread_mutex_unlock(&proxy.lock);
		nr = epoll_wait(proxy.epoll_fd, events, EVENTS, EXPIRE_MS);
		pthread_mutex_lock(&proxy.lock);
		batch_handle(events, nr);
		graves_empty();
		now_ns = dp_now_ns();
		if (now_ns - expired_ns > (uint64_t)EXPIRE_MS * 1000000U) {
			sessions_expire(now_ns);
			expired_ns = now_ns;
		}
	}
	graves_empty();
	pthread_mutex_unlock(&proxy.lock);
	return NULL;
}

/* Holds the lock. */
static int thread_start(void)
{
	struct epoll_event event = {.events = EPOLLIN};
	sigset_t all, before;
	int r;

	if (proxy.running)
		return 0;
	list_init(&proxy.pubs);
	list_init(&proxy.graves);
	proxy.stop = false;
	proxy.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	proxy.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (proxy.epoll_fd < 0 || proxy.wake_fd < 0 ||
	    epoll_ctl(proxy.epoll_fd, EPOLL_CTL_ADD, proxy.wake_fd, &event))
		return -errno;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = -pthread_create(&proxy.thread, NULL, proxy_main, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	proxy.running = !r;
	return r;
}

static void thread_wake(void)
{
	uint64_t one = 1;

	if (write(proxy.wake_fd, &one, sizeof(one)) < 0)
		dp_log("published ports: wake: %s", strerror(errno));
}

/* ---- publishing ---- */

static int listener_make(const struct dp_publish *what)
{
	struct sockaddr_in addr = {
		.sin_family = AF_INET,
		.sin_port = htons(what->host_port),
		.sin_addr.s_addr = what->host_ip_be,
	};
	int type = what->proto == DP_PUBLISH_UDP ? SOCK_DGRAM : SOCK_STREAM;
	int one = 1, r;
	int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	/* as every server does, so that connections of a predecessor in TIME_WAIT do not matter */
	if (type == SOCK_STREAM)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) ||
	    (type == SOCK_STREAM && listen(fd, BACKLOG))) {
		r = -errno;
		close(fd);
		return r;
	}
	return fd;
}

static void pub_destroy(struct proxy_watch *watch)
{
	free(container_of(watch, struct proxy_pub, watch));
}

/* Holds the lock. Takes fd over on success. */
static int pub_add(const struct dp_publish *what, int fd, unsigned *ret_id)
{
	struct proxy_pub *pub;
	int r;

	r = thread_start();
	if (r)
		return r;
	if (proxy.nr_pubs == PROXY_MAX_PUBLISHED)
		return -ENOSPC;
	pub = calloc(1, sizeof(*pub));
	if (!pub)
		return -ENOMEM;
	list_init(&pub->conns);
	pub->what = *what;
	pub->watch.fd = fd;
	pub->watch.ready = what->proto == DP_PUBLISH_UDP ? proxy_udp_ready : proxy_tcp_accept;
	pub->watch.destroy = pub_destroy;
	pub->id = ++proxy.next_id;
	r = proxy_watch_add(&pub->watch, EPOLLIN);
	if (r) {
		free(pub);
		return r;
	}
	list_add_tail(&proxy.pubs, &pub->node);
	proxy.nr_pubs++;
	*ret_id = pub->id;
	return 0;
}

int dataplane_publish(const struct dp_publish *publish, char *error, size_t error_bytes,
		      unsigned *ret_id)
{
	char ip[INET_ADDRSTRLEN];
	int fd = -1, r;

	r = dataplane_uplink_wait(UPLINK_WAIT_MS);
	if (r == 0)
		r = fd = listener_make(publish);
	if (fd >= 0) {
		pthread_mutex_lock(&proxy.lock);
		r = pub_add(publish, fd, ret_id);
		pthread_mutex_unlock(&proxy.lock);
		if (r)
			close(fd);
	}
	if (r < 0)
		snprintf(error, error_bytes, "cannot publish %s:%u/%s: %s",
			 inet_ntop(AF_INET, &publish->host_ip_be, ip, sizeof(ip)),
			 publish->host_port, publish->proto == DP_PUBLISH_UDP ? "udp" : "tcp",
			 strerror(-r));
	return r < 0 ? r : 0;
}

/* Holds the lock. */
static struct proxy_pub *pub_find(unsigned id)
{
	struct list *pos;

	if (!proxy.running)
		return NULL;
	list_for_each(pos, &proxy.pubs) {
		struct proxy_pub *pub = list_entry(pos, struct proxy_pub, node);

		if (pub->id == id)
			return pub;
	}
	return NULL;
}

/* Holds the lock. */
static void pub_end(struct proxy_pub *pub)
{
	if (pub->what.proto == DP_PUBLISH_UDP)
		proxy_udp_end_all(pub);
	else
		proxy_tcp_end_all(pub);
	list_del(&pub->node);
	proxy.nr_pubs--;
	proxy_watch_bury(&pub->watch);
}

void dataplane_unpublish(unsigned id)
{
	struct proxy_pub *pub;

	pthread_mutex_lock(&proxy.lock);
	pub = pub_find(id);
	if (pub) {
		pub_end(pub);
		thread_wake(); /* it empties the graves */
	}
	pthread_mutex_unlock(&proxy.lock);
}

int dataplane_publish_stats(unsigned id, struct dp_publish_stats *ret_stats)
{
	struct proxy_pub *pub;

	pthread_mutex_lock(&proxy.lock);
	pub = pub_find(id);
	if (pub) {
		*ret_stats = pub->stats;
		ret_stats->active = pub->nr_conns;
	}
	pthread_mutex_unlock(&proxy.lock);
	return pub ? 0 : -ENOENT;
}

void proxy_stop(void)
{
	pthread_mutex_lock(&proxy.lock);
	if (!proxy.running) {
		pthread_mutex_unlock(&proxy.lock);
		return;
	}
	while (!list_empty(&proxy.pubs))
		pub_end(list_entry(proxy.pubs.next, struct proxy_pub, node));
	proxy.stop = true;
	thread_wake();
	pthread_mutex_unlock(&proxy.lock);
	pthread_join(proxy.thread, NULL);
	close(proxy.epoll_fd);
	close(proxy.wake_fd);
	proxy.running = false;
}
