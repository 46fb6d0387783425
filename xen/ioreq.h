/* SPDX-License-Identifier: MIT */
/*
 * An IOREQ server: what Xen sends us of one guest's accesses to the ranges that we
 * claimed. One for each guest, whatever the number of its devices. The calls are those of
 * libxendevicemodel, libxenforeignmemory and libxenevtchn.
 */
#ifndef GPUDOM_XEN_IOREQ_H
#define GPUDOM_XEN_IOREQ_H

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>
#include <xendevicemodel.h>

#define IOREQ_VCPUS_MAX 128 /* requests in one page */

struct ioreq_server;

/*
 * What a successor of this process must know of a server that goes on without us. In the caller's
 * memory (zeroed at first), where a successor finds it, and changed in place.
 */
struct ioreq_state {
	uint16_t id;
	uint16_t vcpus;
	uint32_t ports[IOREQ_VCPUS_MAX]; /* of the open /dev/xen/evtchn, one for each vCPU */
};

struct ioreq_access {
	unsigned vcpu;
	bool write;
	uint32_t size;    /* 1, 2, 4 or 8 */
	uint64_t address; /* guest-physical, in a claimed range */
	uint64_t value;   /* written; or to be filled in for a read */
};

struct ioreq_options {
	const char *name; /* of the guest, for the log; not copied */
	uint16_t domid;
	sd_event *event;           /* not owned (a reference is taken) */
	struct ioreq_state *state; /* not owned */

	/* Answers an access: true, or false to leave it open, that is: the vCPU waits until
	 * ioreq_complete(). */
	bool (*access)(void *data, struct ioreq_access *access);
	/* The guest has given pages back to Xen: true when nobody on our side has any of them
	 * mapped (any more), or false as above. */
	bool (*invalidate)(void *data, unsigned vcpu);
	void *data;
};

/* Creates the server, claims for it the virtio-mmio device at @base, and binds the vCPUs' event
 * channels; or, where one of this domain's servers
 * has claimed the device at @base already, because a predecessor of this process left it, takes
 * that one over (ioreq_was_found()). What fails is logged with its cure; -errno. */
int ioreq_create(const struct ioreq_options *options, uint64_t base, struct ioreq_server **server);
bool ioreq_was_found(const struct ioreq_server *server);

/*
 * Takes over the server that a predecessor of this process has left (state says which), with its
 * open /dev/xen/evtchn (@evtchn, taken over, also on failure; -1: there is none, and the ports are
 * bound anew). Accesses that were open, or answered without the vCPU having been told, are served
 * from the event loop; so accesses may be seen twice. -ENOENT, -ESRCH (not logged): the server or
 * its guest is gone.
 */
int ioreq_adopt(const struct ioreq_options *options, int evtchn, struct ioreq_server **server);

/* Accesses that are open stay so, whatever is called: they are a successor's. */
void ioreq_freeze(struct ioreq_server *server);

/* Frees it and leaves the server as it is, to a successor: vCPUs wait until that comes. Kicks must
 * not be bound. Accepts NULL. */
void ioreq_let_go(struct ioreq_server *server);

/* The open /dev/xen/evtchn, for a successor. Not the caller's. */
int ioreq_evtchn_fd(const struct ioreq_server *server);

/* Destroys the server. A vCPU whose access is open is left waiting: its guest must be on its way
 * out. Accepts NULL. */
void ioreq_destroy(struct ioreq_server *server);

/* Claims [base, base + size), if the server does not have it already. */
int ioreq_claim(struct ioreq_server *server, uint64_t base, uint64_t size);
void ioreq_release(struct ioreq_server *server, uint64_t base, uint64_t size);

/* Ends an access that was left open; @value counts for reads. */
void ioreq_complete(struct ioreq_server *server, unsigned vcpu, uint64_t value);

/*
 * Lets the driver domain's kernel turn writes of @queue to the QueueNotify of the virtio-mmio
 * device at @base into signals of @fd (privcmd's ioeventfd). -EOPNOTSUPP or -ENOTTY where the
 * kernel does not know how. Undone by ioreq_unbind_kick() with the same values, and it must be
 * undone before ioreq_destroy().
 */
int ioreq_bind_kick(struct ioreq_server *server, uint64_t base, unsigned queue, int fd);
void ioreq_unbind_kick(struct ioreq_server *server, uint64_t base, unsigned queue, int fd);

/* For interrupts (irq.h). Not the caller's. */
xendevicemodel_handle *ioreq_devicemodel(struct ioreq_server *server);
int ioreq_privcmd(struct ioreq_server *server);
uint16_t ioreq_domid(const struct ioreq_server *server);

/* False: the guest's domain is dead. */
bool ioreq_is_alive(struct ioreq_server *server);

#endif
