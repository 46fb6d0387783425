/* SPDX-License-Identifier: MIT */
#ifndef PIXELS_H
#define PIXELS_H

#include <stdbool.h>

#include "screen.h"

/* Makes a GBM surface of the screen's size with an OpenGL ES 2 context current on it, and
 * prints "guest: renderer GL_RENDERER". Ends the program where that fails. */
struct gl *gl_create(struct screen *screen);

/* Draws one of the two known pictures, compares pixels that it reads back through the context,
 * and flips to it. */
void gl_draw(struct gl *gl, struct screen *screen, bool textured);

/* Draws and shows one of many frames: the orange triangle on a ground whose colour is the number.
 */
void gl_draw_frame(struct gl *gl, struct screen *screen, uint32_t frame);

#endif
