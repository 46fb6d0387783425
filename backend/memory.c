/* SPDX-License-Identifier: MIT */
#include "backend/memory.h"

void memory_destroy(struct guest_memory *memory)
{
	if (memory)
		memory->impl->destroy(memory);
}

int memory_add_region(struct guest_memory *memory, const struct memory_region *region, int fd)
{
	return memory->impl->add_region(memory, region, fd);
}

int memory_remove_region(struct guest_memory *memory, const struct memory_region *region)
{
	return memory->impl->remove_region(memory, region);
}

int memory_translate_user(
    struct guest_memory *memory, uint64_t user_address, uint64_t size, uint64_t *address)
{
	return memory->impl->translate_user(memory, user_address, size, address);
}

int memory_read(
    struct guest_memory *memory, void *to, const struct memory_piece *pieces, size_t count)
{
	return memory->impl->read(memory, to, pieces, count);
}

int memory_write(struct guest_memory *memory, const struct memory_piece *pieces, size_t count,
    const void *from, size_t size)
{
	return memory->impl->write(memory, pieces, count, from, size);
}

int memory_write_later(struct guest_memory *memory, const struct memory_piece *pieces, size_t count,
    const void *from, size_t size)
{
	return (memory->impl->write_later ? memory->impl->write_later : memory->impl->write)(
	    memory, pieces, count, from, size);
}

void memory_flush(struct guest_memory *memory)
{
	if (memory->impl->flush)
		memory->impl->flush(memory);
}

int memory_map(struct guest_memory *memory, const struct memory_piece *pieces, size_t count,
    enum memory_access access, struct memory_map **map)
{
	return memory->impl->map(memory, pieces, count, access, map);
}

void memory_unmap(struct guest_memory *memory, struct memory_map *map)
{
	if (map)
		memory->impl->unmap(memory, map);
}

void memory_map_append(struct memory_map *map, void *address, size_t length)
{
	struct iovec *end = &map->iov[map->iov_count];

	map->size += length;
	if (map->iov_count && (uint8_t *)end[-1].iov_base + end[-1].iov_len == (uint8_t *)address) {
		end[-1].iov_len += length;
		return;
	}
	*end = (struct iovec){ .iov_base = address, .iov_len = length };
	map->iov_count++;
}
