/* SPDX-License-Identifier: MIT */
#include "xen/guest_health.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "backend/log.h"
#include "backend/screen.h"
#include "xen/keep.h"
#include "xen/signal_picture.h"

/* A quarter of the time in which something is due: what a whole domain that does not run misses is
 * one look, not four. */
#define LOOKS 4
/* A picture that is due is missed a little later. */
#define DEADLINE_LOOKS 2
#define PERIOD_MIN_MS 10

void guest_health_init(struct guest_health *health, const struct guest_health_options *options)
{
	const struct guest_signal_options signal = {
		.name = options->name,
		.limit = options->limit,
		.event = options->event,
		.policy = &health->policy,
		.state = options->state,
		.picture_size = options->picture_size,
		.show_picture = options->show_picture,
		.data = options->data,
	};

	*health = (struct guest_health){
		.options = *options,
		.policy = GUEST_POLICY_DEFAULT,
		.telemetry_fd = -1,
		.screen_fd = -1,
		.descriptors = { { "--telemetry-fd", -1 }, { "--screen-fd", -1 } },
	};
	guest_signal_init(&health->signal, &signal);
}

/* ------------------------------------------------------------------ its files */

static int guest_health_take(struct guest_health *health, const char *what)
{
	const struct guest_health_options *options = &health->options;

	return keep_take(options->keep, "%u-%u-%s", options->domid, options->devid, what);
}

static void guest_health_push(struct guest_health *health, int fd, const char *what)
{
	const struct guest_health_options *options = &health->options;

	keep_drop(options->keep, "%u-%u-%s", options->domid, options->devid, what);
	keep_push(options->keep, fd, "%u-%u-%s", options->domid, options->devid, what);
}

static int guest_health_open_telemetry(struct guest_health *health)
{
	int error, fd = guest_health_take(health, "telemetry");

	if (fd >= 0 && telemetry_open(fd, false, &health->page) == 0) {
		health->telemetry_fd = fd;
		return 0;
	}
	/* Another build's: its worker goes on with that, and its successor with ours. */
	if (fd >= 0)
		close(fd);
	error = telemetry_create(&health->page, &health->telemetry_fd);
	if (!error)
		guest_health_push(health, health->telemetry_fd, "telemetry");
	return error;
}

static int guest_health_open_screen(struct guest_health *health)
{
	int error;

	health->screen_fd = guest_health_take(health, "screen");
	if (health->screen_fd >= 0)
		return 0;
	error = screen_create(&health->screen_fd);
	if (!error)
		guest_health_push(health, health->screen_fd, "screen");
	return error;
}

void guest_health_open(struct guest_health *health)
{
	int error;

	if (!health->options.gpu)
		return;
	error = guest_health_open_telemetry(health);
	if (error)
		log_error(
		    "%s: its worker cannot be watched: %s", health->options.name, strerror(-error));
	error = guest_health_open_screen(health);
	if (error)
		log_error(
		    "%s: its screen cannot be kept: %s", health->options.name, strerror(-error));
	health->descriptors[0].fd = health->telemetry_fd;
	health->descriptors[1].fd = health->signal.screen_fd = health->screen_fd;
}

void guest_health_close(struct guest_health *health)
{
	health->timer = sd_event_source_disable_unref(health->timer);
	guest_signal_finish(&health->signal);
	telemetry_close(health->page);
	health->page = NULL;
	if (health->telemetry_fd >= 0)
		close(health->telemetry_fd);
	if (health->screen_fd >= 0)
		close(health->screen_fd);
	health->telemetry_fd = health->screen_fd = -1;
}

void guest_health_drop(struct guest_health *health)
{
	const struct guest_health_options *options = &health->options;

	if (health->telemetry_fd >= 0)
		keep_drop(options->keep, "%u-%u-telemetry", options->domid, options->devid);
	if (health->screen_fd >= 0)
		keep_drop(options->keep, "%u-%u-screen", options->domid, options->devid);
	guest_health_close(health);
}

/* ------------------------------------------------------------------ its end */

void guest_health_describe(const struct guest_health *health, char *text, size_t size)
{
	struct telemetry telemetry;
	const struct telemetry_command *command = &telemetry.command;

	if (size)
		*text = '\0';
	if (!health->page)
		return;
	telemetry_read(health->page, &telemetry);
	if (!command->number)
		return;
	snprintf(text, size, " %s %s (context %llu, request %llu)",
	    command->executing ? "while it executed" : "after",
	    telemetry_command_name(command->type), (unsigned long long)command->ctx_id,
	    (unsigned long long)command->number);
}

bool guest_health_died(struct guest_health *health, const char *how, uint64_t now)
{
	struct health_state *state = health->options.state;
	const uint64_t limit = health->policy.crash_limit;
	uint64_t first;

	snprintf(state->last_end, sizeof(state->last_end), "%s", how);
	state->death_at[state->deaths++ % POLICY_CRASHES_MAX] = now;
	if (!limit || limit > POLICY_CRASHES_MAX || state->deaths - state->forgiven < limit)
		return false;
	first = state->death_at[(state->deaths - limit) % POLICY_CRASHES_MAX];
	return now - first < health->policy.crash_window_s * UINT64_C(1000000);
}

void guest_health_forgive(struct guest_health *health)
{
	health->options.state->forgiven = health->options.state->deaths;
}

/* ------------------------------------------------------------------ does it get on? */

/* The worker has done nothing new for the policy's time. */
static void guest_health_hung(struct guest_health *health, const char *what)
{
	char sentence[HEALTH_END_BYTES];
	const uint32_t ms = health->policy.hang_timeout_ms;
	char doing[128], time[32];

	guest_health_describe(health, doing, sizeof(doing));
	if (ms % 1000)
		snprintf(time, sizeof(time), "%u ms", ms);
	else
		snprintf(time, sizeof(time), "%u s", ms / 1000);
	snprintf(sentence, sizeof(sentence), "the worker %s for %s%s: killed", what, time, doing);
	health->options.state->hangs++;
	health->same_command = health->same_fence = 0;
	health->options.hung(health->options.data, sentence);
}

static void guest_health_watch_worker(struct guest_health *health, const struct telemetry *now)
{
	const struct guest_health_progress last = health->seen;
	const uint64_t period = health->period_ms;
	const uint64_t looks = (health->policy.hang_timeout_ms + period - 1) / period;

	health->seen = (struct guest_health_progress){
		.event = now->busy_since_ns,
		.command = now->command.number,
		.fence = now->gpu_since_ns,
	};
	if (!looks)
		return;
	/* Nothing that it works on, or something else than before: it gets on. */
	if (!now->busy_since_ns || last.event != health->seen.event ||
	    last.command != health->seen.command)
		health->same_command = 0;
	else if (++health->same_command >= looks) {
		guest_health_hung(health, "has not got any further");
		return;
	}
	if (!now->gpu_since_ns || last.fence != health->seen.fence)
		health->same_fence = 0;
	else if (++health->same_fence >= looks)
		guest_health_hung(health, "has waited for the GPU");
}

static int guest_health_look(sd_event_source *source, uint64_t usec, void *data)
{
	struct guest_health *health = data;
	const uint64_t now = telemetry_now(), period_ns = health->period_ms * 1000000;
	/* Much later than it was meant to be: we did not run, nor perhaps did anybody else. */
	const bool late = health->looked_ns && now - health->looked_ns > 3 * period_ns;
	struct telemetry telemetry;

	health->looked_ns = now;
	sd_event_source_set_time_relative(health->timer, health->period_ms * 1000);
	sd_event_source_set_enabled(health->timer, SD_EVENT_ONESHOT);
	telemetry_read(health->page, &telemetry);
	if (!late)
		guest_signal_look(&health->signal, &telemetry, now);
	guest_health_watch_worker(health, &telemetry);
	return 0;
}

static uint64_t guest_health_period(const struct guest_health *health)
{
	uint64_t period = UINT64_MAX;

	if (!health->serving || !health->page)
		return 0;
	if (health->policy.hang_timeout_ms)
		period = health->policy.hang_timeout_ms / LOOKS;
	if (health->policy.flush_deadline_ms &&
	    health->policy.flush_deadline_ms / DEADLINE_LOOKS < period)
		period = health->policy.flush_deadline_ms / DEADLINE_LOOKS;
	if (period == UINT64_MAX)
		return 0;
	return period < PERIOD_MIN_MS ? PERIOD_MIN_MS : period;
}

/* The timers of all guests fire together where their periods are alike: the loop may be a quarter
 * of one late. */
static void guest_health_arm(struct guest_health *health)
{
	const uint64_t period = guest_health_period(health);
	int error;

	health->timer = sd_event_source_disable_unref(health->timer);
	health->period_ms = period;
	health->looked_ns = 0;
	health->same_command = health->same_fence = 0;
	if (!period)
		return;
	error = sd_event_add_time_relative(health->options.event, &health->timer, CLOCK_MONOTONIC,
	    period * 1000, period * 1000 / LOOKS, guest_health_look, health);
	if (error < 0)
		log_error(
		    "%s: its worker cannot be watched: %s", health->options.name, strerror(-error));
}

void guest_health_set_serving(struct guest_health *health, bool serving)
{
	if (health->serving == serving)
		return;
	health->serving = serving;
	guest_signal_set_serving(&health->signal, serving);
	guest_health_arm(health);
}

void guest_health_set_policy(struct guest_health *health, const struct guest_policy *policy)
{
	if (policy->signal_lost_ms &&
	    strcmp(policy->signal_lost_image, health->policy.signal_lost_image) != 0)
		signal_picture_check(policy->signal_lost_image);
	health->policy = *policy;
	guest_health_arm(health);
	guest_signal_policy_changed(&health->signal);
}
