/* SPDX-License-Identifier: MIT */
/* What a guest's commands cost in calls to the hypervisor, and in questions to a monitor: the real
 * virtio-gpu device and renderers on granted and on foreign memory, over fakes that count. */
#include <errno.h>
#include <linux/virtio_config.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include "backend/gpu.h"
#include "backend/log.h"
#include "render/headless.h"
#include "render/soft.h"
#include "render/virgl.h"
#include "tests/loopback/loopback_virgl.h"
#include "tests/xen/broker_rig.h"
#include "tests/xen/fake_foreign.h"
#include "xen/memory_grant.h"
#include "xen/memory_xen.h"

/* After what they need. */
#include <cmocka.h>

#define DOMID 2
#define PAGE GNTDEV_PAGE_SIZE
#define REFERENCE 1000 /* of page 0 */
#define QUEUE 256
#define REQUESTS 64 /* at a time */
#define W 1920
#define H 1080
#define OK VIRTIO_GPU_RESP_OK_NODATA

/* Pages of the guest. Linux grants descriptors, available ring and requests read-only. */
enum {
	PAGE_DESC,
	PAGE_AVAIL,
	PAGE_USED,
	PAGE_TABLES,
	PAGE_ANSWERS = PAGE_TABLES + REQUESTS,
	PAGE_REQUESTS = PAGE_ANSWERS + REQUESTS,
	REQUEST_PAGES = 20, /* each */
	PAGE_BACKING = PAGE_REQUESTS + REQUESTS * REQUEST_PAGES,
	BACKING_PAGES = (W * H * 4 + PAGE - 1) / PAGE,
	PAGES = PAGE_BACKING + BACKING_PAGES,
};

/* Who asks the grant device: this process, a monitor when it is asked to, or one that serves the
 * queue by itself. */
enum shape { DIRECT, ASKED, RELAYED };

struct rig {
	bool grants, indirect;
	enum shape shape;
	struct broker_rig broker;
	int kick_fd; /* of the relayed queue */
	sd_event *event;
	struct renderer *renderer;
	struct display *display;
	struct virtio_device *device;
	struct guest_memory *memory;
	struct virtqueue queues[2];
	unsigned pending; /* requests that are available and not processed */
	sd_event_source *kick, *call;
	struct memory_statistics before;
	uint64_t batches_before;
};

static void *page(unsigned index)
{
	return fake_gntdev_memory + (size_t)index * PAGE;
}

static uint64_t address(const struct rig *rig, unsigned index)
{
	return rig->grants ? MEMORY_GRANT_ADDRESS | (uint64_t)(REFERENCE + index) << 12
			   : ((uint64_t)FAKE_FOREIGN_FIRST + index) << 12;
}

/* ------------------------------------------------------------------- the rig */

static int on_requests(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct rig *rig = data;
	uint64_t count;

	assert_int_equal(read(fd, &count, sizeof(count)), sizeof(count));
	rig->device->impl->process_queue(rig->device, 0);
	return 0;
}

static int on_call(sd_event_source *source, int fd, uint32_t events, void *data)
{
	uint64_t count;

	assert_int_equal(read(fd, &count, sizeof(count)), sizeof(count));
	return 0;
}

static void start_queues(struct rig *rig, bool indirect)
{
	struct virtqueue_config config = {
		.size = QUEUE,
		.features = UINT64_C(1) << VIRTIO_F_VERSION_1 | (uint64_t)indirect
								    << VIRTIO_RING_F_INDIRECT_DESC,
		.desc = address(rig, PAGE_DESC),
		.avail = address(rig, PAGE_AVAIL),
		.used = address(rig, PAGE_USED),
	};

	rig->indirect = indirect;
	memset(page(0), 0, PAGE * PAGE_TABLES);
	for (unsigned i = 0; i < 2; i++)
		virtqueue_init(&rig->queues[i], i);
	rig->queues[0].call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	config.kick_fd = rig->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert_int_equal(virtqueue_start(&rig->queues[0], rig->memory, &config), 0);
	assert_int_equal(rig->queues[0].relay != NULL, rig->shape == RELAYED);
	if (!rig->queues[0].relay)
		return;
	assert_true(sd_event_add_io(rig->event, &rig->kick, rig->queues[0].relay->kick_fd, EPOLLIN,
			on_requests, rig) >= 0);
	assert_true(sd_event_add_io(rig->event, &rig->call, rig->queues[0].call_fd, EPOLLIN,
			on_call, rig) >= 0);
}

static void stop_queues(struct rig *rig)
{
	sd_event_source_disable_unref(rig->kick);
	sd_event_source_disable_unref(rig->call);
	rig->kick = rig->call = NULL;
	virtqueue_stop(&rig->queues[0]);
	close(rig->queues[0].call_fd);
	close(rig->kick_fd);
}

static int on_fences(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct renderer *renderer = data;

	renderer->impl->dispatch(renderer);
	return 0;
}

static void set_up_rig(struct rig *rig, bool grants, bool virgl, enum shape shape)
{
	const struct virgl_options gl = { .capsets = VIRGL_CAPSETS_ALL };
	struct memory_region region = memory_xen_region(DOMID, grants);
	struct headless_options headless = {
		.modes[0] = { .width = W, .height = H },
		.screen_fd = -1,
	};
	struct gpu_options options = { .scanouts = 1, .limits = GPU_LIMITS_DEFAULT };

	*rig = (struct rig){
		.grants = grants,
		.shape = shape,
		.broker.relays = shape == RELAYED,
	};
	log_init(LOG_LEVEL_ERROR, NULL);
	fake_gntdev_reset(PAGES);
	fake_foreign_reset(DOMID);
	if (grants) {
		fake_gntdev_grant(DOMID, REFERENCE, 0, PAGES, false);
		fake_gntdev_grant(DOMID, REFERENCE + PAGE_DESC, PAGE_DESC, 2, true);
		fake_gntdev_grant(DOMID, REFERENCE + PAGE_TABLES, PAGE_TABLES, REQUESTS, true);
		fake_gntdev_grant(DOMID, REFERENCE + PAGE_REQUESTS, PAGE_REQUESTS,
		    REQUESTS * REQUEST_PAGES, true);
	}
	if (shape != DIRECT)
		broker_rig_init(&rig->broker, DOMID);
	assert_int_equal(memory_xen_create(rig->broker.client, &region, &rig->memory), 0);
	assert_int_equal(
	    memory_add_region(rig->memory, &region, memory_xen_open(DOMID, grants, "test")), 0);

	assert_true(sd_event_new(&rig->event) >= 0);
	headless.event = rig->event;
	assert_int_equal(headless_create(&headless, &rig->display), 0);
	assert_int_equal(
	    virgl ? virgl_create(&gl, &rig->renderer) : soft_create(&rig->renderer), 0);
	options.renderer = rig->renderer;
	options.display = rig->display;
	assert_int_equal(gpu_create(&options, &rig->device), 0);
	if (virgl)
		assert_true(
		    sd_event_add_io(rig->event, NULL, rig->renderer->impl->get_fd(rig->renderer),
			EPOLLIN, on_fences, rig->renderer) >= 0);
	rig->device->memory = rig->memory;
	rig->device->queues = rig->queues;
	rig->device->impl->set_features(rig->device, rig->device->impl->get_features(rig->device));
	start_queues(rig, false);
}

static int tear_down(void **state)
{
	struct rig *rig = *state;

	stop_queues(rig);
	rig->device->impl->reset(rig->device);
	assert_int_equal(fake_gntdev->maps, 0);
	rig->device->impl->destroy(rig->device);
	rig->display->impl->destroy(rig->display);
	rig->renderer->impl->destroy(rig->renderer);
	memory_destroy(rig->memory);
	if (rig->shape != DIRECT)
		broker_rig_finish(&rig->broker);
	assert_int_equal(fake_gntdev->inserted, 0);
	assert_int_equal(fake_gntdev->foreign.maps, 0);
	sd_event_unref(rig->event);
	fake_gntdev_finish();
	return 0;
}

static struct rig the_rig;

#define SET_UP(name, grants, virgl, shape)                    \
	static int set_up_##name(void **state)                \
	{                                                     \
		set_up_rig(&the_rig, (grants), virgl, shape); \
		*state = &the_rig;                            \
		return 0;                                     \
	}
SET_UP(grants, true, false, DIRECT)
SET_UP(foreign, false, false, DIRECT)
SET_UP(asked, true, false, ASKED)
SET_UP(relayed, true, false, RELAYED)
SET_UP(grants_gl, true, true, DIRECT)
SET_UP(foreign_gl, false, true, DIRECT)
SET_UP(asked_gl, true, true, ASKED)
SET_UP(relayed_gl, true, true, RELAYED)

/* ----------------------------------------------------------------- the driver */

static uint32_t answer(unsigned index)
{
	return ((const struct virtio_gpu_ctrl_hdr *)page(PAGE_ANSWERS + index))->type;
}

/* Makes a request available, not told yet. */
static void add(struct rig *rig, const void *request, size_t size)
{
	struct vring_avail *avail = page(PAGE_AVAIL);
	unsigned i = rig->pending++;
	struct vring_desc *desc = page(PAGE_DESC), *pair = &desc[2 * i];

	assert_true(i < REQUESTS && size <= REQUEST_PAGES * PAGE);
	memcpy(page(PAGE_REQUESTS + i * REQUEST_PAGES), request, size);
	memset(page(PAGE_ANSWERS + i), 0, sizeof(struct virtio_gpu_ctrl_hdr));
	if (rig->indirect) {
		pair[0] = (struct vring_desc){ address(rig, PAGE_TABLES + i), 2 * sizeof(*desc),
			VRING_DESC_F_INDIRECT, 0 };
		pair = page(PAGE_TABLES + i);
	}
	pair[0] = (struct vring_desc){ address(rig, PAGE_REQUESTS + i * REQUEST_PAGES),
		(uint32_t)size, VRING_DESC_F_NEXT, rig->indirect ? 1 : (uint16_t)(2 * i + 1) };
	pair[1] = (struct vring_desc){ address(rig, PAGE_ANSWERS + i), 24, VRING_DESC_F_WRITE, 0 };
	avail->ring[(uint16_t)(avail->idx + i) % QUEUE] = (uint16_t)(2 * i);
}

/* The kick: all are served. */
static void kick(struct rig *rig)
{
	struct vring_avail *avail = page(PAGE_AVAIL);
	const struct vring_used *used = page(PAGE_USED);
	const uint64_t one = 1;

	__atomic_store_n(&avail->idx, (uint16_t)(avail->idx + rig->pending), __ATOMIC_RELEASE);
	if (rig->shape == RELAYED)
		assert_int_equal(write(rig->kick_fd, &one, sizeof(one)), sizeof(one));
	else
		rig->device->impl->process_queue(rig->device, 0);
	while (__atomic_load_n(&used->idx, __ATOMIC_ACQUIRE) != avail->idx)
		assert_true(sd_event_run(rig->event, UINT64_C(60) * 1000000) > 0);
	rig->pending = 0;
}

static void assert_ok(struct rig *rig, const void *request, size_t size)
{
	add(rig, request, size);
	kick(rig);
	assert_int_equal(answer(0), OK);
}
#define ASSERT_OK(rig, ...)                                  \
	do {                                                 \
		const __VA_ARGS__;                           \
		assert_ok((rig), &request, sizeof(request)); \
	} while (0)

static void add_flush(struct rig *rig, uint32_t id)
{
	const struct virtio_gpu_resource_flush request = {
		.hdr.type = VIRTIO_GPU_CMD_RESOURCE_FLUSH,
		.r = { .width = W, .height = H },
		.resource_id = id,
	};

	add(rig, &request, sizeof(request));
}

static void add_transfer(struct rig *rig, uint32_t id)
{
	const struct virtio_gpu_transfer_to_host_2d request = {
		.hdr.type = VIRTIO_GPU_CMD_TRANSFER_TO_HOST_2D,
		.r = { .width = 64, .height = 64 },
		.resource_id = id,
	};

	add(rig, &request, sizeof(request));
}

static void attach(struct rig *rig, uint32_t id)
{
	struct {
		struct virtio_gpu_resource_attach_backing attach;
		struct virtio_gpu_mem_entry entry;
	} request = {
		.attach = { .hdr.type = VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING,
		    .resource_id = id,
		    .nr_entries = 1 },
		.entry = { .addr = address(rig, PAGE_BACKING), .length = W * H * 4 },
	};

	assert_ok(rig, &request, sizeof(request));
}

static void show(struct rig *rig, uint32_t id)
{
	ASSERT_OK(rig, struct virtio_gpu_set_scanout request = {
			   .hdr.type = VIRTIO_GPU_CMD_SET_SCANOUT,
			   .r = { .width = W, .height = H },
			   .resource_id = id,
		       });
}

static void create_2d(struct rig *rig, uint32_t id)
{
	ASSERT_OK(rig, struct virtio_gpu_resource_create_2d request = {
			   .hdr.type = VIRTIO_GPU_CMD_RESOURCE_CREATE_2D,
			   .resource_id = id,
			   .format = VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM,
			   .width = W,
			   .height = H,
		       });
}

/* ---------------------------------------------------------------- the counters */

static uint64_t batches(struct rig *rig)
{
	struct gpu_statistics statistics;

	gpu_get_statistics(rig->device, &statistics);
	return statistics.batches;
}

/* The monitor says how much it has copied when the queue is looked at. */
static void look(struct rig *rig)
{
	if (rig->shape == RELAYED)
		rig->device->impl->process_queue(rig->device, 0);
}

static void count_from_here(struct rig *rig)
{
	look(rig);
	rig->before = rig->memory->statistics;
	rig->batches_before = batches(rig);
}

/* What so many batches since count_from_here() may cost: with grants, one call brings the requests
 * and one takes the answers; foreign pages are mapped already. */
static void assert_cost(struct rig *rig, unsigned batch_count, unsigned map_calls, unsigned pages)
{
	const struct memory_statistics *now = &rig->memory->statistics;
	uint64_t copies;
	const unsigned rings = rig->shape == RELAYED ? 3 : 0; /* of the monitor's */

	look(rig);
	assert_int_equal(batches(rig) - rig->batches_before, batch_count);
	copies = now->copy_calls - rig->before.copy_calls;
	/* A relay may copy the answers of what is executed already. */
	if (rig->shape == RELAYED)
		assert_true(copies >= 2 * batch_count && copies < 2 * batch_count + 2);
	else
		assert_int_equal(copies, rig->grants ? 2 * batch_count : 0);
	assert_int_equal(now->map_calls - rig->before.map_calls, map_calls);
	assert_int_equal(now->pages_mapped - rig->before.pages_mapped, pages);
	assert_int_equal(now->unmap_calls - rig->before.unmap_calls, 0);
	/* A relayed queue asks nothing: only what is mapped is asked for. */
	assert_int_equal(now->questions - rig->before.questions, rig->shape == DIRECT ? 0
								 : rig->shape == ASKED
								     ? map_calls + 2 * batch_count
								     : map_calls);
	/* The fakes have counted the same. */
	assert_int_equal(fake_gntdev->copy_calls, now->copy_calls);
	assert_int_equal(
	    fake_gntdev->map_calls + fake_gntdev->foreign.map_calls - rings, now->map_calls);
	assert_int_equal(fake_gntdev->maps + fake_gntdev->foreign.maps - rings, now->maps);
}

/* A first round, in which the cache of foreign pages is filled. */
static void warm_up(struct rig *rig)
{
	for (unsigned i = 0; i < REQUESTS; i++)
		add_flush(rig, 1);
	kick(rig);
	count_from_here(rig);
}

/* --------------------------------------------------------------------- tests */

static void attaching_is_one_map(void **state)
{
	struct rig *rig = *state;

	create_2d(rig, 1);
	warm_up(rig);
	attach(rig, 1);
	assert_cost(rig, 1, 1, BACKING_PAGES);
}

static void a_batch_costs_two_calls_whatever_its_size(void **state)
{
	struct rig *rig = *state;

	create_2d(rig, 1);
	attach(rig, 1);
	warm_up(rig);
	for (unsigned size = 1; size <= REQUESTS; size *= 2) {
		count_from_here(rig);
		for (unsigned i = 0; i < size; i++)
			add_transfer(rig, 1);
		kick(rig);
		for (unsigned i = 0; i < size; i++)
			assert_int_equal(answer(i), OK);
		assert_cost(rig, 1, 0, 0);
	}
}

static void frames_in_2d_map_nothing(void **state)
{
	struct rig *rig = *state;

	create_2d(rig, 1);
	attach(rig, 1);
	show(rig, 1);
	warm_up(rig);
	for (unsigned i = 0; i < 100; i++) {
		add_transfer(rig, 1);
		add_flush(rig, 1);
		kick(rig);
		assert_int_equal(answer(0), OK);
		assert_int_equal(answer(1), OK);
	}
	assert_cost(rig, 100, 0, 0);
}

static void frames_in_3d_map_nothing(void **state)
{
	static struct {
		struct virtio_gpu_cmd_submit submit;
		uint32_t words[LOOPBACK_VIRGL_WORDS];
	} stream;
	const float colour[4] = { 0, 1, 0, 1 };
	struct rig *rig = *state;
	struct loopback_virgl virgl;

	ASSERT_OK(rig, struct virtio_gpu_ctx_create request = {
			   .hdr = { .type = VIRTIO_GPU_CMD_CTX_CREATE, .ctx_id = 1 } });
	ASSERT_OK(rig, struct virtio_gpu_resource_create_3d request = {
			   .hdr.type = VIRTIO_GPU_CMD_RESOURCE_CREATE_3D,
			   .resource_id = 1,
			   .target = PIPE_TEXTURE_2D,
			   .format = VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM,
			   .bind = VIRGL_BIND_RENDER_TARGET | VIRGL_BIND_SCANOUT,
			   .width = W,
			   .height = H,
			   .depth = 1,
			   .array_size = 1,
			   .flags = VIRTIO_GPU_RESOURCE_FLAG_Y_0_TOP,
		       });
	attach(rig, 1);
	ASSERT_OK(rig, struct virtio_gpu_ctx_resource request = {
			   .hdr = { .type = VIRTIO_GPU_CMD_CTX_ATTACH_RESOURCE, .ctx_id = 1 },
			   .resource_id = 1,
		       });
	show(rig, 1);
	warm_up(rig);
	for (unsigned i = 0; i < 20; i++) {
		virgl_begin(&virgl);
		if (i == 0)
			virgl_create_surface(&virgl, 1, 1, VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM);
		virgl_set_framebuffer(&virgl, 1);
		virgl_clear(&virgl, colour);
		stream.submit = (struct virtio_gpu_cmd_submit){
			.hdr = { .type = VIRTIO_GPU_CMD_SUBMIT_3D,
			    .flags = VIRTIO_GPU_FLAG_FENCE,
			    .fence_id = i + 1,
			    .ctx_id = 1 },
			.size = virgl.count * 4,
		};
		memcpy(stream.words, virgl.words, virgl.count * 4);
		add(rig, &stream, sizeof(stream.submit) + virgl.count * 4);
		add_flush(rig, 1);
		kick(rig);
		assert_int_equal(answer(0), OK);
		assert_int_equal(answer(1), OK);
	}
	assert_cost(rig, 20, 0, 0);
}

/* Which is why gpudomd does not offer it to a guest that grants. */
static void indirect_tables_cost_a_call_each(void **state)
{
	struct rig *rig = *state;

	stop_queues(rig);
	start_queues(rig, true);
	create_2d(rig, 1);
	warm_up(rig);
	for (unsigned i = 0; i < 10; i++)
		add_flush(rig, 1);
	kick(rig);
	look(rig);
	assert_int_equal(
	    rig->memory->statistics.copy_calls - rig->before.copy_calls, rig->grants ? 2 + 10 : 0);
}

/* ------------------------------------------------------------ odd and bad ones */

static void requests_of_odd_sizes(void **state)
{
	static uint8_t bytes[300];
	struct virtio_gpu_resource_flush flush = {
		.hdr = { .type = VIRTIO_GPU_CMD_RESOURCE_FLUSH, .flags = VIRTIO_GPU_FLAG_FENCE },
		.r = { .width = W, .height = H },
		.resource_id = 1,
	};
	struct rig *rig = *state;

	create_2d(rig, 1);
	warm_up(rig);
	for (unsigned i = 0; i < REQUESTS; i++) {
		flush.hdr.fence_id = i;
		memcpy(bytes, &flush, sizeof(flush));
		add(rig, bytes, sizeof(flush) + i * 3);
	}
	kick(rig);
	for (unsigned i = 0; i < REQUESTS; i++) {
		const struct virtio_gpu_ctrl_hdr *hdr = page(PAGE_ANSWERS + i);

		assert_int_equal(hdr->type, OK);
		assert_int_equal(hdr->fence_id, i);
	}
	assert_cost(rig, 1, 0, 0);
}

static void long_requests_come_in_several_batches(void **state)
{
	static uint8_t bytes[REQUEST_PAGES * PAGE];
	struct rig *rig = *state;
	const struct virtio_gpu_resource_flush flush = {
		.hdr.type = VIRTIO_GPU_CMD_RESOURCE_FLUSH,
		.r = { .width = W, .height = H },
		.resource_id = 1,
	};

	create_2d(rig, 1);
	memcpy(bytes, &flush, sizeof(flush));
	count_from_here(rig);
	for (unsigned i = 0; i < 8; i++) /* 640 KiB */
		add(rig, bytes, sizeof(bytes));
	kick(rig);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(answer(i), OK);
	assert_int_equal(batches(rig) - rig->batches_before, 3);
}

/* The guest takes @index away. */
static void take(struct rig *rig, unsigned index)
{
	struct memory_region region = memory_xen_region(DOMID, rig->grants);

	if (rig->grants) {
		fake_gntdev_revoke(REFERENCE + index, 1);
		return;
	}
	fake_foreign_set_absent(index, 1, true);
	memory_remove_region(rig->memory, &region);
	memory_add_region(rig->memory, &region, foreign_open(DOMID));
}

static void one_that_cannot_be_read_spoils_no_other(void **state)
{
	struct rig *rig = *state;

	create_2d(rig, 1);
	warm_up(rig);
	take(rig, PAGE_REQUESTS + 3 * REQUEST_PAGES);
	for (unsigned i = 0; i < 8; i++)
		add_flush(rig, 1);
	kick(rig);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(answer(i), i == 3 ? VIRTIO_GPU_RESP_ERR_UNSPEC : OK);
}

static void one_that_cannot_be_answered_spoils_no_other(void **state)
{
	struct rig *rig = *state;

	create_2d(rig, 1);
	warm_up(rig);
	take(rig, PAGE_ANSWERS + 3);
	for (unsigned i = 0; i < 8; i++)
		add_flush(rig, 1);
	kick(rig);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(answer(i), i == 3 ? 0 : OK);
	assert_false(rig->queues[0].broken);
}

#define EACH(f)                                                            \
	cmocka_unit_test_setup_teardown(f, set_up_grants, tear_down),      \
	    cmocka_unit_test_setup_teardown(f, set_up_foreign, tear_down), \
	    cmocka_unit_test_setup_teardown(f, set_up_asked, tear_down),   \
	    cmocka_unit_test_setup_teardown(f, set_up_relayed, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH(attaching_is_one_map),
		EACH(a_batch_costs_two_calls_whatever_its_size),
		EACH(frames_in_2d_map_nothing),
		EACH(indirect_tables_cost_a_call_each),
		EACH(requests_of_odd_sizes),
		EACH(long_requests_come_in_several_batches),
		EACH(one_that_cannot_be_read_spoils_no_other),
		EACH(one_that_cannot_be_answered_spoils_no_other),
		cmocka_unit_test_setup_teardown(
		    frames_in_3d_map_nothing, set_up_grants_gl, tear_down),
		cmocka_unit_test_setup_teardown(
		    frames_in_3d_map_nothing, set_up_foreign_gl, tear_down),
		cmocka_unit_test_setup_teardown(
		    frames_in_3d_map_nothing, set_up_asked_gl, tear_down),
		cmocka_unit_test_setup_teardown(
		    frames_in_3d_map_nothing, set_up_relayed_gl, tear_down),
	};

	return cmocka_run_group_tests_name("calls to the hypervisor", tests, NULL, NULL);
}
