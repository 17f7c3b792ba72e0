/*
 * bpf_verify.c - leat bpf verify and disasm.
 */
#include "apps/leat/bpf_common.h"
#include "apps/leat/bpf_kernel.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static json_t *programs_json(const struct ebpf_object *obj)
{
	json_t *programs = json_array();
	const char *name, *section;
	uint32_t i;

	for (i = 0; obj && (name = ebpf_object_prog_name(obj, i, &section)); i++)
		json_array_append_new(programs,
				      json_pack("{s:s, s:s, s:I, s:I}", "name", name, "section",
						section, "instructions",
						(json_int_t)ebpf_object_prog_size(obj, name),
						"longest_path",
						(json_int_t)ebpf_object_prog_cost(obj, name)));
	return programs;
}

static void verdict_text(const struct ebpf_object *obj, const char *log, double us)
{
	const char *name, *section;
	uint32_t i;

	if (!obj) {
		fputs(log, stderr);
		return;
	}
	for (i = 0; (name = ebpf_object_prog_name(obj, i, &section)); i++)
		printf("%s (%s): safe, %u instructions, %" PRIu64 " on the longest path\n", name,
		       section, ebpf_object_prog_size(obj, name), ebpf_object_prog_cost(obj, name));
	printf("verified in %.0f us\n", us);
}

static json_t *verdict_json(const char *path, const struct ebpf_object *obj, const char *log,
			    double us)
{
	json_t *root = json_pack("{s:s, s:b}", "file", path, "accepted", obj != NULL);

	json_object_set_new(root, "programs", programs_json(obj));
	if (obj)
		json_object_set_new(root, "verify_us", json_real(us));
	else
		json_object_set_new(root, "report", json_string(log));
	return root;
}

int bpf_verify(int argc, char **argv, const struct bpf_options *options)
{
	char log[EBPF_LOG_SIZE];
	struct ebpf_object *obj;
	json_t *root = NULL;
	double us = 0;
	int status;

	if (argc != 1)
		return bpf_usage();
	obj = bpf_open(argv[0], log, sizeof(log), &us);
	status = obj ? 0 : 1;
	if (options->json)
		root = verdict_json(argv[0], obj, log, us);
	else
		verdict_text(obj, log, us);
	/* a file that cannot be read has no second opinion */
	if (options->kernel && (obj || *log))
		status |= bpf_kernel_verify(argv[0], obj != NULL, root);
	if (root) {
		json_dumpf(root, stdout, JSON_INDENT(2));
		putchar('\n');
	}
	json_decref(root);
	ebpf_object_unref(obj);
	return status;
}

static int show_program(const struct ebpf_object *obj, const char *name)
{
	int n = ebpf_object_disasm(obj, name, NULL, 0);
	char *text = n < 0 ? NULL : malloc((size_t)n + 1);

	if (!text) {
		fprintf(stderr, "leat: no program %s\n", name);
		return 1;
	}
	ebpf_object_disasm(obj, name, text, (size_t)n + 1);
	fputs(text, stdout);
	free(text);
	return 0;
}

/* Also of programs that are refused: that is when one wants to see them. */
int bpf_disasm(int argc, char **argv, const struct bpf_options *options)
{
	char log[EBPF_LOG_SIZE];
	struct ebpf_object *obj;
	const char *name, *section;
	size_t size;
	uint8_t *elf;
	uint32_t i;
	int status = 0;

	(void)options;
	if (argc < 1 || argc > 2)
		return bpf_usage();
	elf = bpf_read_file(argv[0], &size);
	if (!elf)
		return 1;
	if (ebpf_object_open(elf, size, log, sizeof(log), &obj)) {
		fputs(log, stderr);
		free(elf);
		return 1;
	}
	free(elf);
	if (argc == 2)
		status = show_program(obj, argv[1]);
	for (i = 0; argc == 1 && (name = ebpf_object_prog_name(obj, i, &section)); i++) {
		printf("%s (%s):\n", name, section);
		status |= show_program(obj, name);
	}
	ebpf_object_unref(obj);
	return status;
}
