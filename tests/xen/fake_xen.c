/* SPDX-License-Identifier: MIT */
/* The fake Xen's state, its faults, and the guests' side. */
#include "tests/xen/fake_xen.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <xen/hvm/ioreq.h>

#define NOTIFY 0x50
#define PAGE 4096
#define PAGES (FAKE_XEN_GUESTS * FAKE_XEN_SERVERS)
#define FIRST_REMOTE_PORT 40

struct fake_xen_machine *fake_xen_state;
void (*fake_xen_on_call)(enum fake_xen_call call);

static int page_fd = -1;
static uint8_t *pages;

/* ----------------------------------------------------------------- life time */

void fake_xen_finish(void)
{
	if (!fake_xen_state)
		return;
	fake_evtchn_finish();
	munmap(pages, (size_t)PAGES * PAGE);
	close(page_fd);
	munmap(fake_xen_state, sizeof(*fake_xen_state));
	fake_xen_state = NULL;
}

void fake_xen_reset(unsigned vcpus)
{
	pthread_mutexattr_t attributes;

	fake_xen_finish();
	fake_xen_state = mmap(NULL, sizeof(*fake_xen_state), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	page_fd = memfd_create("ioreq", MFD_CLOEXEC);
	assert(fake_xen_state != MAP_FAILED && page_fd >= 0);
	assert(ftruncate(page_fd, (off_t)PAGES * PAGE) == 0);
	pages = mmap(NULL, (size_t)PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, page_fd, 0);
	assert(pages != MAP_FAILED);
	pthread_mutexattr_init(&attributes);
	pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
	pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
	pthread_mutex_init(&fake_xen.lock, &attributes);
	pthread_mutexattr_destroy(&attributes);
	fake_evtchn_reset();
	fake_xen_create_guest(FAKE_XEN_GUEST, vcpus);
}

void *fake_xen_page(const struct fake_server *server)
{
	return pages + (size_t)server->index * PAGE;
}

int fake_xen_page_fd(void)
{
	return page_fd;
}

size_t fake_xen_page_offset(const struct fake_server *server)
{
	return (size_t)server->index * PAGE;
}

static ioreq_t *request_of(struct fake_guest *guest, unsigned vcpu)
{
	shared_iopage_t *page = fake_xen_page(&guest->servers[guest->vcpu[vcpu].server]);

	return &page->vcpu_ioreq[vcpu];
}

/* ------------------------------------------------------------------- entering */

/* Xen: "device model set bad IO state", and the guest is crashed. */
static void check_states(void)
{
	for (unsigned i = 0; i < FAKE_XEN_GUESTS; i++) {
		struct fake_guest *guest = &fake_xen.guests[i];

		for (unsigned k = 0; guest->exists && !guest->dying && k < guest->vcpus; k++) {
			unsigned state = request_of(guest, k)->state;

			if (!guest->vcpu[k].open)
				continue;
			assert(state >= guest->vcpu[k].seen);
			guest->vcpu[k].seen = (uint8_t)state;
		}
	}
}

void fake_xen_lock(void)
{
	if (pthread_mutex_lock(&fake_xen.lock) == EOWNERDEAD)
		pthread_mutex_consistent(&fake_xen.lock);
}

void fake_xen_unlock(void)
{
	pthread_mutex_unlock(&fake_xen.lock);
}

int fake_xen_enter(enum fake_xen_call call)
{
	unsigned n;

	fake_xen_lock();
	check_states();
	fake_evtchn_sweep();
	if (fake_xen_on_call)
		fake_xen_on_call(call);
	n = ++fake_xen.calls[call].calls;
	return fake_xen.calls[call].error && n >= fake_xen.calls[call].first &&
		       n - fake_xen.calls[call].first < fake_xen.calls[call].times
		   ? fake_xen.calls[call].error
		   : 0;
}

int fake_xen_leave(int error)
{
	fake_xen_unlock();
	if (!error)
		return 0;
	errno = error;
	return -1;
}

void fake_xen_fail(enum fake_xen_call call, unsigned nth, unsigned times, int error)
{
	fake_xen.calls[call].first = fake_xen.calls[call].calls + nth;
	fake_xen.calls[call].times = times;
	fake_xen.calls[call].error = error;
}

void fake_xen_heal(void)
{
	for (unsigned i = 0; i < FAKE_XEN_CALL_COUNT; i++)
		fake_xen.calls[i].error = 0;
}

const char *fake_xen_call_name(enum fake_xen_call call)
{
	static const char *const names[] = {
#define X(name) #name,
		FAKE_XEN_CALLS(X)
#undef X
	};

	return names[call];
}

unsigned fake_xen_calls(void)
{
	unsigned count = 0;

	for (unsigned i = 0; i < FAKE_XEN_CALL_COUNT; i++)
		count += fake_xen.calls[i].calls;
	return count;
}

/* -------------------------------------------------------------------- handles */

struct fake_handle *fake_xen_open(void)
{
	struct fake_handle *handle = calloc(1, sizeof(*handle));

	handle->fd = -1;
	while (handle->slot < FAKE_XEN_HANDLES && fake_xen.handles[handle->slot].pid)
		handle->slot++;
	assert(handle->slot < FAKE_XEN_HANDLES);
	fake_xen.handles[handle->slot].pid = getpid();
	return handle;
}

void fake_xen_close(struct fake_handle *handle)
{
	fake_xen.handles[handle->slot].pid = 0;
	free(handle);
}

unsigned fake_xen_handles(void)
{
	unsigned count = 0;

	for (unsigned i = 0; i < FAKE_XEN_HANDLES; i++) {
		if (!fake_xen.handles[i].pid)
			continue;
		if (kill(fake_xen.handles[i].pid, 0) < 0)
			fake_xen.handles[i].pid = 0;
		else
			count++;
	}
	return count;
}

/* ------------------------------------------------------------------- counting */

unsigned fake_xen_servers(void)
{
	unsigned count = 0;

	for (unsigned i = 0; i < FAKE_XEN_GUESTS; i++)
		for (unsigned k = 0; k < FAKE_XEN_SERVERS; k++)
			count += fake_xen.guests[i].servers[k].used;
	return count;
}

unsigned fake_xen_ranges(void)
{
	unsigned count = 0;

	for (unsigned i = 0; i < FAKE_XEN_GUESTS; i++)
		for (unsigned k = 0; k < FAKE_XEN_SERVERS; k++)
			for (unsigned n = 0; n < FAKE_XEN_RANGES; n++)
				count += fake_xen.guests[i].servers[k].used &&
					 fake_xen.guests[i].servers[k].ranges[n].used;
	return count;
}

unsigned fake_xen_bound(void)
{
	unsigned count = 0;

	fake_xen_lock();
	fake_evtchn_sweep();
	for (unsigned i = 0; i < FAKE_XEN_PORTS; i++)
		count += fake_xen.ports[i].used;
	fake_xen_unlock();
	return count;
}

unsigned fake_xen_irqfds(void)
{
	unsigned count = 0;

	for (unsigned i = 0; i < FAKE_XEN_KICKS; i++)
		count += fake_xen.irqfds[i].eventfd.used;
	return count;
}

unsigned fake_xen_kicks(void)
{
	unsigned count = 0;

	for (unsigned i = 0; i < FAKE_XEN_KICKS; i++)
		count += fake_xen.kicks[i].eventfd.used;
	return count;
}

/* --------------------------------------------------------------------- guests */

struct fake_guest *fake_xen_find(uint16_t domid)
{
	for (unsigned i = 0; i < FAKE_XEN_GUESTS; i++)
		if (fake_xen.guests[i].exists && fake_xen.guests[i].domid == domid)
			return &fake_xen.guests[i];
	return NULL;
}

struct fake_guest *fake_guest(uint16_t domid)
{
	struct fake_guest *guest = fake_xen_find(domid);

	assert(guest);
	return guest;
}

struct fake_line *fake_line(uint16_t domid, uint32_t irq)
{
	return &fake_guest(domid)->lines[irq - FAKE_XEN_IRQ_FIRST];
}

struct fake_guest *fake_xen_create_guest(uint16_t domid, unsigned vcpus)
{
	unsigned i = 0;

	assert(!fake_xen_find(domid) && vcpus <= FAKE_XEN_VCPUS);
	while (i < FAKE_XEN_GUESTS && fake_xen.guests[i].exists)
		i++;
	assert(i < FAKE_XEN_GUESTS);
	fake_xen.guests[i] = (struct fake_guest){
		.domid = domid,
		.exists = true,
		.vcpus = vcpus,
		.next_port = FIRST_REMOTE_PORT,
	};
	for (unsigned k = 0; k < FAKE_XEN_SERVERS; k++)
		fake_xen.guests[i].servers[k].index = i * FAKE_XEN_SERVERS + k;
	return &fake_xen.guests[i];
}

void fake_xen_destroy_guest(uint16_t domid)
{
	struct fake_guest *guest = fake_guest(domid);

	fake_xen_lock();
	guest->dying = true;
	for (unsigned i = 0; i < FAKE_XEN_SERVERS; i++) {
		if (guest->servers[i].used)
			fake_evtchn_disconnect(domid, i);
		guest->servers[i].used = false;
	}
	guest->exists = guest->mapped > 0;
	fake_xen_unlock();
}

void fake_xen_pause_guest(uint16_t domid, bool paused)
{
	fake_guest(domid)->paused = paused;
}

/* ------------------------------------------------------------------- accesses */

static int claimed(const struct fake_guest *guest, uint64_t address, uint32_t size)
{
	for (unsigned i = 0; i < FAKE_XEN_SERVERS; i++) {
		const struct fake_server *server = &guest->servers[i];

		for (unsigned k = 0; server->used && server->enabled && k < FAKE_XEN_RANGES; k++)
			if (server->ranges[k].used && address >= server->ranges[k].start &&
			    address + size - 1 <= server->ranges[k].end)
				return (int)i;
	}
	return -1;
}

static void post(struct fake_guest *guest, unsigned vcpu, unsigned server, const ioreq_t *request)
{
	ioreq_t *shared;

	assert(!guest->paused && !guest->dying && !guest->vcpu[vcpu].open);
	guest->vcpu[vcpu].server = server;
	guest->vcpu[vcpu].open = true;
	guest->vcpu[vcpu].woken = false;
	guest->vcpu[vcpu].seen = STATE_IOREQ_READY;
	shared = request_of(guest, vcpu);
	assert(shared->state == STATE_IOREQ_NONE);
	*shared = *request;
	shared->vp_eport = guest->servers[server].remote[vcpu];
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	shared->state = STATE_IOREQ_READY;
}

void fake_xen_request(uint16_t domid, unsigned vcpu, uint8_t type, uint64_t address)
{
	const ioreq_t request = {
		.addr = address, .size = 8, .count = 1, .dir = IOREQ_READ, .type = type
	};
	struct fake_guest *guest = fake_guest(domid);
	unsigned server = 0;

	fake_xen_lock();
	while (server < FAKE_XEN_SERVERS && !guest->servers[server].used)
		server++;
	assert(server < FAKE_XEN_SERVERS);
	post(guest, vcpu, server, &request);
	fake_evtchn_send(domid, guest->servers[server].remote[vcpu]);
	fake_xen_unlock();
}

/* Does the kernel's ioeventfd handler take it? */
static bool taken_by_kernel(struct fake_guest *guest, unsigned vcpu, unsigned server)
{
	ioreq_t *request = request_of(guest, vcpu);

	for (unsigned i = 0; i < FAKE_XEN_KICKS; i++) {
		if (!fake_xen.kicks[i].eventfd.used || fake_xen.kicks[i].domid != guest->domid ||
		    fake_xen.kicks[i].server != server || request->dir != IOREQ_WRITE ||
		    request->size != 4 || request->addr != fake_xen.kicks[i].base + NOTIFY ||
		    (request->data & 0xffff) != fake_xen.kicks[i].queue)
			continue;
		eventfd_write(fake_eventfd_here(&fake_xen.kicks[i].eventfd), 1);
		guest->fast_kicks++;
		request->state = STATE_IORESP_READY;
		guest->vcpu[vcpu].woken = true;
		return true;
	}
	return false;
}

bool fake_xen_access(
    uint16_t domid, unsigned vcpu, bool write, uint64_t address, uint32_t size, uint64_t value)
{
	const ioreq_t request = {
		.addr = address,
		.data = value,
		.size = size,
		.count = 1,
		.dir = write ? IOREQ_WRITE : IOREQ_READ,
		.type = IOREQ_TYPE_COPY,
	};
	struct fake_guest *guest = fake_guest(domid);
	int server;

	fake_xen_lock();
	server = claimed(guest, address, size);
	if (server >= 0) {
		post(guest, vcpu, (unsigned)server, &request);
		/* gpudomd is woken for nothing where the kernel answers. */
		if (!taken_by_kernel(guest, vcpu, (unsigned)server) && fake_xen.flickers && write) {
			request_of(guest, vcpu)->state = STATE_IOREQ_INPROCESS;
			guest->vcpu[vcpu].flickers = true;
		}
		fake_evtchn_send(domid, guest->servers[server].remote[vcpu]);
	}
	fake_xen_unlock();
	return server >= 0;
}

unsigned fake_xen_request_state(uint16_t domid, unsigned vcpu)
{
	return request_of(fake_guest(domid), vcpu)->state;
}

bool fake_xen_answered(uint16_t domid, unsigned vcpu, uint64_t *value)
{
	struct fake_guest *guest = fake_guest(domid);
	ioreq_t *request;
	bool answered;

	fake_xen_lock();
	check_states();
	request = request_of(guest, vcpu);
	answered = guest->vcpu[vcpu].open && guest->vcpu[vcpu].woken && !guest->paused &&
		   !guest->dying && request->state == STATE_IORESP_READY;
	if (answered) {
		*value = request->data;
		request->state = STATE_IOREQ_NONE;
		guest->vcpu[vcpu].open = false;
	}
	fake_xen_unlock();
	return answered;
}

/* ------------------------------------------------------------------- eventfds */

int fake_eventfd_id(int fd, uint64_t *identity)
{
	char path[64], line[128];
	static const char key[] = "eventfd-id:";
	bool found = false;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	file = fopen(path, "re");
	if (!file)
		return -EBADF;
	while (!found && fgets(line, sizeof(line), file))
		found = !strncmp(line, key, sizeof(key) - 1);
	fclose(file);
	if (found)
		*identity = strtoull(line + sizeof(key) - 1, NULL, 10);
	return found ? 0 : -EINVAL;
}

int fake_eventfd_here(struct fake_eventfd *eventfd)
{
	int pidfd, fd;

	if (eventfd->pid == getpid())
		return eventfd->fd;
	/* The kernel has a reference of its own; we borrow that of the process. */
	pidfd = (int)syscall(SYS_pidfd_open, eventfd->pid, 0);
	if (pidfd < 0)
		return -1;
	fd = (int)syscall(SYS_pidfd_getfd, pidfd, eventfd->fd, 0);
	close(pidfd);
	if (fd < 0)
		return -1;
	eventfd->pid = getpid();
	eventfd->fd = fd;
	return fd;
}

bool fake_xen_step(void)
{
	eventfd_t count;
	bool done = false;

	fake_xen_lock();
	check_states();
	for (unsigned i = 0; i < FAKE_XEN_KICKS; i++) {
		struct fake_guest *guest = fake_xen_find(fake_xen.irqfds[i].domid);
		struct fake_line *line;

		if (!fake_xen.irqfds[i].eventfd.used ||
		    eventfd_read(fake_eventfd_here(&fake_xen.irqfds[i].eventfd), &count) < 0)
			continue;
		done = true;
		if (!guest || guest->dying)
			continue;
		line = &guest->lines[fake_xen.irqfds[i].irq - FAKE_XEN_IRQ_FIRST];
		line->raised++;
		line->level = true;
		guest->raised++;
	}
	for (unsigned i = 0; i < FAKE_XEN_GUESTS; i++) {
		struct fake_guest *guest = &fake_xen.guests[i];

		for (unsigned k = 0; guest->exists && k < guest->vcpus; k++) {
			/* After gpudomd has seen the event, and without another. */
			if (!guest->vcpu[k].flickers ||
			    !fake_evtchn_is_idle(
				guest->domid, guest->servers[guest->vcpu[k].server].remote[k]))
				continue;
			assert(request_of(guest, k)->state == STATE_IOREQ_INPROCESS);
			request_of(guest, k)->state = STATE_IOREQ_READY;
			guest->vcpu[k].seen = STATE_IOREQ_READY;
			guest->vcpu[k].flickers = false;
			done = true;
		}
	}
	fake_xen_unlock();
	return done;
}
