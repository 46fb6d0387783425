/* SPDX-License-Identifier: MIT */
/* The seat's part of the display's socket, against a seat that does what each test says. */
#include <errno.h>
#include <linux/virtio_gpu.h>
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
#include "backend/edid.h"
#include "backend/seat_message.h"

#include <cmocka.h>

#define W 64
#define H 48
#define STRIDE 512
#define ALL ((struct display_rect){ 0, 0, W, H })

struct picture {
	struct display_source base;
	uint32_t pixels[W * H];
	unsigned reads, exports;
	uint64_t bytes; /* that were read */
	int dmabuf;     /* -1: can't be exported */
};

struct message {
	struct gpu_message_header header;
	union {
		uint8_t bytes[32768];
		struct seat_import import;
		struct seat_allocate allocate;
		struct seat_free free;
		struct seat_present present;
		struct gpu_message_scanout scanout;
		struct gpu_message_cursor cursor;
		uint32_t word;
	};
	int fd;
};

struct fixture {
	sd_event *event;
	struct display *display;
	int seat; /* our end */
	struct picture a, b;
	struct message m; /* the last one */
	unsigned shown, modes_changed;
	uint64_t serial;
	struct virtio_gpu_resp_display_info info;
	struct virtio_gpu_resp_edid edid;
	uint32_t *memory[SEAT_BUFFERS_MAX]; /* of what was allocated */
	unsigned allocated;
};

/* ---------------------------------------------------------------- pictures */

static int picture_read(
    struct display_source *source, const struct display_rect *rect, void *to, size_t stride)
{
	struct picture *p = (struct picture *)source;

	p->reads++;
	p->bytes += (uint64_t)rect->width * rect->height * 4;
	for (uint32_t y = 0; y < rect->height; y++)
		memcpy((uint8_t *)to + y * stride, p->pixels + (size_t)(rect->y + y) * W + rect->x,
		    rect->width * 4);
	return 0;
}

static int picture_export(
    struct display_source *source, struct display_dmabuf *dmabuf, struct display_rect *rect)
{
	struct picture *p = (struct picture *)source;

	p->exports++;
	if (p->dmabuf < 0)
		return -ENOTSUP;
	*dmabuf = (struct display_dmabuf){ .fd = dup(p->dmabuf),
		.width = W + 2,
		.height = H + 2,
		.stride = STRIDE,
		.fourcc = 0x34325241, /* AR24 */
		.modifier = 77,
		.y0_top = true };
	*rect = (struct display_rect){ source->x, source->y, W, H };
	return 0;
}

static const struct display_source_impl picture_impl = { .read = picture_read,
	.export_dmabuf = picture_export };
static const struct display_source_impl memory_impl = { .read = picture_read,
	.export_memory = picture_export };

static void picture_init(struct picture *p, uint64_t number)
{
	*p = (struct picture){ .base = { .impl = &picture_impl,
				   .width = W,
				   .height = H,
				   .x = 1,
				   .y = 2,
				   .buffer = number },
		.dmabuf = -1 };
	for (uint32_t i = 0; i < W * H; i++)
		p->pixels[i] = i * 2654435761u + (uint32_t)number;
}

/* ---------------------------------------------------------------- the seat */

static void run(struct fixture *f)
{
	while (sd_event_run(f->event, 0) > 0)
		;
}

/* The next message; false: there is none. */
static bool receive(struct fixture *f)
{
	union {
		struct cmsghdr header;
		uint8_t bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct gpu_message_header header;
	struct iovec iov = { &header, sizeof(header) };
	struct msghdr message = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control) };
	ssize_t n;

	run(f);
	n = recvmsg(f->seat, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n < 0)
		return false;
	assert_int_equal(n, sizeof(header));
	memset(&f->m, 0, offsetof(struct message, fd));
	f->m.header = header;
	f->m.fd = -1;
	if (message.msg_controllen)
		memcpy(&f->m.fd, CMSG_DATA(&control.header), sizeof(int));
	assert_true(f->m.header.size <= sizeof(f->m.bytes));
	for (size_t had = 0; had < f->m.header.size; had += (size_t)n) {
		run(f);
		n = recv(f->seat, f->m.bytes + had, f->m.header.size - had, MSG_DONTWAIT);
		assert_true(n > 0);
	}
	return true;
}

static void say(
    struct fixture *f, uint32_t request, uint32_t flags, const void *payload, uint32_t size, int fd)
{
	const struct gpu_message_header header = { request, flags, size };
	struct iovec iov[2] = { { (void *)&header, sizeof(header) }, { (void *)payload, size } };
	union {
		struct cmsghdr header;
		uint8_t bytes[CMSG_SPACE(sizeof(int))];
	} control = { .header = { CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS } };
	struct msghdr message = { .msg_iov = iov, .msg_iovlen = 2 };

	if (fd >= 0) {
		memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
		message.msg_control = control.bytes;
		message.msg_controllen = sizeof(control);
	}
	assert_int_equal(sendmsg(f->seat, &message, MSG_NOSIGNAL), sizeof(header) + size);
	run(f);
}

static void answer(struct fixture *f, const void *payload, uint32_t size)
{
	say(f, f->m.header.request, GPU_MESSAGE_FLAG_REPLY, payload, size, -1);
}

/* Questions about modes are answered meanwhile, unless they are what is expected. */
static void expect(struct fixture *f, uint32_t request)
{
	for (;;) {
		assert_true(receive(f));
		assert_int_equal(f->m.header.flags, 0);
		if (f->m.header.request == request)
			return;
		if (f->m.header.request == GPU_MESSAGE_GET_DISPLAY_INFO)
			answer(f, &f->info, sizeof(f->info));
		else if (f->m.header.request == GPU_MESSAGE_GET_EDID)
			answer(f, &f->edid, sizeof(f->edid));
		else
			assert_int_equal(f->m.header.request, request);
	}
}

static void expect_nothing(struct fixture *f)
{
	if (receive(f))
		fail_msg("message %u", f->m.header.request);
}

static void answer_buffer(struct fixture *f, uint32_t id, int error)
{
	const struct seat_buffer_answer a = { .id = id, .error = (uint32_t)error };

	answer(f, &a, sizeof(a));
}

static void answer_memory(struct fixture *f)
{
	const struct seat_buffer_answer a = {
		.id = f->m.allocate.id, .stride = STRIDE, .size = STRIDE * H
	};
	int fd = memfd_create("memory", MFD_CLOEXEC);

	assert_int_equal(f->m.allocate.width, W);
	assert_int_equal(f->m.allocate.height, H);
	assert_int_equal(ftruncate(fd, a.size), 0);
	f->memory[a.id] = mmap(NULL, a.size, PROT_READ, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(f->memory[a.id], MAP_FAILED);
	f->allocated++;
	say(f, SEAT_MESSAGE_ALLOCATE, GPU_MESSAGE_FLAG_REPLY, &a, sizeof(a), fd);
	close(fd);
}

static void say_shown(struct fixture *f, unsigned scanout, uint64_t serial)
{
	const struct seat_shown shown = { .scanout = scanout, .serial = serial };

	say(f, SEAT_MESSAGE_SHOWN, 0, &shown, sizeof(shown), -1);
}

static void say_released(struct fixture *f, uint32_t id)
{
	say(f, SEAT_MESSAGE_RELEASED, 0, &(struct seat_free){ id }, sizeof(struct seat_free), -1);
}

/* The questions at the begin of a connection, or after MODES_CHANGED */
static void answer_questions(struct fixture *f)
{
	expect(f, GPU_MESSAGE_GET_DISPLAY_INFO);
	answer(f, &f->info, sizeof(f->info));
	expect(f, GPU_MESSAGE_GET_EDID);
	assert_int_equal(f->m.word, 0);
	answer(f, &f->edid, sizeof(f->edid));
}

static void connect_seat(struct fixture *f)
{
	const uint64_t features = GPU_MESSAGE_F_EDID | GPU_MESSAGE_F_SEAT;
	int pair[2];

	if (f->seat >= 0)
		close(f->seat);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	f->seat = pair[0];
	assert_int_equal(display_socket_set_fd(f->display, pair[1]), 0);
	expect(f, GPU_MESSAGE_GET_PROTOCOL_FEATURES);
	answer(f, &features, sizeof(features));
	expect(f, GPU_MESSAGE_SET_PROTOCOL_FEATURES);
	assert_memory_equal(f->m.bytes, &features, sizeof(features));
}

static void on_shown(void *data, unsigned scanout, uint64_t serial)
{
	struct fixture *f = data;

	assert_true(serial > f->serial);
	f->shown++;
	f->serial = serial;
}

static void on_modes_changed(void *data)
{
	((struct fixture *)data)->modes_changed++;
}

static void make_edid(struct fixture *f, const char *name)
{
	const struct edid_mode mode = { .width = 800, .height = 600, .refresh = 75000 };
	struct edid_identity identity = { .vendor = "ABC" };

	strncpy(identity.name, name, EDID_NAME_MAX);
	memset(&f->edid, 0, sizeof(f->edid));
	f->edid.size = (uint32_t)edid_make(&mode, &identity, f->edid.edid);
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->seat = -1;
	f->info.pmodes[0] =
	    (struct virtio_gpu_display_one){ .r = { .width = 800, .height = 600 }, .enabled = 1 };
	make_edid(f, "First");
	assert_true(sd_event_new(&f->event) >= 0);
	assert_int_equal(display_socket_create(f->event, &f->display), 0);
	f->display->listener = (struct display_listener){ on_shown, on_modes_changed, f };
	picture_init(&f->a, 1);
	picture_init(&f->b, 2);
	connect_seat(f);
	answer_questions(f);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	f->display->impl->destroy(f->display);
	close(f->seat);
	for (unsigned i = 0; i < SEAT_BUFFERS_MAX; i++)
		if (f->memory[i])
			munmap(f->memory[i], STRIDE * H);
	if (f->a.dmabuf >= 0)
		close(f->a.dmabuf);
	if (f->b.dmabuf >= 0)
		close(f->b.dmabuf);
	sd_event_unref(f->event);
	free(f);
	return 0;
}

static void set_source(struct fixture *f, struct picture *p)
{
	f->display->impl->set_source(f->display, 0, p ? &p->base : NULL);
}

static void flush(struct fixture *f, struct display_rect damage, uint64_t serial)
{
	f->display->impl->flush(f->display, 0, &damage, serial);
}

static enum display_path path(struct fixture *f, int *reason)
{
	return f->display->impl->get_path(f->display, 0, reason);
}

static void assert_seen(struct fixture *f, uint32_t id, const struct picture *p)
{
	for (unsigned y = 0; y < H; y++)
		assert_memory_equal(
		    f->memory[id] + y * STRIDE / 4, p->pixels + (size_t)y * W, W * 4);
}

/* A flush of all of it, which is presented by copy. The buffer's id */
static uint32_t present_copy(struct fixture *f, struct picture *p, uint64_t serial)
{
	flush(f, ALL, serial);
	assert_true(receive(f));
	if (f->m.header.request == SEAT_MESSAGE_ALLOCATE) {
		answer_memory(f);
		assert_true(receive(f));
	}
	assert_int_equal(f->m.header.request, SEAT_MESSAGE_PRESENT);
	assert_seen(f, f->m.present.id, p);
	return f->m.present.id;
}

/* ---------------------------------------------------------------- without a copy */

static void a_buffer_is_passed_once(void **state)
{
	struct fixture *f = *state;
	struct stat want, got;
	int reason;

	f->a.dmabuf = memfd_create("a", MFD_CLOEXEC);
	f->b.dmabuf = memfd_create("b", MFD_CLOEXEC);
	f->b.base.impl = &memory_impl;
	set_source(f, &f->a);
	expect_nothing(f); /* before it is flushed */
	flush(f, (struct display_rect){ 3, 4, 5, 6 }, 1);
	expect(f, SEAT_MESSAGE_IMPORT);
	assert_int_equal(f->m.header.size, sizeof(f->m.import));
	assert_true(f->m.fd >= 0);
	assert_int_equal(fstat(f->a.dmabuf, &want), 0);
	assert_int_equal(fstat(f->m.fd, &got), 0);
	assert_int_equal(want.st_ino, got.st_ino);
	close(f->m.fd);
	const struct seat_import import = { .id = f->m.import.id,
		.width = W + 2,
		.height = H + 2,
		.stride = STRIDE,
		.fourcc = 0x34325258, /* a scan-out is opaque */
		.modifier = 77 };
	assert_memory_equal(&f->m.import, &import, sizeof(import));
	expect_nothing(f);
	answer_buffer(f, import.id, 0);
	expect(f, SEAT_MESSAGE_PRESENT);
	assert_int_equal(f->m.header.size, sizeof(f->m.present));
	assert_int_equal(f->m.present.id, import.id);
	assert_memory_equal(
	    &f->m.present.source, (&(struct display_rect){ 1, 2, W, H }), sizeof(ALL));
	assert_int_equal(f->m.present.damage_count, 1); /* a new source: all of it */
	assert_memory_equal(
	    &f->m.present.damage[0], (&(struct display_rect){ 1, 2, W, H }), sizeof(ALL));
	assert_int_equal(f->shown, 0);
	say_shown(f, 0, f->m.present.serial);
	assert_int_equal(f->serial, 1);
	assert_int_equal(path(f, &reason), DISPLAY_PATH_ZERO_COPY);
	assert_int_equal(reason, 0);

	/* Flipping between two: nothing but PRESENT, after the first time */
	for (unsigned i = 0; i < 6; i++) {
		struct picture *p = i % 2 ? &f->a : &f->b;

		set_source(f, p);
		flush(f, (struct display_rect){ 0, 0, 1, 1 }, 2 + i);
		if (i == 0) {
			expect(f, SEAT_MESSAGE_IMPORT);
			close(f->m.fd);
			assert_int_not_equal(f->m.import.id, import.id);
			answer_buffer(f, f->m.import.id, 0);
		}
		expect(f, SEAT_MESSAGE_PRESENT);
		if (p == &f->a)
			assert_int_equal(f->m.present.id, import.id);
		else
			assert_int_not_equal(f->m.present.id, import.id);
		say_shown(f, 0, f->m.present.serial);
		assert_int_equal(f->serial, 2 + i);
	}
	assert_int_equal(f->a.exports + f->b.exports, 2);
	assert_int_equal(f->a.reads + f->b.reads, 0);

	/* The same again: the damage alone */
	flush(f, (struct display_rect){ 3, 4, 5, 6 }, 9);
	expect(f, SEAT_MESSAGE_PRESENT);
	assert_int_equal(f->m.present.damage_count, 1);
	assert_memory_equal(
	    &f->m.present.damage[0], (&(struct display_rect){ 4, 6, 5, 6 }), sizeof(ALL));
	say_shown(f, 0, f->m.present.serial);

	/* The resource goes away */
	set_source(f, NULL);
	expect(f, SEAT_MESSAGE_PRESENT);
	assert_int_equal(f->m.present.id, SEAT_NO_BUFFER);
	f->display->impl->forget(f->display, 1);
	expect(f, SEAT_MESSAGE_FREE);
	assert_int_equal(f->m.free.id, import.id);
	expect_nothing(f);
}

static void frames_wait_for_the_screen(void **state)
{
	struct fixture *f = *state;
	uint64_t first, second;

	f->a.dmabuf = memfd_create("a", MFD_CLOEXEC);
	set_source(f, &f->a);
	flush(f, ALL, 1);
	expect(f, SEAT_MESSAGE_IMPORT);
	close(f->m.fd);
	flush(f, ALL, 2); /* while it waits for the answer */
	answer_buffer(f, f->m.import.id, 0);
	expect(f, SEAT_MESSAGE_PRESENT);
	first = f->m.present.serial;
	flush(f, ALL, 3);
	expect(f, SEAT_MESSAGE_PRESENT);
	second = f->m.present.serial;
	assert_true(second > first);
	/* Ten thousand more: none of them goes, damage gathers. */
	for (uint32_t i = 0; i < 10000; i++)
		flush(f, (struct display_rect){ i % 16, i % 16, 1, 1 }, 4 + i);
	expect_nothing(f);
	assert_int_equal(f->shown, 0);
	say_shown(f, 0, first);
	assert_int_equal(f->serial, 2);
	expect(f, SEAT_MESSAGE_PRESENT);
	assert_true(f->m.present.damage_count >= 1);
	assert_true(f->m.present.damage_count <= SEAT_DAMAGE_MAX);
	for (uint32_t i = 0; i < 16; i++) { /* all of it is told */
		bool told = false;

		for (uint32_t d = 0; d < f->m.present.damage_count; d++) {
			const struct display_rect *r = &f->m.present.damage[d];

			told |= i + 1 >= r->x && i + 1 < r->x + r->width && i + 2 >= r->y &&
				i + 2 < r->y + r->height;
		}
		assert_true(told);
	}
	say_shown(f, 0, f->m.present.serial); /* and the second, which was overtaken */
	assert_int_equal(f->serial, 10003);
	assert_int_equal(f->shown, 2);
	expect_nothing(f);
}

/* ---------------------------------------------------------------- by one copy */

static void only_the_damage_is_copied(void **state)
{
	struct fixture *f = *state;
	const struct display_rect rect = { 10, 20, 8, 4 };
	uint32_t ids[3];
	int reason;

	set_source(f, &f->a);
	for (unsigned i = 0; i < 3; i++) {
		ids[i] = present_copy(f, &f->a, 1 + i);
		say_shown(f, 0, f->m.present.serial);
		if (i > 0)
			say_released(f, ids[i - 1]);
		assert_memory_equal(&f->m.present.source, &ALL, sizeof(ALL));
	}
	assert_int_equal(f->serial, 3);
	assert_int_equal(f->a.exports, 1); /* not asked again */
	assert_int_equal(path(f, &reason), DISPLAY_PATH_ONE_COPY);
	assert_int_equal(reason, ENOTSUP);
	assert_int_equal(f->allocated, 2); /* what is needed for one at a time */

	/* The same rectangle each time: as many bytes each time, though the buffer is older. */
	for (unsigned i = 0; i < 10; i++) {
		const uint32_t last = f->m.present.id;

		f->a.bytes = 0;
		for (unsigned y = 0; y < rect.height; y++)
			for (unsigned x = 0; x < rect.width; x++)
				f->a.pixels[(rect.y + y) * W + rect.x + x] = i << 8 | x;
		flush(f, rect, 4 + i);
		expect(f, SEAT_MESSAGE_PRESENT);
		if (i > 0) /* the one before it was of all */
			assert_int_equal(f->a.bytes, rect.width * rect.height * 4);
		assert_int_equal(f->m.present.damage_count, 1);
		assert_memory_equal(&f->m.present.damage[0], &rect, sizeof(rect));
		assert_int_not_equal(f->m.present.id, last);
		assert_seen(f, f->m.present.id, &f->a);
		say_shown(f, 0, f->m.present.serial);
		say_released(f, last);
	}
	/* Two corners: what another buffer missed is copied too, and not what lies between. */
	f->a.bytes = 0;
	f->a.pixels[0] = 1;
	flush(f, (struct display_rect){ 0, 0, 1, 1 }, 20);
	expect(f, SEAT_MESSAGE_PRESENT);
	say_shown(f, 0, f->m.present.serial);
	say_released(f, 1 - f->m.present.id % 2);
	f->a.pixels[W * H - 1] = 2;
	f->a.bytes = 0;
	for (unsigned i = 0; i < SEAT_BUFFERS_MAX; i++)
		if (i != f->m.present.id)
			say_released(f, i);
	flush(f, (struct display_rect){ W - 1, H - 1, 1, 1 }, 21);
	expect(f, SEAT_MESSAGE_PRESENT);
	assert_int_equal(f->m.present.damage_count, 1);
	assert_int_equal(f->m.present.damage[0].x, W - 1);
	assert_seen(f, f->m.present.id, &f->a);
	assert_true(f->a.bytes <= (2 + rect.width * rect.height) * 4);
}

static void a_buffer_that_is_read_is_not_written(void **state)
{
	struct fixture *f = *state;
	uint32_t ids[3];

	set_source(f, &f->a);
	ids[0] = present_copy(f, &f->a, 1);
	say_shown(f, 0, f->m.present.serial);
	ids[1] = present_copy(f, &f->a, 2);
	ids[2] = present_copy(f, &f->a, 3);
	assert_true(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2]);
	say_shown(f, 0, f->m.present.serial);
	flush(f, ALL, 4);
	expect_nothing(f); /* all three are read, and there is no fourth */
	say_released(f, ids[1]);
	expect(f, SEAT_MESSAGE_PRESENT);
	assert_int_equal(f->m.present.id, ids[1]);
	assert_int_equal(f->allocated, 3);
}

static void refused_imports_are_copied(void **state)
{
	struct fixture *f = *state;
	int reason;

	f->a.dmabuf = memfd_create("a", MFD_CLOEXEC);
	set_source(f, &f->a);
	flush(f, ALL, 1);
	expect(f, SEAT_MESSAGE_IMPORT);
	close(f->m.fd);
	answer_buffer(f, f->m.import.id, EINVAL);
	expect(f, SEAT_MESSAGE_ALLOCATE);
	answer_memory(f);
	expect(f, SEAT_MESSAGE_PRESENT);
	assert_seen(f, f->m.present.id, &f->a);
	assert_int_equal(path(f, &reason), DISPLAY_PATH_ONE_COPY);
	assert_int_equal(reason, EINVAL);
	say_shown(f, 0, f->m.present.serial);
	present_copy(f, &f->a, 2); /* not asked again ... */
	assert_int_equal(f->a.exports, 1);
	say_shown(f, 0, f->m.present.serial);

	/* ... before there may be another output */
	say(f, SEAT_MESSAGE_MODES_CHANGED, 0, NULL, 0, -1);
	answer_questions(f);
	flush(f, ALL, 3);
	expect(f, SEAT_MESSAGE_IMPORT);
	close(f->m.fd);
	answer_buffer(f, f->m.import.id, 0);
	for (unsigned frees = 0;; frees++) { /* the memory goes */
		assert_true(receive(f));
		if (f->m.header.request != SEAT_MESSAGE_FREE) {
			assert_int_equal(frees, 0); /* after the frame */
			break;
		}
	}
	assert_int_equal(f->m.header.request, SEAT_MESSAGE_PRESENT);
	expect(f, SEAT_MESSAGE_FREE);
	expect(f, SEAT_MESSAGE_FREE);
	expect_nothing(f);
	assert_int_equal(path(f, &reason), DISPLAY_PATH_ZERO_COPY);
}

static void without_memory_the_last_picture_stays(void **state)
{
	struct fixture *f = *state;
	int reason;

	set_source(f, &f->a);
	flush(f, ALL, 1);
	expect(f, SEAT_MESSAGE_ALLOCATE);
	answer_buffer(f, f->m.allocate.id, ENOMEM);
	/* The seat hangs up on who sends pixels inline then. */
	expect_nothing(f);
	assert_int_equal(f->serial, 1);
	assert_int_equal(path(f, &reason), DISPLAY_PATH_NONE);
	assert_int_equal(reason, ENOMEM);
	flush(f, ALL, 2);
	expect_nothing(f);
	assert_int_equal(f->serial, 2);
	/* Another size is tried again. */
	f->b.base.width = W / 2;
	set_source(f, &f->b);
	flush(f, (struct display_rect){ 0, 0, 1, 1 }, 3);
	expect(f, SEAT_MESSAGE_ALLOCATE);
	assert_int_equal(f->m.allocate.width, W / 2);
	answer_buffer(f, f->m.allocate.id, EINVAL);
	expect_nothing(f);
	/* And on another output, of its own accord. */
	say(f, SEAT_MESSAGE_MODES_CHANGED, 0, NULL, 0, -1);
	answer_questions(f);
	expect(f, SEAT_MESSAGE_ALLOCATE);
	assert_int_equal(f->m.allocate.width, W / 2);
}

/* ---------------------------------------------------------------- the monitor */

static void the_monitor_is_the_guests(void **state)
{
	struct fixture *f = *state;
	struct display_mode modes[DISPLAY_SCANOUTS_MAX];
	uint8_t edid[DISPLAY_EDID_MAX];
	uint32_t number;

	assert_int_equal(f->modes_changed, 1);
	assert_true(f->display->impl->get_modes(f->display, modes, DISPLAY_KNOWN));
	assert_int_equal(modes[0].width, 800);
	assert_in_range(modes[0].refresh, 74900, 75100);
	assert_int_not_equal(modes[0].edid, 0);
	number = modes[0].edid;
	assert_int_equal(f->display->impl->get_edid(f->display, 0, edid), f->edid.size);
	assert_memory_equal(edid, f->edid.edid, f->edid.size);

	/* Another monitor with the same mode */
	make_edid(f, "Second");
	say(f, SEAT_MESSAGE_MODES_CHANGED, 0, NULL, 0, -1);
	assert_false(f->display->impl->get_modes(f->display, modes, DISPLAY_KNOWN));
	answer_questions(f);
	assert_int_equal(f->modes_changed, 2);
	assert_true(f->display->impl->get_modes(f->display, modes, DISPLAY_KNOWN));
	assert_int_not_equal(modes[0].edid, 0);
	assert_int_not_equal(modes[0].edid, number);
	assert_int_equal(f->display->impl->get_edid(f->display, 0, edid), f->edid.size);
	assert_memory_equal(edid, f->edid.edid, f->edid.size);

	/* Garbage is none. */
	f->edid.edid[60] ^= 1;
	say(f, SEAT_MESSAGE_MODES_CHANGED, 0, NULL, 0, -1);
	answer_questions(f);
	assert_true(f->display->impl->get_modes(f->display, modes, DISPLAY_KNOWN));
	assert_int_equal(modes[0].edid, 0);
	assert_int_equal(f->display->impl->get_edid(f->display, 0, edid), 0);
	assert_int_equal(modes[0].width, 800);
}

static void edids_are_asked_for_when_the_guest_does(void **state)
{
	struct fixture *f = *state;
	struct display_mode modes[DISPLAY_SCANOUTS_MAX];

	assert_false(f->display->impl->get_modes(f->display, modes, DISPLAY_ASK_MODES));
	expect(f, GPU_MESSAGE_GET_DISPLAY_INFO);
	expect_nothing(f);
	answer(f, &f->info, sizeof(f->info));
	expect_nothing(f);
	assert_int_equal(f->modes_changed, 2);
	assert_true(f->display->impl->get_modes(f->display, modes, DISPLAY_KNOWN));
	assert_in_range(modes[0].refresh, 74900, 75100); /* still known */
	assert_false(f->display->impl->get_modes(f->display, modes, DISPLAY_ASK_EDIDS));
	assert_false(f->display->impl->get_modes(f->display, modes, DISPLAY_ASK_EDIDS));
	answer_questions(f);
	expect_nothing(f);
}

/* ---------------------------------------------------------------- seats that go */

static void a_seat_that_goes_stalls_nobody(void **state)
{
	struct fixture *f = *state;
	uint32_t id;

	f->b.dmabuf = memfd_create("b", MFD_CLOEXEC);
	set_source(f, &f->a);
	present_copy(f, &f->a, 1);
	present_copy(f, &f->a, 2);
	flush(f, ALL, 3);
	assert_int_equal(f->shown, 0);
	close(f->seat);
	f->seat = -1;
	run(f);
	assert_int_equal(f->serial, 3);
	flush(f, ALL, 4);
	assert_int_equal(f->serial, 4);

	/* In the middle of an import, too */
	set_source(f, &f->b);
	flush(f, ALL, 5);
	connect_seat(f);
	expect(f, SEAT_MESSAGE_IMPORT); /* its picture, without a flush */
	close(f->m.fd);
	flush(f, ALL, 6);
	assert_int_equal(f->serial, 5);
	close(f->seat);
	f->seat = -1;
	run(f);
	assert_int_equal(f->serial, 6);

	/* All is new to the next one. */
	connect_seat(f);
	expect(f, SEAT_MESSAGE_IMPORT);
	close(f->m.fd);
	id = f->m.import.id;
	answer_buffer(f, id, 0);
	expect(f, SEAT_MESSAGE_PRESENT);
	assert_int_equal(f->m.present.id, id);
	say_shown(f, 0, f->m.present.serial);
	flush(f, ALL, 7);
	expect(f, SEAT_MESSAGE_PRESENT);
	say_shown(f, 0, f->m.present.serial);
	assert_int_equal(f->serial, 7);
}

/* Whatever it says, the worker goes on, and with the next seat as well. */
static void garbage_ends_the_connection(void **state)
{
	static const struct {
		uint32_t request, flags, size, words[8];
	} nonsense[] = {
		{ SEAT_MESSAGE_SHOWN, 0, 4, { 0 } },
		{ SEAT_MESSAGE_SHOWN, 0, 32, { 16 } },
		{ SEAT_MESSAGE_SHOWN, GPU_MESSAGE_FLAG_REPLY, 32, { 0 } },
		{ SEAT_MESSAGE_RELEASED, 0, 4, { 64 } },
		{ SEAT_MESSAGE_RELEASED, 0, 8, { 0 } },
		{ SEAT_MESSAGE_MODES_CHANGED, 0, 4, { 0 } },
		{ SEAT_MESSAGE_IMPORT, GPU_MESSAGE_FLAG_REPLY, 16, { 63 } }, /* nobody asked */
		{ SEAT_MESSAGE_IMPORT, GPU_MESSAGE_FLAG_REPLY, 16, { 1u << 31 } },
		{ SEAT_MESSAGE_ALLOCATE, GPU_MESSAGE_FLAG_REPLY, 12, { 0 } },
		{ SEAT_MESSAGE_ALLOCATE, 0, 16, { 0 } },
		{ SEAT_MESSAGE_PRESENT, 0, 0, { 0 } },
		{ 0x1ff, 0, 0, { 0 } },
		{ SEAT_MESSAGE_SHOWN, 0, 0x7fffffff, { 0 } },
	};
	struct fixture *f = *state;
	char byte;

	for (size_t i = 0; i < sizeof(nonsense) / sizeof(nonsense[0]); i++) {
		const struct gpu_message_header header = { nonsense[i].request, nonsense[i].flags,
			nonsense[i].size };

		send(f->seat, &header, sizeof(header), MSG_NOSIGNAL);
		if (header.size && header.size <= sizeof(nonsense[i].words))
			send(f->seat, nonsense[i].words, header.size, MSG_NOSIGNAL);
		run(f);
		while (recv(f->seat, &byte, 1, MSG_DONTWAIT) > 0)
			;
		assert_true(errno == ECONNRESET || recv(f->seat, &byte, 1, MSG_DONTWAIT) == 0);
		connect_seat(f);
	}
}

/* Memory that is not there: an error, no SIGBUS. */
static void bad_memory_is_not_mapped(void **state)
{
	static const struct seat_buffer_answer bad[] = {
		{ .stride = STRIDE, .size = STRIDE * H }, /* of a file that is shorter */
		{ .stride = W * 4 - 4, .size = 4096 },    /* rows are longer */
		{ .stride = 1u << 31, .size = 4096 },     /* wraps */
		{ .stride = STRIDE, .size = 0 },
	};
	struct fixture *f = *state;
	int fd = memfd_create("memory", MFD_CLOEXEC);

	assert_int_equal(ftruncate(fd, 4096), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct seat_buffer_answer a = bad[i];

		set_source(f, &f->a);
		flush(f, ALL, 1 + i);
		expect(f, SEAT_MESSAGE_ALLOCATE);
		a.id = f->m.allocate.id;
		say(f, SEAT_MESSAGE_ALLOCATE, GPU_MESSAGE_FLAG_REPLY, &a, sizeof(a), fd);
		expect(f, SEAT_MESSAGE_FREE);
		assert_int_equal(f->m.free.id, a.id);
		expect_nothing(f);
		assert_int_equal(f->serial, 1 + i);
		set_source(f, NULL);
		connect_seat(f);
		answer_questions(f);
	}
	close(fd);
}

static void cursors_go_as_ever(void **state)
{
	struct fixture *f = *state;
	static struct display_cursor cursor = { .hot_x = 3 };

	cursor.pixels[7] = 0x12345678;
	f->display->impl->set_cursor(f->display, 0, &cursor, 5, 6);
	expect(f, GPU_MESSAGE_CURSOR_UPDATE);
	assert_int_equal(f->m.cursor.hot_x, 3);
	assert_int_equal(f->m.cursor.pixels[7], 0x12345678);
	f->display->impl->move_cursor(f->display, 0, 7, 8);
	expect(f, GPU_MESSAGE_CURSOR_POS);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_buffer_is_passed_once),
		TEST(frames_wait_for_the_screen),
		TEST(only_the_damage_is_copied),
		TEST(a_buffer_that_is_read_is_not_written),
		TEST(refused_imports_are_copied),
		TEST(without_memory_the_last_picture_stays),
		TEST(the_monitor_is_the_guests),
		TEST(edids_are_asked_for_when_the_guest_does),
		TEST(a_seat_that_goes_stalls_nobody),
		TEST(garbage_ends_the_connection),
		TEST(bad_memory_is_not_mapped),
		TEST(cursors_go_as_ever),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
