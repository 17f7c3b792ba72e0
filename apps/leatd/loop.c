/*
 * loop.c - one event at a time, so that a handler may remove any source.
 */
#include "apps/leatd/loop.h"

#include <errno.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S 1000000000ULL

uint64_t loop_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

int loop_init(struct loop *loop)
{
	loop->stop = false;
	list_init(&loop->timers);
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	return loop->epoll_fd < 0 ? -errno : 0;
}

void loop_finish(struct loop *loop)
{
	close(loop->epoll_fd);
}

int loop_add(struct loop *loop, struct loop_source *source)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = source};

	return epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, source->fd, &event) < 0 ? -errno : 0;
}

void loop_remove(struct loop *loop, struct loop_source *source)
{
	if (source->fd >= 0)
		epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, source->fd, NULL);
}

void loop_timer_arm(struct loop *loop, struct loop_timer *timer, uint64_t at_ns)
{
	loop_timer_cancel(timer);
	timer->at_ns = at_ns;
	list_add_tail(&loop->timers, &timer->node);
}

void loop_timer_cancel(struct loop_timer *timer)
{
	if (timer->at_ns)
		list_del(&timer->node);
	timer->at_ns = 0;
}

static struct loop_timer *timer_first(const struct loop *loop)
{
	struct loop_timer *first = NULL;
	struct list *pos;

	list_for_each(pos, &loop->timers) {
		struct loop_timer *timer = list_entry(pos, struct loop_timer, node);
		if (!first || timer->at_ns < first->at_ns)
			first = timer;
	}
	return first;
}

/* Runs what is due; false: epoll may sleep for ever, else for *ret_sleep. */
static bool timers_run(struct loop *loop, struct timespec *ret_sleep)
{
	for (;;) {
		struct loop_timer *timer = timer_first(loop);
		if (!timer)
			return false;
		uint64_t now = loop_now_ns();
		if (timer->at_ns > now) {
			ret_sleep->tv_sec = (time_t)((timer->at_ns - now) / NS_PER_S);
			ret_sleep->tv_nsec = (long)((timer->at_ns - now) % NS_PER_S);
			return true;
		}
		loop_timer_cancel(timer);
		timer->due(timer);
	}
}

int loop_run(struct loop *loop)
{
	struct epoll_event event;

	while (!loop->stop) {
		struct timespec sleep;
		bool timed = timers_run(loop, &sleep);
		int n;

		if (loop->stop) /* a timer said so: nothing may ever wake the wait again */
			break;
		n = epoll_pwait2(loop->epoll_fd, &event, 1, timed ? &sleep : NULL, NULL);
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			struct loop_source *source = event.data.ptr;
			source->ready(source, event.events);
		}
	}
	return 0;
}
