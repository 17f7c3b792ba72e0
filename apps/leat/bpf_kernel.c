/*
 * bpf_kernel.c - the kernel's own verifier and compiler, asked through libbpf.
 */
#include "apps/leat/bpf_kernel.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "apps/leat/bpf_common.h"

#define KERNEL_LOG_BYTES (1u << 20)
#define SHOWN_LINES 12

static int be_quiet(enum libbpf_print_level level, const char *format, va_list ap)
{
	(void)level;
	(void)format;
	(void)ap;
	return 0;
}

/* ---- second opinion ---- */

/* libbpf knows the kind by the section's name. */
static bool has_linux_type(const struct bpf_program *prog)
{
	return bpf_program__type(prog) != BPF_PROG_TYPE_UNSPEC;
}

/* Only @wanted is to be loaded. Returns how many programs are of no kind that Linux has. */
static int choose(struct bpf_object *obj, const char *wanted)
{
	struct bpf_program *prog;
	int others = 0;

	bpf_object__for_each_program(prog, obj)
	{
		others += !has_linux_type(prog);
		bpf_program__set_autoload(prog,
					  has_linux_type(prog) &&
						  strcmp(bpf_program__name(prog), wanted) == 0);
	}
	return others;
}

/* The last lines of the kernel's log: there it says why. */
static const char *last_lines(const char *log)
{
	const char *at = log + strlen(log);
	int lines = 0;

	while (at > log && lines <= SHOWN_LINES)
		lines += *--at == '\n';
	return at > log ? at + 1 : log;
}

/* One program in an object of its own, so that each gets a verdict. */
static int load_one(const char *path, const char *name, char *log, size_t log_size)
{
	LIBBPF_OPTS(bpf_object_open_opts, opts, .kernel_log_buf = log, .kernel_log_size = log_size,
		    .kernel_log_level = 1);
	struct bpf_object *obj = bpf_object__open_file(path, &opts);
	int r;

	if (!obj)
		return -errno;
	*log = '\0';
	choose(obj, name);
	r = bpf_object__load(obj);
	bpf_object__close(obj);
	return r;
}

static void report(json_t *root, const char *name, const char *verdict, bool agree, const char *why)
{
	json_t *list;

	if (!root) {
		printf("kernel: %s: %s%s\n", name, verdict, agree ? "" : "  (DISAGREES with Leat)");
		if (*why)
			fputs(why, stdout);
		return;
	}
	list = json_object_get(root, "kernel");
	json_array_append_new(list, json_pack("{s:s, s:s, s:b, s:s}", "name", name, "verdict",
					      verdict, "agrees", agree, "log", why));
}

static int ask(const char *path, const char *name, bool accepted, json_t *root)
{
	char *log = malloc(KERNEL_LOG_BYTES), text[128];
	bool agree;
	int r;

	if (!log)
		return 1;
	r = load_one(path, name, log, KERNEL_LOG_BYTES);
	if (r == -EPERM || r == -ENOSYS) {
		report(root, name, "not asked: the kernel lets nobody here load programs", true,
		       "");
		free(log);
		return 0;
	}
	agree = (r == 0) == accepted;
	if (r)
		snprintf(text, sizeof(text), "refused: %s", strerror(-r));
	else
		snprintf(text, sizeof(text), "accepted");
	report(root, name, text, agree, r ? last_lines(log) : "");
	free(log);
	return !agree;
}

int bpf_kernel_verify(const char *path, const struct ebpf_object *ours, json_t *root)
{
	struct bpf_object *obj;
	struct bpf_program *prog;
	int status = 0;

	libbpf_set_print(be_quiet);
	if (root)
		json_object_set_new(root, "kernel", json_array());
	obj = bpf_object__open_file(path, NULL);
	if (!obj) {
		report(root, "object", "refused: libbpf cannot open it", !ours, "");
		return ours != NULL;
	}
	bpf_object__for_each_program(prog, obj)
	{
		const char *name = bpf_program__name(prog);

		if (has_linux_type(prog))
			status |= ask(path, name, ours && !ebpf_object_prog_refusal(ours, name),
				      root);
		else
			report(root, name, "not asked: Linux has no programs of this kind", true,
			       "");
	}
	bpf_object__close(obj);
	return status;
}

/* ---- to be measured against ---- */

struct bpf_kernel_prog {
	struct bpf_object *obj;
	int fd;
};

/* What the map holds in the instance is put into the kernel's map. */
static int copy_map(struct ebpf_map *from, struct bpf_map *to)
{
	struct ebpf_map_info info;
	uint8_t *key, *value;
	bool first = true;
	int r = 0;

	ebpf_map_info(from, &info);
	if (info.key_size != bpf_map__key_size(to) || info.value_size != bpf_map__value_size(to))
		return -EINVAL;
	key = calloc(1, info.key_size);
	value = malloc(info.value_size);
	while (!r && key && value && !ebpf_map_next_key(from, first ? NULL : key, key)) {
		first = false;
		r = ebpf_map_lookup(from, key, value);
		if (!r)
			r = bpf_map__update_elem(to, key, info.key_size, value, info.value_size, 0);
	}
	free(key);
	free(value);
	return r;
}

static int copy_maps(struct bpf_object *obj, struct ebpf_instance *inst)
{
	struct bpf_map *map;
	int r = 0;

	bpf_object__for_each_map(map, obj)
	{
		struct ebpf_map *from = ebpf_instance_map(inst, bpf_map__name(map));

		if (from && !bpf_map__is_internal(map))
			r = copy_map(from, map);
		if (r)
			return r;
	}
	return 0;
}

/* The context that bpf/programs/kernel/kernel.bpf.c has in a section of its own. */
static int set_given(struct bpf_object *obj, const struct leat_pkt_ctx *ctx)
{
	struct bpf_map *map;

	bpf_object__for_each_map(map, obj)
	{
		if (strcmp(bpf_map__name(map), ".data.given") == 0)
			return bpf_map__set_initial_value(map, ctx, sizeof(*ctx));
	}
	return -ENOENT;
}

struct bpf_kernel_prog *bpf_kernel_load(const char *path, const char *name,
					struct ebpf_instance *inst, const struct leat_pkt_ctx *ctx)
{
	struct bpf_kernel_prog *prog = calloc(1, sizeof(*prog));
	struct bpf_program *found;
	int r = -ENOMEM;

	libbpf_set_print(be_quiet);
	if (prog)
		prog->obj = bpf_object__open_file(path, NULL);
	if (prog && prog->obj) {
		choose(prog->obj, name);
		r = set_given(prog->obj, ctx);
	}
	if (!r)
		r = bpf_object__load(prog->obj);
	if (!r)
		r = copy_maps(prog->obj, inst);
	found = r ? NULL : bpf_object__find_program_by_name(prog->obj, name);
	if (!found) {
		fprintf(stderr, "leat: %s: the kernel does not take %s: %s\n", path, name,
			r ? strerror(-r) : "there is no such program");
		bpf_kernel_unload(prog);
		return NULL;
	}
	prog->fd = bpf_program__fd(found);
	return prog;
}

void bpf_kernel_unload(struct bpf_kernel_prog *prog)
{
	if (prog)
		bpf_object__close(prog->obj);
	free(prog);
}

int bpf_kernel_run(const struct bpf_kernel_prog *prog, const void *frame, uint32_t size,
		   uint32_t repeat, uint32_t *ret_verdict)
{
	uint8_t out[4096];
	union bpf_attr attr;
	int r;

	/* not by libbpf's function: its header has the name of a header of ours */
	memset(&attr, 0, sizeof(attr));
	attr.test.prog_fd = (uint32_t)prog->fd;
	attr.test.data_in = (uintptr_t)frame;
	attr.test.data_size_in = size;
	attr.test.data_out = (uintptr_t)out;
	attr.test.data_size_out = sizeof(out);
	attr.test.repeat = repeat;
	r = (int)syscall(SYS_bpf, BPF_PROG_TEST_RUN, &attr, sizeof(attr));
	if (r)
		return -errno;
	*ret_verdict = attr.test.retval;
	return 0;
}
