/* SPDX-License-Identifier: MIT */
/* gpudomd that is killed under running guests, while their settings change. */
#include "tests/xen/restart_rig.h"

/* The file was edited meanwhile: limits hold at once, what the worker was started with until the
 * guest resets its device. */
static void settings_change_while_nobody_is_there(void **state)
{
	struct restart_rig *r = *state;
	pid_t worker;

	start_guest(&r->rig);
	bring_up(&r->rig);
	WAIT_FOR(&r->rig, fake_gntdev->limit_resources == 65536);
	assert_unnoticed(r);
	worker = worker_pid(r);
	assert_int_equal(config_parse(r->rig.options.config, "test",
			     "[default]\nlimit-resources = 7\nmode = 800x600\n"),
	    0);
	restart(r);
	assert_unnoticed(r);
	WAIT_FOR(&r->rig, fake_gntdev->limit_resources == 7);
	assert_int_equal(worker_pid(r), worker);
	bring_up(&r->rig);
	assert_unnoticed(r);
	assert_int_not_equal(worker_pid(r), worker);
	worker = worker_pid(r);
	/* The next one finds that all is as it should be */
	restart(r);
	bring_up(&r->rig);
	assert_unnoticed(r);
	assert_int_equal(worker_pid(r), worker);
	config_finish(r->rig.options.config);
}

/* A worker that dies then cannot be replaced under its driver: the settings that it had are
 * forgotten, and the new ones are less. */
static void capsets_go_while_nobody_is_there(void **state)
{
	struct restart_rig *r = *state;

	start_guest(&r->rig);
	bring_up(&r->rig);
	assert_unnoticed(r);
	assert_int_equal(
	    config_parse(r->rig.options.config, "test", "[default]\ncapsets = none\n"), 0);
	restart(r);
	assert_unnoticed(r);
	kill(worker_pid(r), SIGKILL);
	WAIT_FOR(&r->rig, rd(&r->rig, VIRTIO_MMIO_STATUS) & NEEDS_RESET);
	forget_mapped();
	wr(&r->rig, VIRTIO_MMIO_STATUS, 0);
	wr(&r->rig, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 0);
	WAIT_FOR(&r->rig, (rd(&r->rig, VIRTIO_MMIO_DEVICE_FEATURES) & 5) == 1);
	config_finish(r->rig.options.config);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		RESTART_TEST(settings_change_while_nobody_is_there),
		RESTART_TEST(capsets_go_while_nobody_is_there),
	};
	int result;

	if (daemon_rig_main(argc, argv, &result))
		return result;
	result = cmocka_run_group_tests_name("gpudomd: restarts and settings", tests, NULL, NULL);
	free(self);
	return result;
}
