/* SPDX-License-Identifier: MIT */
/* gpudomctl top on a terminal. */
#include <poll.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <termios.h>

#include "tests/xen/control_rig.h"
#include "tools/ctl.h"

struct screen {
	int fd; /* the terminal's other end */
	pid_t pid;
	char text[1 << 18]; /* all that was written */
	size_t used, seen;
};

static void screen_run(struct screen *screen, struct winsize *size)
{
	char *command[] = { (char *)"top", argument, (char *)"--interval=0.1", NULL };
	struct termios cooked;

	memset(screen, 0, sizeof(*screen));
	screen->pid = forkpty(&screen->fd, NULL, NULL, size);
	assert_true(screen->pid >= 0);
	if (!screen->pid) {
		setenv("TERM", "xterm", 1);
		unsetenv("NO_COLOR");
		_exit(ctl_top(3, command));
	}
	assert_int_equal(fcntl(screen->fd, F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(tcgetattr(screen->fd, &cooked), 0);
	assert_true(cooked.c_lflag & ECHO);
}

/* Is @words in what was written since the last one was found? */
static bool screen_shows(struct screen *screen, const char *words)
{
	ssize_t n =
	    read(screen->fd, screen->text + screen->used, sizeof(screen->text) - 1 - screen->used);
	char *found;

	screen->used += n > 0 ? (size_t)n : 0;
	screen->text[screen->used] = '\0';
	found = strstr(screen->text + screen->seen, words);
	if (!found)
		return false;
	screen->seen = (size_t)(found - screen->text) + strlen(words);
	return true;
}

static int screen_end(struct rig *rig, struct screen *screen)
{
	int status;

	/* Before, so that what it writes at its end is not lost */
	WAIT_FOR(rig, screen_shows(screen, "\033[?1049l"));
	WAIT_FOR(rig, waitpid(screen->pid, &status, WNOHANG) == screen->pid);
	assert_true(WIFEXITED(status));
	close(screen->fd);
	return WEXITSTATUS(status);
}

static struct screen screen;

static void keys_and_sizes(void **state)
{
	struct winsize size = { .ws_row = 24, .ws_col = 120 };
	struct rig *rig = *state;
	struct termios modes;

	start_guest(rig);
	screen_run(&screen, &size);
	WAIT_FOR(rig, screen_shows(&screen, "\033[?1049h"));
	WAIT_FOR(rig, screen_shows(&screen, "sorted by cpu"));
	WAIT_FOR(rig, screen_shows(&screen, "BACKING"));
	WAIT_FOR(rig, screen_shows(&screen, "\033[32mserving"));
	assert_int_equal(tcgetattr(screen.fd, &modes), 0);
	assert_false(modes.c_lflag & (ECHO | ICANON));
	assert_int_equal(write(screen.fd, "s", 1), 1);
	WAIT_FOR(rig, screen_shows(&screen, "sorted by memory"));
	assert_int_equal(write(screen.fd, "xs", 2), 2);
	WAIT_FOR(rig, screen_shows(&screen, "sorted by guest"));
	/* Narrow: columns that do not fit are not there. */
	size.ws_col = 23;
	assert_int_equal(ioctl(screen.fd, TIOCSWINSZ, &size), 0);
	WAIT_FOR(rig, screen_shows(&screen, "FRAMES/\033[0m\033[K\r\n"));
	assert_int_equal(write(screen.fd, "q", 1), 1);
	assert_int_equal(screen_end(rig, &screen), 0);
}

static void gpudomd_is_restarted_meanwhile(void **state)
{
	struct winsize size = { .ws_row = 24, .ws_col = 120 };
	struct rig *rig = *state;

	start_guest(rig);
	screen_run(&screen, &size);
	WAIT_FOR(rig, screen_shows(&screen, "clock"));
	close_control();
	WAIT_FOR(rig, screen_shows(&screen, "waiting for it"));
	open_control(rig);
	WAIT_FOR(rig, screen_shows(&screen, "sorted by cpu\033[K"));
	WAIT_FOR(rig, screen_shows(&screen, "clock"));
	/* As its user's session ends, or by Ctrl-C */
	assert_int_equal(kill(screen.pid, SIGTERM), 0);
	assert_int_equal(screen_end(rig, &screen), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		CONTROL_TEST(keys_and_sizes),
		CONTROL_TEST(gpudomd_is_restarted_meanwhile),
	};
	int result;

	if (daemon_rig_main(argc, argv, &result))
		return result;
	result = cmocka_run_group_tests_name("gpudomctl top", tests, NULL, NULL);
	free(self);
	return result;
}
