/* SPDX-License-Identifier: MIT */
#include "xen/doctor.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "xen/control.h"
#include "xen/diagnose.h"
#include "xen/doctor_private.h"

#define MEMORY_MIN_MIB 256u

/* ------------------------------------------------------------------- findings */

struct doctor_finding *doctor_find(
    struct doctor_report *report, enum doctor_state state, const char *format, ...)
{
	struct doctor_finding *finding = &report->findings[report->count];
	va_list args;

	/* The last place is taken again and again; there are enough for all that is checked. */
	if (report->count < DOCTOR_FINDINGS_MAX - 1)
		report->count++;
	*finding = (struct doctor_finding){ .check = report->check, .state = state };
	va_start(args, format);
	vsnprintf(finding->text, sizeof(finding->text), format, args);
	va_end(args);
	return finding;
}

void doctor_cure(struct doctor_finding *finding, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(finding->cure, sizeof(finding->cure), format, args);
	va_end(args);
}

/* What diagnose.h knows about -errno @error, as gpudomd would say it. */
static void doctor_find_diagnosis(
    struct doctor_report *report, const char *what, enum diagnose_call call, int error)
{
	const struct diagnosis *diagnosis = diagnose_error(call, error);
	bool known = *diagnosis->cause;

	doctor_cure(doctor_find(report, DOCTOR_FAILED, "%s: %s%s%s%s.", what,
			known ? diagnosis->cause : strerror(-error), known ? " (" : "",
			known ? strerror(-error) : "", known ? ")" : ""),
	    "%s", diagnosis->cure);
}

/* --------------------------------------------------------------------- checks */

static void check_domain(struct doctor_report *report)
{
	const struct doctor_facts *facts = report->facts;
	char id[24] = "a domain";

	if (!facts->xen) {
		doctor_cure(doctor_find(report, DOCTOR_FAILED, "This is no Xen domain."),
		    "Run it in the driver domain. Without Xen, gpudom-worker serves any vhost-user "
		    "front end, such as QEMU");
		return;
	}
	if (facts->domid == 0) {
		doctor_cure(doctor_find(report, DOCTOR_WARNING,
				"This is dom0: a guest that breaks out of the renderer is in the "
				"domain that owns the host."),
		    "Run gpudomd in a driver domain (configs/xl/gpudom.cfg)");
		return;
	}
	if (facts->domid > 0)
		snprintf(id, sizeof(id), "domain %d", facts->domid);
	doctor_find(report, DOCTOR_OK, "This is %s of a Xen host, with %u CPU%s.", id, facts->cpus,
	    facts->cpus == 1 ? "" : "s");
}

static void check_privcmd(struct doctor_report *report)
{
	const struct doctor_facts *facts = report->facts;

	if (facts->privcmd < 0)
		doctor_find_diagnosis(report, "/dev/xen/privcmd cannot be opened",
		    DIAGNOSE_PRIVCMD_DEVICE, facts->privcmd);
	else if (facts->hypercall == -EPERM)
		doctor_find_diagnosis(
		    report, "Hypercalls are refused", DIAGNOSE_PRIVCMD_DEVICE, facts->hypercall);
	else
		doctor_find(report, DOCTOR_OK, "Hypercalls can be made (/dev/xen/privcmd).");
}

/* Xen looks the call up before it looks for the domain, which does not exist. */
static void check_ioreq_server(struct doctor_report *report)
{
	switch (-report->facts->device_model) {
	case ESRCH:
		doctor_find(report, DOCTOR_OK, "The hypervisor has IOREQ servers.");
		return;
	case ENOSYS:
	case EOPNOTSUPP:
	case ENODEV:
		doctor_find_diagnosis(report, "No guest's device can be served",
		    DIAGNOSE_DEVICE_MODEL, report->facts->device_model);
		return;
	default:
		doctor_find(report, DOCTOR_UNKNOWN,
		    "Whether the hypervisor has IOREQ servers can be told when hypercalls can be "
		    "made.");
	}
}

/*
 * The three kinds of policy differ in what they say to an event channel for a domain that does
 * not exist: dummy makes it, SILO looks for the domain first, and FLASK hides that there is none.
 */
static void check_policy(struct doctor_report *report)
{
	const struct doctor_facts *facts = report->facts;
	const char *policy;

	switch (-facts->event_channel) {
	case EPERM:
	case EACCES:
		doctor_find(report, DOCTOR_OK, "Xen runs with FLASK%s.",
		    facts->device_count ? ""
					: "; whether its policy lets this domain serve guests, "
					  "an attached guest will show");
		return;
	case 0:
		policy = "dummy";
		break;
	case ESRCH:
		policy = "silo";
		break;
	default:
		doctor_find(report, DOCTOR_UNKNOWN,
		    "Which policy Xen runs with can be told when event channels can be made.");
		return;
	}
	if (facts->domid == 0)
		doctor_find(
		    report, DOCTOR_OK, "Xen runs with xsm=%s, which is enough for dom0.", policy);
	else
		doctor_cure(doctor_find(report, DOCTOR_FAILED,
				"Xen runs with xsm=%s, which lets no domU serve another.", policy),
		    "%s", diagnosis_no_flask.cure);
}

static void check_event_channels(struct doctor_report *report)
{
	if (report->facts->evtchn < 0)
		doctor_find_diagnosis(report, "/dev/xen/evtchn cannot be opened",
		    DIAGNOSE_EVTCHN_DEVICE, report->facts->evtchn);
	else
		doctor_find(report, DOCTOR_OK, "Event channels can be used (/dev/xen/evtchn).");
}

static void check_grants(struct doctor_report *report)
{
	const struct doctor_facts *facts = report->facts;

	if (facts->gntdev < 0)
		doctor_find_diagnosis(report, "/dev/xen/gntdev cannot be opened",
		    DIAGNOSE_GRANT_DEVICE, facts->gntdev);
	else if (facts->grant_copy < 0)
		doctor_cure(doctor_find(report, DOCTOR_FAILED,
				"/dev/xen/gntdev cannot copy from guests: %s.",
				strerror(-facts->grant_copy)),
		    "Use Linux 4.9 or later in the driver domain");
	else
		doctor_find(report, DOCTOR_OK,
		    "Memory that guests grant can be mapped and copied (/dev/xen/gntdev).");
}

/* Nothing was exported: no pages at all are refused by a kernel that could. */
static void check_dmabuf(struct doctor_report *report)
{
	switch (-report->facts->dmabuf) {
	case EINVAL:
		doctor_find(report, DOCTOR_OK, "Guest memory can be exported as dma-bufs.");
		return;
	case ENOTTY:
		doctor_cure(doctor_find(report, DOCTOR_WARNING,
				"Guest memory cannot be exported as dma-bufs: pixels in it are "
				"copied on their way to the screen."),
		    "Build the driver domain's kernel with CONFIG_XEN_GNTDEV_DMABUF and, which it "
		    "needs, CONFIG_XEN_GRANT_DMA_ALLOC");
		return;
	default:
		doctor_find(report, DOCTOR_UNKNOWN,
		    "Whether guest memory can be exported as dma-bufs can be told when there is a "
		    "grant device.");
	}
}

/* A flag that does not exist is what a kernel refuses that knows these calls. */
static void check_eventfds(struct doctor_report *report)
{
	const struct doctor_facts *facts = report->facts;

	if (facts->irqfd == -EINVAL && facts->ioeventfd == -EINVAL)
		doctor_find(report, DOCTOR_OK,
		    "The kernel can pass kicks and interrupts between guests and workers.");
	else if (facts->privcmd != 0)
		doctor_find(report, DOCTOR_UNKNOWN,
		    "Whether the kernel can pass kicks and interrupts on can be told when there is "
		    "/dev/xen/privcmd.");
	else
		doctor_cure(doctor_find(report, DOCTOR_WARNING,
				"The kernel cannot pass %s on between guests and workers: gpudomd "
				"does it, which is slower.",
				facts->irqfd == -EINVAL ? "kicks" : "kicks and interrupts"),
		    "Use Linux 6.7 or later in the driver domain, with CONFIG_XEN_PRIVCMD_EVENTFD and, "
		    "which it needs, CONFIG_XEN_VIRTIO");
}

static void check_mappings(struct doctor_report *report)
{
	switch (report->facts->unpopulated) {
	case DOCTOR_YES:
		doctor_find(
		    report, DOCTOR_OK, "Mapping guest memory costs no memory of this domain.");
		return;
	case DOCTOR_NO:
		doctor_cure(
		    doctor_find(report, DOCTOR_WARNING,
			"Each page of a guest that is mapped costs this domain one of its own, of "
			"%llu MiB in all.",
			(unsigned long long)(report->facts->memory_kib >> 10)),
		    "Build the driver domain's kernel with CONFIG_XEN_UNPOPULATED_ALLOC (it needs "
		    "CONFIG_MEMORY_HOTPLUG, CONFIG_MEMORY_HOTREMOVE and CONFIG_ZONE_DEVICE)");
		return;
	case DOCTOR_CANNOT_TELL:
		doctor_cure(
		    doctor_find(report, DOCTOR_UNKNOWN,
			"The kernel does not say whether mapping guest memory costs memory of this "
			"domain."),
		    "See that it has CONFIG_XEN_UNPOPULATED_ALLOC; with CONFIG_IKCONFIG_PROC it "
		    "would say");
	}
}

static void check_memory(struct doctor_report *report)
{
	uint64_t mib = report->facts->memory_kib >> 10;

	if (mib < MEMORY_MIN_MIB)
		doctor_cure(doctor_find(report, DOCTOR_WARNING,
				"This domain has %llu MiB of memory, which is little for workers "
				"with OpenGL.",
				(unsigned long long)mib),
		    "Give it %u MiB or more (memory= in its xl configuration)", 2 * MEMORY_MIN_MIB);
	else
		doctor_find(report, DOCTOR_OK, "This domain has %llu MiB of memory.",
		    (unsigned long long)mib);
}

static void check_xenstore(struct doctor_report *report)
{
	if (report->facts->xenstore < 0)
		doctor_find_diagnosis(
		    report, "xenstore cannot be used", DIAGNOSE_XENSTORE, report->facts->xenstore);
	else
		doctor_find(report, DOCTOR_OK, "xenstore can be used.");
}

static void check_config(struct doctor_report *report)
{
	const struct doctor_facts *facts = report->facts;

	if (facts->config_error == -ENOENT)
		doctor_find(report, DOCTOR_OK,
		    "There is no %s: every guest gets one output of 1024x768.", facts->config_path);
	else if (facts->config_error)
		doctor_cure(doctor_find(report, DOCTOR_FAILED, "%s cannot be used: %s.",
				facts->config_path, strerror(-facts->config_error)),
		    "See gpudomd --check-config --config=%s", facts->config_path);
	else
		doctor_find(report, DOCTOR_OK, "%s is well-formed.", facts->config_path);
}

static void check_worker(struct doctor_report *report)
{
	const struct doctor_facts *facts = report->facts;

	if (facts->worker < 0)
		doctor_cure(doctor_find(report, DOCTOR_FAILED, "%s cannot be run: %s.",
				facts->worker_path, strerror(-facts->worker)),
		    "Install gpudom-worker beside gpudomd, in ../bin, or in $PATH");
	else
		doctor_find(report, DOCTOR_OK, "Workers are %s.", facts->worker_path);
}

static void check_gpudomd(struct doctor_report *report)
{
	const struct doctor_facts *facts = report->facts;
	bool ready = !strcmp(facts->status, "ready");

	if (facts->pid && ready)
		doctor_find(report, DOCTOR_OK, "gpudomd serves guests (process %d).", facts->pid);
	else if (facts->pid)
		doctor_cure(
		    doctor_find(report, DOCTOR_WARNING,
			"gpudomd runs (process %d), but does not serve guests (yet).", facts->pid),
		    "Look at its log: journalctl -u gpudomd");
	else if (facts->status[0])
		doctor_cure(doctor_find(report, DOCTOR_FAILED,
				"gpudomd has been killed: guests that it served wait for it."),
		    "Start it: systemctl start gpudomd");
	else
		doctor_cure(doctor_find(report, DOCTOR_WARNING, "gpudomd does not run."),
		    "Start it: systemctl start gpudomd");
}

static void check_restart(struct doctor_report *report)
{
	if (!report->facts->pid || report->facts->kept == DOCTOR_CANNOT_TELL)
		doctor_find(report, DOCTOR_UNKNOWN,
		    "Whether guests keep their GPU over a restart of gpudomd can be told by root, "
		    "while it runs.");
	else if (report->facts->kept == DOCTOR_YES)
		doctor_find(report, DOCTOR_OK, "Guests keep their GPU when gpudomd restarts.");
	else
		doctor_cure(
		    doctor_find(report, DOCTOR_WARNING,
			"Nobody keeps gpudomd's descriptors: when it restarts, each guest has to "
			"reset its GPU."),
		    "Start gpudomd by systemd (gpudomd.service), or by gpudom-keeper");
}

static void check_control(struct doctor_report *report)
{
	const struct doctor_facts *facts = report->facts;

	if (!facts->pid) {
		doctor_find(report, DOCTOR_UNKNOWN,
		    "Whether gpudomctl reaches gpudomd can be told while it runs.");
		return;
	}
	switch (-facts->control) {
	case 0:
		doctor_find(report, DOCTOR_OK, "gpudomctl reaches gpudomd (%s).", CONTROL_PATH);
		return;
	case ETIMEDOUT:
		doctor_cure(doctor_find(report, DOCTOR_WARNING,
				"gpudomd does not answer gpudomctl: it hangs, or is very busy."),
		    "Look at its log: journalctl -u gpudomd");
		return;
	case EBUSY:
		doctor_cure(doctor_find(report, DOCTOR_WARNING,
				"gpudomd has as many connections as it takes, and turns gpudomctl "
				"away."),
		    "End some of those that use %s: ss -xp shows them", CONTROL_PATH);
		return;
	case EACCES:
	case EPERM:
		doctor_cure(
		    doctor_find(report, DOCTOR_WARNING, "You may not use %s.", CONTROL_PATH),
		    "Be root, or in the group that gpudomd lets in (--control-group)");
		return;
	default:
		doctor_cure(doctor_find(report, DOCTOR_WARNING,
				"gpudomctl does not reach gpudomd at %s: %s.", CONTROL_PATH,
				strerror(-facts->control)),
		    "See its log, and --control in gpudomd(8)");
	}
}

static const struct {
	const char *name;
	doctor_check *check;
} checks[] = {
	{ "domain", check_domain },
	{ "xenstore", check_xenstore },
	{ "privcmd", check_privcmd },
	{ "ioreq-server", check_ioreq_server },
	{ "policy", check_policy },
	{ "event-channels", check_event_channels },
	{ "grants", check_grants },
	{ "dma-bufs", check_dmabuf },
	{ "eventfds", check_eventfds },
	{ "mappings", check_mappings },
	{ "memory", check_memory },
	{ "render-node", doctor_check_render_node },
	{ "opengl", doctor_check_opengl },
	{ "screen", doctor_check_screen },
	{ "config", check_config },
	{ "worker", check_worker },
	{ "grant-frames", doctor_check_grant_frames },
	{ "maptrack-frames", doctor_check_maptrack_frames },
	{ "gpudomd", check_gpudomd },
	{ "restart", check_restart },
	{ "control", check_control },
	{ "user", doctor_check_user },
	{ "sandbox", doctor_check_sandbox },
	{ "cgroups", doctor_check_cgroups },
	{ "guests", doctor_check_guests },
};

unsigned doctor_examine(
    const struct doctor_facts *facts, struct doctor_finding findings[DOCTOR_FINDINGS_MAX])
{
	struct doctor_report report = { .facts = facts, .findings = findings };

	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
		report.check = checks[i].name;
		checks[i].check(&report);
		/* Outside Xen, all the rest would only say so again. */
		if (!facts->xen)
			break;
	}
	return report.count;
}

int doctor_exit_status(const struct doctor_finding *findings, unsigned count)
{
	enum doctor_state worst = DOCTOR_OK;

	for (unsigned i = 0; i < count; i++)
		if (findings[i].state > worst)
			worst = findings[i].state;
	return worst == DOCTOR_FAILED ? 2 : worst == DOCTOR_WARNING ? 1 : 0;
}

const char *doctor_state_name(enum doctor_state state)
{
	static const char *const names[] = { "ok", "unknown", "warning", "failed" };

	return names[state];
}
