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

static json_t *program_json(const struct ebpf_object *obj, const char *name, const char *section)
{
	json_t *json = json_pack("{s:s, s:s, s:I}", "name", name, "section", section,
				 "instructions", (json_int_t)ebpf_object_prog_size(obj, name));
	const struct ebpf_refusal *refusal = ebpf_object_prog_refusal(obj, name);
	char text[EBPF_LOG_SIZE * 2];

	json_object_set_new(json, "accepted", json_boolean(!refusal));
	if (refusal) {
		ebpf_refusal_json(refusal, text, sizeof(text));
		json_object_set_new(json, "refusal", json_loads(text, 0, NULL));
	} else {
		json_object_set_new(json, "longest_path",
				    json_integer((json_int_t)ebpf_object_prog_cost(obj, name)));
	}
	return json;
}

static void verdict_text(const struct ebpf_object *obj, double us)
{
	const struct ebpf_refusal *refusal;
	const char *name, *section;
	char text[EBPF_LOG_SIZE];
	uint32_t i;

	for (i = 0; (name = ebpf_object_prog_name(obj, i, &section)); i++) {
		refusal = ebpf_object_prog_refusal(obj, name);
		if (refusal) {
			ebpf_refusal_text(refusal, text, sizeof(text));
			fputs(text, stderr);
			continue;
		}
		printf("%s (%s): safe, %u instructions, %" PRIu64 " on the longest path\n", name,
		       section, ebpf_object_prog_size(obj, name), ebpf_object_prog_cost(obj, name));
	}
	printf("verified in %.0f us\n", us);
}

static json_t *verdict_json(const char *path, const struct ebpf_object *obj, const char *log,
			    bool safe, double us)
{
	json_t *root = json_pack("{s:s, s:b}", "file", path, "accepted", safe);
	json_t *programs = json_array();
	const char *name, *section;
	uint32_t i;

	for (i = 0; obj && (name = ebpf_object_prog_name(obj, i, &section)); i++)
		json_array_append_new(programs, program_json(obj, name, section));
	json_object_set_new(root, "programs", programs);
	if (obj)
		json_object_set_new(root, "verify_us", json_real(us));
	if (!safe)
		json_object_set_new(root, "report", json_string(log));
	return root;
}

int bpf_verify(int argc, char **argv, const struct bpf_options *options)
{
	char log[EBPF_LOG_SIZE];
	struct ebpf_object *obj;
	json_t *root = NULL;
	bool safe = false;
	double us = 0;
	int status;

	if (argc != 1)
		return bpf_usage();
	obj = bpf_open(argv[0], log, sizeof(log), &safe, &us);
	status = safe ? 0 : 1;
	if (options->json)
		root = verdict_json(argv[0], obj, log, safe, us);
	else if (obj)
		verdict_text(obj, us);
	else
		fputs(log, stderr);
	/* a file that cannot be read has no second opinion */
	if (options->kernel && (obj || *log))
		status |= bpf_kernel_verify(argv[0], obj, root);
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
