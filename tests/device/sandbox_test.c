/* SPDX-License-Identifier: MIT */
/*
 * The worker's containment (gpudom-security(7)), with the worker as it is built for use, not for
 * sanitizers: what /proc says of it, that it draws all the same, that both of its processes end
 * together, and that none of what a worker tries that a guest has taken over succeeds.
 */
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <seccomp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/compromised/compromised.h"
#include "tests/device/proc_status.h"
#include "tests/loopback/loopback_gpu.h"
#include "tests/loopback/loopback_process.h"
#include "tests/loopback/loopback_virgl.h"

#include <cmocka.h>

#define OK VIRTIO_GPU_RESP_OK_NODATA
#define BGRX VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM
#define BGRA VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM
#define SIZE 64

struct setup {
	struct loopback_process process; /* the monitor */
	pid_t renderer;
	bool connected;
	struct loopback_frontend frontend;
	struct loopback_gpu gpu;
};

/* ---------------------------------------------------------------- helpers */

static int prepare(void **state)
{
	struct setup *setup = calloc(1, sizeof(*setup));

	setup->process.socket = setup->process.output_fd = -1;
	*state = setup;
	return 0;
}

static int clean_up(void **state)
{
	struct setup *setup = *state;

	if (setup->connected)
		loopback_frontend_finish(&setup->frontend);
	loopback_process_end(&setup->process, SIGKILL);
	free(setup);
	return 0;
}

static void spawn(struct setup *setup, const char *program, const char *sandbox,
    const char *renderer, const char *option)
{
	char path[512];
	const char *const argv[] = { path, "--fd={fd}", "--guest=red", sandbox, renderer,
		"--limit-memory=2G", option, NULL };

	loopback_process_path(program, path, sizeof(path));
	assert_int_equal(loopback_process_spawn(&setup->process, argv, true), 0);
}

/* A guest of the worker's, which serves it: so it is sealed. */
static void connect_guest(struct setup *setup)
{
	const struct loopback_options options = { .gpu_socket = true };
	struct virtio_gpu_resp_display_info info;

	assert_int_equal(loopback_frontend_init(&setup->frontend, &options), 0);
	setup->connected = true;
	assert_int_equal(loopback_frontend_connect(&setup->frontend, setup->process.socket), 0);
	setup->process.socket = -1;
	loopback_gpu_init(&setup->gpu, &setup->frontend);
	assert_int_equal(
	    loopback_gpu_get_display_info(&setup->gpu, &info), VIRTIO_GPU_RESP_OK_DISPLAY_INFO);
	setup->renderer = loopback_process_renderer(&setup->process);
	assert_int_not_equal(setup->renderer, setup->process.pid);
}

static void start(struct setup *setup, const char *sandbox, const char *renderer)
{
	spawn(setup, "gpudom-worker", sandbox, renderer, "--display=frontend");
	connect_guest(setup);
}

static bool output_has(const struct setup *setup, const char *text)
{
	char *output = loopback_process_output(&setup->process);
	bool found = output && strstr(output, text);

	free(output);
	return found;
}

static int number(const char *text)
{
	return (int)strtol(text, NULL, 10);
}

/* Waits for the end of a process that may not be a child. */
static void wait_until_gone(int pidfd)
{
	struct pollfd fd = { .fd = pidfd, .events = POLLIN };

	assert_int_equal(poll(&fd, 1, LOOPBACK_TIMEOUT_MS), 1);
	close(pidfd);
}

/* The monitor's wait status, when it has ended by itself. */
static int wait_for_end(struct setup *setup)
{
	siginfo_t info;

	assert_int_equal(waitid(P_PID, (id_t)setup->process.pid, &info, WEXITED | WNOWAIT), 0);
	int output = setup->process.output_fd;
	setup->process.output_fd = -1;
	int status = loopback_process_end(&setup->process, 0);
	setup->process.output_fd = output;
	return status;
}

/* ---------------------------------------------------------------- what /proc says */

static bool is_other_namespace(pid_t pid, const char *name)
{
	char path[64], its[64] = "", ours[64] = "";

	snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)pid, name);
	assert_true(readlink(path, its, sizeof(its) - 1) > 0);
	snprintf(path, sizeof(path), "/proc/self/ns/%s", name);
	assert_true(readlink(path, ours, sizeof(ours) - 1) > 0);
	return strcmp(its, ours) != 0;
}

static void nothing_is_left_to_the_renderer(void **state)
{
	static const char *const namespaces[] = { "mnt", "net", "ipc", "pid", "uts", "cgroup" };
	static const char *const capabilities[] = { "CapInh", "CapPrm", "CapEff", "CapAmb" };
	struct setup *setup = *state;
	char path[64], line[256];

	start(setup, "--sandbox=strict", "--renderer=virgl");
	for (unsigned i = 0; i < sizeof(namespaces) / sizeof(namespaces[0]); i++)
		assert_true(is_other_namespace(setup->renderer, namespaces[i]));
	for (unsigned i = 0; i < sizeof(capabilities) / sizeof(capabilities[0]); i++)
		expect_status(setup->renderer, capabilities[i], "0000000000000000");
	expect_status(setup->renderer, "NoNewPrivs", "1");
	expect_status(setup->renderer, "Seccomp", "2");
	snprintf(line, sizeof(line), "%d\t1", (int)setup->renderer);
	expect_status(setup->renderer, "NSpid", line);

	/* Each thread: those of the GL driver, too */
	snprintf(path, sizeof(path), "/proc/%d/task", (int)setup->renderer);
	DIR *tasks = opendir(path);
	unsigned threads = 0;
	assert_non_null(tasks);
	for (const struct dirent *entry; (entry = readdir(tasks));) {
		if (entry->d_name[0] == '.')
			continue;
		threads++;
		expect_status(number(entry->d_name), "Seccomp", "2");
		expect_status(number(entry->d_name), "CapEff", "0000000000000000");
	}
	closedir(tasks);
	assert_true(threads > 1);

	/* An empty root, but for the nodes of a driver that opens them again and again */
	snprintf(path, sizeof(path), "/proc/%d/root", (int)setup->renderer);
	DIR *root = opendir(path);
	assert_non_null(root);
	for (const struct dirent *entry; (entry = readdir(root));)
		if (strcmp(entry->d_name, "dev") != 0 || access("/dev/nvidiactl", F_OK) < 0)
			assert_int_equal(entry->d_name[0], '.');
	closedir(root);

	/* And one network interface, which is down */
	snprintf(path, sizeof(path), "/proc/%d/net/dev", (int)setup->renderer);
	FILE *file = fopen(path, "re");
	unsigned lines = 0;
	assert_non_null(file);
	while (fgets(line, sizeof(line), file))
		lines++;
	fclose(file);
	assert_int_equal(lines, 3); /* two of them are titles */
}

/* What a descriptor is must be in @kinds, a list of beginnings. */
static void expect_descriptors(pid_t pid, const char *const *kinds, unsigned sockets_max)
{
	char path[64], is[256];
	unsigned sockets = 0;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	DIR *directory = opendir(path);
	assert_non_null(directory);
	for (const struct dirent *entry; (entry = readdir(directory));) {
		if (entry->d_name[0] == '.' || number(entry->d_name) <= STDERR_FILENO)
			continue;
		ssize_t n = readlinkat(dirfd(directory), entry->d_name, is, sizeof(is) - 1);
		assert_true(n > 0);
		is[n] = '\0';
		unsigned i = 0;
		while (kinds[i] && strncmp(is, kinds[i], strlen(kinds[i])) != 0)
			i++;
		if (!kinds[i])
			fail_msg("descriptor %s of %d is %s", entry->d_name, (int)pid, is);
		sockets += strncmp(is, "socket:", 7) == 0;
	}
	closedir(directory);
	assert_in_range(sockets, 1, sockets_max);
}

static void descriptors_are_few(void **state)
{
	static const char *const monitor[] = { "socket:", "anon_inode:[eventpoll]",
		"anon_inode:[signalfd]", "anon_inode:[pidfd]", "anon_inode:[timerfd]",
		"pipe:", NULL };
	static const char *const renderer[] = { "socket:", "anon_inode:[eventpoll]",
		"anon_inode:[signalfd]", "anon_inode:[eventfd]", "anon_inode:[timerfd]",
		"/memfd:", "/dev/dri/", "/dev/nvidia", NULL };
	struct setup *setup = *state;
	int stray = open("/", O_RDONLY | O_DIRECTORY); /* inherited, by mistake */

	start(setup, "--sandbox=strict", "--renderer=soft");
	close(stray);
	expect_descriptors(setup->process.pid, monitor, 2);
	/* The front end's three, and the monitor's */
	expect_descriptors(setup->renderer, renderer, 5);
}

/* Somebody's terminal, where gpudomd was started by hand. */
static void standard_input_is_nobodys(void **state)
{
	struct setup *setup = *state;
	char path[64], target[64] = "";
	int input = dup(STDIN_FILENO), pipes[2];

	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	dup2(pipes[0], STDIN_FILENO);
	start(setup, "--sandbox=strict", "--renderer=soft");
	dup2(input, STDIN_FILENO);
	close(input);
	close(pipes[0]);
	close(pipes[1]);
	snprintf(path, sizeof(path), "/proc/%d/fd/0", (int)setup->renderer);
	assert_true(readlink(path, target, sizeof(target) - 1) > 0);
	assert_string_equal(target, "/dev/null");
}

static void descriptors_do_not_pile_up(void **state)
{
	static const char *const monitor[] = { "socket:", "anon_inode:[eventpoll]",
		"anon_inode:[signalfd]", "anon_inode:[pidfd]", "anon_inode:[timerfd]",
		"pipe:", NULL };
	struct setup *setup = *state;

	spawn(setup, "gpudom-worker-compromised", "--sandbox=strict", "--renderer=soft",
	    "--compromised=leave-descriptors");
	connect_guest(setup);
	expect_descriptors(setup->process.pid, monitor, 2);
}

static void little_is_left_to_the_monitor(void **state)
{
	struct setup *setup = *state;

	start(setup, "--sandbox=strict", "--renderer=soft");
	expect_status(setup->process.pid, "CapPrm", "0000000000000000");
	expect_status(setup->process.pid, "CapEff", "0000000000000000");
	expect_status(setup->process.pid, "NoNewPrivs", "1");
	expect_status(setup->process.pid, "Seccomp", "2");
	expect_status(setup->process.pid, "Threads", "1");
}

/* ---------------------------------------------------------------- it works all the same */

static void readiness_is_told(void **state)
{
	struct setup *setup = *state;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char folder[] = "/tmp/gpudom-sandbox-test.XXXXXX", message[64] = "";
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_non_null(mkdtemp(folder));
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/notify", folder);
	assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	setenv("NOTIFY_SOCKET", address.sun_path, 1);
	start(setup, "--sandbox=strict", "--renderer=soft");
	unsetenv("NOTIFY_SOCKET");
	struct pollfd readable = { .fd = fd, .events = POLLIN };
	assert_int_equal(poll(&readable, 1, LOOPBACK_TIMEOUT_MS), 1);
	assert_true(recv(fd, message, sizeof(message) - 1, 0) > 0);
	assert_string_equal(message, "READY=1");
	close(fd);
	unlink(address.sun_path);
	rmdir(folder);
}

static uint32_t shown_pixel(struct setup *setup, uint32_t id)
{
	struct loopback_display *display = &setup->frontend.display;
	unsigned updates = display->updates;

	assert_int_equal(loopback_gpu_set_scanout(&setup->gpu, 0, id, 0, 0, SIZE, SIZE), OK);
	loopback_gpu_fence_next(&setup->gpu, 1);
	assert_int_equal(loopback_gpu_flush(&setup->gpu, id, 0, 0, SIZE, SIZE), OK);
	assert_int_equal(
	    loopback_frontend_wait_display(&setup->frontend, &display->updates, updates + 1), 0);
	assert_non_null(display->pictures[0].pixels);
	return display->pictures[0].pixels[SIZE * SIZE / 2 + 5] & 0xffffff;
}

static void a_picture_is_drawn(void **state)
{
	struct setup *setup = *state;

	start(setup, "--sandbox=strict", "--renderer=soft");
	struct loopback_backing *backing =
	    loopback_backing_create(&setup->frontend.memory, SIZE * SIZE * 4, LOOPBACK_PAGE);
	loopback_backing_fill(backing, 0x00112233);
	assert_int_equal(loopback_gpu_create_2d(&setup->gpu, 1, BGRX, SIZE, SIZE), OK);
	assert_int_equal(loopback_gpu_attach_backing(&setup->gpu, 1, backing), OK);
	assert_int_equal(loopback_gpu_transfer_2d(&setup->gpu, 1, 0, 0, SIZE, SIZE, 0), OK);
	assert_int_equal(shown_pixel(setup, 1), 0x112233);
	loopback_backing_destroy(backing);
}

/* A draw has its shaders compiled, and pixels are read back: by the picture, or, where GL exports
 * it as a dma-buf, which is the window's business, by the guest. */
static void draw_with(struct setup *setup)
{
	static const float red[4] = { 1, 0, 0, 1 }, blue[4] = { 0, 0, 1, 1 };
	const struct virtio_gpu_box all = { .w = SIZE, .h = SIZE, .d = 1 };
	struct loopback_gpu *gpu = &setup->gpu;
	struct loopback_virgl virgl;

	struct loopback_backing *backing =
	    loopback_backing_create(&setup->frontend.memory, SIZE * SIZE * 4, LOOPBACK_PAGE);
	assert_int_equal(loopback_gpu_ctx_create(gpu, 1, 0, "draws"), OK);
	assert_int_equal(virgl_create_target(gpu, 1, BGRA, SIZE, SIZE), OK);
	assert_int_equal(virgl_create_buffer(gpu, 2, 96), OK);
	assert_int_equal(loopback_gpu_ctx_attach(gpu, 1, 1), OK);
	assert_int_equal(loopback_gpu_ctx_attach(gpu, 1, 2), OK);
	virgl_begin(&virgl);
	virgl_create_surface(&virgl, 1, 1, BGRA);
	virgl_set_framebuffer(&virgl, 1);
	virgl_clear(&virgl, blue);
	virgl_draw_triangle(&virgl, 10, 2, SIZE, SIZE, red);
	loopback_gpu_fence_next(gpu, 1);
	assert_int_equal(virgl_submit(gpu, 1, &virgl), OK);
	assert_int_equal(loopback_gpu_attach_backing(gpu, 1, backing), OK);
	loopback_gpu_fence_next(gpu, 2);
	assert_int_equal(loopback_gpu_transfer_from_3d(gpu, 1, 1, &all, 0, SIZE * 4), OK);
	uint32_t first = loopback_backing_get(backing, (SIZE * 2 + SIZE - 3) * 4);
	uint32_t last = loopback_backing_get(backing, (SIZE * (SIZE - 3) + 2) * 4);
	/* The triangle covers one half, whichever way up. */
	assert_int_not_equal(first, last);
	assert_true(first == 0xffff0000 || first == 0xff0000ff);
	assert_true(last == 0xffff0000 || last == 0xff0000ff);
	loopback_backing_destroy(backing);
}

static void a_triangle_is_drawn(void **state)
{
	struct setup *setup = *state;

	start(setup, "--sandbox=strict", "--renderer=virgl");
	draw_with(setup);
	/* Contexts come and go while it is sealed, and so do their threads. */
	for (uint32_t ctx = 2; ctx < 20; ctx++) {
		assert_int_equal(loopback_gpu_ctx_create(&setup->gpu, ctx, 0, "another"), OK);
		assert_int_equal(loopback_gpu_ctx_destroy(&setup->gpu, ctx), OK);
	}
}

/* For measuring the list: prints what it would refuse. */
static void the_list_is_complete(void **state)
{
	struct setup *setup = *state;

	start(setup, "--sandbox=log", "--renderer=virgl");
	draw_with(setup);
	loopback_frontend_disconnect(&setup->frontend);
	assert_int_equal(wait_for_end(setup), 0);
	char *output = loopback_process_output(&setup->process);
	bool complete = !strstr(output, "would refuse");
	if (!complete || getenv("GPUDOM_VERBOSE"))
		fputs(output, stdout);
	free(output);
	assert_true(complete);
}

/* ---------------------------------------------------------------- the log */

static unsigned count_lines(const char *text, const char *with)
{
	unsigned count = 0;

	while ((text = strstr(text, with))) {
		count++;
		text += strlen(with);
	}
	return count;
}

static void a_log_cannot_be_filled(void **state)
{
	struct setup *setup = *state;
	char *output;

	spawn(setup, "gpudom-worker-compromised", "--sandbox=on", "--renderer=soft",
	    "--compromised=flood-log");
	shutdown(setup->process.socket, SHUT_WR);
	assert_int_equal(wait_for_end(setup), 0);
	output = loopback_process_output(&setup->process);
	assert_in_range(count_lines(output, "\n"), 1000, 10000);
	/* Each one has the guest's name, whoever's it claims to have, and no line is hidden. */
	assert_true(count_lines(output, "<3>guest red: guest blue: was here") > 1000);
	assert_int_equal(count_lines(output, "\n<3>guest blue"), 0);
	assert_int_equal(count_lines(output, "\033"), 0);
	free(output);
}

/* ---------------------------------------------------------------- ends */

static void the_renderer_ends_with_the_monitor(void **state)
{
	struct setup *setup = *state;

	start(setup, "--sandbox=on", "--renderer=soft");
	int pidfd = pidfd_open(setup->renderer, 0);
	assert_true(pidfd >= 0);
	kill(setup->process.pid, SIGKILL);
	wait_until_gone(pidfd);
}

static void the_monitor_ends_with_the_renderer(void **state)
{
	struct setup *setup = *state;

	start(setup, "--sandbox=on", "--renderer=soft");
	kill(setup->renderer, SIGKILL);
	int status = wait_for_end(setup);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGKILL);
}

/* What tells gpudomd that guest memory is no longer mapped must not hang on the monitor. */
static void sockets_are_the_renderers_alone(void **state)
{
	struct setup *setup = *state;

	start(setup, "--sandbox=on", "--renderer=soft");
	kill(setup->process.pid, SIGSTOP);
	kill(setup->renderer, SIGKILL);
	assert_int_equal(loopback_frontend_wait_hangup(&setup->frontend), 0);
	kill(setup->process.pid, SIGCONT);
	assert_true(WIFSIGNALED(wait_for_end(setup)));
}

static void an_orderly_end_is_passed_on(void **state)
{
	struct setup *setup = *state;

	start(setup, "--sandbox=on", "--renderer=soft");
	kill(setup->process.pid, SIGTERM);
	assert_int_equal(wait_for_end(setup), 0);
}

/* A guest's command ends the worker in a way of its choice. */
static int end_by(struct setup *setup, enum compromised_action action)
{
	spawn(setup, "gpudom-worker-compromised", "--sandbox=on", "--renderer=soft", NULL);
	connect_guest(setup);
	const struct virtio_gpu_resource_create_2d command = {
		.hdr = loopback_gpu_header(&setup->gpu, VIRTIO_GPU_CMD_RESOURCE_CREATE_2D, 0),
		.resource_id = 1,
		.format = BGRX,
		.width = COMPROMISED_WIDTH,
		.height = action,
	};
	loopback_gpu_begin(
	    &setup->gpu, LOOPBACK_GPU_CONTROL, &command, sizeof(command), NULL, 0, 24);
	loopback_gpu_kick(&setup->gpu, LOOPBACK_GPU_CONTROL);
	return wait_for_end(setup);
}

static void an_abort_is_passed_on(void **state)
{
	int status = end_by(*state, COMPROMISED_ABORT);

	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGABRT);
}

static void a_fault_is_passed_on(void **state)
{
	int status = end_by(*state, COMPROMISED_FAULT);

	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSEGV);
}

static void a_status_is_passed_on(void **state)
{
	int status = end_by(*state, COMPROMISED_EXIT);

	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 3);
}

static void a_refused_call_is_named(void **state)
{
	struct setup *setup = *state;
	int status = end_by(setup, COMPROMISED_CALL);

	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSYS);
	assert_true(output_has(setup, "guest red: the sandbox refuses the system call socket ("));
}

/* ---------------------------------------------------------------- users that have less */

/* As gpudomd starts it: a user without any privilege, whose namespaces come with a user namespace.
 * We, as root, look at it. */
static void a_user_without_privileges_gets_all_of_it(void **state)
{
	static const char *const namespaces[] = { "user", "mnt", "net", "ipc", "pid" };
	struct setup *setup = *state;
	char path[512], line[64];
	const char *const argv[] = { "/usr/bin/setpriv", "--reuid=65534", "--regid=65534",
		"--clear-groups", "--inh-caps=-all", "--bounding-set=-all", path, "--fd={fd}",
		"--guest=red", "--sandbox=strict", "--renderer=virgl", "--display=frontend", NULL };

	if (geteuid() != 0 || access(argv[0], X_OK) < 0)
		skip();
	loopback_process_path("gpudom-worker", path, sizeof(path));
	assert_int_equal(loopback_process_spawn(&setup->process, argv, true), 0);
	connect_guest(setup);
	draw_with(setup);
	for (unsigned i = 0; i < sizeof(namespaces) / sizeof(namespaces[0]); i++)
		assert_true(is_other_namespace(setup->renderer, namespaces[i]));
	expect_status(setup->renderer, "Uid", "65534\t65534\t65534\t65534");
	expect_status(setup->renderer, "CapEff", "0000000000000000");
	expect_status(setup->renderer, "CapBnd", "0000000000000000");
	expect_status(setup->renderer, "Seccomp", "2");
	snprintf(path, sizeof(path), "/proc/%d/limits", (int)setup->renderer);
	FILE *file = fopen(path, "re");
	bool threads = false;
	assert_non_null(file);
	while (fgets(line, sizeof(line), file))
		threads |= strncmp(line, "Max processes             512 ", 30) == 0;
	fclose(file);
	assert_true(threads);
}

/* ---------------------------------------------------------------- kernels that have less */

/* The programs that we start find no namespaces, whoever they are. */
static void refuse_namespaces(void)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);

	assert_non_null(filter);
	assert_int_equal(seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(unshare), 0), 0);
	assert_int_equal(seccomp_load(filter), 0);
	seccomp_release(filter);
}

static void without_namespaces(void (*test)(struct setup *setup), struct setup *setup)
{
	pid_t pid = fork();

	if (pid == 0) {
		refuse_namespaces();
		test(setup);
		_exit(0);
	}
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void serves_without(struct setup *setup)
{
	start(setup, "--sandbox=on", "--renderer=virgl");
	draw_with(setup);
	assert_true(output_has(setup, "no namespaces of its own"));
	expect_status(setup->renderer, "Seccomp", "2");
	expect_status(setup->renderer, "CapEff", "0000000000000000");
	loopback_frontend_finish(&setup->frontend);
	assert_int_equal(wait_for_end(setup), 0);
}

static void refuses_without(struct setup *setup)
{
	spawn(setup, "gpudom-worker", "--sandbox=strict", "--renderer=soft", NULL);
	int status = wait_for_end(setup);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), EXIT_FAILURE);
	assert_true(output_has(setup, "no namespaces of its own"));
}

static void without_namespaces_it_serves(void **state)
{
	without_namespaces(serves_without, *state);
}

static void without_namespaces_strict_does_not_start(void **state)
{
	without_namespaces(refuses_without, *state);
}

/* ---------------------------------------------------------------- attempts */

/* One attempt, in a worker of its own. */
static bool attempt_fails(struct setup *setup, const char *name)
{
	char option[128], refused[128], *output;
	int status;
	bool fails, attempted;

	snprintf(option, sizeof(option), "--compromised=%s", name);
	spawn(setup, "gpudom-worker-compromised", "--sandbox=strict", "--renderer=soft", option);
	shutdown(setup->process.socket, SHUT_WR); /* then it ends, if nothing else does it */
	status = wait_for_end(setup);
	output = loopback_process_output(&setup->process);
	snprintf(refused, sizeof(refused), "attempt %s: refused", name);
	attempted = strstr(output, "attempt ");
	fails = attempted && (WIFSIGNALED(status) ? WTERMSIG(status) == SIGSYS
						  : strstr(output, refused) != NULL);
	if (!fails || getenv("GPUDOM_VERBOSE"))
		printf("%s: status %#x\n%s", name, (unsigned)status, output);
	free(output);
	close(setup->process.output_fd);
	setup->process.output_fd = -1;
	return fails;
}

static void no_attempt_succeeds(void **state)
{
	struct setup *setup = *state;
	char path[512], command[600], name[64];
	unsigned attempts = 0, succeeded = 0;

	loopback_process_path("gpudom-worker-compromised", path, sizeof(path));
	snprintf(command, sizeof(command), "exec %s --compromised=list", path);
	FILE *names = popen(command, "re");
	assert_non_null(names);
	while (fscanf(names, "%63s", name) == 1) {
		/* Its own outcome is among the lines that are dropped: a_log_cannot_be_filled() */
		if (strcmp(name, "flood-log") == 0)
			continue;
		attempts++;
		succeeded += !attempt_fails(setup, name);
	}
	assert_int_equal(pclose(names), 0);
	assert_true(attempts > 50);
	assert_int_equal(succeeded, 0);
}

/* A renderer that says again and again that it is ready: systemd hears of it once. */
static void readiness_is_told_once(void **state)
{
	struct setup *setup = *state;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char folder[] = "/tmp/gpudom-sandbox-test.XXXXXX", message[64];
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_non_null(mkdtemp(folder));
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/notify", folder);
	assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	setenv("NOTIFY_SOCKET", address.sun_path, 1);
	assert_true(attempt_fails(setup, "repeat-readiness"));
	unsetenv("NOTIFY_SOCKET");
	assert_true(recv(fd, message, sizeof(message), 0) > 0);
	assert_true(recv(fd, message, sizeof(message), 0) < 0);
	close(fd);
	unlink(address.sun_path);
	rmdir(folder);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, prepare, clean_up)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nothing_is_left_to_the_renderer),
		TEST(descriptors_are_few),
		TEST(standard_input_is_nobodys),
		TEST(descriptors_do_not_pile_up),
		TEST(little_is_left_to_the_monitor),
		TEST(readiness_is_told),
		TEST(a_picture_is_drawn),
		TEST(a_triangle_is_drawn),
		TEST(the_list_is_complete),
		TEST(a_log_cannot_be_filled),
		TEST(the_renderer_ends_with_the_monitor),
		TEST(the_monitor_ends_with_the_renderer),
		TEST(sockets_are_the_renderers_alone),
		TEST(an_orderly_end_is_passed_on),
		TEST(an_abort_is_passed_on),
		TEST(a_fault_is_passed_on),
		TEST(a_status_is_passed_on),
		TEST(a_refused_call_is_named),
		TEST(a_user_without_privileges_gets_all_of_it),
		TEST(without_namespaces_it_serves),
		TEST(without_namespaces_strict_does_not_start),
		TEST(readiness_is_told_once),
		TEST(no_attempt_succeeds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
