/* SPDX-License-Identifier: MIT */
#include "backend/memory.h"

#include <errno.h>

#include "backend/probe.h"

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
	uint64_t begin = trace_begin(memory->trace);
	int error;

	PROBE(memory__read_begin, count);
	error = memory->impl->read(memory, to, pieces, count);
	PROBE(memory__read_end, error);
	trace_end(memory->trace, begin, .type = TRACE_READ, .arg = (uint32_t)count);
	return error;
}

int memory_write(struct guest_memory *memory, const struct memory_piece *pieces, size_t count,
    const void *from, size_t size)
{
	uint64_t begin = trace_begin(memory->trace);
	int error;

	PROBE(memory__write_begin, size);
	error = memory->impl->write(memory, pieces, count, from, size);
	PROBE(memory__write_end, error);
	trace_end(memory->trace, begin, .type = TRACE_WRITE, .arg = (uint32_t)count, .value = size);
	return error;
}

int memory_write_later(struct guest_memory *memory, const struct memory_piece *pieces, size_t count,
    const void *from, size_t size)
{
	if (!memory->impl->write_later)
		return memory_write(memory, pieces, count, from, size);
	return memory->impl->write_later(memory, pieces, count, from, size);
}

void memory_flush(struct guest_memory *memory)
{
	uint64_t begin;

	if (!memory->impl->flush)
		return;
	begin = trace_begin(memory->trace);
	PROBE(memory__flush_begin, memory);
	memory->impl->flush(memory);
	PROBE(memory__flush_end, memory);
	trace_end(memory->trace, begin, .type = TRACE_FLUSH);
}

int memory_map(struct guest_memory *memory, const struct memory_piece *pieces, size_t count,
    enum memory_access access, struct memory_map **map)
{
	uint64_t begin = trace_begin(memory->trace);
	int error;

	PROBE(memory__map_begin, count);
	error = memory->impl->map(memory, pieces, count, access, map);
	PROBE(memory__map_end, error);
	trace_end(memory->trace, begin, .type = TRACE_MAP, .arg = (uint32_t)count,
	    .value = error ? 0 : (*map)->size);
	return error;
}

void memory_unmap(struct guest_memory *memory, struct memory_map *map)
{
	uint64_t begin, size;

	if (!map)
		return;
	begin = trace_begin(memory->trace);
	size = map->size;
	PROBE(memory__unmap_begin, size);
	memory->impl->unmap(memory, map);
	PROBE(memory__unmap_end, size);
	trace_end(memory->trace, begin, .type = TRACE_UNMAP, .value = size);
}

int memory_export(
    struct guest_memory *memory, const struct memory_map *map, struct udmabuf *udmabuf)
{
	return memory->impl->export ? memory->impl->export(memory, map, udmabuf) : -ENOTSUP;
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
