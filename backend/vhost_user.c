/* SPDX-License-Identifier: MIT */
/* vhost-user back end: the connection, features, configuration, status and reset. */
#include "backend/vhost_user.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backend/vhost_user_private.h"

#define BIT(n) (UINT64_C(1) << (n))

#define VHOST_USER_TRANSPORT_FEATURES                                         \
	(BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_F_ACCESS_PLATFORM) |            \
	    BIT(VIRTIO_RING_F_INDIRECT_DESC) | BIT(VIRTIO_RING_F_EVENT_IDX) | \
	    BIT(VHOST_USER_F_PROTOCOL_FEATURES))
/* Of the transport, so the front end offers and keeps it without asking (QEMU does from 8.0): it
 * resets one queue by GET_VRING_BASE. */
#define VHOST_USER_FRONT_END_FEATURES BIT(VIRTIO_F_RING_RESET)
#define VHOST_USER_DEVICE_FEATURES (BIT(24) - 1) /* "0 to 23: Feature bits for the device" */

#define VHOST_USER_MESSAGES_AT_ONCE 32 /* before kicks get their turn */

void vhost_user_log_malformed(const struct vhost_user_message *message, const char *format, ...)
{
	char reason[256];
	va_list args;

	va_start(args, format);
	vsnprintf(reason, sizeof(reason), format, args);
	va_end(args);
	log_error("the front end is disconnected over its message %s (%u): %s",
	    vhost_user_request_name(message->request), message->request, reason);
}

bool vhost_user_has_protocol_feature(const struct vhost_user *user, unsigned bit)
{
	return user->protocol_features & BIT(bit);
}

void vhost_user_reset(struct vhost_user *user)
{
	const struct virtio_device_impl *impl = user->device->impl;

	for (unsigned i = 0; i < user->queue_count; i++) {
		vhost_user_stop_queue(user, i);
		user->queues[i].broken = false;
		user->queues[i].reason = NULL;
	}
	user->moved_on = false;
	impl->reset(user->device);
	/* A front end may go on with the features of before. */
	impl->set_features(user->device, user->features & ~BIT(VHOST_USER_F_PROTOCOL_FEATURES));
}

/* "disable all rings and reset all internal device state to the initial state" */
static void vhost_user_reset_all(struct vhost_user *user)
{
	vhost_user_forget_queues(user);
	vhost_user_reset(user);
	user->status = 0;
}

/* ------------------------------------------------------------- features */

static uint64_t vhost_user_features(struct vhost_user *user)
{
	uint64_t features = user->device->impl->get_features(user->device);

	return (features & VHOST_USER_DEVICE_FEATURES) | VHOST_USER_TRANSPORT_FEATURES;
}

static uint64_t vhost_user_protocol_features(const struct vhost_user *user)
{
	uint64_t features =
	    BIT(VHOST_USER_PROTOCOL_F_MQ) | BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK) |
	    BIT(VHOST_USER_PROTOCOL_F_BACKEND_REQ) | BIT(VHOST_USER_PROTOCOL_F_CONFIG) |
	    BIT(VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD) | BIT(VHOST_USER_PROTOCOL_F_RESET_DEVICE) |
	    BIT(VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS) | BIT(VHOST_USER_PROTOCOL_F_STATUS);

	if (user->options.create_xen_memory)
		features |= BIT(VHOST_USER_PROTOCOL_F_XEN_MMAP);
	return features;
}

static int vhost_user_reply_u64(struct vhost_user_message *reply, uint64_t value)
{
	reply->payload.u64 = value;
	reply->size = sizeof(value);
	return 0;
}

static int vhost_user_get_features(
    struct vhost_user *user, struct vhost_user_message *message, struct vhost_user_message *reply)
{
	return vhost_user_reply_u64(reply, vhost_user_features(user));
}

static int vhost_user_set_features(struct vhost_user *user, struct vhost_user_message *message)
{
	uint64_t features = message->payload.u64 & ~VHOST_USER_FRONT_END_FEATURES;
	uint64_t unknown = features & ~vhost_user_features(user);

	if (unknown)
		return vhost_user_malformed(
		    message, "features %#llx were not offered", (unsigned long long)unknown);
	if (features == user->features)
		return 0;
	for (unsigned i = 0; i < user->queue_count; i++) {
		if (user->queues[i].started)
			return vhost_user_malformed(message, "queue %u is running", i);
	}
	user->features = features;
	user->device->impl->set_features(
	    user->device, features & ~BIT(VHOST_USER_F_PROTOCOL_FEATURES));
	return vhost_user_start_queues(user);
}

static int vhost_user_get_protocol_features(
    struct vhost_user *user, struct vhost_user_message *message, struct vhost_user_message *reply)
{
	return vhost_user_reply_u64(reply, vhost_user_protocol_features(user));
}

static int vhost_user_set_protocol_features(
    struct vhost_user *user, struct vhost_user_message *message)
{
	uint64_t unknown = message->payload.u64 & ~vhost_user_protocol_features(user);

	if (unknown)
		return vhost_user_malformed(message, "protocol features %#llx were not offered",
		    (unsigned long long)unknown);
	/* It changes the layout of regions. */
	if (user->region_count && ((message->payload.u64 ^ user->protocol_features) &
				      BIT(VHOST_USER_PROTOCOL_F_XEN_MMAP)))
		return vhost_user_malformed(message, "XEN_MMAP changes under mapped regions");
	user->protocol_features = message->payload.u64;
	return 0;
}

static int vhost_user_get_queue_num(
    struct vhost_user *user, struct vhost_user_message *message, struct vhost_user_message *reply)
{
	return vhost_user_reply_u64(reply, user->queue_count);
}

static int vhost_user_get_max_mem_slots(
    struct vhost_user *user, struct vhost_user_message *message, struct vhost_user_message *reply)
{
	return vhost_user_reply_u64(reply, VHOST_USER_MEM_SLOTS);
}

/* ------------------------------------------------------------- status and reset */

static int vhost_user_set_owner(struct vhost_user *user, struct vhost_user_message *message)
{
	return 0;
}

static int vhost_user_reset_device(struct vhost_user *user, struct vhost_user_message *message)
{
	vhost_user_reset_all(user);
	return 0;
}

static int vhost_user_set_status(struct vhost_user *user, struct vhost_user_message *message)
{
	if (message->payload.u64 > UINT8_MAX)
		return vhost_user_malformed(
		    message, "%#llx", (unsigned long long)message->payload.u64);
	/* "Writing 0 into this field resets the device." */
	if (!message->payload.u64)
		vhost_user_reset_all(user);
	user->status = (uint8_t)message->payload.u64;
	return 0;
}

static int vhost_user_get_status(
    struct vhost_user *user, struct vhost_user_message *message, struct vhost_user_message *reply)
{
	uint8_t status = user->status;

	for (unsigned i = 0; i < user->queue_count; i++) {
		if (user->queues[i].broken)
			status |= VIRTIO_CONFIG_S_NEEDS_RESET;
	}
	return vhost_user_reply_u64(reply, status);
}

/* ------------------------------------------------------------- configuration */

static int vhost_user_check_config(const struct vhost_user_message *message)
{
	const struct vhost_user_config *config = &message->payload.config;

	if (config->size > VHOST_USER_CONFIG_MAX ||
	    message->size != VHOST_USER_CONFIG_HEADER_SIZE + config->size)
		return vhost_user_malformed(
		    message, "%u bytes of configuration in %u bytes", config->size, message->size);
	return 0;
}

static int vhost_user_get_config(
    struct vhost_user *user, struct vhost_user_message *message, struct vhost_user_message *reply)
{
	const struct vhost_user_config *config = &message->payload.config;
	int error = vhost_user_check_config(message);

	if (error)
		return error;
	reply->payload.config.offset = config->offset;
	reply->payload.config.size = config->size;
	reply->payload.config.flags = config->flags;
	user->device->impl->read_config(
	    user->device, config->offset, reply->payload.config.bytes, config->size);
	/* "vhost-user back-end's payload size MUST match the front-end's request" */
	reply->size = message->size;
	return 0;
}

static int vhost_user_set_config(struct vhost_user *user, struct vhost_user_message *message)
{
	const struct vhost_user_config *config = &message->payload.config;
	int error = vhost_user_check_config(message);

	if (error)
		return error;
	/* "The vhost-user back-end must check the flags field": 0: writable fields, 1: migration.
	 * The device ignores writes to fields that are read-only. */
	if (config->flags > 1)
		return vhost_user_malformed(message, "flags %#x", config->flags);
	user->device->impl->write_config(user->device, config->offset, config->bytes, config->size);
	return 0;
}

static int vhost_user_set_backend_req_fd(
    struct vhost_user *user, struct vhost_user_message *message)
{
	struct stat stat;

	if (fstat(message->fds[0], &stat) < 0 || !S_ISSOCK(stat.st_mode))
		return vhost_user_malformed(message, "the descriptor is not a socket");
	if (user->backend_fd >= 0)
		close(user->backend_fd);
	user->backend_fd = vhost_user_message_take_fd(message, 0);
	return 0;
}

/* The device's host: its configuration has changed. */
static void vhost_user_config_changed(void *data)
{
	struct vhost_user *user = data;
	const struct vhost_user_message message = {
		.request = VHOST_USER_BACKEND_CONFIG_CHANGE_MSG,
	};
	int error;

	if (user->backend_fd < 0 ||
	    !vhost_user_has_protocol_feature(user, VHOST_USER_PROTOCOL_F_CONFIG))
		return;
	error = vhost_user_send(user->backend_fd, &message);
	/* A full socket is full of this very message. */
	if (!error || error == -EAGAIN)
		return;
	log_debug("the front end takes no requests any more: %s", strerror(-error));
	close(user->backend_fd);
	user->backend_fd = -1;
}

static int vhost_user_gpu_set_socket(struct vhost_user *user, struct vhost_user_message *message)
{
	struct stat stat;

	if (fstat(message->fds[0], &stat) < 0 || !S_ISSOCK(stat.st_mode))
		return vhost_user_malformed(message, "the descriptor is not a socket");
	if (user->options.gpu_socket)
		user->options.gpu_socket(
		    user->options.data, vhost_user_message_take_fd(message, 0));
	return 0;
}

/* ------------------------------------------------------------- messages */

#define NO_FEATURE 64
struct vhost_user_handler {
	uint32_t size_min, size_max;
	unsigned fds_min, fds_max;
	unsigned feature; /* the protocol feature that must have been negotiated */
	int (*handle)(struct vhost_user *, struct vhost_user_message *);
	int (*answer)(struct vhost_user *, struct vhost_user_message *,
	    struct vhost_user_message *reply); /* instead: has a reply of its own */
};

#define SIZE(payload) sizeof(((union vhost_user_payload *)0)->payload)
#define F(feature) VHOST_USER_PROTOCOL_F_##feature
static const struct vhost_user_handler vhost_user_handlers[] = {
	[VHOST_USER_GET_FEATURES] = { 0, 0, 0, 0, NO_FEATURE, .answer = vhost_user_get_features },
	[VHOST_USER_SET_FEATURES] = { 8, 8, 0, 0, NO_FEATURE, .handle = vhost_user_set_features },
	[VHOST_USER_SET_OWNER] = { 0, 0, 0, 0, NO_FEATURE, .handle = vhost_user_set_owner },
	[VHOST_USER_RESET_OWNER] = { 0, 0, 0, 0, NO_FEATURE, .handle = vhost_user_reset_device },
	[VHOST_USER_SET_MEM_TABLE] = { 8, SIZE(memory), 0, VHOST_USER_REGIONS_MAX, NO_FEATURE,
	    .handle = vhost_user_set_mem_table },
	[VHOST_USER_SET_VRING_NUM] = { SIZE(state), SIZE(state), 0, 0, NO_FEATURE,
	    .handle = vhost_user_set_vring_num },
	[VHOST_USER_SET_VRING_ADDR] = { SIZE(addr), SIZE(addr), 0, 0, NO_FEATURE,
	    .handle = vhost_user_set_vring_addr },
	[VHOST_USER_SET_VRING_BASE] = { SIZE(state), SIZE(state), 0, 0, NO_FEATURE,
	    .handle = vhost_user_set_vring_base },
	[VHOST_USER_GET_VRING_BASE] = { SIZE(state), SIZE(state), 0, 0, NO_FEATURE,
	    .answer = vhost_user_get_vring_base },
	[VHOST_USER_SET_VRING_KICK] = { 8, 8, 0, 1, NO_FEATURE,
	    .handle = vhost_user_set_vring_kick },
	[VHOST_USER_SET_VRING_CALL] = { 8, 8, 0, 1, NO_FEATURE,
	    .handle = vhost_user_set_vring_call },
	[VHOST_USER_SET_VRING_ERR] = { 8, 8, 0, 1, NO_FEATURE, .handle = vhost_user_set_vring_err },
	[VHOST_USER_GET_PROTOCOL_FEATURES] = { 0, 0, 0, 0, NO_FEATURE,
	    .answer = vhost_user_get_protocol_features },
	[VHOST_USER_SET_PROTOCOL_FEATURES] = { 8, 8, 0, 0, NO_FEATURE,
	    .handle = vhost_user_set_protocol_features },
	[VHOST_USER_GET_QUEUE_NUM] = { 0, 0, 0, 0, NO_FEATURE, .answer = vhost_user_get_queue_num },
	[VHOST_USER_SET_VRING_ENABLE] = { SIZE(state), SIZE(state), 0, 0, NO_FEATURE,
	    .handle = vhost_user_set_vring_enable },
	[VHOST_USER_SET_BACKEND_REQ_FD] = { 0, 0, 1, 1, F(BACKEND_REQ),
	    .handle = vhost_user_set_backend_req_fd },
	[VHOST_USER_GET_CONFIG] = { VHOST_USER_CONFIG_HEADER_SIZE, SIZE(config), 0, 0, F(CONFIG),
	    .answer = vhost_user_get_config },
	[VHOST_USER_SET_CONFIG] = { VHOST_USER_CONFIG_HEADER_SIZE, SIZE(config), 0, 0, F(CONFIG),
	    .handle = vhost_user_set_config },
	/* with or without the padding at its end */
	[VHOST_USER_GET_INFLIGHT_FD] = { 20, SIZE(inflight), 0, 0, F(INFLIGHT_SHMFD),
	    .answer = vhost_user_get_inflight_fd },
	[VHOST_USER_SET_INFLIGHT_FD] = { 20, SIZE(inflight), 1, 1, F(INFLIGHT_SHMFD),
	    .handle = vhost_user_set_inflight_fd },
	[VHOST_USER_GPU_SET_SOCKET] = { 0, 8, 1, 1, NO_FEATURE,
	    .handle = vhost_user_gpu_set_socket },
	[VHOST_USER_RESET_DEVICE] = { 0, 0, 0, 0, NO_FEATURE, .handle = vhost_user_reset_device },
	[VHOST_USER_GET_MAX_MEM_SLOTS] = { 0, 0, 0, 0, NO_FEATURE,
	    .answer = vhost_user_get_max_mem_slots },
	[VHOST_USER_ADD_MEM_REG] = { 40, 48, 0, 1, F(CONFIGURE_MEM_SLOTS),
	    .handle = vhost_user_add_mem_reg },
	/* "For compatibility with existing incorrect implementations, the back-end MAY accept
	 * messages with one file descriptor." */
	[VHOST_USER_REM_MEM_REG] = { 40, 48, 0, 1, F(CONFIGURE_MEM_SLOTS),
	    .handle = vhost_user_rem_mem_reg },
	[VHOST_USER_SET_STATUS] = { 8, 8, 0, 0, F(STATUS), .handle = vhost_user_set_status },
	[VHOST_USER_GET_STATUS] = { 0, 0, 0, 0, F(STATUS), .answer = vhost_user_get_status },
};
#undef F
#undef SIZE

static int vhost_user_check(const struct vhost_user *user, const struct vhost_user_message *message,
    const struct vhost_user_handler **handler)
{
	const struct vhost_user_handler *h = NULL;

	if (message->request < sizeof(vhost_user_handlers) / sizeof(vhost_user_handlers[0]))
		h = &vhost_user_handlers[message->request];
	if (!h || (!h->handle && !h->answer))
		return vhost_user_malformed(message, "no such request");
	if (message->flags & VHOST_USER_REPLY)
		return vhost_user_malformed(message, "a reply to nothing");
	if (message->size < h->size_min || message->size > h->size_max)
		return vhost_user_malformed(message, "a payload of %u bytes", message->size);
	if (message->fd_count < h->fds_min || message->fd_count > h->fds_max)
		return vhost_user_malformed(message, "%u descriptors", message->fd_count);
	if (h->feature != NO_FEATURE && !vhost_user_has_protocol_feature(user, h->feature))
		return vhost_user_malformed(message, "its feature was not negotiated");
	*handler = h;
	return 0;
}

static int vhost_user_send_reply(struct vhost_user *user, const struct vhost_user_message *message,
    struct vhost_user_message *reply)
{
	int error;

	reply->request = message->request;
	reply->flags = VHOST_USER_REPLY;
	error = vhost_user_send(user->fd, reply);
	if (error == -EAGAIN)
		return vhost_user_malformed(message, "the front end does not read its replies");
	if (error && error != -ENOTCONN)
		log_error("cannot send to the front end: %s", strerror(-error));
	return error;
}

/* Handles one message: 0, or the error that ends the connection. */
static int vhost_user_handle(struct vhost_user *user, struct vhost_user_message *message)
{
	bool wants_ack = (message->flags & VHOST_USER_NEED_REPLY) &&
			 vhost_user_has_protocol_feature(user, VHOST_USER_PROTOCOL_F_REPLY_ACK);
	struct vhost_user_message reply = { 0 };
	const struct vhost_user_handler *handler;
	int error = vhost_user_check(user, message, &handler);

	if (error)
		return error;
	error = handler->answer ? handler->answer(user, message, &reply)
				: handler->handle(user, message);
	if (error == -EPROTO || user->destroyed)
		return error;
	if (error < 0) {
		log_error("the front end's message %s (%u) failed: %s",
		    vhost_user_request_name(message->request), message->request, strerror(-error));
		/* Without an answer it would go on as if nothing had happened. */
		if (!wants_ack || handler->answer)
			return error;
	}
	if (!handler->answer) {
		if (!wants_ack)
			return 0;
		vhost_user_reply_u64(&reply, error != 0);
	}
	error = vhost_user_send_reply(user, message, &reply);
	vhost_user_message_finish(&reply);
	return error;
}

/* Processes the queues that a message has started. */
static void vhost_user_process_due(struct vhost_user *user)
{
	for (unsigned i = 0; i < user->queue_count && !user->destroyed; i++) {
		if (user->vrings[i].due)
			vhost_user_process(user, i);
	}
}

/* ------------------------------------------------------------- the connection */

/* Gives everything back but the struct and the queues' array. */
static void vhost_user_stop(struct vhost_user *user)
{
	if (user->stopped)
		return;
	user->stopped = true;
	user->source = sd_event_source_disable_unref(user->source);
	user->depth++;
	vhost_user_finish_queues(user);
	user->features = 0;
	/* What the device has ends with us, but not for a successor */
	if (user->inflight && user->device->impl->ledger_size)
		user->device->impl->set_ledger(user->device, NULL);
	vhost_user_reset(user);
	user->depth--;
	user->device->memory = NULL;
	user->device->host = (struct virtio_host){ 0 };
	memory_destroy(user->memory);
	user->memory = NULL;
	inflight_destroy(user->inflight);
	user->inflight = NULL;
	if (user->backend_fd >= 0)
		close(user->backend_fd);
	user->backend_fd = -1;
	vhost_user_receiver_finish(&user->receiver);
	close(user->fd);
}

static void vhost_user_end(struct vhost_user *user, int error)
{
	void (*closed)(void *, int) = user->options.closed;
	void *data = user->options.data;

	vhost_user_stop(user);
	if (user->destroyed)
		vhost_user_destroy(user);
	else if (closed)
		closed(data, error == -ENOTCONN ? 0 : error);
}

static int vhost_user_readable(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct vhost_user *user = data;
	struct vhost_user_message message;
	int result = 0;

	user->depth++;
	for (int i = 0; i < VHOST_USER_MESSAGES_AT_ONCE && !user->destroyed; i++) {
		result = vhost_user_receive(&user->receiver, &message);
		if (result == -EPROTO)
			vhost_user_log_malformed(&user->receiver.message,
			    "another version than 1, more than %zu bytes, or more than %d "
			    "descriptors",
			    sizeof(message.payload), VHOST_USER_FDS_MAX);
		else if (result < 0 && result != -ENOTCONN)
			log_error("cannot receive from the front end: %s", strerror(-result));
		if (result <= 0)
			break;
		result = vhost_user_handle(user, &message);
		vhost_user_message_finish(&message);
		if (result < 0)
			break;
		vhost_user_process_due(user);
	}
	user->depth--;
	if (user->destroyed)
		vhost_user_destroy(user);
	else if (result < 0)
		vhost_user_end(user, result);
	return 0;
}

int vhost_user_create(const struct vhost_user_options *options, int fd, struct vhost_user **to)
{
	struct virtio_device *device = options->device;
	struct vhost_user *user = calloc(1, sizeof(*user));
	int error = -ENOMEM;

	if (!user)
		return -ENOMEM;
	assert(device->impl->queue_count && device->impl->queue_count <= VHOST_USER_VRING_INDEX);
	user->options = *options;
	user->device = device;
	user->fd = fd;
	user->backend_fd = -1;
	user->queue_count = device->impl->queue_count;
	user->queues = calloc(user->queue_count, sizeof(struct virtqueue));
	user->vrings = calloc(user->queue_count, sizeof(struct vhost_user_vring));
	if (!user->queues || !user->vrings)
		goto error_queues;
	for (unsigned i = 0; i < user->queue_count; i++) {
		virtqueue_init(&user->queues[i], i);
		user->queues[i].trace = device->trace;
		user->vrings[i].user = user;
	}
	vhost_user_receiver_init(&user->receiver, fd);
	error =
	    sd_event_add_io(options->event, &user->source, fd, EPOLLIN, vhost_user_readable, user);
	if (error < 0)
		goto error_queues;
	user->options.event = sd_event_ref(options->event);
	device->queues = user->queues;
	device->memory = NULL;
	device->host = (struct virtio_host){ .config_changed = vhost_user_config_changed,
		.wake_queue = vhost_user_wake_queue,
		.data = user };
	*to = user;
	return 0;

error_queues:
	free(user->queues);
	free(user->vrings);
	free(user);
	return error;
}

void vhost_user_destroy(struct vhost_user *user)
{
	if (!user)
		return;
	if (user->depth) {
		/* Our callers still use it. */
		user->destroyed = true;
		return;
	}
	vhost_user_stop(user);
	user->device->queues = NULL;
	sd_event_unref(user->options.event);
	free(user->queues);
	free(user->vrings);
	free(user);
}
