/*
 * template.h - the snapshot of a function that has been started once, from which its instances are
 * cloned.
 */
#pragma once

#include <h2o.h>
#include <stdbool.h>

#include "apps/gateway/timer.h"

#define TEMPLATE_REASON_MAX 512U

struct function;
struct instance;

enum template_state {
	TEMPLATE_NONE,     /* instances start in full: reason */
	TEMPLATE_WANTED,   /* its turn has not come: they are made one by one */
	TEMPLATE_STARTING, /* its instance starts and is warmed */
	TEMPLATE_TAKING,   /* leat snapshot runs */
	TEMPLATE_READY,
};

struct template
{
	enum template_state state;
	char dir[400];
	char reason[TEMPLATE_REASON_MAX];
	struct instance *inst; /* while there is one that is made into it */
};

/* The function has a new description: the old template goes, and another is made. */
void template_renew(struct function *fn);
/* It is no good, or not wanted any more. */
void template_drop(struct function *fn, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* Its folder, or NULL. */
const char *template_dir(const struct function *fn);
const char *template_state_name(const struct function *fn);

/* Of an instance that is to be one: its port accepts connections, and this is one (taken). */
void template_instance_up(struct instance *inst, h2o_socket_t *sock);
/* Such an instance has ended, for this reason. */
void template_instance_ended(struct instance *inst, const char *reason);

/* At the gateway's start: those of an earlier one are removed. */
void templates_init(void);
