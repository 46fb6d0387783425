/* SPDX-License-Identifier: MIT */
/*
 * The virtio-mmio version 2 register file (virtio 1.2, 4.2.2) of one device, as
 * a unit without Xen: accesses come in by mmio_read() and mmio_write(), what they mean for
 * the device goes out by struct mmio_ops. Nothing that a driver writes can do more than
 * break its own device (DEVICE_NEEDS_RESET).
 */
#ifndef GPUDOM_XEN_MMIO_H
#define GPUDOM_XEN_MMIO_H

#include <stdbool.h>
#include <stdint.h>

#include "backend/log.h"

#define MMIO_SIZE 0x200 /* bytes of the range: registers, then the configuration space */
#define MMIO_CONFIG_SIZE 0x100
#define MMIO_QUEUES_MAX 4
#define MMIO_VENDOR_ID 0x4d4f4447 /* "GDOM" */

/*
 * The registers as a driver sees them: plain data, changed in place, in the owner's memory. A
 * zeroed one is a device after reset. Whoever finds it again can go on with it: a write that was
 * pending is as if it had not been made yet.
 */
struct mmio_queue {
	uint64_t desc, avail, used;
	uint32_t size; /* entries; 0: not written yet */
	bool ready;    /* QueueReady */
};

struct mmio_state {
	uint8_t config[MMIO_CONFIG_SIZE];
	uint32_t generation; /* of config */
	uint32_t status, interrupt_status;
	uint32_t device_features_sel, driver_features_sel, queue_sel;
	uint64_t driver_features;
	bool driver_features_bad; /* bits beyond 63 */
	struct mmio_queue queues[MMIO_QUEUES_MAX];
};

/* What accesses ask of the device's owner. */
struct mmio_ops {
	/* DRIVER_OK: the device runs with mmio_features(); start each queue that is ready. */
	void (*start)(void *data);

	/* A queue became ready after DRIVER_OK. */
	void (*start_queue)(void *data, unsigned index);

	/* The driver takes a ready queue away, resets the device, or writes @size bytes of the
	 * configuration space. True: not done yet, mmio_released() will say so (never from
	 * within the call). */
	bool (*stop_queue)(void *data, unsigned index);
	bool (*reset)(void *data);
	bool (*write_config)(void *data, uint32_t offset, const void *from, uint32_t size);

	/* The driver's features are refused, @why is a static sentence for people. NULL: nobody
	 * wants to know. */
	void (*refused)(void *data, const char *why);

	/* The driver has something for a started queue. */
	void (*notify)(void *data, unsigned index);

	/* The interrupt line: raised for news, lowered when the driver has seen them. */
	void (*set_irq)(void *data, bool level);
	void *data;
};

struct mmio_options {
	const char *name;    /* of guest and device, for the log; not copied */
	uint32_t device_id;  /* VIRTIO_ID_* */
	uint64_t features;   /* on offer, VIRTIO_F_* included */
	uint64_t required;   /* of these, what the driver must take */
	unsigned queues;     /* at most MMIO_QUEUES_MAX */
	uint32_t queue_size; /* the largest */
	/* Used-buffer notifications go to the guest past us (irqfd): InterruptStatus always says
	 * "used buffers", which a driver that finds none shrugs off. */
	bool calls_direct;
	struct mmio_ops ops;
};

struct mmio {
	struct mmio_options options;
	struct mmio_state *state;

	/* The write that waits for mmio_released(). */
	enum { MMIO_IDLE, MMIO_RESETTING, MMIO_STOPPING, MMIO_CONFIGURING } busy;
	unsigned busy_queue;

	struct log_limit limit; /* of lines about what the driver gets wrong */
	uint64_t notifications, bad_accesses;
};

enum mmio_result {
	MMIO_DONE,
	MMIO_PENDING, /* the write is done when mmio_released() is called */
	MMIO_BUSY,    /* another write is pending: try again after mmio_released() */
};

/* Copies @options. @state is the caller's, lives as long as @mmio, and holds what the registers do:
 * zeroed, the device is as after a reset. */
void mmio_init(struct mmio *mmio, const struct mmio_options *options, struct mmio_state *state);

/* @size is 1, 2, 4 or 8; anything else, and whatever the specification does not allow, reads 0
 * and is ignored when written. */
uint64_t mmio_read(struct mmio *mmio, uint32_t offset, uint32_t size);
enum mmio_result mmio_write(struct mmio *mmio, uint32_t offset, uint32_t size, uint64_t value);

/* The owner has done what the pending write asked for. */
void mmio_released(struct mmio *mmio);

/* What the driver accepted; final once FEATURES_OK is set. */
uint64_t mmio_features(const struct mmio *mmio);

/* DRIVER_OK, and the device does not need a reset. */
bool mmio_running(const struct mmio *mmio);

/* A device that serves no more: DEVICE_NEEDS_RESET, and a configuration interrupt. */
void mmio_break(struct mmio *mmio);

/* Takes that back, where the driver has not reset the device: it is well again. */
void mmio_mend(struct mmio *mmio);

/* The same for one that its driver may have set up, in a way that is not known any more. */
void mmio_lose(struct mmio *mmio);

/* Replaces the first @size bytes of the configuration space. With @notify, tells the driver if
 * that changed anything. */
void mmio_set_config(struct mmio *mmio, const void *from, uint32_t size, bool notify);

/* The device has used buffers (not with calls_direct). */
void mmio_used(struct mmio *mmio);

#endif
