/* SPDX-License-Identifier: MIT */
#include "xen/ioreq.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <xen/hvm/hvm_op.h>
#include <xen/hvm/ioreq.h>
#include <xen/memory.h>
#include <xenevtchn.h>
#include <xenforeignmemory.h>

#include "backend/log.h"
#include "xen/diagnose.h"
#include "xen/privcmd.h"

#define VCPUS_MAX (4096 / sizeof(struct ioreq)) /* in one page */
#define LOOK_AGAIN_USEC 500

struct ioreq_vcpu {
	uint32_t port; /* ours; 0: not bound */
	bool open;     /* a request of it waits for ioreq_complete() */
};

/* Kicks that the kernel takes for us. */
struct ioreq_kick {
	uint64_t base;
	unsigned queue;
};
#define KICKS_MAX 32

struct ioreq_server {
	struct ioreq_options options;
	xendevicemodel_handle *devicemodel;
	xenforeignmemory_handle *memory;
	xenevtchn_handle *evtchn;
	int privcmd;

	ioservid_t id;
	bool created;
	xenforeignmemory_resource_handle *resource;
	shared_iopage_t *page;
	struct ioreq_vcpu *vcpus;
	uint32_t *ports; /* the same ports as the kernel's interface wants them */
	unsigned vcpu_count;
	struct ioreq_kick kicks[KICKS_MAX];
	unsigned kick_count;

	sd_event_source *io, *look_again;
	struct log_limit limit;
};

/* ------------------------------------------------------------------ requests */

/* Loads and stores of a request's state: it orders the rest of the request. */
static unsigned ioreq_state(const volatile ioreq_t *request)
{
	unsigned state = request->state;

	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return state;
}

static void ioreq_set_state(volatile ioreq_t *request, unsigned state)
{
	__atomic_thread_fence(__ATOMIC_RELEASE);
	request->state = state & 0xf;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static volatile ioreq_t *ioreq_of(struct ioreq_server *server, unsigned vcpu)
{
	return &server->page->vcpu_ioreq[vcpu];
}

static void ioreq_answer(struct ioreq_server *server, unsigned vcpu, bool write, uint64_t value)
{
	volatile ioreq_t *request = ioreq_of(server, vcpu);

	if (!write)
		request->data = value;
	ioreq_set_state(request, STATE_IORESP_READY);
	if (xenevtchn_notify(server->evtchn, server->vcpus[vcpu].port) < 0)
		log_guest(&server->limit, "%s: cannot notify vCPU %u: %s", server->options.name,
		    vcpu, strerror(errno));
}

void ioreq_complete(struct ioreq_server *server, unsigned vcpu, uint64_t value)
{
	if (vcpu >= server->vcpu_count || !server->vcpus[vcpu].open)
		return;
	server->vcpus[vcpu].open = false;
	ioreq_answer(server, vcpu, ioreq_of(server, vcpu)->dir == IOREQ_WRITE, value);
}

/* Is this a write that the kernel's ioeventfd handler will take, or has just taken? */
static bool ioreq_is_kick(const struct ioreq_server *server, const ioreq_t *request)
{
	if (request->type != IOREQ_TYPE_COPY || request->dir != IOREQ_WRITE || request->size != 4)
		return false;
	for (unsigned i = 0; i < server->kick_count; i++)
		if (request->addr == server->kicks[i].base + 0x50 &&
		    (request->data & 0xffff) == server->kicks[i].queue)
			return true;
	return false;
}

static void ioreq_serve(struct ioreq_server *server, unsigned vcpu, const ioreq_t *request)
{
	struct ioreq_access access = {
		.vcpu = vcpu,
		.write = request->dir == IOREQ_WRITE,
		.size = request->size,
		.address = request->addr,
		.value = request->data,
	};

	if (request->type == IOREQ_TYPE_INVALIDATE) {
		server->vcpus[vcpu].open = true;
		if (server->options.invalidate(server->options.data, vcpu))
			ioreq_complete(server, vcpu, 0);
		return;
	}
	if (request->type != IOREQ_TYPE_COPY || request->data_is_ptr || request->count > 1) {
		log_guest(&server->limit, "%s: request of unknown type %u at %#llx",
		    server->options.name, request->type, (unsigned long long)request->addr);
		ioreq_answer(server, vcpu, access.write, UINT64_MAX);
		return;
	}
	if (access.size < 8)
		access.value &= (UINT64_C(1) << (8 * access.size)) - 1;
	server->vcpus[vcpu].open = true;
	if (!server->options.access(server->options.data, &access))
		return;
	ioreq_complete(server, vcpu, access.value);
}

/*
 * Takes the request of one vCPU, if there is one. False: look again soon.
 *
 * With ioeventfd, the kernel's own handler works on the same page: for an instant it shows
 * INPROCESS on every write, and then READY again where it does not know it. No event
 * follows: a vCPU whose request was seen in that instant would wait for ever.
 */
static bool ioreq_look(struct ioreq_server *server, unsigned vcpu, bool patient)
{
	volatile ioreq_t *shared = ioreq_of(server, vcpu);
	unsigned state;
	ioreq_t request;

	if (server->vcpus[vcpu].open)
		return true;
	state = ioreq_state(shared);
	if (state == STATE_IOREQ_INPROCESS)
		return false;
	if (state != STATE_IOREQ_READY)
		return true;
	request = *(const ioreq_t *)shared;
	/* The kernel is about to take it; only one that was there before the kernel's handler was
	 * is still there later. */
	if (patient && ioreq_is_kick(server, &request))
		return false;
	ioreq_set_state(shared, STATE_IOREQ_INPROCESS);
	ioreq_serve(server, vcpu, &request);
	return true;
}

static void ioreq_look_later(struct ioreq_server *server)
{
	int enabled = SD_EVENT_OFF;

	sd_event_source_get_enabled(server->look_again, &enabled);
	if (enabled != SD_EVENT_OFF)
		return;
	sd_event_source_set_time_relative(server->look_again, LOOK_AGAIN_USEC);
	sd_event_source_set_enabled(server->look_again, SD_EVENT_ONESHOT);
}

/* @patient: leave what the kernel may be working on. */
static void ioreq_look_at_all(struct ioreq_server *server, bool patient)
{
	bool settled = true;

	for (unsigned i = 0; i < server->vcpu_count; i++)
		settled &= ioreq_look(server, i, patient);
	if (!settled)
		ioreq_look_later(server);
}

static int ioreq_dispatch_look_again(sd_event_source *source, uint64_t usec, void *data)
{
	ioreq_look_at_all(data, false);
	return 0;
}

static int ioreq_dispatch_event(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct ioreq_server *server = data;
	xenevtchn_port_or_error_t port = xenevtchn_pending(server->evtchn);

	if (port < 0) {
		if (errno != EAGAIN)
			log_guest(&server->limit, "%s: cannot read events: %s",
			    server->options.name, strerror(errno));
		return 0;
	}
	/* Unmasked before the look, so that what comes after it makes an event of its own. */
	xenevtchn_unmask(server->evtchn, (evtchn_port_t)port);
	for (unsigned i = 0; i < server->vcpu_count; i++)
		if (server->vcpus[i].port == (evtchn_port_t)port &&
		    !ioreq_look(server, i, server->kick_count > 0))
			ioreq_look_later(server);
	return 0;
}

/* -------------------------------------------------------------------- ranges */

static int ioreq_failed(struct ioreq_server *server, enum diagnose_call call, const char *what)
{
	int error = errno ? -errno : -EIO;

	log_error("%s: cannot %s: %s. %s", server->options.name, what, strerror(-error),
	    diagnose(call, error));
	return error;
}

int ioreq_claim(struct ioreq_server *server, uint64_t base, uint64_t size)
{
	if (xendevicemodel_map_io_range_to_ioreq_server(server->devicemodel, server->options.domid,
		server->id, 1, base, base + size - 1) < 0)
		return ioreq_failed(server, DIAGNOSE_DEVICE_MODEL, "claim the device's range");
	return 0;
}

void ioreq_release(struct ioreq_server *server, uint64_t base, uint64_t size)
{
	xendevicemodel_unmap_io_range_from_ioreq_server(
	    server->devicemodel, server->options.domid, server->id, 1, base, base + size - 1);
}

static int ioreq_set_kick(
    struct ioreq_server *server, uint64_t base, unsigned queue, int fd, bool on)
{
	const struct privcmd_kick kick = {
		.ioreq_page = server->page,
		.ports = server->ports,
		.vcpus = server->vcpu_count,
		.base = base,
		.queue = queue,
		.fd = fd,
	};

	return privcmd_set_ioeventfd(server->privcmd, server->options.domid, &kick, on);
}

int ioreq_bind_kick(struct ioreq_server *server, uint64_t base, unsigned queue, int fd)
{
	int error;

	if (server->kick_count == KICKS_MAX)
		return -ENOSPC;
	error = ioreq_set_kick(server, base, queue, fd, true);
	if (error)
		return error;
	server->kicks[server->kick_count++] = (struct ioreq_kick){ .base = base, .queue = queue };
	/* A kick that was there before the kernel looked for it is ours. */
	ioreq_look_later(server);
	return 0;
}

void ioreq_unbind_kick(struct ioreq_server *server, uint64_t base, unsigned queue, int fd)
{
	for (unsigned i = 0; i < server->kick_count; i++) {
		if (server->kicks[i].base != base || server->kicks[i].queue != queue)
			continue;
		ioreq_set_kick(server, base, queue, fd, false);
		server->kicks[i] = server->kicks[--server->kick_count];
		return;
	}
}

xendevicemodel_handle *ioreq_devicemodel(struct ioreq_server *server)
{
	return server->devicemodel;
}

int ioreq_privcmd(struct ioreq_server *server)
{
	return server->privcmd;
}

uint16_t ioreq_domid(const struct ioreq_server *server)
{
	return server->options.domid;
}

/* A dead domain stays a zombie for as long as we have its page mapped, and still answers
 * nr_vcpus; but Xen takes its servers away first. */
bool ioreq_is_alive(struct ioreq_server *server)
{
	return xendevicemodel_get_ioreq_server_info(
		   server->devicemodel, server->options.domid, server->id, NULL, NULL, NULL) == 0 ||
	       (errno != ESRCH && errno != ENOENT);
}

/* ----------------------------------------------------------------- life time */

/* Handles of its own for each guest, which can do nothing to another one. */
static int ioreq_open(struct ioreq_server *server)
{
	uint16_t domid = server->options.domid;

	server->privcmd = privcmd_open(domid);
	errno = -server->privcmd;
	if (server->privcmd < 0)
		return ioreq_failed(server, DIAGNOSE_PRIVCMD_DEVICE, "open /dev/xen/privcmd");
	server->devicemodel = xendevicemodel_open(NULL, 0);
	if (!server->devicemodel)
		return ioreq_failed(server, DIAGNOSE_PRIVCMD_DEVICE, "open the device-model calls");
	server->memory = xenforeignmemory_open(NULL, 0);
	if (!server->memory)
		return ioreq_failed(server, DIAGNOSE_PRIVCMD_DEVICE, "open the memory calls");
	server->evtchn = xenevtchn_open(NULL, 0);
	if (!server->evtchn)
		return ioreq_failed(server, DIAGNOSE_EVTCHN_DEVICE, "open /dev/xen/evtchn");
	if (xendevicemodel_restrict(server->devicemodel, domid) < 0 ||
	    xenforeignmemory_restrict(server->memory, domid) < 0 ||
	    xenevtchn_restrict(server->evtchn, domid) < 0)
		log_debug("%s: cannot restrict the Xen handles: %s", server->options.name,
		    strerror(errno));
	return 0;
}

static int ioreq_bind_vcpus(struct ioreq_server *server)
{
	server->vcpus = calloc(server->vcpu_count, sizeof(*server->vcpus));
	server->ports = calloc(server->vcpu_count, sizeof(*server->ports));
	if (!server->vcpus || !server->ports)
		return -ENOMEM;
	for (unsigned i = 0; i < server->vcpu_count; i++) {
		xenevtchn_port_or_error_t port = xenevtchn_bind_interdomain(
		    server->evtchn, server->options.domid, server->page->vcpu_ioreq[i].vp_eport);

		if (port < 0)
			return ioreq_failed(
			    server, DIAGNOSE_EVENT_CHANNEL, "bind a vCPU's event channel");
		server->vcpus[i].port = server->ports[i] = (uint32_t)port;
	}
	return 0;
}

static int ioreq_set_up(struct ioreq_server *server)
{
	uint16_t domid = server->options.domid;
	void *page = NULL;

	if (xendevicemodel_nr_vcpus(server->devicemodel, domid, &server->vcpu_count) < 0)
		return ioreq_failed(server, DIAGNOSE_DEVICE_MODEL, "ask for the number of vCPUs");
	if (!server->vcpu_count || server->vcpu_count > VCPUS_MAX) {
		log_error("%s: %u vCPUs are not supported (at most %zu)", server->options.name,
		    server->vcpu_count, VCPUS_MAX);
		return -E2BIG;
	}
	if (xendevicemodel_create_ioreq_server(
		server->devicemodel, domid, HVM_IOREQSRV_BUFIOREQ_OFF, &server->id) < 0)
		return ioreq_failed(server, DIAGNOSE_CREATE_SERVER, "create an IOREQ server");
	server->created = true;
	server->resource = xenforeignmemory_map_resource(server->memory, domid,
	    XENMEM_resource_ioreq_server, server->id, XENMEM_resource_ioreq_server_frame_ioreq(0),
	    1, &page, PROT_READ | PROT_WRITE, 0);
	if (!server->resource)
		return ioreq_failed(server, DIAGNOSE_IOREQ_PAGE, "map the IOREQ server's page");
	server->page = page;
	/* The page holds the ports only from here on. */
	if (xendevicemodel_set_ioreq_server_state(server->devicemodel, domid, server->id, 1) < 0)
		return ioreq_failed(server, DIAGNOSE_DEVICE_MODEL, "enable the IOREQ server");
	return ioreq_bind_vcpus(server);
}

static int ioreq_watch(struct ioreq_server *server)
{
	int error = sd_event_add_io(server->options.event, &server->io,
	    xenevtchn_fd(server->evtchn), EPOLLIN, ioreq_dispatch_event, server);

	if (error >= 0)
		error = sd_event_add_time_relative(server->options.event, &server->look_again,
		    CLOCK_MONOTONIC, 0, 100, ioreq_dispatch_look_again, server);
	if (error >= 0)
		error = sd_event_source_set_enabled(server->look_again, SD_EVENT_OFF);
	if (error < 0)
		log_error("%s: cannot watch events: %s", server->options.name, strerror(-error));
	return error < 0 ? error : 0;
}

int ioreq_create(const struct ioreq_options *options, struct ioreq_server **out)
{
	struct ioreq_server *server = calloc(1, sizeof(*server));
	int error;

	if (!server)
		return -ENOMEM;
	server->options = *options;
	server->privcmd = -1;
	sd_event_ref(options->event);
	error = ioreq_open(server);
	if (!error)
		error = ioreq_set_up(server);
	if (!error)
		error = ioreq_watch(server);
	if (error) {
		ioreq_destroy(server);
		return error;
	}
	/* Whatever was posted before the ports were bound. */
	ioreq_look_later(server);
	*out = server;
	return 0;
}

void ioreq_destroy(struct ioreq_server *server)
{
	if (!server)
		return;
	sd_event_source_disable_unref(server->io);
	sd_event_source_disable_unref(server->look_again);
	for (unsigned i = 0; server->vcpus && i < server->vcpu_count; i++)
		if (server->vcpus[i].port)
			xenevtchn_unbind(server->evtchn, server->vcpus[i].port);
	if (server->resource)
		xenforeignmemory_unmap_resource(server->memory, server->resource);
	/* Fails where the guest is gone: then so is the server. */
	if (server->created)
		xendevicemodel_destroy_ioreq_server(
		    server->devicemodel, server->options.domid, server->id);
	if (server->evtchn)
		xenevtchn_close(server->evtchn);
	if (server->memory)
		xenforeignmemory_close(server->memory);
	if (server->devicemodel)
		xendevicemodel_close(server->devicemodel);
	if (server->privcmd >= 0)
		close(server->privcmd);
	sd_event_unref(server->options.event);
	free(server->ports);
	free(server->vcpus);
	free(server);
}
