/* SPDX-License-Identifier: MIT */
/* Takes a fuzzer's input apart; past its end come zeros. */
#ifndef GPUDOM_TESTS_FUZZ_INPUT_H
#define GPUDOM_TESTS_FUZZ_INPUT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct input {
	const uint8_t *data;
	size_t size;
};

/* Copies up to @size bytes to @to: the number. */
static inline size_t input_bytes(struct input *input, void *to, size_t size)
{
	size_t n = size < input->size ? size : input->size;

	memcpy(to, input->data, n);
	input->data += n;
	input->size -= n;
	return n;
}

static inline uint8_t input_u8(struct input *input)
{
	uint8_t value = 0;

	input_bytes(input, &value, sizeof(value));
	return value;
}

static inline uint16_t input_u16(struct input *input)
{
	uint16_t value = 0;

	input_bytes(input, &value, sizeof(value));
	return value;
}

static inline uint32_t input_u32(struct input *input)
{
	uint32_t value = 0;

	input_bytes(input, &value, sizeof(value));
	return value;
}

static inline uint64_t input_u64(struct input *input)
{
	uint64_t value = 0;

	input_bytes(input, &value, sizeof(value));
	return value;
}

#endif
