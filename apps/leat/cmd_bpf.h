/* leat bpf: filters looked at from the command line, without a daemon. */
#pragma once

/* argv[0] is "bpf". Returns the exit status. */
int cmd_bpf(int argc, char **argv);
