/*
 * cmd_image.c - leat image: makes images of folders and of OCI layouts, and keeps them by name.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <getopt.h>
#include <locale.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "apps/leat/image.h"
#include "apps/leat/leat.h"
#include "apps/leat/oci.h"

extern char **environ;

static const char help[] =
	"usage: leat image build [-o FILE.erofs | -t NAME[:TAG]] [--ref NAME] [--config FILE] DIR\n"
	"       leat image import -t NAME[:TAG] FILE.erofs\n"
	"       leat image ls [--json]\n"
	"       leat image inspect [--verify] IMAGE\n"
	"       leat image rm IMAGE...\n"
	"Makes root file systems as files, which leat run --image uses.\n"
	"\n"
	"DIR is a folder that becomes /, or an OCI image layout (one with a file oci-layout).\n"
	"  -o, --output FILE     where the image goes\n"
	"  -t, --tag NAME[:TAG]  or its name in the store\n"
	"      --ref NAME        which image of the layout\n"
	"      --config FILE     JSON with Entrypoint, Cmd, Env, WorkingDir, User, ExposedPorts\n"
	"IMAGE is a file, a name, or a digest of the store.\n";

enum { OPT_REF = 256, OPT_CONFIG, OPT_JSON, OPT_VERIFY, OPT_HELP };

struct options {
	const char *output, *tag, *ref, *config;
	bool json, verify;
};

/* ---- build ---- */

static int mkfs_run(const char *file, const char *dir)
{
	/* pages of files in pages of the image; times exact, and the same image each time */
	char *const argv[] = {(char[]){"mkfs.erofs"},
			      (char[]){"--quiet"},
			      (char[]){"-Enoinline_data,force-inode-extended"},
			      (char[]){"-U00000000-0000-4000-8000-000000000000"},
			      (char *)(uintptr_t)file,
			      (char *)(uintptr_t)dir,
			      NULL};
	posix_spawn_file_actions_t actions;
	int status, r;
	pid_t pid;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, 2, 1);
	r = posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ);
	if (r == ENOENT)
		r = posix_spawn(&pid, "/usr/sbin/mkfs.erofs", &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	if (r != 0)
		return leat_error("cannot run mkfs.erofs (Debian package erofs-utils): %s",
				  strerror(r));
	if (waitpid(pid, &status, 0) != pid || status != 0)
		return leat_error("cannot make the image: mkfs.erofs has failed");
	return 0;
}

/* mkfs.erofs notes the time of its run, which would give each image another digest. */
static int time_forget(int fd)
{
	static const char zero[12];
	char super[4096];
	uint32_t sum;

	if (pwrite(fd, zero, sizeof(zero), EROFS_SUPER_TIME_AT) != sizeof(zero) ||
	    pread(fd, super, sizeof(super), 0) != sizeof(super))
		return -EIO;
	sum = erofs_checksum(super);
	return pwrite(fd, &sum, sizeof(sum), EROFS_SUPER_CHECKSUM_AT) == sizeof(sum) ? 0 : -EIO;
}

static int describe(int fd, const json_t *description)
{
	int r = time_forget(fd);

	if (r == 0)
		r = image_describe(fd, description);
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	return r < 0 ? leat_error("cannot write the image: %s", strerror(-r)) : 0;
}

static int config_load(const char *path, json_t *description)
{
	json_error_t error;
	json_t *config = json_load_file(path, 0, &error);

	if (!json_is_object(config)) {
		json_decref(config);
		return leat_error("cannot use %s: %s", path,
				  config == NULL ? error.text : "not a JSON object");
	}
	json_object_set_new(description, "config", config);
	return 0;
}

static int tree_remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

/* Lays the OCI image out in a folder beside the image to be; *ret_dir goes again afterwards. */
static int layout_unpack(const char *dir, const struct options *o, const char *beside,
			 char ret_dir[PATH_MAX], json_t **ret_description)
{
	static const struct timespec none[2];
	int fd, code;

	snprintf(ret_dir, PATH_MAX, "%.4000s.root-XXXXXX", beside);
	if (mkdtemp(ret_dir) == NULL) {
		ret_dir[0] = '\0';
		return leat_error("cannot make a folder for the layers: %s", strerror(errno));
	}
	fd = open(ret_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	/* the root of an image whose layers say nothing of it */
	if (fd < 0 || fchmod(fd, 0755) < 0 || futimens(fd, none) < 0)
		return leat_error("cannot make a folder for the layers: %s", strerror(errno));
	code = oci_unpack(dir, o->ref, fd, ret_description);
	close(fd);
	return code;
}

/* The image in a new file. */
static int image_make(const char *dir, const struct options *o, const char *path, int fd)
{
	json_t *description = NULL;
	char root[PATH_MAX] = "";
	bool layout = oci_is_layout(dir);
	int code = 0;

	if (layout)
		code = layout_unpack(dir, o, path, root, &description);
	else if (o->ref != NULL)
		code = leat_error("cannot use --ref: %s is not an OCI image layout", dir);
	else
		description = json_object();
	if (code == 0 && o->config != NULL)
		code = config_load(o->config, description);
	if (code == 0)
		code = mkfs_run(path, layout ? root : dir);
	if (code == 0)
		code = describe(fd, description);
	if (root[0] != '\0')
		nftw(root, tree_remove_one, 64, FTW_DEPTH | FTW_PHYS);
	json_decref(description);
	return code;
}

static int output_temporary(const char *output, char ret_path[PATH_MAX], int *ret_fd)
{
	snprintf(ret_path, PATH_MAX, "%.4000s.new-XXXXXX", output);
	*ret_fd = mkostemp(ret_path, O_CLOEXEC);
	if (*ret_fd < 0)
		return leat_error("cannot write %s: %s", output, strerror(errno));
	fchmod(*ret_fd, 0644);
	return 0;
}

static int cmd_build(int argc, char **argv, const struct options *o)
{
	char path[PATH_MAX], digest[DIGEST_TEXT_MAX];
	struct stat st;
	int fd, code;

	if (argc != 1 || (o->output != NULL) == (o->tag != NULL))
		return leat_error("give one folder, and -o FILE or -t NAME; see leat image --help");
	if (stat(argv[0], &st) < 0 || !S_ISDIR(st.st_mode))
		return leat_error("cannot make an image of %s: not a folder", argv[0]);
	if (o->tag != NULL && !images_name_ok(o->tag))
		return leat_error("cannot use the name '%s': NAME[:TAG] in lower case", o->tag);
	code = o->output != NULL ? output_temporary(o->output, path, &fd) :
				   images_temporary(path, &fd);
	if (code != 0)
		return code;
	code = image_make(argv[0], o, path, fd);
	if (code == 0 && o->output != NULL && rename(path, o->output) < 0)
		code = leat_error("cannot write %s: %s", o->output, strerror(errno));
	if (code == 0 && o->tag != NULL) {
		code = images_add(path, fd, o->tag, digest);
		if (code == 0)
			puts(digest);
	}
	if (code != 0)
		unlink(path);
	close(fd);
	return code;
}

/* ---- the store ---- */

static int file_copy(int from, int to)
{
	struct stat st;
	off_t left = fstat(from, &st) < 0 ? -1 : st.st_size;

	while (left > 0) {
		ssize_t got = copy_file_range(from, NULL, to, NULL, (size_t)left, 0);

		if (got <= 0)
			return got == 0 ? -EIO : -errno;
		left -= got;
	}
	return left < 0 ? -errno : 0;
}

static int cmd_import(int argc, char **argv, const struct options *o)
{
	char path[PATH_MAX], digest[DIGEST_TEXT_MAX];
	struct image image = {.fd = -1};
	int fd, code, r;

	if (argc != 1 || o->tag == NULL || !images_name_ok(o->tag))
		return leat_error("give one image, and -t NAME[:TAG]; see leat image --help");
	code = image_open(argv[0], &image);
	if (code == 0)
		code = images_temporary(path, &fd);
	if (code == 0) {
		r = file_copy(image.fd, fd);
		code = r < 0 ? leat_error("cannot copy the image: %s", strerror(-r)) :
			       images_add(path, fd, o->tag, digest);
		if (code != 0)
			unlink(path);
		else
			puts(digest);
		close(fd);
	}
	image_close(&image);
	return code;
}

static int cmd_ls(int argc, char **argv, const struct options *o)
{
	struct images_entry *list;
	json_t *all = json_array();
	size_t nr;
	int code;

	(void)argv;
	code = argc != 0 ? leat_error("see leat image --help") : images_list(&list, &nr);
	if (code != 0) {
		json_decref(all);
		return code;
	}
	if (!o->json)
		printf("%-30s  %-19s  %10s  %s\n", "NAME", "DIGEST", "MIB", "MADE");
	for (size_t i = 0; i < nr; i++) {
		const struct images_entry *e = &list[i];
		time_t made = (time_t)e->made;
		char when[32];

		strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", localtime(&made));
		if (!o->json)
			printf("%-30s  %.19s  %10.1f  %s\n", e->name, e->digest,
			       (double)e->bytes / 1048576, when);
		json_array_append_new(all,
				      json_pack("{s:s, s:s, s:I, s:I}", "name", e->name, "digest",
						e->digest, "bytes", (json_int_t)e->bytes, "made",
						(json_int_t)e->made));
	}
	if (o->json) {
		json_dumpf(all, stdout, JSON_INDENT(2));
		putchar('\n');
	}
	json_decref(all);
	free(list);
	return 0;
}

/* Whether an image of the store is still what its name says; a file has no name for it. */
static int verify(const char *path, const char *digest)
{
	const char *file = strrchr(path, '/');
	size_t head = strlen(DIGEST_PREFIX);

	if (file == NULL || strncmp(file + 1, digest + head, DIGEST_HEX_LEN) != 0)
		return leat_error("the image %s is damaged: its content is %s", path, digest);
	return 0;
}

static int cmd_inspect_image(int argc, char **argv, const struct options *o)
{
	char path[PATH_MAX], digest[DIGEST_TEXT_MAX];
	struct image image = {.fd = -1};
	json_t *json;
	int code, r;

	if (argc != 1)
		return leat_error("give one image; see leat image --help");
	code = image_find(argv[0], path);
	if (code == 0)
		code = image_open(argv[0], &image);
	if (code != 0)
		return code;
	r = digest_file(image.fd, digest);
	if (r < 0)
		code = leat_error("cannot read the image: %s", strerror(-r));
	else if (o->verify)
		code = verify(path, digest);
	if (code == 0) {
		json = json_pack("{s:s, s:s, s:I, s:I, s:I, s:O}", "path", path, "digest", digest,
				 "bytes", (json_int_t)image.bytes, "file_system_bytes",
				 (json_int_t)image.fs.size, "inodes",
				 (json_int_t)image.fs.nr_inodes, "description", image.config);
		json_dumpf(json, stdout, JSON_INDENT(2));
		putchar('\n');
		json_decref(json);
	}
	image_close(&image);
	return code;
}

static int cmd_rm_image(int argc, char **argv, const struct options *o)
{
	int code = argc == 0 ? leat_error("give images; see leat image --help") : 0;

	(void)o;
	for (int i = 0; i < argc; i++)
		if (images_remove(argv[i]) != 0)
			code = EXIT_LEAT;
	return code;
}

static int options_take(int argc, char **argv, struct options *o)
{
	static const struct option options[] = {{"output", required_argument, NULL, 'o'},
						{"tag", required_argument, NULL, 't'},
						{"ref", required_argument, NULL, OPT_REF},
						{"config", required_argument, NULL, OPT_CONFIG},
						{"json", no_argument, NULL, OPT_JSON},
						{"verify", no_argument, NULL, OPT_VERIFY},
						{"help", no_argument, NULL, OPT_HELP},
						{NULL, 0, NULL, 0}};
	int c;

	while ((c = getopt_long(argc, argv, "o:t:", options, NULL)) != -1) {
		if (c == '?')
			return leat_error("see leat image --help");
		if (c == OPT_HELP)
			return -1;
		if (c == 'o')
			o->output = optarg;
		if (c == 't')
			o->tag = optarg;
		if (c == OPT_REF)
			o->ref = optarg;
		if (c == OPT_CONFIG)
			o->config = optarg;
		o->json |= c == OPT_JSON;
		o->verify |= c == OPT_VERIFY;
	}
	return 0;
}

int cmd_image(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(int argc, char **argv, const struct options *o);
	} verbs[] = {{"build", cmd_build},
		     {"import", cmd_import},
		     {"ls", cmd_ls},
		     {"inspect", cmd_inspect_image},
		     {"rm", cmd_rm_image}};
	struct options o = {0};
	const char *verb = argc > 1 ? argv[1] : "--help";
	int code;

	/* names in archives are UTF-8 */
	setlocale(LC_CTYPE, "C.UTF-8");
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		if (strcmp(verbs[i].name, verb) != 0)
			continue;
		code = options_take(argc - 1, argv + 1, &o);
		if (code > 0)
			return code;
		if (code == 0)
			return verbs[i].run(argc - 1 - optind, argv + 1 + optind, &o);
		verb = "--help";
	}
	if (strcmp(verb, "--help") != 0)
		return leat_error("no leat image %s; see leat image --help", verb);
	fputs(help, stdout);
	return 0;
}
