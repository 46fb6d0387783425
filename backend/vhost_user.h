/* SPDX-License-Identifier: MIT */
/*
 * The vhost-user back end (the protocol's document in QEMU's docs/interop): one
 * connection, one device. A malformed message ends the connection with one line.
 *
 * Replacing a back end under a running guest: the file of GET_INFLIGHT_FD holds, behind the
 * protocol's regions, what a successor needs to go on with the device (inflight.h, ledger.h). A
 * front end keeps the file whatever becomes of us, and hands it to the next back end with
 * SET_INFLIGHT_FD (mmap_size and mmap_offset as they were) before it starts the queues, with
 * whatever base. A non-zero acknowledgement of that message (REPLY_ACK; without it the connection
 * ends) says that nothing can be brought back: the guest has to reset its device, which then begins
 * anew with a file of its own. A reset of the device (SET_STATUS 0, RESET_DEVICE, RESET_OWNER)
 * empties the record: it comes before SET_INFLIGHT_FD, or ends what was to be brought back. A front
 * end whose guest resets its device while there is no back end forgets the file.
 */
#ifndef GPUDOM_BACKEND_VHOST_USER_H
#define GPUDOM_BACKEND_VHOST_USER_H

#include <systemd/sd-event.h>

#include "backend/virtio_device.h"

struct vhost_user;

struct vhost_user_options {
	sd_event *event;              /* not owned (a reference is taken) */
	struct virtio_device *device; /* not owned, outlives the connection */

	/* Makes the kind of guest memory that a region with Xen flags (XEN_MMAP) asks for, whose
	 * first one is @region; NULL: the feature is not offered. Regions without flags use
	 * memory_mmap_create(). */
	int (*create_xen_memory)(
	    void *memory_data, const struct memory_region *region, struct guest_memory **memory);
	void *memory_data;

	/* VHOST_USER_GPU_SET_SOCKET: takes the descriptor over. NULL: closed. */
	void (*gpu_socket)(void *data, int fd);
	/* The connection is over, in order (error 0) or not (-errno, already logged). Called once,
	 * from the event loop, when the queues are stopped, the device is reset and its memory is
	 * unmapped; the callee may destroy the connection. */
	void (*closed)(void *data, int error);
	void *data;
};

/* Takes over @fd, a connected stream socket, on success. -ENOMEM and sd-event's errors. */
int vhost_user_create(const struct vhost_user_options *options, int fd, struct vhost_user **user);

/* Stops the queues, resets the device, unmaps its memory. Accepts NULL. From within a call into
 * the device or gpu_socket() it happens when that has returned; closed() is not called. */
void vhost_user_destroy(struct vhost_user *user);

#endif
