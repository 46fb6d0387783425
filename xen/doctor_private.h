/* SPDX-License-Identifier: MIT */
/* Between the files of the doctor: how a check writes what it finds. */
#ifndef GPUDOM_XEN_DOCTOR_PRIVATE_H
#define GPUDOM_XEN_DOCTOR_PRIVATE_H

#include "xen/doctor.h"

struct doctor_report {
	const struct doctor_facts *facts;
	const char *check; /* the one that runs */
	struct doctor_finding *findings;
	unsigned count;
};

typedef void doctor_check(struct doctor_report *report);

/* Adds a finding; the returned one is for doctor_cure(), never NULL. */
struct doctor_finding *doctor_find(struct doctor_report *report, enum doctor_state state,
    const char *format, ...) __attribute__((format(printf, 3, 4)));

void doctor_cure(struct doctor_finding *finding, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* doctor_checks_gpu.c, doctor_checks_guests.c */
doctor_check doctor_check_render_node, doctor_check_opengl, doctor_check_screen;
doctor_check doctor_check_grant_frames, doctor_check_maptrack_frames, doctor_check_guests;

/* doctor_checks_user.c */
doctor_check doctor_check_user, doctor_check_sandbox, doctor_check_cgroups;

#endif
