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

struct ioreq_server;

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
	sd_event *event; /* not owned (a reference is taken) */

	/* Answers an access: true, or false to leave it open, that is: the vCPU waits until
	 * ioreq_complete(). */
	bool (*access)(void *data, struct ioreq_access *access);
	/* The guest has given pages back to Xen: true when nobody on our side has any of them
	 * mapped (any more), or false as above. */
	bool (*invalidate)(void *data, unsigned vcpu);
	void *data;
};

/* Creates the server and binds the vCPUs' event channels. What fails is logged with its cure;
 * -errno. */
int ioreq_create(const struct ioreq_options *options, struct ioreq_server **server);

/* Destroys the server. A vCPU whose access is open is left waiting: its guest must be on its way
 * out. Accepts NULL. */
void ioreq_destroy(struct ioreq_server *server);

/* Claims [base, base + size). */
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
