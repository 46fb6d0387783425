/* SPDX-License-Identifier: MIT */
/*
 * The loopback guest's vhost-user front end: what QEMU or gpudomd would say to a back end
 * for it (QEMU's docs/interop/vhost-user.rst). Everything waits, for LOOPBACK_TIMEOUT_MS at
 * most, and while it waits answers what the back end asks on its other sockets.
 *
 *     loopback_frontend_init    memory and queues
 *     loopback_frontend_connect a back end: negotiates, describes memory, starts the queues
 *     loopback_gpu_*            requests
 *     loopback_frontend_finish
 */
#ifndef GPUDOM_TESTS_LOOPBACK_FRONTEND_H
#define GPUDOM_TESTS_LOOPBACK_FRONTEND_H

#include <stdbool.h>
#include <stdint.h>

#include "backend/vhost_user_message.h"
#include "tests/loopback/loopback_display.h"
#include "tests/loopback/loopback_guest.h"

/* Generous: only a defect ever waits that long. */
#define LOOPBACK_TIMEOUT_MS 60000
#define LOOPBACK_QUEUES_MAX 4

struct loopback_options {
	size_t memory_size;       /* bytes; 0: 64 MiB */
	uint64_t refuse_features; /* do not take these */
	unsigned regions;         /* 0: 2 */
	unsigned queue_count;     /* 0: 2 */
	uint16_t queue_size;      /* 0: 256 */
	bool no_indirect;         /* do not take VIRTIO_RING_F_INDIRECT_DESC */
	bool no_event_idx;        /* do not take VIRTIO_RING_F_EVENT_IDX */
	bool add_regions;         /* ADD_MEM_REG instead of SET_MEM_TABLE */
	bool gpu_socket;          /* send GPU_SET_SOCKET; frontend->display is its other end */
	bool inflight;            /* track requests in flight; -ENOTSUP where it is not offered */
};

struct loopback_frontend {
	struct loopback_options options;
	struct loopback_memory memory;
	unsigned queue_count;
	struct loopback_queue queues[LOOPBACK_QUEUES_MAX];
	uint16_t base[LOOPBACK_QUEUES_MAX]; /* from GET_VRING_BASE, for the next start */
	uint64_t answered;                  /* requests, in order (loopback_gpu.h) */

	/* The connection; -1 where there is none */
	int fd;
	struct vhost_user_receiver receiver;
	int backend_fd; /* our end of SET_BACKEND_REQ_FD */
	struct vhost_user_receiver backend_receiver;
	struct loopback_display display;
	int inflight_fd; /* outlives a connection */
	struct vhost_user_inflight inflight;

	uint64_t features_offered, features, protocol_offered, protocol;
	unsigned config_changes; /* CONFIG_CHANGE_MSG received */
};

/* @options may be NULL; copied. 0 or -errno. */
int loopback_frontend_init(
    struct loopback_frontend *frontend, const struct loopback_options *options);
void loopback_frontend_finish(struct loopback_frontend *frontend);

/* Takes over @fd, a connected stream socket, also when it fails. Negotiates, sends the memory,
 * and starts the queues. */
int loopback_frontend_connect(struct loopback_frontend *frontend, int fd);
/* The steps of that one, for those who want something between them */
int loopback_frontend_negotiate(struct loopback_frontend *frontend, int fd);
int loopback_frontend_send_memory(struct loopback_frontend *frontend);
int loopback_frontend_send_inflight(struct loopback_frontend *frontend);
int loopback_frontend_start_queue(struct loopback_frontend *frontend, unsigned index);
int loopback_frontend_set_driver_ok(struct loopback_frontend *frontend);
/* Hangs up. Rings, memory and requests in flight stay as they are. */
void loopback_frontend_disconnect(struct loopback_frontend *frontend);

/* GET_VRING_BASE: when it returns, the back end has let go of the ring. */
int loopback_frontend_stop_queue(struct loopback_frontend *frontend, unsigned index);
/* Device reset (SET_STATUS 0 or RESET_DEVICE), empty rings, and a start as after probing.
 * Requests in flight are forgotten: the caller ends them. */
int loopback_frontend_reset(struct loopback_frontend *frontend);
int loopback_frontend_reset_device(struct loopback_frontend *frontend); /* its first step */
int loopback_frontend_restart(struct loopback_frontend *frontend);      /* and its last */

int loopback_frontend_get_config(
    struct loopback_frontend *frontend, uint32_t offset, void *to, uint32_t size);
int loopback_frontend_set_config(
    struct loopback_frontend *frontend, uint32_t offset, const void *from, uint32_t size);
/* Waits until config_changes is at least @count. */
int loopback_frontend_wait_config(struct loopback_frontend *frontend, unsigned count);

/* Waits until @counter, one of frontend->display's, is at least @count. */
int loopback_frontend_wait_display(
    struct loopback_frontend *frontend, const unsigned *counter, unsigned count);

/* Takes the next used entry of a queue, waiting for it. 0, -ETIMEDOUT, -ECONNRESET. */
int loopback_frontend_wait(struct loopback_frontend *frontend, unsigned queue, uint16_t *head,
    uint32_t *written, void **data);
/* Waits until the back end says that a queue is broken (its error eventfd). */
int loopback_frontend_wait_broken(struct loopback_frontend *frontend, unsigned queue);
/* Waits until the back end hangs up. */
int loopback_frontend_wait_hangup(struct loopback_frontend *frontend);

/*
 * Any message. @payload, of @size bytes, may be NULL with 0; @fd -1. With @reply, waits for
 * the answer; else, where the back end knows REPLY_ACK, for its acknowledgement: -EIO
 * where that is not 0.
 */
int loopback_frontend_request(struct loopback_frontend *frontend, uint32_t request,
    const void *payload, uint32_t size, int fd, struct vhost_user_message *reply);

#endif
