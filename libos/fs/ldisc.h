/*
 * ldisc.h - the line discipline of a terminal: what typed bytes become for the reader, and what
 * written bytes become for the screen.  See termios(3).
 *
 * Guard: the instance lock.  Nothing in here waits: the terminal does.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct uio;

#define LDISC_NR_CC 19
#define LDISC_BUFFER 65536U

/* The kernel's struct termios2; its first 36 bytes are struct termios. */
struct ktermios {
	uint32_t iflag;
	uint32_t oflag;
	uint32_t cflag;
	uint32_t lflag;
	uint8_t line;
	uint8_t cc[LDISC_NR_CC];
	uint32_t ispeed;
	uint32_t ospeed;
};

/* A ring of bytes; head and tail only grow, modulo 2^32. */
struct ldisc_ring {
	uint8_t *bytes; /* LDISC_BUFFER; made at the first use */
	uint32_t head;  /* the next one to read */
	uint32_t tail;
};

struct ldisc {
	struct ktermios termios;
	struct ldisc_ring in;  /* for the reader */
	struct ldisc_ring out; /* for the screen */
	uint64_t *line_ends;   /* a bit for each byte of in: a line ends with it */
	uint32_t line_start;   /* of in: behind it lies the line that is being edited */
	unsigned column;       /* where the cursor is */
	unsigned line_column;  /* where it was when the line began */
	bool next_literal;     /* VLNEXT came */
	bool stopped;          /* VSTOP came: no output */
	void (*signal)(struct ldisc *ld, int sig); /* VINTR, VQUIT or VSUSP came */
};

void ldisc_init(struct ldisc *ld, void (*signal)(struct ldisc *ld, int sig));
void ldisc_finish(struct ldisc *ld);

/* New modes: what was typed under the old ones is seen as Linux does. */
void ldisc_set_termios(struct ldisc *ld, const struct ktermios *termios);

/* How many typed bytes are taken now. */
unsigned ldisc_room(const struct ldisc *ld);
/* n bytes were typed, at most ldisc_room. 0 or -ENOMEM. */
int ldisc_input(struct ldisc *ld, const uint8_t *bytes, unsigned n);

/* Bytes that a read may have now: of complete lines, or of everything. */
unsigned ldisc_available(const struct ldisc *ld);
/* Is there something to read: in canonical mode an empty line end (VEOF) too? */
bool ldisc_has_line(const struct ldisc *ld);
/* Moves what one read gives; 0: nothing, or an end of file that was typed. */
ssize_t ldisc_read(struct ldisc *ld, struct uio *uio);

/* Moves what the program writes to the screen's ring; 0: no room. */
ssize_t ldisc_write(struct ldisc *ld, struct uio *uio);
bool ldisc_can_write(const struct ldisc *ld);

/* What the screen has not taken yet, and taking it. */
unsigned ldisc_pending_output(const struct ldisc *ld);
ssize_t ldisc_take_output(struct ldisc *ld, struct uio *uio);

/* TCFLSH and signals by key. */
void ldisc_flush_input(struct ldisc *ld);
void ldisc_flush_output(struct ldisc *ld);
