/* SPDX-License-Identifier: MIT */
/*
 * Fuzzes the control socket of a gpudomd on the fake Xen with a guest (whose worker has failed): a
 * client sends anything in any pieces, reads or does not, and hangs up; and a screenshot is taken
 * of a screen's file that a hostile worker has written. Each line that comes back is an object.
 */
#include <assert.h>
#include <json-c/json.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

#include "backend/log.h"
#include "backend/screen.h"
#include "tests/fuzz/input.h"
#include "tests/xen/fake_gntdev.h"
#include "tests/xen/fake_xen.h"
#include "tests/xen/fake_xenstore.h"
#include "xen/control_private.h"
#include "xen/daemon.h"
#include "xen/keep.h"

#define BACKEND "/local/domain/1/backend/virtio/2/0"

/* gpudomd, for all inputs */
static struct {
	sd_event *event;
	struct config config;
	struct keep *keep;
	struct gpu_daemon *gpu_daemon;
} house;

static void attach(void)
{
	fake_xenstore_write("/local/domain/2/name", "clock");
	fake_xenstore_write(BACKEND "/frontend", "/local/domain/2/device/virtio/0");
	fake_xenstore_write(BACKEND "/frontend-id", "2");
	fake_xenstore_write(BACKEND "/online", "1");
	fake_xenstore_write(BACKEND "/irq", "33");
	fake_xenstore_write(BACKEND "/base", "0x2000000");
	fake_xenstore_write(BACKEND "/type", "virtio,device10");
	fake_xenstore_write(BACKEND "/transport", "mmio");
	fake_xenstore_write(BACKEND "/grant_usage", "1");
	fake_xenstore_write(BACKEND "/state", "1");
}

static void build_house(void)
{
	struct daemon_options options = { .config = &house.config, .worker_path = "/bin/false" };
	unsigned position = 0;
	sigset_t child;

	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, NULL);
	fake_xen_reset(2);
	fake_xenstore_reset();
	fake_gntdev_reset(16);
	if (sd_event_new(&house.event) < 0 || keep_create(0, NULL, &house.keep) < 0)
		abort();
	options.event = house.event;
	options.keep = house.keep;
	if (daemon_create(&options, &house.gpu_daemon) < 0)
		abort();
	attach();
	for (unsigned i = 0; i < 100; i++)
		sd_event_run(house.event, 10000);
	if (!daemon_next_guest(house.gpu_daemon, &position))
		abort();
}

struct fuzz {
	struct control_client *client;
	int fd; /* the client's end */
	char received[1 << 16];
	size_t used;
};

static void on_closed(void *data, struct control_client *client)
{
	struct fuzz *fuzz = data;

	assert(client == fuzz->client);
	control_client_destroy(client);
	fuzz->client = NULL;
}

static void check_lines(struct fuzz *fuzz)
{
	char *line = fuzz->received, *end;

	while ((end = memchr(line, '\n', fuzz->used))) {
		struct json_object *object;

		*end = '\0';
		object = json_tokener_parse(line);
		assert(json_object_is_type(object, json_type_object));
		assert(json_object_object_get(object, "result") ||
		       json_object_object_get(object, "error") ||
		       json_object_object_get(object, "gpudom"));
		json_object_put(object);
		fuzz->used -= (size_t)(end + 1 - line);
		line = end + 1;
	}
	memmove(fuzz->received, line, fuzz->used);
	assert(fuzz->used < sizeof(fuzz->received));
}

static void read_some(struct fuzz *fuzz, size_t size)
{
	ssize_t n;

	if (size > sizeof(fuzz->received) - fuzz->used)
		size = sizeof(fuzz->received) - fuzz->used;
	n = recv(fuzz->fd, fuzz->received + fuzz->used, size, MSG_DONTWAIT);
	if (n > 0)
		fuzz->used += (size_t)n;
	check_lines(fuzz);
}

static void converse(struct input *input)
{
	static struct fuzz fuzz;
	int pair[2];
	struct control_client_options options = {
		.stall_usec = 1000000,
		.closed = on_closed,
		.data = &fuzz,
	};

	fuzz = (struct fuzz){ 0 };
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0)
		abort();
	fuzz.fd = pair[1];
	options.event = house.event;
	options.gpu_daemon = house.gpu_daemon;
	if (control_client_create(&options, pair[0], &fuzz.client) < 0)
		abort();
	while (input->size && fuzz.client) {
		uint8_t what = input_u8(input);
		char bytes[256];
		size_t n;

		switch (what % 4) {
		case 0:
			n = input_bytes(input, bytes, what);
			(void)!send(fuzz.fd, bytes, n, MSG_NOSIGNAL | MSG_DONTWAIT);
			break;
		case 1:
			sd_event_run(house.event, 0);
			break;
		case 2:
			read_some(&fuzz, (size_t)what * 16);
			break;
		default:
			if (what == 255)
				shutdown(fuzz.fd, SHUT_WR);
			else if (what == 251)
				shutdown(fuzz.fd, SHUT_RD);
		}
	}
	/* Whatever it was, it ends when the client has gone. */
	for (unsigned i = 0; fuzz.client && i < 100000; i++) {
		read_some(&fuzz, sizeof(fuzz.received));
		if (i == 20)
			shutdown(fuzz.fd, SHUT_RDWR);
		if (sd_event_run(house.event, 0) == 0 && i > 40)
			break;
	}
	control_client_destroy(fuzz.client);
	close(fuzz.fd);
}

/* Its head, or a part of it, is the input. */
static void take_screenshot(struct input *input)
{
	struct screen_output output;
	uint32_t width = 0, height = 0;
	void *pixels = NULL;
	struct screen_head head;
	int fd;

	if (screen_create(&fd) < 0)
		abort();
	if (pread(fd, &head, sizeof(head), 0) != sizeof(head))
		abort();
	input_bytes(input, head.outputs, sizeof(head.outputs));
	/* What a huge picture is made of is not of interest; that it is bounded is. */
	for (unsigned i = 0; i < DISPLAY_SCANOUTS_MAX; i++) {
		head.outputs[i].width %= i % 2 ? 512 : UINT32_MAX;
		head.outputs[i].height %= i % 2 ? 512 : 16;
	}
	if (pwrite(fd, &head, sizeof(head), 0) != sizeof(head))
		abort();
	for (unsigned i = 0; i <= DISPLAY_SCANOUTS_MAX; i++) {
		screen_read(fd, i, &output);
		if (screen_capture(fd, i, &width, &height, &pixels) < 0)
			continue;
		assert(width && height && (uint64_t)width * height * 4 <= SCREEN_SLOT_BYTES);
		((volatile char *)pixels)[(size_t)width * height * 4 - 1];
		free(pixels);
	}
	close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, size };

	log_init(LOG_LEVEL_ERROR, NULL);
	if (!house.event)
		build_house();
	if (input_u8(&input) % 8 == 7)
		take_screenshot(&input);
	else
		converse(&input);
	return 0;
}
