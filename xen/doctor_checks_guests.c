/* SPDX-License-Identifier: MIT */
/* The doctor's checks of what guests need, and of those that are there. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "xen/diagnose.h"
#include "xen/doctor_budget.h"
#include "xen/doctor_private.h"

#define STATE_CONNECTED 4

static const struct config no_config;

static const struct config *config_of(const struct doctor_report *report)
{
	return report->facts->config_error ? &no_config : report->facts->config;
}

static struct budget budget_of(const struct doctor_report *report, const char *guest)
{
	struct budget_settings settings;

	if (budget_read(config_of(report), guest, &settings) < 0)
		return (struct budget){ 0 };
	return budget_estimate(&settings);
}

static void find_grant_frames(struct doctor_report *report, const char *guest)
{
	struct budget budget = budget_of(report, guest);
	unsigned frames = budget_grant_frames(budget.granted);
	unsigned long long mib = budget.granted >> 8;
	const char *whose = guest ? guest : "[default]";

	if (frames <= BUDGET_GRANT_FRAMES)
		doctor_find(report, DOCTOR_OK,
		    "%s: about %llu MiB granted at a time fit into Xen's default.", whose, mib);
	else
		doctor_cure(
		    doctor_find(report, DOCTOR_WARNING,
			"%s: its outputs need about %llu MiB of grants at a time, more than Xen's "
			"default of %u frames (%u MiB); this domain cannot see what the guest has.",
			whose, mib, BUDGET_GRANT_FRAMES, BUDGET_GRANT_FRAMES * 2),
		    "Set max_grant_frames = %u in its xl configuration, unless it is there already",
		    frames);
}

void doctor_check_grant_frames(struct doctor_report *report)
{
	find_grant_frames(report, NULL);
	for (const struct config_section *s = config_of(report)->guests; s; s = s->next)
		find_grant_frames(report, s->guest);
}

static bool has_section(const struct doctor_report *report, const char *guest)
{
	for (const struct config_section *s = config_of(report)->guests; s; s = s->next)
		if (!strcmp(s->guest, guest))
			return true;
	return false;
}

/* All guests that have settings or are there; at least one. */
void doctor_check_maptrack_frames(struct doctor_report *report)
{
	const struct doctor_facts *facts = report->facts;
	unsigned guests = 0, frames;
	uint64_t pages = 0;

	for (const struct config_section *s = config_of(report)->guests; s; s = s->next, guests++)
		pages += budget_of(report, s->guest).mapped;
	for (unsigned i = 0; i < facts->device_count; i++) {
		if (has_section(report, facts->devices[i].name))
			continue;
		pages += budget_of(report, NULL).mapped;
		guests++;
	}
	if (!guests) {
		pages = budget_of(report, NULL).mapped;
		guests = 1;
	}
	frames = budget_maptrack_frames(pages);
	if (frames <= BUDGET_MAPTRACK_FRAMES)
		doctor_find(report, DOCTOR_OK,
		    "About %llu MiB of %u guest%s mapped at a time fit into Xen's default.",
		    (unsigned long long)(pages >> 8), guests, guests == 1 ? "" : "s");
	else
		doctor_cure(
		    doctor_find(report, DOCTOR_WARNING,
			"%u guest%s about %llu MiB mapped at a time, more than Xen's "
			"default of %u frames (%u MiB); this domain cannot see what it has.",
			guests, guests == 1 ? " needs" : "s need", (unsigned long long)(pages >> 8),
			BUDGET_MAPTRACK_FRAMES, BUDGET_MAPTRACK_FRAMES),
		    "Set %s%u %s, unless it is there already",
		    facts->domid ? "max_maptrack_frames = " : "gnttab_max_maptrack_frames=", frames,
		    facts->domid ? "in this domain's xl configuration" : "on Xen's command line");
}

/* ----------------------------------------------------------- guests that are there */

static void find_not_served(
    struct doctor_report *report, const struct doctor_device *device, const char *title)
{
	const struct doctor_facts *facts = report->facts;

	if (!device->name[0] && config_of(report)->guests)
		doctor_cure(
		    doctor_find(report, DOCTOR_FAILED,
			"%s is not served: there are settings by guest name, and this domain "
			"may not read its name.",
			title),
		    "In dom0: xenstore-chmod /local/domain/%u/name n0 r%u r%d (gpudom-unpause does)",
		    device->domid, device->domid, facts->domid);
	else if (!facts->pid)
		doctor_cure(doctor_find(report, DOCTOR_FAILED, "%s is not served.", title),
		    "Start gpudomd");
	else
		doctor_cure(doctor_find(report, DOCTOR_FAILED, "%s is not served.", title),
		    "gpudomd's log says why: journalctl -u gpudomd");
}

static void find_device(struct doctor_report *report, const struct doctor_device *device)
{
	const struct diagnosis *diagnosis;
	char title[128];

	snprintf(title, sizeof(title), "%s%s(domain %u, device %u)",
	    device->name[0] ? device->name : "A guest", " ", device->domid, device->devid);
	if (device->error[0]) {
		doctor_cure(doctor_find(report, DOCTOR_FAILED, "%s: %s.", title, device->error),
		    "See gpudomd's log: journalctl -u gpudomd");
		return;
	}
	if (device->device_model == -EACCES || device->device_model == -EPERM) {
		diagnosis = diagnose_error(DIAGNOSE_DEVICE_MODEL, -EACCES);
		/* Without FLASK, or with a locked privcmd, that has been said. */
		if (device->device_model == -EACCES) {
			doctor_cure(doctor_find(report, DOCTOR_FAILED, "%s cannot be served: %s.",
					title, diagnosis->cause),
			    "%s", diagnosis->cure);
			return;
		}
	}
	if (device->state != STATE_CONNECTED) {
		find_not_served(report, device, title);
		return;
	}
	doctor_find(report, DOCTOR_OK, "%s is served%s.", title,
	    device->foreign ? ", by mapping any of its memory (grant_usage=0)" : "");
}

void doctor_check_guests(struct doctor_report *report)
{
	const struct doctor_facts *facts = report->facts;

	for (unsigned i = 0; i < facts->device_count; i++)
		find_device(report, &facts->devices[i]);
	if (!facts->device_count)
		doctor_find(report, DOCTOR_OK, "No guest is attached now.");
}
