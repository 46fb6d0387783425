/* SPDX-License-Identifier: MIT */
/*
 * A front end that says what it likes, with the descriptors it likes, to the vhost-user back end
 * of a small device, while the guest writes into the rings and kicks.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "backend/vhost_user.h"
#include "backend/vhost_user_message.h"
#include "tests/fuzz/input.h"
#include "tests/unit/fake_device.h"
#include "tests/unit/ring.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(condition)          \
	do {                      \
		if (!(condition)) \
			abort();  \
	} while (0)

struct fuzz {
	struct input input;
	struct ring ring;
	sd_event *event;
	struct fake_device fake;
	struct vhost_user *user;
	bool closed;
	int fd;
	/* What a front end can pass: eventfds, memory, another file, a pipe, a socket */
	int fds[8];
};

static void fuzz_closed(void *data, int error)
{
	struct fuzz *fuzz = data;

	CHECK(!fuzz->closed && error <= 0);
	fuzz->closed = true;
	CHECK(!fuzz->fake.device.memory);
	for (unsigned i = 0; i < FAKE_QUEUES; i++)
		CHECK(!fuzz->fake.device.queues[i].started);
}

static void fuzz_gpu_socket(void *data, int fd)
{
	close(fd);
}

/* Memory with Xen flags, for the messages' sake: it reaches nothing. */
static void fuzz_xen_destroy(struct guest_memory *memory)
{
	free(memory);
}

static int fuzz_xen_add(struct guest_memory *memory, const struct memory_region *region, int fd)
{
	CHECK(region->xen_flags);
	if (region->xen_flags > 3)
		return -EINVAL;
	if (fd >= 0)
		close(fd);
	return 0;
}

static int fuzz_xen_remove(struct guest_memory *memory, const struct memory_region *region)
{
	return 0;
}

static int fuzz_xen_translate(
    struct guest_memory *memory, uint64_t user, uint64_t size, uint64_t *address)
{
	*address = user;
	return 0;
}

static int fuzz_xen_map(struct guest_memory *memory, const struct memory_piece *pieces,
    size_t count, enum memory_access access, struct memory_map **map)
{
	return -EFAULT;
}

static int fuzz_create_xen_memory(
    void *data, const struct memory_region *region, struct guest_memory **memory)
{
	static const struct guest_memory_impl impl = {
		.destroy = fuzz_xen_destroy,
		.add_region = fuzz_xen_add,
		.remove_region = fuzz_xen_remove,
		.translate_user = fuzz_xen_translate,
		.map = fuzz_xen_map,
	};

	*memory = calloc(1, sizeof(**memory));
	(*memory)->impl = &impl;
	return 0;
}

static void fuzz_run(struct fuzz *fuzz)
{
	uint8_t bytes[4096];
	int rounds = 0;

	while (sd_event_run(fuzz->event, 0) > 0)
		CHECK(++rounds < 10000); /* it spins */
	while (recv(fuzz->fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
}

static void fuzz_send(struct fuzz *fuzz, const struct vhost_user_message *message)
{
	vhost_user_send(fuzz->fd, message);
	fuzz_run(fuzz);
}

static void fuzz_send_u64(struct fuzz *fuzz, uint32_t request, uint64_t value, int fd)
{
	struct vhost_user_message m = { .request = request, .size = 8, .payload.u64 = value };

	m.fds[0] = fd;
	m.fd_count = fd >= 0;
	fuzz_send(fuzz, &m);
}

static struct vhost_user_region fuzz_region(struct fuzz *fuzz)
{
	uint8_t form = input_u8(&fuzz->input);
	struct vhost_user_region region = { RING_GUEST, RING_MEMORY, RING_USER, 0 };
	uint64_t *const fields[] = { &region.guest_address, &region.size, &region.user_address,
		&region.mmap_offset };

	for (unsigned i = 0; i < 4; i++) {
		if (form & (1u << i))
			*fields[i] += (uint64_t)(int8_t)input_u8(&fuzz->input) << 12;
		if (form & (16u << i))
			*fields[i] = input_u64(&fuzz->input);
	}
	return region;
}

/* Fills the payload of a request with what makes sense there, mostly. */
static void fuzz_payload(struct fuzz *fuzz, struct vhost_user_message *m, bool xen)
{
	struct input *input = &fuzz->input;
	union vhost_user_payload *p = &m->payload;

	switch (m->request) {
	case VHOST_USER_SET_MEM_TABLE:
		p->memory.region_count = m->fd_count;
		m->size = 8;
		for (unsigned i = 0; i < m->fd_count; i++) {
			if (xen) {
				p->memory.xen_regions[i] =
				    (struct vhost_user_xen_region){ fuzz_region(fuzz),
					    input_u8(input) % 5, 1 };
			} else {
				p->memory.regions[i] = fuzz_region(fuzz);
			}
			m->size += xen ? 40 : 32;
		}
		break;
	case VHOST_USER_ADD_MEM_REG:
	case VHOST_USER_REM_MEM_REG:
		p->memory_region.xen_region = (struct vhost_user_xen_region){ fuzz_region(fuzz),
			xen ? input_u8(input) % 5 : 0, 1 };
		m->size = xen ? 48 : 40;
		break;
	case VHOST_USER_SET_VRING_NUM:
	case VHOST_USER_SET_VRING_BASE:
	case VHOST_USER_GET_VRING_BASE:
	case VHOST_USER_SET_VRING_ENABLE:
		p->state.index = input_u8(input) % 3;
		p->state.num = input_u8(input);
		m->size = 8;
		break;
	case VHOST_USER_SET_VRING_ADDR:
		p->addr.index = input_u8(input) % 3;
		p->addr.descriptor =
		    RING_USER + (RING_DESC - RING_GUEST) + (uint64_t)input_u8(input) * 8;
		p->addr.available = RING_USER + (RING_AVAIL - RING_GUEST) + input_u8(input);
		p->addr.used = RING_USER + (RING_USED - RING_GUEST) + input_u8(input);
		m->size = 40;
		break;
	case VHOST_USER_GET_CONFIG:
	case VHOST_USER_SET_CONFIG:
		p->config.offset = input_u8(input);
		p->config.size = input_u16(input) % 260;
		p->config.flags = input_u8(input) % 3;
		m->size = 12 + p->config.size;
		break;
	case VHOST_USER_GET_INFLIGHT_FD:
	case VHOST_USER_SET_INFLIGHT_FD:
		p->inflight.mmap_size = input_u16(input);
		p->inflight.queue_count = input_u8(input) % 4;
		p->inflight.queue_size = (uint16_t)(1u << input_u8(input) % 12);
		m->size = 24;
		break;
	case VHOST_USER_SET_FEATURES:
	case VHOST_USER_SET_PROTOCOL_FEATURES:
	case VHOST_USER_SET_STATUS:
		p->u64 = input_u64(input);
		m->size = 8;
		break;
	case VHOST_USER_SET_VRING_KICK:
	case VHOST_USER_SET_VRING_CALL:
	case VHOST_USER_SET_VRING_ERR:
		p->u64 = input_u16(input) & 0x103;
		m->size = 8;
		break;
	default:
		break;
	}
}

static void fuzz_message(struct fuzz *fuzz)
{
	struct input *input = &fuzz->input;
	struct vhost_user_message m = { .request = input_u8(input) % 44 };
	uint8_t form = input_u8(input);

	m.flags = form & VHOST_USER_NEED_REPLY;
	m.fd_count = form & 1 ? 1 : form & 2 ? input_u8(input) % 9 : 0;
	for (unsigned i = 0; i < m.fd_count; i++)
		m.fds[i] = fuzz->fds[input_u8(input) % 8];
	fuzz_payload(fuzz, &m, form & 16);
	if (form & 32)
		m.size = input_u16(input) % sizeof(m.payload);
	if (form & 64)
		input_bytes(input, m.payload.bytes, m.size < 64 ? m.size : 64);
	if (form & 128)
		m.flags |= input_u8(input);
	fuzz_send(fuzz, &m);
}

/* What a front end says until a queue runs. */
static void fuzz_prelude(struct fuzz *fuzz, uint8_t form)
{
	struct vhost_user_message m = { .request = VHOST_USER_SET_MEM_TABLE, .size = 40 };

	fuzz_send_u64(fuzz, VHOST_USER_SET_PROTOCOL_FEATURES, form & 2 ? 0x3b229 : 0x1b229, -1);
	fuzz_send_u64(fuzz, VHOST_USER_SET_FEATURES,
	    form & 4 ? UINT64_C(0x370000005) : UINT64_C(0x110000001), -1);
	m.payload.memory.region_count = 1;
	m.payload.memory.regions[0] =
	    (struct vhost_user_region){ RING_GUEST, RING_MEMORY, RING_USER, 0 };
	if (form & 2)
		m.size += 8;
	m.fds[0] = fuzz->ring.fd;
	m.fd_count = 1;
	fuzz_send(fuzz, &m);
	for (uint32_t i = 0; i < FAKE_QUEUES; i++) {
		m = (struct vhost_user_message){ .request = VHOST_USER_SET_VRING_NUM, .size = 8 };
		m.payload.state = (struct vhost_user_vring_state){ i, RING_SIZE };
		fuzz_send(fuzz, &m);
		m = (struct vhost_user_message){ .request = VHOST_USER_SET_VRING_ADDR, .size = 40 };
		m.payload.addr = (struct vhost_user_vring_addr){ .index = i,
			.descriptor = RING_USER + (RING_DESC - RING_GUEST),
			.available = RING_USER + (RING_AVAIL - RING_GUEST),
			.used = RING_USER + (RING_USED - RING_GUEST) };
		fuzz_send(fuzz, &m);
		fuzz_send_u64(fuzz, VHOST_USER_SET_VRING_CALL, i, fuzz->fds[1]);
		fuzz_send_u64(fuzz, VHOST_USER_SET_VRING_KICK, i, fuzz->fds[i ? 2 : 0]);
		m = (struct vhost_user_message){ .request = VHOST_USER_SET_VRING_ENABLE,
			.size = 8 };
		m.payload.state = (struct vhost_user_vring_state){ i, 1 };
		fuzz_send(fuzz, &m);
	}
}

static void fuzz_step(struct fuzz *fuzz)
{
	struct input *input = &fuzz->input;
	struct virtio_host *host = &fuzz->fake.device.host;
	uint8_t bytes[64];
	size_t n;

	switch (input_u8(input) % 12) {
	case 0:
		ring_add_request(&fuzz->ring, input_u8(input) % RING_SIZE);
		break;
	case 1:
		input_bytes(input, ring_at(&fuzz->ring, RING_DESC + input_u16(input)), 16);
		break;
	case 2:
		CHECK(!eventfd_write(fuzz->fds[0], 1));
		fuzz_run(fuzz);
		break;
	case 3:
		fuzz->fake.hold = input_u8(input) & 1;
		break;
	case 4:
		if (host->config_changed)
			host->config_changed(host->data);
		break;
	case 5: /* bytes as they come */
		n = input_bytes(input, bytes, input_u8(input) % sizeof(bytes));
		send(fuzz->fd, bytes, n, MSG_NOSIGNAL | MSG_DONTWAIT);
		fuzz_run(fuzz);
		break;
	default:
		fuzz_message(fuzz);
		break;
	}
}

/* All but pipes, of which the sanitizer's symbolizer has some. */
static unsigned fuzz_count_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	const struct dirent *entry;
	unsigned n = 0;

	while ((entry = readdir(dir))) {
		struct stat stat;

		if (!fstat((int)strtol(entry->d_name, NULL, 10), &stat) && !S_ISFIFO(stat.st_mode))
			n++;
	}
	closedir(dir);
	return n;
}

static void fuzz_initialise(struct fuzz *fuzz)
{
	int pipes[2], sockets[2];

	ring_init(&fuzz->ring, false);
	CHECK(!pipe2(pipes, O_CLOEXEC));
	CHECK(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets));
	for (unsigned i = 0; i < 3; i++)
		fuzz->fds[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	fuzz->fds[3] = fuzz->fds[4] = fuzz->ring.fd;
	fuzz->fds[5] = pipes[1];
	fuzz->fds[6] = sockets[0];
	fuzz->fds[7] = memfd_create("short", MFD_CLOEXEC);
	CHECK(sd_event_new(&fuzz->event) >= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fuzz fuzz;
	static bool initialised;
	static unsigned executions, descriptors;
	struct vhost_user_options options = {
		.device = &fuzz.fake.device,
		.create_xen_memory = fuzz_create_xen_memory,
		.gpu_socket = fuzz_gpu_socket,
		.closed = fuzz_closed,
		.data = &fuzz,
	};
	uint8_t form;
	int fds[2];

	if (!initialised) {
		fuzz_initialise(&fuzz);
		initialised = true;
	}
	memset(ring_at(&fuzz.ring, RING_DESC), 0, RING_TABLE - RING_DESC);
	fuzz.input = (struct input){ data, size };
	fuzz.closed = false;
	fake_device_init(&fuzz.fake);
	options.event = fuzz.event;
	CHECK(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
	CHECK(!vhost_user_create(&options, fds[0], &fuzz.user));
	fuzz.fd = fds[1];

	form = input_u8(&fuzz.input);
	if (form & 1)
		fuzz_prelude(&fuzz, form);
	while (fuzz.input.size && !fuzz.closed)
		fuzz_step(&fuzz);
	if (form & 8) {
		shutdown(fuzz.fd, SHUT_RDWR);
		fuzz_run(&fuzz);
		CHECK(fuzz.closed);
	}
	vhost_user_destroy(fuzz.user);
	CHECK(!fuzz.fake.device.queues && !fuzz.fake.device.memory);
	CHECK(!fuzz.fake.held_count[0] && !fuzz.fake.held_count[1]);
	close(fuzz.fd);

	/* No descriptor is left behind, whatever was sent. */
	if (executions++ == 0)
		descriptors = fuzz_count_descriptors();
	else if (executions % 64 == 0)
		CHECK(fuzz_count_descriptors() <= descriptors);
	return 0;
}
