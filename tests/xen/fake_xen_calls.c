/* SPDX-License-Identifier: MIT */
/* The fake Xen: libxendevicemodel, libxenforeignmemory, xen/privcmd.c. The checks and their order
 * are those of Xen's xen/arch/arm/dm.c, xen/common/ioreq.c and xen/common/memory.c. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xen/hvm/ioreq.h>
#include <xen/memory.h>
#include <xendevicemodel.h>
#include <xenforeignmemory.h>

#include "tests/xen/fake_xen.h"
#include "xen/privcmd.h"

#define PAGE 4096

struct xenforeignmemory_resource_handle {
	void *address;
	uint16_t domid;
	struct fake_guest *guest;
};

/* Linux: "If restriction is in place, check the domid matches"; Xen: rcu_lock_remote_domain(). */
static int check_domain(const void *opaque, uint16_t domid, struct fake_guest **guest)
{
	const struct fake_handle *handle = opaque;

	if (handle->is_restricted && handle->domid != domid)
		return EPERM;
	if (domid == FAKE_XEN_SELF)
		return EPERM;
	*guest = fake_xen_find(domid);
	return *guest ? 0 : ESRCH;
}

static int check_server(const void *handle, uint16_t domid, unsigned id, struct fake_guest **guest,
    struct fake_server **server)
{
	int error = check_domain(handle, domid, guest);

	if (error)
		return error;
	if (id >= FAKE_XEN_SERVERS || !(*guest)->servers[id].used)
		return ENOENT;
	*server = &(*guest)->servers[id];
	return 0;
}

static void *open_handle(enum fake_xen_call call)
{
	int error = fake_xen_enter(call);
	void *handle = error ? NULL : fake_xen_open();

	fake_xen_leave(error);
	return handle;
}

static int close_handle(void *handle)
{
	fake_xen_lock();
	if (handle)
		fake_xen_close(handle);
	fake_xen_unlock();
	return 0;
}

/* "Set restriction to the specified domain, or check it matches" */
static int restrict_handle(void *opaque, uint16_t domid)
{
	struct fake_handle *handle = opaque;
	int error = fake_xen_enter(FAKE_XEN_RESTRICT);

	if (!error && handle->is_restricted && handle->domid != domid)
		error = EINVAL;
	if (!error) {
		handle->is_restricted = true;
		handle->domid = domid;
		fake_xen.restricted++;
	}
	return fake_xen_leave(error);
}

/* --------------------------------------------------------------- device model */

xendevicemodel_handle *xendevicemodel_open(struct xentoollog_logger *logger, unsigned flags)
{
	return open_handle(FAKE_XEN_DEVICEMODEL_OPEN);
}

int xendevicemodel_close(xendevicemodel_handle *handle)
{
	return close_handle(handle);
}

int xendevicemodel_restrict(xendevicemodel_handle *handle, domid_t domid)
{
	return restrict_handle(handle, domid);
}

int xendevicemodel_nr_vcpus(xendevicemodel_handle *handle, domid_t domid, unsigned *vcpus)
{
	struct fake_guest *guest = NULL;
	int error = fake_xen_enter(FAKE_XEN_NR_VCPUS);

	if (!error)
		error = check_domain(handle, domid, &guest);
	if (!error)
		*vcpus = guest->vcpus;
	return fake_xen_leave(error);
}

static int create_server(struct fake_guest *guest, int buffered, ioservid_t *id)
{
	struct fake_server *server;
	unsigned i = 0;

	if (buffered)
		return EINVAL;
	while (i < FAKE_XEN_SERVERS && guest->servers[i].used)
		i++;
	if (i == FAKE_XEN_SERVERS)
		return ENOSPC;
	if (guest->dying)
		return EINVAL; /* get_free_port() */
	server = &guest->servers[i];
	*server = (struct fake_server){ .used = true, .index = server->index };
	for (unsigned k = 0; k < guest->vcpus; k++)
		server->remote[k] = guest->next_port++;
	*id = (ioservid_t)i;
	return 0;
}

int xendevicemodel_create_ioreq_server(
    xendevicemodel_handle *handle, domid_t domid, int buffered, ioservid_t *id)
{
	struct fake_guest *guest = NULL;
	int error = fake_xen_enter(FAKE_XEN_CREATE_SERVER);

	if (!error)
		error = check_domain(handle, domid, &guest);
	if (!error)
		error = create_server(guest, buffered, id);
	return fake_xen_leave(error);
}

int xendevicemodel_get_ioreq_server_info(xendevicemodel_handle *handle, domid_t domid,
    ioservid_t id, xen_pfn_t *ioreq, xen_pfn_t *buffered, evtchn_port_t *port)
{
	struct fake_guest *guest = NULL;
	struct fake_server *server = NULL;
	int error = fake_xen_enter(FAKE_XEN_SERVER_INFO);

	if (!error)
		error = check_server(handle, domid, id, &guest, &server);
	/* Magic pages are x86's. */
	if (!error && (ioreq || buffered))
		error = EOPNOTSUPP;
	if (!error && port)
		*port = 0;
	return fake_xen_leave(error);
}

int xendevicemodel_set_ioreq_server_state(
    xendevicemodel_handle *handle, domid_t domid, ioservid_t id, int enabled)
{
	struct fake_guest *guest = NULL;
	struct fake_server *server = NULL;
	int error = fake_xen_enter(FAKE_XEN_SERVER_STATE);

	if (!error)
		error = check_server(handle, domid, id, &guest, &server);
	if (!error) {
		shared_iopage_t *page = fake_xen_page(server);

		/* "the contents of the ioreq_gfn are not meaningful until the server is enabled" */
		for (unsigned i = 0; enabled && server->has_page && i < guest->vcpus; i++)
			page->vcpu_ioreq[i].vp_eport = server->remote[i];
		server->enabled = enabled;
	}
	return fake_xen_leave(error);
}

int xendevicemodel_destroy_ioreq_server(xendevicemodel_handle *handle, domid_t domid, ioservid_t id)
{
	struct fake_guest *guest = NULL;
	struct fake_server *server = NULL;
	int error = fake_xen_enter(FAKE_XEN_DESTROY_SERVER);

	if (!error)
		error = check_server(handle, domid, id, &guest, &server);
	if (!error) {
		/* The kernel's ioeventfd handler works on the page: it must be off by now. */
		for (unsigned i = 0; i < FAKE_XEN_KICKS; i++)
			assert(!fake_xen.kicks[i].eventfd.used ||
			       fake_xen.kicks[i].domid != domid || fake_xen.kicks[i].server != id);
		fake_evtchn_disconnect(domid, id);
		server->used = server->enabled = false;
	}
	return fake_xen_leave(error);
}

static int map_range(struct fake_server *server, int mmio, uint64_t start, uint64_t end)
{
	struct fake_range *slot = NULL;

	assert(mmio);
	if (start > end)
		return EINVAL;
	for (unsigned i = 0; i < FAKE_XEN_RANGES; i++) {
		struct fake_range *range = &server->ranges[i];

		if (range->used && start <= range->end && range->start <= end)
			return EEXIST;
		if (!range->used && !slot)
			slot = range;
	}
	if (!slot)
		return ENOMEM;
	*slot = (struct fake_range){ .used = true, .start = start, .end = end };
	return 0;
}

int xendevicemodel_map_io_range_to_ioreq_server(xendevicemodel_handle *handle, domid_t domid,
    ioservid_t id, int mmio, uint64_t start, uint64_t end)
{
	struct fake_guest *guest = NULL;
	struct fake_server *server = NULL;
	int error = fake_xen_enter(FAKE_XEN_MAP_RANGE);

	if (!error)
		error = check_domain(handle, domid, &guest);
	if (!error && start > end)
		error = EINVAL;
	if (!error)
		error = check_server(handle, domid, id, &guest, &server);
	if (!error)
		error = map_range(server, mmio, start, end);
	return fake_xen_leave(error);
}

static int unmap_range(struct fake_server *server, uint64_t start, uint64_t end)
{
	for (unsigned i = 0; i < FAKE_XEN_RANGES; i++)
		if (server->ranges[i].used && server->ranges[i].start == start &&
		    server->ranges[i].end == end) {
			server->ranges[i].used = false;
			return 0;
		}
	return ENOENT;
}

int xendevicemodel_unmap_io_range_from_ioreq_server(xendevicemodel_handle *handle, domid_t domid,
    ioservid_t id, int mmio, uint64_t start, uint64_t end)
{
	struct fake_guest *guest = NULL;
	struct fake_server *server = NULL;
	int error = fake_xen_enter(FAKE_XEN_UNMAP_RANGE);

	if (!error)
		error = check_domain(handle, domid, &guest);
	if (!error && start > end)
		error = EINVAL;
	if (!error)
		error = check_server(handle, domid, id, &guest, &server);
	if (!error)
		error = unmap_range(server, start, end);
	return fake_xen_leave(error);
}

int xendevicemodel_set_irq_level(
    xendevicemodel_handle *handle, domid_t domid, unsigned irq, unsigned level)
{
	struct fake_guest *guest = NULL;
	int error = fake_xen_enter(FAKE_XEN_SET_IRQ_LEVEL);

	if (!error)
		error = check_domain(handle, domid, &guest);
	/* "Only SPIs are supported" */
	if (!error && (irq < FAKE_XEN_IRQ_FIRST || irq >= FAKE_XEN_IRQ_FIRST + FAKE_XEN_IRQS))
		error = EINVAL;
	if (!error && level > 1)
		error = EINVAL;
	if (!error) {
		struct fake_line *line = &guest->lines[irq - FAKE_XEN_IRQ_FIRST];

		line->raised += level;
		line->lowered += !level;
		line->level = level;
		guest->raised += level;
	}
	return fake_xen_leave(error);
}

/* -------------------------------------------------------------- foreign memory */

xenforeignmemory_handle *xenforeignmemory_open(struct xentoollog_logger *logger, unsigned flags)
{
	return open_handle(FAKE_XEN_MEMORY_OPEN);
}

int xenforeignmemory_close(xenforeignmemory_handle *handle)
{
	return close_handle(handle);
}

int xenforeignmemory_restrict(xenforeignmemory_handle *handle, domid_t domid)
{
	return restrict_handle(handle, domid);
}

static int map_resource(struct fake_guest *guest, unsigned type, unsigned id, unsigned long frame,
    unsigned long frames, int prot, void **address)
{
	struct fake_server *server;

	assert(type == XENMEM_resource_ioreq_server && frames == 1);
	if (id >= FAKE_XEN_SERVERS || !guest->servers[id].used)
		return ENOENT;
	server = &guest->servers[id];
	if (!server->has_page)
		memset(fake_xen_page(server), 0, PAGE);
	server->has_page = true;
	if (frame == XENMEM_resource_ioreq_server_frame_bufioreq)
		return ENOENT;
	if (frame != XENMEM_resource_ioreq_server_frame_ioreq(0))
		return EINVAL;
	*address = mmap(
	    NULL, PAGE, prot, MAP_SHARED, fake_xen_page_fd(), (off_t)fake_xen_page_offset(server));
	assert(*address != MAP_FAILED);
	return 0;
}

xenforeignmemory_resource_handle *xenforeignmemory_map_resource(xenforeignmemory_handle *handle,
    domid_t domid, unsigned type, unsigned id, unsigned long frame, unsigned long frames,
    void **address, int prot, int flags)
{
	xenforeignmemory_resource_handle *resource = NULL;
	struct fake_guest *guest = NULL;
	int error = fake_xen_enter(FAKE_XEN_MAP_RESOURCE);

	if (!error)
		error = check_domain(handle, domid, &guest);
	if (!error)
		error = map_resource(guest, type, id, frame, frames, prot, address);
	if (!error) {
		guest->mapped++;
		resource = malloc(sizeof(*resource));
		*resource = (xenforeignmemory_resource_handle){ *address, domid, guest };
	}
	fake_xen_leave(error);
	return resource;
}

int xenforeignmemory_unmap_resource(
    xenforeignmemory_handle *handle, xenforeignmemory_resource_handle *resource)
{
	struct fake_guest *guest = NULL;

	if (!resource)
		return 0;
	guest = resource->guest;
	fake_xen_lock();
	assert(guest->mapped && guest->domid == resource->domid);
	munmap(resource->address, PAGE);
	if (--guest->mapped == 0 && guest->dying)
		guest->exists = false;
	fake_xen_unlock();
	free(resource);
	return 0;
}

/* --------------------------------------------------------------------- privcmd */

int privcmd_open(uint16_t domid)
{
	int error = fake_xen_enter(FAKE_XEN_PRIVCMD_OPEN);

	if (fake_xen_leave(error) < 0)
		return -error;
	return open("/dev/null", O_RDWR | O_CLOEXEC);
}

bool privcmd_is_locked(void)
{
	return false;
}

/* The kernel's reference to an eventfd. */
static int fake_eventfd_get(struct fake_eventfd *eventfd, int fd, uint64_t identity)
{
	*eventfd = (struct fake_eventfd){
		.used = true,
		.identity = identity,
		.pid = getpid(),
		.fd = fcntl(fd, F_DUPFD_CLOEXEC, 0),
	};
	return eventfd->fd < 0 ? errno : 0;
}

static void fake_eventfd_put(struct fake_eventfd *eventfd)
{
	if (eventfd->pid == getpid())
		close(eventfd->fd);
	eventfd->used = false;
}

static int set_irqfd(uint16_t domid, uint32_t irq, int fd, bool on)
{
	uint64_t identity;
	int slot = -1, error = -fake_eventfd_id(fd, &identity);

	if (error)
		return error;
	for (int i = 0; i < FAKE_XEN_KICKS; i++) {
		if (!fake_xen.irqfds[i].eventfd.used) {
			slot = i;
			continue;
		}
		if (fake_xen.irqfds[i].eventfd.identity != identity)
			continue;
		if (on)
			return EBUSY;
		fake_eventfd_put(&fake_xen.irqfds[i].eventfd);
		return 0;
	}
	if (!on)
		return 0;
	assert(slot >= 0);
	fake_xen.irqfds[slot].domid = domid;
	fake_xen.irqfds[slot].irq = irq;
	return fake_eventfd_get(&fake_xen.irqfds[slot].eventfd, fd, identity);
}

int privcmd_set_irqfd(int privcmd, uint16_t domid, uint32_t irq, int fd, bool on)
{
	int error = fake_xen_enter(FAKE_XEN_IRQFD);

	if (!error)
		error = fake_xen.eventfds ? set_irqfd(domid, irq, fd, on) : EOPNOTSUPP;
	fake_xen_leave(0);
	return -error;
}

/* The server whose page and ports these are. */
static unsigned server_of(uint16_t domid, const struct privcmd_kick *kick)
{
	struct fake_guest *guest = fake_guest(domid);
	const shared_iopage_t *page = kick->ioreq_page;

	assert(kick->vcpus == guest->vcpus);
	if (guest->dying)
		return FAKE_XEN_SERVERS; /* the kernel does not ask */
	for (unsigned i = 0; i < FAKE_XEN_SERVERS; i++) {
		if (!guest->servers[i].used ||
		    guest->servers[i].remote[0] != page->vcpu_ioreq[0].vp_eport)
			continue;
		for (unsigned k = 0; k < guest->vcpus; k++) {
			unsigned n = 0;

			while (n < FAKE_XEN_PORTS &&
			       (!fake_xen.ports[n].used || fake_xen.ports[n].domid != domid ||
				   fake_xen.ports[n].remote != guest->servers[i].remote[k]))
				n++;
			assert(n < FAKE_XEN_PORTS && kick->ports[k] == n + 10);
		}
		return i;
	}
	assert(!"a page of no server");
	return 0;
}

static int set_ioeventfd(uint16_t domid, const struct privcmd_kick *kick, bool on)
{
	uint64_t identity;
	int slot = -1, error = -fake_eventfd_id(kick->fd, &identity);

	if (error)
		return error;
	for (int i = 0; i < FAKE_XEN_KICKS; i++) {
		if (!fake_xen.kicks[i].eventfd.used) {
			slot = i;
			continue;
		}
		if (fake_xen.kicks[i].eventfd.identity != identity)
			continue;
		if (on)
			return EBUSY;
		fake_eventfd_put(&fake_xen.kicks[i].eventfd);
		return 0;
	}
	if (!on)
		return ENODEV;
	assert(slot >= 0);
	fake_xen.kicks[slot].domid = domid;
	fake_xen.kicks[slot].server = server_of(domid, kick);
	fake_xen.kicks[slot].base = kick->base;
	fake_xen.kicks[slot].queue = kick->queue;
	return fake_eventfd_get(&fake_xen.kicks[slot].eventfd, kick->fd, identity);
}

int privcmd_set_ioeventfd(int privcmd, uint16_t domid, const struct privcmd_kick *kick, bool on)
{
	int error = fake_xen_enter(FAKE_XEN_IOEVENTFD);

	if (!error)
		error = fake_xen.eventfds ? set_ioeventfd(domid, kick, on) : EOPNOTSUPP;
	fake_xen_leave(0);
	return -error;
}
