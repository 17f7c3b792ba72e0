/*
 * entry.h - entry.c's start.
 */
#pragma once

/* Installs the handlers of the host's signals: once, inherited by every host process and thread. */
void entry_init(void);

/* Where the stubs of rewritten sites jump (entry.S): rcx = where to go on. */
extern const char entry_stub[];
