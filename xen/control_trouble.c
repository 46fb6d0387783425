/* SPDX-License-Identifier: MIT */
/* What is wrong with a device, in a sentence that says what to do. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "xen/control_private.h"
#include "xen/guest_device.h"

#define NSEC_PER_SEC UINT64_C(1000000000)
#define BUSY_SECONDS 5 /* work on one thing for so long is noted */

struct sentence {
	char *text;
	size_t size, used;
};

static void say(struct sentence *sentence, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* One after the other; what does not fit is cut. */
static void say(struct sentence *sentence, const char *format, ...)
{
	size_t room = sentence->size - sentence->used;
	va_list args;
	int n;

	if (sentence->used && room > 1) {
		snprintf(sentence->text + sentence->used, room, " ");
		sentence->used++;
		room--;
	}
	va_start(args, format);
	n = vsnprintf(sentence->text + sentence->used, room, format, args);
	va_end(args);
	if (n > 0)
		sentence->used += (size_t)n < room ? (size_t)n : room - 1;
}

static uint64_t seconds_since(uint64_t now_ns, uint64_t then_ns)
{
	return now_ns > then_ns ? (now_ns - then_ns) / NSEC_PER_SEC : 0;
}

static void say_blocked(struct sentence *sentence, const struct guest_device_status *status)
{
	if (status->blocked == GUEST_BLOCKED_CRASHES)
		say(sentence, "Blocked, because its worker died too often. Last: %s.",
		    status->health.last_end);
	else
		say(sentence, "Blocked, as somebody has asked for.");
	/* What stands for a name where there is none, gpudomctl would not know. */
	if (!strncmp(status->guest, "domain ", 7))
		say(sentence, "'gpudomctl unblock %u' lets it go on.", status->domid);
	else
		say(sentence, "'gpudomctl unblock %s' lets it go on.", status->guest);
}

static void say_state(struct sentence *sentence, const struct guest_device_status *status)
{
	const char *end = status->health.last_end;

	switch (status->state) {
	case DEVICE_LOST:
		say(sentence, "It has no worker, and must reset its %s, or be started anew%s%s.",
		    status->noun, *end ? ". Last: " : "", end);
		return;
	case DEVICE_ABSENT:
		say(sentence, "No worker could be started for it: gpudomd's log says why.");
		return;
	case DEVICE_REPLACING:
		say(sentence, "A new worker takes the place of one that has ended%s%s.",
		    *end ? ". Last: " : "", end);
		return;
	case DEVICE_STARTING:
	case DEVICE_SERVING:
	case DEVICE_RESTARTING:
	case DEVICE_STOPPING:
		break;
	}
}

static void say_busy(
    struct sentence *sentence, const struct guest_device_status *status, uint64_t now_ns)
{
	const struct telemetry *worker = &status->telemetry;
	uint64_t busy = seconds_since(now_ns, worker->busy_since_ns);
	uint64_t gpu = seconds_since(now_ns, worker->gpu_since_ns);

	if (status->state != DEVICE_SERVING)
		return;
	if (worker->busy_since_ns && busy >= BUSY_SECONDS)
		say(sentence, "Its worker has been busy for %llu s, with %s.",
		    (unsigned long long)busy, telemetry_command_name(worker->command.type));
	else if (worker->gpu_since_ns && gpu >= BUSY_SECONDS)
		say(sentence, "The GPU has been busy with it for %llu s, and finished nothing.",
		    (unsigned long long)gpu);
}

static void say_outputs(
    struct sentence *sentence, const struct guest_device_status *status, uint64_t now_ns)
{
	for (unsigned i = 0; i < TELEMETRY_OUTPUTS; i++) {
		uint64_t last = status->telemetry.outputs[i].last_flush_ns;

		if (status->frozen & 1u << i)
			say(sentence,
			    "Output %u is frozen: no frame for %llu s, though it promises them.", i,
			    (unsigned long long)seconds_since(now_ns, last));
		if (status->lost & 1u << i)
			say(sentence, "Output %u shows the picture for a lost signal.", i);
	}
}

void control_describe_trouble(
    const struct guest_device_status *status, uint64_t now_ns, char *text, size_t size)
{
	struct sentence sentence = { .text = text, .size = size };

	*text = '\0';
	if (status->blocked)
		say_blocked(&sentence, status);
	else
		say_state(&sentence, status);
	if (status->known) {
		say_busy(&sentence, status, now_ns);
		say_outputs(&sentence, status, now_ns);
	}
	if (status->complaint)
		say(&sentence, "Its driver: %s.", status->complaint);
}
