/*
 * cmd_port.c - leat port: ports of a tenant's network for vhost-user frontends.
 */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "apps/common/parse.h"
#include "apps/leat/leat.h"

static const char help[] =
	"usage: leat port add --vhost-user PATH [--tenant NAME] [--name NAME] [--ip ADDRESS]\n"
	"                     [--queues N] [--filter FILE|default|none] [--pps N] [--bps N]\n"
	"       leat port ls [--json]\n"
	"       leat port rm NAME\n"
	"A port of a tenant's network for a program outside: a virtual machine or a program of\n"
	"DPDK's (virtio-user) connects to PATH. Prints the port's name, IPv4 address and MAC: the\n"
	"only ones that the default filter lets it use.\n";

/* A listening socket at the path, for its owner only. */
static int listener_make(const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	mode_t old;
	int fd;

	if (strlen(path) >= sizeof(addr.sun_path))
		return leat_error("cannot listen on %s: the name is too long", path), -1;
	strcpy(addr.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	old = umask(0177);
	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
		leat_error("cannot listen on %s: %s", path, strerror(errno));
		umask(old);
		if (fd >= 0)
			close(fd);
		return -1;
	}
	umask(old);
	if (listen(fd, 1) < 0) {
		leat_error("cannot listen on %s: %s", path, strerror(errno));
		unlink(path);
		close(fd);
		return -1;
	}
	return fd;
}

static const char *text_of(const json_t *port, const char *key)
{
	const char *text = json_string_value(json_object_get(port, key));

	return text != NULL ? text : "";
}

/* Asks, with the listener and the filter's descriptors. */
static int add(json_t *request, const char *path, const char *filter)
{
	int fds[3], nr = 1, code = EXIT_LEAT, conn;
	json_t *answer = NULL;

	if (filter != NULL && strcmp(filter, "none") != 0 && strcmp(filter, "default") != 0) {
		nr = filter_open(filter, fds + 1);
		if (nr < 0)
			return -nr;
		json_object_set_new(request, "filter_fd", json_integer(1));
		if (nr > 1)
			json_object_set_new(request, "signature_fd", json_integer(2));
		filter = "object";
		nr++;
	}
	if (filter != NULL)
		json_object_set_new(request, "filter", json_string(filter));
	json_object_set_new(request, "listener", json_integer(0));
	conn = daemon_connect(true);
	fds[0] = conn < 0 ? -1 : listener_make(path);
	if (fds[0] >= 0)
		answer = daemon_call(conn, request, fds, (unsigned)nr, NULL, NULL);
	if (answer != NULL) {
		printf("%s %s %s\n", text_of(answer, "name"), text_of(answer, "ip"),
		       text_of(answer, "mac"));
		code = 0;
	} else if (fds[0] >= 0) {
		unlink(path);
	}
	json_decref(answer);
	return code;
}

static int port_add(int argc, char **argv)
{
	static const struct option options[] = {
		{"vhost-user", required_argument, NULL, 'v'},
		{"tenant", required_argument, NULL, 't'},
		{"name", required_argument, NULL, 'n'},
		{"ip", required_argument, NULL, 'i'},
		{"queues", required_argument, NULL, 'q'},
		{"filter", required_argument, NULL, 'f'},
		{"pps", required_argument, NULL, 'p'},
		{"bps", required_argument, NULL, 'b'},
		{NULL, 0, NULL, 0},
	};
	json_t *limits = json_object();
	json_t *request = json_pack("{s:s, s:o}", "op", "port-add", "limits", limits);
	const char *path = NULL, *filter = NULL;
	uint64_t queues;
	char absolute[PATH_MAX];
	int c, code = 0;

	while (code == 0 && (c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'v')
			path = optarg;
		else if (c == 'f')
			filter = optarg;
		else if (c == 'p' || c == 'b')
			code = limit_add(limits, c == 'p' ? "pps" : "bps", optarg);
		else if (c == 'q' && parse_number(optarg, 1, 32, &queues) < 0)
			code = leat_error("cannot use --queues %s: 1 to 32", optarg);
		else if (c == 'q')
			json_object_set_new(request, "queues", json_integer((json_int_t)queues));
		else if (c == '?')
			code = leat_error("see leat port --help");
		else
			json_object_set_new(request,
					    c == 't' ? "tenant" :
					    c == 'n' ? "name" :
						       "ip",
					    json_string(optarg));
	}
	if (code == 0 && (path == NULL || optind != argc))
		code = leat_error("give --vhost-user PATH; see leat port --help");
	if (code == 0) {
		snprintf(absolute, sizeof(absolute), "%s", path);
		if (path[0] != '/') {
			size_t n = getcwd(absolute, sizeof(absolute)) ? strlen(absolute) : 0;

			snprintf(absolute + n, sizeof(absolute) - n, "/%s", path);
		}
		json_object_set_new(request, "path", json_string(absolute));
		code = add(request, path, filter);
	}
	json_decref(request);
	return code;
}

static int port_rm(int argc, char **argv)
{
	json_t *answer;

	if (argc != 2)
		return leat_error("give the name of one port; see leat port --help");
	answer = daemon_ask(json_pack("{s:s, s:s}", "op", "port-rm", "name", argv[1]), NULL, NULL);
	if (answer == NULL)
		return EXIT_LEAT;
	unlink(text_of(answer, "path"));
	json_decref(answer);
	return 0;
}

static int port_ls(int argc, char **argv)
{
	bool as_json = argc == 2 && strcmp(argv[1], "--json") == 0;
	json_t *answer, *port;
	size_t i;

	if (argc > 1 && !as_json)
		return leat_error("see leat port --help");
	answer = daemon_ask(json_pack("{s:s}", "op", "ports"), NULL, NULL);
	if (answer == NULL)
		return EXIT_LEAT;
	if (as_json) {
		json_dumpf(json_object_get(answer, "ports"), stdout, JSON_INDENT(2));
		putchar('\n');
	}
	json_array_foreach(json_object_get(answer, "ports"), i, port)
	{
		if (!as_json)
			printf("%-16s %-16s %-16s %s %-12s %s\n", text_of(port, "name"),
			       text_of(port, "tenant"), text_of(port, "ip"), text_of(port, "mac"),
			       json_is_true(json_object_get(port, "connected")) ? "connected" : "-",
			       text_of(port, "path"));
	}
	json_decref(answer);
	return 0;
}

int cmd_port(int argc, char **argv)
{
	if (argc < 2)
		return leat_error("give add, ls or rm; see leat port --help");
	if (strcmp(argv[1], "--help") == 0) {
		fputs(help, stdout);
		return 0;
	}
	if (strcmp(argv[1], "add") == 0)
		return port_add(argc - 1, argv + 1);
	if (strcmp(argv[1], "ls") == 0)
		return port_ls(argc - 1, argv + 1);
	if (strcmp(argv[1], "rm") == 0)
		return port_rm(argc - 1, argv + 1);
	return leat_error("cannot understand 'port %s'; see leat port --help", argv[1]);
}
