/* SPDX-License-Identifier: MIT */
/* The worker's own functions, with something in front of them: see compromised.h. */
#include "tests/compromised/compromised.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backend/renderer.h"
#include "render/soft.h"
#include "render/virgl.h"
#include "tools/worker_monitor.h"
#include "tools/worker_options.h"
#include "tools/worker_sandbox.h"

int __real_worker_options_parse(struct worker_options *options, int argc, char **argv);
int __real_worker_sandbox_seal(struct worker_sandbox *sandbox);
int __real_soft_create(struct renderer **renderer);
int __real_worker_monitor_start(
    const struct worker_monitor_options *options, struct worker_monitor *monitor, uint32_t *bits);
int __wrap_worker_options_parse(struct worker_options *options, int argc, char **argv);
int __wrap_worker_sandbox_seal(struct worker_sandbox *sandbox);
int __wrap_soft_create(struct renderer **renderer);
int __wrap_worker_monitor_start(
    const struct worker_monitor_options *options, struct worker_monitor *monitor, uint32_t *bits);

static const char *attempts;
static bool contained =
    true; /* no: attempts are made as soon as there is a renderer, and succeed */
static struct compromised_target target = { -1, -1, -1, -1 };

/* Options of this build are taken out. */
int __wrap_worker_options_parse(struct worker_options *options, int argc, char **argv)
{
	static const char name[] = "--compromised=", control[] = "--control-fd=";
	int kept = 0, r;

	for (int i = 0; i < argc; i++) {
		if (strncmp(argv[i], control, strlen(control)) == 0)
			target.control_fd = (int)strtol(argv[i] + strlen(control), NULL, 10);
		if (strncmp(argv[i], name, strlen(name)) == 0)
			attempts = argv[i] + strlen(name);
		else
			argv[kept++] = argv[i];
	}
	argv[kept] = NULL;
	if (attempts && strcmp(attempts, "list") == 0) {
		attempts_print_names();
		return 0;
	}
	r = __real_worker_options_parse(options, kept, argv);
	target.front_end_fd = options->fd;
	contained = options->sandbox != WORKER_SANDBOX_OFF;
	return r;
}

int __wrap_worker_monitor_start(
    const struct worker_monitor_options *options, struct worker_monitor *monitor, uint32_t *bits)
{
	int r = __real_worker_monitor_start(options, monitor, bits);

	target.monitor_fd = monitor->fd;
	return r;
}

int __wrap_worker_sandbox_seal(struct worker_sandbox *sandbox)
{
	int r = __real_worker_sandbox_seal(sandbox);

	if (r == 0 && attempts)
		attempts_make(attempts, &target);
	return r;
}

/* ---------------------------------------------------------------- on a guest's command */

static void take_memory(void)
{
	const size_t size = 16 << 20;
	char *at;

	while ((at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		    0)) != MAP_FAILED)
		memset(at, 1, size);
}

static void act(uint32_t action)
{
	volatile char *page;

	switch (action) {
	case COMPROMISED_ABORT:
		abort();
	case COMPROMISED_FAULT:
		page = mmap(NULL, 1, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		*page = 1;
		break;
	case COMPROMISED_HANG:
		for (volatile int i = 0;; i++)
			;
	case COMPROMISED_EXIT:
		_exit(3);
	case COMPROMISED_CALL:
		socket(AF_INET, SOCK_STREAM, 0);
		break;
	case COMPROMISED_MEMORY:
		take_memory();
		break;
	case COMPROMISED_SLEEP:
		for (;;)
			sleep(3600);
	default:
		break;
	}
}

/* One worker has one renderer, and a virgl renderer one of the soft kind inside. */
struct wrapped {
	struct renderer_impl impl;
	const struct renderer_impl *real;
};
static struct wrapped soft;

static void look_at_resource(const struct renderer_resource *resource)
{
	if (resource->is_2d && resource->width == COMPROMISED_WIDTH)
		act(resource->height);
}

static int soft_create_resource(
    struct renderer *renderer, uint32_t id, const struct renderer_resource *resource)
{
	look_at_resource(resource);
	return soft.real->create_resource(renderer, id, resource);
}

int __wrap_soft_create(struct renderer **renderer)
{
	int r = __real_soft_create(renderer);

	if (r < 0)
		return r;
	soft.real = (*renderer)->impl;
	soft.impl = *soft.real;
	soft.impl.create_resource = soft_create_resource;
	(*renderer)->impl = &soft.impl;
	if (attempts && !contained)
		attempts_make(attempts, &target);
	return 0;
}

#if WITH_VIRGL
int __real_virgl_create(const struct virgl_options *options, struct renderer **renderer);
int __wrap_virgl_create(const struct virgl_options *options, struct renderer **renderer);

static struct wrapped virgl;

static int virgl_create_resource(
    struct renderer *renderer, uint32_t id, const struct renderer_resource *resource)
{
	look_at_resource(resource);
	return virgl.real->create_resource(renderer, id, resource);
}

static int virgl_look_at_submit(
    struct renderer *renderer, uint32_t ctx_id, void *commands, uint32_t size)
{
	const uint32_t *words = commands;

	if (size >= 8 && words[0] == COMPROMISED_MAGIC)
		act(words[1]);
	return virgl.real->submit(renderer, ctx_id, commands, size);
}

int __wrap_virgl_create(const struct virgl_options *options, struct renderer **renderer)
{
	int r = __real_virgl_create(options, renderer);

	if (r < 0)
		return r;
	virgl.real = (*renderer)->impl;
	virgl.impl = *virgl.real;
	virgl.impl.create_resource = virgl_create_resource;
	virgl.impl.submit = virgl_look_at_submit;
	(*renderer)->impl = &virgl.impl;
	return 0;
}
#endif
