/*
 * cmd_filter.c - leat filter: another filter for a running instance.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "apps/leat/leat.h"

static const char help[] =
	"usage: leat filter set NAME FILE|default|none\n"
	"Replaces the filter between two packets. none: the queues carry nothing.\n";

int cmd_filter(int argc, char **argv)
{
	bool named;
	int object = -1, fd, code = EXIT_LEAT;
	json_t *request, *answer;

	if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
		fputs(help, stdout);
		return 0;
	}
	if (argc != 4 || strcmp(argv[1], "set") != 0)
		return leat_error("see leat filter --help");
	named = strcmp(argv[3], "default") == 0 || strcmp(argv[3], "none") == 0;
	if (!named) {
		object = open(argv[3], O_RDONLY | O_CLOEXEC);
		if (object < 0)
			return leat_error("cannot open the filter %s: %s", argv[3],
					  strerror(errno));
	}
	fd = daemon_connect(false);
	if (fd >= 0) {
		request = json_pack("{s:s, s:s, s:s}", "op", "filter", "name", argv[2], "filter",
				    named ? argv[3] : "object");
		answer = daemon_call(fd, request, &object, named ? 0 : 1, NULL, NULL);
		json_decref(request);
		if (answer != NULL)
			code = 0;
		json_decref(answer);
		close(fd);
	}
	if (object >= 0)
		close(object);
	return code;
}
