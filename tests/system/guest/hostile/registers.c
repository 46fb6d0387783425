/* SPDX-License-Identifier: MIT */
/* The registers: any offset, any width, reads and writes, those that may not be written among them.
 */
#include <linux/io.h>

#include "hostile.h"

void hostile_registers(struct hostile *h)
{
	for (unsigned i = 0; i < 100; i++) {
		unsigned width = 1u << hostile_random(h, 4);
		void __iomem *at = h->registers + hostile_random(h, 0x200 / width) * width;
		u64 value = hostile_value(h) | (u64)hostile_value(h) << 32;

		h->counts.registers++;
		switch (width + 8 * hostile_random(h, 2)) {
		case 1:
			writeb((u8)value, at);
			break;
		case 2:
			writew((u16)value, at);
			break;
		case 4:
			writel((u32)value, at);
			break;
		case 8:
			writeq(value, at);
			break;
		case 8 + 1:
			readb(at);
			break;
		case 8 + 2:
			readw(at);
			break;
		case 8 + 4:
			readl(at);
			break;
		case 8 + 8:
			readq(at);
			break;
		}
	}
}
