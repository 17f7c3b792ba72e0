/*
 * ldisc.c - the line discipline of a terminal: canonical and raw input, echo, erasing, signals by
 * key, flow control, and the post-processing of output.  See termios(3).
 */
#include "libos/fs/ldisc.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <termios.h>

#include "leat/base/bits.h"
#include "libos/arena.h"
#include "libos/uaccess.h"

#define LINE_MAX_BYTES 4095U /* of a line that is being edited; the rest is dropped */
#define SCREEN_BYTES 4095U   /* what the reading side holds of the output */
#define WRITE_CHUNK 512U
#define TAB_STOP 8U
#define DEFAULT_SPEED 38400U

#define RING_MASK (LDISC_BUFFER - 1)

static const struct ktermios default_termios = {
	.iflag = ICRNL | IXON,
	.oflag = OPOST | ONLCR,
	.cflag = B38400 | CS8 | CREAD,
	.lflag = ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN,
	.cc = {[VINTR] = 3,
	       [VQUIT] = 28,
	       [VERASE] = 127,
	       [VKILL] = 21,
	       [VEOF] = 4,
	       [VMIN] = 1,
	       [VSTART] = 17,
	       [VSTOP] = 19,
	       [VSUSP] = 26,
	       [VREPRINT] = 18,
	       [VDISCARD] = 15,
	       [VWERASE] = 23,
	       [VLNEXT] = 22},
	.ispeed = DEFAULT_SPEED,
	.ospeed = DEFAULT_SPEED,
};

void ldisc_init(struct ldisc *ld, void (*signal)(struct ldisc *ld, int sig))
{
	memset(ld, 0, sizeof(*ld));
	ld->termios = default_termios;
	ld->signal = signal;
}

void ldisc_finish(struct ldisc *ld)
{
	arena_free(ld->in.bytes);
	arena_free(ld->out.bytes);
	arena_free(ld->line_ends);
}

/* ---- rings ---- */

static unsigned ring_used(const struct ldisc_ring *ring)
{
	return ring->tail - ring->head;
}

static uint8_t *ring_at(struct ldisc_ring *ring, uint32_t at)
{
	return &ring->bytes[at & RING_MASK];
}

static bool ring_make(struct ldisc_ring *ring)
{
	if (ring->bytes == NULL)
		ring->bytes = arena_alloc(LDISC_BUFFER);
	return ring->bytes != NULL;
}

/* Up to n bytes from the head. */
static ssize_t ring_take(struct ldisc_ring *ring, struct uio *uio, size_t n)
{
	ssize_t done = 0;

	n = MIN(n, uio->left);
	while (n > 0) {
		size_t run = MIN(n, LDISC_BUFFER - (ring->head & RING_MASK));
		ssize_t got = uio_copy_out(uio, ring_at(ring, ring->head), run);

		if (got <= 0)
			return done > 0 ? done : got;
		ring->head += (uint32_t)got;
		done += got;
		n -= (size_t)got;
	}
	return done;
}

static bool line_end_test(const struct ldisc *ld, uint32_t at)
{
	return (ld->line_ends[(at & RING_MASK) / 64] >> (at % 64) & 1) != 0;
}

static void line_end_set(struct ldisc *ld, uint32_t at, bool on)
{
	uint64_t bit = 1UL << (at % 64);

	if (on)
		ld->line_ends[(at & RING_MASK) / 64] |= bit;
	else
		ld->line_ends[(at & RING_MASK) / 64] &= ~bit;
}

/* ---- modes ---- */

static bool iflag(const struct ldisc *ld, uint32_t bit)
{
	return (ld->termios.iflag & bit) != 0;
}

static bool oflag(const struct ldisc *ld, uint32_t bit)
{
	return (ld->termios.oflag & bit) != 0;
}

static bool lflag(const struct ldisc *ld, uint32_t bit)
{
	return (ld->termios.lflag & bit) != 0;
}

/* Is it this special character? NUL: the character is switched off. */
static bool is_cc(const struct ldisc *ld, unsigned which, uint8_t c)
{
	return c != 0 && ld->termios.cc[which] == c;
}

void ldisc_set_termios(struct ldisc *ld, const struct ktermios *termios)
{
	bool was_canonical = lflag(ld, ICANON);

	ld->termios = *termios;
	if (!iflag(ld, IXON))
		ld->stopped = false;
	if (lflag(ld, ICANON) == was_canonical)
		return;
	ld->next_literal = false;
	ld->line_start = ld->in.head;
	if (ld->line_ends != NULL)
		memset(ld->line_ends, 0, LDISC_BUFFER / 8);
	if (lflag(ld, ICANON) && ring_used(&ld->in) > 0) { /* what is there is a line */
		line_end_set(ld, ld->in.tail - 1, true);
		ld->line_start = ld->in.tail;
	}
}

/* ---- output ---- */

static bool is_control(uint8_t c)
{
	return c < 32 || c == 127;
}

/* A byte that continues a character of UTF-8. */
static bool is_continuation(const struct ldisc *ld, uint8_t c)
{
	return iflag(ld, IUTF8) && (c & 0xc0) == 0x80;
}

static void out_put(struct ldisc *ld, uint8_t c)
{
	if (ring_used(&ld->out) < LDISC_BUFFER)
		*ring_at(&ld->out, ld->out.tail++) = c;
}

static void out_tab(struct ldisc *ld)
{
	unsigned spaces = TAB_STOP - ld->column % TAB_STOP;

	ld->column += spaces;
	if ((ld->termios.oflag & TABDLY) != XTABS) {
		out_put(ld, '\t');
		return;
	}
	while (spaces-- > 0)
		out_put(ld, ' ');
}

static void out_newline(struct ldisc *ld)
{
	if (oflag(ld, ONLCR))
		out_put(ld, '\r');
	if (oflag(ld, ONLCR | ONLRET))
		ld->column = 0;
	ld->line_column = ld->column;
	out_put(ld, '\n');
}

static void out_return(struct ldisc *ld)
{
	if (oflag(ld, ONOCR) && ld->column == 0)
		return;
	if (oflag(ld, OCRNL)) {
		if (oflag(ld, ONLRET))
			ld->column = ld->line_column = 0;
		out_put(ld, '\n');
		return;
	}
	ld->column = ld->line_column = 0;
	out_put(ld, '\r');
}

/* One byte of output; at most TAB_STOP bytes for the screen. */
static void out_process(struct ldisc *ld, uint8_t c)
{
	if (!oflag(ld, OPOST)) {
		out_put(ld, c);
		return;
	}
	switch (c) {
	case '\n':
		out_newline(ld);
		return;
	case '\r':
		out_return(ld);
		return;
	case '\t':
		out_tab(ld);
		return;
	case '\b':
		ld->column -= ld->column > 0;
		break;
	default:
		if (oflag(ld, OLCUC) && c >= 'a' && c <= 'z')
			c = (uint8_t)(c - 'a' + 'A');
		ld->column += !is_control(c) && !is_continuation(ld, c);
		break;
	}
	out_put(ld, c);
}

bool ldisc_can_write(const struct ldisc *ld)
{
	return !ld->stopped && ring_used(&ld->out) + TAB_STOP <= LDISC_BUFFER;
}

ssize_t ldisc_write(struct ldisc *ld, struct uio *uio)
{
	uint8_t chunk[WRITE_CHUNK];
	ssize_t done = 0;

	if (!ring_make(&ld->out))
		return -ENOMEM;
	while (uio->left > 0 && ldisc_can_write(ld)) {
		unsigned room = (LDISC_BUFFER - ring_used(&ld->out)) / TAB_STOP;
		ssize_t got = uio_copy_in(uio, chunk, MIN(room, WRITE_CHUNK));

		if (got <= 0)
			return done > 0 ? done : got;
		for (ssize_t i = 0; i < got; i++)
			out_process(ld, chunk[i]);
		done += got;
	}
	return done;
}

unsigned ldisc_pending_output(const struct ldisc *ld)
{
	return ring_used(&ld->out);
}

ssize_t ldisc_take_output(struct ldisc *ld, struct uio *uio)
{
	return ring_take(&ld->out, uio, ring_used(&ld->out));
}

/* ---- echo ---- */

/* Control characters as ^X where ECHOCTL says so. */
static void echo_visible(struct ldisc *ld, uint8_t c)
{
	if (lflag(ld, ECHOCTL) && is_control(c) && c != '\t') {
		out_process(ld, '^');
		out_process(ld, c ^ 0x40);
		return;
	}
	out_process(ld, c);
}

static void echo(struct ldisc *ld, uint8_t c, bool literal)
{
	if (!lflag(ld, ECHO))
		return;
	if (ld->in.tail == ld->line_start)
		ld->line_column = ld->column;
	if (c == '\n' && !literal)
		out_process(ld, c);
	else
		echo_visible(ld, c);
}

static void echo_backspaces(struct ldisc *ld, unsigned n)
{
	while (n-- > 0) {
		out_put(ld, '\b');
		ld->column -= ld->column > 0;
	}
}

static void echo_rubout(struct ldisc *ld)
{
	echo_backspaces(ld, 1);
	out_process(ld, ' ');
	echo_backspaces(ld, 1);
}

/* A tab goes: back to where the text in front of it ends. */
static void echo_rubout_tab(struct ldisc *ld)
{
	unsigned width = 0;
	uint32_t at = ld->in.tail;
	bool after_tab = false;

	while (at != ld->line_start && !after_tab) {
		uint8_t c = *ring_at(&ld->in, --at);

		if (c == '\t')
			after_tab = true;
		else if (is_control(c))
			width += lflag(ld, ECHOCTL) ? 2 : 0;
		else
			width += !is_continuation(ld, c);
	}
	if (!after_tab)
		width += ld->line_column;
	echo_backspaces(ld, TAB_STOP - width % TAB_STOP);
}

static void echo_erased(struct ldisc *ld, uint8_t c)
{
	if (c == '\t') {
		echo_rubout_tab(ld);
		return;
	}
	if (!is_control(c)) {
		echo_rubout(ld);
		return;
	}
	if (lflag(ld, ECHOCTL)) {
		echo_rubout(ld);
		echo_rubout(ld);
	}
}

/* ---- editing a line ---- */

/* Takes the last character, of one byte or more, off the line: its first byte. */
static uint8_t erase_last(struct ldisc *ld)
{
	uint8_t c;

	do
		c = *ring_at(&ld->in, --ld->in.tail);
	while (is_continuation(ld, c) && ld->in.tail != ld->line_start);
	return c;
}

static void erase_char(struct ldisc *ld)
{
	uint8_t c;

	if (ld->in.tail == ld->line_start)
		return;
	c = erase_last(ld);
	if (!lflag(ld, ECHO))
		return;
	if (lflag(ld, ECHOE))
		echo_erased(ld, c);
	else
		echo_visible(ld, ld->termios.cc[VERASE]);
}

static bool is_word(uint8_t c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
	       c == '_' || c >= 128;
}

static void erase_word(struct ldisc *ld)
{
	bool in_word = false;

	while (ld->in.tail != ld->line_start) {
		uint8_t c = *ring_at(&ld->in, ld->in.tail - 1);

		if (is_word(c))
			in_word = true;
		else if (in_word)
			return;
		c = erase_last(ld);
		if (lflag(ld, ECHO))
			echo_erased(ld, c);
	}
}

static void erase_line(struct ldisc *ld)
{
	const uint32_t by_char = ECHOK | ECHOKE | ECHOE;

	if (!lflag(ld, ECHO)) {
		ld->in.tail = ld->line_start;
	} else if ((ld->termios.lflag & by_char) == by_char) {
		while (ld->in.tail != ld->line_start)
			echo_erased(ld, erase_last(ld));
	} else {
		ld->in.tail = ld->line_start;
		echo_visible(ld, ld->termios.cc[VKILL]);
		if (lflag(ld, ECHOK))
			out_process(ld, '\n');
	}
}

static void reprint(struct ldisc *ld)
{
	echo_visible(ld, ld->termios.cc[VREPRINT]);
	out_process(ld, '\n');
	for (uint32_t at = ld->line_start; at != ld->in.tail; at++)
		echo_visible(ld, *ring_at(&ld->in, at));
}

/* ---- input ---- */

static void in_put(struct ldisc *ld, uint8_t c)
{
	line_end_set(ld, ld->in.tail, false);
	*ring_at(&ld->in, ld->in.tail++) = c;
}

/* The line is complete with c, which takes the last place of one that is too long. */
static void in_end_line(struct ldisc *ld, uint8_t c)
{
	if (ring_used(&ld->in) == LDISC_BUFFER)
		ld->in.tail--;
	in_put(ld, c);
	line_end_set(ld, ld->in.tail - 1, true);
	ld->line_start = ld->in.tail;
}

static void in_char(struct ldisc *ld, uint8_t c, bool literal)
{
	if (lflag(ld, ICANON) && ld->in.tail - ld->line_start >= LINE_MAX_BYTES)
		return;
	if (ring_used(&ld->in) == LDISC_BUFFER)
		return;
	echo(ld, c, literal);
	in_put(ld, c);
	if (c == 0xff && iflag(ld, PARMRK) && ring_used(&ld->in) < LDISC_BUFFER)
		in_put(ld, c);
}

static bool input_flow(struct ldisc *ld, uint8_t c)
{
	if (!iflag(ld, IXON))
		return false;
	if (is_cc(ld, VSTART, c)) {
		ld->stopped = false;
		return true;
	}
	if (is_cc(ld, VSTOP, c)) {
		ld->stopped = true;
		return true;
	}
	if (ld->stopped && iflag(ld, IXANY))
		ld->stopped = false;
	return false;
}

static bool input_signal(struct ldisc *ld, uint8_t c)
{
	int sig = 0;

	if (!lflag(ld, ISIG))
		return false;
	if (is_cc(ld, VINTR, c))
		sig = SIGINT;
	else if (is_cc(ld, VQUIT, c))
		sig = SIGQUIT;
	else if (is_cc(ld, VSUSP, c))
		sig = SIGTSTP;
	if (sig == 0)
		return false;
	if (!lflag(ld, NOFLSH)) {
		ldisc_flush_input(ld);
		ldisc_flush_output(ld);
	}
	ld->signal(ld, sig);
	if (iflag(ld, IXON))
		ld->stopped = false;
	echo(ld, c, false);
	return true;
}

/* Keys that edit the line. */
static bool input_edit(struct ldisc *ld, uint8_t c)
{
	bool extended = lflag(ld, IEXTEN);

	if (is_cc(ld, VERASE, c)) {
		erase_char(ld);
	} else if (is_cc(ld, VKILL, c)) {
		erase_line(ld);
	} else if (extended && is_cc(ld, VWERASE, c)) {
		erase_word(ld);
	} else if (extended && lflag(ld, ECHO) && is_cc(ld, VREPRINT, c)) {
		reprint(ld);
	} else {
		return false;
	}
	return true;
}

/* Keys that end it. */
static bool input_end(struct ldisc *ld, uint8_t c)
{
	if (c == '\n') {
		if (lflag(ld, ECHO | ECHONL))
			out_process(ld, '\n');
		in_end_line(ld, c);
	} else if (is_cc(ld, VEOF, c)) {
		in_end_line(ld, 0); /* the reader does not see it */
	} else if (is_cc(ld, VEOL, c) || (lflag(ld, IEXTEN) && is_cc(ld, VEOL2, c))) {
		echo(ld, c, false);
		in_end_line(ld, c);
	} else {
		return false;
	}
	return true;
}

static void input_one(struct ldisc *ld, uint8_t c)
{
	if (iflag(ld, ISTRIP))
		c &= 0x7f;
	if (ld->next_literal) {
		ld->next_literal = false;
		in_char(ld, c, true);
		return;
	}
	if (iflag(ld, IUCLC) && lflag(ld, IEXTEN) && c >= 'A' && c <= 'Z')
		c = (uint8_t)(c - 'A' + 'a');
	if (input_flow(ld, c) || input_signal(ld, c))
		return;
	if (c == '\r') {
		if (iflag(ld, IGNCR))
			return;
		if (iflag(ld, ICRNL))
			c = '\n';
	} else if (c == '\n' && iflag(ld, INLCR)) {
		c = '\r';
	}
	if (lflag(ld, IEXTEN) && is_cc(ld, VLNEXT, c) && lflag(ld, ICANON)) {
		ld->next_literal = true;
		if (lflag(ld, ECHO) && lflag(ld, ECHOCTL)) {
			out_put(ld, '^');
			out_put(ld, '\b');
		}
		return;
	}
	if (lflag(ld, ICANON) && (input_edit(ld, c) || input_end(ld, c)))
		return;
	in_char(ld, c, false);
}

unsigned ldisc_room(const struct ldisc *ld)
{
	unsigned room = LDISC_BUFFER - ring_used(&ld->in);

	if (lflag(ld, ICANON) && !ldisc_has_line(ld))
		return LDISC_BUFFER; /* what does not fit into the line is dropped */
	return iflag(ld, PARMRK) ? room / 2 : room;
}

int ldisc_input(struct ldisc *ld, const uint8_t *bytes, unsigned n)
{
	if (ld->line_ends == NULL)
		ld->line_ends = arena_zalloc(LDISC_BUFFER / 8);
	if (ld->line_ends == NULL || !ring_make(&ld->in) || !ring_make(&ld->out))
		return -ENOMEM;
	for (unsigned i = 0; i < n; i++)
		input_one(ld, bytes[i]);
	return 0;
}

bool ldisc_has_line(const struct ldisc *ld)
{
	return ld->line_start != ld->in.head;
}

unsigned ldisc_available(const struct ldisc *ld)
{
	return lflag(ld, ICANON) ? ld->line_start - ld->in.head : ring_used(&ld->in);
}

/* The byte that stands for a typed end of file. */
static bool is_eof_mark(struct ldisc *ld, uint32_t at)
{
	return line_end_test(ld, at) && *ring_at(&ld->in, at) == 0;
}

ssize_t ldisc_read(struct ldisc *ld, struct uio *uio)
{
	uint32_t end = ld->in.head;
	bool whole = false;
	ssize_t got;

	if (!lflag(ld, ICANON)) {
		got = ring_take(&ld->in, uio, ring_used(&ld->in));
		ld->line_start = ld->in.head;
		return got;
	}
	while (end != ld->line_start && end - ld->in.head < uio->left && !line_end_test(ld, end))
		end++;
	if (end != ld->line_start && end - ld->in.head < uio->left && !is_eof_mark(ld, end)) {
		end++; /* the line's end is read with it */
		whole = true;
	}
	got = ring_take(&ld->in, uio, end - ld->in.head);
	if (got >= 0 && !whole && ld->in.head == end && end != ld->line_start &&
	    is_eof_mark(ld, end))
		ld->in.head++;
	return got;
}

void ldisc_flush_input(struct ldisc *ld)
{
	ld->in.head = ld->in.tail;
	ld->line_start = ld->in.tail;
	ld->next_literal = false;
}

void ldisc_flush_output(struct ldisc *ld)
{
	/* As Linux: what has reached the reading side stays there. */
	if (ring_used(&ld->out) > SCREEN_BYTES)
		ld->out.tail = ld->out.head + SCREEN_BYTES;
}
