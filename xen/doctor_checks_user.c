/* SPDX-License-Identifier: MIT */
/* Checks of who runs gpudomd, and of what contains its workers. */
#include <errno.h>
#include <string.h>

#include "xen/doctor_private.h"

void doctor_check_user(struct doctor_report *report)
{
	const struct doctor_facts *facts = report->facts;

	if (!facts->user[0] && (facts->pid || facts->user_exists))
		doctor_cure(doctor_find(report, DOCTOR_WARNING,
				"gpudomd runs as root, which it does not need."),
		    "Start it by gpudomd.service, or as user gpudom (gpudomd(8), WITHOUT ROOT)");
	else if (!facts->user[0])
		doctor_cure(doctor_find(report, DOCTOR_WARNING,
				"There is no user gpudom: gpudomd would have to run as root."),
		    "Make it: systemd-sysusers, or useradd --system --user-group gpudom");
	else if (facts->denied[0])
		doctor_cure(doctor_find(report, DOCTOR_FAILED, "User %s may not open %s.",
				facts->user, facts->denied),
		    "Install configs/udev/70-gpudom.rules, and run udevadm control --reload and "
		    "udevadm trigger --subsystem-match=misc; or chown %s those files",
		    facts->user);
	else
		doctor_find(report, DOCTOR_OK,
		    "gpudomd %s user %s, not root, who may open Xen's devices.",
		    facts->pid ? "runs as" : "can run as", facts->user);
}

void doctor_check_sandbox(struct doctor_report *report)
{
	const struct doctor_facts *facts = report->facts;

	if (!facts->seccomp)
		doctor_cure(doctor_find(report, DOCTOR_FAILED,
				"The kernel cannot limit workers' system calls, and workers do not "
				"start without that."),
		    "Build the driver domain's kernel with CONFIG_SECCOMP_FILTER");
	else if (facts->namespaces == DOCTOR_UNTRIED)
		doctor_find(report, DOCTOR_UNKNOWN,
		    "Whether workers get namespaces of their own can be told by root.");
	else if (facts->namespaces < 0 || facts->namespaces_missing[0])
		doctor_cure(
		    doctor_find(report, DOCTOR_WARNING,
			"Workers' sandboxes lack %s%s%s: their system calls are limited, but "
			"they see this domain's files and processes.",
			facts->namespaces < 0 ? "namespaces (" : "",
			facts->namespaces < 0 ? strerror(-facts->namespaces)
					      : facts->namespaces_missing,
			facts->namespaces < 0 ? ")" : ""),
		    "Let user %s make user namespaces: CONFIG_USER_NS and the others of "
		    "configs/kernel, the sysctls user.max_user_namespaces, "
		    "kernel.unprivileged_userns_clone and "
		    "kernel.apparmor_restrict_unprivileged_userns; not from inside a chroot",
		    facts->user[0] ? facts->user : "root");
	else
		doctor_find(report, DOCTOR_OK,
		    "Workers get namespaces of their own, and a list of system calls.");
}

void doctor_check_cgroups(struct doctor_report *report)
{
	switch (-report->facts->cgroup) {
	case 0:
		doctor_find(report, DOCTOR_OK, "Each worker gets a control group.");
		return;
	case -DOCTOR_UNTRIED:
		doctor_find(report, DOCTOR_UNKNOWN,
		    "Whether each worker gets a control group can be told while gpudomd runs.");
		return;
	case ENOENT:
		doctor_cure(doctor_find(report, DOCTOR_WARNING,
				"There are no control groups (version 2): workers share CPUs and "
				"memory without limits."),
		    "Mount cgroup2 on /sys/fs/cgroup");
		return;
	default:
		doctor_cure(doctor_find(report, DOCTOR_WARNING,
				"gpudomd may not make control groups (%s): workers share CPUs and "
				"memory without limits.",
				strerror(-report->facts->cgroup)),
		    "Start it by gpudomd.service, whose Delegate= allows it, or give its control "
		    "group to its user (gpudomd(8), WITHOUT ROOT)");
	}
}
