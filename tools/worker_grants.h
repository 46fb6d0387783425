/* SPDX-License-Identifier: MIT */
/* Who reaches the guest's grants: this process, or its monitor for it (xen/grant_broker.h). */
#ifndef GPUDOM_TOOLS_WORKER_GRANTS_H
#define GPUDOM_TOOLS_WORKER_GRANTS_H

#include "backend/memory.h"
#include "tools/worker_monitor.h"

enum worker_grants_mode {
	WORKER_GRANTS_RELAY,  /* the monitor serves the queues */
	WORKER_GRANTS_ASK,    /* it copies when it is asked to; for measuring */
	WORKER_GRANTS_DIRECT, /* without it; for measuring, as the renderer can reach any guest's */
};

struct grant_broker;
struct grant_client;

struct worker_grants {
	enum worker_grants_mode mode;
	struct grant_broker *broker;
	struct grant_client *client;
	int socket; /* the client's; -1: none */
	bool contained;
};

/* Before the process is divided: adds what the monitor needs to @monitor. @domid: of the guest, -1:
 * not known; @command_bytes: of a request at most. 0 or -errno, logged. */
int worker_grants_prepare(struct worker_grants *grants, struct worker_monitor_options *monitor,
    int domid, uint32_t command_bytes);
/* In the renderer. 0 or -errno, logged. */
int worker_grants_attach(struct worker_grants *grants);
void worker_grants_finish(struct worker_grants *grants);

/* struct vhost_user_options' create_xen_memory, with a struct worker_grants. */
int worker_grants_create_memory(
    void *grants, const struct memory_region *region, struct guest_memory **memory);

#endif
