/* SPDX-License-Identifier: MIT */
#include "backend/gpu_format.h"

#include <linux/virtio_gpu.h>

#include "backend/checked.h"

#define TARGET_BUFFER 0 /* PIPE_BUFFER: width is in bytes */
#define LEVELS_MAX 32

/*
 * Bits of a pixel by virgl's format numbers (enum virgl_formats of the virgl protocol, of
 * which enum virtio_gpu_formats is a part). 0, or past the end: unknown. Of block formats
 * the block's bits divided by its pixels.
 */
/* clang-format off */
static const uint8_t format_bits[] = {
	[1 ... 4] = 32,                                     /* B8G8R8A8 and its kin */
	[5 ... 7] = 16,                                     /* B5G5R5A1, B4G4R4A4, B5G6R5 */
	[8] = 32,                                           /* R10G10B10A2 */
	[9 ... 11] = 8, [12 ... 13] = 16,                   /* L8, A8, I8; L8A8, L16 */
	[14 ... 15] = 16,                                   /* UYVY, YUYV */
	[16] = 16, [17 ... 22] = 32, [23] = 8,              /* depth and stencil */
	[24] = 64, [25] = 128, [26] = 192, [27] = 255,      /* R64 float; the last has 256 */
	[28] = 32, [29] = 64, [30] = 96, [31] = 128,        /* R32 to R32G32B32A32: float, */
	[32] = 32, [33] = 64, [34] = 96, [35] = 128,        /* unorm, */
	[36] = 32, [37] = 64, [38] = 96, [39] = 128,        /* uscaled, */
	[40] = 32, [41] = 64, [42] = 96, [43] = 128,        /* snorm, */
	[44] = 32, [45] = 64, [46] = 96, [47] = 128,        /* sscaled */
	[48] = 16, [49] = 32, [50] = 48, [51] = 64,         /* R16: unorm, */
	[52] = 16, [53] = 32, [54] = 48, [55] = 64,         /* uscaled, */
	[56] = 16, [57] = 32, [58] = 48, [59] = 64,         /* snorm, */
	[60] = 16, [61] = 32, [62] = 48, [63] = 64,         /* sscaled */
	[64] = 8, [65] = 16, [66] = 24, [67 ... 68] = 32,   /* R8: unorm, */
	[69] = 8, [70] = 16, [71] = 24, [72] = 32,          /* uscaled, */
	[74] = 8, [75] = 16, [76] = 24, [77] = 32,          /* snorm, */
	[82] = 8, [83] = 16, [84] = 24, [85] = 32,          /* sscaled */
	[87] = 32, [88] = 64, [89] = 96, [90] = 128,        /* R32 fixed */
	[91] = 16, [92] = 32, [93] = 48, [94] = 64,         /* R16 float */
	[95] = 8, [96] = 16, [97] = 24, [98 ... 104] = 32,  /* sRGB */
	[105 ... 106] = 4, [107 ... 108] = 8,               /* DXT1; DXT3, DXT5 */
	[109 ... 110] = 4, [111 ... 112] = 8,               /* sRGB of them */
	[113 ... 114] = 4, [115 ... 116] = 8,               /* RGTC */
	[117 ... 118] = 16, [119] = 32, [120] = 16,
	[121] = 32, [122] = 16, [123 ... 125] = 32,
	[126] = 64,                                         /* Z32_FLOAT_S8X24 */
	[127] = 8, [128 ... 129] = 32, [130] = 8, [131 ... 132] = 32, [133] = 16,
	[134] = 32, [135] = 16, [136 ... 137] = 32, [138] = 64, [139] = 8,
	[140] = 32, [141 ... 142] = 16,                     /* L16A16, A16, I16 */
	[143 ... 144] = 4, [145 ... 146] = 8,               /* LATC */
	[147 ... 148] = 8, [149] = 16, [150] = 8,           /* A, L, LA, I: 8 bits, */
	[151 ... 152] = 16, [153] = 32, [154] = 16,         /* 16 bits */
	[155 ... 156] = 16, [157] = 32, [158] = 16,         /* float */
	[159 ... 160] = 32, [161] = 64, [162] = 32,
	[163 ... 167] = 16,                                 /* planar YUV */
	[168 ... 169] = 8, [170 ... 171] = 16, [172 ... 176] = 32,
	[177] = 8, [178] = 16, [179] = 24, [180] = 32,      /* R8 uint */
	[181] = 8, [182] = 16, [183] = 24, [184] = 32,      /* sint */
	[185] = 16, [186] = 32, [187] = 48, [188] = 64,     /* R16 */
	[189] = 16, [190] = 32, [191] = 48, [192] = 64,
	[193] = 32, [194] = 64, [195] = 96, [196] = 128,    /* R32 */
	[197] = 32, [198] = 64, [199] = 96, [200] = 128,
	[201 ... 203] = 8, [204] = 16, [205 ... 207] = 8,   /* A, I, L, LA: 8 bits, */
	[208 ... 211] = 16, [212] = 32, [213 ... 215] = 16, /* 16 bits, */
	[216 ... 219] = 32, [220] = 64, [221 ... 223] = 32, /* 32 bits */
	[224] = 64, [225] = 32,
	[226] = 4,                                          /* ETC1 */
	[227 ... 228] = 16, [229 ... 233] = 32,
	[234 ... 238] = 64, [239 ... 241] = 128,            /* R16G16B16X16, R32G32B32X32 */
	[242] = 16, [243 ... 245] = 32, [246] = 64,         /* RA */
	[247 ... 248] = 16, [249 ... 250] = 32, [251 ... 252] = 64,
	[253] = 32, [254] = 16,
	[255 ... 258] = 8,                                  /* BPTC */
	[263 ... 264] = 16, [265 ... 268] = 32,
	[269 ... 272] = 4, [273 ... 274] = 8,               /* ETC2 */
	[275 ... 276] = 4, [277 ... 278] = 8,
	[279 ... 306] = 8,                                  /* ASTC, at most */
};
/* clang-format on */
#define FORMAT_BITS_UNKNOWN 64

bool gpu_format_is_2d(uint32_t format)
{
	switch (format) {
	case VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM:
	case VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM:
	case VIRTIO_GPU_FORMAT_A8R8G8B8_UNORM:
	case VIRTIO_GPU_FORMAT_X8R8G8B8_UNORM:
	case VIRTIO_GPU_FORMAT_R8G8B8A8_UNORM:
	case VIRTIO_GPU_FORMAT_X8B8G8R8_UNORM:
	case VIRTIO_GPU_FORMAT_A8B8G8R8_UNORM:
	case VIRTIO_GPU_FORMAT_R8G8B8X8_UNORM:
		return true;
	default:
		return false;
	}
}

static uint64_t at_least_1(uint64_t n)
{
	return n ? n : 1;
}

uint64_t gpu_format_bytes(const struct renderer_resource *resource)
{
	uint32_t levels = resource->last_level < LEVELS_MAX ? resource->last_level + 1 : LEVELS_MAX;
	uint64_t bits = FORMAT_BITS_UNKNOWN, pixels = 0, bytes;

	if (resource->format < sizeof(format_bits) && format_bits[resource->format])
		bits = format_bits[resource->format];
	if (resource->target == TARGET_BUFFER && !resource->is_2d)
		bits = 8;
	for (uint32_t level = 0; level < levels; level++) {
		uint64_t of_level = at_least_1(resource->width >> level);

		if (!checked_mul(of_level, at_least_1(resource->height >> level), &of_level) ||
		    !checked_mul(of_level, at_least_1(resource->depth >> level), &of_level) ||
		    !checked_add(pixels, of_level, &pixels))
			return UINT64_MAX;
	}
	if (!checked_mul(pixels, at_least_1(resource->array_size), &bytes) ||
	    !checked_mul(bytes, at_least_1(resource->nr_samples), &bytes) ||
	    !checked_mul(bytes, bits, &bytes) || !checked_add(bytes, 7u, &bytes))
		return UINT64_MAX;
	return bytes / 8;
}

#define FOURCC(a, b, c, d) \
	((uint32_t)(a) | (uint32_t)(b) << 8 | (uint32_t)(c) << 16 | (uint32_t)(d) << 24)

/* virtio names bytes in the order of memory, DRM those of a little-endian word. */
uint32_t gpu_format_fourcc(uint32_t format)
{
	switch (format) {
	case VIRTIO_GPU_FORMAT_B8G8R8A8_UNORM:
	case VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM:
		return FOURCC('X', 'R', '2', '4');
	case VIRTIO_GPU_FORMAT_A8R8G8B8_UNORM:
	case VIRTIO_GPU_FORMAT_X8R8G8B8_UNORM:
		return FOURCC('B', 'X', '2', '4');
	case VIRTIO_GPU_FORMAT_R8G8B8A8_UNORM:
	case VIRTIO_GPU_FORMAT_R8G8B8X8_UNORM:
		return FOURCC('X', 'B', '2', '4');
	case VIRTIO_GPU_FORMAT_A8B8G8R8_UNORM:
	case VIRTIO_GPU_FORMAT_X8B8G8R8_UNORM:
		return FOURCC('R', 'X', '2', '4');
	default:
		return 0;
	}
}
