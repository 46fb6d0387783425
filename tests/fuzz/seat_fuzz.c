/* SPDX-License-Identifier: MIT */
/*
 * Fuzzes the seat: a GPU's socket that says anything, in any pieces and with any descriptors, and
 * reads or does not; a manager's packets; and a screen that flips, goes, comes, is somebody else's
 * and has fewer planes meanwhile. What comes back are whole messages; nothing is left in the end.
 */
#include <assert.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backend/display_socket_message.h"
#include "backend/log.h"
#include "render/seat_config.h"
#include "render/seat_manager.h"
#include "render/seat_memory.h"
#include "tests/fuzz/input.h"

struct fuzz {
	sd_event *event;
	struct seat_config config;
	struct seat_backend *backend;
	struct seat *seat;
	struct seat_input *input;
	struct seat_manager *manager;
	int control, gpu, file; /* our ends, and a picture */
};

static const struct seat_memory_output outputs[] = {
	{ .mode = { 64, 48, 60000, true } },
	{ .mode = { 40, 30, 75000, true } },
};

static void send_with(int fd, const void *data, size_t size, int passed)
{
	union {
		struct cmsghdr header;
		uint8_t bytes[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec iov = { (void *)data, size };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (passed >= 0) {
		control.header = (struct cmsghdr){ CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS };
		memcpy(CMSG_DATA(&control.header), &passed, sizeof(int));
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
	}
	(void)!sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void run(struct fuzz *fuzz)
{
	for (unsigned i = 0; i < 100 && sd_event_run(fuzz->event, 0) > 0; i++)
		;
}

static void add_gpu(struct fuzz *fuzz)
{
	static const char add[] = "{\"command\":\"add\",\"guest\":\"a\",\"kind\":\"gpu\"}";
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		abort();
	send_with(fuzz->control, add, sizeof(add) - 1, pair[0]);
	close(pair[0]);
	if (fuzz->gpu >= 0)
		close(fuzz->gpu);
	fuzz->gpu = pair[1];
	run(fuzz);
}

static void begin(struct fuzz *fuzz, uint8_t how)
{
	struct seat_memory_options options = { .outputs = outputs,
		.output_count = 2,
		.planes = how & 1,
		.no_cursor = how & 2,
		.no_scaling = how & 4 };
	struct seat_options seat = { .config = &fuzz->config };
	struct seat_manager_options manager = { .path = "" };
	struct seat_input_options input = { .config = seat_input_config_default };
	int pair[2];

	if (sd_event_new(&fuzz->event) < 0 ||
	    seat_config_parse(&fuzz->config, "fuzz",
		how & 8 ? "[view b:0]\noutput=MEMORY-1\nsize=10x10\norder=1\nalpha=0.5\n" : "") <
		0 ||
	    seat_memory_create(&options, &fuzz->backend) < 0)
		abort();
	seat.event = input.event = manager.event = fuzz->event;
	seat.backend = fuzz->backend;
	if (seat_create(&seat, &fuzz->seat) < 0 || seat_input_create(&input, &fuzz->input) < 0)
		abort();
	manager.seat = fuzz->seat;
	manager.input = fuzz->input;
	if (seat_manager_create(&manager, &fuzz->manager) < 0 ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0 ||
	    seat_manager_adopt(fuzz->manager, pair[0]) < 0)
		abort();
	fuzz->control = pair[1];
	fuzz->gpu = -1;
	fuzz->file = memfd_create("picture", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fuzz->file < 0 || ftruncate(fuzz->file, 65536) < 0 ||
	    fcntl(fuzz->file, F_ADD_SEALS, F_SEAL_SHRINK) < 0)
		abort();
	add_gpu(fuzz);
}

static void finish(struct fuzz *fuzz)
{
	seat_manager_destroy(fuzz->manager);
	seat_destroy(fuzz->seat);
	seat_input_destroy(fuzz->input);
	assert(seat_memory_get_counts(fuzz->backend).fbs == 0);
	fuzz->backend->impl->destroy(fuzz->backend);
	sd_event_unref(fuzz->event);
	close(fuzz->control);
	close(fuzz->gpu);
	close(fuzz->file);
}

/* A message with a header that fits, of a type that there is, and a payload of anything. */
static void say(struct fuzz *fuzz, struct input *input, uint8_t how)
{
	static const struct {
		uint32_t request, size;
	} messages[] = {
		{ GPU_MESSAGE_GET_PROTOCOL_FEATURES, 0 },
		{ GPU_MESSAGE_SET_PROTOCOL_FEATURES, 8 },
		{ GPU_MESSAGE_GET_DISPLAY_INFO, 0 },
		{ GPU_MESSAGE_CURSOR_POS, 12 },
		{ GPU_MESSAGE_CURSOR_POS_HIDE, 12 },
		{ GPU_MESSAGE_CURSOR_UPDATE, sizeof(struct gpu_message_cursor) },
		{ GPU_MESSAGE_SCANOUT, 12 },
		{ GPU_MESSAGE_UPDATE, 20 },
		{ GPU_MESSAGE_DMABUF_SCANOUT, GPU_MESSAGE_DMABUF_SIZE },
		{ GPU_MESSAGE_DMABUF_UPDATE, 20 },
		{ GPU_MESSAGE_GET_EDID, 4 },
		{ GPU_MESSAGE_DMABUF_SCANOUT2, sizeof(struct gpu_message_dmabuf) },
		{ SEAT_MESSAGE_IMPORT, sizeof(struct seat_import) },
		{ SEAT_MESSAGE_ALLOCATE, sizeof(struct seat_allocate) },
		{ SEAT_MESSAGE_FREE, sizeof(struct seat_free) },
		{ SEAT_MESSAGE_PRESENT, sizeof(struct seat_present) },
	};
	static uint8_t bytes[sizeof(struct gpu_message_header) + sizeof(struct gpu_message_cursor)];
	const unsigned type = input_u8(input) % (sizeof(messages) / sizeof(*messages));
	struct gpu_message_header header = { messages[type].request, 0, messages[type].size };
	uint32_t fields[16] = { 0 };
	const unsigned count = input_u8(input) % 16;

	/* Small numbers are the interesting ones; 255 is far away. */
	for (unsigned i = 0; i < count; i++) {
		const uint8_t value = input_u8(input);

		fields[i] = value == 255 ? UINT32_MAX : value;
	}
	memset(bytes, 0, sizeof(bytes));
	memcpy(bytes + sizeof(header), fields, sizeof(fields));
	if (type == 1) { /* features */
		const uint64_t features =
		    (fields[0] & 3) | (fields[1] & 1 ? GPU_MESSAGE_F_SEAT : 0);

		memcpy(bytes + sizeof(header), &features, sizeof(features));
	}
	if (type == 7 && fields[3] < 32 && fields[4] < 32) /* with its pixels */
		header.size += fields[3] * fields[4] * 4;
	if (header.size > sizeof(bytes) - sizeof(header))
		header.size = sizeof(bytes) - sizeof(header);
	memcpy(bytes, &header, sizeof(header));
	send_with(fuzz->gpu, bytes, sizeof(header) + header.size, how & 64 ? fuzz->file : -1);
}

static void say_anything(struct fuzz *fuzz, struct input *input, uint8_t how)
{
	uint8_t bytes[64];
	const size_t n = input_bytes(input, bytes, how % 64u);

	if (n)
		send_with(fuzz->gpu, bytes, n, how & 64 ? fuzz->control : -1);
}

static void command(struct fuzz *fuzz, struct input *input, uint8_t how)
{
	static const char *const commands[] = {
		"{\"command\":\"status\"}",
		"{\"command\":\"capture\",\"guest\":\"a\",\"scanout\":0}",
		"{\"command\":\"picture\",\"guest\":\"b\",\"scanout\":0,\"width\":9,\"height\":9}",
		"{\"command\":\"picture\",\"guest\":\"a\",\"scanout\":1,\"width\":99,\"height\":99}",
		"{\"command\":\"remove\",\"guest\":\"b\"}",
		"{\"command\":\"focus\",\"guest\":\"b\"}",
		"{\"command\":\"focus\",\"guest\":\"a\"}",
		"{\"command\":\"output\",\"guest\":\"a\",\"scanout\":1,\"mode\":\"40x30@75\"}",
		"{\"command\":\"output\",\"guest\":\"a\",\"scanout\":1,\"mode\":\"off\"}",
		"{\"command\":\"output\",\"guest\":\"a\",\"scanout\":1,\"mode\":\"on\"}",
	};
	static char answer[SEAT_COMMAND_MAX];
	const unsigned n = input_u8(input);
	char text[256];
	ssize_t size;

	if (n < sizeof(commands) / sizeof(*commands)) {
		send_with(fuzz->control, commands[n], strlen(commands[n]), fuzz->file);
	} else {
		size = (ssize_t)input_bytes(input, text, n);
		if (size)
			send_with(fuzz->control, text, (size_t)size, how & 64 ? fuzz->gpu : -1);
	}
	run(fuzz);
	size = recv(fuzz->control, answer, sizeof(answer) - 1, MSG_DONTWAIT);
	if (size <= 0)
		return;
	answer[size] = '\0';
	{
		struct json_object *object = json_tokener_parse(answer);

		assert(json_object_is_type(object, json_type_object));
		assert(json_object_object_get(object, "ok"));
		json_object_put(object);
	}
}

static void happen(struct fuzz *fuzz, struct input *input)
{
	static const struct seat_mode mode = { 32, 24, 60000, true };
	const uint8_t what = input_u8(input);

	switch (what % 16) {
	case 0:
		seat_memory_plug(fuzz->backend, what >> 4 & 1, what & 32 ? &mode : NULL);
		break;
	case 1:
		seat_memory_set_active(fuzz->backend, what & 16);
		break;
	case 2:
		seat_memory_set_planes(fuzz->backend, what >> 4 & 3);
		break;
	case 3:
		seat_memory_set_error(fuzz->backend, what & 16 ? -(what >> 4) : 0);
		break;
	case 4:
		add_gpu(fuzz);
		break;
	case 5:
		shutdown(fuzz->gpu, what & 16 ? SHUT_WR : SHUT_RD);
		break;
	case 6:
		assert(
		    seat_memory_pixels(fuzz->backend, 0) || !fuzz->backend->outputs[0]->mode.width);
		break;
	default:
		seat_memory_flip(fuzz->backend, what >> 4 & 1);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, size };
	struct fuzz fuzz;
	uint8_t bytes[4096];

	log_init(LOG_LEVEL_ERROR, NULL);
	begin(&fuzz, input_u8(&input));
	while (input.size) {
		const uint8_t how = input_u8(&input);

		switch (how % 8) {
		case 0:
			say_anything(&fuzz, &input, how);
			break;
		case 1:
			command(&fuzz, &input, how);
			break;
		case 2:
			(void)!recv(fuzz.gpu, bytes, sizeof(bytes), MSG_DONTWAIT);
			break;
		case 3:
		case 4:
			happen(&fuzz, &input);
			break;
		default:
			say(&fuzz, &input, how);
		}
		run(&fuzz);
	}
	finish(&fuzz);
	return 0;
}
