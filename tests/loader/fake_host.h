/*
 * fake_host.h - a host for mm*.c that only keeps books: what lies on each page of a small window.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define FAKE_BASE 0x10000000UL
#define FAKE_PAGES 512U

struct fake_page {
	bool mapped;
	bool shared;
	int prot;
	int fd;       /* -1: anonymous */
	uint64_t off; /* of the page, of a file */
};

extern struct fake_page fake_page[FAKE_PAGES];
extern unsigned fake_outside; /* host calls beyond the window */
extern unsigned fake_objects; /* arena objects alive */
extern unsigned fake_fails;   /* arena_alloc fails when this counts down to 0; 0: never */

/* Maps what instance() looks at. */
void fake_instance_init(void);

/* A file of mapping tests, whose page n is page n of host descriptor fd. */
struct file *fake_file(int fd);
