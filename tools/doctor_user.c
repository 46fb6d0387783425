/* SPDX-License-Identifier: MIT */
#include "tools/doctor_user.h"

#include <errno.h>
#include <grp.h>
#include <linux/seccomp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tools/worker_sandbox.h"

#define USER_NAME "gpudom"
/* What a worker gets later, and always. */
#define NOT_NAMESPACES                                                                        \
	(WORKER_SANDBOX_EMPTY_ROOT | WORKER_SANDBOX_NO_CAPABILITIES | WORKER_SANDBOX_LIMITS | \
	    WORKER_SANDBOX_NO_NEW_PRIVILEGES | WORKER_SANDBOX_SYSTEM_CALLS)
#define CGROUP_ROOT "/sys/fs/cgroup"

struct answer {
	int namespaces, cgroup;
	uint32_t bits;
	bool denied[8];
};

static const char *const devices[] = { "/dev/xen/privcmd", "/dev/xen/hypercall", "/dev/xen/gntdev",
	"/dev/xen/evtchn", "/dev/xen/xenbus" };
#define DEVICE_COUNT (sizeof(devices) / sizeof(devices[0]))

/* Of a running gpudomd, or of the user that it should have. NULL: root's. */
static const struct passwd *find_user(struct doctor_facts *facts)
{
	const struct passwd *user = getpwnam(USER_NAME);
	struct stat status;
	char path[32];

	facts->user_exists = user != NULL;
	snprintf(path, sizeof(path), "/proc/%d", facts->pid);
	if (facts->pid && stat(path, &status) == 0)
		user = getpwuid(status.st_uid);
	return user && user->pw_uid ? user : NULL;
}

/* gpudomd's own control group, as it is shown in this process's namespace; false: there is no
 * version 2. */
static bool find_cgroup(int pid, char *path, size_t size)
{
	char file[32], line[512];
	bool found = false;
	FILE *stream;

	snprintf(file, sizeof(file), "/proc/%d/cgroup", pid);
	stream = fopen(file, "re");
	while (stream && !found && fgets(line, sizeof(line), stream)) {
		line[strcspn(line, "\n")] = '\0';
		found = !strncmp(line, "0::/", 4);
	}
	if (stream)
		fclose(stream);
	snprintf(path, size, CGROUP_ROOT "%s", found ? line + 3 : "");
	return found && !access(CGROUP_ROOT "/cgroup.controllers", F_OK);
}

/* May it make groups beside or below that of gpudomd? As the user. */
static int try_cgroup(const char *path)
{
	char copy[600], *slash;

	if (!*path)
		return -ENOENT;
	if (!access(path, W_OK))
		return 0;
	snprintf(copy, sizeof(copy), "%s", path);
	slash = strrchr(copy, '/');
	if (slash)
		*slash = '\0';
	return access(copy, W_OK) < 0 ? -errno : 0;
}

/* In a child, which becomes the user. */
static void examine(const struct passwd *user, const char *cgroup, struct answer *answer)
{
	if (user && geteuid() != user->pw_uid &&
	    (initgroups(user->pw_name, user->pw_gid) < 0 || setgid(user->pw_gid) < 0 ||
		setuid(user->pw_uid) < 0)) {
		answer->namespaces = answer->cgroup = DOCTOR_UNTRIED;
		return;
	}
	/* Else its files in /proc would be root's, and it could not map its ids. */
	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	/* Without it, set-user-ID programs would be let into namespaces; workers have it, too. */
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	for (size_t i = 0; i < DEVICE_COUNT; i++)
		answer->denied[i] = access(devices[i], R_OK | W_OK) < 0 && errno == EACCES;
	answer->cgroup = try_cgroup(cgroup);
	answer->namespaces = worker_sandbox_unshare(&answer->bits);
}

static void note_denied(struct doctor_facts *facts, const struct answer *answer)
{
	size_t used = 0;

	for (size_t i = 0; i < DEVICE_COUNT; i++)
		if (answer->denied[i] && used < sizeof(facts->denied))
			used += (size_t)snprintf(facts->denied + used, sizeof(facts->denied) - used,
			    "%s%s", used ? ", " : "", devices[i]);
}

static bool seccomp_filters(void)
{
	uint32_t action = SECCOMP_RET_KILL_PROCESS;

	return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
}

void doctor_user_probe(struct doctor_facts *facts)
{
	const struct passwd *user = find_user(facts);
	struct answer answer = { .namespaces = -EIO, .cgroup = DOCTOR_UNTRIED };
	char cgroup[600];
	int ends[2];
	pid_t child;

	snprintf(facts->user, sizeof(facts->user), "%s", user ? user->pw_name : "");
	facts->seccomp = seccomp_filters();
	if (!find_cgroup(facts->pid ? facts->pid : getpid(), cgroup, sizeof(cgroup)))
		*cgroup = '\0';
	facts->namespaces = DOCTOR_UNTRIED;
	facts->cgroup = DOCTOR_UNTRIED;
	if (pipe(ends) < 0)
		return;
	child = fork();
	if (child == 0) {
		examine(user, cgroup, &answer);
		_exit(write(ends[1], &answer, sizeof(answer)) != sizeof(answer));
	}
	close(ends[1]);
	if (child > 0 && read(ends[0], &answer, sizeof(answer)) == sizeof(answer)) {
		facts->namespaces = answer.namespaces;
		worker_sandbox_describe_missing(answer.bits | NOT_NAMESPACES,
		    facts->namespaces_missing, sizeof(facts->namespaces_missing));
		facts->cgroup = *cgroup && !facts->pid ? DOCTOR_UNTRIED : answer.cgroup;
		note_denied(facts, &answer);
	}
	close(ends[0]);
	if (child > 0)
		waitpid(child, NULL, 0);
}
