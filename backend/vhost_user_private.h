/* SPDX-License-Identifier: MIT */
/*
 * What the files of the vhost-user back end share: vhost_user.c (the connection and
 * the device), vhost_user_queue.c (rings), vhost_user_memory.c (regions).
 *
 * A handler gets a message whose size, number of descriptors and protocol feature
 * were checked. It returns 0; 1 where the guest is to blame (logged; a front end
 * that wants an answer is told); -EPROTO for a malformed message (logged: the
 * connection ends); or another -errno for what we could not do (not logged).
 */
#ifndef GPUDOM_BACKEND_VHOST_USER_PRIVATE_H
#define GPUDOM_BACKEND_VHOST_USER_PRIVATE_H

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "backend/inflight.h"
#include "backend/vhost_user.h"
#include "backend/vhost_user_message.h"

/* What the front end has said about a queue. */
struct vhost_user_vring {
	struct vhost_user *user;
	sd_event_source *kick; /* owns its descriptor */
	sd_event_source *wake; /* NULL until the device asks to be woken */
	bool enabled;          /* by SET_VRING_ENABLE */
	bool addressed;        /* the addresses are known */
	bool due;              /* to be processed once the message is answered */
	uint16_t size, base;
	struct vhost_user_vring_addr addr;
};

struct vhost_user {
	struct vhost_user_options options;
	struct virtio_device *device;
	int fd;
	sd_event_source *source;
	struct vhost_user_receiver receiver;
	unsigned depth; /* calls into the device or the owner that may call destroy() */
	bool stopped;   /* the connection is over */
	bool destroyed; /* as soon as depth is 0 */

	uint64_t features, protocol_features;
	uint8_t status;
	int backend_fd;

	struct guest_memory *memory;
	bool memory_is_xen;
	size_t region_count;
	struct memory_region regions[VHOST_USER_MEM_SLOTS];

	struct inflight *inflight;
	bool moved_on; /* queue 0 was stopped after requests of this life of the device */
	unsigned queue_count;
	struct virtqueue *queues;
	struct vhost_user_vring *vrings;
};

void vhost_user_log_malformed(const struct vhost_user_message *message, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* (message, format, ...): logs why a message is malformed. Always -EPROTO, and a macro so that
 * compilers and analysers see it. */
#define vhost_user_malformed(...) (vhost_user_log_malformed(__VA_ARGS__), -EPROTO)

bool vhost_user_has_protocol_feature(const struct vhost_user *user, unsigned bit);

/* Stops all queues, resets the device; what the front end has said stays. */
void vhost_user_reset(struct vhost_user *user);

/* ---- vhost_user_queue.c ---- */

/* Processes the queue if it is started and enabled. */
void vhost_user_process(struct vhost_user *user, unsigned index);
/* virtio_host.wake_queue() */
void vhost_user_wake_queue(void *data, unsigned index, uint64_t at_ns);
/* Starts all queues that have become ready. 0, or 1 where a guest's rings cannot be used. */
int vhost_user_start_queues(struct vhost_user *user);
/* Drains, stops, forgets the kick. */
void vhost_user_stop_queue(struct vhost_user *user, unsigned index);
/* Forgets all that is known of the rings but the descriptors to call. */
void vhost_user_forget_queues(struct vhost_user *user);
/* Stops the queues and closes their descriptors. */
void vhost_user_finish_queues(struct vhost_user *user);

int vhost_user_set_vring_num(struct vhost_user *, struct vhost_user_message *);
int vhost_user_set_vring_addr(struct vhost_user *, struct vhost_user_message *);
int vhost_user_set_vring_base(struct vhost_user *, struct vhost_user_message *);
int vhost_user_get_vring_base(
    struct vhost_user *, struct vhost_user_message *, struct vhost_user_message *reply);
int vhost_user_set_vring_kick(struct vhost_user *, struct vhost_user_message *);
int vhost_user_set_vring_call(struct vhost_user *, struct vhost_user_message *);
int vhost_user_set_vring_err(struct vhost_user *, struct vhost_user_message *);
int vhost_user_set_vring_enable(struct vhost_user *, struct vhost_user_message *);
int vhost_user_get_inflight_fd(
    struct vhost_user *, struct vhost_user_message *, struct vhost_user_message *reply);
int vhost_user_set_inflight_fd(struct vhost_user *, struct vhost_user_message *);

/* ---- vhost_user_memory.c ---- */

int vhost_user_set_mem_table(struct vhost_user *, struct vhost_user_message *);
int vhost_user_add_mem_reg(struct vhost_user *, struct vhost_user_message *);
int vhost_user_rem_mem_reg(struct vhost_user *, struct vhost_user_message *);

#endif
