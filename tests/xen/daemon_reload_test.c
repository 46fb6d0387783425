/* SPDX-License-Identifier: MIT */
/* gpudomd on the fake Xen: settings that change under a guest. */
#include <sys/stat.h>

#include "tests/xen/daemon_rig.h"
#include "xen/cgroup.h"
#include "xen/guest.h"
#include "xen/guest_device.h"

static char path[] = "/tmp/gpudom-reload-XXXXXX";

/* What daemon_reload() told of the guest. */
static struct {
	unsigned calls;
	char at_once[256], at_reset[256];
} told;

static void changed(
    void *data, const struct guest *guest, const char *at_once, const char *at_reset)
{
	told.calls++;
	snprintf(told.at_once, sizeof(told.at_once), "%s", at_once);
	snprintf(told.at_reset, sizeof(told.at_reset), "%s", at_reset);
}

static int reload(struct rig *rig, const char *text, char **errors)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
	memset(&told, 0, sizeof(told));
	return daemon_reload(rig->gpu_daemon, changed, NULL, errors);
}

static void assert_changes(
    struct rig *rig, const char *text, const char *at_once, const char *at_reset)
{
	char *errors;

	assert_int_equal(reload(rig, text, &errors), 0);
	assert_null(errors);
	assert_int_equal(told.calls, *at_once || *at_reset);
	assert_string_equal(told.at_once, at_once);
	assert_string_equal(told.at_reset, at_reset);
}

static int set_up_reload(void **state)
{
	int fd = mkstemp(path), result = set_up(state);

	close(fd);
	((struct rig *)*state)->options.config_path = path;
	return result;
}

static int tear_down_reload(void **state)
{
	int result = tear_down(state);

	unlink(path);
	memset(path + sizeof(path) - 7, 'X', 6);
	return result;
}

static unsigned workers(void)
{
	return __atomic_load_n(&fake_gntdev->workers, __ATOMIC_ACQUIRE);
}

static bool serves(const struct rig *rig)
{
	return daemon_served(rig->gpu_daemon) == 1;
}

static void start_served_guest(struct rig *rig)
{
	run_daemon(rig);
	start_guest(rig);
	bring_up(rig);
	assert_served(rig, 0, 0x11);
	assert_int_equal(workers(), 1);
}

static void kill_and_wait(struct rig *rig)
{
	unsigned before = workers();

	assert_int_equal(kill(fake_gntdev->worker_pid, SIGKILL), 0);
	WAIT_FOR(rig, !serves(rig));
	forget_mapped();
	WAIT_FOR(rig, serves(rig));
	assert_int_equal(workers(), before + 1);
}

/* Was the worker that serves started with this? */
static bool worker_has(const char *option)
{
	char name[64], line[4096];
	FILE *file;
	size_t n;

	snprintf(name, sizeof(name), "/proc/%d/cmdline", fake_gntdev->worker_pid);
	file = fopen(name, "r");
	assert_non_null(file);
	n = fread(line, 1, sizeof(line) - 1, file);
	fclose(file);
	line[n] = '\0';
	for (const char *at = line; at < line + n; at += strlen(at) + 1)
		if (!strcmp(at, option))
			return true;
	return false;
}

/* ---------------------------------------------------------------- what holds at once */

static void a_limit_holds_at_once(void **state)
{
	struct rig *rig = *state;

	start_served_guest(rig);
	WAIT_FOR(rig, fake_gntdev->limit_resources == 65536); /* it may be a predecessor's */
	assert_changes(rig, "[guest clock]\nlimit-resources = 7\n", "limit-resources", "");
	WAIT_FOR(rig, fake_gntdev->limit_resources == 7);
	assert_int_equal(workers(), 1);
	assert_served(rig, 0, 0x12);
	/* And for whoever replaces the worker */
	fake_gntdev->limit_resources = 0;
	kill_and_wait(rig);
	WAIT_FOR(rig, fake_gntdev->limit_resources == 7);
	assert_served(rig, 0, 0x13);
	assert_changes(rig, "", "limit-resources", "");
	WAIT_FOR(rig, fake_gntdev->limit_resources == 65536);
}

static void what_is_the_same_is_not_touched(void **state)
{
	struct rig *rig = *state;
	unsigned before;

	start_served_guest(rig);
	WAIT_FOR(rig, fake_gntdev->limits_told > 0);
	before = fake_gntdev->limits_told;
	assert_changes(rig, "[guest other]\nmode = 800x600\nlimit-fences = 1\n", "", "");
	assert_changes(rig, "[guest other]\nmode = 640x480\n", "", "");
	assert_changes(rig, "# nothing\n[default]\n", "", "");
	assert_served(rig, 0, 0x12);
	bring_up(rig);
	assert_served(rig, 0, 0x13);
	assert_int_equal(workers(), 1);
	assert_int_equal(fake_gntdev->limits_told, before);
}

/* ---------------------------------------------------------------- what waits for a reset */

static void outputs_wait_for_the_guests_reset(void **state)
{
	struct rig *rig = *state;

	start_served_guest(rig);
	assert_changes(
	    rig, "[default]\nmode = 800x600\nhang-timeout = 1s\n", "hang-timeout", "mode");
	assert_served(rig, 0, 0x12);
	assert_int_equal(workers(), 1);
	/* One that replaces it is like it, as its driver knows it. */
	kill_and_wait(rig);
	assert_false(worker_has("--mode=800x600"));
	assert_int_equal(rd(rig, VIRTIO_MMIO_STATUS), 0xf);
	assert_served(rig, 0, 0x13);
	bring_up(rig);
	assert_int_equal(workers(), 3);
	assert_true(worker_has("--mode=800x600"));
	assert_served(rig, 0, 0x14);
	/* Once is enough */
	bring_up(rig);
	assert_served(rig, 0, 0x15);
	kill_and_wait(rig);
	assert_true(worker_has("--mode=800x600"));
	assert_served(rig, 0, 0x16);
}

static void what_was_taken_back_costs_nothing(void **state)
{
	struct rig *rig = *state;

	start_served_guest(rig);
	assert_changes(rig, "[default]\nmode = 800x600\n", "", "mode");
	assert_changes(rig, "[default]\n", "", "mode");
	bring_up(rig);
	assert_served(rig, 0, 0x12);
	assert_int_equal(workers(), 1);
}

/* A driver that comes up anew is offered what its worker now has: less, and then more. */
static void features_change_with_a_reset(void **state)
{
	struct rig *rig = *state;

	start_served_guest(rig);
	wr(rig, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 0);
	assert_int_equal(rd(rig, VIRTIO_MMIO_DEVICE_FEATURES) & 5, 5);
	assert_changes(rig, "[default]\ncapsets = none\n", "", "capsets");
	assert_int_equal(rd(rig, VIRTIO_MMIO_DEVICE_FEATURES) & 5, 5);
	wr(rig, VIRTIO_MMIO_STATUS, 0);
	assert_int_equal(rd(rig, VIRTIO_MMIO_STATUS), 0);
	WAIT_FOR(rig, serves(rig));
	assert_int_equal(rd(rig, VIRTIO_MMIO_DEVICE_FEATURES) & 5, 1);
	assert_changes(rig, "", "", "capsets");
	wr(rig, VIRTIO_MMIO_STATUS, 0);
	WAIT_FOR(rig, serves(rig));
	assert_int_equal(rd(rig, VIRTIO_MMIO_DEVICE_FEATURES) & 5, 5);
	bring_up(rig);
	assert_served(rig, 0, 0x12);
	assert_int_equal(workers(), 3);
}

/* ---------------------------------------------------------------- control groups */

static char group_root[] = "/tmp/gpudom-groups-XXXXXX";

static void group_write(const char *group, const char *name, const char *text)
{
	char file[256];
	FILE *stream;

	snprintf(file, sizeof(file), "%s/%s", group_root, group);
	mkdir(file, 0755);
	snprintf(file, sizeof(file), "%s/%s/%s", group_root, group, name);
	stream = fopen(file, "w");
	assert_non_null(stream);
	fputs(text, stream);
	fclose(stream);
}

static bool group_has(const char *name, const char *text)
{
	char file[256], line[64] = "";
	FILE *stream;

	snprintf(file, sizeof(file), "%s/guest-2-0/%s", group_root, name);
	stream = fopen(file, "r");
	assert_non_null(stream);
	if (!fgets(line, sizeof(line), stream))
		line[0] = '\0';
	fclose(stream);
	return !strcmp(line, text);
}

/* A tree of files, as the kernel would make them. */
static void make_groups(struct cgroup **cgroup)
{
	static const char *const files[] = { "cgroup.controllers", "cgroup.procs",
		"cgroup.subtree_control", "cpu.weight", "cpu.max", "memory.max", "pids.max",
		"memory.events" };
	struct cgroup_options options = { .mount = group_root };
	char own[64];

	assert_non_null(mkdtemp(group_root));
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		group_write(".", files[i], "");
		group_write("gpudomd", files[i], "");
		group_write("guest-2-0", files[i], "");
	}
	group_write(".", "self", "0::/\n");
	snprintf(own, sizeof(own), "%s/self", group_root);
	options.self = own;
	assert_int_equal(cgroup_open(&options, cgroup), 0);
}

static void workers_are_in_groups_of_the_policy(void **state)
{
	struct rig *rig = *state;
	struct guest_device_status status;
	unsigned position = 0, gpu = 0;
	struct cgroup *cgroup;
	struct guest *guest;
	char text[64];

	make_groups(&cgroup);
	rig->options.cgroup = cgroup;
	start_served_guest(rig);
	assert_true(group_has("cgroup.procs", "0")); /* itself, before it runs */
	assert_true(group_has("memory.max", "max"));
	assert_changes(
	    rig, "[guest clock]\nmemory-max = 1M\ncpu-max = 50%\n", "cpu-max, memory-max", "");
	assert_true(group_has("memory.max", "1048576"));
	assert_true(group_has("cpu.max", "50000 100000"));
	/* The next worker is put there, too; and why the last one has ended is said */
	group_write("guest-2-0", "cgroup.procs", "");
	group_write("guest-2-0", "memory.events", "oom 1\noom_kill 1\n");
	kill_and_wait(rig);
	assert_true(group_has("cgroup.procs", "0"));
	guest = daemon_next_guest(rig->gpu_daemon, &position);
	guest_device_get_status(guest_next_gpu(guest, &gpu), &status);
	assert_non_null(strstr(status.health.last_end, "out of memory (memory-max)"));
	kill_and_wait(rig);
	guest_device_get_status(guest_next_gpu(guest, (gpu = 0, &gpu)), &status);
	assert_null(strstr(status.health.last_end, "out of memory"));
	detach();
	assert_gone(rig);
	cgroup_close(cgroup);
	snprintf(text, sizeof(text), "rm -rf %s", group_root);
	assert_int_equal(system(text), 0); /* NOLINT(cert-env33-c): a path of ours */
}

/* ---------------------------------------------------------------- files */

static void a_file_that_is_wrong_changes_nothing(void **state)
{
	struct rig *rig = *state;
	unsigned before;
	char *errors;

	start_served_guest(rig);
	assert_changes(rig, "[guest clock]\nlimit-resources = 7\n", "limit-resources", "");
	WAIT_FOR(rig, fake_gntdev->limit_resources == 7);
	before = fake_gntdev->limits_told;
	assert_int_equal(
	    reload(rig, "[guest clock]\nlimit-resources = 8\nmode = big\nsize = 1\n", &errors),
	    -EINVAL);
	assert_non_null(strstr(errors, ":3: mode must be "));
	assert_non_null(strstr(errors, ":4: unknown setting 'size'"));
	free(errors);
	assert_int_equal(told.calls, 0);
	assert_string_equal(config_get(&rig->config, "clock", "limit-resources"), "7");
	unlink(path);
	assert_int_equal(daemon_reload(rig->gpu_daemon, changed, NULL, &errors), -ENOENT);
	assert_non_null(strstr(errors, "cannot read"));
	free(errors);
	assert_served(rig, 0, 0x12);
	assert_int_equal(fake_gntdev->limits_told, before);
	assert_int_equal(workers(), 1);
}

/* The first section with a name: from now on guests that come wait until theirs can be read. */
static void names_begin_and_cease_to_matter(void **state)
{
	struct rig *rig = *state;

	fake_xenstore_allow_names(false);
	run_daemon(rig);
	assert_changes(rig, "[guest clock]\noutputs = 1\n", "", "");
	attach();
	for (unsigned k = 0; k < 10; k++)
		turn(rig);
	assert_true(has(BACKEND "/state", "1"));
	assert_changes(rig, "[default]\noutputs = 1\n", "", "");
	WAIT_FOR(rig, has(BACKEND "/state", "4"));
	bring_up(rig);
	assert_served(rig, 0, 0x11);
	/* It goes without a name: sections by name are none of its business */
	assert_changes(rig, "[default]\noutputs = 1\n[guest clock]\noutputs = 2\n", "", "");
	assert_changes(rig, "[default]\noutputs = 2\n[guest clock]\noutputs = 3\n", "", "outputs");
	detach();
	assert_gone(rig);
}

#define RELOAD_TEST(f) cmocka_unit_test_setup_teardown(f, set_up_reload, tear_down_reload)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		RELOAD_TEST(a_limit_holds_at_once),
		RELOAD_TEST(what_is_the_same_is_not_touched),
		RELOAD_TEST(outputs_wait_for_the_guests_reset),
		RELOAD_TEST(what_was_taken_back_costs_nothing),
		RELOAD_TEST(features_change_with_a_reset),
		RELOAD_TEST(workers_are_in_groups_of_the_policy),
		RELOAD_TEST(a_file_that_is_wrong_changes_nothing),
		RELOAD_TEST(names_begin_and_cease_to_matter),
	};
	int result;

	if (daemon_rig_main(argc, argv, &result))
		return result;
	result = cmocka_run_group_tests_name("gpudomd: reload", tests, NULL, NULL);
	free(self);
	return result;
}
