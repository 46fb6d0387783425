/* SPDX-License-Identifier: MIT */
/* vhost-user back end: the messages that describe guest memory. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "backend/vhost_user_private.h"

/* The size of each of the @count regions that take @size bytes; 0 where none can. QEMU acknowledges
 * XEN_MMAP without knowing it, with all bits below the last that it knows, and then sends plain
 * regions: so the message's size tells. */
static size_t vhost_user_region_size(const struct vhost_user *user, size_t count, size_t size)
{
	if (size == count * sizeof(struct vhost_user_region))
		return sizeof(struct vhost_user_region);
	if (vhost_user_has_protocol_feature(user, VHOST_USER_PROTOCOL_F_XEN_MMAP) &&
	    size == count * sizeof(struct vhost_user_xen_region))
		return sizeof(struct vhost_user_xen_region);
	return 0;
}

/* The region whose wire format of @size bytes begins at @from. */
static struct memory_region vhost_user_region(const void *from, size_t size)
{
	struct vhost_user_xen_region wire = { 0 };

	memcpy(&wire, from, size);
	return (struct memory_region){
		.guest_address = wire.region.guest_address,
		.size = wire.region.size,
		.user_address = wire.region.user_address,
		.mmap_offset = wire.region.mmap_offset,
		.xen_flags = wire.xen_flags,
		.xen_domid = wire.xen_domid,
	};
}

/* Makes the kind of memory that the first region asks for; others must be of the same kind. */
static int vhost_user_choose_memory(struct vhost_user *user,
    const struct vhost_user_message *message, const struct memory_region *region)
{
	bool is_xen = region->xen_flags != 0;
	int error;

	if (user->memory) {
		if (is_xen == user->memory_is_xen)
			return 0;
		return vhost_user_malformed(message, "regions with and without Xen flags");
	}
	error = is_xen ? user->options.create_xen_memory(
			     user->options.memory_data, region, &user->memory)
		       : memory_mmap_create(&user->memory);
	if (error)
		return error;
	user->memory_is_xen = is_xen;
	user->memory->trace = user->device->trace;
	user->device->memory = user->memory;
	return 0;
}

/* The one region of ADD_MEM_REG and REM_MEM_REG. */
static int vhost_user_one_region(const struct vhost_user *user,
    const struct vhost_user_message *message, struct memory_region *region)
{
	size_t size = message->size < 8 ? 0 : vhost_user_region_size(user, 1, message->size - 8);

	if (!size)
		return vhost_user_malformed(message, "%u bytes", message->size);
	*region = vhost_user_region(&message->payload.memory_region.region, size);
	return 0;
}

/* Adds a region with descriptor @index of the message (which may be missing). */
static int vhost_user_add_region(struct vhost_user *user, struct vhost_user_message *message,
    const struct memory_region *region, unsigned index)
{
	int error, fd;

	if (user->region_count == VHOST_USER_MEM_SLOTS)
		return vhost_user_malformed(message, "more than %d regions", VHOST_USER_MEM_SLOTS);
	error = vhost_user_choose_memory(user, message, region);
	if (error)
		return error;
	fd = vhost_user_message_take_fd(message, index);
	if (fd < 0 && !user->memory_is_xen)
		return vhost_user_malformed(message, "a region without a descriptor");
	error = memory_add_region(user->memory, region, fd);
	if (!error) {
		user->regions[user->region_count++] = *region;
		return 0;
	}
	if (fd >= 0)
		close(fd);
	if (error == -EINVAL || error == -EEXIST)
		return vhost_user_malformed(message, "region %#llx, %#llx bytes at %#llx: %s",
		    (unsigned long long)region->guest_address, (unsigned long long)region->size,
		    (unsigned long long)region->mmap_offset,
		    error == -EEXIST ? "overlaps another"
				     : "its size, flags or descriptor make no sense");
	return error;
}

int vhost_user_set_mem_table(struct vhost_user *user, struct vhost_user_message *message)
{
	const struct vhost_user_mem_table *table = &message->payload.memory;
	size_t region_size;
	int error;

	if (message->size < 8 || table->region_count > VHOST_USER_REGIONS_MAX)
		return vhost_user_malformed(
		    message, "%u regions in %u bytes", table->region_count, message->size);
	region_size = vhost_user_region_size(user, table->region_count, message->size - 8);
	if (!region_size)
		return vhost_user_malformed(
		    message, "%u regions in %u bytes", table->region_count, message->size);
	/* "The size and ordering of the fds matches the number and ordering of memory regions." */
	if (message->fd_count && message->fd_count != table->region_count)
		return vhost_user_malformed(message, "%u regions with %u descriptors",
		    table->region_count, message->fd_count);

	/* What is still mapped of the old ones stays valid. */
	for (size_t i = 0; i < user->region_count; i++)
		memory_remove_region(user->memory, &user->regions[i]);
	user->region_count = 0;
	for (unsigned i = 0; i < table->region_count; i++) {
		struct memory_region region = vhost_user_region(
		    (const uint8_t *)table->regions + i * region_size, region_size);

		error = vhost_user_add_region(user, message, &region, i);
		if (error)
			return error;
	}
	return vhost_user_start_queues(user);
}

int vhost_user_add_mem_reg(struct vhost_user *user, struct vhost_user_message *message)
{
	struct memory_region region;
	int error;

	error = vhost_user_one_region(user, message, &region);
	if (error)
		return error;
	error = vhost_user_add_region(user, message, &region, 0);
	return error ? error : vhost_user_start_queues(user);
}

int vhost_user_rem_mem_reg(struct vhost_user *user, struct vhost_user_message *message)
{
	struct memory_region region;
	int error;

	error = vhost_user_one_region(user, message, &region);
	if (error)
		return error;
	/* "The memory region to be removed is identified by its guest address, user address and
	 * size. The mmap offset is ignored." */
	for (size_t i = 0; i < user->region_count; i++) {
		const struct memory_region *r = &user->regions[i];

		if (r->guest_address != region.guest_address ||
		    r->user_address != region.user_address || r->size != region.size)
			continue;
		memory_remove_region(user->memory, r);
		user->regions[i] = user->regions[--user->region_count];
		return 0;
	}
	return vhost_user_malformed(message, "there is no region %#llx of %#llx bytes",
	    (unsigned long long)region.guest_address, (unsigned long long)region.size);
}
