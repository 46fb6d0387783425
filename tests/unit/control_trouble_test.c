/* SPDX-License-Identifier: MIT */
/* What gpudomctl status says about guests that something is wrong with. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "xen/control_private.h"
#include "xen/guest_device.h"

/* After what it needs. */
#include <cmocka.h>

#define SECOND UINT64_C(1000000000)
#define NOW (100 * SECOND)

static struct guest_device_status healthy(void)
{
	return (struct guest_device_status){
		.guest = "clock",
		.domid = 2,
		.noun = "GPU",
		.state = DEVICE_SERVING,
		.running = true,
		.known = true,
		.telemetry = {
			.busy_since_ns = NOW - SECOND,
			.command = { .type = 0x207 },
			.outputs[1].last_flush_ns = NOW - 7 * SECOND,
		},
	};
}

static void assert_trouble(const struct guest_device_status *status, const char *expected)
{
	char text[512];

	control_describe_trouble(status, NOW, text, sizeof(text));
	assert_string_equal(text, expected);
}

static void nothing_is_wrong(void **state)
{
	struct guest_device_status status = healthy();

	assert_trouble(&status, "");
	status.known = false;
	status.state = DEVICE_STARTING;
	assert_trouble(&status, "");
	/* Nonsense of a worker that was taken over: in the future */
	status = healthy();
	status.telemetry.busy_since_ns = UINT64_MAX;
	assert_trouble(&status, "");
}

static void each_trouble_has_its_sentence(void **state)
{
	struct guest_device_status status = healthy();

	status.telemetry.busy_since_ns = NOW - 9 * SECOND;
	assert_trouble(&status, "Its worker has been busy for 9 s, with SUBMIT_3D.");
	status.telemetry.busy_since_ns = 0;
	status.telemetry.gpu_since_ns = NOW - 6 * SECOND;
	assert_trouble(&status, "The GPU has been busy with it for 6 s, and finished nothing.");
	status = healthy();
	status.frozen = 1u << 1;
	assert_trouble(&status, "Output 1 is frozen: no frame for 7 s, though it promises them.");
	status.lost = 1u << 1;
	assert_trouble(&status, "Output 1 is frozen: no frame for 7 s, though it promises them. "
				"Output 1 shows the picture for a lost signal.");
	status = healthy();
	status.complaint = "it does not grant";
	assert_trouble(&status, "Its driver: it does not grant.");
	status = healthy();
	status.state = DEVICE_ABSENT;
	assert_trouble(&status, "No worker could be started for it: gpudomd's log says why.");
	status.state = DEVICE_LOST;
	assert_trouble(&status, "It has no worker, and must reset its GPU, or be started anew.");
	status.state = DEVICE_REPLACING;
	strcpy(status.health.last_end, "the worker (pid 7) hung");
	assert_trouble(&status,
	    "A new worker takes the place of one that has ended. Last: the worker "
	    "(pid 7) hung.");
}

static void who_is_blocked_can_be_unblocked(void **state)
{
	struct guest_device_status status = healthy();

	status.state = DEVICE_LOST;
	status.blocked = GUEST_BLOCKED_OPERATOR;
	assert_trouble(&status,
	    "Blocked, as somebody has asked for. 'gpudomctl unblock clock' lets it "
	    "go on.");
	status.blocked = GUEST_BLOCKED_CRASHES;
	strcpy(status.health.last_end, "the worker (pid 7) was ended by signal 11");
	status.guest = "domain 2";
	assert_trouble(&status,
	    "Blocked, because its worker died too often. Last: the worker (pid 7) was "
	    "ended by signal 11. 'gpudomctl unblock 2' lets it go on.");
}

static void too_much_is_cut(void **state)
{
	struct guest_device_status status = healthy();
	char text[64], end[sizeof(text)];

	status.frozen = status.lost = 0xffff;
	memset(text, 'x', sizeof(text));
	for (size_t size = 1; size < sizeof(text); size++) {
		memset(end, 'x', sizeof(end));
		memset(text, 'x', sizeof(text));
		control_describe_trouble(&status, NOW, text, size);
		assert_int_equal(strnlen(text, size), size - 1);
		assert_memory_equal(text + size, end, sizeof(text) - size);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_wrong),
		cmocka_unit_test(each_trouble_has_its_sentence),
		cmocka_unit_test(who_is_blocked_can_be_unblocked),
		cmocka_unit_test(too_much_is_cut),
	};

	return cmocka_run_group_tests_name("control socket: troubles", tests, NULL, NULL);
}
