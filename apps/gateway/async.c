/*
 * async.c - calls that were accepted and are made later: from the store, tried again when they
 * fail, their answer sent to the caller's URL. Everything is in the store before it is
 * acknowledged.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "apps/gateway/gateway.h"
#include "leat/base/bits.h"

#define AT_ONCE 64U
#define BACKOFF_MS 500
#define BACKOFF_MAX_MS 60000
#define CALLBACK_TRIES 5U

/* One job in work. */
struct work {
	struct job job;
	struct collected *collected; /* the call */
	h2o_http1client_t *client;   /* the callback */
	h2o_iovec_t request;
	uint64_t begun_ns;
};

static struct {
	struct timer timer;
	unsigned working;
} async;

static int64_t wall_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

/* When there is something to do. */
static void look_later(void)
{
	int64_t next, now = wall_ms();

	if (async.working >= AT_ONCE || gw.draining)
		return; /* the end of one of them looks again */
	next = store_job_next();
	if (next >= 0)
		timer_arm_ms(&async.timer, next > now ? (uint64_t)(next - now) : 0);
}

static void work_end(struct work *work, bool done)
{
	if (done)
		store_job_remove(work->job.id);
	else
		store_job_update(&work->job);
	job_finish(&work->job);
	free(work->request.base);
	free(work);
	async.working--;
	look_later();
}

static int64_t backoff_ms(unsigned attempts)
{
	int64_t ms = BACKOFF_MS;

	for (unsigned i = 1; i < attempts && ms < BACKOFF_MAX_MS; i++)
		ms *= 2;
	return MIN(ms, (int64_t)BACKOFF_MAX_MS);
}

/* ---- the callback ---- */

static void callback_end(struct work *work, bool good)
{
	work->client = NULL;
	work->job.attempts++;
	if (good || work->job.attempts >= CALLBACK_TRIES) {
		if (!good)
			log_event("callback",
				  json_pack("{s:s, s:s, s:s}", "call_id", work->job.id, "function",
					    work->job.function, "error",
					    "the caller's URL does not take the answer"));
		work_end(work, true);
		return;
	}
	work->job.due_ms = wall_ms() + backoff_ms(work->job.attempts);
	work_end(work, false);
}

static int callback_body(h2o_http1client_t *client, const char *error)
{
	h2o_buffer_consume(&client->sock->input, client->sock->input->size);
	if (error != NULL)
		callback_end(client->data, error == h2o_http1client_error_is_eos);
	return 0;
}

static h2o_http1client_body_cb callback_head(h2o_http1client_t *client, const char *error,
					     int minor, int status, h2o_iovec_t message,
					     h2o_header_t *headers, size_t nr, int rlen)
{
	(void)minor;
	(void)message;
	(void)headers;
	(void)nr;
	(void)rlen;
	if (error == NULL && status < 500)
		return callback_body;
	callback_end(client->data, error == h2o_http1client_error_is_eos && status < 500);
	return NULL;
}

static h2o_http1client_head_cb callback_connected(h2o_http1client_t *client, const char *error,
						  h2o_iovec_t **ret_bufs, size_t *ret_nr,
						  int *ret_is_head)
{
	struct work *work = client->data;
	static h2o_iovec_t bufs[2]; /* read before this returns to the loop */

	if (error != NULL) {
		callback_end(work, false);
		return NULL;
	}
	bufs[0] = work->request;
	bufs[1] = h2o_iovec_init(work->job.body, work->job.body_bytes);
	*ret_bufs = bufs;
	*ret_nr = 2;
	*ret_is_head = 0;
	return callback_head;
}

static void headers_print(FILE *out, const json_t *headers)
{
	size_t i;
	const json_t *pair;

	json_array_foreach(headers, i, pair)
	{
		const char *name = json_string_value(json_array_get(pair, 0));

		if (name != NULL && strncmp(name, "x-", 2) != 0)
			fprintf(out, "%s: %s\r\n", name,
				json_string_value(json_array_get(pair, 1)));
	}
}

static void callback_start(struct work *work)
{
	const json_t *request = work->job.request;
	const char *text = json_string_value(json_object_get(request, "callback"));
	h2o_url_t url;
	FILE *out;

	if (h2o_url_parse(text, strlen(text), &url) < 0 || url.scheme != &H2O_URL_SCHEME_HTTP ||
	    (out = open_memstream(&work->request.base, &work->request.len)) == NULL) {
		work->job.attempts = CALLBACK_TRIES;
		callback_end(work, false);
		return;
	}
	fprintf(out, "POST %.*s HTTP/1.1\r\nhost: %.*s\r\nx-call-id: %s\r\nx-function-name: %s\r\n",
		(int)url.path.len, url.path.base, (int)url.authority.len, url.authority.base,
		work->job.id, work->job.function);
	fprintf(out, "x-function-status: %d\r\nx-duration-seconds: %.6f\r\n", work->job.status,
		json_number_value(json_object_get(request, "seconds")));
	headers_print(out, json_object_get(request, "answer_headers"));
	fprintf(out, "content-length: %zu\r\nconnection: close\r\n\r\n", work->job.body_bytes);
	fclose(out);
	h2o_http1client_connect(&work->client, work, &gw.client_ctx, url.host,
				h2o_url_get_port(&url), 0, callback_connected);
}

/* ---- the call ---- */

/* The answer takes the request's place in the job; the store has it before it is sent. */
static void answered(struct work *work, int status)
{
	struct collected *c = work->collected;
	size_t size = c->answer->size;

	free(work->job.body);
	work->job.body = malloc(size + 1);
	if (work->job.body == NULL)
		abort(); /* as h2o does where memory ends */
	memcpy(work->job.body, c->answer->bytes, size);
	work->job.body_bytes = size;
	work->job.status = status;
	work->job.attempts = 0;
	work->job.due_ms = wall_ms();
	json_object_set(work->job.request, "answer_headers", c->answer_headers);
	json_object_set_new(work->job.request, "seconds",
			    json_real((double)(now_ns() - work->begun_ns) / 1e9));
}

static void call_done(struct collected *collected)
{
	struct work *work = collected->owner;
	struct function *fn = function_find(work->job.function);
	int status = collected->broken ? 502 : collected->call.status;
	bool done = false;

	if (status == 429 || status == 503) {
		/* it was not made: not counted as a try */
		work->job.due_ms = wall_ms() + BACKOFF_MS;
	} else if (status >= 500 && fn != NULL && work->job.attempts++ < fn->spec.retries) {
		work->job.due_ms = wall_ms() + backoff_ms(work->job.attempts);
	} else if (json_is_string(json_object_get(work->job.request, "callback"))) {
		answered(work, status);
	} else {
		done = true;
	}
	collect_destroy(collected);
	work_end(work, done);
}

static void call_start(struct work *work)
{
	struct function *fn = function_find(work->job.function);
	char *body = malloc(work->job.body_bytes + 1);

	if (fn == NULL || body == NULL) {
		free(body);
		log_event("async", json_pack("{s:s, s:s, s:s}", "call_id", work->job.id, "function",
					     work->job.function, "error",
					     "there is no such function any more"));
		work_end(work, true);
		return;
	}
	memcpy(body, work->job.body, work->job.body_bytes);
	work->collected = collect_create(json_incref(work->job.request), body, work->job.body_bytes,
					 "async", work->job.id);
	work->collected->done = call_done;
	work->collected->owner = work;
	work->begun_ns = now_ns();
	call_submit(&work->collected->call, fn);
}

static void timer_due(struct timer *timer)
{
	struct job jobs[AT_ONCE];
	unsigned nr;

	(void)timer;
	if (gw.draining)
		return;
	nr = store_jobs_due(wall_ms(), jobs, AT_ONCE - MIN(async.working, AT_ONCE));
	async.working += nr;
	for (unsigned i = 0; i < nr; i++) {
		struct work *work = calloc(1, sizeof(*work));

		if (work == NULL)
			abort(); /* as h2o does where memory ends */
		work->job = jobs[i];
		if (work->job.status != 0)
			callback_start(work);
		else
			call_start(work);
	}
	look_later();
}

int async_start(void)
{
	async.timer.due = timer_due;
	look_later();
	return 0;
}

int async_submit(const struct call *call, struct function *fn, const char *callback)
{
	struct job job = {.body = call->body.base,
			  .body_bytes = call->body.len,
			  .due_ms = wall_ms(),
			  .request = collect_request(call)};
	int r;

	if (job.request == NULL)
		return -EINVAL;
	if (callback != NULL)
		json_object_set_new(job.request, "callback", json_string(callback));
	snprintf(job.id, sizeof(job.id), "%s", call->id);
	snprintf(job.function, sizeof(job.function), "%s", fn->spec.name);
	r = store_job_put(&job);
	json_decref(job.request);
	if (r == 0)
		look_later();
	return r;
}
