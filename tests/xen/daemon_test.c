/* SPDX-License-Identifier: MIT */
/*
 * All of gpudomd but its main, on a fake Xen: the toolstack's keys, a guest's register accesses, a
 * worker in a process of its own (this program again, with --fd), grants, interrupts; and what
 * goes wrong with each.
 */
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend/log.h"
#include "backend/vhost_user.h"
#include "tests/unit/fake_device.h"
#include "tests/xen/fake_xen.h"
#include "tests/xen/fake_xenstore.h"
#include "tests/xen/grant_ring.h"
#include "xen/daemon.h"

/* After what they need. */
#include <xen/hvm/ioreq.h>

#include <cmocka.h>

#define BASE 0x2000000u
#define BACKEND "/local/domain/1/backend/virtio/2/0"
#define STATUS "/local/domain/1/drivers/gpudom/status"
#define FEATURES                                                                           \
	((UINT64_C(1) << VIRTIO_F_VERSION_1) | (UINT64_C(1) << VIRTIO_F_ACCESS_PLATFORM) | \
	    FAKE_FEATURES)
#define NEEDS_RESET VIRTIO_CONFIG_S_NEEDS_RESET
#define DIE 0xdd /* a byte of the configuration space that is the worker's end */

static char *self; /* this program */

/* ---------------------------------------------------------------- the worker */

static void worker_write_config(
    struct virtio_device *device, uint32_t offset, const void *from, uint32_t size)
{
	if (*(const uint8_t *)from == DIE)
		raise(SIGKILL);
	fake_write_config(device, offset, from, size);
}

static void worker_closed(void *data, int error)
{
	sd_event_exit(data, 0);
}

static int worker_main(int fd)
{
	struct fake_device fake;
	struct virtio_device_impl impl;
	struct vhost_user *user;
	struct vhost_user_options options = {
		.device = &fake.device,
		.create_xen_memory = memory_grant_create,
		.closed = worker_closed,
	};
	int r;

	fake_device_init(&fake);
	impl = *fake.device.impl;
	impl.write_config = worker_write_config;
	fake.device.impl = &impl;
	sd_event_new(&options.event);
	options.data = options.event;
	if (vhost_user_create(&options, fd, &user) < 0)
		return EXIT_FAILURE;
	r = sd_event_loop(options.event);
	vhost_user_destroy(user);
	sd_event_unref(options.event);
	return r;
}

/* ------------------------------------------------------------------- the rig */

struct rig {
	sd_event *event;
	struct config config;
	struct daemon_options options;
	struct gpu_daemon *gpu_daemon;
};

/* Once around: everything that is ready, and the kernel's part. */
static void turn(struct rig *rig)
{
	fake_xen_step();
	sd_event_run(rig->event, 10000);
}

/* Waits for a condition; only a defect ever waits to the end. */
#define WAIT_FOR(rig, condition)                                               \
	do {                                                                   \
		for (unsigned i_ = 0; !(condition); i_++) {                    \
			if (i_ == 6000)                                        \
				fail_msg("%s does not come true", #condition); \
			turn(rig);                                             \
		}                                                              \
	} while (0)

static bool has(const char *path, const char *value)
{
	const char *is = fake_xenstore_read(path);

	return value ? is && !strcmp(is, value) : !is;
}

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

static void detach(void)
{
	fake_xenstore_write(BACKEND "/online", "0");
	fake_xenstore_write(BACKEND "/state", "5");
}

static int set_up(void **state)
{
	static struct rig rig;

	rig = (struct rig){ 0 };
	log_init(LOG_LEVEL_ERROR, NULL);
	fake_xen_reset(2);
	fake_xenstore_reset();
	grant_ring_init(FAKE_XEN_GUEST);
	assert_true(sd_event_new(&rig.event) >= 0);
	rig.options = (struct daemon_options){
		.event = rig.event,
		.config = &rig.config,
		.worker_path = self,
	};
	*state = &rig;
	return 0;
}

static int set_up_with_eventfds(void **state)
{
	struct rig *rig;

	set_up(state);
	rig = *state;
	fake_xen.eventfds = true;
	rig->options.ioeventfd = true;
	return 0;
}

static int tear_down(void **state)
{
	struct rig *rig = *state;

	daemon_destroy(rig->gpu_daemon);
	assert_int_equal(fake_xen.handles, 0);
	assert_int_equal(fake_xen.servers, 0);
	assert_int_equal(fake_xen.kick_count, 0);
	assert_int_equal(fake_xen.irqfd, -1);
	config_finish(&rig->config);
	sd_event_unref(rig->event);
	fake_xenstore_reset();
	fake_xen_finish();
	fake_gntdev_finish();
	return 0;
}

static void run_daemon(struct rig *rig)
{
	assert_int_equal(daemon_create(&rig->options, &rig->gpu_daemon), 0);
	assert_true(has(STATUS, "ready"));
}

/* --------------------------------------------------------- the guest's driver */

static uint64_t rd_as(struct rig *rig, unsigned vcpu, uint32_t offset, uint32_t size)
{
	uint64_t value;

	assert_true(fake_xen_access(vcpu, false, BASE + offset, size, 0));
	WAIT_FOR(rig, fake_xen_answered(vcpu, &value));
	return value;
}

static uint32_t rd(struct rig *rig, uint32_t offset)
{
	return (uint32_t)rd_as(rig, 0, offset, 4);
}

static void wr(struct rig *rig, uint32_t offset, uint32_t value)
{
	uint64_t ignored;

	assert_true(fake_xen_access(0, true, BASE + offset, 4, value));
	WAIT_FOR(rig, fake_xen_answered(0, &ignored));
}

static void bring_up(struct rig *rig)
{
	wr(rig, VIRTIO_MMIO_STATUS, 0);
	assert_int_equal(rd(rig, VIRTIO_MMIO_STATUS), 0);
	grant_ring_clear();
	wr(rig, VIRTIO_MMIO_STATUS, 1);
	wr(rig, VIRTIO_MMIO_STATUS, 3);
	wr(rig, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
	wr(rig, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)(FEATURES >> 32));
	wr(rig, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
	wr(rig, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)FEATURES);
	wr(rig, VIRTIO_MMIO_STATUS, 0xb);
	assert_int_equal(rd(rig, VIRTIO_MMIO_STATUS), 0xb);
	for (unsigned i = 0; i < 2; i++) {
		uint64_t ring = grant_ring_bus(i, PAGE_RING, 0);
		uint64_t used = grant_ring_bus(i, PAGE_USED, 0);

		wr(rig, VIRTIO_MMIO_QUEUE_SEL, i);
		assert_int_equal(rd(rig, VIRTIO_MMIO_QUEUE_NUM_MAX), 256);
		wr(rig, VIRTIO_MMIO_QUEUE_NUM, GRANT_RING_SIZE);
		wr(rig, VIRTIO_MMIO_QUEUE_DESC_LOW, (uint32_t)ring);
		wr(rig, VIRTIO_MMIO_QUEUE_DESC_HIGH, (uint32_t)(ring >> 32));
		wr(rig, VIRTIO_MMIO_QUEUE_AVAIL_LOW, (uint32_t)ring + 0x400);
		wr(rig, VIRTIO_MMIO_QUEUE_AVAIL_HIGH, (uint32_t)(ring >> 32));
		wr(rig, VIRTIO_MMIO_QUEUE_USED_LOW, (uint32_t)used);
		wr(rig, VIRTIO_MMIO_QUEUE_USED_HIGH, (uint32_t)(used >> 32));
		wr(rig, VIRTIO_MMIO_QUEUE_READY, 1);
	}
	wr(rig, VIRTIO_MMIO_STATUS, 0xf);
	assert_int_equal(rd(rig, VIRTIO_MMIO_STATUS), 0xf);
}

/* One request, from the kick to the interrupt. */
static void assert_served(struct rig *rig, unsigned queue, uint8_t fill)
{
	uint16_t used = grant_ring_used(queue);
	unsigned raised = fake_xen.raised;

	grant_ring_add(queue, fill);
	wr(rig, VIRTIO_MMIO_QUEUE_NOTIFY, queue);
	WAIT_FOR(rig, grant_ring_used(queue) != used && fake_xen.raised > raised);
	assert_memory_equal(
	    grant_ring_page(queue, PAGE_ANSWER), grant_ring_page(queue, PAGE_REQUEST), 16);
	assert_int_equal(fake_xen.irq, 33);
	assert_true(rd(rig, VIRTIO_MMIO_INTERRUPT_STATUS) & VIRTIO_MMIO_INT_VRING);
	wr(rig, VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_INT_VRING);
	assert_false(fake_xen.level);
}

static void start_guest(struct rig *rig)
{
	attach();
	WAIT_FOR(rig, has(BACKEND "/state", "4"));
}

static void assert_gone(struct rig *rig)
{
	WAIT_FOR(rig, has(BACKEND "/frontend-id", NULL));
	assert_true(has(BACKEND "/state", NULL));
	assert_int_equal(fake_xen.servers, 0);
	assert_int_equal(fake_xen.handles, 0);
	assert_int_equal(fake_gntdev->pages_mapped, 0);
	assert_int_equal(daemon_served(rig->gpu_daemon), 0);
}

/* -------------------------------------------------------------- it all goes well */

static void a_guest_is_served_from_attach_to_detach(void **state)
{
	struct rig *rig = *state;

	run_daemon(rig);
	start_guest(rig);
	assert_int_equal(fake_xen.restricted, 3);
	assert_int_equal(fake_xen.ranges[0].start, BASE);
	assert_int_equal(fake_xen.ranges[0].end, BASE + 0x1ff);
	assert_int_equal(daemon_served(rig->gpu_daemon), 1);
	assert_int_equal(rd(rig, VIRTIO_MMIO_MAGIC_VALUE), 0x74726976);
	assert_int_equal(rd(rig, VIRTIO_MMIO_DEVICE_ID), 16);
	bring_up(rig);
	assert_served(rig, 0, 0x11);
	assert_served(rig, 1, 0x22);
	assert_served(rig, 0, 0x33);
	assert_int_equal(rd_as(rig, 1, VIRTIO_MMIO_CONFIG, 4), 0x04030201);
	detach();
	assert_gone(rig);
}

static void a_guest_comes_when_gpudomd_is_not_there_yet(void **state)
{
	struct rig *rig = *state;

	attach();
	run_daemon(rig);
	WAIT_FOR(rig, has(BACKEND "/state", "4"));
	bring_up(rig);
	assert_served(rig, 0, 0x11);
}

static void a_driver_resets_and_starts_again(void **state)
{
	struct rig *rig = *state;

	run_daemon(rig);
	start_guest(rig);
	for (uint8_t i = 1; i < 10; i++) {
		bring_up(rig);
		assert_served(rig, 0, i);
		wr(rig, VIRTIO_MMIO_STATUS, 0);
		/* Done means: nothing is mapped any more. */
		assert_int_equal(fake_gntdev->pages_mapped, 0);
	}
}

static void a_driver_takes_a_queue_away(void **state)
{
	struct rig *rig = *state;

	run_daemon(rig);
	start_guest(rig);
	bring_up(rig);
	wr(rig, VIRTIO_MMIO_QUEUE_SEL, 1);
	wr(rig, VIRTIO_MMIO_QUEUE_READY, 0);
	assert_int_equal(rd(rig, VIRTIO_MMIO_QUEUE_READY), 0);
	assert_served(rig, 0, 0x44);
}

static void the_kernel_takes_kicks_and_interrupts(void **state)
{
	struct rig *rig = *state;

	run_daemon(rig);
	start_guest(rig);
	assert_int_equal(fake_xen.kick_count, 2);
	assert_true(fake_xen.irqfd >= 0);
	bring_up(rig);
	fake_xen.irq = 33; /* which only set_irq_level() would tell */
	for (uint8_t i = 1; i <= 20; i++)
		assert_served(rig, i % 2, i);
	assert_int_equal(fake_xen.fast_kicks, 20);
	detach();
	assert_gone(rig);
}

static void a_request_seen_in_the_kernels_hands_is_not_lost(void **state)
{
	struct rig *rig = *state;

	fake_xen.flickers = true;
	run_daemon(rig);
	start_guest(rig);
	bring_up(rig);
	assert_served(rig, 0, 0x11);
}

static void accesses_wait_for_the_worker(void **state)
{
	struct rig *rig = *state;
	uint64_t first, second;

	run_daemon(rig);
	attach();
	/* As early as can be: the range is claimed before there is a worker. */
	WAIT_FOR(rig, fake_xen.ranges[0].end);
	assert_true(has(BACKEND "/state", "2"));
	assert_true(fake_xen_access(0, false, BASE + VIRTIO_MMIO_DEVICE_ID, 4, 0));
	assert_true(fake_xen_access(1, false, BASE, 4, 0));
	WAIT_FOR(rig, fake_xen_answered(0, &first));
	WAIT_FOR(rig, fake_xen_answered(1, &second));
	assert_int_equal(first, 16);
	assert_int_equal(second, 0x74726976);
	assert_true(has(BACKEND "/state", "4"));
}

static void requests_of_other_types(void **state)
{
	struct rig *rig = *state;
	uint64_t value = 0;

	run_daemon(rig);
	start_guest(rig);
	fake_xen_request(0, IOREQ_TYPE_INVALIDATE, 0);
	WAIT_FOR(rig, fake_xen_answered(0, &value));
	fake_xen_request(1, IOREQ_TYPE_PCI_CONFIG, 0x80);
	WAIT_FOR(rig, fake_xen_answered(1, &value));
	assert_true(value == UINT64_MAX);
	assert_int_equal(rd(rig, VIRTIO_MMIO_MAGIC_VALUE), 0x74726976);
}

static void a_second_guest_with_the_same_domain_id(void **state)
{
	struct rig *rig = *state;

	run_daemon(rig);
	for (uint8_t i = 1; i < 5; i++) {
		start_guest(rig);
		bring_up(rig);
		assert_served(rig, 0, i);
		detach();
		assert_gone(rig);
	}
}

static void it_ends_after_the_first_guest_if_told_so(void **state)
{
	struct rig *rig = *state;

	rig->options.once = true;
	run_daemon(rig);
	start_guest(rig);
	detach();
	WAIT_FOR(rig, sd_event_get_state(rig->event) == SD_EVENT_FINISHED);
	assert_true(has(BACKEND "/state", NULL));
}

/* --------------------------------------------------------- the guest goes away */

static void the_toolstack_does_not_wait(void **state)
{
	struct rig *rig = *state;

	run_daemon(rig);
	start_guest(rig);
	bring_up(rig);
	assert_served(rig, 0, 0x11);
	fake_xen.gone = true;
	fake_xenstore_remove("/local/domain/1/backend/virtio/2");
	WAIT_FOR(rig, fake_xen.servers == 0);
	assert_gone(rig);
	assert_true(has(BACKEND "/state", NULL)); /* and was not written anew */
}

static void the_domain_dies_without_good_byes(void **state)
{
	struct rig *rig = *state;

	run_daemon(rig);
	start_guest(rig);
	bring_up(rig);
	fake_xen.gone = true;
	fake_xenstore_fire("@releaseDomain");
	WAIT_FOR(rig, fake_xen.servers == 0);
	assert_gone(rig);
}

static void the_guest_goes_while_its_worker_starts(void **state)
{
	struct rig *rig = *state;

	run_daemon(rig);
	attach();
	WAIT_FOR(rig, fake_xen.ranges[0].end);
	detach();
	assert_gone(rig);
	start_guest(rig);
	bring_up(rig);
	assert_served(rig, 0, 0x11);
}

static void the_guest_goes_in_mid_reset(void **state)
{
	struct rig *rig = *state;
	uint64_t value;

	run_daemon(rig);
	start_guest(rig);
	bring_up(rig);
	assert_true(fake_xen_access(0, true, BASE + VIRTIO_MMIO_STATUS, 4, 0));
	detach();
	/* Whichever comes first. */
	WAIT_FOR(rig, fake_xen_answered(0, &value) || !fake_xen.servers);
	assert_gone(rig);
}

/* ----------------------------------------------------------- the worker goes away */

static void kill_worker(struct rig *rig)
{
	/* It dies over this, and the write ends all the same. */
	wr(rig, VIRTIO_MMIO_CONFIG, DIE);
	assert_int_equal(fake_gntdev->copy_error, 0);
	WAIT_FOR(rig, rd(rig, VIRTIO_MMIO_STATUS) & NEEDS_RESET);
}

static void a_guest_is_told_that_its_worker_is_gone(void **state)
{
	struct rig *rig = *state;

	run_daemon(rig);
	start_guest(rig);
	bring_up(rig);
	assert_served(rig, 0, 0x11);
	fake_xen.raised = 0;
	kill_worker(rig);
	assert_true(fake_xen.raised > 0);
	assert_true(rd(rig, VIRTIO_MMIO_INTERRUPT_STATUS) & VIRTIO_MMIO_INT_CONFIG);
	wr(rig, VIRTIO_MMIO_QUEUE_NOTIFY, 0); /* to nobody */
	assert_int_equal(daemon_served(rig->gpu_daemon), 0);
	fake_gntdev->pages_mapped = 0; /* the kernel's doing, which the fake does not know */
	detach();
	assert_gone(rig);
}

static void a_reset_brings_a_new_worker(void **state)
{
	struct rig *rig = *state;

	run_daemon(rig);
	start_guest(rig);
	for (uint8_t i = 1; i < 4; i++) {
		bring_up(rig);
		assert_served(rig, 0, i);
		assert_served(rig, 1, i);
		kill_worker(rig);
		fake_gntdev->pages_mapped = 0;
	}
	bring_up(rig);
	assert_served(rig, 0, 0x55);
	assert_int_equal(daemon_served(rig->gpu_daemon), 1);
}

static void a_worker_that_cannot_be_started_anew(void **state)
{
	struct rig *rig = *state;

	run_daemon(rig);
	start_guest(rig);
	bring_up(rig);
	kill_worker(rig);
	fake_gntdev->fail_open = true;
	wr(rig, VIRTIO_MMIO_STATUS, 0);
	/* The reset is over, the device is not well. */
	assert_int_equal(rd(rig, VIRTIO_MMIO_STATUS), NEEDS_RESET);
	fake_gntdev->fail_open = false;
	fake_gntdev->pages_mapped = 0;
	bring_up(rig);
	assert_served(rig, 0, 0x66);
}

static void a_worker_that_does_not_exist(void **state)
{
	struct rig *rig = *state;

	rig->options.worker_path = "/nonexistent/gpudom-worker";
	run_daemon(rig);
	attach();
	WAIT_FOR(rig, fake_xen.ranges[0].end);
	/* For the guest, there is no device; it boots without. */
	assert_int_equal(rd(rig, VIRTIO_MMIO_MAGIC_VALUE), 0x74726976);
	assert_int_equal(rd(rig, VIRTIO_MMIO_DEVICE_ID), 0);
	assert_false(has(BACKEND "/state", "4"));
	detach();
	assert_gone(rig);
}

static void a_worker_that_ends_at_once(void **state)
{
	struct rig *rig = *state;

	rig->options.worker_path = "/bin/false";
	run_daemon(rig);
	attach();
	WAIT_FOR(rig, fake_xen.ranges[0].end);
	assert_int_equal(rd(rig, VIRTIO_MMIO_DEVICE_ID), 0);
	assert_false(has(BACKEND "/state", "4"));
	detach();
	assert_gone(rig);
}

/* ---------------------------------------------------------------- the toolstack's keys */

static void assert_not_served(struct rig *rig, const char *key, const char *value)
{
	char path[256];

	attach();
	snprintf(path, sizeof(path), BACKEND "/%s", key);
	if (value)
		fake_xenstore_write(path, value);
	else
		fake_xenstore_remove(path);
	for (unsigned i = 0; i < 20; i++)
		turn(rig);
	assert_int_equal(fake_xen.servers, 0);
	assert_int_equal(fake_xen.handles, 0);
	assert_true(has(BACKEND "/state", "1"));
	/* The toolstack's wish to remove it is granted. */
	detach();
	WAIT_FOR(rig, has(BACKEND "/frontend-id", NULL));
}

static void keys_that_make_no_sense(void **state)
{
	struct rig *rig = *state;
	char huge[200];

	memset(huge, '9', sizeof(huge) - 1);
	huge[sizeof(huge) - 1] = '\0';
	run_daemon(rig);
	assert_not_served(rig, "base", NULL);
	assert_not_served(rig, "base", "");
	assert_not_served(rig, "base", "here");
	assert_not_served(rig, "base", "-1");
	assert_not_served(rig, "base", "0x2000001");
	assert_not_served(rig, "base", "0xffffffffffffffff");
	assert_not_served(rig, "base", huge);
	assert_not_served(rig, "irq", NULL);
	assert_not_served(rig, "irq", "33x");
	assert_not_served(rig, "irq", "31");
	assert_not_served(rig, "irq", "1020");
	assert_not_served(rig, "irq", huge);
	assert_not_served(rig, "transport", "pci");
	assert_not_served(rig, "transport", NULL);
	assert_not_served(rig, "grant_usage", "0");
	assert_not_served(rig, "grant_usage", "2");
	assert_not_served(rig, "grant_usage", NULL);
	start_guest(rig);
}

static void devices_of_others_are_left_alone(void **state)
{
	static const char *const types[] = { "virtio,device12", "virtio,device2", "virtio,device",
		"virtio", "virtio,device10x", "virtio,device00010", "VIRTIO,DEVICE10", "" };
	struct rig *rig = *state;

	run_daemon(rig);
	for (unsigned i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		attach();
		fake_xenstore_write(BACKEND "/type", types[i]);
		for (unsigned k = 0; k < 5; k++)
			turn(rig);
		detach();
		for (unsigned k = 0; k < 5; k++)
			turn(rig);
		assert_true(has(BACKEND "/state", "5")); /* its backend may still be at work */
		fake_xenstore_remove("/local/domain/1/backend/virtio/2");
		for (unsigned k = 0; k < 5; k++)
			turn(rig);
	}
	start_guest(rig);
}

static void directories_with_strange_names(void **state)
{
	static const char *const names[] = { "x", "-1", "99999", "32752", "2x", "4294967298" };
	struct rig *rig = *state;

	run_daemon(rig);
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char path[128];

		snprintf(path, sizeof(path), "/local/domain/1/backend/virtio/%s/0/type", names[i]);
		fake_xenstore_write(path, "virtio,device10");
		snprintf(path, sizeof(path), "/local/domain/1/backend/virtio/2/%s/type", names[i]);
		if (strcmp(names[i], "32752") != 0) /* a device id that could be */
			fake_xenstore_write(path, "virtio,device10");
	}
	for (unsigned k = 0; k < 5; k++)
		turn(rig);
	assert_int_equal(fake_xen.handles, 0);
	start_guest(rig);
}

static void a_storm_of_events(void **state)
{
	struct rig *rig = *state;

	run_daemon(rig);
	start_guest(rig);
	for (unsigned i = 0; i < 50; i++) {
		for (unsigned k = 0; k < 500; k++)
			fake_xenstore_fire(BACKEND "/state");
		turn(rig);
		turn(rig);
	}
	bring_up(rig);
	assert_served(rig, 0, 0x11);
}

static void a_device_that_an_earlier_gpudomd_served(void **state)
{
	struct rig *rig = *state;

	attach();
	fake_xenstore_write(BACKEND "/state", "4");
	run_daemon(rig);
	for (unsigned k = 0; k < 5; k++)
		turn(rig);
	assert_int_equal(fake_xen.servers, 0);
	detach();
	assert_gone(rig);
}

static void settings_by_name_wait_for_the_name(void **state)
{
	struct rig *rig = *state;
	unsigned watches;

	assert_int_equal(config_parse(&rig->config, "test", "[guest clock]\noutputs = 1\n"), 0);
	fake_xenstore_names = false;
	run_daemon(rig);
	watches = fake_xenstore_watches;
	attach();
	for (unsigned k = 0; k < 10; k++)
		turn(rig);
	assert_int_equal(fake_xen.handles, 0);
	assert_true(has(BACKEND "/state", "1"));
	/* dom0: xenstore-chmod */
	fake_xenstore_names = true;
	fake_xenstore_fire("/local/domain/2/name");
	WAIT_FOR(rig, has(BACKEND "/state", "4"));
	assert_int_equal(fake_xenstore_watches, watches);
	detach();
	assert_gone(rig);
	/* A guest may also go without having been named. */
	fake_xenstore_names = false;
	attach();
	for (unsigned k = 0; k < 10; k++)
		turn(rig);
	detach();
	WAIT_FOR(rig, has(BACKEND "/frontend-id", NULL));
	assert_int_equal(fake_xenstore_watches, watches);
}

static void without_settings_by_name_none_is_needed(void **state)
{
	struct rig *rig = *state;

	fake_xenstore_names = false;
	run_daemon(rig);
	start_guest(rig);
}

/* ------------------------------------------------------------------- Xen refuses */

static void xen_refuses(void **state)
{
	struct rig *rig = *state;
	int *const errors[] = { &fake_xen.nr_vcpus_error, &fake_xen.create_error,
		&fake_xen.resource_error, &fake_xen.bind_error, &fake_xen.claim_error };

	run_daemon(rig);
	for (unsigned i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		*errors[i] = i % 2 ? EPERM : EACCES;
		attach();
		for (unsigned k = 0; k < 20; k++)
			turn(rig);
		/* Nothing is left half made. */
		assert_int_equal(fake_xen.servers, 0);
		assert_int_equal(fake_xen.handles, 0);
		assert_false(has(BACKEND "/state", "4"));
		detach();
		WAIT_FOR(rig, has(BACKEND "/frontend-id", NULL));
		*errors[i] = 0;
	}
	start_guest(rig);
	bring_up(rig);
	assert_served(rig, 0, 0x11);
}

static void xenstore_is_out_of_reach(void **state)
{
	struct rig *rig = *state;

	fake_xenstore_open_error = ENOENT;
	assert_int_equal(daemon_create(&rig->options, &rig->gpu_daemon), -ENOENT);
	assert_null(rig->gpu_daemon);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
#define EVENTFD_TEST(f) cmocka_unit_test_setup_teardown(f, set_up_with_eventfds, tear_down)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(a_guest_is_served_from_attach_to_detach),
		TEST(a_guest_comes_when_gpudomd_is_not_there_yet),
		TEST(a_driver_resets_and_starts_again),
		TEST(a_driver_takes_a_queue_away),
		EVENTFD_TEST(the_kernel_takes_kicks_and_interrupts),
		TEST(a_request_seen_in_the_kernels_hands_is_not_lost),
		TEST(accesses_wait_for_the_worker),
		TEST(requests_of_other_types),
		TEST(a_second_guest_with_the_same_domain_id),
		TEST(it_ends_after_the_first_guest_if_told_so),
		TEST(the_toolstack_does_not_wait),
		TEST(the_domain_dies_without_good_byes),
		TEST(the_guest_goes_while_its_worker_starts),
		TEST(the_guest_goes_in_mid_reset),
		TEST(a_guest_is_told_that_its_worker_is_gone),
		TEST(a_reset_brings_a_new_worker),
		EVENTFD_TEST(a_reset_brings_a_new_worker),
		TEST(a_worker_that_cannot_be_started_anew),
		TEST(a_worker_that_does_not_exist),
		TEST(a_worker_that_ends_at_once),
		TEST(keys_that_make_no_sense),
		TEST(devices_of_others_are_left_alone),
		TEST(directories_with_strange_names),
		TEST(a_storm_of_events),
		TEST(a_device_that_an_earlier_gpudomd_served),
		TEST(settings_by_name_wait_for_the_name),
		TEST(without_settings_by_name_none_is_needed),
		TEST(xen_refuses),
		TEST(xenstore_is_out_of_reach),
	};
	sigset_t child;

	if (argc > 1 && !strncmp(argv[1], "--fd=", 5))
		return worker_main(atoi(argv[1] + 5));
	self = realpath("/proc/self/exe", NULL);
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, NULL);
	argc = cmocka_run_group_tests_name("gpudomd on a fake Xen", tests, NULL, NULL);
	free(self);
	return argc;
}
