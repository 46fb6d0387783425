/* SPDX-License-Identifier: MIT */
/*
 * For tests: gpudomd in a process of its own that is killed (SIGKILL), or ends, under running
 * guests; what it had kept goes to the next one. The guest, the fake Xen and the keeper live on in
 * the test.
 */
#ifndef GPUDOM_TESTS_XEN_RESTART_RIG_H
#define GPUDOM_TESTS_XEN_RESTART_RIG_H

#include <sys/prctl.h>
#include <sys/wait.h>

#include "tests/xen/daemon_rig.h"
#include "tests/xen/fake_keeper.h"
#include "xen/guest_state.h"

#define FIRST_FD 200       /* of what is handed over */
#define KEPT_FOR_A_GUEST 2 /* state, evtchn */
/* call, error, 2 kicks, pid, control, worker, channel, inflight, telemetry, screen */
#define KEPT_FOR_A_DEVICE 11
#define KEPT (KEPT_FOR_A_GUEST + KEPT_FOR_A_DEVICE)

struct restart_rig {
	struct rig rig; /* first: before_turn() gets it */
	struct fake_keeper keeper;
	pid_t daemon; /* 0: none */
	unsigned turns, kill_at;
	unsigned die_at_call; /* of the daemon's calls of Xen, from its start on; 0: at none */
	/* The kernel forgets an irqfd when the last descriptor of the eventfd is closed. The fake
	 * cannot see that. */
	unsigned dead_irqfds;
};

/* ---------------------------------------------------------------- the daemon */

static inline int daemon_told_to_end(
    sd_event_source *source, const struct signalfd_siginfo *info, void *data)
{
	return sd_event_exit(data, 0);
}

static void (*daemon_forgets)(void); /* what else is the test's; NULL: nothing */
static unsigned calls_to_go;         /* in the daemon's process */

static inline void die_at_call(enum fake_xen_call call)
{
	if (--calls_to_go == 0)
		raise(SIGKILL);
}

static inline void daemon_main(struct restart_rig *r, char **names) __attribute__((noreturn));

static inline void daemon_main(struct restart_rig *r, char **names)
{
	struct daemon_options options = r->rig.options;
	struct gpu_daemon *gpu_daemon;
	struct keep *keep;
	sigset_t signals;
	int result;

	calls_to_go = r->die_at_call;
	fake_xen_on_call = calls_to_go ? die_at_call : NULL;
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	/* As after an exec, it has what was handed over, and nothing of the test's. */
	fake_keeper_forget(&r->keeper);
	if (daemon_forgets)
		daemon_forgets();
	if (sd_event_new(&options.event) < 0 || keep_create(FIRST_FD, names, &keep) < 0)
		_exit(EXIT_FAILURE);
	options.keep = keep;
	sd_event_add_signal(options.event, NULL, SIGTERM, daemon_told_to_end, options.event);
	if (daemon_create(&options, &gpu_daemon) < 0)
		_exit(EXIT_FAILURE);
	result = sd_event_loop(options.event);
	daemon_let_go(gpu_daemon);
	keep_destroy(keep);
	sd_event_unref(options.event);
	_exit(result);
}

static inline void start_daemon(struct restart_rig *r)
{
	char **names;

	fake_keeper_drain(&r->keeper);
	names = fake_keeper_hand_over(&r->keeper, FIRST_FD);
	r->daemon = fork();
	assert_true(r->daemon >= 0);
	if (!r->daemon)
		daemon_main(r, names);
	for (unsigned i = 0; names[i]; i++) {
		close(FIRST_FD + (int)i);
		free(names[i]);
	}
	free(names);
}

static inline void daemon_has_ended(struct restart_rig *r)
{
	r->daemon = 0;
	/* The kernel unmaps what it had, which the fake does not know. */
	fake_guest(FAKE_XEN_GUEST)->mapped = 0;
	fake_xen_handles(); /* counts, and forgets those of dead processes */
	fake_keeper_drain(&r->keeper);
}

static inline void end_daemon(struct restart_rig *r, int signal)
{
	int status;

	kill(r->daemon, signal);
	assert_int_equal(waitpid(r->daemon, &status, 0), r->daemon);
	assert_int_equal(status, signal == SIGTERM ? 0 : W_EXITCODE(0, signal));
	daemon_has_ended(r);
}

static inline void restart(struct restart_rig *r)
{
	end_daemon(r, SIGKILL);
	start_daemon(r);
}

/* ------------------------------------------------------------------- the rig */

static inline void before_turn(struct rig *rig)
{
	struct restart_rig *r = (struct restart_rig *)rig;

	if (r->daemon && ++r->turns == r->kill_at)
		restart(r);
	if (r->die_at_call && waitpid(r->daemon, NULL, WNOHANG) == r->daemon) {
		r->die_at_call = 0;
		daemon_has_ended(r);
		start_daemon(r);
	}
}

/* What happens in shared memory wakes nobody here. */
static inline int tick(sd_event_source *source, uint64_t usec, void *data)
{
	sd_event_source_set_time(source, usec + 500);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static inline int set_up_restart(void **state)
{
	static struct restart_rig r;
	void *plain;

	set_up(&plain);
	r = (struct restart_rig){ .rig = *(struct rig *)plain };
	r.rig.options.config = &r.rig.config;
	r.rig.before_turn = before_turn;
	fake_xen.eventfds = true;
	fake_keeper_init(&r.keeper, r.rig.event);
	assert_true(
	    sd_event_add_time_relative(r.rig.event, NULL, CLOCK_MONOTONIC, 0, 1, tick, NULL) >= 0);
	/* Workers that have lost their gpudomd. */
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	start_daemon(&r);
	*state = &r;
	return 0;
}

static inline int tear_down_restart(void **state)
{
	struct restart_rig *r = *state;

	if (r->daemon)
		end_daemon(r, SIGKILL);
	fake_keeper_finish(&r->keeper);
	unsetenv("GPUDOM_TEST_WORKERS_STOP");
	/* No process is left: what was kept is closed, and so the workers end. */
	while (waitpid(-1, NULL, 0) > 0)
		;
	keep_destroy(r->rig.keep);
	config_finish(&r->rig.config);
	sd_event_unref(r->rig.event);
	fake_xenstore_finish();
	fake_xen_finish();
	fake_gntdev_finish();
	return 0;
}

static inline pid_t kept_pid(struct restart_rig *r, const char *name)
{
	int pidfd = fake_keeper_find(&r->keeper, name);
	pid_t pid = 0;
	char path[64], line[128];
	FILE *file;

	assert_true(pidfd >= 0);
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
	file = fopen(path, "r");
	assert_non_null(file);
	while (fgets(line, sizeof(line), file))
		if (!strncmp(line, "Pid:", 4))
			pid = (pid_t)strtol(line + 4, NULL, 10);
	fclose(file);
	assert_true(pid > 0);
	return pid;
}

static inline pid_t worker_pid(struct restart_rig *r)
{
	return kept_pid(r, "2-0-pid");
}

/* Stops it, and waits until it has stopped. */
static inline void stop_worker(pid_t pid)
{
	char path[64], line[512], *name_end, state = 0;

	kill(pid, SIGSTOP);
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	while (state != 'T') {
		FILE *file = fopen(path, "r");

		assert_non_null(file);
		assert_non_null(fgets(line, sizeof(line), file));
		name_end = strrchr(line, ')');
		assert_non_null(name_end);
		state = name_end[2];
		fclose(file);
	}
}

static inline bool line_is_raised(void)
{
	return fake_line(FAKE_XEN_GUEST, IRQ)->level;
}

static inline void post(unsigned vcpu, bool write, uint32_t offset, uint32_t value)
{
	assert_true(fake_xen_access(FAKE_XEN_GUEST, vcpu, write, BASE + offset, 4, value));
}

static inline unsigned state_of(unsigned vcpu)
{
	return fake_xen_request_state(FAKE_XEN_GUEST, vcpu);
}

static inline uint32_t answer(struct restart_rig *r, unsigned vcpu)
{
	uint64_t value;

	WAIT_FOR(&r->rig, fake_xen_answered(FAKE_XEN_GUEST, vcpu, &value));
	return (uint32_t)value;
}

/* The driver sees the device as it was. */
static inline void assert_unnoticed(struct restart_rig *r)
{
	assert_int_equal(rd(&r->rig, VIRTIO_MMIO_STATUS), 0xf);
	assert_served(&r->rig, 0, 0x5a);
	assert_served(&r->rig, 1, 0x5b);
	assert_int_equal(rd(&r->rig, VIRTIO_MMIO_STATUS), 0xf);
	assert_int_equal(fake_guest(FAKE_XEN_GUEST)->woken_for_nothing, 0);
}

/* Nothing is left of the guest, kept or otherwise. */
static inline void assert_all_gone(struct restart_rig *r)
{
	WAIT_FOR(&r->rig, has(BACKEND "/frontend-id", NULL) && !fake_xen_handles());
	assert_int_equal(fake_xen_servers(), 0);
	WAIT_FOR(&r->rig, fake_xen_bound() == 0);
	WAIT_FOR(&r->rig, fake_xen_irqfds() == r->dead_irqfds);
	WAIT_FOR(&r->rig, r->keeper.count == 0);
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
}

static inline void start(struct restart_rig *r)
{
	start_guest(&r->rig);
	bring_up(&r->rig);
	assert_served(&r->rig, 0, 0x11);
	WAIT_FOR(&r->rig, r->keeper.count == KEPT);
}

#define RESTART_TEST(f) cmocka_unit_test_setup_teardown(f, set_up_restart, tear_down_restart)

#endif
