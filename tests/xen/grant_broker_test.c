/* SPDX-License-Identifier: MIT */
/* The monitor's grant broker, asked by a worker that belongs to somebody else. (What it does for
 * one that behaves: memory_grant_test.c.) */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "backend/log.h"
#include "tests/xen/broker_rig.h"
#include "xen/grant_wire.h"
#include "xen/memory_grant.h"

/* After what it needs. */
#include <cmocka.h>

#define PAGE GNTDEV_PAGE_SIZE
#define DOMID 2
#define OTHER 3
#define PAGES 64
#define PAGES_MAX 100
#define INSERTIONS_MAX 8

struct test {
	struct broker_rig rig;
	uint8_t *shared;
};

/* Asks as a program of its own would; the error, or -ENOTCONN. */
static int ask_with(struct test *test, uint32_t type, uint32_t number, uint64_t index,
    const int *fds, size_t fd_count, struct grant_answer *answer)
{
	const struct grant_question question = { .type = type, .number = number, .index = index };
	struct grant_answer ignored = { 0 };
	int fd, error;
	size_t got = 1;

	error = grant_send(test->rig.socket, &question, sizeof(question), fds, fd_count);
	if (error)
		return error;
	answer = answer ? answer : &ignored;
	error = grant_receive(test->rig.socket, answer, sizeof(*answer), &fd, &got, true);
	if (error <= 0)
		return error;
	if (got)
		close(fd);
	return answer->error;
}

static int ask(struct test *test, uint32_t type, uint32_t number, uint64_t index)
{
	return ask_with(test, type, number, index, NULL, 0, NULL);
}

/* Asks for references [first, first + count). */
static int insert(struct test *test, uint32_t first, uint32_t count, uint64_t *index)
{
	struct grant_answer answer = { 0 };
	int error;

	((struct gntdev_run *)test->shared)[0] =
	    (struct gntdev_run){ .first = first, .count = count };
	error = ask_with(test, GRANT_INSERT, 1, 0, NULL, 0, &answer);
	*index = answer.index;
	return error;
}

static void set_segment(
    struct test *test, uint32_t i, uint32_t reference, unsigned offset, unsigned length)
{
	((struct grant_segment *)test->shared)[i] = (struct grant_segment){
		.reference = reference,
		.offset = (uint16_t)offset,
		.length = (uint16_t)length,
	};
}

/* The monitor is there, and still serves. */
static void assert_serves(struct test *test)
{
	memset(fake_gntdev_memory + 5 * PAGE, 0x5a, 16);
	set_segment(test, 0, 105, 0, 16);
	memset(test->shared + GRANT_LIST_SIZE, 0, 16);
	assert_int_equal(ask(test, GRANT_READ, 1, 0), 0);
	assert_memory_equal(test->shared + GRANT_LIST_SIZE, fake_gntdev_memory + 5 * PAGE, 16);
}

static int set_up(void **state)
{
	const struct grant_broker_options options = {
		.domid = DOMID,
		.pages_max = PAGES_MAX,
		.insertions = INSERTIONS_MAX,
	};
	const struct grant_question hello = { .type = GRANT_HELLO };
	struct test *test = calloc(1, sizeof(*test));
	struct grant_answer answer;
	void *shared;
	size_t count = 1;
	int fd;

	log_init(LOG_LEVEL_ERROR, NULL);
	fake_gntdev_reset(PAGES);
	fake_gntdev_grant(DOMID, 100, 0, 32, false);
	fake_gntdev_grant(OTHER, 200, 32, 32, false);
	broker_rig_start(&test->rig, &options);
	assert_int_equal(grant_send(test->rig.socket, &hello, sizeof(hello), NULL, 0), 0);
	assert_int_equal(
	    grant_receive(test->rig.socket, &answer, sizeof(answer), &fd, &count, true), 1);
	assert_int_equal(count, 1);
	assert_int_equal(grant_shared_open(fd, GRANT_SHARED_SIZE, &shared), 0);
	/* It can't be cut short under the monitor. */
	assert_int_equal(ftruncate(fd, 0), -1);
	close(fd);
	test->shared = shared;
	fd = gntdev_open();
	assert_int_equal(ask_with(test, GRANT_DEVICE, DOMID, 0, &fd, 1, NULL), 0);
	close(fd);
	*state = test;
	return 0;
}

static int tear_down(void **state)
{
	struct test *test = *state;

	munmap(test->shared, GRANT_SHARED_SIZE);
	broker_rig_finish(&test->rig); /* aborts where it did not survive */
	assert_int_equal(fake_gntdev->inserted, 0);
	fake_gntdev_finish();
	free(test);
	return 0;
}

/* ------------------------------------------------------------------- whose memory */

static void another_guest_is_refused(void **state)
{
	struct test *test = *state;
	uint64_t index;
	void *address;
	int fd = gntdev_open();

	assert_int_equal(ask_with(test, GRANT_DEVICE, OTHER, 0, &fd, 1, NULL), -EPERM);
	assert_int_equal(ask_with(test, GRANT_DEVICE, DOMID | 0x10000, 0, &fd, 1, NULL), -EPERM);
	/* Its references are no references of ours: they can be named, and that is all. */
	assert_int_equal(insert(test, 200, 1, &index), 0);
	assert_int_equal(gntdev_mmap(fd, index, 1, false, &address), -EFAULT);
	assert_int_equal(ask(test, GRANT_REMOVE, 1, index), 0);
	set_segment(test, 0, 200, 0, 16);
	assert_int_equal(ask(test, GRANT_READ, 1, 0), -EFAULT);
	memset(fake_gntdev_memory + 32 * PAGE, 7, 16);
	assert_int_equal(ask(test, GRANT_WRITE, 1, 0), -EFAULT);
	assert_int_equal(fake_gntdev_memory[32 * PAGE], 7);
	assert_serves(test);
	close(fd);
}

static void what_was_not_inserted_cannot_be_mapped(void **state)
{
	struct test *test = *state;
	uint64_t index;
	void *address;
	int fd = gntdev_open();

	assert_int_equal(gntdev_mmap(fd, 0, 1, false, &address), -EFAULT);
	assert_int_equal(insert(test, 100, 4, &index), 0);
	assert_int_equal(gntdev_mmap(fd, index, 3, false, &address), -EFAULT);
	assert_int_equal(gntdev_mmap(fd, index, 5, false, &address), -EFAULT);
	assert_int_equal(gntdev_mmap(fd, index + PAGE, 3, false, &address), -EFAULT);
	assert_int_equal(gntdev_mmap(fd, index, 4, true, &address), 0);
	assert_memory_equal(address, fake_gntdev_memory, PAGE);
	gntdev_munmap(address, 4);
	close(fd);
	/* It is not given back: the monitor does that when the worker is gone. */
}

static void devices_that_are_none(void **state)
{
	struct test *test = *state;
	int fds[4] = { gntdev_open(), gntdev_open(), gntdev_open(), gntdev_open() };
	uint64_t index;

	assert_int_equal(ask(test, GRANT_DEVICE, DOMID, 0), -EBADF);
	assert_int_equal(ask_with(test, GRANT_DEVICE, DOMID, 0, fds, 2, NULL), -EBADF);
	fake_gntdev->check_error = -ENOTTY;
	assert_int_equal(ask_with(test, GRANT_DEVICE, DOMID, 0, fds, 1, NULL), -ENOTTY);
	fake_gntdev->check_error = 0;
	assert_int_equal(insert(test, 100, 1, &index), 0);
	assert_int_equal(ask_with(test, GRANT_DEVICE, DOMID, 0, fds, 1, NULL), -EBUSY);
	assert_int_equal(ask(test, GRANT_REMOVE, 1, index), 0);
	assert_int_equal(ask_with(test, GRANT_DEVICE, DOMID, 0, fds, 1, NULL), 0);
	for (unsigned i = 0; i < 4; i++)
		close(fds[i]);
	assert_serves(test);
}

/* ------------------------------------------------------------------- numbers */

static void counts_that_make_no_sense(void **state)
{
	static const uint32_t counts[] = { 0, GRANT_SEGMENTS_MAX + 1, GNTDEV_PAGES_MAX + 1,
		INT32_MAX, UINT32_MAX };
	struct test *test = *state;
	uint64_t index;

	memset(test->shared, 0xff, GRANT_LIST_SIZE);
	for (unsigned i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		assert_int_equal(ask(test, GRANT_READ, counts[i], 0), -EINVAL);
		assert_int_equal(ask(test, GRANT_WRITE, counts[i], 0), -EINVAL);
		assert_int_equal(ask(test, GRANT_INSERT, counts[i], 0), -EINVAL);
	}
	assert_int_equal(insert(test, 100, 0, &index), -EINVAL);
	assert_int_equal(insert(test, UINT32_MAX, 2, &index), -EINVAL); /* would go on at 0 */
	assert_int_equal(insert(test, 0, UINT32_MAX, &index), -E2BIG);
	assert_int_equal(insert(test, 0, GNTDEV_PAGES_MAX + 1, &index), -E2BIG);
	/* 2^16 runs of 2^32 - 1 */
	for (uint32_t i = 0; i < GNTDEV_PAGES_MAX; i++)
		((struct gntdev_run *)test->shared)[i] = (struct gntdev_run){ 0, UINT32_MAX };
	assert_int_equal(ask(test, GRANT_INSERT, GNTDEV_PAGES_MAX, 0), -E2BIG);
	assert_int_equal(ask(test, 99, 1, 0), -ENOSYS);
	assert_int_equal(ask(test, UINT32_MAX, 1, 0), -ENOSYS);
	assert_int_equal(fake_gntdev->inserted, 0);
	assert_serves(test);
}

static void segments_that_make_no_sense(void **state)
{
	struct test *test = *state;

	set_segment(test, 0, 105, 0, 0);
	assert_int_equal(ask(test, GRANT_READ, 1, 0), -EINVAL);
	set_segment(test, 0, 105, 4000, 97);
	assert_int_equal(ask(test, GRANT_READ, 1, 0), -EINVAL);
	set_segment(test, 0, 105, UINT16_MAX, 1);
	assert_int_equal(ask(test, GRANT_WRITE, 1, 0), -EINVAL);
	set_segment(test, 0, 105, 1, UINT16_MAX);
	assert_int_equal(ask(test, GRANT_WRITE, 1, 0), -EINVAL);
	/* Together more than there is room for: none is copied. */
	for (uint32_t i = 0; i < 1025; i++)
		set_segment(test, i, 105, 0, PAGE);
	assert_int_equal(ask(test, GRANT_READ, 1024, 0), 0);
	assert_int_equal(ask(test, GRANT_READ, 1025, 0), -EINVAL);
	assert_int_equal(fake_gntdev->copy_calls, 1);
	assert_serves(test);
}

static void what_is_removed_was_inserted(void **state)
{
	struct test *test = *state;
	uint64_t index;

	assert_int_equal(insert(test, 100, 4, &index), 0);
	assert_int_equal(ask(test, GRANT_REMOVE, 3, index), -ENOENT);
	assert_int_equal(ask(test, GRANT_REMOVE, 4, index + PAGE), -ENOENT);
	assert_int_equal(ask(test, GRANT_REMOVE, 4, index + 1), -ENOENT);
	assert_int_equal(ask(test, GRANT_REMOVE, 4, index | UINT64_C(1) << 60), -ENOENT);
	assert_int_equal(ask(test, GRANT_REMOVE, 0, index), -ENOENT);
	assert_int_equal(fake_gntdev->inserted, 1);
	assert_int_equal(ask(test, GRANT_REMOVE, 4, index), 0);
	assert_int_equal(ask(test, GRANT_REMOVE, 4, index), -ENOENT); /* once more */
	assert_int_equal(fake_gntdev->inserted, 0);
	assert_serves(test);
}

static void quotas(void **state)
{
	struct test *test = *state;
	uint64_t index[INSERTIONS_MAX + 1];

	assert_int_equal(insert(test, 100, PAGES_MAX + 1, &index[0]), -ENOSPC);
	assert_int_equal(insert(test, 100, PAGES_MAX - 1, &index[0]), 0);
	assert_int_equal(insert(test, 100, 2, &index[1]), -ENOSPC);
	assert_int_equal(insert(test, 100, 1, &index[1]), 0);
	assert_int_equal(insert(test, 100, 1, &index[2]), -ENOSPC);
	assert_int_equal(ask(test, GRANT_REMOVE, PAGES_MAX - 1, index[0]), 0);
	assert_int_equal(ask(test, GRANT_REMOVE, 1, index[1]), 0);
	for (unsigned i = 0; i < INSERTIONS_MAX; i++)
		assert_int_equal(insert(test, 100, 1, &index[i]), 0);
	assert_int_equal(insert(test, 100, 1, &index[INSERTIONS_MAX]), -ENOSPC);
	assert_int_equal(ask(test, GRANT_REMOVE, 1, index[3]), 0);
	assert_int_equal(insert(test, 100, 1, &index[3]), 0);
	assert_int_equal(fake_gntdev->inserted, INSERTIONS_MAX);
	assert_serves(test);
}

static void a_failing_device_leaves_nothing(void **state)
{
	struct test *test = *state;
	uint64_t index;

	fake_gntdev->fail_insert = true;
	for (unsigned i = 0; i < 2 * INSERTIONS_MAX; i++)
		assert_int_equal(insert(test, 100, 60, &index), -ENOMEM);
	fake_gntdev->fail_insert = false;
	assert_int_equal(insert(test, 100, 60, &index), 0);
	assert_int_equal(ask(test, GRANT_REMOVE, 60, index), 0);
	fake_gntdev->copy_error = -EACCES;
	set_segment(test, 0, 105, 0, 16);
	assert_int_equal(ask(test, GRANT_READ, 1, 0), -EACCES);
	fake_gntdev->copy_error = 0;
	assert_serves(test);
}

/* ------------------------------------------------------------------- messages */

static void messages_of_any_size(void **state)
{
	struct test *test = *state;
	static uint8_t bytes[65536];
	struct grant_answer answer;

	for (size_t size = 1; size <= sizeof(bytes); size = size < 40 ? size + 1 : size * 2) {
		size_t none = 0;

		if (size == sizeof(struct grant_question))
			continue;
		assert_int_equal(grant_send(test->rig.socket, bytes, size, NULL, 0), 0);
		assert_int_equal(
		    grant_receive(test->rig.socket, &answer, sizeof(answer), NULL, &none, true), 1);
		assert_int_equal(answer.error, -EPROTO);
	}
	assert_serves(test);
}

/* Those of a process, other than its first three */
static unsigned count_fds(pid_t pid)
{
	char path[64];
	unsigned count = 0;

	for (int fd = 3; fd < 1024; fd++) {
		char target[8];

		snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)pid, fd);
		count += readlink(path, target, sizeof(target)) > 0;
	}
	return count;
}

static void descriptors_nobody_asked_for(void **state)
{
	struct test *test = *state;
	unsigned before = count_fds(test->rig.pid);
	int fds[GRANT_FDS_MAX];
	uint8_t bytes[7] = { 0 };

	for (unsigned i = 0; i < GRANT_FDS_MAX; i++)
		fds[i] = gntdev_open();
	for (unsigned i = 0; i < 2000; i++) {
		struct grant_answer answer;
		size_t none = 0;

		set_segment(test, 0, 105, 0, 16);
		assert_int_equal(
		    ask_with(test, i % 5 ? GRANT_READ : 77, 1, 0, fds, GRANT_FDS_MAX, NULL),
		    i % 5 ? 0 : -ENOSYS);
		assert_int_equal(
		    ask_with(test, GRANT_DEVICE, OTHER, 0, fds, GRANT_FDS_MAX, NULL), -EBADF);
		assert_int_equal(
		    grant_send(test->rig.socket, bytes, sizeof(bytes), fds, GRANT_FDS_MAX), 0);
		assert_int_equal(
		    grant_receive(test->rig.socket, &answer, sizeof(answer), NULL, &none, true), 1);
		assert_int_equal(answer.error, -EPROTO);
	}
	assert_serves(test);
	assert_int_equal(count_fds(test->rig.pid), before);
	for (unsigned i = 0; i < GRANT_FDS_MAX; i++)
		close(fds[i]);
}

/* One that asks and asks, and never takes an answer */
static void a_flood(void **state)
{
	const struct grant_question question = { .type = GRANT_READ, .number = 1 };
	struct test *test = *state;
	int error;

	set_segment(test, 0, 105, 0, 16);
	do {
		error = grant_send(test->rig.socket, &question, sizeof(question), NULL, 0);
	} while (!error || error == -EAGAIN);
	assert_int_equal(error, -ENOTCONN); /* the monitor listens no more, and lives */
}

/* The list changes while it is looked at: what was checked is what is done. */
static void a_list_that_changes(void **state)
{
	struct test *test = *state;
	volatile struct grant_segment *list = (struct grant_segment *)test->shared;
	pid_t pid = fork();

	if (!pid) {
		for (;;) {
			list->offset = (uint16_t)(list->offset ? 0 : UINT16_MAX);
			list->length = (uint16_t)(list->length == 16 ? UINT16_MAX : 16);
		}
	}
	/* The fake device asserts that what it gets lies in a page. */
	for (unsigned i = 0; i < 5000; i++) {
		int error = ask(test, GRANT_READ, 1, 0);

		assert_true(error == 0 || error == -EINVAL || error == -EFAULT);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	assert_serves(test);
}

/* ------------------------------------------------------------------- queues */

/* Rings in the pages of references @first, @first + 1, @first + 2. */
static struct grant_question queue_question(uint32_t first, uint32_t fds)
{
	return (struct grant_question){
		.type = GRANT_START,
		.queue = {
			.size = 8,
			.fds = fds,
			.desc = MEMORY_GRANT_ADDRESS | (uint64_t)first << 12,
			.avail = MEMORY_GRANT_ADDRESS | (uint64_t)(first + 1) << 12,
			.used = MEMORY_GRANT_ADDRESS | (uint64_t)(first + 2) << 12,
		},
	};
}

static int ask_queue(
    struct test *test, const struct grant_question *question, const int *fds, size_t fd_count)
{
	int got_fds[GRANT_FDS_MAX], error;
	struct grant_answer answer;
	size_t got = GRANT_FDS_MAX;

	error = grant_send(test->rig.socket, question, sizeof(*question), fds, fd_count);
	if (error)
		return error;
	if (grant_receive(test->rig.socket, &answer, sizeof(answer), got_fds, &got, true) != 1)
		return -ENOTCONN;
	for (size_t i = 0; i < got; i++)
		close(got_fds[i]);
	assert_int_equal(
	    got, !answer.error && question->type == GRANT_START ? GRANT_QUEUE_ANSWER_FDS : 0);
	return answer.error;
}

static void queues_in_memory_of_others(void **state)
{
	struct test *test = *state;
	int kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct grant_question q = queue_question(200, GRANT_QUEUE_KICK);

	assert_int_equal(ask_queue(test, &q, &kick, 1), -EFAULT);
	q = queue_question(100, GRANT_QUEUE_KICK);
	q.queue.used = MEMORY_GRANT_ADDRESS | UINT64_C(202) << 12;
	assert_int_equal(ask_queue(test, &q, &kick, 1), -EFAULT);
	q.queue.used = 0x12345000;
	assert_int_equal(ask_queue(test, &q, &kick, 1), -EFAULT);
	assert_int_equal(fake_gntdev->inserted, 0);
	/* And what the driver's descriptors say of another guest's pages is not read. */
	q = queue_question(100, GRANT_QUEUE_KICK);
	memset(fake_gntdev_memory, 0, 3 * PAGE);
	assert_int_equal(ask_queue(test, &q, &kick, 1), 0);
	assert_int_equal(fake_gntdev->inserted, 3);
	close(kick);
	assert_serves(test);
}

static void descriptors_that_are_no_eventfds(void **state)
{
	struct test *test = *state;
	int pair[2], good = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int bad[] = { eventfd(0, EFD_CLOEXEC), memfd_create("file", MFD_CLOEXEC), -1, -1,
		epoll_create1(EPOLL_CLOEXEC) };
	struct grant_question q = queue_question(100, GRANT_QUEUE_KICK | GRANT_QUEUE_CALL);
	unsigned before;

	assert_int_equal(pipe2(pair, O_CLOEXEC | O_NONBLOCK), 0);
	bad[2] = pair[0];
	bad[3] = pair[1];
	memset(fake_gntdev_memory, 0, 3 * PAGE);
	before = count_fds(test->rig.pid);
	for (unsigned i = 0; i < 5; i++) {
		const int kicks[] = { bad[i], good }, calls[] = { good, bad[i] };

		assert_true(ask_queue(test, &q, kicks, 2) < 0);
		assert_true(ask_queue(test, &q, calls, 2) < 0);
	}
	/* Fewer than it says */
	assert_int_equal(ask_queue(test, &q, &good, 1), -EBADF);
	assert_int_equal(ask_queue(test, &q, NULL, 0), -EBADF);
	q.queue.fds = 0;
	assert_int_equal(ask_queue(test, &q, &good, 1), -EBADF);
	q.queue.fds = UINT32_MAX;
	assert_int_equal(ask_queue(test, &q, &good, 1), -EBADF);
	assert_int_equal(count_fds(test->rig.pid), before);
	assert_int_equal(fake_gntdev->inserted, 0);
	for (unsigned i = 0; i < 5; i++)
		close(bad[i]);
	close(good);
	assert_serves(test);
}

static void queues_again_and_again(void **state)
{
	struct test *test = *state;
	int fds[] = { eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
		eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) };
	struct grant_question q = queue_question(100, GRANT_QUEUE_KICK | GRANT_QUEUE_CALL);
	struct grant_question stop = { .type = GRANT_STOP };
	struct grant_question change = { .type = GRANT_FDS, .queue.fds = GRANT_QUEUE_KICK };
	unsigned before = count_fds(test->rig.pid);
	int device = gntdev_open();

	memset(fake_gntdev_memory, 0, 3 * PAGE);
	assert_int_equal(ask_queue(test, &stop, NULL, 0), -ENOENT);
	assert_int_equal(ask_queue(test, &change, fds, 1), -ENOENT);
	for (unsigned i = 0; i < 500; i++) {
		q.index = stop.index = change.index = i % GRANT_QUEUES_MAX;
		assert_int_equal(ask_queue(test, &q, fds, 2), 0);
		assert_int_equal(ask_queue(test, &q, fds, 2), -EBUSY);
		assert_int_equal(ask_with(test, GRANT_DEVICE, DOMID, 0, &device, 1, NULL), -EBUSY);
		assert_int_equal(ask_queue(test, &change, fds, 1), 0);
		assert_int_equal(ask_queue(test, &change, NULL, 0), -EBADF);
		change.queue.fds = GRANT_QUEUE_CALL;
		assert_int_equal(ask_queue(test, &change, &fds[1], 1), 0);
		change.queue.fds = GRANT_QUEUE_KICK;
		assert_int_equal(write(fds[0], &(uint64_t){ 1 }, 8), 8);
		assert_int_equal(ask_queue(test, &stop, NULL, 0), 0);
		assert_int_equal(ask_queue(test, &stop, NULL, 0), -ENOENT);
	}
	q.index = GRANT_QUEUES_MAX;
	assert_int_equal(ask_queue(test, &q, fds, 2), -EINVAL);
	q.index = UINT64_MAX;
	assert_int_equal(ask_queue(test, &q, fds, 2), -EINVAL);
	stop.index = UINT64_MAX;
	assert_int_equal(ask_queue(test, &stop, NULL, 0), -ENOENT);
	assert_int_equal(count_fds(test->rig.pid), before);
	assert_int_equal(fake_gntdev->inserted, 0);
	close(device);
	close(fds[0]);
	close(fds[1]);
	assert_serves(test);
}

/* ------------------------------------------------------------------- the worker's side */

static void without_a_monitor(void **state)
{
	struct grant_client *client;
	int sockets[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets), 0);
	close(sockets[1]);
	assert_int_equal(grant_client_create(sockets[0], false, &client), -ENOTCONN);
	close(sockets[0]);
}

static void what_the_monitor_did_ends_with_it(void **state)
{
	const struct gntdev_run run = { .first = 100, .count = 4 };
	struct broker_rig rig = { 0 };
	struct gntdev_map map;
	int fd;

	log_init(LOG_LEVEL_ERROR, NULL);
	fake_gntdev_reset(PAGES);
	fake_gntdev_grant(DOMID, 100, 0, 32, false);
	fd = gntdev_open();
	broker_rig_init(&rig, DOMID);
	assert_int_equal(grant_client_map(rig.client, fd, &run, 1, true, &map), -EBADF);
	assert_int_equal(grant_client_set_device(rig.client, fd, DOMID), 0);
	assert_int_equal(grant_client_map(rig.client, fd, &run, 1, true, &map), 0);
	assert_int_equal(fake_gntdev->inserted, 1);
	assert_int_equal(grant_client_questions(rig.client), 4);
	broker_rig_finish(&rig);
	assert_int_equal(fake_gntdev->inserted, 0);
	/* What is mapped is ours until we let it go. */
	assert_memory_equal(map.address, fake_gntdev_memory, 4 * PAGE);
	gntdev_munmap(map.address, 4);
	close(fd);
	fake_gntdev_finish();
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(another_guest_is_refused),
		TEST(what_was_not_inserted_cannot_be_mapped),
		TEST(devices_that_are_none),
		TEST(counts_that_make_no_sense),
		TEST(segments_that_make_no_sense),
		TEST(what_is_removed_was_inserted),
		TEST(quotas),
		TEST(a_failing_device_leaves_nothing),
		TEST(messages_of_any_size),
		TEST(descriptors_nobody_asked_for),
		TEST(a_flood),
		TEST(a_list_that_changes),
		TEST(queues_in_memory_of_others),
		TEST(descriptors_that_are_no_eventfds),
		TEST(queues_again_and_again),
		cmocka_unit_test(without_a_monitor),
		cmocka_unit_test(what_the_monitor_did_ends_with_it),
	};

	return cmocka_run_group_tests_name("grant_broker", tests, NULL, NULL);
}
