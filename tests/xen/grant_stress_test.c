/* SPDX-License-Identifier: MIT */
/*
 * A driver, a monitor and a worker, each a process; the latter two are stopped and let go on at any
 * moment: no kick, no answer and no call may get lost between them. The driver suppresses calls and
 * kicks as Linux does, there is room for few requests at a time between monitor and worker, and the
 * worker answers nothing before it has all that the driver has made.
 *
 * GRANT_STRESS=N: so many requests for each kind of ring (default 20000).
 */
#include <errno.h>
#include <linux/virtio_config.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "backend/log.h"
#include "backend/virtqueue.h"
#include "xen/memory_grant.h"

/* After what they need. */
#include "tests/xen/broker_rig.h"
#include "tests/xen/fake_gntdev.h"

#include <cmocka.h>

#define DOMID 2
#define PAGE GNTDEV_PAGE_SIZE
#define QUEUE 64
#define SLOTS (QUEUE / 2) /* requests at a time: two descriptors each */
#define FIRST_REFERENCE 1000
#define REQUEST_BYTES 3000 /* at most; between the processes there is room for two of these */
#define ANSWER_BYTES 64
#define LOST_MS 60000
#define SPINS 20000 /* for an answer, instead of waiting for a call */

enum { PAGE_DESC, PAGE_AVAIL, PAGE_USED, PAGE_ANSWERS, PAGE_REQUESTS = PAGE_ANSWERS + 4 };
enum { PAGES = PAGE_REQUESTS + SLOTS };

struct stress {
	struct broker_rig rig;
	pid_t worker_pid, jolter_pid;
	int kick_fd, call_fd;
	bool event_index;
	uint64_t random;
	uint32_t *added_in_all; /* in memory that driver and worker have */

	/* The driver's */
	uint16_t added, kicked, used;
	uint32_t made, answered, kicks, waits;
	uint32_t requests[SLOTS]; /* numbers; 0: the slot is free */
};

static uint32_t stress_random(struct stress *stress, uint32_t limit)
{
	stress->random ^= stress->random << 13;
	stress->random ^= stress->random >> 7;
	stress->random ^= stress->random << 17;
	return (uint32_t)(stress->random >> 16) % limit;
}

static void *page(uint32_t index)
{
	return fake_gntdev_memory + (size_t)index * PAGE;
}

static uint64_t address(uint32_t index)
{
	return MEMORY_GRANT_ADDRESS | (uint64_t)(FIRST_REFERENCE + index) << 12;
}

static struct vring_avail *avail_ring(void)
{
	return page(PAGE_AVAIL);
}

static struct vring_used *used_ring(void)
{
	return page(PAGE_USED);
}

static uint16_t *used_event(void)
{
	return &avail_ring()->ring[QUEUE];
}

static const uint16_t *avail_event(void)
{
	return (const uint16_t *)&used_ring()->ring[QUEUE];
}

/* ---------------------------------------------------------------- the other processes */

/* What the worker has taken and not answered yet */
struct held {
	uint16_t head;
	uint32_t first; /* word of it */
	struct memory_piece writable;
};

static struct held worker_take(struct guest_memory *memory, const struct virtqueue_chain *chain)
{
	uint32_t words[REQUEST_BYTES / 4];

	if (chain->readable_size > sizeof(words) || chain->writable_size != ANSWER_BYTES ||
	    memory_read(memory, words, chain->readable, chain->readable_count) < 0)
		abort();
	/* Each word is the same. */
	for (uint32_t i = 0; i < chain->readable_size / 4; i++)
		if (words[i] != words[0])
			abort();
	return (
	    struct held){ .head = chain->head, .first = words[0], .writable = chain->writable[0] };
}

static void worker_answer(
    struct virtqueue *queue, struct guest_memory *memory, const struct held *held, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		if (memory_write_later(
			memory, &held[i].writable, 1, &held[i].first, sizeof(held[i].first)) < 0)
			abort();
		virtqueue_push(queue, held[i].head, sizeof(held[i].first));
	}
	virtqueue_publish(queue);
}

static _Noreturn void worker_serve(
    struct stress *stress, struct virtqueue *queue, struct guest_memory *memory)
{
	static struct virtqueue_chain chain;
	struct pollfd pollfd = { .fd = queue->relay->kick_fd, .events = POLLIN };
	struct held held[SLOTS];
	uint32_t count = 0, taken = 0;
	uint64_t kicks;

	for (;;) {
		while (poll(&pollfd, 1, -1) < 1 || read(pollfd.fd, &kicks, sizeof(kicks)) < 0)
			;
		while (virtqueue_pop(queue, &chain) == 1) {
			held[count++] = worker_take(memory, &chain);
			taken++;
		}
		if (taken != __atomic_load_n(stress->added_in_all, __ATOMIC_ACQUIRE))
			continue;
		worker_answer(queue, memory, held, count);
		count = 0;
	}
}

static _Noreturn void worker_main(struct stress *stress)
{
	const struct memory_region region = memory_grant_region(DOMID);
	uint64_t event_index = (uint64_t)stress->event_index << VIRTIO_RING_F_EVENT_IDX;
	struct virtqueue_config config = {
		.size = QUEUE,
		.features = UINT64_C(1) << VIRTIO_F_VERSION_1 | event_index,
		.desc = address(PAGE_DESC),
		.avail = address(PAGE_AVAIL),
		.used = address(PAGE_USED),
		.kick_fd = stress->kick_fd,
	};
	struct guest_memory *memory;
	struct virtqueue queue;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (memory_grant_create(stress->rig.client, &memory) < 0 ||
	    memory_add_region(memory, &region, gntdev_open()) < 0)
		abort();
	virtqueue_init(&queue, 0);
	queue.call_fd = stress->call_fd;
	if (virtqueue_start(&queue, memory, &config) < 0 || !queue.relay)
		abort();
	worker_serve(stress, &queue, memory);
}

/* Stops one of the two, and lets it go on, at any moment. */
static _Noreturn void jolter_main(struct stress *stress)
{
	const pid_t pids[] = { stress->rig.pid, stress->worker_pid };

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		pid_t pid = pids[stress_random(stress, 2)];

		usleep(stress_random(stress, 300));
		kill(pid, SIGSTOP);
		usleep(stress_random(stress, 3) ? stress_random(stress, 100)
						: stress_random(stress, 2000));
		kill(pid, SIGCONT);
	}
}

static void stress_start(struct stress *stress, bool event_index)
{
	const struct grant_broker_options options = { .domid = DOMID,
		.request_bytes = REQUEST_BYTES };

	*stress = (struct stress){
		.rig.relays = true, .event_index = event_index, .random = 0x9e3779b97f4a7c15
	};
	stress->added_in_all = mmap(NULL, sizeof(*stress->added_in_all), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(stress->added_in_all, MAP_FAILED);
	fake_gntdev_reset(PAGES);
	fake_gntdev_grant(DOMID, FIRST_REFERENCE, 0, PAGES, false);
	memset(fake_gntdev_memory, 0, (size_t)PAGES * PAGE);
	stress->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	stress->call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	broker_rig_start(&stress->rig, &options);
	assert_int_equal(grant_client_create(stress->rig.socket, true, &stress->rig.client), 0);
	stress->rig.socket = -1;
	stress->worker_pid = fork();
	assert_true(stress->worker_pid >= 0);
	if (!stress->worker_pid)
		worker_main(stress);
	stress->jolter_pid = fork();
	assert_true(stress->jolter_pid >= 0);
	if (!stress->jolter_pid)
		jolter_main(stress);
}

static void stress_end(struct stress *stress)
{
	kill(stress->jolter_pid, SIGKILL);
	waitpid(stress->jolter_pid, NULL, 0);
	kill(stress->rig.pid, SIGCONT);
	kill(stress->worker_pid, SIGKILL);
	waitpid(stress->worker_pid, NULL, 0);
	broker_rig_finish(&stress->rig);
	munmap(stress->added_in_all, sizeof(*stress->added_in_all));
	close(stress->kick_fd);
	close(stress->call_fd);
}

/* ---------------------------------------------------------------- the driver */

/* The slot's answer. */
static uint32_t *driver_answer(uint32_t slot)
{
	return (uint32_t *)((uint8_t *)page(PAGE_ANSWERS) + ANSWER_BYTES * slot);
}

/* Makes a request in a free slot, whose words are its number. */
static void driver_make(struct stress *stress)
{
	struct vring_desc *desc = page(PAGE_DESC);
	uint32_t slot = stress_random(stress, SLOTS), size = 4, *words;

	while (stress->requests[slot])
		slot = (slot + 1) % SLOTS;
	stress->requests[slot] = ++stress->made;
	if (stress_random(stress, 2))
		size = 4 + 4 * stress_random(stress, REQUEST_BYTES / 4);
	words = page(PAGE_REQUESTS + slot);
	for (uint32_t i = 0; i < size / 4; i++)
		words[i] = stress->made;
	*driver_answer(slot) = 0;
	desc[2 * slot] = (struct vring_desc){ address(PAGE_REQUESTS + slot), size,
		VRING_DESC_F_NEXT, (uint16_t)(2 * slot + 1) };
	desc[2 * slot + 1] = (struct vring_desc){ address(PAGE_ANSWERS) + ANSWER_BYTES * slot,
		ANSWER_BYTES, VRING_DESC_F_WRITE, 0 };
	avail_ring()->ring[stress->added++ % QUEUE] = (uint16_t)(2 * slot);
}

/* The worker hears of them, before or after. */
static void driver_add(struct stress *stress, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		driver_make(stress);
	__atomic_store_n(stress->added_in_all, stress->made, __ATOMIC_RELEASE);
	__atomic_store_n(&avail_ring()->idx, stress->added, __ATOMIC_RELEASE);
}

/* Linux: virtqueue_kick() */
static void driver_kick(struct stress *stress)
{
	const uint64_t one = 1;
	uint16_t old = stress->kicked;
	bool wanted;

	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	stress->kicked = stress->added;
	if (stress->event_index)
		wanted = vring_need_event(
		    __atomic_load_n(avail_event(), __ATOMIC_RELAXED), stress->added, old);
	else
		wanted = !(__atomic_load_n(&used_ring()->flags, __ATOMIC_RELAXED) &
			   VRING_USED_F_NO_NOTIFY);
	if (!wanted)
		return;
	stress->kicks++;
	assert_int_equal(write(stress->kick_fd, &one, sizeof(one)), sizeof(one));
}

/* Linux: virtqueue_enable_cb(); false: there are answers already. */
static bool driver_enable_calls(struct stress *stress)
{
	if (stress->event_index)
		__atomic_store_n(used_event(), stress->used, __ATOMIC_RELAXED);
	else
		__atomic_store_n(&avail_ring()->flags, 0, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return __atomic_load_n(&used_ring()->idx, __ATOMIC_RELAXED) == stress->used;
}

static void driver_disable_calls(const struct stress *stress)
{
	if (!stress->event_index)
		__atomic_store_n(
		    &avail_ring()->flags, VRING_AVAIL_F_NO_INTERRUPT, __ATOMIC_RELAXED);
}

static void driver_take_answers(struct stress *stress)
{
	uint16_t idx = __atomic_load_n(&used_ring()->idx, __ATOMIC_ACQUIRE);

	while (stress->used != idx) {
		const vring_used_elem_t *used = &used_ring()->ring[stress->used++ % QUEUE];
		uint32_t slot = used->id / 2;

		assert_true(used->id % 2 == 0 && slot < SLOTS && stress->requests[slot]);
		assert_int_equal(used->len, 4);
		assert_int_equal(*driver_answer(slot), stress->requests[slot]);
		stress->requests[slot] = 0;
		stress->answered++;
	}
}

/* Until it is called. */
static void driver_wait(struct stress *stress)
{
	struct pollfd pollfd = { .fd = stress->call_fd, .events = POLLIN };
	uint64_t count;

	stress->waits++;
	if (poll(&pollfd, 1, LOST_MS) == 1) {
		assert_int_equal(read(stress->call_fd, &count, sizeof(count)), sizeof(count));
		return;
	}
	print_message("lost: added %u, kicked %u, used %u (index %u, event %u), avail event %u, "
		      "flags %u and %u\n",
	    stress->added, stress->kicked, stress->used, used_ring()->idx, *used_event(),
	    *avail_event(), used_ring()->flags, avail_ring()->flags);
	fail();
}

/* Looks for an answer for a while, at most. */
static bool driver_spin(const struct stress *stress, uint32_t turns)
{
	for (uint32_t i = 0; i < turns; i++)
		if (__atomic_load_n(&used_ring()->idx, __ATOMIC_ACQUIRE) != stress->used)
			return true;
	return false;
}

/* Together, or one by one: then the next one races with the monitor that goes to sleep. */
static void driver_submit(struct stress *stress, uint32_t count)
{
	const bool together = stress_random(stress, 2);

	for (uint32_t i = 0; i < count; i += together ? count : 1) {
		driver_add(stress, together ? count : 1);
		driver_kick(stress);
		driver_spin(stress, stress_random(stress, SPINS));
	}
}

static void driver_run(struct stress *stress, uint32_t requests)
{
	while (stress->answered < requests) {
		uint32_t room = SLOTS - (stress->made - stress->answered);

		/* Else the worker has all, or will soon. */
		if (room && (stress->made == stress->answered || stress_random(stress, 4) == 0))
			driver_submit(
			    stress, 1 + stress_random(stress,
					    stress_random(stress, 4) ? (room + 7) / 8 : room));
		driver_disable_calls(stress);
		if (!driver_spin(stress, SPINS) && driver_enable_calls(stress))
			driver_wait(stress);
		driver_take_answers(stress);
	}
}

static void run(bool event_index)
{
	const char *wanted = getenv("GRANT_STRESS");
	uint32_t requests = wanted ? (uint32_t)strtoul(wanted, NULL, 10) : 20000;
	struct stress stress;

	log_init(LOG_LEVEL_ERROR, NULL);
	stress_start(&stress, event_index);
	driver_run(&stress, requests);
	print_message(
	    "%u requests, %u kicks, %u waits\n", stress.answered, stress.kicks, stress.waits);
	assert_true(stress.kicks > 0 && stress.waits > 0);
	stress_end(&stress);
}

static void nothing_is_lost_with_the_event_index(void **state)
{
	run(true);
}

static void nothing_is_lost_with_flags(void **state)
{
	run(false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_lost_with_the_event_index),
		cmocka_unit_test(nothing_is_lost_with_flags),
	};

	return cmocka_run_group_tests_name("grant_stress", tests, NULL, NULL);
}
