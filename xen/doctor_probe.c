/* SPDX-License-Identifier: MIT */
#include "xen/doctor_probe.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/sysinfo.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <unistd.h>
#include <xen/grant_table.h>
#include <xen/xen.h>
#include <xenstore.h>

/* After xen.h, whose types they use. */
#include <xen/gntdev.h>
#include <xen/hvm/dm_op.h>
#include <xen/sys/evtchn.h>
#include <xen/sys/privcmd.h>

#include "backend/seat_message.h"
#include "xen/control.h"
#include "xen/gntdev.h"
#include "xen/privcmd.h"

/* The last one that Xen could give to a domain. */
#define NO_DOMAIN (DOMID_FIRST_RESERVED - 1)
#define CONTROL_SECONDS 3 /* that gpudomd has to greet */

static int open_device(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int call(int fd, unsigned long request, void *argument)
{
	return ioctl(fd, request, argument) < 0 ? -errno : 0;
}

/* The first @size - 1 bytes of a file; "" where there is none. How many. */
static size_t read_file(const char *path, char *text, size_t size)
{
	FILE *file = fopen(path, "re");
	size_t n = 0;

	if (file) {
		n = fread(text, 1, size - 1, file);
		fclose(file);
	}
	text[n] = '\0';
	return n;
}

/* -------------------------------------------------------------- Xen's interfaces */

/* Asks for a domain's number of vCPUs. */
static int probe_device_model(int privcmd, uint16_t domid)
{
	struct xen_dm_op op = { .op = XEN_DMOP_nr_vcpus };
	privcmd_dm_op_buf_t buffer = { .uptr = &op, .size = sizeof(op) };
	privcmd_dm_op_t dm_op = { .dom = domid, .num = 1, .ubufs = &buffer };

	return call(privcmd, IOCTL_PRIVCMD_DM_OP, &dm_op);
}

static void probe_privcmd(struct doctor_facts *facts)
{
	int fd = open_device("/dev/xen/privcmd");

	facts->privcmd = fd < 0 ? fd : 0;
	facts->hypercall = facts->device_model = DOCTOR_UNTRIED;
	facts->irqfd = facts->ioeventfd = DOCTOR_UNTRIED;
	if (fd < 0)
		return;
	facts->hypercall = privcmd_is_locked() ? -EPERM : 0;
	facts->device_model = probe_device_model(fd, NO_DOMAIN);
	facts->irqfd = privcmd_probe_irqfd(fd);
	facts->ioeventfd = privcmd_probe_ioeventfd(fd);
	close(fd);
}

static void probe_evtchn(struct doctor_facts *facts)
{
	struct ioctl_evtchn_bind_unbound_port bind = { .remote_domain = NO_DOMAIN };
	int fd = open_device("/dev/xen/evtchn");

	facts->evtchn = fd < 0 ? fd : 0;
	facts->event_channel = DOCTOR_UNTRIED;
	if (fd < 0)
		return;
	facts->event_channel = call(fd, IOCTL_EVTCHN_BIND_UNBOUND_PORT, &bind);
	close(fd); /* and the port with it */
}

static void probe_gntdev(struct doctor_facts *facts)
{
	struct ioctl_gntdev_dmabuf_exp_from_refs none = { .count = 0 };
	int fd = gntdev_open();

	facts->gntdev = fd < 0 ? fd : 0;
	facts->grant_copy = facts->dmabuf = DOCTOR_UNTRIED;
	if (fd < 0)
		return;
	facts->grant_copy = gntdev_check(fd);
	facts->dmabuf = call(fd, IOCTL_GNTDEV_DMABUF_EXP_FROM_REFS, &none);
	close(fd);
}

/* ------------------------------------------------------------------- the domain */

/* Is @line in the kernel's configuration, where it can be read? */
static enum doctor_answer probe_option(const char *line)
{
	char command[512], found[128];
	bool readable = false, there = false;
	struct utsname kernel;
	FILE *pipe;

	uname(&kernel);
	/* CONFIG_XEN=y tells that it has been read. */
	snprintf(command, sizeof(command),
	    "{ gzip -dc /proc/config.gz || cat '/boot/config-%s'; } 2>/dev/null | "
	    "grep -x -e CONFIG_XEN=y -e %s",
	    kernel.release, line);
	pipe = popen(command, "re");
	while (pipe && fgets(found, sizeof(found), pipe)) {
		readable = true;
		there |= !strncmp(found, line, strlen(line));
	}
	if (pipe)
		pclose(pipe);
	return !readable ? DOCTOR_CANNOT_TELL : there ? DOCTOR_YES : DOCTOR_NO;
}

/* Once it has mapped a page, such a kernel also has a place for them. */
static enum doctor_answer probe_unpopulated(void)
{
	enum doctor_answer answer = probe_option("CONFIG_XEN_UNPOPULATED_ALLOC=y");
	char line[256];
	FILE *file;

	if (answer != DOCTOR_CANNOT_TELL)
		return answer;
	file = fopen("/proc/iomem", "re");
	while (file && fgets(line, sizeof(line), file))
		if (strstr(line, "Xen scratch"))
			answer = DOCTOR_YES;
	if (file)
		fclose(file);
	return answer;
}

static bool probe_xen(void)
{
	char text[64];

	/* Without CONFIG_XEN_SYS_HYPERVISOR, the device tree (Arm) or the devices tell. */
	if (read_file("/sys/hypervisor/type", text, sizeof(text)))
		return !strncmp(text, "xen", 3);
	if (read_file("/proc/device-tree/hypervisor/compatible", text, sizeof(text)))
		return !strncmp(text, "xen,", 4);
	return !access("/dev/xen", F_OK) || !access("/proc/xen", F_OK);
}

/* --------------------------------------------------------------------- gpudomd */

static bool is_number(const char *text)
{
	for (const char *c = text; *c; c++)
		if (!isdigit((unsigned char)*c))
			return false;
	return *text;
}

static int find_process(const char *name)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	char path[300], comm[32];
	int pid = 0;

	while (proc && !pid && (entry = readdir(proc))) {
		if (!is_number(entry->d_name))
			continue;
		snprintf(path, sizeof(path), "/proc/%s/comm", entry->d_name);
		if (read_file(path, comm, sizeof(comm)) && !strncmp(comm, name, strlen(name)) &&
		    comm[strlen(name)] == '\n')
			pid = (int)strtol(entry->d_name, NULL, 10);
	}
	if (proc)
		closedir(proc);
	return pid;
}

/* As xen/keep.c asks: NOTIFY_SOCKET, and FDSTORE (systemd 254 and later, gpudom-keeper). */
static enum doctor_answer probe_kept(int pid)
{
	char path[64], environment[16384];
	bool notify = false;
	int store = -1;
	size_t n;

	if (!pid)
		return DOCTOR_CANNOT_TELL;
	snprintf(path, sizeof(path), "/proc/%d/environ", pid);
	n = read_file(path, environment, sizeof(environment));
	if (!n)
		return DOCTOR_CANNOT_TELL;
	for (char *e = environment; e < environment + n; e += strlen(e) + 1) {
		notify |= !strncmp(e, "NOTIFY_SOCKET=", 14);
		if (!strncmp(e, "FDSTORE=", 8))
			store = (int)strtol(e + 8, NULL, 10);
	}
	if (notify && store < 0)
		return DOCTOR_CANNOT_TELL;
	return notify && store > 0 ? DOCTOR_YES : DOCTOR_NO;
}

/* gpudomd greets whom it lets in, or says that there are too many. */
static int read_greeting(int fd)
{
	const struct timeval timeout = { .tv_sec = CONTROL_SECONDS };
	struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = CONTROL_PATH };
	char greeting[512];
	ssize_t n;

	if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) < 0 ||
	    connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return errno == EAGAIN ? -ETIMEDOUT : -errno;
	n = recv(fd, greeting, sizeof(greeting) - 1, 0);
	if (n <= 0)
		return n < 0 && errno == EAGAIN ? -ETIMEDOUT : -EPROTO;
	greeting[n] = '\0';
	if (strstr(greeting, "\"busy\""))
		return -EBUSY;
	return strncmp(greeting, "{\"gpudom\":", 10) ? -EPROTO : 0;
}

static int probe_control(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int error = fd < 0 ? -errno : read_greeting(fd);

	if (fd >= 0)
		close(fd);
	return error;
}

/* Whoever connects there, and says nothing, does no harm. */
static bool probe_seat(void)
{
	const struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = SEAT_SOCKET_PATH };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool there =
	    fd >= 0 && (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0 ||
			   errno == EAGAIN);

	if (fd >= 0)
		close(fd);
	return there;
}

/* -------------------------------------------------------------------- xenstore */

/* Copies a value of at most @size - 1 bytes; false (and "") where there is none. */
static bool read_node(struct xs_handle *xs, const char *path, char *value, size_t size)
{
	unsigned length = 0;
	char *found = xs_read(xs, XBT_NULL, path, &length);

	snprintf(value, size, "%s", found ? found : "");
	/* gpudomd's own nodes apart, it may be a guest's text. */
	for (char *c = value; *c; c++)
		if (!isprint((unsigned char)*c))
			*c = '?';
	free(found);
	return found != NULL;
}

static void probe_device(
    struct doctor_facts *facts, struct xs_handle *xs, const char *domid, const char *devid)
{
	struct doctor_device *device = &facts->devices[facts->device_count];
	char path[256], value[64];
	int privcmd;

	snprintf(path, sizeof(path), "backend/virtio/%.8s/%.8s/type", domid, devid);
	if (facts->device_count == DOCTOR_DEVICES_MAX ||
	    !read_node(xs, path, value, sizeof(value)) || strcmp(value, "virtio,device10") != 0)
		return;
	*device = (struct doctor_device){
		.domid = (uint16_t)strtoul(domid, NULL, 10),
		.devid = (unsigned)strtoul(devid, NULL, 10),
		.device_model = DOCTOR_UNTRIED,
	};
	snprintf(path, sizeof(path), "backend/virtio/%.8s/%.8s/state", domid, devid);
	if (read_node(xs, path, value, sizeof(value)))
		device->state = (unsigned)strtoul(value, NULL, 10);
	snprintf(path, sizeof(path), "backend/virtio/%.8s/%.8s/grant_usage", domid, devid);
	device->foreign = read_node(xs, path, value, sizeof(value)) && !strcmp(value, "0");
	snprintf(path, sizeof(path), "backend/virtio/%.8s/%.8s/error", domid, devid);
	read_node(xs, path, device->error, sizeof(device->error));
	snprintf(path, sizeof(path), "/local/domain/%.8s/name", domid);
	read_node(xs, path, device->name, sizeof(device->name));
	privcmd = open_device("/dev/xen/privcmd");
	if (privcmd >= 0) {
		device->device_model = probe_device_model(privcmd, device->domid);
		close(privcmd);
	}
	facts->device_count++;
}

static void probe_devices(struct doctor_facts *facts, struct xs_handle *xs)
{
	unsigned domains = 0, devices;
	char **domids = xs_directory(xs, XBT_NULL, "backend/virtio", &domains), **devids;
	char path[64];

	for (unsigned i = 0; domids && i < domains; i++) {
		devices = 0;
		snprintf(path, sizeof(path), "backend/virtio/%.8s", domids[i]);
		devids = xs_directory(xs, XBT_NULL, path, &devices);
		for (unsigned k = 0; devids && k < devices; k++)
			probe_device(facts, xs, domids[i], devids[k]);
		free(devids);
	}
	free(domids);
}

static void probe_xenstore(struct doctor_facts *facts)
{
	struct xs_handle *xs = xs_open(0);
	char value[16];

	facts->domid = -1;
	if (!xs) {
		facts->xenstore = errno ? -errno : -EIO;
		return;
	}
	if (read_node(xs, "domid", value, sizeof(value)))
		facts->domid = (int)strtol(value, NULL, 10);
	read_node(xs, "drivers/gpudom/status", facts->status, sizeof(facts->status));
	probe_devices(facts, xs);
	xs_close(xs);
}

void doctor_probe(struct doctor_facts *facts)
{
	struct sysinfo info = { .mem_unit = 1 };

	facts->xen = probe_xen();
	facts->cpus = (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
	sysinfo(&info);
	facts->memory_kib = (uint64_t)info.totalram * info.mem_unit >> 10;
	facts->unpopulated = probe_unpopulated();
	probe_privcmd(facts);
	probe_evtchn(facts);
	probe_gntdev(facts);
	if (facts->xen)
		probe_xenstore(facts);
	else
		facts->xenstore = -ENODEV;
	facts->pid = find_process("gpudomd");
	facts->kept = probe_kept(facts->pid);
	facts->control = probe_control();
	facts->seat = probe_seat();
}
