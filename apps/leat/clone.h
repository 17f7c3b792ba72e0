/*
 * clone.h - the request to go on from a snapshot.
 */
#pragma once

#include "apps/leat/run.h"

/*
 * Completes a request whose name, ports, limits and the like are set: the rest is as the snapshot's
 * instance was run.  0, or an exit code after the user has been told.
 */
int clone_prepare(struct run_request *run, const char *dir);
