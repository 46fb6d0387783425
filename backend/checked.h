/* SPDX-License-Identifier: MIT */
/* Overflow-checked arithmetic for sizes that a guest had a hand in. */
#ifndef GPUDOM_BACKEND_CHECKED_H
#define GPUDOM_BACKEND_CHECKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* *sum = a + b; false, with *sum undefined, where that does not fit. */
#define checked_add(a, b, sum) (!__builtin_add_overflow((a), (b), (sum)))
#define checked_sub(a, b, diff) (!__builtin_sub_overflow((a), (b), (diff)))
#define checked_mul(a, b, product) (!__builtin_mul_overflow((a), (b), (product)))

/* Does [offset, offset + length) lie inside [0, size)? */
static inline bool range_inside(uint64_t offset, uint64_t length, uint64_t size)
{
	return offset <= size && length <= size - offset;
}

#endif
