/* SPDX-License-Identifier: MIT */
/*
 * Shows on graphics cards, by atomic kernel mode setting (KMS): each connector is an output, each
 * layer gets a plane. One backend has all cards of the machine.
 *
 *  kms.c           the backend: its cards and outputs
 *  kms_device.c    a card: its capabilities, its master, its events
 *  kms_property.c  properties by name
 *  kms_plane.c     planes: what they can show
 *  kms_output.c    connectors: monitors, modes, EDID
 *  kms_commit.c    what is shown: from layers to an atomic commit, and its flip
 *  kms_request.c   an atomic request, without allocation
 *  kms_cursor.c    the cursor's plane
 *  kms_fb.c        pictures
 *  kms_hotplug.c   cards and monitors that come and go
 *  kms_choose.c    choices that need no device
 */
#ifndef GPUDOM_RENDER_KMS_H
#define GPUDOM_RENDER_KMS_H

#include <systemd/sd-event.h>

#include "render/seat_backend.h"
#include "render/seat_session.h"

/*
 * Shows on the card at @path ("/dev/dri/card0"), or, with NULL, on all that there are and that will
 * come. Without a card, with one that somebody else shows on, or without a monitor there are no
 * connected outputs yet: one line says so, and outputs_changed() tells when there are.
 * References to @event are taken; @session outlives the backend. -errno: logged
 */
int kms_create(
    sd_event *event, struct seat_session *session, const char *path, struct seat_backend **backend);

#endif
