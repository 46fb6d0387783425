/* SPDX-License-Identifier: MIT */
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
#include "xen/frontend_private.h"

#define F(feature) FRONTEND_PROTOCOL(feature)
#define STATUS_RUNNING                                                                        \
	(VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_FEATURES_OK | \
	    VIRTIO_CONFIG_S_DRIVER_OK)

/* ------------------------------------------------------------------ commands */

void frontend_fail(struct frontend *frontend, int error)
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

/* A question about the configuration leaves the back end as it is. */
static bool command_changes_backend(const struct command *command)
{
	return command->message.request != VHOST_USER_GET_CONFIG;
}

/* This process can be killed at any moment, and a successor reads the state: what was stored
 * before stays before, also for the compiler. */
static void frontend_set_settled(struct frontend *frontend, bool settled)
{
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	frontend->state->settled = settled;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

/* To be called when commands were dealt with. */
static void frontend_settle(struct frontend *frontend)
{
	if (frontend->ready && !frontend->unsettled && !frontend->error)
		frontend_set_settled(frontend, true);
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

void frontend_pump(struct frontend *frontend)
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
		frontend->unsettled -= command_changes_backend(command);
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
	frontend_settle(frontend);
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
	if (command_changes_backend(command)) {
		frontend->unsettled++;
		frontend_set_settled(frontend, false);
	}
	while (*link)
		link = &(*link)->next;
	*link = command;
	if (!frontend->unsent)
		frontend->unsent = command;
	return command;
}

void frontend_ask(struct frontend *frontend, uint32_t request, const void *payload, size_t size,
    int (*answer)(struct frontend *, struct vhost_user_message *), frontend_done done,
    void *done_data)
{
	struct command *command = frontend_add(frontend, request, payload, size);

	if (!command)
		return;
	command->answer = answer;
	command->done = done;
	command->done_data = done_data;
}

struct command *frontend_tell(struct frontend *frontend, uint32_t request, const void *payload,
    size_t size, int fd, int queue)
{
	struct command *command = frontend_add(frontend, request, payload, size);

	if (!command)
		return NULL;
	command->queue = queue;
	if (frontend->state->protocol_features & F(REPLY_ACK))
		command->message.flags = VHOST_USER_NEED_REPLY;
	if (fd >= 0) {
		command->message.fds[0] = fd;
		command->message.fd_count = 1;
	}
	return command;
}

void frontend_tell_u64(struct frontend *frontend, uint32_t request, uint64_t value)
{
	frontend_tell(frontend, request, &value, sizeof(value), -1, -1);
}

/* ------------------------------------------------------------------- answers */

static void frontend_refused(struct frontend *frontend, const struct command *command)
{
	const char *name = vhost_user_request_name(command->message.request);

	if (command->refused) {
		command->refused(frontend);
		return;
	}
	if (command->queue < 0) {
		log_guest(frontend->options.limit, "%s: the worker refuses %s",
		    frontend->options.name, name);
		frontend_fail(frontend, -EPROTO);
		return;
	}
	if (!frontend->state->started[command->queue])
		return; /* and was told so */
	frontend->state->started[command->queue] = false;
	frontend->options.listener.queue_refused(
	    frontend->options.listener.data, (unsigned)command->queue);
}

/* Is this the answer to our own first question? What comes before it was asked by our
 * predecessor. */
static bool frontend_drained(struct frontend *frontend, const struct vhost_user_message *reply)
{
	if (reply->request != VHOST_USER_GET_CONFIG ||
	    reply->payload.config.size != frontend->drain_until)
		return false;
	frontend->drain_until = 0;
	return true;
}

/* The answer to the oldest command. */
static void frontend_take_answer(struct frontend *frontend, struct vhost_user_message *reply)
{
	struct command *command = frontend->commands;
	int error;

	if (frontend->drain_until && !frontend_drained(frontend, reply))
		return;
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
	/* Not earlier: what @done does is part of the command. */
	frontend->unsettled -= command_changes_backend(command);
	command_free(command);
	frontend_settle(frontend);
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
	frontend->receiver.no_fds = !frontend->commands || frontend->commands->message.request !=
							       VHOST_USER_GET_INFLIGHT_FD;
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

static int frontend_answer_config(struct frontend *frontend, struct vhost_user_message *reply)
{
	if (reply->size != VHOST_USER_CONFIG_HEADER_SIZE + VHOST_USER_CONFIG_MAX ||
	    reply->payload.config.size != VHOST_USER_CONFIG_MAX)
		return -EPROTO;
	memcpy(frontend->state->config, reply->payload.config.bytes, VHOST_USER_CONFIG_MAX);
	return 0;
}

void frontend_get_config(struct frontend *frontend, frontend_done done, void *data)
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

/* Nothing more is read from it, so nothing can be left in it. */
static void frontend_leave_backend_channel(struct frontend *frontend)
{
	sd_event_source_set_enabled(frontend->backend_io, SD_EVENT_OFF);
	shutdown(frontend->backend_socket, SHUT_RDWR);
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
		frontend_leave_backend_channel(frontend);
		return 0;
	}
	if (request.request == VHOST_USER_BACKEND_CONFIG_CHANGE_MSG)
		frontend_config_changed(frontend);
	if (request.flags & VHOST_USER_NEED_REPLY) {
		struct vhost_user_message reply = {
			.request = request.request,
			.flags = VHOST_USER_REPLY,
			.size = sizeof(uint64_t),
			.payload.u64 = request.request != VHOST_USER_BACKEND_CONFIG_CHANGE_MSG,
		};

		if (vhost_user_send(frontend->backend_socket, &reply) < 0)
			frontend_leave_backend_channel(frontend);
	}
	vhost_user_message_finish(&request);
	return 0;
}

int frontend_watch_backend_channel(struct frontend *frontend, int socket)
{
	vhost_user_receiver_init(&frontend->backend_receiver, socket);
	frontend->backend_receiver.no_fds = true;
	return sd_event_add_io(frontend->options.event, &frontend->backend_io, socket, EPOLLIN,
	    frontend_dispatch_backend_io, frontend);
}

void frontend_handshaken(void *data)
{
	struct frontend *frontend = data;

	frontend->ready = true;
	frontend->config_asked = false;
	frontend->options.listener.ready(frontend->options.listener.data);
	if (frontend->config_stale && !frontend->config_asked) {
		frontend->config_stale = false;
		frontend_config_changed(frontend);
	}
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
	frontend_tell_queue_state(frontend, VHOST_USER_SET_VRING_NUM, index, queue->size);
	/* Not before the conversation is unsettled: see frontend_set_settled(). */
	frontend->state->started[index] = true;
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
	if (frontend->state->protocol_features & F(STATUS))
		frontend_tell_u64(frontend, VHOST_USER_SET_STATUS, STATUS_RUNNING);
	frontend_pump(frontend);
}

void frontend_start_queue(
    struct frontend *frontend, unsigned index, const struct frontend_queue *queue)
{
	frontend_add_queue(frontend, index, queue);
	frontend_pump(frontend);
}

static int frontend_answer_vring_base(struct frontend *frontend, struct vhost_user_message *reply)
{
	return reply->size == sizeof(reply->payload.state) ? 0 : -EPROTO;
}

static int frontend_answer_fence(struct frontend *frontend, struct vhost_user_message *reply)
{
	return reply->size == sizeof(reply->payload.u64) ? 0 : -EPROTO;
}

void frontend_stop_queue(struct frontend *frontend, unsigned index, frontend_done done, void *data)
{
	struct vhost_user_vring_state state = { .index = index };

	/* The back end must "stop ring upon receiving VHOST_USER_GET_VRING_BASE". */
	frontend_ask(frontend, VHOST_USER_GET_VRING_BASE, &state, sizeof(state),
	    frontend_answer_vring_base, done, data);
	frontend->state->started[index] = false;
	frontend_pump(frontend);
}

void frontend_reset(struct frontend *frontend, frontend_done done, void *data)
{
	for (unsigned i = 0; i < frontend->options.queues; i++)
		if (frontend->state->started[i])
			frontend_stop_queue(frontend, i, NULL, NULL);
	if (frontend->state->protocol_features & F(STATUS))
		frontend_tell_u64(frontend, VHOST_USER_SET_STATUS, 0);
	else if (frontend->state->protocol_features & F(RESET_DEVICE))
		frontend_tell(frontend, VHOST_USER_RESET_DEVICE, NULL, 0, -1, -1);
	/* Messages are taken in order: when this one is answered, those before are done, also by
	 * a back end that does not acknowledge. */
	frontend_ask(frontend, VHOST_USER_GET_FEATURES, NULL, 0, frontend_answer_fence, done, data);
	frontend_pump(frontend);
}

void frontend_invalidate(struct frontend *frontend, int memory_fd, frontend_done done, void *data)
{
	struct command *command = frontend_send_memory(frontend, memory_fd);

	if (!command) {
		close(memory_fd);
		return;
	}
	command->own_fd = memory_fd;
	frontend_ask(frontend, VHOST_USER_GET_FEATURES, NULL, 0, frontend_answer_fence, done, data);
	frontend_pump(frontend);
}

static void frontend_gpu_socket_refused(struct frontend *frontend)
{
	log_guest(frontend->options.limit, "%s: the worker cannot show its frames at the seat",
	    frontend->options.name);
}

void frontend_set_gpu_socket(struct frontend *frontend, int fd)
{
	struct command *command =
	    frontend_tell(frontend, VHOST_USER_GPU_SET_SOCKET, NULL, 0, fd, -1);

	if (!command) {
		close(fd);
		return;
	}
	command->own_fd = fd;
	command->refused = frontend_gpu_socket_refused;
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
	return frontend->state->features;
}

const void *frontend_config(const struct frontend *frontend)
{
	return frontend->state->config;
}

int frontend_take_inflight_fd(struct frontend *frontend)
{
	int fd = frontend->inflight_fd;

	frontend->inflight_fd = -1;
	return fd;
}

bool frontend_restored(const struct frontend *frontend)
{
	return frontend->restored;
}

int frontend_socket(const struct frontend *frontend)
{
	return frontend->socket;
}

int frontend_backend_socket(const struct frontend *frontend)
{
	return frontend->backend_socket;
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
	if (frontend->inflight_fd >= 0)
		close(frontend->inflight_fd);
	if (frontend->backend_socket >= 0)
		close(frontend->backend_socket);
	if (frontend->socket >= 0)
		close(frontend->socket);
	sd_event_unref(frontend->options.event);
	free(frontend);
}

static int frontend_watch(struct frontend *frontend, int socket)
{
	sd_event *event = frontend->options.event;
	int error =
	    sd_event_add_io(event, &frontend->io, socket, EPOLLIN, frontend_dispatch_io, frontend);

	if (error >= 0)
		error = sd_event_add_time_relative(event, &frontend->deadline, CLOCK_MONOTONIC, 0,
		    0, frontend_dispatch_deadline, frontend);
	if (error >= 0)
		error = sd_event_source_set_enabled(frontend->deadline, SD_EVENT_OFF);
	if (error >= 0)
		error = sd_event_add_defer(
		    event, &frontend->failure, frontend_dispatch_failure, frontend);
	if (error >= 0)
		error = sd_event_source_set_enabled(frontend->failure, SD_EVENT_OFF);
	return error;
}

static int frontend_new(
    const struct frontend_options *options, int socket, int backend_socket, struct frontend **out)
{
	struct frontend *frontend = calloc(1, sizeof(*frontend));
	int error;

	assert(options->queues <= FRONTEND_QUEUES_MAX);
	if (!frontend)
		return -ENOMEM;
	frontend->options = *options;
	frontend->state = options->state;
	sd_event_ref(options->event);
	/* The sockets are not ours until all went well. */
	frontend->socket = frontend->backend_socket = frontend->inflight_fd = -1;
	frontend->config_asked = true; /* by the handshake */
	vhost_user_receiver_init(&frontend->receiver, socket);
	error = frontend_watch(frontend, socket);
	if (error >= 0 && backend_socket >= 0)
		error = frontend_watch_backend_channel(frontend, backend_socket);
	if (error < 0) {
		log_error("%s: cannot watch the worker: %s", options->name, strerror(-error));
		frontend_destroy(frontend);
		return error;
	}
	frontend->socket = socket;
	frontend->backend_socket = backend_socket;
	*out = frontend;
	return 0;
}

int frontend_create(const struct frontend_options *options, int socket, struct frontend **out)
{
	struct frontend_state *state = options->state;
	int error = frontend_new(options, socket, -1, out);

	if (error)
		return error;
	frontend_set_settled(*out, false);
	state->features = state->protocol_features = 0;
	memset(state->started, 0, sizeof(state->started));
	if (options->inflight_fd < 0)
		state->inflight_size = 0;
	frontend_begin_handshake(*out);
	return 0;
}

static int frontend_answer_drained(struct frontend *frontend, struct vhost_user_message *reply)
{
	return 0;
}

int frontend_adopt(
    const struct frontend_options *options, int socket, int backend_socket, struct frontend **out)
{
	struct vhost_user_config config = { 0 };
	int error;

	assert(options->state->settled);
	error = frontend_new(options, socket, backend_socket, out);
	if (error)
		return error;
	/* Answers are echoes of their questions' sizes: a size that no predecessor has asked for
	 * (they ask for all, and our number is new) tells ours from theirs. */
	options->state->generation++;
	config.size = 1 + options->state->generation % (VHOST_USER_CONFIG_MAX - 1);
	(*out)->drain_until = config.size;
	frontend_ask(*out, VHOST_USER_GET_CONFIG, &config,
	    VHOST_USER_CONFIG_HEADER_SIZE + config.size, frontend_answer_drained, NULL, NULL);
	frontend_get_config(*out, frontend_handshaken, *out);
	frontend_pump(*out);
	return 0;
}
