/* SPDX-License-Identifier: MIT */
#include "tools/worker_grants.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#include "backend/log.h"
#include "xen/grant_broker.h"
#include "xen/grant_client.h"
#include "xen/memory_xen.h"

static int on_broker(sd_event_source *source, int fd, uint32_t events, void *data)
{
	if (!grant_broker_dispatch(data))
		sd_event_source_set_enabled(source, SD_EVENT_OFF);
	return 0;
}

/* In the monitor */
static int serve(void *data, sd_event *event)
{
	struct worker_grants *grants = data;

	return sd_event_add_io(
	    event, NULL, grant_broker_fd(grants->broker), EPOLLIN, on_broker, grants->broker);
}

int worker_grants_prepare(struct worker_grants *grants, struct worker_monitor_options *monitor,
    int domid, uint32_t command_bytes)
{
	const struct grant_broker_options options = {
		.domid = (uint16_t)domid,
		.request_bytes = command_bytes,
	};
	int error;

	grants->contained = grants->mode != WORKER_GRANTS_DIRECT;
	if (!grants->contained || domid < 0)
		return 0;
	error = grant_broker_create(&options, &grants->broker, &grants->socket);
	if (error) {
		log_error("cannot make the broker of grants: %s", strerror(-error));
		return error;
	}
	monitor->serve = serve;
	monitor->data = grants;
	monitor->grants = true;
	monitor->keep_count +=
	    grant_broker_fds(grants->broker, monitor->keep + monitor->keep_count);
	return 0;
}

int worker_grants_attach(struct worker_grants *grants)
{
	int error;

	if (!grants->broker)
		return 0;
	/* It is the monitor's now. */
	grant_broker_destroy(grants->broker);
	grants->broker = NULL;
	error = grant_client_create(
	    grants->socket, grants->mode == WORKER_GRANTS_RELAY, &grants->client);
	if (error)
		log_error("cannot reach the monitor: %s", strerror(-error));
	return error;
}

void worker_grants_finish(struct worker_grants *grants)
{
	grant_client_destroy(grants->client);
	grants->client = NULL;
}

int worker_grants_create_memory(
    void *data, const struct memory_region *region, struct guest_memory **memory)
{
	struct worker_grants *grants = data;

	if (grants->contained && !grants->client && (region->xen_flags & MEMORY_XEN_GRANT)) {
		log_error("the front end's guest grants its memory, and nobody said which guest "
			  "that is: --domid=N does");
		return -EPERM;
	}
	return memory_xen_create(grants->client, region, memory);
}
