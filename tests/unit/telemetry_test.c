/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_gpu.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backend/telemetry.h"

#include <cmocka.h>

struct rig {
	struct telemetry *reader, *writer;
	int fd;
};

static int set_up(void **state)
{
	static struct rig rig;

	assert_int_equal(telemetry_create(&rig.reader, &rig.fd), 0);
	assert_int_equal(telemetry_open(rig.fd, true, &rig.writer), 0);
	*state = &rig;
	return 0;
}

static int tear_down(void **state)
{
	struct rig *rig = *state;

	telemetry_close(rig->reader);
	telemetry_close(rig->writer);
	telemetry_close(NULL);
	close(rig->fd);
	return 0;
}

static void what_is_written_is_read(void **state)
{
	struct rig *rig = *state;
	struct telemetry copy;

	rig->writer->counters.commands = 42;
	rig->writer->command.type = VIRTIO_GPU_CMD_SUBMIT_3D;
	rig->writer->outputs[15].intervals.buckets[TELEMETRY_BUCKETS - 1] = 7;
	telemetry_read(rig->reader, &copy);
	assert_int_equal(copy.counters.commands, 42);
	assert_int_equal(copy.command.type, VIRTIO_GPU_CMD_SUBMIT_3D);
	assert_int_equal(copy.outputs[15].intervals.buckets[TELEMETRY_BUCKETS - 1], 7);
}

/* A worker that could cut the file short could end its reader by SIGBUS. */
static void nobody_resizes_it(void **state)
{
	struct rig *rig = *state;
	struct stat file;

	assert_int_equal(ftruncate(rig->fd, 0), -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(ftruncate(rig->fd, 1 << 20), -1);
	assert_int_equal(
	    fallocate(rig->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), 0);
	assert_int_equal(fstat(rig->fd, &file), 0);
	assert_int_equal(file.st_size, sizeof(struct telemetry));
}

static void other_files_are_refused(void **state)
{
	struct rig *rig = *state;
	struct telemetry *page;
	const uint64_t version = TELEMETRY_VERSION + 1;
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, sizeof(struct telemetry)), 0);
	assert_int_equal(telemetry_open(fd, true, &page), -ESTALE); /* not sealed */
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	assert_int_equal(telemetry_open(fd, true, &page), -ESTALE); /* all zero */
	close(fd);
	assert_true(telemetry_open(-1, true, &page) < 0);
	assert_int_equal(pwrite(rig->fd, &version, 8, offsetof(struct telemetry, version)), 8);
	assert_int_equal(telemetry_open(rig->fd, false, &page), -ESTALE);
}

static void nothing_in_it_is_believed(void **state)
{
	struct rig *rig = *state;
	struct telemetry copy;

	memset(rig->writer, 0xff, sizeof(*rig->writer));
	telemetry_read(rig->reader, &copy);
	assert_int_equal(copy.outputs_count, TELEMETRY_OUTPUTS);
	assert_int_equal(copy.outputs[3].width, 65536);
	assert_int_equal(copy.outputs[3].on, 1);
	assert_int_equal(copy.command.type, UINT32_MAX);
	assert_true(copy.counters.commands <= UINT64_C(1) << 62);
	assert_true(copy.outputs[3].frames <= UINT64_C(1) << 53);
	/* No sum overflows. */
	assert_int_equal(telemetry_histogram_quantile(&copy.fence_latency, 0), 500);
	assert_in_range(telemetry_histogram_quantile(&copy.fence_latency, 1000),
	    UINT64_C(120) * 1000000000, UINT64_C(135) * 1000000000);
	assert_string_equal(telemetry_command_name(copy.command.type), "an unknown command");
}

/* A machine that has been up for years: its clock is none of the counts that are bounded. */
static void times_of_long_uptimes_are_told_apart(void **state)
{
	const uint64_t years = UINT64_C(20) * 365 * 86400 * 1000000000;
	struct rig *rig = *state;
	struct telemetry copy;

	rig->writer->busy_since_ns = years;
	rig->writer->gpu_since_ns = years + 1;
	rig->writer->outputs[0].last_flush_ns = years + 2;
	rig->writer->counters.gpu_busy_ns = years + 3;
	rig->writer->fence_latency.sum_ns = years + 4;
	telemetry_read(rig->reader, &copy);
	assert_int_equal(copy.busy_since_ns, years);
	assert_int_equal(copy.gpu_since_ns, years + 1);
	assert_int_equal(copy.outputs[0].last_flush_ns, years + 2);
	assert_int_equal(copy.counters.gpu_busy_ns, years + 3);
	assert_int_equal(copy.fence_latency.sum_ns, years + 4);
}

static void commands_have_names(void **state)
{
	unsigned known = 0;

	for (uint32_t type = 0; type < 0x400; type++) {
		unsigned index = telemetry_command_index(type);

		assert_true(index < TELEMETRY_COMMANDS);
		if (index == TELEMETRY_COMMANDS - 1)
			continue;
		assert_int_equal(index, known++);
		assert_int_equal(telemetry_command_type(index), type);
	}
	assert_int_equal(known, TELEMETRY_COMMANDS - 1);
	assert_int_equal(telemetry_command_type(TELEMETRY_COMMANDS - 1), 0);
	assert_string_equal(
	    telemetry_command_name(VIRTIO_GPU_CMD_GET_DISPLAY_INFO), "GET_DISPLAY_INFO");
	assert_string_equal(
	    telemetry_command_name(VIRTIO_GPU_CMD_SET_SCANOUT_BLOB), "SET_SCANOUT_BLOB");
	assert_string_equal(telemetry_command_name(VIRTIO_GPU_CMD_SUBMIT_3D), "SUBMIT_3D");
	assert_string_equal(
	    telemetry_command_name(VIRTIO_GPU_CMD_RESOURCE_UNMAP_BLOB), "RESOURCE_UNMAP_BLOB");
	assert_string_equal(telemetry_command_name(VIRTIO_GPU_CMD_MOVE_CURSOR), "MOVE_CURSOR");
	assert_string_equal(telemetry_command_name(UINT64_C(1) << 32 | VIRTIO_GPU_CMD_MOVE_CURSOR),
	    "an unknown command");
}

static void quantiles_are_right_to_a_few_percent(void **state)
{
	struct telemetry_histogram histogram = { 0 };

	assert_int_equal(telemetry_histogram_quantile(&histogram, 500), 0);
	for (uint64_t us = 1; us <= 100000; us++)
		telemetry_histogram_add(&histogram, us * 1000);
	assert_int_equal(histogram.count, 100000);
	assert_int_equal(histogram.sum_ns, UINT64_C(100000) * 100001 / 2 * 1000);
	for (unsigned permille = 10; permille <= 1000; permille += 10) {
		uint64_t expected = UINT64_C(100000) * permille; /* ns */
		uint64_t got = telemetry_histogram_quantile(&histogram, permille);

		assert_in_range(got, expected * 93 / 100, expected * 107 / 100);
	}
	/* Of any duration */
	for (uint64_t ns = 8000; ns < UINT64_C(120) * 1000000000; ns += ns / 3) {
		memset(&histogram, 0, sizeof(histogram));
		telemetry_histogram_add(&histogram, ns);
		assert_in_range(
		    telemetry_histogram_quantile(&histogram, 990), ns * 93 / 100, ns * 107 / 100);
	}
	telemetry_histogram_add(&histogram, UINT64_MAX);
	assert_int_equal(histogram.buckets[TELEMETRY_BUCKETS - 1], 1);
}

static void snapshots_are_subtracted(void **state)
{
	struct telemetry_histogram before = { 0 }, now;

	for (int i = 0; i < 1000; i++)
		telemetry_histogram_add(&before, 16000000);
	now = before;
	for (int i = 0; i < 10; i++)
		telemetry_histogram_add(&now, 100000000);
	telemetry_histogram_subtract(&now, &before);
	assert_int_equal(now.count, 10);
	assert_in_range(telemetry_histogram_quantile(&now, 10), 93000000, 107000000);
	/* What has become less is nothing, not very much. */
	telemetry_histogram_subtract(&now, &before);
	assert_int_equal(now.count, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_is_written_is_read),
		TEST(nobody_resizes_it),
		TEST(other_files_are_refused),
		TEST(nothing_in_it_is_believed),
		TEST(times_of_long_uptimes_are_told_apart),
		TEST(commands_have_names),
		TEST(quantiles_are_right_to_a_few_percent),
		TEST(snapshots_are_subtracted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
