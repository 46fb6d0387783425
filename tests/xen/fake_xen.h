/* SPDX-License-Identifier: MIT */
/*
 * A Xen for tests, in place of libxendevicemodel, libxenforeignmemory, libxenevtchn and
 * xen/privcmd.c: one guest with some vCPUs, one IOREQ server, one interrupt line; and the guest's
 * side of it. Xen's own rules are asserted: a request's state never goes backwards.
 */
#ifndef GPUDOM_TESTS_XEN_FAKE_XEN_H
#define GPUDOM_TESTS_XEN_FAKE_XEN_H

#include <stdbool.h>
#include <stdint.h>

#define FAKE_XEN_VCPUS 4
#define FAKE_XEN_GUEST 2 /* domain id */
#define FAKE_XEN_RANGES 4
#define FAKE_XEN_KICKS 4

struct fake_xen {
	unsigned vcpus;
	bool gone;     /* the guest's domain does not exist any more */
	bool eventfds; /* irqfd and ioeventfd are known */
	bool flickers; /* as the kernel's ioeventfd handler: a write shows INPROCESS for a moment */

	/* errno that a call fails with; 0: none */
	int nr_vcpus_error, create_error, resource_error, bind_error, claim_error;

	/* What gpudomd has made of it */
	unsigned handles, servers, restricted;
	struct {
		uint64_t start, end;
	} ranges[FAKE_XEN_RANGES];
	unsigned irq, raised, lowered;
	bool level;
	int irqfd; /* -1: none */
	struct {
		uint64_t base;
		uint32_t queue;
		int fd;
	} kicks[FAKE_XEN_KICKS];
	unsigned kick_count, fast_kicks;
};

extern struct fake_xen fake_xen;

void fake_xen_reset(unsigned vcpus);
void fake_xen_finish(void);

/* A vCPU accesses memory. False: no server claims the address (a data abort). It is answered
 * when fake_xen_answered() says so; no other access of that vCPU may begin before. */
bool fake_xen_access(unsigned vcpu, bool write, uint64_t address, uint32_t size, uint64_t value);
/* A request of any type (IOREQ_TYPE_*). */
void fake_xen_request(unsigned vcpu, uint8_t type, uint64_t address);
bool fake_xen_answered(unsigned vcpu, uint64_t *value);

/* What the kernel and Xen do by themselves, to be called between turns of the event loop: raise
 * what irqfd was signalled, end a flicker. True: something was done. */
bool fake_xen_step(void);

#endif
