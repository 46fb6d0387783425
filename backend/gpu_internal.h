/* SPDX-License-Identifier: MIT */
/*
 * What the files of the virtio-gpu device share; nobody else includes this. Quotations
 * in them are from the virtio specification 1.2, section 5.7.
 *
 *   gpu.c               life, configuration space, statistics
 *   gpu_command.c       a request's way: take, copy, check, dispatch, answer
 *   gpu_fence.c         answers that wait: for fences, for frames to be shown
 *   gpu_resource.c      resources, their quota, transfers
 *   gpu_backing.c       guest pages behind resources
 *   gpu_context.c       contexts, command streams, capability sets
 *   gpu_attachment.c    resources attached to contexts
 *   gpu_scanout.c       scan-outs and flushes
 *   gpu_cursor.c        the cursor queue's commands
 *   gpu_display_info.c  modes and EDIDs
 *   gpu_flow.c          caps: whether more may be taken from the control queue now
 *   gpu_throttle.c      ... and its arithmetic of time
 *   gpu_batch.c         takes requests from the queues
 *   gpu_ledger.c        what a successor needs to know
 *   gpu_recover.c       a successor's first act
 *   gpu_telemetry.c     what the outside can see of it
 */
#ifndef GPUDOM_BACKEND_GPU_INTERNAL_H
#define GPUDOM_BACKEND_GPU_INTERNAL_H

#include <linux/virtio_gpu.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "backend/gpu.h"
#include "backend/gpu_throttle.h"
#include "backend/id_table.h"
#include "backend/log.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
    "virtio 1 is little-endian and so is this code: no conversions");

enum { GPU_QUEUE_CONTROL, GPU_QUEUE_CURSOR, GPU_QUEUES };

#define GPU_RINGS_MAX 64 /* "The minimum value is 0 and maximum value is 63" */
#define GPU_BACKING_ENTRIES_MAX 16384
#define GPU_CAPSETS_MAX 16
#define GPU_CAPSET_SIZE_MAX 65536
#define GPU_PICTURE_SIZE_MAX 32768 /* pixels, both ways, of what is 2D */

#define GPU_FEATURE(name) (UINT64_C(1) << VIRTIO_GPU_F_##name)

struct gpu_timeline;
struct gpu_ledger;

/* ---------------------------------------------------------------- requests */

/* A request as it was taken from its queue. */
struct gpu_taken {
	uint64_t number; /* of those taken from this queue */
	uint16_t head;
	enum virtqueue_progress progress;
	uint64_t size;   /* of the request */
	uint64_t copied; /* of these, in data: all; the header, where they exceed the quota; or 0 */
	void *data;      /* NULL: no memory for it */
	bool unreadable;
	const struct memory_piece *readable, *writable;
	uint32_t readable_count, writable_count;
	uint64_t writable_size;
};

/* What is taken at a time at most. One longer request makes a batch of its own. */
#define GPU_BATCH_REQUESTS 128
#define GPU_BATCH_BYTES (256u << 10)

struct gpu_batch {
	unsigned count;
	struct gpu_taken requests[GPU_BATCH_REQUESTS];
	uint64_t bytes; /* copied, in all */
	uint32_t readable_count, writable_count;
	struct memory_piece readable[VIRTQUEUE_CHAIN_MAX], writable[VIRTQUEUE_CHAIN_MAX];
	/* The request taken last; with @left, one that begins the next batch */
	struct virtqueue_chain chain;
	bool left;
};

/* The request being worked on. All of it is our memory but *writable. */
struct gpu_command {
	unsigned queue;
	uint16_t head;
	uint64_t number;              /* on its queue */
	uint64_t begin_ns, fenced_ns; /* for the trace; 0: nobody wants to know */
	const char *name;             /* for people */
	struct virtio_gpu_ctrl_hdr hdr;
	const void *data; /* the private copy, header included */
	uint64_t size;
	const struct memory_piece *writable;
	uint32_t writable_count;
	uint64_t writable_size;
	uint32_t response_size;  /* set by gpu_command_respond() */
	bool parked;             /* the handler keeps it, to answer it later */
	uint64_t flush_serial;   /* RESOURCE_FLUSH: waits for this on ... */
	uint32_t flush_scanouts; /* ... these scan-outs (bits) */
};

/* A request whose answer is written, and returned when what it waits for has come. */
struct gpu_request {
	TAILQ_ENTRY(gpu_request) all;
	TAILQ_ENTRY(gpu_request) in_timeline, in_flushes;
	struct gpu_timeline *timeline; /* NULL: not fenced */
	uint64_t fence;                /* on the timeline */
	uint64_t flush_serial;
	uint32_t flush_scanouts; /* 0: waits for no frame */
	uint32_t written;        /* bytes of the answer */
	uint64_t held_ns;        /* since when, if only for a fence; else 0 */
	unsigned queue;
	uint16_t head;
	uint64_t number;
	uint32_t type;                /* VIRTIO_GPU_CMD_* */
	uint64_t begin_ns, fenced_ns; /* struct gpu_command's */
};
TAILQ_HEAD(gpu_request_list, gpu_request);

/* Fences are numbered by us, rising over all timelines: those of the guest may fall or repeat,
 * and its contexts' ids come back. */
struct gpu_timeline {
	struct renderer_timeline id;
	const uint64_t *work; /* counts what its fences have to wait for */
	uint64_t fenced_work; /* *work when the last fence was made */
	uint64_t last_fence, retired;
	struct gpu_request_list requests; /* in the order of their submission */
};

/* A GET_DISPLAY_INFO or GET_EDID that waits for the display's modes. */
struct gpu_parked {
	TAILQ_ENTRY(gpu_parked) link;
	struct gpu_command command;
	uint32_t scanout;
	struct memory_piece writable[];
};
TAILQ_HEAD(gpu_parked_list, gpu_parked);

/* ---------------------------------------------------------------- objects */

LIST_HEAD(gpu_attachment_list, gpu_attachment);

struct gpu_resource {
	struct id_entry entry;
	enum { GPU_RESOURCE_2D, GPU_RESOURCE_3D, GPU_RESOURCE_BLOB } kind;
	uint32_t width, height, last_level; /* 0 for a blob */
	uint64_t blob_size;                 /* bytes */
	uint64_t host_bytes;                /* its share of the quota */
	struct memory_map *backing; /* NULL: none. A blob without is unknown to the renderer */
	uint64_t backing_bytes;     /* its share of that quota, in whole pages */
	struct gpu_attachment_list attachments;
	/* What displays know it by, 0: none does; and the picture in it */
	uint64_t buffer;
	struct renderer_scanout picture;
	bool has_uuid;
	uint8_t uuid[16];
};

struct gpu_context {
	struct id_entry entry;
	struct id_table attachments;
	uint64_t work; /* command streams executed */
	struct gpu_timeline *rings[GPU_RINGS_MAX];
};

/* A resource's place in a context. */
struct gpu_attachment {
	struct id_entry entry; /* in the context; the resource's id */
	struct gpu_context *context;
	LIST_ENTRY(gpu_attachment) of_resource;
};

struct gpu_source {
	struct display_source base;
	struct gpu *gpu;
	unsigned scanout;
	const struct gpu_resource *resource; /* lives as long as this is a scan-out's source */
	struct renderer_scanout picture;
	struct display_rect rect; /* of the picture, shown */
};

struct gpu_scanout {
	struct gpu_resource *resource; /* NULL: disabled */
	/* The display may read the old source until set_source() returns, hence two. */
	struct gpu_source sources[2];
	unsigned current;
};

struct gpu_capset {
	uint32_t id, max_version, max_size;
};

/* Caps (gpu_flow.c). */
struct gpu_flow {
	struct gpu_throttle throttle;
	/* Command streams: gpu.work up to work_done is known to be finished; when the fence mark of
	 * the global timeline has retired (0: none is waited for), up to mark_work is */
	uint64_t work_done, mark, mark_work;
	bool stopped; /* requests wait in the control queue, since then: */
	uint64_t stopped_at;
};

struct gpu {
	struct virtio_device base;
	const char *guest; /* for probes */
	struct renderer *renderer;
	struct display *display;
	unsigned scanout_count;
	struct gpu_limits limits;
	uint64_t features; /* negotiated */
	uint32_t events_read;
	struct gpu_capset capsets[GPU_CAPSETS_MAX];
	uint32_t capset_count;

	/* Requests come in batches, and are executed one at a time: their copies, an answer */
	struct gpu_batch requests_taken;
	void *scratch;
	size_t scratch_size;
	void *response;
	size_t response_capacity;
	struct gpu_command *command;

	/* While batch > 0, queues with answers are noted in dirty and published at its end. */
	unsigned batch, dirty;

	struct id_table resources, contexts;
	struct gpu_scanout scanouts[DISPLAY_SCANOUTS_MAX];

	uint64_t work;                /* command streams executed, of all contexts */
	struct gpu_timeline timeline; /* the global one */
	uint64_t fence_serial, flush_serial, buffer_serial;
	struct gpu_flow flow;
	struct gpu_request_list requests, flushes;
	struct gpu_request_list unused; /* allocated before, kept for the next ones */

	struct gpu_ledger *ledger; /* NULL: no successor will know what we know */

	struct udmabuf *udmabuf;
	struct edid_identity edid;
	struct display_mode modes[DISPLAY_SCANOUTS_MAX]; /* as the driver knows them */
	struct gpu_parked_list parked;

	struct gpu_statistics statistics;
	struct telemetry *telemetry, *own_telemetry;
	struct telemetry_counters counted_before; /* by predecessors */
	unsigned busy_timelines;                  /* whose last fence has not retired */
	uint32_t unshown;                         /* outputs with a flush that is not (bits) */
	struct log_limit log;
};

/* What is left of a quota, which may have become less than what is in use. */
static inline uint64_t gpu_quota_left(uint64_t quota, uint64_t used)
{
	return quota > used ? quota - used : 0;
}

static inline struct gpu *gpu_from_device(struct virtio_device *device)
{
	return (struct gpu *)((char *)device - offsetof(struct gpu, base));
}

/* ---------------------------------------------------------------- gpu_command.c */

/* A handler of one type of command: acts on command->data, which holds at least the struct
 * of its type; returns the response's type. */
typedef uint32_t gpu_handler(struct gpu *gpu, struct gpu_command *command);

/* Takes all available requests, a queue's worth at most; true: more have come meanwhile. */
bool gpu_queue_process(struct virtio_device *device, unsigned index);

/* Zeroed room for a response of @size bytes, its header first; NULL (logged) where the
 * driver left less. */
void *gpu_command_respond(struct gpu *gpu, struct gpu_command *command, uint32_t size);

/* Writes the answer, and returns it to the driver now or when its fence and frame allow. */
void gpu_command_finish(struct gpu *gpu, struct gpu_command *command, uint32_t type);

/* Counts and, rate-limited, logs why a request is refused; returns @type. */
uint32_t gpu_command_refuse(struct gpu *gpu, const struct gpu_command *command, uint32_t type,
    const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Likewise for an error (-errno) of the renderer or of a map. */
uint32_t gpu_command_fail(
    struct gpu *gpu, const struct gpu_command *command, int error, const char *what);

/* Executes a predecessor's request anew, for its effect; the type that would be answered. */
uint32_t gpu_command_replay(struct gpu *gpu, const void *data, uint64_t size);
/* The fixed size of a request that changes what a successor has to know; 0: it does not. */
uint32_t gpu_command_kept(uint32_t type);
const char *gpu_command_name(uint32_t type);
/* Our buffer for requests, aligned as renderers want it. NULL without memory. */
void *gpu_command_buffer(struct gpu *gpu, size_t size);

/* Answers between these are published together. They nest. */
void gpu_batch_begin(struct gpu *gpu);
void gpu_batch_end(struct gpu *gpu);

/* ---------------------------------------------------------------- gpu_fence.c */

void gpu_timeline_init(
    struct gpu_timeline *timeline, const struct renderer_timeline *id, const uint64_t *work);

/* Answers all that waits on the timeline. */
void gpu_timeline_finish(struct gpu *gpu, struct gpu_timeline *timeline);
/* Its fences will not retire: nobody waits for them. */
void gpu_timeline_forget(struct gpu *gpu, struct gpu_timeline *timeline);

/* Is this request fenced? Then the response echoes its fence. */
bool gpu_fence_wanted(const struct gpu_command *command);
/* Does it name a timeline of a context? */
bool gpu_fence_has_ring(const struct gpu *gpu, const struct gpu_command *command);

/* A fence behind all work so far that no request waits for. */
void gpu_fence_make_own(struct gpu *gpu);

/* May this request be executed, as far as its fence goes? RESP_OK_NODATA, or an error. */
uint32_t gpu_fence_check(struct gpu *gpu, struct gpu_command *command);

/* Makes the fence of an executed request. Its timeline, NULL where it waits for none, and the
 * fence's number; 0 or the renderer's -errno. */
int gpu_fence_create(struct gpu *gpu, const struct gpu_command *command,
    struct gpu_timeline **timeline, uint64_t *fence);

/* Returns an answered request to the driver: now, or when the fence has retired and the
 * frames of command->flush_scanouts are shown. */
void gpu_request_hold(struct gpu *gpu, const struct gpu_command *command,
    struct gpu_timeline *timeline, uint64_t fence, uint32_t written);

/* Returns everything that waits on a queue; what it waited for is forgotten. */
void gpu_request_drain(struct gpu *gpu, unsigned queue);

/* No frame of this scan-out is waited for any more, up to this flush. */
void gpu_request_shown(struct gpu *gpu, unsigned scanout, uint64_t serial);

void gpu_request_finish(struct gpu *gpu); /* frees the pool; nothing waits */

/* renderer_listener, display_listener */
void gpu_fence_retired(void *data, const struct renderer_timeline *id, uint64_t fence);
void gpu_flush_shown(void *data, unsigned scanout, uint64_t serial);

/* ---------------------------------------------------------------- gpu_resource.c */

struct gpu_resource *gpu_resource_find(struct gpu *gpu, uint32_t id);
/* The renderer has been reset: gives everything else back. */
void gpu_resource_reset(struct gpu *gpu);

/* ---------------------------------------------------------------- gpu_backing.c */

/*
 * Maps the guest pages that the struct virtio_gpu_mem_entry array at @offset of the request
 * names, within the quota, and gives them to the renderer as the resource's backing; this is
 * what makes a blob known to it. RESP_OK_NODATA, or the error to answer.
 */
uint32_t gpu_backing_attach(struct gpu *gpu, const struct gpu_command *command,
    struct gpu_resource *resource, uint64_t offset, uint32_t entry_count);
/* The renderer knows it no more. No-op where there is none. */
void gpu_backing_unmap(struct gpu *gpu, struct gpu_resource *resource);

/* ---------------------------------------------------------------- gpu_context.c */

struct gpu_context *gpu_context_find(struct gpu *gpu, uint32_t id);
void gpu_context_reset(struct gpu *gpu);
/* The timeline of a ring, made when first asked for; NULL without memory. */
struct gpu_timeline *gpu_context_timeline(struct gpu_context *context, uint8_t ring_idx);
void gpu_capsets_init(struct gpu *gpu);

/* ---------------------------------------------------------------- gpu_attachment.c */

/* It goes away, and what is attached to it. */
void gpu_attachment_release_context(struct gpu *gpu, struct gpu_context *context);
void gpu_attachment_release_resource(struct gpu *gpu, struct gpu_resource *resource);

/* ---------------------------------------------------------------- gpu_scanout.c, gpu_cursor.c */

/* The resource goes away: its scan-outs are disabled. */
void gpu_scanout_forget(struct gpu *gpu, struct gpu_resource *resource);
/* Its pixels are elsewhere now: displays look for them anew. */
void gpu_scanout_renew(struct gpu *gpu, struct gpu_resource *resource);
/* No display is to know it any more. It is not scanned out. */
void gpu_buffer_forget(struct gpu *gpu, struct gpu_resource *resource);
void gpu_scanout_reset(struct gpu *gpu);

/* Shows all of each scan-out; how many there are. */
unsigned gpu_scanout_flush_all(struct gpu *gpu);

/* ---------------------------------------------------------------- gpu_display_info.c */

void gpu_modes_changed(void *data);
/* Answers the parked requests of a queue with the modes last known. */
void gpu_display_info_drain(struct gpu *gpu, unsigned queue);
void gpu_display_info_reset(struct gpu *gpu);

/* ---------------------------------------------------------------- gpu_ledger.c, gpu_recover.c */

/* A kept request has been executed. True: a successor will know. */
bool gpu_ledger_note(struct gpu *gpu, const struct gpu_command *command);
/* The device is reset. */
void gpu_ledger_clear(struct gpu *gpu);
int gpu_ledger_set(struct virtio_device *device, void *memory);
void gpu_ledger_recover(struct virtio_device *device);

/* ---------------------------------------------------------------- gpu_telemetry.c */

/* @telemetry may be NULL. -ENOMEM */
int gpu_telemetry_init(struct gpu *gpu, struct telemetry *telemetry);
void gpu_telemetry_finish(struct gpu *gpu);
/* The counters and what is there. */
void gpu_telemetry_publish(struct gpu *gpu);
/* A command is executed from now on; a request is done with. */
void gpu_telemetry_begin(struct gpu *gpu, const struct gpu_command *command);
void gpu_telemetry_end(struct gpu *gpu, const struct gpu_command *command);
/* A transfer of so many pixels, between the renderer and the resource's backing. */
void gpu_telemetry_transfer(struct gpu *gpu, const struct gpu_resource *resource, uint64_t pixels);
/* A timeline that had none waits for a fence; one of the fences of a timeline has retired,
 * @idle: the last one. */
void gpu_telemetry_fence(struct gpu *gpu);
void gpu_telemetry_retired(struct gpu *gpu, bool idle);
/* A request that was held returns to the driver. */
void gpu_telemetry_answered(struct gpu *gpu, const struct gpu_request *request);
/* gpu->modes; the picture of an output (0 x 0: none); a flush on it; all flushes on it are seen. */
void gpu_telemetry_modes(struct gpu *gpu);
void gpu_telemetry_scanout(struct gpu *gpu, unsigned index, uint32_t width, uint32_t height);
void gpu_telemetry_flush(struct gpu *gpu, unsigned index);
void gpu_telemetry_shown(struct gpu *gpu, unsigned index);
/* The display has had so many bytes of the picture copied. */
void gpu_telemetry_copied(struct gpu *gpu, unsigned index, uint64_t bytes);
/* ---------------------------------------------------------------- gpu_flow.c */

/* May requests be taken from the control queue? If not, it is processed again when they may. */
bool gpu_flow_may_take(struct gpu *gpu);
/* How many at a time, so that what is taken then does not go far beyond a cap. */
unsigned gpu_flow_batch(const struct gpu *gpu);
void gpu_flow_frame(struct gpu *gpu, unsigned scanout);
/* After gpu->busy_timelines has changed. */
void gpu_flow_busy(struct gpu *gpu);
/* After timeline->last_fence, timeline->retired have changed. */
void gpu_flow_fence_made(struct gpu *gpu, const struct gpu_timeline *timeline);
void gpu_flow_fence_retired(struct gpu *gpu, const struct gpu_timeline *timeline);
void gpu_flow_end(struct gpu *gpu); /* the control queue stops */
void gpu_flow_reset(struct gpu *gpu);

/* ---------------------------------------------------------------- gpu_batch.c */

/* Takes and copies what is available, into gpu->requests_taken. 1: there is more; 0: that was all;
 * -EPROTO: the ring is broken behind these. */
int gpu_batch_take(struct gpu *gpu, struct virtqueue *queue);

/* ---------------------------------------------------------------- handlers */

gpu_handler gpu_get_display_info, gpu_get_edid;
gpu_handler gpu_resource_create_2d, gpu_resource_create_3d, gpu_resource_create_blob,
    gpu_resource_unref, gpu_resource_assign_uuid, gpu_resource_map_blob, gpu_resource_unmap_blob,
    gpu_transfer_to_host_2d, gpu_transfer_to_host_3d, gpu_transfer_from_host_3d;
gpu_handler gpu_resource_attach_backing, gpu_resource_detach_backing;
gpu_handler gpu_set_scanout, gpu_set_scanout_blob, gpu_resource_flush;
gpu_handler gpu_update_cursor, gpu_move_cursor;
gpu_handler gpu_get_capset_info, gpu_get_capset, gpu_ctx_create, gpu_ctx_destroy,
    gpu_ctx_attach_resource, gpu_ctx_detach_resource, gpu_submit_3d;

#endif
