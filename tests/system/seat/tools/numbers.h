/* SPDX-License-Identifier: MIT */
#ifndef GPUDOM_TESTS_SYSTEM_NUMBERS_H
#define GPUDOM_TESTS_SYSTEM_NUMBERS_H

/* Reads at most @max decimal numbers between blanks, commas and "x": "0 1,2 30x40". How many there
 * are before anything else, or the end. */
unsigned numbers_read(const char *text, unsigned numbers[], unsigned max);

#endif
