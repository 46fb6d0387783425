/* SPDX-License-Identifier: MIT */
/*
 * One device of a guest: makes frames, and writes each with one call; where the socket is full they
 * wait in a ring. What is lost of that, oldest first, is summed up in the state `lost`: the frames
 * that lead there from `told` go before the ones that wait, so that whoever reads sees a history
 * with a gap, and never one that is wrong.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "render/seat_input_private.h"

/* What the kernel holds of a device's frames is beyond our reach when they become old: about a
 * hundred frames. */
#define SOCKET_BUFFER 32768
#define PACKET_HEAD offsetof(struct seat_input_packet, events)
/* Of a worker, at one wake-up */
#define STATUS_PACKETS_MAX 16

static void state_apply(
    struct input_state *state, const struct seat_input_event *events, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		input_state_apply(state, &events[i]);
}

bool seat_device_any_down(const struct seat_device *device, unsigned first, unsigned last)
{
	for (unsigned code = first; code <= last; code++)
		if (seat_bit(device->now.keys, code))
			return true;
	return false;
}

/* ---------------------------------------------------------------- writing */

static void device_disconnect(struct seat_device *device, const char *why);

/* -EAGAIN: not now. -EPIPE: never, it is disconnected. */
static int device_write(struct seat_device *device, const struct seat_input_event *first,
    unsigned first_count, const struct seat_input_event *second, unsigned second_count)
{
	struct seat_input_packet head = { .count = first_count + second_count };
	struct iovec parts[] = {
		{ &head, PACKET_HEAD },
		{ (void *)first, first_count * sizeof(*first) },
		{ (void *)second, second_count * sizeof(*second) },
	};
	const struct msghdr message = { .msg_iov = parts, .msg_iovlen = second_count ? 3 : 2 };
	struct seat_input *input = device->input;

	if (sendmsg(device->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
		if (errno == EAGAIN || errno == EINTR || errno == ENOBUFS)
			return -EAGAIN;
		device_disconnect(device, strerror(errno));
		return -EPIPE;
	}
	state_apply(&device->told, first, first_count);
	state_apply(&device->told, second, second_count);
	device->frames++;
	input->stats.frames++;
	input->stats.events += head.count;
	return 0;
}

static const struct seat_input_event *ring_at(const struct seat_device *device, unsigned i)
{
	return &device->ring[(device->ring_head + i) % SEAT_INPUT_RING];
}

/* The number of events of the oldest frame. */
static unsigned ring_frame(const struct seat_device *device)
{
	unsigned count = 0;

	while (ring_at(device, count++)->type != EV_SYN)
		;
	return count;
}

static void ring_pop(struct seat_device *device, unsigned count)
{
	device->ring_head = (device->ring_head + count) % SEAT_INPUT_RING;
	device->ring_count -= count;
}

/* A frame does not reach the guest. */
static void device_lose(
    struct seat_device *device, const struct seat_input_event *events, unsigned count)
{
	if (!device->behind) {
		device->lost = device->told;
		device->behind = true;
	}
	state_apply(&device->lost, events, count);
}

static void ring_lose(struct seat_device *device)
{
	const unsigned count = ring_frame(device);

	for (unsigned i = 0; i < count; i++)
		device_lose(device, ring_at(device, i), 1);
	ring_pop(device, count);
	device->lost_frames++;
	device->input->stats.lost++;
}

static void ring_push(
    struct seat_device *device, const struct seat_input_event *events, unsigned count)
{
	while (SEAT_INPUT_RING - device->ring_count < count)
		ring_lose(device);
	for (unsigned i = 0; i < count; i++)
		device->ring[(device->ring_head + device->ring_count++) % SEAT_INPUT_RING] =
		    events[i];
}

/* The state after what was lost, in as many frames as it takes. */
static int device_resync(struct seat_device *device)
{
	struct seat_input_event events[SEAT_INPUT_EVENTS_MAX];
	unsigned count;
	int r;

	while (device->behind) {
		count = input_state_difference(
		    &device->told, &device->lost, events, SEAT_INPUT_EVENTS_MAX);
		if (!count) {
			device->behind = false;
			break;
		}
		r = device_write(device, events, count, NULL, 0);
		if (r < 0)
			return r;
		device->input->stats.resyncs++;
	}
	return 0;
}

/* As much as the socket takes. */
static void device_drain(struct seat_device *device)
{
	unsigned count, first;
	int r = device_resync(device);

	while (r == 0 && device->ring_count) {
		count = ring_frame(device);
		first = SEAT_INPUT_RING - device->ring_head;
		first = first < count ? first : count;
		r = device_write(
		    device, ring_at(device, 0), first, ring_at(device, first), count - first);
		if (r == 0)
			ring_pop(device, count);
	}
	if (device->io)
		sd_event_source_set_io_events(
		    device->io, r == -EAGAIN ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

void seat_device_flush(struct seat_device *device)
{
	struct seat_input *input = device->input;
	int r = -EAGAIN;

	if (!device->framing)
		return;
	device->framing = false;
	TAILQ_REMOVE(&input->framing, device, link);
	if (device->fd < 0)
		return;
	device->frame[device->frame_count++] = (struct seat_input_event){ EV_SYN, SYN_REPORT, 0 };
	if (!device->ring_count) /* nor is it behind then */
		r = device_write(device, device->frame, device->frame_count, NULL, 0);
	if (r == 0 && input->time_ns)
		telemetry_histogram_add(&input->latency, telemetry_now() - input->time_ns);
	if (r != -EAGAIN)
		return;
	ring_push(device, device->frame, device->frame_count);
	sd_event_source_set_io_events(device->io, EPOLLIN | EPOLLOUT);
}

void seat_device_add(
    struct seat_device *device, unsigned source, uint16_t type, uint16_t code, int32_t value)
{
	const struct seat_input_event event = { type, code, value };

	if (device->framing &&
	    (device->frame_source != source || device->frame_count == SEAT_INPUT_EVENTS_MAX - 1))
		seat_device_flush(device);
	if (device->fd < 0) {
		device->input->stats.dropped++;
		return;
	}
	if (!device->framing) {
		device->framing = true;
		device->frame_source = source;
		device->frame_count = 0;
		TAILQ_INSERT_TAIL(&device->input->framing, device, link);
	}
	device->frame[device->frame_count++] = event;
	input_state_apply(&device->now, &event);
}

/* ---------------------------------------------------------------- what guests say */

static void device_set_leds(struct seat_device *device, uint32_t leds)
{
	struct seat_input *input = device->input;
	struct seat_guest *guest = device->guest;

	device->leds = leds;
	if (guest->leds == leds)
		return;
	guest->leds = leds;
	if (input->focus == guest && input->listener.leds)
		input->listener.leds(input->listener.data, leds);
}

static void device_take_status(
    struct seat_device *device, const struct seat_input_packet *packet, size_t size)
{
	uint32_t leds = device->leds;

	if (size < PACKET_HEAD || packet->count > SEAT_INPUT_EVENTS_MAX ||
	    size != PACKET_HEAD + packet->count * sizeof(packet->events[0])) {
		log_guest(&device->bad_packets,
		    "guest %s: its %s sent a packet of %zu bytes that is none", device->guest->name,
		    seat_input_kind_name(device->kind), size);
		return;
	}
	for (uint32_t i = 0; i < packet->count; i++) {
		const struct seat_input_event *event = &packet->events[i];

		/* EV_REP: its own kernel repeats keys, or does not. */
		if (event->type != EV_LED || event->code >= LED_CNT)
			continue;
		leds &= ~(UINT32_C(1) << event->code);
		leds |= (uint32_t)(event->value != 0) << event->code;
	}
	if (device->kind == SEAT_INPUT_KEYBOARD && leds != device->leds)
		device_set_leds(device, leds);
}

/* False: there is no more for now. */
static bool device_read(struct seat_device *device)
{
	struct seat_input_packet packet;
	ssize_t n = recv(device->fd, &packet, sizeof(packet), MSG_DONTWAIT | MSG_TRUNC);

	if (n > 0) {
		device_take_status(device, &packet, (size_t)n);
		return true;
	}
	if (n == 0)
		device_disconnect(device, "its worker has hung up");
	else if (errno != EAGAIN && errno != EINTR)
		device_disconnect(device, strerror(errno));
	return false;
}

static int device_on_io(sd_event_source *source, int fd, uint32_t revents, void *data)
{
	struct seat_device *device = data;

	if (revents & EPOLLOUT)
		device_drain(device);
	if (revents & (EPOLLIN | EPOLLHUP | EPOLLERR))
		for (unsigned i = 0; i < STATUS_PACKETS_MAX && device->fd >= 0; i++)
			if (!device_read(device))
				break;
	return 0;
}

/* ---------------------------------------------------------------- life */

static void device_close(struct seat_device *device)
{
	device->io = sd_event_source_disable_unref(device->io);
	if (device->fd >= 0)
		close(device->fd);
	device->fd = -1;
}

/* The worker, or the one that follows it, has the guest let go of what is down. */
static void device_disconnect(struct seat_device *device, const char *why)
{
	if (device->fd < 0)
		return;
	log_debug("guest %s: no input to its %s (device %u) any more: %s", device->guest->name,
	    seat_input_kind_name(device->kind), device->number, why);
	device_close(device);
	device->ring_count = 0;
	device->behind = false;
	input_state_release(&device->now);
	device->told = device->now;
	if (device->leds)
		device_set_leds(device, 0);
}

int seat_device_connect(struct seat_device *device, enum seat_input_kind kind, int fd)
{
	const int size = SOCKET_BUFFER;
	sd_event_source *io;
	int r;

	r = sd_event_add_io(device->input->event, &io, fd, EPOLLIN, device_on_io, device);
	if (r < 0)
		return r;
	/* What people do comes before what guests say. */
	sd_event_source_set_priority(io, SD_EVENT_PRIORITY_NORMAL + 10);
	sd_event_source_set_description(io, "seat-input-device");
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	device_disconnect(device, "there is another one");
	device->kind = kind;
	device->fd = fd;
	device->io = io;
	input_state_init(&device->now);
	device->told = device->now;
	device->primary = SEAT_INPUT_SLOTS;
	return 0;
}

int seat_device_create(struct seat_input *input, struct seat_guest *guest, unsigned number,
    struct seat_device **device)
{
	*device = calloc(1, sizeof(**device));
	if (!*device)
		return -ENOMEM;
	(*device)->input = input;
	(*device)->guest = guest;
	(*device)->number = number;
	(*device)->fd = -1;
	return 0;
}

void seat_device_destroy(struct seat_device *device)
{
	if (!device)
		return;
	if (device->framing)
		TAILQ_REMOVE(&device->input->framing, device, link);
	device_close(device);
	free(device);
}
