/* SPDX-License-Identifier: MIT */
/* gpudomctl doctor: each check both ways, by facts that are made up. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/doctor_gpu.h"
#include "xen/doctor.h"
#include "xen/doctor_budget.h"
#include "xen/doctor_probe.h"

/* After what it needs. */
#include <cmocka.h>

static const struct config no_config;

/* A driver domain where nothing is missing. */
static struct doctor_facts healthy(void)
{
	return (struct doctor_facts){
		.xen = true,
		.domid = 1,
		.cpus = 2,
		.memory_kib = 1 << 20,
		.unpopulated = DOCTOR_YES,
		.device_model = -ESRCH,
		.event_channel = -EPERM,
		.irqfd = -EINVAL,
		.ioeventfd = -EINVAL,
		.dmabuf = -EINVAL,
		.status = "ready",
		.pid = 42,
		.kept = DOCTOR_YES,
		.user_exists = true,
		.user = "gpudom",
		.seccomp = true,
		.config_path = "/etc/gpudom/gpudom.conf",
		.config = &no_config,
		.worker_path = "/usr/bin/gpudom-worker",
		.render_node = "/dev/dri/renderD128",
		.gls = { {
		    .needed = true,
		    .egl = "auto",
		    .render_node = "/dev/dri/renderD128",
		    .platform = "gbm",
		    .renderer = "V3D 7.1",
		} },
		.gl_count = 1,
	};
}

static struct doctor_finding findings[DOCTOR_FINDINGS_MAX];
static unsigned count;

/* The heaviest finding of @check. */
static const struct doctor_finding *examine(const struct doctor_facts *facts, const char *check)
{
	const struct doctor_finding *found = NULL;

	count = doctor_examine(facts, findings);
	for (unsigned i = 0; i < count; i++)
		if (!strcmp(findings[i].check, check) &&
		    (!found || findings[i].state > found->state))
			found = &findings[i];
	if (!found)
		fail_msg("no finding of %s", check);
	return found;
}

/* The check finds @state, and text or cure contain @words. Whatever is wrong has a cure. */
static void assert_found(
    const struct doctor_facts *facts, const char *check, enum doctor_state state, const char *words)
{
	const struct doctor_finding *found = examine(facts, check);

	if (found->state != state)
		fail_msg("%s: %s: %s", check, doctor_state_name(found->state), found->text);
	if (!strstr(found->text, words) && !strstr(found->cure, words))
		fail_msg("%s: no '%s' in: %s %s", check, words, found->text, found->cure);
	if (state >= DOCTOR_WARNING)
		assert_true(found->cure[0]);
	assert_int_equal(found->text[strlen(found->text) - 1], '.');
	assert_true(doctor_exit_status(findings, count) >= (state == DOCTOR_FAILED       ? 2
							       : state == DOCTOR_WARNING ? 1
											 : 0));
}

static void test_healthy(void **state)
{
	struct doctor_facts facts = healthy();

	count = doctor_examine(&facts, findings);
	for (unsigned i = 0; i < count; i++) {
		if (findings[i].state != DOCTOR_OK)
			fail_msg("%s: %s", findings[i].check, findings[i].text);
		assert_string_equal(findings[i].cure, "");
	}
	assert_int_equal(doctor_exit_status(findings, count), 0);
}

static void test_domain(void **state)
{
	struct doctor_facts facts = healthy();

	facts.domid = 0;
	assert_found(&facts, "domain", DOCTOR_WARNING, "dom0");
	facts.xen = false;
	assert_found(&facts, "domain", DOCTOR_FAILED, "no Xen domain");
	assert_int_equal(count, 1); /* and no more about it */
}

static void test_privcmd(void **state)
{
	struct doctor_facts facts = healthy();

	facts.hypercall = -EPERM;
	facts.device_model = -EPERM;
	assert_found(&facts, "privcmd", DOCTOR_FAILED, "xen_privcmd.unrestricted=1");
	assert_found(&facts, "ioreq-server", DOCTOR_UNKNOWN, "hypercalls");
	facts.privcmd = -ENOENT;
	facts.hypercall = facts.device_model = facts.irqfd = facts.ioeventfd = DOCTOR_UNTRIED;
	assert_found(&facts, "privcmd", DOCTOR_FAILED, "xen-privcmd");
	assert_found(&facts, "eventfds", DOCTOR_UNKNOWN, "privcmd");
	facts.privcmd = -EACCES;
	assert_found(&facts, "privcmd", DOCTOR_FAILED, "70-gpudom.rules");
}

static void test_user(void **state)
{
	struct doctor_facts facts = healthy();

	assert_found(&facts, "user", DOCTOR_OK, "runs as user gpudom");
	strcpy(facts.denied, "/dev/xen/gntdev");
	assert_found(&facts, "user", DOCTOR_FAILED, "gpudom may not open /dev/xen/gntdev");
	strcpy(facts.user, "");
	assert_found(&facts, "user", DOCTOR_WARNING, "runs as root");
	facts.pid = 0;
	facts.user_exists = false;
	assert_found(&facts, "user", DOCTOR_WARNING, "systemd-sysusers");
}

static void test_sandbox(void **state)
{
	struct doctor_facts facts = healthy();

	assert_found(&facts, "sandbox", DOCTOR_OK, "namespaces");
	strcpy(facts.namespaces_missing, "a pid namespace");
	assert_found(&facts, "sandbox", DOCTOR_WARNING, "lack a pid namespace");
	facts.namespaces = -EPERM;
	assert_found(&facts, "sandbox", DOCTOR_WARNING, "Operation not permitted");
	assert_found(&facts, "sandbox", DOCTOR_WARNING, "max_user_namespaces");
	facts.namespaces = DOCTOR_UNTRIED;
	assert_found(&facts, "sandbox", DOCTOR_UNKNOWN, "root");
	facts.seccomp = false;
	assert_found(&facts, "sandbox", DOCTOR_FAILED, "CONFIG_SECCOMP_FILTER");
}

static void test_cgroups(void **state)
{
	struct doctor_facts facts = healthy();

	facts.cgroup = -ENOENT;
	assert_found(&facts, "cgroups", DOCTOR_WARNING, "cgroup2");
	facts.cgroup = -EACCES;
	assert_found(&facts, "cgroups", DOCTOR_WARNING, "Delegate=");
	facts.cgroup = DOCTOR_UNTRIED;
	assert_found(&facts, "cgroups", DOCTOR_UNKNOWN, "while gpudomd runs");
}

static void test_ioreq_server(void **state)
{
	struct doctor_facts facts = healthy();

	facts.device_model = -ENOSYS;
	assert_found(&facts, "ioreq-server", DOCTOR_FAILED, "CONFIG_IOREQ_SERVER");
	facts.device_model = -EOPNOTSUPP;
	assert_found(&facts, "ioreq-server", DOCTOR_FAILED, "CONFIG_IOREQ_SERVER");
}

static void test_policy(void **state)
{
	struct doctor_facts facts = healthy();

	assert_found(&facts, "policy", DOCTOR_OK, "FLASK");
	facts.event_channel = 0;
	assert_found(&facts, "policy", DOCTOR_FAILED, "xsm=dummy");
	facts.event_channel = -ESRCH;
	assert_found(&facts, "policy", DOCTOR_FAILED, "xsm=silo");
	assert_found(&facts, "policy", DOCTOR_FAILED, "flask=enforcing");
	facts.event_channel = DOCTOR_UNTRIED;
	assert_found(&facts, "policy", DOCTOR_UNKNOWN, "event channels");
	/* dom0 may serve guests under any of them. */
	facts.domid = 0;
	facts.event_channel = -ESRCH;
	assert_found(&facts, "policy", DOCTOR_OK, "dom0");
}

static void test_devices(void **state)
{
	struct doctor_facts facts = healthy();

	facts.evtchn = -ENOENT;
	assert_found(&facts, "event-channels", DOCTOR_FAILED, "CONFIG_XEN_DEV_EVTCHN");
	facts.gntdev = -ENOENT;
	facts.grant_copy = facts.dmabuf = DOCTOR_UNTRIED;
	assert_found(&facts, "grants", DOCTOR_FAILED, "CONFIG_XEN_GNTDEV");
	assert_found(&facts, "dma-bufs", DOCTOR_UNKNOWN, "grant device");
	facts.gntdev = 0;
	facts.grant_copy = facts.dmabuf = -ENOTTY;
	assert_found(&facts, "grants", DOCTOR_FAILED, "Linux 4.9");
	assert_found(&facts, "dma-bufs", DOCTOR_WARNING, "CONFIG_XEN_GNTDEV_DMABUF");
	facts.xenstore = -ENOENT;
	assert_found(&facts, "xenstore", DOCTOR_FAILED, "xenstored");
}

static void test_kernel(void **state)
{
	struct doctor_facts facts = healthy();

	facts.ioeventfd = -ENOTTY;
	assert_found(&facts, "eventfds", DOCTOR_WARNING, "pass kicks on");
	facts.irqfd = -EOPNOTSUPP;
	assert_found(&facts, "eventfds", DOCTOR_WARNING, "CONFIG_XEN_PRIVCMD_EVENTFD");
	facts.unpopulated = DOCTOR_NO;
	assert_found(&facts, "mappings", DOCTOR_WARNING, "1024 MiB");
	assert_found(&facts, "mappings", DOCTOR_WARNING, "CONFIG_XEN_UNPOPULATED_ALLOC");
	facts.unpopulated = DOCTOR_CANNOT_TELL;
	assert_found(&facts, "mappings", DOCTOR_UNKNOWN, "CONFIG_XEN_UNPOPULATED_ALLOC");
	facts.memory_kib = 128 << 10;
	assert_found(&facts, "memory", DOCTOR_WARNING, "128 MiB");
}

static void test_gpudomd(void **state)
{
	struct doctor_facts facts = healthy();

	facts.kept = DOCTOR_NO;
	assert_found(&facts, "restart", DOCTOR_WARNING, "gpudom-keeper");
	facts.kept = DOCTOR_CANNOT_TELL;
	assert_found(&facts, "restart", DOCTOR_UNKNOWN, "root");
	facts.status[0] = '\0';
	assert_found(&facts, "gpudomd", DOCTOR_WARNING, "does not serve");
	facts.pid = 0;
	assert_found(&facts, "gpudomd", DOCTOR_WARNING, "systemctl start gpudomd");
	strcpy(facts.status, "ready");
	assert_found(&facts, "gpudomd", DOCTOR_FAILED, "has been killed");
	facts.worker = -ENOENT;
	assert_found(&facts, "worker", DOCTOR_FAILED, "gpudom-worker");
	facts.config_error = -EINVAL;
	assert_found(&facts, "config", DOCTOR_FAILED, "--check-config");
	facts.config_error = -ENOENT;
	assert_found(&facts, "config", DOCTOR_OK, "1024x768");
}

static void the_control_socket(void **state)
{
	struct doctor_facts facts = healthy();

	assert_found(&facts, "control", DOCTOR_OK, "reaches");
	facts.control = -ENOENT;
	assert_found(&facts, "control", DOCTOR_WARNING, "--control");
	facts.control = -EACCES;
	assert_found(&facts, "control", DOCTOR_WARNING, "--control-group");
	facts.control = -ETIMEDOUT;
	assert_found(&facts, "control", DOCTOR_WARNING, "hangs");
	facts.control = -EBUSY;
	assert_found(&facts, "control", DOCTOR_WARNING, "turns");
	facts.pid = 0;
	assert_found(&facts, "control", DOCTOR_UNKNOWN, "while it runs");
}

static void test_render_node(void **state)
{
	struct doctor_facts facts = healthy();
	struct doctor_gl *gl = &facts.gls[0];

	gl->node_error = -ENOENT;
	assert_found(&facts, "render-node", DOCTOR_WARNING, "cannot be opened");
	gl->render_node[0] = '\0';
	assert_found(&facts, "render-node", DOCTOR_WARNING, "render-node = /dev/dri/renderD128");
	facts.render_node[0] = '\0';
	strcpy(gl->platform, "device");
	strcpy(gl->renderer, "NVIDIA");
	assert_found(&facts, "render-node", DOCTOR_OK, "EGL device");
	strcpy(gl->renderer, "llvmpipe (LLVM 19)");
	assert_found(&facts, "render-node", DOCTOR_WARNING, "dtdev");
	assert_found(&facts, "opengl", DOCTOR_OK, "llvmpipe");
	gl->needed = false;
	gl->error = DOCTOR_UNTRIED;
	assert_found(&facts, "render-node", DOCTOR_OK, "no GPU is needed");
	assert_found(&facts, "opengl", DOCTOR_OK, "2D only");
}

static void test_opengl(void **state)
{
	struct doctor_facts facts = healthy();
	struct doctor_gl *gl = &facts.gls[0];

	strcpy(gl->renderer, "llvmpipe (LLVM 19)");
	assert_found(&facts, "opengl", DOCTOR_WARNING, "although there is a GPU");
	gl->error = -ENODEV;
	assert_found(&facts, "opengl", DOCTOR_WARNING, "2D only");
	gl->error = -EPIPE;
	assert_found(&facts, "opengl", DOCTOR_FAILED, "crashes");
	gl->error = -ETIMEDOUT;
	assert_found(&facts, "opengl", DOCTOR_FAILED, "hangs");
	facts.gl_count = 0;
	assert_found(&facts, "opengl", DOCTOR_UNKNOWN, "not tried");
}

static void test_screen(void **state)
{
	struct doctor_facts facts = healthy();

	assert_found(&facts, "screen", DOCTOR_OK, "headless");
	strcpy(facts.card, "/dev/dri/card0");
	assert_found(&facts, "screen", DOCTOR_OK, "free");
	facts.master = -EBUSY;
	assert_found(&facts, "screen", DOCTOR_WARNING, "DRM master");
	facts.seat = true;
	assert_found(&facts, "screen", DOCTOR_OK, "gpudom-seat runs");
	facts.seat = false;
	facts.master = -EIO;
	assert_found(&facts, "screen", DOCTOR_UNKNOWN, "/dev/dri/card0");
	facts.card_error = -EACCES;
	assert_found(&facts, "screen", DOCTOR_WARNING, "root");
}

/* ---------------------------------------------------------------------- budgets */

static void parse(struct config *config, const char *text)
{
	assert_int_equal(config_parse(config, "test.conf", text), 0);
}

static struct budget estimate(const char *text, const char *guest)
{
	struct budget_settings settings;
	struct config config;

	parse(&config, text);
	assert_int_equal(budget_read(&config, guest, &settings), 0);
	config_finish(&config);
	return budget_estimate(&settings);
}

static void test_budget(void **state)
{
	/* 1024x768 of 4 bytes are 768 pages; three of them, 1056 of queues, 1024 of others. */
	assert_int_equal(estimate("[default]\nrenderer = soft\n", NULL).mapped, 3 * 768 + 1056);
	assert_int_equal(
	    estimate("[default]\nrenderer = soft\n", NULL).granted, 3 * 768 + 1056 + 1024);
	assert_int_equal(estimate("[default]\ncapsets = none\n", NULL).mapped, 3 * 768 + 1056);
	/* With OpenGL twice, and 64 MiB. */
	assert_int_equal(estimate("", NULL).mapped, 6 * 768 + 16384 + 1056);
	/* 3840x2160: 8100 pages. A guest's own settings over the others; outputs without a mode. */
	assert_int_equal(estimate("[default]\nrenderer = soft\n[guest a]\nmode = 3840x2160\n"
				  "outputs = 2\n",
			     "a")
			     .mapped,
	    3 * (8100 + 768) + 1056);
	/* What a worker would not map does not count. */
	assert_int_equal(
	    estimate("[default]\nlimit-backing-bytes = 8M\n", NULL).mapped, 2048 + 1056);
	assert_int_equal(budget_grant_frames(1), 16);
	assert_int_equal(budget_grant_frames(16 * 512), 16);
	assert_int_equal(budget_grant_frames(16 * 512 + 1), 32);
	assert_int_equal(budget_maptrack_frames(16 * 256 + 1), 32);
}

static void test_frames(void **state)
{
	struct doctor_facts facts = healthy();
	struct config config;

	assert_found(&facts, "grant-frames", DOCTOR_OK, "[default]");
	assert_found(&facts, "maptrack-frames", DOCTOR_OK, "1 guest ");
	parse(&config, "[guest wall]\nmode = 3840x2160, 3840x2160\n");
	facts.config = &config;
	/* 12 frames of 8100 pages, 16384, 1056 and 1024: 226 frames. */
	assert_found(&facts, "grant-frames", DOCTOR_WARNING, "max_grant_frames = 240");
	assert_found(&facts, "maptrack-frames", DOCTOR_OK, "fit into");
	/* Two more of the kind, without settings of their own, are no such guests. */
	facts.device_count = 3;
	strcpy(facts.devices[0].name, "wall");
	assert_found(&facts, "maptrack-frames", DOCTOR_OK, "3 guests");
	config_finish(&config);

	parse(&config, "[default]\nmode = 3840x2160, 3840x2160\n");
	assert_found(&facts, "maptrack-frames", DOCTOR_WARNING, "max_maptrack_frames = 1");
	facts.domid = 0; /* which has no xl configuration */
	assert_found(&facts, "maptrack-frames", DOCTOR_WARNING, "gnttab_max_maptrack_frames=1");
	config_finish(&config);
}

/* ----------------------------------------------------------------------- guests */

static void test_guests(void **state)
{
	struct doctor_facts facts = healthy();
	struct doctor_device *device = &facts.devices[0];
	struct config config;

	assert_found(&facts, "guests", DOCTOR_OK, "No guest");
	facts.device_count = 1;
	*device = (struct doctor_device){ .domid = 3, .name = "clock", .state = 4 };
	assert_found(&facts, "guests", DOCTOR_OK, "clock (domain 3, device 0) is served");
	device->foreign = true;
	assert_found(&facts, "guests", DOCTOR_OK, "grant_usage=0");
	device->state = 2;
	assert_found(&facts, "guests", DOCTOR_FAILED, "log says why");
	device->device_model = -EACCES;
	assert_found(&facts, "guests", DOCTOR_FAILED, "seclabel=");
	strcpy(device->error, "the guest's kernel needs CONFIG_XEN_VIRTIO");
	assert_found(&facts, "guests", DOCTOR_FAILED, "CONFIG_XEN_VIRTIO");
	device->device_model = 0;
	device->error[0] = '\0';
	facts.pid = 0;
	assert_found(&facts, "guests", DOCTOR_FAILED, "Start gpudomd");
	/* A guest whose settings are known by a name that cannot be read. */
	parse(&config, "[guest clock]\nmode = 640x480\n");
	facts.config = &config;
	device->name[0] = '\0';
	assert_found(
	    &facts, "guests", DOCTOR_FAILED, "xenstore-chmod /local/domain/3/name n0 r3 r1");
	config_finish(&config);
}

/* More guests than findings can be kept of: none is written beyond them. */
static void test_many_guests(void **state)
{
	struct doctor_facts facts = healthy();
	char text[8192] = "";
	struct config config;

	for (unsigned i = 0; i < 100; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text),
		    "[guest number%u]\nmode = 640x480\n", i);
	parse(&config, text);
	facts.config = &config;
	facts.device_count = DOCTOR_DEVICES_MAX;
	count = doctor_examine(&facts, findings);
	assert_int_equal(count, DOCTOR_FINDINGS_MAX - 1);
	config_finish(&config);
}

/* ------------------------------------------------------------------ this machine */

/* Whatever it is, looking at it ends, and finds what can be seen. */
static void test_probe(void **state)
{
	struct doctor_facts facts = {
		.config_error = -ENOENT, .config_path = "", .worker_path = ""
	};

	doctor_probe(&facts);
	assert_true(facts.cpus > 0);
	assert_true(facts.memory_kib > 0);
	if (!facts.xen)
		assert_true(facts.xenstore < 0);
	assert_true(doctor_examine(&facts, findings) > 0);
}

static void test_probe_gl(void **state)
{
	struct config config;
	struct doctor_facts facts = { .config = &config };

	parse(&config,
	    "[default]\negl = surfaceless\n[guest flat]\nrenderer = soft\n"
	    "[guest same]\nrefresh = 30\n[guest lost]\nrender-node = /dev/dri/nothing\n");
	doctor_gpu_probe(&facts, false);
	assert_int_equal(facts.gl_count, 3);
	assert_int_equal(facts.gls[0].error, 0);
	assert_string_equal(facts.gls[0].platform, "surfaceless");
	assert_true(facts.gls[0].renderer[0]);
	for (unsigned i = 1; i < 3; i++)
		if (!facts.gls[i].needed)
			assert_int_equal(facts.gls[i].error, DOCTOR_UNTRIED);
		else
			assert_int_equal(facts.gls[i].node_error, -ENOENT);
	assert_int_not_equal(facts.gls[1].needed, facts.gls[2].needed);
	config_finish(&config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_healthy),
		cmocka_unit_test(test_domain),
		cmocka_unit_test(test_privcmd),
		cmocka_unit_test(test_user),
		cmocka_unit_test(test_sandbox),
		cmocka_unit_test(test_cgroups),
		cmocka_unit_test(test_ioreq_server),
		cmocka_unit_test(test_policy),
		cmocka_unit_test(test_devices),
		cmocka_unit_test(test_kernel),
		cmocka_unit_test(test_gpudomd),
		cmocka_unit_test(the_control_socket),
		cmocka_unit_test(test_render_node),
		cmocka_unit_test(test_opengl),
		cmocka_unit_test(test_screen),
		cmocka_unit_test(test_budget),
		cmocka_unit_test(test_frames),
		cmocka_unit_test(test_guests),
		cmocka_unit_test(test_many_guests),
		cmocka_unit_test(test_probe),
		cmocka_unit_test(test_probe_gl),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
