/* SPDX-License-Identifier: MIT */
/* Keyboards and the like of uinput, and frames of events as tests write them: "key/30=1 abs/0=500".
 */
#ifndef GPUDOM_TESTS_SYSTEM_FAKE_INPUT_H
#define GPUDOM_TESTS_SYSTEM_FAKE_INPUT_H

#include <stdbool.h>
#include <stdint.h>

/* keyboard, mouse, touch, tablet or switch, as the kernel's name says "gpudom test KIND": a
 * descriptor that can be read without waiting (LEDs come back by it). Positions are 0 to 4095.
 * Dies. */
int fake_input_create(const char *kind);

/* Writes a frame: the events of @words, and SYN_REPORT. False: cannot read it. */
bool fake_input_write(int fd, const char *words);

/* "key/30=1"; of an unknown type: "N/30=1" */
void fake_input_print(uint16_t type, uint16_t code, int32_t value);

#endif
