/*
 * run.c - makes a run request.  leat opens everything itself, with the rights of its user: leatd
 * opens no path that a caller names.
 */
#include "apps/leat/run.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "apps/common/parse.h"
#include "apps/common/signature.h"
#include "apps/common/text.h"
#include "apps/leat/leat.h"

extern char **environ;

/* Passed on to the program when they are set here; the first ones speak of the host. */
#define ENV_OF_HOST 4U
static const char *const env_inherited[] = {"PATH", "HOME", "USER", "LOGNAME",
					    "TERM", "TZ",   "LANG"};

void run_init(struct run_request *run)
{
	*run = (struct run_request){
		.stdio = {0, 1, 2},
		.image = {.fd = -1},
		.json = json_pack("{s:s, s:s, s:{}, s:[], s:[], s:{}, s:{}, s:[], s:{}}", "op",
				  "run", "filter", "default", "fds", "volumes", "ports", "tags",
				  "limits", "env", "paths")};
}

void run_finish(struct run_request *run)
{
	for (unsigned i = 0; i < run->nr_fds; i++)
		if (run->fds[i] > 2 && run->fds[i] != run->stdio[0] &&
		    run->fds[i] != run->stdio[1] && run->fds[i] != run->stdio[2])
			close(run->fds[i]);
	json_decref(run->json);
	image_close(&run->image);
}

static int fd_put(struct run_request *run, int fd)
{
	if (run->nr_fds == CHANNEL_FDS_MAX)
		return -1;
	run->fds[run->nr_fds] = fd;
	return (int)run->nr_fds++;
}

/* Where a thing was found: a clone of the instance finds it there again. */
static void path_put(struct run_request *run, const char *role, const char *path)
{
	char real[PATH_MAX];

	if (realpath(path, real) != NULL)
		json_object_set_new(json_object_get(run->json, "paths"), role, json_string(real));
}

void run_put_role(struct run_request *run, const char *role, int fd)
{
	json_object_set_new(json_object_get(run->json, "fds"), role, json_integer(fd_put(run, fd)));
}

int run_add_volume(struct run_request *run, char *text)
{
	json_t *volumes = json_object_get(run->json, "volumes");
	char shown[PATH_MAX];
	struct volume volume;
	struct stat st;
	int fd;

	snprintf(shown, sizeof(shown), "%s", text);
	if (parse_volume(text, &volume) < 0)
		return leat_error("cannot use -v %s: SRC:DST[:ro], with an absolute DST", shown);
	if (json_array_size(volumes) >= 32)
		return leat_error("cannot use -v %s: at most 32 volumes", shown);
	fd = open(volume.src, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return leat_error("cannot open the volume %s: %s", volume.src, strerror(errno));
	if (fstat(fd, &st) < 0 || !(S_ISDIR(st.st_mode) || S_ISREG(st.st_mode))) {
		close(fd);
		return leat_error("cannot use the volume %s: not a directory or a regular file",
				  volume.src);
	}
	if (realpath(volume.src, shown) == NULL)
		shown[0] = '\0';
	json_array_append_new(volumes,
			      json_pack("{s:i, s:s, s:b, s:s}", "fd", fd_put(run, fd), "dst",
					volume.dst, "ro", volume.read_only, "src", shown));
	return 0;
}

/* A string of any bytes, as leatd takes it. */
static json_t *run_text(const char *bytes)
{
	char *text = malloc(TEXT_GROWTH * strlen(bytes) + 1);
	json_t *json = NULL;

	if (text != NULL) {
		text_from_bytes(bytes, text);
		json = json_string(text);
	}
	free(text);
	return json;
}

/* NAME=VALUE, or NAME with the value that it has here (nothing if it has none). */
int run_add_env(struct run_request *run, const char *text)
{
	json_t *env = json_object_get(run->json, "env");
	const char *value;
	char *entry;

	if (text[0] == '=' || text[0] == '\0')
		return leat_error("cannot use -e %s: NAME=VALUE or NAME", text);
	if (strchr(text, '=') != NULL) {
		json_array_append_new(env, run_text(text));
		return 0;
	}
	value = getenv(text);
	if (value != NULL && asprintf(&entry, "%s=%s", text, value) >= 0) {
		json_array_append_new(env, run_text(entry));
		free(entry);
	}
	return 0;
}

/* The descriptors of a filter and, if there is one, of its signature; their number, < 0: told. */
int filter_open(const char *path, int ret_fds[2])
{
	char signature[PATH_MAX];

	ret_fds[0] = open(path, O_RDONLY | O_CLOEXEC);
	if (ret_fds[0] < 0)
		return -leat_error("cannot open the filter %s: %s", path, strerror(errno));
	snprintf(signature, sizeof(signature), "%s" SIGNATURE_SUFFIX, path);
	ret_fds[1] = open(signature, O_RDONLY | O_CLOEXEC);
	return ret_fds[1] < 0 ? 1 : 2;
}

int run_set_filter(struct run_request *run, const char *text)
{
	int fds[2], nr;

	if (strcmp(text, "none") == 0 || strcmp(text, "default") == 0) {
		json_object_set_new(run->json, "filter", json_string(text));
		return 0;
	}
	nr = filter_open(text, fds);
	if (nr < 0)
		return -nr;
	json_object_set_new(run->json, "filter", json_string("object"));
	run_put_role(run, "filter", fds[0]);
	if (nr > 1)
		run_put_role(run, "signature", fds[1]);
	return 0;
}

/* ---- environment ---- */

static bool env_has(const json_t *env, const char *name, size_t len)
{
	size_t i;
	json_t *entry;

	json_array_foreach(env, i, entry)
	{
		const char *text = json_string_value(entry);

		if (strncmp(text, name, len) == 0 && text[len] == '=')
			return true;
	}
	return false;
}

bool run_env_has(const struct run_request *run, const char *name)
{
	return env_has(json_object_get(run->json, "env"), name, strlen(name));
}

/* Into an image only how the terminal and the language are: paths and users are its own. */
static bool env_is_inherited(const struct run_request *run, const char *entry, size_t len)
{
	const char *const *list = env_inherited;
	size_t nr = sizeof(env_inherited) / sizeof(env_inherited[0]);

	if (run->image_name != NULL) {
		list += ENV_OF_HOST;
		nr -= ENV_OF_HOST;
	}
	if (strncmp(entry, "LC_", 3) == 0)
		return true;
	for (size_t i = 0; i < nr; i++)
		if (strlen(list[i]) == len && strncmp(entry, list[i], len) == 0)
			return true;
	return false;
}

static void env_inherit(struct run_request *run)
{
	json_t *env = json_object_get(run->json, "env");

	for (char **e = environ; *e != NULL; e++) {
		size_t len = strcspn(*e, "=");

		if (env_is_inherited(run, *e, len) && !env_has(env, *e, len)) {
			json_array_append_new(env, run_text(*e));
		}
	}
}

/* ---- descriptors ---- */

static bool has_host_root(const struct run_request *run)
{
	return run->rootfs == NULL && run->image_name == NULL;
}

static int stdio_put(struct run_request *run)
{
	static const char *const roles[] = {"stdin", "stdout", "stderr"};
	int null = -1;

	for (int i = 0; i < 3; i++) {
		int fd = run->stdio[i];
		bool closed = fcntl(fd, F_GETFD) < 0;

		if (!closed && !(run->detach && i == 0)) {
			run_put_role(run, roles[i], fd);
			continue;
		}
		null = open("/dev/null", O_RDWR | O_CLOEXEC);
		if (null < 0)
			return leat_error("cannot open /dev/null: %s", strerror(errno));
		if (null < 3) { /* a closed stdio number: keep it away from others */
			int moved = fcntl(null, F_DUPFD_CLOEXEC, 3);

			close(null);
			null = moved;
		}
		run_put_role(run, roles[i], null);
	}
	return 0;
}

static int root_put(struct run_request *run)
{
	const char *root = run->rootfs != NULL ? run->rootfs : "/";
	int fd;

	if (run->image_name != NULL) {
		json_object_set_new(json_object_get(run->json, "paths"), "image_is",
				    image_identity(&run->image));
		path_put(run, "image", run->image.path);
		run_put_role(run, "root", run->image.fd);
		run->image.fd = -1;
		return 0;
	}
	fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return leat_error("cannot open the root directory %s: %s", root, strerror(errno));
	run_put_role(run, "root", fd);
	if (run->rootfs != NULL)
		path_put(run, "rootfs", run->rootfs);
	return 0;
}

/* A volume makes its place, whatever the host has there. */
static bool is_below_volume(const struct run_request *run, const char *path)
{
	size_t i;
	json_t *volume;

	json_array_foreach(json_object_get(run->json, "volumes"), i, volume)
	{
		const char *dst = json_string_value(json_object_get(volume, "dst"));

		if (strncmp(path, dst, strlen(dst)) == 0)
			return true;
	}
	return false;
}

/* The working directory; with the host's root it may be read, wherever it lies. */
static int cwd_put(struct run_request *run)
{
	char cwd[PATH_MAX] = "/";
	int fd;

	if (run->workdir != NULL) {
		if (run->workdir[0] != '/')
			return leat_error("cannot use --workdir %s: an absolute path",
					  run->workdir);
		snprintf(cwd, sizeof(cwd), "%s", run->workdir);
	} else if (has_host_root(run) && getcwd(cwd, sizeof(cwd)) == NULL) {
		strcpy(cwd, "/");
	}
	json_object_set_new(run->json, "cwd", run_text(cwd));
	if (!has_host_root(run))
		return 0;
	fd = open(cwd, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0)
		run_put_role(run, "cwd", fd);
	else if (run->workdir != NULL && !is_below_volume(run, cwd))
		return leat_error("cannot use --workdir %s: %s", cwd, strerror(errno));
	return 0;
}

/* The program's file, so that it runs from a directory that the instance's uid cannot enter. */
static void exec_put(struct run_request *run, const char *program)
{
	struct stat st;
	int fd;

	if (!has_host_root(run) || strchr(program, '/') == NULL || access(program, X_OK) != 0)
		return;
	fd = open(program, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
		close(fd);
		return;
	}
	run_put_role(run, "exec", fd);
	path_put(run, "exec", program);
}

/* ---- limits and names ---- */

/* With the host's root go the host's /etc/hosts and its name in there: no resolver is asked. */
static void hostname_put(struct run_request *run)
{
	char name[HOST_NAME_MAX + 1] = "";

	if (has_host_root(run) && json_object_get(run->json, "hostname") == NULL &&
	    gethostname(name, sizeof(name) - 1) == 0)
		json_object_set_new(run->json, "hostname", json_string(name));
}

static void limits_put(struct run_request *run)
{
	struct rlimit limit;
	mode_t mask = umask(0);

	umask(mask);
	json_object_set_new(run->json, "umask", json_integer((json_int_t)mask));
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
		json_object_set_new(run->json, "nofile", json_integer((json_int_t)limit.rlim_cur));
	if (getrlimit(RLIMIT_STACK, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
		json_object_set_new(run->json, "stack", json_integer((json_int_t)limit.rlim_cur));
}

int run_put_places(struct run_request *run, const char *program)
{
	int code = stdio_put(run);

	if (code == 0)
		code = root_put(run);
	if (code == 0)
		code = cwd_put(run);
	if (code == 0)
		exec_put(run, program);
	return code;
}

static int argv_put(struct run_request *run, char **argv)
{
	json_t *list = json_array();

	for (char **arg = argv; *arg != NULL; arg++)
		json_array_append_new(list, run_text(*arg));
	json_object_set_new(run->json, "argv", list);
	json_object_set_new(run->json, "program", run_text(argv[0]));
	return 0;
}

/* Environment, limits, names, descriptors. */
static int rest_put(struct run_request *run, const char *program)
{
	int code;

	json_object_set_new(run->json, "detach", json_boolean(run->detach));
	limits_put(run);
	hostname_put(run);
	code = run_put_places(run, program);
	if (code == 0)
		code = run_put_user(run);
	env_inherit(run);
	return code;
}

int run_prepare(struct run_request *run, char **argv)
{
	char **combined = NULL;
	int code;

	if (run->image_name != NULL) {
		code = run_take_image(run, argv, &combined);
		argv = combined;
	} else {
		code = argv[0] != NULL ? 0 : leat_error("no program given");
	}
	if (code == 0)
		code = argv_put(run, argv);
	if (code == 0)
		code = rest_put(run, argv[0]);
	free(combined);
	return code;
}
