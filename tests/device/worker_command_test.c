/* SPDX-License-Identifier: MIT */
/* gpudom-worker, run by hand: its command line, its socket, its signals and its pictures. */
#include <errno.h>
#include <limits.h>
#include <png.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/loopback/loopback_gpu.h"
#include "tests/loopback/loopback_process.h"

#include <cmocka.h>

#define OK VIRTIO_GPU_RESP_OK_NODATA
#define W 320
#define H 200

struct fixture {
	char worker[PATH_MAX + 16]; /* the program: beside this one's folder */
	char folder[64], socket[96], socket_option[128], png_option[96];
	struct loopback_process process;
	struct loopback_frontend frontend;
	struct loopback_gpu gpu;
	struct loopback_backing *backing;
	bool connected;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	char self[PATH_MAX] = "";
	ssize_t n;

	assert_non_null(f);
	n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	assert_true(n > 0);
	for (int i = 0; i < 2; i++)
		*strrchr(self, '/') = '\0';
	snprintf(f->worker, sizeof(f->worker), "%s/gpudom-worker", self);
	snprintf(f->folder, sizeof(f->folder), "/tmp/worker_test.XXXXXX");
	assert_non_null(mkdtemp(f->folder));
	snprintf(f->socket, sizeof(f->socket), "%s/socket", f->folder);
	snprintf(f->socket_option, sizeof(f->socket_option), "--socket-path=%s", f->socket);
	snprintf(f->png_option, sizeof(f->png_option), "--png-dir=%s", f->folder);
	*state = f;
	return 0;
}

static void hang_up(struct fixture *f)
{
	if (!f->connected)
		return;
	loopback_backing_destroy(f->backing);
	loopback_frontend_finish(&f->frontend);
	f->connected = false;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	char path[128];

	hang_up(f);
	loopback_process_end(&f->process, SIGKILL);
	unlink(f->socket);
	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/scanout-%d.png", f->folder, i);
		unlink(path);
	}
	assert_int_equal(rmdir(f->folder), 0); /* nothing else is left there */
	free(f);
	return 0;
}

/* ---------------------------------------------------------------- helpers */

static void spawn(struct fixture *f, const char *a, const char *b, const char *c)
{
	const char *const argv[] = { f->worker, "--renderer=soft", a, b, c, NULL };

	assert_int_equal(loopback_process_spawn(&f->process, argv, true), 0);
}

static void connect_fd(struct fixture *f, int fd)
{
	assert_true(fd >= 0);
	assert_int_equal(loopback_frontend_init(&f->frontend, NULL), 0);
	assert_int_equal(loopback_frontend_connect(&f->frontend, fd), 0);
	loopback_gpu_init(&f->gpu, &f->frontend);
	f->connected = true;
}

static void connect_socket(struct fixture *f)
{
	connect_fd(f, loopback_process_connect(&f->process, f->socket));
}

static uint32_t pattern(uint32_t i)
{
	return i * 2654435761u >> 8;
}

static void show_pattern(struct fixture *f)
{
	f->backing = loopback_backing_create(&f->frontend.memory, W * H * 4, 4096);
	for (uint32_t i = 0; i < W * H; i++)
		loopback_backing_set(f->backing, (size_t)i * 4, pattern(i));
	assert_int_equal(
	    loopback_gpu_create_2d(&f->gpu, 1, VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM, W, H), OK);
	assert_int_equal(loopback_gpu_attach_backing(&f->gpu, 1, f->backing), OK);
	assert_int_equal(loopback_gpu_transfer_2d(&f->gpu, 1, 0, 0, W, H, 0), OK);
	assert_int_equal(loopback_gpu_set_scanout(&f->gpu, 0, 1, 0, 0, W, H), OK);
	assert_int_equal(loopback_gpu_flush(&f->gpu, 1, 0, 0, W, H), OK);
}

static void check_png(struct fixture *f)
{
	png_image image = { .version = PNG_IMAGE_VERSION };
	uint8_t *bgr = malloc(W * H * 3);
	char path[96];

	snprintf(path, sizeof(path), "%s/scanout-0.png", f->folder);
	assert_int_not_equal(png_image_begin_read_from_file(&image, path), 0);
	assert_int_equal(image.width, W);
	assert_int_equal(image.height, H);
	image.format = PNG_FORMAT_BGR;
	assert_int_not_equal(png_image_finish_read(&image, NULL, bgr, 0, NULL), 0);
	for (uint32_t i = 0; i < W * H; i++)
		assert_int_equal(
		    bgr[i * 3] | bgr[i * 3 + 1] << 8 | bgr[i * 3 + 2] << 16, pattern(i) & 0xffffff);
	free(bgr);
	unlink(path);
}

/* Waits for its end, sending @signal if not 0: it must be clean (or not: @status), and
 * standard error must tell @text. */
static void expect_end(struct fixture *f, int signal, int status, const char *text)
{
	siginfo_t info;
	char *output;

	if (signal)
		assert_int_equal(kill(f->process.pid, signal), 0);
	assert_int_equal(waitid(P_PID, (id_t)f->process.pid, &info, WEXITED | WNOWAIT), 0);
	output = loopback_process_output(&f->process);
	assert_non_null(output);
	if (info.si_code != CLD_EXITED || info.si_status != status ||
	    (text && !strstr(output, text)))
		fail_msg("code %d, status %d: %s", info.si_code, info.si_status, output);
	free(output);
	loopback_process_end(&f->process, 0);
}

/* ---------------------------------------------------------------- tests */

static void wrong_options_are_explained(void **state)
{
	static const struct {
		const char *option, *text;
	} wrong[] = {
		{ "--renderer=metal", "--renderer=metal: auto, virgl or soft expected" },
		{ "--mode=1024", "--mode=1024: WIDTHxHEIGHT[@HZ] expected" },
		{ "--mode=0x5", "--mode=0x5: WIDTHxHEIGHT[@HZ] expected" },
		{ "--mode=20000x5", "--mode=20000x5: WIDTHxHEIGHT[@HZ] expected" },
		{ "--mode=5x5@", "--mode=5x5@: WIDTHxHEIGHT[@HZ] expected" },
		{ "--mode=5x5@nan", "--mode=5x5@nan: WIDTHxHEIGHT[@HZ] expected" },
		{ "--refresh=-1", "--refresh=-1: a rate in Hz" },
		{ "--scanouts=17", "--scanouts=17: a smaller number expected" },
		{ "--limit-host-bytes=1T", "--limit-host-bytes=1T: a size such as 256M expected" },
		{ "--limit-command-bytes=4G", "--limit-command-bytes=4G: a size such as 256M" },
		{ "--limit-fences=-1", "--limit-fences=-1: a number expected" },
		{ "--capsets=virgl,venom",
		    "names out of virgl, virgl2, venus, drm, cross-domain, none expected" },
		{ "--edid-vendor=dell", "--edid-vendor=dell: three letters, A to Z, expected" },
		{ "--edid-name=", "--edid-name=: 1 to 13 characters of ASCII expected" },
		{ "--size-mm=520", "--size-mm=520: WIDTHxHEIGHT in mm, 5 to 2550 each, expected" },
		{ "--limit-gpu-time=101",
		    "--limit-gpu-time=101: percent, 1 to 100, or off expected" },
		{ "--limit-frame-rate=0", "--limit-frame-rate=0: a number, or off expected" },
		{ "--fd=3", "one of --socket-path and --fd" },
		{ "surprise", "what is 'surprise'?" },
		{ "--no-such-option", "gpudom-worker --help" },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		spawn(f, f->socket_option, wrong[i].option, NULL);
		expect_end(f, 0, EXIT_FAILURE, wrong[i].text);
		assert_int_equal(access(f->socket, F_OK), -1);
	}
	spawn(f, NULL, NULL, NULL);
	expect_end(f, 0, EXIT_FAILURE, "one of --socket-path and --fd");
	spawn(f, f->socket_option, "--display=frontend", f->png_option);
	expect_end(f, 0, EXIT_FAILURE, "--png-dir needs --display=headless");
}

static void it_serves_one_connection_after_another(void **state)
{
	struct fixture *f = *state;
	struct virtio_gpu_resp_display_info info;

	spawn(f, f->socket_option, "--mode=640x480", "--mode=800x600@75");
	for (int i = 0; i < 3; i++) {
		connect_socket(f);
		assert_int_equal(
		    loopback_gpu_get_display_info(&f->gpu, &info), VIRTIO_GPU_RESP_OK_DISPLAY_INFO);
		assert_int_equal(info.pmodes[0].r.width, 640);
		assert_int_equal(info.pmodes[1].r.x, 640);
		assert_int_equal(info.pmodes[1].r.width, 800);
		assert_int_equal(info.pmodes[2].enabled, 0);
		hang_up(f);
	}
	expect_end(f, SIGTERM, EXIT_SUCCESS, NULL);
	assert_int_equal(access(f->socket, F_OK), -1); /* taken away */
}

static void once_is_once(void **state)
{
	struct fixture *f = *state;

	spawn(f, f->socket_option, "--once", f->png_option);
	connect_socket(f);
	show_pattern(f);
	hang_up(f);
	expect_end(f, 0, EXIT_SUCCESS, "scanout-0.png");
	assert_int_equal(access(f->socket, F_OK), -1);
	check_png(f); /* the guest is gone, its last picture is not */
}

static void an_inherited_socket_is_served_until_it_closes(void **state)
{
	struct fixture *f = *state;

	spawn(f, "--fd={fd}", f->png_option, "--refresh=0");
	connect_fd(f, f->process.socket);
	f->process.socket = -1;
	show_pattern(f);
	hang_up(f);
	expect_end(f, 0, EXIT_SUCCESS, NULL);
	check_png(f);
}

static void an_inherited_descriptor_must_be_a_socket(void **state)
{
	struct fixture *f = *state;

	spawn(f, "--fd=1000", NULL, NULL);
	expect_end(f, 0, EXIT_FAILURE, "--fd=1000");
}

static void sigusr1_takes_a_picture(void **state)
{
	struct fixture *f = *state;
	struct inotify_event *event;
	char buffer[4096] __attribute__((aligned(8)));
	int inotify = inotify_init1(IN_CLOEXEC);

	spawn(f, f->socket_option, f->png_option, "--guest=painter");
	connect_socket(f);
	show_pattern(f);
	assert_true(inotify_add_watch(inotify, f->folder, IN_MOVED_TO) >= 0);
	assert_int_equal(kill(f->process.pid, SIGUSR1), 0);
	assert_true(read(inotify, buffer, sizeof(buffer)) > 0); /* it appears whole */
	event = (struct inotify_event *)buffer;
	assert_string_equal(event->name, "scanout-0.png");
	check_png(f);
	close(inotify);
	/* And at the end, with the guest still there */
	expect_end(f, SIGINT, EXIT_SUCCESS, "guest painter: wrote ");
	check_png(f);
}

/* Waits until the log has @text; the line from there on, to be freed. */
static char *await_log(struct fixture *f, const char *text)
{
	for (unsigned i = 0; i < 60000; i++) {
		char *output = loopback_process_output(&f->process), *at, *line;

		assert_non_null(output);
		at = strstr(output, text);
		if (at && strchr(at, '\n')) {
			line = strndup(at, strcspn(at, "\n"));
			free(output);
			return line;
		}
		free(output);
		usleep(1000);
	}
	fail_msg("the log never says %s", text);
	return NULL;
}

static void sigusr2_logs_the_counters(void **state)
{
	struct fixture *f = *state;
	char *line;

	spawn(f, f->socket_option, "--refresh=0", NULL);
	connect_socket(f);
	show_pattern(f);
	assert_int_equal(kill(f->process.pid, SIGUSR2), 0);
	line = await_log(f, "statistics: ");
	/* Create, attach, scan-out, transfer, flush */
	assert_non_null(strstr(line, " commands=5 batches=5 errors=0 frames=1 fences="));
	assert_non_null(strstr(line, " resources=1 contexts=0 "));
	/* A driver that sees an answer before it goes to sleep asks for no interrupt. */
	assert_non_null(strstr(line, " backing_bytes=258048 requests=5 interrupts="));
	assert_in_range(
	    strtoul(strstr(line, "interrupts=") + strlen("interrupts="), NULL, 10), 1, 5);
	assert_non_null(
	    strstr(line, " memory=mmap map_calls=0 unmap_calls=0 copy_calls=0 copy_segments=0 "
			 "pages_mapped=0 maps=0"));
	free(line);
	expect_end(f, SIGTERM, EXIT_SUCCESS, NULL);
}

static void monitors_have_the_identity_that_was_asked_for(void **state)
{
	struct fixture *f = *state;
	struct virtio_gpu_resp_edid edid;

	spawn(f, f->socket_option, "--size-mm=520x290", "--edid-name=Cluster");
	connect_socket(f);
	assert_int_equal(loopback_gpu_get_edid(&f->gpu, 0, &edid), VIRTIO_GPU_RESP_OK_EDID);
	assert_int_equal(edid.size, 128);
	assert_memory_equal(edid.edid + 77, "Cluster\n", 8);
	assert_int_equal(edid.edid[21], 52);
	assert_int_equal(edid.edid[22], 29);
	expect_end(f, SIGTERM, EXIT_SUCCESS, NULL);
}

/* One file of settings may serve hosts with other builds and GPUs. */
static void capsets_that_are_not_there_are_named(void **state)
{
	struct fixture *f = *state;
	char *line;

	spawn(f, f->socket_option, "--renderer=soft", "--capsets=virgl2,venus");
	connect_socket(f);
	line = await_log(f, "not offered virgl2, venus: ");
	assert_non_null(strstr(line, "the renderer is soft"));
	free(line);
	expect_end(f, SIGTERM, EXIT_SUCCESS, NULL);
}

static void a_socket_in_use_is_left_alone(void **state)
{
	struct fixture *f = *state;
	struct loopback_process first;

	spawn(f, f->socket_option, NULL, NULL);
	connect_socket(f);
	first = f->process;
	spawn(f, f->socket_option, NULL, NULL);
	expect_end(f, 0, EXIT_FAILURE, "Address already in use");
	f->process = first;
	/* The first one goes on. */
	show_pattern(f);
	hang_up(f);
	expect_end(f, SIGTERM, EXIT_SUCCESS, NULL);
}

/* A contained worker's other process, which listens, ends a moment after it. */
static void wait_until_refused(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd, r;

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	do {
		fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		assert_true(fd >= 0);
		r = connect(fd, (const struct sockaddr *)&address, sizeof(address));
		close(fd);
	} while (r == 0);
}

static void a_socket_that_was_left_behind_is_replaced(void **state)
{
	struct fixture *f = *state;

	spawn(f, f->socket_option, NULL, NULL);
	connect_socket(f);
	hang_up(f);
	kill(f->process.pid, SIGKILL);
	loopback_process_end(&f->process, SIGKILL);
	assert_int_equal(access(f->socket, F_OK), 0);
	wait_until_refused(f->socket);
	spawn(f, f->socket_option, "--once", NULL);
	connect_socket(f);
	hang_up(f);
	expect_end(f, 0, EXIT_SUCCESS, NULL);
}

static void a_file_in_the_way_is_left_alone(void **state)
{
	struct fixture *f = *state;
	FILE *file = fopen(f->socket, "we");

	assert_non_null(file);
	fclose(file);
	spawn(f, f->socket_option, NULL, NULL);
	expect_end(f, 0, EXIT_FAILURE, "cannot listen on ");
	assert_int_equal(access(f->socket, F_OK), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(wrong_options_are_explained, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    it_serves_one_connection_after_another, set_up, tear_down),
		cmocka_unit_test_setup_teardown(once_is_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    an_inherited_socket_is_served_until_it_closes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    an_inherited_descriptor_must_be_a_socket, set_up, tear_down),
		cmocka_unit_test_setup_teardown(sigusr1_takes_a_picture, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    monitors_have_the_identity_that_was_asked_for, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    capsets_that_are_not_there_are_named, set_up, tear_down),
		cmocka_unit_test_setup_teardown(sigusr2_logs_the_counters, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_socket_in_use_is_left_alone, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    a_socket_that_was_left_behind_is_replaced, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_file_in_the_way_is_left_alone, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
