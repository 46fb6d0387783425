/* SPDX-License-Identifier: MIT */
/*
 * The front end's window: vhost-user-gpu's display protocol (docs/interop/vhost-user-gpu.rst in
 * QEMU) on the socket of VHOST_USER_GPU_SET_SOCKET. Here the back end asks, and the front end
 * answers.
 *
 * Frames go as dma-bufs where the source can be exported, else as pixels of the damage
 * alone. Nothing queues up: while one message is being written, damage accumulates.
 */
#ifndef GPUDOM_BACKEND_DISPLAY_SOCKET_H
#define GPUDOM_BACKEND_DISPLAY_SOCKET_H

#include <systemd/sd-event.h>

#include "backend/display.h"

/* Without a socket it is one output of 1024x768 on which everything is shown at once. @event is
 * not owned (a reference is taken). -ENOMEM. */
int display_socket_create(sd_event *event, struct display **display);

/* Takes @fd over, instead of the one before; -1: there is none any more. -ENOMEM and sd-event's
 * errors, after which there is none. */
int display_socket_set_fd(struct display *display, int fd);

#endif
