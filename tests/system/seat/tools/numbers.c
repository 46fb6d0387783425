/* SPDX-License-Identifier: MIT */
#include "tests/system/seat/tools/numbers.h"

#include <stdlib.h>
#include <string.h>

unsigned numbers_read(const char *text, unsigned numbers[], unsigned max)
{
	unsigned count = 0;

	while (count < max) {
		char *end;
		text += strspn(text, " ,x");
		unsigned long number = strtoul(text, &end, 10);
		if (end == text)
			break;
		numbers[count++] = (unsigned)number;
		text = end;
	}
	return count;
}
