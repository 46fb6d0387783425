/* SPDX-License-Identifier: MIT */
/* Pictures of others, of which only the driver knows how they lie in their memory, are not read. */
#include <drm_fourcc.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "render/kms_private.h"

#include <cmocka.h>

static void test_map(void **state)
{
	struct kms_card card = { .fd = -1 };
	struct kms_fb fb = { .card = &card,
		.base = { .width = 64, .height = 64, .stride = 256 },
		.dmabuf_fd = memfd_create("picture", MFD_CLOEXEC),
		.size = 4096 };

	assert_int_equal(ftruncate(fb.dmabuf_fd, 4096), 0);
	fb.modifier = I915_FORMAT_MOD_X_TILED;
	errno = 0;
	assert_null(kms_fb_map(&fb));
	assert_int_equal(errno, ENOTSUP);
	fb.modifier = DRM_FORMAT_MOD_LINEAR;
	assert_non_null(kms_fb_map(&fb));
	munmap(fb.map, fb.size);
	close(fb.dmabuf_fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_map),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
