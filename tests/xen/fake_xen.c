/* SPDX-License-Identifier: MIT */
#include "tests/xen/fake_xen.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xen/hvm/ioreq.h>
#include <xendevicemodel.h>
#include <xenevtchn.h>
#include <xenforeignmemory.h>

#include "xen/privcmd.h"

#define REMOTE_PORT(vcpu) (40u + (vcpu)) /* in the guest */
#define LOCAL_PORT(vcpu) (10u + (vcpu))  /* in this domain */
#define NOTIFY 0x50

struct fake_xen fake_xen = { .irqfd = -1 };

static shared_iopage_t *page;
static bool mapped, bound[FAKE_XEN_VCPUS], pending[FAKE_XEN_VCPUS], masked[FAKE_XEN_VCPUS];
static bool flickering[FAKE_XEN_VCPUS];
static int event_fd = -1; /* readable while a port is pending */

void fake_xen_finish(void)
{
	if (page)
		munmap(page, 4096);
	page = NULL;
	if (event_fd >= 0)
		close(event_fd);
	event_fd = -1;
}

void fake_xen_reset(unsigned vcpus)
{
	fake_xen_finish();
	assert(vcpus <= FAKE_XEN_VCPUS);
	fake_xen = (struct fake_xen){ .vcpus = vcpus, .irqfd = -1 };
	page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert(page != MAP_FAILED && event_fd >= 0);
	memset(bound, 0, sizeof(bound));
	memset(pending, 0, sizeof(pending));
	memset(masked, 0, sizeof(masked));
	memset(flickering, 0, sizeof(flickering));
	mapped = false;
}

/* Fails like a library's call: -1 with errno. */
static int outcome(int error)
{
	if (fake_xen.gone)
		error = ESRCH;
	errno = error;
	return error ? -1 : 0;
}

static void set_event(void)
{
	eventfd_t count;

	(void)eventfd_read(event_fd, &count);
	for (unsigned i = 0; i < fake_xen.vcpus; i++)
		if (pending[i] && !masked[i] && bound[i])
			eventfd_write(event_fd, 1);
}

/* ------------------------------------------------------------- the guest's side */

static bool claimed(uint64_t address, uint32_t size)
{
	for (unsigned i = 0; i < FAKE_XEN_RANGES; i++)
		if (fake_xen.ranges[i].end && address >= fake_xen.ranges[i].start &&
		    address + size - 1 <= fake_xen.ranges[i].end)
			return true;
	return false;
}

static void post(unsigned vcpu, const ioreq_t *request)
{
	ioreq_t *shared = &page->vcpu_ioreq[vcpu];
	uint32_t port = REMOTE_PORT(vcpu);

	/* "device model set bad IO state" */
	assert(shared->state == STATE_IOREQ_NONE);
	*shared = *request;
	shared->vp_eport = port;
	shared->state = STATE_IOREQ_READY;
	pending[vcpu] = true;
	set_event();
}

void fake_xen_request(unsigned vcpu, uint8_t type, uint64_t address)
{
	const ioreq_t request = {
		.addr = address, .size = 8, .count = 1, .dir = IOREQ_READ, .type = type
	};

	post(vcpu, &request);
}

bool fake_xen_access(unsigned vcpu, bool write, uint64_t address, uint32_t size, uint64_t value)
{
	ioreq_t request = {
		.addr = address,
		.data = value,
		.size = size,
		.count = 1,
		.dir = write ? IOREQ_WRITE : IOREQ_READ,
		.type = IOREQ_TYPE_COPY,
	};

	if (!fake_xen.servers || !claimed(address, size))
		return false;
	for (unsigned i = 0; i < fake_xen.kick_count; i++) {
		if (!write || size != 4 || address != fake_xen.kicks[i].base + NOTIFY ||
		    (value & 0xffff) != fake_xen.kicks[i].queue)
			continue;
		/* The kernel answers, and gpudomd is woken for nothing. */
		assert(page->vcpu_ioreq[vcpu].state == STATE_IOREQ_NONE);
		eventfd_write(fake_xen.kicks[i].fd, 1);
		fake_xen.fast_kicks++;
		page->vcpu_ioreq[vcpu].data = 0;
		page->vcpu_ioreq[vcpu].state = STATE_IORESP_READY;
		pending[vcpu] = true;
		set_event();
		return true;
	}
	post(vcpu, &request);
	if (fake_xen.flickers && write) {
		page->vcpu_ioreq[vcpu].state = STATE_IOREQ_INPROCESS;
		flickering[vcpu] = true;
	}
	return true;
}

bool fake_xen_answered(unsigned vcpu, uint64_t *value)
{
	ioreq_t *request = &page->vcpu_ioreq[vcpu];

	if (request->state != STATE_IORESP_READY)
		return false;
	*value = request->data;
	request->state = STATE_IOREQ_NONE;
	return true;
}

bool fake_xen_step(void)
{
	eventfd_t count;
	bool done = false;

	if (fake_xen.irqfd >= 0 && eventfd_read(fake_xen.irqfd, &count) == 0) {
		fake_xen.raised++;
		fake_xen.level = true;
		done = true;
	}
	for (unsigned i = 0; i < fake_xen.vcpus; i++) {
		/* After gpudomd has seen the event, and without another. */
		if (!flickering[i] || pending[i])
			continue;
		assert(page->vcpu_ioreq[i].state == STATE_IOREQ_INPROCESS);
		page->vcpu_ioreq[i].state = STATE_IOREQ_READY;
		flickering[i] = false;
		done = true;
	}
	return done;
}

/* --------------------------------------------------------------- device model */

xendevicemodel_handle *xendevicemodel_open(struct xentoollog_logger *logger, unsigned flags)
{
	fake_xen.handles++;
	return (xendevicemodel_handle *)&fake_xen;
}

int xendevicemodel_close(xendevicemodel_handle *handle)
{
	fake_xen.handles--;
	return 0;
}

int xendevicemodel_restrict(xendevicemodel_handle *handle, domid_t domid)
{
	fake_xen.restricted += domid == FAKE_XEN_GUEST;
	return 0;
}

int xendevicemodel_nr_vcpus(xendevicemodel_handle *handle, domid_t domid, unsigned *vcpus)
{
	*vcpus = fake_xen.vcpus;
	return outcome(fake_xen.nr_vcpus_error);
}

int xendevicemodel_create_ioreq_server(
    xendevicemodel_handle *handle, domid_t domid, int buffered, ioservid_t *id)
{
	if (outcome(fake_xen.create_error) < 0)
		return -1;
	assert(domid == FAKE_XEN_GUEST && !buffered && !fake_xen.servers);
	fake_xen.servers++;
	*id = 0;
	return 0;
}

int xendevicemodel_destroy_ioreq_server(xendevicemodel_handle *handle, domid_t domid, ioservid_t id)
{
	/* The kernel's ioeventfd handler works on the page: it must be off by now. */
	assert(!fake_xen.kick_count && fake_xen.servers);
	fake_xen.servers--;
	memset(fake_xen.ranges, 0, sizeof(fake_xen.ranges));
	memset(page, 0, 4096);
	return outcome(0);
}

int xendevicemodel_set_ioreq_server_state(
    xendevicemodel_handle *handle, domid_t domid, ioservid_t id, int enabled)
{
	/* "the contents of the ioreq_gfn are not meaningful until the server is enabled" */
	for (unsigned i = 0; i < fake_xen.vcpus; i++)
		page->vcpu_ioreq[i].vp_eport = enabled ? REMOTE_PORT(i) : 0;
	return outcome(0);
}

int xendevicemodel_map_io_range_to_ioreq_server(xendevicemodel_handle *handle, domid_t domid,
    ioservid_t id, int mmio, uint64_t start, uint64_t end)
{
	if (outcome(fake_xen.claim_error) < 0)
		return -1;
	for (unsigned i = 0; i < FAKE_XEN_RANGES; i++) {
		if (fake_xen.ranges[i].end)
			continue;
		fake_xen.ranges[i].start = start;
		fake_xen.ranges[i].end = end;
		return 0;
	}
	return outcome(ENOSPC);
}

int xendevicemodel_unmap_io_range_from_ioreq_server(xendevicemodel_handle *handle, domid_t domid,
    ioservid_t id, int mmio, uint64_t start, uint64_t end)
{
	for (unsigned i = 0; i < FAKE_XEN_RANGES; i++)
		if (fake_xen.ranges[i].start == start && fake_xen.ranges[i].end == end)
			fake_xen.ranges[i].end = 0;
	return outcome(0);
}

int xendevicemodel_set_irq_level(
    xendevicemodel_handle *handle, domid_t domid, unsigned irq, unsigned level)
{
	if (outcome(0) < 0)
		return -1;
	fake_xen.irq = irq;
	fake_xen.raised += level;
	fake_xen.lowered += !level;
	fake_xen.level = level;
	return 0;
}

/* -------------------------------------------------------------- foreign memory */

xenforeignmemory_handle *xenforeignmemory_open(struct xentoollog_logger *logger, unsigned flags)
{
	fake_xen.handles++;
	return (xenforeignmemory_handle *)&fake_xen;
}

int xenforeignmemory_close(xenforeignmemory_handle *handle)
{
	fake_xen.handles--;
	return 0;
}

int xenforeignmemory_restrict(xenforeignmemory_handle *handle, domid_t domid)
{
	fake_xen.restricted += domid == FAKE_XEN_GUEST;
	return 0;
}

xenforeignmemory_resource_handle *xenforeignmemory_map_resource(xenforeignmemory_handle *handle,
    domid_t domid, unsigned type, unsigned id, unsigned long frame, unsigned long frames,
    void **address, int prot, int flags)
{
	if (outcome(fake_xen.resource_error) < 0)
		return NULL;
	assert(!mapped);
	mapped = true;
	*address = page;
	return (xenforeignmemory_resource_handle *)page;
}

int xenforeignmemory_unmap_resource(
    xenforeignmemory_handle *handle, xenforeignmemory_resource_handle *resource)
{
	/* The kernel would go on to use the page. */
	assert(mapped && !fake_xen.kick_count);
	mapped = false;
	return 0;
}

/* -------------------------------------------------------------- event channels */

xenevtchn_handle *xenevtchn_open(struct xentoollog_logger *logger, unsigned flags)
{
	fake_xen.handles++;
	return (xenevtchn_handle *)&fake_xen;
}

int xenevtchn_close(xenevtchn_handle *handle)
{
	fake_xen.handles--;
	return 0;
}

int xenevtchn_restrict(xenevtchn_handle *handle, domid_t domid)
{
	fake_xen.restricted += domid == FAKE_XEN_GUEST;
	return 0;
}

int xenevtchn_fd(xenevtchn_handle *handle)
{
	return event_fd;
}

xenevtchn_port_or_error_t xenevtchn_bind_interdomain(
    xenevtchn_handle *handle, uint32_t domid, evtchn_port_t remote)
{
	unsigned vcpu = remote - REMOTE_PORT(0);

	if (outcome(fake_xen.bind_error) < 0)
		return -1;
	assert(vcpu < fake_xen.vcpus && !bound[vcpu]);
	bound[vcpu] = true;
	set_event();
	return (int)LOCAL_PORT(vcpu);
}

int xenevtchn_unbind(xenevtchn_handle *handle, evtchn_port_t port)
{
	unsigned vcpu = port - LOCAL_PORT(0);

	assert(vcpu < fake_xen.vcpus && bound[vcpu]);
	bound[vcpu] = false;
	return 0;
}

xenevtchn_port_or_error_t xenevtchn_pending(xenevtchn_handle *handle)
{
	for (unsigned i = 0; i < fake_xen.vcpus; i++) {
		if (!pending[i] || masked[i])
			continue;
		pending[i] = false;
		masked[i] = true;
		set_event();
		return (int)LOCAL_PORT(i);
	}
	errno = EAGAIN;
	return -1;
}

int xenevtchn_unmask(xenevtchn_handle *handle, evtchn_port_t port)
{
	masked[port - LOCAL_PORT(0)] = false;
	set_event();
	return 0;
}

int xenevtchn_notify(xenevtchn_handle *handle, evtchn_port_t port)
{
	/* A vCPU that is woken for nothing is a defect. */
	assert(page->vcpu_ioreq[port - LOCAL_PORT(0)].state == STATE_IORESP_READY);
	return 0;
}

/* --------------------------------------------------------------------- privcmd */

int privcmd_open(uint16_t domid)
{
	return open("/dev/null", O_RDWR | O_CLOEXEC);
}

bool privcmd_is_locked(void)
{
	return false;
}

int privcmd_set_irqfd(int privcmd, uint16_t domid, uint32_t irq, int fd, bool on)
{
	if (!fake_xen.eventfds)
		return -EOPNOTSUPP;
	assert(on == (fake_xen.irqfd < 0));
	fake_xen.irqfd = on ? fd : -1;
	return 0;
}

int privcmd_set_ioeventfd(int privcmd, uint16_t domid, const struct privcmd_kick *kick, bool on)
{
	if (!fake_xen.eventfds)
		return -EOPNOTSUPP;
	assert(kick->ioreq_page == page && kick->vcpus == fake_xen.vcpus);
	for (unsigned i = 0; i < fake_xen.vcpus; i++)
		assert(kick->ports[i] == LOCAL_PORT(i));
	if (!on) {
		assert(fake_xen.kick_count);
		for (unsigned i = 0; i < fake_xen.kick_count; i++)
			if (fake_xen.kicks[i].fd == kick->fd)
				fake_xen.kicks[i] = fake_xen.kicks[--fake_xen.kick_count];
		return 0;
	}
	fake_xen.kicks[fake_xen.kick_count].base = kick->base;
	fake_xen.kicks[fake_xen.kick_count].queue = kick->queue;
	fake_xen.kicks[fake_xen.kick_count++].fd = kick->fd;
	return 0;
}
