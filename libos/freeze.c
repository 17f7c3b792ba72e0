/*
 * freeze.c - standing still while a snapshot is taken.
 *
 * When no kthread runs a task, everything that the instance is lies in memory: tasks on the run
 * queue or asleep, their registers on their kernel stacks, vector state in their own areas.  The
 * kthread that found this so keeps the instance lock, so that helper threads change nothing either,
 * and sleeps until leatd has what it wants.
 */
#include "libos/freeze.h"

#include <linux/futex.h>
#include <stddef.h>

#include "libos/fs/hostnode.h"
#include "libos/host.h"
#include "libos/instance.h"
#include "libos/kthread.h"

static uint32_t freeze_word(void)
{
	/* Acquire pairs with leatd's release. */
	return __atomic_load_n(&abi_instance_of(window())->freeze, __ATOMIC_ACQUIRE);
}

bool freeze_asked(void)
{
	uint32_t asked = freeze_word();

	return asked != 0 && asked != instance()->freeze_answered;
}

/* Does another kthread run a task? It is made to come here, too. */
static bool others_run(const struct kthread *kt)
{
	struct instance *inst = instance();
	bool any = false;

	for (unsigned v = 0; v < inst->boot->nr_vcpus; v++) {
		struct kthread *other = inst->vcpu_holder[v];

		if (other == NULL || other == kt || other->state != KT_RUNNING)
			continue;
		any = true;
		kthread_kick(other);
	}
	return any;
}

static enum abi_freeze_result freeze_check(void)
{
	const struct instance *inst = instance();

	if (inst->hosts.next != inst->hosts.prev)
		return ABI_FREEZE_PROCESSES;
	for (unsigned i = 0; i < inst->boot->nr_volumes; i++)
		if ((inst->boot->volume[i].flags & ABI_VOLUME_RO) == 0)
			return ABI_FREEZE_VOLUMES;
	return inst->nr_shared != 0 ? ABI_FREEZE_SHARED : ABI_FREEZE_DONE;
}

static void freeze_wait(uint32_t asked)
{
	while (freeze_word() == asked)
		host_futex(&abi_instance_of(window())->freeze, FUTEX_WAIT, asked, NULL, 0);
}

void freeze_point(struct kthread *kt)
{
	struct abi_instance *abi = abi_instance_of(window());
	uint32_t asked = freeze_word();
	enum abi_freeze_result result;

	sched_vectors_save(kt);
	if (others_run(kt)) {
		kthread_give_back(kt, false);
		return;
	}
	result = freeze_check();
	if (result == ABI_FREEZE_DONE && host_nodes_freeze() != 0)
		result = ABI_FREEZE_FILES;
	kthread_publish(kt);
	abi->frozen_result = result;
	instance()->freeze_answered = asked;
	/* Release pairs with leatd's acquire: the result is there, and the memory as it says. */
	__atomic_store_n(&abi->frozen, asked, __ATOMIC_RELEASE);
	if (result == ABI_FREEZE_DONE)
		freeze_wait(asked);
}
