/* SPDX-License-Identifier: MIT */
/* The doctor's checks of the GPU. */
#include <errno.h>
#include <string.h>

#include "xen/doctor_private.h"

static bool is_software(const char *renderer)
{
	return strstr(renderer, "llvmpipe") || strstr(renderer, "softpipe") ||
	       strstr(renderer, "SwiftShader");
}

static bool gl_wanted(const struct doctor_facts *facts)
{
	bool wanted = false;

	for (unsigned i = 0; i < facts->gl_count; i++)
		wanted |= facts->gls[i].needed;
	return wanted;
}

/* A proprietary driver's EGL device needs no node. */
static bool gl_without_node(const struct doctor_facts *facts)
{
	for (unsigned i = 0; i < facts->gl_count; i++)
		if (facts->gls[i].error == 0 && !is_software(facts->gls[i].renderer))
			return true;
	return false;
}

void doctor_check_render_node(struct doctor_report *report)
{
	const struct doctor_facts *facts = report->facts;
	bool set = false;

	if (!gl_wanted(facts)) {
		doctor_find(report, DOCTOR_OK, "No guest may use OpenGL, so no GPU is needed.");
		return;
	}
	for (unsigned i = 0; i < facts->gl_count; i++) {
		const struct doctor_gl *gl = &facts->gls[i];

		if (!gl->needed || !gl->render_node[0])
			continue;
		set = true;
		if (gl->node_error)
			doctor_cure(
			    doctor_find(report, DOCTOR_WARNING,
				"The render node %s that gpudom.conf names cannot be opened: %s.",
				gl->render_node, strerror(-gl->node_error)),
			    "Pass the GPU through to this domain (pci= or dtdev= in its xl "
			    "configuration), load its driver, or correct render-node=%s%s",
			    facts->render_node[0] ? "; there is " : "", facts->render_node);
		else
			doctor_find(report, DOCTOR_OK, "There is a GPU: %s.", gl->render_node);
	}
	if (set)
		return;
	if (facts->render_node[0])
		doctor_cure(
		    doctor_find(report, DOCTOR_WARNING,
			"There is a GPU (%s), but gpudom.conf names none, so it is not used "
			"by Mesa.",
			facts->render_node),
		    "Set render-node = %s in [default] of gpudom.conf", facts->render_node);
	else if (gl_without_node(facts))
		doctor_find(report, DOCTOR_OK,
		    "There is a GPU without a render node (a proprietary driver's EGL device).");
	else
		doctor_cure(doctor_find(report, DOCTOR_WARNING,
				"There is no GPU (no /dev/dri/renderD*): guests are rendered in "
				"software."),
		    "Pass one through to this domain (pci= or dtdev= in its xl configuration) and "
		    "load its driver; or leave it so");
}

void doctor_check_opengl(struct doctor_report *report)
{
	const struct doctor_facts *facts = report->facts;

	for (unsigned i = 0; i < facts->gl_count; i++) {
		const struct doctor_gl *gl = &facts->gls[i];
		const char *whose = gl->guest[0] ? gl->guest : "[default]";

		if (!gl->needed)
			doctor_find(report, DOCTOR_OK, "%s: 2D only, as set.", whose);
		else if (gl->error == DOCTOR_UNTRIED)
			doctor_find(report, DOCTOR_UNKNOWN, "%s: OpenGL was not tried.", whose);
		else if (gl->error == -ETIMEDOUT || gl->error == -EPIPE)
			doctor_cure(doctor_find(report, DOCTOR_FAILED,
					"%s: the OpenGL driver %s when it is started, and so would "
					"workers.",
					whose, gl->error == -EPIPE ? "crashes" : "hangs"),
			    "Mend the driver, choose another (egl= in gpudom.conf), or set "
			    "renderer = soft");
		else if (gl->error)
			doctor_cure(doctor_find(report, DOCTOR_WARNING,
					"%s: OpenGL does not work, guests get 2D only.", whose),
			    "Install Mesa (libegl1, libgl1-mesa-dri, libgbm1) or the GPU's own "
			    "driver; gpudomctl doctor --verbose shows what was tried");
		else if (is_software(gl->renderer) && gl->render_node[0] && !gl->node_error)
			doctor_cure(
			    doctor_find(report, DOCTOR_WARNING,
				"%s: OpenGL is rendered in software (%s), although there is "
				"a GPU.",
				whose, gl->renderer),
			    "Install the GPU's driver (libgl1-mesa-dri), and see that the right "
			    "render-node and egl are set in gpudom.conf");
		else
			doctor_find(report, DOCTOR_OK, "%s: OpenGL works (%s, %s).", whose,
			    gl->platform, gl->renderer);
	}
	if (!facts->gl_count)
		doctor_find(report, DOCTOR_UNKNOWN, "OpenGL was not tried.");
}

void doctor_check_screen(struct doctor_report *report)
{
	const struct doctor_facts *facts = report->facts;

	if (!facts->card[0])
		doctor_find(report, DOCTOR_OK,
		    "There is no screen (no /dev/dri/card*): outputs are headless.");
	else if (facts->seat)
		doctor_find(report, DOCTOR_OK,
		    "gpudom-seat runs, and shows guests: gpudomctl status says where.");
	else if (facts->card_error)
		doctor_cure(doctor_find(report, DOCTOR_WARNING, "%s cannot be opened: %s.",
				facts->card, strerror(-facts->card_error)),
		    "Run this as root");
	else if (facts->master == 0)
		doctor_find(report, DOCTOR_OK,
		    "The screens of %s are free (DRM master); gpudom-seat, which shows guests "
		    "there, does not run.",
		    facts->card);
	else if (facts->master == -EACCES || facts->master == -EBUSY || facts->master == -EINVAL)
		doctor_cure(doctor_find(report, DOCTOR_WARNING,
				"Somebody else is DRM master of %s: no output of a guest can be "
				"shown there.",
				facts->card),
		    "End the compositor or X server of this domain");
	else
		doctor_find(report, DOCTOR_UNKNOWN, "Whether %s is free cannot be told: %s.",
		    facts->card, strerror(-facts->master));
}
