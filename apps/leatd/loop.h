/*
 * loop.h - the control thread's event loop: descriptors by epoll, and a few timers.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "leat/base/list.h"

/* A descriptor with its handler; embedded in whoever owns it. */
struct loop_source {
	int fd; /* -1: not in the loop */
	void (*ready)(struct loop_source *source, uint32_t events);
};

struct loop_timer {
	struct list node;
	uint64_t at_ns; /* CLOCK_MONOTONIC; 0: not armed */
	void (*due)(struct loop_timer *timer);
};

struct loop {
	int epoll_fd;
	bool stop;
	struct list timers;
};

uint64_t loop_now_ns(void);

int loop_init(struct loop *loop);
void loop_finish(struct loop *loop);

/* Watches for input; the descriptor stays the owner's. */
int loop_add(struct loop *loop, struct loop_source *source);
/* Not called any more, also not for events that are already there. */
void loop_remove(struct loop *loop, struct loop_source *source);

void loop_timer_arm(struct loop *loop, struct loop_timer *timer, uint64_t at_ns);
void loop_timer_cancel(struct loop_timer *timer);

/* Until loop->stop. */
int loop_run(struct loop *loop);
