/* SPDX-License-Identifier: MIT */
/* The front end's display: what goes over the socket, in which order, and what when it ends. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backend/display_socket.h"
#include "backend/display_socket_message.h"
#include "tests/loopback/loopback_display.h"

#include <cmocka.h>

#define W 64
#define H 48
#define LARGE 1024 /* a frame of 4 MiB does not fit into a socket */

struct picture {
	struct display_source base;
	uint32_t *pixels;
	unsigned reads;
	int dmabuf; /* -1: can't be exported */
	uint64_t modifier;
	bool y0_top;
};

struct fixture {
	sd_event *event;
	struct display *display;
	struct loopback_display front;
	struct picture a;
	unsigned shown[16], modes_changed;
	uint64_t serial[16];
};

static int picture_read(
    struct display_source *source, const struct display_rect *rect, void *to, size_t stride)
{
	struct picture *p = (struct picture *)source;

	p->reads++;
	for (uint32_t y = 0; y < rect->height; y++)
		memcpy((uint8_t *)to + y * stride,
		    p->pixels + (size_t)(rect->y + y) * source->width + rect->x, rect->width * 4);
	return 0;
}

static int picture_export(
    struct display_source *source, struct display_dmabuf *dmabuf, struct display_rect *rect)
{
	struct picture *p = (struct picture *)source;

	if (p->dmabuf < 0)
		return -ENOTSUP;
	*dmabuf = (struct display_dmabuf){ .fd = dup(p->dmabuf),
		.width = source->width + 2,
		.height = source->height + 2,
		.stride = 4096,
		.fourcc = 0x34325258,
		.modifier = p->modifier,
		.y0_top = p->y0_top };
	*rect = (struct display_rect){ 1, 1, source->width, source->height };
	return 0;
}

static const struct display_source_impl picture_impl = { .read = picture_read,
	.export_dmabuf = picture_export };

static void on_shown(void *data, unsigned scanout, uint64_t serial)
{
	struct fixture *f = data;

	assert_true(serial > f->serial[scanout]);
	f->shown[scanout]++;
	f->serial[scanout] = serial;
}

static void on_modes_changed(void *data)
{
	((struct fixture *)data)->modes_changed++;
}

static void picture_init(struct picture *p, uint32_t width, uint32_t height)
{
	free(p->pixels);
	*p = (struct picture){ .base = { .impl = &picture_impl, .width = width, .height = height },
		.dmabuf = -1,
		.pixels = malloc((size_t)width * height * 4) };
	for (uint32_t i = 0; i < width * height; i++)
		p->pixels[i] = i * 2654435761u;
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	assert_true(sd_event_new(&f->event) >= 0);
	assert_int_equal(display_socket_create(f->event, &f->display), 0);
	f->display->listener = (struct display_listener){ on_shown, on_modes_changed, f };
	loopback_display_init(&f->front);
	picture_init(&f->a, W, H);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	f->display->impl->destroy(f->display);
	loopback_display_finish(&f->front);
	if (f->a.dmabuf >= 0)
		close(f->a.dmabuf);
	free(f->a.pixels);
	sd_event_unref(f->event);
	free(f);
	return 0;
}

/* Both sides, until neither has anything to do. */
static void settle(struct fixture *f)
{
	struct pollfd fd = { .fd = f->front.fd, .events = POLLIN };
	int idle = 0;

	while (idle < 2) {
		idle++;
		while (sd_event_run(f->event, 0) > 0)
			idle = 0;
		while (poll(&fd, 1, 0) > 0) {
			assert_int_equal(loopback_display_dispatch(&f->front), 0);
			idle = 0;
		}
	}
}

static void connect_front(struct fixture *f)
{
	int fd = loopback_display_open(&f->front);

	assert_true(fd >= 0);
	assert_int_equal(display_socket_set_fd(f->display, fd), 0);
}

static void set_source(struct fixture *f, unsigned scanout, struct picture *p)
{
	f->display->impl->set_source(f->display, scanout, p ? &p->base : NULL);
}

static void flush(struct fixture *f, unsigned scanout, struct display_rect damage, uint64_t serial)
{
	f->display->impl->flush(f->display, scanout, &damage, serial);
}

/* ---------------------------------------------------------------- tests */

static void it_asks_for_features_modes_and_edids(void **state)
{
	struct fixture *f = *state;
	struct display_mode modes[DISPLAY_SCANOUTS_MAX];

	f->front.scanouts = 2;
	f->front.width = 800;
	f->front.height = 600;
	assert_true(f->display->impl->get_modes(f->display, modes, DISPLAY_ASK_EDIDS));
	assert_int_equal(modes[0].width, 1024); /* nobody there yet */
	connect_front(f);
	assert_false(f->display->impl->get_modes(f->display, modes, DISPLAY_KNOWN));
	settle(f);
	assert_int_equal(f->front.protocol_features, GPU_MESSAGE_F_EDID);
	assert_int_equal(f->front.infos, 1);
	assert_int_equal(f->front.edids, 2);
	assert_int_equal(f->modes_changed, 1);
	assert_true(f->display->impl->get_modes(f->display, modes, DISPLAY_KNOWN));
	assert_true(modes[0].enabled && modes[1].enabled && !modes[2].enabled);
	assert_int_equal(modes[1].x, 800);
	assert_int_equal(modes[1].height, 600);
	assert_int_equal(modes[1].refresh, 60000);

	/* The guest asks: so do we. */
	f->front.width = 640;
	assert_false(f->display->impl->get_modes(f->display, modes, DISPLAY_ASK_EDIDS));
	assert_false(f->display->impl->get_modes(f->display, modes, DISPLAY_ASK_EDIDS));
	settle(f);
	assert_int_equal(f->front.infos, 2);
	assert_int_equal(f->modes_changed, 2);
	assert_true(f->display->impl->get_modes(f->display, modes, DISPLAY_KNOWN));
	assert_int_equal(modes[0].width, 640);
}

static void only_the_damage_goes(void **state)
{
	struct fixture *f = *state;
	const struct loopback_picture *seen = &f->front.pictures[3];

	connect_front(f);
	settle(f);
	set_source(f, 3, &f->a);
	flush(f, 3, (struct display_rect){ 0, 0, 1, 1 }, 1);
	settle(f);
	assert_int_equal(f->serial[3], 1);
	assert_int_equal(f->front.scanout_messages, 1);
	assert_int_equal(seen->width, W);
	assert_int_equal(seen->height, H);
	assert_memory_equal(seen->pixels, f->a.pixels, W * H * 4); /* a new source: all of it */
	assert_int_equal(f->front.updates, 1);

	f->a.pixels[0] = 1; /* not flushed */
	for (int i = 0; i < 5; i++)
		f->a.pixels[(10 + i) * W + 20] = 2;
	flush(f, 3, (struct display_rect){ 20, 10, 1, 5 }, 2);
	settle(f);
	assert_int_equal(f->serial[3], 2);
	assert_int_equal(f->front.updates, 2);
	assert_int_equal(seen->pixels[14 * W + 20], 2);
	assert_int_not_equal(seen->pixels[0], 1);

	/* The same size again is no news, another is. */
	set_source(f, 3, &f->a);
	flush(f, 3, (struct display_rect){ 0, 0, 1, 1 }, 3);
	settle(f);
	assert_int_equal(f->front.scanout_messages, 1);
	assert_int_equal(seen->pixels[0], 1);
	set_source(f, 3, NULL);
	flush(f, 3, (struct display_rect){ 0, 0, 1, 1 }, 4);
	settle(f);
	assert_int_equal(f->front.scanout_messages, 2);
	assert_int_equal(seen->width, 0);
	assert_int_equal(f->serial[3], 4);
	assert_int_equal(f->shown[0], 0);
}

/* Receives @size bytes while the display goes on sending. */
static void receive(struct fixture *f, void *to, size_t size)
{
	size_t had = 0;

	while (had < size) {
		ssize_t n = recv(f->front.fd, (uint8_t *)to + had, size - had, MSG_DONTWAIT);

		if (n > 0)
			had += (size_t)n;
		else
			assert_true(sd_event_run(f->event, UINT64_MAX) > 0);
	}
}

static void damage_gathers_while_the_socket_is_full(void **state)
{
	struct fixture *f = *state;
	struct {
		struct gpu_message_header header;
		struct gpu_message_update update;
	} message;
	uint32_t *pixels = malloc(LARGE * LARGE * 4);

	connect_front(f);
	settle(f);
	picture_init(&f->a, LARGE, LARGE);
	set_source(f, 0, &f->a);
	flush(f, 0, (struct display_rect){ 0, 0, LARGE, LARGE }, 1);
	for (int i = 0; i < 10; i++)
		sd_event_run(f->event, 0);
	assert_int_equal(f->shown[0], 0);
	assert_int_equal(f->a.reads, 1);

	/* A thousand more: none is read, none is queued. */
	for (uint32_t i = 0; i < 1000; i++) {
		f->a.pixels[(size_t)i * LARGE + i] = i;
		flush(f, 0, (struct display_rect){ i, i, 1, 1 }, 2 + i);
	}
	while (sd_event_run(f->event, 0) > 0)
		;
	assert_int_equal(f->shown[0], 0);
	assert_int_equal(f->a.reads, 1);

	assert_int_equal(loopback_display_dispatch(&f->front), 0); /* SCANOUT */
	receive(f, &message, sizeof(message));
	assert_int_equal(message.header.request, GPU_MESSAGE_UPDATE);
	assert_int_equal(message.header.size, sizeof(message.update) + LARGE * LARGE * 4);
	receive(f, pixels, LARGE * LARGE * 4);
	assert_int_equal(pixels[5], 5u * 2654435761u);
	while (f->serial[0] < 1)
		assert_true(sd_event_run(f->event, UINT64_MAX) > 0);
	assert_int_equal(f->serial[0], 1);

	/* Then one frame for all of them */
	receive(f, &message, sizeof(message));
	assert_int_equal(message.update.x, 0);
	assert_int_equal(message.update.width, 1000);
	assert_int_equal(message.update.height, 1000);
	receive(f, pixels, 1000 * 1000 * 4);
	assert_int_equal(pixels[999 * 1000 + 999], 999);
	while (f->serial[0] < 1001)
		assert_true(sd_event_run(f->event, UINT64_MAX) > 0);
	assert_int_equal(f->shown[0], 2);
	assert_int_equal(f->a.reads, 2);
	free(pixels);
}

static void cursors_go(void **state)
{
	struct fixture *f = *state;
	static struct display_cursor cursor = { .hot_x = 3, .hot_y = 4 };

	for (uint32_t i = 0; i < 64 * 64; i++)
		cursor.pixels[i] = i << 12;
	connect_front(f);
	settle(f);
	f->display->impl->set_cursor(f->display, 2, &cursor, 100, (uint32_t)-5);
	settle(f);
	assert_true(f->front.cursor_visible);
	assert_int_equal(f->front.cursor_scanout, 2);
	assert_int_equal(f->front.cursor_x, 100);
	assert_int_equal(f->front.cursor_y, (uint32_t)-5);
	assert_int_equal(f->front.cursor_hot_x, 3);
	assert_int_equal(f->front.cursor_hot_y, 4);
	assert_memory_equal(f->front.cursor, cursor.pixels, sizeof(cursor.pixels));
	f->display->impl->move_cursor(f->display, 2, 7, 8);
	settle(f);
	assert_int_equal(f->front.cursor_x, 7);
	assert_int_equal(f->front.cursors, 2);
	f->display->impl->set_cursor(f->display, 2, NULL, 0, 0);
	f->display->impl->move_cursor(f->display, 2, 9, 9);
	settle(f);
	assert_false(f->front.cursor_visible);
	assert_int_equal(f->front.cursors, 3);
}

static void buffers_are_passed_where_they_can_be(void **state)
{
	struct fixture *f = *state;

	f->front.dmabuf2 = true;
	connect_front(f);
	settle(f);
	f->a.dmabuf = memfd_create("frame", MFD_CLOEXEC);
	f->a.modifier = 77;
	set_source(f, 0, &f->a);
	flush(f, 0, (struct display_rect){ 1, 2, 3, 4 }, 1);
	assert_int_equal(f->shown[0], 0); /* not before the answer */
	flush(f, 0, (struct display_rect){ 1, 2, 3, 4 }, 2);
	settle(f);
	assert_int_equal(f->front.dmabufs, 1);
	assert_int_equal(f->front.pictures[0].width, W);
	assert_int_equal(f->front.dmabuf_updates, 2);
	assert_int_equal(f->front.updates, 0);
	assert_int_equal(f->serial[0], 2);
	assert_int_equal(f->a.reads, 0);

	/* Without an export: pixels again */
	close(f->a.dmabuf);
	f->a.dmabuf = -1;
	set_source(f, 0, &f->a);
	flush(f, 0, (struct display_rect){ 0, 0, 1, 1 }, 3);
	settle(f);
	assert_int_equal(f->front.scanout_messages, 1);
	assert_memory_equal(f->front.pictures[0].pixels, f->a.pixels, W * H * 4);
	assert_int_equal(f->serial[0], 3);
}

static void a_modifier_is_not_dropped(void **state)
{
	struct fixture *f = *state;

	connect_front(f); /* no DMABUF2 */
	settle(f);
	f->a.dmabuf = memfd_create("frame", MFD_CLOEXEC);
	f->a.modifier = 77;
	set_source(f, 0, &f->a);
	flush(f, 0, (struct display_rect){ 0, 0, 1, 1 }, 1);
	settle(f);
	assert_int_equal(f->front.dmabufs, 0);
	assert_int_equal(f->front.updates, 1);
	f->a.modifier = GPU_MESSAGE_MODIFIER_LINEAR;
	set_source(f, 0, &f->a);
	settle(f);
	assert_int_equal(f->front.dmabufs, 1);
	set_source(f, 0, NULL);
	settle(f);
	assert_int_equal(f->front.dmabufs, 2);
	assert_int_equal(f->front.pictures[0].width, 0);
}

/* The bytes and the descriptor of a DMABUF_SCANOUT2, as QEMU reads them */
static void a_buffer_is_described(void **state)
{
	struct fixture *f = *state;
	struct {
		struct gpu_message_header header;
		uint32_t words[12];
	} message;
	union {
		struct cmsghdr header;
		uint8_t bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = { &message, sizeof(message) };
	struct msghdr msg = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control) };
	struct stat want, got;
	int fd;

	f->front.dmabuf2 = true;
	connect_front(f);
	settle(f);
	f->a.dmabuf = memfd_create("frame", MFD_CLOEXEC);
	f->a.modifier = UINT64_C(0x1122334455667788);
	set_source(f, 4, &f->a);
	assert_int_equal(recvmsg(f->front.fd, &msg, MSG_CMSG_CLOEXEC), 12 + 48);
	assert_int_equal(message.header.request, GPU_MESSAGE_DMABUF_SCANOUT2);
	assert_int_equal(message.header.flags, 0);
	assert_int_equal(message.header.size, 48);
	const uint32_t words[12] = { 4, 1, 1, W, H, W + 2, H + 2, 4096, 1 /* y0_top is false */,
		0x34325258, 0x55667788, 0x11223344 };
	assert_memory_equal(message.words, words, sizeof(words));
	assert_true(msg.msg_controllen >= CMSG_LEN(sizeof(int)));
	memcpy(&fd, CMSG_DATA(&control.header), sizeof(fd));
	assert_int_equal(fstat(fd, &got), 0);
	assert_int_equal(fstat(f->a.dmabuf, &want), 0);
	assert_int_equal(got.st_ino, want.st_ino);
	close(fd);
}

/* Closing the socket frees everyone who waits, and nothing wakes us any more. */
static void a_front_end_that_goes_leaves_nobody_waiting(void **state)
{
	struct fixture *f = *state;
	struct display_mode modes[DISPLAY_SCANOUTS_MAX];

	connect_front(f);
	settle(f);
	picture_init(&f->a, LARGE, LARGE);
	set_source(f, 0, &f->a);
	flush(f, 0, (struct display_rect){ 0, 0, LARGE, LARGE }, 1); /* on its way */
	flush(f, 0, (struct display_rect){ 0, 0, 1, 1 }, 2);         /* and one that waits */
	assert_false(f->display->impl->get_modes(f->display, modes, DISPLAY_ASK_EDIDS));
	assert_int_equal(f->shown[0], 0);
	close(f->front.fd);
	f->front.fd = -1;
	while (f->serial[0] < 2)
		assert_true(sd_event_run(f->event, UINT64_MAX) > 0);
	assert_int_equal(f->modes_changed, 2);
	assert_true(f->display->impl->get_modes(f->display, modes, DISPLAY_ASK_EDIDS));
	assert_int_equal(modes[0].width, 1024);
	while (sd_event_run(f->event, 0) > 0)
		;
	assert_int_equal(sd_event_run(f->event, 20000), 0);
	flush(f, 0, (struct display_rect){ 0, 0, 1, 1 }, 3);
	assert_int_equal(f->serial[0], 3);

	/* The next one gets all that the first had. */
	picture_init(&f->a, W, H);
	set_source(f, 0, &f->a);
	connect_front(f);
	settle(f);
	assert_int_equal(f->front.pictures[0].width, W);
	assert_memory_equal(f->front.pictures[0].pixels, f->a.pixels, W * H * 4);
	assert_int_equal(f->shown[0], 2);
}

static void send_raw(struct fixture *f, const void *bytes, size_t size)
{
	assert_int_equal(send(f->front.fd, bytes, size, MSG_NOSIGNAL), size);
	while (sd_event_run(f->event, 0) > 0)
		;
}

static bool is_closed(struct fixture *f)
{
	char buffer[4096];
	ssize_t n;

	while ((n = recv(f->front.fd, buffer, sizeof(buffer), MSG_DONTWAIT)) > 0)
		;
	return n == 0 || errno == ECONNRESET;
}

static void nonsense_ends_the_connection(void **state)
{
	static const struct gpu_message_header nonsense[] = {
		{ 3, GPU_MESSAGE_FLAG_REPLY, 0 },          /* short */
		{ 3, GPU_MESSAGE_FLAG_REPLY, 0x7fffffff }, /* long */
		{ 10, GPU_MESSAGE_FLAG_REPLY, 0 },         /* nobody asked */
		{ 11, GPU_MESSAGE_FLAG_REPLY, 0 }, { 1, GPU_MESSAGE_FLAG_REPLY, 8 },
		{ 99, GPU_MESSAGE_FLAG_REPLY, 0 }, { 10, 0, 0 }, /* no answer */
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(nonsense) / sizeof(nonsense[0]); i++) {
		uint8_t bytes[20] = { 0 };

		connect_front(f);
		settle(f);
		memcpy(bytes, &nonsense[i], sizeof(nonsense[i]));
		send_raw(f, bytes, nonsense[i].size == 8 ? 20 : 12);
		assert_true(is_closed(f));
		loopback_display_finish(&f->front);
	}
}

static void answers_may_come_in_pieces(void **state)
{
	struct fixture *f = *state;
	struct gpu_message_header request;
	uint8_t reply[12 + 408] = { 3, 0, 0, 0, 4, 0, 0, 0, 0x98, 1 };
	uint8_t features[20] = { 1, 0, 0, 0, 4, 0, 0, 0, 8 };
	struct display_mode modes[DISPLAY_SCANOUTS_MAX];

	connect_front(f);
	assert_int_equal(recv(f->front.fd, &request, 12, 0), 12);
	assert_int_equal(request.request, GPU_MESSAGE_GET_PROTOCOL_FEATURES);
	for (size_t i = 0; i < sizeof(features); i++)
		send_raw(f, features + i, 1);
	*(uint32_t *)(reply + 12 + 24 + 8) = 321;  /* pmodes[0].r.width */
	*(uint32_t *)(reply + 12 + 24 + 12) = 234; /* .height */
	*(uint32_t *)(reply + 12 + 24 + 16) = 1;   /* .enabled */
	for (size_t i = 0; i < sizeof(reply); i++)
		send_raw(f, reply + i, 1);
	assert_int_equal(f->modes_changed, 1);
	assert_true(f->display->impl->get_modes(f->display, modes, DISPLAY_KNOWN));
	assert_int_equal(modes[0].width, 321);
	assert_int_equal(modes[0].height, 234);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
		    it_asks_for_features_modes_and_edids, set_up, tear_down),
		cmocka_unit_test_setup_teardown(only_the_damage_goes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    damage_gathers_while_the_socket_is_full, set_up, tear_down),
		cmocka_unit_test_setup_teardown(cursors_go, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    buffers_are_passed_where_they_can_be, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_modifier_is_not_dropped, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_buffer_is_described, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    a_front_end_that_goes_leaves_nobody_waiting, set_up, tear_down),
		cmocka_unit_test_setup_teardown(nonsense_ends_the_connection, set_up, tear_down),
		cmocka_unit_test_setup_teardown(answers_may_come_in_pieces, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
