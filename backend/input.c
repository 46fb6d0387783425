/* SPDX-License-Identifier: MIT */
#include "backend/input.h"

#include <errno.h>
#include <linux/virtio_ids.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "backend/input_internal.h"
#include "backend/input_kinds.h"

_Static_assert(sizeof(struct seat_input_event) == sizeof(struct virtio_input_event),
    "events are passed on as they are");

/* ---------------------------------------------------------------- features, configuration */

static uint64_t input_get_features(struct virtio_device *device)
{
	return 0; /* "None." */
}

static void input_set_features(struct virtio_device *device, uint64_t features)
{
}

static void input_read_config(
    struct virtio_device *device, uint32_t offset, void *to, uint32_t size)
{
	struct input *input = input_from_device(device);
	struct virtio_input_config config = { .select = input->select, .subsel = input->subsel };

	_Static_assert(sizeof(config.u) == INPUT_CONFIG_DATA_MAX, "what a kind fills");
	config.size = (uint8_t)input_kind_config(input->options.kind, input->options.serial,
	    input->select, input->subsel, config.u.bitmap);
	memset(to, 0, size);
	if (offset < sizeof(config))
		memcpy(to, (const char *)&config + offset,
		    size < sizeof(config) - offset ? size : sizeof(config) - offset);
}

/* "The driver MUST NOT write to device configuration fields other than select or subsel." */
static void input_write_config(
    struct virtio_device *device, uint32_t offset, const void *from, uint32_t size)
{
	struct input *input = input_from_device(device);
	const uint8_t *bytes = from;

	for (uint32_t i = 0; i < size && i < 2; i++) {
		if (offset + (uint64_t)i == offsetof(struct virtio_input_config, select))
			input->select = bytes[i];
		else if (offset + (uint64_t)i == offsetof(struct virtio_input_config, subsel))
			input->subsel = bytes[i];
	}
}

/* ---------------------------------------------------------------- the ledger */

static void add_slots(const struct input_state *state, uint64_t *slots)
{
	for (unsigned i = 0; i < SEAT_INPUT_SLOTS; i++)
		if (state->slots[i].id >= 0)
			*slots |= UINT64_C(1) << i;
}

/* What is about to go down is down from now on; what goes up is down until the guest knows. */
void input_ledger_foresee(struct input *input, const struct input_frame *frame)
{
	struct input_state state = input->believed;

	if (!input->ledger)
		return;
	for (unsigned i = 0; i < frame->count; i++) {
		const struct seat_input_event *event = &frame->events[i];

		input_state_apply(&state, event);
		if (event->type == EV_KEY && event->value)
			input->ledger->keys[event->code / 64] |= UINT64_C(1) << event->code % 64;
		else if (event->type == EV_ABS)
			add_slots(&state, &input->ledger->slots);
	}
}

void input_ledger_write(struct input *input)
{
	uint64_t slots = 0;

	if (!input->ledger)
		return;
	add_slots(&input->believed, &slots);
	memcpy(input->ledger->keys, input->believed.keys, sizeof(input->ledger->keys));
	input->ledger->slots = slots;
}

/* The guest may believe more to be down than is, and we don't know which slot it is at. */
static void recover(struct input *input, const struct input_ledger *ledger)
{
	struct input_state *state = &input->believed;

	input_state_init(state);
	for (uint16_t code = 0; code < KEY_CNT; code++)
		if (ledger->keys[code / 64] >> code % 64 & 1 &&
		    input_kind_has(input->options.kind, EV_KEY, code))
			state->keys[code / 64] |= UINT64_C(1) << code % 64;
	if (input_kind_has(input->options.kind, EV_ABS, ABS_MT_SLOT)) {
		state->slot = -1;
		for (unsigned i = 0; i < SEAT_INPUT_SLOTS; i++)
			state->slots[i].id = ledger->slots >> i & 1 ? INT32_MAX : -1;
	}
	input->behind = true;
}

static int input_set_ledger(struct virtio_device *device, void *memory)
{
	struct input *input = input_from_device(device);
	struct input_ledger before;

	input->ledger = NULL;
	if (!memory)
		return 0;
	memcpy(&before, memory, sizeof(before));
	if (before.magic &&
	    (before.magic != INPUT_LEDGER_MAGIC || before.kind != input->options.kind))
		return -ENOTRECOVERABLE;
	input->ledger = memory;
	if (before.magic)
		recover(input, &before);
	else
		input_ledger_write(input);
	input->ledger->kind = input->options.kind;
	input->ledger->magic = INPUT_LEDGER_MAGIC;
	return 0;
}

/* ---------------------------------------------------------------- queues */

static bool is_running(const struct input *input)
{
	return input->base.queues && input->base.queues[INPUT_QUEUE_EVENTS].started &&
	       !input->base.queues[INPUT_QUEUE_EVENTS].broken;
}

static bool input_process_queue(struct virtio_device *device, unsigned index)
{
	struct input *input = input_from_device(device);

	if (index == INPUT_QUEUE_STATUS)
		return input_status_process(input);
	input_queue_deliver(input);
	return false;
}

static void input_drain_queue(struct virtio_device *device, unsigned index)
{
	if (index == INPUT_QUEUE_EVENTS)
		input_queue_drain(input_from_device(device));
}

/* A driver that begins believes that all is up, and learns of what is not. */
static void input_reset(struct virtio_device *device)
{
	struct input *input = input_from_device(device);

	input_queue_lose(input);
	input->buffer_count = 0;
	input->select = input->subsel = 0;
	input_state_init(&input->believed);
	input->behind = true;
	input_ledger_write(input);
	input_status_reset(input);
}

static void input_destroy(struct virtio_device *device)
{
	free(input_from_device(device));
}

static const struct virtio_device_impl input_impl = {
	.device_id = VIRTIO_ID_INPUT,
	.queue_count = INPUT_QUEUES,
	.destroy = input_destroy,
	.get_features = input_get_features,
	.set_features = input_set_features,
	.read_config = input_read_config,
	.write_config = input_write_config,
	.process_queue = input_process_queue,
	.drain_queue = input_drain_queue,
	.reset = input_reset,
	.ledger_size = sizeof(struct input_ledger),
	.set_ledger = input_set_ledger,
};

int input_create(const struct input_options *options, struct virtio_device **device)
{
	struct input *input = calloc(1, sizeof(*input));

	if (!input)
		return -ENOMEM;
	input->base.impl = &input_impl;
	input->options = *options;
	input_state_init(&input->believed);
	input_state_init(&input->held);
	*device = &input->base;
	return 0;
}

/* ---------------------------------------------------------------- what the seat says */

static bool is_good(const struct input *input, const struct seat_input_event *event)
{
	if (!input_kind_has(input->options.kind, event->type, event->code))
		return false;
	if (event->type == EV_KEY)
		return event->value == 0 || event->value == 1;
	if (event->type == EV_ABS && event->code == ABS_MT_SLOT)
		return event->value >= 0 && event->value < SEAT_INPUT_SLOTS;
	return event->type != EV_LED && event->type != EV_REP;
}

int input_send(struct virtio_device *device, const struct seat_input_event *events, unsigned count)
{
	struct input *input = input_from_device(device);
	struct input_frame *frame;

	if (!count || count > SEAT_INPUT_EVENTS_MAX || events[count - 1].type != EV_SYN ||
	    events[count - 1].code != SYN_REPORT)
		return -EINVAL;
	for (unsigned i = 0; i + 1 < count; i++)
		if (events[i].type == EV_SYN)
			return -EINVAL;
	frame = input_queue_new_frame(input);
	frame->count = 0;
	for (unsigned i = 0; i + 1 < count; i++)
		if (is_good(input, &events[i]))
			frame->events[frame->count++] = events[i];
	if (!frame->count)
		return 0;
	frame->events[frame->count++] = events[count - 1];
	input->frame_count++;
	if (is_running(input))
		input_queue_deliver(input);
	else
		input_queue_lose(input);
	return 0;
}

void input_release(struct virtio_device *device)
{
	struct input *input = input_from_device(device);

	input_queue_lose(input);
	input_state_release(&input->held);
	input->behind = true;
	if (is_running(input))
		input_queue_deliver(input);
}

void input_get_statistics(struct virtio_device *device, struct input_statistics *statistics)
{
	const struct input *input = input_from_device(device);

	*statistics = input->statistics;
	statistics->waiting = input->frame_count;
}
