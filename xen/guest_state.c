/* SPDX-License-Identifier: MIT */
#include "xen/guest_state.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC 0x4d4f4447 /* "GDOM" */
#define VERSION 3        /* counts changes of meaning; those of layout show in the size, too */

/* NULL with errno. */
static struct guest_state *guest_state_map(int fd)
{
	void *address =
	    mmap(NULL, sizeof(struct guest_state), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	return address == MAP_FAILED ? NULL : address;
}

int guest_state_create(uint16_t domid, const char *name, struct guest_state **out, int *fd)
{
	struct guest_state *state;

	*fd = memfd_create("gpudom-guest", MFD_CLOEXEC);
	if (*fd < 0)
		return -errno;
	state = ftruncate(*fd, sizeof(*state)) < 0 ? NULL : guest_state_map(*fd);
	if (!state) {
		int error = -errno;

		close(*fd);
		return error;
	}
	state->magic = MAGIC;
	state->version = VERSION;
	state->size = sizeof(*state);
	state->domid = domid;
	snprintf(state->name, sizeof(state->name), "%s", name ? name : "");
	*out = state;
	return 0;
}

int guest_state_adopt(int fd, uint16_t domid, struct guest_state **out)
{
	struct guest_state *state;
	struct stat file;

	if (fstat(fd, &file) < 0)
		return -errno;
	if (file.st_size != sizeof(*state))
		return -ESTALE;
	state = guest_state_map(fd);
	if (!state)
		return -errno;
	if (state->magic != MAGIC || state->version != VERSION || state->size != sizeof(*state) ||
	    state->domid != domid || state->ioreq.vcpus > IOREQ_VCPUS_MAX ||
	    !memchr(state->name, '\0', sizeof(state->name))) {
		guest_state_unmap(state);
		return -ESTALE;
	}
	*out = state;
	return 0;
}

void guest_state_unmap(struct guest_state *state)
{
	if (state)
		munmap(state, sizeof(*state));
}
