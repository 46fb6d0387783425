/* SPDX-License-Identifier: MIT */
/*
 * A Xen for tests, in place of libxendevicemodel, libxenforeignmemory, libxenevtchn and
 * xen/privcmd.c; and the guests' side of it. It behaves as Xen 4.20 and Linux 6.12 on Arm do,
 * errors included (xen_script.c compares it with the real one), and aborts where Xen would crash a
 * guest.
 *
 * All of it lies in shared memory and belongs to no process: what a process has made outlives its
 * handles, and a fork()ed process that is killed leaves behind what a killed gpudomd does.
 */
#ifndef GPUDOM_TESTS_XEN_FAKE_XEN_H
#define GPUDOM_TESTS_XEN_FAKE_XEN_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define FAKE_XEN_GUEST 2 /* domain id of the first guest */
#define FAKE_XEN_SELF 1  /* ours */
#define FAKE_XEN_GUESTS 8
#define FAKE_XEN_VCPUS 4
#define FAKE_XEN_SERVERS 8 /* Xen's MAX_NR_IOREQ_SERVERS */
#define FAKE_XEN_RANGES 16 /* Xen has 256 */
#define FAKE_XEN_PORTS 128
#define FAKE_XEN_DEVICES 16 /* open /dev/xen/evtchn */
#define FAKE_XEN_HANDLES 128
#define FAKE_XEN_KICKS 32
#define FAKE_XEN_IRQ_FIRST 32
#define FAKE_XEN_IRQS 32 /* interrupts 32 to 63 */

/* Calls that can be told to fail. */
#define FAKE_XEN_CALLS(X)   \
	X(DEVICEMODEL_OPEN) \
	X(MEMORY_OPEN)      \
	X(EVTCHN_OPEN)      \
	X(EVTCHN_FDOPEN)    \
	X(PRIVCMD_OPEN)     \
	X(RESTRICT)         \
	X(NR_VCPUS)         \
	X(CREATE_SERVER)    \
	X(SERVER_INFO)      \
	X(SERVER_STATE)     \
	X(DESTROY_SERVER)   \
	X(MAP_RANGE)        \
	X(UNMAP_RANGE)      \
	X(SET_IRQ_LEVEL)    \
	X(MAP_RESOURCE)     \
	X(BIND)             \
	X(UNBIND)           \
	X(PENDING)          \
	X(UNMASK)           \
	X(NOTIFY)           \
	X(IRQFD)            \
	X(IOEVENTFD)

enum fake_xen_call {
#define X(name) FAKE_XEN_##name,
	FAKE_XEN_CALLS(X)
#undef X
	    FAKE_XEN_CALL_COUNT
};

struct fake_range {
	bool used;
	uint64_t start, end; /* inclusive */
};

struct fake_server {
	bool used, enabled, has_page;
	unsigned index; /* of its page */
	uint32_t remote[FAKE_XEN_VCPUS];
	struct fake_range ranges[FAKE_XEN_RANGES];
};

struct fake_line {
	unsigned raised, lowered;
	bool level;
};

struct fake_guest {
	uint16_t domid;
	bool exists; /* also as a zombie: dying, but something of it is mapped */
	bool dying, paused;
	unsigned vcpus, mapped;
	uint32_t next_port;
	struct fake_server servers[FAKE_XEN_SERVERS];
	struct fake_line lines[FAKE_XEN_IRQS];
	unsigned raised; /* of all lines */
	struct {
		unsigned server;  /* that its open request went to */
		bool open, woken; /* woken: the device model has notified it */
		bool flickers;    /* ... and the kernel's handler has it in its hands */
		uint8_t seen;     /* state of its request: it never goes backwards */
	} vcpu[FAKE_XEN_VCPUS];
	unsigned woken_for_nothing;
	unsigned fast_kicks; /* that the kernel took */
};

/* An eventfd that the kernel knows. */
struct fake_eventfd {
	bool used;
	uint64_t identity;
	pid_t pid; /* where ... */
	int fd;    /* ... this is one for it */
};

struct fake_xen_machine {
	pthread_mutex_t lock;
	bool eventfds; /* irqfd and ioeventfd are known */
	bool flickers; /* as the kernel's ioeventfd handler: a write shows INPROCESS for a moment */

	struct fake_guest guests[FAKE_XEN_GUESTS];
	struct {
		struct fake_eventfd eventfd;
		uint16_t domid;
		uint32_t irq;
	} irqfds[FAKE_XEN_KICKS];
	struct {
		struct fake_eventfd eventfd;
		uint16_t domid;
		unsigned server;
		uint64_t base;
		uint32_t queue;
	} kicks[FAKE_XEN_KICKS];

	/* What processes hold */
	struct {
		pid_t pid; /* 0: free */
	} handles[FAKE_XEN_HANDLES];
	unsigned restricted; /* handles that were */
	struct {
		bool open;
		int write_fd; /* its events go in here */
		ino_t inode;
		bool is_restricted;
		uint16_t domid; /* that it is restricted to */
	} devices[FAKE_XEN_DEVICES];
	struct {
		bool used, connected; /* connected: the guest's end is there */
		unsigned device, server, vcpu;
		uint16_t domid;
		uint32_t remote;
		bool masked, pending;
	} ports[FAKE_XEN_PORTS];

	struct {
		unsigned calls; /* so far */
		unsigned first, times;
		int error;
	} calls[FAKE_XEN_CALL_COUNT];
};

/* The one that fake_xen_reset() has made. */
extern struct fake_xen_machine *fake_xen_state;
#define fake_xen (*fake_xen_state)

/* Begins anew with one guest, FAKE_XEN_GUEST. */
void fake_xen_reset(unsigned vcpus);
void fake_xen_finish(void);

/* ------------------------------------------------------------------- faults */

/* Of the calls to come, @times from the @nth on (1: the next one) fail with @error. */
void fake_xen_fail(enum fake_xen_call call, unsigned nth, unsigned times, int error);
void fake_xen_heal(void);
const char *fake_xen_call_name(enum fake_xen_call call);
unsigned fake_xen_calls(void); /* so far, of all kinds */
/* Called at the beginning of each call, to do what happens just then; NULL: nothing. */
extern void (*fake_xen_on_call)(enum fake_xen_call call);

/* ---------------------------------------------------- what is there, and left */

unsigned fake_xen_handles(void); /* that living processes have open */
unsigned fake_xen_servers(void); /* of all guests */
unsigned fake_xen_ranges(void);
unsigned fake_xen_bound(void); /* ports of ours */
unsigned fake_xen_irqfds(void);
unsigned fake_xen_kicks(void);

/* -------------------------------------------------------------------- guests */

/* A guest of that id, which must not exist; and one that exists. */
struct fake_guest *fake_xen_create_guest(uint16_t domid, unsigned vcpus);
struct fake_guest *fake_guest(uint16_t domid);
/* Its domain dies, whatever is going on. It stays a zombie for as long as it has pages mapped. */
void fake_xen_destroy_guest(uint16_t domid);
/* Its vCPUs run no more: accesses that are open stay so. */
void fake_xen_pause_guest(uint16_t domid, bool paused);
struct fake_line *fake_line(uint16_t domid, uint32_t irq);

/* A vCPU accesses memory. False: no server claims the address (a data abort). It is answered
 * when fake_xen_answered() says so; no other access of that vCPU may begin before. */
bool fake_xen_access(
    uint16_t domid, unsigned vcpu, bool write, uint64_t address, uint32_t size, uint64_t value);
/* A request of any type (IOREQ_TYPE_*), to the first server. */
void fake_xen_request(uint16_t domid, unsigned vcpu, uint8_t type, uint64_t address);
bool fake_xen_answered(uint16_t domid, unsigned vcpu, uint64_t *value);
/* State of the vCPU's request (STATE_IOREQ_*) */
unsigned fake_xen_request_state(uint16_t domid, unsigned vcpu);

/* What the kernel and Xen do by themselves, to be called between turns of the event loop: raise
 * what irqfd was signalled, end a flicker. True: something was done. */
bool fake_xen_step(void);

/* ----------------------------------------------- between the parts of the fake */

struct fake_handle {
	unsigned slot;
	bool is_restricted;
	uint16_t domid; /* that it is restricted to */
	int fd;         /* of an event channel device */
};

/* Locks; checks that no request went backwards, and frees what dead processes held. Answers to
 * it: fake_xen_leave(), which returns -1 with errno where @error is not 0. */
int fake_xen_enter(enum fake_xen_call call); /* the error that the call must fail with */
int fake_xen_leave(int error);
void fake_xen_lock(void);
void fake_xen_unlock(void);
struct fake_handle *fake_xen_open(void);
void fake_xen_close(struct fake_handle *handle);
struct fake_guest *fake_xen_find(uint16_t domid); /* NULL: none */
void *fake_xen_page(const struct fake_server *server);
int fake_xen_page_fd(void);
size_t fake_xen_page_offset(const struct fake_server *server);
int fake_eventfd_id(int fd, uint64_t *identity);
int fake_eventfd_here(struct fake_eventfd *eventfd); /* in this process; -1: nowhere any more */

/* fake_evtchn.c */
void fake_evtchn_reset(void);
void fake_evtchn_finish(void);
void fake_evtchn_sweep(void);                                 /* devices that nobody has open */
void fake_evtchn_send(uint16_t domid, uint32_t remote);       /* the guest's end signals ours */
void fake_evtchn_disconnect(uint16_t domid, unsigned server); /* its end is closed */
bool fake_evtchn_is_idle(uint16_t domid, uint32_t remote);    /* the last event was handled */

#endif
