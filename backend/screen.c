/* SPDX-License-Identifier: MIT */
#include "backend/screen.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backend/checked.h"

#define MAGIC UINT64_C(0x6e65657263734770) /* "pGscreen" */
#define VERSION 1
#define PIXEL_SIZE 4

#define CURSOR_BYTES sizeof(struct display_cursor)
#define CURSORS_OFFSET 4096
#define CURSORS_BYTES (DISPLAY_SCANOUTS_MAX * CURSOR_BYTES)
#define SLOTS_OFFSET (UINT64_C(1) << 20)
#define FILE_BYTES (SLOTS_OFFSET + 2 * DISPLAY_SCANOUTS_MAX * SCREEN_SLOT_BYTES)

/* How often a frame is read that is drawn meanwhile, before it is taken as it is. */
#define TRIES 3

_Static_assert(sizeof(struct screen_head) <= CURSORS_OFFSET, "the head has its place");
_Static_assert(CURSORS_OFFSET + CURSORS_BYTES <= SLOTS_OFFSET, "the cursors have theirs");

static uint64_t slot_offset(unsigned output, bool lost)
{
	return SLOTS_OFFSET + (2 * output + lost) * SCREEN_SLOT_BYTES;
}

/* Bytes of a picture; 0: it has none, or more than a slot. */
static uint64_t picture_bytes(uint32_t width, uint32_t height)
{
	uint64_t bytes;

	if (!checked_mul((uint64_t)width * PIXEL_SIZE, height, &bytes) || bytes > SCREEN_SLOT_BYTES)
		return 0;
	return bytes;
}

int screen_create(int *out)
{
	const uint64_t head[] = { MAGIC, VERSION };
	int fd = memfd_create("gpudom-screen", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int error;

	if (fd < 0)
		return -errno;
	errno = EIO;
	if (ftruncate(fd, FILE_BYTES) < 0 || pwrite(fd, head, sizeof(head), 0) != sizeof(head) ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
		error = -errno;
		close(fd);
		return error;
	}
	*out = fd;
	return 0;
}

/* ---------------------------------------------------------------- for who reads */

static int read_all(int fd, void *to, uint64_t size, uint64_t offset)
{
	uint8_t *at = to;

	while (size) {
		ssize_t n = pread(fd, at, size, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EPROTO;
		at += n;
		offset += (uint64_t)n;
		size -= (uint64_t)n;
	}
	return 0;
}

static int write_all(int fd, const void *from, uint64_t size, uint64_t offset)
{
	const uint8_t *at = from;

	while (size) {
		ssize_t n = pwrite(fd, at, size, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		at += n;
		offset += (uint64_t)n;
		size -= (uint64_t)n;
	}
	return 0;
}

static uint64_t output_offset(unsigned output)
{
	return offsetof(struct screen_head, outputs) + output * sizeof(struct screen_output);
}

int screen_read(int fd, unsigned output, struct screen_output *state)
{
	if (output >= DISPLAY_SCANOUTS_MAX)
		return -EINVAL;
	return read_all(fd, state, sizeof(*state), output_offset(output));
}

static void blend_premultiplied(uint8_t *to, uint32_t argb)
{
	const uint32_t keep = 255 - (argb >> 24);

	for (int i = 0; i < 3; i++) {
		uint32_t c = ((argb >> (8 * i)) & 0xff) + (to[i] * keep + 127) / 255;

		to[i] = c > 255 ? 255 : (uint8_t)c;
	}
}

static void blend_cursor(
    const struct screen_output *state, const struct display_cursor *cursor, uint8_t *pixels)
{
	/* It can stick out to the left and at the top: Linux sends the plane's signed corner. */
	const int64_t left = (int32_t)state->cursor_x, top = (int32_t)state->cursor_y;

	for (int64_t y = 0; y < DISPLAY_CURSOR_SIZE; y++) {
		for (int64_t x = 0; x < DISPLAY_CURSOR_SIZE; x++) {
			if (left + x < 0 || left + x >= state->width || top + y < 0 ||
			    top + y >= state->height)
				continue;
			blend_premultiplied(
			    pixels + ((top + y) * state->width + left + x) * PIXEL_SIZE,
			    cursor->pixels[y * DISPLAY_CURSOR_SIZE + x]);
		}
	}
}

/* The picture and its cursor as @state says. */
static int capture(int fd, unsigned output, const struct screen_output *state, bool lost,
    uint64_t size, uint8_t *pixels)
{
	struct display_cursor cursor;
	int error = read_all(fd, pixels, size, slot_offset(output, lost));

	if (error || lost || !state->cursor_visible)
		return error;
	error = read_all(fd, &cursor, sizeof(cursor), CURSORS_OFFSET + output * CURSOR_BYTES);
	if (!error)
		blend_cursor(state, &cursor, pixels);
	return error;
}

int screen_capture(int fd, unsigned output, uint32_t *width, uint32_t *height, void **out)
{
	struct screen_output state, after;
	uint8_t *pixels = NULL;
	int error;

	for (int i = 0; i < TRIES; i++) {
		uint64_t size;
		bool lost;

		error = screen_read(fd, output, &state);
		if (error)
			break;
		lost = state.lost && state.lost_serial == state.serial;
		*width = lost ? state.lost_width : state.width;
		*height = lost ? state.lost_height : state.height;
		error = lost || state.serial ? -EPROTO : -ENOENT;
		size = picture_bytes(*width, *height);
		free(pixels);
		pixels = size ? malloc(size) : NULL;
		if (!pixels)
			break;
		error = capture(fd, output, &state, lost, size, pixels);
		if (!error)
			error = screen_read(fd, output, &after);
		if (error || lost || (after.serial == state.serial && !(state.serial & 1)))
			break;
	}
	if (error)
		free(pixels);
	else
		*out = pixels;
	return error;
}

int screen_lose(int fd, unsigned output, uint32_t width, uint32_t height, const void *pixels)
{
	const uint64_t size = picture_bytes(width, height);
	struct screen_output state;
	int error = screen_read(fd, output, &state);

	if (error)
		return error;
	if (!size)
		return -EFBIG;
	error = write_all(fd, pixels, size, slot_offset(output, true));
	if (error)
		return error;
	state.lost = 1;
	state.lost_serial = state.serial;
	state.lost_width = width;
	state.lost_height = height;
	return write_all(fd, &state.lost, sizeof(state) - offsetof(struct screen_output, lost),
	    output_offset(output) + offsetof(struct screen_output, lost));
}

int screen_find(int fd, unsigned output)
{
	const uint32_t lost = 0;

	if (output >= DISPLAY_SCANOUTS_MAX)
		return -EINVAL;
	return write_all(
	    fd, &lost, sizeof(lost), output_offset(output) + offsetof(struct screen_output, lost));
}

/* ---------------------------------------------------------------- for who draws */

/* @size bytes at @offset; NULL with errno. */
static void *map(int fd, uint64_t size, uint64_t offset)
{
	void *address = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)offset);

	return address == MAP_FAILED ? NULL : address;
}

int screen_open(struct screen *screen, int fd)
{
	struct stat file;
	int error;

	*screen = (struct screen){ .fd = fd };
	if (fstat(fd, &file) < 0)
		return -errno;
	if ((uint64_t)file.st_size != FILE_BYTES)
		return -ESTALE;
	screen->head = map(fd, CURSORS_OFFSET + CURSORS_BYTES, 0);
	if (!screen->head)
		return -errno;
	screen->cursors = (void *)((uint8_t *)screen->head + CURSORS_OFFSET);
	error = screen->head->magic == MAGIC && screen->head->version == VERSION ? 0 : -ESTALE;
	if (error)
		screen_close(screen);
	return error;
}

void screen_close(struct screen *screen)
{
	for (unsigned i = 0; i < DISPLAY_SCANOUTS_MAX; i++)
		if (screen->frames[i].pixels)
			munmap(screen->frames[i].pixels, screen->frames[i].size);
	if (screen->head)
		munmap(screen->head, CURSORS_OFFSET + CURSORS_BYTES);
	*screen = (struct screen){ .fd = -1 };
}

/* Readers of other processes see what is stored before it no later. */
static void set_serial(struct screen_output *state, uint64_t serial)
{
	__atomic_store_n(&state->serial, serial, __ATOMIC_SEQ_CST);
}

uint8_t *screen_begin(struct screen *screen, unsigned output, uint32_t width, uint32_t height)
{
	struct screen_output *state = &screen->head->outputs[output];
	const uint64_t size = picture_bytes(width, height);
	uint8_t **pixels = &screen->frames[output].pixels;

	if (!size) {
		errno = EFBIG;
		return NULL;
	}
	if (!*pixels || screen->frames[output].size != size) {
		uint8_t *mapped = map(screen->fd, size, slot_offset(output, false));

		if (!mapped)
			return NULL;
		if (*pixels)
			munmap(*pixels, screen->frames[output].size);
		*pixels = mapped;
		screen->frames[output].size = size;
	}
	/* Odd, also where a predecessor has died over it */
	set_serial(state, (state->serial + 1) | 1);
	if (state->width != width || state->height != height) {
		memset(*pixels, 0, size);
		state->width = width;
		state->height = height;
	}
	return *pixels;
}

void screen_end(struct screen *screen, unsigned output)
{
	struct screen_output *state = &screen->head->outputs[output];

	set_serial(state, state->serial + 1);
}

void screen_set_cursor(struct screen *screen, unsigned output, const struct display_cursor *cursor,
    uint32_t x, uint32_t y)
{
	if (cursor)
		screen->cursors[output] = *cursor;
	screen_move_cursor(screen, output, x, y);
	screen->head->outputs[output].cursor_visible = cursor != NULL;
}

void screen_move_cursor(struct screen *screen, unsigned output, uint32_t x, uint32_t y)
{
	screen->head->outputs[output].cursor_x = x;
	screen->head->outputs[output].cursor_y = y;
}
