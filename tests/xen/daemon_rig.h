/* SPDX-License-Identifier: MIT */
/*
 * All of gpudomd but its main, on a fake Xen: the toolstack's keys, a guest's register accesses, a
 * worker in a process of its own (the test program again, with --fd), grants, interrupts.
 */
#ifndef GPUDOM_TESTS_XEN_DAEMON_RIG_H
#define GPUDOM_TESTS_XEN_DAEMON_RIG_H

#include <dirent.h>
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "backend/log.h"
#include "backend/vhost_user.h"
#include "tests/unit/fake_device.h"
#include "tests/xen/fake_xen.h"
#include "tests/xen/fake_xenstore.h"
#include "tests/xen/grant_ring.h"
#include "tools/worker_control.h"
#include "xen/daemon.h"
#include "xen/grant_broker.h"
#include "xen/grant_client.h"
#include "xen/guest.h"
#include "xen/guest_device.h"
#include "xen/memory_xen.h"

/* After what they need. */
#include <xen/hvm/ioreq.h>

#include <cmocka.h>

#define BASE 0x2000000u
#define IRQ 33
#define BACKEND "/local/domain/1/backend/virtio/2/0"
#define STATUS "/local/domain/1/drivers/gpudom/status"
#define FEATURES                                                                           \
	((UINT64_C(1) << VIRTIO_F_VERSION_1) | (UINT64_C(1) << VIRTIO_F_ACCESS_PLATFORM) | \
	    FAKE_FEATURES)
#define NEEDS_RESET VIRTIO_CONFIG_S_NEEDS_RESET
#define DIE 0xdd /* a byte of the configuration space that is the worker's end */

static char *self; /* this program */
static const struct guest_memory_impl *worker_memory_impl;
static uint64_t rig_base = BASE; /* of the device that the driver's functions are about */
static unsigned rig_queue_max = 1024, rig_irq = IRQ;

/* ---------------------------------------------------------------- the worker */

/* What ails the worker, so many times (fake_gntdev->mood, mood_times). */
enum worker_mood {
	WELL,
	DIE_IN_HANDSHAKE,
	STALL_IN_HANDSHAKE, /* until it is well */
	DIE_IN_RESET,
	DIE_IN_STOP,         /* of a queue */
	DIE_AT_KICK,         /* having read it, and nothing else */
	DIE_IN_REQUEST,      /* having taken it */
	DIE_BEFORE_CALL,     /* having answered it */
	HOLD,                /* takes requests and answers none */
	HANG_UP,             /* ... and lives on */
	FLOOD,               /* fills all its sockets with nonsense, and lives on */
	SHOW_ANOTHER_CONFIG, /* than the one of before */
	REFUSE_RECORD,       /* of a predecessor */
};

static inline bool worker_is(enum worker_mood mood)
{
	return fake_gntdev && fake_gntdev->mood == (int)mood && fake_gntdev->mood_times;
}

/* ... and acts on it, so that it is once less. */
static inline bool worker_feels(enum worker_mood mood)
{
	if (!worker_is(mood))
		return false;
	fake_gntdev->mood_times--;
	return true;
}

static inline void worker_write_config(
    struct virtio_device *device, uint32_t offset, const void *from, uint32_t size)
{
	if (*(const uint8_t *)from == DIE)
		raise(SIGKILL);
	fake_write_config(device, offset, from, size);
}

/* The last question of the handshake; there is memory by now. */
static inline void worker_read_config(
    struct virtio_device *device, uint32_t offset, void *to, uint32_t size)
{
	if (fake_gntdev->worker_pid != getpid()) {
		fake_gntdev->worker_pid = getpid();
		__atomic_fetch_add(&fake_gntdev->workers, 1, __ATOMIC_RELEASE);
	}
	if (worker_feels(DIE_IN_HANDSHAKE))
		raise(SIGKILL);
	while (__atomic_load_n(&fake_gntdev->mood, __ATOMIC_ACQUIRE) == STALL_IN_HANDSHAKE)
		usleep(1000);
	fake_read_config(device, offset, to, size);
	if (worker_feels(SHOW_ANOTHER_CONFIG) && size)
		*(uint8_t *)to ^= 0x80;
}

/* A record of one byte: that there was somebody. */
static inline int worker_set_ledger(struct virtio_device *device, void *memory)
{
	if (!memory)
		return 0;
	if (*(uint8_t *)memory && worker_feels(REFUSE_RECORD))
		return -ENOTRECOVERABLE;
	*(uint8_t *)memory = 1;
	return 0;
}

static inline void worker_recover(struct virtio_device *device)
{
}

static inline void worker_reset(struct virtio_device *device)
{
	if (worker_feels(DIE_IN_RESET))
		raise(SIGKILL);
	fake_reset(device);
}

static inline void worker_drain_queue(struct virtio_device *device, unsigned index)
{
	if (worker_feels(DIE_IN_STOP))
		raise(SIGKILL);
	fake_drain_queue(device, index);
}

static inline void worker_flood(void)
{
	uint8_t nonsense[512];

	memset(nonsense, 0xff, sizeof(nonsense));
	for (int fd = 3; fd < 32; fd++)
		for (int i = 0; i < 100000; i++)
			if (send(fd, nonsense, sizeof(nonsense), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
				break;
	for (;;)
		pause();
}

static inline bool worker_process_queue(struct virtio_device *device, unsigned index)
{
	struct fake_device *fake = (struct fake_device *)device;
	unsigned before = fake->requests;

	if (worker_feels(DIE_AT_KICK))
		raise(SIGKILL);
	if (worker_feels(HANG_UP)) {
		for (int fd = 3; fd < 10; fd++)
			shutdown(fd, SHUT_RDWR);
		for (;;)
			pause();
	}
	if (worker_feels(FLOOD))
		worker_flood();
	if (worker_is(DIE_BEFORE_CALL)) {
		close(device->queues[index].call_fd);
		device->queues[index].call_fd = -1;
	}
	fake->hold = worker_is(HOLD) || worker_is(DIE_IN_REQUEST);
	fake_process_queue(device, index);
	if (fake->hold)
		__atomic_fetch_add(&fake_gntdev->held, fake->requests - before, __ATOMIC_RELEASE);
	if (fake->requests != before &&
	    (worker_feels(DIE_IN_REQUEST) || worker_feels(DIE_BEFORE_CALL)))
		raise(SIGKILL);
	return false;
}

static inline void worker_closed(void *data, int error)
{
	sd_event_exit(data, 0);
}

/* ... which find the fake device by it, where they have no other reason to look at it. */
static inline int worker_add_region(
    struct guest_memory *memory, const struct memory_region *region, int fd)
{
	gntdev_check(fd);
	return worker_memory_impl->add_region(memory, region, fd);
}

static inline int worker_create_memory(
    void *client, const struct memory_region *region, struct guest_memory **memory)
{
	static struct guest_memory_impl impl;
	int error = memory_xen_create(client, region, memory);

	if (error || !client)
		return error;
	worker_memory_impl = (*memory)->impl;
	impl = *worker_memory_impl;
	impl.add_region = worker_add_region;
	(*memory)->impl = &impl;
	return 0;
}

/* As gpudom-worker's monitor: ends as the worker does, which is its child. */
static inline _Noreturn void monitor_main(struct grant_broker *broker, pid_t pid)
{
	struct pollfd fds[] = {
		{ .fd = pidfd_open(pid, 0), .events = POLLIN },
		{ .fd = grant_broker_fd(broker), .events = POLLIN },
	};
	int status;

	close(3); /* the worker's alone */
	do {
		poll(fds, 2, -1);
		if (fds[1].revents && !grant_broker_dispatch(broker))
			fds[1].fd = -1;
	} while (!fds[0].revents);
	waitpid(pid, &status, 0);
	grant_broker_destroy(broker);
	if (WIFSIGNALED(status))
		kill(getpid(), WTERMSIG(status));
	_exit(WEXITSTATUS(status));
}

/* Divides this process in two, where the test says so. In the worker, the client; or NULL. */
static inline struct grant_client *worker_divide(void)
{
	const struct grant_broker_options options = { .domid = FAKE_XEN_GUEST };
	struct grant_broker *broker;
	struct grant_client *client;
	int socket;
	pid_t pid;

	if (!getenv("GPUDOM_TEST_BROKER"))
		return NULL;
	if (grant_broker_create(&options, &broker, &socket) < 0 || (pid = fork()) < 0)
		abort();
	if (pid) {
		close(socket);
		monitor_main(broker, pid);
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	grant_broker_destroy(broker);
	if (grant_client_create(socket, true, &client) < 0)
		abort();
	return client;
}

static inline void worker_set_limits(void *data, const struct gpu_limits *limits)
{
	if (!fake_gntdev)
		return;
	fake_gntdev->limit_resources = limits->resources;
	__atomic_fetch_add(&fake_gntdev->limits_told, 1, __ATOMIC_RELEASE);
}

/* With --capsets=none. */
static inline uint64_t worker_get_fewer_features(struct virtio_device *device)
{
	return FAKE_FEATURES & ~UINT64_C(4);
}

static sd_event_source *worker_seat; /* its socket */

/* Sends back what comes from there. */
static inline int worker_seat_readable(sd_event_source *source, int fd, uint32_t events, void *data)
{
	char text[64];
	ssize_t n = recv(fd, text, sizeof(text), MSG_DONTWAIT);

	if (n > 0 && send(fd, text, (size_t)n, MSG_NOSIGNAL) >= 0)
		return 0;
	return sd_event_source_set_enabled(source, SD_EVENT_OFF);
}

static inline void worker_set_seat(void *data, int fd)
{
	sd_event_source_disable_unref(worker_seat);
	if (sd_event_add_io(data, &worker_seat, fd, EPOLLIN, worker_seat_readable, NULL) < 0)
		abort();
	sd_event_source_set_io_fd_own(worker_seat, true);
}

static inline int worker_main(int fd, int control_fd, const char *what, bool fewer_features)
{
	struct trace trace = { 0 };
	struct worker_control control;
	struct worker_control_options control_options = {
		.trace = &trace, .set_limits = worker_set_limits, .set_seat = worker_set_seat
	};
	struct fake_device fake;
	struct virtio_device_impl impl;
	struct vhost_user *user;
	struct vhost_user_options options = {
		.device = &fake.device,
		.create_xen_memory = worker_create_memory,
		.closed = worker_closed,
	};
	int r;

	if (getenv("GPUDOM_TEST_WORKERS_STOP"))
		raise(SIGSTOP);
	options.memory_data = worker_divide();
	fake_device_init(&fake);
	if (what)
		snprintf((char *)fake.config, sizeof(fake.config), "%s", what);
	impl = *fake.device.impl;
	impl.ledger_size = 64;
	impl.set_ledger = worker_set_ledger;
	impl.recover = worker_recover;
	if (fewer_features)
		impl.get_features = worker_get_fewer_features;
	impl.read_config = worker_read_config;
	impl.write_config = worker_write_config;
	impl.reset = worker_reset;
	impl.drain_queue = worker_drain_queue;
	impl.process_queue = worker_process_queue;
	fake.device.impl = &impl;
	fake.device.trace = &trace;
	sd_event_new(&options.event);
	control_options.event = control_options.data = options.event;
	if (worker_control_init(&control, &control_options, control_fd) < 0)
		return EXIT_FAILURE;
	options.data = options.event;
	options.gpu_socket = worker_set_seat;
	if (vhost_user_create(&options, fd, &user) < 0)
		return EXIT_FAILURE;
	r = sd_event_loop(options.event);
	vhost_user_destroy(user);
	worker_control_finish(&control);
	sd_event_source_disable_unref(worker_seat);
	trace_stop(&trace);
	sd_event_unref(options.event);
	grant_client_destroy(options.memory_data);
	return r;
}

/* ------------------------------------------------------------------- the rig */

struct rig {
	sd_event *event;
	struct config config;
	struct keep *keep;
	struct daemon_options options;
	struct gpu_daemon *gpu_daemon;
	void (*before_turn)(struct rig *rig); /* NULL: nothing */
};

/* Once around: everything that is ready, and the kernel's part. */
static inline void turn(struct rig *rig)
{
	if (rig->before_turn)
		rig->before_turn(rig);
	fake_xen_step();
	sd_event_run(rig->event, 10000);
}

#define DEFECT_SECONDS 60

static inline time_t rig_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

/* Waits for a condition; only a defect ever waits to the end. By the clock: where something always
 * happens, many turns are over soon. */
#define WAIT_FOR(rig, condition)                                                    \
	do {                                                                        \
		for (time_t end_ = rig_seconds() + DEFECT_SECONDS; !(condition);) { \
			if (rig_seconds() > end_)                                   \
				fail_msg("%s does not come true", #condition);      \
			turn(rig);                                                  \
		}                                                                   \
	} while (0)

static inline bool has(const char *path, const char *value)
{
	const char *is = fake_xenstore_read(path);

	return value ? is && !strcmp(is, value) : !is;
}

static inline void attach(void)
{
	fake_xenstore_write("/local/domain/2/name", "clock");
	fake_xenstore_write(BACKEND "/frontend", "/local/domain/2/device/virtio/0");
	fake_xenstore_write(BACKEND "/frontend-id", "2");
	fake_xenstore_write(BACKEND "/online", "1");
	fake_xenstore_write(BACKEND "/irq", "33");
	fake_xenstore_write(BACKEND "/base", "0x2000000");
	fake_xenstore_write(BACKEND "/type", "virtio,device10");
	fake_xenstore_write(BACKEND "/transport", "mmio");
	fake_xenstore_write(BACKEND "/grant_usage", grant_ring_foreign ? "0" : "1");
	fake_xenstore_write(BACKEND "/state", "1");
}

static inline void detach(void)
{
	fake_xenstore_write(BACKEND "/online", "0");
	fake_xenstore_write(BACKEND "/state", "5");
}

static inline int set_up(void **state)
{
	static struct rig rig;

	rig = (struct rig){ 0 };
	log_init(getenv("GPUDOM_TEST_LOG") ? LOG_LEVEL_INFO : LOG_LEVEL_ERROR, NULL);
	fake_xen_reset(2);
	fake_xenstore_reset();
	grant_ring_init(FAKE_XEN_GUEST);
	assert_true(sd_event_new(&rig.event) >= 0);
	assert_int_equal(keep_create(0, NULL, &rig.keep), 0);
	rig.options = (struct daemon_options){
		.event = rig.event,
		.config = &rig.config,
		.keep = rig.keep,
		.worker_path = self,
	};
	*state = &rig;
	return 0;
}

static inline int set_up_with_eventfds(void **state)
{
	struct rig *rig;

	set_up(state);
	rig = *state;
	fake_xen.eventfds = true;
	rig->options.ioeventfd = true;
	return 0;
}

static inline int tear_down(void **state)
{
	struct rig *rig = *state;

	daemon_destroy(rig->gpu_daemon);
	keep_destroy(rig->keep);
	assert_int_equal(fake_xen_handles(), 0);
	assert_int_equal(fake_xen_servers(), 0);
	assert_int_equal(fake_xen_kicks(), 0);
	assert_int_equal(fake_xen_irqfds(), 0);
	assert_int_equal(fake_xen_ranges(), 0);
	assert_int_equal(fake_xen_bound(), 0);
	config_finish(&rig->config);
	sd_event_unref(rig->event);
	fake_xenstore_finish();
	fake_xen_finish();
	fake_gntdev_finish();
	return 0;
}

static inline void run_daemon(struct rig *rig)
{
	assert_int_equal(daemon_create(&rig->options, &rig->gpu_daemon), 0);
	assert_true(has(STATUS, "ready"));
}

/* --------------------------------------------------------- the guest's driver */

static inline uint64_t rd_as(struct rig *rig, unsigned vcpu, uint32_t offset, uint32_t size)
{
	uint64_t value;

	assert_true(fake_xen_access(FAKE_XEN_GUEST, vcpu, false, rig_base + offset, size, 0));
	WAIT_FOR(rig, fake_xen_answered(FAKE_XEN_GUEST, vcpu, &value));
	return value;
}

static inline uint32_t rd(struct rig *rig, uint32_t offset)
{
	return (uint32_t)rd_as(rig, 0, offset, 4);
}

static inline void wr(struct rig *rig, uint32_t offset, uint32_t value)
{
	uint64_t ignored;

	assert_true(fake_xen_access(FAKE_XEN_GUEST, 0, true, rig_base + offset, 4, value));
	WAIT_FOR(rig, fake_xen_answered(FAKE_XEN_GUEST, 0, &ignored));
}

static inline void bring_up(struct rig *rig)
{
	/* A driver that does not grant may well know nothing of ACCESS_PLATFORM. */
	uint64_t features = FEATURES & ~((uint64_t)grant_ring_foreign << VIRTIO_F_ACCESS_PLATFORM);

	wr(rig, VIRTIO_MMIO_STATUS, 0);
	assert_int_equal(rd(rig, VIRTIO_MMIO_STATUS), 0);
	grant_ring_clear();
	wr(rig, VIRTIO_MMIO_STATUS, 1);
	wr(rig, VIRTIO_MMIO_STATUS, 3);
	wr(rig, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
	wr(rig, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)(features >> 32));
	wr(rig, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
	wr(rig, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)features);
	wr(rig, VIRTIO_MMIO_STATUS, 0xb);
	assert_int_equal(rd(rig, VIRTIO_MMIO_STATUS), 0xb);
	for (unsigned i = 0; i < 2; i++) {
		uint64_t ring = grant_ring_bus(i, PAGE_RING, 0);
		uint64_t used = grant_ring_bus(i, PAGE_USED, 0);

		wr(rig, VIRTIO_MMIO_QUEUE_SEL, i);
		assert_int_equal(rd(rig, VIRTIO_MMIO_QUEUE_NUM_MAX), rig_queue_max);
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
static inline void assert_served(struct rig *rig, unsigned queue, uint8_t fill)
{
	uint16_t used = grant_ring_used(queue);
	struct fake_line *line = fake_line(FAKE_XEN_GUEST, rig_irq);
	unsigned raised = line->raised;

	grant_ring_add(queue, fill);
	wr(rig, VIRTIO_MMIO_QUEUE_NOTIFY, queue);
	WAIT_FOR(rig, grant_ring_used(queue) != used && line->raised > raised);
	assert_memory_equal(
	    grant_ring_page(queue, PAGE_ANSWER), grant_ring_page(queue, PAGE_REQUEST), 16);
	assert_true(rd(rig, VIRTIO_MMIO_INTERRUPT_STATUS) & VIRTIO_MMIO_INT_VRING);
	wr(rig, VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_INT_VRING);
	assert_false(line->level);
}

static inline void start_guest(struct rig *rig)
{
	attach();
	WAIT_FOR(rig, has(BACKEND "/state", "4"));
}

static inline struct guest_device *only_device(struct rig *rig)
{
	unsigned guest = 0, device = 0;

	return guest_next_gpu(daemon_next_guest(rig->gpu_daemon, &guest), &device);
}

/* A worker was killed: the kernel unmaps what it had, which the fakes do not know. */
static inline void forget_mapped(void)
{
	fake_gntdev->maps = fake_gntdev->foreign.maps = 0;
	fake_gntdev->pages_mapped = fake_gntdev->foreign.pages_mapped = 0;
}

static inline void assert_gone(struct rig *rig)
{
	WAIT_FOR(rig, has(BACKEND "/frontend-id", NULL) && !fake_xen_handles());
	assert_true(has(BACKEND "/state", NULL));
	assert_int_equal(fake_xen_servers(), 0);
	assert_int_equal(fake_xen_bound(), 0);
	assert_int_equal(fake_gntdev->pages_mapped, 0);
	assert_int_equal(fake_gntdev->foreign.pages_mapped, 0);
	assert_int_equal(daemon_served(rig->gpu_daemon), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
#define EVENTFD_TEST(f) cmocka_unit_test_setup_teardown(f, set_up_with_eventfds, tear_down)

/* The beginning of main. True: this was the worker, whose status is *result. */
static inline bool daemon_rig_main(int argc, char **argv, int *result)
{
	sigset_t child;

	if (argc > 1 && strncmp(argv[1], "--fd=", 5) == 0) {
		int control_fd = -1;
		const char *what = NULL;
		bool fewer_features = false;

		for (int i = 2; i < argc; i++)
			fewer_features |= !strcmp(argv[i], "--capsets=none");
		for (int i = 2; i < argc; i++)
			if (strncmp(argv[i], "--device=", 9) == 0)
				what = argv[i] + 9;
			else if (strncmp(argv[i], "--control-fd=", 13) == 0)
				control_fd = (int)strtol(argv[i] + 13, NULL, 10);
		*result = worker_main(
		    (int)strtol(argv[1] + 5, NULL, 10), control_fd, what, fewer_features);
		return true;
	}
	self = realpath("/proc/self/exe", NULL);
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, NULL);
	return false;
}

static inline unsigned open_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned count = 0;

	assert_non_null(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

#endif
