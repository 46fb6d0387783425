/* SPDX-License-Identifier: MIT */
#include "tests/loopback/loopback_frontend.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BIT(n) (UINT64_C(1) << (n))

/* What a driver of ours takes of the protocol when it is offered */
#define PROTOCOL_WANTED                                                                     \
	(BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK) | BIT(VHOST_USER_PROTOCOL_F_BACKEND_REQ) |    \
	    BIT(VHOST_USER_PROTOCOL_F_CONFIG) | BIT(VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD) | \
	    BIT(VHOST_USER_PROTOCOL_F_RESET_DEVICE) | BIT(VHOST_USER_PROTOCOL_F_STATUS) |   \
	    BIT(VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS))

int loopback_frontend_init(
    struct loopback_frontend *frontend, const struct loopback_options *options)
{
	unsigned i;

	*frontend = (struct loopback_frontend){ .fd = -1, .backend_fd = -1, .inflight_fd = -1 };
	if (options)
		frontend->options = *options;
	options = &frontend->options;
	loopback_display_init(&frontend->display);
	int ret = loopback_memory_init(&frontend->memory,
	    options->memory_size ? options->memory_size : 64 << 20,
	    options->regions ? options->regions : 2);
	if (ret < 0)
		return ret;
	frontend->queue_count = options->queue_count ? options->queue_count : 2;
	assert(frontend->queue_count <= LOOPBACK_QUEUES_MAX);
	for (i = 0; i < frontend->queue_count; i++) {
		ret = loopback_queue_init(&frontend->queues[i], &frontend->memory, i,
		    options->queue_size ? options->queue_size : 256);
		if (ret < 0)
			goto finish_queues;
	}
	return 0;

finish_queues:
	while (i-- > 0)
		loopback_queue_finish(&frontend->queues[i]);
	loopback_memory_finish(&frontend->memory);
	return ret;
}

void loopback_frontend_finish(struct loopback_frontend *frontend)
{
	loopback_frontend_disconnect(frontend);
	loopback_display_finish(&frontend->display);
	if (frontend->inflight_fd >= 0)
		close(frontend->inflight_fd);
	for (unsigned i = 0; i < frontend->queue_count; i++)
		loopback_queue_finish(&frontend->queues[i]);
	loopback_memory_finish(&frontend->memory);
}

/* ---------------------------------------------------------------- waiting */

/* Takes what the back end sent on the socket of SET_BACKEND_REQ_FD. */
static int dispatch_backend(struct loopback_frontend *frontend)
{
	struct vhost_user_message message;
	int ret;

	while ((ret = vhost_user_receive(&frontend->backend_receiver, &message)) == 1) {
		if (message.request == VHOST_USER_BACKEND_CONFIG_CHANGE_MSG)
			frontend->config_changes++;
		if (message.flags & VHOST_USER_NEED_REPLY) {
			struct vhost_user_message reply = {
				.request = message.request,
				.flags = VHOST_USER_REPLY,
				.size = sizeof(reply.payload.u64),
			};
			vhost_user_send(frontend->backend_fd, &reply);
		}
		vhost_user_message_finish(&message);
	}
	return ret;
}

/* Takes one message of the display socket. */
static void dispatch_display(struct loopback_frontend *frontend)
{
	int ret = loopback_display_dispatch(&frontend->display);

	if (ret == -EPROTO)
		loopback_die("malformed message on the display socket");
	if (ret < 0) {
		close(frontend->display.fd);
		frontend->display.fd = -1;
	}
}

/* Sleeps until @fd has something, and serves the back end's other sockets meanwhile.
 * -ECONNRESET where it hung up (and @fd is not the socket that tells of it). */
static int wait_for(struct loopback_frontend *frontend, int fd)
{
	enum { WANTED, SOCKET, BACKEND, DISPLAY, COUNT };
	int ret;

	for (;;) {
		struct pollfd fds[COUNT] = {
			[WANTED] = { .fd = fd, .events = POLLIN },
			[SOCKET] = { .fd = frontend->fd, .events = POLLRDHUP },
			[BACKEND] = { .fd = frontend->backend_fd, .events = POLLIN },
			[DISPLAY] = { .fd = frontend->display.fd, .events = POLLIN },
		};
		do {
			ret = poll(fds, COUNT, LOOPBACK_TIMEOUT_MS);
		} while (ret < 0 && errno == EINTR);
		if (ret <= 0)
			return ret < 0 ? -errno : -ETIMEDOUT;
		/* A back end that dies closes these too; the other socket is what tells of it. */
		if (fds[BACKEND].revents && dispatch_backend(frontend) < 0) {
			close(frontend->backend_fd);
			frontend->backend_fd = -1;
		}
		if (fds[DISPLAY].revents)
			dispatch_display(frontend);
		if (fds[WANTED].revents)
			return 0;
		if (fds[SOCKET].revents)
			return -ECONNRESET;
	}
}

int loopback_frontend_wait(struct loopback_frontend *frontend, unsigned index, uint16_t *head,
    uint32_t *written, void **data)
{
	struct loopback_queue *queue = &frontend->queues[index];

	while (!loopback_queue_take(queue, head, written, data)) {
		if (loopback_queue_enable_calls(queue))
			continue;
		queue->waits++;
		int ret = wait_for(frontend, queue->call_fd);
		if (ret < 0)
			return ret;
		uint64_t calls;
		if (read(queue->call_fd, &calls, sizeof(calls)) > 0)
			queue->calls += calls;
	}
	return 0;
}

int loopback_frontend_wait_broken(struct loopback_frontend *frontend, unsigned index)
{
	uint64_t count;

	while (read(frontend->queues[index].error_fd, &count, sizeof(count)) < 0) {
		int ret = wait_for(frontend, frontend->queues[index].error_fd);
		if (ret < 0)
			return ret;
	}
	return 0;
}

int loopback_frontend_wait_config(struct loopback_frontend *frontend, unsigned count)
{
	while (frontend->config_changes < count) {
		int ret = wait_for(frontend, frontend->backend_fd);
		if (ret < 0)
			return ret;
	}
	return 0;
}

int loopback_frontend_wait_display(
    struct loopback_frontend *frontend, const unsigned *counter, unsigned count)
{
	while (*counter < count) {
		int ret = wait_for(frontend, frontend->display.fd);
		if (ret < 0)
			return ret;
		if (frontend->display.fd < 0)
			return -ECONNRESET;
	}
	return 0;
}

int loopback_frontend_wait_hangup(struct loopback_frontend *frontend)
{
	struct vhost_user_message message;
	int ret;

	while ((ret = wait_for(frontend, frontend->fd)) == 0) {
		while ((ret = vhost_user_receive(&frontend->receiver, &message)) == 1)
			vhost_user_message_finish(&message);
		if (ret < 0)
			break;
	}
	return ret == -ENOTCONN ? 0 : ret;
}

/* ---------------------------------------------------------------- messages */

static bool has_protocol(const struct loopback_frontend *frontend, unsigned feature)
{
	return frontend->protocol & BIT(feature);
}

static int receive_reply(
    struct loopback_frontend *frontend, uint32_t request, struct vhost_user_message *reply)
{
	int ret;

	while ((ret = vhost_user_receive(&frontend->receiver, reply)) == 0) {
		ret = wait_for(frontend, frontend->fd);
		if (ret < 0)
			return ret;
	}
	if (ret < 0)
		return ret == -ENOTCONN ? -ECONNRESET : ret;
	if (reply->request != request || !(reply->flags & VHOST_USER_REPLY)) {
		vhost_user_message_finish(reply);
		return -EPROTO;
	}
	return 0;
}

int loopback_frontend_request(struct loopback_frontend *frontend, uint32_t request,
    const void *payload, uint32_t size, int fd, struct vhost_user_message *reply)
{
	struct vhost_user_message message = { .request = request, .size = size };
	struct vhost_user_message acknowledgement;
	bool acknowledged = !reply && has_protocol(frontend, VHOST_USER_PROTOCOL_F_REPLY_ACK);

	assert(size <= sizeof(message.payload));
	if (size > 0)
		memcpy(&message.payload, payload, size);
	if (fd >= 0)
		message.fds[message.fd_count++] = fd;
	if (acknowledged)
		message.flags |= VHOST_USER_NEED_REPLY;
	int ret = vhost_user_send(frontend->fd, &message);
	if (ret < 0 || (!reply && !acknowledged))
		return ret;
	ret = receive_reply(frontend, request, reply ? reply : &acknowledgement);
	if (ret < 0 || reply)
		return ret;
	vhost_user_message_finish(&acknowledgement);
	return acknowledgement.size == sizeof(uint64_t) && acknowledgement.payload.u64 == 0 ? 0
											    : -EIO;
}

static int send_u64(struct loopback_frontend *frontend, uint32_t request, uint64_t value)
{
	return loopback_frontend_request(frontend, request, &value, sizeof(value), -1, NULL);
}

static int get_u64(struct loopback_frontend *frontend, uint32_t request, uint64_t *value)
{
	struct vhost_user_message reply;
	int ret = loopback_frontend_request(frontend, request, NULL, 0, -1, &reply);

	if (ret < 0)
		return ret;
	vhost_user_message_finish(&reply);
	*value = reply.payload.u64;
	return reply.size == sizeof(*value) ? 0 : -EPROTO;
}

/* ---------------------------------------------------------------- the handshake */

static int negotiate_protocol(struct loopback_frontend *frontend)
{
	int ret = get_u64(frontend, VHOST_USER_GET_PROTOCOL_FEATURES, &frontend->protocol_offered);

	if (ret < 0)
		return ret;
	uint64_t wanted = frontend->protocol_offered & PROTOCOL_WANTED;
	ret = send_u64(frontend, VHOST_USER_SET_PROTOCOL_FEATURES, wanted);
	frontend->protocol = wanted;
	return ret;
}

static int send_backend_socket(struct loopback_frontend *frontend)
{
	int pair[2];

	if (!has_protocol(frontend, VHOST_USER_PROTOCOL_F_BACKEND_REQ))
		return 0;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	frontend->backend_fd = pair[0];
	vhost_user_receiver_init(&frontend->backend_receiver, pair[0]);
	int ret = loopback_frontend_request(
	    frontend, VHOST_USER_SET_BACKEND_REQ_FD, NULL, 0, pair[1], NULL);
	close(pair[1]);
	return ret;
}

static int send_gpu_socket(struct loopback_frontend *frontend)
{
	if (!frontend->options.gpu_socket)
		return 0;
	int fd = loopback_display_open(&frontend->display);
	if (fd < 0)
		return fd;
	int ret = loopback_frontend_request(frontend, VHOST_USER_GPU_SET_SOCKET, NULL, 0, fd, NULL);
	close(fd);
	return ret;
}

static int negotiate(struct loopback_frontend *frontend)
{
	const struct loopback_options *options = &frontend->options;
	uint64_t refused = options->refuse_features |
			   (options->no_indirect ? BIT(VIRTIO_RING_F_INDIRECT_DESC) : 0) |
			   (options->no_event_idx ? BIT(VIRTIO_RING_F_EVENT_IDX) : 0);
	int ret = get_u64(frontend, VHOST_USER_GET_FEATURES, &frontend->features_offered);

	if (ret < 0)
		return ret;
	if (frontend->features_offered & BIT(VHOST_USER_F_PROTOCOL_FEATURES))
		ret = negotiate_protocol(frontend);
	if (ret == 0)
		ret = loopback_frontend_request(frontend, VHOST_USER_SET_OWNER, NULL, 0, -1, NULL);
	if (ret == 0)
		ret = send_backend_socket(frontend);
	if (ret == 0)
		ret = send_gpu_socket(frontend);
	frontend->features = frontend->features_offered & ~refused;
	for (unsigned i = 0; i < frontend->queue_count; i++) {
		frontend->queues[i].indirect =
		    frontend->features & BIT(VIRTIO_RING_F_INDIRECT_DESC);
		frontend->queues[i].event_idx = frontend->features & BIT(VIRTIO_RING_F_EVENT_IDX);
	}
	if (ret == 0)
		ret = send_u64(frontend, VHOST_USER_SET_FEATURES, frontend->features);
	return ret;
}

int loopback_frontend_negotiate(struct loopback_frontend *frontend, int fd)
{
	assert(frontend->fd < 0);
	frontend->fd = fd;
	vhost_user_receiver_init(&frontend->receiver, fd);
	int ret = negotiate(frontend);
	if (ret < 0)
		loopback_frontend_disconnect(frontend);
	return ret;
}

static struct vhost_user_region describe_region(const struct memory_region *region)
{
	return (struct vhost_user_region){
		.guest_address = region->guest_address,
		.size = region->size,
		.user_address = region->user_address,
		.mmap_offset = region->mmap_offset,
	};
}

static int send_memory_table(struct loopback_frontend *frontend)
{
	const struct loopback_memory *memory = &frontend->memory;
	struct vhost_user_message message = {
		.request = VHOST_USER_SET_MEM_TABLE,
		.payload.memory.region_count = memory->region_count,
	};
	struct vhost_user_message reply;
	bool acknowledged = has_protocol(frontend, VHOST_USER_PROTOCOL_F_REPLY_ACK);

	for (unsigned i = 0; i < memory->region_count; i++) {
		message.payload.memory.regions[i] = describe_region(&memory->regions[i]);
		message.fds[message.fd_count++] = memory->fd;
	}
	message.size = (uint32_t)(offsetof(struct vhost_user_mem_table, regions) +
				  memory->region_count * sizeof(message.payload.memory.regions[0]));
	message.flags = acknowledged ? VHOST_USER_NEED_REPLY : 0;
	int ret = vhost_user_send(frontend->fd, &message);
	if (ret < 0 || !acknowledged)
		return ret;
	ret = receive_reply(frontend, message.request, &reply);
	if (ret < 0)
		return ret;
	vhost_user_message_finish(&reply);
	return reply.payload.u64 == 0 ? 0 : -EIO;
}

int loopback_frontend_send_memory(struct loopback_frontend *frontend)
{
	if (!frontend->options.add_regions)
		return send_memory_table(frontend);
	if (!has_protocol(frontend, VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS))
		return -ENOTSUP;
	for (unsigned i = 0; i < frontend->memory.region_count; i++) {
		struct vhost_user_mem_reg payload = {
			.region = describe_region(&frontend->memory.regions[i]),
		};
		int ret = loopback_frontend_request(frontend, VHOST_USER_ADD_MEM_REG, &payload,
		    offsetof(struct vhost_user_mem_reg, region) + sizeof(payload.region),
		    frontend->memory.fd, NULL);
		if (ret < 0)
			return ret;
	}
	return 0;
}

static int get_inflight(struct loopback_frontend *frontend)
{
	struct vhost_user_inflight wish = {
		.queue_count = (uint16_t)frontend->queue_count,
		.queue_size = frontend->queues[0].size,
	};
	struct vhost_user_message reply;
	int ret = loopback_frontend_request(
	    frontend, VHOST_USER_GET_INFLIGHT_FD, &wish, sizeof(wish), -1, &reply);

	if (ret < 0)
		return ret;
	frontend->inflight_fd = vhost_user_message_take_fd(&reply, 0);
	frontend->inflight = reply.payload.inflight;
	vhost_user_message_finish(&reply);
	return frontend->inflight_fd >= 0 ? 0 : -EPROTO;
}

int loopback_frontend_send_inflight(struct loopback_frontend *frontend)
{
	int ret = 0;

	if (!frontend->options.inflight)
		return 0;
	if (!has_protocol(frontend, VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD))
		return -ENOTSUP;
	if (frontend->inflight_fd < 0)
		ret = get_inflight(frontend);
	if (ret < 0)
		return ret;
	return loopback_frontend_request(frontend, VHOST_USER_SET_INFLIGHT_FD, &frontend->inflight,
	    sizeof(frontend->inflight), frontend->inflight_fd, NULL);
}

int loopback_frontend_start_queue(struct loopback_frontend *frontend, unsigned index)
{
	struct loopback_queue *queue = &frontend->queues[index];
	struct vhost_user_vring_state num = { .index = index, .num = queue->size };
	struct vhost_user_vring_state base = { .index = index, .num = frontend->base[index] };
	struct vhost_user_vring_state enable = { .index = index, .num = 1 };
	struct vhost_user_vring_addr addr = {
		.index = index,
		.descriptor = (uintptr_t)queue->desc,
		.available = (uintptr_t)queue->avail,
		.used = (uintptr_t)queue->used,
	};
	uint64_t number = index;
	const struct {
		uint32_t request;
		const void *payload;
		uint32_t size;
		int fd;
	} steps[] = {
		{ VHOST_USER_SET_VRING_NUM, &num, sizeof(num), -1 },
		{ VHOST_USER_SET_VRING_BASE, &base, sizeof(base), -1 },
		{ VHOST_USER_SET_VRING_ADDR, &addr, sizeof(addr), -1 },
		{ VHOST_USER_SET_VRING_ERR, &number, sizeof(number), queue->error_fd },
		{ VHOST_USER_SET_VRING_CALL, &number, sizeof(number), queue->call_fd },
		{ VHOST_USER_SET_VRING_KICK, &number, sizeof(number), queue->kick_fd },
		{ VHOST_USER_SET_VRING_ENABLE, &enable, sizeof(enable), -1 },
	};
	unsigned count = sizeof(steps) / sizeof(steps[0]);

	/* "If VHOST_USER_F_PROTOCOL_FEATURES has not been negotiated, the ring starts directly in
	 * the enabled state." */
	if (!(frontend->features & BIT(VHOST_USER_F_PROTOCOL_FEATURES)))
		count--;
	for (unsigned i = 0; i < count; i++) {
		int ret = loopback_frontend_request(
		    frontend, steps[i].request, steps[i].payload, steps[i].size, steps[i].fd, NULL);
		if (ret < 0)
			return ret;
	}
	return 0;
}

int loopback_frontend_set_driver_ok(struct loopback_frontend *frontend)
{
	if (!has_protocol(frontend, VHOST_USER_PROTOCOL_F_STATUS))
		return 0;
	return send_u64(frontend, VHOST_USER_SET_STATUS,
	    VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_FEATURES_OK |
		VIRTIO_CONFIG_S_DRIVER_OK);
}

int loopback_frontend_restart(struct loopback_frontend *frontend)
{
	int ret = loopback_frontend_send_inflight(frontend);

	for (unsigned i = 0; ret == 0 && i < frontend->queue_count; i++)
		ret = loopback_frontend_start_queue(frontend, i);
	if (ret == 0)
		ret = loopback_frontend_set_driver_ok(frontend);
	return ret;
}

int loopback_frontend_connect(struct loopback_frontend *frontend, int fd)
{
	int ret = loopback_frontend_negotiate(frontend, fd);

	if (ret < 0)
		return ret;
	ret = loopback_frontend_send_memory(frontend);
	if (ret == 0)
		ret = loopback_frontend_restart(frontend);
	if (ret < 0)
		loopback_frontend_disconnect(frontend);
	return ret;
}

void loopback_frontend_disconnect(struct loopback_frontend *frontend)
{
	if (frontend->fd < 0)
		return;
	vhost_user_receiver_finish(&frontend->receiver);
	close(frontend->fd);
	frontend->fd = -1;
	if (frontend->backend_fd >= 0) {
		vhost_user_receiver_finish(&frontend->backend_receiver);
		close(frontend->backend_fd);
		frontend->backend_fd = -1;
	}
	if (frontend->display.fd >= 0)
		close(frontend->display.fd);
	frontend->display.fd = -1;
	frontend->protocol = 0;
	/* A successor begins where this one stopped: what it had taken and not returned is
	 * for the in-flight record. */
	for (unsigned i = 0; i < frontend->queue_count; i++)
		frontend->base[i] = frontend->queues[i].used->idx;
}

/* ---------------------------------------------------------------- running */

int loopback_frontend_stop_queue(struct loopback_frontend *frontend, unsigned index)
{
	struct vhost_user_vring_state state = { .index = index };
	struct vhost_user_message reply;
	int ret = loopback_frontend_request(
	    frontend, VHOST_USER_GET_VRING_BASE, &state, sizeof(state), -1, &reply);

	if (ret < 0)
		return ret;
	vhost_user_message_finish(&reply);
	frontend->base[index] = (uint16_t)reply.payload.state.num;
	return 0;
}

int loopback_frontend_reset_device(struct loopback_frontend *frontend)
{
	int ret = 0;

	for (unsigned i = 0; ret == 0 && i < frontend->queue_count; i++)
		ret = loopback_frontend_stop_queue(frontend, i);
	if (ret < 0)
		return ret;
	if (has_protocol(frontend, VHOST_USER_PROTOCOL_F_STATUS))
		ret = send_u64(frontend, VHOST_USER_SET_STATUS, 0);
	else if (has_protocol(frontend, VHOST_USER_PROTOCOL_F_RESET_DEVICE))
		ret =
		    loopback_frontend_request(frontend, VHOST_USER_RESET_DEVICE, NULL, 0, -1, NULL);
	for (unsigned i = 0; i < frontend->queue_count; i++) {
		loopback_queue_reset(&frontend->queues[i]);
		frontend->base[i] = 0;
	}
	if (frontend->inflight_fd >= 0) {
		close(frontend->inflight_fd);
		frontend->inflight_fd = -1;
	}
	return ret;
}

int loopback_frontend_reset(struct loopback_frontend *frontend)
{
	int ret = loopback_frontend_reset_device(frontend);

	if (ret == 0)
		ret = send_u64(frontend, VHOST_USER_SET_FEATURES, frontend->features);
	return ret == 0 ? loopback_frontend_restart(frontend) : ret;
}

int loopback_frontend_get_config(
    struct loopback_frontend *frontend, uint32_t offset, void *to, uint32_t size)
{
	struct vhost_user_config config = { .offset = offset, .size = size };
	struct vhost_user_message reply;

	assert(size <= VHOST_USER_CONFIG_MAX);
	int ret = loopback_frontend_request(frontend, VHOST_USER_GET_CONFIG, &config,
	    VHOST_USER_CONFIG_HEADER_SIZE + size, -1, &reply);
	if (ret < 0)
		return ret;
	vhost_user_message_finish(&reply);
	/* "an empty payload to signify that the reading has failed" */
	if (reply.size != VHOST_USER_CONFIG_HEADER_SIZE + size)
		return -EIO;
	memcpy(to, reply.payload.config.bytes, size);
	return 0;
}

int loopback_frontend_set_config(
    struct loopback_frontend *frontend, uint32_t offset, const void *from, uint32_t size)
{
	struct vhost_user_config config = { .offset = offset, .size = size };

	assert(size <= VHOST_USER_CONFIG_MAX);
	memcpy(config.bytes, from, size);
	return loopback_frontend_request(frontend, VHOST_USER_SET_CONFIG, &config,
	    VHOST_USER_CONFIG_HEADER_SIZE + size, -1, NULL);
}
