/*
 * instance.c - the life of an instance in leatd: made of a request, started by the launcher, ended.
 *
 * The launcher's replies drive it: STARTED (or FAILED), EXITED when the first process has ended,
 * GONE when no process of its uid is left; only then the uid may be used again.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "apps/leatd/leatd.h"
#include "apps/leatd/log.h"
#include "apps/leatd/sandbox.h"

#define WINDOW_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)
#define MTU 1500

/* ---- finding ---- */

struct instance *instance_find(struct leatd *leatd, const char *name)
{
	struct list *pos;

	list_for_each(pos, &leatd->instances) {
		struct instance *inst = list_entry(pos, struct instance, node);

		if (!inst->removed && strcmp(inst->name, name) == 0)
			return inst;
	}
	return NULL;
}

struct instance *instance_by_id(struct leatd *leatd, uint32_t id)
{
	struct list *pos;

	list_for_each(pos, &leatd->instances) {
		struct instance *inst = list_entry(pos, struct instance, node);

		if (inst->id == id)
			return inst;
	}
	return NULL;
}

struct instance *instance_by_uid(struct leatd *leatd, uint32_t uid)
{
	struct list *pos;

	list_for_each(pos, &leatd->instances) {
		struct instance *inst = list_entry(pos, struct instance, node);

		if (!inst->gone && leatd->state.uid_low + inst->uid_index == uid)
			return inst;
	}
	return NULL;
}

unsigned instance_count(const struct leatd *leatd)
{
	const struct list *pos;
	unsigned n = 0;

	list_for_each(pos, &leatd->instances)
		n += !list_entry(pos, struct instance, node)->removed;
	return n;
}

/* ---- ending ---- */

static void instance_free(struct instance *inst)
{
	list_del(&inst->node);
	output_remove(&inst->output);
	json_decref(inst->request);
	free(inst);
}

/* What only a running instance has. */
static void instance_release(struct instance *inst)
{
	loop_timer_cancel(&inst->kill_timer);
	loop_timer_cancel(&inst->start_timer);
	for (unsigned i = 0; i < inst->nr_ports; i++)
		dataplane_unpublish(inst->ports[i]);
	inst->nr_ports = 0;
	dataplane_instance_remove(inst->dp);
	inst->dp = NULL;
	if (inst->ip_be != 0)
		ipam_give(&inst->leatd->ipam, inst->ip_be);
	inst->ip_be = 0;
}

static void instance_exited(struct instance *inst, int status)
{
	const struct abi_instance *block;

	if (inst->state == INSTANCE_EXITED)
		return;
	block = inst->dp != NULL ? dataplane_instance_block(inst->dp) : NULL;
	/* What the library OS says counts, unless Leat ended the instance. Pairs with its release.
	 */
	if (block != NULL && inst->reason[0] == '\0' &&
	    __atomic_load_n(&block->state, __ATOMIC_ACQUIRE) == ABI_STATE_EXITED)
		status = (int)(block->exit_status & 0xffff);
	inst->state = INSTANCE_EXITED;
	inst->status = status;
	inst->exited_ns = loop_now_ns();
	output_drain(&inst->output);
	output_stop(&inst->output);
	instance_release(inst);
	log_line(LOG_DEBUG, "instance %s ended: status 0x%x %s", inst->name, (unsigned)status,
		 inst->reason);
	clients_tell_end(inst->leatd, inst);
	if (!inst->detached)
		inst->removed = true;
	leatd_idle_check(inst->leatd);
}

/* Its uid, and with that the cgroup, may be used again. */
static void instance_gone(struct instance *inst)
{
	inst->gone = true;
	if (inst->has_cgroup)
		cgroup_destroy(&inst->leatd->cgroup, inst->id);
	pool_give(&inst->leatd->uids, inst->uid_index);
	if (inst->removed)
		instance_free(inst);
}

void instance_remove(struct instance *inst)
{
	inst->removed = true;
	if (inst->gone)
		instance_free(inst);
}

void instance_end(struct instance *inst, const char *format, ...)
{
	va_list ap;

	if (inst->reason[0] == '\0') {
		va_start(ap, format);
		vsnprintf(inst->reason, sizeof(inst->reason), format, ap);
		va_end(ap);
	}
	launch_kill(&inst->leatd->launch, inst->id);
}

void instance_signal(struct instance *inst, int sig)
{
	if (inst->state != INSTANCE_RUNNING)
		return;
	if (sig == SIGKILL)
		launch_kill(&inst->leatd->launch, inst->id);
	else
		dataplane_instance_signal(inst->dp, 1ULL << (sig - 1));
}

static void kill_due(struct loop_timer *timer)
{
	struct instance *inst = container_of(timer, struct instance, kill_timer);

	launch_kill(&inst->leatd->launch, inst->id);
}

void instance_stop(struct instance *inst, uint64_t timeout_ns)
{
	instance_signal(inst, SIGTERM);
	loop_timer_arm(&inst->leatd->loop, &inst->kill_timer, loop_now_ns() + timeout_ns);
}

void instances_finish(struct leatd *leatd)
{
	struct list *pos, *tmp;

	/* The launcher ends them all when its socket closes; here go only leatd's own things. */
	list_for_each_safe(pos, tmp, &leatd->instances) {
		struct instance *inst = list_entry(pos, struct instance, node);

		if (inst->state == INSTANCE_RUNNING)
			instance_release(inst);
		instance_free(inst);
	}
}

/* ---- making ---- */

static int window_create(int *ret_fd)
{
	int fd = memfd_create("leat-window", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, ABI_WINDOW_SIZE) < 0 || fcntl(fd, F_ADD_SEALS, WINDOW_SEALS) < 0) {
		int r = -errno;

		close(fd);
		return r;
	}
	*ret_fd = fd;
	return 0;
}

uint32_t instance_id_next(struct leatd *leatd)
{
	do
		leatd->next_id = leatd->next_id >= INSTANCE_ID_MAX ? 1 : leatd->next_id + 1;
	while (instance_by_id(leatd, leatd->next_id) != NULL || port_has_id(leatd, leatd->next_id));
	return leatd->next_id;
}

static uint64_t host_memory(void)
{
	struct sysinfo info;

	return sysinfo(&info) == 0 ? (uint64_t)info.totalram * info.mem_unit : 0;
}

static int address_take(struct instance *inst, const struct instance_spec *spec, char *error,
			size_t size)
{
	static const uint8_t none[16];
	struct ipam *ipam = &inst->leatd->ipam;
	uint32_t ip_be = spec->ip_be;
	int r;

	if (memcmp(spec->ip6, none, 16) != 0 &&
	    ipam_ip6_to_ip(inst->tenant, spec->ip6, &ip_be) < 0) {
		snprintf(error, size,
			 "cannot give that address: its last four bytes must be an address in "
			 "10.99.0.0/16, and those before the tenant's prefix");
		return -ERANGE;
	}
	if (ip_be == 0) {
		r = ipam_take(ipam, &inst->ip_be);
		if (r < 0)
			snprintf(error, size,
				 "cannot give an address: all of 10.99.0.0/16 are in use");
		return r;
	}
	r = ipam_take_ip(ipam, ip_be);
	if (r == -EBUSY)
		snprintf(error, size, "cannot give that address: another instance has it");
	else if (r < 0)
		snprintf(error, size,
			 "cannot give that address: it must be in 10.99.0.2 - 10.99.255.253");
	if (r == 0)
		inst->ip_be = ip_be;
	return r;
}

static int ports_publish(struct instance *inst, const struct instance_spec *spec, char *error,
			 size_t size)
{
	for (unsigned i = 0; i < spec->nr_ports; i++) {
		const struct publish *p = &spec->ports[i];
		const struct dp_publish publish = {.proto =
							   p->udp ? DP_PUBLISH_UDP : DP_PUBLISH_TCP,
						   .host_ip_be = p->host_ip_be,
						   .host_port = p->host_port,
						   .guest_ip_be = inst->ip_be,
						   .guest_port = p->guest_port};
		int r = dataplane_publish(&publish, error, size, &inst->ports[inst->nr_ports]);

		if (r < 0)
			return r;
		inst->nr_ports++;
	}
	return 0;
}

int tenant_number(struct leatd *leatd, const char *name, uint32_t *ret_number,
		  const char **ret_name)
{
	json_t *number = json_object_get(leatd->tenants, name);

	if (number == NULL) {
		number = json_integer((json_int_t)json_object_size(leatd->tenants) + 1);
		if (json_object_set_new(leatd->tenants, name, number) < 0)
			return -ENOMEM;
	}
	*ret_number = (uint32_t)json_integer_value(number);
	*ret_name = json_object_iter_key(json_object_iter_at(leatd->tenants, name));
	return 0;
}

uint32_t instance_function_tag(const struct instance *inst)
{
	const char *function = json_string_value(
		json_object_get(json_object_get(inst->request, "tags"), "function"));

	return function != NULL ? (uint32_t)json_integer_value(
					  json_object_get(inst->leatd->function_tags, function)) :
				  0;
}

/* Queues with their filter, and published ports. */
static int network_start(struct instance *inst, const struct instance_spec *spec, int window_fd,
			 char *error, size_t size)
{
	struct dp_instance_config config = {.id = inst->id,
					    .tenant = inst->tenant,
					    .name = inst->name,
					    .limits = spec->limits,
					    .tag = spec->tag,
					    .function_tag = instance_function_tag(inst),
					    .weight = spec->weight,
					    .guaranteed = spec->guaranteed,
					    .nr_vcpus = inst->nr_vcpus,
					    .window_fd = window_fd,
					    .mtu = MTU,
					    .gateway_be = htonl(IPAM_GATEWAY),
					    .prefix_len = IPAM_PREFIX,
					    .prefix6_len = IPAM_PREFIX6};
	const struct filter_source source = {.kind = spec->filter,
					     .object_fd = spec->fds[ROLE_FILTER],
					     .signature_fd = spec->fds[ROLE_SIGNATURE],
					     .tenant = inst->tenant};
	int r = filter_load(inst->leatd, &source, error, size, &config.filter);

	if (r < 0)
		return r;
	r = address_take(inst, spec, error, size);
	if (r == 0) {
		config.ipv4_be = inst->ip_be;
		ipam_mac(inst->id, config.mac);
		ipam_ip6(inst->tenant, inst->ip_be, inst->ip6);
		memcpy(config.ipv6, inst->ip6, sizeof(config.ipv6));
		r = dataplane_instance_add(&config, &inst->dp);
		if (r == -EDQUOT)
			snprintf(error, size,
				 "cannot guarantee %u cores: other instances have the rest of the "
				 "%u that there are",
				 spec->guaranteed, dataplane_nr_cores());
		else if (r < 0)
			snprintf(error, size, "cannot make the instance's queues: %s",
				 strerror(-r));
		else
			dataplane_instance_block(inst->dp)->trace = spec->trace;
	}
	ebpf_object_unref(config.filter);
	return r < 0 ? r : ports_publish(inst, spec, error, size);
}

static int cgroup_start(struct instance *inst, const struct instance_spec *spec, int *ret_fd,
			char *error, size_t size)
{
	struct leatd *leatd = inst->leatd;
	int r;

	*ret_fd = -1;
	if (spec->memory_bytes == 0)
		return 0;
	r = leatd->cgroup_error;
	if (r == 0)
		r = cgroup_create(&leatd->cgroup, inst->id, spec->memory_bytes, ret_fd);
	if (r < 0) {
		snprintf(error, size, "cannot limit the memory: %s; leave out --memory",
			 strerror(-r));
		return r;
	}
	inst->has_cgroup = true;
	return 0;
}

static int stdio_start(struct instance *inst, const struct instance_spec *spec, int stdio[3],
		       int *ret_pipe, char *error, size_t size)
{
	int r;

	*ret_pipe = -1;
	for (int i = 0; i < 3; i++)
		stdio[i] = spec->fds[ROLE_STDIN + i];
	if (!spec->detach)
		return 0;
	r = output_start(&inst->output, inst->leatd, inst->id, ret_pipe);
	if (r < 0)
		snprintf(error, size, "cannot make the instance's log: %s", strerror(-r));
	stdio[1] = stdio[2] = *ret_pipe;
	return r;
}

/* The size of the image that is the root, 0 for a directory.  Nobody may write through it. */
static int root_check(int fd, uint64_t *ret_bytes)
{
	struct stat st;

	if (fstat(fd, &st) < 0 || (fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDONLY)
		return -EINVAL;
	if (S_ISDIR(st.st_mode)) {
		*ret_bytes = 0;
		return 0;
	}
	if (!S_ISREG(st.st_mode) || st.st_size == 0)
		return -EINVAL;
	*ret_bytes = (uint64_t)st.st_size;
	return *ret_bytes > ABI_ROOT_MAX ? -EFBIG : 0;
}

static int instance_launch(struct instance *inst, const struct instance_spec *spec, int window_fd,
			   int cgroup_fd, const int stdio[3])
{
	struct launch_request req = {.instance = inst->id,
				     .uid = inst->leatd->state.uid_low + inst->uid_index,
				     .nr_vcpus = inst->nr_vcpus,
				     .nproc = INSTANCE_NPROC,
				     .nofile = spec->nofile,
				     .umask = spec->umask,
				     .trace = spec->trace,
				     .memory_max = inst->memory_bytes,
				     .stack_max = spec->stack_bytes,
				     .launched_ns = inst->started_ns,
				     .program = spec->program,
				     .cwd = spec->cwd,
				     .hostname =
					     spec->hostname != NULL ? spec->hostname : inst->name,
				     .user = spec->user,
				     .argv = spec->argv,
				     .envp = spec->envp,
				     .stdio = {stdio[0], stdio[1], stdio[2]},
				     .window_fd = window_fd,
				     .root_fd = spec->fds[ROLE_ROOT],
				     .exec_fd = spec->fds[ROLE_EXEC],
				     .cwd_fd = spec->fds[ROLE_CWD],
				     .cgroup_fd = cgroup_fd,
				     .snapshot_fd = spec->fds[ROLE_SNAPSHOT],
				     .nr_volumes = spec->nr_volumes};

	int r = root_check(req.root_fd, &req.root_bytes);
	if (r < 0)
		return r;
	for (unsigned i = 0; i < spec->nr_volumes; i++) {
		req.volumes[i].fd = spec->volumes[i].fd;
		req.volumes[i].dst = spec->volumes[i].dst;
		req.volumes[i].read_only = spec->volumes[i].read_only;
		req.writable |= !spec->volumes[i].read_only;
	}
	/* Files that are standard streams may be written, truncated and synced too. */
	inst->sandbox = req.writable ? SANDBOX_ALL :
			req.root_bytes != 0 && spec->nr_volumes == 0 ?
				       SANDBOX_BASE :
				       SANDBOX_BASE | SANDBOX_DIRECTORY;
	return launch_start(&inst->leatd->launch, &req);
}

static int instance_build(struct instance *inst, const struct instance_spec *spec, char *error,
			  size_t size)
{
	int window_fd = -1, cgroup_fd = -1, pipe_fd = -1, stdio[3];
	int r = window_create(&window_fd);

	if (r < 0) {
		snprintf(error, size, "cannot make the instance's window: %s", strerror(-r));
		return r;
	}
	r = stdio_start(inst, spec, stdio, &pipe_fd, error, size);
	if (r == 0)
		r = cgroup_start(inst, spec, &cgroup_fd, error, size);
	if (r == 0)
		r = network_start(inst, spec, window_fd, error, size);
	if (r == 0) {
		r = instance_launch(inst, spec, window_fd, cgroup_fd, stdio);
		if (r == -E2BIG)
			snprintf(error, size,
				 "cannot start: arguments and environment are too long (512 KiB)");
		else if (r == -EINVAL || r == -EFBIG)
			snprintf(error, size,
				 "cannot start: the root is not a directory or an image of at "
				 "most 128 GiB, opened for reading");
		else if (r < 0)
			snprintf(error, size, "cannot start: the launcher does not answer: %s",
				 strerror(-r));
	}
	close(window_fd);
	if (cgroup_fd >= 0)
		close(cgroup_fd);
	if (pipe_fd >= 0)
		close(pipe_fd);
	return r;
}

static int name_choose(struct instance *inst, const char *name, char *error, size_t size)
{
	if (name == NULL) {
		snprintf(inst->name, sizeof(inst->name), "leat-%u", inst->id);
		return 0;
	}
	if (!parse_name_ok(name)) {
		snprintf(error, size,
			 "cannot use the name '%s': letters, digits, '_', '.', '-', at most %u",
			 name, NAME_LEN_MAX);
		return -EINVAL;
	}
	if (instance_find(inst->leatd, name) != NULL || port_exists(inst->leatd, name)) {
		snprintf(error, size,
			 "cannot use the name '%s': an instance has it; try leat rm %s", name,
			 name);
		return -EEXIST;
	}
	snprintf(inst->name, sizeof(inst->name), "%s", name);
	return 0;
}

int instance_create(struct leatd *leatd, const struct instance_spec *spec, char *error,
		    size_t error_size, struct instance **ret_inst)
{
	struct instance *inst = calloc(1, sizeof(*inst));
	int r;

	if (inst == NULL)
		return -ENOMEM;
	inst->leatd = leatd;
	list_init(&inst->node);
	inst->id = instance_id_next(leatd);
	inst->detached = spec->detach;
	inst->kill_timer.due = kill_due;
	inst->nr_vcpus = spec->cpus != 0 ? spec->cpus : leatd->nr_cpus;
	inst->guaranteed = spec->guaranteed;
	inst->tag = spec->tag;
	inst->weight = spec->weight != 0 ? spec->weight : SCHED_WEIGHT;
	inst->memory_bytes = spec->memory_bytes != 0 ? spec->memory_bytes : host_memory();
	inst->filter = strcmp(spec->filter, "none") == 0   ? "none" :
		       strcmp(spec->filter, "object") == 0 ? "object" :
							     "default";
	inst->started_ns = loop_now_ns();
	inst->started_time = time(NULL);
	inst->limits = spec->limits;
	r = tenant_number(leatd, spec->tenant, &inst->tenant, &inst->tenant_name);
	if (r < 0)
		snprintf(error, error_size, "cannot start: out of memory");
	else
		r = name_choose(inst, spec->name, error, error_size);
	if (r == 0) {
		r = pool_take(&leatd->uids, &inst->uid_index);
		if (r < 0)
			snprintf(error, error_size, "cannot start: all %u uids are in use",
				 STATE_UIDS);
	}
	if (r < 0) {
		free(inst);
		return r;
	}
	inst->request = json_incref(spec->request);
	list_add_tail(&leatd->instances, &inst->node);
	r = instance_build(inst, spec, error, error_size);
	if (r < 0) {
		instance_release(inst);
		instance_gone(inst);
		instance_free(inst);
		return r;
	}
	*ret_inst = inst;
	return 0;
}

int instance_set_filter(struct instance *inst, const struct filter_source *source, char *error,
			size_t error_size)
{
	const char *kind = source->kind;
	struct ebpf_object *object = NULL;
	int r = filter_load(inst->leatd, source, error, error_size, &object);

	if (r < 0)
		return r;
	r = dataplane_instance_set_filter(inst->dp, object);
	ebpf_object_unref(object);
	if (r < 0)
		snprintf(error, error_size, "cannot set the filter: %s", strerror(-r));
	else
		inst->filter = strcmp(kind, "none") == 0   ? "none" :
			       strcmp(kind, "object") == 0 ? "object" :
							     "default";
	return r;
}

/* ---- the launcher's replies ---- */

static void reply_started(struct instance *inst, const struct launcher_reply *reply)
{
	inst->pid = reply->pid;
	if (inst->dp != NULL)
		dataplane_instance_set_process(inst->dp, (int)reply->pid,
					       inst->leatd->state.uid_low + inst->uid_index);
}

static void reply_failed(struct instance *inst, const struct launcher_reply *reply)
{
	char error[512];
	const char *volume = "";

	if (reply->stage == STAGE_VOLUME) {
		const json_t *volumes = json_object_get(inst->request, "volumes");

		volume = json_string_value(
			json_object_get(json_array_get(volumes, reply->detail), "dst"));
	}
	snprintf(error, sizeof(error), "cannot %s%s%s: %s", launch_stage_text(reply->stage),
		 volume != NULL && *volume ? " for " : "", volume != NULL ? volume : "",
		 strerror(reply->error));
	log_line(LOG_WARN, "instance %s: %s", inst->name, error);
	snprintf(inst->reason, sizeof(inst->reason), "%.200s", error);
	clients_tell_failure(inst->leatd, inst, error);
	/* Refused before there was a process: nothing more will be said about it. */
	if (inst->pid == 0) {
		instance_exited(inst, EXIT_LEAT << 8);
		instance_gone(inst);
	}
}

/*
 * The library OS ends its processes by exit whatever the program's status is: SIGSYS is the host's
 * filter, where it cannot ask the listener because the child's own filter has refused.
 */
static void reply_exited(struct instance *inst, const struct launcher_reply *reply)
{
	int status = reply->status;

	const char *what =
		inst->sandbox & SANDBOX_WRITE     ? "" :
		inst->sandbox & SANDBOX_DIRECTORY ? ", one that writes without a writable volume" :
						    ", one for files of the host";

	if (inst->reason[0] == '\0' && WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS) {
		snprintf(inst->reason, sizeof(inst->reason),
			 "forbidden host call%s or of a foreign architecture", what);
		log_line(LOG_WARN, "instance %s: %s; it is ended", inst->name, inst->reason);
	}
	instance_exited(inst,
			inst->reason[0] != '\0' && WIFEXITED(status) ? EXIT_LEAT << 8 : status);
}

static void reply_handle(struct leatd *leatd, const struct launcher_reply *reply)
{
	struct instance *inst = instance_by_id(leatd, reply->instance);

	if (inst == NULL) {
		log_line(LOG_WARN, "the launcher speaks of instance %u, which is not there",
			 reply->instance);
		return;
	}
	switch (reply->msg.type) {
	case LAUNCHER_STARTED:
		reply_started(inst, reply);
		break;
	case LAUNCHER_FAILED:
		reply_failed(inst, reply);
		break;
	case LAUNCHER_EXITED:
		reply_exited(inst, reply);
		break;
	case LAUNCHER_GONE:
		instance_gone(inst);
		break;
	default:
		log_line(LOG_WARN, "the launcher says %u", reply->msg.type);
		break;
	}
}

void instance_launcher_ready(struct loop_source *source, uint32_t events)
{
	struct leatd *leatd = container_of(source, struct leatd, launch_source);
	struct launcher_reply reply;
	int fd, r;

	(void)events;
	while ((r = launch_receive(&leatd->launch, false, &reply, &fd)) == 1) {
		reply_handle(leatd, &reply);
		if (fd >= 0)
			close(fd);
	}
	if (r == -EAGAIN)
		return;
	log_line(LOG_ERROR, "ending: the launcher has gone (%s), and all instances with it",
		 r < 0 ? strerror(-r) : "end of file");
	leatd->exit_code = EXIT_LEAT;
	leatd->loop.stop = true;
}
