/* SPDX-License-Identifier: MIT */
#include "xen/mmio.h"

#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <string.h>

#include "backend/checked.h"

#define MAGIC 0x74726976 /* "virt" */
#define STATUS_DRIVER                                                                       \
	(VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_DRIVER_OK | \
	    VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_FAILED)
#define INTERRUPTS (VIRTIO_MMIO_INT_VRING | VIRTIO_MMIO_INT_CONFIG)

void mmio_init(struct mmio *mmio, const struct mmio_options *options, struct mmio_state *state)
{
	*mmio = (struct mmio){ .options = *options, .state = state };
}

uint64_t mmio_features(const struct mmio *mmio)
{
	return mmio->state->driver_features;
}

bool mmio_running(const struct mmio *mmio)
{
	return (mmio->state->status & VIRTIO_CONFIG_S_DRIVER_OK) &&
	       !(mmio->state->status & VIRTIO_CONFIG_S_NEEDS_RESET);
}

/* The selected queue, or NULL. */
static struct mmio_queue *mmio_selected(struct mmio *mmio)
{
	return mmio->state->queue_sel < mmio->options.queues
		   ? &mmio->state->queues[mmio->state->queue_sel]
		   : NULL;
}

static void mmio_interrupt(struct mmio *mmio, uint32_t bits)
{
	mmio->state->interrupt_status |= bits;
	mmio->options.ops.set_irq(mmio->options.ops.data, true);
}

void mmio_break(struct mmio *mmio)
{
	if (mmio->state->status & VIRTIO_CONFIG_S_NEEDS_RESET)
		return;
	mmio->state->status |= VIRTIO_CONFIG_S_NEEDS_RESET;
	/* "If DRIVER_OK is set, after it sets DEVICE_NEEDS_RESET, the device MUST send a device
	 * configuration change notification to the driver." (2.1.2) */
	if (mmio->state->status & VIRTIO_CONFIG_S_DRIVER_OK)
		mmio_interrupt(mmio, VIRTIO_MMIO_INT_CONFIG);
}

void mmio_mend(struct mmio *mmio)
{
	mmio->state->status &= ~(uint32_t)VIRTIO_CONFIG_S_NEEDS_RESET;
}

void mmio_lose(struct mmio *mmio)
{
	mmio->state->status = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |
			      VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK;
	mmio_break(mmio);
}

static void mmio_wrong(struct mmio *mmio, const char *what)
{
	mmio->bad_accesses++;
	log_guest(
	    &mmio->limit, "%s: the driver %s: the device needs a reset", mmio->options.name, what);
	mmio_break(mmio);
}

void mmio_used(struct mmio *mmio)
{
	if (mmio_running(mmio))
		mmio_interrupt(mmio, VIRTIO_MMIO_INT_VRING);
}

void mmio_set_config(struct mmio *mmio, const void *from, uint32_t size, bool notify)
{
	if (size > MMIO_CONFIG_SIZE)
		size = MMIO_CONFIG_SIZE;
	if (!memcmp(mmio->state->config, from, size))
		return;
	memcpy(mmio->state->config, from, size);
	mmio->state->generation++;
	if (notify && (mmio->state->status & VIRTIO_CONFIG_S_DRIVER_OK))
		mmio_interrupt(mmio, VIRTIO_MMIO_INT_CONFIG);
}

/* --------------------------------------------------------------------- reads */

static uint64_t mmio_read_config(const struct mmio *mmio, uint32_t offset, uint32_t size)
{
	uint64_t value = 0;

	if (range_inside(offset, size, MMIO_CONFIG_SIZE))
		memcpy(&value, mmio->state->config + offset, size);
	return value;
}

static uint32_t mmio_read_interrupt_status(const struct mmio *mmio)
{
	if (mmio->options.calls_direct && mmio_running(mmio))
		return mmio->state->interrupt_status | VIRTIO_MMIO_INT_VRING;
	return mmio->state->interrupt_status;
}

uint64_t mmio_read(struct mmio *mmio, uint32_t offset, uint32_t size)
{
	const struct mmio_queue *queue = mmio_selected(mmio);

	if (size != 1 && size != 2 && size != 4 && size != 8)
		return 0;
	if (offset >= VIRTIO_MMIO_CONFIG)
		return mmio_read_config(mmio, offset - VIRTIO_MMIO_CONFIG, size);
	/* "The driver MUST only use 32 bit wide and aligned reads and writes to access the control
	 * registers" (4.2.2.2) */
	if (size != 4 || offset % 4) {
		mmio->bad_accesses++;
		return 0;
	}

	switch (offset) {
	case VIRTIO_MMIO_MAGIC_VALUE:
		return MAGIC;
	case VIRTIO_MMIO_VERSION:
		return 2;
	case VIRTIO_MMIO_DEVICE_ID:
		return mmio->options.device_id;
	case VIRTIO_MMIO_VENDOR_ID:
		return MMIO_VENDOR_ID;
	case VIRTIO_MMIO_DEVICE_FEATURES:
		if (mmio->state->device_features_sel > 1)
			return 0;
		return (
		    uint32_t)(mmio->options.features >> (32 * mmio->state->device_features_sel));
	case VIRTIO_MMIO_QUEUE_NUM_MAX:
		return queue ? mmio->options.queue_size : 0;
	case VIRTIO_MMIO_QUEUE_READY:
		return queue ? queue->ready : 0;
	case VIRTIO_MMIO_INTERRUPT_STATUS:
		return mmio_read_interrupt_status(mmio);
	case VIRTIO_MMIO_STATUS:
		return mmio->state->status;
	/* "Reading from a non-existent region [...] results in a length of -1." (4.2.2) */
	case VIRTIO_MMIO_SHM_LEN_LOW:
	case VIRTIO_MMIO_SHM_LEN_HIGH:
	case VIRTIO_MMIO_SHM_BASE_LOW:
	case VIRTIO_MMIO_SHM_BASE_HIGH:
		return UINT32_MAX;
	case VIRTIO_MMIO_CONFIG_GENERATION:
		return mmio->state->generation;
	default: /* write-only or none at all */
		mmio->bad_accesses++;
		return 0;
	}
}

/* -------------------------------------------------------------------- writes */

static void mmio_write_driver_features(struct mmio *mmio, uint32_t value)
{
	unsigned shift = 32 * mmio->state->driver_features_sel;

	/* "The driver MUST NOT accept new feature bits after this step" (3.1.1) */
	if (mmio->state->status & VIRTIO_CONFIG_S_FEATURES_OK)
		return;
	if (mmio->state->driver_features_sel > 1) {
		mmio->state->driver_features_bad |= value != 0;
		return;
	}
	mmio->state->driver_features &= ~(UINT64_C(0xffffffff) << shift);
	mmio->state->driver_features |= (uint64_t)value << shift;
}

/* "The device SHOULD accept any valid subset of features the driver accepts, otherwise it MUST fail
 * to set the FEATURES_OK device status bit when the driver writes it." (2.2.2) */
static bool mmio_accept_features(struct mmio *mmio)
{
	uint64_t unknown = mmio->state->driver_features & ~mmio->options.features;
	uint64_t missing = mmio->options.required & ~mmio->state->driver_features;
	const char *why;

	if (!unknown && !missing && !mmio->state->driver_features_bad)
		return true;
	why = missing & (UINT64_C(1) << VIRTIO_F_ACCESS_PLATFORM)
		  ? "the guest's kernel needs CONFIG_XEN_VIRTIO"
		  : "the guest's driver is not one of virtio 1";
	log_guest(&mmio->limit,
	    "%s: the driver's features %#llx are refused (not on offer: %#llx, needed: %#llx); %s",
	    mmio->options.name, (unsigned long long)mmio->state->driver_features,
	    (unsigned long long)unknown, (unsigned long long)missing, why);
	if (mmio->options.ops.refused)
		mmio->options.ops.refused(mmio->options.ops.data, why);
	return false;
}

static enum mmio_result mmio_reset(struct mmio *mmio)
{
	mmio->busy = MMIO_RESETTING;
	if (mmio->options.ops.reset(mmio->options.ops.data))
		return MMIO_PENDING;
	mmio_released(mmio);
	return MMIO_DONE;
}

static enum mmio_result mmio_write_status(struct mmio *mmio, uint32_t value)
{
	uint32_t before = mmio->state->status, new;

	/* "Writing zero (0x0) to this register triggers a device reset." */
	if (!value)
		return mmio_reset(mmio);
	/* "The driver MUST NOT clear a device status bit" (2.1.1): none is cleared. */
	new = value &STATUS_DRIVER & ~before;
	if (before & VIRTIO_CONFIG_S_NEEDS_RESET)
		new &= VIRTIO_CONFIG_S_FAILED;
	if ((new &VIRTIO_CONFIG_S_FEATURES_OK) && !mmio_accept_features(mmio))
		new &= ~(uint32_t)(VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK);
	else if ((new &VIRTIO_CONFIG_S_DRIVER_OK) &&
		 !((before | new) & VIRTIO_CONFIG_S_FEATURES_OK)) {
		mmio_wrong(mmio, "sets DRIVER_OK before FEATURES_OK");
		new &= ~(uint32_t)VIRTIO_CONFIG_S_DRIVER_OK;
	}
	mmio->state->status |= new;
	if (new &VIRTIO_CONFIG_S_DRIVER_OK)
		mmio->options.ops.start(mmio->options.ops.data);
	return MMIO_DONE;
}

/* What the registers must hold before a queue may be ready; NULL where they do. */
static const char *mmio_queue_fault(const struct mmio *mmio, const struct mmio_queue *queue)
{
	/* "Queue Size value is always a power of 2." (2.7) */
	if (!queue->size || queue->size & (queue->size - 1) ||
	    queue->size > mmio->options.queue_size)
		return "makes a queue ready whose size is zero, no power of two, or too large";
	if (!queue->desc || !queue->avail || !queue->used)
		return "makes a queue ready without addresses";
	/* 2.7: alignment 16, 2, 4 */
	if (queue->desc % 16 || queue->avail % 2 || queue->used % 4)
		return "makes a queue ready whose addresses are not aligned";
	return NULL;
}

static enum mmio_result mmio_write_queue_ready(struct mmio *mmio, uint32_t value)
{
	struct mmio_queue *queue = mmio_selected(mmio);
	const char *fault;

	if (!queue || value > 1 || value == (uint32_t)queue->ready) {
		mmio->bad_accesses += !queue || value > 1;
		return MMIO_DONE;
	}
	if (value) {
		if (mmio->state->status & VIRTIO_CONFIG_S_NEEDS_RESET)
			return MMIO_DONE;
		fault = mmio_queue_fault(mmio, queue);
		if (fault) {
			mmio_wrong(mmio, fault);
			return MMIO_DONE;
		}
		queue->ready = true;
		if (mmio_running(mmio))
			mmio->options.ops.start_queue(
			    mmio->options.ops.data, mmio->state->queue_sel);
		return MMIO_DONE;
	}
	mmio->busy = MMIO_STOPPING;
	mmio->busy_queue = mmio->state->queue_sel;
	if (mmio->options.ops.stop_queue(mmio->options.ops.data, mmio->state->queue_sel))
		return MMIO_PENDING;
	mmio_released(mmio);
	return MMIO_DONE;
}

/* "When QueueReady is not zero, the driver MUST NOT access QueueNum, QueueDescLow, [...]"
 * (4.2.2.2): such writes are ignored. */
static void mmio_write_queue_setting(struct mmio *mmio, uint32_t offset, uint32_t value)
{
	struct mmio_queue *queue = mmio_selected(mmio);
	uint64_t *address = NULL;

	if (!queue || queue->ready) {
		mmio->bad_accesses++;
		return;
	}
	switch (offset & ~4u) {
	case VIRTIO_MMIO_QUEUE_DESC_LOW:
		address = &queue->desc;
		break;
	case VIRTIO_MMIO_QUEUE_AVAIL_LOW:
		address = &queue->avail;
		break;
	case VIRTIO_MMIO_QUEUE_USED_LOW:
		address = &queue->used;
		break;
	default:
		queue->size = value;
		return;
	}
	if (offset & 4)
		*address = (*address & UINT32_MAX) | (uint64_t)value << 32;
	else
		*address = (*address & ~(uint64_t)UINT32_MAX) | value;
}

static void mmio_write_notify(struct mmio *mmio, uint32_t value)
{
	/* Without NOTIFICATION_DATA, the value is the queue's index. */
	if (value >= mmio->options.queues || !mmio->state->queues[value].ready ||
	    !mmio_running(mmio)) {
		mmio->bad_accesses++;
		return;
	}
	mmio->notifications++;
	mmio->options.ops.notify(mmio->options.ops.data, value);
}

static void mmio_write_interrupt_ack(struct mmio *mmio, uint32_t value)
{
	mmio->state->interrupt_status &= ~(value & INTERRUPTS);
	mmio->options.ops.set_irq(mmio->options.ops.data, false);
	/* What came since the driver read the status needs an edge of its own. */
	if (mmio->state->interrupt_status)
		mmio->options.ops.set_irq(mmio->options.ops.data, true);
}

static enum mmio_result mmio_write_config(
    struct mmio *mmio, uint32_t offset, uint32_t size, uint64_t value)
{
	if (!range_inside(offset, size, MMIO_CONFIG_SIZE) ||
	    (mmio->state->status & VIRTIO_CONFIG_S_NEEDS_RESET))
		return MMIO_DONE;
	mmio->busy = MMIO_CONFIGURING;
	if (mmio->options.ops.write_config(mmio->options.ops.data, offset, &value, size))
		return MMIO_PENDING;
	mmio_released(mmio);
	return MMIO_DONE;
}

enum mmio_result mmio_write(struct mmio *mmio, uint32_t offset, uint32_t size, uint64_t value)
{
	uint32_t v = (uint32_t)value;

	if (mmio->busy != MMIO_IDLE)
		return MMIO_BUSY;
	if (size != 1 && size != 2 && size != 4 && size != 8)
		return MMIO_DONE;
	if (offset >= VIRTIO_MMIO_CONFIG)
		return mmio_write_config(mmio, offset - VIRTIO_MMIO_CONFIG, size, value);
	if (size != 4 || offset % 4) {
		mmio->bad_accesses++;
		return MMIO_DONE;
	}

	switch (offset) {
	case VIRTIO_MMIO_DEVICE_FEATURES_SEL:
		mmio->state->device_features_sel = v;
		break;
	case VIRTIO_MMIO_DRIVER_FEATURES_SEL:
		mmio->state->driver_features_sel = v;
		break;
	case VIRTIO_MMIO_DRIVER_FEATURES:
		mmio_write_driver_features(mmio, v);
		break;
	case VIRTIO_MMIO_QUEUE_SEL:
		mmio->state->queue_sel = v;
		break;
	case VIRTIO_MMIO_QUEUE_NUM:
	case VIRTIO_MMIO_QUEUE_DESC_LOW:
	case VIRTIO_MMIO_QUEUE_DESC_HIGH:
	case VIRTIO_MMIO_QUEUE_AVAIL_LOW:
	case VIRTIO_MMIO_QUEUE_AVAIL_HIGH:
	case VIRTIO_MMIO_QUEUE_USED_LOW:
	case VIRTIO_MMIO_QUEUE_USED_HIGH:
		mmio_write_queue_setting(mmio, offset, v);
		break;
	case VIRTIO_MMIO_QUEUE_READY:
		return mmio_write_queue_ready(mmio, v);
	case VIRTIO_MMIO_QUEUE_NOTIFY:
		mmio_write_notify(mmio, v);
		break;
	case VIRTIO_MMIO_INTERRUPT_ACK:
		mmio_write_interrupt_ack(mmio, v);
		break;
	case VIRTIO_MMIO_STATUS:
		return mmio_write_status(mmio, v);
	case VIRTIO_MMIO_SHM_SEL: /* there is none, whichever */
		break;
	default: /* read-only or none at all */
		mmio->bad_accesses++;
		break;
	}
	return MMIO_DONE;
}

void mmio_released(struct mmio *mmio)
{
	struct mmio_state *state = mmio->state;

	switch (mmio->busy) {
	case MMIO_RESETTING:
		/* "the device MUST initialize device status to 0 upon reset" (2.1.2); all that the
		 * driver has written goes. */
		state->status = state->interrupt_status = 0;
		state->device_features_sel = state->driver_features_sel = state->queue_sel = 0;
		state->driver_features = 0;
		state->driver_features_bad = false;
		memset(state->queues, 0, sizeof(state->queues));
		mmio->options.ops.set_irq(mmio->options.ops.data, false);
		break;
	case MMIO_STOPPING:
		state->queues[mmio->busy_queue].ready = false;
		break;
	case MMIO_CONFIGURING:
	case MMIO_IDLE:
		break;
	}
	mmio->busy = MMIO_IDLE;
}
