/*
 * store.c - what has to survive: deployments, asynchronous calls, secrets and quotas, in SQLite. A
 * killed gateway loses nothing that was acknowledged (write-ahead log).
 */
#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "apps/gateway/gateway.h"

#define BUSY_MS 2000

static sqlite3 *db;

static const char schema[] =
	"pragma journal_mode = wal; pragma synchronous = normal;"
	"create table if not exists functions(name text primary key, spec text not null,"
	"  created integer not null);"
	"create table if not exists jobs(id text primary key, function text not null,"
	"  request text not null, body blob, attempts integer not null, status integer not null,"
	"  due integer not null, taken integer not null default 0);"
	"create index if not exists jobs_due on jobs(taken, due);"
	"create table if not exists secrets(tenant text not null, name text not null, value blob,"
	"  primary key(tenant, name));"
	"create table if not exists quotas(tenant text primary key, instances integer not null,"
	"  functions integer not null, memory integer not null);"
	"update jobs set taken = 0;"; /* taken by a gateway that ended */

int store_open(void)
{
	char path[300], *error = NULL;
	mode_t old = umask(077);
	int r;

	snprintf(path, sizeof(path), "%s/gateway.db", gw.data_dir);
	r = sqlite3_open(path, &db);
	umask(old);
	if (r == SQLITE_OK) {
		sqlite3_busy_timeout(db, BUSY_MS);
		r = sqlite3_exec(db, schema, NULL, NULL, &error);
	}
	if (r == SQLITE_OK)
		return 0;
	fprintf(stderr, "leat-gateway: cannot use %s: %s\n", path,
		error != NULL ? error : sqlite3_errmsg(db));
	sqlite3_free(error);
	return -EIO;
}

void store_close(void)
{
	sqlite3_close(db);
	db = NULL;
}

static sqlite3_stmt *prepare(const char *sql)
{
	sqlite3_stmt *stmt = NULL;

	if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK)
		log_event("store", json_pack("{s:s}", "error", sqlite3_errmsg(db)));
	return stmt;
}

static void bind_text(sqlite3_stmt *stmt, int at, const char *text)
{
	sqlite3_bind_text(stmt, at, text, -1, SQLITE_TRANSIENT);
}

/* Runs a statement without rows: 0 or -EIO. */
static int run(sqlite3_stmt *stmt)
{
	int r = stmt != NULL ? sqlite3_step(stmt) : SQLITE_ERROR;

	if (r != SQLITE_DONE)
		log_event("store", json_pack("{s:s}", "error", sqlite3_errmsg(db)));
	sqlite3_finalize(stmt);
	return r == SQLITE_DONE ? 0 : -EIO;
}

/* ---- functions ---- */

int store_put(const char *name, const json_t *spec, int64_t created)
{
	sqlite3_stmt *stmt = prepare("insert or replace into functions values(?, ?, ?)");
	char *text = json_dumps(spec, JSON_COMPACT);

	if (stmt != NULL && text != NULL) {
		bind_text(stmt, 1, name);
		bind_text(stmt, 2, text);
		sqlite3_bind_int64(stmt, 3, created);
	}
	free(text);
	return run(stmt);
}

int store_remove(const char *name)
{
	sqlite3_stmt *stmt = prepare("delete from functions where name = ?");

	if (stmt != NULL)
		bind_text(stmt, 1, name);
	return run(stmt);
}

void store_functions(void (*each)(const char *name, json_t *spec, int64_t created))
{
	sqlite3_stmt *stmt = prepare("select name, spec, created from functions order by name");

	while (stmt != NULL && sqlite3_step(stmt) == SQLITE_ROW) {
		json_t *spec = json_loads((const char *)sqlite3_column_text(stmt, 1), 0, NULL);

		each((const char *)sqlite3_column_text(stmt, 0), spec,
		     sqlite3_column_int64(stmt, 2));
		json_decref(spec);
	}
	sqlite3_finalize(stmt);
}

/* ---- asynchronous calls ---- */

int store_job_put(const struct job *job)
{
	sqlite3_stmt *stmt = prepare("insert into jobs(id, function, request, body, attempts,"
				     " status, due) values(?, ?, ?, ?, ?, ?, ?)");
	char *text = json_dumps(job->request, JSON_COMPACT);

	if (stmt != NULL && text != NULL) {
		bind_text(stmt, 1, job->id);
		bind_text(stmt, 2, job->function);
		bind_text(stmt, 3, text);
		sqlite3_bind_blob64(stmt, 4, job->body != NULL ? job->body : "", job->body_bytes,
				    SQLITE_STATIC);
		sqlite3_bind_int(stmt, 5, (int)job->attempts);
		sqlite3_bind_int(stmt, 6, job->status);
		sqlite3_bind_int64(stmt, 7, job->due_ms);
	}
	int r = run(stmt);
	free(text);
	return r;
}

int store_job_update(const struct job *job)
{
	sqlite3_stmt *stmt = prepare("update jobs set request = ?, body = ?, attempts = ?,"
				     " status = ?, due = ?, taken = 0 where id = ?");
	char *text = json_dumps(job->request, JSON_COMPACT);

	if (stmt != NULL && text != NULL) {
		bind_text(stmt, 1, text);
		sqlite3_bind_blob64(stmt, 2, job->body != NULL ? job->body : "", job->body_bytes,
				    SQLITE_STATIC);
		sqlite3_bind_int(stmt, 3, (int)job->attempts);
		sqlite3_bind_int(stmt, 4, job->status);
		sqlite3_bind_int64(stmt, 5, job->due_ms);
		bind_text(stmt, 6, job->id);
	}
	int r = run(stmt);
	free(text);
	return r;
}

int store_job_remove(const char *id)
{
	sqlite3_stmt *stmt = prepare("delete from jobs where id = ?");

	if (stmt != NULL)
		bind_text(stmt, 1, id);
	return run(stmt);
}

static void job_read(sqlite3_stmt *stmt, struct job *job)
{
	int size = sqlite3_column_bytes(stmt, 3);

	*job = (struct job){.body = malloc((size_t)size + 1), .body_bytes = (size_t)size};
	snprintf(job->id, sizeof(job->id), "%s", (const char *)sqlite3_column_text(stmt, 0));
	snprintf(job->function, sizeof(job->function), "%s",
		 (const char *)sqlite3_column_text(stmt, 1));
	job->request = json_loads((const char *)sqlite3_column_text(stmt, 2), 0, NULL);
	if (job->body != NULL && size > 0)
		memcpy(job->body, sqlite3_column_blob(stmt, 3), (size_t)size);
	job->attempts = (unsigned)sqlite3_column_int(stmt, 4);
	job->status = sqlite3_column_int(stmt, 5);
}

unsigned store_jobs_due(int64_t now_ms, struct job *jobs, unsigned nr)
{
	sqlite3_stmt *stmt = prepare("select id, function, request, body, attempts, status from"
				     " jobs where taken = 0 and due <= ? order by due limit ?");
	unsigned n = 0;

	if (stmt != NULL) {
		sqlite3_bind_int64(stmt, 1, now_ms);
		sqlite3_bind_int(stmt, 2, (int)nr);
	}
	while (stmt != NULL && n < nr && sqlite3_step(stmt) == SQLITE_ROW)
		job_read(stmt, &jobs[n++]);
	sqlite3_finalize(stmt);
	for (unsigned i = 0; i < n; i++) {
		stmt = prepare("update jobs set taken = 1 where id = ?");
		if (stmt != NULL)
			bind_text(stmt, 1, jobs[i].id);
		run(stmt);
	}
	return n;
}

static int64_t number_of(sqlite3_stmt *stmt, int64_t none)
{
	int64_t n = none;

	if (stmt != NULL && sqlite3_step(stmt) == SQLITE_ROW &&
	    sqlite3_column_type(stmt, 0) != SQLITE_NULL)
		n = sqlite3_column_int64(stmt, 0);
	sqlite3_finalize(stmt);
	return n;
}

int64_t store_job_next(void)
{
	return number_of(prepare("select min(due) from jobs where taken = 0"), -1);
}

unsigned store_jobs_of(const char *function)
{
	sqlite3_stmt *stmt = prepare("select count(*) from jobs where function = ?");

	if (stmt != NULL)
		bind_text(stmt, 1, function);
	return (unsigned)number_of(stmt, 0);
}

void job_finish(struct job *job)
{
	json_decref(job->request);
	free(job->body);
	*job = (struct job){0};
}

/* ---- secrets ---- */

int store_secret_put(const char *tenant, const char *name, const void *value, size_t size)
{
	sqlite3_stmt *stmt = prepare("insert or replace into secrets values(?, ?, ?)");

	if (stmt != NULL) {
		bind_text(stmt, 1, tenant);
		bind_text(stmt, 2, name);
		sqlite3_bind_blob64(stmt, 3, value, size, SQLITE_TRANSIENT);
	}
	return run(stmt);
}

int store_secret_remove(const char *tenant, const char *name)
{
	sqlite3_stmt *stmt = prepare("delete from secrets where tenant = ? and name = ?");
	int r;

	if (stmt != NULL) {
		bind_text(stmt, 1, tenant);
		bind_text(stmt, 2, name);
	}
	r = run(stmt);
	return r == 0 && sqlite3_changes(db) == 0 ? -ENOENT : r;
}

void store_secrets(const char *tenant,
		   void (*each)(void *arg, const char *tenant, const char *name, const void *value,
				size_t size),
		   void *arg)
{
	sqlite3_stmt *stmt = prepare("select tenant, name, value from secrets where ?1 is null or"
				     " tenant = ?1 order by tenant, name");

	if (stmt != NULL && tenant != NULL)
		bind_text(stmt, 1, tenant);
	while (stmt != NULL && sqlite3_step(stmt) == SQLITE_ROW)
		each(arg, (const char *)sqlite3_column_text(stmt, 0),
		     (const char *)sqlite3_column_text(stmt, 1), sqlite3_column_blob(stmt, 2),
		     (size_t)sqlite3_column_bytes(stmt, 2));
	sqlite3_finalize(stmt);
}

/* ---- quotas ---- */

int store_quota_put(const char *tenant, const struct quota *quota)
{
	sqlite3_stmt *stmt = prepare("insert or replace into quotas values(?, ?, ?, ?)");

	if (stmt != NULL) {
		bind_text(stmt, 1, tenant);
		sqlite3_bind_int64(stmt, 2, quota->instances);
		sqlite3_bind_int64(stmt, 3, quota->functions);
		sqlite3_bind_int64(stmt, 4, (int64_t)quota->memory_bytes);
	}
	return run(stmt);
}

struct quota store_quota(const char *tenant)
{
	sqlite3_stmt *stmt =
		prepare("select instances, functions, memory from quotas where tenant = ?");
	struct quota quota = {0};

	if (stmt != NULL)
		bind_text(stmt, 1, tenant);
	if (stmt != NULL && sqlite3_step(stmt) == SQLITE_ROW) {
		quota.instances = (unsigned)sqlite3_column_int64(stmt, 0);
		quota.functions = (unsigned)sqlite3_column_int64(stmt, 1);
		quota.memory_bytes = (uint64_t)sqlite3_column_int64(stmt, 2);
	}
	sqlite3_finalize(stmt);
	return quota;
}
