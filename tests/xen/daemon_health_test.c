/* SPDX-License-Identifier: MIT */
/* gpudomd on a fake Xen: how it knows, and tells, that a worker or a guest is not well. What a
 * worker would write into its telemetry and on its screen, the test writes. */
#include <linux/virtio_gpu.h>

#include "backend/screen.h"
#include "render/png.h"
#include "tests/xen/daemon_rig.h"
#include "xen/guest_device_private.h"
#include "xen/guest_health.h"

#define W 320
#define H 240
#define RED 0xff0000u

/* ------------------------------------------------------------------- the rig */

static void configure(struct rig *rig, const char *text)
{
	assert_int_equal(config_parse(&rig->config, "test", text), 0);
}

static void start_served_guest(struct rig *rig)
{
	run_daemon(rig);
	start_guest(rig);
	bring_up(rig);
	assert_served(rig, 0, 0x11);
}

static const struct guest_device_status *status(struct rig *rig)
{
	static struct guest_device_status status;

	guest_device_get_status(only_device(rig), &status);
	return &status;
}

static bool serves(struct rig *rig)
{
	return daemon_served(rig->gpu_daemon) == 1;
}

/* The worker's side of its telemetry. */
static struct telemetry *telemetry_of(struct rig *rig)
{
	struct telemetry *page;

	assert_int_equal(telemetry_open(only_device(rig)->health.telemetry_fd, true, &page), 0);
	return page;
}

static void set_mood(enum worker_mood mood, unsigned times)
{
	fake_gntdev->mood_times = times;
	__atomic_store_n(&fake_gntdev->mood, (int)mood, __ATOMIC_RELEASE);
}

static void kill_worker(struct rig *rig)
{
	assert_int_equal(kill(fake_gntdev->worker_pid, SIGKILL), 0);
	WAIT_FOR(rig, !serves(rig));
	forget_mapped();
}

/* So many times has the telemetry been looked at. */
static void wait_for_looks(struct rig *rig, unsigned looks, void (*between)(struct telemetry *page))
{
	struct telemetry *page = telemetry_of(rig);

	while (looks--) {
		uint64_t last = only_device(rig)->health.looked_ns;

		if (between)
			between(page);
		WAIT_FOR(rig, only_device(rig)->health.looked_ns != last);
	}
	telemetry_close(page);
}

static void assert_well(struct rig *rig)
{
	assert_int_equal(rd(rig, VIRTIO_MMIO_STATUS), 0xf);
	assert_true(serves(rig));
}

/* ------------------------------------------------------------------- deaths */

static void deaths_count_for_a_while(void **unused)
{
	const uint64_t second = 1000000;
	struct health_state state = { 0 };
	const struct guest_health_options options = { .state = &state };
	struct guest_health health;

	guest_health_init(&health, &options); /* 5 in 60 s */
	for (unsigned i = 0; i < 4; i++)
		assert_false(guest_health_died(&health, "", i * second));
	assert_true(guest_health_died(&health, "", 59 * second));
	/* The four of before are over by then. */
	for (unsigned i = 0; i < 3; i++)
		assert_false(guest_health_died(&health, "", (64 + i) * second));
	assert_true(guest_health_died(&health, "at last", 67 * second));
	assert_string_equal(state.last_end, "at last");
	for (unsigned i = 0; i < 200; i++)
		assert_false(guest_health_died(&health, "", (200 + 15 * i) * second));
	assert_int_equal(state.deaths, 209);

	/* What was forgiven does not count. */
	for (unsigned i = 0; i < 4; i++)
		assert_false(guest_health_died(&health, "", 9000 * second));
	guest_health_forgive(&health);
	for (unsigned i = 0; i < 4; i++)
		assert_false(guest_health_died(&health, "", 9000 * second));
	assert_true(guest_health_died(&health, "", 9000 * second));

	health.policy.crash_limit = 1;
	assert_true(guest_health_died(&health, "", 20000 * second));
	health.policy.crash_limit = 0;
	for (unsigned i = 0; i < 300; i++)
		assert_false(guest_health_died(&health, "", 20000 * second));
	health.policy.crash_limit = POLICY_CRASHES_MAX;
	assert_true(guest_health_died(&health, "", 20000 * second));
}

static void a_death_is_named_with_its_last_command(void **state)
{
	struct rig *rig = *state;
	struct telemetry *page;

	start_served_guest(rig);
	page = telemetry_of(rig);
	page->command = (struct telemetry_command){
		.type = VIRTIO_GPU_CMD_SUBMIT_3D, .ctx_id = 3, .number = 1234, .executing = 1
	};
	kill_worker(rig);
	WAIT_FOR(rig, status(rig)->health.deaths == 1);
	assert_non_null(strstr(status(rig)->health.last_end,
	    ") was ended by signal 9 (Killed) while it executed SUBMIT_3D (context 3, request "
	    "1234)"));
	WAIT_FOR(rig, serves(rig));
	assert_int_equal(status(rig)->health.replacements, 1);
	assert_int_equal(status(rig)->state, DEVICE_SERVING);
	assert_int_equal(status(rig)->pid, fake_gntdev->worker_pid);
	page->command.executing = 0;
	page->command.type = 0xffffffffffff;
	kill_worker(rig);
	WAIT_FOR(rig, status(rig)->health.deaths == 2);
	assert_non_null(strstr(status(rig)->health.last_end,
	    "(Killed) after an unknown command (context 3, request 1234)"));
	telemetry_close(page);
}

/* ------------------------------------------------------------------- it hangs */

static void one_that_gets_no_further_is_replaced(void **state)
{
	struct rig *rig = *state;
	struct telemetry *page;
	pid_t pid;

	configure(rig, "[default]\nhang-timeout = 200ms\n");
	start_served_guest(rig);
	pid = fake_gntdev->worker_pid;
	page = telemetry_of(rig);
	page->command = (struct telemetry_command){
		.type = VIRTIO_GPU_CMD_TRANSFER_TO_HOST_2D, .number = 7, .executing = 1
	};
	page->busy_since_ns = 1;
	WAIT_FOR(rig, status(rig)->health.deaths == 1);
	page->busy_since_ns = 0;
	forget_mapped();
	WAIT_FOR(rig, serves(rig));
	assert_int_not_equal(fake_gntdev->worker_pid, pid);
	assert_int_equal(status(rig)->health.hangs, 1);
	assert_string_equal(status(rig)->health.last_end,
	    "the worker has not got any further for 200 ms while it executed TRANSFER_TO_HOST_2D "
	    "(context 0, request 7): killed");
	assert_served(rig, 0, 0x22);
	assert_well(rig);
	telemetry_close(page);
}

static void a_gpu_that_gets_no_further_is_a_hang(void **state)
{
	struct rig *rig = *state;
	struct telemetry *page;

	configure(rig, "[default]\nhang-timeout = 2s\n");
	start_served_guest(rig);
	page = telemetry_of(rig);
	page->gpu_since_ns = 12345;
	WAIT_FOR(rig, status(rig)->health.hangs == 1);
	page->gpu_since_ns = 0;
	assert_non_null(
	    strstr(only_device(rig)->hang, "the worker has waited for the GPU for 2 s"));
	telemetry_close(page);
	forget_mapped();
	WAIT_FOR(rig, serves(rig));
}

static void next_command(struct telemetry *page)
{
	page->busy_since_ns = 1;
	page->command.number++;
	page->gpu_since_ns++;
}

static void next_event(struct telemetry *page)
{
	page->busy_since_ns++;
	page->gpu_since_ns = 0;
}

/* It works on something else each time, or waits for nothing but the guest. */
static void one_that_gets_further_is_left_alone(void **state)
{
	struct rig *rig = *state;

	configure(rig, "[default]\nhang-timeout = 100ms\n");
	start_served_guest(rig);
	wait_for_looks(rig, 20, NULL);
	wait_for_looks(rig, 20, next_command);
	wait_for_looks(rig, 3, NULL); /* of 4 */
	wait_for_looks(rig, 20, next_event);
	assert_int_equal(status(rig)->health.hangs, 0);
	assert_well(rig);
}

static void nobody_looks_who_need_not(void **state)
{
	struct rig *rig = *state;

	configure(rig, "[default]\nhang-timeout = off\n");
	start_served_guest(rig);
	assert_null(only_device(rig)->health.timer);
}

/* ------------------------------------------------------------------- blocked */

static void crash_too_often(struct rig *rig)
{
	while (!(rd(rig, VIRTIO_MMIO_STATUS) & NEEDS_RESET)) {
		kill_worker(rig);
		WAIT_FOR(rig, serves(rig) || rd(rig, VIRTIO_MMIO_STATUS) & NEEDS_RESET);
	}
}

/* Its accesses are answered, and no worker starts. */
static void assert_blocked(struct rig *rig)
{
	const unsigned workers = fake_gntdev->workers;

	assert_true(rd(rig, VIRTIO_MMIO_STATUS) & NEEDS_RESET);
	for (unsigned i = 0; i < 3; i++) {
		wr(rig, VIRTIO_MMIO_STATUS, 0);
		assert_int_equal(rd(rig, VIRTIO_MMIO_STATUS), NEEDS_RESET);
		wr(rig, VIRTIO_MMIO_STATUS, 1);
		wr(rig, VIRTIO_MMIO_QUEUE_SEL, 1);
		wr(rig, VIRTIO_MMIO_QUEUE_READY, 0);
		wr(rig, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
		assert_int_equal(rd_as(rig, 1, VIRTIO_MMIO_DEVICE_ID, 4), 16);
		rd(rig, VIRTIO_MMIO_CONFIG);
		wr(rig, VIRTIO_MMIO_CONFIG, 1);
	}
	assert_int_equal(fake_gntdev->workers, workers);
	assert_int_equal(status(rig)->state, DEVICE_LOST);
	assert_int_equal(status(rig)->pid, 0);
}

static void one_that_crashes_too_often_is_blocked(void **state)
{
	struct rig *rig = *state;

	configure(rig, "[default]\ncrash-limit = 3/60s\n");
	start_served_guest(rig);
	crash_too_often(rig);
	assert_int_equal(status(rig)->health.deaths, 3);
	assert_int_equal(status(rig)->blocked, GUEST_BLOCKED_CRASHES);
	assert_blocked(rig);
	assert_int_equal(guest_device_reset_worker(only_device(rig)), -EPERM);
	assert_int_equal(guest_device_unblock(only_device(rig)), 0);
	assert_int_equal(status(rig)->blocked, GUEST_NOT_BLOCKED);
	bring_up(rig);
	assert_served(rig, 1, 0x33);
	/* It begins with a clean slate. */
	kill_worker(rig);
	WAIT_FOR(rig, serves(rig));
	assert_well(rig);
}

static void people_block_and_unblock(void **state)
{
	struct rig *rig = *state;

	start_served_guest(rig);
	assert_int_equal(guest_device_block(only_device(rig)), 0);
	WAIT_FOR(rig, status(rig)->state == DEVICE_LOST);
	forget_mapped();
	assert_int_equal(status(rig)->blocked, GUEST_BLOCKED_OPERATOR);
	assert_int_equal(status(rig)->health.deaths, 0);
	assert_blocked(rig);
	assert_int_equal(guest_device_block(only_device(rig)), 0);
	assert_int_equal(guest_device_unblock(only_device(rig)), 0);
	assert_int_equal(guest_device_unblock(only_device(rig)), 0);
	assert_int_equal(guest_device_reset_worker(only_device(rig)), -ENODEV);
	bring_up(rig);
	assert_served(rig, 0, 0x44);
}

/* It is let go on, and does; what it was told meanwhile is acknowledged. */
static void unblock_and_go_on(struct rig *rig)
{
	WAIT_FOR(rig, status(rig)->state == DEVICE_LOST);
	forget_mapped();
	assert_true(rd(rig, VIRTIO_MMIO_STATUS) & NEEDS_RESET);
	assert_int_equal(guest_device_unblock(only_device(rig)), 0);
	WAIT_FOR(rig, serves(rig) && rd(rig, VIRTIO_MMIO_INTERRUPT_STATUS) == 3);
	wr(rig, VIRTIO_MMIO_INTERRUPT_ACK, 3);
	assert_well(rig);
}

/* As assert_served(), where interrupts of before may still come. */
static void assert_answered(struct rig *rig, unsigned queue, uint8_t fill)
{
	uint16_t used = grant_ring_used(queue);

	grant_ring_add(queue, fill);
	wr(rig, VIRTIO_MMIO_QUEUE_NOTIFY, queue);
	WAIT_FOR(rig, grant_ring_used(queue) != used);
	assert_memory_equal(
	    grant_ring_page(queue, PAGE_ANSWER), grant_ring_page(queue, PAGE_REQUEST), 16);
}

/* Linux takes no notice of DEVICE_NEEDS_RESET: its requests are there all the while. */
static void one_that_ignored_the_block_goes_on(void **state)
{
	struct rig *rig = *state;

	configure(rig, "[default]\ncrash-limit = 3/60s\n");
	start_served_guest(rig);
	assert_served(rig, 0, 0x21);
	crash_too_often(rig);
	grant_ring_add(0, 0x22);
	wr(rig, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
	unblock_and_go_on(rig);
	/* What it asked for meanwhile, too */
	WAIT_FOR(rig, grant_ring_used(0) == 2);
	assert_answered(rig, 1, 0x23);
	assert_answered(rig, 0, 0x24);
	assert_int_equal(status(rig)->health.deaths, 3);
	/* ... and again, as often as people like */
	for (uint8_t i = 0; i < 3; i++) {
		assert_int_equal(guest_device_block(only_device(rig)), 0);
		unblock_and_go_on(rig);
		assert_answered(rig, 0, 0x30 + i);
	}
	assert_well(rig);
}

/* What the guest has broken itself stays broken. */
static void one_that_broke_its_device_does_not_go_on(void **state)
{
	struct rig *rig = *state;

	start_served_guest(rig);
	wr(rig, VIRTIO_MMIO_QUEUE_SEL, 0);
	wr(rig, VIRTIO_MMIO_QUEUE_READY, 0);
	wr(rig, VIRTIO_MMIO_QUEUE_NUM, 3);
	wr(rig, VIRTIO_MMIO_QUEUE_READY, 1);
	assert_true(rd(rig, VIRTIO_MMIO_STATUS) & NEEDS_RESET);
	assert_int_equal(guest_device_block(only_device(rig)), 0);
	WAIT_FOR(rig, status(rig)->state == DEVICE_LOST);
	forget_mapped();
	assert_int_equal(guest_device_unblock(only_device(rig)), 0);
	assert_true(rd(rig, VIRTIO_MMIO_STATUS) & NEEDS_RESET);
	assert_int_equal(status(rig)->state, DEVICE_LOST);
	bring_up(rig);
	assert_served(rig, 0, 0x44);
}

static void a_blocked_guest_goes(void **state)
{
	struct rig *rig = *state;

	start_served_guest(rig);
	assert_int_equal(guest_device_block(only_device(rig)), 0);
	WAIT_FOR(rig, status(rig)->state == DEVICE_LOST);
	forget_mapped();
	detach();
	assert_gone(rig);
}

/* While the one worker dies and the other comes. */
static void people_block_at_any_moment(void **state)
{
	struct rig *rig = *state;

	start_served_guest(rig);
	set_mood(STALL_IN_HANDSHAKE, UINT32_MAX);
	kill_worker(rig);
	WAIT_FOR(rig, fake_gntdev->workers == 2);
	assert_int_equal(guest_device_reset_worker(only_device(rig)), -EAGAIN);
	assert_int_equal(guest_device_block(only_device(rig)), 0);
	WAIT_FOR(rig, status(rig)->state == DEVICE_LOST);
	set_mood(WELL, 0);
	forget_mapped();
	assert_blocked(rig);
}

static void people_replace_a_worker(void **state)
{
	struct rig *rig = *state;
	pid_t pid;

	start_served_guest(rig);
	for (unsigned i = 0; i < 8; i++) {
		pid = fake_gntdev->worker_pid;
		assert_int_equal(guest_device_reset_worker(only_device(rig)), 0);
		WAIT_FOR(rig, !serves(rig));
		forget_mapped();
		WAIT_FOR(rig, serves(rig));
		assert_int_not_equal(fake_gntdev->worker_pid, pid);
		assert_served(rig, 0, (uint8_t)i);
		assert_well(rig);
	}
	assert_int_equal(status(rig)->health.deaths, 0);
	assert_int_equal(status(rig)->health.replacements, 8);
}

/* ------------------------------------------------------------------- pictures */

static void draw(struct rig *rig, uint32_t colour)
{
	struct screen screen;
	uint32_t *pixels;

	assert_int_equal(screen_open(&screen, guest_device_screen(only_device(rig))), 0);
	pixels = (uint32_t *)screen_begin(&screen, 0, W, H);
	assert_non_null(pixels);
	for (unsigned i = 0; i < W * H; i++)
		pixels[i] = colour;
	screen_end(&screen, 0);
	screen_close(&screen);
}

/* How many pixels of what is seen have this colour? */
static unsigned count(struct rig *rig, uint32_t colour)
{
	unsigned found = 0;
	uint32_t width, height, *pixels;

	assert_int_equal(screen_capture(guest_device_screen(only_device(rig)), 0, &width, &height,
			     (void **)&pixels),
	    0);
	assert_int_equal(width, W);
	assert_int_equal(height, H);
	for (unsigned i = 0; i < W * H; i++)
		found += pixels[i] == colour;
	free(pixels);
	return found;
}

static void the_last_frame_stays(void **state)
{
	struct rig *rig = *state;

	start_served_guest(rig);
	draw(rig, RED);
	assert_int_equal(guest_device_block(only_device(rig)), 0);
	WAIT_FOR(rig, status(rig)->state == DEVICE_LOST);
	forget_mapped();
	assert_int_equal(count(rig, RED), W * H);
	assert_int_equal(status(rig)->lost, 0);
}

static void a_lost_signal_is_shown(void **state)
{
	struct rig *rig = *state;

	configure(rig, "[default]\nsignal-lost-after = 50ms\n");
	start_served_guest(rig);
	draw(rig, RED);
	set_mood(STALL_IN_HANDSHAKE, UINT32_MAX);
	kill_worker(rig);
	assert_int_equal(status(rig)->lost, 0);
	assert_int_equal(count(rig, RED), W * H);
	WAIT_FOR(rig, status(rig)->lost == 1);
	assert_int_equal(count(rig, RED), 0);
	assert_in_range(count(rig, 0xc8ccd0), 100, 1000); /* the words */
	assert_int_equal(count(rig, 0xc8ccd0) + count(rig, 0x202428), W * H);
	set_mood(WELL, 0);
	WAIT_FOR(rig, serves(rig));
	/* Until there is a frame. */
	assert_int_equal(status(rig)->lost, 1);
	draw(rig, RED);
	assert_int_equal(count(rig, RED), W * H);
	assert_int_equal(status(rig)->lost, 0);
}

/* The operator's picture, in the middle of the guest's output, or as much smaller as it must be. */
static void a_lost_signal_shows_the_operators_picture(void **state)
{
	static uint32_t picture[2 * W * H];
	struct rig *rig = *state;
	char path[] = "/tmp/gpudom-health-test.XXXXXX", text[256];
	const int fd = mkstemp(path);

	assert_true(fd >= 0);
	for (unsigned i = 0; i < 2 * W * H; i++)
		picture[i] = 0x00c0ffee;
	/* Twice as wide: half the height is left. */
	assert_int_equal(png_write_xrgb(path, 2 * W, H, picture, (size_t)2 * W * 4), 0);
	snprintf(text, sizeof(text),
	    "[default]\nsignal-lost-after = 10ms\nsignal-lost-image = %s\n", path);
	configure(rig, text);
	start_served_guest(rig);
	draw(rig, RED);
	assert_int_equal(guest_device_block(only_device(rig)), 0);
	WAIT_FOR(rig, status(rig)->lost == 1);
	forget_mapped();
	assert_int_equal(count(rig, 0x00c0ffee), W * H / 2);
	assert_int_equal(count(rig, 0), W * H / 2);
	/* One that has become of no use is no reason to show nothing. */
	draw(rig, RED);
	assert_int_equal(truncate(path, 10), 0);
	assert_int_equal(guest_device_unblock(only_device(rig)), 0);
	bring_up(rig);
	draw(rig, RED);
	assert_int_equal(guest_device_block(only_device(rig)), 0);
	WAIT_FOR(rig, status(rig)->lost == 1);
	forget_mapped();
	assert_in_range(count(rig, 0xc8ccd0), 100, 1000);
	unlink(path);
	close(fd);
}

static void a_worker_comes_back_in_time(void **state)
{
	struct rig *rig = *state;

	configure(rig, "[default]\nsignal-lost-after = 60min\n");
	start_served_guest(rig);
	draw(rig, RED);
	kill_worker(rig);
	assert_non_null(only_device(rig)->health.signal.timer);
	WAIT_FOR(rig, serves(rig));
	assert_int_equal(
	    sd_event_source_get_enabled(only_device(rig)->health.signal.timer, NULL), 0);
	assert_int_equal(count(rig, RED), W * H);
}

static void flush(struct telemetry *page)
{
	page->outputs_count = 1;
	page->outputs[0].on = 1;
	page->outputs[0].last_flush_ns = telemetry_now();
}

static void a_frozen_guest_is_noticed_once(void **state)
{
	struct rig *rig = *state;

	configure(rig, "[default]\nhang-timeout = off\nflush-deadline = 600ms\n");
	start_served_guest(rig);
	draw(rig, RED);
	/* It is off: nothing is promised. */
	wait_for_looks(rig, 3, NULL);
	assert_int_equal(status(rig)->health.freezes, 0);
	wait_for_looks(rig, 3, flush);
	assert_int_equal(status(rig)->health.freezes, 0);
	WAIT_FOR(rig, status(rig)->frozen == 1);
	wait_for_looks(rig, 2, NULL);
	assert_int_equal(status(rig)->health.freezes, 1);
	wait_for_looks(rig, 2, flush);
	assert_int_equal(status(rig)->frozen, 0);
	assert_int_equal(status(rig)->health.freezes, 1);
	WAIT_FOR(rig, status(rig)->frozen == 1);
	assert_int_equal(status(rig)->health.freezes, 2);
	/* Its signal is there as far as anybody was told. */
	assert_int_equal(status(rig)->lost, 0);
	assert_well(rig);
}

static void a_frozen_guests_signal_is_lost(void **state)
{
	struct rig *rig = *state;
	struct telemetry *page;

	configure(rig, "[default]\nflush-deadline = 100ms\nsignal-lost-after = 100ms\n");
	start_served_guest(rig);
	draw(rig, RED);
	page = telemetry_of(rig);
	flush(page);
	WAIT_FOR(rig, status(rig)->lost == 1);
	assert_int_equal(status(rig)->frozen, 1);
	assert_int_equal(count(rig, RED), 0);
	/* One that is switched off is not frozen any more. */
	page->outputs[0].on = 0;
	WAIT_FOR(rig, status(rig)->frozen == 0);
	draw(rig, RED);
	assert_int_equal(status(rig)->lost, 0);
	telemetry_close(page);
}

/* ------------------------------------------------------------------- lies */

static void nothing_that_a_worker_writes_does_harm(void **state)
{
	struct rig *rig = *state;
	struct telemetry *page;
	struct screen screen;
	void *pixels;
	uint32_t width, height;

	configure(rig, "[default]\nhang-timeout = 400ms\nflush-deadline = 50ms\n"
		       "signal-lost-after = 50ms\n");
	start_served_guest(rig);
	page = telemetry_of(rig);
	assert_int_equal(screen_open(&screen, guest_device_screen(only_device(rig))), 0);
	memset(page, 0xff, sizeof(*page));
	memset(screen.head, 0xff, sizeof(*screen.head));
	WAIT_FOR(rig, status(rig)->health.hangs == 1);
	page->busy_since_ns = page->gpu_since_ns = 0;
	forget_mapped();
	assert_int_equal(screen_capture(screen.fd, 0, &width, &height, &pixels), -EPROTO);
	screen.head->outputs[0] =
	    (struct screen_output){ .serial = 2, .width = 65536, .height = 65536 };
	assert_int_equal(screen_capture(screen.fd, 0, &width, &height, &pixels), -EPROTO);
	screen.head->outputs[0] = (struct screen_output){ .serial = 2, .width = 1, .height = 1 };
	assert_int_equal(screen_capture(screen.fd, 0, &width, &height, &pixels), 0);
	free(pixels);
	screen.head->outputs[0] = (struct screen_output){ 0 };
	assert_int_equal(screen_capture(screen.fd, 0, &width, &height, &pixels), -ENOENT);
	screen_close(&screen);
	telemetry_close(page);
	WAIT_FOR(rig, serves(rig));
	assert_served(rig, 0, 0x66);
}

/* As many pictures as a worker can want, and as large: guests' accesses come between them. */
static void pictures_are_drawn_one_at_a_time(void **state)
{
	struct rig *rig = *state;
	struct screen screen;
	uint32_t before = 0, lost = 0;

	configure(rig, "[default]\nsignal-lost-after = 20ms\n");
	start_served_guest(rig);
	assert_int_equal(screen_open(&screen, guest_device_screen(only_device(rig))), 0);
	for (unsigned i = 0; i < DISPLAY_SCANOUTS_MAX; i++)
		screen.head->outputs[i] =
		    (struct screen_output){ .serial = 2, .width = 1920, .height = 1080 };
	screen_close(&screen);
	assert_int_equal(guest_device_block(only_device(rig)), 0);
	while (lost != UINT16_MAX) {
		turn(rig);
		lost = status(rig)->lost;
		assert_true(__builtin_popcount(lost) <= __builtin_popcount(before) + 1);
		before = lost;
	}
	forget_mapped();
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(deaths_count_for_a_while),
		TEST(a_death_is_named_with_its_last_command),
		TEST(one_that_gets_no_further_is_replaced),
		TEST(a_gpu_that_gets_no_further_is_a_hang),
		TEST(one_that_gets_further_is_left_alone),
		TEST(nobody_looks_who_need_not),
		TEST(one_that_crashes_too_often_is_blocked),
		TEST(people_block_and_unblock),
		TEST(one_that_ignored_the_block_goes_on),
		TEST(one_that_broke_its_device_does_not_go_on),
		TEST(a_blocked_guest_goes),
		TEST(people_block_at_any_moment),
		TEST(people_replace_a_worker),
		TEST(the_last_frame_stays),
		TEST(a_lost_signal_is_shown),
		TEST(a_lost_signal_shows_the_operators_picture),
		TEST(a_worker_comes_back_in_time),
		TEST(a_frozen_guest_is_noticed_once),
		TEST(a_frozen_guests_signal_is_lost),
		TEST(nothing_that_a_worker_writes_does_harm),
		TEST(pictures_are_drawn_one_at_a_time),
	};
	int result;

	if (daemon_rig_main(argc, argv, &result))
		return result;
	result = cmocka_run_group_tests_name("gpudomd: health", tests, NULL, NULL);
	free(self);
	return result;
}
