/* SPDX-License-Identifier: MIT */
#include "xen/guest_signal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "backend/screen.h"
#include "xen/signal_picture.h"

#define NSEC_PER_MSEC UINT64_C(1000000)
#define PICTURE_PIXELS_MAX (UINT64_C(1) << 21) /* more take this process too long to draw */

static int guest_signal_file_size(
    struct guest_signal *signal, unsigned index, uint32_t *width, uint32_t *height)
{
	struct screen_output output;
	int error = screen_read(signal->screen_fd, index, &output);

	if (error || !output.serial)
		return error ? error : -ENOENT;
	*width = output.width;
	*height = output.height;
	return 0;
}

static void guest_signal_show(struct guest_signal *signal, unsigned index)
{
	const struct guest_policy *policy = signal->options.policy;
	bool elsewhere = true;
	uint32_t *pixels, width, height;
	int error = signal->options.picture_size(signal->options.data, index, &width, &height);

	if (error == -ENOTCONN) {
		elsewhere = false;
		error = guest_signal_file_size(signal, index, &width, &height);
	}
	if (error)
		return; /* nothing was ever there that could be missed */
	/* The size is a worker's word. */
	while ((uint64_t)width * height > PICTURE_PIXELS_MAX) {
		width /= 2;
		height /= 2;
	}
	error = signal_picture_make(policy->signal_lost_image, width, height, &pixels);
	if (!error) {
		error = elsewhere ? signal->options.show_picture(
					signal->options.data, index, width, height, pixels)
				  : screen_lose(signal->screen_fd, index, width, height, pixels);
		free(pixels);
	}
	if (!error && elsewhere)
		signal->elsewhere |= UINT32_C(1) << index;
	if (error)
		log_guest(signal->options.limit, "%s: output %u keeps its last frame: %s",
		    signal->options.name, index, strerror(-error));
	else
		log_guest(signal->options.limit,
		    "%s: output %u has had no signal for %u ms: its picture says so",
		    signal->options.name, index, policy->signal_lost_ms);
}

/* ------------------------------------------------------------------ when it is due */

static void guest_signal_arm(struct guest_signal *signal);

static int guest_signal_due(sd_event_source *source, uint64_t usec, void *data)
{
	struct guest_signal *signal = data;
	const uint64_t now = telemetry_now();
	const uint64_t after = signal->options.policy->signal_lost_ms * NSEC_PER_MSEC;

	/* One at a time: the others are due at once, but after what guests want meanwhile. */
	for (unsigned i = 0; i < TELEMETRY_OUTPUTS; i++) {
		if (!signal->none_since_ns[i] || signal->replaced & 1u << i ||
		    now - signal->none_since_ns[i] < after)
			continue;
		signal->replaced |= 1u << i;
		guest_signal_show(signal, i);
		break;
	}
	guest_signal_arm(signal);
	return 0;
}

static void guest_signal_arm(struct guest_signal *signal)
{
	const uint64_t after = signal->options.policy->signal_lost_ms * NSEC_PER_MSEC;
	uint64_t first = UINT64_MAX;

	for (unsigned i = 0; i < TELEMETRY_OUTPUTS; i++)
		if (signal->none_since_ns[i] && !(signal->replaced & 1u << i) &&
		    signal->none_since_ns[i] < first)
			first = signal->none_since_ns[i];
	if (!after || first == UINT64_MAX || signal->screen_fd < 0) {
		if (signal->timer)
			sd_event_source_set_enabled(signal->timer, SD_EVENT_OFF);
		return;
	}
	first = (first + after) / 1000 + 1;
	if (!signal->timer) {
		sd_event_add_time(signal->options.event, &signal->timer, CLOCK_MONOTONIC, first,
		    1000, guest_signal_due, signal);
		return;
	}
	sd_event_source_set_time(signal->timer, first);
	sd_event_source_set_enabled(signal->timer, SD_EVENT_ONESHOT);
}

static void guest_signal_set(struct guest_signal *signal, unsigned index, bool there)
{
	if (there) {
		signal->none_since_ns[index] = 0;
		signal->replaced &= ~(1u << index);
		signal->elsewhere &= ~(1u << index);
	} else if (!signal->none_since_ns[index]) {
		signal->none_since_ns[index] = telemetry_now();
	}
}

void guest_signal_set_serving(struct guest_signal *signal, bool serving)
{
	signal->frozen = 0;
	for (unsigned i = 0; i < TELEMETRY_OUTPUTS; i++)
		guest_signal_set(signal, i, serving);
	guest_signal_arm(signal);
}

void guest_signal_moved(struct guest_signal *signal)
{
	signal->replaced = signal->elsewhere = 0;
	guest_signal_arm(signal);
}

void guest_signal_policy_changed(struct guest_signal *signal)
{
	guest_signal_arm(signal);
}

/* ------------------------------------------------------------------ frozen guests */

static void guest_signal_freeze(struct guest_signal *signal, unsigned index, uint64_t last)
{
	signal->frozen |= 1u << index;
	signal->frozen_after_ns[index] = last;
	signal->options.state->freezes++;
	log_guest(signal->options.limit, "%s: output %u is frozen: no frame for more than %u ms",
	    signal->options.name, index, signal->options.policy->flush_deadline_ms);
	guest_signal_set(signal, index, false);
}

static void guest_signal_thaw(struct guest_signal *signal, unsigned index, bool on, uint64_t now)
{
	signal->frozen &= ~(1u << index);
	log_guest(signal->options.limit, "%s: output %u %s after %.1f s", signal->options.name,
	    index, on ? "has frames again" : "was switched off",
	    (double)(now - signal->frozen_after_ns[index]) / 1e9);
	guest_signal_set(signal, index, true);
}

void guest_signal_look(struct guest_signal *signal, const struct telemetry *telemetry, uint64_t now)
{
	const uint64_t deadline = signal->options.policy->flush_deadline_ms * NSEC_PER_MSEC;

	for (unsigned i = 0; i < telemetry->outputs_count; i++) {
		const struct telemetry_output *output = &telemetry->outputs[i];
		const bool frozen = signal->frozen & 1u << i;
		uint64_t last = output->last_flush_ns;

		if (last < output->on_since_ns)
			last = output->on_since_ns;
		if (frozen && (!output->on || !deadline || last > signal->frozen_after_ns[i]))
			guest_signal_thaw(signal, i, output->on, now);
		else if (!frozen && output->on && deadline && now > last && now - last > deadline)
			guest_signal_freeze(signal, i, last);
	}
	guest_signal_arm(signal);
}

uint32_t guest_signal_lost(const struct guest_signal *signal)
{
	struct screen_output output;
	uint32_t lost = signal->elsewhere;

	for (unsigned i = 0; i < TELEMETRY_OUTPUTS && signal->screen_fd >= 0; i++)
		if (!screen_read(signal->screen_fd, i, &output) && output.lost &&
		    output.lost_serial == output.serial)
			lost |= 1u << i;
	return lost;
}

/* ------------------------------------------------------------------ life time */

void guest_signal_init(struct guest_signal *signal, const struct guest_signal_options *options)
{
	*signal = (struct guest_signal){ .options = *options, .screen_fd = -1 };
}

void guest_signal_finish(struct guest_signal *signal)
{
	signal->timer = sd_event_source_disable_unref(signal->timer);
	signal->screen_fd = -1;
}
