/*
 * cmd_bpf.c - leat bpf: filters looked at from the command line.
 *
 * All but map work in this process: no daemon and, but for the kernel's opinion, no privileges.
 */
#include "apps/leat/cmd_bpf.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "apps/leat/bpf_common.h"

static const struct {
	const char *name;
	int (*run)(int argc, char **argv, const struct bpf_options *options);
} commands[] = {
	{"verify", bpf_verify}, {"disasm", bpf_disasm}, {"run", bpf_run},
	{"test", bpf_test},     {"bench", bpf_bench},   {"conformance", bpf_conformance},
	{"sign", bpf_sign},     {"map", bpf_map},
};

static int usage_to(FILE *out)
{
	fputs("usage: leat bpf verify [--json] [--kernel] FILE\n"
	      "       leat bpf disasm FILE [PROGRAM]\n"
	      "       leat bpf run [--engine E] [--packet HEX] FILE [PROGRAM]\n"
	      "       leat bpf test FILE SCRIPT...\n"
	      "       leat bpf bench [--json] [--quick] [--only CASE,...] [FILE...]\n"
	      "       leat bpf sign --key PRIVATE.pem FILE...\n"
	      "       leat bpf map [--json] NAME [MAP [list | get KEY | set KEY = VALUE |\n"
	      "                                        delete KEY]]\n"
	      "       leat bpf map [--json] NAME RING take\n"
	      "       leat bpf map NAME OUTER create KEY | remove KEY      (OUTER@KEY: that map)\n"
	      "       leat bpf conformance [--engine E] [MEMORY-HEX] < PROGRAM-HEX\n"
	      "FILE is an eBPF object, PROGRAM a section or function, E interpreter or compiler.\n"
	      "Exit status: 0 yes; 1 no: refused, wrong, or not there; 2 not understood.\n",
	      out);
	return out == stdout ? 0 : BPF_USAGE;
}

int bpf_usage(void)
{
	return usage_to(stderr);
}

static bool parse_engine(const char *name, enum ebpf_engine *ret_engine)
{
	if (strcmp(name, "interpreter") == 0)
		*ret_engine = EBPF_ENGINE_INTERPRETER;
	else if (strcmp(name, "compiler") == 0)
		*ret_engine = EBPF_ENGINE_COMPILER;
	else
		return false;
	return true;
}

static bool parse_options(int argc, char **argv, struct bpf_options *ret_options)
{
	static const struct option longs[] = {
		{"json", no_argument, NULL, 'j'},         {"kernel", no_argument, NULL, 'k'},
		{"quick", no_argument, NULL, 'q'},        {"only", required_argument, NULL, 'o'},
		{"engine", required_argument, NULL, 'e'}, {"packet", required_argument, NULL, 'p'},
		{"key", required_argument, NULL, 'K'},    {0},
	};
	int option;

	optind = 0;
	while ((option = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (option == 'j')
			ret_options->json = true;
		else if (option == 'k')
			ret_options->kernel = true;
		else if (option == 'q')
			ret_options->quick = true;
		else if (option == 'o')
			ret_options->only = optarg;
		else if (option == 'K')
			ret_options->key = optarg;
		else if (option == 'p')
			ret_options->packet = optarg;
		else if (option != 'e' || !parse_engine(optarg, &ret_options->engine))
			return false;
	}
	return true;
}

int cmd_bpf(int argc, char **argv)
{
	struct bpf_options options = {.engine = EBPF_ENGINE_AUTO};
	size_t i;

	if (argc < 2)
		return bpf_usage();
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
		return usage_to(stdout);
	argc--;
	argv++;
	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(argv[0], commands[i].name) != 0)
			continue;
		if (!parse_options(argc, argv, &options))
			return bpf_usage();
		return commands[i].run(argc - optind, argv + optind, &options);
	}
	return bpf_usage();
}
