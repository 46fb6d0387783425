/* SPDX-License-Identifier: MIT */
/*
 * The KMS backend alone, without a seat: shows pictures that are known, and says what happens.
 *
 * usage: kms_show [CARD]       (default: all cards); commands from standard input, one a line, and
 * one line of answer to each, "COMMAND OUTPUT: done" or what was wrong; the rest to standard error:
 *   outputs                   "NAME on|off|none WxH@mHz MODES modes EDID bytes; " for each
 *   mode OUTPUT off|WxH[@mHz]
 *   show OUTPUT [LAYER...]    and waits for the flip; a layer: PICTURE,X,Y,WxH[,OPTION...];
 *                             PICTURE: a (opaque), b (opaque), h (with holes), and the same in
 *                             capitals: a dma-buf of udmabuf; OPTION: size=WxH (of the picture,
 * scaled), alpha=N, flip test OUTPUT [LAYER...]    would it be shown? cursor OUTPUT X Y|none    a
 * cursor of one colour move OUTPUT X Y expect OUTPUT FILE.png    what the last show and cursor
 * should look like flips OUTPUT N            N flips of all, then "flips N in MS ms" moves OUTPUT N
 * N moves of the cursor while frames are flipped; times of both wait WORD                 until
 * something happened: active, inactive, outputs sleep MS
 */
/* NOLINTBEGIN(cert-err34-c): what scripts write */
#include <drm_fourcc.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/udmabuf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "backend/log.h"
#include "render/kms.h"
#include "render/png.h"

#define MANY SEAT_LAYERS_MAX
#define CURSOR_COLOUR 0xff20c0e0

struct picture {
	struct seat_fb *fb;
	uint32_t *pixels; /* as drawn, without padding, ARGB */
	uint32_t width, height;
	bool holes, flip;
};

struct shown {
	struct picture pictures[MANY];
	struct seat_layer layers[MANY];
	unsigned count;
};

struct show {
	sd_event *event;
	struct seat_session *session;
	struct seat_backend *backend;
	struct shown now[SEAT_OUTPUTS_MAX];
	bool cursor[SEAT_OUTPUTS_MAX];
	int32_t cursor_x[SEAT_OUTPUTS_MAX], cursor_y[SEAT_OUTPUTS_MAX];
	unsigned flips[SEAT_OUTPUTS_MAX];
	uint64_t flip_ns[SEAT_OUTPUTS_MAX];
	unsigned active, inactive, outputs; /* events */
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* ---------------------------------------------------------------- events */

static void handle_flipped(
    void *data, struct seat_output *output, uint64_t sequence, uint64_t time_ns)
{
	struct show *show = data;

	show->flips[output->index]++;
	show->flip_ns[output->index] = time_ns;
}

static void handle_outputs(void *data)
{
	struct show *show = data;

	show->outputs++;
	fprintf(stderr, "event outputs\n");
}

static void handle_active(void *data, bool active)
{
	struct show *show = data;

	*(active ? &show->active : &show->inactive) += 1;
	fprintf(stderr, "event %s\n", active ? "active" : "inactive");
}

/* False: after two seconds nothing has come. */
static bool wait_count(struct show *show, const unsigned *count, unsigned than, unsigned seconds)
{
	uint64_t end = now_ns() + seconds * UINT64_C(1000000000);

	while (*count == than && now_ns() < end)
		sd_event_run(show->event, 100000);
	return *count != than;
}

static void sleep_ms(struct show *show, unsigned ms)
{
	uint64_t end = now_ns() + ms * UINT64_C(1000000);

	while (now_ns() < end)
		sd_event_run(show->event, (end - now_ns()) / 1000);
}

/* ---------------------------------------------------------------- pictures */

static uint32_t pixel_of(char kind, uint32_t x, uint32_t y)
{
	switch (kind) {
	case 'a':
		return 0xff000000 | (x & 0xff) << 16 | (y & 0xff) << 8 | ((x ^ y) & 0xff);
	case 'b':
		return 0xff000000 | ((x * 3 + y * 7) & 0xff) * 0x10101;
	default:
		return (x / 16 + y / 16) % 2 ? 0 : 0xff0000c0 | (x & 0xff) << 8;
	}
}

static struct seat_fb *import_picture(
    struct show *show, struct seat_output *output, const struct picture *picture)
{
	size_t size = ((size_t)picture->width * picture->height * 4 + 4095) & ~(size_t)4095;
	int file = memfd_create("picture", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int device = open("/dev/udmabuf", O_RDWR | O_CLOEXEC);
	struct udmabuf_create create = { .memfd = (uint32_t)file, .size = size };
	struct display_dmabuf dmabuf;
	struct seat_fb *fb = NULL;
	int rc;

	if (file < 0 || device < 0 || ftruncate(file, (off_t)size) < 0 ||
	    pwrite(file, picture->pixels, (size_t)picture->width * picture->height * 4, 0) < 0 ||
	    fcntl(file, F_ADD_SEALS, F_SEAL_SHRINK) < 0)
		err(1, "picture");
	dmabuf = (struct display_dmabuf){
		.fd = ioctl(device, UDMABUF_CREATE, &create),
		.width = picture->width,
		.height = picture->height,
		.stride = picture->width * 4,
		.fourcc = picture->holes ? DRM_FORMAT_ARGB8888 : DRM_FORMAT_XRGB8888,
		.modifier = DRM_FORMAT_MOD_LINEAR,
		.y0_top = !picture->flip,
	};
	if (dmabuf.fd < 0)
		err(1, "udmabuf");
	rc = show->backend->impl->import(show->backend, output, &dmabuf, &fb);
	if (rc < 0)
		fprintf(stderr, "import: %s\n", strerrorname_np(-rc));
	close(dmabuf.fd);
	close(device);
	close(file);
	return fb;
}

static struct seat_fb *draw_picture(
    struct show *show, struct seat_output *output, const struct picture *picture)
{
	struct seat_fb *fb = NULL;
	uint8_t *to;
	int rc = show->backend->impl->allocate(
	    show->backend, output, picture->width, picture->height, picture->holes, &fb);

	if (rc < 0) {
		fprintf(stderr, "allocate: %s\n", strerrorname_np(-rc));
		return NULL;
	}
	to = show->backend->impl->map(show->backend, fb);
	if (!to)
		err(1, "map");
	for (uint32_t y = 0; y < picture->height; y++)
		memcpy(to + (size_t)y * fb->stride, picture->pixels + (size_t)y * picture->width,
		    (size_t)picture->width * 4);
	return fb;
}

static bool parse_layer(struct show *show, struct seat_output *output, char *text, struct shown *to)
{
	struct picture *picture = &to->pictures[to->count];
	struct seat_layer *layer = &to->layers[to->count];
	unsigned alpha = UINT16_MAX;
	char *rest = NULL;
	char *word;
	char kind;
	int n = 0;

	if (to->count == MANY)
		errx(1, "too many layers");
	layer->fence_fd = -1;
	if (sscanf(text, "%c,%d,%d,%ux%u%n", &kind, &layer->x, &layer->y, &layer->width,
		&layer->height, &n) != 5)
		errx(1, "layer '%s'", text);
	picture->width = layer->width;
	picture->height = layer->height;
	for (word = strtok_r(text + n, ",", &rest); word; word = strtok_r(NULL, ",", &rest)) {
		sscanf(word, "size=%ux%u", &picture->width, &picture->height);
		sscanf(word, "alpha=%u", &alpha);
		picture->flip |= !strcmp(word, "flip");
	}
	layer->alpha = (uint16_t)alpha;
	picture->holes = kind == 'h' || kind == 'H';
	picture->pixels = calloc((size_t)picture->width * picture->height, 4);
	if (!picture->pixels)
		err(1, "picture");
	for (uint32_t y = 0; y < picture->height; y++)
		for (uint32_t x = 0; x < picture->width; x++)
			picture->pixels[(size_t)y * picture->width + x] =
			    pixel_of((char)(kind | 32), x, y);
	picture->fb = kind < 'a' ? import_picture(show, output, picture)
				 : draw_picture(show, output, picture);
	layer->fb = picture->fb;
	layer->source = (struct display_rect){ 0, 0, picture->width, picture->height };
	to->count++;
	return picture->fb;
}

static void free_shown(struct show *show, struct shown *shown)
{
	for (unsigned i = 0; i < shown->count; i++) {
		show->backend->impl->free(show->backend, shown->pictures[i].fb);
		free(shown->pictures[i].pixels);
	}
	shown->count = 0;
}

/* ---------------------------------------------------------------- commands */

static struct seat_output *find_output(struct show *show, const char *name)
{
	for (unsigned i = 0; name && i < show->backend->output_count; i++) {
		if (!strcmp(show->backend->outputs[i]->name, name))
			return show->backend->outputs[i];
	}
	return NULL;
}

static void list_outputs(struct show *show)
{
	for (unsigned i = 0; i < show->backend->output_count; i++) {
		const struct seat_output *o = show->backend->outputs[i];

		printf("%s %s %ux%u@%u %u modes %zu bytes; ", o->name,
		    !o->connected   ? "none"
		    : o->mode.width ? "on"
				    : "off",
		    o->mode.width, o->mode.height, o->mode.refresh, o->mode_count, o->edid_size);
	}
	printf("\n");
}

static int flip(struct show *show, struct seat_output *output, const struct shown *shown)
{
	unsigned before = show->flips[output->index];
	int rc =
	    show->backend->impl->commit(show->backend, output, shown->layers, shown->count, false);

	if (rc == 0 && !wait_count(show, &show->flips[output->index], before, 3))
		rc = -ETIMEDOUT;
	return rc;
}

static void show_layers(struct show *show, struct seat_output *output, char *rest, bool test)
{
	struct shown shown = { 0 };
	bool whole = true;
	char *word;
	int rc = -EINVAL;

	while ((word = strsep(&rest, " ")))
		whole &= !*word || parse_layer(show, output, word, &shown);
	if (whole && test)
		rc = show->backend->impl->commit(
		    show->backend, output, shown.layers, shown.count, true);
	else if (whole)
		rc = flip(show, output, &shown);
	printf("%s %s: %s\n", test ? "test" : "show", output->name,
	    rc ? strerrorname_np(-rc) : "done");
	if (rc == 0 && !test) {
		free_shown(show, &show->now[output->index]);
		show->now[output->index] = shown;
	} else {
		free_shown(show, &shown);
	}
}

static void set_mode(struct show *show, struct seat_output *output, const char *text)
{
	struct seat_mode mode = { 0 };
	int rc;

	sscanf(text, "%ux%u@%u", &mode.width, &mode.height, &mode.refresh);
	rc = show->backend->impl->set_mode(show->backend, output, &mode);
	printf("mode %s: %s\n", output->name, rc ? strerrorname_np(-rc) : "done");
}

static void set_cursor(struct show *show, struct seat_output *output, const char *text, bool move)
{
	static struct display_cursor cursor;
	int32_t *x = &show->cursor_x[output->index];
	int32_t *y = &show->cursor_y[output->index];
	bool visible = sscanf(text, "%d %d", x, y) == 2;
	int rc;

	for (unsigned i = 0; i < DISPLAY_CURSOR_SIZE * DISPLAY_CURSOR_SIZE; i++)
		cursor.pixels[i] = i % DISPLAY_CURSOR_SIZE < 32 ? CURSOR_COLOUR : 0;
	if (move)
		rc = show->backend->impl->move_cursor(show->backend, output, *x, *y);
	else
		rc = show->backend->impl->set_cursor(
		    show->backend, output, visible ? &cursor : NULL, *x, *y);
	if (rc == 0)
		show->cursor[output->index] = visible;
	printf("cursor %s: %s\n", output->name, rc ? strerrorname_np(-rc) : "done");
}

static void paint(uint32_t *to, const struct seat_output *output, int64_t x, int64_t y, uint32_t p)
{
	if (x >= 0 && y >= 0 && x < output->mode.width && y < output->mode.height && p >> 24)
		to[(size_t)y * output->mode.width + (size_t)x] = p & 0xffffff;
}

static void write_expected(struct show *show, const struct seat_output *output, const char *path)
{
	const struct shown *shown = &show->now[output->index];
	uint32_t *all = calloc((size_t)output->mode.width * output->mode.height, 4);

	if (!all)
		err(1, "picture");
	for (unsigned i = 0; i < shown->count; i++) {
		const struct picture *p = &shown->pictures[i];

		for (uint32_t y = 0; y < p->height; y++)
			for (uint32_t x = 0; x < p->width; x++)
				paint(all, output, shown->layers[i].x + (int64_t)x,
				    shown->layers[i].y + (int64_t)y,
				    p->pixels[(size_t)(p->flip ? p->height - 1 - y : y) * p->width +
					      x]);
	}
	for (int y = 0; show->cursor[output->index] && y < DISPLAY_CURSOR_SIZE; y++)
		for (int x = 0; x < 32; x++)
			paint(all, output, show->cursor_x[output->index] + (int64_t)x,
			    show->cursor_y[output->index] + (int64_t)y, CURSOR_COLOUR);
	if (png_write_xrgb(path, output->mode.width, output->mode.height, all,
		(size_t)output->mode.width * 4) < 0)
		errx(1, "%s", path);
	free(all);
	printf("expect %s: done\n", output->name);
}

static void measure_flips(struct show *show, struct seat_output *output, unsigned count)
{
	uint64_t start = now_ns();
	struct timespec cpu[2];
	int rc = 0;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu[0]);
	for (unsigned i = 0; i < count && rc == 0; i++)
		rc = flip(show, output, &show->now[output->index]);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu[1]);
	printf("flips %u in %llu ms, %lld us of CPU each: %s\n", count,
	    (unsigned long long)(now_ns() - start) / 1000000,
	    (long long)((cpu[1].tv_sec - cpu[0].tv_sec) * 1000000 +
			(cpu[1].tv_nsec - cpu[0].tv_nsec) / 1000) /
		(count ? count : 1),
	    rc ? strerrorname_np(-rc) : "done");
}

/* As <linux/sw_sync.h>, which is not installed */
struct sw_sync_create_fence_data {
	uint32_t value;
	char name[32];
	int32_t fence;
};
#define SW_SYNC_IOC_CREATE_FENCE _IOWR('W', 0, struct sw_sync_create_fence_data)
#define SW_SYNC_IOC_INC _IOW('W', 1, uint32_t)

/* If moving the cursor waited for the flip, it would wait for ever. */
static void flip_fenced(struct show *show, struct seat_output *output)
{
	struct sw_sync_create_fence_data create = { .value = 1, .name = "kms_show" };
	struct shown *shown = &show->now[output->index];
	int timeline = open("/sys/kernel/debug/sync/sw_sync", O_RDWR | O_CLOEXEC);
	unsigned before = show->flips[output->index];
	unsigned early;
	uint32_t one = 1;
	int rc;

	if (timeline < 0 || ioctl(timeline, SW_SYNC_IOC_CREATE_FENCE, &create) < 0)
		err(1, "sw_sync");
	shown->layers[0].fence_fd = create.fence;
	rc = show->backend->impl->commit(show->backend, output, shown->layers, shown->count, false);
	shown->layers[0].fence_fd = -1;
	sleep_ms(show, 200);
	early = show->flips[output->index] - before;
	show->cursor_x[output->index] += 5;
	if (rc == 0)
		rc = show->backend->impl->move_cursor(show->backend, output,
		    show->cursor_x[output->index], show->cursor_y[output->index]);
	ioctl(timeline, SW_SYNC_IOC_INC, &one);
	if (rc == 0 && !wait_count(show, &show->flips[output->index], before, 3))
		rc = -ETIMEDOUT;
	close(create.fence);
	close(timeline);
	printf("fence %s: %s\n", output->name,
	    rc      ? strerrorname_np(-rc)
	    : early ? "too early"
		    : "done");
}

/* Moves the cursor eight times a frame, while every frame is flipped. */
static void measure_moves(struct show *show, struct seat_output *output, unsigned count)
{
	const struct shown *shown = &show->now[output->index];
	unsigned first = show->flips[output->index];
	uint64_t start = now_ns();
	uint64_t worst = 0;
	uint64_t all = 0;
	int rc = 0;

	for (unsigned i = 0; i < count; i++) {
		uint64_t before = now_ns();
		uint64_t took;

		rc = show->backend->impl->move_cursor(
		    show->backend, output, (int32_t)(i % 200), (int32_t)(i % 100));
		took = now_ns() - before;
		all += took;
		worst = took > worst ? took : worst;
		show->backend->impl->commit(
		    show->backend, output, shown->layers, shown->count, false);
		sd_event_run(show->event, 2000);
	}
	show->cursor_x[output->index] = (int32_t)((count - 1) % 200);
	show->cursor_y[output->index] = (int32_t)((count - 1) % 100);
	wait_count(show, &show->flips[output->index], show->flips[output->index], 1);
	printf("moves %u in %llu ms: %llu us each, the worst %llu us; %u flips: %s\n", count,
	    (unsigned long long)(now_ns() - start) / 1000000,
	    (unsigned long long)all / (count ? count : 1) / 1000, (unsigned long long)worst / 1000,
	    show->flips[output->index] - first, rc ? strerrorname_np(-rc) : "done");
}

static void wait_for(struct show *show, const char *word)
{
	unsigned *count = !strcmp(word, "active")     ? &show->active
			  : !strcmp(word, "inactive") ? &show->inactive
						      : &show->outputs;

	printf("waited for %s: %s\n", word,
	    *count || wait_count(show, count, *count, 10) ? "done" : "ETIMEDOUT");
	*count = 0;
}

static void run(struct show *show, char *line)
{
	char *rest = line;
	char *command = strsep(&rest, " ");
	struct seat_output *output;
	char empty[] = "";

	if (!strcmp(command, "outputs")) {
		list_outputs(show);
		return;
	} else if (!strcmp(command, "wait") && rest) {
		wait_for(show, rest);
		return;
	} else if (!strcmp(command, "sleep") && rest) {
		sleep_ms(show, (unsigned)atoi(rest));
		printf("slept\n");
		return;
	}
	output = find_output(show, strsep(&rest, " "));
	if (!output) {
		printf("%s: no such output\n", command);
		return;
	}
	rest = rest ? rest : empty;
	if (!strcmp(command, "mode"))
		set_mode(show, output, rest);
	else if (!strcmp(command, "show") || !strcmp(command, "test"))
		show_layers(show, output, *rest ? rest : NULL, command[0] == 't');
	else if (!strcmp(command, "cursor") || !strcmp(command, "move"))
		set_cursor(show, output, rest, command[0] == 'm');
	else if (!strcmp(command, "expect"))
		write_expected(show, output, rest);
	else if (!strcmp(command, "fence"))
		flip_fenced(show, output);
	else if (!strcmp(command, "flips"))
		measure_flips(show, output, (unsigned)atoi(rest));
	else if (!strcmp(command, "moves"))
		measure_moves(show, output, (unsigned)atoi(rest));
	else
		errx(1, "command '%s'", command);
}

int main(int argc, char **argv)
{
	static struct show show;
	char line[1024];

	setvbuf(stdout, NULL, _IOLBF, 0);
	log_init(LOG_LEVEL_DEBUG, NULL);
	if (sd_event_new(&show.event) < 0 || seat_session_create(show.event, &show.session) < 0 ||
	    kms_create(show.event, show.session, argc > 1 ? argv[1] : NULL, &show.backend) < 0)
		return 1;
	show.backend->listener = (struct seat_backend_listener){
		.flipped = handle_flipped,
		.outputs_changed = handle_outputs,
		.active_changed = handle_active,
		.data = &show,
	};
	/* Events are handled while a command waits. */
	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = '\0';
		if (line[0])
			run(&show, line);
	}
	for (unsigned i = 0; i < SEAT_OUTPUTS_MAX; i++)
		free_shown(&show, &show.now[i]);
	show.backend->impl->destroy(show.backend);
	seat_session_destroy(show.session);
	sd_event_unref(show.event);
	return 0;
}
/* NOLINTEND(cert-err34-c) */
