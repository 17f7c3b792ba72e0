/*
 * gateway.c - finding leat-gateway, starting it when none runs, and asking it.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "apps/common/paths.h"
#include "apps/leat/leat.h"

int gateway_connect(bool start)
{
	int fd = gateway_probe();

	if (fd >= 0)
		return fd;
	if (fd == -EACCES || fd == -EPERM || (start && geteuid() != 0)) {
		leat_error("cannot reach leat-gateway: it serves root only; use sudo");
		return -1;
	}
	if (!start) {
		leat_error("cannot reach leat-gateway: none runs for %s; leat deploy starts one",
			   paths_state_dir());
		return -1;
	}
	return daemon_launch("leat-gateway", NULL, "gateway.log", gateway_probe);
}

static json_t *ask(int gateway, json_t *request, int fd, int *ret_fds, unsigned *ret_nr_fds)
{
	json_t *answer = NULL;

	if (gateway >= 0) {
		answer = daemon_call(gateway, request, &fd, fd >= 0, ret_fds, ret_nr_fds);
		close(gateway);
	}
	json_decref(request);
	return answer;
}

json_t *gateway_ask(json_t *request, int fd, int *ret_fds, unsigned *ret_nr_fds)
{
	return ask(gateway_connect(false), request, fd, ret_fds, ret_nr_fds);
}

bool gateway_has(const char *name)
{
	int fds[CHANNEL_FDS_MAX], fd = gateway_probe(), r;
	unsigned nr = 0;
	json_t *request, *answer = NULL;
	bool has = false;

	if (fd < 0)
		return false;
	request = json_pack("{s:s, s:s}", "op", "logs", "name", name);
	r = channel_send(fd, request, NULL, 0);
	if (r == 0 && channel_receive(fd, true, &answer, fds, &nr) == 1)
		has = json_object_get(answer, "error") == NULL;
	while (nr > 0)
		close(fds[--nr]);
	json_decref(answer);
	json_decref(request);
	close(fd);
	return has;
}
