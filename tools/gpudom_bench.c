/* SPDX-License-Identifier: MIT */
/*
 * gpudom-bench: how long requests take through a vhost-user GPU back end, with our own
 * driver as the guest (tests/loopback). It runs gpudom-worker and, where there is one, QEMU's
 * contrib vhost-user-gpu at the same time, and lets them take turns.
 */
#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "render/virgl.h"
#include "tools/bench_backend.h"
#include "tools/bench_floor.h"
#include "tools/bench_recovery.h"
#include "tools/bench_report.h"
#include "tools/bench_seat.h"

#define TRIPS 500 /* round trips of a kind in one round */
#define SAMPLES 8 /* of each kind of transfer in one round */
#define QUEUED 4  /* frames in the queue at once */
#define WARM_UP 3 /* rounds that do not count */
#define ROUNDS 15
#define RSS_LIMIT_MB 40 /* beyond what EGL and virglrenderer take */

/* BARE: what the machine takes without any back end, eventfds and memcpy */
enum column {
	WORKER,
	WORKER_OPEN,
	WORKER_TRACED,
	WORKER_PLAIN,
	WORKER_SOCKET,
	PEER,
	PEER_2D,
	BARE,
	COLUMNS
};

/*
 * Where guest and back end run. Left to itself the scheduler puts them now on one processor, now on
 * two, and a round trip takes three times as long there: mostly the time that waking a
 * processor takes. So each is measured by itself.
 */
enum placement { ANYWHERE, ONE_CPU, TWO_CPUS };

struct bench {
	cpu_set_t all, cpus[2]; /* that we may use; the first and the last of them */
	const char *worker, *peer, *json;
	bool tracing;
	const char *plain; /* a worker without probes */
	unsigned rounds;
	struct bench_backend backends[BARE];
	bool running[BARE];
	struct bench_floor floor;
	void *frame; /* where memcpy puts what it copies */
	struct bench_report report;
};

static const char help[] =
    "Usage: gpudom-bench --worker=PATH [--peer=PATH] [OPTION...]\n"
    "Measures gpudom-worker beside memcpy and QEMU's vhost-user-gpu, on llvmpipe.\n"
    "\n"
    "  --worker=PATH    gpudom-worker\n"
    "  --peer=PATH      vhost-user-gpu of QEMU's contrib; none: it is left out\n"
    "  --tracing[=PATH] also with a trace being written; PATH: and this worker, which was\n"
    "                   built without probes (make WITH_USDT=0)\n"
    "  --rounds=N       measure N times and give medians (1 to 200, default 15)\n"
    "  --json=FILE      write all numbers there too; -: standard output, without a table\n"
    "  --recovery=N     only kill the worker N times, and print how long that takes its guest\n"
    "  --seat=PATH      only present frames on gpudom-seat: PATH is the socket of one that runs, or\n"
    "                   the program, and then the screen is memory; --rounds=N: N times 10 frames\n"
    "  --baseline-rss   only start EGL and virglrenderer, print VmRSS in KiB, and end\n"
    "  --help\n"
    "\n"
    "\"Bare machine\" is a memcpy of the same bytes, or an eventfd to another process and back;\n"
    "where that wakes another processor, it is most of a round trip.\n"
    "The exit status tells whether it could measure, not whether the targets are met.\n";

/* ---------------------------------------------------------------- one round */

static const struct trip {
	uint64_t (*measure)(struct bench_backend *backend);
	const char *key50, *text50, *key99, *text99;
	enum placement placement;
	bool needs_3d;
} trips[] = {
	{ bench_display_info, "display_info_1_p50", "GET_DISPLAY_INFO, one CPU, p50",
	    "display_info_1_p99", "p99", ONE_CPU, false },
	{ bench_display_info, "display_info_2_p50", "GET_DISPLAY_INFO, two CPUs, p50",
	    "display_info_2_p99", "p99", TWO_CPUS, false },
	{ bench_fenced_submit, "fenced_submit_1_p50", "empty SUBMIT_3D, one CPU, p50",
	    "fenced_submit_1_p99", "p99", ONE_CPU, true },
	{ bench_fenced_submit, "fenced_submit_2_p50", "empty SUBMIT_3D, two CPUs, p50",
	    "fenced_submit_2_p99", "p99", TWO_CPUS, true },
	{ bench_draw_frame, "frame_1_p50", "triangle and flush, one CPU, p50", "frame_1_p99", "p99",
	    ONE_CPU, true },
	{ bench_draw_frame, "frame_2_p50", "triangle and flush, two CPUs, p50", "frame_2_p99",
	    "p99", TWO_CPUS, true },
};

static void place(const struct bench *bench, enum placement placement)
{
	const cpu_set_t *guest = placement == ANYWHERE ? &bench->all : &bench->cpus[0];
	const cpu_set_t *backend = placement == TWO_CPUS ? &bench->cpus[1] : guest;

	/* Of a back end it is the first thread that serves the queues. */
	sched_setaffinity(0, sizeof(*guest), guest);
	sched_setaffinity(bench->floor.pid, sizeof(*backend), backend);
	for (unsigned c = 0; c < BARE; c++)
		if (bench->running[c])
			sched_setaffinity(bench->backends[c].renderer, sizeof(*backend), backend);
}

static void find_cpus(struct bench *bench)
{
	int last = -1;

	sched_getaffinity(0, sizeof(bench->all), &bench->all);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &bench->all))
			continue;
		if (last < 0)
			CPU_SET(cpu, &bench->cpus[0]);
		last = cpu;
	}
	if (last >= 0)
		CPU_SET(last, &bench->cpus[1]);
}

static void measure_trips(
    struct bench *bench, enum column column, const struct trip *trip, bool count)
{
	static double values[TRIPS];
	struct bench_row *p50 =
	    bench_report_row(&bench->report, trip->key50, trip->text50, "us", 1);
	struct bench_row *p99 =
	    bench_report_row(&bench->report, trip->key99, trip->text99, "us", 1);

	for (unsigned i = 0; i < TRIPS; i++)
		values[i] = (double)(column == BARE ? bench_floor_trip(&bench->floor)
						    : trip->measure(&bench->backends[column])) /
			    1000;
	if (!count)
		return;
	bench_row_add(p50, column, bench_quantile(values, TRIPS, 0.5));
	bench_row_add(p99, column, bench_quantile(values, TRIPS, 0.99));
}

/* Nanoseconds for @count frames, by a device or by our own memcpy */
static uint64_t time_frames(
    struct bench *bench, enum column column, enum bench_backing backing, unsigned count)
{
	uint64_t ns = 0;

	if (column != BARE)
		return bench_transfers(&bench->backends[column], backing, count);
	for (unsigned i = 0; i < count; i++)
		ns += bench_memcpy(&bench->backends[WORKER], backing, bench->frame);
	return ns;
}

/* MB/s, the median of SAMPLES: short ones, so that most of them run undisturbed. @count frames
 * are in the queue at once; with 1, two wake-ups come with each frame. */
static void measure_frames(struct bench *bench, enum bench_backing backing, unsigned queued,
    struct bench_row *row, bool count)
{
	double values[COLUMNS][SAMPLES];

	for (unsigned i = 0; i < SAMPLES; i++)
		for (unsigned c = 0; c < COLUMNS; c++)
			if (c == BARE || bench->running[c])
				values[c][i] = (double)BENCH_FRAME_SIZE * queued * 1000 /
					       (double)time_frames(bench, c, backing, queued);
	for (unsigned c = 0; count && c < COLUMNS; c++)
		if (c == BARE || bench->running[c])
			bench_row_add(row, c, bench_quantile(values[c], SAMPLES, 0.5));
}

static void measure_round(struct bench *bench, bool count)
{
	struct bench_report *report = &bench->report;

	for (unsigned i = 0; i < sizeof(trips) / sizeof(trips[0]); i++) {
		place(bench, trips[i].placement);
		for (unsigned c = 0; c < COLUMNS; c++)
			if (c == BARE || (bench->running[c] &&
					     (bench->backends[c].has_3d || !trips[i].needs_3d)))
				measure_trips(bench, c, &trips[i], count);
	}
	place(bench, ANYWHERE);
	struct bench_row *contiguous = bench_report_row(
	    report, "transfer_contiguous", "1920x1080 to host, contiguous", "MB/s", 0);
	struct bench_row *scattered = bench_report_row(
	    report, "transfer_scattered", "1920x1080 to host, pages apart", "MB/s", 0);
	struct bench_row *single =
	    bench_report_row(report, "transfer_single", "the same, one at a time", "MB/s", 0);

	measure_frames(bench, BENCH_CONTIGUOUS, QUEUED, contiguous, count);
	measure_frames(bench, BENCH_SCATTERED, QUEUED, scattered, count);
	measure_frames(bench, BENCH_SCATTERED, 1, single, count);
}

/* ---------------------------------------------------------------- memory */

/* What --baseline-rss prints; in a process of its own, because it must be fresh. */
static int run_baseline(void)
{
	struct virgl_options options = { .capsets = VIRGL_CAPSETS_ALL };
	struct renderer *renderer;
	int ret = virgl_create(&options, &renderer);

	if (ret < 0)
		return EXIT_FAILURE;
	printf("%llu\n", (unsigned long long)bench_private_rss_kib(getpid()));
	renderer->impl->destroy(renderer);
	return EXIT_SUCCESS;
}

/* In KiB; 0 where it could not be found out. */
static uint64_t measure_baseline(void)
{
	char line[32] = "";
	FILE *pipe = popen("exec /proc/$PPID/exe --baseline-rss", "re");

	if (!pipe)
		return 0;
	if (!fgets(line, sizeof(line), pipe))
		line[0] = '\0';
	return pclose(pipe) == 0 ? strtoull(line, NULL, 10) : 0;
}

static void measure_memory(struct bench *bench, uint64_t baseline_kib)
{
	struct bench_row *idle =
	    bench_report_row(&bench->report, "rss_idle", "resident, connected and idle", "MB", 1);
	struct bench_row *busy = bench_report_row(
	    &bench->report, "rss_busy", "resident after this, with two frames", "MB", 1);
	struct bench_row *monitor = bench_report_row(
	    &bench->report, "rss_monitor", "and its monitor, much of it shared", "MB", 1);

	for (unsigned c = 0; c < BARE; c++) {
		struct bench_backend *backend = &bench->backends[c];
		if (!bench->running[c])
			continue;
		bench_row_add(idle, c, (double)backend->idle_rss_kib / 1024);
		bench_row_add(busy, c, (double)bench_private_rss_kib(backend->renderer) / 1024);
		if (backend->renderer != backend->process.pid)
			bench_row_add(
			    monitor, c, (double)bench_private_rss_kib(backend->process.pid) / 1024);
	}
	bench_report_target(&bench->report,
	    "idle worker's resident MB beyond EGL and virglrenderer", baseline_kib != 0,
	    ((double)bench->backends[WORKER].idle_rss_kib - (double)baseline_kib) / 1024,
	    RSS_LIMIT_MB, true);
}

/* ---------------------------------------------------------------- targets */

static void judge_ratio(struct bench *bench, const char *text, const char *key, enum column column,
    enum column of, double limit, bool at_most)
{
	const struct bench_row *row = bench_report_row(&bench->report, key, NULL, NULL, 0);
	double ratio = 0;
	bool known = bench_cell_ratio(&row->cells[column], &row->cells[of], &ratio);

	bench_report_target(&bench->report, text, known, ratio, limit, at_most);
}

static void judge_tracing(struct bench *bench)
{
	judge_ratio(bench, "GET_DISPLAY_INFO: tracing / not, one CPU", "display_info_1_p50",
	    WORKER_TRACED, WORKER, 1.25, true);
	judge_ratio(bench, "a frame: tracing / not, one CPU", "frame_1_p50", WORKER_TRACED, WORKER,
	    1.1, true);
	judge_ratio(bench, "GET_DISPLAY_INFO: with probes / without, one CPU", "display_info_1_p50",
	    WORKER, WORKER_PLAIN, 1.05, true);
	judge_ratio(bench, "a frame: with probes / without, one CPU", "frame_1_p50", WORKER,
	    WORKER_PLAIN, 1.05, true);
}

static void judge(struct bench *bench)
{
	judge_ratio(bench, "GET_DISPLAY_INFO / vhost-user-gpu, one CPU", "display_info_1_p50",
	    WORKER, PEER, 0.5, true);
	judge_ratio(bench, "... two CPUs", "display_info_2_p50", WORKER, PEER, 0.5, true);
	judge_ratio(bench, "... both asking a display socket, one CPU", "display_info_1_p50",
	    WORKER_SOCKET, PEER, 0.5, true);
	judge_ratio(bench, "... both asking a display socket, two CPUs", "display_info_2_p50",
	    WORKER_SOCKET, PEER, 0.5, true);
	judge_ratio(bench, "fenced empty SUBMIT_3D / vhost-user-gpu, one CPU",
	    "fenced_submit_1_p50", WORKER, PEER, 0.5, true);
	judge_ratio(bench, "... two CPUs", "fenced_submit_2_p50", WORKER, PEER, 0.5, true);
	judge_ratio(bench, "a frame / without sandbox, one CPU", "frame_1_p50", WORKER, WORKER_OPEN,
	    1.1, true);
	judge_ratio(bench, "... two CPUs", "frame_2_p50", WORKER, WORKER_OPEN, 1.1, true);
	if (bench->tracing)
		judge_tracing(bench);
	judge_ratio(bench, "transfer of contiguous pages: worker / memcpy", "transfer_contiguous",
	    WORKER, BARE, 0.8, false);
	judge_ratio(bench, "transfer of pages apart: worker / memcpy", "transfer_scattered", WORKER,
	    BARE, 0.8, false);
	judge_ratio(bench, "the same, one at a time", "transfer_single", WORKER, BARE, 0.8, false);
}

/* ---------------------------------------------------------------- all of it */

static int start_backends(struct bench *bench)
{
	const char *const argvs[BARE][6] = {
		[WORKER] = { bench->worker, "--fd={fd}", "--renderer=virgl", "--refresh=0", NULL },
		[WORKER_OPEN] = { bench->worker, "--fd={fd}", "--renderer=virgl", "--refresh=0",
		    "--sandbox=off", NULL },
		[WORKER_TRACED] = { bench->tracing ? bench->worker : NULL, "--fd={fd}",
		    "--renderer=virgl", "--refresh=0", NULL },
		[WORKER_PLAIN] = { bench->plain, "--fd={fd}", "--renderer=virgl", "--refresh=0",
		    NULL },
		[WORKER_SOCKET] = { bench->worker, "--fd={fd}", "--renderer=virgl",
		    "--display=frontend", NULL },
		[PEER] = { bench->peer, "--fd={fd}", "--virgl", "--render-node=/dev/null", NULL },
		[PEER_2D] = { bench->peer, "--fd={fd}", NULL },
	};
	const char *const names[COLUMNS] = {
		[WORKER] = "gpudom-worker",
		[WORKER_OPEN] = "no sandbox",
		[WORKER_TRACED] = bench->tracing ? "tracing" : NULL,
		[WORKER_PLAIN] = bench->plain ? "no probes" : NULL,
		[WORKER_SOCKET] = "+display socket",
		[PEER] = "vhost-user-gpu",
		[PEER_2D] = "its 2D",
		[BARE] = "bare machine",
	};

	bench->report.column_count = COLUMNS;
	memcpy(bench->report.columns, names, sizeof(names));
	for (unsigned c = 0; c < BARE; c++) {
		bench->backends[c] = (struct bench_backend){
			.name = names[c],
			.argv = argvs[c],
			.gpu_socket = c >= WORKER_SOCKET,
			.traced = c == WORKER_TRACED,
			.has_3d = c != PEER_2D,
		};
		if (!argvs[c][0])
			continue;
		int ret = bench_backend_start(&bench->backends[c]);
		if (ret < 0 && c == WORKER)
			return ret;
		/* Without one of the others its column stays empty, and says so. */
		bench->running[c] = ret == 0;
	}
	return 0;
}

static int run_bench(struct bench *bench)
{
	uint64_t baseline_kib = measure_baseline();
	int ret;

	bench->frame = aligned_alloc(LOOPBACK_PAGE, BENCH_FRAME_SIZE);
	if (!bench->frame)
		return -ENOMEM;
	find_cpus(bench);
	ret = bench_floor_start(&bench->floor);
	if (ret == 0)
		ret = start_backends(bench);
	if (ret < 0)
		goto stop;
	for (unsigned round = 0; round < WARM_UP + bench->rounds; round++) {
		measure_round(bench, round >= WARM_UP);
		if (isatty(STDERR_FILENO))
			fprintf(stderr, "\rround %u of %u ", round + 1, WARM_UP + bench->rounds);
	}
	if (isatty(STDERR_FILENO))
		fputc('\n', stderr);
	judge(bench);
	measure_memory(bench, baseline_kib);
	if (!bench->json || strcmp(bench->json, "-") != 0)
		bench_report_print(&bench->report);
	if (bench->json)
		ret = bench_report_write_json(&bench->report, bench->json);

stop:
	for (unsigned c = 0; c < BARE; c++)
		if (bench->running[c])
			bench_backend_stop(&bench->backends[c]);
	bench_floor_stop(&bench->floor);
	free(bench->frame);
	return ret;
}

int main(int argc, char **argv)
{
	enum {
		OPT_WORKER = 256,
		OPT_PEER,
		OPT_TRACING,
		OPT_ROUNDS,
		OPT_JSON,
		OPT_RECOVERY,
		OPT_SEAT,
		OPT_BASELINE,
		OPT_HELP
	};
	static const struct option options[] = {
		{ "worker", required_argument, NULL, OPT_WORKER },
		{ "peer", required_argument, NULL, OPT_PEER },
		{ "tracing", optional_argument, NULL, OPT_TRACING },
		{ "rounds", required_argument, NULL, OPT_ROUNDS },
		{ "json", required_argument, NULL, OPT_JSON },
		{ "recovery", required_argument, NULL, OPT_RECOVERY },
		{ "seat", required_argument, NULL, OPT_SEAT },
		{ "baseline-rss", no_argument, NULL, OPT_BASELINE },
		{ "help", no_argument, NULL, OPT_HELP },
		{ 0 },
	};
	static struct bench bench = { .rounds = ROUNDS };
	const char *seat = NULL;
	unsigned kills = 0;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case OPT_WORKER:
			bench.worker = optarg;
			break;
		case OPT_PEER:
			bench.peer = optarg;
			break;
		case OPT_TRACING:
			bench.tracing = true;
			bench.plain = optarg;
			break;
		case OPT_ROUNDS:
			bench.rounds = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case OPT_JSON:
			bench.json = optarg;
			break;
		case OPT_RECOVERY:
			kills = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case OPT_SEAT:
			seat = optarg;
			break;
		case OPT_BASELINE:
			return run_baseline();
		case OPT_HELP:
			fputs(help, stdout);
			return EXIT_SUCCESS;
		default:
			return EXIT_FAILURE;
		}
	}
	if (!bench.worker || optind < argc || bench.rounds < 1 || bench.rounds > BENCH_ROUNDS_MAX) {
		fputs(help, stderr);
		return EXIT_FAILURE;
	}
	if (seat)
		return bench_seat(bench.worker, seat, bench.rounds * 10) < 0 ? EXIT_FAILURE
									     : EXIT_SUCCESS;
	if (kills)
		return bench_recovery(bench.worker, kills) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
	return run_bench(&bench) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
