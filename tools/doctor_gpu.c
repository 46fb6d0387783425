/* SPDX-License-Identifier: MIT */
#include "tools/doctor_gpu.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xf86drm.h>
#include <xf86drmMode.h>

#include "backend/capset.h"
#include "backend/log.h"
#include "render/egl.h"
#include "xen/doctor_budget.h"

#define GL_TIMEOUT_MS 120000 /* as long as gpudomd gives a worker */

static const struct config no_config;

/* ----------------------------------------------------------------------- DRM */

/* Virtual devices that render nothing are no GPUs. */
static bool is_gpu(int fd)
{
	drmVersionPtr version = drmGetVersion(fd);
	bool gpu = version && strcmp(version->name, "vgem") != 0;

	drmFreeVersion(version);
	return gpu;
}

static bool has_screens(int fd)
{
	drmModeResPtr resources = drmModeGetResources(fd);
	bool screens = resources && resources->count_connectors > 0;

	drmModeFreeResources(resources);
	return screens;
}

static void probe_render_node(struct doctor_facts *facts, const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	/* One that cannot be opened is there all the same. */
	if (fd < 0 || is_gpu(fd))
		snprintf(facts->render_node, sizeof(facts->render_node), "%s", path);
	if (fd >= 0)
		close(fd);
}

static void probe_card(struct doctor_facts *facts, const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	if (fd < 0 || has_screens(fd)) {
		facts->card_error = fd < 0 ? -errno : 0;
		snprintf(facts->card, sizeof(facts->card), "%s", path);
	}
	if (fd < 0)
		return;
	if (facts->card[0])
		facts->master = drmSetMaster(fd) < 0 ? -errno : 0;
	close(fd); /* no longer master */
}

static void probe_drm(struct doctor_facts *facts)
{
	struct dirent **entries;
	char path[128];
	int n = scandir("/dev/dri", &entries, NULL, alphasort);

	facts->master = DOCTOR_UNTRIED;
	for (int i = 0; i < n; i++) {
		snprintf(path, sizeof(path), "/dev/dri/%.100s", entries[i]->d_name);
		if (!facts->render_node[0] && !strncmp(entries[i]->d_name, "renderD", 7))
			probe_render_node(facts, path);
		if (!facts->card[0] && !strncmp(entries[i]->d_name, "card", 4))
			probe_card(facts, path);
		free(entries[i]);
	}
	if (n >= 0)
		free(entries);
}

/* ------------------------------------------------------------------------ GL */

#if WITH_VIRGL

static enum egl_choice choice_of(const char *name)
{
	static const char *const names[] = { "auto", "gbm", "device", "surfaceless" };

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(names[i], name))
			return (enum egl_choice)i;
	return EGL_CHOICE_AUTO;
}

/* In a process of its own: starts GL as a worker does, and writes the facts to @out. */
static void start_gl(struct doctor_gl *gl, int out, bool verbose)
{
	struct egl *egl;

	/* As gpudom-worker: no cache that guests would share. */
	setenv("MESA_SHADER_CACHE_DISABLE", "true", 0);
	log_init(LOG_LEVEL_DEBUG, NULL);
	if (!verbose)
		dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), STDERR_FILENO);
	gl->error =
	    egl_create(choice_of(gl->egl), gl->render_node[0] ? gl->render_node : NULL, &egl);
	if (!gl->error) {
		snprintf(gl->platform, sizeof(gl->platform), "%s", egl_get_platform(egl));
		snprintf(gl->renderer, sizeof(gl->renderer), "%s", egl_get_renderer(egl));
	}
	_exit(write(out, gl, sizeof(*gl)) != (ssize_t)sizeof(*gl));
}

static void probe_gl(struct doctor_gl *gl, bool verbose)
{
	struct doctor_gl answer;
	struct pollfd in = { .events = POLLIN };
	int pipes[2];
	pid_t pid;

	if (pipe2(pipes, O_CLOEXEC) < 0)
		return;
	fflush(NULL);
	pid = fork();
	if (!pid)
		start_gl(gl, pipes[1], verbose);
	close(pipes[1]);
	in.fd = pipes[0];
	if (pid > 0) {
		gl->error = -EPIPE;
		if (poll(&in, 1, GL_TIMEOUT_MS) == 0)
			gl->error = -ETIMEDOUT;
		else if (read(pipes[0], &answer, sizeof(answer)) == (ssize_t)sizeof(answer))
			*gl = answer;
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	close(pipes[0]);
}

#else
/* Without virglrenderer no guest needs it (budget_read()). */
static void probe_gl(struct doctor_gl *gl, bool verbose)
{
}
#endif

/* Tries the settings of a guest (NULL: [default]), unless another has the same. */
static void probe_settings(struct doctor_facts *facts, const char *guest, bool verbose)
{
	struct budget_settings settings;
	struct doctor_gl *gl = &facts->gls[facts->gl_count];
	int fd;

	if (facts->gl_count == DOCTOR_GLS_MAX ||
	    budget_read(facts->config_error ? &no_config : facts->config, guest, &settings) < 0)
		return;
	for (unsigned i = 0; i < facts->gl_count; i++)
		if (facts->gls[i].needed == settings.gl &&
		    (!settings.gl || (!strcmp(facts->gls[i].render_node, settings.render_node) &&
					 !strcmp(facts->gls[i].egl, settings.egl))))
			return;
	*gl = (struct doctor_gl){ .needed = settings.gl, .error = DOCTOR_UNTRIED };
	snprintf(gl->guest, sizeof(gl->guest), "%s", guest ? guest : "");
	snprintf(gl->egl, sizeof(gl->egl), "%s", settings.egl);
	snprintf(gl->render_node, sizeof(gl->render_node), "%s", settings.render_node);
	if (gl->render_node[0]) {
		fd = open(gl->render_node, O_RDWR | O_CLOEXEC);
		gl->node_error = fd < 0 ? -errno : 0;
		if (fd >= 0)
			close(fd);
	}
	if (gl->needed)
		probe_gl(gl, verbose);
	facts->gl_count++;
}

void doctor_gpu_probe(struct doctor_facts *facts, bool verbose)
{
	const struct config_section *section = facts->config_error ? NULL : facts->config->guests;

	probe_drm(facts);
	probe_settings(facts, NULL, verbose);
	for (; section; section = section->next)
		probe_settings(facts, section->guest, verbose);
}
