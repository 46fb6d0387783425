/* SPDX-License-Identifier: MIT */
/* Frames on their way to the guest. */
#include "backend/input_internal.h"

/* ---------------------------------------------------------------- frames that wait */

static void lose_oldest(struct input *input)
{
	const struct input_frame *frame = &input->frames[input->frame_first];

	for (unsigned i = 0; i < frame->count; i++)
		input_state_apply(&input->held, &frame->events[i]);
	input->behind = true;
	input->statistics.frames_lost++;
	input->frame_first = (input->frame_first + 1) % INPUT_FRAMES_MAX;
	input->frame_count--;
}

void input_queue_lose(struct input *input)
{
	while (input->frame_count)
		lose_oldest(input);
}

struct input_frame *input_queue_new_frame(struct input *input)
{
	if (input->frame_count == INPUT_FRAMES_MAX)
		lose_oldest(input);
	return &input->frames[(input->frame_first + input->frame_count) % INPUT_FRAMES_MAX];
}

/* The next frame to give, of at most @room events; NULL: there is none. */
static const struct input_frame *next_frame(struct input *input, unsigned room)
{
	for (;;) {
		const struct input_frame *frame = &input->frames[input->frame_first];

		if (input->behind) {
			input->resync.count = input_state_difference(
			    &input->believed, &input->held, input->resync.events, room);
			if (input->resync.count)
				return &input->resync;
			input->behind = false;
		}
		if (!input->frame_count)
			return NULL;
		if (frame->count <= room)
			return frame;
		/* It would never fit: in its place come smaller ones. */
		lose_oldest(input);
	}
}

/* ---------------------------------------------------------------- the guest's buffers */

static void refuse_buffer(struct input *input, struct virtqueue *queue, uint16_t head)
{
	input->statistics.errors++;
	virtqueue_push(queue, head, 0);
}

/* "These buffers MUST be device-writable and MUST be at least the size of struct
 * virtio_input_event." Others go back unused. */
static bool keep_buffer(struct input *input, const struct virtqueue_chain *chain)
{
	struct input_buffer *buffer =
	    &input->buffers[(input->buffer_first + input->buffer_count) % SEAT_INPUT_EVENTS_MAX];
	uint64_t size = 0;

	buffer->head = chain->head;
	buffer->piece_count = 0;
	for (uint32_t i = 0; i < chain->writable_count && size < sizeof(struct seat_input_event);
	     i++) {
		buffer->pieces[buffer->piece_count++] = chain->writable[i];
		size += chain->writable[i].length;
	}
	if (size < sizeof(struct seat_input_event))
		return false;
	input->buffer_count++;
	return true;
}

/* Are there @count buffers? */
static bool gather(struct input *input, struct virtqueue *queue, unsigned count)
{
	while (input->buffer_count < count) {
		if (virtqueue_pop(queue, &input->chain) <= 0) {
			/* To be called when there are more */
			if (virtqueue_enable_notifications(queue))
				continue;
			return false;
		}
		if (keep_buffer(input, &input->chain))
			continue;
		log_guest(&input->limit, "the guest offers %llu bytes for an event of %zu",
		    (unsigned long long)input->chain.writable_size,
		    sizeof(struct seat_input_event));
		refuse_buffer(input, queue, input->chain.head);
	}
	virtqueue_disable_notifications(queue);
	return true;
}

/* False: there is no buffer left. */
static bool put(struct input *input, struct virtqueue *queue, const struct seat_input_event *event)
{
	while (input->buffer_count) {
		const struct input_buffer *buffer = &input->buffers[input->buffer_first];

		input->buffer_first = (input->buffer_first + 1) % SEAT_INPUT_EVENTS_MAX;
		input->buffer_count--;
		if (memory_write_later(input->base.memory, buffer->pieces, buffer->piece_count,
			event, sizeof(*event)) == 0) {
			virtqueue_push(queue, buffer->head, sizeof(*event));
			return true;
		}
		log_guest(&input->limit, "the guest's buffer for an event is out of reach");
		refuse_buffer(input, queue, buffer->head);
	}
	return false;
}

/* There are buffers for all of it, though some may turn out to be of no use. */
static void give(struct input *input, struct virtqueue *queue, const struct input_frame *frame)
{
	input_ledger_foresee(input, frame);
	for (unsigned i = 0; i < frame->count; i++) {
		if (!put(input, queue, &frame->events[i])) {
			input->behind = true;
			break;
		}
		input_state_apply(&input->believed, &frame->events[i]);
		input->statistics.events++;
	}
	input->statistics.frames++;
	if (frame == &input->resync) {
		input->statistics.resyncs++;
		return;
	}
	for (unsigned i = 0; i < frame->count; i++)
		input_state_apply(&input->held, &frame->events[i]);
	input->frame_first = (input->frame_first + 1) % INPUT_FRAMES_MAX;
	input->frame_count--;
}

void input_queue_deliver(struct input *input)
{
	struct virtqueue *queue = &input->base.queues[INPUT_QUEUE_EVENTS];
	const struct input_frame *frame;
	unsigned room = SEAT_INPUT_EVENTS_MAX;

	if (queue->config.size < room)
		room = queue->config.size;
	while ((frame = next_frame(input, room)) && gather(input, queue, frame->count))
		give(input, queue, frame);
	virtqueue_publish(queue);
	input_ledger_write(input);
}

/* An empty frame: a driver takes all that it gets back for an event. */
void input_queue_drain(struct input *input)
{
	static const struct seat_input_event nothing = { EV_SYN, SYN_REPORT, 0 };
	struct virtqueue *queue = &input->base.queues[INPUT_QUEUE_EVENTS];

	input_queue_lose(input);
	while (put(input, queue, &nothing))
		;
}
