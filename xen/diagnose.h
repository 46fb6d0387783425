/* SPDX-License-Identifier: MIT */
/* What a failure of Xen's interfaces means, and what to do about it. */
#ifndef GPUDOM_XEN_DIAGNOSE_H
#define GPUDOM_XEN_DIAGNOSE_H

/* The part of Xen that refused. */
enum diagnose_call {
	DIAGNOSE_DEVICE_MODEL,  /* device-model operations: IOREQ server, interrupt */
	DIAGNOSE_CREATE_SERVER, /* create_ioreq_server, which also makes event channels */
	DIAGNOSE_IOREQ_PAGE,    /* mapping the IOREQ server's page */
	DIAGNOSE_EVENT_CHANNEL,
	DIAGNOSE_GRANT_DEVICE,   /* /dev/xen/gntdev */
	DIAGNOSE_FOREIGN_DEVICE, /* /dev/xen/privcmd, restricted to one guest */
	DIAGNOSE_PRIVCMD_DEVICE, /* /dev/xen/privcmd */
	DIAGNOSE_EVTCHN_DEVICE,  /* /dev/xen/evtchn */
	DIAGNOSE_XENSTORE,
};

struct diagnosis {
	const char *cause;    /* a clause: what is wrong */
	const char *cure;     /* a clause: what to do */
	const char *sentence; /* both; "" where nothing is known, and so are the others */
};

/* What EPERM of a hypercall means where privcmd is not locked. */
extern const struct diagnosis diagnosis_no_flask;

/* The cause of -errno @error and its cure; never NULL. Static. */
const struct diagnosis *diagnose_error(enum diagnose_call call, int error);

/* The same as one sentence for a log; never NULL. Static. */
const char *diagnose(enum diagnose_call call, int error);

#endif
