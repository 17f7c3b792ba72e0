/*
 * namei.h - the state of a path walk, for the calls that treat the last component themselves.
 *
 * Use: walk_init, walk_path, then look at last/last_len/last_dots in directory cur; walk_link and
 * walk_path again when the last component is a link to be followed; walk_finish in any case.
 */
#pragma once

#include "libos/fs/fs.h"

struct walk {
	struct path root; /* borrowed, or referenced with LOOKUP_IN_ROOT and LOOKUP_BENEATH */
	struct path cur;  /* referenced: the directory reached */
	unsigned flags;   /* LOOKUP_* */
	unsigned nr_links;
	unsigned nr_bufs;
	const char *last;  /* not NUL-terminated; points into the caller's path or bufs[] */
	unsigned last_len; /* 0: the path was "/" or ended in a link to "/" */
	int last_dots;     /* 1: "." or nothing, 2: "..", 0: a name */
	bool trailing_slash;
	const char *rest[FS_LINKS_MAX]; /* what follows each link that is being walked */
	char *bufs[FS_LINKS_MAX];
};

int walk_init(struct walk *w, int dirfd, const char *name, unsigned flags);
int walk_init_at(struct walk *w, struct path base, unsigned flags);
void walk_finish(struct walk *w);

/* Walks all components but the last. */
int walk_path(struct walk *w, const char *p);

/* The child of cur, what is mounted on it included; negative ones too; referenced. */
int walk_child(struct walk *w, const char *name, unsigned len, struct path *ret_path);

/* Follows a link found in cur: NULL text: cur is where it leads; else walk_path(text) comes next.
 */
int walk_link(struct walk *w, struct path link, const char **ret_text);
