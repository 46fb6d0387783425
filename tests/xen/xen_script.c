/* SPDX-License-Identifier: MIT */
#include "tests/xen/xen_script.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <xen/hvm/hvm_op.h>
#include <xen/hvm/ioreq.h>
#include <xen/memory.h>
#include <xendevicemodel.h>
#include <xenevtchn.h>
#include <xenforeignmemory.h>

#include "xen/gntdev.h"
#include "xen/privcmd.h"

#define NOBODY 0x6fff /* no domain has this id */
#define BASE 0x2000000u
#define SERVERS 8

struct script {
	FILE *out;
	uint16_t domid;
	unsigned vcpus;
	xendevicemodel_handle *dm;
	xenforeignmemory_handle *memory;
	xenevtchn_handle *evtchn;
	int privcmd;
	shared_iopage_t *page;
};

/* One line: what was called and what came of it; @result is negative or false on failure. */
static void say(struct script *script, const char *what, bool ok)
{
	const char *error = ok ? "ok" : strerrorname_np(errno);

	fprintf(script->out, "%s: %s\n", what, error ? error : "?");
}

/* Of calls that return -1 with errno. */
#define SAY(what, call) (errno = 0, say(script, what, (call) >= 0))
/* Of ours, which return -errno. */
static void say_error(struct script *script, const char *what, int error)
{
	errno = -error;
	say(script, what, error >= 0);
}

/* --------------------------------------------------------------------- servers */

static void script_servers(struct script *script)
{
	xendevicemodel_handle *dm = script->dm;
	xen_pfn_t frame;
	ioservid_t id = 99;

	SAY("vCPUs", xendevicemodel_nr_vcpus(dm, script->domid, &script->vcpus));
	SAY("vCPUs of nobody", xendevicemodel_nr_vcpus(dm, NOBODY, &(unsigned){ 0 }));
	SAY("create for nobody", xendevicemodel_create_ioreq_server(dm, NOBODY, 0, &id));
	SAY("create buffered", xendevicemodel_create_ioreq_server(dm, script->domid, 1, &id));
	for (unsigned i = 0; i <= SERVERS; i++) {
		SAY("create", xendevicemodel_create_ioreq_server(
				  dm, script->domid, HVM_IOREQSRV_BUFIOREQ_OFF, &id));
		if (i < SERVERS)
			fprintf(script->out, "  id %u\n", id);
	}
	SAY("destroy 3", xendevicemodel_destroy_ioreq_server(dm, script->domid, 3));
	SAY("destroy 3 again", xendevicemodel_destroy_ioreq_server(dm, script->domid, 3));
	SAY("destroy 8", xendevicemodel_destroy_ioreq_server(dm, script->domid, 8));
	SAY("create", xendevicemodel_create_ioreq_server(dm, script->domid, 0, &id));
	fprintf(script->out, "  id %u\n", id);
	for (unsigned i = SERVERS - 1; i > 0; i--)
		SAY("destroy",
		    xendevicemodel_destroy_ioreq_server(dm, script->domid, (ioservid_t)i));
	SAY("info", xendevicemodel_get_ioreq_server_info(dm, script->domid, 0, NULL, NULL, NULL));
	SAY("info with frames",
	    xendevicemodel_get_ioreq_server_info(dm, script->domid, 0, &frame, NULL, NULL));
	SAY("info of none",
	    xendevicemodel_get_ioreq_server_info(dm, script->domid, 1, NULL, NULL, NULL));
	SAY("info of nobody",
	    xendevicemodel_get_ioreq_server_info(dm, NOBODY, 0, NULL, NULL, NULL));
}

/* ---------------------------------------------------------------------- ranges */

static int claim(struct script *script, unsigned id, uint64_t start, uint64_t end)
{
	return xendevicemodel_map_io_range_to_ioreq_server(
	    script->dm, script->domid, (ioservid_t)id, 1, start, end);
}

static int release(struct script *script, unsigned id, uint64_t start, uint64_t end)
{
	return xendevicemodel_unmap_io_range_from_ioreq_server(
	    script->dm, script->domid, (ioservid_t)id, 1, start, end);
}

static void script_ranges(struct script *script)
{
	ioservid_t id;

	SAY("claim", claim(script, 0, BASE, BASE + 0x1ff));
	SAY("claim again", claim(script, 0, BASE, BASE + 0x1ff));
	SAY("claim what overlaps", claim(script, 0, BASE + 0x100, BASE + 0x2ff));
	SAY("claim one byte of it", claim(script, 0, BASE + 0x1ff, BASE + 0x1ff));
	SAY("claim backwards", claim(script, 0, BASE + 0x800, BASE + 0x7ff));
	SAY("claim the next", claim(script, 0, BASE + 0x200, BASE + 0x3ff));
	SAY("claim for no server", claim(script, 1, BASE + 0x400, BASE + 0x5ff));
	SAY("claim backwards for no server", claim(script, 1, BASE + 0x800, BASE + 0x7ff));
	SAY("create", xendevicemodel_create_ioreq_server(script->dm, script->domid, 0, &id));
	SAY("claim the same for another server", claim(script, id, BASE, BASE + 0x1ff));
	SAY("destroy it", xendevicemodel_destroy_ioreq_server(script->dm, script->domid, id));
	SAY("release", release(script, 0, BASE, BASE + 0x1ff));
	SAY("release again", release(script, 0, BASE, BASE + 0x1ff));
	SAY("release the next", release(script, 0, BASE + 0x200, BASE + 0x3ff));
	SAY("release backwards", release(script, 0, BASE + 0x800, BASE + 0x7ff));
	SAY("release of no server", release(script, 1, BASE, BASE + 0x1ff));
	SAY("claim", claim(script, 0, BASE, BASE + 0x1ff));
}

/* -------------------------------------------------------------------- the page */

static xenforeignmemory_resource_handle *map(
    struct script *script, uint16_t domid, unsigned id, unsigned frame, void **address)
{
	*address = NULL;
	return xenforeignmemory_map_resource(script->memory, domid, XENMEM_resource_ioreq_server,
	    id, frame, 1, address, PROT_READ | PROT_WRITE, 0);
}

static bool has_ports(const struct script *script)
{
	bool all = true;

	for (unsigned i = 0; i < script->vcpus; i++)
		all &= script->page->vcpu_ioreq[i].vp_eport != 0;
	return all;
}

static xenforeignmemory_resource_handle *script_page(struct script *script)
{
	const unsigned frame = XENMEM_resource_ioreq_server_frame_ioreq(0);
	xenforeignmemory_resource_handle *first, *second;
	void *page, *again;

	SAY("map the page of no server", map(script, script->domid, 1, frame, &page) ? 0 : -1);
	SAY("map the page of nobody", map(script, NOBODY, 0, frame, &page) ? 0 : -1);
	SAY("map the buffered page",
	    map(script, script->domid, 0, XENMEM_resource_ioreq_server_frame_bufioreq, &page) ? 0
											      : -1);
	SAY("map another page", map(script, script->domid, 0, frame + 1, &page) ? 0 : -1);
	first = map(script, script->domid, 0, frame, &page);
	SAY("map the page", first ? 0 : -1);
	if (!first)
		return NULL;
	second = map(script, script->domid, 0, frame, &again);
	SAY("map it again", second ? 0 : -1);
	script->page = page;
	fprintf(script->out, "  ports: %s\n", has_ports(script) ? "yes" : "no");
	SAY("enable", xendevicemodel_set_ioreq_server_state(script->dm, script->domid, 0, 1));
	SAY("enable again", xendevicemodel_set_ioreq_server_state(script->dm, script->domid, 0, 1));
	SAY("enable none", xendevicemodel_set_ioreq_server_state(script->dm, script->domid, 1, 1));
	fprintf(script->out, "  ports: %s\n", has_ports(script) ? "yes" : "no");
	if (second) {
		fprintf(script->out, "  the same page: %s\n",
		    memcmp(page, again, sizeof(ioreq_t)) ? "no" : "yes");
		SAY("unmap", xenforeignmemory_unmap_resource(script->memory, second));
	}
	return first;
}

/* ---------------------------------------------------------------------- events */

static int bind_port(struct script *script, xenevtchn_handle *evtchn)
{
	return xenevtchn_bind_interdomain(
	    evtchn, script->domid, script->page->vcpu_ioreq[0].vp_eport);
}

/* Is there an event, and of that port? */
static void say_event(struct script *script, xenevtchn_handle *evtchn, int port)
{
	struct pollfd ready = { .fd = xenevtchn_fd(evtchn), .events = POLLIN };
	int n = poll(&ready, 1, 100);

	fprintf(script->out, "  event: %s\n",
	    n != 1                              ? "none"
	    : xenevtchn_pending(evtchn) == port ? "of this port"
						: "of another port");
}

static void script_events(struct script *script)
{
	xenevtchn_handle *evtchn = script->evtchn, *other;
	int port, again;

	SAY("bind a port of nobody", xenevtchn_bind_interdomain(evtchn, NOBODY, 1));
	SAY("bind a port that is none", xenevtchn_bind_interdomain(evtchn, script->domid, 0xfff));
	port = bind_port(script, evtchn);
	SAY("bind", port);
	say_event(script, evtchn, port);
	say_event(script, evtchn, port);
	SAY("bind it again", bind_port(script, evtchn));
	SAY("unmask", xenevtchn_unmask(evtchn, (evtchn_port_t)port));
	say_event(script, evtchn, port);
	SAY("notify", xenevtchn_notify(evtchn, (evtchn_port_t)port));
	SAY("unbind", xenevtchn_unbind(evtchn, (evtchn_port_t)port));
	SAY("notify", xenevtchn_notify(evtchn, (evtchn_port_t)port));
	SAY("unbind again", xenevtchn_unbind(evtchn, (evtchn_port_t)port));
	port = bind_port(script, evtchn);
	SAY("bind", port);

	/* It is the open file that holds the port, not the handle. */
	other = xenevtchn_fdopen(NULL, dup(xenevtchn_fd(evtchn)), 0);
	SAY("a second handle of the same file", other ? 0 : -1);
	xenevtchn_close(evtchn);
	script->evtchn = evtchn = xenevtchn_open(NULL, 0);
	SAY("bind while it is open", bind_port(script, evtchn));
	say_event(script, other, port);
	SAY("notify through it", xenevtchn_notify(other, (evtchn_port_t)port));
	SAY("notify through another file", xenevtchn_notify(evtchn, (evtchn_port_t)port));
	xenevtchn_close(other);
	again = bind_port(script, evtchn);
	SAY("bind when it is closed", again);
	say_event(script, evtchn, again);
	SAY("unmask", xenevtchn_unmask(evtchn, (evtchn_port_t)again));
}

/* ------------------------------------------------------- interrupts and eventfds */

static void script_interrupts(struct script *script)
{
	xendevicemodel_handle *dm = script->dm;
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	SAY("raise", xendevicemodel_set_irq_level(dm, script->domid, 33, 1));
	SAY("raise again", xendevicemodel_set_irq_level(dm, script->domid, 33, 1));
	SAY("lower", xendevicemodel_set_irq_level(dm, script->domid, 33, 0));
	SAY("raise a private one", xendevicemodel_set_irq_level(dm, script->domid, 31, 1));
	SAY("raise one beyond", xendevicemodel_set_irq_level(dm, script->domid, 1020, 1));
	SAY("raise to 2", xendevicemodel_set_irq_level(dm, script->domid, 33, 2));
	SAY("raise for nobody", xendevicemodel_set_irq_level(dm, NOBODY, 33, 1));
	say_error(script, "irqfd", privcmd_set_irqfd(script->privcmd, script->domid, 33, fd, true));
	say_error(
	    script, "irqfd again", privcmd_set_irqfd(script->privcmd, script->domid, 33, fd, true));
	say_error(
	    script, "no irqfd", privcmd_set_irqfd(script->privcmd, script->domid, 33, fd, false));
	say_error(script, "no irqfd again",
	    privcmd_set_irqfd(script->privcmd, script->domid, 33, fd, false));
	close(fd);
}

static void script_grants(struct script *script)
{
	const struct gntdev_run unused = { 200, 1 }, beyond = { 1u << 30, 1 }, none = { 0, 0 };
	struct gntdev_map mapped;
	int fd = gntdev_open();

	say_error(script, "open the grant device", fd);
	say_error(script, "map what is not granted",
	    gntdev_map(fd, script->domid, &unused, 1, false, &mapped));
	say_error(
	    script, "map it for writing", gntdev_map(fd, script->domid, &unused, 1, true, &mapped));
	say_error(script, "map beyond the table",
	    gntdev_map(fd, script->domid, &beyond, 1, false, &mapped));
	say_error(script, "map of nobody", gntdev_map(fd, NOBODY, &unused, 1, false, &mapped));
	say_error(script, "map nothing", gntdev_map(fd, script->domid, &none, 1, false, &mapped));
	close(fd);
}

/* ---------------------------------------------------------------- restrictions */

static void script_restrictions(struct script *script)
{
	xenevtchn_handle *evtchn = xenevtchn_open(NULL, 0);
	ioservid_t id;

	SAY("restrict device model", xendevicemodel_restrict(script->dm, script->domid));
	SAY("restrict it again", xendevicemodel_restrict(script->dm, script->domid));
	SAY("restrict it to another", xendevicemodel_restrict(script->dm, NOBODY));
	SAY("create for another", xendevicemodel_create_ioreq_server(script->dm, NOBODY, 0, &id));
	SAY("vCPUs", xendevicemodel_nr_vcpus(script->dm, script->domid, &script->vcpus));
	SAY("restrict events", xenevtchn_restrict(evtchn, script->domid));
	SAY("restrict them again", xenevtchn_restrict(evtchn, script->domid));
	SAY("bind a port of another", xenevtchn_bind_interdomain(evtchn, NOBODY, 1));
	xenevtchn_close(evtchn);
}

/* ------------------------------------------------------------------ all of it */

static void script_end(struct script *script, xenforeignmemory_resource_handle *resource)
{
	xendevicemodel_handle *dm = script->dm;

	SAY("disable", xendevicemodel_set_ioreq_server_state(dm, script->domid, 0, 0));
	SAY("destroy", xendevicemodel_destroy_ioreq_server(dm, script->domid, 0));
	SAY("info", xendevicemodel_get_ioreq_server_info(dm, script->domid, 0, NULL, NULL, NULL));
	SAY("enable", xendevicemodel_set_ioreq_server_state(dm, script->domid, 0, 1));
	SAY("claim", claim(script, 0, BASE, BASE + 0x1ff));
	/* What is mapped stays mapped. */
	fprintf(script->out, "  ports: %s\n", has_ports(script) ? "yes" : "no");
	SAY("bind", bind_port(script, script->evtchn));
	SAY("unmap", xenforeignmemory_unmap_resource(script->memory, resource));
}

/* Of a domain that has died with its page mapped. */
static void script_zombie(struct script *script, void (*die)(void *data), void *data)
{
	const unsigned frame = XENMEM_resource_ioreq_server_frame_ioreq(0);
	const struct timespec pause = { .tv_nsec = 50 * 1000 * 1000 };
	xendevicemodel_handle *dm = script->dm;
	xenforeignmemory_resource_handle *resource;
	void *page;
	ioservid_t id;
	int port;

	SAY("create", xendevicemodel_create_ioreq_server(dm, script->domid, 0, &id));
	resource = map(script, script->domid, id, frame, &page);
	SAY("map the page", resource ? 0 : -1);
	if (!resource)
		return;
	script->page = page;
	SAY("enable", xendevicemodel_set_ioreq_server_state(dm, script->domid, id, 1));
	port = bind_port(script, script->evtchn);
	SAY("bind", port);
	fprintf(script->out, "the guest dies\n");
	die(data);
	SAY("vCPUs", xendevicemodel_nr_vcpus(dm, script->domid, &script->vcpus));
	SAY("info", xendevicemodel_get_ioreq_server_info(dm, script->domid, id, NULL, NULL, NULL));
	SAY("create", xendevicemodel_create_ioreq_server(dm, script->domid, 0, &id));
	SAY("claim", claim(script, 0, BASE, BASE + 0x1ff));
	SAY("notify", xenevtchn_notify(script->evtchn, (evtchn_port_t)port));
	SAY("unbind", xenevtchn_unbind(script->evtchn, (evtchn_port_t)port));
	SAY("bind", bind_port(script, script->evtchn));
	SAY("unmap", xenforeignmemory_unmap_resource(script->memory, resource));
	/* Xen takes its time to forget it. */
	for (unsigned i = 0;
	     i < 200 && xendevicemodel_nr_vcpus(dm, script->domid, &script->vcpus) == 0; i++)
		nanosleep(&pause, NULL);
	SAY("vCPUs", xendevicemodel_nr_vcpus(dm, script->domid, &script->vcpus));
	SAY("bind", xenevtchn_bind_interdomain(script->evtchn, script->domid, 1));
}

void xen_script(FILE *out, uint16_t domid, void (*die)(void *data), void *data)
{
	struct script *script = &(struct script){ .out = out, .domid = domid };
	xenforeignmemory_resource_handle *resource;

	script->dm = xendevicemodel_open(NULL, 0);
	SAY("open device model", script->dm ? 0 : -1);
	script->memory = xenforeignmemory_open(NULL, 0);
	SAY("open memory", script->memory ? 0 : -1);
	script->evtchn = xenevtchn_open(NULL, 0);
	SAY("open events", script->evtchn ? 0 : -1);
	script->privcmd = privcmd_open(domid);
	say_error(script, "open privcmd", script->privcmd);
	script_servers(script);
	script_ranges(script);
	resource = script_page(script);
	if (resource) {
		script_events(script);
		script_interrupts(script);
		script_grants(script);
		script_restrictions(script);
		script_end(script, resource);
		script_zombie(script, die, data);
	}
	close(script->privcmd);
	xenevtchn_close(script->evtchn);
	xenforeignmemory_close(script->memory);
	xendevicemodel_close(script->dm);
}
