/* SPDX-License-Identifier: MIT */
/*
 * What kinds of input devices there are for guests, as virtio-input describes them to a driver
 * (virtio 1.2, 5.8.4). Plain tables: gpudomd can answer a driver's questions from them as well as
 * the worker.
 */
#ifndef GPUDOM_BACKEND_INPUT_KINDS_H
#define GPUDOM_BACKEND_INPUT_KINDS_H

#include <linux/virtio_input.h>
#include <stdbool.h>
#include <stdint.h>

#include "backend/seat_message.h"

#define INPUT_CONFIG_DATA_MAX 128 /* of struct virtio_input_config */

/*
 * The answer to what a driver has selected, at most INPUT_CONFIG_DATA_MAX bytes, to @to: their
 * number. 0: "If the device does not have the corresponding information, [...] size is set to
 * zero". @serial: ID_SERIAL's, NULL: there is none.
 */
unsigned input_kind_config(enum seat_input_kind kind, const char *serial, uint8_t select,
    uint8_t subsel, uint8_t to[INPUT_CONFIG_DATA_MAX]);

/* Is there such an event of a device of this kind? EV_SYN is not asked for. */
bool input_kind_has(enum seat_input_kind kind, uint16_t type, uint16_t code);

#endif
