/* SPDX-License-Identifier: MIT */
/*
 * A gpudom-worker that is killed under a running guest, and another one in its place, which the
 * front end hands what it kept: queues and the in-flight file. The guest's driver goes on as if
 * nothing had happened. The front end knows no more than gpudomd: it says base 0.
 */
#include <errno.h>
#include <png.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "backend/inflight.h"
#include "tests/loopback/loopback_gpu.h"
#include "tests/loopback/loopback_process.h"
#include "tests/loopback/loopback_virgl.h"

#include <cmocka.h>

#define OK VIRTIO_GPU_RESP_OK_NODATA
#define BGRX VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM
#define BGRA VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM
#define CONTROL LOOPBACK_GPU_CONTROL
#define SIZE 96
#define CURSOR 64

struct setup {
	char worker[512], folder[64], png_option[128], png[128];
	struct loopback_process process;
	struct loopback_frontend frontend;
	struct loopback_gpu gpu;
	struct loopback_backing *pixels, *cursor;
};

static int prepare(void **state)
{
	const struct loopback_options options = { .inflight = true };
	struct setup *setup = calloc(1, sizeof(*setup));

	loopback_process_path("gpudom-worker", setup->worker, sizeof(setup->worker));
	strcpy(setup->folder, "/tmp/gpudom-replace-test.XXXXXX");
	assert_non_null(mkdtemp(setup->folder));
	snprintf(setup->png_option, sizeof(setup->png_option), "--png-dir=%s", setup->folder);
	snprintf(setup->png, sizeof(setup->png), "%s/scanout-0.png", setup->folder);
	setup->process.socket = setup->process.output_fd = -1;
	assert_int_equal(loopback_frontend_init(&setup->frontend, &options), 0);
	setup->pixels = loopback_backing_create(
	    &setup->frontend.memory, (size_t)SIZE * SIZE * 4, LOOPBACK_PAGE);
	setup->cursor =
	    loopback_backing_create(&setup->frontend.memory, (size_t)CURSOR * CURSOR * 4, 0);
	*state = setup;
	return 0;
}

static int clean_up(void **state)
{
	struct setup *setup = *state;

	loopback_process_end(&setup->process, SIGKILL);
	loopback_frontend_disconnect(&setup->frontend);
	loopback_backing_destroy(setup->pixels);
	loopback_backing_destroy(setup->cursor);
	loopback_frontend_finish(&setup->frontend);
	unlink(setup->png);
	rmdir(setup->folder);
	free(setup);
	return 0;
}

/* ---------------------------------------------------------------- workers */

static int spawn(struct setup *setup, const char *renderer, const char *refresh)
{
	const char *const argv[] = { setup->worker, "--fd={fd}", renderer, refresh,
		setup->png_option, NULL };
	int fd;

	assert_int_equal(loopback_process_spawn(&setup->process, argv, true), 0);
	fd = setup->process.socket;
	setup->process.socket = -1;
	return fd;
}

static void start(struct setup *setup, const char *renderer, const char *refresh)
{
	int fd = spawn(setup, renderer, refresh);

	assert_int_equal(loopback_frontend_connect(&setup->frontend, fd), 0);
	loopback_gpu_init(&setup->gpu, &setup->frontend);
}

static void kill_worker(struct setup *setup)
{
	assert_int_equal(WTERMSIG(loopback_process_end(&setup->process, SIGKILL)), SIGKILL);
	loopback_frontend_disconnect(&setup->frontend);
	for (unsigned i = 0; i < LOOPBACK_GPU_QUEUES; i++)
		setup->frontend.base[i] = 0;
}

static unsigned count_lines(const struct setup *setup, const char *with)
{
	char *text = loopback_process_output(&setup->process);
	unsigned count = 0;

	assert_non_null(text);
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
		count += strstr(line, with) != NULL;
	free(text);
	return count;
}

static void expect_line(const struct setup *setup, const char *with)
{
	for (int ms = 0; ms < LOOPBACK_TIMEOUT_MS && !count_lines(setup, with); ms++)
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	assert_int_equal(count_lines(setup, with), 1);
}

/* The picture on the worker's display: 1024 x 768 or the scan-out's size, RGB. */
static uint8_t *screenshot(struct setup *setup, uint32_t *width)
{
	png_image png = { .version = PNG_IMAGE_VERSION };
	uint8_t *pixels;

	unlink(setup->png);
	kill(setup->process.pid, SIGUSR1);
	expect_line(setup, "wrote ");
	assert_true(png_image_begin_read_from_file(&png, setup->png));
	png.format = PNG_FORMAT_BGR;
	pixels = malloc(PNG_IMAGE_SIZE(png));
	assert_true(png_image_finish_read(&png, NULL, pixels, 0, NULL));
	*width = png.width;
	return pixels;
}

/* ---------------------------------------------------------------- a picture */

static uint32_t colour_at(uint32_t x, uint32_t y, uint32_t shade)
{
	return x << 16 | y << 8 | shade;
}

static void paint(struct setup *setup, uint32_t shade)
{
	for (uint32_t y = 0; y < SIZE; y++) {
		for (uint32_t x = 0; x < SIZE; x++)
			loopback_backing_set(
			    setup->pixels, (y * SIZE + x) * 4, colour_at(x, y, shade));
	}
}

/* Resource 1 with a picture on the screen, resource 2 as the cursor at 70, 80. */
static void draw(struct setup *setup)
{
	struct loopback_gpu *gpu = &setup->gpu;

	paint(setup, 0x11);
	loopback_backing_fill(setup->cursor, 0xff00ff00);
	assert_int_equal(loopback_gpu_create_2d(gpu, 1, BGRX, SIZE, SIZE), OK);
	assert_int_equal(loopback_gpu_attach_backing(gpu, 1, setup->pixels), OK);
	assert_int_equal(loopback_gpu_transfer_2d(gpu, 1, 0, 0, SIZE, SIZE, 0), OK);
	assert_int_equal(loopback_gpu_set_scanout(gpu, 0, 1, 0, 0, SIZE, SIZE), OK);
	assert_int_equal(loopback_gpu_create_2d(gpu, 2, BGRA, CURSOR, CURSOR), OK);
	assert_int_equal(loopback_gpu_attach_backing(gpu, 2, setup->cursor), OK);
	assert_int_equal(loopback_gpu_transfer_2d(gpu, 2, 0, 0, CURSOR, CURSOR, 0), OK);
	loopback_gpu_update_cursor(gpu, 0, 2, 1, 2, 0, 0);
	loopback_gpu_move_cursor(gpu, 0, 70, 80);
}

static void expect_picture(struct setup *setup, uint32_t shade)
{
	uint32_t width;
	uint8_t *pixels = screenshot(setup, &width);

	for (uint32_t y = 0; y < SIZE; y++) {
		for (uint32_t x = 0; x < SIZE; x++) {
			const uint8_t *p = pixels + 3 * ((size_t)y * width + x);
			uint32_t got = (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];

			assert_int_equal(got, x >= 70 && y >= 80 ? 0xff00 : colour_at(x, y, shade));
		}
	}
	free(pixels);
}

static void picture_survives_with(struct setup *setup, const char *renderer)
{
	uint8_t uuid[16], again[16];

	start(setup, renderer, "--refresh=0");
	draw(setup);
	assert_int_equal(loopback_gpu_flush(&setup->gpu, 1, 0, 0, SIZE, SIZE), OK);
	assert_int_equal(
	    loopback_gpu_assign_uuid(&setup->gpu, 1, uuid), VIRTIO_GPU_RESP_OK_RESOURCE_UUID);
	expect_picture(setup, 0x11);
	for (int round = 0; round < 3; round++) {
		kill_worker(setup);
		start(setup, renderer, "--refresh=0");
		expect_picture(setup, 0x11);
	}
	/* And the guest goes on with what it has. */
	assert_int_equal(
	    loopback_gpu_assign_uuid(&setup->gpu, 1, again), VIRTIO_GPU_RESP_OK_RESOURCE_UUID);
	assert_memory_equal(uuid, again, 16);
	paint(setup, 0x22);
	assert_int_equal(loopback_gpu_transfer_2d(&setup->gpu, 1, 0, 0, SIZE, SIZE, 0), OK);
	assert_int_equal(loopback_gpu_flush(&setup->gpu, 1, 0, 0, SIZE, SIZE), OK);
	kill_worker(setup);
	start(setup, renderer, "--refresh=0");
	expect_picture(setup, 0x22);
	assert_int_equal(loopback_gpu_unref(&setup->gpu, 1), OK);
	kill_worker(setup);
	start(setup, renderer, "--refresh=0");
	assert_int_equal(
	    loopback_gpu_unref(&setup->gpu, 1), VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
	assert_int_equal(loopback_gpu_unref(&setup->gpu, 2), OK);
	assert_int_equal(count_lines(setup, "0 requests were refused"), 1);
}

static void picture_survives(void **state)
{
	picture_survives_with(*state, "--renderer=soft");
}

static void picture_survives_in_virgl(void **state)
{
	picture_survives_with(*state, "--renderer=virgl");
}

static void blob_survives(void **state)
{
	struct setup *setup = *state;

	start(setup, "--renderer=soft", "--refresh=0");
	draw(setup);
	assert_int_equal(loopback_gpu_unref(&setup->gpu, 1), OK);
	assert_int_equal(loopback_gpu_create_blob(&setup->gpu, 1, 0, VIRTIO_GPU_BLOB_MEM_GUEST,
			     (uint64_t)SIZE * SIZE * 4, setup->pixels),
	    OK);
	assert_int_equal(
	    loopback_gpu_set_scanout_blob(&setup->gpu, 0, 1, BGRX, SIZE, SIZE, SIZE * 4, 0), OK);
	assert_int_equal(loopback_gpu_flush(&setup->gpu, 1, 0, 0, SIZE, SIZE), OK);
	kill_worker(setup);
	paint(setup, 0x33);
	start(setup, "--renderer=soft", "--refresh=0");
	expect_picture(setup, 0x33);
}

/* A worker that ends in order leaves its guest to the next one, too (an upgrade). */
static void orderly_end_is_survived(void **state)
{
	struct setup *setup = *state;

	start(setup, "--renderer=soft", "--refresh=0");
	draw(setup);
	assert_int_equal(WEXITSTATUS(loopback_process_end(&setup->process, SIGTERM)), 0);
	loopback_frontend_disconnect(&setup->frontend);
	start(setup, "--renderer=soft", "--refresh=0");
	expect_picture(setup, 0x11);
	/* One that hangs up and comes again */
	loopback_frontend_disconnect(&setup->frontend);
	assert_int_equal(WEXITSTATUS(loopback_process_end(&setup->process, SIGTERM)), 0);
	start(setup, "--renderer=soft", "--refresh=0");
	expect_picture(setup, 0x11);
}

/* ---------------------------------------------------------------- requests in flight */

static struct loopback_request *begin(
    struct setup *setup, uint64_t fence, const void *command, size_t size)
{
	uint8_t bytes[128];

	memcpy(bytes, command, size);
	loopback_gpu_fence_next(&setup->gpu, fence);
	*(struct virtio_gpu_ctrl_hdr *)bytes = loopback_gpu_header(
	    &setup->gpu, ((const struct virtio_gpu_ctrl_hdr *)command)->type, 0);
	return loopback_gpu_begin(
	    &setup->gpu, CONTROL, bytes, size, NULL, 0, sizeof(struct virtio_gpu_ctrl_hdr));
}

static void expect_answer(
    struct setup *setup, struct loopback_request *request, uint32_t type, uint64_t fence)
{
	const struct virtio_gpu_ctrl_hdr *hdr = request->response;

	assert_int_equal(loopback_gpu_wait(&setup->gpu, request), 0);
	assert_int_equal(hdr->type, type);
	assert_int_equal(hdr->flags & VIRTIO_GPU_FLAG_FENCE, VIRTIO_GPU_FLAG_FENCE);
	assert_int_equal(hdr->fence_id, fence);
}

/* Answered once each, in their order; what was executed is not executed again. */
static void requests_in_flight_are_answered_once(void **state)
{
	struct setup *setup = *state;
	const struct virtio_gpu_resource_flush flush = { .hdr.type = VIRTIO_GPU_CMD_RESOURCE_FLUSH,
		.r = { 0, 0, SIZE, SIZE },
		.resource_id = 1 };
	const struct virtio_gpu_resource_create_2d create = {
		.hdr.type = VIRTIO_GPU_CMD_RESOURCE_CREATE_2D,
		.resource_id = 5,
		.format = BGRX,
		.width = 8,
		.height = 8,
	};
	const struct virtio_gpu_resource_unref unref = { .hdr.type = VIRTIO_GPU_CMD_RESOURCE_UNREF,
		.resource_id = 2 };
	const struct virtio_gpu_resource_unref wrong = { .hdr.type = VIRTIO_GPU_CMD_RESOURCE_UNREF,
		.resource_id = 99 };
	struct virtio_gpu_resp_display_info info;
	struct loopback_request *requests[5];
	const unsigned count = sizeof(requests) / sizeof(requests[0]);

	/* A frame every 100 s: the flush stays in flight, and all that is behind it. */
	start(setup, "--renderer=soft", "--refresh=0.01");
	draw(setup);
	requests[0] = begin(setup, 1, &flush, sizeof(flush));
	requests[1] = begin(setup, 2, &create, sizeof(create));
	requests[2] = begin(setup, 3, &unref, sizeof(unref));
	requests[3] = begin(setup, 4, &wrong, sizeof(wrong));
	requests[4] = begin(setup, 5, &flush, sizeof(flush));
	loopback_gpu_kick(&setup->gpu, CONTROL);
	/* Answered after they were taken */
	assert_int_equal(
	    loopback_gpu_get_display_info(&setup->gpu, &info), VIRTIO_GPU_RESP_OK_DISPLAY_INFO);
	for (int round = 0; round < 3; round++) {
		for (unsigned i = 0; i < count; i++)
			assert_false(requests[i]->done);
		kill_worker(setup);
		start(setup, "--renderer=soft", round < 2 ? "--refresh=0.01" : "--refresh=0");
	}
	expect_answer(setup, requests[0], OK, 1);
	expect_answer(setup, requests[1], OK, 2);
	expect_answer(setup, requests[2], OK, 3);
	expect_answer(setup, requests[3], VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID, 4);
	expect_answer(setup, requests[4], OK, 5);
	for (unsigned i = 0; i < count; i++)
		assert_int_equal(requests[i]->order, requests[0]->order + i);
	for (unsigned i = 0; i < count; i++)
		loopback_gpu_end(&setup->gpu, requests[i]);
	/* Both took place, once. */
	assert_int_equal(loopback_gpu_unref(&setup->gpu, 5), OK);
	assert_int_equal(
	    loopback_gpu_unref(&setup->gpu, 2), VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
	/* A queue that is stopped and started again by the same worker, whatever the base */
	assert_int_equal(loopback_frontend_stop_queue(&setup->frontend, CONTROL), 0);
	assert_int_equal(loopback_frontend_start_queue(&setup->frontend, CONTROL), 0);
	assert_int_equal(loopback_gpu_unref(&setup->gpu, 1), OK);
}

/* Waits until the worker is in this request. */
static void wait_executing(struct setup *setup, const struct loopback_request *request)
{
	const struct loopback_queue *queue = &setup->frontend.queues[CONTROL];
	size_t size = inflight_region_size(queue->size);
	struct inflight_region *region =
	    mmap(NULL, size, PROT_READ, MAP_SHARED, setup->frontend.inflight_fd, 0);
	unsigned head = 0;

	assert_true(region != MAP_FAILED);
	while (!queue->chains[head].busy || queue->chains[head].data != request)
		assert_true(++head < queue->size);
	for (int ms = 0;
	     ms < LOOPBACK_TIMEOUT_MS && region->descriptors[head].progress != VIRTQUEUE_EXECUTING;
	     ms++)
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	assert_int_equal(region->descriptors[head].progress, VIRTQUEUE_EXECUTING);
	munmap(region, size);
}

static uint32_t clear(struct setup *setup, uint32_t ctx_id, uint32_t id, const float colour[4])
{
	struct loopback_virgl virgl;

	virgl_begin(&virgl);
	virgl_create_surface(&virgl, 1, id, BGRA);
	virgl_set_framebuffer(&virgl, 1);
	virgl_clear(&virgl, colour);
	return virgl_submit(&setup->gpu, ctx_id, &virgl);
}

/* A worker hangs in a request and is killed for it: its successor does not hang in it, too, and
 * renders for who comes next. */
static void poison_is_not_taken_again(void **state)
{
	static const float red[4] = { 1, 0, 0, 1 };
	const struct virtio_gpu_box all = { .w = 32, .h = 32, .d = 1 };
	struct setup *setup = *state;
	struct virtio_gpu_transfer_host_3d transfer = { .box = { .w = 1, .h = 1, .d = 1 },
		.resource_id = 10 };
	struct loopback_request *submit, *poison, *behind;
	struct loopback_virgl virgl;

	start(setup, "--renderer=virgl", "--refresh=0");
	draw(setup);
	assert_int_equal(loopback_gpu_ctx_create(&setup->gpu, 1, 0, "endless"), OK);
	assert_int_equal(virgl_create_target(&setup->gpu, 10, BGRA, 2048, 2048), OK);
	assert_int_equal(loopback_gpu_attach_backing(&setup->gpu, 10, setup->pixels), OK);
	assert_int_equal(virgl_create_buffer(&setup->gpu, 11, 96), OK);
	assert_int_equal(loopback_gpu_ctx_attach(&setup->gpu, 1, 10), OK);
	assert_int_equal(loopback_gpu_ctx_attach(&setup->gpu, 1, 11), OK);
	virgl_begin(&virgl);
	virgl_create_surface(&virgl, 1, 10, BGRA);
	virgl_set_framebuffer(&virgl, 1);
	/* llvmpipe ends each after seconds: together they outlast a busy machine's pauses */
	for (uint32_t i = 0; i < 10; i++)
		virgl_draw_endless(&virgl, 10 + 10 * i, 11, 2048, 2048);
	loopback_gpu_fence_next(&setup->gpu, 7);
	submit = loopback_gpu_begin_submit_3d(&setup->gpu, 1, virgl.words, virgl.count);
	transfer.hdr = loopback_gpu_header(&setup->gpu, VIRTIO_GPU_CMD_TRANSFER_FROM_HOST_3D, 1);
	transfer.hdr.flags = VIRTIO_GPU_FLAG_FENCE;
	transfer.hdr.fence_id = 8;
	poison = loopback_gpu_begin(&setup->gpu, CONTROL, &transfer, sizeof(transfer), NULL, 0,
	    sizeof(struct virtio_gpu_ctrl_hdr));
	behind = begin(setup, 9,
	    &(struct virtio_gpu_resource_unref){
		.hdr.type = VIRTIO_GPU_CMD_RESOURCE_UNREF, .resource_id = 2 },
	    sizeof(struct virtio_gpu_resource_unref));
	loopback_gpu_kick(&setup->gpu, CONTROL);
	wait_executing(setup, poison);
	kill_worker(setup);

	start(setup, "--renderer=virgl", "--refresh=0");
	/* Its context is empty now: refused, and its fence not forgotten. */
	assert_int_equal(loopback_gpu_wait(&setup->gpu, submit), 0);
	assert_int_equal(((struct virtio_gpu_ctrl_hdr *)submit->response)->fence_id, 7);
	expect_answer(setup, poison, VIRTIO_GPU_RESP_ERR_UNSPEC, 8);
	expect_answer(setup, behind, OK, 9);
	assert_true(submit->order < poison->order && poison->order < behind->order);
	expect_line(setup, "the last worker ended while it executed TRANSFER_FROM_HOST_3D");
	loopback_gpu_end(&setup->gpu, submit);
	loopback_gpu_end(&setup->gpu, poison);
	loopback_gpu_end(&setup->gpu, behind);

	/* The dead application goes on for a while: it does not fill the log. */
	for (int i = 0; i < 500; i++)
		clear(setup, 1, 4711, red);
	assert_in_range(count_lines(setup, ""), 1, 60);
	assert_int_equal(loopback_gpu_ctx_destroy(&setup->gpu, 1), OK);
	/* A new one draws. */
	assert_int_equal(loopback_gpu_ctx_create(&setup->gpu, 2, 0, "new"), OK);
	assert_int_equal(virgl_create_target(&setup->gpu, 20, BGRA, 32, 32), OK);
	assert_int_equal(loopback_gpu_detach_backing(&setup->gpu, 10), OK);
	assert_int_equal(loopback_gpu_attach_backing(&setup->gpu, 20, setup->pixels), OK);
	assert_int_equal(loopback_gpu_ctx_attach(&setup->gpu, 2, 20), OK);
	assert_int_equal(clear(setup, 2, 20, red), OK);
	loopback_backing_fill(setup->pixels, 0);
	assert_int_equal(loopback_gpu_transfer_from_3d(&setup->gpu, 2, 20, &all, 0, 0), OK);
	for (size_t i = 0; i < 32 * 32; i++)
		assert_int_equal(loopback_backing_get(setup->pixels, i * 4), 0xffff0000);
}

/* ---------------------------------------------------------------- where nothing can be brought
 * back */

static void reset_leaves_nothing_to_bring_back(void **state)
{
	struct setup *setup = *state;

	start(setup, "--renderer=soft", "--refresh=0");
	draw(setup);
	for (unsigned i = 0; i < LOOPBACK_GPU_QUEUES; i++)
		assert_int_equal(loopback_frontend_stop_queue(&setup->frontend, i), 0);
	/* The file stays, as it may: the worker is told of the reset. */
	assert_int_equal(loopback_frontend_request(&setup->frontend, VHOST_USER_SET_STATUS,
			     &(uint64_t){ 0 }, 8, -1, NULL),
	    0);
	for (unsigned i = 0; i < LOOPBACK_GPU_QUEUES; i++)
		loopback_queue_reset(&setup->frontend.queues[i]);
	kill_worker(setup);
	start(setup, "--renderer=soft", "--refresh=0");
	assert_int_equal(count_lines(setup, "in the place of"), 0);
	draw(setup); /* all ids are free */
}

/* A front end learns that the state is lost from the answer to SET_INFLIGHT_FD. */
static void ledger_of_no_use_is_refused(void **state)
{
	struct setup *setup = *state;
	off_t ledger;
	int fd;

	start(setup, "--renderer=soft", "--refresh=0");
	draw(setup);
	kill_worker(setup);
	ledger = 65536; /* behind two regions of 256 descriptors */
	assert_int_equal(pwrite(setup->frontend.inflight_fd, "rubbish", 7, ledger), 7);
	fd = spawn(setup, "--renderer=soft", "--refresh=0");
	assert_int_equal(loopback_frontend_connect(&setup->frontend, fd), -EIO);
	expect_line(setup, "the guest has to reset its device");
	kill_worker(setup);

	/* After a reset, with another file, the same guest goes on. */
	close(setup->frontend.inflight_fd);
	setup->frontend.inflight_fd = -1;
	for (unsigned i = 0; i < LOOPBACK_GPU_QUEUES; i++)
		loopback_queue_reset(&setup->frontend.queues[i]);
	start(setup, "--renderer=soft", "--refresh=0");
	draw(setup);
}

static void file_cannot_be_cut_short(void **state)
{
	struct setup *setup = *state;

	start(setup, "--renderer=soft", "--refresh=0");
	assert_int_equal(ftruncate(setup->frontend.inflight_fd, 0), -1);
	assert_int_equal(errno, EPERM);
}

/* What a guest did long ago takes no memory. */
static void file_stays_small(void **state)
{
	struct setup *setup = *state;
	struct stat stat;

	start(setup, "--renderer=soft", "--refresh=0");
	draw(setup);
	assert_int_equal(fstat(setup->frontend.inflight_fd, &stat), 0);
	assert_in_range(stat.st_blocks * 512, 4096, 65536);
	for (int i = 0; i < 2000; i++) {
		assert_int_equal(loopback_gpu_create_2d(&setup->gpu, 3, BGRX, SIZE, SIZE), OK);
		assert_int_equal(loopback_gpu_attach_backing(&setup->gpu, 3, setup->pixels), OK);
		assert_int_equal(loopback_gpu_unref(&setup->gpu, 3), OK);
	}
	assert_int_equal(fstat(setup->frontend.inflight_fd, &stat), 0);
	assert_in_range(stat.st_blocks * 512, 4096, 196608);
	kill_worker(setup);
	start(setup, "--renderer=soft", "--refresh=0");
	expect_picture(setup, 0x11);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, prepare, clean_up)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(picture_survives),
		TEST(picture_survives_in_virgl),
		TEST(blob_survives),
		TEST(orderly_end_is_survived),
		TEST(requests_in_flight_are_answered_once),
		TEST(poison_is_not_taken_again),
		TEST(reset_leaves_nothing_to_bring_back),
		TEST(ledger_of_no_use_is_refused),
		TEST(file_cannot_be_cut_short),
		TEST(file_stays_small),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
