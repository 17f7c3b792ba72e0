/*
 * leat.h - what leat's sub-commands share: the way to leatd, errors, and the table of commands.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "apps/common/channel.h"

#define EXIT_LEAT 125 /* Leat's own failure; 126, 127 and 128+n are the program's */

/* Prints "leat: ..." and returns EXIT_LEAT. */
int leat_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * A connection to leatd; with `start` one is started if none runs.  -1: the user has been told.
 */
int daemon_connect(bool start);

/* As daemon_connect(false), without a word: a negative errno when none runs. */
int daemon_probe(void);

/*
 * Sends a request and takes its answer.  NULL: it failed, and the user has been told; else the
 * answer, and its descriptors in fds (CHANNEL_FDS_MAX; may be NULL).
 */
json_t *daemon_call(int fd, const json_t *request, const int *send_fds, unsigned nr_send,
		    int *ret_fds, unsigned *ret_nr_fds);

/* Connects to a running leatd, calls, closes.  Takes the request's reference. */
json_t *daemon_ask(json_t *request, int *ret_fds, unsigned *ret_nr_fds);

/* As daemon_probe and daemon_connect, for leat-gateway. */
int gateway_probe(void);
int gateway_connect(bool start);

/* As daemon_ask, of a running gateway, with a descriptor (-1: none). */
json_t *gateway_ask(json_t *request, int fd, int *ret_fds, unsigned *ret_nr_fds);

/* Does a gateway run that has a function of this name? Says nothing. */
bool gateway_has(const char *name);

/*
 * Starts a daemon that lies beside leat: its standard error goes to log in the state folder.  A
 * connection to it, or -1: the user has been told.
 */
int daemon_launch(const char *program, const char *option, const char *log, int (*probe)(void));

/*
 * A filter and, if F.sig is there, its signature: their descriptors and how many; < 0: the user has
 * been told, and it is the exit code, negative.
 */
int filter_open(const char *path, int ret_fds[2]);

/* A wait(2) status word as an exit code. */
int exit_code_of(int status);

/* "pps" or "bps" and what the user says, into a request's limits: 0, or EXIT_LEAT after a word. */
int limit_add(json_t *limits, const char *key, const char *text);

/* Options of a sub-command whose only ones are --help and flags: see each cmd_*.c. */
int cmd_run(int argc, char **argv);
int cmd_snapshot(int argc, char **argv);
int cmd_clone(int argc, char **argv);
int cmd_ps(int argc, char **argv);
int cmd_inspect(int argc, char **argv);
int cmd_logs(int argc, char **argv);
int cmd_stop(int argc, char **argv);
int cmd_kill(int argc, char **argv);
int cmd_rm(int argc, char **argv);
int cmd_capture(int argc, char **argv);
int cmd_stats(int argc, char **argv);
int cmd_top(int argc, char **argv);
int cmd_port(int argc, char **argv);
int cmd_limit(int argc, char **argv);
int cmd_filter(int argc, char **argv);
int cmd_sched(int argc, char **argv);
int cmd_bench(int argc, char **argv);
int cmd_image(int argc, char **argv);
int cmd_deploy(int argc, char **argv);
int cmd_functions(int argc, char **argv);
int cmd_invoke(int argc, char **argv);
int cmd_undeploy(int argc, char **argv);
int cmd_secret(int argc, char **argv);
int cmd_quota(int argc, char **argv);
