/*
 * The board: which bytes the peer misses, and which of them were sent again. Loss is declared as in
 * RFC 6675 (enough bytes beyond have arrived); the loss of a retransmission by time, as in RFC 8985
 * (one that was sent later has arrived), or because data first sent after it has.
 */
#include "net/env.h"
#include "net/tcp.h"

struct tcp_board *tcp_board_get(struct tcp_sock *ts)
{
	if (ts->board == NULL) {
		ts->board = net_env_alloc(sizeof(*ts->board));
		if (ts->board != NULL)
			ts->board->fack = ts->snd_una;
	}
	return ts->board;
}

void tcp_board_drop(struct tcp_sock *ts)
{
	if (ts->board != NULL)
		net_env_free(ts->board, sizeof(*ts->board));
	ts->board = NULL;
}

static void board_remove(struct tcp_board *board, uint32_t index)
{
	board->count--;
	memmove(&board->holes[index], &board->holes[index + 1],
		(board->count - index) * sizeof(board->holes[0]));
}

/* A retransmission arrived: later ones than those still missing prove a loss. */
static void board_delivered(struct tcp_sock *ts, const struct tcp_hole *hole)
{
	struct tcp_board *board = ts->board;

	/* sooner than a round trip, it is the original that arrived */
	if (hole->rxmit == hole->start || tcp_clock_us(ts) - hole->xmit_us < ts->rtt_min_us)
		return;
	if (!board->rack_valid || (int32_t)(hole->xmit_us - board->rack_us) > 0)
		board->rack_us = hole->xmit_us;
	board->rack_valid = true;
}

void tcp_board_advance(struct tcp_sock *ts)
{
	struct tcp_board *board = ts->board;

	if (board == NULL)
		return;
	while (board->count > 0 && seq_le(board->holes[0].end, ts->snd_una)) {
		board_delivered(ts, &board->holes[0]);
		board_remove(board, 0);
	}
	if (board->count > 0 && seq_lt(board->holes[0].start, ts->snd_una)) {
		board_delivered(ts, &board->holes[0]);
		board->holes[0].start = ts->snd_una;
		board->holes[0].rxmit = seq_max(board->holes[0].rxmit, ts->snd_una);
	}
	board->fack = seq_max(board->fack, ts->snd_una);
	if (board->count == 0 && board->fack == ts->snd_una && ts->recovery == TCP_OPEN)
		tcp_board_drop(ts);
}

/* Takes [start, end) out of hole `index`. Returns how many holes are left of it. */
static uint32_t board_carve(struct tcp_sock *ts, uint32_t index, uint32_t start, uint32_t end)
{
	struct tcp_board *board = ts->board;
	struct tcp_hole *hole = &board->holes[index];

	board_delivered(ts, hole);
	if (seq_le(start, hole->start) && seq_le(hole->end, end)) {
		board_remove(board, index);
		return 0;
	}
	if (seq_le(start, hole->start)) {
		hole->start = end;
		hole->rxmit = seq_max(hole->rxmit, end);
		return 1;
	}
	if (seq_le(hole->end, end) || board->count == TCP_BOARD_HOLES) {
		/* on a full board the upper part is forgotten: the peer has it or it will time out
		 */
		if (seq_lt(end, hole->end))
			return 1;
		hole->end = start;
		hole->rxmit = seq_min(hole->rxmit, start);
		return 1;
	}
	memmove(hole + 2, hole + 1, (board->count - index - 1) * sizeof(*hole));
	board->count++;
	hole[1] = hole[0];
	hole[1].start = end;
	hole[1].rxmit = seq_max(hole[1].rxmit, end);
	hole[0].end = start;
	hole[0].rxmit = seq_min(hole[0].rxmit, start);
	return 2;
}

bool tcp_board_sack(struct tcp_sock *ts, uint32_t start, uint32_t end)
{
	struct tcp_board *board;
	bool news = false;

	if (!seq_lt(start, end) || seq_lt(start, ts->snd_una) || seq_lt(ts->snd_nxt, end))
		return false;
	board = tcp_board_get(ts);
	if (board == NULL)
		return false;
	for (uint32_t i = 0; i < board->count;) {
		struct tcp_hole *hole = &board->holes[i];

		if (seq_le(end, hole->start))
			break;
		if (seq_le(hole->end, start)) {
			i++;
			continue;
		}
		news = true;
		i += board_carve(ts, i, start, end);
	}
	if (seq_lt(board->fack, end)) {
		if (seq_lt(board->fack, start)) {
			if (board->count == TCP_BOARD_HOLES)
				return news;
			board->holes[board->count++] = (struct tcp_hole){
				.start = board->fack,
				.end = start,
				.rxmit = board->fack,
			};
		}
		board->fack = end;
		news = true;
	}
	return news;
}

static bool hole_lost_again(const struct tcp_sock *ts, const struct tcp_hole *hole)
{
	const struct tcp_board *board = ts->board;
	uint32_t reorder_us = max_u32(ts->srtt_us / 8 / 4, 1000);

	if (hole->rxmit == hole->start)
		return false;
	if (board->rack_valid && (int32_t)(board->rack_us - hole->xmit_us) > (int32_t)reorder_us)
		return true;
	return seq_lt(hole->mark + ts->dupthresh * (uint32_t)ts->mss, board->fack);
}

bool tcp_board_mark(struct tcp_sock *ts)
{
	struct tcp_board *board = ts->board;
	uint32_t threshold = (ts->dupthresh - 1u) * ts->mss;
	uint32_t above = 0;
	uint32_t next;
	bool news = false;

	if (board == NULL)
		return false;
	next = board->fack;
	for (uint32_t i = board->count; i-- > 0;) {
		struct tcp_hole *hole = &board->holes[i];

		above += next - hole->end;
		next = hole->start;
		if (!hole->lost && above > threshold) {
			hole->lost = true;
			news = true;
		} else if (hole->lost && hole_lost_again(ts, hole)) {
			hole->rxmit = hole->start;
			news = true;
		}
	}
	return news;
}

void tcp_board_all_lost(struct tcp_sock *ts)
{
	struct tcp_board *board = tcp_board_get(ts);

	if (board == NULL)
		return;
	/* what is missing begins at snd_una; if not, the peer took back what it had acknowledged */
	if (board->count == 0 || board->holes[0].start != ts->snd_una) {
		board->count = 0;
		board->fack = ts->snd_una;
	}
	board->rack_valid = false;
	for (uint32_t i = 0; i < board->count; i++) {
		board->holes[i].lost = true;
		board->holes[i].rxmit = board->holes[i].start;
	}
	if (seq_lt(board->fack, ts->snd_nxt)) {
		if (board->count < TCP_BOARD_HOLES)
			board->holes[board->count++] = (struct tcp_hole){
				.start = board->fack,
				.end = ts->snd_nxt,
				.rxmit = board->fack,
				.lost = true,
			};
		else
			board->holes[board->count - 1].end = ts->snd_nxt;
	}
	board->fack = ts->snd_nxt;
}

void tcp_board_guess(struct tcp_sock *ts)
{
	struct tcp_board *board = tcp_board_get(ts);
	uint32_t end = seq_min(ts->snd_una + ts->mss, ts->snd_nxt);

	if (board == NULL || ts->snd_una == ts->snd_nxt)
		return;
	if (board->count > 0 && board->holes[0].start == ts->snd_una) {
		board->holes[0].lost = true;
		return;
	}
	if (board->count > 0)
		end = seq_min(end, board->holes[0].start);
	else
		board->fack = seq_max(board->fack, end);
	if (board->count == TCP_BOARD_HOLES)
		return;
	memmove(&board->holes[1], &board->holes[0], board->count * sizeof(board->holes[0]));
	board->count++;
	board->holes[0] = (struct tcp_hole){
		.start = ts->snd_una,
		.end = end,
		.rxmit = ts->snd_una,
		.lost = true,
	};
}

void tcp_board_unmark(struct tcp_sock *ts)
{
	struct tcp_board *board = ts->board;

	for (uint32_t i = 0; board != NULL && i < board->count; i++) {
		board->holes[i].lost = false;
		board->holes[i].rxmit = board->holes[i].start;
	}
}

uint32_t tcp_board_sacked(const struct tcp_sock *ts)
{
	const struct tcp_board *board = ts->board;
	uint32_t sacked;

	if (board == NULL || seq_le(board->fack, ts->snd_una))
		return 0;
	sacked = board->fack - ts->snd_una;
	for (uint32_t i = 0; i < board->count; i++)
		sacked -= min_u32(sacked, board->holes[i].end - board->holes[i].start);
	return sacked;
}

uint32_t tcp_pipe(const struct tcp_sock *ts)
{
	const struct tcp_board *board = ts->board;
	uint32_t pipe;

	if (board == NULL)
		return tcp_flight(ts);
	pipe = ts->snd_nxt - board->fack;
	for (uint32_t i = 0; i < board->count; i++) {
		const struct tcp_hole *hole = &board->holes[i];

		pipe += (hole->lost ? hole->rxmit : hole->end) - hole->start;
	}
	/* without SACK, each duplicate ACK says that a segment has left the network */
	if (!ts->sack_ok)
		pipe -= min_u32(pipe, (uint32_t)ts->dupacks * ts->mss);
	return pipe;
}

struct tcp_hole *tcp_board_next(struct tcp_sock *ts)
{
	struct tcp_board *board = ts->board;

	if (board == NULL || ts->recovery == TCP_OPEN)
		return NULL;
	for (uint32_t i = 0; i < board->count; i++)
		if (board->holes[i].lost && seq_lt(board->holes[i].rxmit, board->holes[i].end))
			return &board->holes[i];
	return NULL;
}
