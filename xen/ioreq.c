/* SPDX-License-Identifier: MIT */
#include "xen/ioreq.h"

#include <errno.h>
#include <poll.h>
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

#define LOOK_AGAIN_USEC 500
#define DEVICE_SIZE 0x200 /* of the registers of a virtio-mmio device */
#define SERVERS_MAX 8     /* of a guest; Xen's MAX_NR_IOREQ_SERVERS */

_Static_assert(IOREQ_VCPUS_MAX == 4096 / sizeof(struct ioreq), "requests in one page");

struct ioreq_vcpu {
	bool open;   /* a request of it waits for ioreq_complete() */
	bool orphan; /* not looked at yet since the server was taken over */
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

	struct ioreq_state *state;
	bool created, adopted, frozen;
	xenforeignmemory_resource_handle *resource;
	shared_iopage_t *page;
	struct ioreq_vcpu vcpus[IOREQ_VCPUS_MAX];
	unsigned bound; /* ports, from the first vCPU on */
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

static void ioreq_notify(struct ioreq_server *server, unsigned vcpu)
{
	if (xenevtchn_notify(server->evtchn, server->state->ports[vcpu]) < 0)
		log_guest(&server->limit, "%s: cannot notify vCPU %u: %s", server->options.name,
		    vcpu, strerror(errno));
}

static void ioreq_answer(struct ioreq_server *server, unsigned vcpu, bool write, uint64_t value)
{
	volatile ioreq_t *request = ioreq_of(server, vcpu);

	if (!write)
		request->data = value;
	ioreq_set_state(request, STATE_IORESP_READY);
	ioreq_notify(server, vcpu);
}

void ioreq_complete(struct ioreq_server *server, unsigned vcpu, uint64_t value)
{
	if (vcpu >= server->state->vcpus || !server->vcpus[vcpu].open || server->frozen)
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
	bool orphan = server->vcpus[vcpu].orphan;
	unsigned state;
	ioreq_t request;

	if (server->vcpus[vcpu].open)
		return true;
	state = ioreq_state(shared);
	server->vcpus[vcpu].orphan = false;
	/* Our predecessor may have ended between the answer and the event. */
	if (orphan && state == STATE_IORESP_READY)
		ioreq_notify(server, vcpu);
	if (state == STATE_IOREQ_INPROCESS && !orphan)
		return false;
	if (state != STATE_IOREQ_READY && state != STATE_IOREQ_INPROCESS)
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

	for (unsigned i = 0; i < server->state->vcpus; i++)
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
	for (unsigned i = 0; i < server->state->vcpus; i++)
		if (server->state->ports[i] == (evtchn_port_t)port &&
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
		server->state->id, 1, base, base + size - 1) < 0 &&
	    errno != EEXIST) /* it has it already */
		return ioreq_failed(server, DIAGNOSE_DEVICE_MODEL, "claim the device's range");
	return 0;
}

void ioreq_release(struct ioreq_server *server, uint64_t base, uint64_t size)
{
	xendevicemodel_unmap_io_range_from_ioreq_server(server->devicemodel, server->options.domid,
	    server->state->id, 1, base, base + size - 1);
}

static int ioreq_set_kick(
    struct ioreq_server *server, uint64_t base, unsigned queue, int fd, bool on)
{
	const struct privcmd_kick kick = {
		.ioreq_page = server->page,
		.ports = server->state->ports,
		.vcpus = server->state->vcpus,
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
	return xendevicemodel_get_ioreq_server_info(server->devicemodel, server->options.domid,
		   server->state->id, NULL, NULL, NULL) == 0 ||
	       (errno != ESRCH && errno != ENOENT);
}

/* ----------------------------------------------------------------- life time */

/* Handles of its own for each guest, which can do nothing to another one. @evtchn: a predecessor's,
 * restricted already, or -1. */
static int ioreq_open(struct ioreq_server *server, int evtchn)
{
	uint16_t domid = server->options.domid;

	server->evtchn = evtchn < 0 ? xenevtchn_open(NULL, 0) : xenevtchn_fdopen(NULL, evtchn, 0);
	if (!server->evtchn) {
		int error = ioreq_failed(server, DIAGNOSE_EVTCHN_DEVICE, "open /dev/xen/evtchn");

		if (evtchn >= 0)
			close(evtchn);
		return error;
	}
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
	if (xendevicemodel_restrict(server->devicemodel, domid) < 0 ||
	    xenforeignmemory_restrict(server->memory, domid) < 0 ||
	    (evtchn < 0 && xenevtchn_restrict(server->evtchn, domid) < 0))
		log_debug("%s: cannot restrict the Xen handles: %s", server->options.name,
		    strerror(errno));
	return 0;
}

static int ioreq_new(const struct ioreq_options *options, int evtchn, struct ioreq_server **out)
{
	struct ioreq_server *server = calloc(1, sizeof(*server));
	int error;

	if (!server) {
		if (evtchn >= 0)
			close(evtchn);
		return -ENOMEM;
	}
	server->options = *options;
	server->state = options->state;
	server->privcmd = -1;
	sd_event_ref(options->event);
	error = ioreq_open(server, evtchn);
	if (error) {
		ioreq_let_go(server);
		return error;
	}
	*out = server;
	return 0;
}

static int ioreq_bind_vcpus(struct ioreq_server *server)
{
	for (; server->bound < server->state->vcpus; server->bound++) {
		uint32_t remote = server->page->vcpu_ioreq[server->bound].vp_eport;
		xenevtchn_port_or_error_t port =
		    xenevtchn_bind_interdomain(server->evtchn, server->options.domid, remote);

		if (port < 0)
			return ioreq_failed(
			    server, DIAGNOSE_EVENT_CHANNEL, "bind a vCPU's event channel");
		server->state->ports[server->bound] = (uint32_t)port;
	}
	return 0;
}

static int ioreq_count_vcpus(struct ioreq_server *server)
{
	unsigned vcpus = 0;

	if (xendevicemodel_nr_vcpus(server->devicemodel, server->options.domid, &vcpus) < 0)
		return ioreq_failed(server, DIAGNOSE_DEVICE_MODEL, "ask for the number of vCPUs");
	if (!vcpus || vcpus > IOREQ_VCPUS_MAX) {
		log_error("%s: %u vCPUs are not supported (at most %d)", server->options.name,
		    vcpus, IOREQ_VCPUS_MAX);
		return -E2BIG;
	}
	server->state->vcpus = (uint16_t)vcpus;
	return 0;
}

static int ioreq_map_page(struct ioreq_server *server)
{
	uint16_t domid = server->options.domid;
	void *page = NULL;

	server->resource = xenforeignmemory_map_resource(server->memory, domid,
	    XENMEM_resource_ioreq_server, server->state->id,
	    XENMEM_resource_ioreq_server_frame_ioreq(0), 1, &page, PROT_READ | PROT_WRITE, 0);
	if (!server->resource)
		return ioreq_failed(server, DIAGNOSE_IOREQ_PAGE, "map the IOREQ server's page");
	server->page = page;
	/* The page holds the ports only from here on. */
	if (xendevicemodel_set_ioreq_server_state(
		server->devicemodel, domid, server->state->id, 1) < 0)
		return ioreq_failed(server, DIAGNOSE_DEVICE_MODEL, "enable the IOREQ server");
	return 0;
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
	if (error < 0) {
		log_error("%s: cannot watch events: %s", server->options.name, strerror(-error));
		return error;
	}
	/* Whatever was posted before. */
	ioreq_look_later(server);
	return 0;
}

/* ---------------------------------------------------------------- taking over */

/* The ports stayed bound and events were queued meanwhile; those that our predecessor had taken
 * are masked. All vCPUs will be looked at, so the events themselves tell nothing. */
static void ioreq_revive_ports(struct ioreq_server *server)
{
	struct pollfd poller = { .fd = xenevtchn_fd(server->evtchn), .events = POLLIN };

	while (poll(&poller, 1, 0) == 1 && (poller.revents & POLLIN))
		if (xenevtchn_pending(server->evtchn) < 0)
			break;
	server->bound = server->state->vcpus;
	for (unsigned i = 0; i < server->bound; i++)
		xenevtchn_unmask(server->evtchn, server->state->ports[i]);
}

/* On failure the server stays as it was. */
static int ioreq_resume(struct ioreq_server *server, bool ports_bound)
{
	int error = ioreq_map_page(server);

	if (!error && ports_bound)
		ioreq_revive_ports(server);
	else if (!error)
		error = ioreq_bind_vcpus(server);
	if (!error)
		error = ioreq_watch(server);
	if (error)
		return error;
	server->created = true;
	for (unsigned i = 0; i < server->state->vcpus; i++)
		server->vcpus[i].orphan = true;
	return 0;
}

int ioreq_adopt(const struct ioreq_options *options, int evtchn, struct ioreq_server **out)
{
	struct ioreq_server *server;
	int error = ioreq_new(options, evtchn, &server);

	if (error)
		return error;
	server->adopted = true;
	if (xendevicemodel_get_ioreq_server_info(
		server->devicemodel, options->domid, options->state->id, NULL, NULL, NULL) < 0)
		error = errno ? -errno : -EIO;
	else
		error = ioreq_resume(server, evtchn >= 0);
	if (error) {
		ioreq_let_go(server);
		return error;
	}
	*out = server;
	return 0;
}

/*
 * Has server @id of this domain claimed what is at @base? Asked by claiming the last byte of the
 * device's configuration space, which no driver touches: another backend's server, in
 * the same domain, takes it for an instant.
 */
static bool ioreq_has_claimed(struct ioreq_server *server, ioservid_t id, uint64_t base)
{
	uint16_t domid = server->options.domid;
	uint64_t byte = base + DEVICE_SIZE - 1;

	if (xendevicemodel_map_io_range_to_ioreq_server(
		server->devicemodel, domid, id, 1, byte, byte) < 0)
		return errno == EEXIST;
	xendevicemodel_unmap_io_range_from_ioreq_server(
	    server->devicemodel, domid, id, 1, byte, byte);
	return false;
}

/* -ENOENT: there is none. */
static int ioreq_find(struct ioreq_server *server, uint64_t base)
{
	for (ioservid_t id = 0; id < SERVERS_MAX; id++) {
		if (!ioreq_has_claimed(server, id, base))
			continue;
		server->state->id = id;
		server->adopted = true;
		return ioreq_resume(server, false);
	}
	return -ENOENT;
}

bool ioreq_was_found(const struct ioreq_server *server)
{
	return server->adopted;
}

/* ------------------------------------------------------------------- a new one */

static int ioreq_set_up(struct ioreq_server *server, uint64_t base)
{
	ioservid_t id;
	int error;

	if (xendevicemodel_create_ioreq_server(
		server->devicemodel, server->options.domid, HVM_IOREQSRV_BUFIOREQ_OFF, &id) < 0)
		return ioreq_failed(server, DIAGNOSE_CREATE_SERVER, "create an IOREQ server");
	server->created = true;
	server->state->id = id;
	/* At once: a successor knows it by its range, if we end before anything is kept. */
	error = ioreq_claim(server, base, DEVICE_SIZE);
	if (!error)
		error = ioreq_map_page(server);
	if (!error)
		error = ioreq_bind_vcpus(server);
	return error ? error : ioreq_watch(server);
}

int ioreq_create(const struct ioreq_options *options, uint64_t base, struct ioreq_server **out)
{
	struct ioreq_server *server;
	int error = ioreq_new(options, -1, &server);

	if (error)
		return error;
	error = ioreq_count_vcpus(server);
	if (!error)
		error = ioreq_find(server, base);
	if (error == -ENOENT)
		error = ioreq_set_up(server, base);
	if (error) {
		ioreq_destroy(server);
		return error;
	}
	*out = server;
	return 0;
}

/* --------------------------------------------------------------------- the end */

int ioreq_evtchn_fd(const struct ioreq_server *server)
{
	return xenevtchn_fd(server->evtchn);
}

void ioreq_freeze(struct ioreq_server *server)
{
	server->frozen = true;
}

void ioreq_let_go(struct ioreq_server *server)
{
	if (!server)
		return;
	sd_event_source_disable_unref(server->io);
	sd_event_source_disable_unref(server->look_again);
	if (server->resource)
		xenforeignmemory_unmap_resource(server->memory, server->resource);
	if (server->evtchn)
		xenevtchn_close(server->evtchn);
	if (server->memory)
		xenforeignmemory_close(server->memory);
	if (server->devicemodel)
		xendevicemodel_close(server->devicemodel);
	if (server->privcmd >= 0)
		close(server->privcmd);
	sd_event_unref(server->options.event);
	free(server);
}

void ioreq_destroy(struct ioreq_server *server)
{
	if (!server)
		return;
	for (unsigned i = 0; i < server->bound; i++)
		xenevtchn_unbind(server->evtchn, server->state->ports[i]);
	if (server->resource)
		xenforeignmemory_unmap_resource(server->memory, server->resource);
	server->resource = NULL;
	/* Fails where the guest is gone: then so is the server. */
	if (server->created)
		xendevicemodel_destroy_ioreq_server(
		    server->devicemodel, server->options.domid, server->state->id);
	ioreq_let_go(server);
}
