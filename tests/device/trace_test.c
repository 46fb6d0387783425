/* SPDX-License-Identifier: MIT */
/*
 * The real gpudom-worker with a control socket: what it writes into its trace while a guest works,
 * in which order, and what of it reaches the file for Perfetto; and its log's level.
 */
#include <errno.h>
#include <json-c/json.h>
#include <linux/sockios.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "backend/log.h"
#include "tests/loopback/loopback_gpu.h"
#include "tests/loopback/loopback_process.h"
#include "tests/loopback/loopback_virgl.h"
#include "tools/trace_json.h"
#include "xen/worker_message.h"

#include <cmocka.h>

#define OK VIRTIO_GPU_RESP_OK_NODATA
#define BGRX VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM
#define FENCE 77
#define CONTEXT 3

struct setup {
	struct loopback_process process;
	struct loopback_frontend frontend;
	struct loopback_gpu gpu;
	struct loopback_backing *backing;
	int control; /* our end */
	int ring;
	uint64_t from_ns;
	struct trace_reader reader;
};

/* ---------------------------------------------------------------- worker and guest */

static int prepare(void **state)
{
	*state = calloc(1, sizeof(struct setup));
	((struct setup *)*state)->control = -1;
	return *state ? 0 : -1;
}

static int clean_up(void **state)
{
	struct setup *setup = *state;

	trace_reader_finish(&setup->reader);
	if (setup->backing)
		loopback_backing_destroy(setup->backing);
	if (setup->control >= 0)
		close(setup->control);
	close(setup->ring);
	loopback_frontend_finish(&setup->frontend);
	loopback_process_end(&setup->process, SIGKILL);
	free(setup);
	return 0;
}

static void start_worker(struct setup *setup, const char *renderer)
{
	char worker[512], option[32];
	const char *const argv[] = { worker, "--fd={fd}", "--guest=clock", renderer, option,
		"--refresh=0", NULL };
	int pair[2];

	loopback_process_path("gpudom-worker", worker, sizeof(worker));
	/* The far end is inherited */
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	snprintf(option, sizeof(option), "--control-fd=%d", pair[1]);
	assert_int_equal(loopback_process_spawn(&setup->process, argv, true), 0);
	close(pair[1]);
	setup->control = pair[0];
	setup->ring = trace_create_file();
	assert_true(setup->ring >= 0);
	/* Without the event index, each answer is an interrupt, also where the guest looks first */
	assert_int_equal(loopback_frontend_init(
			     &setup->frontend, &(struct loopback_options){ .no_event_idx = true }),
	    0);
	assert_int_equal(loopback_frontend_connect(&setup->frontend, setup->process.socket), 0);
	setup->process.socket = -1;
	loopback_gpu_init(&setup->gpu, &setup->frontend);
}

/* Until the worker has taken all that was said. It acts at once then, before anything else. */
static void wait_until_heard(struct setup *setup)
{
	int unread = 1;

	for (unsigned ms = 0; unread && ms < LOOPBACK_TIMEOUT_MS; ms++) {
		assert_int_equal(ioctl(setup->control, SIOCOUTQ, &unread), 0);
		if (unread)
			nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	}
	assert_int_equal(unread, 0);
}

static void say_bytes(struct setup *setup, const void *bytes, size_t size, int fd)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec piece = { (void *)bytes, size };
	struct msghdr packet = { .msg_iov = &piece, .msg_iovlen = 1 };

	if (fd >= 0) {
		packet.msg_control = &control;
		packet.msg_controllen = sizeof(control);
		control.header = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(int)),
			.cmsg_level = SOL_SOCKET,
			.cmsg_type = SCM_RIGHTS };
		memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	}
	assert_int_equal(sendmsg(setup->control, &packet, MSG_NOSIGNAL), size);
	wait_until_heard(setup);
}

static void say(struct setup *setup, uint32_t type, uint64_t value, int fd)
{
	const struct worker_message message = {
		.type = type, .size = sizeof(message), .value = value
	};

	say_bytes(setup, &message, sizeof(message), fd);
}

static void begin_trace(struct setup *setup)
{
	setup->from_ns = trace_now();
	say(setup, WORKER_TRACE_START, 0, setup->ring);
}

static void end_trace(struct setup *setup)
{
	say(setup, WORKER_TRACE_STOP, 0, -1);
	trace_reader_finish(&setup->reader);
	assert_int_equal(
	    trace_reader_init(&setup->reader, setup->ring, setup->from_ns, trace_now()), 0);
	assert_int_equal(setup->reader.damaged, 0);
	assert_int_equal(setup->reader.lost, 0);
}

/* A picture on output 0, all set for RESOURCE_FLUSH */
static void show_picture(struct setup *setup)
{
	assert_int_equal(loopback_gpu_create_2d(&setup->gpu, 1, BGRX, 64, 64), OK);
	setup->backing = loopback_backing_create(&setup->frontend.memory, 64 * 64 * 4, 4096);
	assert_int_equal(loopback_gpu_attach_backing(&setup->gpu, 1, setup->backing), OK);
	assert_int_equal(loopback_gpu_set_scanout(&setup->gpu, 0, 1, 0, 0, 64, 64), OK);
}

/* ---------------------------------------------------------------- looking */

/* The event of @type and @request, of which there is exactly one */
static const struct trace_event *find(
    const struct setup *setup, enum trace_type type, uint64_t request)
{
	const struct trace_event *found = NULL;

	for (size_t i = 0; i < setup->reader.count; i++) {
		const struct trace_event *event = &setup->reader.events[i];

		if (event->type != type || event->request != request)
			continue;
		assert_null(found);
		found = event;
	}
	if (!found)
		fail_msg(
		    "no event of type %d for request %llu", (int)type, (unsigned long long)request);
	return found;
}

static unsigned count(const struct setup *setup, enum trace_type type)
{
	unsigned n = 0;

	for (size_t i = 0; i < setup->reader.count; i++)
		n += setup->reader.events[i].type == type;
	return n;
}

/* The first event of @type that ends at or after @ns */
static const struct trace_event *find_after(
    const struct setup *setup, enum trace_type type, uint64_t ns)
{
	for (size_t i = 0; i < setup->reader.count; i++)
		if (setup->reader.events[i].type == type && setup->reader.events[i].end_ns >= ns)
			return &setup->reader.events[i];
	fail_msg("no event of type %d after that", (int)type);
	return NULL;
}

/* The number of the request that is command @type, of which there is one */
static uint64_t find_command(const struct setup *setup, uint32_t type)
{
	uint64_t number = 0;

	for (size_t i = 0; i < setup->reader.count; i++) {
		const struct trace_event *event = &setup->reader.events[i];

		if (event->type != TRACE_REQUEST || event->arg != type)
			continue;
		assert_int_equal(number, 0);
		number = event->request;
	}
	assert_true(number > 0);
	return number;
}

static void assert_inside(const struct trace_event *inner, const struct trace_event *outer)
{
	assert_true(inner->begin_ns >= outer->begin_ns);
	assert_true(inner->end_ns <= outer->end_ns);
}

/* What every executed request has gone through, in this order */
static void assert_way(const struct setup *setup, uint64_t number, uint32_t response)
{
	const struct trace_event *request = find(setup, TRACE_REQUEST, number);
	const struct trace_event *decode = find(setup, TRACE_DECODE, number);
	const struct trace_event *render = find(setup, TRACE_RENDER, number);
	const struct trace_event *answer = find(setup, TRACE_ANSWER, number);
	const struct trace_event *dequeue = find(setup, TRACE_DEQUEUE, number);
	const struct trace_event *copy = find(setup, TRACE_COPY, number);
	const struct trace_event *publish = find_after(setup, TRACE_PUBLISH, answer->end_ns);

	assert_int_equal(dequeue->arg, 1);
	assert_true(dequeue->end_ns <= copy->begin_ns);
	assert_true(copy->end_ns <= request->begin_ns);
	assert_inside(decode, request);
	assert_inside(render, request);
	assert_true(decode->end_ns <= render->begin_ns);
	assert_true(render->end_ns <= answer->end_ns);
	assert_int_equal(request->head, render->head);
	assert_int_equal(request->head, answer->head);
	assert_int_equal(render->value, response);
	assert_int_equal(render->arg, request->arg);
	assert_true(publish->begin_ns >= answer->end_ns);
	assert_int_equal(publish->arg, 1);
}

/* Spans of one thread lie in each other or apart: a viewer can draw nothing else. */
static void assert_nested(const struct setup *setup)
{
	static const bool on_thread[TRACE_TYPES] = {
		[TRACE_KICK] = true,
		[TRACE_DEQUEUE] = true,
		[TRACE_COPY] = true,
		[TRACE_REQUEST] = true,
		[TRACE_DECODE] = true,
		[TRACE_RENDER] = true,
		[TRACE_PUBLISH] = true,
		[TRACE_INTERRUPT] = true,
		[TRACE_MAP] = true,
		[TRACE_UNMAP] = true,
		[TRACE_READ] = true,
		[TRACE_WRITE] = true,
	};

	for (size_t i = 0; i < setup->reader.count; i++) {
		const struct trace_event *a = &setup->reader.events[i];

		for (size_t j = i + 1; on_thread[a->type] && j < setup->reader.count; j++) {
			const struct trace_event *b = &setup->reader.events[j];

			/* b ended after a */
			if (on_thread[b->type])
				assert_true(b->begin_ns >= a->end_ns || b->begin_ns <= a->begin_ns);
		}
	}
}

/* ---------------------------------------------------------------- tests */

static void a_frames_way_is_recorded(void **state)
{
	struct setup *setup = *state;
	const struct trace_event *flip, *fence, *kick;
	uint64_t flush, transfer;

	start_worker(setup, "--renderer=soft");
	show_picture(setup);
	begin_trace(setup);
	assert_int_equal(loopback_gpu_transfer_2d(&setup->gpu, 1, 0, 0, 64, 64, 0), OK);
	loopback_gpu_fence_next(&setup->gpu, FENCE);
	assert_int_equal(loopback_gpu_flush(&setup->gpu, 1, 0, 0, 64, 64), OK);
	/* refused before it is executed */
	assert_int_equal(loopback_gpu_ctx_destroy(&setup->gpu, 9), VIRTIO_GPU_RESP_ERR_UNSPEC);
	end_trace(setup);

	assert_int_equal(count(setup, TRACE_REQUEST), 3);
	assert_true(count(setup, TRACE_KICK) >= 1);
	assert_int_equal(count(setup, TRACE_INTERRUPT), 3);
	assert_int_equal(count(setup, TRACE_ANSWER), 3);
	transfer = find_command(setup, VIRTIO_GPU_CMD_TRANSFER_TO_HOST_2D);
	flush = find_command(setup, VIRTIO_GPU_CMD_RESOURCE_FLUSH);
	assert_int_equal(flush, transfer + 1);
	assert_way(setup, transfer, OK);
	assert_way(setup, flush, OK);
	assert_int_equal(count(setup, TRACE_RENDER), 2);
	assert_int_equal(find(setup, TRACE_REQUEST, flush + 1)->value, VIRTIO_GPU_RESP_ERR_UNSPEC);

	kick = &setup->reader.events[0];
	assert_int_equal(kick->type, TRACE_KICK);
	assert_int_equal(kick->queue, LOOPBACK_GPU_CONTROL);
	assert_int_equal(kick->arg, 1);
	assert_true(kick->end_ns <= find(setup, TRACE_DEQUEUE, transfer)->begin_ns);

	flip = find(setup, TRACE_FLIP, flush);
	assert_int_equal(flip->arg, 0);
	assert_int_equal(flip->begin_ns, find(setup, TRACE_REQUEST, flush)->begin_ns);
	assert_true(flip->end_ns <= find(setup, TRACE_ANSWER, flush)->end_ns);
	fence = find(setup, TRACE_FENCE, flush);
	assert_int_equal(fence->ring, TRACE_RING_GLOBAL);
	assert_true(fence->begin_ns >= find(setup, TRACE_RENDER, flush)->end_ns);
	assert_true(fence->end_ns <= find(setup, TRACE_ANSWER, flush)->end_ns);
	assert_int_equal(count(setup, TRACE_FENCE), 1);
	assert_nested(setup);
}

static void fences_last_until_they_retire(void **state)
{
	struct setup *setup = *state;
	const struct trace_event *fence, *render, *answer;
	struct loopback_virgl commands;
	uint64_t submit;

	start_worker(setup, "--renderer=virgl");
	assert_int_equal(loopback_gpu_ctx_create(&setup->gpu, CONTEXT, 0, "test"), OK);
	assert_int_equal(loopback_gpu_create_3d(&setup->gpu, 1,
			     &(struct virtio_gpu_resource_create_3d){ .target = PIPE_TEXTURE_2D,
				 .format = BGRX,
				 .bind = VIRGL_BIND_RENDER_TARGET,
				 .width = 64,
				 .height = 64,
				 .depth = 1,
				 .array_size = 1 }),
	    OK);
	assert_int_equal(loopback_gpu_ctx_attach(&setup->gpu, CONTEXT, 1), OK);
	virgl_begin(&commands);
	virgl_create_surface(&commands, 1, 1, BGRX);
	virgl_set_framebuffer(&commands, 1);
	virgl_clear(&commands, (const float[]){ 1, 0, 0, 1 });
	begin_trace(setup);
	loopback_gpu_fence_next(&setup->gpu, FENCE);
	assert_int_equal(
	    loopback_gpu_submit_3d(&setup->gpu, CONTEXT, commands.words, commands.count), OK);
	end_trace(setup);

	submit = find_command(setup, VIRTIO_GPU_CMD_SUBMIT_3D);
	assert_way(setup, submit, OK);
	render = find(setup, TRACE_RENDER, submit);
	fence = find(setup, TRACE_FENCE, submit);
	answer = find(setup, TRACE_ANSWER, submit);
	assert_int_equal(fence->ring, TRACE_RING_GLOBAL);
	assert_true(fence->value > 0);
	assert_true(fence->begin_ns >= render->end_ns);
	assert_true(fence->end_ns <= answer->end_ns);
	assert_int_equal(find(setup, TRACE_DEQUEUE, submit)->value,
	    sizeof(struct virtio_gpu_cmd_submit) + commands.count * 4);
	assert_nested(setup);
}

static void maps_and_copies_are_recorded(void **state)
{
	struct setup *setup = *state;
	struct loopback_backing *backing;

	start_worker(setup, "--renderer=soft");
	assert_int_equal(loopback_gpu_create_2d(&setup->gpu, 1, BGRX, 64, 64), OK);
	backing = loopback_backing_create(&setup->frontend.memory, 64 * 64 * 4, 4096);
	begin_trace(setup);
	assert_int_equal(loopback_gpu_attach_backing(&setup->gpu, 1, backing), OK);
	assert_int_equal(loopback_gpu_unref(&setup->gpu, 1), OK);
	end_trace(setup);
	loopback_backing_destroy(backing);

	assert_int_equal(count(setup, TRACE_MAP), 1);
	assert_int_equal(find(setup, TRACE_MAP, 0)->arg, 4);
	assert_int_equal(find(setup, TRACE_MAP, 0)->value, 64 * 64 * 4);
	assert_inside(find(setup, TRACE_MAP, 0),
	    find(setup, TRACE_RENDER, find_command(setup, VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING)));
	assert_int_equal(find(setup, TRACE_UNMAP, 0)->value, 64 * 64 * 4);
	assert_true(count(setup, TRACE_READ) >= 2);
	assert_true(count(setup, TRACE_WRITE) >= 2);
	assert_nested(setup);
}

static void nothing_is_written_when_it_is_off(void **state)
{
	struct setup *setup = *state;

	start_worker(setup, "--renderer=soft");
	show_picture(setup);
	begin_trace(setup);
	end_trace(setup);
	assert_int_equal(setup->reader.count, 0);
	assert_int_equal(loopback_gpu_flush(&setup->gpu, 1, 0, 0, 64, 64), OK);
	say(setup, WORKER_TRACE_STOP, 0, -1); /* once more does no harm */
	end_trace(setup);
	assert_int_equal(setup->reader.count, 0);
	/* On again, in the same ring */
	begin_trace(setup);
	assert_int_equal(loopback_gpu_flush(&setup->gpu, 1, 0, 0, 64, 64), OK);
	end_trace(setup);
	assert_int_equal(count(setup, TRACE_REQUEST), 1);
}

static const char *get_text(struct json_object *event, const char *key)
{
	struct json_object *value;

	return json_object_object_get_ex(event, key, &value) ? json_object_get_string(value) : "";
}

static uint64_t get_ns(struct json_object *event, const char *key)
{
	double us = json_object_get_double(json_object_object_get(event, key));

	return (uint64_t)(us * 1000 + 0.5);
}

/* As viewers do: spans of a thread in the order of the file, each in the one that is open. */
static void assert_stacked(struct json_object *events, int tid)
{
	uint64_t ends[16], begin = 0;
	unsigned depth = 0;

	for (size_t i = 0; i < json_object_array_length(events); i++) {
		struct json_object *event = json_object_array_get_idx(events, i);
		uint64_t ts, end;

		if (strcmp(get_text(event, "ph"), "X") != 0 ||
		    json_object_get_int(json_object_object_get(event, "tid")) != tid)
			continue;
		ts = get_ns(event, "ts");
		end = ts + get_ns(event, "dur");
		assert_true(ts >= begin);
		begin = ts;
		while (depth && ends[depth - 1] <= ts)
			depth--;
		assert_true(!depth || end <= ends[depth - 1]);
		assert_true(depth < 16);
		ends[depth++] = end;
	}
	assert_true(begin > 0);
}

/* Each of these is in the file, for the process of the guest; arrows lead from dequeue to publish.
 */
static void a_person_sees_it_in_perfetto(void **state)
{
	static const char *const wanted[] = { "kick", "dequeue", "decode: copy", "decode", "render",
		"RESOURCE_FLUSH", "fence, global timeline", "flip", "publish", "interrupt",
		"copy from guest", "copy to guest" };
	unsigned found[sizeof(wanted) / sizeof(wanted[0])] = { 0 }, flows[3] = { 0 };
	struct setup *setup = *state;
	struct json_object *json, *events;
	char *text = NULL;
	size_t size;
	FILE *file = open_memstream(&text, &size);

	start_worker(setup, "--renderer=soft");
	show_picture(setup);
	begin_trace(setup);
	loopback_gpu_fence_next(&setup->gpu, FENCE);
	assert_int_equal(loopback_gpu_flush(&setup->gpu, 1, 0, 0, 64, 64), OK);
	end_trace(setup);
	const struct trace_source source = {
		.guest = "clock", .domid = 5, .worker = setup->reader
	};
	const struct trace_recording recording = { .from_ns = setup->from_ns,
		.to_ns = trace_now(),
		.sources = &source,
		.source_count = 1 };
	assert_int_equal(trace_json_write(file, &recording), 0);
	fclose(file);
	json = json_tokener_parse(text);
	free(text);
	assert_true(json_object_object_get_ex(json, "traceEvents", &events));
	for (size_t i = 0; i < json_object_array_length(events); i++) {
		struct json_object *event = json_object_array_get_idx(events, i);
		char phase = *get_text(event, "ph");

		assert_string_equal(get_text(event, "pid"), "1");
		assert_true(phase == 'M' ||
			    json_object_get_double(json_object_object_get(event, "ts")) >= 0);
		for (size_t w = 0; w < sizeof(wanted) / sizeof(wanted[0]); w++)
			found[w] += !strcmp(get_text(event, "name"), wanted[w]);
		if (strchr("stf", phase))
			flows[strchr("stf", phase) - "stf"]++;
	}
	for (size_t w = 0; w < sizeof(wanted) / sizeof(wanted[0]); w++)
		if (!found[w])
			fail_msg("there is no '%s'", wanted[w]);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(flows[i], 1);
	assert_stacked(events, 3); /* control queue */
	assert_stacked(events, 5); /* guest memory */
	json_object_put(json);
}

static unsigned count_lines(const struct setup *setup, const char *with)
{
	char *text = loopback_process_output(&setup->process);
	unsigned lines = 0;

	assert_non_null(text);
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
		lines += strstr(line, with) != NULL;
	free(text);
	return lines;
}

/* Where the worker is contained, its monitor passes lines on in its own time, and each of those
 * that repeat once. */
static void expect_line(const struct setup *setup, const char *with)
{
	for (unsigned ms = 0; !count_lines(setup, with) && ms < LOOPBACK_TIMEOUT_MS; ms++)
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	assert_true(count_lines(setup, with) >= 1);
}

static void the_logs_level_changes_at_run_time(void **state)
{
	struct setup *setup = *state;

	start_worker(setup, "--renderer=soft");
	say(setup, WORKER_LOG_LEVEL, LOG_LEVEL_ERROR, -1);
	assert_int_equal(
	    loopback_gpu_unref(&setup->gpu, 1), VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
	assert_int_equal(count_lines(setup, "refused RESOURCE_UNREF"), 0);
	say(setup, WORKER_LOG_LEVEL, 99, -1); /* there is no such level */
	assert_int_equal(
	    loopback_gpu_unref(&setup->gpu, 1), VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
	assert_int_equal(count_lines(setup, "refused RESOURCE_UNREF"), 0);
	say(setup, WORKER_LOG_LEVEL, LOG_LEVEL_WARNING, -1);
	assert_int_equal(
	    loopback_gpu_unref(&setup->gpu, 1), VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
	expect_line(setup, "refused RESOURCE_UNREF");
	assert_int_equal(count_lines(setup, "refused RESOURCE_UNREF"), 1);
}

static void limits_change_at_run_time(void **state)
{
	struct worker_message message = {
		.type = WORKER_SET_LIMITS, .size = sizeof(message), .limits = GPU_LIMITS_DEFAULT
	};
	struct setup *setup = *state;

	start_worker(setup, "--renderer=soft");
	assert_int_equal(loopback_gpu_create_2d(&setup->gpu, 1, BGRX, 64, 64), OK);
	message.limits.resources = 1;
	say_bytes(setup, &message, sizeof(message), -1);
	assert_int_equal(loopback_gpu_create_2d(&setup->gpu, 2, BGRX, 64, 64),
	    VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY);
	message.limits.resources = 2;
	say_bytes(setup, &message, sizeof(message), -1);
	assert_int_equal(loopback_gpu_create_2d(&setup->gpu, 2, BGRX, 64, 64), OK);
}

static void throttled_frames_are_recorded(void **state)
{
	struct worker_message message = {
		.type = WORKER_SET_LIMITS, .size = sizeof(message), .limits = GPU_LIMITS_DEFAULT
	};
	struct setup *setup = *state;

	start_worker(setup, "--renderer=soft");
	show_picture(setup);
	message.limits.frame_rate = 20;
	say_bytes(setup, &message, sizeof(message), -1);
	begin_trace(setup);
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(loopback_gpu_flush(&setup->gpu, 1, 0, 0, 64, 64), OK);
	end_trace(setup);
	assert_int_equal(count(setup, TRACE_FLIP), 10);
	assert_true(count(setup, TRACE_THROTTLED) >= 1);
}

/* Of another build's gpudomd, or its end: the guest is served on. */
static void odd_messages_are_ignored(void **state)
{
	struct virtio_gpu_resp_display_info info;
	struct worker_message message = { .type = WORKER_TRACE_START, .size = sizeof(message) };
	struct setup *setup = *state;
	uint8_t longer[sizeof(message) + 8] = { WORKER_TRACE_STOP };

	start_worker(setup, "--renderer=soft");
	unsigned fds = loopback_process_fds(setup->process.pid);
	say_bytes(setup, &message, sizeof(message) - 1, setup->ring);
	say_bytes(setup, longer, sizeof(longer), setup->ring);
	message.size--;
	say_bytes(setup, &message, sizeof(message), setup->ring);
	say(setup, 12345, 0, setup->ring);
	say(setup, WORKER_TRACE_START, 0, -1);
	say(setup, WORKER_TRACE_START, 0, setup->control); /* no ring */
	assert_int_equal(
	    loopback_gpu_get_display_info(&setup->gpu, &info), VIRTIO_GPU_RESP_OK_DISPLAY_INFO);
	assert_int_equal(loopback_process_fds(setup->process.pid), fds);
	expect_line(setup, "cannot write a trace");
	expect_line(setup, "of another build");
	assert_int_equal(trace_reader_init(&setup->reader, setup->ring, 0, UINT64_MAX), 0);
	assert_int_equal(setup->reader.count, 0);
	close(setup->control);
	setup->control = -1;
	assert_int_equal(
	    loopback_gpu_get_display_info(&setup->gpu, &info), VIRTIO_GPU_RESP_OK_DISPLAY_INFO);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, prepare, clean_up)
	const struct CMUnitTest tests[] = {
		TEST(a_frames_way_is_recorded),
		TEST(fences_last_until_they_retire),
		TEST(maps_and_copies_are_recorded),
		TEST(nothing_is_written_when_it_is_off),
		TEST(a_person_sees_it_in_perfetto),
		TEST(the_logs_level_changes_at_run_time),
		TEST(limits_change_at_run_time),
		TEST(throttled_frames_are_recorded),
		TEST(odd_messages_are_ignored),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
