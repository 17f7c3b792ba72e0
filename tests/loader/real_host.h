/*
 * real_host.h - a process that plays an instance's host process, for tests of rewriting.
 */
#pragma once

struct mm;

/* Makes instance() and current() work in the calling thread. Its empty address space. */
struct mm *real_host_init(void);

/* The same current() in another thread. */
void real_host_enter(void);

/* How many threads patch.c believes to run. */
void real_host_threads(unsigned n);
