/* SPDX-License-Identifier: MIT */
#include "xen/diagnose.h"

#include <errno.h>

#include "xen/privcmd.h"

#define DIAGNOSIS(name, why, how) \
	const struct diagnosis name = { .cause = (why), .cure = (how), .sentence = why ": " how }

static DIAGNOSIS(locked,
    "Linux lets this domain use /dev/xen/privcmd for one guest at most (XSA-482)",
    "boot the driver domain's kernel with xen_privcmd.unrestricted=1");
DIAGNOSIS(diagnosis_no_flask,
    "Xen runs with xsm=silo or xsm=dummy, which let no domU serve another",
    "boot Xen with xsm=flask flask=enforcing and the policy of configs/flask");
static DIAGNOSIS(flask, "FLASK refuses it (see \"avc: denied\" in xl dmesg)",
    "load the policy of configs/flask and give driver domain and guest its labels (seclabel=, "
    "see configs/xl)");
static DIAGNOSIS(no_ioreq, "The hypervisor has no IOREQ servers",
    "on Arm, build Xen with CONFIG_EXPERT and CONFIG_IOREQ_SERVER");
static DIAGNOSIS(no_permission, "This user may not do this",
    "run it as user gpudom, whom configs/udev/70-gpudom.rules lets do it, or as root");
static DIAGNOSIS(no_gntdev, "There is no grant device",
    "the driver domain's kernel needs CONFIG_XEN_GNTDEV (module xen-gntdev)");
static DIAGNOSIS(no_privcmd, "This is no Xen domain, or its kernel lacks CONFIG_XEN_PRIVCMD",
    "load the module xen-privcmd, or build it into the driver domain's kernel");
static DIAGNOSIS(no_restriction,
    "The driver domain's kernel is too old to restrict /dev/xen/privcmd to one guest",
    "boot a newer one, or give the guest grant_usage=1");
static DIAGNOSIS(no_evtchn, "There is no event channel device",
    "the driver domain's kernel needs CONFIG_XEN_DEV_EVTCHN (module xen-evtchn)");
static DIAGNOSIS(no_xenstore, "xenstore is out of reach",
    "this is no Xen domain, its kernel lacks CONFIG_XENFS and /dev/xen/xenbus, or xenstored does "
    "not run");
static const struct diagnosis gone = { "The guest is gone", "", "The guest is gone" };
static const struct diagnosis unknown = { "", "", "" };

static const struct diagnosis *diagnose_hypercall(int error)
{
	switch (-error) {
	case EPERM:
		return privcmd_is_locked() ? &locked : &diagnosis_no_flask;
	case EACCES:
		return &flask;
	case ENOSYS:
	case EOPNOTSUPP:
	case ENODEV:
		return &no_ioreq;
	case ESRCH:
		return &gone;
	default:
		return &unknown;
	}
}

static const struct diagnosis *diagnose_device(int error, const struct diagnosis *missing)
{
	switch (-error) {
	case ENOENT:
	case ENODEV:
	case ENXIO:
		return missing;
	case EACCES:
	case EPERM:
		return &no_permission;
	default:
		return &unknown;
	}
}

const struct diagnosis *diagnose_error(enum diagnose_call call, int error)
{
	switch (call) {
	case DIAGNOSE_DEVICE_MODEL:
	case DIAGNOSE_CREATE_SERVER:
	case DIAGNOSE_IOREQ_PAGE:
	case DIAGNOSE_EVENT_CHANNEL:
		return diagnose_hypercall(error);
	case DIAGNOSE_GRANT_DEVICE:
		return diagnose_device(error, &no_gntdev);
	case DIAGNOSE_FOREIGN_DEVICE:
		if (error == -EXDEV)
			return &locked;
		return error == -ENOTTY ? &no_restriction : diagnose_device(error, &no_privcmd);
	case DIAGNOSE_PRIVCMD_DEVICE:
		return error == -EPERM ? &locked : diagnose_device(error, &no_privcmd);
	case DIAGNOSE_EVTCHN_DEVICE:
		return diagnose_device(error, &no_evtchn);
	case DIAGNOSE_XENSTORE:
		return error == -EACCES || error == -EPERM ? &no_permission : &no_xenstore;
	}
	return &unknown;
}

const char *diagnose(enum diagnose_call call, int error)
{
	return diagnose_error(call, error)->sentence;
}
