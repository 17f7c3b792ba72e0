/*
 * cmd_invoke.c - leat invoke: one call of a function.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "apps/leat/leat.h"

static const char help[] =
	"usage: leat invoke NAME [-d DATA|@FILE] [OPTION]...\n"
	"Calls a function and prints its answer; the exit status is 0 if its status is below 400.\n"
	"\n"
	"  -d, --data DATA        body: the text, a @FILE, or @- for standard input\n"
	"  -X, --method METHOD    POST\n"
	"  -H, --header 'N: V'    a header, lower case\n"
	"      --path PATH        /\n"
	"  -i, --include          print status and headers too\n"
	"      --async            put it into the queue, and print the call's id\n"
	"      --help\n";

struct invocation {
	json_t *request; /* method, path, headers */
	int fd;          /* body, -1: none */
	bool include, async;
};

static int data_open(const char *text)
{
	int fd;

	if (text[0] == '@') {
		fd = strcmp(text, "@-") == 0 ? dup(0) : open(text + 1, O_RDONLY | O_CLOEXEC);
	} else {
		fd = memfd_create("leat-data", MFD_CLOEXEC);
		if (fd >= 0 && (write(fd, text, strlen(text)) != (ssize_t)strlen(text) ||
				lseek(fd, 0, SEEK_SET) < 0)) {
			close(fd);
			fd = -1;
		}
	}
	return fd;
}

static int header_add(struct invocation *inv, const char *text)
{
	const char *colon = strchr(text, ':');

	if (colon == NULL || colon == text)
		return leat_error("cannot use -H '%s': NAME: VALUE", text);
	json_array_append_new(json_object_get(inv->request, "headers"),
			      json_pack("[s%, s]", text, (size_t)(colon - text),
					colon + 1 + strspn(colon + 1, " ")));
	return 0;
}

static int option_take(struct invocation *inv, int option, const char *value)
{
	switch (option) {
	case 'd':
		if (inv->fd >= 0)
			close(inv->fd);
		inv->fd = data_open(value);
		return inv->fd >= 0 ? 0 : leat_error("cannot open %s: %s", value, strerror(errno));
	case 'X':
		json_object_set_new(inv->request, "method", json_string(value));
		return 0;
	case 'H':
		return header_add(inv, value);
	case 'p':
		json_object_set_new(inv->request, "path", json_string(value));
		return 0;
	case 'i':
		inv->include = true;
		return 0;
	case 'a':
		inv->async = true;
		return 0;
	default:
		return leat_error("see leat invoke --help");
	}
}

static void head_print(const json_t *answer)
{
	size_t i;
	const json_t *pair;

	printf("status: %d\n", (int)json_integer_value(json_object_get(answer, "status")));
	json_array_foreach(json_object_get(answer, "headers"), i, pair)
		printf("%s: %s\n", json_string_value(json_array_get(pair, 0)),
		       json_string_value(json_array_get(pair, 1)));
	printf("x-call-id: %s\nx-duration-seconds: %.6f\n\n",
	       json_string_value(json_object_get(answer, "call_id")),
	       json_number_value(json_object_get(answer, "seconds")));
}

static int answer_print(const struct invocation *inv, const json_t *answer, int fd)
{
	int status = (int)json_integer_value(json_object_get(answer, "status"));
	char chunk[65536];
	ssize_t n;

	if (inv->include)
		head_print(answer);
	if (lseek(fd, 0, SEEK_SET) < 0)
		return leat_error("cannot read the answer");
	while ((n = read(fd, chunk, sizeof(chunk))) > 0)
		if (fwrite(chunk, 1, (size_t)n, status < 400 ? stdout : stderr) != (size_t)n)
			return leat_error("cannot print: %s", strerror(errno));
	fflush(stdout);
	if (json_is_true(json_object_get(answer, "broken")))
		return leat_error("the function broke its answer off");
	return status < 400 ? 0 : 1;
}

static int invoke(struct invocation *inv, const char *name)
{
	int fds[CHANNEL_FDS_MAX], code;
	unsigned nr = 0;
	json_t *answer = gateway_ask(json_pack("{s:s, s:s, s:O, s:b}", "op", "invoke", "name", name,
					       "request", inv->request, "async", inv->async),
				     inv->fd, fds, &nr);

	if (answer == NULL)
		return EXIT_LEAT;
	if (inv->async) {
		puts(json_string_value(json_object_get(answer, "call_id")));
		code = 0;
	} else {
		code = nr == 1 ? answer_print(inv, answer, fds[0]) :
				 leat_error("cannot read the gateway's answer");
	}
	while (nr > 0)
		close(fds[--nr]);
	json_decref(answer);
	return code;
}

int cmd_invoke(int argc, char **argv)
{
	static const struct option options[] = {
		{"data", required_argument, NULL, 'd'},   {"method", required_argument, NULL, 'X'},
		{"header", required_argument, NULL, 'H'}, {"path", required_argument, NULL, 'p'},
		{"include", no_argument, NULL, 'i'},      {"async", no_argument, NULL, 'a'},
		{"help", no_argument, NULL, 'h'},         {NULL, 0, NULL, 0}};
	struct invocation inv = {.request = json_pack("{s:[]}", "headers"), .fd = -1};
	int c, code = 0;

	while (code == 0 && (c = getopt_long(argc, argv, "d:X:H:i", options, NULL)) != -1) {
		if (c == 'h') {
			fputs(help, stdout);
			json_decref(inv.request);
			return 0;
		}
		code = option_take(&inv, c, optarg);
	}
	if (code == 0 && optind + 1 != argc)
		code = leat_error("give the name of one function; see leat invoke --help");
	if (code == 0)
		code = invoke(&inv, argv[optind]);
	if (inv.fd >= 0)
		close(inv.fd);
	json_decref(inv.request);
	return code;
}
