/* SPDX-License-Identifier: MIT */
/*
 * usage: refusals DOMID [REFERENCE]
 * In the driver domain: makes each kind of call that serving a guest takes on a domain that is not
 * to be served, and says what came of it, a line each: refusals: CALL: refused: REASON        or
 * refusals: CALL: ALLOWED With a grant reference, DOMID is a guest that is served, and the
 * reference one that it has not granted to this domain: only what must be refused there too is
 * tried. Status 0 if all was refused.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <xen/grant_table.h>
#include <xen/hvm/hvm_op.h>
#include <xen/hvm/ioreq.h>
#include <xen/memory.h>
#include <xendevicemodel.h>
#include <xenevtchn.h>
#include <xenforeignmemory.h>
#include <xengnttab.h>

static bool all_refused = true;

static void say(const char *call, bool allowed, int error)
{
	if (allowed)
		printf("refusals: %s: ALLOWED\n", call);
	else
		printf("refusals: %s: refused: %s\n", call, strerror(error));
	all_refused = all_refused && !allowed;
}

static void try_devicemodel(domid_t domid)
{
	xendevicemodel_handle *handle = xendevicemodel_open(NULL, 0);
	ioservid_t server;
	unsigned vcpus;
	int r;

	if (!handle)
		exit(2);
	r = xendevicemodel_nr_vcpus(handle, domid, &vcpus);
	say("dm nr_vcpus", r == 0, errno);
	r = xendevicemodel_create_ioreq_server(handle, domid, HVM_IOREQSRV_BUFIOREQ_OFF, &server);
	say("dm create_ioreq_server", r == 0, errno);
	r = xendevicemodel_set_irq_level(handle, domid, 33, 0);
	say("dm set_irq_level", r == 0, errno);
	xendevicemodel_close(handle);
}

static void try_foreign_memory(domid_t domid, bool resource)
{
	xenforeignmemory_handle *handle = xenforeignmemory_open(NULL, 0);
	xen_pfn_t frame = 0x40000; /* a guest's memory begins at 1 GiB on Arm */
	xenforeignmemory_resource_handle *mapped;
	void *address = NULL;
	int error = 0;
	void *page;

	if (!handle)
		exit(2);
	page = xenforeignmemory_map(handle, domid, PROT_READ, 1, &frame, &error);
	say("foreign map", page && !error, page ? -error : errno);
	if (page)
		xenforeignmemory_unmap(handle, page, 1);
	if (resource) {
		mapped = xenforeignmemory_map_resource(
		    handle, domid, XENMEM_resource_grant_table, 0, 0, 1, &address, PROT_READ, 0);
		say("resource map", mapped != NULL, errno);
		if (mapped)
			xenforeignmemory_unmap_resource(handle, mapped);
	}
	xenforeignmemory_close(handle);
}

static void try_grants(domid_t domid, uint32_t reference)
{
	xengnttab_handle *handle = xengnttab_open(NULL, 0);
	static char buffer[4096] __attribute__((aligned(4096)));
	xengnttab_grant_copy_segment_t copy = {
		.source.foreign = { .ref = reference, .domid = domid },
		.dest.virt = buffer,
		.len = 16,
		.flags = GNTCOPY_source_gref,
	};
	void *page;
	int r;

	if (!handle)
		exit(2);
	page = xengnttab_map_grant_ref(handle, domid, reference, PROT_READ);
	say("grant map", page != NULL, errno);
	if (page)
		xengnttab_unmap(handle, page, 1);
	r = xengnttab_grant_copy(handle, 1, &copy);
	say("grant copy", r == 0 && copy.status == GNTST_okay, r ? errno : EACCES);
	xengnttab_close(handle);
}

static void try_events(domid_t domid)
{
	xenevtchn_handle *handle = xenevtchn_open(NULL, 0);
	int port;

	if (!handle)
		exit(2);
	port = xenevtchn_bind_unbound_port(handle, domid);
	say("event channel for it", port >= 0, errno);
	port = xenevtchn_bind_interdomain(handle, domid, 1);
	say("event channel of its", port >= 0, errno);
	xenevtchn_close(handle);
}

int main(int argc, char **argv)
{
	domid_t domid;

	if (argc < 2 || argc > 3) {
		fputs("usage: refusals DOMID [REFERENCE]\n", stderr);
		return 2;
	}
	domid = (domid_t)strtoul(argv[1], NULL, 10);
	if (argc == 3) {
		try_foreign_memory(domid, false);
		try_grants(domid, (uint32_t)strtoul(argv[2], NULL, 10));
		return all_refused ? 0 : 1;
	}
	try_devicemodel(domid);
	try_foreign_memory(domid, true);
	try_grants(domid, 8);
	if (domid != 0) /* dom0's own backends offer this domain event channels */
		try_events(domid);
	return all_refused ? 0 : 1;
}
