/* SPDX-License-Identifier: MIT */
#include "backend/telemetry.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_gpu.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "backend/display.h"

#define WORDS (sizeof(struct telemetry) / sizeof(uint64_t))
/* Sums of some numbers stay sums, and a clock that has run for 146 years is still one. */
#define NUMBER_MAX (UINT64_C(1) << 62)
#define COUNT_MAX (UINT64_C(1) << 53) /* of what is added up over a histogram, or all outputs */
#define SIZE_MAX_PIXELS 65536

/* Steps of a histogram for each doubling */
#define STEPS_LOG2 3
#define STEPS (1u << STEPS_LOG2)

_Static_assert(sizeof(struct telemetry) % sizeof(uint64_t) == 0, "read by words");

/* ---------------------------------------------------------------- the file */

static int telemetry_map(int fd, int protection, struct telemetry **page)
{
	void *address = mmap(NULL, sizeof(struct telemetry), protection, MAP_SHARED, fd, 0);

	if (address == MAP_FAILED)
		return -errno;
	*page = address;
	return 0;
}

int telemetry_create(struct telemetry **page, int *out)
{
	const uint64_t head[] = { TELEMETRY_MAGIC, TELEMETRY_VERSION, sizeof(struct telemetry) };
	int fd = memfd_create("gpudom-telemetry", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int error;

	if (fd < 0)
		return -errno;
	/* All of it now: a page that could not be had later would end its reader by SIGBUS. */
	error = -posix_fallocate(fd, 0, sizeof(struct telemetry));
	if (error)
		goto error;
	if (pwrite(fd, head, sizeof(head), 0) != sizeof(head) ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
		error = errno ? -errno : -EIO;
		goto error;
	}
	error = telemetry_map(fd, PROT_READ, page);
	if (error)
		goto error;
	*out = fd;
	return 0;

error:
	close(fd);
	return error;
}

int telemetry_open(int fd, bool writable, struct telemetry **page)
{
	struct stat file;
	int error, seals = fcntl(fd, F_GET_SEALS);

	if (seals < 0 || fstat(fd, &file) < 0)
		return -errno;
	if (!(seals & F_SEAL_SHRINK) || file.st_size != sizeof(struct telemetry))
		return -ESTALE;
	error = telemetry_map(fd, PROT_READ | (writable ? PROT_WRITE : 0), page);
	if (error)
		return error;
	if ((*page)->magic == TELEMETRY_MAGIC && (*page)->version == TELEMETRY_VERSION &&
	    (*page)->size == sizeof(**page))
		return 0;
	telemetry_close(*page);
	*page = NULL;
	return -ESTALE;
}

void telemetry_close(struct telemetry *page)
{
	if (page)
		munmap(page, sizeof(*page));
}

static void bound(uint64_t *value, uint64_t max)
{
	if (*value > max)
		*value = max;
}

static void bound_histogram(struct telemetry_histogram *histogram)
{
	bound(&histogram->count, COUNT_MAX);
	for (unsigned i = 0; i < TELEMETRY_BUCKETS; i++)
		bound(&histogram->buckets[i], COUNT_MAX);
}

#define ERRNO_MAX 4095

static void bound_output(struct telemetry_output *output)
{
	bound(&output->flushes, COUNT_MAX);
	bound(&output->frames, COUNT_MAX);
	bound_histogram(&output->intervals);
	output->on = output->on != 0;
	bound(&output->width, SIZE_MAX_PIXELS);
	bound(&output->height, SIZE_MAX_PIXELS);
	bound(&output->path, DISPLAY_PATHS - 1);
	bound(&output->path_reason, ERRNO_MAX);
}

void telemetry_read(const struct telemetry *page, struct telemetry *copy)
{
	const uint64_t *from = (const uint64_t *)page;
	uint64_t *to = (uint64_t *)copy;

	/* Each word once */
	for (size_t i = 0; i < WORDS; i++) {
		to[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
		bound(&to[i], NUMBER_MAX);
	}
	copy->magic = TELEMETRY_MAGIC;
	bound(&copy->command.type, UINT32_MAX);
	bound(&copy->command.ctx_id, UINT32_MAX);
	bound(&copy->outputs_count, TELEMETRY_OUTPUTS);
	bound_histogram(&copy->fence_latency);
	for (unsigned i = 0; i < TELEMETRY_OUTPUTS; i++)
		bound_output(&copy->outputs[i]);
}

uint64_t telemetry_now(void)
{
	struct timespec now;

	if (clock_gettime(CLOCK_MONOTONIC, &now) < 0)
		return 0;
	return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

/* ---------------------------------------------------------------- commands */

static const char *const names_2d[] = {
	"GET_DISPLAY_INFO",
	"RESOURCE_CREATE_2D",
	"RESOURCE_UNREF",
	"SET_SCANOUT",
	"RESOURCE_FLUSH",
	"TRANSFER_TO_HOST_2D",
	"RESOURCE_ATTACH_BACKING",
	"RESOURCE_DETACH_BACKING",
	"GET_CAPSET_INFO",
	"GET_CAPSET",
	"GET_EDID",
	"RESOURCE_ASSIGN_UUID",
	"RESOURCE_CREATE_BLOB",
	"SET_SCANOUT_BLOB",
};

static const char *const names_3d[] = {
	"CTX_CREATE",
	"CTX_DESTROY",
	"CTX_ATTACH_RESOURCE",
	"CTX_DETACH_RESOURCE",
	"RESOURCE_CREATE_3D",
	"TRANSFER_TO_HOST_3D",
	"TRANSFER_FROM_HOST_3D",
	"SUBMIT_3D",
	"RESOURCE_MAP_BLOB",
	"RESOURCE_UNMAP_BLOB",
};

static const char *const names_cursor[] = {
	"UPDATE_CURSOR",
	"MOVE_CURSOR",
};

/* In the order of enum virtio_gpu_ctrl_type */
static const struct {
	const char *const *names;
	uint32_t first, count;
} groups[] = {
	{ names_2d, VIRTIO_GPU_CMD_GET_DISPLAY_INFO, sizeof(names_2d) / sizeof(names_2d[0]) },
	{ names_3d, VIRTIO_GPU_CMD_CTX_CREATE, sizeof(names_3d) / sizeof(names_3d[0]) },
	{ names_cursor, VIRTIO_GPU_CMD_UPDATE_CURSOR,
	    sizeof(names_cursor) / sizeof(names_cursor[0]) },
};
#define GROUPS (sizeof(groups) / sizeof(groups[0]))

_Static_assert(sizeof(names_2d) + sizeof(names_3d) + sizeof(names_cursor) ==
		   (TELEMETRY_COMMANDS - 1) * sizeof(char *),
    "one for each, and one for the unknown");

unsigned telemetry_command_index(uint32_t type)
{
	unsigned before = 0;

	for (unsigned i = 0; i < GROUPS; before += groups[i++].count) {
		uint32_t index = type - groups[i].first; /* wraps: then it is too large */

		if (index < groups[i].count)
			return before + index;
	}
	return TELEMETRY_COMMANDS - 1;
}

uint32_t telemetry_command_type(unsigned index)
{
	for (unsigned i = 0; i < GROUPS; index -= groups[i++].count)
		if (index < groups[i].count)
			return groups[i].first + index;
	return 0;
}

const char *telemetry_command_name(uint64_t type)
{
	for (unsigned i = 0; i < GROUPS; i++) {
		uint64_t index = type - groups[i].first;

		if (index < groups[i].count)
			return groups[i].names[index];
	}
	return "an unknown command";
}

/* ---------------------------------------------------------------- histograms */

static unsigned bucket_of(uint64_t us)
{
	unsigned octave, index;

	if (us < STEPS)
		return (unsigned)us;
	octave = 63 - (unsigned)__builtin_clzll(us);
	index = (octave - STEPS_LOG2 + 1) * STEPS + (unsigned)(us >> (octave - STEPS_LOG2)) % STEPS;
	return index < TELEMETRY_BUCKETS ? index : TELEMETRY_BUCKETS - 1;
}

/* The first microsecond that a bucket counts */
static uint64_t bucket_start(unsigned index)
{
	if (index < STEPS)
		return index;
	return (uint64_t)(STEPS + index % STEPS) << (index / STEPS - 1);
}

unsigned telemetry_histogram_bucket(uint64_t ns)
{
	return bucket_of(ns / 1000);
}

uint64_t telemetry_histogram_below(unsigned bucket)
{
	return bucket < TELEMETRY_BUCKETS - 1 ? bucket_start(bucket + 1) * 1000 : UINT64_MAX;
}

void telemetry_histogram_add(struct telemetry_histogram *histogram, uint64_t ns)
{
	histogram->count++;
	histogram->sum_ns += ns;
	histogram->buckets[bucket_of(ns / 1000)]++;
}

uint64_t telemetry_histogram_quantile(
    const struct telemetry_histogram *histogram, unsigned permille)
{
	uint64_t total = 0, before = 0, rank;
	unsigned i;

	/* Not histogram->count, which another process may have written */
	for (i = 0; i < TELEMETRY_BUCKETS; i++)
		total += histogram->buckets[i];
	if (!total)
		return 0;
	rank = (total - 1) / 1000 * permille + (total - 1) % 1000 * permille / 1000;
	for (i = 0; i < TELEMETRY_BUCKETS - 1; i++) {
		before += histogram->buckets[i];
		if (before > rank)
			break;
	}
	/* The middle of its bucket */
	return (bucket_start(i) + bucket_start(i + 1)) * 500;
}

void telemetry_histogram_subtract(
    struct telemetry_histogram *histogram, const struct telemetry_histogram *earlier)
{
	uint64_t *values = &histogram->count;
	const uint64_t *less = &earlier->count;

	for (size_t i = 0; i < sizeof(*histogram) / sizeof(uint64_t); i++)
		values[i] -= less[i] < values[i] ? less[i] : values[i];
}
