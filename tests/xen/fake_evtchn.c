/* SPDX-License-Identifier: MIT */
/*
 * The fake Xen: libxenevtchn. An open /dev/xen/evtchn is a pipe: ports stay bound, and events
 * wait in it, for as long as some process has its end of it. As Linux' driver, a port whose event
 * was read is masked until it is written back; a notification in between is not lost.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xen/hvm/ioreq.h>
#include <xenevtchn.h>

#include "tests/xen/fake_xen.h"

#define FIRST_PORT 10 /* local */

void fake_evtchn_reset(void)
{
	for (unsigned i = 0; i < FAKE_XEN_DEVICES; i++) {
		struct stat info;
		int fds[2];

		assert(pipe2(fds, O_CLOEXEC | O_NONBLOCK) == 0 && fstat(fds[1], &info) == 0);
		close(fds[0]);
		fake_xen.devices[i].open = false;
		fake_xen.devices[i].write_fd = fds[1];
		fake_xen.devices[i].inode = info.st_ino;
	}
}

void fake_evtchn_finish(void)
{
	for (unsigned i = 0; i < FAKE_XEN_DEVICES; i++)
		close(fake_xen.devices[i].write_fd);
}

void fake_evtchn_sweep(void)
{
	for (unsigned i = 0; i < FAKE_XEN_DEVICES; i++) {
		struct pollfd readers = { .fd = fake_xen.devices[i].write_fd };

		if (!fake_xen.devices[i].open || poll(&readers, 1, 0) == 0)
			continue;
		assert(readers.revents & POLLERR);
		fake_xen.devices[i].open = false;
		for (unsigned k = 0; k < FAKE_XEN_PORTS; k++)
			if (fake_xen.ports[k].used && fake_xen.ports[k].device == i)
				fake_xen.ports[k].used = false;
	}
}

static void fire(unsigned index)
{
	evtchn_port_t port = FIRST_PORT + index;

	if (fake_xen.ports[index].masked) {
		fake_xen.ports[index].pending = true;
		return;
	}
	fake_xen.ports[index].masked = true;
	assert(write(fake_xen.devices[fake_xen.ports[index].device].write_fd, &port,
		   sizeof(port)) == sizeof(port));
}

static int find_remote(uint16_t domid, uint32_t remote)
{
	for (int i = 0; i < FAKE_XEN_PORTS; i++)
		if (fake_xen.ports[i].used && fake_xen.ports[i].connected &&
		    fake_xen.ports[i].domid == domid && fake_xen.ports[i].remote == remote)
			return i;
	return -1;
}

void fake_evtchn_send(uint16_t domid, uint32_t remote)
{
	int index;

	fake_evtchn_sweep();
	index = find_remote(domid, remote);
	/* "silently drop the notification" */
	if (index >= 0)
		fire((unsigned)index);
}

bool fake_evtchn_is_idle(uint16_t domid, uint32_t remote)
{
	int index = find_remote(domid, remote);

	return index < 0 || !fake_xen.ports[index].masked;
}

void fake_evtchn_disconnect(uint16_t domid, unsigned server)
{
	for (unsigned i = 0; i < FAKE_XEN_PORTS; i++)
		if (fake_xen.ports[i].used && fake_xen.ports[i].domid == domid &&
		    fake_xen.ports[i].server == server)
			fake_xen.ports[i].connected = false;
}

/* -------------------------------------------------------------------- handles */

static unsigned device_of(const xenevtchn_handle *handle)
{
	const struct fake_handle *fake = (const struct fake_handle *)handle;
	struct stat info;
	unsigned i = 0;

	assert(fstat(fake->fd, &info) == 0);
	while (i < FAKE_XEN_DEVICES && fake_xen.devices[i].inode != info.st_ino)
		i++;
	assert(i < FAKE_XEN_DEVICES && fake_xen.devices[i].open);
	return i;
}

/* Index of a port that is bound through this handle's device; -1 otherwise. */
static int port_of(const xenevtchn_handle *handle, evtchn_port_t port)
{
	unsigned index = port - FIRST_PORT;

	if (index >= FAKE_XEN_PORTS || !fake_xen.ports[index].used ||
	    fake_xen.ports[index].device != device_of(handle))
		return -1;
	return (int)index;
}

static int open_device(struct fake_handle *handle)
{
	unsigned i = 0;
	char path[64], old[64];

	while (i < FAKE_XEN_DEVICES && fake_xen.devices[i].open)
		i++;
	assert(i < FAKE_XEN_DEVICES);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fake_xen.devices[i].write_fd);
	handle->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (handle->fd < 0)
		return errno;
	while (read(handle->fd, old, sizeof(old)) > 0)
		;
	fake_xen.devices[i].open = true;
	fake_xen.devices[i].is_restricted = false;
	return 0;
}

xenevtchn_handle *xenevtchn_open(struct xentoollog_logger *logger, unsigned flags)
{
	struct fake_handle *handle = NULL;
	int error = fake_xen_enter(FAKE_XEN_EVTCHN_OPEN);

	if (!error) {
		handle = fake_xen_open();
		error = open_device(handle);
		assert(!error);
	}
	fake_xen_leave(error);
	return (xenevtchn_handle *)handle;
}

xenevtchn_handle *xenevtchn_fdopen(struct xentoollog_logger *logger, int fd, unsigned flags)
{
	struct fake_handle *handle = NULL;
	int error = fake_xen_enter(FAKE_XEN_EVTCHN_FDOPEN);

	if (!error && flags)
		error = EINVAL;
	if (!error) {
		handle = fake_xen_open();
		handle->fd = fd;
		device_of((xenevtchn_handle *)handle); /* it is one */
	}
	fake_xen_leave(error);
	return (xenevtchn_handle *)handle;
}

int xenevtchn_close(xenevtchn_handle *handle)
{
	struct fake_handle *fake = (struct fake_handle *)handle;

	if (!fake)
		return 0;
	fake_xen_lock();
	close(fake->fd);
	fake_xen_close(fake);
	fake_evtchn_sweep();
	fake_xen_unlock();
	return 0;
}

int xenevtchn_fd(xenevtchn_handle *handle)
{
	return ((struct fake_handle *)handle)->fd;
}

/* Linux restricts the open file, and once only. */
int xenevtchn_restrict(xenevtchn_handle *handle, domid_t domid)
{
	int error = fake_xen_enter(FAKE_XEN_RESTRICT);
	unsigned device = device_of(handle);

	if (!error && fake_xen.devices[device].is_restricted)
		error = EACCES;
	if (!error) {
		fake_xen.devices[device].is_restricted = true;
		fake_xen.devices[device].domid = domid;
		fake_xen.restricted++;
	}
	return fake_xen_leave(error);
}

/* --------------------------------------------------------------------- events */

static int bind_port(unsigned device, uint16_t domid, uint32_t remote, int *local)
{
	struct fake_guest *guest = fake_xen_find(domid);
	unsigned index = 0;

	if (fake_xen.devices[device].is_restricted && fake_xen.devices[device].domid != domid)
		return EACCES;
	if (!guest)
		return ESRCH;
	while (index < FAKE_XEN_PORTS && fake_xen.ports[index].used)
		index++;
	assert(index < FAKE_XEN_PORTS);
	/* rchn->state != ECS_UNBOUND: also where it is bound already */
	if (find_remote(domid, remote) >= 0)
		return EINVAL;
	for (unsigned i = 0; i < FAKE_XEN_SERVERS; i++)
		for (unsigned k = 0; guest->servers[i].used && k < guest->vcpus; k++) {
			if (guest->servers[i].remote[k] != remote)
				continue;
			fake_xen.ports[index].used = fake_xen.ports[index].connected = true;
			fake_xen.ports[index].masked = fake_xen.ports[index].pending = false;
			fake_xen.ports[index].device = device;
			fake_xen.ports[index].domid = domid;
			fake_xen.ports[index].remote = remote;
			fake_xen.ports[index].server = i;
			fake_xen.ports[index].vcpu = k;
			*local = (int)(FIRST_PORT + index);
			/* "We may have lost notifications on the remote unbound port. Fix
			 * that up here by conservatively always setting a notification" */
			fire(index);
			return 0;
		}
	return EINVAL;
}

xenevtchn_port_or_error_t xenevtchn_bind_interdomain(
    xenevtchn_handle *handle, uint32_t domid, evtchn_port_t remote)
{
	int local = -1, error = fake_xen_enter(FAKE_XEN_BIND);

	if (!error)
		error = bind_port(device_of(handle), (uint16_t)domid, remote, &local);
	return fake_xen_leave(error) < 0 ? -1 : local;
}

int xenevtchn_unbind(xenevtchn_handle *handle, evtchn_port_t port)
{
	int error = fake_xen_enter(FAKE_XEN_UNBIND);
	int index = port_of(handle, port);

	if (!error && index < 0)
		error = ENOTCONN;
	if (!error)
		fake_xen.ports[index].used = false;
	return fake_xen_leave(error);
}

xenevtchn_port_or_error_t xenevtchn_pending(xenevtchn_handle *handle)
{
	int error = fake_xen_enter(FAKE_XEN_PENDING);
	evtchn_port_t port = 0;

	/* Events of ports that are gone stay in the ring. */
	if (!error && read(xenevtchn_fd(handle), &port, sizeof(port)) != sizeof(port))
		error = EAGAIN;
	return fake_xen_leave(error) < 0 ? -1 : (int)port;
}

int xenevtchn_unmask(xenevtchn_handle *handle, evtchn_port_t port)
{
	int error = fake_xen_enter(FAKE_XEN_UNMASK);
	int index = port_of(handle, port);

	if (!error && index >= 0 && fake_xen.ports[index].masked) {
		fake_xen.ports[index].masked = false;
		if (fake_xen.ports[index].pending) {
			fake_xen.ports[index].pending = false;
			fire((unsigned)index);
		}
	}
	return fake_xen_leave(error);
}

int xenevtchn_notify(xenevtchn_handle *handle, evtchn_port_t port)
{
	int error = fake_xen_enter(FAKE_XEN_NOTIFY);
	int index = port_of(handle, port);
	struct fake_guest *guest;

	if (!error && index < 0)
		error = ENOTCONN;
	if (!error && fake_xen.ports[index].connected) {
		guest = fake_guest(fake_xen.ports[index].domid);
		if (fake_xen_request_state(guest->domid, fake_xen.ports[index].vcpu) ==
		    STATE_IORESP_READY)
			guest->vcpu[fake_xen.ports[index].vcpu].woken = true;
		else
			guest->woken_for_nothing++;
	}
	return fake_xen_leave(error);
}
