/* SPDX-License-Identifier: MIT */
/* The seat's sockets: what a GPU and a manager say, right and wrong. */
#include <fcntl.h>
#include <json-c/json.h>
#include <linux/virtio_gpu.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>

#include "backend/display_socket_message.h"
#include "render/seat_client.h"
#include "render/seat_manager.h"
#include "tests/unit/seat_rig.h"

struct fixture {
	struct rig rig;
	struct seat_input *input;
	struct seat_manager *manager;
	int control, gpu; /* our ends */
};

static const struct seat_memory_output outputs[] = { RIG_OUTPUT };

/* ---------------------------------------------------------------- messages */

static void send_with(int fd, const void *data, size_t size, int passed)
{
	union {
		struct cmsghdr header;
		uint8_t bytes[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec iov = { (void *)data, size };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (passed >= 0) {
		control.header = (struct cmsghdr){
			CMSG_LEN(sizeof(int)),
			SOL_SOCKET,
			SCM_RIGHTS,
		};
		memcpy(CMSG_DATA(&control.header), &passed, sizeof(int));
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
	}
	assert_int_equal(sendmsg(fd, &message, MSG_NOSIGNAL), size);
}

/* The next bytes; @passed: a descriptor that came with them, or -1. */
static ssize_t receive(struct fixture *f, int fd, void *to, size_t size, int *passed)
{
	union {
		struct cmsghdr header;
		uint8_t bytes[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec iov = { to, size };
	struct msghdr message = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control) };
	ssize_t n;

	for (unsigned i = 0; i < 1000; i++) {
		n = recvmsg(fd, &message, MSG_DONTWAIT);
		if (n >= 0 || errno != EAGAIN)
			break;
		sd_event_run(f->rig.event, 10000);
	}
	if (passed)
		*passed = -1;
	if (n > 0 && passed && message.msg_controllen)
		memcpy(passed, CMSG_DATA(&control.header), sizeof(int));
	return n;
}

static void say(struct fixture *f, uint32_t request, const void *payload, uint32_t size, int fd)
{
	uint8_t bytes[sizeof(struct gpu_message_header) + sizeof(struct gpu_message_cursor)];
	const struct gpu_message_header header = { .request = request, .size = size };

	memcpy(bytes, &header, sizeof(header));
	if (size)
		memcpy(bytes + sizeof(header), payload, size);
	send_with(f->gpu, bytes, sizeof(header) + size, fd);
	rig_run(&f->rig);
}

static void hear(struct fixture *f, uint32_t request, void *payload, uint32_t size, int *fd)
{
	struct gpu_message_header header;

	assert_int_equal(receive(f, f->gpu, &header, sizeof(header), fd), sizeof(header));
	assert_int_equal(header.request, request);
	assert_int_equal(header.size, size);
	if (size)
		assert_int_equal(receive(f, f->gpu, payload, size, NULL), size);
}

static void hear_end(struct fixture *f)
{
	uint8_t byte;
	ssize_t n = receive(f, f->gpu, &byte, 1, NULL);

	assert_true(n == 0 || (n < 0 && errno == ECONNRESET));
}

/* The answer, to be put away. */
static struct json_object *ask(struct fixture *f, const char *text, int fd, int *passed)
{
	static char answer[SEAT_COMMAND_MAX];
	struct json_object *object;
	ssize_t n;

	send_with(f->control, text, strlen(text), fd);
	n = receive(f, f->control, answer, sizeof(answer) - 1, passed);
	assert_true(n > 0);
	answer[n] = '\0';
	object = json_tokener_parse(answer);
	assert_true(json_object_is_type(object, json_type_object));
	return object;
}

static bool ask_ok(struct fixture *f, const char *text, int fd)
{
	struct json_object *answer = ask(f, text, fd, NULL), *ok, *error;
	const bool is = json_object_object_get_ex(answer, "ok", &ok) && json_object_get_boolean(ok);

	assert_true(is != json_object_object_get_ex(answer, "error", &error));
	json_object_put(answer);
	return is;
}

static void add_gpu(struct fixture *f)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_true(ask_ok(
	    f, "{\"command\":\"add\",\"guest\":\"a\",\"domain\":2,\"kind\":\"gpu\"}", pair[0]));
	close(pair[0]);
	if (f->gpu >= 0)
		close(f->gpu);
	f->gpu = pair[1];
}

static void negotiate(struct fixture *f, uint64_t wanted)
{
	uint64_t features;

	say(f, GPU_MESSAGE_GET_PROTOCOL_FEATURES, NULL, 0, -1);
	hear(f, GPU_MESSAGE_GET_PROTOCOL_FEATURES, &features, sizeof(features), NULL);
	assert_int_equal(features, GPU_MESSAGE_F_EDID | GPU_MESSAGE_F_DMABUF2 | GPU_MESSAGE_F_SEAT);
	say(f, GPU_MESSAGE_SET_PROTOCOL_FEATURES, &wanted, sizeof(wanted), -1);
}

static int set_up(void **state)
{
	struct seat_memory_options options = { .outputs = outputs, .output_count = 1 };
	struct fixture *f = calloc(1, sizeof(*f));
	struct seat_manager_options manager = { .path = "" };
	struct seat_input_options input = { .config = seat_input_config_default };
	int pair[2];

	assert_non_null(f);
	f->gpu = -1;
	rig_init(&f->rig, &options, "");
	input.event = manager.event = f->rig.event;
	assert_int_equal(seat_input_create(&input, &f->input), 0);
	manager.seat = f->rig.seat;
	manager.input = f->input;
	assert_int_equal(seat_manager_create(&manager, &f->manager), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(seat_manager_adopt(f->manager, pair[0]), 0);
	f->control = pair[1];
	add_gpu(f);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	seat_manager_destroy(f->manager);
	rig_finish(&f->rig);
	seat_input_destroy(f->input);
	close(f->control);
	if (f->gpu >= 0)
		close(f->gpu);
	free(f);
	return 0;
}

/* ---------------------------------------------------------------- tests */

static void test_present(void **state)
{
	struct fixture *f = *state;
	const struct seat_allocate allocate = { .id = 3, .width = RIG_W, .height = RIG_H };
	struct seat_present present = { .id = 3, .serial = 5, .source = { 0, 0, RIG_W, RIG_H } };
	struct seat_buffer_answer answer;
	struct seat_shown shown;
	struct seat_free released;
	uint32_t *map;
	int fd;

	negotiate(f, GPU_MESSAGE_F_EDID | GPU_MESSAGE_F_SEAT);
	say(f, SEAT_MESSAGE_ALLOCATE, &allocate, sizeof(allocate), -1);
	hear(f, SEAT_MESSAGE_ALLOCATE, &answer, sizeof(answer), &fd);
	assert_int_equal(answer.error, 0);
	assert_int_equal(answer.id, 3);
	assert_true(fd >= 0 && answer.size >= answer.stride * RIG_H);
	map = mmap(NULL, answer.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(map != MAP_FAILED);
	close(fd);
	map[0] = 0x654321;
	say(f, SEAT_MESSAGE_PRESENT, &present, sizeof(present), -1);
	seat_memory_flip(f->rig.backend, 0); /* what was there before */
	seat_memory_flip(f->rig.backend, 0);
	hear(f, SEAT_MESSAGE_SHOWN, &shown, sizeof(shown), NULL);
	assert_int_equal(shown.serial, 5);
	assert_true(shown.time_ns > 0);
	assert_int_equal(rig_pixel(&f->rig, 0, 0, 0), 0x654321);
	present.id = SEAT_NO_BUFFER;
	say(f, SEAT_MESSAGE_PRESENT, &present, sizeof(present), -1);
	seat_memory_flip(f->rig.backend, 0);
	hear(f, SEAT_MESSAGE_RELEASED, &released, sizeof(released), NULL);
	assert_int_equal(released.id, 3);
	munmap(map, answer.size);
}

/* Requests that cannot be granted are answered; the client goes on. */
static void test_refusals(void **state)
{
	struct fixture *f = *state;
	struct seat_present present = { .scanout = 99, .id = 7, .serial = 8 };
	struct seat_allocate allocate = { .id = 64, .width = 1, .height = 1 };
	struct seat_import import = { .id = 1, .width = 1, .height = 1, .stride = 4 };
	struct seat_free message = { .id = UINT32_MAX };
	struct seat_buffer_answer answer;
	struct seat_shown shown;

	negotiate(f, GPU_MESSAGE_F_SEAT);
	say(f, SEAT_MESSAGE_PRESENT, &present, sizeof(present), -1);
	hear(f, SEAT_MESSAGE_SHOWN, &shown, sizeof(shown), NULL);
	assert_int_equal(shown.serial, 8);
	assert_int_equal(shown.time_ns, 0);
	say(f, SEAT_MESSAGE_ALLOCATE, &allocate, sizeof(allocate), -1);
	hear(f, SEAT_MESSAGE_ALLOCATE, &answer, sizeof(answer), NULL);
	assert_int_equal(answer.error, EDQUOT);
	say(f, SEAT_MESSAGE_IMPORT, &import, sizeof(import), -1);
	hear(f, SEAT_MESSAGE_IMPORT, &answer, sizeof(answer), NULL);
	assert_int_equal(answer.error, EBADF);
	say(f, SEAT_MESSAGE_IMPORT, &import, sizeof(import), f->control);
	hear(f, SEAT_MESSAGE_IMPORT, &answer, sizeof(answer), NULL);
	assert_true(answer.error != 0);
	say(f, SEAT_MESSAGE_FREE, &message, sizeof(message), f->control);
	present = (struct seat_present){ .id = SEAT_NO_BUFFER };
	say(f, SEAT_MESSAGE_PRESENT, &present, sizeof(present), -1);
	assert_true(ask_ok(f, "{\"command\":\"status\"}", -1));
}

static void test_questions(void **state)
{
	struct fixture *f = *state;
	struct virtio_gpu_resp_display_info info;
	struct virtio_gpu_resp_edid edid;
	const uint32_t scanouts[] = { 0, 1, 16, UINT32_MAX };

	negotiate(f, GPU_MESSAGE_F_EDID | GPU_MESSAGE_F_SEAT);
	say(f, GPU_MESSAGE_GET_DISPLAY_INFO, NULL, 0, -1);
	hear(f, GPU_MESSAGE_GET_DISPLAY_INFO, &info, sizeof(info), NULL);
	assert_int_equal(info.pmodes[0].enabled, 1);
	assert_int_equal(info.pmodes[0].r.width, RIG_W);
	assert_int_equal(info.pmodes[1].enabled, 0);
	for (unsigned i = 0; i < 4; i++) {
		say(f, GPU_MESSAGE_GET_EDID, &scanouts[i], 4, -1);
		hear(f, GPU_MESSAGE_GET_EDID, &edid, sizeof(edid), NULL);
		assert_int_equal(edid.size, i ? 0 : 128);
	}
	seat_memory_plug(f->rig.backend, 0, NULL);
	hear(f, SEAT_MESSAGE_MODES_CHANGED, NULL, 0, NULL);
}

/* Who breaks the protocol is hung up on, and its picture stays. */
static void test_broken(void **state)
{
	struct fixture *f = *state;
	const struct gpu_message_header wrong[] = {
		{ 0, 0, 0 }, { 13, 0, 0 }, { SEAT_MESSAGE_SHOWN, 0, sizeof(struct seat_shown) },
		{ GPU_MESSAGE_GET_DISPLAY_INFO, 0, 1 },
		{ GPU_MESSAGE_GET_DISPLAY_INFO, GPU_MESSAGE_FLAG_REPLY, 0 },
		{ GPU_MESSAGE_CURSOR_UPDATE, 0, UINT32_MAX }, { GPU_MESSAGE_UPDATE, 0, 19 },
		{ SEAT_MESSAGE_PRESENT, 0, sizeof(struct seat_present) - 1 },
		{ GPU_MESSAGE_GET_EDID, 0, 4 }, /* a feature that was not taken */
	};

	for (unsigned i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		negotiate(f, GPU_MESSAGE_F_SEAT);
		send_with(f->gpu, &wrong[i], sizeof(*wrong), i % 2 ? f->control : -1);
		hear_end(f);
		add_gpu(f);
	}
	/* Within a message */
	send_with(f->gpu, &wrong[1], 5, -1);
	shutdown(f->gpu, SHUT_WR);
	hear_end(f);
}

/* One that sends and does not read waits for itself; nobody else does. */
static void test_deaf(void **state)
{
	struct fixture *f = *state;
	const struct gpu_message_header question = { .request = GPU_MESSAGE_GET_DISPLAY_INFO };
	unsigned sent = 0;

	negotiate(f, GPU_MESSAGE_F_SEAT);
	for (unsigned i = 0; i < 100000; i++) {
		if (send(f->gpu, &question, sizeof(question), MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
			sent++;
		else if (sd_event_run(f->rig.event, 0) == 0)
			break;
	}
	assert_true(sent > 100 && sent < 50000);
	assert_true(ask_ok(f, "{\"command\":\"status\"}", -1));
	/* It has not been hung up on: it may read on. */
	for (unsigned i = 0; i < sent; i++) {
		struct virtio_gpu_resp_display_info info;

		hear(f, GPU_MESSAGE_GET_DISPLAY_INFO, &info, sizeof(info), NULL);
	}
}

/* As QEMU's back end does: pixels, and a reply for each dma-buf's update. */
static void test_pixels(void **state)
{
	struct fixture *f = *state;
	struct gpu_message_scanout scanout = { 0, RIG_W, RIG_H };
	struct {
		struct gpu_message_update update;
		uint32_t pixels[4];
	} update = { { 0, 5, 6, 2, 2 }, { 0x11, 0x22, 0x33, 0x44 } };

	negotiate(f, 0);
	say(f, GPU_MESSAGE_SCANOUT, &scanout, sizeof(scanout), -1);
	say(f, GPU_MESSAGE_UPDATE, &update, sizeof(update), -1);
	seat_memory_flip(f->rig.backend, 0);
	seat_memory_flip(f->rig.backend, 0);
	assert_int_equal(rig_pixel(&f->rig, 0, 5, 6), 0x11);
	assert_int_equal(rig_pixel(&f->rig, 0, 6, 7), 0x44);
	assert_int_equal(rig_pixel(&f->rig, 0, 7, 7), 0);
	for (unsigned i = 0; i < 50; i++) { /* more than are taken before one is shown */
		update.update.x = i;
		say(f, GPU_MESSAGE_UPDATE, &update, sizeof(update), -1);
		if (i % 5 == 4)
			seat_memory_flip(f->rig.backend, 0);
		rig_run(&f->rig);
	}
	for (unsigned i = 0; i < 20; i++) {
		rig_run(&f->rig);
		seat_memory_flip(f->rig.backend, 0);
	}
	assert_int_equal(rig_pixel(&f->rig, 0, 49, 6), 0x11);
	assert_int_equal(rig_pixel(&f->rig, 0, 50, 7), 0x44);
	assert_int_equal(rig_pixel(&f->rig, 0, 30, 7), 0x33);
	/* Outside: read, and forgotten; the stream stays in step. */
	update.update.x = RIG_W - 1;
	say(f, GPU_MESSAGE_UPDATE, &update, sizeof(update), -1);
	update.update.scanout = 16;
	say(f, GPU_MESSAGE_UPDATE, &update, sizeof(update), -1);
	scanout = (struct gpu_message_scanout){ 1, UINT32_MAX, UINT32_MAX };
	say(f, GPU_MESSAGE_SCANOUT, &scanout, sizeof(scanout), -1);
	scanout = (struct gpu_message_scanout){ 0, 0, 0 };
	say(f, GPU_MESSAGE_SCANOUT, &scanout, sizeof(scanout), -1);
	seat_memory_flip(f->rig.backend, 0);
	seat_memory_flip(f->rig.backend, 0);
	assert_int_equal(rig_pixel(&f->rig, 0, 49, 6), 0);
	/* As many pixels as the rectangle has, or it is hung up on. */
	update.update.width = 3;
	say(f, GPU_MESSAGE_UPDATE, &update, sizeof(update), -1);
	hear_end(f);
}

static void test_dmabuf(void **state)
{
	struct fixture *f = *state;
	struct gpu_message_dmabuf scanout = { .width = RIG_W,
		.height = RIG_H,
		.buffer_width = RIG_W,
		.buffer_height = RIG_H,
		.stride = RIG_W * 4,
		.fourcc = DRM_FORMAT_XRGB8888 };
	struct gpu_message_update update = { 0, 0, 0, RIG_W, RIG_H };
	const int fd = memfd_create("frame", MFD_ALLOW_SEALING | MFD_CLOEXEC);
	const uint32_t color = 0x778899;

	assert_int_equal(ftruncate(fd, RIG_W * RIG_H * 4), 0);
	assert_int_equal(pwrite(fd, &color, 4, 0), 4);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	negotiate(f, GPU_MESSAGE_F_DMABUF2);
	/* Before there is a frame, an update is answered all the same. */
	say(f, GPU_MESSAGE_DMABUF_UPDATE, &update, sizeof(update), -1);
	hear(f, GPU_MESSAGE_DMABUF_UPDATE, NULL, 0, NULL);
	say(f, GPU_MESSAGE_DMABUF_SCANOUT2, &scanout, sizeof(scanout), fd);
	say(f, GPU_MESSAGE_DMABUF_UPDATE, &update, sizeof(update), -1);
	seat_memory_flip(f->rig.backend, 0);
	seat_memory_flip(f->rig.backend, 0);
	hear(f, GPU_MESSAGE_DMABUF_UPDATE, NULL, 0, NULL);
	assert_int_equal(rig_pixel(&f->rig, 0, 0, 0), color);
	say(f, GPU_MESSAGE_DMABUF_SCANOUT, &scanout, GPU_MESSAGE_DMABUF_SIZE, -1);
	seat_memory_flip(f->rig.backend, 0);
	assert_int_equal(rig_pixel(&f->rig, 0, 0, 0), 0);
	close(fd);
}

static void test_manager(void **state)
{
	struct fixture *f = *state;
	int pair[2], packets[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, packets), 0);
	assert_false(ask_ok(f, "{", -1));
	assert_false(ask_ok(f, "[]", -1));
	assert_false(ask_ok(f, "{} {}", -1));
	assert_false(ask_ok(f, "{\"command\":1}", -1));
	assert_false(ask_ok(f, "{\"command\":\"nonsense\"}", pair[0]));
	assert_false(ask_ok(f, "{\"command\":\"status\\u0000\"}", -1));
	assert_false(ask_ok(f, "{\"command\":\"add\",\"guest\":\"b\",\"kind\":\"gpu\"}", -1));
	assert_false(ask_ok(f, "{\"command\":\"add\",\"guest\":\"b\",\"kind\":\"gpu\"}", 0));
	assert_false(
	    ask_ok(f, "{\"command\":\"add\",\"guest\":\"b\",\"kind\":\"gpu\"}", packets[0]));
	assert_false(ask_ok(f, "{\"command\":\"add\",\"guest\":\"b\",\"kind\":\"oven\"}", pair[0]));
	assert_false(ask_ok(f, "{\"command\":\"add\",\"guest\":\"\",\"kind\":\"gpu\"}", pair[0]));
	assert_false(
	    ask_ok(f, "{\"command\":\"add\",\"guest\":\"b\\n\",\"kind\":\"gpu\"}", pair[0]));
	assert_false(
	    ask_ok(f, "{\"command\":\"add\",\"guest\":\"b\",\"kind\":\"keyboard\"}", pair[0]));
	assert_true(
	    ask_ok(f, "{\"command\":\"add\",\"guest\":\"b\",\"device\":1,\"kind\":\"keyboard\"}",
		packets[0]));
	assert_true(ask_ok(f, "{\"command\":\"focus\",\"guest\":\"b\"}", -1));
	assert_false(ask_ok(f, "{\"command\":\"focus\",\"guest\":\"c\"}", -1));
	assert_false(ask_ok(f, "{\"command\":\"output\",\"guest\":\"a\",\"mode\":\"off\"}", -1));
	assert_false(ask_ok(
	    f, "{\"command\":\"output\",\"guest\":\"a\",\"scanout\":16,\"mode\":\"off\"}", -1));
	assert_true(ask_ok(
	    f, "{\"command\":\"output\",\"guest\":\"a\",\"scanout\":0,\"mode\":\"off\"}", -1));
	assert_true(ask_ok(
	    f, "{\"command\":\"output\",\"guest\":\"a\",\"scanout\":0,\"mode\":\"on\"}", -1));
	assert_false(ask_ok(f, "{\"command\":\"capture\",\"guest\":\"c\",\"scanout\":0}", -1));
	assert_false(ask_ok(f,
	    "{\"command\":\"picture\",\"guest\":\"a\",\"scanout\":0,\"width\":1,\"height\":1}",
	    -1));
	assert_true(ask_ok(f, "{\"command\":\"remove\",\"guest\":\"a\"}", -1));
	hear_end(f);
	assert_false(seat_knows(f->rig.seat, "a"));
	close(pair[0]);
	close(pair[1]);
	close(packets[0]);
	close(packets[1]);
}

static void test_capture(void **state)
{
	struct fixture *f = *state;
	struct json_object *answer, *width;
	uint32_t pixels[RIG_W * RIG_H];
	int fd;

	answer = ask(f, "{\"command\":\"capture\",\"guest\":\"a\",\"scanout\":0}", -1, &fd);
	assert_true(json_object_object_get_ex(answer, "width", &width));
	assert_int_equal(json_object_get_int(width), RIG_W);
	json_object_put(answer);
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, pixels, sizeof(pixels), 0), sizeof(pixels));
	close(fd);
}

/* A packet that is too long is no command; other managers go on. */
static void test_long_packet(void **state)
{
	struct fixture *f = *state;
	const size_t size = SEAT_COMMAND_MAX + 1;
	char *text = malloc(size);
	uint8_t byte;

	memset(text, ' ', size);
	send_with(f->control, text, size, f->control);
	free(text);
	assert_true(receive(f, f->control, &byte, 1, NULL) <= 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		T(test_present),
		T(test_refusals),
		T(test_questions),
		T(test_broken),
		T(test_deaf),
		T(test_pixels),
		T(test_dmabuf),
		T(test_manager),
		T(test_capture),
		T(test_long_packet),
#undef T
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
