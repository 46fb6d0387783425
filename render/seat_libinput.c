/* SPDX-License-Identifier: MIT */
#include "render/seat_libinput.h"

#include <errno.h>
#include <fnmatch.h>
#include <json-c/json.h>
#include <libudev.h>
#include <linux/input.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>

#include "backend/log.h"
#include "render/seat_libinput_private.h"

/* ---------------------------------------------------------------- libinput's needs */

static int open_device(const char *path, int flags, void *data)
{
	const struct seat_libinput *libinput = data;
	int fd = seat_session_open(libinput->session, path);

	if (fd < 0) {
		log_warning("Cannot open input device %s: %s", path, strerror(-fd));
		return fd;
	}
	/* Nobody keeps the console from it: a login prompt would read what people type. */
	if (seat_session_direct(libinput->session) && ioctl(fd, EVIOCGRAB, 1) < 0)
		log_warning("Input device %s has another reader, which sees what people type: %s",
		    path, strerror(errno));
	return fd;
}

static void close_device(int fd, void *data)
{
	seat_session_close(((struct seat_libinput *)data)->session, fd);
}

static const struct libinput_interface interface = { open_device, close_device };

__attribute__((format(printf, 3, 0))) static void write_line(struct libinput *context,
    enum libinput_log_priority priority, const char *format, va_list arguments)
{
	char line[256];
	size_t length;

	vsnprintf(line, sizeof(line), format, arguments);
	length = strlen(line);
	if (length && line[length - 1] == '\n')
		line[length - 1] = '\0';
	if (priority >= LIBINPUT_LOG_PRIORITY_ERROR)
		log_warning("libinput: %s", line);
	else
		log_debug("libinput: %s", line);
}

/* ---------------------------------------------------------------- devices */

static const struct seat_config_input *find_rule(
    const struct seat_libinput *libinput, const char *name)
{
	for (unsigned i = 0; i < libinput->rule_count; i++)
		if (!fnmatch(libinput->rules[i].match, name, 0))
			return &libinput->rules[i];
	return NULL;
}

static void set_calibration(const struct seat_libinput_device *device)
{
	struct libinput_device *handle = device->device;
	const struct seat_config_input *rule = device->rule;
	float matrix[6];

	if (!libinput_device_config_calibration_has_matrix(handle)) {
		if (rule && rule->has_calibration)
			log_warning("Input device \"%s\" cannot be calibrated: it is no screen",
			    libinput_device_get_name(handle));
		return;
	}
	/* That of udev's, where the settings have none (any more) */
	libinput_device_config_calibration_get_default_matrix(handle, matrix);
	libinput_device_config_calibration_set_matrix(
	    handle, rule && rule->has_calibration ? rule->calibration : matrix);
}

static void device_configure(struct seat_libinput *libinput, struct seat_libinput_device *device)
{
	struct libinput_device *handle = device->device;
	const char *name = libinput_device_get_name(handle);
	const struct seat_config_input *rule = find_rule(libinput, name);
	const char *guest = rule && rule->guest[0] ? rule->guest : NULL;

	device->rule = rule;
	device->ignored = rule && rule->ignore;
	if (seat_input_pin(libinput->input, device->source, guest) < 0) {
		log_warning("Input device \"%s\" does nothing: there are too many for guest %s",
		    name, guest);
		device->ignored = true;
	}
	libinput_device_config_send_events_set_mode(
	    handle, device->ignored ? LIBINPUT_CONFIG_SEND_EVENTS_DISABLED
				    : LIBINPUT_CONFIG_SEND_EVENTS_ENABLED);
	if (device->ignored)
		return;
	set_calibration(device);
	if (libinput_device_config_tap_get_finger_count(handle) > 0)
		libinput_device_config_tap_set_enabled(handle, LIBINPUT_CONFIG_TAP_ENABLED);
}

/* Of a keyboard that goes by focus. */
static void device_set_leds(
    const struct seat_libinput *libinput, const struct seat_libinput_device *device)
{
	_Static_assert(LIBINPUT_LED_NUM_LOCK == 1 << LED_NUML &&
			   LIBINPUT_LED_CAPS_LOCK == 1 << LED_CAPSL &&
			   LIBINPUT_LED_SCROLL_LOCK == 1 << LED_SCROLLL,
	    "the same bits");
	const uint32_t known =
	    LIBINPUT_LED_NUM_LOCK | LIBINPUT_LED_CAPS_LOCK | LIBINPUT_LED_SCROLL_LOCK;

	if (!libinput_device_has_capability(device->device, LIBINPUT_DEVICE_CAP_KEYBOARD) ||
	    device->ignored || (device->rule && device->rule->guest[0]))
		return;
	libinput_device_led_update(device->device, (enum libinput_led)(libinput->leds & known));
}

static void add_device(struct seat_libinput *libinput, struct libinput_device *handle)
{
	struct seat_libinput_device *device = calloc(1, sizeof(*device));
	const char *name = libinput_device_get_name(handle);

	if (!device) {
		log_error("Input device \"%s\" does nothing: no memory", name);
		return;
	}
	device->device = libinput_device_ref(handle);
	device->source = ++libinput->last_source;
	libinput_device_set_user_data(handle, device);
	LIST_INSERT_HEAD(&libinput->devices, device, link);
	device_configure(libinput, device);
	device_set_leds(libinput, device);
	if (device->ignored)
		log_info("Input device \"%s\" is ignored", name);
	else if (device->rule && device->rule->guest[0])
		log_info("Input device \"%s\" is guest %s's", name, device->rule->guest);
	else
		log_info("Input device \"%s\"", name);
}

static void remove_device(struct seat_libinput *libinput, struct seat_libinput_device *device)
{
	if (!device)
		return;
	log_info("Input device \"%s\" is gone", libinput_device_get_name(device->device));
	seat_input_source_gone(libinput->input, device->source);
	LIST_REMOVE(device, link);
	libinput_device_set_user_data(device->device, NULL);
	libinput_device_unref(device->device);
	free(device);
}

/* ---------------------------------------------------------------- events */

static void dispatch(struct seat_libinput *libinput)
{
	struct libinput_event *event;
	int r = libinput_dispatch(libinput->context);

	if (r < 0)
		log_warning("Cannot read from input devices: %s", strerror(-r));
	while ((event = libinput_get_event(libinput->context))) {
		struct libinput_device *handle = libinput_event_get_device(event);
		struct seat_libinput_device *device = libinput_device_get_user_data(handle);
		const enum libinput_event_type type = libinput_event_get_type(event);

		if (type == LIBINPUT_EVENT_DEVICE_ADDED)
			add_device(libinput, handle);
		else if (type == LIBINPUT_EVENT_DEVICE_REMOVED)
			remove_device(libinput, device);
		else if (device && !device->ignored)
			seat_libinput_take_event(libinput->input, device, event);
		libinput_event_destroy(event);
	}
}

static int handle_io(sd_event_source *source, int fd, uint32_t revents, void *data)
{
	dispatch(data);
	return 0;
}

static void activate(struct seat_libinput *libinput)
{
	const char *seat = seat_session_seat(libinput->session);

	if (libinput->assigned) {
		if (libinput_resume(libinput->context) < 0)
			log_error("Cannot take input devices again: no input until another switch "
				  "of virtual terminals");
	} else if (libinput_udev_assign_seat(libinput->context, seat) < 0) {
		log_error("Cannot look for the input devices of seat %s: is udev running?", seat);
	} else {
		libinput->assigned = true;
	}
	dispatch(libinput);
	if (LIST_EMPTY(&libinput->devices))
		log_info("There is no input device yet");
}

static void handle_active(void *data, bool active)
{
	struct seat_libinput *libinput = data;

	if (active) {
		activate(libinput);
	} else if (libinput->assigned) {
		libinput_suspend(libinput->context);
		dispatch(libinput);
	}
}

/* ---------------------------------------------------------------- life */

void seat_libinput_configure(
    struct seat_libinput *libinput, const struct seat_config_input *rules, unsigned rule_count)
{
	struct seat_libinput_device *device;

	libinput->rules = rules;
	libinput->rule_count = rule_count;
	LIST_FOREACH (device, &libinput->devices, link) {
		device_configure(libinput, device);
		device_set_leds(libinput, device);
	}
	dispatch(libinput); /* keys of devices that are ignored from now on */
}

void seat_libinput_set_leds(struct seat_libinput *libinput, uint32_t leds)
{
	struct seat_libinput_device *device;

	libinput->leds = leds;
	LIST_FOREACH (device, &libinput->devices, link)
		device_set_leds(libinput, device);
}

static struct libinput *create_context(struct seat_libinput *libinput)
{
	struct udev *udev = udev_new();
	struct libinput *context =
	    udev ? libinput_udev_create_context(&interface, libinput, udev) : NULL;

	udev_unref(udev);
	if (!context)
		return NULL;
	libinput_log_set_handler(context, write_line);
	libinput_log_set_priority(context, LIBINPUT_LOG_PRIORITY_INFO);
	return context;
}

int seat_libinput_create(const struct seat_libinput_options *options, struct seat_libinput **out)
{
	struct seat_libinput *libinput = calloc(1, sizeof(*libinput));
	int r = -ENOMEM;

	if (!libinput)
		goto error;
	LIST_INIT(&libinput->devices);
	libinput->session = options->session;
	libinput->input = options->input;
	libinput->rules = options->rules;
	libinput->rule_count = options->rule_count;
	libinput->context = create_context(libinput);
	if (!libinput->context)
		goto error;
	r = sd_event_add_io(options->event, &libinput->io, libinput_get_fd(libinput->context),
	    EPOLLIN, handle_io, libinput);
	if (r < 0)
		goto error;
	/* Before all else that waits */
	sd_event_source_set_priority(libinput->io, SD_EVENT_PRIORITY_NORMAL - 10);
	sd_event_source_set_description(libinput->io, "seat-libinput");
	libinput->session_listener =
	    (struct seat_session_listener){ .active_changed = handle_active, .data = libinput };
	seat_session_listen(libinput->session, &libinput->session_listener);
	if (seat_session_active(libinput->session))
		activate(libinput);
	*out = libinput;
	return 0;

error:
	log_error("Cannot start input: %s", strerror(-r));
	if (libinput && libinput->context)
		libinput_unref(libinput->context);
	free(libinput);
	return r;
}

void seat_libinput_destroy(struct seat_libinput *libinput)
{
	struct seat_libinput_device *device, *next;

	if (!libinput)
		return;
	seat_session_unlisten(libinput->session, &libinput->session_listener);
	for (device = LIST_FIRST(&libinput->devices); device; device = next) {
		next = LIST_NEXT(device, link);
		remove_device(libinput, device);
	}
	sd_event_source_disable_unref(libinput->io);
	libinput_unref(libinput->context);
	free(libinput);
}

/* ---------------------------------------------------------------- what there is to say */

static const struct {
	enum libinput_device_capability capability;
	const char *name;
} capabilities[] = {
	{ LIBINPUT_DEVICE_CAP_KEYBOARD, "keyboard" },
	{ LIBINPUT_DEVICE_CAP_POINTER, "pointer" },
	{ LIBINPUT_DEVICE_CAP_TOUCH, "touch" },
	{ LIBINPUT_DEVICE_CAP_TABLET_TOOL, "tablet" },
	{ LIBINPUT_DEVICE_CAP_TABLET_PAD, "tablet pad" },
	{ LIBINPUT_DEVICE_CAP_GESTURE, "gestures" },
	{ LIBINPUT_DEVICE_CAP_SWITCH, "switch" },
};

static void describe_kinds(struct json_object *kinds, struct libinput_device *handle)
{
	for (unsigned i = 0; i < sizeof(capabilities) / sizeof(capabilities[0]); i++)
		if (libinput_device_has_capability(handle, capabilities[i].capability))
			json_object_array_add(kinds, json_object_new_string(capabilities[i].name));
}

static struct json_object *describe_device(const struct seat_libinput_device *device)
{
	struct json_object *object = json_object_new_object();
	struct json_object *kinds = json_object_new_array();
	const struct seat_config_input *rule = device->rule;

	if (!object || !kinds) {
		json_object_put(object);
		json_object_put(kinds);
		return NULL;
	}
	describe_kinds(kinds, device->device);
	json_object_object_add(
	    object, "name", json_object_new_string(libinput_device_get_name(device->device)));
	json_object_object_add(
	    object, "node", json_object_new_string(libinput_device_get_sysname(device->device)));
	json_object_object_add(object, "kinds", kinds);
	json_object_object_add(object, "source", json_object_new_uint64(device->source));
	if (device->ignored)
		json_object_object_add(object, "ignored", json_object_new_boolean(true));
	if (rule && rule->guest[0])
		json_object_object_add(object, "guest", json_object_new_string(rule->guest));
	if (rule && rule->output[0])
		json_object_object_add(object, "output", json_object_new_string(rule->output));
	return object;
}

struct json_object *seat_libinput_describe(const struct seat_libinput *libinput)
{
	struct json_object *array = json_object_new_array();
	const struct seat_libinput_device *device;

	LIST_FOREACH (device, &libinput->devices, link) {
		struct json_object *object = array ? describe_device(device) : NULL;

		if (object && json_object_array_add(array, object) == 0)
			continue;
		json_object_put(object);
		json_object_put(array);
		return NULL;
	}
	return array;
}
