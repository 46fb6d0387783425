/* SPDX-License-Identifier: MIT */
/* gpudomd on a fake Xen: what the toolstack has written makes no sense, and Xen refuses. */
#include "tests/xen/daemon_rig.h"

/* ---------------------------------------------------------------- the toolstack's keys */

static void assert_not_served(struct rig *rig, const char *key, const char *value)
{
	char path[256];

	attach();
	snprintf(path, sizeof(path), BACKEND "/%s", key);
	if (value)
		fake_xenstore_write(path, value);
	else
		fake_xenstore_remove(path);
	for (unsigned i = 0; i < 20; i++)
		turn(rig);
	assert_int_equal(fake_xen_servers(), 0);
	assert_int_equal(fake_xen_handles(), 0);
	assert_true(has(BACKEND "/state", "1"));
	/* The toolstack's wish to remove it is granted. */
	detach();
	WAIT_FOR(rig, has(BACKEND "/frontend-id", NULL));
}

static void keys_that_make_no_sense(void **state)
{
	struct rig *rig = *state;
	char huge[200];

	memset(huge, '9', sizeof(huge) - 1);
	huge[sizeof(huge) - 1] = '\0';
	run_daemon(rig);
	assert_not_served(rig, "base", NULL);
	assert_not_served(rig, "base", "");
	assert_not_served(rig, "base", "here");
	assert_not_served(rig, "base", "-1");
	assert_not_served(rig, "base", "0x2000001");
	assert_not_served(rig, "base", "0xffffffffffffffff");
	assert_not_served(rig, "base", huge);
	assert_not_served(rig, "irq", NULL);
	assert_not_served(rig, "irq", "33x");
	assert_not_served(rig, "irq", "31");
	assert_not_served(rig, "irq", "1020");
	assert_not_served(rig, "irq", huge);
	assert_not_served(rig, "transport", "pci");
	assert_not_served(rig, "transport", NULL);
	assert_not_served(rig, "grant_usage", "2");
	assert_not_served(rig, "grant_usage", NULL);
	start_guest(rig);
}

static void devices_of_others_are_left_alone(void **state)
{
	static const char *const types[] = { "virtio,device11", "virtio,device2", "virtio,device",
		"virtio", "virtio,device10x", "virtio,device00010", "VIRTIO,DEVICE10", "" };
	struct rig *rig = *state;

	run_daemon(rig);
	for (unsigned i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		attach();
		fake_xenstore_write(BACKEND "/type", types[i]);
		for (unsigned k = 0; k < 5; k++)
			turn(rig);
		detach();
		for (unsigned k = 0; k < 5; k++)
			turn(rig);
		assert_true(has(BACKEND "/state", "5")); /* its backend may still be at work */
		fake_xenstore_remove("/local/domain/1/backend/virtio/2");
		for (unsigned k = 0; k < 5; k++)
			turn(rig);
	}
	start_guest(rig);
}

static void directories_with_strange_names(void **state)
{
	static const char *const names[] = { "x", "-1", "99999", "32752", "2x", "4294967298" };
	struct rig *rig = *state;

	run_daemon(rig);
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char path[128];

		snprintf(path, sizeof(path), "/local/domain/1/backend/virtio/%s/0/type", names[i]);
		fake_xenstore_write(path, "virtio,device10");
		snprintf(path, sizeof(path), "/local/domain/1/backend/virtio/2/%s/type", names[i]);
		if (strcmp(names[i], "32752") != 0) /* a device id that could be */
			fake_xenstore_write(path, "virtio,device10");
	}
	for (unsigned k = 0; k < 5; k++)
		turn(rig);
	assert_int_equal(fake_xen_handles(), 0);
	start_guest(rig);
}

static void a_storm_of_events(void **state)
{
	struct rig *rig = *state;

	run_daemon(rig);
	start_guest(rig);
	for (unsigned i = 0; i < 50; i++) {
		for (unsigned k = 0; k < 200; k++)
			fake_xenstore_fire(BACKEND "/state");
		turn(rig);
		turn(rig);
	}
	bring_up(rig);
	assert_served(rig, 0, 0x11);
}

static void a_device_that_an_earlier_gpudomd_served(void **state)
{
	struct rig *rig = *state;

	attach();
	fake_xenstore_write(BACKEND "/state", "4");
	run_daemon(rig);
	/* It left nothing, not even a server: its guest did not touch the device, or is dead. */
	WAIT_FOR(rig, daemon_served(rig->gpu_daemon) == 1);
	assert_true(has(BACKEND "/state", "4"));
	bring_up(rig);
	assert_served(rig, 0, 0x11);
	detach();
	assert_gone(rig);
}

static void settings_by_name_wait_for_the_name(void **state)
{
	struct rig *rig = *state;
	unsigned watches;

	assert_int_equal(config_parse(&rig->config, "test", "[guest clock]\noutputs = 1\n"), 0);
	fake_xenstore_allow_names(false);
	run_daemon(rig);
	watches = fake_xenstore_watches();
	attach();
	for (unsigned k = 0; k < 10; k++)
		turn(rig);
	assert_int_equal(fake_xen_handles(), 0);
	assert_true(has(BACKEND "/state", "1"));
	/* dom0: xenstore-chmod */
	fake_xenstore_allow_names(true);
	fake_xenstore_fire("/local/domain/2/name");
	WAIT_FOR(rig, has(BACKEND "/state", "4"));
	assert_int_equal(fake_xenstore_watches(), watches);
	detach();
	assert_gone(rig);
	/* A guest may also go without having been named. */
	fake_xenstore_allow_names(false);
	attach();
	for (unsigned k = 0; k < 10; k++)
		turn(rig);
	detach();
	WAIT_FOR(rig, has(BACKEND "/frontend-id", NULL));
	assert_int_equal(fake_xenstore_watches(), watches);
}

static void without_settings_by_name_none_is_needed(void **state)
{
	struct rig *rig = *state;

	fake_xenstore_allow_names(false);
	run_daemon(rig);
	start_guest(rig);
}

/* ------------------------------------------------------------------- Xen refuses */

/* Each call, at each of its times: nothing is left half made, and a second try goes well. */
static void xen_refuses(void **state)
{
	static const enum fake_xen_call calls[] = {
		FAKE_XEN_DEVICEMODEL_OPEN,
		FAKE_XEN_MEMORY_OPEN,
		FAKE_XEN_EVTCHN_OPEN,
		FAKE_XEN_PRIVCMD_OPEN,
		FAKE_XEN_NR_VCPUS,
		FAKE_XEN_CREATE_SERVER,
		FAKE_XEN_MAP_RESOURCE,
		FAKE_XEN_SERVER_STATE,
		FAKE_XEN_BIND,
		FAKE_XEN_MAP_RANGE,
	};
	struct rig *rig = *state;

	run_daemon(rig);
	for (unsigned i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		for (unsigned nth = 1; nth <= (calls[i] == FAKE_XEN_BIND ? 2 : 1); nth++) {
			fake_xen_fail(calls[i], nth, 1000, i % 2 ? EPERM : EACCES);
			attach();
			for (unsigned k = 0; k < 20; k++)
				turn(rig);
			assert_int_equal(fake_xen_servers(), 0);
			assert_int_equal(fake_xen_handles(), 0);
			assert_int_equal(fake_xen_bound(), 0);
			assert_false(has(BACKEND "/state", "4"));
			detach();
			WAIT_FOR(rig, has(BACKEND "/frontend-id", NULL));
			fake_xen_heal();
		}
	}
	start_guest(rig);
	bring_up(rig);
	assert_served(rig, 0, 0x11);
}

static void xenstore_is_out_of_reach(void **state)
{
	struct rig *rig = *state;

	fake_xenstore_fail(FAKE_XENSTORE_OPEN, 1, 1, ENOENT);
	assert_int_equal(daemon_create(&rig->options, &rig->gpu_daemon), -ENOENT);
	assert_null(rig->gpu_daemon);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(keys_that_make_no_sense),
		TEST(devices_of_others_are_left_alone),
		TEST(directories_with_strange_names),
		TEST(a_storm_of_events),
		TEST(a_device_that_an_earlier_gpudomd_served),
		TEST(settings_by_name_wait_for_the_name),
		TEST(without_settings_by_name_none_is_needed),
		TEST(xen_refuses),
		TEST(xenstore_is_out_of_reach),
	};
	int result;

	if (daemon_rig_main(argc, argv, &result))
		return result;
	result = cmocka_run_group_tests_name("gpudomd: keys and refusals", tests, NULL, NULL);
	free(self);
	return result;
}
