/* SPDX-License-Identifier: MIT */
/* vhost-user back end: the messages about rings, and kicks. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backend/probe.h"
#include "backend/vhost_user_private.h"

/*
 * "If VHOST_USER_F_PROTOCOL_FEATURES has not been negotiated, the ring starts
 * directly in the enabled state."
 */
static bool vhost_user_enabled(const struct vhost_user *user, unsigned index)
{
	return user->vrings[index].enabled ||
	       !(user->features & (UINT64_C(1) << VHOST_USER_F_PROTOCOL_FEATURES));
}

/* An eventfd whose counter is at its end, the only error, is readable as well. */
static void vhost_user_kick(struct vhost_user_vring *vring)
{
	const uint64_t one = 1;
	ssize_t n = write(sd_event_source_get_io_fd(vring->kick), &one, sizeof(one));

	(void)n;
}

void vhost_user_process(struct vhost_user *user, unsigned index)
{
	const struct virtqueue *queue = &user->queues[index];
	struct vhost_user_vring *vring = &user->vrings[index];

	vring->due = false;
	if (!queue->started || queue->broken || !vhost_user_enabled(user, index) ||
	    !user->device->impl->process_queue(user->device, index))
		return;
	/* The rest in the next round of the event loop */
	vhost_user_kick(vring);
}

static void vhost_user_run(struct vhost_user *user, unsigned index)
{
	user->depth++;
	vhost_user_process(user, index);
	user->depth--;
	if (user->destroyed)
		vhost_user_destroy(user);
}

static int vhost_user_woken(sd_event_source *source, uint64_t usec, void *data)
{
	struct vhost_user_vring *vring = data;

	vhost_user_run(vring->user, (unsigned)(vring - vring->user->vrings));
	return 0;
}

void vhost_user_wake_queue(void *data, unsigned index, uint64_t at_ns)
{
	struct vhost_user *user = data;
	struct vhost_user_vring *vring = &user->vrings[index];
	const uint64_t usec = (at_ns + 999) / 1000;
	int error;

	if (!vring->kick)
		return;
	if (!at_ns)
		error = -EAGAIN;
	else if (!vring->wake)
		error = sd_event_add_time(user->options.event, &vring->wake, CLOCK_MONOTONIC, usec,
		    1, vhost_user_woken, vring);
	else
		error = sd_event_source_set_time(vring->wake, usec);
	if (error >= 0)
		error = sd_event_source_set_enabled(vring->wake, SD_EVENT_ONESHOT);
	/* Without a timer: sooner, and perhaps again and again, but the queue does not get stuck */
	if (error < 0)
		vhost_user_kick(vring);
}

static int vhost_user_kicked(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct vhost_user_vring *vring = data;
	struct vhost_user *user = vring->user;
	unsigned index = (unsigned)(vring - user->vrings);
	uint64_t count, begin = trace_begin(user->device->trace);
	ssize_t n = read(fd, &count, sizeof(count));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n != sizeof(count)) {
		log_error("queue %u: the front end's kick descriptor is of no use (%s); "
			  "requests wait until it sends another",
		    index, n < 0 ? strerror(errno) : "end of file");
		sd_event_source_set_enabled(source, SD_EVENT_OFF);
		return 0;
	}
	PROBE(kick, index, count);
	trace_end(user->device->trace, begin, .type = TRACE_KICK, .queue = (uint8_t)index,
	    .arg = (uint32_t)count);
	/* Nothing comes from a broken queue until it is started anew: let the guest kick. */
	if (user->queues[index].broken) {
		sd_event_source_set_enabled(source, SD_EVENT_OFF);
		return 0;
	}
	vhost_user_run(user, index);
	return 0;
}

/* ------------------------------------------------------------- starting and stopping */

/* From now on the relay takes the driver's kicks, and we take its. */
static int vhost_user_listen_to_relay(
    struct vhost_user_vring *vring, const struct virtqueue_relay *relay)
{
	int fd = fcntl(relay->kick_fd, F_DUPFD_CLOEXEC, 0), r;

	if (fd < 0)
		return -errno;
	r = sd_event_source_set_io_fd(vring->kick, fd); /* closes the old one */
	if (r < 0)
		close(fd);
	return r < 0 ? r : 0;
}

static int vhost_user_start_queue(struct vhost_user *user, unsigned index)
{
	struct vhost_user_vring *vring = &user->vrings[index];
	struct virtqueue *queue = &user->queues[index];
	struct virtqueue_config config = {
		.size = vring->size,
		.base = vring->base,
		.features = user->features,
		.kick_fd = sd_event_source_get_io_fd(vring->kick),
	};
	uint64_t size = vring->size;
	int error;

	if (user->inflight && index < user->inflight->queue_count)
		config.inflight = &user->inflight->queues[index];
	if (config.inflight)
		config.inflight_file = user->inflight;
	error =
	    memory_translate_user(user->memory, vring->addr.descriptor, 16 * size, &config.desc);
	if (!error)
		error = memory_translate_user(
		    user->memory, vring->addr.available, 6 + 2 * size, &config.avail);
	if (!error)
		error = memory_translate_user(
		    user->memory, vring->addr.used, 6 + 8 * size, &config.used);
	if (!error)
		error = virtqueue_start(queue, user->memory, &config);
	if (error) {
		/* Size and addresses are the guest's choice: its queue breaks, nothing else. */
		virtqueue_break(queue, error == -EINVAL
					   ? "its size or the alignment of its rings is not valid"
					   : "its rings cannot be mapped");
		return 1;
	}
	if (queue->relay) {
		error = vhost_user_listen_to_relay(vring, queue->relay);
		if (error) {
			virtqueue_stop(queue);
			return error;
		}
	}
	if (user->device->impl->recover)
		user->device->impl->recover(user->device);
	sd_event_source_set_enabled(vring->kick, SD_EVENT_ON);
	/* There may be requests already, whose kick came before us. */
	vring->due = true;
	return 0;
}

static int vhost_user_start_queue_if_ready(struct vhost_user *user, unsigned index)
{
	const struct vhost_user_vring *vring = &user->vrings[index];

	if (user->queues[index].started || !vring->kick || !vring->addressed || !user->memory ||
	    !vhost_user_enabled(user, index))
		return 0;
	return vhost_user_start_queue(user, index);
}

int vhost_user_start_queues(struct vhost_user *user)
{
	int result = 0;

	for (unsigned i = 0; i < user->queue_count; i++) {
		if (!user->queues[i].broken && vhost_user_start_queue_if_ready(user, i))
			result = 1;
	}
	return result;
}

void vhost_user_stop_queue(struct vhost_user *user, unsigned index)
{
	struct vhost_user_vring *vring = &user->vrings[index];
	struct virtqueue *queue = &user->queues[index];

	vring->kick = sd_event_source_disable_unref(vring->kick);
	vring->wake = sd_event_source_disable_unref(vring->wake);
	vring->due = false;
	if (!queue->started)
		return;
	user->device->impl->drain_queue(user->device, index);
	virtqueue_publish(queue);
	virtqueue_stop(queue);
	vring->base = queue->last_avail;
	if (index == 0 && queue->last_avail)
		user->moved_on = true;
}

void vhost_user_forget_queues(struct vhost_user *user)
{
	for (unsigned i = 0; i < user->queue_count; i++) {
		vhost_user_stop_queue(user, i);
		user->vrings[i].enabled = user->vrings[i].addressed = false;
		user->vrings[i].size = user->vrings[i].base = 0;
	}
}

void vhost_user_finish_queues(struct vhost_user *user)
{
	for (unsigned i = 0; i < user->queue_count; i++) {
		vhost_user_stop_queue(user, i);
		if (user->queues[i].call_fd >= 0)
			close(user->queues[i].call_fd);
		if (user->queues[i].error_fd >= 0)
			close(user->queues[i].error_fd);
		user->queues[i].call_fd = user->queues[i].error_fd = -1;
	}
}

/* ------------------------------------------------------------- messages with a state */

static int vhost_user_check_index(
    struct vhost_user *user, const struct vhost_user_message *message, uint32_t index)
{
	if (index < user->queue_count)
		return 0;
	return vhost_user_malformed(
	    message, "queue %u of a device that has %u", index, user->queue_count);
}

/* ... and the queue must be stopped, by GET_VRING_BASE or a reset */
static int vhost_user_check_stopped(
    struct vhost_user *user, const struct vhost_user_message *message, uint32_t index)
{
	int error = vhost_user_check_index(user, message, index);

	if (!error && user->queues[index].started)
		error = vhost_user_malformed(message, "queue %u is running", index);
	return error;
}

int vhost_user_set_vring_num(struct vhost_user *user, struct vhost_user_message *message)
{
	const struct vhost_user_vring_state *state = &message->payload.state;
	int error = vhost_user_check_stopped(user, message, state->index);

	if (error)
		return error;
	/* What else is wrong with a size is the guest's doing, and for virtqueue_start() to see. */
	if (state->num > UINT16_MAX)
		return vhost_user_malformed(message, "a queue of %u", state->num);
	user->vrings[state->index].size = (uint16_t)state->num;
	return 0;
}

int vhost_user_set_vring_addr(struct vhost_user *user, struct vhost_user_message *message)
{
	const struct vhost_user_vring_addr *addr = &message->payload.addr;
	int error = vhost_user_check_index(user, message, addr->index);
	struct vhost_user_vring *vring;

	if (error)
		return error;
	vring = &user->vrings[addr->index];
	if (user->queues[addr->index].started) {
		/* A front end that turns logging on or off repeats the addresses. */
		if (addr->descriptor == vring->addr.descriptor &&
		    addr->available == vring->addr.available && addr->used == vring->addr.used)
			return 0;
		return vhost_user_malformed(message, "queue %u is running", addr->index);
	}
	vring->addr = *addr;
	vring->addressed = true;
	return vhost_user_start_queue_if_ready(user, addr->index);
}

int vhost_user_set_vring_base(struct vhost_user *user, struct vhost_user_message *message)
{
	const struct vhost_user_vring_state *state = &message->payload.state;
	int error = vhost_user_check_stopped(user, message, state->index);

	if (error)
		return error;
	if (state->num > UINT16_MAX)
		return vhost_user_malformed(message, "index %u", state->num);
	/* A front end that sends no status (QEMU does not for this device) leaves one trace of the
	 * guest's reset: the queue begins anew. */
	if (state->index == 0 && state->num == 0 && user->moved_on)
		vhost_user_reset(user);
	user->vrings[state->index].base = (uint16_t)state->num;
	return 0;
}

int vhost_user_get_vring_base(
    struct vhost_user *user, struct vhost_user_message *message, struct vhost_user_message *reply)
{
	uint32_t index = message->payload.state.index;
	int error = vhost_user_check_index(user, message, index);

	if (error)
		return error;
	vhost_user_stop_queue(user, index);
	reply->payload.state.index = index;
	reply->payload.state.num = user->vrings[index].base;
	reply->size = sizeof(reply->payload.state);
	return 0;
}

int vhost_user_set_vring_enable(struct vhost_user *user, struct vhost_user_message *message)
{
	const struct vhost_user_vring_state *state = &message->payload.state;
	int error = vhost_user_check_index(user, message, state->index);

	if (error)
		return error;
	if (state->num > 1)
		return vhost_user_malformed(message, "%u is neither 0 nor 1", state->num);
	user->vrings[state->index].enabled = state->num;
	if (user->queues[state->index].started)
		user->vrings[state->index].due = true; /* kicks may have come meanwhile */
	return vhost_user_start_queue_if_ready(user, state->index);
}

/* ------------------------------------------------------------- descriptors */

/*
 * Takes an eventfd out of the message, and the index of its queue. 0 with *fd (-1: the
 * front end has none), or -EPROTO.
 */
static int vhost_user_take_eventfd(
    struct vhost_user *user, struct vhost_user_message *message, unsigned *index, int *fd)
{
	uint64_t value = message->payload.u64;
	bool has_fd = !(value & VHOST_USER_VRING_NOFD);
	struct stat stat;
	int error, flags;

	if (value & ~(uint64_t)(VHOST_USER_VRING_INDEX | VHOST_USER_VRING_NOFD))
		return vhost_user_malformed(message, "%#llx", (unsigned long long)value);
	*index = value & VHOST_USER_VRING_INDEX;
	error = vhost_user_check_index(user, message, *index);
	if (error)
		return error;
	if (message->fd_count != has_fd)
		return vhost_user_malformed(
		    message, "%u descriptors where it announces %u", message->fd_count, has_fd);
	*fd = vhost_user_message_take_fd(message, 0);
	if (*fd < 0)
		return 0;
	/* A file, pipe or socket could block us, or raise SIGPIPE; eventfds have no file type. */
	flags = fcntl(*fd, F_GETFL);
	if (fstat(*fd, &stat) < 0 || (stat.st_mode & S_IFMT) || flags < 0 ||
	    fcntl(*fd, F_SETFL, flags | O_NONBLOCK) < 0) {
		close(*fd);
		return vhost_user_malformed(message, "the descriptor is not an eventfd");
	}
	return 0;
}

int vhost_user_set_vring_kick(struct vhost_user *user, struct vhost_user_message *message)
{
	struct vhost_user_vring *vring;
	sd_event_source *source;
	unsigned index;
	int fd, error;

	error = vhost_user_take_eventfd(user, message, &index, &fd);
	if (error)
		return error;
	if (fd < 0)
		return vhost_user_malformed(message,
		    "the front end wants queue %u to be polled, and gpudom does not poll; it has to "
		    "pass an eventfd",
		    index);
	vring = &user->vrings[index];
	if (user->queues[index].started && user->queues[index].relay) {
		virtqueue_set_fds(&user->queues[index], fd);
		close(fd);
		return 0;
	}
	error =
	    sd_event_add_io(user->options.event, &source, fd, EPOLLIN, vhost_user_kicked, vring);
	if (error < 0) {
		close(fd);
		return error == -EPERM ? vhost_user_malformed(message, "not an eventfd") : error;
	}
	sd_event_source_set_io_fd_own(source, true);
	sd_event_source_disable_unref(vring->kick);
	vring->kick = source;
	if (user->queues[index].started)
		vring->due = true; /* the old one may have been kicked */
	return vhost_user_start_queue_if_ready(user, index);
}

static void vhost_user_replace_fd(int *fd, int new)
{
	if (*fd >= 0)
		close(*fd);
	*fd = new;
}

int vhost_user_set_vring_call(struct vhost_user *user, struct vhost_user_message *message)
{
	unsigned index;
	int fd, error = vhost_user_take_eventfd(user, message, &index, &fd);

	if (error)
		return error;
	vhost_user_replace_fd(&user->queues[index].call_fd, fd);
	if (user->queues[index].started)
		virtqueue_set_fds(&user->queues[index], -1);
	return 0;
}

int vhost_user_set_vring_err(struct vhost_user *user, struct vhost_user_message *message)
{
	unsigned index;
	int fd, error = vhost_user_take_eventfd(user, message, &index, &fd);

	if (!error)
		vhost_user_replace_fd(&user->queues[index].error_fd, fd);
	return error;
}

/* ------------------------------------------------------------- requests in flight */

int vhost_user_get_inflight_fd(
    struct vhost_user *user, struct vhost_user_message *message, struct vhost_user_message *reply)
{
	const struct vhost_user_inflight *wanted = &message->payload.inflight;
	uint64_t size;
	int fd;

	if (!wanted->queue_count || wanted->queue_count > user->queue_count)
		return vhost_user_malformed(message, "%u queues of a device that has %u",
		    wanted->queue_count, user->queue_count);
	fd = inflight_create_file(
	    wanted->queue_count, wanted->queue_size, user->device->impl->ledger_size, &size);
	if (fd == -EINVAL)
		return vhost_user_malformed(message, "queues of %u", wanted->queue_size);
	if (fd < 0)
		return fd;
	reply->payload.inflight = *wanted;
	reply->payload.inflight.mmap_size = size;
	reply->payload.inflight.mmap_offset = 0;
	reply->size = message->size;
	reply->fds[0] = fd;
	reply->fd_count = 1;
	return 0;
}

int vhost_user_set_inflight_fd(struct vhost_user *user, struct vhost_user_message *message)
{
	const struct vhost_user_inflight *info = &message->payload.inflight;
	const struct virtio_device_impl *impl = user->device->impl;
	struct inflight *inflight;
	int error = 0;

	for (unsigned i = 0; i < user->queue_count; i++) {
		error = vhost_user_check_stopped(user, message, i);
		if (error)
			return error;
	}
	error = inflight_create(message->fds[0], info->mmap_offset, info->mmap_size,
	    info->queue_count, info->queue_size, impl->ledger_size, &inflight);
	if (error == -EINVAL || error == -EACCES)
		return vhost_user_malformed(message,
		    "%u queues of %u in %llu bytes: size or descriptor do not fit",
		    info->queue_count, info->queue_size, (unsigned long long)info->mmap_size);
	if (error)
		return error;
	/* A front end that stops and starts its queues says it again */
	if (user->inflight && inflight_equal(user->inflight, inflight)) {
		inflight_destroy(inflight);
		return 0;
	}
	if (impl->ledger_size)
		error = impl->set_ledger(user->device, inflight->ledger);
	inflight_destroy(user->inflight);
	user->inflight = error ? NULL : inflight;
	if (error) {
		log_error(
		    "this worker cannot go on where the last one ended: the record of what the "
		    "guest had is %s; the guest has to reset its device",
		    error == -ENOTRECOVERABLE ? "incomplete, or another version's" : "lost");
		inflight_destroy(inflight);
	}
	return error;
}
