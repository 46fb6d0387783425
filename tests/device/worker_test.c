/* SPDX-License-Identifier: MIT */
/*
 * The real gpudom-worker as a process of its own: front ends that talk nonsense or go away, its
 * end, and what it takes from the machine.
 */
#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/loopback/loopback_gpu.h"
#include "tests/loopback/loopback_process.h"
#include "tests/loopback/loopback_virgl.h"

#include <cmocka.h>

#define OK VIRTIO_GPU_RESP_OK_NODATA
#define BGRX VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM
#define CONTROL LOOPBACK_GPU_CONTROL

struct setup {
	char worker[512], folder[64], socket_option[128], *socket_path, png_option[128];
	struct loopback_process process;
	struct loopback_frontend frontend;
	struct loopback_gpu gpu;
};

static int prepare(void **state)
{
	struct setup *setup = calloc(1, sizeof(*setup));

	loopback_process_path("gpudom-worker", setup->worker, sizeof(setup->worker));
	strcpy(setup->folder, "/tmp/gpudom-worker-test.XXXXXX");
	assert_non_null(mkdtemp(setup->folder));
	snprintf(setup->socket_option, sizeof(setup->socket_option), "--socket-path=%s/socket",
	    setup->folder);
	snprintf(setup->png_option, sizeof(setup->png_option), "--png-dir=%s", setup->folder);
	setup->socket_path = strchr(setup->socket_option, '/');
	setup->process.socket = setup->process.output_fd = -1;
	*state = setup;
	return 0;
}

static int clean_up(void **state)
{
	struct setup *setup = *state;
	char path[128];

	loopback_process_end(&setup->process, SIGKILL);
	unlink(setup->socket_path);
	snprintf(path, sizeof(path), "%s/scanout-0.png", setup->folder);
	unlink(path);
	rmdir(setup->folder);
	free(setup);
	return 0;
}

/* A worker that listens, with @option (may be NULL). */
static void listen_with(struct setup *setup, const char *renderer, const char *option)
{
	const char *const argv[] = { setup->worker, setup->socket_option, renderer, option, NULL };

	assert_int_equal(loopback_process_spawn(&setup->process, argv, true), 0);
}

static int connect_to(struct setup *setup)
{
	int fd = loopback_process_connect(&setup->process, setup->socket_path);

	assert_true(fd >= 0);
	return fd;
}

static void connect_guest(struct setup *setup, const struct loopback_options *options)
{
	assert_int_equal(loopback_frontend_init(&setup->frontend, options), 0);
	assert_int_equal(loopback_frontend_connect(&setup->frontend, connect_to(setup)), 0);
	loopback_gpu_init(&setup->gpu, &setup->frontend);
}

/* The worker serves a guest. */
static void expect_service(struct setup *setup)
{
	struct virtio_gpu_resp_display_info info;

	connect_guest(setup, NULL);
	assert_int_equal(
	    loopback_gpu_get_display_info(&setup->gpu, &info), VIRTIO_GPU_RESP_OK_DISPLAY_INFO);
	assert_int_equal(info.pmodes[0].enabled, 1);
	loopback_frontend_finish(&setup->frontend);
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

/* ---------------------------------------------------------------- front ends that talk nonsense */

struct nonsense {
	uint32_t header[3];
	uint32_t size; /* bytes of payload that are sent */
	unsigned fds;
};

static void send_nonsense(int fd, const struct nonsense *nonsense)
{
	uint8_t payload[512];
	int fds[16] = { 0 };
	struct iovec iov[2] = {
		{ .iov_base = (void *)nonsense->header, .iov_len = sizeof(nonsense->header) },
		{ .iov_base = payload, .iov_len = nonsense->size },
	};
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(fds))];
	} control = { 0 };
	struct msghdr message = { .msg_iov = iov, .msg_iovlen = 2 };

	memset(payload, 0xff, sizeof(payload));
	if (nonsense->fds > 0) {
		message.msg_control = control.bytes;
		message.msg_controllen = CMSG_SPACE(nonsense->fds * sizeof(int));
		struct cmsghdr *c = CMSG_FIRSTHDR(&message);
		*c = (struct cmsghdr){ .cmsg_level = SOL_SOCKET,
			.cmsg_type = SCM_RIGHTS,
			.cmsg_len = CMSG_LEN(nonsense->fds * sizeof(int)) };
		for (unsigned i = 0; i < nonsense->fds; i++)
			fds[i] = STDIN_FILENO;
		memcpy(CMSG_DATA(c), fds, nonsense->fds * sizeof(int));
	}
	assert_true(sendmsg(fd, &message, MSG_NOSIGNAL) > 0);
}

static void wait_for_hangup(int fd)
{
	struct pollfd pollfd = { .fd = fd, .events = POLLIN };
	char bytes[4096];

	do {
		assert_int_equal(poll(&pollfd, 1, LOOPBACK_TIMEOUT_MS), 1);
	} while (recv(fd, bytes, sizeof(bytes), 0) > 0);
}

/* Open descriptors when nobody is connected: a worker takes the next connection when it is done
 * with the one before, and of this one it opens nothing but the socket. */
static unsigned count_idle_fds(struct setup *setup)
{
	int fd = connect_to(setup);

	send_nonsense(fd, &(struct nonsense){ { 0, 1, 0 }, 0, 0 });
	wait_for_hangup(fd);
	close(fd);
	return loopback_process_fds(setup->process.pid);
}

static void malformed_messages_end_the_connection_alone(void **state)
{
	struct setup *setup = *state;
	const struct nonsense cases[] = {
		{ { 0, 1, 0 }, 0, 0 }, /* no such requests */
		{ { 999, 1, 0 }, 0, 0 }, { { UINT32_MAX, 1, 0 }, 0, 0 },
		{ { VHOST_USER_GET_FEATURES, 0, 0 }, 0, 0 },     /* version 0 */
		{ { VHOST_USER_GET_FEATURES, 2, 0 }, 0, 0 },     /* version 2 */
		{ { VHOST_USER_GET_FEATURES, 1 | 4, 0 }, 0, 0 }, /* a reply */
		{ { VHOST_USER_GET_FEATURES, 1, 8 }, 8, 0 },     /* too long */
		{ { VHOST_USER_SET_FEATURES, 1, 4 }, 4, 0 },     /* too short */
		{ { VHOST_USER_SET_FEATURES, 1, 8 }, 8, 0 },     /* features from nowhere */
		{ { VHOST_USER_GET_FEATURES, 1, UINT32_MAX }, 0, 0 },
		{ { VHOST_USER_SET_MEM_TABLE, 1, 4096 }, 512, 0 },
		{ { VHOST_USER_SET_MEM_TABLE, 1, 40 }, 40, 1 }, /* 2^32 - 1 regions */
		{ { VHOST_USER_SET_VRING_NUM, 1, 8 }, 8, 0 },   /* queue 2^32 - 1 */
		{ { VHOST_USER_SET_VRING_ADDR, 1, 40 }, 40, 0 },
		{ { VHOST_USER_SET_VRING_BASE, 1, 8 }, 8, 0 },
		{ { VHOST_USER_GET_VRING_BASE, 1, 8 }, 8, 0 },
		{ { VHOST_USER_SET_VRING_KICK, 1, 8 }, 8, 1 },
		{ { VHOST_USER_SET_VRING_CALL, 1, 8 }, 8, 3 },
		{ { VHOST_USER_SET_VRING_ENABLE, 1, 8 }, 8, 0 },
		{ { VHOST_USER_GET_CONFIG, 1, 12 }, 12, 0 },
		{ { VHOST_USER_SET_INFLIGHT_FD, 1, 24 }, 24, 1 },
		{ { VHOST_USER_GPU_SET_SOCKET, 1, 0 }, 0, 0 }, /* without one */
		{ { VHOST_USER_GPU_SET_SOCKET, 1, 0 }, 0, 1 }, /* no socket */
		{ { VHOST_USER_GET_FEATURES, 1, 0 }, 0, 16 },  /* too many descriptors */
	};
	const unsigned count = sizeof(cases) / sizeof(cases[0]);

	/* Where it is contained, its monitor passes its lines on later, and those that repeat once.
	 */
	listen_with(setup, "--renderer=soft", "--sandbox=off");
	expect_service(setup);
	unsigned fds = count_idle_fds(setup);
	for (unsigned i = 0; i < count; i++) {
		unsigned lines = count_lines(setup, "<3>");
		int fd = connect_to(setup);
		send_nonsense(fd, &cases[i]);
		wait_for_hangup(fd);
		close(fd);
		/* Each one is told of in one line. */
		assert_int_equal(count_lines(setup, "<3>"), lines + 1);
	}
	expect_service(setup);
	assert_int_equal(count_idle_fds(setup), fds);
	assert_true(loopback_process_is_running(&setup->process));
}

static void message_cut_off_is_dropped(void **state)
{
	struct setup *setup = *state;
	const struct nonsense half = { { VHOST_USER_SET_FEATURES, 1, 8 }, 4, 1 };

	listen_with(setup, "--renderer=soft", NULL);
	expect_service(setup);
	unsigned fds = count_idle_fds(setup);
	for (int i = 0; i < 20; i++) {
		int fd = connect_to(setup);
		send_nonsense(fd, &half);
		close(fd);
	}
	expect_service(setup);
	assert_int_equal(count_idle_fds(setup), fds);
}

/* ---------------------------------------------------------------- front ends that go away */

static void expect_sleep(const struct setup *setup)
{
	/* Long enough for a loop that spins to show: 20 ticks and more. */
	const struct timespec pause = { .tv_nsec = 250000000 };
	uint64_t before = loopback_process_cpu_ticks(setup->process.pid);

	nanosleep(&pause, NULL);
	assert_in_range(loopback_process_cpu_ticks(setup->process.pid), before, before + 5);
}

static void no_spinning_when_the_front_end_goes_away(void **state)
{
	struct setup *setup = *state;
	struct virtio_gpu_resp_display_info info;

	listen_with(setup, "--renderer=soft", NULL);
	for (int round = 0; round < 3; round++) {
		connect_guest(setup, NULL);
		assert_int_equal(loopback_gpu_get_display_info(&setup->gpu, &info),
		    VIRTIO_GPU_RESP_OK_DISPLAY_INFO);
		expect_sleep(setup); /* idle, too */
		/* Hangs up with a request on its way */
		loopback_gpu_header(&setup->gpu, 0, 0);
		loopback_queue_kick_always(&setup->frontend.queues[CONTROL]);
		loopback_frontend_finish(&setup->frontend);
		expect_service(setup);
		expect_sleep(setup);
	}
}

static void no_spinning_on_a_broken_queue(void **state)
{
	struct setup *setup = *state;

	listen_with(setup, "--renderer=soft", NULL);
	connect_guest(setup, NULL);
	loopback_queue_add_head(&setup->frontend.queues[CONTROL], UINT16_MAX);
	loopback_queue_kick_always(&setup->frontend.queues[CONTROL]);
	assert_int_equal(loopback_frontend_wait_broken(&setup->frontend, CONTROL), 0);
	for (int i = 0; i < 1000; i++)
		loopback_queue_kick_always(&setup->frontend.queues[CONTROL]);
	expect_sleep(setup);
	loopback_frontend_finish(&setup->frontend);
	expect_service(setup);
}

static void bad_commands_do_not_fill_the_log(void **state)
{
	struct setup *setup = *state;

	listen_with(setup, "--renderer=soft", NULL);
	connect_guest(setup, NULL);
	for (uint32_t i = 0; i < 10000; i++)
		assert_int_equal(
		    loopback_gpu_unref(&setup->gpu, i), VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
	assert_in_range(count_lines(setup, ""), 1, 60);
	loopback_frontend_finish(&setup->frontend);
}

/* ---------------------------------------------------------------- its end */

static void end_is_orderly_and_leaves_a_picture(void **state)
{
	struct setup *setup = *state;
	char path[128];
	uint8_t magic[8] = { 0 };

	listen_with(setup, "--renderer=soft", setup->png_option);
	connect_guest(setup, NULL);
	assert_int_equal(loopback_gpu_create_2d(&setup->gpu, 1, BGRX, 32, 32), OK);
	assert_int_equal(loopback_gpu_set_scanout(&setup->gpu, 0, 1, 0, 0, 32, 32), OK);
	loopback_gpu_fence_next(&setup->gpu, 1);
	assert_int_equal(loopback_gpu_flush(&setup->gpu, 1, 0, 0, 32, 32), OK);
	int status = loopback_process_end(&setup->process, SIGTERM);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	snprintf(path, sizeof(path), "%s/scanout-0.png", setup->folder);
	FILE *file = fopen(path, "re");
	assert_non_null(file);
	assert_int_equal(fread(magic, 1, sizeof(magic), file), sizeof(magic));
	fclose(file);
	assert_memory_equal(magic, "\x89PNG\r\n\x1a\n", 8);
	loopback_frontend_finish(&setup->frontend);
}

/* ---------------------------------------------------------------- shader caches */

static unsigned count_entries(const char *path)
{
	DIR *directory = opendir(path);
	unsigned count = 0;

	assert_non_null(directory);
	for (const struct dirent *entry; (entry = readdir(directory));)
		count += entry->d_name[0] != '.';
	closedir(directory);
	return count;
}

/* Has GL kept compiled shaders in @folder, when a guest drew? */
static bool draws_fill_cache(struct setup *setup, const char *folder)
{
	static const float red[4] = { 1, 0, 0, 1 };
	struct loopback_virgl virgl;

	listen_with(setup, "--renderer=virgl", NULL);
	connect_guest(setup, NULL);
	assert_int_equal(loopback_gpu_ctx_create(&setup->gpu, 1, 0, "draws"), OK);
	assert_int_equal(
	    virgl_create_target(&setup->gpu, 1, VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM, 8, 8), OK);
	assert_int_equal(virgl_create_buffer(&setup->gpu, 2, 96), OK);
	assert_int_equal(loopback_gpu_ctx_attach(&setup->gpu, 1, 1), OK);
	assert_int_equal(loopback_gpu_ctx_attach(&setup->gpu, 1, 2), OK);
	virgl_begin(&virgl);
	virgl_create_surface(&virgl, 1, 1, VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM);
	virgl_set_framebuffer(&virgl, 1);
	virgl_draw_triangle(&virgl, 10, 2, 8, 8, red);
	loopback_gpu_fence_next(&setup->gpu, 1);
	assert_int_equal(virgl_submit(&setup->gpu, 1, &virgl), OK);
	loopback_frontend_finish(&setup->frontend);
	/* The cache's thread writes before it ends. */
	assert_int_equal(WEXITSTATUS(loopback_process_end(&setup->process, SIGTERM)), 0);
	unlink(setup->socket_path);
	return count_entries(folder) > 0;
}

static int remove_entry(const char *path, const struct stat *stat, int type, struct FTW *ftw)
{
	return remove(path);
}

/* One guest's shaders do not run in another's worker, unless somebody says so. */
static void no_shader_cache_is_shared(void **state)
{
	struct setup *setup = *state;
	char folder[] = "/tmp/gpudom-cache-test.XXXXXX";
	bool filled;

	assert_non_null(mkdtemp(folder));
	setenv("XDG_CACHE_HOME", folder, 1);
	unsetenv("MESA_SHADER_CACHE_DISABLE");
	assert_false(draws_fill_cache(setup, folder));
	/* This Mesa has one, which would have shown. */
	setenv("MESA_SHADER_CACHE_DISABLE", "false", 1);
	filled = draws_fill_cache(setup, folder);
	unsetenv("MESA_SHADER_CACHE_DISABLE");
	unsetenv("XDG_CACHE_HOME");
	nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
	if (!filled)
		skip();
}

/* ---------------------------------------------------------------- what it takes */

static void ten_thousand_resources_leave_nothing_with(struct setup *setup, const char *renderer)
{
	unsigned fds = 0, maps = 0;

	listen_with(setup, renderer, NULL);
	connect_guest(setup, NULL);
	struct loopback_backing *backing =
	    loopback_backing_create(&setup->frontend.memory, 64 * 64 * 4, LOOPBACK_PAGE);
	for (int i = 0; i < 10000; i++) {
		if (i == 1000) {
			fds = loopback_process_fds(setup->process.pid);
			maps = loopback_process_maps(setup->process.pid);
		}
		assert_int_equal(loopback_gpu_create_2d(&setup->gpu, 1, BGRX, 64, 64), OK);
		assert_int_equal(loopback_gpu_attach_backing(&setup->gpu, 1, backing), OK);
		if (i % 2)
			assert_int_equal(loopback_gpu_detach_backing(&setup->gpu, 1), OK);
		assert_int_equal(loopback_gpu_unref(&setup->gpu, 1), OK);
	}
	assert_int_equal(loopback_process_fds(setup->process.pid), fds);
	/* A sanitizer's allocator maps in steps of its own. */
	assert_in_range(loopback_process_maps(setup->process.pid), 0, maps + 16);
	loopback_backing_destroy(backing);
	loopback_frontend_finish(&setup->frontend);
}

static void ten_thousand_resources_leave_nothing(void **state)
{
	ten_thousand_resources_leave_nothing_with(*state, "--renderer=soft");
}

static void ten_thousand_resources_leave_nothing_in_virgl(void **state)
{
	ten_thousand_resources_leave_nothing_with(*state, "--renderer=virgl");
}

static void connections_leave_nothing(void **state)
{
	struct setup *setup = *state;
	unsigned fds = 0, maps = 0;

	listen_with(setup, "--renderer=virgl", NULL);
	for (int i = 0; i < 60; i++) {
		if (i == 20) {
			fds = count_idle_fds(setup);
			maps = loopback_process_maps(setup->process.pid);
		}
		connect_guest(setup, NULL);
		/* Goes away with everything in use */
		struct loopback_backing *backing =
		    loopback_backing_create(&setup->frontend.memory, 64 * 64 * 4, LOOPBACK_PAGE);
		assert_int_equal(loopback_gpu_create_2d(&setup->gpu, 1, BGRX, 64, 64), OK);
		assert_int_equal(loopback_gpu_attach_backing(&setup->gpu, 1, backing), OK);
		assert_int_equal(loopback_gpu_ctx_create(&setup->gpu, 1, 0, "short"), OK);
		assert_int_equal(loopback_gpu_ctx_attach(&setup->gpu, 1, 1), OK);
		assert_int_equal(loopback_gpu_set_scanout(&setup->gpu, 0, 1, 0, 0, 64, 64), OK);
		assert_int_equal(loopback_gpu_flush(&setup->gpu, 1, 0, 0, 64, 64), OK);
		loopback_backing_destroy(backing);
		loopback_frontend_finish(&setup->frontend);
	}
	expect_service(setup);
	assert_int_equal(count_idle_fds(setup), fds);
	assert_in_range(loopback_process_maps(setup->process.pid), 0, maps + 32);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, prepare, clean_up)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(malformed_messages_end_the_connection_alone),
		TEST(message_cut_off_is_dropped),
		TEST(no_spinning_when_the_front_end_goes_away),
		TEST(no_spinning_on_a_broken_queue),
		TEST(bad_commands_do_not_fill_the_log),
		TEST(end_is_orderly_and_leaves_a_picture),
		TEST(no_shader_cache_is_shared),
		TEST(ten_thousand_resources_leave_nothing),
		TEST(ten_thousand_resources_leave_nothing_in_virgl),
		TEST(connections_leave_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
