/* SPDX-License-Identifier: MIT */
#include "xen/frontend.h"

#include <assert.h>
#include <errno.h>
#include <linux/virtio_config.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "backend/log.h"

#define F(feature) (UINT64_C(1) << VHOST_USER_PROTOCOL_F_##feature)
#define PROTOCOL_NEEDED (F(XEN_MMAP) | F(CONFIG))
#define PROTOCOL_WANTED \
	(PROTOCOL_NEEDED | F(MQ) | F(REPLY_ACK) | F(BACKEND_REQ) | F(STATUS) | F(RESET_DEVICE))
#define STATUS_RUNNING                                                                        \
	(VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_FEATURES_OK | \
	    VIRTIO_CONFIG_S_DRIVER_OK)

/* A message to send, and what to do with its answer. */
struct command {
	struct command *next;
	struct vhost_user_message message;
	int own_fd; /* closed when it has been sent; -1: none */
	int queue;  /* which a refusal breaks; -1: a refusal breaks the connection */
	/* NULL: no answer is due, or only an acknowledgement. 0; -EPROTO: the answer makes no
	 * sense; another error: of no use, and said why. */
	int (*answer)(struct frontend *frontend, const struct vhost_user_message *reply);
	frontend_done done; /* may be NULL */
	void *done_data;
};

struct frontend {
	struct frontend_options options;
	int socket, backend_socket; /* the back end's own requests; -1: none */
	struct vhost_user_receiver receiver, backend_receiver;
	sd_event_source *io, *backend_io, *deadline, *failure;

	/* In order: sent and waiting for an answer; then, from @unsent on, to be sent. */
	struct command *commands, *unsent;

	uint64_t features, protocol_features;
	uint8_t config[VHOST_USER_CONFIG_MAX];
	bool ready, config_asked, config_stale;
	bool started[FRONTEND_QUEUES_MAX];
	int error; /* of a connection that has failed */
};

/* ------------------------------------------------------------------ commands */

/* Gives the connection up. The listener hears of it from the event loop. */
static void frontend_fail(struct frontend *frontend, int error)
{
	if (frontend->error)
		return;
	frontend->error = error;
	sd_event_source_set_enabled(frontend->io, SD_EVENT_OFF);
	sd_event_source_set_enabled(frontend->deadline, SD_EVENT_OFF);
	if (frontend->backend_io)
		sd_event_source_set_enabled(frontend->backend_io, SD_EVENT_OFF);
	sd_event_source_set_enabled(frontend->failure, SD_EVENT_ONESHOT);
}

static int frontend_dispatch_failure(sd_event_source *source, void *data)
{
	struct frontend *frontend = data;

	frontend->options.listener.failed(frontend->options.listener.data, frontend->error);
	return 0;
}

static void command_free(struct command *command)
{
	if (command->own_fd >= 0)
		close(command->own_fd);
	free(command);
}

static bool command_has_answer(const struct command *command)
{
	return command->answer || (command->message.flags & VHOST_USER_NEED_REPLY);
}

/* The time that the oldest answer may take begins now. */
static void frontend_set_deadline(struct frontend *frontend)
{
	bool waiting = frontend->commands && frontend->commands != frontend->unsent;

	if (waiting)
		sd_event_source_set_time_relative(frontend->deadline,
		    frontend->ready ? frontend->options.answer_usec : frontend->options.hello_usec);
	sd_event_source_set_enabled(frontend->deadline, waiting ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
}

/* Sends what the socket takes. */
static void frontend_pump(struct frontend *frontend)
{
	bool was_waiting = frontend->commands != frontend->unsent;
	struct command **link = &frontend->commands;
	int error = 0;

	while (*link && *link != frontend->unsent)
		link = &(*link)->next;
	while (frontend->unsent && !frontend->error) {
		struct command *command = frontend->unsent;

		error = vhost_user_send(frontend->socket, &command->message);
		if (error)
			break;
		frontend->unsent = command->next;
		if (command_has_answer(command)) {
			link = &command->next;
			continue;
		}
		*link = command->next;
		command_free(command);
	}
	if (error && error != -EAGAIN) {
		if (!frontend->error)
			log_guest(frontend->options.limit, "%s: cannot talk to the worker: %s",
			    frontend->options.name, strerror(-error));
		frontend_fail(frontend, error);
		return;
	}
	sd_event_source_set_io_events(frontend->io, EPOLLIN | (error ? EPOLLOUT : 0));
	if (!was_waiting)
		frontend_set_deadline(frontend);
}

/* Queues a command with @size bytes of @payload; NULL (and the connection has failed) without
 * memory. The caller may add to it, then pumps. */
static struct command *frontend_add(
    struct frontend *frontend, uint32_t request, const void *payload, size_t size)
{
	struct command *command = calloc(1, sizeof(*command)), **link = &frontend->commands;

	if (!command) {
		log_error("%s: out of memory", frontend->options.name);
		frontend_fail(frontend, -ENOMEM);
		return NULL;
	}
	command->message.request = request;
	command->message.size = (uint32_t)size;
	if (size)
		memcpy(&command->message.payload, payload, size);
	command->own_fd = -1;
	command->queue = -1;
	while (*link)
		link = &(*link)->next;
	*link = command;
	if (!frontend->unsent)
		frontend->unsent = command;
	return command;
}

/* A request with an answer of its own. */
static void frontend_ask(struct frontend *frontend, uint32_t request, const void *payload,
    size_t size, int (*answer)(struct frontend *, const struct vhost_user_message *),
    frontend_done done, void *done_data)
{
	struct command *command = frontend_add(frontend, request, payload, size);

	if (!command)
		return;
	command->answer = answer;
	command->done = done;
	command->done_data = done_data;
}

/* A request without one; acknowledged where the back end knows how. @fd: -1, or not owned. */
static struct command *frontend_tell(struct frontend *frontend, uint32_t request,
    const void *payload, size_t size, int fd, int queue)
{
	struct command *command = frontend_add(frontend, request, payload, size);

	if (!command)
		return NULL;
	command->queue = queue;
	if (frontend->protocol_features & F(REPLY_ACK))
		command->message.flags = VHOST_USER_NEED_REPLY;
	if (fd >= 0) {
		command->message.fds[0] = fd;
		command->message.fd_count = 1;
	}
	return command;
}

static void frontend_tell_u64(struct frontend *frontend, uint32_t request, uint64_t value)
{
	frontend_tell(frontend, request, &value, sizeof(value), -1, -1);
}

/* ------------------------------------------------------------------- answers */

static void frontend_refused(struct frontend *frontend, const struct command *command)
{
	const char *name = vhost_user_request_name(command->message.request);

	if (command->queue < 0) {
		log_guest(frontend->options.limit, "%s: the worker refuses %s",
		    frontend->options.name, name);
		frontend_fail(frontend, -EPROTO);
		return;
	}
	if (!frontend->started[command->queue])
		return; /* and was told so */
	frontend->started[command->queue] = false;
	frontend->options.listener.queue_refused(
	    frontend->options.listener.data, (unsigned)command->queue);
}

/* The answer to the oldest command. */
static void frontend_take_answer(struct frontend *frontend, const struct vhost_user_message *reply)
{
	struct command *command = frontend->commands;
	int error;

	if (!command || command == frontend->unsent || !(reply->flags & VHOST_USER_REPLY) ||
	    reply->request != command->message.request) {
		log_guest(frontend->options.limit, "%s: the worker answers %s, which was not asked",
		    frontend->options.name, vhost_user_request_name(reply->request));
		frontend_fail(frontend, -EPROTO);
		return;
	}
	frontend->commands = command->next;
	if (command->answer)
		error = command->answer(frontend, reply);
	else
		error = reply->size == sizeof(reply->payload.u64) ? 0 : -EPROTO;
	if (error) {
		if (error == -EPROTO)
			log_guest(frontend->options.limit,
			    "%s: the worker's answer to %s makes no sense", frontend->options.name,
			    vhost_user_request_name(reply->request));
		frontend_fail(frontend, error);
	} else if (!command->answer && reply->payload.u64) {
		frontend_refused(frontend, command);
	} else if (command->done && !frontend->error) {
		command->done(command->done_data);
	}
	command_free(command);
	if (!frontend->error)
		frontend_set_deadline(frontend);
}

static int frontend_dispatch_io(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct frontend *frontend = data;
	struct vhost_user_message reply;
	int r;

	if (events & EPOLLOUT)
		frontend_pump(frontend);
	if (frontend->error)
		return 0;
	/* One at a time: what an answer leads to comes before the next one. */
	r = vhost_user_receive(&frontend->receiver, &reply);
	if (r > 0) {
		frontend_take_answer(frontend, &reply);
		vhost_user_message_finish(&reply);
	} else if (r < 0) {
		log_guest(frontend->options.limit, "%s: the worker %s", frontend->options.name,
		    r == -ENOTCONN ? "has closed the connection" : "sends what is no message");
		frontend_fail(frontend, r);
	}
	return 0;
}

static int frontend_dispatch_deadline(sd_event_source *source, uint64_t usec, void *data)
{
	struct frontend *frontend = data;

	log_guest(frontend->options.limit, "%s: the worker has not answered %s for %llu s",
	    frontend->options.name, vhost_user_request_name(frontend->commands->message.request),
	    (unsigned long long)((frontend->ready ? frontend->options.answer_usec
						  : frontend->options.hello_usec) /
				 1000000));
	frontend_fail(frontend, -ETIMEDOUT);
	return 0;
}

/* --------------------------------------------------------- configuration space */

static int frontend_answer_config(struct frontend *frontend, const struct vhost_user_message *reply)
{
	if (reply->size != VHOST_USER_CONFIG_HEADER_SIZE + VHOST_USER_CONFIG_MAX ||
	    reply->payload.config.size != VHOST_USER_CONFIG_MAX)
		return -EPROTO;
	memcpy(frontend->config, reply->payload.config.bytes, VHOST_USER_CONFIG_MAX);
	return 0;
}

static void frontend_get_config(struct frontend *frontend, frontend_done done, void *data)
{
	struct vhost_user_config config = { .size = VHOST_USER_CONFIG_MAX };

	frontend_ask(frontend, VHOST_USER_GET_CONFIG, &config,
	    VHOST_USER_CONFIG_HEADER_SIZE + VHOST_USER_CONFIG_MAX, frontend_answer_config, done,
	    data);
}

static void frontend_config_came(void *data)
{
	struct frontend *frontend = data;

	frontend->config_asked = false;
	if (frontend->config_stale) {
		frontend->config_stale = false;
		frontend->config_asked = true;
		frontend_get_config(frontend, frontend_config_came, frontend);
		frontend_pump(frontend);
	}
	frontend->options.listener.config_changed(frontend->options.listener.data);
}

/* However many changes the back end reports, one question is under way. */
static void frontend_config_changed(struct frontend *frontend)
{
	if (frontend->config_asked) {
		frontend->config_stale = true;
		return;
	}
	frontend->config_asked = true;
	frontend_get_config(frontend, frontend_config_came, frontend);
	frontend_pump(frontend);
}

static int frontend_dispatch_backend_io(
    sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct frontend *frontend = data;
	struct vhost_user_message request;
	int r = vhost_user_receive(&frontend->backend_receiver, &request);

	if (r == 0)
		return 0;
	if (r < 0) {
		/* The main socket tells why, where it is not only this one. */
		log_debug("%s: the worker's own channel is closed", frontend->options.name);
		sd_event_source_set_enabled(frontend->backend_io, SD_EVENT_OFF);
		return 0;
	}
	if (request.request == VHOST_USER_BACKEND_CONFIG_CHANGE_MSG && frontend->ready)
		frontend_config_changed(frontend);
	if (request.flags & VHOST_USER_NEED_REPLY) {
		struct vhost_user_message reply = {
			.request = request.request,
			.flags = VHOST_USER_REPLY,
			.size = sizeof(uint64_t),
			.payload.u64 = request.request != VHOST_USER_BACKEND_CONFIG_CHANGE_MSG,
		};

		if (vhost_user_send(frontend->backend_socket, &reply) < 0)
			sd_event_source_set_enabled(frontend->backend_io, SD_EVENT_OFF);
	}
	vhost_user_message_finish(&request);
	return 0;
}

/* ----------------------------------------------------------------- handshake */

static void frontend_handshaken(void *data)
{
	struct frontend *frontend = data;

	frontend->ready = true;
	frontend->options.listener.ready(frontend->options.listener.data);
}

/* The channel for the back end's own requests; without it there are no configuration changes. */
static void frontend_open_backend_channel(struct frontend *frontend)
{
	struct command *command;
	int pair[2], error;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0) {
		frontend_fail(frontend, -errno);
		return;
	}
	frontend->backend_socket = pair[0];
	vhost_user_receiver_init(&frontend->backend_receiver, pair[0]);
	error = sd_event_add_io(frontend->options.event, &frontend->backend_io, pair[0], EPOLLIN,
	    frontend_dispatch_backend_io, frontend);
	command = error < 0 ? NULL
			    : frontend_tell(
				  frontend, VHOST_USER_SET_BACKEND_REQ_FD, NULL, 0, pair[1], -1);
	if (!command) {
		close(pair[1]);
		frontend_fail(frontend, error < 0 ? error : -ENOMEM);
		return;
	}
	command->own_fd = pair[1];
}

static void frontend_send_memory(struct frontend *frontend)
{
	const struct memory_region *memory = &frontend->options.memory;
	struct vhost_user_mem_table table = { .region_count = 1 };

	table.xen_regions[0] = (struct vhost_user_xen_region){
		.region = {
			.guest_address = memory->guest_address,
			.size = memory->size,
			.user_address = memory->user_address,
			.mmap_offset = memory->mmap_offset,
		},
		.xen_flags = memory->xen_flags,
		.xen_domid = memory->xen_domid,
	};
	frontend_tell(frontend, VHOST_USER_SET_MEM_TABLE, &table,
	    offsetof(struct vhost_user_mem_table, xen_regions[1]), frontend->options.memory_fd, -1);
}

static int frontend_answer_queue_num(
    struct frontend *frontend, const struct vhost_user_message *reply)
{
	if (reply->size != sizeof(reply->payload.u64))
		return -EPROTO;
	if (reply->payload.u64 < frontend->options.queues) {
		log_error("%s: the worker has %llu queues, %u are needed", frontend->options.name,
		    (unsigned long long)reply->payload.u64, frontend->options.queues);
		return -ENOTSUP;
	}
	return 0;
}

static int frontend_answer_protocol_features(
    struct frontend *frontend, const struct vhost_user_message *reply)
{
	uint64_t offered = reply->payload.u64;

	if (reply->size != sizeof(offered))
		return -EPROTO;
	if (PROTOCOL_NEEDED & ~offered) {
		log_error("%s: the worker lacks vhost-user protocol features %#llx (XEN_MMAP, "
			  "CONFIG): it is not made for Xen",
		    frontend->options.name, (unsigned long long)(PROTOCOL_NEEDED & ~offered));
		return -ENOTSUP;
	}
	offered &= PROTOCOL_WANTED;
	frontend_tell_u64(frontend, VHOST_USER_SET_PROTOCOL_FEATURES, offered);
	frontend->protocol_features = offered;
	frontend_tell(frontend, VHOST_USER_SET_OWNER, NULL, 0, -1, -1);
	if (offered & F(MQ))
		frontend_ask(frontend, VHOST_USER_GET_QUEUE_NUM, NULL, 0, frontend_answer_queue_num,
		    NULL, NULL);
	if (offered & F(BACKEND_REQ))
		frontend_open_backend_channel(frontend);
	frontend_send_memory(frontend);
	frontend_get_config(frontend, frontend_handshaken, frontend);
	frontend_pump(frontend);
	return 0;
}

static int frontend_answer_features(
    struct frontend *frontend, const struct vhost_user_message *reply)
{
	if (reply->size != sizeof(reply->payload.u64) ||
	    !(reply->payload.u64 & (UINT64_C(1) << VHOST_USER_F_PROTOCOL_FEATURES)))
		return -EPROTO;
	frontend->features = reply->payload.u64 & ~(UINT64_C(1) << VHOST_USER_F_PROTOCOL_FEATURES);
	frontend_ask(frontend, VHOST_USER_GET_PROTOCOL_FEATURES, NULL, 0,
	    frontend_answer_protocol_features, NULL, NULL);
	frontend_pump(frontend);
	return 0;
}

/* -------------------------------------------------------- starting, stopping */

static void frontend_tell_queue_fd(
    struct frontend *frontend, uint32_t request, unsigned index, int fd)
{
	uint64_t value = index | (fd < 0 ? VHOST_USER_VRING_NOFD : 0);

	frontend_tell(frontend, request, &value, sizeof(value), fd, (int)index);
}

static void frontend_tell_queue_state(
    struct frontend *frontend, uint32_t request, unsigned index, uint32_t num)
{
	struct vhost_user_vring_state state = { .index = index, .num = num };

	frontend_tell(frontend, request, &state, sizeof(state), -1, (int)index);
}

static void frontend_add_queue(
    struct frontend *frontend, unsigned index, const struct frontend_queue *queue)
{
	struct vhost_user_vring_addr addr = {
		.index = index,
		.descriptor = queue->desc,
		.available = queue->avail,
		.used = queue->used,
	};

	assert(index < frontend->options.queues);
	frontend->started[index] = true;
	frontend_tell_queue_state(frontend, VHOST_USER_SET_VRING_NUM, index, queue->size);
	frontend_tell_queue_state(frontend, VHOST_USER_SET_VRING_BASE, index, 0);
	frontend_tell(frontend, VHOST_USER_SET_VRING_ADDR, &addr, sizeof(addr), -1, (int)index);
	frontend_tell_queue_fd(frontend, VHOST_USER_SET_VRING_ERR, index, queue->error_fd);
	frontend_tell_queue_fd(frontend, VHOST_USER_SET_VRING_CALL, index, queue->call_fd);
	frontend_tell_queue_fd(frontend, VHOST_USER_SET_VRING_KICK, index, queue->kick_fd);
	frontend_tell_queue_state(frontend, VHOST_USER_SET_VRING_ENABLE, index, 1);
}

void frontend_start(
    struct frontend *frontend, uint64_t features, const struct frontend_queue *const *queues)
{
	frontend_tell_u64(frontend, VHOST_USER_SET_FEATURES,
	    features | UINT64_C(1) << VHOST_USER_F_PROTOCOL_FEATURES);
	for (unsigned i = 0; i < frontend->options.queues; i++)
		if (queues[i])
			frontend_add_queue(frontend, i, queues[i]);
	if (frontend->protocol_features & F(STATUS))
		frontend_tell_u64(frontend, VHOST_USER_SET_STATUS, STATUS_RUNNING);
	frontend_pump(frontend);
}

void frontend_start_queue(
    struct frontend *frontend, unsigned index, const struct frontend_queue *queue)
{
	frontend_add_queue(frontend, index, queue);
	frontend_pump(frontend);
}

static int frontend_answer_vring_base(
    struct frontend *frontend, const struct vhost_user_message *reply)
{
	return reply->size == sizeof(reply->payload.state) ? 0 : -EPROTO;
}

static int frontend_answer_fence(struct frontend *frontend, const struct vhost_user_message *reply)
{
	return reply->size == sizeof(reply->payload.u64) ? 0 : -EPROTO;
}

void frontend_stop_queue(struct frontend *frontend, unsigned index, frontend_done done, void *data)
{
	struct vhost_user_vring_state state = { .index = index };

	frontend->started[index] = false;
	/* The back end must "stop ring upon receiving VHOST_USER_GET_VRING_BASE". */
	frontend_ask(frontend, VHOST_USER_GET_VRING_BASE, &state, sizeof(state),
	    frontend_answer_vring_base, done, data);
	frontend_pump(frontend);
}

void frontend_reset(struct frontend *frontend, frontend_done done, void *data)
{
	for (unsigned i = 0; i < frontend->options.queues; i++)
		if (frontend->started[i])
			frontend_stop_queue(frontend, i, NULL, NULL);
	if (frontend->protocol_features & F(STATUS))
		frontend_tell_u64(frontend, VHOST_USER_SET_STATUS, 0);
	else if (frontend->protocol_features & F(RESET_DEVICE))
		frontend_tell(frontend, VHOST_USER_RESET_DEVICE, NULL, 0, -1, -1);
	/* Messages are taken in order: when this one is answered, those before are done, also by
	 * a back end that does not acknowledge. */
	frontend_ask(frontend, VHOST_USER_GET_FEATURES, NULL, 0, frontend_answer_fence, done, data);
	frontend_pump(frontend);
}

void frontend_write_config(struct frontend *frontend, uint32_t offset, const void *from,
    uint32_t size, frontend_done done, void *data)
{
	struct vhost_user_config config = { .offset = offset, .size = size };

	assert(size <= VHOST_USER_CONFIG_MAX);
	memcpy(config.bytes, from, size);
	frontend_tell(
	    frontend, VHOST_USER_SET_CONFIG, &config, VHOST_USER_CONFIG_HEADER_SIZE + size, -1, -1);
	frontend_get_config(frontend, done, data);
	frontend_pump(frontend);
}

uint64_t frontend_features(const struct frontend *frontend)
{
	return frontend->features;
}

const void *frontend_config(const struct frontend *frontend)
{
	return frontend->config;
}

/* ----------------------------------------------------------------- life time */

void frontend_destroy(struct frontend *frontend)
{
	if (!frontend)
		return;
	while (frontend->commands) {
		struct command *command = frontend->commands;

		frontend->commands = command->next;
		command_free(command);
	}
	sd_event_source_disable_unref(frontend->io);
	sd_event_source_disable_unref(frontend->backend_io);
	sd_event_source_disable_unref(frontend->deadline);
	sd_event_source_disable_unref(frontend->failure);
	vhost_user_receiver_finish(&frontend->receiver);
	vhost_user_receiver_finish(&frontend->backend_receiver);
	if (frontend->backend_socket >= 0)
		close(frontend->backend_socket);
	if (frontend->socket >= 0)
		close(frontend->socket);
	sd_event_unref(frontend->options.event);
	free(frontend);
}

int frontend_create(const struct frontend_options *options, int socket, struct frontend **out)
{
	struct frontend *frontend = calloc(1, sizeof(*frontend));
	int error;

	assert(options->queues <= FRONTEND_QUEUES_MAX);
	if (!frontend)
		return -ENOMEM;
	frontend->options = *options;
	sd_event_ref(options->event);
	frontend->backend_socket = -1;
	frontend->socket = -1; /* not ours until all went well */
	vhost_user_receiver_init(&frontend->receiver, socket);

	error = sd_event_add_io(
	    options->event, &frontend->io, socket, EPOLLIN, frontend_dispatch_io, frontend);
	if (error >= 0)
		error = sd_event_add_time_relative(options->event, &frontend->deadline,
		    CLOCK_MONOTONIC, 0, 0, frontend_dispatch_deadline, frontend);
	if (error >= 0)
		error = sd_event_source_set_enabled(frontend->deadline, SD_EVENT_OFF);
	if (error >= 0)
		error = sd_event_add_defer(
		    options->event, &frontend->failure, frontend_dispatch_failure, frontend);
	if (error >= 0)
		error = sd_event_source_set_enabled(frontend->failure, SD_EVENT_OFF);
	if (error < 0) {
		log_error("%s: cannot watch the worker: %s", options->name, strerror(-error));
		frontend_destroy(frontend);
		return error;
	}
	frontend->socket = socket;
	frontend_ask(
	    frontend, VHOST_USER_GET_FEATURES, NULL, 0, frontend_answer_features, NULL, NULL);
	frontend_pump(frontend);
	*out = frontend;
	return 0;
}
