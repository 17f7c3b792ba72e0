/*
 * foreground.h - sending a run request, and standing for the program until it ends.
 */
#pragma once

#include "apps/leat/run.h"

/* The exit code of leat: the program's, or at once when it runs detached. */
int run_send(struct run_request *run);
