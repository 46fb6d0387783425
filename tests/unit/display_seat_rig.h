/* SPDX-License-Identifier: MIT */
/* The seat's part of the display's socket, against a seat that does what each test says. */
#ifndef GPUDOM_TESTS_UNIT_DISPLAY_SEAT_RIG_H
#define GPUDOM_TESTS_UNIT_DISPLAY_SEAT_RIG_H

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

static inline int picture_read(
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

static inline int picture_export(
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

static inline void picture_init(struct picture *p, uint64_t number)
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

static inline void run(struct fixture *f)
{
	while (sd_event_run(f->event, 0) > 0)
		;
}

/* The next message; false: there is none. */
static inline bool receive(struct fixture *f)
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

static inline void say(
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

static inline void answer(struct fixture *f, const void *payload, uint32_t size)
{
	say(f, f->m.header.request, GPU_MESSAGE_FLAG_REPLY, payload, size, -1);
}

/* Questions about modes are answered meanwhile, unless they are what is expected. */
static inline void expect(struct fixture *f, uint32_t request)
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

static inline void expect_nothing(struct fixture *f)
{
	if (receive(f))
		fail_msg("message %u", f->m.header.request);
}

static inline void answer_buffer(struct fixture *f, uint32_t id, int error)
{
	const struct seat_buffer_answer a = { .id = id, .error = (uint32_t)error };

	answer(f, &a, sizeof(a));
}

static inline void answer_memory(struct fixture *f)
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

static inline void say_shown(struct fixture *f, unsigned scanout, uint64_t serial)
{
	const struct seat_shown shown = { .scanout = scanout, .serial = serial };

	say(f, SEAT_MESSAGE_SHOWN, 0, &shown, sizeof(shown), -1);
}

static inline void say_released(struct fixture *f, uint32_t id)
{
	say(f, SEAT_MESSAGE_RELEASED, 0, &(struct seat_free){ id }, sizeof(struct seat_free), -1);
}

/* The questions at the begin of a connection, or after MODES_CHANGED */
static inline void answer_questions(struct fixture *f)
{
	expect(f, GPU_MESSAGE_GET_DISPLAY_INFO);
	answer(f, &f->info, sizeof(f->info));
	expect(f, GPU_MESSAGE_GET_EDID);
	assert_int_equal(f->m.word, 0);
	answer(f, &f->edid, sizeof(f->edid));
}

static inline void connect_seat(struct fixture *f)
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

static inline void on_shown(void *data, unsigned scanout, uint64_t serial)
{
	struct fixture *f = data;

	assert_true(serial > f->serial);
	f->shown++;
	f->serial = serial;
}

static inline void on_modes_changed(void *data)
{
	((struct fixture *)data)->modes_changed++;
}

static inline void make_edid(struct fixture *f, const char *name)
{
	const struct edid_mode mode = { .width = 800, .height = 600, .refresh = 75000 };
	struct edid_identity identity = { .vendor = "ABC" };

	strncpy(identity.name, name, EDID_NAME_MAX);
	memset(&f->edid, 0, sizeof(f->edid));
	f->edid.size = (uint32_t)edid_make(&mode, &identity, f->edid.edid);
}

static inline int set_up(void **state)
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

static inline int tear_down(void **state)
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

static inline void set_source(struct fixture *f, struct picture *p)
{
	f->display->impl->set_source(f->display, 0, p ? &p->base : NULL);
}

static inline void flush(struct fixture *f, struct display_rect damage, uint64_t serial)
{
	f->display->impl->flush(f->display, 0, &damage, serial);
}

static inline enum display_path path(struct fixture *f, int *reason)
{
	return f->display->impl->get_path(f->display, 0, reason);
}

static inline void assert_seen(struct fixture *f, uint32_t id, const struct picture *p)
{
	for (unsigned y = 0; y < H; y++)
		assert_memory_equal(
		    f->memory[id] + y * STRIDE / 4, p->pixels + (size_t)y * W, W * 4);
}

/* A flush of all of it, which is presented by copy. The buffer's id */
static inline uint32_t present_copy(struct fixture *f, struct picture *p, uint64_t serial)
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

#endif
