/* SPDX-License-Identifier: MIT */
/*
 * The cursor's plane, by the ioctl that is made for it. An atomic commit of that plane alone would
 * be a flip of the whole CRTC to the kernel: the next frame would be -EBUSY until the vertical
 * blank. DRM_IOCTL_MODE_CURSOR2 is not ("legacy cursor updates are fully unsynced":
 * drm_atomic_helper_setup_commit()), and an atomic driver does it by the same code. It may wait for
 * a commit that is still waiting for its fences, though: then the newest position is kept, and sent
 * after that.
 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "render/kms_private.h"

/* A move that takes longer may have waited for a flip; so many in a row have. */
#define SLOW_NS 2000000
#define SLOW_MOVES 4

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static bool must_wait(const struct kms_output *output)
{
	return output->pending && (output->pending_slow || output->card->slow_moves >= SLOW_MOVES);
}

static void count_slow(struct kms_card *card, uint64_t took_ns)
{
	card->slow_moves = took_ns > SLOW_NS ? card->slow_moves + 1 : 0;
	if (card->slow_moves == SLOW_MOVES)
		log_info("%s lets its cursor wait for flips: it moves after them", card->path);
}

/* Sends what @flags say, and the position. */
static int send(struct kms_output *output, uint32_t flags)
{
	struct kms_cursor *cursor = &output->cursor;
	struct kms_fb *fb = cursor->visible ? cursor->fbs[!cursor->next] : NULL;
	struct drm_mode_cursor2 request = {
		.flags = flags | DRM_MODE_CURSOR_MOVE,
		.crtc_id = output->card->crtcs[output->crtc].id,
		.x = cursor->x,
		.y = cursor->y,
		.width = fb ? fb->base.width : 0,
		.height = fb ? fb->base.height : 0,
		.handle = fb ? fb->buffer->handle : 0,
		.hot_x = (int32_t)cursor->hot_x,
		.hot_y = (int32_t)cursor->hot_y,
	};
	uint64_t start = output->pending ? now_ns() : 0;

	if (drmIoctl(output->card->fd, DRM_IOCTL_MODE_CURSOR2, &request) < 0)
		return -errno;
	cursor->move_waiting = false;
	if (flags & DRM_MODE_CURSOR_BO)
		cursor->picture_waiting = false;
	else if (output->pending)
		count_slow(output->card, now_ns() - start);
	return 0;
}

static int check(const struct kms_output *output)
{
	if (!output->kms->base.active)
		return -EPERM;
	if (!output->mode_blob || output->crtc < 0 || output->card->fd < 0)
		return -ENODEV;
	return output->cursor.broken ? -ENOTSUP : 0;
}

/* The driver does not want it: nothing of it may stay on screen, for the seat blends it now. */
static int give_up(struct kms_output *output, int rc)
{
	struct kms_cursor *cursor = &output->cursor;

	if (rc == -EACCES) {
		kms_card_lost(output->card);
		return -EPERM;
	}
	log_info("Output %s has no cursor of its own (%s): drawing it into the picture",
	    output->base.name, strerror(-rc));
	if (cursor->visible) {
		cursor->visible = false;
		send(output, DRM_MODE_CURSOR_BO);
	}
	cursor->broken = true;
	return -ENOTSUP;
}

static int draw(struct kms_output *output, const struct display_cursor *from)
{
	struct kms_cursor *cursor = &output->cursor;
	struct kms_card *card = output->card;
	struct kms_fb **fb;
	uint8_t *to;
	int rc;

	/* One that was never sent is drawn over. */
	if (cursor->picture_waiting && cursor->fbs[!cursor->next])
		cursor->next = !cursor->next;
	fb = &cursor->fbs[cursor->next];
	if (card->cursor_width < DISPLAY_CURSOR_SIZE || card->cursor_height < DISPLAY_CURSOR_SIZE)
		return -ENOTSUP;
	if (!*fb) {
		rc = kms_fb_allocate(card, card->cursor_width, card->cursor_height, true, fb);
		if (rc < 0)
			return rc;
	}
	to = kms_fb_map(*fb);
	if (!to)
		return -errno;
	for (unsigned row = 0; row < DISPLAY_CURSOR_SIZE; row++)
		memcpy(to + (size_t)row * (*fb)->base.stride,
		    from->pixels + row * DISPLAY_CURSOR_SIZE, DISPLAY_CURSOR_SIZE * 4);
	cursor->hot_x = from->hot_x;
	cursor->hot_y = from->hot_y;
	cursor->next = !cursor->next;
	return 0;
}

int kms_cursor_set(
    struct kms_output *output, const struct display_cursor *picture, int32_t x, int32_t y)
{
	struct kms_cursor *cursor = &output->cursor;
	int rc = check(output);

	if (rc < 0)
		return rc;
	cursor->x = x;
	cursor->y = y;
	if (!picture && !cursor->visible)
		return 0;
	if (picture) {
		rc = draw(output, picture);
		if (rc < 0)
			return give_up(output, rc);
	}
	cursor->visible = picture;
	cursor->picture_waiting = true;
	if (must_wait(output) || output->modeset)
		return 0;
	rc = send(output, DRM_MODE_CURSOR_BO);
	return rc < 0 ? give_up(output, rc) : 0;
}

int kms_cursor_move(struct kms_output *output, int32_t x, int32_t y)
{
	struct kms_cursor *cursor = &output->cursor;
	int rc = check(output);

	if (rc < 0)
		return rc;
	cursor->x = x;
	cursor->y = y;
	if (!cursor->visible || cursor->picture_waiting)
		return 0;
	cursor->move_waiting = true;
	if (must_wait(output))
		return 0;
	rc = send(output, 0);
	return rc < 0 ? give_up(output, rc) : 0;
}

void kms_cursor_catch_up(struct kms_output *output)
{
	struct kms_cursor *cursor = &output->cursor;
	int rc;

	if ((!cursor->picture_waiting && !cursor->move_waiting) || check(output) < 0 ||
	    output->modeset)
		return;
	rc = send(output, cursor->picture_waiting ? DRM_MODE_CURSOR_BO : 0);
	if (rc < 0)
		give_up(output, rc);
}

void kms_cursor_renew(struct kms_output *output)
{
	output->cursor.picture_waiting = output->cursor.visible;
}

void kms_cursor_finish(struct kms_output *output)
{
	for (unsigned i = 0; i < 2; i++) {
		if (output->cursor.fbs[i])
			kms_fb_free(output->cursor.fbs[i]);
	}
	output->cursor = (struct kms_cursor){ 0 };
}
