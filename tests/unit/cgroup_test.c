/* SPDX-License-Identifier: MIT */
/* Workers' control groups, in a tree of plain files: what the kernel makes there by itself, these
 * tests make. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backend/log.h"
#include "xen/cgroup.h"

#include <cmocka.h>

static const struct guest_policy policy = GUEST_POLICY_DEFAULT;

struct tree {
	char root[64], self[128], base[128];
	struct cgroup_options options;
	struct cgroup *cgroup;
};

static const char *path_of(const struct tree *tree, const char *group, const char *file)
{
	static char path[512];

	snprintf(path, sizeof(path), "%s/%s/%s", tree->base, group, file);
	return path;
}

static void put(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static const char *get(const struct tree *tree, const char *group, const char *name)
{
	static char text[256];
	FILE *file = fopen(path_of(tree, group, name), "r");
	size_t n;

	assert_non_null(file);
	n = fread(text, 1, sizeof(text) - 1, file);
	text[n] = '\0';
	fclose(file);
	return text;
}

static void make_group(const struct tree *tree, const char *group)
{
	static const char *const files[] = { "cgroup.controllers", "cgroup.procs",
		"cgroup.subtree_control", "cpu.weight", "cpu.max", "memory.max", "pids.max",
		"memory.events" };

	mkdir(path_of(tree, group, ""), 0755);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		put(path_of(tree, group, files[i]), "");
}

/* This process is in gpudomd.service. */
static int set_up(void **state)
{
	struct tree *tree = calloc(1, sizeof(*tree));

	log_init(LOG_LEVEL_ERROR, NULL);
	snprintf(tree->root, sizeof(tree->root), "/tmp/gpudom-cgroup-XXXXXX");
	assert_non_null(mkdtemp(tree->root));
	snprintf(tree->self, sizeof(tree->self), "%s/self", tree->root);
	snprintf(tree->base, sizeof(tree->base), "%s/gpudomd.service", tree->root);
	mkdir(tree->base, 0755);
	make_group(tree, ".");
	make_group(tree, "gpudomd");
	make_group(tree, "guest-2-0");
	put(tree->self, "4:memory:/other\n0::/gpudomd.service\n");
	tree->options = (struct cgroup_options){ .mount = tree->root, .self = tree->self };
	*state = tree;
	return 0;
}

static int tear_down(void **state)
{
	struct tree *tree = *state;
	char command[128];

	cgroup_close(tree->cgroup);
	snprintf(command, sizeof(command), "rm -rf %s", tree->root);
	assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c): a path of ours */
	free(tree);
	return 0;
}

static void it_moves_away_and_hands_its_controllers_on(void **state)
{
	struct tree *tree = *state;
	char pid[16];

	assert_int_equal(cgroup_open(&tree->options, &tree->cgroup), 0);
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	assert_string_equal(get(tree, "gpudomd", "cgroup.procs"), pid);
	assert_string_equal(get(tree, ".", "cgroup.procs"), "");
	assert_string_equal(get(tree, ".", "cgroup.subtree_control"), "+pids"); /* the last one */
	cgroup_release(&tree->options);
	assert_string_equal(get(tree, ".", "cgroup.subtree_control"), "-pids");
}

/* A successor that was started in the leaf, or an ExecStartPre=. */
static void its_own_groups_are_known(void **state)
{
	struct tree *tree = *state;
	static const char *const own[] = { "0::/gpudomd.service/gpudomd\n",
		"0::/gpudomd.service/.control\n" };

	for (size_t i = 0; i < 2; i++) {
		put(tree->self, own[i]);
		put(path_of(tree, ".", "cgroup.subtree_control"), "");
		cgroup_release(&tree->options);
		assert_string_equal(get(tree, ".", "cgroup.subtree_control"), "-pids");
	}
}

static void groups_have_what_the_policy_says(void **state)
{
	struct tree *tree = *state;
	struct guest_policy own = policy;
	int procs;

	assert_int_equal(cgroup_open(&tree->options, &tree->cgroup), 0);
	cgroup_set(tree->cgroup, 2, 0, &policy);
	assert_string_equal(get(tree, "guest-2-0", "cpu.weight"), "100");
	assert_string_equal(get(tree, "guest-2-0", "cpu.max"), "max 100000");
	assert_string_equal(get(tree, "guest-2-0", "memory.max"), "max");
	assert_string_equal(get(tree, "guest-2-0", "pids.max"), "512");
	own.cpu_weight = 50;
	own.cpu_max_percent = 150;
	own.memory_max = UINT64_C(5) << 30;
	cgroup_set(tree->cgroup, 2, 0, &own);
	assert_string_equal(get(tree, "guest-2-0", "cpu.weight"), "50");
	assert_string_equal(get(tree, "guest-2-0", "cpu.max"), "150000 100000");
	assert_string_equal(get(tree, "guest-2-0", "memory.max"), "5368709120");
	procs = cgroup_open_procs(tree->cgroup, 2, 0);
	assert_true(procs >= 0);
	assert_int_equal(write(procs, "0", 1), 1);
	close(procs);
	assert_string_equal(get(tree, "guest-2-0", "cgroup.procs"), "0");
	/* What there is no controller for is left alone; a new group is made */
	unlink(path_of(tree, "guest-2-0", "cpu.weight"));
	cgroup_set(tree->cgroup, 2, 0, &policy);
	assert_string_equal(get(tree, "guest-2-0", "memory.max"), "max");
	cgroup_set(tree->cgroup, 3, 1, &policy);
	assert_int_equal(access(path_of(tree, "guest-3-1", ""), F_OK), 0);
	assert_int_equal(cgroup_open_procs(tree->cgroup, 7, 0), -1); /* not there: said, and on */
}

static void a_kill_for_memory_is_noticed_once(void **state)
{
	struct tree *tree = *state;
	uint64_t seen = 0;

	assert_int_equal(cgroup_open(&tree->options, &tree->cgroup), 0);
	put(path_of(tree, "guest-2-0", "memory.events"), "low 0\noom 0\noom_kill 0\n");
	assert_false(cgroup_was_oom_killed(tree->cgroup, 2, 0, &seen));
	put(path_of(tree, "guest-2-0", "memory.events"), "low 0\noom 1\noom_kill 2\n");
	assert_true(cgroup_was_oom_killed(tree->cgroup, 2, 0, &seen));
	assert_false(cgroup_was_oom_killed(tree->cgroup, 2, 0, &seen));
	put(path_of(tree, "guest-2-0", "memory.events"), "oom_kill 3\n");
	assert_true(cgroup_was_oom_killed(tree->cgroup, 2, 0, &seen));
	assert_false(cgroup_was_oom_killed(tree->cgroup, 9, 0, &seen));
	unlink(path_of(tree, "guest-2-0", "memory.events"));
	assert_false(cgroup_was_oom_killed(tree->cgroup, 2, 0, &seen));
}

static void empty_groups_are_removed(void **state)
{
	struct tree *tree = *state;

	mkdir(path_of(tree, "guest-5-0", ""), 0755);
	mkdir(path_of(tree, "other", ""), 0755);
	assert_int_equal(cgroup_open(&tree->options, &tree->cgroup), 0);
	assert_int_equal(access(path_of(tree, "guest-5-0", ""), F_OK), -1); /* a predecessor's */
	mkdir(path_of(tree, "guest-6-0", ""), 0755);
	cgroup_sweep(tree->cgroup);
	assert_int_equal(access(path_of(tree, "guest-6-0", ""), F_OK), -1);
	assert_int_equal(access(path_of(tree, "guest-2-0", ""), F_OK), 0); /* somebody is in it */
	assert_int_equal(access(path_of(tree, "other", ""), F_OK), 0);
}

static void without_any_all_goes_on(void **state)
{
	struct tree *tree = *state;
	uint64_t seen = 0;

	/* Version 1 alone; none at all; not delegated */
	put(tree->self, "4:memory:/gpudomd.service\n");
	assert_int_equal(cgroup_open(&tree->options, &tree->cgroup), -ENOENT);
	unlink(tree->self);
	assert_int_equal(cgroup_open(&tree->options, &tree->cgroup), -ENOENT);
	put(tree->self, "0::/gpudomd.service/../..\n");
	assert_int_equal(cgroup_open(&tree->options, &tree->cgroup), -ENOENT);
	put(tree->self, "0::/gpudomd.service\n");
	unlink(path_of(tree, "gpudomd", "cgroup.procs"));
	assert_int_equal(cgroup_open(&tree->options, &tree->cgroup), -ENOENT);
	unlink(path_of(tree, ".", "cgroup.controllers")); /* hybrid: another kind of directory */
	assert_int_equal(cgroup_open(&tree->options, &tree->cgroup), -ENOENT);
	assert_null(tree->cgroup);
	cgroup_set(NULL, 1, 0, &policy);
	assert_int_equal(cgroup_open_procs(NULL, 1, 0), -1);
	assert_false(cgroup_was_oom_killed(NULL, 1, 0, &seen));
	cgroup_sweep(NULL);
	cgroup_release(&tree->options);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(it_moves_away_and_hands_its_controllers_on),
		TEST(its_own_groups_are_known),
		TEST(groups_have_what_the_policy_says),
		TEST(a_kill_for_memory_is_noticed_once),
		TEST(empty_groups_are_removed),
		TEST(without_any_all_goes_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
