/* SPDX-License-Identifier: MIT */
#include "xen/diagnose.h"

#include <errno.h>

#include "xen/privcmd.h"

#define LOCKED                                                                                   \
	"Linux lets this domain use /dev/xen/privcmd for one guest at most (XSA-482): boot the " \
	"driver domain's kernel with xen_privcmd.unrestricted=1"
#define NO_FLASK                                                                               \
	"Xen runs with xsm=silo or xsm=dummy, which let no domU serve another: boot Xen with " \
	"xsm=flask flask=enforcing and the policy of configs/flask"
#define FLASK                                                                                   \
	"FLASK refuses it (see \"avc: denied\" in xl dmesg): load the policy of configs/flask " \
	"and give driver domain and guest its labels (seclabel=, see configs/xl)"
#define NO_IOREQ                                                                         \
	"The hypervisor has no IOREQ servers: on Arm, build Xen with CONFIG_EXPERT and " \
	"CONFIG_IOREQ_SERVER"
#define NO_PERMISSION "gpudomd must run as root in the driver domain"
#define GONE "The guest is gone"

static const char *diagnose_hypercall(int error)
{
	switch (-error) {
	case EPERM:
		return privcmd_is_locked() ? LOCKED : NO_FLASK;
	case EACCES:
		return FLASK;
	case ENOSYS:
	case EOPNOTSUPP:
	case ENODEV:
		return NO_IOREQ;
	case ESRCH:
		return GONE;
	default:
		return "";
	}
}

static const char *diagnose_device(int error, const char *missing)
{
	switch (-error) {
	case ENOENT:
	case ENODEV:
	case ENXIO:
		return missing;
	case EACCES:
	case EPERM:
		return NO_PERMISSION;
	default:
		return "";
	}
}

const char *diagnose(enum diagnose_call call, int error)
{
	switch (call) {
	case DIAGNOSE_DEVICE_MODEL:
	case DIAGNOSE_CREATE_SERVER:
	case DIAGNOSE_IOREQ_PAGE:
	case DIAGNOSE_EVENT_CHANNEL:
		return diagnose_hypercall(error);
	case DIAGNOSE_GRANT_DEVICE:
		return diagnose_device(error,
		    "The driver domain's kernel needs CONFIG_XEN_GNTDEV (module xen-gntdev)");
	case DIAGNOSE_PRIVCMD_DEVICE:
		if (error == -EPERM)
			return LOCKED;
		return diagnose_device(error,
		    "This is no Xen domain, or its kernel lacks CONFIG_XEN_PRIVCMD (module "
		    "xen-privcmd)");
	case DIAGNOSE_EVTCHN_DEVICE:
		return diagnose_device(error,
		    "The driver domain's kernel needs CONFIG_XEN_DEV_EVTCHN (module xen-evtchn)");
	case DIAGNOSE_XENSTORE:
		if (error == -EACCES || error == -EPERM)
			return NO_PERMISSION;
		return "xenstore is out of reach: this is no Xen domain, its kernel lacks "
		       "CONFIG_XENFS and /dev/xen/xenbus, or xenstored does not run";
	}
	return "";
}
