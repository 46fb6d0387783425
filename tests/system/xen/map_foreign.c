/* SPDX-License-Identifier: MIT */
/*
 * map_foreign DOMID: try to map the first page of a guest's memory without its grant, and say what
 * came of it. The system test runs it in the driver domain, where FLASK must refuse.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <xenforeignmemory.h>

int main(int argc, char **argv)
{
	xenforeignmemory_handle *handle = xenforeignmemory_open(NULL, 0);
	xen_pfn_t frame = 0x40000; /* a guest's memory begins at 1 GiB on Arm */
	int error = 0;

	if (argc != 2 || !handle) {
		fprintf(stderr, "usage: map_foreign DOMID (on Xen, with /dev/xen/privcmd)\n");
		return 2;
	}
	void *page = xenforeignmemory_map(
	    handle, (uint32_t)strtoul(argv[1], NULL, 10), PROT_READ, 1, &frame, &error);
	if (page && error == 0) {
		printf("map_foreign: mapped\n");
		xenforeignmemory_unmap(handle, page, 1);
	} else {
		printf("map_foreign: refused: %s\n", strerror(page ? -error : errno));
		if (page)
			xenforeignmemory_unmap(handle, page, 1);
	}
	xenforeignmemory_close(handle);
	return 0;
}
