/* SPDX-License-Identifier: MIT */
/*
 * A guest with a GPU for the tests of gpudom-seat: the driver of tests/loopback in front of a
 * gpudom-worker, both of which gpudom-seat cannot tell from those of a real guest; and gpudomd's
 * part: it introduces the guest to the seat. Does what its standard input says, a line each, and
 * answers each by what it has to tell and a line "done", or "error 0xNNNN" of the device.
 *
 * usage: seat_guest GUEST WORKER [WORKER'S OPTION...]
 *   create ID WxH [2d|blob]    a buffer; draw ID X,Y WxH RRGGBB: in it
 *   set SCANOUT ID [X,Y WxH]   shows it (or a part); flush ID [X,Y WxH]; off SCANOUT; unref ID
 *   cursor SCANOUT ID X,Y [X,Y: its hot spot]; move SCANOUT X,Y
 *   info                       the outputs that are on; edid SCANOUT: its EDID, in hexadecimal
 *   change N                   waits until the device has said N times (since the start) that the
 * outputs have changed, then info flips SCANOUT A B COUNT    shows two buffers by turns, each flip
 * when the last one is on screen, and prints the times between them; the flip's number is the
 * colour of the upper left 16x16 flood SCANOUT A B COUNT    the same without waiting memcpy ID
 * COUNT            microseconds of a copy of its pixels cpu                        CPU time of the
 * worker so far, in microseconds pid                        of the worker that serves reseat
 * introduces itself to a new seat quit
 */
#include <err.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "backend/seat_message.h"
#include "tests/loopback/loopback_gpu.h"
#include "tests/loopback/loopback_process.h"
#include "tests/system/seat/tools/numbers.h"
#include "tests/system/seat/tools/seat_link.h"

enum { BUFFERS_MAX = 256, FLIPS_MAX = 20000, COUNTER = 16, ARGUMENTS_MAX = 30 };

struct box {
	uint32_t x, y, width, height;
};

struct buffer {
	uint32_t width, height; /* 0: there is none */
	bool blob;
	struct loopback_backing *backing;
};

struct guest {
	const char *name, *seat_path;
	struct loopback_process worker;
	struct loopback_frontend frontend;
	struct loopback_gpu gpu;
	struct buffer buffers[BUFFERS_MAX]; /* by their id */
	uint64_t fence;
};

static uint64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* Says what the device did not like. */
static void expect(uint32_t type, uint32_t wanted)
{
	if (type != wanted)
		printf("error 0x%04x\n", type);
}

static void expect_ok(uint32_t type)
{
	expect(type, VIRTIO_GPU_RESP_OK_NODATA);
}

/* ---------------------------------------------------------------- the seat and the worker */

/* As vhost-user-gpu has it: the socket on which the worker shows. */
static void introduce(struct guest *guest)
{
	int fd = seat_link_add(guest->seat_path, guest->name, 0, "gpu", SOCK_STREAM);

	if (loopback_frontend_request(
		&guest->frontend, VHOST_USER_GPU_SET_SOCKET, NULL, 0, fd, NULL) < 0)
		errx(1, "the worker does not take its socket");
	close(fd);
}

static void start(struct guest *guest, char *const options[])
{
	const char *argv[ARGUMENTS_MAX + 2] = { options[0], "--fd={fd}" };
	struct loopback_options frontend = { .memory_size = (size_t)160 << 20, .regions = 1 };

	for (unsigned i = 1; i < ARGUMENTS_MAX && options[i]; i++)
		argv[i + 1] = options[i];
	if (loopback_process_spawn(&guest->worker, argv, false) < 0)
		errx(1, "cannot start %s", argv[0]);
	if (loopback_frontend_init(&guest->frontend, &frontend) < 0)
		errx(1, "out of memory");
	if (loopback_frontend_negotiate(&guest->frontend, guest->worker.socket) < 0)
		errx(1, "the worker does not negotiate");
	guest->worker.socket = -1;
	introduce(guest);
	if (loopback_frontend_send_memory(&guest->frontend) < 0 ||
	    loopback_frontend_restart(&guest->frontend) < 0)
		errx(1, "the worker does not start");
	loopback_gpu_init(&guest->gpu, &guest->frontend);
}

/* ---------------------------------------------------------------- buffers */

static struct buffer *buffer_get(struct guest *guest, unsigned id)
{
	if (id == 0 || id >= BUFFERS_MAX || !guest->buffers[id].backing)
		errx(2, "there is no buffer %u", id);
	return &guest->buffers[id];
}

static void buffer_create(
    struct guest *guest, unsigned id, uint32_t width, uint32_t height, bool blob)
{
	size_t size = (size_t)width * height * 4;

	if (id == 0 || id >= BUFFERS_MAX)
		errx(2, "buffers are 1 to %d", BUFFERS_MAX - 1);
	guest->buffers[id] = (struct buffer){ width, height, blob,
		loopback_backing_create(&guest->frontend.memory, size, 0) };
	if (blob) {
		expect_ok(loopback_gpu_create_blob(&guest->gpu, id, 0, VIRTIO_GPU_BLOB_MEM_GUEST,
		    (size + 4095) & ~(size_t)4095, guest->buffers[id].backing));
		return;
	}
	expect_ok(loopback_gpu_create_2d(
	    &guest->gpu, id, VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM, width, height));
	expect_ok(loopback_gpu_attach_backing(&guest->gpu, id, guest->buffers[id].backing));
}

static void buffer_draw(struct guest *guest, unsigned id, const struct box *box, uint32_t colour)
{
	struct buffer *buffer = buffer_get(guest, id);

	if (box->x + box->width > buffer->width || box->y + box->height > buffer->height)
		errx(2, "that is outside of buffer %u", id);
	for (uint32_t y = box->y; y < box->y + box->height; y++) {
		uint32_t *row = (uint32_t *)loopback_backing_at(
		    buffer->backing, ((size_t)y * buffer->width + box->x) * 4);
		for (uint32_t x = 0; x < box->width; x++)
			row[x] = 0xff000000 | colour;
	}
	if (!buffer->blob)
		expect_ok(loopback_gpu_transfer_2d(&guest->gpu, id, box->x, box->y, box->width,
		    box->height, ((uint64_t)box->y * buffer->width + box->x) * 4));
}

static uint32_t buffer_set(
    struct guest *guest, unsigned scanout, unsigned id, const struct box *box)
{
	struct buffer *buffer = buffer_get(guest, id);

	if (buffer->blob)
		return loopback_gpu_set_scanout_blob(&guest->gpu, scanout, id,
		    VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM, box->width, box->height, buffer->width * 4,
		    (box->y * buffer->width + box->x) * 4);
	return loopback_gpu_set_scanout(
	    &guest->gpu, scanout, id, box->x, box->y, box->width, box->height);
}

/* Waits, as Linux does, until the flush is over. */
static void buffer_flush(struct guest *guest, unsigned id, const struct box *box)
{
	loopback_gpu_fence_next(&guest->gpu, ++guest->fence);
	expect_ok(loopback_gpu_flush(&guest->gpu, id, box->x, box->y, box->width, box->height));
}

static void buffer_unref(struct guest *guest, unsigned id)
{
	struct buffer *buffer = buffer_get(guest, id);

	expect_ok(loopback_gpu_unref(&guest->gpu, id));
	loopback_backing_destroy(buffer->backing);
	*buffer = (struct buffer){ 0 };
}

/* ---------------------------------------------------------------- outputs */

static void print_info(struct guest *guest)
{
	struct virtio_gpu_resp_display_info info;

	expect(loopback_gpu_get_display_info(&guest->gpu, &info), VIRTIO_GPU_RESP_OK_DISPLAY_INFO);
	for (unsigned i = 0; i < VIRTIO_GPU_MAX_SCANOUTS; i++)
		if (info.pmodes[i].enabled)
			printf("output %u %ux%u\n", i, info.pmodes[i].r.width,
			    info.pmodes[i].r.height);
}

static void print_edid(struct guest *guest, unsigned scanout)
{
	struct virtio_gpu_resp_edid edid;

	expect(loopback_gpu_get_edid(&guest->gpu, scanout, &edid), VIRTIO_GPU_RESP_OK_EDID);
	printf("edid ");
	for (unsigned i = 0; i < edid.size && i < sizeof(edid.edid); i++)
		printf("%02x", edid.edid[i]);
	printf("\n");
}

/* ---------------------------------------------------------------- flips */

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void flips(struct guest *guest, unsigned scanout, unsigned a, unsigned b, unsigned count)
{
	const struct buffer *buffer = buffer_get(guest, a);
	const struct box counter = { 0, 0, COUNTER, COUNTER };
	const struct box all = { 0, 0, buffer->width, buffer->height };
	uint64_t *times = calloc(count ? count : 1, sizeof(*times));
	uint64_t begun = now_us(), last = begun;

	if (!times)
		errx(1, "out of memory");
	for (unsigned i = 0; i < count; i++) {
		unsigned id = i % 2 ? b : a;
		buffer_draw(guest, id, &counter, i + 1);
		expect_ok(buffer_set(guest, scanout, id, &all));
		buffer_flush(guest, id, &all);
		uint64_t now = now_us();
		times[i] = now - last;
		last = now;
	}
	qsort(times, count, sizeof(*times), compare);
	if (count)
		printf("flips %u in %llu us, median %llu us, p99 %llu us, longest %llu us\n", count,
		    (unsigned long long)(last - begun), (unsigned long long)times[count / 2],
		    (unsigned long long)times[count * 99 / 100],
		    (unsigned long long)times[count - 1]);
	free(times);
}

/* Flushes that nobody waits for: as many as the queue holds are on their way. */
static void flood(struct guest *guest, unsigned scanout, unsigned a, unsigned b, unsigned count)
{
	enum { DEPTH = 32 };
	const struct buffer *buffer = buffer_get(guest, a);
	struct loopback_request *sent[DEPTH] = { NULL };
	uint64_t begun = now_us();

	for (unsigned i = 0; i < 2 * count + DEPTH; i++) {
		struct loopback_request **slot = &sent[i % DEPTH];
		unsigned id = i / 2 % 2 ? b : a;
		struct virtio_gpu_set_scanout set = {
			.hdr = { .type = VIRTIO_GPU_CMD_SET_SCANOUT },
			.r = { 0, 0, buffer->width, buffer->height },
			.scanout_id = scanout,
			.resource_id = id,
		};
		struct virtio_gpu_resource_flush flush = {
			.hdr = { .type = VIRTIO_GPU_CMD_RESOURCE_FLUSH },
			.r = set.r,
			.resource_id = id,
		};
		if (*slot && loopback_gpu_wait(&guest->gpu, *slot) < 0)
			errx(1, "the worker does not answer");
		loopback_gpu_end(&guest->gpu, *slot);
		*slot = NULL;
		if (i >= 2 * count)
			continue;
		*slot = loopback_gpu_begin(&guest->gpu, LOOPBACK_GPU_CONTROL,
		    i % 2 ? (void *)&flush : (void *)&set, i % 2 ? sizeof(flush) : sizeof(set),
		    NULL, 0, sizeof(struct virtio_gpu_ctrl_hdr));
		loopback_gpu_kick(&guest->gpu, LOOPBACK_GPU_CONTROL);
	}
	printf("flood %u in %llu us\n", count, (unsigned long long)(now_us() - begun));
}

static void time_memcpy(struct guest *guest, unsigned id, unsigned count)
{
	struct buffer *buffer = buffer_get(guest, id);
	void *from = loopback_backing_at(buffer->backing, 0), *to = malloc(buffer->backing->size);
	uint64_t begun = 0;

	if (!to)
		errx(1, "out of memory");
	for (unsigned i = 0; i <= count; i++) {
		/* The first one is to bring the pages in. */
		if (i == 1)
			begun = now_us();
		memcpy(to, from, buffer->backing->size);
		__asm__ volatile("" ::"r"(to) : "memory");
	}
	printf("memcpy %llu us\n", (unsigned long long)(now_us() - begun) / (count ? count : 1));
	free(to);
}

/* /proc counts ticks, 100 a second. */
static void print_cpu(pid_t pid)
{
	struct timespec time;
	clockid_t clock;

	if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &time) < 0)
		errx(2, "no process %d", (int)pid);
	printf("%llu\n", (unsigned long long)time.tv_sec * 1000000 + time.tv_nsec / 1000);
}

/* ---------------------------------------------------------------- commands */

/* All of the buffer, unless @numbers, of which there are @count, go on with X,Y WxH. */
static struct box box_of(struct guest *guest, unsigned id, const unsigned *numbers, unsigned count)
{
	const struct buffer *buffer = buffer_get(guest, id);

	if (count < 4)
		return (struct box){ 0, 0, buffer->width, buffer->height };
	return (struct box){ numbers[0], numbers[1], numbers[2], numbers[3] };
}

static bool obey_picture(struct guest *guest, const char *verb, const char *rest)
{
	unsigned n[6], count = numbers_read(rest, n, 6);
	struct box box;

	if (strcmp(verb, "create") == 0 && count >= 3) {
		buffer_create(guest, n[0], n[1], n[2], strstr(rest, "blob") != NULL);
	} else if (strcmp(verb, "draw") == 0 && count >= 5) {
		box = box_of(guest, n[0], n + 1, count - 1);
		buffer_draw(guest, n[0], &box, (uint32_t)strtoul(strrchr(rest, ' ') + 1, NULL, 16));
	} else if (strcmp(verb, "set") == 0 && count >= 2) {
		box = box_of(guest, n[1], n + 2, count - 2);
		expect_ok(buffer_set(guest, n[0], n[1], &box));
	} else if (strcmp(verb, "flush") == 0 && count >= 1) {
		box = box_of(guest, n[0], n + 1, count - 1);
		buffer_flush(guest, n[0], &box);
	} else if (strcmp(verb, "off") == 0 && count == 1) {
		expect_ok(loopback_gpu_set_scanout(&guest->gpu, n[0], 0, 0, 0, 0, 0));
	} else if (strcmp(verb, "unref") == 0 && count == 1) {
		buffer_unref(guest, n[0]);
	} else {
		return false;
	}
	return true;
}

static bool obey_cursor(struct guest *guest, const char *verb, const char *rest)
{
	unsigned n[6] = { 0 }, count = numbers_read(rest, n, 6);

	if (strcmp(verb, "cursor") == 0 && count >= 4)
		loopback_gpu_update_cursor(&guest->gpu, n[0], n[1], n[2], n[3], n[4], n[5]);
	else if (strcmp(verb, "move") == 0 && count == 3)
		loopback_gpu_move_cursor(&guest->gpu, n[0], n[1], n[2]);
	else
		return false;
	return true;
}

static bool obey_time(struct guest *guest, const char *verb, const char *rest)
{
	unsigned n[4], count = numbers_read(rest, n, 4);

	if (strcmp(verb, "memcpy") == 0 && count == 2)
		time_memcpy(guest, n[0], n[1]);
	else if (strcmp(verb, "flips") == 0 && count == 4)
		flips(guest, n[0], n[1], n[2], n[3]);
	else if (strcmp(verb, "flood") == 0 && count == 4)
		flood(guest, n[0], n[1], n[2], n[3]);
	else if (strcmp(verb, "cpu") == 0 && count == 1)
		print_cpu((pid_t)n[0]);
	else
		return false;
	return true;
}

static bool obey(struct guest *guest, const char *verb, const char *rest)
{
	unsigned n, count = numbers_read(rest, &n, 1);

	if (strcmp(verb, "info") == 0) {
		print_info(guest);
	} else if (strcmp(verb, "edid") == 0 && count == 1) {
		print_edid(guest, n);
	} else if (strcmp(verb, "change") == 0 && count == 1) {
		if (loopback_frontend_wait_config(&guest->frontend, n) < 0)
			printf("error: no change\n");
		print_info(guest);
	} else if (strcmp(verb, "pid") == 0) {
		printf("%d\n", (int)guest->worker.pid);
	} else if (strcmp(verb, "reseat") == 0) {
		introduce(guest);
	} else {
		return obey_picture(guest, verb, rest) || obey_cursor(guest, verb, rest) ||
		       obey_time(guest, verb, rest);
	}
	return true;
}

int main(int argc, char **argv)
{
	static struct guest guest;
	char line[256];

	if (argc < 3)
		errx(2, "usage: seat_guest GUEST WORKER [OPTION...]");
	signal(SIGPIPE, SIG_IGN);
	guest.name = argv[1];
	guest.seat_path = getenv("GPUDOM_SEAT") ? getenv("GPUDOM_SEAT") : SEAT_SOCKET_PATH;
	start(&guest, argv + 2);
	printf("done\n");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		char *rest = line;
		const char *verb = strsep(&rest, " \n");
		if (strcmp(verb, "quit") == 0)
			break;
		rest[strcspn(rest, "\n")] = '\0';
		if (!obey(&guest, verb, rest))
			printf("error: cannot read %s %s\n", verb, rest);
		printf("done\n");
		fflush(stdout);
	}
	loopback_frontend_finish(&guest.frontend);
	loopback_process_end(&guest.worker, SIGTERM);
	return 0;
}
