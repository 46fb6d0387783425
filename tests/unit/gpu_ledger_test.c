/* SPDX-License-Identifier: MIT */
/*
 * What a successor makes of the ledger: at any time the same objects as the device that wrote it,
 * by requests that the guest's driver made, and nothing of what it took back.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "backend/gpu_internal.h"
#include "backend/gpu_ledger.h"
#include "tests/unit/gpu_rig.h"

#include <cmocka.h>

#define OK VIRTIO_GPU_RESP_OK_NODATA
#define BGRX VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM
#define IDS 12
#define CONTEXTS 4
#define BYTES (64 * 64 * 4)
#define COMPACTED 65536 /* a log that is longer was moved */

/* ---------------------------------------------------------------- who is attached to what */

/* The fake renderer does not remember it. */
struct attachments {
	struct renderer_impl impl;
	bool has[CONTEXTS + 1][IDS + 1];
};

static struct attachments *attachments_of(struct renderer *renderer)
{
	return (struct attachments *)renderer->impl;
}

static int attach(struct renderer *renderer, uint32_t ctx_id, uint32_t resource_id)
{
	attachments_of(renderer)->has[ctx_id][resource_id] = true;
	return fake_attach_resource(renderer, ctx_id, resource_id);
}

static void detach(struct renderer *renderer, uint32_t ctx_id, uint32_t resource_id)
{
	attachments_of(renderer)->has[ctx_id][resource_id] = false;
	fake_detach_resource(renderer, ctx_id, resource_id);
}

static void destroy_context(struct renderer *renderer, uint32_t ctx_id)
{
	memset(attachments_of(renderer)->has[ctx_id], 0, IDS + 1);
	fake_destroy_context(renderer, ctx_id);
}

static void attachments_init(struct attachments *attachments, struct renderer *renderer)
{
	memset(attachments, 0, sizeof(*attachments));
	attachments->impl = fake_renderer_impl;
	attachments->impl.attach_resource = attach;
	attachments->impl.detach_resource = detach;
	attachments->impl.destroy_context = destroy_context;
	renderer->impl = &attachments->impl;
}

/* ---------------------------------------------------------------- two lives of a device */

struct successor {
	struct rig_memory memory; /* the same guest's */
	struct fake_renderer renderer;
	struct fake_display display;
	struct attachments attachments;
	struct virtio_device *device;
	uint8_t *ledger; /* a copy, made when the first one died */
};

struct test {
	struct rig *rig;
	struct attachments attachments;
	uint8_t *ledger;
	uint8_t *pages;
	struct successor next;
};

static void *make_ledger(void)
{
	int fd = memfd_create("ledger", MFD_CLOEXEC);
	void *memory;

	assert_int_equal(ftruncate(fd, (off_t)GPU_LEDGER_SIZE), 0);
	memory = mmap(NULL, GPU_LEDGER_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	assert_true(memory != MAP_FAILED);
	return memory;
}

static struct gpu *gpu_of(struct test *test)
{
	return gpu_from_device(test->rig->device);
}

static int setup(void **state)
{
	struct test *test = calloc(1, sizeof(*test));

	log_init(LOG_LEVEL_ERROR, NULL);
	test->rig = rig_create();
	attachments_init(&test->attachments, &test->rig->renderer.base);
	test->ledger = make_ledger();
	test->next.ledger = make_ledger();
	test->pages = loopback_alloc(&test->rig->memory, BYTES);
	assert_int_equal(test->rig->device->impl->set_ledger(test->rig->device, test->ledger), 0);
	*state = test;
	return 0;
}

static int teardown(void **state)
{
	struct test *test = *state;

	rig_destroy(test->rig);
	munmap(test->ledger, GPU_LEDGER_SIZE);
	munmap(test->next.ledger, GPU_LEDGER_SIZE);
	free(test);
	return 0;
}

/* A new device, and what set_ledger() says to a copy of the ledger as it is now. */
static int succeed(struct test *test)
{
	struct successor *next = &test->next;
	const struct gpu_options options = {
		.renderer = &next->renderer.base,
		.display = &next->display.base,
		.scanouts = RIG_SCANOUTS,
		.limits = GPU_LIMITS_DEFAULT,
	};
	const struct ledger *log = &gpu_of(test)->ledger->log;
	size_t half = (size_t)(log->halves[log->half] - test->ledger);

	fake_renderer_init(&next->renderer);
	attachments_init(&next->attachments, &next->renderer.base);
	fake_display_init(&next->display);
	next->memory = (struct rig_memory){ .base.impl = &rig_memory_impl,
		.inner = test->rig->guest.inner,
		.renderer = &next->renderer };
	assert_int_equal(gpu_create(&options, &next->device), 0);
	next->device->queues = test->rig->virtqueues;
	next->device->memory = &next->memory.base;
	next->device->impl->set_features(next->device, gpu_of(test)->features);
	memcpy(next->ledger, test->ledger, 4096);
	memcpy(next->ledger + half, test->ledger + half, log->end);
	return next->device->impl->set_ledger(next->device, next->ledger);
}

static void succeed_and_recover(struct test *test)
{
	assert_int_equal(succeed(test), 0);
	test->next.device->impl->recover(test->next.device);
}

static void end(struct test *test)
{
	test->next.device->impl->destroy(test->next.device);
	assert_int_equal(test->next.memory.maps, 0);
	fake_renderer_finish(&test->next.renderer);
}

/* But for a cursor, whose resource may have lost its pages since. */
static unsigned count_records(const struct gpu *gpu)
{
	const struct ledger_record *record;
	unsigned count = 0;

	TAILQ_FOREACH (record, &gpu->ledger->log.records, link)
		count += record != &gpu->ledger->cursors[0].record;
	return count;
}

static void expect_same_resource(struct test *test, uint32_t id)
{
	const struct gpu_resource *a = gpu_resource_find(gpu_of(test), id);
	const struct gpu_resource *b = gpu_resource_find(gpu_from_device(test->next.device), id);

	assert_int_equal(a != NULL, b != NULL);
	if (!a || !b)
		return;
	assert_int_equal(a->kind, b->kind);
	assert_int_equal(a->width, b->width);
	assert_int_equal(a->blob_size, b->blob_size);
	assert_int_equal(a->has_uuid, b->has_uuid);
	assert_memory_equal(a->uuid, b->uuid, sizeof(a->uuid));
	assert_int_equal(a->backing != NULL, b->backing != NULL);
	if (a->backing && b->backing) {
		assert_int_equal(a->backing->size, b->backing->size);
		assert_ptr_equal(a->backing->iov[0].iov_base, b->backing->iov[0].iov_base);
	}
}

static void expect_same(struct test *test)
{
	struct gpu *a = gpu_of(test), *b = gpu_from_device(test->next.device);
	struct fake_display *shown = &test->rig->display, *again = &test->next.display;

	for (uint32_t id = 1; id <= IDS; id++)
		expect_same_resource(test, id);
	for (uint32_t id = 1; id <= CONTEXTS; id++) {
		assert_int_equal(gpu_context_find(a, id) != NULL, gpu_context_find(b, id) != NULL);
		/* Attached to a context and gone since is not attached */
		for (uint32_t i = 1; i <= IDS; i++)
			assert_int_equal(test->attachments.has[id][i] && gpu_resource_find(a, i),
			    test->next.attachments.has[id][i]);
	}
	for (unsigned i = 0; i < RIG_SCANOUTS; i++) {
		const struct gpu_scanout *x = &a->scanouts[i], *y = &b->scanouts[i];

		assert_int_equal(x->resource != NULL, y->resource != NULL);
		if (!x->resource)
			continue;
		assert_int_equal(x->resource->entry.id, y->resource->entry.id);
		assert_memory_equal(&x->sources[x->current].rect, &y->sources[y->current].rect,
		    sizeof(struct display_rect));
		assert_memory_equal(&x->sources[x->current].picture,
		    &y->sources[y->current].picture, sizeof(struct renderer_scanout));
		assert_int_equal(again->flushes[i], 1);
	}
	/* A display keeps the cursor of a resource that is gone; a successor's can't. */
	if (again->cursor_visible[0]) {
		assert_true(shown->cursor_visible[0]);
		assert_int_equal(shown->cursor_x, again->cursor_x);
		assert_int_equal(shown->cursor_y, again->cursor_y);
		assert_memory_equal(&shown->cursor, &again->cursor, sizeof(shown->cursor));
	}
	assert_int_equal(count_records(a), count_records(b));
}

/* ---------------------------------------------------------------- a guest */

static uint32_t ctx_resource(struct rig *rig, uint32_t type, uint32_t ctx_id, uint32_t id)
{
	struct virtio_gpu_ctx_resource command = { .hdr = { .type = type, .ctx_id = ctx_id },
		.resource_id = id };

	if (type == VIRTIO_GPU_CMD_CTX_ATTACH_RESOURCE && ctx_id <= CONTEXTS &&
	    gpu_resource_find(gpu_from_device(rig->device), id))
		attachments_of(&rig->renderer.base)->has[ctx_id][id] = false; /* a new one */
	return rig_command(rig, command);
}

static uint32_t assign_uuid(struct rig *rig, uint32_t id)
{
	struct virtio_gpu_resource_assign_uuid command = {
		.hdr.type = VIRTIO_GPU_CMD_RESOURCE_ASSIGN_UUID, .resource_id = id
	};

	rig_exchange(rig, RIG_CONTROL, &command, sizeof(command),
	    sizeof(struct virtio_gpu_resp_resource_uuid));
	return ((struct virtio_gpu_ctrl_hdr *)rig->response)->type;
}

static uint32_t set_scanout_blob(struct rig *rig, uint32_t scanout, uint32_t id)
{
	struct virtio_gpu_set_scanout_blob command = {
		.hdr.type = VIRTIO_GPU_CMD_SET_SCANOUT_BLOB,
		.r = { 0, 0, 64, 64 },
		.scanout_id = scanout,
		.resource_id = id,
		.width = 64,
		.height = 64,
		.format = BGRX,
		.strides[0] = 256,
	};

	return rig_command(rig, command);
}

static uint32_t cursor(struct rig *rig, uint32_t type, uint32_t id, uint32_t x, uint32_t y)
{
	struct virtio_gpu_update_cursor command = {
		.hdr.type = type, .pos = { .x = x, .y = y }, .resource_id = id, .hot_x = 3
	};

	return rig_command_on(rig, RIG_CURSOR, &command, sizeof(command));
}

/* Anything, to one of few objects: half of it is refused. */
static void do_something(struct test *test)
{
	struct rig *rig = test->rig;
	uint32_t id = 1 + (uint32_t)rand() % IDS, ctx_id = 1 + (uint32_t)rand() % CONTEXTS;
	uint32_t scanout = (uint32_t)rand() % RIG_SCANOUTS;
	bool gone = !gpu_resource_find(gpu_of(test), id);

	switch (rand() % 20) {
	case 0:
	case 1:
		rig_create_2d(rig, id, BGRX, 64, 64);
		break;
	case 2:
		rig_create_3d(rig, id, 64, 64);
		break;
	case 3:
		rig_create_blob(rig, id, BYTES, test->pages, BYTES);
		break;
	case 4:
		rig_create_blob(rig, id, BYTES, NULL, 0);
		break;
	case 5:
		rig_unref(rig, id);
		break;
	case 6:
	case 7:
		rig_attach(rig, id, test->pages, BYTES);
		break;
	case 8:
		rig_detach(rig, id);
		break;
	case 9:
		assign_uuid(rig, id);
		break;
	case 10:
		rig_ctx_create(rig, ctx_id, 0);
		break;
	case 11:
		if (rand() % 4 == 0)
			rig_ctx_destroy(rig, ctx_id);
		break;
	case 12:
	case 13:
		ctx_resource(rig, VIRTIO_GPU_CMD_CTX_ATTACH_RESOURCE, ctx_id, id);
		break;
	case 14:
		ctx_resource(rig, VIRTIO_GPU_CMD_CTX_DETACH_RESOURCE, ctx_id, id);
		break;
	case 15:
		rig_set_scanout(rig, scanout, id, 8, 0, 32, 64);
		break;
	case 16:
		rig_set_scanout(rig, scanout, 0, 0, 0, 0, 0);
		break;
	case 17:
		set_scanout_blob(rig, scanout, id);
		break;
	case 18:
		cursor(rig, VIRTIO_GPU_CMD_UPDATE_CURSOR, rand() % 5 ? id : 0, id, 7);
		break;
	case 19:
		cursor(rig, VIRTIO_GPU_CMD_MOVE_CURSOR, 0, (uint32_t)rand() % 99, 8);
		break;
	default:
		break;
	}
	if (gone || !gpu_resource_find(gpu_of(test), id)) {
		/* The renderer's is gone, and with it whom it was attached to */
		for (uint32_t i = 1; i <= CONTEXTS; i++)
			test->attachments.has[i][id] = false;
	}
}

/* ---------------------------------------------------------------- tests */

static void test_successor_has_the_same(void **state)
{
	struct test *test = *state;
	const struct ledger *log = &gpu_of(test)->ledger->log;
	unsigned moves = 0, half = log->half;

	srand(1);
	for (unsigned i = 0; i < 14000; i++) {
		do_something(test);
		moves += log->half != half;
		if (i % 16 && log->half == half)
			continue;
		half = log->half;
		assert_in_range(log->end, 0, COMPACTED);
		succeed_and_recover(test);
		expect_same(test);
		end(test);
	}
	assert_in_range(moves, 2, 10);
}

/* The successor of a successor, and so on: what each one writes is as good. */
static void test_successors_of_successors(void **state)
{
	struct test *test = *state;

	srand(2);
	for (unsigned i = 0; i < 30; i++) {
		for (unsigned j = 0; j < 20; j++)
			do_something(test);
		succeed_and_recover(test);
		expect_same(test);
		memcpy(test->ledger, test->next.ledger, 2 * COMPACTED);
		memcpy(test->ledger + 4096 + gpu_of(test)->ledger->log.half_size,
		    test->next.ledger + 4096 + gpu_of(test)->ledger->log.half_size, COMPACTED);
		end(test);
		/* The first one again, with what the second one left: it resets itself first. */
		assert_int_equal(
		    test->rig->device->impl->set_ledger(test->rig->device, test->ledger), 0);
		memset(test->attachments.has, 0, sizeof(test->attachments.has));
		memset(test->rig->display.flushes, 0, sizeof(test->rig->display.flushes));
		test->rig->device->impl->recover(test->rig->device);
	}
}

/* Pages that the guest took back may be anything by now: they are not touched again. */
static void test_pages_taken_back_are_left_alone(void **state)
{
	struct test *test = *state;
	struct rig *rig = test->rig;

	assert_int_equal(rig_create_2d(rig, 1, BGRX, 64, 64), OK);
	for (int i = 0; i < 10; i++) {
		assert_int_equal(rig_attach(rig, 1, test->pages, BYTES), OK);
		assert_int_equal(rig_detach(rig, 1), OK);
	}
	assert_int_equal(rig_create_blob(rig, 2, BYTES, test->pages, BYTES), OK);
	assert_int_equal(rig_detach(rig, 2), OK);
	assert_int_equal(succeed(test), 0);
	test->next.memory.refuse_maps = true;
	test->next.device->impl->recover(test->next.device);
	expect_same(test);
	end(test);
	/* Nor when new ones have been attached */
	assert_int_equal(rig_attach(rig, 2, test->pages, BYTES), OK);
	succeed_and_recover(test);
	expect_same(test);
	end(test);
}

static void test_pixels_come_from_the_guest(void **state)
{
	struct test *test = *state;
	struct rig *rig = test->rig;

	assert_int_equal(rig_create_2d(rig, 1, BGRX, 64, 64), OK);
	assert_int_equal(rig_attach(rig, 1, test->pages, BYTES), OK);
	succeed_and_recover(test);
	assert_int_equal(test->next.renderer.transfers_to, 1);
	assert_int_equal(test->next.renderer.last_transfer.box.width, 64);
	assert_int_equal(test->next.renderer.last_transfer.box.height, 64);
	end(test);
	/* As far as the backing goes */
	assert_int_equal(rig_detach(rig, 1), OK);
	assert_int_equal(rig_attach(rig, 1, test->pages, 64 * 4 * 10 + 5), OK);
	succeed_and_recover(test);
	assert_int_equal(test->next.renderer.last_transfer.box.height, 10);
	end(test);
	assert_int_equal(rig_detach(rig, 1), OK);
	assert_int_equal(rig_attach(rig, 1, test->pages, 64), OK);
	succeed_and_recover(test);
	assert_int_equal(test->next.renderer.transfers_to, 0);
	end(test);
}

static void test_what_is_refused_is_left_out(void **state)
{
	struct test *test = *state;
	struct rig *rig = test->rig;

	assert_int_equal(rig_create_2d(rig, 1, BGRX, 64, 64), OK);
	assert_int_equal(rig_create_2d(rig, 2, BGRX, 64, 64), OK);
	assert_int_equal(rig_ctx_create(rig, 1, 0), OK);
	assert_int_equal(ctx_resource(rig, VIRTIO_GPU_CMD_CTX_ATTACH_RESOURCE, 1, 1), OK);
	assert_int_equal(rig_set_scanout(rig, 0, 1, 0, 0, 64, 64), OK);
	assert_int_equal(rig_set_scanout(rig, 1, 2, 0, 0, 64, 64), OK);
	assert_int_equal(succeed(test), 0);
	test->next.renderer.next_error = -EINVAL; /* resource 1 */
	test->next.device->impl->recover(test->next.device);
	assert_null(gpu_resource_find(gpu_from_device(test->next.device), 1));
	expect_same_resource(test, 2);
	assert_null(test->next.display.sources[0]);
	assert_non_null(test->next.display.sources[1]);
	/* Resource 2, context 1, scan-out 1 */
	assert_int_equal(count_records(gpu_from_device(test->next.device)), 3);
	end(test);
}

/* A record of which a worker died is not tried by the next one. */
static void test_record_that_kills_is_skipped(void **state)
{
	struct test *test = *state;
	struct ledger *log = &gpu_of(test)->ledger->log;

	assert_int_equal(rig_create_2d(test->rig, 1, BGRX, 64, 64), OK);
	assert_int_equal(rig_create_2d(test->rig, 2, BGRX, 64, 64), OK);
	ledger_rewind(log);
	ledger_mark_replaying(log, ledger_next(log));
	succeed_and_recover(test);
	assert_null(gpu_resource_find(gpu_from_device(test->next.device), 1));
	expect_same_resource(test, 2);
	assert_int_equal(count_records(gpu_from_device(test->next.device)), 1);
	end(test);
}

static void test_reset_empties_it(void **state)
{
	struct test *test = *state;

	srand(3);
	for (unsigned i = 0; i < 100; i++)
		do_something(test);
	rig_reset(test->rig);
	assert_int_equal(gpu_of(test)->ledger->log.end, 0);
	succeed_and_recover(test);
	assert_int_equal(gpu_from_device(test->next.device)->resources.count, 0);
	end(test);
	rig_start_queues(test->rig, gpu_of(test)->features | rig_features());
}

static void test_too_many_objects(void **state)
{
	struct test *test = *state;
	struct rig *rig = test->rig;
	uint32_t id = 1;

	/* 256 KiB each */
	for (; id < 100 && !gpu_of(test)->ledger->log.broken; id++) {
		assert_int_equal(rig_create_2d(rig, id, BGRX, 16, 16), OK);
		assert_int_equal(rig_attach_entries(rig, id, 16384, test->pages, 1, 16384), OK);
	}
	assert_in_range(id, 60, 70);
	assert_true(rig_works(rig));
	assert_int_equal(succeed(test), -ENOTRECOVERABLE);
	end(test);
	rig_reset(rig);
	rig_start_queues(rig, gpu_of(test)->features | rig_features());
	assert_int_equal(rig_create_2d(rig, 1, BGRX, 64, 64), OK);
	succeed_and_recover(test);
	expect_same(test);
	end(test);
}

/* Objects that were made without a ledger: a successor must not believe that there are none. */
static void test_ledger_that_comes_late(void **state)
{
	struct test *test = *state;
	struct virtio_device *device = test->rig->device;

	assert_int_equal(device->impl->set_ledger(device, NULL), 0);
	assert_int_equal(rig_create_2d(test->rig, 1, BGRX, 64, 64), OK);
	assert_int_equal(device->impl->set_ledger(device, test->ledger), 0);
	assert_int_equal(succeed(test), -ENOTRECOVERABLE);
	end(test);
}

static void test_rubbish(void **state)
{
	struct test *test = *state;
	unsigned refused = 0;

	for (unsigned seed = 0; seed < 300; seed++) {
		struct ledger *log = &gpu_of(test)->ledger->log;

		srand(seed);
		for (unsigned i = 0; i < 5; i++)
			do_something(test);
		assert_int_equal(succeed(test), 0);
		for (unsigned i = 0; i < 1 + seed % 8 && log->end > 0; i++)
			test->next.ledger[log->halves[log->half] - test->ledger +
					  rand() % (int)log->end] ^= (uint8_t)(1 << rand() % 8);
		if (test->next.device->impl->set_ledger(test->next.device, test->next.ledger) < 0)
			refused++;
		test->next.device->impl->recover(test->next.device);
		test->next.device->impl->reset(test->next.device);
		end(test);
	}
	assert_in_range(refused, 20, 280);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_successor_has_the_same),
		TEST(test_successors_of_successors),
		TEST(test_pages_taken_back_are_left_alone),
		TEST(test_pixels_come_from_the_guest),
		TEST(test_what_is_refused_is_left_out),
		TEST(test_record_that_kills_is_skipped),
		TEST(test_reset_empties_it),
		TEST(test_too_many_objects),
		TEST(test_ledger_that_comes_late),
		TEST(test_rubbish),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
