/* SPDX-License-Identifier: MIT */
/*
 * The monitor's half of a queue between two that write what they like: the guest into its ring, the
 * worker into the memory that it shares with the monitor and into the record of requests in flight;
 * and the questions that start and stop it.
 */
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "backend/inflight.h"
#include "tests/fuzz/input.h"
#include "tests/unit/ring.h"
#include "xen/grant_relay.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fuzz {
	struct input input;
	struct ring ring;
	struct grant_relay *relay;
	struct grant_queue_shared *shared;
	size_t shared_size;
	int inflight_fd;
	uint64_t inflight_size;
	struct inflight *inflight;
};

static void fuzz_end(struct fuzz *fuzz)
{
	grant_relay_destroy(fuzz->relay);
	fuzz->relay = NULL;
	if (fuzz->shared)
		munmap(fuzz->shared, fuzz->shared_size);
	fuzz->shared = NULL;
}

static void fuzz_start(struct fuzz *fuzz)
{
	struct input *input = &fuzz->input;
	uint8_t form = input_u8(input);
	struct grant_question question = {
		.queue = {
			.size = RING_SIZE,
			.base = input_u8(input),
			.features = form & 1 ? UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX : 0,
			.desc = RING_DESC,
			.avail = RING_AVAIL,
			.used = RING_USED,
			.inflight_size = fuzz->inflight_size,
			.inflight_queues = 1,
			.inflight_queue_size = RING_SIZE,
		},
	};
	const struct grant_relay_options options = {
		.memory = fuzz->ring.memory,
		.request_bytes = 1u << form % 12,
		.question = &question,
		.call_fd = -1,
		.inflight_fd = form & 2 ? fuzz->inflight_fd : -1,
	};
	int fds[GRANT_QUEUE_ANSWER_FDS];
	void *shared;

	fuzz_end(fuzz);
	if (form & 4)
		input_bytes(input, &question.queue, sizeof(question.queue));
	if (grant_relay_create(&options, &fuzz->relay, fds) < 0) {
		fuzz->relay = NULL;
		return;
	}
	fuzz->shared_size = sizeof(*fuzz->shared) + grant_relay_size(fuzz->relay);
	if (grant_shared_open(fds[GRANT_QUEUE_MEMORY], fuzz->shared_size, &shared) < 0)
		abort();
	fuzz->shared = shared;
}

static void fuzz_desc(struct fuzz *fuzz)
{
	struct input *input = &fuzz->input;
	struct vring_desc *desc = &fuzz->ring.desc[input_u8(input) % RING_SIZE];
	uint8_t form = input_u8(input);

	*desc = (struct vring_desc){
		.addr = RING_BUFFER + input_u16(input),
		.len = form & 8 ? input_u32(input) : input_u8(input),
		.flags = form & 7,
		.next = input_u8(input) % (RING_SIZE + 1),
	};
	if (form & 16)
		desc->addr = input_u64(input);
}

/* What a worker does that behaves, more or less */
static void fuzz_answer(struct fuzz *fuzz)
{
	struct grant_queue_shared *shared = fuzz->shared;
	uint8_t written = input_u8(&fuzz->input);
	const struct grant_request *request =
	    &shared->requests[(shared->given - 1 - input_u8(&fuzz->input) % 4) % RING_SIZE];

	shared->answered[shared->pushed++ % GRANT_PUSHED_MAX(RING_SIZE)] =
	    (struct grant_pushed){ .head = request->head | (written & 1 ? GRANT_PUSHED : 0),
		    .written = written };
	shared->read = shared->given;
}

static void fuzz_step(struct fuzz *fuzz)
{
	const size_t counters = offsetof(struct grant_queue_shared, answers);
	struct input *input = &fuzz->input;

	switch (input_u8(input) % 12) {
	case 0:
	case 1:
		fuzz_desc(fuzz);
		break;
	case 2:
	case 3:
		ring_add(&fuzz->ring, input_u8(input) % (RING_SIZE + 1));
		break;
	case 4:
		fuzz->ring.avail->idx = input_u16(input);
		break;
	case 5:
		input_bytes(input,
		    (uint8_t *)fuzz->inflight->mapping +
			input_u16(input) % (fuzz->inflight_size - 16),
		    16);
		break;
	case 6:
		fuzz_start(fuzz);
		break;
	case 7:
		if (fuzz->relay)
			grant_relay_stop(fuzz->relay, input_u32(input));
		fuzz_end(fuzz);
		break;
	case 8:
		if (fuzz->shared)
			input_bytes(input,
			    (uint8_t *)fuzz->shared + input_u32(input) % (counters - 16), 16);
		break;
	case 9:
		if (fuzz->shared)
			fuzz_answer(fuzz);
		break;
	default:
		if (fuzz->relay)
			grant_relay_run(fuzz->relay);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fuzz fuzz;

	if (!fuzz.inflight) {
		ring_init(&fuzz.ring, true);
		fuzz.inflight_fd = inflight_create_file(1, RING_SIZE, 0, &fuzz.inflight_size);
		if (fuzz.inflight_fd < 0 || inflight_create(fuzz.inflight_fd, 0, fuzz.inflight_size,
						1, RING_SIZE, 0, &fuzz.inflight) < 0)
			abort();
	}
	fuzz.input = (struct input){ data, size };
	ring_clear(&fuzz.ring);
	memset(fuzz.inflight->mapping, 0, fuzz.inflight_size);
	fuzz_start(&fuzz);
	while (fuzz.input.size)
		fuzz_step(&fuzz);
	fuzz_end(&fuzz);
	return 0;
}
