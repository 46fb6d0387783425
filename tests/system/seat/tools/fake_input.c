/* SPDX-License-Identifier: MIT */
#include "tests/system/seat/tools/fake_input.h"

#include <err.h>
#include <fcntl.h>
#include <linux/uinput.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { POSITION_MAX = 4095, FRAME_MAX = 64 };

static const struct {
	const char *name;
	uint16_t type;
} types[] = { { "syn", EV_SYN }, { "key", EV_KEY }, { "rel", EV_REL }, { "abs", EV_ABS },
	{ "msc", EV_MSC }, { "sw", EV_SW }, { "led", EV_LED }, { "rep", EV_REP } };

static void allow(int fd, unsigned long request, int from, int to)
{
	for (int i = from; i <= to; i++)
		if (ioctl(fd, request, i) < 0)
			err(1, "uinput");
}

static void allow_axis(int fd, uint16_t code, int least, int most, int per_mm)
{
	struct uinput_abs_setup axis = { .code = code,
		.absinfo = { .minimum = least, .maximum = most, .resolution = per_mm } };

	if (ioctl(fd, UI_ABS_SETUP, &axis) < 0)
		err(1, "uinput: axis %u", code);
}

static void allow_keyboard(int fd)
{
	allow(fd, UI_SET_EVBIT, EV_KEY, EV_KEY);
	allow(fd, UI_SET_EVBIT, EV_LED, EV_LED);
	allow(fd, UI_SET_EVBIT, EV_REP, EV_REP);
	allow(fd, UI_SET_KEYBIT, KEY_ESC, KEY_MICMUTE);
	allow(fd, UI_SET_LEDBIT, LED_NUML, LED_SCROLLL);
}

static void allow_mouse(int fd)
{
	allow(fd, UI_SET_EVBIT, EV_KEY, EV_REL);
	allow(fd, UI_SET_KEYBIT, BTN_LEFT, BTN_TASK);
	allow(fd, UI_SET_RELBIT, REL_X, REL_Y);
	allow(fd, UI_SET_RELBIT, REL_WHEEL, REL_WHEEL);
	allow(fd, UI_SET_RELBIT, REL_HWHEEL, REL_HWHEEL);
	allow(fd, UI_SET_RELBIT, REL_WHEEL_HI_RES, REL_HWHEEL_HI_RES);
}

static void allow_touch(int fd)
{
	allow(fd, UI_SET_EVBIT, EV_KEY, EV_KEY);
	allow(fd, UI_SET_EVBIT, EV_ABS, EV_ABS);
	allow(fd, UI_SET_KEYBIT, BTN_TOUCH, BTN_TOUCH);
	allow(fd, UI_SET_PROPBIT, INPUT_PROP_DIRECT, INPUT_PROP_DIRECT);
	allow_axis(fd, ABS_X, 0, POSITION_MAX, 10);
	allow_axis(fd, ABS_Y, 0, POSITION_MAX, 10);
	allow_axis(fd, ABS_MT_SLOT, 0, 9, 0);
	allow_axis(fd, ABS_MT_TRACKING_ID, 0, 65535, 0);
	allow_axis(fd, ABS_MT_POSITION_X, 0, POSITION_MAX, 10);
	allow_axis(fd, ABS_MT_POSITION_Y, 0, POSITION_MAX, 10);
}

static void allow_tablet(int fd)
{
	allow(fd, UI_SET_EVBIT, EV_KEY, EV_KEY);
	allow(fd, UI_SET_EVBIT, EV_ABS, EV_ABS);
	allow(fd, UI_SET_KEYBIT, BTN_TOOL_PEN, BTN_TOOL_RUBBER);
	allow(fd, UI_SET_KEYBIT, BTN_TOUCH, BTN_STYLUS2);
	allow(fd, UI_SET_PROPBIT, INPUT_PROP_DIRECT, INPUT_PROP_DIRECT);
	allow_axis(fd, ABS_X, 0, POSITION_MAX, 20);
	allow_axis(fd, ABS_Y, 0, POSITION_MAX, 20);
	allow_axis(fd, ABS_PRESSURE, 0, POSITION_MAX, 0);
	allow_axis(fd, ABS_DISTANCE, 0, 63, 0);
	allow_axis(fd, ABS_TILT_X, -64, 63, 57);
	allow_axis(fd, ABS_TILT_Y, -64, 63, 57);
}

static void allow_switch(int fd)
{
	allow(fd, UI_SET_EVBIT, EV_SW, EV_SW);
	allow(fd, UI_SET_SWBIT, SW_LID, SW_TABLET_MODE);
}

int fake_input_create(const char *kind)
{
	static const struct {
		const char *kind;
		void (*allow)(int fd);
	} kinds[] = { { "keyboard", allow_keyboard }, { "mouse", allow_mouse },
		{ "touch", allow_touch }, { "tablet", allow_tablet }, { "switch", allow_switch } };
	struct uinput_setup setup = { .id = { .bustype = BUS_USB, .vendor = 0x1209 } };
	int fd = open("/dev/uinput", O_RDWR | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		err(1, "/dev/uinput");
	for (unsigned k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++)
		if (strcmp(kinds[k].kind, kind) == 0) {
			kinds[k].allow(fd);
			setup.id.product = (uint16_t)(k + 1);
		}
	if (setup.id.product == 0)
		errx(2, "no device '%s'", kind);
	snprintf(setup.name, sizeof(setup.name), "gpudom test %s", kind);
	if (ioctl(fd, UI_DEV_SETUP, &setup) < 0 || ioctl(fd, UI_DEV_CREATE) < 0)
		err(1, "uinput");
	return fd;
}

static bool word_parse(char *word, struct input_event *event)
{
	const char *type = strsep(&word, "/");
	const char *code = word ? strsep(&word, "=") : NULL;

	if (!word)
		return false;
	for (unsigned i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (strcmp(types[i].name, type) == 0) {
			*event = (struct input_event){
				.type = types[i].type,
				.code = (uint16_t)strtoul(code, NULL, 10),
				.value = (int32_t)strtol(word, NULL, 10),
			};
			return true;
		}
	return false;
}

bool fake_input_write(int fd, const char *words)
{
	struct input_event events[FRAME_MAX] = { 0 };
	char text[1024], *rest = NULL;
	unsigned count = 0;

	snprintf(text, sizeof(text), "%s", words);
	for (char *word = strtok_r(text, " \n", &rest); word; word = strtok_r(NULL, " \n", &rest))
		if (count + 1 == FRAME_MAX || !word_parse(word, &events[count++]))
			return false;
	/* The last one, zeroed, is SYN_REPORT. */
	size_t size = (count + 1) * sizeof(events[0]);
	return write(fd, events, size) == (ssize_t)size;
}

void fake_input_print(uint16_t type, uint16_t code, int32_t value)
{
	for (unsigned i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (types[i].type == type) {
			printf("%s/%u=%d", types[i].name, code, value);
			return;
		}
	printf("%u/%u=%d", type, code, value);
}
