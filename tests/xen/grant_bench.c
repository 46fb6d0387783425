/* SPDX-License-Identifier: MIT */
/*
 * What it costs that a worker reaches its guest's grants through another process: the same requests
 * to the same device, by turns through a worker that asks the grant device itself (direct), one
 * whose monitor copies when it is asked to (ask), and one whose monitor serves the queue (relay).
 * The grant device is the fake one, which maps and unmaps each page that it copies: about what a
 * hypercall takes. make bench-grants
 */
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_gpu.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "backend/gpu.h"
#include "backend/log.h"
#include "render/headless.h"
#include "render/soft.h"
#include "tests/xen/broker_rig.h"
#include "tests/xen/fake_gntdev.h"
#include "xen/memory_grant.h"

#define DOMID 2
#define PAGE GNTDEV_PAGE_SIZE
#define QUEUE 64
#define STREAM_PAGES 4 /* of a 3D frame's command stream */
#define TRIPS 300      /* of a kind in one round */
#define ROUNDS 15

enum shape { DIRECT, ASK, RELAY, SHAPES };
static const char *const names[SHAPES] = { "direct", "ask", "relay" };

/* Pages of one guest's driver; each shape has its own. */
enum { PAGE_DESC, PAGE_AVAIL, PAGE_USED, PAGE_ANSWERS, PAGE_REQUESTS, PAGES = PAGE_REQUESTS + 8 };

#define CHECK(condition)                                                          \
	do {                                                                      \
		if (!(condition)) {                                               \
			fprintf(stderr, "%s: %s\n", #condition, strerror(errno)); \
			exit(EXIT_FAILURE);                                       \
		}                                                                 \
	} while (0)

struct worker {
	enum shape shape;
	pid_t pid, monitor_pid;
	int kick_fd, call_fd;
	uint32_t first; /* page */
	/* By the worker, in memory that both have */
	struct shared {
		uint64_t questions, copies;
	} * shared;
};

static void *page(const struct worker *worker, uint32_t index)
{
	return fake_gntdev_memory + (size_t)(worker->first + index) * PAGE;
}

static uint64_t address(const struct worker *worker, uint32_t index)
{
	return MEMORY_GRANT_ADDRESS | (uint64_t)(1000 + worker->first + index) << 12;
}

static void wait_for(int fd)
{
	struct pollfd pollfd = { .fd = fd, .events = POLLIN };
	uint64_t count;

	while (read(fd, &count, sizeof(count)) < 0)
		CHECK(errno == EAGAIN && poll(&pollfd, 1, 60000) == 1);
}

/* ---------------------------------------------------------------- the worker's process */

static struct virtio_device *make_device(sd_event *event)
{
	struct headless_options headless = {
		.event = event, .screen_fd = -1, .modes[0] = { .width = 640, .height = 480 }
	};
	struct gpu_options options = { .scanouts = 1, .limits = GPU_LIMITS_DEFAULT };
	struct virtio_device *device;

	CHECK(headless_create(&headless, &options.display) == 0);
	CHECK(soft_create(&options.renderer) == 0);
	CHECK(gpu_create(&options, &device) == 0);
	return device;
}

static _Noreturn void worker_main(const struct worker *worker, struct grant_client *client)
{
	const struct memory_region region = memory_grant_region(DOMID);
	struct virtqueue queues[2];
	struct virtqueue_config config = {
		.size = QUEUE,
		.features = UINT64_C(1) << VIRTIO_F_VERSION_1,
		.desc = address(worker, PAGE_DESC),
		.avail = address(worker, PAGE_AVAIL),
		.used = address(worker, PAGE_USED),
		.kick_fd = worker->kick_fd,
	};
	struct virtio_device *device;
	struct guest_memory *memory;
	sd_event *event;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	CHECK(sd_event_new(&event) >= 0);
	CHECK(memory_grant_create(client, &memory) == 0);
	CHECK(memory_add_region(memory, &region, gntdev_open()) == 0);
	device = make_device(event);
	for (unsigned i = 0; i < 2; i++)
		virtqueue_init(&queues[i], i);
	queues[0].call_fd = worker->call_fd;
	device->queues = queues;
	device->memory = memory;
	device->impl->set_features(device, device->impl->get_features(device));
	CHECK(virtqueue_start(&queues[0], memory, &config) == 0);
	for (;;) {
		wait_for(queues[0].relay ? queues[0].relay->kick_fd : worker->kick_fd);
		while (device->impl->process_queue(device, 0))
			;
		worker->shared->questions = memory->statistics.questions;
		worker->shared->copies = memory->statistics.copy_calls;
	}
}

static void start_worker(struct worker *worker, enum shape shape)
{
	struct broker_rig rig = { .relays = shape == RELAY };

	worker->shape = shape;
	worker->first = shape * PAGES;
	fake_gntdev_grant(DOMID, 1000 + worker->first, worker->first, PAGES, false);
	worker->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	worker->call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	worker->shared = mmap(NULL, sizeof(*worker->shared), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shape != DIRECT)
		broker_rig_init(&rig, DOMID);
	worker->monitor_pid = rig.pid;
	worker->pid = fork();
	CHECK(worker->pid >= 0);
	if (!worker->pid)
		worker_main(worker, rig.client);
}

/* ---------------------------------------------------------------- the guest */

/* Makes @count requests, of so many pages each, available; kicks, and waits for all answers. */
static uint64_t trip(struct worker *worker, unsigned count, const uint32_t *sizes)
{
	const struct virtio_gpu_ctrl_hdr request = { .type = VIRTIO_GPU_CMD_GET_DISPLAY_INFO };
	struct vring_avail *avail = page(worker, PAGE_AVAIL);
	struct vring_used *used = page(worker, PAGE_USED);
	struct vring_desc *desc = page(worker, PAGE_DESC);
	const uint64_t one = 1;
	struct timespec start, end;
	uint32_t at = PAGE_REQUESTS;

	for (unsigned i = 0; i < count; i++) {
		memcpy(page(worker, at), &request, sizeof(request));
		desc[2 * i] = (struct vring_desc){ address(worker, at), sizes[i], VRING_DESC_F_NEXT,
			(uint16_t)(2 * i + 1) };
		desc[2 * i + 1] = (struct vring_desc){ address(worker, PAGE_ANSWERS) + 512 * i, 512,
			VRING_DESC_F_WRITE, 0 };
		avail->ring[(uint16_t)(avail->idx + i) % QUEUE] = (uint16_t)(2 * i);
		at += (sizes[i] + PAGE - 1) / PAGE;
	}
	clock_gettime(CLOCK_MONOTONIC, &start);
	__atomic_store_n(&avail->idx, (uint16_t)(avail->idx + count), __ATOMIC_RELEASE);
	CHECK(write(worker->kick_fd, &one, sizeof(one)) == sizeof(one));
	while (__atomic_load_n(&used->idx, __ATOMIC_ACQUIRE) != avail->idx)
		wait_for(worker->call_fd);
	clock_gettime(CLOCK_MONOTONIC, &end);
	CHECK(((struct virtio_gpu_ctrl_hdr *)page(worker, PAGE_ANSWERS))->type ==
	      VIRTIO_GPU_RESP_OK_DISPLAY_INFO);
	return (uint64_t)(end.tv_sec - start.tv_sec) * 1000000000 + (uint64_t)end.tv_nsec -
	       (uint64_t)start.tv_nsec;
}

/* ---------------------------------------------------------------- numbers */

static uint64_t switches(pid_t pid)
{
	char path[64], line[128];
	uint64_t sum = 0;
	FILE *file;

	if (!pid)
		return 0;
	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	file = fopen(path, "re");
	CHECK(file);
	while (fgets(line, sizeof(line), file))
		if (strstr(line, "voluntary_ctxt_switches:"))
			sum += strtoull(strchr(line, ':') + 1, NULL, 10);
	fclose(file);
	return sum;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double quantile(double *values, size_t count, double fraction)
{
	qsort(values, count, sizeof(*values), compare);
	return values[(size_t)(fraction * (double)count)];
}

struct kind {
	const char *name;
	unsigned count;
	uint32_t sizes[4];
};

static void place(const struct worker *workers, bool two)
{
	cpu_set_t all, first, last;
	int n = 0;

	sched_getaffinity(0, sizeof(all), &all);
	CPU_ZERO(&first);
	CPU_ZERO(&last);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &all))
			continue;
		if (!n++)
			CPU_SET(cpu, &first);
		CPU_ZERO(&last);
		CPU_SET(cpu, &last);
	}
	/* The guest's affinity stays open: it is the one that asks for the set. */
	for (unsigned s = 0; s < SHAPES; s++) {
		sched_setaffinity(workers[s].pid, sizeof(first), two ? &last : &first);
		if (workers[s].monitor_pid)
			sched_setaffinity(workers[s].monitor_pid, sizeof(first), &first);
	}
}

static void measure(struct worker *workers, const struct kind *kind, bool two)
{
	static double values[SHAPES][ROUNDS * TRIPS];
	uint64_t questions[SHAPES], copies[SHAPES], switched[SHAPES];

	place(workers, two);
	for (unsigned s = 0; s < SHAPES; s++) {
		for (unsigned i = 0; i < TRIPS; i++)
			trip(&workers[s], kind->count, kind->sizes);
		questions[s] = workers[s].shared->questions;
		copies[s] = workers[s].shared->copies;
		switched[s] = switches(workers[s].pid) + switches(workers[s].monitor_pid);
	}
	for (unsigned r = 0; r < ROUNDS; r++)
		for (unsigned s = 0; s < SHAPES; s++)
			for (unsigned i = 0; i < TRIPS; i++)
				values[s][r * TRIPS + i] =
				    (double)trip(&workers[s], kind->count, kind->sizes) / 1000;
	for (unsigned s = 0; s < SHAPES; s++) {
		const double trips = ROUNDS * TRIPS;

		printf("%-18s %-8s %-7s %9.1f %9.1f %9.2f %9.2f %9.2f\n", kind->name,
		    two ? "two CPUs" : "one CPU", names[s],
		    quantile(values[s], ROUNDS * TRIPS, 0.5),
		    quantile(values[s], ROUNDS * TRIPS, 0.99),
		    (double)(workers[s].shared->questions - questions[s]) / trips,
		    (double)(workers[s].shared->copies - copies[s]) / trips,
		    (double)(switches(workers[s].pid) + switches(workers[s].monitor_pid) -
			     switched[s]) /
			trips);
	}
}

int main(void)
{
	static const struct kind kinds[] = {
		{ "one command", 1, { 24 } },
		{ "a 3D frame", 4, { 24, STREAM_PAGES * PAGE, 24, 24 } },
	};
	struct worker workers[SHAPES];

	log_init(LOG_LEVEL_ERROR, NULL);
	fake_gntdev_reset(SHAPES * PAGES);
	for (unsigned s = 0; s < SHAPES; s++)
		start_worker(&workers[s], s);
	printf("%-35s %9s %9s %9s %9s %9s\n", "", "p50 us", "p99 us", "questions", "copies",
	    "switches");
	for (unsigned two = 0; two < 2; two++)
		for (unsigned k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++)
			measure(workers, &kinds[k], two);
	for (unsigned s = 0; s < SHAPES; s++) {
		kill(workers[s].pid, SIGKILL);
		if (workers[s].monitor_pid)
			kill(workers[s].monitor_pid, SIGKILL);
	}
	return 0;
}
