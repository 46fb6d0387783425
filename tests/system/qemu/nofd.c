/* SPDX-License-Identifier: MIT */
/*
 * LD_PRELOAD for QEMU's contrib vhost-user-gpu, where GL cannot export textures as dma-bufs: it
 * aborts at the guest's first SET_SCANOUT. It gets an empty descriptor instead, which QEMU then
 * fails to import: no picture, but the rendering can be measured.
 */
#include <stdint.h>
#include <sys/mman.h>

int virgl_renderer_get_fd_for_texture(uint32_t texture, int *fd);
int virgl_renderer_get_fd_for_texture2(uint32_t texture, int *fd, int *stride, int *offset);

int virgl_renderer_get_fd_for_texture(uint32_t texture, int *fd)
{
	(void)texture;
	*fd = memfd_create("scanout", MFD_CLOEXEC);
	return 0;
}

int virgl_renderer_get_fd_for_texture2(uint32_t texture, int *fd, int *stride, int *offset)
{
	*stride = 0;
	*offset = 0;
	return virgl_renderer_get_fd_for_texture(texture, fd);
}
