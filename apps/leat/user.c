/*
 * user.c - leat run --user: names of users and groups as the instance's own files know them.
 *
 * The uid is one inside the instance: on the host it has another one in any case.
 */
#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apps/common/parse.h"
#include "apps/leat/leat.h"
#include "apps/leat/run.h"
#include "leat/abi/boot.h"

#define ID_MAX 4294967294U /* the one above means "no change" */

struct user {
	uint64_t uid, gid;
	char name[256]; /* of the user; empty: only a number is known */
	char home[PATH_MAX];
};

static FILE *table_open(const struct run_request *run, const char *file)
{
	char path[PATH_MAX], *text;
	FILE *table;
	size_t bytes;

	if (run->image_name == NULL) {
		snprintf(path, sizeof(path), "%s/etc/%s", run->rootfs == NULL ? "" : run->rootfs,
			 file);
		return fopen(path, "re");
	}
	snprintf(path, sizeof(path), "etc/%s", file);
	text = image_read(&run->image, path, &bytes);
	table = text != NULL ? tmpfile() : NULL;
	if (table != NULL) {
		fwrite(text, 1, bytes, table);
		rewind(table);
	}
	free(text);
	return table;
}

/* By name or number; a number need not be in the table. */
static int user_find(const struct run_request *run, const char *text, struct user *user)
{
	bool number = parse_number(text, 0, ID_MAX, &user->uid) == 0, found = false;
	FILE *table = table_open(run, "passwd");
	const struct passwd *entry;

	while (!found && table != NULL && (entry = fgetpwent(table)) != NULL) {
		found = number ? entry->pw_uid == user->uid : strcmp(entry->pw_name, text) == 0;
		if (!found)
			continue;
		user->uid = entry->pw_uid;
		user->gid = entry->pw_gid;
		snprintf(user->name, sizeof(user->name), "%s", entry->pw_name);
		snprintf(user->home, sizeof(user->home), "%s", entry->pw_dir);
	}
	if (table != NULL)
		fclose(table);
	return found || number ? 0 : -ENOENT;
}

static int group_find(const struct run_request *run, const char *text, uint64_t *ret_gid)
{
	FILE *table;
	const struct group *entry;
	bool found = false;

	if (parse_number(text, 0, ID_MAX, ret_gid) == 0)
		return 0;
	table = table_open(run, "group");
	while (!found && table != NULL && (entry = fgetgrent(table)) != NULL) {
		found = strcmp(entry->gr_name, text) == 0;
		if (found)
			*ret_gid = entry->gr_gid;
	}
	if (table != NULL)
		fclose(table);
	return found ? 0 : -ENOENT;
}

static bool group_has(const struct group *group, const char *name)
{
	for (char **member = group->gr_mem; *member != NULL; member++)
		if (strcmp(*member, name) == 0)
			return true;
	return false;
}

/* The groups that name the user as a member: as login(1) gives them. */
static json_t *groups_of(const struct run_request *run, const struct user *user)
{
	FILE *table = user->name[0] == 0 ? NULL : table_open(run, "group");
	json_t *list = json_array();
	const struct group *entry;

	json_array_append_new(list, json_integer((json_int_t)user->gid));
	while (table != NULL && json_array_size(list) < ABI_MAX_GROUPS &&
	       (entry = fgetgrent(table)) != NULL)
		if (entry->gr_gid != user->gid && group_has(entry, user->name))
			json_array_append_new(list, json_integer((json_int_t)entry->gr_gid));
	if (table != NULL)
		fclose(table);
	return list;
}

int run_put_user(struct run_request *run)
{
	struct user user = {0};
	char text[256];
	char *group;

	if (run->user == NULL && run->image_name == NULL)
		return 0;
	if (run->user != NULL && strlen(run->user) >= sizeof(text))
		return leat_error("cannot use --user %s: too long", run->user);
	strcpy(text, run->user != NULL ? run->user : "0");
	group = strchr(text, ':');
	if (group != NULL)
		*group++ = 0;
	if (user_find(run, text, &user) != 0)
		return leat_error("cannot use --user %s: no user '%s' in the instance's "
				  "/etc/passwd",
				  run->user, text);
	if (group != NULL && group_find(run, group, &user.gid) != 0)
		return leat_error("cannot use --user %s: no group '%s' in the instance's "
				  "/etc/group",
				  run->user, group);
	if (group != NULL)
		user.name[0] = 0; /* a chosen group comes alone */
	if (run->image_name != NULL && !run_env_has(run, "HOME"))
		json_array_append_new(json_object_get(run->json, "env"),
				      json_sprintf("HOME=%s", user.home[0] != 0 ? user.home : "/"));
	json_object_set_new(run->json, "uid", json_integer((json_int_t)user.uid));
	json_object_set_new(run->json, "gid", json_integer((json_int_t)user.gid));
	json_object_set_new(run->json, "groups", groups_of(run, &user));
	return 0;
}
