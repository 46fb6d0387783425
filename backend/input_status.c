/* SPDX-License-Identifier: MIT */
/*
 * What the guest writes to the status queue. It may write as fast as it likes: it is looked at now
 * and then, and only what came of it is told.
 */
#include <string.h>
#include <time.h>

#include "backend/input_internal.h"
#include "backend/input_kinds.h"

#define REPEAT_MAX 60000 /* ms; more is nonsense */

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

static void wake_at(struct input *input, uint64_t at_ns)
{
	const struct virtio_host *host = &input->base.host;

	if (host->wake_queue)
		host->wake_queue(host->data, INPUT_QUEUE_STATUS, at_ns);
}

/* ---------------------------------------------------------------- telling */

static void tell(struct input *input, uint32_t leds, bool repeat)
{
	struct seat_input_event events[LED_CNT + REP_CNT];
	unsigned count = 0;

	for (uint16_t code = 0; code < LED_CNT; code++)
		if (leds >> code & 1)
			events[count++] =
			    (struct seat_input_event){ EV_LED, code, input->leds >> code & 1 };
	for (uint16_t code = 0; repeat && code < REP_CNT; code++)
		if (input->repeat[code])
			events[count++] =
			    (struct seat_input_event){ EV_REP, code, input->repeat[code] };
	input->leds_told = input->leds;
	memcpy(input->repeat_told, input->repeat, sizeof(input->repeat));
	if (count && input->options.status)
		input->options.status(input->options.data, events, count);
}

static bool tell_changes(struct input *input)
{
	const uint32_t leds = input->leds ^ input->leds_told;
	const bool repeat = memcmp(input->repeat, input->repeat_told, sizeof(input->repeat)) != 0;

	if (!leds && !repeat)
		return false;
	tell(input, leds, repeat);
	return true;
}

void input_repeat_status(struct virtio_device *device)
{
	struct input *input = input_from_device(device);
	uint32_t leds = 0;

	for (uint16_t code = 0; code < LED_CNT; code++)
		if (input_kind_has(input->options.kind, EV_LED, code))
			leds |= 1u << code;
	tell(input, leds, true);
}

void input_status_reset(struct input *input)
{
	input->leds = 0;
	memset(input->repeat, 0, sizeof(input->repeat));
	tell_changes(input);
}

/* ---------------------------------------------------------------- the queue */

static void take(struct input *input, const struct seat_input_event *event)
{
	/* Linux hands all events to the device that a program writes, such as EV_MSC */
	if (!input_kind_has(input->options.kind, event->type, event->code))
		return;
	if (event->type == EV_LED) {
		if (event->value)
			input->leds |= 1u << event->code;
		else
			input->leds &= ~(1u << event->code);
	} else if (event->type == EV_REP && event->value >= 0 && event->value <= REPEAT_MAX) {
		input->repeat[event->code] = event->value;
	}
}

static void process(struct input *input, struct virtqueue *queue)
{
	const struct virtqueue_chain *chain = &input->chain;
	struct memory_piece pieces[sizeof(struct seat_input_event)];
	struct seat_input_event event;
	uint32_t count = 0, size = 0;

	for (; count < chain->readable_count && size < sizeof(event); count++) {
		pieces[count] = chain->readable[count];
		if (pieces[count].length > sizeof(event) - size)
			pieces[count].length = (uint32_t)sizeof(event) - size;
		size += pieces[count].length;
	}
	input->statistics.status++;
	if (size == sizeof(event) && memory_read(input->base.memory, &event, pieces, count) == 0) {
		take(input, &event);
	} else {
		input->statistics.errors++;
		log_guest(&input->limit, "the guest's status event %s",
		    size < sizeof(event) ? "is too short" : "is out of reach");
	}
	virtqueue_push(queue, chain->head, 0);
}

bool input_status_process(struct input *input)
{
	struct virtqueue *queue = &input->base.queues[INPUT_QUEUE_STATUS];
	const uint64_t now = now_ns();
	unsigned taken = 0;

	virtqueue_disable_notifications(queue);
	if (now < input->status_next_ns) {
		wake_at(input, input->status_next_ns);
		return false;
	}
	do {
		while (taken < INPUT_STATUS_BATCH && virtqueue_pop(queue, &input->chain) > 0) {
			process(input, queue);
			taken++;
		}
	} while (taken < INPUT_STATUS_BATCH && virtqueue_enable_notifications(queue));
	virtqueue_publish(queue);
	if (tell_changes(input) || taken == INPUT_STATUS_BATCH)
		input->status_next_ns = now + INPUT_STATUS_INTERVAL_NS;
	/* There may be more, and nobody has asked for a kick. */
	if (taken == INPUT_STATUS_BATCH)
		wake_at(input, input->status_next_ns);
	return false;
}
