/*
 * run.h - a run request in the making: its JSON and its descriptors.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "apps/common/channel.h"
#include "apps/leat/image.h"

struct run_request {
	json_t *json;
	int fds[CHANNEL_FDS_MAX];
	unsigned nr_fds;
	int stdio[3]; /* the program's; ours unless it is set */
	bool detach;
	const char *workdir;
	const char *rootfs;
	const char *image_name; /* instead of rootfs */
	const char *entrypoint; /* "": the image's is not used; NULL: it is */
	bool publish_all;       /* the image's ExposedPorts */
	const char *user;       /* USER[:GROUP]; NULL: root, or the image's */
	struct image image;     /* open while image_name is set and found */
};

void run_init(struct run_request *run);
void run_finish(struct run_request *run);

/* All of these return 0, or an exit code after the user has been told. */
int run_add_volume(struct run_request *run, char *text);
int run_add_env(struct run_request *run, const char *text);
int run_set_filter(struct run_request *run, const char *text);

/* A descriptor that goes with the request; run_finish closes it. */
void run_put_role(struct run_request *run, const char *role, int fd);

/* Whom it runs as, from the passwd and group files of its root (user.c). */
int run_put_user(struct run_request *run);

/* Standard streams, root, working directory, and the program's file. */
int run_put_places(struct run_request *run, const char *program);

/* The rest: program, environment, working directory, limits, stdio and root. */
int run_prepare(struct run_request *run, char **argv);

bool run_env_has(const struct run_request *run, const char *name);

/*
 * run_image.c: opens the image; what its description says becomes the request's, where the caller
 * has said nothing.  argv is what the caller has given, maybe nothing; *ret_argv takes its place,
 * and is to be freed, its strings not.
 */
int run_take_image(struct run_request *run, char **argv, char ***ret_argv);
